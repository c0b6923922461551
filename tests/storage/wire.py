"""What no local engine does by itself: throttle, lose an answer, have a transaction in the way. A hook in the client does it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from tests.storage.tables import answer

# How many times the client asks by itself.
ATTEMPTS = 2


class Killed(Exception):
    """The process died here."""


@dataclass
class Wire:
    """The client's way to the engine; what stands in `trouble` happens to its next requests, one each."""

    client: Any
    trouble: list[Callable[[Any], AWSResponse | None]] = field(default_factory=list)
    # Which operations meet trouble, and of those the ones with this text in them; the others pass.
    of: str = "any"
    about: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(self, request: Any, event_name: str, **_: object) -> AWSResponse | None:
        operation = event_name.rsplit(".", 1)[-1]
        self.seen.append(operation)
        if self.trouble and self.of in (operation, "any") and self.about in request.body.decode():
            return self.trouble.pop(0)(request)
        return None

    # --- kinds of trouble ---

    def lose_answer(self, request: Any) -> None:
        """The request is carried out; nobody hears of it."""
        self.client._endpoint.http_session.send(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    def time_out(self, request: Any) -> None:
        """The request is carried out, too slowly for whoever waits."""
        self.client._endpoint.http_session.send(request)
        raise ReadTimeoutError(endpoint_url=request.url)

    def break_down(self, request: Any) -> AWSResponse:
        """The request is carried out; the answer is an error of the server."""
        self.client._endpoint.http_session.send(request)
        return answer(500, b'{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "?"}')

    def die_before(self, request: Any) -> None:
        raise Killed

    def die_after(self, request: Any) -> None:
        self.client._endpoint.http_session.send(request)
        raise Killed

    @staticmethod
    def pass_on(_: Any) -> None:
        """No trouble this time."""

    @staticmethod
    def unreachable(request: Any) -> None:
        raise EndpointConnectionError(endpoint_url=request.url)

    @staticmethod
    def not_connected(request: Any) -> None:
        raise ConnectTimeoutError(endpoint_url=request.url)

    @staticmethod
    def refused(code: str, status: int = 400) -> Callable[[Any], AWSResponse]:
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "No."}).encode()
        return lambda _: answer(status, body)

    @staticmethod
    def cancelled(*codes: str) -> Callable[[Any], AWSResponse]:
        """A transaction that is cancelled for these reasons; missing ones at the end are `None`."""

        def cancel(request: Any) -> AWSResponse:
            rows = len(json.loads(request.body)["TransactItems"])
            reasons = [{"Code": code} for code in (*codes, *["None"] * rows)[:rows]]
            body = {
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
                "CancellationReasons": reasons,
            }
            return answer(400, json.dumps(body).encode())

        return cancel
