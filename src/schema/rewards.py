"""Rewards through the API: the catalog, and taking something from it."""

from enum import Enum

import strawberry

from domain import ledger, limits, programs, rewards
from domain.access import Permission
from domain.ledger import Entry
from domain.refusals import Refusal
from schema import accounts, pages, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Info
from schema.members import MemberByInput
from schema.nodes import Node, from_id, to_id
from schema.pages import PageInfo
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import DateTime, Long


@strawberry.type(description="Something to redeem points for.")
class Reward(Node):
    """A reward as the program in force describes it."""

    handle: str = strawberry.field(description="Its short name in the program, such as `latte`.")
    name: str
    description: str
    cost: Long = strawberry.field(description="Points it takes.")


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


@strawberry.type(description="Points spent on a reward, and what to show to receive it.")
class Redemption(Node):
    """A redemption."""

    code: str = strawberry.field(description="What the member shows to receive the reward.")
    reward_handle: str
    cost: Long = strawberry.field(description="Points it took.")
    redeemed_at: DateTime


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


_SCOPE = "rewards"


def rewards_page(info: Info, first: int = 50, after: str | None = None) -> RewardConnection:
    """A page of the catalog."""
    context = info.context
    position = pages.position(context, _SCOPE, after)
    start = 0 if position is None else int(position)
    catalog = context.program.rewards
    page = catalog[start : start + min(first, limits.REWARDS_PAGE_MAX)]
    edges = [
        RewardEdge(cursor=context.cursors.seal(_SCOPE, str(start + offset + 1)), node=reward_of(reward))
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
        redemption=redemption_of(record.account, record.seq, outcome.index, outcome.entry),
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


def reward_of(reward: programs.Reward) -> Reward:
    """A reward as the contract shows it."""
    return Reward(
        id=to_id("Reward", reward.id),
        handle=reward.id,
        name=reward.name,
        description=reward.description,
        cost=Long(reward.cost),
    )


def redemption_of(account: str, seq: int, index: int, entry: Entry) -> Redemption:
    """A redemption as the contract shows it; `entry` is the one that spent the points."""
    assert entry.kind is ledger.EntryKind.REDEMPTION
    assert entry.reward
    assert entry.code
    return Redemption(
        id=to_id("Redemption", f"{account}:{seq}:{index}"),
        code=entry.code,
        reward_handle=entry.reward[0],
        cost=Long(-entry.points),
        redeemed_at=DateTime(entry.at),
    )
