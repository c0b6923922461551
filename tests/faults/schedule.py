"""Clients that take turns: ordinary synchronous code, stopped before every request, and one chooser who goes next.

Each client is a thread, and only the one that holds the baton runs, so the same choices make the same run, request by request.
A stop costs about 15 µs (greenlets would be ten times as fast, and a tenth of what one delivery costs us anyway).

    schedule = Schedule(Moody(random.Random(7)))
    network = Network(Dynamo(), stop=schedule.stop)
    schedule.run({"c1": lambda: deliver(network.wire("c1")), "c2": lambda: deliver(network.wire("c2"))})
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Who goes next, of those who can.
Chooser = Callable[[Sequence[str]], str]


class Moody:
    """Chooses at random, and now and then lets a client sleep while the others do a lot: a pause of its process.

    Without that no client would ever be late by more than a few requests.
    """

    def __init__(self, rng: random.Random, *, sleeps: float = 0.02, sleep_max: int = 300) -> None:
        self._rng = rng
        self._sleeps = sleeps
        self._sleep_max = sleep_max
        self._step = 0
        self._until: dict[str, int] = {}

    def __call__(self, able: Sequence[str]) -> str:
        self._step += 1
        if self._until:
            self._until = {client: step for client, step in self._until.items() if step > self._step}
            awake = [client for client in able if client not in self._until] or able
        else:
            awake = able
        chosen = awake[int(self._rng.random() * len(awake))]
        if self._rng.random() < self._sleeps:
            self._until[chosen] = self._step + int(self._sleep_max ** self._rng.random())
        return chosen


class Turns:
    """Chooses as it is told; when nothing more is said, whoever is first."""

    def __init__(self, names: Sequence[str]) -> None:
        self._left = list(names)

    def __call__(self, able: Sequence[str]) -> str:
        if not self._left:
            return able[0]
        chosen = self._left.pop(0)
        assert chosen in able, f"it is not for {chosen} to go, but for one of {', '.join(able)}"
        return chosen


class Abandoned(BaseException):
    """Ends a client whose run is over: another one has failed."""


class _Client:
    """A thread that runs while it holds the baton."""

    def __init__(self, name: str, call: Callable[[], object]) -> None:
        self.name = name
        self.call = call
        self.baton = threading.Lock()
        self.baton.acquire()
        self.thread: threading.Thread | None = None


class Schedule:
    """One run of several clients. `trace` is who went, stop by stop: `Turns(schedule.trace)` is the same run again."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self._clients: dict[str, _Client] = {}
        self._able: list[str] = []
        self._results: dict[str, Any] = {}
        self._over = threading.Event()
        self._abandoned = False
        self._failure: BaseException | None = None
        self.trace: list[str] = []

    def run(self, clients: Mapping[str, Callable[[], object]]) -> dict[str, Any]:
        """Runs all clients to their end; what they return. What one of them raises ends the others and is raised."""
        self._clients = {name: _Client(name, call) for name, call in clients.items()}
        self._able = list(clients)
        self._results = {}
        self._over.clear()
        for client in self._clients.values():
            client.thread = threading.Thread(target=self._live, args=(client,), name=client.name, daemon=True)
            client.thread.start()
        try:
            if self._able:
                self._next().baton.release()
                self._over.wait()
        finally:
            self._abandon()
            self._clients = {}
        if self._failure is not None:
            raise self._failure
        return self._results

    def stop(self, name: str) -> None:
        """Where the client lets others go first. Outside of a run, nobody else is there."""
        client = self._clients.get(name)
        if client is None:
            return
        if not self._abandoned:
            following = self._next()
            if following is client:
                return
            following.baton.release()
            client.baton.acquire()
        if self._abandoned:
            raise Abandoned

    def _next(self) -> _Client:
        chosen = self._chooser(self._able)
        self.trace.append(chosen)
        return self._clients[chosen]

    def _live(self, client: _Client) -> None:
        client.baton.acquire()
        if self._abandoned:
            return
        try:
            self._results[client.name] = client.call()
        except Abandoned:
            return
        except BaseException as failure:
            self._failure = failure
        self._able.remove(client.name)
        if self._failure is not None or not self._able:
            self._over.set()
        else:
            self._next().baton.release()

    def _abandon(self) -> None:
        """Ends whoever is still there, one after the other."""
        self._abandoned = True
        for client in self._clients.values():
            assert client.thread is not None
            while client.thread.is_alive():
                if client.baton.locked():
                    client.baton.release()
                client.thread.join(timeout=0.01)
        self._abandoned = False
