"""A desk at which lists are made: files that are uploaded, and workers who take the turns of their import.

desk = ListDesk.of("ada", "bob")
made = desk.imported("ada\\nbob\\n")
assert desk.members(made) == ["ada", "bob"]
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain import lists
from domain.access import Actor
from domain.lists import By, Failure, MemberList, Turn, Upload, importing
from domain.lists.importing import Changed
from domain.lists.resolving import Tools
from domain.lists.store import Unusable
from domain.messages import Poison
from storage.memory import Memory
from storage.memory_lists import MemoryLists
from tests.domain.world import MANAGER, at, enroll

START = at("2026-03-02")


@dataclass
class Shelf:
    """`domain.lists.store.Uploads` in memory. Files come in chunks of `size` bytes, so that lines are torn."""

    size: int = 7
    files: dict[str, bytes] = field(default_factory=dict)
    reads: int = 0

    def url(self, list_id: str) -> str:
        return f"https://uploads.example/{list_id}"

    def find(self, list_id: str) -> Upload | None:
        file = self.files.get(list_id)
        return None if file is None else Upload(str(hash(file)), len(file))

    def read(self, list_id: str, upload: Upload, start: int, end: int) -> Iterator[bytes]:
        self.reads += 1
        if self.find(list_id) != upload:
            raise Unusable(Failure.CHANGED)
        text = self.files[list_id][start:end]
        yield from (text[place : place + self.size] for place in range(0, len(text), self.size))


@dataclass
class ListDesk:
    """A store with members, its lists, and the queue of turns."""

    store: Memory = field(default_factory=Memory)
    now: datetime = START
    shards: int = 2
    queue: list[Turn] = field(default_factory=list)
    shelf: Shelf = field(default_factory=Shelf)
    seconds_left: float = 120.0
    is_last: bool = False

    def __post_init__(self) -> None:
        self.lists: Any = MemoryLists(shards=self.shards)

    @staticmethod
    def of(*names: str, **more: Any) -> "ListDesk":
        """A desk whose members, with their names as external ids, have just joined."""
        desk = ListDesk(**more)
        for name in names:
            enroll(desk.store, name, desk.now)
        return desk

    @property
    def tools(self) -> Tools:
        return Tools(
            lists=self.lists,
            uploads=self.shelf,
            store=self.store,
            send=self.queue.extend,
            member_id=lambda text: text.removeprefix("id-").upper() if text.startswith("id-") else None,
            seconds_left=lambda: self.seconds_left,
            is_last=self.is_last,
        )

    # --- what staff do -------------------------------------------------------------------------------------------------

    def create(
        self, by: By = By.EXTERNAL_ID, *, name: str = "Walkers", key: str = "create", who: Actor = MANAGER
    ) -> Changed:
        made = f"L{len(self.lists._lists):04}"
        return importing.create(
            self.lists, actor=who, idempotency_key=key, name=name, by=by, list_id=made, now=self.now
        )

    def upload(self, member_list: MemberList, file: str | bytes) -> None:
        self.shelf.files[member_list.id] = file.encode() if isinstance(file, str) else file

    def begin(self, member_list: MemberList | str, *, key: str = "import", who: Actor = MANAGER) -> Changed:
        """Asks for the import, and hands it out."""
        list_id = member_list if isinstance(member_list, str) else member_list.id
        changed = importing.begin_import(
            self.lists, self.shelf, actor=who, idempotency_key=key, list_id=list_id, now=self.now
        )
        if changed.is_to_be_imported:
            self.queue.append(Turn(list_id))
        return changed

    def imported(self, file: str | bytes, by: By = By.EXTERNAL_ID, *, key: str = "") -> MemberList:
        """A list whose file was imported, to its end."""
        made = self.create(by, key=f"create{key}").member_list
        self.upload(made, file)
        self.begin(made, key=f"import{key}")
        self.work()
        found: MemberList = self.lists.find(made.id)
        return found

    # --- what workers do -----------------------------------------------------------------------------------------------

    def take(self, turn: Turn) -> None:
        lists.resolve(self.tools, turn)

    def work(self, *, most: int = 1_000) -> None:
        """Takes turns until none is left; poison is put aside."""
        for _ in range(most):
            if not self.queue:
                return
            try:
                self.take(self.queue.pop(0))
            except Poison:
                continue
        raise AssertionError("they never end")

    # --- looking -------------------------------------------------------------------------------------------------------

    def members(self, member_list: MemberList) -> list[str]:
        """Who is on a list, by the names they joined under."""
        shards = range(self.shards)
        return sorted(account.lower() for each in shards for account in self.lists.members(member_list.id, each))
