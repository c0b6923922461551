"""Deployed stacks and a clock for the tests of the handlers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from handlers import runtime
from tests.engines import Engine
from tests.handlers.api import Api, deployed


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


@dataclass
class Clock:
    """The program's clock in the hands of a test."""

    # Ahead of the wall: what is written carries a TTL that no engine's own clock has passed.
    now: datetime = datetime(2030, 1, 10, 17, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stops the program's clock at 2030-01-10, noon in New York."""
    clock = Clock()
    monkeypatch.setattr(runtime, "now", clock)
    return clock
