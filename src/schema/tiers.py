"""Tiers through the API: the steps of the ladder, and where on it a member stands."""

from enum import Enum

import strawberry

from domain import accounts, days, tiers
from domain.accounts import State
from domain.tiers import Ladder
from schema.nodes import Node, to_id
from schema.scalars import Day, Long


@strawberry.type(description="What a tier gives.")
class TierBenefits:
    """`domain.tiers.Benefits`."""

    multiplier_percent: Long = strawberry.field(
        description="Points of a purchase, in percent of what it earns without the tier; rounded down for each purchase."
    )
    extra_months: Long = strawberry.field(description="Months for which points earned in the tier can be spent longer.")
    early_access_days: Long = strawberry.field(
        description="Days before everybody else on which rewards can be redeemed."
    )
    birthday_points: Long = strawberry.field(description="Points on the birthday, on top of what everybody gets.")


@strawberry.type(description="A step of the program's ladder of tiers.")
class Tier(Node):
    """A tier as the program in force describes it."""

    handle: str = strawberry.field(description="Its short name in the program, such as `gold`.")
    name: str
    threshold: Long = strawberry.field(
        description="What has to count within a period to reach it, by the metric of the ladder; 0 is everybody's."
    )
    lifetime_threshold: Long | None = strawberry.field(
        description="What has to count in all the time to have it for ever; null if that cannot be."
    )
    benefits: TierBenefits


@strawberry.enum(description="What counts towards a tier.")
class TierMetric(Enum):
    """`domain.tiers.Metric`."""

    POINTS = strawberry.enum_value("POINTS", description="Points of purchases, without what a tier adds to them.")
    SPEND = strawberry.enum_value("SPEND", description="Whole units of money spent, the rest of each order dropped.")
    VISITS = strawberry.enum_value("VISITS", description="Purchases; one that was returned in whole does not count.")


@strawberry.enum(description="The time in which a tier has to be reached.")
class TierPeriod(Enum):
    """`domain.tiers.Period`."""

    CALENDAR_YEAR = strawberry.enum_value("CALENDAR_YEAR", description="January to December.")
    ROLLING_12_MONTHS = strawberry.enum_value("ROLLING_12_MONTHS", description="The month and the eleven before it.")
    ANNIVERSARY = strawberry.enum_value(
        "ANNIVERSARY", description="A year from the first of the month in which the member joined."
    )


@strawberry.enum(description="Why a member has a tier.")
class TierOrigin(Enum):
    """`domain.accounts.Origin`."""

    EARNED = strawberry.enum_value(
        "EARNED", description="What they did in a period; also the lowest, which is everybody's."
    )
    MANUAL = strawberry.enum_value("MANUAL", description="Staff set it.")
    LIFETIME = strawberry.enum_value("LIFETIME", description="What they did in all the time.")


@strawberry.type(description="How tiers are reached, kept and lost.")
class TierLadder:
    """The ladder of a program."""

    metric: TierMetric
    period: TierPeriod
    grace_days: Long = strawberry.field(
        description="Days that a tier lasts beyond the period after the one it was reached in."
    )
    has_soft_landing: bool = strawberry.field(description="Whether an earned tier falls by one step at most.")
    tiers: list[Tier] = strawberry.field(description="The steps, the lowest first; at most 10.")


@strawberry.type(description="The tier that a member has.")
class AccountTier:
    """A standing, in words of the program in force."""

    handle: str = strawberry.field(description="The tier's short name in the program, such as `gold`.")
    name: str
    valid_until: Day | None = strawberry.field(
        description="Its last day; nobody loses an earned tier before. Null if it has no end, as the lowest has none."
    )
    origin: TierOrigin
    benefits: TierBenefits


@strawberry.type(
    description="What a member has done towards a tier, and what is missing, all in the metric of the ladder."
)
class TierProgress:
    """`domain.tiers.Progress`."""

    metric: TierMetric
    period: TierPeriod
    amount: Long = strawberry.field(description="What counts in the period that runs.")
    points_to_next: Long | None = strawberry.field(
        description="What has to be earned today to have `nextTier` at once; null at the top."
    )
    points_to_keep: Long | None = strawberry.field(
        description="What has to be earned today for the tier to last beyond `validUntil`: 0 when that is sure already; null "
        "where there is nothing to lose, and while the period that decides has not begun."
    )
    valid_until: Day | None = strawberry.field(description="The last day of the tier; null if it has no end.")
    projected_tier: Tier = strawberry.field(
        description="What follows at `validUntil` if nothing more is earned; the tier itself if it has no end."
    )
    next_tier: Tier | None = strawberry.field(description="The tier that is nearest above; null at the top.")


def tier_of(tier: tiers.Tier) -> Tier:
    """A tier as the contract shows it."""
    return Tier(
        id=to_id("Tier", tier.id),
        handle=tier.id,
        name=tier.name,
        threshold=Long(tier.threshold),
        lifetime_threshold=None if tier.lifetime is None else Long(tier.lifetime),
        benefits=_benefits_of(tier),
    )


def ladder_of(ladder: Ladder) -> TierLadder:
    """A ladder as the contract shows it."""
    return TierLadder(
        metric=TierMetric[ladder.metric.name],
        period=_PERIODS[ladder.period],
        grace_days=Long(ladder.grace_days),
        has_soft_landing=ladder.has_soft_landing,
        tiers=[tier_of(each) for each in ladder.tiers],
    )


def account_tier_of(ladder: Ladder, state: State) -> AccountTier:
    """The tier of an account that is advanced to the moment of asking."""
    tier, standing = ladder.of(state.standing), state.standing
    if standing is not None and ladder.rank(standing.tier) is None:
        # The program has no such tier any more.
        standing = None
    return AccountTier(
        handle=tier.id,
        name=tier.name,
        valid_until=_day(standing.until if standing else 0),
        origin=TierOrigin[(standing.origin if standing else accounts.Origin.EARNED).name],
        benefits=_benefits_of(tier),
    )


def progress_of(ladder: Ladder, state: State, today: int) -> TierProgress:
    """The progress of an account that is advanced to day `today`."""
    made = tiers.progress(ladder, state, today)
    return TierProgress(
        metric=TierMetric[ladder.metric.name],
        period=_PERIODS[ladder.period],
        amount=Long(made.amount),
        points_to_next=_long(made.to_next),
        points_to_keep=_long(made.to_keep),
        valid_until=_day(made.valid_until or 0),
        projected_tier=tier_of(made.projected),
        next_tier=tier_of(made.next) if made.next else None,
    )


_PERIODS = {
    tiers.Period.CALENDAR_YEAR: TierPeriod.CALENDAR_YEAR,
    tiers.Period.ROLLING_YEAR: TierPeriod.ROLLING_12_MONTHS,
    tiers.Period.ANNIVERSARY: TierPeriod.ANNIVERSARY,
}


def _benefits_of(tier: tiers.Tier) -> TierBenefits:
    benefits = tier.benefits
    return TierBenefits(
        multiplier_percent=Long(benefits.multiplier_percent),
        extra_months=Long(benefits.extra_months),
        early_access_days=Long(benefits.early_access_days),
        birthday_points=Long(benefits.birthday_points),
    )


def _long(number: int | None) -> Long | None:
    return None if number is None else Long(number)


def _day(day: int) -> Day | None:
    return Day(days.date_of(day)) if day else None
