"""Where the CPU of a call goes: each layer's own time, without that of the layers it calls.

A profiler charges Python for every function call, so it makes code of many small functions look worse than it is. Here only
the borders between layers are watched, some dozens of them in a call; watching one takes about a microsecond.
"""

import functools
import importlib
import inspect
import time
from collections.abc import Callable
from typing import Any

# Layer, module, name. What is called through any of these counts for the layer, until the next border.
BORDERS = (
    ("GraphQL engine: document, fields, coercion of the answer", "strawberry.schema.schema", "Schema.execute_sync"),
    ("GraphQL engine: variables of the request", "graphql.execution.executor", "get_variable_values"),
    ("GraphQL engine: variables of the request", "graphql.execution.executor", "get_argument_values"),
    ("Strawberry: arguments as inputs", "strawberry.schema.schema_converter", "convert_arguments"),
    ("limits and caches of documents", "schema.limits", "_wrong_variables"),
    ("schema: resolvers, objects of the answer", "schema.access", "Permitted.resolve"),
    ("schema: resolvers, objects of the answer", "schema.entries", "connection"),
    ("domain", "domain.purchases", "record"),
    ("domain", "domain.ledger", "current"),
    ("storage: items", "storage.table", "Table.find_account"),
    ("storage: items", "storage.table", "Table.head"),
    ("storage: items", "storage.table", "Table.home"),
    ("storage: items", "storage.table", "Table.remember"),
    ("storage: items", "storage.table", "Table.note_due"),
    ("storage: items", "storage.table", "Table.append"),
    ("storage: items", "storage.programs", "Programs.current"),
    ("PynamoDB's connection", "pynamodb.connection", "Connection.dispatch"),
    ("botocore", "botocore.client", "BaseClient._make_api_call"),
)


class Layers:
    """Watches the borders in this process, from now on."""

    def __init__(self) -> None:
        self._exclusive_ns: dict[str, int] = {}
        self._within: list[str] = []
        self._since_ns = 0
        for layer, module, name in BORDERS:
            owner: Any = importlib.import_module(module)
            *path, last = name.split(".")
            for part in path:
                owner = getattr(owner, part)
            assert hasattr(owner, last), f"bench/layers.py names {module}.{name}, which is no more"
            setattr(owner, last, self.around(layer, getattr(owner, last)))

    def take(self) -> dict[str, int]:
        """CPU ns by layer since the last time."""
        spent, self._exclusive_ns = self._exclusive_ns, {}
        return spent

    def around(self, layer: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, watched."""
        if inspect.iscoroutinefunction(function):

            async def watched_coroutine(*args: Any, **kwargs: Any) -> Any:
                # One request at a time: nobody else runs while this one waits.
                self._enter(layer)
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._leave()

            return watched_coroutine

        @functools.wraps(function, updated=())
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._enter(layer)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave()

        return watched

    def handler(self, module: str) -> Callable[..., Any]:
        """The handler of a module that was not imported yet: its schema binds what it finds."""
        handler = importlib.import_module(module).handler
        handler.app = self.around("ASGI: HTTP and JSON", handler.app)
        return self.around("Mangum, and the Lambda event", handler)

    def _enter(self, layer: str) -> None:
        self._charge()
        self._within.append(layer)

    def _leave(self) -> None:
        self._charge()
        self._within.pop()

    def _charge(self) -> None:
        now = time.process_time_ns()
        if self._within:
            layer = self._within[-1]
            self._exclusive_ns[layer] = self._exclusive_ns.get(layer, 0) + now - self._since_ns
        self._since_ns = now
