"""What a peak needs, and what a campaign takes: multiplication, no chance in it."""

import math
from dataclasses import dataclass
from functools import cached_property

from bench.scale import facts, regulars

MEMBERS = (10_000, 1_000_000, 10_000_000, 100_000_000)
RATES = (10, 1_000, 50_000)


def stored_bytes(members: float) -> float:
    """What the table is billed for: a member, and the purchases they have made."""
    overhead = float(facts.ITEM_OVERHEAD)
    purchase = regulars.RECORD_BYTES + regulars.CLAIM_BYTES + 2 * overhead
    return members * (regulars.MEMBER_BYTES + regulars.MEMBER_ITEMS * overhead + regulars.ENTRIES_KEPT * purchase)


def relay_s(fill: float) -> float:
    """How long the relay takes for a batch of so many records, each with a predecessor to ask for."""
    at_once = float(regulars.EVENT_CALLS_AT_ONCE)
    asking = math.ceil(fill / at_once) * regulars.CALL_S
    return asking + math.ceil(fill / regulars.EVENTS_A_CALL / at_once) * regulars.BUS_CALL_S


def relay_fill(events: float, shards: float) -> float:
    """How many records the relay finds at a look, when `events` a second are spread over so many shards of the stream."""
    return min(float(regulars.RELAY_BATCH), max(1.0, events / shards * facts.STREAM_POLL_S))


@dataclass(frozen=True)
class Peak:
    """`purchases` a second in a program of so many members, with the balance queries that come with them."""

    members: int
    purchases: float

    @cached_property
    def writes(self) -> float:
        """WRU a second."""
        return self.purchases * regulars.WRITES

    @cached_property
    def reads(self) -> float:
        """RRU a second: the purchases', the queries', and the relay's for the events."""
        queries = regulars.QUERIES_A_PURCHASE * regulars.HOME_READS
        return self.purchases * (regulars.PURCHASE_READS + queries + regulars.ANNOUNCE_READS)

    @cached_property
    def partitions_for_load(self) -> int:
        """The fewest that give these writes and these reads."""
        return math.ceil(max(self.writes / facts.PARTITION_WRITES, self.reads / facts.PARTITION_READS))

    @cached_property
    def partitions_in_peace(self) -> int:
        """As many as need no partition to give all its writes and all its reads at once, which some pages of AWS doubt."""
        load = self.writes / facts.PARTITION_WRITES + self.reads / facts.PARTITION_READS
        return max(math.ceil(load), self.partitions_for_bytes)

    @cached_property
    def partitions_for_bytes(self) -> int:
        """By size alone; DynamoDB makes these by itself."""
        return math.ceil(stored_bytes(self.members) / facts.PARTITION_BYTES)

    @cached_property
    def partitions(self) -> int:
        """What the table needs at least."""
        return max(self.partitions_for_load, self.partitions_for_bytes)

    @cached_property
    def api_calls(self) -> float:
        """Calls of the API a second."""
        return self.purchases * (1 + regulars.QUERIES_A_PURCHASE)

    @cached_property
    def api_concurrency(self) -> int:
        """Calls of the API's function at once, by Little's law."""
        query_s = regulars.CALL_S + regulars.ANSWER_S - regulars.PURCHASE_BUSY_S
        return math.ceil(self.purchases * (regulars.ANSWER_S + regulars.QUERIES_A_PURCHASE * query_s))

    @cached_property
    def ramp_s(self) -> float:
        """How long Lambda takes to get there from nothing."""
        return self.api_concurrency / facts.LAMBDA_RAMP

    @cached_property
    def relay_concurrency(self) -> int:
        """Calls of the relay at once; a shard of the stream, one for each partition, has one at most."""
        fill = relay_fill(self.purchases, self.partitions)
        return min(self.partitions, math.ceil(self.purchases / fill * relay_s(fill)))

    @cached_property
    def workers(self) -> int:
        """Workers that keep up when all purchases are submitted instead."""
        return math.ceil(self.purchases * regulars.PURCHASE_BUSY_S)

    @cached_property
    def in_flight(self) -> int:
        """Messages in flight then: those worked on, and those in batches that fill."""
        return math.ceil(self.workers * regulars.INGEST_BATCH + self.purchases * facts.BATCH_WINDOW_S)

    @cached_property
    def beyond(self) -> list[str]:
        """The default quotas that have to be raised first, or the mode that has to be another."""
        checks = (
            ("new table: pre-warm", self.writes > facts.TABLE_WRITES_START or self.reads > facts.TABLE_READS_START),
            ("table 40,000", max(self.writes, self.reads) > facts.TABLE_QUOTA),
            ("API 10,000/s", self.api_calls > facts.API_CALLS),
            ("Lambda 1,000", self.api_concurrency + self.relay_concurrency > facts.LAMBDA_CONCURRENCY),
            ("MaximumConcurrency 1,000", self.workers > facts.MAPPING_CONCURRENCY_MAX),
            ("in flight 120,000", self.in_flight > facts.QUEUE_IN_FLIGHT),
            ("bus 10,000 calls/s", self.purchases / regulars.EVENTS_A_CALL > facts.BUS_CALLS),
            ("bus targets 18,750/s", self.purchases > facts.BUS_DELIVERIES),
        )
        return [name for name, is_beyond in checks if is_beyond]


@dataclass(frozen=True)
class Campaign:
    """A bonus to all of so many members by so many workers at once."""

    members: int
    workers: int

    @cached_property
    def chunks(self) -> int:
        """Messages."""
        return math.ceil(self.members / regulars.CHUNK_MEMBERS)

    @cached_property
    def writes(self) -> float:
        """WRU in all."""
        return self.members * regulars.BONUS_WRITES + self.chunks * regulars.CHUNK_WRITES

    @cached_property
    def reads(self) -> float:
        """RRU in all: a strong query a member, the directory, and the relay's for the events."""
        directory = self.members * regulars.DIRECTORY_ROW_BYTES / 4_096
        of_members = self.members * (regulars.BONUS_READS + regulars.ANNOUNCE_READS)
        return of_members + self.chunks * regulars.CHUNK_READS + directory

    @cached_property
    def members_a_second(self) -> float:
        """How fast it is."""
        return self.workers / regulars.BONUS_BUSY_S

    @cached_property
    def hours(self) -> float:
        """How long it takes."""
        return self.members / self.members_a_second / 3_600

    @cached_property
    def worker_seconds(self) -> float:
        """Seconds of workers in all."""
        return self.members * regulars.BONUS_BUSY_S

    @cached_property
    def shared_writes(self) -> float:
        """WRU a second under the one key of the run, its budget and progress."""
        return self.members_a_second / regulars.CHUNK_MEMBERS * regulars.CHUNK_SHARED_WRITES

    @cached_property
    def conflict_share(self) -> float:
        """How likely a chunk of a campaign with a budget takes from it within the same two calls as another, and asks again."""
        return 1 - math.exp(-self.members_a_second / regulars.CHUNK_MEMBERS * 2 * regulars.CALL_S)


PEAKS = tuple(Peak(members, rate) for members in MEMBERS for rate in RATES)
CAMPAIGNS = tuple(
    Campaign(members, workers) for members in MEMBERS[1:] for workers in (int(regulars.CAMPAIGN_CONCURRENCY), 100)
)
