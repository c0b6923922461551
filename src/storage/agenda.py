"""The agenda on the table: due rows by day and shard, the directory, and how far each round is planned."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from pynamodb.connection import Connection
from pynamodb.exceptions import VerboseClientError

from domain.agenda import Partition, Round
from storage import items, keys


class DueRows:
    """`domain.agenda.Agenda` on one DynamoDB table, with the `shards` that its due rows are written to."""

    def __init__(self, connection: Connection, table: str, *, shards: int) -> None:
        self._connection = connection
        self._table = table
        self.shards = shards

    def accounts(self, partition: Partition, *, after: str = "") -> Iterator[str]:
        day, shard = partition
        key = keys.directory(shard) if day is None else keys.due(day, shard)
        request: dict[str, Any] = {
            "KeyConditionExpression": "PK = :p AND SK > :a" if after else "PK = :p",
            "ExpressionAttributeValues": {":p": {"S": key}, **({":a": {"S": after}} if after else {})},
            "ProjectionExpression": "SK",
            # A row is there before the record it is for: a strong read misses nobody whose points stood when it began.
            "ConsistentRead": True,
        }
        # To the end, however many pages that takes: a page is a megabyte, some 12,000 rows, and none is kept.
        while True:
            page = self._call("Query", request)
            for item in page["Items"]:
                yield item["SK"]["S"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def mark(self, round_: Round) -> int | None:
        key = {"PK": {"S": keys.CONFIG}, "SK": {"S": keys.mark(round_.value)}}
        found = self._call("GetItem", {"Key": key, "ConsistentRead": True}).get("Item")
        return int(items.MarkRow.from_raw_data(found).day) if found else None

    def move_mark(self, round_: Round, day: int) -> None:
        row = items.MarkRow(keys.CONFIG, keys.mark(round_.value), day=day)
        forward = {
            "ConditionExpression": "attribute_not_exists(PK) OR d < :d",
            "ExpressionAttributeValues": {":d": {"N": str(day)}},
        }
        try:
            self._call("PutItem", {"Item": row.serialize(), **forward})
        except VerboseClientError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ConditionalCheckFailedException":
                # Another run was here, or further on.
                return
            raise

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._connection.dispatch(operation, {"TableName": self._table, **request})
        return result
