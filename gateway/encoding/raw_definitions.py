"""The JSON Schema of questions for the past and of their answers."""

from typing import Any, Final

from gateway.encoding.message_definitions import Schema, integer, ref

_TIME: Final[Schema] = {
    "type": ["string", "integer"],
    "description": "ISO 8601 (UTC without an offset), -10min for ten minutes ago, now, or ms since the epoch",
}
_KIND: Final[Schema] = {"enum": ["samples", "minutes", "ten_minutes"]}


def _column(of: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": of} | ({"description": description} if description else {})


_NUMBERS: Final = _column({"type": ["number", "null"]})
_CORRELATION: Final[dict[str, Any]] = {"type": "string", "maxLength": 256, "description": "comes back in each part"}

RAW: Final[Schema] = {
    "raw_request": {
        "description": "topic raw/request: a question for the past, in JSON whatever the format of the gateway's messages",
        "type": "object",
        "properties": {
            "tags": {
                "description": "names of tags as device/tag, or patterns with *, ? and [..]",
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 100},
                ],
            },
            "from": _TIME,
            "to": _TIME | {"default": "now"},
            "kind": _KIND | {"default": "samples"},
            "correlation": _CORRELATION,
            "response_topic": {
                "type": "string",
                "description": "where the answer goes: raw/answer of this gateway or below it; the property of MQTT 5 wins",
            },
            "expiry_s": {
                "type": "number",
                "minimum": 0,
                "description": "for how long the answer is wanted, seconds; the property of MQTT 5 wins",
            },
        },
        "required": ["tags", "from"],
        "additionalProperties": False,
    },
    "raw": {
        "description": "topics raw/answer and below: one part of an answer; nothing is stored or sent again, so no seq",
        "type": "object",
        "properties": {
            "boot": ref("boot"),
            "ts": integer("begin of the span that was asked for, milliseconds UTC; of a refusal now"),
            "hist": {"const": True, "description": "values of the past"},
            "number": integer("of the part, from 1", minimum=1),
            "correlation": _CORRELATION,
            "kind": _KIND,
            "rows": integer("of this part", minimum=1),
            "tags": {
                "type": "object",
                "description": "by device/tag; a tag may go on in the next part",
                "additionalProperties": ref("raw_columns"),
            },
            "last": {"const": True, "description": "the last part: its number is how many there are"},
            "all_rows": integer("rows of all parts", minimum=0),
            "all_tags": integer("tags that were meant", minimum=0),
            "unknown": _column({"type": "string"}, "names and patterns that mean no tag, the first 20"),
            "missing": _column(
                {
                    "type": "object",
                    "properties": {"from": integer(), "to": integer(), "reason": {"type": "string"}},
                    "required": ["from", "to", "reason"],
                    "additionalProperties": False,
                },
                "spans, ms UTC, of which not everything is in the answer, and why",
            ),
            "complete": {"type": "boolean", "description": "nothing is missing, and each pattern means a tag"},
            "error": {"type": "string", "description": "why there is no answer"},
            "expected": {"type": "string", "description": "what would be right"},
        },
        "required": ["boot", "ts", "hist", "number"],
        "if": {"required": ["last"]},
        "then": {
            "anyOf": [{"required": ["error"]}, {"required": ["all_rows", "all_tags", "unknown", "missing", "complete"]}]
        },
        "else": {"required": ["kind", "rows", "tags"]},
    },
    "raw_columns": {
        "type": "object",
        "description": "columns of equal length, each ascending in ts",
        "properties": {
            "unit": {"type": "string"},
            "ts": _column(integer(), "when it was read, or the span begins; milliseconds UTC"),
            "value": _NUMBERS,
            "min": _NUMBERS,
            "max": _NUMBERS,
            "mean": _NUMBERS,
            "n": _column(integer(minimum=0), "samples in the span"),
            "q": _column({"enum": ["good", "uncertain", "bad"]}),
            "reason": _column({"type": "string"}, "why q is not good, empty where it is; left out where all are good"),
        },
        "required": ["ts", "q"],
        "additionalProperties": False,
    },
}
"""Messages beside the contract's streams."""
