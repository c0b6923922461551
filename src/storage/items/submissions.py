"""SUB: what was submitted, that the queue has it, and what its worker had to say of it."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from pynamodb.attributes import Attribute, BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.constants import BINARY

from domain import limits
from domain.refusals import Refusal
from domain.submissions import Item as Submitted
from domain.submissions import Note, Submission
from storage import keys
from storage.items.attributes import InstantAttribute
from storage.items.claims import RefusalAttribute
from storage.items.row import Item, Row
from storage.items.strings import millis

# In place of a fingerprint: none that was made is all zeros, but once in 2**64.
_NONE = bytes(limits.SUBMISSION_FINGERPRINT_BYTES)


class ItemsAttribute(Attribute[tuple[Submitted, ...]]):
    """The purchases of a submission in their order, as compressed JSON: `[source, external id]`, and with it the code, message
    and path of a refusal. Their fingerprints stand apart: nothing compresses them."""

    attr_type = BINARY

    def serialize(self, value: tuple[Submitted, ...]) -> bytes:
        listed = [[each.source, each.external_id, *_refusal_texts(each.refusal)] for each in value]
        return zlib.compress(json.dumps(listed, separators=(",", ":"), ensure_ascii=False).encode())

    def deserialize(self, value: bytes) -> tuple[Submitted, ...]:
        found = []
        for source, external_id, *texts in json.loads(zlib.decompress(value)):
            refusal = Refusal.restore(texts[0], texts[1], tuple(texts[2:])) if texts else None
            found.append(Submitted(source, external_id, refusal=refusal))
        return tuple(found)


def _refusal_texts(refusal: Refusal | None) -> list[str]:
    return [] if refusal is None else [refusal.code, refusal.message, *refusal.field]


class SubmissionRow(Row):
    """SUB: a submission."""

    fingerprint = BinaryAttribute(attr_name="f", legacy_encoding=False)
    actor = UnicodeAttribute(attr_name="u")
    submitted_at = InstantAttribute(attr_name="at")
    sent_at = InstantAttribute(attr_name="w")
    items = ItemsAttribute(attr_name="d")
    # Of those that were accepted, one after the other.
    fingerprints = BinaryAttribute(attr_name="k", null=True, legacy_encoding=False)
    # Of those that were refused, zeros for one without; nothing where none has one.
    refused = BinaryAttribute(attr_name="kr", null=True, legacy_encoding=False)
    ttl = NumberAttribute(attr_name="ttl")


class SentRow(Row):
    """SUB: that the queue has every message of a submission."""

    ttl = NumberAttribute(attr_name="ttl")


class NoteRow(Row):
    """SUB: why a purchase of a submission was refused, or why its message was given up."""

    refusal = RefusalAttribute(attr_name="r", null=True)
    failure = UnicodeAttribute(attr_name="e", null=True)
    ttl = NumberAttribute(attr_name="ttl")


def submission_item(submission: Submission) -> Item:
    """A submission as its item."""
    prints = b"".join(each.fingerprint for each in submission.items if each.refusal is None)
    refused = [each.fingerprint for each in submission.items if each.refusal is not None]
    return SubmissionRow(
        keys.submission(submission.id),
        keys.SUBMISSION,
        fingerprint=submission.fingerprint,
        actor=submission.actor,
        submitted_at=submission.submitted_at,
        sent_at=submission.sent_at,
        items=submission.items,
        fingerprints=prints or None,
        refused=b"".join(each or _NONE for each in refused) if any(refused) else None,
        ttl=_forget_after(submission.sent_at),
    ).serialize()


def submission_from(item: Item) -> Submission:
    """The submission of an item."""
    row = SubmissionRow.from_raw_data(item)
    accepted = _prints(row.fingerprints)
    refused = (b"" if each == _NONE else each for each in _prints(row.refused))
    found = [replace(each, fingerprint=next(accepted if each.refusal is None else refused, b"")) for each in row.items]
    return Submission(
        id=row.pk.partition("#")[2],
        fingerprint=row.fingerprint,
        actor=row.actor,
        submitted_at=row.submitted_at,
        sent_at=row.sent_at,
        items=tuple(found),
    )


def _prints(together: bytes | None) -> Iterator[bytes]:
    kept, length = together or b"", len(_NONE)
    return (kept[place : place + length] for place in range(0, len(kept), length))


def sent_item(submission: Submission) -> Item:
    """That a submission was sent, as an item."""
    partition = submission_marks(submission.id, submission.sent_at)
    return SentRow(partition, keys.SENT, ttl=_forget_after(submission.sent_at)).serialize()


def submission_note_item(submission_id: str, sent_at: datetime, note: Note, *, at: datetime) -> Item:
    """A note about a purchase as its item; it is forgotten no earlier than the submission."""
    partition = submission_marks(submission_id, sent_at)
    sort_key = keys.submission_note(note.index, is_failure=note.refusal is None)
    return NoteRow(partition, sort_key, refusal=note.refusal, failure=note.failure, ttl=_forget_after(at)).serialize()


def submission_marks(submission_id: str, sent_at: datetime) -> str:
    """The partition of what is noted of a submission."""
    return keys.submission_marks(submission_id, millis(sent_at))


def submission_note_from(item: Item) -> Note:
    """The note of an item."""
    row = NoteRow.from_raw_data(item)
    return Note(keys.noted_index(row.sk), row.refusal, row.failure)


def _forget_after(wall: datetime) -> int:
    return int((wall.astimezone(UTC) + limits.SUBMISSION_RETENTION).timestamp())
