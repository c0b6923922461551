"""Who gets in, and what the function's own role may do: on the deployed template, over HTTP."""

import base64
import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from handlers.local.people import Role
from handlers.local.stack import Stack
from tests.stack import graphql

ENROLL = 'mutation { memberEnroll(input: {idempotencyKey: "intruder", externalId: "intruder"}) { member { id } } }'


def items(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.client("dynamodb").scan(TableName=stack.table)["Items"]
    return sorted(found, key=str)


def refused(stack: Stack, token: str | None) -> None:
    """The API answers 401, to reads and writes, by GET and POST, and the table stays as it was."""
    before = items(stack)
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    assert graphql(stack, ENROLL, token=token).status_code == 401
    assert graphql(stack, "{ __typename }", token=token).status_code == 401
    assert httpx.get(stack.graphql_url, params={"query": "{__typename}"}, headers=headers).status_code == 401
    assert items(stack) == before


def with_claims(token: str, **claims: Any) -> str:
    head, payload, signature = token.split(".")
    read = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    changed = base64.urlsafe_b64encode(json.dumps(read | claims).encode()).rstrip(b"=").decode()
    return f"{head}.{changed}.{signature}"


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_in_with_its_token(stack: Stack, role: Role) -> None:
    answer = graphql(stack, "{ __typename }", token=stack.token(role))

    assert answer.status_code == 200
    assert answer.json() == {"data": {"__typename": "Query"}}


def test_no_token_is_401(stack: Stack) -> None:
    refused(stack, None)


def test_something_that_is_no_token_is_401(stack: Stack) -> None:
    refused(stack, "let-me-in")


def test_a_token_with_other_claims_under_its_signature_is_401(stack: Stack) -> None:
    token = stack.token("member")

    refused(stack, with_claims(token, **{"cognito:groups": ["manager"]}))
    refused(stack, with_claims(token, sub="somebody-else"))
    refused(stack, with_claims(token, exp=4_102_444_800))


def test_a_token_with_a_broken_signature_is_401(stack: Stack) -> None:
    head, payload, signature = stack.token("staff").split(".")
    middle = len(signature) // 2
    broken = signature[:middle] + ("A" if signature[middle] != "A" else "B") + signature[middle + 1 :]

    refused(stack, f"{head}.{payload}.{broken}")


def test_a_token_without_a_signature_is_401(stack: Stack) -> None:
    _, payload, _ = stack.token("staff").split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()

    refused(stack, f"{unsigned}.{payload}.")


def test_a_token_of_another_pool_is_401(stack: Stack) -> None:
    """A real token, signed by the same service for somebody else's pool, with the same name and group in it."""
    cognito = stack.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="elsewhere")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="elsewhere", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    cognito.admin_create_user(UserPoolId=pool, Username="grace", MessageAction="SUPPRESS")
    cognito.admin_set_user_password(UserPoolId=pool, Username="grace", Password="Elsewhere-1!", Permanent=True)
    cognito.create_group(UserPoolId=pool, GroupName="manager")
    cognito.admin_add_user_to_group(UserPoolId=pool, Username="grace", GroupName="manager")
    signed_in = cognito.initiate_auth(
        ClientId=client,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "grace", "PASSWORD": "Elsewhere-1!"},
    )

    refused(stack, signed_in["AuthenticationResult"]["AccessToken"])


def test_a_token_of_another_client_of_the_same_pool_is_401(stack: Stack) -> None:
    cognito = stack.client("cognito-idp")
    client = cognito.create_user_pool_client(
        UserPoolId=stack.outputs["UserPoolId"], ClientName="other", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    email, password = next(iter(stack.passwords.items()))
    signed_in = cognito.initiate_auth(
        ClientId=client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": email, "PASSWORD": password}
    )

    refused(stack, signed_in["AuthenticationResult"]["AccessToken"])


def test_a_browser_may_ask_first(stack: Stack) -> None:
    answer = httpx.options(
        stack.graphql_url,
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )

    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"]


def test_the_member_of_the_demo_is_there(stack: Stack) -> None:
    answer = graphql(stack, "{ viewer { name account { balance } } }", token=stack.token("member"))

    assert answer.json() == {"data": {"viewer": {"name": "Ada", "account": {"balance": 0}}}}


# A function that tries what an intruder in the GraphQL function would try, under the very role that one has.
PROBE = """
import os, botocore.session, botocore.exceptions

def handler(event, context):
    client = botocore.session.get_session().create_client("dynamodb")
    outcomes = {}
    for name, arguments in event.items():
        try:
            getattr(client, name)(**arguments)
            outcomes[name] = "done"
        except botocore.exceptions.ClientError as error:
            outcomes[name] = error.response["Error"]["Code"]
    return outcomes
"""


def test_the_functions_role_can_append_but_neither_change_nor_delete_nor_scan(stack: Stack) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("probe.py", PROBE)
    lambdas = stack.client("lambda")
    lambdas.create_function(
        FunctionName="probe",
        Runtime="python3.11",
        Role=stack.outputs["FunctionRoleArn"],
        Handler="probe.handler",
        Code={"ZipFile": code.getvalue()},
        Timeout=30,
    )
    stack.client("dynamodb").create_table(
        TableName="elsewhere",
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table, key = {"TableName": stack.table}, {"PK": {"S": "probe"}, "SK": {"S": "probe"}}

    def outcomes(tries: dict[str, Any]) -> dict[str, str]:
        answer = lambdas.invoke(FunctionName="probe", Payload=json.dumps(tries))
        read: dict[str, str] = json.load(answer["Payload"])
        return read

    allowed = {
        "put_item": table | {"Item": key},
        "get_item": table | {"Key": key},
        "query": table
        | {"KeyConditionExpression": "PK = :p", "ExpressionAttributeValues": {":p": {"S": "probe"}}},
        "transact_write_items": {
            "TransactItems": [{"Put": table | {"Item": {"PK": {"S": "probe"}, "SK": {"S": "other"}}}}]
        },
    }  # fmt: skip
    assert outcomes(allowed) == dict.fromkeys(allowed, "done")

    before = items(stack)
    denied = {
        "scan": table,
        "batch_get_item": {"RequestItems": {stack.table: {"Keys": [key]}}},
        "delete_item": table | {"Key": key},
        "update_item": table
        | {"Key": key, "UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}},
        "batch_write_item": {"RequestItems": {stack.table: [{"DeleteRequest": {"Key": key}}]}},
        "transact_write_items": {"TransactItems": [{"Delete": table | {"Key": key}}]},
        "delete_table": table,
        "describe_table": table,
        "put_item": {"TableName": "elsewhere", "Item": {"PK": {"S": "probe"}}},
    }  # fmt: skip
    assert outcomes(denied) == dict.fromkeys(denied, "AccessDeniedException")
    assert items(stack) == before

    # What it put is none of the program's: verify would name it (test_proof.py).
    for sort_key in ("probe", "other"):
        stack.client("dynamodb").delete_item(**{**table, "Key": {"PK": {"S": "probe"}, "SK": {"S": sort_key}}})
