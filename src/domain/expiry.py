"""Expiry policies: until when points can be spent.

A policy is asked when points are earned, and what it says then stays with them: publishing other terms never shortens what
somebody holds. Days are program-timezone day numbers (`domain.days`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from itertools import chain
from typing import Any

from dateutil.relativedelta import relativedelta

from domain import days, limits
from domain.days import NEVER, Rounding
from domain.documents import Reader


class Policy(Enum):
    """What decides when points expire."""

    NEVER = "never"
    # A fixed time after they were earned.
    FIXED = "fixed"
    # On one of some dates of every year.
    CALENDAR = "calendar"
    # On an anniversary of joining.
    ANNIVERSARY = "anniversary"
    # When the member was not active for a while; each activity moves the day for all of them.
    INACTIVITY = "inactivity"


@dataclass(frozen=True, slots=True)
class Expiry:
    """`months` and `days` are the time points can be spent at least (`FIXED`, `CALENDAR`, `ANNIVERSARY`), or how long a member
    may be inactive (`INACTIVITY`). The day is moved to the end of `rounding`.

    `dates` are the (month, day) of a `CALENDAR`; 29 February is the last of February in other years. `FIXED` without any time is
    `NEVER`.
    """

    months: int = 24
    days: int = 0
    rounding: Rounding = Rounding.MONTH
    policy: Policy = Policy.FIXED
    dates: tuple[tuple[int, int], ...] = ()

    @property
    def is_rolling(self) -> bool:
        """Whether each activity of the member moves the day."""
        return self.policy is Policy.INACTIVITY

    def day_for(self, earned: int, *, joined: int = 0, extra_months: int = 0) -> int:
        """The last day on which points earned on day `earned` can be spent; with `INACTIVITY`, if nothing follows.

        Calendar months: 31 January + 1 month is the last of February. `joined` is the day the member joined, `extra_months` what
        their tier adds. Who earns later loses no earlier.
        """
        if self.policy is Policy.NEVER or (self.policy is Policy.FIXED and not (self.months or self.days)):
            return NEVER
        least = days.date_of(earned) + relativedelta(months=self.months + extra_months, days=self.days)
        if self.policy in (Policy.CALENDAR, Policy.ANNIVERSARY):
            # Points of a day can be spent on the next one at least.
            least = max(least, days.date_of(earned + 1))
            years = self._dates_of if self.policy is Policy.CALENDAR else _anniversary_of(joined)
            candidates = chain.from_iterable(years(year) for year in (least.year, least.year + 1))
            least = min(each for each in candidates if each >= least)
        return days.day_number(rounded(least, self.rounding))

    def _dates_of(self, year: int) -> Iterator[date]:
        for month, day in self.dates:
            yield date(year, month, 1) + relativedelta(day=day)


def _anniversary_of(joined: int) -> Callable[[int], Iterator[date]]:
    def of(year: int) -> Iterator[date]:
        # relativedelta moves 29 February to the 28th.
        yield days.date_of(joined) + relativedelta(year=year)

    return of


def rounded(last: date, rounding: Rounding) -> date:
    """The end of the period of `rounding` that `last` lies in; periods start in January."""
    if rounding is Rounding.DAY:
        return last
    # The month that closes the period is the next multiple of its length.
    return last + relativedelta(months=-last.month % rounding.value, day=31)


_ROUNDINGS = {each.name.lower(): each for each in Rounding}


def parse(reader: Reader) -> Expiry:
    """The policy of a document: `policy` (fixed), `months`, `days`, `rounding` (month), `dates`. Refuses `InvalidProgram`."""
    policy = reader.choice("policy", {each.value: each for each in Policy}, default=Policy.FIXED.value)
    is_timed = policy in (Policy.FIXED, Policy.CALENDAR, Policy.ANNIVERSARY, Policy.INACTIVITY)
    months = reader.whole("months", 0, 1_200, default=0) if is_timed else 0
    length = reader.whole("days", 0, 36_500, default=0) if is_timed else 0
    if policy is Policy.INACTIVITY and not (months or length):
        reader.refuse("months", "must say, with days, how long a member may be inactive.")
    usual = Rounding.DAY if policy in (Policy.CALENDAR, Policy.ANNIVERSARY, Policy.INACTIVITY) else Rounding.MONTH
    return Expiry(
        months=months,
        days=length,
        rounding=reader.choice("rounding", _ROUNDINGS, default=usual.name.lower()),
        policy=policy,
        dates=reader.dates("dates", count_max=limits.EXPIRY_DATES_MAX) if policy is Policy.CALENDAR else (),
    )


def document(policy: Expiry) -> dict[str, Any]:
    """The part of a document that `parse` makes this policy of."""
    made: dict[str, Any] = {"policy": policy.policy.value, "rounding": policy.rounding.name.lower()}
    if policy.policy is not Policy.NEVER:
        made |= {"months": policy.months, "days": policy.days}
    if policy.policy is Policy.CALENDAR:
        made["dates"] = [f"{month:02d}-{day:02d}" for month, day in policy.dates]
    return made


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last day of the points that each activity keeps alive, and how long a silence they were ever promised to outlast."""

    until: int
    months: int
    days: int = 0
    rounding: Rounding = Rounding.DAY

    def moved(self, active: int) -> "Rolling":
        """After an activity on day `active`; the day never moves back."""
        return replace(self, until=max(self.until, self.silent_until(active)))

    def silent_until(self, active: int) -> int:
        """The last day of a silence that begins with day `active`."""
        last = days.date_of(active) + relativedelta(months=self.months, days=self.days)
        return days.day_number(rounded(last, self.rounding))


def later(one: Rolling | None, other: Rolling | None) -> Rolling | None:
    """What points of two rolling buckets have when they become one: the later day, and the longer silence."""
    if one is None or other is None:
        return one or other
    day = max(one.until, other.until)
    longest = one if one.silent_until(day) >= other.silent_until(day) else other
    return replace(longest, until=day)


def rolled(held: Rolling | None, policy: Expiry, active: int, *, extra_months: int = 0) -> Rolling | None:
    """The rolling day after an activity on day `active` under `policy`, which may have become another kind since points were
    earned: they keep the longest silence they were promised. None without rolling points under a policy that makes none."""
    kept = None if held is None else held.moved(active)
    if not policy.is_rolling:
        return kept
    offered = Rolling(0, policy.months + extra_months, policy.days, policy.rounding).moved(active)
    if kept is None:
        return offered
    longest = offered if offered.silent_until(active) > kept.silent_until(active) else kept
    return replace(longest, until=max(kept.until, offered.until))
