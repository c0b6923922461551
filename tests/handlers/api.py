"""The API as its callers see it: events as an HTTP API makes them, through the real Lambda handler, onto a real table.

    answer = api.post(till(), QUERY, input={...})
    assert answer.data["purchaseRecord"]["userErrors"] == []

No answer may be a fault of ours: `Api.invoke` fails the test when one is.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
import yaml

from handlers import program, runtime
from schema.nodes import from_id
from tests.engines import ROOT, Engine, create_table

DEMO = ROOT / "demo" / "coffee-chain.yaml"
ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example01"
APP_CLIENT = "5ahv3pk0example0members0app"
TILL_CLIENT = "3n4b5urk1ft4fl3mg5e62d9ado"
SCOPES = ("regulars/members", "regulars/purchases", "regulars/redemptions")
ACCOUNT_CLAIM = "custom:account"
BODY_BYTES_MAX = 1_048_576

Claims = Mapping[str, str]

# --- operations, in the shapes that scripts outside rely on -------------------------------------------------------------

ENROLL = """mutation Enroll($input: MemberEnrollInput!) {
  memberEnroll(input: $input) {
    member { id externalId account { balance } } replayed userErrors { code field message }
  }
}"""
PURCHASE = """mutation Purchase($input: PurchaseRecordInput!) {
  purchaseRecord(input: $input) {
    purchase { id } entry { points balanceAfter explanation { rule points } } replayed userErrors { code field message }
  }
}"""
RETURN = """mutation Return($input: PurchaseReturnInput!) {
  purchaseReturn(input: $input) {
    purchaseReturn {
      returnId status points owed debt writtenOff total { amountMinor currency } lines { line quantity } reason
      entry { id points balanceAfter explanation { rule points } }
    }
    purchase { id } account { balance pending debt } replayed userErrors { code field message }
  }
}"""
BOUGHT = """query Bought($by: PurchaseByInput!) {
  purchase(by: $by) {
    id source externalId total { amountMinor currency } lines { number quantity amountMinor }
    entry { id points } returned { amountMinor currency }
    returns { returnId at status points owed debt writtenOff total { amountMinor } lines { line quantity } reason entry { id } }
  }
}"""
PREVIEW = """query Preview($input: PurchasePreviewInput!) {
  purchasePreview(input: $input) {
    points balanceAfter expiresOn explanation { rule points } userErrors { code field message }
  }
}"""
REDEEM = """mutation Redeem($input: RewardRedeemInput!) {
  rewardRedeem(input: $input) {
    redemption { id code } account { balance } replayed userErrors { code field message }
  }
}"""
CANCEL = """mutation Cancel($input: RedemptionCancelInput!) {
  redemptionCancel(input: $input) {
    redemption { id status cancelledAt } entry { id points balanceAfter } account { balance }
    replayed userErrors { code field message }
  }
}"""
HOLD = """mutation Hold($input: PointsHoldInput!) {
  pointsHold(input: $input) {
    hold { id points lapsesAt } entry { id balanceAfter } account { balance held }
    replayed userErrors { code field message }
  }
}"""
CAPTURE = """mutation Capture($input: PointsCaptureInput!) {
  pointsCapture(input: $input) {
    entry { id points balanceAfter } account { balance held } replayed userErrors { code field message }
  }
}"""
RELEASE = """mutation Release($input: PointsReleaseInput!) {
  pointsRelease(input: $input) {
    entry { id points balanceAfter } account { balance held } replayed userErrors { code field message }
  }
}"""
TRANSFER = """mutation Transfer($input: PointsTransferInput!) {
  pointsTransfer(input: $input) {
    transfer { id points } entry { id points balanceAfter } account { balance }
    replayed userErrors { code field message }
  }
}"""
MERGE = """mutation Merge($input: MemberMergeInput!) {
  memberMerge(input: $input) {
    member { id account { balance } } entry { id points mergedMemberId reason note }
    replayed userErrors { code field message }
  }
}"""
UNMERGE = """mutation Unmerge($input: MemberUnmergeInput!) {
  memberUnmerge(input: $input) {
    member { id account { balance } } entry { id points mergedMemberId reason note }
    replayed userErrors { code field message }
  }
}"""
ADJUST = """mutation Adjust($input: PointsAdjustInput!) {
  pointsAdjust(input: $input) {
    entry { id points balanceAfter reason } account { balance } replayed userErrors { code field message }
  }
}"""
MEMBER = """query Member($by: MemberByInput!, $first: Int! = 10, $after: String) {
  member(by: $by) {
    id account { balance pending expiring { on points } }
    entries(first: $first, after: $after) {
      edges { cursor node { __typename id at points balanceAfter explanation { rule points description } } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}"""
UPDATE = """mutation Update($input: MemberUpdateInput!) {
  memberUpdate(input: $input) {
    member { id externalId name email phone cardNumber }
    entry { id points changedFields reason explanation { rule points description } }
    replayed userErrors { code field message }
  }
}"""
BLOCK = """mutation Block($input: MemberBlockInput!) {
  memberBlock(input: $input) {
    entry { id reason note actor } account { balance status } replayed userErrors { code field message }
  }
}"""
UNBLOCK = """mutation Unblock($input: MemberUnblockInput!) {
  memberUnblock(input: $input) {
    entry { id reason note actor } account { balance status } replayed userErrors { code field message }
  }
}"""
CLOSE = """mutation Close($input: MemberCloseInput!) {
  memberClose(input: $input) {
    entry { id points reason note actor } account { balance pending debt status } replayed userErrors { code field message }
  }
}"""
ENTRY = """query Entry($id: ID!) {
  entry(id: $id) {
    __typename id at points balanceAfter actor
    explanation { rule points description }
    buckets { pot points expiresOn availableOn }
    ... on NotedEntry { note }
  }
}"""
AS_OF = """query AsOf($by: MemberByInput!, $at: DateTime) {
  member(by: $by) { id account(asOf: $at) { balance pending held debt status expiring { on points } } }
}"""
CLOCK = """query Clock { clock { now timeZone isSandbox job { id status startAt endAt reachedAt daysTotal daysDone
  counts { kind count } failure } } }"""
ADVANCE = """mutation Advance($input: ClockAdvanceInput!) {
  clockAdvance(input: $input) {
    job { id status startAt endAt reachedAt daysTotal daysDone counts { kind count } failure }
    replayed userErrors { code field message }
  }
}"""
SUBMIT = """mutation Submit($input: PurchasesSubmitInput!) {
  purchasesSubmit(input: $input) {
    submission { id size } receipts { index source externalId isAccepted refusal { code field message } }
    replayed userErrors { code field message }
  }
}"""
SUBMISSION = """query Submission($id: ID!, $first: Int! = 100, $after: String) {
  submission(id: $id) {
    id submittedAt size tally { received accepted applied refused failed }
    items(first: $first, after: $after) {
      edges { cursor node { index } }
      nodes {
        index source externalId status failure refusal { code field message }
        purchase { id entry { points balanceAfter } }
      }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}"""
JOB = "query Job($id: ID!) { job(id: $id) { id status reachedAt daysTotal daysDone counts { kind count } failure } }"
TIER_SET = """mutation TierSet($input: MemberTierSetInput!) {
  memberTierSet(input: $input) {
    entry { id points tierHandle validUntil origin change amount reason note actor explanation { rule points description } }
    account { balance tier { handle name validUntil origin } } replayed userErrors { code field message }
  }
}"""
TIER = """query Tier($by: MemberByInput!) {
  member(by: $by) {
    id
    account {
      tier { handle name validUntil origin benefits { multiplierPercent extraMonths earlyAccessDays birthdayPoints } }
      tierProgress {
        metric period amount pointsToNext pointsToKeep validUntil projectedTier { handle } nextTier { handle threshold }
      }
    }
  }
}"""
PROGRAM = """query Program {
  program {
    version name timeZone currencies { code minorPerUnit } expiry reminderStages
    ladder { metric period graceDays hasSoftLanding tiers { handle } }
    tiers {
      id handle name threshold lifetimeThreshold
      benefits { multiplierPercent extraMonths earlyAccessDays birthdayPoints }
    }
  }
}"""
NOTICES = """query Notices($first: Int! = 10, $after: String) {
  viewer {
    notices(first: $first, after: $after) {
      unreadCount
      nodes { id kind at readAt moment points expiresOn title text }
      edges { cursor node { id } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}"""
MARK_READ = """mutation MarkRead($input: NoticesMarkReadInput!) {
  noticesMarkRead(input: $input) { notices { id readAt } replayed userErrors { code field message } }
}"""
_CAMPAIGN = """id status name code isApprovalNeeded approvedBy launchAt launchedAt endedAt revertedAt holdOutPercent
    budget { pointsMax membersMax } budgetLeft { pointsLeft membersLeft } steps { action by at }
    preview {
      isFinished memberCount points liability { amountMinor currency }
      progress { isPlanned planned done applied failed skips { reason memberCount } }
    }
    progress { isPlanned planned done applied failed points skips { reason memberCount } chunkCount chunksDone }
    reversal { isPlanned planned done applied failed points skips { reason memberCount } chunkCount chunksDone }"""
_CAMPAIGN_AFTER = f"campaign {{ {_CAMPAIGN} }} replayed userErrors {{ code field message }}"
CAMPAIGN = f"query Campaign($id: ID!) {{\n  campaign(id: $id) {{ {_CAMPAIGN} }}\n}}"
CAMPAIGN_OF_MEMBER = """query Result($id: ID!, $member: MemberByInput!) {
  campaign(id: $id) { memberResult(member: $member) { outcome reversal } }
}"""
CAMPAIGN_ASKED = """query Asked($id: ID!) {
  campaign(id: $id) {
    kind name code holdOutPercent validDays validUntil message { title text } budget { pointsMax membersMax }
    audience { ...Whom } segments { audience { ...Whom } points }
  }
}
fragment Whom on CampaignAudience {
  tiers balanceMin balanceMax locations activeFrom activeUntil joinedFrom joinedUntil tags withoutTags birthMonths listId
}"""
CAMPAIGNS = """query Campaigns($first: Int! = 10, $after: String) {
  campaigns(first: $first, after: $after) {
    edges { cursor node { id name status } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
# What is done with a campaign, by its root field.
CAMPAIGN_STEPS = {
    f"campaign{step}": f"mutation {step}($input: Campaign{step}Input!) {{\n"
    f"  campaign{step}(input: $input) {{ {_CAMPAIGN_AFTER} }}\n}}"
    for step in ("Create", "Preview", "Approve", "Launch", "Pause", "Resume", "Cancel", "Revert")
}
_LIST = """id name by status createdAt importedAt lineCount memberCount unknownCount malformedCount duplicateCount
    closedCount mergedCount failure"""
MEMBER_LIST = f"query List($id: ID!) {{\n  memberList(id: $id) {{ {_LIST} examples {{ kind line }} }}\n}}"
MEMBER_LISTS = """query Lists($first: Int! = 10, $after: String) {
  memberLists(first: $first, after: $after) {
    edges { cursor node { id name status } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
LIST_CREATE, LIST_IMPORT = (
    f"mutation {verb}($input: MemberList{verb}Input!) {{\n"
    f"  memberList{verb}(input: $input) {{ memberList {{ {_LIST} }} replayed userErrors {{ code field message }} }}\n}}"
    for verb in ("Create", "Import")
)
VIEWER = "query Viewer { viewer { id account { balance } } }"
NODE = "query Node($id: ID!) { node(id: $id) { __typename id } }"
REWARDS = """query Rewards($first: Int! = 50, $after: String) {
  rewards(first: $first, after: $after) {
    edges { cursor node { handle cost } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""


# --- callers: the claims of an access token as the HTTP API hands them on, every value a string -------------------------


def person(subject: str, **claims: str) -> dict[str, str]:
    """Somebody who signed in to Cognito."""
    return {
        "auth_time": "1893456000",
        "client_id": APP_CLIENT,
        "exp": "1893459600",
        "iat": "1893456000",
        "iss": ISSUER,
        "jti": "c0ffee00-0000-4000-8000-000000000001",
        "scope": "aws.cognito.signin.user.admin",
        "sub": subject,
        "token_use": "access",
        "username": subject,
        **claims,
    }


def member(subject: str, *, account: str | None = None) -> dict[str, str]:
    """A member; `account` is what the account claim of the token says."""
    return person(subject) if account is None else {**person(subject), ACCOUNT_CLAIM: account}


def manager() -> dict[str, str]:
    return person("5b0c7f1e-staff-manager", **{"cognito:groups": "[manager]"})


def support() -> dict[str, str]:
    return person("9d2a4c6b-staff-support", **{"cognito:groups": "[support]"})


def till(*scopes: str, client: str = TILL_CLIENT) -> dict[str, str]:
    """A till with the given scopes, or with all that there are."""
    claims = person(client, scope=" ".join(scopes or SCOPES))
    del claims["username"]
    return {**claims, "client_id": client, "version": "2"}


NOBODY: dict[str, str] = {}


# --- answers ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the handler gave back."""

    status: int
    body: str
    headers: Mapping[str, str]

    @property
    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body)
        return answer

    @property
    def data(self) -> dict[str, Any]:
        """The data of an answer without errors."""
        assert "errors" not in self.json, self.body
        data: dict[str, Any] = self.json["data"]
        return data

    @property
    def faults(self) -> list[tuple[str, str | None]]:
        """Code and field of every top-level error."""
        errors = self.json.get("errors", [])
        return [(error["extensions"]["code"], error["extensions"].get("field")) for error in errors]

    @property
    def refusals(self) -> list[tuple[str, str | None]]:
        """Code and dotted field of every user error."""
        payloads = [each for each in (self.json.get("data") or {}).values() if isinstance(each, dict)]
        errors = [error for payload in payloads for error in payload.get("userErrors", [])]
        return [(error["code"], error["field"] and ".".join(error["field"])) for error in errors]

    @property
    def complaints(self) -> list[tuple[str, str | None]]:
        """Whatever the caller is told to be wrong."""
        return self.faults + self.refusals


@dataclass(frozen=True)
class LambdaContext:
    """The part of a Lambda's context that the handler looks at."""

    aws_request_id: str = "8f7e6d5c-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 15_000


# --- the API ------------------------------------------------------------------------------------------------------------


@dataclass
class Api:
    """One deployed stack: the handler, and the table behind it for looking only."""

    handler: Callable[[dict[str, Any], LambdaContext], dict[str, Any]]
    client: Any
    table: str
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def post(self, caller: Claims, query: str, /, operation_name: str | None = None, **variables: Any) -> Answer:
        """One operation as a caller sends it."""
        request: dict[str, Any] = {"query": query, "variables": variables}
        if operation_name is not None:
            request["operationName"] = operation_name
        return self.send(caller, json.dumps(request))

    def send(self, caller: Claims, body: str | None, **headers: str) -> Answer:
        """Any body."""
        return self.invoke(event("POST", caller, body=body, headers={"content-type": "application/json", **headers}))

    def get(self, caller: Claims, **parameters: str) -> Answer:
        return self.invoke(event("GET", caller, query_string=urlencode(parameters)))

    def invoke(self, event: dict[str, Any]) -> Answer:
        """Calls the handler with an event; fails when the answer admits a fault of ours."""
        # Mangum takes the thread's loop, which other tests (`asyncio.run`) have closed behind themselves.
        asyncio.set_event_loop(self.loop)
        result = self.handler(event, LambdaContext())
        assert result["isBase64Encoded"] is False
        answer = Answer(result["statusCode"], result["body"], result["headers"])
        assert answer.status < 500, answer.body
        assert '"INTERNAL"' not in answer.body, answer.body
        return answer

    # --- arranging: what a test needs to have happened ------------------------------------------------------------------

    def enroll(self, external_id: str, caller: Claims | None = None, **details: Any) -> str:
        """A new member; the global id."""
        wanted = {"idempotencyKey": f"enroll {external_id}", "externalId": external_id, **details}
        payload = self.post(caller or till(), ENROLL, input=wanted).data["memberEnroll"]
        assert payload["userErrors"] == []
        assert not payload["replayed"]
        member_id: str = payload["member"]["id"]
        return member_id

    def buy(self, external_id: str, amount_minor: int, number: str | None = None) -> dict[str, Any]:
        """A purchase at the program's now; the payload."""
        wanted = receipt(number or f"{external_id}-{amount_minor}", external_id, amount_minor)
        payload: dict[str, Any] = self.post(till(), PURCHASE, input=wanted).data["purchaseRecord"]
        assert payload["userErrors"] == []
        assert not payload["replayed"]
        return payload

    def member(self, external_id: str, **variables: Any) -> dict[str, Any]:
        """A member as staff sees it."""
        found: dict[str, Any] = self.post(support(), MEMBER, by={"externalId": external_id}, **variables).data["member"]
        return found

    def balance(self, external_id: str) -> int:
        points: int = self.member(external_id)["account"]["balance"]
        return points

    # --- looking ----------------------------------------------------------------------------------------------------------

    def items(self) -> dict[tuple[str, str], Any]:
        """Every item of the table, by its key."""
        pages = self.client.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return {(item["PK"]["S"], item["SK"]["S"]): item for page in pages for item in page["Items"]}

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Fails when anything was written meanwhile."""
        before = self.items()
        yield
        assert self.items() == before


def receipt(number: str, external_id: str, amount_minor: int, **more: Any) -> dict[str, Any]:
    """A purchase at the program's now, as `PurchaseRecordInput`."""
    return {
        "source": "pos-harbor",
        "externalId": number,
        "member": {"externalId": external_id},
        "total": {"amountMinor": amount_minor, "currency": "USD"},
        "occurredAt": runtime.now().isoformat(),
        **more,
    }


def global_id(kind: str, key: str) -> str:
    """A global id, which callers are not supposed to make."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("=")


def account_of(member_id: str) -> str:
    """The account in a member's global id: what a token's claim carries."""
    kind, account = from_id(member_id)
    assert kind == "Member"
    return account


def event(
    method: str,
    caller: Claims,
    *,
    body: str | None = None,
    query_string: str = "",
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An event of an HTTP API (payload format 2.0) behind its JWT authorizer."""
    context: dict[str, Any] = {
        "accountId": "123456789012",
        "apiId": "a1b2c3d4e5",
        "domainName": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
        "domainPrefix": "a1b2c3d4e5",
        "http": {
            "method": method,
            "path": "/graphql",
            "protocol": "HTTP/1.1",
            "sourceIp": "203.0.113.7",
            "userAgent": "till/4.2",
        },
        "requestId": "Zk3mXg7JliAEJ2w=",
        "routeKey": f"{method} /graphql",
        "stage": "$default",
        "time": "01/Jan/2030:00:00:00 +0000",
        "timeEpoch": 1_893_456_000_000,
    }
    if caller:
        context["authorizer"] = {"jwt": {"claims": dict(caller), "scopes": None}}
    result: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} /graphql",
        "rawPath": "/graphql",
        "rawQueryString": query_string,
        "headers": {"host": context["domainName"], **(headers or {})},
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if body is not None:
        result["body"] = body
    return result


def without_moments(file: Path, folder: Path) -> Path:
    """A program in which nothing comes by itself: what these tests count is what their callers do."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    plain = folder / "program.yaml"
    plain.write_text(yaml.safe_dump({**document, "moments": []}), encoding="utf-8")
    return plain


@contextmanager
def deployed(
    engine: Engine,
    table: str,
    *,
    file: Path | None = DEMO,
    sandbox: bool = False,
    clock_queue: str | None = None,
    campaign_queue: str = "https://queues.invalid/campaigns",
    ingest_queue: str = "https://queues.invalid/purchases",
    lists_bucket: str = "lists-of-nobody",
) -> Iterator[Api]:
    """A stack on `engine` with the program of `file`, or with none; the handler starts cold. `clock_queue` is that of a stack
    that is deployed as a sandbox; `sandbox` says whether it was created as one."""
    client = boto3.client("dynamodb", **engine.client_kwargs)
    create_table(client, table)
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as starting:
        # Powertools reads its settings whenever it writes. The rest is there for the start only: whatever else runs in
        # this process does not inherit a deployed function's environment.
        for name, value in {
            "POWERTOOLS_SERVICE_NAME": "graphql",
            "POWERTOOLS_METRICS_NAMESPACE": "Regulars",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }.items():
            patch.setenv(name, value)
        for name, value in {
            **engine.environment,
            "REGULARS_TABLE": table,
            "REGULARS_SECRET": "a secret of the tests, long enough for a pepper",
            "REGULARS_SHARDS": "4",
            "REGULARS_ACCOUNT_CLAIM": ACCOUNT_CLAIM,
            "REGULARS_GROUPS_CLAIM": "cognito:groups",
            "REGULARS_INTROSPECTION": "off",
            "REGULARS_BODY_BYTES_MAX": str(BODY_BYTES_MAX),
            "REGULARS_CAMPAIGN_QUEUE": campaign_queue,
            "REGULARS_INGEST_QUEUE": ingest_queue,
            "REGULARS_LISTS_BUCKET": lists_bucket,
            **({"REGULARS_SANDBOX": "on", "REGULARS_CLOCK_QUEUE": clock_queue} if clock_queue else {}),
        }.items():
            starting.setenv(name, value)
        if file is not None:
            with tempfile.TemporaryDirectory() as folder:
                plain = without_moments(file, Path(folder)) if file == DEMO else file
                program.publish(plain, table=table, connection=runtime.connect(), sandbox=sandbox)
        starting.delitem(sys.modules, "handlers.graphql", raising=False)
        api = Api(importlib.import_module("handlers.graphql").handler, client, table)
        # The client is made by the first request.
        api.get(support(), query="{ rewards { nodes { id } } }")
        starting.undo()
        try:
            yield api
        finally:
            api.loop.close()
            asyncio.set_event_loop(None)
            client.close()
