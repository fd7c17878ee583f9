"""Commands around a configuration: run, check, plan, schema, demo."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.commands.options import DEFAULT_CONFIG, ConfigDir, exit_with
from gateway.cli.logs import LogFormat, LogLevel


def run(
    config: ConfigDir = DEFAULT_CONFIG,
    log_level: Annotated[LogLevel, typer.Option(help="Least important message to log.")] = LogLevel.info,
    log_format: Annotated[
        LogFormat, typer.Option(help="auto: colours on a terminal, key=value elsewhere.")
    ] = LogFormat.auto,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Exit codes: 0 after an orderly stop, 3 when the disk did not keep what was still waiting, 2 when the configuration cannot
    be used, 1 for anything unexpected.
    """
    from gateway.cli.run import run_gateway

    raise typer.Exit(run_gateway(config, log_level, log_format))


def check(config: ConfigDir = DEFAULT_CONFIG) -> None:
    """Check a configuration without touching a device; print what would be read and published.

    Exit codes: 0 when it can be used, 2 when not; then every problem is listed with file, line and key.
    """
    from gateway.cli.check import check_config

    exit_with(lambda: check_config(config))


def reload(
    config: ConfigDir = DEFAULT_CONFIG,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what differs from the configuration that ran last.")
    ] = False,
    wait: Annotated[
        bool, typer.Option(help="Wait until the changed devices are read, or are changed back (reload.confirm).")
    ] = True,
) -> None:
    """Have the running gateway take the changed configuration, device by device, and print what came of it.

    Exit codes: 0 when it was taken, or with --dry-run could be; 1 when not, or when it was changed back; 2 when the
    configuration cannot be used.
    """
    from gateway.cli.reload import reload_gateway, show_difference

    exit_with(lambda: show_difference(config) if dry_run else reload_gateway(config, wait=wait))


def purge(
    config: ConfigDir = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Wipe outbox, keys, trust lists, history and found files of a stopped gateway, for decommissioning.

    Says file by file what was done, and what cannot be promised. Exit codes: 0 when all is wiped, 1 when something could not
    be, 2 when nothing was touched: the gateway runs, the configuration cannot be used, or nobody said yes.
    """
    from gateway.cli.purge import purge as wipe

    exit_with(lambda: wipe(config, yes))


def plan(
    config: ConfigDir = DEFAULT_CONFIG,
    answer_ms: Annotated[
        float,
        typer.Option(min=0, max=60_000, metavar="MS", help="How long a device takes to begin its reply, for the estimate."),
    ] = 10.0,
) -> None:
    """Print the Modbus requests of a configuration: their spans, fill and rate, and how busy each connection will be.

    Exit codes: 0, or 2 when the configuration cannot be used or has no device whose requests can be planned.
    """
    from gateway.cli.plan import print_plan

    exit_with(lambda: print_plan(config, answer_ms / 1e3))


def demo(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="DIR",
            show_default="the shipped example",
            help="Folder with gateway.yaml, devices/ and tags/. Its devices are simulated.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, max=10**8, metavar="N", show_default=False, help="End after N seconds and judge the run."),
    ] = None,
) -> None:
    """Run everything on this machine, nothing else needed: broker, simulated devices, gateway, subscriber.

    Exit codes: 0 when it ended well, 1 when not, and it says why; 2 when the configuration cannot be used. With --seconds
    a good end means: windows of every device, an alarm or anomaly (from 60 s on), and no sequence number missing.
    """
    from gateway.cli.demo import run_demo

    raise typer.Exit(run_demo(config, seconds))


def schema(
    messages: Annotated[
        bool, typer.Option("--messages", help="Of the MQTT payloads instead, for those who read them.")
    ] = False,
    devices: Annotated[bool, typer.Option("--devices", help="Of the files in devices/ instead.")] = False,
    templates: Annotated[bool, typer.Option("--templates", help="Of the files in templates/ instead.")] = False,
) -> None:
    """Print the JSON Schema of gateway.yaml, for editors that complete and check while you type."""
    from gateway.cli.schema import print_schema

    exit_with(lambda: print_schema(messages, devices, templates))
