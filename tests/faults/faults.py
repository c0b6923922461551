"""All that can go wrong between a client and its table: throttling, lost and late answers, stale reads, and the client's own end.

`Network.wire(client)` is a client's connection; a `Plan` says which of its requests meet which `Fault`. The faults are those of
DynamoDB's documentation and of botocore's retries; what they mean for the table is said in `befall` alone, for the random, the
scripted and the exhaustive search alike.
"""

import marshal
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn, Protocol
from uuid import uuid4

from tests.faults.engine import READS, WRITES, Answer, Answering, Dispatcher, Request, cancellation, refusal
from tests.faults.story import Story


class Fault(Enum):
    """What happens to one request. The value is how a story calls it."""

    # Nothing is carried out, and the client hears so: more than the partition takes, another transaction on the item.
    THROTTLED = "throttled"
    CONFLICT = "conflict"
    # Nothing is carried out, and the client cannot know: a server error, a time-out, no connection.
    BROKEN_BEFORE = "500 before"
    NEVER_ARRIVES = "never arrives"
    NOT_CONNECTED = "not connected"
    # It is carried out, and the client cannot know.
    BROKEN_AFTER = "500 after"
    ANSWER_LOST = "answer lost"
    # It is carried out when nobody waits for it any more: a zombie. The client has seen a time-out.
    ARRIVES_LATE = "arrives late"
    # It is carried out and answered, and arrives once more later: an attempt that botocore had given up.
    ARRIVES_TWICE = "arrives twice"
    # The first answer is lost, botocore sends the same request again, and its client sees the second answer only.
    RETRIED = "retried"
    # An eventually consistent read that misses the newest writes.
    STALE = "stale"
    # The client's process ends.
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"


F = Fault
_OF_ALL = (F.THROTTLED, F.BROKEN_BEFORE, F.NEVER_ARRIVES, F.NOT_CONNECTED, F.CRASH_BEFORE)
_OF_WRITES = (
    *_OF_ALL,
    F.CONFLICT,
    F.BROKEN_AFTER,
    F.ANSWER_LOST,
    F.ARRIVES_LATE,
    F.ARRIVES_TWICE,
    F.RETRIED,
    F.CRASH_AFTER,
)
# No transaction is ever about a row that is put without a condition: days to look at, notes of staff.
_OF_ROWS = tuple(fault for fault in _OF_WRITES if fault is not F.CONFLICT)
_OF_STALE_READS = (*_OF_ALL, F.STALE)


def possible(operation: str, request: Request) -> tuple[Fault, ...]:
    """The faults that a request can meet."""
    if operation in WRITES:
        return _OF_ROWS if operation == "PutItem" and "ConditionExpression" not in request else _OF_WRITES
    assert operation in READS
    return _OF_ALL if request.get("ConsistentRead") else _OF_STALE_READS


class Line(Dispatcher, Protocol):
    """A client's connection in these tests: it can also wait."""

    def pause(self) -> None:
        """Lets others go first, as a store does that waits before it tries again."""


class Crashed(BaseException):
    """The client's process ended here. No `except Exception` sees it, as no code of a dead process runs."""


# --- what a fault is --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a request: the client's answer, or none when it is gone (`crashed`) or sends `again`.

    `late` is on its way still, and will be carried out by whoever brings it to the table.
    """

    answer: Answer | None
    again: Request | None = None
    late: Request | None = None
    crashed: bool = False


TIMED_OUT = Answer("timed out", {})
# Several codes say "too much"; all of them are thrown before anything is done.
_THROTTLES = ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded")


def befall(
    fault: Fault | None,
    table: Answering,
    operation: str,
    request: Request,
    *,
    token: str,
    pick: Callable[[int], int] = lambda _: 0,
) -> Came:
    """Carries a request out, or not, as the fault has it.

    `token` is what botocore would send along with every attempt of this transaction; `pick(n)` chooses one of `n` variants.
    """
    match fault:
        case None:
            return Came(table.answer(operation, request))
        case F.STALE:
            behind = 1 + pick(max(1, min(STALE_WRITES_MAX, table.writes(_partition_of(operation, request)))))
            return Came(table.answer(operation, request, behind=behind))
        case F.THROTTLED:
            return Came(_throttled(operation, request, pick))
        case F.CONFLICT:
            return Came(_conflict(operation, request, pick))
        case F.BROKEN_BEFORE:
            return Came(_broken(pick))
        case F.NEVER_ARRIVES:
            return Came(TIMED_OUT)
        case F.NOT_CONNECTED:
            return Came(Answer(("not connected", "unreachable")[pick(2)], {}))
        case F.BROKEN_AFTER:
            table.answer(operation, request)
            return Came(_broken(pick))
        case F.ANSWER_LOST:
            table.answer(operation, request)
            return Came(TIMED_OUT)
        case F.ARRIVES_LATE:
            return Came(TIMED_OUT, late=_attempt(operation, request, token))
        case F.ARRIVES_TWICE:
            attempt = _attempt(operation, request, token)
            return Came(table.answer(operation, attempt), late=attempt)
        case F.RETRIED:
            attempt = _attempt(operation, request, token)
            table.answer(operation, attempt)
            return Came(None, again=attempt)
        case F.CRASH_BEFORE:
            return Came(None, crashed=True)
        case F.CRASH_AFTER:
            table.answer(operation, request)
            return Came(None, crashed=True)


# The replicas of a partition are rarely further apart than this; in these tests many writes are a short time.
STALE_WRITES_MAX = 4


def _throttled(operation: str, request: Request, pick: Callable[[int], int]) -> Answer:
    if operation != "TransactWriteItems" or pick(2) == 0:
        return refusal(_THROTTLES[pick(len(_THROTTLES))], "Rate exceeded")
    return _one_reason(request, ("ThrottlingError", "ProvisionedThroughputExceeded")[pick(2)], pick)


def _conflict(operation: str, request: Request, pick: Callable[[int], int]) -> Answer:
    if operation != "TransactWriteItems":
        return refusal("TransactionConflictException", "Transaction is ongoing for the item")
    return _one_reason(request, "TransactionConflict", pick)


def _one_reason(request: Request, code: str, pick: Callable[[int], int]) -> Answer:
    rows = len(request["TransactItems"])
    reasons = [{"Code": "None"} for _ in range(rows)]
    reasons[pick(rows)] = {"Code": code, "Message": "Transaction is ongoing for the item"}
    return cancellation(reasons)


def _broken(pick: Callable[[int], int]) -> Answer:
    code, status = (("InternalServerError", 500), ("ServiceUnavailable", 503))[pick(2)]
    return refusal(code, "The request could not be processed because of an internal error", status=status)


def _attempt(operation: str, request: Request, token: str) -> Request:
    """The request as it stays on the wire: whatever its caller does to it, and with the token that botocore adds."""
    copy: Request = marshal.loads(marshal.dumps(request))
    if operation == "TransactWriteItems":
        copy.setdefault("ClientRequestToken", token)
    return copy


def _partition_of(operation: str, request: Request) -> str:
    if operation == "GetItem":
        return str(request["Key"]["PK"]["S"])
    if operation == "Query":
        return str(request["ExpressionAttributeValues"][request["KeyConditionExpression"].split()[2]]["S"])
    ((_, asked),) = request["RequestItems"].items()
    return str(asked["Keys"][0]["PK"]["S"])


# --- plans ------------------------------------------------------------------------------------------------------------


class Plan(Protocol):
    """Which requests meet which fault."""

    def fault(self, client: str, possible: tuple[Fault, ...]) -> Fault | None:
        """What happens to the next request of this client."""

    def pick(self, options: int) -> int:
        """One of the variants of a fault."""

    def delay(self) -> int:
        """How many requests of anybody a late one lets pass before it arrives."""


# Of all requests, how many meet each fault: far more than in a bad week of AWS, little enough that most deliveries get through.
RATES: Mapping[Fault, float] = {
    F.THROTTLED: 0.01,
    F.CONFLICT: 0.01,
    F.BROKEN_BEFORE: 0.005,
    F.NEVER_ARRIVES: 0.005,
    F.NOT_CONNECTED: 0.005,
    F.BROKEN_AFTER: 0.01,
    F.ANSWER_LOST: 0.02,
    F.ARRIVES_LATE: 0.02,
    F.ARRIVES_TWICE: 0.01,
    F.RETRIED: 0.02,
    F.STALE: 0.2,
    F.CRASH_BEFORE: 0.01,
    F.CRASH_AFTER: 0.02,
}
# Most late requests are soon there; some come when everything they were about is long over.
DELAY_MAX = 1_000


class Chance:
    """Faults at random: each request meets `fault` with the probability `rates[fault]`, where it can meet it."""

    def __init__(self, rng: random.Random, rates: Mapping[Fault, float] = RATES) -> None:
        self._rng = rng
        self._rates = dict(rates)
        self._tables: dict[tuple[Fault, ...], list[tuple[float, Fault]]] = {}

    def fault(self, client: str, possible: tuple[Fault, ...]) -> Fault | None:
        table = self._tables.get(possible)
        if table is None:
            table, total = [], 0.0
            for each in possible:
                if rate := self._rates.get(each, 0):
                    total += rate
                    table.append((total, each))
            assert total < 1
            self._tables[possible] = table
        roll = self._rng.random()
        if not table or roll >= table[-1][0]:
            return None
        return next(each for bound, each in table if roll < bound)

    def pick(self, options: int) -> int:
        return self._rng.randrange(options)

    def delay(self) -> int:
        return int(DELAY_MAX ** self._rng.random())


class Script:
    """Exactly these faults: `{("c1", 3): Fault.ANSWER_LOST}` is what happens to the third request of c1, counted from 1."""

    def __init__(self, faults: Mapping[tuple[str, int], Fault] | None = None, *, delay: int = 1) -> None:
        self._faults = dict(faults or {})
        self._delay = delay
        self._seen: Counter[str] = Counter()

    def fault(self, client: str, possible: tuple[Fault, ...]) -> Fault | None:
        self._seen[client] += 1
        planned = self._faults.pop((client, self._seen[client]), None)
        assert planned is None or planned in possible, f"request {self._seen[client]} of {client} cannot meet {planned}"
        return planned

    def pick(self, options: int) -> int:
        return 0

    def delay(self) -> int:
        return self._delay


# --- the network ------------------------------------------------------------------------------------------------------


class Network:
    """The way from clients to one table, for one request at a time.

    `stop(client)` is called before every request: there, others may go first (see `schedule`).
    `counts` says how often each fault has happened; `late` are the requests that are still on their way.
    """

    def __init__(
        self,
        table: Answering,
        plan: Plan | None = None,
        *,
        stop: Callable[[str], None] = lambda _: None,
        story: Story | None = None,
    ) -> None:
        self.table = table
        self.plan = plan or Script()
        self.stop = stop
        self.story = story
        self.requests = 0
        # Of another network to the same table nobody's token is ours, as it is with botocore's.
        self._tokens = str(uuid4())
        self.counts: Counter[Fault] = Counter()
        # When it arrives, who sent it, what it is.
        self.late: list[tuple[int, str, str, Request]] = []

    def wire(self, client: str) -> "Wire":
        """The connection of a client's process."""
        return Wire(self, client)

    def request(self, client: str, operation: str, request: Request) -> Came:
        """Brings one request to the table, and before it those that are late enough."""
        self.requests += 1
        if self.late:
            self.arrive(self.requests)
        fault = self.plan.fault(client, possible(operation, request))
        came = befall(
            fault, self.table, operation, request, token=f"{self._tokens}-{self.requests}", pick=self.plan.pick
        )
        if fault is not None:
            self.counts[fault] += 1
            if came.late is not None:
                self.late.append((self.requests + self.plan.delay(), client, operation, came.late))
        if self.story is not None:
            self.story.request(client, operation, request, fault.value if fault else "", came.answer)
        return came

    def arrive(self, until: int | None = None) -> None:
        """Brings the late requests to the table whose time has come; without a time, all of them."""
        due = [each for each in self.late if until is None or each[0] <= until]
        self.late = [each for each in self.late if until is not None and each[0] > until]
        for _, client, operation, request in sorted(due, key=lambda each: each[0]):
            answer = self.table.answer(operation, request)
            if self.story is not None:
                self.story.request(client, operation, request, "arrives now", answer)


class Wire:
    """A client's connection, `dispatch` like PynamoDB's. It ends with its process: whoever is `Crashed` needs a new one."""

    def __init__(self, network: Network, client: str) -> None:
        self._network = network
        self._client = client
        self._gone = False

    def dispatch(self, operation_name: str, operation_kwargs: Request) -> dict[str, Any]:
        request = operation_kwargs
        while True:
            self.pause()
            came = self._network.request(self._client, operation_name, request)
            if came.crashed:
                self._end()
            if came.answer is not None:
                return came.answer.give(operation_name, operation_kwargs)
            assert came.again is not None
            request = came.again

    def pause(self) -> None:
        """Lets others go first, as a store does that waits before it tries again."""
        if self._gone:
            self._end()
        self._network.stop(self._client)

    def _end(self) -> NoReturn:
        self._gone = True
        raise Crashed
