"""Whose turn it is: which due rows a run reads, what it hands on, and that no run too many, too late or cut short loses one."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import agenda, days, limits, visits
from domain.agenda import Planned, Round, Turn
from domain.messages import NotATurn
from domain.programs import Program
from storage.memory import Memory, MemoryAgenda
from tests.domain.world import PROGRAM, at, buy, day, enroll, program, search

TODAY = day("2026-03-10")
NOON = at("2026-03-10")


def noticed(**quiet: Any) -> Program:
    return program(notices=quiet)


def visited_before(monkeypatch: pytest.MonkeyPatch, *offsets: int) -> None:
    monkeypatch.setattr(visits, "offsets", lambda _program: frozenset(offsets))


def due_days(mark: int | None, today: int = TODAY) -> list[int]:
    read = agenda.partitions(PROGRAM, Round.TELL, mark=mark, today=today, shards=1)
    return [on for on, _ in read if on is not None]


class Outbox:
    """Where turns go; it may break after some."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.turns: list[Turn] = []
        self._left = breaks_after

    def __call__(self, turns: Iterable[Turn]) -> None:
        for turn in turns:
            if self._left == 0:
                raise ConnectionError
            self._left = None if self._left is None else self._left - 1
            self.turns.append(turn)

    @property
    def accounts(self) -> list[str]:
        return [account for turn in self.turns for account in turn.accounts]


def run(rows: MemoryAgenda, outbox: Outbox, on: str, round_: Round = Round.BOOK) -> Planned:
    return agenda.plan(rows, PROGRAM, round_, now=at(on), send=outbox)


# --- which days are read ------------------------------------------------------------------------------------------------


def test_to_book_the_day_that_ended_and_the_day_that_began_are_read() -> None:
    read = agenda.partitions(PROGRAM, Round.BOOK, mark=TODAY - 1, today=TODAY, shards=2)

    assert read == [(TODAY - 1, 0), (TODAY - 1, 1), (TODAY, 0), (TODAY, 1)]


def test_whoever_is_reminded_thirty_days_before_is_found_thirty_days_before(monkeypatch: pytest.MonkeyPatch) -> None:
    visited_before(monkeypatch, 0, 7, 30)

    assert due_days(TODAY - 1) == [TODAY, TODAY + 7, TODAY + 30]


def test_a_day_that_is_planned_is_not_read_again() -> None:
    assert due_days(TODAY) == []


def test_a_missed_week_is_caught_up_and_each_partition_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    visited_before(monkeypatch, 0, 3)

    assert due_days(TODAY - 7) == list(range(TODAY - 6, TODAY + 4))
    read = agenda.partitions(PROGRAM, Round.TELL, mark=TODAY - 7, today=TODAY, shards=4)
    assert len(read) == len(set(read)) == 10 * 4


def test_a_stack_that_never_planned_begins_where_due_rows_end(monkeypatch: pytest.MonkeyPatch) -> None:
    visited_before(monkeypatch, 0)
    retention = limits.DUE_RETENTION.days

    assert due_days(None) == list(range(TODAY - retention + 1, TODAY + 1))
    # Nor does a mark that is older than every row ask for what is not there.
    assert due_days(TODAY - 400) == due_days(None)


def test_a_mark_ahead_of_today_is_no_mark() -> None:
    """A clock that went wrong has set it; whatever it passed over has to be found again."""
    assert due_days(TODAY + 1) == due_days(None)
    # Everybody is looked at by months, and there a day ahead is the next month at most: once is enough.
    ahead = agenda.partitions(PROGRAM, Round.EVERYBODY, mark=day("2026-04-01"), today=day("2026-03-31"), shards=4)
    assert ahead == []


@given(
    mark=st.integers(TODAY - 50, TODAY),
    steps=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    offsets=st.frozensets(st.integers(0, 40), max_size=5),
)
@search(300)
def test_however_runs_are_spread_every_visit_of_every_day_is_planned(
    mark: int, steps: list[int], offsets: frozenset[int]
) -> None:
    """A row of day d is to be read on d - o for each offset o, and after d. Runs at any days, some missed and some repeated,
    read it on that day or on the first run after it."""
    with pytest.MonkeyPatch.context() as patch:
        visited_before(patch, *offsets)
        today, read = mark, dict[Round, set[int | None]]({Round.BOOK: set(), Round.TELL: set()})
        for step in steps:
            last, today = today, today + step
            for round_, found in read.items():
                found |= {on for on, _ in agenda.partitions(PROGRAM, round_, mark=last, today=today, shards=1)}
            for round_, before in ((Round.BOOK, {-1, 0}), (Round.TELL, offsets)):
                for offset in before:
                    assert {on + offset for on in range(mark + 1, today + 1)} <= read[round_]


# --- what is handed on --------------------------------------------------------------------------------------------------


@pytest.fixture
def rows() -> MemoryAgenda:
    """Ada has something on 8 March, Bob on the 9th and 10th, Eve on 1 May."""
    store = Memory()
    store.note_due("ADA", [day("2026-03-08")])
    store.note_due("BOB", [day("2026-03-09"), day("2026-03-10")])
    store.note_due("EVE", [day("2026-05-01")])
    return MemoryAgenda(store)


def test_a_run_hands_on_whoever_is_due_and_moves_the_mark(rows: MemoryAgenda) -> None:
    outbox = Outbox()

    planned = run(rows, outbox, "2026-03-09")

    assert sorted(outbox.accounts) == ["ADA", "BOB"]
    assert {(turn.day, turn.round) for turn in outbox.turns} == {(day("2026-03-09"), Round.BOOK)}
    assert (planned.accounts, planned.turns) == (2, len(outbox.turns))
    assert rows.mark(Round.BOOK) == day("2026-03-09")


def test_a_run_for_a_day_that_is_planned_hands_on_nobody(rows: MemoryAgenda) -> None:
    run(rows, Outbox(), "2026-03-09 00:10")
    outbox = Outbox()

    planned = run(rows, outbox, "2026-03-09 23:50")

    assert (outbox.turns, planned.partitions) == ([], 0)


def test_each_round_has_a_mark_of_its_own(rows: MemoryAgenda) -> None:
    run(rows, Outbox(), "2026-03-09")
    outbox = Outbox()

    run(rows, outbox, "2026-03-09", Round.TELL)

    assert sorted(outbox.accounts) == ["ADA", "BOB"]
    assert {turn.round for turn in outbox.turns} == {Round.TELL}


def test_a_run_that_dies_half_way_is_made_again_from_its_beginning(rows: MemoryAgenda) -> None:
    broken, outbox = Outbox(breaks_after=1), Outbox()
    for number in range(250):
        rows._store.note_due(f"M{number}", [day("2026-03-09")])

    with pytest.raises(ConnectionError):
        run(rows, broken, "2026-03-09")

    assert rows.mark(Round.BOOK) is None
    run(rows, outbox, "2026-03-09")
    assert set(outbox.accounts) == {"ADA", "BOB", *(f"M{number}" for number in range(250))}


def test_two_planners_at_once_hand_on_more_and_never_less(rows: MemoryAgenda) -> None:
    """The second begins while the first is sending, and ends before it."""
    inner, outer = Outbox(), Outbox()

    def sending(turns: Iterable[Turn]) -> None:
        run(rows, inner, "2026-03-10")
        outer(turns)

    agenda.plan(rows, PROGRAM, Round.BOOK, now=at("2026-03-09"), send=sending)

    assert set(inner.accounts) == {"ADA", "BOB"}
    assert set(outer.accounts) == {"ADA", "BOB"}
    # The later day stands: the mark never moves back.
    assert rows.mark(Round.BOOK) == day("2026-03-10")


def test_a_run_for_a_day_that_has_not_come_costs_nobody_a_turn(rows: MemoryAgenda) -> None:
    run(rows, Outbox(), "2026-06-01")

    for on, expected in (("2026-03-08", "ADA"), ("2026-03-10", "BOB"), ("2026-05-01", "EVE")):
        outbox = Outbox()
        run(rows, outbox, on)
        assert expected in outbox.accounts


def test_a_late_run_hands_on_what_the_missed_ones_would_have(rows: MemoryAgenda) -> None:
    run(rows, Outbox(), "2026-03-01")
    outbox = Outbox()

    run(rows, outbox, "2026-03-20")

    # Bob was due on two days, and has one turn.
    assert sorted(outbox.accounts) == ["ADA", "BOB"]


def test_a_day_begins_at_midnight_of_the_programs_time_zone(rows: MemoryAgenda) -> None:
    run(rows, Outbox(), "2026-03-08 23:59:59.999")
    assert rows.mark(Round.BOOK) == day("2026-03-08")

    run(rows, Outbox(), "2026-03-09 00:00")
    assert rows.mark(Round.BOOK) == day("2026-03-09")


def test_turns_are_full_but_for_the_last(rows: MemoryAgenda) -> None:
    sizes = [len(turn.accounts) for turn in agenda.turns(map(str, range(250)), day=TODAY, round_=Round.BOOK)]

    assert sizes == [100, 100, 50]
    assert list(agenda.turns([], day=TODAY, round_=Round.TELL)) == []


def test_turns_are_made_as_they_are_sent_however_many_are_due() -> None:
    """Memory is bounded: nobody asks for row 201 before turn 2 was taken."""
    asked = 0

    def rows() -> Iterator[str]:
        nonlocal asked
        while True:
            asked += 1
            yield str(asked)

    made = agenda.turns(rows(), day=TODAY, round_=Round.BOOK)
    next(made)
    next(made)

    assert asked == 200


# --- everybody, once a month -------------------------------------------------------------------------------------------


def joined(*names: str) -> tuple[Memory, MemoryAgenda]:
    store = Memory()
    for name in names:
        enroll(store, name, at("2026-03-01"))
    return store, MemoryAgenda(store)


def met(rows: MemoryAgenda, on: str) -> list[str]:
    """Whose turn it is in the round of everybody."""
    outbox = Outbox()
    run(rows, outbox, on, Round.EVERYBODY)
    return sorted(outbox.accounts)


def test_everybody_is_looked_at_in_the_first_run_of_a_month_and_in_no_other() -> None:
    _, rows = joined("ada", "bob")

    assert met(rows, "2026-03-31") == ["ADA", "BOB"]
    assert met(rows, "2026-03-31 23:59") == []
    assert met(rows, "2026-04-01 00:00") == ["ADA", "BOB"]
    assert met(rows, "2026-04-02") == []
    assert met(rows, "2026-04-30") == []
    assert met(rows, "2026-06-10") == ["ADA", "BOB"]


def test_a_new_member_has_a_turn_in_the_next_month() -> None:
    store, rows = joined("ada")
    met(rows, "2026-04-01")
    enroll(store, "eve", at("2026-04-02"))

    assert met(rows, "2026-04-03") == []
    assert met(rows, "2026-05-01") == ["ADA", "EVE"]


def test_everybody_is_looked_at_again_when_the_run_died_half_way() -> None:
    _, rows = joined("ada", "bob")
    with pytest.raises(ConnectionError):
        run(rows, Outbox(breaks_after=0), "2026-04-01", Round.EVERYBODY)

    assert met(rows, "2026-04-01") == ["ADA", "BOB"]


def test_a_visit_of_everybody_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []

    def look(*_: Any, now: Any, telling: bool, everybody: bool) -> visits.Visited:
        seen.append((telling, everybody))
        return visits.Visited()

    monkeypatch.setattr(visits, "visit", look)
    for round_ in Round:
        agenda.visit(Memory(), PROGRAM, "ADA", round_, now=NOON)

    assert seen == [(False, False), (True, False), (True, True)]


# --- from due rows to bookings ------------------------------------------------------------------------------------------


def lived(on: str, store: Memory, rows: MemoryAgenda, terms: Program, *, times: int = 1) -> Counter[str]:
    """What a run on a day books in the end: its turns are visited, each so many times."""
    counts: Counter[str] = Counter()

    def visiting(turns: Iterable[Turn]) -> None:
        for turn in turns:
            for account in turn.accounts * times:
                counts.update(agenda.visit(store, terms, account, turn.round, now=at(on)).counts)

    for round_ in agenda.rounds(terms, at(on)):
        agenda.plan(rows, terms, round_, now=at(on), send=visiting)
    return counts


SHORT = program(expiry={"months": 0, "days": 10, "rounding": "day"}, pending={"days": 3}, notices={"stages": []})


def bought(on: str = "2026-03-01") -> tuple[Memory, MemoryAgenda]:
    store = Memory()
    enroll(store, "ada", at(on))
    buy(store, "ada", 5_000, at(on), receipt="1", program=SHORT)
    return store, MemoryAgenda(store)


def test_points_are_booked_as_matured_on_their_day_and_as_expired_on_the_day_after_their_last() -> None:
    store, rows = bought()

    booked = {on: dict(lived(f"2026-03-{on:02}", store, rows, SHORT)) for on in range(2, 14)}

    assert {on: counts for on, counts in booked.items() if counts} == {4: {"MATURITY": 1}, 12: {"EXPIRY": 1}}


@pytest.mark.parametrize("times", [1, 2, 5])
def test_any_number_of_runs_and_visits_for_a_day_equals_one(times: int) -> None:
    store, rows = bought()
    for _ in range(times):
        rows = MemoryAgenda(store)  # Even one that has forgotten its marks.
        lived("2026-03-12", store, rows, SHORT, times=times)

    head = store.head("ADA")
    assert head is not None
    assert (head.seq, head.state.balance) == (3, 0)


def test_a_missed_fortnight_ends_like_fourteen_days_on_time() -> None:
    on_time, late = bought(), bought()
    for on in range(2, 20):
        lived(f"2026-03-{on:02}", *on_time, SHORT)

    assert dict(lived("2026-03-19", *late, SHORT)) == {"MATURITY": 1, "EXPIRY": 1}

    states = [store.head("ADA").state for store, _ in (on_time, late)]  # type: ignore[union-attr]
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("zone", "last"),
    [
        ("America/New_York", "2026-03-08"),  # clocks go forward in the night before
        ("America/New_York", "2026-11-01"),  # clocks go back
        ("America/Santiago", "2026-09-05"),  # clocks jump over the midnight that ends it
        ("UTC", "2028-02-29"),
    ],
)
def test_points_live_to_the_end_of_days_that_are_not_like_others(zone: str, last: str) -> None:
    terms = program(timezone=zone, expiry={"months": 0, "days": 2, "rounding": "day"})
    tz = ZoneInfo(zone)
    store = Memory()
    rows = MemoryAgenda(store)
    bought_on = days.end_of(day(last) - 3, tz) + timedelta(hours=12)
    enroll(store, "ada", bought_on)
    buy(store, "ada", 5_000, bought_on, receipt="1", program=terms)
    ends = days.end_of(day(last), tz)

    def hourly(instant: datetime) -> Counter[str]:
        counts: Counter[str] = Counter()

        def visiting(turns: Iterable[Turn]) -> None:
            for turn in turns:
                for account in turn.accounts:
                    counts.update(agenda.visit(store, terms, account, turn.round, now=instant).counts)

        agenda.plan(rows, terms, Round.BOOK, now=instant, send=visiting)
        return counts

    before = [
        hourly(bought_on + timedelta(hours=hour)) for hour in range(60) if bought_on + timedelta(hours=hour) < ends
    ]
    assert sum(before, Counter()) == {}
    assert hourly(ends - timedelta(milliseconds=1)) == {}
    assert hourly(ends) == {"EXPIRY": 1}


# --- messages -----------------------------------------------------------------------------------------------------------


def test_a_turn_is_read_as_it_was_written() -> None:
    for round_ in Round:
        turn = Turn(("ADA", "BOB"), TODAY, round_)
        assert agenda.turn_from(turn.text()) == turn


def test_the_fullest_message_is_far_below_what_a_call_may_hold() -> None:
    fullest = Turn(("x" * limits.ACCOUNT_LENGTH_MAX,) * limits.TURN_ACCOUNTS_MAX, TODAY, Round.EVERYBODY)

    # SQS takes 256 KB a call, ten messages together.
    assert limits.MESSAGES_A_CALL_MAX * len(fullest.text().encode()) < 256 * 1024


GOOD = {"accounts": ["ADA"], "day": TODAY, "round": "book"}


@pytest.mark.parametrize(
    "altered",
    [
        {"accounts": []},
        {"accounts": "ADA"},
        {"accounts": ["ADA", 7]},
        {"accounts": [""]},
        {"accounts": ["x" * 65]},
        {"accounts": ["ADA"] * 101},
        {"accounts": None},
        {"day": "2026-03-10"},
        {"day": 0},
        {"day": -1},
        {"day": days.NEVER},
        {"day": True},
        {"day": 20_000.5},
        {"round": "night"},
        {"round": None},
        {"round": ["book"]},
        {"more": 1},
    ],
    ids=str,
)
def test_a_message_that_was_altered_is_no_turn(altered: dict[str, Any]) -> None:
    with pytest.raises(NotATurn):
        agenda.turn_from(json.dumps({**GOOD, **altered}))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '"ADA"', '{"accounts":["ADA"]}', "\ud800"])
def test_a_message_that_is_something_else_is_no_turn(text: str) -> None:
    with pytest.raises(NotATurn):
        agenda.turn_from(text)


# --- quiet hours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quiet", "hour", "is_quiet"),
    [
        ((21, 9), "20:59:59.999", False),
        ((21, 9), "21:00", True),
        ((21, 9), "00:00", True),
        ((21, 9), "08:59:59.999", True),
        ((21, 9), "09:00", False),
        ((1, 5), "00:59", False),
        ((1, 5), "01:00", True),
        ((1, 5), "05:00", False),
        ((0, 6), "00:00", True),
        ((22, 0), "23:59", True),
        ((22, 0), "00:00", False),
        ((7, 7), "07:00", False),
        ((0, 0), "00:00", False),
    ],
)
def test_quiet_hours_are_half_open_and_may_wrap_midnight(quiet: tuple[int, int], hour: str, is_quiet: bool) -> None:
    terms = noticed(quiet_from=quiet[0], quiet_until=quiet[1])
    now = at(f"2026-03-10 {hour}")

    assert agenda.is_quiet(terms, now) is is_quiet
    assert agenda.rounds(terms, now) == ((Round.BOOK,) if is_quiet else tuple(Round))


@pytest.mark.parametrize(
    ("zone", "quiet", "on", "end"),
    [
        ("America/New_York", (21, 9), "2026-03-10", "09:00"),
        ("America/New_York", (1, 5), "2026-03-10", "05:00"),
        ("America/New_York", (22, 0), "2026-03-10", "00:00"),
        # Quiet until two on the night in which two o'clock is three; and on the one in which one o'clock comes twice.
        ("America/New_York", (21, 2), "2026-03-08", "03:00"),
        ("America/New_York", (21, 1), "2026-11-01", "01:00"),
        ("America/New_York", (21, 9), "2026-11-01", "09:00"),
        # A day that begins at one.
        ("America/Santiago", (21, 1), "2026-09-06", "01:00"),
    ],
)
def test_quiet_hours_end_at_their_hour_also_where_clocks_change(
    zone: str, quiet: tuple[int, int], on: str, end: str
) -> None:
    terms = program(timezone=zone, notices={"quiet_from": quiet[0], "quiet_until": quiet[1]})
    ends = agenda.quiet_ends(terms, day(on))

    assert ends == at(f"{on} {end}", ZoneInfo(zone))
    assert not agenda.is_quiet(terms, ends)
    assert agenda.is_quiet(terms, ends - timedelta(milliseconds=1))
