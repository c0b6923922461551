"""Consequences: what an operation brings with it, by the rules of the program.

`known` adds to an operation's entry what it means for activity and tiers; `rise` and `bonus` are entries that come after it in
the same record: a better tier, and moments such as the third purchase. They need no keys: they stand or fall with the operation.
"""

from dataclasses import replace
from datetime import datetime

from domain import days, expiry, moments, tiers
from domain.accounts import ROLLING, State, Status
from domain.entries import Entry, EntryKind
from domain.expiry import Rolling
from domain.moments import Moment, On
from domain.programs import Activity, Program

_ACTIVITIES = {
    EntryKind.PURCHASE: Activity.PURCHASE,
    EntryKind.REDEMPTION: Activity.REDEMPTION,
    EntryKind.CAPTURE: Activity.REDEMPTION,
    EntryKind.TRANSFER_OUT: Activity.GIFT,
}


def is_activity(kind: EntryKind, program: Program) -> bool:
    """Whether an entry of this kind is an activity of the member."""
    return _ACTIVITIES.get(kind) in program.activities


def placed(state: State, program: Program, kind: EntryKind, *, earned: int, today: int) -> tuple[int, Rolling | None]:
    """The bucket of points that an entry of `kind` earns on day `earned`, and the rolling day after it.

    What is earned without an activity of the member has a day of its own, and so has what comes too late to be alive.
    """
    policy = program.terms.expiry
    # A till's clock that is a little ahead does not make the member active tomorrow.
    rolling = rolled(state, program, kind, active=min(earned, today), today=today)
    if policy.is_rolling and rolling is not None and rolling.until >= today:
        return ROLLING, rolling
    joined = state.marks.get(tiers.JOINED, 0)
    return policy.day_for(earned, joined=joined, extra_months=_extra_months(state, program)), rolling


def rolled(state: State, program: Program, kind: EntryKind, *, active: int, today: int) -> Rolling | None:
    """The rolling day after an activity on day `active`; None where nothing rolls."""
    if not is_activity(kind, program):
        return None
    extra = _extra_months(state, program)
    rolling = expiry.rolled(state.rolling, program.terms.expiry, active, extra_months=extra)
    if rolling is None or rolling.until < today:
        return rolling
    # What comes late, and is alive, is kept alive by all that the member has done since.
    return rolling.moved(state.marks.get(moments.ACTIVE, 0))


def revived(state: State, program: Program, *, promised: Rolling | None, today: int) -> Rolling | None:
    """The rolling day of points that come back to where they were; None when a silence has taken it. `promised` is what they were
    promised when they were taken, if that is known: none may be left there, under terms by which nothing rolls any more."""
    rolling = state.rolling
    if rolling is None:
        extra = _extra_months(state, program)
        rolling = expiry.rolled(promised, program.terms.expiry, moments.silent_since(state), extra_months=extra)
    return rolling if rolling is not None and rolling.until >= today else None


def _extra_months(state: State, program: Program) -> int:
    return program.ladder.of(state.standing).benefits.extra_months if program.ladder else 0


def known(state: State, entry: Entry, program: Program, *, at: datetime) -> Entry:
    """The entry with what follows from it for the account as it was before."""
    today = days.day_of(at, program.zone)
    marks = dict(entry.marks)
    if is_activity(entry.kind, program):
        day = today if entry.occurred_at is None else min(days.day_of(entry.occurred_at, program.zone), today)
        if day > state.marks.get(moments.ACTIVE, 0):
            marks[moments.ACTIVE] = day
        rolling = rolled(state, program, entry.kind, active=day, today=today)
        if rolling is not None and rolling != state.rolling and state.rolling is not None:
            entry = replace(entry, rolls=rolling)
    if entry.kind is EntryKind.REDEMPTION and any(line.expires == ROLLING for line in entry.lines):
        # Where it is cancelled, its points come back to what they were promised, though none is left to tell.
        entry = replace(entry, rolls=entry.rolls or state.rolling)
    if entry.kind is EntryKind.PURCHASE and state.status is Status.ACTIVE:
        marks[moments.PURCHASES] = state.marks.get(moments.PURCHASES, 0) + 1
    if entry.kind is EntryKind.ENROLLMENT:
        marks[tiers.JOINED] = today
    ladder = program.ladder
    # Merges say themselves what the other account had in all the time.
    is_own = entry.kind not in (EntryKind.MERGE, EntryKind.UNMERGE, EntryKind.RETURN)
    if ladder is not None and entry.qualifies and is_own and any(tier.lifetime is not None for tier in ladder.tiers):
        mark = tiers.LIFETIME[ladder.metric]
        marks[mark] = max(state.marks.get(mark, 0) + tiers.total_of(ladder.metric, entry.qualifies), 0)
    if entry.kind is EntryKind.RETURN:
        # It names the marks that its purchase had raised, whatever the ladder is today.
        for metric, mark in tiers.LIFETIME.items():
            if mark in marks:
                marks[mark] = max(state.marks.get(mark, 0) + tiers.total_of(metric, entry.qualifies), 0)
    return replace(entry, marks=tuple(sorted(marks.items()))) if marks else entry


def rise(state: State, entry: Entry, program: Program, *, at: datetime) -> Entry | None:
    """The entry of a better tier that `entry` brings to an account that is in `state` after it, if it does."""
    if program.ladder is None:
        return None
    return tiers.rise(program.ladder, state, entry, today=days.day_of(at, program.zone), at=at)


def bonus(state: State, entry: Entry, moment: Moment, value: int, program: Program, *, at: datetime) -> Entry:
    """The entry of a moment that `entry` brings; its points live as long as those of what brought it."""
    today = days.day_of(at, program.zone)
    # A late purchase makes nobody active today.
    earned = today if entry.occurred_at is None else min(days.day_of(entry.occurred_at, program.zone), today)
    expires, rolls = placed(state, program, entry.kind, earned=earned, today=today)
    if moment.valid_days:
        expires = today + moment.valid_days
    return moments.bonus(
        state,
        moment,
        value,
        points=moment.points,
        expires=expires,
        rolls=rolls if expires == ROLLING else None,
        today=today,
        at=at,
    )


def due(booked: State, before: State, after: State, program: Program) -> frozenset[int]:
    """The days that get a due row when an account becomes `after`: one for each date that is new. It was last booked as `booked`,
    and is `before` by what time did since.

    Dates that every activity moves get one when they come to be; the visit of that day finds where they have moved to, and
    notes the next.
    """
    new = set(_dated(after) - _dated(booked))
    today = days.day_of(after.at, program.zone)
    if before.status in (Status.BLOCKED, Status.MERGED) and after.status is Status.ACTIVE and program.moments:
        # What a block, or another account, has kept away, and is not too late, comes with the next day.
        new.add(today + 1)
    if after.rolling is not None and before.rolling is None:
        new.add(after.rolling.until)
    for moment in program.moments:
        if moment.on is On.SILENCE:
            last, was = moments.silent_since(after), moments.silent_since(before)
            # Once a silence was noticed, or would have been but for a block, no row waits any more.
            had = before.marks.get(moments.mark_of(moment), 0) >= was or was + moment.number < today
            if last != was and (not was or had):
                new.add(last + moment.number)
        elif moment.on is On.ANNIVERSARY and (joined := after.marks.get(tiers.JOINED, 0)) and not before.marks:
            on = days.date_of(joined)
            new.add(moments.upcoming((on.month, on.day), joined))
    return frozenset(new)


def _dated(state: State) -> frozenset[int]:
    """The days on which something happens to the account: a bucket expires, held or not, a pending one matures, a tier ends."""
    expiring = {*state.buckets, *(day for hold in state.holds.values() for day in hold.buckets)}
    pending = {day for both in state.pending for day in both}
    ends = {state.standing.until} if state.standing is not None else set()
    return frozenset(day for day in expiring | pending | ends if ROLLING < day < days.NEVER)
