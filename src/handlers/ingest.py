"""The queue of submitted purchases worked off: a batch of messages, the purchases of one member in one record."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSEvent, SQSRecord

from domain import limits, queued, submissions
from domain.messages import Poison
from domain.programs import Program
from domain.purchases import Recorded
from domain.queued import NotAPurchase, Queued
from domain.refusals import OutcomeUnknown, Refusal
from domain.submissions import Submissions
from handlers import jobs, telemetry
from handlers.queue import Queue
from storage.table import Table

# No group is begun, and nobody contends any more, so long before the function is ended: what failed must still be told.
_ANSWER_MARGIN_S = 10


@dataclass(frozen=True, slots=True)
class Ingester:
    """Books submitted purchases; `failures` gets the messages that are given up. `now` is the program's clock for the wall's."""

    store: Table
    submissions: Submissions
    program: Callable[[], Program | None]
    wall: Callable[[], datetime]
    now: Callable[[datetime], datetime]
    logger: Logger
    failures: Queue | None = None

    def take(self, event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        """Books what a batch holds; answers which messages have to come again, whatever is wrong with others."""
        until = time.monotonic() + context.get_remaining_time_in_millis() / 1_000 - _ANSWER_MARGIN_S
        wall = self.wall()
        read: dict[str, Queued] = {}
        wrong: dict[str, Exception] = {}
        for record in SQSEvent(dict(event)).records:
            try:
                read[record.message_id] = queued.queued_from(self.store, record.body)
            except Exception as error:  # poison, or what reads it is broken: either way it is told of below
                wrong[record.message_id] = error
        self._expect_the_worst(event, read, wall, until)
        answers = self._booked(list(read.values()), wall, until)
        by_message = dict(zip(read, answers, strict=True))
        wrong |= {
            message: answer
            for message, answer in by_message.items()
            if isinstance(answer, OutcomeUnknown) or not isinstance(answer, Recorded | Refusal)
        }

        def settle(record: SQSRecord) -> None:
            error = wrong.get(record.message_id)
            if error is None:
                return
            is_last = int(record.attributes.approximate_receive_count) >= limits.DELIVERIES_MAX
            if is_last or isinstance(error, Poison):
                self._give_up(read.get(record.message_id), error, wall)
            raise error

        answer = jobs.each(event, context, settle, self.logger, self.failures)
        told = Counter(type(each).__name__ for message, each in by_message.items() if message not in wrong)
        self.logger.info("taken", extra={"counts": dict(told), "failed": len(wrong)})
        telemetry.count(
            PurchasesApplied=told[Recorded.__name__], PurchasesRefused=told.total() - told[Recorded.__name__]
        )
        return answer

    def _booked(self, waiting: list[Queued], wall: datetime, until: float) -> list[Recorded | Exception]:
        """What each purchase came to. Where a batch fails in a way that nobody foresaw, each is tried by itself; where the worker
        cannot even begin, each fails for that, and so with a reason."""
        try:
            program, now = self.program(), self.now(wall)
            assert program is not None, "purchases were submitted, so there is a program"
        except Exception as error:  # told of with each message
            return [error] * len(waiting)
        store = self.store.until(until)

        def book(some: list[Queued]) -> list[Recorded | Refusal]:
            return submissions.book(
                self.submissions,
                store,
                program,
                some,
                now=now,
                wall=wall,
                has_time=lambda: time.monotonic() < until,
            )

        try:
            return list(book(waiting))
        except Exception:  # one of them may be to blame; which one, is found out
            self.logger.exception("a batch failed; its purchases are booked one by one")
        answers: dict[int, Recorded | Exception] = {}
        for place in sorted(range(len(waiting)), key=lambda place: waiting[place].order):
            try:
                (answers[place],) = book([waiting[place]])
            except Exception as error:  # told of with its message
                answers[place] = error
        return [answers[place] for place in range(len(waiting))]

    def _expect_the_worst(
        self, event: Mapping[str, Any], read: Mapping[str, Queued], wall: datetime, until: float
    ) -> None:
        """Notes of each purchase that comes for the last time that it failed: when this attempt is cut off nobody says so any
        more. What it comes to instead goes before that, and why it fails, if that can be told, replaces it."""
        cut_off = f"It failed {limits.DELIVERIES_MAX} times: its worker was cut off."
        for record in SQSEvent(dict(event)).records:
            each = read.get(record.message_id)
            if each is None or int(record.attributes.approximate_receive_count) < limits.DELIVERIES_MAX:
                continue
            if time.monotonic() >= until or not self._noted(each.submission, each.sent_at, each.index, cut_off, wall):
                # A store that does not answer is not asked fifty times before anything is booked.
                return

    def _give_up(self, purchase: Queued | None, error: Exception, wall: datetime) -> None:
        """Notes with the submission that the message of a purchase is given up, where it can be told whose it is."""
        if purchase is not None:
            self._noted(purchase.submission, purchase.sent_at, purchase.index, _told(error), wall)
        elif isinstance(error, NotAPurchase) and error.submission:
            self._noted(error.submission, None, error.index, _told(error), wall)

    def _noted(self, submission: str, sent_at: datetime | None, index: int, failure: str, wall: datetime) -> bool:
        try:
            submissions.give_up(self.submissions, submission, sent_at, index, failure, wall=wall)
        except Exception:  # the queue of failures has it all the same
            self.logger.exception("a failure could not be noted", extra={"submission": submission, "index": index})
            return False
        return True


def _told(error: Exception) -> str:
    """Why a message is given up, as its caller may know it: what went wrong in here, the log and the queue of failures say."""
    if isinstance(error, Poison):
        return f"Its message cannot be read: {error}."
    return f"It failed {limits.DELIVERIES_MAX} times: {type(error).__name__}."
