"""History: an account as it was at any past instant."""

from collections.abc import Sequence
from datetime import datetime

from domain import ledger
from domain.entries import Record
from domain.programs import Program
from domain.refusals import InvalidTime
from domain.store import Store


def as_of(store: Store, newest: Sequence[Record], instant: datetime, *, now: datetime, program: Program) -> Record:
    """The account as a reader saw it at `instant`: the newest record of that time, and what time had done since.

    `newest` is what has been read already: records without a gap, newest first, from the head on. Records are in the order of
    time, so the one that is looked for is found by halving: 20 reads for a million records, none where it was read already.

    Refuses `InvalidTime` for an instant in the future, or before the account was opened.
    """
    if instant > now:
        raise InvalidTime("The account of a time to come is not known.", field=("asOf",))
    found = next((record for record in newest if record.state.at <= instant), None)
    if found is None:
        found = _searched(store, newest[-1], instant)
    if found is None:
        raise InvalidTime("The account was not open yet.", field=("asOf",))
    return ledger.current(found, instant, program)


def _searched(store: Store, later: Record, instant: datetime) -> Record | None:
    """The newest record at `instant` among those before `later`, which is of a later time."""
    found: Record | None = None
    low, high = 0, later.seq
    while high - low > 1:
        middle = (low + high) // 2
        # A strong read: a cheap one might not have what the caller's own page shows already.
        (record,) = store.records_after(later.account, middle - 1, limit=1)
        assert record.seq == middle
        if record.state.at <= instant:
            found, low = record, middle
        else:
            high = middle
    return found
