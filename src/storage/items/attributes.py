"""Attributes that items of several kinds have: instants, points by day, holds, tiers, marks."""

from datetime import datetime

from pynamodb.attributes import Attribute
from pynamodb.constants import NUMBER, STRING

from domain.accounts import Hold, Standing
from domain.expiry import Rolling
from storage.items.strings import (
    instant_of,
    lines_of,
    marks_of,
    marks_text,
    millis,
    pair,
    rolling_of,
    rolling_text,
    standing_of,
    standing_text,
)


class InstantAttribute(Attribute[datetime]):
    """An aware UTC instant as milliseconds since the epoch."""

    attr_type = NUMBER

    def serialize(self, value: datetime) -> str:
        return str(millis(value))

    def deserialize(self, value: str) -> datetime:
        return instant_of(value)


class BucketsAttribute(Attribute[dict[int, int]]):
    """Points by expiry day: `20850+12 20881+3`."""

    attr_type = STRING

    def serialize(self, value: dict[int, int]) -> str:
        return " ".join(f"{day}+{points}" for day, points in value.items())

    def deserialize(self, value: str) -> dict[int, int]:
        numbers = [*map(int, value.replace("+", " ").split())]
        return dict(zip(numbers[::2], numbers[1::2], strict=True))


class PendingAttribute(Attribute[dict[tuple[int, int], int]]):
    """Points by maturity and expiry day: `20600.20850+12`."""

    attr_type = STRING

    def serialize(self, value: dict[tuple[int, int], int]) -> str:
        return " ".join(f"{matures}.{expires}+{points}" for (matures, expires), points in value.items())

    def deserialize(self, value: str) -> dict[tuple[int, int], int]:
        return {(line.matures, line.expires): line.points for line in lines_of(value)}


class HoldsAttribute(Attribute[dict[int, Hold]]):
    """Open holds by number: `17@1790000000000:20850+12,20881+3`."""

    attr_type = STRING

    def serialize(self, value: dict[int, Hold]) -> str:
        return " ".join(
            f"{number}@{millis(hold.lapses_at)}:" + ",".join(f"{day}+{points}" for day, points in hold.buckets.items())
            for number, hold in value.items()
        )

    def deserialize(self, value: str) -> dict[int, Hold]:
        holds = {}
        for part in value.split():
            name, _, pots = part.partition(":")
            number, _, lapses = name.partition("@")
            held = {line.expires: line.points for line in lines_of(pots.replace(",", " "))}
            holds[int(number)] = Hold(instant_of(lapses), held)
        return holds


class PairAttribute(Attribute[tuple[int, int]]):
    """Two numbers: `20850:300`."""

    attr_type = STRING

    def serialize(self, value: tuple[int, int]) -> str:
        return f"{value[0]}:{value[1]}"

    def deserialize(self, value: str) -> tuple[int, int]:
        return pair(value)


class RollingAttribute(Attribute[Rolling]):
    """The rolling day, the silence it outlasts in months and days, and the months it is rounded to: `20850:18:0:1`."""

    attr_type = STRING

    def serialize(self, value: Rolling) -> str:
        return rolling_text(value)

    def deserialize(self, value: str) -> Rolling:
        return rolling_of(value)


class StandingAttribute(Attribute[Standing]):
    """A tier, its last day and why it is had, and what is had behind it: `gold:21183:E silver:21548:M`."""

    attr_type = STRING

    def serialize(self, value: Standing) -> str:
        return standing_text(value)

    def deserialize(self, value: str) -> Standing:
        return standing_of(value)


class MarksAttribute(Attribute[dict[str, int]]):
    """Named numbers: `active=20780 joined=20700 purchases=3`."""

    attr_type = STRING

    def serialize(self, value: dict[str, int]) -> str:
        return marks_text(value.items())

    def deserialize(self, value: str) -> dict[str, int]:
        return dict(marks_of(value))
