"""Every operation's story through the Lambda handler, in the shapes that scripts outside rely on."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from storage.table import Table
from tests.engines import Engine
from tests.handlers.api import (
    ADJUST,
    ENROLL,
    MEMBER,
    NODE,
    PREVIEW,
    PURCHASE,
    REDEEM,
    REWARDS,
    VIEWER,
    Api,
    Claims,
    account_of,
    deployed,
    global_id,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.conftest import Clock


@pytest.fixture
def ada() -> str:
    """An external id that no other test uses."""
    return f"ada-{uuid4().hex[:12]}"


@pytest.fixture
def bob() -> str:
    return f"bob-{uuid4().hex[:12]}"


# --- enrolling ----------------------------------------------------------------------------------------------------------


def test_a_till_enrolls_a_member_with_an_empty_account(api: Api, ada: str) -> None:
    wanted = {
        "idempotencyKey": f"sign-up {ada}",
        "externalId": ada,
        "email": f"{ada}@Example.com",
        "phone": f"+1 (555) {int(ada[4:], 16) % 10**7:07}",
        "name": "Ada Lovelace",
    }

    answer = api.post(till(), ENROLL, input=wanted)

    payload = answer.data["memberEnroll"]
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert payload == {
        "member": {"id": payload["member"]["id"], "externalId": ada, "account": {"balance": 0}},
        "replayed": False,
        "userErrors": [],
    }
    seen = api.post(support(), "query($id: ID!) { member(by: {id: $id}) { name email phone cardNumber enrolledAt } }",
                    id=payload["member"]["id"]).data["member"]  # fmt: skip
    assert seen.pop("enrolledAt").endswith("Z")
    assert seen == {
        "name": "Ada Lovelace",
        "email": f"{ada}@example.com",
        "phone": "+1555" + f"{int(ada[4:], 16) % 10**7:07}",
        "cardNumber": None,
    }


@pytest.mark.parametrize(
    "contact",
    [
        {"externalId": "crm-only-{}"},
        {"email": "only-{}@example.com"},
        {"phone": "+44{}"},
        {"cardNumber": "only 8000-{}"},
    ],
    ids=lambda contact: next(iter(contact)),
)
def test_one_contact_or_external_id_is_enough(api: Api, contact: dict[str, str]) -> None:
    number = str(uuid4().int)[:12]
    given = {name: value.format(number) for name, value in contact.items()}

    payload = api.post(till(), ENROLL, input={"idempotencyKey": f"sign-up {number}", **given}).data["memberEnroll"]

    assert payload["userErrors"] == []
    assert api.post(till(), MEMBER, by=given).data["member"]["id"] == payload["member"]["id"]


def test_enrolling_again_with_the_key_is_answered_with_the_same_member(api: Api, ada: str) -> None:
    wanted = {"idempotencyKey": f"sign-up {ada}", "externalId": ada, "name": "Ada"}
    first = api.post(till(), ENROLL, input=wanted).data["memberEnroll"]

    with api.unchanged():
        again = api.post(till(), ENROLL, input=wanted).data["memberEnroll"]

    assert again == {**first, "replayed": True}


@pytest.mark.parametrize("change", [{"name": "Eve"}, {"name": None}, {"externalId": "somebody-else"}])
def test_an_enrolling_key_with_other_input_is_refused(api: Api, ada: str, change: dict[str, str | None]) -> None:
    wanted = {"idempotencyKey": f"sign-up {ada}", "externalId": ada, "name": "Ada"}
    api.post(till(), ENROLL, input=wanted)

    with api.unchanged():
        answer = api.post(till(), ENROLL, input={**wanted, **change})

    assert answer.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]
    assert answer.data["memberEnroll"]["member"] is None


def test_callers_keys_are_their_own(api: Api, ada: str, bob: str) -> None:
    """Two tills that number from 1 do not meet, whatever they call the key."""
    first = api.post(till(client="till-one"), ENROLL, input={"idempotencyKey": "1", "externalId": ada})
    second = api.post(till(client="till-two"), ENROLL, input={"idempotencyKey": "1", "externalId": bob})

    assert first.refusals == second.refusals == []
    assert not second.data["memberEnroll"]["replayed"]


@pytest.mark.parametrize(
    ("field", "first", "second"),
    [
        ("externalId", "crm-{}", " crm-{} "),
        ("email", "Ada.{}@Example.com", "ada.{}@EXAMPLE.com"),
        ("phone", "+33{}", "+33 ({})"),
        ("cardNumber", "9000-{}", "9000-{}"),
    ],
)
def test_a_contact_belongs_to_one_member_however_it_is_written(api: Api, field: str, first: str, second: str) -> None:
    number = str(uuid4().int)[:12]
    api.post(till(), ENROLL, input={"idempotencyKey": f"first {number}", field: first.format(number)})
    wanted = {"idempotencyKey": f"second {number}", field: second.format(number)}

    answer = api.post(till(), ENROLL, input=wanted)

    assert answer.refusals == [("ALREADY_ENROLLED", f"input.{field}")]
    # The no is final for its key, and told as a replay.
    with api.unchanged():
        again = api.post(till(), ENROLL, input=wanted).data["memberEnroll"]
    assert again == {**answer.data["memberEnroll"], "replayed": True}


def test_members_enroll_themselves_once(api: Api, ada: str) -> None:
    me = member(ada)
    assert api.post(me, VIEWER).data == {"viewer": None}

    enrolled = api.post(me, ENROLL, input={"idempotencyKey": "1", "email": f"{ada}@example.com"}).data["memberEnroll"]

    assert enrolled["userErrors"] == []
    assert api.post(me, VIEWER).data == {"viewer": {"id": enrolled["member"]["id"], "account": {"balance": 0}}}
    again = api.post(me, ENROLL, input={"idempotencyKey": "2", "email": f"{ada}@example.org"})
    assert again.refusals == [("ALREADY_ENROLLED", None)]
    assert api.post(me, MEMBER, by={"email": f"{ada}@example.org"}).data == {"member": None}


def test_a_member_whose_token_names_the_account_is_enrolled_already(api: Api, ada: str) -> None:
    """A till enrolled Ada, and her login was linked to the account by its claim: she has no second account to open."""
    me = member(ada, account=account_of(api.enroll(ada)))
    assert api.post(me, VIEWER).data["viewer"]["account"] == {"balance": 0}

    answer = api.post(me, ENROLL, input={"idempotencyKey": "1", "email": f"{ada}@example.com"})

    assert answer.refusals == [("ALREADY_ENROLLED", None)]


def test_a_name_may_be_written_in_any_script(api: Api, ada: str) -> None:
    """An ideographic space, a joiner of Persian, a family: none of them is a control character."""
    names = ("山田\u3000太郎", "می\u200cخواهم", "Jean\u00a0Valjean", "👩\u200d👧", "Ζωή", "Nguyễn Thị")  # noqa: RUF001 (not Latin at all)
    for number, name in enumerate(names):
        wanted = {"idempotencyKey": f"{ada} {number}", "externalId": f"{ada} {number}", "name": name}
        assert api.post(till(), ENROLL, input=wanted).refusals == []
        found = api.post(
            support(), "query($x: String!) { member(by: {externalId: $x}) { name } }", x=wanted["externalId"]
        )
        assert found.data == {"member": {"name": name}}


# --- purchases ----------------------------------------------------------------------------------------------------------


def test_a_purchase_becomes_points(api: Api, ada: str, clock: Clock) -> None:
    member_id = api.enroll(ada)
    wanted = receipt(
        ada, ada, 1295, occurredAt="2030-01-10T11:58:00-05:00", location="harbor", channel="store",
        lines=[
            {"sku": "latte-l", "category": "coffee", "quantity": 2, "amountMinor": 900},
            {"sku": "croissant", "category": "bakery", "quantity": 1, "amountMinor": 395},
        ],
    )  # fmt: skip

    payload = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]

    purchase_id = global_id("Purchase", f"pos-harbor:{ada}")
    assert payload == {
        "purchase": {"id": purchase_id},
        "entry": {"points": 12, "balanceAfter": 12, "explanation": [{"rule": "base", "points": 12}]},
        "replayed": False,
        "userErrors": [],
    }
    seen = api.member(ada)
    assert seen["id"] == member_id
    assert seen["account"] == {"balance": 12, "pending": 0, "expiring": [{"on": "2032-01-31", "points": 12}]}
    newest = seen["entries"]["edges"][0]["node"]
    assert newest == {
        "__typename": "PurchaseEntry",
        "id": newest["id"],
        "at": "2030-01-10T17:00:00.000Z",
        "points": 12,
        "balanceAfter": 12,
        "explanation": [
            {"rule": "base", "points": 12, "description": newest["explanation"][0]["description"]},
        ],
    }
    assert "12.95 USD" in newest["explanation"][0]["description"]
    kept = api.post(
        support(),
        """query($id: ID!) { node(id: $id) { ... on Purchase {
             source externalId occurredAt total { amountMinor currency } location channel
             lines { sku category quantity amountMinor } } } }""",
        id=purchase_id,
    ).data["node"]
    assert kept == {
        "source": "pos-harbor",
        "externalId": ada,
        "occurredAt": "2030-01-10T16:58:00.000Z",
        "total": {"amountMinor": 1295, "currency": "USD"},
        "location": "harbor",
        "channel": "store",
        "lines": wanted["lines"],
    }


@pytest.mark.parametrize("kind", ["id", "externalId", "email", "phone", "cardNumber"])
def test_a_till_names_the_member_in_any_way(api: Api, ada: str, kind: str) -> None:
    number = f"{int(ada[4:], 16) % 10**10:010}"
    details = {"email": f"{ada}@example.com", "phone": f"+49{number}", "cardNumber": f"4000-{number}"}
    names = {"id": api.enroll(ada, None, **details), "externalId": ada, **details}

    answer = api.post(till(), PURCHASE, input={**receipt(ada, ada, 500), "member": {kind: names[kind]}})

    assert answer.refusals == []
    assert api.balance(ada) == 5


def test_a_purchase_sent_again_is_answered_again(api: Api, ada: str) -> None:
    api.enroll(ada)
    wanted = receipt(ada, ada, 1295, lines=[{"sku": "latte-l", "quantity": 2, "amountMinor": 1295}])
    first = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]
    api.buy(ada, 700)

    with api.unchanged():
        again = api.post(till(client="another-till"), PURCHASE, input=wanted).data["purchaseRecord"]

    assert again == {**first, "replayed": True}
    assert api.balance(ada) == 12 + 7


def test_the_account_of_a_replayed_answer_is_read_now(api: Api, ada: str) -> None:
    api.enroll(ada)
    wanted = receipt(ada, ada, 1200)
    query = PURCHASE.replace("replayed", "account { balance } entry { id } replayed")
    first = api.post(till(), query, input=wanted).data["purchaseRecord"]
    api.buy(ada, 700)

    again = api.post(till(), query, input=wanted).data["purchaseRecord"]

    assert first["account"] == {"balance": 12}
    assert again == {**first, "account": {"balance": 19}, "replayed": True}


def test_one_instant_is_the_same_input_in_every_offset(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    api.post(till(), PURCHASE, input=receipt(ada, ada, 500, occurredAt="2030-01-10T16:00:00Z"))

    again = api.post(till(), PURCHASE, input=receipt(ada, ada, 500, occurredAt="2030-01-10T18:00:00.0004+02:00"))

    assert again.data["purchaseRecord"]["replayed"]


def test_a_purchase_sent_again_after_two_years_is_answered_still(api: Api, ada: str, clock: Clock) -> None:
    """By then it is too old to be recorded; that must not change the answer to a till that never heard the first."""
    api.enroll(ada)
    wanted = receipt(ada, ada, 500)
    first = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]
    clock.advance(days=730)

    with api.unchanged():
        again = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]

    assert again == {**first, "replayed": True}


LINE = {"sku": "tea", "category": None, "quantity": 1, "amountMinor": 1295}


@pytest.mark.parametrize(
    "change",
    [
        {"total": {"amountMinor": 1296, "currency": "USD"}, "lines": []},
        {"occurredAt": "2030-01-10T16:59:59Z"},
        {"location": "station"},
        {"location": None},
        {"channel": "app"},
        {"lines": []},
        {"lines": [{**LINE, "sku": "coffee"}]},
        {"lines": [{**LINE, "category": "hot"}]},
        {"lines": [{**LINE, "quantity": 2}]},
        {"lines": [{**LINE, "amountMinor": 1294}, {**LINE, "amountMinor": 1}]},
        {"member": {"externalId": "{bob}"}},
    ],
    ids=str,
)
def test_a_receipt_number_with_another_receipt_is_refused(
    api: Api, ada: str, bob: str, clock: Clock, change: dict[str, Any]
) -> None:
    api.enroll(ada)
    api.enroll(bob)
    wanted = receipt(ada, ada, 1295, location="harbor", lines=[LINE])
    first = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]
    if "member" in change:
        change = {"member": {"externalId": bob}}

    with api.unchanged():
        answer = api.post(till(), PURCHASE, input={**wanted, **change})

    assert answer.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.externalId")]
    payload = answer.data["purchaseRecord"]
    assert (payload["purchase"], payload["entry"], payload["replayed"]) == (None, None, False)
    # The key still stands for what it was first used for.
    assert api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"] == {**first, "replayed": True}


def test_the_same_receipt_twice_in_one_request_is_one_purchase(api: Api, ada: str) -> None:
    api.enroll(ada)
    twice = """mutation Twice($input: PurchaseRecordInput!) {
      first: purchaseRecord(input: $input) { entry { id } replayed userErrors { code } }
      second: purchaseRecord(input: $input) { entry { id } replayed userErrors { code } }
    }"""

    answer = api.post(till(), twice, input=receipt(ada, ada, 500)).data

    assert (answer["first"]["replayed"], answer["second"]["replayed"]) == (False, True)
    assert answer["first"]["entry"] == answer["second"]["entry"]
    assert api.balance(ada) == 5


def test_a_purchase_without_a_time_happened_now_also_for_its_retry(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    query = PURCHASE.replace("purchase { id }", "purchase { id occurredAt }")
    wanted = receipt(ada, ada, 500)
    del wanted["occurredAt"]
    first = api.post(till(), query, input=wanted).data["purchaseRecord"]
    clock.advance(hours=30)

    with api.unchanged():
        again = api.post(till(), query, input={**wanted, "occurredAt": None}).data["purchaseRecord"]
        dated = api.post(till(), query, input={**wanted, "occurredAt": "2030-01-10T17:00:00Z"})

    assert first["purchase"]["occurredAt"] == "2030-01-10T17:00:00.000Z"
    assert again == {**first, "replayed": True}
    assert dated.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.externalId")]


def test_a_clock_five_minutes_ahead_is_forgiven(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)

    answer = api.post(till(), PURCHASE, input=receipt(ada, ada, 500, occurredAt="2030-01-10T17:05:00Z"))

    assert answer.refusals == []


def test_sources_number_their_receipts_apart(api: Api, ada: str) -> None:
    api.enroll(ada)
    for source in ("pos-harbor", "pos-market", "web.shop_2"):
        answer = api.post(till(), PURCHASE, input={**receipt(ada, ada, 300), "source": source})
        assert not answer.data["purchaseRecord"]["replayed"]

    assert api.balance(ada) == 9


@pytest.mark.parametrize(
    ("amount", "points"), [(0, 0), (1, 0), (99, 0), (100, 1), (199, 1), (89_638, 896), (10**12, 10**10)]
)
def test_a_point_for_each_whole_dollar_of_the_order(api: Api, ada: str, amount: int, points: int) -> None:
    api.enroll(ada)

    payload = api.buy(ada, amount)

    assert payload["entry"] == {
        "points": points,
        "balanceAfter": points,
        "explanation": [{"rule": "base", "points": points}],
    }
    expiring = api.member(ada)["account"]["expiring"]
    assert [each["points"] for each in expiring] == ([points] if points else [])


@pytest.mark.parametrize(
    ("total", "lines"),
    [
        (0, []),
        (0, [{"quantity": 0, "amountMinor": 0}]),
        (0, [{"sku": "bag", "quantity": 1, "amountMinor": 0}] * 200),
        (750, [{"quantity": 89_638, "amountMinor": 750}, {"quantity": 0, "amountMinor": 0}]),
        (750, [{"quantity": 1_000_000, "amountMinor": 750, "sku": "x" * 64, "category": "🍰" * 64}]),
    ],
    ids=["no lines", "a zero line", "200 lines of nothing", "grams", "the largest line"],
)
def test_whatever_a_real_till_sends_is_recorded(api: Api, ada: str, total: int, lines: list[dict[str, Any]]) -> None:
    api.enroll(ada)

    payload = api.post(till(), PURCHASE, input=receipt(ada, ada, total, lines=lines)).data["purchaseRecord"]

    assert payload["userErrors"] == []
    assert payload["entry"]["points"] == total // 100
    assert api.balance(ada) == total // 100


def test_a_place_the_program_does_not_know_is_accepted_and_kept(api: Api, ada: str) -> None:
    api.enroll(ada)
    wanted = receipt(ada, ada, 500, location="food truck №7", channel="cash only")
    query = PURCHASE.replace("points balanceAfter", "location channel points balanceAfter")

    entry = api.post(till(), query, input=wanted).data["purchaseRecord"]["entry"]

    assert (entry["location"], entry["channel"], entry["points"]) == ("food truck №7", "cash only", 5)


def test_a_preview_tells_what_recording_will_do_and_writes_nothing(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    api.buy(ada, 700)
    wanted = receipt(f"{ada}-2", ada, 1295, location="harbor", lines=[LINE])
    asked = {name: value for name, value in wanted.items() if name not in ("source", "externalId")}

    with api.unchanged():
        preview = api.post(till(), PREVIEW, input=asked).data["purchasePreview"]

    assert preview == {
        "points": 12,
        "balanceAfter": 19,
        "expiresOn": "2032-01-31",
        "explanation": [{"rule": "base", "points": 12}],
        "userErrors": [],
    }
    entry = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]["entry"]
    assert entry == {name: preview[name] for name in ("points", "balanceAfter", "explanation")}


def test_a_preview_without_a_time_is_of_now(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    clock.advance(days=31)

    asked = {"member": {"externalId": ada}, "total": {"amountMinor": 500, "currency": "USD"}}
    preview = api.post(manager(), PREVIEW, input=asked).data["purchasePreview"]

    assert (preview["points"], preview["expiresOn"]) == (5, "2032-02-29")


# --- rewards ------------------------------------------------------------------------------------------------------------


def test_a_till_redeems_a_reward_for_a_member(api: Api, ada: str) -> None:
    api.enroll(ada)
    api.buy(ada, 10_000)
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "rewardId": "latte"}

    payload = api.post(till(), REDEEM, input=wanted).data["rewardRedeem"]

    redemption = payload["redemption"]
    assert payload == {
        "redemption": {"id": redemption["id"], "code": redemption["code"]},
        "account": {"balance": 60},
        "replayed": False,
        "userErrors": [],
    }
    assert len(redemption["code"]) == 10
    seen = api.post(
        support(),
        """query($id: ID!) { node(id: $id) { ... on Redemption { code rewardHandle cost redeemedAt } } }""",
        id=redemption["id"],
    ).data["node"]
    assert (seen["code"], seen["rewardHandle"], seen["cost"]) == (redemption["code"], "latte", 40)
    newest = api.member(ada)["entries"]["edges"][0]["node"]
    assert (newest["__typename"], newest["points"], newest["balanceAfter"]) == ("RedemptionEntry", -40, 60)
    assert [(line["rule"], line["points"]) for line in newest["explanation"]] == [("reward:latte", -40)]
    assert "A latte" in newest["explanation"][0]["description"]


def test_a_redemption_sent_again_is_answered_again(api: Api, ada: str) -> None:
    api.enroll(ada)
    api.buy(ada, 10_000)
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "rewardId": "latte"}
    first = api.post(till(), REDEEM, input=wanted).data["rewardRedeem"]

    with api.unchanged():
        again = api.post(till(), REDEEM, input=wanted).data["rewardRedeem"]

    assert again == {**first, "replayed": True}


def test_a_reward_is_named_by_its_id_or_its_handle(api: Api, ada: str) -> None:
    api.enroll(ada)
    api.buy(ada, 10_000)
    ids = {
        node["handle"]: node["id"]
        for node in api.post(till(), "{ rewards { nodes { id handle } } }").data["rewards"]["nodes"]
    }
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "rewardId": ids["latte"]}
    first = api.post(till(), REDEEM, input=wanted).data["rewardRedeem"]

    assert first["account"] == {"balance": 60}
    # The same reward, so the same input.
    again = api.post(till(), REDEEM, input={**wanted, "rewardId": "latte"}).data["rewardRedeem"]
    assert again == {**first, "replayed": True}


def test_a_redeeming_key_with_another_reward_or_member_is_refused(api: Api, ada: str, bob: str) -> None:
    for name in (ada, bob):
        api.enroll(name)
        api.buy(name, 10_000)
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "rewardId": "latte"}
    api.post(till(), REDEEM, input=wanted)

    with api.unchanged():
        other_reward = api.post(till(), REDEEM, input={**wanted, "rewardId": "cookie"})
        other_member = api.post(till(), REDEEM, input={**wanted, "member": {"externalId": bob}})

    for answer in (other_reward, other_member):
        assert answer.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]
        assert answer.data["rewardRedeem"]["redemption"] is None
    assert (api.balance(ada), api.balance(bob)) == (60, 100)


def test_a_member_redeems_for_themselves(api: Api, ada: str) -> None:
    me = member(ada)
    email = f"{ada}@example.com"
    api.post(me, ENROLL, input={"idempotencyKey": "sign-up", "email": email, "externalId": ada})
    api.buy(ada, 10_000)

    unnamed = api.post(me, REDEEM, input={"idempotencyKey": "1", "rewardId": "cookie"}).data["rewardRedeem"]
    named = api.post(me, REDEEM, input={"idempotencyKey": "2", "rewardId": "cookie", "member": {"email": email}})

    assert unnamed["account"] == {"balance": 85}
    assert named.data["rewardRedeem"]["account"] == {"balance": 70}


def test_a_member_who_is_not_enrolled_has_nothing_to_redeem(api: Api, ada: str) -> None:
    for me in (member(ada), member(ada, account="01JNOSUCHACC0UNTANYWHERE00")):
        with api.unchanged():
            answer = api.post(me, REDEEM, input={"idempotencyKey": "1", "rewardId": "cookie"})
        assert answer.refusals == [("MEMBER_NOT_FOUND", "input.member")]


def test_a_no_is_final_for_its_key(api: Api, ada: str) -> None:
    """A caller who was told no may have told the member; no later delivery of the same call may spend the points."""
    api.enroll(ada)
    api.buy(ada, 3_900)
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "rewardId": "latte"}

    refused = api.post(till(), REDEEM, input=wanted)

    assert refused.refusals == [("INSUFFICIENT_POINTS", "input.rewardId")]
    assert api.balance(ada) == 39
    api.buy(ada, 100)
    with api.unchanged():
        again = api.post(till(), REDEEM, input=wanted).data["rewardRedeem"]
    assert again == {**refused.data["rewardRedeem"], "replayed": True}
    assert api.post(till(), REDEEM, input={**wanted, "idempotencyKey": f"{ada} 2"}).data["rewardRedeem"]["account"] == {
        "balance": 0
    }


def test_a_reward_that_does_not_exist_is_refused_and_forgotten(api: Api, ada: str) -> None:
    api.enroll(ada)
    api.buy(ada, 10_000)
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}}

    for reward_id in ("espresso", "", "LATTE", global_id("Reward", "espresso"), global_id("Member", "latte"), 7):
        with api.unchanged():
            answer = api.post(till(), REDEEM, input={**wanted, "rewardId": reward_id})
        assert answer.refusals == [("REWARD_NOT_FOUND", "input.rewardId")], reward_id
    assert api.post(till(), REDEEM, input={**wanted, "rewardId": "latte"}).refusals == []


def test_the_catalog_comes_in_pages_in_the_order_of_the_program(api: Api) -> None:
    handles, after, pages = [], None, 0
    while True:
        page = api.post(till(), REWARDS, first=4, after=after).data["rewards"]
        handles += [edge["node"]["handle"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (pages > 0)
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        pages, after = pages + 1, page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert handles == ["cookie", "filter-coffee", "latte", "breakfast", "beans", "tasting", "harvest"]
    assert pages == 2
    beyond = api.post(till(), REWARDS, first=4, after=after).data["rewards"]
    assert beyond["edges"] == []
    assert beyond["pageInfo"] == {
        "hasNextPage": False, "hasPreviousPage": True, "startCursor": None, "endCursor": None
    }  # fmt: skip


# --- adjustments --------------------------------------------------------------------------------------------------------


def test_a_manager_corrects_a_balance_with_a_reason(api: Api, ada: str, clock: Clock) -> None:
    api.enroll(ada)
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "points": 50, "reason": "GOODWILL"}

    added = api.post(manager(), ADJUST, input=wanted).data["pointsAdjust"]
    taken = api.post(manager(), ADJUST, input={**wanted, "idempotencyKey": f"{ada} 2", "points": -20}).data[
        "pointsAdjust"
    ]

    assert added == {
        "entry": {"id": added["entry"]["id"], "points": 50, "balanceAfter": 50, "reason": "GOODWILL"},
        "account": {"balance": 50},
        "replayed": False,
        "userErrors": [],
    }
    assert (taken["entry"]["points"], taken["account"]) == (-20, {"balance": 30})
    seen = api.member(ada)
    assert seen["account"]["expiring"] == [{"on": "2032-01-31", "points": 30}]
    assert [
        (edge["node"]["__typename"], edge["node"]["explanation"][0]["rule"]) for edge in seen["entries"]["edges"][:2]
    ] == [("AdjustmentEntry", "adjustment:GOODWILL")] * 2


def test_an_adjustment_sent_again_is_answered_again_and_its_key_serves_nothing_else(
    api: Api, ada: str, bob: str
) -> None:
    for name in (ada, bob):
        api.enroll(name)
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "points": 50, "reason": "GOODWILL"}
    first = api.post(manager(), ADJUST, input=wanted).data["pointsAdjust"]

    with api.unchanged():
        again = api.post(manager(), ADJUST, input=wanted).data["pointsAdjust"]
        others = [
            api.post(manager(), ADJUST, input={**wanted, **change})
            for change in ({"points": 51}, {"reason": "CORRECTION"}, {"member": {"externalId": bob}})
        ]

    assert again == {**first, "replayed": True}
    for answer in others:
        assert answer.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


def test_a_key_serves_one_operation(api: Api, ada: str) -> None:
    api.enroll(ada)
    api.buy(ada, 10_000)
    naming = {"idempotencyKey": ada, "member": {"externalId": ada}}
    api.post(manager(), ADJUST, input={**naming, "points": 50, "reason": "GOODWILL"})

    with api.unchanged():
        redeemed = api.post(manager(), REDEEM, input={**naming, "rewardId": "latte"})
        enrolled = api.post(manager(), ENROLL, input={"idempotencyKey": ada, "externalId": f"{ada} again"})

    for answer in (redeemed, enrolled):
        assert answer.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


def test_no_adjustment_takes_more_than_there_is(api: Api, ada: str) -> None:
    api.enroll(ada)
    api.buy(ada, 2_000)
    wanted = {"idempotencyKey": ada, "member": {"externalId": ada}, "points": -21, "reason": "CORRECTION"}

    refused = api.post(manager(), ADJUST, input=wanted)

    assert refused.refusals == [("INSUFFICIENT_POINTS", "input.points")]
    assert api.balance(ada) == 20
    assert [edge["node"]["__typename"] for edge in api.member(ada)["entries"]["edges"]] == [
        "PurchaseEntry",
        "EnrollmentEntry",
    ]
    api.buy(ada, 100)
    with api.unchanged():
        again = api.post(manager(), ADJUST, input=wanted).data["pointsAdjust"]
    assert again == {**refused.data["pointsAdjust"], "replayed": True}


# --- what can be fetched again ------------------------------------------------------------------------------------------


def test_everything_with_an_id_can_be_fetched_again(api: Api, ada: str) -> None:
    member_id = api.enroll(ada)
    purchase = api.buy(ada, 10_000)["purchase"]["id"]
    naming = {"idempotencyKey": ada, "member": {"externalId": ada}}
    redemption = api.post(till(), REDEEM, input={**naming, "rewardId": "latte"}).data["rewardRedeem"]["redemption"][
        "id"
    ]
    api.post(manager(), ADJUST, input={**naming, "points": 5, "reason": "GOODWILL"})
    entries = [edge["node"] for edge in api.member(ada)["entries"]["edges"]]

    expected = {
        member_id: "Member",
        purchase: "Purchase",
        redemption: "Redemption",
        global_id("Reward", "latte"): "Reward",
        **{entry["id"]: entry["__typename"] for entry in entries},
    }

    assert len(expected) == 8
    for each, kind in expected.items():
        assert api.post(support(), NODE, id=each).data == {"node": {"__typename": kind, "id": each}}
    again = api.post(
        support(),
        """query($id: ID!) { node(id: $id) { ... on Entry {
             __typename id at points balanceAfter explanation { rule points description } } } }""",
        id=entries[0]["id"],
    )
    assert again.data["node"] == entries[0]


def test_an_id_of_nothing_is_null(api: Api, ada: str) -> None:
    account = account_of(api.enroll(ada))
    nothing = [
        "", "x", "é", "!!!!", "AAAA", global_id("Member", ""), global_id("Member", "nobody"), global_id("Tier", "gold"),
        global_id("Entry", account), global_id("Entry", f"{account}:"), global_id("Entry", f"{account}:1"),
        global_id("Entry", f"{account}:0:0"), global_id("Entry", f"{account}:1:1"), global_id("Entry", f"{account}:2:0"),
        global_id("Entry", f"{account}:-1:0"), global_id("Entry", f"{account}:²:0"), global_id("Entry", f"{account}:1:0:0"),
        global_id("Entry", f"{account}:99999999999:0"), global_id("Redemption", f"{account}:1:0"),
        global_id("Purchase", "pos-harbor"), global_id("Purchase", "pos-harbor:"), global_id("Purchase", ":1"),
        global_id("Purchase", f"~p.x:enroll {ada}"), global_id("Reward", "espresso"), 17,
    ]  # fmt: skip

    for each in nothing:
        assert api.post(support(), NODE, id=each).body == '{"data":{"node":null}}', each


@pytest.mark.parametrize("kind", ["Member", "Entry", "Redemption", "Purchase", "Reward"])
def test_an_id_too_long_for_a_key_is_nothing_and_asks_the_table_nothing(
    api: Api, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of DynamoDB has at most 2,048 bytes, and it answers a longer one with an error. The engines here let some pass."""
    requests: list[dict[str, Any]] = []
    call = Table._call

    def noted(table: Table, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        return call(table, operation, request)

    monkeypatch.setattr(Table, "_call", noted)
    for key in ("x" * 2_100, "€" * 700, f"{'x' * 2_100}:1:0", f"pos-harbor:{'x' * 2_100}"):
        assert api.post(manager(), NODE, id=global_id(kind, key)).data == {"node": None}
        if kind == "Member":
            assert api.post(manager(), MEMBER, by={"id": global_id(kind, key)}).complaints in (
                [], [("BAD_USER_INPUT", "by.id")]
            )  # fmt: skip
    keys = [value["S"] for request in requests for value in request.get("ExpressionAttributeValues", {}).values()]
    assert max((len(key.encode()) for key in keys), default=0) <= 2_048


# --- a stack without a program ------------------------------------------------------------------------------------------


def test_before_a_program_is_published_every_operation_says_so_and_writes_nothing(ministack: Engine) -> None:
    with deployed(ministack, "regulars-without-program", file=None) as api:
        naming = {"idempotencyKey": "1", "member": {"externalId": "ada"}}
        asked: list[tuple[Claims, str, dict[str, Any]]] = [
            (till(), ENROLL, {"input": {"idempotencyKey": "1", "externalId": "ada"}}),
            (till(), PURCHASE, {"input": receipt("1", "ada", 500)}),
            (till(), REDEEM, {"input": {**naming, "rewardId": "latte"}}),
            (manager(), ADJUST, {"input": {**naming, "points": 5, "reason": "GOODWILL"}}),
            (till(), REWARDS, {}),
        ]
        for caller, query, variables in asked:
            assert api.post(caller, query, **variables).faults == [("PROGRAM_NOT_PUBLISHED", None)]
        assert api.items() == {}
