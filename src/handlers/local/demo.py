"""What a new stack has in it: the coffee chain's program, and Ada as its member."""

import json
import urllib.request
from typing import Any

from pynamodb.connection import Connection

from domain.clock import NotASandbox
from domain.refusals import Refusal
from handlers import program
from handlers.local.home import REPOSITORY, LocalStackError
from handlers.local.people import PEOPLE, Role
from handlers.local.stack import Stack

PROGRAM = REPOSITORY / "demo" / "coffee-chain.yaml"

ENROLL = """mutation Enroll($input: MemberEnrollInput!) {
  memberEnroll(input: $input) {
    member { id }
    userErrors { code field message }
  }
}"""

# The query that is printed, pasted and looked at first; it is Ada's own home screen.
FIRST_QUERY = """{
  viewer {
    name
    account { balance pending expiring { on points } }
  }
  rewards { nodes { name cost } }
}"""


def seed(stack: Stack) -> None:
    """Publish the demo's program, as a sandbox's, and enroll Ada with her own token. Doing it again changes nothing."""
    connection = Connection(
        region=stack.region,
        host=stack.endpoint_url,
        aws_access_key_id=stack.access_key,
        aws_secret_access_key=stack.secret_key,
    )
    try:
        try:
            program.publish(PROGRAM, table=stack.table, connection=connection, sandbox=True)
        except NotASandbox:
            # This state is older than the clock: it goes on as what it is, until `make reset`.
            program.publish(PROGRAM, table=stack.table, connection=connection)
    except Refusal as refusal:
        raise LocalStackError(f"{PROGRAM} could not be published: {refusal.message}") from refusal
    ada = PEOPLE[Role.MEMBER]
    answer = _ask(
        stack,
        ENROLL,
        {"input": {"idempotencyKey": "demo:ada", "email": ada.email, "name": ada.name}},
    )
    errors = answer.get("errors") or answer["data"]["memberEnroll"]["userErrors"]
    # A claim is forgotten after five weeks; Ada is not.
    if errors and errors[0].get("code") != "ALREADY_ENROLLED":
        raise LocalStackError(f"The demo's member could not be enrolled: {json.dumps(errors)}")


def _ask(stack: Stack, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        stack.graphql_url,
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Authorization": f"Bearer {stack.token(Role.MEMBER)}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer
