"""Lists of members: who is on a file that somebody uploaded, by the time it was imported.

A list is made with a name and with what its file names members by; the file is uploaded beside it, and its *import* finds out who
is meant. The file is cut into *parts* of `limits.LIST_PART_LINES` lines, each of which is looked up once, and what was found on
each line is written down and stands. When all parts are there, the accounts follow from them alone: whoever puts them together,
after a crash or beside another, writes the same pages. A list that is ready never changes.
"""

from domain.lists.importing import (
    CREATE_REFUSALS,
    IMPORT_REFUSALS,
    ListNotFound,
    ListNotReady,
    ListNotUploaded,
    ListState,
    ListTooLarge,
    begin_import,
    create,
    require_ready,
)
from domain.lists.member_list import By, Failure, Flaw, ListStatus, MemberList, Report, Upload
from domain.lists.resolving import OutOfTime, Tools, resolve
from domain.lists.turns import Turn, is_about_a_list, turn_from

__all__ = [
    "CREATE_REFUSALS",
    "IMPORT_REFUSALS",
    "By",
    "Failure",
    "Flaw",
    "ListNotFound",
    "ListNotReady",
    "ListNotUploaded",
    "ListState",
    "ListStatus",
    "ListTooLarge",
    "MemberList",
    "OutOfTime",
    "Report",
    "Tools",
    "Turn",
    "Upload",
    "begin_import",
    "create",
    "is_about_a_list",
    "require_ready",
    "resolve",
    "turn_from",
]
