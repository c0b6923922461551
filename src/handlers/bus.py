"""The event bus: events put on it in the order of their accounts, whatever part of a call fails.

Events of one account form a *lane*. No two of a lane are in the same call, and the next one is sent when the one before is on the
bus for sure: a call that was accepted in part cannot turn them round. An event may be put twice, when an answer was lost; when it
is there for the first time, all before it are.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from domain import limits
from domain.announcements import SOURCE, Event

# The same call may succeed in a moment. Anything else is a mistake of ours, of the event or of the permissions.
_RETRYABLE = frozenset(
    {
        "InternalException",
        "InternalFailure",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# Full jitter, as long as nothing gets through.
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.1, 5.0
# How PutEvents counts a time.
_TIME_BYTES = 14

Lane = Sequence[Event]


@dataclass(slots=True)
class Sent:
    """How far each lane got, by its place: `counts` of its events are on the bus. `errors` says why the others are not, and
    `stuck` are the lanes whose next event the bus will not take, however often it is sent."""

    counts: list[int]
    errors: dict[int, str] = field(default_factory=dict)
    stuck: set[int] = field(default_factory=set)


class Bus:
    """One EventBridge bus. `pause` sleeps that many seconds."""

    def __init__(self, client: Any, name: str, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._name = name
        self._pause = pause

    def send(self, lanes: Sequence[Lane], *, until: float) -> Sent:
        """Puts each lane's events on the bus in order, lanes side by side; tries again until `until` on the monotonic clock."""
        sent = Sent([0] * len(lanes))
        in_vain = 0
        with ThreadPoolExecutor(limits.EVENT_CALLS_AT_ONCE_MAX) as threads:
            while waiting := [
                lane for lane, events in enumerate(lanes) if sent.counts[lane] < len(events) and lane not in sent.stuck
            ]:
                calls = list(_calls([(lane, self._entry(lanes[lane][sent.counts[lane]])) for lane in waiting]))
                answers = threads.map(self._put, [[entry for _, entry in call] for call in calls])
                is_progress = is_failure = False
                for call, codes in zip(calls, answers, strict=True):
                    for (lane, _), code in zip(call, codes, strict=True):
                        if code is None:
                            sent.counts[lane] += 1
                            sent.errors.pop(lane, None)
                            is_progress = True
                            continue
                        sent.errors[lane] = code
                        if code not in _RETRYABLE:
                            sent.stuck.add(lane)
                        is_failure = True
                if not is_failure:
                    continue
                in_vain = 0 if is_progress else in_vain + 1
                pause = random.uniform(0, min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2 ** min(in_vain, 10)))  # noqa: S311 (spreading, not secrecy)
                if in_vain >= limits.EVENT_ROUNDS_IN_VAIN_MAX or time.monotonic() + pause >= until:
                    break
                self._pause(pause)
        return sent

    def _entry(self, event: Event) -> dict[str, Any]:
        return {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": event.type,
            "Time": event.at,
            "Detail": event.body,
        }

    def _put(self, entries: list[dict[str, Any]]) -> list[str | None]:
        """One call: for each entry None when it was taken, and else the code of its error."""
        try:
            answer = self._client.put_events(Entries=entries)
        except ClientError as error:
            is_theirs = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
            return ["InternalFailure" if is_theirs else error.response["Error"]["Code"]] * len(entries)
        except BotoCoreError:
            # No answer, so nobody knows: sent again, it is the same event.
            return ["ServiceUnavailable"] * len(entries)
        return [result.get("ErrorCode") for result in answer["Entries"]]


def size_of(entry: dict[str, Any]) -> int:
    """What PutEvents counts of an entry, in bytes."""
    return _TIME_BYTES + sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))


def _calls(entries: list[tuple[int, dict[str, Any]]]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """The entries in as few calls as the limits of one allow, in their order."""
    call: list[tuple[int, dict[str, Any]]] = []
    total = 0
    for lane, entry in entries:
        size = size_of(entry)
        if call and (len(call) == limits.EVENTS_A_CALL_MAX or total + size > limits.EVENT_CALL_BYTES_MAX):
            yield call
            call, total = [], 0
        call.append((lane, entry))
        total += size
    if call:
        yield call
