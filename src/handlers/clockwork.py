"""The clockwork Lambda, in sandboxes only: turns the program's clock, day by day."""

from collections.abc import Mapping
from typing import Any

from handlers import runtime

_clockwork = runtime.start_clockwork()


def handler(event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
    """Goes on with the job that a message names."""
    return _clockwork.turn(event, context)
