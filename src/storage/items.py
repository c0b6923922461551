"""The items of the table: short attribute names outside, the domain's names inside.

Attribute names are stored in every item and paid for with every write, so they have one to three letters; each model gives them
their names. Numbers that belong together (buckets, lines, explanations) are one readable string, because DynamoDB and its
client charge for structure: `20850+12 20881-3` is +12 points in the bucket of day 20850 and -3 in that of day 20881.
"""

import json
import zlib
from datetime import UTC, datetime
from typing import Any

from pynamodb.attributes import Attribute, BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.constants import LIST, NUMBER, STRING
from pynamodb.models import Model

from domain.accounts import Line, State
from domain.ledger import (
    Basket,
    BasketLine,
    Claim,
    Entry,
    EntryKind,
    Explanation,
    Key,
    Money,
    Record,
)
from domain.members import Profile
from domain.refusals import Refusal
from storage import keys

Item = dict[str, dict[str, Any]]

# Below this many bytes zlib only adds its header.
_COMPRESS_ABOVE = 120


class InstantAttribute(Attribute[datetime]):
    """An aware UTC instant as milliseconds since the epoch."""

    attr_type = NUMBER

    def serialize(self, value: datetime) -> str:
        return str(_millis(value))

    def deserialize(self, value: str) -> datetime:
        return _instant(value)


class BucketsAttribute(Attribute[dict[int, int]]):
    """Points by expiry day: `20850+12 20881+3`."""

    attr_type = STRING

    def serialize(self, value: dict[int, int]) -> str:
        return " ".join(f"{day}+{points}" for day, points in value.items())

    def deserialize(self, value: str) -> dict[int, int]:
        return {line.expires: line.points for line in _lines(value)}


class PendingAttribute(Attribute[dict[tuple[int, int], int]]):
    """Points by maturity and expiry day: `20600.20850+12`."""

    attr_type = STRING

    def serialize(self, value: dict[tuple[int, int], int]) -> str:
        return " ".join(f"{matures}.{expires}+{points}" for (matures, expires), points in value.items())

    def deserialize(self, value: str) -> dict[tuple[int, int], int]:
        return {(line.matures, line.expires): line.points for line in _lines(value)}


class EntriesAttribute(Attribute[tuple[Entry, ...]]):
    """The entries of one record, oldest first, each a map."""

    attr_type = LIST

    def serialize(self, value: tuple[Entry, ...]) -> list[Any]:
        return [{"M": _entry_to_map(entry)} for entry in value]

    def deserialize(self, value: list[Any]) -> tuple[Entry, ...]:
        return tuple(_entry_from_map(element["M"]) for element in value)


class BasketAttribute(Attribute[Basket]):
    """A basket as JSON, compressed when that is shorter (then the first byte is 0x78, which JSON never starts with)."""

    attr_type = "B"

    def serialize(self, value: Basket) -> bytes:
        document = [
            _millis(value.occurred_at),
            value.total.amount_minor,
            value.total.currency,
            value.location,
            value.channel,
            [[line.sku, line.category, line.quantity, line.amount_minor] for line in value.lines],
        ]
        plain = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return zlib.compress(plain) if len(plain) > _COMPRESS_ABOVE else plain

    def deserialize(self, value: bytes) -> Basket:
        plain = zlib.decompress(value) if value[0] == 0x78 else value
        occurred, amount, currency, location, channel, lines = json.loads(plain)
        return Basket(
            occurred_at=_instant(occurred),
            total=Money(amount, currency),
            location=location,
            channel=channel,
            lines=tuple(BasketLine(*line) for line in lines),
        )


class RefusalAttribute(Attribute[Refusal]):
    """A recorded refusal: code, message and field path."""

    attr_type = LIST

    def serialize(self, value: Refusal) -> list[Any]:
        return [{"S": text} for text in (value.code, value.message, *value.field)]

    def deserialize(self, value: list[Any]) -> Refusal:
        code, message, *field = (element["S"] for element in value)
        return Refusal.restore(code, message, tuple(field))


class Row(Model):
    """What every item has. The key's prefix tells the kind of an item; PynamoDB's discriminators are not used."""

    class Meta:
        # Models only translate; `storage.table` holds the connection, so that one process can serve several tables.
        table_name = ""

    pk = UnicodeAttribute(hash_key=True, attr_name="PK")
    sk = UnicodeAttribute(range_key=True, attr_name="SK")


class RecordRow(Row):
    """E: the entries written together, and the whole account after them."""

    entries = EntriesAttribute(attr_name="e")
    buckets = BucketsAttribute(attr_name="b", null=True)
    pending = PendingAttribute(attr_name="p", null=True)


class ProfileRow(Row):
    """P: all personal data of a member."""

    enrolled_at = InstantAttribute(attr_name="at")
    name = UnicodeAttribute(attr_name="nm", null=True)
    external_id = UnicodeAttribute(attr_name="x", null=True)
    email = UnicodeAttribute(attr_name="em", null=True)
    phone = UnicodeAttribute(attr_name="ph", null=True)
    card_number = UnicodeAttribute(attr_name="cd", null=True)


class ClaimRow(Row):
    """K: the memory of a key."""

    account = UnicodeAttribute(attr_name="a")
    seq_seen = NumberAttribute(attr_name="s")
    fingerprint = BinaryAttribute(attr_name="f", legacy_encoding=False)
    at = InstantAttribute(attr_name="at")
    basket = BasketAttribute(attr_name="d", null=True)
    refusal = RefusalAttribute(attr_name="r", null=True)
    ttl = NumberAttribute(attr_name="ttl", null=True)


class LookupRow(Row):
    """U: the account a unique value leads to."""

    account = UnicodeAttribute(attr_name="a")


class DueRow(Row):
    """D: an account has something happening on a day."""

    ttl = NumberAttribute(attr_name="ttl")


class ProgramRow(Row):
    """CFG: one published version of the program, as a JSON document."""

    document = UnicodeAttribute(attr_name="doc")


def record_item(record: Record) -> Item:
    """A record as its item. Empty pots are left out."""
    row = RecordRow(keys.account(record.account), keys.entry(record.seq))
    row.entries = record.entries
    row.buckets = record.state.buckets or None
    row.pending = record.state.pending or None
    return row.serialize()


def record_from(item: Item) -> Record:
    """The record of an item. The state's time is that of its last entry: a record ends where its entries end."""
    row = RecordRow.from_raw_data(item)
    state = State(at=row.entries[-1].at, buckets=row.buckets or {}, pending=row.pending or {})
    return Record(row.pk[2:], keys.sequence(row.sk), row.entries, state)


def profile_item(account: str, profile: Profile) -> Item:
    """A profile as its item."""
    return ProfileRow(
        keys.account(account),
        keys.PROFILE,
        enrolled_at=profile.enrolled_at,
        name=profile.name,
        external_id=profile.external_id,
        email=profile.email,
        phone=profile.phone,
        card_number=profile.card_number,
    ).serialize()


def profile_from(item: Item) -> Profile:
    """The profile of an item."""
    row = ProfileRow.from_raw_data(item)
    return Profile(
        enrolled_at=row.enrolled_at,
        name=row.name,
        external_id=row.external_id,
        email=row.email,
        phone=row.phone,
        card_number=row.card_number,
    )


def claim_item(claim: Claim) -> Item:
    """A claim as its item."""
    return ClaimRow(
        keys.claim(claim.key),
        keys.CLAIM,
        account=claim.account,
        seq_seen=claim.seq_seen,
        fingerprint=claim.fingerprint,
        at=claim.at,
        basket=claim.basket,
        refusal=claim.refusal,
        ttl=int(claim.expires_at.timestamp()) if claim.expires_at else None,
    ).serialize()


def claim_from(item: Item) -> Claim:
    """The claim of an item."""
    row = ClaimRow.from_raw_data(item)
    return Claim(
        key=_key(row.pk[2:]),
        account=row.account,
        seq_seen=int(row.seq_seen),
        fingerprint=row.fingerprint,
        at=row.at,
        basket=row.basket,
        refusal=row.refusal,
        expires_at=datetime.fromtimestamp(int(row.ttl), UTC) if row.ttl else None,
    )


def _millis(instant: datetime) -> int:
    # Exact: timestamp() would go through a float.
    return (instant - _EPOCH) // _MILLISECOND


def _instant(millis: str | int) -> datetime:
    return _EPOCH + int(millis) * _MILLISECOND


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = datetime.resolution * 1_000


def _line_text(line: Line) -> str:
    bucket = f"{line.matures}.{line.expires}" if line.matures else str(line.expires)
    return f"{bucket}{line.points:+d}"


def _lines(text: str) -> list[Line]:
    lines = []
    for part in text.split():
        at = max(part.rfind("+"), part.rfind("-"))
        bucket, points = part[:at], int(part[at:])
        matures, dot, expires = bucket.partition(".")
        lines.append(Line(int(expires), points, int(matures)) if dot else Line(int(bucket), points))
    return lines


def _explanation_text(explanation: Explanation) -> str:
    basis = "" if explanation.basis is None else f"@{explanation.basis}"
    return f"{explanation.rule}={explanation.points}{basis}"


def _explanation(text: str) -> Explanation:
    rule, _, numbers = text.partition("=")
    points, at, basis = numbers.partition("@")
    return Explanation(rule, int(points), int(basis) if at else None)


def _key(text: str) -> Key:
    source, _, value = text.partition(":")
    return Key(source, value)


# One letter a kind; never re-used, because entries are for ever.
_KINDS = {
    EntryKind.ENROLLMENT: "J",
    EntryKind.PURCHASE: "P",
    EntryKind.REDEMPTION: "R",
    EntryKind.ADJUSTMENT: "A",
    EntryKind.MATURITY: "M",
    EntryKind.EXPIRY: "X",
}
_KIND_OF = {letter: kind for kind, letter in _KINDS.items()}


def _entry_to_map(entry: Entry) -> Item:
    fields: Item = {
        "k": {"S": _KINDS[entry.kind]},
        "t": {"N": str(_millis(entry.at))},
        "b": {"N": str(entry.balance_after)},
    }
    if entry.lines:
        fields["l"] = {"S": " ".join(map(_line_text, entry.lines))}
    if entry.explanation:
        fields["x"] = {"S": " ".join(map(_explanation_text, entry.explanation))}
    if entry.key is not None:
        fields["i"] = {"S": str(entry.key)}
    if entry.occurred_at is not None:
        fields["o"] = {"N": str(_millis(entry.occurred_at))}
    if entry.total is not None:
        fields["m"] = {"S": f"{entry.total.amount_minor}{entry.total.currency}"}
    if entry.reward is not None:
        fields["w"] = {"S": f"{entry.reward[1]}#{entry.reward[0]}"}
    if entry.terms is not None:
        fields["v"] = {"N": str(entry.terms)}
    for name, text in (
        ("u", entry.actor),
        ("lo", entry.location),
        ("ch", entry.channel),
        ("c", entry.code),
        ("rs", entry.reason),
    ):
        if text is not None:
            fields[name] = {"S": text}
    return fields


def _entry_from_map(fields: Item) -> Entry:
    def text(name: str) -> str | None:
        value = fields.get(name)
        return value["S"] if value else None

    occurred, money, reward, terms = fields.get("o"), text("m"), text("w"), fields.get("v")
    lines, explanation, key = text("l"), text("x"), text("i")
    version, _, reward_id = (reward or "").partition("#")
    return Entry(
        kind=_KIND_OF[fields["k"]["S"]],
        at=_instant(fields["t"]["N"]),
        lines=tuple(_lines(lines)) if lines else (),
        balance_after=int(fields["b"]["N"]),
        explanation=tuple(map(_explanation, explanation.split())) if explanation else (),
        key=_key(key) if key else None,
        actor=text("u"),
        occurred_at=_instant(occurred["N"]) if occurred else None,
        total=Money(int(money[:-3]), money[-3:]) if money else None,
        location=text("lo"),
        channel=text("ch"),
        reward=(reward_id, int(version)) if reward else None,
        code=text("c"),
        reason=text("rs"),
        terms=int(terms["N"]) if terms else None,
    )
