import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest

from tests.engines import ROOT, Engine, create_table, make, missing_for_dynamodb_local, unavailable


def test_a_table_has_the_keys_and_the_ttl_of_the_template(engine: Engine) -> None:
    client = boto3.client("dynamodb", **engine.client_kwargs)
    name = f"table-{uuid4()}"

    create_table(client, name)

    table = client.describe_table(TableName=name)["Table"]
    assert table["KeySchema"] == [
        {"AttributeName": "PK", "KeyType": "HASH"},
        {"AttributeName": "SK", "KeyType": "RANGE"},
    ]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert "GlobalSecondaryIndexes" not in table
    assert client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["AttributeName"] == "ttl"


def test_an_engine_is_reached_by_the_variables_that_aws_clients_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"table-{uuid4()}"
    create_table(boto3.client("dynamodb", **engine.client_kwargs), name)
    for variable, value in engine.environment.items():
        monkeypatch.setenv(variable, value)

    # By its name: an engine that is shared by many tests has more tables than one page lists.
    assert boto3.Session().client("dynamodb").describe_table(TableName=name)["Table"]["TableName"] == name


def test_an_engine_listens_on_loopback_only(engine: Engine) -> None:
    # All of 127.0.0.0/8 is this machine: who listens on every address listens on 127.0.0.2 too.
    port = urlsplit(engine.endpoint_url).port

    with socket.socket() as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.2", port)) != 0


def test_accounts_of_ministack_do_not_see_each_other(ministack: Engine) -> None:
    name = f"table-{uuid4()}"
    create_table(boto3.client("dynamodb", **ministack.client_kwargs), name)

    stranger = boto3.client("dynamodb", **{**ministack.client_kwargs, "aws_access_key_id": "999999999999"})

    assert stranger.list_tables()["TableNames"] == []


def test_an_engine_does_not_outlive_a_killed_test_run() -> None:
    script = """
import time
from tests.engines import run_ministack
with run_ministack() as engine:
    print(engine.endpoint_url, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        port = urlsplit(run.stdout.readline().strip()).port
        run.kill()

    give_up_at = time.monotonic() + 10
    listening = True
    while listening and time.monotonic() < give_up_at:
        with socket.socket() as probe:
            listening = probe.connect_ex(("127.0.0.1", port)) == 0
        time.sleep(0.05)
    assert not listening


@pytest.mark.parametrize(("command", "status"), [("exit 3", 3), ("kill -9 $$", 128 + 9)])
def test_a_command_on_the_leash_hands_on_its_status(command: str, status: int) -> None:
    leashed = [sys.executable, "-IS", str(ROOT / "tests" / "leash.py"), "sh", "-c", command]

    with subprocess.Popen(leashed, stdin=subprocess.PIPE) as process:
        # communicate() would close standard input, and with it let go of the leash.
        assert process.wait(timeout=10) == status


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool in ("java", "javac") else f"/bin/{tool}")

    assert missing_for_dynamodb_local() == (
        "DynamoDB Local needs a JDK 17 or newer (java, javac) and npm; not found: java, javac."
    )


def test_an_old_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for tool, answer in {"java": "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2", "javac": ":", "npm": ":"}.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    assert (
        missing_for_dynamodb_local()
        == 'DynamoDB Local needs Java 17 or newer; found: openjdk version "11.0.2" 2019-01-15.'
    )


def test_a_missing_engine_is_a_skip_for_a_developer_and_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="No Java here"):
        unavailable("No Java here.")

    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="No Java here"):
        unavailable("No Java here.")


def test_an_engine_that_cannot_be_set_up_shows_why() -> None:
    with pytest.raises(AssertionError, match="No rule to make target 'no-such-engine'"):
        make("no-such-engine")
