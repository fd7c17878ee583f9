"""Texts for validation errors, in terms of the file that a person has written."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from gateway.core.errors import Problem
from gateway.core.nearest import nearest
from gateway.plugins import SINKS
from gateway.settings import ceilings
from gateway.settings.secrets import SecretReference
from gateway.settings.source_files import KeyPath, SourceFile, is_secret

_LONGEST_VALUE, _LONGEST_TEXT = 60, 1000
_EXPECTED = {
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list: [one, another]"),
    **dict.fromkeys(("path_type", "path_parsing"), "the name of a file"),
    "string_type": "text (numbers, dates, yes and no go in quotes)",
}
_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*%?\s*")
_LOGIN = re.compile(r"//[^/@\s]*@")
_KEY_MARK = "[key]"
"""pydantic's mark for a key that is wrong itself."""


def add_validation_errors(
    file: SourceFile,
    error: ValidationError,
    model: type[BaseModel],
    path: KeyPath = (),
    extra_keys: tuple[str, ...] = (),
    below: Callable[[KeyPath], str] = lambda _: "",
    alone: Callable[[], object] | None = None,
) -> None:
    """Add each error to the file, at its own line, or to the environment variable that brought the value.

    below: returns the variables that set something below a key path. alone: validates the same without variables; a fault
    between several keys that it does not find was caused by the variables.
    """
    in_file: set[tuple[KeyPath, str]] | None = None
    for one in error.errors(include_url=False)[: ceilings.PROBLEMS]:
        where = _where(one)
        if (*path, *where) in file.unreadable and one["input"] is None:
            continue  # a problem says already why it could not be read
        missing = one["input"].problem() if isinstance(one["input"], SecretReference) else None
        if missing is not None:
            file.add((*path, *where), missing.message, missing.expected)
            continue
        message, expected = _message(one, model, where, extra_keys)
        names = below((*path, *where)) if one["type"] == "value_error" and file.variable((*path, *where)) is None else ""
        if names and alone is not None:
            in_file = _errors_of(alone) if in_file is None else in_file
            if (where, one["msg"]) not in in_file:
                file.problems.append(Problem("environment", 0, names, message, expected))
                continue
        file.add((*path, *where, *_wrong_key(one, message)), message, expected)


def error_lines(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return a line for each error, for values that stand in no file."""
    lines = []
    for one in error.errors(include_url=False):
        where = _where(one)
        message, expected = _message(one, model, where, ())
        place = f"{'.'.join(map(str, where))}: " if where else ""
        lines.append(f"{place}{message}{f'; expected {expected}' if expected else ''}")
    return lines


def _where(one: Any) -> KeyPath:
    if one["type"].startswith("union_tag_"):
        return (*one["loc"], "kind")
    parts = [part for part in one["loc"] if isinstance(part, str | int) and part != _KEY_MARK]
    return (*parts[:2], *parts[3:]) if _kind_of_sink(one) else tuple(parts)


def _kind_of_sink(one: Any) -> str:
    """Return the kind of the sink in which an error is, which pydantic puts into the place of the error; else nothing."""
    place = one["loc"]
    return place[2] if len(place) > 2 and place[0] == "sinks" and place[2] in SINKS else ""


def _errors_of(validate: Callable[[], object]) -> set[tuple[KeyPath, str]]:
    try:
        validate()
    except ValidationError as error:
        return {(_where(one), one["msg"]) for one in error.errors(include_url=False)}
    return set()


def _wrong_key(one: Any, message: str) -> KeyPath:
    """Return the first key of a mapping that the message names, where the mapping is wrong as a whole."""
    if one["type"] != "value_error" or not isinstance(one["input"], dict):
        return ()
    return next(((word,) for word in re.findall(r"\w+", message) if word in one["input"]), ())


def _message(one: Any, model: type[BaseModel], where: KeyPath, extra_keys: tuple[str, ...]) -> tuple[str, str]:
    kind, text, context = one["type"], one["msg"], one.get("ctx", {})
    if kind == "extra_forbidden":
        fields = _fields_at(model, where[:-1], _kind_of_sink(one))
        message, expected = unknown_key(str(where[-1]), fields if len(where) > 1 else [*fields, *extra_keys])
        comma = "; a text with a comma goes in quotes" if one["input"] is None else ""  # {node: ns=2;s=a,b}: node, and b
        return message, expected + comma
    if kind == "missing" or kind.startswith("union_tag_"):
        tag = context.get("tag")
        return f"kind {quote_value(tag)} is not allowed" if tag else "is missing", str(context.get("expected_tags", ""))
    value = one["input"]
    comma = "; decimals are written with a point" if isinstance(value, str) and _COMMA.fullmatch(value) else ""
    shown = "the value" if is_secret(where) else quote_value(value)
    if kind in ("value_error", "assertion_error"):
        text += comma
        return text.removeprefix("Value error, ").removeprefix("Assertion failed, ").replace(repr(value), shown), ""
    if "expected" in context:
        return f"{shown} is not allowed", str(context["expected"])
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{shown} is not a mapping", "keys below it, each as key: value"
    if kind in _EXPECTED:
        text = _EXPECTED[kind]
    found = "is empty" if value is None else f"{shown} is not allowed"
    return found, text.removeprefix("Input should be ") + comma


def quote_value(value: object) -> str:
    """Return a value as problems quote it: short, and without the user name and password of a URL."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = _LOGIN.sub("//...@", repr(value[:_LONGEST_TEXT] if isinstance(value, str) else value))
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def unknown_key(key: str, known: Sequence[str]) -> tuple[str, str]:
    """Return message and expectation for an unknown key: the nearest known one, or all of them."""
    close = nearest(key, known)
    some = f"one of {', '.join(known)}" if known else "no such line"
    return "is not a known key", f"{close}?" if close else some


def _fields_at(model: type[BaseModel], path: KeyPath, kind: str = "") -> list[str]:
    """Return the keys that are known at a path below a model. kind: of several models in one place, the one to choose."""
    for part in path:
        if isinstance(part, int):
            continue  # a place in a list
        found = model.model_fields.get(part)
        models = list(_models_in(found.annotation)) if found else []
        chosen = (one for one in models if kind and kind in get_args(_annotation_of_kind(one)))
        inner = next(chosen, models[0] if models else None)
        if inner is None:
            return list(model.model_fields) if found is None else []
        model = inner
    return list(model.model_fields)


def _annotation_of_kind(model: type[BaseModel]) -> Any:
    return model.model_fields["kind"].annotation if "kind" in model.model_fields else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a value of this type may be, or be made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
