"""Visits: what a scheduled job does for one account, whatever the reason it came for.

A job never decides what is due; it only says whose turn it is to be looked at. `visit` looks at the account as it is and does
what time has brought, so a visit may come twice, late, early, or at once with others: the outcome is the same.

In this order: days on which to come again are noted, then what is due is booked in one record, then the member is told. A crash
between two of them loses nothing: a noted day too many is harmless, and what was booked and not told, a later visit tells, or the
relay that reads the record off the table's stream.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from domain import consequences, days, ledger, limits, moments, notices, tiers
from domain.accounts import ROLLING, State, Status
from domain.entries import Entry, EntryKind, Record
from domain.ledger import Booking, Plan
from domain.members import Profile
from domain.moments import Due, Moment, On
from domain.programs import Program
from domain.refusals import OutcomeUnknown
from domain.store import Contended, Home, Store


@dataclass(frozen=True, slots=True)
class Visited:
    """What a visit did: how many entries it booked and notices it gave, by their kinds; empty when nothing was due."""

    counts: Mapping[str, int] = field(default_factory=Counter)


def offsets(program: Program) -> frozenset[int]:
    """On which days before a due day its accounts are visited, in days: 0 is the day itself."""
    falling = (moment.number for moment in program.moments if moment.on is On.TIER_FALLING)
    return frozenset({0, *program.notices.stages, *falling})


def visit(
    store: Store, program: Program, account: str, *, now: datetime, telling: bool, everybody: bool = False
) -> Visited:
    """Does whatever is due for an account at `now`: books what time did and, outside quiet hours (`telling`), has the member have
    their dated moments and tells them what there is to tell. `everybody` is the look at every member in a new month, which also
    gives summaries and notes the days to come.

    An account that was merged is visited where it lives on; nobody's account is no visit at all. Of a closed account nothing is
    due. A blocked one is reminded, and has no moments until it is free again. An erased one only has its points expire.

    Refuses `OutcomeUnknown`.
    """
    for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
        home = _home(store, account)
        if home is None:
            return Visited()
        head, profile = home.records[0], home.profile
        due = _noted(head.state, profile, program, now=now, telling=telling, everybody=everybody)
        booking = _booking(head, profile, program, now=now, telling=telling)
        if booking is not None:
            due |= booking.due
        if due:
            store.note_due(head.account, sorted(due))
        if booking is not None:
            try:
                store.append(booking.record)
            except Contended:
                store.pause(attempt)
                continue
        after = head if booking is None else booking.record
        counts = Counter(entry.kind.value for entry in after.entries) if booking is not None else Counter()
        if telling:
            told = _told(store, after, profile, program, now=now, everybody=everybody)
            counts.update(notice.kind.value for notice in told)
        return Visited(counts)
    raise OutcomeUnknown("The account is too busy; visit it again.")


def _home(store: Store, account: str) -> Home | None:
    """Profile and head of an account, or of the one it was merged into; None where nobody has it."""
    for _ in range(limits.MERGES_FOLLOWED_MAX + 1):
        home = store.home(account, entries=0, strong=True)
        if home is None or home.records[0].state.status is not Status.MERGED:
            return home
        account = ledger.survivor_of(home.records[0])[0]
    raise OutcomeUnknown("The account was merged again and again meanwhile; visit it again.")


# --- what is booked ---------------------------------------------------------------------------------------------------


def _booking(
    head: Record, profile: Profile | None, program: Program, *, now: datetime, telling: bool
) -> Booking | None:
    """The record of what time did and, in a telling visit, of the dated moments that have come; None when there is nothing."""

    def has_come(state: State) -> list[Due]:
        if not telling or profile is None or state.status is not Status.ACTIVE:
            return []
        today = days.day_of(max(now, state.at), program.zone)
        return moments.due(program.moments, state, today, birthday=profile.birthday)

    def decide(before: Record) -> Plan:
        state, entries = before.state, []
        at = max(now, state.at)
        today = days.day_of(at, program.zone)
        for each in has_come(state):
            entry = _bonus(state, each, program, today=today, at=at)
            entries.append(entry)
            state, _ = ledger.booked(state, entry, program, at=at)
        # Like a dated moment, a milestone that time alone has brought waits for a visit outside quiet hours.
        return Plan(tuple(entries), judges=telling)

    # Most visits find nothing: that is cheap to know.
    before = ledger.current(head, now, program)
    is_active = before.state.status is Status.ACTIVE
    stands = telling and is_active and bool(moments.stood_at(program.moments, before.state))
    if not before.entries and not has_come(before.state) and not stands:
        return None
    return ledger.book(head, None, decide, now=now, program=program)


def _bonus(state: State, due: Due, program: Program, *, today: int, at: datetime) -> Entry:
    """The entry of a dated moment. It is no activity of the member, so its points have a day of their own."""
    moment, points = due.moment, due.moment.points
    if _is_first_birthday(moment, program) and program.ladder is not None:
        points += program.ladder.of(state.standing).benefits.birthday_points
    expires, _ = consequences.placed(state, program, EntryKind.BONUS, earned=today, today=today)
    if moment.valid_days:
        expires = today + moment.valid_days
    assert expires != ROLLING
    return moments.bonus(state, moment, due.mark, points=points, expires=expires, today=today, at=at)


def _is_first_birthday(moment: Moment, program: Program) -> bool:
    """Whether what a tier gives for a birthday comes with this moment: with the first of them, if there are several."""
    return moment == next((each for each in program.moments if each.on is On.BIRTHDAY), None)


# --- when to come again -----------------------------------------------------------------------------------------------


def _noted(
    state: State, profile: Profile | None, program: Program, *, now: datetime, telling: bool, everybody: bool
) -> frozenset[int]:
    """The days on which to come again that no entry has noted: dates that every activity moves, as they are now, and yearly ones,
    each of which is noted by the visit of the one before. What is noted again is the same row.

    Moments are had in telling visits, and theirs note when to come for the next; until when points live, every visit does.
    """
    if state.status is Status.CLOSED:
        return frozenset()
    today = days.day_of(max(now, state.at), program.zone)
    found = set()
    if state.rolling is not None:
        found.add(state.rolling.until)
    for moment in program.moments if telling and profile is not None else ():
        if moment.on is On.SILENCE:
            last = moments.silent_since(state)
            if last and not moments.was_had(Due(moment, last + moment.number, last), state):
                found.add(last + moment.number)
            continue
        yearly = moments.yearly_date(moment, state, profile.birthday if profile else None)
        if yearly is not None:
            month_day, _ = yearly
            following = moments.upcoming(month_day, today)
            # As long as a row is read, the visit that comes for it may be the one that has to note the next.
            is_chained = today - moments.latest(month_day, today) <= limits.DUE_RETENTION.days
            if is_chained or (everybody and following - today <= limits.LOOK_AHEAD_DAYS):
                found.add(following)
    return frozenset(day for day in found if day >= today)


# --- what is told -----------------------------------------------------------------------------------------------------


def _told(
    store: Store, head: Record, profile: Profile | None, program: Program, *, now: datetime, everybody: bool
) -> list[notices.Notice]:
    """Gives the member what there is to tell, and gives the notices that are new. `head` is as of now."""
    state = head.state
    if profile is None or state.status is Status.CLOSED:
        return []
    at = max(now, state.at)
    today = days.day_of(at, program.zone)
    found = [
        *(notice for record in _recent(store, head, profile, program, today=today)
          for notice in notices.of_record(record, program)),
        *notices.reminders(state, program, today=today, at=at),
        *notices.falling(state, program, today=today, at=at),
    ]  # fmt: skip
    if everybody and notices.agrees(profile, notices.Consent.SUMMARY, program):
        found += _summaries(store, head, program, today=today, at=at)
    return notices.give(store, head.account, profile, found, program)


def _recent(store: Store, head: Record, profile: Profile, program: Program, *, today: int) -> Iterator[Record]:
    """The head, which this visit may have booked, and the records before it when a dated moment was had a short while ago: one of
    them brought it, and whoever wrote that may have been killed before the member was told. None is older than `CATCH_UP_DAYS`.

    They end where the member answered anew: what was booked before was told, or not told, by the answers of then.
    """
    since = today - moments.CATCH_UP_DAYS
    for record in _newest(store, head, profile, program, today=today, since=since):
        if days.day_of(record.state.at, program.zone) < since:
            return
        yield record
        if any(each.rule == notices.ANSWERED for entry in record.entries for each in entry.explanation):
            return


def _newest(
    store: Store, head: Record, profile: Profile, program: Program, *, today: int, since: int
) -> Iterator[Record]:
    # Apart from the others: a read may miss what was written a moment ago.
    yield head
    # Also by `since`: what was late may have been booked as many days after its own.
    had = (
        moments.was_had(each, head.state)
        for day in (today, since)
        for each in moments.reached(program.moments, head.state, day, birthday=profile.birthday)
    )
    if any(had):
        yield from store.records_before(head.account, head.seq - 1, limit=limits.RESUME_PAGE)


def _summaries(store: Store, head: Record, program: Program, *, today: int, at: datetime) -> list[notices.Notice]:
    """The summaries of the month before, for whoever was a member then; none of an account that moved too often to be read."""
    month = tiers.month_of(today) - 1
    begins, ends = (days.day_number(tiers.first_of(each)) for each in (month, month + 1))
    joined = head.state.marks.get(tiers.JOINED, 0)
    if not any(each.on is On.MONTH for each in program.moments) or joined >= ends:
        return []
    first, last = (days.end_of(day - 1, program.zone) for day in (begins, ends))

    def is_of_month(entry: Entry) -> bool:
        # What expires is gone at the first instant after its last day, and is of that day.
        return first < entry.at <= last if entry.kind is EntryKind.EXPIRY else first <= entry.at < last

    # Apart from the others: this visit may have booked it a moment ago, and a read may miss that.
    entries = [entry for entry in head.entries if is_of_month(entry)]
    before = head.seq - 1
    for _ in range(limits.SUMMARY_PAGES_MAX):
        page = store.records_before(head.account, before, limit=limits.RESUME_PAGE)
        for record in page:
            entries += (entry for entry in record.entries if is_of_month(entry))
        if not page or page[-1].seq == 1 or page[-1].state.at < first:
            return notices.summaries(head.state, program, entries, month=month, at=at)
        before = page[-1].seq - 1
    return []
