"""What the rest of the gateway may know of Modbus."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.core.plural import counted
from gateway.core.ports.device_tools import Draft, Options, Progress
from gateway.core.ports.plugin import DeviceEntry, Fault, FaultAt, SourceServices, TagTraits
from gateway.core.ports.source import Source
from gateway.core.report import Report
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.endpoint import SCHEMES
from gateway.sources.modbus.overlaps import overlaps
from gateway.sources.modbus.plan import check_devices, check_tag, check_tags, interval_ns, plan_device
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.tools.bus_load import plan_report

if TYPE_CHECKING:
    from gateway.sources.modbus.tools.scan import ModbusScan

_GOLDEN_RATIO: Final = 0.618034
"""Its multiples modulo 1 spread any number of connections evenly over the first second."""


class ModbusPlugin:
    """Modbus as a protocol of the gateway (`core/ports/plugin`)."""

    name = "modbus"
    title = "Modbus"
    url_schemes = SCHEMES
    device_model = ModbusDevice
    tag_model = ModbusTag

    def check(self, device: ModbusDevice, tag: ModbusTag) -> Fault | None:
        """Return why no request of this device can carry the tag."""
        return check_tag(device, tag)

    def check_tags(self, device: ModbusDevice, tags: Sequence[ModbusTag]) -> Sequence[FaultAt]:
        """Return which masks of a device share a bit."""
        return check_tags(device, tags)

    def tag_warnings(self, device: ModbusDevice, tags: Sequence[ModbusTag]) -> Sequence[tuple[int, int, str]]:
        """Return which tags of a device read the same registers in different ways."""
        return overlaps(device, tags)

    def check_devices(self, devices: Sequence[ModbusDevice]) -> Sequence[FaultAt]:
        """Return which devices reach one line or server in different ways."""
        return check_devices(devices)

    def traits(self, device: ModbusDevice, tag: ModbusTag) -> TagTraits:
        """Return what the tag's type says of its values."""
        return TagTraits(
            # an offset may need more digits than a float32 has: 1e9 + 0.25
            is_float32=tag.value_type == "float32" and tag.offset == 0,
            is_logical=tag.is_logical and not tag.labels,
            is_text=tag.is_text,
            interval_ns=interval_ns(device, tag),
        )

    def describe(self, entries: Sequence[DeviceEntry]) -> list[str]:
        """Return one line for each request."""
        return [
            f"{entry.config.name}: unit {entry.config.unit} at {entry.config.url}, "
            f"{request.table} {request.start}..{request.start + request.count - 1}, "
            f"{counted(len(request.spans), 'tag')}, every {interval / 1e9:g}s"
            for entry in entries
            for interval, request in plan_device(entry.config, entry.tags)
        ]

    def build(self, entries: Sequence[DeviceEntry], services: SourceServices) -> list[Source]:
        """Return one source for each URL; units behind one URL share a connection."""
        from gateway.sources.modbus.client import ModbusLink
        from gateway.sources.modbus.source import ModbusSource

        link = partial(ModbusLink, watch=services.watch)
        connections: dict[str, list[DeviceEntry]] = {}
        for entry in entries:
            connections.setdefault(self.connection(entry.config), []).append(entry)
        return [
            ModbusSource(group, services.clock, link, phase=place * _GOLDEN_RATIO % 1)
            for place, group in enumerate(connections.values())
        ]

    def connection(self, device: ModbusDevice) -> str:
        """Return the URL: units behind one URL share a connection."""
        return device.url

    def plan(self, entries: Sequence[DeviceEntry], answer_s: float) -> Report:
        """Return the requests of each connection and how busy it will be."""
        return plan_report(entries, answer_s)

    async def read_tags(self, device: ModbusDevice, tags: Sequence[ModbusTag], timeout_s: float | None) -> Report:
        """Read each tag with a request of its own; at the device's backup where nobody answers at its url."""
        from gateway.sources.modbus.tools.read import read_tags

        return await read_tags(device, tags, timeout_s)

    async def read_url(self, url: str, names: Sequence[str], options: Options) -> Report:
        """Read registers or bits by unit, address and count; Modbus has no names."""
        from gateway.sources.modbus.tools.read import read_url

        return await read_url(url, options)

    async def identify(self, where: str | ModbusDevice, options: Options) -> Report:
        """Ask a unit for vendor, product and revision (function 43/14)."""
        from gateway.sources.modbus.tools.identification import identify_unit

        return await identify_unit(where, options)

    def scan(self, where: str | ModbusDevice, options: Options) -> "ModbusScan":
        """Return a scan for units that answer and addresses that can be read."""
        from gateway.sources.modbus.tools.scan import ModbusScan

        return ModbusScan(where, options)

    async def draft(self, url: str, options: Options, progress: Progress) -> Draft:
        """Scan an address and return a tag for each register and bit of the first unit that answers."""
        from gateway.sources.modbus.tools.draft import draft_device

        return await draft_device(url, options, progress)
