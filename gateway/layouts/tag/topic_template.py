"""Topic templates: `{enterprise}/{site}/{device}/{tag}`."""

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.core.config_types import check_name

OWN_FIELDS: Final = ("root", "gateway", "device", "tag")
"""Fields that every message brings along; all others are free, and need a value in `topic_fields`."""

_EXAMPLE: Final = "expected for instance {site}/{line}/{device}/{tag}"
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def check_template(value: Any) -> Any:
    """Return a template as it is written.

    Raises ValueError: no text, a stray brace, an empty level, a wildcard (MQTT 5.0, 4.7).
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a topic template; {_EXAMPLE}")
    for name in _FIELD.findall(value):
        check_field(name)
    plain = _FIELD.sub("x", value)
    if "{" in plain or "}" in plain:
        raise ValueError(f"{value!r} has a brace without its partner; fields are written {{device}}")
    for level in plain.split("/"):
        if not level:
            raise ValueError(
                f"{value!r} has an empty topic level; expected for instance {{site}}/{{line}}/{{device}}/{{tag}}"
            )
        check_name(level)
    if "{tag}" not in value:
        raise ValueError(f"{value!r} has no {{tag}}: all tags of a device would share one topic")
    return value


def check_field(value: Any) -> Any:
    """Return the name of a free field, or of one of our own. Raises ValueError."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a field; expected small letters, digits and _, for instance site")
    return value


def check_levels(value: Any) -> Any:
    """Return what a free field stands for: one topic level, or several (`berlin/hall2`). Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text (put it in quotes)")
    for level in value.split("/"):
        check_name(level)
    return value


def unknown_fields(template: str, free: Mapping[str, str]) -> list[str]:
    """Return the fields of a template that have no value."""
    return [name for name in free_fields(template) if name not in free]


def free_fields(template: str) -> list[str]:
    """Return the fields of a template that `topic_fields` gives values to."""
    return [name for name in dict.fromkeys(_FIELD.findall(template)) if name not in OWN_FIELDS]


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return the template with these values; fields without one stay as they are, to be filled later."""
    return _FIELD.sub(lambda match: values.get(match[1], match[0]), template)
