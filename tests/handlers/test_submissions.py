"""Submitted purchases, from the API over their queue to the books, and what the submission says meanwhile."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger

from domain import limits, purchases
from domain.refusals import OutcomeUnknown
from handlers import aws, outbox, runtime
from handlers.ingest import Ingester
from handlers.queue import Queue, batches
from storage.programs import Programs
from storage.submissions import SubmissionTable
from storage.table import Table
from tests.engines import Engine
from tests.handlers.api import (
    CLOSE,
    NODE,
    SUBMISSION,
    SUBMIT,
    Answer,
    Api,
    Claims,
    deployed,
    global_id,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.conftest import Clock, Sqs
from tests.storage.tables import connect

SECRET = b"a secret of the tests, long enough for a pepper"


class Context:
    """The part of a Lambda's context that the handlers look at."""

    function_name = "ingester"
    aws_request_id = "8f7e6d5c-0000-4000-8000-000000000000"

    def __init__(self, seconds: float = 60) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1_000)


@dataclass
class Stack:
    """The API, its queue of purchases, the queue of those that are given up, and the function in between."""

    api: Api
    engine: Engine
    sqs: Sqs
    failures: Sqs = field(default_factory=Sqs)
    log: io.StringIO = field(default_factory=io.StringIO)

    def submit(self, *offers: Mapping[str, Any], key: str = "k", caller: Claims | None = None) -> Answer:
        return self.api.post(caller or till(), SUBMIT, input={"idempotencyKey": key, "purchases": list(offers)})

    def show(self, submission_id: str, caller: Claims | None = None, **page: Any) -> Any:
        return self.api.post(caller or till(), SUBMISSION, id=submission_id, **page).data["submission"]

    @property
    def ingester(self) -> Ingester:
        connection = connect(self.engine)
        return Ingester(
            store=Table(connection, self.api.table, pepper=SECRET, shards=4),
            submissions=SubmissionTable(connection, self.api.table),
            program=Programs(connection, self.api.table).current,
            wall=runtime.now,
            now=lambda wall: wall,
            logger=Logger(f"ingester-{uuid4()}", stream=self.log),
            failures=Queue("https://queues.invalid/failures", client=lambda: self.failures),
        )

    def take(self, *bodies: str, delivery: int = 1, seconds: float = 60, ingester: Ingester | None = None) -> list[int]:
        """One batch; the places of the messages that have to come again."""
        records = [
            {
                "messageId": str(place),
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": str(delivery),
                    "ApproximateFirstReceiveTimestamp": "1795191540000",
                },
            }
            for place, body in enumerate(bodies)
        ]
        answer = (ingester or self.ingester).take({"Records": records}, Context(seconds))
        return [int(each["itemIdentifier"]) for each in answer["batchItemFailures"]]

    def work(self) -> list[int]:
        """All that waits, as one batch."""
        waiting, self.sqs.bodies = self.sqs.bodies, []
        return self.take(*waiting)


@pytest.fixture(scope="module")
def shop(ministack: Engine) -> Iterator[Api]:
    with deployed(ministack, "regulars-submissions") as api:
        yield api


@pytest.fixture
def stack(shop: Api, ministack: Engine, clock: Clock, sqs: Sqs, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "ingester")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Regulars")
    return Stack(shop, ministack, sqs)


@pytest.fixture
def ada(stack: Stack) -> str:
    """A member of this test's own."""
    name = f"ada-{uuid4()}"
    stack.api.enroll(name)
    return name


def statuses(shown: Any) -> list[str]:
    return [each["status"] for each in shown["items"]["nodes"]]


# --- from the till to the books -----------------------------------------------------------------------------------------


def test_what_is_submitted_is_booked_by_the_worker_and_the_submission_says_so(stack: Stack, ada: str) -> None:
    payload = stack.submit(receipt(f"{ada}-1", ada, 500), receipt(f"{ada}-2", ada, 700), key=ada).data[
        "purchasesSubmit"
    ]

    assert payload["userErrors"] == []
    assert not payload["replayed"]
    assert payload["submission"]["size"] == 2
    assert [(each["index"], each["externalId"], each["isAccepted"]) for each in payload["receipts"]] == [
        (0, f"{ada}-1", True),
        (1, f"{ada}-2", True),
    ]
    shown = stack.show(payload["submission"]["id"])
    assert shown["tally"] == {"received": 2, "accepted": 2, "applied": 0, "refused": 0, "failed": 0}
    assert statuses(shown) == ["ACCEPTED", "ACCEPTED"]

    assert stack.work() == []

    shown = stack.show(payload["submission"]["id"])
    assert shown["tally"] == {"received": 2, "accepted": 0, "applied": 2, "refused": 0, "failed": 0}
    assert [each["purchase"]["entry"] for each in shown["items"]["nodes"]] == [
        {"points": 5, "balanceAfter": 5},
        {"points": 7, "balanceAfter": 12},
    ]
    assert stack.api.balance(ada) == 12
    node = stack.api.post(till(), NODE, id=payload["submission"]["id"]).data["node"]
    assert node == {"__typename": "Submission", "id": payload["submission"]["id"]}


def test_points_and_explanations_are_those_of_the_synchronous_path(stack: Stack, ada: str) -> None:
    other = f"{ada}-other"
    stack.api.enroll(other)
    amounts = (500, 12_345, 99, 0)
    for number, amount in enumerate(amounts):
        stack.api.buy(other, amount, f"{other}-{number}")
    stack.submit(*(receipt(f"{ada}-{number}", ada, amount) for number, amount in enumerate(amounts)), key=ada)
    stack.work()

    def history(name: str) -> list[Any]:
        edges = stack.api.member(name)["entries"]["edges"]
        return [{**edge["node"], "id": None} for edge in edges]

    assert history(ada) == history(other)


def test_what_is_wrong_with_one_is_said_in_its_receipt_and_the_others_are_booked(stack: Stack, ada: str) -> None:
    good, bad = receipt(f"{ada}-1", ada, 500), receipt(f"{ada}-x", ada, 500)
    line = {"quantity": 1, "amountMinor": 499}
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({**bad, "source": "a b"}, "INVALID_TEXT", "source"),
        ({**bad, "externalId": "x" * 257}, "INVALID_TEXT", "externalId"),
        ({**bad, "total": {"amountMinor": -1, "currency": "USD"}}, "INVALID_AMOUNT", "total.amountMinor"),
        ({**bad, "total": {"amountMinor": 500, "currency": "XYZ"}}, "CURRENCY_NOT_ACCEPTED", "total.currency"),
        ({**bad, "lines": [line]}, "LINES_TOTAL_MISMATCH", "lines"),
        ({**bad, "lines": [{**line, "quantity": -1}]}, "INVALID_QUANTITY", "lines.0.quantity"),
        ({**bad, "lines": [line] * 201}, "TOO_MANY_LINES", "lines"),
        ({**bad, "occurredAt": "2020-01-01T00:00:00Z"}, "INVALID_TIME", "occurredAt"),
        ({**bad, "occurredAt": "2030-01-10T17:06:00Z"}, "INVALID_TIME", "occurredAt"),
        ({**bad, "member": {"email": "ada"}}, "INVALID_EMAIL", "member.email"),
        ({**bad, "member": {"phone": "1"}}, "INVALID_PHONE", "member.phone"),
        ({**bad, "member": {"cardNumber": ""}}, "INVALID_TEXT", "member.cardNumber"),
        ({**bad, "member": {"id": global_id("Purchase", "x")}}, "INVALID_TEXT", "member.id"),
        ({**bad, "location": "a\nb"}, "INVALID_TEXT", "location"),
    ]

    payload = stack.submit(good, *(each for each, _, _ in wrong), key=ada).data["purchasesSubmit"]

    receipts = payload["receipts"]
    assert (payload["userErrors"], receipts[0]["refusal"]) == ([], None)
    assert [(each["refusal"]["code"], ".".join(each["refusal"]["field"])) for each in receipts[1:]] == [
        (code, f"input.purchases.{index}.{path}") for index, (_, code, path) in enumerate(wrong, start=1)
    ]
    assert stack.work() == []
    shown = stack.show(payload["submission"]["id"])
    assert statuses(shown) == ["APPLIED"] + ["REFUSED"] * len(wrong)
    assert shown["tally"]["refused"] == len(wrong)
    assert stack.api.balance(ada) == 5


def test_what_only_the_worker_can_refuse_is_told_by_the_submission(stack: Stack, ada: str) -> None:
    gone = f"{ada}-gone"
    gone_id = stack.api.enroll(gone)
    stack.api.post(manager(), CLOSE, input={"idempotencyKey": gone, "member": {"externalId": gone}, "reason": "LEFT"})
    stack.api.buy(ada, 500, f"{ada}-used")
    payload = stack.submit(
        receipt(f"{ada}-1", "nobody", 500),
        {**receipt(f"{ada}-2", ada, 500), "member": {"id": gone_id}},
        receipt(f"{ada}-used", ada, 501),
        key=ada,
    ).data["purchasesSubmit"]
    assert all(each["isAccepted"] for each in payload["receipts"])

    assert stack.work() == []

    shown = stack.show(payload["submission"]["id"])
    assert [
        (each["status"], each["refusal"]["code"], each["refusal"]["field"]) for each in shown["items"]["nodes"]
    ] == [
        ("REFUSED", "MEMBER_NOT_FOUND", ["input", "purchases", "0", "member"]),
        ("REFUSED", "MEMBER_CLOSED", ["input", "purchases", "1", "member"]),
        ("REFUSED", "IDEMPOTENCY_KEY_REUSED", ["input", "purchases", "2", "externalId"]),
    ]
    assert stack.failures.bodies == []


def test_the_same_call_again_is_the_same_submission(stack: Stack, ada: str) -> None:
    wanted = (receipt(f"{ada}-1", ada, 500), receipt(f"{ada}-2", ada, -1))
    first = stack.submit(*wanted, key=ada).data["purchasesSubmit"]
    sent = list(stack.sqs.bodies)

    again = stack.submit(*wanted, key=ada).data["purchasesSubmit"]

    assert again == {**first, "replayed": True}
    assert stack.sqs.bodies == sent


def test_the_same_key_with_other_purchases_is_refused(stack: Stack, ada: str) -> None:
    stack.submit(receipt(f"{ada}-1", ada, 500), key=ada)

    with stack.api.unchanged():
        answer = stack.submit(receipt(f"{ada}-1", ada, 501), key=ada)

    assert answer.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


def test_what_may_not_have_been_queued_is_refused_as_a_whole_when_it_is_too_old(
    stack: Stack, ada: str, clock: Clock
) -> None:
    wanted = receipt(f"{ada}-1", ada, 500)
    stack.sqs.is_full = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _seconds: None)
        stack.submit(wanted, key=ada)
    stack.sqs.is_full = False
    stack.sqs.bodies.clear()
    clock.now += limits.QUEUED_AGE_MAX + timedelta(seconds=1)

    with stack.api.unchanged():
        answer = stack.submit(wanted, key=ada)

    assert answer.refusals == [("SUBMITTED_TOO_LONG_AGO", "input.idempotencyKey")]
    assert stack.sqs.bodies == []


def test_of_two_inputs_under_one_key_the_second_is_told_in_its_receipt(stack: Stack, ada: str) -> None:
    payload = stack.submit(receipt(f"{ada}-1", ada, 500), receipt(f"{ada}-1", ada, 700), key=ada).data[
        "purchasesSubmit"
    ]

    assert [
        each["refusal"] and (each["refusal"]["code"], each["refusal"]["field"]) for each in payload["receipts"]
    ] == [
        None,
        ("IDEMPOTENCY_KEY_REUSED", ["input", "purchases", "1", "externalId"]),
    ]
    assert stack.work() == []
    assert stack.api.balance(ada) == 5


def test_five_hundred_purchases_of_twenty_lines_fit_into_one_call(stack: Stack, ada: str) -> None:
    line = {"sku": "4006381333931", "category": "dairy", "quantity": 1, "amountMinor": 5}
    offers = [receipt(f"{ada}-{n:04}", ada, 100) | {"lines": [line] * 20} for n in range(500)]

    payload = stack.submit(*offers, key=ada).data["purchasesSubmit"]

    assert payload["userErrors"] == []
    assert [each["isAccepted"] for each in payload["receipts"]] == [True] * 500
    assert len(stack.sqs.bodies) == 500


def test_where_the_queue_takes_nothing_the_outcome_is_unknown_until_it_is_sent_again(stack: Stack, ada: str) -> None:
    stack.sqs.is_full = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _seconds: None)
        answer = stack.submit(receipt(f"{ada}-1", ada, 500), key=ada)
    assert answer.faults == [("OUTCOME_UNKNOWN", None)]
    stack.sqs.is_full = False

    payload = stack.submit(receipt(f"{ada}-1", ada, 500), key=ada).data["purchasesSubmit"]

    assert payload["replayed"]
    assert stack.work() == []
    assert stack.api.balance(ada) == 5


def test_five_hundred_purchases_are_fifty_calls_and_their_receipts_one_answer(stack: Stack, ada: str) -> None:
    wanted = [
        {"source": "pos", "externalId": f"{ada}-{n}", "member": {"externalId": ada}, "total": TOTAL} for n in range(500)
    ]

    payload = stack.submit(*wanted, key=ada).data["purchasesSubmit"]

    assert len(payload["receipts"]) == 500
    assert sorted(map(len, stack.sqs.calls)) == [10] * 50
    shown = stack.show(payload["submission"]["id"], first=100)
    assert shown["items"]["pageInfo"]["hasNextPage"]
    stack.sqs.bodies.clear()


TOTAL = {"amountMinor": 100, "currency": "USD"}


def test_a_list_longer_than_any_may_be_is_refused_before_anything_is_looked_at(stack: Stack, ada: str) -> None:
    wanted = [{"source": "pos", "externalId": "x", "member": {"externalId": ada}, "total": TOTAL}] * 501

    with stack.api.unchanged():
        answer = stack.submit(*wanted, key=ada)

    assert answer.faults == [("LIST_TOO_LONG", "input.purchases")]
    assert limits.SUBMISSION_PURCHASES_MAX == 500


# --- looking ------------------------------------------------------------------------------------------------------------


def test_purchases_are_read_page_by_page_in_the_order_of_the_input(stack: Stack, ada: str) -> None:
    payload = stack.submit(*(receipt(f"{ada}-{n}", ada, 100) for n in range(5)), key=ada).data["purchasesSubmit"]
    seen: list[int] = []
    page: dict[str, Any] = {"first": 2}
    while True:
        items = stack.show(payload["submission"]["id"], **page)["items"]
        seen += [node["index"] for node in items["nodes"]]
        assert [edge["node"]["index"] for edge in items["edges"]] == [node["index"] for node in items["nodes"]]
        if not items["pageInfo"]["hasNextPage"]:
            break
        page["after"] = items["pageInfo"]["endCursor"]

    assert seen == [0, 1, 2, 3, 4]
    assert items["pageInfo"]["hasPreviousPage"]
    stack.sqs.bodies.clear()


def test_a_cursor_belongs_to_its_submission(stack: Stack, ada: str) -> None:
    ids = [
        stack.submit(receipt(f"{ada}-{key}", ada, 100), key=f"{ada}-{key}").data["purchasesSubmit"]["submission"]["id"]
        for key in "ab"
    ]
    cursor = stack.show(ids[0])["items"]["pageInfo"]["endCursor"]

    answer = stack.api.post(till(), SUBMISSION, id=ids[1], after=cursor)

    assert answer.faults == [("CURSOR_INVALID", "after")]
    assert stack.show(ids[0], after=cursor)["items"]["nodes"] == []
    stack.sqs.bodies.clear()


def test_a_till_sees_its_own_submissions_and_staff_see_all(stack: Stack, ada: str) -> None:
    payload = stack.submit(receipt(f"{ada}-1", ada, 100), key=ada).data["purchasesSubmit"]
    submission_id = payload["submission"]["id"]
    other, mine = till(client="another-till"), member(ada)

    for caller in (till(), support(), manager()):
        assert stack.show(submission_id, caller)["id"] == submission_id
        assert stack.api.post(caller, NODE, id=submission_id).data["node"]["id"] == submission_id
    assert stack.show(submission_id, other) is None
    for caller in (other, mine, till("regulars/members")):
        assert stack.api.post(caller, NODE, id=submission_id).data["node"] is None
    for caller in (mine, till("regulars/members")):
        assert stack.api.post(caller, SUBMISSION, id=submission_id).faults == [("FORBIDDEN", None)]
    # A key is its caller's own as well.
    again = stack.submit(receipt(f"{ada}-1", ada, 100), key=ada, caller=other).data["purchasesSubmit"]
    assert not again["replayed"]
    assert again["submission"]["id"] != submission_id
    stack.sqs.bodies.clear()


@pytest.mark.parametrize("text", ["", "x", global_id("Submission", ""), global_id("Member", "0" * 32)])
def test_no_submission_is_null(stack: Stack, text: str) -> None:
    assert stack.show(text) is None


# --- the worker ---------------------------------------------------------------------------------------------------------


def test_poison_in_a_batch_of_good_ones_goes_to_the_queue_of_failures_at_once_with_its_reason(
    stack: Stack, ada: str
) -> None:
    payload = stack.submit(*(receipt(f"{ada}-{n}", ada, 100) for n in range(4)), key=ada).data["purchasesSubmit"]
    good, bodies = list(stack.sqs.bodies), list(stack.sqs.bodies)
    stack.sqs.bodies.clear()
    bodies[1] = json.dumps({**json.loads(bodies[1]), "total": [10**9, "USD"]})
    bodies.insert(2, "not even JSON")

    assert stack.take(*bodies) == []

    assert sorted(stack.failures.bodies) == sorted([bodies[1], "not even JSON"])
    shown = stack.show(payload["submission"]["id"])
    assert statuses(shown) == ["APPLIED", "FAILED", "APPLIED", "APPLIED"]
    assert shown["items"]["nodes"][1]["failure"] == (
        "Its message cannot be read: it was altered, or written by somebody else."
    )
    assert shown["tally"] == {"received": 4, "accepted": 0, "applied": 3, "refused": 0, "failed": 1}
    assert stack.api.balance(ada) == 3

    # Sent once more as it was, it is applied.
    assert stack.take(good[1]) == []
    assert statuses(stack.show(payload["submission"]["id"])) == ["APPLIED"] * 4


def test_a_batch_delivered_again_books_nothing_twice(stack: Stack, ada: str) -> None:
    stack.submit(*(receipt(f"{ada}-{n}", ada, 100) for n in range(6)), key=ada)
    bodies = list(stack.sqs.bodies)
    stack.sqs.bodies.clear()

    for batch in (bodies, bodies[::-1], [*bodies, *bodies]):
        assert stack.take(*batch) == []

    assert stack.api.balance(ada) == 6


def test_what_the_worker_has_no_time_for_comes_again(stack: Stack, ada: str) -> None:
    payload = stack.submit(receipt(f"{ada}-1", ada, 100), key=ada).data["purchasesSubmit"]

    assert stack.take(*stack.sqs.bodies, seconds=5) == [0]
    assert statuses(stack.show(payload["submission"]["id"])) == ["ACCEPTED"]

    assert stack.work() == []
    assert statuses(stack.show(payload["submission"]["id"])) == ["APPLIED"]


def test_a_purchase_that_breaks_the_program_leaves_the_others_of_its_batch_alone(
    stack: Stack, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = stack.submit(*(receipt(f"{ada}-{n}", ada, 100 + n) for n in range(3)), key=ada).data["purchasesSubmit"]
    bodies = list(stack.sqs.bodies)
    stack.sqs.bodies.clear()
    earned = purchases._earned

    def broken(state: Any, program: Any, basket: Any, **more: Any) -> Any:
        if basket.total.amount_minor == 101:
            raise ZeroDivisionError
        return earned(state, program, basket, **more)

    monkeypatch.setattr(purchases, "_earned", broken)

    assert stack.take(*bodies) == [1]
    assert stack.take(bodies[1], delivery=limits.DELIVERIES_MAX) == []

    shown = stack.show(payload["submission"]["id"])
    assert [(each["status"], each["failure"]) for each in shown["items"]["nodes"]] == [
        ("APPLIED", None),
        ("FAILED", "It failed 5 times: ZeroDivisionError."),
        ("APPLIED", None),
    ]
    assert stack.failures.bodies == [bodies[1]]

    monkeypatch.undo()
    monkeypatch.setattr(runtime, "now", Clock())
    assert stack.take(bodies[1]) == []
    assert statuses(stack.show(payload["submission"]["id"], manager())) == ["APPLIED"] * 3


def test_a_worker_that_is_killed_at_its_last_attempt_leaves_a_failure(
    stack: Stack, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As a time-out ends a function: nothing behind it runs."""

    payload = stack.submit(receipt(f"{ada}-1", ada, 100), receipt(f"{ada}-2", ada, 100), key=ada).data[
        "purchasesSubmit"
    ]
    bodies = list(stack.sqs.bodies)
    stack.sqs.bodies.clear()

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(purchases, "record_each", killed)
        with pytest.raises(Killed):
            stack.take(*bodies, delivery=limits.DELIVERIES_MAX - 1)
        assert statuses(stack.show(payload["submission"]["id"])) == ["ACCEPTED", "ACCEPTED"]
        with pytest.raises(Killed):
            stack.take(*bodies, delivery=limits.DELIVERIES_MAX)

    shown = stack.show(payload["submission"]["id"])
    assert [(each["status"], each["failure"]) for each in shown["items"]["nodes"]] == [
        ("FAILED", "It failed 5 times: its worker was cut off.")
    ] * 2

    # SQS has moved it to the queue of failures; moved back, it is applied.
    assert stack.take(*bodies) == []
    assert statuses(stack.show(payload["submission"]["id"])) == ["APPLIED", "APPLIED"]


def test_what_comes_right_at_its_last_attempt_is_applied_or_refused(stack: Stack, ada: str) -> None:
    payload = stack.submit(receipt(f"{ada}-1", ada, 100), receipt(f"{ada}-2", "nobody", 100), key=ada).data[
        "purchasesSubmit"
    ]
    bodies = list(stack.sqs.bodies)
    stack.sqs.bodies.clear()

    assert stack.take(*bodies, delivery=limits.DELIVERIES_MAX) == []

    assert statuses(stack.show(payload["submission"]["id"])) == ["APPLIED", "REFUSED"]
    assert stack.failures.bodies == []


def test_what_cannot_be_noted_before_the_last_attempt_is_booked_all_the_same(
    stack: Stack, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.submit(*(receipt(f"{ada}-{n}", ada, 100) for n in range(3)), key=ada)
    bodies = list(stack.sqs.bodies)
    stack.sqs.bodies.clear()
    asked: list[int] = []

    def busy(_self: Any, _submission: str, _sent_at: datetime, note: Any, **_: Any) -> None:
        asked.append(note.index)
        raise OutcomeUnknown("The store is too busy.")

    with monkeypatch.context() as patch:
        patch.setattr(SubmissionTable, "note", busy)
        assert stack.take(*bodies, delivery=limits.DELIVERIES_MAX) == []

    assert asked == [0]
    assert stack.api.balance(ada) == 3


@pytest.mark.parametrize("is_program", [True, False], ids=["program", "clock"])
def test_a_worker_that_cannot_even_begin_leaves_the_reason_with_each_message(
    stack: Stack, ada: str, is_program: bool
) -> None:
    payload = stack.submit(receipt(f"{ada}-1", ada, 100), receipt(f"{ada}-2", ada, 100), key=ada).data[
        "purchasesSubmit"
    ]
    bodies = list(stack.sqs.bodies)
    stack.sqs.bodies.clear()

    def broken(*_: Any) -> Any:
        raise KeyError("zone")

    whole = stack.ingester
    ingester = replace(whole, program=broken) if is_program else replace(whole, now=broken)
    assert stack.take(*bodies, ingester=ingester) == [0, 1]
    assert stack.take(*bodies, ingester=ingester, delivery=limits.DELIVERIES_MAX) == []

    assert stack.failures.bodies == bodies
    shown = stack.show(payload["submission"]["id"])
    assert [(each["status"], each["failure"]) for each in shown["items"]["nodes"]] == [
        ("FAILED", "It failed 5 times: KeyError.")
    ] * 2


def test_a_worker_without_a_program_leaves_the_reason_too(stack: Stack, ada: str) -> None:
    stack.submit(receipt(f"{ada}-1", ada, 100), key=ada)
    bodies = list(stack.sqs.bodies)
    stack.sqs.bodies.clear()

    ingester = replace(stack.ingester, program=lambda: None)
    assert stack.take(*bodies, "not even JSON", ingester=ingester) == [0]

    assert stack.failures.bodies == ["not even JSON"]


def test_purchases_that_are_booked_one_by_one_are_booked_in_their_order(
    stack: Stack, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.submit(*(receipt(f"{ada}-{n}", ada, 100 * n) for n in range(1, 5)), key=ada)
    bodies = list(stack.sqs.bodies)
    stack.sqs.bodies.clear()
    earned = purchases._earned

    def broken(state: Any, program: Any, basket: Any, **more: Any) -> Any:
        if basket.total.amount_minor == 300:
            raise ZeroDivisionError
        return earned(state, program, basket, **more)

    with monkeypatch.context() as patch:
        patch.setattr(purchases, "_earned", broken)
        # The third of them, in the place where it came.
        assert stack.take(bodies[3], bodies[2], bodies[0], bodies[1]) == [1]

    entries = [edge["node"] for edge in stack.api.member(ada)["entries"]["edges"]]
    assert [each["points"] for each in entries if each["points"]] == [4, 2, 1]


def test_the_log_says_what_a_batch_came_to(stack: Stack, ada: str) -> None:
    stack.submit(receipt(f"{ada}-1", ada, 100), receipt(f"{ada}-2", "nobody", 100), key=ada)

    stack.work()

    (line,) = [each for each in map(json.loads, stack.log.getvalue().splitlines()) if each["message"] == "taken"]
    assert (line["counts"], line["failed"]) == ({"Recorded": 1, "MemberNotFound": 1}, 0)


# --- sending ------------------------------------------------------------------------------------------------------------


def test_calls_are_as_full_as_their_limits_allow() -> None:
    small, large = "x" * 100, "é" * 60_000

    assert [len(call) for call in batches([small] * 25)] == [10, 10, 5]
    assert [len(call) for call in batches([large] * 5)] == [2, 2, 1]
    assert [len(call) for call in batches([large, small, large, large])] == [3, 1]
    assert [each for call in batches([str(n) for n in range(33)]) for each in call] == [str(n) for n in range(33)]
    assert list(batches([])) == []


def test_an_outbox_with_nothing_in_it_asks_nobody(sqs: Sqs) -> None:
    outbox.send(Queue("https://queues.invalid/purchases"), [])

    assert sqs.calls == []


def test_the_client_of_the_queue_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Sqs] = []

    def connect_to(_service: str) -> Sqs:
        made.append(Sqs())
        return made[-1]

    monkeypatch.setattr(aws, "connect", connect_to)

    outbox.send(Queue("https://queues.invalid/purchases"), [str(n) for n in range(200)])

    assert len(made) == 1
    assert sorted(map(int, made[0].bodies)) == list(range(200))
