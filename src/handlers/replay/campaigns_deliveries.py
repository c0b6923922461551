"""Messages as a standard queue of the cloud brings them to several workers at once: in any order, each twice at least, and again
when its worker was cut off."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

WORKERS = 3
# How often a message comes without anything having gone wrong.
COPIES = (2, 2, 3)
# Every other of the first deliveries of a message may be cut off, after so many looks at the time: a worker looks before each
# member. Later ones are not, so there is an end.
CUT_OFF_MAX = 2
LOOKS = (1, 2, 5, 20, 50)

# Whether there is time for more.
HasTime = Callable[[], bool]


class CutOff(Exception):
    """The worker's time was over before its message was done: it comes again."""


class Deliveries:
    """A queue, and those who work on what it brings. `take` does what a message asks for, or raises `CutOff`.

    What `chance` decides is the same in every run; which worker is faster, the machine decides.
    """

    def __init__(self, take: Callable[[str, HasTime], None], *, chance: Random) -> None:
        self.counts: Counter[str] = Counter()
        self.cut_off = 0
        self._take = take
        self._chance = chance
        self._changed = threading.Condition()
        self._waiting: list[str] = []
        self._under_way = 0
        self._has_failed = False

    def send(self, messages: Iterable[str]) -> None:
        """Puts messages into the queue."""
        with self._changed:
            for message in messages:
                self._waiting += [message] * self._chance.choice(COPIES)
            self._changed.notify_all()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Workers take what is there, and what comes of it, beside whatever is done inside; behind it the queue is empty.

        Raises what a worker raised.
        """
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="worker") as pool:
            workers = [pool.submit(self._work) for _ in range(WORKERS)]
            yield
        for worker in workers:
            worker.result()

    def drain(self) -> None:
        """Has everything done that is there, and what comes of it."""
        with self.at_work():
            pass

    def _work(self) -> None:
        while (message := self._received()) is not None:
            try:
                self._take(message, self._time(message))
            except CutOff:
                self._settle(message, comes_again=True)
            except BaseException:
                self._fail()
                raise
            else:
                self._settle(message, comes_again=False)

    def _received(self) -> str | None:
        """Any message; None when there is none, and none can come any more."""
        with self._changed:
            while not self._waiting and self._under_way and not self._has_failed:
                self._changed.wait()
            if not self._waiting or self._has_failed:
                return None
            message = self._waiting.pop(self._chance.randrange(len(self._waiting)))
            self._under_way += 1
            self.counts[message] += 1
            return message

    def _settle(self, message: str, *, comes_again: bool) -> None:
        with self._changed:
            self._under_way -= 1
            if comes_again:
                self.cut_off += 1
                self._waiting.append(message)
            self._changed.notify_all()

    def _fail(self) -> None:
        with self._changed:
            self._has_failed = True
            self._changed.notify_all()

    def _time(self, message: str) -> HasTime:
        with self._changed:
            if self.counts[message] > CUT_OFF_MAX or self._chance.random() < 0.5:
                return lambda: True
            looks = iter(range(self._chance.choice(LOOKS)))
        return lambda: next(looks, None) is not None
