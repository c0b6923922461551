"""Cancelling redemptions through the API: the points are back, and the redemption says what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from domain.accounts import Line
from domain.entries import End, Entry, EntryKind
from schema import entries
from schema.entries import CancellationEntry
from storage.table import Table
from tests.handlers.api import (
    CANCEL,
    HOLD,
    REDEEM,
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
    entries(first: 1) {
      edges {
        node {
          __typename id points balanceAfter at
          explanation { rule points description }
          buckets { pot points expiresOn }
          ... on CancellationEntry { redemptionId reason }
        }
      }
    }
  }
}"""
REDEMPTION = "query Redemption($id: ID!) { node(id: $id) { ... on Redemption { id code cost status cancelledAt } } }"
REDEEM_WITH_STATUS = REDEEM.replace("id code", "id code status cancelledAt")


@pytest.fixture
def ada(api: Api, clock: Clock) -> str:
    """A member with 100 points, whom no other test uses; the external id."""
    external_id = f"ada-{uuid4().hex[:12]}"
    api.enroll(external_id)
    api.buy(external_id, 10_000)
    return external_id


def redeem(api: Api, who: str, key: str = "redeem", reward: str = "latte") -> dict[str, Any]:
    wanted = {"idempotencyKey": f"{key} {who}", "rewardId": reward, "member": {"externalId": who}}
    payload: dict[str, Any] = api.post(till(), REDEEM_WITH_STATUS, input=wanted).data["rewardRedeem"]
    assert payload["userErrors"] == []
    return payload


def redeemed(api: Api, who: str, key: str = "redeem") -> str:
    """The id of a new redemption of 40 points."""
    redemption_id: str = redeem(api, who, key)["redemption"]["id"]
    return redemption_id


def cancel(api: Api, redemption_id: str, key: str = "cancel", **more: Any) -> Answer:
    wanted = {"idempotencyKey": f"{key} {redemption_id}", "redemptionId": redemption_id, **more}
    return api.post(till(), CANCEL, input=wanted)


def test_a_cancelled_redemption_gives_its_points_back(api: Api, ada: str, clock: Clock) -> None:
    redemption_id = redeemed(api, ada)
    clock.advance(hours=1)

    payload = cancel(api, redemption_id, reason="OUT_OF_STOCK").data["redemptionCancel"]

    assert payload == {
        "redemption": {"id": redemption_id, "status": "CANCELLED", "cancelledAt": "2030-01-10T18:00:00.000Z"},
        "entry": {"id": payload["entry"]["id"], "points": 40, "balanceAfter": 100},
        "account": {"balance": 100},
        "replayed": False,
        "userErrors": [],
    }
    (edge,) = api.post(support(), HISTORY, by={"externalId": ada}).data["member"]["entries"]["edges"]
    assert edge["node"] == {
        "__typename": "CancellationEntry",
        "id": payload["entry"]["id"],
        "points": 40,
        "balanceAfter": 100,
        "at": "2030-01-10T18:00:00.000Z",
        "explanation": [
            {"rule": "cancellation", "points": 40, "description": "40 points of a cancelled redemption are back."}
        ],
        "buckets": [{"pot": "BALANCE", "points": 40, "expiresOn": "2032-01-31"}],
        "redemptionId": redemption_id,
        "reason": "OUT_OF_STOCK",
    }


def test_points_that_expired_meanwhile_can_be_spent_for_the_programs_window(api: Api, ada: str, clock: Clock) -> None:
    redemption_id = redeemed(api, ada)
    clock.advance(days=800)

    cancel(api, redemption_id)

    (edge,) = api.post(support(), HISTORY, by={"externalId": ada}).data["member"]["entries"]["edges"]
    assert edge["node"]["buckets"] == [{"pot": "BALANCE", "points": 40, "expiresOn": "2032-04-19"}]
    assert edge["node"]["explanation"][0]["rule"] == "reinstatement"
    assert api.balance(ada) == 40


def test_a_redemption_says_what_became_of_it(api: Api, ada: str, clock: Clock) -> None:
    payload = redeem(api, ada)
    redemption = payload["redemption"]
    assert (redemption["status"], redemption["cancelledAt"]) == ("ISSUED", None)
    found = api.post(support(), REDEMPTION, id=redemption["id"]).data["node"]
    assert found == {
        "id": redemption["id"],
        "code": redemption["code"],
        "cost": 40,
        "status": "ISSUED",
        "cancelledAt": None,
    }

    cancel(api, redemption["id"])

    found = api.post(support(), REDEMPTION, id=redemption["id"]).data["node"]
    assert (found["status"], found["cancelledAt"]) == ("CANCELLED", "2030-01-10T17:00:00.000Z")
    # The same redemption with the same code, as it is now.
    again = redeem(api, ada)
    assert again["replayed"]
    assert again["redemption"] == {**redemption, "status": "CANCELLED", "cancelledAt": "2030-01-10T17:00:00.000Z"}


def test_what_became_of_a_redemption_is_read_when_somebody_asks_and_once(
    api: Api, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    redemption_id = redeemed(api, ada)
    read: Callable[..., End | None] = Table.end
    reads: list[object] = []

    def end(table: Table, *place: Any) -> End | None:
        reads.append(place)
        return read(table, *place)

    monkeypatch.setattr(Table, "end", end)

    api.post(support(), "query($id: ID!) { node(id: $id) { ... on Redemption { code } } }", id=redemption_id)
    assert reads == []
    api.post(support(), REDEMPTION, id=redemption_id)
    assert len(reads) == 1


def test_members_see_what_became_of_their_own(api: Api, clock: Clock) -> None:
    name = f"ada-{uuid4().hex[:12]}"
    account = account_of(api.enroll(name))
    api.buy(name, 4_000)
    redemption_id = redeemed(api, name)
    cancel(api, redemption_id)

    assert api.post(member(name, account=account), REDEMPTION, id=redemption_id).data["node"]["status"] == "CANCELLED"


def test_a_cancellation_sent_again_is_answered_again(api: Api, ada: str, clock: Clock) -> None:
    redemption_id = redeemed(api, ada)
    first = cancel(api, redemption_id, reason="OOPS").data["redemptionCancel"]
    redeemed(api, ada, "other")
    clock.advance(days=29)

    with api.unchanged():
        again = cancel(api, redemption_id, reason="OOPS").data["redemptionCancel"]
        other = cancel(api, redemption_id)

    assert again == {**first, "replayed": True, "account": {"balance": 60}}
    assert other.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


def test_a_redemption_ends_once(api: Api, ada: str) -> None:
    redemption_id = redeemed(api, ada)
    cancel(api, redemption_id)

    answer = cancel(api, redemption_id, "again")

    (error,) = answer.data["redemptionCancel"]["userErrors"]
    assert error == {
        "code": "REDEMPTION_ENDED",
        "field": ["input", "redemptionId"],
        "message": "The redemption was cancelled at 2030-01-10T17:00:00Z.",
    }
    for name in ("redemption", "entry", "account"):
        assert answer.data["redemptionCancel"][name] is None
    assert cancel(api, redemption_id, "again").data["redemptionCancel"]["replayed"]
    assert api.balance(ada) == 100


def test_a_manager_may_cancel_what_a_till_redeemed(api: Api, ada: str) -> None:
    answer = api.post(manager(), CANCEL, input={"idempotencyKey": ada, "redemptionId": redeemed(api, ada)})

    assert answer.complaints == []


def test_the_entry_of_something_else_is_no_redemption(api: Api, ada: str) -> None:
    wanted = {"idempotencyKey": f"hold {ada}", "member": {"externalId": ada}, "points": 5}
    held = api.post(till(), HOLD, input=wanted).data["pointsHold"]

    with api.unchanged():
        for each in (held["hold"]["id"], held["entry"]["id"], api.member(ada)["id"]):
            assert cancel(api, each).refusals == [("REDEMPTION_NOT_FOUND", "input.redemptionId")]


def test_the_end_of_a_redemption_stands_beside_it(api: Api, ada: str) -> None:
    """One item, written in one transaction with the entry; its condition is what ends a redemption once."""
    redemption_id = redeemed(api, ada)
    before = api.items()

    cancel(api, redemption_id)

    new = {key: item for key, item in api.items().items() if key not in before}
    account = account_of(api.member(ada)["id"])
    ends = [key for key in new if key[1].startswith("C#")]
    assert ends == [(f"M#{account}", "C#0000000003.0")]
    assert {key[0][:2] for key in new} == {"M#", "K#"}
    assert len(new) == 3


def test_a_cancellation_on_a_survivor_names_the_redemption_where_it_stands() -> None:
    """The account of the redemption was merged into another one before it was cancelled."""
    at = datetime(2030, 1, 10, tzinfo=UTC)
    booked = Entry(EntryKind.CANCELLATION, at, (Line(30_000, 40),), 40, cause=(3, 0), peer=("ADA", 3))

    own = entries.entry_of("ADA", 7, 0, replace(booked, peer=None))
    survivors = entries.entry_of("BOB", 9, 0, booked)

    assert isinstance(own, CancellationEntry)
    assert isinstance(survivors, CancellationEntry)
    assert own.redemption_id == survivors.redemption_id == global_id("Redemption", "ADA:3:0")
    assert survivors.id == global_id("Entry", "BOB:9:0")
