"""A campaign in a small shop that is open, over a network with every kind of fault: its turns come in any order and number.

Some members shop, redeem, are blocked and merged all the while; others only have their turn. A run of the campaign is one
simulation: what staff ask for, what members do, and workers who take turns from a queue of their own, all of it interleaved
request by request. Then the network is calm, what was lost is handed out again, and the run is worked to its end.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from domain.campaigns import Audience, Budget, Campaign, Message, Status, Validity, lifecycle, work
from domain.campaigns.lifecycle import Changed
from domain.campaigns.tools import NotDone, OutOfTime, Tools
from domain.campaigns.turns import Turn, opening
from domain.refusals import OutcomeUnknown, Refusal
from storage.campaigns import CampaignTable
from tests.domain import world
from tests.domain.campaigning import BOSS, draft, segments, tagged
from tests.domain.world import MANAGER
from tests.faults.auditor.campaigns import Meant
from tests.faults.engine import Answer, Dynamo, Item, Request
from tests.faults.faults import Crashed, Line, Network
from tests.faults.simulation import Operation, Report, Simulation
from tests.faults.traffic import SHARDS, START, Early, Patient, Traffic

CODE = "SUMMER"
# Members shop and come and go; what returns, holds and corrections are is another test's business.
MIX = {
    "purchase": 9,
    "redeem": 7,
    "give": 3,
    "hold": 2,
    "capture": 2,
    "merge": 3,
    "unmerge": 3,
    "block": 4,
    "unblock": 1,
    "enroll": 3,
    "tick": 3,
    "update": 1,
}
REQUESTS = 30
# Deliveries to workers in a simulation: enough that half of the campaigns end before the network is calm.
WORKERS_TURNS = 60
# What is handed out and not lost comes so often; a few never come.
COPIES, COPIES_LIKELY = (0, 1, 2, 3, 4), (2, 8, 5, 3, 2)
# Sending a turn, a worker may end: before it or after it.
DEATH_RATE = 0.02
# How often there is no time for one more member, or one more chunk: in some shops workers get hardly anywhere at once.
HURRY_RATES = (0.02, 0.02, 0.3)
CALM_ROUNDS_MAX = 20
# None; what a few use up; enough for all.
BUDGETS = (Budget(), Budget(), Budget(130), Budget(95), Budget(members=3), Budget(1_000, 5), Budget(1_000))
DRAFTS_MAX = 20


class NeverEnds(AssertionError):
    """A run does not come to its end, however calm it is."""


class Selecting(Dynamo):
    """The table, which also answers with the sort keys alone; `test_campaign_deliveries.py` holds that to the local engines."""

    def answer(self, operation: str, request: Request, *, behind: int = 0) -> Answer:
        if operation != "Query" or "ProjectionExpression" not in request:
            return super().answer(operation, request, behind=behind)
        assert request["ProjectionExpression"] == "SK", "other projections are not modelled"
        whole = {name: value for name, value in request.items() if name != "ProjectionExpression"}
        answer = super().answer(operation, whole, behind=behind)
        if answer.kind != "ok":
            return answer
        return replace(
            answer, content={**answer.content, "Items": [{"SK": each["SK"]} for each in answer.content["Items"]]}
        )

    def past(self, pk: str, sk: str) -> list[Item]:
        """All that ever stood under a key, the oldest first."""
        key = {"PK": {"S": pk}, "SK": {"S": sk}}
        found: list[Item] = []
        for behind in range(self.writes(pk), -1, -1):
            item = self.answer("GetItem", {"TableName": self.name, "Key": key}, behind=behind).content.get("Item")
            if item is not None and (not found or found[-1] != item):
                found.append(item)
        return found


class Clerk(Patient):
    """A client's store, and the campaigns on the same connection."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.line = line
        self.campaigns = CampaignTable(line, "table", shards=SHARDS)  # type: ignore[arg-type]


@dataclass
class Turns:
    """A queue that brings each turn at any time and up to four times, or loses it; long after it was done, it may come again."""

    rng: random.Random
    waiting: list[Turn] = field(default_factory=list)
    past: list[Turn] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def put(self, turn: Turn) -> None:
        (copies,) = self.rng.choices(COPIES, COPIES_LIKELY)
        self.counts["turns"] += 1
        self.counts["turns lost"] += not copies
        self.past.append(turn)
        # Some workers are at it at once; others are late.
        together = self.rng.randrange(copies + 1)
        self._insert(turn, times=together)
        for _ in range(copies - together):
            self._insert(turn)

    def again(self, turn: Turn) -> None:
        """What a worker did not finish comes again, mostly."""
        if self.rng.random() < 0.8:
            self._insert(turn)
        else:
            self.counts["turns lost"] += 1

    def take(self) -> Turn:
        self.counts["turns taken"] += 1
        if self.rng.random() < 0.05:
            return self.rng.choice(self.past)
        return self.waiting.pop()

    def _insert(self, turn: Turn, *, times: int = 1) -> None:
        place = self.rng.randrange(len(self.waiting) + 1)
        self.waiting[place:place] = [turn] * times


class Shop:
    """One seed: its members, its campaign, all that is asked for, and the table."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(f"campaign {seed}")
        self.table = Selecting()
        self.traffic = Traffic(seed, requests=REQUESTS, mix=MIX)
        self.turns = Turns(self.rng)
        self.hurry_rate = self.rng.choice(HURRY_RATES)
        self.reports: list[Report] = []
        # Accounts of which a worker has said that something is wrong.
        self.told: dict[str, Exception] = {}
        self.counts: Counter[str] = Counter()
        self._numbers = Counter[str]()
        self._calm = Clerk(Network(self.table).wire("calm"))
        self.vips = self._fills()
        self.campaign = self._made()
        self.meant = self._asked_for()

    # --- before -------------------------------------------------------------------------------------------------------

    def _fills(self) -> set[str]:
        """Those who are busy, and as many or more who are not; some of both are VIPs. Gives these."""
        rng, traffic = self.rng, self.traffic
        traffic.prepare(self._calm)
        vips = set()
        for name in traffic.names:
            if rng.random() < 0.5:
                world.update(self._calm, name, START, key=f"{name}-tag", add_tags=["vip"], program=traffic.program)
                vips.add(name.upper())
        for number in range(rng.randrange(5, 10)):
            name = f"m{number:02}"
            is_vip = rng.random() < 0.4
            tags = frozenset({"vip"} if is_vip else ())
            world.enroll(self._calm, name, START, program=traffic.program, tags=tags)
            vips |= {name.upper()} if is_vip else set()
            match rng.choices(("shops", "is blocked", "has left", "leaves"), (14, 3, 1, 2))[0]:
                case "is blocked":
                    world.block(self._calm, name, START, key=f"{name}-block", program=traffic.program)
                case "has left":
                    world.close(self._calm, name, START, key=f"{name}-close", program=traffic.program)
                case "leaves":
                    traffic._close(name)
                    traffic.operations.insert(rng.randrange(REQUESTS), traffic.operations.pop())
        return vips

    def _made(self) -> Campaign:
        """A campaign that somebody would get something of, looked at and mostly approved."""
        for number in range(DRAFTS_MAX):
            made = self._drafted(f"C{self.seed}.{number}")
            if made.preview_members:
                break
        if self.rng.random() < 0.7:
            lifecycle.approve(
                self._calm.campaigns, campaign_id=made.id, **{**self._call(f"approve {made.id}"), "actor": BOSS}
            )
        return self.found(made.id)

    def _drafted(self, campaign_id: str) -> Campaign:
        rng, campaigns, program = self.rng, self._calm.campaigns, self.traffic.program
        self.points, self.others = rng.choice([(30, 30), (45, 20), (45, 0)])
        award = [(tagged("vip"), self.points), *([(Audience(), self.others)] if self.others else [])]
        lifecycle.create(
            campaigns,
            program,
            draft=draft(
                award=segments(*award),
                code=CODE,
                budget=rng.choice(BUDGETS),
                hold_out_percent=rng.choice([0, 0, 30]),
                message=rng.choice([None, Message("Hello", "You have $points.")]),
                validity=rng.choice([Validity(), Validity(days=1), Validity(days=90)]),
            ),
            campaign_id=campaign_id,
            find_list=lambda _: None,
            **self._call(f"create {campaign_id}"),
        )
        changed = lifecycle.preview(campaigns, campaign_id=campaign_id, **self._call(f"preview {campaign_id}"))
        waiting: list[Turn] = []
        self._hands_out(changed, waiting.append)
        while waiting:
            work.take(self._tools(self._calm, waiting.append, is_calm=True), waiting.pop())
        return self.found(campaign_id)

    def _asked_for(self) -> Meant:
        made = self.campaign
        points, members = made.draft.budget.points, made.draft.budget.members
        if points is None:
            # However many join, it gives no more than was approved, or than needs no approval.
            points = max(self.traffic.program.campaigns.points_unapproved_max, made.preview_points or 0)
        return Meant(
            id=made.id,
            code=CODE,
            points=dict.fromkeys(self.vips, self.points),
            others=self.others,
            hold_out_percent=made.draft.hold_out_percent,
            budget=(points, members),
            has_message=made.draft.message is not None,
            shards=SHARDS,
            began=self.table.items(),
        )

    def _call(self, key: str) -> dict[str, Any]:
        return {"actor": MANAGER, "idempotency_key": key, "now": self.traffic._clock()}

    # --- what there is ------------------------------------------------------------------------------------------------

    def found(self, campaign_id: str) -> Campaign:
        campaign = self._calm.campaigns.find(campaign_id)
        assert campaign is not None
        return campaign

    @property
    def status(self) -> Status:
        return self.found(self.campaign.id).status

    def story(self, *words: str) -> str:
        return self.reports[-1].told(*words) if self.reports else ""

    # --- the bonus and its reversal -----------------------------------------------------------------------------------

    def gives(self) -> None:
        """The campaign is launched and given, through all trouble, to its end."""

        def launch(clerk: Clerk) -> Changed:
            return lifecycle.launch(
                clerk.campaigns, self.traffic.program, campaign_id=self.campaign.id, **self._call("launch")
            )

        self._run("launch", launch, self.traffic.operations[: REQUESTS * 2 // 3], Status.COMPLETED)

    def takes_back(self) -> None:
        """What was given is taken back, in the same way."""

        def revert(clerk: Clerk) -> Changed:
            return lifecycle.revert(clerk.campaigns, campaign_id=self.campaign.id, **self._call("revert"))

        self._run("revert", revert, self.traffic.operations[REQUESTS * 2 // 3 :], Status.REVERTED)

    def _run(self, what: str, step: Callable[[Clerk], Changed], members: list[Operation[Any]], status: Status) -> None:
        def staff(clerk: Clerk) -> None:
            self._hands_out(step(clerk), lambda turn: self._sends(clerk, turn))

        workers = [Operation(f"{what} turn {number}", self._works) for number in range(WORKERS_TURNS)]
        # Members are spread over the time in which workers are busy.
        mixed, spread = [*workers], len(workers) // len(members) + 1
        for place, operation in enumerate(members):
            mixed.insert(place * spread, operation)
        simulation: Simulation[Any] = Simulation(
            self.seed,
            [Operation(what, staff, deliveries=3), *mixed],
            Clerk,
            clients=6,
            table=self.table,
            unknown=(OutcomeUnknown, Early),
            refusals=(Refusal,),
            disorder=12,
        )
        self.traffic.order = lambda: simulation._network.requests
        self.reports.append(simulation.report)
        simulation.run()
        self.traffic.heard(simulation.report.answers)
        self.counts["runs that ended in trouble"] += self.status is status
        with simulation.report.explained():
            self._calms(status)

    def _calms(self, status: Status) -> None:
        """Nothing goes wrong any more: what was lost is handed out again, until the run has ended. Then each turn there ever was
        comes once more, and changes nothing."""
        turns = self.turns.waiting
        if self.rng.random() < 0.5:
            turns.clear()
        for _ in range(CALM_ROUNDS_MAX):
            # Nobody hands out again what has just been handed out, and whoever asks has a clock too.
            self.traffic._clock.now += timedelta(minutes=5)
            tools = self._tools(self._calm, turns.append, is_calm=True)
            while turns:
                work.take(tools, turns.pop())
            if self.status is status:
                break
            work.look_after(tools, is_idle=lambda: True)
        else:
            raise NeverEnds(f"{self.campaign.id} is {self.status}")
        before = self.table.contents()
        for turn in dict.fromkeys(self.turns.past):
            work.take(tools, turn)
        work.look_after(tools, is_idle=lambda: True)
        assert self.table.contents() == before, "what is over was done again"
        assert not turns, "what is over was handed out"

    # --- workers ------------------------------------------------------------------------------------------------------

    def _works(self, clerk: Clerk) -> None:
        """One delivery to a worker, or the schedule's call when nothing waits and now and then."""
        tools = self._tools(clerk, lambda turn: self._sends(clerk, turn))
        if not self.turns.waiting or self.rng.random() < 0.1:
            # The queue counts roughly: sometimes it looks empty.
            handed = work.look_after(tools, is_idle=lambda: not self.turns.waiting or self.rng.random() < 0.1)
            self.counts["handed out again"] += len(handed)
            return
        turn = self.turns.take()
        try:
            work.take(tools, turn)
        except (OutOfTime, NotDone) as unfinished:
            self.counts[type(unfinished).__name__] += 1
            self.turns.again(turn)
        except BaseException:
            self.turns.again(turn)
            raise

    def _tools(self, clerk: Clerk, send: Callable[[Turn], object], *, is_calm: bool = False) -> Tools:
        # Whoever is slow has an old time, as every delivery of these tests.
        now = self.traffic._clock()

        def sent(turns: Iterable[Turn]) -> None:
            for turn in turns:
                send(turn)

        return Tools(
            campaigns=clerk.campaigns,
            store=clerk,
            program=self.traffic.program,
            now=lambda: now,
            send=sent,
            has_time=lambda: is_calm or self.rng.random() >= self.hurry_rate,
            tell=self.told.__setitem__,
            is_last=not is_calm and self.rng.random() < 0.1,
        )

    def _hands_out(self, changed: Changed, send: Callable[[Turn], object]) -> None:
        if changed.run is not None:
            for turn in opening(changed.run, SHARDS):
                send(turn)

    def _sends(self, clerk: Clerk, turn: Turn) -> None:
        """Others go first; and a worker may end here as well."""
        clerk.line.pause()
        roll = self.rng.random()
        if roll < DEATH_RATE / 2:
            raise Crashed
        self.turns.put(turn)
        if roll < DEATH_RATE:
            raise Crashed
