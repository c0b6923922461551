"""Campaigns as the contract shows them: what they are, where they stand, and how far they are."""

from datetime import datetime
from enum import Enum

import strawberry

from domain import campaigns, days, limits, members
from domain.campaigns import lifecycle, results
from domain.campaigns.store import MemberOutcome, Run, RunKind
from domain.members import InvalidEmail, InvalidPhone
from domain.refusals import InvalidText, MemberNotFound
from schema.context import Context, Info
from schema.entries import Money
from schema.faults import Code, Fault
from schema.members import MemberByInput
from schema.nodes import Node, from_id, to_id
from schema.pages import PageInfo
from schema.scalars import DateTime, Day, Long


@strawberry.enum(description="What a campaign does.")
class CampaignKind(Enum):
    """Kinds of `domain.campaigns.CampaignKind`."""

    BULK_BONUS = strawberry.enum_value("BULK_BONUS", description="Points for every member of an audience, once.")


@strawberry.enum(description="Where a campaign stands.")
class CampaignStatus(Enum):
    """Statuses of `domain.campaigns.Status`."""

    DRAFT = strawberry.enum_value("DRAFT", description="It can be previewed, approved, and launched.")
    SCHEDULED = strawberry.enum_value("SCHEDULED", description="It launches at its time.")
    RUNNING = strawberry.enum_value("RUNNING", description="Workers are at it.")
    PAUSED = strawberry.enum_value("PAUSED", description="It gives nothing until somebody resumes it.")
    COMPLETED = strawberry.enum_value("COMPLETED", description="Every member had their turn.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="It gives nothing more. What it gave stands.")
    REVERTING = strawberry.enum_value("REVERTING", description="What it gave is being taken back.")
    REVERTED = strawberry.enum_value("REVERTED", description="What it gave was taken back.")


@strawberry.enum(description="What became of a member in a campaign.")
class CampaignOutcome(Enum):
    """Outcomes of `domain.campaigns.store.MemberOutcome`."""

    APPLIED = strawberry.enum_value("APPLIED", description="They got the points; of a reversal: those were taken back.")
    OUTSIDE = strawberry.enum_value("OUTSIDE", description="They are not in the audience, or in none of its segments.")
    HELD_OUT = strawberry.enum_value("HELD_OUT", description="They are of the share that gets nothing.")
    BUDGET = strawberry.enum_value("BUDGET", description="The budget was used up.")
    BLOCKED = strawberry.enum_value("BLOCKED", description="Their account was blocked.")
    CLOSED = strawberry.enum_value("CLOSED", description="Their membership has ended.")
    MERGED = strawberry.enum_value(
        "MERGED", description="Their account lives on in another, which has a turn of its own if it is meant."
    )
    GONE = strawberry.enum_value("GONE", description="They are no member any more.")
    NO_BONUS = strawberry.enum_value("NO_BONUS", description="Of a reversal: they had got nothing.")
    STOPPED = strawberry.enum_value("STOPPED", description="The campaign was cancelled before their turn.")
    LATE = strawberry.enum_value("LATE", description="The last day of its points was over by their turn.")
    FAILED = strawberry.enum_value("FAILED", description="Something was wrong with the account; the log says what.")


@strawberry.enum(description="What was done with a campaign.")
class CampaignAction(Enum):
    """Actions of `domain.campaigns.Action`."""

    CREATE = "CREATE"
    PREVIEW = "PREVIEW"
    APPROVE = "APPROVE"
    LAUNCH = "LAUNCH"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    CANCEL = "CANCEL"
    REVERT = "REVERT"


@strawberry.type(description="Whom a campaign, or a segment of it, means: every condition that is given must hold.")
class CampaignAudience:
    """Conditions as they were asked for."""

    tiers: list[str]
    balance_min: Long | None
    balance_max: Long | None
    locations: list[str]
    active_from: Day | None
    active_until: Day | None
    joined_from: Day | None
    joined_until: Day | None
    tags: list[str]
    without_tags: list[str]
    birth_months: list[Long]
    list_id: strawberry.ID | None


@strawberry.type(description="Members of the audience, and what each of them gets.")
class CampaignSegment:
    """A segment: the first one that a member is in counts."""

    audience: CampaignAudience
    points: Long


@strawberry.type(description="The most that a campaign gives.")
class CampaignBudget:
    """Bounds, null for none."""

    points_max: Long | None
    members_max: Long | None


@strawberry.type(description="What is left of a campaign's budget.")
class CampaignBudgetLeft:
    """Bounds, null for none."""

    points_left: Long | None
    members_left: Long | None


@strawberry.type(description="What members are told.")
class CampaignMessage:
    """A title and a text, with places that are filled in."""

    title: str
    text: str


@strawberry.type(description="Something that was done with a campaign.")
class CampaignStep:
    """A step, the newest last."""

    action: CampaignAction
    by: str = strawberry.field(description="The caller, as entries name callers; `clock` where it was time.")
    at: DateTime


@strawberry.type(description="How many members were skipped for a reason.")
class CampaignSkipped:
    """A reason and its number."""

    reason: CampaignOutcome
    member_count: Long


@strawberry.type(
    description="How far a run through the members is: exactly what its finished chunks say. In the end `planned` is `applied`, "
    "all `skips` and `failed` together."
)
class CampaignProgress:
    """Figures of a run."""

    is_planned: bool = strawberry.field(description="Whether `planned` is final: all members are cut into chunks.")
    planned: Long = strawberry.field(description="Members whose turn comes.")
    done: Long = strawberry.field(description="Members who had their turn.")
    applied: Long = strawberry.field(description="Members who got the points, or from whom they were taken back.")
    skips: list[CampaignSkipped] = strawberry.field(description="Members who got nothing, by reason, most first.")
    failed: Long = strawberry.field(description="Members with whose account something was wrong.")
    points: Long = strawberry.field(description="Points that moved; taken back, they are less than 0.")
    chunk_count: Long = strawberry.field(description=f"Chunks of up to {limits.CHUNK_MEMBERS_MAX} members.")
    chunks_done: Long


@strawberry.type(description="What a campaign would give now, reckoned member by member.")
class CampaignPreview:
    """A preview."""

    is_finished: bool = strawberry.field(description="Whether every member was looked at.")
    member_count: Long | None = strawberry.field(
        description="Members who would get points, before any budget; null until it is finished."
    )
    points: Long | None = strawberry.field(
        description="Points they would get in all, before any budget; null until it is finished."
    )
    liability: Money | None = strawberry.field(
        description="What those points are worth by the program's `point_value`, rounded up; null where it says nothing."
    )
    progress: CampaignProgress


@strawberry.type(description="What became of one member.")
class CampaignMemberResult:
    """A member's result in the bonus, and in the reversal."""

    outcome: CampaignOutcome | None = strawberry.field(
        description="Null while their turn has not come, and for who joined after the members were cut into chunks."
    )
    reversal: CampaignOutcome | None = strawberry.field(description="Null where nothing was reverted.")


@strawberry.type(description="Points for many members at once.")
class Campaign(Node):
    """A campaign by its id."""

    kind: CampaignKind
    name: str
    code: str = strawberry.field(description="What members see as the reason of their points.")
    status: CampaignStatus
    audience: CampaignAudience
    segments: list[CampaignSegment] = strawberry.field(description="What each member of the audience gets.")
    valid_days: Long | None = strawberry.field(description="Days for which the points can be spent.")
    valid_until: Day | None = strawberry.field(description="The last day of the points.")
    budget: CampaignBudget = strawberry.field(
        description="The most it gives. Where it names no points, launching it adds what the preview found, or what the program "
        "lets one person give if that is more."
    )
    hold_out_percent: Long
    message: CampaignMessage | None = strawberry.field(description="Null when it is silent.")
    is_approval_needed: bool = strawberry.field(
        description="Whether somebody else than its maker has to approve it before it can be launched: it may give more points "
        "than the program's `points_unapproved_max`."
    )
    approved_by: str | None
    created_at: DateTime
    launch_at: DateTime | None = strawberry.field(description="When it will launch, or was to.")
    launched_at: DateTime | None
    ended_at: DateTime | None = strawberry.field(description="When it was completed, or cancelled.")
    reverted_at: DateTime | None
    steps: list[CampaignStep] = strawberry.field(
        description=f"What was done with it, the oldest first: how it was made, and the last {limits.CAMPAIGN_STEPS_MAX} steps."
    )
    kept: strawberry.Private[campaigns.Campaign]

    @strawberry.field(description="The newest preview; null before the first.")
    def preview(self, info: Info) -> CampaignPreview | None:
        """Read when asked for."""
        kept = self.kept
        if not kept.previews:
            return None
        is_finished = kept.previewed == kept.previews
        points = kept.preview_points if is_finished else None
        value = info.context.program.point_value
        worth = value.of(points) if value is not None and points is not None else None
        return CampaignPreview(
            is_finished=is_finished,
            member_count=_long(kept.preview_members if is_finished else None),
            points=_long(points),
            liability=Money(amount_minor=Long(worth[0]), currency=worth[1]) if worth else None,
            progress=_progress(info.context, Run(kept.id, RunKind.PREVIEW, kept.previews)),
        )

    @strawberry.field(description="How far it is; null before it is launched.")
    def progress(self, info: Info) -> CampaignProgress | None:
        """Read when asked for."""
        return _progress(info.context, Run(self.kept.id, RunKind.BONUS)) if self.kept.launched_at else None

    @strawberry.field(description="How far its reversal is; null if it is not reverted.")
    def reversal(self, info: Info) -> CampaignProgress | None:
        """Read when asked for."""
        return _progress(info.context, Run(self.kept.id, RunKind.REVERSAL)) if self.kept.reverts_at else None

    @strawberry.field(description="What is left of its budget; null without one, and before it is launched.")
    def budget_left(self, info: Info) -> CampaignBudgetLeft | None:
        """Read when asked for."""
        kept = self.kept
        if not kept.budget_in_force or kept.launched_at is None:
            return None
        left = info.context.campaigns.store.budget(Run(kept.id, RunKind.BONUS)) or kept.budget_in_force
        return CampaignBudgetLeft(points_left=_long(left.points), members_left=_long(left.members))

    @strawberry.field(
        description="What became of a member; null when there is no such member. Some ten reads, however many there are."
    )
    def member_result(self, info: Info, member: MemberByInput) -> CampaignMemberResult | None:
        """Looks the member up in their chunk."""
        context, kept = info.context, self.kept
        try:
            account = members.resolve(context.store, actor=context.actor, by=member.lookup("member"), field=("member",))
        except MemberNotFound:
            return None
        except (InvalidText, InvalidEmail, InvalidPhone) as refusal:
            raise Fault(Code.BAD_USER_INPUT, refusal.message, field=".".join(refusal.field)) from refusal
        bonus, reversal = Run(kept.id, RunKind.BONUS), Run(kept.id, RunKind.REVERSAL)
        store = context.campaigns.store
        return CampaignMemberResult(
            outcome=_outcome(results.of_member(store, bonus, bonus, account)),
            reversal=_outcome(results.of_member(store, reversal, bonus, account)) if kept.reverts_at else None,
        )


@strawberry.type(description="A campaign and its place in the list.")
class CampaignEdge:
    """Relay's edge."""

    cursor: str
    node: Campaign


@strawberry.type(description="Campaigns, the newest first.")
class CampaignConnection:
    """Relay's connection."""

    edges: list[CampaignEdge]
    nodes: list[Campaign] = strawberry.field(description="The campaigns without their cursors.")
    page_info: PageInfo


def key_of_campaign(global_id: str) -> str | None:
    """The key in a campaign's global id; None for any other text, and for what is too long to be one."""
    kind, key = from_id(global_id)
    return key if kind == "Campaign" and 0 < len(key) <= limits.ACCOUNT_LENGTH_MAX else None


def campaign_of(context: Context, kept: campaigns.Campaign) -> Campaign:
    """A campaign as the contract shows it."""
    draft = kept.draft
    return Campaign(
        id=to_id("Campaign", kept.id),
        kind=CampaignKind[draft.kind.name],
        name=draft.name,
        code=draft.code,
        status=CampaignStatus[kept.status.name],
        audience=_audience(draft.audience),
        segments=[
            CampaignSegment(audience=_audience(each.audience), points=Long(each.points))
            for each in draft.award.segments
        ],
        valid_days=_long(draft.validity.days),
        valid_until=_date(draft.validity.until),
        budget=budget_of(kept.budget_in_force or draft.budget),
        hold_out_percent=Long(draft.hold_out_percent),
        message=CampaignMessage(title=draft.message.title, text=draft.message.text) if draft.message else None,
        is_approval_needed=lifecycle.needs_approval(kept, context.program),
        approved_by=kept.approved_by,
        created_at=DateTime(kept.created_at),
        launch_at=_time(kept.launches_at),
        launched_at=_time(kept.launched_at),
        ended_at=_time(kept.ended_at),
        reverted_at=_time(kept.reverted_at),
        steps=[
            CampaignStep(action=CampaignAction[step.action.name], by=step.by, at=DateTime(step.at))
            for step in kept.steps
        ],
        kept=kept,
    )


def budget_of(budget: campaigns.Budget) -> CampaignBudget:
    """A budget as the contract shows it."""
    return CampaignBudget(points_max=_long(budget.points), members_max=_long(budget.members))


def _progress(context: Context, run: Run) -> CampaignProgress:
    found = results.progress(context.campaigns.store, run)
    told = {MemberOutcome.APPLIED, MemberOutcome.FAILED}
    return CampaignProgress(
        is_planned=found.is_planned,
        planned=Long(found.members),
        done=Long(found.done),
        applied=Long(found.outcomes[MemberOutcome.APPLIED]),
        skips=[
            CampaignSkipped(reason=CampaignOutcome[outcome.name], member_count=Long(count))
            for outcome, count in found.outcomes.most_common()
            if outcome not in told
        ],
        failed=Long(found.outcomes[MemberOutcome.FAILED]),
        points=Long(found.points),
        chunk_count=Long(found.chunks),
        chunks_done=Long(found.chunks_done),
    )


def _audience(audience: campaigns.Audience) -> CampaignAudience:
    return CampaignAudience(
        tiers=sorted(audience.tiers),
        balance_min=_long(audience.balance_min),
        balance_max=_long(audience.balance_max),
        locations=sorted(audience.locations),
        active_from=_date(audience.active_from),
        active_until=_date(audience.active_until),
        joined_from=_date(audience.joined_from),
        joined_until=_date(audience.joined_until),
        tags=sorted(audience.tags),
        without_tags=sorted(audience.tags_without),
        birth_months=[Long(month) for month in sorted(audience.birth_months)],
        list_id=to_id("MemberList", audience.list_id) if audience.list_id else None,
    )


def _outcome(outcome: MemberOutcome | None) -> CampaignOutcome | None:
    return None if outcome is None else CampaignOutcome[outcome.name]


def _long(value: int | None) -> Long | None:
    return None if value is None else Long(value)


def _date(day: int | None) -> Day | None:
    return None if day is None else Day(days.date_of(day))


def _time(at: datetime | None) -> DateTime | None:
    return None if at is None else DateTime(at)
