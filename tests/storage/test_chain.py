"""The hash chain: each record's hash covers every byte of its item, and the hash before it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import days
from domain.accounts import DEBT, Hold, Line, Origin, Standing, State, Status
from domain.entries import Entry, EntryKind, Explanation, Key, Money, Record
from domain.expiry import Rolling
from domain.refusals import InsufficientPoints
from domain.store import Beside
from storage import chain, items
from storage.items import Item
from storage.memory import Memory, chained
from tests.domain.world import adjust, buy, enroll, program, redeem, search
from tests.storage.tables import NOW, Tables
from tests.storage.test_items import records

PRIOR = bytes(range(16))
ENTRY = Entry(
    kind=EntryKind.RETURN,
    at=NOW,
    lines=(Line(45_600, 42), Line(45_600, -7, 45_000), Line(45_600, 5, hold=3), Line(DEBT, -4)),
    balance_after=43,
    explanation=(Explanation("base", 42, 4_217), Explanation("x", -3)),
    key=Key("till", "ä ☕"),
    actor="p.till",
    occurred_at=NOW,
    total=Money(4_217, "USD"),
    location="harbor",
    channel="store",
    reward=("latte", 3),
    code="0123",
    reason="BROKEN",
    note=b"n" * 16,
    terms=7,
    lapses_at=NOW,
    cause=(17, 1),
    peer=("B", 18),
    refusal=InsufficientPoints("No.", field=("input", "points")),
    rolls=Rolling(44_000, 8, 3),
    qualifies=((24_312, 42), (24_300, -7)),
    standing=Standing("gold", 44_500, Origin.MANUAL, Standing("silver", 0, Origin.LIFETIME)),
    marks=(("active", 43_839), ("m.third", 1)),
)
STATE = State(
    at=NOW,
    buckets={45_600: 42, days.NEVER: 10**15},
    pending={(45_000, 45_600): 7},
    holds={3: Hold(NOW, {45_600: 5})},
    debt=4,
    status=Status.BLOCKED,
    sent=(43_839, 20),
    merged=("B",),
    rolling=Rolling(44_000, 8, 3),
    standing=Standing("gold", 44_500, Origin.MANUAL),
    qualifying={24_300: 5, 24_312: 42},
    marks={"active": 43_839, "joined": 43_000, "m.third": 1},
)
RECORD = Record("A", 12, (ENTRY, replace(ENTRY, key=None)), STATE, prior=PRIOR)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every text and number in an item."""
    match value:
        case dict():
            for name, each in value.items():
                yield from places(each, (*path, name))
        case list():
            for index, each in enumerate(value):
                yield from places(each, (*path, index))
        case _:
            yield path


def altered(item: Item, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Item:
    other = copy.deepcopy(item)
    at: Any = other
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = change(at[path[-1]])
    return other


def test_the_example_has_something_in_every_attribute() -> None:
    item = items.record_item(RECORD)

    assert set(item) == {each.attr_name for each in items.RecordRow.get_attributes().values()}
    assert all(getattr(ENTRY, name) not in (None, (), 0) for name in Entry.__slots__)


def test_a_hash_covers_every_byte_of_its_item() -> None:
    item = items.record_item(RECORD)
    hashes = [chain.hash_of(item, PRIOR)]

    for path in places(item):
        if path[0] == chain.HASH_ATTRIBUTE:
            continue
        text = _at(item, path)
        for index in range(len(text)):
            for character in ("0" if text[index] != "0" else "1", "\u00e9"):
                other = altered(item, path, lambda old, i=index, c=character: old[:i] + c + old[i + 1 :])
                hashes.append(chain.hash_of(other, PRIOR))
        hashes += [chain.hash_of(altered(item, path, change), PRIOR) for change in (lambda old: old[:-1], "{}0".format)]

    assert len(hashes) > 500
    assert hashes.count(hashes[0]) == 1


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def test_a_hash_covers_what_is_added_left_out_moved_or_given_another_type() -> None:
    item = items.record_item(RECORD)
    known = chain.hash_of(item, PRIOR)
    entry = item["e"]["L"][0]["M"]

    changed = [
        *({other: value for other, value in item.items() if other != name} for name in item if name != "h"),
        {**item, "zz": {"S": ""}},
        {**item, "b": item["p"], "p": item["b"]},
        {**item, "d": {"S": item["d"]["N"]}},
        {**item, "e": {"L": item["e"]["L"][::-1]}},
        {**item, "e": {"L": item["e"]["L"][:1]}},
        *(
            {
                **item,
                "e": {"L": [{"M": {name: entry[name] for name in entry if name != left_out}}, *item["e"]["L"][1:]]},
            }
            for left_out in entry
        ),
        {**item, "e": {"L": [{"M": {**entry, "zz": {"NULL": True}}}, *item["e"]["L"][1:]]}},
    ]

    assert all(chain.hash_of(other, PRIOR) != known for other in changed)


def test_a_hash_covers_the_one_before() -> None:
    item = items.record_item(RECORD)

    hashes = {chain.hash_of(item, prior) for prior in (PRIOR, PRIOR[::-1], b"", bytes(16), PRIOR[:15])}

    assert len(hashes) == 5


def test_a_hash_does_not_depend_on_itself_or_on_the_order_of_attributes() -> None:
    item = items.record_item(RECORD)
    bare = {name: item[name] for name in sorted(item, reverse=True) if name != "h"}

    assert chain.hash_of(item, PRIOR) == chain.hash_of(bare, PRIOR) == item["h"]["B"]
    assert len(item["h"]["B"]) == chain.HASH_BYTES


def test_a_known_item_has_a_known_hash() -> None:
    """The algorithm itself, computed by hand: what was written once has to be proved for ever."""
    item: Item = {"PK": {"S": "M#A"}, "SK": {"S": "E#0000000001"}, "b": {"N": "1"}, "x": {"B": b"\x01\xff"}}

    # printf '{"PK":{"S":"M#A"},"SK":{"S":"E#0000000001"},"b":{"N":"1"},"x":{"B":"01ff"}}' | sha256sum
    assert chain.hash_of(item, b"").hex() == "a52ae1c45af3f52546617c65f8fec7fb"


@search(50)
@given(records(), st.binary(max_size=16))
def test_a_record_that_was_read_and_written_again_has_the_same_hash(record: Record, prior: bytes) -> None:
    item = items.record_item(replace(record, prior=prior))

    again = items.record_from(item)

    assert again.hash == item["h"]["B"]
    assert items.record_item(replace(again, prior=prior)) == item


# --- through a database -----------------------------------------------------------------------------------------------


def test_an_item_that_comes_back_from_the_database_has_its_hash(table: Tables) -> None:
    table.store.append(RECORD)

    (item,) = table.items()

    assert chain.hash_of(item, PRIOR) == item["h"]["B"] == items.record_item(RECORD)["h"]["B"]


def test_what_is_booked_is_a_chain(table: Tables) -> None:
    """The same life in memory and on a table: every record follows from the one before, and the hashes are the same."""
    memory, store = Memory(pepper=table.store._pepper), table.store
    brief = program(expiry={"days": 2, "rounding": "day"}, pending={"days": 1})
    for each in (memory, store):
        for name in ("ada", "bob"):
            enroll(each, name, NOW)
        for number in range(3):
            buy(each, "ada", 5_000, NOW + timedelta(days=number), receipt=str(number), program=brief)
        redeem(each, "ada", "latte", NOW + timedelta(days=3), key="k")
        adjust(each, "bob", 5, NOW + timedelta(days=40), key="k")

    for account in ("ADA", "BOB"):
        log = store.records_after(account, 0, limit=99)
        assert [each.hash for each in log] == [
            each.hash for each in chained(memory.records_after(account, 0, limit=99))
        ]
        stored = sorted(
            (item for item in table.items() if item["PK"]["S"] == f"M#{account}" and item["SK"]["S"].startswith("E#")),
            key=lambda item: str(item["SK"]["S"]),
        )
        prior = b""
        for item in stored:
            assert chain.hash_of(item, prior) == item["h"]["B"]
            prior = item["h"]["B"]
    assert len(table.store.records_after("ADA", 0, limit=99)) == 5


def test_records_that_move_together_are_each_chained_to_their_own_log(table: Tables) -> None:
    store = table.store
    for name in ("ada", "bob", "cyd"):
        enroll(store, name, NOW)
    heads = [store.head(account, strong=True) for account in ("ADA", "BOB", "CYD")]
    first, *others = [replace(RECORD, account=head.account, seq=2, prior=head.hash) for head in heads if head]

    store.append(first, Beside(records=tuple(others)))

    for head in filter(None, heads):
        item = table.contents()[f"M#{head.account}", "E#0000000002"]
        assert chain.hash_of(item, head.hash) == item["h"]["B"]


# --- in memory --------------------------------------------------------------------------------------------------------


def test_a_store_in_memory_takes_no_record_that_is_chained_to_another_one_than_the_head() -> None:
    memory = Memory()
    enroll(memory, "ada", NOW)

    with pytest.raises(AssertionError):
        memory.append(replace(RECORD, account="ADA", seq=2, prior=b""))
