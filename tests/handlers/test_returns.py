"""Returns through the API: what a till takes back, what it is told, and what others see of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.handlers.api import (
    BOUGHT,
    ENROLL,
    MEMBER,
    NODE,
    PURCHASE,
    REDEEM,
    RETURN,
    Api,
    global_id,
    manager,
    member,
    receipt,
    support,
    till,
)
from tests.handlers.conftest import Clock

pytestmark = pytest.mark.usefixtures("clock")

LINES = [
    {"sku": "cup", "quantity": 3, "amountMinor": 1_000},
    {"sku": "kettle", "quantity": 1, "amountMinor": 2_550},
]


def bought(api: Api, name: str, *, total: int = 3_550, lines: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A purchase of the member's called `name`, with that number."""
    wanted = receipt(name, name, total, lines=LINES if lines is None else lines)
    payload: dict[str, Any] = api.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]
    assert payload["userErrors"] == []
    return payload


def asked(number: str, return_id: str = "r1", **more: Any) -> dict[str, Any]:
    return {"source": "pos-harbor", "externalId": number, "returnId": return_id, **more}


def give_back(api: Api, number: str, return_id: str = "r1", **more: Any) -> dict[str, Any]:
    payload: dict[str, Any] = api.post(till(), RETURN, input=asked(number, return_id, **more)).data["purchaseReturn"]
    assert payload["userErrors"] == []
    return payload


def seen(api: Api, number: str) -> dict[str, Any]:
    by = {"receipt": {"source": "pos-harbor", "externalId": number}}
    found: dict[str, Any] = api.post(support(), BOUGHT, by=by).data["purchase"]
    return found


def test_a_line_comes_back_and_takes_its_points_with_it(api: Api) -> None:
    api.enroll("returns-line")
    purchase = bought(api, "returns-line")

    payload = give_back(api, "returns-line", part={"lines": [{"line": 1, "quantity": 2}]}, reason="BROKEN")

    returned = payload["purchaseReturn"]
    entry = returned.pop("entry")
    assert returned == {
        "returnId": "r1",
        "status": "BOOKED",
        "points": -6,
        "owed": 6,
        "debt": 0,
        "writtenOff": 0,
        "total": {"amountMinor": 666, "currency": "USD"},
        "lines": [{"line": 1, "quantity": 2}],
        "reason": "BROKEN",
    }
    assert (entry["points"], entry["balanceAfter"]) == (-6, 29)
    assert entry["explanation"] == [{"rule": "base", "points": -6}]
    assert payload["purchase"] == {"id": purchase["purchase"]["id"]}
    assert payload["account"] == {"balance": 29, "pending": 0, "debt": 0}
    newest = api.member("returns-line")["entries"]["edges"][0]["node"]
    assert (newest["__typename"], newest["id"]) == ("PurchaseReturnEntry", entry["id"])
    assert newest["explanation"][0]["description"] == "6 points owed for 6.66 USD returned: rule 'base' gave them."


def test_a_purchase_shows_what_came_back_of_it(api: Api, clock: Clock) -> None:
    api.enroll("returns-shown")
    purchase = bought(api, "returns-shown")
    before = seen(api, "returns-shown")
    assert (before["returned"], before["returns"]) == ({"amountMinor": 0, "currency": "USD"}, [])
    assert before["lines"] == [
        {"number": 1, "quantity": 3, "amountMinor": 1_000},
        {"number": 2, "quantity": 1, "amountMinor": 2_550},
    ]
    assert before["entry"]["points"] == purchase["entry"]["points"] == 35
    give_back(api, "returns-shown", "first", part={"amount": {"amountMinor": 1_275, "currency": "USD"}})
    clock.advance(hours=1)
    give_back(api, "returns-shown", "second")

    after = seen(api, "returns-shown")

    assert after["returned"]["amountMinor"] == 3_550
    assert [(each["returnId"], each["owed"], each["total"]["amountMinor"]) for each in after["returns"]] == [
        ("first", 12, 1_275),
        ("second", 23, 2_275),
    ]
    assert [each["at"] for each in after["returns"]] == ["2030-01-10T17:00:00.000Z", "2030-01-10T18:00:00.000Z"]
    for each in after["returns"]:
        node = api.post(support(), NODE, id=each["entry"]["id"]).data["node"]
        assert node["__typename"] == "PurchaseReturnEntry"
    by_id = api.post(till(), BOUGHT, by={"id": after["id"]}).data["purchase"]
    assert by_id == after
    whole = "query($id: ID!) { node(id: $id) { ... on Purchase { returned { amountMinor } returns { returnId } } } }"
    assert api.post(support(), whole, id=after["id"]).data["node"] == {
        "returned": {"amountMinor": 3_550},
        "returns": [{"returnId": "first"}, {"returnId": "second"}],
    }


def test_a_retry_has_the_same_answer_and_writes_nothing(quiet: Api) -> None:
    quiet.enroll("retry")
    bought(quiet, "retry")
    first = quiet.post(till(), RETURN, input=asked("retry", part={"lines": [{"line": 2, "quantity": 1}]}))

    with quiet.unchanged():
        again = quiet.post(till(), RETURN, input=asked("retry", part={"lines": [{"line": 2, "quantity": 1}]}))
        other = quiet.post(till(), RETURN, input=asked("retry", part={"lines": [{"line": 1, "quantity": 1}]}))

    assert again.body == first.body.replace('"replayed":false', '"replayed":true')
    assert other.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.returnId")]


def test_points_that_were_spent_become_a_debt_that_the_next_purchase_pays(api: Api) -> None:
    api.enroll("returns-debt")
    bought(api, "returns-debt")
    wish = {"idempotencyKey": "returns-debt", "rewardId": "cookie", "member": {"externalId": "returns-debt"}}
    spent = api.post(till(), REDEEM, input=wish).data["rewardRedeem"]["account"]["balance"]

    payload = give_back(api, "returns-debt")

    owes = 35 - spent
    assert owes > 0
    assert (payload["purchaseReturn"]["points"], payload["purchaseReturn"]["debt"]) == (-35, owes)
    assert payload["account"] == {"balance": 0, "pending": 0, "debt": owes}
    api.buy("returns-debt", 10_000)
    account = api.member("returns-debt")["account"]
    assert account["balance"] == 100 - owes


def test_a_return_before_its_purchase_is_parked_and_booked_with_it(api: Api) -> None:
    api.enroll("returns-early")
    part = {"lines": [{"line": 1, "quantity": 1}]}

    early = give_back(api, "returns-early", part=part)

    assert early["purchaseReturn"]["status"] == "PARKED"
    assert [early["purchaseReturn"][name] for name in ("points", "owed", "debt", "writtenOff", "total", "entry")] == [
        None
    ] * 6
    assert (early["purchase"], early["account"], early["replayed"]) == (None, None, False)
    assert seen(api, "returns-early") is None
    waiting = give_back(api, "returns-early", part=part)
    assert waiting == {**early, "replayed": True}

    bought(api, "returns-early")

    booked = give_back(api, "returns-early", part=part)
    assert (booked["purchaseReturn"]["status"], booked["purchaseReturn"]["points"], booked["replayed"]) == (
        "BOOKED",
        -3,
        True,
    )
    (shown,) = seen(api, "returns-early")["returns"]
    assert (shown["status"], shown["entry"]["id"]) == ("BOOKED", booked["purchaseReturn"]["entry"]["id"])
    kinds = [edge["node"]["__typename"] for edge in api.member("returns-early")["entries"]["edges"]]
    assert kinds == ["PurchaseReturnEntry", "PurchaseEntry", "EnrollmentEntry"]
    assert api.balance("returns-early") == 32


def test_nobody_returns_more_than_was_bought_and_a_no_is_final(quiet: Api) -> None:
    quiet.enroll("too-much")
    bought(quiet, "too-much")
    give_back(quiet, "too-much", "1", part={"lines": [{"line": 1, "quantity": 2}]})
    wish = asked("too-much", "2", part={"lines": [{"line": 1, "quantity": 2}]})

    first = quiet.post(till(), RETURN, input=wish)
    with quiet.unchanged():
        again = quiet.post(manager(), RETURN, input=wish)

    assert first.refusals == again.refusals == [("RETURN_EXCEEDS_PURCHASE", "input.part.lines")]
    payloads = [answer.data["purchaseReturn"] for answer in (first, again)]
    assert [payload["replayed"] for payload in payloads] == [False, True]
    assert [payload["purchaseReturn"] for payload in payloads] == [None, None]
    assert [each["returnId"] for each in seen(quiet, "too-much")["returns"]] == ["1"]
    assert quiet.balance("too-much") == 29


def test_a_till_that_names_the_member_takes_from_nobody_else(quiet: Api) -> None:
    for name in ("named", "another"):
        quiet.enroll(name)
    bought(quiet, "named")

    with quiet.unchanged():
        answer = quiet.post(till(), RETURN, input=asked("named", member={"externalId": "another"}))

    assert answer.refusals == [("PURCHASE_NOT_FOUND", "input.member")]
    assert give_back(quiet, "named", member={"externalId": "named"})["account"]["balance"] == 0


def test_members_see_their_own_purchases_and_no_others(quiet: Api) -> None:
    me = member("returns-me")
    quiet.post(me, ENROLL, input={"idempotencyKey": "1", "externalId": "mine"})
    quiet.enroll("theirs")
    for name in ("mine", "theirs"):
        bought(quiet, name)
    give_back(quiet, "mine", part={"amount": {"amountMinor": 500, "currency": "USD"}})

    def by(number: str) -> dict[str, Any]:
        return {"receipt": {"source": "pos-harbor", "externalId": number}}

    mine = quiet.post(me, BOUGHT, by=by("mine")).data["purchase"]
    assert mine == seen(quiet, "mine")
    assert mine["returned"]["amountMinor"] == 500
    theirs = quiet.post(me, BOUGHT, by=by("theirs"))
    nobodys = quiet.post(me, BOUGHT, by=by("nobodys"))
    assert theirs.body == nobodys.body == '{"data":{"purchase":null}}'
    assert quiet.post(me, BOUGHT, by={"id": global_id("Purchase", "pos-harbor:theirs")}).data == {"purchase": None}
    assert quiet.post(member("nobody-yet"), BOUGHT, by=by("mine")).data == {"purchase": None}


def test_a_member_returns_nothing_themselves(quiet: Api) -> None:
    me = member("returns-self")
    quiet.post(me, ENROLL, input={"idempotencyKey": "1", "externalId": "self"})
    bought(quiet, "self")

    with quiet.unchanged():
        answer = quiet.post(me, RETURN, input=asked("self"))

    assert answer.faults == [("FORBIDDEN", None)]


@pytest.mark.parametrize("by", ["receipt", "id"])
def test_a_purchase_nobody_made_is_null(api: Api, by: str) -> None:
    number = {"source": "pos-harbor", "externalId": "never"}
    named = {"receipt": number} if by == "receipt" else {"id": global_id("Purchase", "pos-harbor:never")}

    for caller in (till(), support(), manager()):
        assert api.post(caller, BOUGHT, by=named).data == {"purchase": None}
    for odd in ("", "pos-harbor", "pos-harbor:", ":never", "~r.pos:x"):
        assert api.post(support(), NODE, id=global_id("Purchase", odd)).data == {"node": None}


def test_a_history_pages_over_returns_that_were_refused_with_their_purchase(quiet: Api) -> None:
    """A no in the log is nobody's history."""
    quiet.enroll("hidden")
    for number, amount in enumerate((3_000, 3_000)):
        give_back(quiet, "hidden", str(number), part={"amount": {"amountMinor": amount, "currency": "USD"}})
    bought(quiet, "hidden")

    page = quiet.post(support(), MEMBER, by={"externalId": "hidden"}, first=10).data["member"]["entries"]

    assert [edge["node"]["points"] for edge in page["edges"]] == [-29, 35, 0]
    refused = quiet.post(
        till(), RETURN, input=asked("hidden", "1", part={"amount": {"amountMinor": 3_000, "currency": "USD"}})
    )
    assert refused.refusals == [("RETURN_EXCEEDS_PURCHASE", "input.part")]
    assert refused.data["purchaseReturn"]["replayed"]
