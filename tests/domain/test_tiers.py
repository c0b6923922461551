"""Tiers as members live them: reached at once, kept through the next period, lost late and a step at a time, each change told."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from domain import days, ledger, limits, programs, tiers
from domain.accounts import Origin, Standing, State
from domain.documents import InvalidProgram
from domain.entries import Entry, EntryKind
from domain.programs import Program
from domain.tiers import Progress
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    DOCUMENT,
    Interrupted,
    Stale,
    at,
    at_once,
    block,
    buy,
    close,
    day,
    enroll,
    give_back,
    head_of,
    merge,
    program,
    search,
    set_tier,
    tick,
    unblock,
    unmerge,
)

STEPS: tuple[dict[str, Any], ...] = (
    {"id": "bronze", "name": "Bronze", "threshold": 0},
    {"id": "silver", "name": "Silver", "threshold": 500},
    {"id": "gold", "name": "Gold", "threshold": 1_000},
    {"id": "platinum", "name": "Platinum", "threshold": 3_000},
)
JOINED = at("2026-01-05")
MIDNIGHT = "2026-12-31 23:59:59.999"


def tiered(*, steps: Any = STEPS, moments: Any = (), more: Any = None, **ladder: Any) -> Program:
    """The program with a ladder: calendar years, no grace and no soft landing unless it is said."""
    ladder = {"soft_landing": False, **ladder, "ladder": list(steps)}
    return program(tiers=ladder, moments=list(moments), **(more or {}))


def lifelong(**totals: int) -> tuple[dict[str, Any], ...]:
    """The steps, some of them for ever after a total."""
    return tuple({**step, **({"lifetime": totals[step["id"]]} if step["id"] in totals else {})} for step in STEPS)


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    """Ada's store: up to date, or one whose cheap reads always come late."""
    made: Memory = request.param()
    enroll(made, "ada", JOINED)
    return made


@pytest.fixture
def spend(store: Memory) -> Callable[..., Any]:
    """Spends whole dollars, each time with a receipt of its own."""
    count = iter(range(1_000_000))

    def spend(dollars: int, now: str, program: Program, *, of: str | None = None, name: str = "ada") -> Any:
        occurred = None if of is None else at(of)
        return buy(
            store, name, dollars * 100, at(now), receipt=f"r{next(count)}", program=program, occurred_at=occurred
        )

    return spend


def seen(store: Memory, now: str, program: Program, name: str = "ADA") -> State:
    return ledger.current(head_of(store, name), at(now), program).state


def tier(store: Memory, now: str, program: Program, name: str = "ADA") -> str:
    """The tier that an account has at an instant, whoever has booked what."""
    assert program.ladder
    return program.ladder.of(seen(store, now, program, name).standing).id


def until(store: Memory, now: str, program: Program) -> str | None:
    standing = seen(store, now, program).standing
    return days.date_of(standing.until).isoformat() if standing and standing.until else None


def progress(store: Memory, now: str, program: Program) -> Progress:
    assert program.ladder
    return tiers.progress(program.ladder, seen(store, now, program), days.day_of(at(now), program.zone))


def told(store: Memory, now: str, program: Program, name: str = "ADA") -> list[tuple[str, str]]:
    """Every change of a tier up to an instant: the day of the program's calendar, and the rule."""
    records = [*store._logs[name], ledger.current(head_of(store, name), at(now), program)]
    return [
        (entry.at.astimezone(program.zone).strftime("%Y-%m-%d"), entry.explanation[0].rule)
        for record in records
        for entry in record.entries
        if entry.kind is EntryKind.TIER
    ]


def tier_entries(store: Memory, name: str = "ADA") -> list[Entry]:
    return [entry for record in store._logs[name] for entry in record.entries if entry.kind is EntryKind.TIER]


# --- rising -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "last"),
    [("calendar_year", "2027-12-31"), ("rolling_12_months", "2027-06-30"), ("anniversary", "2027-12-31")],
)
@pytest.mark.parametrize("metric", ["points", "spend"])
def test_who_reaches_a_threshold_has_the_tier_at_once_and_through_the_next_period(
    store: Memory, spend: Callable[..., Any], period: str, metric: str, last: str
) -> None:
    rules = tiered(period=period, metric=metric)
    spend(499, "2026-03-01", rules)
    assert tier(store, "2026-06-10", rules) == "bronze"

    outcome = spend(1, "2026-06-10", rules)

    assert [entry.kind for entry in outcome.record.entries] == [EntryKind.PURCHASE, EntryKind.TIER]
    assert outcome.record.state.standing == Standing("silver", day(last))
    assert tier(store, f"{last} 23:59:59.999", rules) == "silver"
    after = days.date_of(day(last) + 1).isoformat()
    assert tier(store, f"{after} 00:00", rules) == "bronze"
    assert told(store, f"{after} 00:00", rules) == [
        ("2026-06-10", "tier:silver:reached"),
        (after, "tier:bronze:fallen"),
    ]


def test_visits_are_purchases_whatever_they_cost_but_nothing(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(metric="visits", steps=({**STEPS[0]}, {**STEPS[1], "threshold": 3}))
    for dollars in (1, 0, 900):
        spend(dollars, "2026-03-01", rules)
    assert tier(store, "2026-03-01", rules) == "bronze"

    spend(2, "2026-03-02", rules)

    assert tier(store, "2026-03-02", rules) == "silver"


def test_spend_counts_whole_units_of_each_order_in_every_currency(store: Memory) -> None:
    rules = tiered(
        metric="spend", steps=({**STEPS[0]}, {**STEPS[1], "threshold": 10}), more={"earning": {"id": "b", "points": 0}}
    )
    buy(store, "ada", 399, at("2026-03-01"), receipt="1", program=rules)
    buy(store, "ada", 4, at("2026-03-01"), receipt="2", program=rules, currency="JPY")
    buy(store, "ada", 2_999, at("2026-03-01"), receipt="3", program=rules, currency="KWD")
    assert progress(store, "2026-03-01", rules).amount == 3 + 4 + 2

    buy(store, "ada", 100, at("2026-03-01"), receipt="4", program=rules)

    assert tier(store, "2026-03-01", rules) == "silver"


def test_what_a_tier_adds_to_the_points_of_a_purchase_does_not_count_towards_the_next(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered(steps=(STEPS[0], {**STEPS[1], "benefits": {"multiplier_percent": 200}}, STEPS[2]))
    spend(500, "2026-03-01", rules)
    outcome = spend(300, "2026-03-02", rules)

    assert outcome.entry.points == 600
    assert outcome.entry.qualifies == ((tiers.month_of(day("2026-01-01")), 300),)
    assert tier(store, "2026-03-02", rules) == "silver"


def test_one_large_purchase_passes_tiers_by(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    spend(5_000, "2026-03-01", rules)

    assert told(store, "2026-03-01", rules) == [("2026-03-01", "tier:platinum:reached")]


def test_a_tier_and_the_bonus_for_it_come_in_the_record_of_the_purchase(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered(moments=[{"id": "up", "when": "tier_up", "points": 50}])

    outcome = spend(500, "2026-03-01", rules)

    record = outcome.record
    assert [entry.kind for entry in record.entries] == [EntryKind.PURCHASE, EntryKind.TIER, EntryKind.BONUS]
    assert record.state.balance == 550
    assert head_of(store, "ADA") == record
    books.check_due(store._logs["ADA"], store.due)
    assert (day("2027-12-31"), "ADA") in store.due


def test_the_last_instant_of_a_year_counts_for_it_and_the_first_of_the_next_does_not(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered()
    spend(499, MIDNIGHT, rules)
    spend(1, "2027-01-01 00:00", rules)
    assert tier(store, "2027-01-01 00:00", rules) == "bronze"
    assert progress(store, "2027-01-01 00:00", rules).amount == 1

    # The till was offline.
    spend(1, "2027-01-01 00:01", rules, of=MIDNIGHT)

    assert (tier(store, "2027-01-01 00:01", rules), until(store, "2027-01-01 00:01", rules)) == ("silver", "2027-12-31")


@pytest.mark.parametrize(("zone", "month"), [("America/Sao_Paulo", "2018-11"), ("Africa/Cairo", "2024-05")])
def test_a_period_ends_at_the_programs_midnight_also_where_clocks_change(zone: str, month: str) -> None:
    """Both countries have turned their clocks at midnight; what counts is the date their calendar shows."""
    store = Memory()
    rules = tiered(period="rolling_12_months", more={"timezone": zone}, steps=(STEPS[0], {**STEPS[1], "threshold": 10}))
    first = at(f"{month}-01 00:00", rules.zone)
    enroll(store, "ada", first - timedelta(days=40))
    buy(store, "ada", 1_000, first - timedelta(milliseconds=1), receipt="1", program=rules)
    standing = head_of(store, "ADA").state.standing
    assert standing
    last = days.end_of(standing.until, rules.zone)

    assert last.astimezone(rules.zone).strftime("%d %H:%M") in ("01 00:00", "01 01:00")
    assert ledger.current(head_of(store, "ADA"), last - timedelta(milliseconds=1), rules).state.standing == standing
    assert ledger.current(head_of(store, "ADA"), last, rules).state.standing is None


def test_membership_years_begin_on_the_first_of_the_month_of_joining(spend: Callable[..., Any], store: Memory) -> None:
    rules = tiered(period="anniversary")
    enroll(store, "leap", at("2024-02-29"))
    spend(300, "2024-12-30", rules, name="leap")
    spend(100, "2025-01-31 23:59:59.999", rules, name="leap")
    spend(150, "2025-02-01 00:00", rules, name="leap")
    assert tier(store, "2025-02-02", rules, "LEAP") == "bronze"

    spend(350, "2025-02-02", rules, name="leap")

    standing = seen(store, "2025-02-02", rules, "LEAP").standing
    assert standing == Standing("silver", day("2027-01-31"))
    assert tier(store, "2027-01-31", rules, "LEAP") == "silver"
    assert tier(store, "2027-02-01 00:00", rules, "LEAP") == "bronze"


def test_a_rolling_year_is_twelve_months_wherever_they_begin(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(period="rolling_12_months")
    spend(300, "2026-04-30", rules)
    spend(199, "2027-03-01", rules)
    assert progress(store, "2027-03-31", rules).amount == 499
    assert progress(store, "2027-04-01 00:00", rules).amount == 199
    spend(300, "2027-04-01", rules)
    assert tier(store, "2027-04-01", rules) == "bronze" or pytest.fail("April 2026 is not among them any more")

    spend(1, "2027-04-02", rules)

    assert (tier(store, "2027-04-02", rules), until(store, "2027-04-02", rules)) == ("silver", "2028-04-30")


def test_a_late_receipt_of_last_year_counts_for_last_year(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    spend(400, "2026-12-01", rules)
    spend(300, "2027-01-10", rules, of="2026-12-24")

    assert (tier(store, "2027-01-10", rules), until(store, "2027-01-10", rules)) == ("silver", "2027-12-31")
    assert progress(store, "2027-01-10", rules).amount == 0


def test_a_late_receipt_counts_in_every_rolling_year_since(store: Memory, spend: Callable[..., Any]) -> None:
    """May and August came to 500 together while the receipt of April was on its way; the year to August reached gold with it."""
    rules = tiered(period="rolling_12_months")
    spend(200, "2026-05-10", rules)
    spend(400, "2026-08-10", rules)

    spend(400, "2027-05-20", rules, of="2026-04-20")

    assert (tier(store, "2027-05-20", rules), until(store, "2027-05-20", rules)) == ("gold", "2027-08-31")


def test_what_would_be_over_by_now_does_not_come_any_more(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(period="rolling_12_months")
    spend(600, "2027-02-20", rules, of="2026-01-20")

    assert told(store, "2027-02-20", rules) == []


# --- keeping and falling ----------------------------------------------------------------------------------------------


def test_reaching_a_tier_again_in_the_next_year_keeps_it_through_the_one_after(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered()
    spend(600, "2026-03-01", rules)
    spend(499, "2027-03-01", rules)
    assert until(store, "2027-03-01", rules) == "2027-12-31"

    spend(1, "2027-03-02", rules)
    spend(500, "2027-03-03", rules)
    spend(1, "2027-03-04", rules)

    assert told(store, "2027-12-31", rules) == [
        ("2026-03-01", "tier:silver:reached"),
        ("2027-03-02", "tier:silver:kept"),
        ("2027-03-03", "tier:gold:reached"),
    ]
    assert until(store, "2027-03-04", rules) == "2028-12-31"


def test_what_follows_a_tier_is_what_was_reached_in_the_year_that_ended(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered()
    spend(3_000, "2026-03-01", rules)
    spend(600, "2027-03-01", rules)

    assert tier(store, "2027-12-31 23:59:59.999", rules) == "platinum"
    assert (tier(store, "2028-01-01 00:00", rules), until(store, "2028-01-01", rules)) == ("silver", "2028-12-31")
    assert told(store, "2029-01-01 00:00", rules)[1:] == [
        ("2028-01-01", "tier:silver:fallen"),
        ("2029-01-01", "tier:bronze:fallen"),
    ]


def test_a_soft_landing_is_one_step_a_year(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(soft_landing=True)
    spend(3_000, "2026-03-01", rules)

    assert told(store, "2031-06-01", rules) == [
        ("2026-03-01", "tier:platinum:reached"),
        ("2028-01-01", "tier:gold:fallen"),
        ("2029-01-01", "tier:silver:fallen"),
        ("2030-01-01", "tier:bronze:fallen"),
    ]
    assert seen(store, "2031-06-01", rules).standing is None


def test_a_soft_landing_is_no_lower_than_what_was_reached(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(soft_landing=True)
    spend(1_000, "2026-03-01", rules)
    spend(600, "2027-03-01", rules)
    spend(400, "2028-03-01", rules)

    assert tier(store, "2028-03-01", rules) == "silver"
    # 400 in 2028 are not enough for silver; bronze is the next lower one.
    assert tier(store, "2029-01-01 00:00", rules) == "bronze"


@pytest.mark.parametrize(
    ("grace", "last"), [(0, "2027-12-31"), (1, "2028-01-01"), (limits.TIER_GRACE_DAYS_MAX, "2028-06-28")]
)
def test_a_grace_is_for_whoever_is_late(store: Memory, spend: Callable[..., Any], grace: int, last: str) -> None:
    rules = tiered(grace_days=grace)
    spend(1_000, "2026-03-01", rules)
    assert until(store, "2026-03-01", rules) == last
    if grace:
        # What is reached in the grace is reached in the year that runs then.
        spend(1_000, f"{last} 23:59:59.999", rules)
        assert told(store, f"{last} 23:59:59.999", rules)[-1] == (last, "tier:gold:kept")
        assert until(store, last, rules) == days.date_of(day("2029-12-31") + grace).isoformat()
    else:
        assert tier(store, "2028-01-01 00:00", rules) == "bronze"


def test_a_soft_landing_after_a_grace_lasts_as_long_as_what_was_earned_in_the_year_that_ended(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered(grace_days=31, soft_landing=True)
    spend(1_000, "2026-03-01", rules)

    assert told(store, "2028-02-01 00:00", rules)[-1] == ("2028-02-01", "tier:silver:fallen")
    assert until(store, "2028-02-01 00:00", rules) == "2029-01-31"


def test_months_that_brought_a_tier_do_not_count_again_for_keeping_it(store: Memory, spend: Callable[..., Any]) -> None:
    """A thousand dollars in June are gold for a year, and not for two because of a coffee next May."""
    rules = tiered(period="rolling_12_months")
    spend(1_000, "2026-06-15", rules)
    spend(3, "2027-05-15", rules)
    assert until(store, "2027-05-15", rules) == "2027-06-30"
    assert progress(store, "2027-05-15", rules).to_keep == 997

    spend(997, "2027-06-30", rules)

    assert told(store, "2027-06-30", rules)[-1] == ("2027-06-30", "tier:gold:kept")
    assert until(store, "2027-06-30", rules) == "2028-06-30"


def test_after_a_rolling_year_the_twelve_months_that_ended_decide(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(period="rolling_12_months", grace_days=limits.TIER_GRACE_DAYS_MAX)
    spend(1_000, "2026-06-15", rules)
    for month in range(7, 13):
        spend(80, f"2026-{month:02d}-15", rules)
    for month in range(1, 13):
        spend(10, f"2027-{month:02d}-10", rules)
    assert until(store, "2027-12-10", rules) == "2027-12-27"

    # 540 from July to June; from August to July it is less than 500.
    assert (tier(store, "2027-12-28 00:00", rules), until(store, "2027-12-28", rules)) == ("silver", "2028-12-27")


# --- for ever, and by staff -------------------------------------------------------------------------------------------


def test_a_lifetime_tier_is_for_ever_whatever_comes_back_later(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(steps=lifelong(gold=1_500))
    spend(900, "2026-03-01", rules)
    spend(900, "2027-03-01", rules)
    assert seen(store, "2027-03-01", rules).standing == Standing("gold", 0, Origin.LIFETIME)
    assert progress(store, "2027-03-01", rules).valid_until is None

    give_back(store, "r1", at("2027-03-02"), key="all", program=rules, terms=rules.terms)

    assert tier(store, "2099-01-01", rules) == "gold"
    assert told(store, "2099-01-01", rules) == [
        ("2026-03-01", "tier:silver:reached"),
        ("2027-03-01", "tier:gold:reached"),
    ]


def test_a_lifetime_tier_is_behind_a_higher_one_that_ends(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(steps=lifelong(gold=1_500))
    spend(1_500, "2026-03-01", rules)
    spend(1_500, "2026-04-01", rules)
    give_back(store, "r0", at("2026-05-01"), key="all", program=rules, terms=rules.terms)

    assert seen(store, "2026-05-01", rules).standing == Standing(
        "platinum", day("2027-12-31"), then=Standing("gold", 0, Origin.LIFETIME)
    )
    assert told(store, "2040-01-01", rules)[-1] == ("2028-01-01", "tier:gold:fallen")


def test_an_earned_tier_becomes_one_for_ever(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(steps=lifelong(silver=1_200))
    spend(700, "2026-03-01", rules)
    spend(499, "2027-03-01", rules)
    assert progress(store, "2027-03-01", rules).to_keep == 1

    spend(1, "2027-03-02", rules)

    assert told(store, "2050-01-01", rules)[-1] == ("2027-03-02", "tier:silver:lifetime")
    assert tier(store, "2050-01-01", rules) == "silver"


def test_staff_give_a_tier_through_a_day_and_what_was_earned_is_there_behind_it(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered(soft_landing=True)
    spend(600, "2026-03-01", rules)
    outcome = set_tier(store, "ada", "platinum", at("2026-04-01"), key="k", program=rules, until="2026-06-30")

    entry = outcome.entry
    assert (entry.kind, entry.actor, entry.reason) == (EntryKind.TIER, "s.grace", "GOODWILL")
    assert entry.explanation[0].rule == "tier:platinum:set"
    assert (day("2026-06-30"), "ADA") in store.due
    assert tier(store, "2026-06-30 23:59:59.999", rules) == "platinum"
    # No soft landing from what was given: silver was earned, to the end of 2027.
    assert (tier(store, "2026-07-01 00:00", rules), until(store, "2026-07-01", rules)) == ("silver", "2027-12-31")
    assert told(store, "2026-07-01", rules)[-1] == ("2026-07-01", "tier:silver:fallen")


def test_a_tier_from_staff_without_an_end_stays(store: Memory) -> None:
    rules = tiered()
    set_tier(store, "ada", "gold", at("2026-04-01"), key="k", program=rules)

    assert tier(store, "2099-04-01", rules) == "gold"
    assert (progress(store, "2026-04-01", rules).to_keep, progress(store, "2026-04-01", rules).valid_until) == (
        None,
        None,
    )


def test_who_earns_a_higher_tier_than_staff_gave_has_it_at_once_and_the_gift_behind_it(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered()
    set_tier(store, "ada", "silver", at("2026-02-01"), key="k", program=rules, until="2030-03-31")
    spend(1_000, "2026-03-01", rules)

    assert told(store, "2030-04-01 00:00", rules) == [
        ("2026-02-01", "tier:silver:set"),
        ("2026-03-01", "tier:gold:reached"),
        ("2028-01-01", "tier:silver:fallen"),
        ("2030-04-01", "tier:bronze:fallen"),
    ]


def test_a_tier_that_staff_took_away_comes_back_when_a_threshold_is_reached_that_was_not(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered()
    spend(1_200, "2026-03-01", rules)
    set_tier(store, "ada", "bronze", at("2026-04-01"), key="k", program=rules)
    assert tier(store, "2026-04-01", rules) == "bronze"
    spend(100, "2026-05-01", rules)
    assert tier(store, "2026-05-01", rules) == "bronze"
    shown = progress(store, "2026-05-01", rules)
    assert shown.next
    assert (shown.next.id, shown.to_next) == ("platinum", 1_700)

    spend(500, "2027-01-02", rules)

    assert tier(store, "2027-01-02", rules) == "silver"


def test_a_tier_that_staff_took_away_for_a_while_is_there_again(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    spend(1_200, "2026-03-01", rules)
    set_tier(store, "ada", "silver", at("2026-04-01"), key="k", program=rules, until="2026-04-30")

    assert tier(store, "2026-04-30", rules) == "silver"
    assert told(store, "2026-05-01 00:00", rules)[-1] == ("2026-05-01", "tier:gold:resumed")
    assert until(store, "2026-05-01 00:00", rules) == "2027-12-31"


def test_taking_away_what_was_only_given_leaves_nothing_behind(store: Memory) -> None:
    rules = tiered()
    set_tier(store, "ada", "gold", at("2026-04-01"), key="1", program=rules)
    set_tier(store, "ada", "bronze", at("2026-04-02"), key="2", program=rules)

    assert seen(store, "2026-04-02", rules).standing is None


def test_a_given_tier_is_kept_by_earning_it(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    set_tier(store, "ada", "silver", at("2026-04-01"), key="k", program=rules, until="2026-12-31")
    assert progress(store, "2026-05-01", rules).to_keep == 500

    spend(500, "2026-05-01", rules)

    assert told(store, "2026-05-01", rules)[-1] == ("2026-05-01", "tier:silver:kept")
    assert until(store, "2026-05-01", rules) == "2027-12-31"


# --- returns ----------------------------------------------------------------------------------------------------------


def test_a_return_takes_back_what_counted_and_never_the_tier_within_its_time(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered()
    spend(600, "2026-03-01", rules)
    give_back(store, "r0", at("2026-03-02"), key="all", program=rules, terms=rules.terms)

    assert progress(store, "2026-03-02", rules).amount == 0
    assert seen(store, "2026-03-02", rules).qualifying == {}
    assert tier(store, "2027-12-31 23:59:59.999", rules) == "silver"
    assert tier(store, "2028-01-01 00:00", rules) == "bronze"


@pytest.mark.parametrize("parts", [[60_000], [1, 59_999], [20_000] * 3, [33_333, 13_337, 13_330]])
@pytest.mark.parametrize("metric", ["points", "spend", "visits"])
def test_any_number_of_partial_returns_counts_as_one(store: Memory, parts: list[int], metric: str) -> None:
    rules = tiered(metric=metric)
    buy(store, "ada", 60_000, at("2026-03-01"), receipt="r0", program=rules)
    buy(store, "ada", 200, at("2026-03-01"), receipt="r1", program=rules)
    before = progress(store, "2026-03-01", rules).amount
    for number, part in enumerate(parts[:-1]):
        give_back(store, "r0", at("2026-03-02"), key=str(number), amount=part, program=rules, terms=rules.terms)
        left = progress(store, "2026-03-02", rules).amount
        assert left >= before - (sum(parts[: number + 1]) // 100 if metric != "visits" else 0)

    give_back(store, "r0", at("2026-03-02"), key="last", amount=parts[-1], program=rules, terms=rules.terms)

    assert progress(store, "2026-03-02", rules).amount == (1 if metric == "visits" else 2)


def test_what_was_returned_has_to_be_earned_again_to_keep_the_tier(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    spend(600, "2026-03-01", rules)
    spend(400, "2027-03-01", rules)
    assert progress(store, "2027-03-01", rules).to_keep == 100

    give_back(store, "r1", at("2027-03-02"), key="half", amount=20_000, program=rules, terms=rules.terms)

    assert progress(store, "2027-03-02", rules).to_keep == 300


def test_a_return_takes_back_from_the_year_of_its_purchase(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    spend(600, "2026-12-20", rules)
    spend(300, "2027-01-02", rules)

    give_back(store, "r0", at("2027-01-03"), key="all", program=rules, terms=rules.terms)

    assert progress(store, "2027-01-03", rules).amount == 300


# --- other ladders ----------------------------------------------------------------------------------------------------


def test_a_tier_that_was_renamed_keeps_its_members(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    spend(1_000, "2026-03-01", rules)
    renamed = tiered(steps=(*STEPS[:2], {**STEPS[2], "id": "gilded", "name": "Gilded", "formerly": ["gold"]}, STEPS[3]))

    assert tier(store, "2026-03-02", renamed) == "gilded"
    assert told(store, "2028-01-01 00:00", renamed)[-1] == ("2028-01-01", "tier:bronze:fallen")


def test_who_has_a_tier_that_is_gone_has_the_lowest_and_rises_by_what_counts(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered()
    spend(1_000, "2026-03-01", rules)
    without = tiered(steps=(*STEPS[:2], STEPS[3]))
    shown = progress(store, "2026-03-02", without)
    assert (shown.tier.id, shown.valid_until, shown.to_keep) == ("bronze", None, None)

    spend(1, "2026-03-02", without)

    assert tier(store, "2026-03-02", without) == "silver"


def test_a_lower_threshold_is_for_everybody_with_their_next_purchase(store: Memory, spend: Callable[..., Any]) -> None:
    spend(400, "2026-03-01", tiered())
    easier = tiered(steps=(STEPS[0], {**STEPS[1], "threshold": 300}))
    assert tier(store, "2026-03-02", easier) == "bronze"
    assert progress(store, "2026-03-02", easier).to_next == 1

    spend(1, "2026-03-02", easier)

    assert tier(store, "2026-03-02", easier) == "silver"


def test_a_higher_threshold_takes_no_tier_away_before_its_day(store: Memory, spend: Callable[..., Any]) -> None:
    spend(500, "2026-03-01", tiered())
    harder = tiered(steps=(STEPS[0], {**STEPS[1], "threshold": 900}))
    spend(1, "2026-03-02", harder)

    assert tier(store, "2027-12-31 23:59:59.999", harder) == "silver"
    assert tier(store, "2028-01-01 00:00", harder) == "bronze"


def test_points_are_no_visits_when_a_program_counts_something_else(store: Memory, spend: Callable[..., Any]) -> None:
    """And what was counted is there again when it counts points again, less what has come back."""
    points = tiered(steps=lifelong(platinum=5_000))
    spend(400, "2026-03-01", points)
    visits = tiered(metric="visits", steps=(STEPS[0], {**STEPS[1], "threshold": 2}, {**STEPS[3], "lifetime": 300}))
    assert progress(store, "2026-03-02", visits).amount == 0
    spend(1, "2026-03-02", visits)
    give_back(store, "r0", at("2026-03-03"), key="half", amount=10_000, program=visits, terms=visits.terms)
    assert tier(store, "2026-03-03", visits) == "bronze"

    spend(1, "2026-03-03", visits)

    assert tier(store, "2026-03-03", visits) == "silver"
    assert progress(store, "2026-03-03", points).amount == 300


def test_a_program_may_go_over_to_rolling_years_and_back(store: Memory, spend: Callable[..., Any]) -> None:
    yearly, rolling = tiered(), tiered(period="rolling_12_months")
    spend(300, "2026-03-01", yearly)
    spend(100, "2026-05-01", rolling)
    assert progress(store, "2026-05-01", rolling).amount == 400
    assert progress(store, "2026-05-01", yearly).amount == 400


def test_a_ladder_that_is_taken_away_stands_still(store: Memory, spend: Callable[..., Any]) -> None:
    rules, without = tiered(), program()
    spend(500, "2026-03-01", rules)
    spend(900, "2028-06-01", without)

    assert told(store, "2028-06-01", without) == [("2026-03-01", "tier:silver:reached")]
    # Published again, it catches up at the instant of the last booking, for time does not run backwards.
    assert told(store, "2028-06-02", rules)[-1] == ("2028-06-01", "tier:bronze:fallen")


@pytest.mark.parametrize(
    ("kind", "grace", "more"),
    [
        ("calendar_year", (0, 180), 180),
        ("calendar_year", (180, 0), 0),
        ("calendar_year", (30, 31), 1),
        ("anniversary", (31, 30), 0),
        ("rolling_12_months", (180, 0), 0),
    ],
)
def test_a_longer_grace_is_added_on_the_last_day_and_a_shorter_one_takes_no_day_away(
    store: Memory, spend: Callable[..., Any], grace: tuple[int, int], more: int, kind: str
) -> None:
    before, after = (tiered(grace_days=days_, period=kind, soft_landing=True) for days_ in grace)
    spend(1_000, "2026-03-01", before)
    last = until(store, "2026-03-01", before)
    assert last
    assert until(store, last, after) == last

    ends = days.date_of(day(last) + 1 + more).isoformat()

    *kept, fallen = told(store, ends, after)[1:]
    assert [rule for _, rule in kept] == (["tier:gold:kept"] if more else [])
    assert fallen == (ends, "tier:silver:fallen")


def ladder_of(*steps: dict[str, Any], **more: Any) -> None:
    programs.parse({**DOCUMENT, "tiers": {**more, "ladder": list(steps)}}, version=1)


def step(id_: str, threshold: int, **more: Any) -> dict[str, Any]:
    return {"id": id_, "name": id_.title(), "threshold": threshold, **more}


def test_a_ladder_has_one_to_ten_tiers() -> None:
    ladder_of(step("only", 0))
    ladder_of(*(step(f"t{number}", number) for number in range(limits.TIERS_MAX)))

    for steps in ([], [step(f"t{number}", number) for number in range(limits.TIERS_MAX + 1)]):
        with pytest.raises(InvalidProgram) as caught:
            ladder_of(*steps)
        assert caught.value.field == ("tiers", "ladder")


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([step("a", 1)], ("tiers", "ladder")),
        ([step("a", 0, lifetime=10)], ("tiers", "ladder")),
        ([step("a", 0), step("b", 0)], ("tiers", "ladder")),
        ([step("a", 0), step("b", 20), step("c", 20)], ("tiers", "ladder")),
        ([step("a", 0), step("b", 20), step("c", 10)], ("tiers", "ladder")),
        ([step("a", 0), step("b", 20, lifetime=90), step("c", 30, lifetime=90)], ("tiers", "ladder")),
        ([step("a", 0), step("a", 20)], ("tiers", "ladder")),
        ([step("a", 0), step("b", 20, formerly=["a"])], ("tiers", "ladder")),
        ([step("a", 0), step("b", 20, formerly=["c", "c"])], ("tiers", "ladder", "1", "formerly")),
        ([step("a", 0), step("b", -5)], ("tiers", "ladder", "1", "threshold")),
        ([step("a", 0), step("b", 20, lifetime=0)], ("tiers", "ladder", "1", "lifetime")),
        (
            [step("a", 0, benefits={"multiplier_percent": 99})],
            ("tiers", "ladder", "0", "benefits", "multiplier_percent"),
        ),
        ([step("a", 0, benefits={"free_coffee": 1})], ("tiers", "ladder", "0", "benefits", "free_coffee")),
        ([step("a", 0, color="gold")], ("tiers", "ladder", "0", "color")),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused_with_the_place(
    steps: list[dict[str, Any]], field: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidProgram) as caught:
        ladder_of(*steps)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"metric": "stars"}, "metric"),
        ({"period": "fortnight"}, "period"),
        ({"grace_days": 181}, "grace_days"),
        ({"grace_days": -1}, "grace_days"),
        ({"soft_landing": "yes"}, "soft_landing"),
    ],
)
def test_a_ladder_has_known_settings(more: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidProgram) as caught:
        ladder_of(step("a", 0), **more)

    assert caught.value.field == ("tiers", name)


def test_a_ladder_is_written_down_as_it_was_read() -> None:
    rules = tiered(
        metric="visits",
        period="anniversary",
        grace_days=9,
        steps=(
            STEPS[0],
            {
                **STEPS[1],
                "lifetime": 9_000,
                "formerly": ["tin"],
                "benefits": {
                    "multiplier_percent": 125,
                    "extra_months": 6,
                    "early_access_days": 7,
                    "birthday_points": 50,
                },
            },
        ),
    )

    assert programs.parse(programs.document(rules), version=1) == rules


# --- blocked, closed, merged ------------------------------------------------------------------------------------------


def test_a_blocked_account_reaches_nothing_and_its_time_runs_on(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    spend(500, "2026-03-01", rules)
    block(store, "ada", at("2027-02-01"), key="b")
    spend(1_000, "2027-03-01", rules)

    assert progress(store, "2027-03-01", rules).amount == 0
    assert tier(store, "2028-01-01 00:00", rules) == "bronze"
    unblock(store, "ada", at("2028-02-01"), key="u")
    spend(500, "2028-02-02", rules)
    assert tier(store, "2028-02-02", rules) == "silver"


def test_with_a_membership_its_tier_ends(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    spend(500, "2026-03-01", rules)
    close(store, "ada", at("2026-03-02"), key="c")

    assert seen(store, "2030-01-01", rules).standing is None
    assert told(store, "2030-01-01", rules) == [("2026-03-01", "tier:silver:reached")]


def test_of_two_accounts_that_become_one_the_better_tier_stays_and_what_lasts_longer_behind_it(
    store: Memory, spend: Callable[..., Any]
) -> None:
    rules = tiered()
    enroll(store, "dup", JOINED)
    spend(1_000, "2026-03-01", rules, name="dup")
    set_tier(store, "ada", "silver", at("2026-03-01"), key="k", program=rules, until="2029-06-30")

    merge(store, "dup", "ada", at("2026-04-01"), key="m", program=rules)

    gold = Standing("gold", day("2027-12-31"), then=Standing("silver", day("2029-06-30"), Origin.MANUAL))
    assert seen(store, "2026-04-01", rules).standing == gold
    assert tier(store, "2028-01-01 00:00", rules) == "silver"
    # The duplicate's log ends with the merge.
    assert told(store, "2030-01-01", rules, "DUP") == [("2026-03-01", "tier:gold:reached")]


def test_what_two_accounts_have_together_may_reach_a_tier(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(period="anniversary")
    enroll(store, "dup", at("2026-02-20"))
    spend(300, "2026-03-01", rules)
    spend(300, "2026-03-01", rules, name="dup")

    merge(store, "ada", "dup", at("2026-04-01"), key="m", program=rules)

    # Their years begin with the month in which the first of them joined.
    assert seen(store, "2026-04-01", rules, "DUP").standing == Standing("silver", day("2027-12-31"))
    assert told(store, "2026-04-01", rules, "DUP") == [("2026-04-01", "tier:silver:reached")]


def test_a_merge_that_is_undone_takes_its_tier_back(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered(steps=lifelong(platinum=1_600))
    enroll(store, "dup", JOINED)
    spend(1_000, "2026-03-01", rules, name="dup")
    spend(550, "2026-03-01", rules)
    merge(store, "dup", "ada", at("2026-04-01"), key="m", program=rules)
    assert tier(store, "2026-04-01", rules) == "gold"

    unmerge(store, "dup", at("2026-04-10"), key="u", program=rules)

    assert (tier(store, "2026-04-10", rules), tier(store, "2026-04-10", rules, "DUP")) == ("silver", "gold")
    assert told(store, "2026-04-10", rules)[-1] == ("2026-04-10", "tier:silver:unmerged")
    assert (progress(store, "2026-04-10", rules).amount, progress(store, "2026-04-10", rules).to_next) == (550, 450)
    # What each has had in all the time is their own again.
    spend(100, "2026-04-11", rules)
    assert tier(store, "2026-04-11", rules) == "silver"
    books.check_all(store._logs, rules.zone)


def test_what_came_of_it_since_a_merge_stays_when_it_is_undone(store: Memory, spend: Callable[..., Any]) -> None:
    rules = tiered()
    enroll(store, "dup", JOINED)
    spend(1_000, "2026-03-01", rules, name="dup")
    merge(store, "dup", "ada", at("2026-04-01"), key="m", program=rules)
    set_tier(store, "ada", "platinum", at("2026-04-02"), key="k", program=rules)

    unmerge(store, "dup", at("2026-04-10"), key="u", program=rules)

    assert tier(store, "2026-04-10", rules) == "platinum"


# --- retries and races ------------------------------------------------------------------------------------------------


def test_a_purchase_that_is_sent_again_reaches_nothing_again(store: Memory) -> None:
    rules = tiered()
    first = buy(store, "ada", 60_000, at("2026-03-01"), receipt="1", program=rules, occurred_at=at("2026-03-01"))

    again = buy(store, "ada", 60_000, at("2026-03-02"), receipt="1", program=rules, occurred_at=at("2026-03-01"))

    assert (again.replayed, again.record) == (True, first.record)
    assert len(tier_entries(store)) == 1


def test_many_purchases_at_once_reach_a_tier_once() -> None:
    rules = tiered()
    store = Memory()
    enroll(store, "ada", JOINED)

    def one(number: int) -> Callable[[], object]:
        return lambda: buy(store, "ada", 5_000, at("2026-03-01"), receipt=str(number), program=rules)

    answers = at_once([one(number) for number in range(24)])

    assert not [each for each in answers if isinstance(each, Exception)]
    assert [entry.explanation[0].rule for entry in tier_entries(store)] == ["tier:silver:reached", "tier:gold:reached"]
    assert head_of(store, "ADA").state.qualifying == {tiers.month_of(day("2026-01-01")): 1_200}
    books.check(store._logs["ADA"], rules.zone)


def test_a_purchase_that_loses_to_the_one_that_reaches_the_tier_is_decided_with_it() -> None:
    rules = tiered(steps=(STEPS[0], {**STEPS[1], "benefits": {"multiplier_percent": 200}}))
    store = Interrupted()
    enroll(store, "ada", JOINED)
    store.before_append.append(lambda: buy(store, "ada", 50_000, at("2026-03-01"), receipt="first", program=rules))

    outcome = buy(store, "ada", 1_000, at("2026-03-01"), receipt="second", program=rules)

    assert outcome.entry.points == 20
    assert len(tier_entries(store)) == 1


def test_a_review_is_booked_once_however_many_jobs_come() -> None:
    rules = tiered(soft_landing=True)
    store = Memory()
    enroll(store, "ada", JOINED)
    buy(store, "ada", 100_000, at("2026-03-01"), receipt="1", program=rules)
    now = at("2029-03-01")

    at_once([lambda: tick(store, "ADA", now=now, program=rules) for _ in range(8)])

    assert [(entry.at, entry.explanation[0].rule) for entry in tier_entries(store)][1:] == [
        (at("2028-01-01 00:00"), "tier:silver:fallen"),
        (at("2029-01-01 00:00"), "tier:bronze:fallen"),
    ]
    assert tick(store, "ADA", now=now, program=rules) is None


def test_points_that_expire_with_the_day_a_tier_ends_go_first() -> None:
    rules = tiered(more={"expiry": {"policy": "calendar", "dates": ["12-31"], "months": 12}})
    store = Memory()
    enroll(store, "ada", JOINED)
    buy(store, "ada", 60_000, at("2026-03-01"), receipt="1", program=rules)

    record = tick(store, "ADA", now=at("2028-01-01 00:00"), program=rules)

    assert record
    assert [(entry.kind, entry.balance_after) for entry in record.entries] == [
        (EntryKind.EXPIRY, 0),
        (EntryKind.TIER, 0),
    ]


def test_the_years_that_the_documentation_tells_are_true(store: Memory, spend: Callable[..., Any]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "tiers.md").read_text(encoding="utf-8")
    ladder = yaml.safe_load(text.split("```yaml")[1].split("```")[0])["tiers"]
    for step_ in ladder["ladder"]:
        step_.pop("benefits", None)
    rules = program(tiers={**ladder, "grace_days": 0})
    lines = text.split("## Two years of one member")[1].split("```")[1].strip().splitlines()
    assert len(lines) == 10
    for line in lines:
        told_ = re.fullmatch(r"([\d-]+) +(?:(earns|returns) (\d+) +)?(\w+)(?: to ([\d-]+))?(?: +of ([\d-]+))?", line)
        assert told_, line
        now, verb, points, named, last, of = told_.groups()
        if verb == "earns":
            spend(int(points), now, rules, of=of)
        elif verb == "returns":
            give_back(store, "r2", at(now), key="all", amount=int(points) * 100, program=rules, terms=rules.terms)
        instant = now if verb else f"{now} 00:00"
        assert (tier(store, instant, rules), until(store, instant, rules)) == (named, last), line


# --- what holds of all of them ----------------------------------------------------------------------------------------

# Short ladders with low steps, so that lives go up and down them.
LADDERS = st.builds(
    lambda period, grace, soft, total: tiered(
        period=period,
        grace_days=grace,
        soft_landing=soft,
        steps=(
            step("bronze", 0),
            step("silver", 10),
            step("gold", 20, **({"lifetime": total} if total else {})),
            step("platinum", 40),
        ),
    ),
    st.sampled_from(["calendar_year", "rolling_12_months", "anniversary"]),
    st.sampled_from([0, 1, 40, 180]),
    st.booleans(),
    st.sampled_from([0, 0, 60]),
)
# What happens after so many days: something is bought (how much, how many days ago), returned, given or taken by staff.
STEPS_OF_LIFE = st.lists(
    st.tuples(
        st.integers(0, 120),
        st.one_of(
            st.tuples(st.just("buy"), st.integers(0, 30), st.sampled_from([0, 0, 0, 5, 40, 395])),
            st.tuples(st.just("return"), st.integers(0, 20), st.just(0)),
            st.tuples(st.just("set"), st.integers(0, 3), st.sampled_from([0, 1, 50, 500])),
        ),
    ),
    min_size=1,
    max_size=14,
)


def live(store: Memory, rules: Program, life: list[Any]) -> Iterator[tuple[datetime, str]]:
    """Lives a life on a store; every instant at which something was done, and what."""
    now = at("2026-02-27")
    enroll(store, "ada", now)
    receipts: list[str] = []
    for number, (wait, (verb, amount, other)) in enumerate(life):
        now += timedelta(days=wait)
        match verb:
            case "buy":
                occurred = max(now - timedelta(days=other), at("2026-02-27"))
                receipts.append(str(number))
                buy(store, "ada", amount * 100 + 99, now, receipt=str(number), program=rules, occurred_at=occurred)
            case "return" if receipts:
                receipt = receipts.pop(amount % len(receipts))
                give_back(store, receipt, now, key=receipt, program=rules, terms=rules.terms)
            case "set":
                last = days.date_of(days.day_of(now, rules.zone) + other).isoformat() if other else None
                chosen = ["bronze", "silver", "gold", "platinum"][amount]
                set_tier(store, "ada", chosen, now, key=str(number), program=rules, until=last)
        yield now, verb


@search(120)
@given(LADDERS, STEPS_OF_LIFE)
def test_nobody_has_less_than_what_they_were_promised_for_that_day(rules: Program, life: list[Any]) -> None:
    """Whatever is bought, returned or reviewed: only staff can take away what was there with a last day that has not come."""
    store, ladder = Memory(), rules.ladder
    assert ladder
    promised: list[tuple[int, int]] = []
    for now, verb in live(store, rules, life):
        state = head_of(store, "ADA").state
        if verb == "set":
            promised = []
        today = days.day_of(now, rules.zone)
        for rank, last in promised:
            assert last < today or ladder.rank_of(state.standing) >= rank
        promised += [(ladder.rank_of(part), tiers.last_day(part)) for part in tiers.parts(state.standing)]
    # And with nothing more to come.
    for rank, last in promised:
        if days.day_of(now, rules.zone) <= last < days.NEVER:
            then = ledger.current(
                head_of(store, "ADA"), days.end_of(last, rules.zone) - timedelta(milliseconds=1), rules
            )
            assert ladder.rank_of(then.state.standing) >= rank
    books.check(store._logs["ADA"], rules.zone)


@search(80)
@given(LADDERS, STEPS_OF_LIFE, st.lists(st.integers(0, 2_500), max_size=6))
def test_a_review_that_is_booked_late_early_or_often_changes_nothing(
    rules: Program, life: list[Any], ticks: list[int]
) -> None:
    """One store is visited by jobs at random days, the other never: after each operation both say the same of the tier."""
    visited, alone = Memory(), Memory()
    jobs = sorted(at("2026-02-27") + timedelta(days=each) for each in ticks)
    for (now, _), (_, _) in zip(live(visited, rules, life), live(alone, rules, life), strict=True):
        seen_by = [ledger.current(head_of(store, "ADA"), now, rules).state for store in (visited, alone)]
        assert replace(seen_by[0], at=now) == replace(seen_by[1], at=now)
        while jobs and jobs[0] <= now:
            tick(visited, "ADA", now=max(jobs.pop(0), now), program=rules)
    end = at("2040-01-01")
    for job in jobs:
        tick(visited, "ADA", now=max(job, head_of(visited, "ADA").state.at), program=rules)
    booked = [ledger.current(head_of(store, "ADA"), end, rules) for store in (visited, alone)]
    assert replace(booked[0].state, at=end) == replace(booked[1].state, at=end)
    changes = [
        [entry for record in (*store._logs["ADA"], now_) for entry in record.entries if entry.kind is EntryKind.TIER]
        for store, now_ in zip((visited, alone), booked, strict=True)
    ]
    assert changes[0] == changes[1]


@search(150)
@given(LADDERS, STEPS_OF_LIFE, st.integers(0, 400))
def test_what_is_missing_is_exactly_what_has_to_be_earned(rules: Program, life: list[Any], wait: int) -> None:
    """So many points reach the next tier, or keep the one that is held, and one less does not; and if nothing more is earned,
    what was projected follows."""
    store, ladder = Memory(), rules.ladder
    assert ladder
    *_, (last, _) = live(store, rules, life)
    now = last + timedelta(days=wait)
    state = ledger.current(head_of(store, "ADA"), now, rules).state
    shown = tiers.progress(ladder, state, days.day_of(now, rules.zone))
    rank = ladder.rank_of(state.standing)
    assert ladder.tiers[rank] == shown.tier

    def earned(points: int) -> Memory:
        other = Memory()
        for _ in live(other, rules, life):
            pass
        if points:
            buy(other, "ada", points * 100, now, receipt="x", program=rules)
        return other

    def held(other: Memory, instant: datetime) -> int:
        return ladder.rank_of(ledger.current(head_of(other, "ADA"), instant, rules).state.standing)

    if shown.to_next is not None:
        assert shown.next
        assert held(earned(shown.to_next), now) >= (ladder.rank(shown.next.id) or 0) > rank
        assert held(earned(shown.to_next - 1), now) == rank
    if shown.valid_until is not None:
        after = days.end_of(shown.valid_until, rules.zone)
        assert ladder.tiers[held(store, after)] == shown.projected
        if shown.to_keep:
            assert held(earned(shown.to_keep), after) >= rank
        less = earned(max((shown.to_keep or 0) - 1, 0))
        # Unless less is enough for a higher tier, from which they fall to this one.
        if shown.to_keep and held(less, now) == rank:
            assert held(less, after) < rank
        if shown.to_keep == 0:
            assert held(store, after) >= rank
