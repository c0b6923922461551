"""Giving points: from one account to another, whole, once, and for no longer than they would have lived anyway."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import access, ledger, limits, standing, transfers
from domain.access import Actor, Role
from domain.accounts import Line
from domain.entries import EntryKind, Explanation, caller_key
from domain.members import Lookup
from domain.refusals import (
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidPoints,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
)
from domain.store import Contended
from domain.transfers import TransferLimit, TransferToSelf
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    ADA,
    BOB,
    ISSUER,
    MANAGER,
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
    external,
    give,
    head_of,
    hold,
    merge,
    owe,
    program,
    redeem,
    refuses,
    unchanged,
    unmerge,
)

NOW = at("2026-01-10")


def furnished(store: Memory) -> Memory:
    """Ada, who has a login and 100 points, and Bob, who has neither."""
    enroll(store, "ada", NOW, actor=ADA)
    enroll(store, "bob", NOW, email="bob@example.org", phone="+15550001111", card_number="C-2")
    buy(store, "ada", 10_000, NOW, receipt="1")
    return store


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """A store that is up to date, and one whose cheap reads always come late."""
    made: Memory = request.param()
    return furnished(made)


@pytest.fixture
def interrupted() -> Interrupted:
    made = Interrupted()
    furnished(made)
    return made


@pytest.fixture
def eager_threads() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def audited(store: Memory) -> Memory:
    books.check_all(store._logs, ZONE)
    for log in store._logs.values():
        books.check_due(log, store.due)
    return store


def balances(store: Memory, *accounts: str) -> list[int]:
    return [head_of(store, account).state.balance for account in accounts]


def standing_of(store: Memory, name: str, change: Any) -> None:
    more: dict[str, Any] = {"actor": MANAGER, "idempotency_key": f"{name} {change.__name__}", "reason": "FRAUD"}
    change(store, PROGRAM, member=external(name), note=None, now=NOW, **more)


# --- the gift ---------------------------------------------------------------------------------------------------------


def test_points_go_from_one_account_to_the_other_in_two_records_that_name_each_other(store: Memory) -> None:
    outcome = give(store, "ada", "bob", 30, NOW, key="k")

    sent, received = outcome.entry, head_of(store, "BOB").entries[0]
    assert outcome.record == head_of(store, "ADA")
    assert (sent.kind, sent.points, sent.balance_after) == (EntryKind.TRANSFER_OUT, -30, 70)
    assert (received.kind, received.points, received.balance_after) == (EntryKind.TRANSFER_IN, 30, 30)
    assert (sent.peer, sent.key, sent.cause) == (("BOB", 2), caller_key(MANAGER.id, "k"), None)
    assert (received.peer, received.key, received.cause) == (("ADA", 3), None, (3, 0))
    assert (sent.explanation, received.explanation) == ((Explanation("transfer", -30),), (Explanation("transfer", 30),))
    assert (sent.actor, received.actor) == (MANAGER.id, MANAGER.id)
    audited(store)


def test_the_soonest_expiring_points_are_given_and_keep_their_dates(store: Memory) -> None:
    buy(store, "ada", 5_000, at("2026-03-10"), receipt="2")
    buy(store, "bob", 1_000, at("2026-03-10"), receipt="3")

    outcome = give(store, "ada", "bob", 120, at("2026-04-10"), key="k")

    assert outcome.entry.lines == (Line(day("2028-01-31"), -100), Line(day("2028-03-31"), -20))
    assert head_of(store, "BOB").state.buckets == {day("2028-01-31"): 100, day("2028-03-31"): 30}
    assert head_of(store, "ADA").state.buckets == {day("2028-03-31"): 30}
    audited(store)


def test_what_time_did_comes_first_on_both_sides_and_the_receiver_is_told_where_the_giver_s_entry_stands(
    store: Memory,
) -> None:
    brief = program(expiry={"days": 1, "rounding": "day"})
    buy(store, "ada", 700, NOW, receipt="2", program=brief)
    buy(store, "bob", 500, NOW, receipt="3", program=brief)

    outcome = give(store, "ada", "bob", 5, NOW + timedelta(days=9), key="k")

    there = head_of(store, "BOB")
    assert [entry.kind for entry in outcome.record.entries] == [EntryKind.EXPIRY, EntryKind.TRANSFER_OUT]
    assert [entry.kind for entry in there.entries] == [EntryKind.EXPIRY, EntryKind.TRANSFER_IN]
    assert (outcome.index, there.entries[1].cause) == (1, (outcome.record.seq, 1))
    audited(store)


def test_members_give_what_is_theirs_to_whoever_they_can_name(store: Memory) -> None:
    for number, receiver in enumerate(
        (
            Lookup("external", "bob"),
            Lookup("email", "bob@example.org"),
            Lookup("phone", "+15550001111"),
            Lookup("card", "C-2"),
            Lookup("id", "BOB"),
        )
    ):
        outcome = sent(store, actor=ADA, key=str(number), receiver=receiver)
        assert outcome.record.account == "ADA"

    assert balances(store, "ADA", "BOB") == [95, 5]
    assert sent(store, actor=ADA, key="named", giver=external("ada")).record.account == "ADA"
    audited(store)


def sent(store: Memory, *, key: str = "k", points: int = 1, **changes: Any) -> ledger.Outcome:
    """A transfer with everything that a test does not care about."""
    call: dict[str, Any] = {"actor": MANAGER, "giver": None, "receiver": external("bob"), "now": NOW, **changes}
    if call["actor"].role is not Role.MEMBER and "giver" not in changes:
        call["giver"] = external("ada")
    return transfers.transfer(store, PROGRAM, idempotency_key=key, points=points, **call)


def test_the_last_point_can_be_given_and_not_one_more(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "points"):
        give(store, "ada", "bob", 101, NOW, key="k1")
    give(store, "ada", "bob", 100, NOW, key="k2")

    assert balances(store, "ADA", "BOB") == [0, 100]


def test_points_can_be_given_until_the_end_of_their_last_day(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "points"):
        give(store, "ada", "bob", 1, at("2028-02-01 00:00"), key="k1")
    give(store, "ada", "bob", 1, at("2028-01-31 23:59:59"), key="k2")

    last = ledger.current(head_of(store, "BOB"), at("2028-02-01 00:00"), PROGRAM)
    assert last.state.balance == 0


def test_points_that_have_expired_by_the_receiver_s_clock_expire_visibly(store: Memory) -> None:
    # Another machine, which is ahead, has booked something on the receiver's account already.
    buy(store, "bob", 100, at("2028-02-01 00:01"), receipt="2", occurred_at=at("2028-01-31"))

    give(store, "ada", "bob", 100, at("2028-01-31 23:59"), key="k")

    there = head_of(store, "BOB")
    assert [(entry.kind, entry.points) for entry in there.entries] == [
        (EntryKind.TRANSFER_IN, 100),
        (EntryKind.EXPIRY, -100),
    ]
    audited(store)


def test_a_receiver_with_as_many_dates_as_an_account_holds_loses_no_day() -> None:
    store = Memory()
    daily = program(expiry={"months": 24, "rounding": "day"})
    enroll(store, "ada", NOW)
    enroll(store, "bob", NOW)
    for number in range(limits.BUCKETS_MAX):
        when = NOW + timedelta(days=2 * number)
        buy(store, "bob", 100, when, receipt=f"b{number}", program=daily)
    later = NOW + timedelta(days=125)
    buy(store, "ada", 4_000, NOW + timedelta(days=123), receipt="a", program=daily)

    give(store, "ada", "bob", 40, later, key="k", program=daily)

    state = head_of(store, "BOB").state
    assert (state.balance, len(state.buckets)) == (limits.BUCKETS_MAX + 40, limits.BUCKETS_MAX)
    audited(store)


def test_a_receiver_who_owes_points_pays_with_them_first(store: Memory) -> None:
    owe(store, "bob", 25, NOW, key="debt")

    give(store, "ada", "bob", 30, NOW, key="k")

    there = head_of(store, "BOB")
    assert [(entry.kind, entry.points) for entry in there.entries] == [
        (EntryKind.TRANSFER_IN, 30),
        (EntryKind.DEBT_PAYMENT, 0),
    ]
    assert (there.state.balance, there.state.debt) == (5, 0)
    audited(store)


@pytest.mark.parametrize("why", ["held", "pending", "owed"])
def test_what_is_held_or_pending_or_owed_cannot_be_given(store: Memory, why: str) -> None:
    if why == "held":
        hold(store, "ada", 100, NOW, key="hold")
    elif why == "pending":
        redeem(store, "ada", "latte", NOW, key="spent")
        adjust(store, "ada", -60, NOW, key="rest")
        buy(store, "ada", 10_000, NOW, receipt="2", program=program(pending={"days": 5}))
    else:
        owe(store, "ada", 101, NOW, key="debt")

    with refuses(store, InsufficientPoints, "input", "points"):
        give(store, "ada", "bob", 1, NOW, key="k")


# --- what is refused, in this order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "\x7f", "k" * (limits.KEY_LENGTH_MAX + 1)])
def test_a_key_is_a_short_printable_text(store: Memory, key: str) -> None:
    with refuses(store, InvalidText, "input", "idempotencyKey"):
        give(store, "nobody", "nobody", 0, NOW, key=key)


@pytest.mark.parametrize("points", [0, -1, -(10**9), limits.ADJUSTMENT_POINTS_MAX + 1])
def test_a_gift_is_of_some_points(store: Memory, points: int) -> None:
    with refuses(store, InvalidPoints, "input", "points"):
        give(store, "nobody", "nobody", points, NOW, key="k")


def test_the_giver_is_somebody_the_caller_may_name(store: Memory) -> None:
    enroll(store, "eve", NOW, actor=BOB)

    with refuses(store, MemberNotFound, "input", "from"):
        give(store, "nobody", "nobody", 1, NOW, key="k")
    for named in (external("ada"), Lookup("id", "ADA"), external("nobody")):
        with refuses(store, MemberNotFound, "input", "from") as refused:
            sent(store, actor=BOB, giver=named)
        assert refused.value.message == "No member is enrolled under this."
    with refuses(store, MemberNotFound, "input", "from") as refused:
        sent(store, actor=MANAGER, giver=None)
    assert refused.value.message == "Name the member."
    with refuses(store, MemberNotFound, "input", "from") as refused:
        sent(store, actor=access.actor(Role.MEMBER, issuer=ISSUER, subject="stranger"))
    assert refused.value.message == "You are not enrolled yet."


@pytest.mark.parametrize("actor", [ADA, MANAGER], ids=["member", "manager"])
@pytest.mark.parametrize("receiver", [external("nobody"), Lookup("id", "NOBODY"), Lookup("email", "no@example.org")])
def test_the_receiver_is_somebody(store: Memory, actor: Actor, receiver: Lookup) -> None:
    with refuses(store, MemberNotFound, "input", "to") as refused:
        sent(store, actor=actor, receiver=receiver)
    assert refused.value.message == "No member is enrolled under this."


@pytest.mark.parametrize("actor", [ADA, MANAGER], ids=["member", "manager"])
@pytest.mark.parametrize("receiver", [external("ada"), Lookup("id", "ADA")])
def test_nobody_gives_to_themselves(store: Memory, actor: Actor, receiver: Lookup) -> None:
    with refuses(store, TransferToSelf, "input", "to"):
        sent(store, actor=actor, receiver=receiver)


def test_a_key_is_one_gift(store: Memory) -> None:
    enroll(store, "cat", NOW)
    give(store, "ada", "bob", 1, NOW, key="k")

    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        give(store, "ada", "bob", 2, NOW, key="k")
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        give(store, "ada", "cat", 1, NOW, key="k")
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        give(store, "cat", "bob", 1, NOW, key="k")
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        give(store, "ada", "ada", 1, NOW, key="k")
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        give(store, "ada", "nobody", 1, NOW, key="k")


@pytest.mark.parametrize(
    ("change", "refusal"), [(standing.close, MemberClosed), (standing.block, MemberBlocked)], ids=["closed", "blocked"]
)
def test_neither_gives_nor_gets_who_is_closed_or_blocked(store: Memory, change: Any, refusal: type[Refusal]) -> None:
    enroll(store, "cat", NOW)
    buy(store, "cat", 10_000, NOW, receipt="2")
    standing_of(store, "bob", change)

    with refuses(store, refusal, "input", "to"):
        sent(store, receiver=Lookup("id", "BOB"))
    with refuses(store, refusal, "input", "from"):
        sent(store, key="k2", giver=Lookup("id", "BOB"), receiver=external("ada"))


@pytest.mark.parametrize("change", [standing.close, standing.block], ids=["closed", "blocked"])
def test_members_do_not_hear_what_became_of_somebody_else(store: Memory, change: Any) -> None:
    standing_of(store, "bob", change)

    with refuses(store, MemberNotFound, "input", "to") as refused:
        sent(store, actor=ADA, receiver=Lookup("id", "BOB"))
    assert refused.value.message == "No member is enrolled under this."


def test_a_blocked_giver_hears_so(store: Memory) -> None:
    standing_of(store, "ada", standing.block)

    with refuses(store, MemberBlocked, "input", "from"):
        sent(store, actor=ADA)


@pytest.mark.parametrize(
    ("points", "rules", "message"),
    [
        (9, {"points_min": 10}, "Give 10 to 10000 points at a time."),
        (21, {"points_max": 20}, "Give 1 to 20 points at a time."),
        (1, {"points_max": 0}, "The program lets no points be given."),
        (6, {"points_per_day_max": 5}, "5 of the 5 points that can be given on one day are left."),
        (1, {"points_per_day_max": 0}, "0 of the 0 points that can be given on one day are left."),
    ],
)
def test_the_program_says_how_many_points_can_be_given(
    store: Memory, points: int, rules: dict[str, int], message: str
) -> None:
    with refuses(store, TransferLimit, "input", "points") as refused:
        give(store, "ada", "bob", points, NOW, key="k", program=program(transfers=rules))
    assert refused.value.message == message


def test_what_was_given_today_counts_until_midnight_of_the_program(store: Memory) -> None:
    strict = program(transfers={"points_max": 50, "points_per_day_max": 60})
    enroll(store, "cat", NOW)
    give(store, "ada", "bob", 40, at("2026-01-10 00:00"), key="k1", program=strict)
    give(store, "ada", "cat", 15, at("2026-01-10 23:58"), key="k2", program=strict)

    with refuses(store, TransferLimit, "input", "points") as refused:
        give(store, "ada", "bob", 6, at("2026-01-10 23:59"), key="k3", program=strict)
    assert refused.value.message == "5 of the 60 points that can be given on one day are left."
    give(store, "ada", "bob", 5, at("2026-01-10 23:59"), key="k4", program=strict)
    give(store, "ada", "bob", 40, at("2026-01-11 00:00"), key="k5", program=strict)
    # Whatever a receiver gets is not what they have given.
    give(store, "bob", "cat", 50, at("2026-01-11 00:00"), key="k6", program=strict)

    assert balances(audited(store), "ADA", "BOB", "CAT") == [0, 35, 65]


def test_the_limit_is_looked_at_before_the_balance(store: Memory) -> None:
    with refuses(store, TransferLimit, "input", "points"):
        give(store, "ada", "bob", 10_001, NOW, key="k")


# --- the same key -----------------------------------------------------------------------------------------------------


def test_a_retry_has_the_same_answer_however_much_happened_since(store: Memory) -> None:
    first = sent(store, actor=ADA, points=30)
    give(store, "bob", "ada", 10, NOW, key="back")
    buy(store, "ada", 100, NOW, receipt="2")
    standing_of(store, "bob", standing.close)

    for changed in (PROGRAM, program(transfers={"points_max": 0})):
        with unchanged(store):
            again = transfers.transfer(
                store,
                changed,
                actor=ADA,
                idempotency_key="k",
                giver=None,
                receiver=external("bob"),
                points=30,
                now=NOW + timedelta(days=30),
            )
        assert again == replace(first, replayed=True)


def test_a_no_stays_a_no(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "points"):
        give(store, "ada", "bob", 101, NOW, key="k")
    buy(store, "ada", 10_000, NOW, receipt="2")

    with refuses(store, InsufficientPoints, "input", "points", replayed=True):
        give(store, "ada", "bob", 101, NOW, key="k")


# --- crashes and races ------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone."""


def crash() -> None:
    raise Crash


def test_who_died_after_the_claim_is_finished_by_the_retry(interrupted: Interrupted) -> None:
    interrupted.before_append.append(crash)
    with pytest.raises(Crash):
        give(interrupted, "ada", "bob", 30, NOW, key="k")
    assert balances(interrupted, "ADA", "BOB") == [100, 0]

    outcome = give(interrupted, "ada", "bob", 30, NOW, key="k")

    assert not outcome.replayed
    assert give(interrupted, "ada", "bob", 30, NOW, key="k") == replace(outcome, replayed=True)
    assert balances(audited(interrupted), "ADA", "BOB") == [70, 30]


def test_who_died_after_the_append_has_given(interrupted: Interrupted) -> None:
    interrupted.after_append.append(crash)
    with pytest.raises(Crash):
        give(interrupted, "ada", "bob", 30, NOW, key="k")

    assert give(interrupted, "ada", "bob", 30, NOW, key="k").replayed
    assert balances(audited(interrupted), "ADA", "BOB") == [70, 30]


def test_a_no_that_was_decided_after_the_claim_is_for_ever(interrupted: Interrupted) -> None:
    interrupted.before_append.append(crash)
    with pytest.raises(Crash):
        give(interrupted, "ada", "bob", 30, NOW, key="k")
    standing_of(interrupted, "bob", standing.block)

    with refuses(interrupted, MemberBlocked, "input", "to"):
        give(interrupted, "ada", "bob", 30, NOW, key="k")
    standing_of(interrupted, "bob", standing.unblock)
    with refuses(interrupted, MemberBlocked, "input", "to", replayed=True):
        give(interrupted, "ada", "bob", 30, NOW, key="k")


def test_a_receiver_who_could_not_be_read_after_the_claim_is_no_reason_for_a_no(
    interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted.before_append.append(crash)
    with pytest.raises(Crash):
        give(interrupted, "ada", "bob", 30, NOW, key="k")

    def unreadable(*_: object, **__: object) -> None:
        raise OutcomeUnknown("The store did not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(transfers, "_receiving", unreadable)
        with unchanged(interrupted), pytest.raises(OutcomeUnknown):
            give(interrupted, "ada", "bob", 30, NOW, key="k")
    assert not give(interrupted, "ada", "bob", 30, NOW, key="k").replayed
    assert balances(audited(interrupted), "ADA", "BOB") == [70, 30]


@pytest.mark.parametrize("moment", ["before_claim", "before_append"])
@pytest.mark.parametrize("other", ["receiver earns", "giver earns", "crossing", "same call"])
def test_whatever_happens_in_between_each_gift_is_whole(interrupted: Interrupted, moment: str, other: str) -> None:
    buy(interrupted, "bob", 1_000, NOW, receipt="2")
    calls = {
        "receiver earns": lambda: buy(interrupted, "bob", 500, NOW, receipt="3"),
        "giver earns": lambda: buy(interrupted, "ada", 500, NOW, receipt="3"),
        "crossing": lambda: give(interrupted, "bob", "ada", 10, NOW, key="back"),
        "same call": lambda: give(interrupted, "ada", "bob", 30, NOW, key="k"),
    }
    getattr(interrupted, moment).append(calls[other])

    outcome = give(interrupted, "ada", "bob", 30, NOW, key="k")

    assert outcome.replayed is (other == "same call")
    assert (
        balances(audited(interrupted), "ADA", "BOB")
        == {
            "receiver earns": [70, 45],
            "giver earns": [75, 40],
            "crossing": [80, 30],
            "same call": [70, 40],
        }[other]
    )


def test_who_loses_the_race_for_the_last_points_is_refused_for_good(interrupted: Interrupted) -> None:
    interrupted.before_append.append(lambda: redeem(interrupted, "ada", "latte", NOW, key="other"))

    with pytest.raises(InsufficientPoints):
        give(interrupted, "ada", "bob", 61, NOW, key="k")
    buy(interrupted, "ada", 10_000, NOW, receipt="2")
    with refuses(interrupted, InsufficientPoints, "input", "points", replayed=True):
        give(interrupted, "ada", "bob", 61, NOW, key="k")
    assert balances(audited(interrupted), "ADA", "BOB") == [160, 0]


def test_a_receiver_who_is_always_busy_makes_an_unknown_outcome_and_nothing_half(interrupted: Interrupted) -> None:
    def busy() -> None:
        interrupted.before_append.append(busy)
        raise Contended

    interrupted.before_append.append(busy)

    with refuses(interrupted, OutcomeUnknown):
        give(interrupted, "ada", "bob", 30, NOW, key="k")
    interrupted.before_append.clear()
    assert not give(interrupted, "ada", "bob", 30, NOW, key="k").replayed


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize(("balance", "successes"), [(0, 0), (9, 0), (10, 1), (1_019, 101), (2_000, 200)])
def test_200_gifts_at_once_succeed_as_often_as_the_balance_allows(balance: int, successes: int) -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    receivers = [f"r{number}" for number in range(4)]
    for name in receivers:
        enroll(store, name, NOW)
    buy(store, "ada", balance * 100, NOW, receipt="1")

    answers = at_once(
        [
            lambda number=number: give(store, "ada", receivers[number % 4], 10, NOW, key=str(number))
            for number in range(200)
        ]
    )

    given = [answer for answer in answers if isinstance(answer, ledger.Outcome)]
    assert len(given) == successes, {type(answer) for answer in answers}
    assert sum(isinstance(answer, InsufficientPoints) for answer in answers) == 200 - successes
    audited(store)
    assert balances(store, "ADA") == [balance - successes * 10]
    for name in receivers:
        got = sum(outcome.entry.peer is not None and outcome.entry.peer[0] == name.upper() for outcome in given)
        assert balances(store, name.upper()) == [got * 10]


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("ring", [("ada", "bob"), ("ada", "bob", "cat")])
def test_gifts_that_cross_or_go_in_a_ring_neither_stop_nor_lose_a_point(store: Memory, ring: tuple[str, ...]) -> None:
    enroll(store, "cat", NOW)
    for name in ("bob", "cat"):
        buy(store, name, 10_000, NOW, receipt=name)

    answers = at_once(
        [
            lambda number=number, step=step: give(
                store, ring[step], ring[(step + 1) % len(ring)], 1 + number, NOW, key=f"{step} {number}"
            )
            for number in range(12)
            for step in range(len(ring))
        ]
    )

    assert all(isinstance(answer, ledger.Outcome) for answer in answers), answers
    # Everybody gave as much as they got.
    assert balances(audited(store), "ADA", "BOB", "CAT") == [100, 100, 100]


@pytest.mark.usefixtures("eager_threads")
def test_one_call_delivered_50_times_at_once_is_one_gift(store: Memory) -> None:
    answers = at_once([lambda: give(store, "ada", "bob", 30, NOW, key="k")] * 50)

    assert sorted(answer.replayed for answer in answers) == [False, *[True] * 49]
    assert balances(audited(store), "ADA", "BOB") == [70, 30]


# --- accounts that were merged ----------------------------------------------------------------------------------------


def test_a_gift_to_whoever_was_merged_reaches_the_account_they_live_on_in(store: Memory) -> None:
    enroll(store, "cat", NOW)
    merge(store, "bob", "cat", NOW, key="m")

    outcome = give(store, "ada", "bob", 30, NOW, key="k")

    assert outcome.entry.peer == ("CAT", head_of(store, "CAT").seq)
    assert balances(audited(store), "CAT") == [30]


def test_who_became_one_cannot_give_to_themselves(store: Memory) -> None:
    merge(store, "bob", "ada", NOW, key="m")

    for giver, receiver in (("ada", "bob"), ("bob", "ada"), ("bob", "bob")):
        with refuses(store, TransferToSelf, "input", "to"):
            give(store, giver, receiver, 1, NOW, key="k")
    unmerge(store, "bob", NOW, key="u")
    # Nothing was decided about the points: an account cannot give to itself, so the key is still free.
    assert not give(store, "ada", "bob", 1, NOW, key="k").replayed


def test_a_gift_claimed_before_the_two_became_one_is_refused_for_good(interrupted: Interrupted) -> None:
    interrupted.before_append.append(crash)
    with pytest.raises(Crash):
        give(interrupted, "ada", "bob", 30, NOW, key="k")
    merge(interrupted, "ada", "bob", NOW, key="m")

    with pytest.raises(TransferToSelf):
        give(interrupted, "ada", "bob", 30, NOW, key="k")
    unmerge(interrupted, "ada", NOW, key="u")
    with refuses(interrupted, TransferToSelf, "input", "to", replayed=True):
        give(interrupted, "ada", "bob", 30, NOW, key="k")
    assert balances(audited(interrupted), "ADA", "BOB") == [100, 0]
