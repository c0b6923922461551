"""The settings of a Lambda: read once, and a wrong one stops the cold start by name."""

from __future__ import annotations

import pytest

from handlers import runtime
from handlers.runtime import SettingMissing, Settings

ENVIRONMENT = {
    "REGULARS_TABLE": "regulars",
    "REGULARS_SECRET": "x" * 32,
    "REGULARS_SHARDS": "4",
    "REGULARS_CAMPAIGN_QUEUE": "https://queues.invalid/campaigns",
    "REGULARS_INGEST_QUEUE": "https://queues.invalid/purchases",
    "REGULARS_LISTS_BUCKET": "lists-of-nobody",
}
DEFAULTED = (
    "REGULARS_ACCOUNT_CLAIM",
    "REGULARS_GROUPS_CLAIM",
    "REGULARS_INTROSPECTION",
    "REGULARS_BODY_BYTES_MAX",
    "REGULARS_SANDBOX",
    "REGULARS_CLOCK_QUEUE",
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTED:
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_what_is_not_said_has_a_safe_default() -> None:
    assert runtime.settings() == Settings(
        table="regulars",
        secret="x" * 32,
        shards=4,
        account_claim="",
        groups_claim="cognito:groups",
        manager_group="manager",
        support_group="support",
        introspection=False,
        body_bytes_max=1_048_576,
        campaign_queue="https://queues.invalid/campaigns",
        ingest_queue="https://queues.invalid/purchases",
        lists_bucket="lists-of-nobody",
        clock_queue=None,
    )


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_setting_stops_the_start_and_is_named(
    name: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingMissing, match=name):
        runtime.settings()


def test_a_secret_that_could_be_guessed_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_SECRET", "x" * 31)

    with pytest.raises(SettingMissing, match="REGULARS_SECRET"):
        runtime.settings()


@pytest.mark.parametrize(("said", "open_"), [("on", True), ("off", False), ("", False), ("true", False), ("ON", False)])
def test_the_schema_is_told_only_where_that_is_said_exactly(
    said: str, open_: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGULARS_INTROSPECTION", said)

    assert runtime.settings().introspection is open_


@pytest.mark.parametrize("said", ["off", "", "true", "ON", "1"])
def test_a_clock_is_read_only_where_that_is_said_exactly(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_SANDBOX", said)
    monkeypatch.setenv("REGULARS_CLOCK_QUEUE", "https://sqs.example/clock")

    assert runtime.settings().clock_queue is None
    assert runtime.start().clock is None


def test_a_sandbox_needs_the_queue_of_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_SANDBOX", "on")

    with pytest.raises(SettingMissing, match="REGULARS_CLOCK_QUEUE"):
        runtime.settings()


JOBS = {
    "planner": (runtime.start_planner, ("REGULARS_TABLE", "REGULARS_SHARDS", "REGULARS_VISIT_QUEUE")),
    "visitor": (
        runtime.start_visitor,
        ("REGULARS_TABLE", "REGULARS_SHARDS", "REGULARS_VISIT_QUEUE", "REGULARS_FAILURES_QUEUE"),
    ),
    "campaigner": (
        runtime.start_campaigner,
        (
            "REGULARS_TABLE",
            "REGULARS_SHARDS",
            "REGULARS_CAMPAIGN_QUEUE",
            "REGULARS_FAILURES_QUEUE",
            "REGULARS_LISTS_BUCKET",
            # Lists name members by what they are found by.
            "REGULARS_SECRET",
        ),
    ),
    "clockwork": (
        runtime.start_clockwork,
        (
            "REGULARS_TABLE",
            "REGULARS_SHARDS",
            "REGULARS_CLOCK_QUEUE",
            "REGULARS_FAILURES_QUEUE",
            "REGULARS_SANDBOX",
        ),
    ),
}


@pytest.mark.parametrize("function", JOBS)
def test_a_job_starts_with_what_it_needs_and_without_a_secret_it_does_not(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, needed = JOBS[function]
    if "REGULARS_SECRET" not in needed:
        monkeypatch.delenv("REGULARS_SECRET")
    queues = ("REGULARS_VISIT_QUEUE", "REGULARS_CAMPAIGN_QUEUE", "REGULARS_CLOCK_QUEUE", "REGULARS_FAILURES_QUEUE")
    values = {name: f"https://sqs.example/{name}" for name in queues}
    for name, value in {**values, "REGULARS_SANDBOX": "on"}.items():
        if name in needed:
            monkeypatch.setenv(name, value)
    assert start()

    for name in needed:
        with monkeypatch.context() as patch:
            patch.delenv(name)
            with pytest.raises(SettingMissing, match=name):
                start()


def test_redemption_codes_are_easy_to_read_out_and_hard_to_guess() -> None:
    codes = {runtime.new_code() for _ in range(1_000)}

    assert len(codes) == 1_000
    assert all(len(code) == 10 and not set(code) & set("ILOU") for code in codes)


@pytest.mark.parametrize("missing", ["REGULARS_TABLE", "REGULARS_SECRET", "REGULARS_SHARDS", "REGULARS_FAILURES_QUEUE"])
def test_the_ingester_starts_with_the_secret_because_it_finds_members(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGULARS_FAILURES_QUEUE", "https://sqs.example/failures")

    assert runtime.start_ingester()

    monkeypatch.delenv(missing)
    with pytest.raises(SettingMissing, match=missing):
        runtime.start_ingester()
