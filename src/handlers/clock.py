"""`regulars clock`: what time it is for the program, and turning it forward in a sandbox, through the API."""

import contextlib
import time
import uuid
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from domain.refusals import Refusal
from handlers.asking import EXIT_INTERRUPTED, EXIT_WRONG, TokenOption, UrlOption, asking, stop
from handlers.client import Client
from handlers.local.commands import HomeOption
from handlers.local.home import TOOLS
from schema.clock import duration_from

POLL_S = 0.3
# A job that has not moved for so long may have been left behind: asking for it again wakes it.
WAKE_S = 60.0
# A large day takes its minutes, and a run that was killed is followed by another one after six.
PATIENCE_S = 30 * 60.0

_JOB = "id status startAt endAt reachedAt daysTotal daysDone counts { kind count } failure"
SHOW = f"{{ clock {{ now timeZone isSandbox job {{ {_JOB} }} }} }}"
ADVANCE = f"""mutation Advance($input: ClockAdvanceInput!) {{
  clockAdvance(input: $input) {{ job {{ {_JOB} }} replayed userErrors {{ code field message }} }}
}}"""
LOOK = f"query Look($id: ID!) {{ job(id: $id) {{ {_JOB} }} }}"

app = typer.Typer(no_args_is_help=True)


@app.callback()
def clock() -> None:
    """The program's clock, of the stack at --url or of the one that runs here."""


@app.command()
def show(url: UrlOption = None, token: TokenOption = None, home: HomeOption = TOOLS) -> None:
    """What time it is for the program, and who is turning it."""
    with asking(url, token, home) as client:
        found = client.ask(SHOW, {})["clock"]
    typer.echo(f"The program's clock shows {_both(found['now'], found['timeZone'])}.")
    if not found["isSandbox"]:
        typer.echo("It is the clock on the wall: this stack is not a sandbox.")
    elif found["job"]:
        typer.echo(_told(found["job"]))


@app.command()
def advance(
    duration: Annotated[
        str | None, typer.Argument(help="How far, such as 31d, 2w, 12h, 1y6m, or any duration of ISO 8601 (P31D).")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="WHEN", help="Or up to when: 2027-01-31, or 2027-01-31T09:00; in the program's own time."
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The idempotency key, to go on waiting for a turn that was begun with it.")
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
    home: HomeOption = TOOLS,
) -> None:
    """Turn the clock of a sandbox forward, and wait until everything that was due meanwhile is done.

    The exit code is 0 when it is done, 1 when it was refused or failed, 2 when the stack could not be asked. Ctrl-C stops the
    waiting, not the clock.
    """
    if (duration is None) is (to is None):
        raise typer.BadParameter("Give a duration, such as 31d, or --to.")
    key = key or str(uuid.uuid4())
    try:
        with asking(url, token, home) as client:
            how_far = {"by": _iso(duration)} if duration else {"to": _instant(to or "", client)}
            asked = {"input": {"idempotencyKey": key, "advance": how_far}}
            job = _waited(client, asked)
            zone = client.ask(SHOW, {})["clock"]["timeZone"]
    except KeyboardInterrupt:
        typer.echo(
            f"The clock goes on by itself. To wait for it again, give the same duration and --key {key}", err=True
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    typer.echo(_told(job))
    typer.echo(f"The program's clock shows {_both(job['endAt'], zone)}.")
    raise typer.Exit(0 if job["status"] == "DONE" else EXIT_WRONG)


# --- asking -----------------------------------------------------------------------------------------------------------


def _waited(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    """The job when it is over, with a bar meanwhile on a terminal."""
    job = _begun(client, asked)
    bar = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=bar,
        transient=True,
        disable=not bar.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)
        moved_at = woken_at = time.monotonic()
        while True:
            progress.update(
                task,
                description=job["reachedAt"][:10],
                completed=job["daysDone"],
                total=max(job["daysTotal"], 1),
            )
            if job["status"] in ("DONE", "FAILED"):
                return job
            time.sleep(POLL_S)
            before, now = job, time.monotonic()
            job = client.ask(LOOK, {"id": job["id"]})["job"]
            if job != before:
                moved_at = woken_at = now
            elif now - moved_at > PATIENCE_S:
                stop("The job does not go on. The log of the clockwork function says why.", EXIT_WRONG)
            elif now - woken_at > WAKE_S:
                job, woken_at = _begun(client, asked), now


def _begun(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    payload = client.ask(ADVANCE, asked)["clockAdvance"]
    for error in payload["userErrors"]:
        stop(f"{error['message']} ({error['code']})", EXIT_WRONG)
    job: dict[str, Any] = payload["job"]
    return job


# --- how far ----------------------------------------------------------------------------------------------------------


def _iso(text: str) -> str:
    """The duration as ISO 8601 has it. What people type is that without its P, or, where it is of hours and less, without PT."""
    typed = text.strip().upper()
    for spelled in (typed, f"P{typed}", f"PT{typed}"):
        with contextlib.suppress(Refusal):
            duration_from(spelled)
            return spelled
    raise typer.BadParameter(f"{text!r} is no duration: 31d, 2w, 12h, 1y6m, P31D, PT90M (a bare m is months).")


def _instant(text: str, client: Client) -> str:
    """An instant; a day alone is its beginning, and what names no offset is in the program's own time."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            "Give a day such as 2027-01-31, or a time such as 2027-01-31T09:00.", param_hint="--to"
        ) from None
    if read.tzinfo is None:
        read = read.replace(tzinfo=ZoneInfo(client.ask(SHOW, {})["clock"]["timeZone"]))
    return read.isoformat()


# --- telling ----------------------------------------------------------------------------------------------------------


def _both(instant: str, zone: str) -> str:
    local = datetime.fromisoformat(instant).astimezone(ZoneInfo(zone))
    return f"{instant} ({local:%Y-%m-%d %H:%M} in {zone})"


def _told(job: dict[str, Any]) -> str:
    done = ", ".join(f"{each['count']:,} {each['kind']}" for each in job["counts"]) or "nothing was due"
    passed = f"{job['daysDone']:,} of {job['daysTotal']:,} days have passed: {done}."
    match job["status"]:
        case "DONE":
            return f"{job['daysTotal']:,} {'day has' if job['daysTotal'] == 1 else 'days have'} passed: {done}."
        case "FAILED":
            return f"{passed} It failed at {job['reachedAt']}: {job['failure']}"
    return f"{passed} It is going on."
