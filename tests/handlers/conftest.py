"""Deployed stacks and a clock for the tests of the handlers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers import aws, runtime
from tests.engines import Engine, run_ministack
from tests.handlers.api import Api, deployed
from tests.handlers.launching import Stage, staged


@pytest.fixture(scope="session")
def api(ministack: Engine) -> Iterator[Api]:
    """The demo program on MiniStack, for all tests that make members of their own."""
    with deployed(ministack, "regulars-shared") as api:
        yield api


@pytest.fixture(scope="module")
def quiet(ministack: Engine, request: pytest.FixtureRequest) -> Iterator[Api]:
    """A stack of the test module's own, with a table small enough to be read whole again and again."""
    with deployed(ministack, f"regulars-{request.module.__name__.rpartition('.')[2]}") as api:
        yield api


@pytest.fixture(scope="session")
def with_queues() -> Iterator[Engine]:
    """MiniStack with queues beside its tables."""
    with run_ministack("dynamodb,sqs") as engine:
        yield engine


@pytest.fixture(scope="module")
def stage(with_queues: Engine) -> Iterator[Stage]:
    """A stack of campaigns of the test module's own; each test has its own members in it."""
    with staged(with_queues) as stage:
        yield stage


@pytest.fixture
def empty_stage(with_queues: Engine) -> Iterator[Stage]:
    """A stack of campaigns on which nobody has enrolled yet."""
    with staged(with_queues) as stage:
        yield stage


@dataclass
class Clock:
    """The program's clock in the hands of a test."""

    # Ahead of the wall: what is written carries a TTL that no engine's own clock has passed.
    now: datetime = datetime(2030, 1, 10, 17, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


class Sqs:
    """The client of all queues, which keep what they are sent; they may be full."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.calls: list[list[str]] = []
        self.is_full = False

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl
        if self.is_full:
            return {"Failed": [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in Entries]}
        bodies = [entry["MessageBody"] for entry in Entries]
        self.calls.append(bodies)
        self.bodies += bodies
        return {"Successful": []}


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    """Queues that take whatever the API sends."""
    sqs = Sqs()
    monkeypatch.setattr(aws, "connect", lambda _service: sqs)
    return sqs


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stops the program's clock at 2030-01-10, noon in New York."""
    clock = Clock()
    monkeypatch.setattr(runtime, "now", clock)
    return clock
