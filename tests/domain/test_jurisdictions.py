"""Jurisdictions: which programs are refused where, and of what their writers are warned."""

from typing import Any

import pytest

from domain import jurisdictions, programs
from domain.documents import InvalidProgram
from domain.jurisdictions import RULES, Jurisdiction
from tests.domain.world import program

INACTIVE = {"policy": "inactivity", "months": 18}
GOOD: dict[str, Any] = {"expiry": INACTIVE, "notices": {"stages": [45, 7]}}
EVERYWHERE = [each.value for each in Jurisdiction]


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


@pytest.mark.parametrize(
    ("expiry", "path"),
    [
        ({"months": 12}, None),
        ({"months": 11}, "expiry.months"),
        ({"days": 366}, None),
        ({"days": 365}, "expiry.months"),
        ({"months": 6, "days": 186}, None),
        ({"months": 6, "days": 185}, "expiry.months"),
    ],
)
def test_in_quebec_a_silence_lasts_a_year_at_least(expiry: dict[str, Any], path: str | None) -> None:
    assert refusal("quebec", expiry={"policy": "inactivity", **expiry}) == path
    assert refusal("ontario", expiry={"policy": "inactivity", **expiry}) is None


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


def test_writers_are_warned_of_what_a_program_alone_does_not_show() -> None:
    gift = {"id": "b", "when": "birthday", "points": 5}
    silent = {"stages": [45], "defaults": {"reminders": False}}

    found = programs.warnings(program(**{**GOOD, "notices": silent, "moments": [gift]}, jurisdictions=EVERYWHERE))

    assert [warning.rpartition(" ")[2] for warning in found] == ["(moments)", "(moments)", "(notices.defaults)"]
    assert programs.warnings(program(**{**GOOD, "notices": silent, "moments": [gift]})) == []
    assert programs.warnings(program(**GOOD, jurisdictions=EVERYWHERE)) == []


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
