"""All commands, with what they say of themselves. Their work is imported only when they are called."""

from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.cli.logs import LogFormat, LogLevel

app = typer.Typer(
    name="gateway",
    help="Field devices in, honest one-second windows out over MQTT.\n\n"
    "Start with [bold]gateway demo[/bold]; then copy the config folder, edit it, [bold]gateway check[/bold] it and "
    "[bold]gateway run[/bold] it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigDir = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="GATEWAY_CONFIG", metavar="DIR", help="Folder with gateway.yaml, devices/ and tags/."
    ),
]
DEFAULT_CONFIG = Path("config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gateway {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: ConfigDir = DEFAULT_CONFIG,
    log_level: Annotated[LogLevel, typer.Option(help="Least important message to log.")] = LogLevel.info,
    log_format: Annotated[
        LogFormat, typer.Option(help="auto: colours on a terminal, key=value elsewhere.")
    ] = LogFormat.auto,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Exit codes: 0 after an orderly stop, 2 when the configuration cannot be used, 1 for anything unexpected.
    """
    from gateway.cli.run import run_gateway

    raise typer.Exit(run_gateway(config, log_level, log_format))


@app.command()
def check(config: ConfigDir = DEFAULT_CONFIG) -> None:
    """Check a configuration without touching a device; print what would be read and published.

    Exit codes: 0 when it can be used, 2 when not; then every problem is listed with file, line and key.
    """
    from gateway.cli.check import check_config

    raise typer.Exit(check_config(config))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors that complete and check while you type."""
    from gateway.cli.schema import print_schema

    print_schema()
