"""The history of an account: one type for each cause of an entry, each with the balance after it and an explanation."""

from collections.abc import Iterable
from typing import Any

import strawberry

from domain import days, explanations, ledger
from domain.ledger import EntryKind, Record
from schema import pages
from schema.context import Context, Info
from schema.nodes import Node, to_id
from schema.pages import PageInfo
from schema.scalars import DateTime, Day, Long


@strawberry.type(description="An amount of money.")
class Money:
    """Minor units of a currency."""

    amount_minor: Long = strawberry.field(description="Minor units, such as cents.")
    currency: str = strawberry.field(description="ISO 4217 code.")


@strawberry.type(description="What one rule did to an entry.")
class Explanation:
    """One line of an explanation."""

    rule: str = strawberry.field(description="The rule, such as `base`, `reward:latte` or `expiry`.")
    points: Long = strawberry.field(description="Points it gave, or took when negative.")
    line: strawberry.Private[ledger.Explanation]
    entry: strawberry.Private[ledger.Entry]

    @strawberry.field(description="A sentence for a person.")
    def description(self, info: Info) -> str:
        """Written when asked for: most callers show numbers only."""
        return explanations.describe(self.line, self.entry, info.context.program)


@strawberry.type(description="A change in the points of one expiry day.")
class BucketChange:
    """Which points an entry moved."""

    points: Long = strawberry.field(description="Points into the bucket, or out of it when negative.")
    expires_on: Day | None = strawberry.field(
        description="The last day these points can be spent; null if they never expire."
    )
    available_on: Day | None = strawberry.field(description="Set while the points are pending: when they can be spent.")


@strawberry.interface(description="One line of an account's history; it never changes.")
class Entry(Node):
    """What every entry tells, whatever its cause."""

    at: DateTime = strawberry.field(description="When it was booked.")
    points: Long = strawberry.field(description="The change in points, pending ones included.")
    balance_after: Long = strawberry.field(description="Points that could be spent right after it.")
    explanation: list[Explanation] = strawberry.field(description="One line for each rule that took part.")
    line: strawberry.Private[ledger.Entry]

    @strawberry.field(description="Which points were moved, by their expiry dates.")
    def buckets(self) -> list[BucketChange]:
        """Made when asked for: a page of history shows numbers only."""
        return [
            BucketChange(
                points=Long(line.points),
                expires_on=Day(days.date_of(line.expires)) if line.expires < days.NEVER else None,
                available_on=Day(days.date_of(line.matures)) if line.matures else None,
            )
            for line in self.line.lines
        ]


@strawberry.type(description="The member joined.")
class EnrollmentEntry(Entry):
    """The first entry of every account."""


@strawberry.type(description="A purchase earned points.")
class PurchaseEntry(Entry):
    """The entry of a purchase."""

    purchase_id: strawberry.ID
    occurred_at: DateTime = strawberry.field(description="When the purchase happened.")
    total: Money
    location: str | None
    channel: str | None


@strawberry.type(description="Points were spent on a reward.")
class RedemptionEntry(Entry):
    """The entry of a redemption."""

    redemption_id: strawberry.ID
    reward_handle: str
    code: str = strawberry.field(description="What the member shows to receive the reward.")


@strawberry.type(description="Staff corrected the balance.")
class AdjustmentEntry(Entry):
    """The entry of an adjustment."""

    reason: str = strawberry.field(description="The reason code that staff gave.")


@strawberry.type(description="Points expired.")
class ExpiryEntry(Entry):
    """Time took what was not spent."""


@strawberry.type(description="Pending points became available.")
class MaturityEntry(Entry):
    """Time made pending points spendable; their number did not change, so `points` is 0."""


@strawberry.type(description="An entry and its place in the list.")
class EntryEdge:
    """Relay's edge."""

    cursor: str
    node: Entry


@strawberry.type(description="Entries, newest first.")
class EntryConnection:
    """Relay's connection."""

    edges: list[EntryEdge]
    page_info: PageInfo


def connection(
    context: Context, account: str, records: Iterable[Record], *, first: int, before: tuple[int, int] | None
) -> EntryConnection:
    """The page of `first` entries before position `before`, out of `records` that reach back far enough."""
    found = [
        (record.seq, index, record.entries[index])
        for record in records
        for index in range(len(record.entries) - 1, -1, -1)
        if before is None or (record.seq, index) < before
    ]
    scope = _scope(account)
    edges = [
        EntryEdge(cursor=context.cursors.seal(scope, f"{seq}.{index}"), node=entry_of(account, seq, index, entry))
        for seq, index, entry in found[:first]
    ]
    return EntryConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=len(found) > first,
            has_previous_page=before is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


def page_after(context: Context, account: str, *, first: int, after: str) -> EntryConnection:
    """The page of `first` entries after the cursor `after` of the same account's list."""
    position = pages.position(context, _scope(account), after)
    assert position is not None
    seq, _, index = position.partition(".")
    records = list(context.store.records_before(account, int(seq), limit=first + 2))
    if records and records[0].seq + 1 == int(seq):
        # The cursor stands on an entry that nobody has booked yet: what time has done since the last record.
        records.insert(0, ledger.current(records[0], context.now, context.program.zone))
    return connection(context, account, records, first=first, before=(int(seq), int(index)))


def entry_of(account: str, seq: int, index: int, entry: ledger.Entry) -> Entry:
    """An entry of the ledger as the type of its cause."""
    key = f"{account}:{seq}:{index}"
    common: dict[str, Any] = {
        "id": to_id("Entry", key),
        "at": entry.at,
        "points": entry.points,
        "balance_after": entry.balance_after,
        "explanation": explained(entry),
        "line": entry,
    }
    match entry.kind:
        case EntryKind.PURCHASE:
            assert entry.key
            assert entry.total
            assert entry.occurred_at
            return PurchaseEntry(
                **common,
                purchase_id=to_id("Purchase", str(entry.key)),
                occurred_at=DateTime(entry.occurred_at),
                total=Money(amount_minor=Long(entry.total.amount_minor), currency=entry.total.currency),
                location=entry.location,
                channel=entry.channel,
            )
        case EntryKind.REDEMPTION:
            assert entry.reward
            assert entry.code
            return RedemptionEntry(
                **common,
                redemption_id=to_id("Redemption", key),
                reward_handle=entry.reward[0],
                code=entry.code,
            )
        case EntryKind.ADJUSTMENT:
            assert entry.reason
            return AdjustmentEntry(**common, reason=entry.reason)
        case EntryKind.EXPIRY:
            return ExpiryEntry(**common)
        case EntryKind.MATURITY:
            return MaturityEntry(**common)
        case EntryKind.ENROLLMENT:
            return EnrollmentEntry(**common)


def explained(entry: ledger.Entry) -> list[Explanation]:
    """The explanation of an entry, booked or only previewed."""
    return [Explanation(rule=line.rule, points=Long(line.points), line=line, entry=entry) for line in entry.explanation]


def _scope(account: str) -> str:
    return f"entries:{account}"
