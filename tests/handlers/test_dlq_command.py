"""`regulars dlq` as an operator types it, on the queues of a stack in a real SQS."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from typer.testing import CliRunner, Result

from domain import limits
from handlers import reasons
from handlers.cli import app
from handlers.failures import Failures, Lane, NotDone, TaskNotThere
from handlers.local import emulator
from handlers.local.home import write_json
from handlers.queue import Queue
from tests.engines import LOCAL, Engine, make
from tests.engines import run as run_engine

STACK = "regulars-failures"
NAMES = ("Visit", "Clock", "Relay")
TEMPLATE: dict[str, Any] = {
    "Resources": {
        **{
            f"{name}Queue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "VisibilityTimeout": 0,
                    "RedrivePolicy": {
                        "deadLetterTargetArn": {"Fn::GetAtt": [f"{name}Failures", "Arn"]},
                        "maxReceiveCount": limits.DELIVERIES_MAX,
                    },
                },
            }
            for name in ("Visit", "Clock")
        },
        **{f"{name}Failures": {"Type": "AWS::SQS::Queue"} for name in NAMES},
    },
    "Outputs": {
        f"{queue}Url": {"Value": {"Ref": queue}}
        for queue in ("VisitQueue", "ClockQueue", "VisitFailures", "ClockFailures", "RelayFailures")
    },
}
SAID = {
    reasons.REASON: "TooEarly: 2090-03-12 has not begun",
    reasons.FUNCTION: "regulars-Visitor",
    reasons.REQUEST: "request-1",
    reasons.MESSAGE: "message-1",
    reasons.FIRST_TRIED_AT: "2026-11-20T16:19:01.234Z",
    reasons.TRIES: "5",
}
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def aws() -> Iterator[Engine]:
    """MiniStack with queues, and with CloudFormation, which knows where they are."""
    make(".local/ministack/.synced")

    def command(port: int, directory: Path) -> tuple[list[str], dict[str, str]]:
        return [str(LOCAL / "ministack" / "bin" / "ministack")], {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "SERVICES": "sqs,cloudformation,s3",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "STATE_DIR": str(directory),
            "LOG_LEVEL": "WARNING",
        }

    with run_engine("ministack", command) as engine:
        yield engine


@dataclass
class Queues:
    """The stack's queues, to put something into and to look at."""

    sqs: Any
    outputs: Mapping[str, str]

    def fail(self, name: str, *bodies: str, said: Mapping[str, str] = SAID) -> list[str]:
        """Messages that workers have given up; their ids."""
        Queue(self.outputs[f"{name}FailuresUrl"], client=lambda: self.sqs).send(bodies, attributes=said)
        return [found["MessageId"] for found in self.seen(f"{name}Failures") if found["Body"] in bodies]

    def cut_off(self, name: str, body: str) -> None:
        """A message whose workers were killed, each time: the queue itself moves it."""
        url = self.outputs[f"{name}QueueUrl"]
        # What a worker once said of it stays on a message that SQS has moved back.
        Queue(url, client=lambda: self.sqs).send([body], attributes=SAID)
        for _ in range(limits.DELIVERIES_MAX):
            assert self.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
        assert "Messages" not in self.sqs.receive_message(QueueUrl=url)

    def seen(self, queue: str) -> list[dict[str, Any]]:
        """What anybody would get of a queue now."""
        found: dict[str, dict[str, Any]] = {}
        url = self.outputs[f"{queue}Url"]
        while batch := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60, MessageAttributeNames=["All"]
        ).get("Messages", []):
            found |= {each["MessageId"]: each for each in batch}
        for each in found.values():
            self.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0)
        return list(found.values())

    def bodies(self, queue: str) -> list[str]:
        return sorted(each["Body"] for each in self.seen(queue))

    def contents(self) -> dict[str, list[str]]:
        return {name.removesuffix("Url"): self.bodies(name.removesuffix("Url")) for name in self.outputs}


@pytest.fixture
def queues(aws: Engine) -> Iterator[Queues]:
    """A stack of the test's own."""
    cloudformation = boto3.client("cloudformation", **aws.client_kwargs)
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 0.1})
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    yield Queues(boto3.client("sqs", **aws.client_kwargs), outputs)
    cloudformation.delete_stack(StackName=STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig={"Delay": 0.1})


@pytest.fixture
def run(aws: Engine, queues: Queues) -> Run:
    """Runs the command with the environment of an operator."""

    def run(*arguments: str, input: str | None = None, **environment: str | None) -> Result:
        given = {
            **aws.environment,
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "REGULARS_STACK": STACK,
            "COLUMNS": "200",
            **environment,
        }
        return CliRunner().invoke(app, ["dlq", *arguments], env=given, input=input)

    return run


def lines(done: Result) -> list[dict[str, Any]]:
    # What is typed is echoed by the test's terminal.
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


# --- list -------------------------------------------------------------------------------------------------------------


def test_every_queue_is_listed_with_what_waits_and_what_has_failed(run: Run, queues: Queues) -> None:
    queues.fail("Visit", "a", "b")
    source = queues.outputs["VisitQueueUrl"]
    queues.sqs.send_message(QueueUrl=source, MessageBody="waits")
    queues.sqs.send_message(QueueUrl=source, MessageBody="later", DelaySeconds=900)
    queues.sqs.receive_message(QueueUrl=source, VisibilityTimeout=60)

    done = run("list")

    assert (done.exit_code, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["NAME", "WAITING", "IN", "FLIGHT", "DELAYED", "FAILED", "OLDEST"],
        ["clock", "0", "0", "0", "0"],
        ["relay", "-", "-", "-", "0"],
        ["visit", "0", "1", "1", "2", "0", "minutes"],
    ]


def test_machines_get_an_object_for_each_queue(run: Run, queues: Queues) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    queues.fail("Visit", "a")

    clock, relay, visit = lines(run("list", "--json"))

    assert clock == {"name": "clock", "waiting": 0, "inFlight": 0, "delayed": 0, "failed": 0, "oldestAt": None}
    assert relay == {
        "name": "relay",
        "waiting": None,
        "inFlight": None,
        "delayed": None,
        "failed": 0,
        "oldestAt": None,
    }
    assert before <= datetime.fromisoformat(visit.pop("oldestAt")) <= datetime.now(UTC)
    assert visit == {"name": "visit", "waiting": 0, "inFlight": 0, "delayed": 0, "failed": 1}


def test_of_more_than_are_looked_at_the_oldest_is_at_least_so_old(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FAILURES_GLANCED_AT_MAX", 2)
    queues.fail("Visit", "a", "b", "c")

    assert run("list").stdout.splitlines()[-1].endswith("3   at least 0 minutes")


# --- show -------------------------------------------------------------------------------------------------------------


def test_a_message_is_shown_with_its_reason_and_stays(run: Run, queues: Queues) -> None:
    (id_,) = queues.fail("Visit", '{"accounts":["ADA"],"day":43900}')
    before = queues.contents()

    done = run("show", "visit")

    assert done.exit_code == 0
    first, *rest = done.stdout.splitlines()
    assert first.startswith(f"{id_}  failed 20")
    assert first.endswith(", 0 minutes ago")
    assert rest == [
        "  why       TooEarly: 2090-03-12 has not begun",
        "  tried     5 times since 2026-11-20T16:19:01.234Z",
        "  received  3 times, looks at it included",
        "  log       request request-1 of regulars-Visitor",
        "  body",
        "    {",
        '      "accounts": [',
        '        "ADA"',
        "      ],",
        '      "day": 43900',
        "    }",
        "",
    ]
    assert queues.contents() == before


def test_a_message_of_a_worker_that_was_killed_has_no_reason_not_even_an_old_one(run: Run, queues: Queues) -> None:
    queues.cut_off("Visit", "a")

    shown, machine = run("show", "visit"), lines(run("show", "visit", "--json"))

    assert "  why       no reason was left: the worker was cut off\n" in shown.stdout
    assert "TooEarly" not in shown.stdout
    assert [(each["body"], each["reason"]) for each in machine] == [("a", None)]


def test_the_oldest_are_shown_first_and_how_many_there_are(run: Run, queues: Queues) -> None:
    for body in ("first", "second", "third"):
        queues.fail("Visit", body)
        time.sleep(0.01)

    done = run("show", "visit", "--limit", "2")

    assert done.stdout.endswith("2 of 3 messages.\n")
    assert [each["body"] for each in lines(run("show", "visit", "--json", "--limit", "10"))] == [
        "first",
        "second",
        "third",
    ]


def test_the_oldest_are_looked_for_among_all_because_sqs_keeps_no_order(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(25):
        queues.fail("Visit", f"{number:02}")
    receive = Failures._receive
    order = random.Random(3)

    def mixed_up(self: Failures, count: int, *, hidden: int) -> Any:
        # MiniStack gives them in the order in which they came. So all are taken, and one call's worth is let go of those.
        found: list[Any] = []
        while batch := receive(self, 10, hidden=hidden):
            found += batch
        chosen = order.sample(found, min(count, 10, len(found)))
        self.let_go([each for each in found if each not in chosen])
        return chosen

    monkeypatch.setattr(Failures, "_receive", mixed_up)

    shown = [each["body"] for each in lines(run("show", "visit", "--json", "--limit", "3"))]

    assert shown == ["00", "01", "02"]
    assert len(queues.bodies("VisitFailures")) == 25


def test_where_not_all_could_be_seen_the_oldest_are_those_of_what_was(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FAILURES_LOOKED_AT_MAX", 2)
    queues.fail("Visit", "a", "b", "c")

    done = run("show", "visit", "--limit", "1")

    assert done.stdout.endswith("1 of about 3 messages, the oldest among the 2 that were seen.\n")


def test_whatever_stands_in_a_message_reaches_no_screen_as_it_is(run: Run, queues: Queues) -> None:
    queues.fail("Visit", "not JSON \x9b2J\u202e")

    assert "\n    not JSON \\x9b2J\\u202e\n" in run("show", "visit").stdout


def test_machines_get_the_body_to_the_letter(run: Run, queues: Queues) -> None:
    body = '{ "a" : 1}'
    (id_,) = queues.fail("Visit", body)

    (shown,) = lines(run("show", "visit", "--json"))

    assert shown.pop("sentAt") > "2026"
    assert shown == {"id": id_, "received": 2, **SAID, "body": body}


def test_a_queue_without_failures_says_so(run: Run, queues: Queues) -> None:
    assert run("show", "clock").stdout == "Nothing can be seen in clock.\n"
    queues.fail("Clock", "a")
    queues.sqs.receive_message(QueueUrl=queues.outputs["ClockFailuresUrl"], VisibilityTimeout=60)
    assert run("show", "clock").stdout == "Nothing can be seen in clock. 1 message may be being looked at.\n"


# --- redrive ----------------------------------------------------------------------------------------------------------


def test_all_go_back_to_their_queue_without_what_was_said_of_them(run: Run, queues: Queues) -> None:
    bodies = [f"body {number:02}" for number in range(23)]
    queues.fail("Visit", *bodies)
    queues.fail("Clock", "of the clock")

    done = run("redrive", "visit")

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "23 messages moved back to the queue of visit.\n"
    assert queues.bodies("VisitQueue") == bodies
    assert not [each for each in queues.seen("VisitQueue") if "MessageAttributes" in each]
    assert (queues.bodies("VisitFailures"), queues.bodies("ClockFailures")) == ([], ["of the clock"])


@pytest.mark.parametrize("command", [["redrive", "visit"], ["drop", "visit", "--all", "--yes"]], ids=" ".join)
def test_what_somebody_else_has_in_hand_stays_and_is_said(run: Run, queues: Queues, command: list[str]) -> None:
    queues.fail("Visit", "a", "b", "c")
    url = queues.outputs["VisitFailuresUrl"]
    (held,) = queues.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=60)["Messages"]

    done = run(*command)

    assert done.exit_code == 1
    assert "About 1 message of visit could not be seen: somebody is looking at them." in done.stderr
    queues.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0)
    assert queues.bodies("VisitFailures") == [held["Body"]]
    assert run(*command).exit_code == 0
    assert queues.bodies("VisitFailures") == []


@pytest.mark.parametrize("command", [["redrive", "visit"], ["drop", "visit", "--all", "--yes"]], ids=" ".join)
def test_what_is_taken_in_hand_meanwhile_stays_and_is_said(
    run: Run, queues: Queues, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queues.fail("Visit", "a", "b")
    url, sweep = queues.outputs["VisitFailuresUrl"], Failures.sweep
    held: list[Any] = []

    def late(self: Failures, *arguments: Any, **more: Any) -> int:
        held.extend(queues.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60)["Messages"])
        return sweep(self, *arguments, **more)

    monkeypatch.setattr(Failures, "sweep", late)
    done = run(*command)

    assert done.exit_code == 1
    assert "About 2 messages of visit could not be seen" in done.stderr
    for each in held:
        queues.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0)
    assert queues.bodies("VisitFailures") == ["a", "b"]


def test_those_that_are_named_go_back_and_the_others_stay(run: Run, queues: Queues) -> None:
    ids = {body: queues.fail("Visit", body)[0] for body in ("a", "b", "c")}

    done = run("redrive", "visit", "--message", ids["a"], "--message", ids["c"])

    assert done.stdout == "2 messages moved back to the queue of visit.\n"
    assert (queues.bodies("VisitQueue"), queues.bodies("VisitFailures")) == (["a", "c"], ["b"])


@pytest.mark.parametrize("command", [["redrive", "visit"], ["drop", "visit", "--yes"]], ids=" ".join)
def test_an_id_that_nobody_has_changes_nothing_for_the_others(run: Run, queues: Queues, command: list[str]) -> None:
    (id_,) = queues.fail("Visit", "a")
    before = queues.contents()

    done = run(*command, "--message", id_, "--message", "nobody")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "visit: nobody. Nothing was done." in done.stderr
    assert queues.contents() == before


def test_what_fails_again_meanwhile_is_not_moved_again_and_again(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues.fail("Visit", "a", "b", "poison")
    send = Queue.send

    def fails_at_once(queue: Queue, bodies: Any, **more: Any) -> None:
        for body in bodies:
            at_home = Queue(queues.outputs["VisitFailuresUrl"], client=lambda: queues.sqs)
            send(at_home if body == "poison" else queue, [body], **more)

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "send", fails_at_once)
        done = run("redrive", "visit")

    assert (done.exit_code, done.stdout) == (1, "3 messages moved back to the queue of visit.\n")
    assert done.stderr == "1 message of visit came after this began, by the clock here, and stayed. Run it again.\n"
    assert (queues.bodies("VisitQueue"), queues.bodies("VisitFailures")) == (["a", "b"], ["poison"])


def test_a_rate_is_kept(run: Run, queues: Queues) -> None:
    queues.fail("Visit", *"abcdef")
    started = time.monotonic()

    assert run("redrive", "visit", "--rate", "3").exit_code == 0

    assert time.monotonic() - started >= 2
    assert queues.bodies("VisitQueue") == list("abcdef")


def test_a_queue_that_takes_nothing_costs_no_message(run: Run, queues: Queues) -> None:
    queues.fail("Visit", "a", "b")
    queues.sqs.delete_queue(QueueUrl=queues.outputs["VisitQueueUrl"])

    for which in ([], ["--message", queues.seen("VisitFailures")[0]["MessageId"]]):
        done = run("redrive", "visit", *which)

        assert (done.exit_code, done.stdout) == (2, "")
        assert "The queues cannot be reached." in done.stderr
        assert queues.bodies("VisitFailures") == ["a", "b"]


def test_what_could_not_be_deleted_is_there_twice_and_said(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id_,) = queues.fail("Visit", "a")

    def keeps(_: Failures, found: Any) -> None:
        raise NotDone(f"Still in the queue of failures: {', '.join(each.id for each in found)}.")

    monkeypatch.setattr(Failures, "delete", keeps)

    done = run("redrive", "visit", "--message", id_)

    assert (done.exit_code, done.stderr) == (1, f"Still in the queue of failures: {id_}.\n")
    assert queues.bodies("VisitQueue") == queues.bodies("VisitFailures") == ["a"]


def test_an_interrupted_move_leaves_the_rest_where_it_was(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [f"{number:02}" for number in range(20)]
    queues.fail("Visit", *bodies)
    move_back, moved = Failures.move_back, list[Any]()

    def interrupted(self: Failures, found: Any) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.extend(found)
        move_back(self, found)

    with monkeypatch.context() as patch:
        patch.setattr(Failures, "move_back", interrupted)
        done = run("redrive", "visit")

    assert (done.exit_code, done.stderr) == (130, "Stopped. What was not moved or dropped is where it was.\n")
    assert sorted(queues.bodies("VisitQueue") + queues.bodies("VisitFailures")) == bodies
    assert len(queues.bodies("VisitQueue")) == len(moved) == 10


# --- what the relay gave up -------------------------------------------------------------------------------------------


def given_up(first: str, last: str) -> str:
    """What the mapping of the stream writes (AWS: "Retain discarded batches")."""
    return json.dumps(
        {
            "requestContext": {"requestId": "r", "functionArn": "arn", "condition": "RetryAttemptsExhausted"},
            "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": "2026-11-20T17:00:00Z",
            "DDBStreamBatchInfo": {
                "shardId": "shard",
                "approximateArrivalOfFirstRecord": first,
                "approximateArrivalOfLastRecord": last,
                "batchSize": 1,
            },
        }
    )


def test_records_of_the_ledger_are_not_moved_back_but_their_time_told_again(run: Run, queues: Queues) -> None:
    queues.fail("Relay", given_up("2026-11-20T16:10:00Z", "2026-11-20T16:12:00Z"), said={})
    queues.fail("Relay", given_up("2026-11-20T16:02:30Z", "2026-11-20T16:02:30Z"), said={})
    before = queues.contents()

    done = run("redrive", "relay")

    assert (done.exit_code, done.stdout) == (2, "")
    told = "regulars events republish --all --from 2026-11-20T16:01:30Z --to 2026-11-20T16:13:00Z "
    assert told in done.stderr
    assert queues.contents() == before


def test_the_time_to_tell_again_is_that_of_all_that_lies_there(run: Run, queues: Queues) -> None:
    minutes = [f"2026-11-20T{16 + number // 60}:{number % 60:02}:00Z" for number in range(120)]
    # The first and the last of them lie behind a hundred others.
    queues.fail("Relay", *(given_up(at, at) for at in (*minutes[10:110], *minutes[:10], *minutes[110:])), said={})

    done = run("redrive", "relay")

    assert " --from 2026-11-20T15:59:00Z --to 2026-11-20T18:00:00Z " in done.stderr
    assert done.stderr.endswith(", and then drop them here.\n")


def test_where_not_all_could_be_seen_nobody_is_told_to_drop_them(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FAILURES_LOOKED_AT_MAX", 2)
    queues.fail("Relay", *(given_up(f"2026-11-20T16:1{n}:00Z", f"2026-11-20T16:1{n}:00Z") for n in range(3)), said={})

    done = run("redrive", "relay")

    assert done.exit_code == 2
    assert "drop them here" not in done.stderr
    assert "Only 2 of about 3 could be seen: others may be of another time. Do not drop them all." in done.stderr


def test_what_does_not_say_of_which_time_it_is_is_not_to_be_dropped(run: Run, queues: Queues) -> None:
    good = given_up("2026-11-20T16:10:00Z", "2026-11-20T16:12:00Z")
    queues.fail("Relay", good, "x", given_up("soon", "later"), said={})

    done = run("redrive", "relay")

    assert " --from 2026-11-20T16:09:00Z --to 2026-11-20T16:13:00Z " in done.stderr
    assert "2 of them do not say of which time they are" in done.stderr
    assert "drop them here" not in done.stderr


@pytest.mark.parametrize("body", ["x", "[]", '{"DDBStreamBatchInfo": 7}', given_up("soon", "later")])
def test_whatever_lies_there_the_way_is_named(run: Run, queues: Queues, body: str) -> None:
    queues.fail("Relay", body, said={})

    done = run("redrive", "relay")

    assert done.exit_code == 2
    assert "regulars events republish --all --from T --to T " in done.stderr
    assert run("show", "relay").exit_code == 0


def test_what_the_relay_gave_up_is_shown_with_its_condition_and_can_be_dropped(run: Run, queues: Queues) -> None:
    queues.fail("Relay", given_up("2026-11-20T16:10:00Z", "2026-11-20T16:12:00Z"), said={})

    assert "  why       RetryAttemptsExhausted\n" in run("show", "relay").stdout
    assert run("drop", "relay", "--all", "--yes").exit_code == 0
    assert queues.bodies("RelayFailures") == []


# --- drop -------------------------------------------------------------------------------------------------------------


def test_what_is_dropped_is_written_down_before(run: Run, queues: Queues) -> None:
    ids = {body: queues.fail("Visit", body)[0] for body in ("a", "b", "c")}

    done = run("drop", "visit", "--message", ids["b"], input="y\n")

    assert done.exit_code == 0
    assert "Drop 1 message of visit for good?" in done.stderr
    assert done.stderr.endswith("1 message of visit dropped.\n")
    assert [(each["id"], each["body"], each["reason"]) for each in lines(done)] == [
        (ids["b"], "b", SAID[reasons.REASON])
    ]
    assert queues.bodies("VisitFailures") == ["a", "c"]
    assert queues.bodies("VisitQueue") == []


def test_all_are_dropped_with_a_yes(run: Run, queues: Queues) -> None:
    bodies = [f"{number:02}" for number in range(23)]
    queues.fail("Visit", *bodies)
    queues.fail("Clock", "of the clock")

    done = run("drop", "visit", "--all", "--yes")

    assert (done.exit_code, done.stderr) == (0, "23 messages of visit dropped.\n")
    assert sorted(each["body"] for each in lines(done)) == bodies
    assert (queues.bodies("VisitFailures"), queues.bodies("ClockFailures")) == ([], ["of the clock"])


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
@pytest.mark.parametrize("which", ["--all", "--message"])
def test_without_a_yes_nothing_is_dropped(run: Run, queues: Queues, answer: str, which: str) -> None:
    (id_,) = queues.fail("Visit", "a")
    before = queues.contents()

    done = run("drop", "visit", *([which] if which == "--all" else [which, id_]), input=answer)

    assert (done.exit_code, lines(done)) == (2, [])
    assert done.stderr.endswith("Nothing was dropped.\n")
    assert queues.contents() == before


def test_a_message_that_comes_while_somebody_decides_is_not_dropped_unseen(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues.fail("Visit", "a")

    def confirm(*_: Any, **__: Any) -> bool:
        queues.fail("Visit", "new")
        return True

    with monkeypatch.context() as patch:
        patch.setattr("typer.confirm", confirm)
        done = run("drop", "visit", "--all")

    assert [each["body"] for each in lines(done)] == ["a"]
    assert (done.exit_code, done.stderr.splitlines()) == (
        1,
        [
            "1 message of visit dropped.",
            "1 message of visit came after this began, by the clock here, and stayed. Run it again.",
        ],
    )
    assert queues.bodies("VisitFailures") == ["new"]


# --- what cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["show", "nowhere"], {}, "There is no 'nowhere' here: clock, relay, visit."),
        (["show", "visit", "--limit", "0"], {}, "Invalid value for '--limit'"),
        (["redrive", "visit", "--rate", "0"], {}, "Invalid value for '--rate'"),
        (["redrive", "visit", "--rate", "501"], {}, "Invalid value for '--rate'"),
        (["drop", "visit"], {}, "Give one of --message and --all."),
        (["drop", "visit", "--all", "--message", "x"], {}, "Give one of --message and --all."),
        (["list"], {"REGULARS_STACK": "nowhere"}, "The queues cannot be reached. ValidationError"),
        (["list"], {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "The queues cannot be reached."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_ends_with_2_and_changes_nothing(
    run: Run,
    queues: Queues,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    message: str,
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    queues.fail("Visit", "a")
    before = queues.contents()

    done = run(*arguments, **environment)

    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert queues.contents() == before


def test_without_a_stack_it_is_the_one_that_runs_here(
    run: Run, queues: Queues, aws: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every local stack is in the same region and account; this one is in another.
    monkeypatch.setattr(emulator, "REGION", aws.region)
    monkeypatch.setattr(emulator, "ACCOUNT", aws.access_key)
    queues.fail("Visit", "a")
    nowhere = run("list", "--home", str(tmp_path), REGULARS_STACK=None)
    facts = {
        "graphql_url": "",
        "graphiql_url": "",
        "endpoint_url": aws.endpoint_url,
        "region": aws.region,
        "process": 1,
        "table": "",
        "outputs": dict(queues.outputs),
        "access_key": aws.access_key,
        "secret_key": "local",
        "passwords": {},
        "tokens": {},
    }
    write_json(tmp_path / "stack.json", facts)
    without_credentials = dict.fromkeys((*aws.environment, "AWS_ENDPOINT_URL"))
    here = run("list", "--json", "--home", str(tmp_path), REGULARS_STACK=None, **without_credentials)
    write_json(tmp_path / "stack.json", {**facts, "outputs": {"TableName": "t"}})
    empty = run("list", "--home", str(tmp_path), REGULARS_STACK=None)

    assert (nowhere.exit_code, nowhere.stdout) == (2, "")
    assert nowhere.stderr == (
        "Name the stack (--stack or REGULARS_STACK). Regulars is not running here. Start it: make run\n"
    )
    assert (here.exit_code, here.stderr) == (0, "")
    assert {each["name"]: each["failed"] for each in lines(here)} == {"clock": 0, "relay": 0, "visit": 1}
    assert (empty.exit_code, empty.stderr) == (
        2,
        "The local stack has no queue of failures: it is no stack of Regulars.\n",
    )


# --- moves that SQS makes by itself: no local engine does, so its client answers as AWS says it does ------------------


LANE = Lane("visit", "https://sqs.example/1/visit-failures", "https://sqs.example/1/visit")
FROM, TO = "arn:aws:sqs:eu-central-1:1:visit-failures", "arn:aws:sqs:eu-central-1:1:visit"


@dataclass
class Tasks:
    """SQS as the tests tell it to answer; what it is asked is checked against its own model."""

    stub: Stubber
    failures: Failures
    pauses: list[float]

    def is_known(self) -> None:
        for url, arn in ((LANE.failures, FROM), (LANE.source, TO)):
            self.stub.add_response(
                "get_queue_attributes",
                {"Attributes": {"QueueArn": arn}},
                {"QueueUrl": url, "AttributeNames": ["QueueArn"]},
            )

    def begins(self, *earlier: dict[str, Any], **more: Any) -> None:
        self.is_known()
        self.says(*earlier)
        self.stub.add_response(
            "start_message_move_task", {"TaskHandle": "handle"}, {"SourceArn": FROM, "DestinationArn": TO, **more}
        )

    def says(self, *tasks: dict[str, Any]) -> None:
        asked = {"SourceArn": FROM, "MaxResults": 1}
        self.stub.add_response("list_message_move_tasks", {"Results": list(tasks)}, asked)


@pytest.fixture
def tasks() -> Iterator[Tasks]:
    sqs = boto3.client("sqs", region_name="eu-central-1", aws_access_key_id="1", aws_secret_access_key="1")
    pauses: list[float] = []
    with Stubber(sqs) as stub:
        yield Tasks(stub, Failures(sqs, LANE, sleep=pauses.append), pauses)
        stub.assert_no_pending_responses()


def test_a_move_is_followed_to_its_end(tasks: Tasks) -> None:
    tasks.begins(MaxNumberOfMessagesPerSecond=50)
    tasks.says()
    tasks.says({"Status": "RUNNING", "ApproximateNumberOfMessagesMoved": 40, "ApproximateNumberOfMessagesToMove": 90})
    tasks.says({"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 90, "ApproximateNumberOfMessagesToMove": 90})

    assert list(tasks.failures.task(50)) == [(0, 0), (40, 90), (90, 90)]
    assert len(tasks.pauses) == 2


def test_a_move_that_ended_before_is_not_taken_for_this_one(tasks: Tasks) -> None:
    before = {"Status": "FAILED", "FailureReason": "AccessDenied", "StartedTimestamp": 1_790_000_000_000}
    now = {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 3, "StartedTimestamp": 1_790_000_000_001}
    tasks.begins(before)
    tasks.says(before)
    tasks.says(now)

    assert list(tasks.failures.task(None)) == [(0, 0), (3, 3)]


def test_a_move_that_fails_says_why(tasks: Tasks) -> None:
    tasks.begins()
    tasks.says({"Status": "FAILED", "ApproximateNumberOfMessagesMoved": 7, "FailureReason": "AccessDenied"})

    with pytest.raises(NotDone, match=r"ended after 7 messages: AccessDenied\."):
        list(tasks.failures.task(None))


def test_a_move_that_nobody_waits_for_any_more_is_stopped(tasks: Tasks) -> None:
    tasks.begins()
    tasks.says({"Status": "RUNNING", "ApproximateNumberOfMessagesMoved": 1, "ApproximateNumberOfMessagesToMove": 9})
    tasks.stub.add_response("cancel_message_move_task", {}, {"TaskHandle": "handle"})

    moving = tasks.failures.task(None)
    next(moving)
    moving.close()


@pytest.mark.parametrize("asked", ["list_message_move_tasks", "start_message_move_task"])
@pytest.mark.parametrize(("code", "error"), [("InvalidAction", TaskNotThere), ("UnsupportedOperation", ClientError)])
def test_an_engine_without_such_moves_is_told_apart_from_one_that_refuses_this_one(
    tasks: Tasks, code: str, error: type[Exception], asked: str
) -> None:
    tasks.is_known()
    if asked.startswith("start"):
        tasks.says()
    tasks.stub.add_client_error(asked, code)

    with pytest.raises(error):
        list(tasks.failures.task(None))
