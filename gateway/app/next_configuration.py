"""What a reload is about to put in the place of the parts that run; made on a thread, before anything is changed."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.app.layout import window_styles
from gateway.core.config_types import existing_files, trust_files
from gateway.core.ports.plugin import DeviceEntry, SharesConnections, SourceServices
from gateway.core.ports.source import Source
from gateway.core.tag_move import TagMove
from gateway.encoding.encoder import Encoder
from gateway.encoding.topics import Topics
from gateway.settings import Settings
from gateway.settings.difference import Difference, difference
from gateway.stages.stage_chain import StageChain


@dataclass(frozen=True, slots=True)
class NextConfiguration:
    """Everything that takes long to build."""

    settings: Settings
    """What runs from now on."""
    difference: Difference
    """What differs from before."""
    move: TagMove
    """The way of its tags and devices."""
    layouts: Sequence[Callable[[], None]]
    """What has the layout of each sink go over to it."""
    stages: StageChain
    """New stages, without any value."""
    encoder: Encoder
    """New tables for the encoder."""
    sources: tuple[Source, ...]
    """New sources of the devices that are connected anew."""
    reconnected: frozenset[str]
    """These devices: those that differ, and those that share their connections."""
    trust_places: tuple[Path, ...]
    """The files and folders that say which peers are trusted."""


def prepare(
    before: Settings,
    after: Settings,
    boot: str,
    build: Callable[[Settings], StageChain],
    layouts: Callable[[Settings, Collection[str]], Sequence[Callable[[], None]]],
    services: SourceServices,
) -> NextConfiguration:
    """Build what is needed to go from one configuration to another. Blocks for a microsecond or two for each tag.

    build: returns stages for a configuration. layouts: returns what has layouts go over to it, with these devices.
    """
    found = difference(before, after)
    names = reconnected(before, after, found)
    topics = Topics.of(after.root.topic_root, after.root.name, after.table.devices)
    return NextConfiguration(
        after,
        found,
        TagMove.between(before.table, after.table, found.same, found.alike),
        layouts(after, {*found.added, *found.changed}),
        build(after),
        Encoder(topics, after.table, boot, window_styles(after.layout_scopes)),
        tuple(build_sources(after, names, services)),
        names,
        trust_places(after),
    )


def build_sources(settings: Settings, names: frozenset[str] | None, services: SourceServices) -> Iterator[Source]:
    """Yield the sources of some devices, or of all."""
    for plugin, entries in settings.by_plugin():
        own = [entry for entry in entries if names is None or entry.config.name in names]
        if own:
            yield from plugin.build(own, services)


def reconnected(before: Settings, after: Settings, found: Difference) -> frozenset[str]:
    """Return the devices of the new configuration that are connected anew.

    These are the ones that differ, and those that share a connection, before or after, with one that differs or is gone.
    """
    old, new = connections(before), connections(after)
    dirty = {*found.added, *found.changed, *found.removed}
    touched = {old[name] for name in dirty if name in old} | {new[name] for name in dirty if name in new}
    return frozenset(name for name in new if name in dirty or new[name] in touched)


def connections(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return protocol and connection of each device; equal for those that share one."""

    def connection(place: int, entry: DeviceEntry) -> str:
        plugin = settings.plugins[place]
        return plugin.connection(entry.config) if isinstance(plugin, SharesConnections) else f"device {entry.config.name}"

    return {
        entry.config.name: (settings.plugins[place].name, connection(place, entry))
        for place, entry in enumerate(settings.entries)
    }


def trust_places(settings: Settings) -> tuple[Path, ...]:
    """Return the files and folders that say which peers are trusted, of all devices and sinks."""
    sinks = [place for sink in settings.root.all_sinks for place in trust_files(existing_files(sink.config))]
    devices = [place for entry in settings.entries for place in entry.config.trust_places()]
    return (*sinks, *devices)
