"""Where a local stack keeps itself, and the lock that makes it the only one there."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
# What `make` fetches for every stack of this checkout: MiniStack's own environment, the function's packages, GraphiQL.
TOOLS = REPOSITORY / ".local"

# A stack that is told to stop saves before it lets go of the lock; 54,000 items took 4.3 s.
LEFTOVER_WAIT_SECONDS_MAX = 60


class LocalStackError(Exception):
    """What a person can do something about; the message is one line and says what."""


@dataclass(frozen=True)
class Home:
    """One stack's folder: `state/` survives stops and kills, `stack.json` is there while it runs."""

    folder: Path

    @property
    def state(self) -> Path:
        """What survives; `wipe` removes it."""
        return self.folder / "state"

    @property
    def emulator(self) -> Path:
        """What MiniStack keeps; `launcher` knows its inside."""
        return self.state / "emulator"

    @property
    def log(self) -> Path:
        """What MiniStack has to say, of the last run."""
        return self.state / "emulator.log"

    @property
    def scratch(self) -> Path:
        """TMPDIR of MiniStack and its Lambda workers; emptied at each start, because a kill leaves their folders behind."""
        return self.state / "tmp"

    @property
    def stack_file(self) -> Path:
        """How to use the stack; there only while it runs."""
        return self.folder / "stack.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Hold this home alone and yield the descriptor, to be inherited by whatever must be gone before the next start.

        Raises LocalStackError when another stack runs here. After a `kill -9` the emulator is still saving for a moment;
        it holds the inherited lock, its starter is dead, and so it is worth waiting for.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            give_up_at = time.monotonic() + LEFTOVER_WAIT_SECONDS_MAX
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    holder = int(os.pread(descriptor, 20, 0) or b"0")
                    if _is_alive(holder) or time.monotonic() > give_up_at:
                        raise LocalStackError(
                            f"Regulars is already running here (process {holder}, {self._where_it_answers()}). "
                            "Stop it with Ctrl-C in its terminal, "
                            "or start a second one elsewhere: REGULARS_HOME=… make run PORT=… GATEWAY_PORT=…"
                        ) from None
                    time.sleep(0.2)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def _where_it_answers(self) -> str:
        try:
            return str(json.loads(self.stack_file.read_text())["graphiql_url"])
        except (OSError, ValueError, KeyError):
            return "still starting"

    def wipe(self) -> None:
        """Forget everything the stack ever kept. The caller holds the lock."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.stack_file.unlink(missing_ok=True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file as a whole, readable by its owner alone: it holds tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    os.replace(unfinished, path)


def _is_alive(process: int) -> bool:
    if process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
