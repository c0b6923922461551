"""DynamoDB calls of a process, counted at the client by botocore's own events, with their capacity units."""

from typing import Any

from botocore import handlers

from bench import units
from storage import keys


class Calls:
    """Counts the calls of every DynamoDB client that is made from now on."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self._request: dict[str, Any] = {}
        # What botocore registers with every session.
        handlers.BUILTIN_HANDLERS += [
            ("before-parameter-build.dynamodb", self._sent),
            ("after-call.dynamodb", self._answered),
        ]

    def take(self) -> list[dict[str, Any]]:
        """The calls since the last time: operation, read units and write units. Without reads of the program, which belong to
        no operation: an environment reads it once in 30 s."""
        seen, self.seen = self.seen, []
        return seen

    def _sent(self, params: dict[str, Any], **_: Any) -> None:
        self._request = params

    def _answered(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        if self._request.get("ExpressionAttributeValues", {}).get(":p") == {"S": keys.CONFIG}:
            return
        reads, writes = units.of_call(model.name, self._request, parsed)
        self.seen.append({"operation": model.name, "reads": reads, "writes": writes})
