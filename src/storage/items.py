"""The items of the table: short attribute names outside, the domain's names inside.

Attribute names are stored in every item and paid for with every write, so they have one to three letters; each model gives them
their names. Numbers that belong together (buckets, lines, explanations) are one readable string, because DynamoDB and its
client charge for structure: `20850+12 20881-3` is +12 points in the bucket of day 20850 and -3 in that of day 20881.
"""

import json
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pynamodb.attributes import Attribute, BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.constants import LIST, NUMBER, STRING
from pynamodb.models import Model

from domain import limits
from domain.accounts import DEBT, Hold, Line, Origin, Standing, State, Status
from domain.days import Rounding
from domain.entries import (
    Basket,
    BasketLine,
    Claim,
    End,
    Entry,
    EntryKind,
    Explanation,
    Key,
    Money,
    Note,
    PurchaseReturn,
    Record,
    Reversal,
)
from domain.expiry import Rolling
from domain.members import Profile
from domain.moments import Birthday
from domain.notices import Consent, Notice, NoticeKind
from domain.refusals import Refusal
from storage import chain, keys

Item = dict[str, dict[str, Any]]

# Below this many bytes zlib only adds its header.
_COMPRESS_ABOVE = 120


class InstantAttribute(Attribute[datetime]):
    """An aware UTC instant as milliseconds since the epoch."""

    attr_type = NUMBER

    def serialize(self, value: datetime) -> str:
        return str(_millis(value))

    def deserialize(self, value: str) -> datetime:
        return _instant(value)


class BucketsAttribute(Attribute[dict[int, int]]):
    """Points by expiry day: `20850+12 20881+3`."""

    attr_type = STRING

    def serialize(self, value: dict[int, int]) -> str:
        return " ".join(f"{day}+{points}" for day, points in value.items())

    def deserialize(self, value: str) -> dict[int, int]:
        numbers = [*map(int, value.replace("+", " ").split())]
        return dict(zip(numbers[::2], numbers[1::2], strict=True))


class PendingAttribute(Attribute[dict[tuple[int, int], int]]):
    """Points by maturity and expiry day: `20600.20850+12`."""

    attr_type = STRING

    def serialize(self, value: dict[tuple[int, int], int]) -> str:
        return " ".join(f"{matures}.{expires}+{points}" for (matures, expires), points in value.items())

    def deserialize(self, value: str) -> dict[tuple[int, int], int]:
        return {(line.matures, line.expires): line.points for line in _lines(value)}


class HoldsAttribute(Attribute[dict[int, Hold]]):
    """Open holds by number: `17@1790000000000:20850+12,20881+3`."""

    attr_type = STRING

    def serialize(self, value: dict[int, Hold]) -> str:
        return " ".join(
            f"{number}@{_millis(hold.lapses_at)}:" + ",".join(f"{day}+{points}" for day, points in hold.buckets.items())
            for number, hold in value.items()
        )

    def deserialize(self, value: str) -> dict[int, Hold]:
        holds = {}
        for part in value.split():
            name, _, pots = part.partition(":")
            number, _, lapses = name.partition("@")
            held = {line.expires: line.points for line in _lines(pots.replace(",", " "))}
            holds[int(number)] = Hold(_instant(lapses), held)
        return holds


class PairAttribute(Attribute[tuple[int, int]]):
    """Two numbers: `20850:300`."""

    attr_type = STRING

    def serialize(self, value: tuple[int, int]) -> str:
        return f"{value[0]}:{value[1]}"

    def deserialize(self, value: str) -> tuple[int, int]:
        return _pair(value)


class RollingAttribute(Attribute[Rolling]):
    """The rolling day, the silence it outlasts in months and days, and the months it is rounded to: `20850:18:0:1`."""

    attr_type = STRING

    def serialize(self, value: Rolling) -> str:
        return _rolling_text(value)

    def deserialize(self, value: str) -> Rolling:
        return _rolling(value)


class StandingAttribute(Attribute[Standing]):
    """A tier, its last day and why it is had, and what is had behind it: `gold:21183:E silver:21548:M`."""

    attr_type = STRING

    def serialize(self, value: Standing) -> str:
        return _standing_text(value)

    def deserialize(self, value: str) -> Standing:
        return _standing(value)


class MarksAttribute(Attribute[dict[str, int]]):
    """Named numbers: `active=20780 joined=20700 purchases=3`."""

    attr_type = STRING

    def serialize(self, value: dict[str, int]) -> str:
        return _marks_text(value.items())

    def deserialize(self, value: str) -> dict[str, int]:
        return dict(_marks(value))


class BirthdayAttribute(Attribute[Birthday]):
    """A date, with a year or without, and the day it became known: `2000-02-29@20780`, `02-29@20780`."""

    attr_type = STRING

    def serialize(self, value: Birthday) -> str:
        year = "" if value.year is None else f"{value.year:04d}-"
        return f"{year}{value.month:02d}-{value.day:02d}@{value.known}"

    def deserialize(self, value: str) -> Birthday:
        date, _, known = value.partition("@")
        *year, month, day = map(int, date.split("-"))
        return Birthday(month, day, year[0] if year else None, int(known))


class ConsentsAttribute(Attribute[dict[Consent, bool]]):
    """The answers a member gave: `reminders=1 offers=0`."""

    attr_type = STRING

    def serialize(self, value: dict[Consent, bool]) -> str:
        return _marks_text((each.value, int(value[each])) for each in Consent if each in value)

    def deserialize(self, value: str) -> dict[Consent, bool]:
        return {Consent(name): bool(given) for name, given in _marks(value)}


class ArgumentsAttribute(Attribute[dict[str, int | str]]):
    """What fills in a text: `balance=120 date=20850 tier=gold`. An id may look like a number."""

    attr_type = STRING

    def serialize(self, value: dict[str, int | str]) -> str:
        return " ".join(f"{name}={each}" for name, each in value.items())

    def deserialize(self, value: str) -> dict[str, int | str]:
        parts = (part.partition("=") for part in value.split())
        return {name: each if name in _IDS else int(each) for name, _, each in parts}


# Arguments of a notice that are ids.
_IDS = frozenset({"tier", "reward"})


class QuantitiesAttribute(Attribute[dict[int, int]]):
    """Quantities by basket line: `0*2 3*1`."""

    attr_type = STRING

    def serialize(self, value: dict[int, int]) -> str:
        return " ".join(f"{line}*{quantity}" for line, quantity in value.items())

    def deserialize(self, value: str) -> dict[int, int]:
        parts = (part.split("*") for part in value.split())
        return {int(line): int(quantity) for line, quantity in parts}


class ReversalAttribute(Attribute[Reversal]):
    """What a return came to: amount, and points taken, owed and written off: `1290 10 2 0`."""

    attr_type = STRING

    def serialize(self, value: Reversal) -> str:
        return f"{value.amount_minor} {value.taken} {value.debt} {value.written_off}"

    def deserialize(self, value: str) -> Reversal:
        return Reversal(*map(int, value.split()))


class ClosingsAttribute(Attribute[tuple[tuple[str, int], ...]]):
    """Sequences of closing records and their accounts: `17@01J… 3@01K…`."""

    attr_type = STRING

    def serialize(self, value: tuple[tuple[str, int], ...]) -> str:
        return " ".join(f"{seq}@{account}" for account, seq in value)

    def deserialize(self, value: str) -> tuple[tuple[str, int], ...]:
        parts = (part.partition("@") for part in value.split())
        return tuple((account, int(seq)) for seq, _, account in parts)


class EntriesAttribute(Attribute[tuple[Entry, ...]]):
    """The entries of one record, oldest first, each a map."""

    attr_type = LIST

    def serialize(self, value: tuple[Entry, ...]) -> list[Any]:
        return [{"M": _entry_to_map(entry)} for entry in value]

    def deserialize(self, value: list[Any]) -> tuple[Entry, ...]:
        return tuple(_entry_from_map(element["M"]) for element in value)


class BasketAttribute(Attribute[Basket]):
    """A basket as JSON, compressed when that is shorter (then the first byte is 0x78, which JSON never starts with)."""

    attr_type = "B"

    def serialize(self, value: Basket) -> bytes:
        document = [
            _millis(value.occurred_at),
            value.total.amount_minor,
            value.total.currency,
            value.location,
            value.channel,
            [[line.sku, line.category, line.quantity, line.amount_minor] for line in value.lines],
        ]
        plain = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return zlib.compress(plain) if len(plain) > _COMPRESS_ABOVE else plain

    def deserialize(self, value: bytes) -> Basket:
        plain = zlib.decompress(value) if value[0] == 0x78 else value
        occurred, amount, currency, location, channel, lines = json.loads(plain)
        return Basket(
            occurred_at=_instant(occurred),
            total=Money(amount, currency),
            location=location,
            channel=channel,
            lines=tuple(BasketLine(*line) for line in lines),
        )


class RefusalAttribute(Attribute[Refusal]):
    """A recorded refusal: code, message and field path."""

    attr_type = LIST

    def serialize(self, value: Refusal) -> list[Any]:
        return _refusal_texts(value)

    def deserialize(self, value: list[Any]) -> Refusal:
        return _refusal(value)


class Row(Model):
    """What every item has. The key's prefix tells the kind of an item; PynamoDB's discriminators are not used."""

    class Meta:
        # Models only translate; `storage.table` holds the connection, so that one process can serve several tables.
        table_name = ""

    pk = UnicodeAttribute(hash_key=True, attr_name="PK")
    sk = UnicodeAttribute(range_key=True, attr_name="SK")


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


class ProfileRow(Row):
    """P: all personal data of a member."""

    enrolled_at = InstantAttribute(attr_name="at")
    name = UnicodeAttribute(attr_name="nm", null=True)
    external_id = UnicodeAttribute(attr_name="x", null=True)
    email = UnicodeAttribute(attr_name="em", null=True)
    phone = UnicodeAttribute(attr_name="ph", null=True)
    card_number = UnicodeAttribute(attr_name="cd", null=True)
    login = UnicodeAttribute(attr_name="lg", null=True)
    birthday = BirthdayAttribute(attr_name="bd", null=True)
    consents = ConsentsAttribute(attr_name="cs", null=True)


class ClaimRow(Row):
    """K: the memory of a key."""

    account = UnicodeAttribute(attr_name="a", null=True)
    seq_seen = NumberAttribute(attr_name="s", null=True)
    # A claim that only waits for its purchase has none: conditions ask for it.
    fingerprint = BinaryAttribute(attr_name="f", null=True, legacy_encoding=False)
    at = InstantAttribute(attr_name="at")
    basket = BasketAttribute(attr_name="d", null=True)
    refusal = RefusalAttribute(attr_name="r", null=True)
    had_returns = NumberAttribute(attr_name="w", null=True)
    followed = ClosingsAttribute(attr_name="p", null=True)
    ttl = NumberAttribute(attr_name="ttl", null=True)


class ReturnRow(Row):
    """R: a return, beside the claim of its purchase."""

    fingerprint = BinaryAttribute(attr_name="f", legacy_encoding=False)
    at = InstantAttribute(attr_name="at")
    lines = QuantitiesAttribute(attr_name="l", null=True)
    amount_minor = NumberAttribute(attr_name="m", null=True)
    currency = UnicodeAttribute(attr_name="cu", null=True)
    occurred_at = InstantAttribute(attr_name="oc", null=True)
    reason = UnicodeAttribute(attr_name="rs", null=True)
    member = UnicodeAttribute(attr_name="w", null=True)
    account = UnicodeAttribute(attr_name="a", null=True)
    seq = NumberAttribute(attr_name="s", null=True)
    reversal = ReversalAttribute(attr_name="p", null=True)
    refusal = RefusalAttribute(attr_name="r", null=True)


class EndRow(Row):
    """C: how a redemption ended."""

    kind = UnicodeAttribute(attr_name="k")
    key = UnicodeAttribute(attr_name="i")
    at = InstantAttribute(attr_name="at")


class NoteRow(Row):
    """A: a note of staff."""

    text = UnicodeAttribute(attr_name="tx")
    salt = BinaryAttribute(attr_name="sa", legacy_encoding=False)


class NoticeRow(Row):
    """A: something a member was told; `rd` is when they read it. Forgotten a while after it was given."""

    kind = UnicodeAttribute(attr_name="k")
    at = InstantAttribute(attr_name="at")
    version = NumberAttribute(attr_name="v")
    moment = UnicodeAttribute(attr_name="mo", null=True)
    args = ArgumentsAttribute(attr_name="ar", null=True)
    read_at = InstantAttribute(attr_name="rd", null=True)
    ttl = NumberAttribute(attr_name="ttl")


class LookupRow(Row):
    """U: the account a unique value leads to. One that was given up leads nowhere, until TTL or a new owner takes it."""

    account = UnicodeAttribute(attr_name="a", null=True)
    ttl = NumberAttribute(attr_name="ttl", null=True)


class DueRow(Row):
    """D: an account has something happening on a day."""

    ttl = NumberAttribute(attr_name="ttl")


class ProgramRow(Row):
    """CFG: one published version of the program, as a JSON document."""

    document = UnicodeAttribute(attr_name="doc")
    # On the first version alone, and only of a stack whose clock may be turned.
    sandbox = NumberAttribute(attr_name="sb", null=True)


class MarkRow(Row):
    """JOB: up to which day a round of the scheduled jobs is planned."""

    day = NumberAttribute(attr_name="d")


class DialRow(Row):
    """CLOCK: how many milliseconds a sandbox's clock is ahead of the wall, and the job that turned it last."""

    offset = NumberAttribute(attr_name="at")
    job = UnicodeAttribute(attr_name="j")


class CountsAttribute(Attribute[dict[str, int]]):
    """Numbers by kind: `EXPIRY=12 MATURITY=3`."""

    attr_type = STRING

    def serialize(self, value: dict[str, int]) -> str:
        return _marks_text(value.items())

    def deserialize(self, value: str) -> dict[str, int]:
        return dict(_marks(value))


class JobRow(Row):
    """JOB: a turn of the clock, and how far it is."""

    fingerprint = BinaryAttribute(attr_name="f", legacy_encoding=False)
    actor = UnicodeAttribute(attr_name="u")
    starts_at = InstantAttribute(attr_name="a")
    ends_at = InstantAttribute(attr_name="z")
    reached_at = InstantAttribute(attr_name="r")
    beat_at = InstantAttribute(attr_name="b")
    status = UnicodeAttribute(attr_name="s")
    days_total = NumberAttribute(attr_name="n")
    days_done = NumberAttribute(attr_name="d")
    partitions = NumberAttribute(attr_name="p")
    after = UnicodeAttribute(attr_name="k", null=True)
    program = NumberAttribute(attr_name="g")
    counts = CountsAttribute(attr_name="c", null=True)
    failure = UnicodeAttribute(attr_name="e", null=True)
    version = NumberAttribute(attr_name="v")


def record_item(record: Record) -> Item:
    """A record as its item, chained to the record before. Empty pots are left out."""
    state = record.state
    row = RecordRow(keys.account(record.account), keys.entry(record.seq))
    row.entries = record.entries
    row.buckets = state.buckets or None
    row.pending = state.pending or None
    row.holds = state.holds or None
    row.debt = state.debt or None
    row.status = None if state.status is Status.ACTIVE else _STATUSES[state.status]
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
        sent=_pair(sent["S"]) if sent else (0, 0),
        merged=tuple(merged["S"].split()) if merged else (),
        rolling=_rolling(rolling["S"]) if rolling else None,
        standing=_standing(standing["S"]) if standing else None,
        qualifying=RecordRow.qualifying.deserialize(qualifying["S"]) if qualifying else {},
        marks=dict(_marks(marks["S"])) if marks else {},
    )
    account, seq = item["PK"]["S"][2:], keys.sequence(item["SK"]["S"])
    return Record(account, seq, entries, state, hash=proof["B"] if proof else b"")


def profile_item(account: str, profile: Profile) -> Item:
    """A profile as its item."""
    return ProfileRow(
        keys.account(account),
        keys.PROFILE,
        enrolled_at=profile.enrolled_at,
        name=profile.name,
        external_id=profile.external_id,
        email=profile.email,
        phone=profile.phone,
        card_number=profile.card_number,
        login=profile.login,
        birthday=profile.birthday,
        consents=profile.consents or None,
    ).serialize()


def profile_from(item: Item) -> Profile:
    """The profile of an item."""

    # Like a record, it is part of every screen.
    def text(name: str) -> str | None:
        value = item.get(name)
        return value["S"] if value else None

    return Profile(
        enrolled_at=_instant(item["at"]["N"]),
        name=text("nm"),
        external_id=text("x"),
        email=text("em"),
        phone=text("ph"),
        card_number=text("cd"),
        login=text("lg"),
        birthday=ProfileRow.birthday.deserialize(birthday) if (birthday := text("bd")) else None,
        consents=ProfileRow.consents.deserialize(consents) if (consents := text("cs")) else {},
    )


def claim_item(claim: Claim) -> Item:
    """A claim as its item."""
    return ClaimRow(
        keys.claim(claim.key),
        keys.CLAIM,
        account=claim.account or None,
        seq_seen=claim.seq_seen or None,
        fingerprint=claim.fingerprint or None,
        at=claim.at,
        basket=claim.basket,
        refusal=claim.refusal,
        had_returns=1 if claim.had_returns else None,
        followed=claim.followed or None,
        ttl=int(claim.expires_at.timestamp()) if claim.expires_at else None,
    ).serialize()


def claim_from(item: Item) -> Claim:
    """The claim of an item."""
    row = ClaimRow.from_raw_data(item)
    return Claim(
        key=_key(row.pk[2:]),
        account=row.account or "",
        seq_seen=int(row.seq_seen or 0),
        fingerprint=row.fingerprint or b"",
        at=row.at,
        basket=row.basket,
        refusal=row.refusal,
        expires_at=datetime.fromtimestamp(int(row.ttl), UTC) if row.ttl else None,
        had_returns=bool(row.had_returns),
        followed=row.followed or (),
    )


def return_item(booked: PurchaseReturn) -> Item:
    """A return as its item."""
    return ReturnRow(
        keys.claim(booked.purchase),
        keys.purchase_return(booked.id),
        fingerprint=booked.fingerprint,
        at=booked.at,
        lines=booked.lines or None,
        amount_minor=booked.amount_minor,
        currency=booked.currency,
        occurred_at=booked.occurred_at,
        reason=booked.reason,
        member=booked.member or None,
        account=booked.account or None,
        seq=booked.seq or None,
        reversal=booked.reversal,
        refusal=booked.refusal,
    ).serialize()


def return_from(item: Item) -> PurchaseReturn:
    """The return of an item."""
    row = ReturnRow.from_raw_data(item)
    return PurchaseReturn(
        purchase=_key(row.pk[2:]),
        id=row.sk[2:],
        fingerprint=row.fingerprint,
        at=row.at,
        lines=row.lines or {},
        amount_minor=None if row.amount_minor is None else int(row.amount_minor),
        currency=row.currency,
        occurred_at=row.occurred_at,
        reason=row.reason,
        member=row.member or "",
        account=row.account or "",
        seq=int(row.seq or 0),
        reversal=row.reversal,
        refusal=row.refusal,
    )


def end_item(end: End) -> Item:
    """The end of a redemption as its item."""
    return EndRow(
        keys.account(end.account), keys.end(end.seq, end.index), kind=_KINDS[end.kind], key=str(end.key), at=end.at
    ).serialize()


def end_from(item: Item) -> End:
    """The end of a redemption of an item."""
    row = EndRow.from_raw_data(item)
    seq, _, index = row.sk[2:].partition(".")
    return End(row.pk[2:], int(seq), int(index), _KIND_OF[row.kind], _key(row.key), row.at)


def note_item(account: str, note: Note) -> Item:
    """A note of staff as its item."""
    return NoteRow(keys.account(account), keys.note(note.digest), text=note.text, salt=note.salt).serialize()


def note_from(item: Item) -> Note:
    """The note of an item."""
    row = NoteRow.from_raw_data(item)
    return Note(row.text, row.salt, bytes.fromhex(row.sk.rpartition("#")[2]))


def notice_item(account: str, notice: Notice) -> Item:
    """A notice as its item."""
    return NoticeRow(
        keys.account(account),
        keys.notice(notice.day, notice.about),
        kind=_NOTICES[notice.kind],
        at=notice.at,
        version=notice.version,
        moment=notice.moment or None,
        args=notice.args or None,
        read_at=notice.read_at,
        ttl=int((notice.at + limits.NOTICE_RETENTION).timestamp()),
    ).serialize()


def notice_from(item: Item) -> Notice:
    """The notice of an item."""
    row = NoticeRow.from_raw_data(item)
    day, about = keys.noticed(row.sk)
    return Notice(
        kind=_NOTICE_OF[row.kind],
        day=day,
        about=about,
        at=row.at,
        version=int(row.version),
        moment=row.moment or "",
        args=row.args or {},
        read_at=row.read_at,
    )


# One letter a kind of notice.
_NOTICES = {
    NoticeKind.REMINDER: "X",
    NoticeKind.TIER_FALLING: "T",
    NoticeKind.MOMENT: "M",
    NoticeKind.SUMMARY: "S",
}
_NOTICE_OF = {letter: kind for kind, letter in _NOTICES.items()}


def _millis(instant: datetime) -> int:
    # Exact: timestamp() would go through a float.
    return (instant - _EPOCH) // _MILLISECOND


def _instant(millis: str | int) -> datetime:
    return _EPOCH + int(millis) * _MILLISECOND


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = datetime.resolution * 1_000


def _line_text(line: Line) -> str:
    # `20850`, pending `20600.20850`, held `17/20850`, debt `d`.
    bucket = "d" if line.expires == DEBT else str(line.expires)
    if line.matures:
        bucket = f"{line.matures}.{bucket}"
    elif line.hold:
        bucket = f"{line.hold}/{bucket}"
    return f"{bucket}{line.points:+d}"


def _lines(text: str) -> list[Line]:
    lines = []
    for part in text.split():
        at = max(part.rfind("+"), part.rfind("-"))
        bucket, points = part[:at], int(part[at:])
        if bucket.isdecimal():
            lines.append(Line(int(bucket), points))
        elif bucket == "d":
            lines.append(Line(DEBT, points))
        elif "/" in bucket:
            number, _, expires = bucket.partition("/")
            lines.append(Line(int(expires), points, hold=int(number)))
        else:
            matures, _, expires = bucket.partition(".")
            lines.append(Line(int(expires), points, int(matures)))
    return lines


def _pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition(":")
    return int(first), int(second)


def _rolling_text(rolling: Rolling) -> str:
    return f"{rolling.until}:{rolling.months}:{rolling.days}:{rolling.rounding.value}"


def _rolling(text: str) -> Rolling:
    until, months, days, rounding = map(int, text.split(":"))
    return Rolling(until, months, days, Rounding(rounding))


def _standing_text(standing: Standing) -> str:
    own = f"{standing.tier}:{standing.until}:{standing.origin.value[0]}"
    return own if standing.then is None else f"{own} {_standing_text(standing.then)}"


def _standing(text: str) -> Standing:
    own, _, then = text.partition(" ")
    tier, until, origin = own.rsplit(":", 2)
    return Standing(tier, int(until), _ORIGIN_OF[origin], _standing(then) if then else None)


_ORIGIN_OF = {origin.value[0]: origin for origin in Origin}


def _marks_text(marks: Iterable[tuple[str, int]]) -> str:
    return " ".join(f"{name}={value}" for name, value in marks)


def _marks(text: str) -> list[tuple[str, int]]:
    parts = (part.partition("=") for part in text.split())
    return [(name, int(value)) for name, _, value in parts]


def _explanation_text(explanation: Explanation) -> str:
    basis = "" if explanation.basis is None else f"@{explanation.basis}"
    return f"{explanation.rule}={explanation.points}{basis}"


def _explanation(text: str) -> Explanation:
    rule, _, numbers = text.partition("=")
    points, at, basis = numbers.partition("@")
    return Explanation(rule, int(points), int(basis) if at else None)


def _refusal_texts(refusal: Refusal) -> list[Any]:
    return [{"S": text} for text in (refusal.code, refusal.message, *refusal.field)]


def _refusal(texts: list[Any]) -> Refusal:
    code, message, *field = (element["S"] for element in texts)
    return Refusal.restore(code, message, tuple(field))


def _key(text: str) -> Key:
    source, _, value = text.partition(":")
    return Key(source, value)


# One letter a kind; never re-used, because entries are for ever.
_KINDS = {
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
}
_KIND_OF = {letter: kind for kind, letter in _KINDS.items()}
_STATUSES = {Status.BLOCKED: "B", Status.CLOSED: "C", Status.MERGED: "M"}
_STATUS_OF = {letter: status for status, letter in _STATUSES.items()}


def _entry_to_map(entry: Entry) -> Item:
    fields: Item = {
        "k": {"S": _KINDS[entry.kind]},
        "t": {"N": str(_millis(entry.at))},
        "b": {"N": str(entry.balance_after)},
    }
    if entry.lines:
        fields["l"] = {"S": " ".join(map(_line_text, entry.lines))}
    if entry.explanation:
        fields["x"] = {"S": " ".join(map(_explanation_text, entry.explanation))}
    if entry.key is not None:
        fields["i"] = {"S": str(entry.key)}
    if entry.occurred_at is not None:
        fields["o"] = {"N": str(_millis(entry.occurred_at))}
    if entry.total is not None:
        fields["m"] = {"S": f"{entry.total.amount_minor}{entry.total.currency}"}
    if entry.reward is not None:
        fields["w"] = {"S": f"{entry.reward[1]}#{entry.reward[0]}"}
    if entry.terms is not None:
        fields["v"] = {"N": str(entry.terms)}
    if entry.lapses_at is not None:
        fields["z"] = {"N": str(_millis(entry.lapses_at))}
    if entry.cause is not None:
        fields["ca"] = {"S": f"{entry.cause[0]}:{entry.cause[1]}"}
    if entry.peer is not None:
        fields["p"] = {"S": f"{entry.peer[1]}@{entry.peer[0]}"}
    if entry.note is not None:
        fields["n"] = {"S": entry.note.hex()}
    if entry.refusal is not None:
        fields["r"] = {"L": _refusal_texts(entry.refusal)}
    if entry.rolls is not None:
        fields["rl"] = {"S": _rolling_text(entry.rolls)}
    if entry.qualifies:
        fields["q"] = {"S": " ".join(f"{period}:{amount}" for period, amount in entry.qualifies)}
    if entry.standing is not None:
        fields["ti"] = {"S": _standing_text(entry.standing)}
    if entry.marks:
        fields["mk"] = {"S": _marks_text(entry.marks)}
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
        kind=_KIND_OF[fields["k"]["S"]],
        at=_instant(fields["t"]["N"]),
        lines=tuple(_lines(lines)) if lines else (),
        balance_after=int(fields["b"]["N"]),
        explanation=tuple(map(_explanation, explanation.split())) if explanation else (),
        key=_key(key) if key else None,
        actor=text("u"),
        occurred_at=_instant(occurred["N"]) if occurred else None,
        total=Money(int(money[:-3]), money[-3:]) if money else None,
        location=text("lo"),
        channel=text("ch"),
        reward=(reward_id, int(version)) if reward else None,
        code=text("c"),
        reason=text("rs"),
        terms=int(terms["N"]) if terms else None,
        lapses_at=_instant(lapses["N"]) if lapses else None,
        cause=_pair(cause) if cause else None,
        peer=(peer_account, int(peer_seq)) if peer else None,
        note=bytes.fromhex(note) if note else None,
        refusal=_refusal(refusal["L"]) if refusal else None,
        rolls=_rolling(rolls) if rolls else None,
        qualifies=tuple(map(_pair, qualifies.split())) if qualifies else (),
        standing=_standing(standing) if standing else None,
        marks=tuple(_marks(marks)) if marks else (),
    )
