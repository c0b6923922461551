"""Who a verified token stands for. API Gateway has checked signature, issuer, audience and expiry before anything runs here."""

from collections.abc import Mapping
from typing import Any

from domain import access
from domain.access import Actor, Role
from schema.faults import Code, Fault


def from_event(
    event: Mapping[str, Any], *, account_claim: str, groups_claim: str, group_roles: Mapping[str, Role]
) -> Actor:
    """The actor of an HTTP API event. Raises an `UNAUTHENTICATED` fault when it carries no verified claims.

    Staff belong to a group of `group_roles` (in `groups_claim`; the first that matches counts). A partner's token was given
    to a client, not to a person. Everybody else is a member; `account_claim`, when set and present, names the member's
    account and saves the look-up by issuer and subject.
    """
    claims: Any = event
    for part in ("requestContext", "authorizer", "jwt", "claims"):
        claims = (claims or {}).get(part)
    claims = claims or {}
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not issuer or not subject:
        raise Fault(Code.UNAUTHENTICATED, "A token is needed.")
    groups = _words(claims.get(groups_claim, ""))
    for group, role in group_roles.items():
        if group in groups:
            return access.actor(role, issuer=issuer, subject=subject)
    if _is_client(claims):
        client = _client(claims) or subject
        scopes = _words(claims.get("scope") or claims.get("scp") or "")
        return access.actor(Role.PARTNER, issuer=issuer, subject=client, scopes=scopes)
    account = claims.get(account_claim) if account_claim else None
    return access.actor(Role.MEMBER, issuer=issuer, subject=subject, account=account or None)


def _words(value: object) -> list[str]:
    """The words of a claim. The HTTP API renders a list as `[a b]`, OAuth scopes are parted by spaces.

    So a name with a blank cannot be told from two names: a group that makes staff needs a name that is no word of another.
    """
    if isinstance(value, list):
        return [str(each) for each in value]
    return str(value).strip("[]").split()


def _client(claims: Mapping[str, Any]) -> str | None:
    """The OAuth client a token was given to: `client_id` (Cognito, RFC 9068), `azp` (Auth0) or `cid` (Okta)."""
    return claims.get("client_id") or claims.get("azp") or claims.get("cid")


def _is_client(claims: Mapping[str, Any]) -> bool:
    # Client-credentials tokens name the client as their subject (Cognito, RFC 9068) or say so in `gty` (Auth0).
    subject, client = claims.get("sub"), _client(claims)
    return claims.get("gty") == "client-credentials" or (bool(client) and str(subject) in (client, f"{client}@clients"))
