"""`regulars ledger verify` as an operator types it, on a table that the real handler has filled."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from handlers.cli import app
from handlers.local.home import write_json
from storage import keys
from tests.engines import Engine
from tests.handlers.api import REDEEM, Api, account_of, till
from tests.handlers.conftest import Clock

SECRET = "a secret of the tests, long enough for a pepper"

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def members(quiet: Api) -> dict[str, str]:
    """Ada, who bought and redeemed, and Ben, who bought; global ids by name."""
    ids = {name: quiet.enroll(name, email=f"{name}@example.com") for name in ("ada", "ben")}
    for name in ids:
        quiet.buy(name, 5_000)
    redeemed = {"idempotencyKey": "r", "member": {"externalId": "ada"}, "rewardId": "latte"}
    assert quiet.post(till(), REDEEM, input=redeemed).data["rewardRedeem"]["userErrors"] == []
    return ids


@pytest.fixture
def run(quiet: Api, ministack: Engine, members: dict[str, str]) -> Run:
    """Runs the command with the environment of an operator."""

    def run(*arguments: str, **environment: str | None) -> Result:
        given = {**ministack.environment, "REGULARS_TABLE": quiet.table, "REGULARS_SECRET": SECRET, **environment}
        return CliRunner().invoke(app, ["ledger", "verify", *arguments], env=given)

    return run


@contextmanager
def broken(api: Api, account: str, seq: int) -> Iterator[None]:
    """One character of a record is another one meanwhile."""
    key = {"PK": {"S": keys.account(account)}, "SK": {"S": keys.entry(seq)}}
    whole = api.client.get_item(TableName=api.table, Key=key, ConsistentRead=True)["Item"]
    (entry,) = whole["e"]["L"]
    actor = entry["M"]["u"]["S"]
    changed = {**whole, "e": {"L": [{"M": {**entry["M"], "u": {"S": actor[:-1] + "x"}}}]}}
    assert changed != whole
    api.client.put_item(TableName=api.table, Item=changed)
    try:
        yield
    finally:
        api.client.put_item(TableName=api.table, Item=whole)


@pytest.mark.parametrize(
    ("arguments", "checked"),
    [
        (["--all"], "Checked 2 accounts, 5 records, 5 entries and 5 keys in "),
        (["--sample", "1", "--claims"], "Checked 1 account, "),
        (["--sample", "10"], "Checked 2 accounts, 5 records, 5 entries and 5 keys in "),
        (["--member-by", "externalId=ada"], "Checked 1 account, 3 records, 3 entries and 3 keys in "),
        (
            ["--member-by", "email=Ben@Example.com", "--claims"],
            "Checked 1 account, 2 records, 2 entries and 2 keys in ",
        ),
    ],
    ids=" ".join,
)
def test_what_is_right_is_said_to_be_so(run: Run, arguments: list[str], checked: str) -> None:
    done = run(*arguments)

    assert (done.exit_code, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.startswith(checked)
    assert first.endswith(" entries a second.")
    assert last == "Nothing is wrong."


def test_an_account_is_named_as_in_the_table_or_as_in_the_api(run: Run, members: dict[str, str]) -> None:
    for name in (members["ada"], account_of(members["ada"])):
        done = run("--account", name)

        assert done.exit_code == 0
        assert "Checked 1 account, 3 records" in done.stdout


def test_a_broken_byte_is_one_line_with_its_place(run: Run, quiet: Api, members: dict[str, str]) -> None:
    ada = account_of(members["ada"])
    with broken(quiet, ada, 2):
        for arguments in (["--all"], ["--account", ada], ["--sample", "2"]):
            done = run(*arguments)

            assert done.exit_code == 1
            finding, _, count = done.stdout.splitlines()
            assert finding == (
                f"{ada} record 2: The hash does not follow from this record and record 1: one of them was altered."
                " (CHAIN_BROKEN)"
            )
            assert count == "1 finding."
        assert run("--member-by", "externalId=ben").exit_code == 0
    assert run("--all").exit_code == 0


def test_machines_get_an_object_a_line(run: Run, quiet: Api, members: dict[str, str]) -> None:
    ada = account_of(members["ada"])
    with broken(quiet, ada, 3):
        done = run("--all", "--json")

    assert done.exit_code == 1
    finding, summary = map(json.loads, done.stdout.splitlines())
    assert finding == {
        "account": ada,
        "sequence": 3,
        "code": "CHAIN_BROKEN",
        "message": "The hash does not follow from this record and record 2: one of them was altered.",
    }
    assert summary["summary"].pop("seconds") > 0
    assert summary == {
        "summary": {"accounts": 2, "records": 5, "entries": 5, "keys": 5, "findings": 1, "unfinished": 0}
    }
    (summary_alone,) = map(json.loads, run("--all", "--json").stdout.splitlines())
    assert summary_alone["summary"]["findings"] == 0


def test_an_account_as_a_whole_has_no_record_and_nothing_can_be_smuggled_onto_the_screen(run: Run, quiet: Api) -> None:
    stray = {"PK": {"S": "X\x1b[2J\nAll is well"}, "SK": {"S": "☕"}}
    quiet.client.put_item(TableName=quiet.table, Item=stray)
    try:
        done = run("--all")
    finally:
        quiet.client.delete_item(TableName=quiet.table, Key=stray)

    assert done.exit_code == 1
    assert done.stdout.splitlines()[0] == (
        "X\\x1b[2J\\nAll is well: Nothing of the program writes an item '☕' here. (STRAY_ITEM)"
    )


def test_a_claim_without_its_entry_is_unfinished_and_later_a_finding(
    run: Run, quiet: Api, members: dict[str, str], clock: Clock
) -> None:
    claim = {
        "PK": {"S": "K#till:lost"},
        "SK": {"S": "K"},
        "a": {"S": account_of(members["ben"])},
        "s": {"N": "2"},
        "f": {"B": b"sixteen bytes of"},
        "at": {"N": str(int(clock.now.timestamp()) * 1_000)},
    }
    quiet.client.put_item(TableName=quiet.table, Item=claim)
    try:
        young = run("--all")
        clock.advance(minutes=60)
        old = run("--all")
        patient = run("--all", "--grace-minutes", "61")
    finally:
        quiet.client.delete_item(TableName=quiet.table, Key={name: claim[name] for name in ("PK", "SK")})

    assert young.exit_code == patient.exit_code == 0
    assert young.stdout.splitlines()[1:] == [
        "1 key was claimed in the last 60 minutes and is not booked yet.",
        "Nothing is wrong.",
    ]
    assert old.exit_code == 1
    assert (
        f"{account_of(members['ben'])} record 3: The key 'till:lost' was claimed at 2030-01-10T17:00:00.000Z"
        in old.stdout
    )


# --- what cannot be checked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "Give one of --account, --member-by, --sample and --all."),
        (["--all", "--sample", "1"], {}, "Give one of --account, --member-by, --sample and --all."),
        (["--sample", "0"], {}, "Invalid value for '--sample'"),
        (["--member-by", "name=Ada"], {}, "externalId=… or email=… or phone=… or cardNumber=…"),
        (["--member-by", "email=ada"], {}, "This is not an email address."),
        (["--member-by", "externalId=nobody"], {}, "No member is enrolled under this."),
        (["--member-by", "externalId=ada"], {"REGULARS_SECRET": None}, "set REGULARS_SECRET to the stack's secret"),
        (["--account", "NOBODY"], {}, "There is no account NOBODY."),
        (["--all", "--table", "nowhere"], {}, "The table nowhere cannot be read. ResourceNotFoundException"),
        (["--all"], {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"}, "cannot be read."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_checked_ends_with_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str | None], message: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    # Retries of the client are its own business.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)

    done = run(*arguments, **environment)

    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_that_is_none_of_ours_is_not_called_right(run: Run, quiet: Api, ministack: Engine) -> None:
    quiet.client.create_table(
        TableName="somebody-elses",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )

    done = run("--all", "--table", "somebody-elses")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "No program was ever published on the table somebody-elses: it is not the table of a stack.\n"
    )


def test_without_a_table_it_is_the_stack_that_runs_here(
    run: Run, quiet: Api, ministack: Engine, tmp_path: Path
) -> None:
    nowhere = run("--all", "--home", str(tmp_path), REGULARS_TABLE=None)
    facts: dict[str, Any] = {
        "graphql_url": "",
        "graphiql_url": "",
        "endpoint_url": ministack.endpoint_url,
        "region": ministack.region,
        "process": 1,
        "table": quiet.table,
        "outputs": {},
        "access_key": ministack.access_key,
        "secret_key": "local",
        "passwords": {},
        "tokens": {},
    }
    write_json(tmp_path / "stack.json", facts)
    without_credentials = dict.fromkeys(ministack.environment)
    here = run("--all", "--home", str(tmp_path), REGULARS_TABLE=None, **without_credentials)

    assert (nowhere.exit_code, nowhere.stdout) == (2, "")
    assert nowhere.stderr == (
        "Name the stack's table (--table or REGULARS_TABLE). Regulars is not running here. Start it: make run\n"
    )
    assert (here.exit_code, here.stderr) == (0, "")
    assert "Checked 2 accounts" in here.stdout
