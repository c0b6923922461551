"""Whom a campaign means: conditions on an account as it is now and on its member's profile, all of which must hold."""

import re
from dataclasses import dataclass, replace

from domain import limits, members, moments, tiers
from domain.accounts import State
from domain.members import Profile
from domain.programs import Program
from domain.refusals import Refusal, require_text


class InvalidAudience(Refusal):
    """A condition of an audience names nothing there is, contradicts another, or is out of bounds."""


class InvalidAward(Refusal):
    """What a campaign gives is nothing, too much, or given twice for the same tier."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Conditions, each of them open where it is empty or None. Days are days of the program's calendar, both ends included.

    `tiers` are ids of which the member has one (the lowest is everybody's who has no other); `balance_min` and `balance_max` are
    about points that can be spent; `locations` about the member's home location. `active_from` and `active_until` are about the
    day of the last activity: who never had one is as active as on the day of joining. `tags` are labels of which the member has
    one, `tags_without` such of which they have none. `birth_months` are 1 to 12. `list_id` is an uploaded list of members.
    """

    tiers: frozenset[str] = frozenset()
    balance_min: int | None = None
    balance_max: int | None = None
    locations: frozenset[str] = frozenset()
    active_from: int | None = None
    active_until: int | None = None
    joined_from: int | None = None
    joined_until: int | None = None
    tags: frozenset[str] = frozenset()
    tags_without: frozenset[str] = frozenset()
    birth_months: frozenset[int] = frozenset()
    list_id: str | None = None

    def includes(self, state: State, profile: Profile, program: Program) -> bool:
        """Whether a member is meant. The state is as of now; whether they are on the list, who reads the list knows."""
        joined = state.marks.get(tiers.JOINED, 0)
        active = max(state.marks.get(moments.ACTIVE, 0), joined)
        return (
            (not self.tiers or _tier(state, program) in self.tiers)
            and _within(state.balance, self.balance_min, self.balance_max)
            and (not self.locations or profile.home_location in self.locations)
            and _within(active, self.active_from, self.active_until)
            and _within(joined, self.joined_from, self.joined_until)
            and (not self.tags or not self.tags.isdisjoint(profile.tags))
            and self.tags_without.isdisjoint(profile.tags)
            and (
                not self.birth_months or (profile.birthday is not None and profile.birthday.month in self.birth_months)
            )
        )


EVERYBODY = Audience()


def _tier(state: State, program: Program) -> str | None:
    return program.ladder.of(state.standing).id if program.ladder else None


def _within(value: int, least: int | None, most: int | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def checked(audience: Audience, program: Program, *, field: tuple[str, ...]) -> Audience:
    """The audience with its texts as they are compared. Refuses `InvalidAudience`, `InvalidText`."""
    known = {tier.id for tier in program.ladder.tiers} if program.ladder else set()
    for tier in sorted(audience.tiers - known):
        names = ", ".join(sorted(known)) or "none"
        raise InvalidAudience(f"The program has no tier {tier!r}: its tiers are {names}.", field=(*field, "tiers"))
    for name in ("balance_min", "balance_max"):
        value = getattr(audience, name)
        if value is not None and not 0 <= value <= limits.POINTS_MAX:
            raise InvalidAudience("A balance is 0 or more.", field=(*field, _NAMES[name]))
    for least, most in (
        ("balance_min", "balance_max"),
        ("active_from", "active_until"),
        ("joined_from", "joined_until"),
    ):
        low, high = getattr(audience, least), getattr(audience, most)
        if low is not None and high is not None and low > high:
            message = f"Nobody can be meant: {_NAMES[least]} lies above {_NAMES[most]}."
            raise InvalidAudience(message, field=(*field, _NAMES[least]))
    if not audience.birth_months <= frozenset(range(1, 13)):
        raise InvalidAudience("A month is 1 to 12.", field=(*field, "birthMonths"))
    if not audience.tags.isdisjoint(audience.tags_without):
        raise InvalidAudience("Nobody can be meant: a tag is asked for and ruled out.", field=(*field, "withoutTags"))
    return replace(
        audience,
        locations=_labels(audience.locations, (*field, "locations")),
        tags=_tags(audience.tags, (*field, "tags")),
        tags_without=_tags(audience.tags_without, (*field, "withoutTags")),
    )


# Names of conditions in the input.
_NAMES = {
    "balance_min": "balanceMin",
    "balance_max": "balanceMax",
    "active_from": "activeFrom",
    "active_until": "activeUntil",
    "joined_from": "joinedFrom",
    "joined_until": "joinedUntil",
}
_LABEL = re.compile(r"\S(.*\S)?")


def _tags(values: frozenset[str], field: tuple[str, ...]) -> frozenset[str]:
    _require_few(values, field, most=limits.TAGS_MAX)
    return members.tags(sorted(values), field=field)


def _labels(values: frozenset[str], field: tuple[str, ...]) -> frozenset[str]:
    _require_few(values, field, most=limits.AUDIENCE_LABELS_MAX)
    return frozenset(
        require_text(each, field=field, length_max=limits.LABEL_LENGTH_MAX, pattern=_LABEL) for each in values
    )


def _require_few(values: frozenset[str], field: tuple[str, ...], *, most: int) -> None:
    if len(values) > most:
        raise InvalidAudience(f"Name {most} at most, not {len(values)}.", field=field)
