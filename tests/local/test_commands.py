"""`regulars run`, `token` and `reset`, as a person at a terminal meets them."""

import json
import socket
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from handlers.local import graphiql, people
from handlers.local.home import Home, write_json
from handlers.local.stack import Stack
from tests.engines import free_port
from tests.stack import Running, command, graphql


def regulars(name: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, home, *arguments), capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def test_says_where_it_is_and_gives_tokens_and_a_query_that_works(running: Running, stack: Stack) -> None:
    facts = json.loads(running.home.stack_file.read_text())

    assert stack.graphql_url in running.output
    assert stack.graphiql_url in running.output
    for role in ("member", "partner", "staff", "approver"):
        assert facts["tokens"][role] in running.output
    pasted = running.output[running.output.index("curl -s ") :].split("\n\n")[0]
    answer = json.loads(subprocess.run(["bash", "-c", pasted], capture_output=True, check=True).stdout)
    assert answer["data"]["viewer"]["name"] == "Ada"
    assert len(answer["data"]["rewards"]["nodes"]) == 7


def test_only_its_owner_may_read_the_tokens(running: Running) -> None:
    assert stat.S_IMODE(running.home.stack_file.stat().st_mode) == 0o600


def test_a_fresh_token_from_another_terminal_works(running: Running, stack: Stack) -> None:
    given = regulars("token", running.home.folder, "partner")

    assert given.returncode == 0
    token = given.stdout.strip()
    assert token != json.loads(running.home.stack_file.read_text())["tokens"]["partner"]
    assert graphql(stack, "{ __typename }", token=token).status_code == 200


def test_a_token_without_a_stack_is_a_message(tmp_path: Path) -> None:
    given = regulars("token", tmp_path, "member")

    assert (given.returncode, given.stdout) == (1, "")
    assert given.stderr == "Regulars is not running here. Start it: make run\n"


def test_a_second_run_says_that_the_first_is_there(running: Running, stack: Stack) -> None:
    second = regulars(
        "run", running.home.folder, "--port", str(free_port()), "--gateway-port", str(free_port())
    )  # fmt: skip

    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.count("\n") == 1
    assert f"already running here (process {running.process.pid}, {stack.graphiql_url})" in second.stderr
    assert graphql(stack, "{ __typename }", token=stack.token("member")).status_code == 200


def test_reset_refuses_while_it_runs(running: Running, stack: Stack) -> None:
    refused = regulars("reset", running.home.folder)

    assert refused.returncode == 1
    assert "already running here" in refused.stderr
    assert graphql(stack, "{ __typename }", token=stack.token("member")).status_code == 200


@pytest.mark.parametrize(("option", "variable"), [("--port", "PORT"), ("--gateway-port", "GATEWAY_PORT")])
def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path, option: str, variable: str) -> None:
    other = "--gateway-port" if option == "--port" else "--port"
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        refused = regulars("run", tmp_path, option, str(port), other, str(free_port()))

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"Port {port} is taken by another program." in refused.stderr
    assert f"make run {variable}={port + 1}" in refused.stderr


def test_reset_forgets_everything_the_stack_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    write_json(home.emulator / "current" / "dynamodb.json", {"items": 1})
    write_json(home.stack_file, {"left": "by a kill"})

    done = regulars("reset", tmp_path)

    assert done.returncode == 0
    assert not home.state.exists()
    assert not home.stack_file.exists()


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_and_its_assets_are_served_from_here(stack: Stack) -> None:
    page = httpx.get(stack.graphiql_url)

    assert page.status_code == 200
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for asset in ("page.js", "first-query", "assets/graphiql.min.js", "assets/react.production.min.js"):
        assert httpx.get(stack.graphiql_url + asset).status_code == 200


def test_the_page_gives_fresh_tokens_and_hands_calls_on_as_they_are(stack: Stack) -> None:
    given = httpx.get(f"{stack.graphiql_url}token/staff").json()
    query = {"query": "{ __typename }"}
    headers = {"Authorization": f"Bearer {given['token']}", "Accept": "application/graphql-response+json"}

    direct = httpx.post(stack.graphql_url, headers=headers, json=query)
    handed_on = httpx.post(f"{stack.graphiql_url}graphql", headers=headers, json=query)
    refused = httpx.post(f"{stack.graphiql_url}graphql", json=query)

    assert given["expiresAt"] == people.expires_at(given["token"])
    assert (handed_on.status_code, handed_on.content) == (direct.status_code, direct.content) == (200, direct.content)
    assert handed_on.headers["content-type"] == direct.headers["content-type"]
    assert refused.status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_no_other_page_gets_a_token(stack: Stack, headers: dict[str, str]) -> None:
    refused = httpx.get(f"{stack.graphiql_url}token/staff", headers=headers)

    assert refused.status_code == 403
    assert "eyJ" not in refused.text


@pytest.mark.parametrize("path", ["assets/../../state/passwords", "assets/%2e%2e/stack.json", "token/root", "x"])
def test_the_page_serves_nothing_else(stack: Stack, path: str) -> None:
    assert httpx.get(httpx.URL(stack.graphiql_url + path)).status_code == 404


def test_the_local_aws_answers_this_machine_only(stack: Stack) -> None:
    """A page under a name that was pointed here (DNS rebinding) reaches nothing, and no page can reset the stack."""
    health = f"{stack.endpoint_url}/_ministack/health"

    assert httpx.get(health).status_code == 200
    assert httpx.get(health, headers={"Host": "evil.example"}).status_code == 403
    assert httpx.post(f"{stack.endpoint_url}/_ministack/reset").status_code == 403


def test_nothing_listens_beyond_this_machine(stack: Stack) -> None:
    """127.0.0.2 is this machine too, and only a server on all interfaces would answer there."""
    for url in (stack.endpoint_url, stack.graphiql_url):
        port = httpx.URL(url).port
        assert port is not None
        with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
            elsewhere.connect(("127.0.0.2", port))


def test_without_npm_only_the_page_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphiql, "ASSETS", tmp_path / "graphiql")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert graphiql.fetched() is False
