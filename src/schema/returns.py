"""Returns through the API: a till takes back the points of what was brought back."""

from enum import Enum

import strawberry

from domain import returns
from domain.access import Permission
from domain.entries import Money
from domain.refusals import Refusal
from domain.returns import Part
from schema import accounts, purchases, refusals
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Info
from schema.members import MemberByInput
from schema.purchases import MoneyInput, Purchase, PurchaseReturn
from schema.refusals import UserError
from schema.scalars import DateTime, Long


@strawberry.input(description="A quantity of one line that is returned.")
class PurchaseReturnLineInput:
    """One line of a return."""

    line: Long = strawberry.field(
        description="The `number` of the purchase's line: its place on the receipt, from 1 on."
    )
    quantity: Long = strawberry.field(
        description="From 1, in the unit the till counted in; with earlier returns at most what the line had."
    )


@strawberry.input(
    one_of=True, description="A part of a purchase: some of its lines, or some of its money. Exactly one."
)
class PurchasePartInput:
    """One way of naming a part."""

    lines: list[PurchaseReturnLineInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description="1 to 200 quantities of lines. A part of a line is worth its share of the line's amount.",
    )
    amount: MoneyInput | None = strawberry.field(
        default=strawberry.UNSET, description="An amount from 1, in the purchase's currency, for whatever lines it is."
    )

    def part(self) -> Part:
        """What it stands for."""
        if self.amount:
            return Part(amount=Money(self.amount.amount_minor, self.amount.currency))
        return Part(lines=tuple((each.line, each.quantity) for each in self.lines or ()))


@strawberry.input(
    description="Something to take back. (source, externalId, returnId) does so once for the life of the program."
)
class PurchaseReturnInput:
    """A return as a till sends it."""

    source: str = strawberry.field(description="The system that numbered the receipt, as it was recorded.")
    external_id: str = strawberry.field(description="The receipt's number in that system.")
    return_id: str = strawberry.field(
        description="Up to 128 characters of your own, one for each return of the purchase. Sent again with the same input it "
        "gives the same answer and takes nothing; with other input it is refused. Remembered for ever."
    )
    part: PurchasePartInput | None = strawberry.field(
        default=None, description="What is returned; all that is left of the purchase when left out."
    )
    member: MemberByInput | None = strawberry.field(
        default=None, description="Whose purchase it is, if the till knows: nothing is taken from anybody else."
    )
    occurred_at: DateTime | None = strawberry.field(
        default=None, description="When it was returned: at most 400 days ago and 5 minutes ahead; now when left out."
    )
    reason: str | None = strawberry.field(
        default=None, description="A code such as `BROKEN`: capital letters, digits and _; no free text."
    )


@strawberry.enum(description="Why a return was not accepted.")
class PurchaseReturnErrorCode(Enum):
    """Codes of `domain.returns.RECORD_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    TOO_MANY_LINES = "TOO_MANY_LINES"
    INVALID_QUANTITY = "INVALID_QUANTITY"
    LINE_NOT_FOUND = "LINE_NOT_FOUND"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    PURCHASE_NOT_FOUND = "PURCHASE_NOT_FOUND"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    INVALID_TIME = "INVALID_TIME"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    TOO_MANY_RETURNS = "TOO_MANY_RETURNS"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    RETURN_EXCEEDS_PURCHASE = "RETURN_EXCEEDS_PURCHASE"


@strawberry.type(description="Why a return was not accepted.")
class PurchaseReturnUserError(UserError):
    """A refusal of `purchaseReturn`."""

    code: PurchaseReturnErrorCode


@strawberry.type
class PurchaseReturnPayload:
    """The return, or why there is none."""

    purchase_return: PurchaseReturn | None = strawberry.field(
        default=None, description="Its `status` says whether it is booked, or parked until its purchase comes."
    )
    purchase: Purchase | None = strawberry.field(default=None, description="Null while the return is parked.")
    account: Account | None = strawberry.field(
        default=None, description="The account as it is now; null while the return is parked."
    )
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this `returnId` had this answer."
    )
    user_errors: list[PurchaseReturnUserError] = strawberry.field(default_factory=list)


def purchase_return(info: Info, input: PurchaseReturnInput) -> PurchaseReturnPayload:
    """Takes back the points of what was returned."""
    context = info.context
    try:
        returned = returns.record(
            context.store,
            context.program,
            context.terms_of,
            actor=context.actor,
            source=input.source,
            external_id=input.external_id,
            return_id=input.return_id,
            part=input.part.part() if input.part else None,
            member=input.member.lookup("input", "member") if input.member else None,
            occurred_at=input.occurred_at,
            reason=input.reason,
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PurchaseReturnUserError, PurchaseReturnErrorCode)
        return PurchaseReturnPayload(replayed=refusal.replayed, user_errors=[error])
    basket, outcome = returned.basket, returned.outcome
    if basket is None or outcome is None:
        return PurchaseReturnPayload(
            purchase_return=purchases.return_of(returned.asked, None), replayed=returned.replayed
        )
    return PurchaseReturnPayload(
        purchase_return=purchases.return_of(returned.asked, basket.total.currency),
        purchase=purchases.purchase_of(context, returned.asked.purchase, basket, returned.purchase),
        account=accounts.account_after(context, outcome),
        replayed=returned.replayed,
    )


@strawberry.type
class ReturnMutations:
    """Fields of the mutation root."""

    purchase_return: PurchaseReturnPayload = strawberry.field(
        resolver=purchase_return,
        description="Takes back the points of what was returned: pending ones first, then the purchase's own, then those that "
        "expire soonest; what is missing becomes a debt or is written off, by the terms of the purchase. A return that comes "
        "before its purchase waits for it. Needs purchases of a till, or a manager.",
        extensions=[Permitted(Permission.PURCHASES_RETURN)],
    )
