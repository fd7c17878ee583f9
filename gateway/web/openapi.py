"""The OpenAPI 3.1 document of the API, made from the shapes of its answers."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from gateway.web import answers as a
from gateway.web.tag_search import QUALITIES

_INTEGER: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_TEXT: Final[dict[str, Any]] = {"type": "string", "maxLength": 256}


@dataclass(frozen=True, slots=True)
class Operation:
    """One path of the API."""

    name: str
    """The last part of its path, and the name of the method of `Api`."""
    answer: type
    """The shape of its answer."""
    summary: str
    """What it returns."""
    parameters: tuple[tuple[str, dict[str, Any], str], ...] = ()
    """Name, schema and meaning of each key of the query."""


_PAGE: Final = (
    ("offset", _INTEGER, "How many to leave out."),
    ("limit", {**_INTEGER, "maximum": 1000}, "How many to return at most."),
)
_DEVICE: Final = ("device", _TEXT, "Only of this device.")
_QUALITY: Final = {"type": "string", "enum": list(QUALITIES)}
_SPAN: Final = (
    ("tag", _INTEGER, "The number of the tag."),
    ("from", _INTEGER, "Begin, ms since the epoch; without it an hour before `to`."),
    ("to", _INTEGER, "End, ms since the epoch; without it now."),
    ("points", {**_INTEGER, "maximum": 4000}, "About how many rows at most."),
)

_RAW: Final = (
    ("tags", {"type": "array", "items": _TEXT}, "Names or patterns of `device/tag`; may be there up to 100 times."),
    ("from", _TEXT, "Begin: ISO 8601, -10min for ten minutes ago, or ms since the epoch."),
    ("to", _TEXT, "End, in the same ways; without it now."),
    ("kind", {"type": "string", "enum": ["samples", "minutes", "ten_minutes"]}, "Which rows; without it samples."),
    ("correlation", _TEXT, "Comes back in each part."),
)

OPERATIONS: Final = (
    Operation("status", a.StatusAnswer, "The gateway as a whole: health, counts, outbox, host."),
    Operation(
        "course",
        a.CourseAnswer,
        "The course of the delivery: ten seconds apart for an hour, a minute apart for seven days, since the start.",
        (
            ("from", _INTEGER, "Begin, ms since the epoch; without it all."),
            ("points", {**_INTEGER, "maximum": 4000}, "About how many rows at most."),
        ),
    ),
    Operation("devices", a.DevicesAnswer, "All devices: state, reason, and the command that finds out more."),
    Operation("connections", a.ConnectionsAnswer, "All connections to the field, and what was counted on them."),
    Operation(
        "tags",
        a.TagsAnswer,
        "A page of the tags with their present values.",
        (
            ("q", _TEXT, "Words that `device/name` has, in any case."),
            _DEVICE,
            ("quality", _QUALITY, "Only of this quality at present."),
            *_PAGE,
        ),
    ),
    Operation(
        "tag",
        a.TagAnswer,
        "One tag with its present value.",
        (("device", _TEXT, "The name of its device."), ("name", _TEXT, "Its name.")),
    ),
    Operation(
        "values",
        a.ValuesAnswer,
        "Present values of some tags, as columns.",
        (("tags", {"type": "string"}, "Up to 1000 numbers of tags, commas between them."),),
    ),
    Operation("history", a.HistoryAnswer, "One tag over a span of time.", _SPAN),
    Operation("alarms", a.AlarmsAnswer, "All conditions that hold."),
    Operation(
        "events",
        a.EventsAnswer,
        "The newest events.",
        (
            ("since", _INTEGER, "Only those after this version."),
            _DEVICE,
            ("kind", _TEXT, "Only of this kind."),
            _PAGE[1],
        ),
    ),
    Operation("outbox", a.OutboxAnswer, "The outbox in numbers, and the sink that empties it."),
    Operation("plan", a.PlanAnswer, "What is read of each connection, and how busy that keeps it."),
    Operation("configuration", a.ConfigurationAnswer, "Every setting, without secrets, and where it comes from."),
)


@cache
def document(version: str) -> dict[str, Any]:
    """Return the document. version: of the program."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {f"/api/v1/{one.name}": {"get": _operation(one, schemas)} for one in OPERATIONS}
    paths["/api/v1/raw"] = {"get": _raw(schemas)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gateway",
            "version": version,
            "description": "What a running gateway reads, sends and keeps. Nothing can be changed through it. "
            "`/api/v1/stream` sends server-sent events: `status`, `devices`, `alarms`, `events`, `values`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(one: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "responses": {
            "200": {"description": "The answer.", "content": _content(one.answer, schemas)},
            "4XX": {"description": "Why there is none.", "content": _content(a.ErrorAnswer, schemas)},
        },
    }
    if one.parameters:
        found["parameters"] = [
            {"name": name, "in": "query", "required": False, "schema": schema, "description": meaning}
            for name, schema, meaning in one.parameters
        ]
    return found


def _raw(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the description of the one path whose answer is lines."""
    found = _operation(Operation("raw", a.ErrorAnswer, "Samples of some tags over a span, in parts.", _RAW), schemas)
    text = "One JSON document a line, as `raw` in `gateway schema --messages`; the last one has `last`."
    found["responses"]["200"] = {"description": text, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}
    return found


def _content(answer: type, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(answer).json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[answer.__name__] = schema
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer.__name__}"}}}
