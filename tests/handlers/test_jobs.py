"""The scheduled Lambdas on a real table, with a queue in between that the tests can look into and tamper with."""

import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError, EndpointConnectionError

from domain import agenda, clock, limits, visits
from domain.agenda import Round, Turn
from domain.clock import Job, JobStatus
from domain.programs import Program
from domain.refusals import OutcomeUnknown
from handlers import jobs, reasons, runtime
from handlers.jobs import Clockwork, Planner, Visitor
from handlers.queue import NotSent
from storage.agenda import DueRows
from storage.clock import ClockTable
from storage.programs import Programs
from storage.table import Table
from tests.domain.world import MANAGER, at, buy, close, day, enroll, merge, program
from tests.engines import Engine
from tests.storage.tables import SHARDS, Tables, fresh_table

SHORT = program(expiry={"months": 0, "days": 10, "rounding": "day"}, pending={"days": 3}, notices={"stages": []})


class Mailbox:
    """A queue that keeps what it is sent; it may refuse everything from some message on."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.delays: list[timedelta] = []
        self.said: list[Mapping[str, str]] = []
        self.full_at: int | None = None

    def send(
        self, bodies: Iterable[str], *, delay: timedelta = timedelta(), attributes: Mapping[str, str] | None = None
    ) -> None:
        for body in bodies:
            if self.full_at is not None and len(self.bodies) >= self.full_at:
                raise NotSent("InternalError")
            self.bodies.append(body)
            self.delays.append(delay)
            self.said.append(attributes or {})

    def take(self) -> list[str]:
        taken, self.bodies = self.bodies, []
        return taken


@dataclass
class Context:
    """The part of a Lambda's context that the handlers look at."""

    seconds: float = 120
    function_name: str = "regulars-jobs"
    aws_request_id: str = "request-1"

    def __post_init__(self) -> None:
        self._ends = time.monotonic() + self.seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - time.monotonic()) * 1_000)


@dataclass
class Stack:
    """Planner, visitors and clockwork on one table."""

    tables: Tables
    terms: Program | None = SHORT
    now: datetime = field(default_factory=lambda: at("2090-03-01"))
    mailbox: Mailbox = field(default_factory=Mailbox)
    clock_mailbox: Mailbox = field(default_factory=Mailbox)
    failures: Mailbox = field(default_factory=Mailbox)
    log_stream: io.StringIO = field(default_factory=io.StringIO)

    def logger(self) -> Logger:
        # Powertools keeps a logger for each name, and with it the stream it first wrote to.
        return Logger(f"jobs-{uuid4()}", stream=self.log_stream)

    def told(self) -> list[dict[str, Any]]:
        """What was logged of things that went wrong."""
        return [line for line in map(json.loads, self.log_stream.getvalue().splitlines()) if "exception_name" in line]

    @property
    def store(self) -> Table:
        return self.tables.store

    @property
    def jobs_store(self) -> Table:
        """As the jobs have it: without the secret."""
        return Table(self.tables.connection, self.tables.name, pepper=None, shards=SHARDS)

    @property
    def rows(self) -> DueRows:
        return DueRows(self.tables.connection, self.tables.name, shards=SHARDS)

    @property
    def planner(self) -> Planner:
        return Planner(self.rows, self.mailbox, lambda: self.terms, lambda: self.now, self.logger())  # type: ignore[arg-type]

    @property
    def visitor(self) -> Visitor:
        return Visitor(
            self.jobs_store,
            self.mailbox,  # type: ignore[arg-type]
            lambda: self.terms,
            lambda: self.now,
            self.logger(),
            self.failures,  # type: ignore[arg-type]
        )

    def plan(self, on: str | None = None) -> list[str]:
        """One run of the schedule; what it handed on."""
        self.now = at(on) if on else self.now
        self.planner.plan()
        return self.mailbox.take()

    def visit(self, *bodies: str, context: Context | None = None, delivery: int = 1) -> list[int]:
        """One batch; the places of the messages that have to come again."""
        return failed(self.visitor.visit(batch(bodies, delivery), context or Context()))

    def member(self, name: str) -> None:
        enroll(self.store, name, self.now)
        buy(self.store, name, 5_000, self.now, receipt=name, program=SHORT)

    def log(self, name: str) -> list[str]:
        found = self.store.records_after(name.upper(), 0, limit=100)
        return [entry.kind.value for record in found for entry in record.entries]


def batch(bodies: Sequence[str], delivery: int = 1) -> dict[str, Any]:
    """What the platform calls a function with."""
    return {
        "Records": [
            {
                "messageId": f"message-{place}",
                "receiptHandle": "handle",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": str(delivery),
                    "SentTimestamp": "1795191540000",
                    "ApproximateFirstReceiveTimestamp": "1795191541234",
                },
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:visits",
                "awsRegion": "eu-central-1",
            }
            for place, body in enumerate(bodies)
        ]
    }


def failed(answer: Mapping[str, Any]) -> list[int]:
    return [int(each["itemIdentifier"].removeprefix("message-")) for each in answer["batchItemFailures"]]


StackT = TypeVar("StackT", bound=Stack)


def planned_up_to_now(stack: StackT) -> StackT:
    """A stack that is not new: the first run ever looks through two months of due rows."""
    for round_ in Round:
        stack.rows.move_mark(round_, day("2090-03-01"))
    return stack


@pytest.fixture
def stack(ministack: Engine, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "jobs")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Regulars")
    return planned_up_to_now(Stack(fresh_table(ministack)))


@contextmanager
def unchanged(stack: Stack) -> Iterator[None]:
    before = stack.tables.contents()
    yield
    assert stack.tables.contents() == before


# --- from the schedule to the books -------------------------------------------------------------------------------------


def test_points_expire_in_the_books_on_the_day_after_their_last(stack: Stack) -> None:
    stack.member("ada")

    assert stack.visit(*stack.plan("2090-03-11 23:30")) == []
    assert stack.log("ada") == ["ENROLLMENT", "PURCHASE", "MATURITY"]

    assert stack.visit(*stack.plan("2090-03-12 00:30")) == []
    assert stack.log("ada") == ["ENROLLMENT", "PURCHASE", "MATURITY", "EXPIRY"]


def test_each_hour_the_schedule_comes_and_finds_once_a_day_something_to_do(stack: Stack) -> None:
    stack.member("ada")
    handed = {hour: len(stack.plan(f"2090-03-12 {hour:02}:00")) for hour in range(24)}

    # Booked in the first hour; told in the first that is not quiet.
    assert {hour for hour, turns in handed.items() if turns} == {0, 9}


def test_the_program_is_the_one_that_says_what_today_is(stack: Stack) -> None:
    stack.member("ada")
    stack.terms = program(timezone="Pacific/Kiritimati")

    stack.plan("2090-03-11 12:00")  # New York's noon is the next day there.

    assert stack.rows.mark(Round.BOOK) == day("2090-03-12")


def test_a_missed_week_is_caught_up(stack: Stack) -> None:
    stack.member("ada")
    stack.plan("2090-03-01")
    stack.plan("2090-03-02")

    stack.visit(*stack.plan("2090-03-19"))

    assert stack.log("ada")[2:] == ["MATURITY", "EXPIRY"]


def test_without_a_program_there_is_nobody_to_visit(stack: Stack) -> None:
    stack.terms = None

    stack.now = at("2090-03-12 10:00")

    assert stack.planner.plan() == []
    assert (stack.mailbox.bodies, stack.rows.mark(Round.BOOK)) == ([], day("2090-03-01"))


def test_a_planner_whose_queue_is_full_fails_and_the_next_hour_plans_everything(stack: Stack) -> None:
    stack.now = at("2090-03-12 10:00")
    for number in range(250):
        stack.store.note_due(f"M{number}", [day("2090-03-12")])
    stack.mailbox.full_at = 1

    with pytest.raises(NotSent):
        stack.planner.plan()
    assert stack.rows.mark(Round.BOOK) == day("2090-03-01")

    stack.mailbox.full_at = None
    turns = [agenda.turn_from(body) for body in stack.plan("2090-03-12 11:00")]
    for round_ in (Round.BOOK, Round.TELL):
        assert {a for turn in turns if turn.round is round_ for a in turn.accounts} == {f"M{n}" for n in range(250)}


def test_a_planner_killed_between_its_messages_and_its_mark_sends_them_again(stack: Stack) -> None:
    stack.member("ada")
    rows = stack.rows

    class Dies:
        shards, accounts, mark = rows.shards, rows.accounts, rows.mark

        def move_mark(self, *_: object) -> None:
            raise KeyboardInterrupt

    stack.now = at("2090-03-12 00:30")
    with pytest.raises(KeyboardInterrupt):
        Planner(Dies(), stack.mailbox, lambda: stack.terms, lambda: stack.now, stack.logger()).plan()  # type: ignore[arg-type]
    first = stack.mailbox.take()
    second = stack.plan()

    assert first == second != []
    assert stack.visit(*first, *second) == []
    assert stack.log("ada")[2:] == ["MATURITY", "EXPIRY"]


# --- messages that come twice, late, and altered ------------------------------------------------------------------------


def test_a_message_that_comes_many_times_books_once(stack: Stack) -> None:
    stack.member("ada")
    turns = stack.plan("2090-03-12 00:30")

    for _ in range(3):
        assert stack.visit(*turns, *turns) == []

    assert stack.log("ada")[2:] == ["MATURITY", "EXPIRY"]


def test_a_visitor_killed_half_way_is_followed_by_one_that_books_the_rest(stack: Stack, monkeypatch: Any) -> None:
    for name in ("ada", "bob", "eve"):
        stack.member(name)
    turns = stack.plan("2090-03-12 00:30")
    visit, visited = visits.visit, list[str]()

    def dies(store: Any, terms: Program, account: str, **more: Any) -> visits.Visited:
        if visited:
            raise KeyboardInterrupt
        visited.append(account)
        return visit(store, terms, account, **more)

    with monkeypatch.context() as patch:
        patch.setattr(visits, "visit", dies)
        with pytest.raises(KeyboardInterrupt):
            stack.visit(*turns)
    assert sorted(len(stack.log(name)) for name in ("ada", "bob", "eve")) == [2, 2, 4]

    assert stack.visit(*turns, delivery=2) == []
    assert all(stack.log(name)[2:] == ["MATURITY", "EXPIRY"] for name in ("ada", "bob", "eve"))


@pytest.mark.parametrize(
    "altered",
    ["", "{", "[]", '{"accounts":["ADA"]}', '{"accounts":[7],"day":43900,"round":"book"}', "\x00"],
)
def test_an_altered_message_fails_alone_and_at_once(stack: Stack, altered: str) -> None:
    stack.member("ada")
    (turn,) = stack.plan("2090-03-12 00:30")

    assert stack.visit(altered, turn, altered) == []

    assert stack.log("ada")[2:] == ["MATURITY", "EXPIRY"]
    assert stack.failures.bodies == [altered, altered]
    # Why, is in the log under the message's id too.
    assert [(line["exception_name"], line["message_id"], line["delivery"]) for line in stack.told()] == [
        ("NotATurn", "message-0", "1"),
        ("NotATurn", "message-2", "1"),
    ]


def test_a_batch_in_which_every_message_fails_is_answered_all_the_same(stack: Stack) -> None:
    early = Turn(("ADA",), day("2090-03-12"), Round.BOOK).text()

    assert stack.visit(early, early) == [0, 1]


# --- messages that are given up -----------------------------------------------------------------------------------------


def test_what_fails_for_the_last_time_is_kept_with_its_reason_and_done(stack: Stack) -> None:
    early = Turn(("ADA",), day("2090-03-12"), Round.BOOK).text()

    for delivery in range(1, limits.DELIVERIES_MAX):
        assert stack.visit(early, delivery=delivery) == [0]
    assert stack.failures.bodies == []

    assert stack.visit(early, delivery=limits.DELIVERIES_MAX) == []
    assert stack.failures.bodies == [early]
    assert stack.failures.said == [
        {
            "reason": "TooEarly: 2090-03-12 has not begun",
            "function": "regulars-jobs",
            "requestId": "request-1",
            "messageId": "message-0",
            "firstTriedAt": "2026-11-20T16:19:01.234Z",
            "tries": "5",
        }
    ]


def test_what_the_queue_of_failures_does_not_take_comes_again_so_that_the_platform_keeps_it(stack: Stack) -> None:
    stack.failures.full_at = 0

    assert stack.visit("poison", delivery=limits.DELIVERIES_MAX) == [0]
    assert [line["exception_name"] for line in stack.told()] == ["NotATurn", "NotSent"]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "InvalidParameterValue", "Message": "too long"}}, "SendMessageBatch"),
        EndpointConnectionError(endpoint_url="https://sqs.example"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_queue_of_failures_that_cannot_be_reached_fails_nobody_else(stack: Stack, error: Exception) -> None:
    stack.member("ada")
    (turn,) = stack.plan("2090-03-12 00:30")

    def away(*_: Any, **__: Any) -> None:
        raise error

    stack.failures.send = away  # type: ignore[method-assign]

    assert stack.visit("poison", turn) == [0]
    assert stack.log("ada")[2:] == ["MATURITY", "EXPIRY"]


def test_without_a_queue_of_failures_what_fails_comes_again(stack: Stack) -> None:
    visitor = replace(stack.visitor, failures=None)

    answer = visitor.visit(batch(["poison"], limits.DELIVERIES_MAX), Context())

    assert failed(answer) == [0]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb\x00c\x1b[2J\ud800"), "ValueError: a\\nb\\x00c\\x1b[2J\\ud800"),
        (ValueError(), "ValueError"),
        (KeyError("é☕𝄞"), "KeyError: 'é☕𝄞'"),
        (ValueError("x" * 1_000), "ValueError: " + "x" * (limits.FAILURE_REASON_LENGTH_MAX - 12)),
    ],
    ids=["controls", "silent", "any script", "long"],
)
def test_a_reason_is_a_line_that_a_queue_takes_whatever_the_error_quotes(error: Exception, text: str) -> None:
    assert reasons.text_of(error) == text


def test_a_message_for_somebody_nobody_knows_is_done(stack: Stack) -> None:
    with unchanged(stack):
        assert stack.visit(Turn(("NOBODY", "x#y", "é☕"), day("2090-03-01"), Round.BOOK).text()) == []


def test_a_message_for_a_merged_member_is_done_where_they_live_on(stack: Stack) -> None:
    stack.member("ada")
    stack.member("bob")
    merge(stack.store, "ada", "bob", at("2090-03-02"), key="m", program=SHORT)
    stack.now = at("2090-03-12 00:30")

    assert stack.visit(Turn(("ADA",), day("2090-03-12"), Round.BOOK).text()) == []

    assert stack.log("ada")[-1] == "MERGED"
    assert stack.log("bob")[-1] == "EXPIRY"


def test_a_message_for_a_closed_account_is_done_and_books_nothing(stack: Stack) -> None:
    stack.member("ada")
    close(stack.store, "ada", at("2090-03-02"), key="c")
    before = stack.log("ada")
    stack.now = at("2090-03-12 00:30")

    assert stack.visit(Turn(("ADA",), day("2090-03-12"), Round.BOOK).text()) == []
    assert stack.log("ada") == before


def test_a_message_of_a_day_that_has_not_begun_waits(stack: Stack) -> None:
    """The planner's machine is a moment ahead of the visitor's: visited now, points would stay unbooked."""
    stack.member("ada")
    turns = stack.plan("2090-03-12 00:00")
    stack.now -= timedelta(milliseconds=1)

    assert stack.visit(*turns) == [0]
    assert stack.log("ada") == ["ENROLLMENT", "PURCHASE"]

    stack.now += timedelta(milliseconds=1)
    assert stack.visit(*turns, delivery=2) == []
    assert stack.log("ada")[2:] == ["MATURITY", "EXPIRY"]


def test_a_message_of_a_day_in_the_far_future_never_books_early(stack: Stack) -> None:
    stack.member("ada")

    assert stack.visit(Turn(("ADA",), day("2090-03-12"), Round.TELL).text()) == [0]
    assert stack.log("ada") == ["ENROLLMENT", "PURCHASE"]


def test_a_turn_to_tell_that_comes_in_quiet_hours_waits_in_the_queue(stack: Stack, monkeypatch: Any) -> None:
    told: list[bool] = []

    def look(*_: Any, telling: bool, **__: Any) -> visits.Visited:
        told.append(telling)
        return visits.Visited()

    monkeypatch.setattr(visits, "visit", look)
    turn = Turn(("ADA",), day("2090-03-12"), Round.TELL).text()
    stack.now = at("2090-03-12 21:00")

    assert stack.visit(turn) == []
    assert (told, stack.mailbox.take(), stack.mailbox.delays) == ([], [turn], [limits.MESSAGE_DELAY_MAX])

    stack.now = at("2090-03-13 09:00")
    assert stack.visit(turn) == []
    assert (told, stack.mailbox.bodies) == ([True], [])


def test_one_account_that_cannot_be_visited_holds_up_no_other(stack: Stack, monkeypatch: Any) -> None:
    for name in ("ada", "bob", "eve"):
        stack.member(name)
    turns = stack.plan("2090-03-12 00:30")
    visit = visits.visit

    def busy(store: Any, terms: Program, account: str, **more: Any) -> visits.Visited:
        if account == "BOB":
            raise OutcomeUnknown("busy")
        return visit(store, terms, account, **more)

    with monkeypatch.context() as patch:
        patch.setattr(visits, "visit", busy)
        assert stack.visit(*turns) == [0]
    assert [len(stack.log(name)) for name in ("ada", "bob", "eve")] == [4, 2, 4]
    assert [(line["exception_name"], line.get("account")) for line in stack.told()] == [
        ("OutcomeUnknown", "BOB"),
        ("NotDone", None),
    ]

    assert stack.visit(*turns, delivery=2) == []
    assert stack.log("bob")[2:] == ["MATURITY", "EXPIRY"]


def test_a_visitor_that_is_about_to_be_ended_lets_the_rest_come_again(stack: Stack) -> None:
    stack.member("ada")
    turns = stack.plan("2090-03-12 00:30")

    assert stack.visit(*turns, context=Context(seconds=1)) == [0]
    assert stack.log("ada") == ["ENROLLMENT", "PURCHASE"]


# --- the clock's own function -------------------------------------------------------------------------------------------


@dataclass
class Sandbox(Stack):
    """A stack that was created as a sandbox."""

    def __post_init__(self) -> None:
        Programs(self.tables.connection, self.tables.name).publish(SHORT, sandbox=True)

    @property
    def clocks(self) -> ClockTable:
        return ClockTable(self.tables.connection, self.tables.name)

    @property
    def clockwork(self) -> Clockwork:
        return Clockwork(
            self.clocks,
            self.rows,
            self.jobs_store,
            self.clock_mailbox,  # type: ignore[arg-type]
            lambda: self.terms,
            lambda: self.now,
            self.logger(),
            self.failures,  # type: ignore[arg-type]
        )

    def begin(self, until: str) -> Job:
        now = runtime.program_time(self.clocks, self.now)
        advanced = clock.advance(
            self.clocks, SHORT, actor=MANAGER, idempotency_key=until, to=at(until), now=now, wall=self.now
        )
        return advanced.job

    def turn(self, *bodies: str, context: Context | None = None, delivery: int = 1) -> list[int]:
        return failed(self.clockwork.turn(batch(bodies, delivery), context or Context(seconds=300)))

    def job(self, job: Job) -> Job:
        found = self.clocks.job(job.id)
        assert found is not None
        return found


@pytest.fixture
def sandbox(ministack: Engine, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "clockwork")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Regulars")
    return planned_up_to_now(Sandbox(fresh_table(ministack)))


def test_a_job_is_done_from_its_message(sandbox: Sandbox) -> None:
    sandbox.member("ada")
    job = sandbox.begin("2090-03-20")

    assert sandbox.turn(jobs.job_text(job.id)) == []

    done = sandbox.job(job)
    assert (done.status, done.days_done, dict(done.counts)) == (JobStatus.DONE, 19, {"MATURITY": 1, "EXPIRY": 1})
    assert sandbox.log("ada")[2:] == ["MATURITY", "EXPIRY"]
    assert runtime.program_time(sandbox.clocks, sandbox.now) == at("2090-03-20")
    assert sandbox.clock_mailbox.bodies == []


def test_what_the_clock_did_the_schedule_need_not_do(sandbox: Sandbox) -> None:
    sandbox.member("ada")
    sandbox.turn(jobs.job_text(sandbox.begin("2090-03-20").id))

    wall, sandbox.now = sandbox.now, runtime.program_time(sandbox.clocks, sandbox.now)
    assert sandbox.plan() == []
    sandbox.now = wall


def test_a_call_without_time_hands_the_job_on_to_the_next(sandbox: Sandbox) -> None:
    sandbox.member("ada")
    job = sandbox.begin("2090-03-20")
    calls, messages = 0, [jobs.job_text(job.id)]

    while messages:
        # A second more than the clockwork keeps for itself.
        assert sandbox.turn(*messages, context=Context(seconds=30.1)) == []
        calls, messages = calls + 1, sandbox.clock_mailbox.take()
        assert calls < 1_000

    assert calls > 1
    assert sandbox.job(job).status is JobStatus.DONE
    assert sandbox.log("ada")[2:] == ["MATURITY", "EXPIRY"]


def test_a_message_that_comes_again_after_the_job_is_done_does_nothing(sandbox: Sandbox) -> None:
    job = sandbox.begin("2090-03-20")
    sandbox.turn(jobs.job_text(job.id))

    with unchanged(sandbox):
        assert sandbox.turn(jobs.job_text(job.id), delivery=2) == []
    assert sandbox.clock_mailbox.bodies == []


@pytest.mark.parametrize("altered", ["", "[]", '{"job":7}', '{"job":""}', '{"job":"x","more":1}'])
def test_an_altered_message_of_the_clock_fails_alone_and_at_once(sandbox: Sandbox, altered: str) -> None:
    job = sandbox.begin("2090-03-02")

    assert sandbox.turn(altered, jobs.job_text(job.id)) == []
    assert sandbox.job(job).status is JobStatus.DONE
    assert sandbox.failures.bodies == [altered]
    assert sandbox.failures.said[0]["reason"].startswith("NotAJob: it ")


def test_a_job_that_fails_five_times_is_said_to_have_failed(sandbox: Sandbox, monkeypatch: Any) -> None:
    sandbox.member("ada")
    job = sandbox.begin("2090-03-20")

    def busy(*_: Any, **__: Any) -> visits.Visited:
        raise OutcomeUnknown("busy")

    with monkeypatch.context() as patch:
        patch.setattr(visits, "visit", busy)
        for delivery in range(1, limits.DELIVERIES_MAX + 1):
            assert sandbox.job(job).status in (JobStatus.QUEUED, JobStatus.RUNNING)
            assert sandbox.turn(jobs.job_text(job.id), delivery=delivery) == [0][: delivery < limits.DELIVERIES_MAX]

    assert sandbox.failures.bodies == [jobs.job_text(job.id)]
    assert sandbox.failures.said[0]["reason"].startswith("OutcomeUnknown: busy")
    failed_job = sandbox.job(job)
    assert (failed_job.status, failed_job.failure) == (JobStatus.FAILED, "It failed 5 times: OutcomeUnknown.")
    # Another one goes on from where it was.
    assert sandbox.turn(jobs.job_text(sandbox.begin("2090-03-21").id)) == []
    assert sandbox.log("ada")[2:] == ["MATURITY", "EXPIRY"]
