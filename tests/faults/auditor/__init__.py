"""The independent auditor: what must be true of a table, worked out from the requests and the answers alone.

It knows the rules as docs and descriptions tell them, has its own arithmetic, and imports nothing of the program: what it reads
are raw items. All logs are followed together, in an order in which they can have been written (records of two accounts that were
written in one transaction are one step); for each entry the request with its key says what it must be. Where two requests raced,
the log says who was first, and any order is right that explains every entry and every refusal. What callers were told is then
held against what was found:

- every decided answer of a key is the same, and whoever asks after it was given hears it too;
- told yes: one entry has the key, at that place, with those points; told no: nothing ever moves points for the key;
- told nothing: there is one entry, or none.

    audit(table.items(), asked, Rules(…))      # raises `Violation`
"""

from collections.abc import Iterable, Sequence

from tests.faults.auditor.answers import check_answers, check_whole
from tests.faults.auditor.facts import Asked, Heard, Item, Rules, Violation
from tests.faults.auditor.logs import Auditor
from tests.faults.auditor.stored import contents_of

__all__ = ["Asked", "Heard", "Rules", "Violation", "audit"]


def audit(items: Iterable[Item], asked: Sequence[Asked], rules: Rules) -> Auditor:
    """Raises `Violation` for the first thing in a table that does not follow from what was asked, or was told otherwise."""
    auditor = Auditor(contents_of(items), rules)
    for each in asked:
        auditor.asked.setdefault(each.key, []).append(each)
    auditor.follow()
    check_answers(auditor)
    check_whole(auditor)
    return auditor
