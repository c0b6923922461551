"""Notices: what a member is told, in which words, whether they agreed to it, and that it is given once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import limits, notices, programs
from domain.accounts import Hold, Origin, Standing, State
from domain.documents import InvalidProgram
from domain.entries import EntryKind
from domain.expiry import Rolling
from domain.members import Profile
from domain.notices import Consent, Notice, NoticeKind, NoticeNotFound, TooManyNotices
from domain.refusals import MemberNotFound, OutcomeUnknown
from storage.memory import Memory
from tests.domain.world import (
    adjust,
    at,
    at_once,
    buy,
    contents,
    day,
    enroll,
    head_of,
    hold,
    program,
    redeem,
    refuses,
    unchanged,
    update,
)

NOW = at("2026-01-10")
TODAY = day("2026-01-10")
PROFILE = Profile(NOW, name="Ada")
WELCOME = {"id": "welcome", "when": "enrollment", "points": 25, "title": "Welcome, $name", "text": "$points, $balance."}
TERMS = program(moments=[WELCOME])
LADDER = {
    "grace_days": 0,
    "ladder": [
        {"id": "blue", "name": "Blue", "threshold": 0},
        {"id": "silver", "name": "Silver", "threshold": 100},
        {"id": "gold", "name": "Gold", "threshold": 500},
    ],
}


def told(store: Memory, account: str = "ADA") -> list[Notice]:
    return list(store.notices(account, limit=100))


def notice(about: str = "x.1", *, on: int = TODAY, **more: Any) -> Notice:
    return Notice(NoticeKind.REMINDER, on, about, NOW, 1, **more)


# --- rules --------------------------------------------------------------------------------------------------------------


def test_rules_are_read_and_written_as_they_were() -> None:
    rules = {
        "stages": [45, 10],
        "quiet_from": 20,
        "quiet_until": 8,
        "title": "$points",
        "text": "Until $date, $name.",
        "nameless": "Gast",
        "defaults": {"reminders": True, "offers": False, "summary": False},
    }
    terms = program(notices=rules)

    assert notices.document(terms.notices) == rules
    assert programs.parse(programs.document(terms), version=1) == terms
    assert program(notices={"stages": [7, 30, 15]}).notices.stages == (30, 15, 7)
    assert program(notices={"stages": []}).notices.stages == ()
    assert program().notices == notices.NoticeRules()


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ({"stages": [0]}, "stages"),
        ({"stages": [-1]}, "stages"),
        ({"stages": [7, 7]}, "stages"),
        ({"stages": [366]}, "stages"),
        ({"stages": [True]}, "stages"),
        ({"stages": "30"}, "stages"),
        ({"stages": list(range(1, 8))}, "stages"),
        ({"quiet_from": 24}, "quiet_from"),
        ({"quiet_until": -1}, "quiet_until"),
        ({"title": ""}, "title"),
        ({"title": "$stage"}, "title"),
        ({"text": "100 $"}, "text"),
        ({"defaults": {"reminders": "yes"}}, "defaults.reminders"),
        ({"defaults": {"push": True}}, "defaults.push"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_rules_that_cannot_be_are_refused_with_their_path(rules: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidProgram) as refused:
        program(notices=rules)
    assert ".".join(refused.value.field) == f"notices.{path}"


# --- consent ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consent", Consent)
@pytest.mark.parametrize(
    ("answer", "default", "agrees"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_an_answer_counts_and_without_one_the_default_does(
    consent: Consent, answer: bool | None, default: bool, agrees: bool
) -> None:
    terms = program(notices={"defaults": {consent.value: default}})
    profile = replace(PROFILE, consents={} if answer is None else {consent: answer})

    assert notices.agrees(profile, consent, terms) is agrees


def test_without_consent_nothing_is_told_and_the_points_are_given_all_the_same() -> None:
    store = Memory()
    enroll(store, "ada", NOW, program=TERMS, consents={Consent.OFFERS: False})

    assert told(store) == []
    assert head_of(store, "ADA").state.balance == 25


def test_the_answer_that_stands_when_a_record_is_read_counts() -> None:
    store = Memory()
    enroll(store, "ada", NOW, program=TERMS, consents={Consent.OFFERS: False})
    welcome = head_of(store, "ADA")
    assert notices.tell(store, welcome, TERMS) == []
    update(store, "ada", NOW, key="1", program=TERMS, consents={Consent.OFFERS: True})

    assert [each.moment for each in notices.tell(store, welcome, TERMS)] == ["welcome"]


def test_each_kind_of_notice_asks_for_its_consent() -> None:
    assert notices.CONSENTS.keys() == set(NoticeKind)
    for kind, needed in notices.CONSENTS.items():
        for consent in Consent:
            store = Memory()
            profile = replace(PROFILE, consents={consent: False})
            given = notices.give(store, "ADA", profile, [replace(notice(), kind=kind)], TERMS)
            assert bool(given) is (consent is not needed)


def test_nobody_is_told_who_has_no_profile() -> None:
    store = Memory()

    with unchanged(store):
        assert notices.give(store, "ADA", None, [notice()], TERMS) == []


# --- of an entry --------------------------------------------------------------------------------------------------------


def test_a_moment_is_told_right_after_the_operation_that_brought_it() -> None:
    store = Memory()
    enroll(store, "ada", NOW, program=TERMS, name="Ada")

    (welcome,) = told(store)
    assert welcome == Notice(
        kind=NoticeKind.MOMENT,
        day=TODAY,
        about="e.0000000001.001",
        at=NOW,
        version=1,
        moment="welcome",
        args={"points": 25, "balance": 25, "date": day("2028-01-31")},
    )
    assert notices.worded(welcome, TERMS, name="Ada") == ("Welcome, Ada", "25, 25.")


def test_a_moment_without_a_title_is_not_told() -> None:
    store = Memory()
    enroll(store, "ada", NOW, program=program(moments=[{"id": "welcome", "when": "enrollment", "points": 25}]))

    assert told(store) == []


def test_who_reads_the_record_again_gives_no_second_notice() -> None:
    store = Memory()
    enroll(store, "ada", NOW, program=TERMS)
    later = replace(program(moments=[WELCOME], timezone="Pacific/Kiritimati"), version=7)

    before = contents(store)
    assert notices.tell(store, head_of(store, "ADA"), TERMS) == []
    # Not even under a later version of the program, in another time zone.
    assert notices.tell(store, head_of(store, "ADA"), later) == []
    assert contents(store) == before


def test_a_notice_that_the_store_did_not_take_is_given_by_whoever_reads_the_record_later() -> None:
    class Failing(Memory):
        fails = True

        def give_notice(self, account: str, notice: Notice) -> bool:
            if self.fails:
                raise OutcomeUnknown("no answer")
            return super().give_notice(account, notice)

    store = Failing()
    enroll(store, "ada", NOW, program=TERMS)
    third = program(moments=[{"id": "first", "when": "purchase", "nth": 1, "title": "First"}])
    buy(store, "ada", 500, NOW, receipt="1", program=third)
    assert told(store) == []

    store.fails = False
    assert [each.moment for each in notices.tell(store, store.records_after("ADA", 0, limit=1)[0], TERMS)] == [
        "welcome"
    ]
    assert [each.moment for each in notices.tell(store, head_of(store, "ADA"), third)] == ["first"]
    assert len(told(store)) == 2


def test_one_record_read_by_many_at_once_is_told_once() -> None:
    store = Memory()
    enroll(store, "ada", NOW)
    terms = program(moments=[{**WELCOME, "when": "purchase", "nth": 1}])
    bought = buy(store, "ada", 500, NOW, receipt="1", program=terms)
    store._notices.clear()

    answers = at_once([lambda: notices.tell(store, bought.record, terms)] * 20)

    assert sorted(map(len, answers)) == [0] * 19 + [1]


def test_a_tier_and_what_never_expires_are_told_as_they_are() -> None:
    store = Memory()
    up = {"id": "up", "when": "tier_up", "points": 5, "title": "You are $tier", "text": "$date"}
    terms = program(moments=[up], tiers=LADDER, expiry={"policy": "never"})
    enroll(store, "ada", NOW, program=terms)
    buy(store, "ada", 10_000, NOW, receipt="1", program=terms)

    (better,) = told(store)
    assert better.args == {"points": 5, "balance": 105, "tier": "silver"}
    assert notices.worded(better, terms, name=None) == ("You are Silver", "2026-01-10")


def test_points_that_activity_keeps_alive_are_told_with_their_last_day_as_it_was() -> None:
    store = Memory()
    first = {"id": "first", "when": "purchase", "nth": 1, "points": 5, "title": "First", "text": "$date"}
    terms = program(moments=[first], expiry={"policy": "inactivity", "months": 18})
    enroll(store, "ada", NOW, program=terms)
    buy(store, "ada", 10_000, NOW, receipt="1", program=terms)

    assert told(store)[0].args["date"] == day("2027-07-10")


# --- reminders ----------------------------------------------------------------------------------------------------------


def stages_told(days_left: int, stages: tuple[int, ...] = (30, 15, 7), **state: Any) -> list[tuple[int, Any]]:
    terms = program(notices={"stages": list(stages)})
    of = State(NOW, **({"buckets": {TODAY + days_left: 40}} | state))
    return [(each.day, each.args["stage"]) for each in notices.reminders(of, terms, today=TODAY, at=NOW)]


@pytest.mark.parametrize(
    ("days_left", "stage"),
    [(31, None), (30, 30), (29, 30), (16, 30), (15, 15), (8, 15), (7, 7), (1, 7), (0, None), (-1, None)],
)
def test_the_most_urgent_stage_that_has_come_is_told_until_it_is_too_late(days_left: int, stage: int | None) -> None:
    expected = [] if stage is None else [(TODAY + days_left - stage, stage)]

    assert stages_told(days_left) == expected


def test_without_stages_nobody_is_reminded() -> None:
    assert stages_told(5, ()) == []


def test_a_stage_of_an_expiry_day_is_one_notice_whenever_it_is_told() -> None:
    first = notices.reminders(State(NOW, buckets={TODAY + 30: 40}), TERMS, today=TODAY, at=NOW)
    late = notices.reminders(State(NOW, buckets={TODAY + 30: 9}), TERMS, today=TODAY + 10, at=NOW + timedelta(days=10))
    next_stage = notices.reminders(State(NOW, buckets={TODAY + 30: 9}), TERMS, today=TODAY + 15, at=NOW)

    assert [(each.day, each.about) for each in first] == [(each.day, each.about) for each in late]
    assert (next_stage[0].day, next_stage[0].about) != (first[0].day, first[0].about)


def test_every_expiry_day_has_reminders_of_its_own() -> None:
    found = notices.reminders(
        State(NOW, buckets={TODAY + 5: 1, TODAY + 20: 2, TODAY + 90: 4, 10_000_000: 8}), TERMS, today=TODAY, at=NOW
    )

    assert [(each.args["date"], each.args["points"], each.args["balance"]) for each in found] == [
        (TODAY + 5, 1, 15),
        (TODAY + 20, 2, 15),
    ]


def test_what_a_hold_keeps_and_what_is_pending_expires_with_the_rest() -> None:
    last = TODAY + 20
    state = State(
        NOW,
        buckets={0: 1, last: 2},
        holds={3: Hold(NOW + timedelta(days=1), {last: 4, last + 1: 8})},
        pending={(TODAY + 5, last): 16, (last + 3, last): 32},
        rolling=Rolling(last, 18),
    )

    # What would become available only after its last day is no loss to warn of.
    assert notices.expiring(state) == {last: 1 + 2 + 4 + 16, last + 1: 8}


def test_what_is_owed_is_paid_from_the_earliest_before_it_can_expire() -> None:
    state = State(NOW, pending={(TODAY + 1, TODAY + 10): 30, (TODAY + 1, TODAY + 20): 30}, debt=40)

    assert notices.expiring(state) == {TODAY + 20: 20}
    assert notices.expiring(replace(state, debt=60)) == {}


def test_a_reminder_says_how_many_points_until_when() -> None:
    (reminder,) = notices.reminders(State(NOW, buckets={TODAY + 7: 40}), program(), today=TODAY, at=NOW)

    assert notices.worded(reminder, program(), name="Ada") == (
        "Your points expire soon",
        "40 of your points can be spent until 2026-01-17; after that day they are gone.",
    )


# --- a tier about to fall -----------------------------------------------------------------------------------------------

FALLING = {"id": "f30", "when": "tier_falling", "days": 30, "title": "$tier ends", "text": "On $date, $name."}
URGENT = {"id": "f7", "when": "tier_falling", "days": 7, "title": "$tier ends soon"}


def falling(days_left: int, *, tier: str = "gold", amount: int = 0, **changes: Any) -> list[str]:
    terms = program(moments=[FALLING, URGENT], tiers={**LADDER, "soft_landing": False, **changes})
    until = day("2026-12-31")
    state = State(
        NOW,
        standing=Standing(tier, until, Origin.EARNED),
        qualifying={2026 * 12: amount} if amount else {},
        marks={"joined": day("2025-01-01")},
    )
    return [each.moment for each in notices.falling(state, terms, today=until - days_left, at=NOW)]


@pytest.mark.parametrize(
    ("days_left", "rule"), [(31, []), (30, ["f30"]), (8, ["f30"]), (7, ["f7"]), (1, ["f7"]), (0, [])]
)
def test_who_will_lose_a_tier_is_told_in_time(days_left: int, rule: list[str]) -> None:
    assert falling(days_left) == rule


def test_who_keeps_the_tier_is_not_told() -> None:
    assert falling(20, amount=500) == []
    assert falling(20, amount=499) == ["f30"]


def test_a_step_down_is_a_loss_as_well() -> None:
    assert falling(20, soft_landing=True) == ["f30"]
    assert falling(20, amount=100) == ["f30"]


def test_the_lowest_tier_and_one_for_ever_do_not_fall() -> None:
    terms = program(moments=[FALLING], tiers=LADDER)

    for standing in (None, Standing("gold", 0, Origin.LIFETIME)):
        state = State(NOW, standing=standing, marks={"joined": TODAY})
        assert notices.falling(state, terms, today=TODAY, at=NOW) == []
    assert notices.falling(State(NOW), program(), today=TODAY, at=NOW) == []


# --- the month before ---------------------------------------------------------------------------------------------------

MONTH = {
    "id": "month",
    "when": "month",
    "title": "Your $date",
    "text": "+$earned -$spent, $expired gone, $expiring expire; $missing to $reward. $balance. $tier",
}


def test_a_summary_adds_up_a_month() -> None:
    store = Memory()
    terms = program(moments=[MONTH], expiry={"days": 40, "rounding": "day"})
    enroll(store, "ada", NOW, program=terms)
    buy(store, "ada", 10_000, NOW, receipt="1", program=terms)
    redeem(store, "ada", "latte", NOW, key="2", program=terms)
    adjust(store, "ada", -50, NOW, key="3", program=terms)
    held = hold(store, "ada", 5, NOW, key="4", program=terms)
    entries = [entry for record in store.records_after("ADA", 0, limit=99) for entry in record.entries]
    assert held.entry.kind is EntryKind.HOLD

    (summary,) = notices.summaries(head_of(store, "ADA").state, terms, entries, month=2026 * 12, at=at("2026-02-01"))

    assert (summary.day, summary.about) == (day("2026-02-01"), "s.month")
    assert summary.args == {
        "points": 5,
        "balance": 5,
        "date": day("2026-01-01"),
        "earned": 50,
        "spent": 40,
        "expired": 0,
        "expiring": 10,
        "reward": "cookie",
        "missing": 10,
    }
    assert notices.worded(summary, terms, name="Ada") == (
        "Your 2026-01",
        "+50 -40, 0 gone, 10 expire; 10 to A cookie. 5. ",
    )


def test_of_an_empty_month_of_an_empty_account_nothing_is_told() -> None:
    terms = program(moments=[MONTH])

    assert notices.summaries(State(NOW), terms, [], month=2026 * 12, at=NOW) == []
    assert notices.summaries(State(NOW, buckets={TODAY: 1}), terms, [], month=2026 * 12, at=NOW) != []
    assert notices.summaries(State(NOW, buckets={TODAY: 1}), program(), [], month=2026 * 12, at=NOW) == []


def test_with_every_reward_in_reach_the_dearest_is_named() -> None:
    terms = program(moments=[MONTH])
    (summary,) = notices.summaries(State(NOW, buckets={TODAY: 1_000}), terms, [], month=2026 * 12, at=NOW)

    assert (summary.args["reward"], summary.args["missing"]) == ("latte", 0)


# --- words --------------------------------------------------------------------------------------------------------------


def test_who_gave_no_name_is_called_what_the_program_says() -> None:
    terms = program(moments=[WELCOME], notices={"nameless": "Gast"})
    given = notice(moment="welcome", args={"points": 1, "balance": 2})

    assert notices.worded(given, terms, name=None) == ("Welcome, Gast", "1, 2.")


def test_a_name_is_no_text_to_fill_in() -> None:
    assert notices.worded(notice(moment="welcome"), TERMS, name="$points $$")[0] == "Welcome, $points $$"


def test_a_dollar_can_be_written() -> None:
    terms = program(moments=[{**WELCOME, "title": "$$5 for ${name}s"}])

    assert notices.worded(notice(moment="welcome"), terms, name="Ada")[0] == "$5 for Adas"


# --- read marks ---------------------------------------------------------------------------------------------------------

LATER = NOW + timedelta(hours=1)


def test_a_notice_is_read_once() -> None:
    store = Memory()
    for about in ("x.1", "x.2"):
        store.give_notice("ADA", notice(about))

    first = notices.mark_read(store, "ADA", [(TODAY, "x.1"), (TODAY, "x.1")], now=NOW)
    with unchanged(store):
        again = notices.mark_read(store, "ADA", [(TODAY, "x.1")], now=LATER)

    assert (first.changed, again.changed) == (1, 0)
    assert first.notices == again.notices == (replace(notice("x.1"), read_at=NOW),)
    assert [each.read_at for each in told(store)] == [None, NOW]


def test_read_by_many_at_once_the_first_counts() -> None:
    store = Memory()
    store.give_notice("ADA", notice())

    answers = at_once(
        [
            lambda n=n: notices.mark_read(store, "ADA", [(TODAY, "x.1")], now=NOW + timedelta(seconds=n))
            for n in range(20)
        ]
    )

    assert sum(answer.changed for answer in answers) == 1


def test_what_is_not_there_is_refused_and_nothing_is_marked() -> None:
    store = Memory()
    store.give_notice("ADA", notice("x.1"))
    store.give_notice("BOB", notice("x.2"))

    for place in ((TODAY, "x.2"), (TODAY + 1, "x.1"), None):
        with refuses(store, NoticeNotFound, "input", "ids", "1"):
            notices.mark_read(store, "ADA", [(TODAY, "x.1"), place], now=NOW)
    with refuses(store, MemberNotFound):
        notices.mark_read(store, None, [(TODAY, "x.1")], now=NOW)


def test_so_many_are_read_in_a_call_and_no_more() -> None:
    store = Memory()
    places = [(TODAY, f"x.{number}") for number in range(limits.NOTICES_READ_MAX + 1)]
    for _, about in places:
        store.give_notice("ADA", notice(about))

    with refuses(store, TooManyNotices, "input", "ids"):
        notices.mark_read(store, None, places, now=NOW)
    assert notices.mark_read(store, "ADA", places[1:], now=NOW).changed == limits.NOTICES_READ_MAX
    assert notices.mark_read(store, "ADA", [], now=NOW).notices == ()
