"""A standard queue with its dead letters, and the workers that Lambda lets loose on it."""

import heapq
import random
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from bench.scale import facts, regulars
from bench.scale.buckets import TokenBucket

Process = Generator[simpy.Event, Any, Any]
# When it was sent, and how often it has been received.
Message = tuple[float, int]


class Backlog:
    """Messages that wait, that are worked on, that come again, and that were put aside: none is ever forgotten.

    The oldest is received first (SQS promises it only about so). What fails comes again when its visibility runs out, and is put
    aside when it has been received `deliveries_max` times.
    """

    def __init__(self, env: simpy.Environment, *, batch: int, visibility_s: float, deliveries_max: int) -> None:
        self.arrived = self.applied = self.refused = self.dead = self.in_flight = self.waiting = 0
        # All that is open, added up over time, and the time that what was settled had been open: Little's law compares them.
        self.area = self.sojourn = 0.0
        self.came_again = 0
        # The most that waited at once, visible or not, and that were in flight, and the longest that a received one had waited:
        # at any time, not only when somebody looks.
        self.backlog_max = self.in_flight_max = 0
        self.oldest_max_s = 0.0
        self._env = env
        self._batch = batch
        self._visibility_s = visibility_s
        self._deliveries_max = deliveries_max
        self._fresh: deque[list[float]] = deque()
        self._again: deque[Message] = deque()
        self._hidden: list[tuple[float, float, int]] = []
        self._idle: deque[simpy.Event] = deque()
        self._seen_at = 0.0

    @property
    def hidden(self) -> int:
        """Messages that failed and are not visible yet."""
        return len(self._hidden)

    @property
    def open(self) -> int:
        """Everything that is neither applied, nor refused, nor put aside."""
        return self.waiting + self.hidden + self.in_flight

    @property
    def oldest_s(self) -> float:
        """How long the oldest has been waiting, visible or not."""
        ages = [self._env.now - self._fresh[0][0]] if self._fresh else []
        ages += [self._env.now - self._again[0][0]] if self._again else []
        ages += [self._env.now - self._hidden[0][1]] if self._hidden else []
        return max(ages, default=0.0)

    def send(self, count: int) -> None:
        """So many messages arrive now."""
        self._look()
        if count:
            self._fresh.append([self._env.now, count])
            self.arrived += count
            self.waiting += count
            self._wake(-(-count // self._batch))
        self.backlog_max = max(self.backlog_max, self.waiting + self.hidden)

    def news(self) -> simpy.Event:
        """Happens when there is something to receive."""
        event = self._env.event()
        if self.waiting:
            event.succeed()
        else:
            self._idle.append(event)
        return event

    def receive(self) -> list[Message]:
        """A batch at most, the oldest first; nothing when others were faster."""
        batch: list[Message] = []
        while self._again and len(batch) < self._batch:
            sent_at, received = self._again.popleft()
            batch.append((sent_at, received + 1))
        while self._fresh and len(batch) < self._batch:
            cohort = self._fresh[0]
            taken = min(int(cohort[1]), self._batch - len(batch))
            batch += [(cohort[0], 1)] * taken
            cohort[1] -= taken
            if not cohort[1]:
                self._fresh.popleft()
        self.waiting -= len(batch)
        self.in_flight += len(batch)
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        self.oldest_max_s = max([self.oldest_max_s, *(self._env.now - sent_at for sent_at, _ in batch)])
        return batch

    def settle(
        self, *, applied: Sequence[Message], refused: Sequence[Message], failed: Sequence[Message], received_at: float
    ) -> None:
        """A batch is answered: what failed comes again, or is put aside; the rest is deleted."""
        self._look()
        self.in_flight -= len(applied) + len(refused) + len(failed)
        self.applied += len(applied)
        self.refused += len(refused)
        self.sojourn += sum(self._env.now - sent_at for sent_at, _ in (*applied, *refused))
        for sent_at, received in failed:
            if received >= self._deliveries_max:
                self.dead += 1
                self.sojourn += self._env.now - sent_at
                continue
            visible_at = max(received_at + self._visibility_s, self._env.now)
            heapq.heappush(self._hidden, (visible_at, sent_at, received))
            self._env.process(self._reappear(visible_at))
        self.backlog_max = max(self.backlog_max, self.waiting + self.hidden)
        self.check()

    def check(self) -> None:
        """Nothing is lost and nothing is doubled: arrived = applied + refused + put aside + waiting, wherever it waits."""
        assert self.arrived == self.applied + self.refused + self.dead + self.open, "a message was lost or doubled"
        assert min(self.waiting, self.in_flight) >= 0, "a message was received twice at once"

    def _reappear(self, visible_at: float) -> Process:
        yield self._env.timeout(visible_at - self._env.now)
        self._look()
        while self._hidden and self._hidden[0][0] <= self._env.now:
            _, sent_at, received = heapq.heappop(self._hidden)
            self._again.append((sent_at, received))
            self.came_again += 1
            self.waiting += 1
        self._wake(1)

    def _wake(self, workers: int) -> None:
        while workers and self._idle:
            self._idle.popleft().succeed()
            workers -= 1

    def _look(self) -> None:
        """Adds up what was open since the last change."""
        self.area += self.open * (self._env.now - self._seen_at)
        self._seen_at = self._env.now


@dataclass(slots=True)
class Crew:
    """The workers of one queue: five at first, more by the ramp of the mapping while messages wait, `most` at the end.

    `places` draws the buckets that a message needs a write unit of, one after the other; None is a refusal, which writes once, in
    the bucket of `refusal`. A worker does one message after the other; buckets are asked up to `step_s` early, so that not each
    message is an event of its own. Workers that are idle stay: nothing is scaled down here.
    """

    env: simpy.Environment
    backlog: Backlog
    most: int
    service_s: float
    places: Callable[[], Sequence[TokenBucket] | None]
    refusal: Callable[[], TokenBucket]
    dice: random.Random
    window_s: float = 0.0
    step_s: float = 0.2
    started: int = 0
    busy: int = 0
    busy_max: int = 0
    waits: list[float] = field(default_factory=list)
    keeps_waits: bool = False

    def ramp(self) -> Process:
        """Starts workers as Lambda does."""
        self._start(min(self.most, int(facts.MAPPING_START)))
        while self.started < self.most:
            yield self.env.timeout(1)
            if self.backlog.waiting:
                self._start(min(int(facts.MAPPING_RAMP), self.most - self.started))

    def _start(self, count: int) -> None:
        for _ in range(count):
            self.started += 1
            self.env.process(self._work())

    def _work(self) -> Process:
        env, backlog = self.env, self.backlog
        while True:
            yield backlog.news()
            if self.window_s and backlog.waiting < int(regulars.INGEST_BATCH):
                yield env.timeout(self.window_s)
            batch = backlog.receive()
            if not batch:
                continue
            if self.keeps_waits:
                self.waits += [env.now - sent_at for sent_at, _ in batch]
            received_at = env.now
            self.busy += 1
            self.busy_max = max(self.busy_max, self.busy)
            applied: list[Message] = []
            refused: list[Message] = []
            failed: list[Message] = []
            owed = 0.0
            for message in batch:
                owed += self.service_s
                found = self.places()
                answer = applied if found is not None else refused
                for bucket in found if found is not None else (self.refusal(),):
                    if bucket.take(1, env.now):
                        continue
                    # The client tries again, and the worker waits for it: whatever it has done so far takes its time first.
                    yield env.timeout(owed)
                    owed = 0.0
                    is_there = False
                    for pause in pauses(self.dice):
                        yield env.timeout(pause)
                        if bucket.take(1, env.now):
                            is_there = True
                            break
                    if not is_there:
                        answer = failed
                        break
                answer.append(message)
                if owed >= self.step_s:
                    yield env.timeout(owed)
                    owed = 0.0
            yield env.timeout(owed)
            self.busy -= 1
            backlog.settle(applied=applied, refused=refused, failed=failed, received_at=received_at)


def pauses(dice: random.Random) -> list[float]:
    """How long the client waits before each further attempt at a throttled call: bounded, with full jitter."""
    return [
        dice.random() * min(regulars.SDK_PAUSE_S * 2**attempt, regulars.SDK_PAUSE_MAX_S)
        for attempt in range(int(regulars.SDK_ATTEMPTS) - 1)
    ]


def poisson(dice: random.Random, mean: float) -> int:
    """How many arrive in a while in which `mean` do on average."""
    if mean > 40:  # from here on the normal curve is as good, and needs one draw
        return max(0, round(dice.gauss(mean, mean**0.5)))
    count, left = 0, dice.expovariate(1)
    while left < mean:
        count += 1
        left += dice.expovariate(1)
    return count
