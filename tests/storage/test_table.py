"""The table under races and faults: whatever happens to its requests, a key is one entry and a no is a no.

Neither local engine ever raises TransactionConflict, throttles or loses an answer; a hook in the client does it for them.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain import members, purchases
from domain.days import Expiry
from domain.ledger import Key, Outcome, Store
from domain.members import AlreadyEnrolled, Enrolled, Lookup, Profile
from domain.refusals import InsufficientPoints, MemberNotFound, OutcomeUnknown
from storage.table import Table
from tests.domain import books
from tests.domain.world import MANAGER, PROGRAM, TILL, ZONE, at_once, basket, buy, enroll, external, head_of, redeem
from tests.engines import Engine
from tests.storage.tables import NOW, Everything, Tables, all_of_table, answer, connect, fresh_table

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
        return members.enroll(store, actor=TILL, idempotency_key=account, profile=profile, account=account, now=NOW)

    answers = at_once([lambda account=account: join(account) for account in "BCDEFGHI"])

    (winner,) = [answer for answer in answers if isinstance(answer, Enrolled)]
    assert sum(isinstance(answer, AlreadyEnrolled) for answer in answers) == 7
    assert store.find_account(Lookup("email", "bob@example.org"), strong=True) == winner.account
    assert set(checked(table).logs) == {"ADA", winner.account}


# --- what no engine does by itself ------------------------------------------------------------------------------------


class Killed(Exception):
    """The process died here."""


@dataclass
class Wire:
    """The client's way to the engine; what stands in `trouble` happens to its next requests, one each."""

    client: Any
    trouble: list[Callable[[Any], AWSResponse | None]] = field(default_factory=list)
    # Which operations meet trouble; the others pass.
    of: str = "TransactWriteItems"
    seen: list[str] = field(default_factory=list)

    def __call__(self, request: Any, event_name: str, **_: object) -> AWSResponse | None:
        operation = event_name.rsplit(".", 1)[-1]
        self.seen.append(operation)
        if self.trouble and (self.of in (operation, "any")):
            return self.trouble.pop(0)(request)
        return None

    # --- kinds of trouble ---

    def lose_answer(self, request: Any) -> None:
        """The request is carried out; nobody hears of it."""
        self.client._endpoint.http_session.send(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    def break_down(self, request: Any) -> AWSResponse:
        """The request is carried out; the answer is an error of the server."""
        self.client._endpoint.http_session.send(request)
        return answer(500, b'{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "?"}')

    def die_before(self, request: Any) -> None:
        raise Killed

    def die_after(self, request: Any) -> None:
        self.client._endpoint.http_session.send(request)
        raise Killed

    @staticmethod
    def pass_on(_: Any) -> None:
        """No trouble this time."""

    @staticmethod
    def unreachable(request: Any) -> None:
        raise EndpointConnectionError(endpoint_url=request.url)

    @staticmethod
    def refused(code: str) -> Callable[[Any], AWSResponse]:
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "No."}).encode()
        return lambda _: answer(400, body)

    @staticmethod
    def cancelled(*codes: str) -> Callable[[Any], AWSResponse]:
        """A transaction that is cancelled for these reasons; missing ones at the end are `None`."""

        def cancel(request: Any) -> AWSResponse:
            rows = len(json.loads(request.body)["TransactItems"])
            reasons = [{"Code": code} for code in (*codes, *["None"] * rows)[:rows]]
            body = {
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
                "CancellationReasons": reasons,
            }
            return answer(400, json.dumps(body).encode())

        return cancel


@pytest.fixture(scope="module")
def tampered(engine: Engine) -> Connection:
    """A connection of these tests' own, with one retry by the client itself."""
    connection = connect(engine)
    connection._retry_configuration = {"total_max_attempts": 2, "mode": "standard"}
    return connection


@pytest.fixture
def wire(table: Tables, tampered: Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    wire = Wire(tampered.client)
    tampered.client.meta.events.register("before-send.dynamodb", wire)
    yield wire
    tampered.client.meta.events.unregister("before-send.dynamodb", wire)
    assert not wire.trouble, "all of the trouble happened"


@pytest.fixture
def store(table: Tables, tampered: Connection) -> Table:
    """The store behind the wire."""
    return replace(table, connection=tampered).store


RETRYABLE = [
    ("TransactionConflict",),
    ("None", "TransactionConflict"),
    ("TransactionConflict", "TransactionConflict"),
    ("ThrottlingError", "TransactionConflict"),
    ("None", "ProvisionedThroughputExceeded"),
    ("TransactionConflict", "ConditionalCheckFailed"),
]


@pytest.mark.parametrize("reasons", RETRYABLE, ids="+".join)
def test_a_transaction_in_the_way_is_waited_for(table: Tables, wire: Wire, store: Table, reasons: tuple[str]) -> None:
    wire.trouble = [wire.cancelled(*reasons)] * 2

    outcome = buy(store, "ada", 700, NOW, receipt="1")

    assert (outcome.replayed, outcome.record.state.balance) == (False, 107)
    assert entries_of(checked(table), Key("till", "1")) == 1
    assert wire.seen.count("TransactWriteItems") == 3


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


def test_an_account_that_stays_busy_has_an_unknown_outcome(table: Tables, wire: Wire, store: Table) -> None:
    wire.trouble = [wire.cancelled("None", "TransactionConflict")]
    before = checked(table)

    with pytest.raises(OutcomeUnknown):
        buy(store.until(time.monotonic() - 1), "ada", 700, NOW, receipt="1")

    assert checked(table) == before
    assert not buy(store, "ada", 700, NOW, receipt="1").replayed


def test_a_reason_that_waiting_does_not_cure_is_not_waited_for(table: Tables, wire: Wire, store: Table) -> None:
    wire.trouble = [wire.cancelled("None", "ValidationError")]

    with pytest.raises(VerboseClientError):
        buy(store, "ada", 700, NOW, receipt="1")

    assert entries_of(checked(table), Key("till", "1")) == 0


@pytest.mark.parametrize("fault", ["lose_answer", "break_down"])
def test_an_answer_that_is_lost_once_is_asked_for_again(table: Tables, wire: Wire, store: Table, fault: str) -> None:
    wire.trouble = [getattr(wire, fault)]

    outcome = buy(store, "ada", 700, NOW, receipt="1")

    # The client's own token told the engine that this was the same transaction.
    assert not outcome.replayed
    assert entries_of(checked(table), Key("till", "1")) == 1
    assert head_of(store, "ADA").state.balance == 107


@pytest.mark.parametrize("fault", ["lose_answer", "break_down"])
def test_an_answer_that_stays_lost_is_found_by_the_retry(table: Tables, wire: Wire, store: Table, fault: str) -> None:
    wire.trouble = [getattr(wire, fault)] * 2

    with pytest.raises(OutcomeUnknown):
        redeem(store, "ada", "latte", NOW, key="k", code="FIRST")
    again = redeem(store, "ada", "latte", NOW, key="k", code="SECOND")

    assert (again.replayed, again.entry.code) == (True, "FIRST")
    assert checked(table).logs["ADA"][-1].state.balance == 60


def test_joining_is_found_by_the_retry(table: Tables, wire: Wire, store: Table) -> None:
    wire.trouble = [wire.lose_answer] * 2
    profile = Profile(NOW, email="bob@example.org")

    def join(account: str) -> Enrolled:
        return members.enroll(store, actor=TILL, idempotency_key="k", profile=profile, account=account, now=NOW)

    with pytest.raises(OutcomeUnknown):
        join("B1")

    assert join("B2") == Enrolled("B1", replayed=True)
    assert set(checked(table).logs) == {"ADA", "B1"}


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"]
)
@pytest.mark.parametrize("operation", ["Query", "GetItem", "TransactWriteItems"])
def test_a_store_that_is_too_busy_says_so_and_nothing_is_written(
    table: Tables, wire: Wire, store: Table, operation: str, code: str
) -> None:
    before = checked(table)
    wire.of, wire.trouble = operation, [wire.refused(code)] * 2

    with pytest.raises(OutcomeUnknown):
        buy(store, "ada", 700, NOW, receipt="1", program=SHORT)

    assert checked(table) == before
    assert not buy(store, "ada", 700, NOW, receipt="1", program=SHORT).replayed
    assert entries_of(checked(table), Key("till", "1")) == 1


@pytest.mark.parametrize("operation", ["Query", "GetItem", "TransactWriteItems"])
def test_a_store_that_cannot_be_reached_says_so(table: Tables, wire: Wire, store: Table, operation: str) -> None:
    wire.of, wire.trouble = operation, [wire.unreachable] * 2

    with pytest.raises(OutcomeUnknown):
        buy(store, "ada", 700, NOW, receipt="1", program=SHORT)
    assert entries_of(checked(table), Key("till", "1")) == 0


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


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
def test_a_no_that_could_not_be_written_is_not_given(table: Tables, wire: Wire, store: Table, code: str) -> None:
    before = checked(table)
    wire.of, wire.trouble = "PutItem", [wire.refused(code)] * 2

    with pytest.raises(OutcomeUnknown):
        too_dear(store)

    assert checked(table) == before


def test_a_no_behind_a_transaction_of_the_same_key_is_no_fault(table: Tables, wire: Wire, store: Table) -> None:
    # A single put that meets a transaction in progress is refused with an exception of its own.
    wire.of, wire.trouble = "PutItem", [wire.refused("TransactionConflictException")]

    with pytest.raises((InsufficientPoints, OutcomeUnknown)):
        too_dear(store)
    with pytest.raises(InsufficientPoints):
        too_dear(store)
    assert checked(table).logs["ADA"][-1].seq == 2


# --- writes that come too late ----------------------------------------------------------------------------------------


def test_a_write_that_arrives_after_everybody_gave_it_up_changes_nothing(
    table: Tables, wire: Wire, store: Table
) -> None:
    held: list[Any] = []

    def hold(request: Any) -> None:
        held.append(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    wire.trouble = [hold] * 2
    with pytest.raises(OutcomeUnknown):
        buy(store, "ada", 700, NOW, receipt="1")
    assert not buy(store, "ada", 700, NOW, receipt="1").replayed
    before = table.contents()

    for request in held:
        assert wire.client._endpoint.http_session.send(request).status_code == 400

    assert table.contents() == before
    assert checked(table).logs["ADA"][-1].state.balance == 107


def test_a_late_write_before_the_retry_is_what_the_retry_finds(table: Tables, wire: Wire, store: Table) -> None:
    held: list[Any] = []

    def hold(request: Any) -> None:
        held.append(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    wire.trouble = [hold] * 2
    with pytest.raises(OutcomeUnknown):
        buy(store, "ada", 700, NOW, receipt="1")

    # Both arrive: the second one is the same transaction to the engine.
    assert {wire.client._endpoint.http_session.send(request).status_code for request in held} == {200}

    assert buy(store, "ada", 700, NOW, receipt="1").replayed
    assert entries_of(checked(table), Key("till", "1")) == 1


# --- killed anywhere --------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Store], object]] = {
    "purchase": lambda store: buy(store, "ada", 700, NOW, receipt="1", program=SHORT),
    "redemption": lambda store: redeem(store, "ada", "latte", NOW, key="k"),
    "enrollment": lambda store: enroll(store, "bob", NOW, email="bob@example.org", card_number="C-2"),
}


@pytest.mark.parametrize("moment", ["die_before", "die_after"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_dies_at_any_request_is_finished_by_its_retry(
    table: Tables, wire: Wire, store: Table, call: str, moment: str
) -> None:
    tried = 0
    while True:
        # One request further each time, on the same table: what died before must not be in the way.
        wire.of, wire.trouble = "any", [wire.pass_on] * tried + [getattr(wire, moment)]
        try:
            CALLS[call](store)
        except Killed:
            tried += 1
            checked(table)
            continue
        wire.trouble.clear()
        break

    assert tried >= (1 if call == "enrollment" else 2)
    CALLS[call](store)
    found = checked(table)
    assert found.logs["ADA"][-1].state.balance == {"purchase": 107, "redemption": 60, "enrollment": 100}[call]
    assert len(found.profiles) == (2 if call == "enrollment" else 1)


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
