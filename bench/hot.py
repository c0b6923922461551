"""One account that everybody writes to at once: how long a writer waits for its turn, and whether anything is lost.

    python -m bench.hot

Writers have a store and a client each, and correct the balance of one account by one point, again and again. They are threads of
a few processes: on AWS each would be an execution environment with a processor of its own, and the table would answer several
times faster. Here all of them and the engine share the machine, so that milliseconds, and calls a second, say how the wait grows
with the number of writers, and no more. What is checked is the count.
"""

import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from typing import Any

from pynamodb.connection import Connection

from bench import report, stage
from bench.report import Figure, Section
from bench.stage import Stage
from domain import adjustments, members
from domain.members import Lookup, Profile
from domain.programs import Program
from domain.refusals import Refusal
from storage.table import Table
from tests.engines import Engine, missing_for_dynamodb_local, run_dynamodb_local

WRITERS = (1, 10, 50, 100)
CALLS, CALLS_QUICK = 200, 100
TABLE = "bench-hot"
# Python runs one thread of a process at a time: more processes than processors, and few writers in each.
PROCESSES_MAX = 10
# What the deployed function has until it answers "unknown, retry": its timeout, less the margin to answer in.
SECONDS_MAX = 28 - 3
# A writer that was killed, say: the others wait for it no longer than this.
BARRIER_S = 60


@dataclass(frozen=True, slots=True)
class Crew:
    """The writers of one process: their numbers, and how often each of them writes."""

    engine: Engine
    program: Program
    account: str
    external_id: str
    writers: range
    each: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a crew has seen: the wait of every call, and the codes of outcomes that it had to ask for again."""

    started: float
    ended: float
    waits_ms: list[float]
    unknown: list[str]


def measure(on: Stage, *, quick: bool) -> list[Section]:
    """Waits and losses at 1, 10, 50 and 100 writers."""
    section = Section(
        "One account, many writers at once", ("writers", "calls", "p50 ms", "p99 ms", "calls/s", "unknown", "lost")
    )
    with ExitStack() as engines:
        missing = missing_for_dynamodb_local()
        if missing is None:
            on = stage.on_engine(engines.enter_context(run_dynamodb_local()))
        section.notes.append(f"on MiniStack: {missing}" if missing else "on DynamoDB Local")
        on.table(TABLE)
        for writers in WRITERS:
            _writers(on, section, writers, CALLS_QUICK if quick else CALLS)
    section.notes += [
        f"a call is a correction by one point; writers are threads of {PROCESSES_MAX} processes, which share this machine",
        f"unknown: nobody could tell within {SECONDS_MAX} s, and the caller asked again",
        "lost: points that are not there although somebody was told so, or are there twice",
    ]
    return [section]


def _writers(on: Stage, section: Section, writers: int, calls: int) -> None:
    name = f"hot-{writers}"
    store = _store(on.engine)
    now = datetime.now(UTC)
    account = members.enroll(
        store,
        on.program,
        actor=stage.manager(),
        idempotency_key=name,
        profile=Profile(enrolled_at=now, external_id=name),
        account=f"01JBENCHHOT{writers:015}",
        now=now,
    ).account
    each = -(-calls // writers)
    crews = [
        Crew(on.engine, on.program, account, name, range(writers)[first::PROCESSES_MAX], each)
        for first in range(min(writers, PROCESSES_MAX))
    ]
    written = list(_together(crews))
    waits_ms = [wait for crew in written for wait in crew.waits_ms]
    unknown = [code for crew in written for code in crew.unknown]
    seconds = max(crew.ended for crew in written) - min(crew.started for crew in written)
    head = store.head(account, strong=True)
    assert head is not None
    lost = abs(head.state.balance - len(waits_ms)) + abs(head.seq - 1 - len(waits_ms))
    p50, p99 = statistics.median(waits_ms), sorted(waits_ms)[-(-len(waits_ms) * 99 // 100) - 1]
    rate = len(waits_ms) / seconds
    section.add(
        str(writers),
        str(len(waits_ms)),
        f"{p50:.0f}",
        f"{p99:.0f}",
        f"{rate:.0f}",
        str(len(unknown)),
        str(lost),
        figures=[
            Figure(f"{writers} writers: lost or doubled", lost, "points", 0),
            Figure(f"{writers} writers: unknown outcomes", len(unknown), "answers", 0),
            Figure(f"{writers} writers: p50", p50, "ms"),
            Figure(f"{writers} writers: p99", p99, "ms"),
            Figure(f"{writers} writers: rate", rate, "calls/s"),
        ],
    )


def _together(crews: list[Crew]) -> Iterator[Written]:
    """Runs every crew in a process of its own; all start at once."""
    # Spawned, not forked: a client's connections and locks belong to one process.
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(crews))
    results: Any = context.Queue()
    with _processes([context.Process(target=_work, args=(crew, start, results)) for crew in crews]):
        for _ in crews:
            # Longer than everybody together may take; an end without a result shows as a time that has run out.
            yield results.get(timeout=BARRIER_S + len(crews) * SECONDS_MAX)


@contextmanager
def _processes(made: list[Any]) -> Iterator[None]:
    for process in made:
        process.start()
    try:
        yield
    finally:
        for process in made:
            process.join(timeout=5)
            process.kill()


def _work(crew: Crew, start: Barrier, results: Any) -> None:
    """The whole life of a process."""
    # Clients are made, and connected, before the clock starts: an execution environment has its own from before.
    stores = [_store(crew.engine) for _ in crew.writers]
    for store in stores:
        store.head(crew.account)
    waits_ms: list[float] = []
    unknown: list[str] = []

    def write(writer: int, store: Table) -> None:
        for number in range(crew.each):
            key = f"{crew.external_id}-{writer}-{number}"
            asked = time.perf_counter()
            # An unknown outcome is asked for again with the same key, as a client would.
            while not _wrote(crew, store.until(time.monotonic() + SECONDS_MAX), key, unknown):
                pass
            waits_ms.append((time.perf_counter() - asked) * 1_000)

    threads = [
        threading.Thread(target=write, args=(writer, store)) for writer, store in zip(crew.writers, stores, strict=True)
    ]
    start.wait(timeout=BARRIER_S)
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(Written(started, time.monotonic(), waits_ms, unknown))


def _wrote(crew: Crew, store: Table, key: str, unknown: list[str]) -> bool:
    """Adds a point; False, and the code, when nobody can tell whether it was added."""
    try:
        adjustments.adjust(
            store,
            crew.program,
            actor=stage.manager(),
            idempotency_key=key,
            member=Lookup("external", crew.external_id),
            points=1,
            reason="BENCH",
            now=datetime.now(UTC),
        )
    except Refusal as refusal:
        unknown.append(refusal.code)
        return False
    return True


def _store(engine: Engine) -> Table:
    """A store on a client of its own, as every execution environment has one."""
    connection = Connection(
        region=engine.region,
        host=engine.endpoint_url,
        connect_timeout_seconds=5,
        read_timeout_seconds=30,
        retry_configuration={"total_max_attempts": 4, "mode": "standard"},
    )
    connection.session.set_credentials(engine.access_key, "local")
    return Table(connection, TABLE, pepper=stage.SECRET.encode(), shards=stage.SHARDS)


def main() -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on, quick=False):
            report.show(console, section)


if __name__ == "__main__":
    main()
