"""The agenda: whose turn it is to be visited (domain/visits.py), read from the due rows of the days that matter.

A run plans from the last planned day (its *mark*) up to today, so a missed day, or a missed week, is caught up by the next run.
The mark moves when everything was handed on, and only forward: a run that is repeated, killed half-way, late, or at once with
another hands on more, never less, and a visit too many changes nothing.

There are three rounds. What time did is booked at any hour of the day; members are told in the first run outside quiet hours; and
in the first such run of a month everybody is looked at.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Protocol

from domain import days, limits, tiers, visits
from domain.messages import NotATurn, turn_values
from domain.programs import Program
from domain.store import Store

# The last day of points is theirs to its end, so an expiry is booked on the day after; what matures is there from the first
# instant of its day.
_BOOKED = frozenset({-1, 0})


class Round(Enum):
    """What a run is for; each has a mark of its own."""

    # What time did is booked.
    BOOK = "book"
    # Members have their dated moments, and are told what there is to tell, as early as the program says (`visits.offsets`).
    TELL = "tell"
    # Everybody is looked at, whether something is noted for them or not.
    EVERYBODY = "everybody"

    @property
    def is_telling(self) -> bool:
        """Whether members are told something: never in quiet hours."""
        return self is not Round.BOOK


@dataclass(frozen=True, slots=True)
class Turn:
    """Accounts to be visited in a round of the program's day `day`; up to `limits.TURN_ACCOUNTS_MAX` of them."""

    accounts: tuple[str, ...]
    day: int
    round: Round

    def text(self) -> str:
        """The turn as a message, which `turn_from` reads."""
        values = {"accounts": self.accounts, "day": self.day, "round": self.round.value}
        return json.dumps(values, separators=(",", ":"))


# Whose accounts: those with something due on a day, or all members where there is none; and which shard of them.
Partition = tuple[int | None, int]


class Agenda(Protocol):
    """What planning needs of a store."""

    @property
    def shards(self) -> int:
        """Over how many partitions the due rows of a day, and the members, are spread."""

    def accounts(self, partition: Partition, *, after: str = "") -> Iterator[str]:
        """The accounts of a partition that follow `after`, in their order, page by page to the last one; strong."""

    def mark(self, round_: Round) -> int | None:
        """The last planned day of a round, None before the first; strong."""

    def move_mark(self, round_: Round, day: int) -> None:
        """Notes that a round is planned up to `day`. A mark that stands there already, or further on, stays."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run handed on: turns, and accounts in them, of so many partitions."""

    round: Round
    day: int
    partitions: int
    turns: int
    accounts: int


def plan(
    agenda: Agenda, program: Program, round_: Round, *, now: datetime, send: Callable[[Iterable[Turn]], None]
) -> Planned:
    """Hands every turn of a round up to today to `send`, which returns when all are safe; then moves the mark.

    Memory holds a page of rows and what `send` keeps, however many accounts are due.
    """
    today = days.day_of(now, program.zone)
    mark = agenda.mark(round_)
    read = partitions(program, round_, mark=mark, today=today, shards=agenda.shards)
    counts = [0, 0]

    def counted() -> Iterator[Turn]:
        due = (account for partition in read for account in agenda.accounts(partition))
        for turn in turns(due, day=today, round_=round_):
            counts[0] += 1
            counts[1] += len(turn.accounts)
            yield turn

    send(counted())
    if read:
        agenda.move_mark(round_, today)
    return Planned(round_, today, len(read), *counts)


def partitions(program: Program, round_: Round, *, mark: int | None, today: int, shards: int) -> Sequence[Partition]:
    """The partitions that a run of `today` reads, each once; none when today, or for everybody its month, is planned already.

    Whoever is visited `o` days before a due day is in the rows of the days from mark + o + 1 to today + o. Due rows are kept for
    `limits.DUE_RETENTION`, so nothing before that is looked for. A mark ahead of today was set by a clock that went wrong; what
    it passed over cannot be known, so it counts as none.
    """
    if round_ is Round.EVERYBODY:
        is_new = mark is None or tiers.month_of(mark) < tiers.month_of(today)
        return [(None, shard) for shard in range(shards)] if is_new else []
    offsets = visits.offsets(program) if round_ is Round.TELL else _BOOKED
    oldest = today - limits.DUE_RETENTION.days
    last = oldest if mark is None or mark > today else max(mark, oldest)
    due = {day for offset in offsets for day in range(last + offset + 1, today + offset + 1)}
    return [(day, shard) for day in sorted(due) for shard in range(shards)]


def turns(accounts: Iterable[str], *, day: int, round_: Round) -> Iterator[Turn]:
    """The accounts in turns as full as they may be, each of them once in a turn."""
    batch: dict[str, None] = {}
    for account in accounts:
        batch[account] = None
        if len(batch) == limits.TURN_ACCOUNTS_MAX:
            yield Turn(tuple(batch), day, round_)
            batch = {}
    if batch:
        yield Turn(tuple(batch), day, round_)


def turn_from(text: str) -> Turn:
    """The turn that a message holds. Raises `NotATurn` for any other text."""
    values = turn_values(text, "accounts", "day", "round")
    accounts, day = values["accounts"], values["day"]
    if not (
        isinstance(accounts, list)
        and 0 < len(accounts) <= limits.TURN_ACCOUNTS_MAX
        and all(isinstance(each, str) and 0 < len(each) <= limits.ACCOUNT_LENGTH_MAX for each in accounts)
    ):
        raise NotATurn(f"accounts are not a list of 1 to {limits.TURN_ACCOUNTS_MAX} accounts")
    # bool is an int to Python, not to a planner.
    if type(day) is not int or not 0 < day < days.NEVER:
        raise NotATurn("day is no day")
    try:
        return Turn(tuple(accounts), day, Round(values["round"]))
    except ValueError:
        raise NotATurn("there is no such round") from None


def visit(store: Store, program: Program, account: str, round_: Round, *, now: datetime) -> visits.Visited:
    """The visit that an account has in a round. Refuses `OutcomeUnknown`."""
    is_everybody = round_ is Round.EVERYBODY
    return visits.visit(store, program, account, now=now, telling=round_.is_telling, everybody=is_everybody)


# --- quiet hours ------------------------------------------------------------------------------------------------------


def rounds(program: Program, now: datetime) -> tuple[Round, ...]:
    """The rounds that a run at `now` makes."""
    return tuple(round_ for round_ in Round if not (round_.is_telling and is_quiet(program, now)))


def is_quiet(program: Program, now: datetime) -> bool:
    """Whether nobody is told anything at `now`: from the first of the program's quiet hours up to the second, in its own time,
    over midnight where the first is the later one."""
    start, end = program.notices.quiet
    hour = now.astimezone(program.zone).hour
    return start <= hour < end if start <= end else hour >= start or hour < end


def quiet_ends(program: Program, day: int) -> datetime:
    """The instant (UTC) of a program's day at which quiet hours end."""
    on, (_, end) = days.date_of(day), program.notices.quiet
    # An hour that clocks jump over is the instant of the jump; of one that they show twice it is the first.
    return datetime(on.year, on.month, on.day, end, tzinfo=program.zone).astimezone(UTC)
