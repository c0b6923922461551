"""The yardstick: what one would write by hand for one program, with boto3 and nothing else.

A purchase and the home screen with the same DynamoDB calls, the same items and the same answers as Regulars, and what has to
be right about them: who may ask, input that makes no sense, points that expired meanwhile, a tier that is reached or kept, a
purchase sent twice, a cursor that cannot be made up. It understands two operations, no GraphQL, and knows the terms by heart.
Moments that come once in a membership it only notices: the members of the bench have had theirs. `bench.warm` asserts that
answers and items are those of Regulars.
"""

import gc

# Like handlers/graphql.py.
gc.disable()

import base64  # noqa: E402
import calendar  # noqa: E402
import hashlib  # noqa: E402
import hmac  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import time  # noqa: E402
import zlib  # noqa: E402
from datetime import UTC, date, datetime, timedelta  # noqa: E402
from typing import Any  # noqa: E402
from zoneinfo import ZoneInfo  # noqa: E402

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402

TABLE = os.environ["REGULARS_TABLE"]
SECRET = os.environ["REGULARS_SECRET"].encode()
SHARDS = int(os.environ["REGULARS_SHARDS"])
ACCOUNT_CLAIM = os.environ["REGULARS_ACCOUNT_CLAIM"]
CURSOR_KEY = hmac.digest(SECRET, b"cursors", "sha256")
ZONE = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
MILLISECOND = timedelta(milliseconds=1)
NEVER = 10_000_000
TYPES = {
    "J": "EnrollmentEntry",
    "P": "PurchaseEntry",
    "R": "RedemptionEntry",
    "A": "AdjustmentEntry",
    "X": "ExpiryEntry",
    "T": "TierEntry",
    "S": "BonusEntry",
}
# Tiers by the points of a calendar year, lowest first.
GRACE_DAYS = 14
LADDER = (("nest", 0), ("branch", 400), ("sky", 1_200))
PUT_IF_NEW: dict[str, Any] = {
    "ConditionExpression": "attribute_not_exists(PK)",
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}

# The settings of Regulars' own client, parameter validation included: the ratio is about us, not about botocore's switches.
dynamodb = boto3.client(
    "dynamodb",
    config=Config(
        parameter_validation=False,
        connect_timeout=1,
        read_timeout=2,
        max_pool_connections=10,
        retries={"total_max_attempts": 4, "mode": "standard"},
    ),
)
_catalog: tuple[float, dict[str, Any]] | None = None


class BadRequest(Exception):
    """The request is refused with this message."""


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """An HTTP API event in, a JSON answer out."""
    answer: dict[str, Any]
    try:
        claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
        body = event["body"]
        request = json.loads(base64.b64decode(body) if event["isBase64Encoded"] else body)
        if request["operationName"] == "Purchase":
            data = {"purchaseRecord": purchase(claims, request["variables"]["input"])}
        elif request["operationName"] == "Home":
            data = home(claims)
        else:
            raise BadRequest("unknown operation")
        status, answer = 200, {"data": data}
    except (BadRequest, KeyError, TypeError, ValueError) as error:
        status, answer = 400, {"errors": [{"message": str(error)}]}
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"},
        "body": json.dumps(answer, separators=(",", ":"), ensure_ascii=False),
        "isBase64Encoded": False,
    }


# --- a purchase -------------------------------------------------------------------------------------------------------


def purchase(claims: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """Books a purchase once."""
    if "regulars/purchases" not in claims["scope"].split():
        raise BadRequest("forbidden")
    total, lines = sent["total"], sent.get("lines", [])
    amount, currency = total["amountMinor"], total["currency"]
    source, external_id = text(sent["source"], 64), text(sent["externalId"], 256)
    location, channel = label(sent.get("location")), label(sent.get("channel"))
    whole(amount, 10**12)
    if currency != "USD" or len(lines) > 200:
        raise BadRequest("currency or lines")
    for line in lines:
        whole(line["amountMinor"], 10**12)
        whole(line["quantity"], 10**6)
        label(line.get("sku"))
        label(line.get("category"))
    if lines and sum(line["amountMinor"] for line in lines) != amount:
        raise BadRequest("the lines do not add up")
    now = datetime.now(UTC)
    occurred_at = datetime.fromisoformat(sent["occurredAt"]).astimezone(UTC)
    occurred_at = occurred_at.replace(microsecond=occurred_at.microsecond // 1_000 * 1_000)
    if not now - timedelta(days=400) <= occurred_at <= now + timedelta(minutes=5):
        raise BadRequest("occurredAt")

    external = sent["member"]["externalId"]
    digest = hmac.new(SECRET, f"external#{external}".encode(), hashlib.sha256).hexdigest()
    lookup = dynamodb.get_item(
        TableName=TABLE, Key={"PK": {"S": f"U#external#{digest}"}, "SK": {"S": "U"}}, ConsistentRead=False
    )
    account = lookup["Item"]["a"]["S"]
    head = dynamodb.query(
        TableName=TABLE,
        KeyConditionExpression="PK = :p AND SK BETWEEN :a AND :z",
        ExpressionAttributeValues={
            ":p": {"S": f"M#{account}"},
            ":a": {"S": "E#0000000000"},
            ":z": {"S": "E#9999999999"},
        },
        Limit=1,
        ConsistentRead=False,
        ScanIndexForward=False,
    )["Items"][0]
    seq = int(head["SK"]["S"][2:])
    buckets = buckets_of(head)
    at = max(millis(now), int(head["e"]["L"][-1]["M"]["t"]["N"]))
    entries = expire(buckets, at)

    points = amount // 100
    key = f"{source}:{external_id}"
    today, bought = day_of(at), day_of(millis(occurred_at))
    moved, notes = [], []
    if points:
        expires = expiry(occurred_at)
        if expires not in buckets:
            notes.append(expires)
        buckets[expires] = buckets.get(expires, 0) + points
        moved.append(f"{expires}{points:+d}")
    balance = sum(buckets.values())
    marks = marks_of(head)
    new_marks = {"purchases": marks.get("purchases", 0) + 1}
    if min(bought, today) > marks.get("active", 0):
        new_marks["active"] = min(bought, today)
    marks |= new_marks
    if marks["purchases"] == 3 or (balance >= 1_000 and "m.vip" not in marks):
        raise BadRequest("a moment of a young membership")
    entry: dict[str, Any] = {
        "k": {"S": "P"},
        "t": {"N": str(at)},
        "b": {"N": str(balance)},
        "x": {"S": f"base={points}@{amount}"},
        "i": {"S": key},
        "o": {"N": str(millis(occurred_at))},
        "m": {"S": f"{amount}{currency}"},
        "v": {"N": "1"},
        "mk": {"S": named(new_marks)},
        "u": {"S": f"p.{claims['client_id']}"},
    }
    if moved:
        entry["l"] = {"S": " ".join(moved)}
    if location:
        entry["lo"] = {"S": location}
    if channel:
        entry["ch"] = {"S": channel}
    entries.append({"M": entry})
    counted, tier = buckets_of(head, "q"), head.get("t", {}).get("S")
    if points:
        period = first_month(bought)
        entry["q"] = {"S": f"{period}:{points}"}
        counted[period] = counted.get(period, 0) + points
        better = risen(tier, counted, {period, first_month(today)}, today)
        if better is not None:
            tier, why, amount_counted = better
            until = int(tier.split(":")[1])
            notes.append(until)
            entries.append(
                {
                    "M": {
                        "k": {"S": "T"},
                        "t": {"N": str(at)},
                        "b": {"N": str(balance)},
                        "x": {"S": f"tier:{tier.split(':')[0]}:{why}=0@{amount_counted}"},
                        "ti": {"S": tier},
                    }
                }
            )
    record: dict[str, Any] = {
        "PK": {"S": f"M#{account}"},
        "SK": {"S": f"E#{seq + 1:010d}"},
        "e": {"L": entries},
        "c": {"S": named(marks)},
    }
    if counted:
        record["q"] = {"S": " ".join(f"{month}+{held}" for month, held in sorted(counted.items()))}
    if tier:
        record["t"] = {"S": tier}
    if buckets:
        record["b"] = {"S": " ".join(f"{day}+{held}" for day, held in sorted(buckets.items()))}
    record["h"] = {"B": chained(record, head["h"]["B"])}

    rows = [[line.get("sku"), line.get("category"), line["quantity"], line["amountMinor"]] for line in lines]
    facts = ["purchaseRecord", "external", external, amount, currency, occurred_at.isoformat(), location, channel, rows]
    fingerprint = hmac.digest(SECRET, json.dumps(facts, separators=(",", ":")).encode(), "sha256")[:16]
    document = [millis(occurred_at), amount, currency, location, channel, rows]
    plain = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    claim = {
        "PK": {"S": f"K#{key}"},
        "SK": {"S": "K"},
        "a": {"S": account},
        "s": {"N": str(seq)},
        "f": {"B": fingerprint},
        "at": {"N": str(millis(now))},
        "d": {"B": zlib.compress(plain) if len(plain) > 120 else plain},
    }
    replayed = False
    try:
        dynamodb.put_item(TableName=TABLE, Item=claim, **PUT_IF_NEW)
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        entry, replayed = recorded(error.response["Item"], account, fingerprint, key), True
    else:
        for day in sorted(notes):
            dynamodb.put_item(TableName=TABLE, Item=due_row(account, day))
        try:
            dynamodb.put_item(TableName=TABLE, Item=record, **PUT_IF_NEW)
        except dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise BadRequest("busy, try again") from error
    return {
        "purchase": {"id": global_id("Purchase", key)},
        "entry": {
            "points": points_of(entry),
            "balanceAfter": int(entry["b"]["N"]),
            "explanation": explanation(entry),
        },
        "replayed": replayed,
        "userErrors": [],
    }


def recorded(claim: dict[str, Any], account: str, fingerprint: bytes, key: str) -> dict[str, Any]:
    """The entry that an earlier call has written."""
    if claim["a"]["S"] != account or bytes(claim["f"]["B"]) != fingerprint:
        raise BadRequest("key reused")
    found = dynamodb.query(
        TableName=TABLE,
        KeyConditionExpression="PK = :p AND SK BETWEEN :a AND :z",
        ExpressionAttributeValues={
            ":p": {"S": f"M#{account}"},
            ":a": {"S": f"E#{int(claim['s']['N']) + 1:010d}"},
            ":z": {"S": "E#9999999999"},
        },
        Limit=100,
        ConsistentRead=True,
    )["Items"]
    for item in found:
        for element in item["e"]["L"]:
            entry: dict[str, Any] = element["M"]
            if entry.get("i", {}).get("S") == key:
                return entry
    raise BadRequest("busy, try again")


def chained(record: dict[str, Any], prior: bytes) -> bytes:
    """The hash that chains a record to the one before."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(prior + canonical.encode()).digest()[:16]


def due_row(account: str, day: int) -> dict[str, Any]:
    """The note that something expires on a day."""
    shard = zlib.crc32(account.encode()) % SHARDS
    on = date.fromordinal(day + EPOCH_ORDINAL)
    ttl = int((datetime(on.year, on.month, on.day, tzinfo=UTC) + timedelta(days=60)).timestamp())
    return {"PK": {"S": f"D#{day}#{shard}"}, "SK": {"S": account}, "ttl": {"N": str(ttl)}}


# --- the home screen --------------------------------------------------------------------------------------------------


def home(claims: dict[str, Any]) -> dict[str, Any]:
    """Who the member is, the account, the ten newest entries, and the rewards."""
    account = claims[ACCOUNT_CLAIM]
    found = dynamodb.query(
        TableName=TABLE,
        KeyConditionExpression="PK = :p AND SK >= :a",
        ExpressionAttributeValues={":p": {"S": f"M#{account}"}, ":a": {"S": "E#0000000000"}},
        Limit=12,
        ConsistentRead=False,
        ScanIndexForward=False,
    )["Items"]
    profile, records = found[0], found[1:]
    buckets = buckets_of(records[0])
    late = expire(buckets, millis(datetime.now(UTC)))
    seq = int(records[0]["SK"]["S"][2:])
    shown = [(seq + 1, index, element["M"]) for index, element in reversed(list(enumerate(late)))]
    for record in records:
        seq = int(record["SK"]["S"][2:])
        elements = record["e"]["L"]
        shown += [(seq, index, elements[index]["M"]) for index in range(len(elements) - 1, -1, -1)]
    edges = [edge(account, *each) for each in shown[:10]]
    rewards = catalog()["document"]["rewards"]
    return {
        "viewer": {
            "id": global_id("Member", account),
            "name": profile.get("nm", {}).get("S"),
            "account": {
                "balance": sum(buckets.values()),
                "pending": 0,
                "expiring": [
                    {"on": date.fromordinal(day + EPOCH_ORDINAL).isoformat(), "points": points}
                    for day, points in buckets.items()
                    if day < NEVER
                ],
            },
            "entries": {
                "edges": edges,
                "pageInfo": {"hasNextPage": len(shown) > 10, "endCursor": edges[-1]["cursor"]},
            },
        },
        "rewards": {
            "edges": [
                {"node": {"id": global_id("Reward", each["id"]), "name": each["name"], "cost": each["cost"]}}
                for each in rewards
            ]
        },
    }


def edge(account: str, seq: int, index: int, entry: dict[str, Any]) -> dict[str, Any]:
    """One entry of the list."""
    return {
        "node": {
            "__typename": TYPES[entry["k"]["S"]],
            "id": global_id("Entry", f"{account}:{seq}:{index}"),
            "at": (EPOCH + int(entry["t"]["N"]) * MILLISECOND)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "points": points_of(entry),
            "balanceAfter": int(entry["b"]["N"]),
            "explanation": explanation(entry),
        },
        "cursor": cursor(account, f"{seq}.{index}"),
    }


def cursor(account: str, position: str) -> str:
    """A place in the list that only we can have made up."""
    signature = hmac.new(CURSOR_KEY, f"entries:{account}\0{position}".encode(), hashlib.sha256).digest()[:9]
    return base64.urlsafe_b64encode(signature + position.encode()).decode().rstrip("=")


def catalog() -> dict[str, Any]:
    """The program, at most 30 s old."""
    global _catalog  # noqa: PLW0603
    if _catalog is None or time.monotonic() - _catalog[0] > 30:
        found = dynamodb.query(
            TableName=TABLE,
            KeyConditionExpression="PK = :p AND begins_with(SK, :v)",
            ExpressionAttributeValues={":p": {"S": "CFG"}, ":v": {"S": "V#"}},
            Limit=1,
            ScanIndexForward=False,
        )["Items"]
        _catalog = time.monotonic(), json.loads(found[0]["doc"]["S"])
    return _catalog[1]


# --- both -------------------------------------------------------------------------------------------------------------


def buckets_of(record: dict[str, Any], attribute: str = "b") -> dict[int, int]:
    """Points by expiry day, or (`q`) what counts for tiers by the first month of a year."""
    if attribute not in record:
        return {}
    pairs = (part.split("+") for part in record[attribute]["S"].split())
    return {int(day): int(points) for day, points in pairs}


def marks_of(record: dict[str, Any]) -> dict[str, int]:
    """Named numbers."""
    pairs = (part.split("=") for part in record["c"]["S"].split()) if "c" in record else ()
    return {name: int(value) for name, value in pairs}


def named(marks: dict[str, int]) -> str:
    """Named numbers as a text."""
    return " ".join(f"{name}={value}" for name, value in sorted(marks.items()))


def risen(tier: str | None, counted: dict[int, int], periods: set[int], today: int) -> tuple[str, str, int] | None:
    """A better tier by what counts in some years, if there is one, why it is better, and what counted for it."""
    ranks = {name: rank for rank, (name, _) in enumerate(LADDER)}
    name, until, _ = tier.split(":") if tier else (LADDER[0][0], "0", "")
    held = ranks[name], int(until)
    found = []
    for period in periods:
        amount = counted.get(period, 0)
        rank = max(rank for rank, (_, threshold) in enumerate(LADDER) if threshold <= amount)
        ends = date(period // 12 + 2, 1, GRACE_DAYS).toordinal() - EPOCH_ORDINAL
        if rank and ends >= today:
            found.append((rank, ends, amount))
    if not found or max(found)[:2] <= held:
        return None
    rank, ends, amount = max(found)
    if rank > held[0]:
        raise BadRequest("a moment of a young membership")
    return f"{LADDER[rank][0]}:{ends}:E", "kept", amount


def day_of(at: int) -> int:
    """The day of an instant, counted from 1970."""
    return (EPOCH + at * MILLISECOND).astimezone(ZONE).toordinal() - EPOCH_ORDINAL


def first_month(day: int) -> int:
    """The first month of a day's year, counted from the year 0."""
    return date.fromordinal(day + EPOCH_ORDINAL).year * 12


def expire(buckets: dict[int, int], at: int) -> list[dict[str, Any]]:
    """Takes out of the buckets what has expired by `at`; the entries that say so, oldest first."""
    today = day_of(at)
    entries = []
    for day in [day for day in buckets if day < today]:
        points = buckets.pop(day)
        after = date.fromordinal(day + 1 + EPOCH_ORDINAL)
        gone_at = millis(datetime(after.year, after.month, after.day, tzinfo=ZONE).astimezone(UTC))
        entry = {
            "k": {"S": "X"},
            "t": {"N": str(gone_at)},
            "b": {"N": str(sum(buckets.values()))},
            "l": {"S": f"{day}-{points}"},
            "x": {"S": f"expiry={-points}"},
        }
        entries.append({"M": entry})
    return entries


def expiry(occurred_at: datetime) -> int:
    """24 months later, to the end of the month."""
    earned = occurred_at.astimezone(ZONE).date()
    year = earned.year + 2
    last = date(year, earned.month, calendar.monthrange(year, earned.month)[1])
    return last.toordinal() - EPOCH_ORDINAL


def points_of(entry: dict[str, Any]) -> int:
    """What an entry changed."""
    points = 0
    for part in entry["l"]["S"].split() if "l" in entry else ():
        points += int(part[max(part.rfind("+"), part.rfind("-")) :])
    return points


def explanation(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Why."""
    told = []
    for part in entry["x"]["S"].split() if "x" in entry else ():
        rule, _, numbers = part.partition("=")
        told.append({"rule": rule, "points": int(numbers.partition("@")[0])})
    return told


def global_id(kind: str, key: str) -> str:
    """An id that tells what it is the id of."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("=")


def millis(instant: datetime) -> int:
    """Milliseconds since the epoch, exactly."""
    return (instant - EPOCH) // MILLISECOND


def text(value: str, length_max: int) -> str:
    """A printable text."""
    value = value.strip()
    if not 1 <= len(value) <= length_max or not value.isprintable():
        raise BadRequest("text")
    return value


def label(value: str | None) -> str | None:
    """A short text, or none."""
    if value is not None:
        text(value, 64)
    return value


def whole(value: int, most: int) -> None:
    """A whole number from 0."""
    if type(value) is not int or not 0 <= value <= most:
        raise BadRequest("number")


gc.enable()
gc.freeze()
