"""Rewards: points become something to take home, once, or come back when that is cancelled, once."""

from dataclasses import dataclass, replace
from datetime import datetime

from domain import accounts, consequences, days, ledger, members
from domain.access import Actor, Permission
from domain.accounts import ROLLING, State
from domain.entries import End, Entry, EntryKind, Explanation, Record, caller_key
from domain.ledger import Operation, Outcome, Plan
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.programs import Program, Reward
from domain.refusals import (
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    Refusal,
    require_reason,
)
from domain.store import Beside, Store


class RewardNotFound(Refusal):
    """The program has no reward under this id today."""


class RewardNotAvailable(Refusal):
    """The day from which the member may redeem the reward has not come."""


class RedemptionNotFound(Refusal):
    """Nobody ever made a redemption with this id."""


class RedemptionEnded(Refusal):
    """The redemption was cancelled already."""

    final = True


REDEEM_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    RewardNotFound,
    IdempotencyKeyReused,
    MemberClosed,
    MemberBlocked,
    RewardNotAvailable,
    InsufficientPoints,
)
CANCEL_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    RedemptionNotFound,
    IdempotencyKeyReused,
    MemberClosed,
    RedemptionEnded,
)


# Explains points of a cancelled redemption whose day was over.
REINSTATED = "reinstatement"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Where a cancellation stands in the log, and the entry of the redemption that it ended."""

    outcome: Outcome
    redemption: Entry


def redeem(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup | None,
    reward_id: str,
    code: str,
    now: datetime,
) -> Outcome:
    """Spends a reward's cost, soonest-expiring points first; `code` is what the member shows to receive it.

    `member` is left out by members, who redeem for themselves. Refuses, in this order: `InvalidText`, `InvalidEmail`,
    `InvalidPhone`, `MemberNotFound`, `RewardNotFound`, `IdempotencyKeyReused`, `MemberClosed`, `MemberBlocked`,
    `RewardNotAvailable`, `InsufficientPoints`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    account = members.named_or_own(
        store, actor=actor, by=member, may_name=Permission.REWARDS_REDEEM, field=("input", "member"), key=key
    )
    operation = Operation(
        key=key,
        account=account,
        # A member who is not named is whoever the caller's token is of, today.
        fingerprint=ledger.fingerprint(
            store, "rewardRedeem", (member.kind, member.value) if member else ("own", account), reward_id
        ),
    )

    def decide(before: Record) -> Entry:
        reward = program.reward(reward_id)
        if reward is None:
            raise RewardNotFound("The program has no such reward.", field=("input", "rewardId"))
        accounts.require_active(before.state)
        available = available_on(reward, program, before.state)
        if days.day_of(max(now, before.state.at), program.zone) < available:
            raise RewardNotAvailable(
                f"It can be redeemed from {days.date_of(available)} on.", field=("input", "rewardId")
            )
        return Entry(
            kind=EntryKind.REDEMPTION,
            at=now,
            lines=accounts.spend(before.state, reward.cost, field=("input", "rewardId")),
            balance_after=0,
            explanation=(Explanation(f"reward:{reward.id}", -reward.cost),),
            actor=actor.id,
            reward=(reward.id, reward.version),
            code=code,
        )

    return ledger.commit(store, operation, decide, now=now, program=program)


def cancel(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    account: str,
    seq: int,
    index: int,
    reason: str | None,
    now: datetime,
) -> Cancelled:
    """Puts the points of the redemption at (`seq`, `index`) of `account` back into the buckets they came from. Those that have
    expired meanwhile can be spent until the end of the program's reinstatement window. A redemption ends once.

    Where the account was merged since, the points go to the account it lives on in. `reason` is a code such as `OUT_OF_STOCK`.
    Refuses, in this order: `InvalidText`, `RedemptionNotFound`, `IdempotencyKeyReused`, `MemberClosed`, `RedemptionEnded`,
    `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    reason = None if reason is None else require_reason(reason)
    redeemed = _redemption(store, account, seq, index)
    field = ("input", "redemptionId")
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(store, "redemptionCancel", account, seq, index, reason),
    )

    def decide(before: Record) -> Plan:
        state = before.state
        accounts.require_open(state, field=field)
        # Read after the account: who cancels between the two makes the append lose, and is seen when it is decided again.
        ended = store.end(account, seq, index)
        if ended is not None:
            raise RedemptionEnded(f"The redemption was cancelled at {days.text_of(ended.at)}.", field=field)
        at = max(now, state.at)
        entry = replace(
            _reinstated(state, redeemed, program, today=days.day_of(at, program.zone)),
            at=now,
            actor=actor.id,
            reason=reason,
            cause=(seq, index),
            peer=None if before.account == account else (account, seq),
        )
        return Plan((entry,), beside=Beside(end=End(account, seq, index, EntryKind.CANCELLATION, key, at)))

    return Cancelled(ledger.commit(store, operation, decide, now=now, program=program), redeemed)


def available_on(reward: Reward, program: Program, state: State | None) -> int:
    """The first day on which whoever has an account in `state`, or none, may redeem a reward; 0 if it always was there."""
    standing = state.standing if state is not None else None
    early_days = program.ladder.of(standing).benefits.early_access_days if program.ladder else 0
    return max(reward.available_from - early_days, 0)


def _reinstated(state: State, redeemed: Entry, program: Program, *, today: int) -> Entry:
    """The entry that gives back what `redeemed` took: points whose day is over get a new one, all others keep theirs."""
    window_ends = today + program.windows.reinstatement_days
    buckets: dict[int, int] = {}
    reinstated = 0
    rolling = consequences.revived(state, program, promised=redeemed.rolls, today=today)
    for line in redeemed.lines:
        is_over = rolling is None if line.expires == ROLLING else line.expires < today
        expires = window_ends if is_over else line.expires
        buckets[expires] = buckets.get(expires, 0) - line.points
        reinstated -= line.points if is_over else 0
    told = (
        Explanation("cancellation", -redeemed.points - reinstated),
        Explanation(REINSTATED, reinstated),
    )
    return Entry(
        kind=EntryKind.CANCELLATION,
        at=state.at,
        lines=accounts.deposit(state, dict(sorted(buckets.items())), today=today),
        balance_after=0,
        explanation=tuple(each for each in told if each.points),
        rolls=rolling if ROLLING in buckets else None,
    )


def _redemption(store: Store, account: str, seq: int, index: int) -> Entry:
    """The entry that spent the points; it never changes. Refuses `RedemptionNotFound`."""
    for record in store.records_after(account, seq - 1, limit=1) if seq > 0 else ():
        if record.seq == seq and index < len(record.entries):
            entry = record.entries[index]
            if entry.kind is EntryKind.REDEMPTION:
                return entry
    raise RedemptionNotFound("There is no such redemption.", field=("input", "redemptionId"))
