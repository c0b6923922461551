"""An auditor of logs: everything that must hold of any account's records, whatever was done to it.

It reads records and knows the calendar; it uses no rule of `domain.accounts`, `domain.ledger` or `domain.consequences`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.accounts import DEBT, ROLLING, Line, Standing, State, Status
from domain.days import EPOCH_ORDINAL, NEVER
from domain.entries import Entry, EntryKind, Record
from domain.expiry import Rolling

# Pot and days: ("pot", maturity day or number of a hold or 0, expiry day).
Bucket = tuple[str, int, int]
_TIME = {EntryKind.EXPIRY, EntryKind.MATURITY, EntryKind.LAPSE, EntryKind.DEBT_PAYMENT}
# What moves points between pots of one account, and changes nothing in what it is worth.
_INSIDE = {EntryKind.MATURITY, EntryKind.LAPSE, EntryKind.DEBT_PAYMENT, EntryKind.HOLD, EntryKind.RELEASE}
# What takes points as the member asked, soonest-expiring first. A return has an order of its own, a merge takes everything.
_SPENDING = {EntryKind.REDEMPTION, EntryKind.TRANSFER_OUT, EntryKind.HOLD}


# What moves points between two accounts, and the other side of each.
_OTHER_SIDE = {
    EntryKind.TRANSFER_OUT: EntryKind.TRANSFER_IN,
    EntryKind.MERGED: EntryKind.MERGE,
    EntryKind.UNMERGE: EntryKind.REOPENING,
}
_BETWEEN = {*_OTHER_SIDE, *_OTHER_SIDE.values()}
# What an activity of the member may move the rolling day by, and what may bring points into the rolling bucket.
_ROLLS = {
    EntryKind.PURCHASE,
    EntryKind.REDEMPTION,
    EntryKind.CAPTURE,
    EntryKind.TRANSFER_OUT,
    EntryKind.BONUS,
    EntryKind.CANCELLATION,
    EntryKind.MERGE,
    EntryKind.REOPENING,
}


def bucket_of(line: Line) -> Bucket:
    """The pot a line is about."""
    if line.expires == DEBT:
        return ("debt", 0, 0)
    if line.hold:
        return ("held", line.hold, line.expires)
    return ("pending", line.matures, line.expires) if line.matures else ("live", 0, line.expires)


def midnight_after(day: int, zone: ZoneInfo) -> datetime:
    """The first instant after a day."""
    local = datetime.fromordinal(day + 1 + EPOCH_ORDINAL)
    return local.replace(tzinfo=zone).astimezone(UTC)


def check(log: Sequence[Record], zone: ZoneInfo, *, buckets_max: int = 60) -> dict[tuple[int, int], Rolling | None]:
    """Asserts every invariant of one account's log, from its first record on; the rolling day before each of its entries."""
    held: Counter[Bucket] = Counter()
    rolling: Rolling | None = None
    rolled: dict[tuple[int, int], Rolling | None] = {}
    kept = Kept()
    # Points in and out by cause: nothing else makes or destroys a point.
    earned = spent = expired = 0
    moment = log[0].entries[0].at
    keys: list[object] = []
    for seq, record in enumerate(log, start=1):
        assert (record.seq, record.account) == (seq, log[0].account), "sequences are contiguous"
        check_merged(log, seq)
        for index, entry in enumerate(record.entries):
            assert entry.at >= moment, "time never runs backwards within an account"
            moment = entry.at
            rolled[seq, index] = rolling
            check_entry(entry, held, zone, rolling)
            for line in entry.lines:
                held[bucket_of(line)] += line.points
                assert held[bucket_of(line)] >= 0 or line.expires == DEBT, "no bucket goes below zero"
            rolling = after_rolling(entry, rolling, held)
            kept.take(entry, zone)
            assert held["debt", 0, 0] <= 0, "nobody pays more than they owe"
            assert entry.balance_after == spendable(held), "the balance after is that of the lines so far"
            if entry.kind is EntryKind.EXPIRY:
                expired -= entry.points
            elif entry.points > 0:
                earned += entry.points
            else:
                spent -= entry.points
            keys += [entry.key] if entry.key else []
            assert entry.kind not in _INSIDE or entry.points == 0, f"{entry.kind} makes no points"
            if entry.kind not in _TIME and entry.explanation:
                told = sum(line.points for line in entry.explanation)
                assert entry.points in (told, 0), "an explanation adds up to its entry"
        state = record.state
        check_state(state, held, zone, buckets_max, rolling)
        kept.compare(state)
        assert state.at == moment, "the state is that of its last entry"
        assert earned == spent + expired + sum(held.values()), "no point is made or lost"
    assert len(keys) == len(set(keys)), "a key moves points in at most one entry"
    return rolled


def last_day(bucket: int, rolling: Rolling | None) -> int:
    """The last day of a bucket's points."""
    if bucket != ROLLING:
        return bucket
    assert rolling is not None, "points of a rolling bucket have a last day"
    return rolling.until


def after_rolling(entry: Entry, rolling: Rolling | None, held: Counter[Bucket]) -> Rolling | None:
    """The rolling day after an entry whose lines were added up: no activity moves it back, and without points there is none."""
    if entry.rolls is not None:
        assert entry.kind in _ROLLS, f"{entry.kind} is no activity"
        assert rolling is None or entry.rolls.until >= rolling.until, "an expiry never moves earlier"
        rolling = entry.rolls
    is_there = any(points and day == ROLLING and pot != "debt" for (pot, _, day), points in held.items())
    return rolling if is_there else None


class Kept:
    """What an account keeps beside its points, as its entries say it."""

    def __init__(self) -> None:
        self.marks: dict[str, int] = {}
        self.qualifying: dict[int, int] = {}
        self.standing: Standing | None = None

    def take(self, entry: Entry, zone: ZoneInfo) -> None:
        """Adds an entry."""
        if entry.kind is EntryKind.BONUS:
            had = [name for name, _ in entry.marks if name.startswith("m.")]
            assert len(had) == 1, "a bonus is for a moment"
            assert dict(entry.marks)[had[0]] > self.marks.get(had[0], 0), "a moment is had once"
            assert [f"moment:{had[0][2:]}"] == [each.rule for each in entry.explanation]
        for name, value in entry.marks:
            if name in ("active", "purchases") and entry.kind is not EntryKind.UNMERGE:
                assert value > self.marks.get(name, 0), "activities and purchases only become more"
            self.marks.pop(name, None)
            if value:
                self.marks[name] = value
        sums = Counter(self.qualifying)
        for period, amount in entry.qualifies:
            sums[period] += amount
        newest = sorted((period % 100_000, period) for period, amount in sums.items() if amount > 0)[-20:]
        self.qualifying = {period: sums[period] for _, period in newest}
        if entry.kind is EntryKind.TIER:
            assert entry.lines == (), "a tier moves no points"
            (why,) = entry.explanation
            if why.rule.endswith(":fallen"):
                assert self.standing is not None
                assert self.standing.until, "what is for ever does not end"
                assert entry.at >= midnight_after(self.standing.until, zone), "nobody loses a tier before its last day"
            self.standing = entry.standing
        elif entry.kind is EntryKind.MERGE:
            self.standing = entry.standing or self.standing
        elif entry.kind is EntryKind.CLOSURE:
            self.standing = None

    def compare(self, state: State) -> None:
        """Asserts that a state says the same."""
        assert state.marks == self.marks, "the marks are those that the entries set"
        assert list(state.marks) == sorted(state.marks)
        assert state.qualifying == self.qualifying, "what counts towards a tier is what the entries say"
        assert state.standing == self.standing, "the tier is that of the last entry about it"


def check_all(logs: Mapping[str, Sequence[Record]], zone: ZoneInfo, *, buckets_max: int = 60) -> None:
    """Asserts every invariant of each log, and what must hold of all of them together."""
    rolled = {account: check(log, zone, buckets_max=buckets_max) for account, log in logs.items()}
    keys = Counter(entry.key for log in logs.values() for record in log for entry in record.entries if entry.key)
    assert not [key for key, times in keys.items() if times > 1], "a key moves points in at most one entry of all logs"
    came = 0
    pairs: Counter[EntryKind] = Counter()
    for account, log in logs.items():
        for record in log:
            for index, entry in enumerate(record.entries):
                pairs[entry.kind] += 1
                if entry.kind not in _BETWEEN:
                    came += entry.points
                if entry.kind in _OTHER_SIDE:
                    assert entry.peer is not None
                    other, seq = entry.peer
                    rolling = rolled[account][record.seq, index]
                    check_sides(entry, (account, record.seq, index), logs[other][seq - 1], rolling)
                if entry.kind is EntryKind.UNMERGE:
                    assert entry.peer is not None
                    assert entry.cause is not None
                    other, seq = entry.peer
                    merged = log[entry.cause[0] - 1].entries[entry.cause[1]]
                    assert (merged.kind, merged.peer) == (EntryKind.MERGE, (other, seq - 1)), "an undo is of its merge"
    for one, two in _OTHER_SIDE.items():
        assert pairs[one] == pairs[two], "transfers and merges have both sides"
    assert sum(log[-1].state.worth for log in logs.values()) == came, "between accounts no point is made or lost"


def check_sides(entry: Entry, place: tuple[str, int, int], there: Record, rolling: Rolling | None) -> None:
    """What an entry took from its account came to the other, in a record that names it, and no point lost a day. `rolling` is the
    rolling day of whoever gives."""
    account, seq, index = place
    kind = _OTHER_SIDE[entry.kind]
    (other,) = [each for each in there.entries if each.kind is kind and each.peer == (account, seq)]
    assert other.points == -entry.points
    assert (entry.key is None) is (entry.kind is EntryKind.MERGED)
    assert (other.key is None) is (entry.kind is not EntryKind.MERGED)
    if entry.kind is EntryKind.TRANSFER_OUT:
        assert other.cause == (seq, index)
    debt = [sum(line.points for line in each.lines if line.expires == DEBT) for each in (entry, other)]
    assert debt[0] == -debt[1]
    # A gift has the day that its points had; what moves with a whole account goes on rolling.
    is_gift = entry.kind is EntryKind.TRANSFER_OUT
    gone, came = Counter[int](), Counter[int]()
    for line in entry.lines:
        gone[last_day(line.expires, rolling) if is_gift else line.expires] -= line.points
    for line in other.lines:
        came[line.expires] += line.points
    assert gone[ROLLING] == came[ROLLING], "nobody else's activity keeps a gift alive"
    if gone[ROLLING]:
        assert rolling is not None
        assert other.rolls is not None
        assert other.rolls.until >= rolling.until, "nobody loses a day"
    for day in gone.keys() - {DEBT, ROLLING}:
        assert sum(points for each, points in came.items() if each >= day) >= sum(
            points for each, points in gone.items() if each >= day
        ), "nobody loses a day"


def check_merged(log: Sequence[Record], seq: int) -> None:
    """A log that ends with a merge is empty, and goes on only with the undoing of it."""
    record, before = log[seq - 1], log[seq - 2] if seq > 1 else None
    closing = [entry for entry in record.entries if entry.kind is EntryKind.MERGED]
    assert closing in ([], [record.entries[-1]]), "nothing follows the closing entry"
    assert (record.state.status is Status.MERGED) is bool(closing)
    if closing:
        emptied = replace(record.state, merged=(), standing=None, qualifying={}, marks={})
        assert emptied == State(record.state.at, status=Status.MERGED, sent=record.state.sent)
    was_merged = before is not None and before.state.status is Status.MERGED
    reopening = [entry for entry in record.entries if entry.kind is EntryKind.REOPENING]
    assert reopening == ([record.entries[0]] if was_merged else [])


def check_entry(entry: Entry, held: Counter[Bucket], zone: ZoneInfo, rolling: Rolling | None = None) -> None:
    """What an entry may do to the buckets, and to the rolling day, as they are before it."""
    taken = [line for line in entry.lines if line.points < 0]
    for line in entry.lines:
        assert line.points, "a line moves points"
    if entry.kind is EntryKind.EXPIRY and any(line.expires == ROLLING for line in entry.lines):
        check_silenced(entry, held, zone, rolling)
        return
    if entry.kind is EntryKind.EXPIRY:
        (line,) = entry.lines
        assert -line.points == held["live", 0, line.expires], "a bucket expires whole"
        assert entry.at >= midnight_after(line.expires, zone), "no point expires before the end of its day"
        return
    for line in taken:
        if bucket_of(line)[0] == "live" and line.expires < NEVER:
            ends = midnight_after(last_day(line.expires, rolling), zone)
            assert entry.at < ends, f"{entry.kind} moved points that had expired"
    pending = [line for line in taken if line.matures]
    if entry.kind is EntryKind.MATURITY:
        assert len(pending) == 1
        assert all(entry.at >= midnight_after(line.matures - 1, zone) for line in pending), "nothing matures early"
    if entry.kind is EntryKind.DEBT_PAYMENT:
        paid = sum(line.points for line in entry.lines if line.expires == DEBT)
        live = sum(
            points
            for (pot, _, day), points in held.items()
            if pot == "live" and points and is_live(day, entry.at, zone, rolling)
        )
        assert paid == min(-held["debt", 0, 0], live), "a debt is paid as far as live points go"
        check_spent_soonest_first([line for line in taken if line.expires != DEBT], held, entry.at, zone, rolling)
    if entry.kind in _SPENDING:
        check_spent_soonest_first([line for line in taken if not line.hold], held, entry.at, zone, rolling)
    check_held(entry, held)
    if entry.kind in (EntryKind.MATURITY, EntryKind.PURCHASE) or (
        entry.kind is EntryKind.ADJUSTMENT and entry.points > 0
    ):
        # New points first; if that made a bucket too many, one whole bucket moves into a later one.
        moved = [line for line in entry.lines if not line.matures][1:]
        if moved:
            early, late = moved
            assert early.points == -late.points < 0, "merging keeps the points"
            assert early.expires < late.expires, "an expiry never moves earlier"


def check_silenced(entry: Entry, held: Counter[Bucket], zone: ZoneInfo, rolling: Rolling | None) -> None:
    """The rolling bucket ends whole, and what is held or pending of it keeps its last day: nothing revives it."""
    assert rolling is not None
    assert entry.at >= midnight_after(rolling.until, zone), "no point expires before the end of its day"
    left = Counter({pot: points for pot, points in held.items() if pot[2] in (ROLLING, rolling.until)})
    for line in entry.lines:
        assert line.expires == ROLLING or (line.expires == rolling.until and (line.hold or line.matures))
        left[bucket_of(line)] += line.points
    of_silence = [pot for pot in left if pot[0] != "debt" and pot[2] == ROLLING]
    assert not any(left[pot] for pot in of_silence), "a rolling bucket expires whole"
    for pot in of_silence:
        kind, number, _ = pot
        if kind != "live":
            dated = (kind, number, rolling.until)
            assert left[dated] == held[dated] + held[pot], "what is set aside, or waits, is not lost"


def is_live(bucket: int, at: datetime, zone: ZoneInfo, rolling: Rolling | None) -> bool:
    """Whether points of a bucket can be spent at a moment."""
    day = last_day(bucket, rolling)
    return day == NEVER or midnight_after(day, zone) > at


def check_held(entry: Entry, held: Counter[Bucket]) -> None:
    """A hold is opened once, ends whole, and everything in it is captured, or goes back to days that are no earlier."""
    numbers = {line.hold for line in entry.lines if line.hold}
    assert len(numbers) <= 1
    for number in numbers:
        before = {
            day: points for (pot, each, day), points in held.items() if (pot, each) == ("held", number) and points
        }
        lines = [line for line in entry.lines if line.hold]
        if entry.kind is EntryKind.HOLD:
            assert not before, "a hold is opened once"
            assert entry.lapses_at is not None
            assert entry.lapses_at > entry.at
            assert {line.expires: line.points for line in lines} == {
                line.expires: -line.points for line in entry.lines if not line.hold
            }, "a hold remembers where its points came from"
        else:
            assert {line.expires: -line.points for line in lines} == before, "a hold ends whole"
            back = sum(line.points for line in entry.lines if not line.hold)
            assert 0 <= back <= sum(before.values()), "held = captured + returned"
            assert back == sum(before.values()) + entry.points


def check_spent_soonest_first(
    taken: Sequence[Line], held: Counter[Bucket], at: datetime, zone: ZoneInfo, rolling: Rolling | None = None
) -> None:
    """Nothing live that is left expires before the last point that was spent."""
    left = Counter({day: points for (pot, _, day), points in held.items() if pot == "live"})
    for line in taken:
        assert not line.matures
        left[line.expires] += line.points
    order = [(last_day(line.expires, rolling), line.expires) for line in taken]
    live = {day for day, points in left.items() if points and is_live(day, at, zone, rolling)}
    assert all((last_day(day, rolling), day) >= max(order) for day in live), "the soonest-expiring points go first"
    assert order == sorted(set(order))


def check_state(
    state: State, held: Counter[Bucket], zone: ZoneInfo, buckets_max: int, rolling: Rolling | None = None
) -> None:
    """The state is the lines added up, tidy, and holds nothing that time has already taken."""
    pots: dict[Bucket, int] = {("live", 0, day): points for day, points in state.buckets.items()}
    pots |= {("pending", *both): points for both, points in state.pending.items()}
    pots |= {
        ("held", number, day): points for number, hold in state.holds.items() for day, points in hold.buckets.items()
    }
    assert all(points > 0 for points in pots.values())
    if state.debt:
        pots["debt", 0, 0] = -state.debt
    assert pots == {bucket: points for bucket, points in held.items() if points}, "the state is the fold of the lines"
    assert list(state.buckets) == sorted(state.buckets)
    assert list(state.pending) == sorted(state.pending)
    assert state.rolling == rolling, "the rolling day is the last one that an entry gave it"
    # The rolling bucket is one more: it has no neighbour to become one with.
    assert len(state.buckets.keys() - {ROLLING}) <= buckets_max
    assert all(is_live(day, state.at, zone, rolling) for day in state.buckets), "expired points are gone"
    assert rolling is None or is_live(ROLLING, state.at, zone, rolling), "what a silence took is not held as alive"
    assert all(midnight_after(matures - 1, zone) > state.at for matures, _ in state.pending), "ripe points are there"
    assert all(hold.lapses_at > state.at for hold in state.holds.values()), "a hold that lapsed is gone"
    assert state.debt >= 0
    assert not (state.debt and state.buckets), "whoever owes has nothing to spend"


def check_due(log: Iterable[Record], due: Collection[tuple[int, str]]) -> None:
    """Every day on which something happens to the account was noted."""
    had: Rolling | None = None
    for record in log:
        state = record.state
        dated = set(state.buckets) | {day for bucket in state.pending for day in bucket}
        dated |= {day for hold in state.holds.values() for day in hold.buckets}
        dated |= {state.standing.until} if state.standing is not None else set()
        was_silenced = any(
            entry.kind is EntryKind.EXPIRY and any(line.expires == ROLLING for line in entry.lines)
            for entry in record.entries
        )
        # A day that activities move has a row from its beginning, which may be in the midst of a record; the visit of that day
        # writes the next one.
        if state.rolling is not None and (had is None or was_silenced):
            begun = {entry.rolls.until for entry in record.entries if entry.rolls is not None} | {state.rolling.until}
            assert any((day, record.account) in due for day in begun)
        had = state.rolling
        assert {(day, record.account) for day in dated if ROLLING < day < NEVER} <= set(due)


def spendable(held: Counter[Bucket]) -> int:
    return sum(points for (pot, _, _), points in held.items() if pot == "live")


# One tick of the ledger's clock.
TICK = timedelta(milliseconds=1)
