"""The program as a document: what is wrong with it is said with its path, and what was published keeps its versions."""

import copy
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import limits, programs
from domain.days import Rounding
from domain.documents import InvalidProgram
from domain.expiry import Expiry
from domain.programs import CampaignRules, EarningRule, Location, PointValue, Program, Reward, Terms
from storage.memory import Memory
from tests.domain.world import DOCUMENT, at, buy, enroll, head_of, program, search

FULL: dict[str, Any] = {
    **copy.deepcopy(dict(DOCUMENT)),
    "locations": [{"id": "harbor", "name": "Harbor"}, {"id": "online", "name": "Online"}],
    "expiry": {"months": 6, "days": 3, "rounding": "quarter"},
    "pending": {"days": 14},
    "campaigns": {"points_unapproved_max": 5_000},
    "point_value": {"points": 100, "amount_minor": 75, "currency": "USD"},
}


def altered(path: str, value: Any) -> dict[str, Any]:
    """The full document with `value` at a dotted path."""
    changed = copy.deepcopy(FULL)
    *way, last = path.split(".")
    spot: Any = changed
    for step in way:
        spot = spot[int(step) if isinstance(spot, list) else step]
    if value is REMOVED:
        del spot[last]
    else:
        spot[last] = value
    return changed


REMOVED = object()


def fault(document: Any) -> str:
    """The path of the fault that a document is refused for."""
    with pytest.raises(InvalidProgram) as refused:
        programs.parse(document, version=1)
    assert refused.value.message
    return ".".join(refused.value.field)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_document_is_read_whole() -> None:
    assert programs.parse(FULL, version=3) == Program(
        version=3,
        name="Bluebird Coffee",
        zone=ZoneInfo("America/New_York"),
        currencies={"USD": 100, "JPY": 1, "KWD": 1_000},
        locations=(Location("harbor", "Harbor"), Location("online", "Online")),
        terms=Terms(3, EarningRule("base", 1), Expiry(6, 3, Rounding.QUARTER), 14),
        rewards=(Reward("cookie", 3, "A cookie", 15), Reward("latte", 3, "A latte", 40, "Any milk.")),
        campaigns=CampaignRules(5_000),
        point_value=PointValue(100, 75, "USD"),
    )


def test_what_is_left_out_has_a_harmless_meaning() -> None:
    needed = ("name", "timezone", "currencies", "earning", "expiry")
    least = programs.parse({name: FULL[name] if name != "expiry" else {} for name in needed}, version=1)

    assert (least.locations, least.rewards, least.terms.pending_days) == ((), (), 0)
    assert least.terms.expiry == Expiry(0, 0, Rounding.MONTH)
    assert least.reward("cookie") is None
    assert (least.campaigns.points_unapproved_max, least.point_value) == (100_000, None)


def test_points_are_worth_what_the_document_says_in_its_first_currency_if_it_names_none() -> None:
    value = programs.parse(altered("point_value.currency", REMOVED), version=1).point_value

    assert value == PointValue(100, 75, "USD")
    yen = programs.parse(altered("point_value.currency", "JPY"), version=1).point_value
    assert yen == PointValue(100, 75, "JPY")


@pytest.mark.parametrize(
    ("points", "worth"),
    [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (100, 75), (101, 76), (-4, -3), (-1, 0), (10**15, 75 * 10**13)],
)
def test_a_part_of_a_cent_is_a_whole_one_in_the_books(points: int, worth: int) -> None:
    """A liability is never told too small; what is taken back from it is never told too large."""
    assert PointValue(100, 75, "USD").of(points) == (worth, "USD")


def test_points_may_be_worth_nothing() -> None:
    assert PointValue(1, 0, "USD").of(10**9) == (0, "USD")


texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
ids = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,8}\Z")
any_program = st.builds(
    Program,
    version=st.just(1),
    name=texts,
    zone=st.sampled_from(["UTC", "Europe/Paris", "Asia/Kathmandu"]).map(ZoneInfo),
    currencies=st.dictionaries(
        st.from_regex(r"\A[A-Z]{3}\Z"), st.sampled_from([1, 10, 100, 1_000, 10_000]), min_size=1, max_size=3
    ),
    locations=st.lists(st.builds(Location, ids, texts), max_size=3, unique_by=lambda each: each.id).map(tuple),
    terms=st.builds(
        Terms,
        version=st.just(1),
        earning=st.builds(EarningRule, ids, st.integers(0, 1_000)),
        expiry=st.builds(Expiry, st.integers(0, 1_200), st.integers(0, 36_500), st.sampled_from(Rounding)),
        pending_days=st.integers(0, 365),
    ),
    rewards=st.lists(
        st.builds(Reward, ids, st.just(1), texts, st.integers(1, 10**9), texts | st.just("")),
        max_size=4,
        unique_by=lambda each: each.id,
    ).map(tuple),
).flatmap(
    lambda program: st.builds(
        replace,
        st.just(program),
        campaigns=st.builds(CampaignRules, st.integers(0, limits.POINTS_MAX)),
        point_value=st.none()
        | st.builds(
            PointValue,
            st.integers(1, limits.ADJUSTMENT_POINTS_MAX),
            st.integers(0, limits.ADJUSTMENT_POINTS_MAX),
            st.sampled_from(sorted(program.currencies)),
        ),
    )
)


@search(150)
@given(any_program)
def test_a_program_is_what_its_document_says(program: Program) -> None:
    assert programs.parse(programs.document(program), version=1) == program


@search(60)
@given(any_program, any_program)
def test_a_published_program_comes_back_with_all_its_versions(first: Program, second: Program) -> None:
    published = programs.successor(second, first)

    assert programs.restored(programs.stored(published)) == published


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["nmae", "earning.pionts", "expiry.month", "pending.weeks", "rewards.1.price", "locations.0.tmezone", "currency"],
)
def test_a_misspelt_setting_is_found(path: str) -> None:
    assert fault(altered(path, 1)) == path


@pytest.mark.parametrize(
    "path",
    ["name", "timezone", "currencies", "earning", "earning.id", "earning.points", "expiry", "rewards.0.cost"],
)
def test_a_missing_setting_is_named(path: str) -> None:
    assert fault(altered(path, REMOVED)) == path


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("name", ["", None, 7, "x" * (limits.NAME_LENGTH_MAX + 1), "a\nb", ["x"]]),
        ("timezone", ["Europe/Atlantis", "", None, 1, "../../etc/passwd", "/etc/localtime", ["UTC"], "Europe", "a\0b"]),
        ("currencies", [{}, None, [], "USD", {"usd": 100}, {"USD": 50}, {"USD": "100"}, {"USD": 0}, {"USD": -100}]),
        ("currencies", [{"USD": 100.0}, {"USD": True}, {"USD": None}, {1: 100}, {"USD": 100, "EURO": 100}]),
        ("earning", [None, [], 5, "base"]),
        ("earning.id", ["", "Base", "a b", "-a", None, 1, "x" * 64]),
        ("earning.points", [-1, 1_001, 1.0, "1", True, None]),
        ("expiry.months", [-1, 1_201, 6.5, "6", None, False]),
        ("expiry.days", [-1, 36_501, None]),
        ("expiry.rounding", ["week", "MONTH", "", None, 3, ["month"]]),
        ("pending", [None, 14, []]),
        ("pending.days", [-1, 366, 1.5]),
        ("locations", [None, {}, "harbor", [{"id": f"l{n}", "name": "L"} for n in range(limits.PROGRAM_LIST_MAX + 1)]]),
        ("rewards", [None, {}, 5]),
        ("rewards.0", []),
        ("campaigns", [None, 100, []]),
        ("campaigns.points_unapproved_max", [-1, limits.POINTS_MAX + 1, 1.5, "9", True, None]),
        ("point_value", [None, 5, []]),
        ("point_value.points", [0, -1, limits.ADJUSTMENT_POINTS_MAX + 1, 1.0, "100", None]),
        ("point_value.amount_minor", [-1, limits.ADJUSTMENT_POINTS_MAX + 1, 0.5, None]),
        ("point_value.currency", ["EUR", "usd", "", None, 1]),
    ],
)
def test_a_wrong_value_is_named_by_its_path(path: str, values: list[Any]) -> None:
    assert [fault(altered(path, value)) for value in values] == [path] * len(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rewards.1.cost", 0),
        ("rewards.1.cost", limits.ADJUSTMENT_POINTS_MAX + 1),
        ("rewards.1.cost", "40"),
        ("rewards.1.id", "A latte"),
        ("rewards.1.name", ""),
        ("rewards.1.description", "x" * 1_001),
        ("rewards.1.description", None),
        ("locations.1.id", "Online!"),
        ("locations.1.name", 7),
    ],
)
def test_a_wrong_value_in_a_list_is_named_with_its_place(path: str, value: object) -> None:
    assert fault(altered(path, value)) == path


@pytest.mark.parametrize("document", [None, [], "name: x", 5])
def test_a_document_is_a_mapping(document: object) -> None:
    assert fault(document) == ""


@pytest.mark.parametrize("listed", ["locations", "rewards"])
def test_an_entry_of_a_list_is_a_mapping(listed: str) -> None:
    assert fault({**FULL, listed: [*FULL[listed], "tea"]}) == f"{listed}.2"


@pytest.mark.parametrize("listed", ["locations", "rewards"])
def test_an_id_is_given_once(listed: str) -> None:
    assert fault({**FULL, listed: [*FULL[listed], FULL[listed][0]]}) == listed


def test_the_bounds_themselves_are_allowed() -> None:
    for path, value in (
        ("name", "x" * limits.NAME_LENGTH_MAX),
        ("earning.points", 0),
        ("earning.points", 1_000),
        ("expiry.months", 1_200),
        ("pending.days", 365),
        ("rewards.0.cost", 1),
        ("rewards.0.cost", limits.ADJUSTMENT_POINTS_MAX),
        ("rewards", [{"id": f"r{n}", "name": "R", "cost": 1} for n in range(limits.PROGRAM_LIST_MAX)]),
        ("rewards.0.description", "x" * 1_000),
        ("earning.id", "x" * 63),
    ):
        programs.parse(altered(path, value), version=1)


def milestones(count: int) -> Program:
    """A program with so many moments, each a balance of one point more."""
    return program(
        moments=[{"id": f"m{n}", "when": "balance", "at_least": n, "points": 1} for n in range(1, count + 1)]
    )


def test_a_program_with_too_many_moments_is_not_published() -> None:
    """One operation may bring all of them, and books them in its own record."""
    allowed, many = milestones(limits.MOMENTS_MAX), milestones(limits.MOMENTS_MAX + 1)

    assert programs.publishable(allowed) is allowed
    with pytest.raises(InvalidProgram, match="at most 50") as refused:
        programs.publishable(many)
    assert refused.value.field == ("moments",)
    # What was published before there was a maximum can be read.
    assert programs.restored(programs.stored(many)) == many


def test_one_purchase_brings_every_moment_that_a_program_can_have() -> None:
    allowed, store = milestones(limits.MOMENTS_MAX), Memory()
    enroll(store, "ada", at("2026-01-02"), program=allowed)

    buy(store, "ada", 100_00, at("2026-01-10"), receipt="r", program=allowed)

    assert len(head_of(store, "ADA").entries) == 1 + limits.MOMENTS_MAX
    assert head_of(store, "ADA").state.balance == 100 + limits.MOMENTS_MAX


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=5,
)
PATHS = [
    *FULL,
    *(f"{part}.{name}" for part in ("earning", "expiry", "pending", "currencies") for name in FULL[part]),
    *(f"rewards.{index}.{name}" for index in (0, 1) for name in ("id", "name", "cost")),
    *(f"locations.{index}.{name}" for index in (0, 1) for name in ("id", "name")),
]


@search(300)
@given(st.sampled_from(PATHS), junk)
def test_junk_is_refused_or_understood_and_never_an_error(path: str, value: object) -> None:
    try:
        understood = programs.parse(altered(path, value), version=1)
    except InvalidProgram:
        return
    assert programs.parse(programs.document(understood), version=1) == understood
    assert {type(units) for units in understood.currencies.values()} == {int}


# --- one version after another ----------------------------------------------------------------------------------------


def test_the_first_program_is_what_it_says() -> None:
    program = programs.parse(FULL, version=1)

    assert programs.successor(program, None) == program


def test_whatever_did_not_change_keeps_its_version() -> None:
    first = programs.parse(FULL, version=1)
    renamed = programs.parse(altered("rewards.0.name", "Two cookies"), version=1)

    second = programs.successor(renamed, first)

    assert (second.version, second.terms.version) == (2, 1)
    assert [(reward.id, reward.version) for reward in second.rewards] == [("cookie", 2), ("latte", 1)]
    third = programs.successor(programs.parse(altered("name", "Redbird"), version=1), second)
    assert (third.version, third.terms.version) == (3, 1)
    assert [(reward.id, reward.version) for reward in third.rewards] == [("cookie", 3), ("latte", 1)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("earning.points", 2),
        ("expiry.months", 7),
        ("expiry.rounding", "year"),
        ("pending.days", 0),
        ("timezone", "Europe/Paris"),
        ("currencies", {"USD": 100}),
    ],
)
def test_new_terms_have_a_new_version(path: str, value: object) -> None:
    first = programs.parse(FULL, version=1)

    second = programs.successor(programs.parse(altered(path, value), version=1), first)

    assert (second.version, second.terms.version) == (2, 2)
    assert {reward.version for reward in second.rewards} == {1}


def test_a_reward_that_comes_back_is_a_new_version() -> None:
    first = programs.parse(FULL, version=1)
    without = programs.successor(replace(first, rewards=first.rewards[:1]), first)

    back = programs.successor(first, without)

    assert [(reward.id, reward.version) for reward in back.rewards] == [("cookie", 1), ("latte", 3)]


def test_the_order_of_rewards_is_no_change_of_theirs() -> None:
    first = programs.parse(FULL, version=1)

    turned = programs.successor(replace(first, rewards=first.rewards[::-1]), first)

    assert {reward.version for reward in turned.rewards} == {1}


def test_another_time_zone_than_the_version_before_is_warned_of() -> None:
    """Points end with a day of the program: where it ends earlier, they are gone at an instant at which they were there."""
    west, east = (program(timezone=zone) for zone in ("America/Los_Angeles", "Asia/Tokyo"))

    [warning] = programs.warnings(programs.successor(east, west), west)

    assert warning.startswith(
        "The time zone was America/Los_Angeles in the version before: where days end earlier in Asia/Tokyo, "
    )
    assert warning.endswith(" (timezone)")
    assert programs.warnings(programs.successor(program(timezone="Asia/Tokyo", name="Redbird"), east), east) == []
    assert programs.warnings(east) == []
