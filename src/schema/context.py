"""What a resolver may use: the store, the program, the clock and the caller. Made once for each request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import strawberry

from domain.access import Actor
from domain.campaigns.store import Campaigns, Run
from domain.clock import Clocks
from domain.lists.store import Lists, Uploads
from domain.notes import Draft
from domain.programs import Program, Terms
from domain.store import Store
from domain.submissions import Submissions
from schema.faults import Code, Fault


class Cursors(Protocol):
    """Seals a position in a list (`scope`) as an opaque cursor, and opens it; `ValueError` for any other text."""

    def seal(self, scope: str, position: str) -> str:
        """The cursor of `position`."""

    def open(self, scope: str, cursor: str) -> str:
        """The position of a cursor."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a stack has whose clock may be turned: the clock, what the wall shows, and a way to have a job run."""

    clocks: Clocks
    wall: datetime
    start_job: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CampaignDesk:
    """What campaigns need: where they are kept, and a way to have a run begin, or go on."""

    store: Campaigns
    hand_out: Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class ListDesk:
    """What lists of members need: where they are kept, where their files are uploaded, and a way to have one imported."""

    store: Lists
    uploads: Uploads
    hand_out: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Inbox:
    """What submissions need: where they are kept, a way to queue messages, and what the wall shows, by which those grow old.

    `send` returns when the queue has them all, and refuses `OutcomeUnknown`.
    """

    submissions: Submissions
    send: Callable[[Sequence[str]], None]
    wall: datetime


@dataclass(slots=True)
class Context:
    """One request. `now` is read once, so that everything in an answer is true at the same instant."""

    actor: Actor
    now: datetime
    store: Store
    cursors: Cursors
    program_in_force: Callable[[], Program | None]
    program_of_version: Callable[[int], Program | None]
    new_account: Callable[[], str]
    new_code: Callable[[], str]
    new_salt: Callable[[], bytes]
    campaigns: CampaignDesk
    lists: ListDesk
    inbox: Inbox
    sandbox: Sandbox | None = None

    @property
    def program(self) -> Program:
        """The program in force; a `PROGRAM_NOT_PUBLISHED` fault on a stack that has none yet."""
        program = self.program_in_force()
        if program is None:
            raise Fault(Code.PROGRAM_NOT_PUBLISHED, "No program is published yet: `regulars program publish FILE`.")
        return program

    def draft(self, note: str | None) -> Draft | None:
        """A note as it was sent, with its salt."""
        return None if note is None else Draft(note, self.new_salt())

    def terms_of(self, version: int) -> Terms:
        """The terms that the program of a version set; versions are never taken back."""
        program = self.program_of_version(version)
        assert program is not None, f"version {version} of the program is gone"
        return program.terms


Info = strawberry.Info[Context, None]
