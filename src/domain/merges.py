"""Merges: two accounts of one person become one, and can become two again for a while.

Nothing is rewritten. The duplicate's log ends with a record that empties it and names the survivor; the survivor's goes on with
an entry of the same points. From then on whatever leads to the duplicate (its id, contacts, card, login, purchases, keys) leads
to the survivor: `ledger.known_head` follows for what is booked, `ledger.Trail` for what was claimed. An undo books the points
back, as far as they are left, and the duplicate's log goes on where it ended.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from domain import accounts, days, expiry, ledger, limits, members, moments, notes, tiers
from domain.access import Actor
from domain.accounts import DEBT, ROLLING, Line, State, Status
from domain.entries import Entry, EntryKind, Explanation, Key, Record, caller_key
from domain.ledger import Operation, Outcome, Plan
from domain.members import InvalidEmail, InvalidPhone, Lookup
from domain.moments import On
from domain.notes import Draft
from domain.programs import Program
from domain.refusals import (
    HoldsOpen,
    IdempotencyKeyReused,
    InvalidText,
    MemberBlocked,
    MemberClosed,
    MemberNotFound,
    OutcomeUnknown,
    Refusal,
    require_reason,
)
from domain.store import Store


class MergeWithSelf(Refusal):
    """Both are one account, or have become one by an earlier merge."""


class TooManyMerges(Refusal):
    """More accounts would live on in one than `limits.MERGES_FOLLOWED_MAX`."""

    final = True


class NotMerged(Refusal):
    """The account is its own: it was never merged, or its merge was undone."""

    final = True


class SurvivorMerged(Refusal):
    """The account it was merged into lives on in another one itself; that merge has to be undone first."""

    final = True


class UndoWindowPassed(Refusal):
    """The merge is older than the program lets merges be undone."""


MERGE_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    MergeWithSelf,
    IdempotencyKeyReused,
    MemberClosed,
    MemberBlocked,
    HoldsOpen,
    TooManyMerges,
)
UNMERGE_REFUSALS: tuple[type[Refusal], ...] = (
    InvalidText,
    InvalidEmail,
    InvalidPhone,
    MemberNotFound,
    IdempotencyKeyReused,
    NotMerged,
    SurvivorMerged,
    UndoWindowPassed,
)

_DUPLICATE, _SURVIVOR = ("input", "duplicate"), ("input", "survivor")


def merge(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    duplicate: Lookup,
    survivor: Lookup,
    reason: str,
    note: Draft | None,
    now: datetime,
) -> Outcome:
    """Moves everything on the duplicate's account (points, pending points and debt) to the survivor's, which it is from then on.

    Who was merged before is named by what they were: `survivor` then is the account they live on in, and so is `duplicate`.
    The survivor's profile stays as it is. Refuses, in this order: `InvalidText`, `InvalidEmail`, `InvalidPhone`,
    `MemberNotFound`, `MergeWithSelf`, `IdempotencyKeyReused`, `MemberClosed`, `MemberBlocked`, `HoldsOpen`, `TooManyMerges`,
    `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    reason = require_reason(reason)
    kept = notes.checked(note)
    living = members.resolve(store, actor=actor, by=survivor, field=_SURVIVOR, key=key)
    ending = _ending(store, actor=actor, by=duplicate, key=key)
    operation = Operation(
        key=key,
        account=living,
        fingerprint=ledger.fingerprint(
            store,
            "memberMerge",
            (duplicate.kind, duplicate.value),
            (survivor.kind, survivor.value),
            reason,
            kept.text if kept else None,
        ),
    )

    def decide(before: Record) -> Plan:
        if ending is None:
            raise MemberNotFound("No member is enrolled under this.", field=_DUPLICATE)
        # The duplicate is read after the survivor and strongly: see `transfers.transfer`.
        head = ledger.known_head(store, ending, strong=True)
        if head.account == before.account:
            raise MergeWithSelf("They are the same member already.", field=_DUPLICATE)
        there = ledger.current(head, now, program)
        for require in (accounts.require_open, accounts.require_active, _require_unheld):
            require(before.state, field=_SURVIVOR)
            require(there.state, field=_DUPLICATE)
        living_here = 1 + _count_merged(store, before.state) + _count_merged(store, there.state)
        if living_here > limits.MERGES_FOLLOWED_MAX:
            raise TooManyMerges(f"{living_here} accounts would live on in this one.", field=_DUPLICATE)

        def close(last: Record) -> Entry:
            return _entry(
                EntryKind.MERGED,
                accounts.emptied(last.state),
                (before.account, before.seq),
                actor=actor,
                reason=reason,
                now=now,
            )

        closing = ledger.book(head, None, close, now=now, program=program)
        # The search for a key goes on in the survivor after this record (`ledger.Trail`): nothing may follow the closing entry.
        closed = closing.record.entries[-1]
        assert closed.kind is EntryKind.MERGED
        merged = _entry(
            EntryKind.MERGE,
            _put(before.state, closed.lines, today=_today(before.state, program, now)),
            (head.account, closing.record.seq),
            actor=actor,
            reason=reason,
            now=now,
        )
        merged = replace(
            merged,
            rolls=expiry.later(before.state.rolling, there.state.rolling),
            qualifies=tuple(there.state.qualifying.items()),
            marks=_joined_marks(before.state, there.state),
            standing=tiers.better(program.ladder, before.state.standing, there.state.standing),
        )
        if program.ladder is not None and merged.standing != before.state.standing:
            # What the merge brings of a tier is told with what it brings of points.
            merged = replace(
                merged, explanation=(*merged.explanation, tiers.explained(program.ladder, merged.standing))
            )
        return replace(notes.planned(merged, kept), others=(closing,))

    return ledger.commit(store, operation, decide, now=now, program=program)


def unmerge(
    store: Store,
    program: Program,
    *,
    actor: Actor,
    idempotency_key: str,
    duplicate: Lookup,
    reason: str,
    note: Draft | None,
    now: datetime,
) -> Outcome:
    """Undoes the merge of an account: it is its own again, with the points that came from it, as far as the survivor still has
    them. What was spent or has expired stays so, and so does everything that was booked on the survivor meanwhile.

    Pending points go back as what they are now; of a debt that was taken over, what is still owed goes back. The survivor may
    have been blocked or closed: the other person is not to wait for that. Refuses, in this order: `InvalidText`,
    `InvalidEmail`, `InvalidPhone`, `MemberNotFound`, `IdempotencyKeyReused`, `NotMerged`, `SurvivorMerged`,
    `UndoWindowPassed`, `OutcomeUnknown`.
    """
    key = caller_key(actor.id, members.key_text(idempotency_key))
    reason = require_reason(reason)
    kept = notes.checked(note)
    # Not its survivor, whose account this is claimed on: `ledger.commit` follows.
    account = members.resolve(store, actor=actor, by=duplicate, field=_DUPLICATE, key=key)
    operation = Operation(
        key=key,
        account=account,
        fingerprint=ledger.fingerprint(
            store, "memberUnmerge", (duplicate.kind, duplicate.value), reason, kept.text if kept else None
        ),
    )

    def decide(before: Record) -> Plan:
        closed = store.head(account, strong=True)
        assert closed is not None, "a resolved account has a head"
        # Where the account itself was read, it was not merged, though it may be by now.
        if closed.state.status is not Status.MERGED or before.account == account:
            raise NotMerged("This account is not merged into another one.", field=_DUPLICATE)
        survivor, seq = ledger.survivor_of(closed)
        if survivor != before.account:
            after = store.head(survivor, strong=True)
            assert after is not None
            if after.state.status is not Status.MERGED:
                raise OutcomeUnknown("The account was parted and merged anew meanwhile. Retry with the same key.")
            raise SurvivorMerged(
                "The account it was merged into lives on in another one; undo that merge first.", field=_DUPLICATE
            )
        own, merge, index = _merge_of(store, closed)
        merged = merge.entries[index]
        if now >= merged.at + timedelta(days=program.windows.merge_undo_days):
            raise UndoWindowPassed(
                f"A merge can be undone for {program.windows.merge_undo_days} days.", field=_DUPLICATE
            )

        def reopen(last: Record) -> Entry:
            lines = _put(last.state, taken, today=_today(last.state, program, now))
            peer = (before.account, before.seq)
            reopened = _entry(EntryKind.REOPENING, lines, peer, actor=actor, reason=reason, now=now)
            return replace(
                reopened, rolls=before.state.rolling if any(line.expires == ROLLING for line in lines) else None
            )

        taken = _left_of(
            _unsilenced(store, merged, before.account, seq), before.state, today=_today(before.state, program, now)
        )
        reopening = ledger.book(closed, None, reopen, now=now, program=program)
        undone = _entry(
            EntryKind.UNMERGE,
            taken,
            # Where the search for a key turns back to (`ledger.Trail`).
            (closed.account, reopening.record.seq),
            actor=actor,
            reason=reason,
            now=now,
        )
        undone = replace(
            undone,
            cause=(seq, index),
            qualifies=tuple((period, -amount) for period, amount in merged.qualifies),
            marks=_parted_marks(program, before.state, merged, other=closed.state, before=own.state),
        )
        plan = notes.planned(undone, kept)
        tier = _tier_without(program, before.state, undone, own=own, merge=merge, now=now)
        return replace(plan, entries=(*plan.entries, *tier), others=(reopening,))

    return ledger.commit(store, operation, decide, now=now, program=program)


def _ending(store: Store, *, actor: Actor, by: Lookup, key: Key) -> str | None:
    """The duplicate's account. Refuses `MemberNotFound`.

    None when nobody is found any more and the key was claimed: what was answered is answered again, and where nothing was
    decided, nobody is there to be merged. The claim is of the survivor's account and does not tell whom the other look-up led to.
    """
    try:
        return members.resolve(store, actor=actor, by=by, field=_DUPLICATE)
    except MemberNotFound:
        if store.claim(key) is None:
            raise
        return None


def _require_unheld(state: State, *, field: tuple[str, ...]) -> None:
    if state.holds:
        raise HoldsOpen(
            f"{state.held_points} points are set aside by a till; capture or release them first.", field=field
        )


def _count_merged(store: Store, state: State) -> int:
    """How many accounts live on in an account. What was merged cannot change while it is, so only the two heads can race."""
    count = 0
    waiting = list(state.merged)
    while waiting:
        count += 1
        head = store.head(waiting.pop(), strong=True)
        assert head is not None
        waiting += head.state.merged
    return count


def _joined_marks(state: State, other: State) -> tuple[tuple[str, int], ...]:
    """The marks that change when `other` becomes part of an account: who joined first joined then, who was active last was, what
    one of them had they had, and what was counted is added up."""
    marks = {}
    for name, theirs in other.marks.items():
        own = state.marks.get(name, 0)
        match name:
            case tiers.JOINED:
                marks[name] = min(own or theirs, theirs)
            case _ if name in _ADDED_UP:
                marks[name] = own + theirs
            case _:
                marks[name] = max(own, theirs)
    return tuple(sorted((name, value) for name, value in marks.items() if value != state.marks.get(name, 0)))


# Marks that a merge adds up, and its undoing takes apart.
_ADDED_UP = frozenset({*tiers.LIFETIME.values(), moments.PURCHASES})


def _parted_marks(
    program: Program, state: State, merged: Entry, *, other: State, before: State
) -> tuple[tuple[str, int], ...]:
    """The marks that change when `other` is an account of its own again: what was added up is taken apart, and the day of joining
    and the moments that the merge has brought go, unless they became something else since. `before` is the survivor before the
    merge; where others are, or were, a part of it as well, whose they are is not told apart, and they stay.

    The last activity stays too, and so do silences that were had: whatever the survivor did since may have been on that very day.
    """
    marks = {name: max(state.marks.get(name, 0) - other.marks.get(name, 0), 0) for name in _ADDED_UP}
    stays = {moments.ACTIVE, *_ADDED_UP, *(moments.mark_of(each) for each in program.moments if each.on is On.SILENCE)}
    for name, value in merged.marks if len(state.merged) == 1 and not before.merged else ():
        if name not in stays and state.marks.get(name, 0) == value:
            marks[name] = before.marks.get(name, 0)
    return tuple(sorted((name, value) for name, value in marks.items() if value != state.marks.get(name, 0)))


def _tier_without(
    program: Program, state: State, undone: Entry, *, own: Record, merge: Record, now: datetime
) -> tuple[Entry, ...]:
    """The entry of the survivor's own tier, if the merge had brought it a better one and it still is that one. `own` is the
    record before that of the merge."""
    ladder = program.ladder
    if ladder is None or state.standing is None:
        return ()
    had = ledger.current(own, merge.state.at, program).state.standing
    at = max(now, state.at)
    left = ledger.apply(state, undone, at=at, zone=program.zone)
    back = tiers.unmerged(ladder, left, had, with_merge=merge.state.standing, now=at, zone=program.zone)
    return (back,) if back else ()


def _merge_of(store: Store, closed: Record) -> tuple[Record, Record, int]:
    """The survivor's record before a merge, that of the merge, and the index of its entry."""
    survivor, seq = ledger.survivor_of(closed)
    # A survivor had joined before, so there is a record before the merge.
    own, record = store.records_after(survivor, seq - 2, limit=2)
    peer = (closed.account, closed.seq)
    index = next(
        index for index, entry in enumerate(record.entries) if entry.kind is EntryKind.MERGE and entry.peer == peer
    )
    return own, record, index


def _unsilenced(store: Store, merged: Entry, survivor: str, seq: int) -> Entry:
    """A merge without the points of the rolling bucket, if a silence has taken them since: what is in the bucket now was earned
    later, and is the survivor's own."""
    if not any(line.expires == ROLLING for line in merged.lines):
        return merged
    for _ in range(limits.RESUME_PAGES_MAX):
        page = store.records_after(survivor, seq, limit=limits.RESUME_PAGE)
        for record in page:
            for entry in record.entries:
                if entry.kind is EntryKind.EXPIRY and any(line.expires == ROLLING for line in entry.lines):
                    return replace(merged, lines=tuple(line for line in merged.lines if line.expires != ROLLING))
        if len(page) < limits.RESUME_PAGE:
            break
        seq = page[-1].seq
    return merged


def _put(state: State, taken: Iterable[Line], *, today: int) -> tuple[Line, ...]:
    """Lines that put into an account what `taken` took out of another."""
    lines: tuple[Line, ...] = ()
    for line in taken:
        if line.expires == DEBT:
            added: tuple[Line, ...] = (Line(DEBT, -line.points),)
        else:
            added = accounts.earn(state, -line.points, expires=line.expires, today=today, matures=line.matures)
        state = accounts.fold(state, added, at=state.at)
        lines += added
    return lines


def _left_of(merged: Entry, state: State, *, today: int) -> tuple[Line, ...]:
    """Lines that take out of the survivor what a merge brought, as far as it is still there."""
    live: Counter[int] = Counter()
    pending: Counter[tuple[int, int]] = Counter()
    debt = 0
    lines = iter(merged.lines)
    for line in lines:
        if line.expires == DEBT:
            debt -= line.points
        elif line.matures:
            pending[line.matures, line.expires] += line.points
        elif line.points > 0:
            live[line.expires] += line.points
        else:
            # A bucket too many became one with a later one, and with it whatever had been brought into it before.
            live[next(lines).expires] += live.pop(line.expires, 0)
    for (matures, expires), points in pending.items():
        if matures <= today:
            live[expires] += points
    left = [
        *(Line(day, -min(points, state.buckets.get(day, 0))) for day, points in sorted(live.items())),
        *(
            Line(both[1], -min(points, state.pending.get(both, 0)), both[0])
            for both, points in sorted(pending.items())
            if both[0] > today
        ),
        Line(DEBT, min(debt, state.debt)),
    ]
    return tuple(line for line in left if line.points)


def _entry(
    kind: EntryKind,
    lines: tuple[Line, ...],
    peer: tuple[str, int],
    *,
    actor: Actor,
    reason: str,
    now: datetime,
) -> Entry:
    entry = Entry(kind=kind, at=now, lines=lines, balance_after=0, actor=actor.id, reason=reason, peer=peer)
    rule = "merge" if kind in (EntryKind.MERGE, EntryKind.MERGED) else "unmerge"
    return replace(entry, explanation=(Explanation(f"{rule}:{reason}", entry.points),))


def _today(state: State, program: Program, now: datetime) -> int:
    return days.day_of(max(now, state.at), program.zone)
