"""The three stores, and a table of its own for each test."""

import pytest

from domain.ledger import Store
from storage.memory import Memory
from tests.engines import Engine
from tests.storage.tables import Tables, fresh_table


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
