"""Lists of members on the deployed local stack: a file is uploaded over HTTP to a lent address, and imported by the queue's
worker."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from handlers.local.stack import Stack
from schema.nodes import from_id, to_id
from tests.engines import ROOT
from tests.stack import Running, graphql

# A loaded machine starts a function and passes a message on in this time, many times over.
PATIENCE_S = 90

LIST = """id name by status createdAt importedAt uploadUrl lineCount memberCount unknownCount malformedCount
  duplicateCount closedCount mergedCount failure
  examples { kind line }"""
CREATE = f"""mutation ($i: MemberListCreateInput!) {{ memberListCreate(input: $i) {{
  memberList {{ {LIST} }} replayed userErrors {{ code field }} }} }}"""
IMPORT = f"""mutation ($i: MemberListImportInput!) {{ memberListImport(input: $i) {{
  memberList {{ {LIST} }} replayed userErrors {{ code field }} }} }}"""
LOOK = f"query ($id: ID!) {{ memberList(id: $id) {{ {LIST} }} }}"
ENROLL = "mutation ($i: MemberEnrollInput!) { memberEnroll(input: $i) { member { id } userErrors { code } } }"
CLOSE = "mutation ($i: MemberCloseInput!) { memberClose(input: $i) { replayed userErrors { code } } }"
MERGE = "mutation ($i: MemberMergeInput!) { memberMerge(input: $i) { replayed userErrors { code } } }"
BALANCE = "query ($by: MemberByInput!) { member(by: $by) { account { balance } } }"
CAMPAIGN = """mutation ($i: CampaignCreateInput!) { campaignCreate(input: $i) {
  campaign { id status } userErrors { code field } } }"""


def ask(stack: Stack, role: str, query: str, **variables: Any) -> Any:
    response = graphql(stack, query, token=stack.token(role), variables=variables)
    assert response.status_code == 200, response.text
    assert "errors" not in response.json(), response.text
    (answer,) = response.json()["data"].values()
    return answer


def until(found: Callable[[], Any]) -> Any:
    give_up_at = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.2)
    return value


def key() -> str:
    return str(uuid4())


def enroll(stack: Stack, name: str, **details: str) -> str:
    wanted = {"idempotencyKey": key(), "externalId": name, **details}
    answer = ask(stack, "partner", ENROLL, i=wanted)
    assert answer["userErrors"] == []
    member_id: str = answer["member"]["id"]
    return member_id


def created(stack: Stack, by: str, name: str = "Walkers") -> dict[str, Any]:
    answer = ask(stack, "staff", CREATE, i={"idempotencyKey": key(), "name": name, "by": by})
    assert answer["userErrors"] == []
    made: dict[str, Any] = answer["memberList"]
    return made


def over(stack: Stack, list_id: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = ask(stack, "staff", LOOK, id=list_id)
        return found if found["status"] in ("READY", "FAILED") else None

    found: dict[str, Any] = until(ended)
    return found


def imported(stack: Stack, by: str, file: bytes) -> dict[str, Any]:
    made = created(stack, by)
    assert httpx.put(made["uploadUrl"], content=file).status_code == 200
    begun = ask(stack, "staff", IMPORT, i={"idempotencyKey": key(), "id": made["id"]})
    assert (begun["userErrors"], begun["memberList"]["status"]) == ([], "IMPORTING")
    return over(stack, made["id"])


def test_a_file_of_good_unknown_double_malformed_closed_and_merged_members_is_a_list(stack: Stack) -> None:
    some = key()[:8]
    ids = {
        name: enroll(stack, f"{name}-{some}", email=f"{name}-{some}@example.com") for name in ("a", "b", "old", "gone")
    }
    ask(stack, "staff", CLOSE, i={"idempotencyKey": key(), "member": {"id": ids["gone"]}, "reason": "LEFT"})
    merge = {"idempotencyKey": key(), "duplicate": {"id": ids["old"]}, "survivor": {"id": ids["b"]}, "reason": "TWICE"}
    assert ask(stack, "staff", MERGE, i=merge)["userErrors"] == []
    emails = [
        f"A-{some}@Example.COM",
        f"old-{some}@example.com",
        "no address",
        f"a-{some}@example.com",
        "x@example.com",
    ]

    by_email = imported(stack, "EMAIL", ("\ufeffemail\r\n" + "\r\n".join(emails) + "\r\n").encode())
    by_id = imported(stack, "MEMBER_ID", "\n".join([*ids.values(), to_id("Member", "nobody"), "nonsense"]).encode())

    counts = [f"{name}Count" for name in ("line", "member", "unknown", "malformed", "duplicate", "closed", "merged")]
    assert by_email["status"] == by_id["status"] == "READY"
    assert [by_email[each] for each in counts] == [5, 2, 1, 1, 1, 0, 1]
    assert by_email["examples"] == [
        {"kind": "UNKNOWN", "line": 6},
        {"kind": "MALFORMED", "line": 4},
        {"kind": "DUPLICATE", "line": 5},
    ]
    assert [by_id[each] for each in counts] == [6, 2, 1, 1, 1, 1, 1]
    assert by_id["examples"] == [
        {"kind": "UNKNOWN", "line": 5},
        {"kind": "MALFORMED", "line": 6},
        {"kind": "DUPLICATE", "line": 3},
        {"kind": "CLOSED", "line": 4},
    ]
    # Nothing is left to upload to, and no message is left.
    assert by_email["uploadUrl"] is None


def test_what_is_no_text_or_holds_nothing_fails_and_says_why(stack: Stack) -> None:
    assert imported(stack, "EMAIL", "a@example.com\nzoë@example.com".encode("latin-1"))["failure"] == "NOT_TEXT"
    assert imported(stack, "EMAIL", b"")["failure"] == "EMPTY"
    assert imported(stack, "EMAIL", b"email\n\n")["failure"] == "EMPTY"


def test_an_import_before_the_upload_is_refused_and_done_afterwards(stack: Stack) -> None:
    name = f"late-{key()[:8]}"
    enroll(stack, name)
    made = created(stack, "EXTERNAL_ID")
    wanted = {"idempotencyKey": key(), "id": made["id"]}

    early = ask(stack, "staff", IMPORT, i=wanted)
    assert early["userErrors"] == [{"code": "LIST_NOT_UPLOADED", "field": ["input", "id"]}]
    assert httpx.put(made["uploadUrl"], content=name.encode()).status_code == 200
    assert ask(stack, "staff", IMPORT, i=wanted)["userErrors"] == []
    again = ask(stack, "staff", IMPORT, i=wanted)

    assert (again["replayed"], over(stack, made["id"])["memberCount"]) == (True, 1)
    other = ask(stack, "staff", IMPORT, i={**wanted, "idempotencyKey": key()})
    assert other["userErrors"] == [{"code": "LIST_STATE", "field": ["input", "id"]}]


def test_a_lent_address_takes_one_file_by_put_and_nothing_else(stack: Stack) -> None:
    made, other = created(stack, "EMAIL"), created(stack, "EMAIL")
    url = made["uploadUrl"]
    place = from_id(made["id"])[1], from_id(other["id"])[1]
    page = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT"}

    assert httpx.options(url, headers=page).headers["access-control-allow-origin"] in ("*", page["Origin"])
    assert httpx.get(url).status_code == 403
    assert httpx.put(url.replace(*place), content=b"x").status_code == 403
    assert httpx.put(url.split("?")[0], content=b"x").status_code == 403
    assert httpx.put(url, content=b"nobody@example.com").status_code == 200
    assert httpx.get(url.split("?")[0]).status_code == 403


def test_the_bucket_is_private_and_encrypted_and_its_roles_are_narrow(stack: Stack) -> None:
    s3, bucket = stack.client("s3"), stack.outputs["ListsBucketName"]
    access = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]

    assert set(access.values()) == {True}
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_a_list_that_is_not_ready_is_no_audience(stack: Stack) -> None:
    waiting = created(stack, "EMAIL")
    wanted = {
        "idempotencyKey": key(),
        "name": "Thanks",
        "code": "THANKS",
        "audience": {"listId": waiting["id"]},
        "award": {"points": 5},
    }

    refused = ask(stack, "staff", CAMPAIGN, i=wanted)
    unknown = ask(stack, "staff", CAMPAIGN, i={**wanted, "audience": {"listId": to_id("MemberList", "nothing")}})

    assert refused["userErrors"] == [{"code": "LIST_NOT_READY", "field": ["input", "audience", "listId"]}]
    assert unknown["userErrors"] == [{"code": "LIST_NOT_FOUND", "field": ["input", "audience", "listId"]}]


def test_a_list_over_several_parts_is_whole(stack: Stack) -> None:
    names = [f"crowd-{key()[:8]}-{number}" for number in range(3)]
    for name in names:
        enroll(stack, name)
    lines = [f"nobody-{number}" for number in range(4_500)]
    for place, name in zip((0, 2_100, 4_499), names, strict=True):
        lines[place] = name

    found = imported(stack, "EXTERNAL_ID", "\n".join(lines).encode())

    assert (found["lineCount"], found["memberCount"], found["unknownCount"]) == (4_500, 3, 4_497)
    assert [each["line"] for each in found["examples"]] == list(range(2, 102))
    asked = "query ($id: ID!) { memberList(id: $id) { examples(kind: UNKNOWN, afterLine: 950) { line } } }"
    assert [each["line"] for each in ask(stack, "staff", asked, id=found["id"])["examples"]][-1] == 1_001


# --- the page -----------------------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "lists.md").read_text(encoding="utf-8")
NAMED = "ada-1815"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_what_the_page_tells_to_type_does_what_it_says(running: Running, stack: Stack, tmp_path: Path) -> None:
    enroll(stack, NAMED, email="ada.1815@example.com")
    with_command, with_curl = blocks("sh")
    environment = {**os.environ, "REGULARS_HOME": str(running.home.folder), "COLUMNS": "120"}

    def typed(command: str, **more: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", command.replace(".venv/bin/", f"{Path(sys.executable).parent}/")],
            cwd=tmp_path,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = typed(with_command)
    (promised,) = blocks("text")
    assert told.splitlines()[:-1] == promised.splitlines()[:-1]

    making, importing, looking = blocks("graphql")
    made = ask(stack, "staff", making)["memberList"]
    (tmp_path / "walkers.csv").write_text("Email\nADA.1815@example.com\nno address\n", encoding="utf-8")
    typed(with_curl, UPLOAD_URL=made["uploadUrl"])
    assert ask(stack, "staff", importing, id=made["id"])["userErrors"] == []
    over(stack, made["id"])
    found = ask(stack, "staff", looking, id=made["id"])
    assert (found["status"], found["memberCount"], found["malformedCount"]) == ("READY", 1, 1)
    assert found["examples"] == [{"kind": "MALFORMED", "line": 3}]


# --- the command --------------------------------------------------------------------------------------------------------


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("regulars")), "list", "upload", *arguments, "--url", stack.graphql_url],
        env={"PATH": "/usr/bin:/bin", "REGULARS_TOKEN": stack.token("staff"), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_uploads_a_file_waits_and_says_what_it_came_to(stack: Stack, tmp_path: Path) -> None:
    name = f"typed-{key()[:8]}"
    enroll(stack, name)
    file = tmp_path / "walkers.csv"
    file.write_text(f"externalId,name\n{name},Ada\nnobody,Bob\n\n{name},Ada\n", encoding="utf-8")

    done = command(stack, str(file), "--by", "external-id")

    assert done.returncode == 0, done.stderr
    assert "1 member of 3 lines" in done.stdout
    assert "unknown" in done.stdout
    assert "line 3" in done.stdout
    listed = ask(stack, "staff", "{ memberLists(first: 1) { nodes { name status } } }")["nodes"]
    assert listed == [{"name": "walkers.csv", "status": "READY"}]


@pytest.mark.parametrize(
    ("content", "arguments", "code", "told"),
    [
        (b"\xff\xfe", ("--by", "email"), 1, "NOT_TEXT"),
        (b"a@example.com", ("--by", "email", "--name", " "), 1, "INVALID_TEXT"),
        (b"a@example.com", ("--by", "shoe-size"), 2, "shoe-size"),
    ],
)
def test_what_the_command_refuses_it_says(
    stack: Stack, tmp_path: Path, content: bytes, arguments: tuple[str, ...], code: int, told: str
) -> None:
    file = tmp_path / "file.csv"
    file.write_bytes(content)

    refused = command(stack, str(file), *arguments)

    assert (refused.returncode, told in refused.stderr) == (code, True), refused.stderr


def test_only_managers_make_lists_and_staff_sees_them(stack: Stack) -> None:
    made = created(stack, "EMAIL")
    for role in ("member", "partner"):
        for query, variables in (
            (CREATE, {"i": {"idempotencyKey": key(), "name": "X", "by": "EMAIL"}}),
            (IMPORT, {"i": {"idempotencyKey": key(), "id": made["id"]}}),
            (LOOK, {"id": made["id"]}),
        ):
            answer = graphql(stack, query, token=stack.token(role), variables=variables)
            assert answer.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert json.loads(graphql(stack, LOOK, token=stack.token("staff"), variables={"id": made["id"]}).text)["data"]
