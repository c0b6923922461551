"""What the searches of a test run came to, added up over its tests and workers, printed in the end.

A soak (`REGULARS_SOAK`) also leaves it in build/soak.json.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.engines import ROOT

_FIGURES: Counter[str] = Counter()
_KEY = "regulars_figures"
SOAK = ROOT / "build" / "soak.json"


def note(what: str, numbers: Mapping[str, int]) -> None:
    """Adds numbers of one run of a search to what `what` has come to so far."""
    _FIGURES.update({f"{what}/{name}": number for name, number in numbers.items()})


def collected() -> dict[str, dict[str, int]]:
    """All there is, by search and name."""
    found: dict[str, dict[str, int]] = {}
    for path, number in sorted(_FIGURES.items()):
        what, _, name = path.rpartition("/")
        found.setdefault(what, {})[name] = number
    return found


# --- pytest's part ----------------------------------------------------------------------------------------------------


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = dict(_FIGURES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _FIGURES.update(getattr(node, "workeroutput", {}).get(_KEY, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _FIGURES:
        return
    terminalreporter.section("faults and interleavings")
    for what, numbers in collected().items():
        told = ", ".join(f"{name} {number:,}" for name, number in numbers.items())
        terminalreporter.write_line(f"{what}: {told}")
    if os.environ.get("REGULARS_SOAK"):
        SOAK.parent.mkdir(exist_ok=True)
        SOAK.write_text(json.dumps(collected(), indent=2) + "\n")
        terminalreporter.write_line(f"written to {SOAK.relative_to(ROOT)}")
