"""Failures on a deployed stack of this file's own: from a real worker into its queue, and back, by the command."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from domain import agenda, days
from domain.agenda import Round
from handlers.local.stack import Stack
from schema.nodes import from_id
from tests.engines import ROOT
from tests.handlers.api import ENROLL
from tests.stack import Running, graphql, start

# A loaded machine starts a function and passes a message on five times in this time, many times over.
PATIENCE_S = 240
ZONE = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack whose queues no other test looks into."""
    started = start(tmp_path_factory.mktemp("dlq"))
    try:
        started.wait_until_ready()
        yield started
    finally:
        assert started.stop() == 0, started.output


@pytest.fixture
def stack(running: Running) -> Iterator[Stack]:
    """The stack with a queue of turns in which a failed one comes again soon, and empty queues at the end."""
    stack = running.stack
    sqs, queue = stack.client("sqs"), stack.outputs["VisitQueueUrl"]
    # Still longer than a visit: nobody gets what another works on.
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "12"})
    yield stack
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "720"})
    regulars(running, "dlq", "drop", "visit", "--all", "--yes")


def regulars(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGULARS_")}
    return subprocess.run(
        [ROOT / ".venv" / "bin" / "regulars", *arguments, "--home", str(running.home.folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def listed(running: Running, name: str = "visit") -> dict[str, Any]:
    return {each["name"]: each for each in objects(regulars(running, "dlq", "list", "--json"))}[name]


def until(found: Callable[[], Any]) -> Any:
    give_up_at = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.5)
    return value


def account(stack: Stack) -> str:
    name = f"dlq-{uuid4()}"
    wanted = {"idempotencyKey": name, "externalId": name}
    answer = graphql(stack, ENROLL, token=stack.token("partner"), variables={"input": wanted})
    return from_id(answer.json()["data"]["memberEnroll"]["member"]["id"])[1]


def send(stack: Stack, *bodies: str) -> None:
    for body in bodies:
        stack.client("sqs").send_message(QueueUrl=stack.outputs["VisitQueueUrl"], MessageBody=body)


def test_all_queues_of_the_deployed_stack_are_there(running: Running) -> None:
    names = {each["name"] for each in objects(regulars(running, "dlq", "list", "--json"))}

    assert names == {
        name.removesuffix("FailuresUrl").lower() for name in running.stack.outputs if name.endswith("FailuresUrl")
    }
    assert names >= {"visit", "clock", "relay"}


def test_poison_is_kept_at_once_with_its_reason_and_its_neighbours_are_worked_off(
    running: Running, stack: Stack
) -> None:
    good = agenda.Turn((account(stack),), 1, Round.BOOK).text()
    began = time.monotonic()
    send(stack, good, '{"accounts": "everybody"}', good)

    until(lambda: listed(running)["failed"] == 1)
    assert time.monotonic() - began < PATIENCE_S
    (shown,) = objects(regulars(running, "dlq", "show", "visit", "--json"))
    assert shown["body"] == '{"accounts": "everybody"}'
    assert shown["reason"] == "NotATurn: it has not just accounts, day and round"
    assert shown["tries"] == "1"
    assert "VisitorFunction" in shown["function"]
    assert (datetime.now(UTC) - datetime.fromisoformat(shown["firstTriedAt"])).total_seconds() < PATIENCE_S
    until(lambda: listed(running)["waiting"] + listed(running)["inFlight"] == 0)

    # Moved back it fails again, and is there again: nothing is lost, however often somebody tries.
    assert regulars(running, "dlq", "redrive", "visit").stdout == "1 message moved back to the queue of visit.\n"
    until(lambda: listed(running)["failed"] == 1)
    (again,) = objects(regulars(running, "dlq", "show", "visit", "--json"))
    assert (again["body"], again["reason"]) == (shown["body"], shown["reason"])
    assert again["id"] != shown["id"]

    dropped = regulars(running, "dlq", "drop", "visit", "--message", again["id"], "--yes")
    assert [each["body"] for each in objects(dropped)] == [shown["body"]]
    assert listed(running)["failed"] == 0


def test_what_failed_five_times_is_worked_off_when_its_cause_is_gone(running: Running, stack: Stack) -> None:
    """A turn of tomorrow: too early five times, until the clock is turned and it is moved back."""
    now = datetime.fromisoformat(
        graphql(stack, "{ clock { now } }", token=stack.token("staff")).json()["data"]["clock"]["now"]
    )
    turn = agenda.Turn((account(stack),), days.day_of(now, ZONE) + 1, Round.BOOK).text()
    send(stack, turn)

    until(lambda: listed(running)["failed"] == 1)
    (shown,) = objects(regulars(running, "dlq", "show", "visit", "--json"))
    assert shown["reason"].startswith("TooEarly: ")
    assert (shown["tries"], shown["body"]) == ("5", turn)

    turned = regulars(running, "clock", "advance", "1d")
    assert turned.returncode == 0, turned.stderr
    moved = regulars(running, "dlq", "redrive", "visit", "--message", shown["id"])
    assert moved.stdout == "1 message moved back to the queue of visit.\n", moved.stderr
    until(lambda: listed(running)["waiting"] + listed(running)["inFlight"] == 0)
    assert listed(running)["failed"] == 0


def test_what_workers_left_no_reason_for_is_there_too_and_can_be_moved_back(running: Running, stack: Stack) -> None:
    """A visitor that does not get to start, as after a bad deployment: it can say nothing about its messages."""
    functions = stack.client("lambda")
    (function,) = [
        each for each in functions.list_functions()["Functions"] if "VisitorFunction" in each["FunctionName"]
    ]
    name, variables = function["FunctionName"], function["Environment"]["Variables"]
    turn = agenda.Turn((account(stack),), 1, Round.BOOK).text()
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**variables, "REGULARS_SHARDS": "none"}}
    )
    try:
        send(stack, turn)
        until(lambda: listed(running)["failed"] == 1)
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})

    (shown,) = objects(regulars(running, "dlq", "show", "visit", "--json"))
    assert (shown["body"], shown["reason"]) == (turn, None)
    assert "no reason was left: the worker was cut off" in regulars(running, "dlq", "show", "visit").stdout
    assert regulars(running, "dlq", "redrive", "visit").returncode == 0
    until(lambda: listed(running)["waiting"] + listed(running)["inFlight"] == 0)
    assert listed(running)["failed"] == 0


def test_the_relays_failures_name_the_time_to_tell_again(running: Running, stack: Stack) -> None:
    told = regulars(running, "dlq", "redrive", "relay")

    assert (told.returncode, told.stdout) == (2, "")
    assert "regulars events republish --all --from " in told.stderr
