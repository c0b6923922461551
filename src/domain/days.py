"""The program's calendar. A day is an int: days since 1970-01-01 in the program's timezone.

A day is a half-open interval of instants: it ends at the first instant of the next day, and whatever expires on it is gone at
that instant.
"""

from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# Sorts after every date a program can reach, so points that never expire are spent last without a special case.
NEVER = 10_000_000


class Rounding(Enum):
    """To the end of which period an expiry date is moved. The value is the length in months; a day needs no moving."""

    DAY = 0
    MONTH = 1
    QUARTER = 3
    HALF_YEAR = 6
    YEAR = 12


def date_of(day: int) -> date:
    """The calendar date of a day number."""
    return date.fromordinal(day + EPOCH_ORDINAL)


def day_number(on: date) -> int:
    """The day number of a calendar date."""
    return on.toordinal() - EPOCH_ORDINAL


def day_of(instant: datetime, zone: ZoneInfo) -> int:
    """The day in `zone` that contains `instant` (an aware datetime)."""
    return day_number(instant.astimezone(zone).date())


@lru_cache(maxsize=4_096)
def end_of(day: int, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) after `day` in `zone`; where clocks jump over midnight, the instant of the jump."""
    after = date_of(day + 1)
    return datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)


def text_of(instant: datetime) -> str:
    """An instant as a sentence names it, such as `2026-01-31T12:00:00Z`; parts of a second are dropped."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
