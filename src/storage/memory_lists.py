"""Lists of members in memory, for tests. The same tests hold it to the table's behavior."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from domain.lists import Flaw, MemberList
from domain.lists.store import Claim, Cut, KeyKnown, Part
from domain.store import Contended
from storage import keys


class MemoryLists:
    """`domain.lists.store.Lists` in dictionaries under one lock."""

    def __init__(self, *, shards: int = 4) -> None:
        self._lock = threading.RLock()
        self._lists: dict[str, MemberList] = {}
        self._claims: dict[bytes, Claim] = {}
        self._cuts: dict[str, Cut] = {}
        self._parts: dict[str, dict[int, Part]] = {}
        self._pages: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
        self._examples: dict[str, dict[Flaw, tuple[int, ...]]] = {}
        self.shards = shards

    def shard_of(self, account: str) -> int:
        return keys.shard(account, self.shards)

    def claim(self, key: bytes) -> Claim | None:
        return self._claims.get(key)

    def create(self, member_list: MemberList, claim: Claim) -> None:
        with self._lock:
            self._require_new(claim)
            self._claims[claim.key] = claim
            self._lists[member_list.id] = member_list

    def find(self, list_id: str) -> MemberList | None:
        return self._lists.get(list_id)

    def newest(self, *, before: str | None = None, limit: int) -> Sequence[MemberList]:
        found = sorted(self._lists.items(), reverse=True)
        return [member_list for list_id, member_list in found if before is None or list_id < before][:limit]

    def save(self, member_list: MemberList, claim: Claim | None = None) -> MemberList:
        with self._lock:
            if claim is not None:
                self._require_new(claim)
            if self._lists[member_list.id].version != member_list.version:
                raise Contended
            if claim is not None:
                self._claims[claim.key] = claim
            saved = self._lists[member_list.id] = replace(member_list, version=member_list.version + 1)
            return saved

    def cut(self, list_id: str) -> Cut | None:
        return self._cuts.get(list_id)

    def keep_cut(self, list_id: str, cut: Cut) -> None:
        self._cuts[list_id] = cut

    def part(self, list_id: str, number: int) -> Part | None:
        return self._parts.get(list_id, {}).get(number)

    def keep_part(self, list_id: str, part: Part) -> None:
        with self._lock:
            self._parts.setdefault(list_id, {}).setdefault(part.number, part)

    def parts_kept(self, list_id: str) -> frozenset[int]:
        with self._lock:
            return frozenset(self._parts.get(list_id, {}))

    def keep_page(self, list_id: str, accounts: Sequence[str]) -> None:
        with self._lock:
            pages = self._pages.setdefault((list_id, self.shard_of(accounts[0])), {})
            pages[accounts[-1]] = tuple(accounts)

    def members(self, list_id: str, shard: int, *, after: str = "") -> Iterator[str]:
        with self._lock:
            pages = sorted(self._pages.get((list_id, shard), {}).items())
        return (account for _, accounts in pages for account in accounts if account > after)

    def keep_examples(self, list_id: str, examples: Mapping[Flaw, Sequence[int]]) -> None:
        self._examples[list_id] = {flaw: tuple(lines) for flaw, lines in examples.items()}

    def examples(self, list_id: str) -> Mapping[Flaw, Sequence[int]]:
        return self._examples.get(list_id, {})

    def _require_new(self, claim: Claim) -> None:
        if claim.key in self._claims:
            raise KeyKnown(self._claims[claim.key])
