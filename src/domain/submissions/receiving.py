"""Receiving a submission: what is wrong with a purchase by itself is said at once, and the others are queued."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from domain import ledger, limits, purchases, queued
from domain.access import Actor
from domain.entries import Basket, Key, caller_key
from domain.members import Lookup
from domain.programs import Program
from domain.purchases import Receipt
from domain.queued import Queued
from domain.refusals import IdempotencyKeyReused, InvalidText, Refusal, require_text
from domain.store import Store
from domain.submissions.kept import Item, Submission, SubmissionKnown, Submissions, SubmittedTooLongAgo, placed


class NoPurchases(Refusal):
    """A submission without a purchase."""


class SubmissionTooLarge(Refusal):
    """Numbers and names of the purchases come to more than `limits.SUBMISSION_BYTES_MAX`."""


SUBMIT_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    NoPurchases,
    SubmissionTooLarge,
    IdempotencyKeyReused,
    SubmittedTooLongAgo,
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A purchase as it came in, before anybody looked at it; `member` is the refusal of a name that can be nobody's."""

    source: str
    external_id: str
    member: Lookup | Refusal
    basket: Basket
    is_dated: bool


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission as just received, or as received by an earlier call with the same key (`replayed`)."""

    submission: Submission
    replayed: bool


def submit(
    submissions: Submissions,
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    offers: Sequence[Offer],
    now: datetime,
    wall: datetime,
    send: Callable[[Sequence[str]], None],
) -> Submitted:
    """Receives up to `limits.SUBMISSION_PURCHASES_MAX` purchases and has `send` queue a message for each that is acceptable.

    A purchase is refused at once for what `purchases.record` can refuse by its input, with the path of its own input, and for
    another input under the key of one before it; but where something was recorded under its key already, that decides, as it
    does for `purchases.record`. `send` returns when the queue has them all, and refuses `OutcomeUnknown`; the same call again
    then queues what is missing. `now` is the program's clock, `wall` the one by which messages grow old.

    Refuses, in this order: `InvalidText` for the key, `NoPurchases`, `SubmissionTooLarge`, `IdempotencyKeyReused`,
    `SubmittedTooLongAgo` when it is so long ago that nobody knows whether it was queued, `OutcomeUnknown`.
    """
    key = require_text(idempotency_key, field=("input", "idempotencyKey"), length_max=limits.KEY_LENGTH_MAX)
    assert len(offers) <= limits.SUBMISSION_PURCHASES_MAX, "the API takes no longer list"
    if not offers:
        raise NoPurchases("Submit at least one purchase.", field=("input", "purchases"))
    fingerprint = ledger.fingerprint(store, "purchasesSubmit", *map(_facts, offers))
    submission_id = hashlib.sha256(f"submission:{caller_key(actor.id, key)}".encode()).hexdigest()[: queued.ID_LENGTH]
    known = submissions.find(submission_id)
    if known is None:
        items = _items(store, program, offers, [_receipt(offer, actor, at=now) for offer in offers])
        if _bytes_of(items) > limits.SUBMISSION_BYTES_MAX:
            raise SubmissionTooLarge(
                f"The numbers of the purchases come to more than {limits.SUBMISSION_BYTES_MAX} bytes; submit them in parts.",
                field=("input", "purchases"),
            )
        submission = Submission(submission_id, fingerprint, actor.id, now, wall, items)
        try:
            submissions.keep(submission)
        except SubmissionKnown as taken:
            known = taken.submission
    if known is not None:
        if known.fingerprint != fingerprint:
            raise IdempotencyKeyReused(
                f"The key {key!r} was used before to submit something else.", field=("input", "idempotencyKey")
            )
        # What was accepted then is accepted, whatever the program and the clock say now.
        submission = known
        if submissions.was_sent(submission):
            return Submitted(submission, replayed=True)
        if wall - submission.sent_at > limits.QUEUED_AGE_MAX:
            # Its messages would be as old as those that were queued at first, and each refused by the worker.
            raise SubmittedTooLongAgo(
                f"This was submitted more than {limits.QUEUED_AGE_MAX.days} days ago, and not all of it was queued. Submit it"
                " again under another key: each purchase is recorded once.",
                field=("input", "idempotencyKey"),
            )
    messages = [
        queued.message(store, Queued(submission_id, index, submission.sent_at, receipt))
        for index, (item, offer) in enumerate(zip(submission.items, offers, strict=True))
        if item.refusal is None
        and not isinstance(receipt := _receipt(offer, actor, at=submission.submitted_at), Refusal)
    ]
    send(messages)
    submissions.mark_sent(submission)
    return Submitted(submission, replayed=known is not None)


def _facts(offer: Offer) -> tuple[object, ...]:
    """What a fingerprint says of a purchase as it was sent."""
    member, basket = offer.member, offer.basket
    return (
        offer.source,
        offer.external_id,
        (member.code, *member.field) if isinstance(member, Refusal) else (member.kind, member.value),
        basket.total.amount_minor,
        basket.total.currency,
        basket.occurred_at.astimezone(UTC).isoformat() if offer.is_dated else None,
        basket.location,
        basket.channel,
        [[line.sku, line.category, line.quantity, line.amount_minor] for line in basket.lines],
    )


def _receipt(offer: Offer, actor: Actor, *, at: datetime) -> Receipt | Refusal:
    """What an offer asks for since `at`, tidied; or what is wrong with it whatever the program says."""
    if isinstance(offer.member, Refusal):
        return offer.member
    basket = offer.basket if offer.is_dated else replace(offer.basket, occurred_at=at)
    try:
        return purchases.tidied(
            Receipt(actor, offer.source, offer.external_id, offer.member, basket, at, offer.is_dated)
        )
    except Refusal as refusal:
        return refusal


def _items(
    store: Store, program: Program, offers: Sequence[Offer], receipts: Sequence[Receipt | Refusal]
) -> tuple[Item, ...]:
    """What a submission keeps of its purchases, each accepted or refused."""
    refused: dict[int, Refusal] = {}
    fingerprints: dict[int, bytes] = {}
    # Of those that are refused, though their like may have been recorded.
    recordable: dict[int, Key] = {}
    first: dict[Key, tuple[bytes, int]] = {}
    for index, receipt in enumerate(receipts):
        if isinstance(receipt, Refusal):
            refused[index] = receipt
            continue
        key, fingerprint = receipt.key, purchases.fingerprint_of(store, receipt)
        fingerprints[index] = fingerprint[: limits.SUBMISSION_FINGERPRINT_BYTES]
        try:
            purchases.require_acceptable(program, receipt)
            begun, before = first.setdefault(key, (fingerprint, index))
            if begun != fingerprint:
                # Which of two messages comes first is the queue's to say; which of two inputs did, is known here.
                raise IdempotencyKeyReused(
                    f"The key {key.value!r} is used by another purchase of this submission, the one at index {before}.",
                    field=("input", "externalId"),
                )
        except Refusal as refusal:
            refused[index], recordable[index] = refusal, key
    known = store.claims(recordable.values()) if recordable else {}
    for index, key in recordable.items():
        if key in known and not known[key].is_parked:
            # What was recorded under the key is told again, whatever the program and the clock say now: the worker finds it.
            del refused[index]
    return tuple(
        _item(index, offer, fingerprints.get(index, b""), refused.get(index)) for index, offer in enumerate(offers)
    )


def _item(index: int, offer: Offer, fingerprint: bytes, refusal: Refusal | None) -> Item:
    try:
        key = purchases.key_of(offer.source, offer.external_id)
    except InvalidText:
        assert refusal is not None, "what cannot be named is refused"
        return Item(None, None, refusal=placed(refusal, index))
    return Item(key.source, key.value, fingerprint, None if refusal is None else placed(refusal, index))


def _bytes_of(items: Sequence[Item]) -> int:
    """What the texts of a submission come to; what the program says of many of them, it is kept as if it were said once."""
    names = [text for each in items for text in (each.source or "", each.external_id or "")]
    said = {text for each in items if each.refusal for text in (each.refusal.message, *each.refusal.field)}
    return sum(len(text.encode()) for text in (*names, *said))
