"""Hot shards: a day's due rows and the directory stand under few keys, and a partition may hold several of them.

A first purchase of a month notes the month's expiry day, so on the first of a month nearly every purchase writes a due row, all
of one day: `ShardCount` keys share them. Where the keys lie among the partitions is chance; a partition that is throttled for a
while is split in two, down to a single key and no further.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

import simpy

from bench.scale import facts, regulars
from bench.scale.backlog import Process, pauses
from bench.scale.buckets import Partitions, dice

# Where the keys of a day lie is chance: the page shows the worst of so many days.
DAYS = 20
# A page of a megabyte, read and passed on.
PAGE_S = 0.05


@dataclass(frozen=True, slots=True)
class Day:
    """The worst of the days tried: its fullest partition, what is throttled at first, and when splits have mended it."""

    purchases: float
    share: float
    shards: int
    partitions: int
    a_shard: float
    fullest: float
    throttled_share: float
    mended_after_s: float | None


def day(*, purchases: float, share: float, shards: int, partitions: int) -> Day:
    """`purchases` a second of which `share` write a due row of one day, on so many partitions."""
    worst: Day | None = None
    for number in range(DAYS):
        tried = _one_day(number, purchases, share, shards, partitions)
        if worst is None or tried.fullest > worst.fullest:
            worst = tried
    assert worst is not None
    return worst


def _one_day(number: int, purchases: float, share: float, shards: int, partitions: int) -> Day:
    spread = purchases * regulars.PURCHASE_WRITES
    a_shard = purchases * share / shards
    places = sorted(_place(number, shard) for shard in range(shards))
    parts = [(part / partitions, (part + 1) / partitions) for part in range(partitions)]

    def load(part: tuple[float, float]) -> float:
        low, high = part
        return spread * (high - low) + a_shard * sum(low <= place < high for place in places)

    loads = [load(part) for part in parts]
    fullest = max(loads)
    throttled = sum(max(0.0, each - facts.PARTITION_WRITES) for each in loads) / sum(loads)
    mended: float | None = 0.0
    while mended is not None and max(loads) > facts.PARTITION_WRITES:
        if a_shard > facts.PARTITION_WRITES:
            mended = None  # one key alone is too much: no split helps
            break
        mended += facts.SPLIT_AFTER_S
        assert mended < 60 * facts.SPLIT_AFTER_S, "two keys are never nearer than that"
        halves: list[tuple[float, float]] = []
        for part, each in zip(parts, loads, strict=True):
            low, high = part
            middle = (low + high) / 2
            halves += [(low, middle), (middle, high)] if each > facts.PARTITION_WRITES else [part]
        parts = halves
        loads = [load(part) for part in parts]
    return Day(purchases, share, shards, partitions, a_shard, fullest, throttled, mended)


def _place(number: int, shard: int) -> float:
    digest = hashlib.blake2b(f"day {number} shard {shard}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


@dataclass(slots=True)
class Reading:
    """A shard of the directory is read to its end beside balance queries in the same partition."""

    members: int
    shards: int
    pages: int = 0
    seconds: float = 0
    units: float = 0
    queries: int = 0
    throttled: int = 0


def directory(*, members: int, shards: int, partitions: int, queries: float, seed: int = 5) -> Reading:
    """Reads one shard of `shards`, page after page, while `queries` a second go to all `partitions`."""
    env, chance = simpy.Environment(), dice(seed)
    table = Partitions(1, writes=facts.PARTITION_WRITES, reads=facts.PARTITION_READS)
    bucket = table.reads[0]
    seen = Reading(members, shards)
    page_units = float(facts.QUERY_PAGE_UNITS)
    left = members / shards * regulars.DIRECTORY_ROW_BYTES / 4_096

    def reader() -> Process:
        nonlocal left
        while left > 0:
            units = min(page_units, left)
            while not bucket.take(units, env.now):
                yield env.timeout(pauses(chance)[0])
            yield env.timeout(PAGE_S)
            left -= units
            seen.pages += 1
            seen.units += units
        seen.seconds = env.now

    def foreground() -> Process:
        while True:
            yield env.timeout(chance.expovariate(queries / partitions))
            seen.queries += 1
            seen.throttled += not bucket.take(regulars.HOME_READS, env.now)

    env.process(foreground())
    env.run(until=env.process(reader()))
    return seen


@cache
def days() -> tuple[Day, ...]:
    """The days of the page: an ordinary one and the first of a month, at 1,000 and 50,000 purchases a second."""
    small, large = 12, 256
    return tuple(
        day(purchases=purchases, share=share, shards=shards, partitions=partitions)
        for purchases, partitions in ((1_000, small), (50_000, large))
        for share in (float(regulars.DUE_SHARE), 1.0)
        for shards in ((4, 256) if partitions == small else (64, 256, 1_024))
    )


@cache
def readings() -> tuple[Reading, ...]:
    """The readings of the page."""
    return (
        directory(members=1_000_000, shards=256, partitions=4, queries=400),
        directory(members=100_000_000, shards=256, partitions=256, queries=4_000),
        directory(members=100_000_000, shards=256, partitions=256, queries=200_000),
    )
