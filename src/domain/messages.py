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
