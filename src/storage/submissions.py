"""Submissions on the table: what was received, that it was queued, and what its worker noted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain.refusals import OutcomeUnknown
from domain.submissions import Note, Submission, SubmissionKnown
from storage import items, keys
from storage.items import Item
from storage.table import BUSY

_IF_NEW = {"ConditionExpression": "attribute_not_exists(PK)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


class SubmissionTable:
    """`domain.submissions.Submissions` on one DynamoDB table. Every method is one request."""

    def __init__(self, connection: Connection, table: str) -> None:
        self._connection = connection
        self._table = table

    def keep(self, submission: Submission) -> None:
        known = self._put_if_new(items.submission_item(submission))
        if known is not None:
            raise SubmissionKnown(items.submission_from(known))

    def find(self, submission_id: str) -> Submission | None:
        found = self._get(submission_id, keys.SUBMISSION)
        return items.submission_from(found) if found else None

    def mark_sent(self, submission: Submission) -> None:
        self._call("PutItem", {"Item": items.sent_item(submission)})

    def was_sent(self, submission_id: str) -> bool:
        return self._get(submission_id, keys.SENT) is not None

    def note(self, submission_id: str, note: Note, *, at: datetime) -> None:
        item = items.submission_note_item(submission_id, note, at=at)
        if note.refusal is None:
            self._call("PutItem", {"Item": item})
        else:
            self._put_if_new(item)

    def notes(self, submission_id: str) -> Sequence[Note]:
        request = {
            "KeyConditionExpression": "PK = :p AND begins_with(SK, :n)",
            "ExpressionAttributeValues": {
                ":p": {"S": keys.submission(submission_id)},
                ":n": {"S": keys.SUBMISSION_NOTE_PREFIX},
            },
            "ConsistentRead": True,
        }
        # One page: two notes of each of 500 purchases, of some 300 bytes, are below the 1 MB at which DynamoDB would cut it.
        return [items.submission_note_from(item) for item in self._call("Query", request)["Items"]]

    # --- requests ------------------------------------------------------------------------------------------------------

    def _put_if_new(self, item: Item) -> Item | None:
        """Puts an item where there is none; the one that is there otherwise."""
        try:
            self._call("PutItem", {"Item": item, **_IF_NEW})
        except VerboseClientError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ConditionalCheckFailedException":
                response: dict[str, Any] = dict(cause.response)
                old: Item = response["Item"]
                return old
            raise
        return None

    def _get(self, submission_id: str, sort_key: str) -> Item | None:
        key = {"PK": {"S": keys.submission(submission_id)}, "SK": {"S": sort_key}}
        found: Item | None = self._call("GetItem", {"Key": key, "ConsistentRead": True}).get("Item")
        return found

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One request with the client's own bounded retries. Refuses `OutcomeUnknown` when they end without an answer."""
        try:
            result: dict[str, Any] = self._connection.dispatch(operation, {"TableName": self._table, **request})
        except (HTTPClientError, NoConnection) as error:
            raise OutcomeUnknown("The store did not answer. Retry with the same key.") from error
        except VerboseClientError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] in BUSY:
                raise OutcomeUnknown("The store is too busy. Retry with the same key.") from error
            raise
        return result
