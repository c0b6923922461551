"""Rewards through the API: the catalog, taking something from it, and cancelling that."""

from collections.abc import Callable
from enum import Enum
from functools import cache

import strawberry

from domain import days, ledger, limits, members, programs, rewards
from domain import entries as booked
from domain.access import Permission
from domain.accounts import State
from domain.entries import End, Entry
from domain.refusals import MemberNotFound, Refusal
from schema import accounts, entries, pages, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Context, Info
from schema.entries import CancellationEntry
from schema.members import MemberByInput
from schema.nodes import Node, from_id, place_of, to_id
from schema.pages import PageInfo
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import DateTime, Day, Long


@strawberry.type(description="Something to redeem points for.")
class Reward(Node):
    """A reward as the program in force describes it."""

    handle: str = strawberry.field(description="Its short name in the program, such as `latte`.")
    name: str
    description: str
    cost: Long = strawberry.field(description="Points it takes.")
    # Reckoned when asked for: a member's own date needs a read of their account.
    available: strawberry.Private[Callable[[], int]]

    @strawberry.field(
        description="The first day on which it can be redeemed: a member's own, which their tier may bring forward; for other "
        "callers that of everybody in the lowest tier. Null if it always could be."
    )
    def available_on(self) -> Day | None:
        """By the tier of now."""
        day = self.available()
        return Day(days.date_of(day)) if day else None


@strawberry.type(description="A reward and its place in the list.")
class RewardEdge:
    """Relay's edge."""

    cursor: str
    node: Reward


@strawberry.type(description="Rewards in the order of the program.")
class RewardConnection:
    """Relay's connection."""

    edges: list[RewardEdge]
    nodes: list[Reward] = strawberry.field(description="The rewards without their cursors.")
    page_info: PageInfo


@strawberry.enum(description="What became of a redemption.")
class RedemptionStatus(Enum):
    """Whether a redemption has ended, and how."""

    ISSUED = strawberry.enum_value("ISSUED", description="Its code can be shown to receive the reward.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="Its points were given back.")


@strawberry.type(description="Points spent on a reward, and what to show to receive it.")
class Redemption(Node):
    """A redemption."""

    code: str = strawberry.field(description="What the member shows to receive the reward.")
    reward_handle: str
    cost: Long = strawberry.field(description="Points it took.")
    redeemed_at: DateTime
    # Read when asked for, once: most callers show the code only.
    ending: strawberry.Private[Callable[[], End | None]]

    @strawberry.field(description="What became of it; as it is now, in a replayed answer too.")
    def status(self) -> RedemptionStatus:
        """A redemption ends in one way so far."""
        return RedemptionStatus.ISSUED if self.ending() is None else RedemptionStatus.CANCELLED

    @strawberry.field(description="When it was cancelled; null if it was not.")
    def cancelled_at(self) -> DateTime | None:
        """The instant of the cancellation's entry."""
        end = self.ending()
        return None if end is None else DateTime(end.at)


@strawberry.input(description="A reward to redeem.")
class RewardRedeemInput:
    """A redemption to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    reward_id: strawberry.ID = strawberry.field(description="A reward's id or handle.")
    member: MemberByInput | None = strawberry.field(
        default=None, description="For whom; left out by members, who redeem for themselves."
    )


@strawberry.enum(description="Why a reward was not redeemed.")
class RewardRedeemErrorCode(Enum):
    """Codes of `domain.rewards.REDEEM_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    REWARD_NOT_FOUND = "REWARD_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    MEMBER_BLOCKED = "MEMBER_BLOCKED"
    REWARD_NOT_AVAILABLE = "REWARD_NOT_AVAILABLE"
    INSUFFICIENT_POINTS = "INSUFFICIENT_POINTS"


@strawberry.type(description="Why a reward was not redeemed.")
class RewardRedeemUserError(UserError):
    """A refusal of `rewardRedeem`."""

    code: RewardRedeemErrorCode


@strawberry.type
class RewardRedeemPayload:
    """The redemption, or why there is none."""

    redemption: Redemption | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[RewardRedeemUserError] = strawberry.field(default_factory=list)


@strawberry.input(description="A redemption to cancel.")
class RedemptionCancelInput:
    """A cancellation to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    redemption_id: strawberry.ID = strawberry.field(description="The id of a `Redemption`.")
    reason: str | None = strawberry.field(
        default=None,
        description="A code such as `OUT_OF_STOCK`: capital letters, digits and _, up to 64; no free text.",
    )


@strawberry.enum(description="Why a redemption was not cancelled.")
class RedemptionCancelErrorCode(Enum):
    """Codes of `domain.rewards.CANCEL_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    REDEMPTION_NOT_FOUND = "REDEMPTION_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    REDEMPTION_ENDED = "REDEMPTION_ENDED"


@strawberry.type(description="Why a redemption was not cancelled.")
class RedemptionCancelUserError(UserError):
    """A refusal of `redemptionCancel`."""

    code: RedemptionCancelErrorCode


@strawberry.type
class RedemptionCancelPayload:
    """The cancelled redemption with the entry that gave its points back, or why it was not cancelled."""

    redemption: Redemption | None = None
    entry: CancellationEntry | None = None
    account: Account | None = strawberry.field(
        default=None, description="The account that has the points back, as it is now."
    )
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[RedemptionCancelUserError] = strawberry.field(default_factory=list)


_SCOPE = "rewards"


def rewards_page(info: Info, first: int = 50, after: str | None = None) -> RewardConnection:
    """A page of the catalog."""
    context = info.context
    position = pages.position(context, _SCOPE, after)
    start = 0 if position is None else int(position)
    catalog = context.program.rewards
    page = catalog[start : start + min(first, limits.REWARDS_PAGE_MAX)]
    own = _own_state(context)
    edges = [
        RewardEdge(cursor=context.cursors.seal(_SCOPE, str(start + offset + 1)), node=_reward_of(context, reward, own))
        for offset, reward in enumerate(page)
    ]
    return RewardConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=PageInfo(
            has_next_page=start + len(page) < len(catalog),
            has_previous_page=start > 0,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


def reward_redeem(info: Info, input: RewardRedeemInput) -> RewardRedeemPayload:
    """Redeems a reward."""
    context = info.context
    kind, key = from_id(input.reward_id)
    try:
        outcome = rewards.redeem(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            member=input.member.lookup("input", "member") if input.member else None,
            reward_id=key if kind == "Reward" else input.reward_id,
            code=context.new_code(),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, RewardRedeemUserError, RewardRedeemErrorCode)
        return RewardRedeemPayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    return RewardRedeemPayload(
        redemption=redemption_of(context, record.account, record.seq, outcome.index, outcome.entry),
        account=accounts.account_after(context, outcome),
        replayed=outcome.replayed,
    )


def redemption_cancel(info: Info, input: RedemptionCancelInput) -> RedemptionCancelPayload:
    """Cancels a redemption."""
    context = info.context
    account, numbers = place_of("Redemption", input.redemption_id)
    seq, index = numbers if len(numbers) == 2 else (0, 0)
    try:
        cancelled = rewards.cancel(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            account=account,
            seq=seq,
            index=index,
            reason=input.reason,
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, RedemptionCancelUserError, RedemptionCancelErrorCode)
        return RedemptionCancelPayload(replayed=refusal.replayed, user_errors=[error])
    outcome = cancelled.outcome
    shown = entries.entry_of(outcome.record.account, outcome.record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, CancellationEntry)
    return RedemptionCancelPayload(
        redemption=redemption_of(context, account, seq, index, cancelled.redemption),
        entry=shown,
        account=accounts.account_after(context, outcome),
        replayed=outcome.replayed,
    )


@strawberry.type
class RewardQueries:
    """Fields of the query root."""

    rewards: RewardConnection = strawberry.field(
        resolver=rewards_page,
        description="What points can be redeemed for, in the order of the program.",
        extensions=[Permitted(Permission.PROGRAM_READ)],
    )


@strawberry.type
class RewardMutations:
    """Fields of the mutation root."""

    reward_redeem: RewardRedeemPayload = strawberry.field(
        resolver=reward_redeem,
        description="Spends a reward's cost, the soonest-expiring points first. Members redeem for themselves, tills and "
        "managers for the member they name. A refusal is final for its key.",
        extensions=[Permitted(Permission.REWARDS_REDEEM, Permission.OWN_REWARDS_REDEEM)],
    )
    redemption_cancel: RedemptionCancelPayload = strawberry.field(
        resolver=redemption_cancel,
        description="Gives the points of a redemption back, with the expiry dates they had; points that have expired meanwhile "
        "can be spent for the program's reinstatement window. A redemption ends once. For tills and managers. A refusal is "
        "final for its key.",
        extensions=[Permitted(Permission.REDEMPTIONS_CANCEL)],
    )


def reward_of(context: Context, reward: programs.Reward) -> Reward:
    """A reward as the contract shows it to the caller."""
    return _reward_of(context, reward, _own_state(context))


def _own_state(context: Context) -> Callable[[], State | None]:
    """The caller's own account, read once if it is asked for; None for whoever has none."""

    def read() -> State | None:
        account = members.own_account(context.store, context.actor)
        try:
            head = ledger.known_head(context.store, account) if account else None
        except MemberNotFound:
            # A token that names an account which is not there yet.
            return None
        return ledger.current(head, context.now, context.program).state if head else None

    return cache(read)


def _reward_of(context: Context, reward: programs.Reward, own: Callable[[], State | None]) -> Reward:
    def available() -> int:
        # Only where there is a day to bring forward is the account read.
        return rewards.available_on(reward, context.program, own() if reward.available_from else None)

    return Reward(
        id=to_id("Reward", reward.id),
        handle=reward.id,
        name=reward.name,
        description=reward.description,
        cost=Long(reward.cost),
        available=available,
    )


def redemption_of(context: Context, account: str, seq: int, index: int, entry: Entry) -> Redemption:
    """A redemption as the contract shows it; `entry` is the one that spent the points."""
    assert entry.kind is booked.EntryKind.REDEMPTION
    assert entry.reward
    assert entry.code
    return Redemption(
        id=to_id("Redemption", f"{account}:{seq}:{index}"),
        code=entry.code,
        reward_handle=entry.reward[0],
        cost=Long(-entry.points),
        redeemed_at=DateTime(entry.at),
        ending=cache(lambda: context.store.end(account, seq, index)),
    )
