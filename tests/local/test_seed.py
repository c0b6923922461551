"""Made-up members on the deployed stack: found by its API, and verified by its own clock and secret."""

import os
import subprocess

from handlers.local.stack import Stack
from tests.engines import ROOT
from tests.stack import Running, graphql

FOUND = "query ($by: MemberByInput!) { member(by: $by) { externalId birthday { month } account { balance } } }"


def regulars(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGULARS_")}
    return subprocess.run(
        [ROOT / ".venv" / "bin" / "regulars", *arguments, "--home", str(running.home.folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def is_there(stack: Stack, name: str) -> bool:
    answer = graphql(stack, FOUND, token=stack.token("staff"), variables={"by": {"externalId": name}}).json()
    return bool(answer["data"]["member"])


def test_made_up_members_are_members_of_the_running_stack(running: Running, stack: Stack) -> None:
    # Another test may have made some of them.
    new = [number for number in range(1, 31) if not is_there(stack, f"seed-{number:06}")]

    done = regulars(running, "seed", "--members", "30")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"30 members are there, {len(new)} of them new, ")
    found = graphql(stack, FOUND, token=stack.token("staff"), variables={"by": {"externalId": "seed-000030"}}).json()
    assert found["data"]["member"]["externalId"] == "seed-000030"
    again = regulars(running, "seed", "--members", "30")
    assert again.stdout.startswith("30 members are there, 0 of them new, with 0 new purchases:")
    verified = regulars(running, "ledger", "verify", "--member-by", "externalId=seed-000030")
    assert verified.returncode == 0, verified.stdout
