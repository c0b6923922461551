"""Who is there to try Regulars with: a member, two managers and a till, and their tokens."""

import base64
import json
import secrets
import urllib.parse
import urllib.request
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import boto3

from handlers.local.home import Home, write_json


class Role(StrEnum):
    """The kinds of caller; what one manager has made, a second one approves."""

    MEMBER = "member"
    PARTNER = "partner"
    STAFF = "staff"
    APPROVER = "approver"


@dataclass(frozen=True)
class Person:
    """A user of the demo's pool."""

    email: str
    name: str
    groups: tuple[str, ...] = ()


PEOPLE = {
    Role.MEMBER: Person("ada@example.com", "Ada"),
    Role.STAFF: Person("grace@example.com", "Grace", ("manager",)),
    Role.APPROVER: Person("lin@example.com", "Lin", ("manager",)),
}


def ensure(home: Home, outputs: dict[str, str], client_arguments: dict[str, Any]) -> dict[str, str]:
    """Make the demo's people users of the pool, once, and give their passwords by e-mail address."""
    cognito = boto3.client("cognito-idp", **client_arguments)
    passwords = _passwords(home)
    for person in PEOPLE.values():
        user = {"UserPoolId": outputs["UserPoolId"], "Username": person.email}
        try:
            cognito.admin_create_user(
                **user,
                MessageAction="SUPPRESS",
                UserAttributes=[
                    {"Name": "email", "Value": person.email},
                    {"Name": "email_verified", "Value": "true"},
                    {"Name": "name", "Value": person.name},
                ],
            )
        except cognito.exceptions.UsernameExistsException:
            continue
        cognito.admin_set_user_password(**user, Password=passwords[person.email], Permanent=True)
        for group in person.groups:
            cognito.admin_add_user_to_group(**user, GroupName=group)
    return passwords


def token(role: Role, outputs: dict[str, str], passwords: dict[str, str], client_arguments: dict[str, Any]) -> str:
    """A fresh access token, asked for as an app or a till would."""
    cognito = boto3.client("cognito-idp", **client_arguments)
    if role is not Role.PARTNER:
        answer = cognito.initiate_auth(
            ClientId=outputs["MemberClientId"],
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": PEOPLE[role].email, "PASSWORD": passwords[PEOPLE[role].email]},
        )
        return str(answer["AuthenticationResult"]["AccessToken"])
    client = cognito.describe_user_pool_client(UserPoolId=outputs["UserPoolId"], ClientId=outputs["PartnerClientId"])
    credentials = f"{outputs['PartnerClientId']}:{client['UserPoolClient']['ClientSecret']}"
    request = urllib.request.Request(
        # On AWS this is the domain of the stack's TokenUrl; MiniStack answers for all domains at its own address.
        f"{client_arguments['endpoint_url']}/oauth2/token",
        data=urllib.parse.urlencode({"grant_type": "client_credentials"}).encode(),
        headers={
            "Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["access_token"])


def expires_at(token_: str) -> int:
    """The second at which a token stops working."""
    payload = token_.split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])


def _passwords(home: Home) -> dict[str, str]:
    file = home.state / "passwords"
    known = json.loads(file.read_text()) if file.exists() else {}
    # A home may be from before somebody joined.
    passwords = {person.email: known.get(person.email) or secrets.token_urlsafe(24) for person in PEOPLE.values()}
    if passwords != known:
        write_json(file, passwords)
    return passwords
