"""History through the API: pages, cursors, what time does to an account, and that the numbers add up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.engines import Engine
from tests.handlers.api import (
    ADJUST,
    DEMO,
    ENROLL,
    MEMBER,
    NODE,
    PURCHASE,
    REDEEM,
    REWARDS,
    VIEWER,
    Api,
    deployed,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.conftest import Clock


@pytest.fixture
def ada() -> str:
    """An external id that no other test uses."""
    return f"ada-{uuid4().hex[:12]}"


def walk(api: Api, who: str, *, first: int, between: Any = lambda: None) -> list[list[dict[str, Any]]]:
    """The pages of a member's history, with whatever `between` does before each but the first."""
    pages: list[list[dict[str, Any]]] = []
    after = None
    while True:
        page = api.member(who, first=first, after=after)["entries"]
        pages.append([edge["node"] for edge in page["edges"]])
        info = page["pageInfo"]
        assert info["hasPreviousPage"] is (after is not None)
        assert info["startCursor"] == (page["edges"][0]["cursor"] if page["edges"] else None)
        assert info["endCursor"] == (page["edges"][-1]["cursor"] if page["edges"] else None)
        assert len(pages) < 100
        if not info["hasNextPage"]:
            return pages
        after = info["endCursor"]
        between()


def ids(pages: list[list[dict[str, Any]]]) -> list[str]:
    return [entry["id"] for page in pages for entry in page]


def bought(api: Api, who: str, times: int) -> None:
    api.enroll(who)
    for number in range(1, times + 1):
        api.buy(who, number * 100, f"{who}-{number}")


# --- pages --------------------------------------------------------------------------------------------------------------


def test_a_walk_through_pages_of_ten_gives_each_of_25_entries_once_newest_first(api: Api, ada: str) -> None:
    bought(api, ada, 24)

    pages = walk(api, ada, first=10)

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [entry["points"] for page in pages for entry in page] == [*range(24, 0, -1), 0]
    assert len(set(ids(pages))) == 25


@pytest.mark.parametrize("first", [1, 4, 5, 6, 100])
def test_any_page_size_gives_the_same_history(api: Api, ada: str, first: int) -> None:
    bought(api, ada, 4)

    assert [entry["points"] for page in walk(api, ada, first=first) for entry in page] == [4, 3, 2, 1, 0]


def test_a_page_size_may_be_written_into_the_query_or_left_out(api: Api, ada: str) -> None:
    bought(api, ada, 12)
    query = "query($by: MemberByInput!) { member(by: $by) { %s } }"
    edges = "{ edges { node { points } } }"

    for text, expected in (
        (f"entries {edges}", 10),
        (f"entries(first: 12) {edges}", 12),
        (f"... on Member {{ entries(first: 11) {edges} }}", 11),
        (f"entries: entries(first: 3) {edges} more: entries(first: 13) {edges}", 3),
    ):
        found = api.post(support(), query % text, by={"externalId": ada}).data["member"]
        assert len(found["entries"]["edges"]) == expected
        assert len(found.get("more", {"edges": [0] * 13})["edges"]) == 13


def test_fragments_that_spread_each_other_twice_cost_nothing(api: Api, ada: str) -> None:
    """20 of them are a million places where a page size might stand; reading it looks at each fragment once."""
    bought(api, ada, 2)
    chain = " ".join(f"fragment F{n} on Member {{ ...F{n + 1} ...F{n + 1} }}" for n in range(20))
    last = "fragment F20 on Member { entries(first: 2) { edges { node { points } } } }"

    started = time.process_time()
    answer = api.post(support(), f"query($by: MemberByInput!) {{ member(by: $by) {{ ...F0 }} }} {chain} {last}",
                      by={"externalId": ada})  # fmt: skip

    assert [edge["node"]["points"] for edge in answer.data["member"]["entries"]["edges"]] == [2, 1]
    assert time.process_time() - started < 0.5


def test_entries_that_arrive_during_a_walk_disturb_nothing(api: Api, ada: str) -> None:
    bought(api, ada, 24)
    before = ids(walk(api, ada, first=100))

    pages = walk(api, ada, first=10, between=lambda: api.buy(ada, 100, f"{ada}-late-{uuid4().hex}"))

    assert ids(pages) == before


@pytest.mark.parametrize("booked", [False, True], ids=["never booked", "booked during the walk"])
def test_expiries_that_nobody_has_booked_stand_in_the_history(api: Api, ada: str, clock: Clock, booked: bool) -> None:
    """23 purchases in 23 months, then three years of nothing: 23 expiries that are true, though no job has written them."""
    api.enroll(ada)
    for month in range(23):
        clock.now = datetime(2030 + month // 12, month % 12 + 1, 15, tzinfo=UTC)
        api.buy(ada, 1_000 + 100 * month, f"{ada}-{month}")
    clock.now = datetime(2040, 1, 1, tzinfo=UTC)

    def book() -> None:
        if booked:
            api.buy(ada, 100, f"{ada}-{uuid4().hex}")

    pages = walk(api, ada, first=10, between=book)

    entries = [entry for page in pages for entry in page]
    assert len(set(ids(pages))) == len(entries) == 47
    assert [entry["__typename"] for entry in entries] == [
        *["ExpiryEntry"] * 23, *["PurchaseEntry"] * 23, "EnrollmentEntry"
    ]  # fmt: skip
    adds_up(entries)
    if not booked:
        assert api.balance(ada) == 0
        again = api.post(support(), NODE, id=entries[0]["id"])
        assert again.data["node"] == {"__typename": "ExpiryEntry", "id": entries[0]["id"]}


# --- cursors ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cursors(api: Api) -> dict[str, str]:
    """A cursor of each list: a member's entries, another member's, the rewards."""
    found = {}
    for name in ("cursor-ada", "cursor-bob"):
        bought(api, name, 3)
        found[name] = api.member(name, first=2)["entries"]["pageInfo"]["endCursor"]
    found["rewards"] = api.post(till(), REWARDS, first=2).data["rewards"]["pageInfo"]["endCursor"]
    return found


@pytest.mark.parametrize(("given", "asked"), [
    ("rewards", "cursor-ada"), ("cursor-bob", "cursor-ada"), ("cursor-ada", "rewards"),
])  # fmt: skip
def test_a_cursor_works_in_its_own_list_only(api: Api, cursors: dict[str, str], given: str, asked: str) -> None:
    after = cursors[given]
    if asked == "rewards":
        answer = api.post(till(), REWARDS, after=after)
    else:
        answer = api.post(support(), MEMBER, by={"externalId": asked}, after=after)

    assert answer.faults == [("CURSOR_INVALID", "after")]


def test_a_members_own_cursor_serves_staff_and_no_other_member(api: Api, cursors: dict[str, str]) -> None:
    own = api.member("cursor-ada", after=cursors["cursor-ada"])["entries"]["edges"]
    assert [edge["node"]["points"] for edge in own] == [1, 0]

    eve = member("cursor-eve")
    api.post(eve, ENROLL, input={"idempotencyKey": "1", "externalId": "cursor-eve"})
    query = VIEWER.replace("id account { balance }", "entries(after: $after) { edges { cursor } }")
    answer = api.post(eve, query.replace("query Viewer", "query Viewer($after: String)"), after=cursors["cursor-ada"])
    assert answer.faults == [("CURSOR_INVALID", "after")]


def test_a_cursor_with_any_letter_changed_is_none(api: Api, cursors: dict[str, str]) -> None:
    cursor = cursors["cursor-ada"]
    changed = [cursor[:at] + ("A" if letter != "A" else "B") + cursor[at + 1 :] for at, letter in enumerate(cursor)]
    added = [f"{cursor}A", f"A{cursor}", f"{cursor}=", f"{cursor}!", f" {cursor}", f"{cursor}\n", f"{cursor}{cursor}"]
    other = ["", " ", "0", "é", "💥", "MQ", "2.0", "%00", cursor[:-1], cursor.lower(), "A" * 10_000]

    for after in (*changed, *added, *other):
        answer = api.post(support(), MEMBER, by={"externalId": "cursor-ada"}, after=after)
        assert answer.faults == [("CURSOR_INVALID", "after")], after


# --- time ---------------------------------------------------------------------------------------------------------------


def test_points_expire_at_the_end_of_their_day_in_the_programs_time_zone(api: Api, ada: str, clock: Clock) -> None:
    """Earned in January 2030, spendable to the end of January 2032 in New York: 05:00 in UTC. No job runs."""
    api.enroll(ada)
    api.buy(ada, 5_000)
    end = datetime(2032, 2, 1, 5, tzinfo=UTC)

    clock.now = end - timedelta(milliseconds=1)
    assert api.member(ada)["account"] == {
        "balance": 50, "pending": 0, "expiring": [{"on": "2032-01-31", "points": 50}]
    }  # fmt: skip
    clock.now = end
    seen = api.member(ada)

    assert seen["account"] == {"balance": 0, "pending": 0, "expiring": []}
    expiry = seen["entries"]["edges"][0]["node"]
    assert (expiry["__typename"], expiry["points"], expiry["balanceAfter"]) == ("ExpiryEntry", -50, 0)
    assert expiry["at"] == "2032-02-01T05:00:00.000Z"
    assert [(line["rule"], line["points"]) for line in expiry["explanation"]] == [("expiry", -50)]
    assert "2032-01-31" in expiry["explanation"][0]["description"]


def test_expired_points_cannot_be_spent_though_nobody_has_booked_their_end(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    api.buy(ada, 5_000)
    naming = {"member": {"externalId": ada}, "rewardId": "latte"}
    clock.now = datetime(2032, 2, 1, 5, tzinfo=UTC)

    refused = api.post(till(), REDEEM, input={"idempotencyKey": f"{ada} 1", **naming})

    assert refused.refusals == [("INSUFFICIENT_POINTS", "input.rewardId")]
    api.buy(ada, 4_000)
    assert api.post(till(), REDEEM, input={"idempotencyKey": f"{ada} 2", **naming}).refusals == []
    entries = api.member(ada)["entries"]["edges"]
    assert [(edge["node"]["__typename"], edge["node"]["balanceAfter"]) for edge in entries] == [
        ("RedemptionEntry", 0), ("PurchaseEntry", 40), ("ExpiryEntry", 0), ("PurchaseEntry", 50), ("EnrollmentEntry", 0),
    ]  # fmt: skip


def test_an_entry_has_the_same_id_before_and_after_it_is_booked(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    api.buy(ada, 5_000)
    clock.now = datetime(2032, 2, 1, 5, tzinfo=UTC)
    unbooked = api.member(ada)["entries"]["edges"][0]

    api.buy(ada, 100)

    assert api.member(ada)["entries"]["edges"][1] == unbooked
    assert api.post(support(), NODE, id=unbooked["node"]["id"]).data["node"]["__typename"] == "ExpiryEntry"


def test_every_expiry_date_is_listed_and_the_soonest_is_spent_first(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    for month, points in ((3, 30), (1, 10), (2, 20)):
        clock.now = datetime(2031, 4, 1, tzinfo=UTC)
        when = f"2031-0{month}-15T12:00:00Z"
        api.post(till(), PURCHASE, input=receipt(f"{ada}-{month}", ada, points * 100, occurredAt=when))
    assert api.member(ada)["account"]["expiring"] == [
        {"on": "2033-01-31", "points": 10}, {"on": "2033-02-28", "points": 20}, {"on": "2033-03-31", "points": 30}
    ]  # fmt: skip

    api.post(till(), REDEEM, input={"idempotencyKey": ada, "member": {"externalId": ada}, "rewardId": "cookie"})

    assert api.member(ada)["account"] == {
        "balance": 45,
        "pending": 0,
        "expiring": [{"on": "2033-02-28", "points": 15}, {"on": "2033-03-31", "points": 30}],
    }
    buckets = api.post(
        support(),
        "query($by: MemberByInput!){ member(by: $by) { entries(first: 1) { edges { node { buckets { expiresOn points } } } } } }",
        by={"externalId": ada},
    ).data["member"]["entries"]["edges"][0]["node"]["buckets"]
    assert buckets == [{"expiresOn": "2033-01-31", "points": -10}, {"expiresOn": "2033-02-28", "points": -5}]


def test_a_late_receipt_earns_by_the_day_it_happened(api: Api, ada: str, clock: Clock) -> None:
    """A till was offline for 400 days; the receipt is no younger for it."""
    api.enroll(ada)
    when = clock.now - timedelta(days=400)

    answer = api.post(till(), PURCHASE, input=receipt(ada, ada, 500, occurredAt=when.isoformat()))

    assert answer.refusals == []
    assert api.member(ada)["account"]["expiring"] == [{"on": "2030-12-31", "points": 5}]


# --- numbers ------------------------------------------------------------------------------------------------------------


def adds_up(entries: list[dict[str, Any]]) -> None:
    """Newest first: each balance is the one before it and the change, and each change is explained, to the point."""
    after = [entry["balanceAfter"] for entry in entries]
    before = [*after[1:], 0]
    assert after == [balance + entry["points"] for balance, entry in zip(before, entries, strict=True)]
    for entry in entries:
        assert sum(line["points"] for line in entry["explanation"]) == entry["points"]
        assert all(line["rule"] and line["description"] for line in entry["explanation"])
        assert bool(entry["explanation"]) is (entry["__typename"] != "EnrollmentEntry")


def test_every_balance_is_the_one_before_it_and_the_change(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    naming = {"member": {"externalId": ada}}
    for number in range(1, 9):
        api.buy(ada, number * 1_111, f"{ada}-{number}")
        if number % 3 == 0:
            wanted: dict[str, Any] = {"idempotencyKey": f"{ada} {number}", **naming}
            api.post(till(), REDEEM, input={**wanted, "rewardId": "cookie"})
            wanted["idempotencyKey"] += " corrected"
            api.post(manager(), ADJUST, input={**wanted, "points": -number, "reason": "CORRECTION"})
        clock.advance(days=97)
    clock.advance(days=200)

    seen = api.member(ada, first=100)

    entries = [edge["node"] for edge in seen["entries"]["edges"]]
    assert {entry["__typename"] for entry in entries} == {
        "EnrollmentEntry", "PurchaseEntry", "RedemptionEntry", "AdjustmentEntry", "ExpiryEntry"
    }  # fmt: skip
    adds_up(entries)
    assert seen["account"]["balance"] == entries[0]["balanceAfter"]
    assert sum(each["points"] for each in seen["account"]["expiring"]) == seen["account"]["balance"]
    assert [entry["at"] for entry in entries] == sorted((entry["at"] for entry in entries), reverse=True)


# --- a program that makes points wait -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patient(ministack: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The demo program, but points are pending for 3 days and then last for 10."""
    document = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    document |= {"pending": {"days": 3}, "expiry": {"days": 10, "rounding": "day"}, "moments": []}
    file: Path = tmp_path_factory.mktemp("program") / "patient.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with deployed(ministack, "regulars-patient", file=file) as api:
        yield api


def test_pending_points_become_available_and_expire_by_themselves(patient: Api, ada: str, clock: Clock) -> None:
    patient.enroll(ada)
    payload = patient.buy(ada, 5_000)
    query = """query($by: MemberByInput!) { member(by: $by) { account {
        balance pending expiring { on points } pendingPoints { availableOn points } } } }"""

    def account() -> dict[str, Any]:
        found: dict[str, Any] = patient.post(support(), query, by={"externalId": ada}).data["member"]["account"]
        return found

    assert payload["entry"] == {"points": 50, "balanceAfter": 0, "explanation": [{"rule": "base", "points": 50}]}
    waiting = {
        "balance": 0, "pending": 50, "expiring": [], "pendingPoints": [{"availableOn": "2030-01-13", "points": 50}]
    }  # fmt: skip
    assert account() == waiting
    clock.now = datetime(2030, 1, 13, 5, tzinfo=UTC) - timedelta(milliseconds=1)
    assert account() == waiting
    clock.now = datetime(2030, 1, 13, 5, tzinfo=UTC)
    assert account() == {
        "balance": 50, "pending": 0, "expiring": [{"on": "2030-01-20", "points": 50}], "pendingPoints": []
    }  # fmt: skip
    clock.now = datetime(2030, 1, 21, 5, tzinfo=UTC)
    assert account() == {"balance": 0, "pending": 0, "expiring": [], "pendingPoints": []}
    entries = [edge["node"] for edge in patient.member(ada)["entries"]["edges"]]
    assert [(entry["__typename"], entry["points"], entry["balanceAfter"]) for entry in entries] == [
        ("ExpiryEntry", -50, 0), ("MaturityEntry", 0, 50), ("PurchaseEntry", 50, 0), ("EnrollmentEntry", 0, 0)
    ]  # fmt: skip
    assert all(entry["explanation"][0]["description"] for entry in entries[:-1])
