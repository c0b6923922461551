"""What commands that ask the API have in common: which stack they ask, with whose token, and how they end."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from handlers.client import Client, Rejected, Unanswered
from handlers.local.home import Home, LocalStackError
from handlers.local.people import Role
from handlers.local.stack import published

EXIT_WRONG = 1
EXIT_NOT_RUN = 2
EXIT_INTERRUPTED = 130

UrlOption = Annotated[
    str | None, typer.Option(envvar="REGULARS_URL", help="The GraphQL address of a stack; else the local stack's.")
]
TokenOption = Annotated[
    str | None, typer.Option(envvar="REGULARS_TOKEN", help="A manager's access token, with --url.", show_default=False)
]


@contextlib.contextmanager
def asking(url: str | None, token: str | None, home: Path) -> Iterator[Client]:
    """A client of the stack at `url`, or of the one that runs in `home`, as a manager. Ends the command where it cannot be
    asked."""
    if url and not token:
        raise typer.BadParameter("--url needs --token.")
    try:
        if url:
            client = Client(url, token=lambda: token or "")
        else:
            stack = published(Home(home.absolute()))
            client = Client(stack.graphql_url, token=lambda: stack.token(Role.STAFF))
        try:
            yield client
        finally:
            client.close()
    except LocalStackError as missing:
        stop(f"Name the stack (--url and --token). {missing}", EXIT_NOT_RUN)
    except (Unanswered, Rejected) as error:
        stop(str(error), EXIT_NOT_RUN)


def stop(message: str, code: int) -> NoReturn:
    """Ends the command with a sentence on the standard error."""
    typer.echo(message, err=True)
    raise typer.Exit(code)
