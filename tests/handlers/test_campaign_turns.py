"""The function that works on campaigns, called as Lambda calls it with messages of a real queue: what is altered, what comes
twice, late or half, what is wrong with one account, and what the schedule does every minute."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from domain import ledger, limits
from domain.campaigns import giving, work
from domain.campaigns.turns import turn_from
from handlers import runtime
from schema.nodes import from_id
from tests.engines import Engine
from tests.handlers.api import DEMO, account_of
from tests.handlers.conftest import Clock
from tests.handlers.launching import Message, Stage, staged

MEMBERS = 8


@pytest.fixture(autouse=True)
def _now(clock: Clock) -> None:
    """It is 2030-01-10, noon in New York, until a test says something else."""


class Killed(BaseException):
    """The function's machine is gone, in the middle of a call."""


def join(stage: Stage) -> list[str]:
    """Eight members; their external ids."""
    place = stage.join(*(f"m{number}" for number in range(MEMBERS)))
    return [f"{place}-m{number}" for number in range(MEMBERS)]


def everybody(stage: Stage) -> list[Message]:
    """The messages that wait, which nobody else gets meanwhile."""
    found: list[Message] = []
    while messages := stage.take():
        found += messages
    return found


def chunks_of(stage: Stage, campaign: str) -> list[Message]:
    """The messages of the chunks of a campaign that was just launched: its shards are cut."""
    assert stage.deliver(everybody(stage)) == []
    found = everybody(stage)
    assert found
    assert all(turn_from(message["Body"]).chunk for message in found)
    assert stage.look(campaign)["progress"]["done"] == 0
    return found


def given_once(stage: Stage, names: list[str]) -> bool:
    """Whether each of them has the bonus, and has it once."""
    bonus = ("CampaignBonusEntry", 100)
    return all([entry for entry in stage.entries(name) if entry[0] != "EnrollmentEntry"] == [bonus] for name in names)


def turn(campaign: str, run: str = "b1", shard: Any = 0, **more: Any) -> str:
    """A message that somebody writes by hand."""
    return json.dumps({"campaign": from_id(campaign)[1], "run": run, "shard": shard, **more})


@pytest.fixture(scope="module")
def running(stage: Stage) -> str:
    """A campaign of which no turn is on its way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "now", Clock())
        campaign = stage.launched(audience={"locations": [stage.join("ada")]})
    stage.empty()
    return campaign


# --- messages that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("altered", "reason"),
    [
        ("x", "it is not JSON"),
        ("{", "it is not JSON"),
        (" ", "it is not JSON"),
        ("null", "it has not just campaign, run, shard and chunk"),
        ("[]", "it has not just campaign, run, shard and chunk"),
        ("7", "it has not just campaign, run, shard and chunk"),
        ("{}", "it has not just campaign, run, shard and chunk"),
        ('{"campaign":"%s","run":"b1"}', "it has not just campaign, run, shard and chunk"),
        ('{"campaign":"%s","run":"b1","shard":0,"accounts":["X"]}', "it has not just campaign, run, shard and chunk"),
        ('{"campaign":"nobody\'s","run":"b1","shard":0}', "there is no such campaign"),
        ('{"campaign":"","run":"b1","shard":0}', "campaign is no id"),
        ('{"campaign":5,"run":"b1","shard":0}', "campaign is no id"),
        ('{"campaign":"%s","run":"b2","shard":0}', "there is no such run"),
        ('{"campaign":"%s","run":"r0","shard":0}', "there is no such run"),
        ('{"campaign":"%s","run":"p0","shard":0}', "there is no such run"),
        ('{"campaign":"%s","run":"x1","shard":0}', "there is no such run"),
        ('{"campaign":"%s","run":"b1\\n","shard":0}', "there is no such run"),
        ('{"campaign":"%s","run":["b1"],"shard":0}', "there is no such run"),
        ('{"campaign":"%s","run":"b1","shard":-1}', "shard is no shard"),
        ('{"campaign":"%s","run":"b1","shard":"0"}', "shard is no shard"),
        ('{"campaign":"%s","run":"b1","shard":true}', "shard is no shard"),
        ('{"campaign":"%s","run":"b1","shard":1.0}', "shard is no shard"),
        ('{"campaign":"%s","run":"b1","shard":1024}', "shard is no shard"),
        ('{"campaign":"%s","run":"b1","shard":4}', "there is no such shard"),
        ('{"campaign":"%s","run":"b1","shard":0,"chunk":0}', "chunk is no number of one"),
        ('{"campaign":"%s","run":"b1","shard":0,"chunk":null}', "chunk is no number of one"),
        ('{"campaign":"%s","run":"b1","shard":0,"chunk":99}', "there is no such chunk"),
        ('{"campaign":"%s","run":"b1","shard":0,"chunk":' + "9" * 100 + "}", "chunk is no number of one"),
        ("[" * 100_000, "it is not JSON"),
        ('{"campaign":"\\ud800","run":"b1","shard":0}', "campaign is no id"),
    ],
)
def test_an_altered_message_is_kept_with_its_reason_at_once_and_changes_nothing(
    stage: Stage, running: str, altered: str, reason: str
) -> None:
    body = altered.replace("%s", from_id(running)[1])
    stage.put(body)
    (message,) = stage.take()

    with stage.api.unchanged():
        assert stage.deliver([message]) == []

    assert stage.kept()[body] == f"NotATurn: {reason}"
    assert stage.waiting() == []


def test_of_a_batch_only_what_is_poison_is_kept_and_the_good_ones_are_done(empty_stage: Stage) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()
    good = chunks_of(stage, campaign)
    poison = [turn(campaign, shard=0, chunk=77), "poison"]
    stage.put(*poison)
    first, second = everybody(stage)

    assert stage.deliver([first, *good, second]) == []

    assert stage.kept().keys() == set(poison)
    assert stage.look(campaign)["progress"]["applied"] == MEMBERS
    assert given_once(stage, names)
    assert stage.look(campaign)["status"] == "COMPLETED"


def test_a_message_that_makes_trouble_of_its_own_comes_again_and_is_kept_in_the_end(empty_stage: Stage) -> None:
    """Brackets that are nested too deeply for any reader, and half a character, which no table takes."""
    stage = empty_stage
    bodies = {"[" * 100_000, '{"campaign":"\\ud800","run":"b1","shard":0}'}
    stage.put(*bodies)

    for _ in range(limits.DELIVERIES_MAX):
        messages = everybody(stage)
        with stage.api.unchanged():
            for message in messages:
                stage.deliver([message])

    assert stage.kept().keys() == bodies
    assert stage.waiting() == []


# --- messages of something else -----------------------------------------------------------------------------------------


def test_a_message_of_a_run_that_is_not_at_work_does_nothing(stage: Stage) -> None:
    campaign = stage.completed(audience={"locations": [stage.join("ada")]})
    draft = stage.previewed(audience={"locations": [stage.join("ada")]})
    # A preview there never was, one that is over, a bonus that is not launched, one that is over, a reversal of nothing.
    bodies = [turn(draft, "p2"), turn(draft, "p1", 1, chunk=1), turn(draft), turn(campaign), turn(campaign, "r1")]
    stage.put(*bodies)

    with stage.api.unchanged():
        stage.work()

    assert stage.kept().keys().isdisjoint(bodies)


def test_a_preview_that_another_one_has_replaced_counts_for_nothing(empty_stage: Stage) -> None:
    stage = empty_stage
    join(stage)
    campaign = stage.drafted()
    stage.did("Preview", campaign)
    first = everybody(stage)
    stage.did("Preview", campaign)

    with stage.api.unchanged():
        assert stage.deliver(first) == []
    stage.work()

    preview = stage.look(campaign)["preview"]
    assert (preview["isFinished"], preview["memberCount"]) == (True, MEMBERS)


def test_what_comes_three_times_and_late_gives_once_and_counts_once(empty_stage: Stage) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()
    openings = [message["Body"] for message in everybody(stage)]
    stage.put(*openings * 3)
    assert stage.deliver(everybody(stage)) == []
    bodies = [message["Body"] for message in everybody(stage)]
    stage.put(*bodies * 2)
    stage.work()
    # Long after it is over.
    stage.put(*bodies, *openings)
    stage.work()

    progress = stage.look(campaign)["progress"]
    assert (progress["planned"], progress["done"], progress["applied"]) == (MEMBERS, MEMBERS, MEMBERS)
    assert (progress["points"], progress["chunkCount"]) == (MEMBERS * 100, progress["chunksDone"])
    assert given_once(stage, names)
    assert stage.kept() == {}


def test_messages_of_a_paused_campaign_are_dropped_and_handed_out_again_when_it_is_resumed(empty_stage: Stage) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()
    messages = chunks_of(stage, campaign)
    stage.did("Pause", campaign)

    with stage.api.unchanged():
        assert stage.deliver(messages) == []
    assert (stage.waiting(), stage.kept()) == ([], {})

    stage.did("Resume", campaign)
    stage.work()
    assert stage.look(campaign)["progress"]["applied"] == MEMBERS
    assert given_once(stage, names)


def test_messages_of_a_cancelled_campaign_are_dropped_for_good(empty_stage: Stage) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()
    messages = chunks_of(stage, campaign)
    stage.did("Cancel", campaign)

    with stage.api.unchanged():
        assert stage.deliver(messages) == []
        stage.minute()

    assert stage.waiting() == []
    assert stage.look(campaign)["progress"]["done"] == 0
    assert [stage.api.balance(name) for name in names] == [0] * MEMBERS


# --- what was cancelled is settled ----------------------------------------------------------------------------------------


def stop_within(stage: Stage, monkeypatch: pytest.MonkeyPatch, messages: list[Message]) -> int:
    """Workers are killed behind the first bonus of each chunk, of which nothing is written down; how many bonuses that is."""
    write, given = ledger.write, 0

    def dies(*arguments: Any) -> None:
        nonlocal given
        write(*arguments)
        given += 1
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "write", dies)
        for message in messages:
            with pytest.raises(Killed):
                stage.deliver([message])
    return given


def test_three_minutes_after_a_cancellation_it_is_written_down_who_has_the_bonus_and_the_others_do_not_get_it(
    empty_stage: Stage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched(budget={"membersMax": MEMBERS})
    messages = chunks_of(stage, campaign)
    given = stop_within(stage, monkeypatch, messages)
    assert 0 < given < MEMBERS
    stage.did("Cancel", campaign)
    cancelled = stage.look(campaign)
    assert (cancelled["progress"]["done"], cancelled["budgetLeft"]["membersLeft"]) == (0, 0)

    # Another worker may be at it still.
    clock.advance(milliseconds=limits.CAMPAIGN_WORKER_MAX.total_seconds() * 1_000 - 5_000)
    with stage.api.unchanged():
        stage.minute()
        stage.let_go(messages)
        assert stage.deliver(everybody(stage)) == []
    clock.advance(seconds=5)
    stage.minute()
    assert stage.waiting() == [turn_text(campaign, shard) for shard in range(4)]
    stage.work()

    told = stage.look(campaign)
    assert (told["status"], told["progress"]["planned"], told["progress"]["done"]) == ("CANCELLED", MEMBERS, MEMBERS)
    assert (told["progress"]["applied"], told["progress"]["points"]) == (given, 100 * given)
    assert told["progress"]["skips"] == [{"reason": "STOPPED", "memberCount": MEMBERS - given}]
    assert told["progress"]["chunksDone"] == told["progress"]["chunkCount"]
    assert told["budgetLeft"]["membersLeft"] == MEMBERS - given
    have = {name for name in names if stage.api.balance(name) == 100}
    assert {name: stage.result(campaign, name) for name in names} == {
        name: ("APPLIED" if name in have else "STOPPED", None) for name in names
    }
    assert len(have) == given
    # Nobody looks after it any more, and what comes late does nothing.
    clock.advance(minutes=30)
    stage.put(*(message["Body"] for message in messages))
    with stage.api.unchanged():
        stage.minute()
        stage.work()
    assert stage.waiting() == []


def test_what_was_cancelled_while_it_was_paused_or_before_it_was_cut_is_settled_too(
    empty_stage: Stage, clock: Clock
) -> None:
    stage = empty_stage
    names = join(stage)
    uncut, paused = stage.previewed(), stage.launched()
    chunks_of(stage, paused)
    stage.did("Pause", paused)
    stage.did("Launch", uncut)
    stage.empty()
    for campaign in (paused, uncut):
        stage.did("Cancel", campaign)

    clock.advance(minutes=3)
    stage.minute()
    stage.work()

    told, nothing = stage.look(paused)["progress"], stage.look(uncut)["progress"]
    assert (told["done"], told["skips"]) == (MEMBERS, [{"reason": "STOPPED", "memberCount": MEMBERS}])
    assert (nothing["isPlanned"], nothing["planned"], nothing["done"], nothing["skips"]) == (True, 0, 0, [])
    assert [stage.api.balance(name) for name in names] == [0] * MEMBERS
    with stage.api.unchanged():
        stage.minute()
    assert stage.waiting() == []


def test_what_settles_is_handed_out_again_when_it_is_lost(empty_stage: Stage, clock: Clock) -> None:
    stage = empty_stage
    join(stage)
    campaign = stage.launched()
    chunks_of(stage, campaign)
    stage.did("Cancel", campaign)
    stage.lose()
    clock.advance(minutes=3)
    stage.minute()
    assert len(everybody(stage)) == 4
    stage.lose()

    clock.advance(minutes=1, seconds=1)
    stage.minute()
    stage.work()

    assert stage.look(campaign)["progress"]["done"] == MEMBERS


# --- workers that end in the middle -------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_followed_by_one_that_gives_the_rest(
    empty_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched(budget={"membersMax": MEMBERS}, message={"title": "Thanks", "text": "For you."})
    messages = chunks_of(stage, campaign)
    written: list[Any] = []
    write = ledger.write

    def dies(*arguments: Any) -> None:
        done = write(*arguments)
        written.append(done)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "write", dies)
        for message in messages:
            with pytest.raises(Killed):
                stage.deliver([message])
    assert len(written) == len(messages) < MEMBERS
    assert stage.look(campaign)["progress"]["done"] == 0

    assert stage.deliver(messages) == []
    told = stage.look(campaign)
    assert (told["status"], told["progress"]["applied"], told["budgetLeft"]["membersLeft"]) == (
        "COMPLETED",
        MEMBERS,
        0,
    )
    assert given_once(stage, names)


def test_a_worker_without_time_hands_the_rest_to_another_one(empty_stage: Stage) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()
    messages = chunks_of(stage, campaign)

    # No time for anything but to tell that.
    assert stage.deliver(messages, seconds=8) == []
    assert stage.waiting() == sorted(message["Body"] for message in messages)
    assert stage.look(campaign)["progress"]["done"] == 0

    stage.work()
    assert stage.look(campaign)["progress"]["applied"] == MEMBERS
    assert given_once(stage, names)


def test_a_planner_without_time_hands_the_rest_to_another_one(empty_stage: Stage) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()

    assert stage.deliver(everybody(stage), seconds=8) == []
    assert stage.look(campaign)["progress"]["isPlanned"] is False
    assert stage.waiting() == [turn_text(campaign, shard) for shard in range(4)]

    stage.work()
    assert given_once(stage, names)


def turn_text(campaign: str, shard: int) -> str:
    return f'{{"campaign":"{from_id(campaign)[1]}","run":"b1","shard":{shard}}}'


# --- accounts with which something is wrong ---------------------------------------------------------------------------


def break_account(stage: Stage, who: str) -> None:
    """Somebody has tampered with the newest record of an account: it is of no kind there is."""
    account = account_of(stage.api.member(who)["id"])
    newest = max(key for key in stage.api.items() if key[0] == f"M#{account}" and key[1].startswith("E#"))
    item = stage.api.items()[newest]
    item["e"]["L"][0]["M"]["k"] = {"S": "?"}
    stage.api.client.put_item(TableName=stage.api.table, Item=item)


def test_an_account_that_cannot_be_read_is_tried_five_times_and_then_counted_as_failed(empty_stage: Stage) -> None:
    stage = empty_stage
    broken, *others = join(stage)
    campaign = stage.previewed()
    break_account(stage, broken)
    stage.did("Launch", campaign)
    chunks = chunks_of(stage, campaign)
    stage.let_go(chunks)
    # Once they were delivered before.
    for delivery in range(2, limits.DELIVERIES_MAX):
        failed = stage.deliver(everybody(stage))
        assert [int(message["Attributes"]["ApproximateReceiveCount"]) for message in failed] == [delivery]
    # Of its chunk nothing is decided; other chunks do not wait for it.
    told = stage.look(campaign)
    assert (told["status"], told["progress"]["failed"]) == ("RUNNING", 0)
    assert told["progress"]["chunksDone"] == len(chunks) - 1
    (last,) = everybody(stage)
    assert stage.deliver([last]) == []

    told = stage.look(campaign)
    assert (told["status"], told["progress"]["failed"], told["progress"]["applied"]) == ("COMPLETED", 1, MEMBERS - 1)
    assert told["progress"]["done"] == told["progress"]["planned"] == MEMBERS
    assert stage.result(campaign, others[0]) == ("APPLIED", None)
    assert given_once(stage, others)
    assert (stage.waiting(), stage.kept()) == ([], {})


def test_an_account_that_can_be_read_again_has_its_bonus(empty_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()
    messages = chunks_of(stage, campaign)
    read = giving.read
    hurt = account_of(stage.api.member(names[0])["id"])

    def now_and_then(store: Any, account: str) -> Any:
        if account == hurt:
            raise ValueError("half an account")
        return read(store, account)

    with monkeypatch.context() as patch:
        patch.setattr(giving, "read", now_and_then)
        assert len(stage.deliver(messages)) == 1
    stage.work()

    told = stage.look(campaign)
    assert (told["status"], told["progress"]["failed"], told["progress"]["applied"]) == ("COMPLETED", 0, MEMBERS)
    assert given_once(stage, names)


def test_what_breaks_after_it_was_decided_is_tried_five_times_and_then_counted_as_failed(
    empty_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched(budget={"membersMax": MEMBERS})
    messages = chunks_of(stage, campaign)

    def dies(*_: Any) -> None:
        raise Killed

    # Each worker has decided who gets what, and is killed before it gives anything.
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "write", dies)
        for message in messages:
            with pytest.raises(Killed):
                stage.deliver([message])
    broken, *others = names
    break_account(stage, broken)

    stage.let_go(messages)
    for delivery in range(2, limits.DELIVERIES_MAX):
        failed = stage.deliver(everybody(stage))
        assert [int(message["Attributes"]["ApproximateReceiveCount"]) for message in failed] == [delivery]
    # The others have it already, and whoever looks meanwhile sees that nobody is counted as failed yet.
    assert given_once(stage, others)
    assert stage.look(campaign)["progress"]["failed"] == 0
    assert stage.look(campaign)["status"] == "RUNNING"
    (last,) = everybody(stage)
    assert stage.deliver([last]) == []

    told = stage.look(campaign)
    assert (told["status"], told["progress"]["failed"], told["progress"]["applied"]) == ("COMPLETED", 1, MEMBERS - 1)
    # Of whom it is not known whether they have it, the budget is not given back.
    assert told["budgetLeft"]["membersLeft"] == 0
    assert given_once(stage, others)
    assert (stage.waiting(), stage.kept()) == ([], {})


def test_words_that_cannot_be_told_do_not_undo_points(empty_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched(message={"title": "Thanks", "text": "For you."})
    messages = chunks_of(stage, campaign)

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("no words")

    with monkeypatch.context() as patch:
        patch.setattr("domain.notices.give", broken)
        assert stage.deliver(messages) == messages
    assert given_once(stage, names)
    stage.work()

    assert stage.look(campaign)["progress"]["applied"] == MEMBERS
    assert given_once(stage, names)


def test_a_member_whose_account_nobody_can_revert_is_counted_and_the_others_are_reverted(empty_stage: Stage) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.completed()
    broken, *others = names
    break_account(stage, broken)
    stage.did("Revert", campaign)

    for _ in range(limits.DELIVERIES_MAX):
        while messages := stage.take():
            stage.deliver(messages)

    told = stage.look(campaign)
    assert (told["status"], told["reversal"]["failed"], told["reversal"]["applied"]) == ("REVERTED", 1, MEMBERS - 1)
    assert [stage.api.balance(name) for name in others] == [0] * (MEMBERS - 1)


# --- every minute -------------------------------------------------------------------------------------------------------


def test_a_run_that_has_not_moved_for_a_minute_is_handed_out_again_when_the_queue_is_empty(
    empty_stage: Stage, clock: Clock
) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()
    chunks_of(stage, campaign)
    # Whoever had them is gone, and the messages with them.
    stage.lose()

    # It has moved since it was handed out, and this is noted.
    clock.advance(minutes=1)
    stage.minute()
    assert stage.waiting() == []
    # A queue counts roughly for a minute or so.
    clock.advance(seconds=55)
    with stage.api.unchanged():
        stage.minute()
    assert stage.waiting() == []
    # (The function's clock goes on while it works.)
    clock.advance(seconds=6)
    stage.minute()
    assert stage.waiting() == [turn_text(campaign, shard) for shard in range(4)]
    # Once for each silence.
    stage.minute()
    assert len(stage.waiting()) == 4
    stage.work()
    assert stage.look(campaign)["status"] == "COMPLETED"
    assert given_once(stage, names)


@pytest.mark.parametrize("is_in_flight", [False, True], ids=["waiting", "in flight"])
def test_nothing_is_handed_out_while_a_turn_is_on_its_way_but_for_what_is_silent_for_long(
    empty_stage: Stage, clock: Clock, is_in_flight: bool
) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()
    first, *others = everybody(stage)
    assert stage.deliver([first]) == []
    if is_in_flight:
        everybody(stage)
    else:
        stage.let_go(others)
    before = stage.waiting()
    assert bool(before) is not is_in_flight

    # It has moved by then, which is noted, and then no more.
    clock.advance(minutes=1)
    stage.minute()
    silent = limits.CAMPAIGN_SILENCE_MAX // timedelta(minutes=1)
    with stage.api.unchanged():
        for _ in range(silent - 1):
            clock.advance(minutes=1)
            stage.minute()
    assert stage.waiting() == before
    assert stage.look(campaign)["status"] == "RUNNING"

    clock.advance(minutes=1, seconds=1)
    stage.minute()
    assert len(stage.waiting()) == len(before) + 4
    with stage.api.unchanged():
        clock.advance(minutes=1)
        stage.minute()
    stage.work()
    assert stage.look(campaign)["status"] == "COMPLETED"
    assert given_once(stage, names)


def test_what_was_just_handed_out_is_not_handed_out_again(empty_stage: Stage, clock: Clock) -> None:
    """A launch, a preview, what goes on after a pause, and a reversal: the minute may end right behind each."""
    stage = empty_stage
    join(stage)
    campaign = stage.drafted()
    stage.did("Preview", campaign)
    for step in ("Launch", "Resume", "Revert", None):
        handed = stage.waiting()
        assert len(handed) == 4
        with stage.api.unchanged():
            stage.minute()
        assert stage.waiting() == handed
        if step == "Resume":
            stage.did("Pause", campaign)
            stage.empty()
        else:
            stage.work()
        clock.advance(minutes=5)
        if step:
            stage.did(step, campaign)

    assert stage.look(campaign)["status"] == "REVERTED"


def test_what_was_scheduled_is_handed_out_when_it_is_launched_and_once(empty_stage: Stage, clock: Clock) -> None:
    stage = empty_stage
    join(stage)
    campaign = stage.previewed()
    stage.did("Launch", campaign, at=(clock.now + timedelta(hours=1)).isoformat())
    clock.advance(hours=1)

    for _ in range(2):
        stage.minute()
        assert stage.waiting() == [turn_text(campaign, shard) for shard in range(4)]

    stage.work()
    assert stage.look(campaign)["status"] == "COMPLETED"


def test_a_preview_nobody_goes_on_with_is_handed_out_again(empty_stage: Stage, clock: Clock) -> None:
    stage = empty_stage
    join(stage)
    campaign = stage.drafted()
    stage.did("Preview", campaign)
    stage.empty()

    clock.advance(minutes=1)
    stage.minute()
    stage.work()

    assert stage.look(campaign)["preview"]["memberCount"] == MEMBERS


def test_a_run_whose_last_worker_died_before_it_said_so_is_completed(
    empty_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = empty_stage
    names = join(stage)
    campaign = stage.launched()

    def dies(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(work, "complete", dies)
        for message in chunks_of_killed_planners(stage):
            with pytest.raises(Killed):
                stage.deliver([message])
    stage.lose()
    assert (stage.look(campaign)["status"], stage.look(campaign)["progress"]["done"]) == ("RUNNING", MEMBERS)

    stage.minute()
    assert stage.look(campaign)["status"] == "COMPLETED"
    assert stage.waiting() == []
    assert given_once(stage, names)


def chunks_of_killed_planners(stage: Stage) -> list[Message]:
    """The messages of chunks. Of an empty shard the planner is the last worker."""
    for message in everybody(stage):
        try:
            stage.deliver([message])
        except Killed:
            stage.sqs.delete_message(QueueUrl=stage.queue, ReceiptHandle=message["ReceiptHandle"])
    return everybody(stage)


def test_the_minute_of_a_stack_without_a_program_or_campaigns_does_nothing(with_queues: Engine) -> None:
    for file in (None, DEMO):
        with staged(with_queues, file=file) as stage:
            with stage.api.unchanged():
                stage.minute()
            assert stage.waiting() == []
