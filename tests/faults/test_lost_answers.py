"""The ledger on real engines behind a proxy that loses their answers: real requests, real connections, the client's own retries.

Neither engine throttles, loses an answer, or ever raises TransactionConflict; microburst does, in the words of AWS, and says how
often. What was written and never answered is what an idempotency key is for.
"""

import json
import random
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pynamodb.connection import Connection

from domain.refusals import OutcomeUnknown, Refusal
from storage.table import Table
from tests import engines
from tests.engines import LOCAL, Engine
from tests.faults import figures
from tests.faults.auditor import audit
from tests.faults.simulation import Delivered, Operation, seeds
from tests.faults.test_deliveries import check_logs
from tests.faults.traffic import PEPPER, SHARDS, Early, Told, Traffic, on
from tests.storage.tables import NOW, fresh_table

THREADS = 8
# Attempts of botocore: few, so that the last answer is sometimes lost too.
ATTEMPTS = 2
# An operation that is delivered as often as this without an answer will never have one.
DELIVERIES_MAX = 100

# First match first; each of them tosses for itself. Only what is put on a condition can be part of a transaction somewhere.
RULES: Sequence[Mapping[str, Any]] = [
    {
        "operation": "PutItem",
        "body": "ConditionExpression",
        "probability": 0.05,
        "error": {"code": "TransactionConflictException", "status": 400},
    },
    {
        "operation": "TransactWriteItems",
        "probability": 0.25,
        "error": {
            "code": "TransactionCanceledException",
            "status": 400,
            "message": "Transaction cancelled [TransactionConflict, None]",
            "fields": {
                "CancellationReasons": [
                    {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"},
                    {"Code": "None"},
                ]
            },
        },
    },
    {"probability": 0.04, "error": {"code": "ProvisionedThroughputExceededException", "status": 400}},
    {"operation": "PutItem", "probability": 0.2, "response": {"abort_bytes": 0}},
    {"operation": "TransactWriteItems", "probability": 0.25, "response": {"abort_bytes": 0}},
]


class Hurried(Table):
    """The table of impatient callers: it waits a little where it is told to, and not for ever."""

    def pause(self, attempt: int) -> None:
        if attempt > 20:
            raise OutcomeUnknown("The account is too busy.")
        time.sleep(random.uniform(0, 0.05))


@contextmanager
def lossy(engine: Engine, directory: Path) -> Iterator[Engine]:
    """The engine behind the proxy, which listens on this machine alone."""
    engines.make("microburst")
    log = directory / "microburst.log"
    for _ in range(engines.STARTS_MAX):
        port = engines.free_port()
        command = [str(LOCAL / "microburst" / "bin" / "microburst"), "--host", "127.0.0.1", "--port", str(port)]
        process = engines.leashed(
            [*command, "--upstream", engine.endpoint_url, "--no-resign"],
            log,
            {"PATH": "/usr/bin:/bin", "HOME": str(directory)},
            cwd=directory,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if engines.answers(f"{url}/_microburst/health", process):
                yield replace(engine, endpoint_url=url)
                return
        finally:
            engines.end(process)
    pytest.fail(f"microburst did not start:\n{log.read_text()}")


def control(proxy: Engine, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{proxy.endpoint_url}/_microburst/{path}", data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def fired(proxy: Engine) -> Counter[str]:
    """How often each thing was done to each operation."""
    return Counter(f"{each['operation']} {each['action']}" for each in control(proxy, "fired?limit=100000"))


class Deliveries:
    """A queue that promises at least once, and threads that work it off."""

    def __init__(self, operations: Sequence[Operation[Any]], rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        placed = [
            (place + rng.uniform(0, 20), operation)
            for place, operation in enumerate(operations)
            for _ in range(operation.deliveries)
        ]
        self._queue = [operation for _, operation in sorted(placed, key=lambda each: -each[0])]
        self._tries: Counter[str] = Counter()
        self.answers: dict[str, list[Delivered]] = {operation.name: [] for operation in operations}
        self.counts: Counter[str] = Counter()
        self.failures: list[BaseException] = []

    def work(self, store: Table) -> None:
        while not self.failures and (operation := self._take()) is not None:
            started, value, refusal = time.monotonic_ns(), None, None
            self.counts["deliveries"] += 1
            try:
                value = operation.call(store)
            except (OutcomeUnknown, Early) as unknown:
                self.counts["unknown"] += isinstance(unknown, OutcomeUnknown)
                self._again(operation)
                continue
            except Refusal as refused:
                refusal = refused
            except BaseException as failure:
                self.failures.append(failure)
                return
            assert value is None or isinstance(value, Told)
            self.answers[operation.name].append(
                Delivered(operation.name, 0, "", started, time.monotonic_ns(), value, refusal)
            )

    def _take(self) -> Operation[Any] | None:
        with self._lock:
            return self._queue.pop() if self._queue else None

    def _again(self, operation: Operation[Any]) -> None:
        with self._lock:
            self._tries[operation.name] += 1
            assert self._tries[operation.name] < DELIVERIES_MAX, f"{operation.name} is never answered"
            self._queue.insert(max(0, len(self._queue) - self._rng.randrange(20)), operation)


@pytest.mark.timeout(300)
def test_answers_lost_on_their_way_from_a_real_engine_change_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    # So much trouble in so little time would make the client stop asking again.
    monkeypatch.setattr("botocore.retries.quota.RetryQuota.acquire", lambda *_: True)
    (seed,) = seeds(1, soak=1)
    tables = fresh_table(engine)
    traffic = Traffic(seed, requests=70, start=NOW)
    traffic.order = time.monotonic_ns
    traffic.prepare(on(tables.connection, tables.name))
    deliveries = Deliveries(traffic.operations, random.Random(seed))

    with lossy(engine, tmp_path) as proxy:
        control(proxy, "rules", [{"service": "dynamodb", **rule} for rule in RULES])
        store = Hurried(connection(proxy), tables.name, pepper=PEPPER, shards=SHARDS)
        threads = [threading.Thread(target=deliveries.work, args=(store,)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        faults = fired(proxy)

    assert not deliveries.failures, deliveries.failures
    traffic.heard(deliveries.answers)
    print(seed, engine.name, deliveries.counts, faults)
    found = tables.items()
    audit(found, traffic.asked, traffic.rules)
    check_logs(found, traffic.rules.zone)
    figures.note(
        f"answers lost, {engine.name}", {**deliveries.counts, **{f"fault {name}": n for name, n in faults.items()}}
    )
    # It did happen, and some of it was more than the client's own attempts could hide.
    assert deliveries.counts["unknown"]
    assert {name.partition(":")[0] for name in faults} >= {
        "PutItem error",
        "TransactWriteItems error",
        "GetItem error",
        "Query error",
    }
    assert sum(times for name, times in faults.items() if "abort" in name) > 20, faults


def connection(proxy: Engine) -> Connection:
    """A connection like the deployed one, for all threads."""
    made = Connection(
        region=proxy.region,
        host=proxy.endpoint_url,
        connect_timeout_seconds=1,
        read_timeout_seconds=10,
        retry_configuration={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        max_pool_connections=THREADS,
        aws_access_key_id=proxy.access_key,
        aws_secret_access_key="local",
    )
    # One client is made, before the threads could make one each.
    assert made.client
    return made
