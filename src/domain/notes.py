"""Notes: what somebody writes about an entry in their own words. It can be erased, so it never stands in the ledger."""

import hashlib
from dataclasses import dataclass, replace

from domain import limits
from domain.entries import Entry, Note
from domain.ledger import Plan
from domain.refusals import require_text
from domain.store import NOTHING, Beside


@dataclass(frozen=True, slots=True)
class Draft:
    """A note as it was sent, with the random `salt` of `limits.NOTE_SALT_BYTES` that hides it in its hash."""

    text: str
    salt: bytes


def checked(draft: Draft | None, *, field: tuple[str, ...] = ("input", "note")) -> Note | None:
    """The note as it is kept: up to `limits.NOTE_LENGTH_MAX` characters, line breaks allowed. Refuses `InvalidText`."""
    if draft is None:
        return None
    assert len(draft.salt) == limits.NOTE_SALT_BYTES
    text = draft.text.replace("\r\n", "\n").strip()
    require_text(text.replace("\n", " "), field=field, length_max=limits.NOTE_LENGTH_MAX)
    digest = hashlib.sha256(draft.salt + text.encode()).digest()[: limits.NOTE_DIGEST_BYTES]
    return Note(text, draft.salt, digest)


def planned(entry: Entry, note: Note | None, beside: Beside = NOTHING) -> Plan:
    """The plan of an entry that a note may go with: the entry has the hash, the text stands apart."""
    return Plan((replace(entry, note=note.digest if note else None),), beside=beside, note=note)
