"""Purchases that are booked together come to what they come to one by one.

The reference is `purchases.record`, called for each of them in the same order on a store with the same past. What may differ is
how entries are put into records, and so sequences; nothing that a member, a till or a program could see.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import groups, limits, purchases
from domain.accounts import Line
from domain.days import NEVER
from domain.entries import BasketLine, Claim, Entry, EntryKind, Explanation, Key, Note, Record, caller_key
from domain.ledger import Operation, Plan
from domain.members import Lookup
from domain.programs import Program
from domain.purchases import Receipt, Recorded
from domain.refusals import (
    IdempotencyKeyReused,
    InvalidTime,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
)
from domain.store import NOTHING, Beside, Store
from storage.memory import Memory
from tests.domain import books
from tests.domain.lives import LIVES, PROGRAMS, life, lived
from tests.domain.world import (
    MANAGER,
    PROGRAM,
    SOAK,
    TILL,
    ZONE,
    Interrupted,
    at,
    at_once,
    basket,
    block,
    buy,
    close,
    enroll,
    external,
    give_back,
    head_of,
    merge,
    owe,
    program,
    search,
    unmerge,
)

NOW = at("2026-03-01")


def receipt(
    number: str,
    name: str = "ada",
    amount: int = 1_000,
    *,
    asked_at: datetime = NOW,
    occurred_at: datetime | None = None,
    **more: Any,
) -> Receipt:
    kept = basket(amount, occurred_at or asked_at, **more)
    return Receipt(TILL, "till", number, external(name), kept, asked_at, occurred_at is not None)


def one_by_one(store: Store, asked: Program, receipts: Sequence[Receipt], now: datetime) -> list[Recorded | Refusal]:
    answers: list[Recorded | Refusal] = []
    for each in receipts:
        try:
            answers.append(
                purchases.record(
                    store,
                    asked,
                    actor=each.actor,
                    source=each.source,
                    external_id=each.external_id,
                    member=each.member,
                    basket=each.basket,
                    now=now,
                    is_dated=each.is_dated,
                )
            )
        except Refusal as refusal:
            answers.append(refusal)
    return answers


def heard(answers: Sequence[Recorded | Refusal]) -> list[object]:
    """What each caller is told, but for the place of the entry."""
    return [
        (each.outcome.entry, each.outcome.record.account, each.outcome.replayed, each.basket)
        if isinstance(each, Recorded)
        else (each, each.replayed)
        for each in answers
    ]


def booked(store: Memory) -> object:
    """All that a store holds, but for how entries are put into records."""
    entries = {account: [entry for record in log for entry in record.entries] for account, log in store._logs.items()}
    states = {account: log[-1].state for account, log in store._logs.items()}
    claims = {key: replace(claim, seq_seen=0) for key, claim in store._claims.items()}
    notices = Counter(
        (account, each.kind, each.moment, each.at, *sorted(each.args.items()))
        for account, given in store._notices.items()
        for each in given.values()
    )
    return entries, states, claims, dict(store._returns), store.due, notices


def audit(store: Memory) -> None:
    """Every log adds up, is due when it must be, and has each key once, after what its claim had seen."""
    keys: Counter[Key] = Counter()
    for account, log in store._logs.items():
        assert [record.seq for record in log] == list(range(1, len(log) + 1))
        books.check(log, ZONE)
        books.check_due(log, store.due)
        for record in log:
            for entry in record.entries:
                if entry.key is None:
                    continue
                keys[entry.key] += 1
                claim = store._claims.get(entry.key)
                if claim is not None and claim.account == account:
                    assert claim.seq_seen < record.seq
    assert not [key for key, count in keys.items() if count > 1]


# --- the same as one by one ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wish:
    """A purchase to draw: `number` is new, or that of one of the life before, or one that has been drawn already."""

    number: int
    name: str
    points: int
    days_ago: int
    is_dated: bool
    currency: str
    by_manager: bool


_NAMES = st.sampled_from(["ada", "ada", "ada", "bob", "bob", "cyd", "zoe"])
wishes = st.lists(
    st.builds(
        Wish,
        number=st.integers(0, 70),
        name=_NAMES,
        points=st.integers(0, 90),
        days_ago=st.sampled_from([0, 0, 0, 0, 1, 3, 40, 399, 401, -1]),
        is_dated=st.booleans(),
        currency=st.sampled_from(["USD"] * 8 + ["JPY", "EUR"]),
        by_manager=st.booleans(),
    ),
    max_size=25,
)


def receipts_of(wished: Sequence[Wish], now: datetime) -> list[Receipt]:
    found = []
    for wish in wished:
        amount = wish.points * 100
        lines = (BasketLine("a", None, 2, amount - amount // 3), BasketLine("b", None, 1, amount // 3))
        asked = receipt(
            str(wish.number),
            wish.name,
            amount,
            asked_at=now,
            occurred_at=now - timedelta(days=wish.days_ago) if wish.is_dated else None,
            currency=wish.currency,
            lines=lines,
        )
        found.append(replace(asked, actor=MANAGER) if wish.by_manager else asked)
    return found


@search(300)
@given(
    number=st.integers(0, LIVES * SOAK - 1),
    asked=st.sampled_from(PROGRAMS),
    wished=st.lists(wishes, min_size=1, max_size=3),
    hours=st.sampled_from([0, 1, 30, 24 * 40]),
)
def test_a_batch_comes_to_what_its_purchases_come_to_one_by_one(
    number: int, asked: Program, wished: list[list[Wish]], hours: int
) -> None:
    """Whatever was before: tiers and moments, debts, returns that wait, used keys, duplicates within a batch, two inputs under
    one key, members blocked, closed, merged and unknown."""
    together, single = lived.__wrapped__(number), lived.__wrapped__(number)
    now = max(log[-1].state.at for log in together._logs.values())
    for batch in wished:
        now += timedelta(hours=hours)
        receipts = receipts_of(batch, now)

        answers = purchases.record_each(together, asked, receipts, now=now)

        assert heard(answers) == heard(one_by_one(single, asked, receipts, now))
        assert booked(together) == booked(single)
        audit(together)


def test_lives_hold_what_the_property_is_about() -> None:
    """Or it would prove nothing: each of these is somewhere in the pasts that it starts from."""
    kinds: Counter[EntryKind] = Counter()
    debts = parked = 0
    for number in range(LIVES):
        store = lived(number)
        kinds.update(entry.kind for log in store._logs.values() for record in log for entry in record.entries)
        debts += any(log[-1].state.debt for log in store._logs.values())
        parked += any(claim.is_parked for claim in store._claims.values())

    rare = {EntryKind.TIER, EntryKind.BONUS, EntryKind.BLOCK, EntryKind.CLOSURE, EntryKind.MERGED, EntryKind.RETURN}
    assert all(kinds[kind] >= 5 for kind in rare)
    assert debts >= 5
    assert parked >= 5
    assert life(0)


# --- what stands in a record --------------------------------------------------------------------------------------------


@pytest.fixture
def store() -> Memory:
    made = Memory()
    enroll(made, "ada", NOW)
    enroll(made, "bob", NOW)
    return made


def sizes(store: Memory, account: str = "ADA") -> list[int]:
    """How many purchases stand in each record."""
    return [
        sum(entry.kind is EntryKind.PURCHASE for entry in record.entries) for record in store._logs[account] if record
    ][1:]


def points(answers: Sequence[Recorded | Refusal]) -> list[int]:
    return [each.outcome.entry.points for each in answers if isinstance(each, Recorded)]


def test_purchases_of_one_member_stand_in_one_record(store: Memory) -> None:
    answers = purchases.record_each(store, PROGRAM, [receipt(str(n), amount=100 * n) for n in range(4)], now=NOW)

    assert points(answers) == [0, 1, 2, 3]
    assert sizes(store) == [4]
    assert [each.outcome.entry.balance_after for each in answers if isinstance(each, Recorded)] == [0, 1, 3, 6]


def test_a_record_ends_before_it_costs_a_second_write_unit_and_another_goes_on(store: Memory) -> None:
    purchases.record_each(store, PROGRAM, [receipt(f"receipt-{n}") for n in range(30)], now=NOW)

    assert sum(sizes(store)) == 30
    assert len(sizes(store)) < 30 / 5
    assert all(store.fits(record) for record in store._logs["ADA"])
    assert not store.fits(joined_with_next(store))


def joined_with_next(store: Memory) -> Record:
    """The first full record, with the first entry of the one behind it as well."""
    _, first, second, *_ = store._logs["ADA"]
    return replace(second, entries=(*first.entries, second.entries[0]))


def test_a_purchase_too_large_for_one_write_unit_is_booked_alone(store: Memory) -> None:
    large = [replace(receipt(f"{n}" + "é" * 250)) for n in range(2)]
    rich = program(
        moments=[{"id": f"m{n:02}", "when": "purchase", "nth": 1, "points": 1} for n in range(20)],
    )

    answers = purchases.record_each(store, rich, large, now=NOW)

    assert len(points(answers)) == 2
    assert sizes(store) == [1, 1]
    assert not store.fits(store._logs["ADA"][1])


def test_a_duplicate_in_the_batch_is_told_the_same_and_ends_no_group(store: Memory) -> None:
    answers = purchases.record_each(store, PROGRAM, [receipt("1"), receipt("2"), receipt("1"), receipt("3")], now=NOW)

    assert [each.outcome.replayed for each in answers if isinstance(each, Recorded)] == [False, False, True, False]
    assert answers[2].outcome.entry == answers[0].outcome.entry  # type: ignore[union-attr]
    assert sizes(store) == [3]


def test_of_two_inputs_under_one_key_the_first_has_it_whoever_they_are_for(store: Memory) -> None:
    batch = [receipt("0", "bob"), receipt("1", "ada", 500), receipt("1", "bob", 700), receipt("2", "ada")]

    answers = purchases.record_each(store, PROGRAM, batch, now=NOW)

    assert points(answers) == [10, 5, 10]
    assert isinstance(answers[2], IdempotencyKeyReused)


def test_what_waits_for_returns_is_booked_in_its_place_with_them(store: Memory) -> None:
    give_back(store, "2", NOW, key="r", amount=300)

    answers = purchases.record_each(store, PROGRAM, [receipt(n) for n in "1234"], now=NOW)

    assert points(answers) == [10, 10, 10, 10]
    assert sizes(store) == [1, 1, 2]
    (waited,) = [record for record in store._logs["ADA"] if any(e.kind is EntryKind.RETURN for e in record.entries)]
    assert [(entry.kind, entry.points) for entry in waited.entries] == [
        (EntryKind.PURCHASE, 10),
        (EntryKind.RETURN, -3),
    ]


def test_merged_members_are_booked_on_the_survivor_in_the_order_of_the_batch(store: Memory) -> None:
    merge(store, "bob", "ada", NOW, key="m")
    batch = [receipt("1", "ada"), receipt("2", "bob"), receipt("3", "bob"), receipt("4", "ada")]

    purchases.record_each(store, PROGRAM, batch, now=NOW)

    entries = [entry.key.value for record in store._logs["ADA"][2:] for entry in record.entries if entry.key]
    assert entries == ["1", "2", "3", "4"]
    # By another name, because a merge may be undone: so they stand in records of their own.
    assert sizes(store)[1:] == [1, 2, 1]


def test_refusals_leave_the_others_alone(store: Memory) -> None:
    enroll(store, "eve", NOW)
    close(store, "eve", NOW, key="c")
    # By her id: what she was found by went with her membership.
    closed = replace(receipt("3"), member=Lookup("id", "EVE"))
    batch = [
        receipt("1"),
        receipt("2", "zoe"),
        closed,
        receipt("4", occurred_at=NOW - timedelta(days=401)),
        receipt("5"),
    ]

    answers = purchases.record_each(store, PROGRAM, batch, now=NOW)

    assert [type(each) for each in answers] == [Recorded, MemberNotFound, MemberClosed, InvalidTime, Recorded]
    assert Key("till", "2") not in store._claims
    assert isinstance(store._claims[Key("till", "3")].refusal, MemberClosed)
    assert Key("till", "4") not in store._claims


def test_how_old_a_purchase_may_be_is_counted_from_when_it_was_asked_for(store: Memory) -> None:
    old = receipt("1", occurred_at=NOW - timedelta(days=400))
    answers = purchases.record_each(store, PROGRAM, [old], now=NOW + timedelta(days=20))

    assert points(answers) == [10]


def test_a_blocked_member_keeps_their_receipts_and_earns_nothing(store: Memory) -> None:
    block(store, "ada", NOW, key="b")

    answers = purchases.record_each(store, PROGRAM, [receipt("1"), receipt("2")], now=NOW)

    assert points(answers) == [0, 0]
    assert sizes(store)[-1] == 2


def test_a_debt_is_paid_by_the_first_and_the_second_brings_the_rest(store: Memory) -> None:
    owe(store, "ada", 15, NOW, key="o")

    answers = purchases.record_each(store, PROGRAM, [receipt("1"), receipt("2")], now=NOW)

    assert [each.outcome.entry.balance_after for each in answers if isinstance(each, Recorded)] == [10, 10]
    assert (head_of(store, "ADA").state.debt, head_of(store, "ADA").state.balance) == (0, 5)


# --- others at the same time --------------------------------------------------------------------------------------------


def interrupted() -> Interrupted:
    made = Interrupted()
    enroll(made, "ada", NOW)
    enroll(made, "bob", NOW)
    return made


def all_of(store: Memory, *numbers: str, account: str = "ADA") -> bool:
    """Whether these are booked, each once."""
    audit(store)
    keys = [entry.key.value for record in store._logs[account] for entry in record.entries if entry.key]
    return Counter(keys) >= Counter(numbers) and max(Counter(keys).values()) == 1


def test_an_append_that_lost_its_place_is_made_again_as_a_group() -> None:
    store = interrupted()
    store.before_append.append(lambda: buy(store, "ada", 500, NOW, receipt="other"))

    answers = purchases.record_each(store, PROGRAM, [receipt(n) for n in "123"], now=NOW)

    assert points(answers) == [10, 10, 10]
    assert all_of(store, "other", "1", "2", "3")
    assert sizes(store) == [1, 3]
    assert [each.outcome.entry.balance_after for each in answers if isinstance(each, Recorded)] == [15, 25, 35]


def test_another_delivery_that_books_one_of_the_claimed_keys_takes_it_out_of_the_group() -> None:
    store = interrupted()
    store.before_append.append(lambda: buy(store, "ada", 1_000, NOW, receipt="2", occurred_at=NOW))
    batch = [receipt(n, occurred_at=NOW) for n in "123"]

    answers = purchases.record_each(store, PROGRAM, batch, now=NOW)

    assert [each.outcome.replayed for each in answers if isinstance(each, Recorded)] == [False, True, False]
    assert all_of(store, "1", "2", "3")
    assert sizes(store) == [1, 2]


def test_another_delivery_of_the_whole_batch_at_the_worst_moment_books_nothing_twice() -> None:
    for moment in ("before_claim", "before_append", "after_append"):
        store = interrupted()
        batch = [receipt(n, occurred_at=NOW) for n in "12345"]
        again: list[list[Recorded | Refusal]] = []
        getattr(store, moment).append(
            lambda store=store, batch=batch, again=again: again.append(
                purchases.record_each(store, PROGRAM, batch, now=NOW)
            )
        )

        answers = purchases.record_each(store, PROGRAM, batch, now=NOW)

        assert points(answers) == points(again[0]) == [10] * 5
        assert all_of(store, *"12345")


def test_an_account_that_is_closed_between_claim_and_append_refuses_all_of_them_for_good() -> None:
    store = interrupted()
    store.before_append.append(lambda: close(store, "ada", NOW, key="c"))
    batch = [receipt("1"), receipt("2"), receipt("1")]

    answers = purchases.record_each(store, PROGRAM, batch, now=NOW)

    assert [(type(each), each.replayed) for each in answers if isinstance(each, Refusal)] == [
        (MemberClosed, False),
        (MemberClosed, False),
        (MemberClosed, True),
    ]
    # One record for both, which moves nothing.
    assert [entry.kind for entry in head_of(store, "ADA").entries] == [EntryKind.REFUSED] * 2
    assert heard(purchases.record_each(store, PROGRAM, batch[:2], now=NOW)) == [
        (answers[0], True),
        (answers[1], True),
    ]


def test_a_merge_between_claim_and_append_takes_the_group_to_the_survivor() -> None:
    store = interrupted()
    store.before_append.append(lambda: merge(store, "ada", "bob", NOW, key="m"))

    answers = purchases.record_each(store, PROGRAM, [receipt("1"), receipt("2")], now=NOW)

    assert points(answers) == [10, 10]
    assert all_of(store, "1", "2", account="BOB")
    assert {each.outcome.record.account for each in answers if isinstance(each, Recorded)} == {"BOB"}


def test_a_merge_that_is_undone_between_claim_and_append_takes_the_group_back() -> None:
    store = interrupted()
    merge(store, "ada", "bob", NOW, key="m")
    store.before_append.append(lambda: unmerge(store, "ada", NOW, key="u"))

    answers = purchases.record_each(store, PROGRAM, [receipt("1"), receipt("2")], now=NOW)

    assert {each.outcome.record.account for each in answers if isinstance(each, Recorded)} == {"ADA"}
    assert all_of(store, "1", "2")


def test_groups_and_single_calls_on_one_account_at_once_lose_nothing_and_double_nothing() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    groups_ = [[f"{group}-{n}" for n in range(12)] for group in range(6)]
    calls: list[Callable[[], object]] = [
        lambda numbers=numbers: purchases.record_each(  # type: ignore[misc]
            store, PROGRAM, [receipt(number, occurred_at=NOW) for number in numbers], now=NOW
        )
        for numbers in (*groups_, *groups_)
    ]
    calls += [
        lambda number=number: buy(store, "ada", 1_000, NOW, receipt=number, occurred_at=NOW)  # type: ignore[misc]
        for group in groups_
        for number in random.Random(5).sample(group, 3)
    ]
    calls += [lambda n=n: buy(store, "ada", 100, NOW, receipt=f"single-{n}") for n in range(10)]  # type: ignore[misc]

    answers = at_once(calls)

    assert not [each for each in answers if isinstance(each, Exception)]
    assert not [each for answer in answers[:12] for each in answer if isinstance(each, Refusal)]
    assert all_of(store, *(number for group in groups_ for number in group))
    assert head_of(store, "ADA").state.balance == 6 * 12 * 10 + 10


class Unreachable(Interrupted):
    """Answers so many more writes, and then none."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left = 10**9

    def _write(self) -> None:
        if self.writes_left <= 0:
            raise OutcomeUnknown("The store did not answer.")
        self.writes_left -= 1

    def remember(self, claim: Claim) -> None:
        self._write()
        super().remember(claim)

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        self._write()
        super().append(record, beside)


@pytest.mark.parametrize("writes", range(6))
def test_where_the_store_stops_answering_the_rest_is_unknown_and_comes_right_when_it_comes_again(writes: int) -> None:
    store = Unreachable()
    enroll(store, "ada", NOW)
    store.writes_left = writes
    batch = [receipt(n, occurred_at=NOW) for n in "12345"]

    answers = purchases.record_each(store, PROGRAM, batch, now=NOW)

    assert all(isinstance(each, OutcomeUnknown) for each in answers)
    store.writes_left = 10**9
    answers = purchases.record_each(store, PROGRAM, batch, now=NOW)
    assert points(answers) == [10] * 5
    assert all_of(store, *"12345")


def test_what_was_claimed_before_the_store_stopped_answering_is_booked_if_it_can_be() -> None:
    store = Unreachable()
    enroll(store, "ada", NOW)
    batch = [receipt(n, occurred_at=NOW) for n in "1234"]
    taken = store.remember

    def third_is_lost(claim: Claim) -> None:
        if claim.key.value == "3":
            raise OutcomeUnknown("The store did not answer.")
        taken(claim)

    store.remember = third_is_lost  # type: ignore[method-assign]
    answers = purchases.record_each(store, PROGRAM, batch, now=NOW)

    assert points(answers) == [10, 10]
    assert [type(each) for each in answers[2:]] == [OutcomeUnknown, OutcomeUnknown]


def test_what_there_is_no_time_for_is_not_begun(store: Memory) -> None:
    batch = [receipt("1"), receipt("2", "bob")]

    answers = purchases.record_each(store, PROGRAM, batch, now=NOW, has_time=lambda: len(store._logs["ADA"]) < 2)

    assert [type(each) for each in answers] == [Recorded, OutcomeUnknown]
    assert Key("till", "2") not in store._claims


class Watched(Memory):
    """Counts what it is asked; where it `is_dead` it answers nobody who looks for a member."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = self.heads = 0
        self.is_dead = self.is_headless = False

    def find_account(self, lookup: Lookup, *, strong: bool = False) -> str | None:
        self.looks += 1
        if self.is_dead:
            raise OutcomeUnknown("The store did not answer.")
        return super().find_account(lookup, strong=strong)

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        self.heads += 1
        if self.is_headless:
            raise OutcomeUnknown("The store did not answer.")
        return super().head(account, strong=strong)


@pytest.fixture
def watched() -> Watched:
    made = Watched()
    for name in ("ada", "bob", "cyd"):
        enroll(made, name, NOW)
    made.looks = made.heads = 0
    return made


def test_without_time_nobody_is_looked_for(watched: Watched) -> None:
    batch = [receipt(str(n)) for n in range(50)]

    answers = purchases.record_each(watched, PROGRAM, batch, now=NOW, has_time=lambda: False)

    assert {type(each) for each in answers} == {OutcomeUnknown}
    assert (watched.looks, watched.heads) == (0, 0)


def test_members_are_looked_for_as_long_as_there_is_time(watched: Watched) -> None:
    batch = [receipt(str(n)) for n in range(50)]

    answers = purchases.record_each(watched, PROGRAM, batch, now=NOW, has_time=lambda: watched.looks < 3)

    assert {type(each) for each in answers} == {OutcomeUnknown}
    assert watched.looks == 3
    assert not [key for key in watched._claims if key.source == "till"]


def test_a_store_that_finds_nobody_for_want_of_an_answer_is_asked_once_for_a_batch(watched: Watched) -> None:
    # The third is another input under a key of before, so that it is looked for apart.
    batch = [
        *(receipt(str(n)) for n in range(20)),
        receipt("1", amount=7),
        *(receipt(f"b{n}", "bob") for n in range(20)),
    ]
    watched.is_dead = True

    answers = purchases.record_each(watched, PROGRAM, batch, now=NOW)

    assert {type(each) for each in answers} == {OutcomeUnknown}
    assert watched.looks == 1


def test_a_store_that_gives_no_account_is_asked_once_for_all_accounts(watched: Watched) -> None:
    watched.is_headless = True

    answers = purchases.record_each(watched, PROGRAM, [receipt(n, n) for n in ("ada", "bob", "cyd")], now=NOW)

    assert [type(each) for each in answers] == [OutcomeUnknown] * 3
    assert watched.heads == 1


def test_those_that_were_found_before_the_store_stopped_answering_are_booked(watched: Watched) -> None:
    find = watched.find_account

    def dies_at_bob(lookup: Lookup, *, strong: bool = False) -> str | None:
        watched.is_dead = lookup.value == "bob"
        return find(lookup, strong=strong)

    watched.find_account = dies_at_bob  # type: ignore[method-assign]
    batch = [receipt("1"), receipt("2", "bob"), receipt("3")]

    answers = purchases.record_each(watched, PROGRAM, batch, now=NOW)

    assert [type(each) for each in answers] == [Recorded, OutcomeUnknown, OutcomeUnknown]


def test_when_the_time_ends_no_more_keys_are_claimed_and_those_that_are_get_booked(store: Memory) -> None:
    def has_time() -> bool:
        return Key("till", "3") not in store._claims

    batch = [receipt(str(n), occurred_at=NOW) for n in range(1, 8)]
    answers = purchases.record_each(store, PROGRAM, batch, now=NOW, has_time=has_time)

    assert [type(each) for each in answers] == [Recorded] * 3 + [OutcomeUnknown] * 4
    assert {key.value for key in store._claims if key.source == "till"} == {"1", "2", "3"}
    assert points(purchases.record_each(store, PROGRAM, batch, now=NOW)) == [10] * 7
    assert all_of(store, *"1234567")


# --- any operation ------------------------------------------------------------------------------------------------------


def adding(number: int, plan: Callable[[Entry], Plan] = lambda entry: Plan((entry,))) -> groups.Asked:
    """An operation that gives a point."""
    operation = Operation(caller_key("test", str(number)), "ADA", b"same")

    def decide(before: Record) -> Plan:
        return plan(Entry(EntryKind.ADJUSTMENT, NOW, (Line(NEVER, 1),), 0, (Explanation("X", 1),), reason="X"))

    return groups.Asked(operation, decide, lambda _claim: decide)


def test_what_needs_a_note_beside_its_record_is_booked_alone(store: Memory) -> None:
    noted = adding(1, lambda entry: Plan((entry,), note=Note("text", b"salt", b"digest")))

    answers = groups.commit_each(store, [adding(0), noted, adding(2)], now=NOW, program=PROGRAM)

    assert not [each for each in answers if isinstance(each, Refusal)]
    assert len(store._logs["ADA"]) == 4
    assert store.note("ADA", b"digest")


def test_no_group_has_more_operations_than_its_bound(store: Memory) -> None:
    asked = [adding(0)] * (limits.GROUP_OPERATIONS_MAX + 5)

    answers = groups.commit_each(store, asked, now=NOW, program=PROGRAM)

    assert len(answers) == len(asked)
    assert len(store._logs["ADA"]) == 2


def test_an_account_that_nobody_has_is_told_so(store: Memory) -> None:
    lost = replace(adding(1), operation=Operation(caller_key("test", "1"), "NOBODY", b"same"))

    answers = groups.commit_each(store, [adding(0), lost, adding(2)], now=NOW, program=PROGRAM)

    assert [isinstance(each, Refusal) for each in answers] == [False, True, False]
