"""GraphQL over HTTP as a small ASGI app: all 61 audits of the npm package `graphql-http`, and no web framework.

The schema is executed in the event loop, as one Lambda environment serves one request at a time.

An answer is `application/graphql-response+json`, with 400 for a document that was not executed, or, for older clients
and by default, `application/json`, with 200 for the same. Neither has `data` if nothing was executed; a fault of a
resolver is 200 in both. A request that no GraphQL can be read from is 4xx in both, a fault of ours outside of resolvers
500.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NoReturn, Protocol, TypeVar
from urllib.parse import parse_qsl

import strawberry
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from schema import faults
from schema.faults import Code, Fault

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
# Mangum base64-encodes what it does not know to be text: Mangum(…, text_mime_types=TEXT_MIME_TYPES).
TEXT_MIME_TYPES = [JSON, GRAPHQL_RESPONSE]

# For every other code the request itself is wrong: 400.
_STATUS = {
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.NOT_ACCEPTABLE: 406,
    Code.BODY_TOO_LARGE: 413,
    Code.MEDIA_TYPE_UNSUPPORTED: 415,
    Code.INTERNAL: 500,
}
_OPERATIONS = {"GET": {OperationType.QUERY}, "POST": {OperationType.QUERY, OperationType.MUTATION}}
_PARAMETERS_MAX = 20

_T = TypeVar("_T")
_Tell = Callable[[GraphQLError], dict[str, Any]]


class App(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""


class Log(Protocol):
    """What is asked of a logger; the standard library's has it, and the one of Powertools."""

    def error(
        self, msg: object, *args: object, exc_info: BaseException | None, extra: Mapping[str, object] | None
    ) -> None:
        """Write one line, with the traceback of `exc_info`."""


_LOG = logging.getLogger("regulars.graphql")


def app(
    schema: strawberry.Schema,
    *,
    context: Callable[[Scope], object],
    body_bytes_max: int,
    log: Log = _LOG,
) -> App:
    """Serve the schema to requests of at most `body_bytes_max`.

    `context` makes what resolvers find in `info.context` out of the ASGI scope (Mangum puts the event of API Gateway at
    `scope["aws.event"]`). A Fault it raises is the answer, with the HTTP status of its code.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", f"no {scope['type']} here: Mangum(…, lifespan='off')"
        headers = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in scope["headers"]}
        request_id = _request_id(scope)
        tell = partial(_told, request_id=request_id, log=log)
        media_type = JSON
        try:
            media_type = _negotiated(headers.get(b"accept", ""))
            request = await _read(scope, headers, receive, body_bytes_max)
            status, answer = _execute(schema, request, context(scope), media_type, tell)
            body = _encode(answer)
        except Fault as fault:
            status = _STATUS.get(fault.code, 400)
            body = _encode({"errors": [tell(fault)]})
        except Exception as error:
            _log(log, request_id, error)
            status, body = 500, _encode({"errors": [faults.internal(request_id).formatted]})
        answer_headers = [
            (b"content-type", f"{media_type}; charset=utf-8".encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            answer_headers.append((b"allow", b"POST" if scope["method"] == "GET" else b"GET, POST"))
        await send({"type": "http.response.start", "status": status, "headers": answer_headers})
        await send({"type": "http.response.body", "body": body})

    return serve


# --- the request ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    query: str
    variables: dict[str, Any] | None
    operation_name: str | None
    extensions: dict[str, Any] | None


async def _read(scope: Scope, headers: Mapping[bytes, str], receive: Receive, bytes_max: int) -> _Request:
    """The GraphQL request, or a Fault that says what is wrong with the HTTP request."""
    method = scope["method"]
    if method == "GET":
        return _request(method, _query_parameters(scope["query_string"], bytes_max))
    if method != "POST":
        raise Fault(Code.METHOD_NOT_ALLOWED, f"{method} is not allowed: send GET or POST.")
    _check_content_type(headers.get(b"content-type", ""))
    length = headers.get(b"content-length", "")
    if length.isdecimal() and int(length[:20]) > bytes_max:
        raise _body_too_large(bytes_max)
    return _request(method, _json(await _body(receive, bytes_max), "The body"))


async def _body(receive: Receive, bytes_max: int) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > bytes_max:
            raise _body_too_large(bytes_max)
    return body


def _body_too_large(bytes_max: int) -> Fault:
    return Fault(Code.BODY_TOO_LARGE, f"The request has more than {bytes_max} bytes.")


def _check_content_type(content_type: str) -> None:
    media_type, _, rest = content_type.partition(";")
    charset = dict(_parameters(rest)).get("charset", "utf-8")
    if media_type.strip().lower() != JSON or charset.lower() not in ("utf-8", "utf8"):
        raise Fault(Code.MEDIA_TYPE_UNSUPPORTED, f"The body must be {JSON} in UTF-8, and say so in content-type.")


def _query_parameters(query_string: bytes, bytes_max: int) -> dict[str, object]:
    if len(query_string) > bytes_max:
        raise _body_too_large(bytes_max)
    try:
        pairs = parse_qsl(query_string.decode(), errors="strict", max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        raise Fault(Code.BAD_REQUEST, "The query string is not readable as UTF-8 parameters.") from None
    parameters: dict[str, object] = dict(pairs)
    if len(parameters) != len(pairs):
        raise Fault(Code.BAD_REQUEST, "The query string has a parameter twice.")
    for name in ("variables", "extensions"):
        if name in parameters:
            parameters[name] = _json(str(parameters[name]), f"The parameter '{name}'", field=name)
    return parameters


def _request(method: str, parameters: object) -> _Request:
    if isinstance(parameters, list):
        raise Fault(Code.BAD_REQUEST, "Batches are not supported: send one operation in a request.")
    if not isinstance(parameters, dict):
        raise Fault(Code.BAD_REQUEST, "The body must be a JSON object.")
    query = _typed(parameters, "query", str, "a string")
    if not query:
        raise Fault(Code.BAD_REQUEST, "The request has no 'query'.", field="query")
    return _Request(
        method,
        query,
        _typed(parameters, "variables", dict, "an object"),
        _typed(parameters, "operationName", str, "a string"),
        _typed(parameters, "extensions", dict, "an object"),
    )


def _typed(parameters: dict[str, object], name: str, type_: type[_T], told: str) -> _T | None:
    value = parameters.get(name)
    if value is None or isinstance(value, type_):
        return value
    raise Fault(Code.BAD_REQUEST, f"'{name}' must be {told} or null.", field=name)


def _json(text: str | bytes, what: str, *, field: str | None = None) -> object:
    try:
        text = text if isinstance(text, str) else text.decode()
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            # JSON can spell half a surrogate pair; nothing after this line could store, hash or answer it.
            _encode(value)
    except (ValueError, RecursionError):
        raise Fault(Code.BAD_REQUEST, f"{what} is not readable as JSON in UTF-8.", field=field) from None
    return value


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(digits)
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


# Python reads NaN, Infinity and 1e999, which JSON does not have.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)


# --- the answer -------------------------------------------------------------------------------------------------------


def _execute(
    schema: strawberry.Schema, request: _Request, context: object, media_type: str, tell: _Tell
) -> tuple[int, dict[str, object]]:
    try:
        result = schema.execute_sync(
            request.query,
            variable_values=request.variables,
            context_value=context,
            operation_name=request.operation_name,
            allowed_operation_types=_OPERATIONS[request.method],
            operation_extensions=request.extensions,
        )
    except InvalidOperationTypeError as error:
        if request.method == "GET":
            raise Fault(Code.METHOD_NOT_ALLOWED, "GET is for queries: send this operation with POST.") from None
        message = f"A {error.operation_type.value} cannot be run here."
        return _refused([Fault(Code.OPERATION_RESOLUTION_FAILURE, message)], media_type, tell)
    except CannotGetOperationTypeError as error:
        message = error.as_http_error_reason()
        return _refused([Fault(Code.OPERATION_RESOLUTION_FAILURE, message)], media_type, tell)
    if not result.errors:
        return 200, {"data": result.data}
    if result.data is None and not any(error.path for error in result.errors):
        return _refused(result.errors, media_type, tell)
    return 200, {"errors": [tell(error) for error in result.errors], "data": result.data}


def _refused(errors: list[GraphQLError], media_type: str, tell: _Tell) -> tuple[int, dict[str, object]]:
    """Nothing was executed."""
    told = [tell(error) for error in errors]
    if any(error["extensions"]["code"] == Code.INTERNAL for error in told):
        return 500, {"errors": told}
    return (200 if media_type == JSON else 400), {"errors": told}


def _told(error: GraphQLError, *, request_id: str, log: Log) -> dict[str, Any]:
    """The error as the caller sees it. What is not the caller's doing is masked, and logged with its traceback."""
    fault = faults.of(error)
    if fault is None:
        _log(log, request_id, faults.cause_of(error), path=error.path)
        fault = faults.internal(request_id)
    told: dict[str, Any] = {"message": fault.message}
    if error.locations:
        told["locations"] = [location.formatted for location in error.locations]
    if error.path:
        told["path"] = error.path
    told["extensions"] = fault.extensions
    return told


def _log(log: Log, request_id: str, error: Exception, *, path: list[str | int] | None = None) -> None:
    extra = {"request_id": request_id, "graphql_path": ".".join(map(str, path or ()))}
    log.error("Internal fault in request %s", request_id, exc_info=error, extra=extra)


def _request_id(scope: Scope) -> str:
    """The id that Lambda's own log lines carry; a made-up one where there is no Lambda."""
    lambda_context = scope.get("aws.context")
    return getattr(lambda_context, "aws_request_id", None) or os.urandom(16).hex()


def _encode(answer: object) -> bytes:
    return _ENCODER.encode(answer).encode()


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@lru_cache(maxsize=64)
def _negotiated(accept: str) -> str:
    """The media type of the answer: the client's favorite, and of two equal ones the newer if it is named."""
    weights = {}
    for part in accept.split(","):
        media_type, _, rest = part.partition(";")
        if media_type.strip():
            weights[media_type.strip().lower()] = _weight(dict(_parameters(rest)).get("q", "1"))
    if not weights:
        return JSON
    anything = weights.get("application/*", weights.get("*/*", 0.0))
    old, new = weights.get(JSON, anything), weights.get(GRAPHQL_RESPONSE, anything)
    if new > old or (new == old > 0 and GRAPHQL_RESPONSE in weights):
        return GRAPHQL_RESPONSE
    if old > 0:
        return JSON
    raise Fault(Code.NOT_ACCEPTABLE, f"The answer is {GRAPHQL_RESPONSE} or {JSON}; accept one of them.")


def _weight(q: str) -> float:
    try:
        return float(q)
    except ValueError:
        return 0.0


def _parameters(text: str) -> list[tuple[str, str]]:
    """The parameters after a media type, names in lower case: `; charset="UTF-8"` → `[("charset", "UTF-8")]`."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return [(name.strip().lower(), value.strip().strip('"')) for name, _, value in pairs]
