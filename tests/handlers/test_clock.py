"""The clock through the API: what time it is, turning it in a sandbox, and the stacks on which nobody can."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from aws_lambda_powertools import Logger
from botocore import handlers as botocore_handlers

from domain import limits
from handlers import aws, jobs, queue, runtime
from handlers.jobs import Clockwork
from schema.clock import duration_from
from storage.agenda import DueRows
from storage.clock import ClockTable
from storage.programs import Programs
from storage.table import Table
from tests.engines import Engine
from tests.handlers.api import (
    ADVANCE,
    CLOCK,
    DEMO,
    JOB,
    NODE,
    Answer,
    Api,
    deployed,
    global_id,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.api import PURCHASE as RECORD
from tests.handlers.conftest import Clock
from tests.storage.tables import connect

QUEUE_URL = "https://sqs.example/clock"


@dataclass
class Sqs:
    """The client of a queue that keeps what it is sent."""

    bodies: list[str] = field(default_factory=list)
    is_down: bool = False

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == QUEUE_URL
        if self.is_down:
            raise ConnectionError
        self.bodies += [entry["MessageBody"] for entry in Entries]
        return {"Successful": []}


@dataclass
class Sandbox:
    """A stack that was created as a sandbox, with the queue and the function of its clock."""

    api: Api
    engine: Engine
    sqs: Sqs

    def advance(self, key: str, caller: Any = None, **how_far: Any) -> Answer:
        wanted = {"idempotencyKey": key, "advance": how_far}
        return self.api.post(caller or manager(), ADVANCE, input=wanted)

    def work(self) -> None:
        """What the clockwork does with the messages that wait for it."""
        connection = connect(self.engine)
        clockwork = Clockwork(
            ClockTable(connection, self.api.table),
            DueRows(connection, self.api.table, shards=4),
            Table(connection, self.api.table, pepper=None, shards=4),
            queue.Queue(QUEUE_URL, client=lambda: self.sqs),
            Programs(connection, self.api.table).current,
            runtime.now,
            Logger("clockwork"),
        )
        while self.sqs.bodies:
            waiting, self.sqs.bodies = self.sqs.bodies, []
            for body in waiting:
                record = {"messageId": "1", "body": body, "attributes": {"ApproximateReceiveCount": "1"}}
                assert clockwork.turn({"Records": [record]}, _Context()) == {"batchItemFailures": []}

    def show(self, caller: Any = None) -> dict[str, Any]:
        shown: dict[str, Any] = self.api.post(caller or manager(), CLOCK).data["clock"]
        return shown


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@pytest.fixture(scope="module")
def made(ministack: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The demo's program, but for points that live ten days, and without all that members are given and told."""
    file = tmp_path_factory.mktemp("clock") / "program.yaml"
    program = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    short = {"expiry": {"months": 0, "days": 10, "rounding": "day"}, "moments": []}
    short = {name: part for name, part in program.items() if name not in ("tiers", "moments", "notices", "rewards")}
    short["expiry"] = {"months": 0, "days": 10, "rounding": "day"}
    file.write_text(yaml.safe_dump(short), encoding="utf-8")
    with deployed(ministack, "regulars-clock", file=file, sandbox=True, clock_queue=QUEUE_URL) as api:
        yield Sandbox(api, ministack, Sqs())


@pytest.fixture
def sandbox(made: Sandbox, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox when nobody turns its clock. Each test finds it later than the one before."""
    sqs = Sqs()
    monkeypatch.setattr(aws, "connect", lambda _service: sqs)
    made.sqs.bodies.clear()
    made = Sandbox(made.api, made.engine, sqs)
    job = made.show()["job"]
    if job and job["status"] in ("QUEUED", "RUNNING"):
        made.sqs.bodies.append(jobs.job_text(_key(job["id"])))
        made.work()
    return made


def _key(job_id: str) -> str:
    return base64.urlsafe_b64decode(job_id + "=" * (-len(job_id) % 4)).decode().partition(":")[2]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- a turn -------------------------------------------------------------------------------------------------------------


def test_a_manager_turns_the_clock_and_everybody_sees_the_time(sandbox: Sandbox) -> None:
    before = instant(sandbox.show()["now"])

    payload = sandbox.advance("a month", by="P31D").data["clockAdvance"]
    assert (payload["replayed"], payload["userErrors"]) == (False, [])
    assert (payload["job"]["status"], payload["job"]["daysTotal"], payload["job"]["daysDone"]) == ("QUEUED", 31, 0)
    sandbox.work()

    job = sandbox.api.post(support(), JOB, id=payload["job"]["id"]).data["job"]
    assert (job["status"], job["daysDone"], job["failure"]) == ("DONE", 31, None)
    for caller in (manager(), support(), till(), member("clock-reader")):
        shown = sandbox.show(caller)
        assert instant(shown["now"]) == before + timedelta(days=31)
        assert (shown["isSandbox"], shown["timeZone"]) == (True, "America/New_York")


def test_points_expire_while_the_clock_is_turned_and_the_history_says_when(sandbox: Sandbox) -> None:
    sandbox.api.enroll("time-traveller")
    now = sandbox.show()["now"]
    bought = sandbox.api.post(till(), RECORD, input=receipt("1", "time-traveller", 5_000, occurredAt=now))
    assert bought.data["purchaseRecord"]["entry"]["points"] == 50

    sandbox.advance("two weeks", by="P2W")
    sandbox.work()

    job = sandbox.show()["job"]
    assert {"kind": "EXPIRY", "count": 1} in job["counts"]
    entries = sandbox.api.member("time-traveller")["entries"]["edges"]
    newest = entries[0]["node"]
    assert (newest["__typename"], newest["points"], newest["balanceAfter"]) == ("ExpiryEntry", -50, 0)
    assert instant(now) + timedelta(days=10) < instant(newest["at"]) < instant(now) + timedelta(days=11)


def test_what_is_sent_again_with_the_same_key_finds_the_same_job(sandbox: Sandbox) -> None:
    first = sandbox.advance("again", by="P1D").data["clockAdvance"]
    again = sandbox.advance("again", by="P1D").data["clockAdvance"]
    assert again == {**first, "replayed": True}
    # It had not begun: whoever asked first may have died before it was on its way. One too many does no harm.
    assert len(sandbox.sqs.bodies) == 2
    sandbox.work()

    done = sandbox.advance("again", by="P1D").data["clockAdvance"]
    assert (done["job"]["status"], done["replayed"], sandbox.sqs.bodies) == ("DONE", True, [])


def test_a_job_whose_message_was_not_sent_is_sent_by_the_retry(sandbox: Sandbox) -> None:
    sandbox.sqs.is_down = True
    with pytest.raises(AssertionError, match="INTERNAL"):
        sandbox.advance("lost", by="P1D")
    sandbox.sqs.is_down = False

    assert sandbox.advance("lost", by="P1D").data["clockAdvance"]["replayed"]
    sandbox.work()
    assert sandbox.show()["job"]["status"] == "DONE"


def test_a_job_that_was_left_behind_is_woken_by_the_retry(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.advance("left behind", by="P1D")
    sandbox.sqs.bodies.clear()
    assert sandbox.advance("another", by="P1D").refusals == [("CLOCK_BUSY", None)]
    clock.advance(seconds=limits.JOB_SILENCE_MAX.total_seconds() + 1)

    assert sandbox.advance("left behind", by="P1D").data["clockAdvance"]["replayed"]
    sandbox.work()
    assert sandbox.show()["job"]["status"] == "DONE"


def test_a_job_is_a_node_for_those_who_may_see_jobs(sandbox: Sandbox) -> None:
    job = sandbox.advance("node", by="P1D").data["clockAdvance"]["job"]["id"]

    for caller in (manager(), support()):
        assert sandbox.api.post(caller, NODE, id=job).data == {"node": {"__typename": "Job", "id": job}}
    for other in (till(), member("curious")):
        assert sandbox.api.post(other, NODE, id=job).data == {"node": None}
        assert sandbox.show(other)["job"] is None
    assert sandbox.api.post(manager(), JOB, id=global_id("Job", "nobody's")).data == {"job": None}
    assert sandbox.api.post(manager(), JOB, id=global_id("Member", "nobody's")).data == {"job": None}
    assert sandbox.api.post(manager(), JOB, id="💥").data == {"job": None}


# --- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how_far", "complaint"),
    [
        ({"by": ""}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "31d"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "a month"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "PT"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "P1DT"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "P1D\n"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "PT0.0004S"}, ("CLOCK_TURNED_BACK", "input.advance.by")),
        ({"by": "P"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "P0.5M"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "P9999999999D"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": f"P{'1' * 70}D"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "P\u0663D"}, ("INVALID_DURATION", "input.advance.by")),
        ({"by": "PT0S"}, ("CLOCK_TURNED_BACK", "input.advance.by")),
        ({"by": "P0D"}, ("CLOCK_TURNED_BACK", "input.advance.by")),
        ({"by": "-P1D"}, ("CLOCK_TURNED_BACK", "input.advance.by")),
        ({"to": "2029-12-31T00:00:00Z"}, ("CLOCK_TURNED_BACK", "input.advance.to")),
        ({"to": "0001-01-01T00:00:00Z"}, ("CLOCK_TURNED_BACK", "input.advance.to")),
        ({"by": "P11Y"}, ("CLOCK_ADVANCE_TOO_FAR", "input.advance.by")),
        ({"by": "P99999Y"}, ("CLOCK_ADVANCE_TOO_FAR", "input.advance.by")),
        ({"to": "9999-12-31T23:59:59Z"}, ("CLOCK_ADVANCE_TOO_FAR", "input.advance.to")),
        ({"to": "2030-02-01"}, ("BAD_USER_INPUT", "input.advance.to")),
        ({"to": "2030-02-01T00:00:00"}, ("BAD_USER_INPUT", "input.advance.to")),
        ({"to": None}, ("BAD_USER_INPUT", "input.advance.to")),
        ({"by": 31}, ("BAD_USER_INPUT", "input.advance.by")),
        ({}, ("BAD_USER_INPUT", "input.advance")),
        ({"to": "2030-02-01T00:00:00Z", "by": "P1D"}, ("BAD_USER_INPUT", "input.advance")),
        ({"until": "P1D"}, ("BAD_USER_INPUT", "input.advance")),
    ],
    ids=str,
)
def test_each_mistake_is_named_and_the_clock_stays(
    sandbox: Sandbox, how_far: dict[str, Any], complaint: tuple[str, str]
) -> None:
    with sandbox.api.unchanged():
        answer = sandbox.advance("bad input", **how_far)

    assert complaint in answer.complaints, answer.body
    assert sandbox.sqs.bodies == []


@pytest.mark.parametrize("key", ["", " ", "x" * 257, "a\x00b"])
def test_a_key_has_the_bounds_of_every_key(sandbox: Sandbox, key: str) -> None:
    with sandbox.api.unchanged():
        assert sandbox.advance(key, by="P1D").refusals == [("INVALID_TEXT", "input.idempotencyKey")]


def test_a_key_that_was_used_for_another_turn_is_refused(sandbox: Sandbox) -> None:
    sandbox.advance("used", by="P1D")
    sandbox.work()

    with sandbox.api.unchanged():
        assert sandbox.advance("used", by="P2D").refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P31D", {"days": 31}),
        ("P2W", {"days": 14}),
        ("PT12H", {"hours": 12}),
        ("P1Y6M", {"years": 1, "months": 6}),
        ("P1DT0.5S", {"days": 1, "microseconds": 500_000}),
        ("PT0.0015S", {"seconds": 0, "microseconds": 1_000}),
        ("-P1M", {"months": -1}),
    ],
)
def test_durations_are_those_of_iso_8601(text: str, expected: dict[str, int]) -> None:
    read = duration_from(text)

    assert {name: getattr(read, name) for name in expected} == expected


# --- stacks whose clock cannot be turned --------------------------------------------------------------------------------


@pytest.fixture(
    scope="module", params=["created as a sandbox, not deployed as one", "deployed as a sandbox, not created as one"]
)
def ordinary(request: pytest.FixtureRequest, ministack: Engine) -> Iterator[Api]:
    created = request.param.startswith("created")
    with deployed(
        ministack, f"regulars-ordinary-{created}", sandbox=created, clock_queue=None if created else QUEUE_URL
    ) as api:
        yield api


def test_only_a_stack_that_was_created_and_deployed_as_a_sandbox_is_one(ordinary: Api, clock: Clock) -> None:
    """Even where somebody has put a clock into its table."""
    ordinary.client.put_item(
        TableName=ordinary.table,
        Item={"PK": {"S": "CFG"}, "SK": {"S": "CLOCK"}, "at": {"N": "86400000"}, "j": {"S": "x"}},
    )

    with ordinary.unchanged():
        advanced = ordinary.post(manager(), ADVANCE, input={"idempotencyKey": "1", "advance": {"by": "P1D"}})
    shown = ordinary.post(manager(), CLOCK).data["clock"]

    assert advanced.refusals == [("NOT_A_SANDBOX", None)]
    assert (instant(shown["now"]), shown["isSandbox"], shown["job"]) == (clock.now, False, None)


def test_a_stack_that_is_not_deployed_as_a_sandbox_reads_nothing_for_its_clock(
    ministack: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def seen(params: Mapping[str, Any], **_: Any) -> None:
        asked.append(json.dumps(params["Key"]))

    # What botocore registers with every client that is made from now on.
    watching = ("before-parameter-build.dynamodb.GetItem", seen)
    monkeypatch.setattr(botocore_handlers, "BUILTIN_HANDLERS", [*botocore_handlers.BUILTIN_HANDLERS, watching])
    with deployed(ministack, "regulars-no-clock") as api:
        api.enroll("no-clock-here")
        api.post(manager(), CLOCK)
        api.balance("no-clock-here")

    assert asked, "the look-up of the member was seen"
    assert not [key for key in asked if "CFG" in key]


def test_times_are_told_to_the_millisecond(sandbox: Sandbox) -> None:
    assert instant(sandbox.show()["now"]).tzinfo == UTC
    assert sandbox.show()["now"].endswith("Z")
