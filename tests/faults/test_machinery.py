"""The searches find what is broken, pass what is right, and do the same again: shown on protocols that can be judged by eye."""

import marshal
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from pynamodb.exceptions import VerboseClientError

from tests.engines import ROOT, Engine
from tests.faults import tally
from tests.faults.engine import Dynamo, Mirrored
from tests.faults.explore import WRITE_FAULTS, Client, End, Exploration, explore
from tests.faults.faults import RATES, Crashed, Fault, Line, Network, Script, possible
from tests.faults.schedule import Moody, Schedule, Turns
from tests.faults.simulation import Operation, Report, Simulation, seeds
from tests.faults.story import Story
from tests.faults.tally import Hasty, Skipping, Tally, Unaware, Unknown, Weak
from tests.storage.tables import connection_of, fresh_table

# --- every schedule ---------------------------------------------------------------------------------------------------


def counters(call: Callable[[Line], int], clients: int) -> list[Client]:
    return [Client(name, call) for name in "abcd"[:clients]]


def nothing_is_lost(end: End) -> None:
    counted = [result for result in end.results.values() if isinstance(result, int)]
    (item,) = end.table.items()
    assert int(item["n"]["N"]) == len(end.results) == len(set(counted)), f"{item['n']['N']} of {len(end.results)}"


def test_a_counter_that_loses_updates_is_found_out() -> None:
    with pytest.raises(AssertionError, match="1 of 2") as caught:
        explore(counters(tally.count_naively, 2), Dynamo(), check=nothing_is_lost)

    (note,) = caught.value.__notes__
    assert note.splitlines()[:4] == [
        "    1 a #0     Get      C C                                                         ok",
        "    2 b #0     Get      C C                                                         ok",
        "    3 a #0     Put      C C                                                         ok",
        "    4 b #0     Put      C C                                                         ok",
    ]
    assert "steps: a b a b" in note
    assert "again: .venv/bin/pytest 'tests/faults/test_machinery.py::test_a_counter_that_loses" in note


def test_a_counter_that_compares_is_right_in_every_schedule() -> None:
    found = explore(counters(tally.count_carefully, 3), Dynamo(), check=nothing_is_lost)

    assert found.schedules == 498


def test_schedules_are_counted_as_the_different_orders_of_requests() -> None:
    # Two requests each: (2 n)! / 2^n orders.
    counts = [
        explore(counters(tally.count_naively, clients), Dynamo(), check=lambda _: None).schedules
        for clients in (1, 2, 3, 4)
    ]

    assert counts == [1, 6, 90, 2_520]


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.ARRIVES_LATE, Fault.RETRIED, Fault.BROKEN_AFTER])
def test_a_counter_without_keys_is_found_out_by_one_fault(fault: Fault) -> None:
    clients = counters(tally.count_until_told, 1)
    explore(clients, Dynamo(), check=nothing_is_lost)
    with pytest.raises(AssertionError, match=r"\d of 1") as caught:
        explore(clients, Dynamo(), check=nothing_is_lost, faults=[fault], faults_max=1)

    assert f"!{fault.name}" in caught.value.__notes__[0]


# --- claim and append -------------------------------------------------------------------------------------------------

SEARCHED: frozenset[Fault] = WRITE_FAULTS | {Fault.STALE, Fault.ARRIVES_TWICE}


def adding(kind: type[Tally], *keys: str, lives: int = 1) -> list[Client]:
    """One client for each key, which asks once more when it was not told."""

    def add(key: str) -> Callable[[Line], list[object]]:
        def call(line: Line) -> list[object]:
            answers: list[object] = []
            for _ in range(2):
                try:
                    return [*answers, kind(line).add(key)]
                except Unknown:
                    answers.append(None)
            return answers

        return call

    return [Client(f"{key}{number}", add(key), lives) for number, key in enumerate(keys)]


def audited(end: End) -> None:
    answers: dict[str, list[int]] = {}
    for client, result in end.results.items():
        places = [] if isinstance(result, Crashed) else [place for place in result if place is not None]
        answers.setdefault(client[0], []).extend(places)
    tally.audit(end.table, answers)


@pytest.mark.timeout(900)
def test_claim_and_append_is_right_in_every_schedule_with_two_faults() -> None:
    """Two deliveries of one key and another operation on the account: everything that two faults can do to them."""
    found = explore(adding(Tally, "k", "k", "o"), Dynamo(), check=audited, faults=SEARCHED, faults_max=2)

    print(found)
    assert found.schedules > 10**9


@pytest.mark.parametrize("kind", [Unaware, Hasty, Skipping])
def test_claim_and_append_that_lacks_something_is_found_out(kind: type[Tally]) -> None:
    with pytest.raises(AssertionError, match=r"twice|not at"):
        explore(adding(kind, "k", "k", "o"), Dynamo(), check=audited, faults=SEARCHED, faults_max=2)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault in SEARCHED])
def test_what_only_a_fault_brings_to_light_is_found_out_by_it(fault: Fault) -> None:
    """A client that does not know its own entry when that stands in its way, which takes a request that was sent twice."""
    clients = adding(Unaware, "k")
    explore(clients, Dynamo(), check=audited)

    if fault not in (Fault.RETRIED, Fault.ARRIVES_LATE):
        explore(clients, Dynamo(), check=audited, faults=[fault], faults_max=1)
        return
    with pytest.raises(AssertionError, match="twice") as caught:
        explore(clients, Dynamo(), check=audited, faults=[fault], faults_max=1)
    assert f"k0 k0 k0!{fault.name} k0" in caught.value.__notes__[0]


def test_a_weak_read_is_made_good_by_the_condition_of_the_write() -> None:
    # It only costs another attempt: what is missed stands in the way of the append.
    explore(adding(Weak, "k", "k", "o"), Dynamo(), check=audited, faults=[Fault.STALE], faults_max=2)


def test_a_crashed_client_comes_back() -> None:
    found = explore(
        adding(Tally, "k", lives=2),
        Dynamo(),
        check=audited,
        faults=[Fault.CRASH_BEFORE, Fault.CRASH_AFTER],
        faults_max=1,
    )

    # One schedule without a fault, and one for each of two faults at each of two writes.
    assert found.schedules == 1 + 2 * 2


def test_code_that_is_no_function_of_its_answers_is_refused() -> None:
    asked: list[int] = []

    def restless(line: Line) -> None:
        asked.append(1)
        for number in (len(asked), 7):
            line.dispatch("GetItem", {**tally.TABLE, "Key": {"PK": {"S": f"{number}"}, "SK": {"S": "x"}}})

    with pytest.raises(AssertionError, match="with the same answers"):
        explore([Client("a", restless)], Dynamo(), check=lambda _: None)


def test_a_client_that_goes_round_in_circles_is_refused() -> None:
    def waiting(line: Line) -> None:
        while tally.count_of(line) is None:
            line.pause()

    with pytest.raises(AssertionError, match="asks and asks"):
        explore([Client("a", waiting)], Dynamo(), check=lambda _: None)


# --- the search and the threads agree ---------------------------------------------------------------------------------


class Steps:
    """Chooses the clients of an explored schedule, and lets late requests arrive where it has them."""

    def __init__(self, steps: Sequence[str], clients: Sequence[Client]) -> None:
        # Each client is first let go to where it stops before its first request.
        self._steps = [*(client.name for client in clients), *steps]
        self.network: Network

    def __call__(self, able: Sequence[str]) -> str:
        self._arrive()
        return self._steps.pop(0).partition("!")[0] if self._steps else able[0]

    def _arrive(self) -> None:
        while self._steps and self._steps[0].startswith("late:"):
            # As the search has them: by what they are.
            self.network.late.sort(key=lambda late: (*late[1:3], marshal.dumps(late[3], 2)))
            _, _, operation, request = self.network.late.pop(int(self._steps.pop(0)[5:]))
            self.network.table.answer(operation, request)

    def finish(self) -> None:
        self._arrive()
        assert not self._steps


def in_threads(clients: Sequence[Client], steps: Sequence[str]) -> End:
    """The same schedule, by threads over a network."""
    faults: dict[tuple[str, int], Fault] = {}
    seen: Counter[str] = Counter()
    for step in steps:
        name, _, fault = step.partition("!")
        seen[name] += 1
        if fault:
            faults[name, seen[name]] = Fault[fault.partition(":")[0]]
    chooser = Steps(steps, clients)
    schedule = Schedule(chooser)
    table = Dynamo()
    chooser.network = network = Network(table, Script(faults, delay=10**9), stop=schedule.stop)

    def live(client: Client) -> object:
        try:
            return client.call(network.wire(client.name))
        except Crashed as crashed:
            return crashed

    results = schedule.run({client.name: partial(live, client) for client in clients})
    chooser.finish()
    return End(table, results, tuple(steps))


def told(end: End) -> dict[str, str]:
    return {name: repr(result) for name, result in end.results.items()}


def test_an_explored_schedule_is_what_threads_do() -> None:
    clients = adding(Tally, "k", "k")
    ends: dict[tuple[str, ...], tuple[Any, dict[str, str]]] = {}

    def remember(end: End) -> None:
        # Of the variants of a stale read, a script has only the first.
        if not any("STALE:2" in step for step in end.steps):
            ends[end.steps] = (end.table.contents(), told(end))

    Exploration(clients, Dynamo(), remember, faults=SEARCHED).run(2)
    chosen = random.Random(1).sample(sorted(ends), 300)

    assert {step.partition("!")[2].partition(":")[0] for steps in chosen for step in steps} >= {
        fault.name for fault in SEARCHED
    }
    for steps in chosen:
        end = in_threads(clients, steps)
        assert (end.table.contents(), told(end)) == ends[steps], " ".join(steps)


def test_a_schedule_can_be_followed_again() -> None:
    ends: list[tuple[End, dict[Any, Any]]] = []
    search = Exploration(
        adding(Tally, "k", "o"), Dynamo(), lambda end: ends.append((end, end.table.contents())), faults=SEARCHED
    )
    search.run(1)

    for end, contents in ends[::50]:
        again = search.follow(end.steps)
        assert (again.table.contents(), again.results) == (contents, end.results)


# --- one fault at a time ----------------------------------------------------------------------------------------------

NOTHING: list[str] = []
WRITTEN = ["k"]
# What a put comes to under a fault: what its caller sees, and what is in the table then, and when all has arrived.
MEANS: dict[Fault, tuple[str, list[str], list[str]]] = {
    Fault.THROTTLED: ("ProvisionedThroughputExceededException", NOTHING, NOTHING),
    Fault.CONFLICT: ("TransactionConflictException", NOTHING, NOTHING),
    Fault.BROKEN_BEFORE: ("InternalServerError", NOTHING, NOTHING),
    Fault.NEVER_ARRIVES: ("ReadTimeoutError", NOTHING, NOTHING),
    Fault.NOT_CONNECTED: ("ConnectTimeoutError", NOTHING, NOTHING),
    Fault.BROKEN_AFTER: ("InternalServerError", WRITTEN, WRITTEN),
    Fault.ANSWER_LOST: ("ReadTimeoutError", WRITTEN, WRITTEN),
    Fault.ARRIVES_LATE: ("ReadTimeoutError", NOTHING, WRITTEN),
    Fault.ARRIVES_TWICE: ("ok", WRITTEN, WRITTEN),
    Fault.RETRIED: ("ConditionalCheckFailedException", WRITTEN, WRITTEN),
    Fault.CRASH_BEFORE: ("Crashed", NOTHING, NOTHING),
    Fault.CRASH_AFTER: ("Crashed", WRITTEN, WRITTEN),
}
ITEM = {"PK": {"S": "k"}, "SK": {"S": "k"}}
PUT: tuple[str, dict[str, Any]] = ("PutItem", {**tally.TABLE, "Item": ITEM, **tally.IF_NEW})
OTHER = {**tally.TABLE, "Item": {"PK": {"S": "l"}, "SK": {"S": "l"}}, **tally.IF_NEW}
TRANSACT: tuple[str, dict[str, Any]] = ("TransactWriteItems", {"TransactItems": [{"Put": PUT[1]}, {"Put": OTHER}]})


def keys_in(table: Dynamo) -> list[str]:
    return [item["PK"]["S"] for item in table.items()]


def seen_by_caller(line: Line, operation: str, request: dict[str, Any]) -> str:
    try:
        line.dispatch(operation, request)
    except VerboseClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError as error:
        return type(error).__name__
    except Crashed:
        return "Crashed"
    return "ok"


@pytest.mark.parametrize("fault", MEANS)
def test_what_a_fault_does_to_a_put(fault: Fault) -> None:
    table = Dynamo()
    network = Network(table, Script({("c", 1): fault}, delay=10))
    expected, now, later = MEANS[fault]

    assert seen_by_caller(network.wire("c"), *PUT) == expected
    assert keys_in(table) == now
    network.arrive()
    assert keys_in(table) == later
    assert network.counts == {fault: 1}


@pytest.mark.parametrize("fault", MEANS)
def test_what_a_fault_does_to_a_transaction(fault: Fault) -> None:
    table = Dynamo()
    network = Network(table, Script({("c", 1): fault}, delay=10))
    expected, now, later = MEANS[fault]
    # The token that botocore sends tells the table that its second attempt is no second transaction.
    expected = {Fault.RETRIED: "ok", Fault.CONFLICT: "TransactionCanceledException"}.get(fault, expected)

    assert seen_by_caller(network.wire("c"), *TRANSACT) == expected
    assert keys_in(table) == [*now, "l"][: 2 * len(now)]
    network.arrive()
    assert keys_in(table) == [*later, "l"][: 2 * len(later)]


def test_a_conflict_names_one_item_of_a_transaction() -> None:
    network = Network(Dynamo(), Script({("c", 1): Fault.CONFLICT}))

    with pytest.raises(VerboseClientError) as caught:
        network.wire("c").dispatch(*TRANSACT)

    reasons = caught.value.cancellation_reasons
    assert [reason and reason.code for reason in reasons] == ["TransactionConflict", None]


def test_a_late_request_is_still_conditional_and_comes_after_others() -> None:
    table = Dynamo()
    network = Network(table, Script({("c", 1): Fault.ARRIVES_LATE}, delay=2))
    wire = network.wire("c")

    assert seen_by_caller(wire, *PUT) == "ReadTimeoutError"
    newer = {**PUT[1], "Item": {**ITEM, "v": {"N": "2"}}}
    assert seen_by_caller(network.wire("d"), "PutItem", newer) == "ok"
    assert network.late
    assert seen_by_caller(wire, "PutItem", OTHER) == "ok"

    assert not network.late
    assert table.contents()["k", "k"] == newer["Item"]


def test_a_late_request_is_what_was_sent() -> None:
    table = Dynamo()
    network = Network(table, Script({("c", 1): Fault.ARRIVES_LATE}))
    request: dict[str, Any] = {**tally.TABLE, "Item": {**ITEM}}
    assert seen_by_caller(network.wire("c"), "PutItem", request) == "ReadTimeoutError"
    request["Item"]["v"] = {"N": "1"}
    network.arrive()

    assert table.items() == [ITEM]


def test_a_stale_read_misses_the_newest_write_and_a_strong_one_cannot() -> None:
    table = Dynamo()
    network = Network(table, Script({("c", 2): Fault.STALE}))
    wire = network.wire("c")
    wire.dispatch(*PUT)
    read = {**tally.TABLE, "Key": ITEM}

    assert wire.dispatch("GetItem", read) == {}
    assert wire.dispatch("GetItem", read) == {"Item": ITEM}
    assert Fault.STALE not in possible("GetItem", {**read, "ConsistentRead": True})
    with pytest.raises(AssertionError):
        table.answer("GetItem", {**read, "ConsistentRead": True}, behind=1)


def test_nothing_runs_after_a_crash() -> None:
    table = Dynamo()
    network = Network(table, Script({("c", 1): Fault.CRASH_BEFORE}))
    wire = network.wire("c")

    def tidy() -> None:
        try:
            wire.dispatch(*PUT)
        except Exception:
            raise AssertionError("no code of ours sees the end of its process") from None
        finally:
            wire.dispatch(*PUT)

    with pytest.raises(Crashed):
        tidy()
    assert table.items() == []
    assert seen_by_caller(network.wire("c"), *PUT) == "ok"


# --- taking turns -----------------------------------------------------------------------------------------------------


def walk(schedule: Schedule, *names: str) -> list[str]:
    """Three stops each; who came to which, in order."""
    walked: list[str] = []

    def client(name: str) -> None:
        for _ in range(3):
            schedule.stop(name)
            walked.append(name)

    schedule.run({name: partial(client, name) for name in names})
    return walked


def test_the_same_choices_are_the_same_run() -> None:
    first = Schedule(Moody(random.Random(5)))
    walked = walk(first, "a", "b", "c")

    assert walk(Schedule(Moody(random.Random(5))), "a", "b", "c") == walked
    assert walk(Schedule(Turns(first.trace)), "a", "b", "c") == walked
    assert len({tuple(walk(Schedule(Moody(random.Random(seed))), "a", "b", "c")) for seed in range(20)}) > 10


def test_one_that_fails_ends_the_others() -> None:
    schedule = Schedule(Turns(["a", "b", "a"]))
    ended: list[str] = []

    def waits() -> None:
        try:
            for _ in range(10**9):
                schedule.stop("b")
        finally:
            ended.append("b")

    def fails() -> None:
        schedule.stop("a")
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        schedule.run({"a": fails, "b": waits})
    assert ended == ["b"]


def test_outside_of_a_run_nobody_waits() -> None:
    network = Network(Dynamo(), stop=Schedule(Moody(random.Random(1))).stop)

    assert seen_by_caller(network.wire("c"), *PUT) == "ok"


# --- many deliveries --------------------------------------------------------------------------------------------------


def deliveries(seed: int, kind: type[Tally] = Tally, *, operations: int = 60, **more: Any) -> Simulation[Tally]:
    def add(key: str) -> Operation[Tally]:
        return Operation(f"add {key}", lambda store: store.add(key), deliveries=2)

    asked = [add(f"k{number}") for number in range(operations)]
    return Simulation(seed, asked, kind, unknown=(Unknown,), **more)


def check(report: Report) -> None:
    """Everything asked for is there, once, and every answer of a key was the same."""
    assert isinstance(report.table, Dynamo)
    answers = {name.removeprefix("add "): [each.value for each in told] for name, told in report.answers.items()}
    assert all(len(places) >= 2 for places in answers.values())
    tally.audit(report.table, answers)
    assert sorted(tally.log_of(report.table)) == sorted(answers)


def test_deliveries_over_a_bad_network_add_each_key_once() -> None:
    faults: Counter[Fault] = Counter()
    for seed in seeds(10):
        report = deliveries(seed).run()
        with report.explained():
            check(report)
        faults += report.faults
        assert report.unknown
        assert report.crashes

    # The toy has no transactions, but a put meets one of somebody else's.
    assert set(faults) == set(Fault)


def test_a_calm_network_has_no_faults() -> None:
    report = deliveries(1, rates={}, twice=0).run()

    check(report)
    assert (report.deliveries, report.unknown, report.crashes, report.faults) == (120, 0, 0, {})


@pytest.mark.parametrize("kind", [Unaware, Hasty, Skipping])
def test_deliveries_find_out_what_is_broken(kind: type[Tally]) -> None:
    def broken(seed: int) -> bool:
        try:
            check(deliveries(seed, kind).run())
        except AssertionError:
            return True
        return False

    assert any(broken(seed) for seed in range(10))


def test_one_seed_is_one_run() -> None:
    first, again, other = (deliveries(seed) for seed in (3, 3, 4))

    assert str(first.run().story) == str(again.run().story)
    assert (first.trace, first.report.story.lines) == (again.trace, again.report.story.lines)
    assert other.run().story.lines != first.report.story.lines


def test_one_seed_is_one_run_in_every_process() -> None:
    """Nothing depends on how this process hashes text."""
    script = "from tests.faults.test_machinery import deliveries; print(deliveries(3).run().told())"
    told = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert told[0] == told[1]
    assert len(told[0].splitlines()) > 100


def test_the_same_deliveries_on_a_real_table(engine: Engine) -> None:
    """Every answer of the engine is compared with that of the table in this process."""
    tables = fresh_table(engine)
    mirrored = Mirrored(connection_of(engine), tables.name)

    class Named(Tally):
        def send(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
            return super().send(operation, {**request, "TableName": tables.name})

    report = deliveries(2, Named, operations=30, table=mirrored).run()

    assert report.faults[Fault.STALE]
    check(Report(2, mirrored.mirror, report.story, report.answers))
    assert mirrored.mirror.contents() == tables.contents()


# --- stories ----------------------------------------------------------------------------------------------------------


def test_a_failure_tells_its_story_and_how_to_see_it_again() -> None:
    report = deliveries(1).run()

    with pytest.raises(AssertionError) as caught, report.explained("K#k7"):
        raise AssertionError("the books are wrong")

    (note,) = caught.value.__notes__
    story, again = note.split("\n\n")
    assert again == (
        "again: REGULARS_SEED=1 .venv/bin/pytest "
        "'tests/faults/test_machinery.py::test_a_failure_tells_its_story_and_how_to_see_it_again'"
    )
    lines = story.splitlines()
    # The deliveries of this key, and nobody else's.
    assert {line.split()[4] for line in lines if " add " in line} == {"k7"}
    assert len(lines) < 40
    assert any(re.fullmatch(r" *\d+ c\d #\d+ +Put +K#k7 K +.*(ok|ConditionalCheckFailed)", line) for line in lines)


def test_a_long_story_is_cut() -> None:
    story = Story()
    for number in range(300):
        story.note("c", f"note {number}")

    lines = str(story).splitlines()
    assert lines[0] == "  … 180 lines before"
    assert lines[-1].endswith("note 299")


def test_rates_leave_most_requests_alone() -> None:
    assert set(RATES) == set(Fault)
    assert sum(rate for fault, rate in RATES.items() if fault is not Fault.STALE) < 0.2


def test_seeds_are_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(seeds(3, soak=1)) == [0, 1, 2]
    assert len(set(seeds(3, soak=2))) == 6
    monkeypatch.setenv("REGULARS_SEED", "77")
    assert list(seeds(3)) == [77]
