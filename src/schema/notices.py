"""Notices through the API: what a member was told, and that they read it."""

from enum import Enum
from typing import cast

import strawberry

from domain import days, ledger, limits, members, notices
from domain.access import Permission, Role
from domain.refusals import Refusal
from schema import pages, refusals
from schema.access import Permitted
from schema.context import Context, Info
from schema.nodes import Node, from_id, to_id
from schema.pages import PageInfo
from schema.refusals import UserError
from schema.scalars import DateTime, Day, Long


@strawberry.enum(description="What a notice is about.")
class NoticeKind(Enum):
    """`domain.notices.NoticeKind`."""

    REMINDER = strawberry.enum_value("REMINDER", description="Points that will expire.")
    TIER_FALLING = strawberry.enum_value("TIER_FALLING", description="A tier that will be lost.")
    MOMENT = strawberry.enum_value("MOMENT", description="A moment of the membership, such as a birthday.")
    SUMMARY = strawberry.enum_value("SUMMARY", description="The month before.")
    CAMPAIGN = strawberry.enum_value("CAMPAIGN", description="What a campaign gave.")


@strawberry.type(description="Something a member was told, once. It is kept for a year.")
class Notice(Node):
    """A notice in the words of the program version that gave it."""

    kind: NoticeKind
    at: DateTime = strawberry.field(description="When it was given.")
    read_at: DateTime | None = strawberry.field(description="When it was first marked as read; null if it was not.")
    moment: str | None = strawberry.field(description="The id of the program's moment; null for a reminder.")
    points: Long = strawberry.field(
        description="Points that will expire, or that the moment gave; of a summary the balance, of a tier 0."
    )
    expires_on: Day | None = strawberry.field(
        description="The last day of those points, or of the tier; null if there is none."
    )
    notice: strawberry.Private[notices.Notice]
    name: strawberry.Private[str | None]

    @strawberry.field(description="A headline.")
    def title(self, info: Info) -> str:
        """Put into words when it is read."""
        return self._worded(info.context)[0]

    @strawberry.field(description="What there is to say; may be empty.")
    def text(self, info: Info) -> str:
        """Put into words when it is read."""
        return self._worded(info.context)[1]

    def _worded(self, context: Context) -> tuple[str, str]:
        program = context.program_of_version(self.notice.version)
        assert program is not None, f"version {self.notice.version} of the program is gone"
        return notices.worded(self.notice, program, name=self.name)


@strawberry.type(description="A notice and its place in the list.")
class NoticeEdge:
    """Relay's edge."""

    cursor: str
    node: Notice


@strawberry.type(description="Notices, the newest first.")
class NoticeConnection:
    """Relay's connection."""

    edges: list[NoticeEdge]
    nodes: list[Notice] = strawberry.field(description="The notices without their cursors.")
    page_info: PageInfo
    account: strawberry.Private[str]

    @strawberry.field(description="How many of the newest 100 were not read.")
    def unread_count(self, info: Info) -> Long:
        """A read of its own, when it is asked for."""
        newest = info.context.store.notices(self.account, limit=limits.NOTICES_COUNTED_MAX)
        return Long(sum(each.read_at is None for each in newest))


@strawberry.input(description="Notices that were read.")
class NoticesMarkReadInput:
    """Read marks to set."""

    ids: list[strawberry.ID] = strawberry.field(description="Ids of the caller's own notices, 50 at most.")


@strawberry.enum(description="Why nothing was marked as read.")
class NoticesMarkReadErrorCode(Enum):
    """Codes of `domain.notices.READ_REFUSALS`."""

    TOO_MANY_NOTICES = "TOO_MANY_NOTICES"
    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    NOTICE_NOT_FOUND = "NOTICE_NOT_FOUND"


@strawberry.type(description="Why nothing was marked as read.")
class NoticesMarkReadUserError(UserError):
    """A refusal of `noticesMarkRead`."""

    code: NoticesMarkReadErrorCode


@strawberry.type
class NoticesMarkReadPayload:
    """The notices with their marks, or why nothing was marked."""

    notices: list[Notice] | None = strawberry.field(
        default=None, description="Those that were named, in that order, each once, as they are now."
    )
    replayed: bool = strawberry.field(default=False, description="True when all of them had been read before.")
    user_errors: list[NoticesMarkReadUserError] = strawberry.field(default_factory=list)


def may_see(context: Context) -> bool:
    """Whether a caller who sees a member sees what they were told as well: they themselves, and staff."""
    return context.actor.role is Role.MEMBER or context.actor.may(Permission.NOTICES_READ)


def connection(context: Context, account: str, name: str | None, *, first: int, after: str | None) -> NoticeConnection:
    """A page of the notices of an account."""
    scope = f"notices:{account}"
    position = pages.position(context, scope, after)
    found = context.store.notices(account, before=_place(position) if position else None, limit=first + 1)
    edges = [
        NoticeEdge(cursor=context.cursors.seal(scope, f"{each.day}.{each.about}"), node=notice_of(account, each, name))
        for each in found[:first]
    ]
    return NoticeConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=PageInfo(
            has_next_page=len(found) > first,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        account=account,
    )


def notice_of(account: str, notice: notices.Notice, name: str | None) -> Notice:
    """A notice as its member sees it; `name` is what they are called."""
    date = notice.args.get("date") if notice.kind is not notices.NoticeKind.SUMMARY else None
    return Notice(
        id=to_id("Notice", f"{account}:{notice.day}:{notice.about}"),
        kind=NoticeKind[notice.kind.name],
        at=DateTime(notice.at),
        read_at=None if notice.read_at is None else DateTime(notice.read_at),
        moment=notice.moment or None,
        points=Long(cast("int", notice.args.get("points", 0))),
        expires_on=None if date is None else Day(days.date_of(cast("int", date))),
        notice=notice,
        name=name,
    )


def find(context: Context, account: str, place: str) -> Notice | None:
    """A notice by its place in an account that the caller may see."""
    where = _place(place.replace(":", ".", 1))
    if not may_see(context) or where is None:
        return None
    found = context.store.notice(account, *where)
    if found is None:
        return None
    return notice_of(account, found, _name(context, account))


def _name(context: Context, account: str) -> str | None:
    home = context.store.home(account, entries=0)
    return home.profile.name if home and home.profile else None


def _place(text: str) -> tuple[int, str] | None:
    """Day and subject in the text of a cursor or an id; None for any other."""
    day, _, about = text.partition(".")
    is_place = day.isascii() and day.isdecimal() and len(day) <= 6 and 0 < len(about) <= limits.NOTICE_ABOUT_LENGTH_MAX
    return (int(day), about) if is_place else None


def notices_mark_read(info: Info, input: NoticesMarkReadInput) -> NoticesMarkReadPayload:
    """Marks notices as read."""
    context = info.context
    own = members.own_account(context.store, context.actor)
    try:
        # Where it was merged, they are told things as the member they are a part of.
        account = None if own is None else ledger.known_head(context.store, own).account
        places = [_place_in(account, each) for each in input.ids]
        read = notices.mark_read(context.store, account, places, now=context.now)
    except Refusal as refusal:
        error = refusals.user_error(refusal, NoticesMarkReadUserError, NoticesMarkReadErrorCode)
        return NoticesMarkReadPayload(user_errors=[error])
    assert account is not None
    name = _name(context, account)
    return NoticesMarkReadPayload(
        notices=[notice_of(account, each, name) for each in read.notices], replayed=not read.changed
    )


def _place_in(account: str | None, global_id: str) -> tuple[int, str] | None:
    """The place that the id of a notice names in an account; None for any other id."""
    kind, key = from_id(global_id)
    owner, _, place = key.partition(":")
    return _place(place.replace(":", ".", 1)) if kind == "Notice" and owner == account else None


@strawberry.type
class NoticeMutations:
    """Fields of the mutation root."""

    notices_mark_read: NoticesMarkReadPayload = strawberry.field(
        resolver=notices_mark_read,
        description="Marks the caller's own notices as read, all or none; the first time counts. It needs no key: read is read, "
        "however often it is sent.",
        extensions=[Permitted(Permission.OWN_NOTICES_MARK)],
    )
