"""Published programs: one immutable item for each version; the newest is in force.

The whole program is one document of a few KB, so an execution environment reads it with one request and keeps it; the version
that an entry names is found under its own key for ever.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain import limits, programs
from domain.clock import NotASandbox
from domain.documents import InvalidProgram
from domain.programs import Program
from domain.refusals import Refusal
from storage import items, keys


class ProgramChanged(Refusal):
    """Somebody else published in the meantime; look at the new version and publish again."""


class Programs:
    """Reads and publishes the program of one table. A publication is seen everywhere within `fresh_s` seconds."""

    def __init__(
        self, connection: Connection, table: str, *, fresh_s: float = 30, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._table = table
        self._fresh_s = fresh_s
        self._clock = clock
        self._current: Program | None = None
        self._versions: dict[int, Program] = {}
        self._read_at = -fresh_s

    def current(self) -> Program | None:
        """The program in force, at most `fresh_s` seconds old; None until one is published."""
        now = self._clock()
        if self._current is None or now - self._read_at >= self._fresh_s:
            self._current = self._newest()
            self._read_at = now
        return self._current

    def version(self, number: int) -> Program | None:
        """The program as it was published under a number; it never changes, so it is read once."""
        if number not in self._versions:
            found = self._call(
                "GetItem",
                {"Key": {"PK": {"S": keys.CONFIG}, "SK": {"S": keys.version(number)}}, "ConsistentRead": True},
            ).get("Item")
            if found is None:
                return None
            if len(self._versions) >= limits.PROGRAMS_KEPT_MAX:
                self._versions.clear()
            self._versions[number] = _program(found)
        return self._versions[number]

    def publish(self, program: Program, *, sandbox: bool = False) -> Program:
        """Makes `program` the one in force, as the version after the newest. Publishing what is in force changes nothing.

        A stack whose first version is published as a `sandbox`'s is one: its clock may be turned. It never becomes one later.

        Refuses `NotASandbox`, `InvalidProgram` when it is too large for one item, `ProgramChanged` when another publication
        came first.
        """
        published = self._newest(strong=True)
        if sandbox and published is not None and not self._is_sandbox():
            raise NotASandbox(
                "The first version of this program was not published as a sandbox's; its clock stays as it is."
            )
        if published is not None and programs.document(published) == programs.document(program):
            return published
        program = programs.successor(program, published)
        document = json.dumps(programs.stored(program), separators=(",", ":"), ensure_ascii=False)
        if len(document.encode()) > limits.PROGRAM_BYTES_MAX:
            raise InvalidProgram(f"The program is larger than {limits.PROGRAM_BYTES_MAX} bytes.")
        stamp = 1 if sandbox and published is None else None
        row = items.ProgramRow(keys.CONFIG, keys.version(program.version), document=document, sandbox=stamp)
        try:
            self._call("PutItem", {"Item": row.serialize(), "ConditionExpression": "attribute_not_exists(PK)"})
        except VerboseClientError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise ProgramChanged("Another program was published in the meantime.") from error
            raise
        self._current = None
        return program

    def _is_sandbox(self) -> bool:
        key = {"PK": {"S": keys.CONFIG}, "SK": {"S": keys.version(1)}}
        first = self._call("GetItem", {"Key": key, "ConsistentRead": True}).get("Item")
        return first is not None and items.ProgramRow.from_raw_data(first).sandbox is not None

    def _newest(self, *, strong: bool = False) -> Program | None:
        found = self._call(
            "Query",
            {
                "KeyConditionExpression": "PK = :p AND begins_with(SK, :v)",
                "ExpressionAttributeValues": {":p": {"S": keys.CONFIG}, ":v": {"S": keys.VERSION_PREFIX}},
                "ScanIndexForward": False,
                "Limit": 1,
                "ConsistentRead": strong,
            },
        )["Items"]
        return _program(found[0]) if found else None

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._connection.dispatch(operation, {"TableName": self._table, **request})
        return result


def _program(item: items.Item) -> Program:
    return programs.restored(json.loads(items.ProgramRow.from_raw_data(item).document))
