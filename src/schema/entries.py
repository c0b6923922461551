"""The history of an account: one type for each cause of an entry, each with the balance after it and an explanation."""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

import strawberry

from domain import days, explanations, ledger, moments, tiers
from domain import entries as booked
from domain.access import Permission
from domain.accounts import DEBT, ROLLING, Line, Origin
from domain.campaigns import giving
from domain.entries import EntryKind, Record
from schema import pages
from schema.context import Context, Info
from schema.nodes import Node, from_id, to_id
from schema.pages import PageInfo
from schema.scalars import DateTime, Day, Long
from schema.tiers import TierOrigin


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
    line: strawberry.Private[booked.Explanation]
    entry: strawberry.Private[booked.Entry]

    @strawberry.field(description="A sentence for a person.")
    def description(self, info: Info) -> str:
        """Written when asked for: most callers show numbers only."""
        return explanations.describe(self.line, self.entry, info.context.program)


@strawberry.enum(description="Where points of an account are.")
class Pot(Enum):
    """The pots of an account."""

    BALANCE = "BALANCE"
    PENDING = "PENDING"
    HELD = "HELD"
    DEBT = "DEBT"


@strawberry.type(description="A change in the points of one expiry day, in one of the pots of the account.")
class BucketChange:
    """Which points an entry moved."""

    pot: Pot = strawberry.field(
        description="Points that can be spent, that wait to become available, that a hold keeps, or that are owed."
    )
    points: Long = strawberry.field(
        description="Points into the bucket, or out of it when negative; a debt grows by negative points."
    )
    expires_on: Day | None = strawberry.field(
        description="The last day these points can be spent; null if they never expire, for debt, and where each activity of the "
        "member moves it (`isRolling`)."
    )
    is_rolling: bool = strawberry.field(
        description="Whether these points have no day of their own: each activity of the member keeps them alive. "
        "`Account.expiring` shows the day as it is now."
    )
    available_on: Day | None = strawberry.field(description="Set while the points are pending: when they can be spent.")


@strawberry.interface(description="One line of an account's history; it never changes.")
class Entry(Node):
    """What every entry tells, whatever its cause."""

    at: DateTime = strawberry.field(description="When it was booked.")
    points: Long = strawberry.field(description="The change in points, pending ones included.")
    balance_after: Long = strawberry.field(description="Points that could be spent right after it.")
    explanation: list[Explanation] = strawberry.field(description="One line for each rule that took part.")
    line: strawberry.Private[booked.Entry]

    @strawberry.field(description="Which points were moved, by their expiry dates.")
    def buckets(self) -> list[BucketChange]:
        """Made when asked for: a page of history shows numbers only."""
        return [
            BucketChange(
                pot=_pot(line),
                points=Long(line.points),
                expires_on=Day(days.date_of(line.expires)) if ROLLING < line.expires < days.NEVER else None,
                is_rolling=line.expires == ROLLING,
                available_on=Day(days.date_of(line.matures)) if line.matures else None,
            )
            for line in self.line.lines
        ]

    @strawberry.field(
        description="Who asked for it: m, p or s for a member, a partner or staff, and their subject. Null for whoever may not "
        "read notes, and where time alone did it."
    )
    def actor(self, info: Info) -> str | None:
        """For staff, who explain entries and answer for them."""
        return self.line.actor if info.context.actor.may(Permission.NOTES_READ) else None


# What an input says of its note.
NOTE = (
    "What else there is to say, up to 1,000 characters. Only staff can read it, and it can be erased: it does not stand in the "
    "ledger."
)


@strawberry.interface(description="An entry that its author may have written a note to.")
class NotedEntry(Entry):
    """What staff did for a reason."""

    @strawberry.field(
        description="What its author had to say; null for whoever may not read notes, and once it was erased."
    )
    def note(self, info: Info) -> str | None:
        """Read when asked for, each with a read of its own: it stands apart from the ledger."""
        context, digest = info.context, self.line.note
        if digest is None or not context.actor.may(Permission.NOTES_READ):
            return None
        account, _, _ = from_id(self.id)[1].partition(":")
        note = context.store.note(account, digest)
        return note.text if note else None


def _pot(line: Line) -> Pot:
    if line.expires == DEBT:
        return Pot.DEBT
    if line.hold:
        return Pot.HELD
    return Pot.PENDING if line.matures else Pot.BALANCE


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
class AdjustmentEntry(NotedEntry):
    """The entry of an adjustment."""

    reason: str = strawberry.field(description="The reason code that staff gave.")


@strawberry.type(description="Points expired.")
class ExpiryEntry(Entry):
    """Time took what was not spent."""


@strawberry.type(description="Pending points became available.")
class MaturityEntry(Entry):
    """Time made pending points spendable; their number did not change, so `points` is 0."""


@strawberry.type(description="Something bought was returned, and its points with it.")
class PurchaseReturnEntry(Entry):
    """The entry of a return."""

    purchase_id: strawberry.ID
    return_id: str = strawberry.field(description="The id the till gave the return.")
    total: Money = strawberry.field(description="The money that was returned.")
    reason: str | None


@strawberry.type(description="A redemption was cancelled: its points are back in the buckets they came from.")
class CancellationEntry(Entry):
    """The entry of a cancelled redemption."""

    redemption_id: strawberry.ID
    reason: str | None


@strawberry.type(description="Points were set aside for a till; `points` is 0, the balance went down.")
class HoldEntry(Entry):
    """The entry of a hold."""

    hold_id: strawberry.ID
    held: Long = strawberry.field(description="Points set aside.")
    lapses_at: DateTime = strawberry.field(description="When they go back by themselves.")


@strawberry.type(description="Held points were spent; what was not needed went back.")
class CaptureEntry(Entry):
    """The entry of a capture."""

    hold_id: strawberry.ID


@strawberry.type(description="Held points went back, because the till let them go.")
class ReleaseEntry(Entry):
    """The entry of a release; `points` is 0."""

    hold_id: strawberry.ID


@strawberry.type(description="Held points went back, because nobody captured them in time.")
class LapseEntry(Entry):
    """Time ended a hold; `points` is 0."""

    hold_id: strawberry.ID


@strawberry.type(description="Points were given to another member.")
class TransferOutEntry(Entry):
    """The giver's entry of a transfer."""

    transfer_id: strawberry.ID


@strawberry.type(description="Points came from another member; they keep their expiry dates.")
class TransferInEntry(Entry):
    """The receiver's entry of a transfer."""

    transfer_id: strawberry.ID


@strawberry.type(description="Points that came in paid what was owed; `points` is 0.")
class DebtPaymentEntry(Entry):
    """A debt was paid, in part or in whole."""


@strawberry.type(description="Personal data was changed; what it was and is stands in the profile only.")
class UpdateEntry(Entry):
    """The entry of a changed profile."""

    changed_fields: list[str] = strawberry.field(description="The fields that changed, such as `email`.")
    reason: str | None


@strawberry.type(description="The account was blocked: it neither earns nor spends.")
class BlockEntry(NotedEntry):
    """The entry of a block."""

    reason: str


@strawberry.type(description="The account was unblocked.")
class UnblockEntry(NotedEntry):
    """The entry that ends a block."""

    reason: str


@strawberry.type(description="The membership ended; points that were left are gone.")
class ClosureEntry(NotedEntry):
    """The last entry of an account."""

    reason: str


@strawberry.type(description="Another account of the same person became part of this one.")
class MergeEntry(NotedEntry):
    """The entry of the account that lives on."""

    merged_member_id: strawberry.ID = strawberry.field(description="The id the other member had.")
    reason: str


@strawberry.type(description="A merge was undone: the points that came with it went back, as far as they were left.")
class UnmergeEntry(NotedEntry):
    """The entry of the account that had taken another one in."""

    merged_member_id: strawberry.ID = strawberry.field(description="The id of the member who is their own again.")
    reason: str


@strawberry.type(description="The account became part of another one.")
class MergedEntry(Entry):
    """The last entry of an account that lives on in another."""

    reason: str


@strawberry.type(description="The merge was undone: the account is its own again.")
class ReopeningEntry(Entry):
    """The first entry after a merge was undone."""

    reason: str


@strawberry.enum(description="Why a tier changed.")
class TierChange(Enum):
    """`domain.tiers.Change`."""

    REACHED = strawberry.enum_value("REACHED", description="A higher tier was earned.")
    KEPT = strawberry.enum_value("KEPT", description="The same tier lasts longer: it was earned again.")
    LIFETIME = strawberry.enum_value("LIFETIME", description="The same tier has no end any more.")
    FALLEN = strawberry.enum_value("FALLEN", description="The tier ended, and a lower one follows.")
    SET = strawberry.enum_value("SET", description="Staff set it.")
    RESUMED = strawberry.enum_value(
        "RESUMED", description="What staff had set ended, and what was earned is there again."
    )
    UNMERGED = strawberry.enum_value("UNMERGED", description="The merge that had brought a better one was undone.")


@strawberry.type(description="The member has another tier, or the same one for longer; `points` is 0.")
class TierEntry(NotedEntry):
    """The entry of a tier."""

    tier_handle: str = strawberry.field(description="The tier's short name in the program it was in force in.")
    valid_until: Day | None = strawberry.field(description="The last day of the tier; null if it has no end.")
    origin: TierOrigin
    change: TierChange
    amount: Long | None = strawberry.field(
        description="What counted for it, by the metric of the ladder; null where nothing was counted."
    )
    reason: str | None = strawberry.field(description="The reason code that staff gave; null where nobody decided.")


@strawberry.type(description="A moment of the membership gave points, or none.")
class BonusEntry(Entry):
    """The entry of a moment, such as a birthday."""

    moment: str = strawberry.field(description="The id of the moment in the program.")


@strawberry.type(description="A campaign gave points.")
class CampaignBonusEntry(Entry):
    """The entry of a campaign's bonus."""

    campaign_id: strawberry.ID = strawberry.field(description="The campaign, for staff: `node(id:)`.")
    reason: str = strawberry.field(description="The campaign's code, such as `SUMMER_THANKS`.")


@strawberry.type(
    description="What a campaign gave was taken back, as far as the member still had it: first the points it gave, then "
    "those that expire soonest."
)
class CampaignReversalEntry(Entry):
    """The entry of a reverted campaign."""

    campaign_id: strawberry.ID = strawberry.field(description="The campaign, for staff: `node(id:)`.")
    reason: str = strawberry.field(description="The campaign's code, such as `SUMMER_THANKS`.")
    written_off: Long = strawberry.field(
        description="Points that could not be taken back any more: spent, held or expired."
    )


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
        if (before is None or (record.seq, index) < before) and is_shown(record.entries[index])
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
    records = read_back(context, account, int(seq), wanted=first + 2)
    if records and records[0].seq + 1 == int(seq):
        # The cursor stands on an entry that nobody has booked yet: what time has done since the last record.
        records.insert(0, ledger.current(records[0], context.now, context.program))
    return connection(context, account, records, first=first, before=(int(seq), int(index)))


def read_back(context: Context, account: str, seq: int, *, wanted: int) -> list[Record]:
    """Records at or before `seq`, newest first, with at least `wanted` that show something, or all there are."""
    records: list[Record] = []
    shown = 0
    while seq > 0 and shown < wanted:
        page = context.store.records_before(account, seq, limit=wanted - shown)
        if not page:
            break
        records += page
        shown += sum(any(map(is_shown, record.entries)) for record in page)
        seq = page[-1].seq - 1
    return records


def entry_of(account: str, seq: int, index: int, entry: booked.Entry) -> Entry:
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
    return _SHOWN[entry.kind](account, entry, key, common)


def is_shown(entry: booked.Entry) -> bool:
    """Whether an entry is part of the history: a recorded no is only for whoever sends its key again."""
    return entry.kind is not EntryKind.REFUSED


def _purchase(_account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
    assert entry.key
    assert entry.total
    assert entry.occurred_at
    return PurchaseEntry(
        **common,
        purchase_id=to_id("Purchase", str(entry.key)),
        occurred_at=DateTime(entry.occurred_at),
        total=money_of(entry.total),
        location=entry.location,
        channel=entry.channel,
    )


def _return(_account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
    assert entry.key
    assert entry.total
    purchase, return_id = booked.returned_purchase(entry.key)
    return PurchaseReturnEntry(
        **common,
        purchase_id=to_id("Purchase", str(purchase)),
        return_id=return_id,
        total=money_of(entry.total),
        reason=entry.reason,
    )


def _redemption(_account: str, entry: booked.Entry, key: str, common: dict[str, Any]) -> Entry:
    assert entry.reward
    assert entry.code
    return RedemptionEntry(
        **common, redemption_id=to_id("Redemption", key), reward_handle=entry.reward[0], code=entry.code
    )


def _cancellation(account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
    assert entry.cause
    seq, index = entry.cause
    if entry.peer:
        # The account of the redemption became part of this one before it was cancelled.
        account = entry.peer[0]
    return CancellationEntry(
        **common, redemption_id=to_id("Redemption", f"{account}:{seq}:{index}"), reason=entry.reason
    )


def _hold(account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
    assert entry.lapses_at
    held = sum(line.points for line in entry.lines if line.hold)
    return HoldEntry(**common, hold_id=_hold_id(account, entry), held=Long(held), lapses_at=DateTime(entry.lapses_at))


def _of_hold(made: Callable[..., Entry]) -> "_Maker":
    return lambda account, entry, _key, common: made(**common, hold_id=_hold_id(account, entry))


def _hold_id(account: str, entry: booked.Entry) -> strawberry.ID:
    number = next(line.hold for line in entry.lines if line.hold)
    return to_id("Hold", f"{account}:{number}")


def _sent(_account: str, _entry: booked.Entry, key: str, common: dict[str, Any]) -> Entry:
    return TransferOutEntry(**common, transfer_id=to_id("Transfer", key))


def _received(_account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
    assert entry.peer
    assert entry.cause
    # The giver's place is the transfer's: the receiver's entry names it, with the index in `cause`.
    place = f"{entry.peer[0]}:{entry.peer[1]}:{entry.cause[1]}"
    return TransferInEntry(**common, transfer_id=to_id("Transfer", place))


def _updated(_account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
    changed = [line.rule.removeprefix("changed:") for line in entry.explanation]
    return UpdateEntry(**common, changed_fields=changed, reason=entry.reason)


def _plain(made: Callable[..., Entry]) -> "_Maker":
    return lambda _account, _entry, _key, common: made(**common)


def _reasoned(made: Callable[..., Entry]) -> "_Maker":
    return lambda _account, entry, _key, common: made(**common, reason=entry.reason)


def _with_merged(made: Callable[..., Entry]) -> "_Maker":
    def make(_account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
        assert entry.peer
        return made(**common, merged_member_id=to_id("Member", entry.peer[0]), reason=entry.reason)

    return make


def _tier(_account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
    (told,), standing = entry.explanation, entry.standing
    handle, change = tiers.told_by(told)
    return TierEntry(
        **common,
        tier_handle=handle,
        valid_until=Day(days.date_of(standing.until)) if standing and standing.until else None,
        origin=TierOrigin[(standing.origin if standing else Origin.EARNED).name],
        change=TierChange[change.name],
        amount=None if told.basis is None else Long(told.basis),
        reason=entry.reason,
    )


def _bonus(_account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
    return BonusEntry(**common, moment=moments.named_by(entry))


def _campaign(made: Callable[..., Entry]) -> "_Maker":
    def make(_account: str, entry: booked.Entry, _key: str, common: dict[str, Any]) -> Entry:
        assert entry.key
        assert entry.key.campaign
        assert entry.reason
        if made is CampaignReversalEntry:
            kept = sum(line.points for line in entry.explanation if line.rule == giving.WRITTEN_OFF)
            common = {**common, "written_off": Long(kept)}
        return made(**common, campaign_id=to_id("Campaign", entry.key.campaign), reason=entry.reason)

    return make


_Maker = Callable[[str, booked.Entry, str, dict[str, Any]], Entry]
_SHOWN: dict[EntryKind, _Maker] = {
    EntryKind.ENROLLMENT: _plain(EnrollmentEntry),
    EntryKind.PURCHASE: _purchase,
    EntryKind.RETURN: _return,
    EntryKind.REDEMPTION: _redemption,
    EntryKind.CANCELLATION: _cancellation,
    EntryKind.ADJUSTMENT: _reasoned(AdjustmentEntry),
    EntryKind.HOLD: _hold,
    EntryKind.CAPTURE: _of_hold(CaptureEntry),
    EntryKind.RELEASE: _of_hold(ReleaseEntry),
    EntryKind.LAPSE: _of_hold(LapseEntry),
    EntryKind.TRANSFER_OUT: _sent,
    EntryKind.TRANSFER_IN: _received,
    EntryKind.UPDATE: _updated,
    EntryKind.BLOCK: _reasoned(BlockEntry),
    EntryKind.UNBLOCK: _reasoned(UnblockEntry),
    EntryKind.CLOSURE: _reasoned(ClosureEntry),
    EntryKind.MERGE: _with_merged(MergeEntry),
    EntryKind.UNMERGE: _with_merged(UnmergeEntry),
    EntryKind.MERGED: _reasoned(MergedEntry),
    EntryKind.REOPENING: _reasoned(ReopeningEntry),
    EntryKind.MATURITY: _plain(MaturityEntry),
    EntryKind.EXPIRY: _plain(ExpiryEntry),
    EntryKind.DEBT_PAYMENT: _plain(DebtPaymentEntry),
    EntryKind.TIER: _tier,
    EntryKind.BONUS: _bonus,
    EntryKind.CAMPAIGN_BONUS: _campaign(CampaignBonusEntry),
    EntryKind.CAMPAIGN_REVERSAL: _campaign(CampaignReversalEntry),
}
# Every type that an entry may be shown as; the schema has to be told of them.
TYPES = (
    EnrollmentEntry,
    PurchaseEntry,
    PurchaseReturnEntry,
    RedemptionEntry,
    CancellationEntry,
    AdjustmentEntry,
    HoldEntry,
    CaptureEntry,
    ReleaseEntry,
    LapseEntry,
    TransferOutEntry,
    TransferInEntry,
    UpdateEntry,
    BlockEntry,
    UnblockEntry,
    ClosureEntry,
    MergeEntry,
    UnmergeEntry,
    MergedEntry,
    ReopeningEntry,
    MaturityEntry,
    ExpiryEntry,
    DebtPaymentEntry,
    TierEntry,
    BonusEntry,
    CampaignBonusEntry,
    CampaignReversalEntry,
)


def money_of(total: booked.Money) -> Money:
    """An amount of money as it is shown."""
    return Money(amount_minor=Long(total.amount_minor), currency=total.currency)


def explained(entry: booked.Entry) -> list[Explanation]:
    """The explanation of an entry, booked or only previewed."""
    return [Explanation(rule=line.rule, points=Long(line.points), line=line, entry=entry) for line in entry.explanation]


def _scope(account: str) -> str:
    return f"entries:{account}"
