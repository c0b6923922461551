"""`regulars program publish` as an operator types it: what is refused, what is warned of, and what is in force then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from domain import limits
from handlers.cli import app
from storage.programs import Programs
from tests.domain.world import DOCUMENT
from tests.engines import Engine
from tests.storage.tables import Tables, fresh_table

Publish = Callable[..., Result]


@pytest.fixture
def table(ministack: Engine) -> Tables:
    return fresh_table(ministack)


@pytest.fixture
def publish(table: Tables, ministack: Engine, tmp_path: Path) -> Publish:
    """Publishes the program of the tests with other settings."""

    def publish(**changes: Any) -> Result:
        file = tmp_path / "program.yaml"
        file.write_text(yaml.safe_dump({**DOCUMENT, **changes}), encoding="utf-8")
        given = {**ministack.environment, "REGULARS_TABLE": table.name, "COLUMNS": "200"}
        return CliRunner().invoke(app, ["program", "publish", str(file)], env=given)

    return publish


def test_another_time_zone_than_that_in_force_is_warned_of(publish: Publish) -> None:
    first = publish(timezone="America/Los_Angeles")
    assert (first.exit_code, first.stderr) == (0, "")

    moved = publish(timezone="Asia/Tokyo")

    assert (moved.exit_code, moved.stdout) == (0, "Bluebird Coffee: version 2 is in force.\n")
    assert moved.stderr.startswith("Warning: The time zone was America/Los_Angeles in the version before")
    # Whoever lost the answer asks again, and changes nothing.
    again = publish(timezone="Asia/Tokyo")
    assert (again.exit_code, again.stdout, again.stderr) == (0, moved.stdout, moved.stderr)
    assert publish(timezone="Asia/Tokyo", name="Redbird Coffee").stderr == ""


def test_too_many_moments_are_refused_and_nothing_is_published(publish: Publish, table: Tables) -> None:
    refused = publish(moments=[{"id": f"m{n}", "when": "purchase", "nth": 1} for n in range(limits.MOMENTS_MAX + 1)])

    assert refused.exit_code == 2
    assert "moments must be a list of at most 50." in refused.stderr
    assert Programs(table.connection, table.name).current() is None
