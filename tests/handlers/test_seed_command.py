"""`regulars seed` as an operator types it, on a table with the demo's program; and what the made-up members are like."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from domain import days, limits, moments, tiers
from domain.accounts import Status
from domain.members import Lookup
from domain.refusals import IdempotencyKeyReused, OutcomeUnknown
from handlers import program, runtime, seeding
from handlers.cli import app
from handlers.local.demo import PROGRAM
from handlers.seeding import Seeder
from storage.memory import Memory
from storage.programs import Programs
from storage.streams import Logs
from tests.engines import Engine
from tests.storage.tables import SHARDS, Everything, Tables, all_of, fresh_table

SECRET = "pepper of thirty-two characters!"  # that of `tests.storage.tables`
DEMO = program.load(PROGRAM)
Run = Callable[..., Result]


@pytest.fixture
def table(ministack: Engine) -> Tables:
    """A table with the demo's program: tiers, moments, notices."""
    tables = fresh_table(ministack)
    Programs(tables.connection, tables.name).publish(DEMO)
    return tables


@pytest.fixture
def run(table: Tables, ministack: Engine) -> Run:
    def run(*arguments: str, command: str = "seed", **environment: str | None) -> Result:
        given = {
            **ministack.environment,
            "REGULARS_TABLE": table.name,
            "REGULARS_SECRET": SECRET,
            "REGULARS_SHARDS": str(SHARDS),
            "COLUMNS": "200",
            **environment,
        }
        return CliRunner().invoke(app, [*command.split(), *arguments], env=given)

    return run


def accounts(table: Tables) -> list[str]:
    """Everybody in the directory, where the stack's jobs look for them."""
    found: list[str] = []
    for shard, members in Logs(table.connection, table.name).accounts():
        assert not members or shard < SHARDS
        found += members
    return found


def lasting(table: Tables) -> dict[tuple[str, str], Any]:
    """What is on the table for good: what is past its time, it may forget between two looks."""
    past = time.time() + 60
    return {key: item for key, item in table.contents().items() if float(item.get("ttl", {"N": "inf"})["N"]) > past}


# --- the command --------------------------------------------------------------------------------------------------------


def test_members_are_written_found_and_verified(run: Run, table: Tables) -> None:
    done = run("--members", "205", "--history", "3")

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("205 members are there, 205 of them new, with ")
    assert done.stdout.endswith(" members a second.\n")
    verified = run("--all", command="ledger verify")
    assert verified.exit_code == 0, verified.stdout
    assert verified.stdout.endswith("Nothing is wrong.\n")
    assert "Checked 205 accounts" in verified.stdout
    assert run("--member-by", "externalId=seed-000001", command="ledger verify").exit_code == 0
    assert len(accounts(table)) == 205


def test_members_are_verified_also_when_the_table_has_forgotten_what_it_may(run: Run, table: Tables) -> None:
    """They joined months ago: the keys of that are past their time at once, and DynamoDB takes them away within days."""
    run("--members", "60")
    gone = [key for key, item in table.contents().items() if float(item.get("ttl", {"N": "inf"})["N"]) < time.time()]
    for pk, sk in gone:
        table.client.delete_item(TableName=table.name, Key={"PK": {"S": pk}, "SK": {"S": sk}})
    left = sum(pk.startswith("K#") for pk, _ in table.contents())
    assert left < 60 + 40, "60 have a name, and at least twenty have no key any more"

    assert run("--all", command="ledger verify").exit_code == 0
    before = lasting(table)
    assert ", 0 of them new, with 0 new purchases:" in run("--members", "60").stdout
    assert lasting(table) == before


def test_a_second_run_changes_nothing(run: Run, table: Tables) -> None:
    run("--members", "120")
    before = lasting(table)

    again = run("--members", "120")

    assert again.stdout.startswith("120 members are there, 0 of them new, with 0 new purchases:")
    assert lasting(table) == before


def test_a_run_that_was_cut_off_is_gone_on_with(run: Run, table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = Seeder._write, list[int]()

    def dies(self: Seeder, plan: seeding.Planned) -> seeding.Written:
        written.append(plan.number)
        if plan.number == 40:
            raise KeyboardInterrupt
        return write(self, plan)

    with monkeypatch.context() as patch:
        patch.setattr(Seeder, "_write", dies)
        cut = run("--members", "120", "--writers", "2")
    assert (cut.exit_code, cut.stderr) == (130, "Stopped. The same command goes on from here.\n")
    there = len(accounts(table))
    assert 0 < there < 120

    done = run("--members", "120", "--writers", "2")

    assert done.stdout.startswith(f"120 members are there, {120 - there} of them new, ")
    assert len(accounts(table)) == 120
    assert run("--all", command="ledger verify").exit_code == 0


def test_more_members_and_a_longer_history_are_added_to_what_is_there(run: Run, table: Tables) -> None:
    run("--members", "60", "--history", "1")
    before = lasting(table)

    done = run("--members", "80", "--history", "3")

    assert done.stdout.startswith("80 members are there, 20 of them new, ")
    after = lasting(table)
    # Nothing that was there is another now, but for days on which something is due, which may be noted again.
    assert {key: item for key, item in after.items() if key in before and key[0][:2] != "D#"} == {
        key: item for key, item in before.items() if key[0][:2] != "D#"
    }
    assert run("--all", command="ledger verify").exit_code == 0


def test_members_of_another_seed_are_not_mixed_with_those_that_are_there(run: Run, table: Tables) -> None:
    run("--members", "20")
    before = lasting(table)

    other = run("--members", "20", "--seed", "2")

    assert (other.exit_code, other.stdout) == (1, "")
    assert other.stderr == f"The members of the table {table.name} are of another --seed.\n"
    assert lasting(table) == before


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "Missing option '--members'"),
        (["--members", "0"], {}, "Invalid value for '--members'"),
        (["--members", str(limits.SEED_MEMBERS_MAX + 1)], {}, "Invalid value for '--members'"),
        (["--members", "1", "--history", "0"], {}, "Invalid value for '--history'"),
        (["--members", "1", "--days", "331"], {}, "Invalid value for '--days'"),
        (["--members", "1", "--writers", "17"], {}, "Invalid value for '--writers'"),
        (["--members", "1"], {"REGULARS_SHARDS": None}, "Say over how many shards the stack spreads its members"),
        (["--members", "1"], {"REGULARS_SECRET": None}, "set REGULARS_SECRET to the stack's secret"),
        (["--members", "1", "--table", "nowhere"], {}, "The table nowhere cannot be written."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_ends_with_2_and_writes_nothing(
    run: Run, table: Tables, arguments: list[str], environment: dict[str, str | None], message: str
) -> None:
    before = table.contents()

    done = run(*arguments, **environment)

    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert table.contents() == before


def test_a_table_without_a_program_is_refused(run: Run, ministack: Engine) -> None:
    empty = fresh_table(ministack)

    done = run("--members", "1", "--table", empty.name)

    assert done.exit_code == 2
    assert done.stderr.startswith(f"No program was ever published on the table {empty.name}")
    assert empty.items() == []


def test_without_a_table_it_is_the_stack_that_runs_here(run: Run, tmp_path: Path) -> None:
    nowhere = run("--members", "1", "--home", str(tmp_path), REGULARS_TABLE=None)

    assert nowhere.exit_code == 2
    assert nowhere.stderr.startswith(
        "Name the stack's table (--table or REGULARS_TABLE). Regulars is not running here."
    )


# --- the members --------------------------------------------------------------------------------------------------------

NOW = runtime.now()


def seeder(store: Any, **changes: Any) -> Seeder:
    whole = Seeder(store, DEMO, seed=1, history=3, days=300, now=lambda: NOW, new_account=runtime.new_account)
    return replace(whole, **changes)


@pytest.fixture(scope="module")
def crowd() -> Everything:
    """A thousand members, in memory."""
    store = Memory()
    writes = seeder(store)
    for number in range(1, 1_001):
        writes.write(number)
    return all_of(store)


def test_one_in_a_hundred_is_blocked_and_one_in_two_hundred_has_left(crowd: Everything) -> None:
    assert Counter(log[-1].state.status for log in crowd.logs.values()) == {
        Status.ACTIVE: 985,
        Status.BLOCKED: 10,
        Status.CLOSED: 5,
    }


def test_birthdays_are_spread_over_the_year_and_some_are_not_told(crowd: Everything) -> None:
    months = Counter(each.birthday.month for each in crowd.profiles.values() if each.birthday)

    assert set(months) == set(range(1, 13))
    assert min(months.values()) > 30
    assert 700 < months.total() < 900


def test_balances_and_tiers_differ(crowd: Everything) -> None:
    states = [log[-1].state for log in crowd.logs.values()]
    balances = sorted(state.balance for state in states)

    assert balances[150] < 100
    assert balances[600] > 100
    assert balances[-50] > 2_000
    assert DEMO.ladder is not None
    assert len({DEMO.ladder.of(state.standing).id for state in states}) > 1


def test_they_joined_over_the_months_and_were_last_seen_on_other_days(crowd: Everything) -> None:
    today = days.day_of(NOW, DEMO.zone)
    states = [log[-1].state for log in crowd.logs.values()]
    joined = [today - state.marks[tiers.JOINED] for state in states]
    seen = [today - state.marks[moments.ACTIVE] for state in states if moments.ACTIVE in state.marks]

    for ago in (joined, seen):
        assert min(ago) < 10
        assert max(ago) > 250
        assert len(set(ago)) > 200
    assert all(each.enrolled_at <= NOW for each in crowd.profiles.values())
    assert all(log[-1].state.at <= NOW for log in crowd.logs.values())


def test_they_have_tags_and_places_and_some_have_none(crowd: Everything) -> None:
    profiles = list(crowd.profiles.values())

    assert set().union(*(each.tags for each in profiles)) == {"app", "newsletter", "student"}
    assert {None, *(place.id for place in DEMO.locations)} == {each.home_location for each in profiles}
    assert any(not each.tags for each in profiles)


def test_a_longer_history_begins_as_a_shorter_one() -> None:
    for number in range(1, 300):
        short, long = (seeding.planned(number, seed=1, history=history, days=300, program=DEMO) for history in (1, 20))
        assert long.bought[: len(short.bought)] == short.bought
        assert (short.birthday, short.joined_ago) == (long.birthday, long.joined_ago)


def test_nobody_is_written_twice_when_the_keys_of_their_enrolling_are_forgotten() -> None:
    """After five weeks; also those who have left, whose contacts are free again."""
    store = Memory()
    for number in range(195, 206):
        seeder(store).write(number)
    before = all_of(store)
    for key in [key for key, claim in store._claims.items() if claim.expires_at is not None]:
        del store._claims[key]

    for number in range(195, 206):
        assert seeder(store, now=lambda: NOW + timedelta(days=50)).write(number).is_new is False

    after = all_of(store)
    assert (after.logs, after.profiles, after.lookups) == (before.logs, before.profiles, before.lookups)


class Busy(Memory):
    """A store that has no answer at first."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = 3

    def enroll(self, *arguments: Any) -> None:
        self.busy -= 1
        if self.busy > 0:
            raise OutcomeUnknown("busy")
        super().enroll(*arguments)


def test_a_busy_store_is_asked_again() -> None:
    store = Busy()

    assert seeder(store).write(1).is_new
    assert store.find_account(Lookup("external", "seed-000001")) is not None


def test_another_seed_is_another_member_and_refused_under_the_same_names() -> None:
    store = Memory()
    for number in range(1, 11):
        seeder(store).write(number)

    seeder(store).require_same()
    with pytest.raises(IdempotencyKeyReused):
        seeder(store, seed=2).require_same()
    seeder(Memory(), seed=2).require_same()
