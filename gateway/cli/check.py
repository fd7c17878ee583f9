"""`gateway check`: check the configuration without a connection to any device."""

import os
from pathlib import Path

from rich.table import Table
from rich.text import Text

from gateway.cli.outbox_locations import configured
from gateway.cli.output import Output, listing, waiting_for
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.errors import ConfigError
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.core.plural import counted
from gateway.core.ports.layout_plugin import LayoutScope
from gateway.core.ports.plugin import TagFiles
from gateway.outbox.disk_room import storage_faults
from gateway.plugins import LAYOUTS
from gateway.settings import Settings, load

_ENVIRONMENT_FILE = "environment"
"""The EnvironmentFile of the systemd unit, which lies beside the configuration."""


def check_config(folder: Path) -> int:
    """Print what would be read and published, or every problem. Returns the exit code."""
    try:
        with waiting_for(f"reading {folder}"):
            settings = load(folder)
        if missing := settings.missing_secrets():
            raise ConfigError(missing)
    except ConfigError as error:
        print_problems(error, folder)
        if os.path.exists(folder / _ENVIRONMENT_FILE) and not any(name.startswith("GATEWAY__") for name in os.environ):
            path = folder / _ENVIRONMENT_FILE
            Output(stderr=True).print(f"{path} is read by the service alone; here: --environment {path} (as root)")
        return EXIT_CONFIG
    console = Output()
    console.print_unfolded(_devices(settings))
    _print_reads(console, settings)
    _print_publishes(console, settings)
    storage = [f"outbox.path: {fault}" for fault in storage_faults(settings.root.outbox.path)]
    storage += [
        f"sinks: {one.sink} is configured no more: what waits for it in {one.file} is dropped at the next start; a sink "
        f"that says was: {one.sink} takes it over"
        for one in configured(settings)
        if one.is_removed
    ]
    for warning in (*settings.warnings, *storage):
        console.print(Text.assemble(("warning:", "yellow"), f" {clean(warning, LONGEST_TEXT)}"))
    count = len(settings.warnings) + len(storage)
    about = f"{counted(count, 'warning')}, " if count else ""
    console.print(Text.assemble((f"{folder} can be used", "bold green"), f" ({about}configuration {settings.hash})"))
    return 0


def _devices(settings: Settings) -> Table:
    numbers = ("tags", "limits", "detectors")
    table = listing("device", "protocol", "connection", *numbers, right=numbers)
    for plugin, entry in zip(settings.plugins, settings.entries, strict=True):
        policies = settings.policies[slice(*settings.table.range_of(entry.number))]
        limits = sum(any(v is not None for v in (p.hihi, p.hi, p.lo, p.lolo)) for p in policies)
        detectors = sum(bool(p.anomaly) for p in policies)
        counts = map(str, (len(policies), limits, detectors))
        table.add_row(entry.config.name, plugin.name, entry.config.url, *counts)
    return table


def _print_reads(console: Output, settings: Settings) -> None:
    console.print("\nWould read", style="bold")
    for plugin, entries in settings.by_plugin():
        for line in plugin.describe(entries):
            console.print(f"  {line}")
        if isinstance(plugin, TagFiles):
            for entry in entries:
                for reason in plugin.left_out(entry.config):
                    console.print(f"  {entry.config.name}: left out: {clean(reason, LONGEST_TEXT)}", markup=False)


def _print_publishes(console: Output, settings: Settings) -> None:
    root = settings.root
    for sink, scope in zip(root.all_sinks, settings.layout_scopes, strict=True):
        place = sink.plugin.describe(sink.config)
        console.print(
            Text.assemble(("\nWould publish", "bold"), f" to {f'{sink.name}, {place}' if sink.is_listed else place}")
        )
        if sink.streams:
            console.print(f"  only {', '.join(sorted(sink.streams))}, and its own loss records")
        _print_topics(console, scope)
    console.print("")
    if not root.all_sinks[0].is_listed:
        kept = f" in {root.outbox.path} what the broker does not have yet\n"
        console.print(Text.assemble(("Would keep", "bold"), kept))
        return
    console.print(Text.assemble(("Would keep", "bold"), " what sinks do not have yet"))
    for location in configured(settings):
        console.print(f"  {location.title}", markup=False)
    console.print("")


def _print_topics(console: Output, scope: LayoutScope) -> None:
    default = LAYOUTS[scope.config.layout]
    before, after = default.describe(scope)
    lines = [*before]
    for number, device in enumerate(scope.devices):
        plugin = LAYOUTS[device.own.over(scope.config).layout] if scope.is_per_device else default
        lines += plugin.describe_device(scope, number)
    for line in (*lines, *after):
        console.print(f"  {line}")
