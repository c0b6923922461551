"""A shortcut through the GraphQL engine for plain values.

Most fields of an answer are attributes of an object, of a scalar or enum type. The engine builds a description of the field,
walks its type and asks whether the value must be awaited, for each of them: three quarters of a request's time. Here such a
field is one attribute and one coercion; whatever is not plain (arguments, resolvers, objects, lists, nulls where none may be,
values that do not coerce) goes the engine's own way, which also makes every error.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLLeafType, GraphQLNonNull, GraphQLObjectType, is_leaf_type
from graphql.pyutils import Path, Undefined
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

# Response name, and for a plain field its attribute, its coercion and whether null is an answer.
_Step = tuple[str, Any, str | None, Callable[[Any], Any] | None, bool]


class Execution(StrawberryGraphQLCoreExecutionContext):
    """Executes a document; resolvers are synchronous, so nothing here is ever awaited."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The engine collects the fields of a type once for all elements of a list, so steps are made once for them too. The
        # field set is kept with its steps: an id is only unique while its object lives.
        self._steps: dict[tuple[int, str], tuple[object, list[_Step]]] = {}

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: Mapping[str, Any],
        position_context: Any,
    ) -> dict[str, Any]:
        """The fields of one object."""
        steps_key = (id(grouped_field_set), parent_type.name)
        kept = self._steps.get(steps_key)
        if kept is None:
            steps = [self._step(parent_type, name, details) for name, details in grouped_field_set.items()]
            kept = self._steps[steps_key] = (grouped_field_set, steps)
        results: dict[str, Any] = {}
        for name, details, attribute, coerce, nullable in kept[1]:
            if attribute is not None and coerce is not None:
                value = getattr(source_value, attribute)
                if value is None:
                    if nullable:
                        results[name] = None
                        continue
                else:
                    try:
                        results[name] = coerce(value)
                    except Exception:  # noqa: S110 (the engine meets it again below, and reports it with its place)
                        pass
                    else:
                        continue
            field_path = Path(path, name, parent_type.name)
            result = self.execute_field(parent_type, source_value, details, field_path, position_context)
            if result is not Undefined:
                results[name] = result
        return results

    def _step(self, parent_type: GraphQLObjectType, response_name: str, details: Any) -> _Step:
        field = self.schema.get_field(parent_type, details[0].node.name.value)
        definition = field.extensions.get("strawberry-definition") if field else None
        if field is None or definition is None or field.args or not getattr(field.resolve, "_is_default", False):
            return response_name, details, None, None, False
        type_: Any = field.type
        nullable = not isinstance(type_, GraphQLNonNull)
        leaf: GraphQLLeafType = type_ if nullable else type_.of_type
        if not is_leaf_type(leaf):
            return response_name, details, None, None, False
        return response_name, details, definition.python_name, leaf.coerce_output_value, nullable
