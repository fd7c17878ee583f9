"""`gateway scan`: which units answer on a connection, and what can be read of them."""

import asyncio
import signal

from rich.markup import escape
from rich.progress import Progress

from gateway.cli.output import Output
from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.endpoint import Endpoint, parse
from gateway.sources.modbus.scan import Scan, joined
from gateway.sources.modbus.types import Table

_TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")


def scan(url: str, units: tuple[int, int], last: int, per_s: float, timeout_s: float) -> int:
    """Look and print; Ctrl-C ends it with what was found so far. Returns the exit code."""
    try:
        endpoint = parse(url)
        if units[0] > units[1]:
            raise ValueError(f"--first {units[0]} is after --last {units[1]}; expected a first unit up to the last")
        if endpoint.is_bus and units[1] > 247:
            raise ValueError(f"--last {units[1]} is no unit on a bus; expected up to 247")
    except ValueError as error:
        Output(stderr=True).print(f"[red]{escape(str(error))}[/]")
        return 2
    console, errors = Output(), Output(stderr=True)
    found: dict[int, dict[Table, list[tuple[int, int]]]] = {}
    count = units[1] - units[0] + 1
    errors.print(f"units {units[0]} to {units[1]}: up to {count * max(timeout_s, 1 / per_s):.0f} s, then the ranges of each")
    at, broken = [f"unit {units[0]}"], False
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was found is worth as much as after Ctrl-C
    try:
        with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
            asyncio.run(_scan(endpoint, units, last, (1 / per_s, timeout_s), found, progress, at))
    except NotConnected as error:
        broken = True
        errors.print(f"[red]{escape(str(error))}[/]")
    except KeyboardInterrupt:
        errors.print(f"[yellow]stopped at {at[0]}: what comes after it was not looked at[/]")
    for unit, tables in found.items():
        console.print(f"[bold]unit {unit}[/] answers")
        for table, ranges in tables.items():
            text = ", ".join(f"{first}..{end}" if first != end else str(first) for first, end in ranges)
            console.print(f"  {table}: {text or 'nothing'}")
    if not found and not broken:  # who could not ask cannot say that
        console.print("no unit answered")
    elif example := next(((u, t, r[0]) for u, tables in found.items() for t, r in tables.items() if r), None):
        unit, table, (first, end) = example
        places = f"--unit {unit} --address {table}:{first} --count {min(4, end - first + 1)}"
        errors.print(f"next: gateway read {escape(url)} {places}")
    return 0 if found else 1


async def _scan(
    endpoint: Endpoint,
    units: tuple[int, int],
    last: int,
    pace: tuple[float, float],
    found: dict[int, dict[Table, list[tuple[int, int]]]],
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
