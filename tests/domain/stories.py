"""Ledger stories as scripts: what happens, one line each, and behind the arrow what must come of it.

    expiry  6 months to the day
    enroll  ada            on 2026-01-05
    earn    ada  100       on 2026-01-10            → ok, balance 100
    redeem  ada   60       on 2026-02-01            → ok, left 40 to 2026-07-10
    redeem  ada   41       on 2026-02-02            → InsufficientPoints
    again                  on 2026-02-03            → InsufficientPoints replayed
    look    ada            on 2026-07-11            → balance 0, booked EXPIRY -40

Verbs: `expiry N months|days to the day|month|…`, `expiry never`, `expiry calendar MM-DD …`, `expiry anniversary`, `expiry
inactivity N months|days`, `active purchase|redemption|gift …` (what keeps points alive), `pending N days`, `returns
clamp|debt|pending_only`, `enroll WHO`, `earn WHO POINTS` (a purchase of as many dollars), `return WHO [POINTS] from KEY` (of so
many dollars of that purchase, or all), `redeem WHO COST`, `cancel WHO` (their last redemption), `hold WHO POINTS` (for 15
minutes), `capture WHO [POINTS]` and `release WHO` (their last hold), `adjust WHO ±POINTS`, `give WHO POINTS to WHOM`, `merge WHO
into WHOM`, `unmerge WHO`, `block WHO`, `unblock WHO`, `close WHO`, `again` (the last call once more, with its key), `look WHO`
(reads, writes nothing). `on` is the moment in the program's zone (a day alone is its noon), `of` the day of a late purchase. A
call with `by KEY` has that key; any other has one of its own.

After every line the books are audited, and a refusal has changed nothing but to remember itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain import days, ledger
from domain.accounts import ROLLING, State
from domain.days import Rounding
from domain.entries import Record
from domain.expiry import Expiry, Policy
from domain.ledger import Outcome
from domain.programs import Activity, Program, ReturnPolicy, Reward, Terms
from domain.refusals import Refusal
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import (
    PROGRAM,
    adjust,
    at,
    block,
    buy,
    cancel,
    capture,
    close,
    contents,
    enroll,
    give,
    give_back,
    head_of,
    hold,
    merge,
    redeem,
    release,
    unblock,
    unmerge,
)

# What may follow the first words of a line, and whose words end where the next one stands.
_PREPOSITIONS = ("on", "of", "by", "to", "into", "from")


def play(script: str) -> Memory:
    """Plays a story on a fresh store; a line that came out otherwise fails with the story up to there."""
    stage = _Stage()
    told = []
    for line in filter(None, map(str.strip, script.splitlines())):
        said, _, expected = (part.strip() for part in line.partition("→"))
        facts = stage.act(said)
        told.append(f"{said} → {', '.join(facts)}" if facts else said)
        wrong = [each for each in map(str.strip, expected.split(",")) if each and each not in facts]
        assert not wrong, "\n".join([*told, f"not: {', '.join(wrong)}"])
    return stage.store


@dataclass
class _Stage:
    store: Memory = field(default_factory=Memory)
    program: Program = PROGRAM
    last: Callable[[datetime], Outcome | None] | None = None
    calls: int = 0
    # The last redemption, and the last hold, of each member.
    made: dict[tuple[str, str], Outcome] = field(default_factory=dict)

    def act(self, said: str) -> list[str]:
        """Does what a line says; the facts that came of it."""
        verb, *words = said.split()
        if verb == "active":
            self.program = replace(self.program, activities=frozenset(map(Activity, words)))
            return []
        if verb in ("expiry", "pending", "returns"):
            self.program = replace(self.program, terms=self._terms(verb, words))
            return []
        named = {word: words.index(word) for word in _PREPOSITIONS if word in words}
        parts = {word: " ".join(self._until_next(words[start + 1 :])) for word, start in named.items()}
        who, points = (*words[: min(named.values())], "", "")[:2]
        now = at(parts["on"])
        match verb:
            case "enroll":
                enroll(self.store, who, now)
                return ["ok"]
            case "look":
                return self._seen(ledger.current(head_of(self.store, who.upper()), now, self.program))
            case "again":
                assert self.last is not None
            case _:
                self.calls += 1
                key = parts.get("by", str(self.calls))
                other = next((parts[word] for word in ("to", "into", "from") if word in parts), "")
                self.last = self._call(
                    verb, who, int(points or 0), key, at(parts["of"]) if "of" in parts else None, other
                )
        facts = self._outcome(self.last, now)
        books.check_all(self.store._logs, self.program.zone)
        for log in self.store._logs.values():
            books.check_due(log, self.store.due)
        return facts

    def _terms(self, verb: str, words: list[str]) -> Terms:
        if verb == "pending":
            return replace(self.program.terms, pending_days=int(words[0]))
        if verb == "returns":
            return replace(self.program.terms, returns=ReturnPolicy(words[0]))
        none, policy, *more = {"months": 0, "days": 0}, *words
        match policy:
            case "never" | "anniversary" | "calendar":
                dates = tuple((int(each[:2]), int(each[3:])) for each in more)
                expiry = Expiry(**none, rounding=Rounding.DAY, policy=Policy(policy), dates=dates)
            case "inactivity":
                length, unit = more
                expiry = Expiry(**(none | {unit: int(length)}), rounding=Rounding.DAY, policy=Policy.INACTIVITY)
            case length:
                unit, *_, rounding = more
                expiry = Expiry(**(none | {unit: int(length)}), rounding=Rounding[rounding.upper()])
        return replace(self.program.terms, expiry=expiry)

    def _call(
        self, verb: str, who: str, points: int, key: str, occurred_at: datetime | None, other: str
    ) -> Callable[[datetime], Outcome | None]:
        program = self.program
        match verb:
            case "earn":
                # A retry says again when the purchase happened, however late it is sent.
                first: list[datetime] = [] if occurred_at is None else [occurred_at]

                def earn(now: datetime) -> Outcome:
                    first.append(now)
                    return buy(self.store, who, points * 100, now, receipt=key, program=program, occurred_at=first[0])

                return earn
            case "return":
                amount = points * 100 or None
                return lambda now: (
                    give_back(self.store, other, now, key=key, amount=amount, member=who, program=program).outcome
                )
            case "redeem":
                offered = replace(program, rewards=(Reward("this", 1, "This", points),))
                return self._kept(
                    "redemption", who, lambda now: redeem(self.store, who, "this", now, key=key, program=offered)
                )
            case "cancel":
                redeemed = self.made["redemption", who]
                return lambda now: cancel(self.store, redeemed, now, key=key, program=program)
            case "hold":
                return self._kept("hold", who, lambda now: hold(self.store, who, points, now, key=key, program=program))
            case "capture":
                held = self.made["hold", who]
                return lambda now: capture(self.store, held, now, key=key, points=points or None, program=program)
            case "release":
                held = self.made["hold", who]
                return lambda now: release(self.store, held, now, key=key, program=program)
            case "adjust":
                return lambda now: adjust(self.store, who, points, now, key=key, program=program)
            case "give":
                return lambda now: give(self.store, who, other, points, now, key=key, program=program)
            case "merge":
                return lambda now: merge(self.store, who, other, now, key=key, program=program)
            case "unmerge":
                return lambda now: unmerge(self.store, who, now, key=key, program=program)
            case "block" | "unblock" | "close":
                turn = {"block": block, "unblock": unblock, "close": close}[verb]
                return lambda now: turn(self.store, who, now, key=key)
        raise AssertionError(f"no such verb: {verb}")

    def _kept(self, what: str, who: str, call: Callable[[datetime], Outcome]) -> Callable[[datetime], Outcome]:
        def called(now: datetime) -> Outcome:
            outcome = self.made[what, who] = call(now)
            return outcome

        return called

    def _outcome(self, call: Callable[[datetime], Outcome | None], now: datetime) -> list[str]:
        before = contents(self.store)
        try:
            outcome = call(now)
        except Refusal as refusal:
            assert contents(self.store).logs == before.logs, "a refusal moves nothing"
            return [type(refusal).__name__ + (" replayed" if refusal.replayed else "")]
        if outcome is None:
            return ["parked"]
        if outcome.replayed:
            assert contents(self.store) == before, "a replay writes nothing"
            return ["replayed"]
        return ["ok", *self._seen(outcome.record)]

    def _seen(self, record: Record) -> list[str]:
        state = record.state
        return [
            f"balance {state.balance}",
            f"pending {state.pending_points}",
            f"held {state.held_points}",
            f"debt {state.debt}",
            f"status {state.status.value}",
            *(f"left {points} {_until(state, expires)}" for expires, points in state.buckets.items()),
            *(f"coming {points} on {_date(matures)}" for (matures, _), points in state.pending.items()),
            *(
                f"set aside {points} {_until(state, expires)}"
                for hold in state.holds.values()
                for expires, points in hold.buckets.items()
            ),
            *(f"booked {entry.kind.value} {entry.points:+d}" for entry in record.entries),
        ]

    @staticmethod
    def _until_next(words: list[str]) -> list[str]:
        end = next((index for index, word in enumerate(words) if word in _PREPOSITIONS), len(words))
        return words[:end]


def _until(state: State, expires: int) -> str:
    return f"{'rolling ' if expires == ROLLING else ''}to {_date(state.last_day(expires))}"


def _date(day: int) -> str:
    return "never" if day == days.NEVER else days.date_of(day).isoformat()
