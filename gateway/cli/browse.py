"""`gateway discover` and `gateway browse`: list the endpoints and nodes of servers."""

from pathlib import Path

from gateway.cli.interrupt import run_async
from gateway.cli.reports import plugin_for_device, plugin_for_url, progress, run_command
from gateway.core.clock import SystemClock
from gateway.core.ports.device_tools import Browsable, Discoverable, Options
from gateway.core.ports.plugin import TagDiscoverable
from gateway.core.report import Note, Report


def discover(url: str) -> int:
    """Print which ways there are to connect to a server; returns the exit code."""
    return run_command(lambda: run_async(plugin_for_url(url, Discoverable, "discovered").discover(url)))


def browse(url: str, options: Options) -> int:
    """Print what a server has; returns the exit code."""

    def walk() -> Report:
        plugin = plugin_for_url(url, Browsable, "browsed")
        with progress() as bars:
            return run_async(plugin.browse(url, options, bars))

    return run_command(walk)


def discover_tags(folder: Path, name: str) -> int:
    """Ask a configured device for its tags and print what has changed; returns the exit code."""

    def discover_configured() -> Report:
        plugin, entry = plugin_for_device(folder, name, TagDiscoverable, "browsed")
        change = run_async(plugin.discover_tags(entry.config, entry.tags, SystemClock()))
        left_out = [Note(f"{name}: left out: {reason}") for reason in plugin.left_out(entry.config)]
        if change is None:
            return Report([f"{name}: nothing has changed", *left_out])
        counts = f"{len(change.added)} new, {len(change.removed)} gone, {len(change.altered)} altered"
        more = "; there are more than most: allows" if change.cut else ""
        place = plugin.found_tags_path(entry.config) or plugin.metadata_path(entry.config)
        return Report([f"{name}: {counts}{more}; in {place}, taken at the next start of the gateway", *left_out])

    return run_command(discover_configured, folder)
