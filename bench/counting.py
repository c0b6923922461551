"""DynamoDB calls of a process, counted at the client by botocore's own events, with their capacity units."""

from typing import Any

from botocore import handlers

from bench import units
from storage import keys


class Calls:
    """Counts the calls of one DynamoDB client, or of every one that is made from now on."""

    def __init__(self, client: Any = None) -> None:
        self.seen: list[dict[str, Any]] = []
        self._request: dict[str, Any] = {}
        watching = (("before-parameter-build.dynamodb", self._sent), ("after-call.dynamodb", self._answered))
        if client is None:
            # What botocore registers with every session.
            handlers.BUILTIN_HANDLERS += watching
        else:
            for event, watch in watching:
                client.meta.events.register(event, watch)

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
