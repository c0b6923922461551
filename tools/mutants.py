"""`make mutants`: every seeded mistake in the core must be noticed by the tests that are there to notice it.

    python -m tools.mutants [NAME …]

`tests/mutants.toml` lists the mistakes: a file, a piece of it, what stands there instead, the rule that breaks, and the tests
that must fail. Each is made in a copy of the sources; the copy without a mistake must pass all of them. Ends with 1 when one
goes unnoticed.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutants.toml"
COPIED = ("src", "tests", "bench", "demo", "docs", "pyproject.toml", "schema.graphql")
# A mistake may make a loop endless: whoever does not end in time has noticed it too.
SECONDS_MAX = 300
PASSED, FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake: where `old` stands in `file`, `new` does; `tests` must notice that `rule` no longer holds."""

    name: str
    file: str
    old: str
    new: str
    rule: str
    tests: tuple[str, ...]


def load() -> list[Mutant]:
    """The committed list. Raises ValueError when a mistake no longer fits the source it is about."""
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]
    mutants = [Mutant(**{**each, "tests": tuple(each["tests"])}) for each in listed]
    for mutant in mutants:
        found = (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if found != 1:
            raise ValueError(f"{mutant.name}: what it changes stands {found} times in {mutant.file}")
    if len({mutant.name for mutant in mutants}) < len(mutants):
        raise ValueError("two mutants have the same name")
    return mutants


def run(tests: Iterable[str], mutant: Mutant | None) -> subprocess.CompletedProcess[str] | None:
    """Runs `tests` on a copy of the sources with the mistake in it; None when they did not end."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        place = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, place / name)
        if mutant is not None:
            file = place / mutant.file
            file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--no-header",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
        ]
        try:
            return subprocess.run(
                [*command, *tests], cwd=place, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired:
            return None


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    wanted = set(parser.parse_args().names)
    mutants = [mutant for mutant in load() if not wanted or mutant.name in wanted]
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    sound = run(tests, None)
    if sound is None or sound.returncode != PASSED:
        print("The tests fail without any mistake:\n" + (sound.stdout[-2_000:] if sound else "they do not end"))
        return 1
    unnoticed = 0
    with ThreadPoolExecutor(max_workers=2) as workers:
        for mutant, done in zip(mutants, workers.map(lambda each: run(each.tests, each), mutants), strict=True):
            if done is None or done.returncode == FAILED:
                print(f"killed    {mutant.name}", flush=True)
                continue
            unnoticed += 1
            what = "SURVIVED" if done.returncode == PASSED else "BROKEN  "
            print(f"{what}  {mutant.name}: {mutant.rule}", flush=True)
            if done.returncode != PASSED:
                print(done.stdout[-2_000:] + done.stderr[-2_000:])
    print(f"{len(mutants) - unnoticed} of {len(mutants)} killed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
