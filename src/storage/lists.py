"""Lists of members on the table: what they are, how far their imports are, and who is on them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pynamodb.connection import Connection

from domain import limits
from domain.lists import Flaw, MemberList
from domain.lists.store import Claim, Cut, KeyKnown, Part
from domain.store import Contended
from storage import items, keys
from storage.requests import IF_NEW, Requests, between


class ListTable:
    """`domain.lists.store.Lists` on one DynamoDB table, with the `shards` that its directory is spread over."""

    def __init__(self, connection: Connection, table: str, *, shards: int) -> None:
        self._requests = Requests(connection, table)
        self.shards = shards

    def shard_of(self, account: str) -> int:
        return keys.shard(account, self.shards)

    # --- lists ---------------------------------------------------------------------------------------------------------

    def claim(self, key: bytes) -> Claim | None:
        found = self._requests.get(keys.list_key(key), keys.CLAIM)
        return items.list_key_from(found) if found else None

    def create(self, member_list: MemberList, claim: Claim) -> None:
        self._claim(claim, {"Item": items.list_item(member_list), **IF_NEW})

    def find(self, list_id: str) -> MemberList | None:
        found = self._requests.get(keys.LISTS, keys.member_list(list_id))
        return items.list_from(found) if found else None

    def newest(self, *, before: str | None = None, limit: int) -> Sequence[MemberList]:
        last = keys.member_list(before) if before else keys.LIST_LAST
        # One more: both ends of a range belong to it.
        request = between(keys.LISTS, keys.LIST_FIRST, last) | {"Limit": limit + 1, "ScanIndexForward": False}
        found = self._requests.call("Query", request)["Items"]
        return [items.list_from(item) for item in found if item["SK"]["S"] != last][:limit]

    def save(self, member_list: MemberList, claim: Claim | None = None) -> MemberList:
        saved = replace(member_list, version=member_list.version + 1)
        put = {
            "Item": items.list_item(saved),
            "ConditionExpression": "v = :v",
            "ExpressionAttributeValues": {":v": {"N": str(member_list.version)}},
        }
        if claim is not None:
            self._claim(claim, put)
        else:
            self._requests.put(put)
        return saved

    # --- imports -------------------------------------------------------------------------------------------------------

    def cut(self, list_id: str) -> Cut | None:
        found = self._requests.get(keys.list_import(list_id), keys.LIST_CUT)
        return items.cut_from(found) if found else None

    def keep_cut(self, list_id: str, cut: Cut) -> None:
        self._requests.call("PutItem", {"Item": items.cut_item(list_id, cut, ttl=_forgotten())})

    def part(self, list_id: str, number: int) -> Part | None:
        found = self._requests.get(keys.list_import(list_id), keys.list_part(number))
        return items.part_from(found) if found else None

    def keep_part(self, list_id: str, part: Part) -> None:
        ttl = _forgotten()
        # What stands may have been found when somebody was no member yet: it is that which counts, for everybody.
        self._requests.put_new(items.part_item(list_id, part, ttl=ttl))
        self._requests.call("PutItem", {"Item": items.part_kept_item(list_id, part.number, ttl=ttl)})

    def parts_kept(self, list_id: str) -> frozenset[int]:
        request = between(keys.list_import(list_id), keys.LIST_PART_KEPT_FIRST, keys.LIST_PART_KEPT_LAST)
        found = self._requests.query({**request, "ProjectionExpression": "SK"})
        return frozenset(keys.list_part_number(item["SK"]["S"]) for item in found)

    def keep_page(self, list_id: str, accounts: Sequence[str]) -> None:
        item = items.list_page_item(list_id, self.shard_of(accounts[0]), accounts)
        self._requests.call("PutItem", {"Item": item})

    def members(self, list_id: str, shard: int, *, after: str = "") -> Iterator[str]:
        # From the page on that has whoever follows: a page is called after its last account.
        request = between(keys.list_members(list_id, shard), keys.list_page(after), keys.LIST_PAGE_LAST)
        for item in self._requests.query(request):
            yield from (account for account in items.list_page_from(item) if account > after)

    def keep_examples(self, list_id: str, examples: Mapping[Flaw, Sequence[int]]) -> None:
        self._requests.call("PutItem", {"Item": items.examples_item(list_id, examples)})

    def examples(self, list_id: str) -> Mapping[Flaw, Sequence[int]]:
        found = self._requests.get(keys.list_import(list_id), keys.LIST_EXAMPLES)
        return items.examples_from(found) if found else {}

    # --- requests ------------------------------------------------------------------------------------------------------

    def _claim(self, claim: Claim, put: dict[str, Any]) -> None:
        """Writes the use of a key with what it was used for. Raises `KeyKnown`, `Contended`."""
        puts = [{"Item": items.list_key_item(claim), **IF_NEW}, put]
        try:
            self._requests.transact(puts)
        except Contended:
            known = self.claim(claim.key)
            if known is not None:
                raise KeyKnown(known) from None
            raise


def _forgotten() -> int:
    """When what an import leaves behind may go, in epoch seconds."""
    return int(time.time() + limits.LIST_PART_RETENTION.total_seconds())
