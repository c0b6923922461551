"""The snapshot log and the one way to write to it.

Each `Record` is one immutable item of an account's log: the entries written together and the whole account state after them.
The newest record *is* the account. `commit` reads the head, lets a pure decision judge the account as time has made it, claims
the caller's key, and appends; the sequence number is the optimistic lock, the claim the memory.

Why a key moves points in at most one entry: only who has seen the claim of key k appends k. The claim names the sequence that
was read before it existed, so any entry with k stands after that. And an append at n succeeds only for a writer who has read
every record between the claim's sequence and n, and found no k there.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from domain import accounts, consequences, days, limits, moments, notices, tiers
from domain.accounts import DEBT, State, Status
from domain.entries import Basket, Claim, Entry, EntryKind, Explanation, Key, Note, Record
from domain.moments import Moment
from domain.programs import Program
from domain.refusals import IdempotencyKeyReused, MemberNotFound, OutcomeUnknown, Refusal
from domain.store import NOTHING, Beside, ClaimTaken, Contended, EndTaken, LookupTaken, ReturnTaken, Store

if TYPE_CHECKING:
    from domain.members import Profile


@dataclass(frozen=True, slots=True)
class Operation:
    """One caller-keyed request to move points on `account`, with what its claim must remember."""

    key: Key
    account: str
    fingerprint: bytes
    basket: Basket | None = None
    retention: timedelta | None = limits.CLAIM_RETENTION


@dataclass(frozen=True, slots=True)
class Plan:
    """What a decision wants written: entries of the account (the operation's own first; `at`, `balance_after` and its key are
    filled in when they are booked), records of `others` that stand or fall with them, what else does, a note of staff, and days
    that get a due row besides those that follow from the account. `judges` says whether milestones are judged."""

    entries: tuple[Entry, ...]
    others: tuple["Booking", ...] = ()
    beside: Beside = NOTHING
    note: Note | None = None
    due: frozenset[int] = frozenset()
    judges: bool = True


# Judges the account as it is now: a record with the sequence the next one will have. Gives what to book, or raises a `Refusal`.
# What it reads besides the account, it reads itself, after the account was read.
Decision = Callable[[Record], Entry | Plan]


@dataclass(frozen=True, slots=True)
class Booking:
    """A record ready to be written; `index` is the place of the operation's own entry in it."""

    record: Record
    index: int
    due: frozenset[int]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where an operation stands in the log. `replayed` when an earlier attempt with the same key had already written it."""

    record: Record
    index: int
    replayed: bool

    @property
    def entry(self) -> Entry:
        """The entry of the operation itself, among those written with it."""
        return self.record.entries[self.index]


def fingerprint(store: Store, operation: str, *facts: object) -> bytes:
    """16 bytes that tell two inputs of `operation` apart. `facts` are the input as sent, in a fixed order."""
    canonical = json.dumps([operation, *facts], separators=(",", ":"), default=str)
    return store.digest(canonical.encode())[:16]


# --- committing -------------------------------------------------------------------------------------------------------


def commit(
    store: Store,
    operation: Operation,
    decide: Decision,
    *,
    now: datetime,
    program: Program,
    resuming: Callable[[Claim], Decision] | None = None,
) -> Outcome:
    """Books what `decide` says exactly once for the operation's key, or replays what was booked for it before.

    Where an earlier attempt left a claim and no entry, the decision is `resuming` of that claim, if what it remembers matters.

    Refuses whatever `decide` refuses (a final refusal is recorded for the key), `IdempotencyKeyReused`, and
    `OutcomeUnknown` when other writers won every attempt.
    """
    again = resuming or (lambda _claim: decide)
    # The first read may be stale: a stale head only loses the append. A refusal is never judged on one.
    head, followed = located(store, operation.account)
    try:
        booking = book(head, operation.key, decide, now=now, program=program)
    except Refusal:
        head, followed = located(store, operation.account, strong=True)
        try:
            booking = book(head, operation.key, decide, now=now, program=program)
        except Refusal as refusal:
            claim = replace(claim_of(operation, head, followed, at=now), refusal=refusal)
            return _refused(store, operation, claim, again, now=now, program=program)
    claim = claim_of(operation, head, followed, at=now)
    try:
        remember(store, claim)
    except ClaimTaken as taken:
        return replay(store, operation, taken.claim, again, now=now, program=program)
    try:
        write(store, booking, program)
    except Contended:
        return resume(store, claim, decide, now=now, program=program)
    return Outcome(booking.record, booking.index, replayed=False)


def remember(store: Store, claim: Claim) -> None:
    """Claims a key, however many transactions are on it. Raises `ClaimTaken`; refuses `OutcomeUnknown`."""
    for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
        try:
            store.remember(claim)
        except Contended:
            store.pause(attempt)
            continue
        return
    raise unknown()


def replay(
    store: Store,
    operation: Operation,
    claim: Claim,
    resuming: Callable[[Claim], Decision],
    *,
    now: datetime,
    program: Program,
) -> Outcome:
    """The answer of a key that has a claim: its outcome, its refusal raised again, or, if its first caller got no further than
    the claim, what is decided now.

    Refuses `IdempotencyKeyReused` when the key was used for another input or member: the fingerprint covers both.
    """
    if claim.is_parked:
        claim = _completed(store, operation, now=now)
    if claim.fingerprint != operation.fingerprint:
        raise key_reused(operation.key, field="externalId" if operation.basket else "idempotencyKey")
    if claim.refusal is not None:
        raise claim.refusal.again()
    return resume(store, claim, resuming(claim), now=now, program=program)


def _completed(store: Store, operation: Operation, *, now: datetime) -> Claim:
    """The claim of a purchase whose returns came first: completed now, or by somebody else a moment ago."""
    head, followed = located(store, operation.account)
    claim = replace(claim_of(operation, head, followed, at=now), had_returns=True)
    for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
        try:
            store.complete(claim)
        except ClaimTaken as taken:
            return taken.claim
        except Contended:
            store.pause(attempt)
            continue
        return claim
    raise unknown()


def resume(store: Store, claim: Claim, decide: Decision, *, now: datetime, program: Program) -> Outcome:
    """Finds the entry of a claimed key, or appends it. From here on only the log decides: a refusal is appended too, as a
    zero-line entry with the key, so that whoever comes later hears the same no."""
    trail = Trail(store, claim)
    for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
        found = trail.find(claim.key)
        if found is not None:
            return told(found)
        try:
            booking = book(trail.head, claim.key, decide, now=now, program=program)
        except OutcomeUnknown:
            # What the decision wanted to read besides the account did not answer: nothing is decided.
            raise
        except Refusal as refusal:
            booking = book(trail.head, claim.key, no(refusal), now=now, program=program)
        try:
            write(store, booking, program)
        except Contended:
            # Contenders spread out; the record that won is read before the next attempt.
            store.pause(attempt)
            continue
        return told(Outcome(booking.record, booking.index, replayed=False))
    raise unknown()


def write(store: Store, booking: Booking, program: Program) -> None:
    """Notes what is due, then appends, then tells the member what it brought. A note without its record is harmless; a record
    without its notes cannot be.

    Raises `Contended` when the sequence, or something that has to stand beside the record, is taken: deciding again, on what is
    there now, gives the refusal that this stands for.
    """
    plan = booking.plan
    for each in (booking, *plan.others):
        if each.due:
            store.note_due(each.record.account, sorted(each.due))
    if plan.note is not None:
        store.keep_note(booking.record.account, plan.note)
    records = tuple(other.record for other in plan.others)
    try:
        store.append(booking.record, replace(plan.beside, records=records) if records else plan.beside)
    except (EndTaken, LookupTaken, ReturnTaken) as taken:
        raise Contended from taken
    for record in (booking.record, *records):
        tell(store, record, program)


def tell(store: Store, record: Record, program: Program, *, profile: "Profile | None" = None) -> None:
    """Tells a member what a record that was just written brought them. What the store does not take now, whoever reads the record
    off the stream gives: the operation has happened."""
    with suppress(OutcomeUnknown, Contended):
        notices.tell(store, record, program, profile=profile)


def known_head(store: Store, account: str, *, strong: bool = False) -> Record:
    """The head of an account the caller named, or of the account it was merged into.

    Refuses `MemberNotFound` when nobody has it. A strong look follows where the cheap one found nothing: somebody who joined a
    moment ago is a member.
    """
    return located(store, account, strong=strong)[0]


def located(store: Store, account: str, *, strong: bool = False) -> tuple[Record, tuple[tuple[str, int], ...]]:
    """What `known_head` finds, and the accounts that led there, each with the sequence of its closing record.

    Refuses `MemberNotFound` and, where merges are made and undone all the time, `OutcomeUnknown`.
    """
    head = _head(store, account, strong=strong)
    followed: tuple[tuple[str, int], ...] = ()
    for _ in range(limits.MERGES_FOLLOWED_MAX + 1):
        if head.state.status is not Status.MERGED:
            return head, followed
        survivor = _head(store, survivor_of(head)[0], strong=strong)
        # The merge may have been undone, unseen by a cheap read. Where it still stands after the survivor was read, its undoing
        # is a record behind the one that was read there, and what is decided on that one loses the append.
        again = _head(store, head.account, strong=True)
        if again.seq == head.seq:
            followed += ((head.account, head.seq),)
            head = survivor
        else:
            head = again
    raise unknown()


def _head(store: Store, account: str, *, strong: bool) -> Record:
    head = store.head(account, strong=strong) or (None if strong else store.head(account, strong=True))
    if head is None:
        raise MemberNotFound("No member has this account.", field=("input", "member"))
    return head


def claim_of(operation: Operation, head: Record, followed: tuple[tuple[str, int], ...], *, at: datetime) -> Claim:
    """The claim of an operation that has seen `head`, where its account has led it."""
    return Claim(
        key=operation.key,
        account=head.account,
        seq_seen=head.seq,
        fingerprint=operation.fingerprint,
        at=at,
        basket=operation.basket,
        expires_at=at + operation.retention if operation.retention else None,
        followed=followed,
    )


def key_reused(key: Key, *, field: str) -> IdempotencyKeyReused:
    """The refusal of a key that was used before for something else."""
    return IdempotencyKeyReused(
        f"The key {key.value!r} was used before with other input or for another member.", field=("input", field)
    )


def _refused(
    store: Store,
    operation: Operation,
    claim: Claim,
    resuming: Callable[[Claim], Decision],
    *,
    now: datetime,
    program: Program,
) -> Outcome:
    refusal = claim.refusal
    assert refusal is not None
    if not refusal.final:
        # What depends on the clock or on the program in force must not change an answer that was given before.
        known = store.claim(operation.key)
        if known is None or known.is_parked:
            raise refusal
        return replay(store, operation, known, resuming, now=now, program=program)
    try:
        store.remember(claim)
    except ClaimTaken as taken:
        return replay(store, operation, taken.claim, resuming, now=now, program=program)
    except Contended as busy:
        raise OutcomeUnknown("The refusal could not be recorded; retry with the same key.") from busy
    raise refusal


def no(refusal: Refusal) -> Decision:
    """Decides what was refused after its key was claimed: an entry that moves nothing."""

    def decide(before: Record) -> Entry:
        return Entry(EntryKind.REFUSED, before.state.at, (), 0, refusal=refusal)

    return decide


def told(outcome: Outcome) -> Outcome:
    """An outcome as its caller hears it. Raises the refusal that stands there instead of an entry."""
    refusal = outcome.entry.refusal
    if refusal is not None:
        raise refusal.again() if outcome.replayed else refusal
    return outcome


def unknown() -> OutcomeUnknown:
    """The refusal of whoever lost every attempt."""
    return OutcomeUnknown("The account is too busy; whether this happened is unknown. Retry with the same key.")


# --- finding ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Trail:
    """The records in which the entry of a claim may stand, read strongly and never twice.

    They are those of the claim's account after the sequence the claim had seen. Where that account was merged, the search goes
    on in its survivor, after the merge; where the merge was undone, back in the reopened account, also when it was asked about
    while it lived in the claim's account.
    """

    store: Store
    claim: Claim
    # The most that is read, for whoever can do without an answer.
    pages_max: int | None = None
    head: Record = field(init=False)
    _account: str = field(init=False)
    _seq: int = field(init=False)
    # Accounts that were left for their survivors, each with the sequence of its closing record.
    _left: list[tuple[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        # With the record that the claim had seen, which is the head while nothing was appended.
        self._account, self._seq = self.claim.account, max(self.claim.seq_seen - 1, 0)
        self._left = list(self.claim.followed)

    def find(self, key: Key) -> Outcome | None:
        """Where an entry with `key` stands; None when there is none up to `head`, which then is the newest record."""
        for record in self._newer():
            if (record.account, record.seq) == (self.claim.account, self.claim.seq_seen):
                continue
            for index, entry in enumerate(record.entries):
                if entry.key == key:
                    return Outcome(record, index, replayed=True)
        return None

    def find_each(self, keys: Collection[Key], *, to_head: bool = True) -> dict[Key, Outcome]:
        """Where entries with any of `keys` stand, by their keys. With all records up to `head`, which then is the newest; or,
        where that is not wanted, only until all are found."""
        found: dict[Key, Outcome] = {}
        for record in self._newer():
            if (record.account, record.seq) == (self.claim.account, self.claim.seq_seen):
                continue
            for index, entry in enumerate(record.entries):
                if entry.key is not None and entry.key in keys:
                    found[entry.key] = Outcome(record, index, replayed=True)
            if not to_head and len(found) == len(keys):
                break
        return found

    def _newer(self) -> Iterator[Record]:
        limit, pages, gaps = 2, 0, 0
        while self.pages_max is None or pages < self.pages_max:
            page = self.store.records_after(self._account, self._seq, limit=limit)
            for record in page:
                if record.seq != self._seq + 1:
                    # Two appends passed a page that was being read: the gap is read again.
                    gaps += 1
                    break
                gaps = 0
                self.head, self._seq = record, record.seq
                yield record
                if self._turned(record):
                    break
            else:
                if len(page) < limit:
                    return
            limit = limits.RESUME_PAGE
            if gaps > limits.GAP_READS_MAX:
                break
            # However much was booked since: what is looked for is found, or there is no time.
            self.store.require_time()
            pages += 1
        raise unknown()

    def _turned(self, record: Record) -> bool:
        """Whether the search goes on in another account after this record."""
        last = record.entries[-1]
        if last.kind is EntryKind.MERGED:
            self._left.append((record.account, record.seq))
            self._account, self._seq = survivor_of(record)
            # Its merge record is read once more, to be the head while it is the newest.
            self._seq -= 1
            return True
        if self._left:
            account, closed = self._left[-1]
            undone = next((entry for entry in record.entries if entry.kind is EntryKind.UNMERGE), None)
            if undone is not None and undone.peer == (account, closed + 1):
                self._left.pop()
                self._account, self._seq = account, closed
                return True
        return False


def survivor_of(closed: Record) -> tuple[str, int]:
    """The account a merged one lives on in, and the sequence of the merge there."""
    peer = closed.entries[-1].peer
    assert peer is not None, f"{closed.account} is merged into nobody"
    return peer


# --- booking ----------------------------------------------------------------------------------------------------------


def book(head: Record, key: Key | None, decide: Decision, *, now: datetime, program: Program) -> Booking:
    """The record that follows `head`, with the decided entry in it. Pure, but for what `decide` reads.

    What time has done by itself comes first, as entries of its own; what an entry brings by the program's rules (a tier, a bonus)
    comes right behind it; points that are booked after their own expiry expire visibly, and a debt is paid from what came. What a
    milestone brings comes last, judged on the points that are really there: before the operation, and after all it did.
    """
    before = current(head, now, program)
    decided = decide(before)
    plan = decided if isinstance(decided, Plan) else Plan((decided,))
    state, entries = before.state, before.entries
    for each in plan.entries:
        own = key if each is plan.entries[0] else None
        state, added = booked(state, replace(each, key=each.key or own), program, at=max(now, state.at))
        entries += added
    last, passages = accounts.advance(state, state.at, program.zone)
    entries += passed(state, passages)
    kinds = [each.kind for each in plan.entries if each.kind is not EntryKind.REFUSED]
    # A recorded no brings nothing; what time had done before it may.
    is_no = bool(plan.entries) and not kinds and not before.entries
    if plan.judges and not is_no:
        stood_at = moments.stood_at(program.moments, before.state)
        last, more = _milestones(last, kinds[0] if kinds else EntryKind.BONUS, program, stood_at=stood_at)
        entries += more
    record = Record(head.account, head.seq + 1, entries, last, prior=head.hash)
    due = plan.due | consequences.due(head.state, before.state, last, program)
    return Booking(record, len(before.entries), due, plan)


def opening(account: str, entry: Entry, program: Program, *, now: datetime) -> Booking:
    """The first record of an account, with the entry of its enrollment in it."""
    nothing = State(at=now)
    state, entries = booked(nothing, entry, program, at=now)
    state, more = _milestones(state, entry.kind, program)
    entries += more
    return Booking(
        Record(account, 1, entries, state), 0, consequences.due(nothing, nothing, state, program), Plan((entry,))
    )


def booked(state: State, entry: Entry, program: Program, *, at: datetime) -> tuple[State, tuple[Entry, ...]]:
    """The state after an entry and all it brings, and their entries: what a bonus brings comes before the next one."""
    entry = consequences.known(state, replace(entry, at=at), program, at=at)
    state = apply(state, entry, at=at, zone=program.zone)
    entries: tuple[Entry, ...] = (replace(entry, balance_after=state.balance),)
    if state.status is not Status.ACTIVE or entry.kind is EntryKind.REFUSED:
        return state, entries
    better = consequences.rise(state, entry, program, at=at)
    if better is not None:
        state, more = booked(state, better, program, at=at)
        entries += more
    for moment in program.moments:
        mark = moments.brought(moment, state, entry)
        if mark:
            bonus = consequences.bonus(state, entry, moment, mark, program, at=at)
            state, more = booked(state, bonus, program, at=at)
            entries += more
    return state, entries


def _milestones(
    state: State, kind: EntryKind, program: Program, *, stood_at: Sequence[Moment] = ()
) -> tuple[State, tuple[Entry, ...]]:
    """The state after the milestones that an account has reached, and their entries. `stood_at` are those that were reached
    before an operation took points away again. What one brings may reach the next.

    Their points live as long as those that an entry of `kind` earns today.
    """
    more: tuple[Entry, ...] = ()
    if state.status is not Status.ACTIVE:
        return state, more
    brought_by = Entry(kind, state.at, (), 0)
    for _ in program.moments:
        due = [*stood_at, *moments.stood_at(program.moments, state)]
        due = [moment for moment in due if not state.marks.get(moments.mark_of(moment), 0)]
        if not due:
            break
        bonus = consequences.bonus(state, brought_by, due[0], 1, program, at=state.at)
        state, added = booked(state, bonus, program, at=state.at)
        more += added
        # A debt is paid from this as well.
        after, passages = accounts.advance(state, state.at, program.zone)
        more += passed(state, passages)
        state = after
    return state, more


def apply(state: State, entry: Entry, *, at: datetime, zone: ZoneInfo) -> State:
    """The state after an entry that is booked at `at`, whatever its cause. Asserts that its lines are possible."""
    after = accounts.fold(state, entry.lines, at=at, lapses_at=entry.lapses_at, rolls=entry.rolls)
    if entry.qualifies:
        after = replace(after, qualifying=tiers.counted(after.qualifying, entry.qualifies))
    if entry.marks:
        marks = {**after.marks, **dict(entry.marks)}
        after = replace(after, marks={name: value for name, value in sorted(marks.items()) if value})
    match entry.kind:
        case EntryKind.TIER:
            return replace(after, standing=entry.standing)
        case EntryKind.BLOCK:
            return replace(after, status=Status.BLOCKED)
        case EntryKind.UNBLOCK | EntryKind.REOPENING:
            return replace(after, status=Status.ACTIVE)
        case EntryKind.CLOSURE:
            return replace(after, status=Status.CLOSED, standing=None)
        case EntryKind.MERGED:
            return replace(after, status=Status.MERGED)
        case EntryKind.MERGE if entry.peer:
            standing = entry.standing or after.standing
            return replace(after, merged=(*after.merged, entry.peer[0]), standing=standing)
        case EntryKind.UNMERGE if entry.peer:
            return replace(after, merged=tuple(each for each in after.merged if each != entry.peer[0]))
        case EntryKind.TRANSFER_OUT:
            today = days.day_of(at, zone)
            day, sent = after.sent
            return replace(after, sent=(today, (sent if day == today else 0) - entry.points))
    return after


def current(head: Record, now: datetime, program: Program) -> Record:
    """The record as a reader must see it at `now`: what time has done since is there, though nobody has booked it yet.

    Its extra entries are the ones the next append will book, under the sequence it will have.
    """
    state, passages = accounts.advance(head.state, now, program.zone)
    entries = passed(head.state, passages)
    ladder, standing = program.ladder, head.state.standing
    # A merged account stands still: its log ends with the merge.
    if ladder is not None and standing is not None and head.state.status is not Status.MERGED:
        reviews = tiers.reviewed(ladder, head.state, now, program.zone)
        if reviews:
            entries = _in_time(entries, reviews, head.state.balance)
            state = replace(state, standing=reviews[-1].standing, at=entries[-1].at)
    return Record(head.account, head.seq + 1, entries, state, prior=head.hash)


def _in_time(entries: tuple[Entry, ...], reviews: Iterable[Entry], balance: int) -> tuple[Entry, ...]:
    """Reviews of a tier among what else time did. At one instant points go first."""
    merged: list[Entry] = []
    for entry in sorted((*entries, *reviews), key=lambda each: each.at):
        if entry.kind is not EntryKind.TIER:
            balance = entry.balance_after
        merged.append(replace(entry, balance_after=balance))
    return tuple(merged)


def passed(state: State, passages: Iterable[accounts.Passage]) -> tuple[Entry, ...]:
    """Passages of time as entries, each with the balance after it."""
    entries = []
    for passage in passages:
        state = accounts.fold(state, passage.lines, at=passage.at)
        moved = sum(line.points for line in passage.lines if not (line.matures or line.hold or line.expires == DEBT))
        explanation = Explanation(passage.kind.lower(), moved)
        entries.append(
            Entry(
                kind=EntryKind(passage.kind),
                at=passage.at,
                lines=passage.lines,
                balance_after=state.balance,
                explanation=(explanation,),
            )
        )
    return tuple(entries)
