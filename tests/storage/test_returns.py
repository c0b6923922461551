"""The contract of a store about returns: those that wait for their purchase, those that are booked, those that are refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.entries import Basket, Claim, Money
from domain.refusals import MemberBlocked
from domain.store import Beside, ClaimTaken, Contended, ReturnTaken, Store
from storage.memory import Memory
from tests.domain.world import at_once
from tests.storage.tables import NOW, Tables, all_of, comparable
from tests.storage.writing import NO, came_back, claim, enroll, following, key, writes_nothing

# --- returns that came before their purchase --------------------------------------------------------------------------


def test_a_return_of_an_unknown_purchase_waits_beside_a_parked_claim(store: Store, place: Memory | Tables) -> None:
    waiting = came_back("r1", amount_minor=700, lines={}, currency="USD", reason="BROKEN", occurred_at=NOW)

    store.park(waiting)

    parked = store.claim(key("1"))
    assert parked is not None
    assert parked.is_parked
    assert (parked.account, parked.seq_seen, parked.at, parked.expires_at) == ("", 0, NOW, None)
    assert list(store.returns(key("1"))) == [waiting]
    assert set(all_of(place).claims) == {key("1")}


def test_any_number_of_returns_waits(store: Store) -> None:
    for number in (2, 1, 3):
        store.park(came_back(f"r{number}", at=NOW + timedelta(seconds=number)))

    assert [each.id for each in store.returns(key("1"))] == ["r1", "r2", "r3"]
    parked = store.claim(key("1"))
    assert parked is not None
    assert parked.is_parked


def test_a_return_that_waits_already_is_given_back_and_nothing_is_written(store: Store, place: Memory | Tables) -> None:
    store.park(came_back("r1"))

    with writes_nothing(place), pytest.raises(ReturnTaken) as taken:
        store.park(came_back("r1", at=NOW + timedelta(hours=1), lines={0: 2}, fingerprint=b"another one's..."))
    assert taken.value.taken == came_back("r1")


@pytest.mark.parametrize("known", [claim("1", seq=1), replace(claim("1", account=""), refusal=NO)])
def test_a_return_does_not_wait_for_a_purchase_that_is_known(
    store: Store, place: Memory | Tables, known: Claim
) -> None:
    store.remember(known)
    store.refuse_return(came_back("r0"))

    # The claim is what is reported, whatever else stands in the way.
    for return_id in ("r1", "r0"):
        with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
            store.park(came_back(return_id))
        assert comparable(taken.value.claim) == comparable(known)


def test_a_purchase_finds_that_its_returns_came_first_and_completes_the_claim(
    store: Store, place: Memory | Tables
) -> None:
    store.park(came_back("r1"))
    asked = replace(claim("1", seq=4), basket=Basket(NOW, Money(5, "USD"), None, None, ()), had_returns=True)

    with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
        store.remember(replace(asked, had_returns=False))
    assert taken.value.claim.is_parked
    store.complete(asked)

    assert store.claim(key("1")) == asked
    assert list(store.returns(key("1"))) == [came_back("r1")]
    with writes_nothing(place), pytest.raises(ClaimTaken):
        store.park(came_back("r2"))


def test_a_claim_is_completed_once(store: Store, place: Memory | Tables) -> None:
    store.park(came_back("r1"))
    first = replace(claim("1", seq=4), had_returns=True)
    store.complete(first)

    with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
        store.complete(replace(first, account="B"))
    assert taken.value.claim == first


@pytest.mark.parametrize("known", [claim("1", seq=1), replace(claim("1"), refusal=NO)])
def test_a_claim_that_waits_for_nothing_is_not_completed(store: Store, place: Memory | Tables, known: Claim) -> None:
    store.remember(known)

    with writes_nothing(place), pytest.raises(ClaimTaken) as taken:
        store.complete(replace(claim("1", account="B"), had_returns=True))
    assert comparable(taken.value.claim) == comparable(known)


def test_completing_what_was_never_parked_is_a_bug(store: Store, place: Memory | Tables) -> None:
    with writes_nothing(place), pytest.raises(AssertionError):
        store.complete(replace(claim("1"), had_returns=True))


def test_returns_that_come_at_once_all_wait(store: Store) -> None:
    def park(return_id: str) -> None:
        while True:
            try:
                return store.park(came_back(return_id))
            except Contended:
                store.pause(0)

    answers = at_once([lambda name=name: park(name) for name in ("r1", "r2", "r3", "r4", "r1", "r2")])

    assert answers.count(None) == 4
    assert {type(answer) for answer in answers if answer is not None} == {ReturnTaken}
    assert [each.id for each in store.returns(key("1"))] == ["r1", "r2", "r3", "r4"]


def test_a_purchase_that_comes_with_its_returns_sees_every_one_that_waits(store: Store) -> None:
    """Whoever parks has either been seen by the purchase, or is told that the purchase is known."""
    store.park(came_back("r0"))
    seen: list[str] = []

    def buy() -> None:
        while True:
            try:
                store.complete(replace(claim("1", seq=1), had_returns=True))
            except Contended:
                store.pause(0)
                continue
            seen.extend(each.id for each in store.returns(key("1")))
            return

    answers = at_once([*(lambda name=f"r{number}": store.park(came_back(name)) for number in range(1, 7)), buy])

    assert answers.pop() is None
    assert {type(answer) for answer in answers if answer is not None} <= {ClaimTaken, Contended}
    assert seen == ["r0", *(f"r{number}" for number, answer in enumerate(answers, start=1) if answer is None)]
    assert [each.id for each in store.returns(key("1"))] == seen


# --- returns ----------------------------------------------------------------------------------------------------------


def test_a_refused_return_is_kept_and_makes_no_claim(store: Store, place: Memory | Tables) -> None:
    refused = came_back("r1", refusal=NO)

    store.refuse_return(refused)

    assert list(store.returns(key("1"))) == [refused]
    assert store.claim(key("1")) is None
    assert all_of(place).logs == {}


def test_a_return_that_was_answered_is_not_refused(store: Store, place: Memory | Tables) -> None:
    enroll(store)
    booked = came_back("r1", account="A", seq=2)
    store.append(following(store), Beside(booked=booked))
    store.refuse_return(came_back("r2", refusal=NO))
    store.park(came_back("r3", purchase="2"))

    for purchase, return_id, there in (
        ("1", "r1", booked),
        ("1", "r2", came_back("r2", refusal=NO)),
        ("2", "r3", None),
    ):
        with writes_nothing(place), pytest.raises(ReturnTaken) as taken:
            store.refuse_return(came_back(return_id, purchase=purchase, refusal=MemberBlocked("No.")))
        assert taken.value.taken == (there or came_back("r3", purchase="2"))


def test_returns_are_those_of_one_purchase_oldest_first(store: Store) -> None:
    for return_id, seconds in (("b", 1), ("a", 1), ("é#", 0), ("Z", 2)):
        store.refuse_return(came_back(return_id, at=NOW + timedelta(seconds=seconds)))
    for other in ("10", "", "1#", "1:a"):
        store.refuse_return(came_back("a", purchase=other))

    assert [each.id for each in store.returns(key("1"))] == ["é#", "a", "b", "Z"]
    assert {each.purchase for each in store.returns(key("1"))} == {key("1")}


def test_no_return_is_overlooked_however_many_there_are(store: Store) -> None:
    # More than a megabyte, which is what one answer of the database holds.
    for number in range(110):
        store.refuse_return(came_back(f"r{number:03d}", reason="R" * 10_000))

    assert [each.id for each in store.returns(key("1"))] == [f"r{number:03d}" for number in range(110)]


def test_one_of_many_returns_of_one_id_is_there(store: Store, place: Memory | Tables) -> None:
    for account in "ABC":
        enroll(store, account)
    # On accounts that are in nobody's way, and refused.
    records = [following(store, account) for account in "ABC"]
    calls = [
        *(
            lambda each=each: store.append(each, Beside(booked=came_back("r1", account=each.account, seq=2)))
            for each in records
        ),
        *(lambda: store.refuse_return(came_back("r1", refusal=NO)) for _ in range(3)),
    ]

    answers = at_once(calls)

    assert answers.count(None) == 1
    assert {type(answer) for answer in answers if answer is not None} <= {ReturnTaken, Contended}
    (there,) = store.returns(key("1"))
    grown = [log for log in all_of(place).logs.values() if len(log) > 1]
    assert [log[-1].account for log in grown] == ([there.account] if there.account else [])
