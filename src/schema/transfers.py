"""Transfers through the API: giving points to another member."""

from enum import Enum

import strawberry

from domain import entries as booked
from domain import transfers
from domain.access import Permission
from domain.entries import Entry
from domain.refusals import Refusal
from schema import accounts, entries, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Info
from schema.entries import TransferOutEntry
from schema.members import MemberByInput
from schema.nodes import Node, to_id
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import DateTime, Long


@strawberry.type(
    description="Points that a member gave to another. Both can see it; it tells neither who the other is."
)
class Transfer(Node):
    """A transfer."""

    points: Long = strawberry.field(description="Points given.")
    transferred_at: DateTime


@strawberry.input(description="Points to give.")
class PointsTransferInput:
    """A transfer to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    to: MemberByInput = strawberry.field(description="Who gets them: another member, named in any way.")
    points: Long = strawberry.field(
        description="How many, within what the program lets be given at a time and on one day. Held and pending points cannot be "
        "given."
    )
    from_: MemberByInput | None = strawberry.field(
        name="from", default=None, description="Whose; left out by members, who give what is theirs."
    )


@strawberry.enum(description="Why no points were given.")
class PointsTransferErrorCode(Enum):
    """Codes of `domain.transfers.TRANSFER_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_POINTS = "INVALID_POINTS"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    TRANSFER_TO_SELF = "TRANSFER_TO_SELF"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    MEMBER_BLOCKED = "MEMBER_BLOCKED"
    TRANSFER_LIMIT = "TRANSFER_LIMIT"
    INSUFFICIENT_POINTS = "INSUFFICIENT_POINTS"


@strawberry.type(description="Why no points were given.")
class PointsTransferUserError(UserError):
    """A refusal of `pointsTransfer`."""

    code: PointsTransferErrorCode


@strawberry.type
class PointsTransferPayload:
    """The transfer, or why there is none."""

    transfer: Transfer | None = None
    entry: TransferOutEntry | None = strawberry.field(default=None, description="The giver's entry.")
    account: Account | None = strawberry.field(default=None, description="The giver's account as it is now.")
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[PointsTransferUserError] = strawberry.field(default_factory=list)


def points_transfer(info: Info, input: PointsTransferInput) -> PointsTransferPayload:
    """Gives points."""
    context = info.context
    try:
        outcome = transfers.transfer(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            giver=input.from_.lookup("input", "from") if input.from_ else None,
            receiver=input.to.lookup("input", "to"),
            points=input.points,
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PointsTransferUserError, PointsTransferErrorCode)
        return PointsTransferPayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, TransferOutEntry)
    return PointsTransferPayload(
        transfer=transfer_of(record.account, record.seq, outcome.index, outcome.entry),
        entry=shown,
        account=accounts.account_after(context, outcome),
        replayed=outcome.replayed,
    )


@strawberry.type
class TransferMutations:
    """Fields of the mutation root."""

    points_transfer: PointsTransferPayload = strawberry.field(
        resolver=points_transfer,
        description="Gives points to another member, the soonest-expiring ones; they keep their expiry dates, and pay what the "
        "receiver owes. Members give what is theirs, managers what is the member's they name. A receiver who cannot get points "
        "is not found. A refusal is final for its key.",
        extensions=[Permitted(Permission.POINTS_TRANSFER, Permission.OWN_POINTS_TRANSFER)],
    )


def transfer_of(account: str, seq: int, index: int, entry: Entry) -> Transfer:
    """A transfer as the contract shows it; `entry` is the giver's."""
    assert entry.kind is booked.EntryKind.TRANSFER_OUT
    return Transfer(
        id=to_id("Transfer", f"{account}:{seq}:{index}"),
        points=Long(-entry.points),
        transferred_at=DateTime(entry.at),
    )
