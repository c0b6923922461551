"""Writes the JSON Schemas of the events to docs/events/, and their list into its README; both are made of `domain.announcements`.

python -m tools.event_schemas
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.announcements import COMMON, KINDS, NOTICE, Field, Kind

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "events"
README = FOLDER / "README.md"
# The list stands between these lines.
_FIRST, _LAST = "<!-- made by make schema -->\n", "<!-- to here -->\n"


def written() -> dict[Path, str]:
    """Every file as it should be. The README keeps what else it says."""
    files = {FOLDER / f"{kind.type}.json": json.dumps(schema(kind), indent=2) + "\n" for kind in kinds()}
    before, _, rest = README.read_text(encoding="utf-8").partition(_FIRST)
    after = rest.partition(_LAST)[2]
    return {**files, README: f"{before}{_FIRST}{_list()}{_LAST}{after}"}


def kinds() -> Sequence[Kind[Any]]:
    """What is announced, in the order of its kinds."""
    return [*(kind for kind in KINDS.values() if kind is not None), NOTICE]


def schema(kind: Kind[Any]) -> dict[str, Any]:
    """The JSON Schema of an event's `detail`. What it does not name may be there one day."""
    fields: tuple[Field[Any], ...] = kind.fields if kind is NOTICE else (*COMMON, *kind.fields)
    properties = {"type": {"const": kind.type}, **{field.name: field.shape for field in fields}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.type,
        "description": kind.meaning,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _list() -> str:
    rows = [
        f"| [`{kind.type}`]({kind.type}.json) | {kind.meaning} | "
        f"{', '.join(f'`{field.name}`' for field in kind.fields) or 'nothing'} |\n"
        for kind in kinds()
    ]
    return f"| type | what happened | tells besides |\n|---|---|---|\n{''.join(rows)}"


def main() -> None:
    """Writes what changed, and removes schemas of events that are no more."""
    files = written()
    for path in FOLDER.glob("*.json"):
        if path not in files:
            path.unlink()
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
