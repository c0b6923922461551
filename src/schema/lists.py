"""Lists of members through the API: made, their files uploaded beside, imported, and looked at."""

from enum import Enum

import strawberry

from domain import limits, lists
from domain.access import Permission
from domain.lists import By
from domain.refusals import Refusal
from schema import pages, refusals
from schema.access import Permitted
from schema.context import Context, Info
from schema.nodes import Node, from_id, to_id
from schema.pages import PageInfo
from schema.refusals import IDEMPOTENCY_KEY, UserError
from schema.scalars import DateTime, Long

_SCOPE = "lists"
_FIRST = Long(0)


@strawberry.enum(description="What each line of a file names a member by.")
class MemberListKey(Enum):
    """Names of `domain.lists.By`."""

    EXTERNAL_ID = strawberry.enum_value("EXTERNAL_ID", description="The shop's own id of them.")
    EMAIL = strawberry.enum_value("EMAIL", description="Their email address, in any case.")
    PHONE = strawberry.enum_value(
        "PHONE", description="Their phone number with its country code, such as +15551234567."
    )
    CARD_NUMBER = strawberry.enum_value("CARD_NUMBER", description="The number of their card.")
    MEMBER_ID = strawberry.enum_value("MEMBER_ID", description="The id of a `Member`, as this API gives it.")


@strawberry.enum(description="Where a list stands.")
class MemberListStatus(Enum):
    """Names of `domain.lists.ListStatus`."""

    UPLOADING = strawberry.enum_value("UPLOADING", description="Its file is awaited, and then its import.")
    IMPORTING = strawberry.enum_value("IMPORTING", description="Its lines are looked up.")
    READY = strawberry.enum_value("READY", description="Who is on it is known, and never changes.")
    FAILED = strawberry.enum_value("FAILED", description="Its file cannot be imported; `failure` says why.")


@strawberry.enum(description="Why a file could not be imported.")
class MemberListFailure(Enum):
    """Names of `domain.lists.Failure`."""

    EMPTY = strawberry.enum_value("EMPTY", description="No line names anybody.")
    NOT_TEXT = strawberry.enum_value("NOT_TEXT", description="It is no text in UTF-8.")
    LINE_TOO_LONG = strawberry.enum_value(
        "LINE_TOO_LONG", description=f"A line has more than {limits.LIST_LINE_BYTES_MAX:,} bytes."
    )
    TOO_MANY_LINES = strawberry.enum_value(
        "TOO_MANY_LINES", description=f"It has more than {limits.LIST_LINES_MAX:,} lines; make several lists of it."
    )
    CHANGED = strawberry.enum_value(
        "CHANGED", description="It was replaced or removed after its import had been asked for."
    )
    GIVEN_UP = strawberry.enum_value(
        "GIVEN_UP", description="Something went wrong again and again; the log of the worker says what."
    )


@strawberry.enum(description="Why a line added nobody to a list.")
class MemberListFlaw(Enum):
    """Names of `domain.lists.Flaw`."""

    UNKNOWN = strawberry.enum_value(
        "UNKNOWN",
        description="Nobody is found under it, also because their membership has ended and nothing leads to them any more.",
    )
    MALFORMED = strawberry.enum_value("MALFORMED", description="It cannot be a name of this kind.")
    DUPLICATE = strawberry.enum_value("DUPLICATE", description="A line before it names the same member.")
    CLOSED = strawberry.enum_value("CLOSED", description="The membership has ended.")


@strawberry.type(description="A line that added nobody to a list. What it says is not told: that may be personal data.")
class MemberListExample:
    """A line by its number."""

    kind: MemberListFlaw = strawberry.field(description="What is wrong with it.")
    line: Long = strawberry.field(description="Its number in the file, from 1, blank lines and the heading counted.")


@strawberry.type(
    description="A list of members from an uploaded file, for the audience of a campaign. Each line of the file that says "
    "anything counts once: `lineCount` is the sum of the members and of the lines of each flaw."
)
class MemberList(Node):
    """A list; what its file came to is null until it is ready."""

    name: str = strawberry.field(description="What staff call it.")
    by: MemberListKey = strawberry.field(description="What its file names members by.")
    status: MemberListStatus
    created_at: DateTime = strawberry.field(description="When it was made.")
    imported_at: DateTime | None = strawberry.field(description="When its import was asked for.")
    line_count: Long | None = strawberry.field(description="Lines that say anything, without the heading.")
    member_count: Long | None = strawberry.field(description="Members on the list.")
    unknown_count: Long | None = strawberry.field(description="Lines under which nobody is found.")
    malformed_count: Long | None = strawberry.field(description="Lines that cannot be a name of this kind.")
    duplicate_count: Long | None = strawberry.field(
        description="Lines that name a member whom a line before has named, perhaps in other words."
    )
    closed_count: Long | None = strawberry.field(description="Lines that name a membership that has ended.")
    merged_count: Long | None = strawberry.field(
        description="Lines that name an account which lives on in another one; that one is meant."
    )
    failure: MemberListFailure | None = strawberry.field(description="Why it failed, if it did.")
    key: strawberry.Private[str]
    is_waiting: strawberry.Private[bool]

    @strawberry.field(
        description="A signed address to send the file to, with PUT and nothing else: it is good for an hour at most, a new one "
        "is had by asking, and whoever has it can send a file. The file is text in UTF-8, one line a member; of a CSV file the "
        "first column counts, and a first line that names what the lines are is skipped. It has up to "
        f"{limits.LIST_LINES_MAX:,} lines and {limits.LIST_BYTES_MAX // 1024**2} MiB. Null once the import "
        "was asked for, and for those who may not make lists."
    )
    def upload_url(self, info: Info) -> str | None:
        """Signed only when somebody asks."""
        context = info.context
        is_given = self.is_waiting and context.actor.may(Permission.CAMPAIGNS_MANAGE)
        return context.lists.uploads.url(self.key) if is_given else None

    @strawberry.field(
        description=f"Lines that added nobody, of one kind or of each, in their order: {limits.LIST_EXAMPLES_MAX:,} of each "
        f"kind are known at most, and {limits.LIST_EXAMPLES_PAGE} of each are told at a time."
    )
    def examples(
        self, info: Info, kind: MemberListFlaw | None = None, after_line: Long = _FIRST
    ) -> list[MemberListExample]:
        """A read of its own, when it is asked for."""
        found = info.context.lists.store.examples(self.key)
        return [
            MemberListExample(kind=MemberListFlaw[flaw.name], line=Long(line))
            for flaw in lists.Flaw
            if kind is None or flaw.name == kind.name
            for line in [each for each in found.get(flaw, ()) if each > after_line][: limits.LIST_EXAMPLES_PAGE]
        ]


@strawberry.type(description="A list and its place among all of them.")
class MemberListEdge:
    """Relay's edge."""

    cursor: str
    node: MemberList


@strawberry.type(description="Lists of members, the newest first.")
class MemberListConnection:
    """Relay's connection."""

    edges: list[MemberListEdge]
    nodes: list[MemberList] = strawberry.field(description="The lists without their cursors.")
    page_info: PageInfo


def list_of(member_list: lists.MemberList) -> MemberList:
    """A list as the contract shows it."""
    report, failure, imported_at = member_list.report, member_list.failure, member_list.imported_at

    def count(name: str) -> Long | None:
        return None if report is None else Long(getattr(report, name))

    return MemberList(
        id=to_id("MemberList", member_list.id),
        name=member_list.name,
        by=MemberListKey[member_list.by.name],
        status=MemberListStatus[member_list.status.name],
        created_at=DateTime(member_list.created_at),
        imported_at=None if imported_at is None else DateTime(imported_at),
        line_count=count("lines"),
        member_count=count("members"),
        unknown_count=count("unknown"),
        malformed_count=count("malformed"),
        duplicate_count=count("duplicates"),
        closed_count=count("closed"),
        merged_count=count("merged"),
        failure=None if failure is None else MemberListFailure[failure.name],
        key=member_list.id,
        is_waiting=member_list.status is lists.ListStatus.UPLOADING,
    )


def find(context: Context, list_id: str) -> MemberList | None:
    """A list, for whoever may see lists."""
    if not context.actor.may(Permission.CAMPAIGNS_READ):
        return None
    found = context.lists.store.find(list_id)
    return list_of(found) if found else None


def member_list(info: Info, id: strawberry.ID) -> MemberList | None:
    """A list by its id; null for the id of anything else."""
    kind, key = from_id(id)
    return find(info.context, key) if kind == "MemberList" else None


def member_lists(info: Info, first: int = 10, after: str | None = None) -> MemberListConnection:
    """Lists, page by page."""
    context = info.context
    before = pages.position(context, _SCOPE, after)
    size = min(first, limits.LISTS_PAGE_MAX)
    found = context.lists.store.newest(before=before, limit=size + 1)
    edges = [MemberListEdge(cursor=context.cursors.seal(_SCOPE, each.id), node=list_of(each)) for each in found[:size]]
    return MemberListConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=PageInfo(
            has_next_page=len(found) > size,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


# --- making and importing one -----------------------------------------------------------------------------------------


@strawberry.input(description="A list to make. Its file is uploaded next, and then imported.")
class MemberListCreateInput:
    """A list without members."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    name: str = strawberry.field(description="What staff call it, up to 200 characters.")
    by: MemberListKey = strawberry.field(description="What each line of its file names a member by.")


@strawberry.enum(description="Why a list was not made.")
class MemberListCreateErrorCode(Enum):
    """Codes of `domain.lists.CREATE_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"


@strawberry.type(description="Why a list was not made.")
class MemberListCreateUserError(UserError):
    """A refusal of `memberListCreate`."""

    code: MemberListCreateErrorCode


@strawberry.type
class MemberListCreatePayload:
    """The list as it is now, or why there is none."""

    member_list: MemberList | None = None
    replayed: bool = strawberry.field(default=False, description="True when an earlier call with this key had made it.")
    user_errors: list[MemberListCreateUserError] = strawberry.field(default_factory=list)


@strawberry.input(description="A list whose file is to be imported.")
class MemberListImportInput:
    """An import to begin."""

    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    id: strawberry.ID = strawberry.field(description="The id of a `MemberList`.")


@strawberry.enum(description="Why no import was begun.")
class MemberListImportErrorCode(Enum):
    """Codes of `domain.lists.IMPORT_REFUSALS`."""

    INVALID_TEXT = "INVALID_TEXT"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    LIST_NOT_FOUND = "LIST_NOT_FOUND"
    LIST_STATE = "LIST_STATE"
    LIST_NOT_UPLOADED = "LIST_NOT_UPLOADED"
    LIST_TOO_LARGE = "LIST_TOO_LARGE"


@strawberry.type(description="Why no import was begun.")
class MemberListImportUserError(UserError):
    """A refusal of `memberListImport`."""

    code: MemberListImportErrorCode


@strawberry.type
class MemberListImportPayload:
    """The list as it is now, or why its import was not begun."""

    member_list: MemberList | None = None
    replayed: bool = strawberry.field(
        default=False, description="True when an earlier call with this key had begun it."
    )
    user_errors: list[MemberListImportUserError] = strawberry.field(default_factory=list)


def member_list_create(info: Info, input: MemberListCreateInput) -> MemberListCreatePayload:
    """Makes a list."""
    context = info.context
    try:
        changed = lists.create(
            context.lists.store,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            name=input.name,
            by=By[input.by.name],
            list_id=context.new_account(),
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberListCreateUserError, MemberListCreateErrorCode)
        return MemberListCreatePayload(replayed=refusal.replayed, user_errors=[error])
    return MemberListCreatePayload(member_list=list_of(changed.member_list), replayed=changed.replayed)


def member_list_import(info: Info, input: MemberListImportInput) -> MemberListImportPayload:
    """Has the file of a list imported."""
    context = info.context
    kind, key = from_id(input.id)
    try:
        changed = lists.begin_import(
            context.lists.store,
            context.lists.uploads,
            actor=context.actor,
            idempotency_key=input.idempotency_key,
            # The id of anything else is no list's.
            list_id=key if kind == "MemberList" else "",
            now=context.now,
        )
    except Refusal as refusal:
        error = refusals.user_error(refusal, MemberListImportUserError, MemberListImportErrorCode)
        return MemberListImportPayload(replayed=refusal.replayed, user_errors=[error])
    if changed.is_to_be_imported:
        # Whoever began it may have died before it was handed out; handing it out again is harmless.
        context.lists.hand_out(changed.member_list.id)
    return MemberListImportPayload(member_list=list_of(changed.member_list), replayed=changed.replayed)


@strawberry.type
class ListQueries:
    """Fields of the query root."""

    member_list: MemberList | None = strawberry.field(
        resolver=member_list,
        description="A list of members by its id; null when there is none. For support and managers.",
        extensions=[Permitted(Permission.CAMPAIGNS_READ)],
    )
    member_lists: MemberListConnection = strawberry.field(
        resolver=member_lists,
        description=f"All lists of members, the newest first; {limits.LISTS_PAGE_MAX} a page at most. For support and managers.",
        extensions=[Permitted(Permission.CAMPAIGNS_READ)],
    )


@strawberry.type
class ListMutations:
    """Fields of the mutation root."""

    member_list_create: MemberListCreatePayload = strawberry.field(
        resolver=member_list_create,
        description="Makes a list of members, for a file that is then sent to its `uploadUrl`. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
    member_list_import: MemberListImportPayload = strawberry.field(
        resolver=member_list_import,
        description="Imports the file of a list as it is now: who is meant by each line is looked up after the answer. A list is "
        "imported once; sent again with the same key, it finds its import, and wakes it if it was left behind. Needs a manager.",
        extensions=[Permitted(Permission.CAMPAIGNS_MANAGE)],
    )
