"""What a benchmark hands back, and the table and file that all of them end in."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `on`: what it was measured on; `aim`: what the project wants, for the reader only."""

    name: str
    value: float
    unit: str
    on: str
    aim: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """A group of figures that are measured together."""

    names: tuple[str, ...]
    run: Callable[[], Iterable[Figure]]


def machine() -> str:
    """Processor, cores and Python, as one line."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next(
            (x.split(":", 1)[1].strip() for x in cpuinfo.read_text().splitlines() if x.startswith("model name")), model
        )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit or 'unknown'}"


def publish(figures: list[Figure], path: Path) -> None:
    """Print the table and write the JSON list; figures of an earlier run that were not measured now stay in the file."""
    on = machine()
    table = Table(title=on, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for heading in ("unit", "aim", "measured on"):
        table.add_column(heading, overflow="fold")
    for f in figures:
        table.add_row(f.name, f"{f.value:,.4g}" if abs(f.value) < 1e4 else f"{f.value:,.0f}", f.unit, f.aim, f.on)
    Console(width=None if os.isatty(1) else 140).print(table)
    path.parent.mkdir(exist_ok=True)
    old = json.loads(path.read_text()) if path.exists() else []
    new = [{k: v for k, v in asdict(f).items() if k != "aim"} | {"on": f"{f.on}; {on}"} for f in figures]
    names = {f.name for f in figures}
    path.write_text(json.dumps([*(o for o in old if o["name"] not in names), *new], indent=1) + "\n")
