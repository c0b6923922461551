"""What steps of a campaign answer: the campaign as it is then, or why nothing was done. Each mutation has its own codes."""

from enum import Enum

import strawberry

from schema.campaigns.types import Campaign
from schema.refusals import UserError

_REPLAYED = "True when an earlier call with this key had done it."


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
    PREVIEW_CHANGED = "PREVIEW_CHANGED"


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
