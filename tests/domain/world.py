"""The small world of these tests: one program, its callers, a till's baskets, and stores that behave badly.

Local times are written as the program's clock shows them: `at("2026-03-08 03:00")`. A day alone means its noon.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings

from domain import access, adjustments, days, members, programs, purchases, rewards
from domain.access import Actor, Role
from domain.ledger import (
    Basket,
    BasketLine,
    Claim,
    Home,
    Key,
    Money,
    Outcome,
    Record,
    Store,
)
from domain.members import Lookup, Profile
from domain.programs import Program
from domain.refusals import Refusal
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


def enroll(store: Store, name: str, now: datetime, *, actor: Actor = TILL, **contacts: Any) -> str:
    """Enrolls `name` under that external id, as the account of that name in capitals."""
    profile = Profile(enrolled_at=now, external_id=name, **contacts)
    return members.enroll(
        store, actor=actor, idempotency_key=f"enroll-{name}", profile=profile, account=name.upper(), now=now
    ).account


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
) -> Outcome:
    return adjustments.adjust(
        store,
        program,
        actor=MANAGER,
        idempotency_key=key,
        member=external(name),
        points=points,
        reason=reason,
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


def contents(store: Memory) -> Contents:
    return Contents(
        dict(store._claims),
        {account: tuple(log) for account, log in store._logs.items()},
        dict(store._profiles),
        dict(store._lookups),
        frozenset(store.due),
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

    A final refusal leaves its claim behind, when it is given for the first time, and nothing else.
    """
    before = contents(store)
    with pytest.raises(Refusal) as caught:
        yield caught
    assert (type(caught.value), caught.value.field, caught.value.replayed) == (refusal, field, replayed)
    after = contents(store)
    new = {key: claim for key, claim in after.claims.items() if key not in before.claims}
    assert [claim.refusal for claim in new.values()] == ([caught.value] if refusal.final and not replayed else [])
    known = {key: claim for key, claim in after.claims.items() if key not in new}
    assert replace(after, claims=known) == before


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
    """Runs what stands in `before_append` and `before_refuse` once each, between somebody's read and their write."""

    def __init__(self) -> None:
        super().__init__()
        self.before_append: list[Callable[[], object]] = []
        self.before_refuse: list[Callable[[], object]] = []
        self.pauses = 0

    def append(self, claim: Claim, record: Record, *, due: Iterable[int] = ()) -> None:
        while self.before_append:
            self.before_append.pop(0)()
        super().append(claim, record, due=due)

    def refuse(self, claim: Claim) -> None:
        while self.before_refuse:
            self.before_refuse.pop(0)()
        super().refuse(claim)

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
