"""An account as the auditor works it out: pots of points, and what time does to them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.faults.auditor.facts import DEBT, NEVER, Moves, Pot, Rules, require
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

    def copy(self) -> "Books":
        return Books(
            self.account, self.at, self.seq, dict(self.pots), dict(self.lapses), self.status, self.sent, self.merged
        )

    def live(self) -> list[tuple[int, int]]:
        """Spendable points, soonest-expiring first."""
        return sorted((day, points) for (kind, _, day), points in self.pots.items() if kind == "live")

    def held(self, hold: int) -> list[tuple[int, int]]:
        return sorted((pot[2], points) for pot, points in self.pots.items() if pot[:2] == ("held", hold))

    @property
    def balance(self) -> int:
        return sum(points for _, points in self.live())

    @property
    def debt(self) -> int:
        return -self.pots.get(DEBT, 0)

    @property
    def worth(self) -> int:
        return sum(self.pots.values())

    def move(self, moves: Moves, *words: str) -> None:
        for pot, points in moves.items():
            held = self.pots.pop(pot, 0) + points
            if held:
                self.pots[pot] = held
            is_possible = held <= 0 if pot == DEBT else held >= 0
            require(is_possible, f"{pot} of {self.account} is overdrawn: {held}", self.account, *words)
        open_holds = {number for kind, number, _ in self.pots if kind == "held"}
        self.lapses = {number: at for number, at in self.lapses.items() if number in open_holds}

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
        if live and live[0][0] < NEVER:
            day, points = live[0]
            due.append((max(rules.start(day + 1), self.at), 2, "EXPIRY", {("live", 0, day): -points}))
        if live and self.debt:
            paid = min(self.debt, self.balance)
            due.append((self.at, 3, "DEBT_PAYMENT", {**taken_from(live, paid), DEBT: paid}))
        if not due:
            return None
        at, _, kind, moves = min(due, key=lambda each: each[:2])
        return (at, kind, moves) if at <= until else None

    def pass_to(self, now: int, rules: Rules) -> None:
        """Lets time pass."""
        while (event := self.next(now, rules)) is not None:
            self.at = event[0]
            self.move(event[2])


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
