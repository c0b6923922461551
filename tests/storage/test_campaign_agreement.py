"""Campaigns in memory are the store we trust in every other test of them, because here they are held to the table's behavior.

The same random calls are made on both; their answers must be equal, and so must be all that they tell afterwards.
`REGULARS_SOAK=20` looks twenty times as long, at new examples every time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from domain.campaigns import Action, Budget, Campaign, Status, Step
from domain.campaigns.lifecycle import AudienceEmpty, CampaignState
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
)
from domain.refusals import Refusal
from domain.store import Contended
from storage.campaigns import CampaignTable
from storage.memory import Memory
from storage.memory_campaigns import MemoryCampaigns
from tests.domain.campaigning import draft
from tests.domain.world import SOAK, enroll, search
from tests.engines import Engine
from tests.storage.tables import NOW, SHARDS, fresh_table

IDS = st.sampled_from(["C1", "C2", "C10"])
RUNS = st.sampled_from(
    [
        Run(campaign, kind, number)
        for campaign in ("C1", "C10")
        for kind, number in (
            (RunKind.PREVIEW, 1),
            (RunKind.PREVIEW, 12),
            (RunKind.BONUS, 1),
            (RunKind.REVERSAL, 1),
        )
    ]
)
KEYS = [bytes([number]) * 16 for number in range(4)]
REFUSALS = st.builds(AudienceEmpty, st.just("Nobody.")) | st.builds(
    CampaignState, st.just("No."), field=st.just(("input", "id"))
)
USES = st.builds(KeyUse, st.sampled_from(KEYS), IDS, st.sampled_from(Action), st.sampled_from([b"", b"a"]))
SHARD_NUMBERS = st.integers(0, 1)
NUMBERS = st.integers(1, 3)
CHOICES = st.lists(st.integers(0, 2) | st.sampled_from(MemberOutcome), max_size=4).map(tuple)
BOUNDS = st.none() | st.integers(0, 3)
BUDGETS = st.builds(Budget, BOUNDS, BOUNDS).filter(bool)


class Agreement(RuleBasedStateMachine):
    """Both stores, and what somebody who is late has read a while ago."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.table = fresh_table(engine)
        self.store = Memory()
        self.memory = MemoryCampaigns(self.store, shards=SHARDS)
        self.stale: list[Campaign] = []
        self.stale_shards: list[tuple[Run, Shard]] = []
        self.stale_budgets: list[Budget] = [Budget(3, 3)]
        self.touched: Run | None = None

    @property
    def on_table(self) -> CampaignTable:
        return CampaignTable(self.table.connection, self.table.name, shards=SHARDS)

    def both(self, call: Callable[[Campaigns], Any]) -> Any:
        here, there = answer(call, self.memory), answer(call, self.on_table)
        assert there == here
        return here

    @initialize()
    def somebody_is_there(self) -> None:
        for number in range(6):
            for store in (self.store, self.table.store):
                enroll(store, f"m{number}", NOW)

    # --- calls --------------------------------------------------------------------------------------------------------

    @rule(id=IDS, key=st.sampled_from(KEYS))
    def create(self, id: str, key: bytes) -> None:
        if self.memory.find(id) is not None and self.memory.used(key) is None:
            # No two campaigns have the same id.
            return
        step = Step(Action.CREATE, "staff", NOW)
        made = Campaign(id, draft(), created_by="staff", created_at=NOW, steps=(step,))
        if self.both(lambda campaigns: campaigns.create(made, KeyUse(key, id, Action.CREATE))) is None:
            self.stale.append(made)

    @rule(
        place=st.integers(0, 30),
        status=st.sampled_from(Status),
        previews=st.integers(0, 1),
        times=st.tuples(*[st.sampled_from([None, NOW])] * 3),
        use=st.none() | USES,
    )
    def save(self, place: int, status: Status, previews: int, times: tuple[Any, ...], use: KeyUse | None) -> None:
        if not self.stale:
            return
        launched, stopped, settled = times
        seen = replace(
            self.stale[place % len(self.stale)], launched_at=launched, stopped_at=stopped, settled_at=settled
        )
        changed = replace(seen, status=status, previews=previews).watching("b1", place, NOW)
        saved = self.both(lambda campaigns: campaigns.save(changed, use=use))
        if isinstance(saved, Campaign):
            self.stale.append(saved)

    @rule(use=USES, refusal=REFUSALS)
    def refuse(self, use: KeyUse, refusal: Refusal) -> None:
        self.both(lambda campaigns: campaigns.refuse(replace(use, refusal=refusal)))

    @rule(run=RUNS, shard=SHARD_NUMBERS, size=st.integers(0, 2))
    def cut(self, run: Run, shard: int, size: int) -> None:
        self.touched = run
        last = self.memory.last_chunk(run, shard)
        number = last.number + 1 if last else 1
        chunk = Chunk(number, tuple(f"A{number}{each}" for each in range(size)), number - 1)
        self.both(lambda campaigns: campaigns.keep_chunk(run, shard, chunk))

    @rule(run=RUNS, shard=SHARD_NUMBERS, number=NUMBERS)
    def cut_again(self, run: Run, shard: int, number: int) -> None:
        if self.memory.chunk(run, shard, number) is not None:
            self.both(lambda campaigns: campaigns.keep_chunk(run, shard, Chunk(number, ("Z",))))

    @rule(run=RUNS, shard=SHARD_NUMBERS, number=NUMBERS, choices=CHOICES, place=st.integers(-1, 9), left=BUDGETS)
    def decide(self, run: Run, shard: int, number: int, choices: tuple[Any, ...], place: int, left: Budget) -> None:
        made = Decision(number, choices, tuple(0 if isinstance(each, MemberOutcome) else each + 5 for each in choices))
        self.touched = run
        seen = self.stale_budgets[place % len(self.stale_budgets)]
        after = Budget(left.points or 0, left.members or 0)
        budget = None if place < 0 else (seen, after)
        if self.both(lambda campaigns: campaigns.keep_decision(run, shard, made, budget=budget)) == made:
            self.stale_budgets.append(after)

    @rule(
        run=RUNS,
        number=NUMBERS,
        place=st.integers(-1, 20),
        outcomes=st.lists(st.sampled_from(MemberOutcome), max_size=3),
        back=st.integers(-4, 9),
    )
    def finish(self, run: Run, number: int, place: int, outcomes: list[MemberOutcome], back: int) -> None:
        self.touched = run
        seen = self.seen(run, place)
        done = Done(number, tuple(outcomes), back)
        after = replace(seen, done=seen.done + 1, counts=dict.fromkeys(outcomes, number), points=seen.points + back)
        budget = None if back < 0 else (self.stale_budgets[back % len(self.stale_budgets)], Budget(2, 2))
        self.both(lambda campaigns: campaigns.finish(run, done, seen, after, budget=budget))
        self.stale_shards.append((run, self.memory.shard(run, seen.number)))

    @rule(run=RUNS, place=st.integers(-1, 20), chunks=st.integers(0, 9))
    def plan(self, run: Run, place: int, chunks: int) -> None:
        self.touched = run
        seen = self.seen(run, place)
        after = replace(seen, is_planned=True, chunks=chunks, members=chunks)
        self.both(lambda campaigns: campaigns.save_shard(run, seen, after))
        self.stale_shards.append((run, self.memory.shard(run, seen.number)))

    def seen(self, run: Run, place: int) -> Shard:
        """A shard as somebody has read it: now, or some time ago."""
        mine = [shard for each, shard in self.stale_shards if each == run]
        return self.memory.shard(run, 1) if place < 0 or not mine else mine[place % len(mine)]

    @rule(before=st.none() | IDS, limit=st.integers(1, 3))
    def look(self, before: str | None, limit: int) -> None:
        self.both(lambda campaigns: list(campaigns.newest(before=before, limit=limit)))

    @rule(shard=st.integers(0, SHARDS - 1), after=st.sampled_from(["", "M0", "M3", "M9"]))
    def members(self, shard: int, after: str) -> None:
        self.both(lambda campaigns: list(campaigns.members(shard, after=after)))

    # --- what must always hold ----------------------------------------------------------------------------------------

    @invariant()
    def both_tell_the_same(self) -> None:
        self.both(lambda campaigns: sorted(campaigns.at_work()))
        self.both(lambda campaigns: [campaigns.find(each) for each in ("C1", "C2", "C10", "C")])
        self.both(lambda campaigns: [campaigns.used(each) for each in (*KEYS, b"x" * 16)])
        # What was not touched was compared before.
        touched, self.touched = self.touched, None
        if touched is not None:
            self.both(lambda campaigns: all_of(campaigns, touched))

    def teardown(self) -> None:
        for run in {run for run, _ in self.stale_shards}:
            self.both(lambda campaigns, run=run: all_of(campaigns, run))


def all_of(campaigns: Campaigns, run: Run) -> list[Any]:
    """All that a store tells of a run."""
    told: list[Any] = [campaigns.budget(run), list(campaigns.progress(run))]
    for shard in range(2):
        told += [campaigns.last_chunk(run, shard), campaigns.done_numbers(run, shard), campaigns.shard(run, shard)]
        for number in range(1, 4):
            told += [
                campaigns.chunk(run, shard, number),
                campaigns.decision(run, shard, number),
                campaigns.done(run, shard, number),
            ]
    return told


def answer(call: Callable[[Campaigns], Any], campaigns: Campaigns) -> Any:
    """What a call comes to, comparable between stores."""
    try:
        return call(campaigns)
    except Contended:
        return Contended
    except KeyTaken as taken:
        return KeyTaken, taken.use


# A failure is first made short, request by request, which takes minutes.
@pytest.mark.timeout(900 * SOAK)
def test_the_table_and_the_memory_answer_alike(engine: Engine) -> None:
    run_state_machine_as_test(
        lambda: Agreement(engine),
        settings=search(8, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )
