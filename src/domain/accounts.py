"""A member's points account as a value, and the arithmetic on it.

Points stand in *buckets* by expiry day; points not yet available stand in *pending* buckets by (maturity day, expiry day); points
set aside for a till stand in *holds*, which remember the buckets they came from; what a member owes is *debt*. Every change is a
list of `Line`s, each naming its pot, and `fold` of the lines is the state: lines are the accounting truth.

Points of a program in which activity keeps points alive stand in the *rolling* bucket, whose last day every activity moves.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from domain import days, limits
from domain.expiry import Rolling
from domain.refusals import InsufficientPoints, MemberBlocked, MemberClosed

# Stands where a line's expiry day does when the line is about debt; no expiry lies before 1970.
DEBT = -1
# Stands where a bucket's expiry day does: the bucket of the points that expire on `State.rolling.until`.
ROLLING = 0


@dataclass(frozen=True, slots=True)
class Line:
    """`points` (never 0) into or out of one pot: the bucket that expires on day `expires`.

    While `matures` is set it is the pending bucket of those days; while `hold` is set it is what that hold keeps of the
    bucket. `expires` is `DEBT` for debt, where taking points on (-) makes the debt larger and paying (+) smaller.
    """

    expires: int
    points: int
    matures: int = 0
    hold: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """Points set aside until `lapses_at` (then they go back by themselves), by the expiry day of their bucket."""

    lapses_at: datetime
    buckets: dict[int, int]

    @property
    def points(self) -> int:
        """What can be captured."""
        return sum(self.buckets.values())


class Origin(Enum):
    """Why a member has a tier."""

    EARNED = "EARNED"
    # Given by staff.
    MANUAL = "MANUAL"
    # For what they earned in all their time.
    LIFETIME = "LIFETIME"


@dataclass(frozen=True, slots=True)
class Standing:
    """The tier of a member, through the whole of day `until`; 0 has no end. The lowest stands here only where staff have set it.

    `then` is what is had behind it: a lower tier that lasts longer.
    """

    tier: str
    until: int
    origin: Origin = Origin.EARNED
    then: "Standing | None" = None


class Status(Enum):
    """What an account may do. It lives in the state, so that it is judged under the same lock as the points."""

    ACTIVE = "ACTIVE"
    # Nothing is spent and nothing earned until somebody has looked.
    BLOCKED = "BLOCKED"
    # Ended for good.
    CLOSED = "CLOSED"
    # Lives on in another account, which its last entry names.
    MERGED = "MERGED"


@dataclass(frozen=True, slots=True)
class State:
    """The account after an entry. All pots hold positive points only; buckets and pending ones are sorted by day.

    `at` is the last booked instant: time never runs backwards within an account. `holds` are named by the sequence of the
    record that made them. `sent` is how many points were transferred away on which day, for the program's daily limit.
    `merged` are the accounts that live on in this one, in the order they were merged into it.

    `rolling` is there while points stand in the rolling bucket. `standing` is the tier, None for the lowest; `qualifying` is what
    counts towards one, by its period and metric (`tiers.counting`). `marks` are named numbers that are judged under the
    same lock as the points: the day of joining and of the last activity, counters, and which moments were had.
    """

    at: datetime
    buckets: dict[int, int] = field(default_factory=dict)
    pending: dict[tuple[int, int], int] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    debt: int = 0
    status: Status = Status.ACTIVE
    sent: tuple[int, int] = (0, 0)
    merged: tuple[str, ...] = ()
    rolling: Rolling | None = None
    standing: Standing | None = None
    qualifying: dict[int, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)

    @property
    def balance(self) -> int:
        """Points that can be spent now, provided the state was advanced to now."""
        return sum(self.buckets.values())

    @property
    def pending_points(self) -> int:
        """Points earned but not yet available."""
        return sum(self.pending.values())

    @property
    def held_points(self) -> int:
        """Points set aside by open holds; not in the balance."""
        return sum(hold.points for hold in self.holds.values())

    def last_day(self, bucket: int) -> int:
        """The last day of the points in a bucket, whether it has a day of its own or is the rolling one."""
        if bucket != ROLLING:
            return bucket
        assert self.rolling is not None, "there is no rolling bucket"
        return self.rolling.until

    def soonest_first(self, pot: Mapping[int, int]) -> dict[int, int]:
        """A pot (points by bucket) in the order in which its points expire."""
        if ROLLING not in pot:
            return dict(pot)
        return dict(sorted(pot.items(), key=lambda each: (self.last_day(each[0]), each[0])))

    @property
    def worth(self) -> int:
        """All points of the account, whatever pot they are in, less its debt: what its lines add up to."""
        return self.balance + self.pending_points + self.held_points - self.debt


@dataclass(frozen=True, slots=True)
class Passage:
    """What time alone did to an account at instant `at`, or what a debt took as soon as there was something to take."""

    kind: str
    at: datetime
    lines: tuple[Line, ...]


LAPSED = "LAPSE"
MATURED = "MATURITY"
EXPIRED = "EXPIRY"
SETTLED = "DEBT_PAYMENT"


def fold(
    state: State,
    lines: Iterable[Line],
    *,
    at: datetime,
    lapses_at: datetime | None = None,
    rolls: Rolling | None = None,
) -> State:
    """The state after `lines`. `lapses_at` is that of a hold which the lines open; `rolls` is the new rolling day, if it moves.

    Asserts that no pot goes below zero: decisions are made before lines are folded.
    """
    buckets = dict(state.buckets)
    pending = dict(state.pending)
    holds = dict(state.holds)
    debt = state.debt
    for line in lines:
        if line.hold:
            held = holds.get(line.hold)
            if held is None:
                assert lapses_at is not None, f"hold {line.hold} is not open"
                held = Hold(lapses_at, {})
            pot = dict(held.buckets)
            _add(pot, line.expires, line.points)
            holds[line.hold] = Hold(held.lapses_at, dict(sorted(pot.items())))
        elif line.matures:
            _add(pending, (line.matures, line.expires), line.points)
        elif line.expires == DEBT:
            debt -= line.points
            assert debt >= 0, f"more debt was paid than there was, by {-debt}"
        else:
            _add(buckets, line.expires, line.points)
    holds = {number: hold for number, hold in sorted(holds.items()) if hold.buckets}
    rolling = rolls or state.rolling
    if rolling is not None and not (
        ROLLING in buckets
        or any(expires == ROLLING for _, expires in pending)
        or any(ROLLING in hold.buckets for hold in holds.values())
    ):
        rolling = None
    return replace(
        state,
        at=at,
        buckets=dict(sorted(buckets.items())),
        pending=dict(sorted(pending.items())),
        holds=holds,
        debt=debt,
        rolling=rolling,
    )


def _add(pot: dict[Any, int], key: Any, points: int) -> None:
    left = pot.get(key, 0) + points
    assert left >= 0, f"bucket {key} would hold {left} points"
    if left:
        pot[key] = left
    else:
        pot.pop(key, None)


# --- time -------------------------------------------------------------------------------------------------------------


def advance(state: State, now: datetime, zone: ZoneInfo) -> tuple[State, tuple[Passage, ...]]:
    """The account at `now`, and what happened on the way, in time order: holds lapse, pending points mature, buckets expire,
    and debt is paid as soon as there is a live bucket to pay it from.

    Pure, and applied at every read and before every write, so a late job can neither make expired points spendable nor
    lose valid ones. `advance(advance(s, a), b)` equals `advance(s, b)`, passages included.
    """
    passages: list[Passage] = []
    while (event := _next(state, now, zone)) is not None:
        passages.append(event)
        state = fold(state, event.lines, at=event.at)
    return state, tuple(passages)


def _next(state: State, now: datetime, zone: ZoneInfo) -> Passage | None:
    """The earliest thing that is due by `now`. At one instant holds lapse first, then points mature, then buckets expire, so
    that nothing skips its end; only what is left then pays a debt."""
    due: list[tuple[datetime, int, Passage]] = []
    if state.holds:
        number, hold = min(state.holds.items(), key=lambda each: (each[1].lapses_at, each[0]))
        at = max(hold.lapses_at, state.at)
        lines = release(state, number, today=days.day_of(at, zone))
        due.append((at, 0, Passage(LAPSED, at, lines)))
    if state.pending:
        matures, expires = next(iter(state.pending))
        # Available from the first instant of the maturity day, which is the end of the day before.
        at = max(days.end_of(matures - 1, zone), state.at)
        points = state.pending[matures, expires]
        gained = earn(state, points, expires=expires, today=matures)
        due.append((at, 1, Passage(MATURED, at, (Line(expires, -points, matures), *gained))))
    if state.buckets:
        expires = next(iter(state.buckets))
        if expires == ROLLING:
            expires = next((day for day in state.buckets if day != ROLLING), days.NEVER)
        if expires < days.NEVER:
            at = max(days.end_of(expires, zone), state.at)
            due.append((at, 2, Passage(EXPIRED, at, (Line(expires, -state.buckets[expires]),))))
    if state.rolling is not None:
        at = max(days.end_of(state.rolling.until, zone), state.at)
        due.append((at, 3, Passage(EXPIRED, at, _silenced(state, state.rolling.until))))
    if state.debt and state.buckets:
        due.append((state.at, 4, Passage(SETTLED, state.at, _payment(state))))
    if not due:
        return None
    at, _, passage = min(due, key=lambda event: event[:2])
    return passage if at <= now else None


def _silenced(state: State, until: int) -> tuple[Line, ...]:
    """Lines that end the rolling bucket. What a hold keeps of it, or is still pending, keeps that day: no later activity revives
    it."""
    live = state.buckets.get(ROLLING, 0)
    return (
        *((Line(ROLLING, -live),) if live else ()),
        *(
            Line(day, points, hold=number)
            for number, hold in state.holds.items()
            for day, points in ((ROLLING, -hold.buckets.get(ROLLING, 0)), (until, hold.buckets.get(ROLLING, 0)))
            if points
        ),
        *(
            Line(day, moved, matures)
            for (matures, expires), points in state.pending.items()
            if expires == ROLLING
            for day, moved in ((ROLLING, -points), (until, points))
        ),
    )


def _payment(state: State) -> tuple[Line, ...]:
    """Lines that pay the debt, as far as the buckets go: what had expired is gone before a debt is paid."""
    paid = min(state.debt, state.balance)
    return (*_take(state.soonest_first(state.buckets), paid), Line(DEBT, paid))


def is_live(state: State, bucket: int, at: datetime, zone: ZoneInfo) -> bool:
    """Whether points of a bucket can still be spent at `at`: through the whole of their last day."""
    expires = state.last_day(bucket)
    return expires >= days.NEVER or days.end_of(expires, zone) > at


# --- what an account may do -------------------------------------------------------------------------------------------


def require_open(state: State, *, field: tuple[str, ...] = ("input", "member")) -> None:
    """Refuses `MemberClosed`. Points can be corrected, and taken back, on a blocked account."""
    if state.status is Status.CLOSED:
        raise MemberClosed("This membership has ended.", field=field)


def require_active(state: State, *, field: tuple[str, ...] = ("input", "member")) -> None:
    """Refuses `MemberClosed`, `MemberBlocked`: who spends points must be free to."""
    require_open(state, field=field)
    if state.status is Status.BLOCKED:
        raise MemberBlocked("This account is blocked.", field=field)


# --- moving points ----------------------------------------------------------------------------------------------------


def spend(state: State, points: int, *, field: tuple[str, ...] = ()) -> tuple[Line, ...]:
    """Lines that take `points` from the soonest-expiring buckets first; points that never expire go last.

    Refuses `InsufficientPoints`. The state must be advanced to now: this function does not know what time it is.
    """
    assert points > 0
    if points > state.balance:
        held = f", {state.held_points} more are held" if state.holds else ""
        raise InsufficientPoints(f"{points} points are needed, {state.balance} are available{held}.", field=field)
    return tuple(_take(state.soonest_first(state.buckets), points))


def _take(buckets: Mapping[int, int], points: int) -> Iterator[Line]:
    for expires, held in buckets.items():
        if not points:
            return
        taken = min(points, held)
        yield Line(expires, -taken)
        points -= taken


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


def landed(lines: tuple[Line, ...]) -> int | None:
    """The expiry day of the bucket in which points came to stand by the `lines` that `earn` gave; None if it gave none."""
    if not lines:
        return None
    # An account with many buckets may have moved the new one at once, to the later date of its neighbour.
    earned, *moves = lines
    return moves[-1].expires if moves and moves[0].expires == earned.expires else earned.expires


def deposit(state: State, buckets: Mapping[int, int], *, today: int) -> tuple[Line, ...]:
    """Lines that add points to several buckets (points by expiry day), each as `earn` would."""
    lines: tuple[Line, ...] = ()
    for expires, points in buckets.items():
        added = earn(state, points, expires=expires, today=today)
        state = fold(state, added, at=state.at)
        lines += added
    return lines


def emptied(state: State) -> tuple[Line, ...]:
    """Lines after which nothing is left in any bucket, nothing is pending and nothing owed. Holds must have ended before."""
    assert not state.holds
    return (
        *(Line(expires, -points) for expires, points in state.buckets.items()),
        *(Line(expires, -points, matures) for (matures, expires), points in state.pending.items()),
        *((Line(DEBT, state.debt),) if state.debt else ()),
    )


def hold(state: State, number: int, points: int, *, field: tuple[str, ...] = ()) -> tuple[Line, ...]:
    """Lines that set `points` aside in the new hold `number`, soonest-expiring first. Refuses `InsufficientPoints`."""
    taken = spend(state, points, field=field)
    return (*taken, *(Line(line.expires, -line.points, hold=number) for line in taken))


def release(state: State, number: int, *, today: int, captured: int = 0) -> tuple[Line, ...]:
    """Lines that end the hold `number`: `captured` points of it are spent, soonest-expiring first, and the rest goes back to
    the buckets it came from, there to expire if their time came meanwhile."""
    kept = state.holds[number].buckets
    assert 0 <= captured <= sum(kept.values())
    left = dict(kept)
    for line in _take(state.soonest_first(kept), captured):
        _add(left, line.expires, line.points)
    ended = tuple(Line(expires, -points, hold=number) for expires, points in kept.items())
    return (*ended, *deposit(state, left, today=today))
