"""Submissions on the table: what was received, that it was queued, and what its worker noted."""

from collections.abc import Sequence
from datetime import datetime

from pynamodb.connection import Connection

from domain.submissions import Note, Submission, SubmissionKnown
from storage import items, keys
from storage.requests import Requests


class SubmissionTable:
    """`domain.submissions.Submissions` on one DynamoDB table. Every method is one request; `notes` reads all pages there are."""

    def __init__(self, connection: Connection, table: str) -> None:
        self._requests = Requests(connection, table)

    def keep(self, submission: Submission) -> None:
        known = self._requests.put_new(items.submission_item(submission))
        if known is not None:
            raise SubmissionKnown(items.submission_from(known))

    def find(self, submission_id: str) -> Submission | None:
        found = self._requests.get(keys.submission(submission_id), keys.SUBMISSION)
        return items.submission_from(found) if found else None

    def mark_sent(self, submission: Submission) -> None:
        self._requests.call("PutItem", {"Item": items.sent_item(submission)})

    def was_sent(self, submission: Submission) -> bool:
        return self._requests.get(items.submission_marks(submission.id, submission.sent_at), keys.SENT) is not None

    def note(self, submission_id: str, sent_at: datetime, note: Note, *, at: datetime) -> None:
        item = items.submission_note_item(submission_id, sent_at, note, at=at)
        if note.refusal is None:
            self._requests.call("PutItem", {"Item": item})
        else:
            self._requests.put_new(item)

    def notes(self, submission: Submission) -> Sequence[Note]:
        request = {
            "KeyConditionExpression": "PK = :p AND begins_with(SK, :n)",
            "ExpressionAttributeValues": {
                ":p": {"S": items.submission_marks(submission.id, submission.sent_at)},
                ":n": {"S": keys.SUBMISSION_NOTE_PREFIX},
            },
        }
        return [items.submission_note_from(item) for item in self._requests.query(request)]
