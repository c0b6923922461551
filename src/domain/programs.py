"""The program as data: terms, places and rewards. Every published version is immutable; what was earned keeps its terms."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from domain import days, expiry, jurisdictions, limits, moments, notices, tiers
from domain.documents import InvalidProgram, Reader
from domain.expiry import Expiry
from domain.jurisdictions import Jurisdiction
from domain.moments import Moment
from domain.notices import NoticeRules
from domain.tiers import Ladder


@dataclass(frozen=True, slots=True)
class EarningRule:
    """`points` for each whole currency unit of the order's total, the rest of the order dropped (floor per order)."""

    id: str = "base"
    points: int = 1


class ReturnPolicy(Enum):
    """What happens to points of a returned purchase that the member no longer has."""

    # Only points that are still pending are taken; the rest stays with the member.
    PENDING_ONLY = "pending_only"
    # What is there is taken; the rest is written off.
    CLAMP = "clamp"
    # The rest becomes a debt, which the next points pay.
    DEBT = "debt"


class Activity(Enum):
    """What counts as an activity of a member: it keeps points alive that expire by inactivity, and ends a silence."""

    PURCHASE = "purchase"
    REDEMPTION = "redemption"
    # Points given to another member.
    GIFT = "gift"


@dataclass(frozen=True, slots=True)
class Comeback:
    """What a purchase earns after at least `days` without an activity, in percent of what it earns otherwise."""

    days: int
    percent: int


@dataclass(frozen=True, slots=True)
class Terms:
    """How points are earned, when they can be spent, when they expire and what a return takes back.

    `version` is the program version that set them.
    """

    version: int
    earning: EarningRule
    expiry: Expiry
    pending_days: int = 0
    returns: ReturnPolicy = ReturnPolicy.DEBT
    comeback: Comeback | None = None


@dataclass(frozen=True, slots=True)
class HoldRules:
    """How long points are set aside when a till does not say, and at most."""

    ttl_default: timedelta = limits.HOLD_TTL_DEFAULT
    ttl_max: timedelta = limits.HOLD_TTL_MAX


@dataclass(frozen=True, slots=True)
class TransferRules:
    """How many points a member may give to another: in one transfer, and on one day of the program's calendar."""

    points_min: int = 1
    points_max: int = 10_000
    points_per_day_max: int = 20_000


@dataclass(frozen=True, slots=True)
class Windows:
    """Days in which things can be undone: points of a cancelled redemption can be spent for `reinstatement_days` at least, and
    a merge can be undone for `merge_undo_days`."""

    reinstatement_days: int = 30
    merge_undo_days: int = 30


@dataclass(frozen=True, slots=True)
class CampaignRules:
    """The most points that a campaign gives without the approval of a second person."""

    points_unapproved_max: int = 100_000


@dataclass(frozen=True, slots=True)
class PointValue:
    """What points are worth to the shop, for its books: `points` of them `amount_minor` minor units of `currency`."""

    points: int
    amount_minor: int
    currency: str

    def of(self, points: int) -> tuple[int, str]:
        """What so many points are worth, in minor units, parts of one rounded up: a liability is never told too small."""
        return -(-points * self.amount_minor // self.points), self.currency


@dataclass(frozen=True, slots=True)
class Location:
    """A shop, or a channel's place of sale."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Reward:
    """Something to redeem for `cost` points. `version` is the program version that last changed it; `available_from` the first
    day on which everybody may redeem it, 0 if it always was."""

    id: str
    version: int
    name: str
    cost: int
    description: str = ""
    available_from: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """One published version. `currencies` maps each accepted ISO 4217 code to its minor units in a whole unit."""

    version: int
    name: str
    zone: ZoneInfo
    currencies: Mapping[str, int]
    locations: tuple[Location, ...]
    terms: Terms
    rewards: tuple[Reward, ...]
    holds: HoldRules = field(default_factory=HoldRules)
    transfers: TransferRules = field(default_factory=TransferRules)
    windows: Windows = field(default_factory=Windows)
    activities: frozenset[Activity] = frozenset({Activity.PURCHASE, Activity.REDEMPTION})
    ladder: Ladder | None = None
    moments: tuple[Moment, ...] = ()
    notices: NoticeRules = field(default_factory=NoticeRules)
    jurisdictions: tuple[Jurisdiction, ...] = ()
    campaigns: CampaignRules = field(default_factory=CampaignRules)
    point_value: PointValue | None = None

    def reward(self, reward_id: str) -> Reward | None:
        """The reward in force under this id."""
        return next((reward for reward in self.rewards if reward.id == reward_id), None)

    def moment(self, moment_id: str) -> Moment | None:
        """The moment in force under this id."""
        return next((moment for moment in self.moments if moment.id == moment_id), None)


def parse(document: Mapping[str, Any], *, version: int) -> Program:
    """The program a document describes, as version `version`. Refuses `InvalidProgram` with the path of the first fault."""
    top = Reader(document, ())
    name = top.text("name", limits.NAME_LENGTH_MAX)
    zone = top.zone("timezone")
    currencies = top.currencies("currencies")
    places = top.readers("locations")
    locations = tuple(Location(place.id("id"), place.text("name", limits.NAME_LENGTH_MAX)) for place in places)
    earning, expiring, pending = top.reader("earning"), top.reader("expiry"), top.reader("pending", default={})
    returns, holding, giving, windows, noticing = (
        top.reader(each, default={}) for each in ("returns", "holds", "transfers", "windows", "notices")
    )
    terms = Terms(
        version=version,
        earning=EarningRule(earning.id("id"), earning.whole("points", 0, 1_000)),
        expiry=expiry.parse(expiring),
        pending_days=pending.whole("days", 0, 365, default=0),
        returns=returns.choice("policy", {each.value: each for each in ReturnPolicy}, default=_RETURNS),
        comeback=_comeback(earning),
    )
    activities = top.choices("activities", {each.value: each for each in Activity}, default=_ACTIVITIES)
    ladder = tiers.parse(top.reader("tiers")) if top.has("tiers") else None
    rules = moments.parse(top.readers("moments"), has_tiers=ladder is not None)
    told = notices.parse(noticing)
    places_of_law = top.choices("jurisdictions", {each.value: each for each in Jurisdiction}, default=())
    rewards = tuple(parse_reward(reward.values, version=version, path=reward.path) for reward in top.readers("rewards"))
    for what, ids in (("locations", [each.id for each in locations]), ("rewards", [each.id for each in rewards])):
        if len(set(ids)) < len(ids):
            raise InvalidProgram(f"Two {what} have the same id.", field=(what,))
    holds, transfers, undone = _holds(holding), _transfers(giving), _windows(windows)
    campaigning = top.reader("campaigns", default={})
    campaigns = CampaignRules(
        campaigning.whole("points_unapproved_max", 0, limits.POINTS_MAX, default=_CAMPAIGNS.points_unapproved_max)
    )
    point_value = _point_value(top.reader("point_value"), currencies) if top.has("point_value") else None
    for rest in (top, campaigning, earning, expiring, pending, returns, holding, giving, windows, noticing, *places):
        rest.finish()
    return Program(
        version,
        name,
        zone,
        currencies,
        locations,
        terms,
        rewards,
        holds,
        transfers,
        undone,
        frozenset(activities),
        ladder,
        rules,
        told,
        places_of_law,
        campaigns,
        point_value,
    )


def publishable(program: Program) -> Program:
    """The program, if it may be published; what was published once stays in force, whatever is found out later. Refuses
    `InvalidProgram` for too many moments, and for what its jurisdictions do not allow."""
    if len(program.moments) > limits.MOMENTS_MAX:
        raise InvalidProgram(f"moments must be a list of at most {limits.MOMENTS_MAX}.", field=("moments",))
    jurisdictions.require(program)
    return program


def warnings(program: Program, published: Program | None = None) -> list[str]:
    """What whoever publishes the program as it follows `published` should know, a sentence each."""
    found = jurisdictions.warnings(program)
    tiers_with_gifts = program.ladder.tiers if program.ladder else ()
    has_birthday = any(moment.on is moments.On.BIRTHDAY for moment in program.moments)
    if not has_birthday and any(tier.benefits.birthday_points for tier in tiers_with_gifts):
        found.append("A tier has birthday_points, and no moment on birthdays gives them. (moments)")
    if published is not None and published.zone.key != program.zone.key:
        found.append(
            f"The time zone was {published.zone.key} in the version before: where days end earlier in {program.zone.key}, "
            "points lose hours of their last day. (timezone)"
        )
    return found


_RETURNS = ReturnPolicy.DEBT.value
_ACTIVITIES = (Activity.PURCHASE.value, Activity.REDEMPTION.value)
_HOLDS, _TRANSFERS, _WINDOWS, _CAMPAIGNS = HoldRules(), TransferRules(), Windows(), CampaignRules()


def _point_value(reader: Reader, currencies: Mapping[str, int]) -> PointValue:
    made = PointValue(
        reader.whole("points", 1, limits.ADJUSTMENT_POINTS_MAX),
        reader.whole("amount_minor", 0, limits.ADJUSTMENT_POINTS_MAX),
        reader.choice("currency", {each: each for each in currencies}, default=next(iter(currencies))),
    )
    reader.finish()
    return made


def _comeback(earning: Reader) -> Comeback | None:
    if not earning.has("comeback"):
        return None
    reader = earning.reader("comeback")
    made = Comeback(reader.whole("days", 1, 3_650), reader.whole("percent", 0, 1_000))
    reader.finish()
    return made


def _holds(reader: Reader) -> HoldRules:
    least, most = _seconds(limits.HOLD_TTL_MIN), _seconds(limits.HOLD_TTL_MAX)
    ttl_max = reader.whole("ttl_seconds_max", least, most, default=most)
    ttl = reader.whole("ttl_seconds", least, ttl_max, default=min(_seconds(_HOLDS.ttl_default), ttl_max))
    return HoldRules(timedelta(seconds=ttl), timedelta(seconds=ttl_max))


def _transfers(reader: Reader) -> TransferRules:
    most = limits.ADJUSTMENT_POINTS_MAX
    # A maximum of 0 switches transfers off.
    points_max = reader.whole("points_max", 0, most, default=_TRANSFERS.points_max)
    return TransferRules(
        points_min=reader.whole("points_min", 1, most, default=_TRANSFERS.points_min),
        points_max=points_max,
        points_per_day_max=reader.whole("points_per_day_max", 0, most, default=_TRANSFERS.points_per_day_max),
    )


def _windows(reader: Reader) -> Windows:
    return Windows(
        reinstatement_days=reader.whole("reinstatement_days", 0, 365, default=_WINDOWS.reinstatement_days),
        merge_undo_days=reader.whole("merge_undo_days", 0, 365, default=_WINDOWS.merge_undo_days),
    )


def _seconds(time: timedelta) -> int:
    return int(time.total_seconds())


def parse_reward(values: Mapping[str, Any], *, version: int, path: tuple[str, ...] = ()) -> Reward:
    """One reward of a document. Refuses `InvalidProgram`."""
    reader = Reader(values, path)
    reward = Reward(
        id=reader.id("id"),
        version=version,
        name=reader.text("name", limits.NAME_LENGTH_MAX),
        cost=reader.whole("cost", 1, limits.ADJUSTMENT_POINTS_MAX),
        description=reader.text("description", 1_000, default=""),
        available_from=days.day_number(reader.day("available_from")) if reader.has("available_from") else 0,
    )
    reader.finish()
    return reward


def document(program: Program) -> dict[str, Any]:
    """The document that `parse` makes this program of."""
    comeback, ladder = program.terms.comeback, program.ladder
    earning: dict[str, Any] = {"id": program.terms.earning.id, "points": program.terms.earning.points}
    if comeback is not None:
        earning["comeback"] = {"days": comeback.days, "percent": comeback.percent}
    return {
        "name": program.name,
        "timezone": program.zone.key,
        "currencies": dict(program.currencies),
        "locations": [{"id": place.id, "name": place.name} for place in program.locations],
        "earning": earning,
        "expiry": expiry.document(program.terms.expiry),
        "activities": sorted(each.value for each in program.activities),
        **({"tiers": tiers.document(ladder)} if ladder else {}),
        "moments": moments.document(program.moments),
        "notices": notices.document(program.notices),
        "jurisdictions": [each.value for each in program.jurisdictions],
        "pending": {"days": program.terms.pending_days},
        "returns": {"policy": program.terms.returns.value},
        "holds": {
            "ttl_seconds": _seconds(program.holds.ttl_default),
            "ttl_seconds_max": _seconds(program.holds.ttl_max),
        },
        "transfers": {
            "points_min": program.transfers.points_min,
            "points_max": program.transfers.points_max,
            "points_per_day_max": program.transfers.points_per_day_max,
        },
        "windows": {
            "reinstatement_days": program.windows.reinstatement_days,
            "merge_undo_days": program.windows.merge_undo_days,
        },
        "campaigns": {"points_unapproved_max": program.campaigns.points_unapproved_max},
        **({"point_value": asdict(program.point_value)} if program.point_value else {}),
        "rewards": [reward_document(reward) for reward in program.rewards],
    }


def reward_document(reward: Reward) -> dict[str, Any]:
    """The part of a document that describes this reward."""
    made: dict[str, Any] = {
        "id": reward.id,
        "name": reward.name,
        "cost": reward.cost,
        "description": reward.description,
    }
    if reward.available_from:
        made["available_from"] = days.date_of(reward.available_from).isoformat()
    return made


def stored(program: Program) -> dict[str, Any]:
    """The document with the versions it has as a published program."""
    rewards = {reward.id: reward.version for reward in program.rewards}
    return {
        "document": document(program),
        "version": program.version,
        "terms": program.terms.version,
        "rewards": rewards,
    }


def restored(values: Mapping[str, Any]) -> Program:
    """The published program that `stored` wrote down."""
    program = parse(values["document"], version=values["version"])
    rewards = tuple(replace(reward, version=values["rewards"][reward.id]) for reward in program.rewards)
    return replace(program, terms=replace(program.terms, version=values["terms"]), rewards=rewards)


def successor(program: Program, published: Program | None) -> Program:
    """`program` as it follows `published`: the next version, in which whatever did not change keeps its version."""
    if published is None:
        return program
    version = published.version + 1

    def kept(reward: Reward) -> Reward:
        before = published.reward(reward.id)
        same = before is not None and reward_document(before) == reward_document(reward)
        return replace(reward, version=before.version if before is not None and same else version)

    terms = replace(program.terms, version=published.terms.version)
    # What decides how many points there are and until when; of a tier its benefits do.
    same = ("currencies", "zone", "activities", "ladder")
    if terms != published.terms or any(getattr(program, each) != getattr(published, each) for each in same):
        terms = replace(program.terms, version=version)
    return replace(program, version=version, terms=terms, rewards=tuple(map(kept, program.rewards)))
