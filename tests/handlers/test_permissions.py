"""Who may do what: every root field for every kind of caller, and what a member can find out about others (nothing)."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLObjectType

from schema import root
from schema.nodes import from_id
from tests.handlers.api import (
    ADJUST,
    ADVANCE,
    BLOCK,
    BOUGHT,
    CAMPAIGN,
    CAMPAIGN_STEPS,
    CAMPAIGNS,
    CANCEL,
    CAPTURE,
    CLOCK,
    CLOSE,
    ENROLL,
    ENTRY,
    HOLD,
    JOB,
    LIST_CREATE,
    LIST_IMPORT,
    MARK_READ,
    MEMBER,
    MEMBER_LIST,
    MEMBER_LISTS,
    MERGE,
    NOBODY,
    NODE,
    PREVIEW,
    PROGRAM,
    PURCHASE,
    REDEEM,
    RELEASE,
    RETURN,
    REWARDS,
    SUBMISSION,
    SUBMIT,
    TIER_SET,
    TRANSFER,
    UNBLOCK,
    UNMERGE,
    UPDATE,
    VIEWER,
    Answer,
    Api,
    Claims,
    account_of,
    global_id,
    manager,
    member,
    person,
    receipt,
    support,
    till,
)

CALLERS: dict[str, Claims] = {
    "member": member("matrix-member"),
    "stranger": member("matrix-stranger"),
    "till": till(),
    "till (members)": till("regulars/members"),
    "till (purchases)": till("regulars/purchases"),
    "till (redemptions)": till("regulars/redemptions"),
    "till (nothing)": till("openid"),
    "support": support(),
    "manager": manager(),
    "support and manager": person("matrix-both", **{"cognito:groups": "[support manager]"}),
    "nobody": NOBODY,
}
MEMBERS = {"member", "stranger"}
MANAGERS = {"manager", "support and manager"}
ANYBODY = CALLERS.keys() - {"nobody"}

# Who may. Whoever is not named here may not.
ALLOWED: dict[str, set[str]] = {
    "viewer": MEMBERS,
    "member": MEMBERS | MANAGERS | {"till", "till (members)", "support"},
    "purchasePreview": MANAGERS | {"till", "till (purchases)"},
    "rewards": set(ANYBODY),
    "node": set(ANYBODY),
    "memberEnroll": MEMBERS | MANAGERS | {"till", "till (members)"},
    "purchaseRecord": MANAGERS | {"till", "till (purchases)"},
    "purchase": MEMBERS | MANAGERS | {"till", "till (purchases)", "support"},
    "purchaseReturn": MANAGERS | {"till", "till (purchases)"},
    "rewardRedeem": MEMBERS | MANAGERS | {"till", "till (redemptions)"},
    "redemptionCancel": MANAGERS | {"till", "till (redemptions)"},
    "pointsHold": MANAGERS | {"till", "till (redemptions)"},
    "pointsCapture": MANAGERS | {"till", "till (redemptions)"},
    "pointsRelease": MANAGERS | {"till", "till (redemptions)"},
    "pointsAdjust": MANAGERS,
    "entry": MEMBERS | MANAGERS | {"till", "till (members)", "support"},
    "memberUpdate": MEMBERS | MANAGERS | {"till", "till (members)", "support"},
    "noticesMarkRead": MEMBERS,
    "memberBlock": MANAGERS | {"support"},
    "memberUnblock": MANAGERS | {"support"},
    "memberClose": MEMBERS | MANAGERS,
    "pointsTransfer": MEMBERS | MANAGERS,
    "memberMerge": MANAGERS,
    "memberUnmerge": MANAGERS,
    "memberTierSet": MANAGERS,
    "program": set(ANYBODY),
    "clock": set(ANYBODY),
    "job": MANAGERS | {"support"},
    "clockAdvance": MANAGERS,
    "purchasesSubmit": MANAGERS | {"till", "till (purchases)"},
    "submission": MANAGERS | {"till", "till (purchases)", "support"},
    "memberList": MANAGERS | {"support"},
    "memberLists": MANAGERS | {"support"},
    "memberListCreate": MANAGERS,
    "memberListImport": MANAGERS,
    "campaign": MANAGERS | {"support"},
    "campaigns": MANAGERS | {"support"},
    **dict.fromkeys(CAMPAIGN_STEPS, MANAGERS),
}
NAMING = {"member": {"externalId": "matrix-somebody"}}
TOTAL = {"total": {"amountMinor": 500, "currency": "USD"}}


def ask(api: Api, field: str, caller: str) -> Answer:
    """The operation with an input that is good, but finds nobody: what is asked here is permission alone."""
    operations: dict[str, tuple[str, dict[str, Any]]] = {
        "viewer": (VIEWER, {}),
        "member": (MEMBER, {"by": NAMING["member"]}),
        "purchasePreview": (PREVIEW, {"input": {**NAMING, **TOTAL}}),
        "rewards": (REWARDS, {}),
        "node": (NODE, {"id": global_id("Member", "nobody")}),
        "memberEnroll": (ENROLL, {"input": {"idempotencyKey": "matrix"}}),
        "purchaseRecord": (PURCHASE, {"input": receipt("matrix", "matrix-somebody", 500)}),
        "purchase": (BOUGHT, {"by": {"receipt": {"source": "pos-harbor", "externalId": "matrix"}}}),
        "purchaseReturn": (
            RETURN,
            {"input": {"source": "pos-harbor", "externalId": "matrix", "returnId": "matrix", **NAMING}},
        ),
        "rewardRedeem": (REDEEM, {"input": {"idempotencyKey": "matrix", "rewardId": "latte", **NAMING}}),
        "redemptionCancel": (
            CANCEL,
            {"input": {"idempotencyKey": "matrix", "redemptionId": global_id("Redemption", "nobody:3:0")}},
        ),
        "pointsHold": (HOLD, {"input": {"idempotencyKey": "matrix", "points": 5, **NAMING}}),
        "pointsCapture": (CAPTURE, {"input": {"idempotencyKey": "matrix", "holdId": global_id("Hold", "nobody:3")}}),
        "pointsRelease": (RELEASE, {"input": {"idempotencyKey": "matrix", "holdId": global_id("Hold", "nobody:3")}}),
        "pointsAdjust": (ADJUST, {"input": {"idempotencyKey": "matrix", "points": 5, "reason": "X", **NAMING}}),
        "entry": (ENTRY, {"id": global_id("Entry", "nobody:1:0")}),
        "memberUpdate": (UPDATE, {"input": {"idempotencyKey": "matrix", "name": "X", **NAMING}}),
        "noticesMarkRead": (MARK_READ, {"input": {"ids": []}}),
        "memberBlock": (BLOCK, {"input": {"idempotencyKey": "matrix", "reason": "X", **NAMING}}),
        "memberUnblock": (UNBLOCK, {"input": {"idempotencyKey": "matrix", "reason": "X", **NAMING}}),
        "memberClose": (CLOSE, {"input": {"idempotencyKey": "matrix", "reason": "X", **NAMING}}),
        "pointsTransfer": (
            TRANSFER,
            {"input": {"idempotencyKey": "matrix", "points": 5, "from": NAMING["member"], "to": NAMING["member"]}},
        ),
        "memberMerge": (
            MERGE,
            {
                "input": {
                    "idempotencyKey": "matrix",
                    "reason": "X",
                    "duplicate": NAMING["member"],
                    "survivor": NAMING["member"],
                }
            },
        ),
        "memberUnmerge": (
            UNMERGE,
            {"input": {"idempotencyKey": "matrix", "reason": "X", "duplicate": NAMING["member"]}},
        ),
        "memberTierSet": (TIER_SET, {"input": {"idempotencyKey": "matrix", "tier": "sky", "reason": "X", **NAMING}}),
        "purchasesSubmit": (SUBMIT, {"input": {"idempotencyKey": "matrix", "purchases": []}}),
        "submission": (SUBMISSION, {"id": global_id("Submission", "0" * 32)}),
        "memberList": (MEMBER_LIST, {"id": global_id("MemberList", "nobody's")}),
        "memberLists": (MEMBER_LISTS, {}),
        "memberListCreate": (LIST_CREATE, {"input": {"idempotencyKey": "matrix", "name": " ", "by": "EMAIL"}}),
        "campaign": (CAMPAIGN, {"id": global_id("Campaign", "nobody's")}),
        "campaigns": (CAMPAIGNS, {}),
        "memberListImport": (LIST_IMPORT, {"input": {"idempotencyKey": "matrix", "id": "nobody's"}}),
        "program": (PROGRAM, {}),
        "clock": (CLOCK, {}),
        "job": (JOB, {"id": global_id("Job", "nobody's")}),
        "clockAdvance": (ADVANCE, {"input": {"idempotencyKey": "matrix", "advance": {"by": "P1D"}}}),
    }
    if field in CAMPAIGN_STEPS:
        named = {"id": global_id("Campaign", "nobody's")}
        drafted = {"name": " ", "code": "X", "award": {"points": 5}}
        wanted = drafted if field == "campaignCreate" else named
        operations[field] = (CAMPAIGN_STEPS[field], {"input": {"idempotencyKey": "matrix", **wanted}})
    query, variables = operations[field]
    return api.post(CALLERS[caller], query, **variables)


def test_the_table_of_permissions_is_about_every_root_field() -> None:
    schema = root.build(introspection=True)._schema
    roots = [type_ for type_ in (schema.query_type, schema.mutation_type) if isinstance(type_, GraphQLObjectType)]

    assert {field for type_ in roots for field in type_.fields} == ALLOWED.keys()


@pytest.mark.parametrize("field", ALLOWED)
@pytest.mark.parametrize("caller", CALLERS)
def test_who_may_do_what(quiet: Api, caller: str, field: str) -> None:
    with quiet.unchanged():
        answer = ask(quiet, field, caller)

    if caller == "nobody":
        assert (answer.status, answer.faults) == (401, [("UNAUTHENTICATED", None)])
    elif caller in ALLOWED[field]:
        assert answer.faults == []
    else:
        # A fault of a resolver stands beside the data of the others, so it is no 403; nothing was asked of the table.
        assert answer.faults == [("FORBIDDEN", None)]
        assert (answer.json["data"] or {field: None}) == {field: None}


def test_a_refused_field_does_not_stop_its_neighbours_and_tells_nothing(quiet: Api) -> None:
    answer = quiet.post(
        till("openid"), '{ rewards(first: 1) { nodes { handle } } member(by: {externalId: "x"}) { id } }'
    )

    assert answer.json["data"] == {"rewards": {"nodes": [{"handle": "cookie"}]}, "member": None}
    assert answer.faults == [("FORBIDDEN", None)]


# --- members and others -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(quiet: Api) -> dict[str, str]:
    """Everything of Bob's that has an id, and an id of the same shape that nobody has."""
    bob = quiet.enroll("bob", email="bob@example.com", phone="+15550001111", cardNumber="1111")
    quiet.buy("bob", 10_000, "bobs-receipt")
    redeemed = quiet.post(till(), REDEEM, input={"idempotencyKey": "b", "rewardId": "latte", "member": {"id": bob}})
    held = quiet.post(till(), HOLD, input={"idempotencyKey": "h", "points": 5, "member": {"id": bob}})
    account = account_of(bob)
    nobody = account[:-4] + ("AAAA" if account[-4:] != "AAAA" else "BBBB")
    redemption = redeemed.data["rewardRedeem"]["redemption"]["id"]
    found = {
        bob: global_id("Member", nobody),
        global_id("Purchase", "pos-harbor:bobs-receipt"): global_id("Purchase", "pos-harbor:b0bs-receipt"),
        redemption: global_id("Redemption", f"{nobody}:3:0"),
        held.data["pointsHold"]["hold"]["id"]: global_id("Hold", f"{nobody}:4"),
    }
    for seq in (1, 2, 3):
        found[global_id("Entry", f"{account}:{seq}:0")] = global_id("Entry", f"{nobody}:{seq}:0")
    return found


@pytest.fixture(scope="module", params=["enrolled", "linked", "stranger"])
def ada(request: pytest.FixtureRequest, quiet: Api) -> Claims:
    """A member who enrolled herself, one whose token names her account, and one who has none yet."""
    if request.param == "linked":
        return member("ada-linked", account=account_of(quiet.enroll("ada-linked")))
    if request.param == "enrolled":
        quiet.post(member("ada"), ENROLL, input={"idempotencyKey": "1", "externalId": "ada"})
        return member("ada")
    return member("ada-stranger")


def test_staff_sees_what_members_do_not(quiet: Api, others: dict[str, str]) -> None:
    for theirs, nobodys in others.items():
        assert quiet.post(support(), NODE, id=theirs).data["node"]["id"] == theirs
        assert quiet.post(support(), NODE, id=nobodys).data == {"node": None}


def test_ids_of_others_answer_as_if_they_did_not_exist(quiet: Api, ada: Claims, others: dict[str, str]) -> None:
    for theirs, nobodys in others.items():
        assert (
            quiet.post(ada, NODE, id=theirs).body == quiet.post(ada, NODE, id=nobodys).body == '{"data":{"node":null}}'
        )


@pytest.mark.parametrize(
    ("theirs", "nobodys"),
    [
        ({"externalId": "bob"}, {"externalId": "bab"}),
        ({"email": "bob@example.com"}, {"email": "bab@example.com"}),
        ({"phone": "+15550001111"}, {"phone": "+15550001112"}),
        ({"cardNumber": "1111"}, {"cardNumber": "1112"}),
        ({"id": None}, {"id": None}),
    ],
    ids=lambda by: next(iter(by)),
)
def test_naming_others_answers_as_if_they_did_not_exist(
    quiet: Api, ada: Claims, others: dict[str, str], theirs: dict[str, Any], nobodys: dict[str, Any]
) -> None:
    if "id" in theirs:
        bob, nobody = next(iter(others.items()))
        theirs, nobodys = {"id": bob}, {"id": nobody}

    asked = [quiet.post(ada, MEMBER, by=by) for by in (theirs, nobodys)]
    with quiet.unchanged():
        redeemed = [
            quiet.post(ada, REDEEM, input={"idempotencyKey": "steal", "rewardId": "cookie", "member": by})
            for by in (theirs, nobodys)
        ]

    assert asked[0].body == asked[1].body == '{"data":{"member":null}}'
    assert redeemed[0].body == redeemed[1].body
    assert redeemed[0].refusals == [("MEMBER_NOT_FOUND", "input.member")]


def test_an_enrolled_member_sees_themselves_in_every_way(quiet: Api) -> None:
    me = member("carol")
    details = {"externalId": "carol", "email": "carol@example.com", "phone": "+15550002222", "cardNumber": "2222"}
    mine = quiet.post(me, ENROLL, input={"idempotencyKey": "1", **details}).data["memberEnroll"]["member"]["id"]
    quiet.buy("carol", 700, "carols-receipt")

    for by in ({"id": mine}, *({name: value} for name, value in details.items())):
        assert quiet.post(me, MEMBER, by=by).data["member"]["account"]["balance"] == 7
    for each in (
        mine,
        global_id("Purchase", "pos-harbor:carols-receipt"),
        global_id("Entry", f"{account_of(mine)}:2:0"),
    ):
        assert quiet.post(me, NODE, id=each).data["node"]["id"] == each


def test_a_till_without_the_members_scope_sees_no_member_by_id(quiet: Api, others: dict[str, str]) -> None:
    for claims in (till("regulars/purchases"), till("regulars/redemptions"), till("openid")):
        for each in others:
            if from_id(each)[0] != "Purchase":
                assert quiet.post(claims, NODE, id=each).data == {"node": None}


def test_purchases_are_seen_by_those_who_record_them(quiet: Api, others: dict[str, str]) -> None:
    bobs = global_id("Purchase", "pos-harbor:bobs-receipt")

    for claims in (till("regulars/purchases"), support(), manager()):
        assert quiet.post(claims, NODE, id=bobs).data["node"]["id"] == bobs
    for claims in (till("regulars/members"), till("regulars/redemptions"), till("openid")):
        assert quiet.post(claims, NODE, id=bobs).data == {"node": None}
