"""The queue and its workers: nothing is lost, and what is known of queues holds for this one."""

import math
from itertools import pairwise

import pytest
import simpy

from bench.scale import facts
from bench.scale.backlog import Backlog, Crew, Process, poisson
from bench.scale.buckets import TokenBucket, dice
from bench.scale.spike import Spike, run


def _backlog(env: simpy.Environment, *, batch: int = 10, visibility_s: float = 30, deliveries_max: int = 5) -> Backlog:
    return Backlog(env, batch=batch, visibility_s=visibility_s, deliveries_max=deliveries_max)


def _arrivals(env: simpy.Environment, backlog: Backlog, rate: float, until: float, seed: int = 1) -> Process:
    chance = dice(seed)
    while env.now < until:
        yield env.timeout(chance.expovariate(rate))
        backlog.send(1)


def _crew(
    env: simpy.Environment, backlog: Backlog, *, most: int, service_s: float, bucket: TokenBucket | None = None
) -> Crew:
    found = (bucket,) if bucket else ()
    unused = TokenBucket(1e9)
    return Crew(env, backlog, most, service_s, lambda: found, lambda: unused, dice(2), step_s=0.0, keeps_waits=True)


@pytest.mark.parametrize("load", [0.3, 0.7, 0.85])
def test_one_worker_with_equal_work_waits_as_the_formula_of_pollaczek_and_khinchine_says(load: float) -> None:
    env = simpy.Environment()
    service_s = 0.1
    backlog = _backlog(env, batch=1)
    crew = _crew(env, backlog, most=1, service_s=service_s)
    env.process(_arrivals(env, backlog, load / service_s, 5_000))
    env.process(crew.ramp())
    env.run(until=5_100)
    expected = load * service_s / (2 * (1 - load))
    assert sum(crew.waits) / len(crew.waits) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("most", [2, 4])
def test_what_is_open_is_the_rate_of_arrivals_times_the_time_in_the_system(most: int) -> None:
    env = simpy.Environment()
    backlog = _backlog(env)
    crew = _crew(env, backlog, most=most, service_s=0.05, bucket=TokenBucket(35))
    env.process(_arrivals(env, backlog, 30, 300))
    env.process(crew.ramp())
    looked: list[int] = []

    def look() -> Process:
        while True:
            yield env.timeout(0.25)
            looked.append(backlog.open)

    env.process(look())
    env.run(until=2_000)
    assert backlog.open == 0
    settled = backlog.applied + backlog.refused + backlog.dead
    mean_time = backlog.sojourn / settled
    assert backlog.area == pytest.approx(settled * mean_time, rel=1e-6)
    # The same seen from outside, by somebody who counts four times a second.
    assert sum(looked) * 0.25 == pytest.approx(settled * mean_time, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_arrives_is_applied_refused_put_aside_or_waits(seed: int) -> None:
    seen = run(Spike("small", 6, 1, rate=60, peak=900, peak_at=10, peak_s=30, ends_at=200, seed=seed))
    assert seen.arrived_total > 30_000
    assert seen.arrived_total == seen.applied_total + seen.refused_total + seen.dead_total
    assert seen.waiting_total == 0
    assert seen.refused_total > 0


def test_the_books_notice_a_lost_and_a_doubled_message() -> None:
    env = simpy.Environment()
    backlog = _backlog(env)
    backlog.send(3)
    batch = backlog.receive()
    backlog.settle(applied=batch[:1], refused=(), failed=(), received_at=0)
    backlog.applied += 1
    with pytest.raises(AssertionError, match="lost or doubled"):
        backlog.check()
    backlog.applied -= 1
    with pytest.raises(AssertionError, match="received twice"):
        backlog.settle(applied=batch, refused=(), failed=(), received_at=0)


def test_what_fails_comes_again_when_its_visibility_runs_out_and_is_put_aside_after_five_times() -> None:
    env = simpy.Environment()
    backlog = _backlog(env, visibility_s=30)
    backlog.send(1)
    received_at = []
    while backlog.open:
        env.run(until=backlog.news())
        (message,) = backlog.receive()
        received_at.append(env.now)
        backlog.settle(applied=(), refused=(), failed=[message], received_at=env.now)
        if backlog.open:
            assert backlog.hidden == 1
            assert backlog.receive() == []
    assert received_at == [0, 30, 60, 90, 120]
    assert (backlog.dead, backlog.applied) == (1, 0)


def test_a_table_that_gives_nothing_puts_everything_aside_and_loses_nothing() -> None:
    env = simpy.Environment()
    backlog = _backlog(env, visibility_s=5)
    crew = _crew(env, backlog, most=5, service_s=0.01, bucket=TokenBucket(1e-9))
    backlog.send(40)
    env.process(crew.ramp())
    env.run(until=3_000)
    assert (backlog.arrived, backlog.applied, backlog.dead, backlog.open) == (40, 0, 40, 0)


def test_workers_start_five_at_once_and_three_hundred_a_minute() -> None:
    env = simpy.Environment()
    backlog = _backlog(env, batch=1)
    crew = _crew(env, backlog, most=200, service_s=1_000)
    backlog.send(1_000)
    env.process(crew.ramp())
    for seconds, started in ((0.5, 5), (1.5, 10), (10.5, 55), (60.5, 200)):
        env.run(until=seconds)
        assert crew.started == started
    assert crew.busy == 200 <= facts.MAPPING_MAX


@pytest.mark.parametrize("partitions", [1, 4])
def test_more_workers_never_take_longer_to_drain(partitions: int) -> None:
    spikes = [
        Spike("small", workers, partitions, rate=60, peak=900, peak_at=10, peak_s=30, ends_at=500)
        for workers in (3, 6, 12, 24, 48)
    ]
    drained = [run(spike).drained_after_s for spike in spikes]
    times = [each if each is not None else math.inf for each in drained]
    # A look every ten seconds.
    assert all(more <= fewer + 10 for fewer, more in pairwise(times)), times
    assert times[0] > times[2]


def test_a_warm_table_never_takes_longer_than_a_cold_one() -> None:
    cold, warm = (
        run(Spike("small", 48, partitions, rate=60, peak=900, peak_at=10, peak_s=30, ends_at=300))
        for partitions in (1, 4)
    )
    assert cold.throttles > 0 == warm.throttles
    assert cold.drained_after_s is not None
    assert warm.drained_after_s is not None
    assert warm.drained_after_s < cold.drained_after_s
    assert warm.backlog_max < cold.backlog_max
    # The most at any time: what came in a tenth of a second stood there together, though nobody was looking.
    assert warm.backlog_max >= 0.9 * warm.spike.peak * 0.1
    assert all(seen.backlog_max >= max(seen.backlog) for seen in (warm, cold))


def test_the_same_seed_is_the_same_run() -> None:
    spike = Spike("small", 6, 1, rate=60, peak=600, peak_at=10, peak_s=20, ends_at=100)
    assert run(spike) == run(spike)
    assert run(spike).arrivals != run(Spike("small", 6, 1, 60, 600, 10, 20, 100, seed=6)).arrivals


@pytest.mark.parametrize("mean", [0.5, 8, 300])
def test_arrivals_have_the_mean_and_the_spread_of_poisson(mean: float) -> None:
    chance = dice(3)
    drawn = [poisson(chance, mean) for _ in range(20_000)]
    average = sum(drawn) / len(drawn)
    assert average == pytest.approx(mean, rel=0.03)
    assert sum((each - average) ** 2 for each in drawn) / len(drawn) == pytest.approx(mean, rel=0.06)
