"""What a resolver may use: the store, the program, the clock and the caller. Made once for each request."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import strawberry

from domain.access import Actor
from domain.ledger import Store
from domain.programs import Program
from schema.faults import Code, Fault


class Cursors(Protocol):
    """Seals a position in a list (`scope`) as an opaque cursor, and opens it; `ValueError` for any other text."""

    def seal(self, scope: str, position: str) -> str:
        """The cursor of `position`."""

    def open(self, scope: str, cursor: str) -> str:
        """The position of a cursor."""


@dataclass(slots=True)
class Context:
    """One request. `now` is read once, so that everything in an answer is true at the same instant."""

    actor: Actor
    now: datetime
    store: Store
    cursors: Cursors
    program_in_force: Callable[[], Program | None]
    new_account: Callable[[], str]
    new_code: Callable[[], str]

    @property
    def program(self) -> Program:
        """The program in force; a `PROGRAM_NOT_PUBLISHED` fault on a stack that has none yet."""
        program = self.program_in_force()
        if program is None:
            raise Fault(Code.PROGRAM_NOT_PUBLISHED, "No program is published yet: `regulars program publish FILE`.")
        return program


Info = strawberry.Info[Context, None]
