"""Submissions on every store, and purchases that are booked together on a table: what they cost, and that whoever dies at any of
their requests is finished by whoever comes next."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from bench.units import of_call, write_units
from domain import limits, purchases
from domain.entries import BasketLine, EntryKind, Key
from domain.members import MemberNotFound
from domain.purchases import Receipt, Recorded
from domain.refusals import Refusal
from domain.store import Store
from domain.submissions import Item, Note, Submission, SubmissionKnown, Submissions
from storage import audit, items, keys
from storage.items import is_one_unit
from storage.memory import Memory, MemorySubmissions
from storage.submissions import SubmissionTable
from storage.table import Table
from tests.domain import books
from tests.domain.world import MANAGER, PROGRAM, TILL, ZONE, basket, enroll, external, give_back
from tests.faults.engine import Dynamo, cancellation
from tests.storage.tables import NOW, PEPPER, SHARDS, Tables, item_bytes
from tests.storage.test_costs import told

SUBMISSION = Submission(
    id="0123456789abcdef" * 2,
    fingerprint=b"sixteen of hash.",
    actor=TILL.id,
    submitted_at=NOW,
    sent_at=NOW + timedelta(days=1),
    items=(
        Item("till", "1", b"8 bytes."),
        Item(None, None, refusal=MemberNotFound("No.", field=("input", "purchases", "1", "member"))),
        Item("till", "🔑", b"or so..."),
        Item("till", "4", refusal=MemberNotFound("No.")),
        Item("till", "5", b"not yet.", MemberNotFound("No.")),
        Item("till", "6", b"and now."),
    ),
)


@pytest.fixture
def submissions(place: Memory | Tables) -> Submissions:
    return MemorySubmissions() if isinstance(place, Memory) else SubmissionTable(place.connection, place.name)


def test_a_submission_is_found_as_it_was_kept(submissions: Submissions) -> None:
    assert submissions.find(SUBMISSION.id) is None

    submissions.keep(SUBMISSION)

    assert submissions.find(SUBMISSION.id) == SUBMISSION
    assert submissions.find("f" * 32) is None


def test_a_submission_of_which_no_refused_purchase_can_be_recorded_is_found_so(submissions: Submissions) -> None:
    kept = replace(SUBMISSION, items=SUBMISSION.items[:4])

    submissions.keep(kept)

    assert submissions.find(SUBMISSION.id) == kept


def test_a_submission_is_kept_once(submissions: Submissions) -> None:
    submissions.keep(SUBMISSION)

    with pytest.raises(SubmissionKnown) as known:
        submissions.keep(replace(SUBMISSION, actor="somebody else", items=()))

    assert known.value.submission == SUBMISSION
    assert submissions.find(SUBMISSION.id) == SUBMISSION


def test_that_it_was_sent_is_known_when_it_was_written(submissions: Submissions) -> None:
    submissions.keep(SUBMISSION)
    assert not submissions.was_sent(SUBMISSION)

    submissions.mark_sent(SUBMISSION)
    submissions.mark_sent(SUBMISSION)

    assert submissions.was_sent(SUBMISSION)
    assert not submissions.was_sent(replace(SUBMISSION, id="f" * 32))


def test_the_first_refusal_and_the_last_failure_of_a_purchase_stay(submissions: Submissions) -> None:
    refused = Note(499, refusal=MemberNotFound("No.", field=("input", "purchases", "499", "member")))
    failed = Note(7, failure="It failed 5 times: KeyError.")
    for note in (refused, Note(7, failure="It was cut off."), failed, Note(499, refusal=MemberNotFound("Again."))):
        submissions.note(SUBMISSION.id, SUBMISSION.sent_at, note, at=NOW)
    submissions.note(SUBMISSION.id, SUBMISSION.sent_at, Note(7, refusal=MemberNotFound("Later.")), at=NOW)
    submissions.note("f" * 32, SUBMISSION.sent_at, Note(0, failure="Another one's."), at=NOW)

    found = submissions.notes(SUBMISSION)

    assert sorted(found, key=lambda note: (note.index, note.refusal is None)) == [
        Note(7, refusal=MemberNotFound("Later.")),
        failed,
        refused,
    ]


def test_what_outlives_a_submission_is_not_taken_for_what_is_submitted_later_under_its_key(
    submissions: Submissions,
) -> None:
    """A table forgets one item a day or two before another, and then the key is free."""
    later = replace(SUBMISSION, sent_at=SUBMISSION.sent_at + timedelta(days=36))
    submissions.mark_sent(SUBMISSION)
    submissions.note(SUBMISSION.id, SUBMISSION.sent_at, Note(0, refusal=MemberNotFound("No.")), at=NOW)
    submissions.note(SUBMISSION.id, SUBMISSION.sent_at, Note(1, failure="No."), at=NOW)

    assert not submissions.was_sent(later)
    assert submissions.notes(later) == []

    submissions.note(later.id, later.sent_at, Note(0, refusal=MemberNotFound("Now.")), at=NOW)
    assert submissions.notes(later) == [Note(0, refusal=MemberNotFound("Now."))]


def test_the_largest_submission_is_one_item_and_is_forgotten_after_its_key(table: Tables) -> None:
    submissions = SubmissionTable(table.connection, table.name)
    size = limits.SUBMISSION_BYTES_MAX // 4 // limits.SUBMISSION_PURCHASES_MAX - 8
    # Nothing that could be compressed.
    names = [
        "".join(chr(0x10000 + (n * 7_919 + place * 104_729) % 0xFFFF) for place in range(size)) for n in range(500)
    ]
    largest = replace(SUBMISSION, items=tuple(Item("till", name, bytes([n % 256] * 8)) for n, name in enumerate(names)))

    submissions.keep(largest)

    assert submissions.find(largest.id) == largest
    (item,) = table.items()
    assert item_bytes(item) < 400_000
    left = int(item["ttl"]["N"]) - largest.sent_at.timestamp()
    assert left == limits.SUBMISSION_RETENTION.total_seconds() > limits.QUEUED_AGE_MAX.total_seconds()


def test_a_submission_of_500_usual_purchases_is_some_kilobytes() -> None:
    found = [Item("pos-harbor", f"2026-03-01-{n:06}", bytes((n * k) % 256 for k in range(8))) for n in range(500)]

    assert item_bytes(items.submission_item(replace(SUBMISSION, items=tuple(found)))) < 8 * 1_024


def test_what_a_submission_writes_is_known_to_the_audit(table: Tables) -> None:
    submissions = SubmissionTable(table.connection, table.name)
    submissions.keep(SUBMISSION)
    submissions.mark_sent(SUBMISSION)
    submissions.note(SUBMISSION.id, SUBMISSION.sent_at, Note(0, failure="No."), at=NOW)
    submissions.note(SUBMISSION.id, SUBMISSION.sent_at, Note(0, refusal=MemberNotFound("No.")), at=NOW)

    kinds = Counter(audit.kind_of(item) for item in table.items())
    assert kinds == {"submission": 1, "submission's notes": 3}
    assert all("ttl" in item for item in table.items())
    stray = {"PK": {"S": keys.submission("x")}, "SK": {"S": "S"}}
    assert audit.kind_of(stray) is None


# --- looking for many -----------------------------------------------------------------------------------------------------


def test_many_claims_and_records_are_read_together(store: Store) -> None:
    enroll(store, "ada", NOW)
    enroll(store, "bob", NOW)
    batch = [receipt(f"{n}", ("ada", "bob")[n % 2]) for n in range(120)]
    purchases.record_each(store, PROGRAM, batch, now=NOW)
    give_back(store, "parked", NOW, key="r", amount=1)
    wanted = [Key("till", f"{n}") for n in range(130)] + [Key("till", "parked"), Key("till", "0")]

    claims = store.claims(wanted)

    assert claims.keys() == {Key("till", f"{n}") for n in range(120)} | {Key("till", "parked")}
    assert {key: store.claim(key) for key in claims} == claims
    places = {(claim.account, claim.seq_seen + 1) for claim in claims.values() if claim.account}
    records = store.records({*places, ("ADA", 9_999), ("NOBODY", 1)})
    assert records.keys() == places
    assert all(store.records_after(account, seq - 1, limit=1) == [records[account, seq]] for account, seq in places)
    assert store.claims([]) == {}
    assert store.records([]) == {}


def test_claims_that_a_transaction_is_writing_are_read_one_by_one() -> None:
    """No local engine ever refuses reads for that."""
    counted = with_members("ada")
    purchases.record_each(counted.store, PROGRAM, [receipt("1"), receipt("2")], now=NOW)
    asked: list[str] = []

    class Conflicting:
        def dispatch(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
            asked.append(operation)
            if operation == "TransactGetItems":
                return cancellation([{"Code": "None"}, {"Code": "TransactionConflict"}]).give(operation, request)
            assert request["ConsistentRead"]
            return counted.dynamo.dispatch(operation, request)

    store = Table(Conflicting(), "table", pepper=PEPPER, shards=SHARDS)  # type: ignore[arg-type]

    assert store.claims([Key("till", "1"), Key("till", "x")]).keys() == {Key("till", "1")}
    assert asked == ["TransactGetItems", "GetItem", "GetItem"]


# --- what purchases that are booked together cost -----------------------------------------------------------------------


@dataclass
class Counted:
    """A table in this process that counts what it is asked; it dies before or after its nth request, if it is to."""

    dynamo: Dynamo = field(default_factory=Dynamo)
    calls: list[str] = field(default_factory=list)
    read_units: float = 0
    write_units: float = 0
    dies_at: int | None = None
    dies_after: bool = False

    def dispatch(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        is_last = self.dies_at is not None and len(self.calls) == self.dies_at
        if is_last and not self.dies_after:
            raise Killed
        response: dict[str, Any] = {"Items": []}
        try:
            response = self.dynamo.dispatch(operation, request)
        finally:
            self.calls.append(told(operation, request))
            read, written = of_call(operation, request, response)
            self.read_units += read
            self.write_units += written
            if is_last:
                # Whatever the answer was, nobody hears it.
                raise Killed
        return response

    @property
    def store(self) -> Table:
        return Table(self, "table", pepper=PEPPER, shards=SHARDS)  # type: ignore[arg-type]


class Killed(BaseException):
    """The process died here: nobody catches it."""


def receipt(number: str, name: str = "ada", amount: int = 1_000, **more: Any) -> Receipt:
    return Receipt(TILL, "till", number, external(name), basket(amount, NOW, **more), NOW)


def with_members(*names: str) -> Counted:
    counted = Counted()
    for name in names:
        enroll(counted.store, name, NOW)
    # So that what they buy has a date that is known.
    purchases.record_each(counted.store, PROGRAM, [receipt(f"first-{name}", name) for name in names], now=NOW)
    return Counted(counted.dynamo)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_n_purchases_of_one_member_cost_n_claims_and_one_record(count: int) -> None:
    counted = with_members("ada")

    answers = purchases.record_each(counted.store, PROGRAM, [receipt(str(n)) for n in range(count)], now=NOW)

    assert all(isinstance(each, Recorded) for each in answers)
    assert counted.calls == [*["get"] * count, "query", *["put K"] * count, "put E"]
    assert counted.write_units == count + 1


def test_what_does_not_fit_into_a_write_unit_costs_one_more_for_each_further_record() -> None:
    counted = with_members("ada")

    purchases.record_each(counted.store, PROGRAM, [receipt(f"2090-{n:04}") for n in range(50)], now=NOW)

    records = counted.calls.count("put E")
    assert counted.write_units == 50 + records
    assert records <= 50 / 6
    assert all(
        write_units(item) == 1 and is_one_unit(item) for item in counted.dynamo.items() if item["SK"]["S"][:2] == "E#"
    )


def test_large_baskets_cost_what_they_cost_alone_and_share_the_record() -> None:
    counted = with_members("ada")
    lines = tuple(BasketLine(f"sku-{n}-{n * 7919}", f"category-{n % 9}", n + 1, 100) for n in range(200))
    batch = [receipt(str(n), amount=20_000, lines=lines) for n in range(3)]

    purchases.record_each(counted.store, PROGRAM, batch, now=NOW)

    claims = [item for item in counted.dynamo.items() if item["SK"]["S"] == "K" and "d" in item]
    assert counted.write_units == sum(write_units(item) for item in claims if item["PK"]["S"][-2] == ":") + 1


def test_a_batch_of_many_members_costs_two_units_a_member_and_one_for_each_further_purchase() -> None:
    names = [f"m{n}" for n in range(10)]
    counted = with_members(*names)
    batch = [receipt(f"{name}-{n}", name) for n in range(3) for name in names]

    purchases.record_each(counted.store, PROGRAM, batch, now=NOW)

    assert counted.write_units == 10 * (3 + 1)


def test_an_item_is_one_unit_by_the_same_arithmetic_that_counts_the_bill() -> None:
    counted = with_members("ada")
    purchases.record_each(counted.store, PROGRAM, [receipt(f"é{n}" * 9) for n in range(40)], now=NOW)

    for item in counted.dynamo.items():
        assert is_one_unit(item) == (write_units(item) == 1)


# --- dying --------------------------------------------------------------------------------------------------------------


def batch() -> list[Receipt]:
    """Four of one member, one of them twice, one with a return that waits for it; one of another, and one of nobody."""
    return [
        receipt("1"),
        receipt("2"),
        receipt("3", "bob"),
        receipt("1"),
        receipt("4", "zoe"),
        receipt("late"),
        replace(receipt("5"), actor=MANAGER),
    ]


def prepared() -> Dynamo:
    counted = Counted()
    for name in ("ada", "bob"):
        enroll(counted.store, name, NOW)
    give_back(counted.store, "late", NOW, key="r", amount=300)
    return counted.dynamo


def keys_of(store: Table, account: str) -> Counter[str]:
    log = store.records_after(account, 1, limit=100)
    books.check([*store.records_after(account, 0, limit=1), *log], ZONE)
    return Counter(entry.key.value for record in log for entry in record.entries if entry.key is not None)


@pytest.mark.parametrize("dies_after", [False, True], ids=["before", "after"])
def test_whoever_dies_at_any_request_is_finished_by_the_next_delivery(dies_after: bool) -> None:
    undisturbed = Counted(prepared())
    purchases.record_each(undisturbed.store, PROGRAM, batch(), now=NOW)
    requests = len(undisturbed.calls)
    wanted = undisturbed.store.head("ADA", strong=True)
    assert wanted is not None

    for place in range(requests):
        dying = Counted(prepared(), dies_at=place, dies_after=dies_after)
        with pytest.raises(Killed):
            purchases.record_each(dying.store, PROGRAM, batch(), now=NOW)
        again = Counted(dying.dynamo)

        answers = purchases.record_each(again.store, PROGRAM, batch(), now=NOW)

        assert [type(each) for each in answers] == [Recorded] * 4 + [MemberNotFound] + [Recorded] * 2
        assert keys_of(again.store, "ADA") == Counter({"1": 1, "2": 1, "late": 1, "5": 1, "late:r": 1})
        assert keys_of(again.store, "BOB") == Counter({"3": 1})
        head = again.store.head("ADA", strong=True)
        assert head is not None
        assert head.state == wanted.state


@pytest.mark.parametrize("second_after", [False, True], ids=["before", "after"])
def test_two_deliveries_may_die_one_after_the_other(second_after: bool) -> None:
    requests = len(_calls_of(prepared()))
    for place in range(0, requests, 3):
        dying = Counted(prepared(), dies_at=place, dies_after=True)
        with pytest.raises(Killed):
            purchases.record_each(dying.store, PROGRAM, batch(), now=NOW)
        snapshot = dying.dynamo.snapshot()
        for second in range(0, 100, 2):
            # As it was after the first death.
            dying.dynamo.restore(snapshot)
            other = Counted(dying.dynamo, dies_at=second, dies_after=second_after)
            with suppress(Killed):
                purchases.record_each(other.store, PROGRAM, batch(), now=NOW)
            last = Counted(dying.dynamo)
            answers = purchases.record_each(last.store, PROGRAM, batch(), now=NOW)
            assert sum(isinstance(each, Refusal) for each in answers) == 1
            assert keys_of(last.store, "ADA") == Counter({"1": 1, "2": 1, "late": 1, "5": 1, "late:r": 1})
            kinds = [entry.kind for r in last.store.records_after("ADA", 1, limit=100) for entry in r.entries]
            assert kinds.count(EntryKind.PURCHASE) == 4
            if len(other.calls) <= second:
                # It had no more requests.
                break


def _calls_of(dynamo: Dynamo) -> list[str]:
    counted = Counted(dynamo)
    purchases.record_each(counted.store, PROGRAM, batch(), now=NOW)
    return counted.calls
