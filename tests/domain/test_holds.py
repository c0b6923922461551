"""Setting points aside for a till: captured, released or lapsed, once, and never spent twice."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import access, accounts, holds, ledger, limits, standing
from domain.access import Role
from domain.accounts import Line
from domain.entries import Entry, EntryKind, Explanation
from domain.holds import CaptureExceedsHold, HoldEnded, HoldNotFound, InvalidTtl, TooManyHolds
from domain.ledger import Outcome
from domain.refusals import (
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidPoints,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
)
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    ISSUER,
    MANAGER,
    PROGRAM,
    TILL,
    ZONE,
    Interrupted,
    Stale,
    adjust,
    at,
    at_once,
    buy,
    capture,
    day,
    enroll,
    external,
    head_of,
    hold,
    merge,
    program,
    redeem,
    refuses,
    release,
    search,
    tick,
    unchanged,
)

NOW = at("2026-01-10 10:00")
BUCKET = day("2028-01-31")
LATER = NOW + timedelta(minutes=1)
# When a hold of `NOW` lapses that was given no time of its own.
LAPSED = NOW + limits.HOLD_TTL_DEFAULT
OTHER_TILL = access.actor(Role.PARTNER, issuer=ISSUER, subject="till-2", scopes=access.SCOPE_GRANTS)


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """Ada with 100 points, in a store that is up to date and in one whose cheap reads always come late."""
    made: Memory = request.param()
    return furnished(made)


def furnished(store: Memory) -> Memory:
    enroll(store, "ada", NOW)
    buy(store, "ada", 10_000, NOW, receipt="1")
    return store


@pytest.fixture
def interrupted() -> Interrupted:
    made = Interrupted()
    furnished(made)
    return made


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns after microseconds, so that they meet in the middle of things."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def checked(store: Memory) -> Memory:
    for log in store._logs.values():
        books.check(log, ZONE)
        books.check_due(log, store.due)
    return store


def balances(store: Memory, now: datetime = LATER) -> tuple[int, int]:
    """What can be spent, and what is held."""
    state = ledger.current(head_of(store, "ADA"), now, PROGRAM).state
    return state.balance, state.held_points


def block(store: Memory, now: datetime = LATER) -> None:
    standing.block(
        store,
        PROGRAM,
        actor=MANAGER,
        idempotency_key="block",
        member=external("ada"),
        reason="FRAUD",
        note=None,
        now=now,
    )


def close(store: Memory, now: datetime = LATER) -> None:
    standing.close(
        store,
        PROGRAM,
        actor=MANAGER,
        idempotency_key="close",
        member=external("ada"),
        reason="MOVED",
        note=None,
        now=now,
    )


# --- holding ----------------------------------------------------------------------------------------------------------


def test_held_points_leave_the_balance_and_stay_in_the_account(store: Memory) -> None:
    outcome = hold(store, "ada", 30, NOW, key="h")

    entry, state = outcome.entry, outcome.record.state
    assert (entry.kind, entry.points, entry.balance_after, entry.lapses_at) == (EntryKind.HOLD, 0, 70, LAPSED)
    assert entry.lines == (Line(BUCKET, -30), Line(BUCKET, 30, hold=3))
    assert entry.explanation == (Explanation("hold", -30),)
    assert (entry.actor, entry.at) == (TILL.id, NOW)
    # The number of a hold is the sequence of its record.
    assert state.holds == {outcome.record.seq: accounts.Hold(LAPSED, {BUCKET: 30})}
    assert (state.balance, state.held_points, state.worth) == (70, 30, 100)
    checked(store)


def test_the_soonest_expiring_points_are_held_first(store: Memory) -> None:
    buy(store, "ada", 2_000, NOW, receipt="2", program=program(expiry={"days": 3, "rounding": "day"}))

    outcome = hold(store, "ada", 25, NOW, key="h")

    assert outcome.record.state.holds[outcome.record.seq].buckets == {day("2026-01-13"): 20, BUCKET: 5}
    checked(store)


def test_the_last_point_can_be_held_and_not_one_more(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "points") as refused:
        hold(store, "ada", 101, NOW, key="h1")
    assert refused.value.message == "101 points are needed, 100 are available."
    assert hold(store, "ada", 100, NOW, key="h2").record.state.balance == 0
    with refuses(store, InsufficientPoints, "input", "points") as refused:
        hold(store, "ada", 1, NOW, key="h3")
    assert refused.value.message == "1 points are needed, 0 are available, 100 more are held."


def test_a_hold_lasts_as_long_as_the_till_says(store: Memory) -> None:
    longest = int(limits.HOLD_TTL_MAX.total_seconds())
    for number, seconds in enumerate((1, 900, longest)):
        entry = hold(store, "ada", 1, NOW, key=str(number), ttl_seconds=seconds).entry
        assert entry.lapses_at == NOW + timedelta(seconds=seconds)


def test_a_hold_lasts_as_long_as_the_program_says_when_the_till_does_not(store: Memory) -> None:
    brief = program(holds={"ttl_seconds": 60, "ttl_seconds_max": 90})

    assert hold(store, "ada", 1, NOW, key="1", program=brief).entry.lapses_at == NOW + timedelta(seconds=60)
    assert hold(store, "ada", 1, NOW, key="2", program=brief, ttl_seconds=90).entry.lapses_at
    with refuses(store, InvalidTtl, "input", "ttlSeconds") as refused:
        hold(store, "ada", 1, NOW, key="3", program=brief, ttl_seconds=91)
    assert refused.value.message == "A hold lasts 1 to 90 seconds."


def test_a_clock_that_runs_behind_makes_no_hold_shorter(store: Memory) -> None:
    buy(store, "ada", 100, LATER, receipt="2")

    entry = hold(store, "ada", 1, NOW, key="h", ttl_seconds=1).entry

    assert (entry.at, entry.lapses_at) == (LATER, LATER + timedelta(seconds=1))


def test_eight_holds_are_open_at_once_and_a_ninth_when_one_has_ended(store: Memory) -> None:
    made = [hold(store, "ada", 5, NOW, key=str(number)) for number in range(limits.HOLDS_MAX)]

    with refuses(store, TooManyHolds, "input", "member") as refused:
        hold(store, "ada", 5, NOW, key="ninth")
    assert refused.value.message == "The account has 8 open holds already."
    release(store, made[3], LATER, key="r")
    another = hold(store, "ada", 5, LATER, key="another")
    with refuses(store, TooManyHolds, "input", "member", replayed=True):
        hold(store, "ada", 5, LATER, key="ninth")
    # Those that lapsed leave room too.
    later = hold(store, "ada", 5, LAPSED, key="later")
    assert later.record.state.holds.keys() == {another.record.seq, later.record.seq}
    checked(store)


def test_a_hold_sent_again_is_the_same_hold_though_it_has_ended(store: Memory) -> None:
    first = hold(store, "ada", 30, NOW, key="h")
    capture(store, first, LATER, key="c")

    with unchanged(store):
        again = hold(store, "ada", 30, NOW + timedelta(days=30), key="h")

    assert again == replace(first, replayed=True)


def test_one_key_is_one_hold(store: Memory) -> None:
    enroll(store, "bob", NOW)
    held = hold(store, "ada", 30, NOW, key="h", ttl_seconds=60)

    other: list[Callable[[], Outcome]] = [
        lambda: hold(store, "ada", 31, NOW, key="h", ttl_seconds=60),
        lambda: hold(store, "ada", 30, NOW, key="h", ttl_seconds=61),
        lambda: hold(store, "ada", 30, NOW, key="h"),
        lambda: hold(store, "bob", 30, NOW, key="h", ttl_seconds=60),
        lambda: capture(store, held, NOW, key="h"),
        lambda: release(store, held, NOW, key="h"),
        lambda: redeem(store, "ada", "latte", NOW, key="h"),
    ]
    for call in other:
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            call()


# --- capturing --------------------------------------------------------------------------------------------------------


def test_a_captured_hold_is_spent(store: Memory) -> None:
    held = hold(store, "ada", 30, NOW, key="h")

    outcome = capture(store, held, LATER, key="c")

    entry, state = outcome.entry, outcome.record.state
    assert (entry.kind, entry.points, entry.balance_after) == (EntryKind.CAPTURE, -30, 70)
    assert entry.lines == (Line(BUCKET, -30, hold=3),)
    assert entry.explanation == (Explanation("capture", -30),)
    assert (entry.actor, entry.at) == (TILL.id, LATER)
    assert (state.balance, state.holds) == (70, {})
    checked(store)


def test_what_a_capture_does_not_need_goes_back_at_once(store: Memory) -> None:
    buy(store, "ada", 2_000, NOW, receipt="2", program=program(expiry={"days": 3, "rounding": "day"}))
    soon = day("2026-01-13")
    held = hold(store, "ada", 30, NOW, key="h")

    outcome = capture(store, held, LATER, key="c", points=21)

    # Spent like everything: the soonest-expiring first.
    assert outcome.entry.lines == (Line(soon, -20, hold=4), Line(BUCKET, -10, hold=4), Line(BUCKET, 9))
    assert (outcome.entry.points, outcome.entry.balance_after) == (-21, 99)
    checked(store)


@pytest.mark.parametrize(("points", "left"), [(1, 99), (29, 71), (30, 70)])
def test_any_part_of_a_hold_can_be_captured(store: Memory, points: int, left: int) -> None:
    held = hold(store, "ada", 30, NOW, key="h")

    capture(store, held, LATER, key="c", points=points)

    assert balances(checked(store)) == (left, 0)


def test_any_till_may_end_a_hold(store: Memory) -> None:
    first, second, third = (hold(store, "ada", 10, NOW, key=str(number)) for number in range(3))

    capture(store, first, LATER, key="c", actor=OTHER_TILL)
    release(store, second, LATER, key="r", actor=OTHER_TILL)
    capture(store, third, LATER, key="c", actor=MANAGER)

    assert balances(checked(store)) == (80, 0)


def test_a_hold_is_captured_through_its_last_moment(store: Memory) -> None:
    held = hold(store, "ada", 30, NOW, key="h")

    assert capture(store, held, LAPSED - timedelta(milliseconds=1), key="c").entry.points == -30


def test_a_blocked_account_keeps_its_promise_to_the_till(store: Memory) -> None:
    first, second = (hold(store, "ada", 30, NOW, key=key) for key in ("h1", "h2"))
    block(store)

    with refuses(store, MemberBlocked, "input", "member"):
        hold(store, "ada", 30, LATER, key="h3")
    capture(store, first, LATER, key="c", points=20)
    release(store, second, LATER, key="r")

    assert balances(checked(store)) == (80, 0)


def test_points_that_expire_while_they_are_held_can_be_captured_and_the_rest_expires(store: Memory) -> None:
    start = at("2026-01-12 23:50")
    buy(store, "ada", 2_000, start, receipt="2", program=program(expiry={"days": 0, "months": 1, "rounding": "month"}))
    last = at("2026-02-28 23:50")
    held = hold(store, "ada", 20, last, key="h")

    outcome = capture(store, held, at("2026-03-01 00:04"), key="c", points=15)

    assert [(entry.kind, entry.points) for entry in outcome.record.entries] == [
        (EntryKind.CAPTURE, -15),
        (EntryKind.EXPIRY, -5),
    ]
    assert outcome.record.state.balance == 100
    checked(store)


def test_a_capture_sent_again_is_the_same_capture(store: Memory) -> None:
    held = hold(store, "ada", 30, NOW, key="h")
    first = capture(store, held, LATER, key="c", points=20)
    redeem(store, "ada", "latte", LATER, key="k")

    with unchanged(store):
        assert capture(store, held, NOW + timedelta(days=30), key="c", points=20) == replace(first, replayed=True)
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        capture(store, held, LATER, key="c", points=21)
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        capture(store, held, LATER, key="c")
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        release(store, held, LATER, key="c")


# --- releasing and lapsing --------------------------------------------------------------------------------------------


def test_a_released_hold_is_as_if_it_had_never_been(store: Memory) -> None:
    buy(store, "ada", 2_000, NOW, receipt="2", program=program(expiry={"days": 3, "rounding": "day"}))
    before = head_of(store, "ADA").state
    held = hold(store, "ada", 30, NOW, key="h")

    outcome = release(store, held, LATER, key="r")

    entry = outcome.entry
    assert (entry.kind, entry.points, entry.balance_after) == (EntryKind.RELEASE, 0, 120)
    assert entry.explanation == (Explanation("release", 30),)
    assert outcome.record.state == replace(before, at=LATER)
    with unchanged(store):
        assert release(store, held, LAPSED, key="r") == replace(outcome, replayed=True)
    checked(store)


def test_a_lapsed_hold_is_in_the_history_before_anybody_has_booked_it(store: Memory) -> None:
    held = hold(store, "ada", 30, NOW, key="h")
    head = head_of(store, "ADA")

    with unchanged(store):
        open_still = ledger.current(head, LAPSED - timedelta(milliseconds=1), PROGRAM)
        over = ledger.current(head, LAPSED, PROGRAM)

    assert (open_still.entries, open_still.state.held_points) == ((), 30)
    (entry,) = over.entries
    assert (entry.kind, entry.at, entry.points, entry.balance_after) == (EntryKind.LAPSE, LAPSED, 0, 100)
    assert entry.lines == (Line(BUCKET, -30, hold=held.record.seq), Line(BUCKET, 30))
    assert over.state.holds == {}
    booked = buy(store, "ada", 100, LAPSED + timedelta(hours=1), receipt="2").record
    assert booked.entries[0] == entry
    checked(store)


def test_a_tick_books_what_lapsed_once(store: Memory) -> None:
    hold(store, "ada", 30, NOW, key="h")

    assert tick(store, "ADA", now=LAPSED - timedelta(milliseconds=1), program=PROGRAM) is None
    booked = tick(store, "ADA", now=LAPSED + timedelta(hours=9), program=PROGRAM)
    assert booked is not None
    assert [(entry.kind, entry.at) for entry in booked.entries] == [(EntryKind.LAPSE, LAPSED)]
    with unchanged(store):
        assert tick(store, "ADA", now=LAPSED + timedelta(hours=10), program=PROGRAM) is None


def test_held_points_that_go_back_pay_what_is_owed_first(store: Memory) -> None:
    """A debt comes of a return; here it is written by hand."""
    held = hold(store, "ada", 100, NOW, key="h")
    head = head_of(store, "ADA")
    booking = ledger.book(
        head, None, lambda _: Entry(EntryKind.RETURN, LATER, (Line(accounts.DEBT, -30),), 0), now=LATER, program=PROGRAM
    )
    ledger.write(store, booking, PROGRAM)

    outcome = capture(store, held, LATER, key="c", points=60)

    assert [(entry.kind, entry.balance_after) for entry in outcome.record.entries] == [
        (EntryKind.CAPTURE, 40),
        (EntryKind.DEBT_PAYMENT, 10),
    ]
    assert outcome.record.state.debt == 0
    checked(store)


# --- what is refused, in this order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "\x7f", "k" * (limits.KEY_LENGTH_MAX + 1)])
def test_a_key_is_a_short_printable_text(store: Memory, key: str) -> None:
    held = hold(store, "ada", 1, NOW, key="h")
    calls: list[Callable[[], Outcome]] = [
        lambda: hold(store, "nobody", 0, NOW, key=key, ttl_seconds=0),
        lambda: capture(store, held, NOW, key=key, points=0),
        lambda: release(store, held, NOW, key=key),
    ]
    for call in calls:
        with refuses(store, InvalidText, "input", "idempotencyKey"):
            call()


@pytest.mark.parametrize("points", [0, -1, -(2**53), limits.ADJUSTMENT_POINTS_MAX + 1, 2**53])
def test_points_are_at_least_one_and_no_more_than_anybody_has(store: Memory, points: int) -> None:
    held = hold(store, "ada", 1, NOW, key="h")

    with refuses(store, InvalidPoints, "input", "points"):
        hold(store, "nobody", points, NOW, key="k", ttl_seconds=0)
    with refuses(store, InvalidPoints, "input", "points"):
        capture(store, held, NOW, key="k", points=points)


@pytest.mark.parametrize("seconds", [0, -1, 604_801, 10**12, 2**53, -(2**53)])
def test_a_hold_ends_some_time_and_within_a_week(store: Memory, seconds: int) -> None:
    with refuses(store, InvalidTtl, "input", "ttlSeconds"):
        hold(store, "nobody", 1, NOW, key="k", ttl_seconds=seconds)


def test_nothing_is_held_of_somebody_unknown(store: Memory) -> None:
    with refuses(store, MemberNotFound, "input", "member"):
        hold(store, "nobody", 1, NOW, key="k")


def test_nothing_is_held_of_somebody_who_left(store: Memory) -> None:
    held = hold(store, "ada", 30, NOW, key="h")
    capture(store, held, NOW, key="c")
    close(store)

    with refuses(store, MemberNotFound, "input", "member"):
        hold(store, "ada", 1, LATER, key="k")
    with refuses(store, MemberClosed, "input", "member"):
        holds.hold(
            store,
            PROGRAM,
            actor=TILL,
            idempotency_key="k",
            member=replace(external("ADA"), kind="id"),
            points=1,
            ttl_seconds=None,
            now=LATER,
        )
    # What the keys were answered before is still their answer.
    with unchanged(store):
        assert hold(store, "ada", 30, LATER, key="h") == replace(held, replayed=True)
    with refuses(store, HoldEnded, "input", "holdId"):
        capture(store, held, LATER, key="c2")


@pytest.mark.parametrize(
    ("account", "number"),
    [("", 0), ("", 3), ("ADA", 0), ("ADA", -1), ("ADA", 1), ("ADA", 2), ("ADA", 4), ("ADA", 9_999_999_999), ("BOB", 3)],
)
def test_a_hold_is_one_that_was_made(store: Memory, account: str, number: int) -> None:
    """Entries of other kinds are no holds; neither is what comes next, or what stands in nobody's account."""
    held = hold(store, "ada", 1, NOW, key="h")
    assert held.record.seq == 3
    wrong = replace(held, record=replace(held.record, account=account, seq=number))

    with refuses(store, HoldNotFound, "input", "holdId"):
        capture(store, wrong, NOW, key="k")
    with refuses(store, HoldNotFound, "input", "holdId"):
        release(store, wrong, NOW, key="k")
    # Nothing was decided for the key.
    release(store, held, NOW, key="k")


def test_a_hold_ends_once_and_says_how(store: Memory) -> None:
    captured, released, lapsed = (hold(store, "ada", 10, NOW, key=f"h{number}") for number in range(3))
    capture(store, captured, LATER, key="c", points=3)
    release(store, released, LATER, key="r")

    for held, told, now in (
        (captured, "was captured at 2026-01-10T15:01:00Z", LATER),
        (released, "was released at 2026-01-10T15:01:00Z", LATER),
        (lapsed, "lapsed at 2026-01-10T15:15:00Z", LAPSED),
        (captured, "was captured at 2026-01-10T15:01:00Z", LAPSED + timedelta(days=3)),
    ):
        for end in (capture, release):
            key = f"{end.__name__} {told} {now}"
            with refuses(store, HoldEnded, "input", "holdId") as refused:
                end(store, held, now, key=key)
            assert refused.value.message == f"The hold {told}."
            with refuses(store, HoldEnded, "input", "holdId", replayed=True):
                end(store, held, now + timedelta(days=1), key=key)
    # It says so too once somebody has booked the lapse.
    buy(store, "ada", 100, LAPSED + timedelta(hours=1), receipt="2")
    with refuses(store, HoldEnded, "input", "holdId") as refused:
        capture(store, lapsed, LAPSED + timedelta(hours=2), key="late")
    assert refused.value.message == "The hold lapsed at 2026-01-10T15:15:00Z."
    checked(store)


def test_how_a_hold_ended_is_found_behind_any_number_of_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESUME_PAGE", 2)
    store = furnished(Memory())
    held = hold(store, "ada", 10, NOW, key="h")
    for number in range(2, 7):
        buy(store, "ada", 100, NOW, receipt=str(number))
    release(store, held, LATER, key="r")
    buy(store, "ada", 100, LATER, receipt="7")

    with refuses(store, HoldEnded, "input", "holdId") as refused:
        capture(store, held, LATER, key="c")
    assert refused.value.message == "The hold was released at 2026-01-10T15:01:00Z."
    monkeypatch.setattr(limits, "RESUME_PAGES_MAX", 1)
    with refuses(store, HoldEnded, "input", "holdId") as refused:
        capture(store, held, LATER, key="c2")
    assert refused.value.message == "The hold has ended."


def test_no_more_is_captured_than_is_held(store: Memory) -> None:
    held = hold(store, "ada", 30, NOW, key="h")

    with refuses(store, CaptureExceedsHold, "input", "points") as refused:
        capture(store, held, LATER, key="c", points=31)
    assert refused.value.message == "The hold has 30 points, not 31."
    with refuses(store, CaptureExceedsHold, "input", "points", replayed=True):
        capture(store, held, LATER, key="c", points=31)
    # The hold is still open.
    capture(store, held, LATER, key="c2", points=30)


def test_a_refused_hold_stays_refused_however_rich_the_member_becomes(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "points"):
        hold(store, "ada", 101, NOW, key="h")
    adjust(store, "ada", 500, NOW, key="gift")

    with refuses(store, InsufficientPoints, "input", "points", replayed=True):
        hold(store, "ada", 101, LATER, key="h")


# --- merged accounts --------------------------------------------------------------------------------------------------


def test_a_hold_of_an_account_that_was_merged_since_has_ended(store: Memory) -> None:
    enroll(store, "bob", NOW)
    captured = hold(store, "ada", 30, NOW, key="h")
    first = capture(store, captured, NOW, key="c", points=20)
    merge(store, "ada", "bob", LATER, key="m")
    # Ada's hold and Bob's have the same number: neither is taken for the other.
    bobs = hold(store, "bob", 10, LATER, key="bobs")
    assert (bobs.record.account, bobs.record.seq) == ("BOB", captured.record.seq)

    with refuses(store, HoldEnded, "input", "holdId") as refused:
        capture(store, captured, LATER, key="c2")
    assert refused.value.message == "The hold was captured at 2026-01-10T15:00:00Z."
    wrong = replace(captured, record=replace(captured.record, seq=2))
    with refuses(store, HoldNotFound, "input", "holdId"):
        release(store, wrong, LATER, key="r")
    with unchanged(store):
        assert capture(store, captured, LATER, key="c", points=20) == replace(first, replayed=True)
    assert capture(store, bobs, LATER, key="c3").entry.points == -10
    checked(store)


def test_who_was_merged_is_held_from_the_account_they_live_on_in(store: Memory) -> None:
    enroll(store, "bob", NOW)
    merge(store, "ada", "bob", LATER, key="m")

    held = hold(store, "ada", 100, LATER, key="h")

    assert held.record.account == "BOB"
    assert capture(store, held, LATER, key="c").record.state.balance == 0
    checked(store)


def test_a_capture_that_was_only_claimed_before_a_merge_is_refused_after_it(interrupted: Interrupted) -> None:
    """The hold is released and the account merged between the claim and the append of the capture."""
    enroll(interrupted, "bob", NOW)
    held = hold(interrupted, "ada", 30, NOW, key="h")

    def release_and_merge() -> None:
        release(interrupted, held, LATER, key="r")
        merge(interrupted, "ada", "bob", LATER, key="m")

    interrupted.before_append.append(release_and_merge)

    with pytest.raises(HoldEnded) as refused:
        capture(interrupted, held, LATER, key="c")

    assert head_of(interrupted, "BOB").entries[-1].refusal == refused.value
    with refuses(interrupted, HoldEnded, "input", "holdId", replayed=True):
        capture(interrupted, held, LATER, key="c")
    assert head_of(checked(interrupted), "BOB").state.balance == 100


# --- races ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize(("points", "successes"), [(101, 0), (100, 1), (51, 1), (50, 2), (13, 7), (12, 8)])
def test_200_holds_at_once_succeed_as_often_as_the_balance_allows(points: int, successes: int) -> None:
    store = furnished(Memory())

    answers = at_once([lambda number=number: hold(store, "ada", points, NOW, key=str(number)) for number in range(200)])

    assert sum(isinstance(answer, Outcome) for answer in answers) == successes
    refused = Counter(type(answer) for answer in answers if isinstance(answer, Refusal))
    if successes < limits.HOLDS_MAX:
        assert refused == {InsufficientPoints: 200 - successes}
    assert sum(refused.values()) == 200 - successes
    assert balances(checked(store)) == (100 - successes * points, successes * points)


@pytest.mark.usefixtures("eager_threads")
def test_200_holds_at_once_succeed_as_often_as_holds_may_be_open() -> None:
    store = furnished(Memory())

    answers = at_once([lambda number=number: hold(store, "ada", 1, NOW, key=str(number)) for number in range(200)])

    assert sum(isinstance(answer, Outcome) for answer in answers) == limits.HOLDS_MAX
    assert sum(isinstance(answer, TooManyHolds) for answer in answers) == 200 - limits.HOLDS_MAX
    assert balances(checked(store)) == (92, 8)


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("attempt", range(5))
def test_captures_and_releases_of_one_hold_at_once_end_it_once(attempt: int) -> None:
    store = furnished(Memory())
    held = hold(store, "ada", 40, NOW, key="h")

    answers = at_once(
        [
            (lambda key=key: capture(store, held, LATER, key=key, points=25))
            if number % 2
            else (lambda key=key: release(store, held, LATER, key=key))
            for number, key in enumerate(f"{attempt}.{number}" for number in range(40))
        ]
    )

    (won,) = [answer for answer in answers if isinstance(answer, Outcome)]
    assert sum(isinstance(answer, HoldEnded) for answer in answers) == 39
    assert {str(answer) for answer in answers if isinstance(answer, HoldEnded)} == {
        f"The hold was {'captured' if won.entry.points else 'released'} at 2026-01-10T15:01:00Z."
    }
    assert balances(checked(store)) == (100 + won.entry.points, 0)


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("attempt", range(5))
def test_a_hold_that_lapses_while_it_is_captured_ends_once(attempt: int) -> None:
    """Clocks of callers differ by a little around the moment; whoever writes first decides."""
    store = furnished(Memory())
    held = hold(store, "ada", 40, NOW, key="h")
    early, late = LAPSED - timedelta(milliseconds=1), LAPSED

    answers = at_once(
        [
            *(lambda key=f"{attempt} c{number}": capture(store, held, early, key=key) for number in range(10)),
            *(lambda key=f"l{number}": capture(store, held, late, key=key) for number in range(10)),
            *(lambda: tick(store, "ADA", now=late, program=PROGRAM) for _ in range(10)),
            *(lambda key=f"b{number}": adjust(store, "ada", 1, late, key=key) for number in range(10)),
        ]
    )

    captured = [answer for answer in answers[:20] if isinstance(answer, Outcome)]
    entries = [entry for record in store._logs["ADA"] for entry in record.entries]
    lapsed = [entry for entry in entries if entry.kind is EntryKind.LAPSE]
    assert len(captured) + len(lapsed) == 1
    assert all(isinstance(answer, HoldEnded) for answer in answers[:20] if answer not in captured)
    assert not [answer for answer in answers[20:] if isinstance(answer, Exception)]
    assert balances(checked(store), late) == (110 - 40 * len(captured), 0)


def test_who_loses_the_race_for_a_hold_is_told_how_it_ended_for_good(interrupted: Interrupted) -> None:
    held = hold(interrupted, "ada", 30, NOW, key="h")
    interrupted.before_append.append(lambda: release(interrupted, held, LATER, key="r"))

    with pytest.raises(HoldEnded) as refused:
        capture(interrupted, held, LATER, key="c")

    assert refused.value.message == "The hold was released at 2026-01-10T15:01:00Z."
    with refuses(interrupted, HoldEnded, "input", "holdId", replayed=True):
        capture(interrupted, held, LATER, key="c")
    assert balances(checked(interrupted)) == (100, 0)


def test_a_capture_outrun_by_another_sale_is_booked_behind_it(interrupted: Interrupted) -> None:
    held = hold(interrupted, "ada", 30, NOW, key="h")
    interrupted.before_append.append(lambda: redeem(interrupted, "ada", "latte", LATER, key="k"))

    outcome = capture(interrupted, held, LATER, key="c")

    assert (outcome.record.seq, outcome.record.state.balance) == (5, 30)
    checked(interrupted)


def test_two_deliveries_of_one_capture_are_one(interrupted: Interrupted) -> None:
    held = hold(interrupted, "ada", 30, NOW, key="h")
    interrupted.before_append.append(lambda: capture(interrupted, held, LATER, key="c"))

    assert capture(interrupted, held, LATER, key="c").replayed
    assert balances(checked(interrupted)) == (70, 0)


def crash() -> None:
    """The process ends here."""
    raise OutcomeUnknown("The store gave no answer.")


@pytest.mark.parametrize("what", ["hold", "capture", "release"])
def test_a_retry_completes_what_was_claimed_and_never_booked(interrupted: Interrupted, what: str) -> None:
    store = interrupted
    held = hold(store, "ada", 30, NOW, key="h")
    calls: dict[str, Callable[[], Outcome]] = {
        "hold": lambda: hold(store, "ada", 20, LATER, key="k"),
        "capture": lambda: capture(store, held, LATER, key="k", points=20),
        "release": lambda: release(store, held, LATER, key="k"),
    }
    store.before_append.append(crash)
    with refuses(store, OutcomeUnknown):
        calls[what]()

    first = calls[what]()

    assert not first.replayed
    with unchanged(store):
        assert calls[what]() == replace(first, replayed=True)
    assert balances(checked(store)) == {"hold": (50, 50), "capture": (80, 0), "release": (100, 0)}[what]


def test_a_capture_that_was_claimed_and_never_booked_is_too_late_when_the_hold_has_lapsed(
    interrupted: Interrupted,
) -> None:
    store = interrupted
    held = hold(store, "ada", 30, NOW, key="h")
    store.before_append.append(crash)
    with refuses(store, OutcomeUnknown):
        capture(store, held, LATER, key="k")

    with pytest.raises(HoldEnded):
        capture(store, held, LAPSED, key="k")
    with refuses(store, HoldEnded, "input", "holdId", replayed=True):
        capture(store, held, LATER, key="k")
    assert balances(checked(store), LAPSED) == (100, 0)


# --- any sequence of it -----------------------------------------------------------------------------------------------

# Points that are held go somewhere, once: held = captured + returned + lapsed + still open. What was captured is gone from the
# account, everything else is back in it, or has expired; nothing is spent twice, whatever happens in which order.

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["earn", "earn brief", "hold", "hold", "capture", "release", "redeem", "tick", "look"]),
        st.integers(1, 60),
        # Which hold, of those ever made.
        st.integers(0, 5),
        st.sampled_from([0, 1, 30, 59, 60, 61, 3_600, 86_400]),
    ),
    min_size=1,
    max_size=30,
)


@search(200)
@given(STEPS)
def test_what_was_held_is_captured_returned_or_lapsed(steps: list[tuple[str, int, int, int]]) -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    now = NOW
    made: list[Outcome] = []
    brief = program(expiry={"days": 1, "rounding": "day"}, holds={"ttl_seconds": 60})
    for number, (verb, points, which, seconds) in enumerate(steps):
        now += timedelta(seconds=seconds)
        key = str(number)
        before = head_of(store, "ADA").seq
        try:
            match verb:
                case "earn":
                    buy(store, "ada", points * 100, now, receipt=key)
                case "earn brief":
                    buy(store, "ada", points * 100, now, receipt=key, program=brief)
                case "hold":
                    made.append(hold(store, "ada", points, now, key=key, program=brief))
                case "capture" if made:
                    capture(store, made[which % len(made)], now, key=key, points=points)
                case "release" if made:
                    release(store, made[which % len(made)], now, key=key)
                case "redeem":
                    redeem(store, "ada", "cookie", now, key=key)
                case "tick":
                    tick(store, "ADA", now=now, program=PROGRAM)
                case _:
                    ledger.current(head_of(store, "ADA"), now, PROGRAM)
        except Refusal:
            assert head_of(store, "ADA").seq == before
    checked(store)
    entries = [entry for record in store._logs["ADA"] for entry in record.entries]
    fate: Counter[EntryKind] = Counter()
    for entry in entries:
        fate[entry.kind] += sum(abs(line.points) for line in entry.lines if line.hold)
    captured = -sum(entry.points for entry in entries if entry.kind is EntryKind.CAPTURE)
    returned = sum(
        line.points
        for entry in entries
        if entry.kind in (EntryKind.CAPTURE, EntryKind.RELEASE, EntryKind.LAPSE)
        for line in entry.lines
        if line.points > 0
    )
    still_open = head_of(store, "ADA").state.held_points
    assert fate[EntryKind.HOLD] == captured + returned + still_open
    assert fate[EntryKind.HOLD] - still_open == (
        fate[EntryKind.CAPTURE] + fate[EntryKind.RELEASE] + fate[EntryKind.LAPSE]
    )
    named = Counter(number for entry in entries for number in {line.hold for line in entry.lines if line.hold})
    open_holds = head_of(store, "ADA").state.holds
    assert all(count == (1 if number in open_holds else 2) for number, count in named.items()), "a hold ends once"
