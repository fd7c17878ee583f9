"""What the rest of the gateway may know of OPC UA."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core.clock import Clock
from gateway.core.errors import UsageError
from gateway.core.ports.device_tools import Draft, Options, Progress
from gateway.core.ports.plugin import DeviceEntry, Fault, SourceServices, TagTraits
from gateway.core.ports.source import Source
from gateway.core.report import Note, RawText, Report
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.pki_folder import PKI_PARTS
from gateway.sources.opcua.port.units import completed, units_path
from gateway.sources.opcua.source.events import OPCUA_EVENTS
from gateway.sources.opcua.source.found_roots import roots_path
from gateway.sources.opcua.source.tag_discovery import Change, found_path, is_refreshed, left_out, left_out_path
from gateway.sources.opcua.tools.plan import plan

if TYPE_CHECKING:
    from gateway.sources.opcua.tools.certificate_store import PkiStore


class OpcUaPlugin:
    """OPC UA as a protocol of the gateway (`core/ports/plugin`)."""

    name = "opcua"
    title = "OPC UA"
    url_schemes = ("opc.tcp",)
    device_model = OpcUaDevice
    tag_model = OpcUaTag
    event_types = OPCUA_EVENTS

    def check(self, device: OpcUaDevice, tag: OpcUaTag) -> Fault | None:
        """Return which key of the tag has no effect on a polled device."""
        for key in ("server_deadband", "trigger"):
            if device.mode == "poll" and getattr(tag, key) is not None:
                expected = "mode: subscribe in the device, or deadband"
                return Fault(key, "has no effect, because the device is polled", expected)
        return None

    def traits(self, device: OpcUaDevice, tag: OpcUaTag) -> TagTraits:
        """Return how often the tag is read, or how late its changes may come.

        A node's type is known only at run time, so no tag is said to be float32: Float values leave the decoder as the
        shortest decimal that names the same float32 (23.45, not 23.450000762939453).
        """
        interval_ns = tag.interval or device.interval
        if device.mode == "poll":
            return TagTraits(interval_ns=interval_ns)
        # a change is seen at the next sampling and sent at the next publication
        return TagTraits(delay_ns=interval_ns + (tag.sampling or device.sampling))

    def describe(self, entries: Sequence[DeviceEntry]) -> list[str]:
        """Return the subscription or the reads of each server."""
        return plan(entries)

    def build(self, entries: Sequence[DeviceEntry], services: SourceServices) -> Sequence[Source]:
        """Return one source for each server."""
        # Imported here, because asyncua takes 30 MB and half a second that a gateway without OPC UA does not need.
        from gateway.sources.opcua.client.link_pool import connectors
        from gateway.sources.opcua.source.source import OpcUaSource

        connects = connectors(entries, services)
        return [OpcUaSource(entry, services, connect) for entry, connect in zip(entries, connects, strict=True)]

    def found_tags_path(self, device: OpcUaDevice) -> Path | None:
        """Return the file of variables found by `browse:`, None for a device without it."""
        return found_path(device)

    def metadata_path(self, device: OpcUaDevice) -> Path | None:
        """Return the file of units and ranges that the server gave for configured tags."""
        return units_path(device)

    def kept_files(self, device: OpcUaDevice) -> Sequence[Path]:
        """Return keys, trust lists, what was found, and what earlier versions kept of history."""
        own = [device.pki / part for part in PKI_PARTS]
        legacy = [device.history_kept / f"{device.name}.{kind}" for kind in ("json", "note")]
        found = [units_path(device), left_out_path(device), roots_path(device), found_path(device)]
        kept = [*own, *found, *legacy, device.user_key]
        return [path for path in kept if path is not None]

    def complete(self, tag: OpcUaTag, row: Mapping[str, str]) -> OpcUaTag:
        """Return the tag with the server's unit and range where the configuration has none."""
        return completed(tag, row)

    def left_out(self, device: OpcUaDevice) -> Sequence[str]:
        """Return what `browse:` made no tag when the server was last asked."""
        return left_out(device)

    def needs_discovery(self, device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> bool:
        """Return whether the server is asked at a start: always with `browse:`, for units alone until it gave them once."""
        return is_refreshed(device, tags)

    async def discover_tags(self, device: OpcUaDevice, tags: Sequence[OpcUaTag], clock: Clock) -> Change | None:
        """Browse the server and read units, over a connection of its own; write the tag files. Raises NotConnected."""
        from gateway.sources.opcua.tools.refresh_tags import refresh_tags

        return await refresh_tags(device, tags, clock)

    async def read_tags(self, device: OpcUaDevice, tags: Sequence[OpcUaTag], timeout_s: float | None) -> Report:
        """Read the present values of tags. timeout_s: not used, the device's own timeout holds."""
        from gateway.sources.opcua.tools.reports import tag_values

        return await tag_values(device, tags)

    async def read_url(self, url: str, names: Sequence[str], options: Options) -> Report:
        """Read the present values of nodes. names: NodeIds or browse paths."""
        from gateway.sources.opcua.tools.options import device_with_login, tags_of
        from gateway.sources.opcua.tools.reports import tag_values

        device = device_with_login(url, options)
        if not names:
            raise UsageError('TAG...: expected NodeIds or browse paths, such as "ns=2;s=Line.Speed"')
        return await tag_values(device, tags_of(names))

    async def discover(self, url: str) -> Report:
        """Ask a server for its endpoints: policies, modes, logins, certificates."""
        from gateway.sources.opcua.tools.options import device_of
        from gateway.sources.opcua.tools.reports import discover

        return await discover(device_of(url))

    async def browse(self, url: str, options: Options, progress: Progress) -> Report:
        """Walk through the nodes of a server: a tree, with the option `json` lines of JSON, with `csv` a tag file."""
        from gateway.sources.opcua.tools.options import browse_of, device_with_login
        from gateway.sources.opcua.tools.reports import node_tree, tag_file

        wanted, device = browse_of(options), device_with_login(url, options)
        if options["csv"]:
            return await tag_file(device, wanted, options["most"], progress)
        return await node_tree(device, wanted, options["most"], progress, as_json=options["json"])

    async def draft(self, url: str, options: Options, progress: Progress) -> Draft:
        """Walk through a server and return a tag file of its numeric variables."""
        report = await self.browse(url, {**options, "csv": True}, progress)
        table = "".join(item.text for item in report.items if isinstance(item, RawText) and not item.is_note)
        keys = {key: options[key] for key in ("username",) if options[key]}
        keys |= {"security": options["security"]} if options["security"] != "auto" else {}
        return Draft(keys, table, [item for item in report.items if isinstance(item, Note)])

    def certificate_store(self, folder: Path | None) -> "PkiStore":
        """Return the certificates that `pki:` of the devices names."""
        from gateway.sources.opcua.tools.certificate_store import PkiStore

        return PkiStore(folder)
