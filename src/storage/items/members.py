"""P, U, A: a member's personal data, what leads to them, what staff noted, and what they were told."""

from pynamodb.attributes import Attribute, BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.constants import STRING

from domain import limits
from domain.entries import Note
from domain.members import Profile
from domain.moments import Birthday
from domain.notices import Consent, Notice, NoticeKind
from storage import keys
from storage.items.attributes import InstantAttribute
from storage.items.row import Item, Row
from storage.items.strings import instant_of, marks_of, marks_text


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
        return marks_text((each.value, int(value[each])) for each in Consent if each in value)

    def deserialize(self, value: str) -> dict[Consent, bool]:
        return {Consent(name): bool(given) for name, given in marks_of(value)}


class TagsAttribute(Attribute[frozenset[str]]):
    """The shop's labels of a member: `coffee-lover vip`."""

    attr_type = STRING

    def serialize(self, value: frozenset[str]) -> str:
        return " ".join(sorted(value))

    def deserialize(self, value: str) -> frozenset[str]:
        return frozenset(value.split())


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
    tags = TagsAttribute(attr_name="tg", null=True)
    home_location = UnicodeAttribute(attr_name="hl", null=True)


class NoteRow(Row):
    """A: a note of staff."""

    text = UnicodeAttribute(attr_name="tx")
    salt = BinaryAttribute(attr_name="sa", legacy_encoding=False)


class NoticeRow(Row):
    """A: something a member was told; `rd` is when they read it. Forgotten a while after it was given.

    The words are the program's, but for those of a campaign, which stand in the notice.
    """

    kind = UnicodeAttribute(attr_name="k")
    at = InstantAttribute(attr_name="at")
    version = NumberAttribute(attr_name="v")
    moment = UnicodeAttribute(attr_name="mo", null=True)
    args = ArgumentsAttribute(attr_name="ar", null=True)
    title = UnicodeAttribute(attr_name="ti", null=True)
    text = UnicodeAttribute(attr_name="tx", null=True)
    read_at = InstantAttribute(attr_name="rd", null=True)
    ttl = NumberAttribute(attr_name="ttl")


class LookupRow(Row):
    """U: the account a unique value leads to. One that was given up leads nowhere, until TTL or a new owner takes it."""

    account = UnicodeAttribute(attr_name="a", null=True)
    ttl = NumberAttribute(attr_name="ttl", null=True)


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
        tags=profile.tags or None,
        home_location=profile.home_location,
    ).serialize()


def profile_from(item: Item) -> Profile:
    """The profile of an item."""

    # Like a record, it is part of every screen.
    def text(name: str) -> str | None:
        value = item.get(name)
        return value["S"] if value else None

    return Profile(
        enrolled_at=instant_of(item["at"]["N"]),
        name=text("nm"),
        external_id=text("x"),
        email=text("em"),
        phone=text("ph"),
        card_number=text("cd"),
        login=text("lg"),
        birthday=ProfileRow.birthday.deserialize(birthday) if (birthday := text("bd")) else None,
        consents=ProfileRow.consents.deserialize(consents) if (consents := text("cs")) else {},
        tags=ProfileRow.tags.deserialize(tags) if (tags := text("tg")) else frozenset(),
        home_location=text("hl"),
    )


def note_item(account: str, note: Note) -> Item:
    """A note of staff as its item."""
    return NoteRow(keys.account(account), keys.note(note.digest), text=note.text, salt=note.salt).serialize()


def note_from(item: Item) -> Note:
    """The note of an item."""
    row = NoteRow.from_raw_data(item)
    return Note(row.text, row.salt, bytes.fromhex(row.sk.rpartition("#")[2]))


def notice_item(account: str, notice: Notice) -> Item:
    """A notice as its item."""
    words = {name: str(notice.args[name]) for name in _WORDS if name in notice.args}
    return NoticeRow(
        keys.account(account),
        keys.notice(notice.day, notice.about),
        kind=_NOTICES[notice.kind],
        at=notice.at,
        version=notice.version,
        moment=notice.moment or None,
        args={name: value for name, value in notice.args.items() if name not in words} or None,
        title=words.get("title"),
        text=words.get("text"),
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
        args={**(row.args or {}), **{name: value for name in _WORDS if (value := getattr(row, name)) is not None}},
        read_at=row.read_at,
    )


# One letter a kind of notice.
_NOTICES = {
    NoticeKind.REMINDER: "X",
    NoticeKind.TIER_FALLING: "T",
    NoticeKind.MOMENT: "M",
    NoticeKind.SUMMARY: "S",
    NoticeKind.CAMPAIGN: "C",
}
# Arguments that are words and no values: they may say anything.
_WORDS = ("title", "text")


_NOTICE_OF = {letter: kind for kind, letter in _NOTICES.items()}
