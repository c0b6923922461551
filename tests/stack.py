"""The whole local stack for tests: the real template in a local AWS, with a home and ports of its own.

    from tests.stack import stack          # in a conftest.py

    def test_says_who_i_am(stack: Stack) -> None: ...      # stack.graphql_url, stack.token("member"), stack.client("dynamodb")

It is started as `regulars run` starts it, once for each pytest-xdist worker and on first use.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers.local.home import Home
from handlers.local.stack import Stack, published
from tests.engines import free_port, make

# A loaded machine builds, deploys and cold-starts in this time, many times over.
START_S_MAX = 150
STOP_S_MAX = 60


@dataclass
class Running:
    """A `regulars run` of its own, and what it printed so far."""

    home: Home
    process: subprocess.Popen[str]
    output_file: Path

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    @property
    def stack(self) -> Stack:
        return published(self.home)

    def wait_until_ready(self) -> Stack:
        give_up_at = time.monotonic() + START_S_MAX
        # The greeting is the last thing that happens; stack.json of a killed run may still lie there.
        while "A first query" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < give_up_at, self.output
            time.sleep(0.05)
        return self.stack

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_S_MAX)


def command(name: str, home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "handlers.local.commands", name, *arguments, "--home", str(home)]


def start(home: Path, *, environment: Mapping[str, str] | None = None) -> Running:
    """`regulars run` in a folder, on free ports."""
    make("local-tools")
    make("build-here")
    home.mkdir(parents=True, exist_ok=True)
    output_file = home / "output"
    arguments = ["--port", str(free_port()), "--gateway-port", str(free_port())]
    with output_file.open("w") as output:
        process = subprocess.Popen(
            command("run", home, *arguments),
            stdout=output,
            stderr=output,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            # Ctrl-C of the test run goes to pytest, which then stops this in its own time.
            start_new_session=True,
        )
    return Running(Home(home), process, output_file)


def graphql(
    stack: Stack, query: str, *, token: str | None, variables: Mapping[str, Any] | None = None
) -> httpx.Response:
    """One POST to the API, as any client would send it."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = json.dumps({"query": query, "variables": variables or {}})
    return httpx.post(stack.graphql_url, content=body, headers=headers, timeout=60)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The session's stack with the process that runs it."""
    started = start(tmp_path_factory.mktemp("stack"))
    try:
        started.wait_until_ready()
        yield started
    finally:
        assert started.stop() == 0, started.output


@pytest.fixture(scope="session")
def stack(running: Running) -> Stack:
    """The session's stack."""
    return running.stack
