"""Every file in `events/` is an event of an HTTP API as the Lambda gets it, and is executed here; those of other sources have
folders of their own, and tests beside the functions they are for.

They are executed on both engines, in the order of their names, as one afternoon of a shop. A name says what is expected:
`06-purchase-record-by-till.200.json` answers 200 without a complaint, `35-broken-json.400.BAD_REQUEST.json` 400 with that
one code. What `requestContext.timeEpoch` says is the time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pytest

from domain.access import Role
from handlers import actors, aws, runtime
from schema import root
from tests.engines import ROOT, Engine
from tests.handlers.api import ACCOUNT_CLAIM, Answer, Api, deployed
from tests.handlers.conftest import Sqs
from tests.handlers.launching import Context, function
from tests.handlers.test_jobs import batch

FILES = sorted((ROOT / "events").glob("*.json"), key=lambda file: (int(file.name.partition("-")[0]), file.name))
EVENTS = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in FILES}
# Accounts and campaigns of which later events name something by id, by the event that opens them.
OPENED = {
    "41-member-enroll-of-cleo.200.json": "01KA9ZK1C4E0C7E5P7R9T2V5X8",
    "70-member-enroll-of-dora-by-herself.200.json": "01KA9ZM5D0D0R4C7E5P7R9T2V5",
    "100-campaign-create-by-manager.200.json": "01KA9ZN7C0C0R4C7E5P7R9T2V5",
    "121-campaign-create-with-segments-by-manager.200.json": "01KA9ZN8D0D0R4C7E5P7R9T2V5",
}
# After these everybody has their turn in the campaign; what was handed out before a pause comes after it.
WORKED = {f"campaign-{step}-by-manager.200.json" for step in ("preview", "resume", "revert")}
NAME = re.compile(r"(\d{2,3})-([a-z0-9-]+)\.(\d{3})(?:\.([A-Z_]+))?\.json")


def claims(event: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = event["requestContext"].get("authorizer", {}).get("jwt", {}).get("claims", {})
    return found


@pytest.fixture(scope="module")
def stack(engine: Engine) -> Iterator[Api]:
    with deployed(engine, "regulars-events") as api:
        yield api


@pytest.fixture(scope="module")
def answers(engine: Engine, stack: Api) -> dict[str, Answer]:
    """The answer to each event, by the name of its file."""
    (linked,) = {claims(event)[ACCOUNT_CLAIM] for event in EVENTS.values() if ACCOUNT_CLAIM in claims(event)}
    # The token of one event names the account that the first event opens.
    accounts = chain([linked], iter(runtime.new_account, None))
    given: dict[str, Answer] = {}
    nowhere = "https://queues.invalid/campaigns"
    campaigner = function(engine, stack.table, queue=nowhere, failures=nowhere)
    sqs = Sqs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws, "connect", lambda _service: sqs)
        for name, event in EVENTS.items():
            now = datetime.fromtimestamp(event["requestContext"]["timeEpoch"] / 1_000, UTC)
            patch.setattr(runtime, "now", lambda now=now: now)
            patch.setattr(runtime, "new_account", lambda name=name: OPENED.get(name) or next(accounts))
            given[name] = stack.invoke(event)
            while name.partition("-")[2] in WORKED and (turns := [body for body in sqs.bodies if '"run"' in body]):
                sqs.bodies.clear()
                assert campaigner(batch(turns), Context()) == {"batchItemFailures": []}
    return given


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_answered_as_its_name_says(answers: dict[str, Answer], name: str) -> None:
    parts = NAME.fullmatch(name)
    assert parts, "NN-what.STATUS[.CODE].json, or NNN-what"
    answer = answers[name]

    assert (answer.status, [code for code, _ in answer.complaints]) == (int(parts[3]), [parts[4]] if parts[4] else [])
    if not parts[4]:
        assert answer.data


def test_the_afternoon_ends_with_the_right_points(answers: dict[str, Answer], stack: Api) -> None:
    """127 and 0 and 9 for receipts, 90 for breakfast, 25 for goodwill; and 42 for a receipt, 40 for a latte."""
    (home,) = (event for name, event in EVENTS.items() if name[3:] == "home-of-member.200.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "now", lambda: datetime(2026, 11, 20, 18, tzinfo=UTC))
        ada, ben = stack.balance("crm-100231"), stack.invoke(home).data["viewer"]["account"]["balance"]

    assert ada == 127 + 0 + 9 - 90 + 25
    assert ben == 42 - 40


def test_the_sale_with_a_hold_ends_with_the_right_points(answers: dict[str, Answer], stack: Api) -> None:
    """80 for a receipt, 45 captured of a hold of 50; another hold was released, a cookie redeemed and cancelled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "now", lambda: datetime(2026, 11, 20, 18, tzinfo=UTC))
        cleo = stack.member("crm-100290")["account"]["balance"]

    assert cleo == 80 - 45


def test_dora_had_30_points_and_left_with_none(answers: dict[str, Answer]) -> None:
    told = {name[:2]: answer.data for name, answer in answers.items() if name[:2] in ("77", "78", "79")}

    assert told["77"]["viewer"] == {
        "now": {"balance": 30, "status": "ACTIVE"},
        "then": {"balance": 0, "status": "ACTIVE"},
    }
    assert (told["78"]["entry"]["points"], told["78"]["entry"]["actor"]) == (30, "p.7ou1v2r8kq3tillexample0market")
    assert told["79"]["memberClose"]["entry"]["points"] == -30
    assert told["79"]["memberClose"]["account"]["status"] == "CLOSED"


def test_the_campaign_gives_ada_25_points_and_takes_them_back(answers: dict[str, Answer], stack: Api) -> None:
    told = {
        name[:3]: answer.data for name, answer in answers.items() if name[:3] in ("107", "112", "117", "123", "125")
    }

    preview = {"isFinished": True, "memberCount": 1, "points": 25, "liability": {"amountMinor": 25, "currency": "USD"}}
    assert told["107"]["campaign"]["preview"] == preview
    assert told["112"]["campaignLaunch"]["campaign"]["budgetLeft"] == {"pointsLeft": 150_000, "membersLeft": None}
    campaign = told["117"]["campaign"]
    assert (campaign["status"], campaign["progress"]["applied"], campaign["progress"]["points"]) == ("COMPLETED", 1, 25)
    assert campaign["memberResult"] == {"outcome": "APPLIED", "reversal": None}
    assert campaign["budgetLeft"] == {"pointsLeft": 150_000 - 25, "membersLeft": None}
    assert {node["name"]: node["status"] for node in told["123"]["campaigns"]["nodes"]} == {
        "Thanks to coffee lovers": "REVERTED",
        "Birthdays of spring": "CANCELLED",
    }
    assert told["125"] == {"node": None}
    # Told no, a key never does it, whatever has happened since.
    no, still_no = (answers[name].body for name in EVENTS if name[:3] in ("105", "126"))
    assert still_no == no.replace('"replayed":false', '"replayed":true') != no
    entries = [edge["node"] for edge in stack.member("crm-100231", first=2)["entries"]["edges"]]
    assert [(entry["__typename"], entry["points"]) for entry in entries] == [
        ("CampaignReversalEntry", -25),
        ("CampaignBonusEntry", 25),
    ]


def test_what_is_sent_again_is_answered_again(answers: dict[str, Answer]) -> None:
    again = {name: answer for name, answer in answers.items() if "-again" in name}

    assert len(again) == 2
    for name, answer in again.items():
        before = next(each for other, each in answers.items() if other[3:] == name[3:].replace("-again", ""))
        assert answer.body == before.body.replace('"replayed":false', '"replayed":true')


def test_homes_are_those_of_their_members(answers: dict[str, Answer]) -> None:
    names = {name[3:-9]: answer.data["viewer"] and answer.data["viewer"]["name"]
             for name, answer in answers.items() if name[3:].startswith("home-")}  # fmt: skip

    assert names == {
        "home-of-member": "Ben",
        "home-of-member-whose-token-names-the-account": "Ada Lovelace",
        "home-of-stranger": None,
    }


def test_every_operation_and_every_kind_of_caller_has_an_event() -> None:
    schema = root.build(introspection=True)._schema
    sent = json.dumps(list(EVENTS.values()))
    roles = {
        actors.from_event(
            event,
            account_claim=ACCOUNT_CLAIM,
            groups_claim="cognito:groups",
            group_roles={"manager": Role.MANAGER, "support": Role.SUPPORT},
        ).role.value
        for event in EVENTS.values()
        if claims(event)
    }

    for type_ in (schema.query_type, schema.mutation_type):
        assert type_ is not None
        for field in type_.fields:
            assert re.search(rf"\b{field}\b", sent), field
    assert roles == {"MEMBER", "PARTNER", "SUPPORT", "MANAGER"}
    assert {event["routeKey"] for event in EVENTS.values()} == {"GET /graphql", "POST /graphql"}
    assert {event["isBase64Encoded"] for event in EVENTS.values()} == {True, False}


def test_events_hold_no_secret() -> None:
    """They were made up; a real token or address has no business here."""
    text = json.dumps(list(EVENTS.values()))

    assert set(re.findall(r"Bearer ([^\"]*)", text)) == {"<access token>"}
    assert {each.lower() for each in re.findall(r"[\w.]+@\w+\.\w+", text)} == {"ada@example.com", "ben@example.com"}
