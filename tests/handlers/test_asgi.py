"""GraphQL over HTTP, through real ASGI calls and, for the audits, over a socket behind Mangum."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mangum import Mangum

from handlers.asgi import GRAPHQL_RESPONSE, JSON, TEXT_MIME_TYPES, App, Scope, app
from schema.faults import Code, Fault
from tests.handlers.graphql_http import audits
from tests.schema import tiny_schema
from tests.schema.tiny_schema import SECRET, tiny

BYTES_MAX = 20_000
URL = "http://regulars.test/graphql"
SCHEMA = tiny()
APP = app(SCHEMA, context=lambda scope: scope["method"], body_bytes_max=BYTES_MAX)

PURCHASE = """mutation Record($input: PurchaseRecordInput!) { purchaseRecord(input: $input) { amountMinor lines } }"""
BASKET = {
    "source": "till",
    "total": {"amountMinor": 2**53 + 1, "currency": "EUR"},
    "lines": [{"sku": "espresso", "quantity": 2}],
}


@pytest.fixture(autouse=True)
def _nothing_asked_yet() -> None:
    tiny_schema.asked.clear()


def send(request: httpx.Request, to: App = APP) -> httpx.Response:
    async def sent() -> httpx.Response:
        response = await httpx.ASGITransport(to).handle_async_request(request)
        await response.aread()
        return response

    return asyncio.run(sent())


def post(body: object, to: App = APP, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(httpx.Request("POST", URL, json=body, headers=given), to)


def get(to: App = APP, accept: str = GRAPHQL_RESPONSE, **parameters: str) -> httpx.Response:
    return send(httpx.Request("GET", f"{URL}?{urlencode(parameters)}", headers={"accept": accept}), to)


def query(text: str, to: App = APP, **variables: object) -> httpx.Response:
    return post({"query": text, "variables": variables}, to, accept=GRAPHQL_RESPONSE)


def codes(response: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in response.json()["errors"]]


# --- the protocol -----------------------------------------------------------------------------------------------------


@pytest.fixture
def address() -> Iterator[str]:
    """The app on a loopback port, behind Mangum and events as API Gateway makes them."""

    class Gateway(BaseHTTPRequestHandler):
        handler: Mangum

        def do_GET(self) -> None:
            self._invoke(b"")

        def do_POST(self) -> None:
            self._invoke(self.rfile.read(int(self.headers.get("content-length", 0))))

        def _invoke(self, body: bytes) -> None:
            path, _, query_string = self.path.partition("?")
            method, is_text = self.command, self.headers.get("content-type", "").startswith("application/json")
            event: dict[str, Any] = {
                "version": "2.0",
                "rawPath": path,
                "rawQueryString": query_string,
                "headers": {name.lower(): value for name, value in self.headers.items()} | {"host": "regulars.test"},
                "requestContext": {"http": {"method": method, "path": path, "sourceIp": "127.0.0.1"}},
                "body": body.decode()
                if isinstance(body, bytes) and is_text
                else b64encode(bytes(body or b"")).decode(),
                "isBase64Encoded": not is_text,
            }
            answer = self.handler(event, None)  # type: ignore[arg-type]
            assert not answer["isBase64Encoded"], "text_mime_types is not complete"
            self.send_response(answer["statusCode"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    def serve() -> None:
        # Mangum runs the event loop of its thread, and makes it when it is made.
        Gateway.handler = Mangum(APP, lifespan="off", text_mime_types=TEXT_MIME_TYPES)
        server.serve_forever(poll_interval=0.05)

    server = HTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/graphql"
    server.shutdown()
    thread.join()
    server.server_close()


def test_passes_every_audit_of_graphql_over_http(address: str) -> None:
    results = audits.run(address)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == audits.AUDITS


def test_answers_exact_integers_and_any_letter_in_compact_utf_8_that_nobody_stores() -> None:
    response = query("{ balance viewer { name } }")
    assert response.status_code == 200
    assert response.content == (
        '{"data":{"balance":9223372036854775809,"viewer":{"name":"Ada Lovelace, Größe 🏃"}}}'.encode()
    )
    assert response.headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-length"] == str(len(response.content))


def test_reads_integers_beyond_what_a_float_can_hold() -> None:
    response = query(PURCHASE, input=BASKET)
    assert response.json() == {"data": {"purchaseRecord": {"amountMinor": 9007199254740993, "lines": 1}}}


def test_context_is_made_from_the_scope() -> None:
    assert query("{ caller }").json() == {"data": {"caller": "POST"}}
    assert get(query="{ caller }").json() == {"data": {"caller": "GET"}}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL_RESPONSE),
        ("APPLICATION/GraphQL-Response+JSON; charset=utf-8", GRAPHQL_RESPONSE),
        ("application/json, application/graphql-response+json", GRAPHQL_RESPONSE),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL_RESPONSE),
        ("application/graphql-response+json;q=0.5, application/json", JSON),
        ("application/graphql-response+json; q=0.1, */*", JSON),
        ("text/html, */*;q=0.1", JSON),
        ("application/json;q=0, */*", GRAPHQL_RESPONSE),
        ("application/json, multipart/mixed", JSON),
        ("application/graphql-response+json;q=nonsense, application/json;q=0.1", JSON),
    ],
)
def test_negotiates_the_media_type_and_with_it_the_status_of_a_refused_document(accept: str, media_type: str) -> None:
    response = post({"query": "{ unknown }"}, accept=accept)
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.status_code == (400 if media_type == GRAPHQL_RESPONSE else 200)
    assert codes(response) == ["GRAPHQL_VALIDATION_FAILED"]
    assert "data" not in response.json()


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/json;q=0", "nonsense"])
def test_refuses_a_caller_who_accepts_nothing_it_can_answer(accept: str) -> None:
    response = post({"query": "{ viewer { id } }"}, accept=accept)
    assert (response.status_code, codes(response)) == (406, ["NOT_ACCEPTABLE"])
    assert tiny_schema.asked == []


def test_get_runs_a_query_with_its_parameters() -> None:
    response = get(
        query="query A($n: Int) { viewer { entries(first: $n) { count } } } query B { balance }",
        variables='{"n": 3}',
        operationName="A",
        extensions="{}",
    )
    assert response.json() == {"data": {"viewer": {"entries": {"count": 3}}}}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
def test_get_refuses_a_mutation_and_runs_nothing(accept: str) -> None:
    response = get(query=PURCHASE, variables=json.dumps({"input": BASKET}), accept=accept)
    assert (response.status_code, codes(response)) == (405, ["METHOD_NOT_ALLOWED"])
    assert response.headers["allow"] == "POST"
    assert tiny_schema.asked == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
def test_refuses_other_methods(method: str) -> None:
    response = send(httpx.Request(method, URL, json={"query": "{ balance }"}))
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("query_string", "field"),
    [
        ("", "query"),
        ("query=", "query"),
        ("query=%ff", None),
        ("query={balance}&query={balance}", None),
        ("query={balance}&variables={", "variables"),
        ("query={balance}&variables=[]", "variables"),
        ("query={balance}&extensions=1", "extensions"),
        ("&".join(f"p{at}=1" for at in range(50)), None),
    ],
)
def test_get_refuses_broken_parameters(query_string: str, field: str | None) -> None:
    response = send(httpx.Request("GET", f"{URL}?{query_string}"))
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"} | ({"field": field} if field else {})


# --- bad requests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"42",
        b'"{ balance }"',
        b"{}",
        b'{"query": null}',
        b'{"query": ""}',
        b'{"query": 1}',
        b'{"query": ["{ balance }"]}',
        b'[{"query": "{ balance }"}]',
        b"[]",
        b'{"query": "{ balance }", "variables": []}',
        b'{"query": "{ balance }", "variables": "{}"}',
        b'{"query": "{ balance }", "operationName": 1}',
        b'{"query": "{ balance }", "extensions": true}',
        b'{"query": "{ balance }", "variables": {"n": NaN}}',
        b'{"query": "{ balance }", "variables": {"n": -Infinity}}',
        b'{"query": "{ balance }", "variables": {"n": 1e999}}',
        b'{"query": "{ balance }", "variables": {"n": ' + b"9" * 5_000 + b"}}",
        b'{"query": "{ balance }", "variables": {"n": "\\ud83c"}}',
        b'{"query": "{ balance }", "variables": {"\\uDFFF": 1}}',
        b'{"query": "{ balance }", "variables": {"n": "\xff"}}',
        b"\xef\xbb\xbf" + b'{"query": "{ balance }"}',
        '{"query": "{ balance }"}'.encode("utf-16"),
        b'{"query": "{ balance }", "variables": {"n": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
    ],
)
@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
def test_refuses_a_body_that_is_no_graphql_request(body: bytes, accept: str) -> None:
    headers = {"content-type": "application/json", "accept": accept}
    response = send(httpx.Request("POST", URL, content=body, headers=headers))
    assert (response.status_code, codes(response)) == (400, ["BAD_REQUEST"])
    assert "data" not in response.json()


def test_accepts_a_whole_surrogate_pair_spelled_as_escapes() -> None:
    body = b'{"query": "query A($s: String!) { balance lines(skus: [$s]) }", "variables": {"s": "\\ud83c\\udfc3"}}'
    response = send(httpx.Request("POST", URL, content=body, headers={"content-type": "application/json"}))
    assert response.json()["data"]["lines"] == 1


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/graphql",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json; charset=latin-1",
    ],
)
def test_refuses_bodies_that_do_not_say_they_are_json(content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = send(httpx.Request("POST", URL, content=b'{"query": "{ viewer { id } }"}', headers=headers))
    assert (response.status_code, codes(response)) == (415, ["MEDIA_TYPE_UNSUPPORTED"])
    assert tiny_schema.asked == []


@pytest.mark.parametrize(
    "content_type", ["application/json", 'Application/JSON; Charset="UTF-8"', "application/json;x"]
)
def test_accepts_json_however_it_is_spelled(content_type: str) -> None:
    headers = {"content-type": content_type}
    assert send(httpx.Request("POST", URL, content=b'{"query": "{ balance }"}', headers=headers)).status_code == 200


def body_of(length: int) -> bytes:
    body = json.dumps({"query": "{ viewer { id } }", "ignored": ""}).encode()
    return body.replace(b'""', b'"' + b"x" * (length - len(body)) + b'"')


def test_takes_a_body_of_exactly_the_limit_and_refuses_one_byte_more() -> None:
    headers = {"content-type": "application/json"}
    assert send(httpx.Request("POST", URL, content=body_of(BYTES_MAX), headers=headers)).status_code == 200
    tiny_schema.asked.clear()
    response = send(httpx.Request("POST", URL, content=body_of(BYTES_MAX + 1), headers=headers))
    assert (response.status_code, codes(response)) == (413, ["BODY_TOO_LARGE"])
    assert tiny_schema.asked == []


@pytest.mark.parametrize("content_length", [None, b"5", b"nonsense", b"-1"])
def test_stops_reading_a_body_that_is_larger_than_it_said(content_length: bytes | None) -> None:
    headers = [(b"content-type", b"application/json")]
    headers += [(b"content-length", content_length)] if content_length else []
    chunks_read, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal chunks_read
        chunks_read += 1
        return {"type": "http.request", "body": b"x" * 5_000, "more_body": True}

    async def keep(message: Any) -> None:
        sent.append(message)

    asyncio.run(APP({"type": "http", "method": "POST", "headers": headers, "query_string": b""}, receive, keep))
    assert sent[0]["status"] == 413
    assert chunks_read == 5


def test_does_not_begin_to_read_a_body_that_says_it_is_too_large() -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(BYTES_MAX + 1).encode())]
    sent = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def keep(message: Any) -> None:
        sent.append(message)

    asyncio.run(APP({"type": "http", "method": "POST", "headers": headers, "query_string": b""}, receive, keep))
    assert sent[0]["status"] == 413


def test_a_query_string_over_the_limit_is_refused_too() -> None:
    assert get(query="{ balance }", ignored="x" * BYTES_MAX).status_code == 413


# --- bad documents and values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("not graphql", "GRAPHQL_PARSE_FAILED"),
        ('{ lines(skus: ["\\uD83C"]) }', "GRAPHQL_PARSE_FAILED"),
        ("{ lines(skus: ['x']) }", "GRAPHQL_PARSE_FAILED"),
        ("{" * 500, "GRAPHQL_PARSE_FAILED"),
        ("{ unknown }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ member { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ lines(skus: $skus) }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ member(by: {id: $id}) { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("fragment F on Query { member(by: {id: $id}) { id } } { ...F }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { viewer { id } }", "OPERATION_RESOLUTION_FAILURE"),
        ("type Query { a: Int }", "OPERATION_RESOLUTION_FAILURE"),
        ("fragment F on Query { balance }", "OPERATION_RESOLUTION_FAILURE"),
        ("{ viewer { id } } query B { balance }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { viewer { id } } query B { balance }", "OPERATION_RESOLUTION_FAILURE"),
        ("query A($f: Boolean!) { viewer @include(if: $f) { id } }", "BAD_USER_INPUT"),
        ("query A($f: Boolean! = null) { viewer @include(if: $f) { id } }", "BAD_USER_INPUT"),
        ("{ viewer @include(if: 1) { id } }", "BAD_USER_INPUT"),
        ('{ member(by: {id: "1", externalId: "2"}) { id } }', "BAD_USER_INPUT"),
        ("{ member(by: {}) { id } }", "BAD_USER_INPUT"),
        ("{ member(by: {id: null}) { id } }", "BAD_USER_INPUT"),
        ("{ member(by: null) { id } }", "BAD_USER_INPUT"),
        ("{ lines(skus: [1]) }", "BAD_USER_INPUT"),
    ],
)
def test_a_wrong_document_runs_nothing_and_says_why(text: str, code: str) -> None:
    response = query(text)
    assert response.status_code == 400
    assert "data" not in response.json()
    assert code in codes(response)
    assert tiny_schema.asked == []


def test_several_operations_run_the_named_one_and_none_without_a_name() -> None:
    text = "query A { balance } query B { viewer { id } }"
    assert post({"query": text, "operationName": "A"}).json() == {"data": {"balance": 2**63 + 1}}
    assert codes(post({"query": text})) == ["OPERATION_RESOLUTION_FAILURE"]
    assert codes(post({"query": text, "operationName": "C"})) == ["OPERATION_RESOLUTION_FAILURE"]
    assert tiny_schema.asked == []


def basket(**changes: Any) -> dict[str, Any]:
    return BASKET | changes


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, "input"),
        ("x", "input"),
        (basket(source=None), "input.source"),
        (basket(source=7), "input.source"),
        (basket(total={"amountMinor": 1.5, "currency": "EUR"}), "input.total.amountMinor"),
        (basket(total={"amountMinor": True, "currency": "EUR"}), "input.total.amountMinor"),
        (basket(total={"amountMinor": "1", "currency": "EUR"}), "input.total.amountMinor"),
        (basket(total={"amountMinor": 1, "currency": "XXX"}), "input.total.currency"),
        (basket(total={"amountMinor": 1}), "input.total"),
        (basket(lines=[{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": 2**40}]), "input.lines.1.quantity"),
        (basket(lines=None), "input.lines"),
        (basket(unknown=1), "input"),
    ],
)
def test_a_wrong_variable_names_the_field(value: object, field: str) -> None:
    response = query(PURCHASE, input=value)
    (error,) = response.json()["errors"]
    assert response.status_code == 400
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert field in error["message"]
    assert tiny_schema.asked == []


def test_a_missing_variable_names_itself() -> None:
    (error,) = query(PURCHASE).json()["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "input"}


@pytest.mark.parametrize("by", [{}, {"id": None}, {"id": "1", "externalId": "2"}, {"id": "1", "externalId": None}])
def test_an_input_of_alternatives_takes_exactly_one(by: dict[str, Any]) -> None:
    response = query("query A($by: MemberBy!) { member(by: $by) { id } }", by=by)
    assert response.status_code == 400
    assert {error["extensions"]["field"] for error in response.json()["errors"]} <= {"by", "by.id"}
    assert set(codes(response)) == {"BAD_USER_INPUT"}
    assert tiny_schema.asked == []


def test_a_wrong_literal_names_the_field() -> None:
    response = query(
        """mutation { purchaseRecord(input: {source: "till", total: {amountMinor: 1.5, currency: EUR},
        lines: [{sku: "a", quantity: 1}, {sku: "b"}]}) { lines } }"""
    )
    assert response.status_code == 400
    assert [error["extensions"] for error in response.json()["errors"]] == [
        {"code": "BAD_USER_INPUT", "field": "input.total.amountMinor"},
        {"code": "BAD_USER_INPUT", "field": "input.lines.1"},
    ]
    assert tiny_schema.asked == []


def test_a_basket_of_nonsense_is_told_about_its_first_lines_only() -> None:
    response = query(PURCHASE, input=basket(lines=[{"sku": at, "quantity": "x"} for at in range(100)]))
    assert codes(response) == ["BAD_USER_INPUT"] * 10


def test_a_global_id_that_is_none_is_the_callers_mistake() -> None:
    response = query('{ node(id: "garbage") }')
    (error,) = response.json()["errors"]
    assert (response.status_code, response.json()["data"]) == (200, {"node": None})
    assert (error["extensions"]["code"], error["path"]) == ("BAD_USER_INPUT", ["node"])
    assert tiny_schema.asked == []


def test_a_null_that_only_the_execution_finds_is_the_callers_mistake() -> None:
    response = query("query A($id: ID) { member(by: {id: $id}) { id } }", id=None)
    assert (response.status_code, codes(response), response.json()["data"]) == (
        200,
        ["BAD_USER_INPUT"],
        {"member": None},
    )
    assert tiny_schema.asked == []
    response = query("query A($f: Boolean = true) { viewer { name @include(if: $f) } }", f=None)
    assert codes(response) == ["BAD_USER_INPUT"]


def test_suggestions_are_given_only_with_introspection() -> None:
    closed = app(tiny(introspection=False), context=lambda _: None, body_bytes_max=BYTES_MAX)
    misspelled: list[tuple[str, dict[str, Any]]] = [
        ("{ viewr { id } }", {}),
        ("{ lines(skis: []) }", {}),
        ("mutation { purchaseRecord(input: {total: {currency: EUX}}) { lines } }", {}),
        (PURCHASE, {"input": basket(sourc="x")}),
        (PURCHASE, {"input": basket(total={"amountMinor": 1, "currency": "EUX"})}),
    ]
    for text, variables in misspelled:
        assert "Did you mean" in query(text, **variables).text
        assert "Did you mean" not in query(text, closed, **variables).text


# --- faults of resolvers, and ours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
def test_a_fault_of_a_resolver_is_an_error_beside_the_data(accept: str) -> None:
    response = post({"query": "{ viewer { id secret } }"}, accept=accept)
    assert response.status_code == 200
    assert response.json() == {
        "errors": [
            {
                "message": "A member's secrets are their own.",
                "locations": [{"line": 1, "column": 15}],
                "path": ["viewer", "secret"],
                "extensions": {"code": "FORBIDDEN"},
            }
        ],
        "data": {"viewer": {"id": "m", "secret": None}},
    }


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("{ viewer { id broken } }", {"viewer": {"id": "m", "broken": None}}),
        ("{ viewer { id tooLarge } }", {"viewer": {"id": "m", "tooLarge": None}}),
        ("{ brokenRequired }", None),
    ],
)
def test_what_a_resolver_did_not_mean_to_tell_is_masked_and_logged(
    text: str, data: object, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = post({"query": text}, accept=accept)
    assert (response.status_code, response.json()["data"]) == (200, data)
    (error,) = response.json()["errors"]
    request_id = error["extensions"]["requestId"]
    assert error["message"] == f"Internal fault. Tell the support this request id: {request_id}"
    assert error["extensions"] == {"code": "INTERNAL", "requestId": request_id}
    assert SECRET not in response.text
    assert str(2**40) not in response.text
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[2] is not None
    assert request_id == record.__dict__["request_id"]
    assert record.__dict__["graphql_path"] == ".".join(error["path"])


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
def test_a_fault_outside_of_the_execution_is_a_masked_500(accept: str, caplog: pytest.LogCaptureFixture) -> None:
    def break_down(scope: Scope) -> None:
        raise RuntimeError(f"no access to {SECRET}")

    response = post(
        {"query": "{ viewer { id } }"}, app(SCHEMA, context=break_down, body_bytes_max=1_000), accept=accept
    )
    assert (response.status_code, codes(response)) == (500, ["INTERNAL"])
    assert "data" not in response.json()
    assert SECRET not in response.text
    assert SECRET in caplog.text
    assert tiny_schema.asked == []


def test_an_answer_that_json_cannot_hold_is_a_masked_500(caplog: pytest.LogCaptureFixture) -> None:
    response = query("{ raw }")
    assert (response.status_code, codes(response)) == (500, ["INTERNAL"])
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("code", "status"), [(Code.UNAUTHENTICATED, 401), (Code.FORBIDDEN, 403)])
def test_a_fault_of_the_context_is_the_answer(code: Code, status: int) -> None:
    def refuse(scope: Scope) -> None:
        raise Fault(code, "No.")

    response = query("{ viewer { id } }", app(SCHEMA, context=refuse, body_bytes_max=1_000))
    assert response.status_code == status
    assert response.json() == {"errors": [{"message": "No.", "extensions": {"code": code.value}}]}
    assert tiny_schema.asked == []


def test_a_callers_mistakes_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for text in ("{", "{ unknown }", "{ lines(skus: [1]) }", "{ viewer { secret } }"):
        query(text)
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_tells_lambdas_own_request_id() -> None:
    class Context:
        aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    event = {
        "version": "2.0",
        "headers": {"content-type": "application/json", "accept": GRAPHQL_RESPONSE},
        "requestContext": {"http": {"method": "POST", "path": "/graphql", "sourceIp": "127.0.0.1"}},
        "body": '{"query": "{ brokenRequired }"}',
    }
    answer = Mangum(APP, lifespan="off", text_mime_types=TEXT_MIME_TYPES)(event, Context())  # type: ignore[arg-type]
    assert json.loads(answer["body"])["errors"][0]["extensions"]["requestId"] == Context.aws_request_id
    assert answer["isBase64Encoded"] is False


# --- whatever is sent -------------------------------------------------------------------------------------------------
# No answer is a 5xx for what the caller sent, every error has a code, and a request with an error before its execution
# runs no resolver.

# The first value drawn builds tables of Unicode, which is slow on a busy machine and says nothing about us.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
QUERIES = st.sampled_from(
    [PURCHASE, "{ viewer { id } }", "query A($n: Int) { viewer { entries(first: $n) { count } } }", "{", "{ unknown }"]
)


def assert_refused_or_answered(response: httpx.Response) -> None:
    assert response.status_code < 500
    answer = response.json()
    if "errors" in answer:
        assert all(error["extensions"]["code"] in list(Code) for error in answer["errors"])
        assert not any(code == "INTERNAL" for code in codes(response))
    if "data" not in answer:
        assert answer["errors"]
        assert tiny_schema.asked == []


@patient
@given(st.binary(max_size=200), st.sampled_from([JSON, GRAPHQL_RESPONSE, "*/*"]))
@example(b'{"query":"\x00"}', JSON)
def test_any_bytes_get_a_typed_refusal(body: bytes, accept: str) -> None:
    tiny_schema.asked.clear()
    headers = {"content-type": "application/json", "accept": accept}
    response = send(httpx.Request("POST", URL, content=body, headers=headers))
    assert_refused_or_answered(response)


@patient
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "query": QUERIES | st.text(max_size=40) | JSON_VALUES,
            "variables": st.fixed_dictionaries({}, optional={"input": JSON_VALUES, "n": JSON_VALUES}) | JSON_VALUES,
            "operationName": st.sampled_from(["Record", "A", ""]) | JSON_VALUES,
            "extensions": JSON_VALUES,
        },
    )
)
def test_any_parameters_get_an_answer_or_a_typed_refusal(parameters: dict[str, object]) -> None:
    tiny_schema.asked.clear()
    # json.dumps spells NaN, infinities and half surrogate pairs, as a careless client does.
    body = json.dumps(parameters).encode()
    headers = {"content-type": "application/json", "accept": GRAPHQL_RESPONSE}
    assert_refused_or_answered(send(httpx.Request("POST", URL, content=body, headers=headers)))


PLACES: list[tuple[str | int, ...]] = [
    ("source",),
    ("total",),
    ("total", "amountMinor"),
    ("total", "currency"),
    ("lines",),
    ("lines", 0),
    ("lines", 0, "sku"),
    ("lines", 0, "quantity"),
]


@settings(patient, max_examples=300)
@given(st.sampled_from(PLACES), JSON_VALUES)
def test_any_value_anywhere_in_a_basket_is_taken_whole_or_refused_whole(
    place: tuple[str | int, ...], value: object
) -> None:
    tiny_schema.asked.clear()
    changed: Any = json.loads(json.dumps(BASKET))
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    body = json.dumps({"query": PURCHASE, "variables": {"input": changed}}).encode()
    headers = {"content-type": "application/json", "accept": GRAPHQL_RESPONSE}
    response = send(httpx.Request("POST", URL, content=body, headers=headers))
    assert_refused_or_answered(response)
    assert (response.status_code == 200) == (tiny_schema.asked == ["purchaseRecord"])


@patient
@given(st.binary(max_size=60), st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=20)), max_size=3))
def test_any_query_string_and_headers_get_a_typed_refusal(
    query_string: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    tiny_schema.asked.clear()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def keep(message: Any) -> None:
        sent.append(message)

    for method in ("GET", "POST"):
        scope = {"type": "http", "method": method, "headers": headers, "query_string": query_string}
        asyncio.run(APP(scope, receive, keep))
    assert all(message["status"] < 500 for message in sent if message["type"] == "http.response.start")
    assert tiny_schema.asked == []
