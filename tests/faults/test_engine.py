"""The table in this process answers as DynamoDB does: the same random requests to it and to both local engines, answer by answer.

Messages and billed units are not compared (local engines miscount those), codes, items and reasons are. Where MiniStack accepts
what AWS refuses, DynamoDB Local alone decides.
"""

import threading
from functools import cache
from itertools import count
from typing import Any

import hypothesis.strategies as st
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given
from pynamodb.exceptions import VerboseClientError

from bench.units import item_bytes
from tests.domain.world import search
from tests.engines import Engine
from tests.faults.engine import Dynamo, Item, Real, Request, comparable, value_bytes
from tests.storage.tables import Tables, fresh_table


def s(text: str) -> dict[str, str]:
    return {"S": text}


# --- requests ---------------------------------------------------------------------------------------------------------

# Few keys, so that requests meet; in an order that is told apart by how text is compared.
PARTITIONS = ["p", "q"]
SORT_KEYS = ["E#0000000001", "E#0000000002", "E#0000000010", "E#", "E", "P", "é", "\uffff", "😀"]
VALUES = st.sampled_from(
    [
        {"N": "0"},
        {"N": "-12"},
        {"N": "9"},
        {"N": "10"},
        {"N": "2.5"},
        s("9"),
        s("10"),
        s(""),
        {"B": b"\x00\xff"},
        {"BOOL": True},
        {"NULL": True},
        {"L": [s("a"), {"M": {"x": {"N": "1"}}}]},
        {"M": {}},
        {"SS": ["a", "b"]},
    ]
)
ATTRIBUTES = st.dictionaries(st.sampled_from(["a", "b"]), VALUES, max_size=2)
PATHS = st.sampled_from(["PK", "a", "b", "#n"])
COMPARED = st.sampled_from([{"N": "9"}, {"N": "-12"}, s("10"), {"B": b"\x00"}])


@st.composite
def conditions(draw: st.DrawFn) -> Request:
    """A condition of a write, with its names and values; half of the time the one the store lives by, or none."""
    if draw(st.booleans()):
        return draw(st.sampled_from([{}, {"ConditionExpression": "attribute_not_exists(PK)"}]))
    values: dict[str, Any] = {}

    def simple() -> str:
        path = draw(PATHS)
        function = draw(st.sampled_from(["attribute_exists", "attribute_not_exists", "=", "<", "<>", "<=", ">", ">="]))
        if function.startswith("attribute"):
            return f"{function}({path})"
        operand = f":v{len(values)}"
        values[operand] = draw(COMPARED)
        return f"{path} {function} {operand}"

    def nested(depth: int) -> str:
        match draw(st.integers(0, 3 if depth else 0)):
            case 1:
                return f"NOT {nested(depth - 1)}"
            case 2:
                return f"({nested(depth - 1)} OR {nested(depth - 1)})"
            case 3:
                return f"{nested(depth - 1)} AND {nested(depth - 1)}"
        return simple()

    expression = nested(2)
    request: Request = {"ConditionExpression": expression}
    if values:
        request["ExpressionAttributeValues"] = values
    if "#n" in expression:
        request["ExpressionAttributeNames"] = {"#n": "b"}
    return request


KEYS = st.fixed_dictionaries({"PK": st.sampled_from(PARTITIONS).map(s), "SK": st.sampled_from(SORT_KEYS).map(s)})
ITEMS = st.builds(lambda key, attributes: {**key, **attributes}, KEYS, ATTRIBUTES)
OLD = st.sampled_from([{}, {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}])
RETURNED = st.sampled_from([{}, {"ReturnValues": "ALL_OLD"}])
CONSISTENT = st.sampled_from([{}, {"ConsistentRead": True}])


def puts(*options: st.SearchStrategy[Request]) -> st.SearchStrategy[Request]:
    return st.builds(lambda item, *more: {"Item": item} | merged(more), ITEMS, *options)


def keyed(*options: st.SearchStrategy[Request]) -> st.SearchStrategy[Request]:
    return st.builds(lambda key, *more: {"Key": key} | merged(more), KEYS, *options)


def merged(parts: tuple[Request, ...]) -> Request:
    return {name: value for part in parts for name, value in part.items()}


@st.composite
def queries(draw: st.DrawFn) -> Request:
    low, high = sorted([draw(st.sampled_from(SORT_KEYS)), draw(st.sampled_from(SORT_KEYS))])
    pk = draw(st.sampled_from(PARTITIONS))
    condition, values = draw(
        st.sampled_from(
            [
                ("", {}),
                (" AND SK BETWEEN :a AND :z", {":a": low, ":z": high}),
                (" AND SK >= :a", {":a": low}),
                (" AND SK > :a", {":a": low}),
                (" AND SK <= :a", {":a": low}),
                (" AND SK < :a", {":a": low}),
                (" AND SK = :a", {":a": low}),
                (" AND begins_with(SK, :a)", {":a": low}),
                (" AND begins_with(#s, :a)", {":a": low}),
            ]
        )
    )
    request: Request = {
        "KeyConditionExpression": "PK = :p" + condition,
        "ExpressionAttributeValues": {":p": s(pk), **{name: s(value) for name, value in values.items()}},
        **draw(st.sampled_from([{}, {"Limit": 1}, {"Limit": 2}, {"Limit": 100}])),
        **draw(st.sampled_from([{}, {"ScanIndexForward": False}, {"ScanIndexForward": True}])),
        **draw(CONSISTENT),
    }
    if "#s" in condition:
        request["ExpressionAttributeNames"] = {"#s": "SK"}
    if not condition and draw(st.booleans()):
        request["ExclusiveStartKey"] = {"PK": s(pk), "SK": s(draw(st.sampled_from(SORT_KEYS)))}
    return request


def key_of(body: Request) -> Item:
    source = body.get("Key") or body["Item"]
    return {"PK": source["PK"], "SK": source["SK"]}


STEPS = st.one_of(
    st.builds(lambda body: {"Put": body}, puts(conditions(), OLD)),
    st.builds(lambda body: {"Delete": body}, keyed(conditions(), OLD)),
    st.builds(
        lambda key, more: {"ConditionCheck": {"Key": key, **more}},
        KEYS,
        conditions().filter(lambda each: "ConditionExpression" in each),
    ),
)
TRANSACTIONS = st.builds(
    lambda steps, token: {"TransactItems": steps, **token},
    st.lists(STEPS, min_size=1, max_size=4, unique_by=lambda step: str(key_of(*step.values()))),
    st.sampled_from([{}, {}, {}, {"ClientRequestToken": "token-1"}]),
)
BATCHES = st.builds(
    lambda keys, more: {"Keys": keys, **more},
    st.lists(KEYS, min_size=1, max_size=4, unique_by=lambda key: (key["PK"]["S"], key["SK"]["S"])),
    CONSISTENT,
)
CALLS = st.one_of(
    st.tuples(st.just("PutItem"), puts(conditions(), OLD, RETURNED)),
    st.tuples(st.just("PutItem"), puts(conditions(), OLD, RETURNED)),
    st.tuples(st.just("DeleteItem"), keyed(conditions(), OLD, RETURNED)),
    st.tuples(st.just("GetItem"), keyed(CONSISTENT)),
    st.tuples(st.just("Query"), queries()),
    st.tuples(st.just("TransactWriteItems"), TRANSACTIONS),
    st.tuples(st.just("BatchGetItem"), BATCHES),
)


# --- the comparison ---------------------------------------------------------------------------------------------------

# One table serves all examples of a run: each has partitions, and tokens, of its own.
NUMBERS = count()


def placed(table: str, number: int, operation: str, request: Request) -> Request:
    """The request on that table, in the partitions of one example."""

    def own(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {each: own(inner, each) for each, inner in value.items()}
        if isinstance(value, list):
            return [own(inner) for inner in value]
        return value

    request = own(request)
    bodies = [request]
    if operation == "TransactWriteItems":
        bodies = [body for step in request["TransactItems"] for body in step.values()]
        if token := request.get("ClientRequestToken"):
            request["ClientRequestToken"] = f"{token}-{number}"
    for body in bodies:
        body["TableName"] = table
        for key in [
            body.get("Item"),
            body.get("Key"),
            body.get("ExclusiveStartKey"),
            *body.get("Keys", []),
        ]:
            if key and key["PK"].get("S"):
                key["PK"] = s(f"{key['PK']['S']}-{number}")
        values = body.get("ExpressionAttributeValues", {})
        if values.get(":p", {}).get("S"):
            values[":p"] = s(f"{values[':p']['S']}-{number}")
    if operation == "BatchGetItem":
        del request["TableName"]
        return {"RequestItems": {table: request}}
    return request


@pytest.fixture(scope="module")
def tables(engine: Engine) -> Tables:
    return fresh_table(engine)


# A failure is first made short, request by request.
@pytest.mark.timeout(900)
def test_answers_as_dynamodb_does(tables: Tables, request: pytest.FixtureRequest) -> None:
    real = Real(tables.connection)

    @search(200, suppress_health_check=list(HealthCheck))
    @given(st.lists(CALLS, min_size=1, max_size=12))
    def compare(calls: list[tuple[str, Request]]) -> None:
        number = next(NUMBERS)
        ours = Dynamo(tables.name)
        for operation, asked in calls:
            here = ours.answer(operation, placed(tables.name, number, operation, asked))
            there = real.answer(operation, placed(tables.name, number, operation, asked))
            assert comparable(here, asked) == comparable(there, asked), operation

    compare()


# --- what is invalid --------------------------------------------------------------------------------------------------

KEY = {"PK": s("p"), "SK": s("E#1")}
INVALID: dict[str, tuple[str, Request]] = {
    "an empty partition key": ("PutItem", {"Item": {**KEY, "PK": s("")}}),
    "an empty sort key": ("GetItem", {"Key": {**KEY, "SK": s("")}}),
    "a key too much": ("GetItem", {"Key": {**KEY, "a": s("")}}),
    "half a key": ("PutItem", {"Item": {"PK": s("p")}}),
    "a key that is a number": ("PutItem", {"Item": {**KEY, "SK": {"N": "1"}}}),
    "a long partition key": ("PutItem", {"Item": {**KEY, "PK": s("é" * 1_025)}}),
    "a long sort key": ("PutItem", {"Item": {**KEY, "SK": s("x" * 1_025)}}),
    "a large item": ("PutItem", {"Item": {**KEY, "a": s("x" * 410_000)}}),
    "a value nobody uses": (
        "PutItem",
        {"Item": KEY, "ConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": s(""), ":b": s("")}},
    ),
    "a value nobody gave": ("PutItem", {"Item": KEY, "ConditionExpression": "a = :a"}),
    "a name nobody uses": (
        "PutItem",
        {"Item": KEY, "ConditionExpression": "attribute_exists(a)", "ExpressionAttributeNames": {"#a": "a"}},
    ),
    "values without a condition": ("PutItem", {"Item": KEY, "ExpressionAttributeValues": {":a": s("")}}),
    "less than a truth": (
        "PutItem",
        {"Item": KEY, "ConditionExpression": "a < :a", "ExpressionAttributeValues": {":a": {"BOOL": True}}},
    ),
    "a range backwards": (
        "Query",
        {
            "KeyConditionExpression": "PK = :p AND SK BETWEEN :a AND :z",
            "ExpressionAttributeValues": {":p": s("p"), ":a": s("b"), ":z": s("a")},
        },
    ),
    "a beginning that is empty": (
        "Query",
        {
            "KeyConditionExpression": "PK = :p AND begins_with(SK, :a)",
            "ExpressionAttributeValues": {":p": s("p"), ":a": s("")},
        },
    ),
    "no item at all": (
        "Query",
        {"KeyConditionExpression": "PK = :p", "ExpressionAttributeValues": {":p": s("p")}, "Limit": 0},
    ),
    "to go on in another partition": (
        "Query",
        {
            "KeyConditionExpression": "PK = :p",
            "ExpressionAttributeValues": {":p": s("p")},
            "ExclusiveStartKey": {**KEY, "PK": s("q")},
        },
    ),
    "one key twice": ("TransactWriteItems", {"TransactItems": [{"Put": {"Item": KEY}}, {"Put": {"Item": KEY}}]}),
    "no steps": ("TransactWriteItems", {"TransactItems": []}),
    "too many steps": (
        "TransactWriteItems",
        {"TransactItems": [{"Put": {"Item": {**KEY, "SK": s(str(step))}}} for step in range(101)]},
    ),
    "one key twice in a batch": ("BatchGetItem", {"Keys": [KEY, KEY]}),
}


@pytest.mark.parametrize("what", INVALID)
def test_refuses_what_dynamodb_refuses(dynamodb_local: Engine, what: str) -> None:
    tables = _local_table(dynamodb_local)
    operation, asked = INVALID[what]
    ours = Dynamo(tables.name)

    here = ours.answer(operation, placed(tables.name, 0, operation, asked))
    there = Real(tables.connection).answer(operation, placed(tables.name, 0, operation, asked))

    assert (here.code, there.code) == ("ValidationException", "ValidationException")
    assert ours.items() == []


@cache
def _local_table(engine: Engine) -> Tables:
    return fresh_table(engine)


def test_a_token_is_one_transaction(tables: Tables) -> None:
    number = next(NUMBERS)
    ours, real = Dynamo(tables.name), Real(tables.connection)
    step = {"Put": {"Item": KEY, "ConditionExpression": "attribute_not_exists(PK)"}}
    other = {"Put": {"Item": {**KEY, "SK": s("E#2")}}}
    asked: list[Request] = [
        {"TransactItems": [step], "ClientRequestToken": "t"},
        {"TransactItems": [step], "ClientRequestToken": "t"},
        {"TransactItems": [step]},
        {"TransactItems": [other], "ClientRequestToken": "t"},
    ]

    here = [
        ours.answer("TransactWriteItems", placed(tables.name, number, "TransactWriteItems", each)) for each in asked
    ]
    there = [
        real.answer("TransactWriteItems", placed(tables.name, number, "TransactWriteItems", each)) for each in asked
    ]

    expected = ["ok", "ok", "TransactionCanceledException", "IdempotentParameterMismatchException"]
    assert [each.code for each in here] == [each.code for each in there] == expected


@pytest.mark.parametrize("old", [{}, {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}], ids=["bare", "old"])
@pytest.mark.parametrize("operation", ["PutItem", "TransactWriteItems"])
def test_raises_what_the_connection_raises(tables: Tables, operation: str, old: Request) -> None:
    """Table reads `__cause__.response`; PynamoDB itself offers `cancellation_reasons`. Both have to be the same."""
    ours = Dynamo(tables.name)
    put = {"Item": {**KEY, "b": {"B": b"\x00"}}, "ConditionExpression": "attribute_not_exists(PK)", **old}
    asked = (
        put if operation == "PutItem" else {"TransactItems": [{"Put": {"Item": {**KEY, "SK": s("E#0")}}}, {"Put": put}]}
    )
    number = next(NUMBERS)

    errors = []
    for dispatcher in (ours, tables.connection):
        dispatcher.dispatch("PutItem", placed(tables.name, number, "PutItem", {"Item": put["Item"]}))
        with pytest.raises(VerboseClientError) as caught:
            dispatcher.dispatch(operation, placed(tables.name, number, operation, asked))
        errors.append(caught.value)

    here, there = errors
    for error in errors:
        assert isinstance(error.__cause__, ClientError)
    assert here.response["Error"]["Code"] == there.response["Error"]["Code"]
    assert here.operation_name == there.operation_name
    assert here.__cause__.response.get("Item") == there.__cause__.response.get("Item")
    assert [reason and (reason.code, reason.raw_item) for reason in here.cancellation_reasons] == [
        reason and (reason.code, reason.raw_item) for reason in there.cancellation_reasons
    ]
    reasons = [
        [(reason["Code"], reason.get("Item")) for reason in error.__cause__.response.get("CancellationReasons", [])]
        for error in errors
    ]
    assert reasons[0] == reasons[1]


# --- what DynamoDB does not offer -------------------------------------------------------------------------------------


def put(table: Dynamo, sk: str, **attributes: Any) -> None:
    table.dispatch("PutItem", {"TableName": table.name, "Item": {"PK": s("p"), "SK": s(sk), **attributes}})


def seen(table: Dynamo, behind: int) -> list[str]:
    asked = {"TableName": table.name, "KeyConditionExpression": "PK = :p", "ExpressionAttributeValues": {":p": s("p")}}
    return [item["SK"]["S"] for item in table.answer("Query", asked, behind=behind).content["Items"]]


def test_shows_its_past() -> None:
    table = Dynamo()
    for sk in ("a", "b", "c"):
        put(table, sk)
    put(table, "a", x=s("new"))
    table.dispatch("DeleteItem", {"TableName": table.name, "Key": {"PK": s("p"), "SK": s("b")}})

    assert [seen(table, behind) for behind in range(7)] == [
        ["a", "c"],
        ["a", "b", "c"],
        ["a", "b", "c"],
        ["a", "b"],
        ["a"],
        [],
        [],
    ]
    assert table.writes("p") == 5
    old = table.answer("GetItem", {"TableName": table.name, "Key": {"PK": s("p"), "SK": s("a")}}, behind=2)
    assert old.content["Item"] == {"PK": s("p"), "SK": s("a")}


def test_comes_back_to_what_it_was() -> None:
    table = Dynamo()
    put(table, "a")
    before, contents, identity = table.snapshot(), table.contents(), table.identity()
    put(table, "b")
    assert table.identity() != identity
    changed = table.identity()

    for _ in range(2):
        table.restore(before)
        assert (table.contents(), table.identity()) == (contents, identity)
        put(table, "b")
        assert table.identity() == changed


def test_the_order_of_writes_is_part_of_the_past() -> None:
    table = Dynamo()
    empty = table.snapshot()
    identities = set()
    for order in ("ab", "ba", "aab"):
        table.restore(empty)
        for sk in order:
            put(table, sk)
        identities.add(table.identity())

    # Writing the same again is no change.
    assert len(identities) == 2


def test_nobody_changes_an_item_from_outside() -> None:
    table = Dynamo()
    item: Item = {"PK": s("p"), "SK": s("a"), "l": {"L": [s("x")]}}
    request = {"TableName": table.name, "Item": item}
    table.dispatch("PutItem", request)
    item["l"]["L"].append(s("y"))
    read = {"TableName": table.name, "Key": {"PK": s("p"), "SK": s("a")}}
    table.dispatch("GetItem", read)["Item"]["l"]["L"].append(s("z"))

    assert table.dispatch("GetItem", read)["Item"]["l"] == {"L": [s("x")]}


@search(200)
@given(VALUES | st.builds(s, st.text()) | st.builds(lambda number: {"N": str(number)}, st.integers(-(10**37), 10**37)))
def test_sizes_are_the_documented_ones(value: dict[str, Any]) -> None:
    assert value_bytes(value) == item_bytes({"": value})


def test_counts_what_aws_would_bill() -> None:
    table = Dynamo()
    big = {"PK": s("p"), "SK": s("a"), "x": s("x" * 1_500)}
    once = {"TableName": table.name, "Item": big, "ConditionExpression": "attribute_not_exists(PK)"}

    table.dispatch("PutItem", once)
    assert table.write_units == 2
    assert table.answer("PutItem", once).code == "ConditionalCheckFailedException"
    assert table.write_units == 4
    table.dispatch("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": table.name, "Item": big}}]})
    assert table.write_units == 8
    key = {"TableName": table.name, "Key": {"PK": s("p"), "SK": s("a")}}
    table.dispatch("GetItem", key)
    table.dispatch("GetItem", {**key, "ConsistentRead": True})
    assert table.read_units == 1.5
    assert table.calls == {"PutItem": 2, "TransactWriteItems": 1, "GetItem": 2}


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("UpdateItem", {}),
        ("Scan", {}),
        ("GetItem", {"ProjectionExpression": "a"}),
        ("PutItem", {"Item": {**KEY, "n": {"N": 1}}}),
        ("PutItem", {"Item": {**KEY, "n": {"N": "01"}}}),
        ("PutItem", {"Item": {**KEY, "n": {"N": "1.0"}}}),
        ("PutItem", {"Item": {**KEY, "n": {"S": None}}}),
        ("PutItem", {"Item": KEY, "ConditionExpression": "size(a) > :v", "ExpressionAttributeValues": {":v": s("")}}),
    ],
)
def test_does_not_guess(operation: str, more: Request) -> None:
    table = Dynamo()
    with pytest.raises(AssertionError):
        table.dispatch(operation, {"TableName": table.name, **more})
    assert table.items() == []


def test_threads_do_not_meet_inside_a_request() -> None:
    table = Dynamo()
    won: list[int] = []

    def count_up(me: int) -> None:
        for number in range(300):
            item = {"PK": s("p"), "SK": s(f"{number:04}")}
            once = {"TableName": table.name, "Item": item, "ConditionExpression": "attribute_not_exists(PK)"}
            if table.answer("PutItem", once).kind == "ok":
                won.append(me)

    threads = [threading.Thread(target=count_up, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == len(table.items()) == 300
