"""A Lambda execution environment for one handler, in a process of its own: events in by lines, CPU times and answers out.

    python -m bench.worker handlers.graphql [--layers | --calls]

Only the call of the handler is timed, in CPU time of the whole process. In Lambda too the event has been read from JSON
before the handler is called, and its answer is written as JSON afterwards.
"""

# Nothing is imported here that a handler would not need, and gc is as the handler leaves it.
import contextlib
import importlib
import json
import os
import sys
import time
from typing import Any


class LambdaContext:
    """What Lambda tells a handler about the call."""

    function_name = "graphql"
    function_version = "$LATEST"
    memory_limit_in_mb = "512"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:graphql"
    aws_request_id = "00000000-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """All the time there is."""
        return 10_000


def main(module: str, option: str) -> None:
    """Serves batches of events until the parent closes the pipe."""
    # The protocol has standard output for itself: whatever a handler prints goes where errors go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    handler, watching = _watched(module, option) if option else (importlib.import_module(module).handler, None)
    context = LambdaContext()
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin:
            events = json.loads(line)
            cpu_ns, told, watched = [], [], []
            for event in events:
                started = time.process_time_ns()
                answer = handler(event, context)
                cpu_ns.append(time.process_time_ns() - started)
                told.append(answer)
                if watching is not None:
                    watched.append(watching.take())
            json.dump({"cpu_ns": cpu_ns, "answers": told, "watched": watched}, answers)
            answers.write("\n")
            answers.flush()


def _watched(module: str, option: str) -> tuple[Any, Any]:
    """The handler, and what watches it; both are there before the handler's module is imported."""
    if option == "--layers":
        from bench.layers import Layers  # noqa: PLC0415 (only where it is asked for: it changes what it measures)

        layers = Layers()
        return layers.handler(module), layers
    from bench.counting import Calls  # noqa: PLC0415

    calls = Calls()
    return importlib.import_module(module).handler, calls


if __name__ == "__main__":
    main(sys.argv[1], "".join(sys.argv[2:]))
