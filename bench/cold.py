"""CPU of a cold start: the built artifact against a handler that only creates a boto3 DynamoDB client.

    make build-here boto3-here && python -m bench.cold

Every start is a fresh process of the interpreter alone (no site-packages) on one and the same folder of libraries, with
bytecode of the same kind: what `make build` packs, and boto3 beside it. CPU is user and system time of the whole process, as
the kernel counts it.
"""

import json
import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from graphql import is_introspection_type, is_scalar_type

from bench import report, stage
from bench.report import Figure, Section
from bench.stage import ROOT, Stage
from schema import root

ARTIFACT = ROOT / ".local" / "build" / "regulars"
BOTO3 = ROOT / ".local" / "boto3"
RATIO_MAX = 1.5
TYPES_FREE = 60
TYPE_MS = 2.0
ACCOUNT = "01JBENCH000000000000000COLD"
TABLE = "bench-cold"

# What runs in the fresh process; its argument is an event.
_STARTS = {
    "boto3": """
import boto3
client = boto3.client("dynamodb")
""",
    "boto3, first call": """
import os
import boto3
client = boto3.client("dynamodb")
client.get_item(TableName=os.environ["REGULARS_TABLE"], Key={"PK": {"S": "M#nobody"}, "SK": {"S": "P"}})
""",
    "Regulars": """
from handlers.graphql import handler
""",
    "Regulars, first answer": """
import json, sys
event = json.loads(sys.argv[1])
from handlers.graphql import handler
answer = handler(event, None)
assert answer["statusCode"] == 200 and "errors" not in answer["body"], answer
""",
}
_AIMED = ("Regulars", "Regulars, first answer")
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)")


@dataclass(frozen=True, slots=True)
class Process:
    """A finished process."""

    cpu_ms: float
    stderr: str


def measure(on: Stage, *, quick: bool) -> list[Section]:
    """Starts each kind in turn, and lists where the time of importing goes."""
    on.table(TABLE)
    now = datetime.now(UTC).replace(microsecond=0)
    on.put(TABLE, stage.member_of_a_year(on.program, account=ACCOUNT, external_id="cold", now=now))
    variables = on.environment(TABLE)
    times = 5 if quick else 15
    cpu_ms: dict[str, list[float]] = {name: [] for name in _STARTS}
    for turn in range(times + 1):
        for name in _STARTS:
            spent = start(name, variables).cpu_ms
            if turn:  # the first turn brings the files into memory
                cpu_ms[name].append(spent)
    types = graphql_types()
    free_ms = TYPE_MS * max(0, types - TYPES_FREE)
    section = Section("CPU of a cold start", ("", "ms", "x boto3", "least ms"))
    for name, all_ms in cpu_ms.items():
        # Each start against that of its own turn: a machine that is slow for a while is so for both.
        ratio = statistics.median(
            (ours - (free_ms if name in _AIMED else 0)) / base
            for ours, base in zip(all_ms, cpu_ms["boto3"], strict=True)
        )
        median = statistics.median(all_ms)
        checked = Figure(f"{name}: ratio", ratio, "x", RATIO_MAX if name in _AIMED else None, noisy=True)
        section.add(
            name,
            f"{median:.0f}",
            f"{ratio:.2f}",
            f"{min(all_ms):.0f}",
            figures=[checked, Figure(f"{name}: CPU", median, "ms")],
        )
    section.notes.append(
        f"{times} starts of each, in turns; {types} GraphQL types (those beyond {TYPES_FREE} may take {TYPE_MS:g} ms each)"
    )
    section.notes.append(
        "the first answer is a home screen, with all that is done once: connection, program, reading the query"
    )
    section.figures.append(Figure("GraphQL types", types, "types"))
    return [section, _imports(variables)]


def start(name: str, variables: Mapping[str, str], *options: str) -> Process:
    """One fresh process, run to its end."""
    script = f"import sys; sys.path[:0] = {[str(ARTIFACT), str(BOTO3)]!r}\n{_STARTS[name]}"
    command = [sys.executable, "-I", "-S", *options, "-c", script, json.dumps(stage.home(ACCOUNT))]
    read_end, write_end = os.pipe()
    process = subprocess.Popen(command, env=dict(variables), stderr=write_end, cwd=ARTIFACT)  # noqa: S603 (our own)
    os.close(write_end)
    with os.fdopen(read_end) as stderr:
        said = stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return Process((used.ru_utime + used.ru_stime) * 1e3, said)


def _imports(variables: Mapping[str, str]) -> Section:
    """Own time of the imported modules, the least of three. Watching imports makes them slower; the shares are what counts."""
    packages: dict[str, Counter[str]] = {}
    modules: dict[str, int] = {}
    for name in ("Regulars", "boto3"):
        own_us: dict[str, int] = {}
        for _ in range(3):
            for us, module in _IMPORT.findall(start(name, variables, "-X", "importtime").stderr):
                own_us[module] = min(int(us), own_us.get(module, int(us)))
        packages[name] = Counter()
        for module, us in own_us.items():
            package = module.partition(".")[0]
            packages[name]["standard library" if package in sys.stdlib_module_names else package] += us
        modules = modules or own_us
    ours, theirs = packages["Regulars"], packages["boto3"]
    section = Section("Where a cold start goes: own time of imports", ("package", "Regulars ms", "boto3 ms"))
    for package, us in ours.most_common(12):
        figure = Figure(f"import {package}", us / 1e3, "ms")
        section.add(package, f"{us / 1e3:.1f}", f"{theirs[package] / 1e3:.1f}", figures=[figure])
    section.add("all", f"{ours.total() / 1e3:.1f}", f"{theirs.total() / 1e3:.1f}")
    slowest = sorted(modules.items(), key=lambda item: -item[1])[:12]
    section.notes.append("slowest modules: " + ", ".join(f"{module} {us / 1e3:.1f}" for module, us in slowest))
    return section


def graphql_types() -> int:
    """Types of the schema that are ours: no scalars, no introspection."""
    # Strawberry has no public name for the engine's schema.
    types = root.build(introspection=True)._schema.type_map.values()  # noqa: SLF001
    return sum(not is_scalar_type(type_) and not is_introspection_type(type_) for type_ in types)


def main() -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on, quick=False):
            report.show(console, section)


if __name__ == "__main__":
    main()
