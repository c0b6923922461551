"""What the auditor finds: raw items, read by a reader of its own."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.faults.auditor.facts import DEBT, Item, Moves, Place, Pot, require

NAMES = {
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
    "T": "TIER",
    "S": "BONUS",
    "c": "CAMPAIGN_BONUS",
    "d": "CAMPAIGN_REVERSAL",
}
TIME = frozenset({"LAPSE", "MATURITY", "EXPIRY", "DEBT_PAYMENT"})
# What stands on two accounts at once, and what the other half is.
HALVES = {"TRANSFER_OUT": "TRANSFER_IN", "MERGE": "MERGED", "UNMERGE": "REOPENING"}
# What a purchase brings, in its record, by the rules of the program: nobody has asked for it.
BROUGHT = frozenset({"TIER", "BONUS"})
OTHER_HALVES = {other: main for main, other in HALVES.items()}


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
    rules: tuple[str, ...]
    standing: str
    rolls: int

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
        kind=NAMES[text("k")],
        at=at,
        moves=moves_in(text("l")),
        balance=balance,
        key=text("i"),
        code=str(fields["r"]["L"][0]["S"]) if "r" in fields else "",
        total=int(money[:-3]) if money else None,
        occurred=number("o"),
        lapses=number("z"),
        cause=(int(cause[0]), int(cause[2])) if cause[0] else None,
        peer=(account, int(seq)) if account else None,
        told=sum(int(each.partition("=")[2].partition("@")[0]) for each in text("x").split()),
        rules=tuple(each.partition("=")[0] for each in text("x").split()),
        standing=text("ti"),
        rolls=int(text("rl").partition(":")[0] or 0),
    )


def moves_in(text: str) -> Moves:
    moves: Counter[Pot] = Counter()
    for part in text.split():
        sign = max(part.rfind("+"), part.rfind("-"))
        moves[_pot(part[:sign])] += int(part[sign:])
    return tidy(moves)


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


def tidy(moves: Mapping[Pot, int]) -> Moves:
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
    # Accounts in the directory; and where accounts stand in a shard, of a day or of the directory.
    directory: set[str] = field(default_factory=set)
    shards: set[tuple[str, int]] = field(default_factory=set)


def contents_of(items: Iterable[Item]) -> Contents:
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
            found.shards.add((sk, int(shard)))
        elif kind == "DIR":
            found.directory.add(sk)
            found.shards.add((sk, int(name)))
        else:
            require(kind == "M" and sk.startswith("A#"), f"nobody writes {kind}#{name} {sk}", name)
    return found
