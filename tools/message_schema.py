"""Write `messages.schema.json` anew from the types of the events: `python -m tools.message_schema`."""

import json
from pathlib import Path

from gateway.encoding import schema
from gateway.plugins import EVENT_TYPES


def text() -> str:
    """Return what the file must hold."""
    return json.dumps(schema.build_schema(EVENT_TYPES), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(schema.__file__).with_name(schema.FILE).write_text(text(), encoding="utf-8")
