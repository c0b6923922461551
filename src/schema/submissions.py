"""Submissions through the API: many purchases at once, queued, and what became of each."""

from enum import Enum

import strawberry

from domain import limits, submissions
from domain.access import Permission, Role
from domain.members import Lookup
from domain.refusals import InvalidText, Refusal
from domain.submissions import Offer, Standing, Status
from schema import pages, purchases, refusals
from schema.access import Permitted
from schema.context import Context, Info
from schema.faults import Fault
from schema.nodes import Node, from_id, to_id
from schema.pages import PageInfo
from schema.purchases import Purchase, PurchaseRecordInput
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import DateTime, Long


@strawberry.enum(description="Why a purchase of a submission was refused.")
class SubmissionRefusalCode(Enum):
    """Codes of `domain.submissions.ITEM_REFUSALS`."""

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
    SUBMITTED_TOO_LONG_AGO = "SUBMITTED_TOO_LONG_AGO"


@strawberry.type(description="Why a purchase of a submission was refused: what `purchaseRecord` would say.")
class SubmissionRefusal:
    """A refusal of one purchase."""

    code: SubmissionRefusalCode
    field: list[str] | None = strawberry.field(
        description="Path of the input it is about, such as `input.purchases.3.total.amountMinor`."
    )
    message: str = strawberry.field(description="A sentence for a person; its wording may change.")


@strawberry.type(description="What was said of a purchase when it was submitted.")
class SubmissionReceipt:
    """One purchase, in the order of the input."""

    index: Long = strawberry.field(description="Its place in the input, from 0 on.")
    source: str | None = strawberry.field(description="As it will be recorded; null where it cannot be.")
    external_id: str | None = strawberry.field(description="As it will be recorded; null where it cannot be.")
    is_accepted: bool = strawberry.field(
        description="Whether it was handed over; ask for the submission to see it applied."
    )
    refusal: SubmissionRefusal | None = strawberry.field(description="Why it was not.")


@strawberry.enum(description="What became of a purchase that was submitted.")
class SubmissionItemStatus(Enum):
    """Statuses of `domain.submissions.Status`."""

    ACCEPTED = strawberry.enum_value("ACCEPTED", description="It is handed over and not booked yet.")
    APPLIED = strawberry.enum_value("APPLIED", description="It is recorded, and its points are booked.")
    REFUSED = strawberry.enum_value(
        "REFUSED",
        description="It is not recorded, and nothing was booked; the refusal says why. When the same purchase is recorded later, "
        "by another call or because its message comes twice and the member has enrolled meanwhile, it is applied.",
    )
    FAILED = strawberry.enum_value(
        "FAILED",
        description="Its message was given up and waits for somebody to look into it, or is gone after 25 days; failure says "
        "which. It can still be applied, also when it is submitted again under another key.",
    )


@strawberry.type(description="A purchase of a submission as it stands now.")
class SubmissionItem:
    """One purchase."""

    index: Long = strawberry.field(description="Its place in the input, from 0 on.")
    source: str | None = strawberry.field(description="The system that numbered it.")
    external_id: str | None = strawberry.field(description="Its number in that system.")
    status: SubmissionItemStatus
    purchase: Purchase | None = strawberry.field(description="The purchase; null until it is applied.")
    refusal: SubmissionRefusal | None = strawberry.field(description="Why it was refused, if it was.")
    failure: str | None = strawberry.field(description="Why its message was given up, or that it is gone.")


@strawberry.type(description="A purchase of a submission and its place in the list.")
class SubmissionItemEdge:
    """Relay's edge."""

    cursor: str
    node: SubmissionItem


@strawberry.type(description="Purchases of a submission, in the order of the input.")
class SubmissionItemConnection:
    """Relay's connection."""

    edges: list[SubmissionItemEdge]
    nodes: list[SubmissionItem] = strawberry.field(description="The purchases without their cursors.")
    page_info: PageInfo


@strawberry.type(
    description="How many purchases of a submission stand how: received = accepted + applied + refused + failed."
)
class SubmissionTally:
    """Counts by status."""

    received: Long = strawberry.field(description="Purchases in the submission.")
    accepted: Long = strawberry.field(description="Purchases that are handed over and not booked yet.")
    applied: Long
    refused: Long = strawberry.field(description="Refused at once or later.")
    failed: Long = strawberry.field(description="Purchases whose messages were given up or are gone.")


@strawberry.type(
    description="Purchases that were submitted in one call. It is remembered for "
    f"{limits.SUBMISSION_RETENTION.days} days, the purchases for ever."
)
class Submission(Node):
    """A submission by its id."""

    submitted_at: DateTime = strawberry.field(description="When it was received.")
    size: Long = strawberry.field(description="How many purchases it has.")
    kept: strawberry.Private[submissions.Submission]

    @strawberry.field(
        description="How many purchases stand how. Counted anew each time, in some ten requests for 500 purchases: look every "
        "few seconds, not more often."
    )
    def tally(self, info: Info) -> SubmissionTally:
        """Counted only when it is asked for."""
        context = info.context
        inbox = context.inbox
        counts = submissions.tally(inbox.submissions, context.store, self.kept, wall=inbox.wall)
        return SubmissionTally(
            received=Long(len(self.kept.items)),
            accepted=Long(counts[Status.ACCEPTED]),
            applied=Long(counts[Status.APPLIED]),
            refused=Long(counts[Status.REFUSED]),
            failed=Long(counts[Status.FAILED]),
        )

    @strawberry.field(description="The purchases, in the order of the input.")
    def items(self, info: Info, first: int = 50, after: str | None = None) -> SubmissionItemConnection:
        """A page; each purchase of it is looked up."""
        context, scope = info.context, f"submission:{self.kept.id}"
        position = pages.position(context, scope, after)
        begin = 0 if position is None else int(position) + 1
        end = min(begin + min(first, limits.SUBMISSION_PAGE_MAX), len(self.kept.items))
        inbox, places = context.inbox, range(begin, end)
        found = submissions.standing(inbox.submissions, context.store, self.kept, places, wall=inbox.wall)
        edges = [
            SubmissionItemEdge(cursor=context.cursors.seal(scope, str(each.index)), node=_item_of(context, each))
            for each in found
        ]
        return SubmissionItemConnection(
            edges=edges,
            nodes=[edge.node for edge in edges],
            page_info=PageInfo(
                has_next_page=end < len(self.kept.items),
                has_previous_page=begin > 0,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
        )


def find(context: Context, submission_id: str) -> Submission | None:
    """A submission, for staff who see purchases and for the till that made it."""
    if not context.actor.may(Permission.PURCHASES_READ):
        return None
    found = context.inbox.submissions.find(submission_id) if submission_id else None
    if found is None or (context.actor.role is Role.PARTNER and found.actor != context.actor.id):
        return None
    return submission_of(found)


def submission_of(kept: submissions.Submission) -> Submission:
    """A submission as the contract shows it."""
    return Submission(
        id=to_id("Submission", kept.id),
        submitted_at=DateTime(kept.submitted_at),
        size=Long(len(kept.items)),
        kept=kept,
    )


def _item_of(context: Context, standing: Standing) -> SubmissionItem:
    item, claim = standing.item, standing.claim
    purchase = None
    if claim is not None and standing.outcome is not None:
        assert claim.basket is not None
        purchase = purchases.purchase_of(context, item.key, claim.basket, standing.outcome)
    return SubmissionItem(
        index=Long(standing.index),
        source=item.source,
        external_id=item.external_id,
        status=SubmissionItemStatus[standing.status.name],
        purchase=purchase,
        refusal=_refusal_of(standing.refusal),
        failure=standing.failure,
    )


def _refusal_of(refusal: Refusal | None) -> SubmissionRefusal | None:
    if refusal is None:
        return None
    return SubmissionRefusal(
        code=SubmissionRefusalCode[refusal.code], field=list(refusal.field) or None, message=refusal.message
    )


def submission(info: Info, id: strawberry.ID) -> Submission | None:
    """A submission by its id; null for the id of anything else."""
    kind, key = from_id(id)
    return find(info.context, key) if kind == "Submission" else None


# --- submitting -------------------------------------------------------------------------------------------------------


@strawberry.input(description="Purchases to record soon.")
class PurchasesSubmitInput:
    """Purchases as tills send them."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    purchases: list[PurchaseRecordInput] = strawberry.field(
        description=f"1 to {limits.SUBMISSION_PURCHASES_MAX} purchases. Each is recorded once by its source and "
        "externalId, however often it is submitted."
    )


@strawberry.enum(description="Why nothing was submitted.")
class PurchasesSubmitErrorCode(Enum):
    """Codes of `domain.submissions.SUBMIT_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    NO_PURCHASES = "NO_PURCHASES"
    SUBMISSION_TOO_LARGE = "SUBMISSION_TOO_LARGE"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    SUBMITTED_TOO_LONG_AGO = "SUBMITTED_TOO_LONG_AGO"


@strawberry.type(description="Why nothing was submitted.")
class PurchasesSubmitUserError(UserError):
    """A refusal of `purchasesSubmit` as a whole."""

    code: PurchasesSubmitErrorCode


@strawberry.type
class PurchasesSubmitPayload:
    """The submission, or why there is none."""

    submission: Submission | None = strawberry.field(default=None, description="The submission, to ask for again.")
    receipts: list[SubmissionReceipt] | None = strawberry.field(
        default=None, description="What was said of each purchase at once, in the order of the input."
    )
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key was received."
    )
    user_errors: list[PurchasesSubmitUserError] = strawberry.field(default_factory=list)


def purchases_submit(info: Info, input: PurchasesSubmitInput) -> PurchasesSubmitPayload:
    """Receives purchases, and has them queued."""
    context, inbox = info.context, info.context.inbox
    try:
        submitted = submissions.submit(
            inbox.submissions,
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            offers=[_offer(each, context) for each in input.purchases],
            now=context.now,
            wall=inbox.wall,
            send=inbox.send,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, PurchasesSubmitUserError, PurchasesSubmitErrorCode)
        return PurchasesSubmitPayload(replayed=refusal.replayed, user_errors=[error])
    return PurchasesSubmitPayload(
        submission=submission_of(submitted.submission),
        receipts=[
            SubmissionReceipt(
                index=Long(index),
                source=item.source,
                external_id=item.external_id,
                is_accepted=item.refusal is None,
                refusal=_refusal_of(item.refusal),
            )
            for index, item in enumerate(submitted.submission.items)
        ],
        replayed=submitted.replayed,
    )


def _offer(wanted: PurchaseRecordInput, context: Context) -> Offer:
    try:
        member = wanted.member.lookup("input", "member")
    except Refusal as refusal:
        return _offered(wanted, refusal, context)
    except Fault:
        # The id of something else. Alone it would be a mistake of the whole call; here the other purchases are good.
        return _offered(wanted, InvalidText("id is not the id of a Member.", field=("input", "member", "id")), context)
    return _offered(wanted, member, context)


def _offered(wanted: PurchaseRecordInput, member: Lookup | Refusal, context: Context) -> Offer:
    return Offer(
        source=wanted.source,
        external_id=wanted.external_id,
        member=member,
        basket=purchases.basket_of(wanted, wanted.occurred_at or DateTime(context.now)),
        is_dated=wanted.occurred_at is not None,
    )


@strawberry.type
class SubmissionQueries:
    """Fields of the query root."""

    submission: Submission | None = strawberry.field(
        resolver=submission,
        description="What became of purchases that were submitted; null when there is no such submission, and for tills when it "
        "is another's. For tills with purchases, support and managers.",
        extensions=[Permitted(Permission.PURCHASES_READ)],
    )


@strawberry.type
class SubmissionMutations:
    """Fields of the mutation root."""

    purchases_submit: PurchasesSubmitPayload = strawberry.field(
        resolver=purchases_submit,
        description=f"Takes up to {limits.SUBMISSION_PURCHASES_MAX} purchases at once and records them soon: what is "
        "wrong with one by itself is said in its "
        "own receipt, the others are queued, and each comes to what `purchaseRecord` would come to when its turn comes. Those "
        "that a worker takes together are booked in their order here; between batches the order is the queue's, which promises "
        "none. Needs purchases of a till, or a manager.",
        extensions=[Permitted(Permission.PURCHASES_RECORD)],
    )
