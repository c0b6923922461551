"""Profiles: a member's personal data changes, and the ways they are found by change with it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from domain import accounts, ledger, members
from domain.access import Actor, Permission
from domain.entries import Entry, EntryKind, Explanation, Record, caller_key
from domain.ledger import Operation, Outcome, Plan
from domain.members import AlreadyEnrolled, InvalidEmail, InvalidPhone, Lookup, Profile
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


class FieldReserved(Refusal):
    """Members change what they say of themselves; the external id and the card number are the shop's to give."""


class LastContact(Refusal):
    """Without email, phone, card number and external id nobody would find the member any more."""

    final = True


UPDATE_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidEmail,
    InvalidPhone,
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
}
# A till credits whoever has the card or the id it reads: both are a matter between the shop and its own systems.
_RESERVED = ("card_number", "external_id")


def update(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    member: Lookup | None,
    changes: Mapping[str, str | None],
    reason: str | None,
    now: datetime,
) -> Outcome:
    """Changes the fields of the profile that `changes` names (see `FIELDS`); None clears one. What is not named stays.

    Contacts, card and external id that are given up can be taken by others at once; those gained are this member's from the
    same moment on. The entry says which fields changed and never what they were or are; one that changes nothing says so.
    Where the account was merged, this is about the account it lives on in; look-ups of the merged one are not free.

    `member` is left out by members. Refuses, in this order: `InvalidText`, `InvalidEmail`, `InvalidPhone`, `FieldReserved`,
    `MemberNotFound`, `IdempotencyKeyReused`, `MemberClosed`, `MemberBlocked` (for members themselves), `LastContact`,
    `AlreadyEnrolled`, `OutcomeUnknown`.
    """
    assert changes.keys() <= FIELDS.keys()
    key = caller_key(actor.id, members.key_text(idempotency_key))
    reason = None if reason is None else require_reason(reason)
    wanted = members.checked(_profile_of(changes, now))
    changed = {name: getattr(wanted, name) for name in FIELDS if name in changes}
    is_own = not actor.may(Permission.MEMBERS_UPDATE)
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
        ),
    )

    def decide(before: Record) -> Plan:
        # Who has taken over a login must not make the account theirs while somebody looks into it.
        (accounts.require_active if is_own else accounts.require_open)(before.state)
        # Read after the account: whoever changes it between the two makes the append lose.
        home = store.home(before.account, entries=0, strong=True)
        assert home is not None
        assert home.profile is not None
        update = _update(store, before.account, home.profile, replace(home.profile, **changed))
        names = [name for name in FIELDS if getattr(home.profile, name) != getattr(update.profile, name)]
        entry = Entry(
            kind=EntryKind.UPDATE,
            at=now,
            lines=(),
            balance_after=0,
            explanation=tuple(Explanation(f"changed:{FIELDS[name]}", 0) for name in names),
            actor=actor.id,
            reason=reason,
        )
        return Plan((entry,), beside=Beside(update=update) if names else NOTHING)

    return ledger.commit(store, operation, decide, now=now, zone=program.zone)


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


def _profile_of(changes: Mapping[str, str | None], now: datetime) -> Profile:
    return Profile(
        enrolled_at=now,
        name=changes.get("name"),
        external_id=changes.get("external_id"),
        email=changes.get("email"),
        phone=changes.get("phone"),
        card_number=changes.get("card_number"),
    )
