"""The JSON Schema of every message, for those who read them."""

from collections.abc import Sequence
from importlib import resources
from typing import Any, Final

import orjson

from gateway.core.events.event import Event
from gateway.encoding.event_definitions import event_conditions, event_definitions
from gateway.encoding.form_definitions import COLUMNS, TAG_LAYOUT
from gateway.encoding.message_definitions import MESSAGES, PARTS, Schema, ref
from gateway.encoding.raw_definitions import RAW

FILE: Final = "messages.schema.json"
_PROMISE: Final = "Changes within version 1 only add fields and kinds of events: a reader ignores what it does not know."


def message_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of every payload: the file `messages.schema.json` beside this one."""
    schema: dict[str, Any] = orjson.loads(resources.files(__package__).joinpath(FILE).read_bytes())
    return schema


def build_schema(event_types: Sequence[type[Event]]) -> Schema:
    """Return the schema that the file must hold; `python -m tools.message_schema` writes it."""
    event = MESSAGES["event"] | {"allOf": event_conditions(event_types)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:gateway:messages:v1",
        "title": "Messages of the gateway, version 1 of the contract",
        "description": _PROMISE,
        "anyOf": [ref(name) for name in ("status", "window", "value", "tags", "event", "stats", "tag", "raw")],
        "$defs": PARTS | MESSAGES | {"event": event} | event_definitions(event_types) | COLUMNS | TAG_LAYOUT | RAW,
    }
