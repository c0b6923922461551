"""Visits: whatever is due for an account is done, whoever comes for whatever reason, however often."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain import ledger, moments, notices, tiers, visits
from domain.accounts import State, Status
from domain.entries import Entry, EntryKind, Record
from domain.members import Profile
from domain.moments import Birthday
from domain.notices import Consent, Notice, NoticeKind
from domain.programs import Program
from domain.refusals import OutcomeUnknown
from domain.store import NOTHING, Beside, Contended
from storage.memory import Memory
from tests.domain.test_moments import bonuses
from tests.domain.world import (
    Interrupted,
    Stale,
    at,
    at_once,
    block,
    buy,
    close,
    contents,
    day,
    enroll,
    give_back,
    head_of,
    hold,
    merge,
    program,
    redeem,
    unblock,
    unchanged,
    update,
)

JOINED = at("2026-01-10")
BIRTHDAY = {"id": "birthday", "when": "birthday", "points": 30, "valid_days": 60, "title": "Happy birthday, $name"}
MISSED = {"id": "missed", "when": "silence", "days": 60, "points": 10, "title": "We missed you"}
YEAR = {"id": "year", "when": "anniversary", "points": 12, "title": "A year"}
MONTH = {"id": "month", "when": "month", "title": "Your $date"}
TERMS = program(expiry={"months": 0, "days": 100, "rounding": "day"}, moments=[BIRTHDAY, MISSED, YEAR, MONTH])
SHORT = program(expiry={"months": 0, "days": 40, "rounding": "day"}, pending={"days": 3})


def member(store: Memory, name: str = "ada", *, terms: Program = TERMS, **profile: Any) -> str:
    return enroll(store, name, JOINED, program=terms, **profile)


def visit(
    store: Memory, on: str | datetime, *, terms: Program = TERMS, account: str = "ADA", **how: Any
) -> Mapping[str, int]:
    """What a telling visit did."""
    now = at(on) if isinstance(on, str) else on
    return dict(visits.visit(store, terms, account, now=now, **{"telling": True, **how}).counts)


def told(store: Memory, account: str = "ADA") -> list[str]:
    """What an account was told, the oldest first: a moment by its name, a reminder by day and stage."""
    return [
        each.moment or f"{each.args['date']}-{each.args['stage']}"
        for each in reversed(store.notices(account, limit=99))
    ]


def due(store: Memory, account: str = "ADA") -> set[int]:
    return {on for on, who in store.due if who == account}


def tell_birthday(store: Memory, birthday: Birthday | None, now: datetime, *, key: str) -> None:
    update(store, "ada", now, key=key, program=TERMS, birthday=birthday)


# --- what time did ------------------------------------------------------------------------------------------------------


def test_a_visit_books_what_time_did() -> None:
    store = Memory()
    member(store, terms=SHORT)
    buy(store, "ada", 500, JOINED, receipt="1", program=SHORT)

    assert visit(store, "2026-01-12", terms=SHORT, telling=False) == {}
    assert visit(store, "2026-01-13", terms=SHORT, telling=False) == {"MATURITY": 1}
    assert visit(store, "2026-02-19", terms=SHORT, telling=False) == {}
    assert visit(store, "2026-02-20", terms=SHORT, telling=False) == {"EXPIRY": 1}
    assert head_of(store, "ADA").state.balance == 0


def test_a_visit_that_finds_nothing_due_writes_nothing() -> None:
    store = Memory()
    member(store, terms=SHORT)

    with unchanged(store):
        assert visit(store, "2026-01-11", terms=SHORT) == {}
        assert visit(store, "2026-01-11", terms=SHORT, everybody=True) == {}


def test_nobodys_account_is_no_visit() -> None:
    store = Memory()

    with unchanged(store):
        assert visit(store, "2026-01-11", account="NOBODY", everybody=True) == {}


# --- dated moments ------------------------------------------------------------------------------------------------------


def test_a_birthday_is_had_and_told_and_the_next_one_noted() -> None:
    store = Memory()
    member(store, name="ada", birthday=Birthday(3, 1))
    assert day("2026-03-01") in due(store)

    assert visit(store, "2026-03-01") == {"BONUS": 1, "MOMENT": 1}

    assert bonuses(store) == [("birthday", 30)]
    assert head_of(store, "ADA").state.buckets == {day("2026-04-30"): 30}
    assert {day("2027-03-01"), day("2026-04-30")} <= due(store)
    (notice,) = store.notices("ADA", limit=9)
    assert notices.worded(notice, TERMS, name="Ada")[0] == "Happy birthday, Ada"


def test_in_quiet_hours_a_moment_waits() -> None:
    store = Memory()
    member(store, birthday=Birthday(3, 1))

    with unchanged(store):
        assert visit(store, "2026-03-01 03:00", telling=False) == {}
    assert visit(store, "2026-03-01 10:00") == {"BONUS": 1, "MOMENT": 1}


@pytest.mark.parametrize("late", [1, 10, moments.CATCH_UP_DAYS])
def test_a_late_visit_gives_the_birthday_late(late: int) -> None:
    store = Memory()
    member(store, birthday=Birthday(2, 1))

    assert visit(store, at("2026-02-01") + timedelta(days=late)) == {"BONUS": 1, "MOMENT": 1}
    assert visit(store, at("2026-02-01") + timedelta(days=late + 1)) == {}
    assert day("2027-02-01") in due(store)


def test_a_visit_that_is_too_late_congratulates_nobody_and_notes_the_next_year() -> None:
    store = Memory()
    member(store, birthday=Birthday(3, 1))

    assert visit(store, "2026-03-16", terms=program(moments=[BIRTHDAY])) == {}
    assert day("2027-03-01") in due(store)


def test_a_birthday_that_is_told_gets_a_due_row_and_another_one_when_it_changes() -> None:
    store = Memory()
    member(store)

    tell_birthday(store, Birthday(2, 29), at("2026-02-01"), key="1")
    tell_birthday(store, Birthday(2, 1), at("2026-02-01"), key="2")
    tell_birthday(store, Birthday(1, 31), at("2026-02-01"), key="3")
    tell_birthday(store, None, at("2026-02-01"), key="4")

    assert {day("2026-02-28"), day("2026-02-01"), day("2027-01-31")} <= due(store)
    assert visit(store, "2026-03-01") == {}


def test_a_birthday_told_again_was_told_before() -> None:
    store = Memory()
    member(store, birthday=Birthday(2, 1))
    tell_birthday(store, Birthday(2, 1), at("2026-02-03"), key="1")

    assert visit(store, "2026-02-04") == {"BONUS": 1, "MOMENT": 1}


def test_a_birthday_changed_twice_a_year_is_had_once() -> None:
    store = Memory()
    member(store, birthday=Birthday(2, 1))
    visit(store, "2026-02-01")
    tell_birthday(store, Birthday(2, 20), at("2026-02-02"), key="1")
    visit(store, "2026-02-20")
    tell_birthday(store, Birthday(11, 1), at("2026-02-21"), key="2")
    visit(store, "2026-11-01")

    assert [each for each in bonuses(store) if each[0] == "birthday"] == [("birthday", 30)]


def test_what_a_tier_gives_for_a_birthday_comes_with_it() -> None:
    ladder = [
        {"id": "blue", "name": "Blue", "threshold": 0},
        {"id": "gold", "name": "Gold", "threshold": 100, "benefits": {"birthday_points": 70}},
    ]
    both = [{**BIRTHDAY, "id": "first"}, {**BIRTHDAY, "id": "second", "points": 1}]
    terms = program(tiers={"ladder": ladder}, moments=both)
    store = Memory()
    for name, amount in (("ada", 10_000), ("bob", 100)):
        enroll(store, name, JOINED, program=terms, birthday=Birthday(3, 1))
        buy(store, name, amount, JOINED, receipt=name, program=terms)

    for account in ("ADA", "BOB"):
        visit(store, "2026-03-01", terms=terms, account=account)

    assert bonuses(store, "ADA") == [("first", 100), ("second", 1)]
    assert bonuses(store, "BOB") == [("first", 30), ("second", 1)]


def test_a_birthday_can_bring_a_milestone_with_it() -> None:
    vip = {"id": "vip", "when": "balance", "at_least": 30, "points": 5, "title": "VIP"}
    terms = program(moments=[BIRTHDAY, vip, YEAR])
    store = Memory()
    enroll(store, "ada", at("2025-03-01"), program=terms, birthday=Birthday(3, 1))

    assert visit(store, "2026-03-01", terms=terms) == {"BONUS": 3, "MOMENT": 3}

    head = head_of(store, "ADA")
    assert [(moments.named_by(entry), entry.balance_after) for entry in head.entries] == [
        ("birthday", 30),
        ("year", 42),
        ("vip", 47),
    ]


VIP = program(moments=[{**BIRTHDAY, "title": ""}, {"id": "vip", "when": "balance", "at_least": 30, "title": "VIP"}])


def test_what_a_moment_without_a_title_brings_is_told() -> None:
    store = Memory()
    enroll(store, "ada", JOINED, program=VIP, birthday=Birthday(3, 1))

    assert visit(store, "2026-03-01", terms=VIP) == {"BONUS": 2, "MOMENT": 1}
    assert told(store) == ["vip"]


def test_a_milestone_that_time_brought_in_quiet_hours_is_told_when_they_are_over() -> None:
    store = Memory()
    vip = {"id": "vip", "when": "balance", "at_least": 30, "title": "VIP"}
    terms = program(moments=[vip], pending={"days": 3})
    enroll(store, "ada", JOINED, program=terms)
    buy(store, "ada", 5_000, JOINED, receipt="1", program=terms)

    assert visit(store, "2026-01-13 00:00", terms=terms, telling=False) == {"MATURITY": 1}
    assert visit(store, "2026-01-13 09:00", terms=terms) == {"BONUS": 1, "MOMENT": 1}
    assert visit(store, "2026-01-13 09:00", terms=terms) == {}


def test_points_of_a_birthday_pay_a_debt_first() -> None:
    store = Memory()
    terms = program(moments=[BIRTHDAY])
    enroll(store, "ada", JOINED, program=terms, birthday=Birthday(3, 1))
    buy(store, "ada", 4_000, JOINED, receipt="1", program=terms)
    redeem(store, "ada", "latte", JOINED, key="2", program=terms)
    give_back(store, "1", JOINED, key="r", amount=1_000, program=terms)

    visit(store, "2026-03-01", terms=terms)

    state = head_of(store, "ADA").state
    assert (state.balance, state.debt) == (20, 0)


def test_an_anniversary_comes_every_year() -> None:
    store = Memory()
    member(store)
    assert day("2027-01-10") in due(store)

    for year in (2027, 2028, 2029):
        assert visit(store, f"{year}-01-10")["BONUS"] >= 1
        assert day(f"{year + 1}-01-10") in due(store)

    assert [name for name, _ in bonuses(store) if name == "year"] == ["year"] * 3


def test_a_silence_is_noticed_once_and_the_visit_before_finds_where_it_has_moved() -> None:
    store = Memory()
    member(store)
    buy(store, "ada", 500, at("2026-02-01"), receipt="1", program=TERMS)
    assert due(store) >= {day("2026-01-10") + 60}
    assert day("2026-02-01") + 60 not in due(store)

    assert visit(store, at("2026-01-10") + timedelta(days=60)) == {}
    assert day("2026-02-01") + 60 in due(store)
    assert visit(store, at("2026-02-01") + timedelta(days=60))["BONUS"] == 1
    assert visit(store, at("2026-02-01") + timedelta(days=61)) == {}

    buy(store, "ada", 500, at("2026-06-01"), receipt="2", program=TERMS)
    assert day("2026-06-01") + 60 in due(store)
    assert visit(store, at("2026-06-01") + timedelta(days=60))["BONUS"] == 1
    assert bonuses(store) == [("missed", 10)] * 2


def test_a_new_rule_tells_of_a_silence_that_has_lasted_for_long() -> None:
    store = Memory()
    member(store, terms=PLAIN)

    assert visit(store, "2026-06-10", everybody=True, terms=program(moments=[MISSED])) == {"BONUS": 1, "MOMENT": 1}
    assert visit(store, "2026-06-11", terms=program(moments=[MISSED])) == {}


def test_the_visit_of_a_rolling_day_that_moved_notes_where_it_is_now() -> None:
    store = Memory()
    terms = program(expiry={"policy": "inactivity", "days": 90})
    member(store, terms=terms)
    buy(store, "ada", 500, JOINED, receipt="1", program=terms)
    buy(store, "ada", 500, at("2026-03-01"), receipt="2", program=terms)
    first, moved = day("2026-01-10") + 90, day("2026-03-01") + 90
    assert due(store) == {first}

    visit(store, at("2026-01-10") + timedelta(days=60), terms=terms)

    assert due(store) == {first, moved}
    assert visit(store, at("2026-03-01") + timedelta(days=91), terms=terms) == {"EXPIRY": 1}


# --- once ---------------------------------------------------------------------------------------------------------------


def test_a_visit_that_comes_again_or_many_at_once_does_it_once() -> None:
    store = Memory()
    member(store, birthday=Birthday(3, 1))
    buy(store, "ada", 500, JOINED, receipt="1", program=TERMS)

    answers = at_once([lambda: visit(store, "2026-03-11", everybody=True)] * 20)

    assert [sum(answer.get(kind, 0) for answer in answers) for kind in ("BONUS", "MOMENT", "SUMMARY")] == [2, 2, 1]
    assert sorted(bonuses(store)) == [("birthday", 30), ("missed", 10)]
    before = contents(store)
    assert visit(store, "2026-03-11", everybody=True) == {}
    assert contents(store) == before


def test_a_visit_goes_on_what_somebody_wrote_meanwhile() -> None:
    store = Interrupted()
    member(store, birthday=Birthday(3, 1))
    store.before_append.append(lambda: buy(store, "ada", 500, at("2026-03-01"), receipt="1", program=TERMS))

    assert visit(store, "2026-03-01") == {"BONUS": 1, "MOMENT": 1}
    assert (head_of(store, "ADA").state.balance, store.pauses) == (35, 1)


def test_a_birthday_that_changes_while_a_visit_is_on_its_way_is_the_new_one() -> None:
    store = Interrupted()
    member(store, birthday=Birthday(3, 1))
    store.before_append.append(lambda: tell_birthday(store, Birthday(9, 1), at("2026-03-01"), key="1"))

    assert visit(store, "2026-03-01") == {}
    assert bonuses(store) == []


class Dying(Memory):
    """The process dies right before its n-th write."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def note_due(self, account: str, due: Any) -> None:
        self._count()
        super().note_due(account, due)

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        self._count()
        super().append(record, beside)

    def give_notice(self, account: str, notice: Notice) -> bool:
        self._count()
        return super().give_notice(account, notice)


@pytest.mark.parametrize("writes", range(6))
def test_a_visit_that_died_anywhere_is_finished_by_the_next_one(writes: int) -> None:
    store, whole = Dying(), Memory()
    for each in (store, whole):
        member(each, birthday=Birthday(3, 1))
        buy(each, "ada", 500, JOINED, receipt="1", program=TERMS)
    visit(whole, "2026-03-11", everybody=True)

    store.left = writes
    if writes < 5:
        with pytest.raises(KeyboardInterrupt):
            visit(store, "2026-03-11", everybody=True)
    store.left = 10**9
    visit(store, "2026-03-11", everybody=True)

    assert contents(store) == contents(whole)
    assert len(told(store)) == 3


def test_what_was_booked_and_not_told_is_told_by_a_later_visit_though_others_wrote_since() -> None:
    store = Dying()
    member(store, birthday=Birthday(3, 1))
    store.left = 2
    with pytest.raises(KeyboardInterrupt):
        visit(store, "2026-03-01")
    store.left = 10**9
    assert (bonuses(store), told(store)) == ([("birthday", 30)], [])
    buy(store, "ada", 500, at("2026-03-02"), receipt="1", program=TERMS)

    assert visit(store, "2026-03-05") == {"MOMENT": 1}
    assert told(store) == ["birthday"]


class Mute(Memory):
    """The process dies before it tells anything, while it `dies`."""

    dies = False

    def give_notice(self, account: str, notice: Notice) -> bool:
        if self.dies:
            raise KeyboardInterrupt
        return super().give_notice(account, notice)


def died_before_telling(store: Mute, on: datetime, terms: Program) -> None:
    store.dies = True
    with pytest.raises(KeyboardInterrupt):
        visit(store, on, terms=terms)
    store.dies = False


def test_a_moment_that_was_booked_on_its_last_day_and_not_told_is_told_the_day_after() -> None:
    store = Mute()
    terms = program(moments=[BIRTHDAY])
    enroll(store, "ada", JOINED, program=terms, birthday=Birthday(3, 1))
    booked = at("2026-03-01") + timedelta(days=moments.CATCH_UP_DAYS)
    died_before_telling(store, booked, terms)
    buy(store, "ada", 500, booked, receipt="1", program=terms)
    assert (bonuses(store), told(store)) == ([("birthday", 30)], [])

    assert visit(store, booked + timedelta(days=1), terms=terms) == {"MOMENT": 1}


def test_a_long_silence_that_was_booked_and_not_told_is_told_for_some_days() -> None:
    terms = program(moments=[MISSED])
    for late, expected in ((1, 1), (moments.CATCH_UP_DAYS, 1), (moments.CATCH_UP_DAYS + 1, 0)):
        store = Mute()
        member(store)
        died_before_telling(store, at("2026-06-10"), terms)

        assert visit(store, at("2026-06-10") + timedelta(days=late), terms=terms).get("MOMENT", 0) == expected


def test_what_a_moment_without_a_title_brought_is_told_by_a_later_visit_as_well() -> None:
    store = Mute()
    enroll(store, "ada", JOINED, program=VIP, birthday=Birthday(3, 1))
    died_before_telling(store, at("2026-03-01"), VIP)
    buy(store, "ada", 500, at("2026-03-02"), receipt="1", program=VIP)

    assert visit(store, "2026-03-03", terms=VIP) == {"MOMENT": 1}
    assert told(store) == ["vip"]


def test_what_was_told_long_ago_and_forgotten_is_not_told_again() -> None:
    store = Memory()
    terms = program(moments=[MISSED, {"id": "welcome", "when": "enrollment", "title": "Welcome"}])
    enroll(store, "ada", JOINED, program=terms)
    visit(store, "2026-03-11", terms=terms)
    assert told(store) == ["welcome", "missed"]
    store._notices.clear()

    with unchanged(store):
        assert visit(store, "2026-03-26", terms=terms) == {}


def test_a_late_read_of_the_log_tells_all_the_same() -> None:
    store = Stale()
    member(store, birthday=Birthday(3, 1))

    assert visit(store, "2026-03-01") == {"BONUS": 1, "MOMENT": 1}


def test_an_account_that_others_keep_writing_to_is_told_to_come_again() -> None:
    class Busy(Memory):
        def append(self, record: Record, beside: Beside = NOTHING) -> None:
            if record.seq > 1:
                raise Contended
            super().append(record, beside)

        def pause(self, attempt: int) -> None:
            if attempt == 3:
                raise OutcomeUnknown("no time left")

    store = Busy()
    member(store, birthday=Birthday(3, 1))

    with pytest.raises(OutcomeUnknown):
        visit(store, "2026-03-01")
    assert bonuses(store) == []


# --- reminders ----------------------------------------------------------------------------------------------------------

PLAIN = program(expiry={"months": 0, "days": 100, "rounding": "day"})
LAST = day("2026-01-10") + 100


def reminded(store: Memory, days_left: int, **how: Any) -> Mapping[str, int]:
    return visit(store, at("2026-01-10") + timedelta(days=100 - days_left), **{"terms": PLAIN, **how})


def bought(store: Memory) -> Memory:
    member(store, terms=PLAIN)
    buy(store, "ada", 4_000, JOINED, receipt="1", program=PLAIN)
    return store


def test_each_stage_is_told_on_its_day_and_once() -> None:
    store = bought(Memory())

    days_told = [left for left in range(40, -2, -1) if reminded(store, left).get("REMINDER")]

    assert days_told == [30, 15, 7]
    assert told(store) == [f"{LAST}-30", f"{LAST}-15", f"{LAST}-7"]


def test_a_late_visit_tells_only_the_most_urgent_stage() -> None:
    store = bought(Memory())

    assert [reminded(store, left) for left in (6, 5, 1)] == [{"REMINDER": 1}, {}, {}]
    assert told(store) == [f"{LAST}-7"]


def test_what_expires_today_or_is_gone_is_not_told() -> None:
    store = bought(Memory())

    assert reminded(store, 0) == {}
    assert reminded(store, -1) == {"EXPIRY": 1}
    assert told(store) == []


def test_what_is_spent_already_is_not_told_and_what_is_left_is() -> None:
    store = bought(Memory())
    redeem(store, "ada", "cookie", JOINED, key="1", program=PLAIN)
    reminded(store, 30)
    redeem(store, "ada", "cookie", JOINED, key="2", program=PLAIN)
    reminded(store, 15)
    hold(store, "ada", 10, at("2026-01-10") + timedelta(days=92), key="3", program=PLAIN)

    assert reminded(store, 7) == {"REMINDER": 1, "LAPSE": 1}
    assert [each.args["points"] for each in reversed(store.notices("ADA", limit=9))] == [25, 10, 10]

    empty = bought(Memory())
    redeem(empty, "ada", "latte", JOINED, key="1", program=PLAIN)
    assert reminded(empty, 30) == {}


def test_without_consent_nobody_is_reminded_and_an_answer_can_be_taken_back() -> None:
    store = bought(Memory())
    for key, answer, left, told_now in (("1", False, 30, 0), ("2", None, 15, 1), ("3", True, 7, 1)):
        joined = JOINED + timedelta(days=1)
        update(store, "ada", joined, key=key, program=PLAIN, consents={Consent.REMINDERS: answer})
        assert reminded(store, left).get("REMINDER", 0) == told_now


def test_who_wants_reminders_again_is_reminded_of_the_stage_that_has_come() -> None:
    store = bought(Memory())
    update(store, "ada", JOINED, key="1", program=PLAIN, consents={Consent.REMINDERS: False})
    assert reminded(store, 30) == {}
    update(store, "ada", JOINED, key="2", program=PLAIN, consents={Consent.REMINDERS: True})

    assert reminded(store, 20) == {"REMINDER": 1}
    assert told(store) == [f"{LAST}-30"]


def test_a_moment_that_was_not_told_for_want_of_consent_is_not_told_when_the_answer_changes() -> None:
    store = Memory()
    terms = program(moments=[BIRTHDAY, {**MISSED, "days": 70}])
    enroll(store, "ada", JOINED, program=terms, birthday=Birthday(3, 10), consents={Consent.OFFERS: False})
    assert visit(store, "2026-03-10", terms=terms) == {"BONUS": 1}
    update(store, "ada", at("2026-03-12"), key="1", program=terms, consents={Consent.OFFERS: True})

    assert visit(store, "2026-03-15", terms=terms) == {}
    # Not either by a visit that has something to tell.
    assert visit(store, at("2026-01-10") + timedelta(days=70), terms=terms) == {"BONUS": 1, "MOMENT": 1}
    assert told(store) == ["missed"]


def test_a_change_of_something_else_keeps_no_moment_from_being_told() -> None:
    store = Mute()
    member(store, birthday=Birthday(3, 1))
    died_before_telling(store, at("2026-03-01"), TERMS)
    update(store, "ada", at("2026-03-02"), key="1", program=TERMS, name="Ada L.")

    assert visit(store, "2026-03-03") == {"MOMENT": 1}


def test_a_program_that_tells_who_did_not_answer_tells_the_moments_of_the_last_days() -> None:
    silent, telling = (program(moments=[BIRTHDAY], notices={"defaults": {"offers": each}}) for each in (False, True))
    for late, expected in ((moments.CATCH_UP_DAYS, {"MOMENT": 1}), (moments.CATCH_UP_DAYS + 1, {})):
        store = Memory()
        enroll(store, "ada", JOINED, program=silent, birthday=Birthday(3, 1))
        assert visit(store, "2026-03-01", terms=silent) == {"BONUS": 1}

        assert visit(store, at("2026-03-01") + timedelta(days=late), terms=telling) == expected


def test_a_rolling_day_is_reminded_of_as_it_stands_then() -> None:
    store = Memory()
    terms = program(expiry={"policy": "inactivity", "days": 100})
    member(store, terms=terms)
    buy(store, "ada", 4_000, JOINED, receipt="1", program=terms)
    reminded(store, 30, terms=terms)
    buy(store, "ada", 4_000, JOINED + timedelta(days=75), receipt="2", program=terms)

    assert reminded(store, 15, terms=terms) == {}
    assert reminded(store, 30 - 75, terms=terms) == {"REMINDER": 1}
    assert [each.args["points"] for each in reversed(store.notices("ADA", limit=9))] == [40, 80]


def test_visits_are_asked_for_on_the_days_of_all_stages() -> None:
    ladder = {"ladder": [{"id": "blue", "name": "Blue", "threshold": 0}]}
    falling = {"id": "f", "when": "tier_falling", "days": 21, "title": "T"}

    assert visits.offsets(program()) == {0, 30, 15, 7}
    assert visits.offsets(program(notices={"stages": [60]}, tiers=ladder, moments=[falling, YEAR])) == {0, 60, 21}


def test_who_is_about_to_lose_a_tier_is_told_in_a_visit() -> None:
    ladder = {
        "ladder": [{"id": "blue", "name": "Blue", "threshold": 0}, {"id": "gold", "name": "Gold", "threshold": 100}]
    }
    falling = {"id": "f", "when": "tier_falling", "days": 30, "title": "$tier ends on $date"}
    terms = program(tiers=ladder, moments=[falling])
    store = Memory()
    enroll(store, "ada", JOINED, program=terms)
    buy(store, "ada", 10_000, JOINED, receipt="1", program=terms)
    standing = head_of(store, "ADA").state.standing
    assert standing is not None
    assert standing.until in due(store)

    counts = [visit(store, on, terms=terms) for on in ("2027-11-30", "2027-12-01", "2027-12-02", "2027-12-31")]

    assert counts == [{}, {"TIER_FALLING": 1}, {}, {}]
    assert visit(store, "2028-01-01", terms=terms) == {"TIER": 1, "REMINDER": 1}


# --- everybody ----------------------------------------------------------------------------------------------------------


def test_a_summary_is_given_once_a_month_when_everybody_is_looked_at() -> None:
    store = Memory()
    terms = program(moments=[MONTH])
    enroll(store, "ada", JOINED, program=terms)
    for number, on in enumerate(("2026-01-31 23:59", "2026-02-01 00:00", "2026-02-28", "2026-03-01 00:00")):
        buy(store, "ada", 1_000 * 10**number, at(on), receipt=f"{number}", program=terms)

    assert visit(store, "2026-03-01", terms=terms) == {}
    assert visit(store, "2026-03-01", terms=terms, everybody=True) == {"SUMMARY": 1}
    assert visit(store, "2026-03-09", terms=terms, everybody=True) == {}
    assert visit(store, "2026-04-01", terms=terms, everybody=True) == {"SUMMARY": 1}

    assert [each.args["earned"] for each in reversed(store.notices("ADA", limit=9))] == [1_100, 10_000]


@pytest.mark.parametrize("kind", [Memory, Stale])
def test_points_that_expire_with_a_month_are_of_that_month(kind: type[Memory]) -> None:
    store = kind()
    terms = program(expiry={"months": 1, "days": 0, "rounding": "month"}, moments=[MONTH])
    enroll(store, "ada", JOINED, program=terms)
    buy(store, "ada", 1_000, at("2026-01-20"), receipt="1", program=terms)
    buy(store, "ada", 2_000, at("2026-02-20"), receipt="2", program=terms)

    for on in ("2026-02-01", "2026-03-01", "2026-04-01", "2026-05-01"):
        # The visit that summarizes is the one that books the expiry.
        visit(store, on, terms=terms, everybody=True)

    summaries = [each.args for each in reversed(store.notices("ADA", limit=99)) if each.moment == "month"]
    assert [(each["date"], each["earned"], each["expired"]) for each in summaries] == [
        (day("2026-01-01"), 10, 0),
        (day("2026-02-01"), 20, 10),
        (day("2026-03-01"), 0, 20),
    ]


def test_points_that_are_booked_when_they_are_gone_expire_in_the_month_in_which_they_came() -> None:
    store = Memory()
    terms = program(expiry={"months": 0, "days": 5, "rounding": "day"}, moments=[MONTH])
    enroll(store, "ada", JOINED, program=terms)
    buy(store, "ada", 1_000, at("2026-02-02"), occurred_at=at("2026-01-11"), receipt="1", program=terms)

    visit(store, "2026-03-01", terms=terms, everybody=True)

    (summary,) = store.notices("ADA", limit=9)
    assert (summary.args["earned"], summary.args["expired"]) == (10, 10)


def test_who_joined_this_month_has_no_summary_of_the_last_one() -> None:
    store = Memory()
    terms = program(moments=[MONTH, {"id": "w", "when": "enrollment", "points": 5}])
    enroll(store, "ada", JOINED, program=terms)

    assert visit(store, "2026-01-31", terms=terms, everybody=True) == {}
    assert visit(store, "2026-02-01", terms=terms, everybody=True) == {"SUMMARY": 1}


def test_a_month_of_many_pages_is_added_up_and_one_of_too_many_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = program(moments=[MONTH])
    for pages, expected in ((3, {"SUMMARY": 1}), (2, {})):
        monkeypatch.setattr("domain.limits.RESUME_PAGE", 5)
        monkeypatch.setattr("domain.limits.SUMMARY_PAGES_MAX", pages)
        store = Memory()
        enroll(store, "ada", JOINED, program=terms)
        for number in range(12):
            buy(store, "ada", 100, JOINED, receipt=f"{number}", program=terms)
        assert visit(store, "2026-02-01", terms=terms, everybody=True) == expected
        assert [each.args["earned"] for each in store.notices("ADA", limit=9)] == [12] * len(expected)


def test_rules_that_are_new_reach_old_members_by_the_look_at_everybody() -> None:
    store = Memory()
    enroll(store, "ada", JOINED, birthday=Birthday(3, 1))
    buy(store, "ada", 500, at("2026-01-15"), receipt="1", program=PLAIN)
    store.due.clear()

    visit(store, "2026-01-19", everybody=True)
    assert due(store) == {day("2026-01-15") + 60, day("2027-01-10")}
    visit(store, "2026-01-20", everybody=True)
    assert due(store) == {day("2026-01-15") + 60, day("2027-01-10"), day("2026-03-01")}


def test_without_a_look_at_everybody_a_day_that_is_far_is_not_noted() -> None:
    store = Memory()
    enroll(store, "ada", at("2025-06-10"), birthday=Birthday(3, 1))
    terms = program(moments=[BIRTHDAY, YEAR])

    with unchanged(store):
        assert visit(store, "2026-02-10", terms=terms) == {}
    visit(store, "2026-02-10", terms=terms, everybody=True)
    assert due(store) == {day("2026-03-01")}


# --- whoever is not there any more --------------------------------------------------------------------------------------


def test_of_a_closed_account_nothing_is_due() -> None:
    store = Memory()
    member(store, birthday=Birthday(3, 1))
    buy(store, "ada", 500, JOINED, receipt="1", program=TERMS)
    close(store, "ada", JOINED, key="1")

    with unchanged(store):
        assert visit(store, "2026-03-11", everybody=True) == {}
        assert visit(store, "2027-03-11", everybody=True) == {}


def test_a_blocked_account_is_reminded_and_has_its_moments_when_it_is_free() -> None:
    store = Memory()
    terms = program(expiry={"months": 0, "days": 60, "rounding": "day"}, moments=[BIRTHDAY])
    enroll(store, "ada", JOINED, program=terms, birthday=Birthday(3, 1))
    buy(store, "ada", 500, JOINED, receipt="1", program=terms)
    block(store, "ada", JOINED, key="1")

    assert visit(store, "2026-03-01", terms=terms) == {"REMINDER": 1}
    unblock(store, "ada", at("2026-03-02"), key="2")
    assert visit(store, "2026-03-03", terms=terms) == {"BONUS": 1, "MOMENT": 1}


def test_of_an_erased_account_only_the_points_expire() -> None:
    store = Memory()
    member(store, birthday=Birthday(3, 1))
    buy(store, "ada", 500, JOINED, receipt="1", program=TERMS)
    del store._profiles["ADA"]

    with unchanged(store):
        assert visit(store, "2026-04-01", everybody=True) == {}
    assert visit(store, "2026-04-21", everybody=True) == {"EXPIRY": 1}
    assert store.notices("ADA", limit=9) == []


def test_who_was_merged_is_visited_where_they_live_on() -> None:
    store = Memory()
    member(store, "ada", birthday=Birthday(3, 1))
    member(store, "bob", birthday=Birthday(5, 5))
    buy(store, "bob", 500, JOINED, receipt="1", program=TERMS)
    merge(store, "bob", "ada", at("2026-02-01"), key="1", program=TERMS)

    counts = visit(store, "2026-03-01", account="BOB")

    assert counts == {"BONUS": 1, "MOMENT": 1}
    assert head_of(store, "BOB").state.status is Status.MERGED
    assert bonuses(store, "ADA") == [("birthday", 30)]
    assert store.notices("BOB", limit=9) == []
    # The birthday of the other one is nobody's any more.
    assert bonuses(store, "BOB") == []


def test_an_account_that_is_merged_round_and_round_is_visited_again() -> None:
    class Turning(Memory):
        def home(self, account: str, *, entries: int, strong: bool = False) -> Any:
            return super().home("BOB", entries=entries, strong=strong)

    store = Turning()
    member(store, "ada")
    member(store, "bob")
    merge(store, "bob", "ada", at("2026-02-01"), key="1", program=TERMS)

    with pytest.raises(OutcomeUnknown):
        visit(store, "2026-03-01")


def test_an_account_without_marks_is_visited_like_any_other() -> None:
    """As one from before accounts knew when they were opened."""
    store = Memory()
    profile = Profile(JOINED, birthday=Birthday(3, 1, known=1))
    store.append(Record("ADA", 1, (Entry(EntryKind.ENROLLMENT, JOINED, (), 0),), State(JOINED)))
    store._profiles["ADA"] = profile

    assert visit(store, "2026-03-01") == {"BONUS": 1, "MOMENT": 1}
    assert NoticeKind.MOMENT in {each.kind for each in store.notices("ADA", limit=1)}
    assert tiers.JOINED not in ledger.known_head(store, "ADA").state.marks
