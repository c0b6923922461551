"""Who of a chunk is held out, and for whom a budget is enough."""

import hashlib

from domain.campaigns.definition import Budget, Campaign
from domain.campaigns.store import MemberOutcome


def is_held_out(campaign: Campaign, account: str) -> bool:
    """Whether a member is among those who get nothing, so that it can be seen what the campaign brought: follows from campaign
    and account alone, and is independent of every other campaign's."""
    digest = hashlib.sha256(f"{campaign.id}:{account}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100 < campaign.draft.hold_out_percent


def within(
    choices: tuple[int | MemberOutcome, ...], left: Budget, campaign: Campaign
) -> tuple[tuple[int | MemberOutcome, ...], Budget]:
    """The choices that a budget has enough for, first come, first served, and what is left of it then."""
    granted: list[int | MemberOutcome] = []
    for choice in choices:
        if not isinstance(choice, MemberOutcome):
            points = campaign.draft.award.segments[choice].points
            if left.members == 0 or (left.points is not None and left.points < points):
                granted.append(MemberOutcome.BUDGET)
                continue
            left = plus(left, -points, -1)
        granted.append(choice)
    return tuple(granted), left


def plus(left: Budget, points: int, members: int) -> Budget:
    """A budget with so many points and members more, or less; what has no bound has none."""
    return Budget(
        None if left.points is None else left.points + points,
        None if left.members is None else left.members + members,
    )
