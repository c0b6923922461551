"""A stack on which campaigns run: the API, the function that works on them, and their queue on a real SQS.

campaign = stage.launched(award={"points": 5})
stage.work()
assert stage.look(campaign)["status"] == "COMPLETED"
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from handlers import aws
from tests.engines import Engine
from tests.handlers.api import (
    CAMPAIGN,
    CAMPAIGN_OF_MEMBER,
    CAMPAIGN_STEPS,
    DEMO,
    Answer,
    Api,
    Claims,
    deployed,
    manager,
    person,
    support,
)

Message = Mapping[str, Any]
# Runs of more calls than this would never end.
_BATCHES_MAX = 500


def boss() -> dict[str, str]:
    """Another manager: who approves what the first one has made."""
    return person("6c1d8e2f-staff-boss", **{"cognito:groups": "[manager]"})


@dataclass
class Context:
    """The part of a Lambda's context that the function looks at."""

    seconds: float = 120
    function_name: str = "regulars-campaigner"
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1_000)


Function = Callable[[Mapping[str, Any], Context], Any]


@dataclass
class Stage:
    """One stack of campaigns; `handler` is the function's."""

    api: Api
    sqs: Any
    queue: str
    failures: str
    handler: Function
    keys: Iterator[int] = field(default_factory=count)

    def join(self, *names: str) -> str:
        """New members of a place of their own, which is the beginning of their external ids: `place-ada`."""
        place = uuid4().hex[:8]
        for name in names:
            self.api.enroll(f"{place}-{name}", homeLocation=place)
        return place

    # --- what staff do ----------------------------------------------------------------------------------------------

    def create(self, *, caller: Claims | None = None, key: str | None = None, **draft: Any) -> Answer:
        """A draft, with the parts that a test is about."""
        wanted = {"name": "Summer thanks", "code": "SUMMER", "award": {"points": 100}, **draft}
        wanted = {"idempotencyKey": key or f"key {next(self.keys)}", **wanted}
        return self.api.post(caller or manager(), CAMPAIGN_STEPS["campaignCreate"], input=wanted)

    def do(
        self, step: str, campaign: str, *, caller: Claims | None = None, key: str | None = None, **more: Any
    ) -> Answer:
        """`Preview`, `Launch` and so on."""
        wanted = {"idempotencyKey": key or f"key {next(self.keys)}", "id": campaign, **more}
        return self.api.post(caller or manager(), CAMPAIGN_STEPS[f"campaign{step}"], input=wanted)

    def did(self, step: str, campaign: str, **more: Any) -> dict[str, Any]:
        """The same, and it is no lie: the campaign as it is then."""
        payload = self.do(step, campaign, **more).data[f"campaign{step}"]
        assert (payload["userErrors"], payload["replayed"]) == ([], False)
        after: dict[str, Any] = payload["campaign"]
        return after

    def drafted(self, **draft: Any) -> str:
        """A new draft; its id."""
        payload = self.create(**draft).data["campaignCreate"]
        assert payload["userErrors"] == []
        made: str = payload["campaign"]["id"]
        return made

    def previewed(self, **draft: Any) -> str:
        """A new draft that was looked at."""
        made = self.drafted(**draft)
        self.did("Preview", made)
        self.work()
        return made

    def launched(self, **draft: Any) -> str:
        """A new campaign of which no turn was taken yet."""
        made = self.previewed(**draft)
        self.did("Launch", made)
        return made

    def completed(self, **draft: Any) -> str:
        """A new campaign that everybody had their turn in."""
        made = self.launched(**draft)
        self.work()
        assert self.look(made)["status"] == "COMPLETED"
        return made

    # --- looking ----------------------------------------------------------------------------------------------------

    def look(self, campaign: str, caller: Claims | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self.api.post(caller or support(), CAMPAIGN, id=campaign).data["campaign"]
        return found

    def result(self, campaign: str, who: str) -> tuple[str | None, str | None] | None:
        """What became of a member: in the bonus, and in the reversal."""
        answer = self.api.post(support(), CAMPAIGN_OF_MEMBER, id=campaign, member={"externalId": who})
        found = answer.data["campaign"]["memberResult"]
        return found and (found["outcome"], found["reversal"])

    def entries(self, who: str) -> list[tuple[str, int]]:
        """The types and points of a member's entries, the oldest first."""
        edges = self.api.member(who)["entries"]["edges"]
        return [(edge["node"]["__typename"], edge["node"]["points"]) for edge in reversed(edges)]

    # --- the queue and the function ---------------------------------------------------------------------------------

    def take(self, url: str | None = None, *, hidden: int = 600) -> list[Message]:
        """What is in the queue, up to ten messages; for `hidden` seconds nobody else gets them."""
        answer = self.sqs.receive_message(
            QueueUrl=url or self.queue,
            MaxNumberOfMessages=10,
            VisibilityTimeout=hidden,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        found: list[Message] = answer.get("Messages", [])
        return found

    def put(self, *bodies: str) -> None:
        """Messages that somebody writes by hand."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def deliver(self, messages: Sequence[Message], **context: Any) -> list[Message]:
        """Calls the function with messages as SQS hands them over: what is done is deleted, what is not comes again. Gives
        the latter."""
        answer = self.handler({"Records": [as_record(message) for message in messages]}, Context(**context))
        assert answer.keys() == {"batchItemFailures"}
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in messages:
            handle = {"QueueUrl": self.queue, "ReceiptHandle": message["ReceiptHandle"]}
            if message["MessageId"] in failed:
                self.sqs.change_message_visibility(**handle, VisibilityTimeout=0)
            else:
                self.sqs.delete_message(**handle)
        return [message for message in messages if message["MessageId"] in failed]

    def work(self) -> None:
        """Whatever is in the queue is done, and what follows from that; each delivery succeeds."""
        for _ in range(_BATCHES_MAX):
            messages = self.take()
            if not messages:
                return
            assert self.deliver(messages) == []
        raise AssertionError("the queue is never empty")

    def minute(self) -> None:
        """The schedule calls."""
        assert self.handler({}, Context()) is None

    def waiting(self) -> list[str]:
        """The texts in the queue, which stay."""
        return sorted(message["Body"] for message in self._peek(self.queue))

    def kept(self) -> dict[str, str]:
        """The texts in the queue of failures, with the reason of each."""
        return {
            message["Body"]: message.get("MessageAttributes", {}).get("reason", {}).get("StringValue", "")
            for message in self._peek(self.failures)
        }

    def let_go(self, messages: Sequence[Message]) -> None:
        """Lets messages be had again at once."""
        for message in messages:
            handle = {"QueueUrl": self.queue, "ReceiptHandle": message["ReceiptHandle"]}
            self.sqs.change_message_visibility(**handle, VisibilityTimeout=0)

    def empty(self) -> None:
        """Messages that wait are lost."""
        while messages := self.take():
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])

    def lose(self) -> None:
        """All messages are lost, with those that are in flight."""
        self.sqs.purge_queue(QueueUrl=self.queue)

    def _peek(self, url: str) -> list[Message]:
        found: list[Message] = []
        while batch := self.take(url):
            found += batch
        for message in found:
            handle = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
            self.sqs.change_message_visibility(**handle, VisibilityTimeout=0)
        return found


def as_record(message: Message) -> dict[str, Any]:
    """A message as a mapping of SQS hands it to a Lambda."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:campaigns",
        "awsRegion": "eu-central-1",
    }


@contextmanager
def staged(engine: Engine, *, file: Path | None = DEMO) -> Iterator[Stage]:
    """A stack on an engine that has queues as well, with a table and queues of its own and the program of a file, or none; the
    function starts cold."""
    sqs = boto3.client("sqs", **engine.client_kwargs)
    name = f"campaigns-{uuid4().hex[:12]}"
    queue, failures = (sqs.create_queue(QueueName=f"{name}-{what}")["QueueUrl"] for what in ("turns", "failures"))
    with pytest.MonkeyPatch.context() as patch, deployed(engine, name, file=file, campaign_queue=queue) as api:
        patch.setattr(aws, "connect", {"sqs": sqs}.__getitem__)
        try:
            yield Stage(api, sqs, queue, failures, function(engine, name, queue=queue, failures=failures))
        finally:
            sqs.close()


def function(engine: Engine, table: str, *, queue: str, failures: str) -> Function:
    """The handler of the function that works on campaigns, which starts cold, on a table that is deployed."""
    with pytest.MonkeyPatch.context() as starting:
        for variable, value in {
            **engine.environment,
            "POWERTOOLS_SERVICE_NAME": "campaigner",
            "REGULARS_TABLE": table,
            "REGULARS_SECRET": "a secret of the tests, long enough for a pepper",
            "REGULARS_SHARDS": "4",
            "REGULARS_CAMPAIGN_QUEUE": queue,
            "REGULARS_FAILURES_QUEUE": failures,
            "REGULARS_LISTS_BUCKET": "lists-of-nobody",
        }.items():
            starting.setenv(variable, value)
        starting.delitem(sys.modules, "handlers.campaigner", raising=False)
        handler: Function = importlib.import_module("handlers.campaigner").handler
        # The table's client is made by the first call.
        handler({}, Context())
    return handler
