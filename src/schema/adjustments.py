"""Adjustments through the API: a manager corrects a balance, with a reason."""

from enum import Enum

import strawberry

from domain import adjustments
from domain.access import Permission
from domain.refusals import Refusal
from schema import accounts, entries, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Info
from schema.entries import NOTE, AdjustmentEntry
from schema.members import MemberByInput
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import Long


@strawberry.input(description="A correction by staff.")
class PointsAdjustInput:
    """An adjustment to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    member: MemberByInput
    points: Long = strawberry.field(description="Points to add, or to take when negative.")
    reason: str = strawberry.field(
        description="A code such as `GOODWILL`: capital letters, digits and _; no free text."
    )
    note: str | None = strawberry.field(default=None, description=NOTE)


@strawberry.enum(description="Why points were not adjusted.")
class PointsAdjustErrorCode(Enum):
    """Codes of `domain.adjustments.ADJUST_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_POINTS = "INVALID_POINTS"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    INSUFFICIENT_POINTS = "INSUFFICIENT_POINTS"


@strawberry.type(description="Why points were not adjusted.")
class PointsAdjustUserError(UserError):
    """A refusal of `pointsAdjust`."""

    code: PointsAdjustErrorCode


@strawberry.type
class PointsAdjustPayload:
    """The adjustment's entry, or why there is none."""

    entry: AdjustmentEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[PointsAdjustUserError] = strawberry.field(default_factory=list)


def points_adjust(info: Info, input: PointsAdjustInput) -> PointsAdjustPayload:
    """Adjusts a balance."""
    context = info.context
    try:
        outcome = adjustments.adjust(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            member=input.member.lookup("input", "member"),
            points=input.points,
            reason=input.reason,
            note=context.draft(input.note),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PointsAdjustUserError, PointsAdjustErrorCode)
        return PointsAdjustPayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, AdjustmentEntry)
    return PointsAdjustPayload(entry=shown, account=accounts.account_after(context, outcome), replayed=outcome.replayed)


@strawberry.type
class AdjustmentMutations:
    """Fields of the mutation root."""

    points_adjust: PointsAdjustPayload = strawberry.field(
        resolver=points_adjust,
        description="Corrects a balance by another entry. Needs a manager. Points added expire as if earned today; "
        "points taken are the soonest-expiring ones.",
        extensions=[Permitted(Permission.POINTS_ADJUST)],
    )
