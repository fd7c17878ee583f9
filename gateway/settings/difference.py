"""What differs between two configurations, for the gateway that changes from one to the other and for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.plural import counted
from gateway.settings.device_parts import DevicePart, device_parts
from gateway.settings.model import Root, Settings

WHILE_RUNNING: Final = ("alarms", "defaults", "reload")
"""Sections of `gateway.yaml` that a running gateway takes; what they say of tags is a change of their devices."""
_MOST_NAMED: Final = 3
MOST_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """The way from one configuration to another."""

    added: tuple[str, ...]
    """Devices that are new."""
    removed: tuple[str, ...]
    """Devices that are gone."""
    changed: tuple[str, ...]
    """Devices that are in both, and differ."""
    same: frozenset[str]
    """Devices that stay as they are."""
    root: tuple[str, ...]
    """Sections of `gateway.yaml` that differ and that no running gateway takes."""
    lines: tuple[str, ...]
    """The same in words."""
    alike: tuple[tuple[int, int], ...]
    """Ids before and after of tags of changed devices that mean the same."""

    @property
    def is_nothing(self) -> bool:
        """Return whether the two configurations do the same."""
        return not (self.added or self.removed or self.changed or self.root)

    @property
    def some_lines(self) -> list[str]:
        """Return the first lines, and how many more there are."""
        more = len(self.lines) - MOST_LINES + 1
        return [*self.lines] if more <= 1 else [*self.lines[: MOST_LINES - 1], f"and {more} more"]


def difference(before: Settings, after: Settings) -> Difference:
    """Compare two configurations. Takes about a microsecond for each tag."""
    old, new = device_parts(before), device_parts(after)
    added = tuple(name for name in new if name not in old)
    removed = tuple(name for name in old if name not in new)
    changed = tuple(name for name in new if name in old and new[name] != old[name])
    root = tuple(
        key
        for key in Root.model_fields
        if key not in WHILE_RUNNING and getattr(before.root, key) != getattr(after.root, key)
    )
    lines = [f"gateway.yaml: {key} differs: needs a restart" for key in root]
    lines += [f"{name} is new: {counted(len(new[name].tags), 'tag')}" for name in added]
    lines += [f"{name} is removed" for name in removed]
    lines += [f"{name} is changed: {', '.join(_changes(old[name], new[name]))}" for name in changed]
    alike = [pair for name in changed for pair in _alike(before, after, old[name], new[name])]
    return Difference(added, removed, changed, frozenset(new) - {*added, *changed}, root, tuple(lines), tuple(alike))


def _changes(old: DevicePart, new: DevicePart) -> list[str]:
    """Return what differs between two forms of a device: its keys by name, without values, and its tags."""
    keys = {*_fields(old.entry.config), *_fields(new.entry.config)}
    words = sorted(k for k in keys if getattr(old.entry.config, k, None) != getattr(new.entry.config, k, None))
    if old.plugin.name != new.plugin.name:
        words = ["protocol"]
    if old.publishing != new.publishing:
        words.append("publish")
    before = {tag.name: place for place, tag in enumerate(old.tags)}
    after = {tag.name: place for place, tag in enumerate(new.tags)}
    both = [name for name in after if name in before]
    was, now = old.definitions(), new.definitions()
    if words == ["protocol"]:
        both = []
    for what, names in (
        ("new", [name for name in after if name not in before]),
        ("gone", [name for name in before if name not in after]),
        ("changed", [name for name in both if was[before[name]] != now[after[name]]]),
    ):
        if names:
            shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
            words.append(f"{counted(len(names), 'tag')} {what} ({shown})")
    return words or ["the order of its tags, or how they are sent"]


def _fields(model: Any) -> Sequence[str]:
    return list(type(model).model_fields)


def _alike(before: Settings, after: Settings, old: DevicePart, new: DevicePart) -> list[tuple[int, int]]:
    """Return the ids of tags that mean the same in both forms of a device."""
    places = {tag.name: place for place, tag in enumerate(new.tags)}
    was, now = old.definitions(), new.definitions()
    first, _ = before.table.range_of(before.table.devices.index(old.name))
    begin, _ = after.table.range_of(after.table.devices.index(new.name))
    return [
        (first + place, begin + places[tag.name])
        for place, tag in enumerate(old.tags)
        if tag.name in places and was[place] == now[places[tag.name]]
    ]
