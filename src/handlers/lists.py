"""Imports of lists put together: a turn is taken from the queue, and its lines are looked up side by side."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from domain import limits, lists
from domain.lists import Turn
from domain.lists.resolving import Named, Tools
from domain.lists.store import Lists, Uploads
from handlers.queue import Queue
from schema.nodes import from_id
from storage.table import Table


@dataclass(frozen=True, slots=True)
class Importer:
    """Imports lists. Its store has the secret: files name members by what they are found by."""

    lists: Lists
    uploads: Uploads
    store: Table
    queue: Queue

    def take(self, message: str, *, until: float, is_last: bool) -> None:
        """Takes the turn of a message, which ends before `until`, on the monotonic clock.

        Raises `lists.OutOfTime` when it has to come again, `lists.NotATurn` when it never can be done. Refuses `OutcomeUnknown`.
        """
        turn = lists.turn_from(message)
        tools = Tools(
            lists=self.lists,
            uploads=self.uploads,
            store=self.store.until(until),
            send=self._send,
            member_id=_account_of,
            seconds_left=lambda: until - time.monotonic(),
            each=_side_by_side,
            is_last=is_last,
        )
        lists.resolve(tools, turn)

    def _send(self, turns: Iterable[Turn]) -> None:
        self.queue.send(turn.text() for turn in turns)


def _side_by_side(function: Callable[[Named], str], values: Iterable[Named]) -> list[str]:
    with ThreadPoolExecutor(limits.LIST_LOOKUPS_AT_ONCE_MAX) as threads:
        return list(threads.map(function, values))


def _account_of(text: str) -> str | None:
    """The account in a member's id, as the API gives it."""
    kind, account = from_id(text)
    return account if kind == "Member" and 0 < len(account) <= limits.ACCOUNT_LENGTH_MAX else None
