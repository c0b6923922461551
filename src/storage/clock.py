"""The clock of a sandbox on the table: where it stands, and the jobs that turn it.

Whether a stack is a sandbox is said by the first published version of its program, which is never written again; on any other
stack no item of a clock is ever read.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain.clock import Dial, Job, JobKnown
from domain.store import Contended
from storage import items, keys
from storage.items import Item

# How soon a stack that had no program yet is asked again.
_ASK_AGAIN_S = 5.0


class ClockTable:
    """`domain.clock.Clocks` on one DynamoDB table."""

    def __init__(self, connection: Connection, table: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._table = table
        self._monotonic = monotonic
        # None until the first version is there; what that says stays so for ever.
        self._stamped: bool | None = None
        self._asked_at = -_ASK_AGAIN_S

    def is_sandbox(self) -> bool:
        if self._stamped is None and self._monotonic() - self._asked_at >= _ASK_AGAIN_S:
            self._asked_at = self._monotonic()
            first = self._get(keys.CONFIG, keys.version(1))
            self._stamped = "sb" in first if first else None
        return bool(self._stamped)

    def offset(self) -> timedelta:
        """How far the program's time is ahead of the wall: nothing anywhere but in a sandbox."""
        dial = self.dial() if self.is_sandbox() else None
        return dial.offset if dial else timedelta()

    def dial(self) -> Dial | None:
        found = self._get(keys.CONFIG, keys.CLOCK)
        return items.dial_from(found) if found else None

    def turn(self, dial: Dial, seen: Dial) -> None:
        assert dial.offset > seen.offset, "a clock is turned forward"
        self._put({"Item": items.dial_item(dial), **_if_seen(seen)})

    def job(self, job_id: str) -> Job | None:
        found = self._get(keys.job(job_id), keys.JOB)
        return items.job_from(found) if found else None

    def begin(self, job: Job, dial: Dial, seen: Dial | None) -> None:
        new = {
            "ConditionExpression": "attribute_not_exists(PK)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        puts = [{"Item": items.job_item(job), **new}, {"Item": items.dial_item(dial), **_if_seen(seen)}]
        request = {"TransactItems": [{"Put": {"TableName": self._table, **put}} for put in puts]}
        try:
            self._connection.dispatch("TransactWriteItems", request)
        except VerboseClientError as error:
            reasons = _response(error).get("CancellationReasons", [])
            if reasons and reasons[0].get("Code") == "ConditionalCheckFailed":
                raise JobKnown(items.job_from(reasons[0]["Item"])) from error
            if reasons:
                raise Contended from error
            raise

    def save(self, job: Job) -> Job:
        values = {":v": {"N": str(job.version)}}
        saved = replace(job, version=job.version + 1)
        self._put({"Item": items.job_item(saved), "ConditionExpression": "v = :v", "ExpressionAttributeValues": values})
        return saved

    # --- requests ------------------------------------------------------------------------------------------------------

    def _get(self, pk: str, sk: str) -> Item | None:
        request = {"Key": {"PK": {"S": pk}, "SK": {"S": sk}}, "ConsistentRead": True}
        found: Item | None = self._call("GetItem", request).get("Item")
        return found

    def _put(self, put: dict[str, Any]) -> None:
        try:
            self._call("PutItem", put)
        except VerboseClientError as error:
            if _response(error)["Error"]["Code"] in _LOST:
                raise Contended from error
            raise

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._connection.dispatch(operation, {"TableName": self._table, **request})
        return result


_LOST = frozenset({"ConditionalCheckFailedException", "TransactionConflictException"})


def _response(error: VerboseClientError) -> dict[str, Any]:
    assert isinstance(error.__cause__, ClientError)
    return dict(error.__cause__.response)


def _if_seen(seen: Dial | None) -> dict[str, Any]:
    if seen is None:
        return {"ConditionExpression": "attribute_not_exists(PK)"}
    item = items.dial_item(seen)
    # `at` is one of DynamoDB's reserved words.
    return {
        "ConditionExpression": "#at = :at AND j = :j",
        "ExpressionAttributeNames": {"#at": "at"},
        "ExpressionAttributeValues": {":at": item["at"], ":j": item["j"]},
    }
