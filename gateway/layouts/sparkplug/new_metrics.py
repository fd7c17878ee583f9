"""Makes the metrics of devices, each with an alias of its own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from gateway.core.tags import Tag, TagTable
from gateway.layouts.sparkplug.metrics import SUMMARY_FIELDS, DeviceMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMetrics:
    """What the metrics of all devices of a node have in common."""

    aliases: "count[int]"
    """Gives aliases, from any thread."""
    statistics: bool
    """Statistics of windows are properties of their metrics."""
    structures: bool
    """Structures are sent as templates and data sets."""
    summaries: bool
    """Summaries have metrics."""
    summary_fields: Sequence[str]
    """What summaries have of each tag."""

    @classmethod
    def of(cls, config: Any, *, structures: bool) -> "NewMetrics":
        """Return what the section `publish` says. structures: they are sent as templates and data sets."""
        fields = [what for what in SUMMARY_FIELDS if what in ("n", *config.statistics)]
        return cls(
            aliases=count(1),
            statistics=config.sparkplug.statistics,
            structures=structures,
            summaries=config.summaries,
            summary_fields=fields,
        )

    def of_device(self, name: str, tags: Sequence[Tag] = ()) -> DeviceMetrics:
        """Return the metrics of a device's tags."""
        metrics = DeviceMetrics(
            name,
            self.aliases,
            statistics=self.statistics,
            structures=self.structures,
            summary_fields=self.summary_fields,
        )
        metrics.prefill(tags, summaries=self.summaries)
        return metrics

    def of_table(self, table: TagTable, names: Collection[str]) -> dict[str, DeviceMetrics]:
        """Return the metrics of some devices of a table, by name."""
        rows = [(row, name) for row, name in enumerate(table.devices) if name in names]
        return {name: self.of_device(name, table.tags[slice(*table.range_of(row))]) for row, name in rows}
