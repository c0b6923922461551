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
    OWN_ACCOUNT_UPDATE = "OWN_ACCOUNT_UPDATE"
    OWN_ACCOUNT_CLOSE = "OWN_ACCOUNT_CLOSE"
    OWN_REWARDS_REDEEM = "OWN_REWARDS_REDEEM"
    OWN_POINTS_TRANSFER = "OWN_POINTS_TRANSFER"
    OWN_NOTICES_MARK = "OWN_NOTICES_MARK"
    MEMBERS_READ = "MEMBERS_READ"
    MEMBERS_ENROLL = "MEMBERS_ENROLL"
    MEMBERS_UPDATE = "MEMBERS_UPDATE"
    MEMBERS_BLOCK = "MEMBERS_BLOCK"
    MEMBERS_CLOSE = "MEMBERS_CLOSE"
    MEMBERS_MERGE = "MEMBERS_MERGE"
    MEMBERS_TIER = "MEMBERS_TIER"
    PURCHASES_READ = "PURCHASES_READ"
    PURCHASES_RECORD = "PURCHASES_RECORD"
    PURCHASES_RETURN = "PURCHASES_RETURN"
    REWARDS_REDEEM = "REWARDS_REDEEM"
    REDEMPTIONS_CANCEL = "REDEMPTIONS_CANCEL"
    POINTS_HOLD = "POINTS_HOLD"
    POINTS_TRANSFER = "POINTS_TRANSFER"
    POINTS_ADJUST = "POINTS_ADJUST"
    NOTES_READ = "NOTES_READ"
    NOTICES_READ = "NOTICES_READ"
    JOBS_READ = "JOBS_READ"
    CLOCK_ADVANCE = "CLOCK_ADVANCE"
    CAMPAIGNS_READ = "CAMPAIGNS_READ"
    CAMPAIGNS_MANAGE = "CAMPAIGNS_MANAGE"


_OWN = frozenset(
    {
        Permission.OWN_ACCOUNT_READ,
        Permission.OWN_ACCOUNT_ENROLL,
        Permission.OWN_ACCOUNT_UPDATE,
        Permission.OWN_ACCOUNT_CLOSE,
        Permission.OWN_REWARDS_REDEEM,
        Permission.OWN_POINTS_TRANSFER,
        Permission.OWN_NOTICES_MARK,
    }
)
_READ = frozenset({Permission.PROGRAM_READ})

ROLE_GRANTS: dict[Role, frozenset[Permission]] = {
    Role.MEMBER: _READ | _OWN,
    # A partner starts with the catalog; everything else comes from the scopes of its token.
    Role.PARTNER: _READ,
    # Support looks, and stops what looks wrong; what costs points needs a manager.
    Role.SUPPORT: _READ
    | {
        Permission.MEMBERS_READ,
        Permission.MEMBERS_UPDATE,
        Permission.MEMBERS_BLOCK,
        Permission.PURCHASES_READ,
        Permission.NOTES_READ,
        Permission.NOTICES_READ,
        Permission.JOBS_READ,
        Permission.CAMPAIGNS_READ,
    },
    Role.MANAGER: frozenset(Permission) - _OWN,
}

SCOPE_GRANTS: dict[str, frozenset[Permission]] = {
    "regulars/members": frozenset({Permission.MEMBERS_READ, Permission.MEMBERS_ENROLL, Permission.MEMBERS_UPDATE}),
    "regulars/purchases": frozenset(
        {Permission.PURCHASES_READ, Permission.PURCHASES_RECORD, Permission.PURCHASES_RETURN}
    ),
    "regulars/redemptions": frozenset(
        {Permission.REWARDS_REDEEM, Permission.REDEMPTIONS_CANCEL, Permission.POINTS_HOLD}
    ),
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
