"""Looking back through the API: an account at any past instant, and one entry with all it explains."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.handlers.api import AS_OF, BLOCK, ENTRY, REDEEM, Api, account_of, global_id, member, support, till
from tests.handlers.conftest import Clock


@pytest.fixture
def ada(api: Api, clock: Clock) -> str:
    """A member whom no other test uses; the external id."""
    external_id = f"ada-{uuid4().hex[:12]}"
    api.enroll(external_id, member(external_id))
    return external_id


def at(api: Api, who: str, instant: datetime | str | None) -> dict[str, Any]:
    text = instant.isoformat() if isinstance(instant, datetime) else instant
    found: dict[str, Any] = api.post(support(), AS_OF, by={"externalId": who}, at=text).data["member"]["account"]
    return found


def test_an_account_is_seen_as_it_was_at_any_instant(api: Api, ada: str, clock: Clock) -> None:
    enrolled = clock.now
    balances = {enrolled: 0}
    for number in range(1, 30):
        clock.advance(days=1)
        api.buy(ada, 100, f"{ada}-{number}")
        balances[clock.now] = number
    clock.advance(days=1)
    by = {"idempotencyKey": ada, "member": {"externalId": ada}}
    api.post(till(), REDEEM, input={**by, "rewardId": "cookie"})
    balances[clock.now] = 14
    clock.advance(days=1)
    api.post(support(), BLOCK, input={**by, "reason": "X"})
    blocked = clock.now
    clock.advance(days=900)

    for instant, balance in balances.items():
        for moment in (instant, instant + timedelta(hours=23)):
            assert (at(api, ada, moment)["balance"], at(api, ada, moment)["status"]) == (balance, "ACTIVE")
    assert at(api, ada, blocked)["status"] == "BLOCKED"
    # 24 months, to the end of the month: what expired since is nobody's entry yet.
    assert at(api, ada, blocked)["expiring"] == [{"on": "2032-01-31", "points": 6}, {"on": "2032-02-29", "points": 8}]
    assert at(api, ada, "2032-01-31T23:59:59-05:00")["balance"] == 14
    assert at(api, ada, "2032-02-01T00:00:00-05:00")["balance"] == 8
    assert at(api, ada, None) == at(api, ada, clock.now) != at(api, ada, blocked)


def test_one_request_may_compare_two_instants(api: Api, ada: str, clock: Clock) -> None:
    start = clock.now
    clock.advance(days=1)
    api.buy(ada, 700)

    viewer = api.post(
        member(ada),
        """query($start: DateTime!) { viewer {
          now: account { balance } alsoNow: account(asOf: null) { balance } then: account(asOf: $start) { balance }
        } }""",
        start=start.isoformat(),
    ).data["viewer"]

    assert viewer == {"now": {"balance": 7}, "alsoNow": {"balance": 7}, "then": {"balance": 0}}


def test_before_the_enrollment_and_after_now_there_is_no_account(api: Api, ada: str, clock: Clock) -> None:
    api.buy(ada, 700)
    enrolled, step = clock.now, timedelta(milliseconds=1)
    clock.advance(hours=1)

    with api.unchanged():
        for wrong in (enrolled - step, clock.now + step, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
            text = wrong.isoformat() if isinstance(wrong, datetime) else wrong
            answer = api.post(support(), AS_OF, by={"externalId": ada}, at=text)
            assert answer.faults == [("BAD_USER_INPUT", "asOf")], answer.body
            assert answer.json["data"] == {"member": None}
        unreadable: list[Any] = ["yesterday", "2030-01-10", 5, True, []]
        for senseless in unreadable:
            answer = api.post(support(), AS_OF, by={"externalId": ada}, at=senseless)
            assert answer.faults == [("BAD_USER_INPUT", "at")], answer.body
            query = (
                f'{{ member(by: {{externalId: "{ada}"}}) {{ account(asOf: {json.dumps(senseless)}) {{ balance }} }} }}'
            )
            assert [code for code, _ in api.post(support(), query).faults] == ["BAD_USER_INPUT"], query
    assert at(api, ada, enrolled)["balance"] == 7
    assert at(api, ada, clock.now)["balance"] == 7


# --- one entry --------------------------------------------------------------------------------------------------------


def test_an_entry_tells_which_rules_gave_which_buckets_paid_and_their_dates(api: Api, ada: str, clock: Clock) -> None:
    api.buy(ada, 1_000, f"{ada}-1")
    clock.advance(days=31)
    api.buy(ada, 3_550, f"{ada}-2")
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "rewardId": "latte"}
    redemption = api.post(till(), REDEEM, input=wanted).data["rewardRedeem"]["redemption"]["id"]
    account = account_of(api.member(ada)["id"])
    ids = [global_id("Entry", f"{account}:{seq}:0") for seq in (3, 4)]

    for caller in (support(), member(ada), till("regulars/members")):
        bought, redeemed = (api.post(caller, ENTRY, id=each).data["entry"] for each in ids)
        assert (bought["__typename"], bought["points"], bought["balanceAfter"]) == ("PurchaseEntry", 35, 45)
        assert bought["explanation"][0]["rule"] == "base"
        assert bought["buckets"] == [{"pot": "BALANCE", "points": 35, "expiresOn": "2032-02-29", "availableOn": None}]
        assert (redeemed["id"], redeemed["points"]) == (ids[1], -40)
        assert redeemed["explanation"] == [
            {
                "rule": "reward:latte",
                "points": -40,
                "description": "40 points spent on A latte, soonest-expiring points first.",
            }
        ]
        assert redeemed["buckets"] == [
            {"pot": "BALANCE", "points": -10, "expiresOn": "2032-01-31", "availableOn": None},
            {"pot": "BALANCE", "points": -30, "expiresOn": "2032-02-29", "availableOn": None},
        ]
    assert api.post(support(), ENTRY, id=redemption).data == {"entry": None}


def test_entries_of_others_and_of_nobody_are_alike(api: Api, ada: str) -> None:
    account = account_of(api.member(ada)["id"])
    me = member(f"eve-{ada}")
    api.enroll(f"eve-{ada}", me)

    answers = {
        api.post(caller, ENTRY, id=global_id("Entry", place)).body
        for caller, place in (
            (me, f"{account}:1:0"),
            (me, "nobody:1:0"),
            (support(), f"{account}:2:0"),
            (support(), f"{account}:1:1"),
            (support(), f"{account}:0:0"),
            (support(), account),
            (support(), ""),
        )
    }
    assert answers == {'{"data":{"entry":null}}'}
    assert api.post(support(), ENTRY, id=global_id("Reward", "latte")).data == {"entry": None}
    assert api.post(support(), ENTRY, id="nonsense").data == {"entry": None}
