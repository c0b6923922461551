"""What docs/proof.md tells a person to type, typed: a byte of the running stack is broken, found, and mended."""

import os
import re
import subprocess

from domain.verification import Code
from handlers.local.stack import Stack
from tests.engines import ROOT
from tests.stack import Running

PROOF = (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")


def typed(commands: str, running: Running) -> list[str]:
    """The lines that a person sees."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REGULARS_")},
        "REGULARS_HOME": str(running.home.folder),
        "COLUMNS": "400",
    }
    done = subprocess.run(
        ["bash", "-c", commands], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


def test_a_person_can_break_a_byte_and_watch_verify_find_it(running: Running, stack: Stack) -> None:
    section = PROOF.partition("## Break a byte")[2].partition("\n## ")[0]
    look, break_it, mend = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)

    *_, right = typed(look, running)
    for _ in range(2):
        told, *lines, finding_count, exit_code = typed(break_it, running)
        account, sequence = re.fullmatch(r"M#(\w+) E#(\d{10}), attribute \S+: .+ is now .+", told).groups()  # type: ignore[union-attr]
        put_back, *_, right_again = typed(mend, running)

        (counts,) = (index for index, line in enumerate(lines) if line.startswith("Checked "))
        # A key that was altered leaves a claim behind whose entry may still be on its way: that is said, and no finding.
        findings, where = lines[:counts], f"{account} record {int(sequence)}: "
        assert [line for line in findings if line.startswith(where) and line.endswith("(CHAIN_BROKEN)")], told
        assert finding_count == f"{len(findings)} finding{'s' * (len(findings) > 1)}."
        assert exit_code == "exit code 1"
        assert put_back == "As it was: 1 put back."
        assert right == right_again == "Nothing is wrong."


def test_every_finding_is_explained() -> None:
    explained = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \| ([^|]+) \|$", PROOF, re.MULTILINE)

    assert [code for code, *_ in explained] == [code.value for code in Code]
    assert all(found.strip() and meaning.strip() for _, found, meaning in explained)
