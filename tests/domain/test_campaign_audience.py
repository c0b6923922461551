"""Whom a campaign means, and what each of them gets."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import days
from domain.accounts import Standing, State
from domain.campaigns import Action, Audience, definition
from domain.campaigns.choosing import is_held_out
from domain.campaigns.store import MemberOutcome, Run, RunKind
from domain.members import Profile
from domain.moments import Birthday
from tests.domain.campaigning import START, Desk, bonus_run, draft, names_of, segments, tagged
from tests.domain.world import (
    PROGRAM,
    at,
    block,
    buy,
    close,
    day,
    hold,
    merge,
    program,
    redeem,
    search,
    set_tier,
    unblock,
    update,
)

LADDER = {
    "metric": "points",
    "period": "calendar_year",
    "ladder": [
        {"id": "base", "name": "Base", "threshold": 0},
        {"id": "silver", "name": "Silver", "threshold": 100},
        {"id": "gold", "name": "Gold", "threshold": 1_000},
    ],
}
TIERED = program(tiers=LADDER)
TODAY = days.day_of(START, PROGRAM.zone)


def meant(desk: Desk, audience: Audience) -> set[str]:
    """The members that a preview finds."""
    campaign = desk.create(draft(1, audience=audience), key=f"c{len(desk.campaigns._campaigns)}").campaign
    desk.looked_at(campaign)
    found = desk.outcomes(Run(campaign.id, RunKind.PREVIEW))
    return {name for name, outcome in found.items() if outcome is MemberOutcome.APPLIED}


# --- one condition ----------------------------------------------------------------------------------------------------


def test_without_any_condition_everybody_is_meant() -> None:
    assert meant(Desk.of("ada", "bob"), Audience()) == {"ada", "bob"}


@pytest.mark.parametrize(
    ("tiers", "found"),
    [
        ({"base"}, {"ada"}),
        ({"silver"}, {"bob"}),
        ({"gold"}, {"cyd"}),
        ({"base", "gold"}, {"ada", "cyd"}),
        ({"base", "silver", "gold"}, {"ada", "bob", "cyd"}),
    ],
)
def test_a_tier_is_had_by_who_has_it_and_the_lowest_by_who_has_no_other(tiers: set[str], found: set[str]) -> None:
    desk = Desk.of("ada", "bob", "cyd", program=TIERED)
    buy(desk.store, "bob", 10_000, desk.now, receipt="1", program=TIERED)
    set_tier(desk.store, "cyd", "gold", desk.now, key="t", program=TIERED)

    assert meant(desk, Audience(tiers=frozenset(tiers))) == found


def test_a_tier_that_has_ended_and_is_not_booked_yet_is_had_no_more() -> None:
    desk = Desk.of("ada", program=TIERED)
    set_tier(desk.store, "ada", "gold", desk.now, key="t", program=TIERED, until="2026-03-10")
    gold = Audience(tiers=frozenset({"gold"}))
    desk.now = at("2026-03-10 23:59")
    assert meant(desk, gold) == {"ada"}

    desk.now = at("2026-03-11 00:00")

    assert meant(desk, gold) == set()
    assert meant(desk, Audience(tiers=frozenset({"base"}))) == {"ada"}


@pytest.mark.parametrize(
    ("least", "most", "found"),
    [
        (None, 0, {"ada"}),
        (0, None, {"ada", "bob"}),
        (1, None, {"bob"}),
        (50, 50, {"bob"}),
        (51, None, set()),
        (None, 49, {"ada"}),
        (None, 50, {"ada", "bob"}),
    ],
)
def test_a_balance_counts_what_can_be_spent_both_ends_included(
    least: int | None, most: int | None, found: set[str]
) -> None:
    desk = Desk.of("ada", "bob")
    buy(desk.store, "bob", 9_000, desk.now, receipt="1")
    hold(desk.store, "bob", 40, desk.now, key="h")

    assert meant(desk, Audience(balance_min=least, balance_max=most)) == found


def test_points_that_have_expired_and_are_not_booked_yet_do_not_count() -> None:
    brief = program(expiry={"days": 1, "rounding": "day"})
    desk = Desk.of("ada", program=brief)
    buy(desk.store, "ada", 5_000, desk.now, receipt="1", program=brief)
    rich = Audience(balance_min=50)
    desk.now = at("2026-03-03 23:59")
    assert meant(desk, rich) == {"ada"}

    desk.now = at("2026-03-04 00:00")

    assert desk.balance("ada") == 50, "nobody has booked it"
    assert meant(desk, rich) == set()


def test_points_that_have_matured_and_are_not_booked_yet_count() -> None:
    waiting = program(pending={"days": 1})
    desk = Desk.of("ada", program=waiting)
    buy(desk.store, "ada", 5_000, desk.now, receipt="1", program=waiting)
    rich = Audience(balance_min=50)
    assert meant(desk, rich) == set()

    desk.now = at("2026-03-03 00:00")

    assert meant(desk, rich) == {"ada"}


def test_a_home_location_is_one_of_those_named() -> None:
    desk = Desk.of("ada")
    desk.join("bob", home_location="harbor")
    desk.join("cyd", home_location="hill")

    assert meant(desk, Audience(locations=frozenset({"harbor"}))) == {"bob"}
    assert meant(desk, Audience(locations=frozenset({"harbor", "hill"}))) == {"bob", "cyd"}
    assert meant(desk, Audience(locations=frozenset({"Harbor"}))) == set()


def test_last_activity_is_a_day_of_the_programs_calendar_and_at_first_the_day_of_joining() -> None:
    desk = Desk.of("ada", "bob")
    desk.now = at("2026-03-05 23:59")
    buy(desk.store, "bob", 100, desk.now, receipt="1")
    last = day("2026-03-05")

    assert meant(desk, Audience(active_from=last)) == {"bob"}
    assert meant(desk, Audience(active_from=last + 1)) == set()
    assert meant(desk, Audience(active_until=last - 1)) == {"ada"}
    assert meant(desk, Audience(active_until=last)) == {"ada", "bob"}
    assert meant(desk, Audience(active_from=TODAY, active_until=TODAY)) == {"ada"}


def test_joining_is_a_day_of_the_programs_calendar() -> None:
    desk = Desk.of("ada")
    desk.now = at("2026-03-07 00:00")
    desk.join("bob")
    buy(desk.store, "ada", 100, desk.now, receipt="1")
    joined = day("2026-03-07")

    assert meant(desk, Audience(joined_from=joined)) == {"bob"}
    assert meant(desk, Audience(joined_until=joined - 1)) == {"ada"}
    assert meant(desk, Audience(joined_from=TODAY, joined_until=TODAY)) == {"ada"}


def test_one_tag_is_enough_and_one_that_is_ruled_out_too_much() -> None:
    desk = Desk.of("ada")
    desk.join("bob", tags=frozenset({"vip", "new"}))
    desk.join("cyd", tags=frozenset({"new"}))

    assert meant(desk, tagged("vip", "other")) == {"bob"}
    assert meant(desk, tagged("new")) == {"bob", "cyd"}
    assert meant(desk, Audience(tags_without=frozenset({"vip", "other"}))) == {"ada", "cyd"}
    assert meant(desk, Audience(tags=frozenset({"new"}), tags_without=frozenset({"vip"}))) == {"cyd"}


def test_a_birth_month_is_of_who_has_told_it() -> None:
    desk = Desk.of("ada")
    desk.join("bob", birthday=Birthday(2, 29))
    desk.join("cyd", birthday=Birthday(12, 1, 1990))

    assert meant(desk, Audience(birth_months=frozenset({2}))) == {"bob"}
    assert meant(desk, Audience(birth_months=frozenset({2, 12}))) == {"bob", "cyd"}
    assert meant(desk, Audience(birth_months=frozenset(range(1, 13)))) == {"bob", "cyd"}


# --- all of them together ---------------------------------------------------------------------------------------------

CONDITIONS: dict[str, Any] = {
    "tiers": frozenset({"silver"}),
    "balance_min": 100,
    "balance_max": 200,
    "locations": frozenset({"harbor"}),
    "active_from": 20_000,
    "active_until": 21_000,
    "joined_from": 19_000,
    "joined_until": 19_500,
    "tags": frozenset({"vip"}),
    "tags_without": frozenset({"staff"}),
    "birth_months": frozenset({5}),
}


@pytest.mark.parametrize(
    ("broken", "changes", "profile"),
    [
        ("tiers", {"standing": None}, {}),
        ("balance_min", {"buckets": {30_000: 99}}, {}),
        ("balance_max", {"buckets": {30_000: 201}}, {}),
        ("locations", {}, {"home_location": "hill"}),
        ("locations", {}, {"home_location": None}),
        ("active_from", {"marks": {"active": 19_999, "joined": 19_200}}, {}),
        ("active_until", {"marks": {"active": 21_001, "joined": 19_200}}, {}),
        ("joined_from", {"marks": {"active": 20_500, "joined": 18_999}}, {}),
        ("joined_until", {"marks": {"active": 20_500, "joined": 19_501}}, {}),
        ("tags", {}, {"tags": frozenset()}),
        ("tags_without", {}, {"tags": frozenset({"vip", "staff"})}),
        ("birth_months", {}, {"birthday": None}),
        ("birth_months", {}, {"birthday": Birthday(6, 5)}),
    ],
)
def test_all_conditions_must_hold_and_each_of_them_counts(
    broken: str, changes: dict[str, Any], profile: dict[str, Any]
) -> None:
    state = State(
        START,
        buckets={30_000: 100},
        standing=Standing("silver", 0),
        marks={"active": 20_500, "joined": 19_200},
    )
    who = Profile(START, home_location="harbor", tags=frozenset({"vip", "new"}), birthday=Birthday(5, 5))
    assert Audience(**CONDITIONS).includes(state, who, TIERED)

    other_state, other = replace(state, **changes), replace(who, **profile)

    assert not Audience(**CONDITIONS).includes(other_state, other, TIERED)
    rest = {name: value for name, value in CONDITIONS.items() if name != broken}
    assert Audience(**rest).includes(other_state, other, TIERED), "nothing else was broken"


# --- who is left out, whatever the audience ---------------------------------------------------------------------------


def test_blocked_closed_merged_and_erased_members_get_nothing_and_it_is_told_why() -> None:
    desk = Desk.of("ada", "blocked", "closed", "merged", "erased", "back")
    block(desk.store, "blocked", desk.now, key="1")
    close(desk.store, "closed", desk.now, key="2")
    merge(desk.store, "merged", "ada", desk.now, key="3")
    block(desk.store, "back", desk.now, key="4")
    unblock(desk.store, "back", desk.now, key="5")
    campaign = desk.previewed()
    assert campaign.preview_members == 3
    desk.do(Action.LAUNCH, campaign)
    del desk.store._profiles["ERASED"]
    desk.store._profiles["ERASED"] = None  # type: ignore[assignment]

    desk.work()

    assert desk.results(campaign) == {
        "ada": MemberOutcome.APPLIED,
        "back": MemberOutcome.APPLIED,
        "blocked": MemberOutcome.BLOCKED,
        "closed": MemberOutcome.CLOSED,
        "erased": MemberOutcome.GONE,
        "merged": MemberOutcome.MERGED,
    }
    assert desk.given(campaign) == {"ada": 100, "back": 100}
    desk.audit(bonus_run(campaign))


def test_a_name_in_the_directory_without_an_account_gets_nothing() -> None:
    desk = Desk.of("ada", "gone")
    campaign = desk.launched()
    del desk.store._logs["GONE"]

    desk.work()

    assert desk.results(campaign) == {"ada": MemberOutcome.APPLIED, "gone": MemberOutcome.GONE}


def test_what_counts_is_what_a_member_is_when_their_turn_comes() -> None:
    desk = Desk.of("ada", "bob")
    update(desk.store, "bob", desk.now, key="t", add_tags=["vip"])
    campaign = desk.launched(audience=tagged("vip"))

    update(desk.store, "bob", desk.now, key="u", remove_tags=["vip"])
    update(desk.store, "ada", desk.now, key="v", add_tags=["vip"])
    desk.work()

    assert desk.given(campaign) == {"ada": 100}


# --- what each gets ---------------------------------------------------------------------------------------------------


def test_by_tier_each_gets_what_theirs_gets_and_the_others_nothing() -> None:
    desk = Desk.of("ada", "bob", "cyd", program=TIERED)
    buy(desk.store, "bob", 10_000, desk.now, receipt="1", program=TIERED)
    set_tier(desk.store, "cyd", "gold", desk.now, key="t", program=TIERED)

    campaign = desk.completed(award=definition.by_tier([("base", 5), ("gold", 50)]))

    assert desk.given(campaign) == {"ada": 5, "cyd": 50}
    assert desk.results(campaign)["bob"] is MemberOutcome.OUTSIDE


def test_the_first_segment_counts_and_who_is_in_none_gets_nothing() -> None:
    desk = Desk.of("ada")
    desk.join("bob", tags=frozenset({"new"}))
    desk.join("cyd", tags=frozenset({"new", "vip"}))
    desk.join("dov", tags=frozenset({"vip"}))

    campaign = desk.completed(award=segments((tagged("vip"), 70), (tagged("new"), 20), (tagged("new", "vip"), 5)))

    assert desk.given(campaign) == {"bob": 20, "cyd": 70, "dov": 70}
    assert desk.results(campaign)["ada"] is MemberOutcome.OUTSIDE
    desk.audit(bonus_run(campaign))


def test_a_segment_is_of_the_audience_only() -> None:
    desk = Desk.of("ada")
    desk.join("bob", tags=frozenset({"vip"}))

    campaign = desk.completed(audience=tagged("vip"), award=segments((Audience(balance_max=0), 70)))

    assert desk.given(campaign) == {"bob": 70}


# --- held out ---------------------------------------------------------------------------------------------------------


def test_who_is_held_out_is_the_same_at_every_look_and_another_for_every_campaign() -> None:
    names = [*names_of(0, 60), *names_of(1, 60)]
    desk = Desk.of(*names)
    first = desk.completed(hold_out_percent=50)
    second = desk.completed(hold_out_percent=50, key="2")

    assert first.preview_members == len(desk.given(first))
    held = [
        {name for name, outcome in desk.results(each).items() if outcome is MemberOutcome.HELD_OUT}
        for each in (first, second)
    ]
    assert held[0] != held[1]
    assert all(is_held_out(first, name.upper()) for name in held[0])
    assert [len(each) + len(desk.given(campaign)) for each, campaign in zip(held, (first, second), strict=True)] == [
        120,
        120,
    ]


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 90])
def test_the_share_that_is_held_out_is_near_what_was_asked_for(percent: int) -> None:
    campaign = Desk().create(draft(hold_out_percent=percent)).campaign

    held = sum(is_held_out(campaign, f"01J{number:023}") for number in range(20_000))

    # Five standard deviations of a share of 20,000.
    assert abs(held - 200 * percent) <= 5 * (20_000 * percent / 100 * (1 - percent / 100)) ** 0.5


@search(50)
@given(st.integers(0, 90), st.integers(0, 90), st.text("ABCDEF", min_size=1, max_size=8))
def test_a_larger_share_holds_out_whoever_a_smaller_one_does(one: int, other: int, account: str) -> None:
    least, most = sorted((one, other))
    small, large = (Desk().create(draft(hold_out_percent=share)).campaign for share in (least, most))

    assert is_held_out(large, account) or not is_held_out(small, account)


def test_who_gets_nothing_anyway_is_not_held_out() -> None:
    names = [*names_of(0, 30)]
    desk = Desk.of(*names)
    for name in names[:15]:
        update(desk.store, name, desk.now, key=name, add_tags=["vip"])

    campaign = desk.completed(audience=tagged("vip"), hold_out_percent=50)

    assert all(desk.results(campaign)[name] is MemberOutcome.OUTSIDE for name in names[15:])


def test_a_redemption_in_between_is_seen_by_whoever_decides_later() -> None:
    desk = Desk.of("ada")
    buy(desk.store, "ada", 4_000, desk.now, receipt="1")
    campaign = desk.launched(audience=Audience(balance_min=40))

    redeem(desk.store, "ada", "cookie", desk.now, key="r")
    desk.work()

    assert desk.results(campaign) == {"ada": MemberOutcome.OUTSIDE}


def test_days_of_an_audience_are_not_those_of_utc() -> None:
    """23:00 in New York is the next day in Greenwich."""
    evening: datetime = at("2026-03-02 23:00")
    desk = Desk(now=evening)
    desk.join("ada")

    assert meant(desk, Audience(joined_until=day("2026-03-02"))) == {"ada"}
