"""The relay Lambda: a batch of the table's stream in, events on the bus out."""

from collections.abc import Mapping
from typing import Any

from handlers import runtime

_announcer = runtime.start_announcer()


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Announces a batch of stream records; answers from where on it has to come again."""
    return _announcer.announce(event["Records"], seconds_left=context.get_remaining_time_in_millis() / 1_000)
