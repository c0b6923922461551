"""Cancelling a redemption: its points are back where they came from, once."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from domain import access, accounts, ledger, limits, standing
from domain.access import Role
from domain.accounts import Line
from domain.entries import End, Entry, EntryKind, Explanation
from domain.ledger import Outcome
from domain.refusals import IdempotencyKeyReused, InvalidText, MemberClosed, OutcomeUnknown
from domain.rewards import RedemptionEnded, RedemptionNotFound
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    ISSUER,
    MANAGER,
    PROGRAM,
    TILL,
    ZONE,
    Interrupted,
    Stale,
    adjust,
    at,
    at_once,
    buy,
    cancel,
    day,
    enroll,
    external,
    head_of,
    hold,
    merge,
    program,
    redeem,
    refuses,
    unchanged,
    unmerge,
)

NOW = at("2026-01-10 10:00")
LATER = NOW + timedelta(days=1)
BUCKET = day("2028-01-31")
OTHER_TILL = access.actor(Role.PARTNER, issuer=ISSUER, subject="till-2", scopes=access.SCOPE_GRANTS)
TEN_DAYS = program(expiry={"days": 10, "rounding": "day"})


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """Ada with 100 points, in a store that is up to date and in one whose cheap reads always come late."""
    made: Memory = request.param()
    return furnished(made)


def furnished(store: Memory) -> Memory:
    enroll(store, "ada", NOW)
    buy(store, "ada", 10_000, NOW, receipt="1")
    return store


@pytest.fixture
def interrupted() -> Interrupted:
    made = Interrupted()
    furnished(made)
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


def balance(store: Memory, account: str = "ADA") -> int:
    return head_of(store, account).state.balance


# --- what it gives back -----------------------------------------------------------------------------------------------


def test_a_cancelled_redemption_gives_its_points_back_and_names_what_it_ended(store: Memory) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")

    outcome = cancel(store, redeemed, LATER, key="c", reason="OUT_OF_STOCK")

    entry = outcome.entry
    assert (entry.kind, entry.points, entry.balance_after) == (EntryKind.CANCELLATION, 40, 100)
    assert entry.lines == (Line(BUCKET, 40),)
    assert entry.explanation == (Explanation("cancellation", 40),)
    assert (entry.cause, entry.peer) == ((3, 0), None)
    assert (entry.actor, entry.reason, entry.at) == (TILL.id, "OUT_OF_STOCK", LATER)
    assert entry.key is not None
    assert store.end("ADA", 3, 0) == End("ADA", 3, 0, EntryKind.CANCELLATION, entry.key, LATER)
    checked(store)


def test_points_go_back_to_the_buckets_they_came_from(store: Memory) -> None:
    buy(store, "ada", 2_500, NOW, receipt="2", program=TEN_DAYS)
    before = head_of(store, "ADA").state
    redeemed = redeem(store, "ada", "latte", NOW, key="k")

    outcome = cancel(store, redeemed, LATER, key="c")

    assert outcome.entry.lines == (Line(day("2026-01-20"), 25), Line(BUCKET, 15))
    assert outcome.record.state == replace(before, at=LATER)
    checked(store)


def test_points_whose_day_is_over_have_the_programs_window(store: Memory) -> None:
    buy(store, "ada", 2_500, NOW, receipt="2", program=TEN_DAYS)
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    week = program(windows={"reinstatement_days": 7})

    outcome = cancel(store, redeemed, at("2026-01-21 00:00"), key="c", program=week)

    assert outcome.entry.lines == (Line(day("2026-01-28"), 25), Line(BUCKET, 15))
    assert outcome.entry.explanation == (Explanation("cancellation", 15), Explanation("reinstatement", 25))
    assert outcome.record.state.balance == 125
    checked(store)


def test_points_of_today_keep_their_day_to_its_last_moment(store: Memory) -> None:
    buy(store, "ada", 4_000, NOW, receipt="2", program=TEN_DAYS)
    redeemed = redeem(store, "ada", "latte", NOW, key="k")

    outcome = cancel(store, redeemed, at("2026-01-20 23:59"), key="c")

    assert outcome.entry.lines == (Line(day("2026-01-20"), 40),)
    assert ledger.current(head_of(store, "ADA"), at("2026-01-21 00:00"), PROGRAM).state.balance == 100


def test_without_a_window_expired_points_are_back_for_the_rest_of_the_day(store: Memory) -> None:
    buy(store, "ada", 4_000, NOW, receipt="2", program=TEN_DAYS)
    redeemed = redeem(store, "ada", "latte", NOW, key="k")

    outcome = cancel(store, redeemed, at("2026-02-01"), key="c", program=program(windows={"reinstatement_days": 0}))

    assert outcome.entry.lines == (Line(day("2026-02-01"), 40),)
    assert ledger.current(head_of(store, "ADA"), at("2026-02-02 00:00"), PROGRAM).state.balance == 100
    checked(store)


def test_reinstated_points_may_meet_others_of_their_new_day(store: Memory) -> None:
    buy(store, "ada", 2_500, NOW, receipt="2", program=TEN_DAYS)
    buy(store, "ada", 2_000, LATER, receipt="3", program=program(expiry={"days": 40, "rounding": "day"}))
    redeemed = redeem(store, "ada", "latte", LATER, key="k")
    assert day("2026-02-20") == day("2026-01-21") + 30

    outcome = cancel(store, redeemed, at("2026-01-21"), key="c")

    assert outcome.entry.lines == (Line(day("2026-02-20"), 40),)
    assert outcome.record.state.buckets == {day("2026-02-20"): 45, BUCKET: 100}
    checked(store)


def test_points_that_never_expire_never_do(store: Memory) -> None:
    enroll(store, "bob", NOW)
    buy(store, "bob", 4_000, NOW, receipt="2", program=program(expiry={}))
    redeemed = redeem(store, "bob", "latte", NOW, key="k")

    cancel(store, redeemed, at("2126-01-10"), key="c")

    assert ledger.current(head_of(store, "BOB"), at("2226-01-10"), PROGRAM).state.balance == 40


def test_a_bucket_too_many_becomes_one_with_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUCKETS_MAX", 3)
    store = Memory()
    enroll(store, "ada", NOW)
    for number, days in enumerate((10, 20, 22)):
        buy(store, "ada", 4_000, NOW, receipt=str(number), program=program(expiry={"days": days, "rounding": "day"}))
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    buy(store, "ada", 500, NOW, receipt="more")

    outcome = cancel(store, redeemed, LATER, key="c")

    assert outcome.record.state.buckets == {day("2026-01-20"): 40, day("2026-02-01"): 80, BUCKET: 5}
    books.check(store._logs["ADA"], ZONE, buckets_max=3)


def test_points_that_come_back_pay_what_is_owed_first(store: Memory) -> None:
    """A debt comes of a return; here it is written by hand."""
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    adjust(store, "ada", -60, NOW, key="a")
    booking = ledger.book(
        head_of(store, "ADA"),
        None,
        lambda _: Entry(EntryKind.RETURN, NOW, (Line(accounts.DEBT, -30),), 0),
        now=NOW,
        program=PROGRAM,
    )
    ledger.write(store, booking, PROGRAM)

    outcome = cancel(store, redeemed, LATER, key="c")

    assert [(entry.kind, entry.balance_after) for entry in outcome.record.entries] == [
        (EntryKind.CANCELLATION, 40),
        (EntryKind.DEBT_PAYMENT, 10),
    ]
    checked(store)


def test_a_redemption_that_followed_what_time_did_is_found_at_its_place(store: Memory) -> None:
    buy(store, "ada", 2_500, NOW, receipt="2", program=TEN_DAYS)
    redeemed = redeem(store, "ada", "latte", at("2026-01-21"), key="k")
    assert redeemed.index == 1

    outcome = cancel(store, redeemed, at("2026-01-22"), key="c")

    assert (outcome.entry.cause, outcome.entry.points) == ((redeemed.record.seq, 1), 40)
    checked(store)


def test_whoever_may_cancel_may_cancel_what_others_redeemed(store: Memory) -> None:
    for number, actor in enumerate((OTHER_TILL, MANAGER)):
        redeemed = redeem(store, "ada", "latte", NOW, key=str(number))
        assert cancel(store, redeemed, LATER, key="c", actor=actor).entry.actor == actor.id


def test_a_blocked_account_gets_its_points_back(store: Memory) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    standing.block(
        store,
        PROGRAM,
        actor=MANAGER,
        idempotency_key="b",
        member=external("ada"),
        reason="FRAUD",
        note=None,
        now=NOW,
    )

    assert cancel(store, redeemed, LATER, key="c").record.state.balance == 100


# --- again ------------------------------------------------------------------------------------------------------------


def test_a_cancellation_sent_again_is_the_same_cancellation(store: Memory) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    first = cancel(store, redeemed, LATER, key="c", reason="OOPS")
    redeem(store, "ada", "latte", LATER, key="k2")

    with unchanged(store):
        again = cancel(store, redeemed, NOW + timedelta(days=30), key="c", reason="OOPS")

    assert again == replace(first, replayed=True)


def test_one_key_is_one_cancellation(store: Memory) -> None:
    first, second = (redeem(store, "ada", "latte", NOW, key=key) for key in ("k1", "k2"))
    cancel(store, first, LATER, key="c", reason="OOPS")

    for redeemed, reason in ((first, None), (first, "OTHER"), (second, "OOPS")):
        with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
            cancel(store, redeemed, LATER, key="c", reason=reason)
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        redeem(store, "ada", "cookie", LATER, key="c")


def test_a_redemption_ends_once(store: Memory) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    cancel(store, redeemed, LATER, key="c")

    with refuses(store, RedemptionEnded, "input", "redemptionId") as refused:
        cancel(store, redeemed, LATER, key="c2")
    assert refused.value.message == "The redemption was cancelled at 2026-01-11T15:00:00Z."
    with refuses(store, RedemptionEnded, "input", "redemptionId", replayed=True):
        cancel(store, redeemed, LATER + timedelta(days=9), key="c2")
    assert balance(checked(store)) == 100


def test_redeemed_again_after_a_cancellation_is_another_redemption(store: Memory) -> None:
    first = redeem(store, "ada", "latte", NOW, key="k")
    cancel(store, first, NOW, key="c")
    second = redeem(store, "ada", "latte", NOW, key="k2")

    # The key of the first still says what it said, though that was cancelled.
    with unchanged(store):
        assert redeem(store, "ada", "latte", NOW, key="k") == replace(first, replayed=True)
    cancel(store, second, NOW, key="c2")
    assert balance(checked(store)) == 100


# --- what is refused, in this order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "\x7f", "k" * (limits.KEY_LENGTH_MAX + 1)])
def test_a_key_is_a_short_printable_text(store: Memory, key: str) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")

    with refuses(store, InvalidText, "input", "idempotencyKey"):
        cancel(store, redeemed, LATER, key=key, reason="")


@pytest.mark.parametrize("reason", ["", "oops", "OUT OF STOCK", "1ST", "A" * (limits.REASON_LENGTH_MAX + 1), "A\x00"])
def test_a_reason_is_a_code(store: Memory, reason: str) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")

    with refuses(store, InvalidText, "input", "reason"):
        cancel(store, redeemed, LATER, key="c", reason=reason)


@pytest.mark.parametrize(
    ("account", "seq", "index"),
    [
        ("", 0, 0),
        ("", 3, 0),
        ("ADA", 0, 0),
        ("ADA", 1, 0),
        ("ADA", 2, 0),
        ("ADA", 3, 1),
        ("ADA", 4, 0),
        ("ADA", 9_999_999_999, 0),
        ("BOB", 3, 0),
    ],
)
def test_a_redemption_is_one_that_was_made(store: Memory, account: str, seq: int, index: int) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    assert (redeemed.record.seq, redeemed.index) == (3, 0)
    wrong = replace(redeemed, record=replace(redeemed.record, account=account, seq=seq), index=index)

    with refuses(store, RedemptionNotFound, "input", "redemptionId"):
        cancel(store, wrong, LATER, key="c")
    # Nothing was decided for the key.
    assert not cancel(store, redeemed, LATER, key="c").replayed


def test_who_left_gets_nothing_back(store: Memory) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    standing.close(
        store, PROGRAM, actor=MANAGER, idempotency_key="x", member=external("ada"), reason="MOVED", note=None, now=NOW
    )

    with refuses(store, MemberClosed, "input", "redemptionId"):
        cancel(store, redeemed, LATER, key="c")
    with refuses(store, MemberClosed, "input", "redemptionId", replayed=True):
        cancel(store, redeemed, LATER, key="c")
    assert store.end("ADA", 3, 0) is None


# --- merged accounts --------------------------------------------------------------------------------------------------


def test_points_go_to_the_account_that_the_redemptions_own_lives_on_in(store: Memory) -> None:
    enroll(store, "bob", NOW)
    redeemed = redeem(store, "ada", "latte", NOW, key="k")
    merge(store, "ada", "bob", NOW, key="m")

    outcome = cancel(store, redeemed, LATER, key="c")

    assert (outcome.record.account, outcome.record.state.balance) == ("BOB", 100)
    assert (outcome.entry.cause, outcome.entry.peer) == ((3, 0), ("ADA", 3))
    # The end stays with the redemption, so nobody has to know of the merge to see it.
    assert store.end("ADA", 3, 0) is not None
    assert store.end("BOB", 3, 0) is None
    with unchanged(store):
        assert cancel(store, redeemed, LATER, key="c") == replace(outcome, replayed=True)
    with refuses(store, RedemptionEnded, "input", "redemptionId"):
        cancel(store, redeemed, LATER, key="c2")
    checked(store)


def test_a_merge_and_its_undo_change_nothing_about_what_was_cancelled(store: Memory) -> None:
    enroll(store, "bob", NOW)
    before, between, after = (redeem(store, "ada", "cookie", NOW, key=f"k{number}") for number in range(3))
    first = cancel(store, before, NOW, key="c0")
    merge(store, "ada", "bob", LATER, key="m")
    second = cancel(store, between, LATER, key="c1")
    unmerge(store, "ada", LATER, key="u")
    third = cancel(store, after, LATER, key="c2")

    assert [each.record.account for each in (first, second, third)] == ["ADA", "BOB", "ADA"]
    for number, (redeemed, told) in enumerate(((before, first), (between, second), (after, third))):
        with unchanged(store):
            assert cancel(store, redeemed, LATER, key=f"c{number}") == replace(told, replayed=True)
        with refuses(store, RedemptionEnded, "input", "redemptionId"):
            cancel(store, redeemed, LATER, key=f"again {number}")
    assert balance(store) + balance(store, "BOB") == 100
    checked(store)


def test_a_cancellation_that_a_merge_outran_is_booked_behind_it(interrupted: Interrupted) -> None:
    enroll(interrupted, "bob", NOW)
    redeemed = redeem(interrupted, "ada", "latte", NOW, key="k")
    interrupted.before_append.append(lambda: merge(interrupted, "ada", "bob", NOW, key="m"))

    outcome = cancel(interrupted, redeemed, LATER, key="c")

    assert (outcome.record.account, outcome.record.state.balance, outcome.replayed) == ("BOB", 100, False)
    with unchanged(interrupted):
        assert cancel(interrupted, redeemed, LATER, key="c") == replace(outcome, replayed=True)
    checked(interrupted)


def test_two_tills_that_cancel_before_and_behind_a_merge_give_the_points_back_once(interrupted: Interrupted) -> None:
    """The first is about to book on the old account; the other books on the survivor meanwhile."""
    enroll(interrupted, "bob", NOW)
    redeemed = redeem(interrupted, "ada", "latte", NOW, key="k")

    def merge_and_cancel() -> None:
        merge(interrupted, "ada", "bob", NOW, key="m")
        cancel(interrupted, redeemed, LATER, key="other")

    interrupted.before_append.append(merge_and_cancel)

    with pytest.raises(RedemptionEnded):
        cancel(interrupted, redeemed, LATER, key="c")

    with refuses(interrupted, RedemptionEnded, "input", "redemptionId", replayed=True):
        cancel(interrupted, redeemed, LATER, key="c")
    assert balance(checked(interrupted), "BOB") == 100


# --- races ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager_threads")
def test_50_cancellations_of_one_redemption_at_once_give_its_points_back_once(store: Memory) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")

    answers = at_once([lambda key=f"c{number}": cancel(store, redeemed, LATER, key=key) for number in range(50)])

    (won,) = [answer for answer in answers if isinstance(answer, Outcome)]
    assert sum(isinstance(answer, RedemptionEnded) for answer in answers) == 49
    end = store.end("ADA", 3, 0)
    assert end is not None
    assert end.key == won.entry.key
    assert balance(checked(store)) == 100


@pytest.mark.usefixtures("eager_threads")
def test_one_cancellation_delivered_50_times_at_once_is_booked_once(store: Memory) -> None:
    redeemed = redeem(store, "ada", "latte", NOW, key="k")

    answers = at_once([lambda: cancel(store, redeemed, LATER, key="c")] * 50)

    assert sorted(answer.replayed for answer in answers) == [False, *[True] * 49]
    assert {answer.entry for answer in answers} == {answers[0].entry}
    assert balance(checked(store)) == 100


@pytest.mark.usefixtures("eager_threads")
def test_points_that_come_back_are_there_for_whoever_redeems_at_that_moment(store: Memory) -> None:
    """Six redemptions are cancelled while 40 others are tried: no point is given back twice, or spent twice."""
    made = [redeem(store, "ada", "cookie", NOW, key=f"k{number}") for number in range(6)]

    answers = at_once(
        [
            *(lambda number=number: cancel(store, made[number], LATER, key=f"c{number}") for number in range(6)),
            *(lambda number=number: redeem(store, "ada", "cookie", LATER, key=f"r{number}") for number in range(40)),
        ]
    )

    assert all(isinstance(answer, Outcome) for answer in answers[:6])
    again = sum(isinstance(answer, Outcome) for answer in answers[6:])
    assert again <= 6
    assert balance(checked(store)) == 100 - 15 * again


def test_who_loses_the_race_to_cancel_is_told_so_for_good(interrupted: Interrupted) -> None:
    redeemed = redeem(interrupted, "ada", "latte", NOW, key="k")
    interrupted.before_append.append(lambda: cancel(interrupted, redeemed, LATER, key="other"))

    with pytest.raises(RedemptionEnded) as refused:
        cancel(interrupted, redeemed, LATER, key="c")

    assert head_of(interrupted, "ADA").entries[-1].refusal == refused.value
    with refuses(interrupted, RedemptionEnded, "input", "redemptionId", replayed=True):
        cancel(interrupted, redeemed, LATER, key="c")
    assert balance(checked(interrupted)) == 100


def test_a_retry_completes_what_was_claimed_and_never_booked(interrupted: Interrupted) -> None:
    redeemed = redeem(interrupted, "ada", "latte", NOW, key="k")
    hold(interrupted, "ada", 5, NOW, key="h")

    def crash() -> None:
        raise OutcomeUnknown("The store gave no answer.")

    interrupted.before_append.append(crash)
    with refuses(interrupted, OutcomeUnknown):
        cancel(interrupted, redeemed, LATER, key="c")
    assert interrupted.end("ADA", 3, 0) is None

    first = cancel(interrupted, redeemed, LATER, key="c")

    assert not first.replayed
    with unchanged(interrupted):
        assert cancel(interrupted, redeemed, LATER, key="c") == replace(first, replayed=True)
    assert balance(checked(interrupted)) == 100


def test_a_cancellation_claimed_and_never_booked_is_refused_when_another_one_was(interrupted: Interrupted) -> None:
    redeemed = redeem(interrupted, "ada", "latte", NOW, key="k")

    def crash() -> None:
        raise OutcomeUnknown("The store gave no answer.")

    interrupted.before_append.append(crash)
    with refuses(interrupted, OutcomeUnknown):
        cancel(interrupted, redeemed, LATER, key="c")
    cancel(interrupted, redeemed, LATER, key="other")

    with pytest.raises(RedemptionEnded):
        cancel(interrupted, redeemed, LATER, key="c")
    with refuses(interrupted, RedemptionEnded, "input", "redemptionId", replayed=True):
        cancel(interrupted, redeemed, LATER, key="c")
    assert balance(checked(interrupted)) == 100
