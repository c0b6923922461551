"""Turns: the messages by which the import of a list is handed out."""

import json
from dataclasses import dataclass
from typing import Any

from domain import limits
from domain.messages import NotATurn, parsed, turn_values


@dataclass(frozen=True, slots=True)
class Turn:
    """A list whose file is to be cut into parts, or, with a number, a part that is to be looked up. Where it begins is written
    down: a message cannot say what is in it."""

    list_id: str
    part: int | None = None

    def text(self) -> str:
        """The turn as a message, which `turn_from` reads."""
        values = {"list": self.list_id}
        return json.dumps(values if self.part is None else {**values, "part": self.part}, separators=(",", ":"))


def is_about_a_list(text: str) -> bool:
    """Whether a message is for whoever imports lists, well written or not."""
    try:
        values: Any = parsed(text)
    except ValueError:
        return False
    return isinstance(values, dict) and "list" in values


def turn_from(text: str) -> Turn:
    """The turn that a message holds. Raises `NotATurn` for any other text."""
    values = turn_values(text, "list", also="part")
    list_id, part = values["list"], values.get("part")
    if not isinstance(list_id, str) or not list_id.isascii() or not 0 < len(list_id) <= limits.ACCOUNT_LENGTH_MAX:
        raise NotATurn("list is no id")
    # bool is an int to Python, not to whoever cuts a file.
    if "part" in values and (type(part) is not int or not 0 < part <= limits.LIST_PARTS_MAX):
        raise NotATurn("part is no number of one")
    return Turn(list_id, part)
