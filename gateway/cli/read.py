"""`gateway read`: one test read, of tags as configured or by address."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.cli.interrupt import run_async
from gateway.cli.reports import plugin_for_device, plugin_for_url, run_command
from gateway.core.errors import UsageError
from gateway.core.nearest import nearest
from gateway.core.ports.device_tools import Options, Readable
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.report import Report

_MOST_MISSING: Final = 10
"""For so many wrong names others are suggested."""


def read_url(url: str, names: Sequence[str], options: Options) -> int:
    """Read from a device that is not configured; returns the exit code."""
    return run_command(lambda: run_async(plugin_for_url(url, Readable, "read").read_url(url, names, options)))


def read_tags(folder: Path, device: str, names: Sequence[str], timeout_s: float | None) -> int:
    """Read tags of a configured device, all without names; returns the exit code."""

    def read() -> Report:
        plugin, entry = plugin_for_device(folder, device, Readable, "read")
        return run_async(plugin.read_tags(entry.config, _choose_tags(entry, names), timeout_s))

    return run_command(read, folder)


def _choose_tags(entry: DeviceEntry, names: Sequence[str]) -> Sequence[object]:
    if missing := sorted(set(names) - {tag.name for tag in entry.tags}):
        known = [tag.name for tag in entry.tags]
        close = sorted({near for name in missing[:_MOST_MISSING] if (near := nearest(name, known))})
        hint = f"; there is {', '.join(close)}" if close else ""
        raise UsageError(f"{entry.config.name} has no tag {', '.join(missing)}{hint}")
    return [tag for tag in entry.tags if not names or tag.name in names]
