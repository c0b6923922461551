"""DynamoDB calls and capacity units of each operation, as the client sends them.

    python -m bench.operations

Units are computed from the items by the documented rules and compared with what the engine meters for single writes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import report, stage, units
from bench.environments import Environment, environment
from bench.report import Figure, Section
from bench.stage import Stage
from storage.items import Item

ACCOUNT, EXTERNAL_ID = "01JBENCH0000000000000COUNT", "bench-count"
TABLE = "bench-operations"
SHORT = {"GetItem": "Get", "PutItem": "Put", "TransactWriteItems": "Transact"}

ENROLL = """
mutation Enroll($input: MemberEnrollInput!) {
  memberEnroll(input: $input) { member { id account { balance } } replayed userErrors { code } }
}
"""
REDEEM = """
mutation Redeem($input: RewardRedeemInput!) {
  rewardRedeem(input: $input) { redemption { id code } account { balance } replayed userErrors { code } }
}
"""
ADJUST = """
mutation Adjust($input: PointsAdjustInput!) {
  pointsAdjust(input: $input) { entry { points } account { balance } replayed userErrors { code } }
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


def measure(on: Stage) -> list[Section]:
    """Every operation once, in an environment that is warm."""
    now = datetime.now(UTC).replace(microsecond=0)
    on.table(TABLE)
    rows = stage.member_of_a_year(on.program, account=ACCOUNT, external_id=EXTERNAL_ID, now=now)
    on.put(TABLE, rows)
    section = Section(
        "DynamoDB calls and capacity of an operation", ("", "calls", "read units", "write units", "which calls")
    )
    with environment("handlers.graphql", on.environment(TABLE), "--calls") as counted:
        for name, event, most in _operations(counted, now):
            seen = _count(counted, event)
            reads, writes = (sum(call[kind] for call in seen) for kind in ("reads", "writes"))
            which = Counter(SHORT.get(call["operation"], call["operation"]) for call in seen)
            section.add(
                name,
                str(len(seen)),
                f"{reads:g}",
                f"{writes:g}",
                " + ".join(f"{times} {call}" if times > 1 else call for call, times in which.items()),
                figures=[
                    Figure(f"{name}: calls", len(seen), "calls", most[0]),
                    Figure(f"{name}: write units", writes, "WRU", most[1]),
                    Figure(f"{name}: read units", reads, "RRU"),
                ],
            )
    for row in rows:
        _check_units(on.client, row)
    section.notes += [
        "a claim and an entry in one transaction are 4 write units, a new expiry day's due row in it is 2 more",
        "left out: the program, which every environment reads once in 30 s",
        f"units by documented sizes; the engine meters single writes of {len(rows)} of these items the same",
    ]
    return [section]


def _operations(counted: Environment, now: datetime) -> Sequence[tuple[str, dict[str, Any], tuple[int, int]]]:
    """Name, request, and how many calls and write units it may take."""
    basket = stage.real_baskets(8)[0]

    def purchase(number: int, *, days_ago: int) -> dict[str, Any]:
        at = now - timedelta(days=days_ago)
        return stage.purchase(basket, external_id=f"3162{number:07}", member=EXTERNAL_ID, occurred_at=at)

    def till(query: str, operation: str, **sent: object) -> dict[str, Any]:
        return stage.request(query, operation, stage.till_claims(), {"input": sent})

    member = {"externalId": EXTERNAL_ID}
    own = stage.member_claims(ACCOUNT)
    (first_page,) = stage.data_of(counted.call([stage.home(ACCOUNT)]).answers)
    after = first_page["viewer"]["entries"]["pageInfo"]["endCursor"]
    contacts = {"externalId": "bench-new", "email": "new@example.com", "phone": "+15550100100", "name": "Grace Hopper"}
    redeem = {"rewardId": "latte", "member": member}
    adjust = {"idempotencyKey": "a-1", "member": member, "points": 30, "reason": "GOODWILL"}
    preview = {"member": member, "total": {"amountMinor": 1_290, "currency": "USD"}}
    # Bought 390 days ago, it expires in a month of its own.
    return (
        ("enroll, three contacts", till(ENROLL, "Enroll", idempotencyKey="e-1", **contacts), (2, 14)),
        ("purchase", purchase(1, days_ago=5), (3, 4)),
        ("purchase, new expiry day", purchase(2, days_ago=390), (3, 6)),
        ("purchase, sent again", purchase(1, days_ago=5), (5, 4)),
        ("redeem, by a till", till(REDEEM, "Redeem", idempotencyKey="r-1", **redeem), (3, 4)),
        (
            "redeem, by the member",
            stage.request(REDEEM, "Redeem", own, {"input": {"idempotencyKey": "r-2", "rewardId": "latte"}}),
            (2, 4),
        ),
        (
            "redeem, refused",
            till(REDEEM, "Redeem", idempotencyKey="r-3", rewardId="tasting", member={"externalId": "bench-new"}),
            (4, 1),
        ),
        ("adjust", stage.request(ADJUST, "Adjust", stage.manager_claims(), {"input": adjust}), (3, 4)),
        ("preview", till(PREVIEW, "Preview", **preview), (2, 0)),
        ("home screen", stage.home(ACCOUNT), (1, 0)),
        ("member by externalId", stage.request(MEMBER, "Member", stage.till_claims(), {"by": member}), (2, 0)),
        ("history, page 2", stage.request(PAGE, "Page", own, {"after": after}), (2, 0)),
    )


def _count(counted: Environment, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    batch = counted.call([event])
    stage.data_of(batch.answers)
    calls: list[dict[str, Any]] = batch.watched[0]
    return calls


def _check_units(client: Any, row: Item) -> None:
    """Asserts that the engine meters this item as `units` does, also when padded to either side of a write unit.

    The engines count a few bytes more than the documentation for numbers that end in zeros, hence the 16 bytes.
    """

    def metered(size: int | None) -> float:
        item = {**row, "SK": {"S": "metered"}}
        if size is not None:
            item["zz"] = {"S": "z" * (size - units.item_bytes(item) - 2)}
        answer = client.put_item(TableName=TABLE, Item=item, ReturnConsumedCapacity="TOTAL")
        client.delete_item(TableName=TABLE, Key={"PK": item["PK"], "SK": item["SK"]})
        assert size is None or units.item_bytes(item) == size
        return float(answer["ConsumedCapacity"]["CapacityUnits"])

    assert metered(None) == units.write_units(row)
    assert metered(units.WRITE_UNIT_BYTES - 16) == 1
    assert metered(units.WRITE_UNIT_BYTES + 1) == 2


def main() -> None:
    """This part alone."""
    console = report.console()
    with stage.set_up() as on:
        for section in measure(on):
            report.show(console, section)


if __name__ == "__main__":
    main()
