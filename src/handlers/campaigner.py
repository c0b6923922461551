"""The campaigner Lambda: takes turns of campaigns, and once a minute looks after those at work."""

from collections.abc import Mapping
from typing import Any

from handlers import runtime

_campaigner = runtime.start_campaigner()


def handler(event: Mapping[str, Any], context: Any) -> Mapping[str, Any] | None:
    """Takes the turns in a batch of messages; without any, the schedule has called."""
    if "Records" in event:
        return _campaigner.take(event, context)
    _campaigner.look_after(context)
    return None
