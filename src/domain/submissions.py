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
    """A purchase was queued for longer than `limits.QUEUED_AGE_MAX`, or is to be queued again so long after it was submitted."""


SUBMIT_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    NoPurchases,
    SubmissionTooLarge,
    IdempotencyKeyReused,
    SubmittedTooLongAgo,
)
# Of one purchase of a submission.
ITEM_REFUSALS: tuple[type[Refusal], ...] = (*purchases.RECORD_REFUSALS, SubmittedTooLongAgo)


@dataclass(frozen=True, slots=True)
class Item:
    """A purchase as a submission keeps it: its names, the beginning of its fingerprint, and the refusal it was given at once.

    The names are None where they were what was refused, and there is a fingerprint where the same input can still be recorded.
    """

    source: str | None
    external_id: str | None
    fingerprint: bytes = b""
    refusal: Refusal | None = None

    @property
    def key(self) -> Key:
        """The purchase's key. Only of one that has a fingerprint."""
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
        """Notes a refusal, or a failure, at a time on the wall: the first refusal of a purchase stays, and the last failure."""

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
        if submissions.was_sent(submission_id):
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
    first: dict[Key, bytes] = {}
    for index, receipt in enumerate(receipts):
        if isinstance(receipt, Refusal):
            refused[index] = receipt
            continue
        key, fingerprint = receipt.key, purchases.fingerprint_of(store, receipt)
        fingerprints[index] = fingerprint[: limits.SUBMISSION_FINGERPRINT_BYTES]
        try:
            purchases.require_acceptable(program, receipt)
            if first.setdefault(key, fingerprint) != fingerprint:
                # Which of two messages comes first is the queue's to say; which of two inputs did, is known here.
                raise ledger.key_reused(key, field="externalId")
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
    """Books queued purchases, in the order in which they were submitted; any of them may come again, late, or after others. What
    is refused for good is noted.

    `OutcomeUnknown` among the answers says that nothing is certain of that purchase, and its message has to come again; so it
    is with whatever has not begun when `has_time` ends. Refuses `SubmittedTooLongAgo`, by the clock on the wall, and what
    `purchases.record` refuses.
    """
    too_old = SubmittedTooLongAgo(f"It was queued for more than {limits.QUEUED_AGE_MAX.days} days.", field=("input",))
    timely = [index for index, each in enumerate(waiting) if wall - each.sent_at <= limits.QUEUED_AGE_MAX]
    timely.sort(key=lambda index: waiting[index].order)
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
    """Notes why the message of a purchase will not come again by itself; said again, the last word stays. Refuses
    `OutcomeUnknown`."""
    submissions.note(submission_id, Note(index, failure=failure), at=wall)


# --- looking ----------------------------------------------------------------------------------------------------------


class Status(Enum):
    """What became of a purchase that was submitted."""

    ACCEPTED = "ACCEPTED"
    APPLIED = "APPLIED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


# Of what was neither booked nor refused, and of which no worker could say that it gave up.
_GONE = f"It was submitted more than {limits.QUEUED_AGE_MAX.days} days ago: its message is gone. Submit it under another key."


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


def standing(
    submissions: Submissions, store: Store, submission: Submission, indexes: Iterable[int], *, wall: datetime
) -> list[Standing]:
    """What became of some purchases of a submission: what the ledger says goes before what was noted, and what it has booked
    goes before what was refused at once. What nobody has said anything of has failed when, at `wall`, its message is so old that
    no worker would take it.

    Reads the notes once, the claims, and the records right behind what those had seen; and on in the log of an account for what
    does not stand there.
    """
    chosen = list(indexes)
    noted = {(note.index, note.refusal is None): note for note in submissions.notes(submission.id)}
    asked = {index: item.key for index in chosen if (item := submission.items[index]).fingerprint}
    known = store.claims(asked.values())
    # One that is parked has no fingerprint; one of another input under the same key has another.
    claims = {
        index: known[key]
        for index, key in asked.items()
        if key in known and known[key].fingerprint.startswith(submission.items[index].fingerprint)
    }
    outcomes = _outcomes(store, claims.values())
    is_over = wall - submission.sent_at > limits.QUEUED_AGE_MAX
    return [
        _standing(index, submission.items[index], claims.get(index), outcomes, noted, is_over=is_over)
        for index in chosen
    ]


def tally(submissions: Submissions, store: Store, submission: Submission, *, wall: datetime) -> Counter[Status]:
    """How many purchases of a submission stand how. Reads as `standing` does, of all of them."""
    places = range(len(submission.items))
    return Counter(each.status for each in standing(submissions, store, submission, places, wall=wall))


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
    *,
    is_over: bool,
) -> Standing:
    outcome = outcomes.get(item.key) if claim is not None else None
    if item.refusal is not None and (outcome is None or outcome.entry.refusal is not None):
        return Standing(index, item, Status.REFUSED, refusal=item.refusal)
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
    if is_over:
        return Standing(index, item, Status.FAILED, failure=_GONE)
    return Standing(index, item, Status.ACCEPTED)
