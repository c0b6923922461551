"""`regulars run`, `regulars token` and `regulars reset`."""

import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from handlers.local import demo, graphiql, people, stack
from handlers.local.emulator import tail
from handlers.local.home import TOOLS, Home, LocalStackError
from handlers.local.people import Role

# A token lasts an hour; scripts that read stack.json shall always find one that is good for a while.
TOKEN_SECONDS_LEFT_MIN = 20 * 60

HomeOption = Annotated[
    Path, typer.Option("--home", help="Folder of the stack: its state and stack.json.", envvar="REGULARS_HOME")
]


def run(
    home: HomeOption = TOOLS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the GraphiQL page.")] = 8600,
    gateway_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the local AWS, and of the API.")] = 4566,
) -> None:
    """Start the whole of Regulars on this machine, until Ctrl-C."""
    place = Home(home.absolute())
    with _told_apart(), place.lock() as lock, graphiql.bound(port) as page:
        _stop_on_signals()
        try:
            typer.echo("Starting the local AWS and deploying template.yaml …")
            with stack.running(place, gateway_port=gateway_port, page_port=port, lock=lock) as running:
                demo.seed(running)
                tokens = stack.publish(place, running)
                try:
                    with graphiql.served(page, running):
                        typer.echo(_greeting(running, tokens, graphiql.fetched()))
                        _watch(place, running, min(map(people.expires_at, tokens.values())))
                finally:
                    place.stack_file.unlink(missing_ok=True)
        except KeyboardInterrupt:
            typer.echo(f"Stopped. Everything is kept in {place.state}; `make run` goes on from there.")


def token(role: Role, home: HomeOption = TOOLS) -> None:
    """Print a fresh access token: member (Ada), partner (a till), staff (Grace, a manager) or approver (Lin, another)."""
    with _told_apart():
        typer.echo(stack.published(Home(home.absolute())).token(role))


def reset(home: HomeOption = TOOLS) -> None:
    """Forget everything the local stack has kept."""
    place = Home(home.absolute())
    with _told_apart(), place.lock():
        place.wipe()
    typer.echo(f"{place.state} is gone. `make run` starts from nothing.")


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """What a person can do something about is one line, not a traceback."""
    try:
        yield
    except LocalStackError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _stop_on_signals() -> None:
    """The first Ctrl-C or SIGTERM unwinds everything from wherever it is; later ones must not cut off the saving."""

    def unwind(_number: int, _frame: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        typer.echo("\nStopping: saving what there is …")
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, unwind)


def _watch(place: Home, running: stack.Stack, expires_at: int) -> None:
    """Keep `stack.json` fresh until told to stop. Raises LocalStackError when the local AWS ends by itself."""
    while running.is_up():
        time.sleep(0.5)
        if expires_at - time.time() < TOKEN_SECONDS_LEFT_MIN:
            expires_at = min(map(people.expires_at, stack.publish(place, running).values()))
    raise LocalStackError(f"The local AWS ended by itself. The end of {place.log}:\n{tail(place.log)}")


def _greeting(running: stack.Stack, tokens: dict[str, str], page_is_there: bool) -> str:
    query = " ".join(demo.FIRST_QUERY.split())
    curl = (
        f"curl -s {shlex.quote(running.graphql_url)} \\\n"
        f"  -H 'Authorization: Bearer {tokens[Role.MEMBER]}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"query": "{query}"}}\''
    )
    page = (
        running.graphiql_url if page_is_there else "needs npm (Node.js) once, to fetch it; all the rest works without"
    )
    return "\n".join(
        [
            "",
            "Regulars is running. Ctrl-C stops it; everything is kept.",
            "",
            f"GraphQL    {running.graphql_url}",
            f"GraphiQL   {page}",
            "",
            "Tokens for an hour (a fresh one: .venv/bin/regulars token member|partner|staff|approver)",
            "",
            f"member, Ada\n{tokens[Role.MEMBER]}\n",
            f"partner, a till\n{tokens[Role.PARTNER]}\n",
            f"staff, Grace, a manager\n{tokens[Role.STAFF]}\n",
            f"approver, Lin, another manager\n{tokens[Role.APPROVER]}\n",
            "A first query, to paste into another terminal:",
            "",
            curl,
            "",
            "or into GraphiQL (where it already stands):" if page_is_there else "or into any GraphQL client:",
            "",
            demo.FIRST_QUERY,
            "",
        ]
    )


app = typer.Typer(help="The local stack of Regulars.", no_args_is_help=True, add_completion=False)
for command in (run, token, reset):
    app.command()(command)

if __name__ == "__main__":
    sys.exit(app())
