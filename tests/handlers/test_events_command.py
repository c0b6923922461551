"""`regulars events republish` as an operator types it, on a table that the real handler has filled."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from domain import announcements, limits
from domain.entries import EntryKind
from handlers import aws
from handlers import events as command
from handlers.cli import app
from schema.nodes import to_id
from storage.memory import Memory
from storage.streams import Logs
from tests.domain.test_announcements import REMINDER
from tests.domain.world import at, buy, enroll, program, tick
from tests.engines import Engine
from tests.handlers.api import Api, account_of
from tests.handlers.test_relay import Events
from tests.storage.tables import connect

EARLY = "2030-01-10T00:00:00Z"
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def members(quiet: Api) -> dict[str, str]:
    """Ada and Ben, who joined and bought at the time of the wall; their accounts by name."""
    accounts = {name: account_of(quiet.enroll(name, email=f"{name}@example.com")) for name in ("ada", "ben")}
    for name in accounts:
        for number in range(3):
            quiet.buy(name, 5_000 + number, f"{name}-{number}")
    return accounts


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Events:
    """The bus that the command finds."""
    bus = Events()
    monkeypatch.setattr(aws, "connect", lambda _service, **_: bus)
    # As many as this table has; empty ones are asked at 1 ms each.
    monkeypatch.setattr(limits, "SHARDS_MAX", 4)
    return bus


@pytest.fixture
def run(quiet: Api, ministack: Engine, members: dict[str, str], bus: Events) -> Run:
    def run(*arguments: str, **environment: str | None) -> Result:
        given = {
            **ministack.environment,
            "REGULARS_TABLE": quiet.table,
            "REGULARS_EVENT_BUS": "bus",
            "COLUMNS": "200",
            **environment,
        }
        return CliRunner().invoke(app, ["events", "republish", *arguments], env=given)

    return run


def bodies(bus: Events) -> dict[str, list[str]]:
    """What is on the bus, by account, in order."""
    found: dict[str, list[str]] = {}
    for entry in bus.taken:
        found.setdefault(json.loads(entry["Detail"])["id"].partition("-")[0], []).append(entry["Detail"])
    return found


@pytest.fixture
def told(quiet: Api, ministack: Engine, members: dict[str, str]) -> dict[str, list[str]]:
    """What the relay tells of each account."""
    logs = Logs(connect(ministack), quiet.table)
    found: dict[str, list[str]] = {}
    for account in members.values():
        previous = None
        for record in logs.records_after(account, 0, limit=100):
            for event in announcements.of_record(record, previous=previous, to_id=to_id):
                previous = event.id
                found.setdefault(account, []).append(event.body)
    return found


def test_all_is_sent_again_as_it_was_as_often_as_one_likes(
    run: Run, bus: Events, told: Mapping[str, list[str]]
) -> None:
    for _ in range(2):
        bus.taken.clear()

        done = run("--from", "2020-01-01T00:00:00Z", "--all")

        assert (done.exit_code, done.stderr) == (0, "")
        assert bodies(bus) == told
        assert done.stdout.splitlines() == [
            "           2  member.enrolled",
            "           6  purchase.recorded",
            "8 events sent, of 2 accounts that were looked at.",
        ]


def test_one_member_is_named_as_in_the_table_or_as_in_the_api(
    run: Run, bus: Events, members: dict[str, str], told: Mapping[str, list[str]]
) -> None:
    for name in (members["ada"], to_id("Member", members["ada"])):
        bus.taken.clear()

        done = run("--from", "2020-01-01T00:00:00Z", "--account", name)

        assert done.exit_code == 0
        assert bodies(bus) == {members["ada"]: told[members["ada"]]}
        assert done.stdout.endswith("4 events sent, of 1 account that were looked at.\n")


def test_a_dry_run_counts_and_needs_no_bus(run: Run, bus: Events) -> None:
    done = run("--from", "2020-01-01T00:00:00Z", "--all", "--dry-run", REGULARS_EVENT_BUS=None)

    assert done.exit_code == 0
    assert done.stdout.endswith("8 events would be sent, of 2 accounts that were looked at.\n")
    assert bus.calls == []


def test_nobody_was_busy_at_that_time(run: Run, bus: Events) -> None:
    done = run("--from", "2020-01-01T00:00:00+02:00", "--to", "2020-02-01T00:00:00+02:00", "--all")

    assert (done.exit_code, bus.calls) == (0, [])
    assert done.stdout == "0 events sent, of 2 accounts that were looked at.\n"


def test_a_bus_that_does_not_take_all_of_it_ends_with_1(run: Run, bus: Events, members: dict[str, str]) -> None:
    bus.fate = lambda entries: [
        "AccessDeniedException" if "purchase" in entry["DetailType"] else None for entry in entries
    ]

    done = run("--from", "2020-01-01T00:00:00Z", "--account", members["ada"])

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "The bus did not take everything (AccessDeniedException). 1 event sent before. Run it again: what was sent is the"
        " same event.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--from", EARLY], {}, "Give one of --account and --all."),
        (["--from", EARLY, "--all", "--account", "A"], {}, "Give one of --account and --all."),
        (["--all"], {}, "Missing option '--from'"),
        (["--from", "yesterday", "--all"], {}, "Give an instant with its offset"),
        (["--from", "2026-01-01T00:00:00", "--all"], {}, "Give an instant with its offset"),
        (["--from", "0001-01-01T00:00:00+05:00", "--all"], {}, "Give an instant with its offset"),
        (
            ["--from", "2026-01-01T00:00:00Z", "--to", "9999-12-31T23:59:59-05:00", "--all"],
            {},
            "Give an instant with its offset",
        ),
        (["--from", EARLY, "--to", EARLY, "--all"], {}, "--to has to be later than --from."),
        (["--from", EARLY, "--all", "--late-days", "-1"], {}, "Invalid value for '--late-days'"),
        (["--from", "2020-01-01T00:00Z", "--all"], {"REGULARS_EVENT_BUS": None}, "Name the stack's bus"),
        (["--from", "2020-01-01T00:00Z", "--account", "NOBODY"], {}, "There is no account NOBODY."),
        (["--from", "2020-01-01T00:00Z", "--all", "--table", "nowhere"], {}, "The table nowhere cannot be read."),
        (
            ["--from", "2020-01-01T00:00Z", "--all"],
            {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"},
            "cannot be read.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_ends_with_2_and_sends_nothing(
    run: Run, bus: Events, arguments: list[str], environment: dict[str, str | None], message: str
) -> None:
    done = run(*arguments, **environment)

    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert bus.calls == []


# --- which records, in memory -----------------------------------------------------------------------------------------


def ids(store: Memory, start: datetime, end: datetime, *, late_days: int = 0) -> list[str]:
    window = command.Window(start, end, start - timedelta(days=late_days))
    return [event.id for page in command._pages(store, "ADA", window) for event in page]  # type: ignore[arg-type]


@pytest.fixture
def diary() -> Memory:
    """Ada joins on the 1st, and buys at noon of every day until the 9th."""
    store = Memory()
    enroll(store, "ada", at("2026-03-01"))
    for day in range(2, 10):
        buy(store, "ada", 100, at(f"2026-03-0{day}"), receipt=str(day))
    return store


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_a_time_begins_with_its_first_instant_and_ends_before_its_last(
    diary: Memory, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(command, "_PAGE", page)
    instant = timedelta(milliseconds=1)

    assert ids(diary, at("2026-03-04"), at("2026-03-07")) == ["ADA-4-0", "ADA-5-0", "ADA-6-0"]
    assert ids(diary, at("2026-03-04") + instant, at("2026-03-07") + instant) == ["ADA-5-0", "ADA-6-0", "ADA-7-0"]
    assert ids(diary, at("2026-01-01"), at("2027-01-01")) == [f"ADA-{seq}-0" for seq in range(1, 10)]
    assert ids(diary, at("2026-03-09"), at("2027-01-01")) == ["ADA-9-0"]
    assert ids(diary, at("2026-03-10"), at("2027-01-01")) == []
    assert ids(diary, at("2026-01-01"), at("2026-03-01")) == []


def test_the_first_event_of_a_time_names_the_one_before(diary: Memory) -> None:
    window = command.Window(at("2026-03-04"), at("2026-03-05"), at("2026-03-04"))

    ((event,),) = command._pages(diary, "ADA", window)  # type: ignore[arg-type]

    assert event.detail["previousId"] == "ADA-3-0"


def test_what_a_late_job_booked_is_told_with_the_time_in_which_it_was_written() -> None:
    """Points expired at the end of the 5th; a job that was down books it on the 12th, the day that was missed by the relay."""
    store = Memory()
    short = program(expiry={"days": 3, "rounding": "day"})
    enroll(store, "ada", at("2026-03-01"))
    buy(store, "ada", 500, at("2026-03-02"), receipt="1", program=short)
    tick(store, "ADA", now=at("2026-03-12"), program=short)
    newest = store.head("ADA")
    assert newest is not None
    assert [entry.kind for entry in newest.entries] == [EntryKind.EXPIRY]

    assert ids(store, at("2026-03-12 00:00"), at("2026-03-13")) == []
    assert ids(store, at("2026-03-12 00:00"), at("2026-03-13"), late_days=7) == ["ADA-3-0"]
    # A purchase carries the instant at which it was written, and is not looked for earlier.
    assert ids(store, at("2026-03-09"), at("2026-03-13"), late_days=7) == ["ADA-3-0"]


@pytest.mark.parametrize("page", [1, 2, 100])
def test_notices_are_told_by_the_time_at_which_they_were_given(
    diary: Memory, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Those of one day may have been given later: quiet hours, or a job that was down."""
    monkeypatch.setattr(command, "_PAGE", page)
    for day, given in ((1, "2026-03-01"), (2, "2026-03-05"), (3, "2026-03-03"), (4, "2026-03-04"), (9, "2026-03-09")):
        diary.give_notice("ADA", replace(REMINDER, day=20_000 + day, at=at(given)))
    window = command.Window(at("2026-03-03"), at("2026-03-05"), at("2026-03-03"))

    found = [event.id for page in command._notices(diary, "ADA", window) for event in page]  # type: ignore[arg-type]

    assert found == ["ADA-n20004-x.20552", "ADA-n20003-x.20552"]


def test_what_is_kept_of_a_long_log_is_a_page(diary: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_PAGE", 2)
    window = command.Window(at("2026-01-01"), at("2027-01-01"), at("2026-01-01"))

    assert [len(page) for page in command._pages(diary, "ADA", window)] == [2, 2, 2, 2, 1]  # type: ignore[arg-type]


def test_accounts_are_taken_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REPUBLISH_ACCOUNTS_MAX", 2)

    class Directory:
        def accounts(self) -> Any:
            yield 0, ["A", "B", "C", "D", "E"]
            yield 1, []

    run = command._Run(Directory(), None, command.Window(at("2026-01-01"), at("2027-01-01"), at("2026-01-01")))  # type: ignore[arg-type]

    assert list(run.everybody()) == [(0, ["A", "B"]), (0, ["C", "D"]), (0, ["E"]), (1, [])]
