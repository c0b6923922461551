"""Purchases through the API: tills record receipts, may ask first what one would earn, and see what came back of them."""

from collections.abc import Callable
from enum import Enum
from functools import cache

import strawberry

from domain import days, members, purchases, returns
from domain import entries as booked
from domain.access import Permission
from domain.entries import Basket, BasketLine, Key
from domain.ledger import Outcome, Trail
from domain.refusals import InvalidText, Refusal
from schema import accounts, entries, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Context, Info
from schema.entries import Explanation, Money, PurchaseEntry, PurchaseReturnEntry
from schema.faults import Code, Fault
from schema.members import MemberByInput
from schema.nodes import Node, key_of, to_id
from schema.refusals import UserError
from schema.scalars import DateTime, Day, Long


@strawberry.type(description="One line of a receipt.")
class PurchaseLine:
    """A line as it was sent."""

    number: Long = strawberry.field(description="Its place on the receipt, from 1 on; returns name it so.")
    sku: str | None
    category: str | None
    quantity: Long
    amount_minor: Long


@strawberry.enum(description="Whether a return has taken its points back.")
class PurchaseReturnStatus(Enum):
    """What `PurchaseReturn` may be; one that was refused is none."""

    PARKED = strawberry.enum_value(
        "PARKED", description="It came before its purchase, and is booked or refused together with it."
    )
    BOOKED = strawberry.enum_value("BOOKED", description="Its points are taken back, as far as the terms let them be.")


@strawberry.type(description="A quantity of one line that came back.")
class ReturnedLine:
    """One line of a return."""

    line: Long = strawberry.field(description="The number of the purchase's line.")
    quantity: Long


@strawberry.type(description="Something that came back of a purchase, and what became of its points.")
class PurchaseReturn:
    """A return, parked or booked. What only its purchase decides is null while it is parked."""

    return_id: str = strawberry.field(description="The id the till gave it; one return of the purchase has it.")
    at: DateTime = strawberry.field(description="When it was sent.")
    status: PurchaseReturnStatus
    lines: list[ReturnedLine] = strawberry.field(
        description="What came back by line; empty where an amount did, or all that was left."
    )
    total: Money | None = strawberry.field(description="The money of what came back.")
    points: Long | None = strawberry.field(description="The change in points: what was taken and what became a debt.")
    owed: Long | None = strawberry.field(
        description="Points that what came back had earned: taken, made a debt, or written off. Rounded down over all "
        "returns so far, so that any number of them comes to what one whole return does."
    )
    debt: Long | None = strawberry.field(description="Points of these that the account owes now, as they were spent.")
    written_off: Long | None = strawberry.field(description="Points of these that the terms let the member keep.")
    reason: str | None
    kept: strawberry.Private[booked.PurchaseReturn]

    @strawberry.field(description="Its line in the member's history; null while it is parked.")
    def entry(self, info: Info) -> PurchaseReturnEntry | None:
        """Read when asked for: all else stands with the return."""
        if not self.kept.account:
            return None
        outcome = returns.entry_of(info.context.store, self.kept)
        record = outcome.record
        shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
        assert isinstance(shown, PurchaseReturnEntry)
        return shown


@strawberry.type(description="A receipt, kept for the life of the program.")
class Purchase(Node):
    """A purchase as its claim remembers it."""

    source: str = strawberry.field(description="The system that numbered it.")
    external_id: str = strawberry.field(description="Its number in that system.")
    occurred_at: DateTime
    total: Money
    location: str | None
    channel: str | None
    lines: list[PurchaseLine]
    entry: PurchaseEntry | None = strawberry.field(
        description="What it earned; null while it is still being recorded: the till's retry finishes it."
    )
    # Read once, and only when asked for.
    kept_returns: strawberry.Private[Callable[[], list[booked.PurchaseReturn]]]

    @strawberry.field(description="The money of all that has come back so far.")
    def returned(self) -> Money:
        """A return that is parked came to nothing yet."""
        amount = sum(each.reversal.amount_minor for each in self.kept_returns() if each.reversal)
        return Money(amount_minor=Long(amount), currency=self.total.currency)

    @strawberry.field(
        description="What has come back of it, oldest first: at most 200 returns; refused ones are not among them."
    )
    def returns(self) -> list[PurchaseReturn]:
        """All of them: they are read together anyway."""
        return [return_of(each, self.total.currency) for each in self.kept_returns()]


@strawberry.input(description="An amount of money.")
class MoneyInput:
    """Minor units of a currency."""

    amount_minor: Long = strawberry.field(description="Minor units, such as cents; from 0.")
    currency: str = strawberry.field(description="ISO 4217 code that the program accepts.")


@strawberry.input(description="A receipt by the names it has at its till.")
class PurchaseReceiptInput:
    """How a till names a purchase."""

    source: str = strawberry.field(description="The system that numbered it.")
    external_id: str = strawberry.field(description="Its number in that system.")


@strawberry.input(one_of=True, description="Names a purchase: by id or by receipt. Exactly one.")
class PurchaseByInput:
    """One way of naming a purchase."""

    id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="The id of a `Purchase`.")
    receipt: PurchaseReceiptInput | None = strawberry.field(default=strawberry.UNSET, description="As it was recorded.")

    def key(self) -> Key:
        """The key it stands for. Refuses `InvalidText`."""
        if self.receipt:
            return purchases.key_of(self.receipt.source, self.receipt.external_id, field=("by", "receipt"))
        source, _, value = key_of("Purchase", self.id or "", field="by.id").partition(":")
        return Key(source, value)


@strawberry.input(description="One line of a receipt.")
class PurchaseLineInput:
    """A line to record. Zero quantities and amounts are valid."""

    quantity: Long = strawberry.field(description="In the unit the till counts in.")
    amount_minor: Long = strawberry.field(description="Minor units for the whole line.")
    sku: str | None = strawberry.field(default=None, description="The article: up to 64 characters.")
    category: str | None = strawberry.field(default=None, description="A department or group: up to 64 characters.")


@strawberry.input(description="A receipt to record. (source, externalId) earns once for the life of the program.")
class PurchaseRecordInput:
    """A purchase as a till sends it."""

    source: str = strawberry.field(description="Name of the system that numbers receipts: letters, digits, . _ -")
    external_id: str = strawberry.field(description="The receipt's number in that system.")
    member: MemberByInput
    total: MoneyInput
    occurred_at: DateTime | None = strawberry.field(
        default=None, description="At most 400 days ago and 5 minutes ahead; now when left out."
    )
    location: str | None = strawberry.field(
        default=None, description="Where; a place the program does not know is accepted."
    )
    channel: str | None = strawberry.field(
        default=None, description="How it was bought, such as `pos` or `web`: up to 64 characters."
    )
    lines: list[PurchaseLineInput] = strawberry.field(
        default_factory=list, description="At most 200; they must add up to the total."
    )


@strawberry.input(description="A receipt to look at before it exists.")
class PurchasePreviewInput:
    """What a till knows before it has a receipt number."""

    member: MemberByInput
    total: MoneyInput
    occurred_at: DateTime | None = strawberry.field(default=None, description="Now when left out.")
    location: str | None = None
    channel: str | None = None
    lines: list[PurchaseLineInput] = strawberry.field(default_factory=list)


@strawberry.enum(description="Why a purchase was not recorded.")
class PurchaseRecordErrorCode(Enum):
    """Codes of `domain.purchases.RECORD_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    TOO_MANY_LINES = "TOO_MANY_LINES"
    INVALID_QUANTITY = "INVALID_QUANTITY"
    LINES_TOTAL_MISMATCH = "LINES_TOTAL_MISMATCH"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    CURRENCY_NOT_ACCEPTED = "CURRENCY_NOT_ACCEPTED"
    INVALID_TIME = "INVALID_TIME"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"


@strawberry.type(description="Why a purchase was not recorded.")
class PurchaseRecordUserError(UserError):
    """A refusal of `purchaseRecord`."""

    code: PurchaseRecordErrorCode


@strawberry.enum(description="Why a purchase cannot be previewed.")
class PurchasePreviewErrorCode(Enum):
    """Codes of `domain.purchases.PREVIEW_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    TOO_MANY_LINES = "TOO_MANY_LINES"
    INVALID_QUANTITY = "INVALID_QUANTITY"
    LINES_TOTAL_MISMATCH = "LINES_TOTAL_MISMATCH"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    CURRENCY_NOT_ACCEPTED = "CURRENCY_NOT_ACCEPTED"
    INVALID_TIME = "INVALID_TIME"
    MEMBER_CLOSED = "MEMBER_CLOSED"


@strawberry.type(description="Why a purchase cannot be previewed.")
class PurchasePreviewUserError(UserError):
    """A refusal of `purchasePreview`."""

    code: PurchasePreviewErrorCode


@strawberry.type
class PurchaseRecordPayload:
    """The purchase and what it earned, or why nothing was recorded."""

    purchase: Purchase | None = None
    entry: PurchaseEntry | None = None
    account: Account | None = strawberry.field(default=None, description="The account as it is now.")
    replayed: bool = strawberry.field(default=False, description="True when an earlier call had recorded it.")
    user_errors: list[PurchaseRecordUserError] = strawberry.field(default_factory=list)


@strawberry.type(description="What a purchase would earn now; nothing was written.")
class PurchasePreview:
    """A look ahead."""

    points: Long = strawberry.field(default=Long(0), description="Points it would earn.")
    balance_after: Long | None = strawberry.field(
        default=None, description="Points that could be spent right after it."
    )
    expires_on: Day | None = strawberry.field(default=None, description="The last day the points could be spent.")
    explanation: list[Explanation] = strawberry.field(default_factory=list)
    user_errors: list[PurchasePreviewUserError] = strawberry.field(default_factory=list)


def purchase(info: Info, by: PurchaseByInput) -> Purchase | None:
    """A purchase the caller may see."""
    try:
        key = by.key()
    except InvalidText as refusal:
        raise Fault(Code.BAD_USER_INPUT, refusal.message, field=".".join(refusal.field)) from refusal
    return find(info.context, key)


def purchase_record(info: Info, input: PurchaseRecordInput) -> PurchaseRecordPayload:
    """Records a purchase."""
    context = info.context
    try:
        recorded = purchases.record(
            context.store,
            context.program,
            actor=context.actor,
            source=input.source,
            external_id=input.external_id,
            member=input.member.lookup("input", "member"),
            basket=basket_of(input, input.occurred_at or DateTime(context.now)),
            now=context.now,
            is_dated=input.occurred_at is not None,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PurchaseRecordUserError, PurchaseRecordErrorCode)
        return PurchaseRecordPayload(replayed=refusal.replayed, user_errors=[error])
    outcome = recorded.outcome
    assert outcome.entry.key is not None
    found = purchase_of(context, outcome.entry.key, recorded.basket, outcome)
    return PurchaseRecordPayload(
        purchase=found,
        entry=found.entry,
        account=accounts.account_after(context, outcome),
        replayed=outcome.replayed,
    )


def purchase_preview(info: Info, input: PurchasePreviewInput) -> PurchasePreview:
    """Looks at a purchase without recording it."""
    context = info.context
    try:
        preview = purchases.preview(
            context.store,
            context.program,
            actor=context.actor,
            member=input.member.lookup("input", "member"),
            basket=basket_of(input, input.occurred_at or DateTime(context.now)),
            now=context.now,
        )
    except Refusal as refusal:
        return PurchasePreview(
            user_errors=[refusals.user_error(refusal, PurchasePreviewUserError, PurchasePreviewErrorCode)]
        )
    entry = preview.entry
    expires = days.NEVER if preview.expires is None else preview.expires
    return PurchasePreview(
        points=Long(entry.points),
        balance_after=Long(preview.balance),
        expires_on=Day(days.date_of(expires)) if expires < days.NEVER else None,
        explanation=entries.explained(entry),
    )


@strawberry.type
class PurchaseQueries:
    """Fields of the query root."""

    purchase: Purchase | None = strawberry.field(
        resolver=purchase,
        description="A purchase with what came back of it; null when there is none. Staff and tills with purchases see any, "
        "members their own: to them another's is as if it did not exist.",
        extensions=[Permitted(Permission.PURCHASES_READ, Permission.OWN_ACCOUNT_READ)],
    )
    purchase_preview: PurchasePreview = strawberry.field(
        resolver=purchase_preview,
        description="What a purchase would earn now, by the rules that would book it. Needs purchases of a till, or a manager.",
        extensions=[Permitted(Permission.PURCHASES_RECORD)],
    )


@strawberry.type
class PurchaseMutations:
    """Fields of the mutation root."""

    purchase_record: PurchaseRecordPayload = strawberry.field(
        resolver=purchase_record,
        description="Records a receipt and books its points. Needs purchases of a till, or a manager.",
        extensions=[Permitted(Permission.PURCHASES_RECORD)],
    )


def find(context: Context, key: Key) -> Purchase | None:
    """The purchase with a key, if there is one that was not refused and that the caller may see."""
    claim = context.store.claim(key) if key.value else None
    if claim is None or claim.basket is None or claim.refusal is not None:
        return None
    if not context.actor.may(Permission.PURCHASES_READ):
        own = members.own_account(context.store, context.actor)
        if not members.is_one(context.store, claim.account, own):
            return None
    outcome = Trail(context.store, claim).find(key)
    if outcome is not None and outcome.entry.refusal is not None:
        return None
    return purchase_of(context, key, claim.basket, outcome)


def purchase_of(context: Context, key: Key, basket: Basket, outcome: Outcome | None) -> Purchase:
    """A purchase as the contract shows it; `outcome` is where its entry stands."""
    return Purchase(
        id=to_id("Purchase", str(key)),
        source=key.source,
        external_id=key.value,
        occurred_at=DateTime(basket.occurred_at),
        total=entries.money_of(basket.total),
        location=basket.location,
        channel=basket.channel,
        lines=[
            PurchaseLine(
                number=Long(number),
                sku=line.sku,
                category=line.category,
                quantity=Long(line.quantity),
                amount_minor=Long(line.amount_minor),
            )
            for number, line in enumerate(basket.lines, start=1)
        ],
        entry=None if outcome is None else _entry_of(outcome),
        kept_returns=cache(lambda: returns.of(context.store, key, outcome)),
    )


def return_of(kept: booked.PurchaseReturn, currency: str | None) -> PurchaseReturn:
    """A return as the contract shows it; `currency` is its purchase's, where that is known."""
    came_to = kept.reversal
    return PurchaseReturn(
        return_id=kept.id,
        at=DateTime(kept.at),
        status=PurchaseReturnStatus.PARKED if came_to is None else PurchaseReturnStatus.BOOKED,
        lines=[ReturnedLine(line=Long(index + 1), quantity=Long(quantity)) for index, quantity in kept.lines.items()],
        total=entries.money_of(booked.Money(came_to.amount_minor, currency)) if came_to and currency else None,
        points=Long(-came_to.taken - came_to.debt) if came_to else None,
        owed=Long(came_to.owed) if came_to else None,
        debt=Long(came_to.debt) if came_to else None,
        written_off=Long(came_to.written_off) if came_to else None,
        reason=kept.reason,
        kept=kept,
    )


def _entry_of(outcome: Outcome) -> PurchaseEntry:
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, PurchaseEntry)
    return shown


def basket_of(input: PurchaseRecordInput | PurchasePreviewInput, occurred_at: DateTime) -> Basket:
    """The basket of an input, unchecked."""
    return Basket(
        occurred_at=occurred_at,
        total=booked.Money(input.total.amount_minor, input.total.currency),
        location=input.location,
        channel=input.channel,
        lines=tuple(BasketLine(line.sku, line.category, line.quantity, line.amount_minor) for line in input.lines),
    )
