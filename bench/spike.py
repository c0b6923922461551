"""Ten times as many submitted purchases as usual, through a real queue and the real worker: what piles up, how it drains, and
whether every purchase is booked, once.

    python -m bench.spike [--quick]

Queue and table are MiniStack's, workers are threads with clients of their own, and all of it shares this machine. So it is first
measured what the workers can do, and the load follows from that: seconds and rates say how a backlog drains, and nothing about
AWS (docs/scale.md simulates that). Some messages are sent twice, some workers die in the middle of a batch. What is checked is
the count: each member must have what follows from the requests alone.
"""

import contextlib
import io
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from pynamodb.connection import Connection

from bench import report, stage
from bench.report import Figure, Section
from bench.stage import Stage
from domain import limits, submissions
from domain.entries import Basket, EntryKind, Money
from domain.members import Lookup
from domain.submissions import Offer, Status
from handlers.ingest import Ingester
from storage.submissions import SubmissionTable
from storage.table import Table
from tests.engines import run_ministack

TABLE = "bench-spike"
MEMBERS = 300
WORKERS = 4
SOURCE = "spike"
# Purchases with which it is measured what the workers can do.
PROBE, PROBE_QUICK = 400, 150
# Usual load is so much of that; a spike is ten times as much, for so long.
USUAL_SHARE, SPIKE = 0.25, 10
USUAL_S, SPIKE_S, SPIKE_S_QUICK = 5, 8, 4
# The backlog drains in twice the time of the spike, if no worker gets slower by it.
DRAIN_BY_ARITHMETIC = (SPIKE * USUAL_SHARE - 1) / (1 - USUAL_SHARE)
# It may take ten times as long as that, because the machine does other things too; and there is an end to everything.
DRAIN_MAX, END_S_MAX = 20, 600
BATCH, CALL_MESSAGES = 50, 10
# So long a message is hidden, longer than any batch takes; and that of a worker who died, which comes after six minutes on AWS.
VISIBILITY_S, VISIBILITY_DEAD_S = 300, 3
# Submitted together by the till while it goes on.
PART = 50
TWICE_RATE, DEATH_RATE = 0.05, 0.04
TICK_S = 0.1


class Died(BaseException):
    """The worker's process is gone."""


class Deadly:
    """A connection whose process dies at a call, right before it or right after."""

    def __init__(self, connection: Connection, chance: random.Random) -> None:
        self._connection, self._chance = connection, chance
        self.calls_left: int | None = None

    def dispatch(self, operation_name: str, operation_kwargs: dict[str, Any]) -> dict[str, Any]:
        """One request."""
        if self.calls_left is None:
            return dict(self._connection.dispatch(operation_name, operation_kwargs))
        self.calls_left -= 1
        if self.calls_left > 0:
            return dict(self._connection.dispatch(operation_name, operation_kwargs))
        self.calls_left = None
        if self._chance.random() < 0.5:
            self._connection.dispatch(operation_name, operation_kwargs)
        raise Died


class Context:
    """What Lambda tells the worker about the call."""

    function_name = "ingester"
    aws_request_id = "00000000-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """All the time there is."""
        return 60_000


@dataclass
class Crossing:
    """A queue with its senders and workers, and what went through it so far."""

    on: Stage
    sqs: Any
    url: str
    counts: Counter[str] = field(default_factory=Counter)
    is_open: bool = True
    troubles: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._done: set[str] = set()

    @property
    def backlog(self) -> int:
        """Messages that were sent and are not done, with those that are worked on."""
        with self._lock:
            return self.counts["sent"] - len(self._done)

    @property
    def done(self) -> int:
        """Messages that are done."""
        with self._lock:
            return len(self._done)

    def send(self, bodies: Sequence[str]) -> None:
        """Sends messages."""
        for first in range(0, len(bodies), CALL_MESSAGES):
            part = bodies[first : first + CALL_MESSAGES]
            entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(part)]
            assert not self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries).get("Failed")
            self._count(sent=len(part))

    def work(self, worker: int) -> None:
        """A worker's life, and those of the ones after it."""
        try:
            self._work(random.Random(f"worker {worker}"))  # noqa: S311 (variety, not secrecy)
        except BaseException as trouble:
            self.troubles.append(trouble)
            raise

    def _work(self, chance: random.Random) -> None:
        mine = stage.on_engine(self.on.engine)
        sqs = boto3.client("sqs", **self.on.engine.client_kwargs)
        deadly: Any = Deadly(mine.connection, chance)
        ingester = Ingester(
            store=Table(deadly, TABLE, pepper=stage.SECRET.encode(), shards=stage.SHARDS),
            submissions=SubmissionTable(deadly, TABLE),
            program=lambda: self.on.program,
            wall=lambda: datetime.now(UTC),
            now=lambda wall: wall,
            logger=Logger("ingester", stream=io.StringIO()),
        )
        while self.is_open:
            batch = _received(sqs, self.url)
            if not batch:
                time.sleep(TICK_S)
                continue
            deadly.calls_left = chance.randrange(1, 4 * len(batch)) if chance.random() < DEATH_RATE else None
            try:
                answer = ingester.take({"Records": [_record(message) for message in batch]}, Context())
            except Died:
                # Nobody deletes anything: all of it comes again.
                for message in batch:
                    handle = {"QueueUrl": self.url, "ReceiptHandle": message["ReceiptHandle"]}
                    sqs.change_message_visibility(**handle, VisibilityTimeout=VISIBILITY_DEAD_S)
                self._count(deaths=1, died_with=len(batch))
                continue
            failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
            finished = [message for message in batch if message["MessageId"] not in failed]
            _delete(sqs, self.url, finished)
            again = sum(int(message["Attributes"]["ApproximateReceiveCount"]) > 1 for message in batch)
            with self._lock:
                self._done.update(message["MessageId"] for message in finished)
                self.counts.update(batches=1, failed=len(failed), came_again=again)

    def _count(self, **more: int) -> None:
        with self._lock:
            self.counts.update(more)


def _received(sqs: Any, url: str) -> list[dict[str, Any]]:
    """A batch as a mapping collects it: of several calls, and of no message twice."""
    batch: dict[str, dict[str, Any]] = {}
    while len(batch) < BATCH:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=CALL_MESSAGES, VisibilityTimeout=VISIBILITY_S, AttributeNames=["All"]
        )
        found = answer.get("Messages", [])
        batch |= {message["MessageId"]: message for message in found}
        if len(found) < CALL_MESSAGES:
            break
    return list(batch.values())


def _record(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"messageId": message["MessageId"], "body": message["Body"], "attributes": message["Attributes"]}


def _delete(sqs: Any, url: str, messages: Sequence[Mapping[str, Any]]) -> None:
    for first in range(0, len(messages), CALL_MESSAGES):
        entries = [
            {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
            for place, message in enumerate(messages[first : first + CALL_MESSAGES])
        ]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)


# --- the load ---------------------------------------------------------------------------------------------------------


@dataclass
class Till:
    """Whoever submits purchases: what was asked for, by member, and the messages that came of it."""

    on: Stage
    store: Table
    kept: SubmissionTable
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 (variety, not secrecy)
    asked: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    submitted: list[str] = field(default_factory=list)

    def messages(self, count: int) -> list[str]:
        """So many purchases as messages in a random order, some of them twice."""
        found: list[str] = []
        while count > 0:
            part = min(count, limits.SUBMISSION_PURCHASES_MAX)
            count -= part
            self._submit(part, found)
        found += self.chance.sample(found, int(len(found) * TWICE_RATE))
        self.chance.shuffle(found)
        return found

    def _submit(self, count: int, found: list[str]) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        offers = []
        for place in range(count):
            number, member = f"{len(self.submitted)}-{place}", self.chance.randrange(MEMBERS)
            cents = self.chance.randrange(100, 9_000)
            self.asked[_name(member)][number] = cents
            basket = Basket(now, Money(cents, "USD"), "harbor", "store", ())
            offers.append(Offer(SOURCE, number, Lookup("external", _name(member)), basket, is_dated=True))
        answer = submissions.submit(
            self.kept,
            self.store,
            self.on.program,
            actor=stage.till(),
            idempotency_key=f"spike-{len(self.submitted)}",
            offers=offers,
            now=now,
            wall=now,
            send=found.extend,
        )
        assert all(item.refusal is None for item in answer.submission.items)
        self.submitted.append(answer.submission.id)

    def audit(self) -> tuple[int, int]:
        """How many purchases are lost, and how many are doubled, or not worth what they were."""
        lost = wrong = 0
        for number in range(MEMBERS):
            asked, account = self.asked[_name(number)], _account(number)
            records = _log(self.store, account)
            booked = [
                (entry.key.value, entry.points)
                for record in records
                for entry in record.entries
                if entry.kind is EntryKind.PURCHASE and entry.key is not None
                if entry.key.source == SOURCE
            ]
            times = Counter(name for name, _ in booked)
            lost += len(asked.keys() - times.keys())
            # A point for each whole dollar.
            wrong += sum(times.values()) - len(times)
            wrong += sum(asked.get(name, -1) // 100 != points for name, points in booked)
        for submission in map(self.kept.find, self.submitted):
            assert submission is not None
            tally = submissions.tally(self.kept, self.store, submission, wall=datetime.now(UTC))
            lost += len(submission.items) - tally[Status.APPLIED]
        return lost, wrong


def _log(store: Table, account: str) -> list[Any]:
    found: list[Any] = []
    while page := store.records_after(account, len(found), limit=500):
        found += page
    return found


def _name(number: int) -> str:
    return f"spike-{number}"


def _account(number: int) -> str:
    return f"01JBENCHSPIKE{number:013}"


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Waiting:
    """Messages that were made before anybody has to send them, and more of them where they were too few."""

    till: Till
    left: list[str]

    def take(self) -> str:
        """The next one."""
        if not self.left:
            self.left += self.till.messages(PART)
        return self.left.pop()


@dataclass(slots=True)
class Phase:
    """A part of the run, as it was seen."""

    name: str
    seconds: float
    sent: int
    done: int
    backlog_max: int
    backlog_end: int


def measure(*, quick: bool) -> list[Section]:
    """Usual load, a spike, and usual load until nothing more waits."""
    with run_ministack("dynamodb,sqs") as engine:
        on = stage.on_engine(engine)
        store = on.table(TABLE)
        now = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        for number in range(MEMBERS):
            on.put(TABLE, stage.member_of_purchases(_name(number), _account(number), 1, now))
        sqs = boto3.client("sqs", **engine.client_kwargs)
        crossing = Crossing(on, sqs, sqs.create_queue(QueueName=TABLE)["QueueUrl"])
        till = Till(on, store, SubmissionTable(on.connection, TABLE))
        # What functions print of themselves belongs to no report.
        with contextlib.redirect_stdout(io.StringIO()):
            phases = list(_phases(crossing, till, quick=quick))
        lost, doubled = till.audit()
    return [_section(crossing, phases, lost, doubled)]


def _phases(crossing: Crossing, till: Till, *, quick: bool) -> Iterator[Phase]:
    probe, spike_s = (PROBE_QUICK, SPIKE_S_QUICK) if quick else (PROBE, SPIKE_S)
    # Everything is made before anything is sent: making messages would take from the workers.
    crossing.send(till.messages(probe))
    workers = [threading.Thread(target=crossing.work, args=(number,), daemon=True) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    try:
        first = _until_drained(crossing, "as fast as it goes", None, 0, 0)
        yield first
        usual = USUAL_SHARE * first.done / first.seconds
        waiting = Waiting(till, till.messages(int(usual * (USUAL_S + SPIKE * spike_s)) + PART))
        yield _sent_for(crossing, "usual load", waiting, usual, USUAL_S)
        usual_backlog = crossing.backlog
        yield _sent_for(crossing, f"{SPIKE} times that", waiting, SPIKE * usual, spike_s)
        yield _until_drained(crossing, "usual load again", waiting, usual, usual_backlog)
        # What was made and not needed goes through too: nothing that was submitted may be lost.
        crossing.send(waiting.left)
        _until_drained(crossing, "the rest", None, 0, 0)
    finally:
        crossing.is_open = False
        for worker in workers:
            worker.join(30)
    assert not crossing.troubles, crossing.troubles


def _sent_for(crossing: Crossing, name: str, waiting: Waiting | None, rate: float, seconds: float) -> Phase:
    """Sends messages at a rate for so long."""
    return _phase(crossing, name, waiting, rate, lambda passed: passed >= seconds)


def _until_drained(crossing: Crossing, name: str, waiting: Waiting | None, rate: float, backlog: int) -> Phase:
    """Sends messages at a rate until no more than a usual backlog is left."""
    return _phase(crossing, name, waiting, rate, lambda _: crossing.backlog <= max(backlog, int(rate)))


def _phase(crossing: Crossing, name: str, waiting: Waiting | None, rate: float, is_over: Any) -> Phase:
    began, sent, done, most = time.monotonic(), 0, crossing.done, crossing.backlog
    while not is_over(passed := time.monotonic() - began):
        assert not crossing.troubles, crossing.troubles
        assert passed < END_S_MAX, f"the backlog of {crossing.backlog} does not drain"
        due = int(rate * passed) - sent
        if waiting is not None:
            crossing.send([waiting.take() for _ in range(due)])
        sent += due
        most = max(most, crossing.backlog)
        time.sleep(TICK_S)
    seconds = time.monotonic() - began
    return Phase(name, seconds, sent, crossing.done - done, most, crossing.backlog)


def _section(crossing: Crossing, phases: Sequence[Phase], lost: int, doubled: int) -> Section:
    counts = crossing.counts
    section = Section(
        "A spike through the queue", ("", "seconds", "sent/s", "done/s", "backlog at most", "backlog in the end")
    )
    for phase in phases:
        section.add(
            phase.name,
            f"{phase.seconds:.0f}",
            f"{phase.sent / phase.seconds:.0f}",
            f"{phase.done / phase.seconds:.0f}",
            f"{phase.backlog_max:,}",
            f"{phase.backlog_end:,}",
        )
    alone, _, spike, drain = phases
    took = Figure("drained after", drain.seconds / spike.seconds, "times the spike", DRAIN_MAX)
    speed = (drain.done / drain.seconds) / (alone.done / alone.seconds)
    section.add(f"drained after {took.value:.1f} times the spike", figures=[took])
    section.add(f"lost: {lost}", figures=[Figure("lost", lost, "purchases", 0)])
    section.add(f"doubled, or worth something else: {doubled}", figures=[Figure("doubled", doubled, "purchases", 0)])
    section.figures += [
        Figure("backlog at most", max(spike.backlog_max, drain.backlog_max), "messages"),
        Figure("done a second while it drains, of what was done before", speed, "times"),
    ]
    section.notes += [
        f"by arithmetic it drains in {DRAIN_BY_ARITHMETIC:.0f} times the spike; workers did {speed:.2f} times as much as alone",
        f"{counts['sent']:,} messages, {TWICE_RATE:.0%} of them twice; {counts['deaths']} workers died with their batches",
        f"{counts['came_again']} messages came again, {counts['failed']} failed",
        f"{WORKERS} workers, the queue and the table share this machine; lost and doubled are counted from the requests alone",
    ]
    return section


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """This part alone."""
    console = report.console()
    for section in measure(quick="--quick" in arguments):
        report.show(console, section)


if __name__ == "__main__":
    main()
