"""Adjustments: a manager corrects a balance by another entry, with a reason."""

from datetime import datetime

from domain import accounts, consequences, days, ledger, limits, members, notes
from domain.access import Actor
from domain.entries import Entry, EntryKind, Explanation, Record, caller_key
from domain.ledger import Operation, Outcome, Plan
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.notes import Draft
from domain.programs import Program
from domain.refusals import (
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidPoints,
    InvalidText,
    MemberClosed,
    MemberNotFound,
    Refusal,
    require_reason,
)
from domain.store import Store

ADJUST_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidPoints,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    IdempotencyKeyReused,
    MemberClosed,
    InsufficientPoints,
)


def adjust(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup,
    points: int,
    reason: str,
    note: Draft | None = None,
    now: datetime,
) -> Outcome:
    """Adds `points`, which expire as points earned today do, or takes them, soonest-expiring first when negative.

    `reason` is a code such as `GOODWILL`; what there is to say beyond it is the `note`. Refuses, in this order: `InvalidText`,
    `InvalidPoints`, `InvalidEmail`, `InvalidPhone`, `MemberNotFound`, `IdempotencyKeyReused`, `MemberClosed`,
    `InsufficientPoints`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    reason = require_reason(reason)
    kept = notes.checked(note)
    if not 0 < abs(points) <= limits.ADJUSTMENT_POINTS_MAX:
        raise InvalidPoints(
            f"Adjust by 1 to {limits.ADJUSTMENT_POINTS_MAX} points, up or down.", field=("input", "points")
        )
    account = members.resolve(store, actor=actor, by=member, field=("input", "member"), key=key)
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(
            store, "pointsAdjust", member.kind, member.value, points, reason, kept.text if kept else None
        ),
    )

    def decide(before: Record) -> Plan:
        state = before.state
        accounts.require_open(state)
        today = days.day_of(max(now, state.at), program.zone)
        if points < 0:
            lines = accounts.spend(state, -points, field=("input", "points"))
        else:
            expires, _ = consequences.placed(state, program, EntryKind.ADJUSTMENT, earned=today, today=today)
            lines = accounts.earn(state, points, expires=expires, today=today)
        entry = Entry(
            kind=EntryKind.ADJUSTMENT,
            at=now,
            lines=lines,
            balance_after=0,
            explanation=(Explanation(f"adjustment:{reason}", points),),
            actor=actor.id,
            reason=reason,
            terms=program.terms.version,
        )
        return notes.planned(entry, kept)

    return ledger.commit(store, operation, decide, now=now, program=program)
