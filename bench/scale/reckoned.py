"""The tables of what is only multiplied, and of what it is multiplied from."""

from bench.scale import arithmetic, costs, facts, regulars
from bench.scale.markdown import count, dollars, duration, percent, table


def peaks_table() -> str:
    """What a peak needs."""
    rows = [
        [
            count(peak.members),
            count(peak.purchases),
            count(peak.writes),
            count(peak.reads),
            f"{peak.partitions_for_load} / {peak.partitions_for_bytes}",
            f"**{peak.partitions}** to {peak.partitions_in_peace}",
            count(peak.api_calls),
            f"{peak.api_concurrency:,} + {peak.relay_concurrency}",
            duration(peak.ramp_s) if peak.ramp_s >= 1 else "at once",
            f"{peak.workers:,}",
            count(peak.in_flight),
            ", ".join(peak.beyond) or "none",
        ]
        for peak in arithmetic.PEAKS
    ]
    columns = (
        "members",
        "purchases/s",
        "WRU/s",
        "RRU/s",
        "partitions for load / for bytes",
        "needed",
        "API calls/s",
        "Lambda at once: API + relay",
        "reached from nothing in",
        "if submitted: workers",
        "in flight",
        "beyond the defaults",
    )
    return table(columns, rows)


def months_table() -> str:
    """An ordinary month."""
    rows = []
    for members in arithmetic.MEMBERS:
        bill = costs.month(members)
        parts = [dollars(bill.parts[part]) for part in costs.PARTS if part != "queues"]
        rows.append([count(members), *parts, f"**{dollars(bill.total)}**", dollars(bill.table)])
    columns = ("members", *(part for part in costs.PARTS if part != "queues"), "$ a month", "of it DynamoDB")
    return table(columns, rows)


def hours_table() -> str:
    """An hour at a peak."""
    rows = []
    for rate in arithmetic.RATES:
        for name, bill in (
            ("at tills", costs.hour(rate, queries=0)),
            ("and balances", costs.hour(rate)),
            ("through the queue", costs.queued_hour(rate)),
        ):
            parts = [dollars(bill.parts.get(part, 0)) for part in costs.PARTS if part not in {"storage", "recovery"}]
            a_million = bill.total / (rate * 3_600) * facts.MILLION
            rows.append([count(rate), name, *parts, f"**{dollars(bill.total)}**", dollars(a_million)])
    columns = (
        "purchases/s",
        "how",
        *(part for part in costs.PARTS if part not in {"storage", "recovery"}),
        "$ an hour",
        "$ a million purchases",
    )
    return table(columns, rows)


def busy_table() -> str:
    """Months with an hour a day at a peak."""
    rows = []
    for members in arithmetic.MEMBERS:
        cells = []
        for rate in arithmetic.RATES:
            bill, of_member = costs.busy_month(members, rate)
            shown = dollars(bill.total)
            cells.append(shown if of_member <= costs.PURCHASES_A_MONTH_MAX else f"({shown})")
        rows.append([count(members), *cells])
    return table(("members", *(f"{count(rate)} purchases/s" for rate in arithmetic.RATES)), rows)


def campaigns_table() -> str:
    """What a campaign takes and costs."""
    rows = []
    for job in arithmetic.CAMPAIGNS:
        bill = costs.campaign(job)
        rows.append(
            [
                count(job.members),
                f"{job.workers}",
                count(job.members_a_second),
                duration(job.hours * 3_600),
                count(job.chunks),
                count(job.writes),
                count(job.reads),
                count(job.shared_writes),
                percent(job.conflict_share, 0),
                dollars(bill.table),
                dollars(bill.parts["events"]),
                f"**{dollars(bill.total)}**",
            ]
        )
    columns = (
        "members",
        "workers",
        "members/s",
        "takes",
        "chunks",
        "WRU",
        "RRU",
        "WRU/s under the run's key",
        "chunks that meet another at the budget",
        "$ DynamoDB",
        "$ events",
        "$",
    )
    return table(columns, rows)


def facts_table() -> str:
    """What is taken from AWS."""
    return table(("number", "what", "source", ""), map(_fact, facts.stated()))


def program_table() -> str:
    """What is taken from this repository."""
    return table(("number", "what", "source", ""), map(_fact, regulars.stated()))


def _fact(fact: facts.Fact) -> list[str]:
    whole = f"{fact:,.0f}"
    number = whole if fact.is_integer() else f"{fact:.10f}".rstrip("0")
    return [f"{number} {fact.unit}", fact.what, fact.source, fact.kind]
