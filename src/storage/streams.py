"""The table's stream, and the logs behind it, for whoever announces them: no secret is needed, nothing is written.

A Lambda is handed stream records as JSON, in which binary values are base64; as items they are decoded like any other.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pynamodb.connection import Connection

from domain import limits
from domain.entries import Record
from domain.notices import Notice
from storage import items, keys
from storage.items import Item

# Accounts of a directory shard in one request: some 60 KB.
_DIRECTORY_PAGE = 1_000


def is_record(change: Mapping[str, Any]) -> bool:
    """Whether a stream record tells of a new record of an account's log."""
    return _is_new(change, keys.ENTRY_PREFIX)


def is_notice(change: Mapping[str, Any]) -> bool:
    """Whether a stream record tells of a notice that was given; that it was read is a change of it."""
    return _is_new(change, keys.NOTICE_FIRST)


def place_of(change: Mapping[str, Any]) -> str:
    """Where the item of a stream record stands, for a person who has to look at it."""
    return " ".join(_key(change))


def record_of(change: Mapping[str, Any]) -> Record:
    """The record that a stream record of the log tells of."""
    return items.record_from(_item(change["dynamodb"]["NewImage"]))


def notice_of(change: Mapping[str, Any]) -> tuple[str, Notice]:
    """The account and the notice that a stream record tells of."""
    item = _item(change["dynamodb"]["NewImage"])
    return item["PK"]["S"].removeprefix(keys.account("")), items.notice_from(item)


def _is_new(change: Mapping[str, Any], prefix: str) -> bool:
    account, sort_key = _key(change)
    return change["eventName"] == "INSERT" and account.startswith(keys.account("")) and sort_key.startswith(prefix)


def _key(change: Mapping[str, Any]) -> tuple[str, str]:
    written = change["dynamodb"]["Keys"]
    return written["PK"]["S"], written["SK"]["S"]


def _item(image: Mapping[str, Any]) -> Item:
    return {name: _value(value) for name, value in image.items()}


def _value(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    match kind:
        case "B":
            return {kind: base64.b64decode(content)}
        case "M":
            return {kind: _item(content)}
        case "L":
            return {kind: [_value(element) for element in content]}
    return {kind: content}


class Logs:
    """`domain.announcements.Log` on one table, and the directory of all accounts. Every read is strong and bounded."""

    def __init__(self, connection: Connection, table: str) -> None:
        self._connection = connection
        self._table = table

    def head(self, account: str) -> Record | None:
        """The newest record of an account."""
        found = self._records(account, keys.ENTRY_FIRST, keys.ENTRY_LAST, limit=1, descending=True)
        return found[0] if found else None

    def records_before(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        """Records at or before `seq`, newest first."""
        return self._records(account, keys.ENTRY_FIRST, keys.entry(seq), limit=limit, descending=True)

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        return self._records(account, keys.entry(seq + 1), keys.ENTRY_LAST, limit=limit, descending=False)

    def notices(self, account: str, *, before: tuple[int, str] | None = None, limit: int) -> Sequence[Notice]:
        """Up to `limit` notices of an account, the newest first by day and subject, before that place."""
        last = keys.NOTICE_LAST if before is None else keys.notice(*before)
        # One more: both ends of a range belong to it.
        found = self._range(account, keys.NOTICE_FIRST, last, limit=limit + 1, descending=True)
        return [items.notice_from(item) for item in found if item["SK"]["S"] != last][:limit]

    def accounts(self) -> Iterator[tuple[int, Sequence[str]]]:
        """Every account, by shards of the directory: the shard's number and a page of it, which may be empty.

        It asks as many shards as a stack can have, so it need not know how many this one has.
        """
        for shard in range(limits.SHARDS_MAX):
            start: dict[str, Any] = {}
            while True:
                page = self._query("PK = :p", {":p": {"S": keys.directory(shard)}}, Limit=_DIRECTORY_PAGE, **start)
                yield shard, [item["SK"]["S"] for item in page["Items"]]
                if "LastEvaluatedKey" not in page:
                    break
                start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _records(self, account: str, first: str, last: str, *, limit: int, descending: bool) -> list[Record]:
        return [
            items.record_from(item) for item in self._range(account, first, last, limit=limit, descending=descending)
        ]

    def _range(self, account: str, first: str, last: str, *, limit: int, descending: bool) -> list[Item]:
        # One page: `limit` items of about a KB each are far below the 1 MB at which DynamoDB would cut it.
        values = {":p": {"S": keys.account(account)}, ":a": {"S": first}, ":z": {"S": last}}
        condition = "PK = :p AND SK BETWEEN :a AND :z"
        found: list[Item] = self._query(condition, values, Limit=limit, ScanIndexForward=not descending)["Items"]
        return found

    def _query(self, condition: str, values: Item, **more: Any) -> dict[str, Any]:
        request = {"KeyConditionExpression": condition, "ExpressionAttributeValues": values, "ConsistentRead": True}
        page: dict[str, Any] = self._connection.dispatch("Query", {"TableName": self._table, **request, **more})
        return page
