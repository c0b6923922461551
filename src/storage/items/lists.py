"""LST: lists of members, how far their imports are, and who is on them."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute

from domain.lists import By, Failure, Flaw, ListStatus, MemberList, Report, Upload
from domain.lists.store import Claim, Cut, Part
from storage import keys
from storage.items.attributes import InstantAttribute, MarksAttribute
from storage.items.row import Item, Row


class ListRow(Row):
    """LST: a list of members."""

    name = UnicodeAttribute(attr_name="nm")
    by = UnicodeAttribute(attr_name="b")
    actor = UnicodeAttribute(attr_name="u")
    at = InstantAttribute(attr_name="at")
    status = UnicodeAttribute(attr_name="s")
    tag = UnicodeAttribute(attr_name="t", null=True)
    size = NumberAttribute(attr_name="n", null=True)
    imported_by = UnicodeAttribute(attr_name="iu", null=True)
    imported_at = InstantAttribute(attr_name="ia", null=True)
    report = MarksAttribute(attr_name="c", null=True)
    failure = UnicodeAttribute(attr_name="e", null=True)
    version = NumberAttribute(attr_name="v")


class ListKeyRow(Row):
    """LSTK: the list that a key was used for, and what was asked of it."""

    list_id = UnicodeAttribute(attr_name="i")
    asked = BinaryAttribute(attr_name="f", legacy_encoding=False)


class CutRow(Row):
    """LST: where the parts of a file begin, and where it ends."""

    starts = UnicodeAttribute(attr_name="a", null=True)
    size = NumberAttribute(attr_name="n")
    ttl = NumberAttribute(attr_name="ttl")


class PartRow(Row):
    """LST: what was found on each line of a part, compressed: 2,000 accounts are some 36 KB instead of 54."""

    found = BinaryAttribute(attr_name="a", legacy_encoding=False)
    ttl = NumberAttribute(attr_name="ttl")


class PartKeptRow(Row):
    """LST: a part was looked up."""

    ttl = NumberAttribute(attr_name="ttl")


class ExamplesRow(Row):
    """LST: lines that name nobody, the first ones of each flaw, compressed."""

    lines = BinaryAttribute(attr_name="a", legacy_encoding=False)


class ListPageRow(Row):
    """LST: accounts of a list, compressed."""

    accounts = BinaryAttribute(attr_name="a", legacy_encoding=False)


def list_item(member_list: MemberList) -> Item:
    """A list as its item."""
    upload, report = member_list.upload, member_list.report
    return ListRow(
        keys.LISTS,
        keys.member_list(member_list.id),
        name=member_list.name,
        by=member_list.by.value,
        actor=member_list.created_by,
        at=member_list.created_at,
        status=member_list.status.value,
        tag=upload.tag if upload else None,
        size=upload.size if upload else None,
        imported_by=member_list.imported_by,
        imported_at=member_list.imported_at,
        report=asdict(report) if report else None,
        failure=member_list.failure.value if member_list.failure else None,
        version=member_list.version,
    ).serialize()


def list_from(item: Item) -> MemberList:
    """The list of an item."""
    row = ListRow.from_raw_data(item)
    return MemberList(
        id=row.sk.partition("#")[2],
        name=row.name,
        by=By(row.by),
        created_by=row.actor,
        created_at=row.at,
        status=ListStatus(row.status),
        upload=None if row.tag is None else Upload(row.tag, int(row.size)),
        imported_by=row.imported_by,
        imported_at=row.imported_at,
        report=None if row.report is None else Report(**row.report),
        failure=None if row.failure is None else Failure(row.failure),
        version=int(row.version),
    )


def list_key_item(claim: Claim) -> Item:
    """What a key was used for, as its item."""
    return ListKeyRow(keys.list_key(claim.key), keys.CLAIM, list_id=claim.list_id, asked=claim.asked).serialize()


def list_key_from(item: Item) -> Claim:
    """What a key was used for, of its item."""
    row = ListKeyRow.from_raw_data(item)
    return Claim(bytes.fromhex(row.pk.partition("#")[2]), row.list_id, row.asked)


def cut_item(list_id: str, cut: Cut, *, ttl: int) -> Item:
    """Where the parts of a file begin, as its item."""
    row = CutRow(keys.list_import(list_id), keys.LIST_CUT, size=cut.size, ttl=ttl)
    row.starts = " ".join(map(str, cut.starts)) or None
    return row.serialize()


def cut_from(item: Item) -> Cut:
    """Where the parts of a file begin, of its item."""
    row = CutRow.from_raw_data(item)
    return Cut(tuple(map(int, (row.starts or "").split())), int(row.size))


def part_item(list_id: str, part: Part, *, ttl: int) -> Item:
    """What was found in a part, as its item."""
    found = zlib.compress(" ".join(part.found).encode())
    return PartRow(keys.list_import(list_id), keys.list_part(part.number), found=found, ttl=ttl).serialize()


def part_from(item: Item) -> Part:
    """What was found in a part, of its item."""
    row = PartRow.from_raw_data(item)
    return Part(keys.list_part_number(row.sk), tuple(zlib.decompress(row.found).decode().split()))


def part_kept_item(list_id: str, number: int, *, ttl: int) -> Item:
    """The mark that a part was looked up, as its item."""
    return PartKeptRow(keys.list_import(list_id), keys.list_part_kept(number), ttl=ttl).serialize()


def examples_item(list_id: str, examples: Mapping[Flaw, Sequence[int]]) -> Item:
    """Lines with a flaw, as their item."""
    text = "\n".join(f"{flaw.value} {' '.join(map(str, lines))}" for flaw, lines in examples.items() if lines)
    return ExamplesRow(keys.list_import(list_id), keys.LIST_EXAMPLES, lines=zlib.compress(text.encode())).serialize()


def examples_from(item: Item) -> dict[Flaw, list[int]]:
    """Lines with a flaw, of their item."""
    text = zlib.decompress(ExamplesRow.from_raw_data(item).lines).decode()
    named = (line.split() for line in text.splitlines())
    return {Flaw(name): [*map(int, lines)] for name, *lines in named}


def list_page_item(list_id: str, shard: int, accounts: Sequence[str]) -> Item:
    """A page of accounts as its item."""
    # At the usual level: the highest takes three times as long, and makes nothing smaller.
    packed = zlib.compress(" ".join(accounts).encode())
    return ListPageRow(keys.list_members(list_id, shard), keys.list_page(accounts[-1]), accounts=packed).serialize()


def list_page_from(item: Item) -> list[str]:
    """The accounts of a page."""
    return zlib.decompress(ListPageRow.from_raw_data(item).accounts).decode().split()
