"""The sinks of a configuration: its entries of `sinks:`, or the one section that names a sink."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.ports.sink_plugin import SinkPlugin
from gateway.outbox.config import OutboxConfig
from gateway.outbox.sink_files import Assignment, SinkName, assign, read_files
from gateway.plugins import SINKS
from gateway.settings.source_files import KeyPath

_LEAST_BYTES: Final = 16 * 2**20
_LEAST_MEMORY: Final = 2**20
_OWN_KEYS: Final = ("max_age", "backlog_order", "backlog_messages", "backlog_bytes")


@dataclass(frozen=True, slots=True)
class ConfiguredSink:
    """One sink of a configuration."""

    name: str
    """Its name: as in `sinks:`, or that of its section."""
    plugin: SinkPlugin
    """Its kind."""
    config: Any
    """Its section or entry."""
    publish: Any
    """`publish:` as it holds for this sink."""
    outbox: OutboxConfig
    """`outbox:` as it holds for this sink, but for the path, which is that of all."""
    streams: frozenset[str]
    """The streams that it gets; empty for all."""
    is_listed: bool
    """It is an entry of `sinks:`."""
    begins_with_backlog: bool
    """When it is new, it begins with what waits for others."""
    was: str
    """The name that it had before; empty for none."""
    place: KeyPath
    """Where it stands in gateway.yaml."""
    own_keys: frozenset[str]
    """The keys of its own `publish:`."""

    def key(self, key: KeyPath) -> KeyPath:
        """Return where in gateway.yaml a key of `publish:` stands that holds for this sink."""
        if self.is_listed and key[:1] == ("publish",) and (len(key) == 1 or key[1] in self.own_keys):
            return (*self.place, *key)
        return key


def sinks_of(root: Any) -> tuple[ConfiguredSink, ...]:
    """Return the sinks of a root model, at least one, in the order of the file."""
    if not root.sinks:
        plugin = root.sink_plugin
        name = plugin.name
        section = getattr(root, name)
        return (
            ConfiguredSink(
                name, plugin, section, root.publish, root.outbox, frozenset(), False, False, "", (name,), frozenset()
            ),
        )
    shares = list(_shares(root, "max_bytes")), list(_shares(root, "memory"))
    return tuple(
        _listed(root, at, entry, max_bytes, memory)
        for at, (entry, max_bytes, memory) in enumerate(zip(root.sinks, *shares, strict=True))
    )


def assignment_of(root: Any) -> Assignment:
    """Return which file is whose. Reads the index of the files.

    Without one, the first file is that of the section; of the first kind of sink where there is a list now.
    """
    path, sinks = root.outbox.path, sinks_of(root)
    first = next(iter(SINKS)) if sinks[0].is_listed else sinks[0].name
    names = [SinkName(sink.name, sink.was, sink.begins_with_backlog) for sink in sinks]
    return assign(path, read_files(path, first), names)


def _listed(root: Any, at: int, entry: Any, max_bytes: int, memory: int) -> ConfiguredSink:
    given = {key: getattr(entry.publish, key) for key in entry.publish.model_fields_set}
    own = {key: value for key in _OWN_KEYS if (value := getattr(entry.outbox, key)) is not None}
    return ConfiguredSink(
        entry.name,
        SINKS[entry.kind],
        entry,
        root.publish.model_copy(update=given),
        root.outbox.model_copy(update={**own, "max_bytes": max_bytes, "memory": memory}),
        frozenset(entry.streams),
        True,
        entry.begin == "backlog",
        entry.was or "",
        ("sinks", at),
        frozenset(given),
    )


def _shares(root: Any, key: str) -> Iterator[int]:
    """Yield each sink's part of a ceiling of the outbox."""
    own = [getattr(entry.outbox, key) for entry in root.sinks]
    left = getattr(root.outbox, key) - sum(one for one in own if one is not None)
    without = sum(one is None for one in own)
    yield from (left // without if one is None else one for one in own)


def faults_of_sinks(root: Any) -> str:
    """Return the first thing that is wrong between several sinks, as a sentence part; empty where nothing is."""
    names = [entry.name for entry in root.sinks]
    for at, entry in enumerate(root.sinks):
        if entry.name in names[:at]:
            return f"sinks: {entry.name!r} is the name of two sinks; expected another name"
        if entry.was in names:
            return f"sinks: {entry.name} says was: {entry.was}, which is the name of a sink; expected one that is free"
        if entry.was and entry.was in [other.was for other in root.sinks[:at]]:
            return f"sinks: two sinks say was: {entry.was}; expected one of them"
        if entry.outbox.max_age is not None and entry.outbox.max_age > root.outbox.max_age:
            return f"sinks: outbox.max_age of {entry.name} is longer than outbox.max_age of all"
    for key, least, shown in (("max_bytes", _LEAST_BYTES, "16MiB"), ("memory", _LEAST_MEMORY, "1MiB")):
        if min(_shares(root, key), default=least) < least:
            return f"outbox.{key} is too small for {len(names)} sinks, each of which needs at least {shown}"
    return ""
