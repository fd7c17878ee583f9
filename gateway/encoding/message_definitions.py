"""The JSON Schema of all messages but the events, which are described by their types."""

from typing import Any, Final

Schema = dict[str, Any]
"""A JSON Schema (2020-12), or a part of one."""


def ref(name: str) -> Schema:
    """Return a reference to a definition of this schema."""
    return {"$ref": f"#/$defs/{name}"}


def integer(description: str = "", *, minimum: int | None = None) -> Schema:
    """Return the schema of an integer."""
    return _limited({"type": "integer"}, minimum, description)


def number_or_null(description: str = "", *, minimum: int | None = None) -> Schema:
    """Return the schema of a number, null where JSON cannot carry it or there is none."""
    return _limited({"type": ["number", "null"]}, minimum, description)


def _limited(schema: Schema, minimum: int | None, description: str) -> Schema:
    limit = {} if minimum is None else {"minimum": minimum}
    return schema | limit | ({"description": description} if description else {})


LATE: Final[Schema] = {
    "const": True,
    "description": "samples came after the window had been sent: a supplement with only these, but for `replaces`",
}
REPLACES: Final[Schema] = {
    "const": True,
    "description": "over all samples of the window: each row takes the place of its tag's before, of this ts and dur",
}

PARTS: Final[Schema] = {
    "boot": {"type": "string", "pattern": "^[0-9a-f]{15}$", "description": "one run of the gateway; sorts by time of start"},
    "quality": {
        "type": "object",
        "properties": {
            "q": {"enum": ["good", "uncertain", "bad"], "description": "quality"},
            "reason": {"type": "string", "minLength": 1, "description": "why the quality is not good"},
        },
        "required": ["q"],
        "if": {"properties": {"q": {"const": "good"}}},
        "then": {"properties": {"reason": False}},
        "else": {"required": ["reason"]},
    },
    "statistics": {
        "type": "object",
        "description": "statistics of one tag over a window",
        "properties": {
            "n": integer("samples read, bad ones too", minimum=0),
            "good": integer("samples of good quality", minimum=0),
            "used": integer("samples the statistics rest on, where that is not good", minimum=0),
            "min": number_or_null(),
            "max": number_or_null(),
            "mean": number_or_null(),
            "std": number_or_null("of the population", minimum=0),
            "first": number_or_null(),
            "last": number_or_null("the last value; with n 0 the value that still holds"),
            "last_ts": integer("with n 0: when the value that still holds was read, milliseconds UTC"),
        },
        "required": ["n", "good"],
        "if": {"properties": {"n": {"const": 0}}},
        "then": {
            "properties": {
                "good": {"const": 0},
                "min": {"type": "null"},
                "max": {"type": "null"},
                "mean": {"type": "null"},
                "std": {"type": "null"},
                "first": {"type": "null"},
            }
        },
        "else": {"properties": {"last_ts": False}},
        "$ref": "#/$defs/quality",
    },
    "head": {
        "type": "object",
        "properties": {
            "boot": ref("boot"),
            "seq": integer("counts from 1 per topic within one boot", minimum=1),
            "ts": integer("the time it speaks of, for windows their start; milliseconds UTC"),
            "hist": {
                "type": "boolean",
                "description": "sent from backlog: not over the connection that was up when it was made",
            },
        },
        "required": ["boot", "seq", "ts", "hist"],
    },
    "part": {
        "type": "array",
        "prefixItems": [integer(minimum=1), integer(minimum=2)],
        "items": False,
        "minItems": 2,
        "description": "[k, n]: the k-th of n packets that together are the message (boot, topic, seq), each with some tags",
    },
    "row": {"description": "one tag in a window", "$ref": "#/$defs/statistics", "required": ["last"]},
}
"""What several messages are made of."""

MESSAGES: Final[Schema] = {
    "status": {
        "description": "topic status, retained, and the last will; no seq, for only the newest counts",
        "type": "object",
        "properties": {
            "state": {"enum": ["online", "offline"]},
            "boot": ref("boot"),
            "version": {"type": "string"},
            "config": {"type": "string", "description": "hash of the configuration"},
            "since": integer(
                "online: start of the gateway; offline: when it stopped, or in a last will the start of the lost run"
            ),
            "reason": {"type": "string", "description": "offline only: stopped, or connection lost (last will)"},
            "devices": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"state": {"enum": ["ok", "degraded", "down"]}, "reason": {"type": "string"}},
                    "required": ["state", "reason"],
                },
            },
            "certificates": {
                "type": "object",
                "description": "with TLS: when they end, ms UTC",
                "properties": {"broker": integer(), "gateway": integer()},
                "additionalProperties": False,
            },
            "outbox": {
                "type": "object",
                "description": "while the disk takes nothing: why, and since when messages are in memory only, ms UTC",
                "properties": {"refused": {"type": "string"}, "memory_since": integer()},
                "required": ["refused", "memory_since"],
                "additionalProperties": False,
            },
            "sinks": {
                "type": "object",
                "description": "with several sinks: the state of each, by name",
                "additionalProperties": {"type": "object", "properties": {"state": {"enum": ["connected", "away"]}}},
            },
            "configuration": {
                "type": "object",
                "description": "while a part of the configuration cannot be used, and after a reload",
                "properties": {
                    "refused": {
                        "type": "object",
                        "description": "the first problem of each device, or of gateway.yaml, that cannot be used",
                        "additionalProperties": {"type": "string"},
                    },
                    "kept": {
                        "type": "array",
                        "description": "those of them that run as the last configuration that ran says",
                        "items": {"type": "string"},
                    },
                    "reload": {
                        "type": "object",
                        "description": "the last reload of this run",
                        "properties": {
                            "result": {"enum": ["applied", "refused", "rolled_back"]},
                            "ts": integer("when, ms UTC"),
                            "problem": {"type": "string"},
                        },
                        "required": ["result", "ts"],
                        "additionalProperties": False,
                    },
                },
                "additionalProperties": False,
            },
        },
        "required": ["state", "boot", "version", "config", "since", "devices"],
        "if": {"properties": {"state": {"const": "offline"}}},
        "then": {"required": ["reason"], "properties": {"devices": {"maxProperties": 0}}},
    },
    "window": {
        "description": "topics {device}/window and {device}/summary",
        "$ref": "#/$defs/head",
        "properties": {
            "dur": integer("length of the window, milliseconds", minimum=1),
            "late": LATE,
            "replaces": REPLACES,
            "windows": integer("merged by the outbox to save room: how many messages it stands for", minimum=1),
            "first_seq": integer("the seq of the first of them; its own is that of the last", minimum=1),
            "part": ref("part"),
            "tags": {"type": "object", "additionalProperties": ref("row")},
        },
        "required": ["dur"],
        "if": {"required": ["tags"]},
        "then": {"required": ["tags"]},
        "else": ref("columns"),
        "dependentRequired": {"windows": ["first_seq"], "first_seq": ["windows"], "replaces": ["late"]},
    },
    "tags": {
        "description": "topic {device}/tags, retained: what the device's tags are; no seq, for only the newest counts",
        "type": "object",
        "properties": {
            "set": {"type": "string", "description": "names this list of tags; windows in columns count in it"},
            "tags": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "unit": {"type": "string"},
                        "description": {"type": "string"},
                        "type": {"enum": ["number", "float32", "boolean", "text"]},
                        "range": {"type": "array", "items": {"type": "number"}, "description": "in normal operation"},
                        "interval_ms": {"type": "number", "description": "how often a sample is due"},
                    },
                    "required": ["name", "type"],
                },
            },
        },
        "required": ["set", "tags"],
    },
    "value": {
        "description": "topic {device}/value",
        "$ref": "#/$defs/head",
        "properties": {
            "part": ref("part"),
            "late": {"const": True, "description": "read back from the device's history: not what holds now"},
            "tags": {"type": "object", "minProperties": 1, "additionalProperties": ref("value_row")},
        },
        "required": ["tags"],
    },
    "value_row": {
        "type": "object",
        "properties": {
            "value": {"description": "text, number (an integer exactly, to 64 bits), list, object; null where q is bad"},
            "ts": integer("when it was read, milliseconds UTC"),
        },
        "required": ["value", "ts"],
        "$ref": "#/$defs/quality",
    },
    "stats": {
        "description": "topics stats and {device}/stats",
        "$ref": "#/$defs/head",
        "properties": {"stats": {"type": "object", "additionalProperties": {"type": ["number", "string", "null"]}}},
        "required": ["stats"],
    },
    "event": {
        "description": "topics event and {device}/event",
        "$ref": "#/$defs/head",
        "properties": {"kind": {"type": "string"}},
        "required": ["kind"],
    },
}
"""Messages of layout device."""
