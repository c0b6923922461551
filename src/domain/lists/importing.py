"""What is done with a list: it is made, its file is imported, and a campaign may mean it when it is ready."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from domain import limits, members
from domain.access import Actor
from domain.entries import caller_key
from domain.lists.member_list import By, ListStatus, MemberList
from domain.lists.store import Claim, KeyKnown, Lists, Uploads
from domain.refusals import IdempotencyKeyReused, InvalidText, OutcomeUnknown, Refusal, require_text
from domain.store import Contended


class ListNotFound(Refusal):
    """There is no list with this id."""


class ListNotReady(Refusal):
    """Who is on the list is not known: its import has not ended, or has failed."""


class ListState(Refusal):
    """The file of this list was imported before, or is being imported: another file is another list."""


class ListNotUploaded(Refusal):
    """There is no file yet to import."""


class ListTooLarge(Refusal):
    """The file has more than `limits.LIST_BYTES_MAX` bytes."""


CREATE_REFUSALS: tuple[type[Refusal], ...] = (InvalidText, IdempotencyKeyReused)
IMPORT_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    IdempotencyKeyReused,
    ListNotFound,
    ListState,
    ListNotUploaded,
    ListTooLarge,
)


@dataclass(frozen=True, slots=True)
class Changed:
    """A list after a step. `replayed` when an earlier call with the same key had made it."""

    member_list: MemberList
    replayed: bool

    @property
    def is_to_be_imported(self) -> bool:
        """Whether somebody has to go through its file; handing it out again is harmless."""
        return self.member_list.status is ListStatus.IMPORTING


def create(
    lists: Lists, *, actor: Actor, idempotency_key: str, name: str, by: By, list_id: str, now: datetime
) -> Changed:
    """Makes the list `list_id`, whose file is to be uploaded. Refuses `CREATE_REFUSALS`, in their order."""
    key = _digest(actor, idempotency_key)
    name = require_text(name, field=("input", "name"), length_max=limits.NAME_LENGTH_MAX)
    claim = Claim(key, list_id, _asked("create", name, by.value))
    made = MemberList(list_id, name, by, created_by=actor.id, created_at=now)
    try:
        lists.create(made, claim)
    except KeyKnown as known:
        return _again(lists, known.claim, claim.asked)
    return Changed(made, replayed=False)


def begin_import(
    lists: Lists, uploads: Uploads, *, actor: Actor, idempotency_key: str, list_id: str, now: datetime
) -> Changed:
    """Begins to import the file of a list, just as it is now. Whoever calls has it resolved (`resolve`).

    Refuses `IMPORT_REFUSALS`, in their order.
    """
    claim = Claim(_digest(actor, idempotency_key), list_id, _asked("import", list_id))
    for _ in range(limits.CAMPAIGN_ATTEMPTS_MAX):
        if (known := lists.claim(claim.key)) is not None:
            return _again(lists, known, claim.asked)
        found = lists.find(list_id)
        if found is None:
            raise ListNotFound("There is no such list.", field=("input", "id"))
        if found.status is not ListStatus.UPLOADING:
            raise ListState(f"The list {_STANDS[found.status]}; another file is another list.", field=("input", "id"))
        upload = uploads.find(list_id)
        if upload is None:
            raise ListNotUploaded("Nothing was uploaded yet: send the file to `uploadUrl`.", field=("input", "id"))
        if upload.size > limits.LIST_BYTES_MAX:
            raise ListTooLarge(
                f"A file has at most {limits.LIST_BYTES_MAX} bytes, not {upload.size}.", field=("input", "id")
            )
        begun = replace(found, status=ListStatus.IMPORTING, upload=upload, imported_by=actor.id, imported_at=now)
        try:
            return Changed(lists.save(begun, claim), replayed=False)
        except (Contended, KeyKnown):
            # Somebody else has begun it, perhaps by this very call: what they did is seen when it is read again.
            continue
    raise OutcomeUnknown("Others are at this list; whether this happened is unknown. Retry with the same key.")


def require_ready(find_list: Callable[[str], MemberList | None], list_id: str, *, field: tuple[str, ...]) -> MemberList:
    """The list a caller means. Refuses `ListNotFound`, `ListNotReady`."""
    found = find_list(list_id)
    if found is None:
        raise ListNotFound("There is no such list.", field=field)
    if found.status is not ListStatus.READY:
        raise ListNotReady(f"The list {_STANDS[found.status]}: who is on it is not known.", field=field)
    return found


_STANDS = {
    ListStatus.UPLOADING: "waits for its file, or for the import of it",
    ListStatus.IMPORTING: "is being imported",
    ListStatus.READY: "was imported",
    ListStatus.FAILED: "could not be imported",
}


def _again(lists: Lists, known: Claim, asked: bytes) -> Changed:
    if known.asked != asked:
        raise IdempotencyKeyReused("This key was used before for something else.", field=("input", "idempotencyKey"))
    found = lists.find(known.list_id)
    assert found is not None, "lists are never taken away"
    return Changed(found, replayed=True)


def _digest(actor: Actor, idempotency_key: str) -> bytes:
    key = members.key_text(idempotency_key)
    return hashlib.sha256(str(caller_key(actor.id, key)).encode()).digest()[:16]


def _asked(*facts: str) -> bytes:
    return hashlib.sha256(json.dumps(facts).encode()).digest()[:16]
