"""A table's raw items without an engine, to be read as an audit reads them, and to be tampered with.

raw = Raw.of(lived(life))
raw.items["M#ADA", "E#0000000002"]["h"]["B"] = b"..."
assert raw.audit() == [Finding(...)]
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from domain.verification import Code, Finding
from storage import chain, items, keys
from storage.audit import Audit, Source, Tally, Watcher
from storage.items import Item
from storage.memory import Memory, chained
from tests.domain.lives import lived
from tests.domain.world import ZONE

SHARDS = 4
PEPPER = b"pepper of thirty-two characters!"
# Long after everything: no claim is too young to be without its entry.
LATER = datetime.fromisoformat("2090-01-01T00:00:00+00:00")


@dataclass
class Raw(Source):
    """What a table holds. Reads give copies, as requests do."""

    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    reads: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    @staticmethod
    def of(store: Memory) -> "Raw":
        """The items that a table would hold after the same writes."""
        raw = Raw()
        for account, log in store._logs.items():
            for record in chained(log):
                raw.put(items.record_item(record))
            raw.put(items.Row(keys.directory(keys.shard(account, SHARDS)), account).serialize())
        for account, profile in store._profiles.items():
            raw.put(items.profile_item(account, profile))
        for claim in store._claims.values():
            raw.put(items.claim_item(claim))
        for booked in store._returns.values():
            raw.put(items.return_item(booked))
        for end in store._ends.values():
            raw.put(items.end_item(end))
        for (account, _), note in store._notes.items():
            raw.put(items.note_item(account, note))
        for account, given in store._notices.items():
            for notice in given.values():
                raw.put(items.notice_item(account, notice))
        for lookup, account in store._lookups.items():
            pk = keys.lookup(lookup.kind, lookup.value, PEPPER)
            raw.put(items.LookupRow(pk, keys.LOOKUP, account=account).serialize())
        for day, account in store.due:
            raw.put(items.DueRow(keys.due(day, keys.shard(account, SHARDS)), account, ttl=1).serialize())
        return raw

    @staticmethod
    def of_life(number: int) -> "Raw":
        """The items of one of the lives."""
        return Raw(copy.deepcopy(_of_life(number)))

    def put(self, item: Item) -> None:
        self.items[item["PK"]["S"], item["SK"]["S"]] = copy.deepcopy(item)

    def log(self, account: str) -> list[Item]:
        """The records of an account, oldest first."""
        return [item for (pk, sk), item in sorted(self.items.items()) if pk == f"M#{account}" and sk.startswith("E#")]

    def accounts(self) -> list[str]:
        return sorted({pk[2:] for pk, sk in self.items if pk.startswith("M#") and sk.startswith("E#")})

    def rechain(self, account: str, seq: int = 1) -> None:
        """Hashes the account's records anew from `seq` on, as whoever knows the program can."""
        prior = b""
        for item in self.log(account):
            if keys.sequence(item["SK"]["S"]) >= seq:
                item["h"] = {"B": chain.hash_of(item, prior)}
            prior = item["h"]["B"]

    def audit(
        self,
        *accounts: str,
        claims: bool = False,
        zones: tuple[ZoneInfo, ...] = (ZONE,),
        now: datetime = LATER,
        grace: timedelta = timedelta(hours=1),
        tallies: list[Tally] | None = None,
    ) -> list[Finding]:
        """What is found in these accounts, or in the whole table, in the order of accounts and records."""
        found: list[Finding] = []
        audit = Audit(self, Watcher(found.append), zones=zones, now=now, grace=grace)
        tally = audit.accounts(accounts, claims=claims) if accounts else audit.everything()
        assert tally.findings == len(found)
        if tallies is not None:
            tallies.append(tally)
        return sorted(found, key=lambda each: (each.account, each.seq, each.code.value))

    def found(self, *accounts: str, **more: Any) -> list[tuple[str, int, Code]]:
        """The same without the messages."""
        return [(each.account, each.seq, each.code) for each in self.audit(*accounts, **more)]

    # --- as a source --------------------------------------------------------------------------------------------------

    def _get(self, pk: str, sk: str) -> Item | None:
        self.reads.append(("GetItem", {"PK": pk, "SK": sk}))
        return copy.deepcopy(self.items.get((pk, sk)))

    def _pages(self, operation: str, request: Mapping[str, Any]) -> Iterator[Item]:
        self.reads.append((operation, request))
        pk = request["ExpressionAttributeValues"][":p"]["S"] if operation == "Query" else None
        names = set(request.get("ExpressionAttributeNames", {}).values())
        for key in sorted(key for key in self.items if pk in (None, key[0])):
            item = self.items[key]
            yield copy.deepcopy({name: item[name] for name in item if not names or name in names})


@cache
def _of_life(number: int) -> dict[tuple[str, str], Item]:
    return Raw.of(lived(number)).items
