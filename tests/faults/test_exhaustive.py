"""Every order in which a few operations can meet on the real code, with every place for a fault or two, judged by the auditor.

Where the simulation of `test_deliveries.py` goes far, this goes everywhere: a scenario is small, and no schedule of it is left
out. Reads are strong or fresh here but for one scenario; what stale reads do beyond that is searched at random.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from domain import ledger, purchases
from domain.entries import Claim, Record
from domain.ledger import Outcome
from domain.purchases import Receipt
from domain.refusals import OutcomeUnknown, Refusal
from domain.returns import Returned
from domain.store import NOTHING, Beside, Store
from storage.table import Table
from tests.domain import world
from tests.domain.world import TILL, at
from tests.faults import figures
from tests.faults.auditor import Asked, Heard, Rules, Violation, audit
from tests.faults.engine import Dynamo
from tests.faults.explore import WRITE_FAULTS, Client, End, Explored, explore
from tests.faults.faults import Fault, Line
from tests.faults.traffic import PEPPER, SHARDS, millis, on

NOW = at("2026-03-01")
IS_SOAK = bool(os.environ.get("REGULARS_SOAK"))
PROGRAM = world.PROGRAM
RULES = Rules(zone=PROGRAM.zone, pepper=PEPPER, shards=SHARDS, rewards={"cookie": 15, "latte": 40})
# As often as this a client loses a race before it says that it does not know; as often it asks.
ATTEMPTS, TRIES = 4, 2


class Impatient(Table):
    """The table as a client has it, with the patience for a few lost races."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, "table", pepper=PEPPER, shards=SHARDS)  # type: ignore[arg-type]

    def pause(self, attempt: int) -> None:
        if attempt >= ATTEMPTS:
            raise OutcomeUnknown("The account is too busy.")


@dataclass(frozen=True)
class Part:
    """Somebody's request: what the auditor is told of it, and the call. Delivered so many times, each by a client of its own."""

    asked: Asked
    call: Callable[[Store], Outcome | Returned]
    deliveries: int = 1
    lives: int = 1


Answer = tuple[str, Any, int, int] | None


@dataclass(frozen=True)
class Scenario:
    """What was there, and who then asked for what at once."""

    table: Dynamo
    before: Sequence[Asked]
    parts: Sequence[Part]

    def explored(
        self,
        name: str,
        *,
        faults_max: int,
        faults: Collection[Fault] = WRITE_FAULTS,
        store: Callable[[Line], Store] = Impatient,
        **more: Any,
    ) -> Explored:
        clients = [
            Client(f"{part.asked.name}{number}", _client(part, store), part.lives)
            for part in self.parts
            for number in range(1, part.deliveries + 1)
        ]
        checked: set[Any] = set()

        def check(end: End) -> None:
            # Many schedules end alike.
            results = {client: result if isinstance(result, tuple) else () for client, result in end.results.items()}
            ended = (end.table.identity(), tuple(results.items()))
            if ended not in checked:
                checked.add(ended)
                audit(end.table.items(), [*self.before, *(_told(part, results) for part in self.parts)], RULES)

        found = explore(clients, self.table, check=check, faults=faults, faults_max=faults_max, **more)
        told = {"states": found.states, "schedules": found.schedules, "ends": len(checked)}
        figures.note(f"every schedule of {name}, {faults_max} faults", told)
        return found


def _client(part: Part, store: Callable[[Line], Store]) -> Callable[[Line], tuple[Answer, ...]]:
    def run(line: Line) -> tuple[Answer, ...]:
        heard: list[Answer] = []
        for _ in range(TRIES):
            try:
                told = part.call(store(line))
            except OutcomeUnknown:
                heard.append(None)
                continue
            except Refusal as refused:
                return (*heard, (refused.code, None, 0, 0))
            outcome = told.outcome if isinstance(told, Returned) else told
            if outcome is None:
                return (*heard, ("parked", None, 0, 0))
            place = (outcome.record.account, outcome.record.seq, outcome.index)
            return (*heard, ("", place, outcome.entry.points, outcome.entry.balance_after))
        return tuple(heard)

    return run


def _told(part: Part, results: Mapping[str, tuple[Answer, ...]]) -> Asked:
    answers = [each for client, heard in results.items() if client[:-1] == part.asked.name for each in heard if each]
    heard = [
        Heard(0, 1, "" if code == "parked" else code, place, points, balance, code == "parked")
        for code, place, points, balance in answers
    ]
    return replace(part.asked, heard=heard, sent=[millis(NOW)])


# --- scenarios --------------------------------------------------------------------------------------------------------


class Stage:
    """Sets a scene on a table that nothing happens to."""

    def __init__(self, *names: str) -> None:
        self.table = Dynamo()
        self.store = on(self.table)
        self.asked: list[Asked] = []
        for name in names:
            world.enroll(self.store, name, NOW)
            self._did(Asked("", "memberEnroll", f"~{TILL.id}:enroll-{name}", name), (name.upper(), 1, 0))

    def _did(self, asked: Asked, place: tuple[str, int, int] | Outcome) -> None:
        points = balance = 0
        if isinstance(place, Outcome):
            points, balance = place.entry.points, place.entry.balance_after
            place = (place.record.account, place.record.seq, place.index)
        heard = [Heard(place=place, points=points, balance=balance)]
        self.asked.append(replace(asked, name="before", sent=[millis(NOW)], heard=heard))

    def does(self, part: Part) -> Outcome:
        outcome = part.call(self.store)
        assert isinstance(outcome, Outcome)
        self._did(part.asked, outcome)
        return outcome

    def meets(self, *parts: Part) -> Scenario:
        return Scenario(self.table, self.asked, parts)


def bought(name: str, who: str, amount: int, receipt: str, deliveries: int = 1) -> Part:
    asked = Asked(
        name,
        "purchaseRecord",
        f"till:{receipt}",
        who,
        amount=amount,
        basket=((1, amount),),
        occurred=millis(NOW),
    )
    return Part(asked, lambda store: world.buy(store, who, amount, NOW, receipt=receipt), deliveries)


def bought_together(name: str, who: str, amounts: Mapping[str, int], mine: str, deliveries: int = 1) -> Part:
    """A batch of purchases, of which this part is told of `mine`; the others are parts of their own, of the same batch."""
    asked = bought(name, who, amounts[mine], mine).asked

    def call(store: Store) -> Outcome:
        batch = [
            Receipt(TILL, "till", receipt, world.external(who), world.basket(amount, NOW), NOW)
            for receipt, amount in amounts.items()
        ]
        answers = purchases.record_each(store, PROGRAM, batch, now=NOW)
        answer = answers[list(amounts).index(mine)]
        if isinstance(answer, Refusal):
            raise answer
        return answer.outcome

    return Part(asked, call, deliveries)


def returned(name: str, receipt: str, amount: int, key: str, deliveries: int = 1) -> Part:
    asked = Asked(name, "purchaseReturn", f"~r.till:{receipt}:{key}", of=f"till:{receipt}", part=("amount", amount))
    return Part(asked, lambda store: world.give_back(store, receipt, NOW, key=key, amount=amount), deliveries)


def redeemed(name: str, who: str, reward: str, key: str, deliveries: int = 1) -> Part:
    asked = Asked(name, "rewardRedeem", f"~{TILL.id}:{key}", who, reward=reward)
    return Part(asked, lambda store: world.redeem(store, who, reward, NOW, key=key), deliveries)


def cancelled(name: str, redemption: Part, made: Outcome, key: str, deliveries: int = 1) -> Part:
    asked = Asked(name, "redemptionCancel", f"~{TILL.id}:{key}", of=redemption.asked.key)
    return Part(asked, lambda store: world.cancel(store, made, NOW, key=key), deliveries)


def held(name: str, who: str, points: int, key: str) -> Part:
    asked = Asked(name, "pointsHold", f"~{TILL.id}:{key}", who, points=points, ttl_ms=900_000)
    return Part(asked, lambda store: world.hold(store, who, points, NOW, key=key, ttl_seconds=900))


def captured(name: str, hold: Part, made: Outcome, points: int, key: str, deliveries: int = 1) -> Part:
    asked = Asked(name, "pointsCapture", f"~{TILL.id}:{key}", of=hold.asked.key, points=points)
    return Part(asked, lambda store: world.capture(store, made, NOW, key=key, points=points), deliveries)


def released(name: str, hold: Part, made: Outcome, key: str) -> Part:
    asked = Asked(name, "pointsRelease", f"~{TILL.id}:{key}", of=hold.asked.key)
    return Part(asked, lambda store: world.release(store, made, NOW, key=key))


def given(name: str, giver: str, receiver: str, points: int, key: str, deliveries: int = 1) -> Part:
    asked = Asked(name, "pointsTransfer", f"~s.grace:{key}", giver, receiver, points=points)
    return Part(asked, lambda store: world.give(store, giver, receiver, points, NOW, key=key), deliveries)


def merged(name: str, duplicate: str, survivor: str, key: str) -> Part:
    asked = Asked(name, "memberMerge", f"~s.grace:{key}", duplicate, survivor)
    return Part(asked, lambda store: world.merge(store, duplicate, survivor, NOW, key=key))


def unmerged(name: str, duplicate: str, key: str, deliveries: int = 1) -> Part:
    asked = Asked(name, "memberUnmerge", f"~s.grace:{key}", duplicate)
    return Part(asked, lambda store: world.unmerge(store, duplicate, NOW, key=key), deliveries)


def last_points() -> Scenario:
    """Two deliveries of one redemption, and another one: there are points for one of them."""
    stage = Stage("ada")
    stage.does(bought("b", "ada", 5_000, "0"))
    return stage.meets(redeemed("r", "ada", "latte", "r", 2), redeemed("s", "ada", "cookie", "s"))


def redemption_and_purchase() -> Scenario:
    """Two deliveries of a redemption that a purchase makes possible."""
    stage = Stage("ada")
    stage.does(bought("b", "ada", 3_000, "0"))
    return stage.meets(redeemed("r", "ada", "latte", "r", 2), bought("p", "ada", 1_000, "1"))


def purchase_and_return() -> Scenario:
    """Two deliveries of a purchase and a return of it, which may come first."""
    return Stage("ada").meets(bought("p", "ada", 1_000, "1", 2), returned("b", "1", 550, "b"))


def two_returns() -> Scenario:
    """Returns of one purchase, of which not both are possible."""
    stage = Stage("ada")
    stage.does(bought("p", "ada", 1_000, "1"))
    return stage.meets(returned("b", "1", 550, "b", 2), returned("c", "1", 550, "c"))


def capture_and_release() -> Scenario:
    stage = Stage("ada")
    stage.does(bought("b", "ada", 3_000, "0"))
    hold = held("h", "ada", 20, "h")
    made = stage.does(hold)
    return stage.meets(captured("c", hold, made, 15, "c", 2), released("l", hold, made, "l"))


def crossing_gifts() -> Scenario:
    stage = Stage("ada", "ben")
    stage.does(bought("b", "ada", 3_000, "0"))
    stage.does(bought("b", "ben", 3_000, "1"))
    return stage.meets(given("g", "ada", "ben", 20, "g", 2), given("h", "ben", "ada", 30, "h"))


def two_cancellations() -> Scenario:
    stage = Stage("ada")
    stage.does(bought("b", "ada", 5_000, "0"))
    redemption = redeemed("r", "ada", "latte", "r")
    made = stage.does(redemption)
    return stage.meets(cancelled("c", redemption, made, "c", 2), cancelled("d", redemption, made, "d"))


def merge_and_purchase() -> Scenario:
    """A merge, while a purchase of the duplicate is delivered twice."""
    stage = Stage("ada", "dup")
    stage.does(bought("b", "dup", 3_000, "0"))
    return stage.meets(merged("m", "dup", "ada", "m"), bought("p", "dup", 1_000, "1", 2))


def undone_merge_and_redemption() -> Scenario:
    """The undoing of a merge, while a redemption of the duplicate is delivered twice: it is booked on one of them."""
    stage = Stage("ada", "dup")
    stage.does(bought("b", "dup", 5_000, "0"))
    stage.does(merged("m", "dup", "ada", "m"))
    return stage.meets(unmerged("u", "dup", "u"), redeemed("r", "dup", "latte", "r", 2))


def merge_and_undo() -> Scenario:
    """A merge, and two deliveries of its undoing, which may be asked for before it is there."""
    stage = Stage("ada", "dup")
    stage.does(bought("b", "dup", 5_000, "0"))
    return stage.meets(merged("m", "dup", "ada", "m"), unmerged("u", "dup", "u", 2))


def undo_and_merge_anew() -> Scenario:
    """Two undo a merge, while the account is merged into a third one: it lives on in one of them at a time."""
    stage = Stage("ada", "dup", "cat")
    stage.does(bought("b", "dup", 5_000, "0"))
    stage.does(merged("m", "dup", "ada", "m"))
    return stage.meets(unmerged("u", "dup", "u"), unmerged("v", "dup", "v"), merged("n", "dup", "cat", "n"))


def batch_and_its_redelivery() -> Scenario:
    """Two deliveries of one batch of two purchases at once."""
    amounts = {"1": 1_000, "2": 2_000}
    return Stage("ada").meets(*(bought_together(name, "ada", amounts, name) for name in amounts))


def batch_and_purchase() -> Scenario:
    """A batch of two purchases, and a till that records one of them itself."""
    return Stage("ada").meets(
        bought_together("p", "ada", {"1": 1_000, "2": 2_000}, "1"), bought("q", "ada", 2_000, "2")
    )


def batches_and_redemption() -> Scenario:
    """Two deliveries of a batch, and a redemption that it makes possible: nothing but races."""
    stage = Stage("ada")
    stage.does(bought("b", "ada", 2_500, "0"))
    amounts = {"1": 1_000, "2": 1_000}
    batches = (bought_together(name, "ada", amounts, name) for name in amounts)
    return stage.meets(*batches, redeemed("r", "ada", "latte", "r"))


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "last points": last_points,
    "redemption and purchase": redemption_and_purchase,
    "purchase and return": purchase_and_return,
    "two returns": two_returns,
    "capture and release": capture_and_release,
    "crossing gifts": crossing_gifts,
    "two cancellations": two_cancellations,
    "merge and purchase": merge_and_purchase,
    "merge and undo": merge_and_undo,
    "undone merge and redemption": undone_merge_and_redemption,
    "undo and merge anew": undo_and_merge_anew,
    "batch and its redelivery": batch_and_its_redelivery,
    "batch and purchase": batch_and_purchase,
    "batches and redemption": batches_and_redemption,
}
# Two take ten times as long and a few gigabytes.
FAULTS_MAX = 2 if IS_SOAK else 1


@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_schedule_is_right(name: str) -> None:
    scenario = SCENARIOS[name]()
    # Three different requests meet in more ways than two with a fault.
    found = scenario.explored(name, faults_max=FAULTS_MAX - (len(scenario.parts) > 2))

    assert found.ends


@pytest.mark.timeout(7_200)
def test_stale_reads_are_made_good_by_the_conditions_of_the_writes() -> None:
    """Any read that is not strong may miss one or two writes: that of a head loses the append, that of a name is asked again."""
    faults = {Fault.STALE, Fault.ANSWER_LOST, Fault.ARRIVES_LATE}
    found = last_points().explored("last points, stale", faults_max=FAULTS_MAX, faults=faults)

    assert found.ends


# --- what lacks one thing is found ------------------------------------------------------------------------------------


class Claimless(Impatient):
    """Appends without a claim: nothing remembers the key but the log."""

    def remember(self, claim: Claim) -> None:
        if claim.refusal is not None:
            super().remember(claim)


class Halves(Impatient):
    """Writes both records of a transfer, one after the other."""

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        super().append(record, replace(beside, records=()))
        for other in beside.records:
            super().append(other)


class Endless(Impatient):
    """Does not write with a cancellation that its redemption has ended."""

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        super().append(record, replace(beside, end=None))


class Overlooking(Impatient):
    """Overlooks the record right behind what a claim has seen, where the first attempt has put its entry."""

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        found = super().records_after(account, seq, limit=limit)
        return [replace(each, entries=tuple(replace(entry, key=None) for entry in each.entries)) for each in found]


@pytest.mark.parametrize(
    ("scenario", "store"),
    [
        (last_points, Claimless),
        (last_points, Overlooking),
        (purchase_and_return, Overlooking),
        (crossing_gifts, Halves),
        (two_cancellations, Endless),
        (batch_and_its_redelivery, Claimless),
        (batch_and_its_redelivery, Overlooking),
    ],
)
def test_what_lacks_one_thing_is_found_out(scenario: Callable[[], Scenario], store: type[Impatient]) -> None:
    with pytest.raises(AssertionError) as caught:
        scenario().explored("what is broken", faults_max=1, store=store)

    # With the shortest story that shows it.
    assert "steps: " in caught.value.__notes__[0]


def test_what_is_booked_on_the_wrong_account_after_an_undo_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that does not say whom it was about stays with the survivor, though the two are two again."""
    found = ledger.located
    monkeypatch.setattr(ledger, "located", lambda *named, **more: (found(*named, **more)[0], ()))

    with pytest.raises(Violation, match="is booked on ADA, dup is DUP"):
        undone_merge_and_redemption().explored("what is broken", faults_max=0)
