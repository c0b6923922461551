"""What the README tells, done as it tells it, against the running stack: real HTTP, real tokens, a second client."""

import json
import os
import re
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.local.stack import Stack
from tests.handlers.graphql_http import audits
from tests.stack import Running, graphql

README = Path(__file__).parents[2] / "README.md"
HARBOR = {"location": "harbor", "channel": "pos"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def answer(stack: Stack, role: str, query: str, **variables: Any) -> Any:
    response = graphql(stack, query, token=stack.token(role), variables=variables)
    assert response.status_code == 200, response.text
    body = response.json()
    assert "errors" not in body, body["errors"]
    return body["data"]


def test_the_examples_of_the_readme_work_in_their_order(stack: Stack) -> None:
    (shell,) = (block for block in blocks("sh") if "curl" in block)
    curl = shell[shell.index("curl") :]
    environment = {**os.environ, "URL": stack.graphql_url, "TOKEN": stack.token("partner")}

    joined = json.loads(subprocess.run(["bash", "-c", curl], env=environment, capture_output=True, check=True).stdout)
    purchase, home, redemption, hold, returned, many, _year = blocks("graphql")
    bought = answer(stack, "partner", purchase)["purchaseRecord"]
    again = answer(stack, "partner", purchase)["purchaseRecord"]
    seen = answer(stack, "member", home)
    redeemed = answer(stack, "partner", redemption)["rewardRedeem"]
    set_aside = answer(stack, "partner", hold)["pointsHold"]
    capture = {"idempotencyKey": "till-3/63/take", "holdId": set_aside["hold"]["id"], "points": 4}
    captured = answer(stack, "partner", CAPTURE, i=capture)["pointsCapture"]
    given_back = answer(stack, "partner", returned)["purchaseReturn"]
    submitted = answer(stack, "partner", many)["purchasesSubmit"]
    applied = until_applied(stack, submitted["submission"]["id"])
    account = answer(stack, "member", "{ viewer { account { balance debt } } }")["viewer"]["account"]

    assert joined["data"]["memberEnroll"]["userErrors"] == []
    assert (bought["entry"]["points"], bought["entry"]["balanceAfter"], bought["replayed"]) == (45, 45, False)
    assert again == {**bought, "replayed": True}
    assert seen["viewer"]["name"] == "Ada"
    assert len(seen["rewards"]["nodes"]) == 7
    assert seen["viewer"]["account"]["balance"] == 45
    assert (redeemed["account"]["balance"], redeemed["userErrors"]) == (5, [])
    assert (set_aside["account"], set_aside["hold"]["points"]) == ({"balance": 0, "held": 5, "debt": 0}, 5)
    assert captured == {"entry": {"points": -4}, "account": {"balance": 1, "held": 0}, "userErrors": []}
    # 19 of 45 points for 20.00 of 45.90; 1 was left, 18 had become a latte and a part of something else.
    assert given_back["purchaseReturn"] == {"status": "BOOKED", "points": -19, "owed": 19, "debt": 18, "writtenOff": 0}
    assert given_back["account"] == {"balance": 0, "debt": 18}
    assert [receipt["isAccepted"] for receipt in submitted["receipts"]] == [True, True]
    assert applied == {"accepted": 0, "applied": 2, "refused": 0, "failed": 0}
    # 12 and 9, of which 18 were owed.
    assert account == {"balance": 3, "debt": 0}


def until_applied(stack: Stack, submission: str) -> Any:
    """How a submission stands when nothing of it is queued any more."""
    give_up_at = time.monotonic() + 90
    query = "query ($id: ID!) { submission(id: $id) { tally { accepted applied refused failed } } }"
    while (tally := answer(stack, "partner", query, id=submission)["submission"]["tally"])["accepted"]:
        assert time.monotonic() < give_up_at, "it was never applied"
        time.sleep(0.5)
    return tally


def test_passes_every_audit_of_graphql_http(stack: Stack) -> None:
    results = audits.run(stack.graphql_url, stack.token("member"))

    assert len(results) == audits.AUDITS
    assert [result for result in results if result["status"] != "ok"] == []


@pytest.fixture
def member(stack: Stack, request: pytest.FixtureRequest) -> str:
    """A member of this test's own, by external id."""
    name = re.sub(r"\W", "-", request.node.name)
    enroll = "mutation ($i: MemberEnrollInput!) { memberEnroll(input: $i) { userErrors { code } } }"
    answer(stack, "partner", enroll, i={"idempotencyKey": name, "externalId": name})
    return name


CAPTURE = """mutation ($i: PointsCaptureInput!) { pointsCapture(input: $i) {
  entry { points } account { balance held } userErrors { code } } }"""
PURCHASE = """mutation ($i: PurchaseRecordInput!) { purchaseRecord(input: $i) {
  entry { id points } replayed userErrors { code field } } }"""


def receipt(member: str, number: str, amount: int) -> dict[str, Any]:
    total = {"amountMinor": amount, "currency": "USD"}
    return {"source": "walk", "externalId": number, "member": {"externalId": member}, "total": total, **HARBOR}


def test_one_receipt_from_eight_tills_at_once_earns_once(stack: Stack, member: str) -> None:
    with ThreadPoolExecutor(8) as tills:
        answers = list(
            tills.map(lambda _: answer(stack, "partner", PURCHASE, i=receipt(member, "twin", 1_000)), range(8))
        )

    recorded = [each["purchaseRecord"] for each in answers]
    assert {each["entry"]["id"] for each in recorded} == {recorded[0]["entry"]["id"]}
    assert Counter(each["replayed"] for each in recorded) == {True: 7, False: 1}


def test_redemptions_at_once_stop_where_the_points_end(stack: Stack, member: str) -> None:
    answer(stack, "partner", PURCHASE, i=receipt(member, "wages", 10_000))
    redeem = """mutation ($i: RewardRedeemInput!) { rewardRedeem(input: $i) {
      redemption { id code } userErrors { code } } }"""

    def attempt(number: int) -> Any:
        wish = {"idempotencyKey": f"{member}-{number}", "member": {"externalId": member}, "rewardId": "latte"}
        return answer(stack, "partner", redeem, i=wish)["rewardRedeem"]

    with ThreadPoolExecutor(8) as tills:
        answers = list(tills.map(attempt, range(8)))

    # 100 points, 40 a latte.
    assert len({each["redemption"]["code"] for each in answers if each["redemption"]}) == 2
    refused = [each["userErrors"][0]["code"] for each in answers if not each["redemption"]]
    assert refused == ["INSUFFICIENT_POINTS"] * 6


def test_a_body_over_the_limit_is_413_and_nothing_happens(stack: Stack, member: str) -> None:
    huge = {**receipt(member, "huge", 100), "channel": "x" * 1_100_000}

    response = graphql(stack, PURCHASE, token=stack.token("partner"), variables={"i": huge})

    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "BODY_TOO_LARGE"
    look = "query ($by: MemberByInput!) { member(by: $by) { entries { edges { node { __typename } } } } }"
    entries = answer(stack, "partner", look, by={"externalId": member})["member"]["entries"]["edges"]
    assert [edge["node"]["__typename"] for edge in entries] == ["BonusEntry", "EnrollmentEntry"]


def test_the_clock_of_the_readme_turns_and_members_are_told(running: Running, stack: Stack) -> None:
    """The last of this file: nobody turns it back."""
    (turning,) = (block for block in blocks("sh") if "clock advance" in block)
    environment = {**os.environ, "REGULARS_HOME": str(running.home.folder)}
    before = answer(stack, "staff", "{ clock { now } }")["clock"]["now"]

    done = subprocess.run(
        ["bash", "-c", turning], cwd=README.parent, env=environment, capture_output=True, text=True, check=False
    )
    *_, year = blocks("graphql")
    seen = answer(stack, "member", year)["viewer"]

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("31 days have passed: ")
    assert datetime.fromisoformat(answer(stack, "staff", "{ clock { now } }")["clock"]["now"]) >= (
        datetime.fromisoformat(before) + timedelta(days=31)
    )
    assert [each["node"]["kind"] for each in seen["notices"]["edges"]][-1:] == ["MOMENT"]
    assert "SUMMARY" in [each["node"]["kind"] for each in seen["notices"]["edges"]]
