"""What one request may ask for: each limit at its bound and one beyond it, and what is kept of a document."""

from __future__ import annotations

import time
from typing import Any

import graphql
import pytest
from graphql import get_introspection_query, parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema import limits
from schema.limits import (
    ALIASES_MAX,
    COMMENTS_MAX,
    COST_MAX,
    DEPTH_MAX,
    DOCUMENTS_KEPT_MAX,
    LIST_MAX,
    PAGE_MAX,
    ROOTS_MAX,
    SOURCE_CHARACTERS_MAX,
    TOKENS_MAX,
    Schema,
)
from tests.schema import tiny_schema
from tests.schema.tiny_schema import tiny

SCHEMA = tiny()


@pytest.fixture(autouse=True)
def _nothing_asked_yet() -> None:
    tiny_schema.asked.clear()


def codes(text: str, schema: Schema = SCHEMA, **variables: object) -> list[str]:
    """The codes a query is refused with; none if it ran."""
    result = schema.execute_sync(text, variable_values=variables)
    if result.errors:
        assert result.data is None
        assert tiny_schema.asked == []
    told = [(error.extensions or {}).get("code", type(error).__name__) for error in result.errors or ()]
    return [str(code) for code in told]


def nested(depth: int) -> str:
    return "{ viewer " + "{ friend " * (depth - 2) + "{ id }" + " }" * (depth - 1)


# --- each limit -------------------------------------------------------------------------------------------------------


def test_the_length_of_a_query() -> None:
    text = "{ balance }"
    assert codes(text + " " * (SOURCE_CHARACTERS_MAX - len(text))) == []
    assert codes(text + " " * (SOURCE_CHARACTERS_MAX - len(text) + 1)) == ["QUERY_TOO_LONG"]


def test_the_number_of_tokens() -> None:
    assert parse("{" + "a " * (TOKENS_MAX - 2) + "}").token_count == TOKENS_MAX
    assert codes("{" + "a " * (TOKENS_MAX - 2) + "}") == ["QUERY_TOO_MANY_ROOTS", "QUERY_TOO_COSTLY"]
    assert codes("{" + "a " * (TOKENS_MAX - 1) + "}") == ["QUERY_TOO_MANY_TOKENS"]
    assert codes("{ a(b: [" + "1 " * TOKENS_MAX + "]) }") == ["QUERY_TOO_MANY_TOKENS"]


def test_a_broken_token_is_no_token_too_many() -> None:
    assert codes("{ a ? " + "a " * TOKENS_MAX + "}") == ["GraphQLSyntaxError"]
    assert codes("{" + "a " * (TOKENS_MAX - 10) + '"') == ["GraphQLSyntaxError"]


def test_the_number_of_comments() -> None:
    assert codes("#\n" * COMMENTS_MAX + "{ balance }") == []
    assert codes("#\n" * (COMMENTS_MAX + 1) + "{ balance }") == ["GraphQLSyntaxError"]


def test_the_number_of_root_fields() -> None:
    def roots(count: int) -> str:
        return "{" + " ".join(f"a{at}: balance" for at in range(count)) + "}"

    assert codes(roots(ROOTS_MAX)) == []
    assert codes(roots(ROOTS_MAX + 1)) == ["QUERY_TOO_MANY_ROOTS"]
    assert codes("{...F} fragment F on Query { ... {" + "balance " * (ROOTS_MAX + 1) + "} }") == [
        "QUERY_TOO_MANY_ROOTS"
    ]


def test_the_depth() -> None:
    assert codes(nested(DEPTH_MAX)) == []
    tiny_schema.asked.clear()
    assert codes(nested(DEPTH_MAX + 1)) == ["QUERY_TOO_DEEP"]


def test_the_depth_of_fragments() -> None:
    def chained(links: int) -> str:
        chain = (f"fragment F{at} on Member {{ friend {{ ...F{at + 1} }} }}" for at in range(links))
        return "{ viewer { ...F0 } }" + "".join(chain) + f"fragment F{links} on Member {{ id }}"

    assert codes(chained(DEPTH_MAX - 2)) == []
    tiny_schema.asked.clear()
    assert codes(chained(DEPTH_MAX - 1)) == ["QUERY_TOO_DEEP"]
    assert codes(chained(75)) == ["QUERY_TOO_DEEP"]


def test_the_number_of_aliases() -> None:
    def aliased(count: int) -> str:
        return "{ viewer { friend {" + " ".join(f"a{at}: id" for at in range(count)) + "} } }"

    assert codes(aliased(ALIASES_MAX)) == []
    tiny_schema.asked.clear()
    assert codes(aliased(ALIASES_MAX + 1)) == ["QUERY_TOO_MANY_ALIASES"]


def test_aliases_count_wherever_a_fragment_is_spread() -> None:
    fragment = "fragment F on Member {" + " ".join(f"a{at}: id" for at in range(ALIASES_MAX // 2)) + "}"
    assert codes("{ viewer { ...F friend { ...F } } }" + fragment) == []
    tiny_schema.asked.clear()
    assert codes("{ viewer { ...F friend { ...F friend { ...F } } } }" + fragment) == ["QUERY_TOO_MANY_ALIASES"]


@pytest.mark.parametrize("size", [1, PAGE_MAX])
def test_a_page_has_a_size(size: int) -> None:
    assert codes(f"{{ viewer {{ entries(first: {size}) {{ count }} }} }}") == []
    tiny_schema.asked.clear()
    assert codes("query A($n: Int) { viewer { entries(first: $n) { count } } }", n=size) == []
    tiny_schema.asked.clear()
    assert codes(f"query A($n: Int = {size}) {{ viewer {{ entries(first: $n) {{ count }} }} }}") == []


@pytest.mark.parametrize("size", [0, -1, PAGE_MAX + 1, 2**31 - 1])
def test_a_page_has_no_other_size(size: int) -> None:
    refused = ["PAGE_OUT_OF_RANGE"]
    assert codes(f"{{ viewer {{ entries(first: {size}) {{ count }} }} }}") == refused
    assert codes(f"{{ viewer {{ entriesOfAnySize(last: {size}) {{ count }} }} }}") == refused
    assert codes("query A($n: Int) { viewer { entries(first: $n) { count } } }", n=size) == refused
    assert codes("query A($n: Int) { viewer { entries(first: $n) { count } } }", n=float(size)) == refused
    assert codes(f"query A($n: Int = {size}) {{ viewer {{ entries(first: $n) {{ count }} }} }}") == refused
    fragment = "fragment F on Member { friend { entries(first: $n) { count } } }"
    assert codes("query A($n: Int!) { viewer { ...F } }" + fragment, n=size) == refused


def test_a_page_size_of_five_thousand_digits_is_refused_unread() -> None:
    assert codes("{ viewer { entries(first: " + "9" * 5_000 + ") { count } } }") == ["PAGE_OUT_OF_RANGE"]


def test_a_refused_page_size_names_the_variable_or_the_argument() -> None:
    text = "query A($howMany: Int) { viewer { entries(first: $howMany) { count } } }"
    errors = SCHEMA.execute_sync(text, variable_values={"howMany": 101}).errors or []
    assert [error.extensions for error in errors] == [{"code": "PAGE_OUT_OF_RANGE", "field": "howMany"}]
    errors = SCHEMA.execute_sync("{ viewer { entries(first: 101) { count } } }").errors or []
    assert [error.extensions for error in errors] == [{"code": "PAGE_OUT_OF_RANGE", "field": "first"}]


def test_the_length_of_a_list() -> None:
    text = "query A($skus: [String!]) { lines(skus: $skus) }"
    assert codes(text, skus=["a"] * LIST_MAX) == []
    tiny_schema.asked.clear()
    assert codes(text, skus=["a"] * (LIST_MAX + 1)) == ["LIST_TOO_LONG"]
    assert codes("{ lines(skus: [" + '"" ' * LIST_MAX + "]) }") == []
    tiny_schema.asked.clear()
    assert codes("{ lines(skus: [" + '"" ' * (LIST_MAX + 1) + "]) }") == ["LIST_TOO_LONG"]
    default = '"" ' * (LIST_MAX + 1)
    assert codes(f"query A($skus: [String!] = [{default}]) {{ lines(skus: $skus) }}") == ["LIST_TOO_LONG"]


def test_a_list_too_long_names_its_field() -> None:
    text = "mutation A($input: PurchaseRecordInput!) { purchaseRecord(input: $input) { lines } }"
    variables = {"input": {"lines": [{"tags": [0] * (LIST_MAX + 1)}]}}
    errors = SCHEMA.execute_sync(text, variable_values=variables).errors or []
    assert [error.extensions for error in errors] == [{"code": "LIST_TOO_LONG", "field": "input.lines.0.tags"}]


# --- cost -------------------------------------------------------------------------------------------------------------


def cost(text: str) -> int:
    scales = limits._Scales(SCHEMA._schema, parse(text))
    weight = scales._weigh(scales.operations[0].selection_set, SCHEMA._schema.query_type)
    return weight.cost + weight.listed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ balance caller }", 0),
        ("{ viewer { id name } }", 1),
        ("{ viewer { friend { id } friends { id } } }", 3),
        # viewer, the connection, and for each of the 20: edge, entry, member
        ("{ viewer { entries(first: 20) { count edges { node { points member { id } } } } } }", 2 + 20 * 3),
        ("{ viewer { entries { edges { node { points } } } } }", 2 + 10 * 2),
        ("{ viewer { entriesOfAnySize { edges { node { points } } } } }", 2 + 100 * 2),
        ("{ viewer { entriesOfAnySize(first: 3, last: 5) { edges { node { points } } } } }", 2 + 5 * 2),
        ("query A($n: Int) { viewer { entries(first: $n) { edges { node { points } } } } }", 2 + 100 * 2),
        (
            """{ viewer { ...M } } fragment M on Member { entries(first: 5) { ...C } }
            fragment C on EntryConnection { count ... { edges { node { points } } } }""",
            2 + 5 * 2,
        ),
        # a page in a page
        (
            "{ viewer { entries(first: 4) { edges { node { member { entries(first: 5) { edges { node { id } } } } } } } } }",
            2 + 4 * (3 + 1 + 5 * 2),
        ),
        # the same field k times in one place: k (k - 1) / 2 comparisons
        ("{ viewer { id id id id } }", 1 + 6),
        ("{ unknown { a { b } } }", 2),
    ],
)
def test_the_cost_of_a_query(text: str, expected: int) -> None:
    assert cost(text) == expected


def test_a_query_may_cost_so_much_and_no_more() -> None:
    def pages(inner: int) -> str:
        return (
            "{ viewer { entries(first: 83) { edges { node { member { entries(first: "
            f"{inner}) {{ edges {{ node {{ id }} }} }} }} }} }} }} }} }}"
        )

    assert cost(pages(4)) == 2 + 83 * (4 + 8) == COST_MAX - 2
    assert codes(pages(4)) == []
    tiny_schema.asked.clear()
    assert cost(pages(5)) > COST_MAX
    assert codes(pages(5)) == ["QUERY_TOO_COSTLY"]


def test_a_page_of_any_size_with_three_objects_in_each_node_is_affordable() -> None:
    objects = "member { id } b: member { id } c: member { id }"
    text = "query A($n: Int!) { viewer { entries(first: $n) { edges { node { " + objects + " } } } } }"
    assert codes(text, n=PAGE_MAX) == []


# Weighing shares the work for fragments. A document with its fragments written out, weighed naively, has the same weight.

NAMES = ("F0", "F1", "F2")


@st.composite
def selections(draw: st.DrawFn, fragments: tuple[str, ...], depth: int) -> list[Any]:
    kinds = ["id", "alias", *(["friend", "friends", "page"] if depth else []), *fragments]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3, unique=True))
    return [
        (kind, draw(st.integers(1, 9)), draw(selections(fragments, depth - 1)))
        if kind in ("friend", "friends", "page")
        else (kind, 0, [])
        for kind in chosen
    ]


def written(chosen: list[Any]) -> str:
    def one(kind: str, size: int, inner: list[Any]) -> str:
        if kind == "page":
            return f"entries(first: {size}) {{ edges {{ node {{ member {written(inner)} }} }} }}"
        return f"{kind} {written(inner)}" if inner else "a: id" if kind == "alias" else kind.replace("F", "...F")

    return "{ " + " ".join(one(*item) for item in chosen) + " }"


def weighed(chosen: list[Any], bodies: dict[str, list[Any]]) -> tuple[int, int, int]:
    """Depth, cost and aliases, fragments written out; a fragment counts once in one place."""
    fields, spread, pending = [], set(), list(chosen)
    while pending:
        item = pending.pop()
        if item[0] in bodies:
            pending.extend(bodies[item[0]] if item[0] not in spread else ())
            spread.add(item[0])
        else:
            fields.append(item)
    depth, total, aliases = 0, 0, 0
    seen: list[str] = []
    for kind, size, inner in fields:
        inner_depth, inner_cost, inner_aliases = weighed(inner, bodies) if inner else (0, 0, 0)
        levels, own = {"page": (4, 1 + size * (3 + inner_cost)), "friend": (1, 1 + inner_cost)}.get(
            kind, (1, 1 + inner_cost if inner else 0)
        )
        name = {"page": "entries", "alias": "a"}.get(kind, kind)
        total += own + seen.count(name)
        seen.append(name)
        depth, aliases = max(depth, levels + inner_depth), aliases + inner_aliases + (kind == "alias")
    return depth, total, aliases


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(selections(NAMES, 3), selections(NAMES[1:], 2), selections(NAMES[2:], 2), selections((), 2))
def test_fragments_weigh_what_they_weigh_written_out(root: Any, first: Any, second: Any, third: Any) -> None:
    bodies = dict(zip(NAMES, (first, second, third), strict=True))
    text = "{ viewer " + written(root) + " }"
    text += "".join(f" fragment {name} on Member {written(body)}" for name, body in bodies.items())
    scales = limits._Scales(SCHEMA._schema, parse(text))
    weight = scales._weigh(scales.operations[0].selection_set, SCHEMA._schema.query_type)
    depth, total, aliases = weighed(root, bodies)
    assert (weight.depth, weight.cost + weight.listed, weight.aliases) == (depth + 1, total + 1, aliases)


# --- bombs ------------------------------------------------------------------------------------------------------------


def doubling(levels: int) -> str:
    bomb = (
        f"fragment F{at} on Member {{ friend {{ ...F{at + 1} }} b: friend {{ ...F{at + 1} }} }}" for at in range(levels)
    )
    return "{ viewer { ...F0 } }" + "".join(bomb) + f"fragment F{levels} on Member {{ id }}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (doubling(45), "QUERY_TOO_COSTLY"),
        ("{ viewer { ...F } } fragment F on Member { friend { ...F } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer { ...F } } fragment F on Member { ...F }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "{ viewer { ...F } } fragment F on Member { friend { ...G } } fragment G on Member { friend { ...F } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("{ viewer {" + "friend { id } " * 240 + "} }", "QUERY_TOO_COSTLY"),
        ("{ viewer {" + "friend { friend { id } } " * 140 + "} }", "QUERY_TOO_COSTLY"),
        ("{ viewer {" + "id " * 990 + "} }", "QUERY_TOO_COSTLY"),
        (
            "{ viewer { ...F0 } }"
            + "".join(f"fragment F{at} on Member {{ id ...F{at + 1} }}" for at in range(105))
            + "fragment F105 on Member { id }",
            "QUERY_TOO_COSTLY",
        ),
        ("{" + "viewer {" * 190 + "id" + "}" * 191, "QUERY_TOO_DEEP"),
    ],
)
def test_a_bomb_is_refused_before_it_costs_anything(text: str, code: str) -> None:
    started = time.process_time()
    assert code in codes(text, tiny())
    # Some 20 ms of the tokens' parsing and weighing; validating them, or writing out the fragments, takes far longer.
    assert time.process_time() - started < 1


# --- introspection ----------------------------------------------------------------------------------------------------

GRAPHIQL = get_introspection_query(
    descriptions=True, specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
)


def test_graphiql_may_ask_for_the_whole_schema() -> None:
    assert codes(GRAPHIQL) == []


def test_the_schema_may_be_asked_for_once_in_a_request() -> None:
    assert codes("{ a: __schema { queryType { name } } b: __schema { queryType { name } } }") == ["QUERY_TOO_COSTLY"]


def test_an_introspection_that_feeds_itself_is_refused() -> None:
    bomb = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
    assert codes(bomb) == ["GRAPHQL_VALIDATION_FAILED"]
    names = " ".join(f"a{at}: name" for at in range(ALIASES_MAX + 1))
    assert codes("{ __schema { types {" + names + "} } }") == ["QUERY_TOO_MANY_ALIASES"]


@pytest.mark.parametrize(
    "text", [GRAPHIQL, '{ __type(name: "Member") { name } }', "{ __schema { queryType { name } } }"]
)
def test_a_closed_schema_tells_nothing_about_itself(text: str) -> None:
    closed = tiny(introspection=False)
    assert set(codes(text, closed)) == {"INTROSPECTION_DISABLED"}
    assert codes("{ __typename viewer { __typename } }", closed) == []


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one for each validation."""
    seen: list[object] = []
    validate = graphql.validate

    def counted(schema: Any, document: Any, *args: Any, **more: Any) -> Any:
        seen.append(document)
        return validate(schema, document, *args, **more)

    monkeypatch.setattr(limits, "validate", counted)
    return seen


def test_a_known_document_is_not_validated_again(validated: list[object]) -> None:
    schema, text = tiny(), "query A($n: Int) { viewer { entries(first: $n) { count } } }"
    for size in (1, 2, 3):
        assert codes(text, schema, n=size) == []
        tiny_schema.asked.clear()
    assert len(validated) == 1


def test_limits_act_on_a_known_document(validated: list[object]) -> None:
    schema, text = (
        tiny(),
        "query A($n: Int, $skus: [String!]) { lines(skus: $skus) viewer { entries(first: $n) { count } } }",
    )
    assert codes(text, schema, n=1) == []
    tiny_schema.asked.clear()
    assert codes(text, schema, n=101) == ["PAGE_OUT_OF_RANGE"]
    assert codes(text, schema, skus=[""] * 501) == ["LIST_TOO_LONG"]
    assert codes(text, schema, skus=[], n=100) == []
    assert len(validated) == 1


def test_a_known_refusal_is_repeated_without_work(validated: list[object]) -> None:
    schema = tiny()
    for _ in range(3):
        assert codes(nested(DEPTH_MAX + 1), schema) == ["QUERY_TOO_DEEP"]
        assert codes("{ unknown }", schema) == ["GRAPHQL_VALIDATION_FAILED"]
    assert len(validated) == 1


def test_several_operations_are_told_apart_in_a_known_document(validated: list[object]) -> None:
    schema, text = tiny(), "query A { balance } query B { lines }"
    assert schema.execute_sync(text, operation_name="B").data == {"lines": 0}
    tiny_schema.asked.clear()
    assert codes(text, schema) == ["OPERATION_RESOLUTION_FAILURE"]
    assert schema.execute_sync(text, operation_name="A").data == {"balance": 2**63 + 1}
    assert len(validated) == 1


def test_only_so_many_documents_are_kept(validated: list[object]) -> None:
    schema = tiny()
    for at in range(DOCUMENTS_KEPT_MAX + 1):
        assert codes(f"query A{at} {{ balance }}", schema) == []
    assert codes(f"query A{DOCUMENTS_KEPT_MAX} {{ balance }}", schema) == []
    assert len(validated) == DOCUMENTS_KEPT_MAX + 1
    assert codes("query A0 { balance }", schema) == []
    assert len(validated) == DOCUMENTS_KEPT_MAX + 2


def test_one_schemas_verdict_is_not_anothers() -> None:
    assert codes("{ __schema { queryType { name } } }", tiny(introspection=False)) == ["INTROSPECTION_DISABLED"]
    assert codes("{ __schema { queryType { name } } }", tiny(introspection=True)) == []
