"""What an item weighs, by the rules that DynamoDB documents ("DynamoDB item sizes and formats" in the developer guide)."""

from collections.abc import Mapping
from typing import Any

from storage.items.row import Item

# A write unit is one item of up to so many bytes, names and values (AWS).
_WRITE_UNIT_BYTES = 1_024


def is_one_unit(item: Item) -> bool:
    """Whether putting the item costs one write unit."""
    return sum(len(name.encode()) + _bytes(value) for name, value in item.items()) <= _WRITE_UNIT_BYTES


def _bytes(value: Mapping[str, Any]) -> int:
    kind: str
    content: Any
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "B":
            return len(content)
        case "N":
            digits = content.lstrip("-").replace(".", "").strip("0")
            return (len(digits) + 1) // 2 + 1 + int(content.startswith("-"))
        case "L":
            return 3 + sum(1 + _bytes(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _bytes(each) for name, each in content.items())
    raise AssertionError(f"no record holds a {kind}")
