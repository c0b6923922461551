"""Members: who they are, how they are found, and how they join."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from domain import days, ledger, limits, moments
from domain.access import Actor, Permission, Role
from domain.entries import Claim, Entry, EntryKind, Key, caller_key
from domain.moments import Birthday, On
from domain.notices import Consent
from domain.programs import Program
from domain.refusals import (
    IdempotencyKeyReused,
    InvalidText,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
    require_text,
)
from domain.store import ClaimTaken, Contended, LookupTaken, Store


class ContactMissing(Refusal):
    """Enrolling needs one contact (email or phone), an external id or a card number."""


class InvalidEmail(Refusal):
    """The text is not an email address."""


class InvalidPhone(Refusal):
    """The text is not a phone number in international form (+, country code, number)."""


class InvalidBirthday(Refusal):
    """There is no such date, or nobody can have been born on it."""


class ConsentRepeated(Refusal):
    """A kind of consent is answered twice in one call."""


class FieldReserved(Refusal):
    """Members tell of themselves. Tags are the shop's to give, and so is any later change of the card number or external id."""


class TooManyTags(Refusal):
    """More than `limits.TAGS_MAX` tags in one list, or of one member."""

    final = True


class AlreadyEnrolled(Refusal):
    """A member with this contact, external id, card or login exists; `field` says which one it is."""

    final = True


@dataclass(frozen=True, slots=True)
class Lookup:
    """One unique value that leads to an account. `value` is normalized; kinds are in `LOOKUP_FIELDS`, and `subject`."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Profile:
    """All personal data of a member; it stands nowhere else, so it can be erased in one place.

    `login` is the value of the member's `subject` look-up, if they enrolled themselves: who gives it up must know it.
    `consents` are the answers they gave; what is not there was not answered. `tags` are the shop's labels of them (`tags`).
    `home_location` is the place they go to, named as purchases name places; the program need not know it.
    """

    enrolled_at: datetime
    name: str | None = None
    external_id: str | None = None
    email: str | None = None
    phone: str | None = None
    card_number: str | None = None
    login: str | None = None
    birthday: Birthday | None = None
    consents: Mapping[Consent, bool] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    home_location: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A member as just enrolled, or as enrolled by an earlier call with the same key (`replayed`)."""

    account: str
    replayed: bool


# Kind of look-up → name of the input field it came from.
LOOKUP_FIELDS = {"external": "externalId", "email": "email", "phone": "phone", "card": "cardNumber"}

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PHONE_FILL = re.compile(r"[\s().-]")
_TAG = re.compile(rf"[a-z0-9._-]{{1,{limits.TAG_LENGTH_MAX}}}")
_PHONE = re.compile(rf"\+[1-9][0-9]{{{limits.PHONE_DIGITS_MIN - 1},{limits.PHONE_DIGITS_MAX - 1}}}")

ENROLL_REFUSALS: tuple[type[Refusal], ...] = (
    ConsentRepeated,
    TooManyTags,
    InvalidText,
    InvalidEmail,
    InvalidPhone,
    InvalidBirthday,
    FieldReserved,
    ContactMissing,
    IdempotencyKeyReused,
    AlreadyEnrolled,
)


def enroll(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    profile: Profile,
    account: str,
    now: datetime,
) -> Enrolled:
    """Makes a member with an empty points account named `account`; a member's own token is linked to it.

    Refuses, after `ConsentRepeated` (`answers`) and `TooManyTags` (`tags`), in this order: `InvalidText` for a malformed key or
    text, `InvalidEmail`, `InvalidPhone`, `InvalidBirthday`, `FieldReserved` for tags that members give themselves,
    `ContactMissing`, `IdempotencyKeyReused`, `AlreadyEnrolled`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, key_text(idempotency_key))
    today = days.day_of(now, program.zone)
    profile = checked(profile, today=today)
    if actor.role is Role.MEMBER and profile.tags:
        raise FieldReserved("Only the shop gives tags.", field=("input", "tags"))
    if not lookups_of(profile):
        raise ContactMissing("Give an email, a phone, a card number or an external id.", field=("input",))
    if actor.role is Role.MEMBER:
        profile = replace(profile, login=subject_of(actor).value)
    claim = Claim(
        key=key,
        account=account,
        seq_seen=0,
        fingerprint=ledger.fingerprint(
            store,
            "memberEnroll",
            profile.name,
            profile.external_id,
            profile.email,
            profile.phone,
            profile.card_number,
            *told_of_birthday(profile.birthday),
            *told_of_consents(profile.consents),
            *told_of_tags("tags", profile.tags),
            *(() if profile.home_location is None else (("home", profile.home_location),)),
        ),
        at=now,
        expires_at=now + limits.CLAIM_RETENTION,
    )
    entry = Entry(kind=EntryKind.ENROLLMENT, at=now, lines=(), balance_after=0, key=key, actor=actor.id)
    opening = ledger.opening(account, entry, program, now=now)
    if actor.account is not None and store.head(actor.account, strong=True) is not None:
        return _refused(store, claim, subject_of(actor))
    due = opening.due | birthdays_due(profile.birthday, program, today=today)
    if due:
        store.note_due(account, sorted(due))
    profile = replace(profile, enrolled_at=now)
    for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
        try:
            store.enroll(claim, opening.record, profile, lookups_of(profile))
        except ClaimTaken as taken:
            return _replayed(taken.claim, claim)
        except LookupTaken as taken:
            return _refused(store, claim, taken.lookup)
        except Contended:
            store.pause(attempt)
            continue
        ledger.tell(store, opening.record, program, profile=profile)
        return Enrolled(account, replayed=False)
    raise OutcomeUnknown("The store is too busy; whether this happened is unknown. Retry with the same key.")


def resolve(store: Store, *, actor: Actor, by: Lookup, field: tuple[str, ...], key: Key | None = None) -> str:
    """The account a caller names. Refuses `MemberNotFound`, also for what the caller may not see.

    The kind `id` names the account itself. Whoever was found when `key` was claimed is found again under that key, though they
    have given the look-up up since: what a key was answered does not change.
    """
    own = own_account(store, actor)
    sees_others = actor.may(Permission.MEMBERS_READ) or actor.role is Role.PARTNER
    if sees_others or own is not None:
        account = _existing(store, by)
        if account is not None and (sees_others or is_one(store, account, own)):
            return account
    claimed = _claimed(store, key)
    if claimed is not None and (sees_others or is_one(store, claimed, own) or _was_theirs(store, claimed, actor)):
        return claimed
    raise MemberNotFound("No member is enrolled under this.", field=field)


def named_or_own(
    store: Store, *, actor: Actor, by: Lookup | None, may_name: Permission, field: tuple[str, ...], key: Key
) -> str:
    """The account an operation is about: the one named, or, for members who name nobody, their own; under `key` also the one
    they have closed since. Refuses `MemberNotFound`; whoever has the permission `may_name` is told to name somebody."""
    if by is not None:
        return resolve(store, actor=actor, by=by, field=field, key=key)
    own = own_account(store, actor)
    if own is not None:
        return own
    if actor.role is Role.MEMBER:
        claimed = _claimed(store, key)
        if claimed is not None and _was_theirs(store, claimed, actor):
            return claimed
    may = actor.may(may_name)
    raise MemberNotFound("Name the member." if may else "You are not enrolled yet.", field=field)


def own_account(store: Store, actor: Actor) -> str | None:
    """The caller's own account: named by the token, or found by its issuer and subject; none before enrolling."""
    if actor.role is not Role.MEMBER:
        return None
    if actor.account is not None:
        return actor.account
    lookup = subject_of(actor)
    return store.find_account(lookup) or store.find_account(lookup, strong=True)


def is_one(store: Store, account: str, other: str | None) -> bool:
    """Whether two accounts are the same one, or have become so by a merge.

    Whoever is named or logged in by what belonged to a merged account is found as that account: what a key was answered does
    not change with a merge. Only what is read or booked follows it.
    """
    if other is None or account == other:
        return account == other
    # Strong reads: a no, and a look at somebody whose merge was undone, are not to be had from a late one.
    try:
        heads = [ledger.known_head(store, each, strong=True) for each in (account, other)]
    except MemberNotFound:
        return False
    return heads[0].account == heads[1].account


def subject_of(actor: Actor) -> Lookup:
    """The look-up of a login: a subject is unique within its issuer only."""
    return Lookup("subject", f"{actor.issuer} {actor.subject}")


def lookup(kind: str, value: str, *, field: tuple[str, ...]) -> Lookup:
    """A look-up with its value in the form it is stored in. Refuses `InvalidText`, `InvalidEmail`, `InvalidPhone`."""
    if kind == "email":
        return Lookup(kind, _email(value, field=field))
    if kind == "phone":
        return Lookup(kind, _phone(value, field=field))
    return Lookup(kind, require_text(value, field=field, length_max=limits.EXTERNAL_ID_LENGTH_MAX))


def key_text(value: str, *, field: tuple[str, ...] = ("input", "idempotencyKey")) -> str:
    """A usable idempotency key. Refuses `InvalidText`."""
    return require_text(value, field=field, length_max=limits.KEY_LENGTH_MAX)


def checked(profile: Profile, *, today: int) -> Profile:
    """The profile as it is stored from day `today` on. Refuses `InvalidText`, `InvalidEmail`, `InvalidPhone`,
    `InvalidBirthday`."""
    name, external, card, home = profile.name, profile.external_id, profile.card_number, profile.home_location
    id_max = limits.EXTERNAL_ID_LENGTH_MAX
    profile = replace(
        profile,
        name=None if name is None else require_text(name, field=("input", "name"), length_max=limits.NAME_LENGTH_MAX),
        external_id=None
        if external is None
        else require_text(external, field=("input", "externalId"), length_max=id_max),
        card_number=None if card is None else require_text(card, field=("input", "cardNumber"), length_max=id_max),
        home_location=None
        if home is None
        else require_text(home, field=("input", "homeLocation"), length_max=limits.LABEL_LENGTH_MAX),
        email=None if profile.email is None else _email(profile.email, field=("input", "email")),
        phone=None if profile.phone is None else _phone(profile.phone, field=("input", "phone")),
    )
    birthday = None if profile.birthday is None else _birthday(profile.birthday, today, field=("input", "birthday"))
    return replace(profile, birthday=birthday)


def answers(given: Iterable[tuple[Consent, bool | None]]) -> dict[Consent, bool | None]:
    """Answers by their kind; None takes one back. Refuses `ConsentRepeated`."""
    found: dict[Consent, bool | None] = {}
    for consent, answer in given:
        if consent in found:
            raise ConsentRepeated(f"{consent.name} is answered twice.", field=("input", "consents"))
        found[consent] = answer
    return found


def tags(given: Collection[str], *, field: tuple[str, ...]) -> frozenset[str]:
    """Tags without white space around them; who gives one twice gives it once. Refuses `TooManyTags`, `InvalidText`."""
    if len(given) > limits.TAGS_MAX:
        raise TooManyTags(f"{field[-1]} takes at most {limits.TAGS_MAX}, not {len(given)}.", field=field)
    return frozenset(_tag(tag, field=(*field, str(index))) for index, tag in enumerate(given))


def birthdays_due(birthday: Birthday | None, program: Program, *, today: int) -> frozenset[int]:
    """The days that get a due row when a birthday was told on day `today`: the next one it is on, and where that is today,
    tomorrow as well, because members may have been told already today."""
    if birthday is None or not any(moment.on is On.BIRTHDAY for moment in program.moments):
        return frozenset()
    day = moments.upcoming(birthday.yearly, today - 1)
    return frozenset({day, day + 1} if day == today else {day})


def told_of_birthday(birthday: Birthday | None) -> tuple[object, ...]:
    """What a fingerprint says of a birthday: the date as it was told, not when it was."""
    return () if birthday is None else (("birthday", birthday.month, birthday.day, birthday.year),)


def told_of_consents(consents: Mapping[Consent, bool | None]) -> tuple[object, ...]:
    """What a fingerprint says of answers."""
    return tuple((each.value, consents[each]) for each in Consent if each in consents)


def told_of_tags(what: str, tags: Iterable[str]) -> tuple[object, ...]:
    """What a fingerprint says of tags: which, in no order."""
    told = sorted(tags)
    return ((what, told),) if told else ()


def lookups_of(profile: Profile) -> tuple[Lookup, ...]:
    """Every look-up that leads to the member: contacts, card, external id and login."""
    values = {
        "external": profile.external_id,
        "email": profile.email,
        "phone": profile.phone,
        "card": profile.card_number,
        "subject": profile.login,
    }
    return tuple(Lookup(kind, value) for kind, value in values.items() if value is not None)


def already_enrolled(taken: Lookup) -> AlreadyEnrolled:
    """The refusal of a look-up that somebody has."""
    name = LOOKUP_FIELDS.get(taken.kind)
    what = f"this {name}" if name else "this login"
    return AlreadyEnrolled(f"A member with {what} is enrolled already.", field=("input", name) if name else ())


def _existing(store: Store, by: Lookup) -> str | None:
    if by.kind == "id":
        # A strong look only where the cheap one found nothing: somebody who joined a moment ago is a member.
        known = store.head(by.value) or store.head(by.value, strong=True)
        return known.account if known else None
    return store.find_account(by) or store.find_account(by, strong=True)


def _claimed(store: Store, key: Key | None) -> str | None:
    """The account of a key that was used before. What was asked under it is compared later: the claim has a fingerprint."""
    claim = None if key is None else store.claim(key)
    return None if claim is None else claim.asked_about or None


def _was_theirs(store: Store, account: str, actor: Actor) -> bool:
    """Whether a member enrolled the account with this very login: a key alone does not tell issuers apart."""
    if actor.role is not Role.MEMBER:
        return False
    home = store.home(account, entries=0, strong=True)
    return home is not None and home.profile is not None and home.profile.login == subject_of(actor).value


def _email(value: str, *, field: tuple[str, ...]) -> str:
    # Whether a mailbox exists only a message to it can tell; this refuses what cannot be an address at all.
    text = require_text(value, field=field, length_max=limits.EMAIL_LENGTH_MAX).lower()
    if not _EMAIL.fullmatch(text):
        raise InvalidEmail("This is not an email address.", field=field)
    return text


def _phone(value: str, *, field: tuple[str, ...]) -> str:
    text = _PHONE_FILL.sub("", require_text(value, field=field, length_max=2 * limits.PHONE_DIGITS_MAX))
    if not _PHONE.fullmatch(text):
        raise InvalidPhone("Give the number in international form, for example +15551234567.", field=field)
    return text


def _tag(value: str, *, field: tuple[str, ...]) -> str:
    # No capitals: two systems that write a tag in their own way would mean two tags, and a campaign one of them.
    text = value.strip()
    if not _TAG.fullmatch(text):
        raise InvalidText(
            f"A tag has 1 to {limits.TAG_LENGTH_MAX} characters: small letters a to z, digits, dots, _ and -.",
            field=field,
        )
    return text


def _birthday(birthday: Birthday, today: int, *, field: tuple[str, ...]) -> Birthday:
    """A birthday as it becomes known on day `today`: 29 February is a date of every year, a year must have the day."""
    on = days.date_of(today)
    try:
        # Of a year that has every date, where none was told.
        born = date(2_000 if birthday.year is None else birthday.year, birthday.month, birthday.day)
    except (OverflowError, ValueError):
        raise InvalidBirthday("There is no such date.", field=field) from None
    if birthday.year is not None and not (on.year - limits.BIRTH_AGE_YEARS_MAX <= birthday.year and born <= on):
        raise InvalidBirthday(
            f"A birthday lies within the last {limits.BIRTH_AGE_YEARS_MAX} years.", field=(*field, "year")
        )
    return replace(birthday, known=today)


def _replayed(existing: Claim, claim: Claim) -> Enrolled:
    if existing.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused(
            f"The key {claim.key.value!r} was used before with other input.", field=("input", "idempotencyKey")
        )
    if existing.refusal is not None:
        raise existing.refusal.again()
    return Enrolled(existing.account, replayed=True)


def _refused(store: Store, claim: Claim, taken: Lookup) -> Enrolled:
    refusal = already_enrolled(taken)
    try:
        # Nobody's account: the refusal belongs to the key alone.
        store.remember(replace(claim, account="", refusal=refusal))
    except ClaimTaken as other:
        return _replayed(other.claim, claim)
    except Contended as busy:
        raise OutcomeUnknown("The refusal could not be recorded; retry with the same key.") from busy
    raise refusal
