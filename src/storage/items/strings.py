"""Values as readable strings and whole numbers, and back: lines, tiers, instants, refusals."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from domain.accounts import DEBT, Line, Origin, Standing
from domain.days import Rounding
from domain.entries import Explanation, Key
from domain.expiry import Rolling
from domain.refusals import Refusal


def millis(instant: datetime) -> int:
    """Whole milliseconds since the epoch."""
    # Exact: timestamp() would go through a float.
    return (instant - _EPOCH) // MILLISECOND


def instant_of(millis: str | int) -> datetime:
    """The aware UTC instant of milliseconds."""
    return _EPOCH + int(millis) * MILLISECOND


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = datetime.resolution * 1_000


def line_text(line: Line) -> str:
    """A line: `20850+12`, pending `20600.20850+12`, held `17/20850-3`, debt `d+5`."""
    bucket = "d" if line.expires == DEBT else str(line.expires)
    if line.matures:
        bucket = f"{line.matures}.{bucket}"
    elif line.hold:
        bucket = f"{line.hold}/{bucket}"
    return f"{bucket}{line.points:+d}"


def lines_of(text: str) -> list[Line]:
    """The lines of a text."""
    lines = []
    for part in text.split():
        at = max(part.rfind("+"), part.rfind("-"))
        bucket, points = part[:at], int(part[at:])
        if bucket.isdecimal():
            lines.append(Line(int(bucket), points))
        elif bucket == "d":
            lines.append(Line(DEBT, points))
        elif "/" in bucket:
            number, _, expires = bucket.partition("/")
            lines.append(Line(int(expires), points, hold=int(number)))
        else:
            matures, _, expires = bucket.partition(".")
            lines.append(Line(int(expires), points, int(matures)))
    return lines


def pair(text: str) -> tuple[int, int]:
    """`17:2` as two numbers."""
    first, _, second = text.partition(":")
    return int(first), int(second)


def rolling_text(rolling: Rolling) -> str:
    """The rolling day and its rule: `20850:18:0:1`."""
    return f"{rolling.until}:{rolling.months}:{rolling.days}:{rolling.rounding.value}"


def rolling_of(text: str) -> Rolling:
    """The rolling day of a text."""
    until, months, days, rounding = map(int, text.split(":"))
    return Rolling(until, months, days, Rounding(rounding))


def standing_text(standing: Standing) -> str:
    """A tier and what is had behind it: `gold:21183:E silver:21548:M`."""
    own = f"{standing.tier}:{standing.until}:{standing.origin.value[0]}"
    return own if standing.then is None else f"{own} {standing_text(standing.then)}"


def standing_of(text: str) -> Standing:
    """The tier of a text."""
    own, _, then = text.partition(" ")
    tier, until, origin = own.rsplit(":", 2)
    return Standing(tier, int(until), ORIGIN_OF[origin], standing_of(then) if then else None)


ORIGIN_OF = {origin.value[0]: origin for origin in Origin}


def marks_text(marks: Iterable[tuple[str, int]]) -> str:
    """Named numbers: `active=20780 joined=20700`."""
    return " ".join(f"{name}={value}" for name, value in marks)


def marks_of(text: str) -> list[tuple[str, int]]:
    """The named numbers of a text, in their order."""
    parts = (part.partition("=") for part in text.split())
    return [(name, int(value)) for name, _, value in parts]


def explanation_text(explanation: Explanation) -> str:
    """One part of an explanation: `base=12@1290` is 12 points by rule `base` for 12.90."""
    basis = "" if explanation.basis is None else f"@{explanation.basis}"
    return f"{explanation.rule}={explanation.points}{basis}"


def explanation_of(text: str) -> Explanation:
    """The part of an explanation of a text."""
    rule, _, numbers = text.partition("=")
    points, at, basis = numbers.partition("@")
    return Explanation(rule, int(points), int(basis) if at else None)


def refusal_texts(refusal: Refusal) -> list[Any]:
    """A refusal as its code, message and field path."""
    return [{"S": text} for text in (refusal.code, refusal.message, *refusal.field)]


def refusal_of(texts: list[Any]) -> Refusal:
    """The refusal of its texts."""
    code, message, *field = (element["S"] for element in texts)
    return Refusal.restore(code, message, tuple(field))


def key_of(text: str) -> Key:
    """The key of `source:value`."""
    source, _, value = text.partition(":")
    return Key(source, value)
