"""Changing personal data through the API."""

from enum import Enum

import strawberry

from domain import limits, members, profiles
from domain.access import Permission
from domain.refusals import Refusal
from schema import entries, refusals
from schema.access import Permitted
from schema.context import Info
from schema.entries import UpdateEntry
from schema.members import HOME_LOCATION, TAGS, BirthdayInput, ConsentInput, Member, MemberByInput, answers_of, load
from schema.refusals import IDEMPOTENCY_KEY, UserError


@strawberry.input(
    description="Fields of a member to change. What is left out stays; null clears. One contact, card number or external id has "
    "to remain."
)
class MemberUpdateInput:
    """A change to make."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    member: MemberByInput | None = strawberry.field(
        default=None, description="Whose; left out by members, who change their own data."
    )
    name: str | None = strawberry.field(default=strawberry.UNSET, description="Up to 200 characters.")
    email: str | None = strawberry.field(
        default=strawberry.UNSET, description="Unique. The old one can be taken by others at once."
    )
    phone: str | None = strawberry.field(
        default=strawberry.UNSET, description="Unique. International form, such as +15551234567."
    )
    card_number: str | None = strawberry.field(
        default=strawberry.UNSET, description="Unique, up to 128 characters. Not for members: cards are the shop's."
    )
    external_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Unique, up to 128 characters. Not for members: it is the id in the shop's own systems.",
    )
    birthday: BirthdayInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="For what the program does on birthdays, once a year, however often it changes. Whoever tells it after the "
        "day has it next year.",
    )
    consents: list[ConsentInput] | None = strawberry.field(
        default=None, description="Answers to what one may be told, each kind once; what is left out stays."
    )
    home_location: str | None = strawberry.field(default=strawberry.UNSET, description=HOME_LOCATION)
    add_tags: list[str] | None = strawberry.field(
        default=None,
        description=f"Tags the member gets; one they have already stays. {TAGS} A member has {limits.TAGS_MAX} at most. Tags are "
        "given and taken one by one, never replaced as a whole: two systems that tag a member at once do not undo each other. "
        "Not for members: tags are the shop's.",
    )
    remove_tags: list[str] | None = strawberry.field(
        default=None,
        description=f"Tags the member loses, at most {limits.TAGS_MAX} in a call; one they do not have is no mistake. Not for "
        "members.",
    )
    reason: str | None = strawberry.field(
        default=None, description="A code such as `MOVED`: capital letters, digits and _; no free text."
    )

    def changes(self) -> profiles.Changes:
        """What was given. Refuses `ConsentRepeated`, `TooManyTags`, `InvalidText`."""
        given = {name: getattr(self, name) for name in profiles.FIELDS}
        told = self.birthday
        return profiles.Changes(
            texts={name: value for name, value in given.items() if value is not strawberry.UNSET},
            birthday=told.birthday() if told else None,
            has_birthday=told is not strawberry.UNSET,
            consents=answers_of(self.consents),
            tags_added=members.tags(self.add_tags or (), field=("input", "addTags")),
            tags_removed=members.tags(self.remove_tags or (), field=("input", "removeTags")),
        )


@strawberry.enum(description="Why a member was not changed.")
class MemberUpdateErrorCode(Enum):
    """Codes of `domain.profiles.UPDATE_REFUSALS`."""

    CONSENT_REPEATED = "CONSENT_REPEATED"
    TOO_MANY_TAGS = "TOO_MANY_TAGS"
    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    INVALID_BIRTHDAY = "INVALID_BIRTHDAY"
    TAG_ADDED_AND_REMOVED = "TAG_ADDED_AND_REMOVED"
    FIELD_RESERVED = "FIELD_RESERVED"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    MEMBER_CLOSED = "MEMBER_CLOSED"
    MEMBER_BLOCKED = "MEMBER_BLOCKED"
    LAST_CONTACT = "LAST_CONTACT"
    ALREADY_ENROLLED = "ALREADY_ENROLLED"


@strawberry.type(description="Why a member was not changed.")
class MemberUpdateUserError(UserError):
    """A refusal of `memberUpdate`."""

    code: MemberUpdateErrorCode


@strawberry.type
class MemberUpdatePayload:
    """The member and what changed, or why nothing did."""

    member: Member | None = strawberry.field(default=None, description="The member as they are now.")
    entry: UpdateEntry | None = None
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[MemberUpdateUserError] = strawberry.field(default_factory=list)


def member_update(info: Info, input: MemberUpdateInput) -> MemberUpdatePayload:
    """Changes personal data."""
    context = info.context
    try:
        outcome = profiles.update(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            member=input.member.lookup("input", "member") if input.member else None,
            changes=input.changes(),
            reason=input.reason,
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberUpdateUserError, MemberUpdateErrorCode)
        return MemberUpdatePayload(replayed=refusal.replayed, user_errors=[error])
    record = outcome.record
    shown = entries.entry_of(record.account, record.seq, outcome.index, outcome.entry)
    assert isinstance(shown, UpdateEntry)
    # Where a merge was undone since, members are told of the account that is theirs now.
    own = members.own_account(context.store, context.actor) if outcome.replayed else None
    return MemberUpdatePayload(
        member=load(info, own or record.account, strong=True), entry=shown, replayed=outcome.replayed
    )


@strawberry.type
class ProfileMutations:
    """Fields of the mutation root."""

    member_update: MemberUpdatePayload = strawberry.field(
        resolver=member_update,
        description="Changes personal data, how a member is found with it, and what they are told. Members change their own "
        "name, email, phone, birthday, consents and home location unless they are blocked; tills with the members scope and "
        "staff change everything of anyone. A refusal is final for its key.",
        extensions=[Permitted(Permission.MEMBERS_UPDATE, Permission.OWN_ACCOUNT_UPDATE)],
    )
