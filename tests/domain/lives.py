"""Random lives of a few members: every use case there is, in any order, with clocks that run a little apart.

@given(lives)
def test_…(life: Life) -> None:
    store = lived(life)
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from hypothesis import strategies as st

from domain.entries import BasketLine
from domain.ledger import Outcome
from domain.programs import Program
from domain.refusals import Refusal
from storage.memory import Memory
from tests.domain.world import (
    SOAK,
    adjust,
    at,
    block,
    buy,
    cancel,
    capture,
    close,
    enroll,
    give,
    give_back,
    hold,
    merge,
    owe,
    program,
    redeem,
    release,
    tick,
    unblock,
    unmerge,
    update,
)

# Two days before the clocks change in New York.
START = at("2026-03-06")
NAMES = ("ada", "bob", "cyd")
# Points that live, and wait, for a few days only, so that a short life sees them come and go.
_PLAIN = tuple(
    program(expiry={"days": days, "rounding": "day"}, pending={"days": pending}, returns={"policy": policy})
    for days, pending, policy in ((3, 0, "debt"), (9, 2, "clamp"), (400, 1, "pending_only"), (0, 0, "debt"))
)
_TIERS = {
    "metric": "points",
    "period": "rolling_12_months",
    "ladder": [
        {"id": "base", "name": "Base", "threshold": 0},
        {"id": "silver", "name": "Silver", "threshold": 60, "benefits": {"multiplier_percent": 150, "extra_months": 1}},
        {"id": "gold", "name": "Gold", "threshold": 150, "lifetime": 400, "benefits": {"multiplier_percent": 200}},
    ],
}
_MOMENTS = [
    {"id": "welcome", "when": "enrollment", "points": 4},
    {"id": "third", "when": "purchase", "nth": 3, "points": 6},
    {"id": "fifty", "when": "balance", "at_least": 50, "points": 5, "valid_days": 2},
    {"id": "risen", "when": "tier_up", "points": 3},
]
# Whatever a program can say about time, with tiers and moments, with one of them, and with neither.
_TIMED = tuple(
    program(expiry=expiry, pending={"days": pending}, returns={"policy": policy}, activities=activities, **more)
    for expiry, pending, policy, activities, more in (
        ({"policy": "never"}, 0, "debt", ["purchase"], {"tiers": _TIERS, "moments": _MOMENTS}),
        ({"policy": "fixed", "days": 5, "rounding": "day"}, 1, "clamp", ["purchase"], {"moments": _MOMENTS[:3]}),
        ({"policy": "calendar", "dates": ["03-09", "03-20", "02-29"]}, 0, "debt", ["gift"], {"tiers": _TIERS}),
        ({"policy": "anniversary", "days": 3}, 3, "pending_only", ["redemption"], {"moments": _MOMENTS[:3]}),
        (
            {"policy": "inactivity", "days": 4},
            0,
            "debt",
            ["purchase", "redemption"],
            {"tiers": {**_TIERS, "period": "calendar_year", "grace_days": 30}, "moments": _MOMENTS},
        ),
        ({"policy": "inactivity", "days": 2}, 5, "clamp", ["purchase", "redemption", "gift"], {}),
        (
            {"policy": "inactivity", "days": 12},
            1,
            "debt",
            ["purchase", "gift"],
            {"tiers": {**_TIERS, "metric": "visits"}},
        ),
    )
)
PROGRAMS = _PLAIN + _TIMED


@dataclass(frozen=True)
class Step:
    """One call, `hours` after the one before: who does what with how much, under which program."""

    verb: str
    who: str
    other: str
    points: int
    hours: int
    program: Program


# What brings points comes more often: most of the rest needs some.
_VERBS = (
    ["buy"] * 10
    + ["redeem", "hold", "give", "return"] * 3
    + ["adjust", "capture", "release", "cancel", "tick", "park"] * 2
    + ["again", "owe", "merge", "unmerge", "block", "unblock", "unblock", "update", "close", "take"]
)
# So many lives are searched by each test; they are the same in every run, and more of them in a longer one.
LIVES = 50
lives = st.integers(0, LIVES * SOAK - 1)


@cache
def life(number: int) -> tuple[Step, ...]:
    """One of the lives."""
    chance = random.Random(number)
    # Terms change, but most of a life is under one of them or another.
    programs = chance.choices(PROGRAMS, k=3)
    return tuple(
        Step(
            verb=chance.choice(_VERBS),
            who=chance.choice(NAMES),
            other=chance.choice(NAMES),
            points=chance.randint(1, 60),
            # Once in a while a year goes by, and tiers end.
            hours=chance.choice([0, 0, 0, 1, 7, 24, 24, 80, -1]) if chance.randrange(60) else 24 * 400,
            program=chance.choice(programs),
        )
        for _ in range(chance.randint(15, 60))
    )


@cache
def lived(number: int) -> Memory:
    """The store after one of the lives, to be looked at only; whatever is refused on the way is refused."""
    stage = _Stage()
    for name in NAMES:
        enroll(stage.store, name, START, program=life(number)[0].program)
    for index, step in enumerate(life(number)):
        stage.now += timedelta(hours=step.hours)
        try:
            stage.act(step, str(index))
        except Refusal:
            continue
    return stage.store


class _Stage:
    def __init__(self) -> None:
        self.store = Memory()
        self.now: datetime = START
        self.receipts: list[str] = []
        self.holds: list[Outcome] = []
        self.redemptions: list[Outcome] = []

    def act(self, step: Step, key: str) -> None:
        store, now, who, other, points = self.store, self.now, step.who, step.other, step.points
        match step.verb:
            case "buy":
                # A basket of two lines, some days old at times.
                amount = points * 100
                lines = (BasketLine("a", None, 2, amount - amount // 3), BasketLine("b", None, 1, amount // 3))
                occurred = now - timedelta(days=min(390, max(0, step.hours) // 7))
                buy(store, who, amount, now, receipt=key, program=step.program, occurred_at=occurred, lines=lines)
                self.receipts.append(key)
            case "return" if self.receipts:
                receipt = self.receipts[points % len(self.receipts)]
                lines_back = [(1 + points % 2, 1)] if points % 3 else None
                give_back(
                    store, receipt, now, key=key, lines=lines_back, program=step.program, terms=step.program.terms
                )
            case "park":
                # The purchase comes some steps later, or never.
                give_back(store, str(int(key) + points % 5 + 1), now, key=key, lines=[(1, 1)], program=step.program)
            case "adjust":
                adjust(store, who, points, now, key=key, program=step.program)
            case "take":
                adjust(store, who, -points, now, key=key, program=step.program)
            case "redeem":
                self.redemptions.append(redeem(store, who, "cookie", now, key=key, program=step.program))
            case "cancel" if self.redemptions:
                chosen = self.redemptions[-1 - points % min(3, len(self.redemptions))]
                cancel(store, chosen, now, key=key, program=step.program)
            case "hold":
                ttl = points * 3_600
                self.holds.append(
                    hold(store, who, 1 + points // 4, now, key=key, ttl_seconds=ttl, program=step.program)
                )
            case "capture" if self.holds:
                held = self.holds[-1 - points % min(3, len(self.holds))]
                capture(store, held, now, key=key, points=1 if points % 2 else None, program=step.program)
            case "release" if self.holds:
                release(store, self.holds[-1 - points % min(3, len(self.holds))], now, key=key, program=step.program)
            case "give":
                give(store, who, other, 1 + points // 4, now, key=key, program=step.program)
            case "merge":
                merge(store, who, other, now, key=key, program=step.program)
            case "unmerge":
                unmerge(store, who, now, key=key, program=step.program)
            case "owe":
                owe(store, who, points, now, key=key)
            case "block":
                block(store, who, now, key=key, note="Looked odd.")
            case "unblock":
                unblock(store, who, now, key=key)
            case "update":
                update(store, who, now, key=key, name=f"{who} {points}", phone=f"+1555123{points:04}")
            case "close" if points > 40:
                close(store, who, now, key=key)
            case "tick":
                tick(store, who.upper(), now=now, program=step.program)
            case "again" if self.receipts:
                # Whoever does not hear an answer asks again, a while later.
                buy(store, who, points * 100, now, receipt=self.receipts[-1], program=step.program)
            case _:
                pass
