"""The calendar, against one that is written differently."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import days
from tests.domain.world import at, day, search

# Where midnight jumps: Havana and Beirut skip it, Asunción repeats the hour before it, Lord Howe moves by half an hour,
# Apia once lost a whole day.
ZONES = ["America/New_York", "Europe/Berlin", "Asia/Kathmandu", "America/Havana", "Asia/Beirut", "America/Asuncion"]
ODD_ZONES = ["Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Africa/Cairo", "UTC"]

day_numbers = st.dates(date(1999, 1, 1), date(2060, 12, 31)).map(days.day_number)


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
