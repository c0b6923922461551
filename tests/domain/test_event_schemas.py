"""docs/events/ is what the code says, and real events are what docs/events/ says."""

import json
import re
from datetime import datetime

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator, FormatChecker

from domain.announcements import NOTICE, Event, of_notice
from domain.notices import Notice
from tests.domain.campaigning import Desk
from tests.domain.lives import LIVES
from tests.domain.lives import lives as numbers
from tests.domain.test_announcements import NOTICES, real, to_id, told
from tests.domain.world import redeem, search
from tools import event_schemas

SCHEMAS = {kind.type: event_schemas.schema(kind) for kind in event_schemas.kinds()}


def strict(schema: dict[str, object]) -> Draft202012Validator:
    """What is not named is not there either: the published schemas leave that open."""

    def closed(part: object) -> object:
        if isinstance(part, dict):
            more = {"additionalProperties": False} if "properties" in part else {}
            return {name: closed(value) for name, value in part.items()} | more
        return [closed(each) for each in part] if isinstance(part, list) else part

    return Draft202012Validator(closed(schema), format_checker=FormatChecker())


VALIDATORS = {name: strict(schema) for name, schema in SCHEMAS.items()}


def check(event: Event) -> None:
    VALIDATORS[event.type].validate(json.loads(event.body))
    for name in {"at", "occurredAt"} & event.detail.keys():
        instant = event.detail[name]
        assert instant.endswith("Z")
        assert datetime.fromisoformat(instant).tzinfo is not None


def test_the_files_are_those_that_make_schema_writes() -> None:
    for path, text in event_schemas.written().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: make schema"
    assert {path.stem for path in event_schemas.FOLDER.glob("*.json")} == SCHEMAS.keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_explains_every_field(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])

    assert SCHEMAS[name]["description"]
    for field, shape in SCHEMAS[name]["properties"].items():
        assert field == "type" or shape["description"], field


@search(LIVES)
@given(numbers)
def test_every_event_of_a_life_is_as_its_schema_says(number: int) -> None:
    store = real(number)
    for account in store._logs:
        for event in told(store, account):
            check(event)


def test_most_kinds_are_met_in_these_lives() -> None:
    """Else the property above would say little."""
    met = {
        event.type
        for number in range(LIVES)
        for store in [real(number)]
        for account in store._logs
        for event in told(store, account)
    }

    assert SCHEMAS.keys() - met <= {
        NOTICE.type,
        "tier.changed",
        "bonus.granted",
        "campaign.granted",
        "campaign.reverted",
    }


def test_every_event_of_a_campaign_is_as_its_schema_says() -> None:
    desk = Desk.of("ada", "bob")
    campaign = desk.completed(50)
    redeem(desk.store, "ada", "latte", desk.now, key="r")
    desk.reverted(campaign)

    events = [event for account in ("ADA", "BOB") for event in told(desk.store, account)]

    assert {"campaign.granted", "campaign.reverted"} <= {event.type for event in events}
    for event in events:
        check(event)


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: notice.kind.value)
def test_every_notice_is_as_its_schema_says(notice: Notice) -> None:
    check(of_notice("ADA", notice, to_id=to_id))


def test_the_example_in_the_docs_is_an_event() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", event_schemas.README.read_text(encoding="utf-8"), re.DOTALL)
    example = json.loads(text)

    VALIDATORS[example["detail-type"]].validate(example["detail"])
    assert list(example["detail"]) == list(SCHEMAS[example["detail-type"]]["properties"])
