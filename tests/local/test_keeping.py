"""What the local stack keeps, over a stop, over kill -9 of everything, and over kill -9 of a part."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.local.home import REPOSITORY, TOOLS, Home
from handlers.local.stack import Stack
from tests.stack import Running, graphql, start

Starter = Callable[..., Running]

WAIT_S_MAX = 60


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Starter]:
    """Starts `regulars run` in the test's folder, as often as wanted; what is left is stopped at the end."""
    begun: list[Running] = []

    def begin(**environment: str) -> Running:
        begun.append(start(tmp_path / "home", environment=environment))
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()


def until(what: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + WAIT_S_MAX
    while not what():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def put(stack: Stack, name: str) -> None:
    stack.client("dynamodb").put_item(TableName=stack.table, Item={"PK": {"S": name}, "SK": {"S": name}})


def has(stack: Stack, name: str) -> bool:
    key = {"PK": {"S": name}, "SK": {"S": name}}
    return "Item" in stack.client("dynamodb").get_item(TableName=stack.table, Key=key, ConsistentRead=True)


def generation(home: Home) -> str | None:
    pointer = home.emulator / "current"
    return os.readlink(pointer) if pointer.is_symlink() else None


def settled(home: Home) -> str | None:
    """The generation that is still the newest some autosave intervals later."""
    newest, since = generation(home), time.monotonic()
    while time.monotonic() - since < 3:
        time.sleep(0.05)
        if generation(home) != newest:
            newest, since = generation(home), time.monotonic()
    return newest


def stop_the_relay(stack: Stack) -> None:
    """What is written is put on the bus no more, which would be something to keep as well."""
    client = stack.client("lambda")
    for mapping in client.list_event_source_mappings(FunctionName=stack.outputs["RelayFunctionName"])[
        "EventSourceMappings"
    ]:
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


def processes_of(home: Home) -> list[str]:
    """The emulator's Lambda workers: they run from its TMPDIR."""
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(home.scratch) in line]


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    # Killed, and merely not yet collected by whoever inherited it: a zombie runs nothing.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] in ("", "Z")


def test_a_stop_keeps_everything_and_leaves_nothing_running(starting: Starter) -> None:
    first = starting()
    stack = first.wait_until_ready()
    put(stack, "before the stop")
    assert processes_of(first.home)

    assert first.stop(signal.SIGTERM) == 0
    until(lambda: not processes_of(first.home))
    assert is_gone(stack.process)
    assert not first.home.stack_file.exists()

    again = starting()
    found = again.wait_until_ready()
    assert has(found, "before the stop")
    assert (found.table, found.outputs) == (stack.table, stack.outputs)
    assert graphql(found, "{ viewer { name } }", token=found.token("member")).json() == {
        "data": {"viewer": {"name": "Ada"}}
    }


def test_a_kill_of_everything_keeps_what_was_saved(starting: Starter) -> None:
    first = starting(REGULARS_AUTOSAVE_SECONDS="0.5")
    stack = first.wait_until_ready()
    put(stack, "before the kill")
    saved = generation(first.home)
    # The save under way may have begun before the put; the one after it has not.
    until(lambda: generation(first.home) != saved)
    put(stack, "nudge")
    later = generation(first.home)
    until(lambda: generation(first.home) != later)

    os.kill(first.process.pid, signal.SIGKILL)
    os.kill(stack.process, signal.SIGKILL)
    first.process.wait()
    until(lambda: not processes_of(first.home))

    found = starting().wait_until_ready()
    assert has(found, "before the kill")
    assert found.outputs == stack.outputs
    assert graphql(found, "{ viewer { name } }", token=found.token("member")).json()["data"]["viewer"]


def test_nothing_is_saved_when_nothing_changed(starting: Starter) -> None:
    first = starting()
    stop_the_relay(first.wait_until_ready())
    # Whatever it was just doing ends with its worker.
    first.stop(signal.SIGTERM)

    again = starting(REGULARS_AUTOSAVE_SECONDS="0.5")
    stack = again.wait_until_ready()
    unsaved = generation(again.home)
    put(stack, "something")
    until(lambda: generation(again.home) != unsaved)
    saved = settled(again.home)

    for _ in range(3):
        assert has(stack, "something")
        assert graphql(stack, "{ viewer { name } }", token=stack.token("member")).status_code == 200

    assert settled(again.home) == saved


def test_an_emulator_whose_starter_was_killed_saves_and_goes(starting: Starter) -> None:
    first = starting()
    stack = first.wait_until_ready()
    put(stack, "before the kill")

    first.stop(signal.SIGKILL)

    # The next run waits for what is left of the last one, and takes it up.
    found = starting().wait_until_ready()
    assert is_gone(stack.process)
    assert has(found, "before the kill")


def test_a_run_whose_emulator_was_killed_says_so_and_leaves_no_workers(starting: Starter) -> None:
    first = starting()
    stack = first.wait_until_ready()

    os.kill(stack.process, signal.SIGKILL)

    assert first.process.wait(WAIT_S_MAX) == 1
    assert "The local AWS ended by itself." in first.output
    until(lambda: not processes_of(first.home))
    assert not first.home.stack_file.exists()


# The launcher is written for MiniStack's interpreter, so its keeper is tried there, on two services of our own.
KEEPER = """
import sys; from pathlib import Path; sys.path.insert(0, {folder!r}); sys.dont_write_bytecode = True
import ministack.app, ministack.core.persistence as persistence, launcher
persistence.PERSIST_STATE = True
folder = Path({state!r}); folder.mkdir()
services = {{"one": lambda: {{"n": 1}}, "two": lambda: {{"n": 1}}, "absent": lambda: None}}
ministack.app._build_persistence_save_dict = lambda: services
keeper = launcher.Keeper(folder, ministack.app, persistence)
keeper.is_dirty = True
keeper.save_at_stop(None)
def broken(): raise OSError("disk")
services.update(one=lambda: {{"n": 2}}, two=broken)
try:
    keeper.count += 1; keeper.save()
except OSError:
    print("refused")
"""


def test_a_generation_that_is_not_whole_is_not_kept(tmp_path: Path) -> None:
    state = tmp_path / "state"
    script = KEEPER.format(folder=str(REPOSITORY / "src" / "handlers" / "local"), state=str(state))
    environment: dict[str, Any] = {"PATH": os.environ["PATH"], "STATE_DIR": str(state), "PERSIST_STATE": "1"}
    done = subprocess.run(
        [TOOLS / "ministack" / "bin" / "python", "-c", script],
        capture_output=True, text=True, check=True, env=environment, timeout=120,
    )  # fmt: skip

    assert done.stdout == "refused\n"
    assert '"n": 1' in (state / "current" / "one.json").read_text()
    assert sorted(path.name for path in (state / "current").iterdir()) == ["one.json", "two.json"]
    assert [path.name for path in state.glob("generation-*")] == [os.readlink(state / "current")]
