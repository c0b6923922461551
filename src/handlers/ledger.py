"""`regulars ledger`: proving what is stored, against a stack's table and with the credentials of the environment."""

import json
import os
import random
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Annotated, NoReturn

import typer
from pynamodb.connection import Connection
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from domain import members
from domain.members import LOOKUP_FIELDS, Lookup
from domain.refusals import Refusal
from domain.verification import Finding
from handlers import runtime
from handlers.local.commands import HomeOption
from handlers.local.home import TOOLS, Home, LocalStackError
from handlers.local.stack import Stack, published
from schema import nodes
from storage.audit import Audit, NoSuchAccount, Source, Tally, Unavailable, Watcher
from storage.clock import ClockTable

EXIT_WRONG = 1
EXIT_NOT_RUN = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True)


@app.callback()
def ledger() -> None:
    """Prove the ledger of a stack: the one whose table is named, or the one that runs here."""


@app.command()
def verify(
    account: Annotated[
        str | None, typer.Option(metavar="ID", help="One account, or the global id of its member.")
    ] = None,
    member_by: Annotated[
        str | None,
        typer.Option(metavar="FIELD=VALUE", help=f"One member, by {', '.join(LOOKUP_FIELDS.values())}."),
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, metavar="N", help="N accounts, chosen at random.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every account, every key and claim, the directory, and stray items.")
    ] = False,
    claims: Annotated[
        bool, typer.Option("--claims", help="Also look up the claim of every key that is found (--all does).")
    ] = False,
    grace_minutes: Annotated[
        int, typer.Option(min=0, help="A claim as young as this may still be without its entry.")
    ] = 60,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: findings as they are found, the summary last.")
    ] = False,
    table: Annotated[
        str | None, typer.Option(envvar="REGULARS_TABLE", help="The stack's table; else the local stack's.")
    ] = None,
    home: HomeOption = TOOLS,
) -> None:
    """Check that nothing stored was altered, lost or miscounted; docs/proof.md says what is checked and what cannot be.

    The exit code is 0 when nothing is wrong, 1 when something is, 2 when it could not be checked.
    """
    if [account is not None, member_by is not None, sample is not None, everything].count(True) != 1:
        raise typer.BadParameter("Give one of --account, --member-by, --sample and --all.")
    lookup = None if member_by is None else _lookup(member_by)
    place = place_of(table, home)
    teller = _Teller(as_json=as_json)
    try:
        source = Source(place.connection, place.table)
        zones = source.zones()
        if not zones:
            _stop(f"No program was ever published on the table {place.table}: it is not the table of a stack.")
        audit = Audit(
            source,
            Watcher(teller.found, teller.advanced),
            zones=zones,
            now=runtime.program_time(ClockTable(place.connection, place.table), runtime.now()),
            grace=timedelta(minutes=grace_minutes),
        )
        with teller.progress:
            if everything:
                tally = audit.everything()
            else:
                if lookup is not None:
                    account = source.account_of(lookup, place.pepper)
                    if account is None:
                        _stop("No member is enrolled under this.")
                chosen = source.sample(sample, random.SystemRandom()) if sample else [account_of(account or "")]
                tally = audit.accounts(chosen, claims=claims)
    except Unavailable as unavailable:
        _stop(str(unavailable))
    except NoSuchAccount as missing:
        _stop(f"There is no account {missing}.")
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    teller.sum_up(tally, grace_minutes)
    raise typer.Exit(EXIT_WRONG if tally.findings else 0)


# --- what to read -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A table and how to reach it."""

    connection: Connection
    table: str
    stack: Stack | None = None

    @property
    def pepper(self) -> bytes:
        """What keys the hashes of look-ups."""
        if self.stack is not None:
            function = self.stack.client("lambda").get_function_configuration(
                FunctionName=self.stack.outputs["FunctionName"]
            )
            return str(function["Environment"]["Variables"]["REGULARS_SECRET"]).encode()
        secret = os.environ.get("REGULARS_SECRET")
        if not secret:
            _stop(
                "To find a member, set REGULARS_SECRET to the stack's secret (it is in Secrets Manager), or use --account."
            )
        return secret.encode()


def place_of(table: str | None, home: Path) -> Place:
    """The table that was named, or the one of the stack that runs in `home`. Ends the command when there is neither."""
    if table:
        return Place(_connect(os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")), table)
    try:
        stack = published(Home(home.absolute()))
    except LocalStackError as missing:
        _stop(f"Name the stack's table (--table or REGULARS_TABLE). {missing}")
    return Place(_connect(stack.region, stack), stack.table, stack)


def _connect(region: str | None, stack: Stack | None = None) -> Connection:
    # More patient than the API's own: nobody waits for an answer, and pages are large.
    return Connection(
        region=region,
        host=stack.endpoint_url if stack else None,
        aws_access_key_id=stack.access_key if stack else None,
        aws_secret_access_key=stack.secret_key if stack else None,
        connect_timeout_seconds=5,
        read_timeout_seconds=60,
        retry_configuration={"total_max_attempts": 8, "mode": "standard"},
        max_pool_connections=16,
    )


def account_of(given: str) -> str:
    """An account, or the one in a member's global id."""
    kind, account = nodes.from_id(given)
    return account if kind == "Member" else given


def _lookup(member_by: str) -> Lookup:
    field, _, value = member_by.partition("=")
    kind = next((kind for kind, name in LOOKUP_FIELDS.items() if name == field), None)
    if kind is None:
        raise typer.BadParameter(
            f"Give {' or '.join(f'{name}=…' for name in LOOKUP_FIELDS.values())}.", param_hint="--member-by"
        )
    try:
        return members.lookup(kind, value, field=(field,))
    except Refusal as refusal:
        raise typer.BadParameter(refusal.message, param_hint="--member-by") from refusal


def _stop(message: str) -> NoReturn:
    typer.echo(_plain(message), err=True)
    raise typer.Exit(EXIT_NOT_RUN)


# --- what to tell -----------------------------------------------------------------------------------------------------


class _RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class _Teller:
    """Tells findings as they are found on the standard output, and on a terminal how far the run is."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._tasks: dict[str, TaskID] = {}
        self._start = perf_counter()
        bar = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=bar,
            transient=True,
            disable=not bar.is_terminal,
            # Findings go where they were sent, also when only the bar is on a terminal.
            redirect_stdout=self._console.is_terminal,
        )

    def found(self, finding: Finding) -> None:
        """One finding, on a line."""
        if self._as_json:
            return self._line(
                {
                    "account": finding.account,
                    "sequence": finding.seq,
                    "code": finding.code.value,
                    "message": finding.message,
                }
            )
        where = f"{finding.account} record {finding.seq}" if finding.seq else finding.account
        self._console.print(_plain(f"{where}: {finding.message} ({finding.code.value})"), style="red")
        return None

    def advanced(self, stage: str, done: int, total: int | None) -> None:
        """How far a stage of the run is."""
        if stage not in self._tasks:
            for task in self.progress.tasks:
                self.progress.update(task.id, total=task.completed)
            self._tasks[stage] = self.progress.add_task(stage, total=total)
        self.progress.update(self._tasks[stage], completed=done, total=total)

    def sum_up(self, tally: Tally, grace_minutes: int) -> None:
        """What was checked, and what came of it."""
        seconds = perf_counter() - self._start
        if self._as_json:
            return self._line({"summary": {**asdict(tally), "seconds": round(seconds, 3)}})
        counts = [_many(tally.records, "record"), _many(tally.entries, "entry", "entries"), _many(tally.keys, "key")]
        self._console.print(
            f"Checked {_many(tally.accounts, 'account')}, {', '.join(counts[:-1])} and {counts[-1]} in {seconds:,.1f} s:"
            f" {tally.accounts / seconds:,.0f} accounts and {tally.entries / seconds:,.0f} entries a second."
        )
        if tally.unfinished:
            what = _many(tally.unfinished, "key was", "keys were")
            still = "is" if tally.unfinished == 1 else "are"
            self._console.print(f"{what} claimed in the last {grace_minutes} minutes and {still} not booked yet.")
        if tally.findings:
            self._console.print(f"{_many(tally.findings, 'finding')}.", style="red")
        else:
            self._console.print("Nothing is wrong.", style="green")
        return None

    def _line(self, value: object) -> None:
        typer.echo(json.dumps(value))


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def _plain(text: str) -> str:
    """The text on one line: whoever tampers may have put anything into a name."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
