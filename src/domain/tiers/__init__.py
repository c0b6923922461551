"""Tiers: what a member is for what they did in a period, and until when.

Whoever reaches a tier's threshold within a period has the tier at once, through the whole of the next period and a grace after
it; reaching it again in a later period keeps it. Nobody loses a tier before that day, whatever they return. What follows then is
the best they have a right to: what they reached in the period that ended, or in the one that runs; with a soft landing, at worst
the next lower tier; and what they have for ever.

Periods begin on the first of a month and are named by that month's number (`month_of`). A rolling year is named by its last
month; the months that brought a tier do not count again for keeping it. What counts towards a tier is dated by when it happened,
not by when it was booked.
"""

from domain.tiers.changes import (
    Change,
    Progress,
    better,
    changed,
    explained,
    fallen,
    given,
    last_day,
    parts,
    progress,
    reviewed,
    rise,
    risen,
    together,
    told_by,
    unmerged,
)
from domain.tiers.ladder import Benefits, Ladder, Metric, Period, Tier, document, parse
from domain.tiers.periods import JOINED, LIFETIME, amount_on, counted, counting, first_of, month_of, period_of, total_of

__all__ = [
    "JOINED",
    "LIFETIME",
    "Benefits",
    "Change",
    "Ladder",
    "Metric",
    "Period",
    "Progress",
    "Tier",
    "amount_on",
    "better",
    "changed",
    "counted",
    "counting",
    "document",
    "explained",
    "fallen",
    "first_of",
    "given",
    "last_day",
    "month_of",
    "parse",
    "parts",
    "period_of",
    "progress",
    "reviewed",
    "rise",
    "risen",
    "together",
    "told_by",
    "total_of",
    "unmerged",
]
