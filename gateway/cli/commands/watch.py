"""Commands that look at a running gateway: status, top, log-level."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.commands.options import DEFAULT_CONFIG, ConfigDir, exit_with

Socket = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The gateway's socket file, if it is not where its configuration says.", show_default=False
    ),
]


def status(
    config: ConfigDir = DEFAULT_CONFIG,
    socket: Socket = None,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Print how the running gateway is: devices with reasons, active alarms, outbox, certificates.

    Exit codes: 0 when all is well, 1 when it is degraded, 2 when it is red, stands still or does not run.
    """
    from gateway.cli.status import status as print_status

    exit_with(lambda: print_status(config, socket, json))


def top(
    config: ConfigDir = DEFAULT_CONFIG,
    socket: Socket = None,
    interval: Annotated[float, typer.Option(min=0.2, max=60, metavar="SECONDS", help="Between two looks.")] = 1.0,
    tags: Annotated[str, typer.Option(metavar="WORDS", help="Only tags whose device/name has all these words.")] = "",
) -> None:
    """Show the running gateway live: devices, alarms, values, outbox. Ctrl-C ends it.

    Exit codes: 0, 2 when no gateway runs.
    """
    from gateway.cli.status import top as show_top

    exit_with(lambda: show_top(config, socket, interval, tags))


def log_level(
    part: Annotated[
        str, typer.Argument(metavar="[PART]", show_default=False, help="A part (logger=gateway.PART), libraries, or all.")
    ] = "",
    level: Annotated[str, typer.Argument(metavar="[LEVEL]", show_default=False, help="debug, info, warning or error.")] = "",
    config: ConfigDir = DEFAULT_CONFIG,
    socket: Socket = None,
) -> None:
    """Show what the running gateway logs, or change it until it is started again: gateway log-level opcua debug.

    Exit codes: 0, 2 when no gateway runs, or there is no such part or level.
    """
    from gateway.cli.log_level import log_level as change_level

    exit_with(lambda: change_level(config, socket, part, level))
