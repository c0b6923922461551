"""The small world of these tests: one program, its callers, a till's baskets, and stores that behave badly.

Local times are written as the program's clock shows them: `at("2026-03-08 03:00")`. A day alone means its noon.
"""

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings

from domain import (
    access,
    accounts,
    adjustments,
    days,
    holds,
    ledger,
    members,
    merges,
    profiles,
    programs,
    promotions,
    purchases,
    returns,
    rewards,
    standing,
    transfers,
    visits,
)
from domain.access import Actor, Role
from domain.accounts import State
from domain.entries import (
    Basket,
    BasketLine,
    Claim,
    End,
    Entry,
    EntryKind,
    Explanation,
    Key,
    Money,
    Note,
    PurchaseReturn,
    Record,
    caller_key,
)
from domain.ledger import Outcome
from domain.members import Lookup, Profile
from domain.notes import Draft
from domain.notices import Consent, Notice
from domain.profiles import Changes
from domain.programs import Program, Terms
from domain.refusals import OutcomeUnknown, Refusal
from domain.returns import Part, Returned
from domain.store import NOTHING, Beside, Home, Store
from storage.memory import Memory

# How many times as long to search for counterexamples as usual. At 1 the examples are the same in every run; above, they
# are new in every run, and what fails prints how to run it again.
SOAK = int(os.environ.get("REGULARS_SOAK", "1"))


def search(examples: int, **more: Any) -> settings:
    """How long Hypothesis looks for a counterexample."""
    return settings(
        max_examples=examples * SOAK, derandomize=SOAK == 1, database=None, deadline=None, print_blob=True, **more
    )


# --- the program and its callers --------------------------------------------------------------------------------------

DOCUMENT: Mapping[str, Any] = {
    "name": "Bluebird Coffee",
    "timezone": "America/New_York",
    "currencies": {"USD": 100, "JPY": 1, "KWD": 1_000},
    "locations": [{"id": "harbor", "name": "Bluebird Harbor"}],
    "earning": {"id": "base", "points": 1},
    "expiry": {"months": 24, "days": 0, "rounding": "month"},
    "pending": {"days": 0},
    "rewards": [
        {"id": "cookie", "name": "A cookie", "cost": 15},
        {"id": "latte", "name": "A latte", "cost": 40, "description": "Any milk."},
    ],
}
PROGRAM = programs.parse(DOCUMENT, version=1)
ZONE = PROGRAM.zone

ISSUER = "https://issuer.example"
TILL = access.actor(Role.PARTNER, issuer=ISSUER, subject="till-1", scopes=access.SCOPE_GRANTS)
MANAGER = access.actor(Role.MANAGER, issuer=ISSUER, subject="grace")
ADA = access.actor(Role.MEMBER, issuer=ISSUER, subject="ada-login")
BOB = access.actor(Role.MEMBER, issuer=ISSUER, subject="bob-login")


def program(**changes: Any) -> Program:
    """The program with other settings."""
    return programs.parse({**DOCUMENT, **changes}, version=1)


def at(text: str, zone: ZoneInfo = ZONE) -> datetime:
    """The instant at which a clock in `zone` shows `text`."""
    local = datetime.fromisoformat(text if " " in text else f"{text} 12:00")
    return local.replace(tzinfo=zone).astimezone(UTC)


def day(text: str) -> int:
    """The day number of a date."""
    return days.day_number(date.fromisoformat(text))


def basket(
    amount_minor: int,
    occurred_at: datetime,
    *,
    currency: str = "USD",
    location: str | None = "harbor",
    channel: str | None = "store",
    lines: Sequence[BasketLine] = (),
) -> Basket:
    """What a till read off a receipt."""
    return Basket(occurred_at, Money(amount_minor, currency), location, channel, tuple(lines))


# --- one call, with everything that does not matter filled in ---------------------------------------------------------


def external(name: str) -> Lookup:
    return Lookup("external", name)


def enroll(
    store: Store, name: str, now: datetime, /, *, actor: Actor = TILL, program: Program = PROGRAM, **contacts: Any
) -> str:
    """Enrolls `name` under that external id, as the account of that name in capitals."""
    profile = Profile(enrolled_at=now, external_id=name, **contacts)
    return members.enroll(
        store, program, actor=actor, idempotency_key=f"enroll-{name}", profile=profile, account=name.upper(), now=now
    ).account


def tick(store: Store, account: str, *, now: datetime, program: Program = PROGRAM) -> Record | None:
    """A job comes by the account and books what time has done: the record it wrote, None when there was nothing to book."""
    before = head_of(store, account)
    visits.visit(store, program, account, now=now, telling=False)
    after = head_of(store, account)
    return after if after.seq > before.seq else None


def buy(
    store: Store,
    name: str,
    amount_minor: int,
    now: datetime,
    *,
    receipt: str,
    program: Program = PROGRAM,
    occurred_at: datetime | None = None,
    **more: Any,
) -> Outcome:
    return purchases.record(
        store,
        program,
        actor=TILL,
        source="till",
        external_id=receipt,
        member=external(name),
        basket=basket(amount_minor, now if occurred_at is None else occurred_at, **more),
        now=now,
    ).outcome


def give_back(
    store: Store,
    receipt: str,
    now: datetime,
    *,
    key: str,
    lines: Sequence[tuple[int, int]] | None = None,
    amount: int | None = None,
    currency: str = "USD",
    program: Program = PROGRAM,
    terms: Terms = PROGRAM.terms,
    member: str | None = None,
    **more: Any,
) -> Returned:
    """A return of lines (number and quantity), of an amount, or of all that is left; `terms` are those of another version."""
    part = None if lines is None and amount is None else Part(lines or ())
    if amount is not None:
        part = Part(amount=Money(amount, currency))
    return returns.record(
        store,
        program,
        lambda _version: terms,
        actor=TILL,
        source="till",
        external_id=receipt,
        return_id=key,
        part=part,
        member=None if member is None else external(member),
        now=now,
        **more,
    )


def redeem(
    store: Store,
    name: str,
    reward_id: str,
    now: datetime,
    *,
    key: str,
    program: Program = PROGRAM,
    actor: Actor = TILL,
    code: str = "CODE",
) -> Outcome:
    return rewards.redeem(
        store,
        program,
        actor=actor,
        idempotency_key=key,
        member=external(name) if actor.role is not Role.MEMBER else None,
        reward_id=reward_id,
        code=code,
        now=now,
    )


def adjust(
    store: Store,
    name: str,
    points: int,
    now: datetime,
    *,
    key: str,
    program: Program = PROGRAM,
    reason: str = "GOODWILL",
    note: str | None = None,
) -> Outcome:
    return adjustments.adjust(
        store,
        program,
        actor=MANAGER,
        idempotency_key=key,
        member=external(name),
        points=points,
        reason=reason,
        note=draft(note),
        now=now,
    )


def draft(text: str | None, salt: bytes = b"sixteen of salt.") -> Draft | None:
    """A note as it comes in."""
    return None if text is None else Draft(text, salt)


def update(
    store: Store,
    name: str,
    now: datetime,
    /,
    *,
    key: str,
    actor: Actor = MANAGER,
    reason: str | None = None,
    program: Program = PROGRAM,
    consents: Mapping[Consent, bool | None] | None = None,
    add_tags: Collection[str] = (),
    remove_tags: Collection[str] = (),
    **changes: Any,
) -> Outcome:
    """Changes the profile of `name`; members change their own."""
    added = members.tags(add_tags, field=("input", "addTags"))
    removed = members.tags(remove_tags, field=("input", "removeTags"))
    texts = {field: value for field, value in changes.items() if field != "birthday"}
    return profiles.update(
        store,
        program,
        actor=actor,
        idempotency_key=key,
        member=external(name) if actor.role is not Role.MEMBER else None,
        changes=Changes(texts, changes.get("birthday"), "birthday" in changes, consents or {}, added, removed),
        reason=reason,
        now=now,
    )


def block(
    store: Store,
    name: str,
    now: datetime,
    *,
    key: str,
    reason: str = "SUSPICION",
    note: str | None = None,
    program: Program = PROGRAM,
) -> Outcome:
    return standing.block(
        store,
        program,
        actor=MANAGER,
        idempotency_key=key,
        member=external(name),
        reason=reason,
        note=draft(note),
        now=now,
    )


def unblock(
    store: Store,
    name: str,
    now: datetime,
    *,
    key: str,
    reason: str = "CLEARED",
    note: str | None = None,
    program: Program = PROGRAM,
) -> Outcome:
    return standing.unblock(
        store,
        program,
        actor=MANAGER,
        idempotency_key=key,
        member=external(name),
        reason=reason,
        note=draft(note),
        now=now,
    )


def close(
    store: Store,
    name: str,
    now: datetime,
    *,
    key: str,
    actor: Actor = MANAGER,
    member: Lookup | None = None,
    reason: str = "LEFT",
    note: str | None = None,
    program: Program = PROGRAM,
) -> Outcome:
    """Ends the membership of `name`, or of `member`; members end their own."""
    return standing.close(
        store,
        program,
        actor=actor,
        idempotency_key=key,
        member=member or (external(name) if actor.role is not Role.MEMBER else None),
        reason=reason,
        note=draft(note),
        now=now,
    )


def set_tier(
    store: Store,
    name: str,
    tier: str,
    now: datetime,
    *,
    key: str,
    program: Program,
    until: str | None = None,
    member: Lookup | None = None,
    reason: str = "GOODWILL",
    note: str | None = None,
) -> Outcome:
    """Gives a tier to `name`, or to `member`, through a date or for ever."""
    return promotions.set_tier(
        store,
        program,
        actor=MANAGER,
        idempotency_key=key,
        member=member or external(name),
        tier=tier,
        until=None if until is None else date.fromisoformat(until),
        reason=reason,
        note=draft(note),
        now=now,
    )


def hold(
    store: Store,
    name: str,
    points: int,
    now: datetime,
    *,
    key: str,
    ttl_seconds: int | None = None,
    program: Program = PROGRAM,
    actor: Actor = TILL,
) -> Outcome:
    return holds.hold(
        store,
        program,
        actor=actor,
        idempotency_key=key,
        member=external(name),
        points=points,
        ttl_seconds=ttl_seconds,
        now=now,
    )


def capture(
    store: Store,
    held: Outcome,
    now: datetime,
    *,
    key: str,
    points: int | None = None,
    program: Program = PROGRAM,
    actor: Actor = TILL,
) -> Outcome:
    """Captures the hold that `held` made."""
    return holds.capture(
        store,
        program,
        actor=actor,
        idempotency_key=key,
        account=held.record.account,
        number=held.record.seq,
        points=points,
        now=now,
    )


def release(
    store: Store, held: Outcome, now: datetime, *, key: str, program: Program = PROGRAM, actor: Actor = TILL
) -> Outcome:
    """Releases the hold that `held` made."""
    return holds.release(
        store,
        program,
        actor=actor,
        idempotency_key=key,
        account=held.record.account,
        number=held.record.seq,
        now=now,
    )


def cancel(
    store: Store,
    redeemed: Outcome,
    now: datetime,
    *,
    key: str,
    program: Program = PROGRAM,
    actor: Actor = TILL,
    reason: str | None = None,
) -> Outcome:
    """Cancels the redemption that `redeemed` made."""
    return rewards.cancel(
        store,
        program,
        actor=actor,
        idempotency_key=key,
        account=redeemed.record.account,
        seq=redeemed.record.seq,
        index=redeemed.index,
        reason=reason,
        now=now,
    ).outcome


def owe(store: Store, name: str, points: int, now: datetime, *, key: str) -> Outcome:
    """Takes `points` as a return of spent points does: what is there, and the rest becomes a debt."""
    operation = ledger.Operation(caller_key("test", key), name.upper(), key.encode())

    def decide(before: Record) -> Entry:
        taken = min(points, before.state.balance)
        lines = accounts.spend(before.state, taken) if taken else ()
        owed = (accounts.Line(accounts.DEBT, taken - points),) if taken < points else ()
        told = (Explanation("return", -points),)
        return Entry(EntryKind.RETURN, now, (*lines, *owed), 0, told)

    return ledger.commit(store, operation, decide, now=now, program=PROGRAM)


def give(
    store: Store,
    giver: str,
    receiver: str,
    points: int,
    now: datetime,
    *,
    key: str,
    program: Program = PROGRAM,
    actor: Actor = MANAGER,
) -> Outcome:
    """A gift; members give what is theirs, whoever `giver` says they are."""
    return transfers.transfer(
        store,
        program,
        actor=actor,
        idempotency_key=key,
        giver=external(giver) if actor.role is not Role.MEMBER else None,
        receiver=external(receiver),
        points=points,
        now=now,
    )


def merge(
    store: Store,
    duplicate: str,
    survivor: str,
    now: datetime,
    *,
    key: str,
    program: Program = PROGRAM,
    reason: str = "SAME_PERSON",
    note: Draft | None = None,
) -> Outcome:
    """`duplicate` becomes a part of `survivor`."""
    return merges.merge(
        store,
        program,
        actor=MANAGER,
        idempotency_key=key,
        duplicate=external(duplicate),
        survivor=external(survivor),
        reason=reason,
        note=note,
        now=now,
    )


def unmerge(
    store: Store,
    duplicate: str,
    now: datetime,
    *,
    key: str,
    program: Program = PROGRAM,
    reason: str = "OTHER_PERSON",
    note: Draft | None = None,
) -> Outcome:
    """`duplicate` is an account of its own again."""
    return merges.unmerge(
        store,
        program,
        actor=MANAGER,
        idempotency_key=key,
        duplicate=external(duplicate),
        reason=reason,
        note=note,
        now=now,
    )


def head_of(store: Store, account: str) -> Record:
    found = store.head(account, strong=True)
    assert found is not None
    return found


# --- nothing changed --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contents:
    """All that a store in memory holds."""

    claims: Mapping[Key, Claim]
    logs: Mapping[str, tuple[Record, ...]]
    profiles: Mapping[str, Profile]
    lookups: Mapping[Lookup, str]
    due: frozenset[tuple[int, str]]
    returns: Mapping[tuple[Key, str], PurchaseReturn]
    ends: Mapping[tuple[str, int, int], End]
    notes: Mapping[tuple[str, bytes], Note]
    notices: Mapping[str, Mapping[tuple[int, str], Notice]]


def contents(store: Memory) -> Contents:
    return Contents(
        dict(store._claims),
        {account: tuple(log) for account, log in store._logs.items()},
        dict(store._profiles),
        dict(store._lookups),
        frozenset(store.due),
        dict(store._returns),
        dict(store._ends),
        dict(store._notes),
        {account: dict(given) for account, given in store._notices.items() if given},
    )


@contextmanager
def unchanged(store: Memory) -> Iterator[None]:
    """Nothing is written inside."""
    before = contents(store)
    yield
    assert contents(store) == before


@contextmanager
def refuses(
    store: Memory, refusal: type[Refusal], *field: str, replayed: bool = False
) -> Iterator[pytest.ExceptionInfo[Refusal]]:
    """The call inside is refused for the input at `field`, and the store holds what it held before.

    A final refusal leaves its claim behind, when it is given for the first time, and nothing else: with the refusal in it, or,
    where the key was claimed before the answer was no, with the refusal in a record that moves nothing. Where the outcome is
    unknown, a claim may be left that a retry goes on from.
    """
    before = contents(store)
    with pytest.raises(Refusal) as caught:
        yield caught
    assert (type(caught.value), caught.value.field, caught.value.replayed) == (refusal, field, replayed)
    after = contents(store)
    new = {key: claim for key, claim in after.claims.items() if key not in before.claims}
    known = {key: claim for key, claim in after.claims.items() if key not in new}
    noted: list[Refusal | None] = []
    logs = dict(after.logs)
    for account, log in after.logs.items():
        if len(log) > len(before.logs.get(account, ())) and log[-1].entries[-1].kind is EntryKind.REFUSED:
            (entry,) = log[-1].entries
            assert entry.lines == ()
            noted.append(entry.refusal)
            logs[account] = log[:-1]
            assert contents_of(log[-1].state) == contents_of(log[-2].state)
    noted += [claim.refusal for claim in new.values() if claim.refusal is not None]
    # A return that is refused is kept with its purchase, and has no claim of its own.
    returns = {key: each for key, each in after.returns.items() if key in before.returns or each.refusal is None}
    noted += [each.refusal for key, each in after.returns.items() if key not in returns]
    assert noted == ([caught.value] if refusal.final and not replayed else [])
    assert len(new) <= (refusal.final and not replayed) + (refusal is OutcomeUnknown)
    if refusal is OutcomeUnknown or logs != after.logs:
        # Days, and what staff had to say, may be noted for a record that was not written after all: that is harmless.
        assert after.due >= before.due
        assert after.notes.items() >= before.notes.items()
        after = replace(after, due=before.due, notes=before.notes)
    assert replace(after, claims=known, logs=logs, returns=returns) == before


def contents_of(state: State) -> State:
    """A state without the moment."""
    return replace(state, at=NEVER)


NEVER = datetime.max.replace(tzinfo=UTC)


# --- stores that behave badly, as a distributed one may ---------------------------------------------------------------


class Stale(Memory):
    """Every read that did not ask to be strong misses the newest write: the worst that the store's contract allows."""

    def find_account(self, lookup: Lookup, *, strong: bool = False) -> str | None:
        return super().find_account(lookup) if strong else None

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        newest = super().head(account)
        if strong or newest is None:
            return newest
        return self._logs[account][-2] if newest.seq > 1 else None

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        if strong:
            return super().home(account, entries=entries)
        older = tuple(self.records_before(account, 10**9, limit=entries + 1))
        return Home(None, older) if older else None

    def records_before(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        return self._logs.get(account, [])[:-1][:seq][::-1][:limit]


class Interrupted(Memory):
    """Runs what stands in `before_claim`, `before_append` and `after_append` once each, around somebody's write."""

    def __init__(self) -> None:
        super().__init__()
        self.before_claim: list[Callable[[], object]] = []
        self.before_append: list[Callable[[], object]] = []
        self.after_append: list[Callable[[], object]] = []
        self.pauses = 0

    def remember(self, claim: Claim) -> None:
        while self.before_claim:
            self.before_claim.pop(0)()
        super().remember(claim)

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        while self.before_append:
            self.before_append.pop(0)()
        super().append(record, beside)
        while self.after_append:
            self.after_append.pop(0)()

    def pause(self, attempt: int) -> None:
        self.pauses += 1


# --- many at once -----------------------------------------------------------------------------------------------------


def at_once(calls: Sequence[Callable[[], object]]) -> list[Any]:
    """Makes all calls at the same moment, each in a thread; their answers in order, refusals as values."""
    answers: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(index: int) -> None:
        start.wait()
        try:
            answers[index] = calls[index]()
        except Exception as error:
            answers[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
