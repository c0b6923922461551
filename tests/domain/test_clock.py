"""The sandbox's clock: turned forward and never back, one job at a time, and the same state however its runs are cut short."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from domain import agenda, clock, days, limits, visits
from domain.agenda import Round
from domain.clock import (
    Advanced,
    ClockAdvanceTooFar,
    ClockBusy,
    ClockTurnedBack,
    Dial,
    Job,
    JobStatus,
    NotASandbox,
)
from domain.programs import Program
from domain.refusals import IdempotencyKeyReused, InvalidText, OutcomeUnknown, Refusal
from domain.store import Contended
from storage import keys
from storage.memory import Memory, MemoryAgenda, MemoryClock
from tests.domain.world import MANAGER, PROGRAM, at, buy, day, enroll, program, search

NOW = at("2026-03-01")
MONTH = relativedelta(days=31)
# Points of a purchase can be spent from the fourth day on, and for ten days.
SHORT = program(expiry={"months": 0, "days": 10, "rounding": "day"}, pending={"days": 3}, notices={"stages": []})


@dataclass
class Sandbox:
    """A stack whose wall clock is in the hands of the test; each look at it takes a millisecond."""

    terms: Program = SHORT
    wall: datetime = NOW
    clocks: MemoryClock = field(default_factory=MemoryClock)
    store: Memory = field(default_factory=Memory)
    rows: MemoryAgenda = field(init=False)

    def __post_init__(self) -> None:
        self.rows = MemoryAgenda(self.store)

    def look(self) -> datetime:
        self.wall += timedelta(milliseconds=1)
        return self.wall

    @property
    def now(self) -> datetime:
        dial = self.clocks.dial()
        return self.wall + (dial.offset if dial else timedelta())

    def advance(self, *, key: str = "1", **how_far: Any) -> Advanced:
        return clock.advance(
            self.clocks,
            self.terms,
            actor=MANAGER,
            idempotency_key=key,
            now=self.now,
            wall=self.wall,
            **(how_far or {"by": MONTH}),
        )

    def run(self, job: Job, has_time: Callable[[], bool] = lambda: True) -> Job | None:
        return clock.run(self.clocks, self.rows, self.store, self.terms, job.id, wall=self.look, has_time=has_time)

    def turn(self, **how_far: Any) -> Job:
        """Turns it to the end."""
        ended = self.run(self.advance(**how_far).job)
        assert ended is not None
        return ended

    def member(self, name: str = "ada") -> None:
        enroll(self.store, name, self.now)
        buy(self.store, name, 5_000, self.now, receipt=name, program=self.terms)

    def state(self) -> Any:
        """All that was booked, but for the moment on the wall at which it was."""
        return {account: (log[-1].seq, log[-1].state) for account, log in self.store._logs.items()}


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def refused(sandbox: Sandbox, refusal: type[Refusal], **asked: Any) -> Refusal:
    """The refusal, with which nothing changed."""
    before = sandbox.clocks.dial(), dict(sandbox.clocks._jobs)
    with pytest.raises(refusal) as raised:
        sandbox.advance(**asked)
    assert (sandbox.clocks.dial(), sandbox.clocks._jobs) == before
    return raised.value


# --- a month goes by ----------------------------------------------------------------------------------------------------


def test_a_month_passes_and_what_was_due_is_booked_on_its_day(sandbox: Sandbox) -> None:
    sandbox.member()

    job = sandbox.turn(by=MONTH)

    assert (job.status, job.days_total, job.days_done) == (JobStatus.DONE, 31, 31)
    assert job.reached_at == job.ends_at == at("2026-04-01")
    assert dict(job.counts) == {"MATURITY": 1, "EXPIRY": 1}
    times = [(record.entries[0].kind.value, record.entries[0].at) for record in sandbox.store._logs["ADA"][2:]]
    assert times == [("MATURITY", at("2026-03-04 00:00")), ("EXPIRY", at("2026-03-12 00:00"))]


def test_the_clock_then_shows_what_was_asked_for_and_goes_on(sandbox: Sandbox) -> None:
    job = sandbox.turn(to=at("2026-07-04 18:30"))

    assert timedelta() <= sandbox.now - job.ends_at < timedelta(seconds=1)
    before = sandbox.now
    sandbox.wall += timedelta(hours=5)
    assert sandbox.now - before == timedelta(hours=5)


def test_both_rounds_are_made_at_the_hours_at_which_the_schedules_make_them(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[datetime, bool]] = []

    def look(*_: Any, now: datetime, telling: bool, everybody: bool) -> visits.Visited:
        assert not everybody
        seen.append((now, telling))
        return visits.Visited()

    sandbox.store.note_due("ADA", [day("2026-03-04")])
    monkeypatch.setattr(visits, "visit", look)

    sandbox.turn(to=at("2026-03-06"))

    # Told on the days that the program says: thirty and fifteen days before would have been in February, seven and none are here.
    assert seen == [
        (at("2026-03-04 00:00"), False),
        (at("2026-03-04 09:00"), True),
        (at("2026-03-05 00:00"), False),
    ]


def test_what_is_due_already_is_done_first(sandbox: Sandbox) -> None:
    sandbox.member()
    sandbox.wall += timedelta(days=20)

    job = sandbox.turn(by=relativedelta(seconds=1))

    assert dict(job.counts) == {"MATURITY": 1, "EXPIRY": 1}
    assert (job.days_total, job.days_done) == (0, 0)


def test_a_year_in_one_turn_equals_a_year_in_twelve(sandbox: Sandbox) -> None:
    other = Sandbox()
    for each in (sandbox, other):
        each.member()

    sandbox.turn(to=at("2027-03-01"))
    for month in range(4, 16):
        other.turn(key=str(month), to=at(f"{2026 + (month > 12)}-{(month - 1) % 12 + 1:02}-01"))

    assert sandbox.state() == other.state()


@pytest.mark.parametrize(
    ("zone", "now", "by", "then"),
    [
        # Across the change to summer time a day is a day on the calendar, and 24 hours of 60 minutes when they are asked for.
        ("America/New_York", "2026-03-07 12:00", relativedelta(days=1), "2026-03-08 12:00"),
        ("America/New_York", "2026-03-07 12:00", relativedelta(hours=23), "2026-03-08 12:00"),
        ("America/New_York", "2026-10-31 12:00", relativedelta(days=1), "2026-11-01 12:00"),
        ("America/New_York", "2026-10-31 12:00", relativedelta(hours=12), "2026-11-01 00:00"),
        ("UTC", "2028-02-28 12:00", relativedelta(days=1), "2028-02-29 12:00"),
        ("UTC", "2028-02-29 12:00", relativedelta(years=1), "2029-02-28 12:00"),
        ("UTC", "2026-01-31 12:00", relativedelta(months=1), "2026-02-28 12:00"),
        ("Asia/Kolkata", "2026-01-01 00:00", relativedelta(months=1, days=1, hours=1), "2026-02-02 01:00"),
    ],
)
def test_months_and_days_are_those_of_the_programs_calendar(zone: str, now: str, by: relativedelta, then: str) -> None:
    terms = program(timezone=zone)

    assert clock.later(at(now, ZoneInfo(zone)), by, terms) == at(then, ZoneInfo(zone))


@given(start=st.integers(0, 366 * 24), hours=st.integers(1, 24 * 40), quiet=st.tuples(*[st.integers(0, 23)] * 2))
@search(100)
def test_stops_go_forward_and_miss_no_day_and_no_end_of_quiet_hours(
    start: int, hours: int, quiet: tuple[int, int]
) -> None:
    terms = program(notices={"quiet_from": quiet[0], "quiet_until": quiet[1]})
    after = at("2026-01-01 00:00") + timedelta(hours=start)
    until = after + timedelta(hours=hours)

    stops = list(clock.stops(terms, after, until))

    assert stops == sorted(set(stops))
    assert (stops[0], stops[-1]) == (after, until)
    # What a run each hour would have found to do, is found at a stop not later than it.
    done: dict[Round, int] = {}
    planned: dict[Round, list[tuple[datetime, int]]] = {round_: [] for round_ in Round}
    for stop in stops:
        for round_ in agenda.rounds(terms, stop):
            planned[round_].append((stop, days.day_of(stop, terms.zone)))
    hour = after
    while hour <= until:
        for round_ in agenda.rounds(terms, hour):
            today = days.day_of(hour, terms.zone)
            if done.get(round_) != today:
                done[round_] = today
                assert any(stop <= hour and on == today for stop, on in planned[round_])
        hour += timedelta(hours=1)


# --- refusals, in their order -------------------------------------------------------------------------------------------


def test_a_key_is_needed(sandbox: Sandbox) -> None:
    assert refused(sandbox, InvalidText, key=" ").field == ("input", "idempotencyKey")


@pytest.mark.parametrize("clocks", [None, MemoryClock(sandbox=False)])
def test_a_stack_that_is_no_sandbox_has_no_clock_to_turn(clocks: MemoryClock | None) -> None:
    with pytest.raises(NotASandbox):
        clock.advance(clocks, PROGRAM, actor=MANAGER, idempotency_key="1", by=MONTH, now=NOW, wall=NOW)

    assert clocks is None or (clocks.dial(), clocks._jobs) == (None, {})


def test_the_same_key_and_input_find_the_same_job(sandbox: Sandbox) -> None:
    first = sandbox.advance(by=MONTH)
    again = sandbox.advance(by=MONTH)
    ended = sandbox.run(first.job)

    assert (again.job, again.replayed) == (first.job, True)
    # A duration is the same wish whenever it is repeated: it does not go on from where the clock is now.
    assert sandbox.advance(by=MONTH) == Advanced(ended, replayed=True)  # type: ignore[arg-type]


def test_the_same_key_for_another_turn_is_refused(sandbox: Sandbox) -> None:
    sandbox.turn(by=MONTH)

    assert refused(sandbox, IdempotencyKeyReused, by=relativedelta(days=1)).field == ("input", "idempotencyKey")
    assert refused(sandbox, IdempotencyKeyReused, to=at("2027-01-01"))


@pytest.mark.parametrize(
    "how_far",
    [
        {"to": NOW},
        {"to": NOW - timedelta(milliseconds=1)},
        {"to": datetime(1, 1, 1, tzinfo=UTC)},
        {"by": relativedelta()},
        {"by": relativedelta(days=-1)},
        {"by": relativedelta(months=1, days=-40)},
    ],
)
def test_a_clock_is_never_turned_back(sandbox: Sandbox, how_far: dict[str, Any]) -> None:
    assert refused(sandbox, ClockTurnedBack, **how_far).field[:2] == ("input", "advance")


def test_nor_to_what_it_showed_before_it_was_turned(sandbox: Sandbox) -> None:
    sandbox.turn(by=MONTH)

    refused(sandbox, ClockTurnedBack, key="2", to=at("2026-03-20"))


@pytest.mark.parametrize(
    "how_far",
    [
        {"to": NOW + limits.CLOCK_ADVANCE_MAX + timedelta(milliseconds=1)},
        {"by": relativedelta(years=11)},
        {"by": relativedelta(years=9_999)},
        {"by": relativedelta(days=10**9)},
        {"to": datetime.max.replace(tzinfo=UTC)},
    ],
)
def test_a_turn_of_more_than_ten_years_is_refused(sandbox: Sandbox, how_far: dict[str, Any]) -> None:
    assert refused(sandbox, ClockAdvanceTooFar, **how_far)


def test_a_turn_of_ten_years_is_not(sandbox: Sandbox) -> None:
    assert sandbox.advance(to=NOW + limits.CLOCK_ADVANCE_MAX).job.days_total == limits.CLOCK_ADVANCE_MAX.days


def test_however_often_it_is_turned_a_clock_stays_within_what_dates_can_be() -> None:
    sandbox = Sandbox(wall=datetime(limits.CLOCK_YEAR_MAX, 12, 1, tzinfo=UTC))

    assert sandbox.advance(by=relativedelta(days=29)).job
    refused(sandbox, ClockAdvanceTooFar, key="2", by=relativedelta(days=31))


def test_one_job_turns_the_clock_at_a_time(sandbox: Sandbox) -> None:
    first = sandbox.advance()

    refused(sandbox, ClockBusy, key="2")

    sandbox.run(first.job)
    assert not sandbox.advance(key="2").replayed


def test_of_two_who_ask_at_once_one_turns_the_clock(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = sandbox.clocks.dial()
    first = sandbox.advance()
    monkeypatch.setattr(sandbox.clocks, "dial", lambda: seen)

    with pytest.raises(ClockBusy):
        sandbox.advance(key="2")
    assert set(sandbox.clocks._jobs) == {first.job.id}


def test_two_calls_with_one_key_begin_one_job(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sandbox.advance()
    monkeypatch.setattr(sandbox.clocks, "dial", lambda: None)
    # The second looked for the job before the first had written it.
    with monkeypatch.context() as patch:
        patch.setattr(sandbox.clocks, "job", lambda _: None)
        again = sandbox.advance()

    assert again == Advanced(first.job, replayed=True)


def test_a_job_that_fell_silent_makes_room_for_another(sandbox: Sandbox) -> None:
    dead = sandbox.advance().job
    sandbox.wall += limits.JOB_SILENCE_MAX
    refused(sandbox, ClockBusy, key="2")
    sandbox.wall += timedelta(milliseconds=1)

    job = sandbox.turn(key="2", by=MONTH)

    assert job.status is JobStatus.DONE
    abandoned = sandbox.clocks.job(dead.id)
    assert abandoned is not None
    assert abandoned.status is JobStatus.FAILED
    # It comes to life again, and leaves the clock alone.
    before = sandbox.clocks.dial()
    assert sandbox.run(dead) == abandoned
    assert sandbox.clocks.dial() == before


# --- runs that are cut short --------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here, whatever it was doing."""


class Kills:
    """Stores behind which the process is killed at the nth call, before or after it was done."""

    def __init__(self, inner: Any, deaths: list[int], *, after: bool) -> None:
        self._inner, self._deaths, self._after = inner, deaths, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **named: Any) -> Any:
            self._deaths[0] -= 1
            if self._deaths[0] == 0 and not self._after:
                raise Killed
            answer = method(*arguments, **named)
            if self._deaths[0] == 0:
                raise Killed
            return answer

        return call


BRIEF = program(expiry={"months": 0, "days": 3, "rounding": "day"}, pending={"days": 1}, notices={"stages": []})


def with_two_members() -> Sandbox:
    """Planned up to yesterday, so that a run has few calls at each of which it can be killed."""
    sandbox = Sandbox(terms=BRIEF)
    sandbox.member("ada")
    sandbox.member("bob")
    for round_ in Round:
        sandbox.rows.move_mark(round_, day("2026-02-28"))
    return sandbox


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("pace", [timedelta(), timedelta(milliseconds=70), timedelta(seconds=1)], ids=str)
def test_a_run_killed_at_any_call_and_run_again_ends_in_the_same_state(after: bool, pace: timedelta) -> None:
    """`pace` is how much time goes by at each look at the wall: what was written down last is of another round, or day."""
    whole = with_two_members()
    whole.turn(by=relativedelta(days=5))
    at_call = 0

    while True:
        at_call += 1
        sandbox = with_two_members()
        job = sandbox.advance(by=relativedelta(days=5)).job
        deaths = [at_call]

        def look(sandbox: Sandbox = sandbox) -> datetime:
            sandbox.wall += pace
            return sandbox.look()

        clocks, rows, store = (
            Kills(each, deaths, after=after) for each in (sandbox.clocks, sandbox.rows, sandbox.store)
        )
        try:
            clock.run(clocks, rows, store, BRIEF, job.id, wall=look)
        except Killed:
            pass
        else:
            break
        ended = sandbox.run(job)

        assert ended is not None
        assert (ended.status, ended.days_done) == (JobStatus.DONE, 5)
        assert sandbox.state() == whole.state()
    assert at_call > 100
    assert {state.balance for _, state in whole.state().values()} == {0}


def test_a_run_without_time_hands_on_where_it_is(sandbox: Sandbox) -> None:
    for number in range(30):
        sandbox.member(f"m{number:02}")
    job = sandbox.advance(by=MONTH).job
    whole = Sandbox()
    for number in range(30):
        whole.member(f"m{number:02}")
    whole.turn(by=MONTH)
    runs = 0

    while not job.is_over:
        budget = iter([True] * 5)
        went_on = sandbox.run(job, has_time=lambda budget=budget: next(budget, False))  # type: ignore[misc]
        assert went_on is not None
        job, runs = went_on, runs + 1

    assert runs > 10
    assert sandbox.state() == whole.state()
    # Nobody was killed, so nothing is missing in the sum.
    assert Counter(job.counts) == {"MATURITY": 30, "EXPIRY": 30}


def test_a_day_that_no_run_can_do_alone_is_done_by_several(sandbox: Sandbox) -> None:
    """The partitions of a day that are done are not visited again."""
    visited: Counter[str] = Counter()
    accounts = [f"M{number:02}" for number in range(40)]
    for account in accounts:
        sandbox.store.note_due(account, [day("2026-03-02")])
    job: Job | None = sandbox.advance(to=at("2026-03-02 06:00")).job

    def look(_store: Any, _program: Any, account: str, **_: Any) -> visits.Visited:
        visited[account] += 1
        return visits.Visited()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visits, "visit", look)
        for _ in range(400):
            assert job is not None
            budget = iter([True] * 3)
            job = sandbox.run(job, has_time=lambda budget=budget: next(budget, False))  # type: ignore[misc]
            if job and job.is_over:
                break

    assert job is not None
    assert job.status is JobStatus.DONE
    assert visited == dict.fromkeys(accounts, 1)


@pytest.mark.parametrize("last", [True, False])
def test_an_account_that_cannot_be_visited_hides_nobody_in_the_next_partition(
    last: bool, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    visited: Counter[str] = Counter()
    accounts = sorted(f"M{number:02}" for number in range(40))
    for account in accounts:
        sandbox.store.note_due(account, [day("2026-03-02")])
    shards = [[each for each in accounts if keys.shard(each, 4) == shard] for shard in range(4)]
    broken = shards[0][-1 if last else 0]

    def look(_store: Any, _program: Any, account: str, **_: Any) -> visits.Visited:
        if account == broken:
            raise ValueError
        visited[account] += 1
        return visits.Visited()

    monkeypatch.setattr(visits, "visit", look)
    job = sandbox.turn(to=at("2026-03-02 06:00"))

    assert job.status is JobStatus.DONE
    assert set(visited) == {*accounts} - {broken}


@pytest.mark.parametrize("quiet", [(0, 0), (1, 5), (21, 9)])
def test_a_day_that_takes_several_runs_is_over_in_the_end_whenever_members_are_told(quiet: tuple[int, int]) -> None:
    """Both rounds come at midnight where it is not quiet then: the second of them begins where the run before has left it."""
    terms = replace(SHORT, notices=replace(SHORT.notices, quiet=quiet))
    sandbox, whole = crowded(Sandbox(terms=terms)), crowded(Sandbox(terms=terms))
    whole.turn(by=relativedelta(days=5))
    job: Job | None = sandbox.advance(by=relativedelta(days=5)).job
    for _ in range(200):
        assert job is not None
        # Less than a round of a day takes, and more than there are accounts in it.
        budget = iter([True] * 60)
        job = sandbox.run(job, has_time=lambda budget=budget: next(budget, False))  # type: ignore[misc]
        if job is not None and job.is_over:
            break

    assert job is not None
    assert job.status is JobStatus.DONE
    assert sandbox.state() == whole.state()


def test_another_program_begins_the_day_anew(sandbox: Sandbox) -> None:
    """It may look at other days: a place among those of the program before says nothing."""
    for number in range(30):
        sandbox.member(f"m{number:02}")
    whole = Sandbox()
    for number in range(30):
        whole.member(f"m{number:02}")
    whole.turn(by=MONTH)
    job: Job | None = sandbox.advance(by=MONTH).job

    for run in count():
        assert job is not None
        assert run < 400
        budget = iter([True] * 60)
        sandbox.terms = replace(SHORT, version=SHORT.version + run // 10)
        job = sandbox.run(job, has_time=lambda budget=budget: next(budget, False))  # type: ignore[misc]
        if job is not None and job.is_over:
            break

    assert {state.balance for _, state in sandbox.state().values()} == {0}
    assert sandbox.state() == whole.state()


def test_of_two_runs_at_once_one_ends_and_the_other_finishes(sandbox: Sandbox) -> None:
    for name in ("ada", "bob", "eve"):
        sandbox.member(name)
    whole = Sandbox()
    for name in ("ada", "bob", "eve"):
        whole.member(name)
    whole.turn(by=MONTH)
    job = sandbox.advance(by=MONTH).job
    calls = 0
    overtaken: list[Job | None] = []

    def has_time() -> bool:
        nonlocal calls
        calls += 1
        if calls == 20:
            overtaken.append(sandbox.run(job))
        return True

    first = sandbox.run(job, has_time=has_time)

    (second,) = overtaken
    assert first is None
    assert second is not None
    assert second.status is JobStatus.DONE
    assert sandbox.state() == whole.state()


def test_progress_is_written_at_most_once_a_second(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[datetime] = []
    save = sandbox.clocks.save

    def noted(job: Job) -> Job:
        saved.append(job.beat_at)
        return save(job)

    monkeypatch.setattr(sandbox.clocks, "save", noted)
    slow = sandbox.look

    def look() -> datetime:
        sandbox.wall += timedelta(milliseconds=100)
        return slow()

    monkeypatch.setattr(sandbox, "look", look)

    sandbox.turn(by=MONTH)

    # The last one comes when it is done, however soon.
    gaps = [later - earlier for earlier, later in pairwise(saved[:-1])]
    assert len(saved) > 3
    assert all(gap >= limits.JOB_PROGRESS_MIN for gap in gaps)


def test_a_job_that_is_over_is_not_run_again(sandbox: Sandbox) -> None:
    job = sandbox.turn(by=MONTH)
    before = sandbox.clocks.dial()

    assert sandbox.run(job) == job
    assert sandbox.clocks.dial() == before


def test_a_job_that_nobody_began_is_none_of_ours(sandbox: Sandbox) -> None:
    assert clock.run(sandbox.clocks, sandbox.rows, sandbox.store, SHORT, "nobody's", wall=sandbox.look) is None
    clock.fail(sandbox.clocks, "nobody's", "why")
    assert sandbox.clocks._jobs == {}


def failing(patch: pytest.MonkeyPatch, is_failing: Callable[[str], bool], error: Exception) -> None:
    """Some accounts cannot be visited."""
    visit = visits.visit

    def look(store: Any, program: Any, account: str, **how: Any) -> visits.Visited:
        if is_failing(account):
            raise error
        return visit(store, program, account, **how)

    patch.setattr(visits, "visit", look)


def crowded(sandbox: Sandbox) -> Sandbox:
    for number in range(30):
        sandbox.member(f"m{number:02}")
    return sandbox


def test_an_account_that_cannot_be_visited_holds_up_no_other(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = crowded(Sandbox())
    whole.turn(by=MONTH)
    job = crowded(sandbox).advance(by=MONTH).job
    told: list[tuple[str, str]] = []
    failing(monkeypatch, lambda account: account == "M07", ValueError("its basket is not JSON"))

    ended = clock.run(
        sandbox.clocks,
        sandbox.rows,
        sandbox.store,
        SHORT,
        job.id,
        wall=sandbox.look,
        tell=lambda account, error: told.append((account, str(error))),
    )

    assert ended is not None
    assert ended.status is JobStatus.DONE
    assert dict(ended.counts) == {"MATURITY": 29, "EXPIRY": 29, "NOT_VISITED": len(told)}
    assert set(told) == {("M07", "its basket is not JSON")}
    left, right = sandbox.state(), whole.state()
    assert {name for name in right if left[name] != right[name]} == {"M07"}


@pytest.mark.parametrize(
    "error", [OutcomeUnknown("busy"), ValueError("the table is not there")], ids=["busy", "broken"]
)
@pytest.mark.parametrize("works", range(0, 60, 7))
def test_a_store_that_fails_with_everybody_stops_the_run_and_passes_over_nobody(
    works: int, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many visits it has worked for, everybody is visited in each round of each day in the end."""
    visit, move_mark = agenda.visit, MemoryAgenda.move_mark
    done: set[tuple[str, Round, int]] = set()
    left: float = inf

    def require_store() -> None:
        if left <= 0:
            raise error

    def move(rows: MemoryAgenda, round_: Round, to: int) -> None:
        require_store()
        move_mark(rows, round_, to)

    def look(store: Any, program: Any, account: str, round_: Round, *, now: datetime) -> visits.Visited:
        nonlocal left
        require_store()
        left -= 1
        done.add((account, round_, days.day_of(now, program.zone)))
        return visit(store, program, account, round_, now=now)

    monkeypatch.setattr(agenda, "visit", look)
    monkeypatch.setattr(MemoryAgenda, "move_mark", move)
    # Whatever is noted is written at once.
    monkeypatch.setattr(limits, "JOB_PROGRESS_MIN", timedelta())
    whole = crowded(Sandbox())
    whole.turn(by=MONTH)
    wanted = done.copy()
    done.clear()
    sandbox = crowded(Sandbox())
    job = sandbox.advance(by=MONTH).job

    left = works
    with pytest.raises(type(error)):
        sandbox.run(job)
    left = inf
    ended = sandbox.run(job)

    assert ended is not None
    assert ended.status is JobStatus.DONE
    assert done == wanted
    assert sandbox.state() == whole.state()


def test_what_a_planner_hands_on_while_a_job_runs_is_done_by_the_job_itself(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its visitors come when the clock is months on, and it is too late for a birthday."""
    visited: Counter[int] = Counter()

    def look(_store: Any, program: Any, _account: str, *, now: datetime, **_: Any) -> visits.Visited:
        visited[days.day_of(now, program.zone)] += 1
        return visits.Visited()

    first = days.day_of(sandbox.now, SHORT.zone)
    for due in range(first, first + 20):
        sandbox.store.note_due("ADA", [due])
    for round_ in Round:
        sandbox.rows.move_mark(round_, first)
    job = sandbox.advance(by=relativedelta(days=10)).job
    monkeypatch.setattr(visits, "visit", look)
    steps = count()

    def planned_by_others() -> bool:
        for round_ in Round:
            sandbox.rows.move_mark(round_, first + next(steps) // 30)
        return True

    ended = sandbox.run(job, has_time=planned_by_others)

    assert ended is not None
    assert ended.status is JobStatus.DONE
    assert set(visited) == set(range(first, first + 11))


def test_a_job_that_failed_says_why_and_lets_others_go_on(sandbox: Sandbox) -> None:
    job = sandbox.advance().job

    clock.fail(sandbox.clocks, job.id, "It failed 5 times: OutcomeUnknown.")
    clock.fail(sandbox.clocks, job.id, "Something else.")

    failed = sandbox.clocks.job(job.id)
    assert failed is not None
    assert (failed.status, failed.failure) == (JobStatus.FAILED, "It failed 5 times: OutcomeUnknown.")
    assert sandbox.turn(key="2").status is JobStatus.DONE


def test_a_clock_is_set_on_the_condition_that_it_is_where_it_was_seen(sandbox: Sandbox) -> None:
    job = sandbox.advance().job
    seen = Dial(timedelta(), job.id)
    sandbox.clocks.turn(Dial(timedelta(days=2), job.id), seen)

    with pytest.raises(Contended):
        sandbox.clocks.turn(Dial(timedelta(days=1), job.id), seen)
    with pytest.raises(AssertionError):
        sandbox.clocks.turn(Dial(timedelta(days=1), job.id), Dial(timedelta(days=2), job.id))
    assert sandbox.clocks.dial() == Dial(timedelta(days=2), job.id)


def test_points_spent_while_the_clock_is_turned_stay_spent(sandbox: Sandbox) -> None:
    """Whoever calls between two days sees the program at that day."""
    sandbox.terms = SHORT
    sandbox.member()
    job = sandbox.advance(by=MONTH).job
    seen: list[int] = []

    def has_time() -> bool:
        if days.day_of(sandbox.now, SHORT.zone) == day("2026-03-06") and not seen:
            head = sandbox.store.head("ADA")
            assert head is not None
            seen.append(head.state.balance)
            buy(sandbox.store, "ada", 1_000, sandbox.now, receipt="between", program=SHORT)
        return True

    ended = sandbox.run(job, has_time=has_time)

    assert seen == [50]
    assert ended is not None
    assert dict(ended.counts) == {"MATURITY": 2, "EXPIRY": 2}
    assert sandbox.state()["ADA"][1].balance == 0
