"""The import of a list: its file is cut into parts, each part is looked up, and when all are there they are put together.

Any of it may be done twice, at once, late, or half: what was found in a part is written down once and stands, and what follows
from the parts is the same for everybody. The list is ready by one write behind all others.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from domain import ledger, limits, members
from domain.accounts import Status
from domain.lists import files
from domain.lists.member_list import By, Failure, Flaw, ListStatus, MemberList, Report
from domain.lists.store import Cut, Lists, Part, Unusable, Uploads
from domain.lists.turns import Turn
from domain.members import Lookup
from domain.messages import NotATurn
from domain.refusals import MemberNotFound, OutcomeUnknown, Refusal
from domain.store import Contended, Store

# What a part says of a line: nothing stands there, nobody is found, it cannot be a name, the membership has ended. No account is
# called so.
NOTHING, UNKNOWN, MALFORMED, CLOSED = ".", "-", "!", "x"
# Stands before an account to which another one has led, by merges.
FOLLOWED = ">"

_FLAWS = {UNKNOWN: Flaw.UNKNOWN, MALFORMED: Flaw.MALFORMED, CLOSED: Flaw.CLOSED}


Named = str | files.Malformed | None


def _one_by_one(function: Callable[[Named], str], values: Iterable[Named]) -> Iterable[str]:
    return map(function, values)


@dataclass(frozen=True, slots=True)
class Tools:
    """What whoever takes turns needs. `send` hands turns on, and returns when they are safe; `seconds_left` tells how much time
    there is; `each` applies a function to many values, perhaps side by side, and gives what comes of them in their order;
    `member_id` reads an id of the API, and gives None for any other text.

    `is_last` says that a turn will not come again: then a list that cannot be imported has failed.
    """

    lists: Lists
    uploads: Uploads
    store: Store
    send: Callable[[Iterable[Turn]], None]
    member_id: Callable[[str], str | None]
    seconds_left: Callable[[], float] = lambda: math.inf
    each: Callable[[Callable[[Named], str], Iterable[Named]], Iterable[str]] = _one_by_one
    is_last: bool = False

    def require_time(self) -> None:
        """Raises `OutOfTime` when there is none."""
        if self.seconds_left() <= 0:
            raise OutOfTime

    @property
    def has_time_for_a_part(self) -> bool:
        """Whether a part can be begun."""
        return self.seconds_left() >= limits.LIST_PART_TIME.total_seconds()


class OutOfTime(Exception):
    """There was no time left for the rest; it comes again, and begins anew."""


def resolve(tools: Tools, turn: Turn) -> None:
    """Does a turn: cuts a file and hands out its parts, or looks a part up; whoever finds all parts there puts them together.

    Raises `OutOfTime` when it has to come again, `NotATurn` when it never can be done. Refuses `OutcomeUnknown`.
    """
    member_list = tools.lists.find(turn.list_id)
    if member_list is None:
        raise NotATurn("there is no such list")
    if member_list.status is ListStatus.UPLOADING:
        raise NotATurn("nobody has asked for its import")
    if member_list.status is not ListStatus.IMPORTING:
        return
    try:
        _go_on(tools, member_list, turn)
    except Unusable as unusable:
        _end(tools.lists, replace(member_list, status=ListStatus.FAILED, failure=unusable.failure))
    except NotATurn:
        raise
    except Exception:
        if tools.is_last:
            _end(tools.lists, replace(member_list, status=ListStatus.FAILED, failure=Failure.GIVEN_UP))
        raise


def _go_on(tools: Tools, member_list: MemberList, turn: Turn) -> None:
    lists = tools.lists
    cut = lists.cut(member_list.id)
    if cut is None:
        cut = files.cut(_bytes(tools, member_list))
        lists.keep_cut(member_list.id, cut)
    parts = frozenset(range(1, len(cut.starts) + 1))
    if turn.part is None:
        tools.send(Turn(member_list.id, number) for number in sorted(parts - lists.parts_kept(member_list.id)))
    elif turn.part not in parts:
        raise NotATurn("there is no such part")
    elif turn.part not in lists.parts_kept(member_list.id):
        if not tools.has_time_for_a_part:
            # Whoever has more gets it, and it was not tried in vain.
            tools.send([turn])
            return
        lists.keep_part(member_list.id, _looked_up(tools, member_list, cut, turn.part))
    if lists.parts_kept(member_list.id) != parts:
        return
    if tools.has_time_for_a_part:
        _put_together(tools, member_list, len(parts))
    else:
        tools.send([Turn(member_list.id)])


# --- looking up -------------------------------------------------------------------------------------------------------


def _looked_up(tools: Tools, member_list: MemberList, cut: Cut, number: int) -> Part:
    lines = files.lines(_bytes(tools, member_list, *cut.range(number)))
    values = files.values(lines, member_list.by, is_first=number == 1)
    return Part(number, tuple(tools.each(lambda value: _found(tools, member_list.by, value), values)))


def _found(tools: Tools, by: By, value: Named) -> str:
    """What a line comes to. Raises `OutOfTime`, refuses `OutcomeUnknown`."""
    tools.require_time()
    if value is None:
        return NOTHING
    meant = None if isinstance(value, files.Malformed) else _lookup(tools, by, value)
    if meant is None:
        return MALFORMED
    named: str | None = meant.value
    if by is not By.MEMBER_ID:
        # A strong look only where the cheap one found nothing: somebody who joined a moment ago is a member.
        named = tools.store.find_account(meant) or tools.store.find_account(meant, strong=True)
    if named is None:
        return UNKNOWN
    try:
        head = ledger.known_head(tools.store, named)
    except MemberNotFound:
        return UNKNOWN
    if head.state.status is Status.CLOSED:
        return CLOSED
    return head.account if head.account == named else f"{FOLLOWED}{head.account}"


def _lookup(tools: Tools, by: By, value: str) -> Lookup | None:
    """The look-up that a value is; None for what cannot be one."""
    if by is By.MEMBER_ID:
        account = tools.member_id(value.strip())
        return None if account is None else Lookup(by.value, account)
    try:
        return members.lookup(by.value, value, field=())
    except Refusal:
        return None


# --- putting together -------------------------------------------------------------------------------------------------


def _put_together(tools: Tools, member_list: MemberList, parts: int) -> None:
    """Writes who is on the list, and that it is ready. It follows from the parts alone, so whoever does it does the same."""
    lists, counted = tools.lists, _Count()
    for number in range(1, parts + 1):
        tools.require_time()
        part = lists.part(member_list.id, number)
        assert part is not None, "parts are there before it is written that they are"
        counted.add(part)
    report = counted.report()
    if not report.lines:
        raise Unusable(Failure.EMPTY)
    for page in counted.pages(lists):
        tools.require_time()
        lists.keep_page(member_list.id, page)
    lists.keep_examples(member_list.id, counted.examples)
    _end(lists, replace(member_list, status=ListStatus.READY, report=report))


@dataclass(slots=True)
class _Count:
    """Goes through the parts of a file in their order."""

    accounts: set[str] = field(default_factory=set)
    counts: dict[Flaw, int] = field(default_factory=lambda: dict.fromkeys(Flaw, 0))
    examples: dict[Flaw, list[int]] = field(default_factory=lambda: defaultdict(list))
    merged: int = 0

    def add(self, part: Part) -> None:
        first = (part.number - 1) * limits.LIST_PART_LINES + 1
        for line, found in enumerate(part.found, first):
            if found == NOTHING:
                continue
            flaw = _FLAWS.get(found)
            if flaw is None:
                self.merged += found.startswith(FOLLOWED)
                account = found.removeprefix(FOLLOWED)
                if account not in self.accounts:
                    self.accounts.add(account)
                    continue
                flaw = Flaw.DUPLICATE
            self.counts[flaw] += 1
            if len(self.examples[flaw]) < limits.LIST_EXAMPLES_MAX:
                self.examples[flaw].append(line)

    def report(self) -> Report:
        """What the lines came to."""
        counts = self.counts
        return Report(
            lines=len(self.accounts) + sum(counts.values()),
            members=len(self.accounts),
            unknown=counts[Flaw.UNKNOWN],
            malformed=counts[Flaw.MALFORMED],
            duplicates=counts[Flaw.DUPLICATE],
            closed=counts[Flaw.CLOSED],
            merged=self.merged,
        )

    def pages(self, lists: Lists) -> Iterator[list[str]]:
        """The accounts, shard by shard and in order, in pages."""
        shards: dict[int, list[str]] = defaultdict(list)
        for account in self.accounts:
            shards[lists.shard_of(account)].append(account)
        for _, accounts in sorted(shards.items()):
            accounts.sort()
            for start in range(0, len(accounts), limits.LIST_PAGE_ACCOUNTS):
                yield accounts[start : start + limits.LIST_PAGE_ACCOUNTS]


# --- reading and ending -----------------------------------------------------------------------------------------------


def _bytes(tools: Tools, member_list: MemberList, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    upload = member_list.upload
    assert upload is not None, "an import is of a file"
    end = upload.size if end is None else end
    if start < end:
        for chunk in tools.uploads.read(member_list.id, upload, start, end):
            tools.require_time()
            yield chunk


def _end(lists: Lists, member_list: MemberList) -> None:
    """Writes how an import has ended. Refuses `OutcomeUnknown` where somebody else was in the way, and did not end it."""
    try:
        lists.save(member_list)
    except Contended:
        found = lists.find(member_list.id)
        assert found is not None, "lists are never taken away"
        if found.status is ListStatus.IMPORTING:
            raise OutcomeUnknown("Others are at this list.") from None
