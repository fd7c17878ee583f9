"""Templates of topics and payloads for platforms."""

import re
from collections.abc import Mapping
from string import Template
from typing import Final

import orjson

_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_FIELDS: Final = ("root", "gateway", "device", "kind", "id")
_PLACES: Final = ("values", "ts", "time", "device", "gateway", "kind", "message", "text")
_SAMPLE: Final = {
    "values": "{}", "ts": "0", "time": '""', "device": "d", "gateway": "g", "kind": "k", "message": "{}", "text": '""',
}  # fmt: skip
_LONGEST: Final = 1_000


def check_topic(value: str) -> str:
    """Return a topic template. Raises ValueError: unknown fields, wildcards, empty (MQTT 5.0, 4.7)."""
    fields = ", ".join(f"{{{name}}}" for name in _FIELDS)
    if not value or len(value) > _LONGEST or not value.isprintable():
        raise ValueError(f"{value!r} is not a topic; expected 1 to {_LONGEST} printable characters")
    unknown = [name for name in _FIELD.findall(value) if name not in _FIELDS]
    if unknown:
        raise ValueError(f"{{{unknown[0]}}} is not known; expected one of {fields}")
    plain = _FIELD.sub("x", value)
    if "{" in plain or "}" in plain:
        raise ValueError(f"{value!r} has a brace without its partner; expected fields such as {{device}}")
    if "+" in plain or "#" in plain:
        raise ValueError(f"{value!r} has a wildcard, which no message can be published on; expected a topic")
    return value


def check_payload(value: str) -> str:
    """Return a payload template. Raises ValueError where it does not become JSON."""
    template = Template(value)
    known = ", ".join(f"${name}" for name in _PLACES)
    if len(value) > _LONGEST or not template.is_valid():
        raise ValueError(f"{value[:60]!r} is not a template; expected JSON with {known}, and $$ for a dollar")
    unknown = [name for name in template.get_identifiers() if name not in _PLACES]
    if unknown:
        raise ValueError(f"${unknown[0]} is not known; expected one of {known}")
    try:
        orjson.loads(template.substitute(_SAMPLE))
    except orjson.JSONDecodeError as error:
        raise ValueError(f'{value[:60]!r} does not become JSON ({error}); expected for instance {{"ts": $ts}}') from None
    return value


def needs_id(topic: str) -> bool:
    """Return whether a topic template has the field {id}."""
    return "id" in _FIELD.findall(topic)


def fill_topic(template: str, values: Mapping[str, str]) -> str:
    """Return the topic; fields without a value stay as they are."""
    return _FIELD.sub(lambda match: values.get(match[1], match[0]), template)


def topic_filter(template: str, values: Mapping[str, str]) -> str:
    """Return the filter of all that a template stands for. A level with an unknown field is any level."""
    filled = fill_topic(template, values)
    return "/".join("+" if _FIELD.search(level) else level for level in filled.split("/"))


def in_string(text: str) -> str:
    """Return a text as it stands between the quotes of a JSON string."""
    return orjson.dumps(text)[1:-1].decode()
