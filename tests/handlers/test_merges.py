"""Merging members through the API: what leads where, what stays visible to whom, and the way back."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.handlers.api import (
    ADJUST,
    ENROLL,
    HOLD,
    MEMBER,
    MERGE,
    NODE,
    PURCHASE,
    REDEEM,
    TRANSFER,
    UNMERGE,
    VIEWER,
    Answer,
    Api,
    account_of,
    global_id,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.conftest import Clock

MERGED = """query Merged($by: MemberByInput!, $first: Int! = 10, $after: String) {
  member(by: $by) { id mergedMembers {
    memberId mergedAt entries(first: $first, after: $after) {
      edges { cursor node { __typename id points balanceAfter } } pageInfo { hasNextPage endCursor }
    }
  } }
}"""


@pytest.fixture
def pair(api: Api, clock: Clock) -> tuple[str, str]:
    """Ada with 100 points and Dup, her other self, with 30; each with a login of the same name."""
    ada, dup = (f"{name}-{uuid4().hex[:12]}" for name in ("ada", "dup"))
    api.enroll(ada, member(ada), name="Ada Lovelace", email=f"{ada}@example.com")
    api.enroll(dup, member(dup), name="A. Lovelace", email=f"{dup}@example.com", cardNumber=f"card {dup}")
    api.buy(ada, 10_000)
    api.buy(dup, 3_000)
    return ada, dup


def merge(api: Api, pair: tuple[str, str], key: str = "m", **more: Any) -> Answer:
    ada, dup = pair
    wanted = {"idempotencyKey": f"{key} {dup}", "duplicate": {"externalId": dup}, "survivor": {"externalId": ada}}
    return api.post(manager(), MERGE, input={**wanted, "reason": "SAME_PERSON", **more})


def unmerge(api: Api, pair: tuple[str, str], key: str = "u", **more: Any) -> Answer:
    wanted = {"idempotencyKey": f"{key} {pair[1]}", "duplicate": {"externalId": pair[1]}, "reason": "OTHER_PERSON"}
    return api.post(manager(), UNMERGE, input={**wanted, **more})


def test_the_survivor_has_the_points_of_both_and_their_own_profile(api: Api, pair: tuple[str, str]) -> None:
    ada, dup = pair
    ids = [api.member(name)["id"] for name in pair]

    payload = merge(api, pair, note="Same street.").data["memberMerge"]

    assert payload["member"] == {"id": ids[0], "account": {"balance": 130}}
    entry = payload["entry"]
    assert (entry["points"], entry["mergedMemberId"], entry["reason"], entry["note"]) == (
        30,
        ids[1],
        "SAME_PERSON",
        "Same street.",
    )
    (edge, *_) = api.member(ada)["entries"]["edges"]
    assert (edge["node"]["__typename"], edge["node"]["balanceAfter"]) == ("MergeEntry", 130)
    assert edge["node"]["explanation"][0]["description"] == (
        "30 points came with another account of the same person: SAME_PERSON."
    )
    query = "query($by: MemberByInput!) { member(by: $by) { id name email } }"
    for by in ({"externalId": dup}, {"email": f"{dup}@example.com"}, {"cardNumber": f"card {dup}"}, {"id": ids[1]}):
        found = api.post(support(), query, by=by).data["member"]
        assert found == {"id": ids[0], "name": "Ada Lovelace", "email": f"{ada}@example.com"}


def test_both_logins_see_and_spend_what_is_there(api: Api, pair: tuple[str, str]) -> None:
    ada, dup = pair
    mine = api.member(ada)["id"]
    merge(api, pair)

    for number, name in enumerate(pair):
        assert api.post(member(name), VIEWER).data["viewer"] == {
            "id": mine,
            "account": {"balance": 130 - 15 * number},
        }
        redeemed = api.post(member(name), REDEEM, input={"idempotencyKey": "r", "rewardId": "cookie"})
        assert redeemed.data["rewardRedeem"]["account"] == {"balance": 115 - 15 * number}
        for by in ({"externalId": ada}, {"externalId": dup}, {"id": mine}):
            assert api.post(member(name), MEMBER, by=by).data["member"]["id"] == mine
    bought = api.post(till(), PURCHASE, input=receipt(f"after {dup}", dup, 500))
    assert bought.data["purchaseRecord"]["entry"]["balanceAfter"] == 105
    assert api.post(member(dup), ENROLL, input={"idempotencyKey": "again", "externalId": f"{dup}2"}).refusals == [
        ("ALREADY_ENROLLED", None)
    ]


def test_what_the_duplicate_had_can_still_be_fetched_by_whoever_they_are_now(api: Api, pair: tuple[str, str]) -> None:
    ada, dup = pair
    redeemed = api.post(
        till(), REDEEM, input={"idempotencyKey": dup, "rewardId": "cookie", "member": {"externalId": dup}}
    )
    old = [
        redeemed.data["rewardRedeem"]["redemption"]["id"],
        global_id("Purchase", f"pos-harbor:{dup}-3000"),
        *(edge["node"]["id"] for edge in api.member(dup)["entries"]["edges"]),
    ]
    for each in old:
        assert api.post(member(ada), NODE, id=each).data == {"node": None}

    merge(api, pair)

    for name in pair:
        for each in old:
            assert api.post(member(name), NODE, id=each).data["node"]["id"] == each
        seen = api.post(member(name), MERGED, by={"externalId": dup}).data["member"]["mergedMembers"]
        assert [edge["node"]["__typename"] for edge in seen[0]["entries"]["edges"]] == [
            "MergedEntry",
            "RedemptionEntry",
            "PurchaseEntry",
            "EnrollmentEntry",
        ]
    unmerge(api, pair)
    for each in old:
        assert api.post(member(ada), NODE, id=each).data == {"node": None}
        assert api.post(member(dup), NODE, id=each).data["node"]["id"] == each


def test_the_history_of_the_duplicate_is_read_page_by_page(api: Api, pair: tuple[str, str], clock: Clock) -> None:
    ada, dup = pair
    for number in range(5):
        api.buy(dup, 100 * (number + 1))
    theirs = api.member(dup)["id"]
    clock.advance(hours=1)
    merge(api, pair)

    pages: list[list[int]] = []
    after = None
    while True:
        (seen,) = api.post(support(), MERGED, by={"externalId": ada}, first=3, after=after).data["member"][
            "mergedMembers"
        ]
        assert (seen["memberId"], seen["mergedAt"]) == (theirs, "2030-01-10T18:00:00.000Z")
        pages.append([edge["node"]["points"] for edge in seen["entries"]["edges"]])
        if not seen["entries"]["pageInfo"]["hasNextPage"]:
            break
        after = seen["entries"]["pageInfo"]["endCursor"]
    assert pages == [[-45, 5, 4], [3, 2, 1], [30, 0]]


def test_merges_of_merges_are_all_listed(api: Api, pair: tuple[str, str]) -> None:
    ada, dup = pair
    last = f"last-{ada}"
    api.enroll(last)
    ids = [api.member(name)["id"] for name in (last, ada, dup)]
    merge(api, pair)
    merge(api, (last, ada))

    seen = api.post(support(), MERGED, by={"externalId": dup}).data["member"]

    assert [seen["id"], *(each["memberId"] for each in seen["mergedMembers"])] == ids
    assert api.balance(dup) == 130


def test_an_undo_gives_both_their_own_again(api: Api, pair: tuple[str, str]) -> None:
    ada, dup = pair
    ids = [api.member(name)["id"] for name in pair]
    merge(api, pair)
    api.post(
        manager(), ADJUST, input={"idempotencyKey": ada, "member": {"externalId": ada}, "points": -110, "reason": "X"}
    )

    payload = unmerge(api, pair, note="Father and son.").data["memberUnmerge"]

    assert payload["member"] == {"id": ids[1], "account": {"balance": 20}}
    assert payload["entry"]["mergedMemberId"] == ids[1]
    assert (payload["entry"]["points"], payload["entry"]["note"]) == (-20, "Father and son.")
    assert [api.member(name)["account"]["balance"] for name in pair] == [0, 20]
    for name, each in zip(pair, ids, strict=True):
        assert api.post(member(name), VIEWER).data["viewer"]["id"] == each
    assert [edge["node"]["__typename"] for edge in api.member(dup)["entries"]["edges"]] == [
        "ReopeningEntry",
        "MergedEntry",
        "PurchaseEntry",
        "EnrollmentEntry",
    ]
    assert api.post(support(), MERGED, by={"externalId": ada}).data["member"]["mergedMembers"] == []


def test_merges_and_undoings_sent_again_are_answered_again(api: Api, pair: tuple[str, str]) -> None:
    first = merge(api, pair).data["memberMerge"]
    with api.unchanged():
        assert merge(api, pair).data["memberMerge"] == {**first, "replayed": True}
        assert merge(api, pair, reason="OTHER").refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]

    undone = unmerge(api, pair).data["memberUnmerge"]
    with api.unchanged():
        assert unmerge(api, pair).data["memberUnmerge"] == {**undone, "replayed": True}
        # The answer is the same, the account is as it is now.
        again = merge(api, pair).data["memberMerge"]
    assert again == {**first, "replayed": True, "member": {**first["member"], "account": {"balance": 100}}}


def test_a_key_of_before_the_merge_is_answered_after_it_and_after_its_undoing(api: Api, pair: tuple[str, str]) -> None:
    _, dup = pair
    wanted = {"idempotencyKey": "r", "rewardId": "cookie"}
    first = api.post(member(dup), REDEEM, input=wanted).data["rewardRedeem"]

    for change, balance in ((merge, 115), (unmerge, 15)):
        change(api, pair)
        with api.unchanged():
            again = api.post(member(dup), REDEEM, input=wanted).data["rewardRedeem"]
        assert again == {**first, "replayed": True, "account": {"balance": balance}}


def test_after_an_undo_nobody_is_told_of_the_other_s_account(api: Api, pair: tuple[str, str]) -> None:
    _, dup = pair
    merge(api, pair)
    wanted = {"idempotencyKey": "r", "rewardId": "cookie"}
    first = api.post(member(dup), REDEEM, input=wanted).data["rewardRedeem"]
    assert first["account"] == {"balance": 115}
    unmerge(api, pair)

    again = api.post(member(dup), REDEEM, input=wanted).data["rewardRedeem"]

    # It was booked on the account they had then; what is shown is theirs.
    assert again == {**first, "replayed": True, "account": {"balance": 30}}


def test_gifts_between_two_that_became_one_stay_visible(api: Api, pair: tuple[str, str]) -> None:
    ada, dup = pair
    given = api.post(member(ada), TRANSFER, input={"idempotencyKey": "t", "to": {"externalId": dup}, "points": 5})
    transfer = given.data["pointsTransfer"]["transfer"]["id"]
    merge(api, pair)

    for name in pair:
        assert api.post(member(name), NODE, id=transfer).data["node"]["id"] == transfer
    refused = api.post(member(ada), TRANSFER, input={"idempotencyKey": "t2", "to": {"externalId": dup}, "points": 5})
    assert refused.refusals == [("TRANSFER_TO_SELF", "input.to")]


def test_what_cannot_be_merged_is_said(api: Api, pair: tuple[str, str]) -> None:
    ada, dup = pair
    assert merge(api, (ada, ada)).refusals == [("MERGE_WITH_SELF", "input.duplicate")]
    assert unmerge(api, pair).refusals == [("NOT_MERGED", "input.duplicate")]
    api.post(till(), HOLD, input={"idempotencyKey": dup, "member": {"externalId": dup}, "points": 5})
    refused = merge(api, pair)
    assert refused.refusals == [("HOLDS_OPEN", "input.duplicate")]
    assert [api.balance(name) for name in pair] == [100, 25]
    with api.unchanged():
        assert merge(api, pair).data["memberMerge"] == {**refused.data["memberMerge"], "replayed": True}


def test_a_merge_is_undone_within_30_days(api: Api, pair: tuple[str, str], clock: Clock) -> None:
    merge(api, pair)
    clock.advance(days=30)

    with api.unchanged():
        assert unmerge(api, pair).refusals == [("UNDO_WINDOW_PASSED", "input.duplicate")]
    clock.advance(milliseconds=-1)
    assert unmerge(api, pair, "in time").refusals == []
    assert account_of(api.member(pair[1])["id"]) != account_of(api.member(pair[0])["id"])
