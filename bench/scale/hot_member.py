"""A hot member: every purchase is of one account, and each needs the account's next sequence for itself.

The partition is not what is scarce (a record is one unit of a thousand): it is the lock. Claims stand under keys of their own.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import simpy

from bench.scale import facts, regulars
from bench.scale.backlog import Backlog, Process
from bench.scale.buckets import dice
from bench.scale.campaign import percentile

RATES_TILL = (5, 10, 20, 40, 60, 80)
RATES_QUEUE = (20, 50, 100, 200, 400, 800)
SECONDS = 60


@dataclass(slots=True)
class Seen:
    """A run: `rate` purchases a second of one member for a minute, and until all are answered."""

    path: str
    rate: float
    arrived: int = 0
    recorded: int = 0
    unknown: int = 0
    open: int = 0
    records: int = 0
    lost_races: int = 0
    seconds: float = 0
    waits: list[float] = field(default_factory=list)

    @property
    def a_second(self) -> float:
        """Purchases recorded a second, from the first arrival to the last answer."""
        return self.recorded / self.seconds

    @property
    def p50(self) -> float:
        """Half of the purchases were recorded within so many seconds."""
        return percentile(self.waits, 0.5)

    @property
    def p99(self) -> float:
        """All but one in a hundred were recorded within so many seconds."""
        return percentile(self.waits, 0.99)


class _Account:
    """The log of one account: an append at a sequence succeeds only for whoever has seen the one before."""

    def __init__(self, env: simpy.Environment, chance: random.Random, seen: Seen) -> None:
        self.env, self.chance, self.seen = env, chance, seen
        self.seq = 0

    def append(self, seq: int, *, until: float) -> Process:
        """Puts the record behind `seq`, or reads what came in between and puts it there; whether it did before `until`."""
        pause = float(regulars.RACE_PAUSE_S)
        while True:
            yield self.env.timeout(self._call_s())
            if seq == self.seq:
                self.seq += 1
                self.seen.records += 1
                return True
            self.seen.lost_races += 1
            yield self.env.timeout(self.chance.random() * pause)
            if self.env.now > until:
                return False
            pause = min(pause * regulars.RACE_PAUSE_GROWTH, float(regulars.RACE_PAUSE_MAX_S))
            seq = self.seq
            yield self.env.timeout(self._call_s())

    def calls(self, count: int) -> simpy.Timeout:
        """So many calls that nobody contends for."""
        return self.env.timeout(sum(self._call_s() for _ in range(count)))

    def _call_s(self) -> float:
        return regulars.CALL_S * (0.5 + self.chance.random())


def at_tills(rate: float, *, seconds: float = SECONDS, seed: int = 5) -> Seen:
    """Each purchase is a call of its own: look-up, head, claim, record."""
    env, chance = simpy.Environment(), dice(seed)
    seen = Seen("till", rate)
    account = _Account(env, chance, seen)

    def purchase() -> Process:
        started = env.now
        seen.arrived += 1
        seen.open += 1
        yield account.calls(1)
        seq = account.seq
        yield account.calls(2)
        is_done = yield from account.append(seq, until=started + regulars.DEADLINE_S)
        seen.open -= 1
        seen.recorded += is_done
        seen.unknown += not is_done
        if is_done:
            seen.waits.append(env.now - started)
        seen.seconds = max(seconds, env.now)

    def arrivals() -> Process:
        while env.now < seconds:
            env.process(purchase())
            yield env.timeout(chance.expovariate(rate))

    env.process(arrivals())
    env.run()
    assert seen.arrived == seen.recorded + seen.unknown + seen.open, "a purchase was lost"
    assert account.seq == seen.recorded, "a sequence was given twice"
    return seen


def in_queue(
    rate: float, *, workers: int = int(regulars.INGEST_CONCURRENCY), seconds: float = SECONDS, seed: int = 5
) -> Seen:
    """All go through the queue: a worker's batch of one member is written in groups, a record each."""
    env, chance = simpy.Environment(), dice(seed)
    seen = Seen("queue", rate)
    account = _Account(env, chance, seen)
    group_max = int(regulars.GROUP_MAX)
    backlog = Backlog(
        env,
        batch=int(regulars.INGEST_BATCH),
        visibility_s=regulars.VISIBILITY_S,
        deliveries_max=int(regulars.DELIVERIES_MAX),
    )

    def worker() -> Process:
        while True:
            yield backlog.news()
            if backlog.waiting < int(regulars.INGEST_BATCH):
                yield env.timeout(facts.BATCH_WINDOW_S)
            batch = backlog.receive()
            received_at = env.now
            for first in range(0, len(batch), group_max):
                group = batch[first : first + group_max]
                yield account.calls(1)
                seq = account.seq
                yield account.calls(len(group))
                yield from account.append(seq, until=float("inf"))
                seen.waits += [env.now - sent_at for sent_at, _ in group]
            backlog.settle(applied=batch, refused=(), failed=(), received_at=received_at)
            if batch:
                seen.seconds = max(seconds, env.now)

    def arrivals() -> Process:
        while env.now < seconds:
            backlog.send(1)
            yield env.timeout(chance.expovariate(rate))

    env.process(arrivals())
    for _ in range(workers):
        env.process(worker())
    env.run(until=seconds)
    # Whatever the rate, a minute of it is drained in ten.
    until = seconds
    while backlog.open and until < 10 * seconds:
        until += 1
        env.run(until=until)
    seen.arrived, seen.recorded, seen.open = backlog.arrived, backlog.applied, backlog.open
    return seen


@cache
def runs() -> tuple[Sequence[Seen], Sequence[Seen]]:
    """The runs of the page: at tills, and through the queue."""
    return [at_tills(rate) for rate in RATES_TILL], [in_queue(rate) for rate in RATES_QUEUE]
