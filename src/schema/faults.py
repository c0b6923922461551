"""Top-level errors of the GraphQL answer: what the caller did wrong, what the caller may not do, what we did wrong.

Business outcomes are never here: they are `userErrors` of a payload. Every top-level error carries `extensions.code`,
one of `Code`. Nothing but a `Fault` or a complaint of the GraphQL engine about the request is told to the caller in its
own words; anything else is `INTERNAL`, a masked message with the request id under which the log has the traceback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    Node,
    Undefined,
    ValueNode,
    VariableDefinitionNode,
    is_input_type,
    type_from_ast,
)
from graphql.utilities.validate_input_value import validate_input_value
from strawberry.exceptions import StrawberryInputCoercionError

from domain.refusals import OutcomeUnknown

# A basket of 200 broken lines is told about its first ones; an answer must not grow with the nonsense it answers.
COMPLAINTS_MAX = 10


class Code(StrEnum):
    """`extensions.code` of a top-level error. Where Apollo has a name for the case, it is that name."""

    # The HTTP request is not one that GraphQL can be read from.
    BAD_REQUEST = "BAD_REQUEST"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    MEDIA_TYPE_UNSUPPORTED = "MEDIA_TYPE_UNSUPPORTED"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    # The document, or the values sent with it, are wrong.
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_RESOLUTION_FAILURE = "OPERATION_RESOLUTION_FAILURE"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    INTROSPECTION_DISABLED = "INTROSPECTION_DISABLED"
    # The document asks for more than one request may (schema/limits.py).
    QUERY_TOO_LONG = "QUERY_TOO_LONG"
    QUERY_TOO_MANY_TOKENS = "QUERY_TOO_MANY_TOKENS"
    QUERY_TOO_MANY_ROOTS = "QUERY_TOO_MANY_ROOTS"
    QUERY_TOO_MANY_ALIASES = "QUERY_TOO_MANY_ALIASES"
    QUERY_TOO_DEEP = "QUERY_TOO_DEEP"
    QUERY_TOO_COSTLY = "QUERY_TOO_COSTLY"
    PAGE_OUT_OF_RANGE = "PAGE_OUT_OF_RANGE"
    LIST_TOO_LONG = "LIST_TOO_LONG"
    CURSOR_INVALID = "CURSOR_INVALID"
    # The account is too busy to say; the same call with the same key is safe and finds out.
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    # The stack has no program yet.
    PROGRAM_NOT_PUBLISHED = "PROGRAM_NOT_PUBLISHED"
    # The caller may not.
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    # We failed.
    INTERNAL = "INTERNAL"


class Fault(GraphQLError):
    """A top-level error that is told to the caller as it stands; resolvers and the builder of the context may raise it.

    `field` is the dotted path of the argument or variable that is wrong, as the caller spelled it
    (`input.lines.3.quantity`). The message must not hold anything the caller may not know.
    """

    def __init__(self, code: Code, message: str, *, field: str | None = None, nodes: list[Node] | None = None) -> None:
        extensions = {"code": code.value} if field is None else {"code": code.value, "field": field}
        super().__init__(message, nodes, extensions=extensions)
        self.code = code


def internal(request_id: str) -> Fault:
    """The one answer to everything that is our fault."""
    fault = Fault(Code.INTERNAL, f"Internal fault. Tell the support this request id: {request_id}")
    fault.extensions = {"code": Code.INTERNAL.value, "requestId": request_id}
    return fault


def of(error: GraphQLError) -> Fault | None:
    """The fault that an error of an execution amounts to, or None if it is none of the caller's doing.

    An error that the engine raised about the values of a request is told apart from one about our own answer (a scalar
    that does not serialize, a null where none may be) by the piece of the document it points to, never by its text.
    """
    for cause in _causes(error):
        if isinstance(cause, Fault):
            return cause
        if isinstance(cause, OutcomeUnknown):
            return Fault(Code.OUTCOME_UNKNOWN, cause.message, nodes=error.nodes)
        if isinstance(cause, StrawberryInputCoercionError):
            return Fault(Code.BAD_USER_INPUT, cause.message, nodes=error.nodes)
    if isinstance(error, GraphQLSyntaxError):
        return Fault(Code.GRAPHQL_PARSE_FAILED, error.message)
    about = error.nodes[0] if error.nodes else None
    if isinstance(about, VariableDefinitionNode | ValueNode):
        return Fault(Code.BAD_USER_INPUT, error.message, nodes=error.nodes)
    if error.path is None and error.original_error is None:
        # Raised by the engine before any field: an operation that cannot be chosen, selections nested too deeply.
        return Fault(Code.BAD_USER_INPUT, error.message, nodes=error.nodes)
    return None


def cause_of(error: GraphQLError) -> Exception:
    """What was raised in the beginning: the exception whose traceback explains the error."""
    *_, cause = _causes(error)
    return cause


def _causes(error: GraphQLError) -> Iterator[Exception]:
    cause: Exception | None = error
    while cause is not None:
        yield cause
        cause = cause.original_error if isinstance(cause, GraphQLError) else None


def name_fields(
    errors: list[GraphQLError], schema: GraphQLSchema, variables: Mapping[str, Any], *, suggestions: bool
) -> None:
    """Replace, in place, the engine's complaints about variables by faults that name the field in `extensions.field`.

    The engine knows the path but tells it only in prose, so the value is judged a second time, after the first refusal.
    """
    definitions: dict[str, VariableDefinitionNode] = {}
    for error in errors:
        about = error.nodes[0] if error.nodes else None
        if error.path is None and isinstance(about, VariableDefinitionNode):
            definitions.setdefault(about.variable.name.value, about)
    named: list[GraphQLError] = []
    for variable, definition in definitions.items():
        type_ = type_from_ast(schema, definition.type)
        if not is_input_type(type_):
            continue

        def complain(
            error: GraphQLError,
            path: list[str | int],
            variable: str = variable,
            definition: VariableDefinitionNode = definition,
        ) -> None:
            field = ".".join(map(str, (variable, *path)))
            named.append(Fault(Code.BAD_USER_INPUT, f"${field}: {error.message}", field=field, nodes=[definition]))

        validate_input_value(variables.get(variable, Undefined), type_, complain, not suggestions)
    if named:
        errors[:] = named[:COMPLAINTS_MAX]
