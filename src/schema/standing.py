"""What an account may do, through the API: blocking it, unblocking it, and closing it for good."""

from enum import Enum

import strawberry

from domain import standing
from domain.access import Permission
from domain.refusals import Refusal
from schema import accounts, entries, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Info
from schema.entries import NOTE, BlockEntry, ClosureEntry, UnblockEntry
from schema.members import MemberByInput
from schema.refusals import IDEMPOTENCY_KEY, UserError

_REASON = "A code such as `FRAUD_SUSPECTED`: capital letters, digits and _; no free text."
_REPLAYED = "True when an earlier call with this key had this answer."


@strawberry.input(description="An account to block.")
class MemberBlockInput:
    """A block to put on."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    member: MemberByInput = strawberry.field(description="Whose account.")
    reason: str = strawberry.field(description=_REASON)
    note: str | None = strawberry.field(default=None, description=NOTE)


@strawberry.input(description="An account to unblock.")
class MemberUnblockInput:
    """A block to take off."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    member: MemberByInput = strawberry.field(description="Whose account.")
    reason: str = strawberry.field(description=_REASON)
    note: str | None = strawberry.field(default=None, description=NOTE)


@strawberry.input(description="A membership to end.")
class MemberCloseInput:
    """A membership to end."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    member: MemberByInput | None = strawberry.field(
        default=None, description="Whose; left out by members, who end their own."
    )
    reason: str = strawberry.field(description=_REASON)
    note: str | None = strawberry.field(default=None, description=NOTE)


@strawberry.enum(description="Why an account was not blocked.")
class MemberBlockErrorCode(Enum):
    """Codes of `domain.standing.BLOCK_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    ALREADY_BLOCKED = "ALREADY_BLOCKED"


@strawberry.enum(description="Why an account was not unblocked.")
class MemberUnblockErrorCode(Enum):
    """Codes of `domain.standing.UNBLOCK_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    NOT_BLOCKED = "NOT_BLOCKED"


@strawberry.enum(description="Why a membership was not ended.")
class MemberCloseErrorCode(Enum):
    """Codes of `domain.standing.CLOSE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    MEMBER_BLOCKED = "MEMBER_BLOCKED"
    HOLDS_OPEN = "HOLDS_OPEN"


@strawberry.type(description="Why an account was not blocked.")
class MemberBlockUserError(UserError):
    """A refusal of `memberBlock`."""

    code: MemberBlockErrorCode


@strawberry.type(description="Why an account was not unblocked.")
class MemberUnblockUserError(UserError):
    """A refusal of `memberUnblock`."""

    code: MemberUnblockErrorCode


@strawberry.type(description="Why a membership was not ended.")
class MemberCloseUserError(UserError):
    """A refusal of `memberClose`."""

    code: MemberCloseErrorCode


@strawberry.type
class MemberBlockPayload:
    """The block's entry, or why there is none."""

    entry: BlockEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[MemberBlockUserError] = strawberry.field(default_factory=list)


@strawberry.type
class MemberUnblockPayload:
    """The entry that ended the block, or why there is none."""

    entry: UnblockEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[MemberUnblockUserError] = strawberry.field(default_factory=list)


@strawberry.type
class MemberClosePayload:
    """The account's last entry, or why there is none."""

    entry: ClosureEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[MemberCloseUserError] = strawberry.field(default_factory=list)


def member_block(info: Info, input: MemberBlockInput) -> MemberBlockPayload:
    """Blocks an account."""
    context = info.context
    try:
        outcome = standing.block(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            member=input.member.lookup("input", "member"),
            reason=input.reason,
            note=context.draft(input.note),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberBlockUserError, MemberBlockErrorCode)
        return MemberBlockPayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, BlockEntry)
    return MemberBlockPayload(entry=shown, account=accounts.account_after(context, outcome), replayed=outcome.replayed)


def member_unblock(info: Info, input: MemberUnblockInput) -> MemberUnblockPayload:
    """Unblocks an account."""
    context = info.context
    try:
        outcome = standing.unblock(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            member=input.member.lookup("input", "member"),
            reason=input.reason,
            note=context.draft(input.note),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberUnblockUserError, MemberUnblockErrorCode)
        return MemberUnblockPayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, UnblockEntry)
    return MemberUnblockPayload(
        entry=shown, account=accounts.account_after(context, outcome), replayed=outcome.replayed
    )


def member_close(info: Info, input: MemberCloseInput) -> MemberClosePayload:
    """Ends a membership."""
    context = info.context
    try:
        outcome = standing.close(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            member=input.member.lookup("input", "member") if input.member else None,
            reason=input.reason,
            note=context.draft(input.note),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberCloseUserError, MemberCloseErrorCode)
        return MemberClosePayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, ClosureEntry)
    return MemberClosePayload(entry=shown, account=accounts.account_after(context, outcome), replayed=outcome.replayed)


@strawberry.type
class StandingMutations:
    """Fields of the mutation root."""

    member_block: MemberBlockPayload = strawberry.field(
        resolver=member_block,
        description="Stops an account from earning and spending: receipts are kept and earn 0 points. Needs support or a "
        "manager. A refusal is final for its key.",
        extensions=[Permitted(Permission.MEMBERS_BLOCK)],
    )
    member_unblock: MemberUnblockPayload = strawberry.field(
        resolver=member_unblock,
        description="Ends a block. What was bought meanwhile has earned nothing. Needs support or a manager. A refusal is final "
        "for its key.",
        extensions=[Permitted(Permission.MEMBERS_BLOCK)],
    )
    member_close: MemberClosePayload = strawberry.field(
        resolver=member_close,
        description="Ends a membership for good: points that are left are gone, a debt is written off, and contacts, card, "
        "external id and login are free, so that the person can join anew. Members end their own unless it is blocked, managers "
        "anyone's. To keep somebody out, block instead. A refusal is final for its key.",
        extensions=[Permitted(Permission.MEMBERS_CLOSE, Permission.OWN_ACCOUNT_CLOSE)],
    )
