"""A day of a large program: planned and booked in this process, with a thousand members and with a million.

    python -m bench.agenda [--quick]

Of a hundred members two have points that expired yesterday, and two have points that expire in 30 days and are reminded. The
program has no moments. The store is one in memory, so what is timed is the planning, the rules and the bookings themselves; calls
and write units are counted, which is what a table would be asked for.
"""

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bench import report, stage, units
from bench.report import Figure, Section
from domain import agenda, days
from domain.accounts import State
from domain.agenda import Partition, Round, Turn
from domain.entries import Entry, EntryKind, Record
from domain.members import Profile
from domain.notices import Notice
from domain.programs import Program
from domain.store import NOTHING, Beside, Home
from storage import items, keys
from storage.memory import Memory

MEMBERS = (1_000, 10_000, 100_000, 1_000_000)
MEMBERS_QUICK = (1_000, 10_000, 100_000)
# One member in so many expires, and one in so many is reminded.
EVERY = 50
SHARDS = 256
# A due member may cost so much more among a million than among a thousand.
CPU_RATIO_MAX = 1.3


class Ledger(Memory):
    """A store in memory that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.write_units = 0

    def add(self, record: Record, profile: Profile) -> None:
        """A member as they are."""
        self._logs[record.account] = [record]
        self._profiles[record.account] = profile

    @property
    def booked(self) -> int:
        """Members with more than they began with."""
        return sum(len(log) > 1 for log in self._logs.values())

    @property
    def told(self) -> int:
        """Notices that were given."""
        return sum(map(len, self._notices.values()))

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        """Counted."""
        self.calls["home"] += 1
        return super().home(account, entries=entries, strong=strong)

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        """Counted."""
        self.calls["head"] += 1
        return super().head(account, strong=strong)

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        """Counted, with its units."""
        self.calls["append"] += 1
        self.write_units += units.write_units(items.record_item(record))
        super().append(record, beside)

    def note_due(self, account: str, due: Iterable[int]) -> None:
        """Counted only: nobody reads a row that is noted today."""
        noted = list(due)
        self.calls["note_due"] += len(noted)
        self.write_units += len(noted)

    def give_notice(self, account: str, notice: Notice) -> bool:
        """Counted, with its units."""
        self.calls["give_notice"] += 1
        self.write_units += units.write_units(items.notice_item(account, notice))
        return super().give_notice(account, notice)


class Rows:
    """`domain.agenda.Agenda`: due rows by partition, counted as they are read."""

    shards = SHARDS

    def __init__(self, mark: int) -> None:
        self._rows: dict[Partition, list[str]] = {}
        self._marks = dict.fromkeys(Round, mark)
        self.partitions_read = 0
        self.rows_read = 0

    def add(self, day: int, account: str) -> None:
        """Something is due for an account on a day."""
        self._rows.setdefault((day, keys.shard(account, SHARDS)), []).append(account)

    def accounts(self, partition: Partition, *, after: str = "") -> Iterator[str]:
        """A partition."""
        rows = [account for account in self._rows.get(partition, []) if account > after]
        self.partitions_read += 1
        self.rows_read += len(rows)
        return iter(rows)

    def mark(self, round_: Round) -> int | None:
        """The mark of a round."""
        return self._marks.get(round_)

    def move_mark(self, round_: Round, day: int) -> None:
        """Moves it."""
        self._marks[round_] = day


@dataclass(frozen=True, slots=True)
class Day:
    """What a day came to: visits, CPU time of one, calls and write units of all, and what the planner read."""

    visited: int
    micros: float
    calls: int
    write_units: int
    partitions_read: int
    rows_read: int


def measure(program: Program, *, quick: bool) -> list[Section]:
    """Both rounds of a day, at each size."""
    program = replace(program, moments=())
    section = Section(
        "A day of jobs: one member in 50 expires, one in 50 is reminded",
        (
            "members",
            "visits",
            "µs a visit",
            "of 1,000",
            "calls a visit",
            "write units a visit",
            "rows a visit",
            "partitions",
        ),
    )
    base = 0.0
    for members in MEMBERS_QUICK if quick else MEMBERS:
        day = _day(program, members)
        base = base or day.micros
        ratio = Figure(f"CPU of a visit, {members:,}", day.micros / base, "times", at_most=CPU_RATIO_MAX, noisy=True)
        rows = Figure(f"due rows read a visit, {members:,}", day.rows_read / day.visited, "rows", at_most=1)
        written = Figure(f"write units a visit, {members:,}", day.write_units / day.visited, "WRU", at_most=1)
        calls = Figure(f"calls a visit, {members:,}", day.calls / day.visited, "calls", at_most=2)
        section.add(
            f"{members:,}",
            f"{day.visited:,}",
            f"{day.micros:.0f}",
            f"{ratio.value:.2f}",
            f"{calls.value:.2f}",
            f"{written.value:.2f}",
            f"{rows.value:.2f}",
            f"{day.partitions_read:,}",
            figures=(ratio, calls, written, rows),
        )
    section.notes.append(
        f"A visit is one strong read and one write: an expiry, or a reminder. The planner reads {SHARDS} partitions of due rows "
        "for each day that matters, and nothing of members for whom nothing is due."
    )
    return [section]


def _day(program: Program, members: int) -> Day:
    now = datetime(2030, 6, 1, 16, tzinfo=UTC)
    today = days.day_of(now, program.zone)
    store, rows = Ledger(), Rows(today - 1)
    _fill(store, rows, members, today, now, stage=max(program.notices.stages))
    turns: list[Turn] = []
    gc.collect()
    gc.disable()
    began = time.process_time()
    for round_ in (Round.BOOK, Round.TELL):
        agenda.plan(rows, program, round_, now=now, send=turns.extend)
    visited = 0
    for turn in turns:
        for account in turn.accounts:
            agenda.visit(store, program, account, turn.round, now=now)
            visited += 1
    seconds = time.process_time() - began
    gc.enable()
    assert store.booked == store.told == members // EVERY, "everybody who was due was booked, or told, once"
    return Day(
        visited=visited,
        micros=seconds / visited * 1e6,
        calls=sum(store.calls.values()),
        write_units=store.write_units,
        partitions_read=rows.partitions_read,
        rows_read=rows.rows_read,
    )


def _fill(store: Ledger, rows: Rows, members: int, today: int, now: datetime, *, stage: int) -> None:
    """What two members have in common is one object: a million of them fit into a gigabyte."""
    joined = now - timedelta(days=400)
    profile = Profile(enrolled_at=joined)
    entry = Entry(EntryKind.PURCHASE, joined, (), 0)
    marks = {"joined": today - 400, "active": today - 400, "purchases": 12}
    # What is due first, of whoever expires, is reminded, and neither.
    days_due = (today - 1, today + stage, today + 200)
    records = [
        Record("", 1, (entry,), State(joined, buckets={due: 120, due + 300: 80}, marks=marks)) for due in days_due
    ]
    for number in range(members):
        account = f"01JBENCHDAY{number:015}"
        which = min(number % EVERY, 2)
        store.add(replace(records[which], account=account), profile)
        rows.add(days_due[which], account)


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """Prints the section."""
    console = report.console()
    for section in measure(stage.demo_program(), quick="--quick" in arguments):
        report.show(console, section)


if __name__ == "__main__":
    main()
