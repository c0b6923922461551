"""The planner Lambda: once an hour, whoever's turn it is goes to the visitors' queue."""

from typing import Any

from handlers import runtime

_planner = runtime.start_planner()


def handler(_event: Any, _context: Any) -> None:
    """Plans what is due by the program's clock. What the schedule says about the time is not asked."""
    _planner.plan()
