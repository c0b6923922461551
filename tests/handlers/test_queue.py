"""Sending to a queue: ten messages a call, again what a call has left, and a word when it will not take them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from domain import limits
from handlers.queue import NotSent, Queue


class Sqs:
    """A client of SQS that fails what it is told to: `fails[n]` are the messages of its nth call that it does not take."""

    def __init__(self, *fails: set[str]) -> None:
        self._fails = list(fails)
        self.calls: list[list[Mapping[str, Any]]] = []
        self.kept: list[str] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == "https://sqs.example/visits"
        assert 1 <= len(Entries) <= limits.MESSAGES_A_CALL_MAX
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        self.calls.append(list(Entries))
        fails = self._fails.pop(0) if self._fails else set()
        failed = [entry for entry in Entries if entry["MessageBody"] in fails]
        self.kept += [entry["MessageBody"] for entry in Entries if entry not in failed]
        answer: dict[str, Any] = {"Successful": []}
        if failed:
            answer["Failed"] = [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in failed]
        return answer


def queue(client: Sqs, pauses: list[float] | None = None) -> Queue:
    return Queue(
        "https://sqs.example/visits", client=lambda: client, pause=(pauses if pauses is not None else []).append
    )


def test_messages_go_ten_a_call_in_their_order() -> None:
    sqs = Sqs()

    queue(sqs).send(str(number) for number in range(25))

    assert [len(call) for call in sqs.calls] == [10, 10, 5]
    assert sqs.kept == [str(number) for number in range(25)]


def test_nothing_to_send_asks_nobody() -> None:
    sqs = Sqs()

    queue(sqs).send([])

    assert sqs.calls == []


def test_what_a_call_has_left_is_sent_again_and_nothing_else() -> None:
    sqs, pauses = Sqs({"1", "3"}, {"3"}), list[float]()

    queue(sqs, pauses).send(["0", "1", "2", "3"])

    assert [[entry["MessageBody"] for entry in call] for call in sqs.calls] == [["0", "1", "2", "3"], ["1", "3"], ["3"]]
    assert sorted(sqs.kept) == ["0", "1", "2", "3"]
    assert len(pauses) == 2


def test_a_queue_that_will_not_take_a_message_is_told_of_after_a_bound() -> None:
    sqs = Sqs(*[{"1"}] * 100)

    with pytest.raises(NotSent, match="InternalError"):
        queue(sqs).send(["0", "1"])

    assert len(sqs.calls) == limits.MESSAGE_CALLS_MAX


def test_a_call_holds_no_more_bytes_than_it_may() -> None:
    sqs = Sqs()
    third = "é" * (limits.MESSAGE_CALL_BYTES_MAX // 6)

    queue(sqs).send([third, third, third, "small", "x" * limits.MESSAGE_CALL_BYTES_MAX, "small"])

    assert [[len(entry["MessageBody"]) for entry in call] for call in sqs.calls] == [
        [len(third), len(third), len(third)],
        [5],
        [limits.MESSAGE_CALL_BYTES_MAX],
        [5],
    ]


def test_what_is_said_about_messages_goes_with_each_of_them_and_counts() -> None:
    sqs = Sqs()
    half = "x" * (limits.MESSAGE_CALL_BYTES_MAX // 2)

    queue(sqs).send([half, half], attributes={"reason": "NotATurn: é"})

    assert [len(call) for call in sqs.calls] == [1, 1]
    assert [entry["MessageAttributes"] for call in sqs.calls for entry in call] == [
        {"reason": {"DataType": "String", "StringValue": "NotATurn: é"}}
    ] * 2


def test_a_message_may_be_held_back_for_a_quarter_of_an_hour() -> None:
    sqs = Sqs()

    queue(sqs).send(["later"], delay=limits.MESSAGE_DELAY_MAX)

    assert [entry["DelaySeconds"] for call in sqs.calls for entry in call] == [900]
    with pytest.raises(AssertionError):
        queue(sqs).send(["later"], delay=limits.MESSAGE_DELAY_MAX + timedelta(seconds=1))
