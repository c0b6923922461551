"""E: records, each the entries that were written together and the whole account after them."""

from typing import Any

from pynamodb.attributes import Attribute, BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.constants import LIST

from domain.accounts import State, Status
from domain.entries import Entry, EntryKind, Money, Record
from storage import chain, keys
from storage.items.attributes import (
    BucketsAttribute,
    HoldsAttribute,
    MarksAttribute,
    PairAttribute,
    PendingAttribute,
    RollingAttribute,
    StandingAttribute,
)
from storage.items.row import Item, Row
from storage.items.strings import (
    explanation_of,
    explanation_text,
    instant_of,
    key_of,
    line_text,
    lines_of,
    marks_of,
    marks_text,
    millis,
    pair,
    refusal_of,
    refusal_texts,
    rolling_of,
    rolling_text,
    standing_of,
    standing_text,
)


class EntriesAttribute(Attribute[tuple[Entry, ...]]):
    """The entries of one record, oldest first, each a map."""

    attr_type = LIST

    def serialize(self, value: tuple[Entry, ...]) -> list[Any]:
        return [{"M": _entry_to_map(entry)} for entry in value]

    def deserialize(self, value: list[Any]) -> tuple[Entry, ...]:
        return tuple(_entry_from_map(element["M"]) for element in value)


class RecordRow(Row):
    """E: the entries written together, and the whole account after them."""

    entries = EntriesAttribute(attr_name="e")
    buckets = BucketsAttribute(attr_name="b", null=True)
    pending = PendingAttribute(attr_name="p", null=True)
    holds = HoldsAttribute(attr_name="o", null=True)
    debt = NumberAttribute(attr_name="d", null=True)
    status = UnicodeAttribute(attr_name="s", null=True)
    sent = PairAttribute(attr_name="g", null=True)
    merged = UnicodeAttribute(attr_name="m", null=True)
    rolling = RollingAttribute(attr_name="r", null=True)
    standing = StandingAttribute(attr_name="t", null=True)
    qualifying = BucketsAttribute(attr_name="q", null=True)
    marks = MarksAttribute(attr_name="c", null=True)
    hash = BinaryAttribute(attr_name=chain.HASH_ATTRIBUTE, null=True, legacy_encoding=False)


def record_item(record: Record) -> Item:
    """A record as its item, chained to the record before. Empty pots are left out."""
    state = record.state
    row = RecordRow(keys.account(record.account), keys.entry(record.seq))
    row.entries = record.entries
    row.buckets = state.buckets or None
    row.pending = state.pending or None
    row.holds = state.holds or None
    row.debt = state.debt or None
    row.status = None if state.status is Status.ACTIVE else STATUSES[state.status]
    row.sent = state.sent if state.sent[1] else None
    row.merged = " ".join(state.merged) or None
    row.rolling = state.rolling
    row.standing = state.standing
    row.qualifying = state.qualifying or None
    row.marks = state.marks or None
    item = row.serialize()
    return {**item, chain.HASH_ATTRIBUTE: {"B": chain.hash_of(item, record.prior)}}


def record_from(item: Item) -> Record:
    """The record of an item. The state's time is that of its last entry: a record ends where its entries end."""
    # Not through the model, which takes four times as long: every screen reads a page of records.
    get = item.get
    entries = RecordRow.entries.deserialize(item["e"]["L"])
    buckets, pending, holds, debt = get("b"), get("p"), get("o"), get("d")
    status, sent, merged, proof = get("s"), get("g"), get("m"), get(chain.HASH_ATTRIBUTE)
    rolling, standing, qualifying, marks = get("r"), get("t"), get("q"), get("c")
    state = State(
        at=entries[-1].at,
        buckets=RecordRow.buckets.deserialize(buckets["S"]) if buckets else {},
        pending=RecordRow.pending.deserialize(pending["S"]) if pending else {},
        holds=RecordRow.holds.deserialize(holds["S"]) if holds else {},
        debt=int(debt["N"]) if debt else 0,
        status=_STATUS_OF[status["S"]] if status else Status.ACTIVE,
        sent=pair(sent["S"]) if sent else (0, 0),
        merged=tuple(merged["S"].split()) if merged else (),
        rolling=rolling_of(rolling["S"]) if rolling else None,
        standing=standing_of(standing["S"]) if standing else None,
        qualifying=RecordRow.qualifying.deserialize(qualifying["S"]) if qualifying else {},
        marks=dict(marks_of(marks["S"])) if marks else {},
    )
    account, seq = item["PK"]["S"][2:], keys.sequence(item["SK"]["S"])
    return Record(account, seq, entries, state, hash=proof["B"] if proof else b"")


# One letter a kind; never re-used, because entries are for ever.
KINDS = {
    EntryKind.ENROLLMENT: "J",
    EntryKind.PURCHASE: "P",
    EntryKind.REDEMPTION: "R",
    EntryKind.ADJUSTMENT: "A",
    EntryKind.MATURITY: "M",
    EntryKind.EXPIRY: "X",
    EntryKind.RETURN: "B",
    EntryKind.CANCELLATION: "N",
    EntryKind.HOLD: "H",
    EntryKind.CAPTURE: "C",
    EntryKind.RELEASE: "L",
    EntryKind.LAPSE: "Z",
    EntryKind.TRANSFER_OUT: "G",
    EntryKind.TRANSFER_IN: "E",
    EntryKind.DEBT_PAYMENT: "D",
    EntryKind.UPDATE: "I",
    EntryKind.BLOCK: "K",
    EntryKind.UNBLOCK: "U",
    EntryKind.CLOSURE: "Q",
    EntryKind.MERGE: "W",
    EntryKind.UNMERGE: "V",
    EntryKind.MERGED: "Y",
    EntryKind.REOPENING: "O",
    EntryKind.REFUSED: "F",
    EntryKind.TIER: "T",
    EntryKind.BONUS: "S",
    # The capitals are used up.
    EntryKind.CAMPAIGN_BONUS: "c",
    EntryKind.CAMPAIGN_REVERSAL: "d",
}


KIND_OF = {letter: kind for kind, letter in KINDS.items()}
STATUSES = {Status.BLOCKED: "B", Status.CLOSED: "C", Status.MERGED: "M"}
_STATUS_OF = {letter: status for status, letter in STATUSES.items()}


def _entry_to_map(entry: Entry) -> Item:
    fields: Item = {
        "k": {"S": KINDS[entry.kind]},
        "t": {"N": str(millis(entry.at))},
        "b": {"N": str(entry.balance_after)},
    }
    if entry.lines:
        fields["l"] = {"S": " ".join(map(line_text, entry.lines))}
    if entry.explanation:
        fields["x"] = {"S": " ".join(map(explanation_text, entry.explanation))}
    if entry.key is not None:
        fields["i"] = {"S": str(entry.key)}
    if entry.occurred_at is not None:
        fields["o"] = {"N": str(millis(entry.occurred_at))}
    if entry.total is not None:
        fields["m"] = {"S": f"{entry.total.amount_minor}{entry.total.currency}"}
    if entry.reward is not None:
        fields["w"] = {"S": f"{entry.reward[1]}#{entry.reward[0]}"}
    if entry.terms is not None:
        fields["v"] = {"N": str(entry.terms)}
    if entry.lapses_at is not None:
        fields["z"] = {"N": str(millis(entry.lapses_at))}
    if entry.cause is not None:
        fields["ca"] = {"S": f"{entry.cause[0]}:{entry.cause[1]}"}
    if entry.peer is not None:
        fields["p"] = {"S": f"{entry.peer[1]}@{entry.peer[0]}"}
    if entry.note is not None:
        fields["n"] = {"S": entry.note.hex()}
    if entry.refusal is not None:
        fields["r"] = {"L": refusal_texts(entry.refusal)}
    if entry.rolls is not None:
        fields["rl"] = {"S": rolling_text(entry.rolls)}
    if entry.qualifies:
        fields["q"] = {"S": " ".join(f"{period}:{amount}" for period, amount in entry.qualifies)}
    if entry.standing is not None:
        fields["ti"] = {"S": standing_text(entry.standing)}
    if entry.marks:
        fields["mk"] = {"S": marks_text(entry.marks)}
    for name, text in (
        ("u", entry.actor),
        ("lo", entry.location),
        ("ch", entry.channel),
        ("c", entry.code),
        ("rs", entry.reason),
    ):
        if text is not None:
            fields[name] = {"S": text}
    return fields


def _entry_from_map(fields: Item) -> Entry:
    def text(name: str) -> str | None:
        value = fields.get(name)
        return value["S"] if value else None

    occurred, money, reward, terms, lapses = fields.get("o"), text("m"), text("w"), fields.get("v"), fields.get("z")
    cause, peer, note, refusal = text("ca"), text("p"), text("n"), fields.get("r")
    peer_seq, _, peer_account = (peer or "").partition("@")
    lines, explanation, key = text("l"), text("x"), text("i")
    rolls, qualifies, standing, marks = text("rl"), text("q"), text("ti"), text("mk")
    version, _, reward_id = (reward or "").partition("#")
    return Entry(
        kind=KIND_OF[fields["k"]["S"]],
        at=instant_of(fields["t"]["N"]),
        lines=tuple(lines_of(lines)) if lines else (),
        balance_after=int(fields["b"]["N"]),
        explanation=tuple(map(explanation_of, explanation.split())) if explanation else (),
        key=key_of(key) if key else None,
        actor=text("u"),
        occurred_at=instant_of(occurred["N"]) if occurred else None,
        total=Money(int(money[:-3]), money[-3:]) if money else None,
        location=text("lo"),
        channel=text("ch"),
        reward=(reward_id, int(version)) if reward else None,
        code=text("c"),
        reason=text("rs"),
        terms=int(terms["N"]) if terms else None,
        lapses_at=instant_of(lapses["N"]) if lapses else None,
        cause=pair(cause) if cause else None,
        peer=(peer_account, int(peer_seq)) if peer else None,
        note=bytes.fromhex(note) if note else None,
        refusal=refusal_of(refusal["L"]) if refusal else None,
        rolls=rolling_of(rolls) if rolls else None,
        qualifies=tuple(map(pair, qualifies.split())) if qualifies else (),
        standing=standing_of(standing) if standing else None,
        marks=tuple(marks_of(marks)) if marks else (),
    )
