"""Due rows and marks, on every store: read whole, and marks that only move forward."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from domain import limits
from domain.agenda import Agenda, Round
from storage import keys
from storage.agenda import DueRows
from storage.memory import Memory, MemoryAgenda
from tests.storage.tables import SHARDS, Tables
from tests.storage.writing import DAY, enroll


def rows_of(place: Memory | Tables) -> Agenda:
    if isinstance(place, Memory):
        return MemoryAgenda(place, shards=SHARDS)
    return DueRows(place.connection, place.name, shards=SHARDS)


@pytest.fixture
def rows(place: Memory | Tables) -> Agenda:
    return rows_of(place)


def everybody(rows: Agenda, day: int) -> list[str]:
    return sorted(account for shard in range(rows.shards) for account in rows.accounts((day, shard)))


def test_whoever_was_noted_for_a_day_is_due_on_it_once(place: Memory | Tables, rows: Agenda) -> None:
    store = place if isinstance(place, Memory) else place.store
    for account in ("A", "B", "C", "A"):
        store.note_due(account, [DAY, DAY + 1])
    store.note_due("D", [DAY + 1])

    assert everybody(rows, DAY) == ["A", "B", "C"]
    assert everybody(rows, DAY + 1) == ["A", "B", "C", "D"]
    assert everybody(rows, DAY + 2) == []


def test_each_account_is_in_one_shard(place: Memory | Tables, rows: Agenda) -> None:
    store = place if isinstance(place, Memory) else place.store
    accounts = [f"A{number}" for number in range(40)]
    for account in accounts:
        store.note_due(account, [DAY])

    for shard in range(SHARDS):
        expected = sorted(account for account in accounts if keys.shard(account, SHARDS) == shard)
        assert list(rows.accounts((DAY, shard))) == expected
        assert expected


def test_a_partition_is_read_from_where_somebody_stopped(place: Memory | Tables, rows: Agenda) -> None:
    store = place if isinstance(place, Memory) else place.store
    for number in range(20):
        store.note_due(f"A{number:02}", [DAY])

    for shard in range(SHARDS):
        accounts = list(rows.accounts((DAY, shard)))
        for place_, account in enumerate(accounts):
            assert list(rows.accounts((DAY, shard), after=account)) == accounts[place_ + 1 :]


def test_every_member_is_in_the_directory_once(place: Memory | Tables, rows: Agenda) -> None:
    store = place if isinstance(place, Memory) else place.store
    for account in ("A", "B", "C"):
        enroll(store, account)
    store.note_due("D", [DAY])

    found = [account for shard in range(SHARDS) for account in rows.accounts((None, shard))]
    assert sorted(found) == ["A", "B", "C"]


def test_a_partition_is_read_to_its_end_page_by_page(table: Tables) -> None:
    """A page of DynamoDB is a megabyte; keys of a kilobyte fill it sooner than those of accounts."""
    rows = DueRows(table.connection, table.name, shards=1)
    accounts = [f"{number:04}{'x' * 1_000}" for number in range(2_500)]
    batches = [accounts[start : start + 25] for start in range(0, len(accounts), 25)]

    def put(batch: list[str]) -> None:
        items = [{"PK": {"S": keys.due(DAY, 0)}, "SK": {"S": each}} for each in batch]
        table.client.batch_write_item(RequestItems={table.name: [{"PutRequest": {"Item": item}} for item in items]})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(put, batches))
    pages = 0

    def seen(**_: object) -> None:
        nonlocal pages
        pages += 1

    table.connection.client.meta.events.register("before-call.dynamodb.Query", seen)
    try:
        assert list(rows.accounts((DAY, 0))) == accounts
        assert list(rows.accounts((DAY, 0), after=accounts[2_400])) == accounts[2_401:]
    finally:
        table.connection.client.meta.events.unregister("before-call.dynamodb.Query", seen)
    assert pages > 1


def test_a_round_that_was_never_planned_has_no_mark(rows: Agenda) -> None:
    assert [rows.mark(round_) for round_ in Round] == [None, None, None]


def test_marks_move_forward_each_on_its_own_and_never_back(rows: Agenda) -> None:
    rows.move_mark(Round.BOOK, DAY)
    rows.move_mark(Round.BOOK, DAY)
    rows.move_mark(Round.BOOK, DAY - 1)
    assert (rows.mark(Round.BOOK), rows.mark(Round.TELL)) == (DAY, None)

    rows.move_mark(Round.BOOK, DAY + 7)
    rows.move_mark(Round.TELL, DAY)
    assert (rows.mark(Round.BOOK), rows.mark(Round.TELL)) == (DAY + 7, DAY)


def test_of_many_planners_at_once_the_furthest_mark_stands(rows: Agenda) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(lambda day: rows.move_mark(Round.BOOK, day), [DAY + step for step in (3, 1, 7, 0, 5, 2, 6, 4)])
        )

    assert rows.mark(Round.BOOK) == DAY + 7


def test_marks_and_due_rows_stand_where_the_design_says(table: Tables) -> None:
    rows = DueRows(table.connection, table.name, shards=SHARDS)
    for round_ in Round:
        rows.move_mark(round_, DAY)

    assert table.contents() == {
        ("CFG", f"JOB#{round_}"): {"PK": {"S": "CFG"}, "SK": {"S": f"JOB#{round_}"}, "d": {"N": str(DAY)}}
        for round_ in ("book", "tell", "everybody")
    }


def test_due_rows_outlive_the_longest_time_that_a_run_looks_back(table: Tables) -> None:
    table.store.note_due("A", [DAY])

    ((_, row),) = table.contents().items()
    assert int(row["ttl"]["N"]) >= (DAY + limits.DUE_RETENTION.days) * 86_400
