"""What one request may ask for, and the schema that refuses more.

A document is read once: parsed, weighed, validated. The outcome, good or bad, is kept by the document's text, so a
limit that depends on the document alone costs a known document nothing; what a variable decides is judged on each call.

Weighing comes before validating because one of the specified rules is quadratic: without it, a document of 1,000 tokens
keeps the validation busy for 0.3 s, one of 2,000 for more than a second. Strawberry's own limiters are not used:
QueryDepthLimiter and MaxAliasesLimiter make a new rule on each call, which defeats its ValidationCache, they expand
fragments exponentially, and their refusals differ only in their text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import strawberry
from graphql import (
    SKIP,
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLInputType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    Lexer,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    TokenKind,
    ValidationRule,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    VariableNode,
    VisitorAction,
    get_named_type,
    is_input_object_type,
    is_interface_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    parse,
    specified_rules,
    validate,
)
from graphql.utilities.validate_input_value import validate_input_literal
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.types.execution import ExecutionContext

from schema import faults
from schema.execution import Execution
from schema.faults import Code, Fault

# Ten times GraphiQL's introspection query, and room for 1,000 tokens of any usual length.
SOURCE_CHARACTERS_MAX = 16_384
# GraphiQL's introspection query has 163. A parsed token takes 600 bytes, so a full cache of the worst takes 60 MB.
TOKENS_MAX = 1_000
COMMENTS_MAX = 100
DOCUMENTS_KEPT_MAX = 100
# A purchase with its entry, explanation and member is 6 deep; a connection costs two levels (edges, node).
DEPTH_MAX = 12
# Fields at the top of an operation. Each root field of a mutation is a write.
ROOTS_MAX = 10
ALIASES_MAX = 30
# One page of the largest size with three objects in each of its nodes, or a small page inside a small page.
COST_MAX = 1_000
PAGE_MAX = 100
# No list in an input is longer, whatever it is of. Nouns have lower bounds of their own, such as lines of a basket.
LIST_MAX = 500
# The whole schema may be asked for, but not twice in a request: the answer takes tens of milliseconds to make.
INTROSPECTION_COST = COST_MAX // 2 + 1

assert SOURCE_CHARACTERS_MAX > 2 * TOKENS_MAX
assert 2 * PAGE_MAX < COST_MAX
assert ROOTS_MAX <= ALIASES_MAX

CONFIG = StrawberryConfig(relay_max_results=PAGE_MAX)

_PAGE_ARGUMENTS = ("first", "last")
_INTROSPECTION_ROOTS = ("__schema", "__type")


class Schema(strawberry.Schema):
    """A Strawberry schema under the limits of this module.

    With `introspection` off the schema cannot be read through the API, neither by introspection nor out of the
    suggestions in messages ("Did you mean …").
    """

    def __init__(
        self,
        query: type,
        mutation: type | None = None,
        *,
        introspection: bool,
        types: Iterable[type] = (),
        config: StrawberryConfig = CONFIG,
    ) -> None:
        self.introspection = introspection
        super().__init__(
            query,
            mutation,
            types=types,
            extensions=extensions(introspection),
            config=config,
            execution_context_class=Execution,
        )
        # Strawberry checks @oneOf itself, late and without a path, and its rule breaks on an undefined variable. Told of
        # it, the engine does it better.
        for type_ in self._schema.type_map.values():
            if is_input_object_type(type_):
                type_.is_one_of = bool(getattr(type_.extensions.get("strawberry-definition"), "is_one_of", False))

    def _warn_for_federation_directives(self) -> None:
        """Nothing to warn of: this schema is not federated, and asking costs 15 ms of every cold start in imports."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Name the fields of broken variables. Unlike Strawberry's own, it logs nothing: a caller's mistake is no event
        of ours, and our own faults are logged where the request id is known (handlers/asgi.py)."""
        if execution_context is not None:
            variables = execution_context.variables or {}
            faults.name_fields(errors, self._schema, variables, suggestions=self.introspection)


def extensions(introspection: bool) -> list[type[SchemaExtension]]:
    """The limits as Strawberry takes them; each call has a cache of its own, so make one per schema."""

    @lru_cache(maxsize=DOCUMENTS_KEPT_MAX)
    def read_once(schema: GraphQLSchema, text: str) -> Reading:
        return read(schema, text, introspection=introspection)

    class Limits(SchemaExtension):
        read = staticmethod(read_once)

        def on_parse(self) -> Iterator[None]:
            context = self.execution_context
            reading = self.read(context.schema._schema, context.query or "")  # noqa: SLF001  as Strawberry's extensions do
            # Strawberry neither parses nor validates again what an extension has.
            context.graphql_document = reading.document
            context.pre_execution_errors = reading.errors or [
                *_wrong_operation(reading, context),
                *_wrong_variables(reading, context.variables or {}),
            ]
            yield

    return [Limits]


@dataclass(frozen=True, slots=True)
class Reading:
    """A document as it is kept: fit to run if there are no errors."""

    document: DocumentNode
    errors: list[GraphQLError]
    operations: int
    page_variables: frozenset[str]


def read(schema: GraphQLSchema, text: str, *, introspection: bool) -> Reading:
    """Parse, weigh and validate a document; the refusals of the three come in this order and never together.

    Those of the parser are raised, as there is nothing to keep.
    """
    document = _parsed(text)
    scales = _Scales(schema, document)
    try:
        errors: list[GraphQLError] = list(islice(scales.weigh_document(), faults.COMPLAINTS_MAX))
    except RecursionError:
        errors = [_too_deep()]
    if not errors:
        errors = _validated(schema, document, introspection=introspection)
    return Reading(document, errors, len(scales.operations), frozenset(scales.page_variables))


def _parsed(text: str) -> DocumentNode:
    if len(text) > SOURCE_CHARACTERS_MAX:
        raise Fault(
            Code.QUERY_TOO_LONG, f"The query has {len(text)} characters; at most {SOURCE_CHARACTERS_MAX} are read."
        )
    try:
        return parse(text, max_lexical_tokens=TOKENS_MAX, max_comments=COMMENTS_MAX)
    except GraphQLSyntaxError as error:
        # The parser has one kind of error for everything; where it stopped tells which this is.
        if _tokens_before(text, max(error.positions or (0,))) >= TOKENS_MAX:
            raise Fault(Code.QUERY_TOO_MANY_TOKENS, f"The query has more than {TOKENS_MAX} tokens.") from None
        raise


def _tokens_before(text: str, position: int) -> int:
    lexer, count = Lexer(Source(text)), 0
    try:
        while (token := lexer.advance()).kind is not TokenKind.EOF and token.start < position:
            count += 1
    except GraphQLSyntaxError:
        pass  # The broken token itself is where the parser stopped.
    return count


# --- weighing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Weight:
    """What a set of selections brings. `listed` is the part of the cost that is there once for each item of a page."""

    depth: int = 0
    cost: int = 0
    listed: int = 0
    aliases: int = 0


class _Scales:
    """Weighs each operation of a document.

    Cost: an object is 1, a scalar nothing. What is under `edges`, or another list in a connection, counts `first` times,
    and a variable `first` counts as the largest page, so that the weight belongs to the document. A list outside of a
    connection counts once: the domain bounds it.
    """

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.schema = schema
        self.operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.page_variables: set[str] = set()
        self.faults: list[Fault] = []
        # By selection set: each stands in one place of the document and so has one weight, however often a fragment
        # that holds it is spread. None while it is being weighed: a fragment that contains itself adds nothing (the
        # validation refuses it afterwards).
        self.weights: dict[int, _Weight | None] = {}

    def weigh_document(self) -> Iterator[Fault]:
        for operation in self.operations:
            root = self.schema.get_root_type(operation.operation)
            roots = len(self._fields(operation.selection_set, root))
            if roots > ROOTS_MAX:
                yield Fault(
                    Code.QUERY_TOO_MANY_ROOTS, f"The operation has {roots} root fields; at most {ROOTS_MAX} may be."
                )
            weight = self._weigh(operation.selection_set, root)
            if weight.depth > DEPTH_MAX:
                yield _too_deep()
            if weight.aliases > ALIASES_MAX:
                yield Fault(Code.QUERY_TOO_MANY_ALIASES, f"The operation has more than {ALIASES_MAX} aliases.")
            cost = weight.cost + weight.listed
            if cost > COST_MAX:
                # A fragment bomb has a cost of a hundred digits; nobody needs to read them.
                told = str(cost) if cost < 1_000_000 else "over a million"
                yield Fault(
                    Code.QUERY_TOO_COSTLY,
                    f"The operation costs {told}; it may cost {COST_MAX}. An object costs 1, in a connection as many times"
                    f" as its page has items; a variable page size counts as {PAGE_MAX}.",
                )
            for variable in operation.variable_definitions or ():
                if variable.default_value:
                    name = variable.variable.name.value
                    self._judge_value(variable.default_value, name)
                    if name in self.page_variables:
                        self._judge_page(variable.default_value, name)
        yield from self.faults

    def _weigh(self, selections: SelectionSetNode, parent: object, *, introspecting: bool = False) -> _Weight:
        key = id(selections)
        if key in self.weights:
            return self.weights[key] or _Weight()
        self.weights[key] = None
        depth = cost = listed = aliases = 0
        names: Counter[str] = Counter()
        for node, owner in self._fields(selections, parent):
            name = node.name.value
            names[node.alias.value if node.alias else name] += 1
            aliases += node.alias is not None
            definition = _field(owner, name)
            size = self._judge_arguments(node, definition)
            if name in _INTROSPECTION_ROOTS:
                # Its depth is not counted: the specified rules bound it, and GraphiQL asks 13 deep for wrapped types.
                cost += INTROSPECTION_COST
                if node.selection_set:
                    inner = self._weigh(node.selection_set, None, introspecting=True)
                    cost += inner.cost + inner.listed
                    aliases += inner.aliases
                continue
            if node.selection_set is None:
                depth = max(depth, 1)
                continue
            type_ = definition.type if definition else None
            inner = self._weigh(node.selection_set, get_named_type(type_), introspecting=introspecting)
            depth = max(depth, inner.depth + 1)
            aliases += inner.aliases
            own = (0 if introspecting else 1) + inner.cost + inner.listed * size
            if is_list_type(type_.of_type if is_non_null_type(type_) else type_):
                listed += own
            else:
                cost += own
        # To select a field k times in one place is to have k² / 2 pairs compared by the validation.
        cost += sum(count * (count - 1) // 2 for count in names.values())
        weight = _Weight(depth, cost, listed, aliases)
        self.weights[key] = weight
        return weight

    def _fields(self, selections: SelectionSetNode, parent: object) -> list[tuple[FieldNode, object]]:
        """The fields selected in one place, each with the type that has it; a fragment counts once, as in execution."""
        found: list[tuple[FieldNode, object]] = []
        spread: set[str] = set()
        pending = [(selections, parent)]
        while pending:
            within, owner = pending.pop()
            for node in within.selections:
                if isinstance(node, FieldNode):
                    found.append((node, owner))
                elif isinstance(node, InlineFragmentNode):
                    condition = node.type_condition
                    type_ = self.schema.get_type(condition.name.value) if condition else owner
                    pending.append((node.selection_set, type_))
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                    spread.add(node.name.value)
                    fragment = self.fragments.get(node.name.value)
                    if fragment:
                        type_ = self.schema.get_type(fragment.type_condition.name.value)
                        pending.append((fragment.selection_set, type_))
        return found

    def _judge_arguments(self, node: FieldNode, definition: GraphQLField | None) -> int:
        """Look at the values given to a field; the number of items it may answer with if it is a connection, else 1."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        for name, value in given.items():
            self._judge_value(value, name)
        sizes = []
        for name in _PAGE_ARGUMENTS:
            argument = definition.args.get(name) if definition else None
            if argument is None:
                continue
            if name in given:
                sizes.append(self._judge_page(given[name], name))
            elif isinstance(default := _default(argument), int):
                sizes.append(default)
        if sizes:
            return max(sizes)
        return PAGE_MAX if definition and any(name in definition.args for name in _PAGE_ARGUMENTS) else 1

    def _judge_page(self, value: ValueNode, field: str) -> int:
        if isinstance(value, VariableNode):
            self.page_variables.add(value.name.value)
        elif isinstance(value, IntValueNode):
            # Compared as text first: int() refuses to read more than 4,300 digits.
            size = int(value.value) if len(value.value) < 10 else PAGE_MAX + 1
            if 1 <= size <= PAGE_MAX:
                return size
            self.faults.append(_page_out_of_range(field))
        return PAGE_MAX

    def _judge_value(self, value: ValueNode, field: str) -> None:
        pending = [(value, field)]
        while pending:
            value, path = pending.pop()
            if isinstance(value, ListValueNode):
                if len(value.values) > LIST_MAX:
                    self.faults.append(_list_too_long(path, len(value.values)))
                pending.extend((item, f"{path}.{index}") for index, item in enumerate(value.values))
            elif isinstance(value, ObjectValueNode):
                pending.extend((item.value, f"{path}.{item.name.value}") for item in value.fields)


def _field(owner: object, name: str) -> GraphQLField | None:
    return owner.fields.get(name) if is_object_type(owner) or is_interface_type(owner) else None


def _default(argument: GraphQLArgument) -> object:
    return argument.default.value if argument.default is not None else argument.default_value


# --- what only the call decides ---------------------------------------------------------------------------------------


def _wrong_operation(reading: Reading, context: ExecutionContext) -> Iterator[Fault]:
    # Strawberry runs the first of several operations when none is named. The specification refuses, and where mutations
    # move points a guess is worse than a refusal. The name as sent is kept in no public attribute.
    if reading.operations > 1 and context._provided_operation_name is None:  # noqa: SLF001
        yield Fault(Code.OPERATION_RESOLUTION_FAILURE, "The query has several operations: say which in operationName.")


def _wrong_variables(reading: Reading, variables: Mapping[str, Any]) -> Iterator[Fault]:
    for name in reading.page_variables:
        size = variables.get(name)
        if isinstance(size, int | float) and not 1 <= size <= PAGE_MAX:
            yield _page_out_of_range(name)
    # Only objects and lists are visited, and a path is spelled out only for a refusal.
    pending: list[tuple[Any, tuple[Any, ...]]] = [(variables, ())]
    while pending:
        value, path = pending.pop()
        if isinstance(value, list) and len(value) > LIST_MAX:
            yield _list_too_long(".".join(map(str, path)), len(value))
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, dict | list):
                pending.append((item, (*path, key)))


def _too_deep() -> Fault:
    return Fault(Code.QUERY_TOO_DEEP, f"The query is nested more than {DEPTH_MAX} fields deep.")


def _page_out_of_range(field: str) -> Fault:
    return Fault(Code.PAGE_OUT_OF_RANGE, f"{field}: a page has 1 to {PAGE_MAX} items.", field=field)


def _list_too_long(field: str, length: int) -> Fault:
    return Fault(Code.LIST_TOO_LONG, f"{field}: {length} items; a list has at most {LIST_MAX}.", field=field)


# --- validating -------------------------------------------------------------------------------------------------------


class _ValuesOfCorrectType(ValuesOfCorrectTypeRule):
    """The specified rule, but it names the field, and a wrong value is the caller's input, not a wrong document."""

    place = ""

    def enter_argument(self, node: ArgumentNode, *_args: Any) -> None:
        self.place = node.name.value

    def enter_variable_definition(self, node: VariableDefinitionNode, *_args: Any) -> None:
        self.place = node.variable.name.value

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        def complain(error: GraphQLError, path: list[str | int]) -> None:
            field = ".".join(map(str, (self.place, *path)))
            self.report_error(Fault(Code.BAD_USER_INPUT, f"{field}: {error.message}", field=field, nodes=error.nodes))

        if input_type:
            validate_input_literal(node, input_type, complain, None, None, self.context.hide_suggestions)
        return SKIP


class _NoIntrospection(ValidationRule):
    """The engine's rule of this purpose, with a code of its own and one error instead of one per field."""

    def enter_field(self, node: FieldNode, *_args: Any) -> VisitorAction:
        if node.name.value not in _INTROSPECTION_ROOTS:
            return None
        self.report_error(
            Fault(
                Code.INTROSPECTION_DISABLED, f"Introspection is off here, and with it {node.name.value}.", nodes=[node]
            )
        )
        return SKIP


_RULES = (
    *(_ValuesOfCorrectType if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules),
    MaybeNullValidationRule,
)


def _validated(schema: GraphQLSchema, document: DocumentNode, *, introspection: bool) -> list[GraphQLError]:
    rules = _RULES if introspection else (*_RULES, _NoIntrospection)
    errors = validate(schema, document, rules, faults.COMPLAINTS_MAX, hide_suggestions=not introspection)
    return [
        error
        if isinstance(error, Fault | StrawberryInputCoercionError)
        else Fault(Code.GRAPHQL_VALIDATION_FAILED, error.message, nodes=error.nodes)
        for error in errors
    ]
