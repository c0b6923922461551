"""What a campaign asks of the table: a write unit and two requests a member, and a little for each chunk."""

from collections import Counter
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest
from pynamodb.connection import Connection

from domain import limits
from domain.campaigns import Action, Budget, Campaign, Status, Step, Validity, work
from domain.campaigns.store import KeyUse, Run, RunKind
from domain.campaigns.tools import Tools
from domain.campaigns.turns import Turn
from storage import keys
from storage.campaigns import CampaignTable
from tests.domain.campaigning import draft
from tests.domain.world import PROGRAM, day, enroll
from tests.engines import Engine, create_table
from tests.storage.tables import NOW, SHARDS, Tables, fresh_table
from tests.storage.test_costs import Counting

# All members of these tests are of one shard, as those of a chunk are.
SHARD = 1


@pytest.fixture
def table(ministack: Engine) -> Tables:
    """Requests are the same whatever answers them: one engine is enough."""
    return fresh_table(ministack)


def members(count: int) -> list[str]:
    found: list[str] = []
    number = 0
    while len(found) < count:
        name = f"m{number:05}"
        if keys.shard(name.upper(), SHARDS) == SHARD:
            found.append(name)
        number += 1
    return found


def told(table: Tables, count: int, **parts: Any) -> tuple[Counter[str], float, float]:
    """The requests, and the units that were read and written, of one chunk with so many members, all of whom get a bonus."""
    campaigns = CampaignTable(table.connection, table.name, shards=SHARDS)
    step = Step(Action.CREATE, "staff", NOW)
    made = Campaign("C1", draft(10, **parts), created_by="staff", created_at=NOW, steps=(step,))
    campaigns.create(made, KeyUse(b"k" * 16, made.id, Action.CREATE))
    campaigns.save(replace(made, status=Status.RUNNING, launched_at=NOW, budget_in_force=made.draft.budget))
    for name in members(count):
        enroll(table.store, name, NOW)
    run = Run("C1", RunKind.BONUS)
    queue: list[Turn] = []
    tools = Tools(campaigns, table.store, PROGRAM, lambda: NOW, queue.extend)
    work.take(tools, Turn(run, SHARD))
    (turn,) = queue
    counting = Counting(table.connection)
    connection = cast("Connection", counting)
    counted = replace(
        tools,
        campaigns=CampaignTable(connection, table.name, shards=SHARDS),
        store=replace(table, connection=connection).store,
    )

    work.take(counted, turn)

    assert campaigns.shard(run, SHARD).points == 10 * count
    return Counter(counting.calls), counting.read_units, counting.write_units


def test_a_member_costs_one_strong_read_and_one_put_of_one_unit(table: Tables) -> None:
    few, more = 20, 40
    calls, read, written = told(table, few)

    other, read_more, written_more = told(fresh_table_like(table), more)

    extra = {name: other[name] - calls[name] for name in other | calls if other[name] != calls[name]}
    # Between two looks at whether somebody has stopped it there are `limits.CHUNK_LOOK_MEMBERS`.
    assert extra == {"strong query": more - few, "put E": more - few}
    assert read_more - read == more - few
    assert written_more - written == pytest.approx(more - few, abs=1), "rows of many grow a little with them"


def fresh_table_like(table: Tables) -> Tables:
    """Another table on the same engine."""
    name = f"table-{uuid4()}"
    create_table(table.client, name)
    return replace(table, name=name)


def test_a_full_chunk_costs_a_unit_a_member_and_less_than_thirty_for_itself(table: Tables) -> None:
    calls, read, written = told(table, limits.CHUNK_MEMBERS_MAX, validity=Validity(until=day("2090-06-30")))

    looks = 2 * (limits.CHUNK_MEMBERS_MAX // limits.CHUNK_LOOK_MEMBERS - 1)
    assert calls == {
        "strong query": 501,  # each member, and, at the end, how far all shards are
        "put E": 500,
        "put D": 2,  # what is decided; and one row for the day on which all these points end
        "transact Z+S": 1,
        # The campaign at the beginning and between members; the chunk, whether it is done or decided; the shard twice.
        "strong get": looks + 1 + 1 + 1 + 1 + 2,
    }
    assert read < 500 + 60
    assert 500 < written < 500 + 30


def test_a_budget_costs_a_read_and_a_put_in_the_same_write(table: Tables) -> None:
    plain, read, written = told(table, 3)
    bounded, read_too, written_too = told(fresh_table_like(table), 3, budget=Budget(points=1_000))

    assert bounded - plain == {"strong get": 1, "transact D+B": 1}
    assert plain - bounded == {"put D": 1}
    assert (read_too - read, written_too - written) == (1, 3)
