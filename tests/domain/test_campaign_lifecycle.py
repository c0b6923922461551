"""What is done with a campaign: who may do it when, what follows, and that doing it again changes nothing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import days, limits
from domain.campaigns import (
    Action,
    Audience,
    Award,
    Budget,
    Campaign,
    Draft,
    InvalidAudience,
    InvalidAward,
    InvalidBudget,
    InvalidHoldOut,
    InvalidValidity,
    Message,
    Segment,
    Status,
    Validity,
    definition,
    lifecycle,
    work,
)
from domain.campaigns.lifecycle import (
    ApprovalMissing,
    ApproverInvolved,
    AudienceEmpty,
    CampaignNotFound,
    CampaignsBusy,
    CampaignState,
    PreviewMissing,
)
from domain.campaigns.store import KeyUse, Outcome, Run, RunKind
from domain.entries import EntryKind
from domain.lists import ListNotFound
from domain.refusals import IdempotencyKeyReused, InvalidText, InvalidTime, OutcomeUnknown, Refusal
from domain.store import Contended
from tests.domain.campaigning import BOSS, START, Desk, Meanwhile, bonus_run, draft, names_of, reversal_run, tagged
from tests.domain.world import MANAGER, program

TODAY = days.day_of(START, Desk().program.zone)
MILLISECOND = timedelta(milliseconds=1)


# --- making one -------------------------------------------------------------------------------------------------------


def test_a_draft_is_written_down_and_gives_nothing() -> None:
    desk = Desk.of("ada")

    made = desk.create(draft(100))

    campaign = made.campaign
    assert (made.replayed, made.run) == (False, None)
    assert (campaign.status, campaign.draft) == (Status.DRAFT, draft(100))
    assert (campaign.created_by, campaign.created_at) == (MANAGER.id, START)
    assert [(step.action, step.by, step.at) for step in campaign.steps] == [(Action.CREATE, MANAGER.id, START)]
    assert desk.campaigns.at_work() == []
    assert desk.balance("ada") == 0


def test_texts_are_kept_without_white_space_around_them() -> None:
    desk = Desk()

    kept = desk.create(draft(name="  Summer ", message=Message(" Hello ", " $points for you. "))).campaign.draft

    assert (kept.name, kept.message) == ("Summer", Message("Hello", "$points for you."))


def test_the_same_key_makes_one_campaign_whatever_id_it_would_have_had() -> None:
    desk = Desk()
    first = desk.create(draft(100), id="ONE").campaign

    with desk.unchanged():
        again = desk.create(draft(100), id="TWO")

    assert (again.campaign, again.replayed) == (first, True)


def test_the_order_in_which_tags_are_named_makes_no_other_campaign() -> None:
    desk = Desk()
    desk.create(draft(audience=Audience(tags=frozenset(["a", "b", "c", "d"]))))

    assert desk.create(draft(audience=Audience(tags=frozenset(["d", "c", "b", "a"])))).replayed


@pytest.mark.parametrize(
    "other",
    [
        draft(101),
        draft(name="Winter"),
        draft(code="WINTER"),
        draft(audience=tagged("vip")),
        draft(validity=Validity(days=3)),
        draft(budget=Budget(points=5)),
        draft(hold_out_percent=1),
        draft(message=Message("a", "b")),
    ],
)
def test_a_key_makes_no_other_campaign(other: Draft) -> None:
    desk = Desk()
    desk.create(draft(100))

    with desk.refuses(IdempotencyKeyReused, "input", "idempotencyKey"):
        desk.create(other)


def test_two_people_may_use_the_same_key() -> None:
    desk = Desk()

    assert desk.create(draft(), who=MANAGER).campaign != desk.create(draft(), who=BOSS).campaign


def test_what_was_good_when_it_was_made_is_the_same_campaign_later() -> None:
    """The first answer was lost; by the second call the last day is over, and a tier is no more."""
    tiers = {"ladder": [{"id": "base", "name": "B", "threshold": 0}, {"id": "gold", "name": "G", "threshold": 9}]}
    desk = Desk(program=program(tiers={"metric": "points", "period": "calendar_year", **tiers}))
    dated = draft(audience=Audience(tiers=frozenset({"gold"})), validity=Validity(until=TODAY + 1))
    made = desk.create(dated).campaign

    desk.passes(days=3)
    desk.program = program()

    assert desk.create(dated) == lifecycle.Changed(made, replayed=True)
    with desk.refuses(InvalidAudience, "input", "audience", "tiers"):
        desk.create(dated, key="another")
    with desk.refuses(InvalidValidity, "input", "validity", "until"):
        desk.create(replace(dated, audience=Audience()))


PLACES = frozenset(f"l{number}" for number in range(limits.AUDIENCE_LABELS_MAX))
TAGS = frozenset(f"t{number}" for number in range(limits.TAGS_MAX))
BAD: dict[str, tuple[Draft, type[Refusal], tuple[str, ...]]] = {
    "no name": (draft(name="  "), InvalidText, ("name",)),
    "a long name": (draft(name="n" * (limits.NAME_LENGTH_MAX + 1)), InvalidText, ("name",)),
    "no code": (draft(code=""), InvalidText, ("code",)),
    "a code of words": (draft(code="for you"), InvalidText, ("code",)),
    "no title": (draft(message=Message("", "text")), InvalidText, ("message", "title")),
    "a long text": (
        draft(message=Message("t", "x" * (limits.CAMPAIGN_TEXT_LENGTH_MAX + 1))),
        InvalidText,
        ("message", "text"),
    ),
    "a stray dollar": (draft(message=Message("t", "5$ for you")), InvalidText, ("message", "text")),
    "an unknown place": (draft(message=Message("$nope", "t")), InvalidText, ("message", "title")),
    "an unknown tier": (draft(audience=Audience(tiers=frozenset({"x"}))), InvalidAudience, ("audience", "tiers")),
    "a balance below zero": (draft(audience=Audience(balance_min=-1)), InvalidAudience, ("audience", "balanceMin")),
    "a huge balance": (
        draft(audience=Audience(balance_max=limits.POINTS_MAX + 1)),
        InvalidAudience,
        ("audience", "balanceMax"),
    ),
    "balances that cross": (
        draft(audience=Audience(balance_min=2, balance_max=1)),
        InvalidAudience,
        ("audience", "balanceMin"),
    ),
    "activities that cross": (
        draft(audience=Audience(active_from=2, active_until=1)),
        InvalidAudience,
        ("audience", "activeFrom"),
    ),
    "joined before and after": (
        draft(audience=Audience(joined_from=2, joined_until=1)),
        InvalidAudience,
        ("audience", "joinedFrom"),
    ),
    "month 0": (draft(audience=Audience(birth_months=frozenset({0}))), InvalidAudience, ("audience", "birthMonths")),
    "month 13": (draft(audience=Audience(birth_months=frozenset({13}))), InvalidAudience, ("audience", "birthMonths")),
    "a tag with and without": (
        draft(audience=Audience(tags=frozenset({"a"}), tags_without=frozenset({"a", "b"}))),
        InvalidAudience,
        ("audience", "withoutTags"),
    ),
    "too many tags": (
        draft(audience=Audience(tags=TAGS | {"more"})),
        InvalidAudience,
        ("audience", "tags"),
    ),
    "too many places": (
        draft(audience=Audience(locations=PLACES | {"more"})),
        InvalidAudience,
        ("audience", "locations"),
    ),
    "a tag of words": (draft(audience=tagged("for you")), InvalidText, ("audience", "tags", "0")),
    "a list that is not there": (draft(audience=Audience(list_id="L")), ListNotFound, ("audience", "listId")),
    "an empty place": (draft(audience=Audience(locations=frozenset({" "}))), InvalidText, ("audience", "locations")),
    "no points": (draft(0), InvalidAward, ("award",)),
    "points to take": (draft(-5), InvalidAward, ("award",)),
    "too many points": (draft(limits.ADJUSTMENT_POINTS_MAX + 1), InvalidAward, ("award",)),
    "no segment": (draft(award=Award(())), InvalidAward, ("award",)),
    "too many segments": (
        draft(award=Award(tuple(Segment(tagged(f"t{n}"), 1) for n in range(limits.CAMPAIGN_SEGMENTS_MAX + 1)))),
        InvalidAward,
        ("award",),
    ),
    "a segment of nothing": (
        draft(award=Award((Segment(tagged("a"), 1), Segment(tagged("b"), 0)))),
        InvalidAward,
        ("award", "1"),
    ),
    "a segment twice": (
        draft(award=Award((Segment(tagged("a"), 1), Segment(tagged("a"), 2)))),
        InvalidAward,
        ("award", "1"),
    ),
    "a list of a segment": (
        draft(award=Award((Segment(Audience(list_id="L"), 1),))),
        InvalidAward,
        ("award",),
    ),
    "days and a day": (draft(validity=Validity(days=1, until=TODAY + 1)), InvalidValidity, ("validity",)),
    "no days": (draft(validity=Validity(days=0)), InvalidValidity, ("validity", "days")),
    "too many days": (
        draft(validity=Validity(days=limits.CAMPAIGN_VALID_DAYS_MAX + 1)),
        InvalidValidity,
        ("validity", "days"),
    ),
    "until today": (draft(validity=Validity(until=TODAY)), InvalidValidity, ("validity", "until")),
    "until far away": (
        draft(validity=Validity(until=TODAY + limits.CAMPAIGN_VALID_DAYS_MAX + 1)),
        InvalidValidity,
        ("validity", "until"),
    ),
    "a budget of zero points": (draft(budget=Budget(points=0)), InvalidBudget, ("budget", "pointsMax")),
    "a budget of zero members": (draft(budget=Budget(members=0)), InvalidBudget, ("budget", "membersMax")),
    "a budget below zero": (draft(budget=Budget(points=-1)), InvalidBudget, ("budget", "pointsMax")),
    "held out below zero": (draft(hold_out_percent=-1), InvalidHoldOut, ("holdOutPercent",)),
    "nearly all held out": (
        draft(hold_out_percent=limits.HOLD_OUT_PERCENT_MAX + 1),
        InvalidHoldOut,
        ("holdOutPercent",),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_where_it_stands(case: str) -> None:
    desk = Desk()
    bad, refusal, field = BAD[case]

    with desk.refuses(refusal, "input", *field):
        desk.create(bad)


@pytest.mark.parametrize(
    "good",
    [
        draft(1),
        draft(limits.ADJUSTMENT_POINTS_MAX),
        draft(name="n" * limits.NAME_LENGTH_MAX),
        draft(message=Message("t" * limits.NAME_LENGTH_MAX, "x" * limits.CAMPAIGN_TEXT_LENGTH_MAX)),
        draft(message=Message("$$5", "$points $balance $date")),
        draft(audience=Audience(balance_min=0, balance_max=0, birth_months=frozenset(range(1, 13)))),
        draft(audience=Audience(balance_max=limits.POINTS_MAX, tags=TAGS, locations=PLACES)),
        draft(validity=Validity(days=1)),
        draft(validity=Validity(days=limits.CAMPAIGN_VALID_DAYS_MAX)),
        draft(validity=Validity(until=TODAY + 1)),
        draft(validity=Validity(until=TODAY + limits.CAMPAIGN_VALID_DAYS_MAX)),
        draft(budget=Budget(points=1, members=1)),
        draft(hold_out_percent=limits.HOLD_OUT_PERCENT_MAX),
        draft(award=Award(tuple(Segment(tagged(f"t{n}"), 1) for n in range(limits.CAMPAIGN_SEGMENTS_MAX)))),
    ],
)
def test_the_bounds_themselves_are_good(good: Draft) -> None:
    assert Desk().create(good).campaign.draft == good


def test_of_several_mistakes_the_first_in_order_is_told() -> None:
    desk = Desk()
    bad = draft(
        0,
        code="",
        audience=Audience(balance_min=-1),
        validity=Validity(days=0),
        budget=Budget(points=0),
        hold_out_percent=99,
    )
    found = []
    for better in (
        {"code": "GOOD"},
        {"audience": Audience()},
        {"award": definition.fixed(1)},
        {"validity": Validity()},
        {"budget": Budget()},
        {"hold_out_percent": 0},
    ):
        with pytest.raises(Refusal) as caught:
            desk.create(bad)
        found.append(type(caught.value))
        bad = replace(bad, **better)  # type: ignore[arg-type]

    assert tuple(found) == lifecycle.CREATE_REFUSALS[:6]
    desk.create(bad)


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
    assert desk.progress(run).outcomes == {Outcome.APPLIED: 1, Outcome.OUTSIDE: 3}


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
    assert desk.find(campaign).given == (budget if budget.points else replace(budget, points=2 * points))


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


# --- pausing, going on, ending ----------------------------------------------------------------------------------------


def test_it_stops_between_two_members_and_goes_on_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_LOOK_MEMBERS", 2)
    names = names_of(0, 7)
    desk = Desk.of(*names)
    campaign = desk.launched(10)
    desk.work(desk.shards)
    (turn,) = desk.queue
    held_up = Meanwhile(desk.store, "note_due_all", lambda: desk.do(Action.PAUSE, campaign))
    work.take(replace(desk.tools, store=held_up), turn)  # type: ignore[arg-type]

    assert list(desk.given(campaign)) == names[:2], "who had begun went on until somebody looked"
    assert desk.progress(bonus_run(campaign)).done == 0
    desk.queue.clear()
    with desk.unchanged():
        work.take(desk.tools, turn)
        assert desk.look_after(is_idle=True) == []
    desk.do(Action.RESUME, campaign)
    desk.work()

    assert desk.given(campaign) == dict.fromkeys(names, 10)
    desk.audit(bonus_run(campaign))


def test_what_is_cancelled_gives_nothing_more_and_keeps_what_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    desk = Desk.of("ada", "bob", "cyd")
    campaign = desk.launched(10)
    desk.work(desk.shards + 1)
    given = desk.given(campaign)
    assert len(given) == 1

    desk.do(Action.CANCEL, campaign)
    desk.work()

    assert (desk.find(campaign).status, desk.find(campaign).ended_at) == (Status.CANCELLED, desk.now)
    assert desk.given(campaign) == given
    assert desk.campaigns.at_work() == [campaign.id], "what it gave is to be written down"


def test_a_campaign_that_was_cancelled_in_the_middle_of_a_chunk_tells_exactly_what_it_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CHUNK_LOOK_MEMBERS", 1)
    names = names_of(0, 6)
    desk = Desk.of(*names)
    campaign = desk.launched(10, budget=Budget(points=1_000))
    desk.work(desk.shards)

    class CancelledAtTheThird:
        """A store, as a worker sees it in whose middle somebody cancels."""

        appended = 0

        def __getattr__(self, name: str) -> Any:
            if name == "append":
                self.appended += 1
                if self.appended == 3:
                    desk.do(Action.CANCEL, campaign)
            return getattr(desk.store, name)

    store = CancelledAtTheThird()
    for turn in list(desk.queue):
        work.take(replace(desk.tools, store=store), turn)  # type: ignore[arg-type]
    desk.queue.clear()
    given = desk.given(campaign)
    assert 0 < len(given) < len(names)

    for _ in range(4):
        desk.look_after()
        desk.work()

    assert desk.find(campaign).settled_at is not None
    assert desk.given(campaign) == given
    assert Counter(desk.results(campaign).values()) == {
        Outcome.APPLIED: len(given),
        Outcome.STOPPED: len(names) - len(given),
    }
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=1_000 - 10 * len(given))
    assert desk.campaigns.at_work() == []
    desk.audit(bonus_run(campaign))


def test_a_cancelled_draft_is_looked_at_no_more() -> None:
    desk = Desk.of("ada")
    campaign = desk.create(draft()).campaign
    desk.do(Action.PREVIEW, campaign)

    desk.do(Action.CANCEL, campaign)
    desk.work()

    assert desk.find(campaign).preview_members is None
    assert desk.campaigns.at_work() == []


def test_it_is_completed_once_however_many_see_it_is_over() -> None:
    desk = Desk.of("ada", "bob")
    campaign = desk.completed()
    version, over_at = desk.find(campaign).version, desk.now

    desk.passes(hours=1)
    with desk.unchanged():
        assert work.complete(desk.tools, bonus_run(campaign))
        assert desk.look_after(is_idle=True) == []

    assert (desk.find(campaign).version, desk.find(campaign).ended_at) == (version, over_at)


def test_whoever_comes_by_ends_a_run_whose_last_worker_died_before_that() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()
    desk.work(desk.shards)
    died = Meanwhile(desk.campaigns, "save", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work.take(replace(desk.tools, campaigns=died), desk.queue.pop())  # type: ignore[arg-type]
    assert desk.find(campaign).status is Status.RUNNING

    assert desk.look_after(is_idle=False) == []

    assert desk.find(campaign).status is Status.COMPLETED


def test_a_silent_run_is_handed_out_again_and_one_at_work_is_not() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()
    desk.work(1)
    desk.queue.clear()

    assert desk.look_after(is_idle=True) == [], "it has moved"
    assert desk.look_after(is_idle=True, minutes=0.9) == [], "a queue counts roughly"
    assert desk.look_after(is_idle=False) == []
    handed = desk.look_after(is_idle=True)

    assert {turn.run for turn in handed} == {bonus_run(campaign)}
    desk.work()
    desk.audit(bonus_run(campaign))


def test_behind_the_turns_of_others_a_run_is_handed_out_again_now_and_then() -> None:
    """Turns that wait in a queue do not multiply, and turns that are lost are not lost for ever."""
    desk = Desk.of("ada")
    campaign = desk.launched()
    desk.queue.clear()

    silent = limits.CAMPAIGN_SILENCE_MAX // timedelta(minutes=1)
    handed = [bool(desk.look_after(is_idle=False)) for _ in range(2 * silent)]
    desk.work()

    assert [minute for minute, was in enumerate(handed, start=1) if was] == [silent, 2 * silent]
    desk.audit(bonus_run(campaign))


def test_a_silent_preview_is_handed_out_again() -> None:
    desk = Desk.of("ada")
    campaign = desk.create(draft()).campaign
    desk.do(Action.PREVIEW, campaign)
    desk.queue.clear()

    desk.look_after(is_idle=True)
    desk.work()

    assert desk.find(campaign).preview_members == 1


# --- taking back: when ------------------------------------------------------------------------------------------------


def test_after_a_cancellation_taking_back_waits_until_no_worker_can_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    first, second = names_of(0, 2)
    desk = Desk.of(first, second)
    campaign = desk.launched()
    desk.work(desk.shards + 1)
    assert desk.given(campaign) == {first: 100}
    desk.do(Action.CANCEL, campaign)
    desk.passes(minutes=1)

    changed = desk.do(Action.REVERT, campaign)
    desk.work()

    assert changed.run is None
    assert (desk.find(campaign).status, desk.balance(first)) == (Status.REVERTING, 100)
    stopped_at = changed.campaign.stopped_at
    assert stopped_at is not None
    desk.now = stopped_at + limits.CAMPAIGN_WORKER_MAX - MILLISECOND
    assert desk.look_after(is_idle=True, minutes=0) == []
    desk.now += MILLISECOND
    assert {turn.run for turn in desk.look_after(is_idle=False, minutes=0)} == {bonus_run(campaign)}
    desk.work()
    settled = desk.find(campaign)
    assert (settled.settled_at, settled.status, desk.balance(first)) == (desk.now, Status.REVERTING, 100)
    assert desk.results(settled) == {first: Outcome.APPLIED, second: Outcome.STOPPED}
    assert {turn.run for turn in desk.look_after(is_idle=False)} == {reversal_run(campaign)}
    desk.work()
    assert (desk.find(campaign).status, desk.balance(first)) == (Status.REVERTED, 0)
    assert desk.entries(campaign, EntryKind.CAMPAIGN_REVERSAL).keys() == {first}
    assert desk.outcomes(reversal_run(campaign)) == {first: Outcome.APPLIED, second: Outcome.NO_BONUS}


def test_after_completion_and_when_a_cancellation_is_settled_it_begins_at_once() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(10)
    assert desk.do(Action.REVERT, campaign).run == reversal_run(campaign)

    late = Desk.of("bob")
    gone = cancelled(late)
    late.look_after(minutes=3)
    late.work()
    assert late.find(gone).settled_at == late.now
    assert late.do(Action.REVERT, gone).run == reversal_run(gone)


def test_a_reversal_is_handed_out_again_when_it_is_silent() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed()
    desk.do(Action.REVERT, campaign)
    desk.queue.clear()

    handed = desk.look_after(is_idle=True)
    desk.work()

    assert {turn.run for turn in handed} == {reversal_run(campaign)}
    assert desk.find(campaign).reverted_at == desk.now
    assert desk.campaigns.at_work() == []
