"""Figures, whether they are what they should be, and how they are shown and kept."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

# A ratio of CPU times on a busy machine moves by a few percent from run to run. Counts do not.
NOISE = 0.10


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. With a target it is checked: it may be `at_most` that."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    noisy: bool = False

    @property
    def verdict(self) -> str:
        """`ok`, `noise` for a miss that is within `NOISE`, `missed`, or nothing without a target."""
        if self.at_most is None:
            return ""
        if self.value <= self.at_most:
            return "ok"
        return "noise" if self.noisy and self.value <= self.at_most * (1 + NOISE) else "missed"


@dataclass(slots=True)
class Section:
    """One part of the report: a table, and the figures that are kept and checked."""

    title: str
    columns: Sequence[str]
    rows: list[tuple[Sequence[str], Sequence[Figure]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def add(self, *cells: str, figures: Sequence[Figure] = ()) -> None:
        """A row. Its last cells are the targets of its figures and the worst of their verdicts."""
        self.rows.append((cells, [figure for figure in figures if figure.at_most is not None]))
        self.figures.extend(figures)


_MARKS = {"ok": "[green]✓[/]", "noise": "[yellow]~[/]", "missed": "[red]✗[/]"}


def console() -> Console:
    """The terminal; where there is none, as wide as the widest table."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=160)


def show(console: Console, section: Section) -> None:
    """Prints one part."""
    with_targets = any(checked for _, checked in section.rows)
    console.print(section.title, style="bold", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for number, column in enumerate(section.columns):
        table.add_column(column, justify="right" if number else "left", style="" if number else "cyan", no_wrap=True)
    if with_targets:
        table.add_column("target", justify="left")
        table.add_column("", no_wrap=True)
    for cells, checked in section.rows:
        shown = [*cells, *[""] * (len(section.columns) - len(cells))]
        if checked:
            verdicts = [figure.verdict for figure in checked]
            shown.append("≤ " + ", ".join(f"{figure.at_most:.4g} {figure.unit}" for figure in checked))
            shown.append(next(mark for verdict, mark in reversed(_MARKS.items()) if verdict in verdicts))
        table.add_row(*shown)
    console.print(table)
    for note in section.notes:
        console.print(f"  {note}", style="dim", soft_wrap=True)
    console.print()


def keep(
    path: Path, sections: Sequence[Section], *, machine: Mapping[str, object], quick: bool, seconds: float
) -> None:
    """Writes the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "quick": quick,
        "seconds": round(seconds),
        "noise": NOISE,
        "sections": {
            section.title: [{**asdict(figure), "verdict": figure.verdict} for figure in section.figures]
            for section in sections
        },
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def machine() -> dict[str, str | int | float]:
    """What the figures depend on beside the program."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "botocore": metadata.version("botocore"),
        "strawberry": metadata.version("strawberry-graphql"),
        "graphql_core": metadata.version("graphql-core"),
    }


def missed(sections: Sequence[Section]) -> list[str]:
    """Names of the figures that missed their target beyond noise."""
    return [
        f"{section.title}: {figure.name}"
        for section in sections
        for figure in section.figures
        if figure.verdict == "missed"
    ]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
