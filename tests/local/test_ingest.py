"""Five hundred purchases of fifty members submitted over HTTP to the deployed stack, with duplicates and poison among them.

The queue, the worker, the queue of failures and the permissions are those of the template.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from handlers import reasons
from handlers.local import deploy
from handlers.local.stack import Stack
from tests.stack import graphql

# A loaded machine starts a function and passes a message on in this time, many times over.
PATIENCE_S = 400
MEMBERS, PURCHASES = 50, 500

ENROLL = "mutation ($i: MemberEnrollInput!) { memberEnroll(input: $i) { member { id } userErrors { code } } }"
SUBMIT = """mutation ($i: PurchasesSubmitInput!) { purchasesSubmit(input: $i) {
  submission { id size } receipts { index isAccepted refusal { code field } } replayed userErrors { code message } } }"""
SUBMISSION = """query ($id: ID!, $after: String) { submission(id: $id) {
  items(first: 100, after: $after) {
    nodes { index status failure refusal { code } purchase { entry { id points } } }
    pageInfo { hasNextPage endCursor } } } }"""
TALLY = "query ($id: ID!) { submission(id: $id) { tally { received accepted applied refused failed } } }"
HISTORY = """query ($by: MemberByInput!) { member(by: $by) { account { balance }
  entries(first: 100) { edges { node { __typename ... on PurchaseEntry { purchaseId } } } } } }"""
RETURN = """mutation ($i: PurchaseReturnInput!) { purchaseReturn(input: $i) {
  purchaseReturn { status } userErrors { code } } }"""


def ask(stack: Stack, role: str, query: str, **variables: Any) -> Any:
    response = graphql(stack, query, token=stack.token(role), variables=variables)
    assert response.status_code == 200, response.text
    assert "errors" not in response.json(), response.text
    (found,) = response.json()["data"].values()
    return found


def until(found: Callable[[], Any]) -> Any:
    give_up_at = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(1)
    return value


@pytest.fixture(scope="module")
def members(stack: Stack) -> Iterator[list[str]]:
    """Fifty members. In the end the relay has told what happened to them: a stack that is stopped before waits for it."""
    run = uuid4().hex[:8]
    names = [f"{run}-{number}" for number in range(MEMBERS)]
    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda name: ask(stack, "partner", ENROLL, i={"idempotencyKey": name, "externalId": name}), names
            )
        )
    # A message whose worker was cut off on a loaded machine comes again when that must have ended, and not as late as deployed.
    sqs, queue = stack.client("sqs"), stack.outputs["IngestQueueUrl"]
    kept = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "65"})
    yield names
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=kept)
    seen = -1
    while seen != (seen := relayed(stack)):
        time.sleep(5)


def relayed(stack: Stack) -> int:
    """How often the relay has run."""
    logs = stack.client("logs")
    group = f"/regulars/{deploy.STACK}/relay"
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern="REPORT")
    return sum(len(page["events"]) for page in pages)


def purchase(number: str, name: str, amount: int = 1_000) -> dict[str, Any]:
    return {
        "source": "pos",
        "externalId": number,
        "member": {"externalId": name},
        "total": {"amountMinor": amount, "currency": "USD"},
    }


def items_of(stack: Stack, submission: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = ask(stack, "partner", SUBMISSION, id=submission, after=after)["items"]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


def done(stack: Stack, submission: str) -> dict[str, int] | None:
    try:
        tally: dict[str, int] = ask(stack, "partner", TALLY, id=submission)["tally"]
    except httpx.TimeoutException:
        # A loaded machine has five hundred purchases to book at once; it is asked again.
        return None
    return tally if not tally["accepted"] else None


def failures(stack: Stack) -> list[dict[str, Any]]:
    """The messages in the queue of failures, which stay there."""
    received = stack.client("sqs").receive_message(
        QueueUrl=stack.outputs["IngestFailuresUrl"],
        MaxNumberOfMessages=10,
        VisibilityTimeout=1,
        MessageAttributeNames=["All"],
    )
    found: list[dict[str, Any]] = received.get("Messages", [])
    return found


@contextmanager
def held_up(stack: Stack) -> Iterator[None]:
    """No worker takes anything from the queue meanwhile."""
    functions = stack.client("lambda")
    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    name = stack.outputs["IngestQueueUrl"].rsplit("/", 1)[-1]
    (mapping,) = [each for each in mappings if each["EventSourceArn"].endswith(f":{name}")]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    # A batch that was being taken is done.
    time.sleep(2)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def swap(stack: Stack, index: int, altered: Callable[[dict[str, Any]], str]) -> None:
    """Takes the message of a purchase out of the queue by hand, and puts another one in its place."""
    sqs, queue = stack.client("sqs"), stack.outputs["IngestQueueUrl"]

    def found() -> dict[str, Any] | None:
        received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=5)
        for message in received.get("Messages", []):
            if json.loads(message["Body"])["index"] == index:
                return dict(message)
        return None

    message = until(found)
    sqs.send_message(QueueUrl=queue, MessageBody=altered(json.loads(message["Body"])))
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def test_every_good_purchase_is_applied_once_and_poison_is_kept_with_its_reason(
    stack: Stack, members: list[str]
) -> None:
    """Some ten purchases of each member, 20 of which are in the submission twice. It is sent twice; one of its messages is
    altered on the way, and one that nobody wrote lies between them."""
    run = uuid4().hex[:8]
    different = PURCHASES - 20
    wanted = [purchase(f"{run}-{n % different}", members[n % different % MEMBERS]) for n in range(PURCHASES)]
    sqs, queue = stack.client("sqs"), stack.outputs["IngestQueueUrl"]
    altered = 33  # not one of those that are there twice
    with held_up(stack):
        submitted = ask(stack, "partner", SUBMIT, i={"idempotencyKey": run, "purchases": wanted})
        assert submitted["userErrors"] == []
        assert (submitted["submission"]["size"], len(submitted["receipts"])) == (PURCHASES, PURCHASES)
        assert all(receipt["isAccepted"] for receipt in submitted["receipts"])
        sqs.send_message(QueueUrl=queue, MessageBody=f"poison {run}")
        swap(stack, altered, lambda body: json.dumps({**body, "total": [10**9, "USD"]}))
    submission = submitted["submission"]["id"]

    again = ask(stack, "partner", SUBMIT, i={"idempotencyKey": run, "purchases": wanted})
    assert again == {**submitted, "replayed": True}
    tally = until(lambda: done(stack, submission))

    assert tally == {"received": PURCHASES, "accepted": 0, "applied": PURCHASES - 1, "refused": 0, "failed": 1}
    items = items_of(stack, submission)
    assert [item["index"] for item in items] == list(range(PURCHASES))
    assert [item["index"] for item in items if item["status"] == "FAILED"] == [altered]
    assert items[altered]["failure"] == "Its message cannot be read: it was altered, or written by somebody else."
    applied = [item["purchase"] for item in items if item["status"] == "APPLIED"]
    assert len({each["entry"]["id"] for each in applied}) == different - 1
    for place, name in enumerate(members):
        # Each once, also in the history, which is read from the log.
        edges = ask(stack, "staff", HISTORY, by={"externalId": name})["entries"]["edges"]
        bought = [edge["node"]["purchaseId"] for edge in edges if edge["node"]["__typename"] == "PurchaseEntry"]
        mine = [n for n in range(different) if n % MEMBERS == place and n != altered]
        assert len(bought) == len(set(bought)) == len(mine)

    def kept() -> list[dict[str, Any]] | None:
        found = [each for each in failures(stack) if run in each["Body"]]
        return found if len(found) == 2 else None

    told = {each["Body"][:6]: each["MessageAttributes"][reasons.REASON]["StringValue"] for each in until(kept)}
    assert told.pop("poison") == "NotAPurchase: it is not JSON"
    assert list(told.values()) == ["NotAPurchase: it was altered, or written by somebody else"]


def test_what_only_the_worker_can_refuse_is_told_by_the_submission(stack: Stack, members: list[str]) -> None:
    run = uuid4().hex[:8]
    wanted = [purchase(f"{run}-1", members[1], -1), purchase(f"{run}-2", "nobody"), purchase(f"{run}-3", members[1])]
    submitted = ask(stack, "partner", SUBMIT, i={"idempotencyKey": run, "purchases": wanted})
    assert [each["isAccepted"] for each in submitted["receipts"]] == [False, True, True]

    tally = until(lambda: done(stack, submitted["submission"]["id"]))

    assert tally == {"received": 3, "accepted": 0, "applied": 1, "refused": 2, "failed": 0}
    told = [item["refusal"] and item["refusal"]["code"] for item in items_of(stack, submitted["submission"]["id"])]
    assert told == ["INVALID_AMOUNT", "MEMBER_NOT_FOUND", None]


def test_a_return_that_comes_before_its_queued_purchase_is_booked_with_it(stack: Stack, members: list[str]) -> None:
    run = uuid4().hex[:8]
    returned = {
        "source": "pos",
        "externalId": f"{run}-1",
        "returnId": "r",
        "part": {"amount": {"amountMinor": 400, "currency": "USD"}},
    }
    assert ask(stack, "partner", RETURN, i=returned)["purchaseReturn"]["status"] == "PARKED"
    before = ask(stack, "staff", HISTORY, by={"externalId": members[2]})["account"]["balance"]

    submitted = ask(stack, "partner", SUBMIT, i={"idempotencyKey": run, "purchases": [
        purchase(f"{run}-{number}", members[2]) for number in range(3)]})  # fmt: skip
    until(lambda: done(stack, submitted["submission"]["id"]))

    after = ask(stack, "staff", HISTORY, by={"externalId": members[2]})
    kinds = [edge["node"]["__typename"] for edge in after["entries"]["edges"]]
    assert after["account"]["balance"] == before + 30 - 4
    assert kinds.count("PurchaseReturnEntry") == 1
    assert ask(stack, "partner", RETURN, i=returned)["purchaseReturn"]["status"] == "BOOKED"
