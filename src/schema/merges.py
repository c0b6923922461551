"""Merges through the API: two accounts of one person become one, and two again."""

from enum import Enum

import strawberry

from domain import merges
from domain.access import Permission
from domain.refusals import Refusal
from schema import entries, refusals
from schema.access import Permitted
from schema.context import Info
from schema.entries import NOTE, MergeEntry, UnmergeEntry
from schema.members import Member, MemberByInput, load
from schema.refusals import IDEMPOTENCY_KEY, UserError

_REASON = "A code such as `SAME_PERSON`: capital letters, digits and _; no free text."
_REPLAYED = "True when an earlier call with this key had this answer."


@strawberry.input(description="Two accounts of one person.")
class MemberMergeInput:
    """A merge to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    duplicate: MemberByInput = strawberry.field(description="The member whose account becomes part of the other one.")
    survivor: MemberByInput = strawberry.field(description="The member who stays, with their own profile.")
    reason: str = strawberry.field(description=_REASON)
    note: str | None = strawberry.field(default=None, description=NOTE)


@strawberry.input(description="A merge to undo.")
class MemberUnmergeInput:
    """A merge to undo."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    duplicate: MemberByInput = strawberry.field(
        description="The member who was merged into another, named as before: by their own id, contact or card."
    )
    reason: str = strawberry.field(description=_REASON)
    note: str | None = strawberry.field(default=None, description=NOTE)


@strawberry.enum(description="Why two accounts were not merged.")
class MemberMergeErrorCode(Enum):
    """Codes of `domain.merges.MERGE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    MERGE_WITH_SELF = "MERGE_WITH_SELF"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    MEMBER_BLOCKED = "MEMBER_BLOCKED"
    HOLDS_OPEN = "HOLDS_OPEN"
    TOO_MANY_MERGES = "TOO_MANY_MERGES"


@strawberry.enum(description="Why a merge was not undone.")
class MemberUnmergeErrorCode(Enum):
    """Codes of `domain.merges.UNMERGE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    NOT_MERGED = "NOT_MERGED"
    SURVIVOR_MERGED = "SURVIVOR_MERGED"
    UNDO_WINDOW_PASSED = "UNDO_WINDOW_PASSED"


@strawberry.type(description="Why two accounts were not merged.")
class MemberMergeUserError(UserError):
    """A refusal of `memberMerge`."""

    code: MemberMergeErrorCode


@strawberry.type(description="Why a merge was not undone.")
class MemberUnmergeUserError(UserError):
    """A refusal of `memberUnmerge`."""

    code: MemberUnmergeErrorCode


@strawberry.type
class MemberMergePayload:
    """The member that both are now, or why they are not."""

    member: Member | None = strawberry.field(default=None, description="The survivor as they are now.")
    entry: MergeEntry | None = strawberry.field(default=None, description="The survivor's entry.")
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[MemberMergeUserError] = strawberry.field(default_factory=list)


@strawberry.type
class MemberUnmergePayload:
    """The member who is their own again, or why they are not."""

    member: Member | None = strawberry.field(
        default=None, description="The member who had been merged, as they are now."
    )
    entry: UnmergeEntry | None = strawberry.field(default=None, description="The survivor's entry.")
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[MemberUnmergeUserError] = strawberry.field(default_factory=list)


def member_merge(info: Info, input: MemberMergeInput) -> MemberMergePayload:
    """Merges two accounts."""
    context = info.context
    try:
        outcome = merges.merge(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            duplicate=input.duplicate.lookup("input", "duplicate"),
            survivor=input.survivor.lookup("input", "survivor"),
            reason=input.reason,
            note=context.draft(input.note),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberMergeUserError, MemberMergeErrorCode)
        return MemberMergePayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, MergeEntry)
    return MemberMergePayload(member=load(info, record.account, strong=True), entry=shown, replayed=outcome.replayed)


def member_unmerge(info: Info, input: MemberUnmergeInput) -> MemberUnmergePayload:
    """Undoes a merge."""
    context = info.context
    try:
        outcome = merges.unmerge(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            duplicate=input.duplicate.lookup("input", "duplicate"),
            reason=input.reason,
            note=context.draft(input.note),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberUnmergeUserError, MemberUnmergeErrorCode)
        return MemberUnmergePayload(replayed=refusal.replayed, user_errors=[error])
    record, entry = outcome.record, outcome.entry
    assert entry.peer
    shown = entries.entry_of(record.account, record.seq, outcome.index, entry)
    assert isinstance(shown, UnmergeEntry)
    return MemberUnmergePayload(member=load(info, entry.peer[0], strong=True), entry=shown, replayed=outcome.replayed)


@strawberry.type
class MergeMutations:
    """Fields of the mutation root."""

    member_merge: MemberMergePayload = strawberry.field(
        resolver=member_merge,
        description="Makes two accounts of one person one: points with their dates, pending points and what is owed go to the "
        "survivor, and whatever led to the duplicate (id, contacts, card, login) leads there from then on. Both histories stay. "
        "Neither may have open holds. Can be undone for the days the program says. Needs a manager. A refusal is final for its "
        "key.",
        extensions=[Permitted(Permission.MEMBERS_MERGE)],
    )
    member_unmerge: MemberUnmergePayload = strawberry.field(
        resolver=member_unmerge,
        description="Undoes a merge: the points that came with it go back, as far as they are left, and whatever was booked "
        "since stays with the survivor. Needs a manager. A refusal is final for its key.",
        extensions=[Permitted(Permission.MEMBERS_MERGE)],
    )
