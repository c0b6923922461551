"""Adjustments: a manager corrects a balance by another entry, with a reason."""

import re
from datetime import datetime

from domain import accounts, days, ledger, limits, members
from domain.access import Actor
from domain.accounts import State
from domain.ledger import Entry, EntryKind, Explanation, Operation, Outcome, Store
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.programs import Program
from domain.refusals import (
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidText,
    MemberNotFound,
    Refusal,
    require_text,
)


class InvalidPoints(Refusal):
    """Zero points, or more than `limits.ADJUSTMENT_POINTS_MAX` either way."""


ADJUST_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidPoints,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    IdempotencyKeyReused,
    InsufficientPoints,
)

# A code, not a sentence: free text never stands in the ledger, which nobody can erase.
_REASON = re.compile(r"[A-Z][A-Z0-9_]*")


def adjust(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup,
    points: int,
    reason: str,
    now: datetime,
) -> Outcome:
    """Adds `points`, which expire as points earned today do, or takes them, soonest-expiring first when negative.

    `reason` is a code such as `GOODWILL`. Refuses, in this order: `InvalidText`, `InvalidPoints`, `InvalidEmail`,
    `InvalidPhone`, `MemberNotFound`, `IdempotencyKeyReused`, `InsufficientPoints`, `OutcomeUnknown`.
    """
    key = ledger.caller_key(actor.id, members.key_text(idempotency_key))
    reason = require_text(reason, field=("input", "reason"), length_max=limits.REASON_LENGTH_MAX, pattern=_REASON)
    if not 0 < abs(points) <= limits.ADJUSTMENT_POINTS_MAX:
        raise InvalidPoints(
            f"Adjust by 1 to {limits.ADJUSTMENT_POINTS_MAX} points, up or down.", field=("input", "points")
        )
    account = members.resolve(store, actor=actor, by=member, field=("input", "member"))
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(store, "pointsAdjust", member.kind, member.value, points, reason),
    )

    def decide(state: State) -> Entry:
        today = days.day_of(max(now, state.at), program.zone)
        if points < 0:
            lines = accounts.spend(state, -points, field=("input", "points"))
        else:
            lines = accounts.earn(state, points, expires=program.terms.expiry.day_for(today), today=today)
        return Entry(
            kind=EntryKind.ADJUSTMENT,
            at=now,
            lines=lines,
            balance_after=0,
            explanation=(Explanation(f"adjustment:{reason}", points),),
            actor=actor.id,
            reason=reason,
            terms=program.terms.version,
        )

    return ledger.commit(store, operation, decide, now=now, zone=program.zone)
