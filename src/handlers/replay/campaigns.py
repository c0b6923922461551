"""One run of the year with its campaigns: it passes, is audited and told of."""

from collections.abc import Mapping, Sequence
from time import perf_counter

from rich.table import Table

from domain import verification
from domain.entries import Key, Record
from domain.verification import Finding, Replay, Use
from handlers.replay import campaigns_auditor, campaigns_year
from handlers.replay import completejourney as data
from handlers.replay.auditor import Difference
from handlers.replay.campaigns_auditor import Audit
from handlers.replay.campaigns_year import Lived
from handlers.replay.run import DIFFERENCES_SHOWN, EXIT_WRONG, bar, console


def campaigns(*, households: int, seed: int) -> int:
    """The exit code: 0 when each targeted household has its bonuses, nobody has another one, and all books are right."""
    chosen = data.households(households)
    started = perf_counter()
    with bar() as shown:
        task = shown.add_task("a year", total=None)
        lived = campaigns_year.live(
            chosen, seed=seed, advance=lambda: shown.advance(task), expect=lambda total: shown.update(task, total=total)
        )
    return told(lived, seconds=perf_counter() - started)


def told(lived: Lived, *, seconds: float) -> int:
    """Audits a year, and tells what was found: the exit code."""
    logs = kept(lived)
    with console.status("auditing"):
        audit = campaigns_auditor.audit(lived.accounts, logs, lived.said, today=lived.ends_on)
        findings = verified(logs)
    _show(audit, findings, lived, seconds=seconds)
    return EXIT_WRONG if audit.differences or findings else 0


def kept(lived: Lived) -> dict[str, Sequence[Record]]:
    """The whole log of every account there is."""
    store = lived.store
    heads = [head for account in store.directory() if (head := store.head(account)) is not None]
    return {head.account: store.records_after(head.account, 0, limit=head.seq) for head in heads}


def verified(logs: Mapping[str, Sequence[Record]]) -> list[Finding]:
    """What `domain.verification` finds in logs, and of keys that stand in more than one entry. There are no hashes in memory."""
    found: list[Finding] = []
    uses: dict[Key, list[Use]] = {}
    for account, log in logs.items():
        replay = Replay(account, (campaigns_year.ZONE,))
        for record in log:
            found += replay.follow(record)
            for entry in record.entries:
                if entry.key is not None:
                    use = Use(account, record.seq, entry.at, is_refused=entry.refusal is not None)
                    uses.setdefault(entry.key, []).append(use)
    for key, of_key in uses.items():
        found += verification.check_uses(key, of_key)
    return found


def _show(audit: Audit, findings: Sequence[Finding], lived: Lived, *, seconds: float) -> None:
    found = [*audit.differences, *(Difference(0, each.code.value, "nothing", each.message) for each in findings)]
    if found:
        table = Table("household", "what", "expected", "found", title="Differences")
        for each in found[:DIFFERENCES_SHOWN]:
            table.add_row(*map(str, (each.household_id or "", each.what, each.expected, each.found)))
        console.print(table)
        if (more := len(found) - DIFFERENCES_SHOWN) > 0:
            console.print(f"… and {more:,} more")
    numbers = ("targeted", "bonuses", "points", "before", "after")
    table = Table("no.", "type", "first day", "last day", *numbers, box=None)
    for column in table.columns[-len(numbers) :]:
        column.justify = "right"
    for row in audit.rows:
        days = (row.starts_on.isoformat(), row.ends_on.isoformat())
        table.add_row(str(row.number), row.kind, *days, *(f"{getattr(row, name):,}" for name in numbers))
    console.print(table)
    summary = Table(show_header=False, box=None)
    before, after = (sum(getattr(row, name) for row in audit.rows) for name in ("before", "after"))
    approved = sum(each.is_approved for each in lived.said.values())
    for what, value in (
        ("households", f"{audit.households:,}"),
        ("baskets", f"{audit.baskets:,}, {audit.purchased:,} points"),
        ("campaigns", f"{len(lived.said):,}, {approved} of them approved"),
        ("targeted", f"{audit.pairs:,}, counted campaign by campaign"),
        ("bonuses", f"{sum(row.bonuses for row in audit.rows):,}, {sum(row.points for row in audit.rows):,} points"),
        ("expired, left", f"{audit.expired:,}, {audit.left:,} points"),
        ("bought on the same day", f"{before:,} times before a bonus, {after:,} times after it"),
        ("chunks", f"{lived.chunks:,}, each delivered {lived.deliveries_min} times at least"),
        ("deliveries", f"{lived.deliveries:,} of chunks; {lived.cut_off:,} in all were cut off"),
        ("entries compared", f"{audit.entries:,}"),
        ("found by verification", f"{len(findings):,}"),
        ("seconds", f"{seconds:.0f}"),
        ("differences", f"{len(audit.differences):,}"),
    ):
        summary.add_row(what, value)
    console.print(summary)
