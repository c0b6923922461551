"""Campaigns on each store: the contract, races included, whole campaigns with workers in threads, and what an audit says."""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from domain import access, limits
from domain.campaigns import Action, Budget, Campaign, Message, Status, Step, definition, lifecycle, results, work
from domain.campaigns.lifecycle import CampaignState
from domain.campaigns.store import (
    Campaigns,
    Chunk,
    Decision,
    Done,
    KeyTaken,
    KeyUse,
    MemberOutcome,
    Run,
    RunKind,
    Shard,
    TooManyAtWork,
)
from domain.campaigns.tools import Tools
from domain.campaigns.turns import Turn, opening
from domain.entries import bonus_key
from domain.refusals import OutcomeUnknown
from domain.store import Contended, Store
from domain.verification import Code, Finding
from storage import items, keys
from storage.agenda import DueRows
from storage.campaigns import CampaignTable
from storage.memory import Memory, MemoryAgenda
from storage.memory_campaigns import MemoryCampaigns
from tests.domain.campaigning import BOSS, draft
from tests.domain.world import MANAGER, PROGRAM, adjust, at_once, block, enroll, head_of, redeem
from tests.storage.raw import Raw
from tests.storage.tables import NOW, SHARDS, Tables

RUN = Run("C1", RunKind.BONUS)
KEY = b"k" * 16


@pytest.fixture
def campaigns(place: Memory | Tables) -> Campaigns:
    """Each of the three, empty, on the store of this test."""
    if isinstance(place, Memory):
        return MemoryCampaigns(place, shards=SHARDS)
    return CampaignTable(place.connection, place.name, shards=SHARDS)


def campaign(id: str = "C1", **more: Any) -> Campaign:
    step = Step(Action.CREATE, "staff", NOW)
    return Campaign(id, draft(10), created_by="staff", created_at=NOW, steps=(step,), **more)


def create(campaigns: Campaigns, made: Campaign, *, key: bytes = KEY) -> None:
    campaigns.create(made, KeyUse(key, made.id, Action.CREATE, b"a"))


# What the key of `campaign()` was used for, and that of another call.
MADE = KeyUse(KEY, "C1", Action.CREATE, b"a")
USE = KeyUse(b"u" * 16, "C1", Action.APPROVE, b"b")


def outcome_of(call: Callable[[], object]) -> object:
    try:
        return call()
    except (Contended, TooManyAtWork, KeyTaken) as error:
        return type(error)


# --- campaigns --------------------------------------------------------------------------------------------------------


def test_a_campaign_is_found_by_its_id_and_its_key_is_used(campaigns: Campaigns) -> None:
    assert (campaigns.find("C1"), campaigns.used(KEY)) == (None, None)
    made = campaign()

    create(campaigns, made)

    assert (campaigns.find("C1"), campaigns.used(KEY)) == (made, MADE)
    assert campaigns.find("C") is None
    assert campaigns.at_work() == []


def test_a_key_makes_one_campaign(campaigns: Campaigns) -> None:
    create(campaigns, campaign())

    with pytest.raises(KeyTaken) as taken:
        create(campaigns, campaign("C2"))

    assert taken.value.use == MADE
    assert (campaigns.find("C2"), campaigns.used(KEY)) == (None, MADE)


def test_of_many_at_once_a_key_makes_one_campaign(campaigns: Campaigns) -> None:
    def attempt(number: int) -> object:
        return outcome_of(lambda: create(campaigns, campaign(f"C{number}")))

    answers = Counter(at_once([lambda number=number: attempt(number) for number in range(8)]))

    # Where two transactions meet, neither may know of the other's end.
    assert answers[None] == 1
    assert {each for each in answers if each is not None} <= {KeyTaken}
    (made,) = campaigns.newest(limit=9)
    assert campaigns.used(KEY) == replace(MADE, campaign=made.id)


def test_a_campaign_is_saved_over_the_version_before_and_over_no_other(campaigns: Campaigns) -> None:
    create(campaigns, campaign())

    saved = campaigns.save(replace(campaign(), previews=1, previewed=1))

    assert saved == replace(campaign(), previews=1, previewed=1, version=2)
    assert campaigns.find("C1") == saved
    with pytest.raises(Contended):
        campaigns.save(replace(campaign(), previews=7, previewed=7))
    assert campaigns.find("C1") == saved
    assert campaigns.used(KEY) == MADE


@pytest.mark.parametrize("status", Status)
def test_what_is_at_work_is_listed_and_what_is_not_is_not(campaigns: Campaigns, status: Status) -> None:
    create(campaigns, campaign())
    running = campaigns.save(replace(campaign(), status=Status.RUNNING))
    assert campaigns.at_work() == ["C1"]

    saved = campaigns.save(replace(running, status=status))

    assert campaigns.at_work() == (["C1"] if saved.is_at_work else [])
    assert saved.is_at_work == (status in (Status.SCHEDULED, Status.RUNNING, Status.REVERTING))
    again = campaigns.save(replace(saved, status=status))
    assert campaigns.at_work() == (["C1"] if saved.is_at_work else [])
    assert again.version == 4


def test_a_preview_that_is_not_finished_is_at_work(campaigns: Campaigns) -> None:
    create(campaigns, campaign())

    begun = campaigns.save(replace(campaign(), previews=1))
    assert campaigns.at_work() == ["C1"]

    campaigns.save(replace(begun, previewed=1))
    assert campaigns.at_work() == []


def test_no_more_are_at_work_than_may_be_and_those_at_work_are_saved_all_the_same(
    campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CAMPAIGNS_AT_WORK_MAX", 2)
    made = [campaign(f"C{number}") for number in range(3)]
    for each in made:
        create(campaigns, each, key=each.id.encode())
    first, second = (campaigns.save(replace(each, status=Status.RUNNING)) for each in made[:2])

    with pytest.raises(TooManyAtWork):
        campaigns.save(replace(made[2], status=Status.SCHEDULED))
    assert campaigns.find("C2") == made[2]
    first = campaigns.save(replace(first, previews=1))
    monkeypatch.setattr(limits, "CAMPAIGNS_AT_WORK_MAX", 1)
    # The bound became smaller: what is there goes on, and may end.
    campaigns.save(replace(second, previews=1))
    campaigns.save(replace(first, status=Status.COMPLETED, previewed=1))
    assert campaigns.at_work() == ["C1"]
    with pytest.raises(TooManyAtWork):
        campaigns.save(replace(made[2], status=Status.SCHEDULED))


def test_what_is_cancelled_is_listed_until_it_is_settled_however_many_are_at_work(
    campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CAMPAIGNS_AT_WORK_MAX", 1)
    made = [campaign(f"C{number}") for number in range(2)]
    for each in made:
        create(campaigns, each, key=each.id.encode())
    paused = campaigns.save(replace(made[0], status=Status.PAUSED, launched_at=NOW))
    campaigns.save(replace(made[1], status=Status.RUNNING, launched_at=NOW))
    assert campaigns.at_work() == ["C1"]
    with pytest.raises(TooManyAtWork):
        campaigns.save(replace(paused, status=Status.RUNNING))

    cancelled = campaigns.save(replace(paused, status=Status.CANCELLED, stopped_at=NOW))

    assert campaigns.at_work() == ["C1", "C0"]
    campaigns.save(replace(cancelled, settled_at=NOW))
    assert campaigns.at_work() == ["C1"]


def test_of_many_who_save_at_once_one_does(campaigns: Campaigns) -> None:
    create(campaigns, campaign())

    def save(number: int) -> object:
        return outcome_of(lambda: campaigns.save(replace(campaign(), status=Status.RUNNING, approved_by=str(number))))

    answers = at_once([lambda number=number: save(number) for number in range(8)])

    (won,) = [each for each in answers if isinstance(each, Campaign)]
    assert Counter(each for each in answers if each is not won) == {Contended: 7}
    assert campaigns.find("C1") == won
    assert campaigns.at_work() == ["C1"]


def test_many_campaigns_that_begin_at_once_are_all_listed(campaigns: Campaigns) -> None:
    made = [campaign(f"C{number}") for number in range(6)]
    for each in made:
        create(campaigns, each, key=each.id.encode())

    def begin(each: Campaign) -> None:
        for _ in range(limits.CAMPAIGN_ATTEMPTS_MAX):
            try:
                campaigns.save(replace(each, status=Status.RUNNING))
            except Contended:
                time.sleep(0.005)
            else:
                return
        raise AssertionError("never saved")

    at_once([lambda each=each: begin(each) for each in made])

    assert sorted(campaigns.at_work()) == [each.id for each in made]


def test_campaigns_are_listed_the_newest_first_page_by_page(campaigns: Campaigns) -> None:
    for number in (3, 1, 2, 5, 4):
        create(campaigns, campaign(f"C{number}"), key=bytes([number]))
    campaigns.save(replace(campaign("C1"), status=Status.RUNNING))

    def ids(**more: Any) -> list[str]:
        return [each.id for each in campaigns.newest(**more)]

    assert ids(limit=9) == ["C5", "C4", "C3", "C2", "C1"]
    assert ids(limit=2) == ["C5", "C4"]
    assert ids(before="C4", limit=2) == ["C3", "C2"]
    assert ids(before="C2", limit=2) == ["C1"]
    assert ids(before="C1", limit=2) == []
    assert ids(before="C35", limit=1) == ["C3"], "a campaign that is not there is a place all the same"


def test_a_list_of_large_campaigns_is_as_long_as_of_small_ones(table: Tables) -> None:
    """A page of DynamoDB ends at a megabyte."""
    campaigns = CampaignTable(table.connection, table.name, shards=SHARDS)
    for number in range(7):
        create(campaigns, replace(campaign(f"C{number}"), created_by="x" * 300_000), key=bytes([number]))

    assert [each.id for each in campaigns.newest(limit=6)] == [f"C{number}" for number in (6, 5, 4, 3, 2, 1)]


# --- keys -------------------------------------------------------------------------------------------------------------


def told_no(use: KeyUse, message: str = "No.") -> KeyUse:
    return replace(use, refusal=CampaignState(message, field=("input", "id")))


def test_what_a_key_was_used_for_is_written_with_the_campaign(campaigns: Campaigns) -> None:
    create(campaigns, campaign())

    saved = campaigns.save(replace(campaign(), approved_by="boss"), use=USE)

    assert (campaigns.find("C1"), campaigns.used(USE.key), campaigns.used(KEY)) == (saved, USE, MADE)


def test_with_a_key_that_was_used_nothing_is_saved(campaigns: Campaigns) -> None:
    create(campaigns, campaign())
    campaigns.refuse(told_no(USE))

    for use in (USE, replace(USE, key=KEY), replace(USE, campaign="C9")):
        with pytest.raises(Contended):
            campaigns.save(replace(campaign(), status=Status.RUNNING), use=use)

    assert (campaigns.find("C1"), campaigns.used(KEY), campaigns.at_work()) == (campaign(), MADE, [])
    assert campaigns.used(USE.key) == told_no(USE)


def test_over_another_version_a_key_is_not_used(campaigns: Campaigns) -> None:
    create(campaigns, campaign())
    saved = campaigns.save(replace(campaign(), previews=1))

    with pytest.raises(Contended):
        campaigns.save(replace(campaign(), approved_by="boss"), use=USE)

    assert (campaigns.find("C1"), campaigns.used(USE.key)) == (saved, None)
    campaigns.save(replace(saved, approved_by="boss"), use=USE)
    assert campaigns.used(USE.key) == USE


def test_what_may_not_be_at_work_uses_no_key(campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAMPAIGNS_AT_WORK_MAX", 0)
    create(campaigns, campaign())

    with pytest.raises(TooManyAtWork):
        campaigns.save(replace(campaign(), status=Status.RUNNING), use=USE)

    assert (campaigns.find("C1"), campaigns.used(USE.key), campaigns.at_work()) == (campaign(), None, [])


def test_a_no_is_written_once_and_as_it_was_said(campaigns: Campaigns) -> None:
    create(campaigns, campaign())

    campaigns.refuse(told_no(USE))
    for use in (told_no(USE, "Never."), USE, told_no(replace(USE, campaign="C9")), told_no(replace(USE, key=KEY))):
        with pytest.raises(Contended):
            campaigns.refuse(use)

    assert campaigns.used(USE.key) == told_no(USE)
    assert (campaigns.find("C1"), campaigns.used(KEY)) == (campaign(), MADE)
    with pytest.raises(KeyTaken) as taken:
        create(campaigns, campaign("C2"), key=USE.key)
    assert taken.value.use == told_no(USE)
    assert campaigns.find("C2") is None


def test_of_many_who_are_told_no_at_once_one_no_stands(campaigns: Campaigns) -> None:
    answers = at_once(
        [lambda number=number: outcome_of(lambda: campaigns.refuse(told_no(USE, str(number)))) for number in range(8)]
    )

    assert Counter(answers) == {None: 1, Contended: 7}
    assert campaigns.used(USE.key) == told_no(USE, str(answers.index(None)))


@pytest.mark.parametrize("round_", range(4))
def test_of_many_who_create_save_and_refuse_with_a_key_at_once_one_does_all_and_the_others_nothing(
    campaigns: Campaigns, round_: int
) -> None:
    old = [campaign(f"OLD{number}") for number in range(3)]
    for each in old:
        create(campaigns, each, key=each.id.encode())
    new = [campaign(f"NEW{number}") for number in range(3)]
    # What each of them uses the key for.
    uses = [
        *(replace(MADE, key=USE.key, campaign=each.id) for each in new),
        *(replace(USE, campaign=each.id) for each in old),
        *(told_no(USE, str(number)) for number in range(3)),
    ]

    def save(each: Campaign, use: KeyUse) -> object:
        return outcome_of(lambda: campaigns.save(replace(each, status=Status.RUNNING), use=use))

    calls = [
        *(lambda each=each: outcome_of(lambda: create(campaigns, each, key=USE.key)) for each in new),
        *(lambda each=each, use=use: save(each, use) for each, use in zip(old, uses[3:6], strict=True)),
        *(lambda use=use: outcome_of(lambda: campaigns.refuse(use)) for use in uses[6:]),
    ]
    places = random.Random(round_).sample(range(len(calls)), len(calls))
    answers = dict(zip(places, at_once([calls[place] for place in places]), strict=True))

    (won,) = [place for place, answer in answers.items() if answer not in (Contended, KeyTaken)]
    assert campaigns.used(USE.key) == uses[won]
    assert [campaigns.find(each.id) for each in new] == [
        each if won == place else None for place, each in enumerate(new)
    ]
    for place, each in enumerate(old, start=3):
        saved = replace(each, status=Status.RUNNING, version=2)
        assert campaigns.find(each.id) == (saved if won == place else each)
    assert campaigns.at_work() == [each.id for place, each in enumerate(old, start=3) if won == place]


# --- members ----------------------------------------------------------------------------------------------------------


def test_members_come_shard_by_shard_in_the_order_of_their_accounts(campaigns: Campaigns, store: Store) -> None:
    names = [f"m{number:02}" for number in range(20)]
    for name in names:
        enroll(store, name, NOW)

    found = [list(campaigns.members(shard)) for shard in range(campaigns.shards)]

    assert sorted(account for each in found for account in each) == [name.upper() for name in names]
    for shard, accounts in enumerate(found):
        assert accounts == sorted(accounts)
        assert {campaigns.shard_of(account) for account in accounts} <= {shard}
        assert list(campaigns.members(shard, after=accounts[0])) == accounts[1:]
        assert list(campaigns.members(shard, after=accounts[-1])) == []


# --- chunks -----------------------------------------------------------------------------------------------------------


def test_a_chunk_stands_as_it_was_first_written(campaigns: Campaigns) -> None:
    assert (campaigns.last_chunk(RUN, 1), campaigns.chunk(RUN, 1, 1)) == (None, None)
    first, second, end = Chunk(1, ("A", "B")), Chunk(2, ("C",), 2), Chunk(3, (), 3)

    assert campaigns.keep_chunk(RUN, 1, first) == first
    assert campaigns.keep_chunk(RUN, 1, Chunk(1, ("A",))) == first
    assert campaigns.keep_chunk(RUN, 1, second) == second
    assert campaigns.last_chunk(RUN, 1) == second
    assert campaigns.keep_chunk(RUN, 1, end) == end
    assert campaigns.keep_chunk(RUN, 1, Chunk(3, ("D",), 3)) == end

    assert [campaigns.chunk(RUN, 1, number) for number in range(5)] == [None, first, second, end, None]
    assert campaigns.last_chunk(RUN, 1) == end
    assert campaigns.last_chunk(RUN, 0) is None
    assert campaigns.chunk(Run("C1", RunKind.PREVIEW), 1, 1) is None


def test_of_many_who_cut_at_once_one_cuts_and_all_know_it(campaigns: Campaigns) -> None:
    answers = at_once(
        [lambda number=number: campaigns.keep_chunk(RUN, 1, Chunk(1, (f"A{number}",))) for number in range(8)]
    )

    assert answers == [campaigns.chunk(RUN, 1, 1)] * 8


def test_the_tenth_chunk_comes_behind_the_ninth(campaigns: Campaigns) -> None:
    for number in range(1, 12):
        campaigns.keep_chunk(RUN, 0, Chunk(number, ("A",), number - 1))

    last = campaigns.last_chunk(RUN, 0)
    assert last is not None
    assert last.number == 11


# --- decisions and budgets --------------------------------------------------------------------------------------------


def decision(number: int, *choices: int | MemberOutcome) -> Decision:
    return Decision(number, choices, tuple(0 if isinstance(each, MemberOutcome) else 7 + each for each in choices))


def test_a_decision_stands_as_it_was_first_written(campaigns: Campaigns) -> None:
    assert campaigns.decision(RUN, 1, 1) is None
    first = decision(1, 0, MemberOutcome.HELD_OUT, 3)

    assert campaigns.keep_decision(RUN, 1, first, budget=None) == first
    assert campaigns.keep_decision(RUN, 1, decision(1, 1), budget=None) == first

    assert campaigns.decision(RUN, 1, 1) == first
    assert (campaigns.decision(RUN, 1, 2), campaigns.decision(RUN, 0, 1), campaigns.budget(RUN)) == (None, None, None)


def test_a_decision_takes_from_the_budget_what_it_gives_and_once(campaigns: Campaigns) -> None:
    full, less, least = Budget(100, 5), Budget(70, 4), Budget(0, 3)
    assert campaigns.budget(RUN) is None

    first = campaigns.keep_decision(RUN, 1, decision(1, 0), budget=(full, less))
    assert campaigns.budget(RUN) == less
    # The same chunk again: what stands, stands, and is paid for.
    assert campaigns.keep_decision(RUN, 1, decision(1, 1), budget=(less, least)) == first
    assert campaigns.keep_decision(RUN, 1, decision(1, 1), budget=(full, less)) == first
    assert campaigns.budget(RUN) == less
    # Another chunk, that has seen too much.
    with pytest.raises(Contended):
        campaigns.keep_decision(RUN, 1, decision(2, 0), budget=(full, less))
    assert (campaigns.decision(RUN, 1, 2), campaigns.budget(RUN)) == (None, less)

    campaigns.keep_decision(RUN, 1, decision(2, 0), budget=(less, least))
    assert campaigns.budget(RUN) == least
    assert campaigns.budget(Run("C1", RunKind.PREVIEW)) is None
    assert campaigns.budget(Run("C2", RunKind.BONUS)) is None


@pytest.mark.parametrize("full", [Budget(points=100), Budget(members=5), Budget(100, 5)])
def test_a_budget_that_is_not_what_was_seen_is_not_taken_from(campaigns: Campaigns, full: Budget) -> None:
    def minus(budget: Budget, points: int, members: int) -> Budget:
        return Budget(
            None if budget.points is None else budget.points - points,
            None if budget.members is None else budget.members - members,
        )

    campaigns.keep_decision(RUN, 1, decision(1, 0), budget=(full, minus(full, 10, 1)))

    for wrong in (full, minus(full, 11, 1) if full.points else minus(full, 0, 2)):
        with pytest.raises(Contended):
            campaigns.keep_decision(RUN, 1, decision(2, 0), budget=(wrong, minus(wrong, 1, 1)))
    assert campaigns.budget(RUN) == minus(full, 10, 1)


def test_many_chunks_at_once_take_from_a_budget_each_what_it_gets(campaigns: Campaigns) -> None:
    full = Budget(points=75, members=100)

    def decide(number: int) -> bool:
        for attempt in range(limits.CAMPAIGN_ATTEMPTS_MAX):
            left = campaigns.budget(RUN) or full
            assert left.points is not None
            assert left.members is not None
            if left.points < 10:
                return False
            try:
                campaigns.keep_decision(
                    RUN, number % 4, decision(number, 0), budget=(left, Budget(left.points - 10, left.members - 1))
                )
            except Contended:
                time.sleep(0.002 * attempt)
            else:
                return True
        raise AssertionError("never decided")

    answers = at_once([lambda number=number: decide(number) for number in range(1, 13)])

    assert Counter(answers) == {True: 7, False: 5}
    assert campaigns.budget(RUN) == Budget(5, 93)


def test_of_many_who_decide_for_a_chunk_at_once_one_does_and_pays(campaigns: Campaigns) -> None:
    full = Budget(points=100)

    def decide(number: int) -> object:
        return outcome_of(
            lambda: campaigns.keep_decision(RUN, 1, decision(1, number), budget=(full, Budget(100 - number)))
        )

    answers = at_once([lambda number=number: decide(number) for number in range(1, 9)])

    kept = campaigns.decision(RUN, 1, 1)
    assert kept is not None
    assert set(answers) <= {kept, Contended}
    assert kept in answers
    (choice,) = kept.choices
    assert isinstance(choice, int)
    assert campaigns.budget(RUN) == Budget(100 - choice)


# --- what became of a chunk -------------------------------------------------------------------------------------------


def test_what_became_of_a_chunk_is_written_once_and_the_progress_with_it(campaigns: Campaigns) -> None:
    assert (campaigns.done(RUN, 2, 1), campaigns.shard(RUN, 2)) == (None, Shard(2))
    done = Done(1, (MemberOutcome.APPLIED, MemberOutcome.BLOCKED), 10)
    after = Shard(2, done=1, counts={MemberOutcome.APPLIED: 1, MemberOutcome.BLOCKED: 1}, points=10)

    campaigns.finish(RUN, done, Shard(2), after)

    assert campaigns.done(RUN, 2, 1) == done
    assert campaigns.shard(RUN, 2) == replace(after, version=1)
    seen = campaigns.shard(RUN, 2)
    with pytest.raises(Contended):
        campaigns.finish(RUN, replace(done, points=99), seen, replace(seen, done=2, points=109))
    with pytest.raises(Contended):
        campaigns.finish(RUN, replace(done, number=2), Shard(2), replace(after, done=1))
    assert (campaigns.done(RUN, 2, 1), campaigns.done(RUN, 2, 2), campaigns.shard(RUN, 2)) == (done, None, seen)

    campaigns.finish(RUN, replace(done, number=2), seen, replace(seen, done=2, points=20))
    assert campaigns.shard(RUN, 2) == replace(after, done=2, points=20, version=2)
    assert campaigns.done_numbers(RUN, 2) == {1, 2}
    assert campaigns.done_numbers(RUN, 1) == set()
    assert campaigns.done(RUN, 1, 1) is None


def test_what_goes_back_to_the_budget_goes_with_it_or_not_at_all(campaigns: Campaigns) -> None:
    full, left = Budget(100), Budget(60)
    campaigns.keep_decision(RUN, 2, decision(1, 0), budget=(full, left))
    done, after = Done(1, (MemberOutcome.BLOCKED,), 0), Shard(2, done=1, counts={MemberOutcome.BLOCKED: 1})

    with pytest.raises(Contended):
        campaigns.finish(RUN, done, Shard(2), after, budget=(full, full))
    assert (campaigns.done(RUN, 2, 1), campaigns.shard(RUN, 2), campaigns.budget(RUN)) == (None, Shard(2), left)
    campaigns.finish(RUN, done, Shard(2), after, budget=(left, Budget(90)))
    with pytest.raises(Contended):
        campaigns.finish(RUN, done, campaigns.shard(RUN, 2), after, budget=(Budget(90), full))

    assert (campaigns.done(RUN, 2, 1), campaigns.budget(RUN)) == (done, Budget(90))


def test_of_many_who_finish_at_once_each_chunk_counts_once(campaigns: Campaigns) -> None:
    def finish(number: int) -> str:
        done = Done(number, (MemberOutcome.APPLIED,), 10)
        for attempt in range(limits.CAMPAIGN_ATTEMPTS_MAX):
            seen = campaigns.shard(RUN, 3)
            counts = {MemberOutcome.APPLIED: seen.counts.get(MemberOutcome.APPLIED, 0) + 1}
            try:
                campaigns.finish(
                    RUN, done, seen, replace(seen, done=seen.done + 1, counts=counts, points=seen.points + 10)
                )
            except Contended:
                if campaigns.done(RUN, 3, number) is not None:
                    return "was done"
                time.sleep(0.002 * attempt)
            else:
                return "done"
        raise AssertionError("never finished")

    answers = at_once([lambda number=number: finish(number) for number in (1, 2, 3, 4) for _ in range(3)])

    assert Counter(answers) == {"done": 4, "was done": 8}
    shard = campaigns.shard(RUN, 3)
    assert (shard.done, shard.points, shard.counts, shard.version) == (4, 40, {MemberOutcome.APPLIED: 4}, 4)
    assert campaigns.done_numbers(RUN, 3) == {1, 2, 3, 4}


def test_how_far_a_shard_is_is_written_over_what_was_seen(campaigns: Campaigns) -> None:
    planned = Shard(1, is_planned=True, chunks=3, members=1_200)

    campaigns.save_shard(RUN, Shard(1), planned)

    assert campaigns.shard(RUN, 1) == replace(planned, version=1)
    with pytest.raises(Contended):
        campaigns.save_shard(RUN, Shard(1), Shard(1))
    campaigns.save_shard(RUN, campaigns.shard(RUN, 1), replace(planned, chunks=4))
    assert campaigns.shard(RUN, 1) == replace(planned, chunks=4, version=2)


def test_progress_is_of_all_shards_that_were_begun_in_their_order(campaigns: Campaigns) -> None:
    assert campaigns.progress(RUN) == []
    for number in (3, 0, 2):
        campaigns.save_shard(RUN, Shard(number), Shard(number, members=number))
    campaigns.save_shard(Run("C1", RunKind.REVERSAL), Shard(1), Shard(1))
    campaigns.save_shard(Run("C10", RunKind.BONUS), Shard(1), Shard(1))
    # What stands beside them in their partition is no shard.
    campaigns.keep_decision(RUN, 0, decision(1, 0), budget=(Budget(5), Budget(4)))

    assert [(each.number, each.members) for each in campaigns.progress(RUN)] == [(0, 0), (2, 2), (3, 3)]


def test_what_a_preview_leaves_is_forgotten_and_what_was_given_is_not(table: Tables) -> None:
    campaigns = CampaignTable(table.connection, table.name, shards=SHARDS)
    for run in (Run("C1", RunKind.PREVIEW, 2), RUN, Run("C1", RunKind.REVERSAL)):
        campaigns.keep_chunk(run, 1, Chunk(1, ("A",)))
        campaigns.finish(run, Done(1, (MemberOutcome.APPLIED,), 1), Shard(1), Shard(1))

    found = {key: item.get("ttl") for key, item in table.contents().items()}

    assert {pk for (pk, _), ttl in found.items() if ttl} == {"CMP#C1#p2#1"}, "what it came to stays"
    assert sum(ttl is not None for ttl in found.values()) == 2
    for ttl in filter(None, found.values()):
        assert abs(int(ttl["N"]) - time.time() - limits.PREVIEW_RETENTION.total_seconds()) < 60


# --- due rows of many -------------------------------------------------------------------------------------------------


def test_many_with_something_due_on_a_day_are_noted_in_one_row_a_shard(table: Tables) -> None:
    names = [f"A{number:02}" for number in range(30)]
    store = table.store

    store.note_due_all(names, 47_000)
    store.note_due_all(names[::-1], 47_000)

    rows = table.contents()
    assert len(rows) == SHARDS
    found = {key: items.due_many_from(item) for key, item in rows.items()}
    for (pk, _), accounts in found.items():
        assert {keys.due(47_000, keys.shard(account, SHARDS)) for account in accounts} == {pk}
    assert sorted(account for accounts in found.values() for account in accounts) == names
    assert all(int(item["ttl"]["N"]) >= 47_060 * 86_400 for item in rows.values())


def test_one_with_something_due_is_noted_as_ever(table: Tables) -> None:
    table.store.note_due_all(["A"], 47_000)
    table.store.note_due_all([], 47_000)

    assert list(table.contents()) == [(keys.due(47_000, keys.shard("A", SHARDS)), "A")]


def test_all_who_have_something_due_come_once_in_their_order_from_whatever_rows(
    place: Memory | Tables, store: Store
) -> None:
    names = [f"A{number:02}" for number in range(24)]
    store.note_due_all(names[:12], 47_000)
    store.note_due_all(names[6:20], 47_000)
    store.note_due_all(names[2:3], 47_000)
    for name in names[18:]:
        store.note_due(name, [47_000, 47_001])
    rows = (
        MemoryAgenda(place, shards=SHARDS)
        if isinstance(place, Memory)
        else DueRows(place.connection, place.name, shards=SHARDS)
    )

    for shard in range(SHARDS):
        mine = [name for name in names if keys.shard(name, SHARDS) == shard]
        assert list(rows.accounts((47_000, shard))) == mine
        for place_of, after in enumerate(mine):
            assert list(rows.accounts((47_000, shard), after=after)) == mine[place_of + 1 :]
        assert list(rows.accounts((47_000, shard), after="A")) == mine
        assert list(rows.accounts((47_000, shard), after="B")) == []
        assert list(rows.accounts((47_001, shard))) == [name for name in mine if name in names[18:]]


# --- whole campaigns --------------------------------------------------------------------------------------------------

MEMBERS = [f"m{number:02}" for number in range(14)]


def run_through(
    campaigns: Campaigns, store: Store, monkeypatch: pytest.MonkeyPatch, *, workers: int = 1
) -> tuple[Campaign, list[Any]]:
    """A campaign with a budget, held-out members and words, from its draft to its reversal, by so many workers at once; and what
    is to be compared of it."""
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 2)
    for name in MEMBERS:
        enroll(store, name, NOW)
    block(store, MEMBERS[3], NOW, key="b")
    queue: list[Turn] = []
    tools = Tools(campaigns, store, PROGRAM, lambda: NOW, queue.extend)

    def work_on(run: Run | None) -> None:
        assert run is not None
        # Everything comes twice.
        queue.extend([*opening(run, campaigns.shards), *opening(run, campaigns.shards)])

        def worker(_: int) -> None:
            while True:
                try:
                    turn = queue.pop(0)
                except IndexError:
                    return
                try:
                    work.take(tools, turn)
                except OutcomeUnknown:
                    queue.append(turn)

        for _ in range(3):
            with ThreadPoolExecutor(workers) as threads:
                list(threads.map(worker, range(workers)))
            queue.extend(opening(run, campaigns.shards))
        queue.clear()

    def call(step: Callable[..., lifecycle.Changed], who: access.Actor = MANAGER, **more: Any) -> lifecycle.Changed:
        key = getattr(step, "__name__", "step")
        return step(campaigns, actor=who, idempotency_key=key, campaign_id="C1", now=NOW, **more)

    lifecycle.create(
        campaigns,
        PROGRAM,
        actor=MANAGER,
        idempotency_key="create",
        draft=draft(
            award=definition.fixed(20),
            budget=Budget(points=150),
            hold_out_percent=20,
            message=Message("Thank you", "$points for you: 1 = 1 & more."),
        ),
        campaign_id="C1",
        find_list=lambda _list_id: None,
        now=NOW,
    )
    work_on(call(lifecycle.preview).run)
    launched = lifecycle.launch(campaigns, PROGRAM, actor=BOSS, idempotency_key="launch", campaign_id="C1", now=NOW)
    work_on(launched.run)
    assert campaigns.at_work() == []
    redeem(store, next(name for name in MEMBERS if head_of(store, name.upper()).state.balance), "cookie", NOW, key="r")
    work_on(call(lifecycle.revert).run)
    found = campaigns.find("C1")
    assert found is not None
    compared: list[Any] = [replace(found, version=0), campaigns.budget(RUN)]
    for run in (Run("C1", RunKind.PREVIEW), RUN, Run("C1", RunKind.REVERSAL)):
        compared.append(results.progress(campaigns, run))
        source = RUN if run.kind is RunKind.REVERSAL else run
        compared += [results.of_member(campaigns, run, source, name.upper()) for name in MEMBERS]
    for name in MEMBERS:
        compared += [head_of(store, name.upper()), store.notices(name.upper(), limit=9)]
    return found, compared


def test_a_whole_campaign_is_the_same_on_every_store(
    campaigns: Campaigns, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()

    found, here = run_through(campaigns, store, monkeypatch)

    assert found.status is Status.REVERTED
    assert here == run_through(MemoryCampaigns(memory, shards=SHARDS), memory, monkeypatch)[1]
    assert results.progress(campaigns, RUN).points == 140


def test_many_workers_at_once_give_and_take_back_each_bonus_once(
    campaigns: Campaigns, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = run_through(campaigns, store, monkeypatch, workers=6)

    assert found.status is Status.REVERTED
    given, taken = (results.progress(campaigns, run) for run in (RUN, Run("C1", RunKind.REVERSAL)))
    assert (given.points, given.done, campaigns.budget(RUN)) == (140, 14, Budget(10))
    assert (taken.points, taken.outcomes[MemberOutcome.APPLIED]) == (-140 + 15, 7)
    heads = [head_of(store, name.upper()) for name in MEMBERS]
    # Joined; blocked; given and taken back; and one of those has spent some.
    assert Counter(head.seq for head in heads) == {1: 6, 2: 1, 3: 6, 4: 1}
    assert sum(head.state.balance for head in heads) == 0


# --- what an audit says -----------------------------------------------------------------------------------------------


def audited(table: Tables) -> list[Finding]:
    return Raw(table.contents()).audit()


def test_an_audit_finds_nothing_in_a_table_with_campaigns(table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    campaigns = CampaignTable(table.connection, table.name, shards=SHARDS)
    run_through(campaigns, table.store, monkeypatch)

    assert audited(table) == []


def test_an_audit_finds_a_second_bonus(table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    campaigns = CampaignTable(table.connection, table.name, shards=SHARDS)
    run_through(campaigns, table.store, monkeypatch)
    store = table.store
    account = next(name.upper() for name in MEMBERS if head_of(store, name.upper()).seq > 2 and name != MEMBERS[3])
    adjust(store, account.lower(), 5, NOW, key="a")
    head = head_of(store, account)
    bonus = next(
        entry
        for record in store.records_after(account, 0, limit=9)
        for entry in record.entries
        if entry.key == bonus_key("C1", account)
    )
    points = head.state.balance + bonus.points
    (day,) = {line.expires for line in bonus.lines}
    state = replace(head.state, buckets={day: points})
    again = replace(bonus, at=head.state.at, balance_after=points)
    store.append(replace(head, seq=head.seq + 1, entries=(again,), state=state, prior=head.hash))

    (finding,) = audited(table)

    assert (finding.account, finding.seq, finding.code) == (account, head.seq + 1, Code.KEY_TWICE)


@pytest.mark.parametrize(
    ("pk", "sk"),
    [
        ("CMP", "X#1"),
        ("CMP#C1", "S#0001"),
        ("CMP#C1#b1", "S#1"),
        ("CMP#C1#b1", "A#00000001"),
        ("CMP#C1#b1#1", "Q#00000001"),
        ("CMP#C1#b1#x", "A#00000001"),
        ("CMPK#zz", "K"),
    ],
)
def test_an_audit_finds_what_no_campaign_has_written(table: Tables, pk: str, sk: str) -> None:
    enroll(table.store, "ada", NOW)
    table.client.put_item(TableName=table.name, Item={"PK": {"S": pk}, "SK": {"S": sk}})

    assert [finding.code for finding in audited(table)] == [Code.STRAY_ITEM]
