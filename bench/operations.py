"""DynamoDB calls and capacity units of each operation, as the client sends them.

    python -m bench.operations

Units are computed from the items by the documented rules and compared with what the engine meters for single writes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, log2
from typing import Any

from bench import report, stage, units
from bench.counting import Calls
from bench.environments import Environment, environment
from bench.report import Figure, Section
from bench.stage import Stage
from domain import holds, visits
from domain.accounts import State
from domain.entries import Record
from domain.members import Lookup
from domain.store import NOTHING, Beside
from storage.items import Item
from storage.table import Table

TABLE = "bench-operations"
ACCOUNT, EXTERNAL_ID = "01JBENCH0000000000000COUNT", "bench-count"
# Others of a year's standing, with the same expiry days: who is given points, and who is merged.
OTHER, TWIN = "01JBENCH0000000000000OTHER", "01JBENCH00000000000000TWIN"
OTHERS = {OTHER: "bench-other", TWIN: "bench-twin"}
# Has spent nothing yet, and all in one bucket: nothing that it does opens or empties another.
RICH, RICH_ID = "01JBENCH00000000000000RICH", "bench-rich"
HISTORIES = {10: "01JBENCH0000000000000TENTH", 1_000: "01JBENCH0000000000THOUSAND"}
LATE = "01JBENCH00000000000000LATE"
SHORT = {"GetItem": "Get", "PutItem": "Put", "TransactWriteItems": "Transact"}

ENROLL = """
mutation Enroll($input: MemberEnrollInput!) {
  memberEnroll(input: $input) { member { id account { balance } } replayed userErrors { code } }
}
"""
RETURN = """
mutation Return($input: PurchaseReturnInput!) {
  purchaseReturn(input: $input) {
    purchaseReturn { returnId status points owed } account { balance debt } replayed userErrors { code }
  }
}
"""
REDEEM = """
mutation Redeem($input: RewardRedeemInput!) {
  rewardRedeem(input: $input) { redemption { id code } account { balance } replayed userErrors { code } }
}
"""
CANCEL = """
mutation Cancel($input: RedemptionCancelInput!) {
  redemptionCancel(input: $input) { entry { id points } account { balance } replayed userErrors { code } }
}
"""
HOLD = """
mutation Hold($input: PointsHoldInput!) {
  pointsHold(input: $input) { hold { id lapsesAt } account { balance held } replayed userErrors { code } }
}
"""
CAPTURE = """
mutation Capture($input: PointsCaptureInput!) {
  pointsCapture(input: $input) { entry { id points } account { balance held } replayed userErrors { code } }
}
"""
RELEASE = """
mutation Release($input: PointsReleaseInput!) {
  pointsRelease(input: $input) { entry { id points } account { balance held } replayed userErrors { code } }
}
"""
TRANSFER = """
mutation Transfer($input: PointsTransferInput!) {
  pointsTransfer(input: $input) { entry { id points } account { balance } replayed userErrors { code } }
}
"""
ADJUST = """
mutation Adjust($input: PointsAdjustInput!) {
  pointsAdjust(input: $input) { entry { id points } account { balance } replayed userErrors { code } }
}
"""
UPDATE = """
mutation Update($input: MemberUpdateInput!) {
  memberUpdate(input: $input) { member { id email } entry { changedFields } replayed userErrors { code } }
}
"""
BLOCK = """
mutation Block($input: MemberBlockInput!) {
  memberBlock(input: $input) { entry { id } account { status } replayed userErrors { code } }
}
"""
UNBLOCK = """
mutation Unblock($input: MemberUnblockInput!) {
  memberUnblock(input: $input) { entry { id } account { status } replayed userErrors { code } }
}
"""
CLOSE = """
mutation Close($input: MemberCloseInput!) {
  memberClose(input: $input) { entry { id } account { status } replayed userErrors { code } }
}
"""
MERGE = """
mutation Merge($input: MemberMergeInput!) {
  memberMerge(input: $input) { member { id account { balance } } entry { id points } replayed userErrors { code } }
}
"""
UNMERGE = """
mutation Unmerge($input: MemberUnmergeInput!) {
  memberUnmerge(input: $input) { member { id account { balance } } entry { id points } replayed userErrors { code } }
}
"""
PREVIEW = """
query Preview($input: PurchasePreviewInput!) {
  purchasePreview(input: $input) { points balanceAfter userErrors { code } }
}
"""
MEMBER = """
query Member($by: MemberByInput!) {
  member(by: $by) { id account { balance expiring { on points } } entries(first: 10) { edges { node { points } } } }
}
"""
PAGE = """
query Page($after: String!) {
  viewer { entries(first: 10, after: $after) { edges { node { points balanceAfter } cursor } pageInfo { hasNextPage } } }
}
"""
AS_OF = """
query AsOf($asOf: DateTime!) {
  viewer { account(asOf: $asOf) { balance expiring { on points } } }
}
"""
ENTRY = """
query Entry($id: ID!) {
  entry(id: $id) { at points balanceAfter explanation { rule points description } buckets { points expiresOn } }
}
"""
BOUGHT = """
query Bought($by: PurchaseByInput!) {
  purchase(by: $by) { id lines { quantity } entry { points } returns { returnId points } }
}
"""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to count, and how many calls and write units it may take. `refused` is the code it is answered with."""

    name: str
    event: Event
    calls_max: int
    writes_max: int
    refused: str | None = None


@dataclass(slots=True)
class Asking:
    """An environment that is asked: `data` is what it answered last."""

    counted: Environment
    data: dict[str, Any] = field(default_factory=dict)

    def call(self, event: Event, refused: str | None = None) -> list[dict[str, Any]]:
        """The calls that the answer has taken."""
        batch = self.counted.call([event])
        (data,) = stage.data_of(batch.answers)
        ((_, self.data),) = list(data.items())[:1]
        codes = [error["code"] for error in (self.data or {}).get("userErrors", ())]
        assert codes == ([refused] if refused else []), f"answered {codes}: {data}"
        calls: list[dict[str, Any]] = batch.watched[0]
        return calls


def measure(on: Stage) -> list[Section]:
    """Every operation once, in an environment that is warm."""
    now = datetime.now(UTC).replace(microsecond=0)
    store = on.table(TABLE)
    for account, external_id in {ACCOUNT: EXTERNAL_ID, **OTHERS}.items():
        on.put(TABLE, stage.member_of_a_year(on.program, account=account, external_id=external_id, now=now))
    for purchases, account in HISTORIES.items():
        on.put(TABLE, stage.member_of_purchases(f"bench-{purchases}", account, purchases, now))
    one_bucket = {stage.day_of(now) + 300: 100_000}
    on.put(TABLE, stage.member_in_state(RICH_ID, RICH, State(now - timedelta(days=9), one_bucket)))
    on.put(TABLE, stage.member_in_state("bench-late", LATE, State(now - timedelta(days=9), {stage.day_of(now) - 5: 7})))
    section = Section(
        "DynamoDB calls and capacity of an operation", ("", "calls", "read units", "write units", "which calls")
    )
    with environment("handlers.graphql", on.environment(TABLE), "--calls") as counted:
        asking = Asking(counted)
        for asked in _operations(asking, store, on, now):
            _add(section, asked, asking.call(asked.event, asked.refused))
    _add(section, Asked("visits.visit", {}, 2, 1), _tick(on, now))
    kinds = _kinds(on.client)
    for item in kinds.values():
        _check_units(on.client, item)
    section.notes += [
        "a claim and an entry are 2 write units, a new expiry day's due row is 1 more; a transaction's items count twice",
        "left out: the program, which every environment reads once in 30 s",
        f"units by documented sizes; the engine meters single writes the same, of items of {len(kinds)} kinds: "
        + ", ".join(sorted(kinds)),
    ]
    return [section]


def _add(section: Section, asked: Asked, seen: list[dict[str, Any]]) -> None:
    reads, writes = (sum(call[kind] for call in seen) for kind in ("reads", "writes"))
    which = Counter(SHORT.get(call["operation"], call["operation"]) for call in seen)
    name = asked.name
    section.add(
        name,
        str(len(seen)),
        f"{reads:g}",
        f"{writes:g}",
        " + ".join(f"{times} {call}" if times > 1 else call for call, times in which.items()),
        figures=[
            Figure(f"{name}: calls", len(seen), "calls", asked.calls_max),
            Figure(f"{name}: write units", writes, "WRU", asked.writes_max),
            Figure(f"{name}: read units", reads, "RRU"),
        ],
    )


def _operations(asking: Asking, store: Table, on: Stage, now: datetime) -> Iterator[Asked]:
    """Every operation of the schema, in an order in which each finds what it needs. What stands between two of them is done
    when the first has been answered."""
    member, rich, other, twin = ({"externalId": each} for each in (EXTERNAL_ID, RICH_ID, *OTHERS.values()))
    new = {"externalId": "bench-new"}

    def till(query: str, operation: str, **sent: object) -> Event:
        return stage.request(query, operation, stage.till_claims(), {"input": sent})

    def manager(query: str, operation: str, **sent: object) -> Event:
        return stage.request(query, operation, stage.manager_claims(), {"input": sent})

    def by_member(query: str, operation: str, **sent: object) -> Event:
        return stage.request(query, operation, stage.member_claims(RICH), {"input": sent})

    # --- joining, earning, giving back ---------------------------------------------------------------------------------
    contacts = {"externalId": "bench-new", "email": "new@example.com", "phone": "+15550100100", "name": "Grace Hopper"}
    # With the days of the anniversary and of a silence that may come, and a welcome to read.
    yield Asked("enroll, three contacts", till(ENROLL, "Enroll", idempotencyKey="e-1", **contacts), 2 + 3, 14 + 3)
    basket = stage.real_baskets(8)[0]

    def purchase(number: int, *, days_ago: int) -> Event:
        at = now - timedelta(days=days_ago)
        return stage.purchase(basket, external_id=f"3162{number:07}", member=EXTERNAL_ID, occurred_at=at)

    def returned(number: int, name: str, line: int | None) -> Event:
        part = {"part": {"lines": [{"line": line, "quantity": 1}]}} if line else {}
        sent = {"source": "completejourney", "externalId": f"3162{number:07}", "returnId": name, **part}
        return till(RETURN, "Return", **sent)

    yield Asked("purchase", purchase(1, days_ago=5), 4, 2)
    # Bought 390 days ago, it expires in a month of its own.
    yield Asked("purchase, new expiry day", purchase(2, days_ago=390), 5, 3)
    yield Asked("purchase, sent again", purchase(1, days_ago=5), 5, 1)
    yield Asked("return of a line", returned(1, "a", 1), 5, 4)
    yield Asked("return of all that is left", returned(1, "b", None), 5, 4)
    yield Asked("return, sent again", returned(1, "b", None), 6, 0)
    yield Asked("return, refused", returned(1, "c", None), 5, 1, refused="RETURN_EXCEEDS_PURCHASE")
    yield Asked("return before its purchase", returned(3, "a", 1), 2, 4)
    yield Asked("a second one before its purchase", returned(3, "b", 2), 3, 4)
    yield Asked("purchase whose returns came first", purchase(3, days_ago=5), 8, 3)
    by = {"receipt": {"source": "completejourney", "externalId": "31620000003"}}
    bought = stage.request(BOUGHT, "Bought", stage.till_claims(), {"by": by})
    yield Asked("purchase with its returns", bought, 3, 0)
    preview = {"member": member, "total": {"amountMinor": 1_290, "currency": "USD"}}
    yield Asked("preview", till(PREVIEW, "Preview", **preview), 2, 0)

    # --- spending ------------------------------------------------------------------------------------------------------
    redeem = {"rewardId": "latte", "member": rich}
    yield Asked("redeem, by a till", till(REDEEM, "Redeem", idempotencyKey="r-1", **redeem), 4, 2)
    yield Asked("redeem, by the member", by_member(REDEEM, "Redeem", idempotencyKey="r-2", rewardId="latte"), 3, 2)
    cancel = {"redemptionId": asking.data["redemption"]["id"]}
    yield Asked(
        "redeem, refused",
        till(REDEEM, "Redeem", idempotencyKey="r-3", rewardId="tasting", member=new),
        4,
        1,
        refused="INSUFFICIENT_POINTS",
    )
    yield Asked("cancel a redemption", till(CANCEL, "Cancel", idempotencyKey="c-1", **cancel), 5, 5)

    def hold(number: int, points: int = 30) -> Event:
        return till(HOLD, "Hold", idempotencyKey=f"h-{number}", member=rich, points=points)

    yield Asked("hold", hold(1), 4, 2)
    held = {"holdId": asking.data["hold"]["id"]}
    yield Asked("hold, sent again", hold(1), 5, 1)
    yield Asked("capture of a part", till(CAPTURE, "Capture", idempotencyKey="p-1", **held, points=20), 3, 2)
    asking.call(hold(2))
    held = {"holdId": asking.data["hold"]["id"]}
    yield Asked("release", till(RELEASE, "Release", idempotencyKey="l-1", **held), 3, 2)
    # A caller dies between its claim and its entry, and comes again when the points are gone.
    balance = asking.data["account"]["balance"]
    _die_after_claiming(store, on, "h-3", balance, now)
    asking.call(hold(4, balance - 50))
    spent = {"holdId": asking.data["hold"]["id"]}
    yield Asked("hold, refused after its claim", hold(3, balance), 7, 2, refused="INSUFFICIENT_POINTS")
    asking.call(till(RELEASE, "Release", idempotencyKey="l-2", **spent))

    # --- two accounts --------------------------------------------------------------------------------------------------
    for number, name, new_days in ((1, "transfer, new expiry day", 1), (2, "transfer", 0)):
        gift = by_member(TRANSFER, "Transfer", idempotencyKey=f"t-{number}", to=new, points=20)
        yield Asked(name, gift, 5 + new_days, 5 + new_days)
    twins = store.head(TWIN)
    assert twins is not None
    days = len(twins.state.buckets)
    merge = {"duplicate": twin, "survivor": other, "reason": "SAME_PERSON"}
    yield Asked("merge, the same expiry days", manager(MERGE, "Merge", idempotencyKey="m-1", **merge), 7, 5)
    # Every day of the account that is emptied and filled again is noted again, and the next day: what the merge has kept away
    # comes then. Who has a tier: what it was before is read.
    unmerge = {"duplicate": twin, "reason": "MISTAKE"}
    name = f"undo a merge, {days} expiry days"
    yield Asked(name, manager(UNMERGE, "Unmerge", idempotencyKey="m-2", **unmerge), 10 + days, 6 + days)

    # --- staff ---------------------------------------------------------------------------------------------------------
    adjust = {"member": member, "points": 30, "reason": "GOODWILL"}
    yield Asked("adjust", manager(ADJUST, "Adjust", idempotencyKey="a-1", **adjust), 4, 2)
    noted = {**adjust, "note": "Her coffee was cold, twice."}
    yield Asked("adjust, with a note", manager(ADJUST, "Adjust", idempotencyKey="a-2", **noted), 5, 3)
    update = {"member": new, "email": "grace@example.com"}
    # The record, the profile, the look-up that is gained and the one that is given up are one transaction.
    yield Asked("update a contact", till(UPDATE, "Update", idempotencyKey="u-1", **update), 7, 9)
    update = {"member": new, "name": "Grace B. Hopper"}
    yield Asked("update a name", till(UPDATE, "Update", idempotencyKey="u-2", **update), 6, 5)
    turned = {"member": new, "reason": "FRAUD_SUSPECTED"}
    yield Asked("block", manager(BLOCK, "Block", idempotencyKey="b-1", **turned), 4, 2)
    # And the next day is noted: what the block has kept away comes then.
    yield Asked("unblock", manager(UNBLOCK, "Unblock", idempotencyKey="b-2", **turned), 5, 3)
    yield Asked("close, three look-ups", manager(CLOSE, "Close", idempotencyKey="b-3", **turned), 5, 11)

    # --- looking -------------------------------------------------------------------------------------------------------
    yield Asked("home screen", stage.home(OTHER), 1, 0)
    after = asking.data["entries"]["pageInfo"]["endCursor"]
    entry = {"id": asking.data["entries"]["edges"][0]["node"]["id"]}
    found = stage.request(MEMBER, "Member", stage.till_claims(), {"by": other})
    yield Asked("member by externalId", found, 2, 0)
    yield Asked("history, page 2", stage.request(PAGE, "Page", stage.member_claims(OTHER), {"after": after}), 2, 0)
    # The refusal after a claim stands in the log, and is not shown.
    yield Asked("home screen, a record hidden", stage.home(RICH), 2, 0)
    yield Asked("entry", stage.request(ENTRY, "Entry", stage.member_claims(OTHER), entry), 1, 0)
    for entries, account in HISTORIES.items():
        at = now - timedelta(days=1, minutes=entries * 2 // 3)
        as_of = {"asOf": at.isoformat().replace("+00:00", "Z")}
        event = stage.request(AS_OF, "AsOf", stage.member_claims(account), as_of)
        # The newest entry is read with the member, and all others are halved.
        yield Asked(f"account at an instant, {entries:,} entries", event, 1 + ceil(log2(entries)), 0)


class _Mortal(Table):
    """A caller's store, whose caller dies before anything is appended."""

    def append(self, record: Record, beside: Beside = NOTHING) -> None:
        raise _Dead


class _Dead(Exception):
    """The caller is no more."""


def _die_after_claiming(store: Table, on: Stage, key: str, points: int, now: datetime) -> None:
    mortal = _Mortal(on.connection, TABLE, pepper=stage.SECRET.encode(), shards=stage.SHARDS)
    try:
        holds.hold(
            mortal,
            on.program,
            actor=stage.till(),
            idempotency_key=key,
            member=Lookup("external", RICH_ID),
            points=points,
            ttl_seconds=None,
            now=now,
        )
    except _Dead:
        return
    raise AssertionError("it lived")


def _tick(on: Stage, now: datetime) -> list[dict[str, Any]]:
    """The calls that book an expiry. Nobody can ask for it through the API."""
    counted = stage.on_engine(on.engine)
    calls = Calls(counted.connection.client)
    store = Table(counted.connection, TABLE, pepper=stage.SECRET.encode(), shards=stage.SHARDS)
    assert visits.visit(store, on.program, LATE, now=now, telling=False).counts
    return calls.take()


def _kinds(client: Any) -> dict[str, Item]:
    """The largest item of each kind that the operations have written, by what its keys begin with."""
    found: dict[str, Item] = {}
    for page in client.get_paginator("scan").paginate(TableName=TABLE):
        for item in page["Items"]:
            pk, sk = (item[name]["S"].split("#") for name in ("PK", "SK"))
            kind = pk[0] if pk[0] in ("CFG", "D", "DIR", "U") else f"{pk[0]} {sk[0]}"
            if kind not in found or units.item_bytes(item) > units.item_bytes(found[kind]):
                found[kind] = item
    return found


def _check_units(client: Any, item: Mapping[str, Any]) -> None:
    """Asserts that the engine meters this item as `units` does, also when padded to either side of a write unit.

    The engines count a few bytes more than the documentation for numbers that end in zeros, hence the 16 bytes.
    """

    def metered(size: int | None) -> float:
        put = {**item, "SK": {"S": "metered"}}
        if size is not None:
            put["zz"] = {"S": "z" * (size - units.item_bytes(put) - 2)}
        answer = client.put_item(TableName=TABLE, Item=put, ReturnConsumedCapacity="TOTAL")
        client.delete_item(TableName=TABLE, Key={"PK": put["PK"], "SK": put["SK"]})
        assert size is None or units.item_bytes(put) == size
        return float(answer["ConsumedCapacity"]["CapacityUnits"])

    whole = units.write_units(item)
    assert metered(None) == whole
    assert metered(whole * units.WRITE_UNIT_BYTES - 16) == whole
    assert metered(whole * units.WRITE_UNIT_BYTES + 1) == whole + 1


def main() -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on):
            report.show(console, section)


if __name__ == "__main__":
    main()
