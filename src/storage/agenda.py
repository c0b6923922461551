"""The agenda on the table: due rows by day and shard, the directory, and how far each round is planned."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from heapq import merge
from typing import Any

from pynamodb.connection import Connection

from domain.agenda import Partition, Round
from domain.store import Contended
from storage import items, keys
from storage.requests import Requests


class DueRows:
    """`domain.agenda.Agenda` on one DynamoDB table, with the `shards` that its due rows are written to."""

    def __init__(self, connection: Connection, table: str, *, shards: int) -> None:
        self._requests = Requests(connection, table)
        self.shards = shards

    def accounts(self, partition: Partition, *, after: str = "") -> Iterator[str]:
        day, shard = partition
        if day is None:
            return self._single(keys.directory(shard), after)
        # Rows of many accounts are few, 9 KB for 500 of them; the accounts of all rows come in one order, each once.
        key = keys.due(day, shard)
        many = [[each for each in accounts if each > after] for accounts in self._many(key)]
        return _each_once(merge(self._single(key, after, keys.DUE_MANY), *many))

    def _single(self, key: str, after: str, before: str = "") -> Iterator[str]:
        """The accounts of a partition's own rows, after one and before another sort key."""
        low, high = {":a": {"S": after}} if after else {}, {":z": {"S": before}} if before else {}
        condition = {
            (False, False): "PK = :p",
            (True, False): "PK = :p AND SK > :a",
            (False, True): "PK = :p AND SK < :z",
            (True, True): "PK = :p AND SK BETWEEN :a AND :z",
        }[bool(low), bool(high)]
        request: dict[str, Any] = {
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {":p": {"S": key}, **low, **high},
            "ProjectionExpression": "SK",
        }
        # A row is there before the record it is for: a strong read misses nobody whose points stood when it began.
        for item in self._requests.query(request):
            # Both ends of a range belong to it.
            if item["SK"]["S"] not in (after, before):
                yield item["SK"]["S"]

    def _many(self, key: str) -> Iterator[list[str]]:
        request: dict[str, Any] = {
            "KeyConditionExpression": "PK = :p AND begins_with(SK, :m)",
            "ExpressionAttributeValues": {":p": {"S": key}, ":m": {"S": keys.DUE_MANY}},
        }
        return map(items.due_many_from, self._requests.query(request))

    def mark(self, round_: Round) -> int | None:
        found = self._requests.get(keys.CONFIG, keys.mark(round_.value))
        return int(items.MarkRow.from_raw_data(found).day) if found else None

    def move_mark(self, round_: Round, day: int) -> None:
        row = items.MarkRow(keys.CONFIG, keys.mark(round_.value), day=day)
        forward = {
            "ConditionExpression": "attribute_not_exists(PK) OR d < :d",
            "ExpressionAttributeValues": {":d": {"N": str(day)}},
        }
        # Another run was here, or further on.
        with suppress(Contended):
            self._requests.put({"Item": row.serialize(), **forward})


def _each_once(accounts: Iterable[str]) -> Iterator[str]:
    """Sorted accounts without repetition."""
    last = None
    for account in accounts:
        if account != last:
            yield account
        last = account
