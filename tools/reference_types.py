"""How a key's JSON Schema reads in a table: its type in the words of the notation, and its default."""

from typing import Any, Final

Schema = dict[str, Any]

_PATTERNS: Final = {
    "(us|ms|s|m|min|h|d)": "duration",
    "(B|[kMGT]B|[KMGT]iB)": "size",
    "\\s+to\\s+": "range: `0 to 100`",
    "%": "percentage: `1%`",
}
_NAMES: Final = {
    "string": "text", "integer": "integer", "number": "number", "boolean": "`true` or `false`", "object": "mapping",
    "array": "list", "null": "",
}  # fmt: skip


def type_text(field: Schema, definitions: Schema) -> str:
    """Return what may be written for a key, with its bounds: `duration`, `integer, 0 to 255`, `one of ...`."""
    name = field.get("$ref", "").rpartition("/")[2]
    if name:
        return type_text(definitions[name], definitions)
    choices = field.get("anyOf") or field.get("oneOf") or []
    if choices:
        said = [type_text(one, definitions) for one in choices]
        return " or ".join(dict.fromkeys(filter(None, said)))
    values = [field["const"]] if "const" in field else field.get("enum", [])
    return ", ".join(f"`{_plain(one)}`" for one in values) or _word(field, definitions)


def _word(field: Schema, definitions: Schema) -> str:
    kind = field.get("type", "")
    if isinstance(kind, list):
        return " or ".join(_NAMES[one] for one in kind)
    if kind == "array":
        inner = type_text(field.get("items", {}), definitions)
        return f"list of {inner}" if inner else "list"
    if "path" in field.get("format", ""):
        return "path"
    known = (word for part, word in _PATTERNS.items() if part in field.get("pattern", ""))
    return next(known, "") or f"{_NAMES.get(kind, kind)}{_bounds(field)}"


def _bounds(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f", {low:g} to {high:g}" if high < 1_000_000 else f", {low:g} to {high}"
    if low is not None:
        return f", from {low:g}"
    return "" if high is None else f", up to {high:g}"


def default_text(field: Schema, is_section: bool) -> str:
    """Return the default as it would be written in the file; empty where leaving the key out says nothing."""
    value = field.get("default")
    if value is None or value in ("", [], {}) or is_section:
        return ""
    if isinstance(value, list) and not _may_be_list(field):  # a deadband: (amount, whether it is a percentage)
        value = value[0]
    if isinstance(value, list):
        return f"`[{', '.join(map(_plain, value))}]`"
    return f"`{_plain(value)}`"


def _may_be_list(field: Schema) -> bool:
    return any(one.get("type") == "array" for one in field.get("anyOf", [field]))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
