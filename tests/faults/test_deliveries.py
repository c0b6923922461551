"""The ledger under everything that can happen to deliveries: twice, late, out of order, at once, cut off, and across days.

Every operation there is, on few members and with few keys, by several clients over a network with every kind of fault; in the
middle of it accounts are merged, parted, blocked and closed, points mature and expire, holds lapse. Then the independent auditor
explains every item of the table by what was asked, and holds every answer against it.
"""

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain import accounts, ledger, moments, reversals
from domain.accounts import State
from domain.days import NEVER
from domain.entries import Claim, EntryKind, Key, PurchaseReturn, Record
from domain.expiry import Rolling
from domain.ledger import Trail
from domain.moments import Moment
from domain.refusals import OutcomeUnknown, Refusal
from domain.store import NOTHING, Beside, Store
from domain.verification import Replay, check_peer, has_peer
from storage import items
from storage.audit import Chain
from tests.domain import books
from tests.faults import auditor, figures
from tests.faults.auditor import Violation, audit
from tests.faults.auditor.stored import NAMES
from tests.faults.engine import Dynamo, Item
from tests.faults.faults import Fault, Line
from tests.faults.simulation import Report, Simulation, seeds
from tests.faults.traffic import MANY_MERGES, MANY_RETURNS, Early, Patient, Traffic, on


def delivered(
    seed: int,
    store: Callable[[Line], Patient] = Patient,
    *,
    mix: Mapping[str, float] | None = None,
    clients: int = 6,
    **more: Any,
) -> tuple[Traffic, Report]:
    """A few busy weeks of a small program: what was asked, and what came of it."""
    traffic, table = Traffic(seed, mix=mix), Dynamo()
    traffic.prepare(on(table))
    simulation = Simulation(
        seed,
        traffic.operations,
        store,
        clients=clients,
        table=table,
        unknown=(OutcomeUnknown, Early),
        refusals=(Refusal,),
        **more,
    )
    traffic.order = lambda: simulation._network.requests
    report = simulation.run()
    traffic.heard(report.answers)
    return traffic, report


def check(traffic: Traffic, report: Report) -> None:
    """The independent auditor, and the two that know the program: the tests' and the one that comes with it."""
    assert isinstance(report.table, Dynamo)
    found = report.table.items()
    try:
        audit(found, traffic.asked, traffic.rules)
        check_logs(found, traffic.rules.zone)
    except Violation as violation:
        violation.add_note(report.told(*violation.words[:1]))
        raise
    except AssertionError as failure:
        failure.add_note(report.told())
        raise


def check_logs(found: Iterable[Item], zone: ZoneInfo) -> None:
    """The logs by what `regulars verify` would say of them, and by the auditor of the domain's tests."""
    logs: dict[str, list[Record]] = {}
    rolled: dict[tuple[str, int], Sequence[int | None]] = {}
    findings = []
    for item in sorted(found, key=lambda each: (each["PK"]["S"], each["SK"]["S"])):
        if not item["SK"]["S"].startswith("E#"):
            continue
        account = item["PK"]["S"][2:]
        if account not in logs:
            logs[account], chain, replay = [], Chain(account), Replay(account, (zone,))
        record, wrong = chain.read(item)
        assert record is not None, wrong
        logs[account].append(record)
        findings += wrong + replay.follow(record)
        rolled[account, record.seq] = replay.rolled
    for log in logs.values():
        for record in log:
            for entry, rolling in zip(record.entries, rolled[record.account, record.seq], strict=True):
                if has_peer(entry):
                    assert entry.peer is not None
                    other = logs[entry.peer[0]][entry.peer[1] - 1]
                    findings += check_peer(record, entry, other, rolling=rolling)
    assert not findings, findings
    books.check_all(logs, zone)


def numbers(traffic: Traffic, report: Report) -> Counter[str]:
    """What a run came to, for the figures."""
    counts = Counter(runs=1, requests=report.requests, crashes=report.crashes)
    counts["deliveries"] = report.deliveries - traffic.early
    counts["unknown"] = report.unknown - traffic.early
    counts.update({f"fault {fault.value}": times for fault, times in report.faults.items()})
    for asked in traffic.asked:
        for heard in asked.heard:
            counts[f"answer {heard.code or ('PARKED' if heard.parked else 'OK')}"] += 1
    return counts


# --- the ledger -------------------------------------------------------------------------------------------------------

# Some 280 deliveries each.
RUNS = 48


@pytest.mark.timeout(7_200)
def test_whatever_happens_to_deliveries_the_books_and_the_answers_are_right() -> None:
    total: Counter[str] = Counter(violations=0)
    kinds: set[str] = set()
    try:
        for seed in seeds(RUNS):
            total["first seed"] = total["first seed"] if total["runs"] else seed
            traffic, report = delivered(seed)
            total += numbers(traffic, report)
            try:
                check(traffic, report)
            except AssertionError:
                total["violations"] += 1
                raise
            assert isinstance(report.table, Dynamo)
            kinds |= {entry["M"]["k"]["S"] for item in report.table.items() for entry in item.get("e", {"L": []})["L"]}
    finally:
        figures.note("deliveries", {"violations": 0, **total})

    # Every fault and every kind of entry has been there but those of campaigns, which no caller asks for
    # (test_campaign_deliveries.py meets them); and in a soak every final refusal.
    if total["runs"] >= RUNS:
        assert all(total[f"fault {fault.value}"] for fault in Fault), total
        assert kinds == NAMES.keys() - {"c", "d"}
    if total["runs"] >= 10 * RUNS:
        assert {name.removeprefix("answer ") for name in total if name.startswith("answer ")} >= FINAL | {
            "OK",
            "PARKED",
        }


# What a key can be answered for good with the operations of this traffic.
FINAL = {
    "ALREADY_BLOCKED",
    "ALREADY_ENROLLED",
    "CAPTURE_EXCEEDS_HOLD",
    "HOLDS_OPEN",
    "HOLD_ENDED",
    "INSUFFICIENT_POINTS",
    "MEMBER_BLOCKED",
    "MEMBER_CLOSED",
    "NOT_BLOCKED",
    "NOT_MERGED",
    "REDEMPTION_ENDED",
    "RETURN_EXCEEDS_PURCHASE",
    "SURVIVOR_MERGED",
    "TRANSFER_LIMIT",
}


def test_a_calm_network_answers_everything_at_the_first_try() -> None:
    traffic, report = delivered(1, rates={}, twice=0)

    check(traffic, report)
    assert not report.faults
    assert not report.crashes


# --- ledgers that lack one thing --------------------------------------------------------------------------------------


class Blind(Patient):
    """Writes records over whatever stands there."""

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        if beside:
            super().append(record, beside)
        else:
            self._call("PutItem", {"Item": items.record_item(record)})


class Forgetful(Patient):
    """Says no and does not write it down."""

    def remember(self, claim: Claim) -> None:
        if claim.refusal is None:
            super().remember(claim)


class Unordered(Patient):
    """Reads what came back of a purchase before it reads the account that this is judged on."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._known: dict[Key, Sequence[PurchaseReturn]] = {}

    def claim(self, key: Key) -> Claim | None:
        self._known[key] = super().returns(key)
        return super().claim(key)

    def returns(self, purchase: Key) -> Sequence[PurchaseReturn]:
        return self._known.pop(purchase, None) or super().returns(purchase)


class Halves(Patient):
    """Writes both records of a transfer or a merge, one after the other."""

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        super().append(record, replace(beside, records=()))
        for other in beside.records:
            super().append(other)


class Dateless(Patient):
    """Notes no day on which something is due."""

    def note_due(self, account: str, due: Iterable[int]) -> None:
        pass


class Late(Patient):
    """Says no by what was a while ago."""

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        return super().head(account)


def no_fingerprints(patch: pytest.MonkeyPatch) -> None:
    """Every key is taken for whatever comes with it."""
    patch.setattr(ledger, "fingerprint", lambda *_: b"the same for all")


def skips_a_record(patch: pytest.MonkeyPatch) -> None:
    """The search for a key leaves out the first record it should look at."""
    newer = Trail._newer

    def skipping(trail: Trail) -> Any:
        for record in newer(trail):
            if (record.account, record.seq) != (trail.claim.account, trail.claim.seq_seen + 1):
                yield record

    patch.setattr(Trail, "_newer", skipping)


def stays_with_the_survivor(patch: pytest.MonkeyPatch) -> None:
    """What was claimed while two accounts were one is booked on the survivor, also when they are two again."""
    found = ledger.located

    def forgetting(store: Store, account: str, *, strong: bool = False) -> tuple[Record, tuple[Any, ...]]:
        return found(store, account, strong=strong)[0], ()

    patch.setattr(ledger, "located", forgetting)


def no_answer_is_a_no(patch: pytest.MonkeyPatch) -> None:
    """What could not be read after the claim is written down as a refusal."""
    book = ledger.book

    def deciding(*arguments: Any, **more: Any) -> Any:
        try:
            return book(*arguments, **more)
        except OutcomeUnknown as unknown:
            raise Unanswered("Nobody knows.") from unknown

    patch.setattr(ledger, "book", deciding)


class Unanswered(Refusal):
    """Stands for a refusal that none is."""

    final = True


def late_jobs_count(patch: pytest.MonkeyPatch) -> None:
    """Time passes for an account only when somebody books it."""
    advance = accounts.advance

    def standing_still(state: State, now: datetime, zone: ZoneInfo) -> Any:
        return advance(state, min(now, state.at), zone)

    patch.setattr(accounts, "advance", standing_still)


def silences_spare_what_waits(patch: pytest.MonkeyPatch) -> None:
    """A silence takes what is there, and what is held or pending can be spent for ever."""
    silenced = accounts._silenced

    def sparing(state: State, until: int) -> Any:
        return tuple(replace(line, expires=NEVER) if line.points > 0 else line for line in silenced(state, until))

    patch.setattr(accounts, "_silenced", sparing)


def late_receipts_move_the_day_back(patch: pytest.MonkeyPatch) -> None:
    """The rolling day is that of whatever was told last."""
    patch.setattr(Rolling, "moved", lambda rolling, active: replace(rolling, until=rolling.silent_until(active)))


def moments_come_again(patch: pytest.MonkeyPatch) -> None:
    """What a moment brings comes with every purchase from then on."""
    brought = moments.brought

    def forgetting(moment: Moment, state: State, entry: Any) -> int:
        mark = state.marks.get(moments.mark_of(moment), 0)
        is_purchase = entry.kind is EntryKind.PURCHASE and state.marks[moments.PURCHASES] > moment.number
        return mark + 1 if is_purchase else brought(moment, state, entry)

    patch.setattr(moments, "brought", forgetting)


def returns_leave_the_tier_alone(patch: pytest.MonkeyPatch) -> None:
    """What came back goes on counting towards a tier."""
    patch.setattr(reversals, "_disqualified", lambda *_: ())


def nothing(_: pytest.MonkeyPatch) -> None:
    pass


@pytest.mark.parametrize(
    ("store", "change"),
    [
        (Blind, nothing),
        (Forgetful, nothing),
        (Unordered, nothing),
        (Halves, nothing),
        (Dateless, nothing),
        (Late, nothing),
        (Patient, no_fingerprints),
        (Patient, skips_a_record),
        (Patient, stays_with_the_survivor),
        (Patient, no_answer_is_a_no),
        (Patient, late_jobs_count),
        (Patient, silences_spare_what_waits),
        (Patient, late_receipts_move_the_day_back),
        (Patient, moments_come_again),
        (Patient, returns_leave_the_tier_alone),
    ],
)
def test_a_ledger_that_lacks_one_thing_is_found_out(
    store: type[Patient], change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch)
    # Where what is broken shows only in a race, there is more of what races.
    mix = {Unordered: MANY_RETURNS, Halves: MANY_MERGES}.get(store)
    mix = MANY_MERGES if change is stays_with_the_survivor else mix

    def is_found_out(seed: int) -> bool:
        try:
            traffic, report = delivered(seed, store, mix=mix, clients=8)
            assert isinstance(report.table, Dynamo)
            audit(report.table.items(), traffic.asked, traffic.rules)
        except Exception:
            # The auditor says so, or the ledger has lost its own way.
            return True
        return False

    assert any(is_found_out(seed) for seed in range(40))


# --- the auditor ------------------------------------------------------------------------------------------------------


def test_the_auditor_knows_nothing_of_the_program() -> None:
    imported = [
        name
        for module in Path(auditor.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]

    others = {name for name in imported if not name.startswith("tests.faults.auditor")}
    assert {name.split(".")[0] for name in others} <= {*sys.stdlib_module_names, "dateutil"}
