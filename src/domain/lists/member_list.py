"""What a list of members is, and where it stands."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class By(Enum):
    """What each line of a file names a member by; the value is the kind of look-up."""

    EXTERNAL_ID = "external"
    EMAIL = "email"
    PHONE = "phone"
    CARD_NUMBER = "card"
    MEMBER_ID = "id"


class ListStatus(Enum):
    """Where a list stands. The last two are for ever."""

    # Its file is awaited.
    UPLOADING = "UPLOADING"
    IMPORTING = "IMPORTING"
    READY = "READY"
    FAILED = "FAILED"


class Failure(Enum):
    """Why a file could not be imported; nobody is on its list."""

    # Not a line that names anybody.
    EMPTY = "EMPTY"
    # It is no text in UTF-8.
    NOT_TEXT = "NOT_TEXT"
    LINE_TOO_LONG = "LINE_TOO_LONG"
    TOO_MANY_LINES = "TOO_MANY_LINES"
    # It is not the file any more that was there when the import was asked for.
    CHANGED = "CHANGED"
    # Something went wrong again and again; the log says what.
    GIVEN_UP = "GIVEN_UP"


class Flaw(Enum):
    """Why a line added nobody to a list."""

    # Nobody is found under it: they never were a member, or their membership has ended and nothing leads to them any more.
    UNKNOWN = "UNKNOWN"
    # It cannot be an email address, a phone number, an id at all.
    MALFORMED = "MALFORMED"
    # A line before it names the same member, perhaps in other words.
    DUPLICATE = "DUPLICATE"
    # The membership has ended.
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was uploaded: a tag that no other content has, and its size in bytes."""

    tag: str
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """What the lines of a file came to. Each line that says anything counts once: it added a member, or has a flaw.

    `merged` are lines that name an account which lives on in another; it is the other that is meant.
    """

    lines: int = 0
    members: int = 0
    unknown: int = 0
    malformed: int = 0
    duplicates: int = 0
    closed: int = 0
    merged: int = 0


@dataclass(frozen=True, slots=True)
class MemberList:
    """A list of members. `version` counts how often it was written.

    `upload` is the file that is imported, as it was when the import was asked for; `report` is there when the list is ready,
    `failure` when it failed.
    """

    id: str
    name: str
    by: By
    created_by: str
    created_at: datetime
    status: ListStatus = ListStatus.UPLOADING
    upload: Upload | None = None
    imported_by: str | None = None
    imported_at: datetime | None = None
    report: Report | None = None
    failure: Failure | None = None
    version: int = 1
