"""Moments of a membership: which there are, when they come, and that each is had once."""

from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from domain import days, explanations, ledger, moments, programs, tiers, visits
from domain.accounts import State
from domain.documents import InvalidProgram
from domain.entries import EntryKind
from domain.moments import Birthday, Due, Moment, On
from domain.programs import Program
from storage.memory import Memory
from tests.domain.world import (
    DOCUMENT,
    adjust,
    at,
    at_once,
    block,
    buy,
    close,
    day,
    enroll,
    give,
    give_back,
    head_of,
    merge,
    owe,
    program,
    redeem,
    search,
    tick,
    unblock,
    unmerge,
    update,
)

NOW = at("2026-01-10")


def with_moments(*rules: dict[str, Any], **changes: Any) -> Program:
    return program(moments=list(rules), **changes)


def moment(on: On, number: int = 0, **more: Any) -> Moment:
    return Moment("it", on, number, **more)


def bonuses(store: Memory, account: str = "ADA") -> list[tuple[str, int]]:
    """Moment and points of every bonus of an account, in their order."""
    return [
        (moments.named_by(entry), entry.points)
        for record in store.records_after(account, 0, limit=1_000)
        for entry in record.entries
        if entry.kind is EntryKind.BONUS
    ]


# --- in a program -------------------------------------------------------------------------------------------------------

TIERS = {"ladder": [{"id": "blue", "name": "Blue", "threshold": 0}, {"id": "gold", "name": "Gold", "threshold": 100}]}
GOOD = {"id": "m", "when": "birthday", "points": 5, "title": "Hello $name"}


def test_a_moment_is_read_and_written_as_it_was() -> None:
    rules = [
        {"id": "welcome", "when": "enrollment", "points": 25, "valid_days": 90, "title": "Welcome", "text": "$points."},
        {"id": "third", "when": "purchase", "nth": 3, "points": 5, "valid_days": 0, "title": "", "text": ""},
        {"id": "vip", "when": "balance", "at_least": 1_000, "points": 0, "valid_days": 0, "title": "VIP", "text": ""},
        {"id": "missed", "when": "silence", "days": 60, "points": 10, "valid_days": 0, "title": "", "text": ""},
        {"id": "falling", "when": "tier_falling", "days": 30, "title": "Stay $tier", "text": ""},
        {"id": "month", "when": "month", "title": "Last month", "text": "$earned $spent $expiring $reward $missing"},
    ]
    parsed = with_moments(*rules, tiers=TIERS)

    assert moments.document(parsed.moments) == rules
    assert programs.parse(programs.document(parsed), version=1) == parsed
    assert parsed.moment("vip") == Moment("vip", On.BALANCE, 1_000, title="VIP")
    assert parsed.moment("nobody") is None


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        ({**GOOD, "when": "full_moon"}, "when", "must be one of"),
        ({"id": "m"}, "when", "must be one of"),
        ({**GOOD, "id": "No!"}, "id", "must match"),
        ({**GOOD, "points": -1}, "points", "must be a whole number from 0"),
        ({**GOOD, "points": True}, "points", "must be a whole number"),
        ({**GOOD, "valid_days": -1}, "valid_days", "must be a whole number"),
        ({**GOOD, "title": "Hello $nmae"}, "title", r"names \$nmae"),
        ({**GOOD, "text": "5 $ for you"}, "text", r"write \$\$"),
        ({**GOOD, "text": "$earned"}, "text", r"names \$earned"),
        ({**GOOD, "title": "x" * 201}, "title", "must be a text"),
        ({**GOOD, "surprise": 1}, "surprise", "is not a setting"),
        ({**GOOD, "nth": 1}, "nth", "is not a setting"),
        ({"id": "m", "when": "purchase", "title": "T"}, "nth", "is missing"),
        ({"id": "m", "when": "purchase", "nth": 0}, "nth", "must be a whole number from 1"),
        ({"id": "m", "when": "silence", "days": 0}, "days", "must be a whole number from 1"),
        ({"id": "m", "when": "silence", "days": 3_651}, "days", "must be a whole number"),
        ({"id": "m", "when": "balance", "at_least": 0}, "at_least", "must be a whole number from 1"),
        ({"id": "m", "when": "tier_up"}, "when", "needs tiers"),
        ({"id": "m", "when": "tier_falling", "days": 30, "title": "T"}, "when", "needs tiers"),
        ({"id": "m", "when": "month"}, "title", "is missing"),
        ({"id": "m", "when": "month", "title": "T", "points": 5}, "points", "is not a setting"),
    ],
)
def test_a_moment_that_cannot_be_is_refused_with_its_path(rule: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message) as refused:
        with_moments(rule)
    assert refused.value.field == ("moments", "0", path)


def test_two_moments_of_one_id_are_refused() -> None:
    with pytest.raises(InvalidProgram, match="another moment") as refused:
        with_moments(GOOD, {**GOOD, "when": "anniversary"})
    assert refused.value.field == ("moments", "0", "id")


# --- that follow an operation -------------------------------------------------------------------------------------------


def test_a_welcome_is_in_the_first_record() -> None:
    store = Memory()
    terms = with_moments({"id": "welcome", "when": "enrollment", "points": 25, "valid_days": 90})
    enroll(store, "ada", NOW, program=terms)

    head = head_of(store, "ADA")
    assert [entry.kind for entry in head.entries] == [EntryKind.ENROLLMENT, EntryKind.BONUS]
    assert head.state.buckets == {day("2026-04-10"): 25}
    assert (day("2026-04-10"), "ADA") in store.due


def test_a_welcome_is_not_given_to_those_who_joined_before_there_was_one() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    buy(
        store, "ada", 500, NOW, receipt="1", program=with_moments({"id": "welcome", "when": "enrollment", "points": 25})
    )

    assert bonuses(store) == []


THIRD = {"id": "third", "when": "purchase", "nth": 3, "points": 10}


def test_the_third_purchase_is_the_third_and_no_other() -> None:
    store = Memory()
    terms = with_moments(THIRD)
    enroll(store, "ada", NOW, program=terms)
    for number in range(5):
        buy(store, "ada", 100, NOW, receipt=f"{number}", program=terms)
        buy(store, "ada", 100, NOW, receipt=f"{number}", program=terms)

    assert bonuses(store) == [("third", 10)]
    assert head_of(store, "ADA").seq == 6
    third = store.records_after("ADA", 3, limit=1)[0]
    assert [entry.kind for entry in third.entries] == [EntryKind.PURCHASE, EntryKind.BONUS]
    # What came with the purchase lives as long as its points.
    assert third.entries[0].lines[0].expires == third.entries[1].lines[0].expires


def test_who_had_bought_more_often_before_there_was_such_a_moment_does_not_have_it() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    for number in range(5):
        buy(store, "ada", 100, NOW, receipt=f"{number}", program=with_moments(THIRD) if number > 2 else program())

    assert bonuses(store) == []


def test_purchases_that_a_merge_brought_are_counted_no_more_when_it_is_undone() -> None:
    rules, store = with_moments(THIRD), Memory()
    for name in ("ada", "dup"):
        enroll(store, name, NOW, program=rules)
        buy(store, name, 1_000, NOW, receipt=f"{name} 1", program=rules)
    merge(store, "dup", "ada", NOW, key="m", program=rules)
    unmerge(store, "dup", NOW, key="u", program=rules)

    buy(store, "ada", 1_000, NOW, receipt="ada 2", program=rules)
    assert bonuses(store) == []
    buy(store, "ada", 1_000, NOW, receipt="ada 3", program=rules)
    assert bonuses(store) == [("third", 10)]


def test_third_purchases_at_once_bring_one_bonus() -> None:
    store = Memory()
    terms = with_moments(THIRD)
    enroll(store, "ada", NOW, program=terms)

    at_once(
        [lambda number=number: buy(store, "ada", 100, NOW, receipt=f"{number}", program=terms) for number in range(20)]
    )

    assert bonuses(store) == [("third", 10)]
    assert head_of(store, "ADA").state.balance == 30


VIP = {"id": "vip", "when": "balance", "at_least": 1_000, "points": 50}


@pytest.mark.parametrize(("points", "had"), [(999, []), (1_000, [("vip", 50)]), (1_001, [("vip", 50)])])
def test_a_milestone_is_reached_at_its_balance(points: int, had: list[tuple[str, int]]) -> None:
    store = Memory()
    terms = with_moments(VIP)
    enroll(store, "ada", NOW, program=terms)
    adjust(store, "ada", points, NOW, key="1", program=terms)

    assert bonuses(store) == had


def test_a_milestone_is_had_once_however_often_the_balance_passes_it() -> None:
    store = Memory()
    terms = with_moments(VIP)
    enroll(store, "ada", NOW, program=terms)
    for number, points in enumerate((1_000, -900, 1_000, -900, 1_000)):
        adjust(store, "ada", points, NOW, key=f"{number}", program=terms)

    assert bonuses(store) == [("vip", 50)]


def test_a_gift_that_reaches_the_milestone_brings_it_to_who_receives_it() -> None:
    store = Memory()
    terms = with_moments(VIP)
    for name in ("ada", "bob"):
        enroll(store, name, NOW, program=terms)
    adjust(store, "ada", 950, NOW, key="1", program=terms)
    adjust(store, "bob", 100, NOW, key="2", program=terms)
    give(store, "bob", "ada", 50, NOW, key="3", program=terms)

    assert (bonuses(store, "ADA"), bonuses(store, "BOB")) == ([("vip", 50)], [])


def test_a_bonus_can_bring_another_moment_in_the_same_record() -> None:
    store = Memory()
    terms = with_moments({"id": "first", "when": "purchase", "nth": 1, "points": 1_000}, VIP)
    enroll(store, "ada", NOW, program=terms)
    bought = buy(store, "ada", 100, NOW, receipt="1", program=terms)

    assert bonuses(store) == [("first", 1_000), ("vip", 50)]
    assert [entry.balance_after for entry in bought.record.entries] == [1, 1_001, 1_051]


def test_each_better_tier_is_a_moment() -> None:
    store = Memory()
    ladder = [*TIERS["ladder"], {"id": "black", "name": "Black", "threshold": 1_000}]
    terms = with_moments({"id": "up", "when": "tier_up", "points": 7}, tiers={"ladder": ladder})
    enroll(store, "ada", NOW, program=terms)
    buy(store, "ada", 10_000, NOW, receipt="1", program=terms)
    buy(store, "ada", 10_000, NOW, receipt="2", program=terms)
    buy(store, "ada", 200_000, NOW, receipt="3", program=terms)

    assert bonuses(store) == [("up", 7), ("up", 7)]


# --- that come with a day -----------------------------------------------------------------------------------------------

JOINED, TODAY = day("2026-01-10"), day("2027-03-10")


def state_of(**marks: int) -> State:
    return State(
        NOW, marks={tiers.JOINED: JOINED, **{name.replace("m_", "m."): value for name, value in marks.items()}}
    )


def test_a_birthday_is_due_on_its_day_and_fourteen_days_after_it() -> None:
    rule = moment(On.BIRTHDAY)
    born = Birthday(3, 10, known=JOINED)

    due = [
        offset for offset in range(-3, 20) if moments.due((rule,), state_of(), TODAY + offset, birthday=born)
    ]  # fmt: skip

    assert due == list(range(moments.CATCH_UP_DAYS + 1))
    assert moments.due((rule,), state_of(), TODAY + 1, birthday=born) == [Due(rule, TODAY, 2027)]


def test_a_birthday_is_had_once_a_year_whatever_date_it_becomes() -> None:
    rule = moment(On.BIRTHDAY)
    had = state_of(m_it=2027)

    assert moments.due((rule,), had, TODAY, birthday=Birthday(3, 10, known=JOINED)) == []
    assert moments.due((rule,), had, TODAY + 90, birthday=Birthday(6, 8, known=TODAY)) == []
    assert moments.due((rule,), had, day("2028-06-08"), birthday=Birthday(6, 8, known=TODAY)) != []


def test_who_tells_their_birthday_after_the_day_has_it_next_year() -> None:
    rule = moment(On.BIRTHDAY)

    for known, due in ((TODAY - 1, True), (TODAY, True), (TODAY + 1, False)):
        found = moments.due((rule,), state_of(), TODAY + 1, birthday=Birthday(3, 10, known=known))
        assert bool(found) is due, known - TODAY
    assert moments.due((rule,), state_of(), day("2028-03-10"), birthday=Birthday(3, 10, known=TODAY + 1)) != []


def test_who_joins_after_their_birthday_has_it_next_year() -> None:
    rule = moment(On.BIRTHDAY)

    assert moments.due((rule,), state_of(), JOINED + 1, birthday=Birthday(1, 9, known=JOINED)) == []
    assert moments.due((rule,), state_of(), JOINED, birthday=Birthday(1, 10, known=JOINED)) != []


@pytest.mark.parametrize(
    ("on", "day_of_year"),
    [
        ("2027-02-27", None),
        ("2027-02-28", "2027-02-28"),
        ("2027-03-01", "2027-02-28"),
        ("2028-02-28", None),
        ("2028-02-29", "2028-02-29"),
    ],
)
def test_a_birthday_on_29_february_is_the_28th_in_other_years(on: str, day_of_year: str | None) -> None:
    found = moments.due((moment(On.BIRTHDAY),), state_of(), day(on), birthday=Birthday(2, 29, known=JOINED))

    assert [each.day for each in found] == ([day(day_of_year)] if day_of_year else [])


def test_a_birthday_at_the_turn_of_the_year_counts_for_the_year_it_is_in() -> None:
    born = Birthday(12, 31, known=JOINED)

    (due,) = moments.due((moment(On.BIRTHDAY),), state_of(), day("2027-01-05"), birthday=born)

    assert (due.day, due.mark) == (day("2026-12-31"), 2026)
    assert moments.due((moment(On.BIRTHDAY),), state_of(m_it=2026), day("2027-01-05"), birthday=born) == []
    assert moments.due((moment(On.BIRTHDAY),), state_of(m_it=2026), day("2027-12-31"), birthday=born) != []


def test_nobody_has_a_birthday_that_nobody_knows() -> None:
    assert moments.due((moment(On.BIRTHDAY),), state_of(), TODAY, birthday=None) == []


def test_an_anniversary_is_not_the_day_of_joining() -> None:
    rule = moment(On.ANNIVERSARY)

    due = [
        offset for offset in range(800) if moments.due((rule,), state_of(m_it=2026), JOINED + offset, birthday=None)
    ]  # fmt: skip

    assert due == [*range(365, 380), *range(730, 745)]
    assert moments.due((rule,), state_of(), JOINED + 5, birthday=None) == []


def test_a_silence_is_had_once_until_an_activity_ends_it() -> None:
    rule = moment(On.SILENCE, 60)

    assert moments.due((rule,), state_of(), JOINED + 59, birthday=None) == []
    assert moments.due((rule,), state_of(), JOINED + 60, birthday=None) == [Due(rule, JOINED + 60, JOINED)]
    assert moments.due((rule,), state_of(m_it=JOINED), JOINED + 300, birthday=None) == []
    active = state_of(active=JOINED + 100, m_it=JOINED)
    assert moments.due((rule,), active, JOINED + 159, birthday=None) == []
    assert moments.due((rule,), active, JOINED + 500, birthday=None) == [Due(rule, JOINED + 160, JOINED + 100)]


def test_an_account_that_knows_of_no_day_has_no_silence() -> None:
    """As one from before accounts knew when they were opened."""
    assert moments.due((moment(On.SILENCE, 1), moment(On.ANNIVERSARY)), State(NOW), TODAY, birthday=None) == []


@given(st.dates(), st.integers(0, 20_000))
@search(500)
def test_yearly_dates_come_once_a_year_and_in_order(on: Any, today: int) -> None:
    month_day = (on.month, on.day)
    before, after = moments.latest(month_day, today), moments.upcoming(month_day, today)

    assert before <= today < after
    assert 365 <= after - before <= 366
    assert moments.latest(month_day, after) == after
    assert moments.upcoming(month_day, after - 1) == after
    assert days.date_of(after).year - days.date_of(before).year == 1


# --- what a profile says ------------------------------------------------------------------------------------------------


def test_a_silence_that_is_known_gets_a_due_row_when_it_begins() -> None:
    store = Memory()
    terms = with_moments({"id": "missed", "when": "silence", "days": 60, "points": 5})
    enroll(store, "ada", NOW, program=terms)
    buy(store, "ada", 100, NOW + timedelta(days=5), receipt="1", program=terms)

    # The row of the first silence waits; its visit finds where the day has moved to.
    assert {on for on, _ in store.due if on < JOINED + 100} == {JOINED + 60}


def test_points_of_a_moment_are_explained() -> None:
    assert moments.rule_of(moment(On.BIRTHDAY)) == "moment:it"
    store = Memory()
    terms = with_moments({"id": "welcome", "when": "enrollment", "points": 25})
    enroll(store, "ada", NOW, program=terms)
    (entry,) = head_of(store, "ADA").entries[1:]
    assert [(each.rule, each.points) for each in entry.explanation] == [("moment:welcome", 25)]
    assert moments.named_by(head_of(store, "ADA").entries[0]) == ""


def test_a_document_without_moments_has_none() -> None:
    assert "moments" not in DOCUMENT
    assert program().moments == ()


def test_nothing_is_due_to_who_only_changed_their_name() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    update(store, "ada", NOW, key="1", name="Ada")

    assert bonuses(store) == []
    assert ledger.known_head(store, "ADA").state.marks == {tiers.JOINED: JOINED}


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"when": "enrollment"}, "5 points for joining."),
        ({"when": "purchase", "nth": 1}, "5 points for the first purchase."),
        ({"when": "purchase", "nth": 3}, "5 points for purchase number 3."),
        ({"when": "balance", "at_least": 1_000}, "5 points for a balance of 1000 points."),
        ({"when": "tier_up"}, "5 points for a better tier."),
        ({"when": "birthday"}, "5 points for the birthday."),
        ({"when": "anniversary"}, "5 points for the anniversary of joining."),
        ({"when": "silence", "days": 60}, "5 points for 60 days without an activity."),
    ],
)
def test_support_can_say_what_the_points_were_for(rule: dict[str, Any], sentence: str) -> None:
    terms = with_moments({"id": "m", "points": 5, **rule}, tiers=TIERS)
    given = moments.bonus(State(NOW), terms.moments[0], 1, points=5, expires=JOINED, today=JOINED, at=NOW)

    assert explanations.describe(given.explanation[0], given, terms) == sentence
    assert explanations.describe(given.explanation[0], given, program()) == "5 points for a moment of the membership."


# --- milestones ---------------------------------------------------------------------------------------------------------

MILESTONE = {"id": "vip", "when": "balance", "at_least": 1_000, "points": 500}


def test_a_milestone_is_judged_after_a_debt_is_paid() -> None:
    store, terms = Memory(), with_moments(MILESTONE)
    enroll(store, "ada", NOW, program=terms)
    owe(store, "ada", 900, NOW, key="o")

    buy(store, "ada", 100_000, NOW, receipt="1", program=terms)
    assert bonuses(store) == []
    assert head_of(store, "ADA").state.balance == 100

    buy(store, "ada", 90_000, NOW, receipt="2", program=terms)
    assert bonuses(store) == [("vip", 500)]
    assert head_of(store, "ADA").state.balance == 1_500


def test_what_a_milestone_brings_pays_a_debt_too() -> None:
    """Debt and points stand beside each other only until the record ends."""
    store, terms = Memory(), with_moments({**MILESTONE, "at_least": 10})
    enroll(store, "ada", NOW, program=terms)
    owe(store, "ada", 5, NOW, key="o")

    buy(store, "ada", 1_500, NOW, receipt="1", program=terms)

    state = head_of(store, "ADA").state
    assert (state.balance, state.debt) == (510, 0)


def test_points_that_are_booked_after_their_expiry_reach_no_milestone() -> None:
    store = Memory()
    terms = with_moments(MILESTONE, expiry={"months": 0, "days": 5, "rounding": "day"})
    enroll(store, "ada", NOW, program=terms)

    buy(
        store, "ada", 100_000, NOW + timedelta(days=20), receipt="1", occurred_at=NOW + timedelta(days=1), program=terms
    )

    assert bonuses(store) == []
    assert head_of(store, "ADA").state.balance == 0


@pytest.mark.parametrize("is_visited", [True, False])
def test_points_that_mature_reach_a_milestone_though_they_are_spent_at_once(is_visited: bool) -> None:
    store = Memory()
    terms = with_moments(MILESTONE, pending={"days": 10})
    enroll(store, "ada", NOW, program=terms)
    buy(store, "ada", 100_000, NOW, receipt="1", program=terms)
    assert bonuses(store) == []
    later = NOW + timedelta(days=30)

    if is_visited:
        tick(store, "ADA", now=later, program=terms)
        assert bonuses(store) == []
        visits.visit(store, terms, "ADA", now=later, telling=True)
        assert bonuses(store) == [("vip", 500)]
    redeem(store, "ada", "latte", later, key="r", program=terms)
    redeem(store, "ada", "latte", later, key="r", program=terms)

    assert bonuses(store) == [("vip", 500)]


def test_a_return_that_waited_and_is_refused_takes_no_milestone_away() -> None:
    store, terms = Memory(), with_moments({**MILESTONE, "at_least": 50})
    enroll(store, "ada", NOW, program=terms)
    give_back(store, "1", NOW, key="r", amount=999_999, program=terms)

    buy(store, "ada", 6_000, NOW, receipt="1", program=terms)

    assert [entry.kind for entry in head_of(store, "ADA").entries] == [
        EntryKind.PURCHASE,
        EntryKind.REFUSED,
        EntryKind.BONUS,
    ]
    assert bonuses(store) == [("vip", 500)]


def test_what_a_milestone_brings_lives_as_long_as_points_of_that_day_whenever_the_purchase_was() -> None:
    store, before = Memory(), with_moments(expiry={"months": 0, "days": 5, "rounding": "day"})
    terms = with_moments({**MILESTONE, "at_least": 50}, expiry={"months": 0, "days": 5, "rounding": "day"})
    enroll(store, "ada", NOW, program=before)
    later = NOW + timedelta(days=20)
    adjust(store, "ada", 60, later, key="a", program=before)

    buy(store, "ada", 1_000, later, receipt="1", occurred_at=NOW + timedelta(days=1), program=terms)

    assert bonuses(store) == [("vip", 500)]
    assert head_of(store, "ADA").state.balance == 560


def test_one_milestone_may_reach_the_next_and_a_blocked_account_none() -> None:
    store = Memory()
    terms = with_moments(MILESTONE, {"id": "next", "when": "balance", "at_least": 1_500, "points": 1})
    enroll(store, "ada", NOW, program=terms)
    enroll(store, "bob", NOW, program=terms)
    block(store, "bob", NOW, key="b")

    for name in ("ada", "bob"):
        adjust(store, name, 1_000, NOW, key=name, program=terms)
        adjust(store, name, 1_000, NOW, key=f"{name} again", program=terms)

    assert bonuses(store) == [("vip", 500), ("next", 1)]
    assert bonuses(store, "BOB") == []


def test_a_call_that_closes_an_account_or_is_refused_reaches_none() -> None:
    store = Memory()
    before, terms = with_moments(), with_moments(MILESTONE)
    enroll(store, "ada", NOW, program=before)
    buy(store, "ada", 100_000, NOW, receipt="1", program=before)

    close(store, "ada", NOW, key="c", program=terms)

    assert bonuses(store) == []
    assert head_of(store, "ADA").state.balance == 0


# --- what a block, a merge and a late receipt do to moments ---------------------------------------------------------------


def test_purchases_in_a_block_are_not_counted() -> None:
    store, terms = Memory(), with_moments(THIRD)
    enroll(store, "ada", NOW, program=terms)
    for number in (1, 2):
        buy(store, "ada", 1_000, NOW, receipt=f"{number}", program=terms)
    block(store, "ada", NOW, key="b")
    buy(store, "ada", 1_000, NOW, receipt="blocked", program=terms)
    unblock(store, "ada", NOW, key="u")

    buy(store, "ada", 1_000, NOW, receipt="3", program=terms)

    assert bonuses(store) == [("third", 10)]


MISSED = {"id": "missed", "when": "silence", "days": 30, "points": 15}


def silent(store: Memory, name: str, since: str, until: str, terms: Program) -> None:
    enroll(store, name, at(since), program=terms)
    visits.visit(store, terms, name.upper(), now=at(until), telling=True)


def test_a_receipt_from_before_joining_begins_no_other_silence() -> None:
    store, terms = Memory(), with_moments(MISSED)
    silent(store, "ada", "2026-01-12", "2026-02-15", terms)
    assert bonuses(store) == [("missed", 15)]

    buy(store, "ada", 1_000, at("2026-02-16"), receipt="1", occurred_at=at("2026-01-05"), program=terms)
    for on in ("2026-02-17", "2026-03-17"):
        visits.visit(store, terms, "ADA", now=at(on), telling=True)

    assert bonuses(store) == [("missed", 15)]


def test_nor_does_it_make_the_first_one_come_early() -> None:
    store, terms = Memory(), with_moments(MISSED)
    enroll(store, "ada", at("2026-01-12"), program=terms)
    buy(store, "ada", 1_000, at("2026-01-13"), receipt="1", occurred_at=at("2026-01-05"), program=terms)

    visits.visit(store, terms, "ADA", now=at("2026-02-10"), telling=True)
    assert bonuses(store) == []
    visits.visit(store, terms, "ADA", now=at("2026-02-11"), telling=True)
    assert bonuses(store) == [("missed", 15)]


def test_a_merge_with_somebody_who_joined_before_begins_no_other_silence() -> None:
    store, terms = Memory(), with_moments(MISSED)
    silent(store, "bob", "2026-01-02", "2026-02-15", terms)
    silent(store, "ada", "2026-01-12", "2026-02-15", terms)

    merge(store, "bob", "ada", at("2026-02-16"), key="m", program=terms)
    visits.visit(store, terms, "ADA", now=at("2026-02-17"), telling=True)

    assert bonuses(store) == [("missed", 15)]


def test_a_silence_after_one_that_passed_in_a_block_is_noted() -> None:
    store, terms = Memory(), with_moments(MISSED)
    enroll(store, "ada", at("2026-01-12"), program=terms)
    block(store, "ada", at("2026-01-20"), key="b")
    unblock(store, "ada", at("2026-03-01"), key="u", program=terms)
    assert (day("2026-03-02"), "ADA") in store.due

    buy(store, "ada", 1_000, at("2026-03-01"), receipt="1", program=terms)

    assert (day("2026-03-31"), "ADA") in store.due


def test_an_undone_merge_leaves_each_with_a_life_of_their_own() -> None:
    """When they joined, when they were there last, and which moments they had."""
    terms = with_moments(
        {"id": "birthday", "when": "birthday", "points": 30},
        {"id": "year", "when": "anniversary", "points": 12},
        MISSED,
    )
    store = Memory()
    enroll(store, "ada", at("2025-11-20"), program=terms, birthday=Birthday(6, 1))
    enroll(store, "bob", at("2024-05-05"), program=terms, birthday=Birthday(1, 15))
    buy(store, "ada", 1_000, at("2026-01-02"), receipt="1", program=terms)
    buy(store, "bob", 1_000, at("2026-01-20"), receipt="2", program=terms)
    visits.visit(store, terms, "BOB", now=at("2026-01-20"), telling=True)
    own = head_of(store, "ADA").state.marks

    merge(store, "bob", "ada", at("2026-01-21"), key="m", program=terms)
    together = head_of(store, "ADA").state.marks
    unmerge(store, "bob", at("2026-01-22"), key="u", program=terms)

    assert together == {"active": day("2026-01-20"), "joined": day("2024-05-05"), "m.birthday": 2_026, "purchases": 2}
    # Whoever was there last may have been both.
    assert head_of(store, "ADA").state.marks == {**own, "active": day("2026-01-20")}
    visits.visit(store, terms, "ADA", now=at("2026-05-05"), telling=True)
    visits.visit(store, terms, "ADA", now=at("2026-06-01"), telling=True)
    assert [each for each in bonuses(store) if each[0] != "missed"] == [("birthday", 30)]


def test_of_several_accounts_in_one_nothing_is_taken_that_may_be_anothers() -> None:
    """Bob and Cyd both had the milestone; whoever is parted first, it was had, and is not had again."""
    terms = with_moments({"id": "fifty", "when": "balance", "at_least": 50, "points": 5})
    store = Memory()
    for name, joined in (("ada", "2026-01-01"), ("bob", "2025-11-01"), ("cyd", "2025-12-01")):
        enroll(store, name, at(joined), program=terms)
    for name in ("bob", "cyd"):
        adjust(store, name, 60, at("2026-01-02"), key=name, program=terms)
        merge(store, name, "ada", at("2026-01-03"), key=f"m {name}", program=terms)

    for name in ("bob", "cyd"):
        unmerge(store, name, at("2026-01-04"), key=f"u {name}", program=terms)
        adjust(store, "ada", 60, at("2026-01-04"), key=f"a {name}", program=terms)

    assert bonuses(store) == []
    assert head_of(store, "ADA").state.marks["m.fifty"] == 1


@pytest.mark.parametrize("on", ["2026-01-20", "2026-01-22"])
def test_what_the_survivor_did_on_the_day_of_the_others_last_visit_ends_a_silence(on: str) -> None:
    terms = with_moments(MISSED)
    store = Memory()
    for name in ("ada", "bob"):
        enroll(store, name, at("2026-01-02"), program=terms)
    buy(store, "bob", 1_000, at("2026-01-20 09:00"), receipt="1", program=terms)
    merge(store, "bob", "ada", at("2026-01-20 10:00"), key="m", program=terms)
    buy(store, "ada", 1_000, at(f"{on} 15:00"), receipt="2", program=terms)
    unmerge(store, "bob", at("2026-01-23"), key="u", program=terms)

    visits.visit(store, terms, "ADA", now=at("2026-02-10"), telling=True)
    assert bonuses(store) == []
    visits.visit(store, terms, "ADA", now=at("2026-02-21"), telling=True)
    assert bonuses(store) == [("missed", 15)]


def test_what_the_survivor_did_while_two_were_one_stays_when_they_are_two_again() -> None:
    terms = with_moments(MISSED)
    store = Memory()
    for name in ("ada", "bob"):
        enroll(store, name, at("2026-01-02"), program=terms)
        buy(store, name, 1_000, at("2026-01-05" if name == "ada" else "2026-01-20"), receipt=name, program=terms)
    merge(store, "bob", "ada", at("2026-01-21"), key="m", program=terms)
    buy(store, "ada", 1_000, at("2026-01-22"), receipt="together", program=terms)
    unmerge(store, "bob", at("2026-01-23"), key="u", program=terms)

    assert head_of(store, "ADA").state.marks == {
        "active": day("2026-01-22"),
        "joined": day("2026-01-02"),
        "purchases": 2,
    }


# --- all the time ---------------------------------------------------------------------------------------------------------


def for_ever(metric: str = "points", lifetime: int | None = 20_000) -> Program:
    gold: dict[str, Any] = {"id": "gold", "name": "Gold", "threshold": 10_000}
    if lifetime:
        gold["lifetime"] = lifetime
    ladder = [{"id": "blue", "name": "Blue", "threshold": 0}, gold]
    return program(tiers={"metric": metric, "ladder": ladder}, returns={"policy": "debt"})


def test_a_return_of_what_never_counted_for_ever_takes_nothing_from_what_did() -> None:
    store = Memory()
    enroll(store, "ada", NOW, program=for_ever(lifetime=None))
    buy(store, "ada", 100_000, NOW, receipt="before", program=for_ever(lifetime=None))
    terms = for_ever()
    buy(store, "ada", 50_000, NOW, receipt="after", program=terms)

    give_back(store, "before", NOW, key="1", program=terms)
    assert head_of(store, "ADA").state.marks["lifetime"] == 500

    give_back(store, "after", NOW, key="2", program=terms)
    assert "lifetime" not in head_of(store, "ADA").state.marks


def test_a_return_after_the_ladder_counts_something_else_takes_from_what_its_purchase_counted_for() -> None:
    store = Memory()
    enroll(store, "ada", NOW, program=for_ever())
    buy(store, "ada", 50_000, NOW, receipt="1", program=for_ever())
    buy(store, "ada", 50_000, NOW, receipt="2", program=for_ever("spend"))

    give_back(store, "1", NOW, key="1", program=for_ever("spend"))

    marks = head_of(store, "ADA").state.marks
    assert (marks.get("lifetime"), marks["lifetime.spend"]) == (None, 500)
