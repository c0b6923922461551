"""What whoever takes turns of a run has at hand, and how a turn may end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.campaigns.store import Campaigns
from domain.campaigns.turns import Turn
from domain.programs import Program
from domain.store import Store


@dataclass(frozen=True, slots=True)
class Tools:
    """What whoever takes turns needs. `send` hands turns on, and returns when they are safe; `has_time` tells whether there is
    time for more; `tell` hears of an account with which something is wrong, and of what.

    `is_last` says that a turn will not come again: then accounts with which something is wrong are given up as `FAILED`.
    """

    campaigns: Campaigns
    store: Store
    program: Program
    now: Callable[[], datetime]
    send: Callable[[Iterable[Turn]], None]
    has_time: Callable[[], bool] = lambda: True
    tell: Callable[[str, Exception], None] = lambda _account, _error: None
    is_last: bool = False


class OutOfTime(Exception):
    """There was no time left for the rest of a chunk; it comes again, and goes on."""


class NotDone(Exception):
    """Something was wrong with some accounts of a chunk; the others are done."""


class TooSlow(NotDone):
    """There was no time to look at all of a chunk, and nothing of the look is kept. It is one of the tries that a turn has, or a
    chunk that never fits into one would be tried for ever."""


class Stopped(Exception):
    """The campaign was paused or cancelled while somebody worked on it."""
