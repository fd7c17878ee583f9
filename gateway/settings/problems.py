"""Validation errors in the words of the person who wrote the file."""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from gateway.core.errors import Problem
from gateway.settings.documents import Document, KeyPath, is_secret

_LONGEST_VALUE = 60
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
_OF_A_KEY = "[key]"
"""pydantic's mark for a key that is wrong itself."""


def note_validation(
    document: Document,
    error: ValidationError,
    model: type[BaseModel],
    path: KeyPath = (),
    extra_keys: tuple[str, ...] = (),
    environment: Callable[[KeyPath], str | None] = lambda _: None,
) -> None:
    """Add each error to the document, at its own line, or to the environment variable that brought the value."""
    for one in error.errors(include_url=False):
        where = tuple(part for part in one["loc"] if isinstance(part, str | int) and part != _OF_A_KEY)
        message, expected = _words(one, model, where, extra_keys)
        where += _blamed(one, message)
        variable = environment((*path, *where))
        if variable:
            document.problems.append(Problem("environment", 0, variable, message, expected))
        else:
            document.add((*path, *where), message, expected)


def _blamed(one: Any, message: str) -> KeyPath:
    """Where keys do not go together, the mapping is wrong as a whole: the first of them that it has, by the message."""
    if one["type"] != "value_error" or not isinstance(one["input"], dict):
        return ()
    return next(((word,) for word in re.findall(r"\w+", message) if word in one["input"]), ())


def _words(one: Any, model: type[BaseModel], where: KeyPath, extra_keys: tuple[str, ...]) -> tuple[str, str]:
    kind, text, context = one["type"], one["msg"], one.get("ctx", {})
    if kind == "extra_forbidden":
        fields = _fields_at(model, where[:-1])
        message, expected = unknown_key(str(where[-1]), fields if len(where) > 1 else [*fields, *extra_keys])
        comma = "; a text with a comma goes in quotes" if one["input"] is None else ""  # {node: ns=2;s=a,b}: node, and b
        return message, expected + comma
    if kind == "missing":
        return "is missing", ""
    value = one["input"]
    comma = "; decimals are written with a point" if isinstance(value, str) and _COMMA.fullmatch(value) else ""
    shown = "the value" if is_secret(where) else show(value)
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


def show(value: object) -> str:
    """A value as problems quote it: short, and without the user name and password of a URL."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = _LOGIN.sub("//...@", repr(value))
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def unknown_key(key: str, known: Sequence[str]) -> tuple[str, str]:
    """Message and expectation for a key that nobody knows: the nearest known one, or all of them."""
    close = difflib.get_close_matches(key, known, 1)
    return "is not a known key", f"{close[0]}?" if close else f"one of {', '.join(known)}"


def _fields_at(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that are known at a path below a model."""
    for part in path:
        if isinstance(part, int):
            continue
        found = model.model_fields.get(part)
        inner = _model_in(found.annotation) if found else None
        if inner is None:
            return list(model.model_fields) if found is None else []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation is, or holds: a list of them, one or none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for one in get_args(annotation) if (model := _model_in(one)) is not None), None)
