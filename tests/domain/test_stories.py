"""Whole stories of one account. Rules have their own tests beside them; here is what they make of each other in time."""

import pytest

from tests.domain.stories import play


def test_points_are_earned_spent_and_what_is_left_expires() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada            on 2026-01-05            → ok
        earn    ada  100       on 2026-01-10            → ok, balance 100, left 100 to 2026-07-10, booked PURCHASE +100
        earn    ada   40       on 2026-01-20            → ok, balance 140, left 40 to 2026-07-20
        redeem  ada   60       on 2026-02-01            → ok, left 40 to 2026-07-10, left 40 to 2026-07-20
        redeem  ada   81       on 2026-02-02            → InsufficientPoints
        look    ada            on 2026-07-10 23:59:59   → balance 80
        look    ada            on 2026-07-11 00:00      → balance 40, booked EXPIRY -40
        earn    ada    5       on 2026-08-01            → ok, balance 5, booked EXPIRY -40, booked PURCHASE +5
        look    ada            on 2030-01-01            → balance 0, booked EXPIRY -5
    """)


def test_the_last_point_can_be_spent_and_not_one_more() -> None:
    play("""
        enroll  ada            on 2026-01-05
        earn    ada    3       on 2026-01-10            → ok, balance 3
        redeem  ada    4       on 2026-01-11            → InsufficientPoints
        redeem  ada    2       on 2026-01-11            → ok, balance 1
        redeem  ada    1       on 2026-01-11            → ok, balance 0
        redeem  ada    1       on 2026-01-11            → InsufficientPoints
    """)


def test_a_no_stays_a_no_however_rich_the_member_becomes() -> None:
    play("""
        enroll  ada            on 2026-01-05
        redeem  ada   10       on 2026-01-06            → InsufficientPoints
        earn    ada  100       on 2026-01-10            → ok, balance 100
        redeem  ada   10       on 2026-01-11  by k      → ok, balance 90
        adjust  ada -500       on 2026-01-11            → InsufficientPoints
        adjust  ada +900       on 2026-01-12            → ok, balance 990
    """)
    play("""
        enroll  ada            on 2026-01-05
        redeem  ada   10       on 2026-01-06  by k      → InsufficientPoints
        earn    ada  100       on 2026-01-10            → ok
        redeem  ada   10       on 2026-01-11  by k      → InsufficientPoints replayed
        again                  on 2026-01-12            → InsufficientPoints replayed
        look    ada            on 2026-01-12            → balance 100
    """)


@pytest.mark.parametrize("call", ["earn    ada    7", "redeem  ada    7", "adjust  ada   +7", "adjust  ada   -7"])
def test_a_retry_is_answered_as_before_and_changes_nothing(call: str) -> None:
    play(f"""
        enroll  ada            on 2026-01-05
        earn    ada   50       on 2026-01-05            → ok, balance 50
        {call}                 on 2026-01-06            → ok
        again                  on 2026-01-06            → replayed
        redeem  ada   40       on 2026-01-07            → ok
        again                  on 2026-01-07            → replayed
    """)


def test_a_purchase_retried_after_two_years_is_still_the_same_purchase() -> None:
    play("""
        enroll  ada            on 2026-01-05
        earn    ada    7       on 2026-01-06            → ok, balance 7
        again                  on 2028-01-06            → replayed
        earn    ada    7       on 2028-01-06  of 2026-01-06 → InvalidTime
    """)


def test_points_end_with_the_last_month_of_their_time_by_default() -> None:
    play("""
        enroll  ada            on 2024-01-05
        earn    ada   10       on 2024-02-01            → ok, left 10 to 2026-02-28
        earn    ada   20       on 2024-02-29 23:59      → ok, left 30 to 2026-02-28
        earn    ada   40       on 2024-03-01 00:00      → ok, left 40 to 2026-03-31
        redeem  ada    1       on 2026-02-28 23:59      → ok, balance 69
        redeem  ada   40       on 2026-03-01 00:00      → ok, booked EXPIRY -29, booked REDEMPTION -40, balance 0
    """)


def test_the_day_points_expire_on_ends_by_the_clock_of_the_program() -> None:
    # 8 March 2026 has 23 hours in New York, 1 November has 25: midnight is where the clock shows it.
    play("""
        expiry  1 days to the day
        enroll  ada            on 2026-03-01
        earn    ada    9       on 2026-03-07            → ok, left 9 to 2026-03-08
        look    ada            on 2026-03-08 23:59:59   → balance 9
        look    ada            on 2026-03-09 00:00      → balance 0
        earn    ada    9       on 2026-10-31            → ok, left 9 to 2026-11-01
        look    ada            on 2026-11-01 23:59:59   → balance 9
        look    ada            on 2026-11-02 00:00      → balance 0
    """)


def test_pending_points_can_be_spent_from_the_first_moment_of_their_day() -> None:
    play("""
        pending 14 days
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        earn    ada   30       on 2026-01-10 23:00      → ok, balance 0, pending 30, coming 30 on 2026-01-24
        redeem  ada   30       on 2026-01-23 23:59:59   → InsufficientPoints
        look    ada            on 2026-01-24 00:00      → balance 30, pending 0, booked MATURITY +0
        redeem  ada   30       on 2026-01-24 00:00      → ok, balance 0, booked MATURITY +0, booked REDEMPTION -30
    """)


def test_a_late_purchase_waits_no_longer_than_it_would_have() -> None:
    play("""
        pending 14 days
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        earn    ada   30       on 2026-02-10  of 2026-01-27 → ok, balance 30, pending 0, left 30 to 2026-07-27
        earn    ada   10       on 2026-02-10  of 2026-01-28 → ok, pending 10, coming 10 on 2026-02-11
    """)


def test_points_that_come_after_their_own_expiry_are_booked_and_expire_visibly() -> None:
    play("""
        expiry  1 months to the day
        enroll  ada            on 2026-01-05
        earn    ada   30       on 2026-05-01            → ok, balance 30
        earn    ada   12       on 2026-05-02  of 2026-04-01 → ok, balance 30, booked PURCHASE +12, booked EXPIRY -12
        earn    ada    8       on 2026-05-02  of 2026-04-02 → ok, balance 38, left 8 to 2026-05-02
        again                  on 2026-05-02            → replayed
    """)


def test_points_that_expire_before_they_mature_never_become_available() -> None:
    play("""
        expiry  10 days to the day
        pending 30 days
        enroll  ada            on 2026-01-05
        earn    ada   30       on 2026-01-10            → ok, pending 30
        redeem  ada    1       on 2026-02-09            → InsufficientPoints
        look    ada            on 2026-02-09            → balance 0, pending 0, booked MATURITY +0, booked EXPIRY -30
    """)


def test_points_that_never_expire_are_spent_last() -> None:
    play("""
        expiry  0 months to the day
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 to never
        expiry  1 months to the day
        earn    ada   10       on 2026-01-11            → ok, left 10 to 2026-02-11
        redeem  ada   15       on 2026-01-12            → ok, left 5 to never
        look    ada            on 2126-01-12            → balance 5
    """)


def test_nothing_bought_is_nothing_earned_and_still_a_line_of_the_history() -> None:
    play("""
        enroll  ada            on 2026-01-05
        earn    ada    0       on 2026-01-10            → ok, balance 0, booked PURCHASE +0
        again                  on 2026-01-11            → replayed
    """)


def test_a_clock_that_runs_behind_cannot_bring_expired_points_back() -> None:
    play("""
        expiry  1 days to the day
        enroll  ada            on 2026-01-05
        earn    ada   10       on 2026-01-10            → ok, left 10 to 2026-01-11
        earn    ada    1       on 2026-01-12 00:00      → ok, booked EXPIRY -10, balance 1
        redeem  ada   10       on 2026-01-11 23:59      → InsufficientPoints
        earn    ada    2       on 2026-01-11 23:59      → ok, balance 3, left 2 to 2026-01-12
    """)
