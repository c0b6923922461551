"""Turns: the messages of a run, which may be altered, come twice, late or never; and how its members are cut into chunks."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import limits
from domain.campaigns import Action, Status, results, work
from domain.campaigns.store import Chunk, MemberOutcome, Run, RunKind
from domain.campaigns.tools import OutOfTime
from domain.campaigns.turns import Turn, opening, turn_from
from domain.messages import NotATurn, Poison
from tests.domain.campaigning import Desk, Failing, Meanwhile, bonus_run, draft, names_of, reversal_run
from tests.domain.world import search

BONUS = Run("C1", RunKind.BONUS)


# --- messages ---------------------------------------------------------------------------------------------------------

ids = st.text(st.characters(max_codepoint=127), min_size=1, max_size=limits.ACCOUNT_LENGTH_MAX)
runs = st.builds(Run, ids, st.just(RunKind.PREVIEW), st.integers(1, 10**9 - 1)) | st.builds(
    Run, ids, st.sampled_from([RunKind.BONUS, RunKind.REVERSAL])
)


@search(200)
@given(st.builds(Turn, runs, st.integers(0, limits.SHARDS_MAX - 1), st.none() | st.integers(1, 10**8)))
def test_a_turn_is_read_as_it_was_written(turn: Turn) -> None:
    assert turn_from(turn.text()) == turn


def test_a_run_is_handed_out_shard_by_shard() -> None:
    assert [turn.text() for turn in opening(BONUS, 2)] == [
        '{"campaign":"C1","run":"b1","shard":0}',
        '{"campaign":"C1","run":"b1","shard":1}',
    ]
    assert Turn(BONUS, 1, 7).text() == '{"campaign":"C1","run":"b1","shard":1,"chunk":7}'


GOOD = {"campaign": "C1", "run": "b1", "shard": 0, "chunk": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"campaign": ""},
        {"campaign": None},
        {"campaign": 7},
        {"campaign": "x" * (limits.ACCOUNT_LENGTH_MAX + 1)},
        {"run": ""},
        {"run": "b"},
        {"run": "x1"},
        {"run": 1},
        {"run": None},
        {"run": "p0"},
        {"run": "p01"},
        {"run": "p-1"},
        {"run": "p\u0661"},
        {"run": "p" + "9" * 5_000},
        {"run": "b1\n"},
        {"shard": -1},
        {"shard": limits.SHARDS_MAX},
        {"shard": "0"},
        {"shard": True},
        {"shard": 0.0},
        {"shard": None},
        {"chunk": 0},
        {"chunk": -1},
        {"chunk": "1"},
        {"chunk": True},
        {"chunk": None},
        {"members": ["ADA"]},
    ],
)
def test_an_altered_message_is_no_turn(changes: dict[str, Any]) -> None:
    with pytest.raises(NotATurn):
        turn_from(json.dumps({**GOOD, **changes}))


@pytest.mark.parametrize("run", ["b2", "b01", "r2", "b10"])
def test_there_is_no_second_bonus_and_no_second_reversal(run: str) -> None:
    """Under another number, members would be decided on anew, and get another bonus."""
    with pytest.raises(NotATurn, match="no such run"):
        turn_from(json.dumps({**GOOD, "run": run}))


@pytest.mark.parametrize("name", ["campaign", "run", "shard"])
def test_a_message_that_lacks_something_is_no_turn(name: str) -> None:
    with pytest.raises(NotATurn):
        turn_from(json.dumps({each: value for each, value in GOOD.items() if each != name}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"b1"', "17", "NaN", "[" * 50])
def test_anything_else_is_no_turn(text: str) -> None:
    with pytest.raises(NotATurn):
        turn_from(text)


def test_what_is_no_turn_need_not_come_again() -> None:
    assert issubclass(NotATurn, Poison)


def test_a_turn_of_what_is_not_there_is_refused_and_nothing_changes() -> None:
    desk = Desk.of("ada", "bob")
    campaign = desk.launched()
    run = bonus_run(campaign)
    desk.work(desk.shards)
    last = desk.campaigns.last_chunk(run, 0)
    assert last is not None
    assert last.is_end
    for turn, why in [
        (Turn(Run("C9", RunKind.BONUS), 0), "campaign"),
        (Turn(run, desk.shards), "shard"),
        (Turn(run, desk.shards, 1), "shard"),
        (Turn(run, 0, 99), "chunk"),
        # What stands behind the last chunk is none.
        (Turn(run, 0, last.number), "chunk"),
    ]:
        with desk.unchanged(), pytest.raises(NotATurn, match=why):
            work.take(desk.tools, turn)


def test_a_chunk_that_was_never_cut_cannot_be_taken_back() -> None:
    desk = Desk.of("ada")
    campaign = desk.completed()
    desk.do(Action.REVERT, campaign)

    with desk.unchanged(), pytest.raises(NotATurn, match="chunk"):
        work.take(desk.tools, Turn(reversal_run(campaign), 0, 99))


@pytest.mark.parametrize("kind", RunKind)
def test_a_turn_that_comes_when_nobody_wants_it_does_nothing(kind: RunKind) -> None:
    desk = Desk.of("ada", "bob")
    campaign = desk.completed() if kind is not RunKind.REVERSAL else desk.reverted(desk.completed())
    late = [Turn(Run(campaign.id, kind), shard, chunk) for shard in range(2) for chunk in (None, 1)]

    with desk.unchanged():
        for turn in late:
            work.take(desk.tools, turn)


@pytest.mark.parametrize("status", [Status.DRAFT, Status.SCHEDULED, Status.PAUSED, Status.CANCELLED])
def test_nothing_is_given_or_taken_but_where_it_was_asked_for(status: Status) -> None:
    desk = Desk.of("ada")
    campaign = desk.previewed() if status is Status.DRAFT else desk.launched()
    desk.queue.clear()
    desk.campaigns._campaigns[campaign.id] = replace(desk.find(campaign), status=status)

    with desk.unchanged():
        for kind in (RunKind.BONUS, RunKind.REVERSAL):
            for turn in opening(Run(campaign.id, kind), desk.shards):
                work.take(desk.tools, turn)


# --- cutting into chunks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("members", "sizes"), [(0, []), (1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2]), (5, [2, 2, 1])])
def test_members_are_cut_into_chunks_in_the_order_of_their_accounts(
    monkeypatch: pytest.MonkeyPatch, members: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 2)
    names = names_of(0, members)
    desk = Desk.of(*names, *names_of(1, 1))
    campaign = desk.launched(10)
    run = bonus_run(campaign)

    work.take(desk.tools, Turn(run, 0))

    chunks = [desk.campaigns.chunk(run, 0, number) for number in range(1, len(sizes) + 1)]
    assert [len(chunk.accounts) for chunk in chunks if chunk] == sizes
    assert [account for chunk in chunks if chunk for account in chunk.accounts] == [name.upper() for name in names]
    assert [chunk.before for chunk in chunks if chunk] == [2 * number for number in range(len(sizes))]
    assert desk.campaigns.last_chunk(run, 0) == Chunk(len(sizes) + 1, (), members)
    shard = desk.campaigns.shard(run, 0)
    assert (shard.is_planned, shard.chunks, shard.members) == (True, len(sizes), members)
    assert [turn.chunk for turn in desk.queue if turn.shard == 0 and turn.chunk] == list(range(1, len(sizes) + 1))


def test_half_a_thousand_are_one_chunk_and_one_more_begins_another() -> None:
    names = names_of(0, limits.CHUNK_MEMBERS_MAX + 1, shards=1)
    desk = Desk.of(*names, shards=1)
    campaign = desk.launched(1, hold_out_percent=90)

    desk.work()

    chunks = [desk.campaigns.chunk(bonus_run(campaign), 0, number) for number in (1, 2)]
    assert [len(chunk.accounts) for chunk in chunks if chunk] == [500, 1]
    desk.audit(bonus_run(campaign))


def test_a_planner_without_time_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    desk = Desk.of(*names_of(0, 4))
    campaign = desk.launched(10)
    looks = iter([True, True, False, True, False])
    hurried = replace(desk.tools, has_time=lambda: next(looks))

    desk.queue.clear()
    work.take(hurried, Turn(bonus_run(campaign), 0))
    assert [turn.chunk for turn in desk.queue] == [1, 2, None]
    desk.queue.clear()
    work.take(hurried, Turn(bonus_run(campaign), 0))
    # What is not done is handed out again, too: nobody knows whether it was.
    assert [turn.chunk for turn in desk.queue] == [1, 2, 3, None]

    desk.queue += opening(bonus_run(campaign), desk.shards)
    desk.work()
    desk.audit(bonus_run(campaign))


def test_whoever_joins_while_two_plan_is_in_a_chunk_that_counts_or_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One planner has seen everybody, and closes the shard; the other saw one more member join, and is a moment late."""
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    first, second = names_of(0, 2)
    desk = Desk.of(first)
    campaign = desk.launched(10)
    run = bonus_run(campaign)
    slow = Meanwhile(desk.campaigns, "keep_chunk", lambda: work.take(desk.tools, Turn(run, 0)))

    class Seeing:
        """Members as the slow planner reads them."""

        def __getattr__(self, name: str) -> Any:
            return getattr(slow, name)

        def members(self, shard: int, **more: Any) -> Any:
            accounts = list(desk.campaigns.members(shard, **more))
            return iter([*accounts, second.upper()])

    work.take(replace(desk.tools, campaigns=Seeing()), Turn(run, 0))  # type: ignore[arg-type]
    desk.join(second)
    desk.work()

    assert desk.find(campaign).status is Status.COMPLETED
    assert desk.given(campaign) == {first: 10}
    assert desk.results(campaign) == {first: MemberOutcome.APPLIED, second: None}
    desk.audit(run)


def test_whoever_joins_after_the_end_of_their_shard_is_not_in_the_campaign() -> None:
    first, second = names_of(0, 2)
    desk = Desk.of(first)
    campaign = desk.launched(10)
    run = bonus_run(campaign)
    desk.work(desk.shards)
    desk.join(second)

    desk.queue += opening(run, desk.shards)
    desk.work()

    assert desk.results(campaign) == {first: MemberOutcome.APPLIED, second: None}
    desk.audit(run)


def test_two_planners_at_once_cut_the_same_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 1)
    names = names_of(0, 3)
    desk = Desk.of(*names[:2])
    campaign = desk.launched(10)
    run = bonus_run(campaign)
    other = replace(
        desk.tools, campaigns=Meanwhile(desk.campaigns, "keep_chunk", lambda: work.take(desk.tools, Turn(run, 0)))
    )  # type: ignore[arg-type]

    work.take(other, Turn(run, 0))
    desk.work()

    assert desk.given(campaign) == dict.fromkeys(names[:2], 10)
    desk.audit(run)


# --- time, and trouble ------------------------------------------------------------------------------------------------


def test_a_worker_without_time_leaves_the_rest_for_another() -> None:
    names = names_of(0, 5)
    desk = Desk.of(*names)
    campaign = desk.launched(10)
    run = bonus_run(campaign)
    desk.work(desk.shards)
    # It begins, five are looked at, and two get theirs.
    looks = iter([True] * 8)
    with pytest.raises(OutOfTime, match="2 accounts"):
        work.take(replace(desk.tools, has_time=lambda: next(looks, False)), Turn(run, 0, 1))

    assert desk.given(campaign) == dict.fromkeys(names[:2], 10)
    assert desk.progress(run).done == 0
    desk.work()
    assert desk.given(campaign) == dict.fromkeys(names, 10)
    desk.audit(run)


def test_turns_in_any_order_and_number_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 2)
    desk = Desk.of(*names_of(0, 5), *names_of(1, 4))
    campaign = desk.launched(10, hold_out_percent=20)
    run = bonus_run(campaign)
    desk.work(desk.shards)
    for turn in [*reversed(desk.queue), *desk.queue, *opening(run, desk.shards), *desk.queue]:
        work.take(desk.tools, turn)

    assert desk.find(campaign).status is Status.COMPLETED
    desk.audit(run)
    progress = desk.progress(run)
    assert (progress.members, progress.chunks, progress.done) == (9, 5, 9)


def test_an_answer_that_is_lost_when_a_chunk_is_finished_counts_it_once() -> None:
    desk = Desk.of("ada")
    campaign = desk.launched(10)
    run = bonus_run(campaign)
    desk.work(desk.shards)
    (turn,) = desk.queue
    lost = Failing(desk.campaigns, "finish", ConnectionError("no answer"), executes=True)
    with pytest.raises(ConnectionError):
        work.take(replace(desk.tools, campaigns=lost), turn)  # type: ignore[arg-type]

    desk.work()

    assert desk.find(campaign).status is Status.COMPLETED
    desk.audit(run)


def test_two_workers_at_one_chunk_count_it_once() -> None:
    desk = Desk.of(*names_of(0, 3))
    campaign = desk.launched(10)
    run = bonus_run(campaign)
    desk.work(desk.shards)
    (turn,) = desk.queue
    for method in ("decision", "keep_decision", "finish"):
        other = Meanwhile(desk.campaigns, method, lambda: work.take(desk.tools, turn))
        work.take(replace(desk.tools, campaigns=other), turn)  # type: ignore[arg-type]

    assert desk.given(campaign) == dict.fromkeys(names_of(0, 3), 10)
    desk.audit(run)


def test_progress_counts_all_shards_also_those_nobody_has_begun() -> None:
    desk = Desk.of(*names_of(0, 2), *names_of(1, 1))
    campaign = desk.launched(10)
    run = bonus_run(campaign)
    assert results.progress(desk.campaigns, run) == results.Progress(False, 0, 0, 0, desk.progress(run).outcomes, 0)

    work.take(desk.tools, Turn(run, 0))
    progress = desk.progress(run)
    assert (progress.is_planned, progress.members, progress.chunks, progress.chunks_done) == (False, 2, 1, 0)

    desk.work()
    progress = desk.progress(run)
    assert (progress.is_planned, progress.members, progress.done, progress.points) == (True, 3, 3, 30)


def test_the_result_of_each_member_is_found_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 3)
    names = [*names_of(0, 20), *names_of(1, 13)]
    desk = Desk.of(*names)
    campaign = desk.launched(10, hold_out_percent=30)
    desk.work()

    found = desk.results(campaign)

    assert found.keys() == set(names)
    assert set(found.values()) == {MemberOutcome.APPLIED, MemberOutcome.HELD_OUT}
    assert {name for name, outcome in found.items() if outcome is MemberOutcome.APPLIED} == desk.given(campaign).keys()
    run = bonus_run(campaign)
    assert results.of_member(desk.campaigns, run, run, "0") is None
    assert results.of_member(desk.campaigns, run, run, "ZZZZ") is None
    draft_only = desk.create(draft(), key="other").campaign
    assert set(desk.results(draft_only).values()) == {None}
