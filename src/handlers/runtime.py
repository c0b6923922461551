"""The composition root: settings are read once, clients are made once for each execution environment."""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pynamodb.connection import Connection
from ulid_transform import ulid_now

from domain import limits
from domain.access import Role
from handlers import actors
from schema.context import Context
from storage.cursors import Cursors
from storage.programs import Programs
from storage.table import Table

# Crockford's alphabet: no letter that can be read as a digit. Ten of them are 50 bits.
_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH = 10
_SECRET_LENGTH_MIN = 32
# Contending stops this long before the caller's deadline, so that there is still an answer: "unknown, retry".
_ANSWER_MARGIN_S = 3
_DEADLINE_DEFAULT_S = 15


class SettingMissing(Exception):
    """A setting is missing or unusable; it stops the cold start."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment of a Lambda, typed. `template.yaml` sets every one of them."""

    table: str
    secret: str
    shards: int
    account_claim: str
    groups_claim: str
    manager_group: str
    support_group: str
    introspection: bool
    body_bytes_max: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """What every handler is built of."""

    settings: Settings
    store: Table
    programs: Programs
    cursors: Cursors

    def context(self, scope: Mapping[str, Any]) -> Context:
        """What resolvers may use in the request of an ASGI scope. Raises an `UNAUTHENTICATED` fault without a caller."""
        settings = self.settings
        actor = actors.from_event(
            scope.get("aws.event", {}),
            account_claim=settings.account_claim,
            groups_claim=settings.groups_claim,
            group_roles={settings.manager_group: Role.MANAGER, settings.support_group: Role.SUPPORT},
        )
        return Context(
            actor=actor,
            now=now(),
            store=self.store.until(time.monotonic() + _seconds_left(scope)),
            cursors=self.cursors,
            program_in_force=self.programs.current,
            program_of_version=self.programs.version,
            new_account=new_account,
            new_code=new_code,
            new_salt=new_salt,
        )


def settings() -> Settings:
    """The settings of this environment. Raises `SettingMissing` with the name of the first that is not there."""
    secret = _setting("REGULARS_SECRET")
    if len(secret) < _SECRET_LENGTH_MIN:
        raise SettingMissing(f"REGULARS_SECRET must have at least {_SECRET_LENGTH_MIN} characters.")
    return Settings(
        table=_setting("REGULARS_TABLE"),
        secret=secret,
        shards=_number("REGULARS_SHARDS"),
        account_claim=_setting("REGULARS_ACCOUNT_CLAIM", ""),
        groups_claim=_setting("REGULARS_GROUPS_CLAIM", "cognito:groups"),
        manager_group=_setting("REGULARS_MANAGER_GROUP", "manager"),
        support_group=_setting("REGULARS_SUPPORT_GROUP", "support"),
        introspection=_setting("REGULARS_INTROSPECTION", "off") == "on",
        body_bytes_max=_number("REGULARS_BODY_BYTES_MAX", "262144"),
    )


def start() -> Runtime:
    """Reads the settings and makes the clients."""
    chosen = settings()
    connection = connect()
    secret = chosen.secret.encode()
    return Runtime(
        settings=chosen,
        store=Table(connection, chosen.table, pepper=secret, shards=chosen.shards),
        programs=Programs(connection, chosen.table),
        cursors=Cursors(secret),
    )


def connect() -> Connection:
    """A connection to DynamoDB where the environment says (region, credentials, endpoint).

    A call that has no answer in 2 s is tried again: DynamoDB answers within 100 ms or not at all, and every write here is
    safe to repeat.
    """
    return Connection(
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        connect_timeout_seconds=1,
        read_timeout_seconds=2,
        retry_configuration={"total_max_attempts": 4, "mode": "standard"},
    )


def now() -> datetime:
    """The program's clock, to the millisecond that the ledger keeps."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1_000 * 1_000)


def _seconds_left(scope: Mapping[str, Any]) -> float:
    lambda_context = scope.get("aws.context")
    remaining_ms = lambda_context.get_remaining_time_in_millis() if lambda_context else _DEADLINE_DEFAULT_S * 1_000
    return remaining_ms / 1_000 - _ANSWER_MARGIN_S


def new_account() -> str:
    """A random account id; nothing about a member can be read from it."""
    return ulid_now()


def new_code() -> str:
    """A redemption code that a person can read to a till."""
    return "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH))


def new_salt() -> bytes:
    """What hides a note of staff in its hash: nobody can guess a text from that without the salt."""
    return secrets.token_bytes(limits.NOTE_SALT_BYTES)


def _number(name: str, default: str | None = None) -> int:
    text = _setting(name, default)
    if not text.isdecimal() or int(text) < 1:
        raise SettingMissing(f"The environment variable {name} must be a whole number from 1, not {text!r}.")
    return int(text)


def _setting(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, default)
    if value is None or (default is None and not value):
        raise SettingMissing(f"The environment variable {name} is not set.")
    return value
