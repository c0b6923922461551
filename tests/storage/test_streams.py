"""The stream's items and the logs behind it, on both engines, as whoever announces them reads them."""

import base64
from typing import Any
from uuid import uuid4

import boto3
import pytest
from pynamodb.exceptions import PynamoDBConnectionError, QueryError, VerboseClientError

from domain import limits
from domain.entries import Record
from storage import items, streams
from storage.streams import Logs
from tests.domain.test_announcements import NOTICES
from tests.domain.world import adjust, block, buy, enroll, give, head_of, hold
from tests.engines import Engine, table_properties
from tests.storage.tables import NOW, SHARDS, Tables, all_of_table, client_of, connect


def filled(table: Tables) -> Tables:
    """Ada, Bob and Cyd; Ada has records with many kinds of values."""
    for name in ("ada", "bob", "cyd"):
        enroll(table.store, name, NOW)
    buy(table.store, "ada", 5_000, NOW, receipt="r1")
    hold(table.store, "ada", 7, NOW, key="h")
    give(table.store, "ada", "bob", 3, NOW, key="g")
    adjust(table.store, "ada", 5, NOW, key="a", note="Sorry.")
    block(table.store, "ada", NOW, key="b")
    return table


@pytest.fixture
def table(table: Tables) -> Tables:
    return filled(table)


@pytest.fixture
def logs(table: Tables) -> Logs:
    return Logs(table.connection, table.name)


def test_a_log_reads_as_the_store_does(table: Tables, logs: Logs) -> None:
    whole = all_of_table(table).logs["ADA"]

    assert logs.head("ADA") == head_of(table.store, "ADA") == whole[-1]
    assert tuple(logs.records_after("ADA", 0, limit=100)) == whole
    assert tuple(logs.records_after("ADA", 2, limit=2)) == whole[2:4]
    assert tuple(logs.records_after("ADA", len(whole), limit=2)) == ()
    assert tuple(logs.records_before("ADA", 3, limit=100)) == whole[2::-1]
    assert tuple(logs.records_before("ADA", 4, limit=2)) == (whole[3], whole[2])
    assert tuple(logs.records_before("ADA", 0, limit=2)) == ()


def test_notices_read_as_the_store_reads_them(table: Tables, logs: Logs) -> None:
    for each in NOTICES:
        table.store.give_notice("ADA", each)
    whole = table.store.notices("ADA", limit=10)

    assert len(whole) == len(NOTICES)
    assert list(logs.notices("ADA", limit=10)) == list(whole)
    place = (whole[1].day, whole[1].about)
    assert list(logs.notices("ADA", before=place, limit=1)) == [whole[2]]
    assert list(logs.notices("BOB", limit=1)) == []


def test_an_image_of_a_notice_is_the_notice(table: Tables) -> None:
    for each in NOTICES:
        item = items.notice_item("ADA", each)
        written = {"Keys": {"PK": item["PK"], "SK": item["SK"]}, "NewImage": as_lambda_gets_it(item)}
        change = {"eventName": "INSERT", "dynamodb": written}

        assert streams.is_notice(change)
        assert not streams.is_record(change)
        assert not streams.is_notice({**change, "eventName": "MODIFY"})
        assert not streams.is_notice({**change, "eventName": "REMOVE"})
        assert streams.notice_of(change) == ("ADA", each)


def test_nobody_has_no_log(logs: Logs) -> None:
    assert logs.head("NOBODY") is None
    assert list(logs.records_after("NOBODY", 0, limit=1)) == []


def test_every_account_is_listed_once_whatever_the_number_of_shards(
    table: Tables, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many as this table has would do; the rest is empty, and asked all the same.
    monkeypatch.setattr(limits, "SHARDS_MAX", 2 * SHARDS)
    monkeypatch.setattr(streams, "_DIRECTORY_PAGE", 1)

    pages = list(logs.accounts())

    assert sorted(account for _, accounts in pages for account in accounts) == ["ADA", "BOB", "CYD"]
    assert {shard for shard, _ in pages} == set(range(2 * SHARDS))
    assert [shard for shard, _ in pages] == sorted(shard for shard, _ in pages)


def test_a_table_that_is_not_there_is_an_error(table: Tables) -> None:
    with pytest.raises((VerboseClientError, QueryError, PynamoDBConnectionError)):
        Logs(table.connection, "nowhere").head("ADA")


def as_lambda_gets_it(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: as_lambda_gets_it(each) for name, each in value.items()}
    return [as_lambda_gets_it(each) for each in value] if isinstance(value, list) else value


def test_an_image_of_the_stream_is_the_record_that_was_written(table: Tables) -> None:
    for item in table.items():
        change = {
            "eventName": "INSERT",
            "dynamodb": {
                "Keys": {"PK": item["PK"], "SK": item["SK"]},
                "NewImage": as_lambda_gets_it(item),
            },
        }
        is_record = item["PK"]["S"].startswith("M#") and item["SK"]["S"].startswith("E#")
        assert streams.is_record(change) is is_record
        if is_record:
            read = streams.record_of(change)
            assert (read, read.hash) == (items.record_from(item), items.record_from(item).hash)
            assert streams.place_of(change) == f"{item['PK']['S']} {item['SK']['S']}"


def test_the_stream_tells_of_each_record_once_and_in_order(dynamodb_local: Engine) -> None:
    """As template.yaml switches it on, read past Lambda. MiniStack's is read by the relay of the local stack (tests/local)."""
    client, name = client_of(dynamodb_local), f"streamed-{uuid4()}"
    properties = table_properties()
    client.create_table(
        TableName=name,
        AttributeDefinitions=properties["AttributeDefinitions"],
        KeySchema=properties["KeySchema"],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, **properties["StreamSpecification"]},
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    streamed = Tables(name, client, connect(dynamodb_local))
    filled(streamed)

    arn = client.describe_table(TableName=name)["Table"]["LatestStreamArn"]
    reader = boto3.client("dynamodbstreams", **dynamodb_local.client_kwargs)
    found = []
    for shard in reader.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = reader.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        found += reader.get_records(ShardIterator=iterator)["Records"]

    told: dict[str, list[Record]] = {}
    for change in filter(streams.is_record, found):
        record = streams.record_of({**change, "dynamodb": as_lambda_gets_it(change["dynamodb"])})
        told.setdefault(record.account, []).append(record)
    assert {account: tuple(log) for account, log in told.items()} == all_of_table(streamed).logs
