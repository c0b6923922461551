"""Who a verified token stands for: the claims of several issuers, as the HTTP API renders them."""

from __future__ import annotations

from typing import Any

import pytest

from domain import access
from domain.access import Actor, Permission, Role
from handlers import actors
from schema.faults import Code, Fault
from tests.handlers.api import (
    ACCOUNT_CLAIM,
    APP_CLIENT,
    ENROLL,
    ISSUER,
    MEMBER,
    SCOPES,
    TILL_CLIENT,
    VIEWER,
    Api,
    account_of,
    event,
    manager,
    member,
    person,
    support,
    till,
)

GROUP_ROLES = {"manager": Role.MANAGER, "support": Role.SUPPORT}
AUTH0 = "https://bluebird.eu.auth0.com/"
# What each of them grants is a table of its own: tests/domain/test_access.py.
ALL_OF_A_TILL = access.ROLE_GRANTS[Role.PARTNER].union(*access.SCOPE_GRANTS.values())


def actor(claims: dict[str, Any], *, groups_claim: str = "cognito:groups", account_claim: str = ACCOUNT_CLAIM) -> Actor:
    return actors.from_event(
        event("POST", claims), account_claim=account_claim, groups_claim=groups_claim, group_roles=GROUP_ROLES
    )


# --- members ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        person("7f1c2a9e-member"),
        person("7f1c2a9e-member", **{ACCOUNT_CLAIM: ""}),
        person("7f1c2a9e-member", **{"cognito:groups": ""}),
        person("7f1c2a9e-member", **{"cognito:groups": "[]"}),
        # What an app was granted is no permission of the person who uses it.
        person("7f1c2a9e-member", scope=" ".join(SCOPES)),
    ],
    ids=["Cognito", "empty account claim", "no groups", "an empty list of groups", "scopes of a till"],
)
def test_somebody_who_signed_in_is_a_member(claims: dict[str, str]) -> None:
    who = actor(claims)

    assert (who.role, who.issuer, who.subject, who.account) == (Role.MEMBER, ISSUER, "7f1c2a9e-member", None)
    assert who.permissions == access.ROLE_GRANTS[Role.MEMBER]


@pytest.mark.parametrize(
    "subject", ["auth0|5f7c8ec7c33c6c004bbafe82", "google-oauth2|103547991597142817347", "waad|x-Y_z", "sub with space"]
)
def test_a_subject_of_another_issuer_may_hold_anything(subject: str) -> None:
    """Tokens of Auth0 name the app that asked for them in `azp`, also those of people."""
    who = actor({"iss": AUTH0, "sub": subject, "azp": "kT8JzIkRrPnQbC3", "scope": "openid profile", "gty": "password"})

    assert (who.role, who.issuer, who.subject) == (Role.MEMBER, AUTH0, subject)


def test_the_account_claim_names_the_account() -> None:
    assert actor(member("ada", account="01JD7T8S0ACC0UNT")).account == "01JD7T8S0ACC0UNT"
    # A stack that trusts no claim looks the account up instead.
    assert actor(member("ada", account="01JD7T8S0ACC0UNT"), account_claim="").account is None


@pytest.mark.parametrize(
    "groups",
    ["[managers]", "[store-manager]", "[Manager]", "[MANAGER]", "[managers supporters]", "[manager_]", "man ager",
     ["managers"], ["store manager"], "[sub/manager]", "[manager:eu]"],
    ids=str,
)  # fmt: skip
def test_a_group_that_only_sounds_like_staff_is_none(groups: object) -> None:
    assert actor(person("mallory", **{"cognito:groups": groups})).role is Role.MEMBER  # type: ignore[arg-type]


def test_staff_is_made_by_the_groups_claim_alone() -> None:
    elsewhere = {"groups": "[manager]", "role": "manager", "custom:cognito:groups": "[manager]", "scope": "manager"}

    assert actor(person("mallory", **elsewhere)).role is Role.MEMBER
    assert actor(person("grace", **elsewhere), groups_claim="groups").role is Role.MANAGER
    # With another groups claim, Cognito's own means nothing.
    assert actor(manager(), groups_claim="https://bluebird.example/roles").role is Role.MEMBER


# --- staff --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        ("[manager]", Role.MANAGER),
        ("manager", Role.MANAGER),
        ("[support]", Role.SUPPORT),
        ("[support manager]", Role.MANAGER),
        ("[baristas support eu-central-1_Example01_Google]", Role.SUPPORT),
        (["manager"], Role.MANAGER),
        (["baristas", "support"], Role.SUPPORT),
    ],
    ids=str,
)
def test_groups_come_as_a_list_in_brackets_a_text_or_a_list(groups: object, role: Role) -> None:
    who = actor(person("grace", **{"cognito:groups": groups}))  # type: ignore[arg-type]

    assert (who.role, who.subject) == (role, "grace")


def test_staff_has_no_account_of_its_own() -> None:
    assert actor({**manager(), ACCOUNT_CLAIM: "01JD7T8S0ACC0UNT"}).account is None


def test_support_looks_and_managers_act() -> None:
    assert actor(support()).permissions == access.ROLE_GRANTS[Role.SUPPORT]
    assert actor(manager()).permissions == access.ROLE_GRANTS[Role.MANAGER] > ALL_OF_A_TILL


# --- tills --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        till(),
        {
            "iss": AUTH0,
            "sub": f"{TILL_CLIENT}@clients",
            "azp": TILL_CLIENT,
            "gty": "client-credentials",
            "scope": " ".join(SCOPES),
        },
        {"iss": AUTH0, "sub": TILL_CLIENT, "client_id": TILL_CLIENT, "scope": " ".join(SCOPES)},
    ],
    ids=["Cognito", "Auth0", "RFC 9068"],
)
def test_a_token_given_to_a_client_is_a_partners(claims: dict[str, str]) -> None:
    who = actor(claims)

    assert (who.role, who.subject, who.account) == (Role.PARTNER, TILL_CLIENT, None)
    assert who.permissions == ALL_OF_A_TILL


@pytest.mark.parametrize(
    ("scope", "more"),
    [
        ("", frozenset()),
        *access.SCOPE_GRANTS.items(),
        ("other/members regulars/unknown REGULARS/MEMBERS regulars/points", frozenset()),
        ("aws.cognito.signin.user.admin openid", frozenset()),
    ],
)
def test_a_till_may_do_what_its_scopes_say(scope: str, more: frozenset[Permission]) -> None:
    assert actor({**till(), "scope": scope}).permissions == {Permission.PROGRAM_READ} | more


def test_a_till_without_a_scope_claim_may_read_the_catalog() -> None:
    claims = till()
    del claims["scope"]

    assert actor(claims).permissions == {Permission.PROGRAM_READ}


def test_no_two_callers_are_the_same_in_the_ledger() -> None:
    """The ledger and the idempotency keys remember a caller by this id; staff keep theirs when their group changes."""
    staff = [person("x", **{"cognito:groups": group}) for group in ("[manager]", "[support]")]
    others = [person("x"), till(client="x"), person("y"), till(client="y")]

    assert len({actor(claims).id for claims in (*staff, *others)}) == 1 + len(others)


# --- nobody -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorizer",
    [
        None,
        {},
        {"jwt": None},
        {"jwt": {}},
        {"jwt": {"claims": None, "scopes": None}},
        {"jwt": {"claims": {}, "scopes": ["regulars/members"]}},
        {"jwt": {"claims": {"iss": ISSUER}}},
        {"jwt": {"claims": {"iss": ISSUER, "sub": ""}}},
        {"jwt": {"claims": {"sub": "ada"}}},
        {"jwt": {"claims": {"iss": "", "sub": "ada", "cognito:groups": "[manager]"}}},
        {"lambda": {"sub": "ada", "iss": ISSUER, "cognito:groups": "[manager]"}},
        {"iam": {"userId": "AIDAEXAMPLE", "accountId": "123456789012"}},
        {"claims": {"sub": "ada", "iss": ISSUER}},
    ],
    ids=str,
)
def test_without_a_verified_subject_there_is_no_caller(api: Api, authorizer: dict[str, Any] | None) -> None:
    unverified = event("POST", {}, body='{"query": "{ viewer { id } }"}', headers={"content-type": "application/json"})
    unverified["requestContext"]["authorizer"] = authorizer

    with pytest.raises(Fault) as refused:
        actors.from_event(unverified, account_claim="", groups_claim="cognito:groups", group_roles=GROUP_ROLES)
    assert refused.value.code is Code.UNAUTHENTICATED
    answer = api.invoke(unverified)
    assert (answer.status, answer.faults) == (401, [("UNAUTHENTICATED", None)])
    assert "data" not in answer.json


def test_an_event_without_an_authorizer_is_nobody_whatever_its_headers_say(api: Api) -> None:
    """Only what the API verified counts; the token itself is never read here."""
    body = '{"query": "mutation { pointsAdjust(input: {}) { replayed } }"}'
    forged = {"content-type": "application/json", "authorization": "Bearer forged", "x-amzn-oidc-identity": "manager"}

    with api.unchanged():
        answer = api.invoke(event("POST", {}, body=body, headers=forged))

    assert (answer.status, answer.faults) == (401, [("UNAUTHENTICATED", None)])


# --- through the handler ------------------------------------------------------------------------------------------------


def test_the_account_is_found_by_the_claim_or_by_issuer_and_subject(api: Api) -> None:
    sub = "0c6f0b86-found"
    mine = api.post(member(sub), ENROLL, input={"idempotencyKey": "1", "email": f"{sub}@example.com"})
    member_id = mine.data["memberEnroll"]["member"]["id"]

    by_look_up = api.post(member(sub), VIEWER)
    by_claim = api.post(member("0c6f0b86-linked", account=account_of(member_id)), VIEWER)
    elsewhere = api.post({**member(sub), "iss": AUTH0}, VIEWER)
    unknown = api.post(member(sub, account="01JNOSUCHACC0UNTANYWHERE00"), VIEWER)

    assert by_look_up.data["viewer"]["id"] == member_id
    assert by_claim.body == by_look_up.body
    # The same subject of another issuer is somebody else, and an account that does not exist is nobody's.
    assert elsewhere.data == {"viewer": None}
    assert unknown.data == {"viewer": None}


def test_a_member_in_a_group_that_sounds_like_staff_sees_nobody_else(api: Api) -> None:
    api.enroll("sounds-like")
    mallory = person("mallory-managers", **{"cognito:groups": "[managers]"})

    assert api.post(mallory, MEMBER, by={"externalId": "sounds-like"}).data == {"member": None}
    adjusting = 'mutation { pointsAdjust(input: {idempotencyKey: "1", member: {externalId: "sounds-like"}, points: 5, reason: "X"}) { replayed } }'  # noqa: E501
    assert api.post(mallory, adjusting).faults == [("FORBIDDEN", None)]
    assert APP_CLIENT in mallory.values()
