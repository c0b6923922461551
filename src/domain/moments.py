"""Moments of a membership: what the program does when somebody joins, buys for the third time, has a birthday, or is silent.

A moment is a rule with data: when, how many points, and what the member is told. Some follow from an operation (`following`) and
are booked in its own record; the others come with a day (`DATED`) and are booked by a visit. Either way the account itself
remembers, as a mark under the same lock as the points, that it had them: each is had once, whatever is repeated.
"""

from calendar import isleap
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from domain import accounts, days, limits, texts, tiers
from domain.accounts import State
from domain.documents import Reader
from domain.entries import Entry, EntryKind, Explanation
from domain.expiry import Rolling


class On(Enum):
    """When a moment is."""

    ENROLLMENT = "enrollment"
    # The n-th purchase.
    PURCHASE = "purchase"
    # The balance reaches so many points for the first time.
    BALANCE = "balance"
    TIER_UP = "tier_up"
    BIRTHDAY = "birthday"
    ANNIVERSARY = "anniversary"
    # No activity for so many days.
    SILENCE = "silence"
    # So many days before a tier's last one.
    TIER_FALLING = "tier_falling"
    # The first of a month, about the month before.
    MONTH = "month"


# Moments that come with a day, and need a visit.
DATED = frozenset({On.BIRTHDAY, On.ANNIVERSARY, On.SILENCE, On.TIER_FALLING, On.MONTH})
# Moments that are told, and give no points.
TOLD_ONLY = frozenset({On.TIER_FALLING, On.MONTH})
# What the text of a month can name besides: points that came in, were spent, expired, and expire in the month that begins; the
# cheapest reward not within reach, and the points that are missing.
FIGURES = ("earned", "spent", "expired", "expiring", "reward", "missing")


@dataclass(frozen=True, slots=True)
class Moment:
    """`number` is which purchase, how many points, or how many days, by what `on` asks for. `points` may be 0; they can be spent
    for `valid_days`, or as long as the program's points when that is 0. `title` and `text` are what the member is told, with
    the places of `texts.USUAL` in them and, of a month, also those of `FIGURES`; nothing is told without a title."""

    id: str
    on: On
    number: int = 0
    points: int = 0
    valid_days: int = 0
    title: str = ""
    text: str = ""


def parse(readers: list[Reader], *, has_tiers: bool) -> tuple[Moment, ...]:
    """The moments of a document. Refuses `InvalidProgram`."""
    moments = tuple(_parse(each, has_tiers=has_tiers) for each in readers)
    for reader, moment in zip(readers, moments, strict=True):
        if sum(each.id == moment.id for each in moments) > 1:
            reader.refuse("id", "is that of another moment as well.")
    return moments


def _parse(reader: Reader, *, has_tiers: bool) -> Moment:
    on = reader.choice("when", {each.value: each for each in On}, default="")
    if on in (On.TIER_UP, On.TIER_FALLING) and not has_tiers:
        reader.refuse("when", "needs tiers, which the program does not have.")
    number = 0
    if on in _NUMBERS:
        name, most = _NUMBERS[on]
        number = reader.whole(name, 1, most)
    gives = on not in TOLD_ONLY
    figures = FIGURES if on is On.MONTH else ()
    moment = Moment(
        id=reader.id("id"),
        on=on,
        number=number,
        points=reader.whole("points", 0, limits.ADJUSTMENT_POINTS_MAX, default=0) if gives else 0,
        valid_days=reader.whole("valid_days", 0, 3_650, default=0) if gives else 0,
        title=texts.parse(reader, "title", limits.NAME_LENGTH_MAX, default="", more=figures),
        text=texts.parse(reader, "text", limits.NOTICE_TEXT_LENGTH_MAX, default="", more=figures),
    )
    if on in TOLD_ONLY and not moment.title:
        reader.refuse("title", "is missing: a moment that gives no points would do nothing.")
    reader.finish()
    return moment


# What `Moment.number` is called in a document, and its maximum.
_NUMBERS = {
    On.PURCHASE: ("nth", 1_000_000),
    On.BALANCE: ("at_least", limits.ADJUSTMENT_POINTS_MAX),
    On.SILENCE: ("days", 3_650),
    On.TIER_FALLING: ("days", 180),
}


def document(moments: tuple[Moment, ...]) -> list[dict[str, Any]]:
    """The part of a document that `parse` makes these moments of."""
    listed = []
    for moment in moments:
        made: dict[str, Any] = {"id": moment.id, "when": moment.on.value}
        if moment.on in _NUMBERS:
            made[_NUMBERS[moment.on][0]] = moment.number
        if moment.on not in TOLD_ONLY:
            made |= {"points": moment.points, "valid_days": moment.valid_days}
        listed.append(made | {"title": moment.title, "text": moment.text})
    return listed


# Marks of a state: the day of joining is `tiers.JOINED`.
ACTIVE, PURCHASES = "active", "purchases"


def mark_of(moment: Moment) -> str:
    """The mark that tells that an account has had a moment."""
    return f"m.{moment.id}"


_RULE = "moment:"


def rule_of(moment: Moment) -> str:
    """What explains the points of a moment."""
    return f"{_RULE}{moment.id}"


def named_by(entry: Entry) -> str:
    """The id of the moment that an entry was booked for; empty for any other entry."""
    rule = entry.explanation[0].rule if entry.explanation else ""
    return rule.removeprefix(_RULE) if rule.startswith(_RULE) else ""


def brought(moment: Moment, state: State, entry: Entry) -> int:
    """The value of the mark of a moment that an entry brings to an account that is in `state` after it; 0 if it does not."""
    mark = state.marks.get(mark_of(moment), 0)
    match moment.on:
        case On.ENROLLMENT:
            is_now = entry.kind is EntryKind.ENROLLMENT and not mark
        case On.PURCHASE:
            # Not for those who had bought as often before there was such a moment.
            is_now = entry.kind is EntryKind.PURCHASE and not mark and state.marks[PURCHASES] == moment.number
        case On.TIER_UP:
            is_now = entry.kind is EntryKind.TIER and is_rise(entry)
        case _:
            is_now = False
    return mark + 1 if is_now else 0


def stood_at(rules: tuple[Moment, ...], state: State) -> list[Moment]:
    """The milestones that an account has reached as it stands, and never had before."""
    return [
        moment
        for moment in rules
        if moment.on is On.BALANCE and state.balance >= moment.number and not state.marks.get(mark_of(moment), 0)
    ]


def is_rise(entry: Entry) -> bool:
    """Whether an entry of kind `TIER` gave a better tier than the one before."""
    return bool(entry.explanation) and entry.explanation[0].rule.endswith(":reached")


@dataclass(frozen=True, slots=True)
class Birthday:
    """A date of the year, and the year where it was told. `known` is the day on which it was told: whoever tells it after the
    day has it next year."""

    month: int
    day: int
    year: int | None = None
    known: int = 0

    @property
    def yearly(self) -> tuple[int, int]:
        """Its month and day."""
        return self.month, self.day


@dataclass(frozen=True, slots=True)
class Due:
    """A dated moment that has come: on which day, and the value its mark will have. That is the year, or for a silence the day of
    the last activity: a later one begins another silence."""

    moment: Moment
    day: int
    mark: int


def reached(rules: tuple[Moment, ...], state: State, today: int, *, birthday: Birthday | None) -> list[Due]:
    """The dated moments that give points and have come by day `today`, had or not.

    A birthday or an anniversary counts for `CATCH_UP_DAYS`, a silence as long as it lasts. Whoever joined, or told their
    birthday, after the day has it next year.
    """
    found = []
    for moment in rules:
        if moment.on is On.SILENCE:
            last = silent_since(state)
            if last and last + moment.number <= today:
                found.append(Due(moment, last + moment.number, last))
            continue
        yearly = yearly_date(moment, state, birthday)
        if yearly is None:
            continue
        month_day, since = yearly
        day = latest(month_day, today)
        if today - day <= CATCH_UP_DAYS and day >= since:
            found.append(Due(moment, day, days.date_of(day).year))
    return found


def due(rules: tuple[Moment, ...], state: State, today: int, *, birthday: Birthday | None) -> list[Due]:
    """Those of `reached` that the account has not had."""
    return [each for each in reached(rules, state, today, birthday=birthday) if not was_had(each, state)]


def was_had(due: Due, state: State) -> bool:
    """Whether an account had a dated moment already. A year that was had stays so, whatever date the birthday becomes, and so
    does a silence, whatever is told late of what was before it."""
    return state.marks.get(mark_of(due.moment), 0) >= due.mark


def yearly_date(moment: Moment, state: State, birthday: Birthday | None) -> tuple[tuple[int, int], int] | None:
    """The month and day on which a yearly moment comes, and the first day on which it can; None for other moments, and where
    nobody knows the date."""
    joined = state.marks.get(tiers.JOINED, 0)
    if moment.on is On.BIRTHDAY and birthday is not None:
        return birthday.yearly, max(birthday.known, joined)
    if moment.on is On.ANNIVERSARY and joined:
        on = days.date_of(joined)
        return (on.month, on.day), joined + 1
    return None


def silent_since(state: State) -> int:
    """The last day of an activity, or of joining if that is later; 0 when neither is known."""
    return max(state.marks.get(ACTIVE, 0), state.marks.get(tiers.JOINED, 0))


# A job that was down for longer congratulates nobody any more.
CATCH_UP_DAYS = 14


def latest(month_day: tuple[int, int], today: int) -> int:
    """The latest day up to `today` on which a yearly date was; 29 February is the 28th in other years."""
    on = days.date_of(today)
    for year in (on.year, on.year - 1):
        day = yearly(month_day, year)
        if day <= today:
            return day
    raise AssertionError("a yearly date comes every year")


def upcoming(month_day: tuple[int, int], today: int) -> int:
    """The next day after `today` on which a yearly date will be."""
    year = days.date_of(today).year
    return next(day for day in (yearly(month_day, year), yearly(month_day, year + 1)) if day > today)


def yearly(month_day: tuple[int, int], year: int) -> int:
    """The day of a yearly date in a year; 29 February is the 28th in years that have none."""
    month, day = month_day
    if (month, day) == (2, 29) and not isleap(year):
        day = 28
    return days.day_number(date(year, month, day))


def bonus(
    state: State,
    moment: Moment,
    value: int,
    *,
    points: int,
    expires: int,
    rolls: Rolling | None = None,
    today: int,
    at: datetime,
) -> Entry:
    """The entry of a moment: its points, which may be 0, and the mark that it was had."""
    return Entry(
        kind=EntryKind.BONUS,
        at=at,
        lines=accounts.earn(state, points, expires=expires, today=today),
        balance_after=0,
        explanation=(Explanation(rule_of(moment), points),),
        rolls=rolls if points else None,
        marks=((mark_of(moment), value),),
    )
