"""Many deliveries of many operations, by several clients at once, out of order, more than once, over a network with faults.

Deliveries are those of a queue that promises at least once: a delivery whose outcome nobody knows (the client crashed, the store
did not answer) comes again, some come again although they were answered, and their order means little. All of it follows from one
seed: a failure is run again with `REGULARS_SEED=<seed>`, and `Report.explained` tells its story.

    for seed in seeds(20):
        with Simulation(seed, operations, lambda wire: Patient(wire, ...), unknown=(OutcomeUnknown,)).explained() as report: ...
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from tests.faults.engine import Answering, Dynamo
from tests.faults.faults import RATES, Chance, Crashed, Fault, Line, Network, Plan
from tests.faults.schedule import Chooser, Moody, Schedule
from tests.faults.story import Story, replay_command

S = TypeVar("S")


def seeds(runs: int, *, soak: int | None = None) -> Iterator[int]:
    """The seeds of a test: always the same ones, new ones when it runs longer than usual, or the one that is asked for.

    New ones follow on `REGULARS_FIRST_SEED`, when that is given: a soak can be run again too.
    """
    if asked := os.environ.get("REGULARS_SEED"):
        yield int(asked)
        return
    soak = soak or int(os.environ.get("REGULARS_SOAK", "1"))
    first = int(os.environ.get("REGULARS_FIRST_SEED") or random.SystemRandom().randrange(10**12))
    for number in range(runs * soak):
        yield number if soak == 1 else first + number


@dataclass(frozen=True, slots=True)
class Operation(Generic[S]):
    """One request of somebody, with its key: however often it is delivered, it is the same.

    `call` makes it on a client's own store; its answer is what it returns, or one of the exceptions that count as answers.
    `deliveries` is how often the queue brings it at least, answered or not.
    """

    name: str
    call: Callable[[S], object]
    deliveries: int = 1


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivery that was answered: with a `value`, or a `refusal`. `started` and `ended` count the network's requests."""

    operation: str
    delivery: int
    client: str
    started: int
    ended: int
    value: Any = None
    refusal: Exception | None = None


@dataclass(slots=True)
class Report:
    """What came of a run. `answers` has the answered deliveries of each operation, in the order of their answers."""

    seed: int
    table: Answering
    story: Story
    answers: dict[str, list[Delivered]]
    deliveries: int = 0
    unknown: int = 0
    crashes: int = 0
    requests: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)

    @contextmanager
    def explained(self, *words: str) -> Iterator["Report"]:
        """What fails inside is told with the story of the deliveries that touched these words, and how to see it again."""
        try:
            yield self
        except BaseException as failure:
            failure.add_note(self.told(*words))
            raise

    def told(self, *words: str) -> str:
        return f"{self.story.about(*words)}\n\nagain: {replay_command(REGULARS_SEED=self.seed)}"


# An operation that is delivered as often as this without an answer will never have one.
DELIVERIES_MAX = 300


class Simulation(Generic[S]):
    """One run; the same arguments make the same run.

    `store` makes a client's store on its connection, anew after each crash. `unknown` are the exceptions after which nobody knows
    the outcome and the delivery comes again; `refusals` those that are answers. Whatever else a call raises ends the run.
    `disorder` is how many places a delivery may be away from where the operation stands in the list. `twice` is how often an
    answered delivery comes again nonetheless.
    """

    def __init__(
        self,
        seed: int,
        operations: Sequence[Operation[S]],
        store: Callable[[Line], S],
        *,
        clients: int = 4,
        rates: Mapping[Fault, float] = RATES,
        plan: Plan | None = None,
        chooser: Chooser | None = None,
        table: Answering | None = None,
        disorder: int = 30,
        twice: float = 0.2,
        unknown: tuple[type[BaseException], ...] = (),
        refusals: tuple[type[Exception], ...] = (),
    ) -> None:
        self._rng = random.Random(seed)
        self._store = store
        self._clients = [f"c{number}" for number in range(1, clients + 1)]
        self._twice = twice
        self._unknown = unknown
        self._refusals = refusals
        self._disorder = disorder
        self._schedule = Schedule(chooser or Moody(self._rng))
        story = Story()
        self._network = Network(
            table or Dynamo(), plan or Chance(self._rng, rates), stop=self._schedule.stop, story=story
        )
        self._queue = self._shuffled(operations)
        self._tries: Counter[str] = Counter()
        self.report = Report(seed, self._network.table, story, {operation.name: [] for operation in operations})
        assert len(self.report.answers) == len(operations), "two operations have one name"

    def run(self) -> Report:
        """Delivers everything until everything is answered, then lets arrive what is still on its way."""
        with self.report.explained():
            try:
                self._schedule.run({client: partial(self._work, client) for client in self._clients})
                self._network.arrive()
            finally:
                self.report.requests = self._network.requests
                self.report.faults = self._network.counts
        return self.report

    @property
    def trace(self) -> list[str]:
        """Who went, stop by stop."""
        return self._schedule.trace

    def _shuffled(self, operations: Sequence[Operation[S]]) -> list[Operation[S]]:
        """The queue, to be taken from its end."""
        placed = [
            (place + self._rng.uniform(0, self._disorder), self._rng.random(), operation)
            for place, operation in enumerate(operations)
            for _ in range(operation.deliveries)
        ]
        placed.sort(key=lambda each: each[:2], reverse=True)
        return [operation for _, _, operation in placed]

    def _again(self, operation: Operation[S]) -> None:
        """The queue brings it once more, a little later."""
        self._tries[operation.name] += 1
        assert self._tries[operation.name] < DELIVERIES_MAX, f"{operation.name} is never answered"
        soon = len(self._queue) - self._rng.randrange(self._disorder + 1)
        self._queue.insert(max(0, soon), operation)

    def _work(self, client: str) -> None:
        report, story = self.report, self.report.story
        wire = self._network.wire(client)
        store = self._store(wire)
        while self._queue:
            operation = self._queue.pop()
            report.deliveries += 1
            delivery = story.working_on[client] = report.deliveries
            started = self._network.requests
            value, refusal = None, None
            story.note(client, operation.name)
            try:
                value = operation.call(store)
            except Crashed:
                report.crashes += 1
                story.note(client, "crashed")
                self._again(operation)
                wire = self._network.wire(client)
                store = self._store(wire)
                continue
            except self._unknown as unknown:
                report.unknown += 1
                story.note(client, f"unknown: {type(unknown).__name__}")
                self._again(operation)
                continue
            except self._refusals as refused:
                refusal = refused
                story.note(client, f"refused: {type(refused).__name__}")
            else:
                story.note(client, f"answered: {_short(value)}")
            report.answers[operation.name].append(
                Delivered(operation.name, delivery, client, started, self._network.requests, value, refusal)
            )
            if self._rng.random() < self._twice:
                self._again(operation)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
