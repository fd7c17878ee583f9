"""What every message looks like, for those who read them."""

from importlib import resources
from typing import Any

import orjson


def message_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of every payload, one definition per kind: `messages.schema.json` beside this file."""
    schema: dict[str, Any] = orjson.loads(resources.files(__package__).joinpath("messages.schema.json").read_bytes())
    return schema
