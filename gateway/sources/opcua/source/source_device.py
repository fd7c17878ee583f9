"""The constant part of a source: the device, its tags and their items."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.clock import Clock
from gateway.core.ports.plugin import DeviceEntry
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.decode import TagColumns
from gateway.sources.opcua.source.intervals import Intervals
from gateway.sources.opcua.source.item_map import ItemMap


@dataclass(frozen=True, slots=True, eq=False)
class SourceDevice:
    """One device as configured, in the forms that the parts of its source need."""

    number: int
    """Row among the table's devices."""
    config: OpcUaDevice
    tags: Sequence[OpcUaTag]
    columns: TagColumns
    """The tags' scales and offsets."""
    item_map: ItemMap
    """Monitored items of the tags."""
    held_s: float
    """How long at most a sample that was handed on may be lost with the process, seconds."""
    clock: Clock
    intervals: Intervals

    @classmethod
    def of(cls, entry: DeviceEntry, clock: Clock, intervals: Intervals) -> "SourceDevice":
        """Return the device of an entry of the tag table."""
        columns, items = TagColumns.of(entry.first_tag, entry.tags), ItemMap(entry.config, entry.tags)
        return cls(entry.number, entry.config, entry.tags, columns, items, entry.held_ns / 1e9, clock, intervals)

    @property
    def name(self) -> str:
        """Return the device's name, for logs."""
        return self.config.name

    @property
    def items(self) -> Sequence[Item]:
        """Return the items, in the order of their rows."""
        return self.item_map.items

    @property
    def is_subscribed(self) -> bool:
        """Return whether values come by a subscription, not by polled reads."""
        return self.config.mode == "subscribe"

    @property
    def publishing_s(self) -> float:
        """Return the longest publishing interval of all items, seconds."""
        return max((item.publishing_ns for item in self.items), default=0) / 1e9
