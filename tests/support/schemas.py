"""Holds every message that a test sees to the published JSON Schema; here a field that it does not name fails, too."""

import copy
from typing import Any

import jsonschema_rs

from gateway.encoding.schema import message_schema

_KINDS = ("status", "window", "summary", "value", "event", "stats", "raw", "tags")


def strict() -> dict[str, Any]:
    """The published schema, but what it does not name is refused, and so are unknown kinds of events."""
    schema = copy.deepcopy(message_schema())
    known = schema["$defs"]
    known["event_of_tag"] = copy.deepcopy(known["event"])  # below `tag`, which closes it
    known["tag_event"]["$ref"] = "#/$defs/event_of_tag"
    for kind in ("status", "window", "value", "event", "stats", "tags", "tag", "raw"):
        known[kind]["unevaluatedProperties"] = False
    for kind in ("window", "value"):
        known[kind]["properties"]["tags"]["additionalProperties"]["unevaluatedProperties"] = False
    known["event"]["properties"]["kind"]["enum"] = sorted(
        name.removeprefix("event_") for name in message_schema()["$defs"] if name.startswith("event_")
    )
    return schema


def _validator(kind: str, schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    place = {"summary": "window"}.get(kind, kind)
    return jsonschema_rs.Draft202012Validator({"$defs": schema["$defs"], "$ref": f"#/$defs/{place}"})


_STRICT = {kind: _validator(kind, strict()) for kind in (*_KINDS, "tag")}


def kind_of(topic: str, body: Any) -> str:
    """Which definition a message must keep."""
    last = topic.rpartition("/")[2]
    if "/raw/answer" in topic:
        return "raw"
    return "tag" if isinstance(body, dict) and "stream" in body else last


def fault_of(topic: str, body: Any) -> str:
    """What is wrong with a message on a topic; empty when nothing is."""
    kind = kind_of(topic, body)
    if kind not in _STRICT:
        return f"{topic}: no schema for {kind!r}"
    error = next(iter(_STRICT[kind].iter_errors(body)), None)
    return f"{topic}: {error.message[:500]} at {error.instance_path} by {error.schema_path}" if error else ""


def check(topic: str, body: Any) -> None:
    """Fail unless the message keeps the schema."""
    fault = fault_of(topic, body)
    assert not fault, fault
