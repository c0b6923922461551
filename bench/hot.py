"""One account that everybody writes to at once: how long a writer waits for its turn, and whether anything is lost.

    python -m bench.hot

Writers are threads of one process, each with the store of a request of its own; they correct the balance of one account by one
point, again and again. On AWS each would be an execution environment, and the table would answer several times faster: what is
compared is the wait among many writers with the time of a single one, and what is checked is the count.
"""

import statistics
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime

from pynamodb.connection import Connection

from bench import report, stage
from bench.report import Figure, Section
from bench.stage import Stage
from domain import adjustments, members
from domain.members import Lookup, Profile
from domain.refusals import Refusal
from storage.table import Table
from tests.engines import missing_for_dynamodb_local, run_dynamodb_local

WRITERS = (1, 10, 50, 100)
CALLS, CALLS_QUICK = 200, 100
TABLE = "bench-hot"
# What the deployed function has until it answers "unknown, retry".
SECONDS_MAX = 12


def measure(on: Stage, *, quick: bool) -> list[Section]:
    """Latency and losses at 1, 10, 50 and 100 writers."""
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
            _writers(on, section, writers, max(CALLS_QUICK if quick else CALLS, writers))
    section.notes.append("lost: points that are not there although somebody was told so, or there twice; must be 0")
    return [section]


def _writers(on: Stage, section: Section, writers: int, calls: int) -> None:
    name = f"hot-{writers}"
    store = _store(on)
    now = datetime.now(UTC)
    profile = Profile(enrolled_at=now, external_id=name)
    account = members.enroll(
        store,
        actor=stage.manager(),
        idempotency_key=name,
        profile=profile,
        account=f"01JBENCHHOT{writers:015}",
        now=now,
    ).account
    waits_ms: list[float] = []
    unknown: list[str] = []
    each = calls // writers

    # Clients are made, and connected, before the clock starts: an execution environment has its own from before.
    stores = [_store(on) for _ in range(writers)]
    for each_store in stores:
        each_store.head(account)

    def write(writer: int) -> None:
        mine = stores[writer]
        for number in range(each):
            started = time.perf_counter()
            key = f"{name}-{writer}-{number}"
            # An unknown outcome is asked for again with the same key, as a client would.
            while True:
                try:
                    _add_one(mine.until(time.monotonic() + SECONDS_MAX), on, name, key)
                    break
                except Refusal as refusal:
                    unknown.append(refusal.code)
            waits_ms.append((time.perf_counter() - started) * 1_000)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    head = store.head(account, strong=True)
    assert head is not None
    lost = abs(head.state.balance - writers * each) + abs(head.seq - 1 - writers * each)
    p50, p99 = statistics.median(waits_ms), sorted(waits_ms)[-(-len(waits_ms) * 99 // 100) - 1]
    section.add(
        str(writers),
        str(len(waits_ms)),
        f"{p50:.0f}",
        f"{p99:.0f}",
        f"{len(waits_ms) / seconds:.0f}",
        str(len(unknown)),
        str(lost),
        figures=[
            Figure(f"{writers} writers: lost or doubled", lost, "points", 0),
            Figure(f"{writers} writers: unknown outcomes", len(unknown), "answers", 0),
            Figure(f"{writers} writers: p50", p50, "ms"),
            Figure(f"{writers} writers: p99", p99, "ms"),
        ],
    )


def _add_one(store: Table, on: Stage, name: str, key: str) -> None:
    adjustments.adjust(
        store,
        on.program,
        actor=stage.manager(),
        idempotency_key=key,
        member=Lookup("external", name),
        points=1,
        reason="BENCH",
        now=datetime.now(UTC),
    )


def _store(on: Stage) -> Table:
    """A store on a client of its own, as every execution environment has one."""
    connection = Connection(
        region=on.engine.region,
        host=on.engine.endpoint_url,
        connect_timeout_seconds=5,
        read_timeout_seconds=30,
        retry_configuration={"total_max_attempts": 4, "mode": "standard"},
        aws_access_key_id=on.engine.access_key,
        aws_secret_access_key="local",  # noqa: S106 (the engine asks for none)
    )
    return Table(connection, TABLE, pepper=stage.SECRET.encode(), shards=4)


def main() -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on, quick=False):
            report.show(console, section)


if __name__ == "__main__":
    main()
