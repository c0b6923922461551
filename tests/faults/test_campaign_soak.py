"""Campaigns of everybody in a shop that is open, by workers who are threads and die at any call of a store.

Each message comes three times at least, twice of these close together; what a dead worker was at comes again. Meanwhile members
shop, redeem and join, and staff pause a campaign and resume it. What is hunted here: a member who is meant with another number of
bonuses than one; anybody else with one; a budget that is exceeded; progress that is not what the ledger says; a purchase or a
redemption that is lost, or there twice; a log that does not verify.

Threads of one process do not repeat: a seed says who does what, and not who is faster.
"""

import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain import limits, verification
from domain.campaigns import Action, Budget, Campaign, Status, choosing, lifecycle, work
from domain.campaigns.store import MemberOutcome, Run
from domain.campaigns.tools import NotDone, OutOfTime, Tools
from domain.campaigns.turns import Turn
from domain.entries import EntryKind, Key
from domain.refusals import OutcomeUnknown, Refusal
from domain.verification import Replay, Use
from tests.domain.campaigning import Desk, bonus_run, tagged
from tests.domain.world import ZONE, block, buy, close, redeem
from tests.faults import figures
from tests.faults.simulation import seeds

SOAK = int(os.environ.get("REGULARS_SOAK", "1"))
# A hundred thousand in a usual soak.
MEMBERS = 2_000 if SOAK == 1 else 5_000 * SOAK
SHARDS = 4 if SOAK == 1 else 16
WORKERS, SHOPPERS = 4, 2
POINTS, VIP_POINTS = 30, 45
COPIES = 3
# Half of the workers die, some at once, some at the end of a chunk.
DEATH_RATE = 0.5
# Nobody shops much faster than this, or the campaign would have no turn.
SHOPPERS_PAUSE_S = 0.0005
# What all workers share, and decide on between two calls, is in use by several at once.
CAMPAIGNS_CALL_S = 0.005
# Seconds, or some minutes in a soak; what has not ended then never does.
END_S_MAX = 120 if SOAK == 1 else 3_600


class Died(BaseException):
    """The worker is gone."""


class Life:
    """So many calls of its stores, the last of which is, or is not, carried out."""

    def __init__(self, calls: int | None, *, executes: bool) -> None:
        self._left, self._executes = calls, executes

    def spend(self, call: Callable[[], Any]) -> Any:
        if self._left is None:
            return call()
        self._left -= 1
        if self._left > 0:
            return call()
        if self._executes:
            call()
        raise Died


class Mortal:
    """A store, as somebody sees it who may die at any call. Each takes its time, in which others come in between."""

    def __init__(self, inner: Any, life: Life, *, call_s: float = 0) -> None:
        self._inner, self._life, self._call_s = inner, life, call_s

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or name in ("fits", "digest", "pause", "shard_of"):
            return value

        def call(*named: Any, **more: Any) -> Any:
            time.sleep(self._call_s)
            return self._life.spend(lambda: value(*named, **more))

        return call


class Messages:
    """A queue that brings each message `COPIES` times, in any order, and again what was not settled."""

    def __init__(self, chance: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self._chance = chance
        self._lock = threading.Lock()
        self._waiting: list[Turn] = []
        self._under_way = 0

    def send(self, turns: Iterable[Turn]) -> None:
        for turn in turns:
            with self._lock:
                self.counts["messages"] += 1
                place = self._place()
                # Two workers are at it at once; the third is late.
                self._waiting[place:place] = [turn] * (COPIES - 1)
                self._waiting.insert(self._place(), turn)

    def receive(self) -> Turn | None:
        with self._lock:
            if not self._waiting:
                return None
            self._under_way += 1
            self.counts["deliveries"] += 1
            return self._waiting.pop()

    def settle(self, turn: Turn, trouble: str | None = None) -> None:
        with self._lock:
            self._under_way -= 1
            if trouble is not None:
                self.counts[trouble] += 1
                self._waiting.insert(self._place(), turn)

    @property
    def is_idle(self) -> bool:
        with self._lock:
            return not self._waiting and not self._under_way

    def _place(self) -> int:
        return self._chance.randrange(len(self._waiting) + 1)


@dataclass
class Shop:
    """The desk of staff, its queue, and what everybody has asked for, by member: from that alone follows what they must have."""

    seed: int
    desk: Desk = field(default_factory=lambda: Desk(shards=SHARDS))
    earned: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)
    bought: dict[Key, str] = field(default_factory=dict)
    redeemed: Counter[str] = field(default_factory=Counter)
    joined: list[str] = field(default_factory=list)
    is_open: bool = True
    troubles: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.messages = Messages(random.Random(f"{self.seed} queue"))
        self._lock = threading.Lock()

    # --- before --------------------------------------------------------------------------------------------------------

    def fills(self, members: int) -> tuple[list[str], list[str]]:
        """Members, each fifth of them a VIP; some have been blocked, some have left. Gives all, and those who may get nothing."""
        names = [f"m{number:06}" for number in range(members)]
        barred = []
        for number, name in enumerate(names):
            self.desk.join(name, tags=frozenset({"vip"} if number % 5 == 0 else ()))
            if number % 3 == 0:
                self.buys(name, 20, f"{name}-first")
            if number % 200 == 50:
                block(self.desk.store, name, self.desk.now, key=f"{name}-block")
                barred.append(name)
            if number % 200 == 150:
                close(self.desk.store, name, self.desk.now, key=f"{name}-close")
                barred.append(name)
        return names, barred

    # --- members -------------------------------------------------------------------------------------------------------

    def buys(self, name: str, dollars: int, receipt: str) -> None:
        outcome = buy(self.desk.store, name, dollars * 100, self.desk.now, receipt=receipt)
        assert outcome.entry.points in (0, dollars)
        with self._lock:
            self.bought[Key("till", receipt)] = name
            self.earned[name] += outcome.entry.points

    def redeems(self, name: str, key: str) -> None:
        redeem(self.desk.store, name, "cookie", self.desk.now, key=key)
        with self._lock:
            self.spent[name] += 15
            self.redeemed[name] += 1

    def joins(self, name: str) -> None:
        self.desk.join(name, tags=frozenset({"vip"}))
        with self._lock:
            self.joined.append(name)

    def shops(self, shopper: int, names: list[str]) -> None:
        """What members do all day."""
        chance = random.Random(f"{self.seed} shopper {shopper}")
        number = 0
        while self.is_open:
            number += 1
            name = chance.choice(names)
            try:
                match chance.choices(("buys", "redeems", "joins"), (60, 37, 3))[0]:
                    case "buys":
                        self.buys(name, chance.randrange(1, 40), f"s{shopper}-{number}")
                    case "redeems":
                        self.redeems(name, f"s{shopper}-{number}")
                    case _:
                        self.joins(f"n{shopper}-{number:06}")
            except Refusal:
                # Too few points, blocked, or closed.
                pass
            time.sleep(SHOPPERS_PAUSE_S)

    # --- workers -------------------------------------------------------------------------------------------------------

    def works(self, worker: int) -> None:
        """Takes turns until the shop is closed and nothing is left; dies now and then, and another one has its place."""
        chance = random.Random(f"{self.seed} worker {worker}")
        while self.is_open or not self.messages.is_idle:
            turn = self.messages.receive()
            if turn is None:
                time.sleep(0.001)
                continue
            calls = int(10 ** chance.uniform(0, 3.1)) if chance.random() < DEATH_RATE else None
            tools = self.tools(Life(calls, executes=chance.random() < 0.5))
            try:
                work.take(tools, turn)
            except (Died, OutcomeUnknown, OutOfTime, NotDone) as error:
                self.messages.settle(turn, type(error).__name__)
            else:
                self.messages.settle(turn)

    def tools(self, life: Life) -> Tools:
        desk = self.desk

        def sent(turns: Iterable[Turn]) -> None:
            for turn in turns:
                life.spend(lambda turn=turn: self.messages.send([turn]))  # type: ignore[misc]

        return Tools(
            campaigns=Mortal(desk.campaigns, life, call_s=CAMPAIGNS_CALL_S),  # type: ignore[arg-type]
            store=Mortal(desk.store, life),  # type: ignore[arg-type]
            program=desk.program,
            now=lambda: desk.now,
            send=sent,
            tell=lambda account, error: desk.told.append((account, error)),
        )

    # --- staff ---------------------------------------------------------------------------------------------------------

    def launches(self, campaign: Campaign) -> None:
        if lifecycle.needs_approval(campaign, self.desk.program):
            self.desk.do(Action.APPROVE, campaign)
        self.desk.do(Action.LAUNCH, campaign)
        self.hands_out()

    def hands_out(self) -> None:
        turns, self.desk.queue[:] = list(self.desk.queue), []
        self.messages.send(turns)

    def interrupts(self, campaign: Campaign) -> None:
        """Pauses a campaign in its middle, and resumes it."""
        run = bonus_run(campaign)
        self.until(lambda: self.desk.progress(run).chunks_done > 0 or self.is_over(campaign))
        if self.desk.find(campaign).status is not Status.RUNNING:
            return
        try:
            self.desk.do(Action.PAUSE, campaign)
        except Refusal:
            # It has just ended.
            return
        time.sleep(0.05)
        self.desk.do(Action.RESUME, campaign)
        self.hands_out()
        self.messages.counts["pauses"] += 1

    def is_over(self, *campaigns: Campaign) -> bool:
        return all(self.desk.find(each).status is Status.COMPLETED for each in campaigns)

    def looks_after(self) -> None:
        """Once a minute, as the program's schedule does."""
        self.desk.look_after(is_idle=self.messages.is_idle)
        self.hands_out()

    def until(self, happens: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + END_S_MAX
        while not happens() and not self.troubles:
            assert time.monotonic() < give_up_at, "it never ends"
            time.sleep(0.01)

    @contextmanager
    def everybody(self, names: list[str]) -> Iterator[None]:
        """Workers and shoppers, until the end of the block; then the workers do what is left."""

        def guarded(act: Callable[..., None], *arguments: Any) -> None:
            try:
                act(*arguments)
            except BaseException as trouble:
                self.troubles.append(trouble)

        threads = [threading.Thread(target=guarded, args=(self.works, each), daemon=True) for each in range(WORKERS)]
        threads += [
            threading.Thread(target=guarded, args=(self.shops, each, names), daemon=True) for each in range(SHOPPERS)
        ]
        interval = sys.getswitchinterval()
        # So that one comes in between another's calls, and not only between its chunks.
        sys.setswitchinterval(0.0005)
        try:
            for thread in threads:
                thread.start()
            yield
        finally:
            self.is_open = False
            for thread in threads:
                thread.join(END_S_MAX)
            sys.setswitchinterval(interval)
        if self.troubles:
            raise self.troubles[0]


@pytest.mark.timeout(7_200)
def test_everybody_who_is_meant_gets_one_bonus_and_nobody_else_while_workers_die_and_the_shop_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if SOAK == 1:
        monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 50)
        monkeypatch.setattr(limits, "CHUNK_LOOK_MEMBERS", 10)
    shop = Shop(next(seeds(1)))
    desk = shop.desk
    names, barred = shop.fills(MEMBERS)
    vips, bought_before = len(names[::5]), len(shop.bought)
    to_all = desk.previewed(POINTS, key="all", hold_out_percent=5, budget=Budget(points=POINTS * MEMBERS * 10))
    # Enough for half of them.
    to_vips = desk.previewed(
        VIP_POINTS, key="vips", audience=tagged("vip"), budget=Budget(points=VIP_POINTS * vips // 2)
    )

    started = time.monotonic()
    with shop.everybody(names):
        shop.launches(to_all)
        shop.launches(to_vips)
        shop.interrupts(to_all)
        while not shop.is_over(to_all, to_vips) and not shop.troubles:
            shop.looks_after()
            time.sleep(0.2)
            assert time.monotonic() < started + END_S_MAX, "it never ends"
    seconds = time.monotonic() - started

    given = audit_ledger(shop, to_all, to_vips)
    for campaign in (to_all, to_vips):
        audit_run(desk, campaign, given[campaign.id])
    wrong = [
        name
        for name in names
        if given[to_all.id][name] != (name not in barred and not choosing.is_held_out(to_all, name.upper()))
    ]
    try:
        assert wrong == [], "each member who is meant has one bonus, and nobody else has"
        assert set(given[to_vips.id]) <= {*names[::5], *shop.joined} - set(barred)
        assert not desk.told, "nothing was wrong with any account"
        left = desk.campaigns.budget(bonus_run(to_vips))
        assert left == Budget(points=VIP_POINTS * vips // 2 - VIP_POINTS * given[to_vips.id].total())
        assert left.points is not None
        assert 0 <= left.points < VIP_POINTS, "it was used up, and not exceeded"
    finally:
        figures.note(
            "campaigns",
            {
                "members": len(names),
                "joined meanwhile": len(shop.joined),
                "bonuses": sum(each.total() for each in given.values()),
                "members with other than one bonus": len(wrong),
                **shop.messages.counts,
                "purchases meanwhile": len(shop.bought) - bought_before,
                "redemptions meanwhile": shop.redeemed.total(),
                "seconds": round(seconds),
            },
        )
    counts = shop.messages.counts
    assert counts["deliveries"] >= COPIES * counts["messages"]
    assert counts["Died"] > 20
    assert len(shop.bought) > bought_before + 100, "the shop was open"


def audit_ledger(shop: Shop, *campaigns: Campaign) -> dict[str, Counter[str]]:
    """Every log verifies, and holds what was asked for, once; how many bonuses of each campaign each member has."""
    given: dict[str, Counter[str]] = {campaign.id: Counter() for campaign in campaigns}
    worth = {campaign.id: campaign.draft.award.segments[0].points for campaign in campaigns}
    uses: dict[Key, list[Use]] = defaultdict(list)
    for account, log in shop.desk.store._logs.items():
        replay, name = Replay(account, (ZONE,)), account.lower()
        redeemed = 0
        for record in log:
            assert replay.follow(record) == []
            for entry in record.entries:
                redeemed += entry.kind is EntryKind.REDEMPTION
                if entry.key is None:
                    continue
                uses[entry.key].append(Use(account, record.seq, entry.at, entry.kind is EntryKind.REFUSED))
                if entry.kind is EntryKind.CAMPAIGN_BONUS:
                    assert entry.key.campaign is not None
                    given[entry.key.campaign][name] += 1
                    assert entry.points == worth[entry.key.campaign]
                if entry.kind is EntryKind.PURCHASE:
                    assert shop.bought[entry.key] == name
        bonuses = sum(worth[campaign] * given[campaign][name] for campaign in given)
        state = log[-1].state
        assert redeemed == shop.redeemed[name]
        if state.status.name != "CLOSED":
            assert state.balance == shop.earned[name] - shop.spent[name] + bonuses
    assert shop.bought.keys() <= uses.keys(), "no purchase is lost"
    assert [finding for key, found in uses.items() for finding in verification.check_uses(key, found)] == []
    return given


def audit_run(desk: Desk, campaign: Campaign, given: Counter[str]) -> None:
    """Progress is what became of everybody in the chunks, and that is what stands in the ledger."""
    run = bonus_run(campaign)
    progress = desk.progress(run)
    assert progress.is_planned
    assert (progress.chunks_done, progress.done) == (progress.chunks, progress.members), "everybody had their turn"
    told: Counter[MemberOutcome] = Counter()
    turns: Counter[str] = Counter()
    for chunk, outcomes in finished(desk, run):
        turns.update(chunk)
        told.update(outcomes)
        for account, outcome in zip(chunk, outcomes, strict=True):
            assert given[account.lower()] == (outcome is MemberOutcome.APPLIED), f"{account} is told to be {outcome}"
    assert told == +progress.outcomes
    assert set(turns.values()) == {1}, "nobody is in two chunks"
    assert given.total() == told[MemberOutcome.APPLIED], "whoever has it is in a chunk"
    assert progress.points == given.total() * campaign.draft.award.segments[0].points
    assert told[MemberOutcome.FAILED] == 0


def finished(desk: Desk, run: Run) -> Iterator[tuple[tuple[str, ...], tuple[MemberOutcome, ...]]]:
    """The accounts of each chunk, and what became of them."""
    for shard in range(desk.shards):
        number = 1
        while (chunk := desk.campaigns.chunk(run, shard, number)) is not None and not chunk.is_end:
            done = desk.campaigns.done(run, shard, number)
            assert done is not None
            yield chunk.accounts, done.outcomes
            number += 1
