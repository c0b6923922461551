"""An auditor of logs: everything that must hold of any account's records, whatever was done to it.

It reads records and knows the calendar; it uses no rule of `domain.accounts` or `domain.ledger`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.accounts import State
from domain.days import EPOCH_ORDINAL, NEVER
from domain.ledger import Entry, EntryKind, Record

Bucket = tuple[int, int]  # (maturity day, or 0 for points that can be spent, expiry day)


def midnight_after(day: int, zone: ZoneInfo) -> datetime:
    """The first instant after a day."""
    local = datetime.fromordinal(day + 1 + EPOCH_ORDINAL)
    return local.replace(tzinfo=zone).astimezone(UTC)


def check(log: Sequence[Record], zone: ZoneInfo, *, buckets_max: int = 60) -> None:
    """Asserts every invariant of one account's log, from its first record on."""
    held: Counter[Bucket] = Counter()
    # Points in and out by cause: nothing else makes or destroys a point.
    earned = spent = expired = 0
    moment = log[0].entries[0].at
    keys: list[object] = []
    for seq, record in enumerate(log, start=1):
        assert (record.seq, record.account) == (seq, log[0].account), "sequences are contiguous"
        for entry in record.entries:
            assert entry.at >= moment, "time never runs backwards within an account"
            moment = entry.at
            check_entry(entry, held, zone)
            for line in entry.lines:
                held[line.matures, line.expires] += line.points
                assert held[line.matures, line.expires] >= 0, "no bucket goes below zero"
            assert entry.balance_after == spendable(held), "the balance after is that of the lines so far"
            if entry.kind is EntryKind.EXPIRY:
                expired -= entry.points
            elif entry.points > 0:
                earned += entry.points
            else:
                spent -= entry.points
            keys += [entry.key] if entry.key else []
            assert entry.kind is not EntryKind.MATURITY or entry.points == 0, "maturing makes no points"
        state = record.state
        check_state(state, held, zone, buckets_max)
        assert state.at == moment, "the state is that of its last entry"
        assert earned == spent + expired + state.balance + state.pending_points, "no point is made or lost"
    assert len(keys) == len(set(keys)), "a key moves points in at most one entry"


def check_entry(entry: Entry, held: Counter[Bucket], zone: ZoneInfo) -> None:
    """What an entry may do to the buckets as they are before it."""
    taken = [line for line in entry.lines if line.points < 0]
    for line in entry.lines:
        assert line.points, "a line moves points"
    if entry.kind is EntryKind.EXPIRY:
        (line,) = entry.lines
        assert -line.points == held[0, line.expires], "a bucket expires whole"
        assert entry.at >= midnight_after(line.expires, zone), "no point expires before the end of its day"
        return
    for line in taken:
        if not line.matures and line.expires < NEVER:
            assert entry.at < midnight_after(line.expires, zone), f"{entry.kind} moved points that had expired"
    if entry.kind is EntryKind.MATURITY:
        assert len([line for line in taken if line.matures]) == 1
        assert all(entry.at >= midnight_after(line.matures - 1, zone) for line in taken if line.matures)
    elif entry.points < 0:
        check_spent_soonest_first(entry, held)
    if entry.kind is EntryKind.MATURITY or entry.points > 0:
        # New points first; if that made a bucket too many, one whole bucket moves into a later one.
        moved = [line for line in entry.lines if not line.matures][1:]
        if moved:
            early, late = moved
            assert early.points == -late.points < 0, "merging keeps the points"
            assert early.expires < late.expires, "an expiry never moves earlier"


def check_spent_soonest_first(entry: Entry, held: Counter[Bucket]) -> None:
    """Nothing that is left expires before the last point that was spent."""
    assert all(line.points < 0 and not line.matures for line in entry.lines)
    left = Counter({bucket: points for bucket, points in held.items() if not bucket[0]})
    for line in entry.lines:
        left[0, line.expires] += line.points
    last = max(line.expires for line in entry.lines)
    assert all(expires >= last for (_, expires), points in left.items() if points)
    assert [line.expires for line in entry.lines] == sorted({line.expires for line in entry.lines})


def check_state(state: State, held: Counter[Bucket], zone: ZoneInfo, buckets_max: int) -> None:
    """The state is the lines added up, tidy, and holds nothing that time has already taken."""
    pots = {**{(0, expires): points for expires, points in state.buckets.items()}, **state.pending}
    assert pots == {bucket: points for bucket, points in held.items() if points}, "the state is the fold of the lines"
    assert all(points > 0 for points in pots.values())
    assert list(state.buckets) == sorted(state.buckets)
    assert list(state.pending) == sorted(state.pending)
    assert len(state.buckets) <= buckets_max
    assert all(day == NEVER or midnight_after(day, zone) > state.at for day in state.buckets), "expired points are gone"
    assert all(midnight_after(matures - 1, zone) > state.at for matures, _ in state.pending), "ripe points are there"


def check_due(log: Iterable[Record], due: Collection[tuple[int, str]]) -> None:
    """Every day on which something happens to the account was noted."""
    for record in log:
        dated = set(record.state.buckets) | {day for bucket in record.state.pending for day in bucket}
        assert {(day, record.account) for day in dated if day < NEVER} <= set(due)


def spendable(held: Counter[Bucket]) -> int:
    return sum(points for (matures, _), points in held.items() if not matures)


# One tick of the ledger's clock.
TICK = timedelta(milliseconds=1)
