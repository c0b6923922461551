"""The schema: the roots put together from their nouns, and `node`, which finds anything again by its id."""

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types

from domain import ledger, members
from domain.access import Permission
from domain.entries import EntryKind, Key, Record
from schema import (
    access,
    campaigns,
    clock,
    entries,
    limits,
    lists,
    notices,
    purchases,
    rewards,
    submissions,
    tiers,
    transfers,
)
from schema.access import Permitted
from schema.accounts import Hold, hold_of
from schema.adjustments import AdjustmentMutations
from schema.campaigns import CampaignMutations, CampaignQueries
from schema.clock import ClockMutations, ClockQueries
from schema.context import Context, Info
from schema.holds import HoldMutations
from schema.lists import ListMutations, ListQueries
from schema.members import MemberMutations, MemberQueries, load
from schema.merges import MergeMutations
from schema.nodes import Node, from_id
from schema.notices import NoticeMutations
from schema.profiles import ProfileMutations
from schema.programs import ProgramQueries
from schema.promotions import PromotionMutations
from schema.purchases import PurchaseMutations, PurchaseQueries
from schema.returns import ReturnMutations
from schema.rewards import RewardMutations, RewardQueries
from schema.scalars import SCALARS
from schema.standing import StandingMutations
from schema.submissions import SubmissionMutations, SubmissionQueries
from schema.transfers import TransferMutations


def node(info: Info, id: strawberry.ID) -> Node | None:
    """Any object by its id; null when there is none or the caller may not see it."""
    context = info.context
    kind, key = from_id(id)
    if kind == "Reward":
        reward = context.program.reward(key)
        return rewards.reward_of(context, reward) if reward else None
    if kind == "Tier":
        return _tier(context, key)
    if kind == "Job":
        return clock.find(context, key)
    if kind == "Campaign":
        return campaigns.find(context, id)
    if kind == "MemberList":
        return lists.find(context, key)
    if kind == "Submission":
        return submissions.find(context, key)
    if kind == "Purchase":
        source, _, value = key.partition(":")
        return purchases.find(context, Key(source, value))
    account, _, place = key.partition(":")
    if kind == "Transfer":
        return _transfer_at(context, account, place)
    if kind not in ("Member", "Entry", "Redemption", "Hold", "Notice") or not account or not _may_see(context, account):
        return None
    if kind == "Member":
        return load(info, account)
    if kind == "Hold":
        return _hold_at(context, account, place)
    if kind == "Notice":
        return notices.find(context, account, place)
    record, index = _entry_at(context, account, place)
    if record is None:
        return None
    entry = record.entries[index]
    if kind == "Redemption":
        return rewards.redemption_of(context, account, record.seq, index, entry) if entry.reward else None
    return entries.entry_of(account, record.seq, index, entry)


def entry(info: Info, id: strawberry.ID) -> entries.Entry | None:
    """An entry by its id; null for the id of anything else."""
    found = node(info, id) if from_id(id)[0] == "Entry" else None
    return found if isinstance(found, entries.Entry) else None


def _tier(context: Context, key: str) -> tiers.Tier | None:
    ladder = context.program.ladder
    return next((tiers.tier_of(each) for each in ladder.tiers if each.id == key), None) if ladder else None


def _may_see(context: Context, account: str) -> bool:
    if context.actor.may(Permission.MEMBERS_READ):
        return True
    return members.is_one(context.store, account, members.own_account(context.store, context.actor))


def _transfer_at(context: Context, account: str, place: str) -> transfers.Transfer | None:
    """A transfer, for whoever may see one of its sides."""
    record, index = _entry_at(context, account, place) if account else (None, 0)
    entry = record.entries[index] if record is not None else None
    if record is None or entry is None or entry.kind is not EntryKind.TRANSFER_OUT:
        return None
    assert entry.peer
    if not (_may_see(context, account) or _may_see(context, entry.peer[0])):
        return None
    return transfers.transfer_of(account, record.seq, index, entry)


def _hold_at(context: Context, account: str, place: str) -> Hold | None:
    """A hold while it is open."""
    # Strong: a till that has ended a hold must not see it again.
    head = context.store.head(account, strong=True)
    if head is None:
        return None
    holds = ledger.current(head, context.now, context.program).state.holds
    return next((hold_of(account, number, held) for number, held in holds.items() if place == str(number)), None)


def _entry_at(context: Context, account: str, place: str) -> tuple[Record | None, int]:
    seq, _, index = place.partition(":")
    if not (seq.isdecimal() and index.isdecimal() and len(seq) <= 10 and len(index) <= 3):
        return None, 0
    if int(seq) < 1:
        return None, 0
    # With the record before it: an entry that nobody has booked yet follows from the head.
    found = context.store.records_after(account, max(int(seq) - 2, 0), limit=min(int(seq), 2))
    record = found[-1] if found else None
    if record is not None and record.seq + 1 == int(seq):
        record = ledger.current(record, context.now, context.program)
    if record is None or record.seq != int(seq) or int(index) >= len(record.entries):
        return None, 0
    if not entries.is_shown(record.entries[int(index)]):
        return None, 0
    return record, int(index)


@strawberry.type
class NodeQueries:
    """Fields of the query root."""

    node: Node | None = strawberry.field(
        resolver=node,
        description="Any object again by its id; null when there is none, and when it is somebody else's.",
        extensions=[Permitted(Permission.PROGRAM_READ)],
    )
    entry: entries.Entry | None = strawberry.field(
        resolver=entry,
        description="One line of a history: which rules gave or took, which buckets paid, and what dates they bear; null when "
        "there is none, and for members when it is somebody else's.",
        extensions=[Permitted(Permission.MEMBERS_READ, Permission.OWN_ACCOUNT_READ)],
    )


QUERIES = (
    MemberQueries,
    PurchaseQueries,
    RewardQueries,
    ProgramQueries,
    ClockQueries,
    CampaignQueries,
    ListQueries,
    SubmissionQueries,
    NodeQueries,
)
MUTATIONS = (
    MemberMutations,
    PurchaseMutations,
    ReturnMutations,
    RewardMutations,
    HoldMutations,
    AdjustmentMutations,
    ProfileMutations,
    NoticeMutations,
    StandingMutations,
    PromotionMutations,
    TransferMutations,
    MergeMutations,
    ClockMutations,
    CampaignMutations,
    ListMutations,
    SubmissionMutations,
)

Query = merge_types("Query", QUERIES)
Mutation = merge_types("Mutation", MUTATIONS)


def build(*, introspection: bool) -> limits.Schema:
    """The executable schema. Raises `access.Undeclared` when a root field has no permission."""
    access.require_declared((*QUERIES, *MUTATIONS))
    return limits.Schema(
        Query,
        Mutation,
        introspection=introspection,
        types=entries.TYPES,
        config=StrawberryConfig(relay_max_results=limits.PAGE_MAX, scalar_map=SCALARS),
    )
