"""The `regulars` command."""

from pathlib import Path
from typing import Annotated

import typer

from domain.clock import NotASandbox
from domain.refusals import Refusal
from handlers import clock, dlq, events, ledger, program, runtime, seed, uploading, watching
from handlers.local import commands as local
from handlers.replay import commands as replay

app = typer.Typer(help="Loyalty points you can stake money on.", no_args_is_help=True, add_completion=False)
app.command("run")(local.run)
app.command("reset")(local.reset)
app.command("token")(local.token)
app.command("seed")(seed.seed)
app.add_typer(replay.app, name="replay")
app.add_typer(ledger.app, name="ledger")
app.add_typer(events.app, name="events")
app.add_typer(clock.app, name="clock")
app.add_typer(watching.app, name="campaign")
app.add_typer(uploading.app, name="list")
app.add_typer(dlq.app, name="dlq")

program_app = typer.Typer(help="The program as code.", no_args_is_help=True)
app.add_typer(program_app, name="program")


@program_app.command("publish")
def program_publish(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A program file, such as demo/coffee-chain.yaml.")
    ],
    table: Annotated[str, typer.Option(envvar="REGULARS_TABLE", help="The stack's table.")],
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox", help="The stack is one to try things on, whose clock may be turned: first version only."
        ),
    ] = False,
) -> None:
    """Make the program in FILE the one in force, with the AWS credentials and region of the environment."""
    try:
        connection = runtime.connect()
        published = program.publish(file, table=table, connection=connection, sandbox=sandbox)
    except NotASandbox as refusal:
        raise typer.BadParameter(refusal.message, param_hint="--sandbox") from refusal
    except Refusal as refusal:
        raise typer.BadParameter(refusal.message, param_hint="FILE") from refusal
    for warning in program.warnings(published, table=table, connection=connection):
        typer.echo(f"Warning: {warning}", err=True)
    typer.echo(f"{published.name}: version {published.version} is in force.")
