"""The ingester Lambda: a batch of submitted purchases in, those of one member booked together."""

from collections.abc import Mapping
from typing import Any

from handlers import runtime

_ingester = runtime.start_ingester()


def handler(event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
    """Books the purchases in a batch of messages; answers which messages have to come again."""
    return _ingester.take(event, context)
