"""Handlers in processes of their own (bench/worker.py), asked from here."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.stage import ROOT


@dataclass(frozen=True, slots=True)
class Batch:
    """What a process answered to a batch of events. `watched` is what `--layers` or `--calls` saw of each."""

    cpu_ns: list[int]
    answers: list[dict[str, Any]]
    watched: list[Any]

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of one call, the mean of the batch."""
        return sum(self.cpu_ns) / len(self.cpu_ns) / 1e6


class Environment:
    """A process that has imported a handler."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, events: Sequence[Mapping[str, Any]]) -> Batch:
        """One call after the other."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(events) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the handler's process ended: {self._process.wait()}"
        return Batch(**json.loads(line))


@contextmanager
def environment(handler: str, variables: Mapping[str, str], option: str = "") -> Iterator[Environment]:
    """A process with the module `handler` imported and these variables; it ends with the block."""
    command = [sys.executable, "-m", "bench.worker", handler, *([option] if option else [])]
    with subprocess.Popen(  # noqa: S603 (our own)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=dict(variables),
    ) as process:
        try:
            yield Environment(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=10)
