"""The one way to write: exactly once for a key, whoever else is writing, whatever the reader could not see yet."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from domain import accounts, entries, ledger, limits
from domain.entries import Claim, Entry, EntryKind, Key, Record
from domain.refusals import IdempotencyKeyReused, InsufficientPoints, OutcomeUnknown, Refusal
from domain.store import Contended
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    PROGRAM,
    ZONE,
    Interrupted,
    Stale,
    adjust,
    at,
    at_once,
    buy,
    day,
    enroll,
    head_of,
    program,
    redeem,
    refuses,
    unchanged,
)

NOW = at("2026-01-10")


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """A store whose cheap reads are up to date, and one whose cheap reads always come late."""
    made: Memory = request.param()
    enroll(made, "ada", NOW)
    return made


@pytest.fixture
def interrupted() -> Interrupted:
    made = Interrupted()
    enroll(made, "ada", NOW)
    return made


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns after microseconds, so that they meet in the middle of things."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def checked(store: Memory) -> Memory:
    for log in store._logs.values():
        books.check(log, ZONE)
        books.check_due(log, store.due)
    return store


# --- booking ----------------------------------------------------------------------------------------------------------


def test_what_is_booked_is_the_next_record_of_the_account(store: Memory) -> None:
    outcome = buy(store, "ada", 1_299, NOW + timedelta(hours=1), receipt="1")

    assert outcome.record == head_of(store, "ADA")
    assert (outcome.record.seq, outcome.index, outcome.replayed) == (2, 0, False)
    assert outcome.entry == outcome.record.entries[0]
    assert (outcome.entry.key, outcome.entry.at) == (Key("till", "1"), NOW + timedelta(hours=1))


def test_what_time_did_is_booked_before_what_the_caller_does(store: Memory) -> None:
    brief = program(expiry={"days": 1, "rounding": "day"})
    buy(store, "ada", 700, NOW, receipt="1", program=brief)

    outcome = buy(store, "ada", 500, NOW + timedelta(days=9), receipt="2", program=brief)

    assert [entry.kind for entry in outcome.record.entries] == [EntryKind.EXPIRY, EntryKind.PURCHASE]
    assert outcome.index == 1
    assert outcome.record.entries[0].at == at("2026-01-12 00:00")
    assert [entry.balance_after for entry in outcome.record.entries] == [0, 5]
    checked(store)


def test_a_clock_that_runs_behind_books_at_the_time_of_the_head(store: Memory) -> None:
    buy(store, "ada", 100, NOW + timedelta(seconds=5), receipt="1")

    outcome = buy(store, "ada", 100, NOW, receipt="2")

    assert outcome.entry.at == NOW + timedelta(seconds=5)
    checked(store)


def test_every_day_on_which_something_happens_is_noted(store: Memory) -> None:
    buy(store, "ada", 100, NOW, receipt="1", program=program(pending={"days": 14}))

    assert store.due == {(day("2026-01-24"), "ADA"), (day("2028-01-31"), "ADA")}


def test_a_day_is_noted_again_only_when_points_come_back_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    noted: list[list[int]] = []
    monkeypatch.setattr(store, "note_due", lambda _account, due: noted.append(list(due)))
    for number in range(2):
        buy(store, "ada", 2_000, NOW, receipt=str(number))
    redeem(store, "ada", "latte", NOW, key="k")
    adjust(store, "ada", 5, NOW, key="k")

    assert noted == [[day("2028-01-31")], [day("2028-01-31")]]


def test_points_that_never_expire_need_no_day(store: Memory) -> None:
    buy(store, "ada", 100, NOW, receipt="1", program=program(expiry={}))

    assert store.due == set()


def test_a_claim_remembers_what_was_asked_and_when_it_may_be_forgotten(store: Memory) -> None:
    buy(store, "ada", 100, NOW, receipt="1")
    redeemed = adjust(store, "ada", 5, NOW, key="k")

    purchase, other = store.claim(Key("till", "1")), store.claim(redeemed.entry.key or Key("", ""))
    assert purchase is not None
    assert (purchase.account, purchase.seq_seen, purchase.at, purchase.refusal) == ("ADA", 1, NOW, None)
    assert purchase.basket is not None
    assert purchase.basket.total.amount_minor == 100
    assert purchase.expires_at is None
    assert other is not None
    assert (other.basket, other.expires_at) == (None, NOW + limits.CLAIM_RETENTION)
    assert len(other.fingerprint) == 16


# --- the same key -----------------------------------------------------------------------------------------------------


def test_a_retry_has_the_same_entry_however_much_happened_since(store: Memory) -> None:
    first = buy(store, "ada", 5_000, NOW, receipt="1")
    for number in range(2, 5):
        buy(store, "ada", 100, NOW + timedelta(days=number), receipt=str(number))
    redeem(store, "ada", "latte", NOW + timedelta(days=9), key="k")

    with unchanged(store):
        again = buy(store, "ada", 5_000, NOW + timedelta(days=900), receipt="1", occurred_at=NOW)

    assert again == replace(first, replayed=True)


def test_a_refusal_is_the_same_refusal_for_ever(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "rewardId") as first:
        redeem(store, "ada", "latte", NOW, key="k")
    buy(store, "ada", 9_900, NOW, receipt="1")

    for later in (timedelta(0), timedelta(days=30)):
        with refuses(store, InsufficientPoints, "input", "rewardId", replayed=True) as again:
            redeem(store, "ada", "latte", NOW + later, key="k")
        assert again.value.message == first.value.message == "40 points are needed, 0 are available."


def test_who_is_not_refused_or_outrun_costs_one_cheap_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    reads: list[bool] = []
    head = store.head

    def counted(account: str, *, strong: bool = False) -> Record | None:
        reads.append(strong)
        return head(account, strong=strong)

    monkeypatch.setattr(store, "head", counted)

    buy(store, "ada", 100, NOW, receipt="1")

    assert reads == [False]


def test_a_refusal_is_never_judged_on_an_old_balance() -> None:
    store = Stale()
    enroll(store, "ada", NOW)
    buy(store, "ada", 4_000, NOW, receipt="1")
    seen = store.head("ADA")
    assert seen is not None
    assert seen.state.balance == 0

    assert redeem(store, "ada", "latte", NOW, key="k").record.state.balance == 0


def test_a_success_is_never_booked_on_an_old_balance() -> None:
    store = Stale()
    enroll(store, "ada", NOW)
    buy(store, "ada", 4_000, NOW, receipt="1")
    redeem(store, "ada", "latte", NOW, key="k1")

    with refuses(store, InsufficientPoints, "input", "rewardId"):
        redeem(store, "ada", "latte", NOW, key="k2")


def test_one_key_is_one_operation_for_one_member(store: Memory) -> None:
    enroll(store, "bob", NOW)
    buy(store, "ada", 5_000, NOW, receipt="1")
    redeem(store, "ada", "latte", NOW, key="k")

    with refuses(store, IdempotencyKeyReused, "input", "externalId"):
        buy(store, "ada", 5_001, NOW, receipt="1")
    with refuses(store, IdempotencyKeyReused, "input", "externalId"):
        buy(store, "bob", 5_000, NOW, receipt="1")
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        redeem(store, "ada", "cookie", NOW, key="k")
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        redeem(store, "bob", "latte", NOW, key="k")


def test_a_key_that_was_refused_cannot_be_used_for_something_else(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "points"):
        adjust(store, "ada", -5, NOW, key="k")

    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        adjust(store, "ada", 5, NOW, key="k")


def test_keys_belong_to_their_caller(store: Memory) -> None:
    buy(store, "ada", 9_900, NOW, receipt="k")

    assert not redeem(store, "ada", "latte", NOW, key="k").replayed
    assert not adjust(store, "ada", 5, NOW, key="k").replayed
    assert entries.caller_key("p.a:b", "k") != entries.caller_key("p.a", "b:k")
    assert ":" not in entries.caller_key("p.a:b", "k").source


def test_inputs_that_differ_anywhere_have_different_fingerprints() -> None:
    facts: list[tuple[object, ...]] = [
        ("a",),
        ("a", None),
        ("a", ""),
        ("a", "None"),
        ("a", 1),
        ("a", "1"),
        ("a", ["1"]),
        ("a", [1]),
        ("a,b",),
        ("a", "b"),
        (["a", "b"],),
        (None, "a"),
        ("a", True),
    ]
    prints = {ledger.fingerprint(Memory(), name, *each) for name in ("one", "two") for each in facts}

    assert len(prints) == 2 * len(facts)
    assert all(len(each) == 16 for each in prints)


# --- races ------------------------------------------------------------------------------------------------------------


def test_a_lost_race_is_run_again_on_the_newer_account(interrupted: Interrupted) -> None:
    buy(interrupted, "ada", 4_000, NOW, receipt="1")
    interrupted.before_append.append(lambda: buy(interrupted, "ada", 100, NOW, receipt="2"))

    outcome = redeem(interrupted, "ada", "latte", NOW, key="k")

    assert (outcome.record.seq, outcome.record.state.balance, interrupted.pauses) == (4, 1, 0)
    checked(interrupted)


def test_who_loses_the_race_for_the_last_points_is_refused_for_good(interrupted: Interrupted) -> None:
    buy(interrupted, "ada", 4_000, NOW, receipt="1")
    interrupted.before_append.append(lambda: redeem(interrupted, "ada", "latte", NOW, key="other"))

    with pytest.raises(InsufficientPoints) as refused:
        redeem(interrupted, "ada", "latte", NOW, key="k")

    assert not refused.value.replayed
    # Its key was claimed already, so the no stands in the log.
    last = head_of(interrupted, "ADA").entries[-1]
    assert (last.kind, last.lines, last.refusal) == (EntryKind.REFUSED, (), refused.value)
    adjust(interrupted, "ada", 500, NOW, key="gift")
    with refuses(interrupted, InsufficientPoints, "input", "rewardId", replayed=True):
        redeem(interrupted, "ada", "latte", NOW, key="k")


def test_two_deliveries_of_one_call_are_one_entry(interrupted: Interrupted) -> None:
    interrupted.before_append.append(lambda: buy(interrupted, "ada", 300, NOW, receipt="1"))

    outcome = buy(interrupted, "ada", 300, NOW, receipt="1")

    assert outcome.replayed
    assert head_of(interrupted, "ADA").state.balance == 3


def test_two_deliveries_of_one_call_agree_when_one_is_already_refused(interrupted: Interrupted) -> None:
    # The first delivery found nothing to spend; the second comes after points did, before the first has said no.
    def rich_and_again() -> None:
        buy(interrupted, "ada", 4_000, NOW, receipt="1")
        assert not redeem(interrupted, "ada", "latte", NOW, key="k").replayed

    interrupted.before_claim.append(rich_and_again)

    outcome = redeem(interrupted, "ada", "latte", NOW, key="k")

    assert outcome.replayed
    assert head_of(interrupted, "ADA").state.balance == 0


def test_an_account_that_is_always_busy_has_an_unknown_outcome_and_nothing_written(interrupted: Interrupted) -> None:
    def busy() -> None:
        interrupted.before_append.append(busy)
        raise Contended

    interrupted.before_append.append(busy)

    with refuses(interrupted, OutcomeUnknown):
        adjust(interrupted, "ada", 5, NOW, key="k")
    assert interrupted.pauses == limits.COMMIT_ATTEMPTS_MAX
    interrupted.before_append.clear()
    assert not adjust(interrupted, "ada", 5, NOW, key="k").replayed


def test_a_refusal_that_cannot_be_remembered_is_not_given(interrupted: Interrupted) -> None:
    def busy() -> None:
        raise Contended

    interrupted.before_claim.append(busy)

    with refuses(interrupted, OutcomeUnknown):
        redeem(interrupted, "ada", "latte", NOW, key="k")


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize(("balance", "successes"), [(0, 0), (39, 0), (40, 1), (41, 1), (1_019, 25), (8_000, 200)])
def test_200_redemptions_at_once_succeed_as_often_as_the_balance_allows(balance: int, successes: int) -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    buy(store, "ada", balance * 100, NOW, receipt="1")

    answers = at_once(
        [lambda number=number: redeem(store, "ada", "latte", NOW, key=str(number)) for number in range(200)]
    )

    assert sum(isinstance(answer, ledger.Outcome) for answer in answers) == successes
    assert sum(isinstance(answer, InsufficientPoints) for answer in answers) == 200 - successes
    assert head_of(checked(store), "ADA").state.balance == balance - successes * 40


@pytest.mark.usefixtures("eager_threads")
def test_100_purchases_at_once_are_all_there(store: Memory) -> None:
    answers = at_once(
        [
            lambda number=number: buy(store, "ada", 100 * number, NOW, receipt=str(number % 50))
            for number in range(100)
            if number < 50 or number % 2
        ]
    )

    booked = [answer for answer in answers if isinstance(answer, ledger.Outcome)]
    assert len(booked) == 50, [answer for answer in answers if not isinstance(answer, ledger.Outcome | Refusal)]
    assert sum(isinstance(answer, IdempotencyKeyReused) for answer in answers) == 25
    assert head_of(checked(store), "ADA").state.balance == sum(outcome.entry.points for outcome in booked)


@pytest.mark.usefixtures("eager_threads")
def test_one_call_delivered_50_times_at_once_is_booked_once(store: Memory) -> None:
    answers = at_once([lambda: buy(store, "ada", 700, NOW, receipt="1")] * 50)

    assert sorted(answer.replayed for answer in answers) == [False, *[True] * 49]
    assert {answer.entry for answer in answers} == {answers[0].entry}
    assert head_of(checked(store), "ADA").seq == 2


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_reader_sees_what_time_did_though_nobody_has_booked_it(store: Memory) -> None:
    buy(store, "ada", 700, NOW, receipt="1", program=program(expiry={"days": 1, "rounding": "day"}))
    head, later = head_of(store, "ADA"), NOW + timedelta(days=9)

    with unchanged(store):
        seen = ledger.current(head, later, PROGRAM)

    assert seen.state.balance == 0
    assert [entry.kind for entry in seen.entries] == [EntryKind.EXPIRY]
    booked = buy(store, "ada", 0, later, receipt="2").record
    assert (seen.seq, seen.entries) == (booked.seq, booked.entries[:1])


def last_of(store: Memory, count: int, *, seq_seen: int) -> Claim:
    """The claim of Ada's last purchase of so many, as if it had seen the sequence: others may append between a claim and its
    entry, which stands anywhere after what the claim has seen."""
    for number in range(count):
        buy(store, "ada", 100, NOW, receipt=str(number))
    claim = store.claim(Key("till", str(count - 1)))
    assert claim is not None
    return replace(claim, seq_seen=seq_seen)


@pytest.mark.parametrize("count", [7, 2 * limits.RESUME_PAGES_MAX + 50])
def test_an_answer_is_found_however_much_was_booked_since(
    store: Memory, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Behind any number of pages: a card that everybody at the till uses has thousands of records in between."""
    monkeypatch.setattr(limits, "RESUME_PAGE", 2)
    claim = last_of(store, count, seq_seen=1)

    found = ledger.Trail(store, claim).find(claim.key)

    assert found is not None
    assert (found.record.seq, found.entry.key, found.replayed) == (count + 1, claim.key, True)


def test_whoever_has_no_time_to_read_on_does_not_know(store: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESUME_PAGE", 2)
    claim = last_of(store, 7, seq_seen=1)

    def late() -> None:
        raise OutcomeUnknown("There is no time left.")

    monkeypatch.setattr(store, "require_time", late)

    assert ledger.Trail(store, replace(claim, seq_seen=7)).find(claim.key) is not None, "one page is read in any case"
    with pytest.raises(OutcomeUnknown):
        ledger.Trail(store, claim).find(claim.key)


class Gapped(Memory):
    """Once, a page misses a record that was appended while it was being read, and has the one behind it."""

    missed = 0

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        page = super().records_after(account, seq, limit=limit + 1)
        if not self.missed and len(page) > 2:
            self.missed = page[1].seq
            page = [record for record in page if record.seq != self.missed]
        return page[:limit]


def test_a_record_that_a_page_has_missed_is_read_again() -> None:
    store = Gapped()
    enroll(store, "ada", NOW)
    for number in (1, 2, 3):
        buy(store, "ada", 100, NOW, receipt=str(number))
    claim = store.claim(Key("till", "2"))
    assert claim is not None

    trail = ledger.Trail(store, claim)
    found = trail.find(claim.key)

    assert store.missed == 3
    assert found is not None
    assert (found.record.seq, found.entry.key) == (3, Key("till", "2"))


def test_a_record_that_is_lost_is_not_looked_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    claim = last_of(store, 5, seq_seen=2)
    records_after, reads = store.records_after, []

    def without(account: str, seq: int, *, limit: int) -> Sequence[Record]:
        reads.append(seq)
        return [record for record in records_after(account, seq, limit=limit) if record.seq != 4]

    monkeypatch.setattr(store, "records_after", without)

    with pytest.raises(OutcomeUnknown):
        ledger.Trail(store, claim).find(claim.key)
    assert len(reads) < 3 * limits.GAP_READS_MAX


def test_whoever_can_do_without_an_answer_reads_so_many_pages(store: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESUME_PAGE", 2)
    claim = last_of(store, 9, seq_seen=1)

    with pytest.raises(OutcomeUnknown):
        ledger.Trail(store, claim, pages_max=3).find(claim.key)
    assert ledger.Trail(store, claim, pages_max=6).find(claim.key) is not None


def test_booking_is_pure(store: Memory) -> None:
    head = head_of(store, "ADA")

    def decide(before: Record) -> Entry:
        return Entry(EntryKind.ADJUSTMENT, NOW, accounts.earn(before.state, 5, expires=30_000, today=20_000), 0)

    with unchanged(store):
        once = ledger.book(head, None, decide, now=NOW, program=PROGRAM)
        assert ledger.book(head, None, decide, now=NOW, program=PROGRAM) == once
