"""The snapshot log and the one way to write to it.

Each `Record` is one immutable item of an account's log: the entries written together and the whole account state after them.
The newest record *is* the account. `commit` reads the head, lets a pure decision judge the account as time has made it, and
appends; the sequence number is the optimistic lock, the caller's key the memory (`Claim`).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

from domain import accounts, days, limits
from domain.accounts import Line, State
from domain.refusals import IdempotencyKeyReused, MemberNotFound, OutcomeUnknown, Refusal

if TYPE_CHECKING:
    from domain.members import Lookup, Profile


class EntryKind(Enum):
    """What caused an entry."""

    ENROLLMENT = "ENROLLMENT"
    PURCHASE = "PURCHASE"
    REDEMPTION = "REDEMPTION"
    ADJUSTMENT = "ADJUSTMENT"
    MATURITY = accounts.MATURED
    EXPIRY = accounts.EXPIRED


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's idempotency key within its source; one key moves points in at most one entry, program-wide.

    Purchases use the caller's `source` name and the purchase's external id. Other operations use the caller itself as the
    source, marked so that it can never equal a purchase's (see `caller_key`).
    """

    source: str
    value: str

    def __str__(self) -> str:
        return f"{self.source}:{self.value}"


@dataclass(frozen=True, slots=True)
class Money:
    """Minor units (cents) of an ISO 4217 currency."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rule` gave (or took) `points`; `basis` is the amount in minor units it looked at, where it looked at money."""

    rule: str
    points: int
    basis: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One immutable line of the ledger. `balance_after` is the spendable balance when it was booked at `at`.

    `occurred_at` is when its cause happened, where that differs from `at`. `reward` is id and version of the reward
    redeemed, `code` the redemption's code, `reason` the reason code of an adjustment, `terms` the terms version that judged.
    """

    kind: EntryKind
    at: datetime
    lines: tuple[Line, ...]
    balance_after: int
    explanation: tuple[Explanation, ...] = ()
    key: Key | None = None
    actor: str | None = None
    occurred_at: datetime | None = None
    total: Money | None = None
    location: str | None = None
    channel: str | None = None
    reward: tuple[str, int] | None = None
    code: str | None = None
    reason: str | None = None
    terms: int | None = None

    @property
    def points(self) -> int:
        """The change in points, pending ones included; 0 for a maturity, which only makes points available."""
        return sum(line.points for line in self.lines)


@dataclass(frozen=True, slots=True)
class Record:
    """The entries written together at sequence `seq` of an account, oldest first, and the state after the last."""

    account: str
    seq: int
    entries: tuple[Entry, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Basket:
    """What a purchase's claim keeps for ever: the facts that somebody may ask for later."""

    occurred_at: datetime
    total: Money
    location: str | None
    channel: str | None
    lines: tuple["BasketLine", ...]


@dataclass(frozen=True, slots=True)
class BasketLine:
    """One line of a receipt. `quantity` is in the unit the till counts in; `amount_minor` is the line's total."""

    sku: str | None
    category: str | None
    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The memory of a key: whose it is, what was asked (`fingerprint`), and the refusal if the answer was no.

    `seq_seen` is the account's sequence that was read before the claim was written: an entry with this key can only stand
    after it. `expires_at` is when the claim may be forgotten; purchases are never forgotten.
    """

    key: Key
    account: str
    seq_seen: int
    fingerprint: bytes
    at: datetime
    basket: Basket | None = None
    refusal: Refusal | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where an operation stands in the log. `replayed` when an earlier call with the same key had already written it."""

    record: Record
    index: int
    replayed: bool

    @property
    def entry(self) -> Entry:
        """The entry of the operation itself, among those written with it."""
        return self.record.entries[self.index]


class ClaimTaken(Exception):
    """The key has a claim already. Nothing was written."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(str(claim.key))
        self.claim = claim


class Contended(Exception):
    """Another writer was first, or the store was too busy. Nothing was written; reading again and retrying is safe."""


class LookupTaken(Exception):
    """A contact, card, external id or login already belongs to an account. Nothing was written."""

    def __init__(self, lookup: "Lookup") -> None:
        super().__init__(lookup.kind)
        self.lookup = lookup


class Store(Protocol):
    """What the program needs of a store. Reads may be stale unless they say *strong*; every write is all or nothing.

    Any method may refuse `OutcomeUnknown`: the store gave no answer, and a write may have happened.
    """

    def find_account(self, lookup: "Lookup", *, strong: bool = False) -> str | None:
        """The account a look-up value belongs to."""

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        """The newest record."""

    def home(self, account: str, *, entries: int, strong: bool = False) -> "Home | None":
        """Profile and at least the newest record, with up to `entries` + 1 newest records, in one read."""

    def records_before(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        """Up to `limit` records at or before `seq`, newest first."""

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        """Up to `limit` records after `seq`, oldest first; strong."""

    def claim(self, key: Key) -> Claim | None:
        """The claim of a key; strong."""

    def append(self, claim: Claim, record: Record, *, due: Iterable[int] = ()) -> None:
        """Writes claim, record, and a note that something happens to the account on each day of `due`.

        Raises `ClaimTaken` or `Contended`.
        """

    def refuse(self, claim: Claim) -> None:
        """Writes a claim that carries its refusal. Raises `ClaimTaken` or `Contended`."""

    def enroll(self, claim: Claim, record: Record, profile: "Profile", lookups: Sequence["Lookup"]) -> None:
        """Writes a new member whole. Raises `ClaimTaken`, `LookupTaken` or `Contended`."""

    def digest(self, text: bytes) -> bytes:
        """A hash of `text` from which nobody can guess their way back: inputs name members by their contacts."""

    def pause(self, attempt: int) -> None:
        """Waits a random moment that grows with `attempt`, so that contending writers spread out.

        Refuses `OutcomeUnknown` when the request has no time left for another attempt.
        """


@dataclass(frozen=True, slots=True)
class Home:
    """What an app's first screen needs: who the member is and the newest records, newest first (at least the head)."""

    profile: "Profile | None"
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One caller-keyed request to move points on `account`, with what its claim must remember."""

    key: Key
    account: str
    fingerprint: bytes
    basket: Basket | None = None
    retention: timedelta | None = limits.CLAIM_RETENTION


# Judges the account as it is now: the entry to book, its `at` and `balance_after` still to be filled in, or a `Refusal`.
Decision = Callable[[State], Entry]


def fingerprint(store: Store, operation: str, *facts: object) -> bytes:
    """16 bytes that tell two inputs of `operation` apart. `facts` are the input as sent, in a fixed order."""
    canonical = json.dumps([operation, *facts], separators=(",", ":"), default=str)
    return store.digest(canonical.encode())[:16]


def caller_key(actor_id: str, value: str) -> Key:
    """The key of an operation that is not a purchase: it belongs to its caller. `~` cannot stand in a purchase's source."""
    # A subject may hold any character; escaped, it cannot be mistaken for the colon that ends a source.
    return Key(f"~{quote(actor_id, safe='')}", value)


def commit(store: Store, operation: Operation, decide: Decision, *, now: datetime, zone: ZoneInfo) -> Outcome:
    """Books what `decide` says exactly once for the operation's key, or replays what was booked for it before.

    Refuses whatever `decide` refuses (a final refusal is recorded for the key), `IdempotencyKeyReused`, and
    `OutcomeUnknown` when other writers won every attempt.
    """
    # The first read may be stale: a stale head only loses the append. A refusal is never judged on one.
    strong = False
    for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
        head = known_head(store, operation.account, strong=strong)
        try:
            record, index = book(head, operation.key, decide, now=now, zone=zone)
        except Refusal as refusal:
            if not strong:
                strong = True
                continue
            return _refused(store, operation, refusal, seq=head.seq, at=now)
        due = sorted(_days_of(record.state) - _days_of(head.state))
        try:
            store.append(_claim(operation, seq=head.seq, at=now), record, due=due)
        except ClaimTaken as taken:
            return replay(store, taken.claim, operation)
        except Contended:
            strong = True
            store.pause(attempt)
            continue
        return Outcome(record, index, replayed=False)
    raise OutcomeUnknown("The account is too busy; whether this happened is unknown. Retry with the same key.")


def known_head(store: Store, account: str, *, strong: bool = False) -> Record:
    """The head of an account the caller named. Refuses `MemberNotFound` when nobody has it.

    A strong look follows where the cheap one found nothing: somebody who joined a moment ago is a member.
    """
    head = store.head(account, strong=strong) or (None if strong else store.head(account, strong=True))
    if head is None:
        raise MemberNotFound("No member has this account.", field=("input", "member"))
    return head


def book(head: Record, key: Key | None, decide: Decision, *, now: datetime, zone: ZoneInfo) -> tuple[Record, int]:
    """The record that follows `head`, and the index of the decided entry in it. Pure.

    What time has done by itself comes first, as entries of its own; points that are booked after their own expiry expire
    visibly behind the entry that brought them.
    """
    state, passages = accounts.advance(head.state, now, zone)
    decided = decide(state)
    at = max(now, state.at)
    state_after = accounts.fold(state, decided.lines, at=at)
    entry = replace(decided, at=at, key=key, balance_after=state_after.balance)
    entries = (*passed(head.state, passages), entry)
    state_last, passages_last = accounts.advance(state_after, at, zone)
    entries += passed(state_after, passages_last)
    return Record(head.account, head.seq + 1, entries, state_last), len(passages)


def current(head: Record, now: datetime, zone: ZoneInfo) -> Record:
    """The record as a reader must see it at `now`: what time has done since is there, though nobody has booked it yet.

    Its extra entries are the ones the next append will book, under the sequence it will have.
    """
    state, passages = accounts.advance(head.state, now, zone)
    return Record(head.account, head.seq + 1, passed(head.state, passages), state)


def passed(state: State, passages: Iterable[accounts.Passage]) -> tuple[Entry, ...]:
    """Passages of time as entries, each with the balance after it."""
    entries = []
    for passage in passages:
        state = accounts.fold(state, passage.lines, at=passage.at)
        explanation = Explanation(passage.kind.lower(), sum(line.points for line in passage.lines if not line.matures))
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


def replay(store: Store, claim: Claim, operation: Operation) -> Outcome:
    """The answer that `claim`'s key was given: its outcome, or its refusal raised again.

    Refuses `IdempotencyKeyReused` when the key was used for another input or member.
    """
    if claim.fingerprint != operation.fingerprint or claim.account != operation.account:
        raise IdempotencyKeyReused(
            f"The key {operation.key.value!r} was used before with other input or for another member.",
            field=("input", "externalId" if operation.basket else "idempotencyKey"),
        )
    if claim.refusal is not None:
        raise claim.refusal.again()
    return find(store, claim)


def find(store: Store, claim: Claim) -> Outcome:
    """The outcome a claim without refusal stands for; asserts that the log holds it (both are written together)."""
    seq, page = claim.seq_seen, 1
    for _ in range(limits.RESUME_PAGES_MAX):
        records = store.records_after(claim.account, seq, limit=page)
        for record in records:
            for index, entry in enumerate(record.entries):
                if entry.key == claim.key:
                    return Outcome(record, index, replayed=True)
        if len(records) < page:
            break
        # Nearly always the first record after the claim is it; only where others came in between is there more to read.
        seq, page = records[-1].seq, limits.RESUME_PAGE
    raise AssertionError(f"claim {claim.key} of {claim.account} has no entry after {claim.seq_seen}")


def refuse_unless_replayed(store: Store, operation: Operation, refusal: Refusal) -> Outcome:
    """Raises `refusal`, unless the key already has an answer: what depends on the clock must not change an old answer."""
    claim = store.claim(operation.key)
    if claim is None:
        raise refusal
    return replay(store, claim, operation)


def _refused(store: Store, operation: Operation, refusal: Refusal, *, seq: int, at: datetime) -> Outcome:
    if not refusal.final:
        return refuse_unless_replayed(store, operation, refusal)
    try:
        store.refuse(replace(_claim(operation, seq=seq, at=at), refusal=refusal))
    except ClaimTaken as taken:
        return replay(store, taken.claim, operation)
    except Contended as busy:
        raise OutcomeUnknown("The refusal could not be recorded; retry with the same key.") from busy
    raise refusal


def _claim(operation: Operation, *, seq: int, at: datetime) -> Claim:
    expires_at = at + operation.retention if operation.retention else None
    return Claim(
        key=operation.key,
        account=operation.account,
        seq_seen=seq,
        fingerprint=operation.fingerprint,
        at=at,
        basket=operation.basket,
        expires_at=expires_at,
    )


def _days_of(state: State) -> set[int]:
    """The days on which something happens to the account: a bucket expires, a pending one matures."""
    dated = {day for day in state.buckets if day < days.NEVER}
    return dated | {matures for matures, _ in state.pending} | {e for _, e in state.pending if e < days.NEVER}
