"""`regulars seed`: made-up members, to try on many of them what is tried on few elsewhere."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Annotated, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from domain import limits
from domain.refusals import IdempotencyKeyReused, Refusal
from handlers import runtime
from handlers.ledger import EXIT_INTERRUPTED, EXIT_NOT_RUN, EXIT_WRONG, Place, place_of
from handlers.local.commands import HomeOption
from handlers.local.home import TOOLS
from handlers.seeding import Seeder, Written
from storage.clock import ClockTable
from storage.programs import Programs
from storage.table import Table

# Members between two looks at the clock, for each writer: a second or two.
_BATCH = 32


def seed(
    members: Annotated[
        int, typer.Option(min=1, max=limits.SEED_MEMBERS_MAX, help="How many: seed-000001 and so on, always the same.")
    ],
    chance: Annotated[
        int, typer.Option("--seed", metavar="K", help="Other members under the same names; for another table.")
    ] = 1,
    history: Annotated[
        int, typer.Option(min=1, max=limits.SEED_PURCHASES_MAX, metavar="M", help="Purchases of each at most.")
    ] = 2,
    days: Annotated[
        int, typer.Option(min=0, max=limits.SEED_DAYS_MAX, help="They joined, one by one, in so many days up to now.")
    ] = 300,
    writers: Annotated[
        int,
        typer.Option(
            min=1, max=limits.SEED_WRITERS_MAX, help="How many are written at once. On one machine more are no faster."
        ),
    ] = 4,
    table: Annotated[
        str | None, typer.Option(envvar="REGULARS_TABLE", help="The stack's table; else the local stack's.")
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            envvar="REGULARS_SHARDS", min=1, max=limits.SHARDS_MAX, help="With --table: the stack's ShardCount."
        ),
    ] = None,
    home: HomeOption = TOOLS,
) -> None:
    """Write made-up members: joined on different days, with purchases, tags and birthdays, some blocked, some gone.

    Safe to repeat and to interrupt: the same members are there once. The exit code is 0 when all are there, 1 when one was
    refused, 2 when it could not be done.
    """
    place = place_of(table, home)
    try:
        seeder = _seeder(place, shards, chance, history, days)
        seeder.require_same()
        run = _Run()
        with _bar() as bar:
            for written in bar.track(_written(seeder, members, writers), total=members, description="members"):
                run.add(written)
    except IdempotencyKeyReused:
        _stop(f"The members of the table {place.table} are of another --seed.", EXIT_WRONG)
    except Refusal as refusal:
        _stop(f"{refusal.message} ({refusal.code}) Run it again: what is there stays as it is.", EXIT_WRONG)
    except (BotoCoreError, ClientError, PynamoDBException) as error:
        _stop(f"The table {place.table} cannot be written. {error}")
    except KeyboardInterrupt:
        typer.echo("Stopped. The same command goes on from here.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    run.sum_up()


def _seeder(place: Place, shards: int | None, chance: int, history: int, days: int) -> Seeder:
    """What writes the members. Ends the command on a table that is not a stack's."""
    program = Programs(place.connection, place.table).current()
    if program is None:
        _stop(f"No program was ever published on the table {place.table}: it is not the table of a stack.")
    clock = ClockTable(place.connection, place.table)
    ahead = clock.offset()
    return Seeder(
        store=Table(place.connection, place.table, pepper=place.pepper, shards=_shards(place, shards)),
        program=program,
        seed=chance,
        history=history,
        days=days,
        now=lambda: runtime.now() + ahead,
        new_account=runtime.new_account,
    )


def _shards(place: Place, given: int | None) -> int:
    """Over how many partitions the stack spreads its members: nobody would find those that are spread otherwise."""
    if place.stack is not None:
        function = place.stack.client("lambda").get_function_configuration(
            FunctionName=place.stack.outputs["FunctionName"]
        )
        return int(function["Environment"]["Variables"]["REGULARS_SHARDS"])
    if given is None:
        _stop("Say over how many shards the stack spreads its members (--shards or REGULARS_SHARDS: its ShardCount).")
    return given


def _written(seeder: Seeder, members: int, writers: int) -> Iterator[Written]:
    """Writes all members, some of them at once."""
    with ThreadPoolExecutor(writers, thread_name_prefix="seed") as threads:
        # In batches: whoever interrupts waits for the one that was begun, and not for all.
        for start in range(1, members + 1, writers * _BATCH):
            yield from threads.map(seeder.write, range(start, min(start + writers * _BATCH, members + 1)))


# --- telling ----------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """What was written so far."""

    members: int = 0
    new: int = 0
    purchases: int = 0
    start: float = field(default_factory=perf_counter)

    def add(self, written: Written) -> None:
        self.members += 1
        self.new += written.is_new
        self.purchases += written.purchases

    def sum_up(self) -> None:
        seconds = perf_counter() - self.start
        typer.echo(
            f"{self.members:,} members are there, {self.new:,} of them new, with {self.purchases:,} new purchases:"
            f" {seconds:,.1f} s, {self.members / seconds:,.0f} members a second."
        )


class _RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def _bar() -> Progress:
    bar = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=bar,
        transient=True,
        disable=not bar.is_terminal,
    )


def _stop(message: str, code: int = EXIT_NOT_RUN) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
