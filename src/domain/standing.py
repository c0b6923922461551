"""Standing: an account is blocked while somebody looks into it, unblocked, or closed for good, each for a reason."""

from collections.abc import Callable
from datetime import datetime

from domain import accounts, ledger, members, notes
from domain.access import Actor, Permission
from domain.accounts import State, Status
from domain.entries import Entry, EntryKind, Explanation, Record, caller_key
from domain.ledger import Operation, Outcome, Plan
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.notes import Draft
from domain.programs import Program
from domain.refusals import (
    HoldsOpen,
    IdempotencyKeyReused,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    Refusal,
    require_reason,
)
from domain.store import NOTHING, Beside, Store, Update


class AlreadyBlocked(Refusal):
    """The account is blocked already."""

    final = True


class NotBlocked(Refusal):
    """The account is not blocked."""

    final = True


_NAMING: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    IdempotencyKeyReused,
    MemberClosed,
)
BLOCK_REFUSALS: tuple[type[Refusal], ...] = (*_NAMING, AlreadyBlocked)
UNBLOCK_REFUSALS: tuple[type[Refusal], ...] = (*_NAMING, NotBlocked)
CLOSE_REFUSALS: tuple[type[Refusal], ...] = (*_NAMING, MemberBlocked, HoldsOpen)

# Explains what of a closed account's points was owed and will never be paid; a reason code cannot be called so.
WRITTEN_OFF = "closure:debt"


def block(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup,
    reason: str,
    note: Draft | None,
    now: datetime,
) -> Outcome:
    """Stops an account from earning and spending. Time goes on: points still mature and expire, open holds still lapse.

    Refuses, in this order: `InvalidText`, `InvalidEmail`, `InvalidPhone`, `MemberNotFound`, `IdempotencyKeyReused`,
    `MemberClosed`, `AlreadyBlocked`, `OutcomeUnknown`.
    """

    def require_unblocked(state: State) -> None:
        if state.status is Status.BLOCKED:
            raise AlreadyBlocked("This account is blocked already.", field=("input", "member"))

    return _turn(
        EntryKind.BLOCK,
        store,
        program,
        actor=actor,
        idempotency_key=idempotency_key,
        member=member,
        reason=reason,
        note=note,
        require=require_unblocked,
        now=now,
    )


def unblock(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup,
    reason: str,
    note: Draft | None,
    now: datetime,
) -> Outcome:
    """Ends a block. What was bought meanwhile has earned nothing and stays so.

    Refuses, in this order: `InvalidText`, `InvalidEmail`, `InvalidPhone`, `MemberNotFound`, `IdempotencyKeyReused`,
    `MemberClosed`, `NotBlocked`, `OutcomeUnknown`.
    """

    def require_blocked(state: State) -> None:
        if state.status is not Status.BLOCKED:
            raise NotBlocked("This account is not blocked.", field=("input", "member"))

    return _turn(
        EntryKind.UNBLOCK,
        store,
        program,
        actor=actor,
        idempotency_key=idempotency_key,
        member=member,
        reason=reason,
        note=note,
        require=require_blocked,
        now=now,
    )


def close(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup | None,
    reason: str,
    note: Draft | None,
    now: datetime,
) -> Outcome:
    """Ends a membership for good: points that are left, pending ones too, are gone, and a debt is written off.

    Contacts, card, external id and login are free from the same moment on, so that the person can join anew. The profile stays
    readable. What does not become free: the look-ups of accounts that were merged into this one, and a login whose token names
    the account, because that is said by whoever issues the token.

    `member` is left out by members, who cannot end a block this way. Refuses, in this order: `InvalidText`, `InvalidEmail`,
    `InvalidPhone`, `MemberNotFound`, `IdempotencyKeyReused`, `MemberClosed`, `MemberBlocked` (for members themselves),
    `HoldsOpen`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    reason = require_reason(reason)
    kept = notes.checked(note)
    account = members.named_or_own(
        store, actor=actor, by=member, may_name=Permission.MEMBERS_CLOSE, field=("input", "member"), key=key
    )
    is_own = not actor.may(Permission.MEMBERS_CLOSE)
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(
            store,
            "memberClose",
            (member.kind, member.value) if member else ("own", account),
            reason,
            kept.text if kept else None,
        ),
    )

    def decide(before: Record) -> Plan:
        state = before.state
        (accounts.require_active if is_own else accounts.require_open)(state)
        if state.holds:
            raise HoldsOpen(
                f"{state.held_points} points are set aside by a till; capture or release them first.",
                field=("input", "member"),
            )
        entry = Entry(
            kind=EntryKind.CLOSURE,
            at=now,
            lines=accounts.emptied(state),
            balance_after=0,
            explanation=(
                Explanation(f"closure:{reason}", -state.balance - state.pending_points),
                *((Explanation(WRITTEN_OFF, state.debt),) if state.debt else ()),
            ),
            actor=actor.id,
            reason=reason,
        )
        return notes.planned(entry, kept, _look_ups_given_up(store, before.account))

    return ledger.commit(store, operation, decide, now=now, program=program)


def _turn(
    kind: EntryKind,
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup,
    reason: str,
    note: Draft | None,
    require: Callable[[State], None],
    now: datetime,
) -> Outcome:
    """Books an entry that moves no points and changes what the account may do."""
    key = caller_key(actor.id, members.key_text(idempotency_key))
    reason = require_reason(reason)
    kept = notes.checked(note)
    account = members.resolve(store, actor=actor, by=member, field=("input", "member"), key=key)
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(
            store, f"member{kind.value.title()}", member.kind, member.value, reason, kept.text if kept else None
        ),
    )

    def decide(before: Record) -> Plan:
        accounts.require_open(before.state)
        require(before.state)
        entry = Entry(
            kind=kind,
            at=now,
            lines=(),
            balance_after=0,
            explanation=(Explanation(f"{kind.value.lower()}:{reason}", 0),),
            actor=actor.id,
            reason=reason,
        )
        return notes.planned(entry, kept)

    return ledger.commit(store, operation, decide, now=now, program=program)


def _look_ups_given_up(store: Store, account: str) -> Beside:
    # Read after the account: whoever changes the profile between the two makes the append lose.
    home = store.home(account, entries=0, strong=True)
    assert home is not None
    profile = home.profile
    if profile is None:
        return NOTHING
    return Beside(update=Update(account, profile, given_up=members.lookups_of(profile)))
