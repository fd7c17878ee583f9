"""Options that several commands have, and the end of a command."""

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


def exit_with(work: Callable[[], int]) -> NoReturn:
    """Run a command that only prints, and exit with the code that it returns."""
    from gateway.cli.output import exit_on_closed_output

    with exit_on_closed_output():
        code = work()
    raise typer.Exit(code)
