"""Anything, in any order, with merges in between: whatever dies, lags, is sent again or cuts in, every key is answered once.

What is hunted here: a key that moves points twice, or on two accounts; a caller who hears two stories; a "no" that comes true
later; a point that is lost or made where accounts become one, become two again, or give to each other.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain import ledger
from domain.entries import Claim, Entry, EntryKind, Record
from domain.ledger import Outcome
from domain.members import Lookup
from domain.refusals import OutcomeUnknown, Refusal
from domain.store import NOTHING, Beside
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    PROGRAM,
    ZONE,
    adjust,
    at,
    buy,
    enroll,
    give,
    head_of,
    hold,
    merge,
    owe,
    program,
    redeem,
    search,
    tick,
    unmerge,
)

START = at("2026-01-10")
NAMES = ("ada", "bob", "cat")
# Points live for a week and some wait for two days, so that a story of a month sees all of it.
BRIEF = program(
    expiry={"days": 7, "rounding": "day"},
    windows={"merge_undo_days": 9},
    transfers={"points_max": 50, "points_per_day_max": 60},
)
WAITING = program(expiry={"days": 7, "rounding": "day"}, pending={"days": 2})


class Died(Exception):
    """The process that served the call is gone."""


class Shaky(Memory):
    """A store that is cut off, does not answer, lags, and lets others in between, as it was told to for the next writes."""

    def __init__(self) -> None:
        super().__init__()
        self.fates: list[str] = []
        self.lag = 0
        self.cut_in: Callable[[], None] = lambda: None

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        log = self._logs.get(account)
        return log[max(0, len(log) - 1 - (0 if strong else self.lag))] if log else None

    def find_account(self, lookup: Lookup, *, strong: bool = False) -> str | None:
        return super().find_account(lookup) if strong or not self.lag else None

    def remember(self, claim: Claim) -> None:
        self._written(lambda: super(Shaky, self).remember(claim))

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        self._written(lambda: super(Shaky, self).append(record, beside))

    def _written(self, write: Callable[[], None]) -> None:
        fate = self.fates.pop(0) if self.fates else "ok"
        if fate == "cut off":
            raise Died
        if fate == "cut in":
            self.cut_in()
        write()
        if fate == "unanswered":
            raise Died


@dataclass(frozen=True)
class Call:
    """One call as a caller sends it, again and again if need be."""

    verb: str
    who: str
    whom: str
    points: int


@dataclass(frozen=True)
class Step:
    """A call, or (where `again` is a number) an earlier one once more, with what happens to the writes that serve it."""

    call: Call
    again: int | None
    fates: tuple[str, ...]
    lag: int
    cutting_in: Call
    hours: int


@dataclass
class World:
    """What has happened, and what callers were told."""

    store: Shaky = field(default_factory=Shaky)
    now: datetime = START
    sent: list[tuple[Call, str, datetime]] = field(default_factory=list)
    told: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, name in enumerate(NAMES):
            enroll(self.store, name, self.now)
            buy(self.store, name, 2_000 * number, self.now, receipt=f"start {name}", program=BRIEF)

    def take(self, step: Step) -> None:
        self.now += timedelta(hours=step.hours)
        if step.again is not None and self.sent:
            call, key, first = self.sent[step.again % len(self.sent)]
        else:
            call, key, first = self._new(step.call)
        self.store.fates, self.store.lag = list(step.fates), step.lag
        self.store.cut_in = lambda: self._cut_in(step.cutting_in)
        try:
            self.send(call, key, first)
        finally:
            self.store.fates, self.store.lag = [], 0

    def _new(self, call: Call) -> tuple[Call, str, datetime]:
        self.sent.append((call, f"{len(self.sent)} {call.verb}", self.now))
        return self.sent[-1]

    def _cut_in(self, call: Call) -> None:
        fates, self.store.fates = self.store.fates, []
        self.send(*self._new(call))
        self.store.fates = fates

    def send(self, call: Call, key: str, first: datetime) -> None:
        """Whoever hears something has heard it for ever; whoever hears nothing may send it again."""
        is_alone = "cut in" not in self.store.fates
        living = ledger.known_head(self.store, call.who.upper(), strong=True).account
        try:
            outcome = self._outcome(call, key, first)
        except (Died, OutcomeUnknown):
            return
        except Refusal as refusal:
            answer: object = refusal
            if not refusal.final and not self._is_noted(key):
                # Nothing was decided for the key, and nothing may have been.
                assert key not in self.told
                return
        else:
            answer = (outcome.record.account, outcome.record.seq, outcome.index, outcome.entry)
            assert outcome.replayed or key not in self.told
            if is_alone and not outcome.replayed and call.verb != "merge":
                # However late a read comes, and wherever the key was claimed, nothing is booked on an account that was merged, or
                # that is somebody else's again.
                assert outcome.record.account == living
        assert self.told.setdefault(key, answer) == answer, f"{key}: two stories"

    def _outcome(self, call: Call, key: str, first: datetime) -> Outcome:
        store, now, who, whom, points = self.store, self.now, call.who, call.whom, call.points
        match call.verb:
            case "earn":
                return buy(store, who, points * 100, now, receipt=key, program=BRIEF, occurred_at=first)
            case "wait":
                return buy(store, who, points * 100, now, receipt=key, program=WAITING, occurred_at=first)
            case "redeem":
                return redeem(store, who, "cookie", now, key=key, program=BRIEF)
            case "adjust":
                return adjust(store, who, points - 30 or 1, now, key=key, program=BRIEF)
            case "owe":
                return owe(store, who, points, now, key=key)
            case "hold":
                return hold(store, who, points, now, key=key, ttl_seconds=7_200, program=BRIEF)
            case "give":
                return give(store, who, whom, points, now, key=key, program=BRIEF)
            case "merge":
                return merge(store, who, whom, now, key=key, program=BRIEF)
            case "unmerge":
                return unmerge(store, who, now, key=key, program=BRIEF)
        raise AssertionError(call.verb)

    def _is_noted(self, key: str) -> bool:
        return any(entry.kind is EntryKind.REFUSED for entry in self.entries(key))

    def entries(self, key: str) -> list[Entry]:
        return [
            entry
            for log in self.store._logs.values()
            for record in log
            for entry in record.entries
            if entry.key and entry.key.value == key
        ]

    def settle(self) -> None:
        """Every call is sent until it is answered, and once more; then the books are audited."""
        for _ in range(2):
            for call, key, first in self.sent:
                self.send(call, key, first)
        for name in NAMES:
            tick(self.store, head_of(self.store, name.upper()).account, now=self.now, program=PROGRAM)
        books.check_all(self.store._logs, ZONE)
        for log in self.store._logs.values():
            books.check_due(log, self.store.due)
        for key, answer in self.told.items():
            moved = [entry for entry in self.entries(key) if entry.kind is not EntryKind.REFUSED]
            assert len(moved) == (not isinstance(answer, Refusal)), f"{key}: {answer} but {moved}"


VERBS = (
    "earn",
    "earn",
    "wait",
    "redeem",
    "adjust",
    "owe",
    "hold",
    "give",
    "give",
    "merge",
    "merge",
    "unmerge",
    "unmerge",
)
calls = st.builds(Call, st.sampled_from(VERBS), st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(1, 60))
steps = st.builds(
    Step,
    call=calls,
    again=st.none() | st.integers(0, 40),
    fates=st.lists(st.sampled_from(("ok", "cut off", "unanswered", "cut in")), max_size=3).map(tuple),
    lag=st.sampled_from((0, 0, 1, 2)),
    cutting_in=calls,
    hours=st.sampled_from((0, 0, 0, 1, 11, 60)),
)


@search(100)
@given(st.lists(steps, min_size=25, max_size=60))
def test_every_key_is_answered_once_through_any_merges(story: list[Step]) -> None:
    world = World()

    for step in story:
        world.take(step)

    world.settle()
