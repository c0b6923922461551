"""Schedules, queues and the clock on a deployed stack of this file's own: real schedules and queues, over HTTP."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import yaml
from pynamodb.connection import Connection

from domain import agenda, days
from domain.agenda import Round
from handlers import program
from handlers.local.demo import PROGRAM
from handlers.local.stack import Stack
from schema.nodes import from_id
from tests.stack import graphql, start

# A loaded machine starts a function and passes a message on in this time, many times over.
PATIENCE_S = 200
ZONE = ZoneInfo("America/New_York")

CLOCK = "{ clock { now timeZone isSandbox job { status daysDone counts { kind count } } } }"
ADVANCE = """mutation ($i: ClockAdvanceInput!) { clockAdvance(input: $i) {
  job { id status } replayed userErrors { code message } } }"""
JOB = "query ($id: ID!) { job(id: $id) { status daysTotal daysDone counts { kind count } failure } }"
ENROLL = "mutation ($i: MemberEnrollInput!) { memberEnroll(input: $i) { member { id } userErrors { code } } }"
PURCHASE = "mutation ($i: PurchaseRecordInput!) { purchaseRecord(input: $i) { entry { points } userErrors { code } } }"
HISTORY = """query ($by: MemberByInput!) { member(by: $by) { account { balance }
  entries { edges { node { __typename at points } } } } }"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo's stack, with points that live ten days, and without all that members are given and told."""
    home = tmp_path_factory.mktemp("jobs")
    started = start(home)
    try:
        stack = started.wait_until_ready()
        file = home / "program.yaml"
        document = yaml.safe_load(PROGRAM.read_text(encoding="utf-8"))
        for name in ("tiers", "moments", "notices"):
            document.pop(name, None)
        document["expiry"] = {"months": 0, "days": 10, "rounding": "day"}
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        program.publish(file, table=stack.table, connection=connection(stack))
        # Every environment looks for a new program within half a minute.
        time.sleep(31)
        yield stack
    finally:
        assert started.stop() == 0, started.output


def connection(stack: Stack) -> Connection:
    return Connection(
        region=stack.region,
        host=stack.endpoint_url,
        aws_access_key_id=stack.access_key,
        aws_secret_access_key=stack.secret_key,
    )


def ask(stack: Stack, role: str, query: str, **variables: Any) -> Any:
    response = graphql(stack, query, token=stack.token(role), variables=variables)
    assert response.status_code == 200, response.text
    assert "errors" not in response.json(), response.text
    return response.json()["data"]


def until(found: Callable[[], Any]) -> Any:
    give_up_at = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.2)
    return value


def member(stack: Stack, name: str) -> None:
    enrolled = ask(stack, "partner", ENROLL, i={"idempotencyKey": name, "externalId": name})
    assert enrolled["memberEnroll"]["userErrors"] == []
    receipt = {
        "source": "pos",
        "externalId": name,
        "member": {"externalId": name},
        "total": {"amountMinor": 5_000, "currency": "USD"},
        "location": "harbor",
    }
    bought = ask(stack, "partner", PURCHASE, i=receipt)["purchaseRecord"]
    assert (bought["entry"], bought["userErrors"]) == ({"points": 50}, [])


def history(stack: Stack, name: str) -> list[str]:
    """The kinds of a member's entries, newest first."""
    found = ask(stack, "staff", HISTORY, by={"externalId": name})["member"]["entries"]["edges"]
    return [edge["node"]["__typename"] for edge in found]


def account(stack: Stack, name: str) -> str:
    found = ask(stack, "staff", "query ($by: MemberByInput!) { member(by: $by) { id } }", by={"externalId": name})
    return from_id(found["member"]["id"])[1]


def records(stack: Stack, name: str) -> int:
    """How many records the account has on the table: a history also shows what nobody has booked yet."""
    query = {":p": {"S": f"M#{account(stack, name)}"}, ":e": {"S": "E#"}}
    answer = stack.client("dynamodb").query(
        TableName=stack.table,
        KeyConditionExpression="PK = :p AND begins_with(SK, :e)",
        ExpressionAttributeValues=query,
        Select="COUNT",
    )
    return int(answer["Count"])


def clock(stack: Stack) -> dict[str, Any]:
    shown: dict[str, Any] = ask(stack, "staff", CLOCK)["clock"]
    return shown


def now(stack: Stack) -> datetime:
    return datetime.fromisoformat(clock(stack)["now"])


def advanced(stack: Stack, **how_far: Any) -> dict[str, Any]:
    """Turns the clock over HTTP; the job when it is over."""
    payload = ask(stack, "staff", ADVANCE, i={"idempotencyKey": str(uuid4()), "advance": how_far})["clockAdvance"]
    assert payload["userErrors"] == []

    def over() -> dict[str, Any] | None:
        job: dict[str, Any] = ask(stack, "staff", JOB, id=payload["job"]["id"])["job"]
        return job if job["status"] in ("DONE", "FAILED") else None

    job: dict[str, Any] = until(over)
    return job


def scheduled_now(stack: Stack) -> str:
    """A schedule like the template's own, of the same planner under the same role, that is due in a moment."""
    name = f"now-{uuid4()}"
    stack.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=f"at({datetime.now(UTC) + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": stack.outputs["PlannerFunctionArn"],
            "RoleArn": stack.outputs["PlannerScheduleRoleArn"],
            "Input": json.dumps({"whatever": "the schedule says"}),
        },
    )
    return name


def mark(stack: Stack, round_: str) -> int | None:
    key = {"PK": {"S": "CFG"}, "SK": {"S": f"JOB#{round_}"}}
    found = stack.client("dynamodb").get_item(TableName=stack.table, Key=key, ConsistentRead=True).get("Item")
    return int(found["d"]["N"]) if found else None


def waiting(stack: Stack, queue: str) -> int:
    attributes = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.outputs[queue],
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return sum(map(int, attributes.values()))


# --- the schedule -------------------------------------------------------------------------------------------------------


def test_the_stack_has_the_schedules_of_the_template(stack: Stack) -> None:
    """The planner's hour, and the minute in which somebody looks after campaigns."""
    schedules = stack.client("scheduler")
    found = {}
    for each in schedules.list_schedules()["Schedules"]:
        if not each["Name"].startswith("now-"):
            schedule = schedules.get_schedule(Name=each["Name"], GroupName=each["GroupName"])
            assert schedule["State"] == "ENABLED"
            found[schedule["Target"]["Arn"].rpartition(":")[2]] = schedule["ScheduleExpression"]

    planner = stack.outputs["PlannerFunctionArn"].rpartition(":")[2]
    assert found == {planner: "rate(1 hour)", stack.outputs["CampaignFunctionName"]: "rate(1 minute)"}


def test_a_schedule_starts_the_planner_which_plans_the_programs_today(stack: Stack) -> None:
    scheduled_now(stack)

    planned = until(lambda: mark(stack, "book"))

    assert planned == days.day_of(now(stack), ZONE)


def test_points_that_expire_are_booked_by_a_visitor_that_schedule_planner_and_queue_have_sent(stack: Stack) -> None:
    """The clock is turned over HTTP to seconds before the end of their last day; the rest is time and the schedules."""
    member(stack, "sleeper")
    ends = days.end_of(days.day_of(now(stack), ZONE) + 10, ZONE)
    job = advanced(stack, to=(ends - timedelta(seconds=4)).isoformat())
    assert (job["status"], job["daysDone"]) == ("DONE", 10)
    assert "EXPIRY" not in {each["kind"] for each in job["counts"]}
    assert records(stack, "sleeper") == 2
    until(lambda: now(stack) > ends)

    scheduled_now(stack)

    until(lambda: records(stack, "sleeper") == 3)
    assert history(stack, "sleeper")[:2] == ["ExpiryEntry", "PurchaseEntry"]
    assert mark(stack, "book") == days.day_of(ends, ZONE)
    until(lambda: waiting(stack, "VisitQueueUrl") == 0)
    assert waiting(stack, "VisitFailuresUrl") == 0

    # Again, and again: nothing more is booked.
    before = records(stack, "sleeper")
    for _ in range(2):
        scheduled_now(stack)
    time.sleep(5)
    assert records(stack, "sleeper") == before


# --- the queue ----------------------------------------------------------------------------------------------------------


def test_an_altered_message_goes_to_the_queue_of_failures_and_its_neighbours_are_visited(stack: Stack) -> None:
    sqs = stack.client("sqs")
    queue = stack.outputs["VisitQueueUrl"]
    member(stack, "neighbour")
    ends = days.end_of(days.day_of(now(stack), ZONE) + 10, ZONE)
    advanced(stack, to=(ends - timedelta(seconds=4)).isoformat())
    until(lambda: now(stack) > ends)
    turn = agenda.Turn((account(stack, "neighbour"),), days.day_of(now(stack), ZONE), Round.BOOK)
    nobody = agenda.Turn(("01JNOBODY00000000000000000",), days.day_of(now(stack), ZONE), Round.BOOK)
    # Or the five deliveries would take an hour. Still longer than a visit: nobody gets what another works on.
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "8"})
    try:
        bodies = [turn.text().replace('"day"', '"Day"'), turn.text(), nobody.text()]
        entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
        assert not sqs.send_message_batch(QueueUrl=queue, Entries=entries).get("Failed")

        until(lambda: records(stack, "neighbour") == 3)
        until(lambda: waiting(stack, "VisitFailuresUrl") == 1)
        until(lambda: waiting(stack, "VisitQueueUrl") == 0)
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "720"})

    (failed,) = sqs.receive_message(QueueUrl=stack.outputs["VisitFailuresUrl"])["Messages"]
    assert failed["Body"] == bodies[0]
    sqs.delete_message(QueueUrl=stack.outputs["VisitFailuresUrl"], ReceiptHandle=failed["ReceiptHandle"])


# --- kill -9 half-way ---------------------------------------------------------------------------------------------------

CROWD = 60


@pytest.fixture
def crowd(stack: Stack) -> Iterator[set[str]]:
    """The accounts of many members whose points end in ten days. A message of whoever is killed comes again soon, and not as
    late as deployed, where a function that still works on it has the time it may take."""
    names = [f"crowd-{uuid4()}" for _ in range(CROWD)]
    for name in names:
        member(stack, name)
    queues = [stack.outputs[name] for name in ("VisitQueueUrl", "ClockQueueUrl")]
    sqs = stack.client("sqs")
    kept = [
        sqs.get_queue_attributes(QueueUrl=each, AttributeNames=["VisibilityTimeout"])["Attributes"] for each in queues
    ]
    for each in queues:
        sqs.set_queue_attributes(QueueUrl=each, Attributes={"VisibilityTimeout": "15"})
    yield {account(stack, name) for name in names}
    for each, attributes in zip(queues, kept, strict=True):
        sqs.set_queue_attributes(QueueUrl=each, Attributes=attributes)


def expiries(stack: Stack, accounts: set[str]) -> dict[str, int]:
    """How many expiries each account has on the table; those without are left out."""
    found: dict[str, int] = {}
    for page in stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.table):
        for item in page["Items"]:
            name = item["PK"]["S"].removeprefix("M#")
            if name in accounts and item["SK"]["S"].startswith("E#"):
                booked = sum(entry["M"]["k"]["S"] == "X" for entry in item["e"]["L"])
                if booked:
                    found[name] = found.get(name, 0) + booked
    return found


def kill_the_workers(stack: Stack) -> int:
    """kill -9 of every function that runs, in the middle of whatever it does; how many there were."""
    listed = subprocess.run(
        ["ps", "--ppid", str(stack.process), "-o", "pid="], capture_output=True, text=True, check=False
    )
    workers = [int(line) for line in listed.stdout.split()]
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    return len(workers)


def test_a_visitor_that_is_killed_half_way_leaves_the_rest_to_the_next(stack: Stack, crowd: set[str]) -> None:
    ends = days.end_of(days.day_of(now(stack), ZONE) + 10, ZONE)
    advanced(stack, to=(ends - timedelta(seconds=4)).isoformat())
    assert expiries(stack, crowd) == {}
    until(lambda: now(stack) > ends)

    scheduled_now(stack)
    until(lambda: expiries(stack, crowd))
    assert kill_the_workers(stack)

    assert 0 < len(expiries(stack, crowd)) < CROWD, "it was not killed half-way"
    until(lambda: len(expiries(stack, crowd)) == CROWD)
    until(lambda: waiting(stack, "VisitQueueUrl") == 0)
    assert set(expiries(stack, crowd).values()) == {1}
    assert waiting(stack, "VisitFailuresUrl") == 0


def test_a_clock_whose_worker_is_killed_half_way_is_turned_to_its_end(stack: Stack, crowd: set[str]) -> None:
    payload = ask(stack, "staff", ADVANCE, i={"idempotencyKey": str(uuid4()), "advance": {"by": "P12D"}})
    until(lambda: expiries(stack, crowd))
    assert kill_the_workers(stack)

    assert 0 < len(expiries(stack, crowd)) < CROWD, "it was not killed half-way"

    def over() -> dict[str, Any] | None:
        job: dict[str, Any] = ask(stack, "staff", JOB, id=payload["clockAdvance"]["job"]["id"])["job"]
        return job if job["status"] in ("DONE", "FAILED") else None

    job = until(over)
    assert (job["status"], job["daysDone"]) == ("DONE", job["daysTotal"])
    assert len(expiries(stack, crowd)) == CROWD
    assert set(expiries(stack, crowd).values()) == {1}
    assert waiting(stack, "ClockFailuresUrl") == 0


# --- the clock ----------------------------------------------------------------------------------------------------------


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("regulars")), "clock", *arguments, "--url", stack.graphql_url],
        env={"PATH": "/usr/bin:/bin", "REGULARS_TOKEN": stack.token("staff"), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_turns_the_clock_and_says_what_happened(stack: Stack) -> None:
    member(stack, "traveller")
    before = now(stack)

    done = command(stack, "advance", "2w")

    assert done.returncode == 0, done.stderr
    assert "14 days have passed: " in done.stdout
    assert " EXPIRY" in done.stdout
    assert timedelta(days=13) < now(stack) - before < timedelta(days=15)
    assert history(stack, "traveller")[0] == "ExpiryEntry"
    shown = command(stack, "show")
    assert shown.returncode == 0
    assert "America/New_York" in shown.stdout
    assert " EXPIRY" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("advance", "0d"), 1, "CLOCK_TURNED_BACK"),
        (("advance", "99y"), 1, "CLOCK_ADVANCE_TOO_FAR"),
        (("advance", "--to", "2020-01-31"), 1, "CLOCK_TURNED_BACK"),
        (("advance", "soon"), 2, "is no duration"),
        (("advance",), 2, "Give a duration"),
        (("advance", "1d", "--to", "2040-01-31"), 2, "Give a duration"),
        (("advance", "--to", "someday"), 2, "Give a day"),
    ],
)
def test_what_the_command_refuses_changes_nothing(
    stack: Stack, arguments: tuple[str, ...], code: int, told: str
) -> None:
    before = clock(stack)

    refused = command(stack, *arguments)

    assert (refused.returncode, told in refused.stderr) == (code, True), refused.stderr
    assert now(stack) - datetime.fromisoformat(before["now"]) < timedelta(minutes=1)
    assert clock(stack)["job"] == before["job"]


def test_the_command_turns_the_clock_to_a_day_of_the_programs_calendar(stack: Stack) -> None:
    day_after_tomorrow = now(stack).astimezone(ZONE).date() + timedelta(days=2)

    done = command(stack, "advance", "--to", day_after_tomorrow.isoformat())

    assert done.returncode == 0, done.stderr
    assert now(stack).astimezone(ZONE).date() == day_after_tomorrow
    assert now(stack) - days.end_of(days.day_number(day_after_tomorrow) - 1, ZONE) < timedelta(minutes=1)


def test_only_managers_turn_the_clock(stack: Stack) -> None:
    for role in ("member", "partner"):
        wanted = {"i": {"idempotencyKey": "1", "advance": {"by": "P1D"}}}
        answer = graphql(stack, ADVANCE, token=stack.token(role), variables=wanted)
        assert answer.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_a_ledger_whose_clock_was_turned_is_verified_by_that_clock(stack: Stack) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "AWS_REGION": stack.region,
        "AWS_ENDPOINT_URL_DYNAMODB": stack.endpoint_url,
        "AWS_ACCESS_KEY_ID": stack.access_key,
        "AWS_SECRET_ACCESS_KEY": stack.secret_key,
    }
    verified = subprocess.run(
        [str(Path(sys.executable).with_name("regulars")), "ledger", "verify", "--all", "--table", stack.table],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "Nothing is wrong." in verified.stdout
