import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate
from typer.testing import CliRunner

from handlers.replay import auditor, commands, run, sending
from tests.replay.conftest import TIMEZONE
from tests.replay.tiny_program import Elsewhere, TinyProgram

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    terms = tmp_path / "program.yaml"
    terms.write_text(f"timezone: {TIMEZONE}\n")
    return {"program_file": terms, "kept": tmp_path / "replay"}


def replay(
    stack: run.Stack, files: dict[str, Path], *, households: int = 3, again: bool = False, audit_only: bool = False
) -> int:
    return run.completejourney(stack, households=households, concurrency=4, again=again, audit_only=audit_only, **files)


def figure(output: str, name: str) -> str:
    found = re.findall(rf"^ *{re.escape(name)} +(.+?) *$", output, re.MULTILINE)
    assert len(found) == 1, output
    return str(found[0])


def test_sends_audits_and_sums_up(
    files: dict[str, Path], program: TinyProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(program, files) == 0

    output = capsys.readouterr().out
    assert figure(output, "households") == "3"
    assert figure(output, "baskets") == f"{len(program.recorded):,}"
    assert figure(output, "points") == f"{sum(program.balances().values()):,}"
    assert figure(output, "lines") == f"{sum(len(purchase['lines']) for purchase in program.purchases):,}"
    assert figure(output, "- sent now").endswith(", 0 of them known already")
    assert figure(output, "refused") == figure(output, "differences") == "0"


def test_a_second_run_sends_everything_again_and_changes_nothing(
    files: dict[str, Path], program: TinyProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    replay(program, files)
    balances, sent = program.balances(), sorted(request.body for request in program.requests if request.is_purchase)
    program.requests.clear()
    capsys.readouterr()

    assert replay(program, files) == 0

    assert program.balances() == balances
    assert sorted(request.body for request in program.requests if request.is_purchase) == sent
    assert figure(capsys.readouterr().out, "- sent now") == f"{len(sent)}, {len(sent)} of them known already"


def test_a_longer_run_keeps_the_shift(files: dict[str, Path], program: TinyProgram) -> None:
    assert replay(program, files, households=1) == 0
    assert replay(program, files, households=3) == 0

    assert len(program.members) == 3


def test_a_difference_is_shown_and_ends_with_1(
    files: dict[str, Path], program: TinyProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    replay(program, files)
    program.members["household-630"][0]["points"] += 1
    capsys.readouterr()

    assert replay(program, files, audit_only=True) == 1

    output = capsys.readouterr().out
    assert re.search(r"630.+balance", output)
    assert figure(output, "differences") == "3"  # the balance, the bucket of that month, and the entry itself


def test_a_refusal_names_the_basket_and_ends_with_1(
    files: dict[str, Path], program: TinyProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    program.refusal = lambda given: "INVALID_QUANTITY" if given["externalId"] == "34749153595" else None

    assert replay(program, files) == 1

    assert "household 630, basket 34749153595: INVALID_QUANTITY" in capsys.readouterr().out


def test_again_ignores_what_an_unfinished_run_has_sent(files: dict[str, Path], program: TinyProgram) -> None:
    program.refusal = lambda given: "INVALID_QUANTITY" if given["externalId"] == "34749153595" else None
    replay(program, files)
    program.requests.clear()

    replay(program, files)
    assert len(program.purchases) == 1
    replay(program, files, again=True)
    assert len(program.purchases) == 1 + len(program.recorded) + 1


def test_nothing_is_audited_when_the_program_refuses_everything(
    files: dict[str, Path], program: TinyProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    program.refusal = lambda _: "CURRENCY_NOT_ACCEPTED"

    assert replay(program, files) == 1

    assert "nothing was audited" in capsys.readouterr().out


def test_the_till_sends_and_the_manager_audits(files: dict[str, Path], program: TinyProgram) -> None:
    replay(program, files)

    roles = {request.authorization.split("-")[0] for request in program.requests if request.input}
    assert roles == {"Bearer partner"}
    assert {request.authorization.split("-")[0] for request in program.requests if not request.input} == {
        "Bearer staff"
    }


def test_says_to_start_the_stack_when_there_is_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(commands.app, ["completejourney", "--home", str(tmp_path)])

    assert result.exit_code == 1
    assert result.output == "Regulars is not running here. Start it: make run\n"


def test_says_to_start_the_stack_when_it_is_dead(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(Elsewhere("http://127.0.0.1:9/graphql"), files) == 1

    output = capsys.readouterr().out
    assert output == "The stack does not answer at http://127.0.0.1:9/graphql (ConnectError). Start it: make run\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_killed_resumes(how: signal.Signals, files: dict[str, Path], program: TinyProgram) -> None:
    program.token_valid = "fixed"  # for another process there is only this one
    script = (
        "import signal, sys; from pathlib import Path; from handlers.replay import run\n"
        # Whoever was started in the background ignores it, and so does whatever they start.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tests.replay.tiny_program import Elsewhere\n"
        "terms, kept = map(Path, sys.argv[2:])\n"
        "sys.exit(run.completejourney(Elsewhere(sys.argv[1]), households=3, concurrency=2, again=False,"
        " audit_only=False, program_file=terms, kept=kept))"
    )
    command = [sys.executable, "-c", script, program.graphql_url, str(files["program_file"]), str(files["kept"])]

    def dawdle(_request: int) -> None:
        """There is work left when the signal comes, however late that is noticed here."""
        if len(program.recorded) >= 20:
            time.sleep(0.2)

    program.status = dawdle
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as killed:
        deadline = time.monotonic() + 60
        while len(program.recorded) < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        killed.send_signal(how)
        output = killed.communicate(timeout=60)[0]
    program.status = lambda _: None
    time.sleep(1)  # what two connections had on their way arrives
    before = len(program.recorded)
    assert before >= 20
    if how is signal.SIGINT:
        assert killed.returncode == run.EXIT_INTERRUPTED
        assert "Interrupted. The same command resumes here." in output
    program.requests.clear()

    resumed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert figure(resumed.stdout, "differences") == "0"
    earlier = int(figure(resumed.stdout, "- sent by an interrupted run"))
    # A kill can lose the acknowledgement of the basket each of the two connections was at.
    assert before - 2 <= earlier <= before
    assert len(program.purchases) == len(program.recorded) - earlier


@pytest.mark.parametrize("document", [sending.ENROLL, sending.RECORD, auditor.MEMBER, auditor.ENTRIES])
def test_the_documents_fit_the_committed_schema(document: str) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())

    assert validate(schema, parse(document)) == []
