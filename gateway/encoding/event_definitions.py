"""The JSON Schema of events, taken from their types."""

import ast
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from gateway.core.events.event import Definition, Event, Minimum, NullIfNotFinite, Unset, optional_fields
from gateway.encoding.message_definitions import Schema, integer, ref

_JSON_TYPES: Final[Mapping[Any, str]] = {bool: "boolean", int: "integer", float: "number", str: "string", NoneType: "null"}
_SEVERITY: Final = integer("OPC UA Part 9, 5.5.2", minimum=1) | {"maximum": 1000}
_OWNERS: Final = {"tag": ("tag", True), "device": ("device", True), "device or gateway": ("device", False)}
"""By `concerns`: the field of the payload that names it, and whether it is always there."""


def event_definitions(event_types: Sequence[type[Event]]) -> Schema:
    """Return one definition `event_{kind}` for each kind, in the order of the types."""
    by_kind: dict[str, list[type[Event]]] = defaultdict(list)
    for event_type in event_types:
        by_kind[event_type.kind].append(event_type)
    return {f"event_{kind}": _definition_of_kind(kind, types) for kind, types in by_kind.items()}


def event_conditions(event_types: Sequence[type[Event]]) -> list[Schema]:
    """Return which definition holds for which `kind`, for `allOf` of the event."""
    kinds = dict.fromkeys(event_type.kind for event_type in event_types)
    return [{"if": {"properties": {"kind": {"const": kind}}}, "then": ref(f"event_{kind}")} for kind in kinds]


def _definition_of_kind(kind: str, types: Sequence[type[Event]]) -> Schema:
    """Return the definition of a kind; where it has several forms, what they share stands before `oneOf`."""
    forms = [_definition(one) for one in types]
    description = " Or: ".join(inspect.cleandoc(one.__doc__ or "") for one in types)
    head = {"kind": {"const": kind}}
    if len(forms) == 1:
        return {"description": description, **forms[0], "properties": head | forms[0]["properties"]}
    shared = [
        name
        for name, schema in forms[0]["properties"].items()
        if all(form["properties"].get(name, {}).keys() == schema.keys() and name in form["required"] for form in forms)
        and all(_without_text(form["properties"][name]) == _without_text(schema) for form in forms)
    ]
    return {
        "description": description,
        "properties": head | {name: forms[0]["properties"][name] for name in shared},
        "required": shared,
        "oneOf": [_without(form, shared) for form in forms],
    }


def _without_text(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "description"}


def _without(form: Schema, names: Sequence[str]) -> Schema:
    properties = {name: schema for name, schema in form["properties"].items() if name not in names}
    return form | {"properties": properties, "required": [name for name in form["required"] if name not in names]}


def _definition(event_type: type[Event]) -> Schema:
    """Return `properties`, `required` and `dependentRequired` of one type."""
    hints = get_type_hints(event_type, include_extras=True)
    texts = _field_texts(event_type)
    properties: Schema = {}
    required: list[str] = []
    if event_type.concerns in _OWNERS:
        name, is_required = _OWNERS[event_type.concerns]
        properties[name] = {"type": "string"}
        required += [name] if is_required else []
    for attribute, is_optional in optional_fields(event_type).items():
        name = attribute.removesuffix("_")
        if name == "severity":
            properties[name] = _SEVERITY
        else:
            schema = _schema_of(hints[attribute], is_optional=is_optional)
            properties[name] = schema | ({"description": texts[attribute]} if attribute in texts else {})
        required += [] if is_optional else [name]
    together = {name: [other for other in event_type.together if other != name] for name in event_type.together}
    return {"properties": properties, "required": required} | ({"dependentRequired": together} if together else {})


def _schema_of(hint: Any, *, is_optional: bool) -> Schema:
    """Return the schema of a field's type. None and Unset of an optional field say that it is left out."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        schema = _schema_of(arguments[0], is_optional=is_optional)
        for mark in arguments[1:]:
            schema = _marked(schema, mark)
        return schema
    if origin in (Union, UnionType):
        absent = {Unset} if Unset in arguments or not is_optional else {NoneType}
        schemas = [_schema_of(one, is_optional=is_optional) for one in arguments if one not in absent]
        return schemas[0] if len(schemas) == 1 else schemas[0] | {"type": [one["type"] for one in schemas]}
    if origin is Literal:
        return {"enum": list(arguments)} if len(arguments) > 1 else {"const": arguments[0]}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object"}
    if origin is not None and issubclass(origin, Sequence):
        return {"type": "array", "items": _schema_of(arguments[0], is_optional=False)}
    return {"type": _JSON_TYPES[hint]}


def _marked(schema: Schema, mark: object) -> Schema:
    match mark:
        case Minimum(value):
            return schema | {"minimum": value}
        case Definition(name):
            return ref(name)
        case NullIfNotFinite():
            return schema | {"type": [schema["type"], "null"]}
    return schema


def _field_texts(event_type: type[Event]) -> dict[str, str]:
    """Return the docstrings that stand below the fields of a type and of its bases."""
    texts: dict[str, str] = {}
    for one in reversed([base for base in event_type.__mro__ if issubclass(base, Event)]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    texts[name] = " ".join(text.split())
    return texts
