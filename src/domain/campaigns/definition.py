"""What a campaign is: whom it means, what it gives, what it may cost, and where it stands."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from string import Template

from domain import days, limits, texts
from domain.accounts import State
from domain.campaigns import audience as audiences
from domain.campaigns.audience import EVERYBODY, Audience, InvalidAward
from domain.members import Profile
from domain.programs import Program
from domain.refusals import InvalidText, Refusal, require_reason, require_text


class InvalidBudget(Refusal):
    """A budget is zero or less: nobody could get anything."""


class InvalidHoldOut(Refusal):
    """The share that is held out is not 0 to `limits.HOLD_OUT_PERCENT_MAX` percent."""


class InvalidValidity(Refusal):
    """Points would be given for no time, for too long, or until a day that is over."""


class CampaignKind(Enum):
    """What a campaign does. Campaigns that multiply what purchases earn, or ask for activities, will be kinds of their own."""

    BULK_BONUS = "BULK_BONUS"


class Status(Enum):
    """Where a campaign stands."""

    # It can be looked at, approved and launched.
    DRAFT = "DRAFT"
    # It will launch at its time.
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    # It gives nothing any more. What it gave stands.
    CANCELLED = "CANCELLED"
    REVERTING = "REVERTING"
    REVERTED = "REVERTED"


class Action(Enum):
    """What somebody did with a campaign."""

    CREATE = "CREATE"
    PREVIEW = "PREVIEW"
    APPROVE = "APPROVE"
    LAUNCH = "LAUNCH"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    CANCEL = "CANCEL"
    REVERT = "REVERT"


@dataclass(frozen=True, slots=True)
class Segment:
    """Members who get `points`."""

    audience: Audience
    points: int


@dataclass(frozen=True, slots=True)
class Award:
    """Points by segment: each member of the audience gets those of the first one they are in, and nothing if in none."""

    segments: tuple[Segment, ...]

    def of(self, state: State, profile: Profile, program: Program) -> int | None:
        """The place of a member's segment; None when they are in none."""
        found = (place for place, each in enumerate(self.segments) if each.audience.includes(state, profile, program))
        return next(found, None)


def fixed(points: int) -> Award:
    """The same for everybody."""
    return Award((Segment(EVERYBODY, points),))


def by_tier(points: Iterable[tuple[str, int]]) -> Award:
    """Points by tier; who has another one gets nothing."""
    return Award(tuple(Segment(Audience(tiers=frozenset({tier})), each) for tier, each in points))


@dataclass(frozen=True, slots=True)
class Validity:
    """How long the points can be spent: `days` from the day they are given (its end included), until the end of day `until`, or,
    where neither is set, as long as the program says."""

    days: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a campaign gives, and to how many; None is no bound."""

    points: int | None = None
    members: int | None = None

    def __bool__(self) -> bool:
        return self.points is not None or self.members is not None


@dataclass(frozen=True, slots=True)
class Message:
    """What members are told; a place such as `$points` is filled in for each (`texts.USUAL`, without the name)."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A campaign as it is asked for. `code` stands in every entry and says why to the member; `message` None tells nobody.

    `hold_out_percent` of the audience get nothing and are not told, so that it can be seen what the campaign brought. Who they
    are follows from campaign and account alone.
    """

    name: str
    code: str
    audience: Audience
    award: Award
    validity: Validity = Validity()
    budget: Budget = Budget()
    hold_out_percent: int = 0
    message: Message | None = None
    kind: CampaignKind = CampaignKind.BULK_BONUS


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done with a campaign."""

    action: Action
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Watched:
    """How far a run was: `reached` grows with everything that is written of it. It has not moved, nor been handed out, since
    `at`."""

    run: str
    reached: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign and where it stands. `version` counts how often it was written.

    `previews` is how many previews were begun, and `preview_points` and `preview_members` what the last finished one found.
    `launches_at` is when a scheduled one launches, `launched_at` when it did (program's time): none of its entries is older.
    `given_up` is how many members the completed bonus was given up for, because something was wrong with their account.
    `budget_in_force` is the budget that holds for it: its own, and, where nobody has approved it, what may be given without.
    `stopped_at` is when it was cancelled, `settled_at` when what it had given by then was written down, and `reverts_at` when
    somebody asked to take it back. `watched` says how far each run was that is at work.
    """

    id: str
    draft: Draft
    created_by: str
    created_at: datetime
    status: Status = Status.DRAFT
    approved_by: str | None = None
    previews: int = 0
    previewed: int = 0
    preview_points: int | None = None
    preview_members: int | None = None
    launches_at: datetime | None = None
    launched_at: datetime | None = None
    ended_at: datetime | None = None
    stopped_at: datetime | None = None
    reverts_at: datetime | None = None
    reverted_at: datetime | None = None
    budget_in_force: Budget = Budget()
    given_up: int = 0
    settled_at: datetime | None = None
    steps: tuple[Step, ...] = field(default=())
    watched: tuple[Watched, ...] = ()
    version: int = 1

    @property
    def is_unsettled(self) -> bool:
        """Whether it was cancelled after its launch, and what it had given by then is not written down yet."""
        return self.launched_at is not None and self.stopped_at is not None and self.settled_at is None

    def watch(self, run: str) -> "Watched | None":
        """How far a run was when somebody looked."""
        return next((each for each in self.watched if each.run == run), None)

    def watching(self, run: str, reached: int, at: datetime) -> "Campaign":
        """The campaign after somebody has looked at a run, or handed it out."""
        # A preview, a bonus and a reversal: what else there was is over.
        others = tuple(each for each in self.watched if each.run != run)[-2:]
        return replace(self, watched=(*others, Watched(run, reached, at)))

    @property
    def is_at_work(self) -> bool:
        """Whether somebody has to look after it: it waits for its time, or workers are, or may be, at it."""
        waits = self.status in (Status.SCHEDULED, Status.RUNNING, Status.REVERTING)
        return waits or self.is_unsettled or self.is_looked_at

    @property
    def is_looked_at(self) -> bool:
        """Whether a preview is at work: a cancelled campaign's has ended, finished or not."""
        return self.previewed < self.previews and self.stopped_at is None


# --- checking ---------------------------------------------------------------------------------------------------------


def checked(draft: Draft, program: Program, *, today: int, field: tuple[str, ...] = ("input",)) -> Draft:
    """The draft with its texts as they are stored. Refuses, in this order: `InvalidText`, `InvalidAudience`, `InvalidAward`,
    `InvalidValidity`, `InvalidBudget`, `InvalidHoldOut`."""
    name = require_text(draft.name, field=(*field, "name"), length_max=limits.NAME_LENGTH_MAX)
    code = require_reason(draft.code, field=(*field, "code"))
    message = _checked_message(draft.message, (*field, "message"))
    audience = audiences.checked(draft.audience, program, field=(*field, "audience"))
    award = _checked_award(draft.award, program, (*field, "award"))
    _check_validity(draft.validity, today, (*field, "validity"))
    for part in ("points", "members"):
        value = getattr(draft.budget, part)
        if value is not None and not 0 < value <= limits.POINTS_MAX:
            raise InvalidBudget(
                "With a budget of nothing nobody gets anything.", field=(*field, "budget", f"{part}Max")
            )
    if not 0 <= draft.hold_out_percent <= limits.HOLD_OUT_PERCENT_MAX:
        raise InvalidHoldOut(f"Hold out 0 to {limits.HOLD_OUT_PERCENT_MAX} percent.", field=(*field, "holdOutPercent"))
    return replace(draft, name=name, code=code, message=message, audience=audience, award=award)


def _checked_award(award: Award, program: Program, field: tuple[str, ...]) -> Award:
    segments = award.segments
    if not 0 < len(segments) <= limits.CAMPAIGN_SEGMENTS_MAX:
        raise InvalidAward(f"Give 1 to {limits.CAMPAIGN_SEGMENTS_MAX} segments.", field=field)
    found: list[Segment] = []
    for number, segment in enumerate(segments):
        place = (*field, str(number)) if len(segments) > 1 else field
        if not 0 < segment.points <= limits.ADJUSTMENT_POINTS_MAX:
            raise InvalidAward(f"Give 1 to {limits.ADJUSTMENT_POINTS_MAX} points.", field=place)
        if segment.audience.list_id is not None:
            raise InvalidAward("A list is of the audience, not of a segment.", field=place)
        meant = audiences.checked(segment.audience, program, field=place)
        if any(meant == each.audience for each in found):
            raise InvalidAward("Two segments are the same; only the first would count.", field=place)
        found.append(Segment(meant, segment.points))
    return Award(tuple(found))


def _check_validity(validity: Validity, today: int, field: tuple[str, ...]) -> None:
    if validity.days is not None and validity.until is not None:
        raise InvalidValidity("Say for how many days, or until when; not both.", field=field)
    if validity.days is not None and not 0 < validity.days <= limits.CAMPAIGN_VALID_DAYS_MAX:
        raise InvalidValidity(f"Give 1 to {limits.CAMPAIGN_VALID_DAYS_MAX} days.", field=(*field, "days"))
    if validity.until is not None and not today < validity.until <= today + limits.CAMPAIGN_VALID_DAYS_MAX:
        raise InvalidValidity(
            f"The last day must lie after today, by {limits.CAMPAIGN_VALID_DAYS_MAX} days at most.",
            field=(*field, "until"),
        )


def _checked_message(message: Message | None, field: tuple[str, ...]) -> Message | None:
    if message is None:
        return None
    title = require_text(message.title, field=(*field, "title"), length_max=limits.NAME_LENGTH_MAX)
    text = require_text(message.text, field=(*field, "text"), length_max=limits.CAMPAIGN_TEXT_LENGTH_MAX)
    for name, value in (("title", title), ("text", text)):
        template = Template(value)
        if not template.is_valid():
            raise InvalidText(f"{name} has a $ without a name; write $$ for a dollar sign.", field=(*field, name))
        unknown = set(template.get_identifiers()) - set(texts.USUAL)
        if unknown:
            known = ", ".join(f"${each}" for each in texts.USUAL)
            raise InvalidText(f"{name} names ${min(unknown)}; it can name {known}.", field=(*field, name))
    return Message(title, text)


def is_over(validity: Validity, at: datetime, program: Program) -> bool:
    """Whether the last day of points was over at a time: nobody could spend them."""
    return validity.until is not None and days.day_of(at, program.zone) > validity.until


def last_day(validity: Validity, today: int) -> int | None:
    """The last day of points that are given on day `today`; None where the program says it."""
    return validity.until if validity.days is None else min(today + validity.days, days.NEVER - 1)
