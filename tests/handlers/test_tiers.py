"""Tiers through the API: what members see of them, what staff make of them, and what comes earlier to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.engines import Engine
from tests.handlers.api import (
    AS_OF,
    DEMO,
    NODE,
    PROGRAM,
    REDEEM,
    TIER,
    TIER_SET,
    Answer,
    Api,
    Claims,
    deployed,
    global_id,
    manager,
    member,
    support,
    till,
)
from tests.handlers.conftest import Clock

BENEFITS = {"multiplier_percent": 150, "extra_months": 6, "early_access_days": 10, "birthday_points": 50}
CHANGES: dict[str, Any] = {
    "moments": [{"id": "up", "when": "tier_up", "points": 20}],
    "tiers": {
        "metric": "points",
        "period": "calendar_year",
        "grace_days": 14,
        "ladder": [
            {"id": "nest", "name": "Nest", "threshold": 0},
            {"id": "branch", "name": "Branch", "threshold": 100, "benefits": BENEFITS},
            {"id": "sky", "name": "Sky", "threshold": 300, "lifetime": 5_000},
        ],
    },
    "rewards": [
        {"id": "latte", "name": "A latte", "cost": 40},
        {"id": "harvest", "name": "The harvest", "cost": 60, "available_from": "2030-02-01"},
    ],
}
EARLY = """query { rewards { nodes { handle availableOn } } }"""


@pytest.fixture(scope="module")
def shop(ministack: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A stack whose tiers are within reach."""
    file: Path = tmp_path_factory.mktemp("program") / "tiers.yaml"
    document = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**document, **CHANGES}), encoding="utf-8")
    with deployed(ministack, "regulars-tiers", file=file) as api:
        yield api


@pytest.fixture
def ada(shop: Api, clock: Clock) -> str:
    """A member with 99 points and a login of her own; the external id."""
    external_id = f"ada-{uuid4().hex[:12]}"
    shop.enroll(external_id, member(external_id), email=f"{external_id}@example.com")
    shop.buy(external_id, 9_900)
    return external_id


def standing(api: Api, who: str) -> dict[str, Any]:
    account: dict[str, Any] = api.post(support(), TIER, by={"externalId": who}).data["member"]["account"]
    return account


def set_tier(api: Api, who: str, tier: str, *, key: str = "k", caller: Claims | None = None, **more: Any) -> Answer:
    wanted = {"idempotencyKey": f"{key} {who}", "member": {"externalId": who}, "tier": tier, "reason": "GOODWILL"}
    return api.post(caller or manager(), TIER_SET, input={**wanted, **more})


def history(api: Api, who: str) -> list[dict[str, Any]]:
    return [edge["node"] for edge in api.member(who)["entries"]["edges"]]


def test_a_member_sees_how_far_it_is_to_the_next_tier(shop: Api, ada: str) -> None:
    assert standing(shop, ada) == {
        "tier": {
            "handle": "nest",
            "name": "Nest",
            "validUntil": None,
            "origin": "EARNED",
            "benefits": {"multiplierPercent": 100, "extraMonths": 0, "earlyAccessDays": 0, "birthdayPoints": 0},
        },
        "tierProgress": {
            "metric": "POINTS",
            "period": "CALENDAR_YEAR",
            "amount": 99,
            "pointsToNext": 1,
            "pointsToKeep": None,
            "validUntil": None,
            "projectedTier": {"handle": "nest"},
            "nextTier": {"handle": "branch", "threshold": 100},
        },
    }


def test_the_purchase_that_reaches_a_tier_is_followed_by_it_and_its_bonus(shop: Api, ada: str) -> None:
    shop.buy(ada, 100)

    bonus, tier, purchase, *_ = history(shop, ada)
    assert (purchase["__typename"], purchase["points"]) == ("PurchaseEntry", 1)
    assert (tier["__typename"], tier["points"], tier["balanceAfter"]) == ("TierEntry", 0, 100)
    assert tier["explanation"] == [
        {
            "rule": "tier:branch:reached",
            "points": 0,
            "description": "Branch was reached with 100 points, to 2032-01-14.",
        }
    ]
    assert (bonus["__typename"], bonus["points"], bonus["balanceAfter"]) == ("BonusEntry", 20, 120)
    assert bonus["explanation"][0]["description"] == "20 points for a better tier."
    account = standing(shop, ada)
    assert account["tier"]["validUntil"] == "2032-01-14"
    assert account["tier"]["benefits"]["multiplierPercent"] == 150
    assert account["tierProgress"]["pointsToKeep"] is None
    assert account["tierProgress"]["projectedTier"] == {"handle": "nest"}
    # Both can be found again.
    for entry in (bonus, tier):
        assert shop.post(member(ada), NODE, id=entry["id"]).data["node"]["__typename"] == entry["__typename"]


def test_a_tier_multiplies_points_and_says_so(shop: Api, ada: str) -> None:
    shop.buy(ada, 100)
    bought = shop.buy(ada, 4_100)

    assert bought["entry"]["points"] == 41 + 20
    assert bought["entry"]["explanation"] == [{"rule": "base", "points": 41}, {"rule": "tier:branch", "points": 20}]
    assert history(shop, ada)[0]["explanation"][1]["description"] == "20 points more in the tier Branch."


def test_time_takes_a_tier_and_the_history_says_so_before_a_job_has_come(shop: Api, ada: str, clock: Clock) -> None:
    shop.buy(ada, 100)
    clock.advance(days=730)
    assert standing(shop, ada)["tierProgress"]["pointsToKeep"] == 100
    clock.advance(days=5)

    assert standing(shop, ada)["tier"]["handle"] == "nest"
    assert history(shop, ada)[0]["explanation"] == [
        {
            "rule": "tier:nest:fallen",
            "points": 0,
            "description": "The tier before it ended; with 0 points it is Nest.",
        }
    ]
    then = shop.post(
        support(), AS_OF.replace("status", "status tier { handle }"), by={"externalId": ada}, at="2031-12-31T12:00:00Z"
    )
    assert then.data["member"]["account"]["tier"] == {"handle": "branch"}


def test_staff_give_a_tier_with_a_reason_and_a_note_that_members_do_not_see(shop: Api, ada: str) -> None:
    answer = set_tier(shop, ada, "sky", until="2030-03-31", note="Moved here from another town.").data["memberTierSet"]

    entry = answer["entry"]
    assert {
        name: entry[name] for name in ("tierHandle", "validUntil", "origin", "change", "amount", "reason", "note")
    } == {
        "tierHandle": "sky",
        "validUntil": "2030-03-31",
        "origin": "MANUAL",
        "change": "SET",
        "amount": None,
        "reason": "GOODWILL",
        "note": "Moved here from another town.",
    }
    assert entry["explanation"][0]["description"] == "Sky was set by staff, to 2030-03-31: GOODWILL."
    assert answer["account"]["tier"] == {
        "handle": "sky",
        "name": "Sky",
        "validUntil": "2030-03-31",
        "origin": "MANUAL",
    }
    query = "query($id: ID!) { entry(id: $id) { ... on TierEntry { reason note actor } } }"
    assert shop.post(member(ada), query, id=entry["id"]).data["entry"] == {
        "reason": "GOODWILL",
        "note": None,
        "actor": None,
    }


def test_a_tier_is_named_by_its_handle_or_its_id(shop: Api, ada: str) -> None:
    (_, branch, _) = shop.post(member(ada), PROGRAM).data["program"]["tiers"]

    assert set_tier(shop, ada, branch["id"]).data["memberTierSet"]["account"]["tier"]["handle"] == "branch"
    assert shop.post(member(ada), NODE, id=branch["id"]).data["node"] == {"__typename": "Tier", "id": branch["id"]}
    assert shop.post(member(ada), NODE, id=global_id("Tier", "gold")).data["node"] is None


def test_a_tier_that_is_set_again_with_its_key_is_set_once(shop: Api, ada: str) -> None:
    first = set_tier(shop, ada, "sky", until="2030-03-31").data["memberTierSet"]
    set_tier(shop, ada, "branch", key="later")

    again = set_tier(shop, ada, "sky", until="2030-03-31").data["memberTierSet"]

    assert (again["replayed"], again["entry"]) == (True, first["entry"])
    # The account is told as it is now.
    assert again["account"]["tier"]["handle"] == "branch"
    assert set_tier(shop, ada, "sky").refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


def test_the_program_is_told_to_everybody(shop: Api, ada: str) -> None:
    for caller in (member(ada), till("openid"), support()):
        told = shop.post(caller, PROGRAM).data["program"]
        assert {
            name: told[name] for name in ("name", "timeZone", "currencies", "expiry", "reminderStages", "ladder")
        } == {
            "name": "Bluebird Coffee",
            "timeZone": "America/New_York",
            "currencies": [{"code": "USD", "minorPerUnit": 100}],
            "expiry": "Points can be spent for 24 months, to the end of the month.",
            "reminderStages": [30, 15, 7],
            "ladder": {
                "metric": "POINTS",
                "period": "CALENDAR_YEAR",
                "graceDays": 14,
                "hasSoftLanding": True,
                "tiers": [{"handle": "nest"}, {"handle": "branch"}, {"handle": "sky"}],
            },
        }
        assert told["tiers"][1:] == [
            {
                "id": global_id("Tier", "branch"),
                "handle": "branch",
                "name": "Branch",
                "threshold": 100,
                "lifetimeThreshold": None,
                "benefits": {
                    "multiplierPercent": 150,
                    "extraMonths": 6,
                    "earlyAccessDays": 10,
                    "birthdayPoints": 50,
                },
            },
            {
                "id": global_id("Tier", "sky"),
                "handle": "sky",
                "name": "Sky",
                "threshold": 300,
                "lifetimeThreshold": 5_000,
                "benefits": {
                    "multiplierPercent": 100,
                    "extraMonths": 0,
                    "earlyAccessDays": 0,
                    "birthdayPoints": 0,
                },
            },
        ]


def test_a_tier_opens_rewards_earlier(shop: Api, ada: str, clock: Clock) -> None:
    """To everybody on 1 February, to Branch ten days before."""

    def early(caller: Claims) -> Any:
        return {each["handle"]: each["availableOn"] for each in shop.post(caller, EARLY).data["rewards"]["nodes"]}

    def redeem(key: str) -> Answer:
        wanted = {"idempotencyKey": f"{key} {ada}", "rewardId": "harvest", "member": {"externalId": ada}}
        return shop.post(till(), REDEEM, input=wanted)

    for caller in (member(ada), member("nobody-yet"), support()):
        assert early(caller) == {"latte": None, "harvest": "2030-02-01"}
    clock.advance(days=12)
    answer = redeem("early")
    assert answer.refusals == [("REWARD_NOT_AVAILABLE", "input.rewardId")]
    assert "2030-02-01" in json.dumps(answer.json)

    shop.buy(ada, 100)

    assert early(member(ada)) == {"latte": None, "harvest": "2030-01-22"}
    assert early(support()) == {"latte": None, "harvest": "2030-02-01"}
    assert redeem("now").data["rewardRedeem"]["account"] == {"balance": 60}
    by_id = "query($id: ID!) { node(id: $id) { ... on Reward { availableOn } } }"
    assert shop.post(member(ada), by_id, id=global_id("Reward", "harvest")).data["node"] == {
        "availableOn": "2030-01-22"
    }


def test_of_points_that_activity_keeps_alive_a_line_has_no_day_of_its_own(
    ministack: Engine, tmp_path: Path, clock: Clock
) -> None:
    document = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    file = tmp_path / "rolling.yaml"
    expiry = {"policy": "inactivity", "months": 6}
    file.write_text(
        yaml.safe_dump({**document, "moments": [], "tiers": CHANGES["tiers"], "expiry": expiry}), encoding="utf-8"
    )
    query = """query($by: MemberByInput!) { program { expiry } member(by: $by) {
      account { expiring { on points isRolling } }
      entries(first: 1) { edges { node { buckets { points expiresOn isRolling } explanation { description } } } } } }"""
    with deployed(ministack, "regulars-rolling", file=file) as api:
        api.enroll("ada")
        api.buy("ada", 500)
        told = api.post(support(), query, by={"externalId": "ada"}).data
        assert told["program"]["expiry"] == "Points expire after 6 months without an activity."
        assert told["member"]["account"]["expiring"] == [{"on": "2030-07-10", "points": 5, "isRolling": True}]
        (edge,) = told["member"]["entries"]["edges"]
        assert edge["node"]["buckets"] == [{"points": 5, "expiresOn": None, "isRolling": True}]
        clock.advance(days=200)
        (edge,) = api.post(support(), query, by={"externalId": "ada"}).data["member"]["entries"]["edges"]
        assert edge["node"]["explanation"] == [{"description": "5 points expired: there was no activity for too long."}]


def test_a_program_without_tiers_has_none_to_show(ministack: Engine, tmp_path: Path, clock: Clock) -> None:
    document = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    file = tmp_path / "plain.yaml"
    del document["tiers"]
    file.write_text(yaml.safe_dump({**document, "moments": []}), encoding="utf-8")
    with deployed(ministack, "regulars-without-tiers", file=file) as api:
        api.enroll("ada")
        assert standing(api, "ada") == {"tier": None, "tierProgress": None}
        told = api.post(support(), PROGRAM).data["program"]
        assert (told["ladder"], told["tiers"]) == (None, [])
        assert set_tier(api, "ada", "gold").refusals == [("UNKNOWN_TIER", "input.tier")]
