"""The shortcut for plain fields answers exactly as the engine alone does, errors and nulls included."""

from enum import Enum
from typing import Any

import pytest
import strawberry
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.execution import WITHOUT_ARGUMENTS, Execution


@strawberry.enum
class Color(Enum):
    RED = "red"
    BLUE = "blue"


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Cat(Named):
    lives: int
    color: Color
    friends: list["Named"]

    @strawberry.field
    def loud(self, times: int = 1) -> str:
        return self.name.upper() * times

    @strawberry.field(metadata={WITHOUT_ARGUMENTS: "closest"})  # type: ignore[untyped-decorator]
    def friend(self, number: int | None = None) -> Named | None:
        return self.closest if number is None else self.friends[number]

    @property
    def closest(self) -> "Named | None":
        return self.friends[0] if self.friends else None


@strawberry.type
class Dog(Named):
    bones: int | None
    owner: "Owner | None"

    @strawberry.field
    def broken(self) -> str:
        raise RuntimeError("woof")


@strawberry.type
class Owner:
    dogs: list[Dog]
    maybe: list[Dog | None] | None
    matrix: list[list[int]]
    must: str


def dog(name: str, *, owner: Owner | None = None, bones: Any = 3) -> Dog:
    return Dog(name=name, bones=bones, owner=owner)


def owner(**fields: Any) -> Owner:
    return Owner(**{"dogs": [dog("rex")], "maybe": None, "matrix": [[1, 2], []], "must": "yes", **fields})


WORLDS: dict[str, Any] = {
    "whole": lambda: Cat(
        name="tom", lives=9, color=Color.BLUE, friends=[dog("rex", owner=owner(maybe=[None, dog("a")]))]
    ),
    "null where none may be": lambda: Cat(
        name="tom", lives=9, color=Color.RED, friends=[dog("rex", owner=owner(must=None))]
    ),
    "null name at the root": lambda: Cat(name=None, lives=9, color=Color.RED, friends=[]),  # type: ignore[arg-type]
    "null in a list that allows none": lambda: Cat(
        name="tom", lives=9, color=Color.RED, friends=[dog("rex", owner=owner(dogs=[dog("a"), None]))]
    ),
    "null list": lambda: Cat(name="tom", lives=9, color=Color.RED, friends=[dog("rex", owner=owner(matrix=None))]),
    "value that does not coerce": lambda: Cat(name="tom", lives=9, color=Color.RED, friends=[dog("rex", bones="many")]),
    "enum of something else": lambda: Cat(name="tom", lives=9, color="green", friends=[]),  # type: ignore[arg-type]
    "nobody": lambda: None,
}

QUERIES = (
    "{ cat { name lives color } }",
    "{ cat { __typename name loud twice: loud(times: 2) friends { __typename name } } }",
    "{ cat { friends { name ... on Dog { bones owner { must matrix dogs { name } maybe { name bones } } } } } }",
    "{ cat { friends { ... on Dog { name broken } } lives } }",
    (
        "{ cat { friend { name } first: friend(number: 0) { name } none: friend(number: null) { name } "
        "beyond: friend(number: 9) { name } } }"
    ),
    "query ($at: Int, $is: Int = 0) { cat { friend(number: $at) { name } ... on Cat { other: friend(number: $is) { name } } } }",
    (
        "query ($no: Boolean = false) { cat { ...f lives @include(if: $no) name @skip(if: $no) } } "
        "fragment f on Cat { friends { ...g } friends { name } } fragment g on Dog { a: name b: name owner { must } }"
    ),
)


def answer(execution: type[Any], world: Any, query: str) -> Any:
    @strawberry.type
    class Query:
        @strawberry.field
        def cat(self) -> Cat | None:
            return world()  # type: ignore[no-any-return]

    schema = strawberry.Schema(Query, types=[Dog], execution_context_class=execution)
    result = schema.execute_sync(query)
    return result.data, sorted([list(error.path or []) for error in result.errors or []], key=str)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("world", WORLDS)
def test_answers_as_the_engine_alone_does(world: str, query: str) -> None:
    data, faults = answer(Execution, WORLDS[world], query)
    expected_data, expected_faults = answer(StrawberryGraphQLCoreExecutionContext, WORLDS[world], query)

    assert data == expected_data
    assert len(faults) == len(expected_faults)
    for path, expected in zip(faults, expected_faults, strict=True):
        # A null among the elements of a list is located at the list here, and at the element by the engine.
        assert path in (expected, expected[:-1] if isinstance(expected[-1], int) else expected)


def test_looks_a_schema_up_once_and_keeps_the_order_of_the_query() -> None:
    data, faults = answer(Execution, WORLDS["whole"], "{ cat { lives name color } }")

    assert list(data["cat"]) == ["lives", "name", "color"]
    assert faults == []


def test_a_resolver_is_not_asked_where_the_document_gives_it_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    execute = StrawberryGraphQLCoreExecutionContext.execute_field

    def counted(self: Any, parent: Any, source: Any, details: Any, path: Any, position: Any) -> Any:
        asked.append(path.key)
        return execute(self, parent, source, details, path, position)

    monkeypatch.setattr(StrawberryGraphQLCoreExecutionContext, "execute_field", counted)

    answer(Execution, WORLDS["whole"], "{ cat { friend { name } a: friend { name } b: friend(number: 0) { name } } }")

    assert asked == ["cat", "b"]
