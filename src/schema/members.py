"""Members through the API: joining, and looking at oneself or, for tills and staff, at others."""

from collections.abc import Mapping
from enum import Enum
from typing import cast

import strawberry
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    NullValueNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

from domain import history, ledger, limits, members, notices
from domain.access import Permission
from domain.accounts import Status
from domain.entries import Record
from domain.members import InvalidEmail, InvalidPhone, Lookup, Profile
from domain.moments import Birthday as KnownBirthday
from domain.notices import Consent as KnownConsent
from domain.refusals import InvalidText, InvalidTime, MemberNotFound, OutcomeUnknown, Refusal
from domain.store import Home
from schema import accounts, entries, refusals
from schema import notices as told
from schema.access import Permitted
from schema.accounts import Account
from schema.context import Context, Info
from schema.entries import EntryConnection
from schema.execution import WITHOUT_ARGUMENTS
from schema.faults import Code, Fault
from schema.nodes import Node, key_of, to_id
from schema.notices import NoticeConnection
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import DateTime, Long


@strawberry.type(description="A birthday; 29 February is the 28th in other years.")
class Birthday:
    """A date of the year."""

    month: Long
    day: Long
    year: Long | None = strawberry.field(description="Null where it was not told; nothing depends on it.")


@strawberry.enum(description="What a member may want to be told, or not.")
class ConsentKind(Enum):
    """`domain.notices.Consent`."""

    REMINDERS = strawberry.enum_value(
        "REMINDERS", description="What they are about to lose: points that expire, a tier."
    )
    OFFERS = strawberry.enum_value(
        "OFFERS", description="Moments of their membership, such as a birthday, and what they got for them."
    )
    SUMMARY = strawberry.enum_value("SUMMARY", description="What happened in a month.")


@strawberry.type(description="Whether a member is told something.")
class Consent:
    """One kind of consent, answered or not."""

    kind: ConsentKind
    is_given: bool = strawberry.field(description="Whether notices of this kind are given.")
    is_answered: bool = strawberry.field(description="False while it is what the program does for whoever did not say.")


@strawberry.input(description="A birthday. It cannot lie in the future; 29 February is a date of every year.")
class BirthdayInput:
    """A date of the year, with or without the year."""

    month: Long = strawberry.field(description="1 to 12.")
    day: Long = strawberry.field(description="1 to 31, as the month has days.")
    year: Long | None = strawberry.field(default=None, description="Within the last 125 years; best left out.")

    def birthday(self) -> KnownBirthday:
        """As it was told."""
        return KnownBirthday(self.month, self.day, self.year)


@strawberry.input(description="An answer to whether one wants to be told something.")
class ConsentInput:
    """One answer."""

    kind: ConsentKind = strawberry.field(description="What it is about.")
    is_given: bool | None = strawberry.field(
        default=None, description="Yes or no; null takes the answer back, and the program's default stands."
    )


# The same at enrolling and at changing.
HOME_LOCATION = (
    "The id of the place they go to, as in `location` of a purchase: up to 64 characters. A place the program does not know "
    "is accepted."
)
TAGS = (
    f"At most {limits.TAGS_MAX}, each of 1 to {limits.TAG_LENGTH_MAX} characters: small letters a to z, digits, dots, _ and -, "
    "such as `coffee-lover`."
)


def answers_of(given: list[ConsentInput] | None) -> dict[KnownConsent, bool | None]:
    """Answers by their kind. Refuses `ConsentRepeated`."""
    return members.answers((KnownConsent[each.kind.name], each.is_given) for each in given or [])


@strawberry.type(
    description="Somebody enrolled in the program. Personal data is seen by the member, tills and staff only."
)
class Member(Node):
    """A member with their account and history."""

    external_id: str | None = strawberry.field(description="The id this member has in the caller's own systems.")
    name: str | None
    email: str | None
    phone: str | None
    card_number: str | None
    home_location: str | None = strawberry.field(
        description="The place they go to, by its id as purchases have it; null where nobody said."
    )
    enrolled_at: DateTime | None
    account_now: strawberry.Private[Account]
    acct: strawberry.Private[str]
    home: strawberry.Private[Home]

    @strawberry.field(
        description="The points, now or as they were at `asOf`: any instant from the enrollment on.",
        metadata={WITHOUT_ARGUMENTS: "account_now"},
    )
    def account(self, info: Info, as_of: DateTime | None = None) -> Account:
        """The account now comes out of the read that found the member; an earlier one takes some twenty more at most."""
        if as_of is None:
            return self.account_now
        context = info.context
        try:
            then = history.as_of(context.store, self.home.records, as_of, now=context.now, program=context.program)
        except InvalidTime as refusal:
            raise Fault(Code.BAD_USER_INPUT, refusal.message, field=".".join(refusal.field)) from refusal
        return accounts.account_of(then, context.program, at=as_of)

    @strawberry.field(description="The birthday they told; null for tills, who do not need it.")
    def birthday(self, info: Info) -> Birthday | None:
        """Personal data that is read with the member."""
        known = self.home.profile.birthday if self.home.profile else None
        if known is None or not told.may_see(info.context):
            return None
        return Birthday(
            month=Long(known.month), day=Long(known.day), year=None if known.year is None else Long(known.year)
        )

    @strawberry.field(description="What they want to be told, each kind; null for tills.")
    def consents(self, info: Info) -> list[Consent] | None:
        """As it stands under the program in force."""
        context, profile = info.context, self.home.profile
        if profile is None or not told.may_see(context):
            return None
        return [
            Consent(
                kind=ConsentKind[each.name],
                is_given=notices.agrees(profile, each, context.program),
                is_answered=each in profile.consents,
            )
            for each in KnownConsent
        ]

    @strawberry.field(
        description="The shop's labels of them, such as `vip`, in the order of the alphabet. For staff, and for tills with the "
        "members scope. Null to members themselves: it is what the shop notes about them, not what they said. Their history "
        "tells that tags changed, and never which."
    )
    def tags(self, info: Info) -> list[str] | None:
        """Whoever may look at any member sees them."""
        profile = self.home.profile
        if profile is None or not info.context.actor.may(Permission.MEMBERS_READ):
            return None
        return sorted(profile.tags)

    @strawberry.field(
        description="What they were told in the last year, the newest first by the day it is about; null for tills."
    )
    def notices(
        self, info: Info, first: int = limits.ENTRIES_PAGE_DEFAULT, after: str | None = None
    ) -> NoticeConnection | None:
        """A read of its own: a home screen without it is one."""
        if not told.may_see(info.context):
            return None
        return told.connection(info.context, self.acct, self.name, first=first, after=after)

    @strawberry.field(description="The history, newest first.")
    def entries(
        self, info: Info, first: int = limits.ENTRIES_PAGE_DEFAULT, after: str | None = None
    ) -> EntryConnection:
        """The first page comes out of the read that found the member."""
        context = info.context
        if after is not None:
            return entries.page_after(context, self.acct, first=first, after=after)
        records = self.home.records
        shown = sum(any(map(entries.is_shown, record.entries)) for record in records)
        if shown < first + 1 and records[-1].seq > 1:
            older = entries.read_back(context, self.acct, records[-1].seq - 1, wanted=first + 1 - shown)
            records = (*records, *older)
        unbooked = ledger.current(records[0], context.now, context.program)
        return entries.connection(context, self.acct, (unbooked, *records), first=first, before=None)

    @strawberry.field(description="Who became part of this member, in the order of the merges; at most 16.")
    def merged_members(self, info: Info) -> list["MergedMember"]:
        """A read for each: their accounts end where the merges say."""
        store = info.context.store
        found: list[MergedMember] = []
        waiting = list(self.home.records[0].state.merged)
        while waiting:
            # Strong: the merge may be a moment old.
            head = store.head(waiting.pop(0), strong=True)
            # It may as well have been undone since this member was read.
            if head is not None and head.state.status is Status.MERGED:
                found.append(
                    MergedMember(
                        member_id=to_id("Member", head.account), merged_at=DateTime(head.entries[-1].at), head=head
                    )
                )
                waiting += head.state.merged
        return found


@strawberry.type(description="What somebody was before they became part of another member.")
class MergedMember:
    """An account that lives on in another."""

    member_id: strawberry.ID = strawberry.field(
        description="The id this member had; it leads to the member they are part of now."
    )
    merged_at: DateTime
    head: strawberry.Private[Record]

    @strawberry.field(description="The history up to the merge, newest first.")
    def entries(
        self, info: Info, first: int = limits.ENTRIES_PAGE_DEFAULT, after: str | None = None
    ) -> EntryConnection:
        """A page of a log that has ended."""
        context, account = info.context, self.head.account
        if after is not None:
            return entries.page_after(context, account, first=first, after=after)
        records = entries.read_back(context, account, self.head.seq, wanted=first + 1)
        return entries.connection(context, account, records, first=first, before=None)


@strawberry.input(
    one_of=True, description="Names a member: by id, by the caller's own id, by a contact or by a card. Exactly one."
)
class MemberByInput:
    """One way of naming a member."""

    id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="The id of a `Member`.")
    external_id: str | None = strawberry.field(
        default=strawberry.UNSET, description="The id the member was enrolled with from another system."
    )
    email: str | None = strawberry.field(default=strawberry.UNSET, description="In any case of letters.")
    phone: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="International form, such as +15551234567; blanks and hyphens are ignored.",
    )
    card_number: str | None = strawberry.field(default=strawberry.UNSET, description="As it was enrolled.")

    def lookup(self, *field: str) -> Lookup:
        """The look-up it stands for; `field` is where it stands in the input."""
        for kind, name, value in (
            ("external", "externalId", self.external_id),
            ("email", "email", self.email),
            ("phone", "phone", self.phone),
            ("card", "cardNumber", self.card_number),
        ):
            if value is not None and value is not strawberry.UNSET:
                return members.lookup(kind, value, field=(*field, name))
        path = ".".join((*field, "id"))
        return Lookup("id", key_of("Member", self.id or "", field=path))


@strawberry.input(
    description="A new member: at least one contact, card number or external id. Members enroll themselves, tills anyone."
)
class MemberEnrollInput:
    """What is known of a new member."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    external_id: str | None = strawberry.field(
        default=None, description="The id this member has in your own systems: unique, up to 128 characters."
    )
    email: str | None = None
    phone: str | None = strawberry.field(default=None, description="International form, such as +15551234567.")
    card_number: str | None = strawberry.field(
        default=None, description="The number of a loyalty card: unique, up to 128 characters."
    )
    name: str | None = None
    birthday: BirthdayInput | None = strawberry.field(
        default=None, description="For what the program does on birthdays, if that is told."
    )
    consents: list[ConsentInput] | None = strawberry.field(
        default=None, description="Answers to what one may be told, each kind once."
    )
    home_location: str | None = strawberry.field(default=None, description=HOME_LOCATION)
    tags: list[str] | None = strawberry.field(
        default=None, description=f"Labels to begin with. {TAGS} Not for members: tags are the shop's."
    )


@strawberry.enum(description="Why a member was not enrolled.")
class MemberEnrollErrorCode(Enum):
    """Codes of `domain.members.ENROLL_REFUSALS`."""

    CONSENT_REPEATED = "CONSENT_REPEATED"
    TOO_MANY_TAGS = "TOO_MANY_TAGS"
    INVALID_TEXT = "INVALID_TEXT"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_PHONE = "INVALID_PHONE"
    INVALID_BIRTHDAY = "INVALID_BIRTHDAY"
    FIELD_RESERVED = "FIELD_RESERVED"
    CONTACT_MISSING = "CONTACT_MISSING"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    ALREADY_ENROLLED = "ALREADY_ENROLLED"


@strawberry.type(description="Why a member was not enrolled.")
class MemberEnrollUserError(UserError):
    """A refusal of `memberEnroll`."""

    code: MemberEnrollErrorCode


@strawberry.type
class MemberEnrollPayload:
    """The new member, or why there is none."""

    member: Member | None = None
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had this answer."
    )
    user_errors: list[MemberEnrollUserError] = strawberry.field(default_factory=list)


def viewer(info: Info) -> Member | None:
    """The caller's own membership."""
    account = members.own_account(info.context.store, info.context.actor)
    return None if account is None else load(info, account)


def member(info: Info, by: MemberByInput) -> Member | None:
    """Somebody the caller may see."""
    context = info.context
    try:
        lookup = by.lookup("by")
        if lookup.kind == "id" and context.actor.may(Permission.MEMBERS_READ):
            # An id is the account itself: the read of the member is also the proof that it exists.
            return load(info, lookup.value)
        account = members.resolve(context.store, actor=context.actor, by=lookup, field=("by",))
    except (InvalidText, InvalidEmail, InvalidPhone) as refusal:
        raise Fault(Code.BAD_USER_INPUT, refusal.message, field=".".join(refusal.field)) from refusal
    except MemberNotFound:
        return None
    return load(info, account)


def member_enroll(info: Info, input: MemberEnrollInput) -> MemberEnrollPayload:
    """Enrolls a member."""
    context = info.context
    assert context.program  # before anything is written: without a program there is nothing to join
    try:
        enrolled = members.enroll(
            context.store,
            context.program,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            profile=Profile(
                enrolled_at=context.now,
                name=input.name,
                external_id=input.external_id,
                email=input.email,
                phone=input.phone,
                card_number=input.card_number,
                birthday=input.birthday.birthday() if input.birthday else None,
                consents=_given(answers_of(input.consents)),
                tags=members.tags(input.tags or (), field=("input", "tags")),
                home_location=input.home_location,
            ),
            account=context.new_account(),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberEnrollUserError, MemberEnrollErrorCode)
        return MemberEnrollPayload(replayed=refusal.replayed, user_errors=[error])
    return MemberEnrollPayload(member=load(info, enrolled.account, strong=True), replayed=enrolled.replayed)


def _given(answers: Mapping[KnownConsent, bool | None]) -> dict[KnownConsent, bool]:
    return {kind: answer for kind, answer in answers.items() if answer is not None}


@strawberry.type
class MemberQueries:
    """Fields of the query root."""

    viewer: Member | None = strawberry.field(
        resolver=viewer,
        description="The member whose token this is; null before enrolling. Needs a member's token.",
        extensions=[Permitted(Permission.OWN_ACCOUNT_READ)],
    )
    member: Member | None = strawberry.field(
        resolver=member,
        description="A member; null when there is none, and for members when it is not they themselves.",
        extensions=[Permitted(Permission.MEMBERS_READ, Permission.OWN_ACCOUNT_READ)],
    )


@strawberry.type
class MemberMutations:
    """Fields of the mutation root."""

    member_enroll: MemberEnrollPayload = strawberry.field(
        resolver=member_enroll,
        description="Enrolls a member with an empty account. Members enroll themselves, once; tills and managers anyone.",
        extensions=[Permitted(Permission.MEMBERS_ENROLL, Permission.OWN_ACCOUNT_ENROLL)],
    )


def load(info: Info, account: str, *, strong: bool = False) -> Member | None:
    """The member of an account, or of the one it was merged into, with as much history as the query's first page asks for, in
    one read for each account."""
    context = info.context
    wanted = _entries_wanted(info)
    for _ in range(limits.MERGES_FOLLOWED_MAX + 1):
        home = context.store.home(account, entries=wanted, strong=strong)
        if not strong and (home is None or _is_merged(home)):
            # Somebody who joined a moment ago may be missing from the cheap read. A merge that was undone a moment ago may still
            # be there, and would show somebody else.
            home = context.store.home(account, entries=wanted, strong=True)
        if home is None:
            return None
        if not _is_merged(home):
            return member_of(context, account, home)
        account, _seq = ledger.survivor_of(home.records[0])
    raise OutcomeUnknown("The account was merged again and again meanwhile; retry.")


def _is_merged(home: Home) -> bool:
    return home.records[0].state.status is Status.MERGED


def member_of(context: Context, account: str, home: Home) -> Member:
    """A member as read from the store."""
    profile = home.profile
    program = context.program
    now = ledger.current(home.records[0], context.now, program)
    return Member(
        id=to_id("Member", account),
        external_id=profile.external_id if profile else None,
        name=profile.name if profile else None,
        email=profile.email if profile else None,
        phone=profile.phone if profile else None,
        card_number=profile.card_number if profile else None,
        home_location=profile.home_location if profile else None,
        enrolled_at=DateTime(profile.enrolled_at) if profile else None,
        account_now=accounts.account_of(now, program, at=context.now),
        acct=account,
        home=home,
    )


def _entries_wanted(info: Info) -> int:
    """How many entries the query's first page wants: read off the query, so that one read answers all of it."""
    raw = info._raw_info  # noqa: SLF001 (Strawberry's own selection objects cost more than the read they would save)
    wanted = 0
    spread: set[str] = set()
    pending = [node.selection_set for node in raw.field_nodes]
    while pending:
        selection = pending.pop()
        for node in selection.selections if isinstance(selection, SelectionSetNode) else ():
            if isinstance(node, FragmentSpreadNode):
                # Once each: fragments that spread each other twice would double the work at every step.
                if node.name.value in spread:
                    continue
                spread.add(node.name.value)
                pending.append(raw.fragments[node.name.value].selection_set)
            elif isinstance(node, InlineFragmentNode):
                pending.append(node.selection_set)
            elif isinstance(node, FieldNode) and node.name.value == "entries":
                # Strawberry hands resolvers the plain values, whatever the engine's type says.
                wanted = max(wanted, _first_of(node, cast("Mapping[str, object]", raw.variable_values)))
            elif isinstance(node, FieldNode) and node.name.value == "member":
                pending.append(node.selection_set)  # a payload's member
    return wanted


def _first_of(node: FieldNode, variables: Mapping[str, object]) -> int:
    arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
    if "after" in arguments and not _is_null(arguments["after"], variables):
        return 0  # a later page reads for itself
    first = arguments.get("first")
    if isinstance(first, IntValueNode):
        return min(int(first.value), limits.ENTRIES_PAGE_MAX)
    return limits.ENTRIES_PAGE_DEFAULT


def _is_null(value: ValueNode, variables: Mapping[str, object]) -> bool:
    if isinstance(value, VariableNode):
        return variables.get(value.name.value) is None
    return isinstance(value, NullValueNode)
