"""What happened, one line a request: short enough to be read, with the command that makes it happen again.

      7 c2 #12  Put      K#till:1 K                    answer lost   ok
      8 c1 #12  Put      K#till:1 K                                  ConditionalCheckFailed
      9 c1 #12  Query    M#ADA E#1…E#9999999999                      2 items

The number is the request's, `c2` the client, `#12` the delivery it is working on.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.faults.engine import Answer, Request

LINES_MAX = 120
_ZEROS = re.compile(r"#0+(?=\d)")
_HASH = re.compile(r"([0-9a-f]{6})[0-9a-f]{20,}")


@dataclass(frozen=True, slots=True)
class Line:
    """One request, or (`operation` is empty) a note about a client."""

    number: int
    client: str
    delivery: int
    operation: str
    keys: tuple[str, ...]
    fault: str
    outcome: str

    def __str__(self) -> str:
        who = f"{self.number:5} {self.client} #{self.delivery}"
        if not self.operation:
            return f"{who:<14} {self.outcome}"
        keys = ", ".join(_HASH.sub(r"\1…", _ZEROS.sub("#", key)) for key in self.keys)
        return f"{who:<14} {_VERBS.get(self.operation, self.operation):<8} {keys:<44} {self.fault:<14} {self.outcome}".rstrip()


_VERBS = {"GetItem": "Get", "PutItem": "Put", "DeleteItem": "Delete", "TransactWriteItems": "Transact"}


class Story:
    """All requests of one run. `working_on` says on which delivery a client works."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.working_on: dict[str, int] = {}

    def request(
        self,
        client: str,
        operation: str,
        request: Request,
        fault: str,
        answer: Answer | None,
        *,
        keys: tuple[str, ...] = (),
    ) -> None:
        """A request that was made. Without an answer, whoever made it is gone or asks again."""
        self.lines.append(
            Line(
                len(self.lines) + 1,
                client,
                self.working_on.get(client, 0),
                operation,
                keys or keys_of(operation, request),
                fault,
                outcome_of(answer) if answer else "",
            )
        )

    def note(self, client: str, text: str) -> None:
        """Something a client did that is no request."""
        self.lines.append(Line(len(self.lines) + 1, client, self.working_on.get(client, 0), "", (), "", text))

    def about(self, *words: str) -> str:
        """The lines of all deliveries that touched a key (or are told in a note) with one of these words; the newest ones."""
        concerned = {
            line.delivery
            for line in self.lines
            if any(word in told for word in words for told in (*line.keys, line.outcome))
        }
        return self._told(line for line in self.lines if not words or line.delivery in concerned)

    def __str__(self) -> str:
        return self._told(self.lines)

    @staticmethod
    def _told(lines: Iterable[Line]) -> str:
        chosen = [str(line) for line in lines]
        left_out = len(chosen) - LINES_MAX
        return "\n".join([f"  … {left_out} lines before", *chosen[-LINES_MAX:]] if left_out > 0 else chosen)


def keys_of(operation: str, request: Request) -> tuple[str, ...]:
    """What a request is about."""
    match operation:
        case "PutItem":
            return (_key(request["Item"]),)
        case "GetItem" | "DeleteItem":
            return (_key(request["Key"]),)
        case "Query":
            pk, *bounds = (value.get("S", "") for value in request["ExpressionAttributeValues"].values())
            return (f"{pk} {'…'.join(bounds)}",)
        case "TransactWriteItems":
            bodies = [body for step in request["TransactItems"] for body in step.values()]
            return tuple(_key(body.get("Item") or body["Key"]) for body in bodies)
        case "BatchGetItem":
            return tuple(_key(key) for asked in request["RequestItems"].values() for key in asked["Keys"])
    return ()


def _key(item: dict[str, Any]) -> str:
    return f"{item['PK']['S']} {item['SK']['S']}"


def outcome_of(answer: Answer) -> str:
    """An answer in a word or two."""
    if reasons := answer.content.get("CancellationReasons"):
        return f"cancelled [{' '.join(reason['Code'] for reason in reasons)}]"
    if answer.kind != "ok":
        return answer.code.removesuffix("Exception")
    if "Items" in answer.content:
        return f"{answer.content['Count']} items"
    if "Item" in answer.content:
        return "found"
    return "ok"


def replay_command(**environment: object) -> str:
    """The command that runs the test that runs now once more, with these variables."""
    # "tests/faults/test_x.py::test_y[z] (call)"
    test = os.environ.get("PYTEST_CURRENT_TEST", "tests/faults").rsplit(" ", 1)[0]
    variables = "".join(f"{name}={value} " for name, value in environment.items())
    return f"{variables}.venv/bin/pytest '{test}'"
