"""Whatever a caller sends: an answer, a refusal or a complaint, never a fault of ours, and never half a deed.

Operations and inputs are drawn from the schema itself, so what is added to it is tried here without being mentioned.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from domain.refusals import Refusal
from handlers import runtime
from schema import root
from tests.handlers.api import CAMPAIGN_STEPS, HOLD, REDEEM, Answer, Api, global_id, manager, member, till
from tests.handlers.conftest import Clock

SCHEMA = root.build(introspection=True)._schema
# Refusals that are remembered for their key.
FINAL = {refusal.code for refusal in Refusal.__subclasses__() if refusal.final}
# Who a member is, and how they are found, is written over by these alone; and where a campaign stands, by what is done with it.
REWRITING = {"memberUpdate", "memberClose"}
CALLERS = (till(), manager(), member("any-input"))
CLOCK = Clock()
# Ada's account, and places in it: a redemption and two holds.
ADA = "01JADA000000000000000000AA"

# Values that lead deep into the program, by the name of the field they stand in.
GOOD: dict[str, list[Any]] = {
    "addTags": [["vip"], ["new", "vip"]],
    "amountMinor": [0, 1, 500, 1_000, 10**12],
    "at": ["2030-01-11T12:00:00Z"],
    "award": [{"points": 5}, {"tiers": [{"tier": "sky", "points": 5}]}],
    "birthMonths": [[1], [1, 12]],
    "by": [{"externalId": "ada"}],
    "code": ["SUMMER"],
    "currency": ["USD"],
    "email": ["ada@example.com", "eve@example.com"],
    "externalId": ["ada", "bob", "42"],
    "first": [1, 10, 100],
    "homeLocation": ["harbor", None],
    "holdId": [global_id("Hold", f"{ADA}:4"), global_id("Hold", f"{ADA}:5")],
    "id": [global_id("Reward", "latte"), global_id("Purchase", "pos:42"), global_id("Campaign", ADA)],
    "idempotencyKey": ["1", "2"],
    "location": ["harbor"],
    "member": [{"externalId": "ada"}, {"email": "ada@example.com"}],
    "occurredAt": [(CLOCK.now - timedelta(days=days)).isoformat() for days in (0, 1, 399)],
    "phone": ["+15551234567"],
    "points": [1, -1, 10**9, -(10**9)],
    "quantity": [0, 1, 1_000_000],
    "reason": ["GOODWILL"],
    "redemptionId": [global_id("Redemption", f"{ADA}:3:0")],
    "removeTags": [["vip"], ["old"]],
    "rewardId": ["latte", "cookie"],
    "source": ["pos"],
    "ttlSeconds": [1, 604_800],
    "tags": [["vip"], []],
    "tier": ["nest", "sky", global_id("Tier", "branch")],
    "total": [{"amountMinor": 500, "currency": "USD"}],
    "until": ["2030-12-31", "2031-01-10"],
}
NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.integers(),
    st.sampled_from([10**12, 10**12 + 1, 2**31, 2**53 - 1, 2**53, 2**63, -(2**63), 10**40]),
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "\x00", "é" * 65, "💥" * 257, "a:b#c", "\u202e", "../..", "'; --", "null", "0", "\ud83d"]
    ),
    st.from_regex(r"[A-Za-z0-9+@.:_-]{1,30}", fullmatch=True),
    st.builds(
        global_id,
        st.sampled_from(["Member", "Purchase", "Entry", "Redemption", "Reward", "Hold", "Tier"]),
        st.text(max_size=10),
    ),
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=4,
)


def values(name: str, type_: Any, wild: bool) -> st.SearchStrategy[Any]:
    """Values of a type; where it is `wild`, also what is none."""
    if is_non_null_type(type_):
        fitting = values(name, type_.of_type, wild)
    elif is_list_type(type_):
        fitting = st.lists(values(name, type_.of_type, wild), max_size=3)
    elif is_input_object_type(type_):
        fitting = objects(type_, wild)
    else:
        fitting = {"Long": NUMBERS, "Int": NUMBERS}.get(type_.name, TEXTS)
    good = st.sampled_from(GOOD[name]) if name in GOOD else st.nothing()
    likely = st.one_of(good, good, fitting) if name in GOOD else fitting
    return st.one_of(likely, likely, likely, ANYTHING) if wild else likely


def objects(type_: GraphQLInputObjectType, wild: bool) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: values(name, field.type, wild) for name, field in type_.fields.items()}
    if type_.is_one_of:
        return st.one_of(*(st.fixed_dictionaries({name: field}) for name, field in fields.items()))
    needed = {name: field for name, field in fields.items() if is_non_null_type(type_.fields[name].type)}
    others = {name: field for name, field in fields.items() if name not in needed}
    if wild:
        # Once in a while one is missing, or there is one that nobody knows.
        return st.one_of(
            st.fixed_dictionaries(needed, optional=others),
            st.fixed_dictionaries({}, optional={**fields, "unknown": ANYTHING}),
        )
    return st.fixed_dictionaries(needed, optional=others)


def operation(kind: str, name: str, definition: Any) -> tuple[str, str]:
    """A document that takes every argument of a root field as a variable, and asks for little but its errors."""
    variables = ", ".join(f"${name}: {argument.type}" for name, argument in definition.args.items())
    arguments = ", ".join(f"{name}: ${name}" for name in definition.args)
    type_ = get_named_type(definition.type)
    errors = (
        " userErrors { code field }" if isinstance(type_, GraphQLObjectType) and "userErrors" in type_.fields else ""
    )
    return name, (
        f"{kind}{f'({variables})' if variables else ''} "
        f"{{ {name}{f'({arguments})' if arguments else ''} {{ __typename{errors} }} }}"
    )


OPERATIONS = [
    (*operation(kind, name, definition), definition)
    for kind, type_ in (("query", SCHEMA.query_type), ("mutation", SCHEMA.mutation_type))
    if type_ is not None
    for name, definition in type_.fields.items()
]


def asked(wild: bool) -> st.SearchStrategy[tuple[str, str, dict[str, Any]]]:
    """An operation's name, its document, and variables for it."""
    return st.one_of(
        *(
            st.tuples(
                st.just(name),
                st.just(document),
                st.fixed_dictionaries({arg: values(arg, it.type, wild) for arg, it in definition.args.items()}),
            )
            for name, document, definition in OPERATIONS
            # Mutations take more trying than questions.
            for _ in range(3 if document.startswith("mutation") else 1)
        )
    )


@pytest.fixture(scope="module")
def shop(quiet: Api) -> Api:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "now", CLOCK)
        patch.setattr(runtime, "new_account", lambda: ADA)
        draft = {"idempotencyKey": "draft", "name": "Thanks", "code": "SUMMER", "award": {"points": 5}}
        quiet.post(manager(), CAMPAIGN_STEPS["campaignCreate"], input=draft)
        quiet.enroll("ada", email="ada@example.com")
        quiet.buy("ada", 100_000)
        naming = {"member": {"externalId": "ada"}}
        quiet.post(till(), REDEEM, input={"idempotencyKey": "redeem", "rewardId": "cookie", **naming})
        for key in ("hold 1", "hold 2"):
            quiet.post(till(), HOLD, input={"idempotencyKey": key, "points": 5, **naming})
    return quiet


@pytest.mark.parametrize("wild", [False, True], ids=["of the right types", "of any type"])
@pytest.mark.usefixtures("sqs")
def test_whatever_is_sent_is_done_whole_or_not_at_all(shop: Api, wild: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is a fault of ours (`Api.invoke` sees to that); what is wrong is named by a path that exists in the input;
    and the table changes only by what succeeded, or by the memory of a final no."""
    monkeypatch.setattr(runtime, "now", CLOCK)
    table = shop.items()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(asked=asked(wild), caller=st.sampled_from(CALLERS))
    def hunt(asked: tuple[str, str, dict[str, Any]], caller: dict[str, str]) -> None:
        nonlocal table
        name, document, variables = asked
        answer = shop.send(caller, json.dumps({"query": document, "variables": variables}))

        before, table = table, shop.items()
        event(f"{name}: {told(answer)}")
        assert answer.status in (200, 400)
        for code, field in answer.faults:
            if code in ("BAD_USER_INPUT", "CURSOR_INVALID", "PAGE_OUT_OF_RANGE", "LIST_TOO_LONG"):
                assert field is not None
                assert field.split(".")[0] in variables
        for _, field in answer.refusals:
            assert field is None or is_path(field, name), field
        codes = {code for code, _ in answer.refusals}
        done = document.startswith("mutation") and not answer.complaints
        if not done and not codes & FINAL:
            assert table == before
        # Whatever happened, nothing that was written is ever written over, but for notes of what is due.
        kept = {key for key in before if not may_be_rewritten(name, *key)}
        assert {key: table[key] for key in kept if key in table} == {key: before[key] for key in kept}

    hunt()


def may_be_rewritten(name: str, partition: str, sort: str) -> bool:
    return (name in REWRITING and sort in ("P", "U")) or (name in CAMPAIGN_STEPS and partition == "CMP")


def told(answer: Answer) -> str:
    return ", ".join(sorted({code for code, _ in answer.complaints})) or "done"


def is_path(field: str, name: str) -> bool:
    """Whether a dotted path of a user error leads to a field of the operation's input."""
    argument, *steps = field.split(".")
    (definition,) = (definition for each, _, definition in OPERATIONS if each == name)
    if argument not in definition.args:
        return False
    type_: Any = definition.args[argument].type
    for step in steps:
        type_ = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if isinstance(type_, GraphQLList):
            if not step.isdecimal():
                return False
            type_ = type_.of_type
        elif is_leaf_type(type_) or step not in type_.fields:
            return False
        else:
            type_ = type_.fields[step].type
    return True
