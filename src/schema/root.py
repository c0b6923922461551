"""The schema: the roots put together from their nouns, and `node`, which finds anything again by its id."""

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types

from domain import ledger, members
from domain.access import Permission
from domain.ledger import Key, Record
from schema import access, entries, limits, purchases, rewards
from schema.access import Permitted
from schema.adjustments import AdjustmentMutations
from schema.context import Context, Info
from schema.entries import (
    AdjustmentEntry,
    EnrollmentEntry,
    ExpiryEntry,
    MaturityEntry,
    PurchaseEntry,
    RedemptionEntry,
)
from schema.members import MemberMutations, MemberQueries, load
from schema.nodes import Node, from_id
from schema.purchases import PurchaseMutations, PurchaseQueries
from schema.rewards import RewardMutations, RewardQueries
from schema.scalars import SCALARS


def node(info: Info, id: strawberry.ID) -> Node | None:
    """Any object by its id; null when there is none or the caller may not see it."""
    context = info.context
    kind, key = from_id(id)
    if kind == "Reward":
        reward = context.program.reward(key)
        return rewards.reward_of(reward) if reward else None
    if kind == "Purchase":
        source, _, value = key.partition(":")
        claim = context.store.claim(Key(source, value)) if value else None
        if claim is None or claim.basket is None or not _may_see(context, claim.account):
            return None
        return purchases.purchase_of(claim.key, claim.basket)
    account, _, place = key.partition(":")
    if kind not in ("Member", "Entry", "Redemption") or not account or not _may_see(context, account):
        return None
    if kind == "Member":
        return load(info, account)
    record, index = _entry_at(context, account, place)
    if record is None:
        return None
    entry = record.entries[index]
    if kind == "Redemption":
        return rewards.redemption_of(account, record.seq, index, entry) if entry.reward else None
    return entries.entry_of(account, record.seq, index, entry)


def _may_see(context: Context, account: str) -> bool:
    if context.actor.may(Permission.MEMBERS_READ):
        return True
    return members.own_account(context.store, context.actor) == account


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
        record = ledger.current(record, context.now, context.program.zone)
    if record is None or record.seq != int(seq) or int(index) >= len(record.entries):
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


QUERIES = (MemberQueries, PurchaseQueries, RewardQueries, NodeQueries)
MUTATIONS = (MemberMutations, PurchaseMutations, RewardMutations, AdjustmentMutations)

Query = merge_types("Query", QUERIES)
Mutation = merge_types("Mutation", MUTATIONS)


def build(*, introspection: bool) -> limits.Schema:
    """The executable schema. Raises `access.Undeclared` when a root field has no permission."""
    access.require_declared((*QUERIES, *MUTATIONS))
    return limits.Schema(
        Query,
        Mutation,
        introspection=introspection,
        types=[EnrollmentEntry, PurchaseEntry, RedemptionEntry, AdjustmentEntry, ExpiryEntry, MaturityEntry],
        config=StrawberryConfig(relay_max_results=limits.PAGE_MAX, scalar_map=SCALARS),
    )
