"""What must not grow: a redemption with the number of buckets, and everything with the length of the history.

    python -m bench.flat

The long history lies on DynamoDB Local, which finds an item by its key as DynamoDB does; MiniStack sorts a partition for every
Query (6 s for 100,000 items). Where there is no Java the history is shorter, and the report says so.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from bench import report, stage
from bench.environments import Batch, Environment, environment
from bench.operations import PAGE, REDEEM
from bench.report import Figure, Section
from bench.stage import Stage
from bench.warm import WARM_UP_CALLS, Comparison
from domain.accounts import Line, State
from domain.entries import Entry, EntryKind, Explanation, Key, Money, Record
from domain.members import Profile
from storage import items
from storage.cursors import Cursors
from storage.items import Item
from tests.engines import missing_for_dynamodb_local, run_dynamodb_local

# CPU may differ by what a longer item takes to read and write; calls may not differ at all.
CPU_RATIO_MAX_BUCKETS = 1.5
CPU_RATIO_MAX_HISTORY = 1.15
BUCKETS = 60
HISTORY = 100_000
HISTORY_SHORT = 10
# MiniStack needs 60 ms for a Query in a partition of a thousand.
HISTORY_MINISTACK = 1_000
TABLE = "bench-flat"

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same requests to a small case and to a large one."""

    name: str
    small: Callable[[int], list[Event]]
    large: Callable[[int], list[Event]]
    ratio_max: float


def measure(on: Stage, *, quick: bool) -> list[Section]:
    """Both kinds of growth."""
    return [_buckets(on, quick=quick), _history(on, quick=quick)]


def _buckets(on: Stage, *, quick: bool) -> Section:
    """Redemptions of 400 points, from 1 bucket of 420 and from 60 buckets of 7: the latter empties 57 of them."""
    now = datetime.now(UTC).replace(microsecond=0)
    batches, calls = (6, 8) if quick else (16, 10)
    table = f"{TABLE}-buckets"
    on.table(table)
    members = WARM_UP_CALLS + batches * calls + 1

    def seeded(buckets: int) -> Callable[[int], list[Event]]:
        first = days_from_epoch(now) + 40
        state = State(at=now - timedelta(days=1), buckets={first + 31 * n: 420 // buckets for n in range(buckets)})
        numbers = count()
        for number in range(members):
            on.put(table, _member(f"{buckets:02}-{number}", f"01JBENCH0000000000{buckets:02}{number:06}", state))

        def events(calls: int) -> list[Event]:
            return [_redeem(f"bench-{buckets:02}-{next(numbers)}", "tasting") for _ in range(calls)]

        return events

    pair = Pair("redeem", seeded(1), seeded(BUCKETS), CPU_RATIO_MAX_BUCKETS)
    section = _section(f"Redeeming from {BUCKETS} buckets instead of 1")
    with _environments(on, table) as (timed, counted):
        _compare(section, pair, timed, counted, batches=batches, calls=calls)
    section.notes.append(
        f"400 points: from one bucket of 420, and from {BUCKETS} buckets of 7, so that 57 of them are emptied"
    )
    return section


def _history(on: Stage, *, quick: bool) -> Section:
    """Everything an app or a till asks, of a member with 10 entries and of one with 100,000."""
    missing = missing_for_dynamodb_local()
    with ExitStack() as engines:
        if missing is None:
            on = stage.on_engine(engines.enter_context(run_dynamodb_local()))
        length = HISTORY_MINISTACK if missing or quick else HISTORY
        section = _section(f"A history of {length:,} entries instead of {HISTORY_SHORT}")
        if missing:
            section.notes.append(f"on MiniStack and only {length:,} entries long: {missing}")
        else:
            section.notes.append("on DynamoDB Local, which finds items by their key as DynamoDB does")
        on.table(TABLE)
        now = datetime.now(UTC).replace(microsecond=0)
        for name, account, entries in (("short", _SHORT, HISTORY_SHORT), ("long", _LONG, length)):
            on.put(TABLE, _long_member(name, account, entries, now))
        batches, calls = (6, 8) if quick else (16, 10)
        with _environments(on, TABLE) as (timed, counted):
            for pair in _asked(now, length):
                _compare(section, pair, timed, counted, batches=batches, calls=calls)
    return section


_SHORT, _LONG = "01JBENCH00000000000000SHORT", "01JBENCH000000000000000LONG"


def _asked(now: datetime, length: int) -> Iterator[Pair]:
    """The requests, for the short history and for the long one."""
    numbers = count(1)
    basket = stage.real_baskets(8)[0]
    cursors = Cursors(stage.SECRET.encode())

    def both(name: str, event: Callable[[str, str, int], Event]) -> Pair:
        def of(member: str, account: str, entries: int) -> Callable[[int], list[Event]]:
            return lambda calls: [event(member, account, entries) for _ in range(calls)]

        return Pair(
            name,
            of("bench-short", _SHORT, HISTORY_SHORT),
            of("bench-long", _LONG, length),
            CPU_RATIO_MAX_HISTORY,
        )

    def page(account: str, entries: int) -> Event:
        # The cursor of an entry in the middle, as a client would have got it after thousands of pages.
        after = cursors.seal(f"entries:{account}", f"{entries // 2 + 5}.0")
        return stage.request(PAGE, "Page", stage.member_claims(account), {"after": after})

    yield both("home screen", lambda _member, account, _entries: stage.home(account))
    yield both("page in the middle", lambda _member, account, entries: page(account, entries))
    yield both(
        "purchase, 8 lines",
        lambda member, _account, _entries: stage.purchase(
            basket, external_id=f"5162{next(numbers):07}", member=member, occurred_at=now - timedelta(hours=2)
        ),
    )
    yield both("redeem", lambda member, _account, _entries: _redeem(member, "latte", f"h-{next(numbers)}"))


# --- measuring --------------------------------------------------------------------------------------------------------


def _section(title: str) -> Section:
    return Section(title, ("", "calls", "read units", "write units", "CPU ms", "CPU ratio", "middle half"))


@contextmanager
def _environments(on: Stage, table: str) -> Iterator[tuple[Environment, Environment]]:
    variables = on.environment(table)
    with (
        environment("handlers.graphql", variables) as timed,
        environment("handlers.graphql", variables, "--calls") as counted,
    ):
        yield timed, counted


def _compare(
    section: Section, pair: Pair, timed: Environment, counted: Environment, *, batches: int, calls: int
) -> None:
    def asked(events: list[Event]) -> Batch:
        batch = timed.call(events)
        stage.data_of(batch.answers)
        return batch

    compared = Comparison()
    asked([*pair.small(WARM_UP_CALLS // 2), *pair.large(WARM_UP_CALLS // 2)])
    for number in range(batches):
        order: Sequence[Callable[[int], list[Event]]] = (pair.small, pair.large)
        spent = {of: asked(of(calls)).cpu_ms for of in (order if number % 2 else order[::-1])}
        compared.ours_ms.append(spent[pair.large])
        compared.theirs_ms.append(spent[pair.small])
    units: list[tuple[float, float, float]] = []
    for events in (pair.small, pair.large):
        batch = counted.call(events(1))
        stage.data_of(batch.answers)
        seen = batch.watched[0]
        reads, writes = sum(call["reads"] for call in seen), sum(call["writes"] for call in seen)
        units.append((len(seen), reads, writes))
    small, large = units
    figures = [
        Figure(f"{pair.name}: {what}", after, unit, before)
        for what, unit, before, after in zip(
            ("calls", "read units", "write units"), ("calls", "RRU", "WRU"), small, large, strict=True
        )
        if what == "calls" or before or after
    ]
    section.add(
        pair.name,
        *(f"{before:g} → {after:g}" for before, after in zip(small, large, strict=True)),
        f"{statistics.median(compared.theirs_ms):.2f} → {statistics.median(compared.ours_ms):.2f}",
        f"{compared.ratio:.2f}",
        compared.middle,
        figures=[*figures, Figure(f"{pair.name}: CPU", compared.ratio, "x", pair.ratio_max, noisy=True)],
    )


# --- what is there ----------------------------------------------------------------------------------------------------


def _redeem(member: str, reward: str, key: str | None = None) -> Event:
    sent = {"idempotencyKey": key or f"r-{member}", "rewardId": reward, "member": {"externalId": member}}
    return stage.request(REDEEM, "Redeem", stage.till_claims(), {"input": sent})


def _member(name: str, account: str, state: State) -> list[Item]:
    """A member whose only entry is a correction that left `state`."""
    lines = tuple(Line(day, points) for day, points in state.buckets.items())
    entry = Entry(
        kind=EntryKind.ADJUSTMENT,
        at=state.at,
        lines=lines[-1:],
        balance_after=state.balance,
        explanation=(Explanation("adjustment:SEED", state.balance),),
        key=Key("seed", name),
        actor=stage.manager().id,
        reason="SEED",
        terms=1,
    )
    profile = Profile(enrolled_at=state.at, external_id=f"bench-{name}")
    return [
        *stage.member_items(account, f"bench-{name}", profile),
        items.record_item(Record(account, 1, (entry,), state)),
    ]


def _long_member(name: str, account: str, entries: int, now: datetime) -> Iterator[Item]:
    """A member with so many purchases, one a minute until yesterday, all in one bucket."""
    expires = days_from_epoch(now) + 700
    first_at = now - timedelta(days=1, minutes=entries)
    yield from stage.member_items(account, f"bench-{name}", Profile(enrolled_at=first_at, external_id=f"bench-{name}"))
    entry = Entry(
        kind=EntryKind.PURCHASE,
        at=first_at,
        lines=(Line(expires, 12),),
        balance_after=0,
        explanation=(Explanation("base", 12, 1_290),),
        key=Key("completejourney", "0"),
        actor=stage.till().id,
        occurred_at=first_at,
        total=Money(1_290, "USD"),
        location="367",
        channel="store",
        terms=1,
    )
    for seq in range(1, entries + 1):
        at = first_at + timedelta(minutes=seq)
        balance = 1_000_000 + 12 * seq
        booked = replace(
            entry,
            at=at,
            occurred_at=at,
            balance_after=balance,
            key=Key("completejourney", f"2162{account[-1]}{seq:06}"),
        )
        yield items.record_item(Record(account, seq, (booked,), State(at=at, buckets={expires: balance})))


def days_from_epoch(now: datetime) -> int:
    """Days since 1970-01-01."""
    return int(now.timestamp()) // 86_400


def main() -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on, quick=False):
            report.show(console, section)


if __name__ == "__main__":
    main()
