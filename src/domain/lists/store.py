"""What lists need of a store, and of the place where files are uploaded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.lists.member_list import Failure, Flaw, MemberList, Upload


@dataclass(frozen=True, slots=True)
class Claim:
    """What a caller's key was used for: the list, and what was asked of it."""

    key: bytes
    list_id: str
    asked: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the parts of a file begin, in bytes: each but the last has `limits.LIST_PART_LINES` lines. `size` is its end."""

    starts: tuple[int, ...]
    size: int

    def range(self, number: int) -> tuple[int, int]:
        """The bytes of a part, which are numbered from 1; the last of them is not of it."""
        ends = (*self.starts[1:], self.size)
        return self.starts[number - 1], ends[number - 1]


@dataclass(frozen=True, slots=True)
class Part:
    """What was found on each line of a part: an account, with `lists.resolving.FOLLOWED` before it where another one led there,
    or a sign that says why there is none."""

    number: int
    found: tuple[str, ...]


class KeyKnown(Exception):
    """The key was used before. Nothing was written."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim.list_id)
        self.claim = claim


class Unusable(Exception):
    """A file cannot be imported, however often it is tried."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


class Lists(Protocol):
    """What lists need of a store. Every read but `newest` is strong; every write is all or nothing.

    Any method may refuse `OutcomeUnknown`: the store gave no answer, and a write may have happened.
    """

    @property
    def shards(self) -> int:
        """Over how many partitions the members are spread."""

    def shard_of(self, account: str) -> int:
        """The shard of an account."""

    def claim(self, key: bytes) -> Claim | None:
        """What a key was used for."""

    def create(self, member_list: MemberList, claim: Claim) -> None:
        """Writes a new list. Raises `KeyKnown`."""

    def find(self, list_id: str) -> MemberList | None:
        """A list."""

    def newest(self, *, before: str | None = None, limit: int) -> Sequence[MemberList]:
        """Up to `limit` lists older than `before`, the newest first."""

    def save(self, member_list: MemberList, claim: Claim | None = None) -> MemberList:
        """Writes a list over its version before, with the use of a key, and gives the one with the next version.

        Raises `KeyKnown`, `Contended`.
        """

    def cut(self, list_id: str) -> Cut | None:
        """Where the parts of a list's file begin."""

    def keep_cut(self, list_id: str, cut: Cut) -> None:
        """Writes that down. Whoever does writes the same."""

    def part(self, list_id: str, number: int) -> Part | None:
        """What was found in a part."""

    def keep_part(self, list_id: str, part: Part) -> None:
        """Writes down what was found, unless it is there, and that it is there."""

    def parts_kept(self, list_id: str) -> frozenset[int]:
        """The numbers of the parts that are there."""

    def keep_page(self, list_id: str, accounts: Sequence[str]) -> None:
        """Writes a page of accounts of one shard, sorted. Whoever does writes the same."""

    def members(self, list_id: str, shard: int, *, after: str = "") -> Iterator[str]:
        """The accounts of a shard that are on a list and follow `after`, in their order, each once. Only a list that is ready has
        them all."""

    def keep_examples(self, list_id: str, examples: Mapping[Flaw, Sequence[int]]) -> None:
        """Writes down lines with a flaw. Whoever does writes the same."""

    def examples(self, list_id: str) -> Mapping[Flaw, Sequence[int]]:
        """Lines with a flaw, in their order: none before the list is ready."""


class Uploads(Protocol):
    """Where files are uploaded."""

    def url(self, list_id: str) -> str:
        """An address to which the file of a list can be sent for `limits.LIST_UPLOAD_TTL`, by whoever has it."""

    def find(self, list_id: str) -> Upload | None:
        """The file of a list as it is now."""

    def read(self, list_id: str, upload: Upload, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a file from `start` on, up to and without `end`. Raises `Unusable` when it is not this file any more."""
