"""A desk at which campaigns are made, and workers who take their turns, one after the other, in a queue that can be looked into.

desk = Desk("ada", "bob")
campaign = desk.launched(points=50)
desk.work()
assert desk.results(campaign) == {"ada": MemberOutcome.APPLIED, "bob": MemberOutcome.APPLIED}
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain import campaigns
from domain.access import Actor, Role, actor
from domain.campaigns import Action, Audience, Award, Campaign, Draft, Status, definition, lifecycle, results, work
from domain.campaigns.lifecycle import Changed
from domain.campaigns.store import MemberOutcome, Run, RunKind
from domain.campaigns.tools import Tools
from domain.campaigns.turns import Turn, opening
from domain.entries import Entry, EntryKind
from domain.programs import Program
from domain.refusals import Refusal
from domain.verification import Replay
from storage import keys
from storage.memory import Memory
from storage.memory_campaigns import MemoryCampaigns
from storage.memory_lists import MemoryLists
from tests.domain import books
from tests.domain.world import ISSUER, MANAGER, PROGRAM, at, contents, enroll, head_of

# Who looks at what others have made.
BOSS = actor(Role.MANAGER, issuer=ISSUER, subject="olive")
START = at("2026-03-02")
CODE = "SUMMER"


def draft(points: int = 100, **parts: Any) -> Draft:
    """A bonus for everybody, with other parts."""
    usual: dict[str, Any] = {
        "name": "Summer thanks",
        "code": CODE,
        "audience": Audience(),
        "award": definition.fixed(points),
    }
    return Draft(**{**usual, **parts})


def bonus_run(campaign: Campaign) -> Run:
    return Run(campaign.id, RunKind.BONUS)


def reversal_run(campaign: Campaign) -> Run:
    return Run(campaign.id, RunKind.REVERSAL)


@dataclass
class Desk:
    """A store with members, its campaigns, and the queue of turns. `now` is the time of everybody; `told` is what workers said is
    wrong."""

    store: Memory = field(default_factory=Memory)
    program: Program = PROGRAM
    now: datetime = START
    shards: int = 2
    queue: list[Turn] = field(default_factory=list)
    told: list[tuple[str, Exception]] = field(default_factory=list)
    has_time: bool = True
    is_last: bool = False

    def __post_init__(self) -> None:
        self.lists = MemoryLists(shards=self.shards)
        self.campaigns = MemoryCampaigns(self.store, shards=self.shards, lists=self.lists)

    @staticmethod
    def of(*names: str, **more: Any) -> "Desk":
        """A desk whose members have just joined."""
        desk = Desk(**more)
        desk.join(*names)
        return desk

    def join(self, *names: str, **contacts: Any) -> None:
        for name in names:
            enroll(self.store, name, self.now, program=self.program, **contacts)

    @property
    def tools(self) -> Tools:
        return Tools(
            campaigns=self.campaigns,
            store=self.store,
            program=self.program,
            now=lambda: self.now,
            send=self.queue.extend,
            has_time=lambda: self.has_time,
            tell=lambda account, error: self.told.append((account, error)),
            is_last=self.is_last,
        )

    # --- what staff do -------------------------------------------------------------------------------------------------

    def create(self, draft: Draft, *, key: str = "create", who: Actor = MANAGER, id: str | None = None) -> Changed:
        made = id or f"C{len(self.campaigns._campaigns):04}"
        return lifecycle.create(
            self.campaigns,
            self.program,
            actor=who,
            idempotency_key=key,
            draft=draft,
            campaign_id=made,
            find_list=self.lists.find,
            now=self.now,
        )

    def do(
        self, action: Action, campaign: Campaign | str, *, key: str | None = None, who: Actor | None = None, **more: Any
    ) -> Changed:
        """Does it, and hands out what follows."""
        named = campaign if isinstance(campaign, str) else campaign.id
        call: dict[str, Any] = {
            "actor": who or (BOSS if action is Action.APPROVE else MANAGER),
            "idempotency_key": f"{action.value} {named}" if key is None else key,
            "campaign_id": named,
            "now": self.now,
            **more,
        }
        if key is None:
            # Whoever was told no asks with another key.
            while (
                use := self.campaigns.used(lifecycle._digest(call["actor"], call["idempotency_key"]))
            ) and use.refusal:
                call["idempotency_key"] += " again"
        if action in (Action.LAUNCH, Action.RESUME):
            changed: Changed = getattr(lifecycle, action.value.lower())(self.campaigns, self.program, **call)
        else:
            changed = getattr(lifecycle, action.value.lower())(self.campaigns, **call)
        if changed.run is not None:
            self.queue += opening(changed.run, self.shards)
        return changed

    def looked_at(self, campaign: Campaign, *, key: str | None = None) -> Campaign:
        """The campaign after a preview."""
        self.do(Action.PREVIEW, campaign, key=key)
        self.work()
        return self.find(campaign)

    def previewed(self, points: int = 100, *, key: str = "create", **parts: Any) -> Campaign:
        """A new campaign that was looked at."""
        return self.looked_at(self.create(draft(points, **parts), key=key).campaign)

    def launched(self, points: int = 100, *, key: str = "create", **parts: Any) -> Campaign:
        """A new campaign that is running, and of which no turn was taken yet."""
        campaign = self.previewed(points, key=key, **parts)
        if lifecycle.needs_approval(campaign, self.program):
            self.do(Action.APPROVE, campaign)
        return self.do(Action.LAUNCH, campaign).campaign

    def completed(self, points: int = 100, *, key: str = "create", **parts: Any) -> Campaign:
        """A new campaign that has given its bonus to everybody."""
        campaign = self.launched(points, key=key, **parts)
        self.work()
        assert self.find(campaign).status is Status.COMPLETED
        return self.find(campaign)

    def reverted(self, campaign: Campaign) -> Campaign:
        """The campaign after everything was taken back; where it was cancelled, it is settled first."""
        self.do(Action.REVERT, campaign)
        for _ in range(4):
            self.work()
            if self.find(campaign).status is Status.REVERTED:
                break
            self.look_after()
        assert self.find(campaign).status is Status.REVERTED
        return self.find(campaign)

    # --- what workers and time do --------------------------------------------------------------------------------------

    def work(self, turns: int | None = None) -> None:
        """Takes the turns in the queue, with those that come of them."""
        taken = 0
        while self.queue and taken != turns:
            work.take(self.tools, self.queue.pop(0))
            taken += 1
            assert taken < 10_000, "the queue never ends"

    def decides_and_dies(self, turn: Turn) -> None:
        """A worker writes down what it has decided for a chunk, and dies."""
        died: Any = Failing(self.campaigns, "keep_decision", KeyboardInterrupt(), executes=True)
        with pytest.raises(KeyboardInterrupt):
            work.take(replace(self.tools, campaigns=died), turn)

    def look_after(self, *, is_idle: bool | None = None, minutes: float = 1) -> list[Turn]:
        """The next look, a minute later."""
        self.passes(minutes=minutes)
        return work.look_after(self.tools, is_idle=lambda: not self.queue if is_idle is None else is_idle)

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)

    # --- what there is -------------------------------------------------------------------------------------------------

    def find(self, campaign: Campaign) -> Campaign:
        found = self.campaigns.find(campaign.id)
        assert found is not None
        return found

    def progress(self, run: Run) -> results.Progress:
        return results.progress(self.campaigns, run)

    def outcomes(self, run: Run) -> dict[str, MemberOutcome | None]:
        """What became of each member."""
        source = replace(run, kind=RunKind.BONUS) if run.kind is RunKind.REVERSAL else run
        return {
            account.lower(): results.of_member(self.campaigns, run, source, account)
            for account in sorted(self.store.directory())
        }

    def results(self, campaign: Campaign) -> dict[str, MemberOutcome | None]:
        return self.outcomes(bonus_run(campaign))

    def entries(self, campaign: Campaign, kind: EntryKind = EntryKind.CAMPAIGN_BONUS) -> dict[str, list[Entry]]:
        """The entries of a campaign, by member; who has none is not there."""
        found = {
            account.lower(): [
                entry
                for record in log
                for entry in record.entries
                if entry.kind is kind and entry.key is not None and entry.key.campaign == campaign.id
            ]
            for account, log in self.store._logs.items()
        }
        return {name: entries for name, entries in sorted(found.items()) if entries}

    def given(self, campaign: Campaign) -> dict[str, int]:
        """The points that each member got."""
        return {name: sum(entry.points for entry in entries) for name, entries in self.entries(campaign).items()}

    def balance(self, name: str) -> int:
        return head_of(self.store, name.upper()).state.balance

    def contents(self) -> Any:
        """All that there is, to be compared."""
        kept = self.campaigns
        return (
            contents(self.store),
            dict(kept._campaigns),
            # What was refused is known by its key, and nothing else is.
            {key: use for key, use in kept._used.items() if use.refusal is None},
            list(kept._at_work),
            {place: list(chunks) for place, chunks in kept._chunks.items()},
            dict(kept._decisions),
            dict(kept._budgets),
            dict(kept._done),
            {run: dict(shards) for run, shards in kept._shards.items()},
            list(self.queue),
        )

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Nothing is written inside, and nothing handed out."""
        before = self.contents()
        yield
        assert self.contents() == before

    @contextmanager
    def refuses(self, refusal: type[Refusal], *field: str) -> Iterator[pytest.ExceptionInfo[Refusal]]:
        """What is called inside is refused for the input at `field`, and nothing changes."""
        with self.unchanged(), pytest.raises(Refusal) as caught:
            yield caught
        assert (type(caught.value), caught.value.field) == (refusal, field)

    def audit(self, *runs: Run) -> None:
        """The books of every member hold; and the progress of finished runs is what their chunks and the ledger say."""
        books.check_all(self.store._logs, self.program.zone)
        for account, log in self.store._logs.items():
            books.check_due(log, self.store.due)
            replay = Replay(account, (self.program.zone,))
            assert [finding for record in log for finding in replay.follow(record)] == []
        for run in runs:
            self.audit_run(run)

    def audit_run(self, run: Run) -> None:
        progress = self.progress(run)
        assert progress.is_planned
        assert (progress.chunks_done, progress.done) == (progress.chunks, progress.members), "everybody had their turn"
        told = Counter(each for each in self.outcomes(run).values() if each is not None)
        assert told == +progress.outcomes, "progress is what became of each member"
        if run.kind is RunKind.PREVIEW:
            return
        kind = EntryKind.CAMPAIGN_BONUS if run.kind is RunKind.BONUS else EntryKind.CAMPAIGN_REVERSAL
        campaign = self.campaigns.find(run.campaign)
        assert campaign is not None
        entries = self.entries(campaign, kind)
        assert all(len(each) == 1 for each in entries.values()), "each once"
        applied = {name for name, outcome in self.outcomes(run).items() if outcome is MemberOutcome.APPLIED}
        assert entries.keys() == applied, "who had it has an entry, and nobody else has"
        moved = sum(entry.points for each in entries.values() for entry in each)
        assert progress.points == moved, "the points of the progress are those of the ledger"
        if run.kind is RunKind.BONUS and campaign.budget_in_force:
            left = self.campaigns.budget(run) or campaign.budget_in_force
            if campaign.budget_in_force.points is not None:
                assert left.points is not None
                assert (left.points >= 0, campaign.budget_in_force.points - left.points) == (True, moved)
            if campaign.budget_in_force.members is not None:
                assert left.members is not None
                assert (left.members >= 0, campaign.budget_in_force.members - left.members) == (True, len(applied))


def shard_of(name: str, shards: int = 2) -> int:
    return keys.shard(name.upper(), shards)


def names_of(shard: int, count: int, *, shards: int = 2) -> list[str]:
    """So many names whose accounts are of one shard, in the order of their turns."""
    found = [name for name in (f"m{number:03}" for number in range(1_000)) if shard_of(name, shards) == shard]
    return found[:count]


def tagged(*tags: str) -> Audience:
    return Audience(tags=frozenset(tags))


def segments(*pairs: tuple[Audience, int]) -> Award:
    return Award(tuple(campaigns.Segment(audience, points) for audience, points in pairs))


class Meanwhile:
    """A store, as somebody sees it who is held up: right before their next call of `method`, something else happens."""

    def __init__(self, inner: Any, method: str, happens: Callable[[], object]) -> None:
        self._inner, self._method = inner, method
        self._happens: Callable[[], object] | None = happens

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self._happens is not None:
            happens, self._happens = self._happens, None
            happens()
        return getattr(self._inner, name)


class Failing:
    """A store, as somebody sees it for whom `method` raises `error`, as often as `times` says: where `which` is true of its
    arguments, and, when it `executes`, only after it has done what it was asked."""

    def __init__(
        self,
        inner: Any,
        method: str,
        error: BaseException,
        *,
        times: int = 10**6,
        executes: bool = False,
        which: Callable[..., bool] = lambda *_, **__: True,
    ) -> None:
        self._inner, self._method, self._error = inner, method, error
        self._left, self._executes, self._which = times, executes, which

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name != self._method:
            return value

        def call(*named: Any, **more: Any) -> Any:
            if not self._left or not self._which(*named, **more):
                return value(*named, **more)
            self._left -= 1
            if self._executes:
                value(*named, **more)
            raise self._error

        return call
