"""Whole campaigns, with workers who die at any call, turns that come twice, late, in any order or never, and members who shop,
join, are blocked and merged meanwhile.

What is hunted here: a member with two bonuses, or with none that the progress says they have; progress that is not what became of
the members; a budget that is exceeded, or leaks; a reversal that comes twice, or takes what was not given; a run that never ends.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from domain import limits
from domain.campaigns import Action, Audience, Budget, Campaign, Message, Status, Validity, lifecycle, work
from domain.campaigns.store import MemberOutcome
from domain.campaigns.tools import NotDone, OutOfTime, Tools
from domain.campaigns.turns import Turn
from domain.entries import EntryKind
from domain.refusals import OutcomeUnknown, Refusal
from tests.domain.campaigning import BOSS, Desk, bonus_run, reversal_run, segments, tagged
from tests.domain.world import SOAK, block, buy, close, merge, program, redeem, tick, unblock, unmerge, update
from tests.faults.schedule import Moody, Schedule
from tests.faults.simulation import seeds
from tests.faults.story import replay_command

BRIEF = program(
    expiry={"days": 3, "rounding": "day"},
    rewards=[{"id": "cookie", "name": "A cookie", "cost": 15}],
    moments=[{"id": "sixty", "when": "balance", "at_least": 60, "points": 5}],
    campaigns={"points_unapproved_max": 150},
)


class Died(BaseException):
    """The process that took the turn is gone."""


class Life:
    """How long a worker lives: so many calls of its stores, the last of which is, or is not, carried out."""

    def __init__(
        self,
        calls: int | None = None,
        *,
        executes: bool = False,
        stop: Callable[[], None] = lambda: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.calls = 0
        self._last, self._executes, self._stop, self._is_over = calls, executes, stop, is_over

    def spend(self, call: Callable[[], Any]) -> Any:
        self._stop()
        self.calls += 1
        if self._is_over():
            # A function has its time, and is ended then.
            raise Died
        if self.calls != self._last:
            return call()
        if self._executes:
            call()
        raise Died


class Mortal:
    """A store, as somebody sees it who may die at any call."""

    def __init__(self, inner: Any, life: Life) -> None:
        self._inner, self._life = inner, life

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or name in ("fits", "digest", "pause", "shard_of"):
            return value
        return lambda *named, **more: self._life.spend(lambda: value(*named, **more))


def tools_of(desk: Desk, life: Life, send: Callable[[Turn], None], *, is_last: bool = False) -> Tools:
    """What a worker has that lives as long as `life`. Turns are sent one by one: one may be sent, and the next may not."""

    def sent(turns: Any) -> None:
        for turn in turns:
            life.spend(partial(send, turn))

    return Tools(
        campaigns=Mortal(desk.campaigns, life),  # type: ignore[arg-type]
        store=Mortal(desk.store, life),  # type: ignore[arg-type]
        program=desk.program,
        now=lambda: desk.now,
        send=sent,
        tell=lambda account, error: desk.told.append((account, error)),
        is_last=is_last,
    )


# --- one death, anywhere ----------------------------------------------------------------------------------------------


def small() -> Desk:
    """Members of whom some get something, some nothing and one too late, in chunks of two."""
    desk = Desk.of("ann", "bea", "cat", "dov", "eli", "fay", program=BRIEF)
    buy(desk.store, "ann", 4_000, desk.now, receipt="1", program=BRIEF)
    block(desk.store, "dov", desk.now, key="b", program=BRIEF)
    return desk


def dies_at(call: int, *, executes: bool, act: Callable[[Desk, Tools], None], desk: Desk) -> bool:
    """Whether somebody died who took part in `act` and lived for so many calls."""
    try:
        act(desk, tools_of(desk, Life(call, executes=executes), desk.queue.append))
    except Died:
        return True
    return False


def drained(desk: Desk, tools: Tools) -> None:
    while desk.queue:
        turn = desk.queue[0]
        work.take(tools, turn)
        # A message is gone when its worker says so.
        desk.queue.remove(turn)


@pytest.mark.parametrize("is_lost", [False, True], ids=["comes again", "is lost"])
@pytest.mark.parametrize("executes", [False, True], ids=["before", "after"])
def test_whoever_dies_at_whatever_call_a_campaign_ends_with_one_bonus_for_each(
    monkeypatch: pytest.MonkeyPatch, executes: bool, is_lost: bool
) -> None:
    """A worker dies at call n, for every n there is; the turn it was at comes again, or never does, and others finish. Then the
    same with the reversal."""
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 2)

    def finish(desk: Desk) -> None:
        if is_lost:
            desk.queue.clear()
        for _ in range(3):
            desk.look_after()
            desk.work()

    def run(call: int) -> tuple[bool, bool]:
        desk = small()
        campaign = desk.launched(30, budget=Budget(points=120, members=4), message=Message("Hi", "$points for you."))
        died = dies_at(call, executes=executes, act=drained, desk=desk)
        finish(desk)
        assert desk.find(campaign).status is Status.COMPLETED
        assert sum(desk.given(campaign).values()) == 120
        assert desk.results(campaign)["dov"] is MemberOutcome.BLOCKED
        desk.audit(bonus_run(campaign))
        desk.do(Action.REVERT, campaign)
        died_again = dies_at(call, executes=executes, act=drained, desk=desk)
        finish(desk)
        assert desk.find(campaign).status is Status.REVERTED
        desk.audit(bonus_run(campaign), reversal_run(campaign))
        assert desk.progress(reversal_run(campaign)).points == -120
        assert desk.progress(reversal_run(campaign)).outcomes[MemberOutcome.APPLIED] == 4
        return died, died_again

    call, deaths = 1, [0, 0]
    while any(found := run(call)):
        deaths = [before + now for before, now in zip(deaths, found, strict=True)]
        call += 1
    assert min(deaths) > 40, "there are many places to die at"


# --- anything, anywhere -----------------------------------------------------------------------------------------------


class Story:
    """One campaign in a shop that is open, from a seed."""

    WORKERS = 3

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.desk = Desk(program=BRIEF)
        self.numbers = iter(range(10**6))
        self.deliveries: dict[Turn, int] = {}
        self.queue: list[Turn] = []
        self.lately = ""
        self.may_cancel = self.rng.random() < 0.4
        for _ in range(self.rng.randrange(3, 12)):
            self.joins()
        self.campaign = self.made()

    def note(self, text: str) -> None:
        self.lines.append(text)

    @property
    def key(self) -> str:
        return f"k{next(self.numbers)}"

    def made(self) -> Campaign:
        rng, desk = self.rng, self.desk
        award = rng.choice([segments((Audience(), 30)), segments((tagged("vip"), 45), (Audience(balance_min=10), 20))])
        budget = rng.choice([Budget(), Budget(points=99), Budget(points=59), Budget(members=3), Budget(500, members=2)])
        campaign = desk.previewed(
            award=award,
            budget=budget,
            hold_out_percent=rng.choice([0, 0, 30]),
            message=rng.choice([None, Message("Hello", "You have $points.")]),
            validity=rng.choice([Validity(), Validity(days=1)]),
        )
        if campaign.preview_members and lifecycle.needs_approval(campaign, BRIEF):
            desk.do(Action.APPROVE, campaign, who=BOSS)
        self.note(f"{award} {budget}, looked at: {campaign.preview_members} members, {campaign.preview_points} points")
        return campaign

    # --- what members and staff do meanwhile ---------------------------------------------------------------------------

    def joins(self) -> None:
        # As accounts are: whoever joins later comes later.
        name = f"m{next(self.numbers):04}"
        tags = {"tags": frozenset({"vip"})} if self.rng.random() < 0.3 else {}
        self.desk.join(name, **tags)
        if self.rng.random() < 0.6:
            buy(self.desk.store, name, 2_500, self.desk.now, receipt=self.key, program=BRIEF)
        self.note(f"{name} joins {tags}")

    def anybody(self) -> str:
        """Somebody, and often the same one as before: what happens to one member is what is hunted."""
        if self.rng.random() < 0.6 and self.lately:
            return self.lately
        self.lately = self.rng.choice(self.desk.store.directory()).lower()
        return self.lately

    def happens(self) -> None:
        """Something that members, staff or time do."""
        store, now, one, other, key = self.desk.store, self.desk.now, self.anybody(), self.anybody(), self.key
        deeds: dict[str, Callable[[], object]] = {
            "joins": self.joins,
            "buys": lambda: buy(store, one, 1_500, now, receipt=key, program=BRIEF),
            "redeems": lambda: redeem(store, one, "cookie", now, key=key, program=BRIEF),
            "is blocked": lambda: block(store, one, now, key=key, program=BRIEF),
            "is unblocked": lambda: unblock(store, one, now, key=key, program=BRIEF),
            "closes": lambda: close(store, one, now, key=key, program=BRIEF),
            "is merged": lambda: merge(store, one, other, now, key=key, program=BRIEF),
            "is unmerged": lambda: unmerge(store, one, now, key=key, program=BRIEF),
            "is tagged": lambda: update(store, one, now, key=key, program=BRIEF, add_tags=["vip"]),
            "is visited": lambda: tick(store, one.upper(), now=now, program=BRIEF),
            "waits": lambda: self.desk.passes(minutes=self.rng.choice([0.1, 0.1, 1, 30, 700])),
        }
        weights = [6, 3, 3, 8, 9, 1, 3, 4, 2, 1, 1]
        (what,) = self.rng.choices(list(deeds), weights)
        try:
            deeds[what]()
        except Refusal as refusal:
            what = f"{what}: {refusal.code}"
        self.note(f"        {one} {what}")

    def steps(self) -> None:
        """A step that staff take with the campaign, if they may."""
        actions = [Action.PAUSE, Action.RESUME, Action.RESUME]
        if self.may_cancel:
            actions += [Action.CANCEL, Action.REVERT]
        action = self.rng.choice(actions)
        try:
            changed = self.desk.do(action, self.campaign, key=self.key)
        except Refusal:
            return
        self.note(f"        {action.value}: {changed.campaign.status.value}")
        self.take_queue()

    def take_queue(self) -> None:
        """What was handed out comes in any order, some of it twice, some never."""
        for turn in self.desk.queue:
            for _ in range(self.rng.choices([0, 1, 2], [1, 5, 4])[0]):
                self.queue.insert(self.rng.randrange(len(self.queue) + 1), turn)
        self.desk.queue.clear()

    # --- workers -------------------------------------------------------------------------------------------------------

    def worker(self, name: str, schedule: Schedule) -> None:
        """Takes turns, and dies now and then; then another one has its place. Also does what others do meanwhile."""
        for _ in range(self.rng.randrange(4, 12)):
            schedule.stop(name)
            for _ in range(self.rng.randrange(3)):
                self.happens()
            if self.rng.random() < 0.1:
                self.steps()
            if not self.queue:
                continue
            turn = self.queue.pop(0)
            self.takes(name, turn, stop=lambda: schedule.stop(name))

    def takes(self, name: str, turn: Turn, *, stop: Callable[[], None] = lambda: None) -> None:
        calls = self.rng.choice([None, None, None, self.rng.randrange(1, 30)])
        ends = self.desk.now + limits.CAMPAIGN_WORKER_MAX - timedelta(seconds=1)
        life = Life(calls, executes=self.rng.random() < 0.5, stop=stop, is_over=lambda: self.desk.now > ends)
        self.deliveries[turn] = self.deliveries.get(turn, 0) + 1
        self.note(f"{name} {turn.run} {turn.shard} {turn.chunk or 'plan'} begins, for {calls} calls")
        try:
            work.take(tools_of(self.desk, life, self.desk.queue.append), turn)
        except (Died, OutcomeUnknown, OutOfTime, NotDone) as error:
            self.note(f"{name} {turn.shard} {turn.chunk or 'plan'} {type(error).__name__} after {life.calls}")
            self.desk.queue.append(turn)
        else:
            self.note(f"{name} {turn.shard} {turn.chunk or 'plan'} is done")
        self.take_queue()

    def spell(self) -> None:
        """Some workers at once, who stop before each call of a store so that others come in between."""
        schedule = Schedule(Moody(self.rng, sleeps=0.1, sleep_max=200))
        workers = {f"w{number}": number for number in range(self.WORKERS)}
        schedule.run({name: partial(self.worker, name, schedule) for name in workers})
        if self.rng.random() < 0.5:
            self.desk.look_after(is_idle=self.rng.random() < 0.5)
            self.take_queue()

    def until(self, status: Status) -> None:
        """Some hours with trouble; then everything works, and it ends."""
        for _ in range(self.rng.randrange(1, 4)):
            self.spell()
        if self.desk.find(self.campaign).status is Status.PAUSED:
            self.desk.do(Action.RESUME, self.campaign, key=self.key)
        self.desk.passes(minutes=5)
        self.desk.queue[:] = self.queue
        self.queue.clear()
        for _ in range(6):
            self.desk.work()
            self.desk.look_after()
        assert self.desk.find(self.campaign).status is status
        assert not self.desk.queue

    def told(self) -> None:
        desk, campaign = self.desk, self.campaign
        if not campaign.preview_members:
            return
        self.take_queue()
        desk.do(Action.LAUNCH, campaign)
        self.take_queue()
        if self.may_cancel:
            for _ in range(3):
                self.spell()
        if desk.find(campaign).status in (Status.RUNNING, Status.PAUSED):
            self.may_cancel = False
            self.until(Status.COMPLETED)
        if desk.find(campaign).status is Status.COMPLETED:
            desk.audit(bonus_run(campaign))
            self.check_eligible()
        given = desk.given(campaign)
        if desk.find(campaign).approved_by is None:
            assert sum(given.values()) <= BRIEF.campaigns.points_unapproved_max
        if desk.find(campaign).status in (Status.COMPLETED, Status.CANCELLED):
            desk.do(Action.REVERT, campaign, key=self.key)
            self.take_queue()
        if desk.find(campaign).status is not Status.REVERTED:
            self.until(Status.REVERTED)
        # What was cancelled was settled first: its progress is exact as well.
        desk.audit(bonus_run(campaign), reversal_run(campaign))
        reverted = desk.entries(campaign, EntryKind.CAMPAIGN_REVERSAL).keys()
        assert reverted <= desk.given(campaign).keys(), "nothing is taken back that was not given"
        for name, outcome in desk.outcomes(reversal_run(campaign)).items():
            if name in desk.given(campaign):
                assert outcome in (MemberOutcome.APPLIED, MemberOutcome.CLOSED, MemberOutcome.MERGED), (
                    f"{name} {outcome}"
                )
        assert not desk.told, "nothing was wrong with any account"

    def check_eligible(self) -> None:
        """What the ledger says of each member is what was decided, or that they were barred afterwards."""
        desk, campaign = self.desk, self.desk.find(self.campaign)
        run = bonus_run(campaign)
        for shard in range(desk.shards):
            number = 1
            while (chunk := desk.campaigns.chunk(run, shard, number)) is not None and not chunk.is_end:
                decision, done = desk.campaigns.decision(run, shard, number), desk.campaigns.done(run, shard, number)
                assert decision is not None
                assert done is not None
                for account, choice, outcome in zip(chunk.accounts, decision.choices, done.outcomes, strict=True):
                    got = desk.given(campaign).get(account.lower())
                    if isinstance(choice, MemberOutcome):
                        assert (outcome, got) == (choice, None)
                    elif outcome is MemberOutcome.APPLIED:
                        assert got == campaign.draft.award.segments[choice].points
                    else:
                        assert (
                            outcome in (MemberOutcome.BLOCKED, MemberOutcome.CLOSED, MemberOutcome.MERGED),
                            got,
                        ) == (True, None)
                number += 1


@pytest.mark.timeout(300 * SOAK)
def test_through_all_trouble_each_member_gets_one_bonus_and_progress_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 3)
    monkeypatch.setattr(limits, "CHUNK_LOOK_MEMBERS", 1)
    for seed in seeds(60):
        story = Story(seed)
        try:
            story.told()
        except BaseException as failure:
            failure.add_note("\n".join(story.lines[-80:]))
            failure.add_note(f"again: {replay_command(REGULARS_SEED=seed)}")
            raise
