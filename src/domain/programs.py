"""The program as data: terms, places and rewards. Every published version is immutable; what was earned keeps its terms."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

from domain import limits
from domain.days import Expiry, Rounding
from domain.refusals import Refusal


class InvalidProgram(Refusal):
    """A program document that cannot be published; `field` is the path in it."""


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
class Location:
    """A shop, or a channel's place of sale."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Reward:
    """Something to redeem for `cost` points. `version` is the program version that last changed it."""

    id: str
    version: int
    name: str
    cost: int
    description: str = ""


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

    def reward(self, reward_id: str) -> Reward | None:
        """The reward in force under this id."""
        return next((reward for reward in self.rewards if reward.id == reward_id), None)


_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_UNITS = (1, 10, 100, 1_000, 10_000)  # minor units in a whole one, by the exponents of ISO 4217
_MISSING = object()
T = TypeVar("T")


def parse(document: Mapping[str, Any], *, version: int) -> Program:
    """The program a document describes, as version `version`. Refuses `InvalidProgram` with the path of the first fault."""
    top = _Reader(document, ())
    name = top.text("name", limits.NAME_LENGTH_MAX)
    zone = top.zone("timezone")
    currencies = top.currencies("currencies")
    places = top.readers("locations")
    locations = tuple(Location(place.id("id"), place.text("name", limits.NAME_LENGTH_MAX)) for place in places)
    earning, expiry, pending = top.reader("earning"), top.reader("expiry"), top.reader("pending", default={})
    returns, holding, giving, windows = (
        top.reader(each, default={}) for each in ("returns", "holds", "transfers", "windows")
    )
    terms = Terms(
        version=version,
        earning=EarningRule(earning.id("id"), earning.whole("points", 0, 1_000)),
        expiry=Expiry(
            months=expiry.whole("months", 0, 1_200, default=0),
            days=expiry.whole("days", 0, 36_500, default=0),
            rounding=expiry.choice("rounding", {each.name.lower(): each for each in Rounding}, default="month"),
        ),
        pending_days=pending.whole("days", 0, 365, default=0),
        returns=returns.choice("policy", {each.value: each for each in ReturnPolicy}, default=_RETURNS),
    )
    rewards = tuple(parse_reward(reward.values, version=version, path=reward.path) for reward in top.readers("rewards"))
    for what, ids in (("locations", [each.id for each in locations]), ("rewards", [each.id for each in rewards])):
        if len(set(ids)) < len(ids):
            raise InvalidProgram(f"Two {what} have the same id.", field=(what,))
    holds, transfers, undone = _holds(holding), _transfers(giving), _windows(windows)
    for rest in (top, earning, expiry, pending, returns, holding, giving, windows, *places):
        rest.finish()
    return Program(version, name, zone, currencies, locations, terms, rewards, holds, transfers, undone)


_RETURNS = ReturnPolicy.DEBT.value
_HOLDS, _TRANSFERS, _WINDOWS = HoldRules(), TransferRules(), Windows()


def _holds(reader: "_Reader") -> HoldRules:
    least, most = _seconds(limits.HOLD_TTL_MIN), _seconds(limits.HOLD_TTL_MAX)
    ttl_max = reader.whole("ttl_seconds_max", least, most, default=most)
    ttl = reader.whole("ttl_seconds", least, ttl_max, default=min(_seconds(_HOLDS.ttl_default), ttl_max))
    return HoldRules(timedelta(seconds=ttl), timedelta(seconds=ttl_max))


def _transfers(reader: "_Reader") -> TransferRules:
    most = limits.ADJUSTMENT_POINTS_MAX
    # A maximum of 0 switches transfers off.
    points_max = reader.whole("points_max", 0, most, default=_TRANSFERS.points_max)
    return TransferRules(
        points_min=reader.whole("points_min", 1, most, default=_TRANSFERS.points_min),
        points_max=points_max,
        points_per_day_max=reader.whole("points_per_day_max", 0, most, default=_TRANSFERS.points_per_day_max),
    )


def _windows(reader: "_Reader") -> Windows:
    return Windows(
        reinstatement_days=reader.whole("reinstatement_days", 0, 365, default=_WINDOWS.reinstatement_days),
        merge_undo_days=reader.whole("merge_undo_days", 0, 365, default=_WINDOWS.merge_undo_days),
    )


def _seconds(time: timedelta) -> int:
    return int(time.total_seconds())


def parse_reward(values: Mapping[str, Any], *, version: int, path: tuple[str, ...] = ()) -> Reward:
    """One reward of a document. Refuses `InvalidProgram`."""
    reader = _Reader(values, path)
    reward = Reward(
        id=reader.id("id"),
        version=version,
        name=reader.text("name", limits.NAME_LENGTH_MAX),
        cost=reader.whole("cost", 1, limits.ADJUSTMENT_POINTS_MAX),
        description=reader.text("description", 1_000, default=""),
    )
    reader.finish()
    return reward


def document(program: Program) -> dict[str, Any]:
    """The document that `parse` makes this program of."""
    expiry = program.terms.expiry
    return {
        "name": program.name,
        "timezone": program.zone.key,
        "currencies": dict(program.currencies),
        "locations": [{"id": place.id, "name": place.name} for place in program.locations],
        "earning": {"id": program.terms.earning.id, "points": program.terms.earning.points},
        "expiry": {"months": expiry.months, "days": expiry.days, "rounding": expiry.rounding.name.lower()},
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
        "rewards": [reward_document(reward) for reward in program.rewards],
    }


def reward_document(reward: Reward) -> dict[str, Any]:
    """The part of a document that describes this reward."""
    return {"id": reward.id, "name": reward.name, "cost": reward.cost, "description": reward.description}


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
    if terms != published.terms or program.currencies != published.currencies or program.zone != published.zone:
        terms = replace(program.terms, version=version)
    return replace(program, version=version, terms=terms, rewards=tuple(map(kept, program.rewards)))


class _Reader:
    """Reads typed values out of one mapping of a document and remembers which, so that a misspelt one is found."""

    def __init__(self, values: Any, path: tuple[str, ...]) -> None:
        self.path = path
        if not isinstance(values, Mapping):
            raise InvalidProgram("must be a mapping.", field=path)
        self.values = values
        self._read: set[str] = set()

    def finish(self) -> None:
        for name in self.values:
            if name not in self._read:
                self._refuse(str(name), "is not a setting of a program.")

    def text(self, name: str, length_max: int, *, default: Any = _MISSING) -> str:
        def accept(value: Any) -> str | None:
            is_text = isinstance(value, str) and value.isprintable() and len(value) <= length_max
            return value if is_text and (value or default == "") else None

        return self._value(name, accept, f"must be a text of 1 to {length_max} characters", default)

    def id(self, name: str) -> str:
        def accept(value: Any) -> str | None:
            return value if isinstance(value, str) and _ID.fullmatch(value) else None

        return self._value(name, accept, f"must match {_ID.pattern}", _MISSING)

    def whole(self, name: str, least: int, most: int, *, default: Any = _MISSING) -> int:
        def accept(value: Any) -> int | None:
            return value if type(value) is int and least <= value <= most else None

        return self._value(name, accept, f"must be a whole number from {least} to {most}", default)

    def choice(self, name: str, choices: Mapping[str, T], *, default: str) -> T:
        def accept(value: Any) -> T | None:
            return choices.get(value) if isinstance(value, str) else None

        return self._value(name, accept, "must be one of " + ", ".join(choices), default)

    def zone(self, name: str) -> ZoneInfo:
        def accept(value: Any) -> ZoneInfo | None:
            try:
                return ZoneInfo(value)
            except (KeyError, OSError, TypeError, ValueError):  # an unknown name is a KeyError, a path a ValueError
                return None

        return self._value(name, accept, "must be an IANA time zone, such as Europe/Paris", _MISSING)

    def currencies(self, name: str) -> dict[str, int]:
        def accept(value: Any) -> dict[str, int] | None:
            good = (
                isinstance(value, Mapping)
                and value
                and all(
                    isinstance(code, str) and _CURRENCY.fullmatch(code) and type(units) is int and units in _UNITS
                    for code, units in value.items()
                )
            )
            return dict(value) if good else None

        return self._value(name, accept, "must give each ISO 4217 code its minor units, such as EUR: 100", _MISSING)

    def reader(self, name: str, *, default: Any = _MISSING) -> "_Reader":
        self._read.add(name)
        if name not in self.values and default is _MISSING:
            self._refuse(name, "is missing.")
        return _Reader(self.values.get(name, default), (*self.path, name))

    def readers(self, name: str) -> list["_Reader"]:
        def accept(value: Any) -> list[Any] | None:
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            return list(value) if is_list and len(value) <= limits.PROGRAM_LIST_MAX else None

        listed = self._value(name, accept, f"must be a list of at most {limits.PROGRAM_LIST_MAX}", [])
        return [_Reader(each, (*self.path, name, str(index))) for index, each in enumerate(listed)]

    def _value(self, name: str, accept: Callable[[Any], T | None], rule: str, default: Any) -> T:
        self._read.add(name)
        value = self.values.get(name, default)
        if value is _MISSING:
            self._refuse(name, "is missing.")
        accepted = accept(value)
        if accepted is None:
            self._refuse(name, f"{rule}.")
        return accepted

    def _refuse(self, name: str, message: str) -> NoReturn:
        raise InvalidProgram(f"{'.'.join((*self.path, name))} {message}", field=(*self.path, name))
