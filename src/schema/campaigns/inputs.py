"""What is said of a campaign: whom it means, what it gives, what it may cost."""

import strawberry

from domain import campaigns, days
from domain.campaigns import definition
from domain.campaigns.audience import EVERYBODY
from schema.nodes import key_of
from schema.refusals import IDEMPOTENCY_KEY
from schema.scalars import DateTime, Day, Long


@strawberry.input(
    description="Whom a campaign means: every condition that is given must hold. Without any it means everybody; a list "
    "that names nothing is refused."
)
class CampaignAudienceInput:
    """Conditions of an audience."""

    tiers: list[str] | None = strawberry.field(
        default=None,
        description="Handles of tiers: the member has one of them. The lowest is everybody's without another.",
    )
    balance_min: Long | None = strawberry.field(default=None, description="At least so many points can be spent.")
    balance_max: Long | None = strawberry.field(default=None, description="At most so many points can be spent.")
    locations: list[str] | None = strawberry.field(
        default=None, description="The member's home location is one of these."
    )
    active_from: Day | None = strawberry.field(
        default=None, description="The last activity was on this day or later; without one, the day of joining counts."
    )
    active_until: Day | None = strawberry.field(
        default=None, description="The last activity was on this day or earlier: for members who have gone quiet."
    )
    joined_from: Day | None = strawberry.field(default=None, description="Joined on this day or later.")
    joined_until: Day | None = strawberry.field(default=None, description="Joined on this day or earlier.")
    tags: list[str] | None = strawberry.field(default=None, description="The member has one of these tags.")
    without_tags: list[str] | None = strawberry.field(default=None, description="The member has none of these tags.")
    birth_months: list[Long] | None = strawberry.field(
        default=None, description="The month of the member's birthday, 1 to 12, is one of these."
    )
    list_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id of an uploaded list of members; not in a segment."
    )

    def audience(self, *path: str) -> campaigns.Audience:
        """The audience as the domain takes it; `path` is where it stands in the input. Refuses `InvalidAudience`."""
        self._require_names(path)
        return campaigns.Audience(
            tiers=frozenset(self.tiers or ()),
            balance_min=self.balance_min,
            balance_max=self.balance_max,
            locations=frozenset(self.locations or ()),
            active_from=_day(self.active_from),
            active_until=_day(self.active_until),
            joined_from=_day(self.joined_from),
            joined_until=_day(self.joined_until),
            tags=frozenset(self.tags or ()),
            tags_without=frozenset(self.without_tags or ()),
            birth_months=frozenset(self.birth_months or ()),
            list_id=None
            if self.list_id is None
            else key_of("MemberList", self.list_id, field=".".join((*path, "listId"))),
        )

    def _require_names(self, path: tuple[str, ...]) -> None:
        """A list of nothing is a mistake of whoever put it together: taken as no condition it would mean everybody."""
        for name, values in (
            ("tiers", self.tiers),
            ("locations", self.locations),
            ("tags", self.tags),
            ("withoutTags", self.without_tags),
            ("birthMonths", self.birth_months),
        ):
            if values is not None and not values:
                message = f"{name} names nothing: leave it out where it does not matter."
                raise campaigns.InvalidAudience(message, field=(*path, name))


@strawberry.input(description="Points of a tier.")
class CampaignTierPointsInput:
    """A tier and its points."""

    tier: str = strawberry.field(description="The tier's handle.")
    points: Long = strawberry.field(description="Points for each member who has it.")


@strawberry.input(description="Points of a segment of the audience.")
class CampaignSegmentInput:
    """A segment and its points."""

    audience: CampaignAudienceInput = strawberry.field(description="Who is in it.")
    points: Long = strawberry.field(description="Points for each of them.")


_AWARD = ("input", "award")


@strawberry.input(one_of=True, description="What each member of the audience gets: exactly one of these.")
class CampaignAwardInput:
    """Points, by whatever decides on them."""

    points: Long | None = strawberry.field(default=strawberry.UNSET, description="The same for everybody.")
    tiers: list[CampaignTierPointsInput] | None = strawberry.field(
        default=strawberry.UNSET, description="By tier; who has a tier that is not named gets nothing."
    )
    segments: list[CampaignSegmentInput] | None = strawberry.field(
        default=strawberry.UNSET, description="By the first segment that a member is in; who is in none gets nothing."
    )

    def award(self) -> campaigns.Award:
        """The award as the domain takes it."""
        if isinstance(self.points, int):
            return definition.fixed(self.points)
        if isinstance(self.tiers, list):
            return definition.by_tier((each.tier, each.points) for each in self.tiers)
        segments = self.segments if isinstance(self.segments, list) else []
        return campaigns.Award(
            tuple(
                campaigns.Segment(each.audience.audience(*_AWARD, "segments", str(number), "audience"), each.points)
                for number, each in enumerate(segments)
            )
        )

    def place(self, field: tuple[str, ...]) -> tuple[str, ...]:
        """Where something stands in the input that the domain places in an award: there an award is segments, whichever way it
        was said. Every other place stays as it is."""
        if field[:2] != _AWARD or field[2:3] == ("segments",):
            return field
        rest = field[2:]
        if isinstance(self.points, int):
            return (*_AWARD, "points")
        way, parts = ("tiers", self.tiers) if isinstance(self.tiers, list) else ("segments", self.segments)
        if rest and rest[0].isdecimal():
            number, *rest_of_it = rest
        elif isinstance(parts, list) and len(parts) == 1:
            number, rest_of_it = "0", list(rest)
        else:
            return (*_AWARD, way)
        if way == "tiers":
            return (*_AWARD, way, number, *(["tier"] if rest_of_it else []))
        return (*_AWARD, way, number, *(["audience", *rest_of_it] if rest_of_it else []))


@strawberry.input(one_of=True, description="How long the points can be spent: exactly one of these.")
class CampaignValidityInput:
    """Days, or a last day."""

    days: Long | None = strawberry.field(
        default=strawberry.UNSET, description="So many days after the day on which a member gets them."
    )
    until: Day | None = strawberry.field(default=strawberry.UNSET, description="Through the whole of this day.")


@strawberry.input(
    description="The most that a campaign gives. It is never exceeded, however many workers there are; who comes when it is used "
    "up gets nothing."
)
class CampaignBudgetInput:
    """Bounds of a campaign."""

    points_max: Long | None = strawberry.field(default=None, description="Points in all; left out, no bound.")
    members_max: Long | None = strawberry.field(default=None, description="Members in all; left out, no bound.")


@strawberry.input(
    description="What members are told, in a notice of their app. Places such as `$points`, `$balance`, `$date` and `$tier` are "
    "filled in for each."
)
class CampaignMessageInput:
    """A title and a text."""

    title: str = strawberry.field(description="A line, up to 200 characters.")
    text: str = strawberry.field(description="A few sentences, up to 400 characters.")


@strawberry.input(description="A campaign to write down. It gives nothing before it is launched, and never changes.")
class CampaignCreateInput:
    """A draft."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    name: str = strawberry.field(description="What staff call it.")
    code: str = strawberry.field(
        description="What members see as the reason of their points, such as `SUMMER_THANKS`: capital letters, digits and _."
    )
    audience: CampaignAudienceInput | None = strawberry.field(
        default=None, description="Whom it means; left out, everybody."
    )
    award: CampaignAwardInput = strawberry.field(description="What each of them gets.")
    validity: CampaignValidityInput | None = strawberry.field(
        default=None, description="How long the points can be spent; left out, as long as points earned that day."
    )
    budget: CampaignBudgetInput | None = strawberry.field(default=None, description="What it may cost at most.")
    hold_out_percent: Long = strawberry.field(
        default=0,
        description="A share of the audience, 0 to 90 percent, that gets nothing and is not told, so that it can be seen what "
        "the campaign brought. Who they are follows from the campaign and the member alone.",
    )
    message: CampaignMessageInput | None = strawberry.field(
        default=None, description="What members are told; left out, it is silent."
    )

    def draft(self) -> campaigns.Draft:
        """The draft as the domain takes it."""
        budget, message = self.budget, self.message
        return campaigns.Draft(
            name=self.name,
            code=self.code,
            audience=self.audience.audience("input", "audience") if self.audience else EVERYBODY,
            award=self.award.award(),
            validity=_validity(self.validity) if self.validity else campaigns.Validity(),
            budget=campaigns.Budget(budget.points_max, budget.members_max) if budget else campaigns.Budget(),
            hold_out_percent=self.hold_out_percent,
            message=campaigns.Message(message.title, message.text) if message else None,
        )


def _validity(validity: CampaignValidityInput) -> campaigns.Validity:
    if isinstance(validity.days, int):
        return campaigns.Validity(days=validity.days)
    return campaigns.Validity(until=None if validity.until is strawberry.UNSET else _day(validity.until))


def _day(on: Day | None) -> int | None:
    return None if on is None else days.day_number(on)


# --- steps ------------------------------------------------------------------------------------------------------------


@strawberry.input(description="A campaign to look at.")
class CampaignPreviewInput:
    """A preview to begin."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to approve.")
class CampaignApproveInput:
    """An approval."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")
    points: Long | None = strawberry.field(
        default=None,
        description="The points that the preview had found when you looked at it. Where another one has found others since, "
        "nothing is approved.",
    )


@strawberry.input(description="A campaign to pause.")
class CampaignPauseInput:
    """A pause."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to resume.")
class CampaignResumeInput:
    """A resumption."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to cancel.")
class CampaignCancelInput:
    """A cancellation."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to revert.")
class CampaignRevertInput:
    """A reversal."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to launch.")
class CampaignLaunchInput:
    """A launch, now or later."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")
    at: DateTime | None = strawberry.field(
        default=None, description="When to launch it, by the program's clock: up to a minute later. Left out, now."
    )
