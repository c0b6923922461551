"""Giving points through the API, and what each side can see of it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.handlers.api import (
    BLOCK,
    HOLD,
    NODE,
    TRANSFER,
    VIEWER,
    Answer,
    Api,
    Claims,
    account_of,
    global_id,
    manager,
    member,
    support,
    till,
)
from tests.handlers.conftest import Clock


@pytest.fixture
def pair(api: Api, clock: Clock) -> tuple[str, str]:
    """Ada with 100 points and Bob with none, each with a login of the same name; their external ids."""
    ada, bob = (f"{name}-{uuid4().hex[:12]}" for name in ("ada", "bob"))
    api.enroll(ada, member(ada), name="Ada Lovelace", email=f"{ada}@example.com")
    api.enroll(bob, member(bob), name="Bob Moog", email=f"{bob}@example.com", cardNumber=f"card {bob}")
    api.buy(ada, 10_000)
    return ada, bob


def give(
    api: Api,
    caller: Claims,
    to: dict[str, Any],
    points: int = 30,
    key: str = "k",
    giver: dict[str, str] | None = None,
) -> Answer:
    wanted = {"idempotencyKey": key, "to": to, "points": points}
    return api.post(caller, TRANSFER, input=wanted if giver is None else {**wanted, "from": giver})


def test_a_member_gives_points_to_a_friend(api: Api, pair: tuple[str, str]) -> None:
    ada, bob = pair

    payload = give(api, member(ada), {"email": f"{bob}@example.com"}).data["pointsTransfer"]

    assert payload["transfer"]["points"] == 30
    assert (payload["entry"]["points"], payload["entry"]["balanceAfter"]) == (-30, 70)
    assert (payload["account"], payload["replayed"], payload["userErrors"]) == ({"balance": 70}, False, [])
    assert api.balance(bob) == 30
    (received, *_), (sent, *_) = (api.member(name)["entries"]["edges"] for name in (bob, ada))
    assert (received["node"]["__typename"], sent["node"]["__typename"]) == ("TransferInEntry", "TransferOutEntry")
    assert received["node"]["explanation"] == [
        {
            "rule": "transfer",
            "points": 30,
            "description": "30 points came from another member; they keep their expiry dates.",
        }
    ]
    assert api.member(bob)["account"]["expiring"] == [{"on": "2032-01-31", "points": 30}]


def test_a_gift_sent_again_is_answered_again(api: Api, pair: tuple[str, str]) -> None:
    ada, bob = pair
    first = give(api, member(ada), {"externalId": bob}).data["pointsTransfer"]

    with api.unchanged():
        again = give(api, member(ada), {"externalId": bob})
        other = give(api, member(ada), {"externalId": bob}, points=31)

    assert again.data["pointsTransfer"] == {**first, "replayed": True}
    assert other.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


def test_both_sides_can_fetch_a_transfer_again_and_nobody_else(api: Api, pair: tuple[str, str]) -> None:
    ada, bob = pair
    transfer = give(api, member(ada), {"externalId": bob}).data["pointsTransfer"]["transfer"]["id"]
    query = "query($id: ID!) { node(id: $id) { id ... on Transfer { points transferredAt } } }"
    seen = {"node": {"id": transfer, "points": 30, "transferredAt": "2030-01-10T17:00:00.000Z"}}

    for caller in (member(ada), member(bob), support(), till("regulars/members")):
        assert api.post(caller, query, id=transfer).data == seen
    for caller in (member("stranger"), till("regulars/purchases")):
        assert api.post(caller, query, id=transfer).body == '{"data":{"node":null}}'
    # The two entries name it, and the receiver's is theirs alone.
    ids = []
    for caller in (member(ada), member(bob)):
        entries = """{ viewer { entries(first: 1) { edges { node {
            ... on TransferOutEntry { transferId } ... on TransferInEntry { transferId } } } } } }"""
        (edge,) = api.post(caller, entries).data["viewer"]["entries"]["edges"]
        ids.append(edge["node"]["transferId"])
    assert ids == [transfer, transfer]


def test_the_id_of_no_transfer_is_null(api: Api, pair: tuple[str, str]) -> None:
    ada, bob = pair
    give(api, member(ada), {"externalId": bob})
    accounts = [account_of(api.member(name)["id"]) for name in pair]

    for place in ("", ":3:0", f"{accounts[0]}:2:0", f"{accounts[0]}:3:1", f"{accounts[0]}:4:0", f"{accounts[1]}:2:0"):
        assert api.post(support(), NODE, id=global_id("Transfer", place)).data == {"node": None}


def test_a_giver_learns_nothing_of_the_receiver(api: Api, pair: tuple[str, str]) -> None:
    ada, bob = pair
    mine = api.post(member(ada), VIEWER).data["viewer"]["id"]

    answers = [
        give(api, member(ada), {"cardNumber": f"card {bob}"}, points=1).body,
        give(api, member(ada), {"cardNumber": f"card {bob}"}, points=1_000, key="k2").body,
    ]

    theirs = account_of(api.member(bob)["id"])
    for body in answers:
        for secret in ("Moog", f"{bob}@example.com", theirs, global_id("Member", theirs)):
            assert secret not in body
    assert mine not in answers[1]


def test_whoever_cannot_get_points_is_not_found_by_members(api: Api, pair: tuple[str, str]) -> None:
    ada, bob = pair
    api.post(support(), BLOCK, input={"idempotencyKey": bob, "member": {"externalId": bob}, "reason": "X"})

    with api.unchanged():
        blocked = give(api, member(ada), {"externalId": bob})
        nobody = give(api, member(ada), {"externalId": f"no {bob}"})
    assert blocked.body == nobody.body
    assert nobody.refusals == [("MEMBER_NOT_FOUND", "input.to")]
    from_staff = give(api, manager(), {"externalId": bob}, key=ada, giver={"externalId": ada})
    assert from_staff.refusals == [("MEMBER_BLOCKED", "input.to")]


def test_members_give_what_is_theirs_only(api: Api, pair: tuple[str, str]) -> None:
    ada, bob = pair

    with api.unchanged():
        stolen = give(api, member(bob), {"externalId": bob}, giver={"externalId": ada})
        nobodys = give(api, member(bob), {"externalId": bob}, giver={"externalId": f"no {ada}"})
    assert stolen.body == nobodys.body
    assert stolen.refusals == [("MEMBER_NOT_FOUND", "input.from")]
    named = give(api, member(ada), {"externalId": bob}, giver={"externalId": ada})
    assert named.data["pointsTransfer"]["account"] == {"balance": 70}


@pytest.mark.parametrize(
    ("points", "code", "message"),
    [
        (501, "TRANSFER_LIMIT", "Give 1 to 500 points at a time."),
        (101, "INSUFFICIENT_POINTS", "101 points are needed, 100 are available."),
    ],
)
def test_a_refusal_says_why_and_is_final(api: Api, pair: tuple[str, str], points: int, code: str, message: str) -> None:
    ada, bob = pair

    refused = give(api, member(ada), {"externalId": bob}, points=points)

    assert refused.refusals == [(code, "input.points")]
    assert refused.data["pointsTransfer"]["userErrors"][0]["message"] == message
    api.buy(ada, 90_000)
    with api.unchanged():
        again = give(api, member(ada), {"externalId": bob}, points=points)
    assert again.data["pointsTransfer"] == {**refused.data["pointsTransfer"], "replayed": True}


def test_a_day_has_a_limit_and_the_next_day_another(api: Api, pair: tuple[str, str], clock: Clock) -> None:
    ada, bob = pair
    api.buy(ada, 200_000)
    for number in range(2):
        give(api, member(ada), {"externalId": bob}, points=490, key=f"{number}")

    refused = give(api, member(ada), {"externalId": bob}, points=21, key="more")
    (error,) = refused.data["pointsTransfer"]["userErrors"]
    assert error["message"] == "20 of the 1000 points that can be given on one day are left."
    clock.advance(days=1)
    assert give(api, member(ada), {"externalId": bob}, points=21, key="later").refusals == []


def test_held_points_are_not_to_give(api: Api, pair: tuple[str, str]) -> None:
    ada, bob = pair
    api.post(till(), HOLD, input={"idempotencyKey": ada, "member": {"externalId": ada}, "points": 80})

    assert give(api, member(ada), {"externalId": bob}).refusals == [("INSUFFICIENT_POINTS", "input.points")]
    assert (api.balance(ada), api.balance(bob)) == (20, 0)
