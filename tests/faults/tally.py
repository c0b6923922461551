"""A protocol small enough to judge by eye: a log of keys on one account, each key in it once, however often it is added.

`Tally` is claim and append as the ledger does it. The others each lack one thing, and the searches of `test_machinery.py` have to
find out which.
"""

from dataclasses import dataclass
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import VerboseClientError

from tests.faults.engine import Dynamo, Item
from tests.faults.faults import Line

ACCOUNT = "M#ada"
TABLE = {"TableName": "table"}
IF_NEW = {"ConditionExpression": "attribute_not_exists(PK)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
# Whoever adds a key sees at most as many others win the place after the head.
ATTEMPTS_MAX = 50


class Unknown(Exception):
    """No answer: it may have been added."""


class Taken(Exception):
    """Something stands there already."""

    def __init__(self, item: Item) -> None:
        super().__init__(item["PK"]["S"])
        self.item = item


@dataclass
class Tally:
    """Adds keys to the log, each once."""

    line: Line

    def add(self, key: str) -> int:
        """The place of the key in the log, counted from 1: the same at every call. Raises `Unknown`."""
        seen = self.head()
        try:
            self.put({"PK": {"S": f"K#{key}"}, "SK": {"S": "K"}, "s": {"N": str(seen)}})
        except Taken as taken:
            seen = self.start(taken.item)
        else:
            try:
                return self.append(key, seen + 1)
            except Taken as taken:
                if self.recognizes(taken.item, key):
                    return seen + 1
                seen += 1
        return self.resume(key, seen)

    def start(self, claim: Item) -> int:
        """Where to look from for what an earlier call has added."""
        return int(claim["s"]["N"])

    def resume(self, key: str, seen: int) -> int:
        for _ in range(ATTEMPTS_MAX):
            for item in self.after(seen):
                seen = int(item["SK"]["S"][2:])
                if self.is_mine(item, key):
                    return seen
            try:
                return self.append(key, seen + 1)
            except Taken as taken:
                if self.recognizes(taken.item, key):
                    return seen + 1
                seen += 1
            self.line.pause()
        raise Unknown

    def recognizes(self, item: Item, key: str) -> bool:
        """Whether what stands in the way of an append is what it was to append."""
        return self.is_mine(item, key)

    def is_mine(self, item: Item, key: str) -> bool:
        return bool(item["k"]["S"] == key)

    # --- requests ---

    def head(self) -> int:
        found = self.query(ScanIndexForward=False, Limit=1)
        return int(found[0]["SK"]["S"][2:]) if found else 0

    def after(self, seen: int) -> list[Item]:
        return self.query(first=seen + 1, ConsistentRead=True)

    def query(self, *, first: int = 0, **more: Any) -> list[Item]:
        values = {":p": {"S": ACCOUNT}, ":a": {"S": f"E#{first:04}"}, ":z": {"S": "E#9999"}}
        condition = {
            "KeyConditionExpression": "PK = :p AND SK BETWEEN :a AND :z",
            "ExpressionAttributeValues": values,
        }
        found: list[Item] = self.send("Query", {**condition, **more})["Items"]
        return found

    def append(self, key: str, seq: int) -> int:
        self.put({"PK": {"S": ACCOUNT}, "SK": {"S": f"E#{seq:04}"}, "k": {"S": key}})
        return seq

    def put(self, item: Item) -> None:
        try:
            self.send("PutItem", {"Item": item, **IF_NEW})
        except VerboseClientError as error:
            response = cast("ClientError", error.__cause__).response
            if response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise Unknown from error
            raise Taken(dict(response)["Item"]) from error

    def send(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.line.dispatch(operation, {**TABLE, **request})
        except BotoCoreError as error:
            raise Unknown from error
        except VerboseClientError as error:
            if operation != "PutItem":
                raise Unknown from error
            raise


# --- what lacks one thing ---------------------------------------------------------------------------------------------


class Unaware(Tally):
    """Does not recognize its own entry in its way: the second attempt of a request meets the first."""

    def recognizes(self, item: Item, key: str) -> bool:
        return False


class Hasty(Tally):
    """Looks for what an earlier call has added from where the log ends now."""

    def start(self, claim: Item) -> int:
        return self.head()


class Weak(Tally):
    """Reads the log as it was a while ago."""

    def after(self, seen: int) -> list[Item]:
        return self.query(first=seen + 1)


class Skipping(Weak):
    """Believes what it reads to be all there is, and appends behind what it knows to be taken."""

    def resume(self, key: str, seen: int) -> int:
        for _ in range(ATTEMPTS_MAX):
            for item in self.after(seen):
                seen = int(item["SK"]["S"][2:])
                if self.is_mine(item, key):
                    return seen
            try:
                return self.append(key, seen + 1)
            except Taken:
                seen += 1
        raise Unknown


# --- its auditor ------------------------------------------------------------------------------------------------------


def log_of(table: Dynamo) -> list[str]:
    """The keys in the log, in order."""
    items = [item for item in table.items() if item["PK"]["S"] == ACCOUNT]
    assert [item["SK"]["S"] for item in items] == [f"E#{seq:04}" for seq in range(1, len(items) + 1)], "no gaps"
    return [item["k"]["S"] for item in items]


def audit(table: Dynamo, answers: dict[str, list[int]]) -> None:
    """Each key is in the log at most once, and where every answer said it is."""
    log = log_of(table)
    assert len(log) == len(set(log)), f"a key is in the log twice: {log}"
    for key, places in answers.items():
        for place in places:
            assert log[place - 1] == key, f"{key} is not at {place}: {log}"


# --- a counter --------------------------------------------------------------------------------------------------------

_COUNTER = {"PK": {"S": "C"}, "SK": {"S": "C"}}


def count_of(line: Line) -> int | None:
    found = line.dispatch("GetItem", {**TABLE, "Key": _COUNTER, "ConsistentRead": True}).get("Item")
    return int(found["n"]["N"]) if found else None


def count_naively(line: Line) -> int:
    """Reads, adds one, writes."""
    count = (count_of(line) or 0) + 1
    line.dispatch("PutItem", {**TABLE, "Item": {**_COUNTER, "n": {"N": str(count)}}})
    return count


def count_carefully(line: Line) -> int:
    """Writes only over what it has read; reads again when somebody was faster."""
    for _ in range(ATTEMPTS_MAX):
        count = count_of(line)
        item = {**_COUNTER, "n": {"N": str((count or 0) + 1)}}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(PK)"}
        if count is not None:
            condition = {"ConditionExpression": "n = :n", "ExpressionAttributeValues": {":n": {"N": str(count)}}}
        try:
            line.dispatch("PutItem", {**TABLE, "Item": item, **condition})
        except VerboseClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise Unknown from error
        except BotoCoreError as error:
            raise Unknown from error
        else:
            return (count or 0) + 1
    raise Unknown


def count_until_told(line: Line) -> int:
    """Counts carefully, and once more when it was not told whether it has."""
    try:
        return count_carefully(line)
    except Unknown:
        return count_carefully(line)
