"""Periods of a ladder, and what counts in them.

A period begins on the first of a month and is named by that month's number (`month_of`); a rolling year is named by its last
month.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from domain import days, limits
from domain.accounts import State
from domain.tiers.ladder import Ladder, Metric, Period

# Marks of a state.
JOINED = "joined"
# Of what has counted in all the time there is a mark for each metric: changing it makes no visits of points.
LIFETIME = {Metric.POINTS: "lifetime", Metric.SPEND: "lifetime.spend", Metric.VISITS: "lifetime.visits"}


def month_of(day: int) -> int:
    """The number of the month a day lies in: 12 for each year, and the month from 0."""
    on = days.date_of(day)
    return on.year * 12 + on.month - 1


def first_of(month: int) -> date:
    """The first day of a numbered month."""
    return date(month // 12, month % 12 + 1, 1)


def period_of(ladder: Ladder, day: int, *, joined: int) -> int:
    """The period that a day belongs to: the first month of its year, or, of a rolling year, the day's own."""
    return period_of_month(ladder, month_of(day), joined=joined)


def period_of_month(ladder: Ladder, month: int, *, joined: int) -> int:
    """The period that a numbered month belongs to."""
    match ladder.period:
        case Period.CALENDAR_YEAR:
            return month - month % 12
        case Period.ANNIVERSARY:
            return month - (month - month_of(joined)) % 12
        case Period.ROLLING_YEAR:
            return month


def end_of_next(ladder: Ladder, period: int) -> int:
    """The last day on which a tier is valid that was reached in a period."""
    months = 13 if ladder.period is Period.ROLLING_YEAR else 24
    return days.day_number(first_of(period + months)) - 1 + ladder.grace_days


# What counts stands in a state by the month that names its period, and a multiple of this for the metric: when a program counts
# something else from some day on, what was counted before is neither mixed with it nor lost. Another metric comes last.
OF_METRIC = {metric: index * 100_000 for index, metric in enumerate(Metric)}


def counting(ladder: Ladder, state: State, amount: int, *, day: int) -> tuple[tuple[int, int], ...]:
    """What `amount` of the ladder's metric on a day adds to a state's `qualifying`; nothing for 0."""
    if not amount:
        return ()
    period = period_of(ladder, day, joined=state.marks.get(JOINED, 0))
    return ((period + OF_METRIC[ladder.metric], amount),)


def counted(qualifying: Mapping[int, int], added: Iterable[tuple[int, int]]) -> dict[int, int]:
    """What counts by period after more of it, or less; of `limits.QUALIFYING_PERIODS_MAX` periods, the newest."""
    sums = dict(qualifying)
    for period, amount in added:
        sums[period] = sums.get(period, 0) + amount
    left = sorted((month_named(period), period, amount) for period, amount in sums.items() if amount > 0)
    return dict(sorted((period, amount) for _, period, amount in left[-limits.QUALIFYING_PERIODS_MAX :]))


def month_named(period: int) -> int:
    """The month that names a period as it stands in a state."""
    return period % 100_000


def amount_on(ladder: Ladder, state: State, day: int) -> int:
    """What counts in the period of a day; of a rolling year, up to that day's month."""
    return amount_in(ladder, state.qualifying, period_of(ladder, day, joined=state.marks.get(JOINED, 0)))


def amount_in(ladder: Ladder, qualifying: Mapping[int, int], period: int, *, after: int = 0) -> int:
    """What counts in a period, of a rolling year only in months after `after`. A period of other bounds, from before a merge or
    another ladder, counts where it begins."""
    if ladder.period is Period.ROLLING_YEAR:
        first, end = max(period - 11, after + 1), period + 1
    else:
        first, end = period, period + 12
    first, end = first + OF_METRIC[ladder.metric], end + OF_METRIC[ladder.metric]
    return sum(amount for each, amount in qualifying.items() if first <= each < end)


def months_counted(ladder: Ladder, qualifying: Iterable[int]) -> Iterator[int]:
    """The months, of the ladder's metric, in which something counts."""
    metric = OF_METRIC[ladder.metric]
    return (month_named(each) for each in qualifying if each - month_named(each) == metric)


def total_of(metric: Metric, added: Iterable[tuple[int, int]]) -> int:
    """What of more that counts is of a metric."""
    return sum(amount for period, amount in added if period - month_named(period) == OF_METRIC[metric])
