"""What a return takes back: how much of a purchase it is, the points owed for that, and what becomes of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from domain import accounts, ledger, tiers
from domain.access import Actor
from domain.accounts import DEBT, ROLLING, Line, State
from domain.entries import Basket, Entry, EntryKind, Explanation, Key, Money, PurchaseReturn, Record, Reversal
from domain.programs import Program, ReturnPolicy
from domain.refusals import OutcomeUnknown, Refusal
from domain.store import Store


class PurchaseNotFound(Refusal):
    """The purchase was refused, or belongs to somebody else than the member who was named."""


class LineNotFound(Refusal):
    """The purchase has no line with this number."""


class CurrencyMismatch(Refusal):
    """The purchase was paid in another currency."""


class ReturnExceedsPurchase(Refusal):
    """More would be returned than was bought, or than is left of it."""

    final = True


# Explains the points that a return could not take; a rule of a program cannot be called so.
WRITTEN_OFF = "return:written-off"


def require_fit(basket: Basket, asked: PurchaseReturn) -> None:
    """Refuses `LineNotFound` and `CurrencyMismatch`: what can be no part of the purchase, whatever else was returned."""
    if asked.lines and max(asked.lines) >= len(basket.lines):
        raise LineNotFound(f"The purchase has {len(basket.lines)} lines.", field=("input", "part", "lines"))
    if asked.currency not in (None, basket.total.currency):
        raise CurrencyMismatch(
            f"The purchase was paid in {basket.total.currency}.", field=("input", "part", "amount", "currency")
        )


def resolved(known: Sequence[PurchaseReturn], purchase: Record) -> list[PurchaseReturn]:
    """The returns of a purchase with the outcomes of those that had waited for it, which stand in its own record."""
    waited = {entry.key: entry for entry in purchase.entries if entry.kind in (EntryKind.RETURN, EntryKind.REFUSED)}

    def outcome(each: PurchaseReturn) -> PurchaseReturn:
        if each.account or each.refusal:
            return each
        # Nothing waits for a purchase that is known: its claim was completed before anything was booked.
        entry = waited[each.key]
        if entry.refusal is not None:
            return replace(each, refusal=entry.refusal)
        return replace(each, account=purchase.account, seq=purchase.seq, reversal=reversal_of(entry))

    return [outcome(each) for each in known]


def reversal_of(entry: Entry) -> Reversal:
    """What the return of an entry came to."""
    assert entry.total is not None
    debt = -sum(line.points for line in entry.lines if line.expires == DEBT)
    return Reversal(
        amount_minor=entry.total.amount_minor,
        taken=-entry.points - debt,
        debt=debt,
        written_off=sum(line.points for line in entry.explanation if line.rule == WRITTEN_OFF),
    )


def planned(
    state: State,
    purchase: Entry,
    basket: Basket,
    earlier: Sequence[PurchaseReturn],
    asked: PurchaseReturn,
    *,
    policy: ReturnPolicy,
    actor: Actor,
    at: datetime,
    zone: ZoneInfo,
) -> Entry:
    """The entry of a return after `earlier` ones, on the account as it is at `at`. Refuses `ReturnExceedsPurchase`.

    What is owed for all that was ever returned is rounded down, and each return owes what that grew by: any number of parts, in
    any order, comes to what one whole return does, and until then rounding is the member's gain.
    """
    booked = [each for each in earlier if each.refusal is None]
    amount = _amount(basket, booked, asked)
    before = sum(_reversal(each).amount_minor for each in booked)
    explanation = tuple(
        Explanation(line.rule, _owed(line, before) - _owed(line, before + amount), amount)
        for line in purchase.explanation
    )
    owed = -sum(line.points for line in explanation)
    lines, missing = _taken(state, purchase, owed, pending_only=policy is ReturnPolicy.PENDING_ONLY, at=at, zone=zone)
    if missing and policy is ReturnPolicy.DEBT:
        lines, missing = (*lines, Line(DEBT, -missing)), 0
    if missing:
        explanation += (Explanation(WRITTEN_OFF, missing),)
    entry = Entry(
        kind=EntryKind.RETURN,
        at=at,
        lines=lines,
        balance_after=0,
        explanation=explanation,
        key=asked.key,
        actor=actor.id,
        occurred_at=asked.occurred_at,
        total=Money(amount, basket.total.currency),
        reason=asked.reason,
        terms=purchase.terms,
        qualifies=_disqualified(purchase, basket, before, before + amount),
        # What counts in all the time counts no more, where the purchase counted for it; how much is left, the account says.
        marks=tuple(mark for mark in purchase.marks if mark[0] in tiers.LIFETIME.values()),
    )
    assert reversal_of(entry).owed == owed, "what is owed is taken, becomes a debt, or is written off"
    return entry


def waiting(
    store: Store,
    program: Program,
    before: Record,
    purchase: Entry,
    basket: Basket,
    key: Key,
    *,
    actor: Actor,
    now: datetime,
) -> tuple[Entry, ...]:
    """The entries of the returns that have waited for a purchase, to be booked behind its entry, in the order they came.

    Whatever waits for a purchase is there for good once its claim is complete, so every attempt to book them finds the same.
    A return that asks for more than was bought, or for a purchase of somebody else, is refused in the log.
    """
    at = max(now, before.state.at)
    state, (purchase, *_) = ledger.booked(before.state, purchase, program, at=at)
    entries: list[Entry] = []
    booked: list[PurchaseReturn] = []
    for asked in store.returns(key):
        if asked.refusal is not None:
            continue
        try:
            if asked.member and ledger.known_head(store, asked.member, strong=True).account != before.account:
                raise PurchaseNotFound("This purchase is another member's.", field=("input", "member"))
            require_fit(basket, asked)
            entry = planned(
                state,
                purchase,
                basket,
                booked,
                # It happened when it was told of, if nobody said when.
                replace(asked, occurred_at=asked.occurred_at or asked.at),
                policy=program.terms.returns,
                actor=actor,
                at=at,
                zone=program.zone,
            )
        except OutcomeUnknown:
            # The store did not answer: whether the return fits is not decided.
            raise
        except Refusal as refusal:
            entry = Entry(EntryKind.REFUSED, at, (), 0, key=asked.key, refusal=refusal)
        else:
            state = accounts.fold(state, entry.lines, at=at)
            booked.append(replace(asked, reversal=reversal_of(entry)))
        entries.append(entry)
    return tuple(entries)


def _amount(basket: Basket, booked: Sequence[PurchaseReturn], asked: PurchaseReturn) -> int:
    """The money of what is asked for, of all that was bought less what was returned before."""
    left = basket.total.amount_minor - sum(_reversal(each).amount_minor for each in booked)
    is_whole = any(not each.lines and each.amount_minor is None for each in booked)
    if asked.amount_minor is not None:
        amount = asked.amount_minor
    elif asked.lines:
        amount = _amount_of_lines(basket, booked, asked, is_whole=is_whole)
    elif is_whole or (booked and not left):
        raise ReturnExceedsPurchase("Everything is returned already.", field=("input", "part"))
    else:
        amount = left
    if amount > left:
        raise ReturnExceedsPurchase(
            f"{left} of {basket.total.amount_minor} minor units are left to return, not {amount}.",
            field=("input", "part"),
        )
    return amount


def _amount_of_lines(basket: Basket, booked: Sequence[PurchaseReturn], asked: PurchaseReturn, *, is_whole: bool) -> int:
    before: Counter[int] = Counter()
    for each in booked:
        before.update(each.lines)
    amount = 0
    for index, quantity in asked.lines.items():
        line = basket.lines[index]
        left = 0 if is_whole else line.quantity - before[index]
        if quantity > left:
            raise ReturnExceedsPurchase(
                f"Of line {index + 1}, {left} of {line.quantity} are left to return, not {quantity}.",
                field=("input", "part", "lines"),
            )
        # Shares of the line are rounded down together, so that its last unit brings what is left of its amount.
        after = line.amount_minor * (before[index] + quantity) // line.quantity
        amount += after - line.amount_minor * before[index] // line.quantity
    return amount


def _owed(line: Explanation, amount_minor: int) -> int:
    """Points of one rule that are owed when `amount_minor` of the purchase was returned."""
    basis = line.basis or 0
    return line.points * min(amount_minor, basis) // basis if basis else 0


def _disqualified(purchase: Entry, basket: Basket, before: int, after: int) -> tuple[tuple[int, int], ...]:
    """What no longer counts towards a tier when the money returned grows from `before` to `after`; rounded as points are."""
    total = basket.total.amount_minor
    counts = [(period, Explanation("", amount, total)) for period, amount in purchase.qualifies]
    lost = [(period, _owed(line, before) - _owed(line, after)) for period, line in counts]
    return tuple((period, amount) for period, amount in lost if amount)


def _taken(
    state: State, purchase: Entry, points: int, *, pending_only: bool, at: datetime, zone: ZoneInfo
) -> tuple[tuple[Line, ...], int]:
    """Lines that take `points`, and how many are missing: what is pending of the purchase goes first, then the bucket its points
    came to stand in, then what expires soonest. What has expired, though nobody has booked it yet, is left alone."""
    pots: list[tuple[int, int, int]] = []
    if purchase.lines and (matures := purchase.lines[0].matures):
        expires = purchase.lines[0].expires
        # A silence has given pending points of the rolling bucket the day on which it had them, which is before they mature.
        pots += (
            (matures, day, held)
            for (on, day), held in state.pending.items()
            if on == matures and (day == expires or (expires == ROLLING and day < matures))
        )
    if not pending_only:
        original = accounts.landed(purchase.lines)
        live = [day for day in state.buckets if accounts.is_live(state, day, at, zone)]
        order = sorted(live, key=lambda day: (day != original, state.last_day(day), day))
        pots += ((0, day, state.buckets[day]) for day in order)
    lines = []
    for matures, expires, held in pots:
        taken = min(points, held)
        if taken:
            lines.append(Line(expires, -taken, matures))
        points -= taken
    return tuple(lines), points


def _reversal(booked: PurchaseReturn) -> Reversal:
    assert booked.reversal is not None, f"the return {booked.id!r} was not booked"
    return booked.reversal
