"""Lists of members through the API and the campaigner, with a real bucket and a real queue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from botocore.exceptions import ClientError

from domain import limits
from handlers import aws, queue, uploads
from handlers.queue import NotSent
from tests.engines import run_ministack
from tests.handlers.api import (
    LIST_CREATE,
    LIST_IMPORT,
    MEMBER_LIST,
    MEMBER_LISTS,
    NODE,
    Answer,
    Claims,
    global_id,
    manager,
    support,
    till,
)
from tests.handlers.launching import Stage, boss, staged

BUCKET = "lists-of-nobody"
# What a test puts in its place knows one engine only.
connect, on_aws = uploads.connect, aws.connect
URL = "query Url($id: ID!) { memberList(id: $id) { uploadUrl } }"
EXAMPLES = """query Examples($id: ID!, $kind: MemberListFlaw, $line: Long! = 0) {
  memberList(id: $id) { examples(kind: $kind, afterLine: $line) { kind line } }
}"""


@pytest.fixture(scope="module")
def desk() -> Iterator[Stage]:
    """A stack with a bucket and queues of its own."""
    with run_ministack("dynamodb,sqs,s3") as engine, pytest.MonkeyPatch.context() as patch:
        # Of an account's root, who needs no table of users: the engine looks at signatures of lent addresses.
        s3 = uploads.connect(**{**engine.client_kwargs, "aws_secret_access_key": "test"})
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": engine.region})
        patch.setattr(uploads, "connect", lambda: s3)
        with staged(engine) as stage:
            yield stage


@pytest.fixture
def s3(desk: Stage) -> Any:
    return uploads.connect()


def create(desk: Stage, by: str = "EXTERNAL_ID", *, key: str | None = None, caller: Claims | None = None) -> Answer:
    wanted = {"idempotencyKey": key or str(uuid4()), "name": "Walkers", "by": by}
    return desk.api.post(caller or manager(), LIST_CREATE, input=wanted)


def created(desk: Stage, by: str = "EXTERNAL_ID") -> str:
    made: str = create(desk, by).data["memberListCreate"]["memberList"]["id"]
    return made


def url_of(desk: Stage, list_id: str, caller: Claims | None = None) -> str | None:
    found: str | None = desk.api.post(caller or manager(), URL, id=list_id).data["memberList"]["uploadUrl"]
    return found


def upload(desk: Stage, list_id: str, content: bytes) -> None:
    url = url_of(desk, list_id)
    assert url
    assert httpx.put(url, content=content).status_code == 200


def begin(desk: Stage, list_id: str, *, key: str | None = None, caller: Claims | None = None) -> Answer:
    wanted = {"idempotencyKey": key or str(uuid4()), "id": list_id}
    return desk.api.post(caller or manager(), LIST_IMPORT, input=wanted)


def look(desk: Stage, list_id: str) -> dict[str, Any]:
    found: dict[str, Any] = desk.api.post(support(), MEMBER_LIST, id=list_id).data["memberList"]
    return found


def imported(desk: Stage, content: bytes, by: str = "EXTERNAL_ID") -> dict[str, Any]:
    made = created(desk, by)
    upload(desk, made, content)
    assert begin(desk, made).complaints == []
    desk.work()
    return look(desk, made)


def counts(found: dict[str, Any]) -> list[int]:
    names = ("line", "member", "unknown", "malformed", "duplicate", "closed", "merged")
    return [found[f"{name}Count"] for name in names]


# --- made and uploaded --------------------------------------------------------------------------------------------------


def test_a_list_is_made_once_for_a_key(desk: Stage) -> None:
    made, again = create(desk, key="walkers"), create(desk, key="walkers")

    payload = made.data["memberListCreate"]
    assert (payload["memberList"]["status"], payload["memberList"]["by"]) == ("UPLOADING", "EXTERNAL_ID")
    assert counts(payload["memberList"]) == [None] * 7
    assert again.body == made.body.replace('"replayed":false', '"replayed":true')
    with desk.api.unchanged():
        other = create(desk, "EMAIL", key="walkers")
    assert other.refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]
    assert create(desk, key="walkers", caller=boss()).data["memberListCreate"]["replayed"] is False


def test_an_address_is_lent_to_managers_while_the_file_is_awaited(desk: Stage) -> None:
    made = created(desk)

    assert url_of(desk, made, support()) is None
    first = url_of(desk, made)
    assert first
    assert httpx.get(first).status_code == 403
    upload(desk, made, b"ada")
    assert begin(desk, made).complaints == []
    assert url_of(desk, made) is None
    desk.work()


def test_lists_are_told_the_newest_first_and_found_again_by_their_ids(desk: Stage) -> None:
    made = [created(desk) for _ in range(3)]

    first = desk.api.post(support(), MEMBER_LISTS, first=2).data["memberLists"]
    assert [edge["node"]["id"] for edge in first["edges"]] == made[:0:-1]
    assert first["pageInfo"]["hasNextPage"] is True
    rest = desk.api.post(support(), MEMBER_LISTS, first=1, after=first["pageInfo"]["endCursor"]).data["memberLists"]
    assert [node["id"] for node in rest["nodes"]] == made[:1]
    assert desk.api.post(support(), NODE, id=made[0]).data["node"] == {"__typename": "MemberList", "id": made[0]}
    for other in (global_id("MemberList", "nothing"), global_id("Campaign", made[0]), "nonsense"):
        assert desk.api.post(support(), MEMBER_LIST, id=other).data["memberList"] is None
    assert desk.api.post(till(), NODE, id=made[0]).data["node"] is None


# --- imported -----------------------------------------------------------------------------------------------------------


def test_a_file_becomes_a_list_and_a_campaign_gives_to_those_who_are_on_it(desk: Stage) -> None:
    place = desk.join("ada", "bob", "eve")
    found = imported(desk, f"externalId\n{place}-ada\n{place}-nobody\n{place}-eve\n{place}-ada \n,\n".encode())

    assert (found["status"], counts(found)) == ("READY", [5, 2, 1, 1, 1, 0, 0])
    assert found["examples"] == [
        {"kind": "UNKNOWN", "line": 3},
        {"kind": "MALFORMED", "line": 6},
        {"kind": "DUPLICATE", "line": 5},
    ]
    campaign = desk.completed(audience={"listId": found["id"]}, award={"points": 7})
    assert [desk.entries(f"{place}-{name}") for name in ("ada", "bob", "eve")] == [
        [("EnrollmentEntry", 0), ("CampaignBonusEntry", 7)],
        [("EnrollmentEntry", 0)],
        [("EnrollmentEntry", 0), ("CampaignBonusEntry", 7)],
    ]
    assert desk.look(campaign)["progress"]["planned"] == 2


@pytest.mark.parametrize(
    ("content", "failure"), [(b"", "EMPTY"), (b"zo\xeb\n", "NOT_TEXT"), (b"x" * 70_000, "LINE_TOO_LONG")]
)
def test_a_file_that_is_no_list_says_why(desk: Stage, content: bytes, failure: str) -> None:
    found = imported(desk, content)

    assert (found["status"], found["failure"], found["memberCount"]) == ("FAILED", failure, None)
    refused = desk.create(audience={"listId": found["id"]})
    assert refused.refusals == [("LIST_NOT_READY", "input.audience.listId")]


def test_an_import_without_its_file_of_no_list_or_of_too_much_is_refused_and_changes_nothing(
    desk: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, large = created(desk), created(desk)
    upload(desk, large, b"ada\nbob\n")
    monkeypatch.setattr(limits, "LIST_BYTES_MAX", 7)

    with desk.api.unchanged():
        assert begin(desk, made).refusals == [("LIST_NOT_UPLOADED", "input.id")]
        assert begin(desk, large).refusals == [("LIST_TOO_LARGE", "input.id")]
        for other in ("", "nonsense", global_id("MemberList", "nothing"), global_id("Campaign", made)):
            assert begin(desk, other).refusals == [("LIST_NOT_FOUND", "input.id")]
        for key in (" ", "x" * 257):
            assert begin(desk, made, key=key).refusals == [("INVALID_TEXT", "input.idempotencyKey")]
    assert desk.waiting() == []


def test_a_second_import_with_the_same_key_is_the_first_and_with_another_is_refused(desk: Stage) -> None:
    place = desk.join("ada")
    made = created(desk)
    upload(desk, made, f"{place}-ada".encode())
    key = str(uuid4())
    first = begin(desk, made, key=key)
    desk.empty()

    again = begin(desk, made, key=key)

    assert again.body == first.body.replace('"replayed":false', '"replayed":true')
    assert begin(desk, made).refusals == [("LIST_STATE", "input.id")]
    assert begin(desk, created(desk), key=key).refusals == [("IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey")]
    desk.work()
    assert counts(look(desk, made))[:2] == [1, 1]
    last = begin(desk, made, key=key).data["memberListImport"]
    assert (last["replayed"], last["memberList"]["status"]) == (True, "READY")
    assert desk.waiting() == []


def test_a_file_that_is_replaced_after_its_import_was_asked_for_is_not_imported(desk: Stage, s3: Any) -> None:
    place = desk.join("ada")
    made = created(desk)
    url = url_of(desk, made)
    assert url
    upload(desk, made, b"nobody")
    assert begin(desk, made).complaints == []
    assert httpx.put(url, content=f"{place}-ada".encode()).status_code == 200

    desk.work()

    assert (look(desk, made)["status"], look(desk, made)["failure"]) == ("FAILED", "CHANGED")
    gone = created(desk)
    upload(desk, gone, b"nobody")
    assert begin(desk, gone).complaints == []
    (file,) = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"] if each["Size"] == len("nobody")]
    s3.delete_object(Bucket=BUCKET, Key=file)
    desk.work()
    assert look(desk, gone)["failure"] == "CHANGED"


def test_lines_of_a_flaw_are_told_a_hundred_at_a_time(desk: Stage) -> None:
    found = imported(desk, b"nobody\n" * 1_500 + b",\n" * 3)

    def told(**variables: Any) -> list[tuple[str, int]]:
        answer = desk.api.post(support(), EXAMPLES, id=found["id"], **variables)
        return [(each["kind"], each["line"]) for each in answer.data["memberList"]["examples"]]

    unknown = [("UNKNOWN", line) for line in range(1, 1_001)]
    malformed = [("MALFORMED", line) for line in (1_501, 1_502, 1_503)]
    assert counts(found) == [1_503, 0, 1_500, 3, 0, 0, 0]
    assert told() == unknown[:100] + malformed
    assert told(kind="UNKNOWN", line=950) == unknown[950:]
    assert told(line=1_501) == malformed[1:]
    assert told(kind="CLOSED") == []


# --- messages -----------------------------------------------------------------------------------------------------------


def test_of_a_batch_with_an_altered_message_the_others_are_done_and_that_one_is_kept_with_its_reason(
    desk: Stage,
) -> None:
    place = desk.join("ada")
    made = created(desk)
    upload(desk, made, f"{place}-ada".encode())
    assert begin(desk, made).complaints == []
    waiting = created(desk)
    (good,) = desk.waiting()
    altered = [
        good.replace('"list"', '"list":7,"part"'),
        json.dumps({"list": "nothing"}),
        json.dumps({"list": json.loads(good)["list"], "part": 9}),
        # Nobody has asked for this one.
        json.dumps({"list": _key_of(waiting)}),
    ]
    desk.put(*altered)

    desk.work()

    assert counts(look(desk, made))[:2] == [1, 1]
    assert look(desk, waiting)["status"] == "UPLOADING"
    kept = desk.kept()
    assert [kept[each] for each in altered] == [
        "NotATurn: list is no id",
        "NotATurn: there is no such list",
        "NotATurn: there is no such part",
        "NotATurn: nobody has asked for its import",
    ]


def test_a_list_whose_file_cannot_be_read_has_failed_after_the_last_delivery(desk: Stage, s3: Any) -> None:
    made = created(desk)
    upload(desk, made, b"ada")
    assert begin(desk, made).complaints == []

    def broken(**_request: Any) -> None:
        raise ConnectionError("no way to S3")

    messages = desk.take()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3, "get_object", broken)
        assert desk.deliver(messages) == messages
        assert look(desk, made)["status"] == "IMPORTING"
        again = desk.take()
        last = [
            {**each, "Attributes": {**each["Attributes"], "ApproximateReceiveCount": str(limits.DELIVERIES_MAX)}}
            for each in again
        ]
        assert desk.deliver(last) == []

    assert (look(desk, made)["status"], look(desk, made)["failure"]) == ("FAILED", "GIVEN_UP")
    assert desk.kept()[messages[0]["Body"]] == "ConnectionError: no way to S3"
    # Moved back later, it changes nothing.
    desk.put(messages[0]["Body"])
    desk.work()
    assert look(desk, made)["failure"] == "GIVEN_UP"


def test_where_the_queue_takes_nothing_the_outcome_of_an_import_is_unknown_until_it_is_asked_for_again(
    desk: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, made = desk.join("ada"), created(desk)
    upload(desk, made, f"{place}-ada".encode())

    def full(*_: Any, **__: Any) -> None:
        raise NotSent("ServiceUnavailable")

    with monkeypatch.context() as patch:
        patch.setattr(queue.Queue, "send", full)
        assert begin(desk, made, key="k").faults == [("OUTCOME_UNKNOWN", None)]
    assert look(desk, made)["status"] == "IMPORTING"

    assert begin(desk, made, key="k").complaints == []
    desk.work()
    assert counts(look(desk, made))[:2] == [1, 1]


def test_a_bucket_that_does_not_answer_leaves_the_outcome_unknown_and_the_list_as_it_was(
    desk: Stage, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = created(desk)
    upload(desk, made, b"ada")

    def slow(**_request: Any) -> None:
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "Reduce your request rate."}}, "ListObjectsV2")

    with monkeypatch.context() as patch:
        patch.setattr(s3, "list_objects_v2", slow)
        assert begin(desk, made, key="s").faults == [("OUTCOME_UNKNOWN", None)]
    assert look(desk, made)["status"] == "UPLOADING"
    assert begin(desk, made, key="s").complaints == []
    desk.work()


def test_a_part_for_which_there_is_no_time_is_handed_on(desk: Stage) -> None:
    place = desk.join("ada")
    made = created(desk)
    upload(desk, made, f"{place}-ada".encode())
    assert begin(desk, made).complaints == []
    assert desk.deliver(desk.take(), seconds=120) == []

    parts = desk.take()
    assert [json.loads(each["Body"]).get("part") for each in parts] == [1]
    assert desk.deliver(parts, seconds=30) == []

    assert look(desk, made)["status"] == "IMPORTING"
    desk.work()
    assert counts(look(desk, made))[:2] == [1, 1]


def test_the_bucket_is_asked_for_this_file_and_no_longer_one_of_a_longer_name(s3: Any) -> None:
    """Files are found by listing them, and a list of names gives whatever begins so."""
    bucket = uploads.Bucket(BUCKET, client=lambda: s3)
    s3.put_object(Bucket=BUCKET, Key="lists/longer-name", Body=b"x")

    assert bucket.find("longer") is None
    assert bucket.find("longer-name") is not None


def _key_of(list_id: str) -> str:
    from schema.nodes import from_id

    return from_id(list_id)[1]


def test_an_address_on_aws_is_of_the_buckets_region_and_asks_for_nothing_but_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another region would redirect, and whoever types an address into a command sends no headers that were signed."""
    monkeypatch.setattr(aws, "connect", on_aws)
    client = connect(region_name="eu-central-1", aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="example")

    url = httpx.URL(uploads.Bucket("regulars-lists", client=lambda: client).url("01L"))

    assert (url.host, url.path) == ("regulars-lists.s3.eu-central-1.amazonaws.com", "/lists/01L")
    assert (url.params["X-Amz-SignedHeaders"], url.params["X-Amz-Expires"]) == ("host", "3600")
    assert not [name for name in url.params if "checksum" in name]
