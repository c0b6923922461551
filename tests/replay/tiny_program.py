"""A loyalty program of a hundred lines behind a real socket: what the replay is tested against.

It keeps its promises in the simplest way (one dictionary, one lock, a calendar) and can be told to misbehave as a
network does. The schema is the part of the public one that outside scripts rely on, so a document that does not fit it
fails here as it would there.
"""

import calendar
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from zoneinfo import ZoneInfo

from graphql import DocumentNode, GraphQLError, build_schema, execute, parse, validate

SCHEMA = build_schema("""
scalar Long
scalar Date
scalar DateTime
type Query { member(by: MemberBy!): Member }
type Mutation {
  memberEnroll(input: MemberEnrollInput!): MemberEnrollPayload!
  purchaseRecord(input: PurchaseRecordInput!): PurchaseRecordPayload!
}
input MemberBy { id: ID externalId: String }
input MemberEnrollInput { idempotencyKey: String! externalId: String email: String phone: String name: String }
input MoneyInput { amountMinor: Long! currency: String! }
input LineInput { sku: String category: String quantity: Int! amountMinor: Long! }
input PurchaseRecordInput {
  source: String! externalId: String! member: MemberBy! total: MoneyInput! occurredAt: DateTime!
  location: String channel: String lines: [LineInput!]
}
type UserError { code: String! field: [String!] message: String! }
type MemberEnrollPayload { member: Member replayed: Boolean! userErrors: [UserError!]! }
type PurchaseRecordPayload { entry: Entry replayed: Boolean! userErrors: [UserError!]! }
type Member {
  id: ID! externalId: String account: Account! entries(first: Int, after: String): EntryConnection!
}
type Account { balance: Long! pending: Long! expiring: [Expiring!]! }
type Expiring { on: Date! points: Long! }
type Entry { points: Long! balanceAfter: Long! }
type EntryConnection { edges: [EntryEdge!]! pageInfo: PageInfo! }
type EntryEdge { node: Entry! }
type PageInfo { hasNextPage: Boolean! endCursor: String }
""")


@dataclass(frozen=True)
class Request:
    body: bytes
    authorization: str

    @property
    def input(self) -> dict[str, Any]:
        given: dict[str, Any] = json.loads(self.body)["variables"].get("input", {})
        return given

    @property
    def is_purchase(self) -> bool:
        return "source" in self.input


@dataclass
class TinyProgram:
    timezone: str
    graphql_url: str = ""
    requests: list[Request] = field(default_factory=list)  # that came with a valid token
    members: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    recorded: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    tokens_issued: int = 0
    token_valid: str = ""
    # Misbehavior: for the nth request (from 0), an HTTP status instead of an answer; an answer that is lost on its way;
    # for a purchase, a refusal.
    status: Callable[[int], int | None] = lambda _: None
    is_lost: Callable[[int], bool] = lambda _: False
    refusal: Callable[[dict[str, Any]], str | None] = lambda _: None
    is_forgetful: bool = False  # of the keys of enrollings
    lock: threading.Lock = field(default_factory=threading.Lock)

    def token(self, role: str = "partner", /) -> str:
        self.tokens_issued += 1
        self.token_valid = f"{role}-{self.tokens_issued}"
        return self.token_valid

    @property
    def purchases(self) -> list[dict[str, Any]]:
        return [request.input for request in self.requests if request.is_purchase]

    def balances(self) -> dict[str, int]:
        return {name: sum(entry["points"] for entry in entries) for name, entries in self.members.items()}

    def memberEnroll(self, _: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        replayed = input["externalId"] in self.members
        if replayed and self.is_forgetful:
            taken = {"code": "ALREADY_ENROLLED", "field": ["input", "externalId"], "message": "A member has it."}
            return {"member": None, "replayed": False, "userErrors": [taken]}
        self.members.setdefault(input["externalId"], [])
        return {"member": self._member(input["externalId"]), "replayed": replayed, "userErrors": []}

    def purchaseRecord(self, _: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        code = self.refusal(input)
        entries = self.members.get(input["member"]["externalId"])
        if entries is None:
            code = "MEMBER_NOT_FOUND"
        known, entry = self.recorded.get(input["externalId"], (input, None))
        if known != input:
            code = "IDEMPOTENCY_KEY_REUSED"
        if sum(line["amountMinor"] for line in input["lines"]) != input["total"]["amountMinor"]:
            code = "LINES_TOTAL_MISMATCH"
        if code is not None or entries is None:
            return {
                "entry": None,
                "replayed": False,
                "userErrors": [{"code": code, "field": ["input"], "message": "no"}],
            }
        if entry is not None:
            return {"entry": entry, "replayed": True, "userErrors": []}
        points = input["total"]["amountMinor"] // 100
        before = entries[-1]["balanceAfter"] if entries else 0
        entry = {"points": points, "balanceAfter": before + points, "expires": self._expires(input["occurredAt"])}
        entries.append(entry)
        self.recorded[input["externalId"]] = (input, entry)
        return {"entry": entry, "replayed": False, "userErrors": []}

    def member(self, _: Any, by: dict[str, Any]) -> dict[str, Any] | None:
        return self._member(by["externalId"]) if by["externalId"] in self.members else None

    def _member(self, external_id: str) -> dict[str, Any]:
        entries = self.members[external_id]
        buckets: Counter[date] = Counter()
        for entry in entries:
            buckets[entry["expires"]] += entry["points"]

        def page(_: Any, first: int, after: str | None = None) -> dict[str, Any]:
            start = int(after or 0)
            return {
                "edges": [{"node": entry} for entry in entries[::-1][start : start + first]],
                "pageInfo": {"hasNextPage": start + first < len(entries), "endCursor": str(start + first)},
            }

        expiring = [{"on": day.isoformat(), "points": points} for day, points in sorted(buckets.items()) if points]
        return {
            "id": external_id,
            "account": {"balance": sum(buckets.values()), "pending": 0, "expiring": expiring},
            "entries": page,
        }

    def _expires(self, occurred_at: str) -> date:
        day = datetime.fromisoformat(occurred_at).astimezone(ZoneInfo(self.timezone))
        return date(day.year + 2, day.month, calendar.monthrange(day.year + 2, day.month)[1])

    def answer(self, request: Request) -> bytes:
        asked = json.loads(request.body)
        document = _document(asked["query"])
        if not isinstance(document, DocumentNode):
            return json.dumps({"errors": [error.formatted for error in document]}).encode()
        result = execute(SCHEMA, document, self, variable_values=asked["variables"])
        return json.dumps(result.formatted).encode()  # type: ignore[union-attr]


@dataclass
class Elsewhere:
    """A stack by its address; every token is the same."""

    graphql_url: str

    def token(self, role: str, /) -> str:
        return "fixed"


@cache
def _document(text: str) -> DocumentNode | list[GraphQLError]:
    document = parse(text)
    return validate(SCHEMA, document) or document


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    program: TinyProgram

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY: headers and body are two writes

    def do_GET(self) -> None:
        self._respond(405, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = Request(body, self.headers["authorization"])
        program = self.program
        with program.lock:
            if request.authorization != f"Bearer {program.token_valid}":
                return self._respond(401, b'{"message":"Unauthorized"}')
            number = len(program.requests)
            program.requests.append(request)
            status = program.status(number)
            answer = b"" if status else program.answer(request)
        if program.is_lost(number):
            self.close_connection = True
            return None
        return self._respond(status or 200, answer)

    def _respond(self, status: int, answer: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(program: TinyProgram) -> Iterator[TinyProgram]:
    """The program, reachable at its `graphql_url` until the end of the block."""
    handler = type("Handler", (_Handler,), {"program": program})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        program.graphql_url = f"http://127.0.0.1:{server.server_port}/graphql"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield program
        finally:
            server.shutdown()
            thread.join()
