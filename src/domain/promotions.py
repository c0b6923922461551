"""Promotions: staff give a member a tier, for a while or for ever, or take one away, for a reason."""

from datetime import date, datetime

from domain import accounts, days, ledger, limits, members, notes, tiers
from domain.access import Actor
from domain.entries import Record, caller_key
from domain.ledger import Operation, Outcome, Plan
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.notes import Draft
from domain.programs import Program
from domain.refusals import (
    IdempotencyKeyReused,
    InvalidDate,
    InvalidText,
    MemberClosed,
    MemberNotFound,
    Refusal,
    require_reason,
    require_text,
)
from domain.store import Store
from domain.tiers import Change


class UnknownTier(Refusal):
    """The program has no tier under this id today."""


SET_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    IdempotencyKeyReused,
    UnknownTier,
    InvalidDate,
    MemberClosed,
)


def set_tier(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup,
    tier: str,
    until: date | None,
    reason: str,
    note: Draft | None,
    now: datetime,
) -> Outcome:
    """Gives a member a tier through the whole of day `until`, or, without one, for ever; the lowest takes what they had away.

    From then on they rise when they reach a threshold that they had not reached before; when the day is over, by what they have
    earned. A lower tier that they had for longer goes on then. Also on a blocked account. Refuses, in this order: `InvalidText`,
    `InvalidEmail`, `InvalidPhone`, `MemberNotFound`, `IdempotencyKeyReused`, `UnknownTier`, `InvalidDate` for a day that is over,
    or more than `limits.TIER_DAYS_AHEAD_MAX` days ahead, `MemberClosed`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    wanted = require_text(tier, field=("input", "tier"), length_max=limits.LABEL_LENGTH_MAX)
    reason = require_reason(reason)
    kept = notes.checked(note)
    account = members.resolve(store, actor=actor, by=member, field=("input", "member"), key=key)
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(
            store,
            "memberTierSet",
            (member.kind, member.value),
            wanted,
            until.isoformat() if until else None,
            reason,
            kept.text if kept else None,
        ),
    )

    def decide(before: Record) -> Plan:
        ladder = program.ladder
        if ladder is None:
            raise UnknownTier("The program has no tiers.", field=("input", "tier"))
        if not any(each.id == wanted for each in ladder.tiers):
            known = ", ".join(each.id for each in ladder.tiers)
            raise UnknownTier(f"The program has no tier {wanted!r}: its tiers are {known}.", field=("input", "tier"))
        today = days.day_of(max(now, before.state.at), program.zone)
        last = days.day_number(until) if until else 0
        # 1970-01-01, which is day 0, is what some clients send for no day.
        if until is not None and last < today:
            raise InvalidDate("The last day of the tier is over.", field=("input", "until"))
        if last > today + limits.TIER_DAYS_AHEAD_MAX:
            raise InvalidDate("For a tier of that long, leave its end out.", field=("input", "until"))
        accounts.require_open(before.state)
        standing = tiers.given(ladder, before.state, wanted, last, today=today)
        return notes.planned(
            tiers.changed(ladder, standing, Change.SET, at=now, actor=actor.id, reason=reason),
            kept,
        )

    return ledger.commit(store, operation, decide, now=now, program=program)
