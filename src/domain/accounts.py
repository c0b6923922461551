"""A member's points account as a value, and the arithmetic on it.

Points stand in *buckets* by expiry day; points not yet available stand in *pending* buckets by (maturity day, expiry day). Every
change is a list of `Line`s, each naming its bucket, and `fold` of the lines is the state: lines are the accounting truth.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from domain import days, limits
from domain.refusals import InsufficientPoints


@dataclass(frozen=True, slots=True)
class Line:
    """`points` (never 0) into or out of the bucket that expires on day `expires`; a pending one while `matures` is set."""

    expires: int
    points: int
    matures: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """The account after an entry. Buckets and pending buckets hold positive points only and are sorted by day.

    `at` is the last booked instant: time never runs backwards within an account.
    """

    at: datetime
    buckets: dict[int, int] = field(default_factory=dict)
    pending: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def balance(self) -> int:
        """Points that can be spent now, provided the state was advanced to now."""
        return sum(self.buckets.values())

    @property
    def pending_points(self) -> int:
        """Points earned but not yet available."""
        return sum(self.pending.values())


@dataclass(frozen=True, slots=True)
class Passage:
    """What time alone did to an account at instant `at`: buckets that matured or expired."""

    kind: str
    at: datetime
    lines: tuple[Line, ...]


MATURED = "MATURITY"
EXPIRED = "EXPIRY"


def fold(state: State, lines: Iterable[Line], *, at: datetime) -> State:
    """The state after `lines`. Asserts that no bucket goes below zero: decisions are made before lines are folded."""
    buckets = dict(state.buckets)
    pending = dict(state.pending)
    for line in lines:
        if line.matures:
            _add(pending, (line.matures, line.expires), line.points)
        else:
            _add(buckets, line.expires, line.points)
    return State(at=at, buckets=dict(sorted(buckets.items())), pending=dict(sorted(pending.items())))


def _add(pot: dict[Any, int], key: Any, points: int) -> None:
    left = pot.get(key, 0) + points
    assert left >= 0, f"bucket {key} would hold {left} points"
    if left:
        pot[key] = left
    else:
        pot.pop(key, None)


def advance(state: State, now: datetime, zone: ZoneInfo) -> tuple[State, tuple[Passage, ...]]:
    """The account at `now`, and what happened on the way, in time order: pending points mature, buckets expire.

    Pure, and applied at every read and before every write, so a late job can neither make expired points spendable nor
    lose valid ones. `advance(advance(s, a), b)` equals `advance(s, b)`, passages included.
    """
    passages: list[Passage] = []
    while (event := _next(state, now, zone)) is not None:
        passages.append(event)
        state = fold(state, event.lines, at=event.at)
    return state, tuple(passages)


def _next(state: State, now: datetime, zone: ZoneInfo) -> Passage | None:
    """The earliest thing that is due by `now`; at one instant maturity comes before expiry, so nothing skips its end."""
    due: list[tuple[datetime, int, Passage]] = []
    if state.pending:
        matures, expires = next(iter(state.pending))
        # Available from the first instant of the maturity day, which is the end of the day before.
        at = max(days.end_of(matures - 1, zone), state.at)
        points = state.pending[matures, expires]
        gained = earn(state, points, expires=expires, today=matures)
        due.append((at, 0, Passage(MATURED, at, (Line(expires, -points, matures), *gained))))
    if state.buckets:
        expires = next(iter(state.buckets))
        if expires < days.NEVER:
            at = max(days.end_of(expires, zone), state.at)
            due.append((at, 1, Passage(EXPIRED, at, (Line(expires, -state.buckets[expires]),))))
    if not due:
        return None
    at, _, passage = min(due, key=lambda event: event[:2])
    return passage if at <= now else None


def spend(state: State, points: int, *, field: tuple[str, ...] = ()) -> tuple[Line, ...]:
    """Lines that take `points` from the soonest-expiring buckets first; points that never expire go last.

    Refuses `InsufficientPoints`. The state must be advanced to now: this function does not know what time it is.
    """
    assert points > 0
    if points > state.balance:
        raise InsufficientPoints(f"{points} points are needed, {state.balance} are available.", field=field)
    return tuple(_take(state.buckets, points))


def _take(buckets: dict[int, int], points: int) -> Iterator[Line]:
    for expires, held in buckets.items():
        taken = min(points, held)
        yield Line(expires, -taken)
        points -= taken
        if not points:
            return


def earn(state: State, points: int, *, expires: int, today: int, matures: int = 0) -> tuple[Line, ...]:
    """Lines that add `points` (0 gives none) to their bucket, pending until day `matures` when that lies after `today`.

    Above `limits.BUCKETS_MAX` buckets the two closest neighbours become one, with the later date: nobody loses a day.
    Points that have expired by `today` stay apart, or merging would bring them back to life.
    """
    if not points:
        return ()
    assert points > 0
    if matures > today:
        return (Line(expires, points, matures),)
    line = Line(expires, points)
    if expires < today or expires in state.buckets or len(state.buckets) < limits.BUCKETS_MAX:
        return (line,)
    held = {**state.buckets, expires: points}
    live = sorted(day for day in held if today <= day < days.NEVER)
    if len(live) < 2:
        return (line,)
    _, early, late = min((late - early, early, late) for early, late in pairwise(live))
    return (line, Line(early, -held[early]), Line(late, held[early]))
