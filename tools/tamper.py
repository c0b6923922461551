"""Breaks one character of one stored record of the local stack, so that `regulars ledger verify` has something to find.

.venv/bin/python -m tools.tamper           # any character of any record; --seed N takes the same one again
.venv/bin/python -m tools.tamper --undo    # everything as it was
"""

import argparse
import copy
import json
import os
import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from handlers.local.home import TOOLS, Home
from handlers.local.stack import published

# What a leaf of an item is reached by, and what it is.
Leaf = tuple[tuple[str | int, ...], str]


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """The texts, numbers and bytes of a DynamoDB value (an item is a map), each with its type."""
    for kind, content in value.items():
        match kind:
            case "S" | "N" | "B":
                yield (*path, kind), kind
            case "L":
                for index, each in enumerate(content):
                    yield from leaves(each, (*path, "L", index))
            case "M":
                for name, each in content.items():
                    yield from leaves(each, (*path, "M", name))


def altered(item: dict[str, Any], chance: random.Random) -> tuple[str, dict[str, Any]]:
    """The item with one character, digit or bit of one attribute changed, and in words which; its key stays."""
    content = {"M": {name: value for name, value in item.items() if name not in ("PK", "SK")}}
    path, kind = chance.choice(list(leaves(content)))
    changed = copy.deepcopy(content)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    before = place[kind]
    if kind == "B":
        at = chance.randrange(len(before))
        after: Any = bytes(byte ^ (1 << chance.randrange(8) if index == at else 0) for index, byte in enumerate(before))
    else:
        places = [index for index, each in enumerate(before) if kind == "S" or each.isdigit()]
        at = chance.choice(places)
        others = string.digits if before[at].isdigit() else string.digits + string.ascii_letters + "+-.:@# é"
        after = before[:at] + chance.choice([each for each in others if each != before[at]]) + before[at + 1 :]
    place[kind] = after
    name = ".".join(str(step) for step in path[1:-1] if step not in ("L", "M"))
    return f"{name}: {_shown(before)} is now {_shown(after)}", {**item, **changed["M"]}


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def main() -> None:
    """Break something, or put it back."""
    parser = argparse.ArgumentParser(prog="python -m tools.tamper", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=None, help="what to break, the same for the same number")
    parser.add_argument("--undo", action="store_true", help="put everything back that was broken")
    arguments = parser.parse_args()
    home = Home(Path(os.environ.get("REGULARS_HOME", TOOLS)).absolute())
    stack = published(home)
    client = stack.client("dynamodb")
    # The items as they were, oldest first.
    kept = home.folder / "tampered.json"
    broken = json.loads(kept.read_text()) if kept.exists() else []
    if arguments.undo:
        for item in reversed(broken):
            client.put_item(TableName=stack.table, Item=_restored(item))
        kept.unlink(missing_ok=True)
        print(f"As it was: {len(broken)} put back.")
        return
    pages = client.get_paginator("scan").paginate(TableName=stack.table, ConsistentRead=True)
    records = [item for page in pages for item in page["Items"] if item["SK"]["S"].startswith("E#")]
    chance = random.Random(arguments.seed)  # noqa: S311 (no secret)
    item = chance.choice(sorted(records, key=lambda each: (each["PK"]["S"], each["SK"]["S"])))
    told, changed = altered(item, chance)
    kept.write_text(json.dumps([*broken, item], default=lambda value: {"hex": value.hex()}))
    client.put_item(TableName=stack.table, Item=changed)
    print(f"{item['PK']['S']} {item['SK']['S']}, attribute {told}")


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]) if value.keys() == {"hex"} else {k: _restored(v) for k, v in value.items()}
    return [_restored(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
