"""Global ids: every object that can be refetched has one, opaque to callers."""

import base64
import binascii
import re

import strawberry

from domain import limits
from schema.faults import Code, Fault

# The longest is a purchase's: its kind, source and external id. DynamoDB takes keys of 2,048 bytes.
_BYTES_MAX = len("Purchase::") + limits.SOURCE_LENGTH_MAX + 4 * limits.KEY_LENGTH_MAX


@strawberry.interface(description="An object that can be fetched again by its id.")
class Node:
    """Relay's object identification."""

    id: strawberry.ID = strawberry.field(description="Opaque and stable; for `node(id:)` and for naming it elsewhere.")


def to_id(kind: str, key: str) -> strawberry.ID:
    """The global id of the `kind` that is found under `key`."""
    return strawberry.ID(base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("="))


def from_id(global_id: str) -> tuple[str, str]:
    """Kind and key of a global id; two empty texts for anything else, and for what is too long to be a key."""
    try:
        text = base64.b64decode(global_id + "=" * (-len(global_id) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""
    kind, _, key = text.partition(":")
    return (kind, key) if len(text.encode()) <= _BYTES_MAX else ("", "")


def key_of(kind: str, global_id: str, *, field: str) -> str:
    """The key in a global id of `kind`; a `BAD_USER_INPUT` fault for the id of anything else."""
    found, key = from_id(global_id)
    if found != kind:
        raise Fault(Code.BAD_USER_INPUT, f"{field} is not the id of a {kind}.", field=field)
    return key


def place_of(kind: str, global_id: str) -> tuple[str, tuple[int, ...]]:
    """Account and numbers in the id of a `kind` that is found at a place of an account, such as (`01J…`, (17, 0)); no account
    and no numbers for any other text."""
    found, key = from_id(global_id)
    account, *numbers = key.split(":")
    if found != kind or not account or not all(map(_NUMBER.fullmatch, numbers)):
        return "", ()
    return account, tuple(map(int, numbers))


# A sequence has ten digits at most.
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
