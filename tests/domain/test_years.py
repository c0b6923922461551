"""Years of many members under random programs, with jobs that are late, come twice, at once, or die: nothing is missed.

The oracle is written down here once more, in the plainest way: one member, day after day, with calendar arithmetic of its own. It
uses nothing of what it judges: no expiry policy, moment, notice or visit of the program.

What is hunted, after every run of the jobs:

- what time has done by then is booked: balance, pending points and every expiry day are the oracle's;
- every bucket has its due row, and what activity keeps alive one on the way to its day;
- each moment was had once, on the day of the first run that could: birthdays and anniversaries once a year, silences once each;
- a reminder that was given was due: its points will expire that day, its stage is the most urgent one that had come, it is not
  too late, and it was not given before; and where a stage came since the run before, it was given, or a more urgent one;
- who does not agree is told nothing, and has the same points.

Over all examples these are more than 5,000 years of members' lives.
"""

import calendar
import random
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import Phase, given
from hypothesis import strategies as st

from domain import moments, visits
from domain.entries import EntryKind
from domain.moments import Birthday
from domain.notices import Consent, NoticeKind
from domain.programs import Program
from domain.refusals import InsufficientPoints
from storage.memory import Memory
from tests.domain.world import adjust, buy, enroll, program, redeem, search, update

EXAMPLES, MEMBERS, YEARS = 60, 21, 4
EPOCH = date(1970, 1, 1)


def number(on: date) -> int:
    return (on - EPOCH).days


def calendar_date(day: int) -> date:
    return EPOCH + timedelta(days=day)


def test_the_examples_are_five_thousand_years_together() -> None:
    assert EXAMPLES * MEMBERS * YEARS >= 5_000


# --- the program, as its author describes it ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """A program in plain numbers. `length` is days, or months to the end of one; 0 points of a moment give none."""

    policy: str
    length: int
    dates: tuple[tuple[int, int], ...]
    pending: int
    stages: tuple[int, ...]
    birthday: int
    birthday_valid: int
    anniversary: int
    silence: int
    silence_days: int
    welcome: int
    third: int
    zone: str

    def program(self) -> Program:
        expiry: dict[str, Any] = {
            "never": {"policy": "never"},
            "days": {"policy": "fixed", "days": self.length, "rounding": "day"},
            "months": {"policy": "fixed", "months": self.length, "rounding": "month"},
            "calendar": {"policy": "calendar", "dates": [f"{month:02}-{day:02}" for month, day in self.dates]},
            "anniversary": {"policy": "anniversary"},
            "inactivity": {"policy": "inactivity", "days": self.length},
        }[self.policy]
        return program(
            timezone=self.zone,
            expiry=expiry,
            pending={"days": self.pending},
            notices={"stages": list(self.stages), "quiet_from": 21, "quiet_until": 9},
            moments=[
                {
                    "id": "b",
                    "when": "birthday",
                    "points": self.birthday,
                    "valid_days": self.birthday_valid,
                    "title": "B",
                },
                {"id": "a", "when": "anniversary", "points": self.anniversary, "title": "A"},
                {"id": "s", "when": "silence", "days": self.silence_days, "points": self.silence, "title": "S"},
                {"id": "w", "when": "enrollment", "points": self.welcome, "title": "W"},
                {"id": "t", "when": "purchase", "nth": 3, "points": self.third, "title": "T"},
            ],
        )


RULES = st.builds(
    Rules,
    policy=st.sampled_from(["never", "days", "months", "calendar", "anniversary", "inactivity", "inactivity"]),
    length=st.integers(5, 200),
    dates=st.sampled_from([((2, 29),), ((12, 31),), ((3, 31), (9, 30)), ((1, 1), (2, 29), (7, 4))]),
    pending=st.sampled_from([0, 0, 1, 4]),
    stages=st.sampled_from([(), (30, 15, 7), (7,), (1,), (60, 30), (45, 10, 9, 1)]),
    birthday=st.sampled_from([0, 10]),
    birthday_valid=st.sampled_from([0, 20, 60]),
    anniversary=st.sampled_from([0, 5]),
    silence=st.sampled_from([0, 3]),
    silence_days=st.integers(15, 200),
    welcome=st.sampled_from([0, 25]),
    third=st.sampled_from([0, 7]),
    zone=st.sampled_from(["America/New_York", "UTC", "Pacific/Auckland", "America/Santiago"]),
).map(lambda rules: rules if rules.policy != "months" else Rules(**{**vars(rules), "length": 1 + rules.length % 18}))


# --- the oracle ---------------------------------------------------------------------------------------------------------

ROLLING = "rolling"
NEVER = 10**9


def in_year(month_day: tuple[int, int], year: int) -> int:
    """A yearly date; the 28th where there is no 29 February."""
    month, day = month_day
    try:
        return number(date(year, month, day))
    except ValueError:
        return number(date(year, month, 28))


@dataclass
class Oracle:
    """One member's points and moments, day after day."""

    rules: Rules
    joined: int
    born: tuple[int, int] | None = None
    # Since when somebody knows of the birthday.
    told: int = 0
    dated: dict[int, int] = field(default_factory=dict)
    rolling: int = 0
    until: int = 0
    # Points on their way: when they become available, and the day they expire on, or that activity keeps them.
    pending: list[tuple[int, int | str, int]] = field(default_factory=list)
    active: int = 0
    purchases: int = 0
    years: dict[str, int] = field(default_factory=dict)
    silence: int = 0
    had: list[tuple[str, int, int]] = field(default_factory=list)

    def last_day(self, earned: int) -> int:
        """Of points that are earned on a day without an activity."""
        match self.rules.policy:
            case "never":
                return NEVER
            case "days" | "inactivity":
                return earned + self.rules.length
            case "months":
                on = calendar_date(earned)
                years, month = divmod(on.month - 1 + self.rules.length, 12)
                year, month = on.year + years, month + 1
                return number(date(year, month, calendar.monthrange(year, month)[1]))
            case "calendar":
                dates = self.rules.dates
            case _:
                on = calendar_date(self.joined)
                dates = ((on.month, on.day),)
        year = calendar_date(earned).year
        return min(day for each in dates for day in (in_year(each, year), in_year(each, year + 1)) if day > earned)

    def begin(self, day: int) -> None:
        """Midnight: points become available, then those whose last day was yesterday are gone."""
        for matures, last, points in [each for each in self.pending if each[0] <= day]:
            self.pending.remove((matures, last, points))
            self.add(last, points)
        for last in [last for last in self.dated if last < day]:
            del self.dated[last]
        if self.until < day:
            self.rolling = 0

    def add(self, last: int | str, points: int) -> None:
        if isinstance(last, str):
            self.rolling += points
        elif points:
            self.dated[last] = self.dated.get(last, 0) + points

    @property
    def has_rolling(self) -> bool:
        return bool(self.rolling) or any(last == ROLLING for _, last, _ in self.pending)

    def moves(self, day: int) -> None:
        """An activity, and what it keeps alive."""
        self.active = day
        if self.has_rolling:
            self.until = max(self.until, day + self.rules.length)

    def earns(self, points: int, day: int, *, matures: int) -> None:
        """By an activity of the day."""
        if self.rules.policy == "inactivity":
            last: int | str = ROLLING
            if points and not self.has_rolling:
                self.until = day + self.rules.length
        else:
            last = self.last_day(day)
        if matures > day:
            if points:
                self.pending.append((matures, last, points))
        else:
            self.add(last, points)

    def enrolls(self, day: int) -> None:
        self.active = day
        self.add(self.last_day(day), self.rules.welcome)
        self.had.append(("w", day, self.rules.welcome))

    def buys(self, points: int, day: int) -> None:
        self.moves(day)
        self.earns(points, day, matures=day + self.rules.pending)
        self.purchases += 1
        if self.purchases == 3:
            self.earns(self.rules.third, day, matures=day)
            self.had.append(("t", day, self.rules.third))

    def spends(self, points: int) -> None:
        for last, pot in sorted(
            [(self.until, ROLLING), *((last, last) for last in self.dated)], key=lambda each: each[0]
        ):
            held = self.rolling if pot == ROLLING else self.dated[last]
            taken = min(points, held)
            points -= taken
            if pot == ROLLING:
                self.rolling -= taken
            elif held == taken:
                del self.dated[last]
            else:
                self.dated[last] -= taken
        assert not points

    @property
    def balance(self) -> int:
        return self.rolling + sum(self.dated.values())

    @property
    def live(self) -> dict[int, int]:
        """What can be spent, by last day."""
        found = dict(self.dated)
        if self.rolling:
            found[self.until] = found.get(self.until, 0) + self.rolling
        return found

    @property
    def expiring(self) -> dict[int, int]:
        """What will expire, by day: with what becomes available by then."""
        found = self.live
        for matures, last, points in self.pending:
            on = self.until if isinstance(last, str) else last
            if matures <= on:
                found[on] = found.get(on, 0) + points
        return {last: points for last, points in found.items() if last < NEVER}

    def is_looked_at(self, day: int) -> None:
        """A run of the jobs in which the member may have their moments."""
        for name, born, since, points in (
            ("b", self.born, max(self.told, self.joined), self.rules.birthday),
            (
                "a",
                (calendar_date(self.joined).month, calendar_date(self.joined).day),
                self.joined + 1,
                self.rules.anniversary,
            ),
        ):
            if born is None:
                continue
            year = calendar_date(day).year
            on = max(each for each in (in_year(born, year), in_year(born, year - 1)) if each <= day)
            if day - on <= 14 and on >= since and self.years.get(name, 0) < calendar_date(on).year:
                self.years[name] = calendar_date(on).year
                self.gets(name, points, day)
        if self.active + self.rules.silence_days <= day and self.silence != self.active:
            self.silence = self.active
            self.gets("s", self.rules.silence, day)

    def gets(self, name: str, points: int, day: int) -> None:
        valid = self.rules.birthday_valid if name == "b" else 0
        self.add(day + valid if valid else self.last_day(day), points)
        self.had.append((name, day, points))


# --- the jobs -----------------------------------------------------------------------------------------------------------


class Rows(Memory):
    """Due rows by day, so that planning is cheap."""

    def __init__(self) -> None:
        super().__init__()
        self.by_day: defaultdict[int, set[str]] = defaultdict(set)

    def note_due(self, account: str, due: Iterable[int]) -> None:
        for day in due:
            self.by_day[day].add(account)


@dataclass
class Jobs:
    """Both rounds of the jobs, with a mark each, as a plain planner makes them."""

    store: Rows
    terms: Program
    chance: random.Random
    marks: dict[bool, int] = field(default_factory=dict)

    def run(self, day: int, now: datetime, *, telling: bool) -> None:
        """One round of a day: killed once in a while, and then run again; its visits come in any order, twice, or at once."""
        last = self.marks.get(telling, day - 60)
        offsets = visits.offsets(self.terms) | {-1, 0}
        planned = sorted({
            account
            for offset in offsets
            for on in range(last + offset + 1, day + offset + 1)
            for account in self.store.by_day.get(on, ())
        })  # fmt: skip
        if self.chance.random() < 0.1:
            self._visits(planned[: self.chance.randint(0, len(planned))], now, telling=telling)
        self.chance.shuffle(planned)
        self._visits(planned, now, telling=telling)
        if self.chance.random() < 0.1:
            self._visits(planned[:5], now + timedelta(minutes=5), telling=telling)
        self.marks[telling] = day

    def _visits(self, planned: list[str], now: datetime, *, telling: bool) -> None:
        def visit(account: str) -> None:
            visits.visit(self.store, self.terms, account, now=now, telling=telling)

        for account in planned:
            if self.chance.random() < 0.005:
                threads = [threading.Thread(target=visit, args=(account,)) for _ in range(3)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            else:
                visit(account)


# --- lives --------------------------------------------------------------------------------------------------------------


class World:
    """Members of one program, and the oracle of each."""

    def __init__(self, rules: Rules, seed: int, begins: int) -> None:
        self.chance = random.Random(seed)
        self.rules, self.begins, self.terms = rules, begins, rules.program()
        self.zone = ZoneInfo(rules.zone)
        self.store = Rows()
        self.jobs = Jobs(self.store, self.terms, self.chance)
        self.oracles: dict[str, Oracle] = {}
        self.silent: dict[str, set[Consent]] = {}
        self.seen: dict[str, int] = defaultdict(int)
        self.reminded: dict[str, set[tuple[int, int]]] = defaultdict(set)
        # How far each log was read, and the moments in it.
        self.read: dict[str, int] = defaultdict(int)
        self.had: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        # Moments up to which what was told is counted.
        self.told: dict[str, int] = defaultdict(int)
        # Since when points are to expire on which day.
        self.since: dict[str, dict[int, int]] = defaultdict(dict)
        self.told_on = 0
        # How often a member does something, from twice a month to hardly ever.
        self.eager = {f"M{each}": self.chance.choice([0.07, 0.03, 0.015, 0.005, 0.0005]) for each in range(MEMBERS)}
        self.joining = {name: begins + self.chance.choice([0, 0, self.chance.randint(0, 300)]) for name in self.eager}

    def instant(self, day: int, hour: int) -> datetime:
        on = calendar_date(day)
        return datetime(on.year, on.month, on.day, hour, tzinfo=self.zone).astimezone(UTC)

    def live(self) -> None:
        next_run = self.begins
        for day in range(self.begins, self.begins + YEARS * 365 + 1):
            for oracle in self.oracles.values():
                oracle.begin(day)
            if day >= next_run:
                self.at_night(day)
                self.in_the_morning(day)
                # On time as a rule; once in a while up to ten days late.
                next_run = day + (1 if self.chance.random() < 0.8 else self.chance.randint(2, 10))
            elif self.chance.random() < 0.3:
                self.at_night(day)
            for name in self.eager:
                self.at_noon(name, day)

    def at_night(self, day: int) -> None:
        """Quiet hours: what time did is booked, and nobody is told."""
        before = self.notices()
        self.jobs.run(day, self.instant(day, 4), telling=False)
        assert self.notices() == before
        self.check_booked(day)

    def in_the_morning(self, day: int) -> None:
        self.jobs.run(day, self.instant(day, 10), telling=True)
        for account, oracle in self.oracles.items():
            oracle.is_looked_at(day)
            self.remember(account, day)
        self.check_booked(day)
        self.check_told(day)
        self.check_rows(day)
        self.told_on = day

    def at_noon(self, name: str, day: int) -> None:
        chance = self.chance
        if day == self.joining[name]:
            self.enroll(name, day, self.instant(day, 12))
            self.remember(name, day)
        oracle = self.oracles.get(name)
        if oracle is None or chance.random() >= self.eager[name]:
            return
        now = self.instant(day, 12)
        key = f"{name}-{day}"
        what = chance.random()
        if what < 0.6:
            points = chance.choice([0, 1, 5, 40])
            buy(self.store, name, points * 100, now, receipt=key, program=self.terms)
            oracle.buys(points, day)
        elif what < 0.8:
            try:
                redeem(self.store, name, "cookie", now, key=key, program=self.terms)
            except InsufficientPoints:
                assert oracle.balance < 15
            else:
                oracle.spends(15)
                oracle.moves(day)
        elif what < 0.95:
            adjust(self.store, name, 11, now, key=key, program=self.terms)
            oracle.add(oracle.last_day(day), 11)
        else:
            self.tell_birthday(name, day, now)
        self.remember(name, day)

    def remember(self, account: str, day: int) -> None:
        """Since when points are to expire on which day."""
        known = self.since[account]
        self.since[account] = {last: known.get(last, day) for last in self.oracles[account].expiring}

    def enroll(self, name: str, day: int, now: datetime) -> None:
        oracle = self.oracles[name] = Oracle(self.rules, day)
        birthday = self.birthday(day) if self.chance.random() < 0.7 else None
        answers = {each: self.chance.random() < 0.5 for each in Consent if self.chance.random() < 0.3}
        enroll(self.store, name, now, program=self.terms, birthday=birthday, consents=answers)
        self.silent[name] = {consent for consent, answer in answers.items() if not answer}
        if birthday is not None:
            oracle.born, oracle.told = birthday.yearly, day
        oracle.enrolls(day)

    def birthday(self, day: int) -> Birthday:
        """Any; more often one that is about now, or that few years have."""
        on = calendar_date(day + self.chance.choice([0, 1, -1, -9, 14, self.chance.randint(0, 365)]))
        month, day_of_month = self.chance.choice([(on.month, on.day), (2, 29), (12, 31), (1, 1)])
        return Birthday(month, day_of_month)

    def tell_birthday(self, name: str, day: int, now: datetime) -> None:
        birthday = None if self.chance.random() < 0.2 else self.birthday(day)
        update(self.store, name, now, key=f"{name}-{day}", program=self.terms, birthday=birthday)
        oracle = self.oracles[name]
        if birthday is None or birthday.yearly != oracle.born:
            oracle.told = day
        oracle.born = birthday.yearly if birthday else None

    # --- what must hold -------------------------------------------------------------------------------------------------

    def notices(self) -> dict[str, int]:
        return {account: len(given) for account, given in self.store._notices.items()}

    def check_booked(self, day: int) -> None:
        # All of it takes most of the time of these tests: the balance every time, and once in a while every bucket.
        is_thorough = self.chance.random() < 0.2
        for account, oracle in self.oracles.items():
            state = self.store._logs[account][-1].state
            assert state.balance == oracle.balance, (account, calendar_date(day))
            if not is_thorough:
                continue
            live: dict[int, int] = {}
            for bucket, points in state.buckets.items():
                last = min(state.last_day(bucket), NEVER)
                live[last if bucket < 10_000_000 else NEVER] = live.get(last, 0) + points
            assert live == oracle.live, (account, calendar_date(day))
            assert state.pending_points == sum(points for *_, points in oracle.pending), (account, calendar_date(day))

    def check_rows(self, day: int) -> None:
        for account, oracle in self.oracles.items():
            state = self.store._logs[account][-1].state
            for last in (*oracle.dated, *(matures for matures, *_ in oracle.pending)):
                if last < NEVER:
                    assert account in self.store.by_day[last], (account, calendar_date(last))
            if oracle.has_rolling:
                assert state.rolling is not None
                assert state.rolling.until == oracle.until
                # One of a day up to the last: its visit finds where that has moved to.
                assert any(account in self.store.by_day[on] for on in range(day, oracle.until + 1)), account

    def check_told(self, day: int) -> None:
        for account, oracle in self.oracles.items():
            for record in self.store._logs[account][self.read[account] :]:
                for entry in record.entries:
                    if entry.kind is EntryKind.BONUS:
                        self.had[account].append((moments.named_by(entry), self.day_of(entry.at), entry.points))
            self.read[account] = len(self.store._logs[account])
            assert sorted(self.had[account]) == sorted(oracle.had), (account, calendar_date(day))
            if len(self.had[account]) != self.told[account]:
                given = self.store._notices.get(account, {}).values()
                told = sum(each.kind is NoticeKind.MOMENT for each in given)
                assert told == (0 if Consent.OFFERS in self.silent[account] else len(oracle.had)), account
                self.told[account] = len(self.had[account])
            self.check_reminders(account, oracle, day)

    def check_reminders(self, account: str, oracle: Oracle, day: int) -> None:
        stages = self.rules.stages
        given = list(self.store._notices.get(account, {}).values())
        new, self.seen[account] = given[self.seen[account] :], len(given)
        reminders = [each for each in new if each.kind is NoticeKind.REMINDER]
        if Consent.REMINDERS in self.silent[account]:
            assert reminders == []
            return
        for notice in reminders:
            last, stage = notice.args["date"], notice.args["stage"]
            assert isinstance(last, int)
            assert isinstance(stage, int)
            assert self.day_of(notice.at) == day
            assert last > day
            assert stage == min(each for each in stages if each >= last - day)
            assert notice.args["points"] == oracle.expiring[last], (account, calendar_date(day), calendar_date(last))
            assert notice.args["balance"] == oracle.balance
            assert (last, stage) not in self.reminded[account]
            self.reminded[account].add((last, stage))
        # A stage that came while the points were to expire on that day: later ones, and days that an activity has moved to, come
        # too late for it; so does a day to which it was moved on the very day of the stage, after the morning.
        for last, since in self.since[account].items():
            is_moved = oracle.has_rolling and last == oracle.until
            first = max(self.told_on + 1, since + is_moved)
            if last > day and any(first <= last - stage <= day for stage in stages):
                urgent = min(stage for stage in stages if stage >= last - day)
                assert (last, urgent) in self.reminded[account], (account, calendar_date(day), calendar_date(last))

    def day_of(self, instant: datetime) -> int:
        return number(instant.astimezone(self.zone).date())


# A smaller example is no shorter story: the seed alone decides it.
@search(EXAMPLES, phases=[Phase.generate])
@given(RULES, st.integers(0, 2**32), st.integers(number(date(2023, 1, 1)), number(date(2028, 12, 31))))
def test_nothing_is_missed_in_years_of_random_programs_lives_and_jobs(rules: Rules, seed: int, begins: int) -> None:
    World(rules, seed, begins).live()
