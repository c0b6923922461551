"""A viral spike: ten times as many submitted purchases as usual, through the queue, its workers and the table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import simpy

from bench.scale import facts, regulars
from bench.scale.backlog import Backlog, Crew, Process, poisson
from bench.scale.buckets import Partitions, TokenBucket, dice


@dataclass(frozen=True, slots=True)
class Spike:
    """One run: `rate` purchases a second, and `peak` of them for `peak_s` seconds from `peak_at` on."""

    name: str
    workers: int
    partitions: int
    rate: float = 250
    peak: float = 2_500
    peak_at: float = 60
    peak_s: float = 120
    ends_at: float = 600
    seed: int = 5


@dataclass(slots=True)
class Seen:
    """What a run came to. Series have a value for each `every` seconds."""

    spike: Spike
    every: float = 10
    arrivals: list[float] = field(default_factory=list)
    applied: list[float] = field(default_factory=list)
    backlog: list[float] = field(default_factory=list)
    oldest_s: list[float] = field(default_factory=list)
    busy_max: int = 0
    in_flight_max: int = 0
    backlog_max: int = 0
    oldest_max_s: float = 0
    throttles: int = 0
    came_again_total: int = 0
    drained_after_s: float | None = None
    all_done_after_s: float = 0
    arrived_total: int = 0
    applied_total: int = 0
    refused_total: int = 0
    dead_total: int = 0
    waiting_total: int = 0


def run(spike: Spike) -> Seen:
    """Runs it, and on without further arrivals until nothing is open. Nothing is lost: `Backlog.check` at every step."""
    env = simpy.Environment()
    chance = dice(spike.seed)
    table = Partitions(spike.partitions, writes=facts.PARTITION_WRITES, reads=facts.PARTITION_READS)
    backlog = Backlog(
        env,
        batch=int(regulars.INGEST_BATCH),
        visibility_s=regulars.VISIBILITY_S,
        deliveries_max=int(regulars.DELIVERIES_MAX),
    )
    buckets, count = table.writes, len(table)
    due_share, refused_share = float(regulars.DUE_SHARE), float(regulars.REFUSED_SHARE)

    def anywhere() -> TokenBucket:
        return buckets[int(chance.random() * count)]

    def places() -> Sequence[TokenBucket] | None:
        """Claim, due row and record stand under keys of their own, which are spread evenly."""
        draw = chance.random()
        if draw < refused_share:
            return None
        return (anywhere(), anywhere(), anywhere()) if draw > 1 - due_share else (anywhere(), anywhere())

    crew = Crew(
        env, backlog, spike.workers, regulars.PURCHASE_BUSY_S, places, anywhere, chance, window_s=facts.BATCH_WINDOW_S
    )
    seen = Seen(spike)

    def arrivals() -> Process:
        tick = 0.1
        while env.now < spike.ends_at:
            is_peak = spike.peak_at <= env.now < spike.peak_at + spike.peak_s
            backlog.send(poisson(chance, (spike.peak if is_peak else spike.rate) * tick))
            yield env.timeout(tick)

    def watch() -> Process:
        arrived = applied = 0
        while True:
            yield env.timeout(seen.every)
            seen.arrivals.append((backlog.arrived - arrived) / seen.every)
            seen.applied.append((backlog.applied + backlog.refused - applied) / seen.every)
            arrived, applied = backlog.arrived, backlog.applied + backlog.refused
            seen.backlog.append(backlog.waiting + backlog.hidden)
            seen.oldest_s.append(backlog.oldest_s)
            over_for = env.now - spike.peak_at - spike.peak_s
            # A few seconds of arrivals are always on their way: more is a backlog.
            if over_for >= 0 and seen.drained_after_s is None and backlog.waiting < 3 * spike.rate:
                seen.drained_after_s = over_for

    env.process(arrivals())
    env.process(crew.ramp())
    watching = env.process(watch())
    env.run(until=spike.ends_at)
    closing = spike.ends_at
    while backlog.open and closing < spike.ends_at + 10 * regulars.VISIBILITY_S:
        closing += seen.every
        env.run(until=closing)
    assert watching.is_alive
    backlog.check()
    seen.throttles, seen.came_again_total = table.throttles, backlog.came_again
    seen.busy_max, seen.in_flight_max = crew.busy_max, backlog.in_flight_max
    seen.backlog_max, seen.oldest_max_s = backlog.backlog_max, backlog.oldest_max_s
    last_late = max((place for place, age in enumerate(seen.oldest_s) if age > 30), default=0)
    seen.all_done_after_s = max(0.0, (last_late + 2) * seen.every - spike.peak_at - spike.peak_s)
    seen.arrived_total, seen.applied_total = backlog.arrived, backlog.applied
    seen.refused_total, seen.dead_total, seen.waiting_total = backlog.refused, backlog.dead, backlog.open
    return seen


COLD, WARM = int(facts.TABLE_WRITES_START / facts.PARTITION_WRITES), 12


@cache
def runs() -> tuple[Seen, ...]:
    """The runs of the page."""
    default = int(regulars.INGEST_CONCURRENCY)
    return tuple(
        run(spike)
        for spike in (
            Spike(f"{default} workers, new table", default, COLD),
            Spike("80 workers, new table", 80, COLD),
            Spike("80 workers, pre-warmed table", 80, WARM),
        )
    )
