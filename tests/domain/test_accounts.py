"""The arithmetic of an account, searched for counterexamples.

What must hold of every log is written in `books.check`: fold(lines) = state, positive pots only, no point made or lost, no
overdraft, time forward, nothing expired is spent, moved or brought back, merging only ever moves an expiry to a later day,
nothing that is left expires before the last point spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import accounts, days, ledger, limits
from domain.accounts import DEBT, ROLLING, Hold, Line, Passage, State
from domain.days import NEVER
from domain.entries import Entry, EntryKind, Key, Record
from domain.expiry import Rolling
from domain.refusals import InsufficientPoints
from tests.domain import books
from tests.domain.world import PROGRAM, ZONE, at, day, search

# Two days before the clocks change in New York, so that many stories live through a day of 23 hours.
START = at("2026-03-06")
TODAY = day("2026-03-06")


@dataclass(frozen=True)
class Earn:
    """Points that expire, and mature, so many days from now; both may lie in the past."""

    points: int
    expires_in: int | None
    matures_in: int


@dataclass(frozen=True)
class Roll:
    """Points that live while the member is active, and mature so many days from now."""

    points: int
    matures_in: int


@dataclass(frozen=True)
class Spend:
    points: int


@dataclass(frozen=True)
class Wait:
    time: timedelta


@dataclass(frozen=True)
class Set:
    """Points set aside for so long."""

    points: int
    ttl: timedelta


@dataclass(frozen=True)
class Let:
    """The oldest hold ends: this much of it is captured, as far as it goes."""

    captured: int


@dataclass(frozen=True)
class Owe:
    """Points are taken back, and owed where they are not there."""

    points: int


Step = Earn | Roll | Spend | Wait | Set | Let | Owe

earns = st.builds(
    Earn,
    points=st.integers(1, 20) | st.just(10**15),
    expires_in=st.integers(0, 5) | st.integers(-4, 12) | st.none(),
    matures_in=st.integers(-2, 4),
)
rolls = st.builds(Roll, points=st.integers(1, 20), matures_in=st.integers(-2, 6))
# Hours, whole days that keep to midnight, and clocks that run a little backwards.
waits = st.builds(
    Wait, st.integers(-30, 80).map(lambda hours: timedelta(hours=hours)) | st.integers(0, 3).map(timedelta)
)
sets = st.builds(
    Set, st.integers(1, 30), st.sampled_from([1, 5, 24, 50, 200]).map(lambda hours: timedelta(hours=hours))
)
steps = st.one_of(
    earns,
    earns,
    rolls,
    st.builds(Spend, st.integers(1, 40)),
    waits,
    sets,
    st.builds(Let, st.integers(0, 30)),
    st.builds(Owe, st.integers(1, 60)),
)
stories = st.lists(steps, min_size=4, max_size=40)
# With few buckets every story merges; the real bound has the same code and a test of its own.
FEW = 3


def live(story: Sequence[Step], *, buckets_max: int = FEW) -> list[Record]:
    """The log of an account that lives through a story."""
    now = START
    joined = Entry(EntryKind.ENROLLMENT, now, (), 0)
    log = [Record("A", 1, (joined,), State(at=now))]
    with mock.patch.object(limits, "BUCKETS_MAX", buckets_max):
        for index, step in enumerate(story):
            match step:
                case Wait():
                    now += step.time
                    continue
                case Earn():
                    decide = earning(step)
                case Roll():
                    decide = rolling(step)
                case Spend():
                    decide = spending(step)
                case Set():
                    decide = setting_aside(step, now)
                case Let():
                    decide = letting_go(step)
                case Owe():
                    decide = owing(step)
            before = log[-1]
            try:
                booking = ledger.book(before, Key("test", str(index)), decide, now=now, program=PROGRAM)
            except (InsufficientPoints, NoHold):
                continue
            log.append(booking.record)
            assert booking.record.entries[booking.index].key == Key("test", str(index))
    return log


def lived_out(log: Sequence[Record]) -> Sequence[Record]:
    """The log as a reader sees it when time has taken all it can."""
    with mock.patch.object(limits, "BUCKETS_MAX", FEW):
        rest = ledger.current(log[-1], log[-1].state.at + timedelta(days=400), PROGRAM)
    return [*log, rest] if rest.entries else log


def earning(step: Earn) -> ledger.Decision:
    def decide(before: Record) -> Entry:
        state = before.state
        today = days.day_of(state.at, ZONE)
        expires = NEVER if step.expires_in is None else today + step.expires_in
        lines = accounts.earn(state, step.points, expires=expires, today=today, matures=today + step.matures_in)
        return Entry(EntryKind.PURCHASE, START, lines, 0)

    return decide


# The days of silence that rolling points outlast: some pending ones mature behind it.
SILENCE = 3


def rolling(step: Roll) -> ledger.Decision:
    def decide(before: Record) -> Entry:
        state = before.state
        today = days.day_of(state.at, ZONE)
        lines = accounts.earn(state, step.points, expires=ROLLING, today=today, matures=today + step.matures_in)
        rolls = (state.rolling or Rolling(0, 0, SILENCE)).moved(today)
        return Entry(EntryKind.PURCHASE, START, lines, 0, rolls=rolls)

    return decide


def spending(step: Spend) -> ledger.Decision:
    def decide(before: Record) -> Entry:
        return Entry(EntryKind.REDEMPTION, START, accounts.spend(before.state, step.points), 0)

    return decide


class NoHold(Exception):
    """There is nothing to let go."""


def setting_aside(step: Set, now: datetime) -> ledger.Decision:
    def decide(before: Record) -> Entry:
        if len(before.state.holds) >= limits.HOLDS_MAX:
            raise NoHold
        lines = accounts.hold(before.state, before.seq, step.points)
        return Entry(EntryKind.HOLD, START, lines, 0, lapses_at=max(now, before.state.at) + step.ttl)

    return decide


def letting_go(step: Let) -> ledger.Decision:
    def decide(before: Record) -> Entry:
        state = before.state
        if not state.holds:
            raise NoHold
        number = next(iter(state.holds))
        captured = min(step.captured, state.holds[number].points)
        lines = accounts.release(state, number, today=days.day_of(state.at, ZONE), captured=captured)
        return Entry(EntryKind.CAPTURE if captured else EntryKind.RELEASE, START, lines, 0)

    return decide


def owing(step: Owe) -> ledger.Decision:
    def decide(before: Record) -> Entry:
        taken = min(step.points, before.state.balance)
        lines = accounts.spend(before.state, taken) if taken else ()
        owed = (Line(DEBT, taken - step.points),) if taken < step.points else ()
        return Entry(EntryKind.RETURN, START, (*lines, *owed), 0)

    return decide


@search(400)
@given(stories)
def test_the_books_are_right_after_any_story(story: list[Step]) -> None:
    books.check(lived_out(live(story)), ZONE, buckets_max=FEW)


@search(60)
@given(st.lists(earns, min_size=60, max_size=90))
def test_the_books_are_right_at_the_real_bound(story: list[Step]) -> None:
    spread = [
        Earn(step.points, None if step.expires_in is None else step.expires_in * 7 + index, step.matures_in)
        for index, step in enumerate(story)
        if isinstance(step, Earn)
    ]
    books.check(live(spread, buckets_max=limits.BUCKETS_MAX), ZONE)


@search(300)
@given(stories, st.integers(0, 400), st.integers(0, 400))
def test_time_passes_alike_in_one_step_and_in_two(story: list[Step], one: int, other: int) -> None:
    # Whatever the pots hold: pending points, holds that lapse in between, debts waiting for the next live point.
    # A tick too many, too early or too late changes nothing: advance(advance(s, a), b) = advance(s, b).
    state = live(story)[-1].state
    first, last = (state.at + timedelta(hours=hours) for hours in sorted((one, other)))
    with mock.patch.object(limits, "BUCKETS_MAX", FEW):
        straight, whole = accounts.advance(state, last, ZONE)
        halfway, early = accounts.advance(state, first, ZONE)
        stepped, late = accounts.advance(halfway, last, ZONE)

    assert stepped == straight
    assert early + late == whole
    assert all(passage.at <= first for passage in early)
    assert all(passage.at > first for passage in late)


@search(200)
@given(stories, st.lists(st.integers(0, 100), max_size=6))
def test_reading_is_what_the_next_append_books(story: list[Step], hours: list[int]) -> None:
    head = live(story)[-1]
    now = head.state.at + timedelta(hours=sum(hours))
    with mock.patch.object(limits, "BUCKETS_MAX", FEW):
        seen = ledger.current(head, now, PROGRAM)
        booking = ledger.book(
            head, Key("test", "next"), lambda _: Entry(EntryKind.PURCHASE, now, (), 0), now=now, program=PROGRAM
        )
    booked, index = booking.record, booking.index

    assert (booked.account, booked.seq) == (seen.account, seen.seq)
    assert booked.entries[:index] == seen.entries
    assert booked.state.buckets == seen.state.buckets
    assert booked.state.pending == seen.state.pending


# --- spending ---------------------------------------------------------------------------------------------------------


def test_spends_the_soonest_expiring_points_first() -> None:
    state = State(START, {TODAY: 5, TODAY + 30: 7, NEVER: 100})

    assert accounts.spend(state, 1) == (Line(TODAY, -1),)
    assert accounts.spend(state, 5) == (Line(TODAY, -5),)
    assert accounts.spend(state, 6) == (Line(TODAY, -5), Line(TODAY + 30, -1))
    assert accounts.spend(state, 112) == (Line(TODAY, -5), Line(TODAY + 30, -7), Line(NEVER, -100))


def test_pending_points_cannot_be_spent() -> None:
    state = State(START, {TODAY: 5}, {(TODAY + 1, TODAY + 9): 50})

    with pytest.raises(InsufficientPoints, match="6 points are needed, 5 are available"):
        accounts.spend(state, 6, field=("input", "points"))


def test_an_empty_account_has_nothing_to_spend() -> None:
    with pytest.raises(InsufficientPoints):
        accounts.spend(State(START), 1)


# --- earning ----------------------------------------------------------------------------------------------------------


def test_zero_points_leave_no_line() -> None:
    assert accounts.earn(State(START), 0, expires=TODAY, today=TODAY) == ()


@pytest.mark.parametrize(("matures_in", "pending"), [(-1, False), (0, False), (1, True)])
def test_points_wait_only_for_a_day_to_come(matures_in: int, pending: bool) -> None:
    (line,) = accounts.earn(State(START), 3, expires=TODAY + 9, today=TODAY, matures=TODAY + matures_in)

    assert line == Line(TODAY + 9, 3, TODAY + 1 if pending else 0)


def full(*gaps_at: int, buckets: int = limits.BUCKETS_MAX) -> State:
    """As many buckets as fit, 10 points each, ten days apart; those at `gaps_at` only one day after the one before."""
    expires, held = TODAY, {}
    for index in range(buckets):
        expires += 1 if index in gaps_at else 10
        held[expires] = 10
    return State(START, held)


def test_one_bucket_more_than_fit_moves_the_two_closest_to_the_later_day() -> None:
    state = full(7)
    early, late = list(state.buckets)[6:8]
    assert late == early + 1

    lines = accounts.earn(state, 4, expires=TODAY + 5_000, today=TODAY)

    assert lines == (Line(TODAY + 5_000, 4), Line(early, -10), Line(late, 10))


def test_the_newest_points_may_be_the_ones_that_move() -> None:
    state = full()
    last = list(state.buckets)[-1]

    assert accounts.earn(state, 4, expires=last - 1, today=TODAY) == (
        Line(last - 1, 4),
        Line(last - 1, -4),
        Line(last, 4),
    )


def test_nothing_moves_while_there_is_room() -> None:
    room = full(7, buckets=limits.BUCKETS_MAX - 1)
    known = list(full(7).buckets)[30]

    assert accounts.earn(room, 4, expires=TODAY + 5_000, today=TODAY) == (Line(TODAY + 5_000, 4),)
    assert accounts.earn(full(7), 4, expires=known, today=TODAY) == (Line(known, 4),)


def test_points_that_never_expire_have_no_neighbour() -> None:
    state = full(buckets=limits.BUCKETS_MAX - 1)
    state = State(START, {**state.buckets, NEVER: 50})
    last = list(state.buckets)[-2]

    lines = accounts.earn(state, 4, expires=last + 100, today=TODAY)

    assert NEVER not in {line.expires for line in lines}


def test_points_that_come_too_late_are_not_brought_back_by_moving() -> None:
    state = full()

    assert accounts.earn(state, 4, expires=TODAY - 1, today=TODAY) == (Line(TODAY - 1, 4),)
    # On its very last day a bucket is as good as any other.
    assert len(accounts.earn(State(START, {TODAY + 1: 1, **full().buckets}), 4, expires=TODAY, today=TODAY)) == 3


def test_maturing_does_not_bring_back_what_expires_at_the_same_midnight() -> None:
    # The account is full; at one midnight its first bucket expires, and pending points become one bucket too many.
    state = full(1)
    first, second = list(state.buckets)[:2]
    assert second == first + 1
    state = State(START, state.buckets, {(first + 1, TODAY + 5_000): 7})

    after, passages = accounts.advance(state, books.midnight_after(first, ZONE), ZONE)

    assert [passage.lines for passage in passages if passage.kind == accounts.EXPIRED] == [(Line(first, -10),)]
    assert after.balance == state.balance - 10 + 7


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_bucket_lives_to_the_last_instant_of_its_day() -> None:
    state = State(START, {TODAY: 5})
    midnight = at("2026-03-07 00:00")

    assert accounts.advance(state, midnight - books.TICK, ZONE) == (state, ())
    assert accounts.advance(state, midnight, ZONE) == (
        State(midnight),
        (Passage(accounts.EXPIRED, midnight, (Line(TODAY, -5),)),),
    )


def test_maturing_shows_where_the_points_were_and_where_they_are() -> None:
    state = State(START, {}, {(TODAY + 1, TODAY + 9): 5})
    midnight = at("2026-03-07 00:00")

    assert accounts.advance(state, midnight - books.TICK, ZONE) == (state, ())
    after, passages = accounts.advance(state, midnight, ZONE)

    assert after == State(midnight, {TODAY + 9: 5})
    assert passages == (Passage(accounts.MATURED, midnight, (Line(TODAY + 9, -5, TODAY + 1), Line(TODAY + 9, 5))),)


def test_what_was_missed_is_booked_in_the_order_it_happened() -> None:
    state = State(START, {TODAY: 1, TODAY + 2: 2}, {(TODAY + 2, TODAY + 2): 4, (TODAY + 6, TODAY + 3): 8})

    _, passages = accounts.advance(state, at("2026-04-01"), ZONE)

    assert [(passage.kind, passage.at) for passage in passages] == [
        (accounts.EXPIRED, at("2026-03-07 00:00")),
        (accounts.MATURED, at("2026-03-08 00:00")),
        (accounts.EXPIRED, at("2026-03-09 00:00")),
        (accounts.MATURED, at("2026-03-12 00:00")),
        (accounts.EXPIRED, at("2026-03-12 00:00")),
    ]


def test_at_one_midnight_holds_lapse_points_mature_buckets_expire_and_debts_are_paid_in_this_order() -> None:
    midnight = at("2026-03-07 00:00")
    state = State(
        START,
        {TODAY: 1},
        {(TODAY + 1, TODAY + 9): 20},
        {7: Hold(midnight, {TODAY: 3, TODAY + 5: 4})},
    )

    after, passages = accounts.advance(replace(state, debt=0), midnight, ZONE)
    owing, paid = accounts.advance(replace(state, buckets={}, debt=6), midnight, ZONE)

    assert [passage.kind for passage in passages] == [accounts.LAPSED, accounts.MATURED, accounts.EXPIRED]
    assert (after.buckets, after.holds) == ({TODAY + 5: 4, TODAY + 9: 20}, {})
    # What came back expired at that midnight pays nothing.
    assert [passage.kind for passage in paid] == [
        accounts.LAPSED,
        accounts.MATURED,
        accounts.EXPIRED,
        accounts.SETTLED,
    ]
    assert (owing.buckets, owing.debt) == ({TODAY + 9: 18}, 0)


def test_holds_lapse_in_the_order_of_their_ends() -> None:
    hour = timedelta(hours=1)
    state = State(START, holds={2: Hold(START + 3 * hour, {TODAY + 9: 5}), 4: Hold(START + hour, {TODAY + 9: 7})})

    early, first = accounts.advance(state, START + 2 * hour, ZONE)
    late, both = accounts.advance(state, START + 3 * hour, ZONE)

    assert (early.balance, list(early.holds), len(first)) == (7, [2], 1)
    assert (late.balance, late.holds) == (12, {})
    assert [passage.at for passage in both] == [START + hour, START + 3 * hour]


def test_what_is_captured_is_gone_and_the_rest_is_back() -> None:
    state = State(START, {TODAY: 1}, holds={3: Hold(START + timedelta(hours=1), {TODAY + 2: 4, TODAY + 9: 6})})

    lines = accounts.release(state, 3, today=TODAY, captured=5)

    assert lines == (Line(TODAY + 2, -4, hold=3), Line(TODAY + 9, -6, hold=3), Line(TODAY + 9, 5))
    assert accounts.fold(state, lines, at=START).buckets == {TODAY: 1, TODAY + 9: 5}


def test_time_before_the_last_entry_is_no_time() -> None:
    state = State(START, {TODAY: 5})

    assert accounts.advance(state, START - timedelta(days=365), ZONE) == (state, ())


def test_a_bucket_below_zero_cannot_be() -> None:
    with pytest.raises(AssertionError, match="would hold -1 points"):
        accounts.fold(State(START, {TODAY: 4}), [Line(TODAY, -5)], at=START)


@search(200)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=8), st.integers(1, 60))
@example([(0, 5)], 5)
def test_spending_takes_exactly_what_was_asked_or_nothing(pots: list[tuple[int, int]], points: int) -> None:
    state = accounts.fold(State(START), [Line(TODAY + days_on, held) for days_on, held in pots], at=START)

    try:
        lines = accounts.spend(state, points)
    except InsufficientPoints:
        assert points > state.balance
        return
    assert sum(line.points for line in lines) == -points
    assert accounts.fold(state, lines, at=START).balance == state.balance - points
