"""`regulars campaign watch`: what it waits for, and when that is over, however the campaign ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from handlers import watching
from handlers.cli import app

NOTHING = {"isPlanned": False, "planned": 0, "done": 0, "applied": 0, "failed": 0, "points": 0, "skips": []}
ALL = {**NOTHING, "isPlanned": True, "planned": 2, "done": 2, "applied": 2, "points": 20}
UNFINISHED = {"isFinished": False, "liability": None, "progress": NOTHING}
FINISHED = {"isFinished": True, "liability": None, "progress": ALL}


def campaign(status: str, **more: Any) -> dict[str, Any]:
    usual = {"id": "c", "status": status, "code": "SUMMER", "name": "Summer", "launchedAt": None}
    return {**usual, "preview": None, "progress": None, "reversal": None, **more}


def watched(monkeypatch: pytest.MonkeyPatch, *looks: dict[str, Any]) -> Result:
    """What the command says of a campaign that looks so, one look after the other; it must not need another one."""
    left = list(looks)

    class Client:
        def ask(self, *_: Any) -> dict[str, Any]:
            return {"campaign": left.pop(0)}

    @contextmanager
    def asking(*_: Any) -> Iterator[Client]:
        yield Client()

    monkeypatch.setattr(watching, "asking", asking)
    monkeypatch.setattr(watching, "POLL_S", 0)
    done = CliRunner().invoke(app, ["campaign", "watch", "c"])
    assert left == []
    return done


def test_a_draft_is_watched_until_its_preview_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    done = watched(monkeypatch, campaign("DRAFT", preview=UNFINISHED), campaign("DRAFT", preview=FINISHED))

    assert done.exit_code == 0
    assert "It would give 20 points." in done.stdout


def test_what_was_scheduled_is_watched_to_the_end_of_the_bonus(monkeypatch: pytest.MonkeyPatch) -> None:
    at = {"launchedAt": "2026-03-01T00:00:00Z", "preview": FINISHED}
    done = watched(
        monkeypatch,
        campaign("SCHEDULED", preview=FINISHED),
        campaign("RUNNING", progress=NOTHING, **at),
        campaign("COMPLETED", progress=ALL, **at),
    )

    assert (done.exit_code, done.stdout) == (
        0,
        "Summer (SUMMER) is COMPLETED: 20 points given. 2 of 2 members had their turn: 2 applied, 0 failed.\n",
    )


@pytest.mark.parametrize("before", [[], [campaign("DRAFT", preview=UNFINISHED)]])
def test_a_cancellation_ends_an_unfinished_preview_and_whoever_watches_it(
    monkeypatch: pytest.MonkeyPatch, before: list[dict[str, Any]]
) -> None:
    done = watched(monkeypatch, *before, campaign("CANCELLED", preview=UNFINISHED))

    assert done.exit_code == 1
    assert "is CANCELLED" in done.stdout


def test_what_was_scheduled_and_never_launched_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    done = watched(monkeypatch, campaign("SCHEDULED", preview=FINISHED), campaign("CANCELLED", preview=FINISHED))

    assert (done.exit_code, done.stdout) == (1, "Summer (SUMMER) is CANCELLED. It was never launched.\n")


def test_a_cancelled_one_that_ran_is_watched_until_it_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    at = {"launchedAt": "2026-03-01T00:00:00Z", "preview": UNFINISHED}
    settled = {**ALL, "applied": 1, "points": 10, "skips": [{"reason": "STOPPED", "memberCount": 1}]}
    done = watched(
        monkeypatch, campaign("CANCELLED", progress=NOTHING, **at), campaign("CANCELLED", progress=settled, **at)
    )

    assert done.exit_code == 1
    assert "10 points given. 2 of 2 members had their turn: 1 applied, 1 STOPPED, 0 failed." in done.stdout
