"""What is foretold of a household, against years that anybody can follow by hand."""

from dataclasses import replace
from datetime import date

from handlers.replay import foretold
from handlers.replay.foretold import Rules, Told

FIRST, LAST = date(2026, 1, 1), date(2027, 12, 31)
LADDER = (("base", 0, 100), ("silver", 500, 110), ("gold", 1_500, 125))
FIXED = Rules(ladder=LADDER, year="calendar", grace_days=0, lands_softly=True, months=6)
SILENT = Rules(ladder=LADDER, year="calendar", grace_days=0, lands_softly=True, silence_months=8)


def told(rules: Rules, *baskets: tuple[str, int], first: date = FIRST, last: date = LAST) -> Told:
    """Baskets by day, in whole dollars."""
    bought = [(date.fromisoformat(day), dollars * 100 + 99) for day, dollars in baskets]
    return foretold.foretell(bought, rules, first=first, last=last)


def test_points_live_to_the_end_of_the_month_half_a_year_later() -> None:
    found = told(FIXED, ("2026-01-31", 40), ("2026-02-01", 2), ("2026-02-28", 3))

    assert found.expiries == [(date(2026, 7, 31), 40), (date(2026, 8, 31), 5)]
    assert found.reminders == [
        (date(2026, 7, 31), date(2026, 7, 1), 40),
        (date(2026, 7, 31), date(2026, 7, 16), 40),
        (date(2026, 7, 31), date(2026, 7, 24), 40),
        (date(2026, 8, 31), date(2026, 8, 1), 5),
        (date(2026, 8, 31), date(2026, 8, 16), 5),
        (date(2026, 8, 31), date(2026, 8, 24), 5),
    ]


def test_each_basket_ends_a_silence_even_one_that_earns_nothing() -> None:
    found = told(SILENT, ("2026-01-10", 40), ("2026-08-20", 0), ("2027-04-20", 7))

    # 10 September would have been the last day, and on 11 August it was still told so.
    assert found.reminders[0] == (date(2026, 9, 10), date(2026, 8, 11), 40)
    assert (date(2026, 9, 10), date(2026, 8, 26), 40) not in found.reminders
    # 20 April is the last day of the next silence, so what is bought on it still saves the points.
    assert found.expiries == [(date(2027, 12, 20), 47)]


def test_a_silence_of_eight_months_from_the_end_of_august_ends_in_february() -> None:
    found = told(replace(SILENT, silence_months=6), ("2026-08-31", 10))

    assert found.expiries == [(date(2027, 2, 28), 10)]


def test_a_tier_is_reached_at_once_and_multiplies_from_the_next_basket_on() -> None:
    found = told(FIXED, ("2026-03-01", 499), ("2026-03-02", 1), ("2026-03-03", 100))

    assert found.tiers == [(date(2026, 3, 2), "silver")]
    assert found.expiries == [(date(2026, 9, 30), 499 + 1 + 110)]


def test_a_tier_lasts_to_the_end_of_the_next_year_and_falls_by_one_step() -> None:
    found = told(FIXED, ("2026-03-01", 1_500), last=date(2030, 1, 1))

    assert found.tiers == [
        (date(2026, 3, 1), "gold"),
        (date(2028, 1, 1), "silver"),
        (date(2029, 1, 1), "base"),
    ]


def test_reaching_it_again_keeps_it_and_grace_counts() -> None:
    rules = replace(FIXED, grace_days=10, lands_softly=False)
    found = told(rules, ("2026-03-01", 500), ("2027-12-31", 500), ("2029-01-05", 500), last=date(2032, 1, 1))

    assert found.tiers == [
        (date(2026, 3, 1), "silver"),
        (date(2027, 12, 31), "silver"),
        (date(2029, 1, 5), "silver"),
        (date(2031, 1, 11), "base"),
    ]


def test_a_rolling_year_forgets_what_is_older_than_eleven_months_and_this_one() -> None:
    rules = replace(FIXED, year="rolling", lands_softly=False)
    in_time = told(rules, ("2026-01-15", 250), ("2026-12-31", 250))
    too_late = told(rules, ("2026-01-15", 250), ("2027-01-01", 250))

    assert in_time.tiers == [(date(2026, 12, 31), "silver")]
    assert too_late.tiers == []


def test_differences_are_named_by_household_and_kind() -> None:
    right = told(FIXED, ("2026-01-31", 40))
    lost = replace(right, expiries=[], reminders=[*right.reminders, (date(2026, 7, 31), date(2026, 7, 24), 40)])

    assert foretold.differences({1: right, 2: right}, {1: right, 2: lost}) == [
        (2, "expiries", [(date(2026, 7, 31), 40)], "0"),
        (2, "reminders", "3", "4"),
    ]
