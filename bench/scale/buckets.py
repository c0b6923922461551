"""Partitions and their token buckets: how much a table takes in a second, and where."""

import random


def dice(seed: int) -> random.Random:
    """Chance that is the same each time. Only streams of the standard library, which are the same on every machine."""
    return random.Random(seed)  # noqa: S311 (a model, not secrecy)


class TokenBucket:
    """`rate` units a second, of which up to `depth` may wait unused: in any t seconds it grants at most `rate * t + depth`.

    Time is an argument and never goes back.
    """

    __slots__ = ("_at", "_left", "depth", "granted", "rate", "refused")

    def __init__(self, rate: float, depth: float | None = None, *, at: float = 0.0) -> None:
        self.rate = rate
        self.depth = rate if depth is None else depth
        self.granted = 0.0
        self.refused = 0
        self._left = self.depth
        self._at = at

    def take(self, units: float, now: float) -> bool:
        """Whether that many units are there now; then they are gone."""
        assert now >= self._at, "time goes forward"
        left = self._left + self.rate * (now - self._at)
        if left > self.depth:  # noqa: PLR1730 (min() would take a quarter of the time of all simulations)
            left = self.depth
        self._at = now
        if left < units:
            self._left = left
            self.refused += 1
            return False
        self._left = left - units
        self.granted += units
        return True

    def slow_to(self, rate: float, now: float) -> None:
        """From now on another rate, and no more waiting than a second of it."""
        self.take(0, now)
        self.rate = self.depth = rate
        self._left = min(self._left, self.depth)


class Partitions:
    """A table of `count` partitions, each with a bucket for writes and one for reads of a second's depth.

    A second is what remains of DynamoDB's burst capacity when nothing is counted on that AWS calls best effort.
    """

    def __init__(self, count: int, *, writes: float, reads: float) -> None:
        self.writes = [TokenBucket(writes) for _ in range(count)]
        self.reads = [TokenBucket(reads) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.writes)

    @property
    def throttles(self) -> int:
        """Requests for writes that were refused."""
        return sum(bucket.refused for bucket in self.writes)

    @property
    def granted(self) -> float:
        """Write units given so far."""
        return sum(bucket.granted for bucket in self.writes)
