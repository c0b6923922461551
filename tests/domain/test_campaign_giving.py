"""What a campaign's bonus is in the ledger, what it brings, and that each member has it once, whatever happens meanwhile."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import accounts, days, explanations, limits, notices
from domain.accounts import Line
from domain.campaigns import Action, Audience, Budget, Message, Status, Validity, work
from domain.campaigns.giving import BARRED, ENDED, BrokenLog, fate
from domain.campaigns.store import MemberOutcome
from domain.campaigns.tools import NotDone, OutOfTime, TooSlow
from domain.campaigns.turns import Turn
from domain.entries import EntryKind, Explanation, bonus_key, reversal_key
from domain.notices import Consent, NoticeKind
from domain.refusals import OutcomeUnknown
from domain.store import Contended
from tests.domain.campaigning import CODE, START, Desk, Failing, Meanwhile, bonus_run, names_of
from tests.domain.world import (
    PROGRAM,
    adjust,
    at,
    block,
    buy,
    close,
    day,
    head_of,
    hold,
    merge,
    owe,
    program,
    redeem,
    unblock,
    unmerge,
    update,
)

TODAY = days.day_of(START, PROGRAM.zone)
HELLO = Message("A thank-you", "$points points for you, $name, until $date.")


# --- in the ledger ----------------------------------------------------------------------------------------------------


def test_a_bonus_is_one_entry_with_the_campaigns_key_and_code() -> None:
    desk = Desk.of("ada")
    buy(desk.store, "ada", 700, desk.now, receipt="1")
    campaign = desk.completed(50)

    ((entry,),) = desk.entries(campaign).values()

    last = day("2028-03-31")
    assert (entry.kind, entry.key) == (EntryKind.CAMPAIGN_BONUS, bonus_key(campaign.id, "ADA"))
    assert (entry.points, entry.lines, entry.balance_after) == (50, (Line(last, 50),), 57)
    assert entry.explanation == (Explanation(f"campaign:{CODE}", 50),)
    assert (entry.reason, entry.actor, entry.terms, entry.at) == (CODE, None, PROGRAM.terms.version, desk.now)
    assert explanations.describe(entry.explanation[0], entry, PROGRAM) == f"50 points by the campaign {CODE}."
    assert desk.store.claim(bonus_key(campaign.id, "ADA")) is None
    desk.audit(bonus_run(campaign))


@pytest.mark.parametrize(
    ("validity", "last"),
    [
        (Validity(), "2028-03-31"),
        (Validity(days=1), "2026-03-03"),
        (Validity(days=30), "2026-04-01"),
        (Validity(until=day("2026-03-03")), "2026-03-03"),
        (Validity(until=day("2026-12-31")), "2026-12-31"),
    ],
)
def test_its_points_live_as_long_as_the_campaign_or_the_program_says(validity: Validity, last: str) -> None:
    desk = Desk.of("ada")

    campaign = desk.completed(50, validity=validity)

    assert head_of(desk.store, "ADA").state.buckets == {day(last): 50}
    assert (day(last), "ADA") in desk.store.due
    desk.audit(bonus_run(campaign))


def test_the_days_of_a_bonus_are_counted_from_when_it_is_given() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched(50, validity=Validity(days=2))

    desk.now = at("2026-03-04 00:00")
    desk.work()
    assert head_of(desk.store, "ADA").state.buckets == {day("2026-03-06"): 50}

    desk.audit(bonus_run(campaign))


def test_who_comes_when_the_day_of_the_points_is_over_gets_none() -> None:
    """Points that nobody can spend are no bonus, and take nothing from the budget."""
    desk = Desk.of("ada")
    campaign = desk.launched(50, validity=Validity(until=TODAY + 1), budget=Budget(points=100))

    desk.passes(days=2)
    desk.work()

    assert desk.given(campaign) == {}
    assert desk.results(campaign) == {"ada": MemberOutcome.LATE}
    assert desk.campaigns.budget(bonus_run(campaign)) is None
    desk.audit(bonus_run(campaign))


def test_on_the_last_day_of_the_points_they_are_still_given() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched(50, validity=Validity(until=TODAY + 1))

    desk.passes(days=1)
    desk.work()

    assert desk.given(campaign) == {"ada": 50}


@pytest.mark.parametrize(
    ("expiry", "last"),
    [
        ({"policy": "never"}, None),
        ({"policy": "fixed", "days": 5, "rounding": "day"}, "2026-03-07"),
        ({"policy": "calendar", "dates": ["06-30"]}, "2026-06-30"),
        ({"policy": "anniversary", "days": 3}, "2027-03-02"),
        ({"policy": "inactivity", "days": 10}, "2026-03-12"),
    ],
)
def test_under_every_expiry_policy_a_bonus_has_a_day_of_its_own(expiry: dict[str, Any], last: str | None) -> None:
    timed = program(expiry=expiry)
    desk = Desk.of("ada", program=timed)

    campaign = desk.completed(50)

    assert head_of(desk.store, "ADA").state.buckets == {days.NEVER if last is None else day(last): 50}
    desk.audit(bonus_run(campaign))
    short = desk.completed(20, key="2", validity=Validity(days=1))
    assert head_of(desk.store, "ADA").state.buckets[TODAY + 1] == 20
    desk.audit(bonus_run(short))


def test_a_bonus_is_no_activity_and_keeps_nothing_alive() -> None:
    rolling = program(expiry={"policy": "inactivity", "days": 10})
    desk = Desk.of("ada", program=rolling)
    buy(desk.store, "ada", 1_000, desk.now, receipt="1", program=rolling)
    before = head_of(desk.store, "ADA").state
    desk.passes(days=3)

    campaign = desk.completed(50)

    after = head_of(desk.store, "ADA").state
    assert (after.rolling, after.marks) == (before.rolling, before.marks)
    assert after.buckets == {accounts.ROLLING: 10, TODAY + 13: 50}
    desk.audit(bonus_run(campaign))


def test_no_tier_is_reached_by_a_bonus() -> None:
    ladder = [{"id": "base", "name": "B", "threshold": 0}, {"id": "gold", "name": "G", "threshold": 10}]
    tiered = program(tiers={"metric": "points", "period": "calendar_year", "ladder": ladder})
    desk = Desk.of("ada", program=tiered)

    desk.completed(500)

    state = head_of(desk.store, "ADA").state
    assert (state.standing, state.qualifying) == (None, {})


def test_a_milestone_that_a_bonus_reaches_follows_in_the_same_record() -> None:
    moments = [{"id": "hundred", "when": "balance", "at_least": 100, "points": 7}]
    generous = program(moments=moments)
    desk = Desk.of("ada", "bob", program=generous)
    buy(desk.store, "ada", 6_000, desk.now, receipt="1", program=generous)

    campaign = desk.completed(40)

    assert (desk.balance("ada"), desk.balance("bob")) == (107, 40)
    assert [entry.kind for entry in head_of(desk.store, "ADA").entries] == [EntryKind.CAMPAIGN_BONUS, EntryKind.BONUS]
    assert desk.given(campaign) == {"ada": 40, "bob": 40}
    desk.audit(bonus_run(campaign))


def test_a_debt_is_paid_from_it() -> None:
    desk = Desk.of("ada")
    owe(desk.store, "ada", 30, desk.now, key="o")

    campaign = desk.completed(50)

    state = head_of(desk.store, "ADA").state
    assert (state.debt, state.balance) == (0, 20)
    assert desk.progress(bonus_run(campaign)).points == 50
    desk.audit(bonus_run(campaign))


def test_what_time_had_done_is_booked_with_it() -> None:
    brief = program(expiry={"days": 1, "rounding": "day"})
    desk = Desk.of("ada", program=brief)
    buy(desk.store, "ada", 1_000, desk.now, receipt="1", program=brief)
    campaign = desk.launched(5)
    desk.passes(days=2)

    desk.work()

    assert [entry.kind for entry in head_of(desk.store, "ADA").entries] == [EntryKind.EXPIRY, EntryKind.CAMPAIGN_BONUS]
    assert desk.balance("ada") == 5
    desk.audit(bonus_run(campaign))


def test_members_of_a_chunk_whose_points_end_on_one_day_are_noted_in_one_write() -> None:
    names = names_of(0, 5)
    desk = Desk.of(*names)
    campaign = desk.launched(10, validity=Validity(days=9))
    desk.work(desk.shards)
    calls: Counter[str] = Counter()

    class Counting:
        def __getattr__(self, name: str) -> Any:
            if name != "fits":
                calls[name] += 1
            return getattr(desk.store, name)

    work.take(replace(desk.tools, store=Counting()), Turn(bonus_run(campaign), 0, 1))  # type: ignore[arg-type]

    assert calls == {"home": 5, "append": 5, "note_due_all": 1}
    assert {account for due, account in desk.store.due if due == TODAY + 9} == {name.upper() for name in names}


# --- once, whatever happens meanwhile ---------------------------------------------------------------------------------


def decided(desk: Desk, points: int = 10, **parts: Any) -> tuple[Any, Turn]:
    """A campaign whose first chunk of shard 0 is decided on, by a worker who died then."""
    campaign = desk.launched(points, **parts)
    desk.work(desk.shards)
    (turn,) = [turn for turn in desk.queue if turn.shard == 0]
    desk.decides_and_dies(turn)
    return campaign, turn


def test_a_purchase_between_reading_and_giving_loses_nothing() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    campaign = desk.launched(10)
    cut_in = Meanwhile(desk.store, "append", lambda: buy(desk.store, name, 500, desk.now, receipt="1"))
    desk.work(desk.shards)

    work.take(replace(desk.tools, store=cut_in), desk.queue.pop())  # type: ignore[arg-type]

    assert desk.balance(name) == 15
    assert desk.given(campaign) == {name: 10}
    desk.audit(bonus_run(campaign))


def test_whoever_comes_again_finds_the_bonus_however_much_was_booked_since() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    campaign, turn = decided(desk, 10)
    lost = Failing(desk.campaigns, "finish", OutcomeUnknown("nobody knows"))
    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, campaigns=lost), turn)  # type: ignore[arg-type]
    assert desk.balance(name) == 10
    for number in range(limits.RESUME_PAGE + 20):
        adjust(desk.store, name, 1, desk.now, key=f"a{number}")

    work.take(desk.tools, turn)

    assert desk.given(campaign) == {name: 10}
    desk.audit(bonus_run(campaign))


BARS: dict[MemberOutcome, Callable[[Desk, str], object]] = {
    MemberOutcome.BLOCKED: lambda desk, name: block(desk.store, name, desk.now, key="bar"),
    MemberOutcome.CLOSED: lambda desk, name: close(desk.store, name, desk.now, key="bar"),
    MemberOutcome.MERGED: lambda desk, name: merge(desk.store, name, "other", desk.now, key="bar"),
}
LIFTS: dict[MemberOutcome, Callable[[Desk, str], object]] = {
    MemberOutcome.BLOCKED: lambda desk, name: unblock(desk.store, name, desk.now, key="lift"),
    MemberOutcome.MERGED: lambda desk, name: unmerge(desk.store, name, desk.now, key="lift"),
}


@pytest.mark.parametrize("outcome", BARS)
def test_who_is_barred_after_it_was_decided_gets_nothing_and_the_budget_gets_it_back(outcome: MemberOutcome) -> None:
    first, second = names_of(0, 2)
    desk = Desk.of(first, second)
    desk.join("other")
    campaign, _ = decided(desk, budget=Budget(points=100, members=10))

    BARS[outcome](desk, first)
    desk.work()

    assert desk.results(campaign) == {first: outcome, second: MemberOutcome.APPLIED, "other": MemberOutcome.APPLIED}
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=80, members=8)
    desk.audit(bonus_run(campaign))


@pytest.mark.parametrize("outcome", LIFTS)
def test_all_workers_tell_one_story_of_who_was_barred_for_a_while(outcome: MemberOutcome) -> None:
    """One worker finds a member barred and says so; then the bar is lifted, and another, who is at the same chunk and a little
    late, comes by. It must not give what is counted as not given, and what went back to the budget."""
    first, second = names_of(0, 2)
    desk = Desk.of(first, second)
    desk.join("other")
    campaign, turn = decided(desk, budget=Budget(points=100))

    def meanwhile() -> None:
        BARS[outcome](desk, first)
        work.take(desk.tools, turn)
        desk.passes(minutes=1)
        LIFTS[outcome](desk, first)

    late = Meanwhile(desk.store, "home", meanwhile)
    work.take(replace(desk.tools, store=late), turn)  # type: ignore[arg-type]
    desk.work()

    assert desk.results(campaign)[first] is outcome
    assert first not in desk.given(campaign)
    desk.audit(bonus_run(campaign))


def test_who_was_barred_before_it_was_decided_and_is_not_any_more_gets_it() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    block(desk.store, name, desk.now, key="1")
    unblock(desk.store, name, desk.now, key="2")
    campaign, _ = decided(desk)

    desk.work()

    assert desk.given(campaign) == {name: 10}


def test_who_was_blocked_after_their_bonus_has_it() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    campaign, turn = decided(desk)
    lost = Failing(desk.campaigns, "finish", OutcomeUnknown("nobody knows"))
    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, campaigns=lost), turn)  # type: ignore[arg-type]
    block(desk.store, name, desk.now, key="1")

    desk.work()

    assert desk.results(campaign) == {name: MemberOutcome.APPLIED}
    desk.audit(bonus_run(campaign))


def test_what_became_of_a_key_is_what_came_first_behind_the_record_that_was_read() -> None:
    desk = Desk.of("ada")
    store, key, other = desk.store, bonus_key("C0000", "ADA"), reversal_key("C0000", "ADA")

    def told(barring: Any = BARRED, *, of: Any = key, **more: Any) -> Any:
        home = store.home("ADA", entries=4, strong=True)
        assert home is not None
        found = fate(store, home, of, barring, **more)
        return found if found is None or isinstance(found, MemberOutcome) else found.record.seq

    assert told(seq=1) is None
    desk.completed(10)
    assert (told(seq=1), told(seq=2), told(ENDED, of=other, seq=2)) == (2, None, None)
    block(store, "ada", desk.now, key="1")
    unblock(store, "ada", desk.now, key="2")
    assert (told(seq=1), told(seq=2), told(seq=4)) == (2, MemberOutcome.BLOCKED, None)
    assert told(ENDED, of=other, seq=2) is None, "what is blocked can be taken back"
    for number in range(2 * limits.RESUME_PAGE):
        adjust(store, "ada", 1, desk.now, key=f"a{number}")
    assert (told(seq=1), told(seq=2), told(seq=4)) == (2, MemberOutcome.BLOCKED, None)
    block(store, "ada", desk.now, key="3")
    close(store, "ada", desk.now, key="4")
    assert (told(seq=1), told(seq=4), told(ENDED, of=other, seq=2)) == (2, MemberOutcome.BLOCKED, MemberOutcome.CLOSED)


# --- when something is wrong with somebody ----------------------------------------------------------------------------


def of_account(name: str) -> Callable[..., bool]:
    return lambda record, *_, **__: getattr(record, "account", record) == name.upper()


def test_whatever_is_wrong_with_one_the_others_have_their_turn_and_it_comes_again() -> None:
    names = names_of(0, 3)
    desk = Desk.of(*names)
    campaign = desk.launched(10, budget=Budget(points=100))
    desk.work(desk.shards)
    (turn,) = desk.queue
    broken = Failing(desk.store, "append", ValueError("broken"), which=of_account(names[1]))

    with pytest.raises(NotDone, match=names[1].upper()):
        work.take(replace(desk.tools, store=broken), turn)  # type: ignore[arg-type]

    assert desk.given(campaign) == {names[0]: 10, names[2]: 10}
    assert [(account, str(error)) for account, error in desk.told] == [(names[1].upper(), "broken")]
    assert desk.progress(bonus_run(campaign)).done == 0
    desk.work()
    assert desk.given(campaign) == dict.fromkeys(names, 10)
    desk.audit(bonus_run(campaign))


def test_in_the_end_who_cannot_be_given_anything_has_failed_and_the_run_is_over() -> None:
    names = names_of(0, 3)
    desk = Desk.of(*names)
    campaign = desk.launched(10, budget=Budget(points=30))
    desk.work(desk.shards)
    (turn,) = desk.queue
    broken = Failing(desk.store, "append", ValueError("broken"), which=of_account(names[1]))

    work.take(replace(desk.tools, store=broken, is_last=True), turn)  # type: ignore[arg-type]

    assert desk.results(campaign)[names[1]] is MemberOutcome.FAILED
    assert desk.progress(bonus_run(campaign)).points == 20
    assert desk.find(campaign).status.value == "COMPLETED"
    # Nobody knows for certain that they will never have it: what was taken for them stays taken.
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=0)


def test_what_went_wrong_behind_the_write_is_a_bonus_all_the_same() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    campaign = desk.launched(10, budget=Budget(points=10))
    desk.work(desk.shards)
    broken = Failing(desk.store, "append", ValueError("after"), executes=True, times=1)

    work.take(replace(desk.tools, store=broken, is_last=True), desk.queue.pop())  # type: ignore[arg-type]

    assert desk.results(campaign) == {name: MemberOutcome.APPLIED}
    desk.audit(bonus_run(campaign))


def test_an_account_that_cannot_be_read_fails_and_holds_up_nobody() -> None:
    names = names_of(0, 3)
    desk = Desk.of(*names)
    campaign = desk.launched(10)
    desk.work(desk.shards)
    broken = Failing(desk.store, "home", ValueError("unreadable"), which=of_account(names[0]))

    turn = desk.queue.pop()
    with pytest.raises(NotDone):
        work.take(replace(desk.tools, store=broken), turn)  # type: ignore[arg-type]
    assert desk.given(campaign) == {}, "what was wrong for a moment costs nobody a bonus: it comes again"
    work.take(replace(desk.tools, store=broken, is_last=True), turn)  # type: ignore[arg-type]

    assert desk.results(campaign)[names[0]] is MemberOutcome.FAILED
    assert len(desk.given(campaign)) == 2
    # Told of once, and for the last time twice: who will not come again tries once more.
    assert [account for account, _ in desk.told] == [names[0].upper()] * 3
    desk.audit(bonus_run(campaign))


def test_a_log_with_a_gap_fails_and_holds_up_nobody() -> None:
    names = names_of(0, 2)
    desk = Desk.of(*names)
    campaign, turn = decided(desk)
    for number in range(20):
        adjust(desk.store, names[0], 1, desk.now, key=f"a{number}")
    gap = Gap(desk.store)

    with pytest.raises(NotDone):
        work.take(replace(desk.tools, store=gap), turn)  # type: ignore[arg-type]
    assert desk.given(campaign) == {names[1]: 10}
    assert [type(error) for _, error in desk.told] == [BrokenLog]
    work.take(replace(desk.tools, store=gap, is_last=True), turn)  # type: ignore[arg-type]

    assert desk.results(campaign) == {names[0]: MemberOutcome.FAILED, names[1]: MemberOutcome.APPLIED}


class Gap:
    """A store in which no older record can be found any more."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def records_after(self, *_: Any, **__: Any) -> Any:
        return []


@pytest.mark.parametrize("method", ["home", "append", "note_due_all"])
def test_a_store_that_does_not_answer_is_no_members_fault(method: str) -> None:
    desk = Desk.of(*names_of(0, 2))
    campaign = desk.launched(10)
    desk.work(desk.shards)
    (turn,) = desk.queue
    silent = Failing(desk.store, method, OutcomeUnknown("no answer"), times=1)

    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, store=silent, is_last=True), turn)  # type: ignore[arg-type]
    desk.work()

    assert desk.given(campaign) == dict.fromkeys(names_of(0, 2), 10)
    assert desk.told == []
    desk.audit(bonus_run(campaign))


def test_who_loses_every_append_leaves_it_for_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMMIT_ATTEMPTS_MAX", 3)
    desk = Desk.of(*names_of(0, 1))
    campaign = desk.launched(10)
    desk.work(desk.shards)
    (turn,) = desk.queue
    busy = Failing(desk.store, "append", Contended())

    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, store=busy), turn)  # type: ignore[arg-type]

    desk.work()
    desk.audit(bonus_run(campaign))


# --- telling ----------------------------------------------------------------------------------------------------------


def told(desk: Desk, name: str) -> list[notices.Notice]:
    return [each for each in desk.store._notices.get(name.upper(), {}).values() if each.kind is NoticeKind.CAMPAIGN]


def test_who_gets_it_is_told_once_in_the_campaigns_words() -> None:
    desk = Desk()
    desk.join("ada", name="Ada")
    campaign = desk.completed(50, message=HELLO)
    desk.queue += [Turn(bonus_run(campaign), shard, chunk) for shard in range(2) for chunk in (None, 1)]
    desk.work()

    (notice,) = told(desk, "ada")

    assert (notice.about, notice.at, notice.day) == (f"c.{campaign.id}", desk.now, days.day_of(desk.now, notices._UTC))
    title, text = notices.worded(notice, PROGRAM, name="Ada")
    assert title == "A thank-you"
    assert text.startswith("50 points for you, Ada, until ")
    assert "$" not in text


def test_who_comes_again_tells_nobody_twice() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    _, turn = decided(desk, message=HELLO)
    lost = Failing(desk.campaigns, "finish", OutcomeUnknown("nobody knows"))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            work.take(replace(desk.tools, campaigns=lost), turn)  # type: ignore[arg-type]
        desk.passes(days=1)
    desk.work()

    assert len(told(desk, name)) == 1


def test_a_bonus_that_was_given_is_told_of_though_its_worker_died_before() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    _, turn = decided(desk, message=HELLO)
    silent = Failing(desk.store, "give_notice", OutcomeUnknown("no answer"))
    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, store=silent), turn)  # type: ignore[arg-type]
    assert (desk.balance(name), told(desk, name)) == (10, [])

    desk.work()

    assert len(told(desk, name)) == 1


def test_words_that_cannot_be_given_do_not_undo_points() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    campaign = desk.launched(10, message=HELLO, budget=Budget(points=10))
    desk.work(desk.shards)
    (turn,) = desk.queue
    mute = Failing(desk.store, "give_notice", ValueError("mute"))

    with pytest.raises(NotDone):
        work.take(replace(desk.tools, store=mute), turn)  # type: ignore[arg-type]
    work.take(replace(desk.tools, store=mute, is_last=True), turn)  # type: ignore[arg-type]

    assert desk.results(campaign) == {name: MemberOutcome.APPLIED}
    assert told(desk, name) == []
    desk.audit(bonus_run(campaign))


def test_a_silent_campaign_tells_nobody() -> None:
    desk = Desk.of("ada")
    desk.completed(50)

    assert told(desk, "ada") == []


def test_nobody_is_told_who_gets_nothing() -> None:
    names = [*names_of(0, 40)]
    desk = Desk.of(*names)
    block(desk.store, names[0], desk.now, key="b")

    campaign = desk.completed(50, message=HELLO, hold_out_percent=50, budget=Budget(members=10))

    assert {name for name in names if told(desk, name)} == desk.given(campaign).keys()
    assert len(desk.given(campaign)) == 10


@pytest.mark.parametrize(("answer", "is_told"), [(True, True), (False, False)])
def test_who_does_not_want_offers_gets_the_points_and_no_word(answer: bool, is_told: bool) -> None:
    desk = Desk.of("ada")
    update(desk.store, "ada", desk.now, key="u", consents={Consent.OFFERS: answer})

    campaign = desk.completed(50, message=HELLO)

    assert desk.given(campaign) == {"ada": 50}
    assert bool(told(desk, "ada")) == is_told


def test_nobody_is_told_of_a_preview_or_of_a_reversal() -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed(50, message=HELLO)
    assert told(desk, "ada") == []
    desk.do(Action.LAUNCH, campaign)
    desk.work()
    before = told(desk, "ada")

    desk.reverted(desk.find(campaign))

    assert told(desk, "ada") == before


def test_two_campaigns_of_a_day_are_two_notices() -> None:
    desk = Desk.of("ada")
    desk.completed(50, message=HELLO)
    desk.completed(50, key="2", message=Message("Again", "More."))

    assert {str(each.args["title"]) for each in told(desk, "ada")} == {"A thank-you", "Again"}


def test_the_shelf_is_left_as_it_was() -> None:
    """A bonus, and a redemption of it, are two things of two keys."""
    desk = Desk.of("ada")
    campaign = desk.completed(50, audience=Audience())
    hold(desk.store, "ada", 10, desk.now, key="h")
    redeem(desk.store, "ada", "latte", desk.now, key="r")

    assert desk.balance("ada") == 0
    desk.audit(bonus_run(campaign))


def test_what_was_decided_on_their_last_day_is_not_given_when_that_is_over() -> None:
    """A worker has died in between; the budget has back what nobody can get any more."""
    names = names_of(0, 2)
    desk = Desk.of(*names)
    until = days.day_of(START, desk.program.zone) + 1
    campaign = desk.launched(50, validity=Validity(until=until), budget=Budget(points=100))
    desk.work(desk.shards)
    (turn,) = desk.queue
    desk.now = days.end_of(until, desk.program.zone) - timedelta(minutes=1)
    desk.decides_and_dies(turn)

    desk.passes(minutes=12)
    desk.work()

    assert set(desk.results(campaign).values()) == {MemberOutcome.LATE}
    assert desk.given(campaign) == {}
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=100)
    desk.audit(bonus_run(campaign))


def test_what_was_decided_and_noted_in_time_is_not_given_a_moment_after_their_last_day() -> None:
    """Points that are dead when they arrive are nobody's; whoever comes later says so."""
    desk = Desk.of("ada")
    campaign = desk.launched(50, validity=Validity(until=TODAY + 1), budget=Budget(points=100))
    desk.work(desk.shards)
    (turn,) = desk.queue
    desk.now = days.end_of(TODAY + 1, desk.program.zone) - timedelta(milliseconds=1)
    slow: Any = Meanwhile(desk.store, "note_due_all", lambda: desk.passes(seconds=2))

    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, store=slow), turn)

    assert desk.given(campaign) == {}
    desk.passes(minutes=12)
    desk.work()
    assert desk.results(campaign) == {"ada": MemberOutcome.LATE}
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=100)
    desk.audit(bonus_run(campaign))


def test_in_their_very_last_moment_they_are_given() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched(50, validity=Validity(until=TODAY + 1))
    desk.work(desk.shards)
    desk.now = days.end_of(TODAY + 1, desk.program.zone) - timedelta(milliseconds=1)

    desk.work()

    assert desk.given(campaign) == {"ada": 50}


def test_nobody_is_told_to_be_late_while_a_worker_of_before_may_be_at_them() -> None:
    """Two workers have the decision; one is held up at the append itself, the other comes when the day is over."""
    desk = Desk.of("ada")
    campaign = desk.launched(50, validity=Validity(until=TODAY + 1), budget=Budget(points=100))
    desk.work(desk.shards)
    (turn,) = desk.queue
    over = days.end_of(TODAY + 1, desk.program.zone)
    desk.now = over - timedelta(seconds=1)

    def meanwhile() -> None:
        desk.now = over - timedelta(seconds=1) + limits.CAMPAIGN_WORKER_MAX
        with pytest.raises(OutcomeUnknown):
            work.take(desk.tools, turn)

    held_up: Any = Meanwhile(desk.store, "append", meanwhile)
    work.take(replace(desk.tools, store=held_up), turn)
    desk.queue.clear()

    assert desk.results(campaign) == {"ada": MemberOutcome.APPLIED}
    desk.audit(bonus_run(campaign))


def test_an_account_whose_own_time_is_past_their_last_day_is_late_and_holds_up_nobody() -> None:
    """Another machine's clock runs ahead a little, and its record stands: whatever comes behind it comes later."""
    names = names_of(0, 2)
    desk = Desk.of(*names)
    campaign = desk.launched(50, validity=Validity(until=TODAY + 1), budget=Budget(points=100))
    desk.work(desk.shards)
    (turn,) = desk.queue
    over = days.end_of(TODAY + 1, desk.program.zone)
    desk.now = over - timedelta(minutes=5)
    desk.decides_and_dies(turn)
    adjust(desk.store, names[0], 1, over + timedelta(milliseconds=5), key="x")

    desk.work()

    assert desk.results(campaign) == {names[0]: MemberOutcome.LATE, names[1]: MemberOutcome.APPLIED}
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=50)
    desk.audit(bonus_run(campaign))


def test_a_log_that_is_too_long_to_be_read_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    names = names_of(0, 3)
    desk = Desk.of(*names)
    campaign = desk.launched(50)
    desk.work(desk.shards)
    (turn,) = desk.queue
    desk.decides_and_dies(turn)
    monkeypatch.setattr(limits, "RESUME_PAGE", 2)
    monkeypatch.setattr(limits, "SYSTEM_KEY_PAGES_MAX", 3)
    for number in range(20):
        adjust(desk.store, names[0], 1, desk.now, key=f"{number}")

    with pytest.raises(NotDone):
        work.take(desk.tools, turn)
    assert desk.given(campaign) == dict.fromkeys(names[1:], 50)
    work.take(replace(desk.tools, is_last=True), turn)

    assert desk.results(campaign)[names[0]] is MemberOutcome.FAILED
    assert any(isinstance(error, BrokenLog) for _, error in desk.told)
    assert desk.find(campaign).status is Status.COMPLETED


def test_a_chunk_that_cannot_be_looked_at_in_the_time_of_a_turn_is_given_up_in_the_end() -> None:
    """It comes again as often as a message does, and does not hand itself on for ever."""
    names = names_of(0, 3)
    desk = Desk.of(*names)
    campaign = desk.launched(50)
    desk.work(desk.shards)
    (turn,) = desk.queue
    looks = iter([True] * 3)

    with desk.unchanged(), pytest.raises(OutOfTime):
        work.take(replace(desk.tools, has_time=lambda: False), turn)
    with desk.unchanged(), pytest.raises(TooSlow, match="no time to look at all of the chunk"):
        work.take(replace(desk.tools, has_time=lambda: next(looks, False), is_last=True), turn)

    desk.work()
    assert desk.given(campaign) == dict.fromkeys(names, 50)


def test_points_without_a_last_day_are_told_without_one() -> None:
    desk = Desk.of("ada", program=program(expiry={"policy": "never"}))
    desk.completed(50, message=Message("Hi", "$points points are yours, until $date."))

    (notice,) = desk.store.notices("ADA", limit=5)

    assert notices.worded(notice, desk.program, name="Ada") == ("Hi", "50 points are yours, until .")
