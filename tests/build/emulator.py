"""The artifact as a Lambda function: in the Lambda Runtime Interface Emulator, away from the tests' own packages."""

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests import engines
from tests.engines import LOCAL

HANDLER = "handlers.graphql.handler"
SETTINGS = {
    "REGULARS_TABLE": "regulars",
    "REGULARS_SECRET": "a secret of more than 32 characters",
    "REGULARS_SHARDS": "4",
    "REGULARS_EVENT_BUS": "regulars",
    "REGULARS_VISIT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/123456789012/visits",
    "REGULARS_CAMPAIGN_QUEUE": "https://sqs.eu-central-1.amazonaws.com/123456789012/campaigns",
    "REGULARS_INGEST_QUEUE": "https://sqs.eu-central-1.amazonaws.com/123456789012/purchases",
    "REGULARS_FAILURES_QUEUE": "https://sqs.eu-central-1.amazonaws.com/123456789012/failures",
    "REGULARS_LISTS_BUCKET": "regulars-lists",
    "REGULARS_CLOCK_QUEUE": "https://sqs.eu-central-1.amazonaws.com/123456789012/clock",
    "AWS_REGION": "eu-central-1",
    "POWERTOOLS_SERVICE_NAME": "graphql",
    "POWERTOOLS_METRICS_NAMESPACE": "Regulars",
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function that is ready to be invoked."""

    port: int
    log: Path

    def __call__(self, event: Mapping[str, Any]) -> Any:
        """What Lambda answers to Invoke: what the handler returned, or the error that ended it."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
        text = connection.getresponse().read().decode()
        connection.close()
        # Timeouts are told in a plain sentence.
        return json.loads(text) if text.startswith("{") else text


@contextmanager
def run(artifact: Path, runtime: Path, environment: Mapping[str, str], log: Path, timeout_s: int) -> Iterator[Function]:
    """Runs the unpacked `artifact` with `environment` and nothing else; `runtime` is what Lambda has in /var/runtime."""
    engines.make("rie")
    arch = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    port = engines.free_port()
    command = [str(LOCAL / "rie" / f"aws-lambda-rie-{arch}")]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{engines.free_port()}"]
    # -sS: no site-packages. What is imported comes from the artifact, from /var/runtime or from Python itself.
    command += [sys.executable, "-sS", "-m", "awslambdaric", HANDLER]
    bare = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(runtime),
        "LAMBDA_TASK_ROOT": str(artifact),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
    }
    process = engines.leashed(command, log, {**bare, **environment}, cwd=artifact)
    try:
        assert engines.answers(f"http://127.0.0.1:{port}", process), log.read_text()
        yield Function(port, log)
    finally:
        engines.end(process)
