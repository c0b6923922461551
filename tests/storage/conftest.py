"""The three stores, and a table of its own for each test."""

from collections.abc import Iterator

import pytest
from pynamodb.connection import Connection

from domain.store import Store
from storage.memory import Memory
from tests.engines import Engine
from tests.storage.tables import Tables, connect, fresh_table
from tests.storage.wire import ATTEMPTS, Wire


@pytest.fixture
def table(engine: Engine) -> Tables:
    """A fresh table on each engine in turn."""
    return fresh_table(engine)


@pytest.fixture(params=["memory", "ministack", "dynamodb_local"])
def place(request: pytest.FixtureRequest) -> Memory | Tables:
    """Each of the three stores in turn, empty, with everything in it to look at."""
    if request.param == "memory":
        return Memory()
    return fresh_table(request.getfixturevalue(request.param))


@pytest.fixture
def store(place: Memory | Tables) -> Store:
    """Each of the three stores in turn, empty."""
    return place if isinstance(place, Memory) else place.store


# --- an engine that misbehaves ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tampered(engine: Engine) -> Connection:
    """A connection of a test module's own, with one retry by the client itself."""
    connection = connect(engine)
    connection._retry_configuration = {"total_max_attempts": ATTEMPTS, "mode": "standard"}
    return connection


@pytest.fixture
def wire(tampered: Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The way to the engine through `tampered`."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    # So much trouble in so little time would make the client stop asking again.
    monkeypatch.setattr("botocore.retries.quota.RetryQuota.acquire", lambda *_: True)
    wire = Wire(tampered.client)
    tampered.client.meta.events.register("before-send.dynamodb", wire)
    yield wire
    tampered.client.meta.events.unregister("before-send.dynamodb", wire)
    assert not wire.trouble, "all of the trouble happened"
