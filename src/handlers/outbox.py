"""Many messages for one queue, while somebody waits for the answer: in calls as full as they may be, several at a time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import BotoCoreError, ClientError

from domain import limits
from domain.refusals import OutcomeUnknown
from handlers.queue import NotSent, Queue, batches


def send(queue: Queue, messages: Sequence[str]) -> None:
    """Sends every message, and returns when the queue has them all. Refuses `OutcomeUnknown`: then any of them may be there, and
    all can be sent again."""
    first, *others = batches(messages) if messages else [[]]
    try:
        # The first one makes the client.
        queue.send(first)
        if others:
            with ThreadPoolExecutor(min(limits.MESSAGE_CALLS_AT_ONCE_MAX, len(others))) as threads:
                list(threads.map(queue.send, others))
    except (NotSent, BotoCoreError, ClientError) as error:
        raise OutcomeUnknown("Not everything could be queued. Retry with the same key.") from error
