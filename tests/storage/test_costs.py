"""What each operation asks of the table: every request in its order, and the units it is billed.

docs/access-patterns.md says the same. What is not a get, a query, a put, or a transaction of puts cannot be told here: the
function's role may do nothing else.
Units are computed from the documented sizes (`bench.units`), because local engines miscount transactions.
"""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from pynamodb.connection import Connection

from bench.units import of_call
from storage.table import Table
from tests.engines import Engine
from tests.storage.tables import Tables, fresh_table
from tests.storage.test_killed import OPERATIONS, prepare


@dataclass
class Counting:
    """A connection that remembers what went through it."""

    connection: Connection
    calls: list[str] = field(default_factory=list)
    read_units: float = 0
    write_units: float = 0

    def dispatch(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = {"Items": []}
        try:
            response = self.connection.dispatch(operation, request)
        finally:
            self.calls.append(told(operation, request))
            read, written = of_call(operation, request, response)
            self.read_units += read
            self.write_units += written
        return response


def told(operation: str, request: dict[str, Any]) -> str:
    """`get`, `query`, `strong query`, `put K`, `transact E+R`: letters are the kinds of items in `storage.keys`."""
    if operation in ("GetItem", "Query"):
        return ("strong " if request["ConsistentRead"] else "") + operation.removesuffix("Item").lower()
    if operation == "PutItem":
        return f"put {kind_of(request['Item'])}"
    return "transact " + "+".join(kind_of(each["Put"]["Item"]) for each in request["TransactItems"])


def kind_of(item: dict[str, dict[str, Any]]) -> str:
    partition, sort = (item[name]["S"].split("#")[0] for name in ("PK", "SK"))
    return partition if partition in ("D", "DIR") else sort


# Read units, write units, requests.
COSTS = {
    "purchase": (1, 3, "get, query, put K, put D, put E"),
    # The look-up of a return that waits, its claim completed, all returns.
    "purchase whose return came first": (
        3.5,
        3,
        "get, query, put K, query, put K, strong query, strong query, put E",
    ),
    # The survivor, and once more whether the merge still stands.
    "purchase of somebody merged": (2.5, 3, "get, query, query, strong query, put K, put D, put E"),
    "redemption": (1, 2, "get, query, put K, put E"),
    "refused redemption": (2, 1, "get, query, strong query, put K"),
    "cancellation": (3.5, 5, "strong query, strong query, query, strong get, put K, transact E+C"),
    "return": (4, 4, "strong get, strong query, strong query, strong query, transact E+R"),
    "return by somebody merged": (6, 4, "strong get" + ", strong query" * 5 + ", transact E+R"),
    "refused return": (4, 1, "strong get, strong query, strong query, strong query, put R"),
    "return that waits": (1, 4, "strong get, transact K+R"),
    "hold": (1, 2, "get, query, put K, put E"),
    "capture": (1.5, 2, "strong query, query, put K, put E"),
    "release": (1.5, 2, "strong query, query, put K, put E"),
    "adjustment": (1, 3, "get, query, put K, put A, put E"),
    "gift": (2.5, 5, "get, query, get, strong query, put K, transact E+E"),
    "merge": (3.5, 5, "get, get, query, strong query, strong query, put K, transact E+E"),
    "undone merge": (
        4.5,
        6,
        "get, query, query, strong query, strong query, strong query, put K, put D, transact E+E",
    ),
    "enrollment": (0, 14, "transact K+U+U+U+E+P+DIR"),
    "update": (4, 11, "get, query, strong query, strong get, strong get, put K, transact E+U+U+U+P"),
    "block": (1, 3, "get, query, put K, put A, put E"),
    "unblock": (1, 2, "get, query, put K, put E"),
    "closure": (2, 9, "get, query, strong query, put K, transact E+U+U+P"),
}
# The same call once more: a put that meets the claim is billed as if it had written.
REPEATED = {
    "purchase": (2, 1, "get, query, put K, strong query"),
    "refused redemption": (2, 1, "get, query, strong query, put K"),
    "hold": (2, 1, "get, query, put K, strong query"),
    "return": (5, 0, "strong get, strong query, strong query, strong query, strong query"),
    "gift": (3.5, 1, "get, query, get, strong query, put K, strong query"),
    "enrollment": (0, 14, "transact K+U+U+U+E+P+DIR"),
}


@pytest.fixture
def table(ministack: Engine) -> Tables:
    """Requests are the same whatever answers them: one engine is enough."""
    made = fresh_table(ministack)
    prepare(made.store)
    return made


def counted(table: Tables, name: str) -> tuple[float, float, str]:
    counting = Counting(table.connection)
    store: Table = replace(table, connection=cast("Connection", counting)).store
    OPERATIONS[name].call(store)
    return counting.read_units, counting.write_units, ", ".join(counting.calls)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_costs_what_the_documentation_says(table: Tables, name: str) -> None:
    assert counted(table, name) == COSTS[name]


@pytest.mark.parametrize("name", REPEATED)
def test_a_repeated_operation_costs_what_the_documentation_says(table: Tables, name: str) -> None:
    OPERATIONS[name].call(table.store)

    assert counted(table, name) == REPEATED[name]
