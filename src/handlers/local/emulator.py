"""MiniStack as a child process: started on this machine's own address, watched, and never left behind."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handlers.local.home import TOOLS, Home, LocalStackError, write_json

HOST = "127.0.0.1"
REGION = "us-east-1"
ACCOUNT = "000000000000"
START_SECONDS_MAX = 60
# A stop saves first, and that is what is waited for: see launcher.SAVE_SECONDS_MAX.
STOP_SECONDS_MAX = 660


@dataclass(frozen=True)
class Emulator:
    """A running MiniStack."""

    process: subprocess.Popen[bytes]
    endpoint_url: str
    secret_key: str

    @property
    def client_arguments(self) -> dict[str, Any]:
        """What a boto3 client needs to be the account's root here."""
        return client_arguments(self.endpoint_url, self.secret_key)


def client_arguments(endpoint_url: str, secret_key: str) -> dict[str, Any]:
    """What a boto3 client needs to be root of the local account at this address."""
    return {
        "endpoint_url": endpoint_url,
        "region_name": REGION,
        "aws_access_key_id": ACCOUNT,
        "aws_secret_access_key": secret_key,
    }


@contextlib.contextmanager
def started(home: Home, port: int, lock: int, environment: Mapping[str, str] | None = None) -> Iterator[Emulator]:
    """MiniStack with the home's state, for the length of the context; the state is saved at its end.

    Call it from the main thread with the home's lock held. Raises LocalStackError when the port is taken, when MiniStack
    is not installed, or when it does not come up.
    """
    interpreter = TOOLS / "ministack" / "bin" / "python"
    if not interpreter.exists():
        raise LocalStackError("MiniStack is not there yet: run `make run` (or `make local-tools`) once.")
    require_free(port, "GATEWAY_PORT")
    shutil.rmtree(home.scratch, ignore_errors=True)
    home.scratch.mkdir(parents=True)
    secret_key = _secret_key(home)
    with home.log.open("wb") as log:
        process = subprocess.Popen(
            # -P: what lies beside the launcher must not be importable by its names there.
            [interpreter, "-P", Path(__file__).with_name("launcher.py"), str(os.getpid())],
            env=_environment(home, port, secret_key) | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # The lock is let go when the last of them is gone, and Ctrl-C reaches it through its starter only.
            pass_fds=(lock,),
            start_new_session=True,
        )
    endpoint_url = f"http://{HOST}:{port}"
    try:
        _wait_until_ready(process, endpoint_url, home.log)
        yield Emulator(process, endpoint_url, secret_key)
    finally:
        stop(process)
        shutil.rmtree(home.scratch, ignore_errors=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Let it save and end; its Lambda workers end with the pipe they read from."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def require_free(port: int, variable: str) -> None:
    """Refuse a port that somebody listens on, by a message that says how to take another."""
    with socket.socket() as attempt:
        # As a server would: a port that still rests from the last run is free.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError:
            raise LocalStackError(
                f"Port {port} is taken by another program. Choose a free one: make run {variable}={port + 1}"
            ) from None


def _environment(home: Home, port: int, secret_key: str) -> dict[str, str]:
    """Everything MiniStack and the Lambda workers see: nothing of the person's own AWS settings, nor of their Python's."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "REGULARS_AUTOSAVE_SECONDS") if name in os.environ}
    return inherited | {
        "HOME": str(home.scratch),
        "TMPDIR": str(home.scratch),
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "AUTH": "true",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home.emulator),
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "LOG_LEVEL": "WARNING",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # It tidies up Docker containers at each start; those of this machine are none of its business.
        "DOCKER_HOST": f"unix://{home.scratch}/no-docker.sock",
    }


def _secret_key(home: Home) -> str:
    """The root key of this state: another program on this machine that guesses `test` is not the root of it."""
    file = home.state / "root-key"
    if not file.exists():
        write_json(file, {"secret": secrets.token_urlsafe(30)})
    return str(json.loads(file.read_text())["secret"])


def _wait_until_ready(process: subprocess.Popen[bytes], endpoint_url: str, log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            break
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(f"{endpoint_url}/_ministack/health", timeout=5),
        ):
            return
        time.sleep(0.05)
    raise LocalStackError(f"The local AWS did not start. The end of {log}:\n{tail(log)}")


def tail(log: Path) -> str:
    """The last lines of a log, to be shown with the message that something ended."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
