"""Calls that die at any of their requests, and are made again.

Each operation is killed before and after its first request, its second, and so on, always on the same table: what died must not
be in the way of what comes after. In the end everything in the table is what one undisturbed call leaves in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from pynamodb.connection import Connection

from domain.entries import Key
from domain.expiry import Expiry
from domain.ledger import Outcome
from domain.refusals import InsufficientPoints, Refusal
from domain.reversals import ReturnExceedsPurchase
from domain.store import Store
from storage.memory import Memory
from storage.table import Table
from tests.domain import books
from tests.domain.world import (
    PROGRAM,
    ZONE,
    adjust,
    block,
    buy,
    cancel,
    capture,
    close,
    enroll,
    give,
    give_back,
    head_of,
    hold,
    merge,
    redeem,
    release,
    unblock,
    unmerge,
    update,
)
from tests.storage.tables import NOW, PEPPER, Everything, Tables, all_of_memory, all_of_table
from tests.storage.wire import Killed, Wire

# Purchases under these terms have a day to note that none before had.
SHORT = replace(PROGRAM, terms=replace(PROGRAM.terms, expiry=Expiry(months=3)))


def prepare(store: Store) -> None:
    """Ada, who holds 60 points, redeemed a latte and has 10 points on hold; Bob, who has 20; Cyd, merged into Dan; Eve, blocked;
    and a return that waits for its purchase."""
    for name in ("ada", "bob", "cyd", "dan", "eve"):
        enroll(store, name, NOW, email=f"{name}@example.org")
    buy(store, "ada", 11_000, NOW, receipt="first")
    redeem(store, "ada", "latte", NOW, key="redeemed")
    hold(store, "ada", 10, NOW, key="held")
    for name in ("bob", "cyd"):
        buy(store, name, 2_000, NOW, receipt=name)
    merge(store, "cyd", "dan", NOW, key="merged")
    block(store, "eve", NOW, key="blocked")
    give_back(store, "late", NOW, key="r0", amount=100)


def redeemed(store: Store) -> Outcome:
    """The redemption that was prepared."""
    return Outcome(store.records_after("ADA", 2, limit=1)[0], 0, replayed=True)


def held(store: Store) -> Outcome:
    """The hold that was prepared."""
    return Outcome(store.records_after("ADA", 3, limit=1)[0], 0, replayed=True)


@dataclass(frozen=True)
class Operation:
    call: Callable[[Store], object]
    # Requests that can die, at least.
    requests: int


def refused(refusal: type[Refusal], call: Callable[[], object]) -> None:
    with pytest.raises(refusal):
        call()


OPERATIONS = {
    "purchase": Operation(lambda store: buy(store, "ada", 700, NOW, receipt="1", program=SHORT), 5),
    "purchase whose return came first": Operation(lambda store: buy(store, "ada", 700, NOW, receipt="late"), 6),
    "purchase of somebody merged": Operation(lambda store: buy(store, "cyd", 700, NOW, receipt="1", program=SHORT), 7),
    "redemption": Operation(lambda store: redeem(store, "ada", "latte", NOW, key="k"), 4),
    "refused redemption": Operation(
        lambda store: refused(InsufficientPoints, lambda: redeem(store, "bob", "latte", NOW, key="k")), 4
    ),
    "cancellation": Operation(lambda store: cancel(store, redeemed(store), NOW, key="k"), 5),
    "return": Operation(lambda store: give_back(store, "first", NOW, key="r1", amount=5_000), 5),
    "return by somebody merged": Operation(lambda store: give_back(store, "cyd", NOW, key="r1", amount=500), 5),
    "refused return": Operation(
        lambda store: refused(ReturnExceedsPurchase, lambda: give_back(store, "first", NOW, key="r1", amount=50_000)), 5
    ),
    "return that waits": Operation(lambda store: give_back(store, "unknown", NOW, key="r1", amount=1), 2),
    "hold": Operation(lambda store: hold(store, "ada", 10, NOW, key="k"), 4),
    "capture": Operation(lambda store: capture(store, held(store), NOW, key="k", points=4), 3),
    "release": Operation(lambda store: release(store, held(store), NOW, key="k"), 3),
    "adjustment": Operation(lambda store: adjust(store, "ada", 5, NOW, key="k", note="Sorry."), 5),
    "gift": Operation(lambda store: give(store, "ada", "bob", 7, NOW, key="k"), 5),
    "merge": Operation(lambda store: merge(store, "bob", "dan", NOW, key="k"), 6),
    "undone merge": Operation(lambda store: unmerge(store, "cyd", NOW, key="k"), 6),
    "enrollment": Operation(lambda store: enroll(store, "fay", NOW, email="fay@example.org", card_number="C-1"), 1),
    "update": Operation(
        lambda store: update(store, "ada", NOW, key="k", email="new@example.org", phone="+15551234567"), 6
    ),
    "block": Operation(lambda store: block(store, "ada", NOW, key="k", note="Look into it."), 5),
    "unblock": Operation(lambda store: unblock(store, "eve", NOW, key="k"), 4),
    "closure": Operation(lambda store: close(store, "bob", NOW, key="k"), 5),
}


@pytest.fixture
def table(table: Tables) -> Tables:
    prepare(table.store)
    return table


@pytest.fixture
def store(table: Tables, tampered: Connection) -> Table:
    """The store behind the wire."""
    return replace(table, connection=tampered).store


@pytest.mark.parametrize("moment", ["die_before", "die_after"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_call_that_dies_at_any_request_is_finished_by_its_retry(
    table: Tables, wire: Wire, store: Table, name: str, moment: str
) -> None:
    operation = OPERATIONS[name]
    undisturbed = Memory(pepper=PEPPER)
    prepare(undisturbed)
    operation.call(undisturbed)
    tried = 0
    while True:
        # One request further each time.
        wire.trouble = [wire.pass_on] * tried + [getattr(wire, moment)]
        try:
            operation.call(store)
        except Killed:
            tried += 1
            checked(table)
            continue
        wire.trouble.clear()
        break

    assert tried >= (operation.requests if moment == "die_before" else 1)
    assert comparable(checked(table)) == comparable(all_of_memory(undisturbed))
    # And once more changes nothing.
    before = table.contents()
    operation.call(store)
    assert table.contents() == before


def comparable(found: Everything) -> Everything:
    """Without the sequence that a claim has seen, which is later for the retry of a call that did not get that far."""
    claims = {key: replace(claim, seq_seen=0) for key, claim in found.claims.items()}
    return replace(found, claims=claims)


def checked(table: Tables) -> Everything:
    """All that the table holds, audited."""
    found = all_of_table(table)
    for log in found.logs.values():
        books.check(log, ZONE)
        books.check_due(log, found.due)
    keys: list[Key] = []
    for log in found.logs.values():
        keys += [entry.key for record in log for entry in record.entries if entry.key]
    assert len(keys) == len(set(keys)), "a key moves points in at most one entry"
    for key in keys:
        assert key in found.claims or any(booked.key == key for booked in found.returns.values()), f"{key} is known"
    assert head_of(table.store, "ADA")
    return found
