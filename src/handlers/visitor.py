"""The visitor Lambda: a batch of turns in, what time did to their accounts booked."""

from collections.abc import Mapping
from typing import Any

from handlers import runtime

_visitor = runtime.start_visitor()


def handler(event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
    """Visits everybody in a batch of messages; answers which messages have to come again."""
    return _visitor.visit(event, context)
