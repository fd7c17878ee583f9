"""`gateway schema`."""

import json

import typer

from gateway.settings import schema


def print_schema() -> int:
    """Print the schema on standard output; returns the exit code."""
    typer.echo(json.dumps(schema(), indent=2, ensure_ascii=False))
    return 0
