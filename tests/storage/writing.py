"""What the tests of the contract write: small accounts, claims and returns, and the proof that nothing was written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from domain.accounts import Line, State
from domain.entries import Claim, End, Entry, EntryKind, Key, PurchaseReturn, Record
from domain.members import Lookup, Profile
from domain.refusals import InsufficientPoints
from domain.store import Store
from storage.memory import Memory
from tests.domain.world import day
from tests.storage.tables import NOW, Tables, all_of

DAY = day("2090-02-01")
MAIL = Lookup("email", "ada@example.org")
CARD = Lookup("card", "C-1")
PHONE = Lookup("phone", "+15551234567")
PROFILE = Profile(NOW, name="Ada", email="ada@example.org", card_number="C-1")
NO = InsufficientPoints("5 points are needed — 0 are available.", field=("input", "lines", "0"))


def key(value: str) -> Key:
    return Key("till", value)


def claim(value: str, *, account: str = "A", seq: int = 0) -> Claim:
    return Claim(key(value), account, seq, value.encode().ljust(16, b"."), NOW)


def record(seq: int, *, account: str = "A", value: str | None = None, points: int = 5, prior: bytes = b"") -> Record:
    entry = Entry(
        EntryKind.PURCHASE if seq > 1 else EntryKind.ENROLLMENT,
        NOW + timedelta(seconds=seq),
        (Line(DAY + seq, points),) if seq > 1 else (),
        seq * points,
        key=key(value if value is not None else f"{account}{seq}"),
    )
    state = State(entry.at, {DAY + seq: points} if seq > 1 else {})
    return Record(account, seq, (entry,), state, prior=prior)


def following(store: Store, account: str = "A", *, value: str | None = None) -> Record:
    """The record that comes next on an account."""
    head = store.head(account, strong=True)
    assert head is not None
    return record(head.seq + 1, account=account, value=value, prior=head.hash)


def came_back(return_id: str, *, purchase: str = "1", **more: object) -> PurchaseReturn:
    booked = PurchaseReturn(key(purchase), return_id, return_id.encode().ljust(16, b"."), NOW, {0: 1})
    return replace(booked, **more)  # type: ignore[arg-type]


def ended(seq: int = 2, index: int = 0, *, account: str = "A", by: str = "cancel") -> End:
    return End(account, seq, index, EntryKind.CANCELLATION, key(by), NOW)


def enroll(store: Store, account: str = "A", *lookups: Lookup, profile: Profile = PROFILE) -> None:
    store.enroll(claim(f"{account}1", account=account), record(1, account=account), profile, lookups)


def grow(store: Store, account: str, *, to: int) -> None:
    """An account with records 1 to `to`."""
    enroll(store, account)
    for _ in range(2, to + 1):
        store.append(following(store, account))


@contextmanager
def writes_nothing(place: Memory | Tables) -> Iterator[None]:
    before = all_of(place), [] if isinstance(place, Memory) else place.contents()
    yield
    assert (all_of(place), [] if isinstance(place, Memory) else place.contents()) == before
