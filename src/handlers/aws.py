"""Clients of the services that functions talk to besides the table, which has its own (`runtime.connect`)."""

import os
from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.config import Config


def connect(service: str, *, options: Mapping[str, Any] | None = None, **client_arguments: Any) -> Any:
    """A client of a service where the environment, or the arguments, say: with short time-outs, and tried again a few times.
    `options` are more of botocore's own."""
    # Lambda sets both; people set one or the other, and the client looks at the second only.
    client_arguments.setdefault("region_name", os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))
    config = Config(
        connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 4, "mode": "standard"}, **(options or {})
    )
    return botocore.session.get_session().create_client(service, config=config, **client_arguments)
