"""Announcements: what the outside is told of the ledger, as events.

A record *is* the announcement: each entry of it that is shown is one event, made of what stands in the log and of nothing else.
So whoever announces a record again, from the stream or from the log, a year later, tells the same events under the same ids. No
event holds personal data: no name, contact or login, no note, and no code that is worth something to whoever reads it.

Notices to members are told as well, each as an event that stands for itself.

`KINDS` says of every kind of entry what its event is called and tells besides what all of them tell, `NOTICE` that of a
notice. docs/events/ is made of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from domain import accounts, days, limits
from domain.accounts import DEBT, ROLLING, Line, State
from domain.campaigns import giving
from domain.entries import Entry, EntryKind, Money, Record, returned_purchase
from domain.notices import Notice, NoticeKind
from domain.refusals import OutcomeUnknown

# What every event of a program has as its source.
SOURCE = "regulars"

# Makes the API's global id of a kind of object and its key, such as ("Member", account).
ToId = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as it is told; told again, it has the same `id`. Events of one `account` have an order."""

    id: str
    type: str
    account: str
    at: datetime
    detail: Mapping[str, Any]

    @property
    def body(self) -> str:
        """The detail as JSON: the same bytes whenever the event is told again."""
        return json.dumps(self.detail, separators=(",", ":"), ensure_ascii=False)


class Log(Protocol):
    """The logs of accounts, as far as announcing needs them."""

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        """Records after `seq`, oldest first, read strongly: what was written before the call is there."""
        ...


# --- from records to events -------------------------------------------------------------------------------------------


def of_record(record: Record, *, previous: str | None, to_id: ToId) -> tuple[Event, ...]:
    """The events of a record, in the order of its entries: one for each that is shown.

    `previous` is the id of the account's last event before this record (`previous_id`), None when there is none.
    """
    events = []
    for index, entry in enumerate(record.entries):
        kind = KINDS[entry.kind]
        if kind is None:
            continue
        told = Told(record, index, entry, previous, to_id)
        detail = {each.name: each.value(told) for each in (*COMMON, *kind.fields)}
        events.append(Event(told.id, kind.type, record.account, entry.at, {"type": kind.type, **detail}))
        previous = told.id
    return tuple(events)


def of_notice(account: str, notice: Notice, *, to_id: ToId) -> Event:
    """The event of a notice to the member of an account: what it is about, and not in which words they read it."""
    given = Given(account, notice, to_id)
    detail = {each.name: each.value(given) for each in NOTICE.fields}
    return Event(given.id, NOTICE.type, account, notice.at, {"type": NOTICE.type, **detail})


def event_id(account: str, seq: int, index: int) -> str:
    """The id of the event of an entry: its place in the ledger."""
    return f"{account}-{seq}-{index}"


def last_id(record: Record) -> str | None:
    """The id of a record's last event; None for a record that shows nothing."""
    shown = [index for index, entry in enumerate(record.entries) if KINDS[entry.kind] is not None]
    return event_id(record.account, record.seq, shown[-1]) if shown else None


def previous_id(log: Log, account: str, seq: int) -> str | None:
    """The id of an account's last event before its record `seq`; None for the first one.

    One read, but after records that show nothing. Refuses `OutcomeUnknown` when the log cannot be read without a gap.
    """
    before, limit = seq - 1, 1
    for _ in range(limits.RESUME_PAGES_MAX):
        if before < 1:
            return None
        page = log.records_after(account, max(before - limit, 0), limit=min(limit, before))
        if [record.seq for record in page] != list(range(max(before - limit, 0) + 1, before + 1)):
            break
        for record in reversed(page):
            found = last_id(record)
            if found is not None:
                return found
        before -= len(page)
        limit = limits.RESUME_PAGE
    raise OutcomeUnknown(f"The records of {account} before {seq} could not be read.")


def is_of_time(record: Record) -> bool:
    """Whether time alone wrote a record: its instants are those of what happened, and it may have been written long after."""
    return all(entry.kind in _OF_TIME for entry in record.entries)


# Booked by whoever comes next, a job or a customer; a tier ends by time as well.
_OF_TIME = frozenset(
    {EntryKind.LAPSE, EntryKind.MATURITY, EntryKind.EXPIRY, EntryKind.DEBT_PAYMENT, EntryKind.TIER, EntryKind.BONUS}
)


# --- what they tell ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """An entry at its place, to be told of; `previous` is the id of the event before."""

    record: Record
    index: int
    entry: Entry
    previous: str | None
    to_id: ToId

    @property
    def id(self) -> str:
        """The id of its event."""
        return event_id(self.record.account, self.record.seq, self.index)

    @property
    def place(self) -> str:
        """The entry's key in the API."""
        return f"{self.record.account}:{self.record.seq}:{self.index}"


@dataclass(frozen=True, slots=True)
class Given:
    """A notice to the member of an account, to be told of."""

    account: str
    notice: Notice
    to_id: ToId

    @property
    def id(self) -> str:
        """The id of its event. No entry has such a one: what stands behind the account begins with a letter."""
        return f"{self.account}-n{self.notice.day}-{self.notice.about}"


T = TypeVar("T")


@dataclass(frozen=True)
class Field(Generic[T]):
    """One fact of an event: its name, its shape as a JSON Schema (with what it means), and how it is found."""

    name: str
    shape: Mapping[str, Any]
    value: Callable[[T], Any]


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What an event is called, what has happened then, and what it tells; that of an entry, besides `COMMON`."""

    type: str
    meaning: str
    fields: tuple[Field[T], ...] = ()


def _shape(kind: str, description: str, *, nullable: bool = False, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"] if nullable else kind, **more, "description": description}


def _text(description: str, *, nullable: bool = False, **more: Any) -> dict[str, Any]:
    return _shape("string", description, nullable=nullable, **more)


def _whole(description: str, *, nullable: bool = False, **more: Any) -> dict[str, Any]:
    return _shape("integer", description, nullable=nullable, **more)


def _moment(description: str, *, nullable: bool = False) -> dict[str, Any]:
    return _text(description, nullable=nullable, format="date-time")


def _date(description: str) -> dict[str, Any]:
    return _text(description, nullable=True, format="date")


def _object(description: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    return _shape("object", description, properties=properties, required=list(properties))


def _instant(instant: datetime) -> str:
    # As the API writes instants: to the millisecond that the ledger keeps.
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _day(day: int) -> str | None:
    return days.date_of(day).isoformat() if day < days.NEVER else None


def _bucket(line: Line, state: State, entry: Entry) -> dict[str, Any]:
    pot = "BALANCE"
    if line.expires == DEBT:
        pot = "DEBT"
    elif line.hold:
        pot = "HELD"
    elif line.matures:
        pot = "PENDING"
    rolling = entry.rolls or state.rolling
    expires: int | None = line.expires
    if line.expires == ROLLING:
        expires = rolling.until if rolling is not None else None
    return {
        "pot": pot,
        "points": line.points,
        "expiresOn": None if expires is None or expires == DEBT else _day(expires),
        "isRolling": line.expires == ROLLING,
        "availableOn": _day(line.matures) if line.matures else None,
    }


_BUCKETS = _shape(
    "array",
    "The points that were moved, by the day they expire.",
    items=_object(
        "Points into a bucket, or out of it.",
        pot=_text(
            "Where they are: can be spent, wait to become available, are set aside by a hold, or are owed.",
            enum=["BALANCE", "PENDING", "HELD", "DEBT"],
        ),
        points=_whole("Into the bucket, or out of it when negative; a debt grows by negative points."),
        expiresOn=_date(
            "Last day on which they can be spent, in the program's time zone; null if never, and for debt."
        ),
        isRolling=_shape("boolean", "Whether that day moves with each activity of the member."),
        availableOn=_date("When pending points become available; null for others."),
    ),
)
_EXPLANATION = _shape(
    "array",
    "One line for each rule that took part.",
    items=_object(
        "What one rule did.",
        rule=_text("The rule, such as `base`, `reward:latte` or `expiry`."),
        points=_whole("Points it gave, or took when negative."),
        basis=_whole("The amount in minor units it looked at; null where it did not look at money.", nullable=True),
    ),
)
_ACTORS = {"m": "MEMBER", "p": "PARTNER", "s": "STAFF"}


def _actor(told: Told) -> str:
    """What kind of caller asked for it. Who it was is for staff to know, in the API."""
    return _ACTORS.get((told.entry.actor or "").partition(".")[0], "SYSTEM")


# What every event of an entry tells, after its type.
COMMON: tuple[Field[Told], ...] = (
    Field("id", _text("The same whenever this is told again: account, sequence and index."), lambda told: told.id),
    Field(
        "previousId",
        _text("The id of the event before this one of the same member; null for the first.", nullable=True),
        lambda told: told.previous,
    ),
    Field("memberId", _text("The member, as in the API."), lambda told: told.to_id("Member", told.record.account)),
    Field("entryId", _text("The entry, as in the API."), lambda told: told.to_id("Entry", told.place)),
    Field(
        "sequence",
        _whole(
            "Number of the record in the member's account, from 1; it never falls from one event to the next.",
            minimum=1,
        ),
        lambda told: told.record.seq,
    ),
    Field("index", _whole("Place of the entry in its record, from 0.", minimum=0), lambda told: told.index),
    Field("at", _moment("When it was booked, by the program's clock."), lambda told: _instant(told.entry.at)),
    Field(
        "occurredAt",
        _moment("When its cause happened."),
        lambda told: _instant(told.entry.occurred_at or told.entry.at),
    ),
    Field(
        "points",
        _whole("The change in points, pending ones included; 0 where points only moved."),
        lambda told: told.entry.points,
    ),
    Field("balanceAfter", _whole("Points that could be spent right after it."), lambda told: told.entry.balance_after),
    Field(
        "buckets",
        _BUCKETS,
        lambda told: [_bucket(line, told.record.state, told.entry) for line in told.entry.lines],
    ),
    Field(
        "explanation",
        _EXPLANATION,
        lambda told: [
            {"rule": line.rule, "points": line.points, "basis": line.basis} for line in told.entry.explanation
        ],
    ),
    Field(
        "actor",
        _text("What kind of caller asked for it; SYSTEM where time or a rule did.", enum=[*_ACTORS.values(), "SYSTEM"]),
        _actor,
    ),
    Field(
        "termsVersion",
        _whole("The version of the terms that judged it; null where none did.", nullable=True),
        lambda told: told.entry.terms,
    ),
)


def _money(money: Money | None) -> dict[str, Any]:
    assert money is not None
    return {"amountMinor": money.amount_minor, "currency": money.currency}


def _purchase_of(told: Told) -> str:
    key = told.entry.key
    assert key is not None
    purchase = returned_purchase(key)[0] if told.entry.kind is EntryKind.RETURN else key
    return told.to_id("Purchase", str(purchase))


def _return_id(told: Told) -> str:
    assert told.entry.key is not None
    return returned_purchase(told.entry.key)[1]


def _receipt(told: Told) -> tuple[str, str]:
    assert told.entry.key is not None
    return told.entry.key.source, told.entry.key.value


def _redemption_of(told: Told) -> str:
    if told.entry.kind is EntryKind.REDEMPTION:
        return told.to_id("Redemption", told.place)
    assert told.entry.cause is not None
    # Of a redemption in an account that became part of this one, `peer` is that account.
    account = told.entry.peer[0] if told.entry.peer else told.record.account
    seq, index = told.entry.cause
    return told.to_id("Redemption", f"{account}:{seq}:{index}")


def _reward_of(told: Told) -> tuple[str, int]:
    assert told.entry.reward is not None
    return told.entry.reward


def _hold_of(told: Told) -> str:
    number = next(line.hold for line in told.entry.lines if line.hold)
    return told.to_id("Hold", f"{told.record.account}:{number}")


def _lapse_of(told: Told) -> str:
    assert told.entry.lapses_at is not None
    return _instant(told.entry.lapses_at)


def _transfer_of(told: Told) -> str:
    if told.entry.kind is EntryKind.TRANSFER_OUT:
        return told.to_id("Transfer", told.place)
    assert told.entry.peer is not None
    assert told.entry.cause is not None
    # The giver's place is the transfer's.
    return told.to_id("Transfer", f"{told.entry.peer[0]}:{told.entry.peer[1]}:{told.entry.cause[1]}")


def _other_member(told: Told) -> str:
    assert told.entry.peer is not None
    return told.to_id("Member", told.entry.peer[0])


def _changed(told: Told) -> list[str]:
    return [line.rule.removeprefix("changed:") for line in told.entry.explanation if line.rule.startswith("changed:")]


def _tier_until(told: Told) -> str | None:
    standing = told.entry.standing
    return _day(standing.until) if standing is not None and standing.until else None


def _campaign_of(told: Told) -> str:
    campaign = told.entry.key and told.entry.key.campaign
    assert campaign
    return told.to_id("Campaign", campaign)


def _kept(told: Told) -> int:
    return sum(line.points for line in told.entry.explanation if line.rule == giving.WRITTEN_OFF)


_REASON: Field[Told] = Field(
    "reason", _text("The reason code that was given; null if none was.", nullable=True), lambda told: told.entry.reason
)
_CAMPAIGN: Field[Told] = Field("campaignId", _text("The campaign, as in the API."), _campaign_of)
_PURCHASE: Field[Told] = Field("purchaseId", _text("The purchase, as in the API."), _purchase_of)
_TOTAL: Field[Told] = Field(
    "total",
    _object(
        "The money of it.",
        amountMinor=_whole("Minor units, such as cents."),
        currency=_text("ISO 4217 code."),
    ),
    lambda told: _money(told.entry.total),
)
_REDEMPTION: Field[Told] = Field("redemptionId", _text("The redemption, as in the API."), _redemption_of)
_HOLD: Field[Told] = Field("holdId", _text("The hold, as in the API."), _hold_of)
_TRANSFER: Field[Told] = Field("transferId", _text("The transfer, the same on both sides."), _transfer_of)
_MERGED: Field[Told] = Field("mergedMemberId", _text("The id that the other member had."), _other_member)

# The event of each kind of entry; None for what nobody outside is told of.
KINDS: dict[EntryKind, Kind[Told] | None] = {
    EntryKind.ENROLLMENT: Kind("member.enrolled", "Somebody joined. It is the first event of every member."),
    EntryKind.PURCHASE: Kind(
        "purchase.recorded",
        "A purchase was recorded; it may have earned nothing.",
        (
            _PURCHASE,
            Field("source", _text("The system that numbered the receipt."), lambda told: _receipt(told)[0]),
            Field("externalId", _text("The receipt's number there."), lambda told: _receipt(told)[1]),
            _TOTAL,
            Field("location", _text("Where; null if unknown.", nullable=True), lambda told: told.entry.location),
            Field("channel", _text("How; null if unknown.", nullable=True), lambda told: told.entry.channel),
        ),
    ),
    EntryKind.RETURN: Kind(
        "purchase.returned",
        "Something bought was returned, and its points with it.",
        (
            _PURCHASE,
            Field("returnId", _text("The id that the till gave the return."), _return_id),
            _TOTAL,
            _REASON,
        ),
    ),
    EntryKind.REDEMPTION: Kind(
        "reward.redeemed",
        "Points were spent on a reward. The code that receives it is not told.",
        (
            _REDEMPTION,
            Field("rewardHandle", _text("The reward's short name."), lambda told: _reward_of(told)[0]),
            Field("rewardVersion", _whole("The program version it was offered in."), lambda told: _reward_of(told)[1]),
        ),
    ),
    EntryKind.CANCELLATION: Kind(
        "redemption.cancelled", "A redemption was undone; its points are back.", (_REDEMPTION, _REASON)
    ),
    EntryKind.ADJUSTMENT: Kind("points.adjusted", "Staff corrected the balance.", (_REASON,)),
    EntryKind.HOLD: Kind(
        "hold.opened",
        "Points were set aside for a till; `points` is 0, the balance went down.",
        (
            _HOLD,
            Field(
                "held",
                _whole("Points set aside."),
                lambda told: sum(line.points for line in told.entry.lines if line.hold),
            ),
            Field("lapsesAt", _moment("When they go back by themselves."), _lapse_of),
        ),
    ),
    EntryKind.CAPTURE: Kind("hold.captured", "Held points were spent; what was not needed went back.", (_HOLD,)),
    EntryKind.RELEASE: Kind("hold.released", "Held points went back: the till let them go.", (_HOLD,)),
    EntryKind.LAPSE: Kind("hold.lapsed", "Held points went back: nobody captured them in time.", (_HOLD,)),
    EntryKind.TRANSFER_OUT: Kind("transfer.sent", "Points were given to another member.", (_TRANSFER,)),
    EntryKind.TRANSFER_IN: Kind("transfer.received", "Points came from another member.", (_TRANSFER,)),
    EntryKind.UPDATE: Kind(
        "member.updated",
        "Personal data was changed; what it was and is stands in the profile only.",
        (
            Field(
                "changedFields",
                _shape("array", "The fields that changed, such as `email`.", items={"type": "string"}),
                _changed,
            ),
            _REASON,
        ),
    ),
    EntryKind.BLOCK: Kind("member.blocked", "The account neither earns nor spends.", (_REASON,)),
    EntryKind.UNBLOCK: Kind("member.unblocked", "The account earns and spends again.", (_REASON,)),
    EntryKind.CLOSURE: Kind("member.closed", "The membership ended; points that were left are gone.", (_REASON,)),
    EntryKind.MERGE: Kind(
        "merge.completed", "Another account of the same person became part of this one.", (_MERGED, _REASON)
    ),
    EntryKind.UNMERGE: Kind(
        "merge.undone", "A merge was undone: the other member is their own again.", (_MERGED, _REASON)
    ),
    EntryKind.MERGED: Kind(
        "member.merged",
        "The account lives on in another one. No event of it follows, unless the merge is undone.",
        (Field("survivorMemberId", _text("The member it lives on in."), _other_member), _REASON),
    ),
    EntryKind.REOPENING: Kind("member.reopened", "The account's merge was undone.", (_REASON,)),
    EntryKind.TIER: Kind(
        "tier.changed",
        "The member has a better tier, or a lesser one.",
        (
            Field(
                "tier",
                _text("The tier's id; null for the lowest one, which is everybody's.", nullable=True),
                lambda told: told.entry.standing and told.entry.standing.tier,
            ),
            Field("validUntil", _date("Its last day; null if it has no end."), _tier_until),
            Field(
                "origin",
                _text(
                    "Why they have it; null for the lowest.",
                    nullable=True,
                    enum=[*(origin.value for origin in accounts.Origin), None],
                ),
                lambda told: told.entry.standing and told.entry.standing.origin.value,
            ),
            _REASON,
        ),
    ),
    EntryKind.BONUS: Kind(
        "bonus.granted", "A moment of the membership gave points, or none; the explanation names it.", ()
    ),
    EntryKind.CAMPAIGN_BONUS: Kind(
        "campaign.granted", "A campaign gave points; the reason is its code.", (_CAMPAIGN, _REASON)
    ),
    EntryKind.CAMPAIGN_REVERSAL: Kind(
        "campaign.reverted",
        "What a campaign gave was taken back, as far as the member still had it; `writtenOff` is the rest.",
        (
            _CAMPAIGN,
            _REASON,
            Field("writtenOff", _whole("Points that were spent, held or expired by then."), _kept),
        ),
    ),
    EntryKind.MATURITY: Kind("points.matured", "Pending points became available; `points` is 0."),
    EntryKind.EXPIRY: Kind("points.expired", "Points expired."),
    EntryKind.DEBT_PAYMENT: Kind("debt.paid", "Points that came in paid what was owed; `points` is 0."),
    # A recorded no is only for whoever sends its key again.
    EntryKind.REFUSED: None,
}


def _figure(name: str, description: str) -> Field[Given]:
    return Field(name, _whole(description, nullable=True), lambda given: given.notice.args.get(name))


def _word(name: str, description: str) -> Field[Given]:
    return Field(name, _text(description, nullable=True), lambda given: given.notice.args.get(name))


def _date_of(given: Given) -> str | None:
    day = given.notice.args.get("date")
    assert not isinstance(day, str)
    return None if day is None else _day(day)


# A notice to a member. Its words stand in the program, and the member's name in their profile.
NOTICE: Kind[Given] = Kind(
    "notice.given",
    "A member was told something, in their app: a mailing tool may tell it elsewhere too.",
    (
        Field("id", _text("The same whenever this is told again: account, day and subject."), lambda given: given.id),
        Field("memberId", _text("The member, as in the API."), lambda given: given.to_id("Member", given.account)),
        Field(
            "noticeId",
            _text("The notice, as in the API, for a year."),
            lambda given: given.to_id("Notice", f"{given.account}:{given.notice.day}:{given.notice.about}"),
        ),
        Field(
            "kind",
            _text("What it is about.", enum=[kind.value for kind in NoticeKind]),
            lambda given: given.notice.kind.value,
        ),
        Field("at", _moment("When it was given, by the program's clock."), lambda given: _instant(given.notice.at)),
        Field("dueOn", _date("The day on which it became due."), lambda given: _day(given.notice.day)),
        Field(
            "moment",
            _text("The id of the program's rule with its text; null for points that will expire.", nullable=True),
            lambda given: given.notice.moment or None,
        ),
        Field(
            "programVersion",
            _whole("The version of the program that has its text."),
            lambda given: given.notice.version,
        ),
        _figure("points", "Points that will expire, or that the moment gave; of a month the balance."),
        _figure("balance", "Points that could be spent then."),
        Field(
            "date",
            _date("Last day of those points, or of the tier; of a month its first day. Null for none."),
            _date_of,
        ),
        _word("tier", "The member's tier; null in a program without."),
        _figure("stage", "How many days before the date it was planned for; null where nothing comes to an end."),
        _figure("earned", "Of a month: points that came in."),
        _figure("spent", "Of a month: points that were spent."),
        _figure("expired", "Of a month: points that expired."),
        _figure("expiring", "Of a month: points that expire in the next one."),
        _word("reward", "Of a month: the cheapest reward that is not within reach."),
        _figure("missing", "Of a month: the points that are missing for it."),
    ),
)
