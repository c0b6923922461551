"""Requests of every operation of the ledger, as tills, apps and staff would send them in a few busy weeks, all from one seed.

Members are few, so requests meet; keys are sent again, also for something else; redemptions are cancelled and holds ended before
anybody has told that they were made; accounts are merged and parted, blocked and closed in the middle of it. Each delivery has
the program's clock of the moment it began: whoever is slow is late by hours or days. What was asked and what was answered is
told to the auditor in plain facts.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from domain import access, members, purchases, visits
from domain.access import Role
from domain.entries import Basket, BasketLine, Money
from domain.ledger import Outcome
from domain.members import Enrolled, Profile
from domain.programs import Program
from domain.refusals import OutcomeUnknown, Refusal
from domain.returns import Returned
from domain.store import Store
from storage.table import Table
from tests.domain import world
from tests.domain.world import ISSUER, TILL, at, external
from tests.faults.auditor import Asked, Heard, Rules
from tests.faults.engine import Dispatcher
from tests.faults.faults import Line
from tests.faults.simulation import Delivered, Operation

PEPPER = b"pepper of thirty-two characters!"
SHARDS = 4
START = at("2026-03-01")
NAMES = ("ada", "ben", "cleo", "dan", "eve")
# A request that has lost this often is told to come again: its caller does not wait for ever.
PATIENCE = 25
REWARDS = {"cookie": 15, "latte": 40, "dinner": 90}
_LADDER = [
    {"id": "base", "name": "Base", "threshold": 0},
    {"id": "gold", "name": "Gold", "threshold": 60, "benefits": {"multiplier_percent": 150}},
]
PHONES = tuple(f"+1555000000{number}" for number in range(4))


class Early(Exception):
    """What it is about was not answered yet; it comes again."""


class Patient(Table):
    """The table as a client has it: where it waits, others go first; its patience ends by count instead of by the clock."""

    def __init__(self, line: Line) -> None:
        # PynamoDB's connection is used for nothing but to dispatch.
        super().__init__(line, "table", pepper=PEPPER, shards=SHARDS)  # type: ignore[arg-type]
        self._line = line

    def pause(self, attempt: int) -> None:
        self._line.pause()
        if attempt >= PATIENCE:
            raise OutcomeUnknown("The account is too busy.")


def on(dispatcher: Dispatcher, name: str = "table") -> Table:
    """The store on a connection that nothing happens to."""
    return Table(dispatcher, name, pepper=PEPPER, shards=SHARDS)  # type: ignore[arg-type]


class Clock:
    """The program's clock: every delivery begins a little later than the one before, some a day; clocks differ by seconds."""

    def __init__(self, rng: random.Random, *, start: datetime, steps: Sequence[tuple[float, timedelta]]) -> None:
        self._rng = rng
        self._steps = steps
        self.now = start

    def __call__(self) -> datetime:
        chance = self._rng.random()
        step = next(step for likely, step in self._steps if chance < likely)
        self.now += self._rng.random() * step
        skewed = self.now + timedelta(seconds=self._rng.uniform(-2, 2))
        return skewed.replace(microsecond=skewed.microsecond // 1000 * 1000)


# How likely a step is not longer than this: cumulative.
MOSTLY_MINUTES = (
    (0.7, timedelta(minutes=2)),
    (0.9, timedelta(hours=1)),
    (0.985, timedelta(hours=12)),
    (1.0, timedelta(days=6)),
)


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@dataclass(slots=True)
class Told:
    """What a caller makes of an answer."""

    place: tuple[str, int, int] | None = None
    points: int = 0
    balance: int = 0
    parked: bool = False


@dataclass
class Traffic:
    """The requests of one seed. `prepare` makes the members; `operations` are to be delivered; `asked` is for the auditor."""

    seed: int
    requests: int = 60
    names: Sequence[str] = field(init=False)
    mix: Mapping[str, float] | None = None
    start: datetime = START
    steps: Sequence[tuple[float, timedelta]] = MOSTLY_MINUTES
    program: Program = field(init=False)
    rules: Rules = field(init=False)
    asked: list[Asked] = field(init=False, default_factory=list)
    operations: list[Operation[Any]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self.names = NAMES[: self._rng.choice([2, 3, 5])]
        self._clock = Clock(random.Random(f"clock {self.seed}"), start=self.start, steps=self.steps)
        self._outcomes: dict[str, Outcome] = {}
        self._refused: set[str] = set()
        self._lock = threading.Lock()
        # Deliveries that came before what they are about: nothing was asked of the ledger.
        self.early = 0
        self._numbers: Counter[str] = Counter()
        self._by_name: dict[str, Asked] = {}
        # In which order things happen: the count of the network's requests, or a clock on the wall.
        self.order: Callable[[], int] = lambda: 0
        mix = self.mix or MIXES[self.seed % len(MIXES)]
        returns = "debt" if mix is SPENT_AND_RETURNED else self._rng.choice(["debt", "clamp", "pending_only"])
        has_tiers = mix is not MANY_MERGES and random.Random(f"tiers {self.seed}").random() < 0.5
        self._program(returns, has_tiers=has_tiers)
        if has_tiers:
            # What a merge, and its undoing, make of a tier has tests of its own.
            mix = {kind: 0 if kind in ("merge", "unmerge") else often for kind, often in mix.items()}
        for name in self.names if mix is not SPENT_AND_RETURNED else ():
            self._correct(name=name, points=self._rng.choice([30, 150]))
        kinds = random.Random(f"mix {self.seed}").choices(list(mix), list(mix.values()), k=self.requests)
        for kind in kinds:
            getattr(self, f"_{kind}")()
        for name in self.names:
            if self._rng.random() < 0.15:
                self._close(name)

    # --- the world ----------------------------------------------------------------------------------------------------

    def _program(self, returns: str, *, has_tiers: bool) -> None:
        rng, time = self._rng, random.Random(f"time {self.seed}")
        months, days, rounding = rng.choice([(24, 0, "month"), (1, 0, "day"), (0, 10, "day")])
        # In every second program points live while their member is active; in most, a purchase by number brings some.
        rolls, nth = time.random() < 0.5, time.choice([0, 2, 3])
        activities = ["purchase", "redemption", *time.choice([[], ["gift"]])]
        if rolls:
            months, days, rounding = time.choice([(0, 1, "day"), (0, 2, "day"), (0, 5, "day"), (1, 0, "day")])
        pending, most = rng.choice([0, 0, 4]), 80
        self.program = world.program(
            expiry={
                "policy": "inactivity" if rolls else "fixed",
                "months": months,
                "days": days,
                "rounding": rounding,
            },
            activities=activities,
            moments=[{"id": "nth", "when": "purchase", "nth": nth, "points": 25}] if nth else [],
            **({"tiers": {"ladder": _LADDER}} if has_tiers else {}),
            pending={"days": pending},
            returns={"policy": returns},
            transfers={"points_per_day_max": most},
            windows={"merge_undo_days": 10},
            rewards=[{"id": name, "name": name, "cost": cost} for name, cost in REWARDS.items()],
        )
        self.rules = Rules(
            zone=self.program.zone,
            pepper=PEPPER,
            shards=SHARDS,
            rewards=REWARDS,
            expiry_months=months,
            expiry_days=days,
            to_month_end=rounding == "month",
            pending_days=pending,
            returns=returns,
            gifts_per_day_max=most,
            undo_days=10,
            rolls=rolls,
            activities=frozenset(
                {"PURCHASE", "REDEMPTION", "CAPTURE"} | ({"TRANSFER_OUT"} if "gift" in activities else set())
            ),
            nth=nth,
            nth_points=25,
            gold=60 if has_tiers else 0,
            gold_percent=150,
        )

    def prepare(self, store: Store) -> None:
        """Enrolls the members, undisturbed: by their own logins, so that they can act for themselves."""
        for name in self.names:
            actor = _login(name)
            world.enroll(store, name, self.start, actor=actor, program=self.program)
            account = name.upper()
            asked = Asked(
                f"enroll {name}", "memberEnroll", f"~{actor.id}:enroll-{name}", name, sent=[millis(self.start)]
            )
            asked.heard.append(Heard(place=(account, 1, 0)))
            self.asked.append(asked)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _add(
        self,
        asked: Asked,
        call: Callable[..., Any],
        *,
        key: str | None = None,
        source: str = "s.grace",
        about: Asked | None = None,
    ) -> None:
        """A request with a key of its own, or with somebody else's. What it is about must have been answered first; where that
        was refused, there is nothing to do."""
        self._numbers[asked.what] += 1
        value = key or f"{asked.what}-{self._numbers[asked.what]}"
        asked.key = asked.key or f"~{source}:{value}"
        asked.name = f"{asked.what} {value}" + (" for something else" if key else "")
        self.asked.append(asked)
        self._by_name[asked.name] = asked

        def deliver(store: Store) -> Told | None:
            now = self._clock()
            if about is not None and self._is_refused(about.key, store):
                return None
            with self._lock:
                asked.sent.append(millis(now))
                asked.began = self.order() if asked.began is None else asked.began
            try:
                return self._told(asked.key, call(store, now, value))
            except OutcomeUnknown:
                raise
            except Refusal:
                self._refused.add(asked.key)
                raise

        self.operations.append(Operation(asked.name, deliver, self._rng.choice([2, 2, 2, 3, 4])))

    def _told(self, key: str, answer: Outcome | Returned | Enrolled) -> Told:
        if isinstance(answer, Enrolled):
            return Told((answer.account, 1, 0))
        outcome = answer.outcome if isinstance(answer, Returned) else answer
        if outcome is None:
            return Told(parked=True)
        self._outcomes.setdefault(key, outcome)
        entry = outcome.entry
        return Told((outcome.record.account, outcome.record.seq, outcome.index), entry.points, entry.balance_after)

    def heard(self, answers: Mapping[str, Sequence[Delivered]]) -> None:
        """Tells the auditor what was answered."""
        for name, delivered in answers.items():
            if name in self._by_name:
                self._by_name[name].heard = [
                    _heard(each) for each in delivered if each.value is not None or each.refusal is not None
                ]

    def _is_refused(self, key: str, store: Store) -> bool:
        """Whether a request was refused, and not done. Raises `Early`, after others had a chance to do it."""
        if key not in self._outcomes and key not in self._refused:
            self.early += 1
            store.pause(0)
            raise Early
        return key not in self._outcomes

    def _name(self) -> str:
        return self._rng.choice(self.names)

    def _earlier(self, *whats: str) -> Asked | None:
        found = [asked for asked in self.asked if asked.what in whats]
        return self._rng.choice(found[-6:]) if found else None

    def _purchase(self, key: str | None = None, entry_key: str = "", name: str = "") -> None:
        rng, name = self._rng, name or self._name()
        lines = tuple((rng.randint(1, 4), rng.randint(1, 3_000)) for _ in range(rng.randint(1, 3)))
        occurred = None if rng.random() < 0.5 else self.start - timedelta(hours=rng.randint(0, 24 * 15))
        self._numbers["receipt"] += key is None
        receipt = key or f"r{self._numbers['receipt']}"
        total = sum(amount for _, amount in lines)

        def call(store: Store, now: datetime, _value: str) -> Outcome:
            basket = Basket(
                occurred or now,
                Money(total, "USD"),
                "harbor",
                "store",
                tuple(BasketLine("sku", None, quantity, amount) for quantity, amount in lines),
            )
            return purchases.record(
                store,
                self.program,
                actor=TILL,
                source="till",
                external_id=receipt,
                member=external(name),
                basket=basket,
                now=now,
                is_dated=occurred is not None,
            ).outcome

        self._add(
            Asked(
                "",
                "purchaseRecord",
                entry_key or f"till:{receipt}",
                name,
                amount=total,
                basket=lines,
                occurred=millis(occurred) if occurred else None,
            ),
            call,
            key=key,
        )

    def _return(self) -> None:
        bought = self._earlier("purchaseRecord")
        if bought is None:
            return
        rng, receipt = self._rng, bought.key.partition(":")[2]
        kind = rng.choice(["amount", "lines", "rest"])
        part: tuple[str, Any] | None = None
        if kind == "amount":
            part = ("amount", rng.randint(1, max(1, bought.amount)))
        elif kind == "lines":
            index = rng.randrange(len(bought.basket))
            part = ("lines", {index: rng.randint(1, bought.basket[index][0])})
        self._numbers["return"] += 1
        value = f"b{self._numbers['return']}"
        named = bought.member if rng.random() < 0.3 else None

        def call(store: Store, now: datetime, _value: str) -> Returned:
            return world.give_back(
                store,
                receipt,
                now,
                key=value,
                lines=[(index + 1, quantity) for index, quantity in part[1].items()]
                if part and kind == "lines"
                else None,
                amount=part[1] if part and kind == "amount" else None,
                program=self.program,
                terms=self.program.terms,
                member=named,
            )

        self._add(
            Asked("", "purchaseReturn", f"~r.till:{receipt}:{value}", of=bought.key, part=part, other=named or ""), call
        )

    def _redeem(self, key: str | None = None, reward: str = "", source: str = "", name: str = "") -> None:
        name, reward = name or self._name(), reward or self._rng.choice(list(REWARDS))
        # Half of them by the member's own app.
        actor = TILL if self._rng.random() < 0.5 else _login(name)
        if source:
            actor = TILL if source.startswith("p.") else _login(source.removeprefix("m.").removesuffix("-login"))

        def call(store: Store, now: datetime, value: str) -> Outcome:
            return world.redeem(store, name, reward, now, key=value, program=self.program, actor=actor)

        self._add(Asked("", "rewardRedeem", "", name, reward=reward), call, key=key, source=actor.id)

    def _cancel(self) -> None:
        redeemed = self._earlier("rewardRedeem")
        if redeemed is None:
            return

        def call(store: Store, now: datetime, value: str) -> Outcome:
            return world.cancel(store, self._outcomes[redeemed.key], now, key=value, program=self.program)

        self._add(Asked("", "redemptionCancel", "", of=redeemed.key), call, source=TILL.id, about=redeemed)

    def _adjust(self, store: Store, now: datetime, key: str, name: str, points: int) -> Outcome:
        return world.adjust(store, name, points, now, key=key, program=self.program)

    def _correct(
        self, key: str | None = None, name: str = "", points: int | None = None, but: int | None = None
    ) -> None:
        name = name or self._name()
        points = points or self._rng.choice([each for each in (-80, -30, -10, 20, 50, 90) if each != but])
        self._add(
            Asked("", "pointsAdjust", "", name, points=points),
            lambda store, now, value: self._adjust(store, now, value, name, points),
            key=key,
        )

    def _hold(self) -> None:
        name, points = self._name(), self._rng.randint(5, 60)
        ttl = self._rng.choice([900, 86_400, 604_800])

        def call(store: Store, now: datetime, value: str) -> Outcome:
            return world.hold(store, name, points, now, key=value, ttl_seconds=ttl, program=self.program)

        self._add(Asked("", "pointsHold", "", name, points=points, ttl_ms=ttl * 1000), call, source=TILL.id)

    def _capture(self) -> None:
        held = self._earlier("pointsHold")
        if held is None:
            return
        points = self._rng.choice([None, self._rng.randint(1, 40)])

        def call(store: Store, now: datetime, value: str) -> Outcome:
            made = self._outcomes[held.key]
            return world.capture(store, made, now, key=value, points=points, program=self.program)

        self._add(Asked("", "pointsCapture", "", of=held.key, points=points), call, source=TILL.id, about=held)

    def _release(self) -> None:
        held = self._earlier("pointsHold")
        if held is None:
            return

        def call(store: Store, now: datetime, value: str) -> Outcome:
            return world.release(store, self._outcomes[held.key], now, key=value, program=self.program)

        self._add(Asked("", "pointsRelease", "", of=held.key), call, source=TILL.id, about=held)

    def _give(self) -> None:
        giver, receiver = self._rng.sample(list(self.names), 2)
        points = self._rng.randint(5, 70)
        actor = world.MANAGER if self._rng.random() < 0.5 else _login(giver)

        def call(store: Store, now: datetime, value: str) -> Outcome:
            return world.give(store, giver, receiver, points, now, key=value, program=self.program, actor=actor)

        self._add(Asked("", "pointsTransfer", "", giver, receiver, points=points), call, source=actor.id)

    def _merge(self) -> None:
        duplicate, survivor = self._rng.sample(list(self.names), 2)

        def call(store: Store, now: datetime, value: str) -> Outcome:
            return world.merge(store, duplicate, survivor, now, key=value, program=self.program)

        self._add(Asked("", "memberMerge", "", duplicate, survivor), call)
        if self._rng.random() < 0.7:
            self._unmerge(duplicate)

    def _unmerge(self, name: str = "") -> None:
        name = name or self._name()

        def call(store: Store, now: datetime, value: str) -> Outcome:
            return world.unmerge(store, name, now, key=value, program=self.program)

        self._add(Asked("", "memberUnmerge", "", name), call)

    def _block(self) -> None:
        name = self._name()
        self._add(
            Asked("", "memberBlock", "", name), lambda store, now, value: world.block(store, name, now, key=value)
        )
        self._unblock(name)

    def _unblock(self, name: str = "") -> None:
        name = name or self._name()
        self._add(
            Asked("", "memberUnblock", "", name), lambda store, now, value: world.unblock(store, name, now, key=value)
        )

    def _close(self, name: str) -> None:
        self._add(
            Asked("", "memberClose", "", name), lambda store, now, value: world.close(store, name, now, key=value)
        )

    def _update(self) -> None:
        name, phone = self._name(), self._rng.choice(PHONES)

        def call(store: Store, now: datetime, value: str) -> Outcome:
            return world.update(store, name, now, key=value, phone=phone)

        self._add(Asked("", "memberUpdate", "", name, phone=phone), call)

    def _enroll(self) -> None:
        phone = self._rng.choice([None, *PHONES])
        self._numbers["newcomer"] += 1
        name = f"new{self._numbers['newcomer']}"

        def call(store: Store, now: datetime, value: str) -> Enrolled:
            # Every delivery would make an account of its own.
            self._numbers["account"] += 1
            return members.enroll(
                store,
                self.program,
                actor=TILL,
                idempotency_key=value,
                profile=Profile(now, external_id=name, phone=phone),
                account=f"{name.upper()}-{self._numbers['account']}",
                now=now,
            )

        self._add(Asked("", "memberEnroll", "", name, phone=phone), call, source=TILL.id)

    def _tick(self) -> None:
        self._numbers["tick"] += 1
        account = self._name().upper()
        program = self.program

        def call(store: Store) -> None:
            visits.visit(store, program, account, now=self._clock(), telling=False)

        self.operations.append(Operation(f"tick {self._numbers['tick']} of {account}", call, 2))

    def _rival(self) -> None:
        """A key that is sent once more, for something else."""
        known = self._earlier("purchaseRecord", "pointsAdjust", "rewardRedeem")
        if known is None or sum(each.key == known.key for each in self.asked) > 1:
            return
        source, _, value = known.key.partition(":")
        # As often for the same member as for another one.
        name = known.member if self._rng.random() < 0.5 else self._name()
        match known.what:
            case "purchaseRecord":
                self._purchase(value, known.key, name)
            case "pointsAdjust":
                self._correct(value, name, but=known.points)
            case _:
                other = self._rng.choice([reward for reward in REWARDS if reward != known.reward])
                if source.startswith("~m."):
                    name = known.member
                self._redeem(value, other, source[1:], name)


# How much there is of what: of everything, or more of what races with its like.
EVERYTHING: Mapping[str, float] = {
    "purchase": 10,
    "return": 8,
    "redeem": 9,
    "cancel": 5,
    "correct": 5,
    "hold": 6,
    "capture": 4,
    "release": 3,
    "give": 7,
    "merge": 2,
    "unmerge": 1,
    "block": 1.5,
    "unblock": 0.5,
    "update": 3,
    "enroll": 1.5,
    "tick": 3,
    "rival": 3,
}
MANY_RETURNS = {**EVERYTHING, "purchase": 4, "return": 40}
MANY_MERGES = {**EVERYTHING, "merge": 8, "unmerge": 4}
# Who has spent what is then returned owes it.
SPENT_AND_RETURNED = {**EVERYTHING, "purchase": 25, "return": 25, "redeem": 40, "correct": 0}
MIXES = (EVERYTHING, MANY_RETURNS, SPENT_AND_RETURNED, MANY_MERGES)


def _login(name: str) -> access.Actor:
    return access.actor(Role.MEMBER, issuer=ISSUER, subject=f"{name}-login")


def _heard(delivered: Delivered) -> Heard:
    heard = Heard(delivered.started, delivered.ended)
    if delivered.refusal is not None:
        assert isinstance(delivered.refusal, Refusal)
        return replace(heard, code=delivered.refusal.code)
    told = delivered.value
    return replace(heard, place=told.place, points=told.points, balance=told.balance, parked=told.parked)
