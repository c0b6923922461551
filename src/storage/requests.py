"""Requests to the one table, and what it means when they fail: for every store that stands on it."""

from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain.refusals import OutcomeUnknown
from domain.store import Contended
from storage.items import Item

# The failed put is the read: the old item comes back with the refusal.
IF_NEW = {"ConditionExpression": "attribute_not_exists(PK)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
# Reasons of a cancelled transaction after which nothing was written, and the same write may succeed in a moment. A transaction in
# progress on one of the items, a capacity that is still growing, and a lost race all look alike to the caller.
RETRYABLE = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "ConditionalCheckFailed"}
)
# Errors of which the same is true.
_LOST = frozenset({"ConditionalCheckFailedException", "TransactionConflictException", "TransactionCanceledException"})
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


def send(connection: Connection, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """One request with the client's own bounded retries. Refuses `OutcomeUnknown` when they end without an answer."""
    try:
        result: dict[str, Any] = connection.dispatch(operation, request)
    except (HTTPClientError, NoConnection) as error:
        raise OutcomeUnknown("The store did not answer. Retry with the same key.") from error
    except VerboseClientError as error:
        if response_of(error)["Error"]["Code"] in _BUSY:
            raise OutcomeUnknown("The store is too busy. Retry with the same key.") from error
        raise
    return result


def response_of(error: VerboseClientError) -> dict[str, Any]:
    """The client's own answer: PynamoDB's error leaves the old item and the reasons' items out."""
    assert isinstance(error.__cause__, ClientError)
    response: dict[str, Any] = dict(error.__cause__.response)
    return response


class Requests:
    """Strong reads and conditional puts of one table. Each refuses `OutcomeUnknown` when the store does not answer."""

    def __init__(self, connection: Connection, table: str) -> None:
        self._connection = connection
        self._table = table

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One request about the table."""
        return send(self._connection, operation, {"TableName": self._table, **request})

    def get(self, pk: str, sk: str) -> Item | None:
        """The item of a key; strong."""
        key = {"PK": {"S": pk}, "SK": {"S": sk}}
        found: Item | None = self.call("GetItem", {"Key": key, "ConsistentRead": True}).get("Item")
        return found

    def query(self, request: dict[str, Any]) -> Iterator[Item]:
        """The items of a Query to the last one, however many pages of a megabyte that takes, none of which is kept; strong unless
        it says otherwise."""
        asked = {"ConsistentRead": True, **request}
        while True:
            page = self.call("Query", asked)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def put(self, put: dict[str, Any]) -> None:
        """Puts an item on its condition. Raises `Contended` when that fails, or somebody else is at the item."""
        self._attempt("PutItem", {"TableName": self._table, **put})

    def put_new(self, item: Item) -> Item | None:
        """Puts an item where there is none; the one that is there otherwise."""
        try:
            self.call("PutItem", {"Item": item, **IF_NEW})
        except VerboseClientError as error:
            response = response_of(error)
            if response["Error"]["Code"] == "ConditionalCheckFailedException":
                old: Item = response["Item"]
                return old
            if response["Error"]["Code"] in _LOST:
                # A transaction on the same key is on its way; whoever asks again finds its answer.
                raise OutcomeUnknown("Somebody else writes this. Retry with the same key.") from error
            raise
        return None

    def transact(self, puts: Sequence[dict[str, Any]]) -> None:
        """Puts every item on its condition, all or none. Raises `Contended` when one of them fails."""
        self._attempt(
            "TransactWriteItems", {"TransactItems": [{"Put": {"TableName": self._table, **put}} for put in puts]}
        )

    def _attempt(self, operation: str, request: dict[str, Any]) -> None:
        try:
            send(self._connection, operation, request)
        except VerboseClientError as error:
            response = response_of(error)
            reasons = {reason["Code"] for reason in response.get("CancellationReasons", [])}
            if response["Error"]["Code"] in _LOST and reasons <= RETRYABLE | {"None"}:
                raise Contended from error
            raise


def between(pk: str, first: str, last: str) -> dict[str, Any]:
    """A Query of a partition between two sort keys, both of them too."""
    return {
        "KeyConditionExpression": "PK = :p AND SK BETWEEN :a AND :z",
        "ExpressionAttributeValues": {":p": {"S": pk}, ":a": {"S": first}, ":z": {"S": last}},
    }
