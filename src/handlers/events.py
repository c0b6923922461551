"""`regulars events`: telling the outside again what it was told, or should have been, from the logs of a stack."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Annotated, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain import announcements, limits
from domain.announcements import Event
from domain.refusals import OutcomeUnknown
from handlers import aws
from handlers.bus import Bus
from handlers.ledger import EXIT_INTERRUPTED, EXIT_NOT_RUN, EXIT_WRONG, account_of, place_of
from handlers.local.commands import HomeOption
from handlers.local.home import TOOLS
from schema.nodes import to_id
from storage.streams import Logs

# Records of one log in one request: some 50 KB.
_PAGE = 100
# A bus that takes nothing for so long will not be waited for; the command is safe to repeat.
_PATIENCE_S = 120

app = typer.Typer(no_args_is_help=True)


@app.callback()
def events() -> None:
    """The events of a stack: the one whose table is named, or the one that runs here."""


@app.command()
def republish(
    start: Annotated[
        str, typer.Option("--from", metavar="T", help="First instant, with its offset: 2026-11-20T09:00:00Z.")
    ],
    end: Annotated[
        str | None, typer.Option("--to", metavar="T", help="First instant that is not told any more; now if not given.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(metavar="ID", help="One account, or the global id of its member.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every account of the stack.")] = False,
    late_days: Annotated[
        int,
        typer.Option(
            min=0,
            max=400,
            help="What time alone did may have been booked so many days after it happened; it is told as well.",
        ),
    ] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the events, and send none.")] = False,
    table: Annotated[
        str | None, typer.Option(envvar="REGULARS_TABLE", help="The stack's table; else the local stack's.")
    ] = None,
    bus: Annotated[
        str | None, typer.Option(envvar="REGULARS_EVENT_BUS", help="The stack's bus (its output EventBusName).")
    ] = None,
    home: HomeOption = TOOLS,
) -> None:
    """Send the events of a time again, under the ids they have: whoever knows them already sees nothing new.

    Safe to repeat and to interrupt. The exit code is 0 when everything was sent, 1 when the bus did not take all of it, 2 when it
    could not be done.
    """
    if (account is not None) == everything:
        raise typer.BadParameter("Give one of --account and --all.")
    window = _window(start, end, late_days)
    place = place_of(table, home)
    name = bus or (place.stack.outputs["EventBusName"] if place.stack else None)
    if name is None and not dry_run:
        _stop("Name the stack's bus (--bus or REGULARS_EVENT_BUS).")
    arguments = place.stack.client_arguments if place.stack else {}
    run = _Run(
        Logs(place.connection, place.table),
        None if dry_run else Bus(aws.connect("events", **arguments), name or ""),
        window,
    )
    teller = _Teller()
    try:
        with teller.progress:
            if account is not None:
                run.tell([account_of(account)])
                if not run.accounts:
                    _stop(f"There is no account {account_of(account)}.")
            else:
                for done, accounts in run.everybody():
                    run.tell(accounts)
                    teller.advanced(done, run.accounts, run.count)
    except (BotoCoreError, ClientError, PynamoDBException, OutcomeUnknown) as error:
        _stop(f"The table {place.table} cannot be read. {_why(error)}")
    except _NotTaken as refused:
        typer.echo(
            f"{refused} {_events(run.count)} sent before. Run it again: what was sent is the same event.", err=True
        )
        raise typer.Exit(EXIT_WRONG) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    teller.sum_up(run, dry_run=dry_run)


# --- which records ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` up to and without `end`; what time alone did is looked for from `early` on."""

    start: datetime
    end: datetime
    early: datetime


def _window(start: str, end: str | None, late_days: int) -> Window:
    first = _instant(start, "--from")
    # Without an end, whatever there is: in a sandbox the program's time runs ahead of the wall.
    last = datetime.max.replace(tzinfo=UTC) if end is None else _instant(end, "--to")
    if last <= first:
        raise typer.BadParameter("--to has to be later than --from.")
    # The first instant that a date can have has none before it.
    early = max(first, datetime.min.replace(tzinfo=UTC) + timedelta(days=late_days)) - timedelta(days=late_days)
    return Window(first, last, early)


def _instant(text: str, option: str) -> datetime:
    wrong = typer.BadParameter("Give an instant with its offset, such as 2026-11-20T09:00:00Z.", param_hint=option)
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise wrong
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong from None


def _pages(logs: Logs, account: str, window: Window) -> Iterator[list[Event]]:
    """The events of an account that belong in the window, a page of records at a time, in order; nothing else is kept."""
    first = _first(logs, account, window.early)
    if first is None:
        return
    previous = announcements.previous_id(logs, account, first)
    seq = first - 1
    is_over = False
    while not is_over:
        page = logs.records_after(account, seq, limit=_PAGE)
        is_over = len(page) < _PAGE
        events: list[Event] = []
        for record in page:
            if record.state.at >= window.end:
                is_over = True
                break
            made = announcements.of_record(record, previous=previous, to_id=to_id)
            previous = made[-1].id if made else previous
            if record.state.at >= window.start or announcements.is_of_time(record):
                events += made
            seq = record.seq
        yield events


def _notices(logs: Logs, account: str, window: Window) -> Iterator[list[Event]]:
    """The events of the notices that an account was given in the window, a page at a time. They stand by the day on which they
    became due, and may have been given later: all that are kept are looked at, those of a year."""
    before: tuple[int, str] | None = None
    while True:
        page = logs.notices(account, before=before, limit=_PAGE)
        yield [
            announcements.of_notice(account, notice, to_id=to_id)
            for notice in page
            if window.start <= notice.at < window.end
        ]
        if len(page) < _PAGE:
            return
        before = (page[-1].day, page[-1].about)


def _first(logs: Logs, account: str, early: datetime) -> int | None:
    """The sequence of the first record at or after `early`; None when there is none. Time never runs backwards in a log."""
    newest = logs.head(account)
    if newest is None or newest.state.at < early:
        return None
    first = newest.seq
    while True:
        page = logs.records_before(account, first - 1, limit=_PAGE)
        for record in page:
            if record.state.at < early:
                return first
            first = record.seq
        if len(page) < _PAGE:
            return first


# --- sending ----------------------------------------------------------------------------------------------------------


class _NotTaken(Exception):
    """The bus did not take an event; the message says why."""


@dataclass
class _Run:
    """Tells accounts again, some of them side by side; `bus` is None when events are only counted."""

    logs: Logs
    bus: Bus | None
    window: Window
    accounts: int = 0
    types: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Events that were sent, or counted."""
        return self.types.total()

    def everybody(self) -> Iterator[tuple[int, Sequence[str]]]:
        """All accounts in groups, with the number of directory shards that were read to their end before."""
        for shard, accounts in self.logs.accounts():
            for at in range(0, len(accounts) or 1, limits.REPUBLISH_ACCOUNTS_MAX):
                yield shard, accounts[at : at + limits.REPUBLISH_ACCOUNTS_MAX]

    def tell(self, accounts: Sequence[str]) -> None:
        """Sends the events of some accounts, each one's in order."""
        with ThreadPoolExecutor(limits.EVENT_CALLS_AT_ONCE_MAX) as threads:
            known = [found for found in threads.map(self.logs.head, accounts) if found is not None]
            self.accounts += len(known)
            told = [
                chain(_pages(self.logs, record.account, self.window), _notices(self.logs, record.account, self.window))
                for record in known
            ]
            while told:
                pages = list(threads.map(lambda pages: next(pages, None), told))
                told = [pages for pages, page in zip(told, pages, strict=True) if page is not None]
                self._send([page for page in pages if page])

    def _send(self, lanes: list[list[Event]]) -> None:
        counts = [len(lane) for lane in lanes]
        if self.bus is not None and lanes:
            sent = self.bus.send(lanes, until=time.monotonic() + _PATIENCE_S)
            for lane, count in zip(lanes, sent.counts, strict=True):
                self.types.update(event.type for event in lane[:count])
            if sent.counts != counts:
                raise _NotTaken(f"The bus did not take everything ({', '.join(sorted(set(sent.errors.values())))}).")
            return
        self.types.update(event.type for lane in lanes for event in lane)


def _why(error: Exception) -> str:
    cause = error.__cause__ or error
    told = cause.response["Error"] if isinstance(cause, ClientError) else {}
    return f"{told['Code']}: {told.get('Message', '')}" if told else str(error)


def _stop(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(EXIT_NOT_RUN)


# --- what to tell -----------------------------------------------------------------------------------------------------


class _Teller:
    """Tells on a terminal how far the run is, and in the end what was sent."""

    def __init__(self) -> None:
        bar = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=bar,
            transient=True,
            disable=not bar.is_terminal,
        )
        self._task = self.progress.add_task("directory shards", total=limits.SHARDS_MAX)

    def advanced(self, shards: int, accounts: int, count: int) -> None:
        """How far a run over everybody is."""
        self.progress.update(
            self._task, completed=shards, description=f"{accounts:,} accounts, {_events(count)}; directory shards"
        )

    def sum_up(self, run: _Run, *, dry_run: bool) -> None:
        """What was sent, by type."""
        for name, count in sorted(run.types.items()):
            typer.echo(f"{count:>12,}  {name}")
        verb = "would be sent" if dry_run else "sent"
        members = f"{run.accounts:,} account{'' if run.accounts == 1 else 's'}"
        typer.echo(f"{_events(run.count)} {verb}, of {members} that were looked at.")


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"
