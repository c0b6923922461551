"""Purchases on their way to a worker: the messages of a submission, each one purchase under a seal."""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain import access, limits
from domain.access import Role
from domain.entries import Basket, BasketLine, Money
from domain.members import Lookup
from domain.messages import Poison, parsed
from domain.purchases import Receipt
from domain.store import Store

# Hexadecimal digits of a submission's id: 128 bits are not met twice.
ID_LENGTH = 32
_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}", re.ASCII)


class NotAPurchase(Poison):
    """A message that no submission has sent, or that was altered since; the text says what is wrong with it.

    `submission` and `index` are the purchase it claims to be, where that can be read.
    """

    def __init__(self, message: str, *, submission: str = "", index: int = -1) -> None:
        super().__init__(message)
        self.submission = submission
        self.index = index


@dataclass(frozen=True, slots=True)
class Queued:
    """A purchase on its way to a worker: the `index`-th of its submission, which was sent by the wall's clock at `sent_at`."""

    submission: str
    index: int
    sent_at: datetime
    receipt: Receipt

    @property
    def order(self) -> tuple[datetime, str, int]:
        """Sorts purchases as they were submitted."""
        return self.sent_at, self.submission, self.index


_VERSION = 1


def message(store: Store, queued: Queued) -> str:
    """The message that holds a purchase, sealed: nobody but the program can write one, or change it."""
    receipt, basket = queued.receipt, queued.receipt.basket
    values = {
        "v": _VERSION,
        "submission": queued.submission,
        "index": queued.index,
        "sent_at": queued.sent_at.isoformat(),
        "role": receipt.actor.role.value,
        "subject": receipt.actor.subject,
        "asked_at": receipt.asked_at.isoformat(),
        "source": receipt.source,
        "external_id": receipt.external_id,
        "member": [receipt.member.kind, receipt.member.value],
        "occurred_at": basket.occurred_at.isoformat(),
        "is_dated": receipt.is_dated,
        "total": [basket.total.amount_minor, basket.total.currency],
        "location": basket.location,
        "channel": basket.channel,
        "lines": [[line.sku, line.category, line.quantity, line.amount_minor] for line in basket.lines],
    }
    return _text(values | {"seal": _seal(store, values)})


def queued_from(store: Store, text: str) -> Queued:
    """The purchase that a message holds. Raises `NotAPurchase` for any other text."""
    try:
        values: Any = parsed(text)
        seal = values.pop("seal", None) if isinstance(values, dict) else None
        own = _seal(store, values) if isinstance(values, dict) else ""
    except ValueError:
        raise NotAPurchase("it is not JSON") from None
    if not isinstance(values, dict):
        raise NotAPurchase("it is not an object")
    submission, index = values.get("submission"), values.get("index")
    if not isinstance(submission, str) or not _ID.fullmatch(submission):
        raise NotAPurchase("it names no submission")
    # bool is an int to Python, not to a submission.
    if type(index) is not int or not 0 <= index < limits.SUBMISSION_PURCHASES_MAX:
        raise NotAPurchase("it names no purchase of its submission")

    def wrong(what: str) -> NotAPurchase:
        return NotAPurchase(what, submission=submission, index=index)

    if values.get("v") != _VERSION:
        raise wrong(f"it is not of version {_VERSION}")
    if not isinstance(seal, str) or not hmac.compare_digest(seal.encode("utf-8", "surrogatepass"), own.encode()):
        raise wrong("it was altered, or written by somebody else")
    return Queued(submission, index, datetime.fromisoformat(values["sent_at"]), _receipt_from(values))


def _receipt_from(values: Mapping[str, Any]) -> Receipt:
    basket = Basket(
        datetime.fromisoformat(values["occurred_at"]),
        Money(*values["total"]),
        values["location"],
        values["channel"],
        tuple(BasketLine(*line) for line in values["lines"]),
    )
    # Whoever records purchases names members by what they are found by: neither an issuer nor scopes matter for that.
    by = access.actor(Role(values["role"]), issuer="", subject=values["subject"])
    asked_at = datetime.fromisoformat(values["asked_at"])
    member = Lookup(*values["member"])
    return Receipt(by, values["source"], values["external_id"], member, basket, asked_at, values["is_dated"])


def _text(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    # A queue takes what XML takes: all that a JSON text may hold unescaped, but these two.
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _seal(store: Store, values: Mapping[str, Any]) -> str:
    # Not the text of a fingerprint, which is made with the same secret.
    return store.digest(b"message " + _text(values).encode("utf-8", "surrogatepass"))[:16].hex()
