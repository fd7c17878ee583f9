"""The devices of a configuration one by one: taken out of it, and put together into another one."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.core.formula.tag import FormulaTag
from gateway.core.ports.plugin import DeviceEntry, Plugin
from gateway.core.tags import Tag, TagTable
from gateway.settings.model import Settings
from gateway.settings.publish_model import DevicePublish
from gateway.stages.config import TagPolicy

_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class DevicePart:
    """One device of a configuration. Two that are equal are read, evaluated and published in the same way."""

    plugin: Plugin
    """Its protocol."""
    entry: DeviceEntry
    """Its models, at place 0."""
    policies: tuple[TagPolicy, ...]
    """One for each of its tags."""
    publishing: DevicePublish
    """Its section `publish`."""
    tags: tuple[Tag, ...]
    """Its tags, with ids from 0."""
    formulas: tuple[FormulaTag, ...]
    """Those of them that are computed, by the same ids."""

    @property
    def name(self) -> str:
        """Return the device's name."""
        return str(self.entry.config.name)

    def definitions(self) -> list[tuple[Any, ...]]:
        """Return what each tag means: where it is read, limits, detectors, formula; equal for tags that mean the same."""
        formulas = {one.tag: (one.tree, [self.tags[o].name for o in one.operands]) for one in self.formulas}
        models = [*self.entry.tags, *[None] * (len(self.tags) - len(self.entry.tags))]
        return [
            (model, policy, replace(tag, id=0, interval_ns=0), formulas.get(tag.id))
            for model, policy, tag in zip(models, self.policies, self.tags, strict=True)
        ]


def device_parts(settings: Settings) -> dict[str, DevicePart]:
    """Return the devices of a configuration, by name."""
    table, parts = settings.table, {}
    formulas: dict[int, list[FormulaTag]] = {}
    for formula in settings.formulas:
        formulas.setdefault(table.tags[formula.tag].device, []).append(formula)
    for plugin, entry in zip(settings.plugins, settings.entries, strict=True):
        row, (first, end) = entry.number, table.range_of(entry.number)
        parts[table.devices[row]] = DevicePart(
            plugin,
            replace(entry, number=0, first_tag=0),
            settings.policies[first:end],
            settings.publishing[row],
            tuple(replace(tag, id=tag.id - first, device=0) for tag in table.tags[first:end]),
            tuple(_shifted(formula, -first) for formula in formulas.get(row, ())),
        )
    return parts


def with_devices(settings: Settings, parts: Sequence[DevicePart]) -> Settings:
    """Return the settings with these devices in place of their own; the hash is one of this composition."""
    entries, tags, policies, formulas = list[DeviceEntry](), list[Tag](), list[TagPolicy](), list[FormulaTag]()
    for row, part in enumerate(parts):
        first = len(tags)
        entries.append(replace(part.entry, number=row, first_tag=first))
        tags += [replace(tag, id=tag.id + first, device=row) for tag in part.tags]
        policies += part.policies
        formulas += [_shifted(formula, first) for formula in part.formulas]
    return replace(
        settings,
        plugins=tuple(part.plugin for part in parts),
        entries=tuple(entries),
        policies=tuple(policies),
        publishing=tuple(part.publishing for part in parts),
        table=TagTable(tuple(part.name for part in parts), tuple(tags)),
        formulas=tuple(formulas),
    )


def with_kept(settings: Settings, kept: Settings, names: Collection[str]) -> Settings:
    """Return the settings with the devices of these names as they are in `kept`; one that is not there is left out."""
    parts, before = device_parts(settings), device_parts(kept)
    chosen = [before[name] if name in names else part for name, part in parts.items() if name not in names or name in before]
    chosen += [part for name, part in before.items() if name in names and name not in parts]
    mixed = hashlib.sha256("\0".join((settings.hash, kept.hash, *sorted(names))).encode()).hexdigest()[:_DIGITS]
    return replace(with_devices(settings, chosen), hash=mixed)


def _shifted(formula: FormulaTag, by: int) -> FormulaTag:
    return replace(formula, tag=formula.tag + by, operands=tuple(tag + by for tag in formula.operands))
