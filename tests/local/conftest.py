"""The local stack's own tests."""

from tests.stack import running, stack

__all__ = ["running", "stack"]
