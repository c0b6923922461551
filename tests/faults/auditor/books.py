"""An account as the auditor works it out: pots of points, and what time does to them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tests.faults.auditor.facts import DEBT, NEVER, ROLLING, Moves, Pot, Rules, require
from tests.faults.auditor.stored import tidy


@dataclass(slots=True)
class Books:
    """An account as the auditor has worked it out. No pot is empty, none below zero but the debt."""

    account: str
    at: int = 0
    seq: int = 0
    pots: Moves = field(default_factory=dict)
    lapses: dict[int, int] = field(default_factory=dict)
    status: str = ""
    sent: tuple[int, int] = (0, 0)
    merged: tuple[str, ...] = ()
    # The last day of the rolling points, 0 without any; how many silences took some, and whether a day was begun anew.
    rolling: int = 0
    silences: int = 0
    began: bool = False
    # Days of joining and of the last activity; how many purchases there were, and whether the n-th one was had.
    joined: int = 0
    active: int = 0
    purchases: int = 0
    had: int = 0
    # Points by the first month of their year (12 times the year), and the last day as a gold member, 0 for the lowest.
    qualifying: dict[int, int] = field(default_factory=dict)
    gold: int = 0

    def copy(self) -> "Books":
        copied = {
            "pots": dict(self.pots),
            "lapses": dict(self.lapses),
            "qualifying": dict(self.qualifying),
        }
        return replace(self, **copied)

    def last(self, bucket: int) -> int:
        """The last day of a bucket's points."""
        return self.rolling if bucket == ROLLING else bucket

    def live(self) -> list[tuple[int, int]]:
        """Spendable points, soonest-expiring first."""
        return self._soonest_first((day, points) for (kind, _, day), points in self.pots.items() if kind == "live")

    def held(self, hold: int) -> list[tuple[int, int]]:
        return self._soonest_first((pot[2], points) for pot, points in self.pots.items() if pot[:2] == ("held", hold))

    def _soonest_first(self, buckets: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        return sorted(buckets, key=lambda each: (self.last(each[0]), each[0]))

    @property
    def balance(self) -> int:
        return sum(points for _, points in self.live())

    @property
    def debt(self) -> int:
        return -self.pots.get(DEBT, 0)

    @property
    def worth(self) -> int:
        return sum(self.pots.values())

    def move(self, moves: Moves, *words: str, rolling: int = 0) -> None:
        """Points come and go; `rolling` is the rolling day then, if that moves."""
        self.began = self.began or bool(rolling and not self.rolling)
        self.rolling = max(self.rolling, rolling)
        for pot, points in moves.items():
            held = self.pots.pop(pot, 0) + points
            if held:
                self.pots[pot] = held
            is_possible = held <= 0 if pot == DEBT else held >= 0
            require(is_possible, f"{pot} of {self.account} is overdrawn: {held}", self.account, *words)
        open_holds = {number for kind, number, _ in self.pots if kind == "held"}
        self.lapses = {number: at for number, at in self.lapses.items() if number in open_holds}
        if not any(pot[2] == ROLLING for pot in self.pots if pot != DEBT):
            self.rolling = 0

    def next(self, until: int, rules: Rules) -> tuple[int, str, Moves] | None:
        """What time does to the account first, at or before `until`."""
        due: list[tuple[int, int, str, Moves]] = []
        if self.lapses:
            lapses, number = min((lapses, number) for number, lapses in self.lapses.items())
            due.append((max(lapses, self.at), 0, "LAPSE", ending_of(self, number, 0)))
        pending = sorted(pot[1:] for pot in self.pots if pot[0] == "pending")
        if pending:
            matures, expires = pending[0]
            points = self.pots["pending", matures, expires]
            moves: Moves = {("pending", matures, expires): -points, ("live", 0, expires): points}
            due.append((max(rules.start(matures), self.at), 1, "MATURITY", moves))
        live = self.live()
        dated = [each for each in live if each[0] != ROLLING]
        if dated and dated[0][0] < NEVER:
            day, points = dated[0]
            due.append((max(rules.start(day + 1), self.at), 2, "EXPIRY", {("live", 0, day): -points}))
        if self.rolling:
            due.append((max(rules.start(self.rolling + 1), self.at), 3, "EXPIRY", self.silenced()))
        if live and self.debt:
            paid = min(self.debt, self.balance)
            due.append((self.at, 4, "DEBT_PAYMENT", {**taken_from(live, paid), DEBT: paid}))
        if not due:
            return None
        at, _, kind, moves = min(due, key=lambda each: each[:2])
        return (at, kind, moves) if at <= until else None

    def silenced(self) -> Moves:
        """A silence takes what is there; what is held, or still waits, has its last day from then on."""
        moves: Moves = {}
        for (kind, number, day), points in self.pots.items():
            if day == ROLLING and kind != "debt":
                moves[kind, number, day] = -points
                if kind != "live":
                    moves[kind, number, self.rolling] = points
        return moves

    def passed(self, at: int, moves: Moves) -> None:
        """Time did something."""
        self.at = at
        self.silences += self.rolling > 0 and moves == self.silenced()
        self.move(moves)

    def activity(self, kind: str, day: int, rules: Rules) -> int:
        """The rolling day after what a member did on a day; 0 where nothing rolls, or what was done keeps nothing alive."""
        if not self.rolling or kind not in rules.activities:
            return 0
        return max(self.rolling, rules.expiry(day), rules.expiry(self.active) if self.active else 0)

    def placed(self, kind: str, day: int, today: int, rules: Rules) -> tuple[int, int]:
        """The bucket of what something of a day earns that is told today, and the rolling day then."""
        until = max(self.rolling, rules.expiry(min(day, today)))
        if not rules.rolls or kind not in rules.activities or until < today:
            return rules.expiry(day), self.activity(kind, min(day, today), rules)
        return ROLLING, max(until, rules.expiry(self.active) if self.active else 0)

    def pass_to(self, now: int, rules: Rules) -> None:
        """Lets time pass."""
        while (event := self.next(now, rules)) is not None:
            self.passed(event[0], event[2])


def taken_from(live: Iterable[tuple[int, int]], points: int) -> Moves:
    """What goes from which bucket when points are taken, soonest-expiring first."""
    moves: Moves = {}
    for day, held in live:
        if points:
            moves["live", 0, day] = -min(held, points)
            points -= min(held, points)
    return moves


def ending_of(books: Books, hold: int, captured: int) -> Moves:
    """A hold ends whole: what is captured of it is gone, the rest goes back to where it came from."""
    kept = books.held(hold)
    spent = taken_from(kept, captured)
    moves: Moves = {("held", hold, day): -points for day, points in kept}
    for day, points in kept:
        moves["live", 0, day] = points + spent.get(("live", 0, day), 0)
    return tidy(moves)


def arrived(moves: Moves, today: int, sign: int = 1) -> Moves:
    """What comes from another account; pending points whose day has come are spendable."""
    arrived: Counter[Pot] = Counter()
    for pot, points in moves.items():
        is_ripe = pot[0] == "pending" and pot[1] <= today
        arrived[("live", 0, pot[2]) if is_ripe else pot] += sign * points
    return tidy(arrived)


def all_of(books: Books) -> Moves:
    return {pot: -points for pot, points in books.pots.items()}
