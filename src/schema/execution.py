"""A shortcut through the GraphQL engine for plain values.

Most fields of an answer are attributes of an object: a number, a text, another object, a list of them. For each of them the
engine builds a description of the field, walks its type and asks whether the value must be awaited; that was three quarters
of the time of a home screen. Here a field of the schema is looked at once, and from then on a plain one is one attribute and
its completion. Fields with arguments or resolvers go the engine's own way, which also locates and handles every error; but
a resolver may name an attribute that is its answer wherever the document gives it no argument (`WITHOUT_ARGUMENTS`).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from graphql import GraphQLField, GraphQLList, GraphQLNonNull, GraphQLObjectType, is_leaf_type, is_object_type
from graphql.pyutils import Path, Undefined
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import get_object_definition


class _Plain(NamedTuple):
    """A field that is an attribute: a leaf by its coercion alone, anything else (and null) by `complete`."""

    attribute: str
    coerce: Callable[[Any], Any] | None
    complete: "_Complete"


# The value of a field as it stands in the answer, given the attribute's value, the field's path and its place in the document.
_Complete = Callable[["Execution", Any, Path, Any], Any]
# Response name, place in the document, declared type, and how the field is read if it is plain.
_Step = tuple[str, Any, Any, _Plain | None]

_PLAIN = "regulars-plain"
# Metadata of a field: the attribute that is its value where the document gives it no argument.
WITHOUT_ARGUMENTS = "regulars-without-arguments"


class Execution(StrawberryGraphQLCoreExecutionContext):
    """Executes a document; resolvers are synchronous, so nothing here is ever awaited."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The engine collects the fields of a type once for all elements of a list, so steps are made once for them too. The
        # field set is kept with its steps: an id is unique only while its object lives.
        self._steps: dict[int, tuple[object, list[_Step]]] = {}

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: Mapping[str, Any],
        position_context: Any,
    ) -> dict[str, Any]:
        """The fields of one object."""
        kept = self._steps.get(id(grouped_field_set))
        if kept is None:
            steps = [
                _step(self.schema.get_field(parent_type, details[0].node.name.value), name, details)
                for name, details in grouped_field_set.items()
            ]
            kept = self._steps[id(grouped_field_set)] = (grouped_field_set, steps)
        parent = parent_type.name
        results: dict[str, Any] = {}
        for name, details, type_, plain in kept[1]:
            if plain is None:
                result = self.execute_field(
                    parent_type, source_value, details, Path(path, name, parent), position_context
                )
                if result is not Undefined:
                    results[name] = result
                continue
            attribute, coerce, complete = plain
            try:
                value = getattr(source_value, attribute)
                if coerce is not None and value is not None:
                    results[name] = coerce(value)
                else:
                    results[name] = complete(self, value, Path(path, name, parent), details)
            except Exception as error:  # as the engine does: any fault of a field is an error of that field
                self.handle_field_error(error, type_, details, Path(path, name, parent))
                results[name] = None
        return results

    def execute_object(self, type_: Any, value: Any, path: Path, details: Any) -> dict[str, Any]:
        """The selected fields of an object of `type_`, or of the type that its class names when `type_` is abstract."""
        if not is_object_type(type_):
            type_ = self.schema.get_type(get_object_definition(type(value), strict=True).name)
            assert is_object_type(type_)
        subfields, _, _ = self.collect_subfields(type_, details)
        return self.execute_fields(type_, value, path, subfields, None)


def _step(field: GraphQLField | None, response_name: str, details: Any) -> _Step:
    if field is None:
        return response_name, details, None, None
    if _PLAIN not in field.extensions:
        field.extensions[_PLAIN] = _plain(field)
    # Nodes that ask for one field in one place have the same arguments, or the document would not be valid.
    plain = None if details[0].node.arguments else field.extensions[_PLAIN]
    return response_name, details, field.type, plain


def _plain(field: GraphQLField) -> _Plain | None:
    definition = field.extensions.get("strawberry-definition")
    if definition is None:
        return None
    attribute = definition.metadata.get(WITHOUT_ARGUMENTS)
    if attribute is None:
        if field.args or not getattr(field.resolve, "_is_default", False):
            return None
        attribute = definition.python_name
    named: Any = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
    coerce = named.coerce_output_value if is_leaf_type(named) else None
    return _Plain(attribute, coerce, _completion(field.type))


def _completion(type_: Any) -> _Complete:
    """How a value of `type_` is completed; null is an answer unless the type says otherwise."""
    if isinstance(type_, GraphQLNonNull):
        inner = _completion(type_.of_type)

        def never_null(execution: Execution, value: Any, path: Path, details: Any) -> Any:
            if value is None:
                raise TypeError("Cannot return null for a non-nullable field.")
            return inner(execution, value, path, details)

        return never_null
    if isinstance(type_, GraphQLList):
        item = _completion(type_.of_type)

        def each(execution: Execution, values: Any, path: Path, details: Any) -> Any:
            if values is None:
                return None
            return [item(execution, value, path.add_key(index), details) for index, value in enumerate(values)]

        return each
    if is_leaf_type(type_):
        return lambda _, value, __, ___: None if value is None else type_.coerce_output_value(value)
    return lambda execution, value, path, details: (
        None if value is None else execution.execute_object(type_, value, path, details)
    )
