"""Scalars of the contract."""

from datetime import UTC, date, datetime
from typing import NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from domain.limits import POINTS_MAX


def _whole(value: object) -> int:
    # A boolean is an int in Python, and 12.0 would hide the cents of 12.50: neither is a whole number here.
    if type(value) is not int or abs(value) > POINTS_MAX:
        raise ValueError(f"must be a whole number, at most {POINTS_MAX} either way")
    return value


def _instant(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("must be a text such as 2026-01-31T12:00:00Z")
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date and time such as 2026-01-31T12:00:00Z") from None
    if instant.tzinfo is None:
        raise ValueError("must name its offset from UTC, such as 2026-01-31T12:00:00Z")
    try:
        instant = instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie within the years 1 to 9999") from None
    # The ledger counts in milliseconds; what it cannot keep must not make two inputs different.
    return instant.replace(microsecond=instant.microsecond // 1_000 * 1_000)


def _instant_text(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Long = NewType("Long", int)
DateTime = NewType("DateTime", datetime)
Day = NewType("Day", date)

SCALARS: dict[object, ScalarDefinition] = {
    Long: strawberry.scalar(
        name="Long",
        description="A whole number up to 2^53 - 1 either way: every JSON client reads it exactly.",
        serialize=lambda value: value,
        parse_value=_whole,
    ),
    DateTime: strawberry.scalar(
        name="DateTime",
        description="An instant in ISO 8601 with its offset, such as 2026-01-31T12:00:00Z, kept to the millisecond.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        serialize=_instant_text,
        parse_value=_instant,
    ),
    Day: strawberry.scalar(
        name="Date",
        description="A calendar day in the program's time zone, such as 2026-01-31.",
        serialize=date.isoformat,
        parse_value=date.fromisoformat,
    ),
}
