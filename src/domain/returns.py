"""Returns: what was bought comes back, and the points it had earned go with it, in any number of parts.

A return belongs to its purchase: what it asks for is kept beside the purchase's claim, and written in one transaction with its
entry. Two returns can not both be judged without the other, because each reads all that were booked *after* it has read the
account, and both append to the account's log. A return whose purchase is not known waits beside where its claim will be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from domain import accounts, ledger, limits, members, purchases, reversals
from domain.access import Actor
from domain.entries import Basket, Claim, Key, Money, PurchaseReturn, Record
from domain.ledger import Outcome, Plan, Trail
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.programs import Program, Terms
from domain.purchases import InvalidAmount, InvalidQuantity, TooManyLines
from domain.refusals import (
    IdempotencyKeyReused,
    InvalidText,
    InvalidTime,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
    require_reason,
    require_text,
)
from domain.reversals import CurrencyMismatch, LineNotFound, PurchaseNotFound, ReturnExceedsPurchase
from domain.store import Beside, ClaimTaken, Contended, ReturnTaken, Store


class TooManyReturns(Refusal):
    """The purchase has `limits.RETURNS_MAX` returns, or `limits.RETURNS_PARKED_MAX` that wait for it."""

    final = True


RECORD_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidAmount,
    TooManyLines,
    InvalidQuantity,
    LineNotFound,
    InvalidEmail,
    InvalidPhone,
    IdempotencyKeyReused,
    PurchaseNotFound,
    MemberNotFound,
    InvalidTime,
    CurrencyMismatch,
    TooManyReturns,
    MemberClosed,
    ReturnExceedsPurchase,
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a purchase: quantities of its lines, each named by its number from 1 on, or an amount of its money."""

    lines: Sequence[tuple[int, int]] = ()
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class Returned:
    """A return as it stands: what was asked, and where its entry is; `outcome` is None while it waits for its purchase."""

    asked: PurchaseReturn
    basket: Basket | None
    purchase: Outcome | None
    outcome: Outcome | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class _Request:
    """One call to `record`, its input checked as far as that can be judged by itself."""

    asked: PurchaseReturn
    actor: Actor
    member: Lookup | None
    now: datetime


def record(
    store: Store,
    program: Program,
    terms_of: Callable[[int], Terms],
    *,
    actor: Actor,
    source: str,
    external_id: str,
    return_id: str,
    part: Part | None,
    member: Lookup | None = None,
    occurred_at: datetime | None = None,
    reason: str | None = None,
    now: datetime,
) -> Returned:
    """Takes back the points of `part` of a purchase, or of all that is left of it; `return_id` does so once for the purchase.

    `terms_of` gives the terms of a version: points are taken by those that they were earned under. Whoever names the `member`
    takes back from no other one. A return whose purchase is not known waits for it, and is booked together with it.

    Refuses, in this order: `InvalidText`, `InvalidAmount`, `TooManyLines`, `InvalidQuantity`, `LineNotFound`, `InvalidEmail`,
    `InvalidPhone`, `IdempotencyKeyReused`, `PurchaseNotFound`, `MemberNotFound`, `InvalidTime`, `CurrencyMismatch`,
    `TooManyReturns`, `MemberClosed`, `ReturnExceedsPurchase`, `OutcomeUnknown`. Of a purchase that is not known nobody can say
    whether the return fits it: one that does not is refused when the purchase comes.
    """
    key = purchases.key_of(source, external_id)
    asked = PurchaseReturn(
        purchase=key,
        id=require_text(return_id, field=("input", "returnId"), length_max=limits.RETURN_ID_LENGTH_MAX),
        fingerprint=b"",
        at=now,
        occurred_at=occurred_at,
        reason=None if reason is None else require_reason(reason),
    )
    if part is not None and part.amount is not None:
        amount = _checked(part.amount)
        asked = replace(asked, amount_minor=amount.amount_minor, currency=amount.currency)
    elif part is not None:
        asked = replace(asked, lines=_quantities(part.lines))
    asked = replace(asked, fingerprint=_fingerprint(store, asked, member))
    request = _Request(asked, actor, member, now)
    for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
        try:
            claim = store.claim(key)
            if claim is None or claim.is_parked:
                return _parked(store, request, is_first=claim is None)
            return _booked(store, program, terms_of, request, claim)
        except (Contended, ClaimTaken, ReturnTaken):
            # Somebody else wrote what this was judged on, or the purchase has just come: everything is read again.
            store.pause(attempt)
    raise OutcomeUnknown("The purchase is too busy; whether this happened is unknown. Retry with the same key.")


def of(store: Store, key: Key, purchase: Outcome | None) -> list[PurchaseReturn]:
    """The returns of a purchase that were not refused, oldest first, with what they came to. `purchase` is where its entry
    stands; while that is nowhere yet, its returns still wait."""
    known = store.returns(key)
    settled = known if purchase is None else reversals.resolved(known, purchase.record)
    return [each for each in settled if each.refusal is None]


def entry_of(store: Store, booked: PurchaseReturn) -> Outcome:
    """Where the entry of a booked return stands."""
    (found,) = store.records_after(booked.account, booked.seq - 1, limit=1)
    return _within(found, booked.key)


def _booked(
    store: Store, program: Program, terms_of: Callable[[int], Terms], request: _Request, claim: Claim
) -> Returned:
    """The return of a purchase whose claim is complete."""
    asked, now = request.asked, request.now
    refused = PurchaseNotFound("This purchase was refused.", field=("input", "externalId"))
    if claim.refusal is not None:
        raise refused
    purchase = Trail(store, claim).find(claim.key)
    if purchase is None:
        # Its caller is still at it, or died. An answer that is given before its entry is there could not be right for ever.
        raise OutcomeUnknown("The purchase is still being recorded; retry with the same key.")
    if purchase.entry.refusal is not None:
        raise refused
    basket = claim.basket
    assert basket is not None
    # The purchase's points went where its account went. Only then the returns: a return that is booked after this read has
    # moved the log on, and this one loses its append.
    head = ledger.known_head(store, purchase.record.account, strong=True)
    known = reversals.resolved(store.returns(claim.key), purchase.record)
    same = _known(known, asked)
    if same is not None:
        record = purchase.record
        is_there = (same.account, same.seq) == (record.account, record.seq)
        outcome = _within(record, same.key) if is_there else entry_of(store, same)
        return Returned(same, basket, purchase, outcome, replayed=True)
    named = _named(store, request)
    if named and ledger.known_head(store, named, strong=True).account != head.account:
        raise PurchaseNotFound("This purchase is another member's.", field=("input", "member"))
    _check_time(request)
    reversals.require_fit(basket, asked)
    entry = purchase.entry
    assert entry.terms is not None
    terms = program.terms if entry.terms == program.terms.version else terms_of(entry.terms)

    def decide(before: Record) -> Plan:
        if len(known) >= limits.RETURNS_MAX:
            raise _too_many(limits.RETURNS_MAX)
        accounts.require_open(before.state, field=("input", "externalId"))
        planned = reversals.planned(
            before.state,
            entry,
            basket,
            known,
            asked,
            policy=terms.returns,
            actor=request.actor,
            at=max(now, before.state.at),
            zone=program.zone,
        )
        booked = replace(asked, account=before.account, seq=before.seq, reversal=reversals.reversal_of(planned))
        return Plan((planned,), beside=Beside(booked=booked))

    try:
        booking = ledger.book(head, asked.key, decide, now=now, program=program)
    except Refusal as refusal:
        raise _refused(store, asked, refusal, known) from None
    ledger.write(store, booking, program)
    done = booking.plan.beside.booked
    assert done is not None
    return Returned(done, basket, purchase, Outcome(booking.record, booking.index, replayed=False), replayed=False)


def _parked(store: Store, request: _Request, *, is_first: bool) -> Returned:
    """A return that waits for its purchase. Where there is no claim yet, there are no returns either."""
    known = [] if is_first else store.returns(request.asked.purchase)
    same = _known(known, request.asked)
    if same is not None:
        return Returned(same, None, None, None, replayed=True)
    asked = replace(request.asked, member=_named(store, request))
    _check_time(request)
    if sum(each.refusal is None for each in known) >= limits.RETURNS_PARKED_MAX:
        raise _refused(store, asked, _too_many(limits.RETURNS_PARKED_MAX), known)
    store.park(asked)
    return Returned(asked, None, None, None, replayed=False)


def _known(known: Sequence[PurchaseReturn], asked: PurchaseReturn) -> PurchaseReturn | None:
    """What was asked under the same id before. Refuses `IdempotencyKeyReused`, and what that was refused for."""
    same = next((each for each in known if each.id == asked.id), None)
    if same is None:
        return None
    if same.fingerprint != asked.fingerprint:
        raise IdempotencyKeyReused(
            f"The return {asked.id!r} of this purchase was sent before with other input.", field=("input", "returnId")
        )
    if same.refusal is not None:
        raise same.refusal.again()
    return same


def _refused(store: Store, asked: PurchaseReturn, refusal: Refusal, known: Sequence[PurchaseReturn]) -> Refusal:
    """Keeps a refusal with the return, where a later call could hear something else."""
    # Returns are never deleted: where there are too many, there always will be, and nothing needs to be kept.
    if refusal.final and len(known) < limits.RETURNS_MAX:
        store.refuse_return(replace(asked, refusal=refusal))
    return refusal


def _named(store: Store, request: _Request) -> str:
    """The account of the member whom the caller named; empty when nobody was. Refuses `MemberNotFound`."""
    if request.member is None:
        return ""
    return members.resolve(store, actor=request.actor, by=request.member, field=("input", "member"))


def _within(record: Record, key: Key) -> Outcome:
    index = next(index for index, entry in enumerate(record.entries) if entry.key == key)
    return Outcome(record, index, replayed=True)


def _quantities(lines: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Quantities by the index of their line in the basket, in the order of the input; a line may be named more than once."""
    field = ("input", "part", "lines")
    if len(lines) > limits.PURCHASE_LINES_MAX:
        raise TooManyLines(f"At most {limits.PURCHASE_LINES_MAX} lines are returned at once.", field=field)
    if not lines:
        raise InvalidQuantity("Name at least one line.", field=field)
    quantities: dict[int, int] = {}
    for place, (number, quantity) in enumerate(lines):
        at = (*field, str(place))
        quantities[number - 1] = quantities.get(number - 1, 0) + quantity
        if quantity < 1 or quantities[number - 1] > limits.LINE_QUANTITY_MAX:
            raise InvalidQuantity(f"Return a quantity of 1 to {limits.LINE_QUANTITY_MAX}.", field=(*at, "quantity"))
        if not 1 <= number <= limits.PURCHASE_LINES_MAX:
            raise LineNotFound("Lines are numbered from 1 on, as they stand on the receipt.", field=(*at, "line"))
    return quantities


def _checked(amount: Money) -> Money:
    field = ("input", "part", "amount")
    # It may wait for a purchase of any currency: all that can be said of it now is that it is a code.
    currency = require_text(amount.currency, field=(*field, "currency"), length_min=3, length_max=3)
    if not 1 <= amount.amount_minor <= limits.AMOUNT_MINOR_MAX:
        raise InvalidAmount(
            f"Return an amount of 1 to {limits.AMOUNT_MINOR_MAX} minor units.", field=(*field, "amountMinor")
        )
    return Money(amount.amount_minor, currency)


def _check_time(request: _Request) -> None:
    if request.asked.occurred_at is not None:
        purchases.require_recent(request.asked.occurred_at, request.now, what="return")


def _too_many(most: int) -> TooManyReturns:
    return TooManyReturns(f"The purchase has {most} returns already.", field=("input", "returnId"))


def _fingerprint(store: Store, asked: PurchaseReturn, member: Lookup | None) -> bytes:
    occurred_at = asked.occurred_at
    return ledger.fingerprint(
        store,
        "purchaseReturn",
        sorted(asked.lines.items()),
        asked.amount_minor,
        asked.currency,
        occurred_at.astimezone(UTC).isoformat() if occurred_at else None,
        asked.reason,
        (member.kind, member.value) if member else None,
    )
