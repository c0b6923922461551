"""What is kept of a submission, and what that needs of a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain import purchases
from domain.entries import Key
from domain.refusals import Refusal


class SubmittedTooLongAgo(Refusal):
    """A purchase was queued for longer than `limits.QUEUED_AGE_MAX`, or is to be queued again so long after it was submitted."""


# Of one purchase of a submission.
ITEM_REFUSALS: tuple[type[Refusal], ...] = (*purchases.RECORD_REFUSALS, SubmittedTooLongAgo)


@dataclass(frozen=True, slots=True)
class Item:
    """A purchase as a submission keeps it: its names, the beginning of its fingerprint, and the refusal it was given at once.

    The names are None where they were what was refused, and there is a fingerprint where the same input can still be recorded.
    """

    source: str | None
    external_id: str | None
    fingerprint: bytes = b""
    refusal: Refusal | None = None

    @property
    def key(self) -> Key:
        """The purchase's key. Only of one that has a fingerprint."""
        assert self.source is not None
        assert self.external_id is not None
        return Key(self.source, self.external_id)


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission as it was received: by the program's clock at `submitted_at`, by the one on the wall at `sent_at`."""

    id: str
    fingerprint: bytes
    actor: str
    submitted_at: datetime
    sent_at: datetime
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """What the worker has to say of a purchase that is not in the ledger: its refusal, or why its message was given up."""

    index: int
    refusal: Refusal | None = None
    failure: str | None = None


class SubmissionKnown(Exception):
    """There is a submission with this id already. Nothing was written."""

    def __init__(self, submission: Submission) -> None:
        super().__init__(submission.id)
        self.submission = submission


class Submissions(Protocol):
    """What submissions need of a store, each forgotten after `limits.SUBMISSION_RETENTION`. Every read is strong.

    A key may be used again after that: what is noted of a submission is found by its `sent_at` as well, and so not taken for the
    next one's.

    Any method may refuse `OutcomeUnknown`.
    """

    def keep(self, submission: Submission) -> None:
        """Writes a new submission. Raises `SubmissionKnown`."""

    def find(self, submission_id: str) -> Submission | None:
        """A submission."""

    def mark_sent(self, submission: Submission) -> None:
        """Writes that the queue has every message of it."""

    def was_sent(self, submission: Submission) -> bool:
        """Whether that was written."""

    def note(self, submission_id: str, sent_at: datetime, note: Note, *, at: datetime) -> None:
        """Notes a refusal, or a failure, at a time on the wall: the first refusal of a purchase stays, and the last failure."""

    def notes(self, submission: Submission) -> Sequence[Note]:
        """All that was noted about the purchases of a submission."""


def placed(refusal: Refusal, index: int) -> Refusal:
    """The refusal of a purchase with the path that its input has in a submission."""
    moved = type(refusal)(refusal.message, field=_path(refusal.field, index))
    moved.replayed = refusal.replayed
    return moved


def _path(field: tuple[str, ...], index: int) -> tuple[str, ...]:
    return ("input", "purchases", str(index), *field[1:])
