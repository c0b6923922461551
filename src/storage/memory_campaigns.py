"""Campaigns in memory, for tests and for judging many members at once. A state machine holds it to the table's behavior."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from domain import limits
from domain.campaigns import Budget, Campaign
from domain.campaigns.store import Chunk, Decision, Done, KeyTaken, KeyUse, Run, Shard, TooManyAtWork
from domain.store import Contended
from storage import keys
from storage.memory import Memory, MemoryAgenda
from storage.memory_lists import MemoryLists


class MemoryCampaigns:
    """`domain.campaigns.store.Campaigns` in dictionaries under one lock, with the members of a store in memory."""

    def __init__(self, store: Memory, *, shards: int = 4, lists: MemoryLists | None = None) -> None:
        self._agenda = MemoryAgenda(store, shards=shards)
        self._lists = lists or MemoryLists(shards=shards)
        self._lock = threading.RLock()
        self._campaigns: dict[str, Campaign] = {}
        self._used: dict[bytes, KeyUse] = {}
        self._at_work: list[str] = []
        self._chunks: dict[tuple[Run, int], list[Chunk]] = {}
        self._decisions: dict[tuple[Run, int, int], Decision] = {}
        self._budgets: dict[Run, Budget] = {}
        self._done: dict[tuple[Run, int, int], Done] = {}
        self._shards: dict[Run, dict[int, Shard]] = {}
        self.shards = shards

    def create(self, campaign: Campaign, use: KeyUse) -> None:
        with self._lock:
            if use.key in self._used:
                raise KeyTaken(self._used[use.key])
            self._used[use.key] = use
            self._campaigns[campaign.id] = campaign

    def used(self, key: bytes) -> KeyUse | None:
        return self._used.get(key)

    def refuse(self, use: KeyUse) -> None:
        with self._lock:
            if use.key in self._used:
                raise Contended
            self._used[use.key] = use

    def find(self, campaign_id: str) -> Campaign | None:
        return self._campaigns.get(campaign_id)

    def newest(self, *, before: str | None = None, limit: int) -> Sequence[Campaign]:
        found = sorted(self._campaigns.items(), reverse=True)
        return [campaign for campaign_id, campaign in found if before is None or campaign_id < before][:limit]

    def save(self, campaign: Campaign, *, use: KeyUse | None = None) -> Campaign:
        with self._lock:
            if use is not None and use.key in self._used:
                raise Contended
            if self._campaigns[campaign.id].version != campaign.version:
                raise Contended
            saved = replace(campaign, version=campaign.version + 1)
            rest = [each for each in self._at_work if each != campaign.id]
            wanted = [*rest, campaign.id] if campaign.is_at_work else rest
            if len(wanted) > max(limits.CAMPAIGNS_AT_WORK_MAX, len(self._at_work)) and not campaign.is_unsettled:
                raise TooManyAtWork
            self._at_work = wanted
            self._campaigns[campaign.id] = saved
            if use is not None:
                self._used[use.key] = use
            return saved

    def at_work(self) -> Sequence[str]:
        return list(self._at_work)

    def members(self, shard: int, *, list_id: str | None = None, after: str = "") -> Iterator[str]:
        if list_id is not None:
            return self._lists.members(list_id, shard, after=after)
        with self._lock:
            return self._agenda.accounts((None, shard), after=after)

    def shard_of(self, account: str) -> int:
        return keys.shard(account, self.shards)

    def last_chunk(self, run: Run, shard: int) -> Chunk | None:
        chunks = self._chunks.get((run, shard))
        return chunks[-1] if chunks else None

    def keep_chunk(self, run: Run, shard: int, chunk: Chunk) -> Chunk:
        with self._lock:
            chunks = self._chunks.setdefault((run, shard), [])
            if chunk.number <= len(chunks):
                return chunks[chunk.number - 1]
            assert chunk.number == len(chunks) + 1, "chunks are numbered without a gap"
            chunks.append(chunk)
            return chunk

    def chunk(self, run: Run, shard: int, number: int) -> Chunk | None:
        chunks = self._chunks.get((run, shard), [])
        return chunks[number - 1] if 0 < number <= len(chunks) else None

    def decision(self, run: Run, shard: int, number: int) -> Decision | None:
        return self._decisions.get((run, shard, number))

    def keep_decision(
        self, run: Run, shard: int, decision: Decision, *, budget: tuple[Budget, Budget] | None
    ) -> Decision:
        with self._lock:
            kept = self._decisions.get((run, shard, decision.number))
            if kept is not None:
                return kept
            self._take(run, budget)
            self._decisions[run, shard, decision.number] = decision
            return decision

    def budget(self, run: Run) -> Budget | None:
        return self._budgets.get(run)

    def done(self, run: Run, shard: int, number: int) -> Done | None:
        return self._done.get((run, shard, number))

    def finish(
        self, run: Run, done: Done, seen: Shard, shard: Shard, *, budget: tuple[Budget, Budget] | None = None
    ) -> None:
        with self._lock:
            if (run, shard.number, done.number) in self._done:
                raise Contended
            self._require_seen(run, seen)
            self._take(run, budget)
            self._done[run, shard.number, done.number] = done
            self.save_shard(run, seen, shard)

    def shard(self, run: Run, number: int) -> Shard:
        return self._shards.get(run, {}).get(number, Shard(number))

    def save_shard(self, run: Run, seen: Shard, shard: Shard) -> None:
        with self._lock:
            self._require_seen(run, seen)
            self._shards.setdefault(run, {})[shard.number] = replace(shard, version=seen.version + 1)

    def progress(self, run: Run) -> Sequence[Shard]:
        with self._lock:
            return [shard for _, shard in sorted(self._shards.get(run, {}).items())]

    def done_numbers(self, run: Run, shard: int) -> frozenset[int]:
        with self._lock:
            return frozenset(number for of, at, number in self._done if (of, at) == (run, shard))

    def _take(self, run: Run, budget: tuple[Budget, Budget] | None) -> None:
        if budget is None:
            return
        seen, left = budget
        if self._budgets.get(run, seen) != seen:
            raise Contended
        self._budgets[run] = left

    def _require_seen(self, run: Run, seen: Shard) -> None:
        if self.shard(run, seen.number).version != seen.version:
            raise Contended
