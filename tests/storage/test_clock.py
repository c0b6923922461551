"""The sandbox's clock and its jobs, on every store; and that nothing but the first published version makes a sandbox."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import VerboseClientError

from domain import limits, programs
from domain.clock import Clocks, Dial, Job, JobKnown, JobStatus, NotASandbox
from domain.store import Contended
from storage.clock import ClockTable
from storage.items import job_from, job_item
from storage.memory import Memory, MemoryClock
from storage.programs import Programs
from tests.domain.world import DOCUMENT, PROGRAM, at, program
from tests.storage.tables import NOW, Tables, item_bytes
from tests.storage.writing import claim, following, grow

HOUR = timedelta(hours=1)
JOB = Job(
    id="0" * 32,
    fingerprint=b"sixteen of hash.",
    actor="s.grace",
    starts_at=at("2090-01-10"),
    ends_at=at("2091-01-10"),
    reached_at=at("2090-01-10"),
    beat_at=NOW,
    days_total=365,
)


def clock_of(place: Memory | Tables) -> Clocks:
    if isinstance(place, Memory):
        return MemoryClock()
    Programs(place.connection, place.name).publish(PROGRAM, sandbox=True)
    return ClockTable(place.connection, place.name)


@pytest.fixture
def clocks(place: Memory | Tables) -> Clocks:
    return clock_of(place)


def begun(clocks: Clocks) -> tuple[Job, Dial]:
    dial = Dial(timedelta(), JOB.id)
    clocks.begin(JOB, dial, clocks.dial())
    return JOB, dial


# --- the dial -----------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_never_turned_stands_nowhere(clocks: Clocks) -> None:
    assert clocks.is_sandbox()
    assert clocks.dial() is None


def test_a_clock_stands_where_it_was_turned_to_by_the_millisecond(clocks: Clocks) -> None:
    _, dial = begun(clocks)
    assert clocks.dial() == dial
    turned = replace(dial, offset=timedelta(days=400, milliseconds=1))

    clocks.turn(turned, dial)

    assert clocks.dial() == turned


def test_a_clock_is_turned_from_where_it_was_seen_only(clocks: Clocks) -> None:
    _, dial = begun(clocks)
    turned = replace(dial, offset=2 * HOUR)
    clocks.turn(turned, dial)

    for seen in (dial, replace(turned, job="another")):
        with pytest.raises(Contended):
            clocks.turn(replace(dial, offset=3 * HOUR), seen)
    assert clocks.dial() == turned


def test_a_clock_is_never_turned_back(clocks: Clocks) -> None:
    _, dial = begun(clocks)
    turned = replace(dial, offset=2 * HOUR)
    clocks.turn(turned, dial)

    with pytest.raises(AssertionError):
        clocks.turn(replace(dial, offset=HOUR), turned)
    assert clocks.dial() == turned


def test_of_many_who_turn_it_at_once_one_does(clocks: Clocks) -> None:
    _, dial = begun(clocks)

    def turn(hours: int) -> int:
        try:
            clocks.turn(replace(dial, offset=hours * HOUR), dial)
        except Contended:
            return 0
        return hours

    with ThreadPoolExecutor(8) as threads:
        won = [hours for hours in threads.map(turn, range(1, 9)) if hours]

    found = clocks.dial()
    assert found is not None
    assert [found.offset] == [hours * HOUR for hours in won]


# --- jobs ---------------------------------------------------------------------------------------------------------------


def test_a_job_is_found_as_it_was_begun(clocks: Clocks) -> None:
    assert clocks.job(JOB.id) is None
    begun(clocks)

    assert clocks.job(JOB.id) == JOB


def test_a_job_and_the_clock_in_its_hands_are_one_write(clocks: Clocks) -> None:
    _, dial = begun(clocks)
    other = replace(JOB, id="1" * 32)

    with pytest.raises(Contended):
        clocks.begin(other, Dial(timedelta(), other.id), None)
    assert (clocks.job(other.id), clocks.dial()) == (None, dial)

    with pytest.raises(JobKnown) as known:
        clocks.begin(replace(JOB, days_total=1), dial, dial)
    assert known.value.job == JOB


def test_a_job_is_written_over_the_version_that_was_read(clocks: Clocks) -> None:
    begun(clocks)
    running = clocks.save(
        replace(JOB, status=JobStatus.RUNNING, days_done=7, partitions=3, after="A", counts={"EXPIRY": 12, "TIER": 1})
    )
    assert running.version == 2
    assert clocks.job(JOB.id) == running

    with pytest.raises(Contended):
        clocks.save(replace(JOB, status=JobStatus.DONE))
    assert clocks.job(JOB.id) == running

    failed = clocks.save(replace(running, status=JobStatus.FAILED, failure="It failed 5 times: OutcomeUnknown."))
    assert clocks.job(JOB.id) == failed


def test_a_job_that_nobody_began_is_not_written(clocks: Clocks) -> None:
    with pytest.raises(Contended):
        clocks.save(JOB)
    assert clocks.job(JOB.id) is None


def test_of_many_who_begin_at_once_one_does(clocks: Clocks) -> None:
    def begin(number: int) -> str | None:
        job = replace(JOB, id=f"{number:032}")
        try:
            clocks.begin(job, Dial(timedelta(), job.id), None)
        except Contended:
            return None
        return job.id

    with ThreadPoolExecutor(8) as threads:
        won = [job for job in threads.map(begin, range(8)) if job]

    found = clocks.dial()
    assert found is not None
    assert [found.job] == won
    assert [number for number in range(8) if clocks.job(f"{number:032}")] == [int(won[0])]


def test_the_largest_job_is_one_write_unit() -> None:
    kinds = {f"A_RATHER_LONG_KIND_{number}": 10**9 for number in range(20)}

    item = job_item(replace(JOB, counts=kinds, failure="It failed 5 times: SomethingWithALongName.", version=10**6))

    assert item_bytes(item) <= 1_024
    assert job_from(item) == replace(
        JOB, counts=kinds, failure="It failed 5 times: SomethingWithALongName.", version=10**6
    )


# --- what makes a sandbox -----------------------------------------------------------------------------------------------

OTHER = program(name="Bluebird Coffee and Tea")


def test_a_stack_whose_first_version_was_published_as_a_sandboxs_is_one_for_ever(table: Tables) -> None:
    published = Programs(table.connection, table.name)
    published.publish(PROGRAM, sandbox=True)
    published.publish(OTHER)
    published.publish(PROGRAM, sandbox=True)

    assert ClockTable(table.connection, table.name).is_sandbox()
    stamps = {sk: item.get("sb") for (_, sk), item in table.contents().items()}
    assert stamps == {"V#0000000001": {"N": "1"}, "V#0000000002": None, "V#0000000003": None}


def test_a_stack_that_was_not_created_as_a_sandbox_never_becomes_one(table: Tables) -> None:
    published = Programs(table.connection, table.name)
    published.publish(PROGRAM)
    before = table.contents()

    for again in (PROGRAM, OTHER):
        with pytest.raises(NotASandbox):
            published.publish(again, sandbox=True)

    assert table.contents() == before
    assert not ClockTable(table.connection, table.name).is_sandbox()


def test_a_stamp_on_a_later_version_says_nothing(table: Tables) -> None:
    published = Programs(table.connection, table.name)
    published.publish(PROGRAM)
    published.publish(OTHER)
    second = table.contents()["CFG", "V#0000000002"]
    table.client.put_item(TableName=table.name, Item={**second, "sb": {"N": "1"}})

    assert not ClockTable(table.connection, table.name).is_sandbox()


def test_a_clock_item_on_a_stack_that_is_no_sandbox_is_not_believed(table: Tables) -> None:
    Programs(table.connection, table.name).publish(PROGRAM)
    clocks = ClockTable(table.connection, table.name)
    begun(clocks)
    clocks.turn(Dial(24 * HOUR, JOB.id), Dial(timedelta(), JOB.id))

    assert clocks.offset() == timedelta()


def test_a_stack_without_a_program_is_asked_again_after_a_moment(table: Tables) -> None:
    moment = [100.0]
    clocks = ClockTable(table.connection, table.name, monotonic=lambda: moment[0])
    assert not clocks.is_sandbox()
    Programs(table.connection, table.name).publish(PROGRAM, sandbox=True)

    assert not clocks.is_sandbox()
    moment[0] += 5
    assert clocks.is_sandbox()


def test_a_sandbox_is_asked_once_and_its_clock_strongly_each_time(table: Tables) -> None:
    Programs(table.connection, table.name).publish(PROGRAM, sandbox=True)
    clocks = ClockTable(table.connection, table.name)
    asked: list[tuple[str, bool]] = []

    def seen(params: dict[str, object], **_: object) -> None:
        asked.append((params["Key"]["SK"]["S"], params["ConsistentRead"]))  # type: ignore[index,arg-type]

    events = table.connection.client.meta.events
    events.register("before-parameter-build.dynamodb.GetItem", seen)
    try:
        for _ in range(3):
            clocks.offset()
    finally:
        events.unregister("before-parameter-build.dynamodb.GetItem", seen)

    assert asked == [("V#0000000001", True), *[("CLOCK", True)] * 3]


def test_the_stamp_is_no_part_of_the_program(table: Tables) -> None:
    published = Programs(table.connection, table.name)
    published.publish(PROGRAM, sandbox=True)

    assert programs.document(published.current() or OTHER) == programs.document(programs.parse(DOCUMENT, version=1))


# --- the two clocks -----------------------------------------------------------------------------------------------------


def test_what_is_forgotten_by_the_wall_is_never_forgotten_too_early(table: Tables) -> None:
    """The program's time is never behind the wall, so what carries an end in it ends later on the wall, or at the same time."""
    wall = datetime.now(UTC)
    ahead = wall + timedelta(days=365)
    grow(table.store, "A", to=2)
    table.store.remember(replace(claim("ahead"), at=ahead, expires_at=ahead + limits.CLAIM_RETENTION))
    due = (ahead - datetime(1970, 1, 1, tzinfo=UTC)).days
    table.store.note_due("A", [due])
    table.store.append(following(table.store))

    ends = {key: int(item["ttl"]["N"]) for key, item in table.contents().items() if "ttl" in item}
    assert ends["K#till:ahead", "K"] >= (wall + limits.CLAIM_RETENTION).timestamp()
    (row,) = [end for (pk, _), end in ends.items() if pk.startswith("D#")]
    assert row >= (ahead + limits.DUE_RETENTION).timestamp() - 86_400
    assert not [key for key in ends if key[1].startswith("E#")]


def test_no_item_of_the_clock_is_ever_forgotten(table: Tables) -> None:
    clocks = clock_of(table)
    begun(clocks)

    assert not [key for key, item in table.contents().items() if "ttl" in item]


def test_an_answer_of_the_engine_that_is_no_lost_race_is_told(table: Tables) -> None:
    with pytest.raises(VerboseClientError) as raised:
        ClockTable(table.connection, "elsewhere").save(JOB)
    assert isinstance(raised.value.__cause__, ClientError)
