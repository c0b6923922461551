"""Expiry: until when points can be spent, by each policy, and the points that activity keeps alive."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import accounts, days, expiry, ledger, limits, purchases
from domain.accounts import DEBT, ROLLING, Hold, Line, State
from domain.days import NEVER, Rounding
from domain.entries import EntryKind
from domain.expiry import Expiry, Policy, Rolling
from domain.programs import Program
from storage.memory import Memory
from tests.domain import books
from tests.domain.stories import play
from tests.domain.world import (
    TILL,
    ZONE,
    adjust,
    at,
    basket,
    buy,
    cancel,
    day,
    enroll,
    external,
    give,
    give_back,
    head_of,
    hold,
    merge,
    owe,
    program,
    redeem,
    release,
    search,
    unmerge,
)

day_numbers = st.dates(date(1999, 1, 1), date(2060, 12, 31)).map(days.day_number)


# --- a fixed time -----------------------------------------------------------------------------------------------------


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


# --- dates of every year, and anniversaries ---------------------------------------------------------------------------

month_days = st.dates(date(2024, 1, 1), date(2024, 12, 31)).map(lambda on: (on.month, on.day))


def in_year(month_day: tuple[int, int], year: int) -> date:
    """A yearly date; the last of February where there is no 29th."""
    month, number = month_day
    return date(year, month, min(number, monthrange(year, month)[1]))


def first_from(dates: Sequence[tuple[int, int]], least: date) -> date:
    """Day by day, as one would look through a calendar."""
    while least not in [in_year(each, least.year) for each in dates]:
        least += timedelta(days=1)
    return least


@search(200)
@given(day_numbers, st.lists(month_days, min_size=1, max_size=3, unique=True), st.integers(0, 14), st.integers(0, 40))
@example(day("2024-02-28"), [(2, 29)], 0, 0)
@example(day("2025-02-28"), [(2, 29)], 0, 0)
@example(day("2025-12-31"), [(12, 31)], 0, 0)
def test_points_expire_on_the_next_date_of_the_calendar(
    earned: int, dates: list[tuple[int, int]], months: int, more: int
) -> None:
    made = Expiry(months=months, days=more, rounding=Rounding.DAY, policy=Policy.CALENDAR, dates=tuple(dates))

    expires = days.date_of(made.day_for(earned))

    least = max(last_day(days.date_of(earned), months, more, Rounding.DAY), days.date_of(earned + 1))
    assert expires == first_from(dates, least)


@search(200)
@given(day_numbers, day_numbers, st.integers(0, 14))
@example(day("2025-02-28"), day("2024-02-29"), 0)
@example(day("2027-02-28"), day("2024-02-29"), 0)
@example(day("2027-12-31"), day("2024-12-31"), 12)
def test_points_expire_on_an_anniversary_of_joining(earned: int, joined: int, months: int) -> None:
    made = Expiry(months=months, rounding=Rounding.DAY, policy=Policy.ANNIVERSARY)

    expires = days.date_of(made.day_for(earned, joined=joined))

    on = days.date_of(joined)
    least = max(last_day(days.date_of(earned), months, 0, Rounding.DAY), days.date_of(earned + 1))
    assert expires == first_from([(on.month, on.day)], least)


@pytest.mark.parametrize(
    ("changes", "earned", "joined", "extra_months", "expires"),
    [
        # On the very date, points are already those of the next one.
        ({"policy": Policy.CALENDAR, "dates": ((12, 31),)}, "2026-12-30", "2026-01-01", 0, "2026-12-31"),
        ({"policy": Policy.CALENDAR, "dates": ((12, 31),)}, "2026-12-31", "2026-01-01", 0, "2027-12-31"),
        ({"policy": Policy.CALENDAR, "dates": ((3, 31), (9, 30))}, "2026-03-31", "2026-01-01", 0, "2026-09-30"),
        ({"policy": Policy.CALENDAR, "dates": ((9, 30), (3, 31))}, "2026-10-01", "2026-01-01", 0, "2027-03-31"),
        # At least so long: who buys on the last of November has more than a month.
        ({"policy": Policy.CALENDAR, "dates": ((12, 31),), "months": 3}, "2026-11-30", "2026-01-01", 0, "2027-12-31"),
        ({"policy": Policy.CALENDAR, "dates": ((12, 31),), "months": 1}, "2026-11-30", "2026-01-01", 0, "2026-12-31"),
        # 29 February, by the calendar and by who joined on it.
        ({"policy": Policy.CALENDAR, "dates": ((2, 29),)}, "2027-03-01", "2026-01-01", 0, "2028-02-29"),
        ({"policy": Policy.CALENDAR, "dates": ((2, 29),)}, "2028-02-29", "2026-01-01", 0, "2029-02-28"),
        ({"policy": Policy.ANNIVERSARY}, "2028-02-29", "2028-02-29", 0, "2029-02-28"),
        ({"policy": Policy.ANNIVERSARY}, "2031-02-28", "2028-02-29", 0, "2032-02-29"),
        ({"policy": Policy.ANNIVERSARY}, "2031-03-01", "2028-02-29", 0, "2032-02-29"),
        ({"policy": Policy.ANNIVERSARY}, "2026-12-31", "2026-01-01", 0, "2027-01-01"),
        # A receipt of before they joined.
        ({"policy": Policy.ANNIVERSARY}, "2026-05-01", "2026-05-20", 0, "2026-05-20"),
        # What a tier adds is added before the date is looked for.
        ({"policy": Policy.ANNIVERSARY}, "2026-06-01", "2026-01-10", 8, "2028-01-10"),
        ({"policy": Policy.CALENDAR, "dates": ((12, 31),)}, "2026-06-30", "2026-01-01", 6, "2026-12-31"),
        ({"policy": Policy.CALENDAR, "dates": ((12, 31),)}, "2026-07-01", "2026-01-01", 6, "2027-12-31"),
        ({"policy": Policy.FIXED, "months": 6}, "2026-08-31", "2026-01-01", 6, "2027-08-31"),
        ({"policy": Policy.INACTIVITY, "months": 6}, "2026-08-31", "2026-01-01", 0, "2027-02-28"),
        ({"policy": Policy.INACTIVITY, "months": 6}, "2026-08-31", "2026-01-01", 2, "2027-04-30"),
    ],
)
def test_dates_of_each_policy_that_everybody_can_check(
    changes: dict[str, Any], earned: str, joined: str, extra_months: int, expires: str
) -> None:
    made = Expiry(**{"months": 0, "rounding": Rounding.DAY} | changes)

    last = made.day_for(day(earned), joined=day(joined), extra_months=extra_months)

    assert days.date_of(last).isoformat() == expires


policies = st.builds(
    Expiry,
    months=st.integers(0, 30),
    days=st.integers(0, 40),
    rounding=st.sampled_from(Rounding),
    policy=st.sampled_from(Policy),
    dates=st.lists(month_days, min_size=1, max_size=4, unique=True).map(tuple),
)


@search(400)
@given(day_numbers, policies, day_numbers, st.integers(0, 12))
def test_who_earns_later_loses_no_earlier_whatever_the_policy(
    earned: int, policy: Expiry, joined: int, extra_months: int
) -> None:
    first, second = (policy.day_for(each, joined=joined, extra_months=extra_months) for each in (earned, earned + 1))

    assert earned <= first <= second


@search(200)
@given(day_numbers, policies, day_numbers, st.integers(0, 12))
def test_a_longer_validity_is_never_a_shorter_one(earned: int, policy: Expiry, joined: int, extra_months: int) -> None:
    usual, longer = (policy.day_for(earned, joined=joined, extra_months=each) for each in (0, extra_months))

    assert usual <= longer


@search(100)
@given(day_numbers, st.integers(0, 12))
def test_what_never_expires_has_no_date_that_a_tier_could_move(earned: int, extra_months: int) -> None:
    for policy in (Expiry(policy=Policy.NEVER), Expiry(months=0)):
        assert policy.day_for(earned, extra_months=extra_months) == NEVER


# --- the rolling day --------------------------------------------------------------------------------------------------

rollings = st.builds(
    Rolling, until=day_numbers, months=st.integers(0, 24), days=st.integers(1, 40), rounding=st.sampled_from(Rounding)
)
inactivities = st.builds(
    Expiry,
    months=st.integers(0, 24),
    days=st.integers(1, 40),
    rounding=st.sampled_from(Rounding),
    policy=st.just(Policy.INACTIVITY),
)


@search(200)
@given(rollings, day_numbers, policies, st.integers(0, 12))
def test_an_activity_never_moves_the_day_back_and_never_makes_the_promise_a_lesser_one(
    held: Rolling, active: int, policy: Expiry, extra_months: int
) -> None:
    rolled = expiry.rolled(held, policy, active, extra_months=extra_months)

    assert rolled is not None
    assert rolled.until >= max(held.until, held.silent_until(active))
    assert rolled.silent_until(active) >= held.silent_until(active)
    if policy.is_rolling:
        assert rolled.until >= policy.day_for(active, extra_months=extra_months)
        assert rolled.silent_until(active) >= policy.day_for(active, extra_months=extra_months)
    else:
        assert rolled == held.moved(active)


@search(150)
@given(inactivities, day_numbers, st.integers(0, 12))
def test_the_first_points_of_a_program_with_inactivity_have_the_day_of_one_silence(
    policy: Expiry, active: int, extra_months: int
) -> None:
    rolled = expiry.rolled(None, policy, active, extra_months=extra_months)

    assert rolled is not None
    assert rolled.until == rolled.silent_until(active) == policy.day_for(active, extra_months=extra_months)


@search(100)
@given(policies, day_numbers)
def test_where_nothing_rolls_an_activity_makes_nothing_roll(policy: Expiry, active: int) -> None:
    assert (expiry.rolled(None, policy, active) is None) is not policy.is_rolling


@search(150)
@given(rollings, st.lists(day_numbers, max_size=6), st.randoms(use_true_random=False))
def test_activities_that_are_told_late_or_in_any_order_come_to_the_same_day(
    held: Rolling, told: list[int], chance: Any
) -> None:
    shuffled = chance.sample(told, len(told))

    one, other = held, held
    for each, another in zip(told, shuffled, strict=True):
        one, other = one.moved(each), other.moved(another)

    assert one == other


@search(150)
@given(rollings, rollings)
def test_two_that_become_one_have_the_later_day_and_the_longer_silence(one: Rolling, other: Rolling) -> None:
    both = expiry.later(one, other)

    assert both is not None
    last = max(one.until, other.until)
    assert both.until == last
    assert both.silent_until(last) == max(one.silent_until(last), other.silent_until(last))
    assert expiry.later(other, one) in (
        both,
        replace(both, months=other.months, days=other.days, rounding=other.rounding),
    )
    assert expiry.later(one, None) == expiry.later(None, one) == one
    assert expiry.later(None, None) is None


# --- time, and the rolling bucket -------------------------------------------------------------------------------------

START = day("2026-03-06")
soon = st.integers(START + 1, START + 12)
few = st.integers(1, 9)
buckets = st.dictionaries(soon | st.sampled_from([ROLLING, NEVER]), few, max_size=5)


@st.composite
def states(draw: st.DrawFn) -> State:
    """An account with points of every kind, whose rolling bucket, if it has one, ends within a few days."""
    moment = at("2026-03-06 00:00") + timedelta(minutes=draw(st.integers(0, 1_440)))
    live = draw(buckets)
    pending = draw(st.dictionaries(st.tuples(soon, soon | st.sampled_from([ROLLING, NEVER])), few, max_size=4))
    held = {
        number: Hold(moment + timedelta(hours=draw(st.integers(1, 200))), dict(sorted(each.items())))
        for number, each in enumerate(draw(st.lists(buckets.filter(bool), max_size=3)), start=1)
    }
    rolls = (
        ROLLING in live or any(day == ROLLING for _, day in pending) or any(ROLLING in h.buckets for h in held.values())
    )
    return State(
        moment,
        buckets=dict(sorted(live.items())) if not (debt := draw(st.integers(0, 9))) else {},
        pending=dict(sorted(pending.items())),
        holds=held,
        debt=debt,
        rolling=Rolling(draw(soon), 0, draw(st.integers(1, 9)))
        if rolls
        and (not debt or any(d == ROLLING for _, d in pending) or any(ROLLING in h.buckets for h in held.values()))
        else None,
    )


def later(moment: datetime, hours: int) -> datetime:
    return moment + timedelta(hours=hours)


@search(400)
@given(states(), st.integers(0, 400), st.integers(0, 400))
def test_time_in_two_steps_is_time_in_one_with_a_rolling_bucket(state: State, first: int, second: int) -> None:
    middle, end = sorted((later(state.at, first), later(state.at, second)))

    half, before = accounts.advance(state, middle, ZONE)
    both, after = accounts.advance(half, end, ZONE)

    assert (both, (*before, *after)) == accounts.advance(state, end, ZONE)


@search(400)
@given(states(), st.integers(0, 400))
def test_no_point_can_be_spent_after_its_day_and_none_is_lost_before_it(state: State, hours: int) -> None:
    now = later(state.at, hours)

    after, passages = accounts.advance(state, now, ZONE)

    for bucket in after.buckets:
        assert after.last_day(bucket) >= days.day_of(now, ZONE)
    for passage in passages:
        if passage.kind == accounts.EXPIRED:
            for line in passage.lines:
                # Points leave the account from a bucket whose day is over, and only the rolling bucket changes its name.
                ended = state.rolling.until if line.expires == ROLLING and state.rolling else line.expires
                assert passage.at >= days.end_of(ended, ZONE)
    assert state.worth - after.worth == -sum(
        line.points for each in passages if each.kind == accounts.EXPIRED for line in each.lines
    )


@search(300)
@given(states(), st.integers(0, 400), st.integers(0, 30))
def test_what_a_silence_has_taken_no_later_activity_revives(state: State, hours: int, more: int) -> None:
    """Held over the last day and given back, or pending over it and matured: it is gone, though the bucket lives again."""
    now = later(state.at, hours)
    after, _ = accounts.advance(state, now, ZONE)
    today = days.day_of(now, ZONE)
    doomed = {
        number: points
        for number, held in after.holds.items()
        if (points := sum(each for day, each in held.buckets.items() if ROLLING < day < today))
    }
    alive = accounts.fold(after, (Line(ROLLING, 50),), at=now, rolls=Rolling(today + 900, 0, 900))

    for number, points in doomed.items():
        back = accounts.fold(alive, accounts.release(alive, number, today=today), at=now)
        settled, passages = accounts.advance(back, now, ZONE)
        assert sum(line.points for each in passages for line in each.lines if each.kind == accounts.EXPIRED) == -points
        assert all(settled.last_day(bucket) >= today for bucket in settled.buckets)
    end, passages = accounts.advance(alive, now + timedelta(days=more), ZONE)
    for passage in passages:
        if passage.kind == accounts.MATURED:
            for line in passage.lines:
                # Points that matured behind the silence came to their own day, not to the bucket that lives again.
                was_doomed = line.matures and line.expires != ROLLING and line.expires < days.day_of(passage.at, ZONE)
                assert not was_doomed or all(each.expires != ROLLING for each in passage.lines)
    assert all(end.last_day(bucket) >= days.day_of(now + timedelta(days=more), ZONE) for bucket in end.buckets)


@search(300)
@given(states(), st.integers(0, 400), st.integers(1, 40))
def test_the_soonest_expiring_points_are_spent_first_whichever_bucket_they_are_in(
    state: State, hours: int, points: int
) -> None:
    after, _ = accounts.advance(state, later(state.at, hours), ZONE)
    if points > after.balance:
        return

    lines = accounts.spend(after, points)

    left = accounts.fold(after, lines, at=after.at)
    last = max(after.last_day(line.expires) for line in lines)
    assert sum(line.points for line in lines) == -points
    assert [after.last_day(line.expires) for line in lines] == sorted(after.last_day(line.expires) for line in lines)
    assert all(after.last_day(bucket) >= last for bucket in left.buckets)


def test_at_one_midnight_points_mature_before_the_rolling_bucket_they_come_to_ends() -> None:
    state = State(at("2026-03-06"), pending={(START + 3, ROLLING): 5}, rolling=Rolling(START + 2, 0, 2))

    after, (matured, expired) = accounts.advance(state, at("2026-03-09 00:00"), ZONE)

    assert (matured.kind, expired.kind) == (accounts.MATURED, accounts.EXPIRED)
    assert expired.lines == (Line(ROLLING, -5),)
    assert after == State(at("2026-03-09 00:00"))


def test_a_debt_is_paid_from_what_is_left_after_the_silence() -> None:
    state = State(
        at("2026-03-06"),
        pending={(START + 1, ROLLING): 5, (START + 9, NEVER): 3},
        debt=4,
        rolling=Rolling(START + 5, 0, 5),
    )

    after, passages = accounts.advance(state, at("2026-03-20"), ZONE)

    assert [each.kind for each in passages] == ["MATURITY", "DEBT_PAYMENT", "EXPIRY", "MATURITY"]
    assert passages[1].lines == (Line(ROLLING, -4), Line(DEBT, 4))
    assert (after.buckets, after.debt, after.rolling) == ({NEVER: 3}, 0, None)


def test_the_rolling_bucket_ends_whole_and_says_whose_points_keep_its_day() -> None:
    state = State(
        at("2026-03-06"),
        buckets={ROLLING: 5, START + 2: 1},
        pending={(START + 9, ROLLING): 3, (START + 9, START + 2): 4},
        holds={7: Hold(at("2026-03-19"), {ROLLING: 2}), 8: Hold(at("2026-03-19"), {START + 2: 6})},
        rolling=Rolling(START + 2, 0, 2),
    )

    after, (dated, silenced) = accounts.advance(state, at("2026-03-09 00:00"), ZONE)

    assert dated.lines == (Line(START + 2, -1),)
    assert silenced.lines == (
        Line(ROLLING, -5),
        Line(ROLLING, -2, hold=7),
        Line(START + 2, 2, hold=7),
        Line(ROLLING, -3, START + 9),
        Line(START + 2, 3, START + 9),
    )
    assert after.rolling is None
    assert after.pending == {(START + 9, START + 2): 7}
    assert after.holds[7].buckets == {START + 2: 2}


# --- stories ----------------------------------------------------------------------------------------------------------


def test_what_never_expires_is_there_for_ever() -> None:
    play("""
        expiry  never
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 to never
        look    ada            on 2199-01-01            → balance 10
    """)


def test_on_the_date_of_the_calendar_points_can_still_be_spent() -> None:
    play("""
        expiry  calendar 03-31 12-31
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 to 2026-03-31
        earn    ada    5       on 2026-03-31            → ok, left 10 to 2026-03-31, left 5 to 2026-12-31
        redeem  ada    1       on 2026-03-31 23:59:59   → ok, balance 14
        look    ada            on 2026-04-01 00:00      → balance 5, booked EXPIRY -9
        look    ada            on 2027-01-01            → balance 0, booked EXPIRY -9, booked EXPIRY -5
    """)


def test_points_of_whoever_joined_on_29_february_expire_on_the_last_of_february() -> None:
    play("""
        expiry  anniversary
        enroll  ada            on 2028-02-29
        earn    ada   10       on 2028-02-29            → ok, left 10 to 2029-02-28
        earn    ada    5       on 2029-02-28            → ok, left 10 to 2029-02-28, left 5 to 2030-02-28
        look    ada            on 2029-03-01 00:00      → balance 5
        earn    ada    7       on 2031-03-01            → ok, left 7 to 2032-02-29
    """)


def test_each_activity_keeps_all_points_alive() -> None:
    play("""
        expiry  inactivity 6 months
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-31            → ok, left 10 rolling to 2026-07-31
        earn    ada    5       on 2026-03-31            → ok, left 15 rolling to 2026-09-30
        redeem  ada    3       on 2026-08-31            → ok, left 12 rolling to 2027-02-28
        look    ada            on 2027-02-28 23:59:59   → balance 12
        look    ada            on 2027-03-01 00:00      → balance 0, booked EXPIRY -12
        earn    ada    2       on 2027-03-01            → ok, left 2 rolling to 2027-09-01, booked EXPIRY -12
    """)


def test_what_staff_gives_is_no_activity_and_has_a_day_of_its_own() -> None:
    play("""
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        adjust  ada   +4       on 2026-01-05            → ok, left 4 to 2026-02-04
        earn    ada   10       on 2026-01-10            → ok, left 10 rolling to 2026-02-09, left 4 to 2026-02-04
        adjust  ada   +1       on 2026-02-01            → ok, left 10 rolling to 2026-02-09, left 1 to 2026-03-03
        redeem  ada    6       on 2026-02-02            → ok, left 8 rolling to 2026-03-04, left 1 to 2026-03-03
        redeem  ada    2       on 2026-02-03            → ok, left 7 rolling to 2026-03-05
    """)


def test_only_what_the_program_names_is_an_activity() -> None:
    play("""
        expiry  inactivity 30 days
        active  gift
        enroll  ada            on 2026-01-05
        enroll  bob            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 to 2026-02-09
        active  purchase gift
        earn    ada    5       on 2026-01-11            → ok, left 5 rolling to 2026-02-10, left 10 to 2026-02-09
        redeem  ada    1       on 2026-01-20            → ok, left 5 rolling to 2026-02-10, left 9 to 2026-02-09
        give    ada    1 to bob on 2026-01-21           → ok, left 5 rolling to 2026-02-20, left 8 to 2026-02-09
    """)


def test_what_is_set_aside_over_the_last_day_comes_back_to_nothing() -> None:
    play("""
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 rolling to 2026-02-09
        hold    ada    4       on 2026-02-09 23:50      → ok, set aside 4 rolling to 2026-02-09
        earn    ada    7       on 2026-02-10 00:01      → ok, left 7 rolling to 2026-03-12, set aside 4 to 2026-02-09, held 4
        release ada            on 2026-02-10 00:02      → ok, balance 7, held 0, booked EXPIRY -4
        look    ada            on 2026-03-12            → balance 7
    """)


def test_a_hold_that_outlasts_the_last_day_can_be_captured() -> None:
    play("""
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok
        hold    ada    4       on 2026-02-09 23:50      → ok
        capture ada    3       on 2026-02-10 00:01      → ok, balance 0, booked EXPIRY -6, booked CAPTURE -3, booked EXPIRY -1
    """)


def test_a_hold_of_a_member_who_stays_active_goes_back_to_what_lives() -> None:
    play("""
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok
        hold    ada   10       on 2026-02-09 23:50      → ok, balance 0, set aside 10 rolling to 2026-02-09
        earn    ada    1       on 2026-02-09 23:55      → ok, left 1 rolling to 2026-03-11, set aside 10 rolling to 2026-03-11
        release ada            on 2026-02-10 00:01      → ok, left 11 rolling to 2026-03-11
    """)


def test_points_that_wait_longer_than_a_silence_are_never_there() -> None:
    play("""
        expiry  inactivity 10 days
        pending 14 days
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, pending 10
        look    ada            on 2026-01-21 00:00      → pending 10, balance 0, booked EXPIRY +0
        earn    ada    5       on 2026-01-22            → ok, pending 15
        look    ada            on 2026-01-24 00:00      → balance 0, pending 5, booked MATURITY +0, booked EXPIRY -10
    """)


def test_points_that_wait_are_kept_alive_as_well() -> None:
    play("""
        expiry  inactivity 10 days
        pending 14 days
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok
        earn    ada    5       on 2026-01-20            → ok, pending 15
        look    ada            on 2026-01-24 00:00      → balance 10, pending 5, left 10 rolling to 2026-01-30
        look    ada            on 2026-01-31 00:00      → balance 0, pending 5
    """)


def test_a_late_receipt_lives_from_the_day_it_was_written() -> None:
    play("""
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        earn    ada   10 of 2026-01-06  on 2026-02-05   → ok, left 10 rolling to 2026-02-05
        look    ada            on 2026-02-06 00:00      → balance 0
        earn    ada    7 of 2026-01-06  on 2026-02-07   → ok, balance 0, booked PURCHASE +7, booked EXPIRY -7
    """)


def test_a_late_receipt_moves_nothing_back_and_lives_as_long_as_the_rest() -> None:
    play("""
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-03-01            → ok, left 10 rolling to 2026-03-31
        earn    ada    5 of 2026-01-10  on 2026-03-02   → ok, left 15 rolling to 2026-03-31
        earn    ada    1 of 2026-03-05  on 2026-03-09   → ok, left 16 rolling to 2026-04-04
    """)


def test_a_late_receipt_of_whoever_was_active_since_lives_from_that_day_on() -> None:
    play("""
        expiry  30 days to the day
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-20            → ok, left 10 to 2026-02-19
        expiry  inactivity 30 days
        earn    ada    5 of 2026-01-10  on 2026-01-25   → ok, left 5 rolling to 2026-02-19
    """)


def test_a_till_whose_clock_runs_ahead_gives_no_day_more() -> None:
    play("""
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        earn    ada    1 of 2026-01-11 00:01  on 2026-01-10 23:59   → ok, left 1 rolling to 2026-02-09
        earn    ada    1 of 2026-01-13 00:01  on 2026-01-12 23:59   → ok, left 2 rolling to 2026-02-11
    """)


def test_other_terms_never_shorten_what_was_promised() -> None:
    play("""
        expiry  inactivity 6 months
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 rolling to 2026-07-10
        expiry  inactivity 2 months
        earn    ada    5       on 2026-02-10            → ok, left 15 rolling to 2026-08-10
        expiry  1 months to the day
        earn    ada    3       on 2026-03-10            → ok, left 15 rolling to 2026-09-10, left 3 to 2026-04-10
        redeem  ada    4       on 2026-03-11            → ok, left 14 rolling to 2026-09-11
        expiry  inactivity 9 months
        earn    ada    1       on 2026-04-01            → ok, left 15 rolling to 2027-01-01
        look    ada            on 2027-01-01            → balance 15
        look    ada            on 2027-01-02            → balance 0
    """)


def test_when_all_of_it_was_spent_the_new_promise_is_the_only_one() -> None:
    play("""
        expiry  inactivity 6 months
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok
        redeem  ada   10       on 2026-01-11            → ok, balance 0
        expiry  inactivity 2 months
        earn    ada    5       on 2026-02-10            → ok, left 5 rolling to 2026-04-10
    """)


def test_a_gift_keeps_the_day_that_its_points_had() -> None:
    play("""
        expiry  inactivity 30 days
        active  purchase gift
        enroll  ada            on 2026-01-05
        enroll  bob            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 rolling to 2026-02-09
        earn    bob    1       on 2026-01-20            → ok
        give    ada    4 to bob on 2026-01-25           → ok, left 6 rolling to 2026-02-24
        look    bob            on 2026-01-25            → balance 5, left 4 to 2026-02-09, left 1 rolling to 2026-02-19
        earn    bob    1       on 2026-01-30            → ok, left 4 to 2026-02-09, left 2 rolling to 2026-03-01
    """)


def test_two_accounts_of_one_person_have_the_later_day_and_the_longer_silence() -> None:
    play("""
        expiry  inactivity 6 months
        enroll  dup            on 2026-01-05
        earn    dup   10       on 2026-01-10            → ok, left 10 rolling to 2026-07-10
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        earn    ada    5       on 2026-02-20            → ok, left 5 rolling to 2026-03-22
        merge   dup into ada   on 2026-03-01            → ok, left 15 rolling to 2026-07-10
        earn    ada    1       on 2026-03-02            → ok, left 16 rolling to 2026-09-02
        unmerge dup            on 2026-03-03            → ok, left 6 rolling to 2026-09-02
        look    dup            on 2026-03-03            → left 10 rolling to 2026-09-02
    """)


def test_an_undone_merge_does_not_take_what_the_survivor_earned_after_a_silence() -> None:
    play("""
        expiry  inactivity 10 days
        enroll  dup            on 2026-01-05
        enroll  ada            on 2026-01-05
        earn    dup   10       on 2026-01-06            → ok, left 10 rolling to 2026-01-16
        merge   dup into ada   on 2026-01-07            → ok, left 10 rolling to 2026-01-16
        earn    ada    7       on 2026-01-20            → ok, balance 7, booked EXPIRY -10
        unmerge dup            on 2026-01-21            → ok, balance 7
        look    dup            on 2026-01-21            → balance 0
    """)


def test_a_return_takes_back_from_the_rolling_bucket_and_is_no_activity() -> None:
    play("""
        expiry  inactivity 30 days
        enroll  ada            on 2026-01-05
        adjust  ada   +4       on 2026-01-05            → ok
        earn    ada   10       on 2026-01-10  by k      → ok, left 10 rolling to 2026-02-09, left 4 to 2026-02-04
        return  ada    3 from k on 2026-01-20           → ok, left 7 rolling to 2026-02-09, left 4 to 2026-02-04
        return  ada      from k on 2026-02-05           → ok, balance 0
    """)


@pytest.mark.parametrize("policy", ["debt", "clamp", "pending_only"])
def test_a_return_takes_what_still_waits_though_a_silence_has_doomed_it(policy: str) -> None:
    play(f"""
        expiry  inactivity 10 days
        pending 14 days
        returns {policy}
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10  by k      → ok, pending 10
        expiry  never
        adjust  ada  +20       on 2026-01-15            → ok, balance 20
        return  ada      from k on 2026-01-22           → ok, pending 0, balance 20, debt 0, booked RETURN -10
    """)


def test_what_was_spent_comes_back_to_the_points_that_activity_keeps_alive() -> None:
    play("""
        expiry  inactivity 60 days
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 rolling to 2026-03-11
        redeem  ada   10       on 2026-01-20            → ok, balance 0
        cancel  ada            on 2026-03-01            → ok, left 10 rolling to 2026-03-21
    """)


def test_what_was_spent_and_would_be_gone_comes_back_for_the_window_alone() -> None:
    play("""
        expiry  inactivity 10 days
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok
        redeem  ada    6       on 2026-01-20            → ok, left 4 rolling to 2026-01-30
        cancel  ada            on 2026-01-31            → ok, left 6 to 2026-03-02, balance 6, booked EXPIRY -4
    """)


def test_what_was_spent_keeps_its_promise_though_nothing_rolls_under_the_new_terms() -> None:
    play("""
        expiry  inactivity 6 months
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok
        redeem  ada   10       on 2026-01-10            → ok, balance 0
        expiry  1 months to the day
        earn    ada    3       on 2026-02-01            → ok, left 3 to 2026-03-01
        cancel  ada            on 2026-02-10            → ok, left 10 rolling to 2026-08-01, left 3 to 2026-03-01
    """)


# --- with what else a program can say ---------------------------------------------------------------------------------

TIERS = {
    "ladder": [
        {"id": "base", "name": "Base", "threshold": 0},
        {"id": "gold", "name": "Gold", "threshold": 100, "benefits": {"extra_months": 6}},
    ]
}
NOW = at("2026-01-10")


def member(store: Memory, made: Program, name: str = "ada") -> Memory:
    enroll(store, name, at("2026-01-05"), program=made)
    return store


def checked(store: Memory) -> None:
    books.check_all(store._logs, ZONE)
    for log in store._logs.values():
        books.check_due(log, store.due)


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        ({"months": 6, "rounding": "day"}, "2026-07-10", "2027-01-11"),
        ({"policy": "calendar", "dates": ["03-31"]}, "2026-03-31", "2027-03-31"),
        ({"policy": "anniversary"}, "2027-01-05", "2027-01-05"),
    ],
)
def test_a_tier_makes_points_live_longer_from_the_next_purchase_on(
    policy: dict[str, Any], before: str, after: str
) -> None:
    made = program(expiry=policy, tiers=TIERS)
    store = member(Memory(), made)

    # The purchase that reaches the tier is still one of the tier before.
    first = buy(store, "ada", 10_000, NOW, receipt="1", program=made)
    second = buy(store, "ada", 500, NOW + timedelta(days=1), receipt="2", program=made)

    assert [entry.kind for entry in first.record.entries] == [EntryKind.PURCHASE, EntryKind.TIER]
    assert first.entry.lines == (Line(day(before), 100),)
    assert second.entry.lines == (Line(day(after), 5),)
    checked(store)


def test_a_tier_makes_silences_last_longer_and_what_was_promised_outlives_it() -> None:
    made = program(expiry={"policy": "inactivity", "months": 6}, tiers=TIERS)
    store = member(Memory(), made)

    buy(store, "ada", 10_000, NOW, receipt="1", program=made)
    assert head_of(store, "ADA").state.rolling == Rolling(day("2026-07-10"), 6)
    buy(store, "ada", 500, NOW + timedelta(days=1), receipt="2", program=made)
    assert head_of(store, "ADA").state.rolling == Rolling(day("2027-01-11"), 12)
    # Under terms without tiers the points that are there go on as they were promised.
    bare = program(expiry={"policy": "inactivity", "months": 6})
    buy(store, "ada", 500, at("2026-12-31"), receipt="3", program=bare)
    assert head_of(store, "ADA").state.rolling == Rolling(day("2027-12-31"), 12)
    checked(store)


def test_what_comes_back_to_a_member_of_a_tier_has_the_day_of_that_tier() -> None:
    made = program(expiry={"policy": "inactivity", "months": 1}, tiers=TIERS)
    store = member(Memory(), made)
    buy(store, "ada", 10_000, NOW, receipt="1", program=made)
    adjust(store, "ada", -85, NOW, key="a", program=made)
    redeemed = redeem(store, "ada", "cookie", NOW, key="r", program=made)
    assert head_of(store, "ADA").state.rolling is None

    cancelled = cancel(store, redeemed, at("2026-05-01"), key="c", program=made)

    # Redeemed as a member of the tier: seven months, though nothing was left that could say so.
    assert cancelled.entry.lines == (Line(ROLLING, 15),)
    assert cancelled.record.state.rolling == Rolling(day("2026-08-10"), 7)
    checked(store)


def test_a_moment_lives_as_long_as_what_brought_it_and_moves_nothing() -> None:
    third = {"id": "third", "when": "purchase", "nth": 3, "points": 5}
    made = program(expiry={"policy": "inactivity", "days": 30}, moments=[third])
    store = member(Memory(), made)
    for receipt in ("1", "2"):
        buy(store, "ada", 100, NOW, receipt=receipt, program=made)

    # The third purchase was made a week before it was told.
    outcome = buy(store, "ada", 100, at("2026-01-20"), receipt="3", program=made, occurred_at=at("2026-01-13"))

    purchase, bonus = outcome.record.entries
    assert (bonus.kind, bonus.lines) == (EntryKind.BONUS, (Line(ROLLING, 5),))
    assert purchase.rolls == bonus.rolls == outcome.record.state.rolling == Rolling(day("2026-02-12"), 0, 30)
    checked(store)


def test_a_moment_with_days_of_its_own_has_them_whatever_the_policy() -> None:
    third = {"id": "third", "when": "purchase", "nth": 1, "points": 5, "valid_days": 3}
    made = program(expiry={"policy": "inactivity", "days": 30}, moments=[third])
    store = member(Memory(), made)

    outcome = buy(store, "ada", 100, NOW, receipt="1", program=made)

    assert outcome.record.state.buckets == {ROLLING: 1, day("2026-01-13"): 5}
    checked(store)


def test_a_return_that_waited_is_booked_behind_all_that_its_purchase_brought() -> None:
    first = {"id": "first", "when": "purchase", "nth": 1, "points": 5}
    made = program(
        expiry={"policy": "inactivity", "days": 30}, moments=[first], returns={"policy": "debt"}, tiers=TIERS
    )
    store = member(Memory(), made)
    owe(store, "ada", 12, NOW, key="o")
    give_back(store, "1", NOW, key="early", amount=1_000, program=made)

    outcome = buy(store, "ada", 1_000, NOW, receipt="1", program=made)

    assert [(entry.kind, entry.points) for entry in outcome.record.entries] == [
        (EntryKind.PURCHASE, 10),
        (EntryKind.BONUS, 5),
        (EntryKind.RETURN, -10),
        (EntryKind.DEBT_PAYMENT, 0),
    ]
    assert (outcome.record.state.balance, outcome.record.state.debt) == (0, 7)
    assert outcome.record.state.qualifying == {}
    checked(store)


def test_a_return_that_waited_finds_its_points_where_a_bonus_has_moved_them() -> None:
    """An account with as many buckets as fit: the bonus makes one too many, and the purchase's becomes one with it."""
    first = {"id": "first", "when": "purchase", "nth": 1, "points": 5, "valid_days": 33}
    made = program(expiry={"days": 30, "rounding": "day"}, moments=[first])
    store = member(Memory(), made)
    with mock.patch.object(limits, "BUCKETS_MAX", 2):
        adjust(store, "ada", 7, at("2026-01-09"), key="a", program=program(expiry={"months": 12, "rounding": "day"}))
        give_back(store, "1", NOW, key="early", amount=400, program=made)

        outcome = buy(store, "ada", 1_000, NOW, receipt="1", program=made)

    assert outcome.record.entries[1].lines == (
        Line(day("2026-02-12"), 5),
        Line(day("2026-02-09"), -10),
        Line(day("2026-02-12"), 10),
    )
    assert outcome.record.entries[2].lines == (Line(day("2026-02-12"), -4),)
    assert outcome.record.state.buckets == {day("2026-02-12"): 11, day("2027-01-09"): 7}


def test_a_preview_tells_the_last_day_though_a_debt_takes_it_all() -> None:
    made = program(expiry={"policy": "inactivity", "days": 30})
    store = member(Memory(), made)
    owe(store, "ada", 50, NOW, key="o")

    seen = purchases.preview(store, made, actor=TILL, member=external("ada"), basket=basket(1_000, NOW), now=NOW)

    assert (seen.expires, seen.balance) == (day("2026-02-09"), 0)


def test_a_day_is_noted_when_points_begin_to_roll_and_again_after_a_silence() -> None:
    made = program(expiry={"policy": "inactivity", "days": 30})
    store = member(Memory(), made)

    buy(store, "ada", 100, NOW, receipt="1", program=made)
    buy(store, "ada", 100, at("2026-01-20"), receipt="2", program=made)
    assert store.due == {(day("2026-02-09"), "ADA")}
    buy(store, "ada", 100, at("2026-03-01"), receipt="3", program=made)
    assert store.due == {(day("2026-02-09"), "ADA"), (day("2026-03-31"), "ADA")}


def test_points_that_a_merge_brings_roll_in_an_account_that_had_none() -> None:
    made = program(expiry={"policy": "inactivity", "days": 30})
    store = member(member(Memory(), made), made, "dup")
    buy(store, "dup", 1_000, NOW, receipt="1", program=made)

    merge(store, "dup", "ada", NOW + timedelta(days=1), key="m", program=made)

    assert head_of(store, "ADA").state.rolling == Rolling(day("2026-02-09"), 0, 30)
    assert (day("2026-02-09"), "ADA") in store.due
    unmerge(store, "dup", NOW + timedelta(days=2), key="u", program=made)
    assert head_of(store, "ADA").state.rolling is None
    assert head_of(store, "DUP").state.rolling == Rolling(day("2026-02-09"), 0, 30)
    checked(store)


def test_what_waits_rolls_on_in_the_account_it_was_merged_into() -> None:
    made = program(expiry={"policy": "inactivity", "days": 5}, pending={"days": 9})
    store = member(member(Memory(), made), made, "dup")
    buy(store, "dup", 1_000, NOW, receipt="1", program=made)

    merge(store, "dup", "ada", NOW + timedelta(days=1), key="m", program=made)

    state = head_of(store, "ADA").state
    assert (state.pending, state.rolling) == ({(day("2026-01-19"), ROLLING): 10}, Rolling(day("2026-01-15"), 0, 5))
    assert ledger.current(head_of(store, "ADA"), at("2026-01-18"), made).state.pending == {
        (day("2026-01-19"), day("2026-01-15")): 10
    }
    assert ledger.current(head_of(store, "ADA"), at("2026-01-19"), made).state.worth == 0


def test_a_gift_of_points_of_both_kinds_names_their_days() -> None:
    made = program(expiry={"policy": "inactivity", "days": 30})
    store = member(member(Memory(), made), made, "bob")
    adjust(store, "ada", 3, at("2026-01-12"), key="a", program=made)
    buy(store, "ada", 500, NOW, receipt="1", program=made)

    given = give(store, "ada", "bob", 7, at("2026-01-12"), key="g", program=made)

    assert given.entry.lines == (Line(ROLLING, -5), Line(day("2026-02-11"), -2))
    assert head_of(store, "BOB").entries[-1].lines == (Line(day("2026-02-09"), 5), Line(day("2026-02-11"), 2))
    checked(store)


def test_points_that_are_set_aside_alone_still_have_a_day() -> None:
    made = program(expiry={"policy": "inactivity", "days": 30})
    store = member(Memory(), made)
    buy(store, "ada", 500, NOW, receipt="1", program=made)

    held = hold(store, "ada", 5, NOW, key="h", program=made, ttl_seconds=3_600)
    assert held.record.state.rolling == Rolling(day("2026-02-09"), 0, 30)
    back = release(store, held, NOW, key="r", program=made)

    assert back.record.state.buckets == {ROLLING: 5}
    checked(store)
