"""MiniStack, started so that a `kill -9` costs at most the last autosave interval. Run by MiniStack's own interpreter.

As shipped it writes its state when it is told to stop, and only then. Here it also saves while it runs, each save is one
*generation* (all services of one instant, or none of them), it stops by itself when its starter is gone, and it answers
nobody but this machine. Nothing else differs: every service is MiniStack's own.
"""

# MiniStack has no public way to save while it runs.
# ruff: noqa: SLF001

import asyncio
import contextlib
import importlib
import logging
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

AUTOSAVE_SECONDS = float(os.environ.get("REGULARS_AUTOSAVE_SECONDS", "30"))
# A save takes about 80 µs an item: up to some 20,000 items the 30 s rule, beyond that a tenth of one core at most.
AUTOSAVE_SHARE = 10
SAVE_SECONDS_MAX = 600
STARTER_WATCH_SECONDS = 0.5

# DynamoDB's TransactGetItems and Cognito's sign-ins are no reads by their first word, yet nothing worth keeping changes.
READS = ("Get", "BatchGet", "TransactGet", "Query", "Scan", "Describe", "List", "InitiateAuth", "AdminInitiateAuth")

log = logging.getLogger("regulars.launcher")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Keeper:
    """Generations of MiniStack's state: `current` points at the newest whole one."""

    def __init__(self, folder: Path, emulator: Any, persistence: Any) -> None:
        self.folder = folder
        self.emulator = emulator
        self.persistence = persistence
        self.is_dirty = False
        self.count = max((int(path.name.rpartition("-")[2]) for path in folder.glob("generation-*")), default=0)
        self.child: int | None = None
        # Imported before the folder is redirected: code and signing keys never change under their names, so they stay in
        # the common folder instead of being written again in each generation.
        self.lambdas: Any = importlib.import_module("ministack.services.lambda_svc")
        persistence.STATE_DIR = str(folder / "current")
        emulator.save_all = self.save_at_stop

    def save(self) -> None:
        """Write the next generation and make it the current one; raises when any service could not be written."""
        unpruned: list[Any] = []
        prune = self.lambdas._prune_orphan_code_blobs
        # Code that only the previous generation knows is deleted when that generation is gone, not before.
        self.lambdas._prune_orphan_code_blobs = unpruned.append
        name = f"generation-{self.count}"
        self.persistence.STATE_DIR = str(self.folder / name)
        try:
            services = self.emulator._build_persistence_save_dict()
            self.persistence.save_all(services)
            written = {path.stem for path in (self.folder / name).glob("*.json")}
            # save_all logs what it could not write and goes on. A service that failed to load answers None: nothing to keep.
            lost = [service for service in services.keys() - written if services[service]() is not None]
            if lost:
                raise OSError(f"not saved: {', '.join(sorted(lost))}")
            pointer = self.folder / f".{name}"
            pointer.symlink_to(name)
            os.replace(pointer, self.folder / "current")
        except BaseException:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            raise
        finally:
            self.lambdas._prune_orphan_code_blobs = prune
        for other in self.folder.glob("generation-*"):
            if other.name != name:
                shutil.rmtree(other, ignore_errors=True)
        for referenced in unpruned:
            prune(referenced)

    def save_at_stop(self, _services: Any) -> None:
        """MiniStack's own save at shutdown."""
        if self.child is not None:
            # It holds an older instant, and must not become current after this one.
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
        if self.is_deploying():
            log.warning("stopped in the middle of a deployment: the state stays as it was before")
        elif self.is_dirty or self.child is not None:
            self.count += 1
            self.save()

    async def autosave(self) -> None:
        """Save now and then, from a fork.

        Every DynamoDB write runs whole on the event loop, so the copy that a fork from the loop gets has no half
        transaction in it, and requests are answered while the child writes.
        """
        took = 0.0
        while True:
            await asyncio.sleep(max(AUTOSAVE_SECONDS, AUTOSAVE_SHARE * took))
            if not self.is_dirty or self.is_deploying():
                continue
            self.is_dirty = False
            self.count += 1
            started = time.monotonic()
            self.child = os.fork()
            if self.child == 0:
                try:
                    self.save()
                except BaseException:
                    log.exception("autosave failed")
                    os._exit(1)
                os._exit(0)
            # A lock that some thread held at the fork would never be released in the child: hence the bound.
            while (ended := os.waitpid(self.child, os.WNOHANG))[0] == 0:
                if time.monotonic() - started > SAVE_SECONDS_MAX:
                    os.kill(self.child, signal.SIGKILL)
                await asyncio.sleep(0.05)
            self.child = None
            took = time.monotonic() - started
            if ended[1] != 0:
                self.is_dirty = True

    def is_deploying(self) -> bool:
        """A half-deployed stack cannot be taken up again after a restart, so it is never saved."""
        cloudformation = sys.modules.get("ministack.services.cloudformation")
        return cloudformation is not None and any(
            stack["StackStatus"].endswith("_IN_PROGRESS") for stack in cloudformation._stacks.all_values()
        )


class Gate:
    """Lets this machine in, and tells the keeper of what may have changed something."""

    def __init__(self, inner: Application, keeper: Keeper) -> None:
        self.inner = inner
        self.keeper = keeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        # A page elsewhere whose name was pointed at 127.0.0.1 (DNS rebinding) comes with that name. MiniStack's own
        # switches (reset, configuration) ask for no credentials, so no page may reach them under any name.
        is_local = host in ("127.0.0.1", "localhost") or host.endswith((".localhost", ".amazonaws.com"))
        is_switch = scope["path"].startswith(("/_ministack/", "/_localstack/")) and scope["method"] != "GET"
        if not is_local or is_switch:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"This answers requests of its own machine only.\n"})
            return
        try:
            await self.inner(scope, receive, send)
        finally:
            if _may_write(scope["method"], scope["path"], headers):
                self.keeper.is_dirty = True


def _may_write(method: str, path: str, headers: dict[str, str]) -> bool:
    if method in ("GET", "HEAD", "OPTIONS"):
        return False
    # A GraphQL call writes through DynamoDB calls of its own, which pass here too; a token is not state worth a save.
    if path.startswith(("/_aws/execute-api/", "/oauth2/")):
        return False
    return not headers.get("x-amz-target", "").rpartition(".")[2].startswith(READS)


async def serve(starter: int, keeper: Keeper) -> None:
    """Serve until told to stop, or until the process that started this one is gone."""
    hypercorn = importlib.import_module("hypercorn.asyncio")
    configuration = importlib.import_module("hypercorn.config").Config()
    configuration.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    configuration.keep_alive_timeout = 75
    configuration.loglevel = os.environ["LOG_LEVEL"]
    # A large state takes its time; being cut off in the middle would lose the last interval for nothing.
    configuration.shutdown_timeout = SAVE_SECONDS_MAX

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def watch_starter() -> None:
        while os.getppid() == starter:
            await asyncio.sleep(STARTER_WATCH_SECONDS)
        stop.set()

    tasks = [asyncio.create_task(watch_starter()), asyncio.create_task(keeper.autosave())]
    try:
        await hypercorn.serve(Gate(keeper.emulator.app, keeper), configuration, shutdown_trigger=stop.wait)
    finally:
        for task in tasks:
            task.cancel()
        # A child that the last save ended is no longer there to be waited for; that too is over now.
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Serve with the settings of the environment; the one argument is the process that started this one."""
    starter = int(sys.argv[1])
    folder = Path(os.environ["STATE_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    persistence = importlib.import_module("ministack.core.persistence")
    emulator = importlib.import_module("ministack.app")
    asyncio.run(serve(starter, Keeper(folder, emulator, persistence)))


if __name__ == "__main__":
    main()
