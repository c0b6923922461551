"""The two DynamoDB engines the tests run against, in memory and on loopback, each a process of this test run alone.

    pytest_plugins = ["tests.engines"]

    def test_keeps_what_was_put(engine: Engine) -> None: ...      # once on MiniStack, once on DynamoDB Local

`ministack` and `dynamodb_local` are the same fixtures by name. Every pytest-xdist worker starts its own, on first use
(0.5 s and 2 s). MiniStack accepts some requests that AWS refuses, and DynamoDB Local miscounts the capacity of
transactions: whatever passes on one must pass on the other. Neither ever raises TransactionConflict.
"""

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
LEASH = ROOT / "tests" / "leash.py"

# DynamoDB Local runs on nothing older.
JAVA_MIN = 17
# A port can be taken between finding it free and the engine's listening on it; nobody is that unlucky three times.
STARTS_MAX = 3
# Far above what a start takes, because a loaded machine may need it.
START_S_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A DynamoDB that answers at `endpoint_url`."""

    name: str
    endpoint_url: str
    region: str
    # Both engines take any key. MiniStack reads a 12-digit one as the account, and keeps accounts apart.
    access_key: str

    @property
    def client_kwargs(self) -> dict[str, str]:
        """For `boto3.client("dynamodb", **engine.client_kwargs)`."""
        return {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": "local",
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same as the variables that every AWS client reads, for processes that make their own client."""
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": "local",
        }


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ministack() -> Iterator[Engine]:
    """MiniStack with DynamoDB alone."""
    with run_ministack() as engine:
        yield engine


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[Engine]:
    """DynamoDB Local; skipped with the reason where Java or npm is missing, except in CI: there that is a failure."""
    if reason := missing_for_dynamodb_local():
        unavailable(reason)
    with run_dynamodb_local() as engine:
        yield engine


@pytest.fixture(scope="session", params=["ministack", "dynamodb_local"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of the two engines in turn."""
    chosen: Engine = request.getfixturevalue(request.param)
    return chosen


def unavailable(reason: str) -> NoReturn:
    """Skips where a developer's machine lacks a tool; fails in CI, where the tool has to be there."""
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(reason)
    pytest.fail(f"{reason} In CI this is not skipped.")


# --- the table --------------------------------------------------------------------------------------------------------


def create_table(client: Any, name: str) -> None:
    """Creates the table as template.yaml defines it: its keys, its billing mode and its TTL attribute."""
    properties = table_properties()
    client.create_table(
        TableName=name,
        AttributeDefinitions=properties["AttributeDefinitions"],
        KeySchema=properties["KeySchema"],
        BillingMode=properties["BillingMode"],
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"])


@cache
def table_properties() -> Mapping[str, Any]:
    resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"].values()
    (table,) = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::DynamoDB::Table"]
    properties: Mapping[str, Any] = table
    return properties


# --- the engines ------------------------------------------------------------------------------------------------------


@contextmanager
def run_ministack(services: str = "dynamodb") -> Iterator[Engine]:
    """MiniStack, with some of its services, in an environment of its own (its graphql-core is too old for ours)."""
    make(".local/ministack/.synced")

    def command(port: int, directory: Path) -> tuple[list[str], dict[str, str]]:
        return [str(LOCAL / "ministack" / "bin" / "ministack")], {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "SERVICES": services,  # One of them takes a third of the time and half of the memory of all.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "STATE_DIR": str(directory),
            "LOG_LEVEL": "WARNING",
        }

    with run("ministack", command) as engine:
        yield engine


@contextmanager
def run_dynamodb_local() -> Iterator[Engine]:
    """DynamoDB Local as `make dynamodb-local` unpacked it; its license forbids redistribution, so never vendor it."""
    make("dynamodb-local")
    home = LOCAL / "dynamodb-local"

    def command(port: int, directory: Path) -> tuple[list[str], dict[str, str]]:
        libraries = home / "DynamoDBLocal_lib"
        # Compiling quickly beats compiling well in a process that lives for a minute: ready after 1.9 s instead of 2.6.
        java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        paths = [f"-Djava.io.tmpdir={directory}", f"-Djava.library.path={libraries}"]
        classes = ["-cp", f"{home}:{home / 'DynamoDBLocal.jar'}:{libraries / '*'}", "LoopbackDynamoDBLocal"]
        return [*java, *paths, *classes, "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)], {}

    with run("dynamodb_local", command) as engine:
        yield engine


def missing_for_dynamodb_local() -> str | None:
    """What this machine lacks to run DynamoDB Local, in a sentence for its owner."""
    needed = ["java", "javac", *([] if (LOCAL / "dynamodb-local" / ".ready").exists() else ["npm"])]
    if absent := [tool for tool in needed if shutil.which(tool) is None]:
        return f"DynamoDB Local needs a JDK {JAVA_MIN} or newer (java, javac) and npm; not found: {', '.join(absent)}."
    # "openjdk version "17.0.15" 2025-04-15", and "1.8.0" for what was once called 8.
    version = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    major = re.search(r'version "(\d+)', version)
    if major is None or int(major[1]) < JAVA_MIN:
        return f"DynamoDB Local needs Java {JAVA_MIN} or newer; found: {version.splitlines()[0]}."
    return None


def make(target: str) -> None:
    """Sets an engine up once, however many workers ask at the same time."""
    LOCAL.mkdir(exist_ok=True)
    # Without what an outer make hands down: its job slots are closed to us.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    with (LOCAL / "engines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "--silent", "--no-print-directory", target]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make {target} failed:\n{done.stdout}{done.stderr}"


@contextmanager
def run(name: str, command: Callable[[int, Path], tuple[list[str], dict[str, str]]]) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix=f"regulars-{name}-") as directory:
        log = Path(directory) / "engine.log"
        for _ in range(STARTS_MAX):
            port = free_port()
            arguments, settings = command(port, Path(directory))
            # Nothing of the developer's own AWS settings reaches an engine.
            bare = {"PATH": os.environ["PATH"], "TMPDIR": directory, "HOME": directory}
            process = leashed(arguments, log, {**bare, **settings}, cwd=Path(directory))
            try:
                if answers(f"http://127.0.0.1:{port}/", process):
                    yield Engine(
                        name=name, endpoint_url=f"http://127.0.0.1:{port}", region="eu-central-1", access_key=account()
                    )
                    return
            finally:
                end(process)
        pytest.fail(f"{name} did not start in {STARTS_MAX} attempts:\n{log.read_text()}")


def leashed(command: list[str], log: Path, environment: Mapping[str, str], *, cwd: Path) -> subprocess.Popen[bytes]:
    """Starts a process that ends with this one at the latest (see leash.py); its output goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-IS", str(LEASH), *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C in the terminal is for pytest; fixtures end the rest in order.
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Lets go of the leash and waits until the process is gone."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=10)


def answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Waits for any HTTP answer; False when the process ended or START_S_MAX passed instead."""
    give_up_at = time.monotonic() + START_S_MAX
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return True
        except urllib.error.HTTPError as refused:
            refused.close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def account() -> str:
    """A 12-digit account of this pytest-xdist worker's own, also where workers share an engine."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"{int(worker) + 1:012}"
