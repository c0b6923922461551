"""Ledger stories as scripts: what happens, one line each, and behind the arrow what must come of it.

    expiry  6 months to the day
    enroll  ada            on 2026-01-05
    earn    ada  100       on 2026-01-10            → ok, balance 100
    redeem  ada   60       on 2026-02-01            → ok, left 40 to 2026-07-10
    redeem  ada   41       on 2026-02-02            → InsufficientPoints
    again                  on 2026-02-03            → InsufficientPoints replayed
    look    ada            on 2026-07-11            → balance 0, booked EXPIRY -40

Verbs: `expiry N months|days to the day|month|…`, `pending N days`, `enroll WHO`, `earn WHO POINTS` (a purchase of as many
dollars), `redeem WHO COST`, `adjust WHO ±POINTS`, `again` (the last call once more, with its key), `look WHO` (reads, writes
nothing). `on` is the moment in the program's zone (a day alone is its noon), `of` the day of a late purchase. A call with
`by KEY` has that key; any other has one of its own.

After every line the books are audited, and a refusal has changed nothing but to remember itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain import days, ledger
from domain.days import Expiry, Rounding
from domain.ledger import Outcome, Record
from domain.programs import Program, Reward, Terms
from domain.refusals import Refusal
from storage.memory import Memory
from tests.domain import books
from tests.domain.world import PROGRAM, adjust, at, buy, contents, enroll, head_of, redeem


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
    last: Callable[[datetime], Outcome] | None = None
    calls: int = 0

    def act(self, said: str) -> list[str]:
        """Does what a line says; the facts that came of it."""
        verb, *words = said.split()
        if verb in ("expiry", "pending"):
            self.program = replace(self.program, terms=self._terms(verb, words))
            return []
        named = {word: words.index(word) for word in ("on", "of", "by") if word in words}
        parts = {word: " ".join(self._until_next(words[start + 1 :])) for word, start in named.items()}
        who, points = (*words[: min(named.values())], "", "")[:2]
        now = at(parts["on"])
        match verb:
            case "enroll":
                enroll(self.store, who, now)
                return ["ok"]
            case "look":
                return self._seen(ledger.current(head_of(self.store, who.upper()), now, self.program.zone))
            case "again":
                assert self.last is not None
            case _:
                self.calls += 1
                key = parts.get("by", str(self.calls))
                self.last = self._call(verb, who, int(points), key, at(parts["of"]) if "of" in parts else None)
        facts = self._outcome(self.last, now)
        for log in self.store._logs.values():
            books.check(log, self.program.zone)
            books.check_due(log, self.store.due)
        return facts

    def _terms(self, verb: str, words: list[str]) -> Terms:
        if verb == "pending":
            return replace(self.program.terms, pending_days=int(words[0]))
        length, unit, *_, rounding = words
        expiry = Expiry(**{"months": 0, "days": 0, unit: int(length)}, rounding=Rounding[rounding.upper()])
        return replace(self.program.terms, expiry=expiry)

    def _call(
        self, verb: str, who: str, points: int, key: str, occurred_at: datetime | None
    ) -> Callable[[datetime], Outcome]:
        program = self.program
        match verb:
            case "earn":
                # A retry says again when the purchase happened, however late it is sent.
                first: list[datetime] = [] if occurred_at is None else [occurred_at]

                def earn(now: datetime) -> Outcome:
                    first.append(now)
                    return buy(self.store, who, points * 100, now, receipt=key, program=program, occurred_at=first[0])

                return earn
            case "redeem":
                offered = replace(program, rewards=(Reward("this", 1, "This", points),))
                return lambda now: redeem(self.store, who, "this", now, key=key, program=offered)
            case "adjust":
                return lambda now: adjust(self.store, who, points, now, key=key, program=program)
        raise AssertionError(f"no such verb: {verb}")

    def _outcome(self, call: Callable[[datetime], Outcome], now: datetime) -> list[str]:
        before = contents(self.store)
        try:
            outcome = call(now)
        except Refusal as refusal:
            assert contents(self.store).logs == before.logs, "a refusal moves nothing"
            return [type(refusal).__name__ + (" replayed" if refusal.replayed else "")]
        if outcome.replayed:
            assert contents(self.store) == before, "a replay writes nothing"
            return ["replayed"]
        return ["ok", *self._seen(outcome.record)]

    def _seen(self, record: Record) -> list[str]:
        state = record.state
        return [
            f"balance {state.balance}",
            f"pending {state.pending_points}",
            *(f"left {points} to {_date(expires)}" for expires, points in state.buckets.items()),
            *(f"coming {points} on {_date(matures)}" for (matures, _), points in state.pending.items()),
            *(f"booked {entry.kind.value} {entry.points:+d}" for entry in record.entries),
        ]

    @staticmethod
    def _until_next(words: list[str]) -> list[str]:
        end = next((index for index, word in enumerate(words) if word in ("on", "of", "by")), len(words))
        return words[:end]


def _date(day: int) -> str:
    return "never" if day == days.NEVER else days.date_of(day).isoformat()
