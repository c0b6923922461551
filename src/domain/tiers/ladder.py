"""The ladder of tiers as data: its steps, what counts for them, in what time, and what each of them gives."""

from dataclasses import asdict, dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any

from domain import limits
from domain.accounts import Standing
from domain.documents import Reader


class Metric(Enum):
    """What counts towards a tier."""

    # Points by the earning rule, before what a tier adds.
    POINTS = "points"
    # Whole currency units, the rest of each order dropped.
    SPEND = "spend"
    # Purchases; one that was returned in whole does not count.
    VISITS = "visits"


class Period(Enum):
    """In what time it has to be reached."""

    CALENDAR_YEAR = "calendar_year"
    # The month and the eleven before it.
    ROLLING_YEAR = "rolling_12_months"
    # A year from the first of the month in which the member joined.
    ANNIVERSARY = "anniversary"


@dataclass(frozen=True, slots=True)
class Benefits:
    """What a tier gives: points of a purchase in percent of what they are without it, months that points can be spent longer,
    days of early access to rewards, and points on the birthday."""

    multiplier_percent: int = 100
    extra_months: int = 0
    early_access_days: int = 0
    birthday_points: int = 0


@dataclass(frozen=True, slots=True)
class Tier:
    """A step of the ladder: reached with `threshold` within a period, or for ever with `lifetime` in all the time.

    `formerly` are ids of tiers that the program had before: whoever has one of them has this one.
    """

    id: str
    name: str
    threshold: int
    lifetime: int | None = None
    benefits: Benefits = field(default_factory=Benefits)
    formerly: tuple[str, ...] = ()

    def is_for_ever(self, total: int) -> bool:
        """Whether it is had for ever with what was earned in all the time."""
        return self.lifetime is not None and total >= self.lifetime


@dataclass(frozen=True, slots=True)
class Ladder:
    """The tiers of a program, lowest first; the lowest has the threshold 0 and is everybody's."""

    tiers: tuple[Tier, ...]
    metric: Metric = Metric.POINTS
    period: Period = Period.CALENDAR_YEAR
    grace_days: int = 0
    has_soft_landing: bool = True

    def rank(self, tier: str) -> int | None:
        """The place of a tier on the ladder, 0 the lowest; None when it is not there any more."""
        return next((rank for rank, each in enumerate(self.tiers) if tier == each.id or tier in each.formerly), None)

    def rank_of(self, standing: Standing | None) -> int:
        """The place of a standing's tier; that of the lowest one for none, and for a tier that the ladder has lost."""
        return (standing and self.rank(standing.tier)) or 0

    def of(self, standing: Standing | None) -> Tier:
        """The tier of a standing; the lowest one for none, and for a tier that the ladder has lost."""
        return self.tiers[self.rank_of(standing)]

    def reached(self, amount: int) -> int:
        """The rank of the highest tier whose threshold an amount reaches."""
        return max(rank for rank, tier in enumerate(self.tiers) if tier.threshold <= max(amount, 0))


def parse(reader: Reader) -> Ladder:
    """The ladder of a document: `metric`, `period`, `grace_days`, `soft_landing` and `ladder`, a list of tiers with rising
    thresholds, the first 0. Refuses `InvalidProgram`."""
    ladder = Ladder(
        tiers=tuple(_parse_tier(each) for each in reader.readers("ladder")),
        metric=reader.choice("metric", {each.value: each for each in Metric}, default=Metric.POINTS.value),
        period=reader.choice("period", {each.value: each for each in Period}, default=Period.CALENDAR_YEAR.value),
        grace_days=reader.whole("grace_days", 0, limits.TIER_GRACE_DAYS_MAX, default=0),
        has_soft_landing=reader.flag("soft_landing", default=True),
    )
    reader.finish()
    if not 1 <= len(ladder.tiers) <= limits.TIERS_MAX:
        reader.refuse("ladder", f"must have 1 to {limits.TIERS_MAX} tiers.")
    if ladder.tiers[0].threshold or ladder.tiers[0].lifetime is not None:
        reader.refuse("ladder", "must begin with a tier of threshold 0, which is everybody's.")
    ids = [id_ for tier in ladder.tiers for id_ in (tier.id, *tier.formerly)]
    if len(set(ids)) < len(ids):
        reader.refuse("ladder", "has two tiers of the same id, former ids included.")
    for what in ("threshold", "lifetime"):
        steps = [step for tier in ladder.tiers if (step := getattr(tier, what)) is not None]
        if any(later <= earlier for earlier, later in pairwise(steps)):
            reader.refuse("ladder", f"must have rising values of {what}.")
    return ladder


def _parse_tier(reader: Reader) -> Tier:
    given = reader.reader("benefits", default={})
    benefits = Benefits(
        multiplier_percent=given.whole("multiplier_percent", 100, 1_000, default=100),
        extra_months=given.whole("extra_months", 0, 120, default=0),
        early_access_days=given.whole("early_access_days", 0, 365, default=0),
        birthday_points=given.whole("birthday_points", 0, limits.ADJUSTMENT_POINTS_MAX, default=0),
    )
    given.finish()
    most = limits.ADJUSTMENT_POINTS_MAX
    tier = Tier(
        id=reader.id("id"),
        name=reader.text("name", limits.NAME_LENGTH_MAX),
        threshold=reader.whole("threshold", 0, most),
        lifetime=reader.whole("lifetime", 1, most) if reader.has("lifetime") else None,
        benefits=benefits,
        formerly=reader.ids("formerly", count_max=limits.TIERS_MAX),
    )
    reader.finish()
    return tier


def document(ladder: Ladder) -> dict[str, Any]:
    """The part of a document that `parse` makes this ladder of."""
    return {
        "metric": ladder.metric.value,
        "period": ladder.period.value,
        "grace_days": ladder.grace_days,
        "soft_landing": ladder.has_soft_landing,
        "ladder": [
            {
                "id": tier.id,
                "name": tier.name,
                "threshold": tier.threshold,
                **({} if tier.lifetime is None else {"lifetime": tier.lifetime}),
                "benefits": asdict(tier.benefits),
                **({"formerly": list(tier.formerly)} if tier.formerly else {}),
            }
            for tier in ladder.tiers
        ],
    }
