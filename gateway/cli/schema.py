"""`gateway schema`."""

import json

import typer

from gateway.settings import schema


def print_schema() -> None:
    """Print the schema on standard output."""
    typer.echo(json.dumps(schema(), indent=2, ensure_ascii=False))
