"""The scheduled jobs put together: planning whose turn it is, visiting them, and turning a sandbox's clock."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import BotoCoreError, ClientError

from domain import agenda, clock, days, limits
from domain.agenda import Agenda, Planned, Turn
from domain.clock import Clocks
from domain.messages import Poison
from domain.programs import Program
from handlers import reasons, telemetry
from handlers.queue import NotSent, Queue
from storage.table import Table

# A turn is not begun, and nobody contends any more, so long before the function is ended: what failed must still be told.
_ANSWER_MARGIN_S = 5
# A run of the clock hands on so long before its end: a day of a large sandbox, and what it has booked, fits in between.
_CLOCK_MARGIN_S = 30


class OutOfTime(Exception):
    """The function has no time left for this message; it comes again."""


class NotDone(Exception):
    """Some accounts of a turn could not be visited; the others were."""


class NotAJob(Poison):
    """A message that names no job."""


class TooEarly(Exception):
    """The turn is of a day that has not begun: clocks of two machines differ by a moment, or somebody wrote the message."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans whose turn it is, and hands them to the visitors' queue."""

    agenda: Agenda
    queue: Queue
    program: Callable[[], Program | None]
    now: Callable[[], datetime]
    logger: Logger

    def plan(self) -> list[Planned]:
        """One run of the schedule: each round that is to be made now. Raises what keeps a round from being planned whole; the
        next run begins it anew."""
        program, now = self.program(), self.now()
        if program is None:
            self.logger.info("no program is published yet: there is nobody to visit")
            return []
        planned = []
        for round_ in agenda.rounds(program, now):
            run = agenda.plan(
                self.agenda, program, round_, now=now, send=lambda turns: self.queue.send(turn.text() for turn in turns)
            )
            if run.partitions:
                self.logger.info(
                    "planned",
                    extra={
                        "round": round_.value,
                        "day": days.date_of(run.day).isoformat(),
                        "partitions": run.partitions,
                        "turns": run.turns,
                        "accounts": run.accounts,
                    },
                )
            telemetry.count(AccountsPlanned=run.accounts)
            planned.append(run)
        return planned


@dataclass(frozen=True, slots=True)
class Visitor:
    """Visits the accounts of the turns in a batch of messages; `failures` gets those that are given up."""

    store: Table
    queue: Queue
    program: Callable[[], Program | None]
    now: Callable[[], datetime]
    logger: Logger
    failures: Queue | None = None

    def visit(self, event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        """Takes each turn of a batch; answers which messages have to come again."""
        until = _until(context, _ANSWER_MARGIN_S)
        program, now = self.program(), self.now()
        counts: Counter[str] = Counter()

        def take(record: SQSRecord) -> None:
            turn = agenda.turn_from(record.body)
            assert program is not None, "a turn was planned, so there is a program"
            self._take(turn, program, now=now, until=until, counts=counts)

        answer = each(event, context, take, self.logger, self.failures)
        if counts:
            self.logger.info("booked", extra={"counts": dict(counts)})
        telemetry.count(EntriesBooked=sum(counts.values()))
        return answer

    def _take(self, turn: Turn, program: Program, *, now: datetime, until: float, counts: Counter[str]) -> None:
        if turn.day > days.day_of(now, program.zone):
            raise TooEarly(f"{days.date_of(turn.day)} has not begun")
        if turn.round.is_telling and agenda.is_quiet(program, now):
            # It came late, and nobody is told anything at this hour: it waits in the queue for the hours that are not quiet.
            self.queue.send([turn.text()], delay=limits.MESSAGE_DELAY_MAX)
            return
        store = self.store.until(until)
        failed: list[str] = []
        for account in turn.accounts:
            if time.monotonic() > until:
                raise OutOfTime(f"{len(turn.accounts)} accounts were too many")
            try:
                counts.update(agenda.visit(store, program, account, turn.round, now=now).counts)
            except Exception:  # whatever is wrong with one account, the others of its turn are visited
                self.logger.exception("an account could not be visited", extra={"account": account})
                failed.append(account)
        if failed:
            raise NotDone(", ".join(failed))


@dataclass(frozen=True, slots=True)
class Clockwork:
    """Turns a sandbox's clock, as far as it gets in one call; `failures` gets the jobs that are given up."""

    clocks: Clocks
    agenda: Agenda
    store: Table
    queue: Queue
    program: Callable[[], Program | None]
    wall: Callable[[], datetime]
    logger: Logger
    failures: Queue | None = None

    def turn(self, event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        """Goes on with the job of each message, and sends it to itself when there is more to do."""
        until = _until(context, _CLOCK_MARGIN_S)
        program = self.program()

        def go_on(record: SQSRecord) -> None:
            job_id = job_from(record.body)
            assert program is not None, "a job was begun, so there is a program"
            try:
                job = clock.run(
                    self.clocks,
                    self.agenda,
                    self.store.until(until),
                    program,
                    job_id,
                    wall=self.wall,
                    has_time=lambda: time.monotonic() < until,
                    tell=lambda account, error: self.logger.error(
                        "an account could not be visited", exc_info=error, extra={"account": account}
                    ),
                )
            except Exception as error:
                if _is_last(record):
                    clock.fail(self.clocks, job_id, f"It failed {limits.DELIVERIES_MAX} times: {type(error).__name__}.")
                raise
            if job is not None and not job.is_over:
                self.queue.send([job_text(job_id)])

        return each(event, context, go_on, self.logger, self.failures)


def job_text(job_id: str) -> str:
    """The message that has a job run."""
    return json.dumps({"job": job_id})


def job_from(text: str) -> str:
    """The job of a message. Raises `NotAJob`."""
    try:
        values = json.loads(text)
    except ValueError:
        raise NotAJob("it is not JSON") from None
    if (
        not isinstance(values, dict)
        or values.keys() != {"job"}
        or not isinstance(values["job"], str)
        or not values["job"]
    ):
        raise NotAJob("it has not just a job")
    return str(values["job"])


def each(
    event: Mapping[str, Any],
    context: Any,
    handle: Callable[[SQSRecord], None],
    logger: Logger,
    failures: Queue | None = None,
) -> Mapping[str, Any]:
    """Handles each message of a batch on its own; answers which have to come again, and why is in the log.

    What fails for the last time (`limits.DELIVERIES_MAX`), and poison at once, goes to the queue of `failures` with the reason on
    it, and is done. Where that cannot be, and where this is killed, the queue moves it there by itself, without one.
    """

    def told(record: SQSRecord) -> None:
        try:
            handle(record)
        except Exception as error:
            facts = {"message_id": record.message_id, "delivery": record.attributes.approximate_receive_count}
            logger.exception("a message failed: %s", error, extra=facts)
            is_given_up = isinstance(error, Poison) or _is_last(record)
            if failures is None or not is_given_up or not _is_kept(failures, record, error, context, logger):
                raise

    # A batch in which every message fails is no failure of the function: they are told apart by their log lines alike.
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(dict(event), told, processor, context)


def _is_last(record: SQSRecord) -> bool:
    return int(record.attributes.approximate_receive_count) >= limits.DELIVERIES_MAX


def _is_kept(failures: Queue, record: SQSRecord, error: Exception, context: Any, logger: Logger) -> bool:
    """Whether the queue of failures has the message now, with its reason."""
    try:
        failures.send([record.body], attributes=reasons.of(error, record, context))
    except (NotSent, BotoCoreError, ClientError):
        logger.exception("a reason could not be kept", extra={"message_id": record.message_id})
        return False
    return True


def _until(context: Any, margin_s: float) -> float:
    return time.monotonic() + float(context.get_remaining_time_in_millis()) / 1_000 - margin_s
