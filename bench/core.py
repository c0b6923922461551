"""CPU of the rules alone: deciding and booking, without a store, on accounts of 1 and of 60 buckets.

    python -m bench.core

What is timed is `ledger.book` with the decision of each operation: time's passages, the lines, the state after them.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from bench import report, stage
from bench.report import Figure, Section
from domain import accounts, days, ledger
from domain.accounts import State
from domain.entries import Entry, EntryKind, Key, Record
from domain.programs import Program

ROUNDS, CALLS = 30, 200
# A decision on a full account against one on an account with a single bucket: a copy of a dictionary, not more.
RATIO_MAX = 4.0


def measure(program: Program) -> list[Section]:
    """Microseconds an operation."""
    section = Section("CPU of the rules alone (µs)", ("", "1 bucket", "60 buckets", "ratio"))
    now = datetime.now(UTC).replace(microsecond=0)
    for name in _decisions(program, now):
        micros = [_micros(program, _account(now, buckets), name, now) for buckets in (1, 60)]
        few, many = micros
        section.add(
            name,
            f"{few:.1f}",
            f"{many:.1f}",
            f"{many / few:.1f}",
            figures=[
                Figure(f"{name}: CPU, 1 bucket", few, "µs"),
                Figure(f"{name}: CPU, 60 buckets", many, "µs"),
                Figure(f"{name}: CPU, 60 buckets to 1", many / few, "x", RATIO_MAX, noisy=True),
            ],
        )
    section.notes.append(f"medians of {ROUNDS} rounds of {CALLS} calls")
    return [section]


def _account(now: datetime, buckets: int) -> Record:
    first = days.day_of(now, stage.demo_program().zone) + 40
    state = State(now - timedelta(days=1), {first + 31 * each: 100_000 for each in range(buckets)})
    lines = accounts.hold(state, 1, 500)
    state = accounts.fold(state, lines, at=state.at, lapses_at=now + timedelta(days=1))
    return Record("01JBENCH00000000000000CORE", 1, (), state)


def _decisions(program: Program, now: datetime) -> Mapping[str, ledger.Decision]:
    today = days.day_of(now, program.zone)

    def entry(kind: EntryKind, lines: Callable[[State, Record], tuple[accounts.Line, ...]]) -> ledger.Decision:
        lapses_at = now + timedelta(minutes=15) if kind is EntryKind.HOLD else None
        return lambda before: Entry(kind, now, lines(before.state, before), 0, lapses_at=lapses_at)

    return {
        "nothing but time": entry(EntryKind.UPDATE, lambda _state, _before: ()),
        "earn": entry(
            EntryKind.PURCHASE,
            lambda state, _: accounts.earn(state, 12, expires=program.terms.expiry.day_for(today), today=today),
        ),
        "spend": entry(EntryKind.REDEMPTION, lambda state, _: accounts.spend(state, 400)),
        "hold": entry(EntryKind.HOLD, lambda state, before: accounts.hold(state, before.seq, 400)),
        "capture": entry(EntryKind.CAPTURE, lambda state, _: accounts.release(state, 1, today=today, captured=300)),
        "release": entry(EntryKind.RELEASE, lambda state, _: accounts.release(state, 1, today=today)),
    }


def _micros(program: Program, head: Record, name: str, now: datetime) -> float:
    decide = _decisions(program, now)[name]
    spent = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        for _ in range(CALLS):
            ledger.book(head, Key("bench", "1"), decide, now=now, zone=program.zone)
        spent.append((time.process_time_ns() - started) / CALLS / 1_000)
    return statistics.median(spent)


def main() -> None:
    """This part alone."""
    console = report.console()
    for section in measure(stage.demo_program()):
        report.show(console, section)


if __name__ == "__main__":
    main()
