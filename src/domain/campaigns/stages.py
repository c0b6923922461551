"""What time and workers make of a campaign, and which of its runs are to be worked on where it stands."""

from dataclasses import replace
from datetime import datetime

from domain import limits
from domain.campaigns.definition import Campaign, Status
from domain.campaigns.store import Campaigns, Run, RunKind


def started(campaign: Campaign, *, now: datetime) -> Campaign:
    """The campaign as it runs from now on."""
    return replace(campaign, status=Status.RUNNING, launched_at=now)


def begin_due(campaigns: Campaigns, campaign: Campaign, *, now: datetime) -> Campaign:
    """Launches a scheduled campaign whose time has come; any other stays as it is. Raises `Contended`."""
    is_due = campaign.status is Status.SCHEDULED and campaign.launches_at is not None and campaign.launches_at <= now
    return campaigns.save(started(campaign, now=now)) if is_due else campaign


def completed(campaign: Campaign, run: Run, *, points: int, members: int, now: datetime) -> Campaign | None:
    """The campaign after the last member of a run had their turn; None where that changes nothing any more."""
    match run.kind:
        case RunKind.PREVIEW if run.number == campaign.previews and campaign.previewed < run.number:
            return replace(campaign, previewed=run.number, preview_points=points, preview_members=members)
        case RunKind.BONUS if campaign.status is Status.RUNNING:
            return replace(campaign, status=Status.COMPLETED, ended_at=now)
        case RunKind.BONUS if campaign.is_unsettled:
            return replace(campaign, settled_at=now)
        case RunKind.REVERSAL if campaign.status is Status.REVERTING:
            return replace(campaign, status=Status.REVERTED, reverted_at=now)
    return None


def is_live(campaign: Campaign, run: Run, *, now: datetime) -> bool:
    """Whether a run is to be worked on now."""
    match run.kind:
        case RunKind.PREVIEW:
            return campaign.is_looked_at and run.number == campaign.previews
        case RunKind.BONUS:
            return campaign.status is Status.RUNNING or is_settling(campaign, now=now)
        case RunKind.REVERSAL:
            return campaign.status is Status.REVERTING and not campaign.is_unsettled


def is_settling(campaign: Campaign, *, now: datetime) -> bool:
    """Whether it is being written down what a cancelled campaign gave: the last of its workers has ended."""
    stopped = campaign.stopped_at
    return campaign.is_unsettled and stopped is not None and stopped + limits.CAMPAIGN_WORKER_MAX <= now


def runs(campaign: Campaign) -> tuple[Run, ...]:
    """The runs of a campaign that somebody may have to go on with."""
    found = []
    if campaign.is_looked_at:
        found.append(Run(campaign.id, RunKind.PREVIEW, campaign.previews))
    if campaign.status is Status.RUNNING or campaign.is_unsettled:
        found.append(Run(campaign.id, RunKind.BONUS))
    if campaign.status is Status.REVERTING:
        found.append(Run(campaign.id, RunKind.REVERSAL))
    return tuple(found)
