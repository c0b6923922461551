"""The contract of a store about what is written with a record or not at all: other accounts' records, returns, ends, profiles."""

from dataclasses import replace
from itertools import product

import pytest

from domain.members import Lookup
from domain.store import Beside, Contended, EndTaken, LookupTaken, ReturnTaken, Store, Update
from storage.memory import Memory
from tests.domain.world import at_once
from tests.storage.tables import Tables, all_of
from tests.storage.writing import (
    CARD,
    MAIL,
    PHONE,
    PROFILE,
    came_back,
    ended,
    enroll,
    following,
    grow,
    key,
    record,
    writes_nothing,
)

# --- appending on several accounts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("accounts", ["AB", "ABC"])
def test_accounts_move_together(store: Store, accounts: str) -> None:
    for account in accounts:
        enroll(store, account)
    first, *others = [following(store, account, value="together") for account in accounts]

    store.append(first, Beside(records=tuple(others)))

    assert [store.head(account, strong=True) for account in accounts] == [first, *others]


@pytest.mark.parametrize("late", ["A", "B", "C", "AC", "ABC"])
def test_accounts_move_together_or_not_at_all(store: Store, place: Memory | Tables, late: str) -> None:
    for account in "ABC":
        enroll(store, account)
    first, *others = [following(store, account, value="together") for account in "ABC"]
    for account in late:
        store.append(following(store, account, value=f"before {account}"))

    with writes_nothing(place), pytest.raises(Contended):
        store.append(first, Beside(records=tuple(others)))


def test_an_account_moves_once_in_a_transaction(store: Store, place: Memory | Tables) -> None:
    enroll(store)
    each = following(store)

    with writes_nothing(place), pytest.raises(AssertionError):
        store.append(each, Beside(records=(each,)))


def test_transfers_that_cross_each_other_are_both_or_none(store: Store, place: Memory | Tables) -> None:
    for account in "ABC":
        enroll(store, account)

    def move(sender: str, receiver: str) -> None:
        first, other = (following(store, account, value=f"{sender}{receiver}") for account in (sender, receiver))
        store.append(first, Beside(records=(other,)))

    pairs = ["AB", "BA", "BC", "CA", "AC", "CB"]
    answers = at_once([lambda pair=pair: move(*pair) for pair in pairs])

    assert {type(answer) for answer in answers if answer is not None} <= {Contended}
    done = {key(pair) for pair, answer in zip(pairs, answers, strict=True) if answer is None}
    assert done
    logs = all_of(place).logs
    for account in "ABC":
        moved = [each.entries[0].key for each in logs[account][1:]]
        assert sorted(map(str, moved)) == sorted(str(each) for each in done if account in each.value)


# --- what comes with a record -----------------------------------------------------------------------------------------


def test_a_return_comes_with_its_record(store: Store) -> None:
    enroll(store)
    booked = came_back("r1", lines={0: 1, 3: 1_000_000}, account="A", seq=2, reason="BROKEN")

    store.append(following(store), Beside(booked=booked))

    assert list(store.returns(key("1"))) == [booked]
    assert store.head("A", strong=True) == record(2)


def test_a_return_that_is_booked_keeps_the_record_away(store: Store, place: Memory | Tables) -> None:
    grow(store, "A", to=2)
    booked = came_back("r1", account="A", seq=3)
    store.append(following(store), Beside(booked=booked))

    with writes_nothing(place), pytest.raises(ReturnTaken) as taken:
        store.append(following(store), Beside(booked=came_back("r1", lines={0: 2}, account="A", seq=4)))
    assert taken.value.taken == booked


def test_a_redemption_ends_with_a_record(store: Store) -> None:
    grow(store, "A", to=2)
    enroll(store, "B")

    store.append(following(store), Beside(end=ended(2, 1)))
    store.append(following(store, "B"), Beside(end=ended(2, 1, account="B")))

    assert store.end("A", 2, 1) == ended(2, 1)
    assert store.end("B", 2, 1) == ended(2, 1, account="B")
    assert store.end("A", 2, 0) is None
    assert store.end("A", 1, 1) is None


def test_a_redemption_ends_once(store: Store, place: Memory | Tables) -> None:
    grow(store, "A", to=2)
    store.append(following(store), Beside(end=ended(by="first")))

    with writes_nothing(place), pytest.raises(EndTaken) as taken:
        store.append(following(store), Beside(end=ended(by="second")))
    assert taken.value.end == ended(by="first")


def test_one_of_many_ends_of_one_redemption_is_there(store: Store, place: Memory | Tables) -> None:
    for account in "ABCD":
        grow(store, account, to=2)
    # An end may be written by whoever the account was merged into.
    records = [following(store, account) for account in "ABCD"]

    answers = at_once([lambda each=each: store.append(each, Beside(end=ended(by=each.account))) for each in records])

    assert answers.count(None) == 1
    assert {type(answer) for answer in answers if answer is not None} <= {EndTaken, Contended}
    winner = "ABCD"[answers.index(None)]
    assert store.end("A", 2, 0) == ended(by=winner)
    assert {account for account, log in all_of(place).logs.items() if len(log) > 2} == {winner}


# --- changing who somebody is -----------------------------------------------------------------------------------------

NEW = replace(PROFILE, name="Ada L.", email="new@example.org")
NEW_MAIL = Lookup("email", "new@example.org")


def change(store: Store, account: str = "A", *, gained: str = "", given_up: str = "", value: str | None = None) -> None:
    """A record with a change of look-ups: `m`ail, `c`ard, `p`hone, and `n`ew mail."""
    names = {"m": MAIL, "c": CARD, "p": PHONE, "n": NEW_MAIL}
    update = Update(account, NEW, tuple(names[name] for name in gained), tuple(names[name] for name in given_up))
    store.append(following(store, account, value=value), Beside(update=update))


def test_a_profile_changes_with_a_record(store: Store) -> None:
    enroll(store, "A", MAIL)

    change(store)

    home = store.home("A", entries=1, strong=True)
    assert home is not None
    assert home.profile == NEW
    assert home.records[0] == record(2)
    assert store.find_account(MAIL, strong=True) == "A"


def test_look_ups_are_gained_and_given_up_with_the_profile(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL, CARD)

    change(store, gained="np", given_up="m")

    assert store.find_account(MAIL) is None
    assert store.find_account(MAIL, strong=True) is None
    assert {store.find_account(each, strong=True) for each in (NEW_MAIL, PHONE, CARD)} == {"A"}
    assert len(all_of(place).lookups) == 3


def test_a_look_up_that_was_given_up_can_be_taken(store: Store) -> None:
    enroll(store, "A", MAIL, CARD)
    change(store, given_up="mc")

    # By somebody who joins, by somebody else, and by whoever had it before.
    enroll(store, "B", MAIL)
    enroll(store, "C")
    change(store, "C", gained="c")
    change(store, "B", given_up="m")
    change(store, "A", gained="m")

    assert store.find_account(MAIL, strong=True) == "A"
    assert store.find_account(CARD, strong=True) == "C"


def test_a_look_up_that_was_taken_again_is_taken(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)
    change(store, given_up="m")
    enroll(store, "B", MAIL)

    with writes_nothing(place), pytest.raises(LookupTaken):
        change(store, gained="m")
    with writes_nothing(place), pytest.raises(Contended):
        change(store, given_up="m")


def test_a_look_up_of_somebody_else_is_named_and_nothing_is_written(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)
    enroll(store, "B", CARD, PHONE)

    for gained, named in (("c", CARD), ("ncp", CARD), ("pc", PHONE)):
        with writes_nothing(place), pytest.raises(LookupTaken) as taken:
            change(store, gained=gained, given_up="m")
        assert taken.value.lookup == named


def test_one_s_own_look_up_is_not_gained_again(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)

    with writes_nothing(place), pytest.raises(LookupTaken):
        change(store, gained="m")


def test_nobody_gives_up_what_is_not_theirs(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)
    enroll(store, "B", CARD)
    change(store, "B", given_up="c")

    # Somebody else's, given up already, and never anybody's.
    for account, given_up in (("B", "m"), ("A", "mc"), ("B", "c"), ("A", "p")):
        with writes_nothing(place), pytest.raises(Contended):
            change(store, account, given_up=given_up, gained="n")


def test_nobody_changes_who_is_not_there(store: Store, place: Memory | Tables) -> None:
    # Somebody who was erased has records and no profile.
    store.append(record(1))

    with writes_nothing(place), pytest.raises(Contended):
        change(store, gained="n")


def test_one_of_many_who_gain_a_look_up_has_it(store: Store, place: Memory | Tables) -> None:
    for account in "ABCDE":
        enroll(store, account)
    enroll(store, "F", MAIL)
    change(store, "F", given_up="m")

    answers = at_once([lambda account=account: change(store, account, gained="m") for account in "ABCDE"])

    assert answers.count(None) == 1
    assert {type(answer) for answer in answers if answer is not None} <= {LookupTaken, Contended}
    winner = "ABCDE"[answers.index(None)]
    assert store.find_account(MAIL, strong=True) == winner
    assert {account for account, log in all_of(place).logs.items() if account != "F" and len(log) > 1} == {winner}


def test_a_look_up_passes_from_hand_to_hand_and_is_never_two_people_s(store: Store, place: Memory | Tables) -> None:
    enroll(store, "A", MAIL)
    for account in "BCD":
        enroll(store, account)

    at_once(
        [
            lambda: change(store, "A", given_up="m"),
            *(lambda account=account: change(store, account, gained="m") for account in "BCD"),
        ]
    )

    logs = all_of(place).logs
    changed = {account for account, log in logs.items() if len(log) > 1}
    owner = store.find_account(MAIL, strong=True)
    assert "A" in changed
    assert changed - {"A"} == ({owner} if owner else set())


# --- several things at once -------------------------------------------------------------------------------------------


FAILURES = (Contended, ReturnTaken, EndTaken, LookupTaken)


@pytest.fixture
def crowded(store: Store) -> Store:
    """A and B, a return that is booked, a redemption that has ended, a look-up of A, and one of somebody else."""
    enroll(store, "A", MAIL)
    grow(store, "B", to=2)
    enroll(store, "C", CARD)
    store.append(following(store), Beside(booked=came_back("old"), end=ended(1, 0)))
    return store


def test_what_is_reported_is_what_comes_first_when_several_things_are_in_the_way(
    crowded: Store, place: Memory | Tables
) -> None:
    for late, late_other, returned, over, owned, not_owned in product([False, True], repeat=6):
        first, other = following(crowded, value="x"), following(crowded, "B", value="x")
        beside = Beside(
            records=(replace(other, seq=2) if late_other else other,),
            booked=came_back("old" if returned else "new"),
            end=ended(1, 0 if over else 1),
            update=Update(
                "A", NEW, (NEW_MAIL, CARD if owned else PHONE), (MAIL, Lookup("card", "?")) if not_owned else (MAIL,)
            ),
        )
        if not (late or late_other or returned or over or owned or not_owned):
            continue
        expected: type[Exception] = Contended
        if not (late or late_other):
            reported = ((returned, ReturnTaken), (over, EndTaken), (owned, LookupTaken), (True, Contended))
            expected = next(kind for is_in_the_way, kind in reported if is_in_the_way)

        with writes_nothing(place), pytest.raises(FAILURES) as raised:
            crowded.append(replace(first, seq=2) if late else first, beside)
        assert raised.type is expected, (late, late_other, returned, over, owned, not_owned)


def test_everything_beside_a_record_is_written_with_it(crowded: Store) -> None:
    other = following(crowded, "B", value="x")
    booked, end = came_back("new", account="A", seq=3), ended(1, 1)

    crowded.append(
        following(crowded, value="x"),
        Beside(records=(other,), booked=booked, end=end, update=Update("A", NEW, (NEW_MAIL,), (MAIL,))),
    )

    assert crowded.head("A", strong=True) == record(3, value="x")
    assert crowded.head("B", strong=True) == other
    assert booked in crowded.returns(key("1"))
    assert crowded.end("A", 1, 1) == end
    home = crowded.home("A", entries=1, strong=True)
    assert home is not None
    assert home.profile == NEW
    assert [crowded.find_account(each, strong=True) for each in (NEW_MAIL, MAIL)] == ["A", None]
