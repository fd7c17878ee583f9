"""The JSON Schema of other forms of the same messages: windows as columns, and one topic per tag."""

from typing import Final

from gateway.encoding.message_definitions import LATE, REPLACES, Schema, integer, number_or_null, ref

_OF_SEVERAL: Final = "of rows with n above 1; of one sample it is `last`"


def _column(kind: str, description: str = "") -> Schema:
    """Return the schema of one value for each row, or of one for all of them; null where there is none."""
    one: Schema = {"type": [kind, "null"]}
    return {"anyOf": [one, {"type": "array", "items": one}]} | ({"description": description} if description else {})


COLUMNS: Final[Schema] = {
    "columns": {
        "description": "formats columns: in place of `tags` an array for each statistic, or one value that all rows have",
        "type": "object",
        "properties": {
            "set": {
                "type": "string",
                "description": "which list of the device's tags `rows` counts in: that of {device}/tags",
            },
            "rows": {"type": "array", "items": integer(minimum=0), "description": "places in the set; without, all of them"},
            "names": {"type": "array", "items": {"type": "string"}, "description": "of the rows"},
            "n": _column("integer"),
            "good": _column("integer", "where it is not n"),
            "used": _column("integer", "where it is not good"),
            "min": _column("number", _OF_SEVERAL),
            "max": _column("number", _OF_SEVERAL),
            "mean": _column("number", _OF_SEVERAL),
            "std": _column("number", "of rows with n above 1; of one sample it is 0"),
            "first": _column("number", _OF_SEVERAL),
            "last": _column("number"),
            "last_ts": _column("integer", "of rows with n 0 whose q is not bad"),
            "q": _column("string"),
            "reason": _column("string", "null where q is good"),
        },
        "required": ["n", "last", "q"],
        "anyOf": [{"required": ["names"]}, {"required": ["set"]}],
    },
}
"""What a window in columns has in place of `tags`."""

TAG_LAYOUT: Final[Schema] = {
    "tag": {
        "description": "layout tag: one topic per tag; events and summaries of the tag on .../event and .../summary",
        "$ref": "#/$defs/head",
        "properties": {
            "stream": {
                "type": "string",
                "description": "the topic of the same message in layout device: what seq counts and loss records name",
            },
            "part": ref("tag_part"),
            "tag": {"type": "string"},
        },
        "required": ["stream", "tag"],
        "oneOf": [ref("tag_window"), ref("tag_value"), ref("tag_event")],
    },
    "tag_part": {
        "type": "array",
        "prefixItems": [integer(minimum=1), integer(minimum=1)],
        "items": False,
        "minItems": 2,
        "description": "[k, n]: the k-th of the n tags that the message (boot, stream, seq) speaks of",
    },
    "tag_window": {
        "description": "value is the last of the window; the statistics beside it",
        "$ref": "#/$defs/statistics",
        "properties": {
            "value": number_or_null(),
            "dur": integer("length of the window, milliseconds", minimum=1),
            "late": LATE,
            "replaces": REPLACES,
            "windows": integer("merged by the outbox to save room: how many messages it stands for", minimum=1),
            "first_seq": integer("the seq of the first of them; its own is that of the last", minimum=1),
        },
        "required": ["value", "dur", "part"],
    },
    "tag_value": {"$ref": "#/$defs/value_row", "properties": {"dur": False, "kind": False}, "required": ["part"]},
    "tag_event": {"$ref": "#/$defs/event", "properties": {"dur": False}, "required": ["kind"]},
}
"""Messages of layout tag."""
