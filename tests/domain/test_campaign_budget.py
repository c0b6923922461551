"""The budget of a campaign: never exceeded, whoever works at once, and used up as far as it goes."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import limits
from domain.campaigns import Action, Audience, Award, Budget, Campaign, Status, work
from domain.campaigns.choosing import within
from domain.campaigns.store import MemberOutcome
from domain.campaigns.turns import opening
from domain.refusals import OutcomeUnknown
from domain.store import Contended
from tests.domain.campaigning import Desk, Failing, bonus_run, draft, names_of, segments, tagged
from tests.domain.world import block, program, search

U = MemberOutcome.BUDGET


def of(award: Award) -> Campaign:
    return Desk().create(draft(award=award)).campaign


AWARD = segments((tagged("a"), 30), (tagged("b"), 10))
OUT = MemberOutcome.OUTSIDE


@pytest.mark.parametrize(
    ("choices", "budget", "granted", "left"),
    [
        ((0, 1, 0), Budget(), (0, 1, 0), Budget()),
        ((0, 1, 0), Budget(points=70), (0, 1, 0), Budget(points=0)),
        ((0, 1, 0), Budget(points=69), (0, 1, U), Budget(points=29)),
        ((0, 0, 1), Budget(points=40), (0, U, 1), Budget(points=0)),
        ((0, 1), Budget(points=9), (U, U), Budget(points=9)),
        ((0, 1, 1), Budget(members=2), (0, 1, U), Budget(members=0)),
        ((0, 1), Budget(members=0), (U, U), Budget(members=0)),
        ((0, 0, 1, 1), Budget(points=50, members=2), (0, U, 1, U), Budget(points=10, members=0)),
        ((OUT, 0, MemberOutcome.HELD_OUT), Budget(members=1), (OUT, 0, MemberOutcome.HELD_OUT), Budget(members=0)),
        ((), Budget(points=1), (), Budget(points=1)),
    ],
)
def test_first_come_first_served_as_far_as_it_goes(
    choices: tuple[Any, ...], budget: Budget, granted: tuple[Any, ...], left: Budget
) -> None:
    assert within(choices, budget, of(AWARD)) == (granted, left)


@search(300)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.lists(st.integers(0, 3) | st.sampled_from([MemberOutcome.OUTSIDE, MemberOutcome.BLOCKED]), max_size=30),
    st.none() | st.integers(0, 300),
    st.none() | st.integers(0, 12),
)
def test_a_budget_is_never_exceeded_and_refuses_only_what_it_has_not(
    points: list[int], wanted: list[Any], most_points: int | None, most_members: int | None
) -> None:
    campaign = of(segments(*((tagged(f"t{number}"), each) for number, each in enumerate(points))))
    choices = tuple(each if isinstance(each, MemberOutcome) else each % len(points) for each in wanted)

    granted, left = within(choices, Budget(most_points, most_members), campaign)

    spent = members = 0
    for choice, got in zip(choices, granted, strict=True):
        if isinstance(choice, MemberOutcome):
            assert got is choice
            continue
        fits = (most_points is None or spent + points[choice] <= most_points) and (
            most_members is None or members < most_members
        )
        assert got == (choice if fits else U)
        spent, members = spent + fits * points[choice], members + fits
    assert left == Budget(
        None if most_points is None else most_points - spent, None if most_members is None else most_members - members
    )


@pytest.mark.parametrize(
    ("budget", "given"),
    [
        (Budget(points=35), 3),
        (Budget(points=30), 3),
        (Budget(members=3), 3),
        (Budget(points=9), 0),
        (Budget(members=1), 1),
    ],
)
def test_so_many_get_it_and_the_rest_is_told_why_not(budget: Budget, given: int) -> None:
    desk = Desk.of(*names_of(0, 4), *names_of(1, 3))

    campaign = desk.completed(10, budget=budget)

    progress = desk.progress(bonus_run(campaign))
    assert (len(desk.given(campaign)), progress.points) == (given, 10 * given)
    assert progress.outcomes == {MemberOutcome.APPLIED: given, U: 7 - given} if given else {U: 7}
    desk.audit(bonus_run(campaign))


def test_members_who_are_not_meant_use_up_no_budget() -> None:
    desk = Desk.of(*names_of(0, 5))
    desk.join("vip", tags=frozenset({"vip"}))

    campaign = desk.completed(10, audience=tagged("vip"), budget=Budget(members=1))

    assert desk.given(campaign) == {"vip": 10}
    desk.audit(bonus_run(campaign))


def test_a_preview_tells_what_would_be_given_without_a_budget() -> None:
    desk = Desk.of("ada", "bob", "cyd")

    campaign = desk.previewed(10, budget=Budget(members=1))

    assert (campaign.preview_members, campaign.preview_points) == (3, 30)


def test_what_nobody_has_approved_never_gives_more_than_one_person_may_however_many_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 2)
    desk = Desk.of(*names_of(0, 2), program=program(campaigns={"points_unapproved_max": 45}))
    campaign = desk.launched(10)
    assert campaign.budget_in_force == Budget(points=45)

    desk.join(*names_of(1, 8))
    desk.work()

    assert sum(desk.given(campaign).values()) == 40
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=5)
    desk.audit(bonus_run(campaign))


def test_a_bound_on_members_stays_where_points_are_bounded_too() -> None:
    desk = Desk.of(*names_of(0, 4), program=program(campaigns={"points_unapproved_max": 100}))

    campaign = desk.completed(10, budget=Budget(members=3))

    assert desk.find(campaign).budget_in_force == Budget(points=100, members=3)
    assert len(desk.given(campaign)) == 3
    desk.audit(bonus_run(campaign))


def test_what_was_approved_gives_no_more_than_was_approved_however_many_join() -> None:
    """Who approved it had seen what its preview found."""
    desk = Desk.of(*names_of(0, 4), program=program(campaigns={"points_unapproved_max": 39}))
    campaign = desk.previewed(10)
    desk.do(Action.APPROVE, campaign)
    campaign = desk.do(Action.LAUNCH, campaign).campaign
    assert campaign.budget_in_force == Budget(points=40)

    desk.join(*names_of(1, 3))
    desk.work()

    assert sum(desk.given(campaign).values()) == 40
    assert Counter(desk.results(campaign).values()) == {MemberOutcome.APPLIED: 4, MemberOutcome.BUDGET: 3}
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=0)


@pytest.mark.parametrize("budget", [Budget(points=335), Budget(members=33), Budget(points=400, members=33)])
def test_many_workers_at_once_never_exceed_it_and_use_it_up(monkeypatch: pytest.MonkeyPatch, budget: Budget) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 2)
    desk = Desk.of(*names_of(0, 40, shards=4), *names_of(3, 40, shards=4), shards=4)
    campaign = desk.launched(10, budget=budget)
    lock = threading.Lock()

    def worker(_: int) -> None:
        while True:
            with lock:
                if not desk.queue:
                    return
                turn = desk.queue.pop(0)
            work.take(desk.tools, turn)

    for _ in range(3):
        desk.queue += opening(bonus_run(campaign), desk.shards)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(worker, range(8)))

    assert desk.find(campaign).status is Status.COMPLETED
    assert len(desk.given(campaign)) == 33
    desk.audit(bonus_run(campaign))


def test_what_comes_back_is_there_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    first, second = names_of(0, 2)
    desk = Desk.of(first, second)
    campaign = desk.launched(10, budget=Budget(points=10, members=1))
    desk.work(desk.shards)
    desk.decides_and_dies(desk.queue[0])
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=0, members=0)
    block(desk.store, first, desk.now, key="b")

    desk.work()

    assert desk.results(campaign) == {first: MemberOutcome.BLOCKED, second: MemberOutcome.APPLIED}
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=0, members=0)
    desk.audit(bonus_run(campaign))


def test_a_decision_whose_answer_was_lost_is_paid_for_once() -> None:
    desk = Desk.of(*names_of(0, 3))
    campaign = desk.launched(10, budget=Budget(points=100))
    desk.work(desk.shards)
    lost = Failing(desk.campaigns, "keep_decision", OutcomeUnknown("no answer"), executes=True)
    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, campaigns=lost), desk.queue[0])  # type: ignore[arg-type]

    desk.work()

    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=70)
    desk.audit(bonus_run(campaign))


def test_who_never_gets_at_the_budget_leaves_it_for_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAMPAIGN_ATTEMPTS_MAX", 3)
    desk = Desk.of(*names_of(0, 1))
    campaign = desk.launched(10, budget=Budget(points=100))
    desk.work(desk.shards)
    busy = Failing(desk.campaigns, "keep_decision", Contended())

    with desk.unchanged(), pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, campaigns=busy), desk.queue[0])  # type: ignore[arg-type]

    desk.work()
    desk.audit(bonus_run(campaign))


def test_a_dear_segment_leaves_the_rest_to_a_cheap_one() -> None:
    desk = Desk()
    dear, cheap = names_of(0, 2)
    desk.join(dear, tags=frozenset({"vip"}))
    desk.join(cheap)

    campaign = desk.completed(award=segments((tagged("vip"), 50), (Audience(), 10)), budget=Budget(points=40))

    assert desk.given(campaign) == {cheap: 10}
    desk.audit(bonus_run(campaign))
