"""Holds through the API: a till's sale from setting points aside to taking them, and everything that can come between."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.handlers.api import (
    CAPTURE,
    HOLD,
    NODE,
    REDEEM,
    RELEASE,
    Answer,
    Api,
    account_of,
    global_id,
    manager,
    member,
    support,
    till,
)
from tests.handlers.conftest import Clock

HISTORY = """query History($by: MemberByInput!) {
  member(by: $by) {
    account { balance held holds { id points lapsesAt } }
    entries(first: 2) {
      edges {
        node {
          __typename id points balanceAfter at
          explanation { rule points description }
          buckets { pot points expiresOn }
          ... on HoldEntry { holdId held lapsesAt }
          ... on CaptureEntry { holdId }
          ... on ReleaseEntry { holdId }
          ... on LapseEntry { holdId }
        }
      }
    }
  }
}"""
OPEN_HOLD = "query Hold($id: ID!) { node(id: $id) { __typename id ... on Hold { points lapsesAt } } }"
OTHER_TILL = till(client="2kq8n5another0till")


@pytest.fixture
def ada(api: Api, clock: Clock) -> str:
    """A member with 100 points, whom no other test uses; the external id."""
    external_id = f"ada-{uuid4().hex[:12]}"
    api.enroll(external_id)
    api.buy(external_id, 10_000)
    return external_id


def hold(api: Api, who: str, points: int, key: str = "hold", **more: Any) -> Answer:
    wanted = {"idempotencyKey": f"{key} {who}", "member": {"externalId": who}, "points": points, **more}
    return api.post(till(), HOLD, input=wanted)


def held(api: Api, who: str, points: int, key: str = "hold", **more: Any) -> str:
    """The id of a new hold."""
    payload = hold(api, who, points, key, **more).data["pointsHold"]
    assert payload["userErrors"] == []
    hold_id: str = payload["hold"]["id"]
    return hold_id


def capture(api: Api, hold_id: str, key: str = "capture", **more: Any) -> Answer:
    return api.post(till(), CAPTURE, input={"idempotencyKey": f"{key} {hold_id}", "holdId": hold_id, **more})


def release(api: Api, hold_id: str, key: str = "release") -> Answer:
    return api.post(till(), RELEASE, input={"idempotencyKey": f"{key} {hold_id}", "holdId": hold_id})


def history(api: Api, who: str) -> dict[str, Any]:
    found: dict[str, Any] = api.post(support(), HISTORY, by={"externalId": who}).data["member"]
    return found


def newest(api: Api, who: str) -> dict[str, Any]:
    """The newest entry."""
    entry: dict[str, Any] = history(api, who)["entries"]["edges"][0]["node"]
    return entry


# --- the sale -----------------------------------------------------------------------------------------------------------


def test_a_till_sets_points_aside(api: Api, ada: str) -> None:
    payload = hold(api, ada, 30).data["pointsHold"]

    hold_id = payload["hold"]["id"]
    assert payload == {
        "hold": {"id": hold_id, "points": 30, "lapsesAt": "2030-01-10T17:15:00.000Z"},
        "entry": {"id": payload["entry"]["id"], "balanceAfter": 70},
        "account": {"balance": 70, "held": 30},
        "replayed": False,
        "userErrors": [],
    }
    seen = history(api, ada)
    assert seen["account"] == {"balance": 70, "held": 30, "holds": [payload["hold"]]}
    assert seen["entries"]["edges"][0]["node"] == {
        "__typename": "HoldEntry",
        "id": payload["entry"]["id"],
        "points": 0,
        "balanceAfter": 70,
        "at": "2030-01-10T17:00:00.000Z",
        "explanation": [
            {
                "rule": "hold",
                "points": -30,
                "description": "30 points set aside until 2030-01-10T17:15:00Z, soonest-expiring points first.",
            }
        ],
        "buckets": [
            {"pot": "BALANCE", "points": -30, "expiresOn": "2032-01-31"},
            {"pot": "HELD", "points": 30, "expiresOn": "2032-01-31"},
        ],
        "holdId": hold_id,
        "held": 30,
        "lapsesAt": "2030-01-10T17:15:00.000Z",
    }


def test_a_till_takes_what_the_sale_needs_and_the_rest_is_back_at_once(api: Api, ada: str, clock: Clock) -> None:
    hold_id = held(api, ada, 30)
    clock.advance(minutes=2)

    payload = capture(api, hold_id, points=21).data["pointsCapture"]

    assert payload == {
        "entry": {"id": payload["entry"]["id"], "points": -21, "balanceAfter": 79},
        "account": {"balance": 79, "held": 0},
        "replayed": False,
        "userErrors": [],
    }
    entry = newest(api, ada)
    assert (entry["__typename"], entry["holdId"], entry["at"]) == ("CaptureEntry", hold_id, "2030-01-10T17:02:00.000Z")
    assert entry["explanation"] == [
        {"rule": "capture", "points": -21, "description": "21 held points spent, 9 went back."}
    ]


def test_a_capture_takes_the_whole_hold_when_it_does_not_say_how_much(api: Api, ada: str) -> None:
    hold_id = held(api, ada, 30)

    assert capture(api, hold_id).data["pointsCapture"]["account"] == {"balance": 70, "held": 0}


def test_a_till_lets_points_go(api: Api, ada: str) -> None:
    hold_id = held(api, ada, 30)

    payload = release(api, hold_id).data["pointsRelease"]

    assert payload == {
        "entry": {"id": payload["entry"]["id"], "points": 0, "balanceAfter": 100},
        "account": {"balance": 100, "held": 0},
        "replayed": False,
        "userErrors": [],
    }
    assert (newest(api, ada)["__typename"], newest(api, ada)["holdId"]) == ("ReleaseEntry", hold_id)


def test_another_till_or_a_manager_may_end_a_hold(api: Api, ada: str) -> None:
    first, second = (held(api, ada, 30, key) for key in ("one", "two"))

    for caller, query, hold_id in ((OTHER_TILL, CAPTURE, first), (manager(), RELEASE, second)):
        answer = api.post(caller, query, input={"idempotencyKey": f"end {ada}", "holdId": hold_id})
        assert answer.complaints == []

    assert api.balance(ada) == 70


def test_a_hold_lapses_before_anybody_books_it(api: Api, ada: str, clock: Clock) -> None:
    hold_id = held(api, ada, 30, ttlSeconds=60)
    clock.advance(seconds=59, milliseconds=999)
    assert history(api, ada)["account"]["held"] == 30

    clock.advance(milliseconds=1)

    with_time = history(api, ada)
    assert with_time["account"] == {"balance": 100, "held": 0, "holds": []}
    entry = with_time["entries"]["edges"][0]["node"]
    assert (entry["__typename"], entry["holdId"], entry["balanceAfter"]) == ("LapseEntry", hold_id, 100)
    assert entry["at"] == "2030-01-10T17:01:00.000Z"
    # It is found under the id it has now when somebody has booked it.
    assert api.post(support(), NODE, id=entry["id"]).data["node"]["__typename"] == "LapseEntry"
    assert capture(api, hold_id).refusals == [("HOLD_ENDED", "input.holdId")]
    api.buy(ada, 100)
    assert history(api, ada)["entries"]["edges"][1]["node"] == entry


# --- again --------------------------------------------------------------------------------------------------------------


def test_what_is_sent_again_is_answered_again_and_the_account_is_as_it_is_now(api: Api, ada: str, clock: Clock) -> None:
    first = hold(api, ada, 30).data["pointsHold"]
    hold_id = first["hold"]["id"]
    captured = capture(api, hold_id, points=20).data["pointsCapture"]
    other = held(api, ada, 10, "other")
    released = release(api, other).data["pointsRelease"]
    clock.advance(days=29)
    now = {"balance": 80, "held": 0}

    with api.unchanged():
        again = [
            hold(api, ada, 30).data["pointsHold"],
            capture(api, hold_id, points=20).data["pointsCapture"],
            release(api, other).data["pointsRelease"],
        ]

    assert again == [{**payload, "replayed": True, "account": now} for payload in (first, captured, released)]


def test_a_key_is_for_one_wish(api: Api, ada: str) -> None:
    hold_id = held(api, ada, 30)
    capture(api, hold_id, points=20)

    with api.unchanged():
        answers = [
            hold(api, ada, 31),
            hold(api, ada, 30, ttlSeconds=900),
            capture(api, hold_id, points=21),
            capture(api, hold_id),
            release(api, hold_id, "capture"),
        ]

    assert [answer.refusals for answer in answers] == [[("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]] * 5


# --- refusals -----------------------------------------------------------------------------------------------------------


def test_no_more_is_held_than_there_is(api: Api, ada: str) -> None:
    answer = hold(api, ada, 101)

    assert answer.refusals == [("INSUFFICIENT_POINTS", "input.points")]
    assert answer.data["pointsHold"]["hold"] is None
    assert answer.data["pointsHold"]["account"] is None
    api.buy(ada, 50_000)
    again = hold(api, ada, 101)
    assert again.refusals == answer.refusals
    assert again.data["pointsHold"]["replayed"]


def test_held_points_cannot_be_spent(api: Api, ada: str) -> None:
    held(api, ada, 90)

    answer = api.post(
        till(), REDEEM, input={"idempotencyKey": ada, "rewardId": "cookie", "member": {"externalId": ada}}
    )

    (error,) = answer.data["rewardRedeem"]["userErrors"]
    assert error["code"] == "INSUFFICIENT_POINTS"
    assert error["message"] == "15 points are needed, 10 are available, 90 more are held."


def test_a_member_has_eight_open_holds_at_most(api: Api, ada: str) -> None:
    made = [held(api, ada, 5, str(number)) for number in range(8)]

    assert hold(api, ada, 5, "ninth").refusals == [("TOO_MANY_HOLDS", "input.member")]
    release(api, made[0])
    assert hold(api, ada, 5, "ninth").refusals == [("TOO_MANY_HOLDS", "input.member")]
    assert hold(api, ada, 5, "another").refusals == []


def test_no_more_is_captured_than_is_held_and_a_hold_ends_once(api: Api, ada: str) -> None:
    hold_id = held(api, ada, 30)

    assert capture(api, hold_id, "too much", points=31).refusals == [("CAPTURE_EXCEEDS_HOLD", "input.points")]
    assert history(api, ada)["account"]["held"] == 30
    assert capture(api, hold_id, points=30).refusals == []
    for answer, name in ((capture(api, hold_id, "late"), "pointsCapture"), (release(api, hold_id), "pointsRelease")):
        (error,) = answer.data[name]["userErrors"]
        assert error == {
            "code": "HOLD_ENDED",
            "field": ["input", "holdId"],
            "message": "The hold was captured at 2030-01-10T17:00:00Z.",
        }
    assert api.balance(ada) == 70


def test_a_refused_hold_leaves_its_claim_and_nothing_else(api: Api, ada: str) -> None:
    before = api.items()

    hold(api, ada, 101)

    new = {key: item for key, item in api.items().items() if key not in before}
    assert {key: item for key, item in api.items().items() if key not in new} == before
    ((key, claim),) = new.items()
    assert key[0].startswith("K#")
    assert claim["r"]["L"][0] == {"S": "INSUFFICIENT_POINTS"}


# --- ids ----------------------------------------------------------------------------------------------------------------


def test_an_open_hold_is_found_by_its_id_and_an_ended_one_is_not(api: Api, ada: str, clock: Clock) -> None:
    captured, lapsing = held(api, ada, 30, "one"), held(api, ada, 20, "two", ttlSeconds=60)

    found = [api.post(support(), OPEN_HOLD, id=each).data["node"] for each in (captured, lapsing)]
    assert found == [
        {"__typename": "Hold", "id": captured, "points": 30, "lapsesAt": "2030-01-10T17:15:00.000Z"},
        {"__typename": "Hold", "id": lapsing, "points": 20, "lapsesAt": "2030-01-10T17:01:00.000Z"},
    ]
    capture(api, captured)
    assert api.post(support(), OPEN_HOLD, id=captured).data == {"node": None}
    clock.advance(seconds=60)
    assert api.post(support(), OPEN_HOLD, id=lapsing).data == {"node": None}


def test_members_see_their_own_holds_and_nobody_elses(api: Api, clock: Clock) -> None:
    names = [f"{name}-{uuid4().hex[:12]}" for name in ("ada", "bob")]
    holds_of = {}
    for name in names:
        account = account_of(api.enroll(name))
        api.buy(name, 1_000)
        holds_of[name] = (member(name, account=account), held(api, name, 5))

    (ada, adas), (bob, bobs) = holds_of.values()
    assert api.post(ada, OPEN_HOLD, id=adas).data["node"]["points"] == 5
    assert api.post(ada, OPEN_HOLD, id=bobs).data == api.post(bob, OPEN_HOLD, id=adas).data == {"node": None}


def test_an_id_that_is_no_hold_of_anybody_finds_nothing(api: Api, ada: str) -> None:
    account = account_of(api.member(ada)["id"])
    held(api, ada, 5)

    for place in (
        f"{account}:1",
        f"{account}:03",
        f"{account}:",
        account,
        f"{account}:3:0",
        f"{account}:x",
        "nobody:3",
    ):
        assert api.post(support(), OPEN_HOLD, id=global_id("Hold", place)).data == {"node": None}
