"""Promotions through the API: staff set the tier of a member."""

from enum import Enum

import strawberry

from domain import promotions
from domain.access import Permission
from domain.refusals import Refusal
from schema import accounts, entries, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Info
from schema.entries import NOTE, TierEntry
from schema.members import MemberByInput
from schema.nodes import from_id
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import Day


@strawberry.input(description="A tier to give, or to take away.")
class MemberTierSetInput:
    """A tier to set."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    member: MemberByInput = strawberry.field(description="Whose tier.")
    tier: strawberry.ID = strawberry.field(
        description="A tier's id or handle; the lowest takes away what the member has."
    )
    until: Day | None = strawberry.field(
        default=None, description="Its last day, up to a hundred years ahead; left out, it has no end."
    )
    reason: str = strawberry.field(
        description="A code such as `GOODWILL`: capital letters, digits and _; no free text."
    )
    note: str | None = strawberry.field(default=None, description=NOTE)


@strawberry.enum(description="Why a tier was not set.")
class MemberTierSetErrorCode(Enum):
    """Codes of `domain.promotions.SET_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    UNKNOWN_TIER = "UNKNOWN_TIER"
    INVALID_DATE = "INVALID_DATE"
    MEMBER_CLOSED = "MEMBER_CLOSED"


@strawberry.type(description="Why a tier was not set.")
class MemberTierSetUserError(UserError):
    """A refusal of `memberTierSet`."""

    code: MemberTierSetErrorCode


@strawberry.type
class MemberTierSetPayload:
    """The entry of the tier, or why there is none."""

    entry: TierEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[MemberTierSetUserError] = strawberry.field(default_factory=list)


def member_tier_set(info: Info, input: MemberTierSetInput) -> MemberTierSetPayload:
    """Sets a tier."""
    context = info.context
    kind, key = from_id(input.tier)
    try:
        outcome = promotions.set_tier(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            member=input.member.lookup("input", "member"),
            tier=key if kind == "Tier" else input.tier,
            until=input.until,
            reason=input.reason,
            note=context.draft(input.note),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberTierSetUserError, MemberTierSetErrorCode)
        return MemberTierSetPayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, TierEntry)
    return MemberTierSetPayload(
        entry=shown, account=accounts.account_after(context, outcome), replayed=outcome.replayed
    )


@strawberry.type
class PromotionMutations:
    """Fields of the mutation root."""

    member_tier_set: MemberTierSetPayload = strawberry.field(
        resolver=member_tier_set,
        description="Gives a member a tier, for a while or for ever, or takes away what they have. When it ends, what they have "
        "earned is there again; before, they rise when they reach a threshold that they had not reached. Also on a blocked "
        "account. Needs a manager. A refusal is final for its key.",
        extensions=[Permitted(Permission.MEMBERS_TIER)],
    )
