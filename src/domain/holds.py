"""Holds: a till sets points aside, captures what the sale took of them, or lets them go. What nobody ends lapses.

A hold belongs to the program, not to the till that made it: whoever may hold points may end any hold, so that a sale begun at
one till can be finished at another.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain

from domain import accounts, days, ledger, limits, members
from domain.access import Actor
from domain.entries import Entry, EntryKind, Explanation, Record, caller_key
from domain.ledger import Operation, Outcome
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.programs import Program
from domain.refusals import (
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidPoints,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    Refusal,
)
from domain.store import Store


class InvalidTtl(Refusal):
    """A hold would last no time, or longer than the program lets points be set aside."""


class TooManyHolds(Refusal):
    """The account has `limits.HOLDS_MAX` open holds already."""

    final = True


class HoldNotFound(Refusal):
    """Nobody ever made a hold with this id."""


class HoldEnded(Refusal):
    """The hold was captured or released, or it lapsed; its message says which, and when."""

    final = True


class CaptureExceedsHold(Refusal):
    """More points are to be captured than the hold has set aside."""

    final = True


HOLD_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidPoints,
    InvalidTtl,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    IdempotencyKeyReused,
    MemberClosed,
    MemberBlocked,
    TooManyHolds,
    InsufficientPoints,
)
CAPTURE_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidPoints,
    HoldNotFound,
    IdempotencyKeyReused,
    HoldEnded,
    CaptureExceedsHold,
)
RELEASE_REFUSALS: tuple[type[Refusal], ...] = (InvalidText, HoldNotFound, IdempotencyKeyReused, HoldEnded)


def hold(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup,
    points: int,
    ttl_seconds: int | None,
    now: datetime,
) -> Outcome:
    """Sets `points` aside for `ttl_seconds` (the program's default when None), soonest-expiring first. The hold's number is the
    sequence of its record.

    Refuses, in this order: `InvalidText`, `InvalidPoints`, `InvalidTtl`, `InvalidEmail`, `InvalidPhone`, `MemberNotFound`,
    `IdempotencyKeyReused`, `MemberClosed`, `MemberBlocked`, `TooManyHolds`, `InsufficientPoints`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    _check_points(points)
    if ttl_seconds is not None:
        # As a number: what a caller may send does not always fit a duration.
        _check_ttl(ttl_seconds, limits.HOLD_TTL_MAX)
    account = members.resolve(store, actor=actor, by=member, field=("input", "member"), key=key)
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(store, "pointsHold", member.kind, member.value, points, ttl_seconds),
    )

    def decide(before: Record) -> Entry:
        state, rules = before.state, program.holds
        if ttl_seconds is not None:
            _check_ttl(ttl_seconds, rules.ttl_max)
        accounts.require_active(state)
        if len(state.holds) >= limits.HOLDS_MAX:
            raise TooManyHolds(f"The account has {len(state.holds)} open holds already.", field=("input", "member"))
        ttl = rules.ttl_default if ttl_seconds is None else timedelta(seconds=ttl_seconds)
        return Entry(
            kind=EntryKind.HOLD,
            at=now,
            lines=accounts.hold(state, before.seq, points, field=("input", "points")),
            balance_after=0,
            explanation=(Explanation("hold", -points),),
            actor=actor.id,
            lapses_at=max(now, state.at) + ttl,
        )

    return ledger.commit(store, operation, decide, now=now, program=program)


def capture(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    account: str,
    number: int,
    points: int | None,
    now: datetime,
) -> Outcome:
    """Spends `points` of the hold `number` of `account`, or all of it when None, and gives the rest back at once.

    A hold is a promise to the till: it can be captured while it is open, though the account was blocked meanwhile, or the
    bucket its points came from has expired. Refuses, in this order: `InvalidText`, `InvalidPoints`, `HoldNotFound`,
    `IdempotencyKeyReused`, `HoldEnded`, `CaptureExceedsHold`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    if points is not None:
        _check_points(points)

    def decide(before: Record) -> Entry:
        held = _open_hold(store, before, account, number)
        captured = held.points if points is None else points
        if captured > held.points:
            raise CaptureExceedsHold(f"The hold has {held.points} points, not {captured}.", field=("input", "points"))
        return Entry(
            kind=EntryKind.CAPTURE,
            at=now,
            lines=accounts.release(before.state, number, today=_today(before, program, now), captured=captured),
            balance_after=0,
            explanation=(Explanation("capture", -captured),),
            actor=actor.id,
        )

    operation = Operation(
        key=key, account=account, fingerprint=ledger.fingerprint(store, "pointsCapture", account, number, points)
    )
    return _end(store, program, operation, number, decide, now=now)


def release(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    account: str,
    number: int,
    now: datetime,
) -> Outcome:
    """Gives all points of the hold `number` of `account` back to the buckets they came from, there to expire if their time
    came meanwhile.

    Refuses, in this order: `InvalidText`, `HoldNotFound`, `IdempotencyKeyReused`, `HoldEnded`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))

    def decide(before: Record) -> Entry:
        held = _open_hold(store, before, account, number)
        return Entry(
            kind=EntryKind.RELEASE,
            at=now,
            lines=accounts.release(before.state, number, today=_today(before, program, now)),
            balance_after=0,
            explanation=(Explanation("release", held.points),),
            actor=actor.id,
        )

    operation = Operation(
        key=key, account=account, fingerprint=ledger.fingerprint(store, "pointsRelease", account, number)
    )
    return _end(store, program, operation, number, decide, now=now)


def _end(
    store: Store, program: Program, operation: Operation, number: int, decide: ledger.Decision, *, now: datetime
) -> Outcome:
    if number < 1:
        raise _not_found()
    try:
        return ledger.commit(store, operation, decide, now=now, program=program)
    except MemberNotFound:
        # Nobody has the account that the id names.
        raise _not_found() from None


def _open_hold(store: Store, before: Record, account: str, number: int) -> accounts.Hold:
    """The hold, if it is open. Refuses `HoldNotFound`, `HoldEnded`.

    An account that was merged since has no open hold: a merge waits for them to end. Its survivor may have one of the same
    number, which is another hold.
    """
    is_own = before.account == account
    held = before.state.holds.get(number) if is_own else None
    if held is not None:
        return held
    # A record after the one that was read proves nothing about a hold that is not in its state: it may be this very hold.
    opened = () if is_own and number >= before.seq else store.records_after(account, number - 1, limit=1)
    if not any(entry.kind is EntryKind.HOLD for record in opened for entry in record.entries):
        raise _not_found()
    # What time has done since may not be booked yet.
    for entry in chain(_entries_after(store, account, number), before.entries if is_own else ()):
        if any(line.hold == number for line in entry.lines):
            how = _ENDINGS.get(entry.kind, "ended")
            raise HoldEnded(f"The hold {how} at {days.text_of(entry.at)}.", field=("input", "holdId"))
    raise HoldEnded("The hold has ended.", field=("input", "holdId"))


_ENDINGS = {EntryKind.CAPTURE: "was captured", EntryKind.RELEASE: "was released", EntryKind.LAPSE: "lapsed"}


def _entries_after(store: Store, account: str, seq: int) -> Iterator[Entry]:
    for _ in range(limits.RESUME_PAGES_MAX):
        page = store.records_after(account, seq, limit=limits.RESUME_PAGE)
        for record in page:
            yield from record.entries
        if len(page) < limits.RESUME_PAGE:
            return
        seq = page[-1].seq


def _not_found() -> HoldNotFound:
    return HoldNotFound("There is no such hold.", field=("input", "holdId"))


def _check_points(points: int) -> None:
    if not 0 < points <= limits.ADJUSTMENT_POINTS_MAX:
        raise InvalidPoints(f"Give 1 to {limits.ADJUSTMENT_POINTS_MAX} points.", field=("input", "points"))


def _check_ttl(seconds: int, ttl_max: timedelta) -> None:
    most = int(ttl_max.total_seconds())
    if not 0 < seconds <= most:
        raise InvalidTtl(f"A hold lasts 1 to {most} seconds.", field=("input", "ttlSeconds"))


def _today(before: Record, program: Program, now: datetime) -> int:
    return days.day_of(max(now, before.state.at), program.zone)
