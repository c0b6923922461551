"""Who may do what: the whole table, and nothing beside it."""

import pytest

from domain import access
from domain.access import Permission, Role

# A line a permission, a column a kind of caller; a partner's column is that of each scope.
GRANTS = """
                    member  support  manager  partner  regulars/members  regulars/purchases  regulars/redemptions
PROGRAM_READ        yes     yes      yes      yes      yes               yes                 yes
OWN_ACCOUNT_READ    yes     -        -        -        -                 -                   -
OWN_ACCOUNT_ENROLL  yes     -        -        -        -                 -                   -
OWN_ACCOUNT_UPDATE  yes     -        -        -        -                 -                   -
OWN_ACCOUNT_CLOSE   yes     -        -        -        -                 -                   -
OWN_REWARDS_REDEEM  yes     -        -        -        -                 -                   -
OWN_POINTS_TRANSFER yes     -        -        -        -                 -                   -
OWN_NOTICES_MARK    yes     -        -        -        -                 -                   -
MEMBERS_READ        -       yes      yes      -        yes               -                   -
MEMBERS_ENROLL      -       -        yes      -        yes               -                   -
MEMBERS_UPDATE      -       yes      yes      -        yes               -                   -
MEMBERS_BLOCK       -       yes      yes      -        -                 -                   -
MEMBERS_CLOSE       -       -        yes      -        -                 -                   -
MEMBERS_MERGE       -       -        yes      -        -                 -                   -
MEMBERS_TIER        -       -        yes      -        -                 -                   -
PURCHASES_READ      -       yes      yes      -        -                 yes                 -
PURCHASES_RECORD    -       -        yes      -        -                 yes                 -
PURCHASES_RETURN    -       -        yes      -        -                 yes                 -
REWARDS_REDEEM      -       -        yes      -        -                 -                   yes
REDEMPTIONS_CANCEL  -       -        yes      -        -                 -                   yes
POINTS_HOLD         -       -        yes      -        -                 -                   yes
POINTS_TRANSFER     -       -        yes      -        -                 -                   -
POINTS_ADJUST       -       -        yes      -        -                 -                   -
NOTES_READ          -       yes      yes      -        -                 -                   -
NOTICES_READ        -       yes      yes      -        -                 -                   -
JOBS_READ           -       yes      yes      -        -                 -                   -
CLOCK_ADVANCE       -       -        yes      -        -                 -                   -
CAMPAIGNS_READ      -       yes      yes      -        -                 -                   -
CAMPAIGNS_MANAGE    -       -        yes      -        -                 -                   -
"""


def table() -> dict[tuple[str, str], bool]:
    callers, *lines = [line.split() for line in GRANTS.strip().splitlines()]
    return {
        (name, caller): word == "yes" for name, *words in lines for caller, word in zip(callers, words, strict=True)
    }


def caller(named: str) -> access.Actor:
    if "/" in named:
        return access.actor(Role.PARTNER, issuer="i", subject="s", scopes=[named])
    return access.actor(Role[named.upper()], issuer="i", subject="s")


def test_the_table_knows_every_permission_role_and_scope() -> None:
    names, callers = zip(*table(), strict=True)

    assert set(names) == {permission.name for permission in Permission}
    assert set(callers) == {role.name.lower() for role in Role} | set(access.SCOPE_GRANTS)


@pytest.mark.parametrize(("name", "named"), table())
def test_callers_may_do_what_the_table_says(name: str, named: str) -> None:
    assert caller(named).may(Permission[name]) is table()[name, named]


def test_scopes_add_up() -> None:
    till = access.actor(Role.PARTNER, issuer="i", subject="s", scopes=access.SCOPE_GRANTS)

    assert till.permissions == {
        Permission.PROGRAM_READ,
        Permission.MEMBERS_READ,
        Permission.MEMBERS_ENROLL,
        Permission.MEMBERS_UPDATE,
        Permission.PURCHASES_READ,
        Permission.PURCHASES_RECORD,
        Permission.PURCHASES_RETURN,
        Permission.REWARDS_REDEEM,
        Permission.REDEMPTIONS_CANCEL,
        Permission.POINTS_HOLD,
    }


@pytest.mark.parametrize("scope", ["", "regulars", "regulars/", "REGULARS/MEMBERS", "regulars/members ", "openid", "*"])
def test_unknown_scopes_grant_nothing(scope: str) -> None:
    assert (
        caller("partner").permissions == access.actor(Role.PARTNER, issuer="i", subject="s", scopes=[scope]).permissions
    )


@pytest.mark.parametrize("role", [Role.MEMBER, Role.SUPPORT, Role.MANAGER])
def test_scopes_are_for_partners_only(role: Role) -> None:
    actor = access.actor(role, issuer="i", subject="s", scopes=access.SCOPE_GRANTS)

    assert actor.permissions == access.ROLE_GRANTS[role]


def test_callers_of_other_kinds_have_other_ids() -> None:
    # An id owns idempotency keys and signs entries: a manager's is not that of the member with the same login.
    member, partner, support, manager = (access.actor(role, issuer="i", subject="s").id for role in Role)

    assert len({member, partner, support}) == 3
    # Staff keep their keys when their group changes.
    assert manager == support
