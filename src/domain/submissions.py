"""Submissions: many purchases in one call, queued first and booked soon.

What is wrong with a purchase by itself is said at once; the others go out as a message each, and a worker books those of one
member together (domain/groups.py). A submission is written down before the first message goes out, so nothing is queued that
nobody can ask for, and sent again under its key it queues the same purchases again, which is harmless: a purchase is booked once.

What became of each is read from the ledger. Only what leaves nothing there is noted beside the submission: a refusal of the
worker's, and why a message was given up.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Protocol

from domain import ledger, limits, purchases, queued
from domain.access import Actor
from domain.entries import Basket, Claim, Key, caller_key
from domain.ledger import Outcome, Trail
from domain.members import Lookup
from domain.programs import Program
from domain.purchases import Receipt, Recorded
from domain.queued import Queued
from domain.refusals import IdempotencyKeyReused, InvalidText, OutcomeUnknown, Refusal, require_text
from domain.store import Store


class NoPurchases(Refusal):
    """A submission without a purchase."""


class SubmissionTooLarge(Refusal):
    """Numbers and names of the purchases come to more than `limits.SUBMISSION_BYTES_MAX`."""


class SubmittedTooLongAgo(Refusal):
    """A purchase was queued for longer than `limits.QUEUED_AGE_MAX`."""


SUBMIT_REFUSALS: tuple[type[Refusal], ...] = (InvalidText, NoPurchases, SubmissionTooLarge, IdempotencyKeyReused)
# Of one purchase of a submission.
ITEM_REFUSALS: tuple[type[Refusal], ...] = (*purchases.RECORD_REFUSALS, SubmittedTooLongAgo)


@dataclass(frozen=True, slots=True)
class Item:
    """A purchase as a submission keeps it: its names, the beginning of its fingerprint, and the refusal it was given at once.

    The names are None where they were what was refused.
    """

    source: str | None
    external_id: str | None
    fingerprint: bytes = b""
    refusal: Refusal | None = None

    @property
    def key(self) -> Key:
        """The purchase's key. Only of one that was accepted."""
        assert self.source is not None
        assert self.external_id is not None
        return Key(self.source, self.external_id)


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission as it was received: by the program's clock at `submitted_at`, by the one on the wall at `sent_at`."""

    id: str
    fingerprint: bytes
    actor: str
    submitted_at: datetime
    sent_at: datetime
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """What the worker has to say of a purchase that is not in the ledger: its refusal, or why its message was given up."""

    index: int
    refusal: Refusal | None = None
    failure: str | None = None


class SubmissionKnown(Exception):
    """There is a submission with this id already. Nothing was written."""

    def __init__(self, submission: Submission) -> None:
        super().__init__(submission.id)
        self.submission = submission


class Submissions(Protocol):
    """What submissions need of a store, each forgotten after `limits.SUBMISSION_RETENTION`. Every read is strong.

    Any method may refuse `OutcomeUnknown`.
    """

    def keep(self, submission: Submission) -> None:
        """Writes a new submission. Raises `SubmissionKnown`."""

    def find(self, submission_id: str) -> Submission | None:
        """A submission."""

    def mark_sent(self, submission: Submission) -> None:
        """Writes that the queue has every message of it."""

    def was_sent(self, submission_id: str) -> bool:
        """Whether that was written."""

    def note(self, submission_id: str, note: Note, *, at: datetime) -> None:
        """Notes a refusal, or a failure, at a time on the wall; the first one of each kind of a purchase stays."""

    def notes(self, submission_id: str) -> Sequence[Note]:
        """All that was noted about the purchases of a submission."""


# --- submitting -------------------------------------------------------------------------------------------------------


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

    A purchase is refused at once for what `purchases.record` can refuse without looking anywhere, with the path of its own
    input. `send` returns when the queue has them all, and refuses `OutcomeUnknown`; the same call again then queues what is
    missing. `now` is the program's clock, `wall` the one by which messages grow old.

    Refuses, in this order: `InvalidText` for the key, `NoPurchases`, `SubmissionTooLarge`, `IdempotencyKeyReused`,
    `OutcomeUnknown`.
    """
    key = require_text(idempotency_key, field=("input", "idempotencyKey"), length_max=limits.KEY_LENGTH_MAX)
    assert len(offers) <= limits.SUBMISSION_PURCHASES_MAX, "the API takes no longer list"
    if not offers:
        raise NoPurchases("Submit at least one purchase.", field=("input", "purchases"))
    fingerprint = ledger.fingerprint(store, "purchasesSubmit", *map(_facts, offers))
    submission_id = hashlib.sha256(f"submission:{caller_key(actor.id, key)}".encode()).hexdigest()[: queued.ID_LENGTH]
    known = submissions.find(submission_id)
    if known is None:
        items = tuple(
            _item(store, program, index, offer, _receipt(offer, actor, at=now)) for index, offer in enumerate(offers)
        )
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
        if submissions.was_sent(submission_id):
            return Submitted(submission, replayed=True)
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


def _item(store: Store, program: Program, index: int, offer: Offer, receipt: Receipt | Refusal) -> Item:
    try:
        if isinstance(receipt, Refusal):
            raise receipt
        purchases.require_acceptable(program, receipt)
    except Refusal as refusal:
        try:
            key = purchases.key_of(offer.source, offer.external_id)
        except InvalidText:
            return Item(None, None, refusal=placed(refusal, index))
        return Item(key.source, key.value, refusal=placed(refusal, index))
    fingerprint = purchases.fingerprint_of(store, receipt)[: limits.SUBMISSION_FINGERPRINT_BYTES]
    return Item(receipt.source, receipt.external_id, fingerprint)


def placed(refusal: Refusal, index: int) -> Refusal:
    """The refusal of a purchase with the path that its input has in a submission."""
    moved = type(refusal)(refusal.message, field=_path(refusal.field, index))
    moved.replayed = refusal.replayed
    return moved


def _path(field: tuple[str, ...], index: int) -> tuple[str, ...]:
    return ("input", "purchases", str(index), *field[1:])


def _bytes_of(items: Iterable[Item]) -> int:
    texts = (
        (
            each.source or "",
            each.external_id or "",
            *((each.refusal.message, *each.refusal.field) if each.refusal else ()),
        )
        for each in items
    )
    return sum(len(text.encode()) for part in texts for text in part)


# --- booking ----------------------------------------------------------------------------------------------------------


def book(
    submissions: Submissions,
    store: Store,
    program: Program,
    waiting: Sequence[Queued],
    *,
    now: datetime,
    wall: datetime,
    has_time: Callable[[], bool] = lambda: True,
) -> list[Recorded | Refusal]:
    """Books queued purchases; any of them may come again, late, or out of order. What is refused for good is noted.

    `OutcomeUnknown` among the answers says that nothing is certain of that purchase, and its message has to come again; so it
    is with whatever has not begun when `has_time` ends. Refuses `SubmittedTooLongAgo`, by the clock on the wall, and what
    `purchases.record` refuses.
    """
    too_old = SubmittedTooLongAgo(f"It was queued for more than {limits.QUEUED_AGE_MAX.days} days.", field=("input",))
    timely = [index for index, each in enumerate(waiting) if wall - each.sent_at <= limits.QUEUED_AGE_MAX]
    receipts = [waiting[index].receipt for index in timely]
    booked = purchases.record_each(store, program, receipts, now=now, has_time=has_time)
    answers: list[Recorded | Refusal] = [too_old] * len(waiting)
    for index, answer in zip(timely, booked, strict=True):
        answers[index] = answer
    for place, (each, answer) in enumerate(zip(waiting, answers, strict=True)):
        if isinstance(answer, Refusal) and not isinstance(answer, OutcomeUnknown):
            try:
                submissions.note(each.submission, Note(each.index, placed(answer, each.index)), at=wall)
            except OutcomeUnknown as unknown:
                answers[place] = unknown
    return answers


def give_up(submissions: Submissions, submission_id: str, index: int, failure: str, *, wall: datetime) -> None:
    """Notes why the message of a purchase will not come again by itself. Refuses `OutcomeUnknown`."""
    submissions.note(submission_id, Note(index, failure=failure), at=wall)


# --- looking ----------------------------------------------------------------------------------------------------------


class Status(Enum):
    """What became of a purchase that was submitted."""

    ACCEPTED = "ACCEPTED"
    APPLIED = "APPLIED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Standing:
    """A purchase of a submission as it stands now: `claim` and `outcome` of one that is applied, or why it is not."""

    index: int
    item: Item
    status: Status
    claim: Claim | None = None
    outcome: Outcome | None = None
    refusal: Refusal | None = None
    failure: str | None = None


def standing(submissions: Submissions, store: Store, submission: Submission, indexes: Iterable[int]) -> list[Standing]:
    """What became of some purchases of a submission: what the ledger says goes before what was noted.

    Reads the notes once, the claims, and the records right behind what those had seen; and on in the log of an account for what
    does not stand there.
    """
    chosen = list(indexes)
    noted = {(note.index, note.refusal is None): note for note in submissions.notes(submission.id)}
    asked = {index: item.key for index in chosen if (item := submission.items[index]).refusal is None}
    known = store.claims(asked.values())
    # One that is parked has no fingerprint; one of another input under the same key has another.
    claims = {
        index: known[key]
        for index, key in asked.items()
        if key in known and known[key].fingerprint.startswith(submission.items[index].fingerprint)
    }
    outcomes = _outcomes(store, claims.values())
    return [_standing(index, submission.items[index], claims.get(index), outcomes, noted) for index in chosen]


def tally(submissions: Submissions, store: Store, submission: Submission) -> Counter[Status]:
    """How many purchases of a submission stand how. Reads as `standing` does, of all of them."""
    places = range(len(submission.items))
    return Counter(each.status for each in standing(submissions, store, submission, places))


def _outcomes(store: Store, claims: Iterable[Claim]) -> dict[Key, Outcome]:
    """Where the entries of claimed keys stand. Those that were claimed together are looked for together."""
    together: dict[tuple[str, int, object], dict[Key, Claim]] = {}
    for claim in claims:
        if claim.refusal is None:
            together.setdefault((claim.account, claim.seq_seen, claim.followed), {})[claim.key] = claim
    # Where nobody else has written to the account meanwhile, they stand right behind what their claims had seen.
    records = store.records({(account, seq + 1) for account, seq, _ in together})
    found: dict[Key, Outcome] = {}
    for (account, seq, _), keys in together.items():
        record = records.get((account, seq + 1))
        if record is None:
            # Nothing stands behind them: their worker is at it, or died.
            continue
        for index, entry in enumerate(record.entries):
            if entry.key is not None and entry.key in keys:
                found[entry.key] = Outcome(record, index, replayed=True)
        missing = {key: claim for key, claim in keys.items() if key not in found}
        if missing:
            found |= Trail(store, next(iter(missing.values()))).find_each(missing, to_head=False)
    return found


def _standing(
    index: int,
    item: Item,
    claim: Claim | None,
    outcomes: Mapping[Key, Outcome],
    noted: Mapping[tuple[int, bool], Note],
) -> Standing:
    if item.refusal is not None:
        return Standing(index, item, Status.REFUSED, refusal=item.refusal)
    outcome = outcomes.get(item.key) if claim is not None else None
    refusal = (claim.refusal if claim is not None else None) or (outcome.entry.refusal if outcome is not None else None)
    if refusal is not None:
        return Standing(index, item, Status.REFUSED, refusal=placed(refusal, index))
    if outcome is not None:
        return Standing(index, item, Status.APPLIED, claim, outcome)
    refused, failed = noted.get((index, False)), noted.get((index, True))
    if refused is not None:
        return Standing(index, item, Status.REFUSED, refusal=refused.refusal)
    if failed is not None:
        return Standing(index, item, Status.FAILED, failure=failed.failure)
    return Standing(index, item, Status.ACCEPTED)
