"""CPU of the rules alone: deciding and booking, without a store, on accounts of 1 and of 60 buckets.

    python -m bench.core

What is timed is `ledger.book` with the decision of each operation: what time has done, the lines, the state after them.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bench import report, stage
from bench.report import Figure, Section
from domain import accounts, ledger, reversals
from domain.accounts import Line, State
from domain.entries import Entry, EntryKind, Key, PurchaseReturn, Record
from domain.ledger import Plan
from domain.programs import Program, ReturnPolicy

ROUNDS, ROUNDS_QUICK, CALLS = 30, 8, 50
# Dictionaries of 60 are copied where there were some of 1, a few times. Who takes in 60 buckets does so for each of them.
RATIO_MAX, RATIO_MAX_ALL = 3, 80
_ALL = "merge, the survivor"
ACCOUNT, OTHER = "01JBENCH00000000000000CORE", "01JBENCH0000000000000OTHER"


@dataclass(frozen=True, slots=True)
class Case:
    """An account, and what is decided about it."""

    state: State
    decide: ledger.Decision


def measure(program: Program, *, quick: bool) -> list[Section]:
    """Microseconds an operation."""
    section = Section("CPU of the rules alone (µs)", ("", "1 bucket", "60 buckets", "ratio"))
    now = datetime.now(UTC).replace(microsecond=0)
    rounds = ROUNDS_QUICK if quick else ROUNDS
    for (name, few), many in zip(_cases(program, now, 1).items(), _cases(program, now, 60).values(), strict=True):
        small, large = (_micros(program, case, now, rounds) for case in (few, many))
        section.add(
            name,
            f"{small:.0f}",
            f"{large:.0f}",
            f"{large / small:.1f}",
            figures=[
                Figure(f"{name}: CPU, 1 bucket", small, "µs"),
                Figure(f"{name}: CPU, 60 buckets", large, "µs"),
                Figure(
                    f"{name}: 60 buckets to 1",
                    large / small,
                    "x",
                    RATIO_MAX_ALL if name == _ALL else RATIO_MAX,
                    noisy=True,
                ),
            ],
        )
    section.notes.append(f"medians of {rounds} rounds of {CALLS} calls; points come out of the first bucket")
    section.notes.append("a merge: every bucket of one account goes to the other, which has none of these days")
    return [section]


def _cases(program: Program, now: datetime, buckets: int) -> Mapping[str, Case]:
    today, yesterday = stage.day_of(now), now - timedelta(days=1)
    first = today + 40
    full = stage.long_a_member(State(yesterday, {first + 31 * each: 100_000 for each in range(buckets)}))
    held = accounts.fold(full, accounts.hold(full, 1, 500), at=yesterday, lapses_at=now + timedelta(hours=1))
    lapsing = accounts.fold(full, accounts.hold(full, 1, 500), at=yesterday, lapses_at=now - timedelta(hours=1))
    owing = replace(full, debt=300)
    claim, bought = stage.purchase_made(ACCOUNT, 1, at=yesterday, expires=first, state=full)
    basket = claim.basket
    assert basket is not None
    others = tuple(Line(day + 7, points) for day, points in full.buckets.items())

    def entry(kind: EntryKind, lines: Callable[[State, Record], tuple[Line, ...]]) -> ledger.Decision:
        lapses_at = now + timedelta(minutes=15) if kind is EntryKind.HOLD else None
        return lambda before: Entry(kind, now, lines(before.state, before), 0, lapses_at=lapses_at)

    def nothing(_state: State, _before: Record) -> tuple[Line, ...]:
        return ()

    def give(before: Record) -> Plan:
        taken = accounts.spend(before.state, 400)

        def receive(there: Record) -> Entry:
            moved = {line.expires: -line.points for line in taken}
            return Entry(EntryKind.TRANSFER_IN, now, accounts.deposit(there.state, moved, today=today), 0)

        received = ledger.book(Record(OTHER, 1, (), full), None, receive, now=now, program=program)
        return Plan((Entry(EntryKind.TRANSFER_OUT, now, taken, 0, peer=(OTHER, 2)),), others=(received,))

    def give_back(before: Record) -> Entry:
        return reversals.planned(
            before.state,
            bought,
            basket,
            (),
            PurchaseReturn(claim.key, "r", b"", now, amount_minor=700),
            policy=ReturnPolicy.DEBT,
            actor=stage.till(),
            at=now,
            zone=program.zone,
        )

    earned = entry(
        EntryKind.PURCHASE,
        lambda state, _: accounts.earn(state, 12, expires=program.terms.expiry.day_for(today), today=today),
    )
    return {
        "nothing but time": Case(full, entry(EntryKind.UPDATE, nothing)),
        "a hold lapses": Case(lapsing, entry(EntryKind.UPDATE, nothing)),
        "a debt is paid": Case(owing, entry(EntryKind.UPDATE, nothing)),
        "earn": Case(full, earned),
        "spend": Case(full, entry(EntryKind.REDEMPTION, lambda state, _: accounts.spend(state, 400))),
        "hold": Case(full, entry(EntryKind.HOLD, lambda state, before: accounts.hold(state, before.seq, 400))),
        "capture": Case(
            held, entry(EntryKind.CAPTURE, lambda state, _: accounts.release(state, 1, today=today, captured=300))
        ),
        "release": Case(held, entry(EntryKind.RELEASE, lambda state, _: accounts.release(state, 1, today=today))),
        "return": Case(full, give_back),
        "transfer, both sides": Case(full, give),
        "merge, the duplicate": Case(
            full, lambda before: Entry(EntryKind.MERGED, now, accounts.emptied(before.state), 0, peer=(OTHER, 2))
        ),
        _ALL: Case(
            full,
            entry(
                EntryKind.MERGE,
                lambda state, _: accounts.deposit(state, {line.expires: line.points for line in others}, today=today),
            ),
        ),
    }


def _micros(program: Program, case: Case, now: datetime, rounds: int) -> float:
    head = Record(ACCOUNT, 1, (), case.state)
    spent = []
    for _ in range(rounds):
        started = time.process_time_ns()
        for _ in range(CALLS):
            ledger.book(head, Key("bench", "1"), case.decide, now=now, program=program)
        spent.append((time.process_time_ns() - started) / CALLS / 1_000)
    return statistics.median(spent)


def main() -> None:
    """This part alone."""
    console = report.console()
    for section in measure(stage.demo_program(), quick=False):
        report.show(console, section)


if __name__ == "__main__":
    main()
