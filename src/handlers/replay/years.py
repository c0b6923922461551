"""A year of real baskets that begins today and passes in its own time, and what is left of it when its buyers have fallen silent.

Each program has a throwaway stack of its own, a sandbox. The clock is turned to the end of each day on which somebody buys, so
that the day's jobs run as schedules would have run them; then the day's baskets are sent. What happened is read through the API
and compared with what `foretold` says.
"""

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from itertools import chain
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pynamodb.connection import Connection
from rich.table import Table

from handlers import program
from handlers.client import Client
from handlers.local import stack
from handlers.local.home import Home
from handlers.local.people import Role
from handlers.replay import completejourney as data
from handlers.replay import foretold, sending
from handlers.replay.foretold import Rules, Told
from handlers.replay.run import EXIT_WRONG, Stopped, bar, console

ZONE = ZoneInfo("America/New_York")
# When the clock stands still for a day's baskets: after all of them, and before the day's end.
DAYS_END = clock_time(23, 57)
POLL_S = 0.1
JOB_SECONDS_MAX = 1_800
PAGE = 100
PAGES_MAX = 100

ADVANCE = """mutation ReplayAdvance($input: ClockAdvanceInput!) {
  clockAdvance(input: $input) { job { id status } userErrors { code message } }
}"""
JOB = "query ReplayJob($id: ID!) { job(id: $id) { status failure counts { kind count } } }"
NOW = "{ clock { now } }"
HISTORY = """query ReplayHistory($externalId: String!, $first: Int!, $entries: String, $notices: String) {
  member(by: {externalId: $externalId}) {
    entries(first: $first, after: $entries) {
      edges { node { __typename at points ... on TierEntry { tierHandle } } }
      pageInfo { hasNextPage endCursor }
    }
    notices(first: $first, after: $notices) {
      edges { node { kind at points expiresOn } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""


@dataclass(frozen=True, slots=True)
class Year:
    """A program, the same as its rules, and how many days to wait after the last basket."""

    name: str
    expiry: Mapping[str, Any]
    tiers: Mapping[str, Any]
    rules: Rules
    days_after: int

    def document(self) -> dict[str, Any]:
        """The program file."""
        ladder = [
            {"id": tier, "name": tier.title(), "threshold": threshold, "benefits": {"multiplier_percent": percent}}
            for tier, threshold, percent in self.rules.ladder
        ]
        return {
            "name": f"A year with {self.name}",
            "timezone": ZONE.key,
            "currencies": {data.CURRENCY: 100},
            "earning": {"id": "base", "points": 1},
            "expiry": dict(self.expiry),
            "tiers": {**self.tiers, "ladder": ladder},
            "notices": {"stages": list(self.rules.stages)},
        }


YEARS = (
    Year(
        name="8 months of inactivity",
        expiry={"policy": "inactivity", "months": 8},
        tiers={"metric": "points", "period": "calendar_year", "soft_landing": True},
        rules=Rules(
            ladder=(("base", 0, 100), ("silver", 500, 110), ("gold", 1_500, 125)),
            year="calendar",
            grace_days=0,
            lands_softly=True,
            silence_months=8,
        ),
        days_after=290,
    ),
    Year(
        name="6 months to the month's end",
        expiry={"policy": "fixed", "months": 6, "rounding": "month"},
        tiers={"metric": "points", "period": "rolling_12_months", "grace_days": 15, "soft_landing": False},
        rules=Rules(
            ladder=(("base", 0, 100), ("silver", 500, 110), ("gold", 1_500, 125)),
            year="rolling",
            grace_days=15,
            lands_softly=False,
            months=6,
        ),
        days_after=430,
    ),
)


def with_clock(*, households: int, days: int, kept: Path) -> int:
    """The exit code: 0 when both years went as foretold. `days` is how much of the data is replayed, 365 at most."""
    chosen = data.households(households)
    wrong = 0
    try:
        for year in YEARS:
            wrong += _pass(year, chosen, days=days, home=Home(kept / year.name.replace(" ", "-").replace("'", "")))
    except Stopped as stopped:
        console.print(str(stopped), style="red", highlight=False, markup=False, soft_wrap=True)
        return stopped.exit_code
    return EXIT_WRONG if wrong else 0


def _pass(year: Year, chosen: Sequence[int], *, days: int, home: Home) -> int:
    shutil.rmtree(home.folder, ignore_errors=True)
    home.folder.mkdir(parents=True)
    started = time.perf_counter()
    with home.lock() as lock, contextlib.ExitStack() as open_things:
        # It has no page: nobody looks at it.
        running = open_things.enter_context(stack.running(home, gateway_port=_free_port(), page_port=0, lock=lock))
        file = home.folder / "program.yaml"
        file.write_text(json.dumps(year.document()))  # JSON is YAML
        connection = Connection(
            region=running.region,
            host=running.endpoint_url,
            aws_access_key_id=running.access_key,
            aws_secret_access_key=running.secret_key,
        )
        program.publish(file, table=running.table, connection=connection, sandbox=True)
        till = Client(running.graphql_url, token=lambda: running.token(Role.PARTNER))
        manager = Client(running.graphql_url, token=lambda: running.token(Role.STAFF))
        open_things.callback(till.close)
        open_things.callback(manager.close)
        told = _lived(year, chosen, till, manager, days=days)
    foretold_, happened, counts = told
    found = foretold.differences(foretold_, happened)
    _show(year, foretold_, found, counts, seconds=time.perf_counter() - started)
    return len(found)


def _lived(
    year: Year, chosen: Sequence[int], till: Client, manager: Client, *, days: int
) -> tuple[dict[int, Told], dict[int, Told], dict[str, int]]:
    first = _local_day(datetime.fromisoformat(manager.ask(NOW, {})["clock"]["now"]))
    baskets = _moved(chosen, begins=first + timedelta(days=1), days=days)
    by_day: dict[date, list[data.Basket]] = {}
    for basket in sorted(chain(*baskets.values()), key=lambda each: (each.occurred_at, each.basket_id)):
        by_day.setdefault(_local_day(basket.occurred_at), []).append(basket)
    last = max(by_day) + timedelta(days=year.days_after)
    counts: dict[str, int] = {}

    def turn(day: date) -> None:
        for each in _turned(manager, datetime.combine(day, DAYS_END, ZONE).astimezone(UTC)):
            counts[each["kind"]] = counts.get(each["kind"], 0) + each["count"]

    with ThreadPoolExecutor(4) as pool, bar() as shown:
        _all(
            pool, lambda household: _send(till, sending.ENROLL, "memberEnroll", sending.enroll_input(household)), chosen
        )
        task = shown.add_task(year.name, total=len(by_day) + 1)
        for day in sorted(by_day):
            turn(day)
            # The baskets of one household in their order; households at once.
            of_households = [[b for b in by_day[day] if b.household_id == each] for each in chosen]
            _all(pool, lambda few: _buy(till, few), of_households)
            shown.advance(task)
        turn(last)
        shown.advance(task)
        happened = dict(zip(chosen, pool.map(lambda each: _history(manager, each), chosen), strict=True))
    expected = {
        household: foretold.foretell(
            [(_local_day(basket.occurred_at), basket.total_minor) for basket in baskets[household]],
            year.rules,
            first=first,
            last=last,
        )
        for household in chosen
    }
    return expected, happened, counts


def _moved(chosen: Sequence[int], *, begins: date, days: int) -> dict[int, list[data.Basket]]:
    """The baskets of the first `days` days of the data, the first of which becomes `begins`."""
    as_they_were = data.baskets(chosen, shift=timedelta())
    first = min(_local_day(basket.occurred_at) for each in as_they_were.values() for basket in each)
    moved = data.baskets(chosen, shift=begins - first)
    end = begins + timedelta(days=days)
    return {
        household: [basket for basket in each if begins <= _local_day(basket.occurred_at) < end]
        for household, each in moved.items()
    }


def _turned(manager: Client, to: datetime) -> list[dict[str, Any]]:
    """Turns the clock, and waits for the jobs: what they did, by kind."""
    asked = {"idempotencyKey": f"replay:{to.isoformat()}", "advance": {"to": to.isoformat()}}
    payload = manager.ask(ADVANCE, {"input": asked})["clockAdvance"]
    if payload["userErrors"]:
        raise Stopped(f"The clock was not turned to {to.isoformat()}: {payload['userErrors']}")
    give_up_at = time.monotonic() + JOB_SECONDS_MAX
    while time.monotonic() < give_up_at:
        job: dict[str, Any] = manager.ask(JOB, {"id": payload["job"]["id"]})["job"]
        if job["status"] == "DONE":
            counts: list[dict[str, Any]] = job["counts"]
            return counts
        if job["status"] == "FAILED":
            raise Stopped(f"The job of {to.isoformat()} failed: {job['failure']}")
        time.sleep(POLL_S)
    raise Stopped(f"The job of {to.isoformat()} does not end.")


def _buy(till: Client, baskets: Sequence[data.Basket]) -> None:
    for basket in baskets:
        _send(till, sending.RECORD, "purchaseRecord", sending.purchase_input(basket))


def _send(till: Client, document: str, mutation: str, given: Mapping[str, Any]) -> None:
    payload = till.ask(document, {"input": given})[mutation]
    if payload["userErrors"]:
        raise Stopped(f"{mutation} was refused: {payload['userErrors']}")


def _all(pool: ThreadPoolExecutor, call: Callable[[Any], object], things: Sequence[Any]) -> None:
    for _ in pool.map(call, things):
        pass


def _history(manager: Client, household: int) -> Told:
    told = Told()
    for entry in _pages(manager, household, "entries"):
        # What is booked at the first instant of a day is of the day before.
        day = _local_day(datetime.fromisoformat(entry["at"]))
        if entry["__typename"] == "ExpiryEntry":
            told.expiries.append((day - timedelta(days=1), -entry["points"]))
        elif entry["__typename"] == "TierEntry":
            told.tiers.append((day, entry["tierHandle"]))
    for notice in _pages(manager, household, "notices"):
        if notice["kind"] == "REMINDER":
            last = date.fromisoformat(notice["expiresOn"])
            on = _local_day(datetime.fromisoformat(notice["at"]))
            told.reminders.append((last, on, notice["points"]))
    return told


def _pages(manager: Client, household: int, connection: str) -> Iterator[dict[str, Any]]:
    variables: dict[str, Any] = {"externalId": sending.member_external_id(household), "first": PAGE}
    for _ in range(PAGES_MAX):
        page = manager.ask(HISTORY, variables)["member"][connection]
        yield from (edge["node"] for edge in page["edges"])
        if not page["pageInfo"]["hasNextPage"]:
            return
        variables[connection] = page["pageInfo"]["endCursor"]
    raise Stopped(f"Household {household} has more than {PAGES_MAX} pages of {connection}.")


def _local_day(instant: datetime) -> date:
    return instant.astimezone(ZONE).date()


def _show(
    year: Year,
    told: Mapping[int, Told],
    found: Sequence[tuple[int, str, object, object]],
    counts: Mapping[str, int],
    *,
    seconds: float,
) -> None:
    if found:
        table = Table("household", "what", "foretold", "happened", title=f"Differences: {year.name}")
        for row in found[:30]:
            table.add_row(*map(str, row))
        console.print(table)
    summary = Table(show_header=False, box=None, title=year.name)
    summary.add_row("households", f"{len(told):,}")
    for what in ("expiries", "reminders", "tiers"):
        summary.add_row(f"{what} foretold", f"{sum(len(getattr(each, what)) for each in told.values()):,}")
    summary.add_row("done by jobs", ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())))
    summary.add_row("seconds", f"{seconds:.0f}")
    summary.add_row("differences", f"{len(found):,}")
    console.print(summary)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
