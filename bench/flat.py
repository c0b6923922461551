"""What must not grow: an operation with the number of buckets, a return with the receipt and with what was returned before, and
everything with the length of the history.

    python -m bench.flat

The long history lies on DynamoDB Local, which finds an item by its key as DynamoDB does; MiniStack sorts a partition for every
Query (6 s for 100,000 items). Where there is no Java the history is shorter, and the report says so.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from bench import report, stage, units
from bench.environments import Batch, Environment, environment
from bench.operations import CAPTURE, HOLD, PAGE, REDEEM, RETURN, TRANSFER
from bench.report import Figure, Section
from bench.stage import Stage
from bench.warm import WARM_UP_CALLS, Comparison
from domain import accounts
from domain.accounts import State
from domain.entries import BasketLine, PurchaseReturn, Reversal
from handlers.replay import completejourney
from schema.nodes import to_id
from storage import items
from storage.cursors import Cursors
from storage.items import Item
from tests.engines import missing_for_dynamodb_local, run_dynamodb_local

# CPU may differ by what a longer item takes to read and write; calls may not differ at all.
CPU_RATIO_MAX_BUCKETS = 1.5
CPU_RATIO_MAX_LINES = 1.5
CPU_RATIO_MAX_RETURNS = 1.75
CPU_RATIO_MAX_HISTORY = 1.15
BUCKETS = 60
LINES = 200
RETURNS = 50
HISTORY = 100_000
HISTORY_SHORT = 10
# MiniStack needs 60 ms for a Query in a partition of a thousand.
HISTORY_MINISTACK = 1_000
TABLE = "bench-flat"

Event = dict[str, Any]
Events = Callable[[int], list[Event]]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same requests to a small case and to a large one. `more_reads` and `more_writes` are units that larger items cost."""

    name: str
    small: Events
    large: Events
    ratio_max: float
    more_reads: float = 0
    more_writes: float = 0


def measure(on: Stage, *, quick: bool) -> list[Section]:
    """Every kind of growth."""
    return [_buckets(on, quick=quick), _returns(on, quick=quick), _history(on, quick=quick)]


def _sizes(*, quick: bool) -> tuple[int, int]:
    """Batches, and calls of a batch."""
    return (6, 8) if quick else (12, 10)


# --- buckets ----------------------------------------------------------------------------------------------------------


def _buckets(on: Stage, *, quick: bool) -> Section:
    """Each request to a member of its own: with one bucket, and with sixty."""
    now = datetime.now(UTC).replace(microsecond=0)
    batches, calls = _sizes(quick=quick)
    table = f"{TABLE}-buckets"
    on.table(table)
    numbers = count(1)
    first = stage.day_of(now) + 40

    def fresh(state: Callable[[int], State], asked: Callable[[str, str, int], Event]) -> Callable[[int], Events]:
        """Requests to members in `state` of so many buckets, by name, account and buckets; each bought something, and is asked
        once."""

        def of(buckets: int) -> Events:
            made = [_numbered(next(numbers)) for _ in range(WARM_UP_CALLS // 2 + batches * calls + 1)]
            left = state(buckets)

            def rows() -> Iterator[Item]:
                for name, account in made:
                    claim, entry = stage.purchase_made(account, 1, at=left.at, expires=first, state=left)
                    yield from stage.member_in_state(name, account, left, entry)
                    yield items.claim_item(claim)

            on.put(table, rows())
            unasked = iter(made)
            return lambda calls: [asked(*next(unasked), buckets) for _ in range(calls)]

        return of

    def full(points: int) -> Callable[[int], State]:
        return lambda buckets: State(now - timedelta(days=1), {first + 31 * each: points for each in range(buckets)})

    def spread(buckets: int) -> State:
        return full(420 // buckets)(buckets)

    def holding(buckets: int) -> State:
        state = full(420)(buckets)
        lines = accounts.hold(state, 1, 400)
        return accounts.fold(state, lines, at=state.at, lapses_at=now + timedelta(days=1))

    for buckets in (1, BUCKETS):
        # Who is given points has the bucket they come in already, or its day would be noted.
        name = f"bench-receiver-{buckets}"
        on.put(table, stage.member_in_state(name, f"01JBENCH000000000RECEIVER{buckets:02}", full(420)(buckets)))

    section = _section(f"{BUCKETS} buckets instead of 1")
    with _environments(on, table) as (timed, counted):
        for name, of, more_writes in (
            ("redeem, from 57", fresh(spread, lambda name, _account, _buckets: _redeem(name, "tasting")), 0),
            ("hold", fresh(full(420), lambda name, _account, _buckets: _hold(name)), 0),
            ("hold, from 57", fresh(spread, lambda name, _account, _buckets: _hold(name)), 1),
            ("capture", fresh(holding, lambda _name, account, _buckets: _capture(account)), 0),
            (
                "transfer",
                fresh(full(420), lambda _name, account, buckets: _transfer(account, f"bench-receiver-{buckets}")),
                0,
            ),
            ("return", fresh(full(420), lambda _name, account, _: _return(account, 1, "r-1")), 0),
        ):
            pair = Pair(name, of(1), of(BUCKETS), CPU_RATIO_MAX_BUCKETS, more_writes=more_writes)
            _compare(section, pair, timed, counted, batches=batches, calls=calls)
    section.notes += [
        f"from 57: 400 points out of {BUCKETS} buckets of 7, so that 57 are emptied, instead of out of one of 420",
        f"the others: 400 points (of a return, 12) out of the first of {BUCKETS} buckets of 420, instead of the only one",
        "a hold remembers each bucket it took from: the entry and the state after it name all 57",
    ]
    return section


# --- returns ----------------------------------------------------------------------------------------------------------


def _returns(on: Stage, *, quick: bool) -> Section:
    """A return of one piece, each of a purchase of its own."""
    now = datetime.now(UTC).replace(microsecond=0)
    batches, calls = _sizes(quick=quick)
    table = f"{TABLE}-returns"
    on.table(table)
    numbers = count(1)
    expires = stage.day_of(now) + 40
    state = State(now - timedelta(days=1), {expires: 420})

    def rows(account: str, lines: int, returned: int) -> tuple[list[Item], list[Item]]:
        # The whole is the same whatever the lines: 12.90.
        line = BasketLine("1029743", "GROCERY", 1, 6)
        bought = (BasketLine("1029743", "GROCERY", 20, 1_290 - 6 * (lines - 1)), *([line] * (lines - 1)))
        claim, entry = stage.purchase_made(account, 1, at=state.at, expires=expires, state=state, lines=bought)
        earlier = [
            PurchaseReturn(
                claim.key,
                f"before-{number:03}",
                b"f" * 16,
                state.at,
                amount_minor=6,
                currency=completejourney.CURRENCY,
                account=account,
                seq=1,
                reversal=Reversal(6, 0, 0, 0),
            )
            for number in range(returned)
        ]
        log = [*stage.member_in_state(f"bench-{account}", account, state, entry), items.claim_item(claim)]
        return log, [items.return_item(each) for each in earlier]

    def seeded(lines: int, returned: int) -> tuple[Events, float]:
        """The requests, and the read units of what was returned before."""
        made = [_numbered(next(numbers))[1] for _ in range(WARM_UP_CALLS // 2 + batches * calls + 1)]
        on.put(table, (row for account in made for both in rows(account, lines, returned) for row in both))
        reads = units.read_units(rows(made[0], lines, returned)[1], strong=True)
        unasked = iter(made)
        return lambda calls: [_return(next(unasked), 1, "now", line=1) for _ in range(calls)], reads

    section = _section("A return of a long receipt, and of one of which much was returned")
    with _environments(on, table) as (timed, counted):
        for name, small, large, ratio_max in (
            (f"1 → {LINES} lines", seeded(1, 0), seeded(LINES, 0), CPU_RATIO_MAX_LINES),
            (f"1 → {RETURNS} returns before", seeded(8, 1), seeded(8, RETURNS), CPU_RATIO_MAX_RETURNS),
        ):
            (few, reads), (many, more) = small, large
            _compare(
                section,
                Pair(name, few, many, ratio_max, more_reads=more - reads),
                timed,
                counted,
                batches=batches,
                calls=calls,
            )
    section.notes.append("what was returned before is read whole: every return is judged on all that were made")
    return section


# --- history ----------------------------------------------------------------------------------------------------------


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
            on.put(TABLE, stage.member_of_purchases(f"bench-{name}", account, entries, now))
        batches, calls = _sizes(quick=quick)
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
    # Of the first purchases, which are the oldest. Each side has as many returns before as the other.
    returned = {_SHORT: count(), _LONG: count()}

    def give_back(account: str) -> Event:
        number = next(returned[account])
        return _return(account, 1 + number % stage.CLAIMS_OF_HISTORY, f"b-{number:04}", amount_minor=50)

    yield both("return", lambda _member, account, _entries: give_back(account))


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
    def asked(events: list[Event], of: Environment = timed) -> Batch:
        batch = of.call(events)
        for data in stage.data_of(batch.answers):
            assert not any(each.get("userErrors") for each in data.values()), f"refused: {data}"
        return batch

    compared = Comparison()
    asked([*pair.small(WARM_UP_CALLS // 2), *pair.large(WARM_UP_CALLS // 2)])
    for number in range(batches):
        order: Sequence[Callable[[int], list[Event]]] = (pair.small, pair.large)
        spent = {of: asked(of(calls)).cpu_ms for of in (order if number % 2 else order[::-1])}
        compared.ours_ms.append(spent[pair.large])
        compared.theirs_ms.append(spent[pair.small])
    counts: list[tuple[float, float, float]] = []
    for events in (pair.small, pair.large):
        seen = asked(events(1), counted).watched[0]
        reads, writes = sum(call["reads"] for call in seen), sum(call["writes"] for call in seen)
        counts.append((len(seen), reads, writes))
    small, large = counts
    figures = [
        Figure(f"{pair.name}: {what}", after, unit, before + more)
        for what, unit, before, after, more in zip(
            ("calls", "read units", "write units"),
            ("calls", "RRU", "WRU"),
            small,
            large,
            (0, pair.more_reads, pair.more_writes),
            strict=True,
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


# --- what is asked ----------------------------------------------------------------------------------------------------


def _numbered(number: int) -> tuple[str, str]:
    """The name and the account of a member."""
    return f"bench-{number:05}", f"01JBENCH{number:018}"


def _till(query: str, operation: str, **sent: object) -> Event:
    return stage.request(query, operation, stage.till_claims(), {"input": sent})


def _redeem(member: str, reward: str, key: str | None = None) -> Event:
    return _till(REDEEM, "Redeem", idempotencyKey=key or f"r-{member}", rewardId=reward, member={"externalId": member})


def _hold(member: str) -> Event:
    return _till(HOLD, "Hold", idempotencyKey=f"h-{member}", member={"externalId": member}, points=400)


def _capture(account: str) -> Event:
    return _till(CAPTURE, "Capture", idempotencyKey=f"c-{account}", holdId=to_id("Hold", f"{account}:1"))


def _transfer(giver: str, receiver: str) -> Event:
    sent = {"idempotencyKey": f"t-{giver}", "to": {"externalId": receiver}, "points": 400}
    return stage.request(TRANSFER, "Transfer", stage.member_claims(giver), {"input": sent})


def _return(account: str, seq: int, name: str, *, line: int = 0, amount_minor: int = 0) -> Event:
    """A return of a piece of a line, of an amount, or of all of the purchase at `seq`."""
    part: Mapping[str, Any] = {}
    if line:
        part = {"part": {"lines": [{"line": line, "quantity": 1}]}}
    elif amount_minor:
        part = {"part": {"amount": {"amountMinor": amount_minor, "currency": completejourney.CURRENCY}}}
    key = stage.purchase_key(account, seq)
    return _till(RETURN, "Return", source=key.source, externalId=key.value, returnId=name, **part)


def main() -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on, quick=False):
            report.show(console, section)


if __name__ == "__main__":
    main()
