"""`regulars list upload`: a file of members becomes a list, through the API."""

import time
import uuid
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from domain import limits
from handlers.asking import EXIT_INTERRUPTED, EXIT_NOT_RUN, EXIT_WRONG, TokenOption, UrlOption, asking, stop
from handlers.client import Client
from handlers.local.commands import HomeOption
from handlers.local.home import TOOLS

POLL_S = 0.5
# An import that has not ended for so long may have been left behind: asking for it again wakes it.
WAKE_S = 60.0
# The largest file takes its ten minutes; one that was given up is said so after an hour.
PATIENCE_S = 2 * 3_600.0
# A put that is cut off is made again, whole.
UPLOADS_MAX = 3
_CHUNK_BYTES = 64 * 1024

# What a line that added nobody is: the count of such lines, and what the API calls one.
_FLAWS = {"unknown": "UNKNOWN", "malformed": "MALFORMED", "duplicate": "DUPLICATE", "closed": "CLOSED"}
_COUNTS = " ".join(f"{name}Count" for name in ("line", "member", *_FLAWS, "merged"))
_LIST = f"id status uploadUrl {_COUNTS} failure"
CREATE = f"""mutation Create($input: MemberListCreateInput!) {{
  memberListCreate(input: $input) {{ memberList {{ {_LIST} }} userErrors {{ code field message }} }}
}}"""
IMPORT = f"""mutation Import($input: MemberListImportInput!) {{
  memberListImport(input: $input) {{ memberList {{ {_LIST} }} userErrors {{ code field message }} }}
}}"""
LOOK = f"query Look($id: ID!) {{ memberList(id: $id) {{ {_LIST} examples {{ kind line }} }} }}"


class By(StrEnum):
    """What a file names members by, as people type it."""

    EXTERNAL_ID = "external-id"
    EMAIL = "email"
    PHONE = "phone"
    CARD_NUMBER = "card-number"
    MEMBER_ID = "member-id"


app = typer.Typer(no_args_is_help=True)


@app.callback()
def lists() -> None:
    """Lists of members, for the audiences of campaigns."""


@app.command()
def upload(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="One member a line; of a CSV file the first column.")
    ],
    by: Annotated[By, typer.Option(help="What the lines name members by.")],
    name: Annotated[str | None, typer.Option(help="What staff call the list; else the file's name.")] = None,
    url: UrlOption = None,
    token: TokenOption = None,
    home: HomeOption = TOOLS,
) -> None:
    """Make a list of the members in FILE, and wait until it is ready.

    The exit code is 0 when it is ready, 1 when it was refused or failed, 2 when the stack could not be asked. Ctrl-C stops the
    waiting, not the import.
    """
    with asking(url, token, home) as client:
        wanted = {"idempotencyKey": str(uuid.uuid4()), "name": file.name if name is None else name, "by": by.name}
        made = _done(client, CREATE, wanted)
        _put(file, made["uploadUrl"])
        # Whoever goes on with it by hand can say the same.
        asked = {"idempotencyKey": f"import {made['id']}", "id": made["id"]}
        try:
            found = _waited(client, asked)
        except KeyboardInterrupt:
            typer.echo(f"The import goes on by itself. The list is {made['id']}.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
    if found["status"] == "FAILED":
        stop(f"The file could not be imported: {found['failure']}. The list is {found['id']}.", EXIT_WRONG)
    typer.echo(_told(found))


# --- asking -----------------------------------------------------------------------------------------------------------


def _done(client: Client, document: str, wanted: dict[str, Any]) -> dict[str, Any]:
    (payload,) = client.ask(document, {"input": wanted}).values()
    for error in payload["userErrors"]:
        stop(f"{error['message']} ({error['code']})", EXIT_WRONG)
    found: dict[str, Any] = payload["memberList"]
    return found


def _put(file: Path, url: str) -> None:
    """Sends the file, with a bar meanwhile on a terminal."""
    bar = Console(stderr=True)
    size = file.stat().st_size
    if size > limits.LIST_BYTES_MAX:
        stop(f"{file} has {size:,} bytes; a list's file has {limits.LIST_BYTES_MAX:,} at most.", EXIT_WRONG)
    with Progress(
        TextColumn("sending"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=bar,
        transient=True,
        disable=not bar.is_terminal,
    ) as progress:
        for attempt in range(1, UPLOADS_MAX + 1):
            task = progress.add_task("", total=size)

            def content(task: Any = task) -> Iterator[bytes]:
                with file.open("rb") as opened:
                    while chunk := opened.read(_CHUNK_BYTES):
                        yield chunk
                        progress.advance(task, len(chunk))

            try:
                # Its length said beforehand: S3 takes no file in chunks of unknown number.
                answer = httpx.put(
                    url, content=content(), headers={"content-length": str(size)}, timeout=60, trust_env=False
                )
            except httpx.TransportError as error:
                progress.remove_task(task)
                if attempt == UPLOADS_MAX:
                    stop(f"The file could not be sent: {error}.", EXIT_NOT_RUN)
                continue
            if not answer.is_success:
                stop(f"The file was not taken: HTTP {answer.status_code}: {answer.text[:200]}", EXIT_NOT_RUN)
            return


def _waited(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    """The list when its import is over."""
    found = _done(client, IMPORT, asked)
    bar = Console(stderr=True)
    with Progress(
        TextColumn("importing"),
        BarColumn(),
        TimeElapsedColumn(),
        console=bar,
        transient=True,
        disable=not bar.is_terminal,
    ) as progress:
        # How long it takes is not known before it is over.
        progress.add_task("", total=None)
        started = woken_at = time.monotonic()
        while True:
            found = dict(client.ask(LOOK, {"id": found["id"]})["memberList"])
            if found["status"] in ("READY", "FAILED"):
                return found
            time.sleep(POLL_S)
            now = time.monotonic()
            if now - started > PATIENCE_S:
                stop("The import does not end. The log of the campaigner says why.", EXIT_WRONG)
            if now - woken_at > WAKE_S:
                woken_at = now
                _done(client, IMPORT, asked)


def _told(found: dict[str, Any]) -> str:
    members, lines = found["memberCount"], found["lineCount"]
    told = [f"{_many(members, 'member')} of {_many(lines, 'line')} {'is' if members == 1 else 'are'} on the list."]
    for name, kind in _FLAWS.items():
        count = found[f"{name}Count"]
        known = [f"{each['line']:,}" for each in found["examples"] if each["kind"] == kind][:5]
        if count:
            where = f"line{'' if len(known) == 1 else 's'} {', '.join(known)}{' …' if count > len(known) else ''}"
            told.append(f"  {count:>9,} {name:<10} {where}")
    if found["mergedCount"]:
        told.append(f"  {found['mergedCount']:>9,} merged     the account that each lives on in is meant")
    return "\n".join([*told, f"The list is {found['id']}."])


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
