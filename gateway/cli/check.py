"""`gateway check`: the configuration, judged without touching a device."""

import os
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from gateway.cli.output import Output, listing, waiting_for
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.errors import ConfigError
from gateway.core.plural import counted
from gateway.encoding.config import LayoutConfig
from gateway.encoding.topics import Topics
from gateway.layouts.sparkplug.host import NAMESPACE
from gateway.layouts.tag.layout import TagTopics
from gateway.settings import Settings, load

_SECRETS = "environment"
"""The unit's EnvironmentFile beside the configuration."""


def check_config(folder: Path) -> int:
    """Print what would be read and published, or every problem; returns the exit code."""
    try:
        with waiting_for(f"reading {escape(str(folder))}"):
            settings = load(folder)
    except ConfigError as error:
        print_problems(error, folder)
        if os.path.exists(folder / _SECRETS) and not any(name.startswith("GATEWAY__") for name in os.environ):
            path = escape(str(folder / _SECRETS))
            Output(stderr=True).print(f"{path} is read by the service alone; here: set -a; . {path}; set +a (as root)")
        return EXIT_CONFIG
    console = Output()
    console.whole(_devices(settings))
    _print_reads(console, settings)
    _print_publishes(console, settings)
    for warning in settings.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")
    where, about = escape(str(folder)), f"{counted(len(settings.warnings), 'warning')}, " if settings.warnings else ""
    console.print(f"[bold green]{where} can be used[/] ({about}configuration {settings.hash})")
    return 0


def _devices(settings: Settings) -> Table:
    numbers = ("tags", "limits", "detectors")
    table = listing("device", "protocol", "connection", *numbers, right=numbers)
    for plugin, entry in zip(settings.plugins, settings.entries, strict=True):
        policies = settings.policies[entry.first_tag : entry.first_tag + len(entry.tags)]
        limits = sum(any(v is not None for v in (p.hihi, p.hi, p.lo, p.lolo)) for p in policies)
        detectors = sum(bool(p.anomaly) for p in policies)
        name = escape(entry.config.name)
        table.add_row(name, plugin.name, escape(entry.config.url), *map(str, (len(entry.tags), limits, detectors)))
    return table


def _print_reads(console: Output, settings: Settings) -> None:
    console.print("\n[bold]Would read[/]")
    for plugin, entries in settings.by_plugin():
        for line in plugin.describe(entries):
            console.print(f"  {escape(line)}")


def _print_publishes(console: Output, settings: Settings) -> None:
    root = settings.root
    topics = Topics.of(root.mqtt.root, root.name, settings.table.devices)
    length = f"{root.window.length / 1e9:g} s"
    how = "when something changes" if root.publish.windows == "changed" else "always"
    console.print(f"\n[bold]Would publish[/] to {escape(', '.join(map(str, root.mqtt.addresses)))}")
    if root.publish.layout == "sparkplug":
        _print_sparkplug(console, settings)
    else:
        _print_contract(console, settings, topics, f"windows of {length}, {how}")
    console.print(f"[bold]Would keep[/] in {escape(str(root.outbox.path))} what the broker does not have yet\n")


def _print_contract(console: Output, settings: Settings, topics: Topics, windows: str) -> None:
    root = settings.root
    console.print(f"  {escape(topics.status)}  (retained)")
    for device, own in enumerate(settings.publishing):
        config = own.over(root.publish)
        _print_numbers(console, settings, config, topics, windows, device)
        console.print(f"  {escape(topics.event(device))}  (at once)")
        console.print(f"  {escape(topics.stats(device))}  (counters, every {root.publish.stats / 1e9:g} s)")
    console.print(f"  {escape(topics.event(None))}  (losses, clock jumps, unclean stops)")
    console.print(f"  {escape(topics.stats(None))}  (deliveries, certificates, every {root.publish.stats / 1e9:g} s)\n")


def _print_numbers(
    console: Output, settings: Settings, config: LayoutConfig, topics: Topics, windows: str, device: int
) -> None:
    summaries, form = settings.root.publish.summaries, "" if config.format == "json" else f", {config.format}"
    if config.layout == "tag":
        own, (first, end) = TagTopics.of(config, topics, device), settings.table.range_of(device)
        example = settings.table.tags[first].name
        more = f" and {end - first - 1} more" if end - first > 1 else ""
        kept = ", retained" if config.retain else ""
        console.print(f"  {escape(own.topic(example))}{more}  ({windows}; text and structures{form}{kept})")
        below = "/event (at once)" + (", /summary (every minute)" if summaries else "")
        console.print(f"    and below each of them {below}")
        return
    console.print(f"  {escape(topics.window(device))}  ({windows}{form})")
    if summaries:
        console.print(f"  {escape(topics.summary(device))}  (every minute{form})")
    console.print(f"  {escape(topics.value(device))}  (text and structures, when they change{form})")


def _print_sparkplug(console: Output, settings: Settings) -> None:
    root, own = settings.root, settings.root.publish.sparkplug
    group = own.group or root.mqtt.root
    console.print(f"  {escape(f'{NAMESPACE}/{group}/NBIRTH/{root.name}')}  (and NDATA with events and counters, NDEATH)")
    for name in settings.table.devices:
        console.print(f"  {escape(f'{NAMESPACE}/{group}/DBIRTH/{root.name}/{name}')}  (and DDATA, DDEATH)")
    if own.host:
        console.print(f"  while {escape(f'{NAMESPACE}/STATE/{own.host}')} says online, and store it while not")
    console.print("")
