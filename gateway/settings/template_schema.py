"""The JSON Schema of template files: device files in which any value may be a parameter, and no key has to be there."""

from typing import Any, Final

from gateway.plugins import SOURCES
from gateway.settings.model import device_model, device_schema

_PARAMETER: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": r"\$\{\w+\}",
    "description": "a parameter, ${name}, whose value the device gives",
}
_PARAMETERS: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "number", "integer", "boolean", "null"]},
    "description": "Values of the parameters for devices that do not give them; null: each device has to.",
}


def template_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a file in templates/."""
    whole = device_schema()
    definitions = {name: _loosened(one) for name, one in whole["$defs"].items()}
    devices = []
    for plugin in SOURCES.values():
        title = device_model(plugin).__name__
        device = definitions[title]
        device["properties"]["parameters"] = _PARAMETERS
        device["required"] = ["protocol"]
        devices.append({"$ref": f"#/$defs/{title}"})
    definitions["Parameter"] = _PARAMETER
    return {
        "$schema": whole["$schema"],
        "title": "TemplateFile",
        "description": "One file in templates/: what equal devices share.",
        "anyOf": devices,
        "$defs": definitions,
    }


def _loosened(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an object's schema in which each value may be a parameter, and nothing is required."""
    if "properties" not in schema:
        return schema
    loose = {key: value for key, value in schema.items() if key != "required"}
    loose["properties"] = {name: _or_parameter(name, one) for name, one in schema["properties"].items()}
    return loose


def _or_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name == "protocol" or schema.get("type") in ("array", "object"):
        return schema
    about = {key: schema[key] for key in ("description", "title") if key in schema}
    return {"anyOf": [schema, {"$ref": "#/$defs/Parameter"}]} | about
