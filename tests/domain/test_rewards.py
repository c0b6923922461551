"""Redeeming a reward: points out, once, for a code."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain import access, limits, rewards
from domain.access import Role
from domain.entries import EntryKind, Explanation
from domain.members import Lookup
from domain.programs import Reward
from domain.refusals import IdempotencyKeyReused, InsufficientPoints, InvalidText, MemberNotFound
from domain.rewards import RewardNotFound
from storage.memory import Memory
from tests.domain.world import (
    ADA,
    BOB,
    ISSUER,
    MANAGER,
    PROGRAM,
    TILL,
    Stale,
    at,
    buy,
    enroll,
    external,
    head_of,
    program,
    redeem,
    refuses,
    unchanged,
)

NOW = at("2026-01-10")


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """Ada, who enrolled herself and holds 100 points, in a store that is up to date and in one that always comes late."""
    made: Memory = request.param()
    enroll(made, "ada", NOW, actor=ADA)
    buy(made, "ada", 10_000, NOW, receipt="1")
    return made


def test_a_reward_costs_its_points_and_gives_a_code(store: Memory) -> None:
    outcome = redeem(store, "ada", "latte", NOW, key="k", code="C0FFEE")

    entry = outcome.entry
    assert (entry.kind, entry.points, entry.balance_after) == (EntryKind.REDEMPTION, -40, 60)
    assert entry.explanation == (Explanation("reward:latte", -40),)
    assert (entry.reward, entry.code, entry.actor) == (("latte", 1), "C0FFEE", TILL.id)
    assert (entry.occurred_at, entry.total, entry.reason) == (None, None, None)


def test_the_last_point_counts(store: Memory) -> None:
    exactly, one_more = (replace(PROGRAM, rewards=(Reward("all", 1, "All", cost),)) for cost in (100, 101))

    with refuses(store, InsufficientPoints, "input", "rewardId"):
        redeem(store, "ada", "all", NOW, key="k1", program=one_more)
    assert redeem(store, "ada", "all", NOW, key="k2", program=exactly).record.state.balance == 0


def test_members_redeem_for_themselves_without_a_name(store: Memory) -> None:
    assert redeem(store, "ada", "latte", NOW, key="k", actor=ADA).record.account == "ADA"


def test_a_token_that_names_the_account_needs_no_look_up(store: Memory) -> None:
    named = access.actor(Role.MEMBER, issuer="elsewhere", subject="x", account="ADA")

    assert redeem(store, "ada", "latte", NOW, key="k", actor=named).record.account == "ADA"


def test_a_retry_has_the_code_of_the_first_answer(store: Memory) -> None:
    first = redeem(store, "ada", "latte", NOW, key="k", code="FIRST")

    with unchanged(store):
        again = redeem(store, "ada", "latte", NOW + timedelta(days=30), key="k", code="SECOND")

    assert again == replace(first, replayed=True)
    assert again.entry.code == "FIRST"


def test_a_retry_is_answered_when_the_reward_was_withdrawn_or_changed(store: Memory) -> None:
    first = redeem(store, "ada", "latte", NOW, key="k")
    withdrawn = replace(PROGRAM, rewards=())
    dearer = replace(PROGRAM, rewards=(Reward("latte", 2, "A latte", 4_000),))

    for later in (withdrawn, dearer):
        with unchanged(store):
            assert redeem(store, "ada", "latte", NOW, key="k", program=later) == replace(first, replayed=True)
    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        redeem(store, "ada", "cookie", NOW, key="k", program=withdrawn)


def test_a_key_does_not_follow_a_login_to_another_account(store: Memory) -> None:
    enroll(store, "bob", NOW)
    redeem(store, "ada", "latte", NOW, key="k", actor=ADA)

    with refuses(store, IdempotencyKeyReused, "input", "idempotencyKey"):
        redeem(store, "bob", "latte", NOW, key="k", actor=replace(ADA, account="BOB"))


def test_a_refusal_is_replayed_when_the_reward_was_withdrawn(store: Memory) -> None:
    dear = replace(PROGRAM, rewards=(Reward("yacht", 1, "A yacht", 10**6),))
    with refuses(store, InsufficientPoints, "input", "rewardId"):
        redeem(store, "ada", "yacht", NOW, key="k", program=dear)

    with refuses(store, InsufficientPoints, "input", "rewardId", replayed=True):
        redeem(store, "ada", "yacht", NOW, key="k")


# --- what is refused, in this order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "\x7f", "k" * (limits.KEY_LENGTH_MAX + 1)])
def test_a_key_is_a_short_printable_text(store: Memory, key: str) -> None:
    with refuses(store, InvalidText, "input", "idempotencyKey"):
        redeem(store, "nobody", "nothing", NOW, key=key)


def test_nobody_redeems_for_an_unknown_member(store: Memory) -> None:
    with refuses(store, MemberNotFound, "input", "member"):
        redeem(store, "nobody", "nothing", NOW, key="k")


def test_members_cannot_redeem_before_they_enrolled(store: Memory) -> None:
    with refuses(store, MemberNotFound, "input", "member") as refused:
        redeem(store, "", "latte", NOW, key="k", actor=BOB)
    assert refused.value.message == "You are not enrolled yet."


def test_a_token_that_names_an_account_nobody_has_is_nobody(store: Memory) -> None:
    stray = access.actor(Role.MEMBER, issuer=ISSUER, subject="ada-login", account="NO-SUCH-ACCOUNT")

    with refuses(store, MemberNotFound, "input", "member"):
        redeem(store, "", "latte", NOW, key="k", actor=stray)


def test_members_cannot_redeem_for_others(store: Memory) -> None:
    enroll(store, "bob", NOW, actor=BOB)

    for lookup in (external("ada"), Lookup("id", "ADA"), external("nobody")):
        with refuses(store, MemberNotFound, "input", "member"):
            rewards.redeem(
                store,
                PROGRAM,
                actor=BOB,
                idempotency_key="k",
                member=lookup,
                reward_id="latte",
                code="C",
                now=NOW,
            )


def test_tills_and_staff_have_to_name_the_member(store: Memory) -> None:
    for actor in (TILL, MANAGER):
        with refuses(store, MemberNotFound, "input", "member") as refused:
            rewards.redeem(
                store,
                PROGRAM,
                actor=actor,
                idempotency_key="k",
                member=None,
                reward_id="latte",
                code="C",
                now=NOW,
            )
        assert refused.value.message == "Name the member."


@pytest.mark.parametrize("reward_id", ["", "Latte", "yacht", "x" * 10_000, "\ud800"])
def test_a_reward_is_one_of_the_program(store: Memory, reward_id: str) -> None:
    with refuses(store, RewardNotFound, "input", "rewardId"):
        redeem(store, "ada", reward_id, NOW, key="k")


def test_points_that_expired_a_moment_ago_buy_nothing(store: Memory) -> None:
    with refuses(store, InsufficientPoints, "input", "rewardId"):
        redeem(store, "ada", "latte", at("2028-02-01 00:00"), key="k1")
    assert redeem(store, "ada", "latte", at("2028-01-31 23:59"), key="k2").record.state.balance == 60


def test_pending_points_buy_nothing() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    buy(store, "ada", 10_000, NOW, receipt="1", program=program(pending={"days": 1}))

    with refuses(store, InsufficientPoints, "input", "rewardId"):
        redeem(store, "ada", "cookie", at("2026-01-10 23:59"), key="k1")
    redeem(store, "ada", "cookie", at("2026-01-11 00:00"), key="k2")
    assert head_of(store, "ADA").state.balance == 85
