"""The store in memory, for tests and for judging many members at once. A state machine holds it to the table's behavior."""

import hmac
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from domain.agenda import Partition, Round
from domain.clock import Dial, Job, JobKnown
from domain.entries import Claim, End, Key, Note, PurchaseReturn, Record
from domain.members import Lookup, Profile
from domain.notices import Notice
from domain.store import NOTHING, Beside, ClaimTaken, Contended, EndTaken, Home, LookupTaken, ReturnTaken, Update
from domain.submissions import Note as SubmissionNote
from domain.submissions import Submission, SubmissionKnown
from storage import chain, items, keys


class Memory:
    """`domain.store.Store` in dictionaries under one lock: every method is atomic, every read is strong."""

    def __init__(self, *, pepper: bytes = b"in memory") -> None:
        self._pepper = pepper
        self._lock = threading.RLock()
        self._claims: dict[Key, Claim] = {}
        self._logs: dict[str, list[Record]] = {}
        self._profiles: dict[str, Profile] = {}
        self._lookups: dict[Lookup, str] = {}
        self._returns: dict[tuple[Key, str], PurchaseReturn] = {}
        self._ends: dict[tuple[str, int, int], End] = {}
        self._notes: dict[tuple[str, bytes], Note] = {}
        self._notices: dict[str, dict[tuple[int, str], Notice]] = {}
        self.due: set[tuple[int, str]] = set()

    def find_account(self, lookup: Lookup, *, strong: bool = False) -> str | None:
        return self._lookups.get(lookup)

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        log = self._logs.get(account)
        return log[-1] if log else None

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        with self._lock:
            log = self._logs.get(account)
            return Home(self._profiles.get(account), tuple(log[: -entries - 2 : -1])) if log else None

    def records_before(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        return self._logs.get(account, [])[:seq][::-1][:limit]

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        return self._logs.get(account, [])[seq : seq + limit]

    def claim(self, key: Key) -> Claim | None:
        return self._claims.get(key)

    def claims(self, wanted: Collection[Key]) -> Mapping[Key, Claim]:
        with self._lock:
            return {key: self._claims[key] for key in wanted if key in self._claims}

    def records(self, places: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], Record]:
        with self._lock:
            return {
                (account, seq): self._logs[account][seq - 1]
                for account, seq in places
                if 0 < seq <= len(self._logs.get(account, ()))
            }

    def returns(self, purchase: Key) -> Sequence[PurchaseReturn]:
        with self._lock:
            found = [each for (key, _), each in self._returns.items() if key == purchase]
        return sorted(found, key=lambda each: (each.at, each.id))

    def end(self, account: str, seq: int, index: int) -> End | None:
        return self._ends.get((account, seq, index))

    def note(self, account: str, digest: bytes) -> Note | None:
        return self._notes.get((account, digest))

    def notices(self, account: str, *, before: tuple[int, str] | None = None, limit: int) -> Sequence[Notice]:
        with self._lock:
            newest_first = sorted(self._notices.get(account, {}).items(), reverse=True)
        return [notice for place, notice in newest_first if before is None or place < before][:limit]

    def notice(self, account: str, day: int, about: str) -> Notice | None:
        return self._notices.get(account, {}).get((day, about))

    def remember(self, claim: Claim) -> None:
        with self._lock:
            self._require_unclaimed(claim)
            self._claims[claim.key] = claim

    def complete(self, claim: Claim) -> None:
        with self._lock:
            taken = self._claims.get(claim.key)
            assert taken is not None, "the condition failed, and nothing is there"
            if not taken.is_parked:
                raise ClaimTaken(taken)
            self._claims[claim.key] = claim

    def park(self, waiting: PurchaseReturn) -> None:
        with self._lock:
            claim = self._claims.get(waiting.purchase)
            if claim is not None and not claim.is_parked:
                raise ClaimTaken(claim)
            self.refuse_return(waiting)
            self._claims[waiting.purchase] = Claim(waiting.purchase, "", 0, b"", waiting.at)

    def refuse_return(self, refused: PurchaseReturn) -> None:
        with self._lock:
            self._require_not_returned(refused)
            self._returns[refused.purchase, refused.id] = refused

    def note_due(self, account: str, due: Iterable[int]) -> None:
        with self._lock:
            self.due.update((day, account) for day in due)

    def note_due_all(self, accounts: Sequence[str], day: int) -> None:
        with self._lock:
            self.due.update((day, account) for account in accounts)

    def keep_note(self, account: str, note: Note) -> None:
        self._notes[account, note.digest] = note

    def directory(self) -> Sequence[str]:
        """Every member, in the order in which they joined."""
        return list(self._profiles)

    def give_notice(self, account: str, notice: Notice) -> bool:
        with self._lock:
            given, place = self._notices.setdefault(account, {}), (notice.day, notice.about)
            if place in given:
                return False
            given[place] = notice
            return True

    def mark_read(self, account: str, notice: Notice) -> bool:
        assert notice.read_at is not None
        with self._lock:
            given, place = self._notices.get(account, {}), (notice.day, notice.about)
            if place not in given or given[place].read_at is not None:
                return False
            given[place] = notice
            return True

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        with self._lock:
            records = (record, *beside.records)
            assert len({each.account for each in records}) == len(records), "an account moves once in a transaction"
            for each in records:
                log = self._logs.get(each.account, [])
                if each.seq <= len(log):
                    raise Contended
                assert each.seq == len(log) + 1, "a record was appended beyond the head"
                assert each.prior == (log[-1].hash if log else b""), "a record was chained to another one than the head"
            if beside.booked is not None:
                self._require_not_returned(beside.booked)
            end = beside.end
            if end is not None and (taken := self._ends.get((end.account, end.seq, end.index))):
                raise EndTaken(taken)
            if beside.update is not None:
                self._change(beside.update)
            if beside.booked is not None:
                self._returns[beside.booked.purchase, beside.booked.id] = beside.booked
            if end is not None:
                self._ends[end.account, end.seq, end.index] = end
            for each in records:
                # What its item would hash to costs more than all the rest, and who wants to know can ask for it (`chained`).
                # Here it is enough that no two records have the same.
                self._logs.setdefault(each.account, []).append(replace(each, hash=_mark(each)))

    def enroll(self, claim: Claim, record: Record, profile: Profile, lookups: Sequence[Lookup]) -> None:
        with self._lock:
            self._require_unclaimed(claim)
            self._require_nobodys(lookups)
            self.append(record)
            self._claims[claim.key] = claim
            self._profiles[record.account] = profile
            self._lookups.update(dict.fromkeys(lookups, record.account))

    def digest(self, text: bytes) -> bytes:
        return hmac.digest(self._pepper, text, "sha256")

    def fits(self, record: Record) -> bool:
        return items.is_one_unit(items.record_item(record))

    def require_time(self) -> None:
        pass

    def pause(self, attempt: int) -> None:
        time.sleep(0)

    def _change(self, update: Update) -> None:
        self._require_nobodys(update.gained)
        if update.account not in self._profiles or any(
            self._lookups.get(lookup) != update.account for lookup in update.given_up
        ):
            raise Contended
        for lookup in update.given_up:
            del self._lookups[lookup]
        self._lookups.update(dict.fromkeys(update.gained, update.account))
        self._profiles[update.account] = update.profile

    def _require_unclaimed(self, claim: Claim) -> None:
        taken = self._claims.get(claim.key)
        if taken is not None:
            raise ClaimTaken(taken)

    def _require_not_returned(self, booked: PurchaseReturn) -> None:
        taken = self._returns.get((booked.purchase, booked.id))
        if taken is not None:
            raise ReturnTaken(taken)

    def _require_nobodys(self, lookups: Sequence[Lookup]) -> None:
        for lookup in lookups:
            if lookup in self._lookups:
                raise LookupTaken(lookup)


class MemoryAgenda:
    """`domain.agenda.Agenda` on the due rows of a store in memory."""

    def __init__(self, store: Memory, *, shards: int = 4) -> None:
        self._store = store
        self._marks: dict[Round, int] = {}
        self._rows: dict[Partition, list[str]] = {}
        self._indexed = (0, 0)
        self.shards = shards

    def accounts(self, partition: Partition, *, after: str = "") -> Iterator[str]:
        due, members = list(self._store.due), self._store.directory()
        # Neither ever gets smaller.
        if self._indexed != (len(due), len(members)):
            self._rows.clear()
            for day, account in (*due, *((None, account) for account in members)):
                self._rows.setdefault((day, keys.shard(account, self.shards)), []).append(account)
            self._indexed = (len(due), len(members))
        return iter(sorted(account for account in self._rows.get(partition, ()) if account > after))

    def mark(self, round_: Round) -> int | None:
        return self._marks.get(round_)

    def move_mark(self, round_: Round, day: int) -> None:
        self._marks[round_] = max(day, self._marks.get(round_, day))


class MemoryClock:
    """`domain.clock.Clocks` in dictionaries under one lock."""

    def __init__(self, *, sandbox: bool = True) -> None:
        self._sandbox = sandbox
        self._lock = threading.Lock()
        self._dial: Dial | None = None
        self._jobs: dict[str, Job] = {}

    def is_sandbox(self) -> bool:
        return self._sandbox

    def dial(self) -> Dial | None:
        return self._dial

    def turn(self, dial: Dial, seen: Dial) -> None:
        assert dial.offset > seen.offset, "a clock is turned forward"
        with self._lock:
            self._require_seen(seen)
            self._dial = dial

    def job(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def begin(self, job: Job, dial: Dial, seen: Dial | None) -> None:
        with self._lock:
            if job.id in self._jobs:
                raise JobKnown(self._jobs[job.id])
            self._require_seen(seen)
            self._jobs[job.id], self._dial = job, dial

    def save(self, job: Job) -> Job:
        with self._lock:
            known = self._jobs.get(job.id)
            if known is None or known.version != job.version:
                raise Contended
            self._jobs[job.id] = replace(job, version=job.version + 1)
            return self._jobs[job.id]

    def _require_seen(self, seen: Dial | None) -> None:
        if self._dial != seen:
            raise Contended


class MemorySubmissions:
    """`domain.submissions.Submissions` in dictionaries."""

    def __init__(self) -> None:
        self._kept: dict[str, Submission] = {}
        self._sent: set[tuple[str, datetime]] = set()
        self._notes: dict[tuple[str, datetime, int, bool], SubmissionNote] = {}

    def keep(self, submission: Submission) -> None:
        if self._kept.setdefault(submission.id, submission) is not submission:
            raise SubmissionKnown(self._kept[submission.id])

    def find(self, submission_id: str) -> Submission | None:
        return self._kept.get(submission_id)

    def mark_sent(self, submission: Submission) -> None:
        self._sent.add((submission.id, submission.sent_at))

    def was_sent(self, submission: Submission) -> bool:
        return (submission.id, submission.sent_at) in self._sent

    def note(self, submission_id: str, sent_at: datetime, note: SubmissionNote, *, at: datetime) -> None:
        place = (submission_id, sent_at, note.index, note.refusal is None)
        if note.refusal is None:
            self._notes[place] = note
        else:
            self._notes.setdefault(place, note)

    def notes(self, submission: Submission) -> Sequence[SubmissionNote]:
        return [
            note
            for (noted, sent_at, *_), note in sorted(self._notes.items(), key=lambda each: each[0])
            if (noted, sent_at) == (submission.id, submission.sent_at)
        ]


def chained(log: Iterable[Record]) -> list[Record]:
    """A whole log with the hashes that its items have on a table."""
    prior, found = b"", []
    for record in log:
        prior_of = replace(record, prior=prior)
        prior = items.record_item(prior_of)[chain.HASH_ATTRIBUTE]["B"]
        found.append(replace(prior_of, hash=prior))
    return found


def _mark(record: Record) -> bytes:
    return f"{record.account}#{record.seq}".encode()
