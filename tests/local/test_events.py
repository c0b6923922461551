"""Events on the deployed stack: from a purchase over HTTP through stream, relay and bus to somebody's queue."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import access, notices, purchases
from domain.access import Role
from domain.entries import Basket, Entry, EntryKind, Money
from domain.members import Lookup
from domain.refusals import InsufficientPoints
from handlers.ledger import _connect
from handlers.local.stack import Stack
from schema.nodes import from_id
from storage import chain, items
from storage.programs import Programs
from storage.streams import Logs
from storage.table import Table
from tests.engines import ROOT
from tests.handlers.api import ENROLL, PURCHASE
from tests.stack import Running, graphql
from tools import event_schemas

TOLD = "query ($id: ID!) { member(by: {id: $id}) { notices { edges { node { title } } } } }"
# A stack that has just started has a relay that has just started; on a busy machine that takes a while.
ARRIVAL_S_MAX = 60
JSON = dict[str, Any]


@dataclass
class Queue:
    """A queue of somebody who put a rule on the bus."""

    sqs: Any
    url: str
    got: list[JSON] = field(default_factory=list)

    def wait_for(self, count: int) -> list[JSON]:
        """All events so far, `count` of them at least."""
        give_up_at = time.monotonic() + ARRIVAL_S_MAX
        while len(self.got) < count:
            assert time.monotonic() < give_up_at, f"{len(self.got)} of {count} events came: {self.got}"
            self.look()
            time.sleep(0.05)
        return self.got

    def look(self) -> None:
        answer = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.got.append(json.loads(message["Body"]))
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture
def queue(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Queue]:
    """A rule of its own for every event of the stack, as docs/events says to make one."""
    sqs, events = stack.client("sqs"), stack.client("events")
    name, bus = request.node.name[:70], stack.outputs["EventBusName"]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name[:60], EventBusName=bus, EventPattern=json.dumps({"source": ["regulars"]}))
    events.put_targets(Rule=name[:60], EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    yield Queue(sqs, url)
    events.remove_targets(Rule=name[:60], EventBusName=bus, Ids=["queue"])
    events.delete_rule(Name=name[:60], EventBusName=bus)
    sqs.delete_queue(QueueUrl=url)


def enrolled(stack: Stack, name: str) -> str:
    wanted = {"idempotencyKey": f"enroll {name}", "externalId": name, "email": f"{name}@example.com"}
    answer = graphql(stack, ENROLL, token=stack.token("partner"), variables={"input": wanted})
    member: str = answer.json()["data"]["memberEnroll"]["member"]["id"]
    return member


def bought(stack: Stack, name: str, number: str, amount: int) -> JSON:
    wanted = {
        "source": "till",
        "externalId": f"{name} {number}",
        "member": {"externalId": name},
        "total": {"amountMinor": amount, "currency": "USD"},
    }
    answer = graphql(stack, PURCHASE, token=stack.token("partner"), variables={"input": wanted})
    payload: JSON = answer.json()["data"]["purchaseRecord"]
    assert payload["userErrors"] == []
    return payload


def mine(events: list[JSON], member: str) -> list[JSON]:
    """The details of one member's entries, as a consumer keeps them: known ids dropped, notices put elsewhere."""
    kept: dict[str, JSON] = {}
    for event in events:
        if event["detail"]["memberId"] == member and event["detail-type"] != "notice.given":
            assert kept.setdefault(event["detail"]["id"], event["detail"]) == event["detail"]
    return list(kept.values())


def test_a_purchase_over_http_is_an_event_in_somebodys_queue(stack: Stack, queue: Queue) -> None:
    member = enrolled(stack, "events-ada")
    payloads = [bought(stack, "events-ada", str(number), 1_000 + 100 * number) for number in range(3)]
    while len(details := mine(queue.got, member)) < 6:
        queue.wait_for(len(queue.got) + 1)

    assert {(event["source"], event["detail-type"]) for event in queue.got} <= {
        ("regulars", kind.type) for kind in event_schemas.kinds()
    }
    joined, welcome, *purchases, third = details
    assert (joined["type"], joined["previousId"], joined["sequence"]) == ("member.enrolled", None, 1)
    assert [(each["type"], each["sequence"]) for each in (welcome, third)] == [
        ("bonus.granted", 1),
        ("bonus.granted", 4),
    ]
    assert [each["previousId"] for each in details] == [None, *(each["id"] for each in details[:-1])]
    assert [each["purchaseId"] for each in purchases] == [payload["purchase"]["id"] for payload in payloads]
    assert [each["balanceAfter"] for each in purchases] == [payload["entry"]["balanceAfter"] for payload in payloads]
    assert "example.com" not in json.dumps(details)


def test_a_recorded_no_does_not_arrive_and_what_follows_names_what_was_before(stack: Stack, queue: Queue) -> None:
    member = enrolled(stack, "events-ben")
    while len(mine(queue.got, member)) < 2:
        queue.wait_for(len(queue.got) + 1)
    account = mine(queue.got, member)[0]["id"].partition("-")[0]
    client = stack.client("dynamodb")
    log = Logs(_connect(stack.region, stack), stack.table)
    head = log.head(account)
    assert head is not None
    no = Entry(
        EntryKind.REFUSED, head.state.at + timedelta(seconds=1), (), 0, refusal=InsufficientPoints("no", field=())
    )
    refused = replace(head, seq=2, entries=(no,), state=replace(head.state, at=no.at), prior=head.hash)
    item = items.record_item(refused)
    assert chain.HASH_ATTRIBUTE in item
    client.put_item(TableName=stack.table, Item=item)

    bought(stack, "events-ben", "1", 700)
    while len(details := mine(queue.got, member)) < 3:
        queue.wait_for(len(queue.got) + 1)

    assert [(each["type"], each["sequence"]) for each in details] == [
        ("member.enrolled", 1),
        ("bonus.granted", 1),
        ("purchase.recorded", 3),
    ]
    assert details[2]["previousId"] == details[1]["id"]


def test_a_notice_that_nobody_gave_is_given_by_the_relay(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third purchase whose caller dies right behind its record: what it brought is told all the same."""
    member = enrolled(stack, "events-eve")
    for number in range(2):
        bought(stack, "events-eve", str(number), 1_000)
    connection = _connect(stack.region, stack)
    program = Programs(connection, stack.table).current()
    assert program is not None
    now = datetime.now(UTC)
    with monkeypatch.context() as dying:
        dying.setattr(notices, "tell", lambda *_, **__: [])
        purchases.record(
            Table(connection, stack.table, pepper=b"another", shards=1),
            program,
            actor=access.actor(Role.PARTNER, issuer="https://till", subject="till", scopes=access.SCOPE_GRANTS),
            source="till",
            external_id="events-eve third",
            member=Lookup("id", from_id(member)[1]),
            basket=Basket(now, Money(1_000, "USD"), None, None, ()),
            now=now,
        )

    give_up_at = time.monotonic() + ARRIVAL_S_MAX
    told: list[str] = []
    while "Third time lucky" not in told:
        assert time.monotonic() < give_up_at, told
        time.sleep(0.2)
        answer = graphql(stack, TOLD, token=stack.token("staff"), variables={"id": member}).json()
        told = [edge["node"]["title"] for edge in answer["data"]["member"]["notices"]["edges"]]


def test_what_is_published_again_is_the_same(running: Running, stack: Stack, queue: Queue) -> None:
    member = enrolled(stack, "events-cleo")
    bought(stack, "events-cleo", "1", 4_590)
    while len(mine(queue.got, member)) < 3 or not any(each["detail-type"] == "notice.given" for each in queue.got):
        queue.wait_for(len(queue.got) + 1)
    before = len(queue.got)

    done = regulars(running, "--from", "2020-01-01T00:00:00Z", "--account", member)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("4 events sent, of 1 account that were looked at.\n")
    queue.wait_for(before + 4)
    # `mine` compares what comes twice.
    assert [each["type"] for each in mine(queue.got, member)] == [
        "member.enrolled",
        "bonus.granted",
        "purchase.recorded",
    ]


def test_everything_is_published_again_by_one_command(running: Running, stack: Stack, queue: Queue) -> None:
    counted = regulars(running, "--from", "2020-01-01T00:00:00Z", "--all", "--dry-run")
    sent = regulars(running, "--from", "2020-01-01T00:00:00Z", "--all")

    assert (counted.returncode, sent.returncode) == (0, 0), counted.stderr + sent.stderr
    assert counted.stdout.replace("would be sent", "sent") == sent.stdout
    count = int(sent.stdout.splitlines()[-1].split()[0].replace(",", ""))
    assert len(queue.wait_for(count)) >= count > 0


def test_the_stream_is_mapped_to_the_relay_as_the_template_says(stack: Stack) -> None:
    mapping = stack.client("lambda").list_event_source_mappings(FunctionName=stack.outputs["RelayFunctionName"])
    (found,) = mapping["EventSourceMappings"]

    assert found["State"] == "Enabled"
    assert found["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert found["MaximumRetryAttempts"] == 40
    assert json.loads(found["FilterCriteria"]["Filters"][0]["Pattern"])["eventName"] == ["INSERT"]


def regulars(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGULARS_")}
    return subprocess.run(
        [ROOT / ".venv" / "bin" / "regulars", "events", "republish", *arguments, "--home", str(running.home.folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
