"""`regulars dlq`: what failed in the queues of a stack, why, and what is to become of it."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain import limits
from handlers import aws, reasons
from handlers.failures import NO_REASON, Depth, Failure, Failures, NotDone, TaskNotThere, lanes
from handlers.ledger import EXIT_INTERRUPTED, EXIT_NOT_RUN, EXIT_WRONG
from handlers.local.commands import HomeOption
from handlers.local.home import TOOLS, Home, LocalStackError
from handlers.local.stack import published
from handlers.queue import NotSent

# Stream records are announced again from so long before the first of them came to so long after the last: their own time is
# when they were written, and the stream counts in seconds.
_AROUND = timedelta(minutes=1)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A queue of failures, as `list` calls it: visit.")]
StackOption = Annotated[
    str | None,
    typer.Option(envvar="REGULARS_STACK", help="The stack's name in CloudFormation; else the local stack."),
]
MessageOption = Annotated[
    list[str] | None, typer.Option("--message", metavar="ID", help="This message; may be given again.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def dlq() -> None:
    """The queues of failures of a stack: the one that is named, or the one that runs here."""


@app.command("list")
def list_(as_json: JsonOption = False, stack: StackOption = None, home: HomeOption = TOOLS) -> None:
    """What waits in each queue, what has failed, and for how long that has been lying there."""
    rows = []
    with _reaching():
        for failures in _all(stack, home).values():
            lane, failed = failures.lane, failures.depth()
            source = None if lane.source is None else failures.depth(lane.source)
            looked = failures.look(min(failed.waiting, limits.FAILURES_GLANCED_AT_MAX))
            rows.append((lane.name, source, failed, looked))
    if as_json:
        for name, source, failed, looked in rows:
            _line(
                {
                    "name": name,
                    "waiting": source and source.waiting,
                    "inFlight": source and source.in_flight,
                    "delayed": source and source.delayed,
                    "failed": failed.total,
                    "oldestAt": _instant(looked[0].sent_at) if looked else None,
                }
            )
        return
    typer.echo(f"{'NAME':<12}{'WAITING':>10}{'IN FLIGHT':>12}{'DELAYED':>10}{'FAILED':>10}   OLDEST")
    for name, source, failed, looked in rows:
        counts = ("-", "-", "-") if source is None else (source.waiting, source.in_flight, source.delayed)
        shown = [f"{each:,}" if isinstance(each, int) else each for each in counts]
        typer.echo(
            f"{name:<12}{shown[0]:>10}{shown[1]:>12}{shown[2]:>10}{failed.total:>10,}   {_oldest(failed, looked)}"
        )


@app.command()
def show(
    name: NameArgument,
    limit: Annotated[
        int, typer.Option(min=1, max=limits.FAILURES_LOOKED_AT_MAX, help="How many messages at most.")
    ] = 10,
    as_json: JsonOption = False,
    stack: StackOption = None,
    home: HomeOption = TOOLS,
) -> None:
    """Messages that failed, the oldest first, and why. All of them stay where they are."""
    with _reaching():
        failures = _named(name, stack, home)
        depth = failures.depth()
        looked = failures.look(limits.FAILURES_LOOKED_AT_MAX)
    found = looked[:limit]
    for failure in found:
        if as_json:
            _line(_facts(failure))
        else:
            typer.echo(_told(failure))
    if as_json:
        return
    if not found:
        typer.echo(
            f"Nothing can be seen in {name}."
            + (f" {_many(depth.total)} may be being looked at." if depth.total else "")
        )
    elif depth.total > len(looked):
        typer.echo(
            f"{len(found):,} of about {depth.total:,} messages, the oldest among the {len(looked):,} that were seen."
        )
    elif len(looked) > len(found):
        typer.echo(f"{len(found):,} of {len(looked):,} messages.")


@app.command()
def redrive(
    name: NameArgument,
    message: MessageOption = None,
    rate: Annotated[
        int | None,
        typer.Option(min=1, max=limits.FAILURES_MOVED_A_SECOND_MAX, help="Messages a second at most."),
    ] = None,
    stack: StackOption = None,
    home: HomeOption = TOOLS,
) -> None:
    """Move what failed back to where it came from, all of it or single messages. It is safe at any time, also twice.

    The exit code is 0 when it is moved, 1 when not all of it is, 2 when nothing was done.
    """
    with _reaching():
        failures = _named(name, stack, home)
        if failures.lane.source is None:
            _stop(_publish_again(failures))
        depth = failures.depth()
        newer = hidden = 0
        with _bar(f"moving {name}", len(message) if message else depth.total) as progress:
            if message:
                moved = _moved_named(failures, message, progress)
            else:
                moved, newer = _moved(failures, rate, progress)
                hidden = _hidden(failures, depth, moved + newer)
    typer.echo(f"{_many(moved)} moved back to the queue of {name}.")
    _leave(newer, hidden, name)


@app.command()
def drop(
    name: NameArgument,
    message: MessageOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: StackOption = None,
    home: HomeOption = TOOLS,
) -> None:
    """Delete messages that failed. Each is written to the standard output before, a JSON object a line.

    The exit code is 0 when they are gone, 1 when not all of them are, 2 when nothing was done.
    """
    if bool(message) == everything:
        raise typer.BadParameter("Give one of --message and --all.")
    started = datetime.now(UTC)
    dropped = newer = hidden = 0
    with _reaching():
        failures = _named(name, stack, home)
        if message:
            with _held(failures, message) as found:
                _confirm(len(found), name, yes=yes)
                dropped = _dropped(failures, found)
        else:
            depth = failures.depth()
            if depth.total:
                _confirm(depth.total, name, yes=yes)
                # What was taken in hand while somebody decided.
                depth = failures.depth()
            with _bar(f"dropping {name}", depth.total) as progress:

                def deal(batch: list[Failure]) -> None:
                    nonlocal dropped
                    dropped += _dropped(failures, batch)
                    progress.update(dropped)

                newer = failures.sweep(deal, before=started)
                hidden = _hidden(failures, depth, dropped + newer)
    typer.echo(f"{_many(dropped)} of {name} dropped.", err=True)
    _leave(newer, hidden, name)


# --- which queues -----------------------------------------------------------------------------------------------------


def _all(stack: str | None, home: Any) -> dict[str, Failures]:
    """The queues of failures of the stack that is named, or of the one that runs in `home`. Ends the command when there is
    neither."""
    arguments: dict[str, Any] = {}
    if stack:
        answer = aws.connect("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in answer.get("Outputs", [])}
    else:
        try:
            local = published(Home(home.absolute()))
        except LocalStackError as missing:
            _stop(f"Name the stack (--stack or REGULARS_STACK). {missing}")
        outputs, arguments = local.outputs, local.client_arguments
    found = lanes(outputs)
    if not found:
        _stop(f"{stack or 'The local stack'} has no queue of failures: it is no stack of Regulars.")
    sqs = aws.connect("sqs", **arguments)
    return {name: Failures(sqs, lane) for name, lane in found.items()}


def _named(name: str, stack: str | None, home: Any) -> Failures:
    known = _all(stack, home)
    if name not in known:
        raise typer.BadParameter(f"There is no {name!r} here: {', '.join(known)}.", param_hint="NAME")
    return known[name]


@contextlib.contextmanager
def _held(failures: Failures, ids: Sequence[str]) -> Iterator[list[Failure]]:
    """The messages of these ids. Ends the command when one is not there, before anything is done to the others."""
    with failures.held(limits.FAILURES_LOOKED_AT_MAX, named=ids) as found:
        missing = [each for each in ids if each not in {failure.id for failure in found}]
        if missing:
            looked = f"the first {limits.FAILURES_LOOKED_AT_MAX:,} messages of " if found else ""
            _stop(f"Not seen in {looked}{failures.lane.name}: {', '.join(missing)}. Nothing was done.")
        yield found


# --- moving and dropping ----------------------------------------------------------------------------------------------


def _moved_named(failures: Failures, ids: Sequence[str], progress: "_Progress") -> int:
    with _held(failures, ids) as found:
        failures.move_back(found)
        progress.update(len(found))
        return len(found)


def _moved(failures: Failures, rate: int | None, progress: "_Progress") -> tuple[int, int]:
    """Moves everything, by itself where the engine does that; how many, and how many were left because they are newer."""
    moved = 0
    with contextlib.suppress(TaskNotThere), contextlib.closing(failures.task(rate)) as task:
        for moved, total in task:
            progress.update(moved, total)
        return moved, 0
    start = time.monotonic()
    size = min(rate or limits.MESSAGES_A_CALL_MAX, limits.MESSAGES_A_CALL_MAX)

    def deal(batch: list[Failure]) -> None:
        nonlocal moved
        failures.move_back(batch)
        moved += len(batch)
        progress.update(moved)
        if rate:
            time.sleep(max(0.0, start + moved / rate - time.monotonic()))

    newer = failures.sweep(deal, before=datetime.now(UTC), size=size)
    return moved, newer


def _hidden(failures: Failures, before: Depth, met: int) -> int:
    """About how many messages somebody else has in hand, where `met` were seen by this command: nobody can move or drop them
    meanwhile."""
    # The count lags behind what was done just now, so what is in flight may be what this command had in hand. It is somebody
    # else's where it was in flight before, or where more was there than was met.
    return min(failures.depth().in_flight, max(before.in_flight, before.total - met))


def _leave(newer: int, hidden: int, name: str) -> None:
    """Ends the command when it has left messages: that came while it ran, or that others have in hand."""
    if newer:
        typer.echo(
            f"{_many(newer)} of {name} came after this began, by the clock here, and stayed. Run it again.", err=True
        )
    if hidden:
        typer.echo(
            f"About {_many(hidden)} of {name} could not be seen: somebody is looking at them. Run it again in a minute.",
            err=True,
        )
    if newer or hidden:
        raise typer.Exit(EXIT_WRONG)


def _dropped(failures: Failures, found: Sequence[Failure]) -> int:
    for each in found:
        # First written, then deleted: what is gone can always be read, and sent again.
        _line(_facts(each))
    failures.delete(found)
    return len(found)


def _confirm(count: int, name: str, *, yes: bool) -> None:
    if yes:
        return
    try:
        is_meant = typer.confirm(f"Drop {_many(count)} of {name} for good?", err=True)
    except typer.Abort:
        is_meant = False
    if not is_meant:
        _stop("Nothing was dropped.")


def _publish_again(failures: Failures) -> str:
    """Why this queue cannot be moved back, and what to do instead."""
    depth = failures.depth()
    looked = failures.look(limits.FAILURES_LOOKED_AT_MAX)
    windows = [window for each in looked if (window := _window(each))]
    start = _instant(min(first for first, _ in windows) - _AROUND) if windows else "T"
    end = _instant(max(last for _, last in windows) + _AROUND) if windows else "T"
    ends = []
    if depth.total > len(looked):
        ends.append(
            f"Only {len(looked):,} of about {depth.total:,} could be seen: others may be of another time. Do not drop them all."
        )
    if windows and len(looked) > len(windows):
        ends.append(
            f"{len(looked) - len(windows):,} of them do not say of which time they are: see `show`, and keep those."
        )
    return (
        f"What lies in {failures.lane.name} are no messages, but which records of the ledger were not announced. Tell their time"
        f" again, regulars events republish --all --from {start} --to {end} (in a sandbox whose clock was turned: the program's"
        f" time)" + (". " + " ".join(ends) if ends else ", and then drop them here.")
    )


def _window(failure: Failure) -> tuple[datetime, datetime] | None:
    """The time of records that were given up, where it can be read."""
    try:
        first, last = map(datetime.fromisoformat, failure.window or ())
    except ValueError:
        return None
    return first, last


# --- telling ----------------------------------------------------------------------------------------------------------


def _facts(failure: Failure) -> dict[str, Any]:
    return {
        "id": failure.id,
        "sentAt": _instant(failure.sent_at),
        "received": failure.received,
        "reason": failure.reason,
        **{name: value for name, value in sorted(failure.said.items()) if name != reasons.REASON},
        "body": failure.body,
    }


def _told(failure: Failure) -> str:
    said = failure.said
    came = "failed" if said.get(reasons.REASON) else "came"
    lines = [
        f"{failure.id}  {came} {_instant(failure.sent_at)}, {_age(failure.sent_at)} ago",
        f"  why       {failure.reason or NO_REASON}",
    ]
    if reasons.TRIES in said:
        lines.append(f"  tried     {said[reasons.TRIES]} times since {said.get(reasons.FIRST_TRIED_AT)}")
    lines.append(f"  received  {failure.received} times, looks at it included")
    if reasons.REQUEST in said:
        lines.append(f"  log       request {said[reasons.REQUEST]} of {said.get(reasons.FUNCTION)}")
    try:
        body = json.dumps(json.loads(failure.body), indent=2)
    except ValueError:
        body = failure.body
    lines += ["  body", *(f"    {line}" for line in body.splitlines())]
    # Whoever altered a message may have put anything into it.
    return "\n".join(map(reasons.on_one_line, lines)) + "\n"


def _oldest(failed: Depth, looked: Sequence[Failure]) -> str:
    if not looked:
        return "" if not failed.total else "being looked at"
    return ("at least " if failed.total > len(looked) else "") + _age(looked[0].sent_at)


def _age(since: datetime) -> str:
    minutes = max(0, int((datetime.now(UTC) - since).total_seconds() // 60))
    for unit, size in (("day", 24 * 60), ("hour", 60)):
        if minutes >= 2 * size:
            return f"{minutes // size} {unit}s"
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _many(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"


def _line(value: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(value))


class _Progress:
    """How far a move is, on a terminal."""

    def __init__(self, title: str, total: int) -> None:
        bar = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=bar,
            transient=True,
            disable=not bar.is_terminal,
            # What is dropped goes where it was sent, also when only the bar is on a terminal.
            redirect_stdout=Console().is_terminal,
        )
        self._task = self.bar.add_task(title, total=total)

    def update(self, done: int, total: int | None = None) -> None:
        """That so many are done, of so many."""
        self.bar.update(self._task, completed=done, total=total)


@contextlib.contextmanager
def _bar(title: str, total: int) -> Iterator[_Progress]:
    progress = _Progress(title, total)
    with progress.bar:
        yield progress


# --- ends -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _reaching() -> Iterator[None]:
    """What can be done something about is one line."""
    try:
        yield
    except NotDone as left:
        typer.echo(str(left), err=True)
        raise typer.Exit(EXIT_WRONG) from None
    except NotSent as refused:
        typer.echo(f"The queue did not take everything ({refused}); nothing is lost. Run it again.", err=True)
        raise typer.Exit(EXIT_WRONG) from None
    except ClientError as error:
        told = error.response["Error"]
        _stop(f"The queues cannot be reached. {told['Code']}: {told.get('Message', '')}")
    except BotoCoreError as error:
        _stop(f"The queues cannot be reached. {error}")
    except KeyboardInterrupt:
        typer.echo("Stopped. What was not moved or dropped is where it was.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _stop(message: str) -> NoReturn:
    typer.echo(reasons.on_one_line(message), err=True)
    raise typer.Exit(EXIT_NOT_RUN)
