"""Holds through the API: a till sets points aside, and captures or releases them."""

from enum import Enum
from typing import TypeVar

import strawberry

from domain import accounts as domain_accounts
from domain import holds
from domain.access import Permission
from domain.ledger import Outcome
from domain.refusals import Refusal
from schema import accounts, entries, refusals
from schema.access import Permitted
from schema.accounts import Account, Hold
from schema.context import Info
from schema.entries import CaptureEntry, HoldEntry, ReleaseEntry
from schema.members import MemberByInput
from schema.nodes import place_of
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import Long

_HOLD_ID = "The id of the `Hold` that `pointsHold` gave. Any till may end it, not only the one that made it."


@strawberry.input(description="Points to set aside.")
class PointsHoldInput:
    """A hold to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    member: MemberByInput = strawberry.field(description="Whose points.")
    points: Long = strawberry.field(description="Points to set aside: at least 1.")
    ttl_seconds: Long | None = strawberry.field(
        default=None,
        description="How long, in seconds: at least 1, at most what the program allows (a week, or less). The program's own "
        "default when left out.",
    )


@strawberry.enum(description="Why points were not set aside.")
class PointsHoldErrorCode(Enum):
    """Codes of `domain.holds.HOLD_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_POINTS = "INVALID_POINTS"
    INVALID_TTL = "INVALID_TTL"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    MEMBER_BLOCKED = "MEMBER_BLOCKED"
    TOO_MANY_HOLDS = "TOO_MANY_HOLDS"
    INSUFFICIENT_POINTS = "INSUFFICIENT_POINTS"


@strawberry.type(description="Why points were not set aside.")
class PointsHoldUserError(UserError):
    """A refusal of `pointsHold`."""

    code: PointsHoldErrorCode


@strawberry.type
class PointsHoldPayload:
    """The hold as it was made, or why there is none."""

    hold: Hold | None = strawberry.field(default=None, description="The hold as it was made.")
    entry: HoldEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[PointsHoldUserError] = strawberry.field(default_factory=list)


@strawberry.input(description="Held points to spend.")
class PointsCaptureInput:
    """A capture to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    hold_id: strawberry.ID = strawberry.field(description=_HOLD_ID)
    points: Long | None = strawberry.field(
        default=None,
        description="Points to spend: at least 1, at most what the hold has set aside; all of it when left out. The rest goes "
        "back at once.",
    )


@strawberry.enum(description="Why held points were not captured.")
class PointsCaptureErrorCode(Enum):
    """Codes of `domain.holds.CAPTURE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_POINTS = "INVALID_POINTS"
    HOLD_NOT_FOUND = "HOLD_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    HOLD_ENDED = "HOLD_ENDED"
    CAPTURE_EXCEEDS_HOLD = "CAPTURE_EXCEEDS_HOLD"


@strawberry.type(description="Why held points were not captured.")
class PointsCaptureUserError(UserError):
    """A refusal of `pointsCapture`."""

    code: PointsCaptureErrorCode


@strawberry.type
class PointsCapturePayload:
    """The capture's entry, or why there is none."""

    entry: CaptureEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[PointsCaptureUserError] = strawberry.field(default_factory=list)


@strawberry.input(description="Held points to let go.")
class PointsReleaseInput:
    """A release to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    hold_id: strawberry.ID = strawberry.field(description=_HOLD_ID)


@strawberry.enum(description="Why held points were not released.")
class PointsReleaseErrorCode(Enum):
    """Codes of `domain.holds.RELEASE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    HOLD_NOT_FOUND = "HOLD_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    HOLD_ENDED = "HOLD_ENDED"


@strawberry.type(description="Why held points were not released.")
class PointsReleaseUserError(UserError):
    """A refusal of `pointsRelease`."""

    code: PointsReleaseErrorCode


@strawberry.type
class PointsReleasePayload:
    """The release's entry, or why there is none."""

    entry: ReleaseEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[PointsReleaseUserError] = strawberry.field(default_factory=list)


def points_hold(info: Info, input: PointsHoldInput) -> PointsHoldPayload:
    """Sets points aside."""
    context = info.context
    try:
        outcome = holds.hold(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            member=input.member.lookup("input", "member"),
            points=input.points,
            ttl_seconds=input.ttl_seconds,
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PointsHoldUserError, PointsHoldErrorCode)
        return PointsHoldPayload(replayed=refusal.replayed, user_errors=[error])
    record, entry = outcome.record, outcome.entry
    assert entry.lapses_at
    # As it was made: a retry tells the same, though the hold may have ended since.
    held = domain_accounts.Hold(entry.lapses_at, {line.expires: line.points for line in entry.lines if line.hold})
    return PointsHoldPayload(
        hold=accounts.hold_of(record.account, record.seq, held),
        entry=_entry(outcome, HoldEntry),
        account=accounts.account_after(context, outcome),
        replayed=outcome.replayed,
    )


def points_capture(info: Info, input: PointsCaptureInput) -> PointsCapturePayload:
    """Spends held points."""
    context = info.context
    account, number = _place(input.hold_id)
    try:
        outcome = holds.capture(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            account=account,
            number=number,
            points=input.points,
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PointsCaptureUserError, PointsCaptureErrorCode)
        return PointsCapturePayload(replayed=refusal.replayed, user_errors=[error])
    return PointsCapturePayload(
        entry=_entry(outcome, CaptureEntry),
        account=accounts.account_after(context, outcome),
        replayed=outcome.replayed,
    )


def points_release(info: Info, input: PointsReleaseInput) -> PointsReleasePayload:
    """Lets held points go."""
    context = info.context
    account, number = _place(input.hold_id)
    try:
        outcome = holds.release(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            account=account,
            number=number,
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PointsReleaseUserError, PointsReleaseErrorCode)
        return PointsReleasePayload(replayed=refusal.replayed, user_errors=[error])
    return PointsReleasePayload(
        entry=_entry(outcome, ReleaseEntry),
        account=accounts.account_after(context, outcome),
        replayed=outcome.replayed,
    )


EntryT = TypeVar("EntryT", HoldEntry, CaptureEntry, ReleaseEntry)


def _entry(outcome: Outcome, kind: type[EntryT]) -> EntryT:
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, kind)
    return shown


def _place(hold_id: str) -> tuple[str, int]:
    """Account and number of a hold; those of no hold for any other text."""
    account, numbers = place_of("Hold", hold_id)
    return (account, numbers[0]) if len(numbers) == 1 else ("", 0)


@strawberry.type
class HoldMutations:
    """Fields of the mutation root."""

    points_hold: PointsHoldPayload = strawberry.field(
        resolver=points_hold,
        description="Sets points aside for a sale that is being made, the soonest-expiring first: nobody else can spend them. "
        "They go back by themselves at `lapsesAt`. A member has at most 8 open holds. For tills and managers. A refusal is "
        "final for its key.",
        extensions=[Permitted(Permission.POINTS_HOLD)],
    )
    points_capture: PointsCapturePayload = strawberry.field(
        resolver=points_capture,
        description="Spends all or some of the points of an open hold and gives the rest back at once; a hold is captured once. "
        "Works while the hold is open, though the account was blocked or the points would have expired. For tills and "
        "managers. A refusal is final for its key.",
        extensions=[Permitted(Permission.POINTS_HOLD)],
    )
    points_release: PointsReleasePayload = strawberry.field(
        resolver=points_release,
        description="Gives all points of an open hold back, with the expiry dates they had. For tills and managers. A refusal "
        "is final for its key.",
        extensions=[Permitted(Permission.POINTS_HOLD)],
    )
