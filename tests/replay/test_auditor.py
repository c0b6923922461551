import ast
import calendar
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.client import Client
from handlers.replay import auditor, completejourney, sending
from handlers.replay.auditor import Audit, Difference
from tests.replay.conftest import TIMEZONE
from tests.replay.tiny_program import TinyProgram

SHIFT = timedelta(weeks=460)
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
HOUSEHOLDS = [1, 2, 3]

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"])


@pytest.fixture
def replayed(program: TinyProgram, client: Client, tmp_path: Path) -> TinyProgram:
    progress = sending.Progress(tmp_path / "progress", graphql_url=program.graphql_url, shift_days=SHIFT.days)
    sending.send(completejourney.baskets(HOUSEHOLDS, shift=SHIFT), client=client, progress=progress)
    progress.close()
    program.requests.clear()
    return program


def audit(client: Client, *, now: datetime = NOW, timezone: str = TIMEZONE) -> Audit:
    return auditor.audit(HOUSEHOLDS, ask=client.ask, shift=SHIFT, timezone=timezone, now=now, sample=2)


def test_a_right_program_has_no_differences(replayed: TinyProgram, client: Client) -> None:
    found = audit(client)

    assert found.differences == []
    assert found.points == sum(replayed.balances().values())
    assert found.baskets == len(replayed.recorded)
    assert found.entries == len(replayed.members["household-1"]) + len(replayed.members["household-2"])


def lose_a_point(entries: list[dict[str, object]]) -> None:
    entries[-1].update(
        points=int(str(entries[-1]["points"])) - 1, balanceAfter=int(str(entries[-1]["balanceAfter"])) - 1
    )


def book_twice(entries: list[dict[str, object]]) -> None:
    points, after = int(str(entries[-1]["points"])), int(str(entries[-1]["balanceAfter"]))
    entries.append(entries[-1] | {"balanceAfter": after + points})


def lose_the_last(entries: list[dict[str, object]]) -> None:
    entries.pop()


def expire_a_month_later(entries: list[dict[str, object]]) -> None:
    entries[-1]["expires"] = date(2031, 1, 31)


def swap_two_entries(entries: list[dict[str, object]]) -> None:
    entries[-1], entries[-2] = entries[-2], entries[-1]


@pytest.mark.parametrize(
    ("plant", "what"),
    [
        (lose_a_point, {"balance", "expiring", "entries"}),
        (book_twice, {"balance", "expiring", "entries"}),
        (lose_the_last, {"balance", "expiring", "entries"}),
        (expire_a_month_later, {"expiring"}),
        (swap_two_entries, {"balance before an entry"}),
    ],
)
def test_a_planted_difference_is_found_and_nobody_else_is_suspected(
    plant: Callable[[list[dict[str, object]]], None], what: set[str], replayed: TinyProgram, client: Client
) -> None:
    plant(replayed.members["household-2"])

    found = audit(client)

    assert {difference.household_id for difference in found.differences} == {2}
    assert {difference.what.split(" on ")[0] for difference in found.differences} == what


def test_a_difference_says_what_was_expected_and_what_was_found(replayed: TinyProgram, client: Client) -> None:
    right = replayed.balances()["household-3"]
    entries = replayed.members["household-3"]
    day, of_day = (
        entries[0]["expires"],
        sum(one["points"] for one in entries if one["expires"] == entries[0]["expires"]),
    )
    entries[0]["points"] += 7

    assert audit(client).differences == [
        Difference(3, "balance", right, right + 7),
        Difference(3, f"expiring on {day}", of_day, of_day + 7),
    ]


def test_a_member_who_is_missing_is_one_difference(replayed: TinyProgram, client: Client) -> None:
    del replayed.members["household-3"]

    assert audit(client).differences == [Difference(3, "member", "enrolled", "nobody")]


def test_another_timezone_of_the_program_is_found(replayed: TinyProgram, client: Client) -> None:
    differences = audit(client, timezone="Pacific/Kiritimati").differences

    assert differences
    assert all(difference.what.startswith("expiring on ") for difference in differences)


def test_pending_points_are_a_difference(replayed: TinyProgram, client: Client) -> None:
    def ask(document: str, variables: dict[str, object]) -> dict[str, dict[str, dict[str, object]]]:
        data = client.ask(document, variables)
        if "account" in data["member"]:
            data["member"]["account"]["pending"] = 5
        return data

    found = auditor.audit([1], ask=ask, shift=SHIFT, timezone=TIMEZONE, now=NOW, sample=0)  # type: ignore[arg-type]

    assert found.differences == [Difference(1, "pending", 0, 5)]


def test_expired_points_are_no_longer_expected() -> None:
    orders = [(datetime(2024, 1, 31, 12, tzinfo=UTC), 1_099), (datetime(2024, 2, 1, 12, tzinfo=UTC), 2_000)]
    expect = {"shift": timedelta(0), "timezone": "Europe/Berlin"}
    last_instant = datetime(2026, 1, 31, 22, 59, 59, tzinfo=UTC)

    before = auditor.expect(orders, now=last_instant, **expect)  # type: ignore[arg-type]
    after = auditor.expect(orders, now=last_instant + timedelta(seconds=1), **expect)  # type: ignore[arg-type]

    assert (before.balance, before.expiring) == (30, {date(2026, 1, 31): 10, date(2026, 2, 28): 20})
    assert (after.balance, after.expiring) == (20, {date(2026, 2, 28): 20})
    assert after.earned == before.earned == (10, 20)


def test_the_floor_is_taken_per_basket_and_zero_baskets_earn_nothing() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    expected = auditor.expect([(at, 199), (at, 199), (at, 99), (at, 0)], shift=timedelta(0), timezone="UTC", now=at)

    assert expected == auditor.Expected((1, 1), {date(2028, 3, 31): 2})


# The points of a purchase can be spent until the end of the month, 24 months later, as the program's clock shows it.
@given(st.integers(min_value=0, max_value=6_000_000_000), ZONES)  # seconds: 1970 to 2160
def test_points_expire_at_the_end_of_the_month_24_months_later(second: int, timezone: str) -> None:
    occurred_at = datetime.fromtimestamp(second, UTC)
    local = datetime.fromtimestamp(second, ZoneInfo(timezone))

    on = auditor.expires_on(occurred_at, timezone)

    assert (on.year - local.year, on.month) == (2, local.month)
    assert on.day == calendar.monthrange(on.year, on.month)[1]


@pytest.mark.parametrize(
    ("occurred_at", "timezone", "on"),
    [
        (datetime(2026, 2, 28, 12, tzinfo=UTC), "UTC", date(2028, 2, 29)),
        (datetime(2024, 2, 29, 12, tzinfo=UTC), "UTC", date(2026, 2, 28)),
        (datetime(2025, 12, 31, 23, 30, tzinfo=UTC), "UTC", date(2027, 12, 31)),
        (datetime(2025, 12, 31, 23, 30, tzinfo=UTC), "Europe/Berlin", date(2028, 1, 31)),
        (datetime(2026, 1, 1, 4, 59, tzinfo=UTC), "America/New_York", date(2027, 12, 31)),
    ],
)
def test_the_month_is_that_of_the_programs_clock(occurred_at: datetime, timezone: str, on: date) -> None:
    assert auditor.expires_on(occurred_at, timezone) == on


def test_the_auditor_reads_the_same_baskets_on_its_own_way() -> None:
    chosen = completejourney.households(200)

    own = auditor._orders(chosen)

    sent = completejourney.baskets(chosen, shift=timedelta(0))
    assert {household: sorted(orders) for household, orders in own.items()} == {
        household: sorted((basket.occurred_at, basket.total_minor) for basket in baskets)
        for household, baskets in sent.items()
    }


def test_the_auditor_imports_nothing_of_the_program() -> None:
    tree = ast.parse(Path(auditor.__file__).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert imported.isdisjoint({"domain", "schema", "storage", "handlers", "."})


def test_two_buckets_of_one_day_are_shown_not_added() -> None:
    member = {
        "account": {
            "balance": 3,
            "pending": 0,
            "expiring": [{"on": "2028-03-31", "points": 1}, {"on": "2028-03-31", "points": 2}],
        }
    }
    expected = replace(auditor.Expected((), {}), earned=(3,), expiring={date(2028, 3, 31): 3})

    differences = auditor._compare(1, expected, lambda document, variables: {"member": member})

    assert differences == [Difference(1, "expiring on 2028-03-31", 3, (1, 2))]
