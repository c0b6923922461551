"""CPU of a warm call: Regulars' Lambda handler against the hand-written one (bench/handwritten.py).

    python -m bench.warm

Both answer the same events on tables of the same content, in processes of their own, a batch of one after a batch of the
other, so that the machine's noise hits both. A figure is the median of the batches' means (a mean holds its share of garbage
collection), a ratio the median of the ratios of neighbouring batches.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from bench import report, stage
from bench.environments import Batch, Environment, environment
from bench.report import Figure, Section
from bench.stage import Stage

REGULARS, HANDWRITTEN = "handlers.graphql", "bench.handwritten"
RATIO_MAX_PURCHASE, RATIO_MAX_HOME = 1.5, 2.0
# Purchases go round: MiniStack reads a partition whole to find its newest item, so none may grow long.
MEMBERS = {f"01JBENCH0000000000000000{number:02}": f"bench-{number}" for number in range(32)}
# The one who only looks: what purchases book bears the instant of booking, which two handlers cannot share.
LOOKER = "01JBENCH000000000000LOOKER"
BASKET_LINES = 8  # of 155,848 real baskets the median is 5, the mean 9.4
WARM_UP_CALLS = 60

Event = dict[str, Any]
Events = Callable[[int], list[Event]]


@dataclass(slots=True)
class Comparison:
    """CPU milliseconds of a call, batch by batch: one and the other of two that took turns."""

    ours_ms: list[float] = field(default_factory=list)
    theirs_ms: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times the CPU of the other."""
        return statistics.median(self._ratios())

    @property
    def middle(self) -> str:
        """The middle half of the ratios."""
        low, _, high = statistics.quantiles(self._ratios(), n=4)
        return f"{low:.2f} to {high:.2f}"

    def _ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours_ms, self.theirs_ms, strict=True)]


def measure(on: Stage, *, quick: bool) -> list[Section]:
    """The comparison, and where our CPU goes."""
    batches, calls = (12, 10) if quick else (30, 15)
    compared_to = Section("CPU of a warm call", ("", "Regulars ms", "by hand ms", "ratio", "middle half"))
    with set_up(on) as warm:
        warm.agree()
        measured: dict[str, Mapping[str, float]] = {}
        for name, events, at_most in (
            (f"purchaseRecord, {BASKET_LINES} lines", warm.purchases(BASKET_LINES), RATIO_MAX_PURCHASE),
            ("purchaseRecord, 1 line", warm.purchases(1), RATIO_MAX_PURCHASE),
            ("home screen", warm.homes, RATIO_MAX_HOME),
        ):
            compared = warm.compare(events, batches=batches, calls=calls)
            compared_to.add(
                name,
                f"{statistics.median(compared.ours_ms):.2f}",
                f"{statistics.median(compared.theirs_ms):.2f}",
                f"{compared.ratio:.2f}",
                compared.middle,
                figures=[Figure(name, compared.ratio, "x", at_most, noisy=True)],
            )
            measured[name] = warm.layers(events, calls=40 if quick else 150)
    compared_to.notes.append(
        f"medians of {batches} batches of {calls} calls; answers and items were compared and are the same"
    )
    return [compared_to, _layers(measured)]


def _layers(measured: Mapping[str, Mapping[str, float]]) -> Section:
    section = Section("Where the CPU of a warm call goes (ms)", ("", *measured))
    together: Counter[str] = Counter()
    for by_layer in measured.values():
        together.update(by_layer)
    for layer, _ in together.most_common():
        section.add(layer, *(f"{by_layer.get(layer, 0):.3f}" for by_layer in measured.values()))
    section.add("together", *(f"{sum(by_layer.values()):.3f}" for by_layer in measured.values()))
    section.figures = [
        Figure(f"{name}: {layer}", ms, "ms") for name, by_layer in measured.items() for layer, ms in by_layer.items()
    ]
    return section


class Warm:
    """Two handlers on two tables of the same content, and a third with its layers told apart."""

    def __init__(self, regulars: Environment, handwritten: Environment, layered: Environment, now: datetime) -> None:
        self._regulars, self._handwritten, self._layered = regulars, handwritten, layered
        self._now = now
        self._numbers = count(1)
        self._baskets = {lines: stage.real_baskets(lines) for lines in (1, BASKET_LINES)}

    def purchases(self, lines: int) -> Events:
        """Requests to record real baskets of so many lines, each a purchase of its own."""
        return lambda calls: self._purchases(lines, calls, age=timedelta(hours=2))

    def agree(self) -> None:
        """Asserts that the two handlers agree on what is not timed: a new expiry day, and a purchase sent again."""
        (event,) = self._purchases(BASKET_LINES, 1, age=timedelta(days=390))
        self._pair([event, event], regulars_first=True)

    def homes(self, calls: int) -> list[Event]:
        """Requests for the home screen."""
        return [stage.home(LOOKER)] * calls

    def compare(self, events: Events, *, batches: int, calls: int) -> Comparison:
        """Both handlers, `batches` times `calls` calls each, taking turns at going first."""
        compared = Comparison()
        self._pair(events(WARM_UP_CALLS), regulars_first=True)
        for number in range(batches):
            ours, theirs = self._pair(events(calls), regulars_first=number % 2 == 0)
            compared.ours_ms.append(ours.cpu_ms)
            compared.theirs_ms.append(theirs.cpu_ms)
        return compared

    def layers(self, events: Events, *, calls: int) -> dict[str, float]:
        """CPU milliseconds of a call of ours by layer, medians. Telling layers apart costs a few percent."""
        self._layered.call(events(WARM_UP_CALLS))
        watched: Sequence[Mapping[str, int]] = self._layered.call(events(calls)).watched
        names = {layer for of_call in watched for layer in of_call}
        return {layer: statistics.median(of_call.get(layer, 0) for of_call in watched) / 1e6 for layer in names}

    def _purchases(self, lines: int, calls: int, *, age: timedelta) -> list[Event]:
        baskets, members = self._baskets[lines], list(MEMBERS.values())
        return [
            stage.purchase(
                baskets[number % len(baskets)],
                external_id=f"3162{number:07}",
                member=members[number % len(members)],
                occurred_at=self._now - age,
            )
            for number in (next(self._numbers) for _ in range(calls))
        ]

    def _pair(self, events: list[Event], *, regulars_first: bool) -> tuple[Batch, Batch]:
        if regulars_first:
            ours, theirs = self._regulars.call(events), self._handwritten.call(events)
        else:
            theirs, ours = self._handwritten.call(events), self._regulars.call(events)
        assert stage.data_of(ours.answers) == stage.data_of(theirs.answers), "the two handlers answer differently"
        return ours, theirs


@contextmanager
def set_up(on: Stage) -> Iterator[Warm]:
    """The tables and the processes. At the end the tables must hold the same items, but for the instants of booking."""
    now = datetime.now(UTC).replace(microsecond=0)
    tables = ("bench-regulars", "bench-handwritten", "bench-layered")
    for table in tables:
        on.table(table)
    for account, external_id in {**MEMBERS, LOOKER: "looker"}.items():
        rows = stage.member_of_a_year(on.program, account=account, external_id=external_id, now=now)
        for table in tables:
            on.put(table, rows)
    with ExitStack() as processes:
        regulars, handwritten, layered = (
            processes.enter_context(environment(handler, on.environment(table), option))
            for handler, table, option in zip(
                (REGULARS, HANDWRITTEN, REGULARS), tables, ("", "", "--layers"), strict=True
            )
        )
        yield Warm(regulars, handwritten, layered, now)
    ours, theirs = (_items(on.client, table) for table in tables[:2])
    assert ours == theirs, "the two handlers wrote different items"


def _items(client: Any, table: str) -> dict[tuple[str, str], Any]:
    """Every item of a table, without the instants at which it was booked; of hashes, which depend on those, only the size is
    compared."""
    found = {}
    for page in client.get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            item.pop("at", None)
            for hashed in ("f", "h"):
                item[hashed] = len(item.get(hashed, {}).get("B", b""))
            for element in item.get("e", {}).get("L", ()):
                element["M"].pop("t")
            found[item["PK"]["S"], item["SK"]["S"]] = item
    return found


def main() -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on, quick=False):
            report.show(console, section)


if __name__ == "__main__":
    main()
