"""Asks GraphQL over HTTP as an outside script would: fresh tokens, bounded retries, the same bytes on every retry."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

# Full jitter, below 0.25 s, 0.5 s, … 8 s: a quarter of a minute in all, enough for a cold start or a restarted stack.
ATTEMPTS_MAX = 8
WAIT_FIRST_S = 0.25
WAIT_MAX_S = 8.0
# Above the 29 s after which an HTTP API gives up: the answer of a slow call is read, not retried.
TIMEOUT_S = httpx.Timeout(35.0, connect=5.0)
# "Ask again with the same key", as a refusal and as a fault; every other code is an answer.
CODES_RETRYABLE = frozenset({"OUTCOME_UNKNOWN", "INTERNAL"})


class Unanswered(Exception):
    """No answer, or one that decides nothing (429, 5xx, a fault, an unknown outcome): the same may be sent again."""


class Rejected(Exception):
    """The program does not take the request at all: no access, or not a query of its schema."""


class Client:
    """Thread-safe. `token` is called for the first request and again whenever the program calls a token invalid."""

    def __init__(
        self,
        graphql_url: str,
        *,
        token: Callable[[], str],
        connections_max: int = 4,
        wait_first_s: float = WAIT_FIRST_S,
    ) -> None:
        self.graphql_url = graphql_url
        self._token = token
        self._authorization: str | None = None
        self._renewing = threading.Lock()
        self._http = httpx.Client(
            timeout=TIMEOUT_S,
            limits=httpx.Limits(max_connections=connections_max, max_keepalive_connections=connections_max),
            headers={
                "content-type": "application/json",
                "accept": "application/graphql-response+json, application/json",
            },
            trust_env=False,  # a proxy of the environment has no business between this program and its own stack
        )
        self._retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS_MAX),
            wait=wait_random_exponential(multiplier=wait_first_s, max=WAIT_MAX_S),
            retry=retry_if_exception_type(Unanswered),
            reraise=True,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def ask(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of the answer. Refusals are in its `userErrors`.

        Raises `Unanswered` when every attempt failed, `Rejected` when asking again cannot help. All attempts send the
        same bytes, hence the same idempotency key: an attempt whose answer was lost moves no points twice.
        """
        body = json.dumps({"query": document, "variables": variables}, separators=(",", ":")).encode()
        return self._retrying(self._ask_once, body)

    def _ask_once(self, body: bytes) -> dict[str, Any]:
        authorization = self._authorization or self._renew(None)
        answer = self._post(body, authorization)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            answer = self._post(body, self._renew(authorization))
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            raise Unanswered(f"HTTP {answer.status_code}: {answer.text[:200]}")
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Rejected(f"HTTP {answer.status_code}: {answer.text[:500]}")
        if not CODES_RETRYABLE.isdisjoint(_codes(content)):
            raise Unanswered(answer.text[:200])
        if content.get("errors") or not content.get("data"):
            raise Rejected(f"HTTP {answer.status_code}: {answer.text[:500]}")
        data: dict[str, Any] = content["data"]
        return data

    def _post(self, body: bytes, authorization: str) -> httpx.Response:
        try:
            return self._http.post(self.graphql_url, content=body, headers={"authorization": authorization})
        except httpx.TransportError as error:
            raise Unanswered(f"{type(error).__name__}: {error}") from error

    def _renew(self, refused: str | None) -> str:
        with self._renewing:  # one thread renews; those that were refused with the same token use what it got
            if self._authorization == refused or self._authorization is None:
                self._authorization = f"Bearer {self._token()}"
            return self._authorization


def _codes(content: Mapping[str, Any]) -> Iterator[str]:
    for error in content.get("errors", ()):
        yield error.get("extensions", {}).get("code", "")
    for payload in (content.get("data") or {}).values():
        if isinstance(payload, dict):
            yield from (error["code"] for error in payload.get("userErrors", ()))
