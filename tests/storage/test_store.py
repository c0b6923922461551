"""The contract of a store, on memory, MiniStack and DynamoDB Local: `domain.store.Store`, method by method.

A write that raises has written nothing: everything in the store is compared, item by item. Returns are in `test_returns.py`, what
is written beside a record in `test_beside.py`.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.accounts import DEBT, Hold, Line, State, Status
from domain.days import NEVER
from domain.entries import Basket, BasketLine, Claim, Entry, EntryKind, Explanation, Key, Money, Note
from domain.members import Lookup
from domain.notices import Notice, NoticeKind
from domain.refusals import MemberBlocked
from domain.store import Beside, ClaimTaken, Contended, LookupTaken, Store
from storage.memory import Memory
from tests.domain.world import at_once
from tests.storage.tables import NOW, Tables, all_of, comparable
from tests.storage.writing import (
    CARD,
    DAY,
    MAIL,
    NO,
    PROFILE,
    claim,
    ended,
    enroll,
    following,
    grow,
    key,
    record,
    writes_nothing,
)

# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strong", [False, True])
def test_an_empty_store_knows_nobody(store: Store, strong: bool) -> None:
    assert store.find_account(MAIL, strong=strong) is None
    assert store.head("A", strong=strong) is None
    assert store.home("A", entries=3, strong=strong) is None
    assert store.claim(key("1")) is None
    assert list(store.records_before("A", 9, limit=3)) == []
    assert list(store.records_after("A", 0, limit=3)) == []
    assert list(store.returns(key("1"))) == []
    assert store.end("A", 1, 0) is None
    assert store.note("A", b"d" * 16) is None
    assert list(store.notices("A", limit=9)) == []
    assert store.notice("A", 45_000, "x.1") is None


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


def test_every_record_that_is_read_has_the_hash_that_the_next_one_is_chained_to(store: Store) -> None:
    grow(store, "A", to=4)

    forward = [each.hash for each in store.records_after("A", 0, limit=9)]
    head, home = store.head("A"), store.home("A", entries=9)

    assert len(set(forward)) == 4
    assert b"" not in forward
    assert [each.hash for each in store.records_before("A", 9, limit=9)] == forward[::-1]
    assert head is not None
    assert head.hash == forward[-1]
    assert home is not None
    assert [each.hash for each in home.records] == forward[::-1]


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
    grow(store, "A", to=3)
    # What else stands in the partition of an account is in nobody's way.
    store.append(following(store), Beside(end=ended()))
    store.keep_note("A", Note("A note.", b"s" * 16, b"d" * 16))
    store.give_notice("A", told(45_000, "x.1"))

    home = store.home("A", entries=entries, strong=strong)

    assert home is not None
    assert home.profile == PROFILE
    assert [each.seq for each in home.records] == seqs
    assert home.records[0] == record(4)


def test_home_of_somebody_without_personal_data_is_the_account_alone(store: Store) -> None:
    # What is left of a member who was erased.
    store.append(record(1))
    for _ in range(3):
        store.append(following(store))

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
    assert all_of(place).directory == {"A"}
    assert len(all_of(place).lookups) == 2


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


def test_a_look_up_that_is_taken_comes_before_an_account_that_is(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)

    with writes_nothing(place), pytest.raises(LookupTaken):
        store.enroll(claim("new"), record(1, value="new"), PROFILE, [MAIL])


def test_an_account_that_exists_is_not_enrolled_again(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)

    with writes_nothing(place), pytest.raises(Contended):
        store.enroll(claim("new"), record(1, value="new"), PROFILE, [CARD])


def test_one_of_many_who_want_a_look_up_has_it(store: Store, place: Memory | Tables) -> None:
    answers = at_once([lambda name=name: enroll(store, name, MAIL) for name in "ABCDEFGH"])

    assert answers.count(None) == 1
    assert {type(answer) for answer in answers if answer is not None} <= {LookupTaken, Contended}
    owner = store.find_account(MAIL, strong=True)
    assert set(all_of(place).logs) == set(all_of(place).profiles) == {owner}


# --- claims -----------------------------------------------------------------------------------------------------------


def test_a_claim_keeps_what_was_asked(store: Store) -> None:
    asked = replace(
        claim("x", seq=2),
        basket=Basket(NOW, Money(5, "USD"), "harbor", None, (BasketLine("☕", None, 1, 5),)),
        expires_at=NOW + timedelta(days=35),
    )

    store.remember(asked)

    assert store.claim(key("x")) == asked
    assert store.claim(key("X")) is None
    assert store.claim(Key("til", "l:x")) is None


@pytest.mark.parametrize("account", ["A", ""])
def test_a_claim_keeps_its_refusal(store: Store, place: Memory | Tables, account: str) -> None:
    refused = replace(claim("x", account=account, seq=7), refusal=NO, expires_at=NOW + timedelta(days=35))

    store.remember(refused)

    found = store.claim(key("x"))
    assert found is not None
    assert comparable(found) == comparable(refused)
    assert all_of(place).logs == {}


@pytest.mark.parametrize("first", [claim("x", seq=1), replace(claim("x", account=""), refusal=NO)])
@pytest.mark.parametrize("second", [claim("x", account="B"), replace(claim("x"), refusal=MemberBlocked("No."))])
def test_a_claim_that_is_taken_is_given_back_and_nothing_is_written(
    store: Store, place: Memory | Tables, first: Claim, second: Claim
) -> None:
    store.remember(first)

    with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
        store.remember(second)
    assert comparable(taken.value.claim) == comparable(first)


def test_the_key_of_an_enrollment_is_claimed_by_it(store: Store, place: Memory | Tables) -> None:
    enroll(store)

    with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
        store.remember(claim("A1", account="B"))
    assert taken.value.claim == claim("A1")


def test_one_of_many_claims_of_one_key_is_there(store: Store) -> None:
    answers = at_once([lambda seq=seq: store.remember(claim("x", seq=seq)) for seq in range(1, 9)])

    assert answers.count(None) == 1
    winner = claim("x", seq=1 + answers.index(None))
    assert store.claim(key("x")) == winner
    taken = [answer for answer in answers if isinstance(answer, ClaimTaken)]
    assert {each.claim for each in taken} <= {winner}
    assert {type(answer) for answer in answers if answer is not None} <= {ClaimTaken, Contended}


# --- appending --------------------------------------------------------------------------------------------------------


def test_an_append_writes_the_record_and_nothing_else(store: Store, place: Memory | Tables) -> None:
    enroll(store)
    before = all_of(place)

    store.append(following(store, value="x"))

    assert store.head("A", strong=True) == record(2, value="x")
    assert all_of(place) == replace(before, logs={"A": (record(1), record(2, value="x"))})


def test_a_place_that_is_taken_is_contended_and_nothing_is_written(store: Store, place: Memory | Tables) -> None:
    grow(store, "A", to=3)

    for late in (record(3, value="late"), record(2, value="late"), record(1, value="late"), record(3)):
        with writes_nothing(place), pytest.raises(Contended):
            store.append(late)


def test_one_of_many_appends_at_one_place_is_there(store: Store, place: Memory | Tables) -> None:
    enroll(store)
    records = [following(store, value=value) for value in "abcdefgh"]

    answers = at_once([lambda each=each: store.append(each) for each in records])

    assert answers.count(None) == 1
    assert [type(answer) for answer in answers if answer is not None] == [Contended] * 7
    assert all_of(place).logs["A"] == (record(1), records[answers.index(None)])


def test_days_are_noted_as_often_as_one_likes(store: Store, place: Memory | Tables) -> None:
    store.note_due("A", [DAY, DAY + 1])
    store.note_due("A", [DAY + 1, DAY + 2])
    store.note_due("B", [DAY])
    store.note_due("B", [])

    assert all_of(place).due == {(DAY, "A"), (DAY + 1, "A"), (DAY + 2, "A"), (DAY, "B")}
    at_once([lambda: store.note_due("A", [DAY + 3]) for _ in range(4)])
    assert (DAY + 3, "A") in all_of(place).due


def test_a_note_is_found_by_its_hash_on_its_account(store: Store) -> None:
    note = Note("Called twice. ☕", b"s" * 16, b"d" * 16)

    store.keep_note("A", note)
    store.keep_note("A", note)

    assert store.note("A", note.digest) == note
    assert store.note("A", b"e" * 16) is None
    assert store.note("B", note.digest) is None


def test_everything_an_entry_says_is_kept(store: Store) -> None:
    enroll(store)
    full = Entry(
        kind=EntryKind.PURCHASE,
        at=NOW + timedelta(milliseconds=1),
        lines=(
            Line(20_850, 12),
            Line(20_881, -3),
            Line(NEVER, 10**15),
            Line(20_900, 7, 20_600),
            Line(20_900, -7, hold=12),
            Line(NEVER, 9, hold=9_999_999_999),
            Line(DEBT, -(10**15)),
            Line(DEBT, 4),
        ),
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
        note=bytes(range(16)),
        terms=7,
        lapses_at=NOW + timedelta(days=7),
        cause=(9_999_999_999, 3),
        peer=("01JABC@DEF", 17),
        refusal=NO,
    )
    empty = Entry(EntryKind.EXPIRY, NOW + timedelta(seconds=1), (), 0)
    state = State(
        at=empty.at,
        buckets={20_850: 1, NEVER: 2**53 - 1},
        pending={(20_600, 20_900): 7, (20_600, NEVER): 1},
        holds={2: Hold(NOW + timedelta(minutes=15), {20_850: 1, NEVER: 2}), 17: Hold(NOW, {20_881: 3})},
        debt=2**53 - 1,
        status=Status.BLOCKED,
        sent=(20_850, 20_000),
    )
    written = replace(following(store), entries=(full, empty), state=state)

    store.append(written)

    assert store.head("A", strong=True) == written


@pytest.mark.parametrize("status", Status)
def test_every_status_is_kept(store: Store, status: Status) -> None:
    enroll(store)
    each = following(store)

    store.append(replace(each, state=replace(each.state, status=status)))

    head = store.head("A", strong=True)
    assert head is not None
    assert head.state.status is status


# --- hashes and waiting -----------------------------------------------------------------------------------------------


def test_a_digest_is_the_same_for_the_same_text(store: Store) -> None:
    assert store.digest(b"ada@example.org") == store.digest(b"ada@example.org")
    assert store.digest(b"ada@example.org") != store.digest(b"bob@example.org")
    assert len(store.digest(b"")) == 32


def test_a_pause_ends(store: Store) -> None:
    for attempt in (0, 10**6):
        store.pause(attempt)


# --- notices ------------------------------------------------------------------------------------------------------------


def told(day: int, about: str, **more: Any) -> Notice:
    return Notice(NoticeKind.MOMENT, day, about, NOW, 3, moment="birthday", args={"points": 5, "tier": "7"}, **more)


def listed(store: Store, account: str = "A", **how: Any) -> list[tuple[int, str]]:
    return [(each.day, each.about) for each in store.notices(account, **{"limit": 9, **how})]


def test_a_notice_is_given_once(store: Store, place: Memory | Tables) -> None:
    assert store.give_notice("A", told(45_000, "x.1"))

    with writes_nothing(place):
        assert not store.give_notice("A", replace(told(45_000, "x.1"), args={"points": 9}, version=4))
    assert store.notice("A", 45_000, "x.1") == told(45_000, "x.1")
    assert store.notice("B", 45_000, "x.1") is None
    assert store.notice("A", 45_000, "x.2") is None


def test_a_notice_given_by_many_at_once_is_new_to_one_of_them(store: Store) -> None:
    answers = at_once([lambda: store.give_notice("A", told(45_000, "x.1"))] * 20)

    assert sorted(answers) == [False] * 19 + [True]


def test_notices_are_read_page_by_page_the_newest_first(store: Store) -> None:
    # Days of other lengths, and what sorts at the ends of a range; and annexes that are no notices.
    places = [(9_999, "a"), (45_000, "e.1"), (45_000, "e.2"), (45_000, "x.1"), (100_000, "s#é"), (999_999, "~")]
    for day, about in places:
        store.give_notice("A", told(day, about))
    store.give_notice("AB", told(45_000, "other"))
    store.keep_note("A", Note("A note.", b"s" * 16, b"d" * 16))
    store.append(record(1))

    newest_first = places[::-1]
    assert listed(store) == newest_first
    assert listed(store, limit=2) == newest_first[:2]
    for index, place in enumerate(newest_first):
        assert listed(store, before=place, limit=2) == newest_first[index + 1 : index + 3]
    # A place that nothing stands at, or not any more.
    assert listed(store, before=(45_000, "e.3")) == [(45_000, "e.2"), (45_000, "e.1"), (9_999, "a")]
    assert listed(store, before=(0, "")) == []


def test_a_notice_is_marked_as_read_once(store: Store, place: Memory | Tables) -> None:
    store.give_notice("A", told(45_000, "x.1"))
    read = told(45_000, "x.1", read_at=NOW)

    assert store.mark_read("A", read)
    assert store.notice("A", 45_000, "x.1") == read
    with writes_nothing(place):
        assert not store.mark_read("A", replace(read, read_at=NOW + timedelta(days=1)))
        assert not store.give_notice("A", told(45_000, "x.1"))


def test_a_notice_that_is_not_there_is_not_marked(store: Store, place: Memory | Tables) -> None:
    store.give_notice("A", told(45_000, "x.1"))

    with writes_nothing(place):
        for account, day, about in (("B", 45_000, "x.1"), ("A", 45_001, "x.1"), ("A", 45_000, "x.2")):
            assert not store.mark_read(account, told(day, about, read_at=NOW))


def test_a_notice_marked_by_many_at_once_is_read_at_one_time(store: Store) -> None:
    store.give_notice("A", told(45_000, "x.1"))
    times = [NOW + timedelta(seconds=number) for number in range(20)]

    answers = at_once([lambda at=at: store.mark_read("A", told(45_000, "x.1", read_at=at)) for at in times])

    assert sum(answers) == 1
    found = store.notice("A", 45_000, "x.1")
    assert found is not None
    assert found.read_at == times[answers.index(True)]
