"""What it costs: list prices times what is asked for, part by part. Nothing is free here, no free tier and no discount."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.scale import facts, regulars
from bench.scale.arithmetic import Campaign, Peak, relay_fill, relay_s, stored_bytes

HOURS_A_MONTH = 730.0
# So long a day the peak is held when a month is counted.
PEAK_HOURS_A_DAY = 1.0
# Twice a day: nobody buys more often all month. What asks for more is arithmetic, not a program.
PURCHASES_A_MONTH_MAX = 60.0

PARTS = ("writes", "reads", "storage", "recovery", "functions", "API", "queues", "events", "logs")


@dataclass(frozen=True, slots=True)
class Bill:
    """Dollars by part."""

    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """All parts."""
        return sum(self.parts.values())

    @property
    def table(self) -> float:
        """DynamoDB's share."""
        return sum(self.parts.get(part, 0) for part in ("writes", "reads", "storage", "recovery"))

    def __add__(self, other: "Bill") -> "Bill":
        return Bill({part: self.parts.get(part, 0) + other.parts.get(part, 0) for part in PARTS})

    def __mul__(self, times: float) -> "Bill":
        return Bill({part: amount * times for part, amount in self.parts.items()})


def _units(*, writes: float = 0, reads: float = 0) -> dict[str, float]:
    return {
        "writes": writes / facts.MILLION * facts.PRICE_WRITE,
        "reads": reads / facts.MILLION * facts.PRICE_READ,
    }


def _functions(*, calls: float, seconds: float, megabytes: float) -> float:
    gb_seconds = seconds * megabytes / 1_024
    first = min(gb_seconds, 7.5e9)
    return (
        calls / facts.MILLION * facts.PRICE_LAMBDA_CALL
        + first * facts.PRICE_LAMBDA_SECOND
        + (gb_seconds - first) * facts.PRICE_LAMBDA_SECOND_2
    )


def _api(calls: float) -> float:
    first = min(calls, 300e6)
    return (first * facts.PRICE_API + (calls - first) * facts.PRICE_API_2) / facts.MILLION


def _logs(calls: float) -> float:
    return calls * regulars.LOG_BYTES / facts.GB * facts.PRICE_LOGS


def _events(count: float, fill: float) -> tuple[float, float, float]:
    """The bus, the relay, and the relay's logs for so many events, of which the relay finds `fill` at a look."""
    calls = count / fill
    relay = _functions(calls=calls, seconds=calls * relay_s(fill), megabytes=regulars.FUNCTION_MB)
    return count / facts.MILLION * facts.PRICE_EVENT, relay, _logs(calls)


def asked(*, purchases: float, queries: float, fill: float) -> Bill:
    """So many purchases and balance queries at the API, each purchase announced."""
    events, relay, relay_logs = _events(purchases, fill)
    query_s = regulars.CALL_S + regulars.ANSWER_S - regulars.PURCHASE_BUSY_S
    calls = purchases + queries
    seconds = purchases * regulars.ANSWER_S + queries * query_s
    return Bill(
        {
            **_units(
                writes=purchases * regulars.WRITES,
                reads=purchases * (regulars.PURCHASE_READS + regulars.ANNOUNCE_READS) + queries * regulars.HOME_READS,
            ),
            "functions": _functions(calls=calls, seconds=seconds, megabytes=regulars.FUNCTION_MB) + relay,
            "API": _api(calls),
            "events": events,
            "logs": _logs(calls) + relay_logs,
        }
    )


def submitted(*, purchases: float, fill: float) -> Bill:
    """So many purchases through the queue, full calls and full batches."""
    events, relay, relay_logs = _events(purchases, fill)
    calls = purchases / regulars.SUBMISSION_PURCHASES
    batches = purchases / regulars.INGEST_BATCH
    # A message is sent, received and deleted, ten at a time.
    requests = 3 * purchases / facts.QUEUE_CALL_MESSAGES
    rounds = regulars.SUBMISSION_PURCHASES / facts.QUEUE_CALL_MESSAGES / regulars.QUEUE_CALLS_AT_ONCE
    call_s = (rounds + 2) * regulars.CALL_S
    return Bill(
        {
            **_units(
                writes=purchases * regulars.WRITES + calls * regulars.SUBMISSION_WRITES,
                reads=purchases * (regulars.PURCHASE_READS + regulars.ANNOUNCE_READS),
            ),
            "functions": _functions(calls=calls, seconds=calls * call_s, megabytes=regulars.FUNCTION_MB)
            + _functions(calls=batches, seconds=purchases * regulars.PURCHASE_BUSY_S, megabytes=regulars.WORKER_MB)
            + relay,
            "API": _api(calls),
            "queues": requests / facts.MILLION * facts.PRICE_QUEUE,
            "events": events,
            "logs": _logs(calls + batches) + relay_logs,
        }
    )


def kept(members: float) -> Bill:
    """A month of what is stored, and of its recovery to any second."""
    gigabytes = stored_bytes(members) / facts.GB
    return Bill({"storage": gigabytes * facts.PRICE_STORAGE, "recovery": gigabytes * facts.PRICE_RECOVERY})


def month(members: int) -> Bill:
    """An ordinary month of so many members, spread evenly: one record for each look of the relay."""
    return kept(members) + asked(
        purchases=members * regulars.PURCHASES_A_MONTH, queries=members * regulars.HOMES_A_MONTH, fill=1
    )


def hour(rate: float, *, queries: float = float(regulars.QUERIES_A_PURCHASE)) -> Bill:
    """An hour at so many purchases a second at tills, each with so many balance queries."""
    purchases = rate * 3_600
    return asked(purchases=purchases, queries=purchases * queries, fill=relay_fill(rate, Peak(1, rate).partitions))


def queued_hour(rate: float) -> Bill:
    """An hour at so many purchases a second through the queue, and nothing else."""
    return submitted(purchases=rate * 3_600, fill=relay_fill(rate, Peak(1, rate).partitions))


def busy_month(members: int, rate: float) -> tuple[Bill, float]:
    """An ordinary month and an hour a day at the peak; and how many purchases that is of each member."""
    hours = HOURS_A_MONTH / 24 * PEAK_HOURS_A_DAY
    return month(members) + hour(rate) * hours, regulars.PURCHASES_A_MONTH + rate * 3_600 * hours / members


def campaign(job: Campaign) -> Bill:
    """A campaign: what is written and read, its workers, its messages and its events; storage is a month of its records."""
    fill = relay_fill(job.members_a_second, facts.TABLE_WRITES_START / facts.PARTITION_WRITES)
    events, relay, relay_logs = _events(job.members, fill)
    gigabytes = job.members * (regulars.RECORD_BYTES + facts.ITEM_OVERHEAD) / facts.GB
    workers = _functions(calls=job.chunks, seconds=job.worker_seconds, megabytes=regulars.WORKER_MB)
    return Bill(
        {
            **_units(writes=job.writes, reads=job.reads),
            "storage": gigabytes * facts.PRICE_STORAGE,
            "recovery": gigabytes * facts.PRICE_RECOVERY,
            "functions": workers + relay,
            "queues": 3 * job.chunks / facts.MILLION * facts.PRICE_QUEUE,
            "events": events,
            "logs": _logs(job.chunks) + relay_logs,
        }
    )
