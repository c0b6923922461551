"""The store on DynamoDB. Every method is one request, but for the bounded retries of the client itself."""

import hmac
import math
import random
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain import days, limits
from domain.ledger import (
    Claim,
    ClaimTaken,
    Contended,
    Home,
    Key,
    LookupTaken,
    Record,
)
from domain.members import Lookup, Profile
from domain.refusals import OutcomeUnknown
from storage import items, keys
from storage.items import Item

# Nothing was written, and the same write may succeed in a moment. A transaction in progress on one of the items, a capacity
# that is still growing, and a lost race all look alike to the caller: read again and try again.
_RETRYABLE = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "ConditionalCheckFailed"}
)
# The client has retried these as often as it may.
_BUSY = frozenset(
    {
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "TransactionInProgressException",
        "InternalServerError",
        "ServiceUnavailable",
    }
)
# The failed put is the read: the old item comes back with the refusal.
_PUT_IF_NEW = {"ConditionExpression": "attribute_not_exists(PK)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.01, 0.4


class Table:
    """`domain.ledger.Store` on one DynamoDB table.

    `pepper` keys the hashes of look-ups; `shards` is how many partitions a day's due rows and the directory are spread over.
    Both stay what they were when the table got its first member. `deadline` is when contending stops, on the monotonic clock.
    """

    def __init__(
        self, connection: Connection, name: str, *, pepper: bytes, shards: int, deadline: float = math.inf
    ) -> None:
        self._connection = connection
        self._name = name
        self._pepper = pepper
        self._shards = shards
        self._deadline = deadline

    def until(self, deadline: float) -> "Table":
        """The same table for one request that has to be answered by `deadline` (seconds on the monotonic clock)."""
        return Table(self._connection, self._name, pepper=self._pepper, shards=self._shards, deadline=deadline)

    # --- reads ---------------------------------------------------------------------------------------------------------

    def find_account(self, lookup: Lookup, *, strong: bool = False) -> str | None:
        item = self._get(keys.lookup(lookup.kind, lookup.value, self._pepper), keys.LOOKUP, strong=strong)
        return items.LookupRow.from_raw_data(item).account if item else None

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        found = self._entries(account, keys.ENTRY_FIRST, keys.ENTRY_LAST, limit=1, strong=strong)
        return items.record_from(found[0]) if found else None

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        # `P` is the only thing in the partition that sorts after every `E#…`.
        found = self._query(
            "PK = :p AND SK >= :a",
            {":p": {"S": keys.account(account)}, ":a": {"S": keys.ENTRY_FIRST}},
            limit=entries + 2,
            strong=strong,
        )
        profile = next((items.profile_from(item) for item in found if item["SK"]["S"] == keys.PROFILE), None)
        records = tuple(items.record_from(item) for item in found if item["SK"]["S"].startswith(keys.ENTRY_PREFIX))
        # Where there is no profile any more, its place on the page was taken by a record too many.
        return Home(profile, records[: entries + 1]) if records else None

    def records_before(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        found = self._entries(account, keys.ENTRY_FIRST, keys.entry(seq), limit=limit)
        return [items.record_from(item) for item in found]

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        found = self._entries(account, keys.entry(seq + 1), keys.ENTRY_LAST, limit=limit, strong=True, descending=False)
        return [items.record_from(item) for item in found]

    def claim(self, key: Key) -> Claim | None:
        item = self._get(keys.claim(key), keys.CLAIM, strong=True)
        return items.claim_from(item) if item else None

    # --- writes --------------------------------------------------------------------------------------------------------

    def append(self, claim: Claim, record: Record, *, due: Iterable[int] = ()) -> None:
        shard = keys.shard(record.account, self._shards)
        notes = [items.DueRow(keys.due(day, shard), record.account, ttl=_forget_after(day)).serialize() for day in due]
        reasons = self._transact([items.claim_item(claim), items.record_item(record)], notes)
        if reasons:
            self._raise_if_claimed(reasons[0])
            raise Contended

    def refuse(self, claim: Claim) -> None:
        try:
            self._call("PutItem", {"Item": items.claim_item(claim), **_PUT_IF_NEW})
        except VerboseClientError as error:
            response = _response(error)
            if response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise ClaimTaken(items.claim_from(response["Item"])) from error
            if response["Error"]["Code"] == "TransactionConflictException":
                # A transaction on the same key is on its way; the retry finds its answer.
                raise Contended from error
            raise

    def enroll(self, claim: Claim, record: Record, profile: Profile, lookups: Sequence[Lookup]) -> None:
        shard = keys.shard(record.account, self._shards)
        rows = [
            items.claim_item(claim),
            *(self._lookup_item(lookup, record.account) for lookup in lookups),
            items.record_item(record),
            items.profile_item(record.account, profile),
            items.Row(keys.directory(shard), record.account).serialize(),
        ]
        reasons = self._transact(rows)
        if reasons:
            self._raise_if_claimed(reasons[0])
            for lookup, reason in zip(lookups, reasons[1:], strict=False):
                if reason.get("Code") == "ConditionalCheckFailed":
                    raise LookupTaken(lookup)
            raise Contended

    def digest(self, text: bytes) -> bytes:
        return hmac.digest(self._pepper, text, "sha256")

    def pause(self, attempt: int) -> None:
        if time.monotonic() > self._deadline:
            raise OutcomeUnknown("The account is too busy; whether this happened is unknown. Retry with the same key.")
        time.sleep(random.uniform(0, min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2 ** min(attempt, 10))))  # noqa: S311 (spreading, not secrecy)

    # --- requests ------------------------------------------------------------------------------------------------------

    def _lookup_item(self, lookup: Lookup, account: str) -> Item:
        return items.LookupRow(
            keys.lookup(lookup.kind, lookup.value, self._pepper), keys.LOOKUP, account=account
        ).serialize()

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return self._send(operation, {"TableName": self._name, **request})

    def _send(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One request with the client's own bounded retries. Refuses `OutcomeUnknown` when they end without an answer."""
        try:
            result: dict[str, Any] = self._connection.dispatch(operation, request)
        except (HTTPClientError, EndpointConnectionError) as error:
            raise OutcomeUnknown("The store did not answer. Retry with the same key.") from error
        except VerboseClientError as error:
            if _response(error)["Error"]["Code"] in _BUSY:
                raise OutcomeUnknown("The store is too busy. Retry with the same key.") from error
            raise
        return result

    def _get(self, pk: str, sk: str, *, strong: bool = False) -> Item | None:
        found = self._call("GetItem", {"Key": {"PK": {"S": pk}, "SK": {"S": sk}}, "ConsistentRead": strong})
        return found.get("Item")

    def _entries(
        self, account: str, first: str, last: str, *, limit: int, strong: bool = False, descending: bool = True
    ) -> list[Item]:
        values = {":p": {"S": keys.account(account)}, ":a": {"S": first}, ":z": {"S": last}}
        return self._query(
            "PK = :p AND SK BETWEEN :a AND :z", values, limit=limit, strong=strong, descending=descending
        )

    def _query(
        self, condition: str, values: Item, *, limit: int, strong: bool = False, descending: bool = True
    ) -> list[Item]:
        # One page: `limit` items of at most a few KB are far below the 1 MB at which DynamoDB would cut it.
        found: list[Item] = self._call(
            "Query",
            {
                "KeyConditionExpression": condition,
                "ExpressionAttributeValues": values,
                "Limit": limit,
                "ConsistentRead": strong,
                "ScanIndexForward": not descending,
            },
        )["Items"]
        return found

    def _transact(self, rows: Sequence[Item], notes: Sequence[Item] = ()) -> list[dict[str, Any]]:
        """Puts every row that is not there yet, and the notes whether they are or not, all or none.

        Empty when written, else the cancellation reasons in the order of `rows`.
        """
        puts = [{"Put": {"TableName": self._name, "Item": row, **_PUT_IF_NEW}} for row in rows]
        puts += [{"Put": {"TableName": self._name, "Item": note}} for note in notes]
        try:
            # The client's own request token covers its own retries only; what makes a write safe to repeat are the keys.
            self._send("TransactWriteItems", {"TransactItems": puts})
        except VerboseClientError as error:
            response = _response(error)
            reasons: list[dict[str, Any]] = response.get("CancellationReasons", [])
            if reasons and all(reason["Code"] in _RETRYABLE for reason in reasons if reason["Code"] != "None"):
                return reasons
            raise
        return []

    @staticmethod
    def _raise_if_claimed(reason: dict[str, Any]) -> None:
        if reason.get("Code") == "ConditionalCheckFailed":
            raise ClaimTaken(items.claim_from(reason["Item"]))


def _response(error: VerboseClientError) -> dict[str, Any]:
    """The client's own answer: PynamoDB's error leaves the old item and the reasons' items out."""
    assert isinstance(error.__cause__, ClientError)
    response: dict[str, Any] = dict(error.__cause__.response)
    return response


def _forget_after(day: int) -> int:
    """When a due row of `day` may go, in epoch seconds. TTL runs on wall time; a day's end in UTC is near enough."""
    on = days.date_of(day)
    return int((datetime(on.year, on.month, on.day, tzinfo=UTC) + limits.DUE_RETENTION).timestamp())
