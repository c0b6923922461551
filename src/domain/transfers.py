"""Transfers: a member gives points to another. They keep their expiry dates: a gift makes nobody's points live longer."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from domain import accounts, days, ledger, limits, members
from domain.access import Actor, Permission, Role
from domain.accounts import State, Status
from domain.entries import Entry, EntryKind, Explanation, Record, caller_key
from domain.ledger import Operation, Outcome, Plan
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


class TransferToSelf(Refusal):
    """Giver and receiver are one account, or have become one by a merge."""


class TransferLimit(Refusal):
    """Fewer or more points than the program lets members give at a time or on one day; its message says which, and how many
    are left."""

    final = True


TRANSFER_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidPoints,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    TransferToSelf,
    IdempotencyKeyReused,
    MemberClosed,
    MemberBlocked,
    TransferLimit,
    InsufficientPoints,
)

_FROM, _TO, _POINTS = ("input", "from"), ("input", "to"), ("input", "points")


def transfer(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    giver: Lookup | None,
    receiver: Lookup,
    points: int,
    now: datetime,
) -> Outcome:
    """Moves `points` from the giver's account to the receiver's, the soonest-expiring ones, with their expiry dates.

    `giver` is left out by members, who give what is theirs; points that are held or pending cannot be given. A receiver who
    owes points pays with them first. Refuses, in this order: `InvalidText`, `InvalidPoints`, `InvalidEmail`, `InvalidPhone`,
    `MemberNotFound`, `TransferToSelf`, `IdempotencyKeyReused`, `MemberClosed`, `MemberBlocked`, `TransferLimit`,
    `InsufficientPoints`, `OutcomeUnknown`. To members a receiver who is closed or blocked is nobody: only staff hear which.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    if not 0 < points <= limits.ADJUSTMENT_POINTS_MAX:
        raise InvalidPoints(f"Give 1 to {limits.ADJUSTMENT_POINTS_MAX} points.", field=_POINTS)
    account = members.named_or_own(
        store, actor=actor, by=giver, may_name=Permission.POINTS_TRANSFER, field=_FROM, key=key
    )
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(
            store,
            "pointsTransfer",
            (giver.kind, giver.value) if giver else ("own", account),
            (receiver.kind, receiver.value),
            points,
        ),
    )

    def decide(before: Record) -> Plan:
        # The receiver is read after the giver and strongly, and only its next sequence lets the transfer be written: whatever
        # happens to either of them meanwhile, the whole decision is made again.
        receiving = _receiving(store, receiver)
        if receiving.account == before.account:
            raise TransferToSelf("Giver and receiver are the same member.", field=_TO)
        if actor.role is Role.MEMBER and receiving.state.status is not Status.ACTIVE:
            raise _nobody()
        state, received = before.state, receiving.state
        accounts.require_open(state, field=_FROM)
        accounts.require_open(received, field=_TO)
        accounts.require_active(state, field=_FROM)
        accounts.require_active(received, field=_TO)
        _check_limits(state, program, points, now=now)
        taken = accounts.spend(state, points, field=_POINTS)
        # They keep their dates: what the giver's activity kept alive has the day that it had.
        given: Counter[int] = Counter()
        for line in taken:
            given[state.last_day(line.expires)] -= line.points
        cause = (before.seq, len(before.entries))

        def receive(now_there: Record) -> Entry:
            return _received(now_there.state, program, given, actor=actor, peer=(before.account, cause), now=now)

        gift = Entry(
            kind=EntryKind.TRANSFER_OUT,
            at=now,
            lines=taken,
            balance_after=0,
            explanation=(Explanation("transfer", -points),),
            actor=actor.id,
            peer=(receiving.account, receiving.seq + 1),
        )
        return Plan((gift,), others=(ledger.book(receiving, None, receive, now=now, program=program),))

    return ledger.commit(store, operation, decide, now=now, program=program)


def _receiving(store: Store, by: Lookup) -> Record:
    """The head of the account that a giver names. Anybody can be given something: it tells that there is such a member, and
    nothing of them."""
    account = by.value if by.kind == "id" else (store.find_account(by) or store.find_account(by, strong=True))
    if account is None:
        raise _nobody()
    try:
        return ledger.known_head(store, account, strong=True)
    except MemberNotFound:
        raise _nobody() from None


def _nobody() -> MemberNotFound:
    return MemberNotFound("No member is enrolled under this.", field=_TO)


def _check_limits(state: State, program: Program, points: int, *, now: datetime) -> None:
    rules = program.transfers
    if not rules.points_max:
        raise TransferLimit("The program lets no points be given.", field=_POINTS)
    if not rules.points_min <= points <= rules.points_max:
        raise TransferLimit(f"Give {rules.points_min} to {rules.points_max} points at a time.", field=_POINTS)
    day, sent = state.sent
    today = days.day_of(max(now, state.at), program.zone)
    left = max(0, rules.points_per_day_max - (sent if day == today else 0))
    if points > left:
        raise TransferLimit(
            f"{left} of the {rules.points_per_day_max} points that can be given on one day are left.", field=_POINTS
        )


def _received(
    state: State,
    program: Program,
    given: Mapping[int, int],
    *,
    actor: Actor,
    peer: tuple[str, tuple[int, int]],
    now: datetime,
) -> Entry:
    """The receiver's entry of what was taken from the giver (points by expiry day), whose entry stands at `peer`: account,
    sequence and index."""
    giver, cause = peer
    return Entry(
        kind=EntryKind.TRANSFER_IN,
        at=now,
        lines=accounts.deposit(
            state,
            dict(sorted(given.items())),
            today=days.day_of(max(now, state.at), program.zone),
        ),
        balance_after=0,
        explanation=(Explanation("transfer", sum(given.values())),),
        actor=actor.id,
        cause=cause,
        peer=(giver, cause[0]),
    )
