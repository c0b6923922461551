"""A draft: what it may say, and that it is written down once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain import days, limits
from domain.campaigns import (
    Action,
    Audience,
    Award,
    Budget,
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
)
from domain.lists import ListNotFound
from domain.refusals import IdempotencyKeyReused, InvalidText, Refusal
from tests.domain.campaigning import BOSS, START, Desk, draft, tagged
from tests.domain.world import MANAGER, program

TODAY = days.day_of(START, Desk().program.zone)
MILLISECOND = timedelta(milliseconds=1)


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
