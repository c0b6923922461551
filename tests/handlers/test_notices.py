"""Notices through the API: listed, read, marked, by those they are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain import visits
from handlers import runtime
from storage.programs import Programs
from storage.table import Table
from tests.engines import Engine
from tests.handlers.api import (
    DEMO,
    ENROLL,
    MARK_READ,
    MERGE,
    NODE,
    NOTICES,
    UPDATE,
    Api,
    Claims,
    account_of,
    deployed,
    global_id,
    manager,
    member,
    support,
    till,
)
from tests.handlers.conftest import Clock
from tests.storage.tables import connect


@pytest.fixture(scope="module")
def shop(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The demo's program with its moments, but for points that live 40 days, and 25 of them for joining."""
    document = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    document |= {"expiry": {"days": 40, "rounding": "day"}}
    welcome = next(each for each in document["moments"] if each["id"] == "welcome")
    welcome |= {"points": 25, "text": "$points points to begin with: that is a filter coffee."}
    file: Path = tmp_path_factory.mktemp("program") / "notices.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with deployed(engine, "regulars-notices", file=file) as api:
        yield api


def join(shop: Api, name: str, **more: Any) -> tuple[Claims, str]:
    """Somebody who enrolled themselves, and their account."""
    me = member(name)
    wanted = {"idempotencyKey": "join", "externalId": name, "name": name.title(), **more}
    payload = shop.post(me, ENROLL, input=wanted).data["memberEnroll"]
    assert payload["userErrors"] == []
    return me, account_of(payload["member"]["id"])


Visit = Callable[..., dict[str, int]]


@pytest.fixture
def visit(shop: Api, engine: Engine) -> Visit:
    """Makes a scheduled visit to an account at the program's now; what it did."""
    connection = connect(engine)
    program = Programs(connection, shop.table).current()
    assert program is not None
    store = Table(connection, shop.table, pepper=None, shards=4)

    def made(account: str, **how: Any) -> dict[str, int]:
        visited = visits.visit(store, program, account, now=runtime.now(), **{"telling": True, **how})
        return dict(visited.counts)

    return made


def notices(shop: Api, caller: Claims, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = shop.post(caller, NOTICES, **variables).data["viewer"]["notices"]
    return found


def test_who_joins_is_welcomed(shop: Api, clock: Clock) -> None:
    me, _ = join(shop, "ada")

    (welcome,) = notices(shop, me)["nodes"]

    assert welcome.pop("id")
    assert welcome == {
        "kind": "MOMENT",
        "at": "2030-01-10T17:00:00.000Z",
        "readAt": None,
        "moment": "welcome",
        "points": 25,
        "expiresOn": "2030-02-19",
        "title": "Welcome to Bluebird, Ada",
        "text": "25 points to begin with: that is a filter coffee.",
    }


def test_a_birthday_and_a_reminder_reach_the_app(shop: Api, clock: Clock, visit: Visit) -> None:
    me, account = join(shop, "bob", birthday={"month": 1, "day": 20})
    clock.now += timedelta(days=10)

    assert visit(account) == {"BONUS": 1, "MOMENT": 1, "REMINDER": 1}
    assert visit(account) == {}

    told = notices(shop, me)
    assert [each["title"] for each in told["nodes"]] == [
        "25 points expire on 2030-02-19",
        "Happy birthday, Bob",
        "Welcome to Bluebird, Bob",
    ]
    assert told["unreadCount"] == 3
    assert told["nodes"][1]["text"] == "Have a latte on us: 40 points, until 2030-03-21."
    assert told["nodes"][0]["text"].startswith("Hello Bob, 25 of your 65 points")


def test_what_was_told_says_the_name_that_stands_in_the_profile_now(shop: Api, clock: Clock) -> None:
    me, _ = join(shop, "cleo")
    shop.post(me, UPDATE, input={"idempotencyKey": "1", "name": "Dr. Cleo"})
    assert notices(shop, me)["nodes"][0]["title"] == "Welcome to Bluebird, Dr. Cleo"

    shop.post(me, UPDATE, input={"idempotencyKey": "2", "name": None})
    assert notices(shop, me)["nodes"][0]["title"] == "Welcome to Bluebird, friend"


def test_notices_come_page_by_page(shop: Api, clock: Clock, visit: Visit) -> None:
    me, account = join(shop, "dora", birthday={"month": 1, "day": 20})
    clock.now += timedelta(days=10)
    visit(account)

    everything = [each["id"] for each in notices(shop, me)["nodes"]]
    first = notices(shop, me, first=2)
    second = notices(shop, me, first=2, after=first["pageInfo"]["endCursor"])

    assert [each["node"]["id"] for each in (*first["edges"], *second["edges"])] == everything
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    assert (second["pageInfo"]["hasNextPage"], second["pageInfo"]["hasPreviousPage"]) == (False, True)
    assert notices(shop, me, after=second["pageInfo"]["endCursor"])["nodes"] == []
    other, _ = join(shop, "doras-friend")
    assert shop.post(other, NOTICES, after=first["pageInfo"]["endCursor"]).faults == [("CURSOR_INVALID", "after")]


def test_a_notice_is_marked_as_read_once(shop: Api, clock: Clock) -> None:
    me, _ = join(shop, "erin")
    (welcome,) = notices(shop, me)["nodes"]
    clock.now += timedelta(hours=1)

    first = shop.post(me, MARK_READ, input={"ids": [welcome["id"], welcome["id"]]}).data["noticesMarkRead"]
    clock.now += timedelta(hours=1)
    with shop.unchanged():
        again = shop.post(me, MARK_READ, input={"ids": [welcome["id"]]}).data["noticesMarkRead"]

    read = [{"id": welcome["id"], "readAt": "2030-01-10T18:00:00.000Z"}]
    assert first == {"notices": read, "replayed": False, "userErrors": []}
    assert again == {"notices": read, "replayed": True, "userErrors": []}
    told = notices(shop, me)
    assert (told["unreadCount"], told["nodes"][0]["readAt"]) == (0, "2030-01-10T18:00:00.000Z")


def test_what_is_somebody_elses_is_nobodys(shop: Api, clock: Clock) -> None:
    me, _ = join(shop, "fay")
    other, _ = join(shop, "gus")
    mine, theirs = (notices(shop, who)["nodes"][0]["id"] for who in (me, other))

    with shop.unchanged():
        assert shop.post(me, MARK_READ, input={"ids": [mine, theirs]}).refusals == [("NOTICE_NOT_FOUND", "input.ids.1")]
        assert shop.post(member("nobody"), MARK_READ, input={"ids": [mine]}).refusals == [("MEMBER_NOT_FOUND", None)]
    assert shop.post(me, NODE, id=theirs).data == {"node": None}
    assert shop.post(till(), NODE, id=mine).data == {"node": None}


def test_a_notice_is_found_again_by_its_id(shop: Api, clock: Clock) -> None:
    me, account = join(shop, "hal")
    (welcome,) = notices(shop, me)["nodes"]

    query = "query($id: ID!) { node(id: $id) { __typename id ... on Notice { title } } }"
    for caller in (me, support(), manager()):
        assert shop.post(caller, query, id=welcome["id"]).data["node"] == {
            "__typename": "Notice",
            "id": welcome["id"],
            "title": "Welcome to Bluebird, Hal",
        }
    for place in ("", ":", f"{account}", f"{account}:", f"{account}:1", f"{account}:x:y", f"{account}:20829:nothing"):
        assert shop.post(support(), NODE, id=global_id("Notice", place)).data == {"node": None}


def test_staff_sees_what_a_member_was_told_and_a_till_does_not(shop: Api, clock: Clock) -> None:
    join(shop, "ida", birthday={"month": 2, "day": 29, "year": 2000}, consents=[{"kind": "SUMMARY", "isGiven": False}])
    query = """query($by: MemberByInput!) { member(by: $by) {
        birthday { month day year } consents { kind isGiven isAnswered } notices { nodes { title } } } }"""

    for caller in (support(), manager()):
        assert shop.post(caller, query, by={"externalId": "ida"}).data["member"] == {
            "birthday": {"month": 2, "day": 29, "year": 2000},
            "consents": [
                {"kind": "REMINDERS", "isGiven": True, "isAnswered": False},
                {"kind": "OFFERS", "isGiven": True, "isAnswered": False},
                {"kind": "SUMMARY", "isGiven": False, "isAnswered": True},
            ],
            "notices": {"nodes": [{"title": "Welcome to Bluebird, Ida"}]},
        }
    assert shop.post(till(), query, by={"externalId": "ida"}).data["member"] == {
        "birthday": None,
        "consents": None,
        "notices": None,
    }


def test_members_choose_what_they_are_told(shop: Api, clock: Clock, visit: Visit) -> None:
    me, account = join(shop, "jo", birthday={"month": 1, "day": 20}, consents=[{"kind": "OFFERS", "isGiven": False}])
    query = """mutation($input: MemberUpdateInput!) { memberUpdate(input: $input) {
        member { birthday { month day } consents { kind isGiven isAnswered } } entry { changedFields }
        userErrors { code field } } }"""
    clock.now += timedelta(days=10)

    assert visit(account) == {"BONUS": 1, "REMINDER": 1}
    assert [each["kind"] for each in notices(shop, me)["nodes"]] == ["REMINDER"]
    changed = shop.post(
        me,
        query,
        input={"idempotencyKey": "1", "birthday": None, "consents": [{"kind": "OFFERS", "isGiven": None}]},
    ).data["memberUpdate"]
    assert changed["member"]["birthday"] is None
    assert changed["member"]["consents"][1] == {"kind": "OFFERS", "isGiven": True, "isAnswered": False}
    assert changed["entry"] == {"changedFields": ["birthday", "consents"]}


def test_a_summary_of_the_month_reaches_the_app(shop: Api, clock: Clock, visit: Visit) -> None:
    me, account = join(shop, "kim")
    shop.buy("kim", 5_000)
    clock.now += timedelta(days=22)

    assert visit(account, everybody=True)["SUMMARY"] == 1

    summary = next(each for each in notices(shop, me)["nodes"] if each["kind"] == "SUMMARY")
    assert summary["title"] == "Your 2030-01 at Bluebird"
    assert (
        summary["text"]
        == "75 points earned, 0 spent, 0 expired. 75 expire this month. 15 points are missing to Breakfast for one."
    )
    assert (summary["points"], summary["expiresOn"]) == (75, None)


def test_a_home_screen_without_notices_is_one_read_and_they_are_one_more(
    shop: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, account = join(shop, "lee")
    linked = member("lee-linked", account=account)
    calls: list[str] = []
    call = Table._call

    def counted(self: Table, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        calls.append(operation)
        return call(self, operation, request)

    monkeypatch.setattr(Table, "_call", counted)
    shop.post(
        linked,
        "{ viewer { name birthday { month } consents { kind } account { balance } entries { edges { cursor } } } }",
    )
    assert calls == ["Query"]
    shop.post(linked, "{ viewer { name account { balance } notices { nodes { title } } } }")
    assert calls == ["Query"] * 3


def test_who_was_merged_reads_what_they_are_told_as_the_member_they_became(shop: Api, clock: Clock) -> None:
    me, _ = join(shop, "max")
    join(shop, "maxine")
    merged = shop.post(
        manager(),
        MERGE,
        input={
            "idempotencyKey": "merge",
            "duplicate": {"externalId": "max"},
            "survivor": {"externalId": "maxine"},
            "reason": "SAME_PERSON",
        },
    )
    assert merged.refusals == []

    (welcome,) = notices(shop, me)["nodes"]
    assert welcome["title"] == "Welcome to Bluebird, Maxine"
    assert shop.post(me, MARK_READ, input={"ids": [welcome["id"]]}).data["noticesMarkRead"]["userErrors"] == []
    assert notices(shop, me)["unreadCount"] == 0
