"""`gateway plan`: which Modbus requests will be sent, how full they are, how busy each connection will be."""

from pathlib import Path

from rich.markup import escape

from gateway.cli.output import Output, listing, patience
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.errors import ConfigError
from gateway.core.plural import counted
from gateway.settings import load
from gateway.sources.modbus.plugin import ModbusPlugin
from gateway.sources.modbus.tools.bus_load import TOO_MUCH, ConnectionLoad, connection_loads


def print_plan(folder: Path, answer_s: float) -> int:
    """Print the plan of every Modbus connection; returns the exit code."""
    try:
        with patience(f"reading {escape(str(folder))}"):
            settings = load(folder)
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    entries = [
        entry for plugin, entry in zip(settings.plugins, settings.entries, strict=True) if isinstance(plugin, ModbusPlugin)
    ]
    console = Output()
    if not entries:
        console.print("no Modbus device is configured")
    for connection in connection_loads(entries, answer_s):
        _print_connection(console, connection, answer_s)
    return 0


def _print_connection(console: Output, connection: ConnectionLoad, answer_s: float) -> None:
    headings = ("device", "unit", "reads", "places", "tags", "fill", "every", "a second", "busy ms")
    numbers = [heading for heading in headings if heading not in ("device", "reads")]
    table = listing(*headings, right=numbers, title=escape(connection.endpoint.url))
    for one in connection.requests:
        request = one.request
        table.add_row(
            escape(one.device.name),
            str(one.device.unit),
            f"{request.table} {request.start}..{request.start + request.count - 1}",
            str(request.count),
            str(len(request.spans)),
            f"{one.fill:.0%}",
            f"{one.interval_ns / 1e9:g} s",
            f"{one.per_s:g}",
            f"{one.busy_s * 1e3:.1f}",
        )
    console.whole(table)
    style = "bold red" if connection.share > TOO_MUCH else "green"
    end = connection.endpoint
    line = f"{end.baudrate} baud, {end.character_s * 1e3:.2f} ms a character, " if end.is_serial else ""
    console.print(
        f"{counted(len(connection.requests), 'request')}, {connection.per_s:.4g} a second; busy for "
        f"[{style}]{connection.share:.1%}[/] of the time ({line}{answer_s * 1e3:g} ms until a reply begins)"
    )
    if connection.share > TOO_MUCH:
        console.print(
            f"[bold yellow]warning:[/] more than {TOO_MUCH:.0%} leaves no room for timeouts and retries: read less often, "
            "put units on another line, or raise the baud rate"
        )
    console.print()
