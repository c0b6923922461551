"""Blocking, unblocking and closing through the API, and what staff write about it."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from schema.nodes import from_id, to_id
from tests.handlers.api import (
    ADJUST,
    BLOCK,
    CLOSE,
    ENROLL,
    ENTRY,
    HOLD,
    MEMBER,
    PURCHASE,
    REDEEM,
    UNBLOCK,
    VIEWER,
    Answer,
    Api,
    Claims,
    account_of,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.conftest import Clock

NOTE = "Two people at one counter.\nCalled both."


@pytest.fixture
def ada(api: Api, clock: Clock) -> str:
    """A member with 100 points and a login of her own, whom no other test uses; the external id."""
    external_id = f"ada-{uuid4().hex[:12]}"
    api.enroll(external_id, member(external_id), email=f"{external_id}@example.com")
    api.buy(external_id, 10_000)
    return external_id


def turn(api: Api, query: str, who: str, key: str = "k", caller: Claims | None = None, **more: Any) -> Answer:
    wanted = {"idempotencyKey": f"{key} {who}", "reason": "SUSPICION", **more}
    if caller is None:
        wanted["member"] = {"externalId": who}
    return api.post(caller or manager(), query, input=wanted)


def redeem(api: Api, who: str, key: str = "r") -> Answer:
    return api.post(
        till(), REDEEM, input={"idempotencyKey": f"{key} {who}", "rewardId": "latte", "member": {"externalId": who}}
    )


# --- blocked ----------------------------------------------------------------------------------------------------------


def test_a_blocked_account_keeps_its_points_and_neither_spends_nor_earns(api: Api, ada: str) -> None:
    blocked = turn(api, BLOCK, ada).data["memberBlock"]

    assert blocked["account"] == {"balance": 100, "status": "BLOCKED"}
    assert redeem(api, ada).refusals == [("MEMBER_BLOCKED", "input.member")]
    bought = api.buy(ada, 5_000)
    assert bought["entry"] == {
        "points": 0,
        "balanceAfter": 100,
        "explanation": [{"rule": "account:blocked", "points": 0}],
    }
    (edge, *_) = api.member(ada)["entries"]["edges"]
    assert edge["node"]["explanation"][0]["description"] == "0 points: the account was blocked."
    home = api.post(member(ada), "{ viewer { account { balance status } } }").data["viewer"]
    assert home["account"] == {"balance": 100, "status": "BLOCKED"}


def test_an_unblocked_account_is_as_before(api: Api, ada: str) -> None:
    turn(api, BLOCK, ada, "b")
    unblocked = turn(api, UNBLOCK, ada, "u", reason="CLEARED").data["memberUnblock"]

    assert (unblocked["account"], unblocked["entry"]["reason"]) == ({"balance": 100, "status": "ACTIVE"}, "CLEARED")
    assert redeem(api, ada).data["rewardRedeem"]["account"]["balance"] == 60


def test_what_is_so_already_is_refused_for_good(api: Api, ada: str) -> None:
    assert turn(api, UNBLOCK, ada, "u").refusals == [("NOT_BLOCKED", "input.member")]
    turn(api, BLOCK, ada, "b")
    assert turn(api, BLOCK, ada, "b2").refusals == [("ALREADY_BLOCKED", "input.member")]

    with api.unchanged():
        again = turn(api, UNBLOCK, ada, "u")
        assert (again.refusals, again.data["memberUnblock"]["replayed"]) == ([("NOT_BLOCKED", "input.member")], True)


def test_a_turn_sent_again_is_answered_again(api: Api, ada: str) -> None:
    first = turn(api, BLOCK, ada, note=NOTE).data["memberBlock"]

    with api.unchanged():
        again = turn(api, BLOCK, ada, note=NOTE).data["memberBlock"]
        other = turn(api, BLOCK, ada, note="Something else.")

    assert again == {**first, "replayed": True}
    assert other.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


# --- closed -----------------------------------------------------------------------------------------------------------


def test_what_is_left_goes_with_the_account_and_the_entry_says_so(api: Api, ada: str) -> None:
    closed = turn(api, CLOSE, ada, reason="MOVED_AWAY").data["memberClose"]

    assert closed["account"] == {"balance": 0, "pending": 0, "debt": 0, "status": "CLOSED"}
    assert (closed["entry"]["points"], closed["entry"]["reason"]) == (-100, "MOVED_AWAY")
    shown = api.post(support(), ENTRY, id=closed["entry"]["id"]).data["entry"]
    assert (shown["__typename"], shown["balanceAfter"]) == ("ClosureEntry", 0)
    assert shown["explanation"] == [
        {
            "rule": "closure:MOVED_AWAY",
            "points": -100,
            "description": "The membership ended, and 100 points with it: MOVED_AWAY.",
        }
    ]
    assert [(bucket["pot"], bucket["points"]) for bucket in shown["buckets"]] == [("BALANCE", -100)]


def test_who_left_can_join_anew_and_support_still_sees_who_they_were(api: Api, ada: str) -> None:
    me, old = member(ada), api.member(ada)["id"]
    left = turn(api, CLOSE, ada, caller=me, reason="NO_TIME")

    assert left.refusals == []
    assert api.post(me, VIEWER).data == {"viewer": None}
    assert api.post(support(), MEMBER, by={"externalId": ada}).data == {"member": None}
    again = api.post(
        me, ENROLL, input={"idempotencyKey": "again", "externalId": ada, "email": f"{ada}@example.com"}
    ).data["memberEnroll"]
    assert again["userErrors"] == []
    assert again["member"]["id"] != old
    assert api.post(me, VIEWER).data["viewer"] == {"id": again["member"]["id"], "account": {"balance": 0}}
    was = api.post(
        support(), "query($by: MemberByInput!) { member(by: $by) { email account { status } } }", by={"id": old}
    ).data["member"]
    assert was == {"email": f"{ada}@example.com", "account": {"status": "CLOSED"}}


def test_the_last_answer_can_be_had_again(api: Api, ada: str) -> None:
    me = member(ada)
    first = turn(api, CLOSE, ada, caller=me).data["memberClose"]

    with api.unchanged():
        again = turn(api, CLOSE, ada, caller=me).data["memberClose"]
        other = turn(api, CLOSE, ada, "k2", caller=me)
    assert again == {**first, "replayed": True}
    assert other.refusals == [("MEMBER_NOT_FOUND", "input.member")]


def test_a_receipt_that_is_sent_again_after_the_member_left_is_answered_as_before(api: Api, ada: str) -> None:
    wanted = receipt(f"{ada}-before", ada, 500)
    first = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]
    turn(api, CLOSE, ada)

    with api.unchanged():
        again = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]
        new = api.post(till(), PURCHASE, input=receipt(f"{ada}-after", ada, 500))
    assert again == {**first, "replayed": True}
    assert new.refusals == [("MEMBER_NOT_FOUND", "input.member")]


def test_every_operation_on_a_closed_account_is_refused(api: Api, ada: str) -> None:
    by = {"id": api.member(ada)["id"]}
    turn(api, CLOSE, ada)

    calls: list[tuple[Claims, str, dict[str, Any]]] = [
        (manager(), BLOCK, {"reason": "X"}),
        (manager(), UNBLOCK, {"reason": "X"}),
        (manager(), CLOSE, {"reason": "X"}),
        (manager(), ADJUST, {"reason": "X", "points": 5}),
        (till(), REDEEM, {"rewardId": "latte"}),
        (till(), HOLD, {"points": 5}),
    ]
    for number, (caller, query, more) in enumerate(calls):
        answer = api.post(caller, query, input={"idempotencyKey": f"{ada} {number}", "member": by, **more})
        assert answer.refusals == [("MEMBER_CLOSED", "input.member")], query
    answer = api.post(till(), PURCHASE, input={**receipt(f"{ada}-late", ada, 500), "member": by})
    assert answer.refusals == [("MEMBER_CLOSED", "input.member")]


def test_a_membership_does_not_end_over_a_hold_or_out_of_a_block(api: Api, ada: str) -> None:
    held = {"idempotencyKey": ada, "points": 30, "member": {"externalId": ada}}
    api.post(till(), HOLD, input=held)
    assert turn(api, CLOSE, ada).refusals == [("HOLDS_OPEN", "input.member")]
    turn(api, BLOCK, ada, "b")

    assert turn(api, CLOSE, ada, "mine", member(ada)).refusals == [("MEMBER_BLOCKED", "input.member")]


def test_a_token_that_names_the_account_sees_it_closed(api: Api, ada: str) -> None:
    me = member(f"named-{ada}", account=account_of(api.member(ada)["id"]))
    turn(api, CLOSE, ada, caller=me)

    assert api.post(me, "{ viewer { account { status } } }").data["viewer"] == {"account": {"status": "CLOSED"}}


# --- notes and authors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "name", "more"),
    [
        (BLOCK, "memberBlock", {}),
        (UNBLOCK, "memberUnblock", {}),
        (CLOSE, "memberClose", {}),
        (ADJUST, "pointsAdjust", {"points": 5}),
    ],
)
def test_staff_read_notes_and_authors_and_nobody_else_does(
    api: Api, ada: str, query: str, name: str, more: dict[str, Any]
) -> None:
    if query == UNBLOCK:
        turn(api, BLOCK, ada, "b")
    entry = turn(api, query, ada, note=NOTE, **more).data[name]["entry"]

    for caller in (support(), manager()):
        shown = api.post(caller, ENTRY, id=entry["id"]).data["entry"]
        assert (shown["note"], shown["actor"]) == (NOTE, f"s.{manager()['sub']}")
    for caller in (till(), member("reads", account=account_of(entry_account(entry["id"])))):
        shown = api.post(caller, ENTRY, id=entry["id"]).data["entry"]
        assert (shown["note"], shown["actor"]) == (None, None)


def entry_account(entry_id: str) -> str:
    """A member id of the account an entry is of."""
    return to_id("Member", from_id(entry_id)[1].partition(":")[0])


def test_the_author_of_a_note_reads_it_in_the_answer(api: Api, ada: str) -> None:
    entry = turn(api, BLOCK, ada, note=NOTE).data["memberBlock"]["entry"]

    assert (entry["note"], entry["actor"]) == (NOTE, f"s.{manager()['sub']}")
    without = turn(api, UNBLOCK, ada, "u").data["memberUnblock"]["entry"]
    assert without["note"] is None


def test_a_note_stands_in_one_place_and_can_be_erased(quiet: Api, clock: Clock) -> None:
    quiet.enroll("noted")
    answer = turn(quiet, BLOCK, "noted", note=NOTE).data["memberBlock"]

    (key,) = [key for key, item in quiet.items().items() if "counter" in json.dumps(item, default=repr)]
    assert key[1].startswith("A#N#")
    quiet.client.delete_item(TableName=quiet.table, Key={"PK": {"S": key[0]}, "SK": {"S": key[1]}})
    erased = quiet.post(support(), ENTRY, id=answer["entry"]["id"]).data["entry"]
    assert (erased["note"], erased["explanation"][0]["rule"]) == (None, "block:SUSPICION")


def test_the_same_words_twice_cannot_be_told_by_their_hashes(quiet: Api, clock: Clock) -> None:
    quiet.enroll("noted twice")
    turn(quiet, BLOCK, "noted twice", "b", note="The same.")
    turn(quiet, UNBLOCK, "noted twice", "u", note="The same.")

    account = account_of(quiet.member("noted twice")["id"])
    assert len([key for key in quiet.items() if key[0] == f"M#{account}" and key[1].startswith("A#N#")]) == 2
