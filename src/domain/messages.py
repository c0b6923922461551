"""Messages between the functions: what is common to all of them, whatever they hold."""

import json
from typing import Any


def parsed(text: str) -> Any:
    """What a message of JSON says. Raises `ValueError` for any other, also for one that is nested too deep to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


class Poison(ValueError):
    """A message that no function of the program has written: it fails however often it comes, so it need not come again."""


class NotATurn(Poison):
    """A message that no part of this program has written, or that names what is not there; the text says what is wrong with
    it."""


def turn_values(text: str, *needed: str, also: str | None = None) -> dict[str, Any]:
    """The values of a turn's message, which are just these, and perhaps one more. Raises `NotATurn` for any other text."""
    try:
        values: Any = parsed(text)
    except ValueError:
        raise NotATurn("it is not JSON") from None
    allowed = {*needed, also} if also else {*needed}
    if not isinstance(values, dict) or not {*needed} <= values.keys() <= allowed:
        names = [*needed, also] if also else [*needed]
        raise NotATurn(f"it has not just {', '.join(names[:-1])} and {names[-1]}")
    return values
