"""Lists of members on every store: what is written once stands, and who is on a list is found again in order, from anywhere."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import limits
from domain.campaigns.store import Campaigns
from domain.lists import By, Failure, Flaw, ListStatus, MemberList, Report, Upload
from domain.lists.store import Claim, Cut, KeyKnown, Lists, Part
from domain.store import Contended
from storage import keys
from storage.campaigns import CampaignTable
from storage.lists import ListTable
from storage.memory import Memory
from storage.memory_campaigns import MemoryCampaigns
from storage.memory_lists import MemoryLists
from tests.storage.tables import NOW, SHARDS, Tables

LIST = MemberList("01L1", "Walkers", By.EMAIL, created_by="s.grace", created_at=NOW)
CREATED, IMPORTED = (Claim(bytes([number]) * 16, LIST.id, bytes([number + 10]) * 16) for number in (1, 2))
BEGUN = replace(
    LIST,
    status=ListStatus.IMPORTING,
    upload=Upload('"69b38055472c5a05887addc631e12bf1"', 12),
    imported_by="s.olive",
    imported_at=NOW + timedelta(hours=1),
)


@pytest.fixture
def lists(place: Memory | Tables) -> Lists:
    if isinstance(place, Memory):
        return MemoryLists(shards=SHARDS)
    return ListTable(place.connection, place.name, shards=SHARDS)


def accounts(count: int) -> list[str]:
    return [f"01A{number:023}" for number in range(count)]


def of_shard(count: int, shard: int) -> list[str]:
    """So many accounts of one shard, in their order."""
    found = (account for account in accounts(50 * count) if keys.shard(account, SHARDS) == shard)
    return [account for _, account in zip(range(count), found, strict=False)]


# --- lists --------------------------------------------------------------------------------------------------------------


def test_a_list_is_found_as_it_was_written(lists: Lists) -> None:
    assert (lists.find(LIST.id), lists.claim(CREATED.key)) == (None, None)

    lists.create(LIST, CREATED)
    assert lists.find(LIST.id) == LIST
    saved = lists.save(BEGUN, IMPORTED)
    ready = lists.save(replace(saved, status=ListStatus.READY, report=Report(9, 2, 3, 0, 1, 2, 1)))

    assert saved == replace(BEGUN, version=2)
    assert lists.find(LIST.id) == ready == replace(saved, status=ListStatus.READY, report=ready.report, version=3)
    assert (lists.claim(CREATED.key), lists.claim(IMPORTED.key)) == (CREATED, IMPORTED)
    failed = replace(LIST, id="01L2", status=ListStatus.FAILED, failure=Failure.NOT_TEXT)
    lists.create(failed, replace(CREATED, key=b"x" * 16, list_id="01L2"))
    assert lists.find("01L2") == failed


def test_a_key_is_used_once_and_tells_for_what(lists: Lists) -> None:
    lists.create(LIST, CREATED)
    other = replace(LIST, id="01L2")

    with pytest.raises(KeyKnown) as known:
        lists.create(other, replace(CREATED, list_id=other.id))
    assert known.value.claim == CREATED
    assert lists.find(other.id) is None
    with pytest.raises(KeyKnown):
        lists.save(BEGUN, CREATED)
    assert lists.find(LIST.id) == LIST


def test_a_list_is_written_over_the_version_that_was_seen_and_its_key_with_it(lists: Lists) -> None:
    lists.create(LIST, CREATED)
    lists.save(BEGUN, IMPORTED)
    late = replace(IMPORTED, key=b"late" * 4)

    with pytest.raises(Contended):
        lists.save(BEGUN)
    with pytest.raises(Contended):
        lists.save(BEGUN, late)

    assert lists.claim(late.key) is None
    assert lists.find(LIST.id) == replace(BEGUN, version=2)


def test_of_many_who_end_a_list_one_does(lists: Lists) -> None:
    lists.create(LIST, CREATED)

    def end(number: int) -> bool:
        try:
            lists.save(replace(LIST, status=ListStatus.FAILED, name=f"by {number}"))
        except Contended:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(end, range(8))) == 1


def test_lists_are_told_page_by_page_the_newest_first(lists: Lists) -> None:
    made = [replace(LIST, id=f"01L{number}") for number in range(5)]
    for number, each in enumerate(made):
        lists.create(each, Claim(bytes([number]) * 16, each.id, b"asked"))

    assert list(lists.newest(limit=2)) == made[:2:-1]
    assert list(lists.newest(before="01L3", limit=2)) == made[2:0:-1]
    assert list(lists.newest(before="01L1", limit=2)) == made[:1]
    assert list(lists.newest(before="01L0", limit=2)) == []


# --- imports ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("starts", [(), (0,), tuple(range(0, 500 * 70_000, 70_000))])
def test_a_cut_is_found_as_it_was_written(lists: Lists, starts: tuple[int, ...]) -> None:
    cut = Cut(starts, 500 * 70_000)
    assert lists.cut(LIST.id) is None

    lists.keep_cut(LIST.id, cut)
    lists.keep_cut(LIST.id, cut)

    assert lists.cut(LIST.id) == cut


def test_what_was_found_first_in_a_part_stands(lists: Lists) -> None:
    first, second = Part(2, ("A", "-", ".", "x", "!", ">B")), Part(2, ("A", "C", ".", "x", "!", ">B"))
    assert (lists.part(LIST.id, 2), lists.parts_kept(LIST.id)) == (None, frozenset())

    lists.keep_part(LIST.id, first)
    lists.keep_part(LIST.id, second)
    lists.keep_part("another", second)
    lists.keep_part(LIST.id, Part(500, ("-",)))

    assert (lists.part(LIST.id, 2), lists.part("another", 2)) == (first, second)
    assert lists.parts_kept(LIST.id) == {2, 500}


def test_a_part_whose_writer_died_before_its_mark_is_marked_by_the_next(place: Memory | Tables, lists: Lists) -> None:
    if isinstance(place, Memory):
        return  # one write there
    part = Part(1, ("A",))
    lists.keep_part(LIST.id, part)
    mark = {"PK": {"S": keys.list_import(LIST.id)}, "SK": {"S": keys.list_part_kept(1)}}
    place.client.delete_item(TableName=place.name, Key=mark)
    assert lists.parts_kept(LIST.id) == frozenset()

    lists.keep_part(LIST.id, Part(1, ("B",)))

    assert (lists.part(LIST.id, 1), lists.parts_kept(LIST.id)) == (part, {1})


def test_the_largest_part_and_the_largest_page_fit(lists: Lists) -> None:
    some = of_shard(limits.LIST_PAGE_ACCOUNTS, 0)
    part = Part(1, tuple(f">{account}" for account in accounts(limits.LIST_PART_LINES)))

    lists.keep_part(LIST.id, part)
    lists.keep_page(LIST.id, some)

    assert lists.part(LIST.id, 1) == part
    assert list(lists.members(LIST.id, 0)) == some


def test_members_are_told_in_order_across_pages_from_any_of_them_on(lists: Lists) -> None:
    some, others = of_shard(11, 1), of_shard(3, 2)
    for start in (8, 0, 4, 4):
        lists.keep_page(LIST.id, some[start : start + 4])
    lists.keep_page(LIST.id, others)
    lists.keep_page("another", some[:1])

    assert list(lists.members(LIST.id, 1)) == some
    assert list(lists.members(LIST.id, 2)) == others
    assert list(lists.members(LIST.id, 3)) == []
    for place, account in enumerate(some):
        assert list(lists.members(LIST.id, 1, after=account)) == some[place + 1 :]
        # Also of one who is not on it.
        assert list(lists.members(LIST.id, 1, after=account + "0")) == some[place + 1 :]


def test_examples_are_found_as_they_were_written(lists: Lists) -> None:
    examples = {Flaw.UNKNOWN: tuple(range(1, 1_001)), Flaw.CLOSED: (7,), Flaw.DUPLICATE: ()}
    assert lists.examples(LIST.id) == {}

    lists.keep_examples(LIST.id, examples)

    found = {flaw: tuple(lines) for flaw, lines in lists.examples(LIST.id).items() if lines}
    assert found == {Flaw.UNKNOWN: examples[Flaw.UNKNOWN], Flaw.CLOSED: (7,)}


def test_a_campaign_finds_the_members_of_its_list(place: Memory | Tables) -> None:
    some: Any = of_shard(5, 1)
    campaigns: Campaigns
    if isinstance(place, Memory):
        kept = MemoryLists(shards=SHARDS)
        kept.keep_page(LIST.id, some)
        campaigns = MemoryCampaigns(place, shards=SHARDS, lists=kept)
    else:
        ListTable(place.connection, place.name, shards=SHARDS).keep_page(LIST.id, some)
        campaigns = CampaignTable(place.connection, place.name, shards=SHARDS)

    assert list(campaigns.members(1, list_id=LIST.id, after=some[1])) == some[2:]
    assert list(campaigns.members(1)) == []


def test_what_an_import_leaves_behind_is_forgotten_and_who_is_on_a_list_is_not(
    place: Memory | Tables, lists: Lists
) -> None:
    if isinstance(place, Memory):
        return  # it forgets nothing
    lists.create(LIST, CREATED)
    lists.keep_cut(LIST.id, Cut((0,), 1))
    lists.keep_part(LIST.id, Part(1, ("A",)))
    lists.keep_page(LIST.id, of_shard(2, 0))
    lists.keep_examples(LIST.id, {Flaw.UNKNOWN: (1,)})

    items = place.contents()

    assert {sk for (pk, sk), item in items.items() if "ttl" in item} == {"C", "P#0001", "Z#0001"}
    assert all(len(name) <= 3 for item in items.values() for name in item if name not in ("PK", "SK"))
