"""Capacity units of requests, by the sizes that DynamoDB documents: local engines miscount transactions or strong reads.

Sizes: "DynamoDB item sizes and formats" in the developer guide. Units: a write unit is 1 KB of one item, a read unit 4 KB of
all items of a request, half of that for an eventually consistent read; a transaction writes twice. What a condition refuses
is billed as if it had been written, by the larger of the item that was sent and the one that is there.

What a write replaces unseen (a profile, a look-up, the claim of a parked return) counts here as no larger than what replaces it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

WRITE_UNIT_BYTES = 1_024
READ_UNIT_BYTES = 4_096

Value = Mapping[str, Any]
Item = Mapping[str, Value]


def item_bytes(item: Item) -> int:
    """The size of an item: its attribute names and values."""
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())


def value_bytes(value: Value) -> int:
    """The size of one value, as the wire format has it (`{"S": "…"}`)."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_bytes(content)
        case "B":
            return len(content)
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + value_bytes(element) for element in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_bytes(element) for name, element in content.items())
        case "SS":
            return sum(len(element.encode()) for element in content)
        case "NS":
            return sum(map(_number_bytes, content))
        case _:
            raise AssertionError(f"no item of ours holds a {kind}")


def write_units(item: Item, *, transactional: bool = False) -> int:
    """Units of putting an item where none was."""
    return -(-item_bytes(item) // WRITE_UNIT_BYTES) * (2 if transactional else 1)


def _put_units(item: Item, met: Item | None, *, transactional: bool = False) -> int:
    return max(write_units(each, transactional=transactional) for each in (item, met or {}))


def read_units(items: Iterable[Item], *, strong: bool) -> float:
    """Units of one GetItem or Query that found these items; finding nothing costs as much as the smallest item."""
    units = max(1, -(-sum(map(item_bytes, items)) // READ_UNIT_BYTES))
    return units if strong else units / 2


def of_call(operation: str, request: Mapping[str, Any], response: Mapping[str, Any]) -> tuple[float, float]:
    """Read units and write units of one call. `response` has the items of reads, and those that conditions have met."""
    match operation:
        case "GetItem":
            found = [response["Item"]] if response.get("Item") else []
            return read_units(found, strong=request.get("ConsistentRead", False)), 0
        case "Query":
            return read_units(response["Items"], strong=request.get("ConsistentRead", False)), 0
        case "PutItem":
            return 0, _put_units(request["Item"], response.get("Item"))
        case "TransactWriteItems":
            puts = [each["Put"]["Item"] for each in request["TransactItems"]]
            met = [reason.get("Item") for reason in response.get("CancellationReasons", [{}] * len(puts))]
            return 0, sum(_put_units(*both, transactional=True) for both in zip(puts, met, strict=True))
        case _:
            raise AssertionError(f"the units of {operation} are not known here")


def _number_bytes(text: str) -> int:
    """One byte for two significant digits, and one."""
    significant = text.lstrip("-").replace(".", "").strip("0")
    return (len(significant) + 1) // 2 + 1 + text.startswith("-")
