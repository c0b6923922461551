"""The calendar, against one that is written differently."""

from calendar import monthrange
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import days
from domain.days import NEVER, Expiry, Rounding
from tests.domain.world import at, day, search

# Where midnight jumps: Havana and Beirut skip it, Asunción repeats the hour before it, Lord Howe moves by half an hour,
# Apia once lost a whole day.
ZONES = ["America/New_York", "Europe/Berlin", "Asia/Kathmandu", "America/Havana", "Asia/Beirut", "America/Asuncion"]
ODD_ZONES = ["Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Africa/Cairo", "UTC"]

day_numbers = st.dates(date(1999, 1, 1), date(2060, 12, 31)).map(days.day_number)


def last_day(earned: date, months: int, more_days: int, rounding: Rounding) -> date:
    """Month by month and day by day, as one would count on a paper calendar."""
    year, month = earned.year, earned.month
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    last = date(year, month, min(earned.day, monthrange(year, month)[1]))
    for _ in range(more_days):
        last += timedelta(days=1)
    if rounding is Rounding.DAY:
        return last
    ends_in = {
        Rounding.MONTH: range(1, 13),
        Rounding.QUARTER: (3, 6, 9, 12),
        Rounding.HALF_YEAR: (6, 12),
        Rounding.YEAR: (12,),
    }[rounding]
    month = next(month for month in ends_in if month >= last.month)
    return date(last.year, month, monthrange(last.year, month)[1])


@search(400)
@given(day_numbers, st.integers(0, 60), st.integers(0, 400), st.sampled_from(Rounding))
@example(day("2024-02-29"), 12, 0, Rounding.DAY)
@example(day("2024-01-31"), 1, 0, Rounding.MONTH)
@example(day("2023-12-31"), 24, 0, Rounding.YEAR)
@example(day("2026-08-31"), 1, 31, Rounding.QUARTER)
def test_points_expire_when_a_paper_calendar_says(earned: int, months: int, more: int, rounding: Rounding) -> None:
    expires = Expiry(months=months, days=more, rounding=rounding).day_for(earned)

    if months == more == 0:
        assert expires == NEVER
    else:
        assert days.date_of(expires) == last_day(days.date_of(earned), months, more, rounding)
        assert expires >= earned


@search(200)
@given(day_numbers, st.builds(Expiry, st.integers(1, 60), st.integers(0, 60), st.sampled_from(Rounding)))
def test_who_earns_later_loses_no_earlier(earned: int, expiry: Expiry) -> None:
    assert expiry.day_for(earned) <= expiry.day_for(earned + 1)


@pytest.mark.parametrize(
    ("earned", "expiry", "expires"),
    [
        ("2024-02-29", Expiry(), "2026-02-28"),
        ("2022-02-28", Expiry(), "2024-02-29"),
        ("2026-01-31", Expiry(months=1, rounding=Rounding.DAY), "2026-02-28"),
        ("2026-01-31", Expiry(months=1, days=1, rounding=Rounding.DAY), "2026-03-01"),
        ("2026-03-31", Expiry(months=0, days=1, rounding=Rounding.QUARTER), "2026-06-30"),
        ("2026-06-30", Expiry(months=6, rounding=Rounding.HALF_YEAR), "2026-12-31"),
        ("2026-12-31", Expiry(months=1, rounding=Rounding.YEAR), "2027-12-31"),
    ],
)
def test_some_dates_everybody_can_check(earned: str, expiry: Expiry, expires: str) -> None:
    assert days.date_of(expiry.day_for(day(earned))) == date.fromisoformat(expires)


def test_never_comes_after_every_day_a_program_can_reach() -> None:
    assert Expiry(months=1_200, days=36_500).day_for(day("2199-12-31")) < NEVER
    assert Expiry(months=0, days=0).day_for(day("2026-01-01")) == NEVER


@search(300)
@given(day_numbers, st.sampled_from(ZONES + ODD_ZONES).map(ZoneInfo))
@example(day("2026-03-07"), ZoneInfo("America/Havana"))
@example(day("2016-10-15"), ZoneInfo("America/Sao_Paulo"))
@example(day("2011-12-29"), ZoneInfo("Pacific/Apia"))
def test_a_day_ends_where_the_next_one_begins(number: int, zone: ZoneInfo) -> None:
    end, a_moment = days.end_of(number, zone), timedelta(microseconds=1)

    # In 2011 the calendar of Samoa went from the 29th of December to the 31st.
    lost = day("2011-12-30") if zone.key == "Pacific/Apia" else None
    assert days.day_of(end, zone) == (number + 1 if number + 1 != lost else number + 2)
    assert days.day_of(end - a_moment, zone) == (number if number != lost else number - 1)


@pytest.mark.parametrize(
    ("on", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-03-07", 24), ("2028-02-29", 24)]
)
def test_days_on_which_the_clock_changes_are_shorter_and_longer(on: str, hours: int) -> None:
    zone = ZoneInfo("America/New_York")

    assert days.end_of(day(on), zone) - days.end_of(day(on) - 1, zone) == timedelta(hours=hours)


def test_a_skipped_midnight_is_the_moment_of_the_jump() -> None:
    havana = ZoneInfo("America/Havana")

    assert days.end_of(day("2026-03-07"), havana) == at("2026-03-08 01:00", havana)


def test_numbers_and_dates_are_each_other() -> None:
    assert days.day_number(date(1970, 1, 1)) == 0
    assert days.date_of(days.day_number(date(2024, 2, 29))) == date(2024, 2, 29)


def test_an_instant_is_told_in_utc_whatever_clock_it_was_read_from() -> None:
    evening = at("2026-12-31 23:59:59").astimezone(ZoneInfo("Asia/Kathmandu")) + timedelta(milliseconds=999)

    assert days.text_of(evening) == "2027-01-01T04:59:59Z"
