"""`gateway schema`."""

import json

from gateway.cli.output import say
from gateway.encoding.schema import message_schema
from gateway.settings import schema


def print_schema(messages: bool) -> int:
    """Print the schema of the configuration, or that of the messages, on standard output; returns the exit code."""
    say(json.dumps(message_schema() if messages else schema(), indent=2, ensure_ascii=False))
    return 0
