"""Pages of lists: Relay's PageInfo, and opening a cursor."""

import strawberry

from schema.context import Context
from schema.faults import Code, Fault


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    """Relay's page information. Lists are read forward, newest or most important first."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


def position(context: Context, scope: str, after: str | None) -> str | None:
    """The position that `after` was given out for in the list `scope`; a `CURSOR_INVALID` fault for any other text."""
    if after is None:
        return None
    try:
        return context.cursors.open(scope, after)
    except ValueError:
        raise Fault(Code.CURSOR_INVALID, "This cursor does not belong to this list.", field="after") from None
