"""One SQS queue, to send to. Reading from it is the platform's business."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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

    def send(
        self, bodies: Iterable[str], *, delay: timedelta = timedelta(), attributes: Mapping[str, str] | None = None
    ) -> None:
        """Sends every message, up to ten a call, and returns when the queue has them all; `attributes` say something about each
        of them. Raises `NotSent`."""
        assert delay <= limits.MESSAGE_DELAY_MAX
        if self._made is None:
            self._made = self._make()
        same: dict[str, Any] = {"DelaySeconds": int(delay.total_seconds())}
        said = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
        if said:
            same["MessageAttributes"] = said
        more_bytes = sum(len((name + "".join(value.values())).encode()) for name, value in said.items())
        for batch in batches(bodies, more_bytes=more_bytes):
            self._send([{"Id": str(place), "MessageBody": body, **same} for place, body in enumerate(batch)])

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


def batches(bodies: Iterable[str], *, more_bytes: int = 0) -> Iterator[list[str]]:
    """As many of the messages in one call as it takes; each has `more_bytes` besides its text. One too large goes alone."""
    batch: list[str] = []
    total = 0
    for body in bodies:
        size = len(body.encode()) + more_bytes
        if batch and (len(batch) == limits.MESSAGES_A_CALL_MAX or total + size > limits.MESSAGE_CALL_BYTES_MAX):
            yield batch
            batch, total = [], 0
        batch.append(body)
        total += size
    if batch:
        yield batch
