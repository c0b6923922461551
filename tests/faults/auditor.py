"""The independent auditor: what must be true of a table, worked out from the requests and the answers alone.

It knows the rules as docs and descriptions tell them, has its own arithmetic, and imports nothing of the program: what it reads
are raw items. All logs are followed together, in an order in which they can have been written (records of two accounts that were
written in one transaction are one step); for each entry the request with its key says what it must be. Where two requests raced,
the log says who was first, and any order is right that explains every entry and every refusal. What callers were told is then
held against what was found:

- every decided answer of a key is the same, and whoever asks after it was given hears it too;
- told yes: one entry has the key, at that place, with those points; told no: nothing ever moves points for the key;
- told nothing: there is one entry, or none.

    audit(table.items(), asked, Rules(…))      # raises `Violation`
"""

import hashlib
import hmac
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

Item = Mapping[str, Any]
# Where points are: ("live", 0, day), ("pending", maturity day, day), ("held", hold, day), or ("debt", 0, 0), never above 0.
Pot = tuple[str, int, int]
Moves = dict[Pot, int]
# Account, sequence, index of the entry in its record.
Place = tuple[str, int, int]

DEBT: Pot = ("debt", 0, 0)
NEVER = 10_000_000
HOLDS_MAX = 8


class Violation(AssertionError):
    """Something is not as it must be; `words` are found in the story of whatever did it."""

    def __init__(self, message: str, *words: str) -> None:
        super().__init__(message)
        self.words = words


def require(holds: object, message: str, *words: str) -> None:
    if not holds:
        raise Violation(message, *words)


# --- what was asked, and what was heard -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """The program that was in force all the time."""

    zone: ZoneInfo
    pepper: bytes
    shards: int
    rewards: Mapping[str, int]
    minor_units: int = 100
    points_per_unit: int = 1
    expiry_months: int = 24
    expiry_days: int = 0
    to_month_end: bool = True
    pending_days: int = 0
    returns: str = "debt"
    gift_max: int = 10_000
    gifts_per_day_max: int = 20_000
    reinstatement_days: int = 30
    undo_days: int = 30

    def expiry(self, day: int) -> int:
        """The last day of points that are earned on a day."""
        last = date_of(day) + relativedelta(months=self.expiry_months, days=self.expiry_days)
        return number_of(last + relativedelta(day=31) if self.to_month_end else last)

    def day(self, at: int) -> int:
        """The day of an instant (ms)."""
        return number_of(datetime.fromtimestamp(at / 1000, UTC).astimezone(self.zone).date())

    def start(self, day: int) -> int:
        """The first instant of a day, in ms."""
        return start_of(day, self.zone)


def date_of(day: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + day)


def number_of(on: date) -> int:
    return on.toordinal() - date(1970, 1, 1).toordinal()


@lru_cache(maxsize=10_000)
def start_of(day: int, zone: ZoneInfo) -> int:
    on = date_of(day)
    return int(datetime(on.year, on.month, on.day, tzinfo=zone).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer: `code` of the refusal, or where the entry stands and what was told of it.

    A return that waits for its purchase was told `parked`. `started` and `ended` are in the order in which things happened.
    """

    started: int = 0
    ended: int = 0
    code: str = ""
    place: Place | None = None
    points: int = 0
    balance: int = 0
    parked: bool = False

    @property
    def is_decided(self) -> bool:
        """Whether it is an answer for good. What is refused for the input or the moment is not, and is not remembered."""
        return bool(self.place) or (bool(self.code) and self.code not in UNDECIDED)

    @property
    def told(self) -> tuple[object, ...]:
        return (self.code, self.place, self.points, self.balance)


# Refusals of what was asked, or of when: nothing was decided for the key.
UNDECIDED = frozenset(
    {
        "IDEMPOTENCY_KEY_REUSED",
        "INVALID_TIME",
        "LINE_NOT_FOUND",
        "MEMBER_NOT_FOUND",
        "MERGE_WITH_SELF",
        "PURCHASE_NOT_FOUND",
        "TRANSFER_TO_SELF",
        "UNDO_WINDOW_PASSED",
    }
)


@dataclass(slots=True)
class Asked:
    """One request, however often it was delivered.

    `key` is what its entry is found by. Members are named by their external ids: `member` is who it is about, `other` who
    receives, or survives. `of` is the key of the purchase, redemption or hold it is about. `basket` are quantities and amounts
    of lines. `part` of a purchase is `("amount", minor units)`, `("lines", {index: quantity})` or None for all that is left.
    `sent` is the program's clock (ms) at each delivery; `began` is when the first one did, in the order in which things happened.
    """

    name: str
    what: str
    key: str
    member: str = ""
    other: str = ""
    of: str = ""
    points: int | None = None
    reward: str = ""
    amount: int = 0
    basket: tuple[tuple[int, int], ...] = ()
    occurred: int | None = None
    part: tuple[str, Any] | None = None
    ttl_ms: int = 0
    phone: str | None = None
    sent: list[int] = field(default_factory=list)
    began: int | None = None
    heard: list[Heard] = field(default_factory=list)


# --- what is there ----------------------------------------------------------------------------------------------------

_NAMES = {
    "J": "ENROLLMENT",
    "P": "PURCHASE",
    "R": "REDEMPTION",
    "A": "ADJUSTMENT",
    "M": "MATURITY",
    "X": "EXPIRY",
    "B": "RETURN",
    "N": "CANCELLATION",
    "H": "HOLD",
    "C": "CAPTURE",
    "L": "RELEASE",
    "Z": "LAPSE",
    "G": "TRANSFER_OUT",
    "E": "TRANSFER_IN",
    "D": "DEBT_PAYMENT",
    "I": "UPDATE",
    "K": "BLOCK",
    "U": "UNBLOCK",
    "Q": "CLOSURE",
    "W": "MERGE",
    "V": "UNMERGE",
    "Y": "MERGED",
    "O": "REOPENING",
    "F": "REFUSED",
}
_TIME = frozenset({"LAPSE", "MATURITY", "EXPIRY", "DEBT_PAYMENT"})
# What stands on two accounts at once, and what the other half is.
_HALVES = {"TRANSFER_OUT": "TRANSFER_IN", "MERGE": "MERGED", "UNMERGE": "REOPENING"}
_OTHER_HALVES = {other: main for main, other in _HALVES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is stored."""

    kind: str
    at: int
    moves: Moves
    balance: int
    key: str
    code: str
    total: int | None
    occurred: int | None
    lapses: int | None
    cause: tuple[int, int] | None
    peer: tuple[str, int] | None
    told: int

    @property
    def points(self) -> int:
        return sum(self.moves.values())


@dataclass(frozen=True, slots=True)
class Record:
    account: str
    seq: int
    entries: tuple[Entry, ...]
    item: Item

    @property
    def place(self) -> tuple[str, int]:
        return self.account, self.seq


def _entry(fields: Item) -> Entry:
    def text(name: str) -> str:
        return str(fields[name]["S"]) if name in fields else ""

    def number(name: str) -> int | None:
        return int(fields[name]["N"]) if name in fields else None

    at = number("t")
    balance = number("b")
    assert at is not None
    assert balance is not None
    seq, _, account = text("p").partition("@")
    cause = text("ca").partition(":")
    money = text("m")
    return Entry(
        kind=_NAMES[text("k")],
        at=at,
        moves=_moves(text("l")),
        balance=balance,
        key=text("i"),
        code=str(fields["r"]["L"][0]["S"]) if "r" in fields else "",
        total=int(money[:-3]) if money else None,
        occurred=number("o"),
        lapses=number("z"),
        cause=(int(cause[0]), int(cause[2])) if cause[0] else None,
        peer=(account, int(seq)) if account else None,
        told=sum(int(each.partition("=")[2].partition("@")[0]) for each in text("x").split()),
    )


def _moves(text: str) -> Moves:
    moves: Counter[Pot] = Counter()
    for part in text.split():
        sign = max(part.rfind("+"), part.rfind("-"))
        moves[_pot(part[:sign])] += int(part[sign:])
    return _tidy(moves)


def _pot(text: str) -> Pot:
    if text == "d":
        return DEBT
    if "/" in text:
        number, day = text.split("/")
        return ("held", int(number), int(day))
    if "." in text:
        matures, day = text.split(".")
        return ("pending", int(matures), int(day))
    return ("live", 0, int(text))


def _tidy(moves: Mapping[Pot, int]) -> Moves:
    return {pot: points for pot, points in moves.items() if points}


@dataclass(slots=True)
class Contents:
    """The raw items, by what they are."""

    logs: dict[str, list[Record]] = field(default_factory=dict)
    claims: dict[str, Item] = field(default_factory=dict)
    returns: dict[str, Item] = field(default_factory=dict)
    ends: dict[Place, Item] = field(default_factory=dict)
    profiles: dict[str, Item] = field(default_factory=dict)
    lookups: dict[str, str] = field(default_factory=dict)
    due: set[tuple[int, str]] = field(default_factory=set)


def _contents(items: Iterable[Item]) -> Contents:
    found = Contents()
    for item in sorted(items, key=lambda each: (each["PK"]["S"], each["SK"]["S"])):
        (kind, _, name), sk = str(item["PK"]["S"]).partition("#"), str(item["SK"]["S"])
        if kind == "M" and sk.startswith("E#"):
            entries = tuple(_entry(each["M"]) for each in item["e"]["L"])
            found.logs.setdefault(name, []).append(Record(name, int(sk[2:]), entries, item))
        elif kind == "M" and sk.startswith("C#"):
            seq, _, index = sk[2:].partition(".")
            found.ends[name, int(seq), int(index)] = item
        elif kind == "M" and sk == "P":
            found.profiles[name] = item
        elif kind == "K" and sk == "K":
            found.claims[name] = item
        elif kind == "K" and sk.startswith("R#"):
            source, _, purchase = name.partition(":")
            found.returns[f"~r.{source}:{purchase}:{sk[2:]}"] = item
        elif kind == "U":
            if "a" in item:
                found.lookups[name] = item["a"]["S"]
        elif kind == "D":
            day, _, shard = name.partition("#")
            found.due.add((int(day), sk))
            require(int(shard) >= 0, "a due row has a shard")
        else:
            require(kind == "DIR" or (kind == "M" and sk.startswith("A#")), f"nobody writes {kind}#{name} {sk}", name)
    return found


# --- an account -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Books:
    """An account as the auditor has worked it out. No pot is empty, none below zero but the debt."""

    account: str
    at: int = 0
    seq: int = 0
    pots: Moves = field(default_factory=dict)
    lapses: dict[int, int] = field(default_factory=dict)
    status: str = ""
    sent: tuple[int, int] = (0, 0)
    merged: tuple[str, ...] = ()

    def copy(self) -> "Books":
        return Books(
            self.account, self.at, self.seq, dict(self.pots), dict(self.lapses), self.status, self.sent, self.merged
        )

    def live(self) -> list[tuple[int, int]]:
        """Spendable points, soonest-expiring first."""
        return sorted((day, points) for (kind, _, day), points in self.pots.items() if kind == "live")

    def held(self, hold: int) -> list[tuple[int, int]]:
        return sorted((pot[2], points) for pot, points in self.pots.items() if pot[:2] == ("held", hold))

    @property
    def balance(self) -> int:
        return sum(points for _, points in self.live())

    @property
    def debt(self) -> int:
        return -self.pots.get(DEBT, 0)

    @property
    def worth(self) -> int:
        return sum(self.pots.values())

    def move(self, moves: Moves, *words: str) -> None:
        for pot, points in moves.items():
            held = self.pots.pop(pot, 0) + points
            if held:
                self.pots[pot] = held
            is_possible = held <= 0 if pot == DEBT else held >= 0
            require(is_possible, f"{pot} of {self.account} is overdrawn: {held}", self.account, *words)
        open_holds = {number for kind, number, _ in self.pots if kind == "held"}
        self.lapses = {number: at for number, at in self.lapses.items() if number in open_holds}

    def next(self, until: int, rules: Rules) -> tuple[int, str, Moves] | None:
        """What time does to the account first, at or before `until`."""
        due: list[tuple[int, int, str, Moves]] = []
        if self.lapses:
            lapses, number = min((lapses, number) for number, lapses in self.lapses.items())
            due.append((max(lapses, self.at), 0, "LAPSE", _ending(self, number, 0)))
        pending = sorted(pot[1:] for pot in self.pots if pot[0] == "pending")
        if pending:
            matures, expires = pending[0]
            points = self.pots["pending", matures, expires]
            moves: Moves = {("pending", matures, expires): -points, ("live", 0, expires): points}
            due.append((max(rules.start(matures), self.at), 1, "MATURITY", moves))
        live = self.live()
        if live and live[0][0] < NEVER:
            day, points = live[0]
            due.append((max(rules.start(day + 1), self.at), 2, "EXPIRY", {("live", 0, day): -points}))
        if live and self.debt:
            paid = min(self.debt, self.balance)
            due.append((self.at, 3, "DEBT_PAYMENT", {**_taken(live, paid), DEBT: paid}))
        if not due:
            return None
        at, _, kind, moves = min(due, key=lambda each: each[:2])
        return (at, kind, moves) if at <= until else None

    def pass_to(self, now: int, rules: Rules) -> None:
        """Lets time pass."""
        while (event := self.next(now, rules)) is not None:
            self.at = event[0]
            self.move(event[2])


def _taken(live: Iterable[tuple[int, int]], points: int) -> Moves:
    """What goes from which bucket when points are taken, soonest-expiring first."""
    moves: Moves = {}
    for day, held in live:
        if points:
            moves["live", 0, day] = -min(held, points)
            points -= min(held, points)
    return moves


def _ending(books: Books, hold: int, captured: int) -> Moves:
    """A hold ends whole: what is captured of it is gone, the rest goes back to where it came from."""
    kept = books.held(hold)
    spent = _taken(kept, captured)
    moves: Moves = {("held", hold, day): -points for day, points in kept}
    for day, points in kept:
        moves["live", 0, day] = points + spent.get(("live", 0, day), 0)
    return _tidy(moves)


def _arrived(moves: Moves, today: int, sign: int = 1) -> Moves:
    """What comes from another account; pending points whose day has come are spendable."""
    arrived: Counter[Pot] = Counter()
    for pot, points in moves.items():
        is_ripe = pot[0] == "pending" and pot[1] <= today
        arrived[("live", 0, pot[2]) if is_ripe else pot] += sign * points
    return _tidy(arrived)


def _all_of(books: Books) -> Moves:
    return {pot: -points for pot, points in books.pots.items()}


# --- what a request must have come to ---------------------------------------------------------------------------------


class No(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Bought:
    """A purchase, and what came back of it."""

    asked: Asked
    entry: Entry
    returned: int = 0
    is_whole: bool = False
    count: int = 0
    lines: Counter[int] = field(default_factory=Counter)

    def owed(self, amount: int) -> int:
        """Points for so much of its money: rounded down."""
        total = self.asked.amount
        return self.entry.points * min(amount, total) // total if total else 0


# What can be refused for the sake of something else than the account that the claim is on; whether it was ever so is asked in
# the end, because nothing tells when it was looked at.
_FOREIGN = {
    "pointsTransfer": {"MEMBER_CLOSED", "MEMBER_BLOCKED", "MEMBER_NOT_FOUND", "TRANSFER_TO_SELF"},
    "memberMerge": {"MEMBER_CLOSED", "MEMBER_BLOCKED", "HOLDS_OPEN", "MERGE_WITH_SELF"},
    "memberUnmerge": {"NOT_MERGED", "SURVIVOR_MERGED"},
    "redemptionCancel": {"REDEMPTION_ENDED"},
    "memberUpdate": {"ALREADY_ENROLLED"},
    "memberEnroll": {"ALREADY_ENROLLED"},
}


@dataclass(slots=True)
class Auditor:
    """All logs followed together."""

    found: Contents
    rules: Rules
    asked: dict[str, list[Asked]] = field(default_factory=dict)
    books: dict[str, Books] = field(default_factory=dict)
    # Who is called what, and who lives on in whom.
    accounts: dict[str, str] = field(default_factory=dict)
    lives_in: dict[str, str] = field(default_factory=dict)
    purchases: dict[str, Bought] = field(default_factory=dict)
    # Where the one entry of a key stands, and which of the requests with the key explains it.
    places: dict[str, Place] = field(default_factory=dict)
    owners: dict[str, Asked] = field(default_factory=dict)
    cancelled: set[Place] = field(default_factory=set)
    # What the last merge of an account brought to the one it lives on in.
    merges: dict[str, Entry] = field(default_factory=dict)
    phones: dict[str, str | None] = field(default_factory=dict)
    # What was ever so.
    ever: set[tuple[str, ...]] = field(default_factory=set)
    later: list[Callable[[], None]] = field(default_factory=list)
    came: int = 0

    # --- following the logs -------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Every record of every log, each after those it may depend on."""
        for account, log in self.found.logs.items():
            self.books[account] = Books(account)
            self._check_chain(account, log)
        left = {account: 0 for account, log in self.found.logs.items() if log}
        refusals = self._recorded_refusals()
        while left:
            ready = next((account for account in left if self._is_ready(account, left)), None)
            if ready is None:
                stuck = ", ".join(f"{account} {self.found.logs[account][at].seq}" for account, at in left.items())
                raise Violation(f"no order explains these records: {stuck}", *left)
            for record in self._step(ready, left):
                left[record.account] += 1
                if left[record.account] == len(self.found.logs[record.account]):
                    del left[record.account]
                for key, item in refusals.pop(record.place, ()):
                    self._check_recorded(key, item, self.books[record.account])
        for key, item in refusals.pop(("", 0), ()):
            self._check_recorded(key, item, Books(""))
        require(not refusals, f"refusals of records that are not there: {refusals}")
        for check in self.later:
            check()

    def _next(self, account: str, left: Mapping[str, int]) -> Record | None:
        return self.found.logs[account][left[account]] if account in left else None

    def _half(self, record: Record) -> tuple[Entry, tuple[str, int]] | None:
        """The entry of a record that another account's record answers, and where that is."""
        halves = [entry for entry in record.entries if entry.kind in _HALVES or entry.kind in _OTHER_HALVES]
        require(len(halves) <= 1, f"{record.place} moves points between more than two accounts", record.account)
        if not halves:
            return None
        require(halves[0].peer, f"{record.place} names no other account", record.account)
        return halves[0], halves[0].peer or ("", 0)

    def _is_ready(self, account: str, left: Mapping[str, int]) -> bool:
        record = self._next(account, left)
        assert record is not None
        half = self._half(record)
        if half is None:
            return True
        other = self._next(half[1][0], left)
        return other is not None and other.seq == half[1][1]

    def _step(self, account: str, left: Mapping[str, int]) -> list[Record]:
        """One transaction: a record, or two that name each other."""
        record = self._next(account, left)
        assert record is not None
        half = self._half(record)
        if half is None:
            self._book(record, None)
            return [record]
        other = self._next(half[1][0], left)
        assert other is not None
        answer = self._half(other)
        words = (record.account, other.account)
        require(
            answer and answer[1] == record.place, f"{record.place} and {other.place} do not name each other", *words
        )
        assert answer is not None
        main, second = (record, other) if half[0].kind in _HALVES else (other, record)
        kinds = (half[0].kind, answer[0].kind)
        require(_HALVES.get(kinds[0], _OTHER_HALVES.get(kinds[0])) == kinds[1], f"{kinds} is no pair", *words)
        self._book(main, second)
        return [main, second]

    def _book(self, record: Record, second: Record | None) -> None:
        """A record against what its request must have come to; `second` is the other account's half of it."""
        books = self.books[record.account]
        operations = self._pass_before(record, books)
        others: list[tuple[int, Entry]] = []
        if second is not None:
            others = self._pass_before(second, self.books[second.account])
            require(len(others) == 1, f"{second.place} holds something else too", second.account)
        for index, entry in operations:
            place = (record.account, record.seq, index)
            words = (record.account, entry.key)
            require(entry.key, f"{place} has no key", *words)
            require(
                entry.key not in self.places,
                f"{entry.key} is booked at {self.places.get(entry.key)} and {place}",
                *words,
            )
            self.places[entry.key] = place
            self._explain(entry, place, books, others[0] if others else None, second)
            self._check_balance(entry, books, place)
        require(len(operations) < 2 or operations[0][1].kind == "PURCHASE", f"{record.place} is of two requests")
        self._pass_after(record, books, operations)
        if second is not None:
            self._pass_after(second, self.books[second.account], others)

    def _pass_before(self, record: Record, books: Books) -> list[tuple[int, Entry]]:
        """Books what time has done first; the entries of the operation that follow it."""
        require(record.seq == books.seq + 1, f"{record.account} has no record {books.seq + 1}", record.account)
        books.seq = record.seq
        operations: list[tuple[int, Entry]] = []
        for index, entry in enumerate(record.entries):
            if entry.kind in _TIME:
                if not operations:
                    self._passage(entry, record, books)
            else:
                if not operations:
                    left = books.next(entry.at, self.rules)
                    require(left is None, f"{record.place} was decided before time was booked: {left}", record.account)
                operations.append((index, entry))
        return operations

    def _pass_after(self, record: Record, books: Books, operations: Sequence[tuple[int, Entry]]) -> None:
        last = operations[-1][0] if operations else len(record.entries)
        for entry in record.entries[last + 1 :]:
            self._passage(entry, record, books)
        left = books.next(books.at, self.rules)
        require(left is None, f"{record.place} leaves to time what is due: {left}", record.account)
        self._check_state(record, books)
        if books.status:
            self.ever.add((books.status, books.account))
        if books.lapses:
            self.ever.add(("held", books.account))

    def _passage(self, entry: Entry, record: Record, books: Books) -> None:
        due = books.next(entry.at, self.rules)
        require(
            due == (entry.at, entry.kind, entry.moves),
            f"{record.place}: {entry} is not what is due: {due}",
            record.account,
        )
        books.at = entry.at
        books.move(entry.moves)
        self.came += entry.points
        require(not entry.key, f"{record.place}: time needs no key", record.account)
        self._check_balance(entry, books, record.place)

    def _check_balance(self, entry: Entry, books: Books, place: tuple[object, ...]) -> None:
        message = f"{place}: the balance after {entry.kind} is {books.balance}, not {entry.balance}"
        require(entry.balance == books.balance, message, books.account, entry.key)

    def _check_state(self, record: Record, books: Books) -> None:
        """What a record says of the account after it is what the auditor has worked out."""
        item = record.item
        said: Moves = {}
        for text in (*item.get("b", {"S": ""})["S"].split(), *item.get("p", {"S": ""})["S"].split()):
            said |= _moves(text)
        lapses = {}
        for text in item.get("o", {"S": ""})["S"].split():
            name, _, pots = text.partition(":")
            number, _, at = name.partition("@")
            lapses[int(number)] = int(at)
            said |= {
                ("held", int(number), day): points for (_, _, day), points in _moves(pots.replace(",", " ")).items()
            }
        if "d" in item:
            said[DEBT] = -int(item["d"]["N"])
        day, _, sent = item.get("g", {"S": "0:0"})["S"].partition(":")
        status = {"": "", "B": "BLOCKED", "C": "CLOSED", "M": "MERGED"}[item.get("s", {"S": ""})["S"]]
        rest = (lapses, status, (int(day), int(sent)), tuple(item.get("m", {"S": ""})["S"].split()))
        expected = (books.lapses, books.status, books.sent, books.merged)
        require(said == books.pots, f"{record.place} holds {said}, and should {books.pots}", record.account)
        require(rest == expected, f"{record.place} is {rest}, and should be {expected}", record.account)
        dated = {day for kind, _, day in books.pots if kind != "debt" and day < NEVER}
        dated |= {matures for kind, matures, _ in books.pots if kind == "pending"}
        missing = {(day, books.account) for day in dated} - self.found.due
        require(not missing, f"{record.place}: nobody will look at {sorted(missing)}", record.account)

    def _check_chain(self, account: str, log: Sequence[Record]) -> None:
        """Sequences without a gap, and each record's hash over it and the hash before it."""
        prior = b""
        for seq, record in enumerate(log, start=1):
            require(record.seq == seq, f"{account} has no record {seq}", account)
            content = {name: value for name, value in record.item.items() if name != "h"}
            canonical = json.dumps(
                content,
                sort_keys=True,
                separators=(",", ":"),
                ensure_ascii=False,
                default=lambda raw: bytes(raw).hex(),
            )
            expected = hashlib.sha256(prior + canonical.encode("utf-8", "surrogatepass")).digest()[:16]
            prior = bytes(record.item["h"]["B"])
            require(prior == expected, f"the chain of {account} breaks at {seq}", account)

    # --- one entry ----------------------------------------------------------------------------------------------------

    def _explain(
        self, entry: Entry, place: Place, books: Books, other: tuple[int, Entry] | None, second: Record | None
    ) -> None:
        """Finds the request that an entry is of, and books what it must have come to."""
        candidates = self.asked.get(entry.key, [])
        require(candidates, f"{place}: nobody has asked for {entry.key}", books.account, entry.key)
        before = books.copy()
        others = self.books[second.account] if second else None
        wrong = ""
        # Whoever was told the outcome comes first; of two requests with one key, only one may have been.
        for asked in sorted(candidates, key=lambda each: not any(heard.is_decided for heard in each.heard)):
            try:
                if entry.kind == "REFUSED":
                    self._check_no(asked, entry.code, before, entry.at)
                    require(not entry.moves, f"{place}: a refusal moves points", before.account)
                else:
                    expected = self._decide(asked, before, entry.at, entry, others)
                    self._compare(asked, entry, place, expected, before)
            except No as no:
                wrong = f"should have been refused: {no.code}"
                continue
            except Violation as violation:
                wrong = str(violation)
                continue
            self.owners[entry.key] = asked
            break
        else:
            raise Violation(f"{place}: {entry} does not follow from {candidates[0]}: {wrong}", entry.key, books.account)
        books.at = entry.at
        if entry.kind != "REFUSED":
            self._settle(self.owners[entry.key], entry, place, books, other, second)

    def _compare(self, asked: Asked, entry: Entry, place: Place, expected: tuple[str, Moves], books: Books) -> None:
        kind, moves = expected
        require(entry.kind == kind, f"{place} is a {entry.kind}, not a {kind}", entry.key)
        require(entry.moves == _tidy(moves), f"{place} moves {entry.moves}, not {_tidy(moves)}", entry.key)
        happened = [*asked.sent, *(at for each in self._with(asked) for at in each.sent)]
        is_then = entry.at in happened or (entry.at == books.at and min(happened, default=books.at) <= books.at)
        require(is_then, f"{place} is of {entry.at}, when nobody asked for it", entry.key)
        require(entry.at >= books.at, f"{place}: time runs backwards", entry.key)

    def _with(self, asked: Asked) -> list[Asked]:
        """Requests whose record this one may stand in: a return is booked with the purchase it has waited for."""
        return self.asked.get(asked.of, []) if asked.what == "purchaseReturn" else []

    def _settle(
        self,
        asked: Asked,
        entry: Entry,
        place: Place,
        books: Books,
        other: tuple[int, Entry] | None,
        second: Record | None,
    ) -> None:
        """What an entry that is right has changed."""
        rules = self.rules
        if entry.kind == "HOLD":
            assert entry.lapses is not None
            books.lapses[place[1]] = entry.lapses
        books.move(entry.moves, entry.key)
        self.came += self._wanted(asked, entry)
        match entry.kind:
            case "ENROLLMENT":
                self.accounts[asked.member] = books.account
                self.phones[books.account] = asked.phone
                self.ever.add(("phone", asked.phone or ""))
            case "PURCHASE":
                self.purchases[entry.key] = Bought(asked, entry)
            case "RETURN":
                bought = self.purchases[asked.of]
                bought.returned += self._returned(bought, asked)
                bought.is_whole = bought.is_whole or asked.part is None
                bought.count += 1
                if asked.part and asked.part[0] == "lines":
                    bought.lines.update(asked.part[1])
            case "CANCELLATION":
                self.cancelled.add(self.places[asked.of])
            case "UPDATE":
                if asked.phone is not None:
                    self.phones[books.account] = asked.phone
                    self.ever.add(("phone", asked.phone))
            case "BLOCK":
                books.status = "BLOCKED"
            case "UNBLOCK":
                books.status = ""
            case "CLOSURE":
                books.status = "CLOSED"
            case "TRANSFER_OUT":
                today = rules.day(entry.at)
                books.sent = (today, (books.sent[1] if books.sent[0] == today else 0) - entry.points)
        if other is None or second is None:
            return
        self._settle_other(entry, place, books, other, second)

    def _wanted(self, asked: Asked, entry: Entry) -> int:
        """By how many points all accounts together change when a request is done; as it was asked for, where it says so."""
        match asked.what:
            case "purchaseRecord" | "purchaseReturn" | "memberClose" | "pointsCapture":
                return entry.points
            case "pointsAdjust":
                return asked.points or 0
            case "rewardRedeem":
                return -self.rules.rewards[asked.reward]
            case "redemptionCancel":
                return self.rules.rewards[self.owners[asked.of].reward]
        return 0

    def _settle_other(self, entry: Entry, place: Place, books: Books, other: tuple[int, Entry], second: Record) -> None:
        """The other account's half: it takes what the first one gives, or gives what that takes."""
        index, half = other
        there = self.books[second.account]
        today = self.rules.day(half.at)
        moves = _all_of(there) if entry.kind == "MERGE" else _arrived(entry.moves, today, -1)
        words = (second.account, books.account, entry.key)
        require(half.moves == moves, f"{second.place} moves {half.moves}, the other half {entry.moves}", *words)
        require(not half.key, f"{second.place}: the key is of the other half", *words)
        is_then = half.at >= there.at and half.at in (there.at, *self.owners[entry.key].sent)
        require(is_then, f"{second.place} is of another moment", *words)
        there.at = half.at
        there.move(half.moves)
        self._check_balance(half, there, (second.account, second.seq, index))
        match entry.kind:
            case "TRANSFER_OUT":
                require(half.cause == place[1:], f"{second.place} does not name the gift", *words)
            case "MERGE":
                there.status = "MERGED"
                require(not there.pots, f"{second.place} is merged and has points", *words)
                require(second.entries[-1] is half, f"{second.place} goes on after its end", *words)
                self.lives_in[there.account] = books.account
                books.merged = (*books.merged, there.account)
                self.merges[there.account] = entry
                self.ever.add(("together", *sorted((there.account, books.account))))
            case "UNMERGE":
                there.status = ""
                del self.lives_in[there.account]
                books.merged = tuple(each for each in books.merged if each != there.account)
                self.ever.add(("apart", there.account))

    # --- decisions ----------------------------------------------------------------------------------------------------

    def _home(self, name: str) -> str:
        """The account that a member has now."""
        account = self.accounts.get(name, "")
        while account in self.lives_in:
            account = self.lives_in[account]
        return account

    def _decide(
        self, asked: Asked, books: Books, at: int, entry: Entry | None = None, other: Books | None = None
    ) -> tuple[str, Moves]:
        """What a request must come to on an account as it is: kind and moves of its entry. Raises `No`.

        `other` is the second account, where a record of it was written with the entry: only then it is known as it was.
        """
        rules, today = self.rules, self.rules.day(max(at, books.at))
        if entry is not None and asked.member and asked.what not in ("memberUnmerge", "memberMerge", "memberEnroll"):
            home = self._home(asked.member)
            require(
                home == books.account, f"{asked.key} is booked on {books.account}, {asked.member} is {home}", asked.key
            )
        match asked.what:
            case "memberEnroll":
                return "ENROLLMENT", {}
            case "purchaseRecord":
                self._require_open(books)
                return "PURCHASE", self._earned(asked, books, at, entry)
            case "purchaseReturn":
                return "RETURN", self._taken_back(asked, books, at, entry)
            case "rewardRedeem":
                self._require_active(books)
                return "REDEMPTION", self._spent(books, rules.rewards[asked.reward])
            case "redemptionCancel":
                self._require_open(books)
                return "CANCELLATION", self._cancelled(asked, today)
            case "pointsAdjust":
                self._require_open(books)
                assert asked.points
                if asked.points < 0:
                    return "ADJUSTMENT", self._spent(books, -asked.points)
                return "ADJUSTMENT", {("live", 0, rules.expiry(today)): asked.points}
            case "pointsHold":
                return "HOLD", self._held(asked, books, at, entry)
            case "pointsCapture" | "pointsRelease":
                return self._ended(asked, books)
            case "pointsTransfer":
                return "TRANSFER_OUT", self._given(asked, books, today, other)
            case "memberMerge":
                return "MERGE", self._merged(asked, books, today, other)
            case "memberUnmerge":
                return "UNMERGE", self._unmerged(asked, books, at, other)
            case "memberBlock":
                self._require_open(books)
                if books.status == "BLOCKED":
                    raise No("ALREADY_BLOCKED")
                return "BLOCK", {}
            case "memberUnblock":
                self._require_open(books)
                if books.status != "BLOCKED":
                    raise No("NOT_BLOCKED")
                return "UNBLOCK", {}
            case "memberClose":
                self._require_open(books)
                if books.lapses:
                    raise No("HOLDS_OPEN")
                return "CLOSURE", _all_of(books)
            case "memberUpdate":
                self._require_open(books)
                return "UPDATE", {}
        raise AssertionError(asked.what)

    @staticmethod
    def _require_open(books: Books) -> None:
        if books.status == "CLOSED":
            raise No("MEMBER_CLOSED")

    def _require_active(self, books: Books) -> None:
        self._require_open(books)
        if books.status == "BLOCKED":
            raise No("MEMBER_BLOCKED")

    @staticmethod
    def _spent(books: Books, points: int) -> Moves:
        if points > books.balance:
            raise No("INSUFFICIENT_POINTS")
        return _taken(books.live(), points)

    def _earned(self, asked: Asked, books: Books, at: int, entry: Entry | None) -> Moves:
        rules = self.rules
        points = 0 if books.status == "BLOCKED" else asked.amount // rules.minor_units * rules.points_per_unit
        if entry is None:
            return {}
        require(entry.total == asked.amount, f"{asked.key} is of {entry.total}, not {asked.amount}", asked.key)
        require(entry.told == points, f"{asked.key} explains {entry.told} points, not {points}", asked.key)
        occurred = entry.occurred
        assert occurred is not None
        is_then = occurred in asked.sent if asked.occurred is None else occurred == asked.occurred
        require(is_then, f"{asked.key} did not happen at {occurred}", asked.key)
        day = rules.day(occurred)
        expires, matures = rules.expiry(day), day + rules.pending_days
        is_pending = bool(rules.pending_days) and matures > rules.day(max(at, books.at))
        return {("pending", matures, expires) if is_pending else ("live", 0, expires): points}

    def _returned(self, bought: Bought, asked: Asked) -> int:
        """The money of what is returned. Raises `No`."""
        total, basket = bought.asked.amount, bought.asked.basket
        if asked.part is not None and asked.part[0] == "lines" and max(asked.part[1]) >= len(basket):
            raise No("LINE_NOT_FOUND")
        left = total - bought.returned
        if asked.part is None:
            if bought.is_whole or (bought.count and not left):
                raise No("RETURN_EXCEEDS_PURCHASE")
            return left
        if asked.part[0] == "amount":
            amount = int(asked.part[1])
        else:
            amount = 0
            for index, quantity in asked.part[1].items():
                bought_of, worth = basket[index]
                before = bought.lines[index]
                if bought.is_whole or before + quantity > bought_of:
                    raise No("RETURN_EXCEEDS_PURCHASE")
                amount += worth * (before + quantity) // bought_of - worth * before // bought_of
        if amount > left:
            raise No("RETURN_EXCEEDS_PURCHASE")
        return amount

    def _taken_back(self, asked: Asked, books: Books, at: int, entry: Entry | None) -> Moves:
        self._require_open(books)
        bought = self.purchases[asked.of]
        amount = self._returned(bought, asked)
        owed = bought.owed(bought.returned + amount) - bought.owed(bought.returned)
        require(
            entry is None or entry.total == amount,
            f"{asked.key} is of {entry and entry.total}, not {amount}",
            asked.key,
        )
        moves: Moves = {}
        wanted = owed
        pots: list[Pot] = [pot for pot in bought.entry.moves if pot[0] == "pending"]
        if self.rules.returns != "pending_only":
            first = {pot[2] for pot in bought.entry.moves}
            live = [("live", 0, day) for day, _ in books.live() if self.rules.start(day + 1) > at]
            pots += sorted(live, key=lambda pot: (pot[2] not in first, pot[2]))
        for pot in pots:
            taken = min(wanted, books.pots.get(pot, 0))
            wanted -= taken
            moves[pot] = -taken
        if self.rules.returns == "debt":
            moves[DEBT] = -wanted
        return moves

    def _cancelled(self, asked: Asked, today: int) -> Moves:
        account, seq, index = place = self.places[asked.of]
        if place in self.cancelled:
            raise No("REDEMPTION_ENDED")
        redeemed = self.found.logs[account][seq - 1].entries[index]
        moves: Counter[Pot] = Counter()
        for (_, _, day), points in redeemed.moves.items():
            moves["live", 0, today + self.rules.reinstatement_days if day < today else day] -= points
        return dict(moves)

    def _held(self, asked: Asked, books: Books, at: int, entry: Entry | None) -> Moves:
        self._require_active(books)
        if len(books.lapses) >= HOLDS_MAX:
            raise No("TOO_MANY_HOLDS")
        assert asked.points
        taken = self._spent(books, asked.points)
        if entry is not None:
            require(entry.lapses == at + asked.ttl_ms, f"{asked.key} lapses at {entry.lapses}", asked.key)
        return {**taken, **{("held", books.seq, day): -points for (_, _, day), points in taken.items()}}

    def _ended(self, asked: Asked, books: Books) -> tuple[str, Moves]:
        account, number, _ = self.places[asked.of]
        kept = sum(points for _, points in books.held(number)) if books.account == account else 0
        if not kept:
            raise No("HOLD_ENDED")
        if asked.what == "pointsRelease":
            return "RELEASE", _ending(books, number, 0)
        captured = kept if asked.points is None else asked.points
        if captured > kept:
            raise No("CAPTURE_EXCEEDS_HOLD")
        return "CAPTURE", _ending(books, number, captured)

    def _given(self, asked: Asked, books: Books, today: int, other: Books | None) -> Moves:
        rules, points = self.rules, asked.points
        assert points
        if other is not None:
            home = self._home(asked.other)
            require(other.account == home, f"{asked.key} gives to {other.account}, {asked.other} is {home}", asked.key)
        both = (books, other) if other else (books,)
        for each in both:
            self._require_open(each)
        for each in both:
            self._require_active(each)
        sent = books.sent[1] if books.sent[0] == today else 0
        if not 1 <= points <= rules.gift_max or sent + points > rules.gifts_per_day_max:
            raise No("TRANSFER_LIMIT")
        return self._spent(books, points)

    def _merged(self, asked: Asked, books: Books, today: int, other: Books | None) -> Moves:
        if other is not None:
            homes = (self._home(asked.other), self._home(asked.member))
            require(homes == (books.account, other.account), f"{asked.key} merges others than {homes}", asked.key)
        both = (books, other) if other else (books,)
        for each in both:
            self._require_open(each)
        for each in both:
            self._require_active(each)
        if any(each.lapses for each in both):
            raise No("HOLDS_OPEN")
        return _arrived(other.pots, today) if other else {}

    def _unmerged(self, asked: Asked, books: Books, at: int, other: Books | None) -> Moves:
        account = self.accounts.get(asked.member, "")
        if self.lives_in.get(account) != books.account:
            raise No("SURVIVOR_MERGED" if account in self.lives_in else "NOT_MERGED")
        merged = self.merges[account]
        ends = merged.at + self.rules.undo_days * 86_400_000
        # What counts is the clock of the request, which may be behind the account's.
        if at >= ends and (other is None or min(asked.sent) >= ends):
            raise No("UNDO_WINDOW_PASSED")
        if other is None:
            return {}
        require(other.account == account, f"{asked.key} reopens {other.account}, not {account}", asked.key)
        # Points that were pending when they came are what they are now; of everything, as much as there is.
        moves: Moves = {}
        for pot, points in _arrived(merged.moves, self.rules.day(max(at, books.at))).items():
            has = books.pots.get(pot, 0)
            moves[pot] = -max(points, has) if pot == DEBT else -min(points, has)
        return moves

    # --- refusals -----------------------------------------------------------------------------------------------------

    def _recorded_refusals(self) -> dict[tuple[str, int], list[tuple[str, Item]]]:
        """Refusals that stand in claims, by the record that was the account's newest when they were decided."""
        found: dict[tuple[str, int], list[tuple[str, Item]]] = defaultdict(list)
        for key, item in self.found.claims.items():
            if "r" in item:
                place = (item["a"]["S"], int(item["s"]["N"])) if "a" in item else ("", 0)
                found[place].append((key, item))
        return found

    def _check_recorded(self, key: str, item: Item, books: Books) -> None:
        """A refusal in a claim was right on the account as it was."""
        code, at = item["r"]["L"][0]["S"], int(item["at"]["N"])
        candidates = self.asked.get(key, [])
        wrong = f"nobody has asked for {key}"
        for asked in sorted(candidates, key=lambda each: not any(heard.is_decided for heard in each.heard)):
            before = books.copy()
            before.pass_to(at, self.rules)
            try:
                require(at in asked.sent, f"{key} was refused at {at}, when nobody asked", key)
                self._check_no(asked, code, before, at)
            except Violation as violation:
                wrong = str(violation)
                continue
            self.owners.setdefault(key, asked)
            return
        raise Violation(f"{key} should not have been refused ({code}) after {books.account} {books.seq}: {wrong}", key)

    def _check_no(self, asked: Asked, code: str, books: Books, at: int) -> None:
        """The refusal is what the request must come to on the account as it is, or is for the sake of something else that was
        so at some moment."""
        foreign = code in _FOREIGN.get(asked.what, ())
        why = "would have been done"
        if asked.what != "memberEnroll":
            try:
                self._decide(asked, books, at)
            except No as no:
                if no.code == code:
                    return
                why = no.code
        if asked.what == "purchaseReturn" and code in ("PURCHASE_NOT_FOUND", "RETURN_EXCEEDS_PURCHASE"):
            foreign = True
        require(foreign, f"{asked.key} was refused with {code} on {books.account} {books.seq}: {why}", asked.key)
        self.later.append(lambda: require(self._was_ever(asked, code), f"{asked.key}: {code} was never so", asked.key))

    def _was_ever(self, asked: Asked, code: str) -> bool:
        names = [asked.member, asked.other]
        if asked.what == "purchaseReturn" and asked.of in self.purchases:
            names.append(self.purchases[asked.of].asked.member)
        accounts = [self.accounts[name] for name in names if name in self.accounts]
        # Where somebody lived on in somebody else, it may have been about them.
        for _ in range(len(self.books)):
            accounts += [
                each for pair in self.ever if pair[0] == "together" and set(pair) & set(accounts) for each in pair[1:]
            ]
            accounts = sorted(set(accounts))
        match code:
            case "MEMBER_CLOSED":
                return any(("CLOSED", account) in self.ever for account in accounts)
            case "MEMBER_NOT_FOUND":
                # Whoever is closed is found by nothing any more, and members are told of nobody who is blocked.
                return any((how, account) in self.ever for account in accounts for how in ("CLOSED", "BLOCKED"))
            case "MEMBER_BLOCKED":
                return any(("BLOCKED", account) in self.ever for account in accounts)
            case "HOLDS_OPEN":
                return any(("held", account) in self.ever for account in accounts)
            case "TRANSFER_TO_SELF" | "MERGE_WITH_SELF" | "SURVIVOR_MERGED":
                return any(each[0] == "together" for each in self.ever)
            case "NOT_MERGED":
                # Everybody was their own once; but nobody is told so who was asked about later.
                return True
            case "REDEMPTION_ENDED":
                return self.places[asked.of] in self.cancelled
            case "ALREADY_ENROLLED":
                return ("phone", asked.phone or "") in self.ever
            case "RETURN_EXCEEDS_PURCHASE":
                return self._exceeds(asked)
        return False

    def _exceeds(self, asked: Asked) -> bool:
        try:
            self._returned(self.purchases[asked.of], asked)
        except No:
            return True
        return False

    # --- answers ------------------------------------------------------------------------------------------------------

    def check_answers(self) -> None:
        """What callers were told is what is there, and they were all told the same."""
        for key, rivals in self.asked.items():
            decided = [asked for asked in rivals if any(heard.is_decided for heard in asked.heard)]
            require(len(decided) <= 1, f"two requests with the key {key} were both answered", key)
            for asked in rivals:
                self._check_told(asked, rivals)
        self._check_returns()
        self._check_order()

    def _check_told(self, asked: Asked, rivals: Sequence[Asked]) -> None:
        key = asked.key
        answers = [heard for heard in asked.heard if heard.is_decided]
        told = {heard.told for heard in answers}
        require(len(told) <= 1, f"{asked.name} was answered in {len(told)} ways: {told}", key)
        for heard in asked.heard:
            if heard.code == "IDEMPOTENCY_KEY_REUSED":
                require(len(rivals) > 1, f"{key} was used once, and is said to be used before", key)
                require(not answers, f"{key} belongs to whoever was answered", key)
            elif not heard.is_decided:
                before = [each for each in answers if each.ended <= heard.started]
                require(not before, f"{asked.name} was answered, and later heard {heard}", key)
        if not answers:
            return
        answer = answers[0]
        require(
            self.owners.get(key, asked) is asked, f"{key} is another request's, and this one was told {answer}", key
        )
        place = self.places.get(key)
        if answer.place is None:
            self._check_refused(asked, answer)
            return
        require(place == answer.place, f"{asked.name} was told {answer.place}, and stands at {place}", key)
        account, seq, index = answer.place
        entry = self.found.logs[account][seq - 1].entries[index]
        require(not entry.code, f"{asked.name} was told yes, and {entry.code} stands there", key)
        if asked.what != "memberEnroll":
            there = (entry.points, entry.balance)
            require(
                there == (answer.points, answer.balance),
                f"{asked.name} was told {answer}, and {there} stands there",
                key,
            )

    def _check_refused(self, asked: Asked, answer: Heard) -> None:
        """Whoever was told no stays without: only the refusal itself is remembered."""
        code = ""
        if asked.key in self.places:
            account, seq, index = self.places[asked.key]
            entry = self.found.logs[account][seq - 1].entries[index]
            require(
                entry.kind == "REFUSED",
                f"{asked.name} was refused ({answer.code}), and is booked as {entry}",
                asked.key,
            )
            code = entry.code
        remembered = self.found.claims if asked.what != "purchaseReturn" else self.found.returns
        item = remembered.get(asked.key, {})
        codes = {code, item["r"]["L"][0]["S"] if "r" in item else ""} - {""}
        require(
            codes == {answer.code}, f"{asked.name} was refused ({answer.code}), and {codes} is remembered", asked.key
        )

    def _check_order(self) -> None:
        """Whoever was asked after somebody else was answered comes after them, and a no is said in view of all that."""
        answered: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for asked in self._all():
            ended = [heard.ended for heard in asked.heard if heard.place]
            if ended and asked.key in self.places:
                account, seq, _ = self.places[asked.key]
                answered[account].append((min(ended), seq))
        for key, owner in self.owners.items():
            if owner.began is None:
                continue
            if key in self.places:
                account, place, _ = self.places[key]
                # The record that was there when it was decided.
                seen = place - 1
            elif key in self.found.claims and "s" in self.found.claims[key]:
                claim = self.found.claims[key]
                account, seen = claim["a"]["S"], int(claim["s"]["N"])
            else:
                continue
            known = max((seq for ended, seq in answered[account] if ended <= owner.began), default=0)
            is_own = key in self.places and known == self.places[key][1]
            require(
                known <= seen or is_own, f"{key} was decided at {account} {seen}, and {known} was answered before", key
            )

    def _all(self) -> Iterable[Asked]:
        return (asked for rivals in self.asked.values() for asked in rivals)

    def _check_returns(self) -> None:
        """Returns in all: none beyond its purchase, and whatever waited for a purchase came with it."""
        for key, item in self.found.returns.items():
            require(key in self.asked, f"nobody has asked for {key}", key)
            asked = self.owners.get(key, self.asked[key][0])
            if "r" in item:
                code = item["r"]["L"][0]["S"]
                require(key not in self.places, f"{key} was refused, and is booked", key)
                is_right = any(self._was_ever(each, code) for each in self.asked[key])
                require(is_right, f"{key} was refused with {code}, which was never so", key)
                continue
            is_booked = key in self.places
            purchase = self.places.get(asked.of)
            waits = "s" not in item
            where = self.places[key][:2] if is_booked else None
            if not waits:
                require(
                    where == (item["a"]["S"], int(item["s"]["N"])), f"{key} is said to be at {item}, not {where}", key
                )
            elif purchase is not None and asked.of in self.purchases:
                require(where == purchase[:2], f"{key} has waited for {asked.of}, and did not come with it", key)
        for key, bought in self.purchases.items():
            require(bought.returned <= bought.asked.amount, f"more of {key} came back than was bought", key)
        for asked in self._all():
            if asked.what != "purchaseReturn":
                continue
            is_kept = asked.key in self.found.returns or not (any(each.parked or each.place for each in asked.heard))
            require(is_kept, f"{asked.key} was accepted, and is not kept", asked.key)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def check_whole(self) -> None:
        """What only all accounts and all items together can show."""
        worth = sum(books.worth for books in self.books.values())
        require(worth == self.came, f"the accounts are worth {worth}, and {self.came} points came and went")
        ended = set(self.found.ends)
        require(ended == self.cancelled, f"ends {ended ^ self.cancelled} and cancellations differ")
        for key, place in self.places.items():
            if key.startswith("~r."):
                continue
            claim = self.found.claims.get(key)
            require(claim is not None, f"{key} is booked, and nothing remembers it", key)
            assert claim is not None
            require("r" not in claim, f"{key} was refused for good, and is booked at {place}", key)
            seen = int(claim["s"]["N"]) if "s" in claim else 0
            is_behind = claim["a"]["S"] != place[0] or place[1] > seen
            require(is_behind, f"{key} stands at {place}, before its claim", key)
        for key, item in self.found.claims.items():
            require(
                "f" in item or any(each["PK"]["S"] == f"K#{key}" for each in self.found.returns.values()),
                f"{key} is parked, and nothing waits",
                key,
            )
        self._check_people()

    def _check_people(self) -> None:
        """Every way to find a member leads to whoever has it in their profile, and to nobody else."""
        expected = {}
        for account, phone in self.phones.items():
            profile = self.found.profiles[account]
            said = _text(profile, "ph")
            require(said == phone, f"the phone of {account} is {said}, not {phone}", account)
            if self.books[account].status != "CLOSED":
                found_by = {"phone": phone, "external": _text(profile, "x"), "subject": _text(profile, "lg")}
                expected |= {self._lookup(*each): account for each in found_by.items() if each[1] is not None}
        differ = dict(expected.items() ^ self.found.lookups.items())
        require(not differ, f"look-ups lead elsewhere: {differ}", *differ.values())

    def _lookup(self, kind: str, value: str | None) -> str:
        digest = hmac.new(self.rules.pepper, f"{kind}#{value}".encode(), hashlib.sha256).hexdigest()
        return f"{kind}#{digest}"


def audit(items: Iterable[Item], asked: Sequence[Asked], rules: Rules) -> Auditor:
    """Raises `Violation` for the first thing in a table that does not follow from what was asked, or was told otherwise."""
    auditor = Auditor(_contents(items), rules)
    for each in asked:
        auditor.asked.setdefault(each.key, []).append(each)
    auditor.follow()
    auditor.check_answers()
    auditor.check_whole()
    for account, log in auditor.found.logs.items():
        shard = zlib.crc32(account.encode()) % rules.shards
        require(log and shard < rules.shards, f"{account} is in no shard", account)
    return auditor


def _text(item: Item, name: str) -> str | None:
    return str(item[name]["S"]) if name in item else None
