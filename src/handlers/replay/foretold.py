"""Foretells a household's years from its baskets alone: every expiry, reminder and change of tier, by day and points.

It shares no code with what it foretells: nothing of the domain, the schema or the storage, and nothing of the part that sends.
The rules are those of the two programs in `years`, written down once more, in the plainest way: day after day.

A day goes so: at its beginning points expire whose last day was yesterday, and a tier ends whose last day was yesterday; in the
morning members are reminded; then they buy.
"""

import calendar
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """A program as its author would describe it. `silence_months` is inactivity, else points live `months` to the end of a month.

    `ladder` is (tier, threshold, percent of the points a purchase earns without it), the lowest first. `year` is `calendar` or
    `rolling`; `lands_softly` says whether a tier falls by one step at most.
    """

    ladder: tuple[tuple[str, int, int], ...]
    year: str
    grace_days: int
    lands_softly: bool
    months: int = 0
    silence_months: int = 0
    stages: tuple[int, ...] = (30, 15, 7)


@dataclass(frozen=True, slots=True)
class Told:
    """What happens: expiries (last day, points), tiers (day, tier), and reminders (last day, day told, points)."""

    expiries: list[tuple[date, int]] = field(default_factory=list)
    tiers: list[tuple[date, str]] = field(default_factory=list)
    reminders: list[tuple[date, date, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Life:
    rules: Rules
    told: Told = field(default_factory=Told)
    # Points by their last day; one day for all of them where silence ends them.
    points: dict[date, int] = field(default_factory=dict)
    reminded: set[tuple[date, int]] = field(default_factory=set)
    counted: dict[date, int] = field(default_factory=dict)  # by the first of a month
    rank: int = 0
    until: date | None = None

    def begin(self, today: date) -> None:
        ended = today - DAY
        if lost := self.points.pop(ended, 0):
            self.told.expiries.append((ended, lost))
        if self.until == ended:
            self._fall(ended, today)

    def remind(self, today: date) -> None:
        for last, points in sorted(self.points.items()):
            near = [stage for stage in self.rules.stages if last - today <= stage * DAY]
            if near and last > today and (last, min(near)) not in self.reminded:
                # The nearest stage; whatever was missed before it is not made up for.
                self.reminded.add((last, min(near)))
                self.told.reminders.append((last, today, points))

    def buy(self, today: date, cents: int) -> None:
        points = cents // 100
        month = today.replace(day=1)
        more = points * (self.rules.ladder[self.rank][2] - 100) // 100
        if self.rules.silence_months:
            live = sum(self.points.values()) + points + more
            last = _months_after(today, self.rules.silence_months)
            self.points = {last: live} if live else {}
        elif points + more:
            last = _end_of_month(_months_after(today, self.rules.months))
            self.points[last] = self.points.get(last, 0) + points + more
        if points:
            self.counted[month] = self.counted.get(month, 0) + points
            self._rise(today)

    def _amount(self, today: date) -> int:
        """What counts on a day: of its calendar year, or of its month and the eleven before."""
        if self.rules.year == "calendar":
            months = [month for month in self.counted if month.year == today.year and month <= today]
        else:
            oldest = _months_after(today.replace(day=1), -11)
            months = [month for month in self.counted if oldest <= month <= today]
        return sum(self.counted[month] for month in months)

    def _reached(self, today: date) -> int:
        amount = self._amount(today)
        return max(rank for rank, (_, threshold, _) in enumerate(self.rules.ladder) if threshold <= amount)

    def _valid(self, reached_on: date) -> date:
        """The last day of a tier that was reached on a day."""
        if self.rules.year == "calendar":
            end = date(reached_on.year + 1, 12, 31)
        else:
            end = _end_of_month(_months_after(reached_on.replace(day=1), 12))
        return end + self.rules.grace_days * DAY

    def _rise(self, today: date) -> None:
        rank, until = self._reached(today), self._valid(today)
        if not rank or rank < self.rank or (rank == self.rank and self.until is not None and until <= self.until):
            return
        if rank == self.rank and self.rules.year == "rolling" and self.until is not None:
            # The months up to the one that brought the tier are used up: it is kept by what came after them.
            brought = _months_after((self.until - self.rules.grace_days * DAY).replace(day=1), -12)
            since = sum(points for month, points in self.counted.items() if brought < month <= today)
            if since < self.rules.ladder[rank][1]:
                return
        self.rank, self.until = rank, until
        self.told.tiers.append((today, self.rules.ladder[rank][0]))

    def _fall(self, until: date, today: date) -> None:
        ended = until - self.rules.grace_days * DAY
        rights = [(self._reached(day), self._valid(day)) for day in (ended, until)]
        if self.rules.lands_softly:
            rights.append((self.rank - 1, self._valid(ended)))
        self.rank, last = max(rights)
        self.until = last if self.rank else None
        self.told.tiers.append((today, self.rules.ladder[self.rank][0]))


def foretell(baskets: Sequence[tuple[date, int]], rules: Rules, *, first: date, last: date) -> Told:
    """What happens from day `first` to day `last`; `baskets` are (day, cents) in the order in which they were bought."""
    by_day: dict[date, list[int]] = {}
    for day, cents in baskets:
        by_day.setdefault(day, []).append(cents)
    life = _Life(rules)
    for today in _days(first, last):
        life.begin(today)
        life.remind(today)
        for cents in by_day.get(today, ()):
            life.buy(today, cents)
    return life.told


def differences(foretold: Mapping[int, Told], happened: Mapping[int, Told]) -> list[tuple[int, str, object, object]]:
    """Each household's first difference of each kind: household, what, foretold, happened."""
    found: list[tuple[int, str, object, object]] = []
    for household, told in foretold.items():
        for what in ("expiries", "tiers", "reminders"):
            wanted, there = sorted(getattr(told, what)), sorted(getattr(happened[household], what))
            if wanted != there:
                missing = [each for each in wanted if each not in there]
                surplus = [each for each in there if each not in wanted]
                found.append((household, what, missing[:3] or f"{len(wanted)}", surplus[:3] or f"{len(there)}"))
    return found


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += DAY


def _months_after(day: date, months: int) -> date:
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(years, month + 1, min(day.day, calendar.monthrange(years, month + 1)[1]))


def _end_of_month(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])
