"""Profiles: a member's personal data changes, and the ways they are found by change with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from domain import accounts, days, ledger, limits, members
from domain.access import Actor, Permission
from domain.entries import Entry, EntryKind, Explanation, Record, caller_key
from domain.ledger import Operation, Outcome, Plan
from domain.members import (
    AlreadyEnrolled,
    ConsentRepeated,
    FieldReserved,
    InvalidBirthday,
    InvalidEmail,
    InvalidPhone,
    Lookup,
    Profile,
    TooManyTags,
)
from domain.moments import Birthday
from domain.notices import Consent
from domain.programs import Program
from domain.refusals import (
    IdempotencyKeyReused,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    Refusal,
    require_reason,
)
from domain.store import NOTHING, Beside, Store, Update


class TagAddedAndRemoved(Refusal):
    """One call both adds and removes a tag."""


class LastContact(Refusal):
    """Without email, phone, card number and external id nobody would find the member any more."""

    final = True


UPDATE_REFUSALS: tuple[type[Refusal], ...] = (
    ConsentRepeated,
    TooManyTags,
    InvalidText,
    InvalidEmail,
    InvalidPhone,
    InvalidBirthday,
    TagAddedAndRemoved,
    FieldReserved,
    MemberNotFound,
    IdempotencyKeyReused,
    MemberClosed,
    MemberBlocked,
    LastContact,
    AlreadyEnrolled,
)

# What can be changed: the name in a profile → the name of the input field, which is the one that entries tell.
FIELDS = {
    "name": "name",
    "email": "email",
    "phone": "phone",
    "card_number": "cardNumber",
    "external_id": "externalId",
    "home_location": "homeLocation",
}
# What else entries tell of: the birthday, the answers and the tags are no texts.
_TOLD = {**FIELDS, "birthday": "birthday", "consents": "consents", "tags": "tags"}
# A till credits whoever has the card or the id it reads: both are a matter between the shop and its own systems.
_RESERVED = ("card_number", "external_id")


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change in a profile. `texts` are texts by their names in `FIELDS`; None clears one, and what is not named stays.

    `birthday` is changed when `has_birthday`, None clears it. `consents` are answers; None takes one back, and what is not there
    stays. Tags are added and removed one by one (`members.tags`): who knows some of them takes nothing from whoever gave the
    others.
    """

    texts: Mapping[str, Any] = field(default_factory=dict)
    birthday: Birthday | None = None
    has_birthday: bool = False
    consents: Mapping[Consent, bool | None] = field(default_factory=dict)
    tags_added: frozenset[str] = frozenset()
    tags_removed: frozenset[str] = frozenset()

    def of(self, profile: Profile) -> Profile:
        """The profile after them."""
        answers = {**profile.consents, **self.consents}
        after = replace(
            profile,
            **self.texts,
            consents={each: given for each in Consent if (given := answers.get(each)) is not None},
            tags=(profile.tags - self.tags_removed) | self.tags_added,
        )
        if not self.has_birthday:
            return after
        known, told = profile.birthday, self.birthday
        # Who tells it again has told it before.
        is_same = known is not None and told is not None and replace(told, known=known.known) == known
        return replace(after, birthday=known if is_same else told)


def update(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup | None,
    changes: Changes,
    reason: str | None,
    now: datetime,
) -> Outcome:
    """Makes the changes in a profile.

    Contacts, card and external id that are given up can be taken by others at once; those gained are this member's from the
    same moment on. The entry says which fields changed and never what they were or are; one that changes nothing says so.
    Where the account was merged, this is about the account it lives on in; look-ups of the merged one are not free.

    A birthday that is new gets a due row, for today or for the next day it is on.

    `member` is left out by members. Refuses, after `ConsentRepeated` (`members.answers`) and `TooManyTags` (`members.tags`), in
    this order: `InvalidText`, `InvalidEmail`, `InvalidPhone`, `InvalidBirthday`, `TagAddedAndRemoved`, `FieldReserved`,
    `MemberNotFound`, `IdempotencyKeyReused`, `MemberClosed`, `MemberBlocked` (for members themselves), `TooManyTags` for those
    the member would have, `LastContact`, `AlreadyEnrolled`, `OutcomeUnknown`.
    """
    assert changes.texts.keys() <= FIELDS.keys()
    key = caller_key(actor.id, members.key_text(idempotency_key))
    reason = None if reason is None else require_reason(reason)
    today = days.day_of(now, program.zone)
    wanted = members.checked(_profile_of(changes, now), today=today)
    changed = {name: getattr(wanted, name) for name in FIELDS if name in changes.texts}
    changes = replace(changes, texts=changed, birthday=wanted.birthday)
    if not changes.tags_added.isdisjoint(changes.tags_removed):
        raise TagAddedAndRemoved("A tag is both added and removed.", field=("input", "removeTags"))
    is_own = not actor.may(Permission.MEMBERS_UPDATE)
    for tags, name in ((changes.tags_added, "addTags"), (changes.tags_removed, "removeTags")):
        if is_own and tags:
            raise FieldReserved("Only the shop gives tags and takes them.", field=("input", name))
    for name in _RESERVED:
        if is_own and name in changed:
            raise FieldReserved("Only the shop changes this.", field=("input", FIELDS[name]))
    account = members.named_or_own(
        store, actor=actor, by=member, may_name=Permission.MEMBERS_UPDATE, field=("input", "member"), key=key
    )
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(
            store,
            "memberUpdate",
            (member.kind, member.value) if member else ("own", account),
            list(changed.items()),
            reason,
            *((members.told_of_birthday(changes.birthday) or ("no birthday",)) if changes.has_birthday else ()),
            *members.told_of_consents(changes.consents),
            *members.told_of_tags("tags added", changes.tags_added),
            *members.told_of_tags("tags removed", changes.tags_removed),
        ),
    )

    def decide(before: Record) -> Plan:
        # Who has taken over a login must not make the account theirs while somebody looks into it.
        (accounts.require_active if is_own else accounts.require_open)(before.state)
        # Read after the account: whoever changes it between the two makes the append lose.
        home = store.home(before.account, entries=0, strong=True)
        assert home is not None
        assert home.profile is not None
        old = home.profile
        new = changes.of(old)
        if changes.tags_added and len(new.tags) > limits.TAGS_MAX:
            raise TooManyTags(
                f"A member has at most {limits.TAGS_MAX} tags, not {len(new.tags)}.", field=("input", "addTags")
            )
        update = _update(store, before.account, old, new)
        names = [name for name in _TOLD if getattr(old, name) != getattr(update.profile, name)]
        entry = Entry(
            kind=EntryKind.UPDATE,
            at=now,
            lines=(),
            balance_after=0,
            explanation=tuple(Explanation(f"changed:{_TOLD[name]}", 0) for name in names),
            actor=actor.id,
            reason=reason,
        )
        due = members.birthdays_due(update.profile.birthday if "birthday" in names else None, program, today=today)
        return Plan((entry,), beside=Beside(update=update) if names else NOTHING, due=due)

    return ledger.commit(store, operation, decide, now=now, program=program)


def _update(store: Store, account: str, old: Profile, new: Profile) -> Update:
    """The change from one profile to the other. Refuses `LastContact`, `AlreadyEnrolled`."""
    before, after = members.lookups_of(old), members.lookups_of(new)
    if not any(lookup.kind in members.LOOKUP_FIELDS for lookup in after):
        raise LastContact("A member keeps an email, a phone, a card number or an external id.", field=("input",))
    gained = tuple(lookup for lookup in after if lookup not in before)
    for lookup in gained:
        if store.find_account(lookup, strong=True) not in (None, account):
            raise members.already_enrolled(lookup)
    return Update(account, new, gained, given_up=tuple(lookup for lookup in before if lookup not in after))


def _profile_of(changes: Changes, now: datetime) -> Profile:
    return replace(Profile(enrolled_at=now, birthday=changes.birthday), **changes.texts)
