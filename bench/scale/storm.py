"""A retry storm: for twenty seconds a part of the keys has a quarter of its throughput, and everybody tries again.

A purchase is open from its first call until it is recorded or its till gives up. A till calls the API; a call holds an execution
environment while it works and waits, and is turned away at once when all are taken; what DynamoDB throttles, the client in the
function tries again. A call that comes again meets the purchase's own claim, which costs a write unit once more: hasty callers
take away what they are waiting for.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import simpy

from bench.scale import facts, regulars
from bench.scale.backlog import Process, pauses
from bench.scale.buckets import TokenBucket, dice

# An eighth of a partition stands for all that became cold, with its share of the load and of the environments of an account
# whose four partitions take 1,200 purchases a second. A till is 150 ms away.
SLICE = 0.125
RATE = 300 * SLICE
ENVIRONMENTS = int(facts.LAMBDA_CONCURRENCY / facts.TABLE_WRITES_START * facts.PARTITION_WRITES * SLICE)
COLD_SHARE = 0.25
COLD_FROM, COLD_UNTIL, ENDS_AT = 10.0, 30.0, 80.0
TILL_S = 0.15
# Nobody stands at a till for longer than a minute, whatever the policy: then the receipt goes into a list for later.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Who tries again and how: the client inside a call, and the till around it, which waits for a call `till_waits_s` at most
    and pauses before the next one; a pause of None is the end of trying."""

    name: str
    client_pauses: Callable[[random.Random], list[float]]
    till_waits_s: float
    till_pause: Callable[[random.Random, int], float | None]


@dataclass(slots=True)
class Seen:
    """What a policy came to; series by the second."""

    policy: Policy
    calls: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    recorded: list[int] = field(default_factory=list)
    arrived: int = 0
    done: int = 0
    given_up: int = 0
    open: int = 0
    open_max: int = 0
    calls_total: int = 0
    attempts_total: int = 0
    units_total: float = 0
    units_needed: float = 0
    calm_after_s: float | None = None

    @property
    def calls_a_purchase(self) -> float:
        """How many calls of the API a purchase took on average, of those that arrived until calm."""
        return self.calls_total / self.arrived

    @property
    def attempts_a_write(self) -> float:
        """How often DynamoDB was asked for each write that the purchases needed."""
        return self.attempts_total / self.units_needed

    @property
    def wasted(self) -> float:
        """The share of the write units granted that recorded nothing new."""
        return max(0.0, 1 - self.done * regulars.WRITES / self.units_total)


@dataclass(slots=True, eq=False)
class _Purchase:
    is_due: bool
    is_claimed: bool = False
    is_noted: bool = False
    is_recorded: bool = False


def _at_once(_: random.Random) -> list[float]:
    """Until the deadline, without a pause: a loop somebody wrote around the client."""
    return [0.0] * int(regulars.DEADLINE_S / regulars.CALL_S)


def _hasty(_: random.Random, __: int) -> float | None:
    return 0.0


def _polite(chance: random.Random, calls: int) -> float | None:
    """Five calls, with full jitter of 2, 4, 8, 16 s; then the receipt waits for `purchasesSubmit`."""
    return chance.random() * 2.0**calls if calls < 5 else None


POLICIES = (
    Policy("client and till at once, a till waits 2 s", _at_once, 2, _hasty),
    Policy("client with jitter, till at once, waits 2 s", pauses, 2, _hasty),
    Policy("ours: both bounded, with full jitter", pauses, float(regulars.DEADLINE_S), _polite),
)


class _Storm:
    """One run. No purchase is lost: each is recorded, given up by its till, or open."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self.policy = policy
        self.env = simpy.Environment()
        self.chance = dice(seed)
        self.bucket = TokenBucket(facts.PARTITION_WRITES * SLICE)
        self.seen = Seen(policy)
        self.busy = 0

    def put(self) -> Process:
        """One write, with the client's attempts; whether it was done."""
        for pause in (*self.policy.client_pauses(self.chance), None):
            self.seen.attempts_total += 1
            yield self.env.timeout(regulars.CALL_S)
            if self.bucket.take(1, self.env.now):
                return True
            if pause:
                yield self.env.timeout(pause)
        return False

    def call(self, purchase: _Purchase) -> Process:
        """One call that found an environment; whether the purchase is recorded. It goes on when its till has stopped waiting."""
        self.busy += 1
        yield self.env.timeout(2 * regulars.CALL_S)
        is_done = purchase.is_claimed = (yield from self.put()) or purchase.is_claimed
        if is_done and purchase.is_due and not purchase.is_noted:
            is_done = purchase.is_noted = yield from self.put()
        # Whoever finds the record of the same key in the log writes nothing.
        if is_done and not purchase.is_recorded:
            purchase.is_recorded = (yield from self.put()) or purchase.is_recorded
        self.busy -= 1
        return purchase.is_recorded

    def till(self) -> Process:
        env, seen, chance = self.env, self.seen, self.chance
        started, calls = env.now, 0
        purchase = _Purchase(is_due=chance.random() < regulars.DUE_SHARE)
        seen.arrived += 1
        seen.units_needed += regulars.WRITES
        seen.open += 1
        seen.open_max = max(seen.open_max, seen.open)
        while True:
            calls += 1
            seen.calls_total += 1
            yield env.timeout(TILL_S / 2)
            is_done: bool = False
            if self.busy < ENVIRONMENTS:
                call = env.process(self.call(purchase))
                yield call | env.timeout(self.policy.till_waits_s)
                is_done = call.processed and call.value is True
            yield env.timeout(TILL_S / 2)
            if is_done:
                seen.done += 1
                break
            pause = self.policy.till_pause(chance, calls)
            if pause is None or env.now - started > PATIENCE_S:
                seen.given_up += 1
                break
            yield env.timeout(pause)
        seen.open -= 1
        assert seen.arrived == seen.done + seen.given_up + seen.open, "a purchase was lost"

    def arrivals(self) -> Process:
        while True:
            yield self.env.timeout(self.chance.expovariate(RATE))
            self.env.process(self.till())

    def weather(self) -> Process:
        rate = facts.PARTITION_WRITES * SLICE
        yield self.env.timeout(COLD_FROM)
        self.bucket.slow_to(rate * COLD_SHARE, self.env.now)
        yield self.env.timeout(COLD_UNTIL - COLD_FROM)
        self.bucket.slow_to(rate, self.env.now)

    def watch(self) -> Process:
        seen = self.seen
        calls = attempts = done = usual = 0
        while True:
            yield self.env.timeout(1)
            seen.calls.append(seen.calls_total - calls)
            seen.attempts.append(seen.attempts_total - attempts)
            seen.recorded.append(seen.done - done)
            calls, attempts, done = seen.calls_total, seen.attempts_total, seen.done
            if self.env.now <= COLD_FROM:
                usual = max(usual, seen.open)
            elif self.env.now > COLD_UNTIL and seen.calm_after_s is None and seen.open <= 2 * usual:
                seen.calm_after_s = self.env.now - COLD_UNTIL


def run(policy: Policy, *, seed: int = 5) -> Seen:
    """The twenty seconds, and most of a minute after."""
    storm = _Storm(policy, seed)
    for process in (storm.arrivals(), storm.weather(), storm.watch()):
        storm.env.process(process)
    storm.env.run(until=ENDS_AT)
    storm.seen.units_total = storm.bucket.granted
    return storm.seen


@cache
def runs() -> tuple[Seen, ...]:
    """The runs of the page."""
    return tuple(run(policy) for policy in POLICIES)
