"""What the outside learns when we fail: a log line with the traceback, and a metric that wakes somebody."""

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


class Faults:
    """`handlers.asgi.Log`: every fault of ours as a structured line and a count of one in the metric `InternalFaults`.

    An internal fault is an answer, not a failed invocation, so the platform's own error metric does not see it.
    """

    def error(
        self, msg: object, *args: object, exc_info: BaseException | None, extra: Mapping[str, object] | None
    ) -> None:
        """Logs the fault; `extra` names the request."""
        # Loaded on the first fault: 75 ms that a cold start without one need not spend.
        from aws_lambda_powertools.metrics import MetricUnit, single_metric  # noqa: PLC0415

        _logger().error(msg, *args, exc_info=exc_info, extra=dict(extra or {}))
        with single_metric(name="InternalFaults", unit=MetricUnit.Count, value=1, namespace=_namespace()):
            pass  # written when the block ends


def count(**counts: int) -> None:
    """Adds to metrics of the function, each by its name."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric  # noqa: PLC0415

    for name, value in counts.items():
        with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace=_namespace()):
            pass  # written when the block ends


def _namespace() -> str:
    # Never a fault of its own while a fault is told: outside a Lambda the setting may be missing.
    return os.environ.get("POWERTOOLS_METRICS_NAMESPACE") or "Regulars"


@cache
def _logger() -> "Logger":
    from aws_lambda_powertools import Logger  # noqa: PLC0415

    return Logger()
