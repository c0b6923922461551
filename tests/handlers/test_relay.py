"""The relay, called as Lambda calls it, with a bus that behaves badly: who drops known ids sees each event once, in order."""

import base64
import importlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

import boto3
import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

import schema.notices
from domain import limits, notices
from domain.entries import EntryKind, Record
from domain.notices import Notice, NoticeKind
from domain.refusals import InsufficientPoints, OutcomeUnknown
from handlers import aws
from handlers.announcing import Announcer, CannotBeAnnounced
from handlers.bus import Bus, size_of
from handlers.runtime import SettingMissing
from storage import items
from storage.memory import Memory
from tests.domain.test_announcements import REMINDER, real, told
from tests.domain.world import Interrupted, at, buy, enroll, head_of, hold, program, redeem, search
from tests.engines import ROOT, Engine, create_table

NOW = at("2026-03-10")
SECONDS = 60.0

Change = dict[str, Any]


# --- a stream ---------------------------------------------------------------------------------------------------------


def change_of(record: Record, number: int) -> Change:
    """A record as the stream tells a Lambda of it."""
    return as_change(items.record_item(record), number, record.state.at)


def as_change(item: items.Item, number: int, at_: datetime, event_name: str = "INSERT") -> Change:
    return {
        "eventID": f"{number:032x}",
        "eventName": event_name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": at_.timestamp(),
            "Keys": {"PK": item["PK"], "SK": item["SK"]},
            "NewImage": as_json(item),
            "SequenceNumber": f"{number:021d}",
            "SizeBytes": 300,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/regulars/stream/2026-03-10T00:00:00.000",
    }


def as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: as_json(each) for name, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list) else value


def stream_of(store: Memory, chance: random.Random | None = None) -> list[Change]:
    """All records of a store: each account's in their order, the accounts between each other in any."""
    logs = {account: list(log) for account, log in store._logs.items()}
    changes: list[Change] = []
    while logs:
        account = next(iter(logs)) if chance is None else chance.choice(list(logs))
        changes.append(change_of(logs[account].pop(0), len(changes) + 1))
        if not logs[account]:
            del logs[account]
    return changes


def change_of_notice(account: str, notice: Notice, number: int, event_name: str = "INSERT") -> Change:
    """A notice as the stream tells a Lambda of it."""
    return as_change(items.notice_item(account, notice), number, notice.at, event_name)


def broken(change: Change) -> Change:
    """The record as a version of the program wrote it that this one does not know."""
    image = json.loads(json.dumps(change["dynamodb"]["NewImage"]))
    image["e"]["L"][0]["M"]["k"] = {"S": "?"}
    return {**change, "dynamodb": {**change["dynamodb"], "NewImage": image}}


# --- a bus ------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The function's machine is gone, in the middle of a call."""


@dataclass
class Events:
    """EventBridge, as far as one client sees it: what it was given, in the order in which it took it."""

    # Says what becomes of a call's entries: the code of an error for each, or an exception instead of an answer, after the
    # entries it names were taken.
    fate: Callable[[list[dict[str, Any]]], list[str | None]] = lambda entries: [None] * len(entries)
    taken: list[dict[str, Any]] = field(default_factory=list)
    calls: list[list[dict[str, Any]]] = field(default_factory=list)
    lock: Any = field(default_factory=Lock)

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 (AWS names it)
        with self.lock:
            self.calls.append(Entries)
            codes = self.fate(Entries)
            self.taken += [entry for entry, code in zip(Entries, codes, strict=True) if code in (None, "lost")]
        if "lost" in codes:
            raise ReadTimeoutError(endpoint_url="https://events.example")
        if "killed" in codes:
            raise Killed
        results = [{"ErrorCode": code, "ErrorMessage": "no"} if code else {"EventId": "e"} for code in codes]
        return {"FailedEntryCount": sum(map(bool, codes)), "Entries": results}

    @property
    def ids(self) -> list[str]:
        return [json.loads(entry["Detail"])["id"] for entry in self.taken]


def announcer(store: Memory, events: Events, pauses: list[float] | None = None) -> Announcer:
    return Announcer(store, Bus(events, "bus", pause=(pauses if pauses is not None else []).append), Logger("relay"))


def announce(store: Memory, events: Events, changes: Sequence[Change], pauses: list[float] | None = None) -> list[str]:
    """Calls the relay once; the stream's numbers it reports."""
    answer = announcer(store, events, pauses).announce(changes, seconds_left=SECONDS)
    assert answer.keys() == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def number_of(change: Change) -> str:
    number: str = change["dynamodb"]["SequenceNumber"]
    return number


def received(events: Events) -> dict[str, list[dict[str, Any]]]:
    """What a consumer has who drops known ids, by member; what comes twice is the same to the byte."""
    known: dict[str, str] = {}
    members: dict[str, list[dict[str, Any]]] = {}
    for entry in events.taken:
        detail = json.loads(entry["Detail"])
        if known.setdefault(detail["id"], entry["Detail"]) is not entry["Detail"]:
            assert known[detail["id"]] == entry["Detail"]
            continue
        members.setdefault(detail["id"].rsplit("-", 2)[0], []).append(detail)
    return members


def is_whole(store: Memory, events: Events) -> bool:
    """Whether a consumer has every event of the store, each member's in their order."""
    found = {account: [detail["id"] for detail in details] for account, details in received(events).items()}
    return found == {account: [event.id for event in told(store, account)] for account in store._logs}


@pytest.fixture
def store() -> Memory:
    """Ada, Bob and Cyd, who joined and bought twice."""
    store = Memory()
    for name in ("ada", "bob", "cyd"):
        enroll(store, name, NOW)
        buy(store, name, 5_000, NOW, receipt=f"{name} 1")
        buy(store, name, 700, NOW, receipt=f"{name} 2")
    return store


# --- a good day -------------------------------------------------------------------------------------------------------


def test_a_batch_is_on_the_bus_whole(store: Memory) -> None:
    events = Events()

    assert announce(store, events, stream_of(store)) == []
    assert is_whole(store, events)
    entry = events.taken[-1]
    assert {name: entry[name] for name in ("EventBusName", "Source", "DetailType", "Time")} == {
        "EventBusName": "bus",
        "Source": "regulars",
        "DetailType": "purchase.recorded",
        "Time": NOW,
    }


def test_two_events_of_a_member_are_never_in_one_call(store: Memory) -> None:
    """Nine events in three calls: EventBridge may take the second of a call and not the first."""
    events = Events()
    announce(store, events, stream_of(store))

    assert [len(call) for call in events.calls] == [3, 3, 3]
    for call in events.calls:
        assert len({json.loads(entry["Detail"])["memberId"] for entry in call}) == 3


def test_a_call_has_ten_entries_at_most() -> None:
    store, events = Memory(), Events()
    for number in range(25):
        enroll(store, f"m{number}", NOW)

    assert announce(store, events, stream_of(store)) == []
    assert sorted(len(call) for call in events.calls) == [5, 10, 10]


def test_a_call_is_no_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    store, events = Memory(), Events()
    for number in range(10):
        enroll(store, f"m{number}", NOW)
    announce(store, events, stream_of(store))
    largest = max(map(size_of, events.taken))
    monkeypatch.setattr(limits, "EVENT_CALL_BYTES_MAX", 3 * largest)
    again = Events()

    assert announce(store, again, stream_of(store)) == []
    assert sorted(len(call) for call in again.calls) == [1, 3, 3, 3]
    assert is_whole(store, again)


def test_an_entry_is_counted_as_eventbridge_counts_it() -> None:
    entry = {"Source": "ab", "DetailType": "cé", "Detail": '{"a":"é"}', "Time": NOW, "EventBusName": "bus"}

    assert size_of(entry) == 14 + 2 + 3 + 10


def test_a_batch_of_what_is_not_told_makes_no_call() -> None:
    store = Interrupted()
    enroll(store, "ada", NOW)
    buy(store, "ada", 5_000, NOW, receipt="r1")
    store.before_append.append(lambda: redeem(store, "ada", "latte", NOW, key="other"))
    with pytest.raises(InsufficientPoints):
        redeem(store, "ada", "latte", NOW, key="k")
    refused = head_of(store, "ADA")
    events = Events()

    assert refused.entries[-1].kind is EntryKind.REFUSED
    assert announce(store, events, [change_of(refused, 1)]) == []
    assert events.calls == []


def test_what_is_no_new_record_is_passed_by(store: Memory) -> None:
    change = stream_of(store)[0]
    removed = {**change, "eventName": "REMOVE"}
    claim = json.loads(json.dumps(change))
    claim["dynamodb"]["Keys"] = {"PK": {"S": "K#till:E#1"}, "SK": {"S": "K"}}
    events = Events()

    assert announce(store, events, [removed, claim]) == []
    assert events.calls == []


def test_an_event_in_the_middle_of_a_log_names_the_one_before(store: Memory) -> None:
    events = Events()
    newest = head_of(store, "ADA")

    announce(store, events, [change_of(newest, 1)])

    (entry,) = events.taken
    assert json.loads(entry["Detail"])["previousId"] == "ADA-2-0"


def test_a_batch_that_skips_a_record_does_not_say_the_wrong_one_is_before(store: Memory) -> None:
    """It never should; but what an event says must not depend on the batch it came in."""
    first, _, third = stream_of(store)[:3]
    events = Events()

    announce(store, events, [first, third])

    assert [json.loads(entry["Detail"])["previousId"] for entry in events.taken] == [None, "ADA-2-0"]


def test_a_notice_is_told_once_and_not_that_it_was_read(store: Memory) -> None:
    read = replace(REMINDER, read_at=NOW)
    events = Events()
    changes = [change_of_notice("ADA", REMINDER, 1), change_of_notice("ADA", read, 2, "MODIFY")]

    assert announce(store, events, changes) == []
    (entry,) = events.taken
    assert (entry["DetailType"], json.loads(entry["Detail"])["id"]) == ("notice.given", "ADA-n20522-x.20552")


def test_a_notice_between_entries_does_not_break_their_chain(store: Memory) -> None:
    events = Events()
    changes = stream_of(store)
    changes.insert(2, change_of_notice("ADA", REMINDER, 2))

    assert announce(store, events, changes) == []
    assert [each["id"] for each in received(events)["ADA"]][:2] == ["ADA-1-0", "ADA-2-0"]
    entries = [each for each in received(events)["ADA"] if each["type"] != "notice.given"]
    assert [each["previousId"] for each in entries] == [None, "ADA-1-0", "ADA-2-0"]


def test_a_notice_that_cannot_be_read_is_an_error_of_its_own(store: Memory) -> None:
    change = change_of_notice("ADA", REMINDER, 1)
    change["dynamodb"]["NewImage"]["k"] = {"S": "?"}

    with pytest.raises(CannotBeAnnounced):
        announce(store, Events(), [change])


def test_notices_are_called_what_the_api_calls_them() -> None:
    assert {kind.value for kind in NoticeKind} == {kind.name for kind in schema.notices.NoticeKind}


# --- a bad bus --------------------------------------------------------------------------------------------------------


def failing(id_: str, *codes: str | None) -> Callable[[list[dict[str, Any]]], list[str | None]]:
    """The event with this id meets these fates, one after the other, and then none."""
    left = list(codes)

    def fate(entries: list[dict[str, Any]]) -> list[str | None]:
        return [left.pop(0) if left and json.loads(entry["Detail"])["id"] == id_ else None for entry in entries]

    return fate


def test_an_entry_that_is_throttled_is_sent_again_before_what_follows_it(store: Memory) -> None:
    events, pauses = Events(failing("BOB-1-0", "ThrottlingException", "InternalFailure")), list[float]()

    assert announce(store, events, stream_of(store), pauses) == []
    assert is_whole(store, events)
    # The others did not wait for Bob, but no event of his was sent before his first.
    assert [id_ for id_ in events.ids if id_.startswith("BOB")] == ["BOB-1-0", "BOB-2-0", "BOB-3-0"]
    assert len(pauses) == 2
    assert all(0 <= pause <= 5 for pause in pauses)


def test_a_lost_answer_is_sent_again_and_is_the_same(store: Memory) -> None:
    events = Events(failing("BOB-1-0", "lost"))

    assert announce(store, events, stream_of(store)) == []
    assert events.ids.count("BOB-1-0") == 2
    assert is_whole(store, events)


@pytest.mark.parametrize(
    ("code", "status"), [("ThrottlingException", 400), ("InternalException", 500), ("SomethingNew", 503)]
)
def test_a_call_that_fails_whole_is_made_again(store: Memory, code: str, status: int) -> None:
    failures = 2

    def fate(entries: list[dict[str, Any]]) -> list[str | None]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            metadata = {"HTTPStatusCode": status}
            raise ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": metadata}, "PutEvents")
        return [None] * len(entries)

    events = Events(fate)

    assert announce(store, events, stream_of(store)) == []
    assert is_whole(store, events)


def test_a_bus_that_takes_nothing_is_reported_from_the_first_record_on(store: Memory) -> None:
    events, pauses = Events(lambda entries: ["ThrottlingException"] * len(entries)), list[float]()
    changes = stream_of(store)

    assert announce(store, events, changes, pauses) == [number_of(changes[0])]
    assert len(events.calls) == limits.EVENT_ROUNDS_IN_VAIN_MAX
    assert len(pauses) == limits.EVENT_ROUNDS_IN_VAIN_MAX - 1


def test_trying_again_stops_before_the_function_is_ended(store: Memory) -> None:
    events, pauses = Events(lambda entries: ["ThrottlingException"] * len(entries)), list[float]()
    changes = stream_of(store)

    answer = announcer(store, events, pauses).announce(changes, seconds_left=10.0)

    assert answer == {"batchItemFailures": [{"itemIdentifier": number_of(changes[0])}]}
    assert (len(events.calls), pauses) == (1, [])


def test_the_lowest_record_that_is_missing_is_the_one_that_is_reported(store: Memory) -> None:
    """The stream goes on there; the events behind it that were sent are sent again."""
    changes = stream_of(store, random.Random(1))
    events = Events(lambda entries: ["InternalFailure" if "BOB-2-0" in entry["Detail"] else None for entry in entries])

    (reported,) = announce(store, events, changes)

    places = {
        change["dynamodb"]["Keys"]["PK"]["S"] + change["dynamodb"]["Keys"]["SK"]["S"]: change for change in changes
    }
    assert reported == number_of(places["M#BOBE#0000000002"])
    assert "BOB-3-0" not in events.ids
    assert {"ADA-3-0", "CYD-3-0"} <= set(events.ids)
    again = [change for change in changes if number_of(change) >= reported]
    events.fate = lambda entries: [None] * len(entries)
    assert announce(store, events, again) == []
    assert is_whole(store, events)


def test_a_record_of_several_events_is_announced_whole_or_reported(store: Memory) -> None:
    hold(store, "ada", 20, NOW, key="k", ttl_seconds=60)
    buy(store, "ada", 100, NOW + timedelta(days=1), receipt="later")
    newest = head_of(store, "ADA")
    events = Events(failing("ADA-5-1", *["InternalFailure"] * 99))
    assert len(newest.entries) == 2

    assert announce(store, events, [change_of(newest, 7)]) == [f"{7:021d}"]
    assert events.ids == ["ADA-5-0"]
    events.fate = lambda entries: [None] * len(entries)
    assert announce(store, events, [change_of(newest, 7)]) == []
    assert events.ids == ["ADA-5-0", "ADA-5-0", "ADA-5-1"]


# --- what no attempt will help ----------------------------------------------------------------------------------------


def test_an_event_that_the_bus_refuses_holds_up_its_own_member_only(store: Memory) -> None:
    changes = stream_of(store)
    events = Events(lambda entries: ["MalformedDetail" if "BOB-2-0" in entry["Detail"] else None for entry in entries])
    pauses: list[float] = []

    (reported,) = announce(store, events, changes, pauses)

    assert reported == number_of(changes[4])
    assert sorted(events.ids) == ["ADA-1-0", "ADA-2-0", "ADA-3-0", "BOB-1-0", "CYD-1-0", "CYD-2-0", "CYD-3-0"]
    # Sent once: the same event is refused the same way.
    assert (
        sum(
            "BOB-2-0" in entry["Detail"]
            for call in events.calls
            for entry in call
            if '"id":"BOB-2-0"' in entry["Detail"]
        )
        == 1
    )


def test_a_record_that_cannot_be_read_is_reported_with_what_is_behind_it(store: Memory) -> None:
    changes = stream_of(store)
    changes[4] = broken(changes[4])
    events = Events()

    assert announce(store, events, changes) == [number_of(changes[4])]
    assert sorted(events.ids) == ["ADA-1-0", "ADA-2-0", "ADA-3-0", "BOB-1-0"]


@pytest.mark.parametrize("count", [1, 5])
def test_a_batch_that_begins_with_it_is_an_error_so_that_it_is_halved(store: Memory, count: int) -> None:
    changes = stream_of(store)[:count]
    changes[0] = broken(changes[0])
    events = Events()

    with pytest.raises(CannotBeAnnounced, match=number_of(changes[0])):
        announce(store, events, changes)
    assert events.calls == []


def test_a_refused_event_at_the_beginning_is_an_error_too(store: Memory) -> None:
    changes = stream_of(store)
    events = Events(lambda entries: ["MalformedDetail" if "ADA-1-0" in entry["Detail"] else None for entry in entries])

    with pytest.raises(CannotBeAnnounced):
        announce(store, events, changes)


# --- logs that do not answer ------------------------------------------------------------------------------------------


class Silent(Memory):
    """Bob's log cannot be read."""

    def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
        if account == "BOB":
            error = {"Error": {"Code": "ThrottlingException", "Message": "no"}}
            raise ClientError(error, "Query")
        return super().records_after(account, seq, limit=limit)


def test_a_log_that_does_not_answer_holds_up_its_own_member_only(store: Memory) -> None:
    silent, events = Silent(), Events()
    silent._logs = store._logs
    changes = [change for change in stream_of(store) if not change["dynamodb"]["Keys"]["SK"]["S"].endswith("1")]

    assert announce(silent, events, changes) == [number_of(changes[2])]
    assert events.ids == ["ADA-2-0", "CYD-2-0", "ADA-3-0", "CYD-3-0"]
    assert announce(store, events, changes[2:]) == []
    assert is_chained(events)


def is_chained(events: Events) -> bool:
    """Whether each member's events name the one before, after the first."""
    return all(
        after["previousId"] == before["id"]
        for details in received(events).values()
        for before, after in pairwise(details)
    )


# --- any stream, any bus ----------------------------------------------------------------------------------------------


def delivered(changes: Sequence[Change], call: Callable[[Sequence[Change]], list[str]], batch: int) -> Iterator[None]:
    """Gives a shard's records to a function as Lambda does: in order, from the lowest reported on again; an error, or a machine
    that is gone, brings the whole batch again, halved if it can be."""
    at_, size = 0, batch
    while at_ < len(changes):
        given_ = changes[at_ : at_ + size]
        try:
            reported = call(given_)
        except (CannotBeAnnounced, Killed):
            size = max(1, len(given_) // 2)
            yield
            continue
        size = batch
        at_ = next((place for place, each in enumerate(changes) if number_of(each) in reported), at_ + len(given_))
        yield


@search(40)
@given(number=st.integers(0, 49), seed=st.integers(0, 10**6), batch=st.integers(1, 30))
def test_whoever_drops_known_ids_sees_every_event_once_and_in_order(number: int, seed: int, batch: int) -> None:
    """Entries that fail, whole calls that fail, answers that are lost, machines that are gone half-way; and a bus that is well
    in the end."""
    store, chance = real(number), random.Random(seed)
    bad = [None, None, None, "ThrottlingException", "InternalFailure", "lost", "killed"]
    left = 60

    def fate(entries: list[dict[str, Any]]) -> list[str | None]:
        nonlocal left
        left -= 1
        if left < 0:
            return [None] * len(entries)
        codes = [chance.choice(bad) for _ in entries]
        # A machine that is gone leaves what was taken before; an answer is lost for a whole call.
        return ["lost"] * len(entries) if "lost" in codes else codes

    events = Events(fate)
    steps = delivered(stream_of(store, chance), lambda given_: announce(store, events, given_), batch)
    assert sum(1 for _ in steps) < 500
    assert is_whole(store, events)
    assert is_chained(events)


def test_a_batch_of_a_hundred_needs_one_read_for_each_member(store: Memory) -> None:
    """And none for one whose first record it holds."""
    reads: list[str] = []

    class Watched(Memory):
        def records_after(self, account: str, seq: int, *, limit: int) -> Sequence[Record]:
            reads.append(account)
            return super().records_after(account, seq, limit=limit)

    watched = Watched()
    watched._logs = store._logs
    for number in range(30):
        buy(store, "ada", 100, NOW, receipt=f"more {number}")

    announce(watched, Events(), stream_of(store)[1:])

    assert reads == ["ADA"]


def test_thousand_events_of_as_many_members_are_sent_side_by_side() -> None:
    store = Memory()
    for number in range(200):
        enroll(store, f"m{number}", NOW)

    class Slow(Events):
        def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            time.sleep(0.05)
            return super().put_events(Entries=Entries)

    events = Slow()
    began = time.monotonic()
    announce(store, events, stream_of(store))

    assert len(events.calls) == 20
    assert time.monotonic() - began < 20 * 0.05
    assert is_whole(store, events)


def test_a_copy_of_a_record_is_the_same_event(store: Memory) -> None:
    change = stream_of(store)[0]
    events = Events()

    announce(store, events, [change])
    announce(store, events, [replace_number(change)])

    assert events.taken[0] == events.taken[1]


def replace_number(change: Change) -> Change:
    return {**change, "dynamodb": {**change["dynamodb"], "SequenceNumber": "999"}}


# --- the function itself ----------------------------------------------------------------------------------------------


STREAM = sorted((ROOT / "events" / "stream").glob("*.json"))


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def relay(ministack: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Callable[..., Any], Events]]:
    """The Lambda's own module, started cold on a table of an engine, and the bus it finds."""
    events = Events()
    table = f"relay-{uuid4()}"
    create_table(boto3.client("dynamodb", **ministack.client_kwargs), table)
    monkeypatch.setattr(aws, "connect", lambda _service: events)
    settings = {**ministack.environment, "REGULARS_TABLE": table, "REGULARS_EVENT_BUS": "bus"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "handlers.relay", raising=False)
    yield importlib.import_module("handlers.relay").handler, events
    sys.modules.pop("handlers.relay", None)


@pytest.mark.parametrize("file", STREAM, ids=lambda file: file.stem)
def test_a_batch_as_lambda_gets_it_is_announced(relay: tuple[Callable[..., Any], Events], file: Path) -> None:
    handler, events = relay

    answer = handler(json.loads(file.read_text(encoding="utf-8")), Context())

    assert answer == {"batchItemFailures": []}
    ada, bob = sorted(received(events))
    told = {account: [(each["sequence"], each["index"], each["type"]) for each in received(events)[account]]
            for account in (ada, bob)}  # fmt: skip
    assert told == {
        ada: [
            (1, 0, "member.enrolled"),
            (2, 0, "purchase.recorded"),
            (3, 0, "hold.opened"),
            (4, 0, "hold.lapsed"),
            (4, 1, "purchase.recorded"),
        ],
        # The second record of this account is a no that was recorded.
        bob: [(1, 0, "member.enrolled")],
    }
    assert is_chained(events)


@pytest.mark.parametrize("missing", ["REGULARS_TABLE", "REGULARS_EVENT_BUS"])
def test_a_missing_setting_stops_the_cold_start(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in ("REGULARS_TABLE", "REGULARS_EVENT_BUS"):
        monkeypatch.setenv(name, "given")
    monkeypatch.delenv(missing)
    monkeypatch.delitem(sys.modules, "handlers.relay", raising=False)

    with pytest.raises(SettingMissing, match=missing):
        importlib.import_module("handlers.relay")


# --- notices that their writer did not get to give --------------------------------------------------------------------


def test_the_notices_of_a_record_are_given_once_whoever_comes_by_it(store: Memory) -> None:
    terms = program(moments=[{"id": "welcome", "when": "enrollment", "title": "Welcome"}])
    # Dee's moments stand in her first record, and nobody got to tell her.
    enroll(store, "dee", NOW, program=terms)
    store._notices.clear()

    def tell(record: Record) -> None:
        notices.tell(store, record, terms)

    for _ in range(2):
        relay = Announcer(store, Bus(Events(), "bus", pause=lambda _seconds: None), Logger("relay"), tell)
        assert relay.announce(stream_of(store), seconds_left=SECONDS) == {"batchItemFailures": []}

    assert [each.moment for each in store.notices("DEE", limit=10)] == ["welcome"]
    assert not store.notices("ADA", limit=10)


def test_a_record_whose_notices_could_not_be_given_comes_again_and_others_of_its_member_wait(store: Memory) -> None:
    events = Events()
    changes = stream_of(store)

    def tell(record: Record) -> None:
        if (record.account, record.seq) == ("ADA", 2):
            raise OutcomeUnknown("The store did not answer.")

    relay = Announcer(store, Bus(events, "bus", pause=lambda _seconds: None), Logger("relay"), tell)
    failed = relay.announce(changes, seconds_left=SECONDS)

    places = {
        number_of(change): (change["dynamodb"]["Keys"]["PK"]["S"], change["dynamodb"]["Keys"]["SK"]["S"])
        for change in changes
    }
    (item,) = failed["batchItemFailures"]
    assert places[item["itemIdentifier"]] == ("M#ADA", "E#0000000002")
    assert [each for each in events.ids if each.startswith("ADA-")] == [event.id for event in told(store, "ADA")][:1]
    assert announce(store, events, changes) == []
    assert is_whole(store, events)
