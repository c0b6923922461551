"""Permissions of root fields. A root field that declares none keeps the schema from being built."""

from collections.abc import Iterable
from typing import Any

from strawberry.extensions.field_extension import FieldExtension, SyncExtensionResolver
from strawberry.types import get_object_definition

from domain.access import Permission
from schema.context import Info
from schema.faults import Code, Fault


class Permitted(FieldExtension):
    """Lets a field be resolved only for callers with at least one of `permissions`; others get `FORBIDDEN`."""

    def __init__(self, *permissions: Permission) -> None:
        assert permissions
        self.permissions = permissions

    def resolve(self, next_: SyncExtensionResolver, source: Any, info: Info, **arguments: Any) -> Any:
        """Asks before anything is read."""
        if self.permissions[0] not in (held := info.context.actor.permissions) and held.isdisjoint(self.permissions):
            needed = " or ".join(permission.value for permission in self.permissions)
            raise Fault(Code.FORBIDDEN, f"This needs the permission {needed}.")
        return next_(source, info, **arguments)


class Undeclared(Exception):
    """Root fields for which nobody said who may use them."""


def require_declared(roots: Iterable[type]) -> None:
    """Raises `Undeclared` naming every field of `roots` without a permission."""
    missing = [
        f"{root.__name__}.{field.python_name}"
        for root in roots
        for field in get_object_definition(root, strict=True).fields
        if not any(isinstance(extension, Permitted) for extension in field.extensions)
    ]
    if missing:
        raise Undeclared(", ".join(missing))
