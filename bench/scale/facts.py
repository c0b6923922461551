"""What AWS promises, allows and charges: every number that the model takes from outside, with the page that says so.

`documented` means that a page of AWS says it, read in November 2026; pages change, and quotas are the defaults of a new
account in us-east-1. `reported` are list prices that several others quote alike, where the list itself could not be read.
`assumed` means that no page says it, or none was found; `measured` and `decided` are this repository's own.
"""

from typing import Literal, Self

Kind = Literal["documented", "reported", "measured", "decided", "assumed"]

_DYNAMODB = "DynamoDB developer guide"
_LAMBDA = "Lambda developer guide"
_SQS = "SQS developer guide"
_EVENTBRIDGE = "EventBridge user guide"


class Fact(float):
    """A number with its unit, what it says, its source, and how sure it is; it computes like any other number."""

    unit: str
    what: str
    source: str
    kind: Kind

    def __new__(cls, value: float, unit: str, what: str, source: str, kind: Kind = "documented") -> Self:
        """The number itself; the rest is for whoever reads the table."""
        fact = super().__new__(cls, value)
        fact.unit, fact.what, fact.source, fact.kind = unit, what, source, kind
        return fact


# --- DynamoDB ----------------------------------------------------------------------------------------------------------

PARTITION_WRITES = Fact(1_000, "WRU/s", "a partition writes at most", f"{_DYNAMODB}, partition key design")
PARTITION_READS = Fact(3_000, "RRU/s", "a partition reads at most", f"{_DYNAMODB}, partition key design")
PARTITION_BYTES = Fact(
    10e9, "bytes", "a partition splits before it holds", "AWS Database Blog, Scaling DynamoDB, part 3"
)
TABLE_WRITES_START = Fact(4_000, "WRU/s", "a new on-demand table takes at once", f"{_DYNAMODB}, warm throughput")
TABLE_READS_START = Fact(12_000, "RRU/s", "a new on-demand table takes at once", f"{_DYNAMODB}, warm throughput")
PEAK_GROWTH = Fact(
    2, "times", "its previous peak is what an on-demand table takes at once", f"{_DYNAMODB}, on-demand mode"
)
PEAK_GROWTH_S = Fact(1_800, "s", "more than that may be throttled within", f"{_DYNAMODB}, warm throughput")
TABLE_QUOTA = Fact(40_000, "units/s", "quota of a table, reads and writes each", f"{_DYNAMODB}, on-demand mode")
BURST_S = Fact(
    300, "s", "unused throughput is kept for (best effort, and not counted on here)", f"{_DYNAMODB}, burst capacity"
)
SPLIT_AFTER_S = Fact(
    300, "s", "a partition is throttled before it is split for heat", "no page says how long", "assumed"
)
ITEM_OVERHEAD = Fact(100, "bytes", "each stored item is billed on top", f"{_DYNAMODB}, item sizes")
QUERY_PAGE_UNITS = Fact(256, "RRU", "one strong page of a Query (1 MB)", f"{_DYNAMODB}, Query")

# --- SQS and Lambda ----------------------------------------------------------------------------------------------------

QUEUE_IN_FLIGHT = Fact(120_000, "messages", "of a queue may be in flight", f"{_SQS}, quotas")
QUEUE_CALL_MESSAGES = Fact(10, "messages", "go into one call", f"{_SQS}, quotas")
MAPPING_START = Fact(5, "calls", "of a worker run at once when a queue wakes up", f"{_LAMBDA}, scaling of SQS")
MAPPING_RAMP = Fact(
    300 / 60, "calls/s", "more, for as long as messages wait (300 a minute)", f"{_LAMBDA}, scaling of SQS"
)
MAPPING_MAX = Fact(1_250, "calls", "at once of one mapping, without MaximumConcurrency", f"{_LAMBDA}, scaling of SQS")
MAPPING_CONCURRENCY_MAX = Fact(1_000, "calls", "largest MaximumConcurrency", "Lambda API reference, ScalingConfig")
MAPPING_PROVISIONED_MAX = Fact(
    20_000, "calls", "at once of a mapping in provisioned mode", "AWS News Blog, November 2025"
)
BATCH_WINDOW_S = Fact(
    1, "s", "a batch of more than ten may wait to fill (the least allowed)", "Lambda API reference, BatchSize"
)
LAMBDA_CONCURRENCY = Fact(1_000, "calls", "at once in an account, by default", f"{_LAMBDA}, concurrency")
LAMBDA_RAMP = Fact(100, "calls/s", "more of one function at once (1,000 every 10 s)", f"{_LAMBDA}, scaling behavior")
LAMBDA_VCPU_MB = Fact(1_769, "MB", "of memory come with one vCPU", f"{_LAMBDA}, memory")

# --- the API and the bus -----------------------------------------------------------------------------------------------

API_CALLS = Fact(10_000, "calls/s", "of all APIs of an account, by default", "API Gateway developer guide, quotas")
BUS_CALLS = Fact(10_000, "calls/s", "of PutEvents", f"{_EVENTBRIDGE}, quotas")
BUS_DELIVERIES = Fact(18_750, "events/s", "are handed to targets; more are late", f"{_EVENTBRIDGE}, quotas")
STREAM_POLL_S = Fact(
    0.25, "s", "between two looks at a quiet shard of a stream", f"{_LAMBDA}, DynamoDB streams", "assumed"
)

# --- prices (us-east-1, list, on demand) -------------------------------------------------------------------------------

MILLION = 1e6
GB = 1e9  # the price lists do not say which; the decimal one is the dearer reading

PRICE_WRITE = Fact(0.625, "$/million", "write request units", "DynamoDB pricing since November 2024", "reported")
PRICE_READ = Fact(0.125, "$/million", "read request units", "DynamoDB pricing since November 2024", "reported")
PRICE_STORAGE = Fact(0.25, "$/GB-month", "storage (standard class)", "DynamoDB pricing")
PRICE_RECOVERY = Fact(0.20, "$/GB-month", "point-in-time recovery", "DynamoDB pricing; not found again", "assumed")
PRICE_QUEUE = Fact(0.40, "$/million", "requests of standard queues, up to 100 billion", "SQS pricing", "reported")
PRICE_LAMBDA_CALL = Fact(0.20, "$/million", "calls of functions", "Lambda pricing", "reported")
PRICE_LAMBDA_SECOND = Fact(
    0.0000133334, "$/GB-s", "of functions on arm64, the first 7.5 billion", "Lambda pricing", "reported"
)
PRICE_LAMBDA_SECOND_2 = Fact(0.0000120001, "$/GB-s", "the next 11.25 billion", "Lambda pricing", "reported")
PRICE_API = Fact(1.00, "$/million", "calls of HTTP APIs, the first 300 million", "API Gateway pricing", "reported")
PRICE_API_2 = Fact(0.90, "$/million", "calls after that", "API Gateway pricing", "reported")
PRICE_EVENT = Fact(1.00, "$/million", "events of one's own on a bus", "EventBridge pricing", "reported")
PRICE_LOGS = Fact(0.50, "$/GB", "logs taken in", "CloudWatch pricing; not found again", "assumed")
PRICE_STREAM = Fact(0, "$/million", "reads of a stream by Lambda", "DynamoDB pricing; not found again", "assumed")


def stated() -> list[Fact]:
    """Every fact of this file, in its order."""
    return [value for value in globals().values() if isinstance(value, Fact)]
