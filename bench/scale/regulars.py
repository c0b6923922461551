"""What the program asks of AWS: units, calls, bytes and times of an operation, with where each was measured or decided."""

from bench.scale.facts import LAMBDA_VCPU_MB, Fact

_BENCH = "docs/bench.md"
_COSTS = "docs/access-patterns.md"

# --- units and calls ---------------------------------------------------------------------------------------------------

PURCHASE_READS = Fact(1, "RRU", "a purchase: look-up and head", _BENCH, "measured")
PURCHASE_WRITES = Fact(2, "WRU", "a purchase: its claim and its record", _BENCH, "measured")
DUE_SHARE = Fact(0.4, "of purchases", "note a new day: one write and one call more", _COSTS, "assumed")
PURCHASE_CALLS = Fact(4, "calls", "a purchase, one after the other", _BENCH, "measured")
HOME_READS = Fact(1, "RRU", "a home screen or a balance", _BENCH, "measured")
ANNOUNCE_READS = Fact(1, "RRU", "an event whose record does not follow one of its batch", _COSTS, "measured")
REFUSED_SHARE = Fact(0.002, "of submitted purchases", "are refused: one write", "no program is known", "assumed")
GROUP_MAX = Fact(5, "purchases", "of one member fit into a record of one write unit", _BENCH, "measured")
SUBMISSION_WRITES = Fact(
    10,
    "WRU",
    "a call of purchasesSubmit: 8 KB of numbers, and that all is sent",
    "no deployment was measured",
    "assumed",
)
QUEUE_CALLS_AT_ONCE = Fact(
    8, "calls", "to the queue that one call of purchasesSubmit makes at once", "src/domain/limits.py", "decided"
)

BONUS_WRITES = Fact(1, "WRU", "a member of a campaign", _COSTS, "decided")
BONUS_READS = Fact(1, "RRU", "a member of a campaign: one strong query", _COSTS, "decided")
CHUNK_MEMBERS = Fact(500, "members", "of one message", "src/domain/limits.py", "decided")
CHUNK_WRITES = Fact(
    29, "WRU", "a chunk: record 9, days 9, decision and budget 6, outcome and progress 4, end 1", _BENCH, "measured"
)
CHUNK_SHARED_WRITES = Fact(
    4, "WRU", "of those under the one key of the run: budget and progress", "src/storage/keys.py", "decided"
)
CHUNK_READS = Fact(
    15, "RRU", "a chunk: itself, its progress, and a look at the campaign each 50 members", _COSTS, "assumed"
)
CAMPAIGN_CONCURRENCY = Fact(10, "workers", "of campaigns at once, by default", "template.yaml", "decided")
INGEST_CONCURRENCY = Fact(20, "workers", "of submitted purchases at once, by default", "template.yaml", "decided")
INGEST_BATCH = Fact(50, "messages", "of one batch of submitted purchases", "template.yaml", "decided")
DELIVERIES_MAX = Fact(5, "times", "a message comes before it is put aside", "src/domain/limits.py", "decided")
VISIBILITY_S = Fact(361, "s", "until a failed message comes again: six timeouts, a window", "template.yaml", "decided")
SUBMISSION_PURCHASES = Fact(500, "purchases", "of one call of purchasesSubmit", "src/domain/limits.py", "decided")

# --- times -------------------------------------------------------------------------------------------------------------

CALL_S = Fact(
    0.005, "s", "a call of DynamoDB on average, with the client's CPU", "AWS: single-digit milliseconds", "assumed"
)
CALL_SPREAD = Fact(
    3, "times", "the median call is what one in a hundred takes (log-normal)", "no page says so", "assumed"
)
HANDLER_CPU_S = Fact(0.0031, "s", "of CPU for a purchase beside its calls (30 % of 10.4 ms)", _BENCH, "measured")
FUNCTION_MB = Fact(1_024, "MB", "of the API's function", "template.yaml", "decided")
WORKER_MB = Fact(512, "MB", "of a worker", "template.yaml", "decided")
SDK_ATTEMPTS = Fact(4, "attempts", "of the client at one call", "src/handlers/aws.py", "decided")
SDK_PAUSE_S = Fact(
    1, "s", "at most before the second attempt, doubled each time, full jitter", "botocore, standard mode", "decided"
)
SDK_PAUSE_MAX_S = Fact(20, "s", "at most between two attempts", "botocore, standard mode", "decided")
RACE_PAUSE_S = Fact(
    0.03, "s", "at most after the first lost race for an account, full jitter", "src/storage/table.py", "decided"
)
RACE_PAUSE_GROWTH = Fact(3, "times", "longer after each further one", "src/storage/table.py", "decided")
RACE_PAUSE_MAX_S = Fact(4, "s", "at most between two of them", "src/storage/table.py", "decided")
DEADLINE_S = Fact(25, "s", "until a caller is told that the outcome is unknown", "template.yaml", "decided")
LOG_BYTES = Fact(
    800, "bytes", "of logs for a call: the API's line, and Lambda's own", "no deployment was measured", "assumed"
)
BUS_CALL_S = Fact(0.02, "s", "a call of PutEvents", "no page says so", "assumed")

# --- bytes and habits --------------------------------------------------------------------------------------------------

RECORD_BYTES = Fact(416, "bytes", "a purchase's record, the median (330 before there were tiers)", _BENCH, "measured")
CLAIM_BYTES = Fact(209, "bytes", "a purchase's claim, the median", _BENCH, "measured")
MEMBER_BYTES = Fact(1_000, "bytes", "a member beside: profile, look-ups, due rows, notices", _COSTS, "assumed")
MEMBER_ITEMS = Fact(8, "items", "those are", _COSTS, "assumed")
DIRECTORY_ROW_BYTES = Fact(85, "bytes", "a row of the directory (12,000 to a page)", "src/storage/agenda.py", "decided")
ENTRIES_KEPT = Fact(60, "purchases", "a member has made: two and a half years", "no program is known", "assumed")
PURCHASES_A_MONTH = Fact(2, "purchases", "a member makes in a month", "no program is known", "assumed")
HOMES_A_MONTH = Fact(8, "home screens", "a member looks at in a month", "no program is known", "assumed")
QUERIES_A_PURCHASE = Fact(
    4, "balance queries", "for each purchase while a peak lasts", "no program is known", "assumed"
)

RELAY_BATCH = Fact(100, "records", "the relay is given at most", "template.yaml", "decided")
EVENT_CALLS_AT_ONCE = Fact(8, "calls", "the relay makes at once", "src/domain/limits.py", "decided")
EVENTS_A_CALL = Fact(10, "events", "of one call of PutEvents", "src/domain/limits.py", "decided")

# What follows.
DUE_CALLS = float(PURCHASE_CALLS + DUE_SHARE)
WRITES = float(PURCHASE_WRITES + DUE_SHARE)
PURCHASE_BUSY_S = DUE_CALLS * CALL_S
ANSWER_S = PURCHASE_BUSY_S + HANDLER_CPU_S * LAMBDA_VCPU_MB / FUNCTION_MB
BONUS_BUSY_S = 2 * CALL_S


def stated() -> list[Fact]:
    """Every input of this file, in its order."""
    return [value for name, value in globals().items() if isinstance(value, Fact) and name != "LAMBDA_VCPU_MB"]
