"""Purchases through the API: tills record receipts, and may ask first what one would earn."""

from enum import Enum

import strawberry

from domain import days, ledger, purchases
from domain.access import Permission
from domain.ledger import Basket, BasketLine
from domain.refusals import Refusal
from schema import accounts, entries, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Info
from schema.entries import Explanation, Money, PurchaseEntry
from schema.members import MemberByInput
from schema.nodes import Node, to_id
from schema.refusals import UserError
from schema.scalars import DateTime, Day, Long


@strawberry.type(description="One line of a receipt.")
class PurchaseLine:
    """A line as it was sent."""

    sku: str | None
    category: str | None
    quantity: Long
    amount_minor: Long


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


@strawberry.input(description="An amount of money.")
class MoneyInput:
    """Minor units of a currency."""

    amount_minor: Long = strawberry.field(description="Minor units, such as cents; from 0.")
    currency: str = strawberry.field(description="ISO 4217 code that the program accepts.")


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
            basket=_basket(input, input.occurred_at or DateTime(context.now)),
            now=context.now,
            is_dated=input.occurred_at is not None,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PurchaseRecordUserError, PurchaseRecordErrorCode)
        return PurchaseRecordPayload(replayed=refusal.replayed, user_errors=[error])
    outcome = recorded.outcome
    record, entry = outcome.record, outcome.entry
    assert entry.key is not None
    shown = entries.entry_of(record.account, record.seq, outcome.index, entry)
    assert isinstance(shown, PurchaseEntry)
    return PurchaseRecordPayload(
        purchase=purchase_of(entry.key, recorded.basket),
        entry=shown,
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
            basket=_basket(input, input.occurred_at or DateTime(context.now)),
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


def purchase_of(key: ledger.Key, basket: Basket) -> Purchase:
    """A purchase as the contract shows it."""
    return Purchase(
        id=to_id("Purchase", str(key)),
        source=key.source,
        external_id=key.value,
        occurred_at=DateTime(basket.occurred_at),
        total=Money(amount_minor=Long(basket.total.amount_minor), currency=basket.total.currency),
        location=basket.location,
        channel=basket.channel,
        lines=[
            PurchaseLine(
                sku=line.sku, category=line.category, quantity=Long(line.quantity), amount_minor=Long(line.amount_minor)
            )
            for line in basket.lines
        ],
    )


def _basket(input: PurchaseRecordInput | PurchasePreviewInput, occurred_at: DateTime) -> Basket:
    return Basket(
        occurred_at=occurred_at,
        total=ledger.Money(input.total.amount_minor, input.total.currency),
        location=input.location,
        channel=input.channel,
        lines=tuple(BasketLine(line.sku, line.category, line.quantity, line.amount_minor) for line in input.lines),
    )
