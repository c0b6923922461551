"""Tills and members while a campaign of everybody runs on the local stack: how long they wait, and whether anything fails.

    python -m bench.foreground [--members N]         (make bench-foreground)

The stack is the template's, deployed for this alone, with its permissions and two workers of campaigns at once at most. Two
callers record purchases and ask for balances over HTTP, before the campaign, while it runs, and after it. Everything shares this
machine: what the campaign takes of its processors shows in the waits, which on AWS it would not. So what is checked is that
nothing fails, and how many turns are worked on at once. That a purchase makes the same calls of the table as without a campaign
is shown by tests/handlers/test_campaign_foreground.py.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from bench import report, stage
from bench.report import Figure, Section
from handlers.local.stack import Stack
from tests import stack as local
from tests.stack import Running

MEMBERS = 1_000
# One member in so many has left (handlers/seeding.py): their purchases are refused, with or without a campaign.
CLOSED_EACH = 200
CALLERS = 2
# Nobody at a till types faster.
PAUSE_S = 0.03
ALONE_S = 20
LOOK_S = 0.25
# What template.yaml is deployed with here (handlers/local/deploy.py).
WORKERS_MAX = 2
END_S_MAX = 1_800
WARM_CALLS = 10

PURCHASE = """mutation ($i: PurchaseRecordInput!) { purchaseRecord(input: $i) {
  purchase { id } entry { points balanceAfter } userErrors { code message } } }"""
BALANCE = "query ($by: MemberByInput!) { member(by: $by) { id account { balance } } }"
CREATE = (
    "mutation ($i: CampaignCreateInput!) { campaignCreate(input: $i) { campaign { id } userErrors { code message } } }"
)
STATUS = "query ($id: ID!) { campaign(id: $id) { status preview { isFinished } progress { planned done applied } } }"


def step(name: str) -> str:
    """The mutation that takes a step with a campaign."""
    return (
        f"mutation ($i: Campaign{name}Input!) {{ campaign{name}(input: $i) {{ campaign {{ status }} "
        "userErrors { code message } } }"
    )


@dataclass
class Waits:
    """Milliseconds of every call, by what was asked, and what went wrong."""

    of: dict[str, list[float]] = field(default_factory=lambda: {"purchase": [], "balance": []})
    errors: list[str] = field(default_factory=list)


class Caller:
    """A client of the API with a connection of its own."""

    def __init__(self, stack: Stack, token: str) -> None:
        self._stack = stack
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def ask(self, query: str, **variables: Any) -> Any:
        """The one field that was asked for. Raises `AssertionError` for whatever is an error."""
        body = {"query": query, "variables": variables}
        response = self._client.post(self._stack.graphql_url, json=body)
        assert response.status_code == 200, f"{response.status_code} {response.text}"
        answer = response.json()
        assert "errors" not in answer, answer
        (found,) = answer["data"].values()
        assert found is not None, "nothing was found"
        assert not found.get("userErrors"), found
        return found


@dataclass
class Shop:
    """Callers at work; their waits belong to whatever phase it is."""

    stack: Stack
    token: str
    members: int
    waits: Waits = field(default_factory=Waits)
    is_open: bool = True
    workers_max: int = 0
    looks: int = 0

    def phase(self) -> Waits:
        """What was waited from here on."""
        self.waits = Waits()
        return self.waits

    def serve(self, caller: int) -> None:
        """Purchases and balances, by turns."""
        chance = random.Random(caller)  # noqa: S311 (variety, not secrecy)
        client = Caller(self.stack, self.token)
        number = 0
        while self.is_open:
            number += 1
            who = chance.randrange(1, self.members + 1)
            if not who % CLOSED_EACH:
                continue
            by = {"externalId": f"seed-{who:06}"}
            sent = {
                "source": "bench",
                "externalId": f"{caller}-{number}",
                "member": by,
                "total": {"amountMinor": 1_290, "currency": "USD"},
            }
            self._timed("purchase", partial(client.ask, PURCHASE, i=sent))
            self._timed("balance", partial(client.ask, BALANCE, by=by))

    def _timed(self, what: str, call: Callable[[], Any]) -> None:
        waits, asked = self.waits, time.perf_counter()
        try:
            call()
        except Exception as error:
            waits.errors.append(f"{what}: {error}")
        waits.of[what].append((time.perf_counter() - asked) * 1_000)
        time.sleep(PAUSE_S)

    def count_workers(self) -> None:
        """Looks how many turns of campaigns are in flight: a worker is given one at a time."""
        sqs, url, name = (
            self.stack.client("sqs"),
            self.stack.outputs["CampaignQueueUrl"],
            "ApproximateNumberOfMessagesNotVisible",
        )
        while self.is_open:
            in_flight = int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])
            self.workers_max = max(self.workers_max, in_flight)
            self.looks += in_flight > 0
            time.sleep(LOOK_S)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Callers are at work within."""
        threads = [threading.Thread(target=self.serve, args=(number,), daemon=True) for number in range(CALLERS)]
        threads.append(threading.Thread(target=self.count_workers, daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.is_open = False
            for thread in threads:
                thread.join(90)


def measure(members: int) -> list[Section]:
    """Both kinds of calls, without a campaign and with one."""
    with tempfile.TemporaryDirectory(prefix="regulars-foreground-") as folder:
        running = local.start(Path(folder))
        try:
            return [_measured(running, running.wait_until_ready(), members)]
        finally:
            running.stop()


def _measured(running: Running, stack: Stack, members: int) -> Section:
    _seed(running, members)
    staff, boss = (Caller(stack, stack.token(role)) for role in ("staff", "approver"))
    campaign = _looked_at(staff, boss)
    shop = Shop(stack, stack.token("partner"), members)
    with shop.opened():
        _until(lambda: len(shop.waits.of["balance"]) >= WARM_CALLS * CALLERS)
        before = shop.phase()
        time.sleep(ALONE_S)
        staff.ask(step("Launch"), i={"idempotencyKey": "launch", "id": campaign})
        within, began = shop.phase(), time.monotonic()
        _until(lambda: staff.ask(STATUS, id=campaign)["status"] == "COMPLETED", every_s=1)
        seconds = time.monotonic() - began
        after = shop.phase()
        time.sleep(ALONE_S)
    progress = staff.ask(STATUS, id=campaign)["progress"]
    assert progress["planned"] == progress["done"] >= members * 0.99, progress
    alone = Waits({what: before.of[what] + after.of[what] for what in before.of}, before.errors + after.errors)
    return _section(shop, alone, within, progress, seconds)


def _seed(running: Running, members: int) -> None:
    command = [str(Path(sys.executable).with_name("regulars")), "seed", "--members", str(members)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGULARS_")}
    environment["REGULARS_HOME"] = str(running.home.folder)
    subprocess.run(command, env=environment, check=True, cwd=stage.ROOT, stdout=subprocess.DEVNULL)  # noqa: S603 (our own)


def _looked_at(staff: Caller, boss: Caller) -> str:
    """A campaign of everybody that may be launched."""
    draft = {"idempotencyKey": "create", "name": "Foreground", "code": "FOREGROUND", "award": {"points": 10}}
    campaign = str(staff.ask(CREATE, i=draft)["campaign"]["id"])
    staff.ask(step("Preview"), i={"idempotencyKey": "preview", "id": campaign})
    _until(lambda: staff.ask(STATUS, id=campaign)["preview"]["isFinished"], every_s=1)
    boss.ask(step("Approve"), i={"idempotencyKey": "approve", "id": campaign})
    return campaign


def _until(happens: Callable[[], bool], *, every_s: float = 0.1) -> None:
    give_up_at = time.monotonic() + END_S_MAX
    while not happens():
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(every_s)


def _section(shop: Shop, alone: Waits, within: Waits, progress: dict[str, int], seconds: float) -> Section:
    section = Section(
        "The foreground while a campaign of everybody runs, on the local stack",
        ("", "calls alone", "calls within", "p50 alone", "p50 within", "p99 alone", "p99 within", "ratio of p99"),
    )
    for what in alone.of:
        (p50, p99), (p50_within, p99_within) = (_percentiles(waits.of[what]) for waits in (alone, within))
        ratio = p99_within / p99
        section.add(
            what,
            str(len(alone.of[what])),
            str(len(within.of[what])),
            f"{p50:.0f} ms",
            f"{p50_within:.0f} ms",
            f"{p99:.0f} ms",
            f"{p99_within:.0f} ms",
            f"{ratio:.2f}",
            figures=[
                Figure(f"{what}: p99 alone", p99, "ms"),
                Figure(f"{what}: p99 within", p99_within, "ms"),
                Figure(f"{what}: p99, ratio", ratio, "times"),
            ],
        )
    errors = Counter(alone.errors + within.errors)
    section.add(f"errors: {errors.total()}", figures=[Figure("errors", errors.total(), "calls", 0)])
    section.add(
        f"turns worked on at once: {shop.workers_max} ({shop.looks} looks)",
        figures=[Figure("workers", shop.workers_max, "workers", WORKERS_MAX)],
    )
    section.notes.append(
        f"the campaign gave {progress['applied']:,} of {progress['done']:,} members their points in {seconds:.0f} s"
    )
    section.notes += [f"{times} times {error}" for error, times in errors.most_common(3)]
    return section


def _percentiles(waits: list[float]) -> tuple[float, float]:
    """The median, and what one in a hundred waits longer than."""
    assert waits, "nobody asked for anything"
    return statistics.median(waits), sorted(waits)[-(-len(waits) * 99 // 100) - 1]


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.foreground")
    parser.add_argument("--members", type=int, default=MEMBERS)
    members = parser.parse_args().members
    console, machine, began = report.console(), report.machine(), time.monotonic()
    console.print(" · ".join(f"{name} {value}" for name, value in machine.items()), style="dim", soft_wrap=True)
    sections = measure(members)
    for section in sections:
        report.show(console, section)
    path = stage.ROOT / "build" / "bench-foreground.json"
    report.keep(path, sections, machine=machine, quick=False, seconds=time.monotonic() - began)
    missed = report.missed(sections)
    for name in missed:
        console.print(f"[red]✗[/] {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
