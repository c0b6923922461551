"""What is done with a campaign: who may do it when, what follows, and that doing it again changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import days, limits
from domain.campaigns import (
    Action,
    Budget,
    Campaign,
    Status,
    Validity,
    lifecycle,
    stages,
    work,
)
from domain.campaigns.lifecycle import (
    ApprovalMissing,
    ApproverInvolved,
    AudienceEmpty,
    CampaignNotFound,
    CampaignsBusy,
    CampaignState,
    PreviewChanged,
    PreviewMissing,
)
from domain.campaigns.store import KeyUse, MemberOutcome, Run, RunKind
from domain.refusals import IdempotencyKeyReused, InvalidText, InvalidTime, OutcomeUnknown
from domain.store import Contended
from tests.domain.campaigning import BOSS, START, Desk, Meanwhile, bonus_run, draft, tagged
from tests.domain.world import MANAGER, program

TODAY = days.day_of(START, Desk().program.zone)
MILLISECOND = timedelta(milliseconds=1)


# --- what may be done when --------------------------------------------------------------------------------------------


def drafted(desk: Desk) -> Campaign:
    return desk.previewed()


def scheduled(desk: Desk) -> Campaign:
    return desk.do(Action.LAUNCH, desk.previewed(), at=desk.now + timedelta(days=1)).campaign


def running(desk: Desk) -> Campaign:
    return desk.launched()


def paused(desk: Desk) -> Campaign:
    return desk.do(Action.PAUSE, desk.launched()).campaign


def completed(desk: Desk) -> Campaign:
    return desk.completed()


def cancelled(desk: Desk) -> Campaign:
    return desk.do(Action.CANCEL, desk.launched()).campaign


def reverting(desk: Desk) -> Campaign:
    return desk.do(Action.REVERT, desk.completed()).campaign


def reverted(desk: Desk) -> Campaign:
    return desk.reverted(desk.completed())


STANDING: dict[Status, Callable[[Desk], Campaign]] = {
    Status.DRAFT: drafted,
    Status.SCHEDULED: scheduled,
    Status.RUNNING: running,
    Status.PAUSED: paused,
    Status.COMPLETED: completed,
    Status.CANCELLED: cancelled,
    Status.REVERTING: reverting,
    Status.REVERTED: reverted,
}
# Where a campaign stands after each step that is allowed; every other one is refused.
ALLOWED: dict[tuple[Status, Action], Status] = {
    (Status.DRAFT, Action.PREVIEW): Status.DRAFT,
    (Status.DRAFT, Action.APPROVE): Status.DRAFT,
    (Status.DRAFT, Action.LAUNCH): Status.RUNNING,
    (Status.DRAFT, Action.CANCEL): Status.CANCELLED,
    (Status.SCHEDULED, Action.PREVIEW): Status.SCHEDULED,
    (Status.SCHEDULED, Action.CANCEL): Status.CANCELLED,
    (Status.RUNNING, Action.PAUSE): Status.PAUSED,
    (Status.RUNNING, Action.CANCEL): Status.CANCELLED,
    (Status.PAUSED, Action.RESUME): Status.RUNNING,
    (Status.PAUSED, Action.CANCEL): Status.CANCELLED,
    (Status.COMPLETED, Action.REVERT): Status.REVERTING,
    (Status.CANCELLED, Action.REVERT): Status.REVERTING,
}
STEPS = [action for action in Action if action is not Action.CREATE]


@pytest.mark.parametrize("action", STEPS)
@pytest.mark.parametrize("status", Status)
def test_each_step_is_taken_where_it_may_be_and_refused_elsewhere(status: Status, action: Action) -> None:
    desk = Desk.of("ada")
    campaign = STANDING[status](desk)
    assert campaign.status is status

    if (status, action) not in ALLOWED:
        with desk.refuses(CampaignState, "input", "id"):
            desk.do(action, campaign, key="now")
        return
    changed = desk.do(action, campaign, key="now")

    assert not changed.replayed
    assert desk.find(campaign).status is ALLOWED[status, action]
    assert desk.find(campaign).steps[-1].action is action
    assert desk.find(campaign).version == campaign.version + 1


@pytest.mark.parametrize(("status", "action"), ALLOWED)
def test_a_step_that_was_taken_is_not_taken_again(status: Status, action: Action) -> None:
    desk = Desk.of("ada")
    campaign = STANDING[status](desk)
    first = desk.do(action, campaign, key="now")
    desk.queue.clear()

    again = desk.do(action, campaign, key="now")

    # The turns are handed out again: the first call may have ended before they were.
    assert again == replace(first, replayed=True)
    assert desk.find(campaign) == first.campaign
    assert bool(desk.queue) == (first.run is not None)


def test_a_step_whose_run_is_over_hands_nothing_out_again() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed()

    with desk.unchanged():
        again = desk.do(Action.LAUNCH, campaign)

    assert (again.replayed, again.run, again.campaign.status) == (True, None, Status.COMPLETED)


@pytest.mark.parametrize("other", [Action.CANCEL, Action.PAUSE, Action.REVERT])
def test_a_key_does_not_do_another_thing(other: Action) -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()

    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.do(other, campaign, key=f"LAUNCH {campaign.id}")
    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.do(other, campaign, key="create")


def test_told_no_a_key_never_does_it() -> None:
    """A retry that comes late, when somebody has approved it meanwhile, launches nothing by itself."""
    desk = modest(100)
    campaign = desk.previewed(100, budget=Budget(points=1_000))
    with desk.refuses(ApprovalMissing, "input", "id") as first:
        desk.do(Action.LAUNCH, campaign, key="go")
    desk.do(Action.APPROVE, campaign)

    with desk.refuses(ApprovalMissing, "input", "id") as again:
        desk.do(Action.LAUNCH, campaign, key="go")

    assert (first.value.replayed, again.value.replayed) == (False, True)
    assert again.value == first.value
    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.do(Action.CANCEL, campaign, key="go")
    assert not desk.do(Action.LAUNCH, campaign, key="go now").replayed


def test_what_is_wrong_with_the_input_is_not_held_against_its_key() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed()
    with desk.refuses(InvalidTime, "input", "at"):
        desk.do(Action.LAUNCH, campaign, key="go", at=desk.now)

    assert not desk.do(Action.LAUNCH, campaign, key="go").replayed


def test_what_was_paused_until_its_points_would_be_over_is_not_resumed() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched(validity=Validity(until=TODAY + 1))
    desk.do(Action.PAUSE, campaign)
    desk.passes(days=2)

    with desk.refuses(InvalidTime, "input", "id"):
        desk.do(Action.RESUME, campaign)


def test_a_key_does_nothing_with_another_campaign() -> None:
    desk = Desk.of("ada")
    one, other = desk.previewed(key="one"), desk.previewed(key="other")
    desk.do(Action.LAUNCH, one, key="go")

    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.do(Action.LAUNCH, other, key="go")
    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.do(Action.CANCEL, other, key="one")
    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.create(draft(100), key="go")
    assert desk.do(Action.LAUNCH, one, key="go").replayed


def test_a_step_that_was_let_go_is_still_known_by_its_key() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()
    for number in range(limits.CAMPAIGN_STEPS_MAX):
        desk.do(Action.PAUSE, campaign, key=f"p{number}")
        desk.do(Action.RESUME, campaign, key=f"r{number}")

    with desk.unchanged():
        assert desk.do(Action.PAUSE, campaign, key="p0").replayed
    assert desk.find(campaign).status is Status.RUNNING


def test_a_key_does_not_launch_at_another_time() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed()
    desk.do(Action.LAUNCH, campaign, at=desk.now + timedelta(days=1))

    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.do(Action.LAUNCH, campaign, at=desk.now + timedelta(days=2))
    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.do(Action.LAUNCH, campaign)


@pytest.mark.parametrize("action", STEPS)
def test_no_campaign_no_key(action: Action) -> None:
    desk = Desk.of("ada")
    campaign = desk.create(draft()).campaign

    with desk.refuses(InvalidText, "input", "idempotencyKey"):
        desk.do(action, campaign, key=" ")
    with desk.refuses(InvalidText, "input", "idempotencyKey"):
        desk.do(action, campaign, key="k" * (limits.KEY_LENGTH_MAX + 1))
    with desk.refuses(CampaignNotFound, "input", "id"):
        desk.do(action, "C9999")
    with desk.refuses(CampaignNotFound, "input", "id"):
        desk.do(action, "")


def test_two_steps_at_once_are_taken_one_after_the_other() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()

    def cut_in() -> None:
        desk.do(Action.PAUSE, campaign, who=BOSS)

    with pytest.raises(CampaignState):
        # Whoever loses looks again, and judges what is there now.
        lifecycle.pause(
            Meanwhile(desk.campaigns, "save", cut_in),  # type: ignore[arg-type]
            actor=MANAGER,
            idempotency_key="pause",
            campaign_id=campaign.id,
            now=desk.now,
        )

    assert [step.by for step in desk.find(campaign).steps if step.action is Action.PAUSE] == [BOSS.id]


def test_who_loses_every_time_is_told_that_nobody_knows() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()

    class Busy:
        def __getattr__(self, name: str) -> Any:
            return getattr(desk.campaigns, name)

        def save(self, campaign: Campaign, *, use: KeyUse | None = None) -> Campaign:
            raise Contended

    with desk.refuses(OutcomeUnknown):
        lifecycle.pause(
            Busy(),  # type: ignore[arg-type]
            actor=MANAGER,
            idempotency_key="pause",
            campaign_id=campaign.id,
            now=desk.now,
        )


def test_the_oldest_steps_are_let_go_but_never_the_first() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()
    for number in range(limits.CAMPAIGN_STEPS_MAX):
        desk.do(Action.PAUSE, campaign, key=f"p{number}")
        desk.do(Action.RESUME, campaign, key=f"r{number}")

    steps = desk.find(campaign).steps
    assert len(steps) == 1 + limits.CAMPAIGN_STEPS_MAX
    assert steps[0].action is Action.CREATE
    assert desk.create(draft(100)).replayed


# --- looking at it ----------------------------------------------------------------------------------------------------


def test_a_preview_says_exactly_what_would_be_given_and_gives_nothing() -> None:
    desk = Desk.of("ada", "bob", "cyd")
    desk.join("vip", tags=frozenset({"vip"}))
    campaign = desk.create(draft(40, audience=tagged("vip"))).campaign
    books = desk.contents()[0]

    campaign = desk.looked_at(campaign)

    assert (campaign.previews, campaign.previewed) == (1, 1)
    assert (campaign.preview_members, campaign.preview_points) == (1, 40)
    assert campaign.status is Status.DRAFT
    assert desk.contents()[0] == books
    run = Run(campaign.id, RunKind.PREVIEW)
    desk.audit(run)
    assert desk.progress(run).outcomes == {MemberOutcome.APPLIED: 1, MemberOutcome.OUTSIDE: 3}


def test_another_preview_looks_again_and_takes_the_place_of_the_one_at_work() -> None:
    desk = Desk.of("ada")
    campaign = desk.create(draft(40)).campaign
    first = desk.do(Action.PREVIEW, campaign, key="1").run
    assert first is not None
    stale = list(desk.queue)
    desk.join("bob")
    desk.do(Action.PREVIEW, campaign, key="2")

    desk.work()

    assert (desk.find(campaign).previews, desk.find(campaign).previewed) == (2, 2)
    assert desk.find(campaign).preview_members == 2
    desk.queue += stale
    with pytest.raises(AssertionError):
        desk.audit_run(first)
    desk.work()
    assert desk.find(campaign).preview_members == 2


def test_a_new_preview_takes_an_approval_back() -> None:
    """Who approved it had seen other figures."""
    desk = modest(100)
    campaign = desk.previewed(100, budget=Budget(points=1_000))
    desk.do(Action.APPROVE, campaign)

    again = desk.looked_at(campaign, key="again")

    assert again.approved_by is None
    with desk.refuses(ApprovalMissing, "input", "id"):
        desk.do(Action.LAUNCH, campaign)
    desk.do(Action.APPROVE, campaign, key="and again")
    assert desk.do(Action.LAUNCH, campaign).campaign.status is Status.RUNNING


def test_nothing_is_launched_or_approved_that_nobody_has_looked_at() -> None:
    desk = Desk.of("ada")
    campaign = desk.create(draft()).campaign

    for action in (Action.APPROVE, Action.LAUNCH):
        with desk.refuses(PreviewMissing, "input", "id"):
            desk.do(action, campaign)
    desk.do(Action.PREVIEW, campaign)
    desk.work(1)
    for action in (Action.APPROVE, Action.LAUNCH):
        with desk.refuses(PreviewMissing, "input", "id"):
            desk.do(action, campaign)

    desk.work()
    desk.do(Action.LAUNCH, campaign)


def test_a_new_preview_has_to_be_waited_for() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed()
    desk.do(Action.PREVIEW, campaign, key="again")

    with desk.refuses(PreviewMissing, "input", "id"):
        desk.do(Action.LAUNCH, campaign)


def test_an_audience_of_nobody_is_not_launched() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed(audience=tagged("nobody"))
    assert (campaign.preview_members, campaign.preview_points) == (0, 0)

    with desk.refuses(AudienceEmpty, "input", "id"):
        desk.do(Action.LAUNCH, campaign)


def test_a_program_without_members_is_looked_at_too() -> None:
    desk = Desk()

    campaign = desk.previewed()

    assert (campaign.previewed, campaign.preview_members) == (1, 0)


# --- a second person --------------------------------------------------------------------------------------------------


def modest(most: int) -> Desk:
    return Desk.of("ada", "bob", program=program(campaigns={"points_unapproved_max": most}))


def test_up_to_what_one_person_may_give_nobody_else_is_asked() -> None:
    desk = modest(200)

    campaign = desk.previewed(100)

    assert not lifecycle.needs_approval(campaign, desk.program)
    desk.do(Action.LAUNCH, campaign)


@pytest.mark.parametrize(
    ("points", "budget", "most"),
    [(100, Budget(), 199), (1, Budget(points=200), 199), (1, Budget(members=1), 1), (1, Budget(), 0)],
)
def test_above_it_somebody_else_has_to_approve(points: int, budget: Budget, most: int) -> None:
    """A budget says the most that may be given, whatever a preview finds; where it says nothing of points, the preview does."""
    desk = modest(most)
    campaign = desk.previewed(points, budget=budget)
    assert lifecycle.needs_approval(campaign, desk.program)

    with desk.refuses(ApprovalMissing, "input", "id"):
        desk.do(Action.LAUNCH, campaign)
    with desk.refuses(ApproverInvolved, "input", "id"):
        desk.do(Action.APPROVE, campaign, who=MANAGER)
    desk.do(Action.APPROVE, campaign, who=BOSS)
    desk.do(Action.LAUNCH, campaign, who=MANAGER)
    desk.work()

    assert desk.find(campaign).approved_by == BOSS.id
    assert not lifecycle.needs_approval(desk.find(campaign), desk.program)
    assert desk.find(campaign).status is Status.COMPLETED
    assert desk.find(campaign).budget_in_force == (budget if budget.points else replace(budget, points=2 * points))


def test_a_budget_below_it_needs_nobody_however_many_there_are() -> None:
    desk = modest(150)

    campaign = desk.completed(100, budget=Budget(points=150))

    assert desk.find(campaign).approved_by is None
    assert sum(desk.given(campaign).values()) == 100


# --- when it begins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [timedelta(0), -MILLISECOND, limits.CAMPAIGN_AHEAD_MAX + MILLISECOND])
def test_it_is_scheduled_for_later_but_not_for_ever_later(late: timedelta) -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed()

    with desk.refuses(InvalidTime, "input", "at"):
        desk.do(Action.LAUNCH, campaign, at=desk.now + late)


@pytest.mark.parametrize("late", [MILLISECOND, limits.CAMPAIGN_AHEAD_MAX])
def test_it_launches_at_its_time_and_not_before(late: timedelta) -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed()
    changed = desk.do(Action.LAUNCH, campaign, at=desk.now + late)
    assert (changed.run, changed.campaign.status, changed.campaign.launched_at) == (None, Status.SCHEDULED, None)
    assert desk.campaigns.at_work() == [campaign.id]

    desk.now += late - MILLISECOND
    with desk.unchanged():
        assert desk.look_after(minutes=0) == []
    desk.now += MILLISECOND
    handed = desk.look_after(is_idle=False, minutes=0)

    assert [(turn.run, turn.shard) for turn in handed] == [(bonus_run(campaign), shard) for shard in range(desk.shards)]
    launched = desk.find(campaign)
    assert launched.launched_at == desk.now
    assert desk.look_after(is_idle=False) == []
    assert desk.find(campaign).launched_at == launched.launched_at
    desk.work()
    assert desk.given(campaign) == {"ada": 100}


def test_a_scheduled_one_that_is_cancelled_never_launches() -> None:
    desk = Desk.of("ada")
    campaign = scheduled(desk)
    desk.do(Action.CANCEL, campaign)

    desk.passes(days=2)

    assert desk.look_after() == []
    assert desk.campaigns.at_work() == []
    with desk.refuses(CampaignState, "input", "id"):
        desk.do(Action.REVERT, campaign)


def test_what_would_launch_after_the_last_day_of_its_points_is_cancelled() -> None:
    """Whoever looks after it was away for a while. Nobody could spend the points, so nobody is bothered."""
    desk = Desk.of("ada")
    campaign = desk.previewed(validity=Validity(until=days.day_of(desk.now, desk.program.zone) + 2))
    desk.do(Action.LAUNCH, campaign, at=desk.now + timedelta(days=1))

    desk.passes(days=3)
    assert desk.look_after() == []
    desk.work()

    late = desk.find(campaign)
    assert (late.status, late.launched_at, late.stopped_at) == (Status.CANCELLED, None, desk.now)
    assert (late.steps[-1].action, late.steps[-1].by, late.steps[-1].at) == (Action.CANCEL, stages.CLOCK, desk.now)
    assert desk.campaigns.at_work() == []
    assert desk.given(campaign) == {}


def test_what_launches_late_but_on_the_last_day_of_its_points_is_launched() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed(validity=Validity(until=days.day_of(desk.now, desk.program.zone) + 2))
    desk.do(Action.LAUNCH, campaign, at=desk.now + timedelta(days=1))

    desk.passes(days=2)
    desk.look_after()
    desk.work()

    assert desk.given(campaign) == {"ada": 100}


def test_two_who_look_after_it_at_once_launch_it_once() -> None:
    desk = Desk.of("ada")
    campaign = scheduled(desk)
    desk.passes(days=1)
    meanwhile = Meanwhile(desk.campaigns, "save", desk.look_after)

    handed = work.look_after(replace(desk.tools, campaigns=meanwhile), is_idle=lambda: True)  # type: ignore[arg-type]

    assert handed == []
    assert [turn.run for turn in desk.queue] == [bonus_run(campaign)] * desk.shards
    desk.work()
    assert desk.find(campaign).status is Status.COMPLETED


def test_it_is_not_launched_when_its_points_would_be_over() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed(validity=Validity(until=TODAY + 1))

    with desk.refuses(InvalidTime, "input", "at"):
        desk.do(Action.LAUNCH, campaign, at=desk.now + timedelta(days=2))
    desk.passes(days=2)
    with desk.refuses(InvalidTime, "input", "id"):
        desk.do(Action.LAUNCH, campaign)


def test_on_the_last_day_of_its_points_it_is_launched() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed(validity=Validity(until=TODAY + 1))

    desk.passes(days=1)
    desk.do(Action.LAUNCH, campaign)
    desk.work()

    assert desk.balance("ada") == 100
    desk.audit(bonus_run(campaign))


def test_launched_twice_it_gives_once() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()
    desk.work()

    with desk.refuses(CampaignState, "input", "id"):
        desk.do(Action.LAUNCH, campaign, key="once more")

    assert desk.given(campaign) == {"ada": 100}


def test_no_more_campaigns_are_at_work_than_can_be_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAMPAIGNS_AT_WORK_MAX", 2)
    desk = Desk.of("ada")
    first, second, third = (desk.previewed(key=f"c{number}") for number in range(3))
    desk.do(Action.LAUNCH, first)
    desk.do(Action.LAUNCH, second, at=desk.now + timedelta(days=1))

    with desk.refuses(CampaignsBusy, "input", "id"):
        desk.do(Action.LAUNCH, third)
    with desk.refuses(CampaignsBusy, "input", "id"):
        desk.do(Action.PREVIEW, third, key="again")
    desk.do(Action.PAUSE, first)
    desk.do(Action.PREVIEW, third, key="again")
    with desk.refuses(CampaignsBusy, "input", "id"):
        desk.do(Action.RESUME, first)

    desk.work()
    desk.do(Action.RESUME, first)
    desk.work()
    assert desk.find(first).status is Status.COMPLETED


def test_what_is_scheduled_needs_nobody_any_more_whatever_a_new_preview_finds() -> None:
    desk = Desk.of("ada", "bob", program=program(campaigns={"points_unapproved_max": 200}))
    campaign = desk.previewed(100)
    desk.do(Action.LAUNCH, campaign, at=desk.now + timedelta(hours=5))
    desk.join("cyd")

    again = desk.looked_at(campaign, key="again")

    assert (again.status, again.preview_points) == (Status.SCHEDULED, 300)
    assert not lifecycle.needs_approval(again, desk.program)


def test_a_call_beside_its_own_repetition_tells_what_is_so_then() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed()
    other: Any = Meanwhile(desk.campaigns, "used", lambda: desk.do(Action.LAUNCH, campaign, key="go"))

    told = lifecycle.launch(
        other, desk.program, actor=MANAGER, idempotency_key="go", campaign_id=campaign.id, now=desk.now
    )

    assert (told.replayed, told.campaign.status, told.run) == (True, Status.RUNNING, bonus_run(campaign))


def test_who_approves_says_what_they_saw_and_nothing_else_is_approved() -> None:
    desk = Desk.of("ada", program=program(campaigns={"points_unapproved_max": 50}))
    campaign = desk.previewed(100)
    desk.join("bob")
    desk.looked_at(campaign, key="again")

    with desk.refuses(PreviewChanged, "input", "points") as told:
        desk.do(Action.APPROVE, campaign, key="seen", who=BOSS, points=100)
    assert desk.find(campaign).approved_by is None
    assert told.value.message == "The preview has found 200 points. Look at it again."

    approved = desk.do(Action.APPROVE, campaign, who=BOSS, points=200)
    assert approved.campaign.approved_by == BOSS.id
    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.do(Action.APPROVE, campaign, who=BOSS, points=201)
