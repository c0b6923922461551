"""What is measured on: MiniStack, a table with a member of a year's standing, and requests as API Gateway hands them over."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from pynamodb.connection import Connection

from domain import access, adjustments, members, purchases, rewards
from domain.access import Actor, Role
from domain.accounts import Line, State
from domain.entries import Basket, BasketLine, Claim, Entry, EntryKind, Explanation, Key, Money, Record
from domain.members import Lookup, Profile
from domain.programs import Program
from handlers import program as program_file
from handlers.replay import completejourney
from storage import items, keys
from storage.items import Item
from storage.memory import Memory
from storage.programs import Programs
from storage.table import Table
from tests.engines import Engine, create_table, run_ministack

ROOT = Path(__file__).resolve().parent.parent
SECRET = "bench-bench-bench-bench-bench-bench"  # noqa: S105 (of a table that lives as long as the bench)
SHARDS = 4
ACCOUNT_CLAIM = "regulars_account"
ISSUER = "https://issuer.example"
# As long as those of Cognito: every entry bears one.
TILL = "4mk2tq0s7r3n9b8v5c1x6z7y0a"
MANAGER = "7c1e0f52-93d4-4d0a-8a55-2d1f0e6b9c34"

PURCHASE = """
mutation Purchase($input: PurchaseRecordInput!) {
  purchaseRecord(input: $input) {
    purchase { id }
    entry { points balanceAfter explanation { rule points } }
    replayed
    userErrors { code field message }
  }
}
"""
HOME = """
query Home {
  viewer {
    id
    name
    account { balance pending expiring { on points } }
    entries(first: 10) {
      edges { node { __typename id at points balanceAfter explanation { rule points } } cursor }
      pageInfo { hasNextPage endCursor }
    }
  }
  rewards { edges { node { id name cost } } }
}
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running engine, its clients and the program in force on every table made here."""

    engine: Engine
    client: Any
    connection: Connection
    program: Program

    def table(self, name: str) -> Table:
        """A new table with the program published on it."""
        create_table(self.client, name)
        Programs(self.connection, name).publish(self.program)
        return Table(self.connection, name, pepper=SECRET.encode(), shards=SHARDS)

    def put(self, table: str, rows: Iterable[Item]) -> None:
        """Writes items as they are, as many at once as BatchWriteItem takes."""

        def write(batch: list[Item]) -> None:
            answer = self.client.batch_write_item(
                RequestItems={table: [{"PutRequest": {"Item": row}} for row in batch]}
            )
            assert not answer.get("UnprocessedItems"), "a local engine is never busy"

        left = iter(rows)
        # While the engine writes one batch, the next is made.
        with ThreadPoolExecutor(4) as writers:
            for _ in writers.map(write, iter(lambda: list(islice(left, 25)), [])):
                pass

    def environment(self, table: str) -> dict[str, str]:
        """What template.yaml and this engine give to a handler's process."""
        return {
            **self.engine.environment,
            "PATH": os.environ["PATH"],
            "REGULARS_TABLE": table,
            "REGULARS_SECRET": SECRET,
            "REGULARS_SHARDS": str(SHARDS),
            "REGULARS_ACCOUNT_CLAIM": ACCOUNT_CLAIM,
            "REGULARS_CAMPAIGN_QUEUE": "https://queues.invalid/campaigns",
            "REGULARS_INGEST_QUEUE": "https://queues.invalid/purchases",
            "REGULARS_LISTS_BUCKET": "lists-of-nobody",
            "POWERTOOLS_SERVICE_NAME": "graphql",
            "POWERTOOLS_METRICS_NAMESPACE": "Regulars",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }


@contextmanager
def set_up() -> Iterator[Stage]:
    """MiniStack, for as long as the block runs."""
    with run_ministack() as engine:
        yield on_engine(engine)


def on_engine(engine: Engine) -> Stage:
    """The stage of an engine that runs."""
    connection = Connection(
        region=engine.region, host=engine.endpoint_url, read_timeout_seconds=30, connect_timeout_seconds=5
    )
    connection.session.set_credentials(engine.access_key, "local")
    return Stage(
        engine=engine,
        # What is written here in bulk was made by our own code: nobody needs to check its shape.
        client=boto3.client("dynamodb", **engine.client_kwargs, config=Config(parameter_validation=False)),
        connection=connection,
        program=demo_program(),
    )


def demo_program() -> Program:
    """The program of the demo."""
    return program_file.load(ROOT / "demo" / "coffee-chain.yaml")


# --- people -----------------------------------------------------------------------------------------------------------


def till() -> Actor:
    """A till that may do everything a till can."""
    return access.actor(Role.PARTNER, issuer=ISSUER, subject=TILL, scopes=access.SCOPE_GRANTS)


def manager() -> Actor:
    """A manager."""
    return access.actor(Role.MANAGER, issuer=ISSUER, subject=MANAGER)


def till_claims() -> dict[str, str]:
    """A client-credentials token as API Gateway has verified it."""
    return {
        "iss": ISSUER,
        "sub": TILL,
        "client_id": TILL,
        "scope": " ".join(sorted(access.SCOPE_GRANTS)),
        "token_use": "access",
        "exp": "1893456000",
        "iat": "1893452400",
        "jti": "5a7c3d0e-1f7f-4f57-9d9c-0b9a4b0c3f11",
        "version": "2",
    }


def manager_claims() -> dict[str, str]:
    """A manager's token."""
    return {"iss": ISSUER, "sub": MANAGER, "cognito:groups": "[manager]", "token_use": "access"}


def member_claims(account: str) -> dict[str, str]:
    """A member's own token that names the account."""
    return {
        "iss": ISSUER,
        "sub": "0b9a4b0c-3f11-4f57-9d9c-5a7c3d0e1f7f",
        "username": "ada",
        "scope": "openid profile",
        "token_use": "access",
        "exp": "1893456000",
        "iat": "1893452400",
        ACCOUNT_CLAIM: account,
    }


def member_of_a_year(program: Program, *, account: str, external_id: str, now: datetime) -> list[Item]:
    """The items of somebody who bought something every month for a year, twice lately, redeemed once and was corrected.

    Made by the use cases themselves, on the store in memory, and of nothing but the arguments: two tables get the same.
    """
    store, member = Memory(), Lookup("external", external_id)
    members.enroll(
        store,
        program,
        actor=till(),
        idempotency_key=f"enroll-{account}",
        profile=Profile(
            enrolled_at=now, name="Ada Lovelace", external_id=external_id, email=f"{external_id}@example.com"
        ),
        account=account,
        now=now - timedelta(days=360),
    )
    for number, days_ago in enumerate((*range(350, 0, -30), 6, 5)):
        at = now - timedelta(days=days_ago)
        purchases.record(
            store,
            program,
            actor=till(),
            source="seed",
            external_id=f"{account}-{number}",
            member=member,
            basket=Basket(at, Money(17_000 + 1_240 * number, "USD"), "harbor", "store", ()),
            now=at,
        )
    rewards.redeem(
        store,
        program,
        actor=till(),
        idempotency_key=f"redeem-{account}",
        member=member,
        reward_id="latte",
        code="0123456789",
        now=now - timedelta(days=4),
    )
    adjustments.adjust(
        store,
        program,
        actor=manager(),
        idempotency_key=f"adjust-{account}",
        member=member,
        points=25,
        reason="GOODWILL",
        now=now - timedelta(minutes=5),  # today: its expiry day is that of a correction made now
    )
    home = store.home(account, entries=1)
    assert home is not None
    assert home.profile is not None
    return [
        *member_items(account, external_id, home.profile),
        *(items.record_item(record) for record in store.records_after(account, 0, limit=100)),
    ]


def member_in_state(external_id: str, account: str, state: State, *entries: Entry) -> list[Item]:
    """A member whose log is one record, which left `state`: a correction, or the entries that are given."""
    state = long_a_member(state)
    lines = tuple(Line(day, points) for day, points in state.buckets.items())
    corrected = Entry(
        kind=EntryKind.ADJUSTMENT,
        at=state.at,
        lines=lines[-1:],
        balance_after=state.balance,
        explanation=(Explanation("adjustment:SEED", state.balance),),
        key=Key("seed", external_id),
        actor=manager().id,
        reason="SEED",
        terms=1,
    )
    return [
        *member_items(account, external_id, Profile(enrolled_at=state.at, external_id=external_id)),
        items.record_item(Record(account, 1, entries or (corrected,), state)),
    ]


def long_a_member(state: State) -> State:
    """The state of somebody who has had the moments that come once, so that an operation of theirs is like most."""
    today = day_of(state.at)
    marks = {"active": today, "joined": today - 300, "m.third-purchase": 1, "m.tier-up": 1, "m.vip": 1, "m.welcome": 1}
    return replace(state, marks={**marks, "purchases": 100})


def member_of_purchases(external_id: str, account: str, purchases_made: int, now: datetime) -> Iterator[Item]:
    """A member with so many purchases of 12.90, one a minute until yesterday, all in one bucket. Only the claims of the first
    `CLAIMS_OF_HISTORY` are there."""
    first_at = now - timedelta(days=1, minutes=purchases_made)
    expires = day_of(now) + 700
    yield from member_items(account, external_id, Profile(enrolled_at=first_at, external_id=external_id))
    for seq in range(1, purchases_made + 1):
        at, balance = first_at + timedelta(minutes=seq), 1_000_000 + 12 * seq
        state = long_a_member(State(at=at, buckets={expires: balance}))
        claim, entry = purchase_made(account, seq, at=at, expires=expires, state=state)
        if seq <= CLAIMS_OF_HISTORY:
            yield items.claim_item(claim)
        yield items.record_item(Record(account, seq, (entry,), state))


CLAIMS_OF_HISTORY = 8


def purchase_made(
    account: str, seq: int, *, at: datetime, expires: int, state: State, lines: tuple[BasketLine, ...] = ()
) -> tuple[Claim, Entry]:
    """What a purchase of 12.90 has left at a place of a log: its claim, and its entry."""
    key, total = purchase_key(account, seq), Money(1_290, completejourney.CURRENCY)
    claim = Claim(key, account, seq - 1, b"f" * 16, at, Basket(at, total, "367", "store", lines))
    entry = Entry(
        kind=EntryKind.PURCHASE,
        at=at,
        lines=(Line(expires, 12),),
        balance_after=state.balance,
        explanation=(Explanation("base", 12, total.amount_minor),),
        key=key,
        actor=till().id,
        occurred_at=at,
        total=total,
        location="367",
        channel="store",
        terms=1,
    )
    return claim, entry


def purchase_key(account: str, seq: int) -> Key:
    """The key of the purchase at a place of a log."""
    return Key(completejourney.SOURCE, f"2162-{account}-{seq}")


def day_of(now: datetime) -> int:
    """Days since 1970-01-01."""
    return int(now.timestamp()) // 86_400


def member_items(account: str, external_id: str, profile: Profile) -> list[Item]:
    """A member without a history."""
    found_by = keys.lookup("external", external_id, SECRET.encode())
    return [
        items.LookupRow(found_by, keys.LOOKUP, account=account).serialize(),
        items.profile_item(account, profile),
    ]


# --- requests ---------------------------------------------------------------------------------------------------------


def real_baskets(lines: int, *, households: int = 12) -> list[completejourney.Basket]:
    """The baskets of so many lines that the first households bought, moved to within the last year."""
    now = datetime.now(UTC)
    known = completejourney.baskets(completejourney.households(households), shift=timedelta())
    newest = max(basket.occurred_at for of_one in known.values() for basket in of_one)
    shift = (now - newest) // timedelta(days=7) * timedelta(days=7)
    found = completejourney.baskets(list(known), shift=shift).values()
    return [basket for of_one in found for basket in of_one if len(basket.lines) == lines]


def domain_basket(basket: completejourney.Basket) -> Basket:
    """A real basket as the domain sees it."""
    return Basket(
        occurred_at=basket.occurred_at,
        total=Money(basket.total_minor, completejourney.CURRENCY),
        location=str(basket.store_id),
        channel="store",
        lines=tuple(
            BasketLine(str(line.product_id), line.department, line.quantity, line.amount_minor) for line in basket.lines
        ),
    )


def purchase(basket: completejourney.Basket, *, external_id: str, member: str, occurred_at: datetime) -> dict[str, Any]:
    """A till's request to record a real basket, bought at another time by somebody else."""
    sent = {
        "source": completejourney.SOURCE,
        "externalId": external_id,
        "member": {"externalId": member},
        "total": {"amountMinor": basket.total_minor, "currency": completejourney.CURRENCY},
        "occurredAt": occurred_at.isoformat(timespec="seconds"),
        "location": str(basket.store_id),
        "channel": "store",
        "lines": [
            {
                "sku": str(line.product_id),
                "category": line.department,
                "quantity": line.quantity,
                "amountMinor": line.amount_minor,
            }
            for line in basket.lines
        ],
    }
    return request(PURCHASE, "Purchase", till_claims(), {"input": sent})


def home(account: str) -> dict[str, Any]:
    """A member's request for the home screen."""
    return request(HOME, "Home", member_claims(account))


def request(
    query: str, operation: str, claims: Mapping[str, str], variables: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The event of an HTTP API (payload format 2.0) with a verified token."""
    body = json.dumps({"query": query, "operationName": operation, "variables": variables or {}}, separators=(",", ":"))
    return {
        "version": "2.0",
        "routeKey": "POST /graphql",
        "rawPath": "/graphql",
        "rawQueryString": "",
        "headers": {
            "accept": "application/json",
            "accept-encoding": "gzip, deflate, br",
            "authorization": "Bearer " + "e" * 900,
            "content-length": str(len(body.encode())),
            "content-type": "application/json",
            "host": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
            "user-agent": "till/4.2",
            "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
            "x-forwarded-for": "205.255.255.176",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "a1b2c3d4e5",
            "authorizer": {"jwt": {"claims": dict(claims), "scopes": None}},
            "domainName": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "a1b2c3d4e5",
            "http": {
                "method": "POST",
                "path": "/graphql",
                "protocol": "HTTP/1.1",
                "sourceIp": "205.255.255.176",
                "userAgent": "till/4.2",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /graphql",
            "stage": "$default",
            "time": "10/Mar/2026:05:16:23 +0000",
            "timeEpoch": 1773119783000,
        },
        "body": body,
        "isBase64Encoded": False,
    }


def data_of(answers: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The `data` of answers; whatever else came back is a bench that measures the wrong thing."""
    found = []
    for answer in answers:
        body = json.loads(answer["body"])
        assert answer["statusCode"] == 200 and "errors" not in body, f"{answer['statusCode']}: {answer['body']}"  # noqa: PT018
        found.append(body["data"])
    return found
