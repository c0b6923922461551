"""DynamoDB's cheap reads may lag behind its writes by a moment; somebody who joined in that moment is a member all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from ulid_transform import ulid_now

from domain import access
from domain.access import Actor, Role
from domain.entries import Record
from domain.members import Lookup
from domain.store import Home
from handlers import program
from schema import root
from schema.context import CampaignDesk, Context, Inbox, ListDesk
from storage.cursors import Cursors
from storage.memory import Memory, MemorySubmissions
from storage.memory_campaigns import MemoryCampaigns
from storage.memory_lists import MemoryLists
from tests.domain.listing import Shelf
from tests.engines import ROOT

NOW = datetime(2030, 1, 10, 17, tzinfo=UTC)
# Nothing comes by itself: what is counted here is what callers do.
PROGRAM = replace(program.load(ROOT / "demo" / "coffee-chain.yaml"), moments=())
SCHEMA = root.build(introspection=True)
MANAGER = access.actor(Role.MANAGER, issuer="https://staff.example", subject="grace")
ADA = access.actor(Role.MEMBER, issuer="https://members.example", subject="ada")
NAMING = {"member": {"externalId": "ada"}}


class Late(Memory):
    """A store whose cheap reads have seen none of the writes yet."""

    def find_account(self, lookup: Lookup, *, strong: bool = False) -> str | None:
        return super().find_account(lookup) if strong else None

    def head(self, account: str, *, strong: bool = False) -> Record | None:
        return super().head(account) if strong else None

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        return super().home(account, entries=entries) if strong else None


@pytest.fixture
def store() -> Late:
    store = Late()
    ask(store, ADA, "mutation($input: MemberEnrollInput!) { memberEnroll(input: $input) { userErrors { code } } }",
        input={"idempotencyKey": "1", "externalId": "ada"})  # fmt: skip
    return store


def ask(store: Memory, actor: Actor, query: str, **variables: Any) -> dict[str, Any]:
    context = Context(
        actor=actor,
        now=NOW,
        store=store,
        cursors=Cursors(b"a secret of this test"),
        program_in_force=lambda: PROGRAM,
        program_of_version=lambda _version: PROGRAM,
        new_account=ulid_now,
        new_code=lambda: "0123456789",
        new_salt=lambda: b"sixteen of salt.",
        campaigns=CampaignDesk(MemoryCampaigns(store), lambda _run: None),
        lists=ListDesk(MemoryLists(), Shelf(), lambda _list: None),
        inbox=Inbox(MemorySubmissions(), lambda _messages: None, NOW),
    )
    result = SCHEMA.execute_sync(query, variable_values=variables, context_value=context)
    assert result.errors is None, result.errors
    assert result.data is not None
    return result.data


def test_who_joined_a_moment_ago_is_seen(store: Late) -> None:
    mine = ask(store, ADA, "{ viewer { id account { balance } } }")["viewer"]

    assert mine["account"] == {"balance": 0}
    for actor in (ADA, MANAGER):
        for by in ({"externalId": "ada"}, {"id": mine["id"]}):
            query = "query($by: MemberByInput!) { member(by: $by) { id } }"
            assert ask(store, actor, query, by=by)["member"] == {"id": mine["id"]}
        assert ask(store, actor, "query($id: ID!) { node(id: $id) { id } }", id=mine["id"])["node"] == {
            "id": mine["id"]
        }


def test_who_joined_a_moment_ago_earns_and_spends(store: Late) -> None:
    purchase = {**NAMING, "total": {"amountMinor": 5_000, "currency": "USD"}, "occurredAt": NOW.isoformat()}
    preview = ask(
        store, MANAGER,
        "query($input: PurchasePreviewInput!) { purchasePreview(input: $input) { points userErrors { code } } }",
        input=purchase,
    )  # fmt: skip
    recorded = ask(
        store, MANAGER,
        "mutation($input: PurchaseRecordInput!) { purchaseRecord(input: $input) { account { balance } userErrors { code } } }",
        input={**purchase, "source": "pos", "externalId": "1"},
    )  # fmt: skip
    adjusted = ask(
        store, MANAGER,
        "mutation($input: PointsAdjustInput!) { pointsAdjust(input: $input) { account { balance } userErrors { code } } }",
        input={**NAMING, "idempotencyKey": "2", "points": 5, "reason": "GOODWILL"},
    )  # fmt: skip
    redeemed = ask(
        store, ADA,
        "mutation($input: RewardRedeemInput!) { rewardRedeem(input: $input) { account { balance } userErrors { code } } }",
        input={"idempotencyKey": "3", "rewardId": "latte"},
    )  # fmt: skip

    assert preview["purchasePreview"] == {"points": 50, "userErrors": []}
    assert recorded["purchaseRecord"] == {"account": {"balance": 50}, "userErrors": []}
    assert adjusted["pointsAdjust"] == {"account": {"balance": 55}, "userErrors": []}
    assert redeemed["rewardRedeem"] == {"account": {"balance": 15}, "userErrors": []}


class Lagging(Memory):
    """A store whose cheap reads of a member miss the newest record."""

    def home(self, account: str, *, entries: int, strong: bool = False) -> Home | None:
        found = super().home(account, entries=entries + 1)
        return found if strong or found is None else Home(found.profile, found.records[1:] or found.records)


def test_a_merge_that_was_undone_a_moment_ago_shows_nobody_else() -> None:
    store = Lagging()
    enroll = "mutation($input: MemberEnrollInput!) { memberEnroll(input: $input) { member { id } } }"
    mine = ask(store, ADA, enroll, input={"idempotencyKey": "1", "externalId": "ada"})["memberEnroll"]["member"]
    ask(store, MANAGER, enroll, input={"idempotencyKey": "2", "externalId": "bob"})
    wanted = {"duplicate": {"externalId": "ada"}, "reason": "X"}
    merge = "mutation($input: MemberMergeInput!) { memberMerge(input: $input) { userErrors { code } } }"
    ask(store, MANAGER, merge, input={"idempotencyKey": "3", **wanted, "survivor": {"externalId": "bob"}})
    unmerge = "mutation($input: MemberUnmergeInput!) { memberUnmerge(input: $input) { userErrors { code } } }"
    undone = ask(store, MANAGER, unmerge, input={"idempotencyKey": "4", **wanted})
    assert undone["memberUnmerge"]["userErrors"] == []

    # The cheap read still says that Ada lives on in Bob.
    assert ask(store, ADA, "{ viewer { id } }")["viewer"] == mine
    assert ask(store, MANAGER, "query($id: ID!) { node(id: $id) { id } }", id=mine["id"])["node"] == mine
