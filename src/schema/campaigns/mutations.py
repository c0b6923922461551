"""What is done with campaigns through the API."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol, TypeVar

import strawberry

from domain.access import Permission
from domain.campaigns import lifecycle
from domain.campaigns.lifecycle import Changed
from domain.refusals import Refusal
from schema import refusals
from schema.access import Permitted
from schema.campaigns.inputs import CampaignCreateInput
from schema.campaigns.types import Campaign, campaign_of, key_of_campaign
from schema.context import Info
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import DateTime

_REPLAYED = "True when an earlier call with this key had done it."


@strawberry.input(description="A campaign to look at.")
class CampaignPreviewInput:
    """A preview to begin."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to approve.")
class CampaignApproveInput:
    """An approval."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to pause.")
class CampaignPauseInput:
    """A pause."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to resume.")
class CampaignResumeInput:
    """A resumption."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to cancel.")
class CampaignCancelInput:
    """A cancellation."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to revert.")
class CampaignRevertInput:
    """A reversal."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")


@strawberry.input(description="A campaign to launch.")
class CampaignLaunchInput:
    """A launch, now or later."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `Campaign`.")
    at: DateTime | None = strawberry.field(
        default=None, description="When to launch it, by the program's clock: up to a minute later. Left out, now."
    )


@strawberry.enum(description="Why a campaign was not written down.")
class CampaignCreateErrorCode(Enum):
    """Codes of `domain.campaigns.lifecycle.CREATE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    INVALID_AUDIENCE = "INVALID_AUDIENCE"
    INVALID_AWARD = "INVALID_AWARD"
    INVALID_VALIDITY = "INVALID_VALIDITY"
    INVALID_BUDGET = "INVALID_BUDGET"
    INVALID_HOLD_OUT = "INVALID_HOLD_OUT"
    LIST_NOT_FOUND = "LIST_NOT_FOUND"
    LIST_NOT_READY = "LIST_NOT_READY"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"


@strawberry.type(description="Why a campaign was not written down.")
class CampaignCreateUserError(UserError):
    """A refusal of `campaignCreate`."""

    code: CampaignCreateErrorCode


@strawberry.type
class CampaignCreatePayload:
    """The campaign as it is then, or why nothing was done."""

    campaign: Campaign | None = None
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[CampaignCreateUserError] = strawberry.field(default_factory=list)


@strawberry.enum(description="Why a campaign was not looked at.")
class CampaignPreviewErrorCode(Enum):
    """Codes of `domain.campaigns.lifecycle.PREVIEW_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    CAMPAIGN_NOT_FOUND = "CAMPAIGN_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CAMPAIGN_STATE = "CAMPAIGN_STATE"
    CAMPAIGNS_BUSY = "CAMPAIGNS_BUSY"


@strawberry.type(description="Why a campaign was not looked at.")
class CampaignPreviewUserError(UserError):
    """A refusal of `campaignPreview`."""

    code: CampaignPreviewErrorCode


@strawberry.type
class CampaignPreviewPayload:
    """The campaign as it is then, or why nothing was done."""

    campaign: Campaign | None = None
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[CampaignPreviewUserError] = strawberry.field(default_factory=list)


@strawberry.enum(description="Why a campaign was not approved.")
class CampaignApproveErrorCode(Enum):
    """Codes of `domain.campaigns.lifecycle.APPROVE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    CAMPAIGN_NOT_FOUND = "CAMPAIGN_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CAMPAIGN_STATE = "CAMPAIGN_STATE"
    APPROVER_INVOLVED = "APPROVER_INVOLVED"
    PREVIEW_MISSING = "PREVIEW_MISSING"


@strawberry.type(description="Why a campaign was not approved.")
class CampaignApproveUserError(UserError):
    """A refusal of `campaignApprove`."""

    code: CampaignApproveErrorCode


@strawberry.type
class CampaignApprovePayload:
    """The campaign as it is then, or why nothing was done."""

    campaign: Campaign | None = None
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[CampaignApproveUserError] = strawberry.field(default_factory=list)


@strawberry.enum(description="Why a campaign was not launched.")
class CampaignLaunchErrorCode(Enum):
    """Codes of `domain.campaigns.lifecycle.LAUNCH_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    CAMPAIGN_NOT_FOUND = "CAMPAIGN_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CAMPAIGN_STATE = "CAMPAIGN_STATE"
    INVALID_TIME = "INVALID_TIME"
    PREVIEW_MISSING = "PREVIEW_MISSING"
    AUDIENCE_EMPTY = "AUDIENCE_EMPTY"
    APPROVAL_MISSING = "APPROVAL_MISSING"
    CAMPAIGNS_BUSY = "CAMPAIGNS_BUSY"


@strawberry.type(description="Why a campaign was not launched.")
class CampaignLaunchUserError(UserError):
    """A refusal of `campaignLaunch`."""

    code: CampaignLaunchErrorCode


@strawberry.type
class CampaignLaunchPayload:
    """The campaign as it is then, or why nothing was done."""

    campaign: Campaign | None = None
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[CampaignLaunchUserError] = strawberry.field(default_factory=list)


@strawberry.enum(description="Why a campaign was not paused.")
class CampaignPauseErrorCode(Enum):
    """Codes of `domain.campaigns.lifecycle.PAUSE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    CAMPAIGN_NOT_FOUND = "CAMPAIGN_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CAMPAIGN_STATE = "CAMPAIGN_STATE"


@strawberry.type(description="Why a campaign was not paused.")
class CampaignPauseUserError(UserError):
    """A refusal of `campaignPause`."""

    code: CampaignPauseErrorCode


@strawberry.type
class CampaignPausePayload:
    """The campaign as it is then, or why nothing was done."""

    campaign: Campaign | None = None
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[CampaignPauseUserError] = strawberry.field(default_factory=list)


@strawberry.enum(description="Why a campaign was not resumed.")
class CampaignResumeErrorCode(Enum):
    """Codes of `domain.campaigns.lifecycle.RESUME_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    CAMPAIGN_NOT_FOUND = "CAMPAIGN_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CAMPAIGN_STATE = "CAMPAIGN_STATE"
    INVALID_TIME = "INVALID_TIME"
    CAMPAIGNS_BUSY = "CAMPAIGNS_BUSY"


@strawberry.type(description="Why a campaign was not resumed.")
class CampaignResumeUserError(UserError):
    """A refusal of `campaignResume`."""

    code: CampaignResumeErrorCode


@strawberry.type
class CampaignResumePayload:
    """The campaign as it is then, or why nothing was done."""

    campaign: Campaign | None = None
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[CampaignResumeUserError] = strawberry.field(default_factory=list)


@strawberry.enum(description="Why a campaign was not cancelled.")
class CampaignCancelErrorCode(Enum):
    """Codes of `domain.campaigns.lifecycle.CANCEL_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    CAMPAIGN_NOT_FOUND = "CAMPAIGN_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CAMPAIGN_STATE = "CAMPAIGN_STATE"


@strawberry.type(description="Why a campaign was not cancelled.")
class CampaignCancelUserError(UserError):
    """A refusal of `campaignCancel`."""

    code: CampaignCancelErrorCode


@strawberry.type
class CampaignCancelPayload:
    """The campaign as it is then, or why nothing was done."""

    campaign: Campaign | None = None
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[CampaignCancelUserError] = strawberry.field(default_factory=list)


@strawberry.enum(description="Why a campaign was not reverted.")
class CampaignRevertErrorCode(Enum):
    """Codes of `domain.campaigns.lifecycle.REVERT_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    CAMPAIGN_NOT_FOUND = "CAMPAIGN_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CAMPAIGN_STATE = "CAMPAIGN_STATE"
    CAMPAIGNS_BUSY = "CAMPAIGNS_BUSY"


@strawberry.type(description="Why a campaign was not reverted.")
class CampaignRevertUserError(UserError):
    """A refusal of `campaignRevert`."""

    code: CampaignRevertErrorCode


@strawberry.type
class CampaignRevertPayload:
    """The campaign as it is then, or why nothing was done."""

    campaign: Campaign | None = None
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    user_errors: list[CampaignRevertUserError] = strawberry.field(default_factory=list)


P = TypeVar("P")


def _answer(info: Info, act: Callable[[], Changed], payload: Callable[..., P], refused: Callable[[Refusal], Any]) -> P:
    """Does a step, and has the run that follows from it begin. Handing a run out again is harmless: a retry does so as well."""
    context = info.context
    try:
        changed = act()
    except Refusal as refusal:
        return payload(replayed=refusal.replayed, user_errors=[refused(refusal)])
    if changed.run is not None:
        context.campaigns.hand_out(changed.run)
    return payload(campaign=campaign_of(context, changed.campaign), replayed=changed.replayed)


class _Step(Protocol):
    """What every step says."""

    idempotency_key: str
    id: strawberry.ID


def _step(info: Info, input: _Step) -> dict[str, Any]:
    return {
        "actor": info.context.actor,
        "idempotency_key": input.idempotency_key,
        # The id of anything else is no campaign's.
        "campaign_id": key_of_campaign(input.id) or "",
        "now": info.context.now,
    }


def campaign_create(info: Info, input: CampaignCreateInput) -> CampaignCreatePayload:
    """Writes a campaign down."""
    context = info.context

    def act() -> Changed:
        try:
            return lifecycle.create(
                context.campaigns.store,
                context.program,
                actor=context.actor,
                idempotency_key=input.idempotency_key,
                draft=input.draft(),
                campaign_id=context.new_account(),
                find_list=context.lists.store.find,
                now=context.now,
            )
        except Refusal as refusal:
            refusal.field = input.award.place(refusal.field)
            raise

    return _answer(
        info,
        act,
        CampaignCreatePayload,
        lambda refusal: refusals.user_error(refusal, CampaignCreateUserError, CampaignCreateErrorCode),
    )


def campaign_launch(info: Info, input: CampaignLaunchInput) -> CampaignLaunchPayload:
    """Launches a campaign."""
    context = info.context

    def act() -> Changed:
        return lifecycle.launch(context.campaigns.store, context.program, at=input.at, **_step(info, input))

    return _answer(
        info,
        act,
        CampaignLaunchPayload,
        lambda refusal: refusals.user_error(refusal, CampaignLaunchUserError, CampaignLaunchErrorCode),
    )


def campaign_preview(info: Info, input: CampaignPreviewInput) -> CampaignPreviewPayload:
    """Begins a preview."""

    def act() -> Changed:
        return lifecycle.preview(info.context.campaigns.store, **_step(info, input))

    return _answer(
        info,
        act,
        CampaignPreviewPayload,
        lambda refusal: refusals.user_error(refusal, CampaignPreviewUserError, CampaignPreviewErrorCode),
    )


def campaign_approve(info: Info, input: CampaignApproveInput) -> CampaignApprovePayload:
    """Approves a campaign."""

    def act() -> Changed:
        return lifecycle.approve(info.context.campaigns.store, **_step(info, input))

    return _answer(
        info,
        act,
        CampaignApprovePayload,
        lambda refusal: refusals.user_error(refusal, CampaignApproveUserError, CampaignApproveErrorCode),
    )


def campaign_pause(info: Info, input: CampaignPauseInput) -> CampaignPausePayload:
    """Pauses a campaign."""

    def act() -> Changed:
        return lifecycle.pause(info.context.campaigns.store, **_step(info, input))

    return _answer(
        info,
        act,
        CampaignPausePayload,
        lambda refusal: refusals.user_error(refusal, CampaignPauseUserError, CampaignPauseErrorCode),
    )


def campaign_resume(info: Info, input: CampaignResumeInput) -> CampaignResumePayload:
    """Resumes a campaign."""

    def act() -> Changed:
        return lifecycle.resume(info.context.campaigns.store, info.context.program, **_step(info, input))

    return _answer(
        info,
        act,
        CampaignResumePayload,
        lambda refusal: refusals.user_error(refusal, CampaignResumeUserError, CampaignResumeErrorCode),
    )


def campaign_cancel(info: Info, input: CampaignCancelInput) -> CampaignCancelPayload:
    """Cancels a campaign."""

    def act() -> Changed:
        return lifecycle.cancel(info.context.campaigns.store, **_step(info, input))

    return _answer(
        info,
        act,
        CampaignCancelPayload,
        lambda refusal: refusals.user_error(refusal, CampaignCancelUserError, CampaignCancelErrorCode),
    )


def campaign_revert(info: Info, input: CampaignRevertInput) -> CampaignRevertPayload:
    """Reverts a campaign."""

    def act() -> Changed:
        return lifecycle.revert(info.context.campaigns.store, **_step(info, input))

    return _answer(
        info,
        act,
        CampaignRevertPayload,
        lambda refusal: refusals.user_error(refusal, CampaignRevertUserError, CampaignRevertErrorCode),
    )


@strawberry.type
class CampaignMutations:
    """Fields of the mutation root."""

    campaign_create: CampaignCreatePayload = strawberry.field(
        resolver=campaign_create,
        description="Writes a campaign down as a draft. It gives nothing before it is launched, and never changes: "
        "another one is another campaign. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
    campaign_preview: CampaignPreviewPayload = strawberry.field(
        resolver=campaign_preview,
        description="Looks at every member, and reckons how many would get points now, and how many. It goes on after the "
        "answer; ask the campaign for its preview. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
    campaign_approve: CampaignApprovePayload = strawberry.field(
        resolver=campaign_approve,
        description="Approves a campaign that may give more points than one person gives alone. Needs a manager other "
        "than its maker.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
    campaign_launch: CampaignLaunchPayload = strawberry.field(
        resolver=campaign_launch,
        description="Launches a campaign, at once or at a time. Every member of its audience gets the points once, "
        "whatever is repeated. It has to be previewed, and approved where it needs that. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
    campaign_pause: CampaignPausePayload = strawberry.field(
        resolver=campaign_pause,
        description="Stops a running campaign: workers end within seconds, between two members. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
    campaign_resume: CampaignResumePayload = strawberry.field(
        resolver=campaign_resume,
        description="Has a paused campaign go on where it stopped. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
    campaign_cancel: CampaignCancelPayload = strawberry.field(
        resolver=campaign_cancel,
        description="Ends a campaign for good; what it gave stands until it is reverted. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
    campaign_revert: CampaignRevertPayload = strawberry.field(
        resolver=campaign_revert,
        description="Takes back what a completed or cancelled campaign gave, as far as members still have it, by an entry "
        "of its own each. After a cancellation it begins when the last worker must have ended, three minutes "
        "later. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
