"""Queues of failures from outside: looking into one without taking anything, moving messages back, dropping them."""

import contextlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from domain import limits
from handlers import reasons
from handlers.queue import Queue

NO_REASON = "no reason was left: the worker was cut off"

# A call answers as soon as there is a message, and after this when there is none: only then all servers of SQS were asked.
_WAIT_S = 1
# How long messages that are looked at are out of everybody's sight at most: until they are let go, or this is killed.
_HIDDEN_S = 30
_HIDDEN_A_MESSAGE_S = 0.05
# How an engine says that it moves nothing by itself. What AWS refuses is told by other codes.
_NO_TASKS = frozenset({"InvalidAction", "UnknownOperationException"})
_POLL_S = 1.0
# The longest that AWS lets a task run.
_TASK_S_MAX = 36 * 3_600

_OUTPUT = "FailuresUrl"


class NotDone(Exception):
    """Something was not done; the message says what, and what that means."""


class TaskNotThere(Exception):
    """The engine moves no messages by itself."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue of failures, and the queue its messages came from; `source` is None where they were no messages before."""

    name: str
    failures: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue has, by its own rough count: to be had, being worked on, and held back for later."""

    waiting: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.waiting + self.in_flight + self.delayed


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that failed. `sent_at` is when it came into this queue, or, when SQS moved it itself, into its first one.

    `said` are the attributes that a worker left on it.
    """

    id: str
    body: str
    sent_at: datetime
    received: int
    said: Mapping[str, str]
    handle: str = field(repr=False, compare=False)

    @property
    def reason(self) -> str | None:
        """Why it failed, if whoever gave it up has said so."""
        return self.said.get(reasons.REASON) or self._condition

    @property
    def window(self) -> tuple[str, str] | None:
        """Of stream records that were given up: when the first and the last of them came."""
        batch = self._told.get("DDBStreamBatchInfo")
        if not isinstance(batch, dict):
            return None
        first, last = (batch.get(f"approximateArrivalOf{which}Record") for which in ("First", "Last"))
        return (first, last) if isinstance(first, str) and isinstance(last, str) else None

    @property
    def _condition(self) -> str | None:
        # What a mapping of a stream writes: it has no worker that could leave a reason.
        context = self._told.get("requestContext")
        condition = context.get("condition") if isinstance(context, dict) else None
        return condition if isinstance(condition, str) and self.window else None

    @property
    def _told(self) -> Mapping[str, Any]:
        try:
            told = json.loads(self.body)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}


def lanes(outputs: Mapping[str, str]) -> dict[str, Lane]:
    """The queues of failures of a stack, by their names: `VisitFailuresUrl` is that of `VisitQueueUrl`, and called visit."""
    found = {}
    for output, url in sorted(outputs.items()):
        if output.endswith(_OUTPUT):
            stem = output.removesuffix(_OUTPUT)
            found[stem.lower()] = Lane(stem.lower(), url, outputs.get(f"{stem}QueueUrl"))
    return found


@dataclass(frozen=True)
class Failures:
    """One queue of failures, by a client of SQS."""

    sqs: Any
    lane: Lane
    sleep: Callable[[float], None] = time.sleep

    def depth(self, url: str | None = None) -> Depth:
        """How many messages this queue has, or another one."""
        names = ("", "NotVisible", "Delayed")
        counts = self._attributes(url or self.lane.failures, *(f"ApproximateNumberOfMessages{each}" for each in names))
        return Depth(*(int(counts[f"ApproximateNumberOfMessages{each}"]) for each in names))

    def look(self, among: int) -> list[Failure]:
        """Up to so many failures, the oldest of them first; all of them stay. SQS gives them in no order, so only who has looked
        at all of them knows which are the oldest."""
        with self.held(among) as found:
            return sorted(found, key=lambda each: (each.sent_at, each.id))

    @contextlib.contextmanager
    def held(self, limit: int, *, named: Sequence[str] = ()) -> Iterator[list[Failure]]:
        """Up to `limit` failures, or just those that are `named`, which nobody else gets meanwhile. What is there at the end of
        the context can be seen again."""
        found: dict[str, Failure] = {}
        try:
            for _ in range(limit):
                if len(found) >= limit or (named and found.keys() >= set(named)):
                    break
                batch = self._receive(limit - len(found), hidden=_HIDDEN_S + int(limit * _HIDDEN_A_MESSAGE_S))
                if not batch:
                    break
                found |= {each.id: each for each in batch}
            yield [each for each in found.values() if not named or each.id in named]
        finally:
            self.let_go(list(found.values()))

    def sweep(
        self,
        deal: Callable[[list[Failure]], None],
        *,
        before: datetime,
        size: int = limits.MESSAGES_A_CALL_MAX,
    ) -> int:
        """Has `deal` take every failure that came before an instant, up to `size` a time, and nobody else gets them meanwhile.
        All others, and those it could not deal with, can be seen again at the end. How many were left because they are newer."""
        left = self.depth().total + limits.FAILURES_LOOKED_AT_MAX
        held: dict[str, Failure] = {}
        try:
            while left > 0 and (batch := self._receive(size, hidden=_HIDDEN_S)):
                left -= len(batch)
                held |= {each.id: each for each in batch}
                # What fails again right after it was moved back is not moved again and again.
                if taken := [each for each in batch if each.sent_at < before]:
                    deal(taken)
                    for each in taken:
                        del held[each.id]
            return len(held)
        finally:
            self.let_go(list(held.values()))

    def let_go(self, failures: Sequence[Failure]) -> None:
        """Lets messages be seen again at once. Those that are gone, or are seen already, stay so."""
        for batch in _calls(failures):
            entries = [
                {"Id": str(place), "ReceiptHandle": each.handle, "VisibilityTimeout": 0}
                for place, each in enumerate(batch)
            ]
            self.sqs.change_message_visibility_batch(QueueUrl=self.lane.failures, Entries=entries)

    def delete(self, failures: Sequence[Failure]) -> None:
        """Deletes messages. Raises `NotDone` with the ids of those that are still there."""
        left = []
        for batch in _calls(failures):
            entries = [{"Id": str(place), "ReceiptHandle": each.handle} for place, each in enumerate(batch)]
            answer = self.sqs.delete_message_batch(QueueUrl=self.lane.failures, Entries=entries)
            left += [batch[int(failed["Id"])].id for failed in answer.get("Failed", [])]
        if left:
            raise NotDone(f"Still in the queue of failures: {', '.join(left)}.")

    def move_back(self, failures: Sequence[Failure]) -> None:
        """Sends messages to where they came from, without what was said of them, and then deletes them: one whose deletion fails
        comes twice, none is lost. Raises `NotDone`, and `handlers.queue.NotSent` when nothing was deleted."""
        assert self.lane.source is not None
        Queue(self.lane.source, client=lambda: self.sqs, pause=self.sleep).send(each.body for each in failures)
        self.delete(failures)

    def task(self, rate: int | None) -> Generator[tuple[int, int]]:
        """Has SQS move everything back by itself; how many are moved, of how many, each second until that is done.

        Stops the task when it is closed. Raises `TaskNotThere` where the engine has none, `NotDone` when it ends otherwise.
        """
        assert self.lane.source is not None
        source, target = self._arn(self.lane.failures), self._arn(self.lane.source)
        limit = {} if rate is None else {"MaxNumberOfMessagesPerSecond": rate}
        try:
            # Just after the start the newest task that SQS tells of may still be an earlier one, which is over.
            earlier = self._moves(source)
            # To where is said as well: SQS knows it only of messages that it has moved here itself.
            handle = self.sqs.start_message_move_task(SourceArn=source, DestinationArn=target, **limit)["TaskHandle"]
        except ClientError as error:
            if error.response["Error"]["Code"] in _NO_TASKS:
                raise TaskNotThere from error
            raise
        is_over = False
        try:
            for _ in range(int(_TASK_S_MAX / _POLL_S)):
                tasks = self._moves(source)
                is_told = bool(tasks) and _started(tasks) > _started(earlier)
                told = tasks[0] if is_told else {"Status": "RUNNING"}
                moved = int(told.get("ApproximateNumberOfMessagesMoved", 0))
                is_over = told["Status"] not in ("RUNNING", "CANCELLING")
                if told["Status"] in ("FAILED", "CANCELLED"):
                    why = told.get("FailureReason", "somebody has stopped it")
                    raise NotDone(f"The move ended after {moved:,} messages: {why}.")
                yield moved, int(told.get("ApproximateNumberOfMessagesToMove", moved))
                if is_over:
                    return
                self.sleep(_POLL_S)
        finally:
            if not is_over:
                self.sqs.cancel_message_move_task(TaskHandle=handle)

    # --- requests ------------------------------------------------------------------------------------------------------

    def _receive(self, count: int, *, hidden: int) -> list[Failure]:
        answer = self.sqs.receive_message(
            QueueUrl=self.lane.failures,
            MaxNumberOfMessages=min(count, limits.MESSAGES_A_CALL_MAX),
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount", "DeadLetterQueueSourceArn"],
            MessageAttributeNames=["All"],
            VisibilityTimeout=hidden,
            WaitTimeSeconds=_WAIT_S,
        )
        return [_failure(message) for message in answer.get("Messages", [])]

    def _moves(self, source: str) -> list[dict[str, Any]]:
        """The newest task of a queue, if there was one."""
        tasks: list[dict[str, Any]] = self.sqs.list_message_move_tasks(SourceArn=source, MaxResults=1).get(
            "Results", []
        )
        return tasks

    def _arn(self, url: str) -> str:
        return self._attributes(url, "QueueArn")["QueueArn"]

    def _attributes(self, url: str, *names: str) -> dict[str, str]:
        found: dict[str, str] = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
        return found


def _started(tasks: Sequence[Mapping[str, Any]]) -> int:
    # By the clock of SQS, in milliseconds: whoever waits here may have another.
    return int(tasks[0].get("StartedTimestamp", 0)) if tasks else -1


def _failure(message: Mapping[str, Any]) -> Failure:
    system = message["Attributes"]
    said = {name: str(value.get("StringValue", "")) for name, value in message.get("MessageAttributes", {}).items()}
    return Failure(
        id=message["MessageId"],
        body=message["Body"],
        sent_at=datetime.fromtimestamp(int(system["SentTimestamp"]) / 1_000, UTC),
        received=int(system["ApproximateReceiveCount"]),
        # SQS moved it here when nobody could say why. What is said on it is of another time, from before it was moved back.
        said={} if "DeadLetterQueueSourceArn" in system else said,
        handle=message["ReceiptHandle"],
    )


def _calls(failures: Sequence[Failure]) -> Iterator[Sequence[Failure]]:
    for start in range(0, len(failures), limits.MESSAGES_A_CALL_MAX):
        yield failures[start : start + limits.MESSAGES_A_CALL_MAX]
