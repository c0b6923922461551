"""Everybody at once, over HTTP: 200 requests on 32 connections against one account of the running stack.

Exactly as many succeed as the balance allows, the others are told no, and nobody gets an error for having met the others.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from handlers.local.stack import Stack

CONNECTIONS, REQUESTS = 32, 200
ENROLL = """mutation ($input: MemberEnrollInput!) {
  memberEnroll(input: $input) { member { id } userErrors { code } }
}"""
ADJUST = """mutation ($input: PointsAdjustInput!) {
  pointsAdjust(input: $input) { account { balance } userErrors { code } }
}"""
REDEEM = """mutation ($input: RewardRedeemInput!) {
  rewardRedeem(input: $input) { redemption { id } replayed userErrors { code } }
}"""
HOLD = """mutation ($input: PointsHoldInput!) {
  pointsHold(input: $input) { hold { id } replayed userErrors { code } }
}"""
TRANSFER = """mutation ($input: PointsTransferInput!) {
  pointsTransfer(input: $input) { transfer { id } replayed userErrors { code } }
}"""
MEMBER = "query ($by: MemberByInput!) { member(by: $by) { account { balance held } } }"


class Callers:
    """Connections of their own, each good for one request at a time, with the tokens of a till and of a manager."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.graphql_url
        self._tokens = {role: stack.token(role) for role in ("partner", "staff")}
        self._clients = [httpx.Client(timeout=120) for _ in range(CONNECTIONS)]

    def ask(self, role: str, query: str, *, over: int = 0, **variables: Any) -> dict[str, Any]:
        """The data of an answer; an error of any kind fails the test."""
        response = self._clients[over].post(
            self._url,
            content=json.dumps({"query": query, "variables": variables}),
            headers={"Authorization": f"Bearer {self._tokens[role]}", "Content-Type": "application/json"},
        )
        assert response.status_code == 200, response.text
        body = response.json()
        assert "errors" not in body, body["errors"]
        (payload,) = body["data"].values()
        found: dict[str, Any] = payload
        return found

    def at_once(self, role: str, query: str, inputs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """All inputs, spread over all connections; the answers in order."""
        answers: list[dict[str, Any]] = [{}] * len(inputs)

        def send(connection: int) -> None:
            for number in range(connection, len(inputs), CONNECTIONS):
                answers[number] = self.ask(role, query, over=connection, input=inputs[number])

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            list(threads.map(send, range(CONNECTIONS)))
        return answers

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture(scope="module")
def callers(stack: Stack) -> Iterator[Callers]:
    made = Callers(stack)
    # Each connection's first request starts an execution environment of its own, as on AWS.
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(lambda over: made.ask("partner", MEMBER_NOBODY, over=over), range(CONNECTIONS)))
    yield made
    made.close()


MEMBER_NOBODY = "{ rewards(first: 1) { nodes { id } } }"


def somebody(callers: Callers, name: str, points: int) -> dict[str, str]:
    """A member with so many points, as an input names them."""
    callers.ask("partner", ENROLL, input={"idempotencyKey": name, "externalId": name})
    if points:
        given = {"idempotencyKey": name, "member": {"externalId": name}, "points": points, "reason": "TEST"}
        assert callers.ask("staff", ADJUST, input=given)["account"]["balance"] == points
    return {"externalId": name}


def codes(answers: list[dict[str, Any]]) -> Counter[str]:
    """How often each answer was given."""
    return Counter(error["code"] for answer in answers for error in answer["userErrors"] or [{"code": "ok"}])


@pytest.mark.timeout(600)
def test_200_redemptions_over_32_connections_succeed_as_often_as_the_balance_allows(callers: Callers) -> None:
    member = somebody(callers, "race-redeem", 15 * 73 + 14)

    answers = callers.at_once(
        "partner",
        REDEEM,
        [{"idempotencyKey": f"race-{each}", "member": member, "rewardId": "cookie"} for each in range(REQUESTS)],
    )

    assert codes(answers) == {"ok": 73, "INSUFFICIENT_POINTS": REQUESTS - 73}
    assert len({answer["redemption"]["id"] for answer in answers if answer["redemption"]}) == 73
    assert callers.ask("partner", MEMBER, by=member)["account"] == {"balance": 14, "held": 0}


@pytest.mark.timeout(600)
def test_200_gifts_over_32_connections_succeed_as_often_as_the_balance_allows(callers: Callers) -> None:
    giver, receiver = somebody(callers, "race-giver", 10 * 41 + 9), somebody(callers, "race-receiver", 0)

    answers = callers.at_once(
        "staff",
        TRANSFER,
        [{"idempotencyKey": f"gift-{each}", "from": giver, "to": receiver, "points": 10} for each in range(REQUESTS)],
    )

    assert codes(answers) == {"ok": 41, "INSUFFICIENT_POINTS": REQUESTS - 41}
    assert callers.ask("partner", MEMBER, by=giver)["account"]["balance"] == 9
    assert callers.ask("partner", MEMBER, by=receiver)["account"]["balance"] == 410


@pytest.mark.timeout(600)
def test_200_holds_over_32_connections_succeed_as_often_as_the_balance_allows(callers: Callers) -> None:
    member = somebody(callers, "race-hold", 100 * 5 + 99)

    answers = callers.at_once(
        "partner",
        HOLD,
        [{"idempotencyKey": f"hold-{each}", "member": member, "points": 100} for each in range(REQUESTS)],
    )

    assert codes(answers) == {"ok": 5, "INSUFFICIENT_POINTS": REQUESTS - 5}
    assert callers.ask("partner", MEMBER, by=member)["account"] == {"balance": 99, "held": 500}


@pytest.mark.timeout(600)
def test_one_call_delivered_200_times_over_32_connections_is_booked_once(callers: Callers) -> None:
    member = somebody(callers, "race-retry", 500)
    same = {"idempotencyKey": "race-retry-1", "member": member, "rewardId": "latte"}

    answers = callers.at_once("partner", REDEEM, [same] * REQUESTS)

    assert codes(answers) == {"ok": REQUESTS}
    assert len({answer["redemption"]["id"] for answer in answers}) == 1
    assert Counter(answer["replayed"] for answer in answers) == {False: 1, True: REQUESTS - 1}
    assert callers.ask("partner", MEMBER, by=member)["account"]["balance"] == 460
