"""The tag table, which gives a meaning to tag ids and device rows."""

from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from gateway.core.blocks import TagIds


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of the configuration."""

    id: int
    """Its row in the table."""
    device: int
    """Its device's row in the table."""
    name: str
    """Unique within its device."""
    unit: str = ""
    """Engineering unit."""
    single: bool = False
    """The source delivers float32, so numbers are published with float32's shortest digits."""
    interval_ns: int = 0
    """How often a sample is due; 0 where the device decides (subscriptions)."""
    logical: bool = False
    """It is a bit, 0 or 1."""
    range: tuple[float, float] | None = None
    """Lowest and highest value in normal operation, in `unit`."""
    published: bool = True
    """Its windows, summaries and values are sent; else it is only an operand of formulas, and may have alarms."""
    description: str = ""
    """What it measures, for people."""
    text: bool = False
    """It is no number."""


@dataclass(frozen=True, slots=True)
class TagTable:
    """All devices and tags of one configuration. A device's tags have consecutive ids; ids are dense from 0."""

    devices: tuple[str, ...]
    """Names of the devices, by row."""
    tags: tuple[Tag, ...]
    """The tags, by id."""
    _ranges: tuple[tuple[int, int], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        counts = [0] * len(self.devices)
        for expected, tag in enumerate(self.tags):
            if tag.id != expected or (expected and self.tags[expected - 1].device > tag.device):
                raise ValueError(f"tag {tag.name!r}: ids must be dense and grouped by device")
            counts[tag.device] += 1
        ends = list(accumulate(counts))
        object.__setattr__(self, "_ranges", tuple((end - n, end) for end, n in zip(ends, counts, strict=True)))

    def __len__(self) -> int:
        return len(self.tags)

    def range_of(self, device: int) -> tuple[int, int]:
        """Return the first tag id of a device and the id after its last; equal when it has no tags."""
        return self._ranges[device]

    def ids_of(self, device: int) -> TagIds:
        """Return a device's tag ids, uint32, ascending."""
        first, end = self._ranges[device]
        return np.arange(first, end, dtype=np.uint32)

    def label(self, tag: int) -> str:
        """Return `device/tag`, as people and topics write it."""
        return f"{self.devices[self.tags[tag].device]}/{self.tags[tag].name}"
