"""The work on one chunk: deciding who gets what, giving it, or taking it back, and writing down what became of everybody."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from domain import ledger, limits, notices
from domain.campaigns import choosing, giving, stages
from domain.campaigns.definition import Budget, Campaign, is_over
from domain.campaigns.store import Chunk, Decision, Done, MemberOutcome, Run, RunKind
from domain.campaigns.tools import NotDone, OutOfTime, Stopped, Tools, TooSlow
from domain.entries import bonus_key, reversal_key
from domain.ledger import Booking
from domain.members import Profile
from domain.messages import NotATurn
from domain.refusals import OutcomeUnknown
from domain.store import Contended, Home

T = TypeVar("T")


@dataclass(slots=True)
class ChunkWork:
    """One way through a chunk."""

    tools: Tools
    campaign: Campaign
    run: Run
    shard: int
    number: int
    # What is known of members: read once, as long as nobody else has written.
    homes: dict[str, Home | None] = field(default_factory=dict)
    decision: Decision | None = None
    points: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def do(self) -> None:
        """Does what is left of it. Raises as `work.take`, and `Stopped`."""
        campaigns, run = self.tools.campaigns, self.run
        if campaigns.done(run, self.shard, self.number) is not None:
            return
        chunk = campaigns.chunk(source_of(run), self.shard, self.number)
        if chunk is None or chunk.is_end:
            raise NotATurn("there is no such chunk")
        if not self.tools.has_time():
            raise OutOfTime("there was no time to begin")
        match run.kind:
            case RunKind.PREVIEW:
                outcomes = [self._counted(choice) for choice in self._looked_at(chunk.accounts, self._judged).values()]
            case RunKind.BONUS:
                self.decision = campaigns.decision(run, self.shard, self.number)
                if self.campaign.is_unsettled:
                    outcomes = self._settled(chunk)
                else:
                    self.decision = self.decision or self._decided(chunk)
                    outcomes = self._given(chunk, self.decision)
            case RunKind.REVERSAL:
                outcomes = self._reverted(chunk)
        self._finish(Done(self.number, tuple(outcomes), self.points))

    # --- deciding ------------------------------------------------------------------------------------------------------

    def _looked_at(self, accounts: Iterable[str], look: Callable[[str], T]) -> dict[str, T | MemberOutcome]:
        """What a look at each account finds; nothing of it is kept until all are looked at."""
        try:
            found = self._act(accounts, look)
        except OutOfTime as error:
            raise TooSlow(f"There was no time to look at all of the chunk: {error}.") from error
        self._require_right()
        return found

    def _judged(self, account: str) -> int | MemberOutcome:
        """What a member is to get, as they are now."""
        program, now = self.tools.program, self.tools.now()
        home = self.homes[account] = giving.read(self.tools.store, account)
        if home is None or home.profile is None:
            return MemberOutcome.GONE
        head = home.records[0]
        if (no := giving.BARRED.get(head.state.status)) is not None:
            return no
        draft, state = self.campaign.draft, ledger.current(head, now, program).state
        if self._is_over(max(now, state.at)):
            return MemberOutcome.LATE
        if not draft.audience.includes(state, home.profile, program):
            return MemberOutcome.OUTSIDE
        segment = draft.award.of(state, home.profile, program)
        if segment is None:
            return MemberOutcome.OUTSIDE
        return MemberOutcome.HELD_OUT if choosing.is_held_out(self.campaign, account) else segment

    def _counted(self, choice: int | MemberOutcome) -> MemberOutcome:
        if isinstance(choice, MemberOutcome):
            return choice
        self.points += self.campaign.draft.award.segments[choice].points
        return MemberOutcome.APPLIED

    def _decided(self, chunk: Chunk) -> Decision:
        """Decides for a chunk, and takes from the budget what that comes to, in one step."""
        choices = tuple(self._looked_at(chunk.accounts, self._judged).values())
        campaigns, whole = self.tools.campaigns, self.campaign.budget_in_force
        for attempt in range(limits.CAMPAIGN_ATTEMPTS_MAX):
            left = (campaigns.budget(self.run) or whole) if whole else whole
            granted, rest = choosing.within(choices, left, self.campaign)
            made = Decision(self.number, granted, tuple(map(self._seen, chunk.accounts, granted)))
            try:
                taken = (left, rest) if rest != left else None
                return self._kept(made, budget=taken)
            except Contended:
                self.tools.store.pause(attempt)
        raise OutcomeUnknown("Too many take from the campaign's budget.")

    def _kept(self, made: Decision, *, budget: tuple[Budget, Budget] | None = None) -> Decision:
        """The decision that stands from now on."""
        kept = self.tools.campaigns.keep_decision(self.run, self.shard, made, budget=budget)
        if kept is not made:
            # Somebody else works on it, or did: what they wrote may be newer than what was read here.
            self.homes.clear()
        return kept

    def _seen(self, account: str, choice: int | MemberOutcome) -> int:
        home = self.homes.get(account)
        return 0 if isinstance(choice, MemberOutcome) or home is None else home.records[0].seq

    # --- giving --------------------------------------------------------------------------------------------------------

    def _given(self, chunk: Chunk, decision: Decision) -> list[MemberOutcome]:
        chosen = _chosen(chunk, decision)
        ready = self._ready(chosen)
        outcomes = self._act(chosen, lambda account: self._give(account, *chosen[account], ready))
        return _outcomes(chunk, decision.choices, outcomes)

    def _ready(self, chosen: Mapping[str, tuple[int, int]]) -> dict[str, Booking]:
        """The records of those who are known to have had nothing, with their days noted: all of a day in one row."""
        ready: dict[str, Booking] = {}
        due: dict[int, list[str]] = defaultdict(list)
        for account, (segment, _) in chosen.items():
            home = self.homes.get(account)
            if home is None:
                continue
            now = self.tools.now()
            with suppress(Exception):  # whatever is wrong with it is found again, and told, when its turn comes
                booking = giving.bonus(self.campaign, self.tools.program, home.records[0], segment, now=now)
                ready[account] = giving.without_due(booking)
                for day in booking.due:
                    due[day].append(account)
        for day, accounts in sorted(due.items()):
            self.tools.store.note_due_all(accounts, day)
        return ready

    def _give(self, account: str, segment: int, seen: int, ready: dict[str, Booking]) -> MemberOutcome:
        store, campaign, program = self.tools.store, self.campaign, self.tools.program
        key = bonus_key(campaign.id, account)
        # Whoever tries again does not know any more that nobody has written since.
        booking, home = ready.pop(account, None), self.homes.get(account)
        for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
            if booking is None:
                home = giving.read(store, account)
                if home is None:
                    return MemberOutcome.GONE
                fate = giving.fate(store, home, key, giving.BARRED, seq=seen)
                if isinstance(fate, MemberOutcome):
                    return fate
                if fate is not None:
                    return self._applied(fate, home.profile)
                # Nothing is ever booked before the head, and nobody who began in time can still be at it after that while.
                if self._is_over(home.records[0].state.at) or self._is_over(
                    self.tools.now() - limits.CAMPAIGN_WORKER_MAX
                ):
                    return MemberOutcome.LATE
                booking = giving.bonus(campaign, program, home.records[0], segment, now=self.tools.now())
            if self._is_over(self.tools.now()):
                # Somebody who began in time may still be at it: whoever comes later tells.
                raise OutcomeUnknown("The last day of the points is over.")
            try:
                ledger.write(store, booking, program)
            except Contended:
                booking = None
                store.pause(attempt)
                continue
            return self._applied(giving.booked(booking), home.profile if home else None)
        raise OutcomeUnknown("The account is too busy.")

    def _is_over(self, at: datetime) -> bool:
        return is_over(self.campaign.draft.validity, at, self.tools.program)

    def _applied(self, booked: ledger.Outcome, profile: Profile | None) -> MemberOutcome:
        account, message = booked.record.account, self.campaign.draft.message
        if message is not None:
            try:
                # Whoever comes again gives it again: it is one notice.
                told = notices.of_campaign(self.campaign.id, message.title, message.text, booked, self.tools.program)
                notices.give(self.tools.store, account, profile, [told], self.tools.program)
            except OutcomeUnknown:
                raise
            except Exception as error:
                # Words do not undo points: they have the bonus, and whoever comes again tries to tell them again.
                self._wrong(account, error)
        self.points += booked.entry.points
        return MemberOutcome.APPLIED

    # --- settling ------------------------------------------------------------------------------------------------------

    def _settled(self, chunk: Chunk) -> list[MemberOutcome]:
        """What became of a chunk of a cancelled campaign: whoever has the bonus has it, and nobody else gets it any more."""
        chosen = _chosen(chunk, self.decision) if self.decision else {}
        choices = self.decision.choices if self.decision else (MemberOutcome.STOPPED,) * len(chunk.accounts)
        outcomes = self._act(chosen, lambda account: self._looked_up(account, chosen[account][1]))
        return _outcomes(chunk, choices, outcomes)

    def _looked_up(self, account: str, seen: int) -> MemberOutcome:
        home = giving.read(self.tools.store, account)
        if home is None:
            return MemberOutcome.GONE
        fate = giving.fate(self.tools.store, home, bonus_key(self.campaign.id, account), giving.BARRED, seq=seen)
        if isinstance(fate, ledger.Outcome):
            self.points += fate.entry.points
            return MemberOutcome.APPLIED
        return MemberOutcome.STOPPED if fate is None else fate

    # --- taking back ---------------------------------------------------------------------------------------------------

    def _reverted(self, chunk: Chunk) -> list[MemberOutcome]:
        """Only who was to get something can have it."""
        campaigns = self.tools.campaigns
        bonus = campaigns.decision(source_of(self.run), self.shard, self.number)
        given = _chosen(chunk, bonus) if bonus else {}
        if not given:
            return [MemberOutcome.NO_BONUS] * len(chunk.accounts)
        self.decision = campaigns.decision(self.run, self.shard, self.number) or self._kept(self._ends(chunk, given))
        chosen = _chosen(chunk, self.decision)
        outcomes = self._act(chosen, lambda account: self._take_back(account, given[account][1], chosen[account][1]))
        return _outcomes(chunk, self.decision.choices, outcomes)

    def _ends(self, chunk: Chunk, given: Mapping[str, tuple[int, int]]) -> Decision:
        """Where the log of each account that was to get something ends: what bars it from being taken from stands there, or
        behind, and what was over before bars nothing."""
        found = self._looked_at(given, self._end)
        choices = tuple(
            choice
            if isinstance(choice := found.get(account, MemberOutcome.NO_BONUS), MemberOutcome)
            else given[account][0]
            for account in chunk.accounts
        )
        return Decision(self.number, choices, tuple(map(self._seen, chunk.accounts, choices)))

    def _end(self, account: str) -> MemberOutcome | None:
        home = self.homes[account] = giving.read(self.tools.store, account)
        return MemberOutcome.GONE if home is None else None

    def _take_back(self, account: str, bonus_behind: int, seen: int) -> MemberOutcome:
        store, campaign, program = self.tools.store, self.campaign, self.tools.program
        home = self.homes.pop(account, None)
        for attempt in range(limits.COMMIT_ATTEMPTS_MAX):
            home = home or giving.read(store, account)
            if home is None:
                return MemberOutcome.GONE
            # First what is near: whoever goes on with a chunk does not read back to every bonus that is taken back already.
            key = reversal_key(campaign.id, account)
            fate = giving.fate(store, home, key, giving.ENDED, seq=seen - 1)
            if isinstance(fate, ledger.Outcome):
                self.points += fate.entry.points
                return MemberOutcome.APPLIED
            given = giving.fate(store, home, bonus_key(campaign.id, account), giving.BARRED, seq=bonus_behind)
            if given is None or isinstance(given, MemberOutcome):
                return MemberOutcome.NO_BONUS
            if fate is not None:
                return fate
            booking = giving.reversal(campaign, program, home.records[0], given.entry, now=self.tools.now())
            try:
                ledger.write(store, booking, program)
            except Contended:
                home = None
                store.pause(attempt)
                continue
            self.points += giving.booked(booking).entry.points
            return MemberOutcome.APPLIED
        raise OutcomeUnknown("The account is too busy.")

    # --- going through -------------------------------------------------------------------------------------------------

    def _each(self, accounts: Iterable[str]) -> Iterator[str]:
        """The accounts, as long as there is time and nobody has stopped the campaign."""
        for place, account in enumerate(accounts):
            if not self.tools.has_time():
                raise OutOfTime(f"{place} accounts were as many as there was time for")
            if place and not place % limits.CHUNK_LOOK_MEMBERS:
                campaign = self.tools.campaigns.find(self.campaign.id)
                if campaign is None or not stages.is_live(campaign, self.run, now=self.tools.now()):
                    raise Stopped
            yield account

    def _act(self, accounts: Iterable[str], act: Callable[[str], T]) -> dict[str, T | MemberOutcome]:
        """What becomes of each account."""
        return {account: self._guarded(account, act) for account in self._each(accounts)}

    def _guarded(self, account: str, act: Callable[[str], T]) -> T | MemberOutcome:
        """What becomes of an account; whatever is wrong with one, the others have their turn."""
        # Once more where nobody comes again: what went wrong may have gone wrong behind a write, and the log tells.
        for _ in range(1 + self.tools.is_last):
            try:
                return act(account)
            except OutcomeUnknown:
                # The store's trouble, not the account's.
                raise
            except Exception as error:
                self._wrong(account, error)
        return MemberOutcome.FAILED

    def _wrong(self, account: str, error: Exception) -> None:
        self.tools.tell(account, error)
        self.failed[account] = f"{type(error).__name__}: {error}"

    def _require_right(self) -> None:
        if self.failed and not self.tools.is_last:
            raise NotDone(f"{len(self.failed)} accounts, the first of them {next(iter(self.failed))}")

    def _finish(self, done: Done) -> None:
        self._require_right()
        campaigns = self.tools.campaigns
        counts = Counter(done.outcomes)
        for attempt in range(limits.CAMPAIGN_ATTEMPTS_MAX):
            seen = campaigns.shard(self.run, self.shard)
            after = replace(
                seen,
                done=seen.done + 1,
                counts=dict(Counter(seen.counts) + counts),
                points=seen.points + done.points,
            )
            try:
                campaigns.finish(self.run, done, seen, after, budget=self._returned(done))
            except Contended:
                if campaigns.done(self.run, self.shard, self.number) is not None:
                    return
                self.tools.store.pause(attempt)
                continue
            return
        raise OutcomeUnknown("Others are at this shard of the campaign.")

    def _returned(self, done: Done) -> tuple[Budget, Budget] | None:
        """What was taken from the budget for those who could not get it, goes back. Of whom it is not known, it does not."""
        if self.run.kind is not RunKind.BONUS or not self.campaign.budget_in_force:
            return None
        campaigns, segments, decision = self.tools.campaigns, self.campaign.draft.award.segments, self.decision
        if decision is None:
            # It was cancelled before anything was taken.
            return None
        back = [
            segments[choice].points
            for choice, outcome in zip(decision.choices, done.outcomes, strict=True)
            if not isinstance(choice, MemberOutcome) and outcome not in (MemberOutcome.APPLIED, MemberOutcome.FAILED)
        ]
        if not back:
            return None
        left = campaigns.budget(self.run)
        assert left is not None, "what was decided was taken from it"
        return left, choosing.plus(left, sum(back), len(back))


def _chosen(chunk: Chunk, decision: Decision) -> dict[str, tuple[int, int]]:
    """The segment of each account that is to get something, and the newest record that was read for it."""
    return {
        account: (choice, seen)
        for account, choice, seen in zip(chunk.accounts, decision.choices, decision.seen, strict=True)
        if not isinstance(choice, MemberOutcome)
    }


def _outcomes(
    chunk: Chunk, choices: Iterable[int | MemberOutcome], outcomes: Mapping[str, MemberOutcome]
) -> list[MemberOutcome]:
    """What became of each member of a chunk: why they were to get nothing, or what came of what they were to get."""
    return [
        choice if isinstance(choice, MemberOutcome) else outcomes[account]
        for account, choice in zip(chunk.accounts, choices, strict=True)
    ]


def source_of(run: Run) -> Run:
    """The run whose chunks a run goes through: a reversal goes through those of the bonus, however many have joined since."""
    return Run(run.campaign, RunKind.BONUS) if run.kind is RunKind.REVERSAL else run
