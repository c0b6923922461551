"""The table under races and faults: whatever happens to its requests, a key is one entry and a no is a no.

Neither local engine ever raises TransactionConflict, throttles or loses an answer; a hook in the client does it for them. What
each error becomes, method by method, is in `test_errors.py`; calls that die are in `test_killed.py`.
"""

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from pynamodb.connection import Connection

from domain import members, purchases
from domain.entries import EntryKind, Key
from domain.expiry import Expiry
from domain.ledger import Outcome
from domain.members import AlreadyEnrolled, Enrolled, Lookup, Profile
from domain.refusals import InsufficientPoints, MemberNotFound, OutcomeUnknown
from domain.store import Store
from storage.table import Table
from tests.domain import books
from tests.domain.world import MANAGER, PROGRAM, TILL, ZONE, at_once, basket, buy, enroll, external, head_of, redeem
from tests.engines import Engine
from tests.storage.tables import NOW, Everything, Tables, all_of_table, fresh_table
from tests.storage.wire import Wire

# Purchases under these terms have a day to note that none before had.
SHORT = replace(PROGRAM, terms=replace(PROGRAM.terms, expiry=Expiry(months=3)))
DEAR = replace(PROGRAM, rewards=tuple(replace(reward, cost=1_000) for reward in PROGRAM.rewards))


@pytest.fixture
def table(table: Tables) -> Tables:
    """Ada, who holds 100 points."""
    enroll(table.store, "ada", NOW)
    buy(table.store, "ada", 10_000, NOW, receipt="first")
    return table


def checked(table: Tables) -> Everything:
    """All that the table holds, audited."""
    found = all_of_table(table)
    for log in found.logs.values():
        books.check(log, ZONE)
        books.check_due(log, found.due)
    entries = {entry.key: record.account for log in found.logs.values() for record in log for entry in record.entries}
    for key, account in entries.items():
        assert key is None or key in found.claims, f"{key} of {account} has its claim"
    return found


def entries_of(found: Everything, key: Key) -> int:
    return sum(entry.key == key for log in found.logs.values() for record in log for entry in record.entries)


# --- many at once -----------------------------------------------------------------------------------------------------


def test_redemptions_at_once_succeed_as_often_as_the_balance_allows(table: Tables) -> None:
    store = table.store

    answers = at_once([lambda key=str(key): redeem(store, "ada", "latte", NOW, key=key) for key in range(16)])

    assert Counter(map(type, answers)) == {Outcome: 2, InsufficientPoints: 14}
    found = checked(table)
    assert found.logs["ADA"][-1].state.balance == 20
    assert sum(key.source.startswith("~") for key in found.claims) == 1 + 16


def test_purchases_and_redemptions_at_once_lose_nothing(table: Tables) -> None:
    store = table.store
    bought = [lambda key=str(key): buy(store, "ada", 700, NOW, receipt=key) for key in range(12)]
    again = bought[:6]
    redeemed = [lambda key=str(key): redeem(store, "ada", "cookie", NOW, key=key) for key in range(6)]

    answers = at_once([*bought, *redeemed, *again])

    assert Counter(map(type, answers)) == {Outcome: 24}
    assert sum(outcome.replayed for outcome in answers) == 6
    head = checked(table).logs["ADA"][-1]
    assert (head.seq, head.state.balance) == (2 + 18, 100 + 12 * 7 - 6 * 15)


def test_one_of_many_members_has_a_contact(table: Tables) -> None:
    store = table.store

    def join(account: str) -> Enrolled:
        profile = Profile(NOW, email="bob@example.org")
        return members.enroll(
            store, PROGRAM, actor=TILL, idempotency_key=account, profile=profile, account=account, now=NOW
        )

    answers = at_once([lambda account=account: join(account) for account in "BCDEFGHI"])

    (winner,) = [answer for answer in answers if isinstance(answer, Enrolled)]
    assert sum(isinstance(answer, AlreadyEnrolled) for answer in answers) == 7
    assert store.find_account(Lookup("email", "bob@example.org"), strong=True) == winner.account
    assert set(checked(table).logs) == {"ADA", winner.account}


# --- a wire that loses and refuses ------------------------------------------------------------------------------------


@pytest.fixture
def store(table: Tables, tampered: Connection) -> Table:
    """The store behind the wire."""
    return replace(table, connection=tampered).store


# Where a request stands in a purchase: the claim of its key, the day to note, the record.
CLAIM, DUE, RECORD = '"K#', '"D#', '"E#'


@pytest.mark.parametrize("about", [CLAIM, RECORD])
def test_a_transaction_in_the_way_is_waited_for(table: Tables, wire: Wire, store: Table, about: str) -> None:
    wire.of, wire.about, wire.trouble = "PutItem", about, [wire.refused("TransactionConflictException")] * 2

    outcome = buy(store, "ada", 700, NOW, receipt="1")

    assert (outcome.replayed, outcome.record.state.balance) == (False, 107)
    assert entries_of(checked(table), Key("till", "1")) == 1


def test_a_transaction_in_the_way_of_joining_is_waited_for(table: Tables, wire: Wire, store: Table) -> None:
    wire.trouble = [
        wire.cancelled("TransactionConflict"),
        wire.cancelled("None", "TransactionConflict"),
        wire.cancelled("None", "None", "ThrottlingError"),
    ]

    assert enroll(store, "bob", NOW, email="bob@example.org") == "BOB"

    assert set(checked(table).logs) == {"ADA", "BOB"}


def test_who_was_already_enrolled_hears_it_behind_a_transaction_in_the_way(
    table: Tables, wire: Wire, store: Table
) -> None:
    # The claim is still locked by the first delivery of this very call, the look-up already written by it.
    first = enroll(store, "bob", NOW, email="bob@example.org")
    wire.trouble = [wire.cancelled("TransactionConflict", "ConditionalCheckFailed")]

    assert enroll(store, "bob", NOW, email="bob@example.org") == first

    assert set(checked(table).logs) == {"ADA", "BOB"}


@pytest.mark.parametrize("about", [CLAIM, RECORD])
def test_an_account_that_stays_busy_has_an_unknown_outcome(table: Tables, wire: Wire, store: Table, about: str) -> None:
    wire.of, wire.about, wire.trouble = "PutItem", about, [wire.refused("TransactionConflictException")]
    if about == RECORD:
        # Once more, after what came meanwhile was read: nothing did.
        wire.trouble *= 2

    with pytest.raises(OutcomeUnknown):
        buy(store.until(time.monotonic() - 1), "ada", 700, NOW, receipt="1")

    found = checked(table)
    assert entries_of(found, Key("till", "1")) == 0
    assert (Key("till", "1") in found.claims) == (about == RECORD)
    # A claim without its entry is nobody's harm: the retry goes on from there.
    assert not buy(store, "ada", 700, NOW, receipt="1").replayed
    assert entries_of(checked(table), Key("till", "1")) == 1


@pytest.mark.parametrize("fault", ["lose_answer", "break_down"])
@pytest.mark.parametrize("about", [CLAIM, DUE, RECORD])
def test_an_answer_that_is_lost_once_is_asked_for_again(
    table: Tables, wire: Wire, store: Table, about: str, fault: str
) -> None:
    wire.of, wire.about, wire.trouble = "PutItem", about, [getattr(wire, fault)]

    outcome = buy(store, "ada", 700, NOW, receipt="1", program=SHORT)

    # Of its own record the client only sees that something is there; the log says what.
    assert outcome.replayed == (about == RECORD)
    assert outcome.record == head_of(store, "ADA")
    assert outcome.record.state.balance == 107
    assert entries_of(checked(table), Key("till", "1")) == 1


@pytest.mark.parametrize("fault", ["lose_answer", "break_down"])
@pytest.mark.parametrize("about", [CLAIM, RECORD])
def test_an_answer_that_stays_lost_is_found_by_the_retry(
    table: Tables, wire: Wire, store: Table, about: str, fault: str
) -> None:
    wire.of, wire.about, wire.trouble = "PutItem", about, [getattr(wire, fault)] * 2

    with pytest.raises(OutcomeUnknown):
        redeem(store, "ada", "latte", NOW, key="k", code="FIRST")
    again = redeem(store, "ada", "latte", NOW, key="k", code="SECOND")

    assert (again.replayed, again.entry.code) == ((True, "FIRST") if about == RECORD else (False, "SECOND"))
    assert checked(table).logs["ADA"][-1].state.balance == 60


def test_joining_is_found_by_the_retry(table: Tables, wire: Wire, store: Table) -> None:
    wire.of, wire.trouble = "TransactWriteItems", [wire.lose_answer] * 2
    profile = Profile(NOW, email="bob@example.org")

    def join(account: str) -> Enrolled:
        return members.enroll(
            store, PROGRAM, actor=TILL, idempotency_key="k", profile=profile, account=account, now=NOW
        )

    with pytest.raises(OutcomeUnknown):
        join("B1")

    assert join("B2") == Enrolled("B1", replayed=True)
    assert set(checked(table).logs) == {"ADA", "B1"}


@pytest.mark.parametrize("operation", ["Query", "GetItem", CLAIM, DUE, RECORD])
def test_a_store_that_is_too_busy_says_so_and_the_retry_does_it(
    table: Tables, wire: Wire, store: Table, operation: str
) -> None:
    if operation in (CLAIM, DUE, RECORD):
        wire.of, wire.about = "PutItem", operation
    else:
        wire.of = operation

    for trouble in (wire.refused("ThrottlingException"), wire.unreachable, wire.not_connected):
        wire.trouble = [trouble] * 2
        with pytest.raises(OutcomeUnknown):
            buy(store, "ada", 700, NOW, receipt="1", program=SHORT)
        assert entries_of(checked(table), Key("till", "1")) == 0

    assert not buy(store, "ada", 700, NOW, receipt="1", program=SHORT).replayed
    assert entries_of(checked(table), Key("till", "1")) == 1


# --- saying no --------------------------------------------------------------------------------------------------------


def too_dear(store: Store) -> Outcome:
    return redeem(store, "ada", "latte", NOW, key="dear", program=DEAR)


@pytest.mark.parametrize("fault", ["lose_answer", "break_down"])
def test_a_no_that_is_lost_once_is_still_a_no(table: Tables, wire: Wire, store: Table, fault: str) -> None:
    wire.of, wire.trouble = "PutItem", [getattr(wire, fault)]

    with pytest.raises(InsufficientPoints):
        too_dear(store)
    buy(store, "ada", 10**6, NOW, receipt="rich")
    with pytest.raises(InsufficientPoints) as again:
        too_dear(store)

    assert again.value.replayed
    checked(table)


@pytest.mark.parametrize("fault", ["lose_answer", "break_down"])
def test_a_no_that_nobody_heard_is_a_no_to_the_retry(table: Tables, wire: Wire, store: Table, fault: str) -> None:
    wire.of, wire.trouble = "PutItem", [getattr(wire, fault)] * 2

    with pytest.raises(OutcomeUnknown):
        too_dear(store)
    buy(store, "ada", 10**6, NOW, receipt="rich")
    with pytest.raises(InsufficientPoints) as again:
        too_dear(store)

    assert again.value.replayed
    checked(table)


@pytest.mark.parametrize("code", ["ThrottlingException", "TransactionConflictException"])
def test_a_no_that_could_not_be_written_is_not_given(table: Tables, wire: Wire, store: Table, code: str) -> None:
    before = checked(table)
    wire.of, wire.trouble = "PutItem", [wire.refused(code)] * (2 if code == "ThrottlingException" else 1)

    with pytest.raises(OutcomeUnknown):
        too_dear(store)

    assert checked(table) == before
    with pytest.raises(InsufficientPoints) as later:
        too_dear(store)
    assert not later.value.replayed


@pytest.mark.parametrize("fault", ["lose_answer", "break_down"])
def test_a_no_after_the_claim_is_a_no_to_the_retry(table: Tables, wire: Wire, store: Table, fault: str) -> None:
    """The key was claimed while there was enough; whoever was faster took it. The no is a record of the log."""
    redeem(store, "ada", "latte", NOW, key="first")
    wire.of, wire.about, wire.trouble = "PutItem", RECORD, [wire.unreachable] * 2
    with pytest.raises(OutcomeUnknown):
        redeem(store, "ada", "latte", NOW, key="k")
    redeem(store, "ada", "latte", NOW, key="faster")

    wire.trouble = [getattr(wire, fault)] * 2
    with pytest.raises(OutcomeUnknown):
        redeem(store, "ada", "latte", NOW, key="k")
    buy(store, "ada", 10**6, NOW, receipt="rich")
    with pytest.raises(InsufficientPoints) as again:
        redeem(store, "ada", "latte", NOW, key="k")

    assert again.value.replayed
    (noted,) = [
        entry for each in checked(table).logs["ADA"] for entry in each.entries if entry.kind is EntryKind.REFUSED
    ]
    assert (noted.lines, noted.refusal) == ((), again.value)


# --- writes that come too late ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", [CLAIM, RECORD])
def test_a_write_that_arrives_after_the_retry_changes_nothing(
    table: Tables, wire: Wire, store: Table, about: str
) -> None:
    held: list[Any] = []

    def hold(request: Any) -> None:
        held.append(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    wire.of, wire.about, wire.trouble = "PutItem", about, [hold] * 2
    with pytest.raises(OutcomeUnknown):
        buy(store, "ada", 700, NOW, receipt="1")
    assert not buy(store, "ada", 700, NOW, receipt="1").replayed
    before = table.contents()

    for request in held:
        assert wire.client._endpoint.http_session.send(request).status_code == 400

    assert table.contents() == before
    assert checked(table).logs["ADA"][-1].state.balance == 107


def test_a_late_record_before_the_retry_is_what_the_retry_finds(table: Tables, wire: Wire, store: Table) -> None:
    held: list[Any] = []

    def hold(request: Any) -> None:
        held.append(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    wire.of, wire.about, wire.trouble = "PutItem", RECORD, [hold] * 2
    with pytest.raises(OutcomeUnknown):
        buy(store, "ada", 700, NOW, receipt="1")

    # The second one meets the first.
    assert [wire.client._endpoint.http_session.send(request).status_code for request in held] == [200, 400]

    assert buy(store, "ada", 700, NOW, receipt="1").replayed
    assert entries_of(checked(table), Key("till", "1")) == 1


def test_a_late_claim_that_says_no_does_not_outlive_a_yes(table: Tables, wire: Wire, store: Table) -> None:
    held: list[Any] = []

    def hold(request: Any) -> None:
        held.append(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    wire.of, wire.trouble = "PutItem", [hold] * 2
    with pytest.raises(OutcomeUnknown):
        too_dear(store)
    buy(store, "ada", 10**6, NOW, receipt="rich")
    first = too_dear(store)

    for request in held:
        assert wire.client._endpoint.http_session.send(request).status_code == 400

    assert too_dear(store) == replace(first, replayed=True)


# --- names that are no keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", ["", " ", "x" * 3_000, "☕" * 1_000, "M#ADA", "a\x00b"])
def test_an_id_that_cannot_be_one_is_nobody(table: Tables, account: str) -> None:
    with pytest.raises(MemberNotFound):
        members.resolve(table.store, actor=MANAGER, by=Lookup("id", account), field=("by",))
    with pytest.raises(MemberNotFound):
        purchases.preview(
            table.store, PROGRAM, actor=TILL, member=Lookup("id", account), basket=basket(1, NOW), now=NOW
        )


def test_any_text_may_be_looked_up(table: Tables) -> None:
    for value in ("x" * 100_000, "\x00", "☕" * 5_000, ""):
        with pytest.raises(MemberNotFound):
            members.resolve(table.store, actor=MANAGER, by=external(value), field=("by",))


def test_a_table_of_another_pepper_knows_nobody(engine: Engine) -> None:
    table = fresh_table(engine)
    enroll(table.store, "ada", NOW)
    other = table.store
    other._pepper = b"another pepper of some characters"

    assert table.store.find_account(external("ada"), strong=True) == "ADA"
    assert other.find_account(external("ada"), strong=True) is None
