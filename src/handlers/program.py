"""Publishing a program file: checked as a whole, then made the program in force."""

from pathlib import Path
from typing import Any

import yaml
from pynamodb.connection import Connection

from domain import programs
from domain.documents import InvalidProgram
from domain.programs import Program
from storage.programs import Programs


def load(path: Path) -> Program:
    """The program a YAML file describes, ready to be published. Refuses `InvalidProgram` with the path of the first fault."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidProgram(f"{path} is not readable as YAML: {error}") from error
    return programs.publishable(programs.parse(document, version=1))


def publish(path: Path, *, table: str, connection: Connection, sandbox: bool = False) -> Program:
    """Publishes the program of `path` on `table`; the first one says whether the stack is a `sandbox`.

    Refuses `InvalidProgram`, `storage.programs.ProgramChanged`, and `domain.clock.NotASandbox`.
    """
    return Programs(connection, table).publish(load(path), sandbox=sandbox)


def warnings(published: Program, *, table: str, connection: Connection) -> list[str]:
    """What whoever made this version the one in force should know, a sentence each: also of what it changed in the one before."""
    return programs.warnings(published, Programs(connection, table).version(published.version - 1))
