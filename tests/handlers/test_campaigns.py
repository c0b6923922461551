"""Campaigns through the API, from the draft to the reversal, on a real queue: what staff see, what members see, what is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_lambda_powertools import Logger
from botocore import handlers as botocore_handlers

from domain import limits
from handlers.announcing import Announcer
from handlers.bus import Bus
from storage.streams import Logs
from tests.engines import Engine
from tests.handlers.api import (
    CAMPAIGN_ASKED,
    CAMPAIGN_OF_MEMBER,
    CAMPAIGNS,
    DEMO,
    NODE,
    NOTICES,
    PURCHASE,
    REDEEM,
    VIEWER,
    Answer,
    account_of,
    global_id,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.conftest import Clock
from tests.handlers.launching import Stage, boss, staged
from tests.handlers.test_relay import Events, as_change
from tests.storage.tables import connect

# So many that they are never all in one shard, whatever their accounts are called (once in four million runs).
CROWD = [f"m{number}" for number in range(12)]
ENTRIES = """query Mine { viewer { account { balance } entries(first: 5) { edges { node {
  __typename points balanceAfter actor
  explanation { rule points description }
  buckets { pot points expiresOn }
  ... on CampaignBonusEntry { campaignId reason }
  ... on CampaignReversalEntry { campaignId reason writtenOff }
} } } } }"""


@pytest.fixture(autouse=True)
def _now(clock: Clock) -> None:
    """It is 2030-01-10, noon in New York, until a test says something else."""


def mine(stage: Stage, who: str) -> list[dict[str, Any]]:
    """A member's own newest entries, as they see them."""
    edges = stage.api.post(member(who), ENTRIES).data["viewer"]["entries"]["edges"]
    return [edge["node"] for edge in edges]


def enroll_herself(stage: Stage, place: str, name: str) -> str:
    """A member of a place who signs in; her subject, which is her external id as well."""
    who = f"{place}-{name}"
    stage.api.enroll(who, member(who), homeLocation=place, name=name.title())
    return who


def at_place(place: str, **more: Any) -> dict[str, Any]:
    """The audience of a test: whoever is at home in its place."""
    return {"locations": [place], **more}


# --- from the draft to the reversal ------------------------------------------------------------------------------------


def test_a_campaign_is_drafted_looked_at_approved_launched_watched_and_reverted(empty_stage: Stage) -> None:
    stage = empty_stage
    place = stage.join("ada", "bob", "cyd")
    stage.join("somewhere-else")

    drafted = stage.create(audience=at_place(place), award={"points": 60_000}).data["campaignCreate"]
    campaign = drafted["campaign"]["id"]
    assert (drafted["replayed"], drafted["userErrors"], drafted["campaign"]["status"]) == (False, [], "DRAFT")
    assert (drafted["campaign"]["preview"], drafted["campaign"]["progress"]) == (None, None)

    begun = stage.did("Preview", campaign)["preview"]
    assert (begun["isFinished"], begun["memberCount"], begun["points"], begun["liability"]) == (False, None, None, None)
    assert begun["progress"]["isPlanned"] is False
    stage.work()
    seen = stage.look(campaign)
    assert seen["preview"] == {
        "isFinished": True,
        "memberCount": 3,
        "points": 180_000,
        # A hundred points are a dollar.
        "liability": {"amountMinor": 180_000, "currency": "USD"},
        "progress": {
            "isPlanned": True,
            "planned": 4,
            "done": 4,
            "applied": 3,
            "failed": 0,
            "skips": [{"reason": "OUTSIDE", "memberCount": 1}],
        },
    }
    # More than the program lets one person give.
    assert seen["isApprovalNeeded"] is True

    approved = stage.did("Approve", campaign, caller=boss())
    assert (approved["isApprovalNeeded"], approved["approvedBy"]) == (False, "s.6c1d8e2f-staff-boss")
    launched = stage.did("Launch", campaign)
    assert (launched["status"], launched["progress"]["done"]) == ("RUNNING", 0)
    stage.work()

    done = stage.look(campaign)
    assert (done["status"], done["reversal"]) == ("COMPLETED", None)
    # It gives what was found and approved, however many have joined since.
    assert (done["budget"]["pointsMax"], done["budgetLeft"]["pointsLeft"]) == (180_000, 0)
    assert done["progress"] | {"chunkCount": 0, "chunksDone": 0} == {
        "isPlanned": True,
        "planned": 4,
        "done": 4,
        "applied": 3,
        "failed": 0,
        "points": 180_000,
        "skips": [{"reason": "OUTSIDE", "memberCount": 1}],
        "chunkCount": 0,
        "chunksDone": 0,
    }
    assert done["progress"]["chunkCount"] == done["progress"]["chunksDone"]
    assert [stage.api.balance(f"{place}-{name}") for name in ("ada", "bob", "cyd")] == [60_000] * 3
    assert stage.result(campaign, f"{place}-ada") == ("APPLIED", None)

    stage.did("Revert", campaign)
    stage.work()
    reverted = stage.look(campaign)
    assert reverted["status"] == "REVERTED"
    assert [reverted["reversal"][name] for name in ("planned", "done", "applied", "points")] == [4, 4, 3, -180_000]
    assert reverted["reversal"]["skips"] == [{"reason": "NO_BONUS", "memberCount": 1}]
    assert reverted["progress"] == done["progress"]
    assert stage.entries(f"{place}-ada") == [
        ("EnrollmentEntry", 0),
        ("CampaignBonusEntry", 60_000),
        ("CampaignReversalEntry", -60_000),
    ]
    assert stage.result(campaign, f"{place}-ada") == ("APPLIED", "APPLIED")
    assert [(step["action"], step["by"]) for step in reverted["steps"]] == [
        ("CREATE", "s.5b0c7f1e-staff-manager"),
        ("PREVIEW", "s.5b0c7f1e-staff-manager"),
        ("APPROVE", "s.6c1d8e2f-staff-boss"),
        ("LAUNCH", "s.5b0c7f1e-staff-manager"),
        ("REVERT", "s.5b0c7f1e-staff-manager"),
    ]


def test_what_was_asked_for_is_shown_as_it_was_said(stage: Stage) -> None:
    everything = {
        "tiers": ["branch", "sky"],
        "balanceMin": 0,
        "balanceMax": 500,
        "locations": ["harbor", "market"],
        "activeFrom": "2029-01-01",
        "activeUntil": "2029-12-31",
        "joinedFrom": "2028-01-01",
        "joinedUntil": "2028-12-31",
        "tags": ["vip"],
        "withoutTags": ["staff"],
        "birthMonths": [1, 12],
    }
    segments = [{"audience": {"tiers": ["sky"]}, "points": 60}, {"audience": everything, "points": 20}]
    campaign = stage.drafted(
        name=" Spring\n",
        code="SPRING_2030",
        audience=everything,
        award={"segments": segments},
        validity={"until": "2030-06-30"},
        budget={"pointsMax": 1_000, "membersMax": 20},
        holdOutPercent=10,
        message={"title": "$points points", "text": "Until $date, $name. That is 5 $$."},
    )

    nothing = {"balanceMin": None, "balanceMax": None, "activeFrom": None, "activeUntil": None, "listId": None}
    nothing |= {"joinedFrom": None, "joinedUntil": None}
    names: dict[str, Any] = {"locations": [], "tags": [], "withoutTags": [], "birthMonths": []}
    assert stage.api.post(support(), CAMPAIGN_ASKED, id=campaign).data["campaign"] == {
        "kind": "BULK_BONUS",
        "name": "Spring",
        "code": "SPRING_2030",
        "holdOutPercent": 10,
        "validDays": None,
        "validUntil": "2030-06-30",
        "message": {"title": "$points points", "text": "Until $date, $name. That is 5 $$."},
        "budget": {"pointsMax": 1_000, "membersMax": 20},
        "audience": {**everything, "listId": None},
        "segments": [
            {"audience": {**nothing, **names, "tiers": ["sky"]}, "points": 60},
            {"audience": {**everything, "listId": None}, "points": 20},
        ],
    }


def test_points_by_tier_and_by_segment_go_to_whom_they_are_for(stage: Stage) -> None:
    place = stage.join("ada", "bob", "cyd")
    stage.api.buy(f"{place}-ada", 40_000)
    stage.api.buy(f"{place}-bob", 5_000)

    stage.completed(audience=at_place(place), award={"tiers": [{"tier": "branch", "points": 7}]})
    segments = [{"audience": {"balanceMin": 50}, "points": 2}, {"audience": {"balanceMax": 0}, "points": 5}]
    stage.completed(audience=at_place(place), award={"segments": segments}, code="SECOND")

    assert [stage.api.balance(f"{place}-{name}") for name in ("ada", "bob", "cyd")] == [400 + 7 + 2, 50 + 2, 5]


def test_whom_nobody_gives_anything_is_told_why(empty_stage: Stage, clock: Clock) -> None:
    stage = empty_stage
    place = stage.join("ada", "bob", "cyd", "dan", "eve")
    stage.join("far")
    campaign = stage.previewed(audience=at_place(place), budget={"pointsMax": 250})
    naming = {"member": {"externalId": f"{place}-dan"}, "reason": "X"}
    for step, who in (("Block", support()), ("Close", manager())):
        blocking = (
            f"mutation Do($input: Member{step}Input!) {{ member{step}(input: $input) {{ userErrors {{ code }} }} }}"
        )
        stage.api.post(who, blocking, input={"idempotencyKey": step, **naming})
        naming["member"] = {"externalId": f"{place}-eve"}
    stage.did("Launch", campaign)
    stage.work()

    told = stage.look(campaign)
    assert (told["progress"]["planned"], told["progress"]["applied"], told["progress"]["points"]) == (6, 2, 200)
    assert {skip["reason"]: skip["memberCount"] for skip in told["progress"]["skips"]} == {
        "BUDGET": 1,
        "BLOCKED": 1,
        "CLOSED": 1,
        "OUTSIDE": 1,
    }
    assert told["budgetLeft"] == {"pointsLeft": 50, "membersLeft": None}
    results = [stage.result(campaign, f"{place}-{name}") for name in ("ada", "bob", "cyd")]
    assert sorted(result[0] or "" for result in results if result) == ["APPLIED", "APPLIED", "BUDGET"]
    assert stage.result(campaign, f"{place}-dan") == ("BLOCKED", None)
    assert stage.result(campaign, "nobody") is None
    # Who joins later has no turn in it.
    stage.api.enroll(f"{place}-late", homeLocation=place)
    assert stage.result(campaign, f"{place}-late") == (None, None)


def test_without_an_approval_a_campaign_gives_no_more_than_one_person_may(stage: Stage) -> None:
    place = stage.join("ada", "bob")
    campaign = stage.previewed(audience=at_place(place), award={"points": 50_000})
    stage.api.enroll(f"{place}-cyd", homeLocation=place)

    assert stage.look(campaign)["budget"] == {"pointsMax": None, "membersMax": None}
    launched = stage.did("Launch", campaign)
    assert launched["budget"] == {"pointsMax": 100_000, "membersMax": None}
    assert launched["budgetLeft"] == {"pointsLeft": 100_000, "membersLeft": None}
    stage.work()

    told = stage.look(campaign)
    assert (told["progress"]["applied"], told["progress"]["points"]) == (2, 100_000)
    assert told["budgetLeft"] == {"pointsLeft": 0, "membersLeft": None}


def test_with_an_approval_a_campaign_gives_no_more_than_was_approved(stage: Stage) -> None:
    place = stage.join("ada", "bob")
    campaign = stage.previewed(audience=at_place(place), award={"points": 60_000})
    stage.did("Approve", campaign, caller=boss())
    stage.api.enroll(f"{place}-cyd", homeLocation=place)

    launched = stage.did("Launch", campaign)
    assert launched["budget"] == {"pointsMax": 120_000, "membersMax": None}
    stage.work()

    told = stage.look(campaign)
    assert (told["progress"]["applied"], told["progress"]["points"]) == (2, 120_000)
    assert told["progress"]["skips"][-1] == {"reason": "BUDGET", "memberCount": 1}


def test_a_program_that_says_neither_what_points_are_worth_nor_what_tiers_there_are(
    with_queues: Engine, tmp_path: Path
) -> None:
    program = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    for part in ("point_value", "tiers", "moments", "campaigns"):
        del program[part]
    file = tmp_path / "program.yaml"
    file.write_text(yaml.safe_dump(program), encoding="utf-8")

    with staged(with_queues, file=file) as stage:
        stage.join("ada")
        campaign = stage.completed()

        assert stage.look(campaign)["preview"]["points"] == 100
        assert stage.look(campaign)["preview"]["liability"] is None
        assert stage.create(audience={"tiers": ["sky"]}).refusals == [("INVALID_AUDIENCE", "input.audience.tiers")]


def test_a_campaign_launches_at_its_time(stage: Stage, clock: Clock) -> None:
    place = stage.join("ada")
    campaign = stage.previewed(audience=at_place(place))
    at = clock.now + timedelta(days=1)

    scheduled = stage.did("Launch", campaign, at=at.isoformat())
    assert (scheduled["status"], scheduled["launchedAt"], scheduled["progress"]) == ("SCHEDULED", None, None)
    assert scheduled["launchAt"] == "2030-01-11T17:00:00.000Z"
    # The function's clock goes on while it works.
    clock.advance(days=1, seconds=-40)
    with stage.api.unchanged():
        stage.minute()
    assert stage.waiting() == []

    clock.advance(seconds=40)
    stage.minute()
    running = stage.look(campaign)
    assert (running["status"], running["launchedAt"][:17]) == ("RUNNING", "2030-01-11T17:00:")
    stage.work()
    assert stage.look(campaign)["status"] == "COMPLETED"
    assert stage.api.balance(f"{place}-ada") == 100


def test_a_scheduled_campaign_is_cancelled_before_it_gives_anything(stage: Stage, clock: Clock) -> None:
    place = stage.join("ada")
    campaign = stage.previewed(audience=at_place(place))
    stage.did("Launch", campaign, at=(clock.now + timedelta(hours=1)).isoformat())

    assert stage.did("Cancel", campaign)["status"] == "CANCELLED"
    clock.advance(hours=2)
    with stage.api.unchanged():
        stage.minute()
    assert (stage.waiting(), stage.api.balance(f"{place}-ada")) == ([], 0)


def test_what_was_cancelled_half_way_is_reverted_when_the_last_worker_must_have_ended(
    empty_stage: Stage, clock: Clock
) -> None:
    stage = empty_stage
    place = stage.join(*CROWD)
    campaign = stage.launched()
    half_done(stage, campaign)
    stage.did("Cancel", campaign)
    stage.work()
    given = stage.look(campaign)["progress"]["applied"]
    assert 0 < given < len(CROWD)

    reverting = stage.did("Revert", campaign)
    assert reverting["status"] == "REVERTING"
    clock.advance(seconds=limits.CAMPAIGN_WORKER_MAX.total_seconds() - 1)
    stage.minute()
    assert stage.waiting() == []
    # First it is written down what became of everybody.
    clock.advance(seconds=1)
    stage.minute()
    stage.work()
    settled = stage.look(campaign)
    assert (settled["status"], settled["reversal"]["done"]) == ("REVERTING", 0)
    assert settled["progress"]["applied"] == given
    assert settled["progress"]["planned"] == settled["progress"]["done"]
    # Then what they have is taken back.
    clock.advance(minutes=1)
    stage.minute()
    stage.work()

    reverted = stage.look(campaign)
    assert (reverted["status"], reverted["reversal"]["applied"]) == ("REVERTED", given)
    assert reverted["progress"] == settled["progress"]
    assert {stage.api.balance(f"{place}-{name}") for name in CROWD} == {0}


def half_done(stage: Stage, campaign: str) -> None:
    """Takes turns until somebody has the bonus, and not all do."""
    for _ in range(100):
        messages = stage.take()
        assert messages, "the campaign is over"
        for place, message in enumerate(messages):
            assert stage.deliver([message]) == []
            if stage.look(campaign)["progress"]["applied"]:
                stage.let_go(messages[place + 1 :])
                return


def test_what_is_paused_gives_nothing_until_it_is_resumed_and_then_the_rest(empty_stage: Stage) -> None:
    stage = empty_stage
    place = stage.join(*CROWD)
    campaign = stage.launched()
    half_done(stage, campaign)

    assert stage.did("Pause", campaign)["status"] == "PAUSED"
    with stage.api.unchanged():
        stage.work()
    paused = stage.look(campaign)
    assert 0 < paused["progress"]["applied"] < len(CROWD)
    with stage.api.unchanged():
        stage.minute()
    assert stage.waiting() == []

    assert stage.did("Resume", campaign)["status"] == "RUNNING"
    stage.work()
    done = stage.look(campaign)
    assert done["status"] == "COMPLETED"
    assert done["progress"]["applied"] == done["progress"]["done"] == len(CROWD)
    for name in CROWD:
        assert stage.entries(f"{place}-{name}") == [("EnrollmentEntry", 0), ("CampaignBonusEntry", 100)]


def test_who_is_held_out_gets_nothing_and_is_told_nothing_and_it_is_always_the_same_ones(empty_stage: Stage) -> None:
    stage = empty_stage
    names = [f"m{number}" for number in range(20)]
    place = stage.join(*names)
    campaign = stage.completed(holdOutPercent=50, message={"title": "Thanks", "text": "For you."})

    results = {name: stage.result(campaign, f"{place}-{name}") for name in names}
    held_out = {name for name, result in results.items() if result == ("HELD_OUT", None)}
    assert 0 < len(held_out) < 20
    assert {result for result in results.values() if result != ("HELD_OUT", None)} == {("APPLIED", None)}
    preview, progress = (stage.look(campaign)[run] for run in ("preview", "progress"))
    assert preview["memberCount"] == progress["applied"] == 20 - len(held_out)
    assert progress["skips"] == [{"reason": "HELD_OUT", "memberCount": len(held_out)}]
    assert all((stage.api.balance(f"{place}-{name}") == 0) is (name in held_out) for name in names)


# --- what members see ---------------------------------------------------------------------------------------------------


def test_members_see_why_they_have_points_and_what_was_taken_back(stage: Stage, clock: Clock) -> None:
    place = stage.join()
    ada = enroll_herself(stage, place, "ada")
    campaign = stage.completed(
        audience=at_place(place),
        award={"points": 100},
        validity={"days": 30},
        message={"title": "$points for you", "text": "Dear $name, $points points until $date; $balance in all."},
    )

    (bonus, _) = mine(stage, ada)
    assert bonus == {
        "__typename": "CampaignBonusEntry",
        "points": 100,
        "balanceAfter": 100,
        "actor": None,
        "explanation": [
            {"rule": "campaign:SUMMER", "points": 100, "description": "100 points by the campaign SUMMER."}
        ],
        "buckets": [{"pot": "BALANCE", "points": 100, "expiresOn": "2030-02-09"}],
        "campaignId": campaign,
        "reason": "SUMMER",
    }
    inbox = stage.api.post(member(ada), NOTICES).data["viewer"]["notices"]
    assert [(notice["kind"], notice["title"], notice["text"]) for notice in inbox["nodes"]] == [
        ("CAMPAIGN", "100 for you", "Dear Ada, 100 points until 2030-02-09; 100 in all.")
    ]
    assert (inbox["unreadCount"], inbox["nodes"][0]["points"], inbox["nodes"][0]["expiresOn"]) == (1, 100, "2030-02-09")

    stage.api.post(member(ada), REDEEM, input={"idempotencyKey": "1", "rewardId": "latte"})
    stage.did("Revert", campaign)
    stage.work()

    reversal = mine(stage, ada)[0]
    assert reversal == {
        "__typename": "CampaignReversalEntry",
        "points": -60,
        "balanceAfter": 0,
        "actor": None,
        "explanation": [
            {
                "rule": "campaign:SUMMER",
                "points": -100,
                "description": "100 points of the campaign SUMMER were taken back.",
            },
            {
                "rule": "campaign:written-off",
                "points": 40,
                "description": "40 points of the campaign could not be taken back any more: spent, held or expired.",
            },
        ],
        "buckets": [{"pot": "BALANCE", "points": -60, "expiresOn": "2030-02-09"}],
        "campaignId": campaign,
        "reason": "SUMMER",
        "writtenOff": 40,
    }
    # Nobody is told twice, nor of what was taken back.
    assert len(stage.api.post(member(ada), NOTICES).data["viewer"]["notices"]["nodes"]) == 1
    assert stage.look(campaign)["reversal"]["points"] == -60


def test_a_silent_campaign_tells_nobody_anything(stage: Stage) -> None:
    place = stage.join()
    ada = enroll_herself(stage, place, "ada")
    stage.completed(audience=at_place(place))

    assert stage.api.balance(ada) == 100
    assert stage.api.post(member(ada), NOTICES).data["viewer"]["notices"]["nodes"] == []


def test_members_and_tills_see_no_campaign(stage: Stage) -> None:
    place = stage.join()
    ada = enroll_herself(stage, place, "ada")
    campaign = stage.completed(audience=at_place(place))

    assert stage.api.post(support(), NODE, id=campaign).data == {"node": {"__typename": "Campaign", "id": campaign}}
    assert stage.api.post(manager(), NODE, id=campaign).data == {"node": {"__typename": "Campaign", "id": campaign}}
    for caller in (member(ada), till()):
        assert stage.api.post(caller, NODE, id=campaign).data == {"node": None}


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "💥",
        global_id("Campaign", ""),
        global_id("Campaign", "nobody's"),
        global_id("Campaign", "WORK"),
        global_id("Campaign", "x" * 64),
        global_id("Campaign", "x" * 65),
        # A sort key has room for 1,024 bytes, a global id for more.
        global_id("Campaign", "x" * 1_050),
        global_id("Campaign", "a#b"),
        global_id("Member", "nobody"),
        global_id("Reward", "latte"),
        global_id("Job", "x"),
    ],
)
def test_an_id_of_something_else_finds_no_campaign(stage: Stage, wrong: str) -> None:
    campaign = "query Campaign($id: ID!) { campaign(id: $id) { id } }"

    assert stage.api.post(support(), campaign, id=wrong).data == {"campaign": None}
    if not wrong or from_campaign(wrong):
        assert stage.api.post(support(), NODE, id=wrong).data == {"node": None}
    with stage.api.unchanged():
        for step in ("Preview", "Approve", "Launch", "Pause", "Resume", "Cancel", "Revert"):
            assert stage.do(step, wrong).refusals == [("CAMPAIGN_NOT_FOUND", "input.id")]


def from_campaign(wrong: str) -> bool:
    return wrong.startswith(global_id("Campaign", "")[:10])


@pytest.mark.parametrize(
    ("by", "complaint"),
    [
        ({"id": "x"}, ("BAD_USER_INPUT", "member.id")),
        ({"id": global_id("Reward", "latte")}, ("BAD_USER_INPUT", "member.id")),
        ({"email": "nonsense"}, ("BAD_USER_INPUT", "member.email")),
        ({"externalId": ""}, ("BAD_USER_INPUT", "member.externalId")),
        ({}, ("BAD_USER_INPUT", "member")),
        ({"externalId": "a", "email": "a@example.com"}, ("BAD_USER_INPUT", "member")),
    ],
    ids=str,
)
def test_a_member_who_cannot_be_named_so_has_no_result(
    stage: Stage, by: dict[str, Any], complaint: tuple[str, str]
) -> None:
    campaign = stage.drafted()

    answer = stage.api.post(support(), CAMPAIGN_OF_MEMBER, id=campaign, member=by)

    assert complaint in answer.faults, answer.body


# --- the list of campaigns ----------------------------------------------------------------------------------------------


def page(stage: Stage, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = stage.api.post(support(), CAMPAIGNS, **arguments).data["campaigns"]
    assert [edge["node"]["id"] for edge in found["edges"]] == [node["id"] for node in found["nodes"]]
    return found


def test_campaigns_are_listed_page_by_page_the_newest_first(
    empty_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = empty_stage
    assert page(stage) == {
        "edges": [],
        "nodes": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }
    # Ids that are made within a millisecond have no order.
    ids = iter([f"01KA9ZM5D0D0R4C7E5P7R9T2{number:02}" for number in range(7)])
    monkeypatch.setattr("handlers.runtime.new_account", lambda: next(ids))
    made = [stage.drafted(name=f"Campaign {number}") for number in range(7)][::-1]

    first = page(stage, first=3)
    second = page(stage, first=3, after=first["pageInfo"]["endCursor"])
    third = page(stage, first=3, after=second["pageInfo"]["endCursor"])

    pages = [[edge["node"]["id"] for edge in each["edges"]] for each in (first, second, third)]
    assert pages == [made[:3], made[3:6], made[6:]]
    assert [each["pageInfo"]["hasNextPage"] for each in (first, second, third)] == [True, True, False]
    assert [each["pageInfo"]["hasPreviousPage"] for each in (first, second, third)] == [False, True, True]
    assert first["pageInfo"]["startCursor"] == first["edges"][0]["cursor"]
    # Read again from any place; a campaign that came meanwhile is on no page that begins behind it.
    ids = iter(["01KA9ZM5D0D0R4C7E5P7R9T299"])
    newest = stage.drafted()
    assert page(stage, first=3, after=first["edges"][1]["cursor"])["nodes"] == [{"id": each} for each in made[2:5]]
    assert page(stage, first=100)["nodes"] == [{"id": each} for each in [newest, *made]]


def test_a_page_has_fifty_campaigns_at_most(empty_stage: Stage) -> None:
    stage = empty_stage
    made = [stage.drafted() for _ in range(limits.CAMPAIGNS_PAGE_MAX + 2)]

    first = page(stage, first=100)
    rest = page(stage, first=100, after=first["pageInfo"]["endCursor"])

    assert (len(first["edges"]), first["pageInfo"]["hasNextPage"]) == (limits.CAMPAIGNS_PAGE_MAX, True)
    assert (len(rest["edges"]), rest["pageInfo"]["hasNextPage"]) == (2, False)
    assert {node["id"] for each in (first, rest) for node in each["nodes"]} == set(made)


def test_the_cursor_of_another_list_or_of_nobody_is_refused(stage: Stage) -> None:
    stage.drafted()
    place = stage.join("ada")
    of_entries = stage.api.member(f"{place}-ada")["entries"]["pageInfo"]["endCursor"]
    of_campaigns = page(stage)["pageInfo"]["endCursor"]

    for foreign in (of_entries, "", "x", of_campaigns[:-2], "A" * 5_000):
        answer = stage.api.post(support(), CAMPAIGNS, after=foreign)
        assert answer.faults == [("CURSOR_INVALID", "after")]


# --- what the bus is told -----------------------------------------------------------------------------------------------


def test_the_bus_is_told_of_the_bonus_of_the_notice_and_of_the_reversal(
    stage: Stage, with_queues: Engine, clock: Clock
) -> None:
    place = stage.join()
    ada = enroll_herself(stage, place, "ada")
    member_id = stage.api.member(ada)["id"]
    campaign = stage.completed(
        audience=at_place(place), validity={"days": 30}, message={"title": "Thanks", "text": "$points for you"}
    )
    stage.api.post(member(ada), REDEEM, input={"idempotencyKey": "1", "rewardId": "latte"})
    stage.did("Revert", campaign)
    stage.work()

    account, events = account_of(member_id), Events()
    log = sorted(key for key in stage.api.items() if key[0] == f"M#{account}" and key[1].startswith(("E#", "A#M#")))
    changes = [as_change(stage.api.items()[key], number, clock.now) for number, key in enumerate(log, 1)]
    announcer = Announcer(Logs(connect(with_queues), stage.api.table), Bus(events, "bus"), Logger("relay"))
    assert announcer.announce(changes, seconds_left=60) == {"batchItemFailures": []}

    told = {entry["DetailType"]: json.loads(entry["Detail"]) for entry in events.taken}
    assert told.keys() == {
        "member.enrolled",
        "campaign.granted",
        "reward.redeemed",
        "campaign.reverted",
        "notice.given",
    }
    common = {"memberId": member_id, "campaignId": campaign, "reason": "SUMMER"}
    granted, reverted = told["campaign.granted"], told["campaign.reverted"]
    assert common.items() <= granted.items()
    assert common.items() <= reverted.items()
    assert [(each["points"], each["balanceAfter"]) for each in (granted, reverted)] == [(100, 100), (-60, 0)]
    assert reverted["writtenOff"] == 40
    entries = [told[name] for name in ("member.enrolled", "campaign.granted", "reward.redeemed", "campaign.reverted")]
    assert [after["previousId"] for _, after in pairwise(entries)] == [before["id"] for before, _ in pairwise(entries)]
    assert (told["notice.given"]["kind"], told["notice.given"]["points"]) == ("CAMPAIGN", 100)
    # What a campaign says to members is words, and may say a name.
    assert "for you" not in json.dumps(told)


# --- the foreground -----------------------------------------------------------------------------------------------------

HOME = """query Home { viewer {
  name account { balance expiring { on points } tier { handle } }
  entries(first: 10) { edges { node { points balanceAfter explanation { description } } } }
} }"""


def test_tills_and_home_screens_ask_the_table_no_more_while_a_campaign_runs(
    with_queues: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def seen(model: Any, **_: Any) -> None:
        calls.append(model.name)

    # What botocore registers with every client that is made from now on.
    watching = ("before-call.dynamodb", seen)
    monkeypatch.setattr(botocore_handlers, "BUILTIN_HANDLERS", [*botocore_handlers.BUILTIN_HANDLERS, watching])
    with staged(with_queues) as stage:
        place = stage.join()
        names = [enroll_herself(stage, place, name) for name in CROWD]

        def asked(who: str, number: int) -> tuple[list[str], ...]:
            """The calls of a purchase, of the same one again, of the home screen, and of the balance."""
            bought = receipt(f"{who}-{number}", who, 700)
            found = []
            asks: tuple[Callable[[], Answer], ...] = (
                lambda: stage.api.post(till(), PURCHASE, input=bought),
                lambda: stage.api.post(till(), PURCHASE, input=bought),
                lambda: stage.api.post(member(who), HOME),
                lambda: stage.api.post(member(who), VIEWER),
            )
            for ask in asks:
                calls.clear()
                assert ask().complaints == []
                found.append(calls[:])
            return tuple(found)

        for who in names:
            # The first purchase notes the day on which its points end; whoever buys again that month does not.
            asked(who, 1)
        before = [asked(who, 2) for who in names]
        campaign = stage.launched(audience=at_place(place), message={"title": "Thanks", "text": "For you."})
        half_done(stage, campaign)
        during = [asked(who, 3) for who in names]
        assert 0 < stage.look(campaign)["progress"]["applied"] < len(CROWD)
        stage.work()
        after = [asked(who, 4) for who in names]

        assert stage.look(campaign)["progress"]["applied"] == len(CROWD)
        assert before == during == after
        assert before[0][0] == ["GetItem", "Query", "PutItem", "PutItem"]
        assert (before[0][2], before[0][3]) == (["GetItem", "Query"], ["GetItem", "Query"])
