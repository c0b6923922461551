"""Campaigns put together: turns of a run are taken from the queue, and once a minute somebody looks after all that is at work."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from domain import limits, lists
from domain.campaigns import turns, work
from domain.campaigns.store import Campaigns
from domain.campaigns.tools import OutOfTime, Tools
from domain.campaigns.turns import Turn
from domain.programs import Program
from handlers import jobs, telemetry
from handlers.lists import Importer
from handlers.queue import Queue
from storage.table import Table

# A member's turn is not begun so long before the function is ended: what was done must still be written down.
_ANSWER_MARGIN_S = 8


@dataclass(frozen=True, slots=True)
class Campaigner:
    """Takes turns of campaigns, and looks after those that are at work; `failures` gets the messages that are given up.

    `is_idle` tells whether no turn is on its way. Turns of imports of lists come by the same queue, and are the `importer`'s.
    """

    campaigns: Campaigns
    store: Table
    queue: Queue
    program: Callable[[], Program | None]
    now: Callable[[], datetime]
    is_idle: Callable[[], bool]
    importer: Importer
    logger: Logger
    failures: Queue | None = None

    def take(self, event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        """Takes each turn of a batch; answers which messages have to come again."""
        until = self._until(context)
        program = self.program()

        def one(record: SQSRecord) -> None:
            is_last = int(record.attributes.approximate_receive_count) >= limits.DELIVERIES_MAX
            if lists.is_about_a_list(record.body):
                self.importer.take(record.body, until=until, is_last=is_last)
                return
            turn = turns.turn_from(record.body)
            assert program is not None, "a campaign was made, so there is a program"
            try:
                work.take(self._tools(program, until, is_last=is_last), turn)
            except OutOfTime:
                # What is done stands: the rest has a turn of its own.
                self.queue.send([turn.text()])

        answer = jobs.each(event, context, one, self.logger, self.failures)
        telemetry.count(TurnsTaken=len(event["Records"]) - len(answer["batchItemFailures"]))
        return answer

    def look_after(self, context: Any) -> None:
        """Launches what is due, and hands out again what nobody goes on with."""
        program = self.program()
        if program is None:
            # Nobody has made a campaign.
            return
        handed = work.look_after(self._tools(program, self._until(context)), is_idle=self.is_idle)
        if handed:
            runs = sorted({f"{turn.run.campaign} {turn.run}" for turn in handed})
            self.logger.info("handed out", extra={"runs": runs, "turns": len(handed)})

    def _tools(self, program: Program, until: float, *, is_last: bool = False) -> Tools:
        return Tools(
            campaigns=self.campaigns,
            store=self.store.until(until),
            program=program,
            now=_ticking(self.now()),
            send=self._send,
            has_time=lambda: time.monotonic() < until,
            tell=lambda account, error: self.logger.error(
                "a member's turn failed", exc_info=error, extra={"account": account}
            ),
            is_last=is_last,
        )

    def _send(self, handed: Iterable[Turn]) -> None:
        self.queue.send(turn.text() for turn in handed)

    @staticmethod
    def _until(context: Any) -> float:
        return time.monotonic() + float(context.get_remaining_time_in_millis()) / 1_000 - _ANSWER_MARGIN_S


def _ticking(now: datetime) -> Callable[[], datetime]:
    """A clock that shows `now` and goes on from there: a sandbox reads its own from the table, and a chunk asks a thousand
    times."""
    began = time.monotonic()

    def show() -> datetime:
        passed = timedelta(milliseconds=int((time.monotonic() - began) * 1_000))
        return now + passed

    return show


def is_idle(sqs: Any, queue_url: str) -> bool:
    """Whether a queue is empty, with nothing in flight or held back. SQS counts roughly: what follows from it must be
    harmless."""
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    counts = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return not any(int(count) for count in counts.values())
