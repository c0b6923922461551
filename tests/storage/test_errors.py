"""What the table makes of each error of the database, method by method: `Contended`, `OutcomeUnknown`, or a bug that rises.

`Contended` promises that nothing was written. `OutcomeUnknown` promises nothing, and the same call again finds out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain.entries import Note
from domain.notices import Notice, NoticeKind
from domain.refusals import OutcomeUnknown
from domain.store import Beside, ClaimTaken, Contended, LookupTaken, ReturnTaken, Store, Update
from storage.table import Table
from tests.storage.tables import NOW, Tables
from tests.storage.wire import ATTEMPTS, Wire
from tests.storage.writing import (
    CARD,
    DAY,
    MAIL,
    NO,
    PHONE,
    PROFILE,
    came_back,
    claim,
    ended,
    enroll,
    key,
    record,
)


@dataclass(frozen=True)
class Write:
    """A method that writes, on accounts A (with a mail) and B. `found` is what it meets when it has been carried out before;
    None where writing again changes nothing."""

    call: Callable[[Store], object]
    found: type[Exception] | None = Contended
    is_transaction: bool = False


def beside(beside_of: Callable[[Store], Beside]) -> Callable[[Store], object]:
    # Always the second record of A, so that the call can be made again.
    return lambda store: store.append(record(2, prior=_first(store, "A")), beside_of(store))


def _first(store: Store, account: str) -> bytes:
    return store.records_after(account, 0, limit=1)[0].hash


NOTICE = Notice(NoticeKind.REMINDER, 45_000, "x.45030", NOW, 1)
# One that was given.
TOLD = replace(NOTICE, about="x.45007")
WRITES = {
    "remember": Write(lambda store: store.remember(claim("x", seq=1)), ClaimTaken),
    "remember a refusal": Write(lambda store: store.remember(replace(claim("x", seq=1), refusal=NO)), ClaimTaken),
    "complete": Write(lambda store: store.complete(replace(claim("parked", seq=1), had_returns=True)), ClaimTaken),
    "refuse_return": Write(lambda store: store.refuse_return(came_back("r1", refusal=NO)), ReturnTaken),
    "note_due": Write(lambda store: store.note_due("A", [DAY]), None),
    "keep_note": Write(lambda store: store.keep_note("A", Note("A note.", b"s" * 16, b"d" * 16)), None),
    "give_notice": Write(lambda store: store.give_notice("A", NOTICE), None),
    "mark_read": Write(lambda store: store.mark_read("A", replace(TOLD, read_at=NOW)), None),
    "append": Write(lambda store: store.append(record(2, prior=_first(store, "A")))),
    "append with another": Write(
        beside(lambda store: Beside(records=(record(2, account="B", prior=_first(store, "B")),))), is_transaction=True
    ),
    "append with a return": Write(beside(lambda _: Beside(booked=came_back("r1"))), is_transaction=True),
    "append with an end": Write(beside(lambda _: Beside(end=ended(1, 0))), is_transaction=True),
    "append with a profile": Write(
        beside(lambda _: Beside(update=Update("A", PROFILE, (CARD, PHONE), (MAIL,)))), is_transaction=True
    ),
    "park": Write(lambda store: store.park(came_back("r1")), ReturnTaken, is_transaction=True),
    "enroll": Write(lambda store: enroll(store, "C", CARD), ClaimTaken, is_transaction=True),
}
SINGLE = [name for name, write in WRITES.items() if not write.is_transaction]
TRANSACTIONS = [name for name, write in WRITES.items() if write.is_transaction]
# No transaction ever writes these.
UNCONTENDED = ["note_due", "keep_note", "give_notice", "mark_read"]

READS: dict[str, Callable[[Store], object]] = {
    "find_account": lambda store: store.find_account(MAIL),
    "head": lambda store: store.head("A"),
    "home": lambda store: store.home("A", entries=3),
    "records_before": lambda store: store.records_before("A", 9, limit=9),
    "records_after": lambda store: store.records_after("A", 0, limit=9),
    "claim": lambda store: store.claim(key("A1")),
    "returns": lambda store: store.returns(key("parked")),
    "end": lambda store: store.end("A", 1, 0),
    "note": lambda store: store.note("A", b"d" * 16),
    "notices": lambda store: store.notices("A", limit=9),
    "notice": lambda store: store.notice("A", 45_000, "x.45030"),
}

BUSY = [
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "TransactionInProgressException",
]
# Ours to mend: they come to whoever looks at the logs, and to the caller as a fault of ours.
BUGS = ["ValidationException", "ResourceNotFoundException", "AccessDeniedException"]


@pytest.fixture
def table(table: Tables) -> Tables:
    """A, with a mail and a return that waits for a purchase, and B."""
    enroll(table.store, "A", MAIL)
    enroll(table.store, "B")
    table.store.park(came_back("r0", purchase="parked"))
    table.store.give_notice("A", TOLD)
    return table


@pytest.fixture
def store(table: Tables, tampered: Connection) -> Table:
    """The store behind the wire."""
    return replace(table, connection=tampered).store


def aim(wire: Wire, name: str) -> None:
    """Only the write itself meets trouble, not what is read for it."""
    wire.of = "TransactWriteItems" if WRITES[name].is_transaction else "PutItem"


# --- nothing was written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SINGLE if name not in UNCONTENDED])
def test_a_put_that_meets_a_transaction_is_contended(table: Tables, wire: Wire, store: Table, name: str) -> None:
    aim(wire, name)
    wire.trouble = [wire.refused("TransactionConflictException")]
    before = table.contents()

    with pytest.raises(Contended):
        WRITES[name].call(store)

    assert table.contents() == before


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_a_transaction_that_meets_another_or_too_little_capacity_is_contended(
    table: Tables, wire: Wire, store: Table, name: str
) -> None:
    aim(wire, name)
    before = table.contents()

    for codes in (
        ("TransactionConflict",),
        ("None", "TransactionConflict"),
        ("TransactionConflict", "TransactionConflict"),
        ("ThrottlingError", "TransactionConflict"),
        ("None", "ProvisionedThroughputExceeded"),
        ("ThrottlingError",),
    ):
        wire.trouble = [wire.cancelled(*codes)]
        with pytest.raises(Contended):
            WRITES[name].call(store)
    assert table.contents() == before


@pytest.mark.parametrize("name", ["append with another", "append with a return", "append with an end"])
def test_a_record_in_the_way_is_contended_whatever_else_is(wire: Wire, store: Table, name: str) -> None:
    aim(wire, name)

    for first in ("TransactionConflict", "ConditionalCheckFailed"):
        wire.trouble = [wire.cancelled(first, "TransactionConflict")]
        with pytest.raises(Contended):
            WRITES[name].call(store)


def test_a_look_up_that_is_taken_is_named_behind_a_transaction_in_the_way(wire: Wire, store: Table) -> None:
    # The claim is still locked by the first delivery of this very call, the look-up already written by it.
    wire.of, wire.trouble = "TransactWriteItems", [wire.cancelled("TransactionConflict", "ConditionalCheckFailed")]

    with pytest.raises(LookupTaken):
        enroll(store, "C", CARD)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_is_throttled_or_cannot_be_sent_is_unknown_and_nothing_is_written(
    table: Tables, wire: Wire, store: Table, name: str
) -> None:
    aim(wire, name)
    before = table.contents()

    for trouble in (wire.unreachable, wire.not_connected, *map(wire.refused, BUSY)):
        wire.trouble = [trouble] * ATTEMPTS
        with pytest.raises(OutcomeUnknown):
            WRITES[name].call(store)
        # Once is no trouble at all: the client asks again. (Here for another error, so that nothing is written.)
        wire.trouble = [trouble, wire.refused("ValidationException")]
        with pytest.raises(VerboseClientError):
            WRITES[name].call(store)
    assert table.contents() == before


@pytest.mark.parametrize("name", WRITES)
def test_an_error_that_waiting_does_not_cure_rises(table: Tables, wire: Wire, store: Table, name: str) -> None:
    aim(wire, name)
    before = table.contents()
    bugs = [wire.refused(code) for code in BUGS]
    if WRITES[name].is_transaction:
        bugs += [
            wire.refused("IdempotentParameterMismatchException"),
            wire.cancelled("ValidationError"),
            wire.cancelled("None", "ItemCollectionSizeLimitExceeded"),
            # What may be cured does not hide what may not.
            wire.cancelled("TransactionConflict", "ValidationError"),
            wire.cancelled("ConditionalCheckFailed", "ValidationError"),
        ]

    for bug in bugs:
        wire.trouble = [bug]
        with pytest.raises(VerboseClientError):
            WRITES[name].call(store)
    assert table.contents() == before


# --- written, and nobody heard ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lose_answer", "time_out", "break_down"])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_whose_answer_stays_lost_is_unknown_and_is_there(
    table: Tables, wire: Wire, store: Table, name: str, fault: str
) -> None:
    write = WRITES[name]
    aim(wire, name)
    wire.trouble = [getattr(wire, fault)] * ATTEMPTS
    before = table.contents()

    with pytest.raises(OutcomeUnknown):
        write.call(store)

    after = table.contents()
    assert after != before
    # Whoever calls again meets what was written.
    if write.found is None:
        write.call(store)
    else:
        with pytest.raises(write.found):
            write.call(store)
    assert table.contents() == after


@pytest.mark.parametrize("name", WRITES)
def test_a_write_whose_answer_is_lost_once_is_asked_for_again(
    table: Tables, wire: Wire, store: Table, name: str
) -> None:
    write = WRITES[name]
    aim(wire, name)
    wire.trouble = [wire.lose_answer]
    before = table.contents()

    if write.found is None or write.is_transaction:
        # A transaction has a token of the client's own, by which the engine knows it again.
        write.call(store)
    else:
        # A put meets itself, and looks like anybody else's to whoever only sees that something is there.
        with pytest.raises(write.found) as met:
            write.call(store)
        if isinstance(met.value, ClaimTaken):
            assert met.value.claim in (claim("x", seq=1), replace(claim("x", seq=1), refusal=NO)) or name == "complete"
    assert table.contents() != before


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READS)
def test_a_read_without_an_answer_is_unknown(wire: Wire, store: Table, name: str) -> None:
    troubles = [wire.unreachable, wire.not_connected, wire.lose_answer, wire.time_out, wire.break_down]

    for trouble in (*troubles, *map(wire.refused, BUSY), wire.refused("ServiceUnavailable", 503)):
        wire.trouble = [trouble] * ATTEMPTS
        with pytest.raises(OutcomeUnknown):
            READS[name](store)
        wire.trouble = [trouble]
        READS[name](store)


@pytest.mark.parametrize("name", READS)
def test_a_read_that_is_a_bug_rises(wire: Wire, store: Table, name: str) -> None:
    for code in BUGS:
        wire.trouble = [wire.refused(code)]
        with pytest.raises(VerboseClientError):
            READS[name](store)
