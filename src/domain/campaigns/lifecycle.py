"""What is done with a campaign: who may do it when, and what follows. Every step is written down with its caller's key, so the
same call again finds it done."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from domain import days, limits, lists, members
from domain.access import Actor
from domain.campaigns import stages
from domain.campaigns.audience import InvalidAudience, InvalidAward
from domain.campaigns.definition import (
    Action,
    Budget,
    Campaign,
    Draft,
    InvalidBudget,
    InvalidHoldOut,
    InvalidValidity,
    Status,
    Step,
    checked,
    is_over,
)
from domain.campaigns.store import Campaigns, KeyTaken, KeyUse, Run, RunKind, TooManyAtWork
from domain.entries import caller_key
from domain.lists import ListNotFound, ListNotReady, MemberList
from domain.programs import Program
from domain.refusals import IdempotencyKeyReused, InvalidText, InvalidTime, OutcomeUnknown, Refusal
from domain.store import Contended


class CampaignNotFound(Refusal):
    """There is no campaign with this id."""


class CampaignState(Refusal):
    """Where the campaign stands, this cannot be done with it: it runs, is over, or was launched before."""

    final = True


class PreviewMissing(Refusal):
    """Nobody has looked yet at whom the campaign means and what it costs, or the preview is not finished."""

    final = True


class AudienceEmpty(Refusal):
    """The preview found nobody who would get anything."""

    final = True


class ApprovalMissing(Refusal):
    """The campaign may give more points than one person launches alone; somebody else has to approve it."""

    final = True


class PreviewChanged(Refusal):
    """The preview has found other points than those the approver saw."""

    final = True


class ApproverInvolved(Refusal):
    """Who made a campaign cannot approve it."""

    final = True


class CampaignsBusy(Refusal):
    """`limits.CAMPAIGNS_AT_WORK_MAX` campaigns are at work; this one has to wait until one of them is done."""


_ANY: tuple[type[Refusal], ...] = (InvalidText, CampaignNotFound, IdempotencyKeyReused, CampaignState)
CREATE_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidAudience,
    InvalidAward,
    InvalidValidity,
    InvalidBudget,
    InvalidHoldOut,
    ListNotFound,
    ListNotReady,
    IdempotencyKeyReused,
)
PREVIEW_REFUSALS: tuple[type[Refusal], ...] = (*_ANY, CampaignsBusy)
APPROVE_REFUSALS: tuple[type[Refusal], ...] = (*_ANY, ApproverInvolved, PreviewMissing, PreviewChanged)
LAUNCH_REFUSALS: tuple[type[Refusal], ...] = (
    *_ANY,
    InvalidTime,
    PreviewMissing,
    AudienceEmpty,
    ApprovalMissing,
    CampaignsBusy,
)
PAUSE_REFUSALS: tuple[type[Refusal], ...] = _ANY
RESUME_REFUSALS: tuple[type[Refusal], ...] = (*_ANY, InvalidTime, CampaignsBusy)
CANCEL_REFUSALS: tuple[type[Refusal], ...] = _ANY
REVERT_REFUSALS: tuple[type[Refusal], ...] = (*_ANY, CampaignsBusy)


@dataclass(frozen=True, slots=True)
class Changed:
    """A campaign after a step. `replayed` when an earlier call with the same key had made it; `run` is what is to be handed out
    now, if anything: handing it out again is harmless."""

    campaign: Campaign
    replayed: bool
    run: Run | None = None


def create(
    campaigns: Campaigns,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    draft: Draft,
    campaign_id: str,
    find_list: Callable[[str], MemberList | None],
    now: datetime,
) -> Changed:
    """Writes a draft down as the campaign `campaign_id`. It never changes: another one is another campaign. `find_list` finds
    the list of members that an audience may name.

    Refuses, in this order: `InvalidText`, `InvalidAudience`, `InvalidAward`, `InvalidValidity`, `InvalidBudget`,
    `InvalidHoldOut`, `ListNotFound`, `ListNotReady`, `IdempotencyKeyReused`.
    """
    key, asked = _digest(actor, idempotency_key), _asked(draft)
    try:
        draft = checked(draft, program, today=days.day_of(now, program.zone))
        if draft.audience.list_id is not None:
            lists.require_ready(find_list, draft.audience.list_id, field=("input", "audience", "listId"))
    except Refusal:
        # What was good when it was made may be too late by now, or name what the program has no more.
        use = campaigns.used(key)
        if use is None or (use.action, use.asked) != (Action.CREATE, asked):
            raise
        return _made_before(campaigns, use, asked)
    step = Step(Action.CREATE, actor.id, now)
    campaign = Campaign(campaign_id, draft, created_by=actor.id, created_at=now, steps=(step,))
    try:
        campaigns.create(campaign, KeyUse(key, campaign_id, Action.CREATE, asked))
    except KeyTaken as taken:
        return _made_before(campaigns, taken.use, asked)
    return Changed(campaign, replayed=False)


def _made_before(campaigns: Campaigns, use: KeyUse, asked: bytes) -> Changed:
    if (use.action, use.asked) != (Action.CREATE, asked):
        raise _reused()
    return Changed(_known(campaigns, use.campaign), replayed=True)


def preview(campaigns: Campaigns, *, actor: Actor, idempotency_key: str, campaign_id: str, now: datetime) -> Changed:
    """Begins to look at every member: how many would get the bonus now, and how many points that is. Another preview, while one
    is at work, takes its place; an approval, which was of what the one before had found, is over. Refuses `PREVIEW_REFUSALS`, in
    their order."""

    def change(campaign: Campaign) -> Campaign:
        _require(campaign, Status.DRAFT, Status.SCHEDULED, what="looked at")
        # Who approved it had seen other figures.
        approved_by = None if campaign.status is Status.DRAFT else campaign.approved_by
        return replace(campaign, previews=campaign.previews + 1, approved_by=approved_by)

    return _changed(campaigns, Action.PREVIEW, change, actor, idempotency_key, campaign_id, now)


def approve(
    campaigns: Campaigns,
    *,
    actor: Actor,
    idempotency_key: str,
    campaign_id: str,
    points: int | None = None,
    now: datetime,
) -> Changed:
    """A second person has looked at the campaign and its preview, which had found `points`: another preview may have found
    others meanwhile. Refuses `APPROVE_REFUSALS`, in their order."""

    def change(campaign: Campaign) -> Campaign:
        _require(campaign, Status.DRAFT, what="approved")
        if campaign.created_by == actor.id:
            raise ApproverInvolved("Who made the campaign cannot approve it.", field=("input", "id"))
        _require_preview(campaign)
        if points is not None and points != campaign.preview_points:
            raise PreviewChanged(
                f"The preview has found {campaign.preview_points} points. Look at it again.", field=("input", "points")
            )
        return replace(campaign, approved_by=actor.id)

    asked = None if points is None else str(points)
    return _changed(campaigns, Action.APPROVE, change, actor, idempotency_key, campaign_id, now, asked)


def launch(
    campaigns: Campaigns,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    campaign_id: str,
    at: datetime | None = None,
    now: datetime,
) -> Changed:
    """Launches a campaign, now or `at` a time (program's clock). Refuses `LAUNCH_REFUSALS`, in their order: a launched campaign
    is not launched again."""

    def change(campaign: Campaign) -> Campaign:
        _require(campaign, Status.DRAFT, what="launched")
        if at is not None and not now < at <= now + limits.CAMPAIGN_AHEAD_MAX:
            raise InvalidTime(
                f"A campaign is scheduled later than now, by {limits.CAMPAIGN_AHEAD_MAX.days} days at most.",
                field=("input", "at"),
            )
        _require_in_time(campaign, program, at or now, field="at" if at else "id")
        _require_preview(campaign)
        if not campaign.preview_members:
            raise AudienceEmpty("The preview found nobody who would get anything.", field=("input", "id"))
        most = program.campaigns.points_unapproved_max
        if costs_at_most(campaign) > most and campaign.approved_by is None:
            raise ApprovalMissing(
                f"It may give {costs_at_most(campaign)} points; above {most} somebody else approves it first.",
                field=("input", "id"),
            )
        budget = campaign.draft.budget
        if budget.points is None:
            # However many join meanwhile: never more than was approved, or than needs no approval.
            budget = Budget(max(most, campaign.preview_points or 0), budget.members)
        begun = replace(campaign, budget_in_force=budget)
        if at is None:
            return stages.started(begun, now=now)
        return replace(begun, status=Status.SCHEDULED, launches_at=at)

    asked = at.isoformat() if at else None
    return _changed(campaigns, Action.LAUNCH, change, actor, idempotency_key, campaign_id, now, asked)


def pause(campaigns: Campaigns, *, actor: Actor, idempotency_key: str, campaign_id: str, now: datetime) -> Changed:
    """Stops giving until somebody resumes: workers end within seconds, between two members. Refuses `PAUSE_REFUSALS`."""

    def change(campaign: Campaign) -> Campaign:
        _require(campaign, Status.RUNNING, what="paused")
        return replace(campaign, status=Status.PAUSED)

    return _changed(campaigns, Action.PAUSE, change, actor, idempotency_key, campaign_id, now)


def resume(
    campaigns: Campaigns,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    campaign_id: str,
    now: datetime,
) -> Changed:
    """Goes on where a pause stopped. Refuses `RESUME_REFUSALS`, in their order: `InvalidTime` where its points would be over."""

    def change(campaign: Campaign) -> Campaign:
        _require(campaign, Status.PAUSED, what="resumed")
        _require_in_time(campaign, program, now, field="id")
        return replace(campaign, status=Status.RUNNING)

    return _changed(campaigns, Action.RESUME, change, actor, idempotency_key, campaign_id, now)


def cancel(campaigns: Campaigns, *, actor: Actor, idempotency_key: str, campaign_id: str, now: datetime) -> Changed:
    """Gives nothing more, for good. What was given stands until it is reverted; when the last worker must have ended
    (`limits.CAMPAIGN_WORKER_MAX`), it is written down what became of everybody. Refuses `CANCEL_REFUSALS`."""

    def change(campaign: Campaign) -> Campaign:
        _require(campaign, Status.DRAFT, Status.SCHEDULED, Status.RUNNING, Status.PAUSED, what="cancelled")
        return stages.cancelled(campaign, now=now)

    return _changed(campaigns, Action.CANCEL, change, actor, idempotency_key, campaign_id, now)


def revert(campaigns: Campaigns, *, actor: Actor, idempotency_key: str, campaign_id: str, now: datetime) -> Changed:
    """Takes back what a campaign has given, as far as members still have it. Refuses `REVERT_REFUSALS`, in their order.

    After a cancellation it begins when it is settled who got the bonus by then; and where the bonus was given up for some, when
    nobody can be giving it to them any more.
    """

    def change(campaign: Campaign) -> Campaign:
        _require(campaign, Status.COMPLETED, Status.CANCELLED, what="reverted")
        if campaign.launched_at is None:
            raise CampaignState("It was never launched: there is nothing to revert.", field=("input", "id"))
        return replace(campaign, status=Status.REVERTING, reverts_at=now)

    return _changed(campaigns, Action.REVERT, change, actor, idempotency_key, campaign_id, now)


def costs_at_most(campaign: Campaign) -> int:
    """The most points that a campaign gives: its budget, or, without one, what its preview found."""
    budget = campaign.draft.budget.points
    return (campaign.preview_points or 0) if budget is None else budget


def needs_approval(campaign: Campaign, program: Program) -> bool:
    """Whether somebody else has to approve it before it can be launched; what was launched needs nothing any more."""
    is_open = campaign.status is Status.DRAFT and campaign.approved_by is None
    return is_open and costs_at_most(campaign) > program.campaigns.points_unapproved_max


# --- steps ------------------------------------------------------------------------------------------------------------

_STANDS = {
    Status.DRAFT: "is a draft",
    Status.SCHEDULED: "is scheduled",
    Status.RUNNING: "is running",
    Status.PAUSED: "is paused",
    Status.COMPLETED: "is completed",
    Status.CANCELLED: "was cancelled",
    Status.REVERTING: "is being reverted",
    Status.REVERTED: "was reverted",
}


def _require(campaign: Campaign, *stands: Status, what: str) -> None:
    if campaign.status not in stands:
        raise CampaignState(f"The campaign {_STANDS[campaign.status]}: it cannot be {what}.", field=("input", "id"))


def _require_in_time(campaign: Campaign, program: Program, at: datetime, *, field: str) -> None:
    if is_over(campaign.draft.validity, at, program):
        raise InvalidTime("Its points would have expired by then.", field=("input", field))


def _require_preview(campaign: Campaign) -> None:
    if not campaign.previews or campaign.previewed < campaign.previews:
        raise PreviewMissing("Look at a preview first, and wait until it is finished.", field=("input", "id"))


def _changed(
    campaigns: Campaigns,
    action: Action,
    change: Callable[[Campaign], Campaign],
    actor: Actor,
    idempotency_key: str,
    campaign_id: str,
    now: datetime,
    asked: str | None = None,
) -> Changed:
    use = KeyUse(_digest(actor, idempotency_key), campaign_id, action, _asked(asked))
    for _ in range(limits.CAMPAIGN_ATTEMPTS_MAX):
        campaign = campaigns.find(campaign_id)
        if campaign is None:
            raise CampaignNotFound("There is no such campaign.", field=("input", "id"))
        before = campaigns.used(use.key)
        if before is not None:
            if replace(before, refusal=None) != use:
                raise _reused()
            if before.refusal is not None:
                raise before.refusal.again()
            # As it is now: what was read before its key may be from before the step.
            campaign = _known(campaigns, campaign_id)
            return Changed(campaign, replayed=True, run=_handed(campaign, action, now=now))
        try:
            after = change(campaign)
        except Refusal as refusal:
            if refusal.final:
                # Told no, this key never does it.
                try:
                    campaigns.refuse(replace(use, refusal=refusal))
                except Contended:
                    continue
            raise
        run = _handed(after, action, now=now)
        if run is not None:
            # Whoever comes by does not hand it out once more at once. A run that has to wait is handed out by them in its time.
            seen = after.watch(str(run))
            after = after.watching(str(run), 0 if seen is None else seen.reached, now)
        try:
            after = campaigns.save(stages.with_step(after, action, actor.id, now=now), use=use)
        except Contended:
            continue
        except TooManyAtWork:
            raise CampaignsBusy(
                f"{limits.CAMPAIGNS_AT_WORK_MAX} campaigns are at work; try again when one is done.",
                field=("input", "id"),
            ) from None
        return Changed(after, replayed=False, run=run)
    raise OutcomeUnknown("Others are at this campaign; whether this happened is unknown. Retry with the same key.")


def _handed(campaign: Campaign, action: Action, *, now: datetime) -> Run | None:
    """The run that follows from a step, as far as it is still to be made, and can begin."""
    kinds = {
        Action.PREVIEW: RunKind.PREVIEW,
        Action.LAUNCH: RunKind.BONUS,
        Action.RESUME: RunKind.BONUS,
        Action.REVERT: RunKind.REVERSAL,
    }
    found = (run for run in stages.runs(campaign) if stages.is_live(campaign, run, now=now))
    return next((run for run in found if run.kind is kinds.get(action)), None)


def _known(campaigns: Campaigns, campaign_id: str) -> Campaign:
    campaign = campaigns.find(campaign_id)
    assert campaign is not None, "campaigns are never taken away"
    return campaign


def _digest(actor: Actor, idempotency_key: str) -> bytes:
    key = members.key_text(idempotency_key)
    return hashlib.sha256(str(caller_key(actor.id, key)).encode()).digest()[:16]


def _asked(said: Draft | str | None) -> bytes:
    facts: Any = said if said is None or isinstance(said, str) else asdict(said)
    canonical = json.dumps(facts, sort_keys=True, default=_plain)
    return hashlib.sha256(canonical.encode()).digest()[:16]


def _plain(value: Any) -> Any:
    # Sets have no order of their own.
    return sorted(value) if isinstance(value, frozenset) else getattr(value, "value", None) or str(value)


def _reused() -> IdempotencyKeyReused:
    return IdempotencyKeyReused("This key was used before for something else.", field=("input", "idempotencyKey"))
