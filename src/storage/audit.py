"""Auditing a table: its raw items, read strongly and page by page with an operator's credentials, against `domain.verification`.

Each log is followed from its first record on: the item is decoded and encoded again, hashed and chained, and its record replayed.
What has to agree between items of different partitions (keys, claims, the directory) is collected in a temporary SQLite file and
compared in the end, so that memory does not grow with the table. Nothing here writes to the table.
"""

import importlib
import json
import pkgutil
import random
import re
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection import Connection
from pynamodb.exceptions import PynamoDBException

import domain
from domain import verification
from domain.entries import EntryKind, Key, Record, returned_purchase
from domain.members import Lookup
from domain.verification import Code, Finding, Memory, Replay, Use
from storage import chain, items, keys
from storage.items import Item

# Records of one log in one request: some 50 KB.
_LOG_PAGE = 100
# DynamoDB ends a page at 1 MB, which are fewer items than this; engines that do not are given the bound.
_SCAN_PAGE = 4_000
# Logs that are read at once: a log is a round trip or two, and there is one processor to check them.
_READERS = 8
# How much of a table is read at a time to find a sample in it.
_SEGMENT_BYTES = 8 * 2**20
_SEGMENTS_MAX = 1_000_000  # AWS limit
# What SQLite may keep of its file in memory, and as much again for each of two sorts, in KiB.
_CACHE_KIB = 16 * 1024
# Facts that are written at once.
_BATCH = 500
# Who joined while the table was being read may be seen in one place and not yet in another. The clocks of the functions are a
# little apart from ours, too.
_NEW = timedelta(minutes=5)

for _module in pkgutil.iter_modules(domain.__path__):
    # A recorded refusal is restored by its code, so whatever defines one has to be there.
    importlib.import_module(f"domain.{_module.name}")


class Unavailable(Exception):
    """The table cannot be read; the message is one line and says why."""


class NoSuchAccount(Exception):
    """Nothing at all stands under the account's key."""


# --- reading ----------------------------------------------------------------------------------------------------------


class Source:
    """The raw items of one table; every read is strong, every page bounded. Raises `Unavailable`."""

    def __init__(self, connection: Connection, table: str) -> None:
        self._connection = connection
        self._table = table

    def zones(self) -> tuple[ZoneInfo, ...]:
        """The time zones of all programs that were ever in force, the newest one last."""
        found = (item for item in self._pages("Query", _in(keys.CONFIG)) if kind_of(item) == "program")
        zones = [json.loads(item["doc"]["S"])["document"]["timezone"] for item in found]
        return tuple(ZoneInfo(name) for name in dict.fromkeys(zones))

    def partition(self, account: str) -> Iterator[Item]:
        """Everything that is the account's, by sort key: what goes with its records, the records in order, the profile."""
        return self._pages("Query", {**_in(keys.account(account)), "Limit": _LOG_PAGE})

    def record(self, account: str, seq: int) -> Record | None:
        """One record, if it is there and can be read."""
        item = self._get(keys.account(account), keys.entry(seq))
        return _readable(item) if item else None

    def memory(self, key: Key) -> Memory | None:
        """What is remembered of a key."""
        if key.campaign is not None:
            # Nothing is: the log alone says whether a campaign has given.
            return None
        if key.is_for_ever and key.source.startswith("~"):
            purchase, return_id = returned_purchase(key)
            item = self._get(keys.claim(purchase), keys.purchase_return(return_id))
        else:
            item = self._get(keys.claim(key), keys.CLAIM)
        known = _memory(item) if item else None
        return known[1] if known else None

    def survivors(self, account: str) -> set[str]:
        """The accounts that one was ever merged into."""
        found = set()
        for item in self.partition(account):
            record = _readable(item) if kind_of(item) == _RECORD else None
            for entry in record.entries if record else ():
                if entry.kind is EntryKind.MERGED and entry.peer is not None:
                    found.add(entry.peer[0])
        return found

    def account_of(self, lookup: Lookup, pepper: bytes) -> str | None:
        """The account a look-up leads to."""
        item = self._get(keys.lookup(lookup.kind, lookup.value, pepper), keys.LOOKUP)
        account: str | None = item["a"]["S"] if item and "a" in item else None
        return account

    def everything(self) -> Iterator[Item]:
        """Every item of the table, but only the attributes that are compared between items."""
        return self._pages("Scan", {**_only("PK", "SK", "a", "s", "f", "at", "r", "ttl"), "Limit": _SCAN_PAGE})

    def sample(self, count: int, chance: random.Random) -> list[str]:
        """Up to `count` accounts, any of them as likely as any other. Of a large table only random parts are read."""
        size = self._call("DescribeTable", {})["Table"].get("TableSizeBytes", 0)
        segments = max(1, min(_SEGMENTS_MAX, size // _SEGMENT_BYTES))
        chosen: list[str] = []
        seen = 0
        for segment in chance.sample(range(segments), segments):
            part = {"Segment": segment, "TotalSegments": segments} if segments > 1 else {}
            for item in self._pages("Scan", {**_only("PK", "SK"), **part, "Limit": _SCAN_PAGE}):
                if item["SK"]["S"] != keys.entry(1):
                    continue
                seen += 1
                account = item["PK"]["S"][2:]
                if len(chosen) < count:
                    chosen.append(account)
                elif (place := chance.randrange(seen)) < count:
                    chosen[place] = account
            if seen >= count:
                break
        return chosen

    def _get(self, pk: str, sk: str) -> Item | None:
        return self._call("GetItem", {"Key": {"PK": {"S": pk}, "SK": {"S": sk}}, "ConsistentRead": True}).get("Item")

    def _pages(self, operation: str, request: Mapping[str, Any]) -> Iterator[Item]:
        start: dict[str, Any] = {}
        while True:
            page = self._call(operation, {**request, **start, "ConsistentRead": True})
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._connection.dispatch(operation, {"TableName": self._table, **request})
        except (BotoCoreError, ClientError, PynamoDBException) as error:
            cause = error.__cause__
            told = cause.response["Error"] if isinstance(cause, ClientError) else {}
            why = f"{told['Code']}: {told.get('Message', '')}" if told else str(error)
            raise Unavailable(f"The table {self._table} cannot be read. {why}") from error
        return answer


def _readable(item: Item) -> Record | None:
    try:
        return items.record_from(item)
    except Exception:  # what somebody tampered with can fail in any way; where its own log is read, that is told
        return None


def _in(pk: str) -> dict[str, Any]:
    return {"KeyConditionExpression": "PK = :p", "ExpressionAttributeValues": {":p": {"S": pk}}}


def _only(*names: str) -> dict[str, Any]:
    # Some of the names are words of DynamoDB's own.
    given = {f"#{name}": name for name in names}
    return {"ProjectionExpression": ", ".join(given), "ExpressionAttributeNames": given}


# --- what an item is --------------------------------------------------------------------------------------------------

_RECORD = "record"
_KINDS = {
    _RECORD: (r"M#.+", r"E#[0-9]{10}"),
    "profile": (r"M#.+", r"P"),
    "annex": (r"M#.+", r"A#.+"),
    "end": (r"M#.+", r"C#[0-9]{10}\.[0-9]+"),
    "claim": (r"K#[^:]+:.+", r"K"),
    "return": (r"K#[^:]+:.+", r"R#.+"),
    "look-up": (r"U#[a-z]+#[0-9a-f]{64}", r"U"),
    "due row": (r"D#[0-9]+#[0-9]+", r".+"),
    "directory": (r"DIR#[0-9]+", r".+"),
    "program": (r"CFG", r"V#[0-9]{10}"),
    "mark": (r"CFG", r"JOB#[a-z]+"),
    "clock": (r"CFG", r"CLOCK"),
    "job": (r"JOB#[0-9a-f]{32}", r"JOB"),
    "list": (r"LST", r"L#.+"),
    "list's key": (r"LSTK#[0-9a-f]{32}", r"K"),
    "import": (r"LST#[^#]+", r"C|X|[PZ]#[0-9]+"),
    "page of a list": (r"LST#[^#]+#[0-9]+", r"A#.+"),
    "submission": (r"SUB#[0-9a-f]{32}", r"S"),
    "submission's notes": (r"SUB#[0-9a-f]{32}#[0-9]+", r"T|N#[0-9]{3}[RF]"),
    "campaign": (r"CMP", r"C#.+|WORK"),
    "campaign's key": (r"CMPK#[0-9a-f]{32}", r"K"),
    "run": (r"CMP#[^#]+#[a-z][0-9]+", r"S#[0-9]{4}|B"),
    "chunk": (r"CMP#[^#]+#[a-z][0-9]+#[0-9]+", r"[ADZ]#[0-9]{8}"),
}
_KEYS: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
for _kind, (_pk, _sk) in _KINDS.items():
    _KEYS.setdefault(_pk.partition("#")[0], []).append((_kind, re.compile(f"{_pk}\n(?:{_sk})", re.ASCII | re.DOTALL)))


def kind_of(item: Item) -> str | None:
    """What an item is, by its key; None for what nothing here ever writes."""
    pk, sk = item["PK"]["S"], item["SK"]["S"]
    both = f"{pk}\n{sk}"
    return next((kind for kind, key in _KEYS.get(pk.partition("#")[0], ()) if key.fullmatch(both)), None)


def _memory(item: Item) -> tuple[Key, Memory] | None:
    """What a claim or a return says of its key; None for a claim that only waits for its purchase."""
    if item["SK"]["S"] != keys.CLAIM:
        booked = items.return_from(item)
        is_refused = booked.refusal is not None
        has_waited = not (booked.account or is_refused)
        return booked.key, Memory(
            booked.account, booked.at, seq=booked.seq, is_refused=is_refused, has_waited=has_waited
        )
    claim = items.claim_from(item)
    if claim.is_parked:
        return None
    return claim.key, Memory(
        claim.account,
        claim.at,
        seq_seen=claim.seq_seen,
        is_refused=claim.refusal is not None,
        expires_at=claim.expires_at,
    )


# --- one item ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Chain:
    """One account's log as it is stored, item after item, in the order of their sequences."""

    account: str
    _seq: int = 0
    # The hashes that the next record may follow. Two after a mistake: the hash that stands there, and the one that should, so
    # that an altered hash is not blamed on the record behind it. None after a gap, or without a hash: nobody knows.
    _priors: tuple[bytes, ...] = (b"",)

    def read(self, item: Item) -> tuple[Record | None, list[Finding]]:
        """The record of the next item, None when it cannot be read, and what is wrong with the item itself."""
        seq = keys.sequence(item["SK"]["S"])
        priors = self._priors if seq == self._seq + 1 else ()
        self._seq = seq
        try:
            record = items.record_from(item)
            again = items.record_item(replace(record, prior=priors[0] if priors else b""))
        except Exception as error:  # what somebody tampered with can fail in any way
            why = f"The record cannot be read ({type(error).__name__}: {error})."
            return None, [*self._linked(item, priors), Finding(self.account, seq, Code.UNREADABLE, why)]
        if again == item:
            self._priors = (record.hash,)
            return record, []
        found = self._linked(item, priors)
        if hidden := ", ".join(_differences(_unhashed(item), _unhashed(again))):
            message = f"The item says more, or something else, than its record: {hidden}."
            found.append(Finding(self.account, seq, Code.HIDDEN_CONTENT, message))
        return record, found

    def _linked(self, item: Item, priors: tuple[bytes, ...]) -> list[Finding]:
        stored = item.get(chain.HASH_ATTRIBUTE, {}).get("B")
        computed = [chain.hash_of(item, prior) for prior in priors]
        if stored in computed or not priors:
            # After a gap a hash can only be taken as it is.
            self._priors = () if stored is None else (stored,)
            return []
        self._priors = () if stored is None else (stored, computed[0])
        if stored is None:
            message = "The record has no hash."
        elif self._seq == 1:
            message = "The hash does not match: the record was altered."
        else:
            message = f"The hash does not follow from this record and record {self._seq - 1}: one of them was altered."
        return [Finding(self.account, self._seq, Code.CHAIN_BROKEN, message)]


def _unhashed(item: Item) -> Item:
    return {name: value for name, value in item.items() if name != chain.HASH_ATTRIBUTE}


def _differences(stored: Any, again: Any, path: str = "") -> Iterator[str]:
    """Paths at which two values differ, as deep as they are of the same shape."""
    if isinstance(stored, dict) and isinstance(again, dict):
        for name in sorted(stored.keys() | again.keys()):
            # The names of DynamoDB's types are no part of a path.
            inner = path if name in ("S", "N", "L", "M", "B") and path else f"{path}.{name}".lstrip(".")
            yield from _differences(stored.get(name), again.get(name), inner)
    elif isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        for index, (one, other) in enumerate(zip(stored, again, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif stored != again:
        yield path


# --- facts of many items ----------------------------------------------------------------------------------------------

# Where an account was seen.
_IN_DIRECTORY, _IN_PARTITION, _IN_CLAIM = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rest of the table knows of an account: where it was seen, and the newest of its records that somebody saw."""

    account: str
    sources: int = 0
    seq: int = 0


class Facts:
    """What has to agree between partitions, in a temporary file that SQLite keeps and removes; for many threads at once."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()
        self._database.executescript(
            f"""
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            PRAGMA cache_size = -{_CACHE_KIB};
            CREATE TABLE accounts (account TEXT PRIMARY KEY, sources INT, seq INT) WITHOUT ROWID;
            CREATE TABLE uses (key TEXT, at INT, account TEXT, seq INT, is_refused INT);
            CREATE TABLE memories (
                key TEXT, at INT, account TEXT, seq_seen INT, seq INT, is_refused INT, has_waited INT, expires_at INT
            );
            CREATE TABLE merges (account TEXT, survivor TEXT, PRIMARY KEY (account, survivor)) WITHOUT ROWID;
            BEGIN;
            """
        )

    def close(self) -> None:
        """Forgets everything."""
        self._database.close()

    def see(self, seen: Iterable[Seen]) -> None:
        """Notes where accounts were seen."""
        rows = [(each.account, each.sources, each.seq) for each in seen]
        self._write(
            "INSERT INTO accounts VALUES (?, ?, ?) ON CONFLICT (account) DO UPDATE SET"
            " sources = sources | excluded.sources, seq = max(seq, excluded.seq)",
            rows,
        )

    def use(self, uses: Iterable[tuple[Key, Use]]) -> None:
        """Notes entries that carry keys."""
        rows = [(str(key), _micros(use.at), use.account, use.seq, use.is_refused) for key, use in uses]
        self._write("INSERT INTO uses VALUES (?, ?, ?, ?, ?)", rows)

    def remember(self, memories: Iterable[tuple[Key, Memory]]) -> None:
        """Notes what is remembered of keys."""
        rows = [
            (
                str(key),
                _micros(each.at),
                each.account,
                each.seq_seen,
                each.seq,
                each.is_refused,
                each.has_waited,
                each.expires_at and _micros(each.expires_at),
            )
            for key, each in memories
        ]
        self._write("INSERT INTO memories VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def merge(self, account: str, survivor: str) -> None:
        """Notes that an account was merged into another at some time."""
        self._write("INSERT OR IGNORE INTO merges VALUES (?, ?)", [(account, survivor)])

    def survivors(self, account: str) -> set[str]:
        """The accounts that one was ever merged into."""
        with self._lock:
            found = self._database.execute("SELECT survivor FROM merges WHERE account = ?", (account,)).fetchall()
        return {survivor for (survivor,) in found}

    def count(self, table: str) -> int:
        """Rows of `accounts` or `uses`."""
        with self._lock:
            (count,) = self._database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 (our own names)
        return int(count)

    def accounts(self) -> Iterator[Seen]:
        """All accounts that were seen."""
        return (Seen(*row) for row in self._rows("SELECT account, sources, seq FROM accounts ORDER BY account"))

    def by_key(self) -> Iterator[tuple[Key, list[Use], Memory | None]]:
        """All keys, each with its entries, oldest first, and with what is remembered of it."""
        uses = self._rows("SELECT key, 0, at, account, seq, is_refused FROM uses ORDER BY key, at, account, seq")
        memories = self._rows(
            "SELECT key, 1, at, account, seq_seen, seq, is_refused, has_waited, expires_at FROM memories ORDER BY key"
        )
        for text, rows in groupby(merge(uses, memories, key=lambda row: row[:2]), key=lambda row: row[0]):
            source, _, value = text.partition(":")
            used: list[Use] = []
            memory = None
            for _, is_memory, at, account, *more in rows:
                if is_memory:
                    seq_seen, seq, is_refused, has_waited, expires_at = more
                    ends = None if expires_at is None else _instant(expires_at)
                    memory = Memory(account, _instant(at), seq_seen, seq, bool(is_refused), bool(has_waited), ends)
                else:
                    used.append(Use(account, more[0], _instant(at), bool(more[1])))
            yield Key(source, value), used, memory

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._lock:
            self._database.executemany(statement, rows)

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        cursor = self._database.cursor()
        with self._lock:
            cursor.execute(query)
        while True:
            with self._lock:
                rows = cursor.fetchmany(_BATCH)
            if not rows:
                return
            yield from rows


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime.resolution


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _instant(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


# --- auditing ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What was checked, and what came of it. `unfinished` are claims so young that their entries may be on their way."""

    accounts: int = 0
    records: int = 0
    entries: int = 0
    keys: int = 0
    findings: int = 0
    unfinished: int = 0


@dataclass(slots=True)
class Watcher:
    """Whom an audit tells: of findings as they are found, and of how far it is (what is done, and of how many, if known)."""

    found: Callable[[Finding], None]
    advanced: Callable[[str, int, int | None], None] = lambda stage, done, total: None


class Audit:
    """One run over a table. `now` is the moment at which it starts; `zones` are those of the program's published versions."""

    def __init__(
        self, source: Source, watcher: Watcher, *, zones: tuple[ZoneInfo, ...], now: datetime, grace: timedelta
    ) -> None:
        self.tally = Tally()
        self._source = source
        self._watcher = watcher
        self._zones = zones
        self._now = now
        self._grace = grace
        self._facts = Facts()
        self._lock = threading.Lock()
        self._is_whole = False

    def accounts(self, accounts: Sequence[str], *, claims: bool) -> Tally:
        """Checks these accounts: their logs, that no key is booked twice in them, and, with `claims`, that their keys are
        claimed for them. Raises `NoSuchAccount` for one of which there is nothing."""
        self._read(map(Seen, accounts), total=len(accounts))
        known = self._facts.by_key()
        self._compare(
            ((key, uses, self._source.memory(key)) for key, uses, _ in known) if claims else known, with_memories=claims
        )
        return self.tally

    def everything(self) -> Tally:
        """Checks the whole table: every log, every key and every claim, the directory, and that nothing else is there."""
        self._is_whole = True
        self._scan()
        self._read(self._facts.accounts(), total=self._facts.count("accounts"))
        self._compare(map(self._again, self._facts.by_key()), with_memories=True)
        return self.tally

    def _scan(self) -> None:
        """Notes what the table holds beside the logs, and of which accounts there is anything."""
        seen: dict[tuple[str, int], int] = {}
        memories: list[tuple[Key, Memory]] = []
        done = 0

        def note() -> None:
            self._facts.see(Seen(account, source, seq) for (account, source), seq in seen.items())
            self._facts.remember(memories)
            self._watcher.advanced("reading the table", done, None)
            seen.clear()
            memories.clear()

        for item in self._source.everything():
            done += 1
            pk, sk = item["PK"]["S"], item["SK"]["S"]
            kind = kind_of(item)
            if kind in ("claim", "return"):
                try:
                    known = _memory(item)
                except Exception as error:  # what somebody tampered with can fail in any way
                    why = f"The {kind} {sk} cannot be read ({type(error).__name__}: {error})."
                    self._found(Finding(pk, 0, Code.UNREADABLE, why))
                    continue
                if known is not None:
                    memories.append(known)
                    memory = known[1]
                    if memory.account:
                        place = (memory.account, _IN_CLAIM)
                        seen[place] = max(seen.get(place, 0), memory.seq_seen, memory.seq)
            elif kind == "directory":
                seen[sk, _IN_DIRECTORY] = 0
            elif pk.startswith(keys.account("")):
                # Strays are told of where its log is read.
                place = (pk[2:], _IN_PARTITION)
                seen[place] = max(seen.get(place, 0), int(sk[2:12]) if kind == "end" else 0)
            elif kind is None:
                self._found(Finding(pk, 0, Code.STRAY_ITEM, f"Nothing of the program writes an item {sk!r} here."))
            if len(seen) + len(memories) >= _BATCH:
                note()
        note()

    def _again(self, known: tuple[Key, list[Use], Memory | None]) -> tuple[Key, list[Use], Memory | None]:
        """What is known of a key. Its claim may have been written after the table was read to that place, before its entry."""
        key, uses, memory = known
        if memory is None and uses and key.is_for_ever and key.campaign is None:
            memory = self._source.memory(key)
        return key, uses, memory

    def _read(self, seen: Iterable[Seen], *, total: int) -> None:
        """Checks the logs of accounts, several at a time."""
        reading: deque[Future[tuple[int, int]]] = deque()

        def finish() -> None:
            records, entries = reading.popleft().result()
            self.tally.accounts += 1
            self.tally.records += records
            self.tally.entries += entries
            self._watcher.advanced("checking accounts", self.tally.accounts, total)

        with ThreadPoolExecutor(_READERS, thread_name_prefix="audit") as pool:
            for each in seen:
                reading.append(pool.submit(self._log, each))
                if len(reading) > 2 * _READERS:
                    finish()
            while reading:
                finish()

    def _log(self, seen: Seen) -> tuple[int, int]:
        """Checks one account; how many records and entries it has."""
        account = seen.account
        replay, links = Replay(account, self._zones), Chain(account)
        uses: list[tuple[Key, Use]] = []
        is_there, is_new, records, entries = bool(seen.sources & ~_IN_CLAIM), False, 0, 0
        for item in self._source.partition(account):
            is_there = True
            kind = kind_of(item)
            if kind is None:
                sk = item["SK"]["S"]
                self._found(Finding(account, 0, Code.STRAY_ITEM, f"Nothing of the program writes an item {sk!r} here."))
            if kind != _RECORD:
                continue
            records += 1
            record, found = links.read(item)
            if record is None:
                self._found(*found, *replay.lose(keys.sequence(item["SK"]["S"])))
                continue
            is_new = is_new or (record.seq == 1 and record.state.at > self._now - _NEW)
            entries += len(record.entries)
            self._found(*found, *replay.follow(record), *self._peers(record, replay.rolled))
            for entry in record.entries:
                if entry.key is not None:
                    is_refused = entry.kind is EntryKind.REFUSED
                    uses.append((entry.key, Use(account, record.seq, entry.at, is_refused)))
                if entry.kind is EntryKind.MERGED and entry.peer is not None:
                    self._facts.merge(account, entry.peer[0])
            if len(uses) >= _BATCH:
                self._facts.use(uses)
                uses.clear()
        self._facts.use(uses)
        self._found(*self._around(seen, replay.seq, is_there=is_there, is_new=is_new))
        return records, entries

    def _peers(self, record: Record, rolled: Sequence[int | None]) -> Iterator[Finding]:
        for entry, rolling in zip(record.entries, rolled, strict=True):
            if verification.has_peer(entry):
                other = self._source.record(*entry.peer) if entry.peer is not None else None
                yield from verification.check_peer(record, entry, other, rolling=rolling)

    def _around(self, seen: Seen, seq: int, *, is_there: bool, is_new: bool) -> Iterator[Finding]:
        """What the rest of the table says of an account whose log ends at `seq`."""
        account = seen.account
        if not seq and is_there:
            yield Finding(account, 0, Code.LOG_MISSING, "The account has no record.")
        elif not seq and not seen.sources:
            raise NoSuchAccount(account)
        elif seen.seq > seq:
            message = f"Somebody saw record {seen.seq} of this log, which " + (f"ends at {seq}." if seq else "is gone.")
            yield Finding(account, seq + 1, Code.LOG_TRUNCATED, message)
        if seq and seen.sources and not seen.sources & _IN_DIRECTORY and not is_new:
            yield Finding(account, 0, Code.DIRECTORY_MISSING, "The directory of members does not know the account.")

    def _compare(self, known: Iterable[tuple[Key, list[Use], Memory | None]], *, with_memories: bool) -> None:
        """Compares keys with each other, and with what is remembered of them."""
        for key, uses, memory in known:
            self.tally.keys += 1
            self._found(*verification.check_uses(key, uses))
            if with_memories:
                judged = verification.check_memory(
                    key, uses, memory, now=self._now, grace=self._grace, lives_on=self._lives_on
                )
                self._found(*judged.found)
                self.tally.unfinished += judged.is_unfinished
            if not self.tally.keys % _BATCH:
                self._watcher.advanced("comparing keys", self.tally.keys, None)

    def _lives_on(self, account: str, other: str) -> bool:
        """Whether an account was ever merged into another, or into one that was."""
        known, waiting = {account}, [account]
        while waiting:
            for survivor in self._survivors(waiting.pop()) - known:
                if survivor == other:
                    return True
                known.add(survivor)
                waiting.append(survivor)
        return False

    def _survivors(self, account: str) -> set[str]:
        # Where only some logs are read, this may be another one.
        return self._facts.survivors(account) if self._is_whole else self._source.survivors(account)

    def _found(self, *findings: Finding) -> None:
        with self._lock:
            for finding in findings:
                self.tally.findings += 1
                self._watcher.found(finding)
