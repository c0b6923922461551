import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests import engines
from tests.build import emulator
from tests.build.emulator import Function


@pytest.fixture(scope="session")
def artifact() -> Path:
    """The artifact for this machine's interpreter and processor, unpacked; the zip lies beside it."""
    engines.make("build-here")
    return engines.LOCAL / "build" / "regulars"


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Lambda keeps in /var/runtime: its client, without the rest of the environment that it is installed in."""
    folder = tmp_path_factory.mktemp("runtime")
    for package in ("awslambdaric", "simplejson", "snapshot-restore-py"):
        installed = distribution(package)
        for name in {file.parts[0] for file in installed.files or [] if file.parts[0] != ".."}:
            folder.joinpath(name).symlink_to(str(installed.locate_file(name)))
    return folder


@pytest.fixture
def start(artifact: Path, runtime: Path, tmp_path: Path) -> Iterator[Callable[..., Function]]:
    """Starts the artifact as a function: `start(environment, timeout_s=15)`. It ends with the test."""
    if platform.system() != "Linux":
        engines.unavailable("The Lambda Runtime Interface Emulator runs on Linux only.")
    with ExitStack() as running:

        def start_one(environment: dict[str, str], *, timeout_s: int = 15) -> Function:
            log = tmp_path / "function.log"
            return running.enter_context(emulator.run(artifact, runtime, environment, log, timeout_s))

        yield start_one
