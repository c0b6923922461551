"""Rewards: points become something to take home, once."""

from datetime import datetime

from domain import accounts, ledger, members
from domain.access import Actor, Permission
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
)


class RewardNotFound(Refusal):
    """The program has no reward under this id today."""


REDEEM_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    RewardNotFound,
    IdempotencyKeyReused,
    InsufficientPoints,
)


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
    `InvalidPhone`, `MemberNotFound`, `RewardNotFound`, `IdempotencyKeyReused`, `InsufficientPoints`, `OutcomeUnknown`.
    """
    key = ledger.caller_key(actor.id, members.key_text(idempotency_key))
    account = _account(store, actor, member)
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(store, "rewardRedeem", member and (member.kind, member.value), reward_id),
    )
    reward = program.reward(reward_id)
    if reward is None:
        # A reward that was withdrawn since must not change the answer its earlier redemption was given.
        refusal = RewardNotFound("The program has no such reward.", field=("input", "rewardId"))
        return ledger.refuse_unless_replayed(store, operation, refusal)

    def decide(state: State) -> Entry:
        return Entry(
            kind=EntryKind.REDEMPTION,
            at=now,
            lines=accounts.spend(state, reward.cost, field=("input", "rewardId")),
            balance_after=0,
            explanation=(Explanation(f"reward:{reward.id}", -reward.cost),),
            actor=actor.id,
            reward=(reward.id, reward.version),
            code=code,
        )

    return ledger.commit(store, operation, decide, now=now, zone=program.zone)


def _account(store: Store, actor: Actor, member: Lookup | None) -> str:
    field = ("input", "member")
    if member is not None:
        return members.resolve(store, actor=actor, by=member, field=field)
    own = members.own_account(store, actor)
    if own is None:
        may_name = actor.may(Permission.REWARDS_REDEEM)
        raise MemberNotFound("Name the member." if may_name else "You are not enrolled yet.", field=field)
    return own
