"""One SQS queue, to send to. Reading from it is the platform's business."""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import botocore.session
from botocore.config import Config

from domain import limits

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
        self._make = client or connect
        self._made: Any = None
        self._pause = pause

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
        for attempt in range(limits.MESSAGE_CALLS_MAX):
            answer = self._made.send_message_batch(QueueUrl=self._url, Entries=entries)
            failed = {failure["Id"]: failure["Code"] for failure in answer.get("Failed", [])}
            entries = [entry for entry in entries if entry["Id"] in failed]
            if not entries:
                return
            self._pause(random.uniform(0, _PAUSE_FIRST_S * 2**attempt))  # noqa: S311 (spreading, not secrecy)
        raise NotSent(", ".join(sorted(set(failed.values()))))


def connect() -> Any:
    """A client of SQS where the environment says."""
    # Lambda sets both; people set one or the other, and the client looks at the second only.
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    config = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 4, "mode": "standard"})
    return botocore.session.get_session().create_client("sqs", region_name=region, config=config)


def _batches(bodies: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for body in bodies:
        batch.append(body)
        if len(batch) == limits.MESSAGES_A_CALL_MAX:
            yield batch
            batch = []
    if batch:
        yield batch
