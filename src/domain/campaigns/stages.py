"""What time and workers make of a campaign, and which of its runs are to be worked on where it stands."""

from dataclasses import replace
from datetime import datetime

from domain import limits
from domain.campaigns.definition import Action, Campaign, Status, Step, is_over
from domain.campaigns.results import Progress
from domain.campaigns.store import Campaigns, MemberOutcome, Run, RunKind
from domain.programs import Program

# Who made a step that nobody made: it was time.
CLOCK = "clock"


def started(campaign: Campaign, *, now: datetime) -> Campaign:
    """The campaign as it runs from now on."""
    return replace(campaign, status=Status.RUNNING, launched_at=now)


def cancelled(campaign: Campaign, *, now: datetime) -> Campaign:
    """The campaign that gives nothing any more. A preview that is at work ends with it, unfinished; and the bonus is to be handed
    out once more, to be settled."""
    return replace(campaign, status=Status.CANCELLED, stopped_at=now, ended_at=now, watched=())


def with_step(campaign: Campaign, action: Action, by: str, *, now: datetime) -> Campaign:
    """The campaign with one more step; the first one made it, and is never let go."""
    steps = (*campaign.steps, Step(action, by, now))
    return replace(campaign, steps=(steps[0], *steps[1:][-limits.CAMPAIGN_STEPS_MAX :]))


def begin_due(campaigns: Campaigns, program: Program, campaign: Campaign, *, now: datetime) -> Campaign:
    """Launches a scheduled campaign whose time has come, or cancels it where it has come too late for its points; any other stays
    as it is. Raises `Contended`."""
    if campaign.status is not Status.SCHEDULED or campaign.launches_at is None or now < campaign.launches_at:
        return campaign
    if is_over(campaign.draft.validity, now, program):
        return campaigns.save(with_step(cancelled(campaign, now=now), Action.CANCEL, CLOCK, now=now))
    return campaigns.save(started(campaign, now=now))


def completed(campaign: Campaign, run: Run, reached: Progress, *, now: datetime) -> Campaign | None:
    """The campaign after the last member of a run had their turn; None where that changes nothing any more."""
    match run.kind:
        case RunKind.PREVIEW if run.number == campaign.previews and campaign.previewed < run.number:
            members = reached.outcomes[MemberOutcome.APPLIED]
            return replace(campaign, previewed=run.number, preview_points=reached.points, preview_members=members)
        case RunKind.BONUS if campaign.status is Status.RUNNING:
            given_up = reached.outcomes[MemberOutcome.FAILED]
            return replace(campaign, status=Status.COMPLETED, ended_at=now, given_up=given_up)
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
            is_known = not campaign.is_unsettled and not is_uncertain(campaign, now=now)
            return campaign.status is Status.REVERTING and is_known


def is_settling(campaign: Campaign, *, now: datetime) -> bool:
    """Whether it is being written down what a cancelled campaign gave: the last of its workers has ended."""
    stopped = campaign.stopped_at
    return campaign.is_unsettled and stopped is not None and stopped + limits.CAMPAIGN_WORKER_MAX <= now


def is_uncertain(campaign: Campaign, *, now: datetime) -> bool:
    """Whether somebody for whom the bonus was given up may get it yet: from another worker, who was at it at the same time."""
    ended = campaign.ended_at
    return campaign.given_up > 0 and ended is not None and now < ended + limits.CAMPAIGN_WORKER_MAX


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
