"""Purchases: a receipt becomes points, once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from domain import accounts, consequences, days, groups, ledger, limits, members, moments, reversals, tiers
from domain.access import Actor
from domain.accounts import ROLLING, Line, State, Status
from domain.entries import Basket, BasketLine, Claim, Entry, EntryKind, Explanation, Key, Money, Record
from domain.ledger import Operation, Outcome, Plan
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.programs import Program
from domain.refusals import (
    IdempotencyKeyReused,
    InvalidText,
    InvalidTime,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
    require_text,
)
from domain.store import Store
from domain.tiers import Metric


class InvalidAmount(Refusal):
    """An amount is negative or beyond `limits.AMOUNT_MINOR_MAX`."""


class InvalidQuantity(Refusal):
    """A quantity is negative or beyond `limits.LINE_QUANTITY_MAX`."""


class CurrencyNotAccepted(Refusal):
    """The program does not know the currency."""


class TooManyLines(Refusal):
    """More lines than `limits.PURCHASE_LINES_MAX`."""


class LinesTotalMismatch(Refusal):
    """The lines do not add up to the total."""


PREVIEW_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidAmount,
    TooManyLines,
    InvalidQuantity,
    LinesTotalMismatch,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    CurrencyNotAccepted,
    InvalidTime,
    MemberClosed,
)
RECORD_REFUSALS: tuple[type[Refusal], ...] = (*PREVIEW_REFUSALS, IdempotencyKeyReused)

# Explains the 0 points of a purchase on a blocked account; a rule of a program cannot be called so.
BLOCKED = "account:blocked"
# Explains what a purchase earns more, or less, after a long silence.
COMEBACK = "comeback:silence"

_SOURCE = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where a purchase stands in the log, and its basket as it is kept."""

    outcome: Outcome
    basket: Basket


@dataclass(frozen=True, slots=True)
class Preview:
    """What a purchase would earn now. `entry.at` is the moment of asking; nothing was written.

    `expires` is the last day of its points, None if it earns none; `balance` is what could be spent right after it.
    """

    entry: Entry
    balance: int
    expires: int | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A purchase as somebody asks for it to be recorded, at `asked_at`.

    `is_dated` is False when they left the time of the purchase out and `basket` says `asked_at`: a retry is then no other
    purchase, though it is later.
    """

    actor: Actor
    source: str
    external_id: str
    member: Lookup
    basket: Basket
    asked_at: datetime
    is_dated: bool = True

    @property
    def key(self) -> Key:
        """Its key. Refuses `InvalidText`."""
        return key_of(self.source, self.external_id)


def record(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    source: str,
    external_id: str,
    member: Lookup,
    basket: Basket,
    now: datetime,
    is_dated: bool = True,
) -> Recorded:
    """Books the points of a purchase on the member's account; (source, external id) does so once for the program's life.

    Refuses, in this order: `InvalidText`, `InvalidAmount`, `TooManyLines`, `InvalidQuantity`, `LinesTotalMismatch`,
    `InvalidEmail`, `InvalidPhone`, `MemberNotFound`, `CurrencyNotAccepted`, `InvalidTime`, `MemberClosed`,
    `IdempotencyKeyReused`, `OutcomeUnknown`. An unknown location is accepted: a receipt is never lost over a missing setting.

    `is_dated` is False when the caller left the time of the purchase out and `basket` says now.
    """
    receipt = tidied(Receipt(actor, source, external_id, member, basket, now, is_dated))
    asked = _asked(store, program, receipt, now=now)
    outcome = ledger.commit(store, asked.operation, asked.decide, now=now, program=program, resuming=asked.resuming)
    return _recorded(outcome, receipt.basket)


def record_each(
    store: Store,
    program: Program,
    receipts: Sequence[Receipt],
    *,
    now: datetime,
    has_time: Callable[[], bool] = lambda: True,
) -> list[Recorded | Refusal]:
    """What `record` comes to for each purchase in this order, with what it refuses as a value.

    Those of one account are written together (domain/groups.py): n of them for n claims and one record, as far as they fit into
    it. How old a purchase may be is counted from `asked_at`, however late it is booked. Whatever has not begun when `has_time`
    ends is `OutcomeUnknown`, as are all members to be found after one of whom the store has not answered.
    """
    answers: dict[int, Recorded | Refusal] = {}
    part: dict[int, Receipt] = {}
    seen: dict[Key, bytes] = {}
    # A store that does not answer is not asked fifty times: each look waits for as long as its client has patience.
    unanswered: OutcomeUnknown | None = None

    def find(receipt: Receipt) -> groups.Asked:
        nonlocal unanswered
        if unanswered is None and not has_time():
            unanswered = groups.late()
        if unanswered is not None:
            raise unanswered
        try:
            return _asked(store, program, receipt, now=now)
        except OutcomeUnknown as unknown:
            unanswered = unknown
            raise

    def settle() -> None:
        answers.update(_record_part(store, program, part, find, now=now, has_time=has_time))
        part.clear()
        seen.clear()

    for place, receipt in enumerate(receipts):
        try:
            tidy = tidied(receipt)
        except Refusal as refusal:
            answers[place] = refusal
            continue
        fingerprint = fingerprint_of(store, tidy)
        if seen.get(tidy.key, fingerprint) != fingerprint:
            # Which of two inputs has the key is decided by their order, whoever they are for.
            settle()
        part[place], seen[tidy.key] = tidy, fingerprint
    settle()
    return [answers[place] for place in range(len(receipts))]


def _record_part(
    store: Store,
    program: Program,
    part: Mapping[int, Receipt],
    find: Callable[[Receipt], groups.Asked],
    *,
    now: datetime,
    has_time: Callable[[], bool],
) -> dict[int, Recorded | Refusal]:
    """The answers to purchases of which no two have the same key with different input."""
    answers: dict[int, Recorded | Refusal] = {}
    asked: dict[int, groups.Asked] = {}
    for place, receipt in part.items():
        try:
            asked[place] = find(receipt)
        except Refusal as refusal:
            answers[place] = refusal
    outcomes = groups.commit_each(store, list(asked.values()), now=now, program=program, has_time=has_time)
    for place, outcome in zip(asked, outcomes, strict=True):
        answers[place] = outcome if isinstance(outcome, Refusal) else _recorded(outcome, part[place].basket)
    return answers


def tidied(receipt: Receipt) -> Receipt:
    """A purchase with its texts as they are stored.

    Refuses `InvalidText`, `InvalidAmount`, `TooManyLines`, `InvalidQuantity`, `LinesTotalMismatch`.
    """
    key = receipt.key
    return replace(receipt, source=key.source, external_id=key.value, basket=_checked(receipt.basket))


def require_acceptable(program: Program, receipt: Receipt) -> None:
    """Refuses what else `record` can refuse of a tidied purchase without looking anywhere: `CurrencyNotAccepted`,
    `InvalidTime`."""
    _check_currency(program, receipt.basket.total)
    require_recent(receipt.basket.occurred_at, receipt.asked_at)


def fingerprint_of(store: Store, receipt: Receipt) -> bytes:
    """The fingerprint in the claim of a tidied purchase."""
    return _fingerprint(store, receipt.member, receipt.basket, is_dated=receipt.is_dated)


def _asked(store: Store, program: Program, receipt: Receipt, *, now: datetime) -> groups.Asked:
    """What a tidied purchase asks of the ledger. Refuses `MemberNotFound`."""
    key, basket, actor, asked_at = receipt.key, receipt.basket, receipt.actor, receipt.asked_at
    operation = Operation(
        key=key,
        account=members.resolve(store, actor=actor, by=receipt.member, field=("input", "member"), key=key),
        fingerprint=fingerprint_of(store, receipt),
        basket=basket,
        retention=None,
    )

    def decide(before: Record) -> Entry:
        _check_currency(program, basket.total)
        # Before anything is counted with it: a moment far away has no day.
        require_recent(basket.occurred_at, asked_at)
        return _earned(before.state, program, basket, actor=actor, now=now)

    def resuming(claim: Claim) -> ledger.Decision:
        # The receipt was accepted when it was claimed, however late its points are booked, and with the time it had then.
        kept = claim.basket
        assert kept is not None

        def decide_again(before: Record) -> Plan:
            entry = _earned(before.state, program, kept, actor=actor, now=now)
            if not claim.had_returns:
                return Plan((entry,))
            # What came back before it was known is booked in the same record: nobody sees the one without the other.
            returned = reversals.waiting(store, program, before, entry, kept, key, actor=actor, now=now)
            return Plan((entry, *returned))

        return decide_again

    return groups.Asked(operation, decide, resuming)


def key_of(source: str, external_id: str, *, field: tuple[str, ...] = ("input",)) -> Key:
    """The key of a purchase, by the names it has at the till. Refuses `InvalidText`."""
    return Key(
        require_text(source, field=(*field, "source"), length_max=limits.SOURCE_LENGTH_MAX, pattern=_SOURCE),
        members.key_text(external_id, field=(*field, "externalId")),
    )


def preview(store: Store, program: Program, *, actor: Actor, member: Lookup, basket: Basket, now: datetime) -> Preview:
    """What `record` would book now, by the same rules; writes nothing. Refuses what `record` refuses of the input."""
    basket = _checked(basket)
    account = members.resolve(store, actor=actor, by=member, field=("input", "member"))
    _check_currency(program, basket.total)
    require_recent(basket.occurred_at, now)
    head = ledger.known_head(store, account)

    def decide(before: Record) -> Entry:
        return _earned(before.state, program, basket, actor=actor, now=now)

    booking = ledger.book(head, None, decide, now=now, program=program)
    entry = booking.record.entries[booking.index]
    bucket = accounts.landed(entry.lines)
    # As the entry says it: what a debt takes at once leaves no rolling bucket.
    expires = entry.rolls.until if bucket == ROLLING and entry.rolls is not None else bucket
    return Preview(entry, booking.record.state.balance, expires)


def _recorded(outcome: Outcome, basket: Basket) -> Recorded:
    # A retry says the same of everything but, where the caller left it out, of the time.
    occurred_at = outcome.entry.occurred_at
    assert occurred_at is not None
    return Recorded(outcome, replace(basket, occurred_at=occurred_at))


def _earned(state: State, program: Program, basket: Basket, *, actor: Actor, now: datetime) -> Entry:
    """The entry of a purchase: points by the terms in force, dated by when the purchase happened.

    Refuses `CurrencyNotAccepted`, `MemberClosed`.
    """
    _check_currency(program, basket.total)
    accounts.require_open(state)
    total = basket.total
    occurred = days.day_of(basket.occurred_at, program.zone)
    today = days.day_of(max(now, state.at), program.zone)
    # A receipt of a blocked account is kept all the same, and earns nothing.
    is_blocked = state.status is Status.BLOCKED
    explanation = (
        (Explanation(BLOCKED, 0, total.amount_minor),) if is_blocked else _explained(state, program, total, occurred)
    )
    expires, rolls = consequences.placed(state, program, EntryKind.PURCHASE, earned=occurred, today=today)
    lines: tuple[Line, ...] = accounts.earn(
        state,
        sum(line.points for line in explanation),
        expires=expires,
        matures=occurred + program.terms.pending_days if program.terms.pending_days else 0,
        today=today,
    )
    return Entry(
        kind=EntryKind.PURCHASE,
        at=now,
        lines=lines,
        balance_after=0,
        explanation=explanation,
        actor=actor.id,
        occurred_at=basket.occurred_at,
        total=total,
        location=basket.location,
        channel=basket.channel,
        terms=program.terms.version,
        rolls=rolls if lines and expires == ROLLING else None,
        qualifies=() if is_blocked else _qualified(state, program, total, explanation, occurred),
    )


def _explained(state: State, program: Program, total: Money, occurred: int) -> tuple[Explanation, ...]:
    """What each rule gives for a purchase of `total` on day `occurred`; the first line is the earning rule's.

    Floor per order: what is left of the last unit earns nothing and is not carried over, and each rule drops its own parts.
    """
    rule, comeback = program.terms.earning, program.terms.comeback
    points = total.amount_minor // program.currencies[total.currency] * rule.points
    lines = [Explanation(rule.id, points, total.amount_minor)]
    if program.ladder is not None:
        tier = program.ladder.of(state.standing)
        more = points * (tier.benefits.multiplier_percent - 100) // 100
        if more:
            lines.append(Explanation(f"tier:{tier.id}", more, total.amount_minor))
            points += more
    active = state.marks.get(moments.ACTIVE, 0)
    if comeback is not None and active and occurred - active >= comeback.days:
        if comeback.percent >= 100:
            more = points * (comeback.percent - 100) // 100
            lines.append(Explanation(COMEBACK, more, total.amount_minor))
        else:
            # Less of everything, so that no line takes what another one gives: parts of a purchase can be returned.
            lines = [replace(line, points=line.points * comeback.percent // 100) for line in lines]
            lines.append(Explanation(COMEBACK, 0, total.amount_minor))
    return tuple(lines)


def _qualified(
    state: State, program: Program, total: Money, explanation: tuple[Explanation, ...], occurred: int
) -> tuple[tuple[int, int], ...]:
    """What a purchase counts towards a tier: in the period of the day on which it happened."""
    ladder = program.ladder
    if ladder is None:
        return ()
    match ladder.metric:
        case Metric.POINTS:
            amount = explanation[0].points
        case Metric.SPEND:
            amount = total.amount_minor // program.currencies[total.currency]
        case Metric.VISITS:
            amount = 1 if total.amount_minor else 0
    return tiers.counting(ladder, state, amount, day=occurred)


def _checked(basket: Basket) -> Basket:
    """The basket with its texts as they are stored: an entry is for ever, and its size is its price."""
    _check_amount(basket.total.amount_minor, field=("input", "total", "amountMinor"))
    location = _label(basket.location, field=("input", "location"))
    channel = _label(basket.channel, field=("input", "channel"))
    if len(basket.lines) > limits.PURCHASE_LINES_MAX:
        raise TooManyLines(
            f"A purchase has at most {limits.PURCHASE_LINES_MAX} lines, not {len(basket.lines)}.",
            field=("input", "lines"),
        )
    lines = tuple(_checked_line(line, index) for index, line in enumerate(basket.lines))
    added = sum(line.amount_minor for line in lines)
    if lines and added != basket.total.amount_minor:
        raise LinesTotalMismatch(
            f"The lines add up to {added}, the total is {basket.total.amount_minor}.", field=("input", "lines")
        )
    return replace(basket, location=location, channel=channel, lines=lines)


def _checked_line(line: BasketLine, index: int) -> BasketLine:
    at = ("input", "lines", str(index))
    _check_amount(line.amount_minor, field=(*at, "amountMinor"))
    if not 0 <= line.quantity <= limits.LINE_QUANTITY_MAX:
        raise InvalidQuantity(f"A quantity is 0 to {limits.LINE_QUANTITY_MAX}.", field=(*at, "quantity"))
    return BasketLine(
        _label(line.sku, field=(*at, "sku")),
        _label(line.category, field=(*at, "category")),
        line.quantity,
        line.amount_minor,
    )


def _check_currency(program: Program, total: Money) -> None:
    if total.currency not in program.currencies:
        known = sorted(program.currencies)
        more = len(known) - limits.CURRENCIES_NAMED_MAX
        named = ", ".join(known[: limits.CURRENCIES_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
        raise CurrencyNotAccepted(f"The program accepts {named}.", field=("input", "total", "currency"))


def _check_amount(amount_minor: int, *, field: tuple[str, ...]) -> None:
    if not 0 <= amount_minor <= limits.AMOUNT_MINOR_MAX:
        raise InvalidAmount(f"An amount is 0 to {limits.AMOUNT_MINOR_MAX} minor units.", field=field)


def _label(label: str | None, *, field: tuple[str, ...]) -> str | None:
    return None if label is None else require_text(label, field=field, length_max=limits.LABEL_LENGTH_MAX)


def require_recent(occurred_at: datetime, now: datetime, *, what: str = "purchase") -> None:
    """Refuses `InvalidTime` for a purchase, or a return, of more than 400 days ago or 5 minutes ahead."""
    field = ("input", "occurredAt")
    if occurred_at > now + limits.OCCURRED_AHEAD_MAX:
        raise InvalidTime(f"The {what} lies in the future.", field=field)
    if occurred_at < now - limits.OCCURRED_AGE_MAX:
        raise InvalidTime(f"The {what} is more than {limits.OCCURRED_AGE_MAX.days} days old.", field=field)


def _fingerprint(store: Store, member: Lookup, basket: Basket, *, is_dated: bool) -> bytes:
    return ledger.fingerprint(
        store,
        "purchaseRecord",
        member.kind,
        member.value,
        basket.total.amount_minor,
        basket.total.currency,
        basket.occurred_at.astimezone(UTC).isoformat() if is_dated else None,
        basket.location,
        basket.channel,
        [[line.sku, line.category, line.quantity, line.amount_minor] for line in basket.lines],
    )
