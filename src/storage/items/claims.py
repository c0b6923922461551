"""K, R, C: what keys remember, returns beside their purchases, and how redemptions ended."""

import json
import zlib
from datetime import UTC, datetime
from typing import Any

from pynamodb.attributes import Attribute, BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.constants import LIST, STRING

from domain.entries import Basket, BasketLine, Claim, End, Money, PurchaseReturn, Reversal
from domain.refusals import Refusal
from storage import keys
from storage.items.attributes import InstantAttribute
from storage.items.records import KIND_OF, KINDS
from storage.items.row import Item, Row
from storage.items.strings import instant_of, key_of, millis, refusal_of, refusal_texts

# Below this many bytes zlib only adds its header.
_COMPRESS_ABOVE = 120


class QuantitiesAttribute(Attribute[dict[int, int]]):
    """Quantities by basket line: `0*2 3*1`."""

    attr_type = STRING

    def serialize(self, value: dict[int, int]) -> str:
        return " ".join(f"{line}*{quantity}" for line, quantity in value.items())

    def deserialize(self, value: str) -> dict[int, int]:
        parts = (part.split("*") for part in value.split())
        return {int(line): int(quantity) for line, quantity in parts}


class ReversalAttribute(Attribute[Reversal]):
    """What a return came to: amount, and points taken, owed and written off: `1290 10 2 0`."""

    attr_type = STRING

    def serialize(self, value: Reversal) -> str:
        return f"{value.amount_minor} {value.taken} {value.debt} {value.written_off}"

    def deserialize(self, value: str) -> Reversal:
        return Reversal(*map(int, value.split()))


class ClosingsAttribute(Attribute[tuple[tuple[str, int], ...]]):
    """Sequences of closing records and their accounts: `17@01J… 3@01K…`."""

    attr_type = STRING

    def serialize(self, value: tuple[tuple[str, int], ...]) -> str:
        return " ".join(f"{seq}@{account}" for account, seq in value)

    def deserialize(self, value: str) -> tuple[tuple[str, int], ...]:
        parts = (part.partition("@") for part in value.split())
        return tuple((account, int(seq)) for seq, _, account in parts)


class BasketAttribute(Attribute[Basket]):
    """A basket as JSON, compressed when that is shorter (then the first byte is 0x78, which JSON never starts with)."""

    attr_type = "B"

    def serialize(self, value: Basket) -> bytes:
        document = [
            millis(value.occurred_at),
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
            occurred_at=instant_of(occurred),
            total=Money(amount, currency),
            location=location,
            channel=channel,
            lines=tuple(BasketLine(*line) for line in lines),
        )


class RefusalAttribute(Attribute[Refusal]):
    """A recorded refusal: code, message and field path."""

    attr_type = LIST

    def serialize(self, value: Refusal) -> list[Any]:
        return refusal_texts(value)

    def deserialize(self, value: list[Any]) -> Refusal:
        return refusal_of(value)


class ClaimRow(Row):
    """K: the memory of a key."""

    account = UnicodeAttribute(attr_name="a", null=True)
    seq_seen = NumberAttribute(attr_name="s", null=True)
    # A claim that only waits for its purchase has none: conditions ask for it.
    fingerprint = BinaryAttribute(attr_name="f", null=True, legacy_encoding=False)
    at = InstantAttribute(attr_name="at")
    basket = BasketAttribute(attr_name="d", null=True)
    refusal = RefusalAttribute(attr_name="r", null=True)
    had_returns = NumberAttribute(attr_name="w", null=True)
    followed = ClosingsAttribute(attr_name="p", null=True)
    ttl = NumberAttribute(attr_name="ttl", null=True)


class ReturnRow(Row):
    """R: a return, beside the claim of its purchase."""

    fingerprint = BinaryAttribute(attr_name="f", legacy_encoding=False)
    at = InstantAttribute(attr_name="at")
    lines = QuantitiesAttribute(attr_name="l", null=True)
    amount_minor = NumberAttribute(attr_name="m", null=True)
    currency = UnicodeAttribute(attr_name="cu", null=True)
    occurred_at = InstantAttribute(attr_name="oc", null=True)
    reason = UnicodeAttribute(attr_name="rs", null=True)
    member = UnicodeAttribute(attr_name="w", null=True)
    account = UnicodeAttribute(attr_name="a", null=True)
    seq = NumberAttribute(attr_name="s", null=True)
    reversal = ReversalAttribute(attr_name="p", null=True)
    refusal = RefusalAttribute(attr_name="r", null=True)


class EndRow(Row):
    """C: how a redemption ended."""

    kind = UnicodeAttribute(attr_name="k")
    key = UnicodeAttribute(attr_name="i")
    at = InstantAttribute(attr_name="at")


def claim_item(claim: Claim) -> Item:
    """A claim as its item."""
    return ClaimRow(
        keys.claim(claim.key),
        keys.CLAIM,
        account=claim.account or None,
        seq_seen=claim.seq_seen or None,
        fingerprint=claim.fingerprint or None,
        at=claim.at,
        basket=claim.basket,
        refusal=claim.refusal,
        had_returns=1 if claim.had_returns else None,
        followed=claim.followed or None,
        ttl=int(claim.expires_at.timestamp()) if claim.expires_at else None,
    ).serialize()


def claim_from(item: Item) -> Claim:
    """The claim of an item."""
    row = ClaimRow.from_raw_data(item)
    return Claim(
        key=key_of(row.pk[2:]),
        account=row.account or "",
        seq_seen=int(row.seq_seen or 0),
        fingerprint=row.fingerprint or b"",
        at=row.at,
        basket=row.basket,
        refusal=row.refusal,
        expires_at=datetime.fromtimestamp(int(row.ttl), UTC) if row.ttl else None,
        had_returns=bool(row.had_returns),
        followed=row.followed or (),
    )


def return_item(booked: PurchaseReturn) -> Item:
    """A return as its item."""
    return ReturnRow(
        keys.claim(booked.purchase),
        keys.purchase_return(booked.id),
        fingerprint=booked.fingerprint,
        at=booked.at,
        lines=booked.lines or None,
        amount_minor=booked.amount_minor,
        currency=booked.currency,
        occurred_at=booked.occurred_at,
        reason=booked.reason,
        member=booked.member or None,
        account=booked.account or None,
        seq=booked.seq or None,
        reversal=booked.reversal,
        refusal=booked.refusal,
    ).serialize()


def return_from(item: Item) -> PurchaseReturn:
    """The return of an item."""
    row = ReturnRow.from_raw_data(item)
    return PurchaseReturn(
        purchase=key_of(row.pk[2:]),
        id=row.sk[2:],
        fingerprint=row.fingerprint,
        at=row.at,
        lines=row.lines or {},
        amount_minor=None if row.amount_minor is None else int(row.amount_minor),
        currency=row.currency,
        occurred_at=row.occurred_at,
        reason=row.reason,
        member=row.member or "",
        account=row.account or "",
        seq=int(row.seq or 0),
        reversal=row.reversal,
        refusal=row.refusal,
    )


def end_item(end: End) -> Item:
    """The end of a redemption as its item."""
    return EndRow(
        keys.account(end.account), keys.end(end.seq, end.index), kind=KINDS[end.kind], key=str(end.key), at=end.at
    ).serialize()


def end_from(item: Item) -> End:
    """The end of a redemption of an item."""
    row = EndRow.from_raw_data(item)
    seq, _, index = row.sk[2:].partition(".")
    return End(row.pk[2:], int(seq), int(index), KIND_OF[row.kind], key_of(row.key), row.at)
