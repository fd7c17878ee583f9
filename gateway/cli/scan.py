"""`gateway scan`: which units answer on a connection, and what can be read of them."""

import asyncio
import signal
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress

from gateway.cli.asking import device
from gateway.cli.output import Output
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.clock import SystemClock
from gateway.core.errors import ConfigError, NotConnected
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.endpoint import Endpoint, parse
from gateway.sources.modbus.tools.scan import Scan, joined
from gateway.sources.modbus.types import Table

_TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")


Found = dict[int, dict[Table, list[tuple[int, int]]]]


def scan(what: str, folder: Path, first: int | None, to: int | None, until: int, pace: tuple[float, float]) -> int:
    """Look and print; Ctrl-C ends it with what was found so far. Returns the exit code.

    what: a URL, or a device of the configuration in `folder`, whose backup is looked at where nobody answers at its url.
    first, to: units. until: the last address. pace: seconds between requests and for a reply.
    """
    console, errors = Output(), Output(stderr=True)
    try:
        endpoints, units = _where(what, folder, first, to)
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    except ValueError as error:
        errors.print(f"[red]{escape(str(error))}[/]")
        return EXIT_CONFIG
    found: Found = {}
    count = units[1] - units[0] + 1
    errors.print(f"units {units[0]} to {units[1]}: up to {count * max(pace):.0f} s, then the ranges of each")
    at, broken = [f"unit {units[0]}"], False
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was found is worth as much as after Ctrl-C
    try:
        for endpoint in endpoints:
            broken, url = False, endpoint.url
            if endpoint is not endpoints[0]:
                errors.print(f"asking the backup {escape(endpoint.address)}")
            try:
                with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
                    asyncio.run(_scan(endpoint, units, until, pace, found, progress, at))
            except NotConnected as error:
                broken = True
                errors.print(f"[red]{escape(str(error))}[/]")
            if found:
                break
            if not broken:  # who could not ask cannot say that
                console.print("no unit answered" + (f" at {escape(endpoint.address)}" if len(endpoints) > 1 else ""))
    except KeyboardInterrupt:
        errors.print(f"[yellow]stopped at {at[0]}: what comes after it was not looked at[/]")
    for unit, tables in found.items():
        console.print(f"[bold]unit {unit}[/] answers")
        for table, ranges in tables.items():
            text = ", ".join(f"{first}..{end}" if first != end else str(first) for first, end in ranges)
            console.print(f"  {table}: {text or 'nothing'}")
    if example := next(((u, t, r[0]) for u, tables in found.items() for t, r in tables.items() if r), None):
        unit, table, (first, end) = example
        places = f"--unit {unit} --address {table}:{first} --count {min(4, end - first + 1)}"
        errors.print(f"next: gateway read {escape(url)} {places}")
    return 0 if found else 1


def _where(what: str, folder: Path, first: int | None, to: int | None) -> tuple[list[Endpoint], tuple[int, int]]:
    """Addresses and units. Raises ConfigError, ValueError."""
    if "://" in what:
        endpoints, units = [parse(what)], (1, 247)
    else:
        kind, entry = device(folder, what, "tcp")
        if kind.name != "modbus":
            raise ValueError(f"{what} speaks {kind.name}; expected a Modbus device")
        endpoints, units = entry.config.endpoints, (entry.config.unit, entry.config.unit)
    units = units[0] if first is None else first, units[1] if to is None else to
    if units[0] > units[1]:
        raise ValueError(f"--first {units[0]} is after --last {units[1]}; expected a first unit up to the last")
    if endpoints[0].is_bus and units[1] > 247:
        raise ValueError(f"--last {units[1]} is no unit on a bus; expected up to 247")
    return endpoints, units


async def _scan(
    endpoint: Endpoint,
    units: tuple[int, int],
    last: int,
    pace: tuple[float, float],
    found: Found,
    progress: Progress,
    at: list[str],
) -> None:
    """at: where it is, in words."""
    link = ModbusLink(endpoint)
    await link.open(max(3.0, 3 * pace[1]))
    look = Scan(link, SystemClock(), *pace)
    try:
        bar = progress.add_task("units", total=units[1] - units[0] + 1)
        for unit in range(units[0], units[1] + 1):
            at[0] = f"unit {unit}"
            if await look.answers(unit):
                found[unit] = {}
                progress.console.print(f"unit {unit} answers")
            progress.advance(bar)
        for unit, tables in found.items():
            for table in _TABLES:
                bar = progress.add_task(f"unit {unit}, {table}", total=last + 1)
                tables[table], at[0] = [], f"unit {unit}, {table}"
                async for first, end, readable in look.ranges(unit, table, last):
                    if readable:
                        joined(tables[table], first, end)
                    progress.update(bar, completed=end + 1)
    finally:
        link.close()
