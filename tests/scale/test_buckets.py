"""A partition gives what it gives: its rate, and what was left over from one second."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from bench.scale.buckets import Partitions, TokenBucket, dice

_ASKED = st.lists(st.tuples(st.floats(0, 3), st.floats(0.1, 400)), min_size=1, max_size=80)


@given(_ASKED, st.floats(1, 2_000), st.floats(1, 2_000))
def test_never_grants_more_in_any_while_than_its_rate_and_its_depth(
    asked: list[tuple[float, float]], rate: float, depth: float
) -> None:
    bucket = TokenBucket(rate, depth)
    times = list(accumulate(gap for gap, _ in asked))
    granted = [units if bucket.take(units, at) else 0.0 for at, (_, units) in zip(times, asked, strict=True)]
    for first in range(len(asked)):
        for last in range(first, len(asked)):
            most = rate * (times[last] - times[first]) + depth
            assert sum(granted[first : last + 1]) <= most * (1 + 1e-9)


@given(_ASKED)
def test_refuses_nobody_whose_units_are_there(asked: list[tuple[float, float]]) -> None:
    bucket = TokenBucket(100, 100)
    now, left = 0.0, 100.0
    for gap, units in asked:
        now += gap
        left = min(100.0, left + gap * 100)
        if units < left - 1e-6:
            assert bucket.take(units, now)
            left -= units
        elif units > left + 1e-6:
            assert not bucket.take(units, now)
        else:
            return  # too close to tell, as floats go


def test_gives_its_rate_for_as_long_as_it_is_asked_for_more() -> None:
    bucket = TokenBucket(1_000)
    for step in range(100_000):
        bucket.take(1, step / 10_000)
    assert 10_000 <= bucket.granted <= 11_000
    assert bucket.refused == 100_000 - bucket.granted


def test_a_slower_rate_begins_when_it_is_set_and_keeps_no_more_than_a_second_of_it() -> None:
    bucket = TokenBucket(1_000)
    bucket.slow_to(250, 10)
    assert bucket.take(250, 10)
    assert not bucket.take(1, 10)
    assert bucket.take(125, 10.5)
    assert not bucket.take(1, 10.5)


def test_a_table_takes_what_its_partitions_take_together_and_no_more() -> None:
    table = Partitions(4, writes=1_000, reads=3_000)
    chance = dice(1)
    for step in range(80_000):
        table.writes[int(chance.random() * 4)].take(1, step / 8_000)
    assert 4 * 1_000 * 10 * 0.99 <= table.granted <= 4 * 1_000 * 11
    assert table.throttles == 80_000 - table.granted
