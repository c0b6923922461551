"""Changes of a tier: what is reached, kept, lost and set, and how far a member is from any of it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from zoneinfo import ZoneInfo

from domain import days
from domain.accounts import Origin, Standing, State
from domain.days import NEVER
from domain.entries import Entry, EntryKind, Explanation
from domain.tiers.ladder import Ladder, Period, Tier
from domain.tiers.periods import (
    JOINED,
    LIFETIME,
    amount_in,
    amount_on,
    counted,
    end_of_next,
    month_of,
    months_counted,
    period_of,
    period_of_month,
    total_of,
)


class Change(Enum):
    """Why a tier changed; the value ends the rule that explains it."""

    # A higher tier was earned.
    REACHED = "reached"
    # The same tier, for longer, because it was earned again.
    KEPT = "kept"
    # The same tier, for ever, by all that was earned in all the time.
    LIFETIME = "lifetime"
    # It ended, and a lower one follows.
    FALLEN = "fallen"
    # Staff gave it, or took one away.
    SET = "set"
    # What staff had set ended, and what was earned is there again.
    RESUMED = "resumed"
    # An account that became part of this one had a better one.
    MERGED = "merged"
    # The merge that had brought a better one was undone.
    UNMERGED = "unmerged"


@dataclass(frozen=True, slots=True)
class Progress:
    """What a member has in the period that runs and what is missing.

    `to_next` is what has to be earned today for `next`; both are None at the top. `to_keep` is what has to be earned today for
    the tier to last beyond `valid_until`: 0 when that is sure already, None where there is nothing to lose, and while the period
    that decides has not begun. `projected` is what follows at `valid_until` if nothing more is earned.
    """

    tier: Tier
    next: Tier | None
    amount: int
    to_next: int | None
    to_keep: int | None
    valid_until: int | None
    projected: Tier


def last_day(standing: Standing) -> int:
    """The last day of a standing; `NEVER` if it has none."""
    return standing.until or NEVER


def together(ladder: Ladder, *standings: Standing | None) -> Standing | None:
    """Several standings as one: the highest tier, and behind it whatever lasts longer; None when all are of the lowest tier."""
    several = [part for each in standings for part in parts(each) if ladder.rank_of(part)]
    kept: list[Standing] = []
    for part in sorted(several, key=lambda each: (ladder.rank_of(each), last_day(each)), reverse=True):
        if not kept or last_day(part) > last_day(kept[-1]):
            kept.append(part)
    made: Standing | None = None
    for part in reversed(kept):
        made = replace(part, then=made)
    return made


def parts(standing: Standing | None) -> Iterator[Standing]:
    """The standing and what is behind it, each for itself; no more than there are tiers."""
    while standing is not None:
        yield replace(standing, then=None)
        standing = standing.then


def better(ladder: Ladder | None, one: Standing | None, other: Standing | None) -> Standing | None:
    """What somebody has who has both standings."""
    if ladder is None or one is None or other is None:
        return one or other
    return together(ladder, one, other)


def given(ladder: Ladder, state: State, tier: str, until: int, *, today: int) -> Standing | None:
    """The standing that staff give: a tier of the ladder through day `until`, or for ever with 0.

    What was had of lower tiers for longer stays behind it; of this tier and of higher ones nothing does. None where the lowest
    tier is all that is left anyway.
    """
    rank = ladder.rank(tier)
    assert rank is not None
    standing = Standing(ladder.tiers[rank].id, until, Origin.MANUAL)
    lower = [
        part for part in parts(state.standing) if ladder.rank_of(part) < rank and last_day(part) > last_day(standing)
    ]
    if not rank and not any(ladder.rank_of(right) for right, _ in _rights(ladder, state, after=today - 1)):
        return None
    return replace(standing, then=together(ladder, *lower))


# --- rising -----------------------------------------------------------------------------------------------------------


def risen(
    ladder: Ladder, state: State, added: tuple[tuple[int, int], ...], *, today: int
) -> tuple[Standing, int, Change] | None:
    """The better standing of an account that is in `state` after more counts (`added`), the amount that brought it, and why; None
    when nothing gets better: no higher tier, and no later end.

    Whom staff have given a tier, or have taken one away from, rises by what was not reached before.
    """
    if not any(amount > 0 for _, amount in added):
        return None
    held = state.standing
    rank = ladder.rank_of(held)
    is_manual = held is not None and held.origin is Origin.MANUAL
    before = counted(state.qualifying, ((period, -amount) for period, amount in added)) if is_manual else {}
    found: list[tuple[int, int, Standing, int]] = []
    for period in _periods_touched(ladder, state, added, today=today):
        until = end_of_next(ladder, period)
        amount = amount_in(ladder, state.qualifying, period)
        reached = ladder.reached(amount)
        if not reached or until < today or (is_manual and reached <= ladder.reached(amount_in(ladder, before, period))):
            continue
        if reached == rank and _amount_to_keep(ladder, state, period) < ladder.tiers[rank].threshold:
            continue
        found.append((reached, until, Standing(ladder.tiers[reached].id, until), amount))
    total = state.marks.get(LIFETIME[ladder.metric], 0)
    for_ever = _for_ever(ladder, total)
    if for_ever and not (is_manual and ladder.tiers[for_ever].is_for_ever(total - total_of(ladder.metric, added))):
        found.append((for_ever, NEVER, Standing(ladder.tiers[for_ever].id, 0, Origin.LIFETIME), total))
    if not found:
        return None
    reached, until, standing, amount = max(found, key=lambda each: each[:2])
    if (reached, until) <= (rank, last_day(held) if held and rank else 0):
        return None
    made = together(ladder, standing, held)
    assert made is not None
    if reached > rank:
        return made, amount, Change.REACHED
    return made, amount, Change.LIFETIME if standing.origin is Origin.LIFETIME else Change.KEPT


def rise(ladder: Ladder, state: State, brought_by: Entry, *, today: int, at: datetime) -> Entry | None:
    """The entry of a better tier that an entry brings to an account that is in `state` after it, if it does."""
    better = risen(ladder, state, brought_by.qualifies, today=today)
    if better is None:
        return None
    standing, amount, why = better
    return changed(ladder, standing, why, amount=amount, at=at)


def changed(
    ladder: Ladder,
    standing: Standing | None,
    why: Change,
    *,
    amount: int | None = None,
    at: datetime,
    actor: str | None = None,
    reason: str | None = None,
) -> Entry:
    """The entry of another standing; `amount` is what counted for it, `actor` and `reason` are of staff who set it."""
    return Entry(
        kind=EntryKind.TIER,
        at=at,
        lines=(),
        balance_after=0,
        explanation=(explained(ladder, standing, why, amount),),
        standing=standing,
        actor=actor,
        reason=reason,
    )


def explained(
    ladder: Ladder, standing: Standing | None, why: Change = Change.MERGED, amount: int | None = None
) -> Explanation:
    """The line that says what tier is had from now on, and why."""
    return Explanation(f"tier:{ladder.of(standing).id}:{why.value}", 0, amount)


def told_by(explanation: Explanation) -> tuple[str, Change]:
    """The tier, and why it changed, of an entry that `changed` has made."""
    _, tier, why = explanation.rule.split(":")
    return tier, Change(why)


def _periods_touched(ladder: Ladder, state: State, added: tuple[tuple[int, int], ...], *, today: int) -> set[int]:
    """The periods in which more counts now. A ladder with other thresholds is noticed in the one that runs."""
    joined, now = state.marks.get(JOINED, 0), month_of(today)
    months = set(months_counted(ladder, (period for period, amount in added if amount > 0)))
    if ladder.period is Period.ROLLING_YEAR and months:
        # Every twelve months up to one in which something counts, as if all had been booked in time.
        first = min(months)
        return {month for month in months_counted(ladder, state.qualifying) if month >= first}
    return {period_of_month(ladder, month, joined=joined) for month in (*months, now)}


def _amount_to_keep(ladder: Ladder, state: State, period: int) -> int:
    """What counts in a period for keeping the tier that is held: of a rolling year not the months that have brought it."""
    held = state.standing
    brought_in = 0
    if held is not None and held.origin is Origin.EARNED and held.until:
        brought_in = _month_before(held.until + 1 - ladder.grace_days) - 12
    return amount_in(ladder, state.qualifying, period, after=brought_in)


def _month_before(day: int) -> int:
    return month_of(day) - 1


def _for_ever(ladder: Ladder, total: int) -> int:
    """The rank of the highest tier that is had for ever; 0 for none."""
    return max((rank for rank, tier in enumerate(ladder.tiers) if tier.is_for_ever(total)), default=0)


# --- falling ----------------------------------------------------------------------------------------------------------


def fallen(ladder: Ladder, state: State) -> tuple[Standing | None, int]:
    """What follows a standing after its last day if nothing more counts until then, and the amount that it follows from."""
    held = state.standing
    assert held is not None
    assert held.until
    is_earned = held.origin is Origin.EARNED
    ended = _ended(ladder, state, held)
    # Of a rolling year, what counted before the tier was reached has brought it and is used up.
    first = ended if is_earned and ladder.period is Period.ROLLING_YEAR else 0
    runs = period_of(ladder, held.until, joined=state.marks.get(JOINED, 0))
    rights = list(_rights(ladder, state, after=held.until, first=first, also={ended, runs}))
    amount = amount_in(ladder, state.qualifying, ended)
    if ladder.has_soft_landing and is_earned:
        # As if it had been reached in the period that ended.
        next_lower = max(ladder.rank_of(held) - 1, 0)
        rights.append((Standing(ladder.tiers[next_lower].id, end_of_next(ladder, ended)), amount))
    rights += [(part, amount) for part in parts(held.then) if last_day(part) > held.until]
    rights = [each for each in rights if ladder.rank_of(each[0])]
    if not rights:
        return None, amount
    best, amount = max(rights, key=lambda each: (ladder.rank_of(each[0]), last_day(each[0])))
    return together(ladder, best, held.then), amount


def _ended(ladder: Ladder, state: State, held: Standing) -> int:
    """The last period that is over at the end of a standing's last day; of rolling years, the one that decides on it."""
    if ladder.period is Period.ROLLING_YEAR:
        return _month_before(held.until + 1 - (ladder.grace_days if held.origin is Origin.EARNED else 0))
    # Whatever grace it was given, and whenever its years began.
    return period_of(ladder, held.until + 1, joined=state.marks.get(JOINED, 0)) - 12


def _rights(
    ladder: Ladder, state: State, *, after: int, first: int = 0, also: Collection[int] = ()
) -> Iterator[tuple[Standing, int]]:
    """What an account has a right to beyond the day `after`, with the amounts: the tiers it reached in its periods from `first`
    on (those in which something counts, and `also`), and what it has for ever."""
    joined = state.marks.get(JOINED, 0)
    periods = {period_of_month(ladder, month, joined=joined) for month in months_counted(ladder, state.qualifying)}
    for period in sorted(periods.union(also)):
        until = end_of_next(ladder, period)
        if period >= first and until > after:
            amount = amount_in(ladder, state.qualifying, period)
            yield Standing(ladder.tiers[ladder.reached(amount)].id, until), amount
    total = state.marks.get(LIFETIME[ladder.metric], 0)
    yield Standing(ladder.tiers[_for_ever(ladder, total)].id, 0, Origin.LIFETIME), total


def reviewed(ladder: Ladder, state: State, now: datetime, zone: ZoneInfo) -> list[Entry]:
    """The entries of all reviews that are due by `now`, in the order of time: pure, like `accounts.advance`."""
    entries: list[Entry] = []
    # Each review gives a later end; with nothing more to count, tiers and periods run out.
    while state.standing is not None and state.standing.until:
        at = max(days.end_of(state.standing.until, zone), state.at)
        if at > now:
            break
        standing, amount = fallen(ladder, state)
        before, after = ladder.rank_of(state.standing), ladder.rank_of(standing)
        is_manual = state.standing.origin is Origin.MANUAL
        if after < before or not (after or is_manual):
            why = Change.FALLEN
        elif is_manual and (after > before or not after):
            why = Change.RESUMED
        else:
            # A higher one than before only by a ladder that was published since.
            why = Change.REACHED if after > before else Change.KEPT
        entries.append(changed(ladder, standing, why, amount=amount, at=at))
        state = replace(state, standing=standing, at=at)
    return entries


def unmerged(
    ladder: Ladder, state: State, own: Standing | None, *, with_merge: Standing | None, now: datetime, zone: ZoneInfo
) -> Entry | None:
    """The entry that gives an account its `own` standing of before a merge back, when that is undone and `state` is what is left.

    None where the merge had not changed it, or something has since: that stays.
    """
    if state.standing != with_merge or state.standing == own:
        return None
    reviews = reviewed(ladder, replace(state, standing=own), now, zone)
    standing = reviews[-1].standing if reviews else own
    return changed(ladder, standing, Change.UNMERGED, at=now)


# --- asking -----------------------------------------------------------------------------------------------------------


def progress(ladder: Ladder, state: State, today: int) -> Progress:
    """How a member stands on day `today`; the state is of that day."""
    held = state.standing
    rank = ladder.rank_of(held)
    amount = amount_on(ladder, state, today)
    total = state.marks.get(LIFETIME[ladder.metric], 0)
    is_manual = held is not None and held.origin is Origin.MANUAL
    # Missing for ever, by rank; what is there already comes with the next purchase, unless staff have decided otherwise.
    lifelong = {
        above: missing
        for above, tier in enumerate(ladder.tiers)
        if tier.lifetime is not None and ((missing := tier.lifetime - total) > 0 or not is_manual)
    }
    # By staff's decision only what was not reached before counts.
    least = max(rank, ladder.reached(amount)) if is_manual else rank
    ways = [(missing, above) for above, missing in lifelong.items() if above > rank]
    if least + 1 < len(ladder.tiers):
        ways.append((ladder.tiers[least + 1].threshold - amount, least + 1))
    # Of ways that are as long, the one that leads higher.
    nearest = min(((max(missing, 1), -above) for missing, above in ways), default=None)
    made = Progress(
        tier=ladder.tiers[rank],
        next=ladder.tiers[-nearest[1]] if nearest else None,
        amount=amount,
        to_next=nearest[0] if nearest else None,
        to_keep=None,
        valid_until=None,
        projected=ladder.tiers[rank],
    )
    # A tier that the ladder has lost is none while it lasts.
    if held is None or not held.until or ladder.rank(held.tier) is None:
        return made
    projected = ladder.rank_of(fallen(ladder, state)[0])
    made = replace(made, valid_until=held.until, projected=ladder.tiers[projected])
    if projected >= rank:
        return replace(made, to_keep=0 if rank else None)
    period = period_of(ladder, today, joined=state.marks.get(JOINED, 0))
    if end_of_next(ladder, period) <= held.until:
        return made
    missing_to_keep = [
        ladder.tiers[rank].threshold - _amount_to_keep(ladder, state, period),
        *(missing for above, missing in lifelong.items() if above >= rank),
        # Of a rolling year, the months that have brought the tier may bring the next one with less.
        *([made.to_next] if made.to_next else []),
    ]
    return replace(made, to_keep=max(min(missing_to_keep), 1))
