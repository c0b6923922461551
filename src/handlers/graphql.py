"""The GraphQL Lambda: an HTTP API event in, a GraphQL answer out."""

import gc

# Nothing made while starting is ever garbage; collecting it again and again costs a third of the cold start.
gc.disable()

from mangum import Mangum  # noqa: E402

from handlers import asgi, runtime, telemetry  # noqa: E402
from schema import root  # noqa: E402

_running = runtime.start()
_app = asgi.app(
    root.build(introspection=_running.settings.introspection),
    context=_running.context,
    body_bytes_max=_running.settings.body_bytes_max,
    log=telemetry.Faults(),
)

handler = Mangum(_app, lifespan="off", text_mime_types=asgi.TEXT_MIME_TYPES)

gc.enable()
gc.freeze()
