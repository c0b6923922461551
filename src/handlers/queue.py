"""One SQS queue, to send to. Reading from it is the platform's business."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from domain import limits
from handlers import aws

# Full jitter between calls for what a call has left.
_PAUSE_FIRST_S = 0.1


class NotSent(Exception):
    """The queue did not take every message. Those before may be there; all of them can be sent again."""


class Queue:
    """The queue at `url`; its client is made when it is first needed. `pause` sleeps that many seconds."""

    def __init__(
        self, url: str, *, client: Callable[[], Any] | None = None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = url
        self._make = client or (lambda: aws.connect("sqs"))
        self._made: Any = None
        self._retrying = Retrying(
            stop=stop_after_attempt(limits.MESSAGE_CALLS_MAX),
            wait=wait_random_exponential(multiplier=_PAUSE_FIRST_S),
            retry=retry_if_exception_type(NotSent),
            sleep=pause,
            reraise=True,
        )

    def send(self, bodies: Iterable[str], *, delay: timedelta = timedelta()) -> None:
        """Sends every message, ten a call, and returns when the queue has them all. Raises `NotSent`."""
        assert delay <= limits.MESSAGE_DELAY_MAX
        if self._made is None:
            self._made = self._make()
        for batch in _batches(bodies):
            self._send(
                [
                    {"Id": str(place), "MessageBody": body, "DelaySeconds": int(delay.total_seconds())}
                    for place, body in enumerate(batch)
                ]
            )

    def _send(self, entries: list[dict[str, Any]]) -> None:
        waiting = {entry["Id"]: entry for entry in entries}

        def call() -> None:
            answer = self._made.send_message_batch(QueueUrl=self._url, Entries=list(waiting.values()))
            failed = {failure["Id"]: failure["Code"] for failure in answer.get("Failed", [])}
            for number in waiting.keys() - failed.keys():
                del waiting[number]
            if waiting:
                raise NotSent(", ".join(sorted(set(failed.values()))))

        self._retrying(call)


def _batches(bodies: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for body in bodies:
        batch.append(body)
        if len(batch) == limits.MESSAGES_A_CALL_MAX:
            yield batch
            batch = []
    if batch:
        yield batch
