"""`gateway read`: one test read, of tags as configured or by address."""

import asyncio
import difflib
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.reports import answer, of_device, of_url
from gateway.core.errors import UsageError
from gateway.core.ports.device_tools import Options, Readable
from gateway.core.ports.plugin import DeviceEntry
from gateway.core.report import Report


def read_url(url: str, names: Sequence[str], options: Options) -> int:
    """Read from a device that is not configured; returns the exit code."""
    return answer(lambda: asyncio.run(of_url(url, Readable, "read").read_url(url, names, options)))


def read_tags(folder: Path, device: str, names: Sequence[str], timeout_s: float | None) -> int:
    """Read tags of a configured device, all without names; returns the exit code."""

    def read() -> Report:
        plugin, entry = of_device(folder, device, Readable, "read")
        return asyncio.run(plugin.read_tags(entry.config, _chosen(entry, names), timeout_s))

    return answer(read, folder)


def _chosen(entry: DeviceEntry, names: Sequence[str]) -> Sequence[object]:
    if missing := sorted(set(names) - {tag.name for tag in entry.tags}):
        known = [tag.name for tag in entry.tags]
        close = sorted({near for name in missing for near in difflib.get_close_matches(name, known, 1)})
        hint = f"; there is {', '.join(close)}" if close else ""
        raise UsageError(f"{entry.config.name} has no tag {', '.join(missing)}{hint}")
    return [tag for tag in entry.tags if not names or tag.name in names]
