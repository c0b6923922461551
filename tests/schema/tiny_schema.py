"""A program small enough to read whole: what the tests of the HTTP layer and of the limits are run against."""

from __future__ import annotations

from enum import Enum
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig

from schema.faults import Code, Fault
from schema.limits import PAGE_MAX, Schema

SECRET = "arn:aws:dynamodb:eu-west-1:123456789012:table/regulars"

# What the resolvers were asked, in order. A refused request must leave it empty.
asked: list[str] = []


def _long(value: object) -> int:
    if type(value) is not int:
        raise GraphQLError("Long cannot represent a value that is not an integer.")
    return value


Long = NewType("Long", int)
Raw = NewType("Raw", object)


@strawberry.type
class Entry:
    id: strawberry.ID
    points: int

    @strawberry.field
    def member(self) -> Member:
        return Member(id=strawberry.ID("m"), name="Ada")


@strawberry.type
class EntryEdge:
    node: Entry


@strawberry.type
class EntryConnection:
    edges: list[EntryEdge]
    count: int


@strawberry.type
class Member:
    id: strawberry.ID
    name: str

    @strawberry.field
    def friend(self) -> Member:
        return self

    @strawberry.field
    def friends(self) -> list[Member]:
        return [self]

    @strawberry.field
    def entries(self, first: int | None = 10, after: str | None = None) -> EntryConnection:
        asked.append(f"entries {first}")
        edges = [EntryEdge(node=Entry(id=strawberry.ID(str(at)), points=at)) for at in range(first or 0)]
        return EntryConnection(edges=edges, count=len(edges))

    @strawberry.field
    def entries_of_any_size(self, first: int | None = None, last: int | None = None) -> EntryConnection:
        return EntryConnection(edges=[], count=0)

    @strawberry.field
    def secret(self) -> str | None:
        raise Fault(Code.FORBIDDEN, "A member's secrets are their own.")

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError(f"no access to {SECRET}")

    @strawberry.field
    def too_large(self) -> int | None:
        return 2**40


@strawberry.input(one_of=True)
class MemberBy:
    id: strawberry.ID | None = strawberry.UNSET
    external_id: str | None = strawberry.UNSET


@strawberry.type
class Query:
    @strawberry.field
    def viewer(self) -> Member:
        asked.append("viewer")
        return Member(id=strawberry.ID("m"), name="Ada Lovelace, Größe 🏃")

    @strawberry.field
    def member(self, by: MemberBy) -> Member | None:
        asked.append("member")
        return None

    @strawberry.field
    def node(self, id: strawberry.relay.GlobalID) -> strawberry.ID | None:
        asked.append("node")
        return strawberry.ID(id.node_id)

    @strawberry.field
    def lines(self, skus: list[str] | None = None) -> int:
        asked.append("lines")
        return len(skus or [])

    @strawberry.field
    def balance(self) -> Long:
        return Long(2**63 + 1)

    @strawberry.field
    def raw(self) -> Raw:
        return Raw(float("nan"))

    @strawberry.field
    def broken_required(self) -> str:
        raise RuntimeError(f"no access to {SECRET}")

    @strawberry.field
    def caller(self, info: strawberry.Info) -> str:
        return str(info.context)


@strawberry.enum
class Currency(Enum):
    EUR = "EUR"
    USD = "USD"


@strawberry.input
class MoneyInput:
    amount_minor: Long
    currency: Currency


@strawberry.input
class LineInput:
    sku: str
    quantity: int


@strawberry.input
class PurchaseRecordInput:
    source: str
    total: MoneyInput
    lines: list[LineInput]


@strawberry.type
class PurchaseRecordPayload:
    amount_minor: Long
    lines: int


@strawberry.type
class Mutation:
    @strawberry.mutation
    def purchase_record(self, input: PurchaseRecordInput) -> PurchaseRecordPayload:
        asked.append("purchaseRecord")
        return PurchaseRecordPayload(amount_minor=input.total.amount_minor, lines=len(input.lines))


def tiny(*, introspection: bool = True) -> Schema:
    scalars: dict[object, Any] = {
        Long: strawberry.scalar(name="Long", serialize=int, parse_value=_long),
        Raw: strawberry.scalar(name="Raw", serialize=lambda value: value, parse_value=lambda value: value),
    }
    config = StrawberryConfig(relay_max_results=PAGE_MAX, scalar_map=scalars)
    return Schema(Query, Mutation, introspection=introspection, config=config)
