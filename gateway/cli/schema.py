"""`gateway schema`."""

import json

from gateway.cli.output import say
from gateway.encoding.schema import message_schema
from gateway.settings import device_schema, schema
from gateway.settings.template_schema import template_schema


def print_schema(messages: bool, devices: bool, templates: bool) -> int:
    """Print the schema of gateway.yaml, or of what is chosen, on standard output; returns the exit code."""
    found = message_schema() if messages else device_schema() if devices else template_schema() if templates else schema()
    say(json.dumps(found, indent=2, ensure_ascii=False))
    return 0
