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


# --- holds and cancellations ------------------------------------------------------------------------------------------


def test_a_till_sets_points_aside_takes_what_the_sale_needs_and_gives_the_rest_back() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        earn    ada  100       on 2026-01-10            → ok, balance 100
        earn    ada   40       on 2026-01-20            → ok, balance 140
        hold    ada  120       on 2026-02-01 10:00      → ok, balance 20, held 120, left 20 to 2026-07-20
        redeem  ada   21       on 2026-02-01 10:01      → InsufficientPoints
        capture ada  121       on 2026-02-01 10:02      → CaptureExceedsHold
        capture ada  105       on 2026-02-01 10:03      → ok, balance 35, held 0, left 35 to 2026-07-20, booked CAPTURE -105
        again                  on 2026-02-01 10:04      → replayed
        capture ada            on 2026-02-01 10:05      → HoldEnded
        release ada            on 2026-02-01 10:06      → HoldEnded
    """)


def test_held_points_go_back_by_themselves_at_the_very_moment_the_hold_lapses() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        earn    ada  100       on 2026-01-10            → ok
        hold    ada  100       on 2026-02-01 10:00      → ok, balance 0, held 100
        look    ada            on 2026-02-01 10:14:59   → balance 0, held 100
        look    ada            on 2026-02-01 10:15      → balance 100, held 0, booked LAPSE +0
        capture ada            on 2026-02-01 10:15      → HoldEnded
        redeem  ada  100       on 2026-02-01 10:15      → ok, booked LAPSE +0, booked REDEMPTION -100, balance 0
        capture ada            on 2026-02-01 10:16      → HoldEnded
    """)


def test_a_hold_keeps_its_promise_over_midnight_and_what_goes_back_then_has_expired() -> None:
    play("""
        expiry  1 days to the day
        enroll  ada            on 2026-01-05
        earn    ada   50       on 2026-01-10            → ok, left 50 to 2026-01-11
        hold    ada   50       on 2026-01-11 23:50      → ok, held 50
        capture ada   30       on 2026-01-12 00:04      → ok, balance 0, booked CAPTURE -30, booked EXPIRY -20
        earn    ada   50       on 2026-01-12            → ok, left 50 to 2026-01-13
        hold    ada   50       on 2026-01-13 23:50      → ok, held 50
        look    ada            on 2026-01-14 00:05      → balance 0, held 0, booked LAPSE +0, booked EXPIRY -50
        release ada            on 2026-01-14 00:04      → ok, balance 0, booked RELEASE +0, booked EXPIRY -50
    """)


def test_points_of_a_cancelled_redemption_are_back_in_the_buckets_they_came_from() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        earn    ada  100       on 2026-01-10            → ok
        earn    ada   40       on 2026-01-20            → ok
        redeem  ada  120       on 2026-02-01            → ok, left 20 to 2026-07-20
        cancel  ada            on 2026-07-10 23:59      → ok, balance 140, left 100 to 2026-07-10, left 40 to 2026-07-20
        again                  on 2026-07-11            → replayed
        cancel  ada            on 2026-07-11            → RedemptionEnded
        look    ada            on 2026-07-11            → balance 40
    """)


def test_points_that_expired_while_they_were_redeemed_have_thirty_days_when_that_is_cancelled() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        earn    ada  100       on 2026-01-10            → ok
        earn    ada   40       on 2026-01-20            → ok
        redeem  ada  120       on 2026-02-01            → ok, left 20 to 2026-07-20
        cancel  ada            on 2026-07-11 00:00      → ok, balance 140, left 40 to 2026-07-20, left 100 to 2026-08-10
        look    ada            on 2026-08-10 23:59      → balance 100
        look    ada            on 2026-08-11 00:00      → balance 0
    """)


# --- blocked and closed -----------------------------------------------------------------------------------------------


def test_a_block_stops_points_and_not_time() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        earn    ada   50       on 2026-01-10            → ok, balance 50, status ACTIVE
        block   ada            on 2026-02-01            → ok, balance 50, status BLOCKED
        block   ada            on 2026-02-02            → AlreadyBlocked
        redeem  ada   10       on 2026-02-02            → MemberBlocked
        earn    ada   90       on 2026-02-03            → ok, balance 50, booked PURCHASE +0
        look    ada            on 2026-07-11            → balance 0, status BLOCKED, booked EXPIRY -50
        unblock ada            on 2026-07-11            → ok, booked EXPIRY -50, booked UNBLOCK +0, status ACTIVE
        unblock ada            on 2026-07-12            → NotBlocked
        earn    ada    5       on 2026-07-12            → ok, balance 5
        redeem  ada    5       on 2026-07-12            → ok, balance 0
    """)


def test_a_closed_account_keeps_nothing_and_its_key_still_answers() -> None:
    play("""
        pending 14 days
        enroll  ada            on 2026-01-05
        earn    ada   50       on 2026-01-10            → ok, pending 50
        adjust  ada  +20       on 2026-01-11            → ok, balance 20
        hold    ada   20       on 2026-01-12 10:00      → ok, held 20
        close   ada            on 2026-01-12 10:14      → HoldsOpen
        again                  on 2026-01-12 10:16      → HoldsOpen replayed
        close   ada            on 2026-01-12 10:16      → ok, booked LAPSE +0, booked CLOSURE -70, status CLOSED, pending 0
        again                  on 2026-01-13            → replayed
        redeem  ada    1       on 2026-01-13            → MemberNotFound
        look    ada            on 2030-01-01            → balance 0, pending 0, debt 0
    """)


# --- returns ----------------------------------------------------------------------------------------------------------


def test_parts_that_come_back_take_what_they_had_earned() -> None:
    play("""
        enroll  ada               on 2026-01-05
        earn    ada  100          on 2026-01-10  by tv  → ok, balance 100
        return  ada   25 from tv  on 2026-01-12  by r1  → ok, balance 75, booked RETURN -25
        again                     on 2026-01-13         → replayed
        return  ada   76 from tv  on 2026-01-14         → ReturnExceedsPurchase
        again                     on 2026-01-15         → ReturnExceedsPurchase replayed
        return  ada    1 from tv  on 2026-01-15  by r1  → IdempotencyKeyReused
        return  ada      from tv  on 2026-01-16         → ok, balance 0, booked RETURN -75
        return  ada      from tv  on 2026-01-17         → ReturnExceedsPurchase
    """)


def test_what_was_spent_is_owed_and_the_next_points_pay_it() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada               on 2026-01-05
        earn    ada  100          on 2026-01-10  by tv  → ok, balance 100
        redeem  ada   80          on 2026-01-11         → ok, balance 20
        return  ada      from tv  on 2026-01-12         → ok, balance 0, debt 80, booked RETURN -100
        earn    ada   50          on 2026-02-01         → ok, balance 0, debt 30, booked DEBT_PAYMENT +0
        earn    ada   50          on 2026-03-01         → ok, debt 0, left 20 to 2026-09-01
    """)


def test_terms_may_leave_the_member_what_is_gone() -> None:
    play("""
        returns clamp
        enroll  ada               on 2026-01-05
        earn    ada  100          on 2026-01-10  by tv  → ok, balance 100
        redeem  ada   80          on 2026-01-11         → ok, balance 20
        return  ada      from tv  on 2026-01-12         → ok, balance 0, debt 0, booked RETURN -20
    """)
    play("""
        returns pending_only
        pending 14 days
        enroll  ada               on 2026-01-05
        earn    ada  100          on 2026-01-10  by tv  → ok, pending 100
        return  ada   40 from tv  on 2026-01-23 23:59   → ok, pending 60, booked RETURN -40
        return  ada      from tv  on 2026-01-24 00:00   → ok, balance 60, debt 0, booked RETURN +0
    """)


def test_a_return_may_come_before_its_purchase() -> None:
    play("""
        enroll  ada               on 2026-01-05
        return  ada   30 from tv  on 2026-01-10  by r1  → parked
        again                     on 2026-01-10         → parked
        return  ada   90 from tv  on 2026-01-11  by r2  → parked
        earn    ada  100          on 2026-01-12  by tv  → ok, balance 70, booked RETURN -30, booked REFUSED +0
        again                     on 2026-01-12         → replayed
        return  ada   30 from tv  on 2026-01-13  by r1  → replayed
        return  ada   90 from tv  on 2026-01-13  by r2  → ReturnExceedsPurchase replayed
        return  ada      from tv  on 2026-01-14         → ok, balance 0
    """)


# --- gifts and merges -------------------------------------------------------------------------------------------------


def test_a_gift_keeps_its_dates_and_pays_what_the_receiver_owes() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        enroll  bob            on 2026-01-05
        earn    ada   30       on 2026-01-10            → ok
        earn    ada   30       on 2026-02-10            → ok
        give    ada   40 to bob on 2026-03-01           → ok, balance 20, left 20 to 2026-08-10, booked TRANSFER_OUT -40
        again                  on 2026-03-02            → replayed
        look    bob            on 2026-03-02            → balance 40, left 30 to 2026-07-10, left 10 to 2026-08-10
        give    bob    1 to bob on 2026-03-02           → TransferToSelf
        give    bob   41 to ada on 2026-03-02           → InsufficientPoints
        look    bob            on 2026-07-11            → balance 10, booked EXPIRY -30
        give    bob   10 to ada on 2026-08-10 23:59     → ok, booked EXPIRY -30, booked TRANSFER_OUT -10
        look    ada            on 2026-08-11            → balance 0, booked EXPIRY -30
    """)


def test_two_accounts_become_one_and_two_again() -> None:
    play("""
        expiry  6 months to the day
        enroll  ada            on 2026-01-05
        enroll  dup            on 2026-01-05
        earn    ada   30       on 2026-01-10            → ok
        earn    dup   50       on 2026-01-20            → ok
        merge   dup into ada   on 2026-02-01            → ok, balance 80, booked MERGE +50
        again                  on 2026-02-01            → replayed
        merge   ada into dup   on 2026-02-01            → MergeWithSelf
        earn    dup    5       on 2026-02-02            → ok, balance 85
        redeem  dup   60       on 2026-02-03            → ok, balance 25, left 20 to 2026-07-20, left 5 to 2026-08-02
        unmerge dup            on 2026-02-20            → ok, balance 5, booked UNMERGE -20
        again                  on 2026-02-20            → replayed
        look    dup            on 2026-02-20            → balance 20, left 20 to 2026-07-20
        unmerge dup            on 2026-02-20            → NotMerged
        earn    dup    1       on 2026-02-21            → ok, balance 21
        redeem  ada    6       on 2026-02-21            → InsufficientPoints
    """)
