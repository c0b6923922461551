"""The program's clock through the API: what time it is, and turning it forward in a sandbox."""

from enum import Enum

import strawberry
from dateutil.relativedelta import relativedelta

from domain import clock, limits
from domain.access import Permission
from domain.clock import InvalidDuration
from domain.refusals import Refusal
from schema import refusals
from schema.access import Permitted
from schema.context import Context, Info
from schema.nodes import Node, from_id, to_id
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import DateTime, Long


@strawberry.enum(description="How a job is doing.")
class JobStatus(Enum):
    """Statuses of `domain.clock.JobStatus`."""

    QUEUED = strawberry.enum_value("QUEUED", description="It has not begun.")
    RUNNING = strawberry.enum_value("RUNNING", description="It is at work, or about to go on.")
    DONE = strawberry.enum_value("DONE", description="It is done.")
    FAILED = strawberry.enum_value(
        "FAILED", description="It will not go on. What it did stands; another one goes on from there."
    )


@strawberry.type(description="How often a job did something.")
class JobCount:
    """One kind, and its number."""

    kind: str = strawberry.field(
        description="What was done, such as `EXPIRY` or `MATURITY`: the kind of an entry or notice. `NOT_VISITED` are "
        "accounts at which something went wrong; the log says what."
    )
    count: Long = strawberry.field(description="How often.")


@strawberry.type(
    description="A turn of the clock, which goes on by itself after the answer. Ask for it again to see how far it is."
)
class Job(Node):
    """A job by its id."""

    status: JobStatus = strawberry.field(description="How it is doing.")
    start_at: DateTime = strawberry.field(description="What the program's clock showed when it was asked for.")
    end_at: DateTime = strawberry.field(description="What the program's clock shows in the end.")
    reached_at: DateTime = strawberry.field(description="Everything that was due by this instant is done.")
    days_total: Long = strawberry.field(description="Days to pass, by the program's calendar.")
    days_done: Long = strawberry.field(description="Days that have passed.")
    counts: list[JobCount] = strawberry.field(
        description="What was done, by kind, the most frequent first. A run that is killed does not tell of its last second."
    )
    failure: str | None = strawberry.field(description="Why it failed, if it did.")


@strawberry.type(
    description="The program's clock. It is the clock on the wall, but in a sandbox, where it can be turned forward."
)
class Clock:
    """The time, and who is turning it."""

    now: DateTime = strawberry.field(description="The program's time: what is due by now is due.")
    time_zone: str = strawberry.field(description="Whose days are the program's days, such as `Europe/Paris`.")
    is_sandbox: bool = strawberry.field(
        description="Whether the clock can be turned: the stack was created as a sandbox."
    )

    @strawberry.field(description="The job that turned the clock last, or is turning it; null when none has, and for those who "
                      "may not see jobs.")  # fmt: skip
    def job(self, info: Info) -> Job | None:
        """Asked only when somebody wants to know."""
        context = info.context
        if context.sandbox is None or not context.actor.may(Permission.JOBS_READ):
            return None
        dial = context.sandbox.clocks.dial()
        return find(context, dial.job) if dial else None


def find(context: Context, job_id: str) -> Job | None:
    """A job, for whoever may see jobs."""
    if context.sandbox is None or not context.actor.may(Permission.JOBS_READ):
        return None
    found = context.sandbox.clocks.job(job_id)
    return job_of(found) if found else None


def job_of(job: clock.Job) -> Job:
    """A job as the contract shows it."""
    counts = sorted(job.counts.items(), key=lambda each: (-each[1], each[0]))
    return Job(
        id=to_id("Job", job.id),
        status=JobStatus[job.status.name],
        start_at=DateTime(job.starts_at),
        end_at=DateTime(job.ends_at),
        reached_at=DateTime(job.reached_at),
        days_total=Long(job.days_total),
        days_done=Long(job.days_done),
        counts=[JobCount(kind=kind, count=Long(count)) for kind, count in counts],
        failure=job.failure,
    )


def show(info: Info) -> Clock:
    """The clock."""
    context = info.context
    return Clock(
        now=DateTime(context.now),
        time_zone=context.program.zone.key,
        is_sandbox=context.sandbox is not None,
    )


def job(info: Info, id: strawberry.ID) -> Job | None:
    """A job by its id; null for the id of anything else."""
    kind, key = from_id(id)
    return find(info.context, key) if kind == "Job" else None


# --- turning it -------------------------------------------------------------------------------------------------------


@strawberry.input(one_of=True, description="How far to turn the clock: exactly one of these.")
class ClockTargetInput:
    """An instant, or a duration."""

    to: DateTime | None = strawberry.field(
        default=strawberry.UNSET,
        description="What the program's clock is to show: later than now, by ten years at most.",
    )
    by: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="By how much, as a duration of ISO 8601 such as `P31D` or `PT12H`. Years, months and days are those of the "
        "program's calendar; a fraction of a year or month has no meaning and is refused.",
    )

    def duration(self) -> relativedelta | None:
        """`by` as the domain takes it. Refuses `InvalidDuration`."""
        return duration_from(self.by) if isinstance(self.by, str) else None

    def instant(self) -> DateTime | None:
        """`to`, if it was sent."""
        return self.to if self.to is not strawberry.UNSET else None


def duration_from(text: str) -> relativedelta:
    """A duration of ISO 8601. Refuses `InvalidDuration`."""
    # 25 ms that only a sandbox needs, once.
    import isodate  # noqa: PLC0415

    wrong = InvalidDuration("by must be a duration of ISO 8601, such as P31D.", field=("input", "advance", "by"))
    # The library takes a time without a part, and a line's end.
    if len(text) > limits.DURATION_LENGTH_MAX or not text[-1:].isalpha() or text.upper().endswith("T"):
        raise wrong
    try:
        read = isodate.parse_duration(text, as_timedelta_if_possible=False)
        years, months = int(read.years), int(read.months)
        if (years, months) != (read.years, read.months):
            raise wrong
        time = read.tdelta
        return relativedelta(
            years=years,
            months=months,
            days=time.days,
            seconds=time.seconds,
            microseconds=time.microseconds // 1_000 * 1_000,  # as exact as the program's time
        )
    except (ValueError, OverflowError, ArithmeticError):
        raise wrong from None


@strawberry.input(description="A turn of the clock.")
class ClockAdvanceInput:
    """How far."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    advance: ClockTargetInput = strawberry.field(description="How far.")


@strawberry.enum(description="Why the clock was not turned.")
class ClockAdvanceErrorCode(Enum):
    """Codes of `domain.clock.ADVANCE_REFUSALS`."""

    INVALID_DURATION = "INVALID_DURATION"
    INVALID_TEXT = "INVALID_TEXT"
    NOT_A_SANDBOX = "NOT_A_SANDBOX"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CLOCK_TURNED_BACK = "CLOCK_TURNED_BACK"
    CLOCK_ADVANCE_TOO_FAR = "CLOCK_ADVANCE_TOO_FAR"
    CLOCK_BUSY = "CLOCK_BUSY"


@strawberry.type(description="Why the clock was not turned.")
class ClockAdvanceUserError(UserError):
    """A refusal of `clockAdvance`."""

    code: ClockAdvanceErrorCode


@strawberry.type
class ClockAdvancePayload:
    """The job that turns the clock, or why there is none."""

    job: Job | None = strawberry.field(default=None, description="The job that turns the clock.")
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key began the job."
    )
    user_errors: list[ClockAdvanceUserError] = strawberry.field(default_factory=list)


def clock_advance(info: Info, input: ClockAdvanceInput) -> ClockAdvancePayload:
    """Has the clock turned."""
    context, sandbox = info.context, info.context.sandbox
    try:
        advanced = clock.advance(
            sandbox.clocks if sandbox else None,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            to=input.advance.instant(),
            by=input.advance.duration(),
            now=context.now,
            wall=sandbox.wall if sandbox else context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, ClockAdvanceUserError, ClockAdvanceErrorCode)
        return ClockAdvancePayload(replayed=refusal.replayed, user_errors=[error])
    assert sandbox is not None
    # Whoever began it may have died before it could be run, and whoever ran it may have died since.
    if not advanced.replayed or advanced.job.needs_a_run(sandbox.wall):
        sandbox.start_job(advanced.job.id)
    return ClockAdvancePayload(job=job_of(advanced.job), replayed=advanced.replayed)


@strawberry.type
class ClockQueries:
    """Fields of the query root."""

    clock: Clock = strawberry.field(
        resolver=show,
        description="What time it is for the program. Nothing is read for it, but in a sandbox.",
        extensions=[Permitted(Permission.PROGRAM_READ)],
    )
    job: Job | None = strawberry.field(
        resolver=job,
        description="A job by its id; null when there is none. For support and managers.",
        extensions=[Permitted(Permission.JOBS_READ)],
    )


@strawberry.type
class ClockMutations:
    """Fields of the mutation root."""

    clock_advance: ClockAdvancePayload = strawberry.field(
        resolver=clock_advance,
        description="Turns the program's clock forward, in a sandbox: day by day, whatever the schedules would have done "
        "meanwhile is done, as a job that goes on after the answer. Only one job turns the clock at a time; sent again with the "
        "same key, it finds its job, and wakes it if it was left behind. Needs a manager.",
        extensions=[Permitted(Permission.CLOCK_ADVANCE)],
    )
