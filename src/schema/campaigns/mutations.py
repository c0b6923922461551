"""What is done with campaigns through the API."""

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, Protocol, TypeVar

import strawberry

from domain.access import Permission
from domain.campaigns import lifecycle
from domain.campaigns.lifecycle import Changed
from domain.refusals import Refusal
from schema import refusals
from schema.access import Permitted
from schema.campaigns.inputs import (
    CampaignApproveInput,
    CampaignCancelInput,
    CampaignCreateInput,
    CampaignLaunchInput,
    CampaignPauseInput,
    CampaignPreviewInput,
    CampaignResumeInput,
    CampaignRevertInput,
)
from schema.campaigns.payloads import (
    CampaignApproveErrorCode,
    CampaignApprovePayload,
    CampaignApproveUserError,
    CampaignCancelErrorCode,
    CampaignCancelPayload,
    CampaignCancelUserError,
    CampaignCreateErrorCode,
    CampaignCreatePayload,
    CampaignCreateUserError,
    CampaignLaunchErrorCode,
    CampaignLaunchPayload,
    CampaignLaunchUserError,
    CampaignPauseErrorCode,
    CampaignPausePayload,
    CampaignPauseUserError,
    CampaignPreviewErrorCode,
    CampaignPreviewPayload,
    CampaignPreviewUserError,
    CampaignResumeErrorCode,
    CampaignResumePayload,
    CampaignResumeUserError,
    CampaignRevertErrorCode,
    CampaignRevertPayload,
    CampaignRevertUserError,
)
from schema.campaigns.types import campaign_of, key_of_campaign
from schema.context import Info
from schema.refusals import UserError

P = TypeVar("P")


def _answer(
    info: Info,
    act: Callable[[], Changed],
    payload: Callable[..., P],
    error: Callable[..., UserError],
    codes: type[Enum],
) -> P:
    """Does a step, and has the run that follows from it begin. Handing a run out again is harmless: a retry does so as well."""
    context = info.context
    try:
        changed = act()
    except Refusal as refusal:
        return payload(replayed=refusal.replayed, user_errors=[refusals.user_error(refusal, error, codes)])
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

    return _answer(info, act, CampaignCreatePayload, CampaignCreateUserError, CampaignCreateErrorCode)


def campaign_launch(info: Info, input: CampaignLaunchInput) -> CampaignLaunchPayload:
    """Launches a campaign."""
    context = info.context
    act = partial(lifecycle.launch, context.campaigns.store, context.program, at=input.at, **_step(info, input))
    return _answer(info, act, CampaignLaunchPayload, CampaignLaunchUserError, CampaignLaunchErrorCode)


def campaign_preview(info: Info, input: CampaignPreviewInput) -> CampaignPreviewPayload:
    """Begins a preview."""
    act = partial(lifecycle.preview, info.context.campaigns.store, **_step(info, input))
    return _answer(info, act, CampaignPreviewPayload, CampaignPreviewUserError, CampaignPreviewErrorCode)


def campaign_approve(info: Info, input: CampaignApproveInput) -> CampaignApprovePayload:
    """Approves a campaign."""
    act = partial(lifecycle.approve, info.context.campaigns.store, points=input.points, **_step(info, input))
    return _answer(info, act, CampaignApprovePayload, CampaignApproveUserError, CampaignApproveErrorCode)


def campaign_pause(info: Info, input: CampaignPauseInput) -> CampaignPausePayload:
    """Pauses a campaign."""
    act = partial(lifecycle.pause, info.context.campaigns.store, **_step(info, input))
    return _answer(info, act, CampaignPausePayload, CampaignPauseUserError, CampaignPauseErrorCode)


def campaign_resume(info: Info, input: CampaignResumeInput) -> CampaignResumePayload:
    """Resumes a campaign."""
    act = partial(lifecycle.resume, info.context.campaigns.store, info.context.program, **_step(info, input))
    return _answer(info, act, CampaignResumePayload, CampaignResumeUserError, CampaignResumeErrorCode)


def campaign_cancel(info: Info, input: CampaignCancelInput) -> CampaignCancelPayload:
    """Cancels a campaign."""
    act = partial(lifecycle.cancel, info.context.campaigns.store, **_step(info, input))
    return _answer(info, act, CampaignCancelPayload, CampaignCancelUserError, CampaignCancelErrorCode)


def campaign_revert(info: Info, input: CampaignRevertInput) -> CampaignRevertPayload:
    """Reverts a campaign."""
    act = partial(lifecycle.revert, info.context.campaigns.store, **_step(info, input))
    return _answer(info, act, CampaignRevertPayload, CampaignRevertUserError, CampaignRevertErrorCode)


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
