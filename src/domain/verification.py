"""Proving a ledger: what must hold of stored logs, computed again from their entries alone.

Nothing here uses the arithmetic that wrote the logs (`accounts.fold`, `accounts.advance`, `ledger.book`): points are added up pot
by pot, marks, tiers and what counts towards them entry by entry, and whatever a record says of itself is compared with that. What
is wrong is a `Finding`, never an exception.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import accumulate, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain import days, limits
from domain.accounts import DEBT, ROLLING, Line, Standing, State, Status
from domain.days import NEVER
from domain.entries import Entry, EntryKind, Key, Record, bonus_key, reversal_key
from domain.expiry import Rolling


class Code(Enum):
    """What can be wrong; docs/proof.md says what each may mean."""

    # The stored item.
    UNREADABLE = "UNREADABLE"
    HIDDEN_CONTENT = "HIDDEN_CONTENT"
    CHAIN_BROKEN = "CHAIN_BROKEN"
    STRAY_ITEM = "STRAY_ITEM"
    # The log as a whole.
    SEQUENCE_GAP = "SEQUENCE_GAP"
    LOG_MISSING = "LOG_MISSING"
    LOG_TRUNCATED = "LOG_TRUNCATED"
    DIRECTORY_MISSING = "DIRECTORY_MISSING"
    # Points.
    OVERDRAWN = "OVERDRAWN"
    STATE_MISMATCH = "STATE_MISMATCH"
    BALANCE_MISMATCH = "BALANCE_MISMATCH"
    EXPLANATION_MISMATCH = "EXPLANATION_MISMATCH"
    REFUSAL_MISMATCH = "REFUSAL_MISMATCH"
    MOMENT_TWICE = "MOMENT_TWICE"
    # Time.
    TIME_BACKWARDS = "TIME_BACKWARDS"
    OUT_OF_TIME = "OUT_OF_TIME"
    EXPIRED_POINTS_LEFT = "EXPIRED_POINTS_LEFT"
    RIPE_POINTS_LEFT = "RIPE_POINTS_LEFT"
    LAPSED_HOLD_LEFT = "LAPSED_HOLD_LEFT"
    DEBT_UNPAID = "DEBT_UNPAID"
    # Two accounts.
    PEER_MISSING = "PEER_MISSING"
    PEER_MISMATCH = "PEER_MISMATCH"
    # Keys.
    KEY_TWICE = "KEY_TWICE"
    CLAIM_MISSING = "CLAIM_MISSING"
    CLAIM_MISMATCH = "CLAIM_MISMATCH"
    CLAIM_UNBOOKED = "CLAIM_UNBOOKED"
    REFUSED_BUT_BOOKED = "REFUSED_BUT_BOOKED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong at `seq` of an account (0: with the account as a whole), in a sentence for a person."""

    account: str
    seq: int
    code: Code
    message: str


# --- one log ----------------------------------------------------------------------------------------------------------


class Pot(NamedTuple):
    """A place for points: `kind` is live, pending (`number` is the maturity day), held (the hold's number) or debt."""

    kind: str
    number: int
    expires: int


@dataclass(slots=True)
class Replay:
    """One account's log, followed from its first record on.

    Days are those of `zones`, the time zones that the program has had: something is out of time when it is in all of them.
    After a record that is wrong, the next one may follow from what that says or from what it should say: each mistake is
    told once, where it is.
    """

    account: str
    zones: tuple[ZoneInfo, ...]
    seq: int = 0
    # The rolling day before each entry of the record that was followed last; None where there was none, or nobody knows.
    rolled: tuple[int | None, ...] = ()
    _moment: datetime | None = None
    # What the next record may follow from; nothing when the record before it is not known.
    _bases: "tuple[_Books, ...]" = field(
        default_factory=lambda: (_Books({}, {}, Status.ACTIVE, (0, 0), (), _Kept(None, None, {}, {})),)
    )

    def follow(self, record: Record) -> list[Finding]:
        """What is wrong with the next record. Records come in the order of their sequences."""
        found = self._gap(record.seq)
        bases = self._bases or (_Books.before(record),)
        steps = [_Step(record, self.zones, base.copy()).take(self._moment) for base in bases]
        step = min(steps, key=lambda each: len(each.found))
        self._bases = (step.books,) if step.adds_up else (step.books, _Books.of(record.state))
        self.seq, self._moment = record.seq, record.entries[-1].at
        self.rolled = tuple(step.rolled)
        return found + step.found + _left_over(record, self.zones)

    def lose(self, seq: int) -> list[Finding]:
        """What is wrong when the record at `seq` is there, but cannot be read."""
        found = self._gap(seq)
        self.seq, self._bases = seq, ()
        return found

    def _gap(self, seq: int) -> list[Finding]:
        first, last = self.seq + 1, seq - 1
        if first > last:
            return []
        self._bases = ()
        what = f"Record {first} is missing." if first == last else f"Records {first} to {last} are missing."
        return [Finding(self.account, first, Code.SEQUENCE_GAP, what)]


@dataclass(slots=True)
class _Kept:
    """What an account keeps beside its points, as its entries say it."""

    rolling: Rolling | None
    standing: Standing | None
    qualifying: dict[int, int]
    marks: dict[str, int]


@dataclass(slots=True)
class _Books:
    """What an account holds, as its lines add up. No pot is empty; a debt is below zero."""

    pots: dict[Pot, int]
    lapses: dict[int, datetime | None]
    status: Status
    # Day and points; None where it is not known.
    sent: tuple[int, int] | None
    # None where it is not known.
    merged: tuple[str, ...] | None
    # None where it is not known.
    kept: _Kept | None

    @staticmethod
    def of(state: State) -> "_Books":
        pots = {Pot("live", 0, day): points for day, points in state.buckets.items()}
        pots |= {Pot("pending", *both): points for both, points in state.pending.items()}
        for number, hold in state.holds.items():
            pots |= {Pot("held", number, day): points for day, points in hold.buckets.items()}
        if state.debt:
            pots[_DEBT] = -state.debt
        lapses: dict[int, datetime | None] = {number: hold.lapses_at for number, hold in state.holds.items()}
        kept = _Kept(state.rolling, state.standing, dict(state.qualifying), dict(state.marks))
        return _Books(pots, lapses, state.status, state.sent, state.merged, kept)

    @staticmethod
    def before(record: Record) -> "_Books":
        """What there must have been before a record that is right: what it says, less its own lines."""
        books = _Books.of(record.state)
        for line in (line for entry in record.entries for line in entry.lines):
            books.move(_pot(line), -line.points)
            if line.hold and line.hold not in record.state.holds:
                books.lapses[line.hold] = None
        books.sent = books.merged = books.kept = None
        return books

    def copy(self) -> "_Books":
        kept = self.kept
        if kept is not None:
            kept = _Kept(kept.rolling, kept.standing, dict(kept.qualifying), dict(kept.marks))
        return _Books(dict(self.pots), dict(self.lapses), self.status, self.sent, self.merged, kept)

    def move(self, pot: Pot, points: int) -> int:
        """Moves points into (or out of) a pot; what it holds then."""
        held = self.pots.pop(pot, 0) + points
        if held:
            self.pots[pot] = held
        return held

    @property
    def spendable(self) -> int:
        return sum(points for pot, points in self.pots.items() if pot.kind == "live")

    @property
    def rolling(self) -> int | None:
        """The last day of the rolling bucket."""
        return None if self.kept is None or self.kept.rolling is None else self.kept.rolling.until

    def last_day(self, bucket: int) -> int | None:
        """The last day of a bucket's points; None where it is not known."""
        return self.rolling if bucket == ROLLING else bucket


@dataclass(slots=True)
class _Step:
    """One record on top of the books before it; `found` is what is wrong with it, and `books` are then those after it."""

    record: Record
    zones: tuple[ZoneInfo, ...]
    books: _Books
    found: list[Finding] = field(default_factory=list)
    adds_up: bool = True
    rolled: list[int | None] = field(default_factory=list)

    def take(self, moment: datetime | None) -> "_Step":
        for entry in self.record.entries:
            if moment is not None and entry.at < moment:
                self._find(
                    Code.TIME_BACKWARDS,
                    f"{entry.kind.value} is of {_instant(entry.at)}, what came before it of {_instant(moment)}.",
                )
            moment = entry.at
            self.rolled.append(self.books.rolling)
            self._book(entry)
            self._explain(entry)
            if self.books.kept is not None:
                self._keep(entry, self.books.kept)
        self._compare()
        return self

    def _find(self, code: Code, message: str) -> None:
        self.found.append(Finding(self.record.account, self.record.seq, code, message))

    def _book(self, entry: Entry) -> None:
        kind, books = entry.kind, self.books
        before = books.spendable
        for line in entry.lines:
            pot = _pot(line)
            if line.hold and line.points > 0:
                books.lapses.setdefault(line.hold, entry.lapses_at)
            if line.points < 0 and (untimely := self._untimely(entry, pot)):
                self._find(Code.OUT_OF_TIME, untimely)
            # What a silence takes while it is held, or waits, keeps the day of the silence.
            if kind is EntryKind.EXPIRY and line.points > 0 and line.expires != books.rolling:
                self._find(Code.OUT_OF_TIME, f"{kind.value} gives points of the rolling bucket to {_name(pot)}.")
            held = books.move(pot, line.points)
            if (held > 0) if pot == _DEBT else (held < 0):
                self._find(Code.OVERDRAWN, f"{kind.value} takes {abs(held)} points more than {_name(pot)} has.")
        for number in {line.hold for line in entry.lines if line.hold}:
            if not any(pot[:2] == ("held", number) for pot in books.pots):
                books.lapses.pop(number, None)
        after = books.spendable
        if entry.balance_after != after:
            self._find(
                Code.BALANCE_MISMATCH,
                f"The balance after {kind.value} is given as {entry.balance_after}, its lines make it {after}.",
            )
        told = sum(each.points for each in entry.explanation)
        # Where points only move between the pots of an account, the explanation is about the balance.
        if entry.explanation and told != entry.points and (entry.points or told != after - before):
            self._find(
                Code.EXPLANATION_MISMATCH,
                f"{kind.value} moves {entry.points} points, its explanation adds up to {told}.",
            )
        if (kind is EntryKind.REFUSED) != (entry.refusal is not None):
            self._find(
                Code.REFUSAL_MISMATCH, f"{kind.value} {'without' if entry.refusal is None else 'with'} a refusal."
            )
        elif entry.refusal is not None and entry.lines:
            self._find(Code.REFUSAL_MISMATCH, f"A refused operation moves points ({len(entry.lines)} lines).")
        books.status = _STATUS_AFTER.get(kind, books.status)
        if kind is EntryKind.TRANSFER_OUT and books.sent is not None:
            books.sent = self._sent(books.sent, entry)
        if entry.peer is not None and books.merged is not None:
            if kind is EntryKind.MERGE:
                books.merged = (*books.merged, entry.peer[0])
            elif kind is EntryKind.UNMERGE:
                books.merged = tuple(each for each in books.merged if each != entry.peer[0])

    def _explain(self, entry: Entry) -> None:
        """Tiers and moments explain themselves by their rule, so that it can be told why they came."""
        kind, rules = entry.kind, [each.rule for each in entry.explanation]
        if kind is EntryKind.TIER:
            tier = entry.standing.tier if entry.standing is not None else None
            if len(rules) != 1 or not rules[0].startswith(f"tier:{tier}:" if tier else "tier:"):
                message = (
                    f"{kind.value} of {tier or 'the lowest tier'} is explained by {', '.join(rules) or 'nothing'}."
                )
                self._find(Code.EXPLANATION_MISMATCH, message)
        elif kind in _CAMPAIGN_KEYS or (entry.key is not None and entry.key.campaign is not None):
            campaign, key_of = entry.key and entry.key.campaign, _CAMPAIGN_KEYS.get(kind)
            is_own = campaign and key_of and entry.key == key_of(campaign, self.record.account)
            if not is_own or f"campaign:{entry.reason}" not in rules:
                message = f"{kind.value} has not its campaign's key, or is not explained by it ({', '.join(rules)})."
                self._find(Code.EXPLANATION_MISMATCH, message)
        elif kind is EntryKind.BONUS:
            had = [name.removeprefix("m.") for name, _ in entry.marks if name.startswith("m.")]
            if rules != [f"moment:{moment}" for moment in had] or len(had) != 1:
                message = f"{kind.value} marks {', '.join(had) or 'no moment'}, and is explained by {', '.join(rules)}."
                self._find(Code.EXPLANATION_MISMATCH, message)

    def _keep(self, entry: Entry, kept: _Kept) -> None:
        """Adds what the entry says of the account beside its points."""
        kind = entry.kind
        if entry.rolls is not None:
            if kept.rolling is not None and entry.rolls.until < kept.rolling.until:
                self._find(
                    Code.OUT_OF_TIME,
                    f"{kind.value} moves the rolling day back from {_day(kept.rolling.until)} to {_day(entry.rolls.until)}.",
                )
            kept.rolling = entry.rolls
        if not any(pot.expires == ROLLING for pot in self.books.pots):
            kept.rolling = None
        for name, value in entry.marks:
            before = kept.marks.pop(name, 0)
            if kind is EntryKind.BONUS and name.startswith("m.") and value <= before:
                self._find(Code.MOMENT_TWICE, f"The moment {name.removeprefix('m.')!r} was had before ({before}).")
            if value:
                kept.marks[name] = value
        for period, amount in entry.qualifies:
            kept.qualifying[period] = kept.qualifying.get(period, 0) + amount
        for period in [period for period, amount in kept.qualifying.items() if amount <= 0]:
            del kept.qualifying[period]
        # A period is named by its first month, and by what counts in it above that.
        while len(kept.qualifying) > limits.QUALIFYING_PERIODS_MAX:
            del kept.qualifying[min(kept.qualifying, key=lambda period: (period % 100_000, period))]
        if kind is EntryKind.TIER:
            until = kept.standing.until if kept.standing is not None else 0
            is_fall = any(each.rule.endswith(":fallen") for each in entry.explanation)
            if is_fall and until and not _has_ended(until, entry.at, self.zones, any):
                self._find(
                    Code.OUT_OF_TIME,
                    f"A tier is lost at {_instant(entry.at)}, before {_day(until)}, its last day, is over.",
                )
            kept.standing = entry.standing
        elif kind is EntryKind.MERGE:
            kept.standing = entry.standing or kept.standing
        elif kind is EntryKind.CLOSURE:
            kept.standing = None

    def _sent(self, sent: tuple[int, int], entry: Entry) -> tuple[int, int]:
        """Points given away on the day of `entry`. Where the zones differ about the day, the record decides."""
        said = self.record.state.sent[0]
        today = {days.day_of(entry.at, zone) for zone in self.zones}
        day = said if said in today else min(today)
        return day, (sent[1] if sent[0] == day else 0) - entry.points

    def _untimely(self, entry: Entry, pot: Pot) -> str | None:
        """Why these points could not be taken from a pot at that moment, if they could not."""
        kind, at = entry.kind, entry.at
        last = self.books.last_day(pot.expires)
        if kind is EntryKind.EXPIRY and pot != _DEBT and (pot.kind == "live" or pot.expires == ROLLING):
            is_early = last is not None and not _has_ended(last, at, self.zones, any)
            return f"{_name(pot)} expires at {_instant(at)}, before its last day is over." if is_early else None
        if pot.kind == "live" and last is not None and last < NEVER:
            if _has_ended(last, at, self.zones, all):
                return f"{kind.value} takes from {_name(pot)} at {_instant(at)}, after its last day."
        elif pot.kind == "pending" and kind is EntryKind.MATURITY:
            if not _has_ended(pot.number - 1, at, self.zones, any):
                return f"{_name(pot)} matures at {_instant(at)}, before its day."
        elif pot.kind == "held" and (lapses_at := self.books.lapses.get(pot.number)):
            if kind is EntryKind.LAPSE and at < lapses_at:
                return f"{_name(pot)} lapses at {_instant(at)}, before {_instant(lapses_at)}."
            if kind is not EntryKind.LAPSE and at >= lapses_at:
                return (
                    f"{kind.value} takes from {_name(pot)} at {_instant(at)}, after it lapsed at {_instant(lapses_at)}."
                )
        return None

    def _compare(self) -> None:
        """What the record says of the account with what the lines add up to."""
        state, books, differences = self.record.state, self.books, []
        said = _Books.of(state)
        if said.pots != books.pots:
            differences = [
                f"{_name(pot)} is given as {abs(said.pots.get(pot, 0))}, the lines add up to {abs(books.pots.get(pot, 0))}"
                for pot in sorted(said.pots.keys() | books.pots.keys())
                if said.pots.get(pot, 0) != books.pots.get(pot, 0)
            ]
        for number in sorted(said.lapses.keys() & books.lapses.keys()):
            # None where it was opened by a record that is not known.
            if books.lapses[number] is not None and said.lapses[number] != books.lapses[number]:
                differences.append(f"hold {number} is said to lapse at another moment than it was made for")
        if said.status is not books.status:
            differences.append(f"the account is said to be {said.status.value}, not {books.status.value}")
        if books.sent is None:
            books.sent = said.sent
        elif said.sent != books.sent:
            differences.append(f"{_given(state.sent)} are said to be given away, not {_given(books.sent)}")
        if books.merged is None:
            books.merged = said.merged
        elif said.merged != books.merged:
            differences.append(f"{_listed(state.merged)} are said to live on here, not {_listed(books.merged)}")
        if books.kept is None:
            books.kept = said.kept
        else:
            differences += _kept_apart(state, books.kept)
        if state.rolling is None and any(pot.expires == ROLLING for pot in said.pots):
            differences.append("the points of the rolling bucket have no last day")
        if state.at != self.record.entries[-1].at:
            differences.append("the account is said to be of another moment than its last entry")
        if differences:
            self.adds_up = False
            message = "; ".join(differences)
            self._find(Code.STATE_MISMATCH, f"{message[0].upper()}{message[1:]}.")


_DEBT = Pot("debt", 0, DEBT)
_STATUS_AFTER = {
    EntryKind.BLOCK: Status.BLOCKED,
    EntryKind.UNBLOCK: Status.ACTIVE,
    EntryKind.REOPENING: Status.ACTIVE,
    EntryKind.CLOSURE: Status.CLOSED,
    EntryKind.MERGED: Status.MERGED,
}
# Nothing remembers such a key but the entry itself: it must be the account's own, and no other entry may hide behind it.
_CAMPAIGN_KEYS = {EntryKind.CAMPAIGN_BONUS: bonus_key, EntryKind.CAMPAIGN_REVERSAL: reversal_key}


def _kept_apart(state: State, kept: _Kept) -> Iterator[str]:
    """What a record says of the account beside its points, where its entries say something else."""
    if state.rolling != kept.rolling:
        yield f"the rolling day is said to be {_rolling(state.rolling)}, not {_rolling(kept.rolling)}"
    if state.standing != kept.standing:
        yield f"the tier is said to be {_tier(state.standing)}, not {_tier(kept.standing)}"
    for what, said, adds_up in (
        ("of month", _named(state.qualifying), _named(kept.qualifying)),
        ("of the mark", _named(state.marks), _named(kept.marks)),
    ):
        for name in sorted(said.keys() | adds_up.keys()):
            if said.get(name, 0) != adds_up.get(name, 0):
                yield f"the number {what} {name} is given as {said.get(name, 0)}, not {adds_up.get(name, 0)}"


def _named(numbers: Mapping[int, int] | Mapping[str, int]) -> dict[str, int]:
    return {str(name): number for name, number in numbers.items()}


def _rolling(rolling: Rolling | None) -> str:
    if rolling is None:
        return "none"
    length = f"{rolling.months} months and {rolling.days} days, to the {rolling.rounding.name.lower()}"
    return f"{_day(rolling.until)} ({length})"


def _tier(standing: Standing | None) -> str:
    if standing is None:
        return "the lowest"
    until = f"until {_day(standing.until)}" if standing.until else "without an end"
    return f"{standing.tier} {until} ({standing.origin.value})"


def _left_over(record: Record, zones: tuple[ZoneInfo, ...]) -> list[Finding]:
    """What the account still holds after a record, though time had taken it by then."""
    state, found = record.state, []

    def find(code: Code, message: str) -> None:
        found.append(Finding(record.account, record.seq, code, message))

    rolling = state.rolling
    if rolling is not None and _has_ended(rolling.until, state.at, zones, all):
        held = [hold.buckets.get(ROLLING, 0) for hold in state.holds.values()]
        waiting = [points for (_, expires), points in state.pending.items() if expires == ROLLING]
        points = state.buckets.get(ROLLING, 0) + sum(held) + sum(waiting)
        find(
            Code.EXPIRED_POINTS_LEFT,
            f"{points} points of the rolling bucket are still there at {_instant(state.at)}, its last day was"
            f" {_day(rolling.until)}.",
        )
    for day, points in state.buckets.items():
        if ROLLING != day < NEVER and _has_ended(day, state.at, zones, all):
            find(Code.EXPIRED_POINTS_LEFT, f"{points} points of {_day(day)} are still there at {_instant(state.at)}.")
    for matures, expires in state.pending:
        if _has_ended(matures - 1, state.at, zones, all):
            points = state.pending[matures, expires]
            find(
                Code.RIPE_POINTS_LEFT,
                f"{points} points are still pending at {_instant(state.at)}, due on {_day(matures)}.",
            )
    for number, hold in state.holds.items():
        if hold.lapses_at <= state.at:
            find(
                Code.LAPSED_HOLD_LEFT,
                f"Hold {number} is still open at {_instant(state.at)}, it ended at {_instant(hold.lapses_at)}.",
            )
    if state.debt and state.buckets:
        find(Code.DEBT_UNPAID, f"{state.debt} points are owed, and {state.balance} are there to pay them.")
    return found


def _has_ended(
    day: int, at: datetime, zones: tuple[ZoneInfo, ...], quantifier: Callable[[Iterator[bool]], bool]
) -> bool:
    """Whether a day is over at an instant: in `all` zones, or in `any` of them."""
    return quantifier(_end_of(day, zone) <= at for zone in zones)


def _end_of(day: int, zone: ZoneInfo) -> datetime:
    try:
        return days.end_of(day, zone)
    except (ValueError, OverflowError):
        # No calendar has this day: somebody made it up.
        return datetime.max.replace(tzinfo=UTC) if day > 0 else datetime.min.replace(tzinfo=UTC)


def _pot(line: Line) -> Pot:
    if line.hold:
        return Pot("held", line.hold, line.expires)
    if line.matures:
        return Pot("pending", line.matures, line.expires)
    return _DEBT if line.expires == DEBT else Pot("live", 0, line.expires)


def _name(pot: Pot) -> str:
    match pot.kind:
        case "debt":
            return "the debt"
        case "held":
            return f"hold {pot.number} of points of {_bucket(pot.expires)}"
        case "pending":
            return f"the pending bucket of {_day(pot.number)}, of points of {_bucket(pot.expires)}"
        case _:
            return "the rolling bucket" if pot.expires == ROLLING else f"the bucket of {_day(pot.expires)}"


def _bucket(expires: int) -> str:
    return "the rolling bucket" if expires == ROLLING else _day(expires)


def _given(sent: tuple[int, int]) -> str:
    return f"{sent[1]} points on {_day(sent[0])}" if sent[1] else "no points"


def _listed(accounts: tuple[str, ...]) -> str:
    return ", ".join(accounts) or "no accounts"


def _instant(at: datetime) -> str:
    # With parts of a second: much happens in one.
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _day(day: int) -> str:
    if day == NEVER:
        return "no date"
    try:
        return days.date_of(day).isoformat()
    except (ValueError, OverflowError):
        return f"day {day}"


# --- two accounts -----------------------------------------------------------------------------------------------------

# Who gives, and who gets.
_MIRRORS = {
    EntryKind.TRANSFER_OUT: EntryKind.TRANSFER_IN,
    EntryKind.MERGED: EntryKind.MERGE,
    EntryKind.UNMERGE: EntryKind.REOPENING,
}
_MIRRORED = _MIRRORS | {getting: giving for giving, getting in _MIRRORS.items()}


def has_peer(entry: Entry) -> bool:
    """Whether the entry is one half of something between two accounts."""
    return entry.kind in _MIRRORED


def check_peer(record: Record, entry: Entry, other: Record | None, *, rolling: int | None = None) -> list[Finding]:
    """What is wrong between an entry and the record it names as its other half; None when that is not there.

    `rolling` is the rolling day of the entry's account before it (`Replay.rolled`); None where it is not known.
    """

    def wrong(code: Code, message: str) -> list[Finding]:
        return [Finding(record.account, record.seq, code, message)]

    kind, wanted = entry.kind.value, _MIRRORED[entry.kind]
    if entry.peer is None:
        return wrong(Code.PEER_MISSING, f"{kind} names no other account.")
    account, seq = entry.peer
    if other is None:
        return wrong(Code.PEER_MISSING, f"{kind} has its other half at {account} {seq}, which is not there.")
    here = (record.account, record.seq)
    half = next((each for each in other.entries if each.kind is wanted and each.peer == here), None)
    if half is None:
        return wrong(
            Code.PEER_MISSING, f"{kind} has its other half at {account} {seq}, where no {wanted.value} answers it."
        )
    giving, getting = (entry, half) if entry.kind in _MIRRORS else (half, entry)
    # Only the log of whoever gives tells until when what rolled there could be spent.
    rolled = rolling if entry is giving else None
    is_gift, moved = giving.kind is EntryKind.TRANSFER_OUT, Counter[int]()
    for line in giving.lines:
        moved[rolled if is_gift and rolled is not None and line.expires == ROLLING else line.expires] += line.points
    for line in getting.lines:
        moved[line.expires] += line.points
    # A gift has a day of its own, and is not kept alive by whoever gets it; what moves with its account goes on rolling.
    gone, came = (any(line.expires == ROLLING for line in each.lines) for each in (giving, getting))
    until = getting.rolls.until if getting.rolls is not None else None
    is_shorter = came and (until is None or (rolled is not None and until < rolled))
    # What a full account gets may at once have become one bucket with a later one: nothing else may be left between the two.
    sums = list(accumulate(moved[day] for day in sorted(moved)))
    is_wrong = came if is_gift else gone != came or is_shorter
    if is_wrong or moved[DEBT] or any(points > 0 for points in sums) or (sums and sums[-1]):
        return wrong(
            Code.PEER_MISMATCH,
            f"{kind} and its other half at {account} {seq} differ: {_points(giving)}, {_points(getting)}.",
        )
    return []


def _points(entry: Entry) -> str:
    lines = ", ".join(f"{line.points:+d} in {_name(_pot(line))}" for line in entry.lines)
    return f"{entry.kind.value} {lines or 'moves nothing'}"


# --- keys -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """An entry that carries a key: where it stands and when it was booked."""

    account: str
    seq: int
    at: datetime
    is_refused: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """What stands beside the logs about a key: a claim, or a return of a purchase.

    A claim was written by who had seen record `seq_seen` of its account. A return names the record of its entry itself (`seq`):
    they were written in one transaction. One that has waited for its purchase (`has_waited`) names nothing: its entry is there
    if its purchase came.
    """

    account: str
    at: datetime
    seq_seen: int = 0
    seq: int = 0
    is_refused: bool = False
    has_waited: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What is wrong with a key; `is_unfinished` when its claim is so young that its entry may still be on its way."""

    found: tuple[Finding, ...] = ()
    is_unfinished: bool = False


def check_uses(key: Key, uses: Sequence[Use]) -> list[Finding]:
    """Entries of one key, oldest first, of which there may be one; a key that is forgotten is good again after 30 days."""
    found = []
    for earlier, later in pairwise(uses):
        if key.is_for_ever or later.at - earlier.at < limits.KEY_REUSE_MIN:
            place = f"{earlier.account} {earlier.seq}"
            found.append(
                Finding(later.account, later.seq, Code.KEY_TWICE, f"The key {str(key)!r} is booked at {place} already.")
            )
    return found


def check_memory(
    key: Key,
    uses: Sequence[Use],
    memory: Memory | None,
    *,
    now: datetime,
    grace: timedelta,
    lives_on: Callable[[str, str], bool],
) -> Judged:
    """The newest entry of a key against what is remembered of the key; either may be missing.

    `lives_on(one, other)` tells whether an account was ever merged into another. A claim that is younger than `grace` may be
    without an entry. Purchases and returns are remembered for ever; of other keys an entry alone is no mistake.
    """
    # What was forgotten may have been used again: an entry from long before the claim belongs to another use of the key.
    since = None if memory is None or key.is_for_ever else memory.at - limits.KEY_REUSE_MIN
    mine = [use for use in uses if since is None or use.at >= since]
    if not mine:
        return Judged() if memory is None else _unbooked(key, memory, now=now, grace=grace)
    use, name = mine[-1], repr(str(key))

    def wrong(code: Code, message: str) -> Judged:
        return Judged((Finding(use.account, use.seq, code, message),))

    if memory is None:
        if not key.is_for_ever or key.campaign is not None:
            return Judged()
        return wrong(Code.CLAIM_MISSING, f"Nothing remembers the key {name}: it could be booked once more.")
    if memory.has_waited:
        return Judged()
    if memory.is_refused and not use.is_refused:
        return wrong(Code.REFUSED_BUT_BOOKED, f"The key {name} was refused for good, and is booked all the same.")
    if memory.seq and (use.account, use.seq) != (memory.account, memory.seq):
        return wrong(Code.CLAIM_MISMATCH, f"The key {name} is remembered to stand at {memory.account} {memory.seq}.")
    if use.account == memory.account:
        if use.seq > memory.seq_seen:
            return Judged()
        return wrong(Code.CLAIM_MISMATCH, f"The key {name} was claimed only after record {memory.seq_seen}.")
    # It followed its account into a merge that was made, or out of one that was undone, after the claim.
    if memory.is_refused or lives_on(memory.account, use.account) or lives_on(use.account, memory.account):
        return Judged()
    return wrong(Code.CLAIM_MISMATCH, f"The key {name} was claimed for the account {memory.account}.")


def _unbooked(key: Key, memory: Memory, *, now: datetime, grace: timedelta) -> Judged:
    """A key that is remembered, and has no entry."""
    if memory.is_refused or memory.has_waited or (memory.expires_at is not None and memory.expires_at <= now):
        return Judged()
    if memory.seq:
        message = f"The return {str(key)!r} is remembered to stand here, and does not."
        return Judged((Finding(memory.account, memory.seq, Code.CLAIM_UNBOOKED, message),))
    if memory.at > now - grace:
        return Judged(is_unfinished=True)
    message = (
        f"The key {str(key)!r} was claimed at {_instant(memory.at)} and is not booked: its caller never came back, or its record"
        " was removed. The same request completes it."
    )
    return Judged((Finding(memory.account, memory.seq_seen + 1, Code.CLAIM_UNBOOKED, message),))
