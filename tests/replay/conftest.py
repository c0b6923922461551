from collections.abc import Iterator

import pytest

from handlers.client import Client
from tests.replay.tiny_program import TinyProgram, serving

TIMEZONE = "Europe/Berlin"  # not where the data comes from: instants near a month's end fall into another month


@pytest.fixture
def program() -> Iterator[TinyProgram]:
    with serving(TinyProgram(timezone=TIMEZONE)) as running:
        yield running


@pytest.fixture
def client(program: TinyProgram) -> Iterator[Client]:
    client = Client(program.graphql_url, token=program.token, wait_first_s=0.001)
    yield client
    client.close()
