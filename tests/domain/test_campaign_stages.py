"""What time and workers make of a campaign: pausing, going on, ending, taking back, and whoever comes by when nobody goes on."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import days, limits
from domain.campaigns import (
    Action,
    Budget,
    Status,
    work,
)
from domain.campaigns.store import MemberOutcome
from domain.campaigns.turns import Turn
from domain.entries import EntryKind
from tests.domain.campaigning import START, Desk, Failing, Meanwhile, bonus_run, draft, names_of, reversal_run

TODAY = days.day_of(START, Desk().program.zone)
MILLISECOND = timedelta(milliseconds=1)


# --- pausing, going on, ending ----------------------------------------------------------------------------------------


def test_it_stops_between_two_members_and_goes_on_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_LOOK_MEMBERS", 2)
    names = names_of(0, 7)
    desk = Desk.of(*names)
    campaign = desk.launched(10)
    desk.work(desk.shards)
    (turn,) = desk.queue
    held_up = Meanwhile(desk.store, "note_due_all", lambda: desk.do(Action.PAUSE, campaign))
    work.take(replace(desk.tools, store=held_up), turn)  # type: ignore[arg-type]

    assert list(desk.given(campaign)) == names[:2], "who had begun went on until somebody looked"
    assert desk.progress(bonus_run(campaign)).done == 0
    desk.queue.clear()
    with desk.unchanged():
        work.take(desk.tools, turn)
        assert desk.look_after(is_idle=True) == []
    desk.do(Action.RESUME, campaign)
    desk.work()

    assert desk.given(campaign) == dict.fromkeys(names, 10)
    desk.audit(bonus_run(campaign))


def test_what_is_cancelled_gives_nothing_more_and_keeps_what_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    desk = Desk.of("ada", "bob", "cyd")
    campaign = desk.launched(10)
    desk.work(desk.shards + 1)
    given = desk.given(campaign)
    assert len(given) == 1

    desk.do(Action.CANCEL, campaign)
    desk.work()

    assert (desk.find(campaign).status, desk.find(campaign).ended_at) == (Status.CANCELLED, desk.now)
    assert desk.given(campaign) == given
    assert desk.campaigns.at_work() == [campaign.id], "what it gave is to be written down"


def test_a_campaign_that_was_cancelled_in_the_middle_of_a_chunk_tells_exactly_what_it_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CHUNK_LOOK_MEMBERS", 1)
    names = names_of(0, 6)
    desk = Desk.of(*names)
    campaign = desk.launched(10, budget=Budget(points=1_000))
    desk.work(desk.shards)

    class CancelledAtTheThird:
        """A store, as a worker sees it in whose middle somebody cancels."""

        appended = 0

        def __getattr__(self, name: str) -> Any:
            if name == "append":
                self.appended += 1
                if self.appended == 3:
                    desk.do(Action.CANCEL, campaign)
            return getattr(desk.store, name)

    store = CancelledAtTheThird()
    for turn in list(desk.queue):
        work.take(replace(desk.tools, store=store), turn)  # type: ignore[arg-type]
    desk.queue.clear()
    given = desk.given(campaign)
    assert 0 < len(given) < len(names)

    for _ in range(4):
        desk.look_after()
        desk.work()

    assert desk.find(campaign).settled_at is not None
    assert desk.given(campaign) == given
    assert Counter(desk.results(campaign).values()) == {
        MemberOutcome.APPLIED: len(given),
        MemberOutcome.STOPPED: len(names) - len(given),
    }
    assert desk.campaigns.budget(bonus_run(campaign)) == Budget(points=1_000 - 10 * len(given))
    assert desk.campaigns.at_work() == []
    desk.audit(bonus_run(campaign))


def test_a_cancelled_draft_is_looked_at_no_more() -> None:
    desk = Desk.of("ada")
    campaign = desk.create(draft()).campaign
    desk.do(Action.PREVIEW, campaign)

    desk.do(Action.CANCEL, campaign)
    desk.work()

    assert desk.find(campaign).preview_members is None
    assert desk.campaigns.at_work() == []


def test_it_is_completed_once_however_many_see_it_is_over() -> None:
    desk = Desk.of("ada", "bob")
    campaign = desk.completed()
    version, over_at = desk.find(campaign).version, desk.now

    desk.passes(hours=1)
    with desk.unchanged():
        assert work.complete(desk.tools, bonus_run(campaign))
        assert desk.look_after(is_idle=True) == []

    assert (desk.find(campaign).version, desk.find(campaign).ended_at) == (version, over_at)


def test_whoever_comes_by_ends_a_run_whose_last_worker_died_before_that() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()
    desk.work(desk.shards)
    died = Meanwhile(desk.campaigns, "save", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work.take(replace(desk.tools, campaigns=died), desk.queue.pop())  # type: ignore[arg-type]
    assert desk.find(campaign).status is Status.RUNNING

    assert desk.look_after(is_idle=False) == []

    assert desk.find(campaign).status is Status.COMPLETED


def test_a_silent_run_is_handed_out_again_and_one_at_work_is_not() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched()
    desk.work(1)
    desk.queue.clear()

    assert desk.look_after(is_idle=True) == [], "it has moved"
    assert desk.look_after(is_idle=True, minutes=0.9) == [], "a queue counts roughly"
    assert desk.look_after(is_idle=False) == []
    handed = desk.look_after(is_idle=True)

    assert {turn.run for turn in handed} == {bonus_run(campaign)}
    desk.work()
    desk.audit(bonus_run(campaign))


def test_behind_the_turns_of_others_a_run_is_handed_out_again_now_and_then() -> None:
    """Turns that wait in a queue do not multiply, and turns that are lost are not lost for ever."""
    desk = Desk.of("ada")
    campaign = desk.launched()
    desk.queue.clear()

    silent = limits.CAMPAIGN_SILENCE_MAX // timedelta(minutes=1)
    handed = [bool(desk.look_after(is_idle=False)) for _ in range(2 * silent)]
    desk.work()

    assert [minute for minute, was in enumerate(handed, start=1) if was] == [silent, 2 * silent]
    desk.audit(bonus_run(campaign))


def test_a_silent_preview_is_handed_out_again() -> None:
    desk = Desk.of("ada")
    campaign = desk.create(draft()).campaign
    desk.do(Action.PREVIEW, campaign)
    desk.queue.clear()

    desk.look_after(is_idle=True)
    desk.work()

    assert desk.find(campaign).preview_members == 1


# --- taking back: when ------------------------------------------------------------------------------------------------


def test_after_a_cancellation_taking_back_waits_until_no_worker_can_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    first, second = names_of(0, 2)
    desk = Desk.of(first, second)
    campaign = desk.launched()
    desk.work(desk.shards + 1)
    assert desk.given(campaign) == {first: 100}
    desk.do(Action.CANCEL, campaign)
    desk.passes(minutes=1)

    changed = desk.do(Action.REVERT, campaign)
    desk.work()

    assert changed.run is None
    assert (desk.find(campaign).status, desk.balance(first)) == (Status.REVERTING, 100)
    stopped_at = changed.campaign.stopped_at
    assert stopped_at is not None
    desk.now = stopped_at + limits.CAMPAIGN_WORKER_MAX - MILLISECOND
    assert desk.look_after(is_idle=True, minutes=0) == []
    desk.now += MILLISECOND
    assert {turn.run for turn in desk.look_after(is_idle=False, minutes=0)} == {bonus_run(campaign)}
    desk.work()
    settled = desk.find(campaign)
    assert (settled.settled_at, settled.status, desk.balance(first)) == (desk.now, Status.REVERTING, 100)
    assert desk.results(settled) == {first: MemberOutcome.APPLIED, second: MemberOutcome.STOPPED}
    assert {turn.run for turn in desk.look_after(is_idle=False)} == {reversal_run(campaign)}
    desk.work()
    assert (desk.find(campaign).status, desk.balance(first)) == (Status.REVERTED, 0)
    assert desk.entries(campaign, EntryKind.CAMPAIGN_REVERSAL).keys() == {first}
    assert desk.outcomes(reversal_run(campaign)) == {first: MemberOutcome.APPLIED, second: MemberOutcome.NO_BONUS}


def test_after_completion_and_when_a_cancellation_is_settled_it_begins_at_once() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(10)
    assert desk.do(Action.REVERT, campaign).run == reversal_run(campaign)

    late = Desk.of("bob")
    gone = late.do(Action.CANCEL, late.launched()).campaign
    late.look_after(minutes=3)
    late.work()
    assert late.find(gone).settled_at == late.now
    assert late.do(Action.REVERT, gone).run == reversal_run(gone)


def test_a_reversal_is_handed_out_again_when_it_is_silent() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed()
    desk.do(Action.REVERT, campaign)
    desk.queue.clear()

    handed = desk.look_after(is_idle=True)
    desk.work()

    assert {turn.run for turn in handed} == {reversal_run(campaign)}
    assert desk.find(campaign).reverted_at == desk.now
    assert desk.campaigns.at_work() == []


# --- looking after ----------------------------------------------------------------------------------------------------


def test_one_campaign_that_cannot_be_read_does_not_hold_up_the_others() -> None:
    desk = Desk.of("ada")
    first, second = desk.previewed(10, key="a"), desk.previewed(10, key="b")
    for campaign in (first, second):
        desk.do(Action.LAUNCH, campaign, at=desk.now + timedelta(hours=1))
    desk.passes(hours=2)
    broken = Failing(desk.campaigns, "find", KeyError("doc"), which=lambda named: named == first.id)

    with pytest.raises(KeyError):
        work.look_after(replace(desk.tools, campaigns=broken), is_idle=lambda: True)

    assert desk.find(first).status is Status.SCHEDULED
    assert desk.find(second).status is Status.RUNNING


def test_several_that_cannot_be_read_are_all_told_of() -> None:
    desk = Desk.of("ada")
    for key in ("a", "b"):
        desk.do(Action.LAUNCH, desk.previewed(10, key=key), at=desk.now + timedelta(hours=1))
    broken = Failing(desk.campaigns, "find", KeyError("doc"))

    with pytest.raises(ExceptionGroup) as caught:
        work.look_after(replace(desk.tools, campaigns=broken), is_idle=lambda: True)

    assert len(caught.value.exceptions) == 2


def test_a_preview_that_was_cut_short_is_not_finished() -> None:
    desk = Desk.of("ada", "bob")
    campaign = desk.previewed(50)
    desk.join("cyd")
    desk.do(Action.PREVIEW, campaign, key="again")
    desk.queue.clear()

    cancelled = desk.do(Action.CANCEL, campaign).campaign

    assert (cancelled.previewed, cancelled.previews) == (1, 2)
    assert not cancelled.is_at_work
    assert desk.look_after() == []
    assert desk.find(campaign) == cancelled


def test_nobody_has_had_a_turn_that_was_not_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some chunks are done before the last is cut."""
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    desk = Desk.of(*names_of(0, 4))
    campaign = desk.launched(10)
    desk.queue.clear()
    time = iter([True, True])
    work.take(replace(desk.tools, has_time=lambda: next(time, False)), Turn(bonus_run(campaign), 0))
    work.take(desk.tools, Turn(bonus_run(campaign), 0, 1))

    progress = desk.progress(bonus_run(campaign))

    assert not progress.is_planned
    assert (progress.members, progress.done, progress.chunks, progress.chunks_done) == (1, 1, 1, 1)
