"""Submissions: many purchases in one call, their messages, and what became of each."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import limits, queued, submissions
from domain.access import Actor
from domain.entries import BasketLine, EntryKind, Key
from domain.members import InvalidEmail, Lookup
from domain.programs import Program
from domain.purchases import (
    CurrencyNotAccepted,
    InvalidAmount,
    LinesTotalMismatch,
    Receipt,
    Recorded,
    tidied,
)
from domain.queued import NotAPurchase, Queued
from domain.refusals import (
    IdempotencyKeyReused,
    InvalidText,
    InvalidTime,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
)
from domain.submissions import (
    NoPurchases,
    Offer,
    Status,
    Submission,
    SubmissionKnown,
    SubmissionTooLarge,
    Submitted,
    SubmittedTooLongAgo,
)
from storage.memory import Memory, MemorySubmissions
from tests.domain.lives import PROGRAMS
from tests.domain.world import (
    MANAGER,
    PROGRAM,
    TILL,
    at,
    basket,
    buy,
    close,
    contents,
    enroll,
    external,
    give_back,
    head_of,
    program,
    search,
)

NOW = at("2026-03-01")


def offer(
    number: str,
    name: str = "ada",
    amount: int = 1_000,
    *,
    source: str = "till",
    member: Lookup | Refusal | None = None,
    occurred_at: datetime = NOW,
    is_dated: bool = True,
    **more: Any,
) -> Offer:
    return Offer(source, number, member or external(name), basket(amount, occurred_at, **more), is_dated)


@dataclass
class World:
    """A store with Ada and Bob, submissions, and a queue that keeps what it is sent; it may be full."""

    store: Memory = field(default_factory=Memory)
    kept: MemorySubmissions = field(default_factory=MemorySubmissions)
    messages: list[str] = field(default_factory=list)
    is_full: bool = False
    now: datetime = NOW
    program: Program = PROGRAM

    def __post_init__(self) -> None:
        for name in ("ada", "bob"):
            enroll(self.store, name, NOW)

    def send(self, messages: Sequence[str]) -> None:
        if self.is_full:
            self.messages += messages[: len(messages) // 2]
            raise OutcomeUnknown("Not everything could be queued.")
        self.messages += messages

    def submit(self, *offers: Offer, key: str = "k", actor: Actor = TILL) -> Submitted:
        return submissions.submit(
            self.kept,
            self.store,
            self.program,
            actor=actor,
            idempotency_key=key,
            offers=offers,
            now=self.now,
            wall=self.now,
            send=self.send,
        )

    def work(self) -> list[Recorded | Refusal]:
        """Books all that waits, as one batch."""
        waiting, self.messages = [queued.queued_from(self.store, text) for text in self.messages], []
        return self.book(waiting)

    def book(self, waiting: Sequence[Queued]) -> list[Recorded | Refusal]:
        return submissions.book(self.kept, self.store, self.program, waiting, now=self.now, wall=self.now)

    def statuses(self, submission: Submission) -> list[Status]:
        return [each.status for each in self.standing(submission)]

    def standing(self, submission: Submission) -> list[submissions.Standing]:
        return submissions.standing(self.kept, self.store, submission, range(len(submission.items)), wall=self.now)

    def tally(self, submission: Submission) -> dict[Status, int]:
        return submissions.tally(self.kept, self.store, submission, wall=self.now)

    def balance(self, account: str = "ADA") -> int:
        return head_of(self.store, account).state.balance


@pytest.fixture
def world() -> World:
    return World()


# --- submitting ---------------------------------------------------------------------------------------------------------


def test_each_acceptable_purchase_is_a_message_and_the_others_are_refused_with_their_path(world: World) -> None:
    lines = (BasketLine("a", None, 1, 1),)
    submitted = world.submit(
        offer("1"),
        offer("2", source="a b"),
        offer("3", amount=-1),
        offer("4", lines=lines),
        offer("5", currency="EUR"),
        offer("6", occurred_at=NOW - timedelta(days=401)),
        offer("7", member=InvalidEmail("This is not an email address.", field=("input", "member", "email"))),
        offer(" 8 ", "zoe"),
    )

    assert [type(item.refusal) for item in submitted.submission.items] == [
        type(None),
        InvalidText,
        InvalidAmount,
        LinesTotalMismatch,
        CurrencyNotAccepted,
        InvalidTime,
        InvalidEmail,
        type(None),
    ]
    assert [item.refusal.field for item in submitted.submission.items if item.refusal] == [
        ("input", "purchases", "1", "source"),
        ("input", "purchases", "2", "total", "amountMinor"),
        ("input", "purchases", "3", "lines"),
        ("input", "purchases", "4", "total", "currency"),
        ("input", "purchases", "5", "occurredAt"),
        ("input", "purchases", "6", "member", "email"),
    ]
    assert [item.external_id for item in submitted.submission.items] == ["1", None, "3", "4", "5", "6", "7", "8"]
    assert [queued.queued_from(world.store, text).index for text in world.messages] == [0, 7]
    assert not submitted.replayed


def test_nothing_is_booked_before_a_worker_comes(world: World) -> None:
    before = contents(world.store)

    submission = world.submit(offer("1"), offer("2")).submission

    assert contents(world.store) == before
    assert world.statuses(submission) == [Status.ACCEPTED, Status.ACCEPTED]


def test_a_submission_is_written_down_before_its_first_message_goes_out(world: World) -> None:
    world.is_full = True

    with pytest.raises(OutcomeUnknown):
        world.submit(offer("1"), offer("2"))

    (kept,) = world.kept._kept.values()
    assert world.statuses(kept) == [Status.ACCEPTED, Status.ACCEPTED]


def test_what_may_not_have_been_queued_is_queued_when_it_is_sent_again(world: World) -> None:
    world.is_full = True
    with pytest.raises(OutcomeUnknown):
        world.submit(offer("1"), offer("2"))
    world.is_full = False

    again = world.submit(offer("1"), offer("2"))

    assert again.replayed
    assert len(world.messages) == 3
    assert len([each for each in world.work() if isinstance(each, Recorded)]) == 3
    assert world.balance() == 20
    assert world.statuses(again.submission) == [Status.APPLIED, Status.APPLIED]


def test_what_is_queued_for_sure_is_not_queued_again(world: World) -> None:
    first = world.submit(offer("1"))

    again = world.submit(offer("1"))

    assert again == replace(first, replayed=True)
    assert len(world.messages) == 1


def test_what_was_accepted_stays_accepted_whatever_the_program_and_the_clock_say_later(world: World) -> None:
    world.is_full = True
    wished = (offer("1", currency="JPY"), offer("2", occurred_at=NOW - timedelta(days=399)), offer("3", is_dated=False))
    with pytest.raises(OutcomeUnknown):
        world.submit(*wished)
    world.is_full, world.messages = False, []
    world.program = program(currencies={"USD": 100})
    world.now = NOW + timedelta(days=3)

    again = world.submit(*wished[:2], offer("3", is_dated=False, occurred_at=world.now))

    assert again.replayed
    assert again.submission.submitted_at == NOW
    assert [item.refusal for item in again.submission.items] == [None, None, None]
    read = [queued.queued_from(world.store, text) for text in world.messages]
    assert [each.receipt.asked_at for each in read] == [NOW] * 3
    # The time that was left out is that of the submission.
    assert read[2].receipt.basket.occurred_at == NOW


def test_what_may_not_have_been_queued_is_not_queued_when_its_messages_would_be_too_old(world: World) -> None:
    world.is_full = True
    with pytest.raises(OutcomeUnknown):
        world.submit(offer("1"), offer("2"))
    world.is_full, world.messages = False, []
    world.now = NOW + limits.QUEUED_AGE_MAX + timedelta(milliseconds=1)
    before = (dict(world.kept._kept), contents(world.store))

    with pytest.raises(SubmittedTooLongAgo) as refused:
        world.submit(offer("1"), offer("2"))

    assert refused.value.field == ("input", "idempotencyKey")
    assert world.messages == []
    assert (world.kept._kept, contents(world.store)) == before
    (kept,) = world.kept._kept.values()
    assert world.statuses(kept) == [Status.FAILED, Status.FAILED]

    # Under another key it is another submission, and the first one says what became of the purchases.
    world.submit(offer("1"), offer("2"), key="k2")
    world.work()
    assert world.statuses(kept) == [Status.APPLIED, Status.APPLIED]


def test_until_then_it_is_queued_and_booked(world: World) -> None:
    world.is_full = True
    with pytest.raises(OutcomeUnknown):
        world.submit(offer("1"))
    world.is_full, world.messages, world.now = False, [], NOW + limits.QUEUED_AGE_MAX

    again = world.submit(offer("1"))
    world.work()

    assert world.statuses(again.submission) == [Status.APPLIED]


def test_what_was_queued_for_sure_is_found_however_long_ago_it_was(world: World) -> None:
    first = world.submit(offer("1"))
    world.now = NOW + timedelta(days=30)

    assert world.submit(offer("1")) == replace(first, replayed=True)


@pytest.mark.parametrize(
    ("day", "amount", "currency", "answer"),
    [
        (399, 1_000, "USD", Status.APPLIED),
        (0, 1_000, "JPY", Status.APPLIED),
        # Another input under its key is told so by the worker, as a single call would be.
        (399, 1_001, "USD", Status.REFUSED),
    ],
)
def test_what_was_recorded_before_is_told_again_whatever_the_program_and_the_clock_say_now(
    world: World, day: int, amount: int, currency: str, answer: Status
) -> None:
    occurred = NOW - timedelta(days=day)
    buy(world.store, "ada", 1_000, NOW, receipt="1", occurred_at=occurred, currency=currency)
    world.now, world.program = NOW + timedelta(days=3), program(currencies={"USD": 100})
    before = world.balance()

    submitted = world.submit(
        offer("1", amount=amount, occurred_at=occurred, currency=currency),
        offer("2", amount=amount, occurred_at=occurred, currency=currency),
    )
    world.work()

    # The second was never recorded, and is refused at once: too old, or in a currency that is gone.
    assert [item.refusal is None for item in submitted.submission.items] == [True, False]
    first, _ = world.standing(submitted.submission)
    assert first.status is answer
    assert first.refusal is None or isinstance(first.refusal, IdempotencyKeyReused)
    assert world.balance() == before


def test_a_return_that_waits_makes_nothing_acceptable(world: World) -> None:
    give_back(world.store, "1", NOW, key="r", amount=400)

    submitted = world.submit(offer("1", occurred_at=NOW - timedelta(days=401)))

    assert [type(item.refusal) for item in submitted.submission.items] == [InvalidTime]


def test_what_was_refused_at_once_and_is_booked_later_is_applied(world: World) -> None:
    ahead = NOW + timedelta(minutes=6)
    first = world.submit(offer("1", occurred_at=ahead), offer("2", occurred_at=ahead)).submission
    assert world.statuses(first) == [Status.REFUSED] * 2
    world.now = NOW + timedelta(minutes=2)

    # The same one, and another input under the other's key.
    second = world.submit(offer("1", occurred_at=ahead), offer("2", amount=5, occurred_at=ahead), key="k2").submission
    world.work()

    assert world.statuses(second) == [Status.APPLIED] * 2
    assert world.statuses(first) == [Status.APPLIED, Status.REFUSED]
    assert isinstance(world.standing(first)[1].refusal, InvalidTime)


def test_a_purchase_that_was_refused_for_good_later_stays_refused_for_what_was_said_at_once(world: World) -> None:
    enroll(world.store, "eve", NOW)
    close(world.store, "eve", NOW, key="c")
    ahead, eve = NOW + timedelta(minutes=6), Lookup("id", "EVE")
    first = world.submit(offer("1", member=eve, occurred_at=ahead)).submission
    world.now = NOW + timedelta(minutes=2)
    world.submit(offer("1", member=eve, occurred_at=ahead), key="k2")
    world.work()

    assert [type(each.refusal) for each in world.standing(first)] == [InvalidTime]


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_inputs_under_one_key_in_one_call_the_first_has_it_and_the_second_is_told_at_once(
    world: World, turned: bool
) -> None:
    wanted = (offer("1", amount=1_000), offer("1", amount=9_000), offer("1", amount=1_000), offer("1", "bob"))

    submission = world.submit(*wanted).submission
    assert [item.refusal and (item.refusal.code, item.refusal.field) for item in submission.items] == [
        None,
        ("IDEMPOTENCY_KEY_REUSED", ("input", "purchases", "1", "externalId")),
        None,
        ("IDEMPOTENCY_KEY_REUSED", ("input", "purchases", "3", "externalId")),
    ]
    assert {item.refusal.message for item in submission.items if item.refusal} == {
        "The key '1' is used by another purchase of this submission, the one at index 0."
    }
    if turned:
        world.messages.reverse()
    world.work()

    assert world.statuses(submission) == [Status.APPLIED, Status.REFUSED] * 2
    assert (world.balance("ADA"), world.balance("BOB")) == (10, 0)


def test_of_two_inputs_under_one_key_the_one_that_was_refused_at_once_has_it_not(world: World) -> None:
    wanted = (offer("1", amount=-1), offer("1", amount=1_000), offer("1", amount=9_000))

    submission = world.submit(*wanted).submission

    assert [item.refusal.message if item.refusal else None for item in submission.items][1:] == [
        None,
        "The key '1' is used by another purchase of this submission, the one at index 1.",
    ]
    world.work()
    assert world.balance() == 10


def test_of_two_inputs_under_a_key_that_is_used_the_one_that_has_it_is_told_again(world: World) -> None:
    buy(world.store, "ada", 9_000, NOW, receipt="1", occurred_at=NOW)

    submission = world.submit(offer("1", amount=1_000), offer("1", amount=9_000)).submission
    world.work()

    assert world.statuses(submission) == [Status.REFUSED, Status.APPLIED]
    assert world.balance() == 90


def test_what_is_refused_at_once_takes_no_key_from_what_follows(world: World) -> None:
    submission = world.submit(offer("1", occurred_at=NOW - timedelta(days=401)), offer("1")).submission
    world.work()

    assert world.statuses(submission) == [Status.REFUSED, Status.APPLIED]


def test_a_call_in_which_nothing_is_wrong_looks_nothing_up(world: World) -> None:
    world.store.claims = None  # type: ignore[method-assign, assignment]

    world.submit(offer("1"), offer("2"), offer("1"), offer("3", amount=-1))


@pytest.mark.parametrize(
    "other",
    [
        (offer("1"), offer("3")),
        (offer("1"),),
        (offer("1"), offer("2"), offer("3")),
        (offer("2"), offer("1")),
        (offer("1"), offer("2", amount=999)),
        (offer("1"), offer("2", "bob")),
        (offer("1"), offer("2", is_dated=False)),
        (offer("1"), offer("2", location=None)),
    ],
)
def test_the_same_key_with_other_purchases_is_refused(world: World, other: tuple[Offer, ...]) -> None:
    world.submit(offer("1"), offer("2"))
    before = (dict(world.kept._kept), list(world.messages))

    with pytest.raises(IdempotencyKeyReused) as refused:
        world.submit(*other)

    assert refused.value.field == ("input", "idempotencyKey")
    assert (world.kept._kept, world.messages) == before


def test_a_key_is_its_callers_own(world: World) -> None:
    one, other = world.submit(offer("1")), world.submit(offer("2"), actor=MANAGER)

    assert one.submission.id != other.submission.id
    assert not other.replayed


def test_of_two_calls_at_once_one_writes_and_the_other_finds_it(world: World) -> None:
    first = world.submit(offer("1"))
    # As if it had not been there a moment ago.
    world.kept.find = lambda _id: None  # type: ignore[method-assign]

    again = world.submit(offer("1"))

    assert again == replace(first, replayed=True)


@pytest.mark.parametrize("key", ["", " ", "x" * 257, "a\nb"])
def test_a_key_has_to_be_a_text(world: World, key: str) -> None:
    with pytest.raises(InvalidText) as refused:
        world.submit(offer("1"), key=key)

    assert refused.value.field == ("input", "idempotencyKey")
    assert (world.kept._kept, world.messages) == ({}, [])


def test_a_submission_has_a_purchase(world: World) -> None:
    with pytest.raises(NoPurchases) as refused:
        world.submit()

    assert refused.value.field == ("input", "purchases")
    assert world.kept._kept == {}


def test_names_that_no_item_holds_are_refused_together(world: World) -> None:
    wished = [offer(f"{n}" + "🔑" * 250) for n in range(limits.SUBMISSION_PURCHASES_MAX)]

    with pytest.raises(SubmissionTooLarge):
        world.submit(*wished)

    assert (world.kept._kept, world.messages) == ({}, [])
    assert len(world.submit(*wished[:250]).submission.items) == 250


def test_what_is_said_of_many_counts_once() -> None:
    """A refusal that names the currencies of a program, five hundred times, is no reason to refuse the rest."""
    codes = [f"{first}{second}{third}" for first in "ABCDE" for second in "ABCDEF" for third in "ABCDE"]
    many = program(currencies=dict.fromkeys(codes, 100))
    world = World(program=many)

    submission = world.submit(*(offer(f"{n}") for n in range(limits.SUBMISSION_PURCHASES_MAX))).submission

    assert world.statuses(submission) == [Status.REFUSED] * limits.SUBMISSION_PURCHASES_MAX


def test_a_submission_of_refused_purchases_alone_is_one(world: World) -> None:
    submission = world.submit(offer("1", amount=-1)).submission

    assert world.messages == []
    assert world.statuses(submission) == [Status.REFUSED]


# --- messages -----------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=8).map(str.strip)


def a_message(world: World) -> str:
    world.submit(offer("1", lines=(BasketLine("bean", None, 2, 1_000),)))
    (text,) = world.messages
    return text


@search(100)
@given(
    texts=st.lists(TEXTS.filter(bool), min_size=4, max_size=4),
    amount=st.integers(0, limits.AMOUNT_MINOR_MAX),
    micros=st.integers(0, 999_999),
    is_dated=st.booleans(),
    by=st.sampled_from([TILL, MANAGER]),
)
def test_a_message_holds_a_purchase_whole(
    texts: list[str], amount: int, micros: int, is_dated: bool, by: Actor
) -> None:
    store = Memory()
    number, name, label, sku = texts
    occurred = NOW.replace(microsecond=micros)
    kept = basket(amount, occurred, location=label, channel=None, lines=(BasketLine(sku, None, 3, amount),))
    receipt = tidied(Receipt(by, "till", number, Lookup("external", name), kept, NOW, is_dated))

    text = queued.message(store, Queued("0" * 32, 7, NOW, receipt))

    read = queued.queued_from(store, text)
    assert replace(read.receipt, actor=by) == receipt
    assert (read.receipt.actor.id, read.receipt.actor.role) == (by.id, by.role)
    assert (read.submission, read.index, read.sent_at) == ("0" * 32, 7, NOW)
    # A queue takes no other characters (AWS).
    assert all(each in "\t\n\r" or "\x20" <= each <= "\ufffd" or each > "\uffff" for each in text)


def test_the_worst_purchase_is_a_message_that_a_queue_takes(world: World) -> None:
    lines = tuple(BasketLine("🍰" * 64, "🍰" * 64, 10**6, 10**9) for _ in range(limits.PURCHASE_LINES_MAX))
    world.submit(offer("🔑" * 256, "🙂" * 128, amount=200 * 10**9, lines=lines, location="🍰" * 64, channel="🍰" * 64))

    (text,) = world.messages
    assert len(text.encode()) < limits.MESSAGE_CALL_BYTES_MAX


def altered(text: str, **changes: Any) -> str:
    return json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"total": [100_000, "USD"]},
        {"member": ["external", "bob"]},
        {"index": 1},
        {"submission": "f" * 32},
        {"source": "other"},
        {"external_id": "2"},
        {"asked_at": "2030-01-01T00:00:00+00:00"},
        {"sent_at": "2030-01-01T00:00:00+00:00"},
        {"role": "MANAGER"},
        {"subject": "grace"},
        {"lines": []},
        {"is_dated": False},
        {"more": 1},
        {"seal": "0" * 32},
        {"seal": None},
        {"seal": "\ud800"},
        {"v": 2},
        {"v": None},
    ],
)
def test_a_message_that_was_altered_is_poison_and_says_whose_it_claims_to_be(
    world: World, changes: dict[str, Any]
) -> None:
    text = a_message(world)

    with pytest.raises(NotAPurchase) as poison:
        queued.queued_from(world.store, altered(text, **changes))

    wanted = {**json.loads(text), **changes}
    assert (poison.value.submission, poison.value.index) == (wanted["submission"], wanted["index"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "5",
        "[]",
        '"x"',
        "{}",
        "[" * 100_000,
        '{"a":' * 900 + "1" + "}" * 900,
        '{"submission": "x", "index": 0}',
        '{"submission": 5, "index": 0}',
        json.dumps({"submission": "0" * 32, "index": True}),
        json.dumps({"submission": "0" * 32, "index": -1}),
        json.dumps({"submission": "0" * 32, "index": limits.SUBMISSION_PURCHASES_MAX}),
        json.dumps({"submission": "0" * 32, "index": "1"}),
        json.dumps({"submission": "0" * 32 + "\n", "index": 1}),
    ],
)
def test_what_is_no_message_of_a_submission_is_poison_of_nobodys(world: World, text: str) -> None:
    with pytest.raises(NotAPurchase) as poison:
        queued.queued_from(world.store, text)

    assert poison.value.submission == ""


def test_a_message_of_another_stack_is_poison(world: World) -> None:
    text = a_message(world)

    with pytest.raises(NotAPurchase, match="altered, or written by somebody else"):
        queued.queued_from(Memory(pepper=b"of another stack"), text)


# --- booking ------------------------------------------------------------------------------------------------------------


def test_queued_purchases_are_booked_those_of_one_member_together(world: World) -> None:
    submission = world.submit(offer("1"), offer("2", "bob"), offer("3")).submission

    world.work()

    assert world.statuses(submission) == [Status.APPLIED] * 3
    assert (world.balance("ADA"), world.balance("BOB")) == (20, 10)
    assert [len(log) for log in world.store._logs.values()] == [2, 2]
    assert world.tally(submission) == {Status.APPLIED: 3}


def test_a_batch_is_booked_in_the_order_in_which_it_was_submitted(world: World) -> None:
    """A queue mixes up what it was sent; in a program with tiers the order is worth points."""
    world.program = next(each for each in PROGRAMS if each.ladder is not None)
    world.submit(offer("1", amount=6_000), *(offer(f"{n}", amount=1_000) for n in range(2, 7)), key="first")
    world.now += timedelta(minutes=1)
    world.submit(offer("9", amount=1_000), offer("8", amount=1_000), key="second")
    messages, balances, orders = list(world.messages), set(), set()
    for seed in range(5):
        each = World(program=world.program, now=world.now)
        assert each.store.digest(b"") == world.store.digest(b"")
        each.messages = random.Random(seed).sample(messages, len(messages))
        given = [queued.queued_from(each.store, text).receipt.external_id for text in each.messages]
        # Each is answered in the place where it came.
        assert [answer.outcome.entry.key.value for answer in each.work()] == given  # type: ignore[union-attr]
        balances.add(each.balance())
        log = each.store._logs["ADA"]
        orders.add(
            tuple(entry.key.value for r in log for entry in r.entries if entry.key and entry.key.source == "till")
        )

    assert orders == {("1", "2", "3", "4", "5", "6", "9", "8")}
    assert len(balances) == 1


def test_a_message_may_come_again_and_again(world: World) -> None:
    submission = world.submit(offer("1"), offer("2")).submission
    messages = world.messages * 3
    for _ in range(3):
        world.messages = list(messages)
        world.work()

    assert world.balance() == 20
    assert world.statuses(submission) == [Status.APPLIED] * 2


def test_a_refusal_of_the_workers_is_told_by_the_submission(world: World) -> None:
    enroll(world.store, "eve", NOW)
    close(world.store, "eve", NOW, key="c")
    buy(world.store, "ada", 500, NOW, receipt="used")
    submission = world.submit(
        offer("1", "zoe"), offer("2", member=Lookup("id", "EVE")), offer("used", amount=501), offer("3")
    ).submission

    world.work()

    standing = world.standing(submission)
    assert [each.status for each in standing] == [Status.REFUSED] * 3 + [Status.APPLIED]
    assert [(type(each.refusal), each.refusal and each.refusal.field) for each in standing[:3]] == [
        (MemberNotFound, ("input", "purchases", "0", "member")),
        (MemberClosed, ("input", "purchases", "1", "member")),
        (IdempotencyKeyReused, ("input", "purchases", "2", "externalId")),
    ]
    assert world.tally(submission) == {Status.REFUSED: 3, Status.APPLIED: 1}


def test_a_key_that_something_else_has_is_not_taken_for_applied_before_the_worker_says_so(world: World) -> None:
    buy(world.store, "ada", 500, NOW, receipt="used")

    submission = world.submit(offer("used", amount=501)).submission

    assert world.statuses(submission) == [Status.ACCEPTED]


def test_what_was_refused_and_is_applied_later_is_applied(world: World) -> None:
    submission = world.submit(offer("1", "zoe")).submission
    messages = list(world.messages)
    world.work()
    assert world.statuses(submission) == [Status.REFUSED]
    enroll(world.store, "zoe", NOW)

    world.messages = messages
    world.work()

    assert world.statuses(submission) == [Status.APPLIED]


def test_what_a_till_records_itself_meanwhile_is_applied_once(world: World) -> None:
    submission = world.submit(offer("1")).submission

    buy(world.store, "ada", 1_000, NOW, receipt="1")
    assert world.statuses(submission) == [Status.APPLIED]
    world.work()

    assert world.balance() == 10
    assert world.statuses(submission) == [Status.APPLIED]


def test_a_purchase_twice_in_a_submission_is_applied_once_and_both_say_so(world: World) -> None:
    submission = world.submit(offer("1"), offer("1")).submission

    world.work()

    assert world.statuses(submission) == [Status.APPLIED, Status.APPLIED]
    assert world.balance() == 10


def test_a_return_before_its_queued_purchase_waits_and_is_booked_in_its_record(world: World) -> None:
    submission = world.submit(offer("1"), offer("2"), offer("3")).submission
    give_back(world.store, "2", NOW, key="r", amount=400)
    assert world.statuses(submission) == [Status.ACCEPTED] * 3

    world.work()

    assert world.statuses(submission) == [Status.APPLIED] * 3
    assert world.balance() == 30 - 4
    (record,) = [each for each in world.store._logs["ADA"] if any(e.kind is EntryKind.RETURN for e in each.entries)]
    assert [entry.kind for entry in record.entries] == [EntryKind.PURCHASE, EntryKind.RETURN]


def test_what_was_queued_for_too_long_is_refused_and_nothing_is_booked(world: World) -> None:
    submission = world.submit(offer("1")).submission
    waiting = [queued.queued_from(world.store, text) for text in world.messages]
    world.now = NOW + limits.QUEUED_AGE_MAX
    late = world.now + timedelta(milliseconds=1)
    before = contents(world.store)

    (answer,) = submissions.book(world.kept, world.store, PROGRAM, waiting, now=late, wall=late)

    assert isinstance(answer, SubmittedTooLongAgo)
    assert contents(world.store) == before
    assert [type(each.refusal) for each in world.standing(submission)] == [SubmittedTooLongAgo]

    (answer,) = world.book(waiting)
    assert isinstance(answer, Recorded)
    assert world.statuses(submission) == [Status.APPLIED]


def test_the_wall_says_how_old_a_message_is_and_the_program_when_it_was_asked_for(world: World) -> None:
    """In a sandbox the program's clock is turned; a message waits no longer for that."""
    world.submit(offer("1", is_dated=False))
    (waiting,) = [queued.queued_from(world.store, text) for text in world.messages]
    turned = NOW + timedelta(days=500)

    (answer,) = submissions.book(world.kept, world.store, PROGRAM, [waiting], now=turned, wall=NOW)

    assert isinstance(answer, Recorded)
    assert (answer.outcome.entry.at, answer.outcome.entry.occurred_at) == (turned, NOW)


def test_one_account_that_cannot_be_read_does_not_hide_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So much was booked since that there is no time to look for it: that purchase may be booked, whatever was noted of it."""
    submission = world.submit(offer("1"), offer("2", "bob")).submission
    submissions.give_up(world.kept, submission.id, submission.sent_at, 0, "It failed 5 times.", wall=NOW)
    world.work()
    records, after = world.store.records, world.store.records_after
    first = after("ADA", 0, limit=1)[0]

    def others_first(places: Any) -> Any:
        return {place: first if place[0] == "ADA" else record for place, record in records(places).items()}

    def late(account: str, *place: Any, **more: Any) -> Any:
        if account == "ADA":
            raise OutcomeUnknown("There is no time left.")
        return after(account, *place, **more)

    monkeypatch.setattr(world.store, "records", others_first)
    monkeypatch.setattr(world.store, "records_after", late)

    assert world.statuses(submission) == [Status.ACCEPTED, Status.APPLIED]
    world.now += limits.QUEUED_AGE_MAX + timedelta(days=1)
    assert world.statuses(submission) == [Status.ACCEPTED, Status.APPLIED], "nobody is told to submit it again"


def test_a_look_that_has_no_more_time_reads_no_further(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = world.submit(offer("1"), offer("2", "bob")).submission
    world.work()
    reads: list[str] = []

    def late() -> None:
        raise OutcomeUnknown("There is no time left.")

    records = world.store.records

    def others_first(places: Any) -> Any:
        return {(account, seq): world.store._logs[account][0] for account, seq in records(places)}

    monkeypatch.setattr(world.store, "records", others_first)
    monkeypatch.setattr(world.store, "records_after", lambda account, *_, **__: reads.append(account))
    monkeypatch.setattr(world.store, "require_time", late)

    assert world.statuses(submission) == [Status.ACCEPTED] * 2
    assert reads == []


def test_a_submission_that_nobody_knows_is_given_up_by_nobody(world: World) -> None:
    """What was altered may name any."""
    submissions.give_up(world.kept, "f" * 32, None, 0, "It was altered.", wall=NOW)

    assert world.kept._notes == {}


def test_what_was_given_up_says_why_until_it_is_applied_or_refused(world: World) -> None:
    submission = world.submit(offer("1"), offer("2", "zoe")).submission
    for index in (0, 1):
        submissions.give_up(
            world.kept, submission.id, submission.sent_at, index, f"It failed 5 times: {index}.", wall=NOW
        )

    assert [(each.status, each.failure) for each in world.standing(submission)] == [
        (Status.FAILED, "It failed 5 times: 0."),
        (Status.FAILED, "It failed 5 times: 1."),
    ]
    submissions.give_up(world.kept, submission.id, submission.sent_at, 0, "Again.", wall=NOW)
    assert world.standing(submission)[0].failure == "Again."

    world.work()
    assert world.statuses(submission) == [Status.APPLIED, Status.REFUSED]


def test_what_nobody_has_said_anything_of_has_failed_when_no_worker_would_take_its_message(world: World) -> None:
    submission = world.submit(offer("1"), offer("2", "zoe"), offer("3")).submission
    waiting = [queued.queued_from(world.store, text) for text in world.messages]
    world.book(waiting[1:])
    world.now = NOW + limits.QUEUED_AGE_MAX
    assert world.statuses(submission) == [Status.ACCEPTED, Status.REFUSED, Status.APPLIED]

    world.now += timedelta(milliseconds=1)

    assert world.statuses(submission) == [Status.FAILED, Status.REFUSED, Status.APPLIED]
    assert world.standing(submission)[0].failure == (
        "It was submitted more than 25 days ago: its message is gone. Submit it under another key."
    )
    assert world.tally(submission) == {Status.FAILED: 1, Status.REFUSED: 1, Status.APPLIED: 1}
    world.messages = []
    world.submit(offer("1"), key="k2")
    world.work()
    assert world.statuses(submission)[0] is Status.APPLIED


def test_a_purchase_that_is_claimed_and_not_booked_is_still_accepted(world: World) -> None:
    submission = world.submit(offer("1")).submission
    append = world.store.append

    def dies(*_: object) -> None:
        raise OutcomeUnknown("The store did not answer.")

    world.store.append = dies  # type: ignore[method-assign, assignment]
    messages = list(world.messages)
    assert [type(each) for each in world.work()] == [OutcomeUnknown]
    assert Key("till", "1") in world.store._claims
    assert world.statuses(submission) == [Status.ACCEPTED]

    world.store.append = append  # type: ignore[method-assign]
    world.messages = messages
    world.work()
    assert world.statuses(submission) == [Status.APPLIED]


def test_a_refusal_after_the_claim_is_told_from_the_log(world: World) -> None:
    submission = world.submit(offer("1")).submission
    waiting = [queued.queued_from(world.store, text) for text in world.messages]
    append = world.store.append

    def closes_first(*given: Any) -> None:
        world.store.append = append  # type: ignore[method-assign]
        close(world.store, "ada", NOW, key="c")
        append(*given)

    world.store.append = closes_first  # type: ignore[method-assign]
    (answer,) = world.book(waiting)
    assert isinstance(answer, MemberClosed)
    world.kept._notes.clear()

    (standing,) = world.standing(submission)

    assert (standing.status, type(standing.refusal)) == (Status.REFUSED, MemberClosed)


def test_what_cannot_be_noted_comes_again(world: World) -> None:
    world.submit(offer("1", "zoe"), offer("2"))

    def dies(*_: object, **__: object) -> None:
        raise OutcomeUnknown("The store did not answer.")

    world.kept.note = dies  # type: ignore[method-assign]

    assert [type(each) for each in world.work()] == [OutcomeUnknown, Recorded]


def test_what_stands_right_behind_what_its_claim_had_seen_is_found_without_reading_a_log(world: World) -> None:
    submission = world.submit(*(offer(str(n), ("ada", "bob")[n % 2]) for n in range(5))).submission
    world.work()
    buy(world.store, "ada", 100, NOW, receipt="later")
    looks: list[int] = []
    world.store.records_after = lambda _account, seq, *, limit: looks.append(seq) or []  # type: ignore[method-assign, func-returns-value]

    assert world.statuses(submission) == [Status.APPLIED] * 5
    assert looks == []


def test_what_others_have_pushed_further_back_is_found_in_the_log(world: World) -> None:
    submission = world.submit(offer("1"), offer("2")).submission
    append, others = world.store.append, iter("abc")

    def late(*given: Any) -> None:
        world.store.append = append  # type: ignore[method-assign]
        for other in others:
            buy(world.store, "ada", 100, NOW, receipt=other)
        append(*given)

    world.store.append = late  # type: ignore[method-assign]
    world.work()

    assert world.statuses(submission) == [Status.APPLIED] * 2


# --- what the store keeps -----------------------------------------------------------------------------------------------


def test_a_submission_is_kept_once(world: World) -> None:
    first = world.submit(offer("1")).submission

    with pytest.raises(SubmissionKnown) as known:
        world.kept.keep(replace(first, actor="other"))

    assert known.value.submission == first
