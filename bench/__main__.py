"""`make bench`: every part, one after the other, on a machine with nothing else to do.

    python -m bench [--quick]

Ends with 1 when a figure misses its target: counts by any, ratios of CPU times by more than `report.NOISE`.
"""

import argparse
import sys
import time
from collections.abc import Callable

from bench import agenda, baskets, campaign, cold, core, flat, hot, operations, report, spike, stage, warm
from bench.report import Section

RESULTS = stage.ROOT / "build" / "bench.json"


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two to three minutes: fewer batches, a shorter history")
    quick = parser.parse_args().quick
    console = report.console()
    machine = report.machine()
    console.print(" · ".join(f"{name} {value}" for name, value in machine.items()), style="dim", soft_wrap=True)
    if float(machine["load"]) > 1:
        console.print("The machine is busy with something else: expect wider spreads.", style="yellow")
    console.print()
    started = time.monotonic()
    sections: list[Section] = []
    with stage.set_up() as on:
        parts: tuple[Callable[[], list[Section]], ...] = (
            lambda: warm.measure(on, quick=quick),
            lambda: operations.measure(on),
            lambda: core.measure(on.program, quick=quick),
            lambda: baskets.measure(on.program, quick=quick),
            lambda: agenda.measure(on.program, quick=quick),
            lambda: campaign.measure(on, quick=quick),
            lambda: spike.measure(quick=quick),
            lambda: cold.measure(on, quick=quick),
            lambda: flat.measure(on, quick=quick),
            lambda: hot.measure(on, quick=quick),
        )
        for part in parts:
            for section in part():
                report.show(console, section)
                sections.append(section)
    seconds = time.monotonic() - started
    report.keep(RESULTS, sections, machine=machine, quick=quick, seconds=seconds)
    missed = report.missed(sections)
    console.print(f"{seconds:.0f} s; kept in {RESULTS.relative_to(stage.ROOT)}", style="dim")
    for name in missed:
        console.print(f"[red]✗[/] {name}")
    if not missed:
        console.print(f"[green]✓[/] every target is met (ratios within {report.NOISE:.0%})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
