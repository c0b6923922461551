"""A running local stack: what it is called, who may call it, and how it comes up and goes down."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import boto3

from handlers.local import deploy, emulator, people
from handlers.local.home import TOOLS, Home, LocalStackError, write_json
from handlers.local.people import Role

# The same build as for AWS, for this machine's Python and processor; `make run` brings it up to date first.
ARTIFACT = TOOLS / "build" / "regulars.zip"


@dataclass(frozen=True)
class Stack:
    """Everything another program needs in order to use the stack; `.local/stack.json` is this and the tokens."""

    graphql_url: str
    graphiql_url: str
    endpoint_url: str
    region: str
    # The process that is the local AWS.
    process: int
    table: str
    outputs: dict[str, str]
    # The root key of the local account and the demo's passwords: worth nothing outside this machine.
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    passwords: dict[str, str] = field(repr=False)

    @property
    def client_arguments(self) -> dict[str, Any]:
        """Keyword arguments that point a boto3 client at the local AWS."""
        return emulator.client_arguments(self.endpoint_url, self.secret_key)

    def client(self, service: str) -> Any:
        """A boto3 client of the local account's root."""
        return boto3.client(service, **self.client_arguments)

    def is_up(self) -> bool:
        """Whether the local AWS still answers."""
        try:
            with urllib.request.urlopen(f"{self.endpoint_url}/_ministack/health", timeout=60):
                return True
        except ConnectionError:
            return False
        except TimeoutError:
            # Busy, not gone: on a machine with far too much to do it has not found the time to answer.
            return True
        except urllib.error.URLError as error:
            return not isinstance(error.reason, ConnectionError)

    def token(self, role: Role | str) -> str:
        """A fresh access token for a member, a partner (till), staff (a manager) or the approver (another one)."""
        return people.token(Role(role), self.outputs, self.passwords, self.client_arguments)


@contextlib.contextmanager
def running(
    home: Home, *, gateway_port: int, page_port: int, lock: int, environment: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Start the local AWS with the home's state and deploy the template; stop and save at the end of the context."""
    if not ARTIFACT.exists():
        raise LocalStackError("The function is not built yet: run `make run` (or `make build-here`) once.")
    with emulator.started(home, gateway_port, lock, environment) as aws:
        outputs = deploy.deployed(ARTIFACT, aws.client_arguments)
        passwords = people.ensure(home, outputs, aws.client_arguments)
        yield Stack(
            # The path form of an execute-api address: nothing here can resolve the API's own host name.
            graphql_url=f"{aws.endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default/graphql",
            graphiql_url=f"http://{emulator.HOST}:{page_port}/",
            endpoint_url=aws.endpoint_url,
            region=emulator.REGION,
            process=aws.process.pid,
            table=outputs["TableName"],
            outputs=outputs,
            access_key=emulator.ACCOUNT,
            secret_key=aws.secret_key,
            passwords=passwords,
        )


def publish(home: Home, stack: Stack) -> dict[str, str]:
    """Write `stack.json` with a fresh token for each role, and give the tokens."""
    tokens = {role.value: stack.token(role) for role in Role}
    write_json(home.stack_file, {**asdict(stack), "tokens": tokens})
    return tokens


def published(home: Home) -> Stack:
    """The stack that runs in this home. Raises LocalStackError when none does."""
    try:
        facts = json.loads(home.stack_file.read_text())
    except FileNotFoundError:
        raise LocalStackError("Regulars is not running here. Start it: make run") from None
    facts.pop("tokens")
    return Stack(**facts)
