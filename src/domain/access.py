"""Who may do what. Deny by default: a permission that is not granted here does not exist."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What kind of caller an actor is."""

    MEMBER = "MEMBER"
    PARTNER = "PARTNER"
    SUPPORT = "SUPPORT"
    MANAGER = "MANAGER"


class Permission(Enum):
    """One thing a caller may do. `OWN_…` permissions reach the caller's own account only."""

    PROGRAM_READ = "PROGRAM_READ"
    OWN_ACCOUNT_READ = "OWN_ACCOUNT_READ"
    OWN_ACCOUNT_ENROLL = "OWN_ACCOUNT_ENROLL"
    OWN_REWARDS_REDEEM = "OWN_REWARDS_REDEEM"
    MEMBERS_READ = "MEMBERS_READ"
    MEMBERS_ENROLL = "MEMBERS_ENROLL"
    PURCHASES_RECORD = "PURCHASES_RECORD"
    REWARDS_REDEEM = "REWARDS_REDEEM"
    POINTS_ADJUST = "POINTS_ADJUST"


_OWN = frozenset({Permission.OWN_ACCOUNT_READ, Permission.OWN_ACCOUNT_ENROLL, Permission.OWN_REWARDS_REDEEM})
_READ = frozenset({Permission.PROGRAM_READ})

ROLE_GRANTS: dict[Role, frozenset[Permission]] = {
    Role.MEMBER: _READ | _OWN,
    # A partner starts with the catalog; everything else comes from the scopes of its token.
    Role.PARTNER: _READ,
    Role.SUPPORT: _READ | {Permission.MEMBERS_READ},
    Role.MANAGER: _READ
    | {
        Permission.MEMBERS_READ,
        Permission.MEMBERS_ENROLL,
        Permission.PURCHASES_RECORD,
        Permission.REWARDS_REDEEM,
        Permission.POINTS_ADJUST,
    },
}

SCOPE_GRANTS: dict[str, frozenset[Permission]] = {
    "regulars/members": frozenset({Permission.MEMBERS_READ, Permission.MEMBERS_ENROLL}),
    "regulars/purchases": frozenset({Permission.PURCHASES_RECORD}),
    "regulars/redemptions": frozenset({Permission.REWARDS_REDEEM}),
}


# Staff keep their keys when their group changes.
_ID_PREFIX = {Role.MEMBER: "m", Role.PARTNER: "p", Role.SUPPORT: "s", Role.MANAGER: "s"}


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated caller. `id` is unique among callers of one issuer; `account` is set when the token names it."""

    role: Role
    issuer: str
    subject: str
    permissions: frozenset[Permission]
    account: str | None = None

    @property
    def id(self) -> str:
        """What entries and idempotency keys remember of the caller: kind and subject."""
        return f"{_ID_PREFIX[self.role]}.{self.subject}"

    def may(self, permission: Permission) -> bool:
        """Whether the caller has the permission."""
        return permission in self.permissions


def actor(role: Role, *, issuer: str, subject: str, account: str | None = None, scopes: Iterable[str] = ()) -> Actor:
    """An actor with what its role and, for a partner, its scopes grant. Unknown scopes grant nothing."""
    held = frozenset(scopes) if role is Role.PARTNER else frozenset()
    granted = ROLE_GRANTS[role].union(*(SCOPE_GRANTS.get(scope, frozenset()) for scope in held))
    return Actor(role=role, issuer=issuer, subject=subject, permissions=granted, account=account)
