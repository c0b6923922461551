"""Groups: operations of one account, each with a key of its own, in one record: n claims and one append.

What n operations come to one after the other, they come to in a group as well: the same entries in the same order, the same state
after them, the same refusals. A group only holds what is as usual. What was claimed before, what waits for returns, what is
refused or belongs in a transaction ends the group before it, and goes the way of a single operation, in its place.

Exactly once holds as in domain/ledger.py. All claims of a group name the record that was seen before the first of them existed,
so any entry with one of the keys stands after that; and the record is appended at n only by who has read every record between,
and found none of the keys there. One that is found was booked by somebody else who has seen its claim, and leaves the group.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain import ledger, limits
from domain.entries import Claim, Key, Record
from domain.ledger import Booking, Decision, Operation, Outcome, Plan, Trail
from domain.programs import Program
from domain.refusals import OutcomeUnknown, Refusal
from domain.store import ClaimTaken, Contended, Store


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation with what `ledger.commit` takes beside it."""

    operation: Operation
    decide: Decision
    resuming: Callable[[Claim], Decision]


Answer = Outcome | Refusal
# The head of the account somebody named, and the merges that led to it (`ledger.located`).
_Located = tuple[Record, tuple[tuple[str, int], ...]]


def commit_each(
    store: Store,
    asked: Sequence[Asked],
    *,
    now: datetime,
    program: Program,
    has_time: Callable[[], bool] = lambda: True,
) -> list[Answer]:
    """What `ledger.commit` comes to for each operation in this order, with what it refuses as a value.

    Operations of one account, whatever merged account they name it by, are booked together. The same key may stand here twice
    only with the same input. Whatever has not begun when `has_time` ends is `OutcomeUnknown`, as is all that follows on an
    account of which the store has not answered, and all accounts that follow one that it did not find for want of an answer.
    """
    answers: dict[int, Answer] = {}
    # A store that does not answer is not asked fifty times: each look waits for as long as its client has patience.
    unanswered: OutcomeUnknown | None = None
    found: dict[str, _Located] = {}
    groups: dict[str, list[int]] = {}
    for place, each in enumerate(asked):
        named = each.operation.account
        if unanswered is None and not has_time():
            unanswered = late()
        if unanswered is not None:
            answers[place] = unanswered
            continue
        try:
            if named not in found:
                found[named] = ledger.located(store, named)
        except Refusal as refusal:
            answers[place] = refusal
            unanswered = refusal if isinstance(refusal, OutcomeUnknown) else None
            continue
        groups.setdefault(found[named][0].account, []).append(place)
    for places in groups.values():
        together = [asked[place] for place in places]
        group = _Group(store, program, now, found[together[0].operation.account])
        answers.update(zip(places, group.commit(together, has_time), strict=True))
    return [answers[place] for place in range(len(asked))]


def joined(before: Booking, key: Key, decide: Decision, *, now: datetime, program: Program) -> Booking:
    """The booking `before` with one more operation in its record, whose entry `index` names.

    Pure, but for what `decide` reads.
    """
    record = before.record
    # To the operation it looks as if the ones before it stood in the ledger already.
    head = replace(record, seq=record.seq - 1, hash=record.prior)
    more = ledger.book(head, key, decide, now=now, program=program)
    entries = record.entries + more.record.entries
    due = before.due | more.due
    return Booking(replace(more.record, entries=entries), len(record.entries) + more.index, due, more.plan)


@dataclass(slots=True)
class _Group:
    """What is asked of one account, and what the first look at it found, which is good until something is written."""

    store: Store
    program: Program
    now: datetime
    first: _Located | None

    def commit(self, asked: Sequence[Asked], has_time: Callable[[], bool]) -> list[Answer]:
        answers: list[Answer] = []
        while len(answers) < len(asked):
            left = asked[len(answers) :]
            try:
                answers += self._commit_some(left, has_time) if has_time() else [late()]
            except Refusal as refusal:
                # Where the account lives now could not be found out.
                answers.append(refusal)
            if isinstance(answers[-1], OutcomeUnknown):
                answers += [answers[-1]] * (len(asked) - len(answers))
        return answers

    def _commit_some(self, asked: Sequence[Asked], has_time: Callable[[], bool]) -> list[Answer]:
        """The answers to the first of what is asked, as many as one record makes certain; one at least. What is claimed when the
        time ends is still written: that is one request, and whoever comes next has none to make."""
        # The first look may be stale, as any first look; later ones have to see what was just written.
        head, followed = self.first or ledger.located(self.store, asked[0].operation.account, strong=True)
        self.first = None
        run, bookings = self._run(head, asked)
        if not run:
            return [self._alone(asked[0])]
        claims: dict[Key, Claim] = {}
        odd: ClaimTaken | OutcomeUnknown | None = None
        for place, each in enumerate(run):
            operation = each.operation
            if operation.key in claims:
                continue
            claim = ledger.claim_of(operation, head, followed, at=self.now)
            try:
                if not has_time():
                    raise late()
                ledger.remember(self.store, claim)
            except (ClaimTaken, OutcomeUnknown) as trouble:
                run, odd = run[:place], trouble
                break
            claims[operation.key] = claim
        settled = self._append(claims, bookings, run) if claims else {}
        answers: list[Answer] = []
        heard: set[Key] = set()
        for each in run:
            key = each.operation.key
            answers.append(_again(settled[key]) if key in heard else settled[key])
            heard.add(key)
        if isinstance(odd, ClaimTaken):
            answers.append(self._replayed(asked[len(run)], odd.claim))
        elif odd is not None:
            answers.append(odd)
        return answers

    def _run(self, head: Record, asked: Sequence[Asked]) -> tuple[list[Asked], dict[Key, Booking]]:
        """The first of what is asked, as far as it is as usual and fits into one record; and by its key each one's booking, in
        which are all those before it."""
        run: list[Asked] = []
        bookings: dict[Key, Booking] = {}
        last: Booking | None = None
        for each in asked[: limits.GROUP_OPERATIONS_MAX]:
            operation = each.operation
            if operation.account != asked[0].operation.account:
                # The same account by another name: where a merge is undone, the two part.
                break
            if operation.key not in bookings:
                try:
                    booking = self._booked(last, head, operation.key, each.decide)
                except Refusal:
                    break
                if not _is_plain(booking.plan) or not (last is None or self.store.fits(booking.record)):
                    break
                bookings[operation.key] = last = booking
            run.append(each)
        return run, bookings

    def _booked(self, last: Booking | None, head: Record, key: Key, decide: Decision) -> Booking:
        if last is None:
            return ledger.book(head, key, decide, now=self.now, program=self.program)
        return joined(last, key, decide, now=self.now, program=self.program)

    def _append(
        self, claims: Mapping[Key, Claim], bookings: Mapping[Key, Booking], run: Sequence[Asked]
    ) -> dict[Key, Answer]:
        """Writes the record of the keys that were claimed, which are the first of the bookings."""
        last = bookings[list(claims)[-1]]
        try:
            ledger.write(self.store, last, self.program)
        except Contended:
            return self._resume(claims, {each.operation.key: each.decide for each in run})
        except OutcomeUnknown as unknown:
            return dict.fromkeys(claims, unknown)
        return {key: Outcome(last.record, bookings[key].index, replayed=False) for key in claims}

    def _resume(self, claims: Mapping[Key, Claim], decisions: Mapping[Key, Decision]) -> dict[Key, Answer]:
        """Finds the entries of claimed keys, or appends them, as `ledger.resume` does for one: now only the log decides."""
        trail = Trail(self.store, next(iter(claims.values())))
        waiting = list(claims)
        settled: dict[Key, Answer] = {}
        try:
            for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
                settled |= {key: _told(outcome) for key, outcome in trail.find_each(waiting).items()}
                waiting = [key for key in waiting if key not in settled]
                if not waiting:
                    return settled
                bookings = self._rebooked(trail.head, {key: decisions[key] for key in waiting})
                last = list(bookings.values())[-1]
                try:
                    ledger.write(self.store, last, self.program)
                except Contended:
                    # Contenders spread out; the record that won is read before the next attempt.
                    self.store.pause(attempt)
                    continue
                settled |= {
                    key: _told(Outcome(last.record, each.index, replayed=False)) for key, each in bookings.items()
                }
                waiting = [key for key in waiting if key not in settled]
                if not waiting:
                    return settled
            raise ledger.unknown()
        except OutcomeUnknown as unknown:
            return settled | dict.fromkeys(waiting, unknown)

    def _rebooked(self, head: Record, decisions: Mapping[Key, Decision]) -> dict[Key, Booking]:
        """As many as fit into one record, each refusal as an entry; one at least."""
        bookings: dict[Key, Booking] = {}
        last: Booking | None = None
        for key, decide in decisions.items():
            try:
                booking = self._booked(last, head, key, decide)
            except OutcomeUnknown:
                # What the decision wanted to read besides the account did not answer: nothing is decided.
                raise
            except Refusal as refusal:
                booking = self._booked(last, head, key, ledger.no(refusal))
            assert _is_plain(booking.plan), "what needs a transaction is in no group"
            if last is not None and not self.store.fits(booking.record):
                break
            bookings[key] = last = booking
        return bookings

    def _alone(self, asked: Asked) -> Answer:
        try:
            return ledger.commit(
                self.store,
                asked.operation,
                asked.decide,
                now=self.now,
                program=self.program,
                resuming=asked.resuming,
            )
        except Refusal as refusal:
            return refusal

    def _replayed(self, asked: Asked, claim: Claim) -> Answer:
        try:
            return ledger.replay(self.store, asked.operation, claim, asked.resuming, now=self.now, program=self.program)
        except Refusal as refusal:
            return refusal


def _is_plain(plan: Plan) -> bool:
    """Whether all that a plan wants written stands in the account's own record."""
    return not (plan.others or plan.beside or plan.note)


def _told(outcome: Outcome) -> Answer:
    try:
        return ledger.told(outcome)
    except Refusal as refusal:
        return refusal


def _again(answer: Answer) -> Answer:
    """What whoever sends the same once more hears."""
    if isinstance(answer, Outcome):
        return replace(answer, replayed=True)
    return answer if isinstance(answer, OutcomeUnknown) else answer.again()


def late() -> OutcomeUnknown:
    """The answer to what there was no time for."""
    return OutcomeUnknown("There was no time left for this; whether it happened is unknown. Retry with the same key.")
