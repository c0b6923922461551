"""The contract of a store, on memory, MiniStack and DynamoDB Local: `domain.ledger.Store`, method by method.

A write that raises has written nothing: everything in the store is compared, item by item.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.accounts import Line, State
from domain.days import NEVER
from domain.ledger import (
    Basket,
    BasketLine,
    Claim,
    ClaimTaken,
    Contended,
    Entry,
    EntryKind,
    Explanation,
    Key,
    LookupTaken,
    Money,
    Record,
    Store,
)
from domain.members import Lookup, Profile
from domain.refusals import InsufficientPoints
from storage.memory import Memory
from tests.domain.world import at_once, day
from tests.storage.tables import NOW, Everything, Tables, all_of_memory, all_of_table, comparable

DAY = day("2090-02-01")
MAIL = Lookup("email", "ada@example.org")
CARD = Lookup("card", "C-1")
PROFILE = Profile(NOW, name="Ada", email="ada@example.org", card_number="C-1")


def key(value: str) -> Key:
    return Key("till", value)


def claim(value: str, *, account: str = "A", seq: int = 0) -> Claim:
    return Claim(key(value), account, seq, value.encode().ljust(16, b"."), NOW)


def record(seq: int, *, account: str = "A", value: str | None = None, points: int = 5) -> Record:
    entry = Entry(
        EntryKind.PURCHASE if seq > 1 else EntryKind.ENROLLMENT,
        NOW + timedelta(seconds=seq),
        (Line(DAY + seq, points),) if seq > 1 else (),
        seq * points,
        key=key(value if value is not None else f"{account}{seq}"),
    )
    return Record(account, seq, (entry,), State(entry.at, {DAY + seq: points} if seq > 1 else {}))


def enroll(store: Store, account: str = "A", *lookups: Lookup, profile: Profile = PROFILE) -> None:
    store.enroll(claim(f"{account}1", account=account), record(1, account=account), profile, lookups)


def grow(store: Store, account: str, *, to: int) -> None:
    """An account with records 1 to `to`."""
    enroll(store, account)
    for seq in range(2, to + 1):
        store.append(claim(f"{account}{seq}", account=account, seq=seq - 1), record(seq, account=account))


def everything(place: Memory | Tables) -> Everything:
    return all_of_memory(place) if isinstance(place, Memory) else all_of_table(place)


@contextmanager
def writes_nothing(place: Memory | Tables) -> Iterator[None]:
    before = everything(place), [] if isinstance(place, Memory) else place.contents()
    yield
    assert (everything(place), [] if isinstance(place, Memory) else place.contents()) == before


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strong", [False, True])
def test_an_empty_store_knows_nobody(store: Store, strong: bool) -> None:
    assert store.find_account(MAIL, strong=strong) is None
    assert store.head("A", strong=strong) is None
    assert store.home("A", entries=3, strong=strong) is None
    assert store.claim(key("1")) is None
    assert list(store.records_before("A", 9, limit=3)) == []
    assert list(store.records_after("A", 0, limit=3)) == []


@pytest.mark.parametrize("strong", [False, True])
def test_the_head_is_the_newest_record_of_that_account(store: Store, strong: bool) -> None:
    grow(store, "A", to=3)
    # An account whose name another one begins with is another account.
    grow(store, "AB", to=2)

    assert store.head("A", strong=strong) == record(3)
    assert store.head("AB", strong=strong) == record(2, account="AB")
    assert store.head("a", strong=strong) is None


def test_a_head_has_ten_digits_of_order(store: Store) -> None:
    grow(store, "A", to=11)

    newest = store.head("A", strong=True)

    assert newest is not None
    assert newest.seq == 11


def test_history_is_read_back_from_any_place(store: Store) -> None:
    grow(store, "A", to=5)

    def seqs(seq: int, limit: int) -> list[int]:
        return [each.seq for each in store.records_before("A", seq, limit=limit)]

    assert seqs(5, 2) == [5, 4]
    assert seqs(3, 10) == [3, 2, 1]
    assert seqs(1, 1) == [1]
    assert seqs(0, 1) == []
    assert seqs(99, 1) == [5]
    assert list(store.records_before("A", 2, limit=1)) == [record(2)]


def test_what_came_after_is_read_forward(store: Store) -> None:
    grow(store, "A", to=5)

    def seqs(seq: int, limit: int) -> list[int]:
        return [each.seq for each in store.records_after("A", seq, limit=limit)]

    assert seqs(0, 2) == [1, 2]
    assert seqs(2, 10) == [3, 4, 5]
    assert seqs(4, 1) == [5]
    assert seqs(5, 9) == []
    assert list(store.records_after("A", 4, limit=1)) == [record(5)]


@pytest.mark.parametrize("strong", [False, True])
@pytest.mark.parametrize(("entries", "seqs"), [(0, [4]), (1, [4, 3]), (3, [4, 3, 2, 1]), (9, [4, 3, 2, 1])])
def test_home_is_the_profile_and_one_record_more_than_asked(
    store: Store, entries: int, seqs: list[int], strong: bool
) -> None:
    grow(store, "A", to=4)

    home = store.home("A", entries=entries, strong=strong)

    assert home is not None
    assert home.profile == PROFILE
    assert [each.seq for each in home.records] == seqs
    assert home.records[0] == record(4)


def test_home_of_somebody_without_personal_data_is_the_account_alone(store: Store) -> None:
    # What is left of a member who was erased.
    for seq in (1, 2, 3, 4):
        store.append(claim(f"A{seq}", seq=seq - 1), record(seq))

    home = store.home("A", entries=1)

    assert home is not None
    assert home.profile is None
    assert [each.seq for each in home.records] == [4, 3]


# --- enrolling --------------------------------------------------------------------------------------------------------


def test_a_new_member_is_written_whole(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL, CARD)

    assert store.find_account(MAIL, strong=True) == store.find_account(CARD, strong=True) == "A"
    assert store.find_account(Lookup("card", "ada@example.org"), strong=True) is None
    home = store.home("A", entries=1, strong=True)
    assert home is not None
    assert home.profile == PROFILE
    assert store.head("A", strong=True) == record(1)
    assert store.claim(key("A1")) == claim("A1", account="A")
    assert everything(place).directory == {"A"}
    assert len(everything(place).lookups) == 2


@pytest.mark.parametrize("lookups", [(MAIL,), (CARD, MAIL), (MAIL, CARD)])
def test_a_look_up_that_is_taken_is_named_and_nothing_is_written(
    store: Store, place: Memory | Tables, lookups: tuple[Lookup, ...]
) -> None:
    enroll(store, "A", MAIL)

    with writes_nothing(place), pytest.raises(LookupTaken) as taken:
        enroll(store, "B", *lookups)
    assert taken.value.lookup == MAIL


def test_the_first_of_several_taken_look_ups_is_named(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL, CARD)

    with writes_nothing(place), pytest.raises(LookupTaken) as taken:
        enroll(store, "B", CARD, MAIL)
    assert taken.value.lookup == CARD


def test_a_key_that_is_taken_comes_before_a_look_up_that_is(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)

    with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
        store.enroll(claim("A1", account="B"), record(1, account="B"), PROFILE, [MAIL, CARD])
    assert taken.value.claim == claim("A1", account="A")


def test_an_account_that_exists_is_not_enrolled_again(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)

    with writes_nothing(place), pytest.raises(Contended):
        store.enroll(claim("new"), record(1, value="new"), PROFILE, [CARD])


def test_one_of_many_who_want_a_look_up_has_it(store: Store, place: Memory | Tables) -> None:
    answers = at_once([lambda name=name: enroll(store, name, MAIL) for name in "ABCDEFGH"])

    assert answers.count(None) == 1
    assert {type(answer) for answer in answers if answer is not None} <= {LookupTaken, Contended}
    owner = store.find_account(MAIL, strong=True)
    assert set(everything(place).logs) == set(everything(place).profiles) == {owner}


# --- appending --------------------------------------------------------------------------------------------------------


def test_an_append_writes_the_record_and_its_claim(store: Store) -> None:
    enroll(store)

    store.append(claim("x", seq=1), record(2, value="x"))

    assert store.head("A", strong=True) == record(2, value="x")
    assert store.claim(key("x")) == claim("x", seq=1)


def test_an_append_notes_the_days_on_which_something_happens(store: Store, place: Memory | Tables) -> None:
    grow(store, "A", to=2)

    store.append(claim("x", seq=2), record(3, value="x"), due=[DAY, DAY + 1])
    # Noted before: nothing is in the way of noting it again.
    store.append(claim("y", seq=3), record(4, value="y"), due=[DAY + 1, DAY + 2])
    enroll(store, "B")
    store.append(claim("z", account="B", seq=1), record(2, account="B", value="z"), due=[DAY])

    assert everything(place).due == {(DAY, "A"), (DAY + 1, "A"), (DAY + 2, "A"), (DAY, "B")}


def test_a_claim_that_is_taken_is_given_back_and_nothing_is_written(store: Store, place: Memory | Tables) -> None:
    grow(store, "A", to=2)
    first = replace(
        claim("x", seq=2),
        basket=Basket(NOW, Money(5, "USD"), "harbor", None, (BasketLine("☕", None, 1, 5),)),
        expires_at=NOW + timedelta(days=35),
    )
    store.append(first, record(3, value="x"))

    # Wherever the other writer wanted to append, and for whomever.
    for late in (record(4), record(3), record(2), record(1, account="B")):
        with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
            store.append(claim("x", account=late.account, seq=late.seq - 1), late, due=[DAY + 9])
        assert taken.value.claim == first


def test_a_place_that_is_taken_is_contended_and_nothing_is_written(store: Store, place: Memory | Tables) -> None:
    grow(store, "A", to=3)

    for late in (record(3), record(2), record(1)):
        with writes_nothing(place), pytest.raises(Contended):
            store.append(claim("late", seq=late.seq - 1), late, due=[DAY + 9])
    assert store.claim(key("late")) is None


def test_one_of_many_appends_at_one_place_is_there(store: Store, place: Memory | Tables) -> None:
    enroll(store)

    answers = at_once(
        [lambda value=value: store.append(claim(value, seq=1), record(2, value=value)) for value in "abcdefgh"]
    )

    assert answers.count(None) == 1
    assert [type(answer) for answer in answers if answer is not None] == [Contended] * 7
    winner = "abcdefgh"[answers.index(None)]
    assert store.head("A", strong=True) == record(2, value=winner)
    assert set(everything(place).claims) == {key("A1"), key(winner)}


def test_one_of_many_appends_of_one_key_is_there(store: Store) -> None:
    grow(store, "A", to=2)
    grow(store, "B", to=1)

    answers = at_once(
        [
            lambda account=account: store.append(
                claim("x", account=account), record(3 if account == "A" else 2, account=account, value="x")
            )
            for account in "ABAB"
        ]
    )

    assert answers.count(None) == 1
    assert {type(answer) for answer in answers if answer is not None} <= {ClaimTaken, Contended}
    heads = [store.head(account, strong=True) for account in "AB"]
    assert sum(head is not None and head.entries[0].key == key("x") for head in heads) == 1


def test_everything_an_entry_says_is_kept(store: Store) -> None:
    enroll(store)
    full = Entry(
        kind=EntryKind.PURCHASE,
        at=NOW + timedelta(milliseconds=1),
        lines=(Line(20_850, 12), Line(20_881, -3), Line(NEVER, 10**15), Line(20_900, 7, 20_600)),
        balance_after=2**53 - 1,
        explanation=(Explanation("base", 12, 1_299), Explanation("adjustment:A", -3), Explanation("x", 0, 0)),
        key=Key("till", "a:b#c d=e@f+1-2 ☕"),
        actor="p.till#1",
        occurred_at=NOW - timedelta(days=400),
        total=Money(10**12, "JPY"),
        location="Zürich + Bern",
        channel="e-shop",
        reward=("latte.large-1", 10**6),
        code="0123456789",
        reason="GOOD_WILL",
        terms=7,
    )
    empty = Entry(EntryKind.EXPIRY, NOW + timedelta(seconds=1), (), 0)
    state = State(empty.at, {20_850: 1, NEVER: 2**53 - 1}, {(20_600, 20_900): 7, (20_600, NEVER): 1})

    store.append(claim("x", seq=1), Record("A", 2, (full, empty), state))

    assert store.head("A", strong=True) == Record("A", 2, (full, empty), state)


# --- refusing ---------------------------------------------------------------------------------------------------------


def test_a_refusal_is_kept_with_its_claim(store: Store, place: Memory | Tables) -> None:
    refusal = InsufficientPoints("5 points are needed — 0 are available.", field=("input", "points"))
    refused = replace(claim("x", seq=7), refusal=refusal, expires_at=NOW + timedelta(days=35))

    store.refuse(refused)

    found = store.claim(key("x"))
    assert found is not None
    assert found.refusal is not None
    assert comparable(found) == comparable(refused)
    assert everything(place).logs == {}


def test_a_refusal_may_belong_to_no_account(store: Store) -> None:
    refused = replace(claim("x", account=""), refusal=InsufficientPoints("No."))

    store.refuse(refused)

    found = store.claim(key("x"))
    assert found is not None
    assert (found.account, found.refusal and found.refusal.field) == ("", ())


def test_what_was_answered_is_not_refused(store: Store, place: Memory | Tables) -> None:
    grow(store, "A", to=2)

    with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
        store.refuse(replace(claim("A2", account="B"), refusal=InsufficientPoints("No.")))
    assert taken.value.claim == claim("A2", account="A", seq=1)


def test_what_was_refused_is_not_answered(store: Store, place: Memory | Tables) -> None:
    enroll(store)
    refused = replace(claim("x", seq=1), refusal=InsufficientPoints("No.", field=("a", "0", "b")))
    store.refuse(refused)

    with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
        store.append(claim("x", seq=1), record(2, value="x"))
    assert comparable(taken.value.claim) == comparable(refused)


# --- waiting -----------------------------------------------------------------------------------------------------------


def test_a_pause_ends(store: Store) -> None:
    for attempt in (0, 1, 100, 10**6):
        store.pause(attempt)
