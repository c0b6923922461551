"""One run of the replay: send, audit, tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Protocol

import httpx
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from handlers.client import ATTEMPTS_MAX, Client, Rejected, Unanswered
from handlers.replay import auditor, sending
from handlers.replay import completejourney as data

DIFFERENCES_SHOWN = 30
EXIT_WRONG = 1  # something was refused, differs, or could not be asked
EXIT_INTERRUPTED = 130

console = Console()


class Stopped(Exception):
    """The run cannot go on; the message says what to do."""

    def __init__(self, message: str, exit_code: int = EXIT_WRONG) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Sent:
    """What one run sent, and how long that took."""

    tally: sending.Tally
    seconds: float


class Stack(Protocol):
    """What of a running stack the replay uses."""

    @property
    def graphql_url(self) -> str:
        """Where it answers."""

    def token(self, role: str, /) -> str:
        """A fresh token for `partner` (a till) or `staff` (a manager)."""


def completejourney(
    stack: Stack,
    *,
    households: int,
    concurrency: int,
    again: bool,
    audit_only: bool,
    program_file: Path,
    kept: Path,
) -> int:
    """The exit code. The shift of the dates and the progress are in `kept`."""
    graphql_url = stack.graphql_url
    try:
        _require_answer(graphql_url)
        timezone: str = yaml.safe_load(program_file.read_text())["timezone"]
        shift = data.shift_kept(kept / f"{data.SOURCE}.json", now=datetime.now(UTC))
        chosen = data.households(households)
        sent = None
        if not audit_only:
            till = Client(graphql_url, token=lambda: stack.token("partner"), connections_max=concurrency)
            progress_file = kept / f"{data.SOURCE}.progress"
            sent = _send(till, chosen, shift, progress_file, concurrency=concurrency, again=again)
        # A manager's token: what the auditor sees must not depend on what a till may see.
        manager = Client(graphql_url, token=lambda: stack.token("staff"), connections_max=concurrency)
        audit = _audit(manager, chosen, shift, timezone, concurrency=concurrency)
    except Stopped as stopped:
        console.print(str(stopped), style="red", highlight=False, markup=False, soft_wrap=True)
        return stopped.exit_code
    _show(audit, sent)
    return EXIT_WRONG if audit.differences or (sent is not None and sent.tally.failures) else 0


def _require_answer(graphql_url: str) -> None:
    try:
        httpx.get(graphql_url, timeout=10.0, trust_env=False)  # any answer: it has no token
    except httpx.TransportError as error:
        what = type(error).__name__
        raise Stopped(f"The stack does not answer at {graphql_url} ({what}). Start it: make run") from None


def _send(
    till: Client, chosen: Sequence[int], shift: timedelta, progress_file: Path, *, concurrency: int, again: bool
) -> Sent:
    baskets = data.baskets(chosen, shift=shift)
    total = sum(map(len, baskets.values()))
    # Also where no terminal shows the bar, somebody may be waiting.
    console.print(f"Sending {total:,} baskets of {len(chosen):,} households to {till.graphql_url}", soft_wrap=True)
    if again:
        progress_file.unlink(missing_ok=True)
    progress = sending.Progress(progress_file, graphql_url=till.graphql_url, shift_days=shift.days)
    start = perf_counter()
    try:
        with bar() as shown:
            task = shown.add_task("sending", total=total)
            tally = sending.send(
                baskets, client=till, progress=progress, concurrency=concurrency, advance=lambda: shown.advance(task)
            )
    except KeyboardInterrupt:
        raise Stopped("Interrupted. The same command resumes here.", EXIT_INTERRUPTED) from None
    except Unanswered as unanswered:
        raise Stopped(f"No answer in {ATTEMPTS_MAX} attempts: {unanswered}. The same command resumes here.") from None
    finally:
        till.close()
        progress.close()
    for failure in tally.failures:
        console.print(f"refused: {failure}", style="red", highlight=False, markup=False, soft_wrap=True)
    if len(tally.failures) >= sending.FAILURES_MAX:
        raise Stopped(f"Stopped after {len(tally.failures)} refusals; nothing was audited.")
    if tally.baskets == total:
        progress.forget()
    return Sent(tally, perf_counter() - start)


def _audit(
    manager: Client, chosen: Sequence[int], shift: timedelta, timezone: str, *, concurrency: int
) -> auditor.Audit:
    now = datetime.now(UTC)
    try:
        with console.status("auditing"):
            return auditor.audit(
                chosen, ask=manager.ask, shift=shift, timezone=timezone, now=now, concurrency=concurrency
            )
    except (Unanswered, Rejected) as error:
        raise Stopped(f"The audit could not read the members: {error}") from None
    finally:
        manager.close()


def _show(audit: auditor.Audit, sent: Sent | None) -> None:
    if audit.differences:
        table = Table("household", "what", "expected", "found", title="Differences")
        for difference in audit.differences[:DIFFERENCES_SHOWN]:
            row = (difference.household_id, difference.what, difference.expected, difference.found)
            table.add_row(*map(str, row))
        console.print(table)
        if (more := len(audit.differences) - DIFFERENCES_SHOWN) > 0:
            console.print(f"… and {more:,} more")
        console.print("Send everything again (--again): what was lost is recorded then. What still differs is wrong.")
    summary = Table(show_header=False, box=None)
    summary.add_row("households", f"{audit.households:,}")
    summary.add_row("baskets", f"{audit.baskets:,}")
    if sent is not None:
        tally = sent.tally
        now = tally.baskets - tally.acknowledged
        summary.add_row("- sent now", f"{now:,}, {tally.replayed:,} of them known already")
        summary.add_row("- sent by an interrupted run", f"{tally.acknowledged:,}")
        summary.add_row("- a second", f"{now / sent.seconds:.1f}")
        summary.add_row("lines", f"{tally.lines:,}")
        summary.add_row("refused", f"{len(tally.failures):,}")
    summary.add_row("points", f"{audit.points:,}")
    summary.add_row("single entries compared", f"{audit.entries:,}")
    summary.add_row("differences", f"{len(audit.differences):,}")
    console.print(summary)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


def bar() -> Progress:
    """A progress bar with its rate."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=console, refresh_per_second=2)  # drawing shares the processor with the stack
