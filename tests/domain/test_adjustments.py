"""Correcting a balance by hand."""

from datetime import timedelta

import pytest

from domain import adjustments, limits
from domain.accounts import Line
from domain.entries import EntryKind, Explanation
from domain.members import Lookup
from domain.refusals import InsufficientPoints, InvalidPoints, InvalidText, MemberClosed, MemberNotFound
from storage.items import record_item
from storage.memory import Memory
from tests.domain.world import (
    MANAGER,
    PROGRAM,
    Stale,
    adjust,
    at,
    block,
    buy,
    close,
    day,
    enroll,
    external,
    head_of,
    hold,
    program,
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


def test_points_given_expire_as_points_earned_today_do(store: Memory) -> None:
    entry = adjust(store, "ada", 50, NOW, key="k", reason="LATE_COFFEE").entry

    assert (entry.kind, entry.points, entry.balance_after) == (EntryKind.ADJUSTMENT, 50, 50)
    assert entry.lines == (Line(day("2028-01-31"), 50),)
    assert entry.explanation == (Explanation("adjustment:LATE_COFFEE", 50),)
    assert (entry.reason, entry.actor, entry.terms) == ("LATE_COFFEE", MANAGER.id, 1)


def test_points_given_are_there_at_once_also_where_purchases_have_to_wait(store: Memory) -> None:
    assert adjust(store, "ada", 50, NOW, key="k", program=program(pending={"days": 14})).record.state.balance == 50


def test_points_are_taken_soonest_expiring_first(store: Memory) -> None:
    buy(store, "ada", 1_000, NOW, receipt="2", program=program(expiry={"months": 1, "rounding": "month"}))
    buy(store, "ada", 1_000, NOW, receipt="1")

    entry = adjust(store, "ada", -15, NOW, key="k").entry

    assert entry.lines == (Line(day("2026-02-28"), -10), Line(day("2028-01-31"), -5))
    assert (entry.points, entry.balance_after) == (-15, 5)


def test_the_last_point_can_be_taken_and_not_one_more(store: Memory) -> None:
    adjust(store, "ada", 10, NOW, key="k1")

    with refuses(store, InsufficientPoints, "input", "points"):
        adjust(store, "ada", -11, NOW, key="k2")
    assert adjust(store, "ada", -10, NOW, key="k3").record.state.balance == 0


def test_nobody_is_taken_below_nothing_however_it_is_tried(store: Memory) -> None:
    """More than the balance, what only pends and what a till holds: the state is the same to the byte before and after."""
    adjust(store, "ada", 10, NOW, key="k1")
    buy(store, "ada", 500, NOW, receipt="1", program=program(pending={"days": 14}))
    hold(store, "ada", 4, NOW, key="h")
    before = state_stored(store)

    for number, points in enumerate((-7, -10, -11, -15, -limits.ADJUSTMENT_POINTS_MAX)):
        with refuses(store, InsufficientPoints, "input", "points") as refused:
            adjust(store, "ada", points, NOW, key=f"no{number}", note="Should not have had them.")
        assert refused.value.message == f"{-points} points are needed, 6 are available, 4 more are held."
        with refuses(store, InsufficientPoints, "input", "points", replayed=True):
            adjust(store, "ada", points, NOW, key=f"no{number}", note="Should not have had them.")

        assert state_stored(store) == before
    assert adjust(store, "ada", -6, NOW, key="yes").record.state.balance == 0


def test_points_are_corrected_on_a_blocked_account_and_not_on_a_closed_one(store: Memory) -> None:
    block(store, "ada", NOW, key="b")
    assert adjust(store, "ada", 5, NOW, key="k1").record.state.balance == 5
    assert adjust(store, "ada", -5, NOW, key="k2").record.state.balance == 0
    close(store, "ada", NOW, key="c")

    with refuses(store, MemberClosed, "input", "member"):
        adjustments.adjust(
            store,
            PROGRAM,
            actor=MANAGER,
            idempotency_key="k3",
            member=Lookup("id", "ADA"),
            points=5,
            reason="X",
            now=NOW,
        )


@pytest.mark.parametrize("points", [1, -1, limits.ADJUSTMENT_POINTS_MAX, -limits.ADJUSTMENT_POINTS_MAX])
def test_a_correction_has_a_size(store: Memory, points: int) -> None:
    adjust(store, "ada", limits.ADJUSTMENT_POINTS_MAX, NOW, key="plenty")

    assert adjust(store, "ada", points, NOW, key="k").entry.points == points


def test_a_retry_is_answered_as_before(store: Memory) -> None:
    first = adjust(store, "ada", 10, NOW, key="k")

    with unchanged(store):
        again = adjust(store, "ada", 10, NOW + timedelta(days=30), key="k")

    assert again.replayed
    assert again.entry == first.entry


def state_stored(store: Memory) -> bytes:
    """The account as it stands in the newest item, but for what happened last."""
    item = record_item(head_of(store, "ADA"))
    return repr({name: item[name] for name in sorted(item.keys() - {"PK", "SK", "e", "h"})}).encode()


# --- what is refused, in this order -----------------------------------------------------------------------------------


def test_a_correction_needs_a_key(store: Memory) -> None:
    with refuses(store, InvalidText, "input", "idempotencyKey"):
        adjust(store, "nobody", 0, NOW, key=" ", reason="")


@pytest.mark.parametrize(
    "reason", ["", "goodwill", "GOOD WILL", "1ST", "A" * (limits.REASON_LENGTH_MAX + 1), "ÄRGER", "A\x00"]
)
def test_a_reason_is_a_code_and_never_a_sentence(store: Memory, reason: str) -> None:
    with refuses(store, InvalidText, "input", "reason"):
        adjust(store, "nobody", 0, NOW, key="k", reason=reason)


@pytest.mark.parametrize("points", [0, limits.ADJUSTMENT_POINTS_MAX + 1, -limits.ADJUSTMENT_POINTS_MAX - 1])
def test_a_correction_of_nothing_or_of_everything_is_a_mistake(store: Memory, points: int) -> None:
    with refuses(store, InvalidPoints, "input", "points"):
        adjust(store, "nobody", points, NOW, key="k")


def test_nobody_is_corrected_under_an_unknown_name(store: Memory) -> None:
    with refuses(store, MemberNotFound, "input", "member"):
        adjust(store, "nobody", 5, NOW, key="k")


def test_a_key_with_white_space_around_is_the_same_key(store: Memory) -> None:
    adjust(store, "ada", 5, NOW, key="k")

    again = adjustments.adjust(
        store,
        PROGRAM,
        actor=MANAGER,
        idempotency_key=" k ",
        member=external("ada"),
        points=5,
        reason=" GOODWILL ",
        now=NOW,
    )
    assert again.replayed
