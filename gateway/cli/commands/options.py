"""What several commands have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

ConfigDir = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="GATEWAY_CONFIG", metavar="DIR", help="Folder with gateway.yaml, devices/ and tags/."
    ),
]
DEFAULT_CONFIG = Path("config")


def printed(work: Callable[[], int]) -> NoReturn:
    """Do what is nothing but printing, and end with its exit code."""
    from gateway.cli.output import printing

    with printing():
        code = work()
    raise typer.Exit(code)
