"""`regulars campaign`: which campaigns there are, and watching one while it works, through the API."""

import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from handlers.asking import EXIT_INTERRUPTED, EXIT_WRONG, TokenOption, UrlOption, asking, stop
from handlers.client import Client
from handlers.local.commands import HomeOption
from handlers.local.home import TOOLS

POLL_S = 0.5
# The rate is that of so many seconds: chunks are finished one by one.
RATE_S = 15.0

_PROGRESS = "isPlanned planned done applied failed points skips { reason memberCount } chunkCount chunksDone"
_CAMPAIGN = f"""id name code status launchAt launchedAt
  preview {{ isFinished memberCount points liability {{ amountMinor currency }} progress {{ {_PROGRESS} }} }}
  progress {{ {_PROGRESS} }} reversal {{ {_PROGRESS} }}"""
LOOK = f"query Look($id: ID!) {{ campaign(id: $id) {{ {_CAMPAIGN} }} }}"
LIST = """query List($after: String) {
  campaigns(first: 50, after: $after) { nodes { id name code status launchedAt } pageInfo { hasNextPage endCursor } }
}"""
# What a run is called, by where its campaign stands.
_AT_WORK = {"RUNNING": "bonus", "PAUSED": "bonus", "REVERTING": "reversal"}
_AFTERWARDS = {"COMPLETED": "bonus", "CANCELLED": "bonus", "REVERTED": "reversal"}

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The global id of the campaign, as the API gives it.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def campaign() -> None:
    """Campaigns of the stack at --url, or of the one that runs here."""


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="The newest so many.")] = 20,
    url: UrlOption = None,
    token: TokenOption = None,
    home: HomeOption = TOOLS,
) -> None:
    """The campaigns there are, the newest first: id, status, code, name."""
    with asking(url, token, home) as client:
        found: list[dict[str, Any]] = []
        after = None
        while len(found) < limit:
            page = client.ask(LIST, {"after": after})["campaigns"]
            found += page["nodes"]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
    for each in found[:limit]:
        typer.echo(f"{each['id']}  {each['status']:<10} {each['code']}  {each['name']}")


@app.command()
def watch(
    id: IdArgument,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, whenever something has changed; no bar.")
    ] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    home: HomeOption = TOOLS,
) -> None:
    """Watch a campaign until what is going on is over: its preview, the bonus itself, or its reversal.

    Of a cancelled one it waits, some minutes, until it is settled what it gave. The exit code is 0 when every member had their
    turn, 1 when the campaign was cancelled or some members failed, 2 when the stack could not be asked. Ctrl-C stops the
    watching, not the campaign.
    """
    try:
        with asking(url, token, home) as client:
            found, run = _watched(client, id, as_json=as_json)
    except KeyboardInterrupt:
        typer.echo("The campaign goes on by itself.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    progress = _progress(found, run)
    if not as_json:
        typer.echo(_told(found, run))
    if found["status"] == "CANCELLED" or (progress and progress["failed"]):
        raise typer.Exit(EXIT_WRONG)


# --- watching ---------------------------------------------------------------------------------------------------------


def _watched(client: Client, campaign_id: str, *, as_json: bool) -> tuple[dict[str, Any], str]:
    """The campaign when the run is over, and which run it was."""
    console = Console(stderr=True)
    found = _look(client, campaign_id)
    run = _run_of(found)
    told: dict[str, Any] | None = None
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        speed_estimate_period=RATE_S,
        disable=as_json or not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None)
        while True:
            progress = _progress(found, run)
            if progress:
                total = progress["planned"] if progress["isPlanned"] else None
                what = {"PAUSED": "paused", "CANCELLED": "cancelled"}.get(found["status"], run)
                bar.update(task, description=f"{found['name']}: {what}", completed=progress["done"], total=total)
            if as_json and found != told:
                typer.echo(json.dumps({"run": run, "status": found["status"], "progress": progress}))
                told = found
            if _is_over(found, run):
                return found, run
            time.sleep(POLL_S)
            found = _look(client, campaign_id)


def _look(client: Client, campaign_id: str) -> dict[str, Any]:
    found: dict[str, Any] | None = client.ask(LOOK, {"id": campaign_id})["campaign"]
    if found is None:
        stop("There is no such campaign.", EXIT_WRONG)
    return found


def _run_of(found: dict[str, Any]) -> str:
    """What is going on: what works now, else a preview that is not finished, else what was done last."""
    status, preview = found["status"], found["preview"]
    if status in _AT_WORK:
        return _AT_WORK[status]
    # With a cancellation a preview ends unfinished.
    if preview and not preview["isFinished"] and status != "CANCELLED":
        return "preview"
    if status == "SCHEDULED":
        return "bonus"
    return _AFTERWARDS[status] if status in _AFTERWARDS and found["launchedAt"] else "preview"


def _progress(found: dict[str, Any], run: str) -> dict[str, Any] | None:
    if run == "preview":
        return found["preview"]["progress"] if found["preview"] else None
    progress: dict[str, Any] | None = found["progress" if run == "bonus" else "reversal"]
    return progress


def _is_over(found: dict[str, Any], run: str) -> bool:
    if run == "preview":
        # One that nobody has begun is nothing to wait for.
        return not found["preview"] or bool(found["preview"]["isFinished"]) or found["status"] == "CANCELLED"
    if run == "reversal":
        return bool(found["status"] == "REVERTED")
    if found["status"] == "CANCELLED" and found["launchedAt"]:
        # Some minutes later, when its last worker has ended, it is written down what became of everybody.
        progress = found["progress"]
        return bool(progress["isPlanned"] and progress["done"] == progress["planned"])
    return found["status"] not in ("SCHEDULED", "RUNNING", "PAUSED")


class _RateColumn(ProgressColumn):
    """Members a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} members/s" if task.speed else "")


# --- telling ----------------------------------------------------------------------------------------------------------


def _told(found: dict[str, Any], run: str) -> str:
    progress = _progress(found, run)
    name = f"{found['name']} ({found['code']}) is {found['status']}"
    if progress is None:
        return f"{name}. " + ("Nobody has looked at a preview yet." if run == "preview" else "It was never launched.")
    skipped = "".join(f", {each['memberCount']:,} {each['reason']}" for each in progress["skips"])
    counted = f"{progress['applied']:,} applied{skipped}, {progress['failed']:,} failed"
    figures = f"{progress['done']:,} of {progress['planned']:,} members had their turn: {counted}"
    if run == "preview":
        worth = found["preview"]["liability"]
        money = f", worth {worth['amountMinor']:,} minor units of {worth['currency']}" if worth else ""
        return f"{name}. It would give {progress['points']:,} points{money}. {figures}."
    moved = (
        f"{-progress['points']:,} points taken back" if run == "reversal" else f"{progress['points']:,} points given"
    )
    return f"{name}: {moved}. {figures}."
