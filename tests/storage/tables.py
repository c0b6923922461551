"""Tables of these tests: a fresh one for each, with everything in it to look at."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import uuid4

import boto3
from botocore.awsrequest import AWSResponse
from pynamodb.connection import Connection

from domain import limits
from domain.entries import Claim, End, Key, Note, PurchaseReturn, Record
from domain.members import Profile
from domain.notices import Notice
from storage import audit, chain, items, keys
from storage.items import Item
from storage.memory import Memory
from storage.table import Table
from tests.domain.world import at
from tests.engines import Engine, create_table

# A table forgets by the clock on the wall, whatever the program's clock says: DynamoDB Local deletes what is past its TTL
# within seconds. So these tests live in a time that no machine they run on will see.
NOW = at("2090-01-10")

PEPPER = b"pepper of thirty-two characters!"
SHARDS = 4


@dataclass(frozen=True)
class Tables:
    """One table: the store on it, and boto's own client to look past the store."""

    name: str
    client: Any
    connection: Connection

    @property
    def store(self) -> Table:
        return Table(self.connection, self.name, pepper=PEPPER, shards=SHARDS)

    def items(self) -> list[Item]:
        """Every item, in no order."""
        pages = self.client.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def contents(self) -> dict[tuple[str, str], Item]:
        """Every item by its key."""
        return {(item["PK"]["S"], item["SK"]["S"]): item for item in self.items()}


def connect(engine: Engine, **more: Any) -> Connection:
    """A connection with the time-outs and retries of the deployed one."""
    return Connection(
        region=engine.region,
        host=engine.endpoint_url,
        connect_timeout_seconds=1,
        read_timeout_seconds=10,
        retry_configuration={"total_max_attempts": 4, "mode": "standard"},
        aws_access_key_id=engine.access_key,
        aws_secret_access_key="local",
        **more,
    )


@cache
def client_of(engine: Engine) -> Any:
    return boto3.client("dynamodb", **engine.client_kwargs)


@cache
def connection_of(engine: Engine) -> Connection:
    return connect(engine)


def fresh_table(engine: Engine, connection: Connection | None = None) -> Tables:
    """A table of its own; with a connection of its own where a test tampers with that."""
    name = f"table-{uuid4()}"
    create_table(client_of(engine), name)
    return Tables(name, client_of(engine), connection or connection_of(engine))


# --- all that a store holds, in the domain's words --------------------------------------------------------------------


@dataclass(frozen=True)
class Everything:
    """A store's contents, comparable between stores. Look-ups stand under their hashed key; one that was given up is none."""

    logs: Mapping[str, tuple[Record, ...]]
    claims: Mapping[Key, Claim]
    profiles: Mapping[str, Profile]
    lookups: Mapping[str, str]
    returns: Mapping[tuple[Key, str], PurchaseReturn]
    ends: Mapping[tuple[str, int, int], End]
    notes: Mapping[tuple[str, bytes], Note]
    notices: Mapping[tuple[str, int, str], Notice]
    due: frozenset[tuple[int, str]]
    directory: frozenset[str]


def all_of(place: Memory | Tables) -> Everything:
    return all_of_memory(place) if isinstance(place, Memory) else all_of_table(place)


def all_of_memory(store: Memory) -> Everything:
    return Everything(
        logs={account: tuple(log) for account, log in store._logs.items() if log},
        claims={key: comparable(claim) for key, claim in store._claims.items()},
        profiles=dict(store._profiles),
        lookups={keys.lookup(each.kind, each.value, PEPPER): account for each, account in store._lookups.items()},
        returns=dict(store._returns),
        ends=dict(store._ends),
        notes=dict(store._notes),
        notices={(account, *place): each for account, given in store._notices.items() for place, each in given.items()},
        due=frozenset(store.due),
        directory=frozenset(store._profiles),
    )


def all_of_table(tables: Tables) -> Everything:
    """Reads the raw items; an item of no known kind is an error, and so is a record that breaks its account's chain."""
    logs: dict[str, tuple[Record, ...]] = {}
    claims: dict[Key, Claim] = {}
    profiles: dict[str, Profile] = {}
    lookups: dict[str, str] = {}
    returns: dict[tuple[Key, str], PurchaseReturn] = {}
    ends: dict[tuple[str, int, int], End] = {}
    notes: dict[tuple[str, bytes], Note] = {}
    notices: dict[tuple[str, int, str], Notice] = {}
    due: set[tuple[int, str]] = set()
    directory: set[str] = set()
    for (pk, sk), item in sorted(tables.contents().items()):
        match pk.split("#")[0], sk.split("#")[0]:
            case "M", "E":
                record = items.record_from(item)
                log = logs.get(record.account, ())
                assert record.hash == chain.hash_of(item, log[-1].hash if log else b""), (
                    f"the chain breaks at {pk} {sk}"
                )
                logs[record.account] = (*log, record)
            case "M", "P":
                profiles[pk[2:]] = items.profile_from(item)
            case "M", "C":
                end = items.end_from(item)
                ends[end.account, end.seq, end.index] = end
            case "M", "A" if sk.startswith("A#M#"):
                notice = items.notice_from(item)
                notices[pk[2:], notice.day, notice.about] = notice
                assert int(item["ttl"]["N"]) == int((notice.at + limits.NOTICE_RETENTION).timestamp())
            case "M", "A":
                note = items.note_from(item)
                notes[pk[2:], note.digest] = note
            case "K", "K":
                claim = items.claim_from(item)
                claims[claim.key] = comparable(claim)
            case "K", "R":
                booked = items.return_from(item)
                returns[booked.purchase, booked.id] = booked
            case "U", "U" if "a" in item:
                assert "ttl" not in item, "TTL would take away a look-up that is somebody's"
                lookups[pk] = item["a"]["S"]
            case "U", "U":
                # Given up, and forgotten by the clock on the wall.
                left = int(item["ttl"]["N"]) - time.time()
                assert 0 < left <= limits.LOOKUP_RETENTION.total_seconds()
            case "D", _ if sk.startswith(keys.DUE_MANY):
                _, day, shard = pk.split("#")
                for account in items.due_many_from(item):
                    assert int(shard) == keys.shard(account, SHARDS)
                    due.add((int(day), account))
            case "D", _:
                _, day, shard = pk.split("#")
                assert int(shard) == keys.shard(sk, SHARDS)
                due.add((int(day), sk))
            case "DIR", _:
                assert pk == keys.directory(keys.shard(sk, SHARDS))
                directory.add(sk)
            case "CMP" | "CMPK", _:
                # What campaigns have there is read through their own store.
                assert audit.kind_of(item) is not None
            case _:
                raise AssertionError(f"an item of no known kind: {item}")
    return Everything(
        logs, claims, profiles, lookups, returns, ends, notes, notices, frozenset(due), frozenset(directory)
    )


def comparable(claim: Claim) -> Claim:
    """A claim with its end by the second: TTL knows no finer."""
    return replace(claim, expires_at=claim.expires_at and claim.expires_at.replace(microsecond=0))


# --- sizes ------------------------------------------------------------------------------------------------------------


def item_bytes(item: Item) -> int:
    """The size DynamoDB bills: names and values in UTF-8, a number about half a byte a digit, 3 bytes a list or map and 1
    for each element (AWS: "DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "B":
            return len(bytes(content))
        case "N":
            digits = str(content).lstrip("-").replace(".", "").strip("0")
            return (len(digits) + 1) // 2 + 1 + str(content).startswith("-")
        case "L":
            return 3 + sum(1 + _value_bytes(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_bytes(each) for name, each in content.items())
    return 1


# --- answers that no local engine gives -------------------------------------------------------------------------------


class _Body:
    """A response's body as botocore reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> list[bytes]:
        return [self._content]


def answer(status: int, body: bytes) -> AWSResponse:
    """What AWS would have answered; for a `before-send` hook of a client."""
    return AWSResponse("http://stub", status, {"content-type": "application/x-amz-json-1.0"}, _Body(body))
