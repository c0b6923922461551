"""Changing personal data through the API, for members themselves and by the shop."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import pytest

from tests.handlers.api import (
    BLOCK,
    CLOSE,
    ENROLL,
    MEMBER,
    UPDATE,
    VIEWER,
    Answer,
    Api,
    Claims,
    manager,
    member,
    support,
    till,
)
from tests.handlers.conftest import Clock


@pytest.fixture
def ada(api: Api, clock: Clock) -> str:
    """A member whom no other test uses, with a login of the same name; the external id."""
    external_id = f"ada-{uuid4().hex[:12]}"
    api.enroll(external_id, member(external_id), email=f"{external_id}@example.com", name="Ada")
    return external_id


def update(api: Api, who: str, key: str = "k", caller: Claims | None = None, **changes: Any) -> Answer:
    wanted = {"idempotencyKey": f"{key} {who}", **changes}
    if caller is None:
        wanted["member"] = {"externalId": who}
    return api.post(caller or support(), UPDATE, input=wanted)


def found(api: Api, **by: str) -> str | None:
    who: dict[str, Any] | None = api.post(support(), MEMBER, by=by).data["member"]
    return str(who["id"]) if who else None


def test_what_is_given_changes_and_what_is_left_out_stays(api: Api, ada: str) -> None:
    payload = update(api, ada, email=f"New.{ada}@Example.com", phone=None, reason="MOVED").data["memberUpdate"]

    assert payload["userErrors"] == []
    assert payload["replayed"] is False
    assert {name: payload["member"][name] for name in ("externalId", "name", "email", "phone", "cardNumber")} == {
        "externalId": ada,
        "name": "Ada",
        "email": f"new.{ada}@example.com",
        "phone": None,
        "cardNumber": None,
    }
    entry = payload["entry"]
    assert (entry["points"], entry["changedFields"], entry["reason"]) == (0, ["email"], "MOVED")
    assert entry["explanation"] == [{"rule": "changed:email", "points": 0, "description": "The email was changed."}]
    assert found(api, email=f"new.{ada}@example.com") == payload["member"]["id"]
    assert found(api, email=f"{ada}@example.com") is None


def test_null_clears_and_is_not_the_same_as_leaving_out(api: Api, ada: str) -> None:
    cleared = update(api, ada, name=None).data["memberUpdate"]
    kept = update(api, ada, "k2").data["memberUpdate"]

    assert (cleared["member"]["name"], cleared["entry"]["changedFields"]) == (None, ["name"])
    assert (kept["member"]["email"], kept["entry"]["changedFields"]) == (f"{ada}@example.com", [])


def test_a_retry_is_answered_as_before_and_shows_the_member_as_they_are(api: Api, ada: str) -> None:
    first = update(api, ada, name="Augusta").data["memberUpdate"]
    update(api, ada, "k2", name="Countess")

    with api.unchanged():
        again = update(api, ada, name="Augusta").data["memberUpdate"]

    assert (again["replayed"], again["entry"], again["member"]["name"]) == (True, first["entry"], "Countess")


def test_members_change_their_own_name_and_contacts(api: Api, ada: str) -> None:
    me = member(ada)

    payload = update(api, ada, caller=me, name="Augusta", email=None).data["memberUpdate"]

    assert payload["entry"]["changedFields"] == ["name", "email"]
    with api.unchanged():
        for field, value in (("cardNumber", "6004"), ("externalId", None)):
            answer = update(api, ada, f"k {field}", me, **{field: value})
            assert answer.refusals == [("FIELD_RESERVED", f"input.{field}")]


def test_a_till_gives_a_card_and_takes_it_back(api: Api, ada: str) -> None:
    card = uuid4().hex
    update(api, ada, "give", cardNumber=card)
    assert found(api, cardNumber=card) is not None

    taken = api.post(
        till("regulars/members"),
        UPDATE,
        input={"idempotencyKey": card, "member": {"cardNumber": card}, "cardNumber": None},
    )
    again = api.post(
        till("regulars/members"),
        UPDATE,
        input={"idempotencyKey": card, "member": {"cardNumber": card}, "cardNumber": None},
    )

    assert taken.data["memberUpdate"]["entry"]["changedFields"] == ["cardNumber"]
    # Nobody has the card now; the key still knows whose it was.
    assert again.data["memberUpdate"]["replayed"] is True
    assert found(api, cardNumber=card) is None


def test_a_contact_changes_hands_at_once(api: Api, ada: str) -> None:
    update(api, ada, email=None)
    other = f"bob-{ada}"
    api.enroll(other, email=f"{ada}@example.com")

    answer = update(api, ada, "k2", email=f"{ada}@example.com")

    assert answer.refusals == [("ALREADY_ENROLLED", "input.email")]
    assert api.member(ada)["id"] != found(api, email=f"{ada}@example.com")


def test_the_last_contact_stays(quiet: Api, clock: Clock) -> None:
    quiet.enroll("only")

    before = quiet.items()
    answer = update(quiet, "only", externalId=None)
    after = quiet.items()

    assert answer.refusals == [("LAST_CONTACT", "input")]
    (key,) = after.keys() - before.keys()
    assert key[1] == "K"
    assert {each: item for each, item in after.items() if each != key} == before


def test_somebody_else_is_nobody_to_a_member(api: Api, ada: str) -> None:
    me = member(f"eve-{ada}")
    api.enroll(f"eve-{ada}", me)
    with api.unchanged():
        answers = [
            api.post(me, UPDATE, input={"idempotencyKey": "k", "member": {"externalId": name}, "name": "Mine"})
            for name in (ada, "nobody")
        ]

    assert answers[0].body == answers[1].body
    assert answers[0].refusals == [("MEMBER_NOT_FOUND", "input.member")]


def test_who_is_blocked_cannot_turn_the_account_into_theirs(api: Api, ada: str) -> None:
    api.post(support(), BLOCK, input={"idempotencyKey": ada, "member": {"externalId": ada}, "reason": "TAKEN_OVER"})

    assert update(api, ada, caller=member(ada), email="thief@example.com").refusals == [
        ("MEMBER_BLOCKED", "input.member")
    ]
    assert update(api, ada, email=f"rescued.{ada}@example.com").refusals == []


def test_who_has_left_stays_as_they_were(api: Api, ada: str) -> None:
    member_id = api.member(ada)["id"]
    api.post(manager(), CLOSE, input={"idempotencyKey": ada, "member": {"externalId": ada}, "reason": "LEFT"})

    answer = api.post(support(), UPDATE, input={"idempotencyKey": ada, "member": {"id": member_id}, "name": "X"})

    assert answer.refusals == [("MEMBER_CLOSED", "input.member")]
    assert api.post(member(ada), VIEWER).data == {"viewer": None}


def test_the_ledger_never_says_what_changed_into_what(quiet: Api, clock: Clock) -> None:
    quiet.enroll("secret-id", email="before@example.com", name="Ada Prior")
    update(quiet, "secret-id", email="after@example.com", name="Ada Later", phone="+15550009999")
    update(quiet, "secret-id", "k2", externalId="secret-two")

    said = {
        text
        for (_, sk), item in quiet.items().items()
        if sk != "P"
        for text in ("before@", "after@", "Ada Prior", "Ada Later", "15550009999", "secret-two")
        if text in json.dumps(item, default=repr)
    }
    assert said == set()


# --- tags and the home location -----------------------------------------------------------------------------------------

LABELS = "query Labels($by: MemberByInput!) { member(by: $by) { tags homeLocation } }"


def labels(api: Api, who: str, caller: Claims | None = None) -> dict[str, Any]:
    seen: dict[str, Any] = api.post(caller or support(), LABELS, by={"externalId": who}).data["member"]
    return seen


def test_tags_come_and_go_one_by_one_and_a_home_is_said_and_cleared(api: Api, ada: str) -> None:
    members_till = till("regulars/members")
    first = api.post(
        members_till,
        UPDATE,
        input={
            "idempotencyKey": ada,
            "member": {"externalId": ada},
            "addTags": ["vip", "new"],
            "homeLocation": "harbor",
        },
    ).data["memberUpdate"]
    update(api, ada, "crm", addTags=["coffee-lover"], removeTags=["new", "never-had"])

    assert first["entry"]["changedFields"] == ["homeLocation", "tags"]
    assert [line["description"] for line in first["entry"]["explanation"]] == [
        "The home location was changed.",
        "The set of tags was changed.",
    ]
    for caller in (support(), manager(), members_till):
        assert labels(api, ada, caller) == {"tags": ["coffee-lover", "vip"], "homeLocation": "harbor"}
    update(api, ada, "clear", homeLocation=None, addTags=None)
    assert labels(api, ada) == {"tags": ["coffee-lover", "vip"], "homeLocation": None}


def test_a_member_is_enrolled_with_tags_and_a_home(api: Api, clock: Clock) -> None:
    name = f"eve-{uuid4().hex[:12]}"
    wanted = {"idempotencyKey": name, "externalId": name, "tags": ["vip", "b", "vip"], "homeLocation": "not a shop yet"}
    assert api.post(till("regulars/members"), ENROLL, input=wanted).refusals == []

    assert labels(api, name) == {"tags": ["b", "vip"], "homeLocation": "not a shop yet"}
    with api.unchanged():
        again = api.post(till("regulars/members"), ENROLL, input={**wanted, "tags": ["vip", "b"]})
        other = api.post(till("regulars/members"), ENROLL, input={**wanted, "tags": ["vip"]})
    assert again.data["memberEnroll"]["replayed"] is True
    assert other.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]


def test_members_say_where_they_go_and_neither_give_nor_see_tags(api: Api, ada: str) -> None:
    update(api, ada, addTags=["often-late"])
    me, stranger = member(ada), f"mia-{ada}"
    assert update(api, ada, "home", me, homeLocation="harbor").data["memberUpdate"]["entry"]["changedFields"] == [
        "homeLocation"
    ]

    with api.unchanged():
        for field in ("addTags", "removeTags"):
            assert update(api, ada, field, me, **{field: ["often-late"]}).refusals == [
                ("FIELD_RESERVED", f"input.{field}")
            ]
        joining = {"idempotencyKey": stranger, "externalId": stranger, "tags": ["vip"]}
        assert api.post(member(stranger), ENROLL, input=joining).refusals == [("FIELD_RESERVED", "input.tags")]
    assert labels(api, ada, me) == {"tags": None, "homeLocation": "harbor"}
    assert labels(api, ada) == {"tags": ["often-late"], "homeLocation": "harbor"}


def test_a_member_has_twenty_tags_at_most(quiet: Api, clock: Clock) -> None:
    quiet.enroll("many")
    assert update(quiet, "many", addTags=[f"t{number}" for number in range(20)]).refusals == []

    assert update(quiet, "many", "k2", addTags=["more"]).refusals == [("TOO_MANY_TAGS", "input.addTags")]
    assert len(labels(quiet, "many")["tags"]) == 20


def test_the_ledger_never_says_which_tags_or_places(quiet: Api, clock: Clock) -> None:
    quiet.enroll("tagged")
    update(quiet, "tagged", addTags=["often-late"], homeLocation="pier-19")
    update(quiet, "tagged", "k2", removeTags=["often-late"], homeLocation=None)

    said = {
        key[1][:1]
        for key, item in quiet.items().items()
        if re.search("often-late|pier-19", json.dumps(item, default=repr))
    }
    assert said == set()
