"""An account as it was: found by halving, and the same as if its lines were replayed one by one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import history, ledger
from domain.accounts import State, Status
from domain.entries import Record
from domain.refusals import InvalidTime
from domain.store import Store
from storage.memory import Memory
from tests.domain.world import (
    NEVER,
    PROGRAM,
    ZONE,
    Stale,
    adjust,
    at,
    block,
    buy,
    close,
    contents_of,
    enroll,
    head_of,
    hold,
    program,
    redeem,
    search,
    unblock,
)

NOW = at("2026-01-10")
BRIEF = program(expiry={"days": 3, "rounding": "day"}, pending={"days": 1})


class Counted(Memory):
    """Counts what is read of a log."""

    reads = 0

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        self.reads += 1
        return super().records_after(account, seq, limit=limit)


def seen(store: Store, instant: datetime, *, now: datetime = NEVER, page: int = 1) -> State:
    home = store.home("ADA", entries=page - 1, strong=True)
    assert home is not None
    return history.as_of(store, home.records, instant, now=now, program=PROGRAM).state


@pytest.fixture(params=[Memory, Stale])
def store(request: pytest.FixtureRequest) -> Memory:
    made: Memory = request.param()
    enroll(made, "ada", NOW)
    return made


def test_each_moment_has_its_balance(store: Memory) -> None:
    buy(store, "ada", 5_000, at("2026-02-01"), receipt="1")
    redeem(store, "ada", "latte", at("2026-03-01"), key="k")
    adjust(store, "ada", 7, at("2026-04-01"), key="a")

    for page in (1, 2, 10):
        for moment, balance in (
            (NOW, 0),
            (at("2026-02-01") - timedelta(milliseconds=1), 0),
            (at("2026-02-01"), 50),
            (at("2026-03-01") - timedelta(milliseconds=1), 50),
            (at("2026-03-01"), 10),
            (at("2026-03-31"), 10),
            (at("2026-04-01"), 17),
            (at("2028-02-29"), 17),
            (at("2028-03-01"), 7),
            (at("2028-05-01"), 0),
        ):
            assert seen(store, moment, page=page).balance == balance, moment


def test_what_time_had_done_by_then_is_seen_though_it_was_booked_later_or_never(store: Memory) -> None:
    buy(store, "ada", 5_000, NOW, receipt="1", program=BRIEF)
    late = at("2026-06-01")

    for _ in range(2):
        assert (seen(store, NOW).balance, seen(store, NOW).pending_points) == (0, 50)
        assert seen(store, at("2026-01-11 00:00")).balance == 50
        assert seen(store, at("2026-01-13 23:59")).balance == 50
        assert seen(store, at("2026-01-14 00:00")).balance == 0
        # Booked months later, by whatever came next.
        adjust(store, "ada", 1, late, key="a")


def test_what_an_account_could_do_is_part_of_what_it_was(store: Memory) -> None:
    buy(store, "ada", 5_000, NOW, receipt="1")
    hold(store, "ada", 20, at("2026-01-12"), key="h")
    block(store, "ada", at("2026-02-01"), key="b")
    unblock(store, "ada", at("2026-03-01"), key="u")
    close(store, "ada", at("2026-04-01"), key="c")

    assert [seen(store, at(on)).status for on in ("2026-01-31", "2026-02-01", "2026-03-01", "2026-04-01")] == [
        Status.ACTIVE,
        Status.BLOCKED,
        Status.ACTIVE,
        Status.CLOSED,
    ]
    assert (seen(store, at("2026-01-12")).held_points, seen(store, at("2026-01-12 13:00")).held_points) == (20, 0)
    assert (seen(store, at("2026-03-31")).balance, seen(store, at("2026-05-01")).balance) == (50, 0)


def test_of_several_records_of_one_instant_the_last_counts(store: Memory) -> None:
    for number in range(5):
        adjust(store, "ada", 1, NOW, key=str(number))

    assert seen(store, NOW).balance == 5


@pytest.mark.parametrize("later", [timedelta(milliseconds=1), timedelta(days=400)])
def test_a_time_to_come_is_not_known(store: Memory, later: timedelta) -> None:
    with pytest.raises(InvalidTime) as refused:
        seen(store, NOW + later, now=NOW)
    assert refused.value.field == ("asOf",)
    assert seen(store, NOW, now=NOW).balance == 0


@pytest.mark.parametrize("entries", [0, 1, 30])
def test_before_it_was_opened_there_was_no_account(store: Memory, entries: int) -> None:
    for number in range(entries):
        adjust(store, "ada", 1, NOW + timedelta(days=1), key=str(number))

    for moment in (NOW - timedelta(milliseconds=1), datetime.min.replace(tzinfo=UTC)):
        with pytest.raises(InvalidTime) as refused:
            seen(store, moment)
        assert refused.value.field == ("asOf",)
    assert seen(store, NOW).balance == 0


def test_a_long_history_is_halved_and_a_short_one_is_not_read_again() -> None:
    store = Counted()
    enroll(store, "ada", NOW)
    for number in range(1, 300):
        adjust(store, "ada", 1, NOW + timedelta(hours=number), key=str(number))

    for number in (0, 1, 7, 149, 150, 287):
        store.reads = 0
        assert seen(store, NOW + timedelta(hours=number, minutes=59), page=11).balance == number
        assert store.reads <= 9
    store.reads = 0
    assert seen(store, NOW + timedelta(hours=289), page=11).balance == 289
    assert store.reads == 0


# One thing that happens: what, of how many points, and after how many hours.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "redeem", "adjust", "hold", "look"]),
        st.integers(1, 60),
        st.sampled_from([0, 0, 1, 5, 24, 36, 100]),
    ),
    max_size=25,
)


@search(150)
@given(STEPS, st.lists(st.integers(0, 2_000), min_size=1, max_size=20), st.integers(1, 12))
def test_the_account_at_any_instant_is_the_lines_up_to_it(
    steps: list[tuple[str, int, int]], moments: list[int], page: int
) -> None:
    """Whatever happened, and whether or when anybody booked what time did."""
    store, now = Memory(), NOW
    enroll(store, "ada", now)
    for number, (what, points, hours) in enumerate(steps):
        now += timedelta(hours=hours)
        key = str(number)
        if what == "buy":
            buy(store, "ada", points * 100, now, receipt=key, program=BRIEF if points % 2 else program())
        elif what == "adjust":
            adjust(store, "ada", points, now, key=key, program=BRIEF)
        elif points <= ledger.current(head_of(store, "ADA"), now, PROGRAM).state.balance and what != "look":
            if what == "hold" and len(head_of(store, "ADA").state.holds) < 8:
                hold(store, "ada", points, now, key=key)
            elif points >= 40:
                redeem(store, "ada", "latte", now, key=key)
    head = head_of(store, "ADA")
    everything = [*store._logs["ADA"], ledger.current(head, NOW + timedelta(hours=4_000), PROGRAM)]
    for hours in moments:
        instant = NOW + timedelta(hours=hours)
        replayed = State(at=NOW)
        for record in everything:
            for entry in record.entries:
                if entry.at <= instant:
                    replayed = ledger.apply(replayed, entry, at=entry.at, zone=ZONE)
        assert contents_of(seen(store, instant, page=page)) == contents_of(replayed)
