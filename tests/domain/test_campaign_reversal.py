"""Taking back what a campaign gave: each once, as far as the member still has it, and nothing that was not given."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import explanations, limits
from domain.accounts import Line
from domain.campaigns import Action, Audience, Budget, Campaign, Status, Validity, work
from domain.campaigns.giving import WRITTEN_OFF
from domain.campaigns.store import MemberOutcome
from domain.campaigns.tools import OutOfTime
from domain.campaigns.turns import Turn, opening
from domain.entries import EntryKind, Explanation, reversal_key
from domain.refusals import OutcomeUnknown
from tests.domain.campaigning import (
    CODE,
    START,
    Desk,
    Failing,
    Meanwhile,
    bonus_run,
    names_of,
    reversal_run,
    segments,
    tagged,
)
from tests.domain.world import (
    PROGRAM,
    adjust,
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
    search,
    unblock,
    unmerge,
    update,
)

TODAY = day("2026-03-02")
LAST = day("2028-03-31")


def reversals(desk: Desk, campaign: Any) -> dict[str, Any]:
    return {name: each for name, (each,) in desk.entries(campaign, EntryKind.CAMPAIGN_REVERSAL).items()}


def test_what_was_given_is_taken_back_by_an_entry_of_its_own() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(50)
    desk.passes(days=1)

    desk.reverted(campaign)

    entry = reversals(desk, campaign)["ada"]
    assert (entry.kind, entry.key) == (EntryKind.CAMPAIGN_REVERSAL, reversal_key(campaign.id, "ADA"))
    assert (entry.lines, entry.points, entry.balance_after) == ((Line(LAST, -50),), -50, 0)
    assert entry.explanation == (Explanation(f"campaign:{CODE}", -50),)
    assert (entry.reason, entry.actor, entry.at) == (CODE, None, desk.now)
    assert (
        explanations.describe(entry.explanation[0], entry, PROGRAM)
        == f"50 points of the campaign {CODE} were taken back."
    )
    assert desk.given(campaign) == {"ada": 50}, "no entry is ever changed"
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_each_bonus_is_taken_back_once_and_only_a_bonus() -> None:
    names = [*names_of(0, 8), *names_of(1, 5)]
    desk = Desk.of(*names)
    for name in names[1:4]:
        update(desk.store, name, desk.now, key=name, add_tags=["vip"])
    block(desk.store, names[0], desk.now, key="b")
    campaign = desk.completed(
        award=segments((tagged("vip"), 70), (Audience(), 10)), hold_out_percent=30, budget=Budget(members=8)
    )
    given = desk.given(campaign)
    assert set(given.values()) == {10, 70}
    desk.join("late")

    campaign = desk.reverted(campaign)
    desk.queue += [
        turn
        for shard in range(desk.shards)
        for turn in (Turn(reversal_run(campaign), shard), Turn(reversal_run(campaign), shard, 1))
    ]
    desk.work()

    assert {name: -entry.points for name, entry in reversals(desk, campaign).items()} == given
    assert all(desk.balance(name) == 0 for name in (*names, "late"))
    outcomes = desk.outcomes(reversal_run(campaign))
    assert outcomes["late"] is None
    assert {outcome for name, outcome in outcomes.items() if name not in (*given, "late")} == {MemberOutcome.NO_BONUS}
    assert desk.progress(reversal_run(campaign)).points == -desk.progress(bonus_run(campaign)).points
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_it_is_taken_from_its_own_bucket_first_and_then_from_what_expires_soonest() -> None:
    desk = Desk.of("ada")
    desk.completed(15, key="other", validity=Validity(days=2))
    desk.completed(20, key="another", validity=Validity(days=90))
    campaign = desk.completed(50, validity=Validity(days=30))
    # 60 of 85 are spent: the soonest first, so 15 and 45 of the 50.
    redeem(desk.store, "ada", "latte", desk.now, key="1")
    redeem(desk.store, "ada", "cookie", desk.now, key="2")
    adjust(desk.store, "ada", -5, desk.now, key="3")
    adjust(desk.store, "ada", 40, desk.now, key="4")
    assert head_of(desk.store, "ADA").state.buckets == {TODAY + 30: 5, TODAY + 90: 20, LAST: 40}

    desk.reverted(campaign)

    entry = reversals(desk, campaign)["ada"]
    assert entry.lines == (Line(TODAY + 30, -5), Line(TODAY + 90, -20), Line(LAST, -25))
    assert desk.balance("ada") == 15
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_its_own_bucket_comes_first_even_if_others_expire_sooner() -> None:
    desk = Desk.of("ada")
    desk.completed(30, key="other", validity=Validity(days=2))
    campaign = desk.completed(50, validity=Validity(days=30))

    desk.reverted(campaign)

    assert reversals(desk, campaign)["ada"].lines == (Line(TODAY + 30, -50),)
    assert head_of(desk.store, "ADA").state.buckets == {TODAY + 2: 30}


def test_what_was_spent_is_written_off_and_stays_with_the_member() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(50)
    redeem(desk.store, "ada", "latte", desk.now, key="1")

    desk.reverted(campaign)

    entry = reversals(desk, campaign)["ada"]
    assert (entry.points, desk.balance("ada")) == (-10, 0)
    assert entry.explanation == (Explanation(f"campaign:{CODE}", -50), Explanation(WRITTEN_OFF, 40))
    assert explanations.describe(entry.explanation[1], entry, PROGRAM) == (
        "40 points of the campaign could not be taken back any more: spent, held or expired."
    )
    assert head_of(desk.store, "ADA").state.debt == 0
    assert desk.progress(reversal_run(campaign)).points == -10
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_who_has_spent_all_of_it_has_a_reversal_of_nothing() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(40)
    redeem(desk.store, "ada", "latte", desk.now, key="1")

    desk.reverted(campaign)

    entry = reversals(desk, campaign)["ada"]
    assert (entry.lines, entry.points) == ((), 0)
    assert desk.outcomes(reversal_run(campaign)) == {"ada": MemberOutcome.APPLIED}
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_points_that_have_expired_by_then_are_not_taken_from_others() -> None:
    brief = program(expiry={"days": 400, "rounding": "day"})
    desk = Desk.of("ada", program=brief)
    campaign = desk.completed(50, validity=Validity(days=1))
    desk.passes(days=3)
    assert desk.balance("ada") == 50, "nobody has booked it"

    desk.reverted(campaign)

    assert reversals(desk, campaign)["ada"].lines == ()
    assert desk.balance("ada") == 0
    desk.audit(bonus_run(campaign), reversal_run(campaign))


@pytest.mark.parametrize("spent", [0, 30], ids=["unspent", "spent in part"])
def test_of_points_that_have_expired_nothing_is_taken_from_what_the_member_earned(spent: int) -> None:
    """How much of them was spent before, nobody looks up: whatever else the member has is their own."""
    desk = Desk.of("ada", "bob")
    campaign = desk.completed(50, validity=Validity(days=1))
    if spent:
        adjust(desk.store, "ada", -spent, desk.now, key="s")
    buy(desk.store, "ada", 10_000, desk.now, receipt="before")
    desk.passes(days=3)
    buy(desk.store, "bob", 10_000, desk.now, receipt="after")

    desk.reverted(campaign)

    assert (desk.balance("ada"), desk.balance("bob")) == (100, 100)
    for name in ("ada", "bob"):
        entry = reversals(desk, campaign)[name]
        assert (entry.lines, entry.explanation[1]) == ((), Explanation(WRITTEN_OFF, 50))
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_on_their_last_day_points_are_taken_back_and_the_day_after_not() -> None:
    for days, left in ((1, 0), (2, 100)):
        desk = Desk.of("ada")
        campaign = desk.completed(50, validity=Validity(days=1))
        adjust(desk.store, "ada", 100, desk.now, key="own")
        adjust(desk.store, "ada", -50, desk.now, key="spent")
        desk.passes(days=days)
        balance = desk.balance("ada")

        desk.reverted(campaign)

        assert desk.balance("ada") == (balance - 50 if days == 1 else left)


def test_a_merge_that_was_undone_shortly_before_bars_nothing() -> None:
    desk = Desk.of("ada", "bob")
    campaign = desk.completed(10)
    desk.passes(days=1)
    merge(desk.store, "ada", "bob", desk.now, key="m")
    unmerge(desk.store, "ada", desk.now, key="u")
    desk.passes(minutes=5)

    desk.reverted(campaign)

    assert set(desk.outcomes(reversal_run(campaign)).values()) == {MemberOutcome.APPLIED}
    assert (desk.balance("ada"), desk.balance("bob")) == (0, 0)


class Counted:
    """A store whose reads and writes of logs are counted."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.calls = inner, 0

    def __getattr__(self, name: str) -> Any:
        self.calls += name in ("home", "records_after", "append")
        return getattr(self.inner, name)


def test_long_logs_are_worked_through_little_by_little() -> None:
    """A turn whose time ends gets further than the one before, however far back the bonuses of those who are done lie."""
    names = names_of(0, 4)
    desk = Desk.of(*names)
    campaign = desk.completed(10)
    for name in names:
        for number in range(350):
            desk.passes(seconds=1)
            adjust(desk.store, name, 1, desk.now, key=f"{name}-{number}")
    desk.passes(days=1)
    desk.do(Action.REVERT, campaign)
    desk.work(desk.shards)
    (turn,) = desk.queue
    done = []

    while not done or done[-1] < len(names):
        counted = Counted(desk.store)
        store: Any = counted
        with suppress(OutOfTime):
            work.take(replace(desk.tools, store=store, has_time=lambda: counted.calls < 10), turn)  # noqa: B023
        done.append(len(reversals(desk, campaign)))
        assert len(done) < 10, done

    assert done == sorted(set(done))


def test_what_is_held_pending_or_owed_is_left_alone() -> None:
    waiting = program(pending={"days": 5})
    desk = Desk.of("ada", "bob", program=waiting)
    campaign = desk.completed(50)
    held = hold(desk.store, "ada", 30, desk.now, key="h", program=waiting)
    buy(desk.store, "ada", 900, desk.now, receipt="1", program=waiting)
    owe(desk.store, "bob", 80, desk.now, key="o")

    desk.reverted(campaign)

    ada, bob = head_of(desk.store, "ADA").state, head_of(desk.store, "BOB").state
    assert (ada.balance, ada.held_points, ada.pending_points) == (0, 30, 9)
    assert held.record.seq in ada.holds
    assert (bob.balance, bob.debt) == (0, 30)
    assert [-reversals(desk, campaign)[name].points for name in ("ada", "bob")] == [20, 0]
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_a_bonus_that_paid_a_debt_is_written_off() -> None:
    desk = Desk.of("ada")
    owe(desk.store, "ada", 30, desk.now, key="o")
    campaign = desk.completed(50)

    desk.reverted(campaign)

    state = head_of(desk.store, "ADA").state
    assert (state.balance, state.debt) == (0, 0)
    assert reversals(desk, campaign)["ada"].points == -20
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_a_milestone_that_came_with_it_is_kept() -> None:
    generous = program(moments=[{"id": "fifty", "when": "balance", "at_least": 50, "points": 7}])
    desk = Desk.of("ada", program=generous)
    campaign = desk.completed(50)
    assert desk.balance("ada") == 57

    desk.reverted(campaign)

    assert desk.balance("ada") == 7
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_under_inactivity_rolling_points_are_taken_in_the_order_of_their_last_day() -> None:
    rolling = program(expiry={"policy": "inactivity", "days": 10}, rewards=[{"id": "tea", "name": "Tea", "cost": 8}])
    desk = Desk.of("ada", program=rolling)
    campaign = desk.completed(10, validity=Validity(days=1))
    buy(desk.store, "ada", 2_000, desk.now, receipt="1", program=rolling)
    redeem(desk.store, "ada", "tea", desk.now, key="r", program=rolling)
    assert head_of(desk.store, "ADA").state.buckets == {0: 20, TODAY + 1: 2}

    desk.reverted(campaign)

    assert reversals(desk, campaign)["ada"].lines == (Line(TODAY + 1, -2), Line(0, -8))
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_where_the_bucket_was_moved_at_once_it_is_taken_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full account makes one bucket of two neighbours: the points stand under the later day."""
    monkeypatch.setattr(limits, "BUCKETS_MAX", 2)
    desk = Desk.of("ada")
    desk.completed(5, key="1", validity=Validity(days=10))
    desk.completed(6, key="2", validity=Validity(days=40))
    campaign = desk.completed(7, key="3", validity=Validity(days=39))
    assert head_of(desk.store, "ADA").state.buckets == {TODAY + 10: 5, TODAY + 40: 13}

    desk.reverted(campaign)

    assert head_of(desk.store, "ADA").state.buckets == {TODAY + 10: 5, TODAY + 40: 6}
    desk.audit(bonus_run(campaign), reversal_run(campaign))


# --- whom it concerns -------------------------------------------------------------------------------------------------


def test_what_is_blocked_is_taken_back_and_what_is_closed_or_anothers_is_not() -> None:
    desk = Desk.of("ada", "blocked", "closed", "merged", "undone")
    campaign = desk.completed(10)
    block(desk.store, "blocked", desk.now, key="1")
    close(desk.store, "closed", desk.now, key="2")
    merge(desk.store, "merged", "ada", desk.now, key="3")
    merge(desk.store, "undone", "ada", desk.now, key="4")
    unmerge(desk.store, "undone", desk.now, key="5")
    desk.passes(hours=1)

    desk.reverted(campaign)

    assert desk.outcomes(reversal_run(campaign)) == {
        "ada": MemberOutcome.APPLIED,
        "blocked": MemberOutcome.APPLIED,
        "closed": MemberOutcome.CLOSED,
        "merged": MemberOutcome.MERGED,
        "undone": MemberOutcome.APPLIED,
    }
    assert (desk.balance("ada"), desk.balance("blocked"), desk.balance("undone")) == (10, 0, 0)
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_who_was_erased_since_is_reverted_all_the_same() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(10)
    desk.store._profiles["ADA"] = None  # type: ignore[assignment]

    desk.reverted(campaign)

    assert desk.balance("ada") == 0


def test_all_workers_tell_one_story_of_who_was_merged_for_a_while() -> None:
    first, second = names_of(0, 2)
    desk = Desk.of(first, second)
    desk.join("other")
    campaign = desk.completed(10)
    desk.passes(days=1)
    desk.do(Action.REVERT, campaign)
    desk.work(desk.shards)
    (turn,) = [turn for turn in desk.queue if turn.shard == 0 and turn.chunk]

    def meanwhile() -> None:
        merge(desk.store, first, "other", desk.now, key="m")
        work.take(desk.tools, turn)
        desk.passes(minutes=1)
        unmerge(desk.store, first, desk.now, key="u")

    late = Meanwhile(desk.store, "home", meanwhile)
    work.take(replace(desk.tools, store=late), turn)  # type: ignore[arg-type]
    desk.work()

    assert desk.outcomes(reversal_run(campaign))[first] is MemberOutcome.MERGED
    assert first not in reversals(desk, campaign)
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_all_workers_tell_one_story_of_a_merge_of_before_that_is_undone_meanwhile() -> None:
    """One has read that the account is another's. It is its own again when the next one comes, who dies before it is written
    down."""
    first, second = names_of(0, 2)
    desk = Desk.of(first, second)
    desk.join("other")
    campaign = desk.completed(10)
    desk.passes(days=1)
    merge(desk.store, first, "other", desk.now, key="m")
    desk.passes(seconds=1)
    desk.do(Action.REVERT, campaign)
    desk.work(desk.shards)
    (turn,) = [turn for turn in desk.queue if turn.shard == 0 and turn.chunk]

    def meanwhile() -> None:
        desk.passes(seconds=1)
        unmerge(desk.store, first, desk.now, key="u")
        died: Any = Failing(desk.campaigns, "finish", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            work.take(replace(desk.tools, campaigns=died), turn)

    late: Any = Meanwhile(desk.campaigns, "finish", meanwhile)
    work.take(replace(desk.tools, campaigns=late), turn)
    desk.work()

    assert desk.outcomes(reversal_run(campaign))[first] is MemberOutcome.MERGED
    assert (desk.balance(first), desk.balance(second)) == (10, 0)
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_who_was_closed_after_a_reversal_was_decided_whose_worker_died_keeps_it() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(10)
    desk.do(Action.REVERT, campaign)
    desk.work(desk.shards)
    (turn,) = desk.queue
    desk.decides_and_dies(turn)

    close(desk.store, "ada", desk.now, key="c")
    desk.work()

    assert desk.outcomes(reversal_run(campaign)) == {"ada": MemberOutcome.CLOSED}
    assert reversals(desk, campaign) == {}
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def given_up_while_another_is_at_it(desk: Desk, names: list[str], then: Callable[[Campaign], object]) -> Campaign:
    """A completed campaign, one of whose members was given up while another worker was about to append their bonus: they did so
    after `then`."""
    campaign = desk.launched(10)
    desk.work(desk.shards)
    (turn,) = desk.queue
    desk.decides_and_dies(turn)
    broken: Any = Failing(
        desk.store, "append", ValueError("broken"), which=lambda record, *_: record.account == names[-1].upper()
    )

    def meanwhile() -> None:
        work.take(replace(desk.tools, store=broken, is_last=True), turn)
        desk.queue.clear()
        assert desk.find(campaign).status is Status.COMPLETED
        then(campaign)

    late: Any = Meanwhile(desk.store, "append", meanwhile)
    work.take(replace(desk.tools, store=late), turn)
    return desk.find(campaign)


def test_who_was_given_up_while_another_worker_was_at_them_has_it_taken_back_all_the_same() -> None:
    names = names_of(0, 1)
    desk = Desk.of(*names)

    def revert(campaign: Campaign) -> None:
        desk.do(Action.REVERT, campaign)
        assert desk.queue == [], "nobody begins while somebody may still give"
        desk.passes(seconds=30)
        assert desk.look_after(is_idle=True) == []

    campaign = given_up_while_another_is_at_it(desk, names, revert)
    assert (campaign.status, campaign.given_up) == (Status.REVERTING, 1)
    assert desk.results(campaign)[names[0]] is MemberOutcome.FAILED
    assert desk.balance(names[0]) == 10, "they have it after all"

    while desk.find(campaign).status is Status.REVERTING:
        desk.look_after()
        desk.work()

    assert desk.now - campaign.ended_at >= limits.CAMPAIGN_WORKER_MAX  # type: ignore[operator]
    assert desk.balance(names[0]) == 0
    assert desk.outcomes(reversal_run(campaign)) == {names[0]: MemberOutcome.APPLIED}
    desk.audit(reversal_run(campaign))


def test_what_was_given_up_long_ago_keeps_no_reversal_waiting() -> None:
    names = names_of(0, 1)
    desk = Desk.of(*names)
    campaign = given_up_while_another_is_at_it(desk, names, lambda _: None)
    desk.passes(minutes=3)

    desk.do(Action.REVERT, campaign)
    desk.work()

    assert desk.find(campaign).status is Status.REVERTED
    assert desk.balance(names[0]) == 0


def test_who_was_barred_for_a_while_before_it_was_decided_on_has_it_taken_back() -> None:
    desk = Desk.of("ada")
    block(desk.store, "ada", desk.now, key="1")
    unblock(desk.store, "ada", desk.now, key="2")
    campaign = desk.completed(50)

    desk.reverted(campaign)

    assert desk.balance("ada") == 0
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_who_spends_at_the_very_moment_loses_what_is_left() -> None:
    """The append was lost to a purchase of theirs: it is reckoned anew on what there is now."""
    desk = Desk.of("ada")
    campaign = desk.completed(50)
    desk.do(Action.REVERT, campaign)
    desk.work(desk.shards)
    (turn,) = desk.queue
    appends: list[int] = []

    class Spending:
        """The store, in which Ada spends right before the reversal is appended."""

        def __getattr__(self, name: str) -> Any:
            if name == "append":
                appends.append(head_of(desk.store, "ADA").seq)
                if len(appends) == 1:
                    redeem(desk.store, "ada", "latte", desk.now, key="r")
            return getattr(desk.store, name)

    store: Any = Spending()
    work.take(replace(desk.tools, store=store), turn)
    desk.work()

    assert len(appends) == 2
    assert reversals(desk, campaign)["ada"].points == -10
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_a_run_that_was_cut_short_is_reverted_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    names = names_of(0, 4)
    desk = Desk.of(*names)
    campaign = desk.launched(10)
    # The planner has cut two chunks when its time is over, and one of them has had its turn.
    desk.queue.clear()
    looks = iter([True, True])
    work.take(replace(desk.tools, has_time=lambda: next(looks, False)), Turn(bonus_run(campaign), 0))
    work.take(desk.tools, Turn(bonus_run(campaign), 0, 1))
    desk.do(Action.CANCEL, campaign)
    desk.queue.clear()
    desk.passes(minutes=10)

    desk.reverted(campaign)

    assert [desk.balance(name) for name in names] == [0, 0, 0, 0]
    assert desk.outcomes(reversal_run(campaign)) == {
        names[0]: MemberOutcome.APPLIED,
        names[1]: MemberOutcome.NO_BONUS,
        names[2]: None,
        names[3]: None,
    }
    progress = desk.progress(reversal_run(campaign))
    assert (progress.members, progress.chunks, progress.done) == (2, 2, 2)
    desk.audit(reversal_run(campaign))


def test_a_member_whose_turn_was_decided_and_never_came_has_nothing_to_give_back() -> None:
    names = names_of(0, 2)
    desk = Desk.of(*names)
    campaign = desk.launched(10)
    desk.work(desk.shards)
    (turn,) = desk.queue
    silent = Failing(
        desk.store, "append", OutcomeUnknown("no answer"), which=lambda record, *_: record.account == names[1].upper()
    )
    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, store=silent), turn)  # type: ignore[arg-type]
    desk.do(Action.CANCEL, campaign)
    desk.queue.clear()
    desk.passes(minutes=10)

    desk.reverted(campaign)

    assert desk.outcomes(reversal_run(campaign)) == {names[0]: MemberOutcome.APPLIED, names[1]: MemberOutcome.NO_BONUS}
    desk.audit(reversal_run(campaign))


def test_what_cannot_be_taken_back_fails_in_the_end_and_the_rest_is_taken() -> None:
    names = names_of(0, 2)
    desk = Desk.of(*names)
    campaign = desk.completed(10)
    desk.do(Action.REVERT, campaign)
    broken = Failing(
        desk.store, "append", ValueError("broken"), which=lambda record, *_: record.account == names[1].upper()
    )
    while desk.queue:
        work.take(replace(desk.tools, store=broken, is_last=True), desk.queue.pop(0))  # type: ignore[arg-type]

    assert desk.outcomes(reversal_run(campaign)) == {names[0]: MemberOutcome.APPLIED, names[1]: MemberOutcome.FAILED}
    assert desk.find(campaign).reverted_at == desk.now


def test_a_bonus_of_long_ago_is_found_behind_everything_since() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(10)
    for number in range(3 * limits.RESUME_PAGE):
        desk.passes(hours=1)
        adjust(desk.store, "ada", 1, desk.now, key=f"a{number}")

    desk.reverted(campaign)

    assert desk.balance("ada") == 3 * limits.RESUME_PAGE
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_a_reversal_that_was_booked_is_found_behind_everything_since() -> None:
    (name,) = names_of(0, 1)
    desk = Desk.of(name)
    campaign = desk.completed(10)
    desk.passes(days=3)
    desk.do(Action.REVERT, campaign)
    lost = Failing(desk.campaigns, "finish", OutcomeUnknown("no answer"))
    desk.work(desk.shards)
    (turn,) = [turn for turn in desk.queue if turn.chunk]
    with pytest.raises(OutcomeUnknown):
        work.take(replace(desk.tools, campaigns=lost), turn)  # type: ignore[arg-type]
    for number in range(limits.RESUME_PAGE + 10):
        desk.passes(hours=1)
        adjust(desk.store, name, 1, desk.now, key=f"a{number}")

    desk.work()

    assert reversals(desk, campaign)[name].points == -10
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_two_campaigns_are_reverted_each_by_itself() -> None:
    desk = Desk.of("ada")
    first, second = desk.completed(10), desk.completed(25, key="2")

    desk.reverted(second)

    assert desk.balance("ada") == 10
    assert desk.entries(first, EntryKind.CAMPAIGN_REVERSAL) == {}
    desk.reverted(first)
    assert desk.balance("ada") == 0
    desk.audit(*(run(each) for each in (first, second) for run in (bonus_run, reversal_run)))


@search(60)
@given(
    st.integers(1, 90),
    st.lists(st.tuples(st.integers(1, 80), st.none() | st.integers(1, 200)), max_size=4),
    st.lists(st.integers(1, 60), max_size=5),
    st.none() | st.integers(1, 200),
)
def test_no_balance_is_ever_below_zero_and_what_is_taken_and_written_off_is_what_was_given(
    points: int, others: list[tuple[int, int | None]], spent: list[int], valid: int | None
) -> None:
    desk = Desk.of("ada", now=START)
    campaign = desk.completed(points, validity=Validity(days=valid))
    for number, (more, days_valid) in enumerate(others):
        desk.completed(more, key=f"o{number}", validity=Validity(days=days_valid))
    for number, less in enumerate(spent):
        if less <= desk.balance("ada"):
            adjust(desk.store, "ada", -less, desk.now, key=f"s{number}")
    before = desk.balance("ada")

    desk.reverted(campaign)

    entry = reversals(desk, campaign)["ada"]
    written_off = sum(each.points for each in entry.explanation if each.rule == WRITTEN_OFF)
    assert -entry.points + written_off == points
    assert written_off == max(points - before, 0)
    assert desk.balance("ada") == before - min(points, before)
    desk.audit(bonus_run(campaign), reversal_run(campaign))


def test_a_reversal_at_once_after_a_block_was_lifted_takes_it_back() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed(10)
    block(desk.store, "ada", desk.now, key="1")
    unblock(desk.store, "ada", desk.now, key="2")
    desk.do(Action.REVERT, campaign)
    desk.queue += opening(reversal_run(campaign), desk.shards)

    desk.work()

    assert desk.balance("ada") == 0
