"""Jurisdictions: which programs are refused where, and of what their writers are warned."""

from typing import Any

import pytest
from dateutil.relativedelta import relativedelta

from domain import days, jurisdictions, programs
from domain.documents import InvalidProgram
from domain.jurisdictions import RULES, Jurisdiction
from tests.domain.world import day, program

INACTIVE = {"policy": "inactivity", "months": 18}
GOOD: dict[str, Any] = {"expiry": INACTIVE, "notices": {"stages": [45, 7]}}
EVERYWHERE = [each.value for each in Jurisdiction]
BLUE = {"id": "blue", "name": "Blue", "threshold": 0}
GIVING = {"ladder": [BLUE, {"id": "gold", "name": "Gold", "threshold": 100, "benefits": {"birthday_points": 50}}]}


def refusal(where: str, **changes: Any) -> str | None:
    """The path at which a program is refused in a place, if it is."""
    found = program(**{**GOOD, **changes}, jurisdictions=[where])
    if not jurisdictions.broken(found, is_refused=True):
        assert programs.publishable(found) is found
        return None
    with pytest.raises(InvalidProgram, match=f"in {where}, ") as refused:
        programs.publishable(found)
    return ".".join(refused.value.field)


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize(
    ("expiry", "path"),
    [
        (INACTIVE, None),
        ({"policy": "never"}, None),
        ({}, None),
        ({"months": 24}, "expiry.policy"),
        ({"days": 3_650}, "expiry.policy"),
        ({"policy": "calendar", "dates": ["12-31"]}, "expiry.policy"),
        ({"policy": "anniversary", "months": 12}, "expiry.policy"),
    ],
)
def test_points_do_not_expire_by_time_alone(where: str, expiry: dict[str, Any], path: str | None) -> None:
    assert refusal(where, expiry=expiry) == path


@pytest.mark.parametrize("where", EVERYWHERE)
def test_nor_do_the_points_of_a_moment(where: str) -> None:
    gift = {"id": "b", "when": "birthday", "points": 5}

    assert refusal(where, moments=[{**gift, "valid_days": 60}]) == "moments"
    assert refusal(where, moments=[gift]) is None
    assert refusal(where, moments=[{**gift, "points": 0, "valid_days": 60}]) is None


@pytest.mark.parametrize("where", EVERYWHERE)
def test_nor_does_what_a_tier_gives_for_a_birthday(where: str) -> None:
    """It comes with the first moment on birthdays, and lives as long as the points of that."""
    dated = {"id": "dated", "when": "birthday", "valid_days": 30}
    first = {"id": "first", "when": "birthday"}

    assert refusal(where, tiers=GIVING, moments=[dated]) == "moments"
    assert refusal(where, tiers=GIVING, moments=[{"id": "a", "when": "anniversary", "valid_days": 30}]) is None
    assert refusal(where, tiers=GIVING, moments=[first, dated]) is None
    assert refusal(where, tiers={"ladder": [BLUE]}, moments=[dated]) is None


@pytest.mark.parametrize(
    ("expiry", "path"),
    [
        ({"months": 12}, None),
        ({"months": 11}, "expiry.months"),
        ({"days": 366}, None),
        ({"days": 365}, "expiry.months"),
        # A month may be as short as February.
        ({"months": 1, "days": 338}, None),
        ({"months": 1, "days": 336}, "expiry.months"),
        ({"months": 6, "days": 198}, None),
        ({"months": 6, "days": 197}, "expiry.months"),
    ],
)
def test_in_quebec_a_silence_lasts_a_year_at_least(expiry: dict[str, Any], path: str | None) -> None:
    assert refusal("quebec", expiry={"policy": "inactivity", **expiry}) == path
    assert refusal("ontario", expiry={"policy": "inactivity", **expiry}) is None


@pytest.mark.parametrize("months", range(13))
def test_in_quebec_the_shortest_silence_allowed_lasts_a_year_from_any_day(months: int) -> None:
    """Four years of days: every month in which a silence can begin, and both lengths of February."""
    made = [{"policy": "inactivity", "months": months, "days": count} for count in range(367)]
    shortest = next(each for each in made if (months or each["days"]) and refusal("quebec", expiry=each) is None)
    expiry = program(expiry=shortest).terms.expiry

    for active in range(day("2027-01-01"), day("2031-01-01")):
        assert days.date_of(expiry.day_for(active)) >= days.date_of(active) + relativedelta(years=1)


@pytest.mark.parametrize(
    ("stages", "path"),
    [([30], None), ([60, 7], None), ([61, 29], "notices.stages"), ([], "notices.stages"), ([90, 45], None)],
)
def test_in_quebec_members_are_told_30_to_60_days_before(stages: list[int], path: str | None) -> None:
    assert refusal("quebec", notices={"stages": stages}) == path
    assert refusal("ontario", notices={"stages": stages}) is None
    assert refusal("quebec", expiry={"policy": "never"}, notices={"stages": stages}) is None


@pytest.mark.parametrize(
    ("activities", "path"),
    [(["purchase", "redemption"], None), (["purchase", "redemption", "gift"], None), (["purchase"], "activities")],
)
def test_in_quebec_receiving_and_exchanging_are_activities(activities: list[str], path: str | None) -> None:
    assert refusal("quebec", activities=activities) == path


@pytest.mark.parametrize(
    ("activities", "path"),
    [
        (["purchase"], None),
        (["purchase", "gift"], None),
        (["redemption"], "activities"),
        (["redemption", "gift"], "activities"),
        ([], "activities"),
    ],
)
def test_in_ontario_a_purchase_is_an_activity(activities: list[str], path: str | None) -> None:
    """Otherwise what it earns has a day of its own, and expires by time alone."""
    assert refusal("ontario", activities=activities) == path
    assert refusal("ontario", activities=activities, expiry={"policy": "never"}) is None


def test_writers_are_warned_of_what_a_program_alone_does_not_show() -> None:
    gift = {"id": "b", "when": "birthday", "points": 5}
    silent = {"stages": [45], "defaults": {"reminders": False}}

    found = programs.warnings(program(**{**GOOD, "notices": silent, "moments": [gift]}, jurisdictions=EVERYWHERE))

    assert [warning.rpartition(" ")[2] for warning in found] == ["(moments)", "(moments)", "(notices.defaults)"]
    assert programs.warnings(program(**{**GOOD, "notices": silent, "moments": [gift]})) == []
    assert programs.warnings(program(**GOOD, jurisdictions=EVERYWHERE)) == []


def test_writers_are_warned_of_what_a_tier_gives_for_a_birthday() -> None:
    birthday = {"id": "b", "when": "birthday"}

    def warned(**changes: Any) -> list[str]:
        found = programs.publishable(program(**{**GOOD, **changes}, moments=[birthday], jurisdictions=EVERYWHERE))
        return [warning.rpartition(" ")[2] for warning in programs.warnings(found)]

    assert warned(tiers=GIVING) == ["(moments)", "(moments)"]
    assert warned(tiers=GIVING, expiry={"policy": "never"}) == []
    assert warned() == []


def test_a_gift_of_a_tier_that_nobody_would_get_is_warned_of() -> None:
    tiers = {"ladder": [{"id": "a", "name": "A", "threshold": 0, "benefits": {"birthday_points": 5}}]}

    assert len(programs.warnings(program(tiers=tiers))) == 1
    assert programs.warnings(program(tiers=tiers, moments=[{"id": "b", "when": "birthday"}])) == []


def test_places_are_part_of_the_document_and_an_unknown_one_is_refused() -> None:
    known = program(**GOOD, jurisdictions=["quebec", "ontario"])

    assert known.jurisdictions == (Jurisdiction.QUEBEC, Jurisdiction.ONTARIO)
    assert programs.parse(programs.document(known), version=1) == known
    for places in (["atlantis"], ["quebec", "quebec"], "quebec"):
        with pytest.raises(InvalidProgram) as refused:
            program(jurisdictions=places)
        assert refused.value.field == ("jurisdictions",)


def test_what_was_published_once_is_read_whatever_is_found_out_later() -> None:
    """A new rule must not stop the stacks that run already."""
    broken = program(expiry={"months": 1}, jurisdictions=["ontario"])

    assert programs.restored(programs.stored(broken)) == broken
    with pytest.raises(InvalidProgram):
        jurisdictions.require(broken)


def test_every_rule_can_be_broken() -> None:
    tried = [
        program(expiry={"months": 1}),
        program(moments=[{"id": "b", "when": "birthday", "points": 5, "valid_days": 5}]),
        program(
            expiry={"policy": "inactivity", "months": 1},
            activities=["gift"],
            notices={"stages": [], "defaults": {"reminders": False}},
            moments=[{"id": "b", "when": "birthday", "points": 5}],
        ),
    ]

    assert [rule.message for rule in RULES if not any(map(rule.broken, tried))] == []
    assert not any(rule.broken(program(**GOOD)) for rule in RULES)
