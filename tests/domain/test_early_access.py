"""Rewards that some members may redeem earlier than others."""

from typing import Any

import pytest

from domain import programs, rewards
from domain.days import NEVER
from domain.documents import InvalidProgram
from domain.entries import EntryKind
from domain.refusals import InsufficientPoints, MemberBlocked
from domain.rewards import RewardNotAvailable
from storage.memory import Memory
from tests.domain.world import (
    DOCUMENT,
    Interrupted,
    adjust,
    at,
    block,
    buy,
    day,
    enroll,
    head_of,
    program,
    redeem,
    refuses,
    set_tier,
)

CUP = {"id": "cup", "name": "The first cup", "cost": 10, "available_from": "2026-06-01"}
RULES = program(
    rewards=[CUP],
    tiers={
        "ladder": [
            {"id": "base", "name": "Base", "threshold": 0},
            {"id": "gold", "name": "Gold", "threshold": 100, "benefits": {"early_access_days": 7}},
        ]
    },
)


@pytest.fixture
def store() -> Memory:
    made = Memory()
    enroll(made, "ada", at("2026-01-05"))
    adjust(made, "ada", 50, at("2026-01-05"), key="points")
    return made


@pytest.mark.parametrize("tier", ["base", "gold"])
def test_a_reward_can_be_redeemed_from_the_first_instant_of_its_day_on(store: Memory, tier: str) -> None:
    """Which is that of the program's calendar, and seven days earlier in the tier."""
    set_tier(store, "ada", tier, at("2026-01-06"), key="t", program=RULES)
    before, first = {
        "base": ("2026-05-31 23:59:59.999", "2026-06-01 00:00"),
        "gold": ("2026-05-24 23:59:59.999", "2026-05-25 00:00"),
    }[tier]

    with refuses(store, RewardNotAvailable, "input", "rewardId"):
        redeem(store, "ada", "cup", at(before), key="k", program=RULES)

    # A no that time turns into a yes is not remembered.
    outcome = redeem(store, "ada", "cup", at(first), key="k", program=RULES)
    assert (outcome.entry.kind, outcome.entry.points, outcome.replayed) == (EntryKind.REDEMPTION, -10, False)


def test_whoever_falls_has_to_wait_again(store: Memory) -> None:
    set_tier(store, "ada", "gold", at("2026-01-06"), key="t", program=RULES, until="2026-05-26")
    redeem(store, "ada", "cup", at("2026-05-26"), key="1", program=RULES)

    with refuses(store, RewardNotAvailable, "input", "rewardId"):
        redeem(store, "ada", "cup", at("2026-05-27 00:00"), key="2", program=RULES)


def test_a_redemption_is_answered_again_when_the_reward_has_a_later_day(store: Memory) -> None:
    first = redeem(store, "ada", "cup", at("2026-06-01"), key="k", program=RULES)
    later = program(rewards=[{**CUP, "available_from": "2027-01-01"}])

    again = redeem(store, "ada", "cup", at("2026-06-02"), key="k", program=later)

    assert (again.replayed, again.record) == (True, first.record)


def test_it_is_asked_after_the_account_and_before_the_points(store: Memory) -> None:
    poor = program(rewards=[{**CUP, "cost": 1_000}])
    with refuses(store, RewardNotAvailable, "input", "rewardId"):
        redeem(store, "ada", "cup", at("2026-05-31"), key="k", program=poor)
    with refuses(store, InsufficientPoints, "input", "rewardId"):
        redeem(store, "ada", "cup", at("2026-06-01"), key="k", program=poor)
    block(store, "ada", at("2026-01-07"), key="b")
    with refuses(store, MemberBlocked, "input", "member"):
        redeem(store, "ada", "cup", at("2026-05-31"), key="other", program=RULES)


def test_a_tier_that_is_reached_meanwhile_opens_the_reward() -> None:
    store = Interrupted()
    enroll(store, "ada", at("2026-01-05"))
    adjust(store, "ada", 50, at("2026-01-05"), key="points")
    set_tier(store, "ada", "gold", at("2026-05-25"), key="t", program=RULES, until="2026-05-25")
    store.before_append.append(lambda: buy(store, "ada", 10_000, at("2026-05-25"), receipt="1", program=RULES))

    redeem(store, "ada", "cup", at("2026-05-25"), key="k", program=RULES)

    assert head_of(store, "ADA").state.balance == 50 + 100 - 10


def test_the_first_day_is_that_of_the_tier() -> None:
    cup, plain = RULES.rewards[0], PROGRAM_WITHOUT.rewards[0]
    assert rewards.available_on(cup, RULES, None) == day("2026-06-01")
    assert rewards.available_on(plain, RULES, None) == 0
    assert rewards.available_on(cup, PROGRAM_WITHOUT, None) == day("2026-06-01")


PROGRAM_WITHOUT = program()


def test_a_day_is_written_down_as_it_was_read_and_makes_another_version() -> None:
    assert programs.parse(programs.document(RULES), version=1) == RULES
    assert RULES.rewards[0].available_from == day("2026-06-01") < NEVER
    later = programs.successor(program(rewards=[{**CUP, "available_from": "2026-07-01"}]), RULES)
    assert later.rewards[0].version == 2


@pytest.mark.parametrize("wrong", ["tomorrow", "2026-02-30", 20260601, None, True, "2026-06-01T00:00:00Z", []])
def test_what_is_no_day_is_refused_with_its_place(wrong: Any) -> None:
    with pytest.raises(InvalidProgram) as caught:
        programs.parse({**DOCUMENT, "rewards": [{**CUP, "available_from": wrong}]}, version=1)

    assert caught.value.field == ("rewards", "0", "available_from")
