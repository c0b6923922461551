"""docs/campaigns.md, done as it tells it, against the running stack: a campaign from its draft to its reversal."""

import json
import os
import re
import subprocess
from typing import Any

import pytest

from handlers.local.stack import Stack
from schema.nodes import from_id
from tests.engines import ROOT
from tests.local.test_walkthrough import answer
from tests.stack import Running

PAGE = (ROOT / "docs" / "campaigns.md").read_text(encoding="utf-8")
WALK = PAGE.partition("\n## A walk\n")[2].partition("\n## ")[0]
# As many as make several chunks of each shard; the page says ten thousand, which takes minutes (REGULARS_WALK_MEMBERS=10000).
MEMBERS = int(os.environ.get("REGULARS_WALK_MEMBERS", "1200"))
COMMANDS_S_MAX = 1_800


def steps() -> list[tuple[str, str, str]]:
    """What is typed: language, text, and the role of whoever is signed in then."""
    found, role = [], "staff"
    for before, language, text in re.findall(r"(.*?)```(sh|graphql)\n(.*?)```", WALK, re.DOTALL):
        for said, who in (("second manager (Lin)", "approver"), ("manager (Grace)", "staff")):
            if f"**{said}**" in before:
                role = who
        found.append((language, text, role))
    return found


def typed(commands: str, running: Running) -> str:
    """What a person sees of commands, which must succeed."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REGULARS_")},
        "REGULARS_HOME": str(running.home.folder),
        "COLUMNS": "400",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMANDS_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(3_600)
def test_the_walk_of_the_page_goes_as_it_says(running: Running, stack: Stack) -> None:
    campaign = ""
    seen: list[Any] = []
    for language, text, role in steps():
        command = text.replace("CAMPAIGN", campaign) if campaign else text
        if language == "graphql":
            data = answer(stack, role, command)
            seen.append(data)
            campaign = campaign or data["campaignCreate"]["campaign"]["id"]
        else:
            command = command.replace("--members 10000", f"--members {MEMBERS}")
            seen.append(typed(command.replace("regulars-CampaignFunction", _workers(stack)), running))

    (
        seeded,
        made,
        previewed,
        looked,
        preview,
        early,
        approved,
        launched,
        paused,
        _killed,
        resumed,
        done,
        verified,
        one,
        *rest,
    ) = seen
    reverting, reverted = rest
    members = answer_count(verified)
    assert f"{MEMBERS:,} members are there" in seeded
    assert made["campaignCreate"]["campaign"] == {"id": campaign, "status": "DRAFT", "isApprovalNeeded": True}
    assert previewed["campaignPreview"]["userErrors"] == []
    assert "It would give" in looked
    found = preview["campaign"]["preview"]
    assert found["isFinished"]
    assert found["points"] == found["memberCount"] * 50 == found["liability"]["amountMinor"]
    assert found["progress"]["planned"] == members
    skipped = {each["reason"]: each["memberCount"] for each in found["progress"]["skips"]}
    assert found["memberCount"] + sum(skipped.values()) == members
    assert 0 < skipped["HELD_OUT"] < members / 10
    assert [each["code"] for each in early["campaignLaunch"]["userErrors"]] == ["APPROVAL_MISSING"]
    assert approved["campaignApprove"]["campaign"]["isApprovalNeeded"] is False
    assert launched["campaignLaunch"]["campaign"]["status"] == "RUNNING"
    assert paused["campaignPause"]["campaign"]["status"] == "PAUSED"
    assert paused["campaignPause"]["campaign"]["progress"]["applied"] < found["memberCount"]
    assert resumed["campaignResume"]["campaign"]["status"] == "RUNNING"
    assert f"is COMPLETED: {found['points']:,} points given. {members:,} of {members:,} members had their turn" in done
    assert verified.splitlines()[-1] == "Nothing is wrong."
    result = one["campaign"]
    assert result["status"] == "COMPLETED"
    assert result["budgetLeft"] == {"pointsLeft": 600_000 - found["points"]}
    (entry,) = (edge["node"] for edge in one["member"]["entries"]["edges"])
    # Whoever is held out has had what they had before: a purchase, or what the program gave them for their birthday.
    outcome = result["memberResult"]["outcome"]
    assert outcome in ("APPLIED", "HELD_OUT")
    assert (entry["__typename"] == "CampaignBonusEntry") is (outcome == "APPLIED")
    assert reverting["campaignRevert"]["campaign"]["status"] == "REVERTING"
    assert f"is REVERTED: {found['points']:,} points taken back." in reverted
    assert reverted.splitlines()[-1] == "Nothing is wrong."
    assert bonuses(stack, campaign) == {"c": found["memberCount"], "d": found["memberCount"]}


def answer_count(verified: str) -> int:
    """How many accounts were verified."""
    (count,) = re.findall(r"Checked ([0-9,]+) accounts", verified)
    return int(count.replace(",", ""))


def bonuses(stack: Stack, campaign: str) -> dict[str, int]:
    """The entries of a campaign on the table, by their letter; no two of them have the same key."""
    _, own = from_id(campaign)
    counts: dict[str, int] = {}
    keys: set[str] = set()
    for page in stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.table):
        for item in page["Items"]:
            for entry in item.get("e", {}).get("L", []):
                key = entry["M"].get("i", {}).get("S", "")
                if key.startswith(f"~c.{own}:"):
                    assert key not in keys
                    keys.add(key)
                    letter = entry["M"]["k"]["S"]
                    counts[letter] = counts.get(letter, 0) + 1
    return counts


def _workers(stack: Stack) -> str:
    """The name of this stack's campaign function, by which its workers are told from those of other stacks."""
    return str(stack.outputs["CampaignFunctionName"])


def test_the_page_names_every_outcome_and_status() -> None:
    schema = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    for name, heading in (("CampaignOutcome", "What became of whom"), ("CampaignStatus", "Where it stands")):
        (body,) = re.findall(rf"enum {name} {{(.*?)^}}", schema, re.DOTALL | re.MULTILINE)
        values = re.findall(r"^  ([A-Z_]+)$", body, re.MULTILINE)
        section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        assert values
        assert [value for value in values if f"`{value}`" not in section] == []


def test_every_graphql_block_of_the_page_was_read() -> None:
    assert json.dumps([language for language, *_ in steps()]).count("graphql") == PAGE.count("```graphql")
