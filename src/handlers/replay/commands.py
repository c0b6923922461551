"""`regulars replay`: a year of real purchases, and of real campaigns, replayed and audited."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.local.commands import HomeOption
from handlers.local.home import REPOSITORY, TOOLS, Home, LocalStackError
from handlers.local.stack import published

DEMO = REPOSITORY / "demo" / "coffee-chain.yaml"

app = typer.Typer(no_args_is_help=True)


@app.callback()
def replay() -> None:
    """Replay a year of real purchases: through the public API of the running stack, or with its campaigns in memory."""


@app.command()
def completejourney(
    households: Annotated[int, typer.Option(min=1, max=2469, help="How many households, always the same ones.")] = 100,
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Households at once.")] = 4,
    again: Annotated[
        bool, typer.Option("--again", help="Send everything, also what an unfinished run has sent.")
    ] = False,
    audit_only: Annotated[bool, typer.Option("--audit-only", help="Send nothing, only compare.")] = False,
    with_clock: Annotated[
        bool,
        typer.Option(
            "--with-clock",
            help="Let the year begin today and pass, in throwaway sandboxes, and compare every expiry, reminder and tier.",
        ),
    ] = False,
    days: Annotated[int, typer.Option(min=1, max=366, help="With --with-clock: how much of the year.")] = 366,
    home: HomeOption = TOOLS,
    program: Annotated[Path, typer.Option(help="The published program, for its timezone.")] = DEMO,
) -> None:
    """Send a year of real grocery baskets and check every balance.

    A run that was interrupted resumes where it stopped. After a finished one everything is sent again: nothing changes.
    """
    # Not at the top: it loads pandas and pyarrow, development dependencies that no other command needs.
    from handlers.replay import run, years  # noqa: PLC0415

    place = Home(home.absolute())
    if with_clock:
        raise typer.Exit(years.with_clock(households=households, days=days, kept=place.folder / "years"))
    try:
        stack = published(place)
    except LocalStackError as missing:
        typer.echo(str(missing), err=True)
        raise typer.Exit(run.EXIT_WRONG) from None
    exit_code = run.completejourney(
        stack,
        households=households,
        concurrency=concurrency,
        again=again,
        audit_only=audit_only,
        program_file=program,
        # A part of the stack's state: when that is wiped, the next run is a first one again.
        kept=place.state / "replay",
    )
    raise typer.Exit(exit_code)


@app.command()
def campaigns(
    households: Annotated[int, typer.Option(min=1, max=2469, help="How many households, always the same ones.")] = 2469,
    seed: Annotated[int, typer.Option(help="Another one brings chunks in another order.")] = 1,
) -> None:
    """Let the year pass in memory with its 27 campaigns, each launched on its first day, and check every bonus.

    It needs no stack. Several workers get every chunk twice at least, in any order, and are cut off while purchases go on.
    """
    # Not at the top, as above.
    from handlers.replay import campaigns as year  # noqa: PLC0415

    raise typer.Exit(year.campaigns(households=households, seed=seed))
