"""`gateway plan`: the requests that will be sent, their fill, and the load of each connection."""

from pathlib import Path

from gateway.cli.needed import load_needed
from gateway.cli.output import waiting_for
from gateway.cli.reports import missing_capability, run_command
from gateway.core.errors import UsageError
from gateway.core.ports.device_tools import Plannable
from gateway.core.report import Item, Report
from gateway.settings import Settings


def print_plan(folder: Path, answer_s: float) -> int:
    """Print the plan of every connection of a protocol that plans its requests; returns the exit code."""

    def plan() -> Report:
        with waiting_for(f"reading {folder}"):
            settings = load_needed(folder)
        return _build_plan(settings, answer_s)

    return run_command(plan, folder)


def _build_plan(settings: Settings, answer_s: float) -> Report:
    items: list[Item] = []
    for plugin, entries in settings.by_plugin():
        if isinstance(plugin, Plannable):
            items += plugin.plan(entries, answer_s).items
    if not items:
        raise UsageError("\n".join(missing_capability(plugin, Plannable, "planned") for plugin, _ in settings.by_plugin()))
    return Report(items)
