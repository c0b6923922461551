"""Giving a member what a campaign has for them, and taking it back: one system entry each, once, whoever tries how often.

A system entry has no claim. It can only stand behind the record that was read when its member was decided on, which the decision
keeps: whoever does not know whether it is booked reads the log back to there. And as an append succeeds only behind the very
record that was read, what was not there then is not there at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from domain import accounts, consequences, days, ledger, limits
from domain.accounts import ROLLING, Status
from domain.campaigns.definition import Campaign, last_day
from domain.campaigns.store import MemberOutcome
from domain.entries import Entry, EntryKind, Explanation, Key, Record, bonus_key, reversal_key
from domain.ledger import Booking, Plan
from domain.programs import Program
from domain.store import Home, Store

# Explains points that could not be taken back any more.
WRITTEN_OFF = "campaign:written-off"
# Newest records that are read with a member's profile: with those of the minutes since the launch, nearly always enough.
_RECENT = 4


def read(store: Store, account: str) -> Home | None:
    """Profile and newest records of an account, strongly."""
    return store.home(account, entries=_RECENT, strong=True)


class BrokenLog(Exception):
    """A log has a gap, or is too long to be read: what was booked for its account cannot be told."""


# What bars an account from a bonus, whatever the campaign, and what bars it from having one taken back: a closed one has
# nothing left, and what a merged one had is another's.
BARRED = {
    Status.BLOCKED: MemberOutcome.BLOCKED,
    Status.CLOSED: MemberOutcome.CLOSED,
    Status.MERGED: MemberOutcome.MERGED,
}
ENDED = {Status.CLOSED: MemberOutcome.CLOSED, Status.MERGED: MemberOutcome.MERGED}


def fate(
    store: Store, home: Home, key: Key, barring: Mapping[Status, MemberOutcome], *, seq: int = 0
) -> ledger.Outcome | MemberOutcome | None:
    """What has become of an account under a system key: where its entry stands, or what barred it; None while neither has.

    Looks at all records behind `seq`. Of an entry and a bar the first in the log counts, for ever: whoever was blocked when one
    worker came by gets nothing from another who comes later, or the two would tell two stories. Raises `BrokenLog`; refuses
    `OutcomeUnknown`.
    """
    found: ledger.Outcome | MemberOutcome | None = None
    for record in _newest_first(store, home, seq):
        index = next((index for index, entry in enumerate(record.entries) if entry.key == key), None)
        if index is not None:
            found = ledger.Outcome(record, index, replayed=True)
        elif record.state.status in barring:
            found = barring[record.state.status]
    return found


def _newest_first(store: Store, home: Home, seq: int) -> Iterator[Record]:
    """The records of an account behind `seq`."""
    records: Sequence[Record] = home.records
    for _ in range(limits.SYSTEM_KEY_PAGES_MAX):
        yield from (record for record in records if record.seq > seq)
        last = records[-1]
        if last.seq <= seq + 1:
            return
        before = max(last.seq - 1 - limits.RESUME_PAGE, seq)
        page = store.records_after(last.account, before, limit=last.seq - 1 - before)
        if [record.seq for record in page] != list(range(before + 1, last.seq)):
            raise BrokenLog(f"The log of {last.account} has a gap between {before} and {last.seq}.")
        records = page[::-1]
        store.require_time()
    raise BrokenLog(f"The log of {home.records[0].account} is too long to be read back to {seq}.")


def bonus(campaign: Campaign, program: Program, head: Record, segment: int, *, now: datetime) -> Booking:
    """The record that gives an account the points of a segment. Its account must not be `barred`."""
    points = campaign.draft.award.segments[segment].points

    def decide(before: Record) -> Plan:
        state = before.state
        today = days.day_of(max(now, state.at), program.zone)
        expires = last_day(campaign.draft.validity, today)
        if expires is None:
            # It is no activity of the member, so its points have a day of their own.
            expires, _ = consequences.placed(state, program, EntryKind.CAMPAIGN_BONUS, earned=today, today=today)
        assert expires != ROLLING
        entry = Entry(
            kind=EntryKind.CAMPAIGN_BONUS,
            at=now,
            lines=accounts.earn(state, points, expires=expires, today=today),
            balance_after=0,
            explanation=(Explanation(rule_of(campaign), points),),
            reason=campaign.draft.code,
            terms=program.terms.version,
        )
        return Plan((entry,))

    return ledger.book(head, bonus_key(campaign.id, head.account), decide, now=now, program=program)


def reversal(campaign: Campaign, program: Program, head: Record, given: Entry, *, now: datetime) -> Booking:
    """The record that takes back what `given` gave: from the bucket it went to first, then what expires soonest. What the member
    has no more is written off: a mistake of the shop makes no debt. So is all of it once the points have expired: how many were
    left by then, nobody looks up, and whatever else the member has is their own."""

    def decide(before: Record) -> Plan:
        state = before.state
        original = accounts.landed(given.lines)
        today = days.day_of(max(now, state.at), program.zone)
        has_expired = original is not None and state.last_day(original) < today
        buckets = () if has_expired else state.buckets
        order = sorted(buckets, key=lambda day: (day != original, state.last_day(day), day))
        left, lines = given.points, []
        for bucket in order:
            taken = min(left, state.buckets[bucket])
            if taken:
                lines.append(accounts.Line(bucket, -taken))
            left -= taken
        explanation = [Explanation(rule_of(campaign), -given.points)]
        if left:
            explanation.append(Explanation(WRITTEN_OFF, left))
        entry = Entry(
            kind=EntryKind.CAMPAIGN_REVERSAL,
            at=now,
            lines=tuple(lines),
            balance_after=0,
            explanation=tuple(explanation),
            reason=campaign.draft.code,
            terms=program.terms.version,
        )
        return Plan((entry,))

    return ledger.book(head, reversal_key(campaign.id, head.account), decide, now=now, program=program)


def rule_of(campaign: Campaign) -> str:
    """What explains the entries of a campaign."""
    return f"campaign:{campaign.draft.code}"


def booked(booking: Booking) -> ledger.Outcome:
    """Where the campaign's own entry of a record that was just written stands."""
    return ledger.Outcome(booking.record, booking.index, replayed=False)


def without_due(booking: Booking) -> Booking:
    """The same record, whose days are noted already."""
    return replace(booking, due=frozenset())
