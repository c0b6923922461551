"""The artifact answers as a Lambda function, on a real engine."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from samtranslator.yaml_helper import yaml_parse

from handlers import program, runtime
from tests.build.emulator import SETTINGS, Function
from tests.engines import ROOT, Engine, create_table

TILL = {
    "iss": "https://issuer.example",
    "sub": "till-7",
    "client_id": "till-7",
    "scope": "regulars/members regulars/purchases regulars/redemptions",
}
ENROLL = """mutation ($input: MemberEnrollInput!) {
    memberEnroll(input: $input) { member { externalId account { balance } } userErrors { code } }
}"""
REWARDS = "{ rewards(first: 1) { edges { node { name } } } }"
PURCHASE = """mutation ($input: PurchaseRecordInput!) {
    purchaseRecord(input: $input) { entry { points balanceAfter } replayed userErrors { code field message } }
}"""


def request(query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the HTTP API sends for a till's GraphQL request."""
    return {
        "version": "2.0",
        "routeKey": "POST /graphql",
        "rawPath": "/graphql",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "api.example"},
        "requestContext": {
            "http": {"method": "POST", "path": "/graphql", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "authorizer": {"jwt": {"claims": TILL, "scopes": None}},
            "requestId": "request-1",
            "stage": "$default",
        },
        "body": json.dumps({"query": query, "variables": variables}),
        "isBase64Encoded": False,
    }


def test_records_a_purchase(start: Callable[..., Function], ministack: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    create_table(boto3.client("dynamodb", **ministack.client_kwargs), SETTINGS["REGULARS_TABLE"])
    for name, value in ministack.environment.items():
        monkeypatch.setenv(name, value)
    program.publish(ROOT / "demo" / "coffee-chain.yaml", table=SETTINGS["REGULARS_TABLE"], connection=runtime.connect())
    function = start({**SETTINGS, **ministack.environment})
    purchase = {
        "source": "till-7",
        "externalId": "receipt-1",
        "member": {"externalId": "ada"},
        "total": {"amountMinor": 1250, "currency": "USD"},
        "occurredAt": datetime.now(UTC).isoformat(),
        "lines": [],
    }

    enrolled = function(request(ENROLL, {"input": {"idempotencyKey": "enroll-ada", "externalId": "ada"}}))
    recorded = function(request(PURCHASE, {"input": purchase}))
    repeated = function(request(PURCHASE, {"input": purchase}))

    assert json.loads(enrolled["body"])["data"]["memberEnroll"] == {
        "member": {"externalId": "ada", "account": {"balance": 0}},
        "userErrors": [],
    }
    payload = json.loads(recorded["body"])["data"]["purchaseRecord"]
    assert payload == {"entry": {"points": 12, "balanceAfter": 12}, "replayed": False, "userErrors": []}
    assert json.loads(repeated["body"])["data"]["purchaseRecord"] == {**payload, "replayed": True}


@pytest.fixture
def silent_table() -> Iterator[dict[str, str]]:
    """Settings with a table that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        keys = {"AWS_ACCESS_KEY_ID": "silent", "AWS_SECRET_ACCESS_KEY": "silent"}
        yield {**SETTINGS, **keys, "AWS_ENDPOINT_URL_DYNAMODB": endpoint}


def test_a_table_that_never_answers_is_told_before_the_function_times_out(
    start: Callable[..., Function], silent_table: dict[str, str]
) -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    function = start(silent_table, timeout_s=template["Resources"]["GraphqlFunction"]["Properties"]["Timeout"])

    answer = function(request(REWARDS))

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert silent_table["AWS_ENDPOINT_URL_DYNAMODB"] not in answer["body"]


def test_the_emulator_ends_a_function_at_its_timeout(
    start: Callable[..., Function], silent_table: dict[str, str]
) -> None:
    function = start(silent_table, timeout_s=1)

    assert function(request(REWARDS)) == "Task timed out after 1.00 seconds"


def test_a_missing_setting_stops_the_cold_start_and_is_named(start: Callable[..., Function]) -> None:
    function = start({name: value for name, value in SETTINGS.items() if name != "REGULARS_TABLE"})

    answer = function(request(REWARDS))

    assert answer["errorType"] == "SettingMissing"
    assert answer["errorMessage"] == "The environment variable REGULARS_TABLE is not set."
