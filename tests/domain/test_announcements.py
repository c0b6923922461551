"""What the outside is told of the ledger: one event for each entry that is shown, the same whenever it is told."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from domain import announcements, limits
from domain.access import _ID_PREFIX, Role
from domain.accounts import Line, Origin, Standing
from domain.announcements import KINDS, Event, of_notice, of_record, previous_id
from domain.entries import BasketLine, Entry, EntryKind, Explanation, Record
from domain.expiry import Rolling
from domain.notices import Notice, NoticeKind
from domain.refusals import InsufficientPoints, OutcomeUnknown, Refusal
from storage.memory import Memory
from tests.domain.campaigning import Desk
from tests.domain.lives import LIVES, NAMES, START, _Stage, life
from tests.domain.lives import lives as numbers
from tests.domain.world import (
    Interrupted,
    adjust,
    at,
    block,
    buy,
    cancel,
    capture,
    close,
    day,
    enroll,
    give,
    give_back,
    head_of,
    hold,
    merge,
    redeem,
    release,
    search,
    unblock,
    unmerge,
    update,
)

NOW = at("2026-03-10")
LATER = at("2026-03-11")


def to_id(kind: str, key: str) -> str:
    return f"{kind}({key})"


def log_of(store: Memory, account: str) -> Sequence[Record]:
    return store.records_after(account, 0, limit=10**6)


def told(store: Memory, account: str = "ADA") -> list[Event]:
    """All events of an account, from its log."""
    events: list[Event] = []
    previous = None
    for record in log_of(store, account):
        made = of_record(record, previous=previous, to_id=to_id)
        previous = made[-1].id if made else previous
        events += made
    return events


def last(store: Memory, account: str = "ADA") -> Event:
    return told(store, account)[-1]


def beyond(event: Event) -> dict[str, object]:
    """What an event tells besides what all of them do."""
    common = {"type", *(each.name for each in announcements.COMMON)}
    return {name: value for name, value in event.detail.items() if name not in common}


@pytest.fixture
def store() -> Memory:
    """Ada and Bob, who joined at noon; Ada bought for 50 dollars."""
    store = Memory()
    for name in ("ada", "bob"):
        enroll(store, name, NOW)
    buy(store, "ada", 5_000, NOW, receipt="r1", occurred_at=NOW - timedelta(hours=1))
    return store


# --- each kind --------------------------------------------------------------------------------------------------------


def test_every_kind_of_entry_has_an_event_of_its_own_or_is_said_to_be_hidden() -> None:
    types = [kind.type for kind in KINDS.values() if kind is not None]

    assert KINDS.keys() == set(EntryKind)
    assert [kind for kind, told in KINDS.items() if told is None] == [EntryKind.REFUSED]
    assert len(set(types)) == len(types)
    assert all(name.count(".") == 1 and name.replace(".", "").isalpha() and name.islower() for name in types)


def test_every_kind_of_caller_is_told_as_one() -> None:
    assert {_ID_PREFIX[role] for role in Role} == announcements._ACTORS.keys()


def test_a_purchase_is_told_whole(store: Memory) -> None:
    event = last(store)

    assert (event.id, event.type, event.account, event.at) == ("ADA-2-0", "purchase.recorded", "ADA", NOW)
    assert event.detail == {
        "type": "purchase.recorded",
        "id": "ADA-2-0",
        "previousId": "ADA-1-0",
        "memberId": "Member(ADA)",
        "entryId": "Entry(ADA:2:0)",
        "sequence": 2,
        "index": 0,
        "at": "2026-03-10T16:00:00.000Z",
        "occurredAt": "2026-03-10T15:00:00.000Z",
        "points": 50,
        "balanceAfter": 50,
        "buckets": [
            {"pot": "BALANCE", "points": 50, "expiresOn": "2028-03-31", "isRolling": False, "availableOn": None}
        ],
        "explanation": [{"rule": "base", "points": 50, "basis": 5_000}],
        "actor": "PARTNER",
        "termsVersion": 1,
        "purchaseId": "Purchase(till:r1)",
        "source": "till",
        "externalId": "r1",
        "total": {"amountMinor": 5_000, "currency": "USD"},
        "location": "harbor",
        "channel": "store",
    }


def test_the_first_event_of_a_member_has_none_before_it(store: Memory) -> None:
    event = told(store)[0]

    assert (event.type, event.detail["previousId"], event.detail["sequence"]) == ("member.enrolled", None, 1)
    assert beyond(event) == {}


def reverted(store: Memory) -> None:
    """A campaign gave 30 points, and takes back the 20 that are left."""
    desk = Desk(store, now=LATER)
    campaign = desk.completed(30)
    adjust(store, "ada", -60, LATER, key="k")
    desk.reverted(campaign)


CAMPAIGN = {"campaignId": "Campaign(C0000)", "reason": "SUMMER"}
Story = Callable[[Memory], object]


@pytest.mark.parametrize(
    ("act", "kind", "points", "more"),
    [
        (
            lambda store: give_back(store, "r1", LATER, key="b1", amount=1_000, reason="STALE"),
            "purchase.returned",
            -10,
            {
                "purchaseId": "Purchase(till:r1)",
                "returnId": "b1",
                "total": {"amountMinor": 1_000, "currency": "USD"},
                "reason": "STALE",
            },
        ),
        (
            lambda store: redeem(store, "ada", "cookie", LATER, key="k"),
            "reward.redeemed",
            -15,
            {"redemptionId": "Redemption(ADA:3:0)", "rewardHandle": "cookie", "rewardVersion": 1},
        ),
        (
            lambda store: cancel(
                store, redeem(store, "ada", "cookie", LATER, key="k"), LATER, key="c", reason="SOLD_OUT"
            ),
            "redemption.cancelled",
            15,
            {"redemptionId": "Redemption(ADA:3:0)", "reason": "SOLD_OUT"},
        ),
        (
            lambda store: Desk(store, now=LATER).completed(30),
            "campaign.granted",
            30,
            CAMPAIGN,
        ),
        (reverted, "campaign.reverted", -20, {**CAMPAIGN, "writtenOff": 10}),
        (
            lambda store: adjust(store, "ada", -7, LATER, key="k", reason="MISTAKE"),
            "points.adjusted",
            -7,
            {"reason": "MISTAKE"},
        ),
        (
            lambda store: hold(store, "ada", 20, LATER, key="k", ttl_seconds=60),
            "hold.opened",
            0,
            {"holdId": "Hold(ADA:3)", "held": 20, "lapsesAt": "2026-03-11T16:01:00.000Z"},
        ),
        (
            lambda store: capture(store, hold(store, "ada", 20, LATER, key="k"), LATER, key="c", points=5),
            "hold.captured",
            -5,
            {"holdId": "Hold(ADA:3)"},
        ),
        (
            lambda store: release(store, hold(store, "ada", 20, LATER, key="k"), LATER, key="c"),
            "hold.released",
            0,
            {"holdId": "Hold(ADA:3)"},
        ),
        (
            lambda store: give(store, "ada", "bob", 9, LATER, key="k"),
            "transfer.sent",
            -9,
            {"transferId": "Transfer(ADA:3:0)"},
        ),
        (
            lambda store: update(store, "ada", LATER, key="k", name="Ada L.", phone="+15551230000", reason="ASKED"),
            "member.updated",
            0,
            {"changedFields": ["name", "phone"], "reason": "ASKED"},
        ),
        (
            lambda store: update(store, "ada", LATER, key="k", home_location="harbor", add_tags=["vip"]),
            "member.updated",
            0,
            {"changedFields": ["homeLocation", "tags"], "reason": None},
        ),
        (lambda store: block(store, "ada", LATER, key="k"), "member.blocked", 0, {"reason": "SUSPICION"}),
        (
            lambda store: (block(store, "ada", LATER, key="k"), unblock(store, "ada", LATER, key="u")),
            "member.unblocked",
            0,
            {"reason": "CLEARED"},
        ),
        (lambda store: close(store, "ada", LATER, key="k"), "member.closed", -50, {"reason": "LEFT"}),
        (
            lambda store: merge(store, "bob", "ada", LATER, key="k"),
            "merge.completed",
            0,
            {"mergedMemberId": "Member(BOB)", "reason": "SAME_PERSON"},
        ),
        (
            lambda store: (merge(store, "bob", "ada", LATER, key="k"), unmerge(store, "bob", LATER, key="u")),
            "merge.undone",
            0,
            {"mergedMemberId": "Member(BOB)", "reason": "OTHER_PERSON"},
        ),
        (
            lambda store: merge(store, "ada", "bob", LATER, key="k"),
            "member.merged",
            -50,
            {"survivorMemberId": "Member(BOB)", "reason": "SAME_PERSON"},
        ),
        (
            lambda store: (merge(store, "ada", "bob", LATER, key="k"), unmerge(store, "ada", LATER, key="u")),
            "member.reopened",
            50,
            {"reason": "OTHER_PERSON"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_told_of(store: Memory, act: Story, kind: str, points: int, more: dict[str, object]) -> None:
    act(store)

    event = last(store)

    assert (event.type, event.detail["points"], beyond(event)) == (kind, points, more)


def test_both_sides_of_a_gift_name_the_same_transfer(store: Memory) -> None:
    give(store, "ada", "bob", 9, LATER, key="k")

    received = last(store, "BOB")

    assert (received.type, received.detail["points"]) == ("transfer.received", 9)
    assert beyond(received) == beyond(last(store))


def test_a_redemption_of_a_merged_account_is_cancelled_under_the_id_it_had(store: Memory) -> None:
    redeemed = redeem(store, "ada", "cookie", LATER, key="k")
    merge(store, "ada", "bob", LATER, key="m")

    cancel(store, redeemed, LATER, key="c")

    assert beyond(last(store, "BOB")) == {"redemptionId": "Redemption(ADA:3:0)", "reason": None}


def test_what_time_did_is_told_with_the_operation_that_books_it(store: Memory) -> None:
    """Points expired and a hold lapsed unseen; the next purchase books them, each with its own instant and place."""
    hold(store, "ada", 20, LATER, key="k", ttl_seconds=60)
    buy(store, "ada", 100, at("2028-04-05"), receipt="r2")

    lapsed, expired, bought = told(store)[-3:]

    assert [each.type for each in (lapsed, expired, bought)] == ["hold.lapsed", "points.expired", "purchase.recorded"]
    assert [each.id for each in (lapsed, expired, bought)] == ["ADA-4-0", "ADA-4-1", "ADA-4-2"]
    assert [each.detail["previousId"] for each in (lapsed, expired, bought)] == ["ADA-3-0", "ADA-4-0", "ADA-4-1"]
    assert [each.detail["actor"] for each in (lapsed, expired, bought)] == ["SYSTEM", "SYSTEM", "PARTNER"]
    assert beyond(lapsed) == {"holdId": "Hold(ADA:3)"}
    assert expired.detail["at"] == "2028-04-01T04:00:00.000Z"
    assert (expired.detail["points"], expired.detail["balanceAfter"], bought.detail["balanceAfter"]) == (-50, 0, 1)


def entry_event(entry: Entry, state_of: Record) -> Event:
    (event,) = of_record(replace(state_of, entries=(entry,)), previous="ADA-1-0", to_id=to_id)
    return event


@pytest.mark.parametrize(
    ("line", "bucket"),
    [
        (Line(day("2027-01-31"), 5), ("BALANCE", "2027-01-31", False, None)),
        (Line(10_000_000, 5), ("BALANCE", None, False, None)),
        (Line(day("2027-01-31"), 5, day("2026-04-01")), ("PENDING", "2027-01-31", False, "2026-04-01")),
        (Line(day("2027-01-31"), 5, hold=3), ("HELD", "2027-01-31", False, None)),
        (Line(-1, -5), ("DEBT", None, False, None)),
        (Line(0, 5), ("BALANCE", "2027-09-30", True, None)),
    ],
    ids=["balance", "never", "pending", "held", "debt", "rolling"],
)
def test_a_line_names_its_pot_and_its_days(store: Memory, line: Line, bucket: tuple[object, ...]) -> None:
    head = head_of(store, "ADA")
    state = replace(head.state, rolling=Rolling(day("2027-09-30"), 18, 0))
    event = entry_event(Entry(EntryKind.ADJUSTMENT, NOW, (line,), 0), replace(head, state=state))

    (found,) = event.detail["buckets"]

    assert (found["pot"], found["expiresOn"], found["isRolling"], found["availableOn"]) == bucket
    assert found["points"] == line.points


@pytest.mark.parametrize(
    ("standing", "more"),
    [
        (Standing("gold", day("2028-01-31")), {"tier": "gold", "validUntil": "2028-01-31", "origin": "EARNED"}),
        (Standing("gold", 0, Origin.LIFETIME), {"tier": "gold", "validUntil": None, "origin": "LIFETIME"}),
        (None, {"tier": None, "validUntil": None, "origin": None}),
    ],
    ids=["earned", "for ever", "the lowest"],
)
def test_a_change_of_tier_says_which_and_until_when(
    store: Memory, standing: Standing | None, more: dict[str, object]
) -> None:
    event = entry_event(Entry(EntryKind.TIER, NOW, (), 50, standing=standing), head_of(store, "ADA"))

    assert (event.type, beyond(event)) == ("tier.changed", {**more, "reason": None})


def test_a_bonus_is_explained(store: Memory) -> None:
    entry = Entry(EntryKind.BONUS, NOW, (Line(day("2027-01-31"), 5),), 55, (Explanation("moment:welcome", 5),))

    event = entry_event(entry, head_of(store, "ADA"))

    assert (event.type, event.detail["actor"]) == ("bonus.granted", "SYSTEM")
    assert event.detail["explanation"] == [{"rule": "moment:welcome", "points": 5, "basis": None}]


# --- notices ----------------------------------------------------------------------------------------------------------

REMINDER = Notice(
    NoticeKind.REMINDER,
    day("2026-03-10"),
    f"x.{day('2026-04-09')}",
    NOW,
    version=3,
    args={"points": 40, "balance": 90, "date": day("2026-04-09"), "stage": 30, "tier": "gold"},
)
SUMMARY = Notice(
    NoticeKind.SUMMARY,
    day("2026-03-01"),
    "s.monthly",
    NOW,
    version=3,
    moment="monthly",
    args={
        "points": 90,
        "balance": 90,
        "date": day("2026-02-01"),
        "earned": 120,
        "spent": 15,
        "expired": 5,
        "expiring": 40,
        "reward": "latte",
        "missing": 7,
    },
)
NOTICES = (
    REMINDER,
    SUMMARY,
    Notice(NoticeKind.TIER_FALLING, day("2026-03-10"), "t.20600.gold", NOW, 3, "falling", {"stage": 7}),
    Notice(NoticeKind.MOMENT, day("2026-03-10"), "e.0000000002.001", NOW, 3, "welcome", {"points": 5}),
    Notice(
        NoticeKind.CAMPAIGN,
        day("2026-03-10"),
        "c.C1",
        NOW,
        3,
        args={"points": 5, "balance": 9, "title": "A", "text": "B"},
    ),
)


def test_a_reminder_says_how_many_points_are_in_time_until_when() -> None:
    event = of_notice("ADA", REMINDER, to_id=to_id)

    assert (event.id, event.type, event.account, event.at) == ("ADA-n20522-x.20552", "notice.given", "ADA", NOW)
    assert event.detail == {
        "type": "notice.given",
        "id": "ADA-n20522-x.20552",
        "memberId": "Member(ADA)",
        "noticeId": "Notice(ADA:20522:x.20552)",
        "kind": "REMINDER",
        "at": "2026-03-10T16:00:00.000Z",
        "dueOn": "2026-03-10",
        "moment": None,
        "programVersion": 3,
        "points": 40,
        "balance": 90,
        "date": "2026-04-09",
        "tier": "gold",
        "stage": 30,
        **dict.fromkeys(("earned", "spent", "expired", "expiring", "reward", "missing")),
    }


def test_a_summary_tells_its_figures() -> None:
    detail = of_notice("ADA", SUMMARY, to_id=to_id).detail

    assert {name: detail[name] for name in SUMMARY.args} == {**SUMMARY.args, "date": "2026-02-01"}
    assert (detail["kind"], detail["moment"], detail["tier"], detail["stage"]) == ("SUMMARY", "monthly", None, None)


def test_that_a_notice_was_read_is_nobodys_business() -> None:
    read = replace(REMINDER, read_at=LATER)

    assert of_notice("ADA", read, to_id=to_id).body == of_notice("ADA", REMINDER, to_id=to_id).body


def test_every_kind_of_notice_is_told_under_an_id_of_its_own(store: Memory) -> None:
    told_ids = [of_notice("ADA", each, to_id=to_id).id for each in NOTICES]

    assert {each.kind for each in NOTICES} == set(NoticeKind)
    assert len({*told_ids, *(event.id for event in told(store))}) == len(told_ids) + len(told(store))


# --- what is not told -------------------------------------------------------------------------------------------------


def refused_once(store: Interrupted) -> None:
    """Somebody else takes the last points between the claim and the append: the no stands in the log."""
    store.before_append.append(lambda: redeem(store, "ada", "latte", LATER, key="other"))
    with pytest.raises(InsufficientPoints):
        redeem(store, "ada", "latte", LATER, key="k")


def test_a_recorded_no_is_not_told_and_leaves_no_gap() -> None:
    store = Interrupted()
    enroll(store, "ada", NOW)
    buy(store, "ada", 5_000, NOW, receipt="r1")
    refused_once(store)
    buy(store, "ada", 100, LATER, receipt="r2")

    assert [record.entries[-1].kind for record in log_of(store, "ADA")][3] is EntryKind.REFUSED
    assert [(each.id, each.detail["previousId"]) for each in told(store)] == [
        ("ADA-1-0", None),
        ("ADA-2-0", "ADA-1-0"),
        ("ADA-3-0", "ADA-2-0"),
        ("ADA-5-0", "ADA-3-0"),
    ]
    assert previous_id(store, "ADA", 5) == "ADA-3-0"


def test_no_event_holds_anything_personal() -> None:
    store = Memory()
    secret: dict[str, Any] = {
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "phone": "+15551230001",
        "card_number": "CARD-0815-4711",
        "login": "https://issuer.example#ada-login",
    }
    enroll(store, "ada", NOW, **secret)
    buy(store, "ada", 5_000, NOW, receipt="r1", lines=(BasketLine("beans", "coffee", 1, 5_000),))
    redeem(store, "ada", "cookie", LATER, key="k", code="SECRETCODE")
    update(store, "ada", LATER, key="u", name="Ada King", phone="+15551230002")
    adjust(store, "ada", 5, LATER, key="a", note="She called twice.")
    block(store, "ada", LATER, key="b", note="Looked odd.")

    text = "\n".join(event.body for event in told(store))

    assert len(told(store)) == 6
    for value in [*secret.values(), "Ada King", "+15551230002", "SECRETCODE", "twice", "odd", "grace", "till-1"]:
        assert value not in text, value


# --- ids and order ----------------------------------------------------------------------------------------------------


def real(number: int) -> Memory:
    """The store after a life of real operations: `owe` writes returns of nothing that was bought."""
    stage = _Stage()
    for name in NAMES:
        enroll(stage.store, name, START)
    for index, step in enumerate(life(number)):
        stage.now += timedelta(hours=step.hours)
        if step.verb != "owe":
            with suppress(Refusal):
                stage.act(step, str(index))
    return stage.store


@search(LIVES)
@given(numbers)
def test_told_again_every_event_is_the_same_to_the_byte_and_has_an_id_of_its_own(number: int) -> None:
    store = real(number)
    bodies: dict[str, str] = {}
    for account in store._logs:
        before = None
        for event in told(store, account):
            assert event.id not in bodies
            assert event.detail["previousId"] == before
            bodies[event.id], before = event.body, event.id
    for account in store._logs:
        for record in log_of(store, account):
            previous = previous_id(store, account, record.seq)
            for event in of_record(record, previous=previous, to_id=to_id):
                assert bodies.pop(event.id) == event.body
    assert bodies == {}


@search(LIVES)
@given(numbers)
def test_the_points_of_the_events_are_those_of_the_account(number: int) -> None:
    store = real(number)
    for account, log in store._logs.items():
        events = told(store, account)
        assert sum(event.detail["points"] for event in events) == log[-1].state.worth
        assert all(
            sum(bucket["points"] for bucket in event.detail["buckets"]) == event.detail["points"] for event in events
        )
        assert events[-1].detail["balanceAfter"] == log[-1].state.balance
        assert [json.loads(event.body) for event in events] == [event.detail for event in events]


# --- the event before -------------------------------------------------------------------------------------------------


class Counting(Memory):
    """Counts the reads of logs, and may answer with a gap."""

    reads = 0
    gap = False

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        self.reads += 1
        return super().records_after(account, seq + self.gap, limit=limit)


def refused(record: Record, seq: int) -> Record:
    entry = Entry(EntryKind.REFUSED, record.state.at, (), 0, refusal=InsufficientPoints("no", field=()))
    return Record(record.account, seq, (entry,), record.state, prior=record.hash)


@pytest.mark.parametrize("hidden", [0, 1, 2, limits.RESUME_PAGE, limits.RESUME_PAGE + 1])
def test_the_event_before_is_found_behind_records_that_show_nothing(hidden: int) -> None:
    store = Counting()
    enroll(store, "ada", NOW)
    for seq in range(2, hidden + 2):
        store.append(refused(head_of(store, "ADA"), seq))
    store.reads = 0

    assert previous_id(store, "ADA", hidden + 2) == "ADA-1-0"
    assert store.reads == (1 if hidden == 0 else 2 if hidden <= limits.RESUME_PAGE else 3)


def test_the_first_record_asks_for_nothing_before_it() -> None:
    store = Counting()

    assert previous_id(store, "ADA", 1) is None
    assert store.reads == 0


def test_a_log_with_a_gap_is_not_guessed_at() -> None:
    store = Counting()
    enroll(store, "ada", NOW)
    buy(store, "ada", 100, NOW, receipt="r1")
    store.gap = True

    with pytest.raises(OutcomeUnknown):
        previous_id(store, "ADA", 3)


def test_what_time_alone_wrote_is_known(store: Memory) -> None:
    hold(store, "ada", 20, LATER, key="k", ttl_seconds=60)
    bought, held = log_of(store, "ADA")[1:]
    expiry = Entry(EntryKind.EXPIRY, NOW, (), 0)

    assert not announcements.is_of_time(bought)
    assert not announcements.is_of_time(replace(held, entries=(expiry, *held.entries)))
    assert announcements.is_of_time(replace(held, entries=(expiry,)))
