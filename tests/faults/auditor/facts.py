"""What the auditor is told: the program in force, what was asked, and what was answered."""

from collections.abc import Mapping
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
# Stands for the day of points that expire with the member's next silence.
ROLLING = 0
NEVER = 10_000_000
HOLDS_MAX = 8
PARKED_MAX = 10


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
    # Whether points live until a member was silent for the time of the expiry, and what ends a silence.
    rolls: bool = False
    activities: frozenset[str] = frozenset({"PURCHASE", "REDEMPTION", "CAPTURE"})
    # The moment "nth": points for so manieth a purchase.
    nth: int = 0
    nth_points: int = 0
    # The tier "gold": points of a calendar year that reach it, and how much a purchase then earns in percent.
    gold: int = 0
    gold_percent: int = 100

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
    receives, survives, or is said to have bought what comes back. `of` is the key of the purchase, redemption or hold it is
    about. `basket` are quantities and amounts of lines. `part` of a purchase is `("amount", minor units)`,
    `("lines", {index: quantity})` or None for all that is left.
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
