"""The audits of the npm package `graphql-http`, run against any address (`audit.mjs` alone does it from a shell)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
# Where audit.mjs looks: an ignored folder, so that no node_modules appears among the tests.
INSTALLED = HERE.parents[2] / ".local" / "graphql-http"
AUDITS = 61


def run(url: str, token: str | None = None) -> list[dict[str, Any]]:
    """Every audit's result: id, name, status ("ok", "warn" or "error") and reason."""
    node, npm = _program("node"), _program("npm")
    _install(npm)
    command = [node, str(HERE / "audit.mjs"), url, *([token] if token else [])]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert done.stdout, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing, and the audits of graphql-http may not be left out in CI")
        pytest.skip(f"{name} is missing: the audits of graphql-http were NOT run")
    return path


def _install(npm: str) -> None:
    INSTALLED.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package-lock.json").read_bytes()
    # Test processes run side by side; the first one installs.
    with (INSTALLED / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = INSTALLED / ".ready"
        if ready.exists() and ready.read_bytes() == wanted:
            return
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, INSTALLED / name)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        done = subprocess.run(command, check=False, cwd=INSTALLED, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        ready.write_bytes(wanted)
