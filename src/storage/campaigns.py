"""Campaigns on the table: what they are, how far their runs are, and the chunks of their members.

Chunks stand in the partitions of their shards, so that no campaign, however large, is written through one. How far the shards
are, and the budget that all workers take from, stand in one of the run: a few units a chunk.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from pynamodb.connection import Connection

from domain import limits
from domain.campaigns import Budget, Campaign
from domain.campaigns.store import Chunk, Decision, Done, KeyTaken, KeyUse, Run, RunKind, Shard, TooManyAtWork
from domain.refusals import OutcomeUnknown
from domain.store import Contended
from storage import items, keys
from storage.agenda import DueRows
from storage.items import Item
from storage.lists import ListTable
from storage.requests import IF_NEW, Requests, between


class CampaignTable:
    """`domain.campaigns.store.Campaigns` on one DynamoDB table, with the `shards` that its directory is spread over."""

    def __init__(self, connection: Connection, table: str, *, shards: int) -> None:
        self._requests = Requests(connection, table)
        self._directory = DueRows(connection, table, shards=shards)
        self._lists = ListTable(connection, table, shards=shards)
        self.shards = shards

    # --- campaigns -----------------------------------------------------------------------------------------------------

    def create(self, campaign: Campaign, use: KeyUse) -> None:
        puts = [{"Item": items.key_use_item(use), **IF_NEW}, {"Item": items.campaign_item(campaign), **IF_NEW}]
        try:
            self._requests.transact(puts)
        except Contended as lost:
            taken = self.used(use.key)
            if taken is None:
                raise OutcomeUnknown("Whether the campaign was made is unknown. Retry with the same key.") from lost
            raise KeyTaken(taken) from lost

    def used(self, key: bytes) -> KeyUse | None:
        found = self._requests.get(keys.campaign_key(key), keys.CLAIM)
        return items.key_use_from(found) if found else None

    def refuse(self, use: KeyUse) -> None:
        self._requests.put({"Item": items.key_use_item(use), **IF_NEW})

    def find(self, campaign_id: str) -> Campaign | None:
        found = self._requests.get(keys.CAMPAIGNS, keys.campaign(campaign_id))
        return items.campaign_from(found) if found else None

    def newest(self, *, before: str | None = None, limit: int) -> Sequence[Campaign]:
        last = keys.campaign(before) if before else keys.CAMPAIGN_LAST
        found = self._query(keys.CAMPAIGNS, keys.CAMPAIGN_FIRST, last, limit=limit + 1, strong=False, descending=True)
        return [items.campaign_from(item) for item in found if item["SK"]["S"] != last][:limit]

    def save(self, campaign: Campaign, *, use: KeyUse | None = None) -> Campaign:
        saved = replace(campaign, version=campaign.version + 1)
        puts = [{"Item": items.campaign_item(saved), **_if_version(campaign.version)}]
        if use is not None:
            puts.append({"Item": items.key_use_item(use), **IF_NEW})
        listed, version = self._listed()
        wanted = [each for each in listed if each != campaign.id] + [campaign.id] * campaign.is_at_work
        if sorted(wanted) != sorted(listed):
            # What is cancelled ends, however much is at work: it is settled in minutes, and off the list.
            if len(wanted) > max(limits.CAMPAIGNS_AT_WORK_MAX, len(listed) - 1) and not campaign.is_unsettled:
                raise TooManyAtWork
            row = items.WorkRow(keys.CAMPAIGNS, keys.CAMPAIGNS_AT_WORK, version=version + 1)
            row.campaigns = " ".join(wanted) or None
            puts.append({"Item": row.serialize(), **_if_version(version)})
        if len(puts) == 1:
            self._requests.put(puts[0])
        else:
            self._requests.transact(puts)
        return saved

    def at_work(self) -> Sequence[str]:
        return self._listed()[0]

    def _listed(self) -> tuple[list[str], int]:
        found = self._requests.get(keys.CAMPAIGNS, keys.CAMPAIGNS_AT_WORK)
        if found is None:
            return [], 0
        row = items.WorkRow.from_raw_data(found)
        return (row.campaigns or "").split(), int(row.version)

    # --- members -------------------------------------------------------------------------------------------------------

    def members(self, shard: int, *, list_id: str | None = None, after: str = "") -> Iterator[str]:
        if list_id is None:
            return self._directory.accounts((None, shard), after=after)
        return self._lists.members(list_id, shard, after=after)

    # --- runs ----------------------------------------------------------------------------------------------------------

    def shard_of(self, account: str) -> int:
        return keys.shard(account, self.shards)

    def last_chunk(self, run: Run, shard: int) -> Chunk | None:
        found = self._query(
            keys.chunks(run.campaign, str(run), shard), keys.chunk(0), keys.CHUNK_LAST, limit=1, descending=True
        )
        return items.chunk_from(found[0]) if found else None

    def keep_chunk(self, run: Run, shard: int, chunk: Chunk) -> Chunk:
        old = self._requests.put_new(items.chunk_item(run, shard, chunk, ttl=_forgotten(run)))
        return chunk if old is None else items.chunk_from(old)

    def chunk(self, run: Run, shard: int, number: int) -> Chunk | None:
        found = self._requests.get(keys.chunks(run.campaign, str(run), shard), keys.chunk(number))
        return items.chunk_from(found) if found else None

    def decision(self, run: Run, shard: int, number: int) -> Decision | None:
        found = self._requests.get(keys.chunks(run.campaign, str(run), shard), keys.decision(number))
        return items.decision_from(found) if found else None

    def keep_decision(
        self, run: Run, shard: int, decision: Decision, *, budget: tuple[Budget, Budget] | None
    ) -> Decision:
        item = items.decision_item(run, shard, decision)
        if budget is None:
            old = self._requests.put_new(item)
            return decision if old is None else items.decision_from(old)
        try:
            self._requests.transact([{"Item": item, **IF_NEW}, _budget_put(run, *budget)])
        except Contended:
            kept = self.decision(run, shard, decision.number)
            if kept is None:
                raise
            return kept
        return decision

    def budget(self, run: Run) -> Budget | None:
        found = self._requests.get(keys.run(run.campaign, str(run)), keys.RUN_BUDGET)
        return items.budget_from(found) if found else None

    def done(self, run: Run, shard: int, number: int) -> Done | None:
        found = self._requests.get(keys.chunks(run.campaign, str(run), shard), keys.done(number))
        return items.done_from(found) if found else None

    def finish(
        self, run: Run, done: Done, seen: Shard, shard: Shard, *, budget: tuple[Budget, Budget] | None = None
    ) -> None:
        puts = [
            {"Item": items.done_item(run, shard.number, done, ttl=_forgotten(run)), **IF_NEW},
            _shard_put(run, seen, shard),
        ]
        self._requests.transact([*puts, *([_budget_put(run, *budget)] if budget else [])])

    def shard(self, run: Run, number: int) -> Shard:
        found = self._requests.get(keys.run(run.campaign, str(run)), keys.run_shard(number))
        return items.shard_from(found) if found else Shard(number)

    def save_shard(self, run: Run, seen: Shard, shard: Shard) -> None:
        self._requests.put(_shard_put(run, seen, shard))

    def progress(self, run: Run) -> Sequence[Shard]:
        found = self._query(keys.run(run.campaign, str(run)), keys.run_shard(0), keys.RUN_SHARD_LAST)
        return [items.shard_from(item) for item in found]

    def done_numbers(self, run: Run, shard: int) -> frozenset[int]:
        found = self._query(keys.chunks(run.campaign, str(run), shard), keys.done(0), keys.DONE_LAST, projection="SK")
        return frozenset(keys.chunk_number(item["SK"]["S"]) for item in found)

    # --- requests ------------------------------------------------------------------------------------------------------

    def _query(
        self,
        pk: str,
        first: str,
        last: str,
        *,
        limit: int | None = None,
        strong: bool = True,
        descending: bool = False,
        projection: str | None = None,
    ) -> list[Item]:
        """Items of a partition between two sort keys, both of them too: `limit` of them, or all."""
        request = {
            **between(pk, first, last),
            "ConsistentRead": strong,
            "ScanIndexForward": not descending,
            **({"Limit": limit} if limit else {}),
            **({"ProjectionExpression": projection} if projection else {}),
        }
        # A page ends at a megabyte, also where fewer than `limit` are found by then.
        return list(islice(self._requests.query(request), limit))


def _if_version(version: int) -> dict[str, Any]:
    """The condition of a put over a version; over none at all for 0."""
    if not version:
        return {"ConditionExpression": "attribute_not_exists(PK)"}
    return {"ConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": {"N": str(version)}}}


def _shard_put(run: Run, seen: Shard, shard: Shard) -> dict[str, Any]:
    item = items.shard_item(run, replace(shard, version=seen.version + 1))
    return {"Item": item, **_if_version(seen.version)}


def _budget_put(run: Run, seen: Budget, left: Budget) -> dict[str, Any]:
    item, before = items.budget_item(run, left), items.budget_item(run, seen)
    told = {name: before[name] for name in ("p", "m") if name in before}
    # Nothing was taken yet, or just what was seen is left.
    conditions = " AND ".join(f"{name} = :{name}" for name in told)
    return {
        "Item": item,
        "ConditionExpression": f"attribute_not_exists(PK) OR ({conditions})",
        "ExpressionAttributeValues": {f":{name}": value for name, value in told.items()},
    }


def _forgotten(run: Run) -> int | None:
    """When what a preview found of its members may go, in epoch seconds; what was given is remembered for ever."""
    if run.kind is not RunKind.PREVIEW:
        return None
    return int(time.time() + limits.PREVIEW_RETENTION.total_seconds())
