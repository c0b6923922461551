"""The clock of a sandbox: the program's time, which can be turned forward and never back.

The program's time is the time on the wall plus an offset, which is zero everywhere but in a sandbox. Turning it is a *job*: day
by day it sets the clock to the instants at which the schedules would have run, and does what they would have done, by the same
code. Whoever dies half-way is followed by another run, which goes on from what the job's item says.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Protocol

from dateutil.relativedelta import relativedelta

from domain import agenda, days, limits
from domain.access import Actor
from domain.agenda import Agenda, Round
from domain.entries import caller_key
from domain.programs import Program
from domain.refusals import IdempotencyKeyReused, InvalidText, OutcomeUnknown, Refusal, require_text
from domain.store import Contended, Store

_ADVANCE = ("input", "advance")


class NotASandbox(Refusal):
    """The stack was not created as a sandbox, so its clock is the one on the wall."""


class InvalidDuration(Refusal):
    """A duration is not one of ISO 8601 in whole years and months, such as `P31D`."""


class ClockTurnedBack(Refusal):
    """The instant is not later than the program's now: a clock is only turned forward."""


class ClockAdvanceTooFar(Refusal):
    """The instant is more than `limits.CLOCK_ADVANCE_MAX` ahead, or after the year `limits.CLOCK_YEAR_MAX`."""


class ClockBusy(Refusal):
    """The clock is being turned by another job; it is the one in `clock { job }`."""


ADVANCE_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidDuration,
    InvalidText,
    NotASandbox,
    IdempotencyKeyReused,
    ClockTurnedBack,
    ClockAdvanceTooFar,
    ClockBusy,
)


class JobStatus(Enum):
    """How a job is doing."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Job:
    """A turn of the clock from `starts_at` to `ends_at` (program's time), done up to `reached_at`.

    `partitions` are those that are done of the list that it is reading, and `after` is the last account that is done of the next
    one; `reading` tells that list from every other, so that a place is never taken for one in another round or day. `marks` are
    the days up to which it has made each round itself. `counts` is what was booked, by kind, as far as a run lived to write it
    down.
    `beat_at` is when it was last written, on the wall; `version` counts how often.
    """

    id: str
    fingerprint: bytes
    actor: str
    starts_at: datetime
    ends_at: datetime
    reached_at: datetime
    beat_at: datetime
    status: JobStatus = JobStatus.QUEUED
    days_total: int = 0
    days_done: int = 0
    partitions: int = 0
    after: str = ""
    reading: str = ""
    marks: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    failure: str | None = None
    version: int = 1

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in (JobStatus.DONE, JobStatus.FAILED)

    def needs_a_run(self, wall: datetime) -> bool:
        """Whether it may have been left behind: nobody has begun it, or nobody goes on with it."""
        return self.status is JobStatus.QUEUED or (not self.is_over and self.is_silent(wall))

    def is_silent(self, wall: datetime) -> bool:
        """Whether nobody has worked on it for so long that nobody is."""
        return wall - self.beat_at > limits.JOB_SILENCE_MAX


@dataclass(frozen=True, slots=True)
class Dial:
    """Where the clock stands: how far ahead of the wall, and the job that turned it last."""

    offset: timedelta
    job: str


class JobKnown(Exception):
    """There is a job with this id already. Nothing was written."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.id)
        self.job = job


class Clocks(Protocol):
    """What turning the clock needs of a store. Every read is strong."""

    def is_sandbox(self) -> bool:
        """Whether the stack was created as a sandbox."""

    def dial(self) -> Dial | None:
        """Where the clock stands; None before it was ever turned."""

    def turn(self, dial: Dial, seen: Dial) -> None:
        """Sets the clock, unless it is not where it was `seen`. Raises `Contended`."""

    def job(self, job_id: str) -> Job | None:
        """A job."""

    def begin(self, job: Job, dial: Dial, seen: Dial | None) -> None:
        """Writes a new job and gives it the clock as it was `seen`. Raises `JobKnown` or `Contended`."""

    def save(self, job: Job) -> Job:
        """Writes a job over its version before, and gives the one with the next version. Raises `Contended`."""


@dataclass(frozen=True, slots=True)
class Advanced:
    """The job of a turn of the clock. `replayed` when an earlier call with the same key began it."""

    job: Job
    replayed: bool


# --- beginning --------------------------------------------------------------------------------------------------------


def advance(
    clocks: Clocks | None,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    to: datetime | None = None,
    by: relativedelta | None = None,
    now: datetime,
    wall: datetime,
) -> Advanced:
    """Begins to turn the clock to an instant, or by a duration, in which years, months and days are those of the program's
    calendar. Whoever calls has the job run (`run`); a call with the same key finds the same job.

    Refuses `InvalidText`, `NotASandbox`, `IdempotencyKeyReused`, `ClockTurnedBack`, `ClockAdvanceTooFar`, `ClockBusy`.
    """
    key = require_text(idempotency_key, field=("input", "idempotencyKey"), length_max=limits.KEY_LENGTH_MAX)
    if clocks is None or not clocks.is_sandbox():
        raise NotASandbox("The clock of this stack cannot be turned: it was not created as a sandbox.")
    asked = json.dumps([to.isoformat() if to else None, None if by is None else repr(by.normalized())])
    fingerprint = hashlib.sha256(asked.encode()).digest()[:16]
    job_id = hashlib.sha256(str(caller_key(actor.id, key)).encode()).hexdigest()[:32]
    known = clocks.job(job_id)
    if known is not None:
        return _again(known, fingerprint)
    ends_at = _target(to, by, now=now, program=program)
    dial = clocks.dial()
    _require_idle(clocks, dial, wall)
    job = Job(
        id=job_id,
        fingerprint=fingerprint,
        actor=actor.id,
        starts_at=now,
        ends_at=ends_at,
        reached_at=now,
        beat_at=wall,
        days_total=days.day_of(ends_at, program.zone) - days.day_of(now, program.zone),
    )
    try:
        clocks.begin(job, Dial(dial.offset if dial else timedelta(), job_id), dial)
    except JobKnown as taken:
        return _again(taken.job, fingerprint)
    except Contended:
        raise _busy() from None
    return Advanced(job, replayed=False)


def _again(known: Job, fingerprint: bytes) -> Advanced:
    if known.fingerprint != fingerprint:
        raise IdempotencyKeyReused(
            "This key was used before to turn the clock otherwise.", field=("input", "idempotencyKey")
        )
    return Advanced(known, replayed=True)


def _target(to: datetime | None, by: relativedelta | None, *, now: datetime, program: Program) -> datetime:
    assert (to is None) is not (by is None)
    path = (*_ADVANCE, "to" if by is None else "by")
    latest = min(now + limits.CLOCK_ADVANCE_MAX, datetime(limits.CLOCK_YEAR_MAX, 12, 31, tzinfo=UTC))
    try:
        ends_at = to if by is None else later(now, by, program)
    except (OverflowError, ValueError):
        # A year that no date has.
        ends_at = None
    if ends_at is not None and ends_at <= now:
        raise ClockTurnedBack(f"The clock shows {days.text_of(now)} already, and is only turned forward.", field=path)
    if ends_at is None or ends_at > latest:
        raise ClockAdvanceTooFar(f"The clock can be turned up to {days.text_of(latest)} now.", field=path)
    return ends_at


def later(now: datetime, by: relativedelta, program: Program) -> datetime:
    """The instant after a duration: its years, months and days by the program's calendar, what is shorter by the second."""
    dated = relativedelta(years=by.years, months=by.months, days=by.days)
    timed = relativedelta(hours=by.hours, minutes=by.minutes, seconds=by.seconds, microseconds=by.microseconds)
    return (now.astimezone(program.zone) + dated).astimezone(UTC) + timed


def _require_idle(clocks: Clocks, dial: Dial | None, wall: datetime) -> None:
    """Refuses `ClockBusy`. A job that fell silent is over: its next run finds the clock in other hands."""
    last = clocks.job(dial.job) if dial else None
    if last is None or last.is_over:
        return
    if not last.is_silent(wall):
        raise _busy()
    try:
        clocks.save(replace(last, status=JobStatus.FAILED, failure=_ABANDONED))
    except Contended:
        raise _busy() from None


def _busy() -> ClockBusy:
    return ClockBusy("The clock is being turned already; look at clock { job }, and try again when it is done.")


# The kind under which a job counts accounts that it could not visit.
NOT_VISITED = "NOT_VISITED"
_ABANDONED = "It did not go on, and another job took its place."

# --- running ----------------------------------------------------------------------------------------------------------


def run(
    clocks: Clocks,
    agenda_: Agenda,
    store: Store,
    program: Program,
    job_id: str,
    *,
    wall: Callable[[], datetime],
    has_time: Callable[[], bool] = lambda: True,
    tell: Callable[[str, Exception], None] = lambda _account, _error: None,
) -> Job | None:
    """Goes on with a job for as long as it `has_time`: whoever calls looks whether it `is_over`, and has it run again if not.

    At each instant at which the schedules would have run, the clock is set to it, then whoever is due is visited. Any number of
    runs, killed anywhere, or two at once, book the same. None when it is none of this run's business: there is no such job, or
    another run was first to write down how far it is.

    An account that cannot be visited holds up no other: `tell` hears of it and why, it is counted as `NOT_VISITED`, and the next
    one is visited. Raises what went wrong with `limits.CLOCK_FAILURES_MAX` accounts in a row, which is no fault of theirs, and
    `OutcomeUnknown`; nothing is lost then, and the job may be run again.
    """
    job = clocks.job(job_id)
    if job is None or job.is_over:
        return job
    work = _Work(clocks, agenda_, store, program, job, wall, has_time, tell)
    try:
        work.save(JobStatus.RUNNING)
        for instant in stops(program, job.reached_at, job.ends_at):
            work.stop(instant)
        work.save(JobStatus.DONE)
    except _OutOfTime:
        work.save()
    except Contended:
        # The clock is in other hands, or another run is at it.
        return None
    return work.job


def stops(program: Program, after: datetime, until: datetime) -> Iterator[datetime]:
    """The instants from `after` to `until`, both of them too, at which the schedules may find something to do: the first of each
    of the program's days, and the end of its quiet hours."""
    yield after
    for day in range(days.day_of(after, program.zone), days.day_of(until, program.zone) + 1):
        for instant in sorted({days.end_of(day - 1, program.zone), agenda.quiet_ends(program, day)}):
            if after < instant < until:
                yield instant
    yield until


@dataclass(slots=True)
class _Work:
    """One run of a job: the job as it is now, and when it was last written down."""

    clocks: Clocks
    agenda: Agenda
    store: Store
    program: Program
    job: Job
    wall: Callable[[], datetime]
    has_time: Callable[[], bool]
    tell: Callable[[str, Exception], None]
    counts: Counter[str] = field(init=False)
    # Accounts in a row that could not be visited. The place is not noted meanwhile: it is before the first of them.
    failed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.counts = Counter(self.job.counts)

    def save(self, status: JobStatus = JobStatus.RUNNING) -> None:
        """Writes down how far it is. Raises `Contended` when another run has done so since."""
        self.job = self.clocks.save(replace(self.job, status=status, counts=dict(self.counts), beat_at=self.wall()))

    def stop(self, instant: datetime) -> None:
        """What the schedules would have done at an instant."""
        self._require_time()
        self._turn_to(instant)
        for round_ in agenda.rounds(self.program, instant):
            self._visit(round_, instant)
        zone = self.program.zone
        done = days.day_of(instant, zone) - days.day_of(self.job.starts_at, zone)
        self.job = replace(self.job, reached_at=instant, days_done=done)
        self._tell()

    def _turn_to(self, instant: datetime) -> None:
        for _ in range(limits.CLOCK_ATTEMPTS_MAX):
            dial = self.clocks.dial()
            if dial is None or dial.job != self.job.id:
                break
            offset = instant - self.wall()
            if offset <= dial.offset:
                return
            try:
                self.clocks.turn(replace(dial, offset=offset), dial)
            except Contended:
                continue
            return
        raise Contended

    def _visit(self, round_: Round, instant: datetime) -> None:
        today = days.day_of(instant, self.program.zone)
        if self.job.marks.get(round_.value, -1) >= today:
            # A run before this one has made it, and perhaps others of later days: it goes on where that one ended.
            return
        mark = self._mark(round_)
        read = agenda.partitions(self.program, round_, mark=mark, today=today, shards=self.agenda.shards)
        if not read:
            return
        # What the list follows from. The place that was written down last may be one in an earlier list.
        reading = f"{self.program.version} {round_.value} {mark} {today}"
        if reading != self.job.reading:
            self.job = replace(self.job, reading=reading, partitions=0, after="")
        place, after = self.job.partitions, self.job.after
        for done, partition in enumerate(read[place:], start=place + 1):
            for account in self.agenda.accounts(partition, after=after):
                self._visit_account(account, round_, instant)
                self._done(self.job.partitions, after=account)
            self._done(done)
            # It was one of that partition, and says nothing of the next.
            after = ""
        self.agenda.move_mark(round_, today)
        self.job = replace(self.job, marks={**self.job.marks, round_.value: today})

    def _mark(self, round_: Round) -> int | None:
        """The day up to which a round is made. What a planner has handed on since the job began does not count: by the time a
        visitor takes it, the clock may be months on. So the job makes its first day, whoever has planned it, and every other."""
        own = self.job.marks.get(round_.value)
        if own is not None:
            return own
        planned = self.agenda.mark(round_)
        yesterday = days.day_of(self.job.starts_at, self.program.zone) - 1
        return None if planned is None else min(planned, yesterday)

    def _visit_account(self, account: str, round_: Round, instant: datetime) -> None:
        try:
            visited = agenda.visit(self.store, self.program, account, round_, now=instant)
        except OutcomeUnknown:
            raise
        except Exception as error:
            self.failed += 1
            if self.failed == limits.CLOCK_FAILURES_MAX:
                raise
            self.tell(account, error)
            self.counts[NOT_VISITED] += 1
        else:
            self.counts.update(visited.counts)
            self.failed = 0

    def _done(self, partitions: int, *, after: str = "") -> None:
        """Notes where it is, and goes on if there is time."""
        if not self.failed:
            self.job = replace(self.job, partitions=partitions, after=after)
        self._tell()
        self._require_time()

    def _tell(self) -> None:
        if self.wall() - self.job.beat_at >= limits.JOB_PROGRESS_MIN:
            self.save()

    def _require_time(self) -> None:
        if not self.has_time():
            raise _OutOfTime


class _OutOfTime(Exception):
    """The run has to end; the job goes on in another."""


def fail(clocks: Clocks, job_id: str, reason: str) -> None:
    """Ends a job that cannot go on."""
    for _ in range(limits.CLOCK_ATTEMPTS_MAX):
        job = clocks.job(job_id)
        if job is None or job.is_over:
            return
        try:
            clocks.save(replace(job, status=JobStatus.FAILED, failure=reason))
        except Contended:
            continue
        return
    raise Contended
