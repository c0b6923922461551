"""Returning what was bought: what is owed, where it is taken from, each no, and every order in which things can come."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ledger, limits, returns
from domain.accounts import DEBT, Line, Status
from domain.entries import (
    BasketLine,
    Claim,
    Entry,
    EntryKind,
    Explanation,
    Key,
    Money,
    PurchaseReturn,
    Record,
    Reversal,
)
from domain.programs import ReturnPolicy
from domain.purchases import InvalidAmount, InvalidQuantity, TooManyLines
from domain.refusals import (
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidText,
    InvalidTime,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
)
from domain.returns import Returned, TooManyReturns
from domain.reversals import CurrencyMismatch, LineNotFound, PurchaseNotFound, ReturnExceedsPurchase
from domain.store import NOTHING, Beside, Contended
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    PROGRAM,
    TILL,
    ZONE,
    Interrupted,
    Stale,
    adjust,
    at,
    at_once,
    buy,
    day,
    enroll,
    give_back,
    head_of,
    hold,
    merge,
    program,
    redeem,
    refuses,
    release,
    search,
    unchanged,
    unmerge,
)

NOW = at("2026-01-10")
EXPIRES = day("2028-01-31")
KEY = Key("till", "1")
# Three cups of tea for 10.00, a pot for 25.50 and a bag for nothing.
LINES = (BasketLine("tea", None, 3, 1_000), BasketLine("pot", None, 1, 2_550), BasketLine("bag", None, 1, 0))


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """Ada, in a store whose cheap reads are up to date, and in one whose cheap reads always come late."""
    made: Memory = request.param()
    enroll(made, "ada", NOW)
    return made


@pytest.fixture
def bought(store: Memory) -> Memory:
    """A store in which ada bought what `LINES` say, for 35 points."""
    buy(store, "ada", 3_550, NOW, receipt="1", lines=LINES)
    return store


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


class Died(BaseException):
    """The process ended here."""


def die() -> None:
    raise Died


def checked(store: Memory) -> Memory:
    for log in store._logs.values():
        books.check(log, ZONE)
        books.check_due(log, store.due)
    return store


def under(policy: ReturnPolicy, **more: Any) -> Any:
    return program(returns={"policy": policy.value}, **more)


def come_to(returned: Returned) -> Reversal:
    assert returned.asked.reversal is not None
    return returned.asked.reversal


def entry_of(returned: Returned) -> Entry:
    assert returned.outcome is not None
    return returned.outcome.entry


def all_returns(store: Memory, receipt: str = "1") -> list[PurchaseReturn]:
    key = Key("till", receipt)
    claim = store.claim(key)
    assert claim is not None
    return returns.of(store, key, None if claim.is_parked else ledger.Trail(store, claim).find(key))


# --- what is owed -----------------------------------------------------------------------------------------------------


def test_all_that_was_bought_takes_back_all_that_was_earned(bought: Memory) -> None:
    later = NOW + timedelta(days=3)

    returned = give_back(bought, "1", later, key="r1", reason="BROKEN", occurred_at=later - timedelta(hours=1))

    entry = entry_of(returned)
    assert (entry.kind, entry.points, entry.balance_after) == (EntryKind.RETURN, -35, 0)
    assert entry.lines == (Line(EXPIRES, -35),)
    assert entry.explanation == (Explanation("base", -35, 3_550),)
    assert (entry.total, entry.reason, entry.terms, entry.actor) == (Money(3_550, "USD"), "BROKEN", 1, TILL.id)
    assert (entry.at, entry.occurred_at) == (later, later - timedelta(hours=1))
    assert come_to(returned) == Reversal(3_550, taken=35, debt=0, written_off=0)
    assert not returned.replayed
    (kept,) = bought.returns(KEY)
    assert (kept, kept.account, kept.seq) == (returned.asked, "ADA", 3)
    assert head_of(checked(bought), "ADA").state.balance == 0


def test_rounding_is_the_members_gain_until_all_is_returned(bought: Memory) -> None:
    # 3.33 and 6.66 and 10.00 for one, two, three cups; 35 points for 35.50.
    owed = [come_to(give_back(bought, "1", NOW, key=str(cup), lines=[(1, 1)])) for cup in range(3)]
    assert [(each.amount_minor, each.owed) for each in owed] == [(333, 3), (333, 3), (334, 3)]

    assert come_to(give_back(bought, "1", NOW, key="half", amount=1_275)).owed == 13
    assert come_to(give_back(bought, "1", NOW, key="rest")) == Reversal(1_275, 13, 0, 0)
    assert head_of(checked(bought), "ADA").state.balance == 0


@pytest.mark.parametrize(
    ("lines", "amount_minor"),
    [
        ([(1, 1)], 333),
        ([(1, 2)], 666),
        ([(1, 3)], 1_000),
        ([(1, 1), (1, 1)], 666),
        ([(2, 1)], 2_550),
        ([(3, 1)], 0),
        ([(3, 1), (1, 3), (2, 1)], 3_550),
    ],
)
def test_a_quantity_of_a_line_is_its_share_of_the_lines_amount(
    bought: Memory, lines: list[tuple[int, int]], amount_minor: int
) -> None:
    assert come_to(give_back(bought, "1", NOW, key="r", lines=lines)).amount_minor == amount_minor


def test_less_than_a_point_is_owed_by_a_later_return(store: Memory) -> None:
    buy(store, "ada", 250, NOW, receipt="1")

    owed = [come_to(give_back(store, "1", NOW, key=str(n), amount=50)).owed for n in range(5)]

    assert owed == [0, 0, 1, 0, 1]
    zero = entry_of(give_back(store, "1", NOW, key="0", amount=50))
    assert (zero.points, zero.lines, zero.explanation) == (0, (), (Explanation("base", 0, 50),))


def test_what_earned_nothing_owes_nothing(store: Memory) -> None:
    buy(store, "ada", 99, NOW, receipt="1")
    buy(store, "ada", 0, NOW, receipt="2")
    buy(store, "ada", 0, NOW, receipt="3", lines=[BasketLine("bag", None, 0, 0)])

    assert come_to(give_back(store, "1", NOW, key="r")) == Reversal(99, 0, 0, 0)
    for receipt in ("2", "3"):
        assert come_to(give_back(store, receipt, NOW, key="r")) == Reversal(0, 0, 0, 0)
        with refuses(store, ReturnExceedsPurchase, "input", "part"):
            give_back(store, receipt, NOW, key="r2")


def test_the_largest_purchase_comes_back_to_the_point(store: Memory) -> None:
    most = limits.AMOUNT_MINOR_MAX
    dear = program(earning={"id": "base", "points": 1_000})
    buy(store, "ada", most, NOW, receipt="1", currency="JPY", program=dear)

    first = give_back(store, "1", NOW, key="1", amount=most - 1, currency="JPY", program=dear)
    last = give_back(store, "1", NOW, key="2", program=dear)

    assert (come_to(first).owed, come_to(last)) == ((most - 1) * 1_000, Reversal(1, 1_000, 0, 0))
    assert head_of(checked(store), "ADA").state.balance == 0


# --- where it is taken from -------------------------------------------------------------------------------------------


def test_pending_points_of_the_purchase_go_first(store: Memory) -> None:
    waiting = program(pending={"days": 14})
    adjust(store, "ada", 50, NOW, key="k")
    buy(store, "ada", 3_000, NOW, receipt="1", program=waiting)

    entry = entry_of(give_back(store, "1", NOW + timedelta(days=13), key="r", amount=1_000, program=waiting))

    assert entry.lines == (Line(EXPIRES, -10, matures=day("2026-01-24")),)
    assert (entry.points, entry.balance_after) == (-10, 50)
    after = entry_of(give_back(store, "1", at("2026-01-24 00:00"), key="r2", program=waiting))
    assert after.lines == (Line(EXPIRES, -20),)
    checked(store)


def test_the_purchases_own_bucket_goes_before_what_expires_sooner(store: Memory) -> None:
    brief = program(expiry={"months": 1})
    buy(store, "ada", 1_000, NOW, receipt="soon", program=brief)
    buy(store, "ada", 2_000, NOW, receipt="1")
    buy(store, "ada", 3_000, at("2026-02-10"), receipt="late")
    redeem(store, "ada", "cookie", at("2026-02-11"), key="k")

    # Ten of the soonest points and five of its own were spent: fifteen are left of it, and five come from the latest.
    entry = entry_of(give_back(store, "1", at("2026-02-12"), key="r"))

    assert entry.lines == (Line(EXPIRES, -15), Line(day("2028-02-29"), -5))
    checked(store)


def test_points_of_other_purchases_that_still_wait_are_left_alone(store: Memory) -> None:
    buy(store, "ada", 1_500, NOW, receipt="1")
    redeem(store, "ada", "cookie", NOW, key="k")
    buy(store, "ada", 9_900, NOW, receipt="2", program=program(pending={"days": 14}))

    returned = give_back(store, "1", NOW, key="r")

    assert come_to(returned) == Reversal(1_500, taken=0, debt=15, written_off=0)
    assert head_of(checked(store), "ADA").state.pending_points == 99


def test_held_points_are_left_to_their_till_and_pay_when_they_come_back(store: Memory) -> None:
    buy(store, "ada", 1_500, NOW, receipt="1")
    held = hold(store, "ada", 15, NOW, key="h")

    assert come_to(give_back(store, "1", NOW, key="r")).debt == 15
    released = release(store, held, NOW, key="l")

    assert (released.record.state.balance, released.record.state.debt) == (0, 0)
    checked(store)


def test_points_whose_bucket_was_merged_are_taken_where_they_went(store: Memory) -> None:
    by_day = program(expiry={"months": 24, "rounding": "day"})
    for ago in range(3, 3 * limits.BUCKETS_MAX + 1, 3):
        buy(store, "ada", 100, NOW, receipt=f"d{ago}", occurred_at=NOW - timedelta(days=ago), program=by_day)
    bought = buy(store, "ada", 500, NOW, receipt="1", occurred_at=NOW - timedelta(days=4), program=by_day)
    neighbour = day("2028-01-07")
    assert bought.record.state.buckets[neighbour] == 6

    assert entry_of(give_back(store, "1", NOW, key="r", program=by_day)).lines == (Line(neighbour, -5),)
    checked(store)


@pytest.mark.parametrize(
    ("policy", "taken", "debt", "written_off"),
    [(ReturnPolicy.PENDING_ONLY, 0, 0, 40), (ReturnPolicy.CLAMP, 10, 0, 30), (ReturnPolicy.DEBT, 10, 30, 0)],
)
def test_what_was_spent_is_kept_written_off_or_owed(
    store: Memory, policy: ReturnPolicy, taken: int, debt: int, written_off: int
) -> None:
    rules = under(policy)
    buy(store, "ada", 4_000, NOW, receipt="1", program=rules)
    redeem(store, "ada", "cookie", NOW, key="k1")
    redeem(store, "ada", "cookie", NOW, key="k2")

    returned = give_back(store, "1", NOW, key="r", program=rules)

    assert come_to(returned) == Reversal(4_000, taken, debt, written_off)
    entry, state = entry_of(returned), head_of(checked(store), "ADA").state
    assert entry.points == -taken - debt
    assert entry.explanation[1:] == ((Explanation("return:written-off", written_off),) if written_off else ())
    assert (state.balance, state.debt) == (10 - taken, debt)


@pytest.mark.parametrize("policy", ReturnPolicy)
def test_what_expired_is_not_taken_again(store: Memory, policy: ReturnPolicy) -> None:
    rules = under(policy, expiry={"days": 9, "rounding": "day"})
    buy(store, "ada", 4_000, NOW, receipt="1", program=rules)

    at_the_end = give_back(store, "1", at("2026-01-19 23:59:59"), key="1", amount=1_000, program=rules)
    after = give_back(store, "1", at("2026-01-20 00:00"), key="2", program=rules)

    is_pending_only = policy is ReturnPolicy.PENDING_ONLY
    assert come_to(at_the_end) == Reversal(1_000, 0 if is_pending_only else 10, 0, 10 if is_pending_only else 0)
    owes = policy is ReturnPolicy.DEBT
    assert come_to(after) == Reversal(3_000, 0, 30 if owes else 0, 0 if owes else 30)
    assert after.outcome is not None
    assert [entry.kind for entry in after.outcome.record.entries] == [EntryKind.EXPIRY, EntryKind.RETURN]
    checked(store)


def test_pending_only_takes_what_is_pending_and_nothing_that_can_be_spent(store: Memory) -> None:
    rules = under(ReturnPolicy.PENDING_ONLY, pending={"days": 14})
    adjust(store, "ada", 50, NOW, key="k")
    buy(store, "ada", 4_000, NOW, receipt="1", program=rules)

    early = give_back(store, "1", NOW, key="1", amount=1_000, program=rules)
    late = give_back(store, "1", NOW + timedelta(days=14), key="2", program=rules)

    assert (come_to(early), come_to(late)) == (Reversal(1_000, 10, 0, 0), Reversal(3_000, 0, 0, 30))
    assert head_of(checked(store), "ADA").state.balance == 80


def test_the_next_points_pay_what_is_owed(store: Memory) -> None:
    buy(store, "ada", 4_000, NOW, receipt="1")
    redeem(store, "ada", "latte", NOW, key="k")
    give_back(store, "1", NOW, key="r")
    with refuses(store, InsufficientPoints, "input", "rewardId"):
        redeem(store, "ada", "cookie", NOW, key="no")

    first = buy(store, "ada", 2_500, NOW, receipt="2").record
    second = buy(store, "ada", 2_500, NOW, receipt="3").record

    assert (first.state.balance, first.state.debt) == (0, 15)
    assert (second.state.balance, second.state.debt) == (10, 0)
    assert [entry.kind for entry in second.entries] == [EntryKind.PURCHASE, EntryKind.DEBT_PAYMENT]
    checked(store)


def test_points_are_taken_by_the_terms_they_were_earned_under(store: Memory) -> None:
    buy(store, "ada", 1_500, NOW, receipt="1", program=under(ReturnPolicy.CLAMP))
    redeem(store, "ada", "cookie", NOW, key="k")
    newer = replace(PROGRAM, terms=replace(PROGRAM.terms, version=2))
    asked: list[int] = []

    def terms_of(version: int) -> Any:
        asked.append(version)
        return under(ReturnPolicy.CLAMP).terms

    returned = returns.record(
        store, newer, terms_of, actor=TILL, source="till", external_id="1", return_id="r", part=None, now=NOW
    )

    assert (come_to(returned), asked) == (Reversal(1_500, 0, 0, 15), [1])
    assert entry_of(returned).terms == 1


@given(data=st.data())
@search(120)
def test_any_parts_in_any_order_owe_what_the_whole_owes(data: st.DataObject) -> None:
    """Points owed never depend on how, in how many parts, or when something came back, on no policy."""
    policy = data.draw(st.sampled_from(ReturnPolicy))
    rules = under(
        policy,
        earning={"id": "base", "points": data.draw(st.integers(0, 7))},
        pending={"days": data.draw(st.sampled_from([0, 3, 20]))},
        expiry={"days": data.draw(st.sampled_from([2, 10, 400])), "rounding": "day"},
        rewards=[{"id": "any", "name": "Any", "cost": data.draw(st.integers(1, 40))}],
    )
    amounts = st.builds(BasketLine, st.none(), st.none(), st.integers(0, 5), st.integers(0, 2_000))
    lines = data.draw(st.lists(amounts, max_size=4))
    total = sum(line.amount_minor for line in lines) if lines else data.draw(st.integers(0, 5_000))
    store, now = Memory(), NOW
    enroll(store, "ada", now)
    points = buy(store, "ada", total, now, receipt="1", program=rules, lines=lines).entry.points
    returned = owed = 0
    steps = st.lists(st.sampled_from(["lines", "amount", "amount", "wait", "spend", "earn", "give"]), max_size=10)
    for number, step in enumerate([*data.draw(steps), "rest"]):
        key = str(number)
        parts: dict[str, Any] = {}
        try:
            match step:
                case "wait":
                    now += timedelta(hours=data.draw(st.integers(1, 200)))
                    continue
                case "spend":
                    redeem(store, "ada", "any", now, key=key, program=rules)
                    continue
                case "earn":
                    buy(store, "ada", data.draw(st.integers(0, 2_000)), now, receipt=f"o{key}", program=rules)
                    continue
                case "give":
                    adjust(store, "ada", data.draw(st.integers(1, 20)), now, key=key, program=rules)
                    continue
                case "lines" if lines:
                    pairs = st.tuples(st.integers(1, len(lines)), st.integers(1, 3))
                    parts = {"lines": data.draw(st.lists(pairs, min_size=1, max_size=3))}
                case "amount" | "lines":
                    parts = {"amount": data.draw(st.integers(1, 2_000))}
            reversal = come_to(give_back(store, "1", now, key=key, program=rules, **parts))
        except (InsufficientPoints, ReturnExceedsPurchase):
            continue
        returned, owed = returned + reversal.amount_minor, owed + reversal.owed
        assert min(reversal.taken, reversal.debt, reversal.written_off) >= 0
        assert not (reversal.debt and policy is not ReturnPolicy.DEBT)
        assert not (reversal.written_off and policy is ReturnPolicy.DEBT)
        assert owed == (points * returned // total if total else 0)
    assert (returned, owed) == (total, points if total else 0)
    checked(store)


# --- the same return again --------------------------------------------------------------------------------------------


def test_a_retry_is_the_same_return_however_much_happened_since(bought: Memory) -> None:
    first = give_back(bought, "1", NOW, key="r", lines=[(1, 2), (3, 1)])
    give_back(bought, "1", NOW + timedelta(days=1), key="other")
    buy(bought, "ada", 100, NOW + timedelta(days=2), receipt="2")

    with unchanged(bought):
        again = give_back(bought, "1", NOW + timedelta(days=900), key="r", lines=[(3, 1), (1, 1), (1, 1)])

    assert first.outcome is not None
    assert again.outcome == replace(first.outcome, replayed=True)
    assert (again.asked, again.replayed) == (first.asked, True)


def test_an_id_is_used_for_one_return_of_a_purchase(bought: Memory) -> None:
    give_back(bought, "1", NOW, key="r", amount=100)
    buy(bought, "ada", 3_550, NOW, receipt="2")

    others: list[dict[str, Any]] = [
        {},
        {"amount": 101},
        {"amount": 100, "currency": "JPY"},
        {"lines": [(1, 1)]},
        {"amount": 100, "reason": "OTHER"},
        {"amount": 100, "occurred_at": NOW},
        {"amount": 100, "member": "ada"},
    ]
    for other in others:
        with refuses(bought, IdempotencyKeyReused, "input", "returnId"):
            give_back(bought, "1", NOW, key="r", **other)
    assert not give_back(bought, "2", NOW, key="r", amount=101).replayed


def test_a_refusal_is_the_same_refusal_for_ever(bought: Memory) -> None:
    with refuses(bought, ReturnExceedsPurchase, "input", "part") as first:
        give_back(bought, "1", NOW, key="r", amount=3_551)

    for _ in range(2):
        with refuses(bought, ReturnExceedsPurchase, "input", "part", replayed=True) as again:
            give_back(bought, "1", NOW + timedelta(days=9), key="r", amount=3_551)
        assert again.value.message == first.value.message == "3550 of 3550 minor units are left to return, not 3551."
    with refuses(bought, IdempotencyKeyReused, "input", "returnId"):
        give_back(bought, "1", NOW, key="r", amount=1)


def test_an_old_return_is_answered_when_it_could_no_longer_be_made(bought: Memory) -> None:
    first = give_back(bought, "1", NOW, key="r", occurred_at=NOW, amount=5)
    late = NOW + limits.OCCURRED_AGE_MAX + timedelta(days=1)

    assert give_back(bought, "1", late, key="r", occurred_at=NOW, amount=5).asked == first.asked
    with refuses(bought, InvalidTime, "input", "occurredAt"):
        give_back(bought, "1", late, key="r2", occurred_at=NOW, amount=5)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "a\nb", "\ud800", "x" * (limits.RETURN_ID_LENGTH_MAX + 1)])
def test_a_return_has_a_usable_id(bought: Memory, text: str) -> None:
    with refuses(bought, InvalidText, "input", "returnId"):
        give_back(bought, "1", NOW, key=text, lines=[])
    assert not give_back(bought, "1", NOW, key="é" * limits.RETURN_ID_LENGTH_MAX, amount=1).replayed


def test_a_purchase_is_named_as_it_was_recorded(bought: Memory) -> None:
    for source, receipt, field in (("a b", "1", "source"), ("till", "", "externalId"), ("~r.till", "1", "source")):
        with refuses(bought, InvalidText, "input", field):
            returns.record(
                bought, PROGRAM, lambda _: PROGRAM.terms, actor=TILL, source=source, external_id=receipt,
                return_id="r", part=None, now=NOW,
            )  # fmt: skip


@pytest.mark.parametrize("reason", ["", "broken", "IT WAS BROKEN", "X" * 65])
def test_a_reason_is_a_code(bought: Memory, reason: str) -> None:
    with refuses(bought, InvalidText, "input", "reason"):
        give_back(bought, "1", NOW, key="r", reason=reason, lines=[])


def test_nothing_is_no_part(bought: Memory) -> None:
    with refuses(bought, InvalidQuantity, "input", "part", "lines"):
        give_back(bought, "1", NOW, key="r", lines=[])


def test_at_most_200_lines_are_returned_at_once(bought: Memory) -> None:
    with refuses(bought, TooManyLines, "input", "part", "lines"):
        give_back(bought, "1", NOW, key="r", lines=[(1, 1)] * 201)


@pytest.mark.parametrize("quantity", [0, -1, limits.LINE_QUANTITY_MAX + 1])
def test_a_quantity_is_at_least_one_and_not_astronomical(bought: Memory, quantity: int) -> None:
    with refuses(bought, InvalidQuantity, "input", "part", "lines", "1", "quantity"):
        give_back(bought, "1", NOW, key="r", lines=[(1, 1), (2, quantity)])


@pytest.mark.parametrize("number", [0, -1, 201, 10**9])
def test_lines_are_numbered_from_one(bought: Memory, number: int) -> None:
    with refuses(bought, LineNotFound, "input", "part", "lines", "1", "line"):
        give_back(bought, "1", NOW, key="r", lines=[(1, 1), (number, 1)])


def test_a_line_is_one_of_the_receipt(bought: Memory) -> None:
    buy(bought, "ada", 100, NOW, receipt="2")

    with refuses(bought, LineNotFound, "input", "part", "lines"):
        give_back(bought, "1", NOW, key="r", lines=[(1, 1), (4, 1)])
    with refuses(bought, LineNotFound, "input", "part", "lines"):
        give_back(bought, "2", NOW, key="r", lines=[(1, 1)])


@pytest.mark.parametrize("amount_minor", [0, -1, limits.AMOUNT_MINOR_MAX + 1])
def test_an_amount_is_at_least_one_and_not_astronomical(bought: Memory, amount_minor: int) -> None:
    with refuses(bought, InvalidAmount, "input", "part", "amount", "amountMinor"):
        give_back(bought, "1", NOW, key="r", amount=amount_minor)


@pytest.mark.parametrize("currency", ["", "U", "USDX", "U\nD"])
def test_a_currency_has_three_letters(bought: Memory, currency: str) -> None:
    with refuses(bought, InvalidText, "input", "part", "amount", "currency"):
        give_back(bought, "1", NOW, key="r", amount=0, currency=currency)


def test_money_comes_back_in_the_currency_it_was_paid_in(bought: Memory) -> None:
    for currency in ("JPY", "EUR", "usd"):
        with refuses(bought, CurrencyMismatch, "input", "part", "amount", "currency"):
            give_back(bought, "1", NOW, key="r", amount=1, currency=currency)


def test_nobody_returns_what_somebody_else_bought(bought: Memory) -> None:
    enroll(bought, "bob", NOW)

    with refuses(bought, PurchaseNotFound, "input", "member"):
        give_back(bought, "1", NOW, key="r", member="bob")
    with refuses(bought, MemberNotFound, "input", "member"):
        give_back(bought, "1", NOW, key="r", member="nobody")
    assert not give_back(bought, "1", NOW, key="r", member="ada").replayed


def test_a_return_happened_in_the_last_400_days(bought: Memory) -> None:
    tick = timedelta(milliseconds=1)
    for off in (limits.OCCURRED_AHEAD_MAX + tick, -limits.OCCURRED_AGE_MAX - tick):
        with refuses(bought, InvalidTime, "input", "occurredAt"):
            give_back(bought, "1", NOW, key="r", occurred_at=NOW + off, amount=9_999)
    give_back(bought, "1", NOW, key="1", occurred_at=NOW + limits.OCCURRED_AHEAD_MAX, amount=5)
    give_back(bought, "1", NOW, key="2", occurred_at=NOW - limits.OCCURRED_AGE_MAX, amount=5)


def test_a_purchase_that_was_refused_has_no_returns(store: Memory) -> None:
    close(store, "ADA")
    with refuses(store, MemberClosed, "input", "member"):
        buy(store, "ada", 100, NOW, receipt="1")

    with refuses(store, PurchaseNotFound, "input", "externalId"):
        give_back(store, "1", NOW, key="r")


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"lines": [(1, 4)]}, ("part", "lines")),
        ({"lines": [(1, 2), (1, 2)]}, ("part", "lines")),
        ({"lines": [(3, 2)]}, ("part", "lines")),
        ({"amount": 3_551}, ("part",)),
    ],
)
def test_nobody_returns_more_than_was_bought(bought: Memory, parts: dict[str, Any], field: tuple[str, ...]) -> None:
    with refuses(bought, ReturnExceedsPurchase, "input", *field):
        give_back(bought, "1", NOW, key="r", **parts)


def test_nobody_returns_more_than_is_left(bought: Memory) -> None:
    give_back(bought, "1", NOW, key="1", lines=[(1, 2)])
    give_back(bought, "1", NOW, key="2", amount=500)

    too_much: list[dict[str, Any]] = [{"lines": [(1, 2)]}, {"lines": [(1, 1), (2, 1)]}, {"amount": 2_385}]
    for number, parts in enumerate(too_much):
        field = ("part", "lines") if number == 0 else ("part",)
        with refuses(bought, ReturnExceedsPurchase, "input", *field):
            give_back(bought, "1", NOW, key=f"no {number}", **parts)
    assert come_to(give_back(bought, "1", NOW, key="3")).amount_minor == 2_384
    for number, parts in enumerate([{}, {"lines": [(3, 1)]}, {"amount": 1}]):
        field = ("part", "lines") if "lines" in parts else ("part",)
        with refuses(bought, ReturnExceedsPurchase, "input", *field):
            give_back(bought, "1", NOW, key=f"nothing left {number}", **parts)
    assert head_of(checked(bought), "ADA").state.balance == 0


def test_a_line_without_a_quantity_comes_back_by_its_amount(store: Memory) -> None:
    buy(store, "ada", 500, NOW, receipt="1", lines=[BasketLine("fee", None, 0, 500)])

    with refuses(store, ReturnExceedsPurchase, "input", "part", "lines"):
        give_back(store, "1", NOW, key="1", lines=[(1, 1)])
    assert come_to(give_back(store, "1", NOW, key="2", amount=500)).owed == 5


def test_nothing_is_taken_from_a_closed_account(bought: Memory) -> None:
    close(bought, "ADA")

    with refuses(bought, MemberClosed, "input", "externalId"):
        give_back(bought, "1", NOW, key="r")
    with refuses(bought, MemberClosed, "input", "externalId", replayed=True):
        give_back(bought, "1", NOW, key="r")


def test_a_blocked_account_gives_back(bought: Memory) -> None:
    book(bought, "ADA", EntryKind.BLOCK)

    assert come_to(give_back(bought, "1", NOW, key="r")).taken == 35
    buy(bought, "ada", 900, NOW, receipt="2")
    blocked = give_back(bought, "2", NOW, key="r")
    assert (come_to(blocked), entry_of(blocked).explanation) == (
        Reversal(900, 0, 0, 0),
        (Explanation("account:blocked", 0, 900),),
    )
    checked(bought)


def test_a_purchase_has_a_bounded_number_of_returns(store: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RETURNS_MAX", 3)
    buy(store, "ada", 1_000, NOW, receipt="1")
    for number in range(2):
        give_back(store, "1", NOW, key=str(number), amount=100)
    with refuses(store, ReturnExceedsPurchase, "input", "part"):
        give_back(store, "1", NOW, key="2", amount=5_000)

    # Returns are never deleted: this no needs no memory, and one that did would be one more.
    for _ in range(2):
        with unchanged(store), pytest.raises(TooManyReturns):
            give_back(store, "1", NOW, key="3", amount=100)
    assert give_back(store, "1", NOW, key="0", amount=100).replayed


# --- before the purchase ----------------------------------------------------------------------------------------------


def test_a_return_waits_for_its_purchase_and_is_booked_with_it(store: Memory) -> None:
    early = give_back(store, "1", NOW, key="r", lines=[(1, 1)], reason="BROKEN")
    assert (early.outcome, early.basket, early.replayed) == (None, None, False)
    assert store.claim(KEY) == Claim(KEY, "", 0, b"", NOW)
    later = NOW + timedelta(hours=5)

    bought = buy(store, "ada", 3_550, later, receipt="1", lines=LINES)

    assert [entry.kind for entry in bought.record.entries] == [EntryKind.PURCHASE, EntryKind.RETURN]
    assert (bought.entry.points, bought.record.state.balance, bought.replayed) == (35, 32, False)
    entry = bought.record.entries[1]
    assert (entry.key, entry.total, entry.reason) == (early.asked.key, Money(333, "USD"), "BROKEN")
    assert (entry.at, entry.occurred_at) == (later, NOW)
    (kept,) = all_returns(store)
    assert (kept.account, kept.seq, kept.reversal) == ("ADA", 2, Reversal(333, 3, 0, 0))
    claim = store.claim(KEY)
    assert claim is not None
    assert claim.had_returns
    with unchanged(store):
        again = buy(store, "ada", 3_550, later, receipt="1", lines=LINES)
    assert again == replace(bought, replayed=True)
    checked(store)


def test_a_return_that_waits_is_answered_with_its_entry_once_there_is_one(store: Memory) -> None:
    give_back(store, "1", NOW, key="r", amount=500)
    with unchanged(store):
        waiting = give_back(store, "1", NOW, key="r", amount=500)
    assert (waiting.outcome, waiting.replayed) == (None, True)
    with refuses(store, IdempotencyKeyReused, "input", "returnId"):
        give_back(store, "1", NOW, key="r", amount=501)

    buy(store, "ada", 1_000, NOW, receipt="1")

    with unchanged(store):
        booked = give_back(store, "1", NOW + timedelta(days=700), key="r", amount=500)
    assert (come_to(booked), booked.replayed) == (Reversal(500, 5, 0, 0), True)
    assert entry_of(booked).key == booked.asked.key
    with refuses(store, IdempotencyKeyReused, "input", "returnId"):
        give_back(store, "1", NOW, key="r", amount=501)


def test_returns_that_waited_count_for_later_ones(store: Memory) -> None:
    give_back(store, "1", NOW, key="1", lines=[(1, 2)])
    give_back(store, "1", NOW + timedelta(seconds=1), key="2", amount=50)
    buy(store, "ada", 3_550, NOW + timedelta(hours=1), receipt="1", lines=LINES)

    with refuses(store, ReturnExceedsPurchase, "input", "part", "lines"):
        give_back(store, "1", NOW, key="3", lines=[(1, 2)])
    assert come_to(give_back(store, "1", NOW, key="4")) == Reversal(2_834, 28, 0, 0)
    assert head_of(checked(store), "ADA").state.balance == 0
    assert sum(each.reversal.owed for each in all_returns(store) if each.reversal) == 35


def test_of_what_waits_the_first_that_fit_are_booked_and_the_others_are_refused(store: Memory) -> None:
    enroll(store, "bob", NOW)
    asked: list[dict[str, Any]] = [
        {"amount": 3_000},
        {"amount": 3_551},
        {"amount": 600},
        {"lines": [(4, 1)]},
        {"amount": 1, "currency": "EUR"},
        {"member": "bob", "amount": 5},
        {"member": "ada", "amount": 5},
    ]
    for number, parts in enumerate(asked):
        give_back(store, "1", NOW + timedelta(seconds=number), key=str(number), **parts)

    bought = buy(store, "ada", 3_550, NOW + timedelta(hours=1), receipt="1", lines=LINES)

    no = [entry.refusal for entry in bought.record.entries if entry.kind is EntryKind.REFUSED]
    assert [type(each) for each in no] == [
        ReturnExceedsPurchase, ReturnExceedsPurchase, LineNotFound, CurrencyMismatch, PurchaseNotFound,
    ]  # fmt: skip
    assert [each.id for each in all_returns(store)] == ["0", "6"]
    assert bought.record.state.balance == 35 - 29
    with refuses(store, ReturnExceedsPurchase, "input", "part", replayed=True) as refused:
        give_back(store, "1", NOW, key="2", amount=600)
    assert refused.value == no[1]
    with refuses(store, PurchaseNotFound, "input", "member", replayed=True):
        give_back(store, "1", NOW, key="5", member="bob", amount=5)
    checked(store)


def test_a_member_who_is_named_has_to_be_one_though_nobody_knows_the_purchase(store: Memory) -> None:
    with refuses(store, MemberNotFound, "input", "member"):
        give_back(store, "1", NOW, key="r", member="nobody")
    with refuses(store, InvalidTime, "input", "occurredAt"):
        give_back(store, "1", NOW, key="r", occurred_at=NOW + timedelta(days=1))


def test_ten_returns_may_wait_and_the_eleventh_is_told_no_for_good(store: Memory) -> None:
    for number in range(limits.RETURNS_PARKED_MAX):
        give_back(store, "1", NOW, key=str(number), amount=10)

    with refuses(store, TooManyReturns, "input", "returnId"):
        give_back(store, "1", NOW, key="more", amount=10)
    bought = buy(store, "ada", 3_550, NOW, receipt="1").record
    assert [entry.kind for entry in bought.entries] == [EntryKind.PURCHASE, *[EntryKind.RETURN] * 10]
    with refuses(store, TooManyReturns, "input", "returnId", replayed=True):
        give_back(store, "1", NOW, key="more", amount=10)
    assert len(all_returns(store)) == limits.RETURNS_PARKED_MAX
    assert not give_back(store, "1", NOW, key="later", amount=10).replayed


def test_a_return_can_wait_for_a_purchase_whose_points_have_expired(store: Memory) -> None:
    brief = program(expiry={"days": 9, "rounding": "day"})
    give_back(store, "1", NOW, key="r", amount=500, program=brief)

    bought = buy(store, "ada", 1_000, NOW + timedelta(days=20), receipt="1", occurred_at=NOW, program=brief)

    # Nothing that has expired is taken back: it is owed, by these terms, and all of the purchase expires.
    assert [entry.kind for entry in bought.record.entries] == [EntryKind.PURCHASE, EntryKind.RETURN, EntryKind.EXPIRY]
    assert bought.record.entries[1].lines == (Line(DEBT, -5),)
    assert (bought.record.state.balance, bought.record.state.debt) == (0, 5)
    checked(store)


def test_returns_that_waited_take_one_after_the_other(store: Memory) -> None:
    brief = program(expiry={"days": 9, "rounding": "day"})
    adjust(store, "ada", 6, NOW, key="k")
    for key in ("1", "2"):
        give_back(store, "1", NOW, key=key, amount=500, program=brief)

    bought = buy(store, "ada", 1_000, NOW + timedelta(days=20), receipt="1", occurred_at=NOW, program=brief).record

    assert [entry.lines for entry in bought.entries[1:3]] == [
        (Line(EXPIRES, -5),),
        (Line(EXPIRES, -1), Line(DEBT, -4)),
    ]
    checked(store)


def test_a_return_that_waited_comes_before_an_old_debt(store: Memory) -> None:
    buy(store, "ada", 1_500, NOW, receipt="0")
    redeem(store, "ada", "cookie", NOW, key="k")
    give_back(store, "0", NOW, key="r")
    give_back(store, "1", NOW, key="r", amount=1_000)

    bought = buy(store, "ada", 2_000, NOW, receipt="1").record

    assert [entry.points for entry in bought.entries] == [20, -10, 0]
    assert (bought.state.balance, bought.state.debt) == (0, 5)
    checked(store)


def test_what_waits_for_a_purchase_that_is_refused_is_refused_with_it(store: Memory) -> None:
    give_back(store, "1", NOW, key="r", amount=5)
    close(store, "ADA")
    with pytest.raises(MemberClosed):
        buy(store, "ada", 1_000, NOW, receipt="1")

    with refuses(store, PurchaseNotFound, "input", "externalId"):
        give_back(store, "1", NOW, key="r", amount=5)
    with refuses(store, MemberClosed, "input", "member", replayed=True):
        buy(store, "ada", 1_000, NOW, receipt="1")
    checked(store)


# --- races ------------------------------------------------------------------------------------------------------------


def test_two_returns_that_meet_never_exceed_the_purchase(interrupted: Interrupted) -> None:
    buy(interrupted, "ada", 1_000, NOW, receipt="1")
    interrupted.before_append.append(lambda: give_back(interrupted, "1", NOW, key="first", amount=600))

    with pytest.raises(ReturnExceedsPurchase):
        give_back(interrupted, "1", NOW, key="second", amount=600)

    assert [each.id for each in all_returns(interrupted)] == ["first"]
    with refuses(interrupted, ReturnExceedsPurchase, "input", "part", replayed=True):
        give_back(interrupted, "1", NOW, key="second", amount=600)
    assert head_of(checked(interrupted), "ADA").state.balance == 4


def test_a_return_that_lost_its_race_is_judged_again_on_what_is_left(interrupted: Interrupted) -> None:
    buy(interrupted, "ada", 1_000, NOW, receipt="1")
    interrupted.before_append.append(lambda: give_back(interrupted, "1", NOW, key="first", amount=600))

    assert come_to(give_back(interrupted, "1", NOW, key="second")) == Reversal(400, 4, 0, 0)
    assert interrupted.pauses == 1


class Watched(Memory):
    """Runs `meanwhile` once, right before the `moment`-th time that anything is read or written."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = -1
        self.meanwhile: Callable[[], object] = lambda: None

    def tick(self) -> None:
        self.moment -= 1
        if self.moment == 0:
            self.meanwhile()

    def claim(self, key: Key) -> Claim | None:
        self.tick()
        return super().claim(key)

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        self.tick()
        return super().records_after(account, seq, limit=limit)

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        self.tick()
        return super().head(account, strong=strong)

    def returns(self, purchase: Key) -> Sequence[PurchaseReturn]:
        self.tick()
        return super().returns(purchase)

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        self.tick()
        super().append(record, beside)


@pytest.mark.parametrize("moment", range(1, 8))
@pytest.mark.parametrize("is_merged", [False, True])
def test_no_moment_between_two_steps_lets_more_be_returned_than_was_bought(moment: int, is_merged: bool) -> None:
    store = Watched()
    for name in ("ada", "ann"):
        enroll(store, name, NOW)
    buy(store, "ada", 1_000, NOW, receipt="1")

    def meanwhile() -> None:
        if is_merged:
            merge(store, "ada", "ann", NOW, key="m")
        give_back(store, "1", NOW, key="first", amount=600)

    store.moment, store.meanwhile = moment, meanwhile

    with suppress(ReturnExceedsPurchase):
        give_back(store, "1", NOW, key="second", amount=600)
    with suppress(ReturnExceedsPurchase):
        give_back(store, "1", NOW, key="first", amount=600)

    assert sum(each.reversal.owed for each in all_returns(store) if each.reversal) == 6
    account = ledger.known_head(store, "ADA", strong=True).account
    assert account == ("ANN" if is_merged else "ADA")
    assert head_of(checked(store), account).state.balance == 4


def test_two_deliveries_of_one_return_are_one_entry(interrupted: Interrupted) -> None:
    buy(interrupted, "ada", 1_000, NOW, receipt="1")
    interrupted.before_append.append(lambda: give_back(interrupted, "1", NOW, key="r", amount=300))

    assert give_back(interrupted, "1", NOW, key="r", amount=300).replayed
    assert head_of(checked(interrupted), "ADA").state.balance == 7


def test_a_return_is_booked_or_refused_but_not_both(interrupted: Interrupted) -> None:
    """The first delivery would book; the second, behind another return, is told no before the first has written."""
    buy(interrupted, "ada", 1_000, NOW, receipt="1")

    def meanwhile() -> None:
        give_back(interrupted, "1", NOW, key="other", amount=900)
        with pytest.raises(ReturnExceedsPurchase):
            give_back(interrupted, "1", NOW, key="r", amount=300)

    interrupted.before_append.append(meanwhile)

    with pytest.raises(ReturnExceedsPurchase) as refused:
        give_back(interrupted, "1", NOW, key="r", amount=300)
    assert refused.value.replayed
    assert head_of(checked(interrupted), "ADA").state.balance == 1


def test_a_refusal_that_lost_its_race_is_the_other_answer(interrupted: Interrupted, monkeypatch: Any) -> None:
    buy(interrupted, "ada", 1_000, NOW, receipt="1")
    refuse = Memory.refuse_return

    def late(store: Memory, refused: PurchaseReturn) -> None:
        # Under the same id, another delivery kept its refusal a moment before.
        monkeypatch.setattr(Memory, "refuse_return", refuse)
        with pytest.raises(ReturnExceedsPurchase):
            give_back(interrupted, "1", NOW, key="r", amount=5_000)
        refuse(store, refused)

    monkeypatch.setattr(Memory, "refuse_return", late)

    with pytest.raises(ReturnExceedsPurchase) as refused:
        give_back(interrupted, "1", NOW, key="r", amount=5_000)
    assert refused.value.replayed


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize(("percent", "successes"), [(10, 10), (30, 3), (100, 1)])
def test_50_returns_at_once_never_exceed_the_purchase(store: Memory, percent: int, successes: int) -> None:
    buy(store, "ada", 10_000, NOW, receipt="1")

    answers = at_once(
        [
            lambda number=number: give_back(store, "1", NOW, key=str(number), amount=percent * 100)
            for number in range(50)
        ]
    )

    assert sum(isinstance(answer, Returned) for answer in answers) == successes
    assert sum(isinstance(answer, ReturnExceedsPurchase) for answer in answers) == 50 - successes
    assert head_of(checked(store), "ADA").state.balance == 100 - percent * successes


@pytest.mark.usefixtures("eager_threads")
def test_one_return_delivered_50_times_at_once_is_booked_once(store: Memory) -> None:
    buy(store, "ada", 10_000, NOW, receipt="1")

    answers = at_once([lambda: give_back(store, "1", NOW, key="r", amount=2_500)] * 50)

    assert sorted(answer.replayed for answer in answers) == [False, *[True] * 49]
    assert head_of(checked(store), "ADA").state.balance == 75


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("round_", range(5))
def test_a_purchase_and_its_returns_may_come_at_once(store: Memory, round_: int) -> None:
    """In whatever order: all points that are owed are taken, and none twice."""
    calls: list[Any] = [
        lambda number=number: give_back(store, "1", NOW, key=str(number % 8), amount=500) for number in range(24)
    ]
    calls[round_ * 4 : 0] = [lambda: buy(store, "ada", 2_000, NOW, receipt="1")] * 2

    answers = at_once(calls)

    wrong = [each for each in answers if isinstance(each, Exception) and not isinstance(each, ReturnExceedsPurchase)]
    assert all(isinstance(each, OutcomeUnknown) for each in wrong), wrong
    for number in range(8):
        with suppress(ReturnExceedsPurchase):
            give_back(store, "1", NOW, key=str(number), amount=500)
    assert len(all_returns(store)) == 4
    assert head_of(checked(store), "ADA").state.balance == 0


def test_a_member_who_could_not_be_read_is_no_reason_to_refuse_what_has_waited(
    store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_back(store, "1", NOW, key="r", amount=500, member="ada")

    def unreadable(*_: object, **__: object) -> None:
        raise OutcomeUnknown("The store did not answer.")

    monkeypatch.setattr(ledger, "known_head", unreadable)
    with pytest.raises(OutcomeUnknown):
        buy(store, "ada", 1_000, NOW, receipt="1")
    monkeypatch.undo()
    purchase = buy(store, "ada", 1_000, NOW, receipt="1")

    assert [entry.kind for entry in purchase.record.entries] == [EntryKind.PURCHASE, EntryKind.RETURN]


def test_a_purchase_that_comes_while_its_return_is_parked_is_found(interrupted: Interrupted, monkeypatch: Any) -> None:
    park = Memory.park

    def late(store: Memory, waiting: PurchaseReturn) -> None:
        monkeypatch.setattr(Memory, "park", park)
        buy(interrupted, "ada", 1_000, NOW, receipt="1")
        park(store, waiting)

    monkeypatch.setattr(Memory, "park", late)

    returned = give_back(interrupted, "1", NOW, key="r", amount=500)

    assert come_to(returned) == Reversal(500, 5, 0, 0)
    assert entry_of(returned).balance_after == 5
    assert interrupted.claim(KEY) is not None


def test_a_return_that_comes_while_its_purchase_is_claimed_waits_for_it(interrupted: Interrupted) -> None:
    interrupted.before_claim.append(lambda: give_back(interrupted, "1", NOW, key="r", amount=500))

    bought = buy(interrupted, "ada", 1_000, NOW, receipt="1")

    assert bought.record.state.balance == 5
    assert [each.id for each in all_returns(interrupted)] == ["r"]
    checked(interrupted)


def test_a_purchase_with_returns_that_loses_its_race_books_them_all_the_same(interrupted: Interrupted) -> None:
    give_back(interrupted, "1", NOW, key="r", amount=500)
    interrupted.before_append.append(lambda: buy(interrupted, "ada", 700, NOW, receipt="2"))

    bought = buy(interrupted, "ada", 1_000, NOW, receipt="1")

    assert (bought.record.seq, bought.record.state.balance) == (3, 12)
    checked(interrupted)


def test_two_deliveries_of_a_purchase_with_returns_are_one(interrupted: Interrupted) -> None:
    give_back(interrupted, "1", NOW, key="r", amount=500)
    interrupted.before_append.append(lambda: buy(interrupted, "ada", 1_000, NOW, receipt="1"))

    assert buy(interrupted, "ada", 1_000, NOW, receipt="1").replayed
    assert head_of(checked(interrupted), "ADA").state.balance == 5


def test_a_purchase_that_is_always_busy_has_an_unknown_outcome(interrupted: Interrupted) -> None:
    buy(interrupted, "ada", 1_000, NOW, receipt="1")

    def busy() -> None:
        interrupted.before_append.append(busy)
        raise Contended

    interrupted.before_append.append(busy)

    with refuses(interrupted, OutcomeUnknown):
        give_back(interrupted, "1", NOW, key="r")
    assert interrupted.pauses == limits.COMMIT_ATTEMPTS_MAX
    interrupted.before_append.clear()
    assert not give_back(interrupted, "1", NOW, key="r").replayed


# --- who dies in the middle -------------------------------------------------------------------------------------------


def test_a_return_finds_no_answer_while_its_purchase_is_half_recorded(interrupted: Interrupted) -> None:
    interrupted.before_append.append(die)
    with pytest.raises(Died):
        buy(interrupted, "ada", 1_000, NOW, receipt="1")

    with unchanged(interrupted), pytest.raises(OutcomeUnknown, match="still being recorded"):
        give_back(interrupted, "1", NOW, key="r", amount=500)

    buy(interrupted, "ada", 1_000, NOW, receipt="1")
    assert come_to(give_back(interrupted, "1", NOW, key="r", amount=500)).owed == 5
    checked(interrupted)


def test_a_purchase_that_died_with_its_returns_is_finished_with_them(interrupted: Interrupted) -> None:
    give_back(interrupted, "1", NOW, key="r", amount=500)
    interrupted.before_append.append(die)
    with pytest.raises(Died):
        buy(interrupted, "ada", 1_000, NOW, receipt="1")
    claim = interrupted.claim(KEY)
    assert claim is not None
    assert claim.had_returns
    for key in ("r", "other"):
        with unchanged(interrupted), pytest.raises(OutcomeUnknown):
            give_back(interrupted, "1", NOW, key=key, amount=500)

    bought = buy(interrupted, "ada", 1_000, NOW + timedelta(days=5), receipt="1", occurred_at=NOW)

    assert [entry.kind for entry in bought.record.entries] == [EntryKind.PURCHASE, EntryKind.RETURN]
    assert bought.record.state.balance == 5
    checked(interrupted)


def test_a_return_that_died_before_or_after_its_write_is_answered_once(interrupted: Interrupted) -> None:
    buy(interrupted, "ada", 1_000, NOW, receipt="1")
    for hook in (interrupted.before_append, interrupted.after_append):
        hook.append(die)
        with pytest.raises(Died):
            give_back(interrupted, "1", NOW, key="r", amount=500)

    assert give_back(interrupted, "1", NOW, key="r", amount=500).replayed
    assert head_of(checked(interrupted), "ADA").state.balance == 5


def test_the_purchase_and_the_return_are_never_seen_apart(interrupted: Interrupted) -> None:
    """The entry and the return beside the claim are one write: whoever sees one sees the other."""
    buy(interrupted, "ada", 1_000, NOW, receipt="1")
    append = Memory.append
    seen: list[Beside] = []

    def watched(record: Record, beside: Beside = NOTHING) -> None:
        seen.append(beside)
        append(interrupted, record, beside)

    interrupted.append = watched  # type: ignore[method-assign]
    returned = give_back(interrupted, "1", NOW, key="r", amount=500)

    assert seen == [Beside(booked=returned.asked)]


# --- accounts that were merged ----------------------------------------------------------------------------------------


@pytest.fixture
def two(store: Memory) -> Memory:
    """Ada and ann, one person, each with a purchase."""
    enroll(store, "ann", NOW)
    buy(store, "ada", 1_000, NOW, receipt="1")
    buy(store, "ann", 2_000, NOW, receipt="2")
    return store


def test_a_return_is_booked_on_the_account_that_lives_on(two: Memory) -> None:
    before = give_back(two, "1", NOW, key="before", amount=300)
    merge(two, "ada", "ann", NOW, key="m")

    after = give_back(two, "1", NOW, key="after", member="ann", amount=300)

    assert after.outcome is not None
    assert (after.outcome.record.account, come_to(after)) == ("ANN", Reversal(300, 3, 0, 0))
    assert head_of(checked(two), "ANN").state.balance == 24
    with refuses(two, ReturnExceedsPurchase, "input", "part"):
        give_back(two, "1", NOW, key="too much", amount=401)
    with unchanged(two):
        again = give_back(two, "1", NOW, key="before", amount=300)
    assert again.outcome == replace(before.outcome, replayed=True)  # type: ignore[type-var]
    for name in ("ada", "ann"):
        assert not give_back(two, "1", NOW, key=name, member=name, amount=1).replayed


def test_a_return_after_a_merge_was_undone_is_booked_where_the_points_are(two: Memory) -> None:
    merge(two, "ada", "ann", NOW, key="m")
    give_back(two, "1", NOW, key="r1", amount=300)
    buy(two, "ada", 500, NOW, receipt="3")
    unmerge(two, "ada", NOW, key="u")

    back = give_back(two, "1", NOW, key="r2")
    later = give_back(two, "3", NOW, key="r")

    assert back.outcome is not None
    assert later.outcome is not None
    assert (back.outcome.record.account, come_to(back).owed) == ("ADA", 7)
    # What was bought while they were one stays where it was booked.
    assert (later.outcome.record.account, come_to(later)) == ("ANN", Reversal(500, 5, 0, 0))
    checked(two)


def test_a_merge_between_reading_and_writing_moves_the_return_along(interrupted: Interrupted) -> None:
    enroll(interrupted, "ann", NOW)
    buy(interrupted, "ada", 1_000, NOW, receipt="1")
    interrupted.before_append.append(lambda: merge(interrupted, "ada", "ann", NOW, key="m"))

    returned = give_back(interrupted, "1", NOW, key="r", amount=400)

    assert returned.outcome is not None
    assert (returned.outcome.record.account, returned.asked.account) == ("ANN", "ANN")
    assert head_of(checked(interrupted), "ANN").state.balance == 6


def test_a_return_that_waits_follows_the_member_it_named(two: Memory) -> None:
    give_back(two, "3", NOW, key="r", member="ada", amount=100)
    merge(two, "ada", "ann", NOW, key="m")

    bought = buy(two, "ann", 500, NOW, receipt="3")

    assert [entry.kind for entry in bought.record.entries] == [EntryKind.PURCHASE, EntryKind.RETURN]
    checked(two)


# --- an account in another state --------------------------------------------------------------------------------------


def close(store: Memory, account: str) -> None:
    book(store, account, EntryKind.CLOSURE)
    assert head_of(store, account).state.status is Status.CLOSED


def book(store: Memory, account: str, kind: EntryKind) -> None:
    """An entry that changes what the account may do."""
    head = head_of(store, account)
    booking = ledger.book(head, None, lambda _: Entry(kind, NOW, (), 0, reason="TEST"), now=NOW, program=PROGRAM)
    ledger.write(store, booking, PROGRAM)
