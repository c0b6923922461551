"""Campaigns under everything that can happen to deliveries: their turns come twice, late, out of order, at once, cut off, never.

A campaign is launched, given and taken back in a shop that is open, over a network with every kind of fault. Then an auditor
who knows nothing of the program reads the table: each member who was meant, and not barred, has one bonus, and nobody else has
any; what progress tells is what the chunks say and what the logs hold; what is left of the budget and what was given are the
budget, which was never exceeded; each bonus is taken back once.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from domain import limits
from domain.campaigns import Budget, giving, work
from domain.campaigns.store import Decision, Done, MemberOutcome, Run, Shard
from domain.store import Contended
from storage import campaigns, items
from storage.campaigns import CampaignTable
from tests.engines import Engine
from tests.faults import figures
from tests.faults.auditor import Violation
from tests.faults.auditor.campaigns import audit_bonus, audit_days, audit_keys, audit_reversal
from tests.faults.campaigning import NeverEnds, Selecting, Shop
from tests.faults.engine import Real, comparable
from tests.faults.faults import Fault
from tests.faults.simulation import seeds
from tests.faults.test_deliveries import check_logs
from tests.storage.tables import fresh_table


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks for a handful of members, and a look at the campaign before each of them."""
    monkeypatch.setattr(limits, "CHUNK_MEMBERS_MAX", 2)
    monkeypatch.setattr(limits, "CHUNK_LOOK_MEMBERS", 1)


def check_bonus(shop: Shop) -> Counter[str]:
    """The independent auditor of what was given; how many members met which fate."""
    found, campaign = shop.table.items(), shop.campaign.id
    budgets = shop.table.past(f"CMP#{campaign}#b1", "B")
    fates = audit_bonus(found, shop.meant, budgets, untold=frozenset(shop.told))
    audit_keys(found, shop.traffic.asked)
    audit_days(found, campaign)
    return fates


def check_reversal(shop: Shop) -> Counter[str]:
    """The same of what was taken back; what was given stands as before."""
    check_bonus(shop)
    return audit_reversal(shop.table.items(), shop.meant)


def check(shop: Shop, auditor: Callable[[Shop], Counter[str]]) -> Counter[str]:
    """The independent auditor, and the two who know the program; what fails is told with the story of whom it happened to."""
    try:
        fates = auditor(shop)
        check_logs(shop.table.items(), shop.traffic.rules.zone)
    except Violation as violation:
        violation.add_note(shop.story(*violation.words[:1]))
        raise
    except AssertionError as failure:
        failure.add_note(shop.story())
        raise
    return fates


def numbers(shop: Shop) -> Counter[str]:
    """What a run came to, for the figures."""
    counts = Counter(runs=1) + shop.counts + shop.turns.counts
    for report in shop.reports:
        counts["requests"] += report.requests
        counts["crashes"] += report.crashes
        counts.update({f"fault {fault.value}": times for fault, times in report.faults.items()})
        for line in report.story.lines:
            if line.fault and any(key.startswith("CMP") for key in line.keys):
                counts[f"at campaigns: {line.fault}"] += 1
    return counts


# A bonus and its reversal each, of some 150 deliveries to workers and members.
RUNS = 16


@pytest.mark.timeout(7_200)
def test_whatever_happens_to_its_turns_a_campaign_gives_each_member_one_bonus_and_takes_it_back_once() -> None:
    total: Counter[str] = Counter(violations=0)
    kinds: set[str] = set()
    try:
        for seed in seeds(RUNS):
            total["first seed"] = total["first seed"] if total["runs"] else seed
            shop = Shop(seed)
            try:
                shop.gives()
                given = check(shop, check_bonus)
                shop.takes_back()
                taken = check(shop, check_reversal)
            except AssertionError:
                total["violations"] += 1
                raise
            total += numbers(shop)
            total.update({f"bonus {fate}": times for fate, times in given.items()})
            total.update({f"reversal {fate}": times for fate, times in taken.items()})
            kinds |= {entry["M"]["k"]["S"] for item in shop.table.items() for entry in item.get("e", {"L": []})["L"]}
    finally:
        figures.note("campaign deliveries", {"violations": 0, **total})

    # Every fault has been there, both kinds of entries that no other traffic has, and in a soak all that can become of a member.
    if total["runs"] >= RUNS:
        assert all(total[f"fault {fault.value}"] for fault in Fault), total
        # All that a campaign's own items are read for is read strongly.
        assert all(total[f"at campaigns: {fault.value}"] for fault in Fault if fault is not Fault.STALE), total
        assert kinds >= {"c", "d"}
        assert all(total[f"bonus {fate}"] for fate in "AOHUK"), total
        assert all(total[f"reversal {fate}"] for fate in "AN"), total
        # Late requests have come to runs that were over.
        assert total["runs that ended in trouble"] > total["runs"]
    if total["runs"] >= 10 * RUNS:
        assert all(total[f"bonus {fate}"] for fate in "CM"), total
        assert all(total[f"reversal {fate}"] for fate in "CM"), total


# --- campaigns that lack one thing ------------------------------------------------------------------------------------


def nobody_looks_back(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes again gives again: of the log only bars are minded."""
    fate = giving.fate

    def forgetting(*arguments: Any, **more: Any) -> Any:
        found = fate(*arguments, **more)
        return found if isinstance(found, MemberOutcome) else None

    patch.setattr(giving, "fate", forgetting)


def takes_back_again(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes again takes back again."""
    fate = giving.fate

    def forgetting(*arguments: Any, **more: Any) -> Any:
        _, _, key, *_ = arguments
        return None if key.value.endswith(":revert") else fate(*arguments, **more)

    patch.setattr(giving, "fate", forgetting)


def decides_anew(patch: pytest.MonkeyPatch) -> None:
    """Each worker decides for itself, over whatever was decided before."""
    keep = CampaignTable.keep_decision

    def over(
        table: CampaignTable, run: Run, shard: int, decision: Decision, *, budget: tuple[Budget, Budget] | None
    ) -> Decision:
        kept = keep(table, run, shard, decision, budget=budget)
        if kept is not decision:
            table._requests.call("PutItem", {"Item": items.decision_item(run, shard, decision)})
        return decision

    patch.setattr(CampaignTable, "keep_decision", over)
    patch.setattr(CampaignTable, "decision", lambda *_: None)


def goes_by_its_own_decision(patch: pytest.MonkeyPatch) -> None:
    """Whoever decides second goes by what they would have decided."""
    keep = CampaignTable.keep_decision

    def own(
        table: CampaignTable, run: Run, shard: int, decision: Decision, *, budget: tuple[Budget, Budget] | None
    ) -> Decision:
        keep(table, run, shard, decision, budget=budget)
        return decision

    patch.setattr(CampaignTable, "keep_decision", own)


def finishes_twice(patch: pytest.MonkeyPatch) -> None:
    """A chunk that is done is counted by whoever comes to its end."""

    def finish(
        table: CampaignTable,
        run: Run,
        done: Done,
        seen: Shard,
        shard: Shard,
        *,
        budget: tuple[Budget, Budget] | None = None,
    ) -> None:
        puts = [{"Item": items.done_item(run, shard.number, done, ttl=None)}, campaigns._shard_put(run, seen, shard)]
        table._requests.transact([*puts, *([campaigns._budget_put(run, *budget)] if budget else [])])

    patch.setattr(CampaignTable, "finish", finish)


def counts_again(patch: pytest.MonkeyPatch) -> None:
    """What became of the members of a chunk that is done is counted once more by whoever comes to its end."""
    finish = CampaignTable.finish

    def counting(table: CampaignTable, run: Run, done: Done, seen: Shard, shard: Shard, **more: Any) -> None:
        try:
            finish(table, run, done, seen, shard, **more)
        except Contended:
            if table.done(run, shard.number, done.number) is not None:
                table.save_shard(run, seen, replace(shard, done=seen.done))
            raise

    patch.setattr(CampaignTable, "finish", counting)


def unconditional(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Makes a put without its condition."""
    return lambda *arguments: {"Item": function(*arguments)["Item"]}


def counts_over_others(patch: pytest.MonkeyPatch) -> None:
    """Progress is written over what others have counted meanwhile."""
    patch.setattr(campaigns, "_shard_put", unconditional(campaigns._shard_put))


def spends_what_others_spent(patch: pytest.MonkeyPatch) -> None:
    """What is left of the budget is written over what others have taken meanwhile."""
    patch.setattr(campaigns, "_budget_put", unconditional(campaigns._budget_put))


def is_over_too_early(patch: pytest.MonkeyPatch) -> None:
    """A shard whose chunks are done is taken for the whole run."""
    patch.setattr(
        CampaignTable, "progress", lambda table, run: [Shard(n, is_planned=True) for n in range(table.shards)]
    )


def lost_is_lost(patch: pytest.MonkeyPatch) -> None:
    """Nobody hands out again what was lost."""
    patch.setattr(work, "look_after", lambda *_, **__: [])


@pytest.mark.parametrize(
    ("change", "found_as"),
    [
        (nobody_looks_back, Violation),
        (takes_back_again, Violation),
        (decides_anew, Violation),
        (goes_by_its_own_decision, Violation),
        (counts_again, Violation),
        (spends_what_others_spent, Violation),
        (is_over_too_early, Violation),
        # More chunks are done than there are, or fewer; or nobody does them.
        (finishes_twice, NeverEnds),
        (counts_over_others, NeverEnds),
        (lost_is_lost, NeverEnds),
    ],
)
def test_a_campaign_that_lacks_one_thing_is_found_out(
    change: Callable[[pytest.MonkeyPatch], None], found_as: type[AssertionError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_found_out(seed: int) -> bool:
        shop = Shop(seed)
        if change is takes_back_again:
            shop.gives()
        with monkeypatch.context() as patch:
            change(patch)
            try:
                if change is takes_back_again:
                    shop.takes_back()
                    check_reversal(shop)
                else:
                    shop.gives()
                    check_bonus(shop)
            except found_as:
                return True
            except Exception:
                # It has lost its own way: that is no merit of the auditor's.
                return False
        return False

    assert any(is_found_out(seed) for seed in range(60))


# --- the table of these tests -----------------------------------------------------------------------------------------


def test_a_seed_is_a_run() -> None:
    def story(seed: int) -> list[str]:
        shop = Shop(seed)
        shop.gives()
        return [str(line) for report in shop.reports for line in report.story.lines]

    assert story(3) == story(3)


def test_sort_keys_alone_are_answered_as_the_engines_answer(engine: Engine) -> None:
    tables = fresh_table(engine)
    table, real = Selecting(tables.name), Real(tables.connection)
    for name in ("a", "b", "c"):
        put = {"TableName": table.name, "Item": {"PK": {"S": "p"}, "SK": {"S": name}, "x": {"N": "1"}}}
        assert {each.answer("PutItem", put).kind for each in (table, real)} == {"ok"}
    whole = {"KeyConditionExpression": "PK = :p", "ExpressionAttributeValues": {":p": {"S": "p"}}}
    some = {
        "KeyConditionExpression": "PK = :p AND SK BETWEEN :a AND :z",
        "ExpressionAttributeValues": {":p": {"S": "p"}, ":a": {"S": "a"}, ":z": {"S": "b"}},
    }
    nobody = {"KeyConditionExpression": "PK = :p", "ExpressionAttributeValues": {":p": {"S": "q"}}}
    for asked in (whole, some, nobody, {**whole, "Limit": 2}, {**whole, "ScanIndexForward": False}):
        request = {"TableName": table.name, "ProjectionExpression": "SK", "ConsistentRead": True, **asked}
        ours, theirs = (each.answer("Query", dict(request)) for each in (table, real))
        assert comparable(ours, request) == comparable(theirs, request)
