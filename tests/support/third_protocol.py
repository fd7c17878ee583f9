"""A protocol that exists only in the tests: what a new folder below `gateway/sources` would hold.

`python -m tests.support.third_protocol run ...` is the gateway with one more line in `plugins.py`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.clock import Clock
from gateway.core.config_types import DeviceModel, TagModel
from gateway.core.messages import DeviceState
from gateway.core.ports.device_tools import Options
from gateway.core.ports.plugin import DeviceEntry, Fault, SourceServices, TagTraits
from gateway.core.ports.source import Reading, Source
from gateway.core.quality import Quality
from gateway.core.report import Report, Table


class FieldbusDevice(DeviceModel):
    """A device of the third protocol."""

    protocol: Literal["fieldbus"] = "fieldbus"
    url: str


class FieldbusTag(TagModel):
    """A slot of a device: its value is its number."""

    slot: int


class FieldbusSource:
    """One device. Every 50 ms each tag has a sample: the number of its slot."""

    def __init__(self, entry: DeviceEntry, clock: Clock) -> None:
        self.devices = (entry.number,)
        self._entry = entry
        self._clock = clock
        self._is_new = True

    async def open(self) -> None:
        self._is_new = True

    async def read(self) -> Reading:
        if self._is_new:
            self._is_new = False
            return DeviceState(self._entry.number, "ok")
        await self._clock.sleep(0.05)
        tags = np.arange(len(self._entry.tags), dtype=np.uint32) + np.uint32(self._entry.first_tag)
        return SampleBlock(
            tags,
            np.full(tags.size, self._clock.now_ns()),
            np.array([tag.slot for tag in self._entry.tags], np.float64),
            np.full(tags.size, Quality.GOOD, np.uint8),
        )

    def stats(self) -> Mapping[int, Mapping[str, float | str]]:
        return {self._entry.number: {"frames": 1}}

    async def close(self) -> None:
        pass


class FieldbusPlugin:
    """The third protocol with nothing that is not required."""

    name = "fieldbus"
    title = "Fieldbus"
    url_schemes = ("fieldbus",)
    device_model = FieldbusDevice
    tag_model = FieldbusTag

    def check(self, device: FieldbusDevice, tag: FieldbusTag) -> Fault | None:
        return Fault("slot", f"{tag.slot} is no slot", "0 or more") if tag.slot < 0 else None

    def traits(self, device: FieldbusDevice, tag: FieldbusTag) -> TagTraits:
        return TagTraits(interval_ns=50_000_000)

    def describe(self, entries: Sequence[DeviceEntry]) -> Sequence[str]:
        return [f"{entry.config.name}: {len(entry.tags)} slots of {entry.config.url}" for entry in entries]

    def build(self, entries: Sequence[DeviceEntry], services: SourceServices) -> Sequence[Source]:
        return [FieldbusSource(entry, services.clock) for entry in entries]


class FieldbusWithTools(FieldbusPlugin):
    """The third protocol with the capabilities of `gateway read` and `gateway plan`."""

    async def read_tags(self, device: FieldbusDevice, tags: Sequence[FieldbusTag], timeout_s: float | None) -> Report:
        await asyncio.sleep(0)
        return Report([Table(("tag", "value"), [(tag.name, str(tag.slot)) for tag in tags], title=device.url)])

    async def read_url(self, url: str, names: Sequence[str], options: Options) -> Report:
        return Report([f"{url}: slot {name}" for name in names])

    def plan(self, entries: Sequence[DeviceEntry], answer_s: float) -> Report:
        return Report([f"{entry.config.name}: one frame for {len(entry.tags)} slots" for entry in entries])


DEVICE_FILE = "protocol: fieldbus\nurl: fieldbus://crane\ntags:\n  - {name: hook, slot: 7}\n  - {name: load, slot: 11}\n"


def main(argv: Sequence[str] | None = None) -> Any:
    from gateway.cli.main import app
    from gateway.plugins import SOURCES

    SOURCES["fieldbus"] = FieldbusPlugin()
    return app(argv)


if __name__ == "__main__":
    main()
