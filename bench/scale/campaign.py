"""A campaign to all members while people shop: what the ones in the queue do to the ones at the till."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import simpy

from bench.scale import facts, regulars
from bench.scale.backlog import Process, pauses
from bench.scale.buckets import Partitions, TokenBucket, dice

# Members that a worker does between two looks at the clock: their units are asked at the first of them.
_STEP_MEMBERS = 10
# Until every worker is in the middle of its work, and full buckets have been emptied where they will be.
_WARM_S = 10
# What the foreground may lose by a campaign.
RATIO_MAX = 1.5


@dataclass(frozen=True, slots=True)
class Shop:
    """A program at work: its members, its table, and what is asked of it a second beside a campaign."""

    name: str
    members: int
    partitions: int
    purchases: float
    queries: float
    seconds: float
    concurrencies: tuple[int, ...]
    seed: int = 5


@dataclass(slots=True)
class Seen:
    """The foreground's times in milliseconds beside `concurrency` workers, and how fast these were."""

    concurrency: int
    purchase_p50: float = 0
    purchase_p99: float = 0
    query_p50: float = 0
    query_p99: float = 0
    failed: int = 0
    throttled_share: float = 0
    members_a_second: float = 0


@dataclass(slots=True)
class _Run:
    """One simulation. Budget and progress of the run stand in one partition, which members have their items in as well."""

    shop: Shop
    concurrency: int
    env: simpy.Environment = field(default_factory=simpy.Environment)
    purchase_s: list[float] = field(default_factory=list)
    query_s: list[float] = field(default_factory=list)
    throttled: int = 0
    failed: int = 0
    members: int = 0
    chance: random.Random = field(init=False)
    table: Partitions = field(init=False)
    campaign: TokenBucket = field(init=False)
    race_lost: float = field(init=False)

    def __post_init__(self) -> None:
        self.chance = dice(self.shop.seed)
        self.table = Partitions(self.shop.partitions, writes=facts.PARTITION_WRITES, reads=facts.PARTITION_READS)
        self.campaign = self.table.writes[0]
        # A purchase whose member gets the bonus between its reading and its writing loses the race and decides again.
        window_s = 2 * regulars.CALL_S
        self.race_lost = self.concurrency / regulars.BONUS_BUSY_S / self.shop.members * window_s

    def foreground(self) -> Process:
        shop, env, chance = self.shop, self.env, self.chance
        every, share = shop.purchases + shop.queries, shop.purchases / (shop.purchases + shop.queries)
        while True:
            yield env.timeout(chance.expovariate(every))
            if chance.random() < share:
                self._purchase()
            else:
                self._query()

    def _query(self) -> None:
        place = int(self.chance.random() * len(self.table))
        taken = self._call_s() + _HANDLER_S
        self._answer([(self.table.reads[place], float(regulars.HOME_READS))], taken, self.query_s)

    def _purchase(self) -> None:
        chance, count, table = self.chance, len(self.table), self.table
        account, key, known = (int(chance.random() * count) for _ in range(3))
        asked = [
            (table.reads[known], 0.5),
            (table.reads[account], 0.5),
            (table.writes[key], 1.0),
            (table.writes[account], 1.0),
        ]
        if chance.random() < regulars.DUE_SHARE:
            asked.insert(3, (table.writes[int(chance.random() * count)], 1.0))
        taken = _HANDLER_S + sum(self._call_s() for _ in asked)
        if chance.random() < self.race_lost:
            # Read what came in between, wait a little, put again.
            taken += 2 * self._call_s() + chance.random() * regulars.RACE_PAUSE_S
            asked.append((table.writes[account], 1.0))
        self._answer(asked, taken, self.purchase_s)

    def _answer(self, asked: Sequence[tuple[TokenBucket, float]], taken: float, times: list[float]) -> None:
        now = self.env.now
        for place, (bucket, units) in enumerate(asked):
            if not bucket.take(units, now):
                self.throttled += 1
                self.env.process(self._again(asked[place:], taken, times))
                return
        times.append(taken)

    def _again(self, asked: Sequence[tuple[TokenBucket, float]], taken: float, times: list[float]) -> Process:
        """The call that was throttled waits and asks again, and then the ones behind it; the caller waits for all."""
        started, is_first = self.env.now, True
        for bucket, units in asked:
            if not is_first and bucket.take(units, self.env.now):
                continue
            is_first = False
            for pause in pauses(self.chance):
                yield self.env.timeout(pause)
                if bucket.take(units, self.env.now):
                    break
            else:
                self.failed += 1
                break
        times.append(taken + self.env.now - started)

    def worker(self) -> Process:
        env, chance, writes, reads, count = self.env, self.chance, self.table.writes, self.table.reads, len(self.table)
        step_s = _STEP_MEMBERS * regulars.BONUS_BUSY_S
        steps = int(regulars.CHUNK_MEMBERS) // _STEP_MEMBERS
        yield env.timeout(chance.random() * steps * step_s)
        while True:
            yield from self._overhead()
            for _ in range(steps):
                yield env.timeout(step_s)
                for _ in range(_STEP_MEMBERS):
                    place = int(chance.random() * count)
                    if not reads[place].take(1, env.now):
                        yield from self._patiently(reads[place], regulars.BONUS_READS)
                    if not writes[place].take(1, env.now):
                        yield from self._patiently(writes[place], regulars.BONUS_WRITES)
                    self.members += 1
            yield from self._overhead()

    def _overhead(self) -> Process:
        """Half of what a chunk costs beside its members: once before them, once after."""
        spread, shared = regulars.CHUNK_WRITES - regulars.CHUNK_SHARED_WRITES, regulars.CHUNK_SHARED_WRITES
        yield from self._patiently(self.table.writes[int(self.chance.random() * len(self.table))], spread / 2)
        yield from self._patiently(self.campaign, shared / 2)

    def _patiently(self, bucket: TokenBucket, units: float) -> Process:
        """Until it is granted: a worker that gives up is given the same chunk again."""
        while not bucket.take(units, self.env.now):
            yield self.env.timeout(self.chance.random() * regulars.SDK_PAUSE_S)

    def _call_s(self) -> float:
        return self.chance.lognormvariate(_CALL_MU, _CALL_SIGMA)


_CALL_SIGMA = math.log(regulars.CALL_SPREAD) / 2.326  # the 99th percentile of a normal curve
_CALL_MU = math.log(regulars.CALL_S) - _CALL_SIGMA**2 / 2
_HANDLER_S = regulars.ANSWER_S - regulars.PURCHASE_BUSY_S


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are not above."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)] if values else math.nan


def run(shop: Shop, concurrency: int) -> Seen:
    """The foreground beside so many campaign workers."""
    state = _Run(shop, concurrency)
    state.env.process(state.foreground())
    for _ in range(concurrency):
        state.env.process(state.worker())
    warm_s = _WARM_S
    state.env.run(until=warm_s)
    purchases, queries, members = len(state.purchase_s), len(state.query_s), state.members
    throttled, failed = state.throttled, state.failed
    state.env.run(until=shop.seconds + warm_s)
    purchase_ms = [taken * 1_000 for taken in state.purchase_s[purchases:]]
    query_ms = [taken * 1_000 for taken in state.query_s[queries:]]
    return Seen(
        concurrency,
        purchase_p50=percentile(purchase_ms, 0.5),
        purchase_p99=percentile(purchase_ms, 0.99),
        query_p50=percentile(query_ms, 0.5),
        query_p99=percentile(query_ms, 0.99),
        failed=state.failed - failed,
        throttled_share=(state.throttled - throttled) / max(1, len(purchase_ms) + len(query_ms)),
        members_a_second=(state.members - members) / shop.seconds,
    )


def concurrency_max(shop: Shop) -> float:
    """How many workers keep the fullest partition below its limit, the one of the run's budget and progress: by arithmetic."""
    chunks = 1 / (regulars.CHUNK_MEMBERS * regulars.BONUS_BUSY_S)
    spread = 1 / regulars.BONUS_BUSY_S + chunks * (regulars.CHUNK_WRITES - regulars.CHUNK_SHARED_WRITES)
    of_worker = chunks * regulars.CHUNK_SHARED_WRITES + spread / shop.partitions
    return float((facts.PARTITION_WRITES - shop.purchases * regulars.WRITES / shop.partitions) / of_worker)


SHOPS = (
    Shop("1 M members, new table of 4 partitions", 1_000_000, 4, 100, 400, 45, (0, 10, 20, 30, 40, 45, 50, 60)),
    Shop("100 M members, 256 partitions", 100_000_000, 256, 1_000, 4_000, 10, (0, 10, 100, 800, 1_000)),
)


@cache
def runs() -> tuple[tuple[Shop, tuple[Seen, ...]], ...]:
    """The runs of the page: each shop without a campaign first."""
    return tuple((shop, tuple(run(shop, concurrency) for concurrency in shop.concurrencies)) for shop in SHOPS)
