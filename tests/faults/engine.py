"""DynamoDB inside this process: the requests that the store makes, answered as DynamoDB answers them, a hundred times as fast.

A search through interleavings needs millions of requests, and a table whose past can be asked for. `test_engine.py` holds this
table to MiniStack and DynamoDB Local, request by request, errors included. What is not modelled here (updates, filters, indexes,
reserved words, numbers that DynamoDB would rewrite) is an `AssertionError`: no test may be green by a guess.
"""

import marshal
import re
import threading
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol, cast

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from pynamodb.connection import Connection
from pynamodb.exceptions import CancellationReason, VerboseClientError

from bench.units import READ_UNIT_BYTES, WRITE_UNIT_BYTES

Item = dict[str, dict[str, Any]]
Request = dict[str, Any]

# Limits of AWS ("Quotas in Amazon DynamoDB"): bytes of an item, of the two keys, of a Query's page; items of one request.
ITEM_BYTES_MAX = 400 * 1024
KEY_BYTES_MAX = {"PK": 2_048, "SK": 1_024}
PAGE_BYTES_MAX = 1024 * 1024
TRANSACTION_ITEMS_MAX = 100
BATCH_KEYS_MAX = 100

READS = frozenset({"GetItem", "Query", "BatchGetItem"})
WRITES = frozenset({"PutItem", "DeleteItem", "TransactWriteItems"})


class Dispatcher(Protocol):
    """The one method of a PynamoDB connection that the store uses."""

    def dispatch(self, operation_name: str, operation_kwargs: Request) -> dict[str, Any]:
        """One request. Raises what PynamoDB's connection raises."""


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to, as plain data: it can be kept, compared, and given more than once.

    `kind` is `ok` (content: the response), `refused` (the error's response), or how the client lost it: `timed out` (it may
    have been carried out), `not connected` and `unreachable` (it was not).
    """

    kind: str
    content: dict[str, Any]

    @property
    def code(self) -> str:
        """The error's code; for what is no error of the table, the kind."""
        return str(self.content["Error"]["Code"]) if self.kind == "refused" else self.kind

    def give(self, operation: str, request: Request) -> dict[str, Any]:
        """Returns or raises, as PynamoDB's connection would."""
        match self.kind:
            case "ok":
                return self.content
            case "refused":
                raise _client_error(self.content, operation, request)
            case "timed out":
                raise ReadTimeoutError(endpoint_url="in-process", error="the answer was lost")
            case "not connected":
                raise ConnectTimeoutError(endpoint_url="in-process", error="no connection in time")
            case "unreachable":
                raise EndpointConnectionError(endpoint_url="in-process", error="nobody there")
        raise AssertionError(self.kind)


def refusal(code: str, message: str = "No.", *, status: int = 400, **more: Any) -> Answer:
    """An error's response, as botocore parses it."""
    metadata = {"RequestId": "in-process", "HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}
    return Answer("refused", {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata, **more})


def cancellation(reasons: list[dict[str, Any]]) -> Answer:
    """A transaction cancelled for these reasons, in the order of its items."""
    codes = ", ".join(reason["Code"] for reason in reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    return refusal("TransactionCanceledException", message, CancellationReasons=reasons)


def _client_error(response: dict[str, Any], operation: str, request: Request) -> VerboseClientError:
    """PynamoDB's error around botocore's, as `pynamodb.connection.Connection._make_api_call` makes it."""
    reasons = (
        CancellationReason(reason["Code"], reason.get("Message"), reason.get("Item"))
        if reason["Code"] != "None"
        else None
        for reason in response.get("CancellationReasons", [])
    )
    verbose = {"request_id": "in-process", "table_name": request.get("TableName")}
    error = VerboseClientError({"Error": response["Error"]}, operation, verbose, cancellation_reasons=reasons)
    error.__cause__ = ClientError(cast("Any", response), operation)
    return error


class Answering(Protocol):
    """A table that gives its answers as data, also those of a while ago."""

    def answer(self, operation: str, request: Request, *, behind: int = 0) -> Answer:
        """Carries the request out. A read `behind` n writes does not see the newest n writes of its partition."""

    def writes(self, partition: str) -> int:
        """How far `behind` a read of the partition can be."""


class Real:
    """A real table as data. Its past cannot be asked for: a network on it has no stale reads (see `Mirrored`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def answer(self, operation: str, request: Request, *, behind: int = 0) -> Answer:
        assert not behind, "a real table has no past that could be asked for"
        try:
            content = self._connection.dispatch(operation, dict(request))
        except VerboseClientError as error:
            return Answer("refused", dict(cast("ClientError", error.__cause__).response))
        return Answer("ok", content)

    def writes(self, partition: str) -> int:
        return 0


class Mirrored:
    """A real table, and beside it a `Dynamo` that is asked the same: their answers have to agree, and it knows the past.

    Nobody else may write to the real table, and its requests come one at a time.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._real = Real(connection)
        self.mirror = Dynamo(name)

    def answer(self, operation: str, request: Request, *, behind: int = 0) -> Answer:
        mirrored = self.mirror.answer(operation, request, behind=behind)
        if behind:
            return mirrored
        answer = self._real.answer(operation, request)
        ours, theirs = comparable(mirrored, request), comparable(answer, request)
        assert ours == theirs, f"{operation}: {ours} here, {theirs} there"
        return answer

    def writes(self, partition: str) -> int:
        return self.mirror.writes(partition)


def comparable(answer: Answer, request: Request) -> object:
    """What a caller may rely on: no messages, no billed units (local engines miscount them), no order of a set."""
    content = answer.content
    if answer.kind == "ok":
        said = {name: value for name, value in content.items() if name not in ("ConsumedCapacity", "ResponseMetadata")}
        # Whether a full page that ends exactly at a bound says that there may be more is up to the engine.
        if said.get("LastEvaluatedKey", {}).get("SK") in request.get("ExpressionAttributeValues", {}).values():
            del said["LastEvaluatedKey"]
        for table, items in said.get("Responses", {}).items():
            said["Responses"] = {table: sorted(items, key=lambda item: (item["PK"]["S"], item["SK"]["S"]))}
        return _in_order(said)
    reasons = [(reason["Code"], reason.get("Item")) for reason in content.get("CancellationReasons", [])]
    return _in_order([answer.code, content.get("Item"), reasons])


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: sorted(inner) if name == "SS" else _in_order(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_order(each) for each in value]
    return value


# --- the table --------------------------------------------------------------------------------------------------------

# An item as bytes nobody can change, and its size. Version 2 of the format says the same bytes for equal items.
_Stored = tuple[bytes, int]


@dataclass(slots=True)
class _Partition:
    items: dict[str, _Stored] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)  # Python compares text as UTF-8 does: by code point.
    log: list[tuple[str, _Stored | None, _Stored | None]] = field(default_factory=list)  # sort key, new, old
    # Part of a snapshot: to be copied before it is written to.
    frozen: bool = False
    # The name of this very history, for `Dynamo.identity`.
    name: int = 0

    def put(self, sk: str, new: _Stored | None) -> None:
        old = self.items.get(sk)
        if new == old:
            return
        self.log.append((sk, new, old))
        self.set(sk, new)

    def set(self, sk: str, new: _Stored | None) -> None:
        if new is None:
            del self.items[sk]
            del self.order[bisect_left(self.order, sk)]
            return
        if sk not in self.items:
            insort(self.order, sk)
        self.items[sk] = new

    def copy(self) -> "_Partition":
        return _Partition(dict(self.items), list(self.order), list(self.log), name=self.name)

    def before(self, writes: int) -> "_Partition":
        """As it was before its newest writes."""
        past = self.copy()
        for sk, _, old in reversed(self.log[len(self.log) - min(writes, len(self.log)) :]):
            past.set(sk, old)
        return past


_NOTHING = _Partition()

Snapshot = tuple[dict[str, _Partition], dict[str, bytes]]


class _Refused(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.code)
        self.answer = answer


class Dynamo:
    """One table with the keys `PK` and `SK`, behind `dispatch` as PynamoDB's connection has it.

    `calls` counts requests by operation; `read_units` and `write_units` are what AWS would bill (a refused condition too).
    """

    def __init__(self, name: str = "table") -> None:
        self.name = name
        self.calls: Counter[str] = Counter()
        self.read_units: float = 0
        self.write_units = 0
        self._partitions: dict[str, _Partition] = {}
        # Tokens of transactions that were carried out: the same one again is answered and changes nothing. DynamoDB forgets
        # them after ten minutes, which pass in no test.
        self._tokens: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._names: dict[Any, int] = {}

    def dispatch(self, operation_name: str, operation_kwargs: Request) -> dict[str, Any]:
        return self.answer(operation_name, operation_kwargs).give(operation_name, operation_kwargs)

    def answer(self, operation: str, request: Request, *, behind: int = 0) -> Answer:
        handler = _HANDLERS.get(operation)
        assert handler is not None, f"{operation} is not modelled"
        assert not behind or not request.get("ConsistentRead"), "a strong read is never behind"
        with self._lock:
            self.calls[operation] += 1
            try:
                return Answer("ok", handler(self, request, behind) if behind else handler(self, request))
            except _Refused as refused:
                return refused.answer

    # --- looking past the requests ------------------------------------------------------------------------------------

    def items(self) -> list[Item]:
        """Every item, by its key."""
        return [
            marshal.loads(part.items[sk][0])
            for _, part in sorted(self._partitions.items(), key=lambda entry: entry[0])
            for sk in part.order
        ]

    def contents(self) -> dict[tuple[str, str], Item]:
        """Every item by its key."""
        return {(item["PK"]["S"], item["SK"]["S"]): item for item in self.items()}

    def writes(self, partition: str) -> int:
        """How often anything in the partition has changed."""
        return len(self._partitions.get(partition, _NOTHING).log)

    def snapshot(self) -> Snapshot:
        """All there is, to come back to with `restore`; counters are not part of it."""
        for part in self._partitions.values():
            part.frozen = True
        return dict(self._partitions), dict(self._tokens)

    def restore(self, snapshot: Snapshot) -> None:
        self._partitions = dict(snapshot[0])
        self._tokens = dict(snapshot[1])

    def identity(self) -> tuple[Any, ...]:
        """Equal for equal pasts of this object, different for different ones: the same writes to each partition, in order."""
        pasts = sorted((pk, part.name) for pk, part in self._partitions.items() if part.log)
        return (*pasts, *sorted(self._tokens))

    # --- requests -----------------------------------------------------------------------------------------------------

    def _get(self, request: Request, behind: int = 0) -> dict[str, Any]:
        self._expect(request, _READ | {"Key"})
        pk, sk = _key(request["Key"], alone=True)
        found = self._partition(pk, behind).items.get(sk)
        self._bill_read(found[1] if found else 0, request)
        return {"Item": marshal.loads(found[0])} if found else {}

    def _query(self, request: Request, behind: int = 0) -> dict[str, Any]:
        self._expect(request, _READ | _QUERY)
        condition = _key_condition(request["KeyConditionExpression"])
        pk, operands = condition.resolve(request)
        part = self._partition(pk, behind)
        low, high = condition.range(part.order, operands)
        descending = not request.get("ScanIndexForward", True)
        if start := request.get("ExclusiveStartKey"):
            start_pk, start_sk = _key(start, alone=True)
            if start_pk != pk:
                raise _invalid("The provided starting key is outside query boundaries")
            low, high = (
                (low, min(high, bisect_left(part.order, start_sk)))
                if descending
                else (max(low, bisect_right(part.order, start_sk)), high)
            )
        limit = request.get("Limit", len(part.order) + 1)
        if limit < 1:
            raise _invalid("Limit must be at least 1")
        sort_keys = (
            part.order[max(low, high - limit) : high][::-1] if descending else part.order[low : min(high, low + limit)]
        )
        found = [part.items[sk] for sk in sort_keys]
        size = sum(stored[1] for stored in found)
        assert size < PAGE_BYTES_MAX, "pages that DynamoDB would cut are not modelled"
        self._bill_read(size, request)
        items = [marshal.loads(data) for data, _ in found]
        answer = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
        if len(items) == limit:
            answer["LastEvaluatedKey"] = {"PK": {"S": pk}, "SK": {"S": sort_keys[-1]}}
        return answer

    def _batch_get(self, request: Request, behind: int = 0) -> dict[str, Any]:
        assert request.keys() <= {"RequestItems", "ReturnConsumedCapacity"}, "an option that is not modelled"
        ((table, asked),) = request["RequestItems"].items()
        self._expect({"TableName": table, **asked}, _READ | {"Keys"})
        keys = [_key(each, alone=True) for each in asked["Keys"]]
        if len(set(keys)) != len(keys):
            raise _invalid("Provided list of item keys contains duplicates")
        if not 1 <= len(keys) <= BATCH_KEYS_MAX:
            raise _invalid("Too many items requested for the BatchGetItem call")
        found = [self._partition(pk, behind).items.get(sk) for pk, sk in keys]
        for stored in found:
            self._bill_read(stored[1] if stored else 0, asked)
        return {"Responses": {table: [marshal.loads(stored[0]) for stored in found if stored]}, "UnprocessedKeys": {}}

    def _put(self, request: Request) -> dict[str, Any]:
        self._expect(request, _WRITE | {"Item", "ReturnValues"})
        return self._write(request, *self._stored(request["Item"]))

    def _delete(self, request: Request) -> dict[str, Any]:
        self._expect(request, _WRITE | {"Key", "ReturnValues"})
        return self._write(request, *_key(request["Key"], alone=True), None)

    def _write(self, request: Request, pk: str, sk: str, new: _Stored | None) -> dict[str, Any]:
        condition = _condition_of(request)
        old = self._partition(pk).items.get(sk)
        self._bill_write(old, new)
        if not condition(old):
            item = {"Item": marshal.loads(old[0])} if old and _wants_old(request) else {}
            raise _Refused(refusal("ConditionalCheckFailedException", "The conditional request failed", **item))
        self._set(pk, sk, new)
        returned = request.get("ReturnValues", "NONE")
        assert returned in {"NONE", "ALL_OLD"}, f"{returned} is not modelled"
        return {"Attributes": marshal.loads(old[0])} if old and returned == "ALL_OLD" else {}

    def _transact(self, request: Request) -> dict[str, Any]:
        options = {"TransactItems", "ClientRequestToken", "ReturnConsumedCapacity"}
        assert request.keys() <= options, "an option that is not modelled"
        token = request.get("ClientRequestToken")
        if token is not None:
            asked = marshal.dumps(request["TransactItems"], 2)
            before = self._tokens.get(token)
            if before is not None:
                if before != asked:
                    raise _Refused(refusal("IdempotentParameterMismatchException", ""))
                return {}
        steps = [self._step(action, body) for each in request["TransactItems"] for action, body in each.items()]
        if len({(pk, sk) for _, _, pk, sk, _ in steps}) != len(steps):
            raise _invalid("Transaction request cannot include multiple operations on one item")
        if not 1 <= len(steps) <= TRANSACTION_ITEMS_MAX:
            raise _invalid("Member must have length less than or equal to 100")
        reasons = [self._judge(*step) for step in steps]
        if any(reason["Code"] != "None" for reason in reasons):
            raise _Refused(cancellation(reasons))
        for action, _, pk, sk, new in steps:
            if action != "ConditionCheck":
                self._set(pk, sk, new)
        if token is not None:
            self._tokens[token] = asked
        return {}

    def _step(self, action: str, body: Request) -> tuple[str, Request, str, str, _Stored | None]:
        match action:
            case "Put":
                self._expect(body, _WRITE | {"Item"})
                return action, body, *self._stored(body["Item"])
            case "Delete" | "ConditionCheck":
                self._expect(body, _WRITE | {"Key"})
                return action, body, *_key(body["Key"], alone=True), None
        raise AssertionError(f"{action} in a transaction is not modelled")

    def _judge(self, action: str, body: Request, pk: str, sk: str, new: _Stored | None) -> dict[str, Any]:
        condition = _condition_of(body)
        old = self._partition(pk).items.get(sk)
        self._bill_write(old, new, transactional=True)
        if condition(old):
            return {"Code": "None"}
        item = {"Item": marshal.loads(old[0])} if old and _wants_old(body) else {}
        return {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", **item}

    # --- storing ------------------------------------------------------------------------------------------------------

    def _expect(self, request: Request, known: Collection[str]) -> None:
        for option in request:
            assert option in known, f"{option} is not modelled"
        if request["TableName"] != self.name:
            raise _Refused(refusal("ResourceNotFoundException", "Requested resource not found"))

    def _partition(self, pk: str, behind: int = 0) -> _Partition:
        part = self._partitions.get(pk, _NOTHING)
        return part.before(behind) if behind else part

    def _stored(self, item: Item) -> tuple[str, str, _Stored]:
        pk, sk = _key(item)
        data = marshal.dumps(item, 2)
        size = _item_bytes(data)
        if size > ITEM_BYTES_MAX:
            raise _invalid("Item size has exceeded the maximum allowed size")
        return pk, sk, (data, size)

    def _set(self, pk: str, sk: str, new: _Stored | None) -> None:
        part = self._partitions.get(pk)
        if part is None:
            part = self._partitions[pk] = _Partition()
        elif part.frozen:
            part = self._partitions[pk] = part.copy()
        if new is None and sk not in part.items:
            return
        length = len(part.log)
        part.put(sk, new)
        if len(part.log) > length:
            # Every history has a number of its own: the number of what came before, and what was written then.
            part.name = self._names.setdefault((part.name, sk, new), len(self._names) + 1)

    def _bill_read(self, size: int, request: Request) -> None:
        units = max(1, -(-size // READ_UNIT_BYTES))
        self.read_units += units if request.get("ConsistentRead") else units / 2

    def _bill_write(self, old: _Stored | None, new: _Stored | None, *, transactional: bool = False) -> None:
        size = max(old[1] if old else 0, new[1] if new else 0)
        self.write_units += max(1, -(-size // WRITE_UNIT_BYTES)) * (2 if transactional else 1)


_HANDLERS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "GetItem": Dynamo._get,
    "Query": Dynamo._query,
    "BatchGetItem": Dynamo._batch_get,
    "PutItem": Dynamo._put,
    "DeleteItem": Dynamo._delete,
    "TransactWriteItems": Dynamo._transact,
}
_READ = frozenset({"TableName", "ConsistentRead", "ReturnConsumedCapacity"})
_NAMES = {"ExpressionAttributeNames", "ExpressionAttributeValues"}
_QUERY = frozenset({"KeyConditionExpression", "Limit", "ScanIndexForward", "ExclusiveStartKey", *_NAMES})
_WRITE = frozenset(
    {"TableName", "ConditionExpression", "ReturnValuesOnConditionCheckFailure", "ReturnConsumedCapacity", *_NAMES}
)


def _invalid(message: str) -> _Refused:
    return _Refused(refusal("ValidationException", message))


def _wants_old(request: Request) -> bool:
    return bool(request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD")


# --- values -----------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,37}|-?(0|[1-9][0-9]*)\.[0-9]*[1-9]")


def _key(item: Mapping[str, Any], *, alone: bool = False) -> tuple[str, str]:
    """The key in an item, or a key `alone`."""
    if (alone and len(item) != 2) or "PK" not in item or "SK" not in item:
        raise _invalid("The provided key element does not match the schema")
    return _key_text("PK", item["PK"]), _key_text("SK", item["SK"])


def _key_text(name: str, value: Mapping[str, Any]) -> str:
    text = value.get("S")
    if text is None:
        raise _invalid(f"Type mismatch for key {name}")
    if not text:
        raise _invalid(f"The AttributeValue for a key attribute cannot contain an empty string value. Key: {name}")
    assert type(text) is str
    # No character takes more than four bytes: only long keys are worth measuring.
    if len(text) * 4 > KEY_BYTES_MAX[name] and len(text.encode()) > KEY_BYTES_MAX[name]:
        raise _invalid(f"Size of {name} has exceeded the maximum size limit")
    return text


# A search through interleavings puts the same items again and again.
@lru_cache(maxsize=50_000)
def _item_bytes(data: bytes) -> int:
    return sum(len(name.encode()) + value_bytes(value) for name, value in marshal.loads(data).items())


def value_bytes(value: Mapping[str, Any]) -> int:
    """The billed size of a value, which has to be one that botocore sends and DynamoDB gives back unchanged.

    `bench.units` has the rule and its source; `test_engine.py` holds this to it.
    """
    ((kind, content),) = value.items()
    match kind:
        case "S":
            assert type(content) is str
            return len(content) if content.isascii() else len(content.encode())
        case "N":
            assert type(content) is str, f"numbers are text, not {content!r}"
            assert _NUMBER.fullmatch(content), f"DynamoDB would rewrite the number {content}"
            digits = content.lstrip("-").replace(".", "").strip("0")
            assert len(digits) <= 38
            return (len(digits) + 1) // 2 + 1 + (content[0] == "-")
        case "L":
            assert type(content) is list
            size = 3 + len(content)
            for element in content:
                size += value_bytes(element)
            return size
        case "M":
            assert type(content) is dict
            size = 3 + len(content)
            for name, element in content.items():
                size += len(name.encode()) + value_bytes(element)
            return size
        case "B":
            assert type(content) is bytes
            return len(content)
        case "BOOL":
            assert type(content) is bool
            return 1
        case "NULL":
            assert content is True
            return 1
        case "SS":
            # They come back in an order of DynamoDB's own, and never empty.
            assert content
            assert content == sorted(set(content)), "sets are sorted here"
            return sum(len(element.encode()) for element in content)
    raise AssertionError(f"{kind} is not modelled")


# --- key conditions ---------------------------------------------------------------------------------------------------

_PATH, _VALUE = r"([#\w]+)", r"(:\w+)"
_KEY_CONDITION = re.compile(
    rf"\s*{_PATH}\s*=\s*{_VALUE}(?:\s+AND\s+(?:{_PATH}\s+BETWEEN\s+{_VALUE}\s+AND\s+{_VALUE}"
    rf"|{_PATH}\s*(<=|>=|<|>|=)\s*{_VALUE}|begins_with\s*\(\s*{_PATH}\s*,\s*{_VALUE}\s*\)))?\s*"
)


@dataclass(frozen=True, slots=True)
class _KeyCondition:
    """`PK = :p`, and what is asked of `SK`: an operator and the names of its operands."""

    names: tuple[str, ...]
    partition: str
    operator: str | None
    operands: tuple[str, ...]

    def resolve(self, request: Request) -> tuple[str, list[str]]:
        """The partition asked for, and the operands."""
        names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
        _all_used(names, values, self.names, (self.partition, *self.operands))
        paths = [_name(path, names) for path in self.names]
        assert paths == ["PK", "SK"][: len(paths)], f"a key condition on {paths}"
        pk = _key_text("PK", values[self.partition])
        operands = [_key_text("SK", values[operand]) for operand in self.operands]
        if self.operator == "BETWEEN" and operands[0] > operands[1]:
            raise _invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
        return pk, operands

    def range(self, order: list[str], operands: list[str]) -> tuple[int, int]:
        """Where the range begins and ends in a list of sort keys."""
        match self.operator:
            case None:
                return 0, len(order)
            case "BETWEEN":
                return bisect_left(order, operands[0]), bisect_right(order, operands[1])
            case "=":
                return bisect_left(order, operands[0]), bisect_right(order, operands[0])
            case ">=":
                return bisect_left(order, operands[0]), len(order)
            case ">":
                return bisect_right(order, operands[0]), len(order)
            case "<":
                return 0, bisect_left(order, operands[0])
            case "<=":
                return 0, bisect_right(order, operands[0])
            case "begins_with":
                first = bisect_left(order, operands[0])
                return first, bisect_left(order, True, first, key=lambda sk: not sk.startswith(operands[0]))
        raise AssertionError(self.operator)


@lru_cache
def _key_condition(expression: str) -> _KeyCondition:
    found = _KEY_CONDITION.fullmatch(expression)
    assert found, f"the key condition {expression!r} is not modelled"
    partition_name, partition, between, low, high, compared, operator, operand, begun, prefix = found.groups()
    if between:
        return _KeyCondition((partition_name, between), partition, "BETWEEN", (low, high))
    if compared:
        return _KeyCondition((partition_name, compared), partition, operator, (operand,))
    if begun:
        return _KeyCondition((partition_name, begun), partition, "begins_with", (prefix,))
    return _KeyCondition((partition_name,), partition, None, ())


def _name(path: str, names: Mapping[str, str]) -> str:
    return names[path] if path.startswith("#") else path


def _all_used(
    names: Mapping[str, str], values: Mapping[str, Any], paths: Collection[str], operands: Collection[str]
) -> None:
    if not names and len(values) == len(operands) and all(operand in values for operand in operands):
        return
    aliases = {path for path in paths if path.startswith("#")}
    if missing := (aliases - names.keys()) | (set(operands) - values.keys()):
        raise _invalid(f"An expression attribute used in expression is not defined: {sorted(missing)}")
    if unused := (names.keys() - aliases) | (values.keys() - set(operands)):
        raise _invalid(f"Value provided unused in expressions: keys: {sorted(unused)}")


# --- conditions -------------------------------------------------------------------------------------------------------

_Names = Mapping[str, str]
_Values = Mapping[str, Mapping[str, Any]]
_Test = Callable[[Item, _Names, _Values], bool]
_TOKEN = re.compile(r"\s*(?:([()])|(<=|>=|<>|<|>|=)|(:\w+)|(#?\w+))")
_ORDERED = ("S", "N", "B")


def _condition_of(request: Request) -> Callable[[_Stored | None], bool]:
    """The request's condition, to be asked of what stands under its key now."""
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    expression = request.get("ConditionExpression")
    if expression is None:
        _all_used(names, values, (), ())
        return lambda _: True
    test, paths, operands = _condition(expression)
    if names or values or operands or "#" in expression:
        _all_used(names, values, paths, operands)
        for operand in operands:
            value_bytes(values[operand])
    return lambda old: test(marshal.loads(old[0]) if old else {}, names, values)


@lru_cache
def _condition(expression: str) -> tuple[_Test, frozenset[str], frozenset[str]]:
    """The test that an expression stands for, the paths and the values in it."""
    tokens, end = [], 0
    while expression[end:].strip():
        found = _TOKEN.match(expression, end)
        assert found, f"the condition {expression!r} is not modelled"
        tokens.append(found[0].strip())
        end = found.end()
    parser = _Parser(iter([*tokens, ""]))
    test = parser.either()
    assert parser.token == "", f"the condition {expression!r} is not modelled"
    return test, frozenset(parser.paths), frozenset(parser.operands)


class _Parser:
    """Recursive descent, in DynamoDB's precedence: comparisons and functions, NOT, AND, OR."""

    def __init__(self, tokens: Iterator[str]) -> None:
        self._tokens = tokens
        self.token = next(tokens)
        self.paths: set[str] = set()
        self.operands: set[str] = set()

    def take(self) -> str:
        taken, self.token = self.token, next(self._tokens, "")
        return taken

    def either(self) -> _Test:
        left = self.both()
        while self.token == "OR":
            self.take()
            left = _or(left, self.both())
        return left

    def both(self) -> _Test:
        left = self.negated()
        while self.token == "AND":
            self.take()
            left = _and(left, self.negated())
        return left

    def negated(self) -> _Test:
        if self.token == "NOT":
            self.take()
            return _not(self.negated())
        return self.simple()

    def simple(self) -> _Test:
        token = self.take()
        if token == "(":
            inner = self.either()
            assert self.take() == ")"
            return inner
        if token in ("attribute_exists", "attribute_not_exists"):
            assert self.take() == "("
            path = self.path(self.take())
            assert self.take() == ")"
            exists = _exists(path)
            return exists if token == "attribute_exists" else _not(exists)
        path, operator, operand = self.path(token), self.take(), self.take()
        assert operand.startswith(":"), f"comparing {path} with {operand} is not modelled"
        self.operands.add(operand)
        return _compared(path, operator, operand)

    def path(self, token: str) -> str:
        assert re.fullmatch(r"#?\w+", token), f"{token!r} in a condition is not modelled"
        self.paths.add(token)
        return token


def _or(left: _Test, right: _Test) -> _Test:
    return lambda item, names, values: left(item, names, values) or right(item, names, values)


def _and(left: _Test, right: _Test) -> _Test:
    return lambda item, names, values: left(item, names, values) and right(item, names, values)


def _not(inner: _Test) -> _Test:
    return lambda item, names, values: not inner(item, names, values)


def _exists(path: str) -> _Test:
    return lambda item, names, values: _name(path, names) in item


def _compared(path: str, operator: str, operand: str) -> _Test:
    def test(item: Item, names: _Names, values: _Values) -> bool:
        ((kind, content),) = values[operand].items()
        if operator not in ("=", "<>") and kind not in _ORDERED:
            raise _invalid(f"Invalid ConditionExpression: Incorrect operand type for operator {operator}")
        own = item.get(_name(path, names))
        # What is not there equals nothing, and is neither less nor more than anything.
        if own is None or kind not in own:
            return operator == "<>"
        ours, theirs = (Decimal(own[kind]), Decimal(content)) if kind == "N" else (own[kind], content)
        return _OPERATORS[operator](ours, theirs)

    return test


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda ours, theirs: bool(ours == theirs),
    "<>": lambda ours, theirs: bool(ours != theirs),
    "<": lambda ours, theirs: bool(ours < theirs),
    "<=": lambda ours, theirs: bool(ours <= theirs),
    ">": lambda ours, theirs: bool(ours > theirs),
    ">=": lambda ours, theirs: bool(ours >= theirs),
}
