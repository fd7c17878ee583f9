"""The port of a protocol, as `plugins.py` lists it, and its optional capabilities.

`settings`, `app` and `cli` know protocols through these alone. A protocol implements `SourcePlugin`; where it can do more,
it has the methods of a capability too, and whoever needs one asks, for instance, `isinstance(plugin, Readable)`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from gateway.core.clock import Clock
from gateway.core.config_types import DeviceModel, TagModel
from gateway.core.events.event import Event
from gateway.core.loop_watch import LoopWatch
from gateway.core.ports.source import Source
from gateway.core.ports.watermarks import Watermarks

Device_contra = TypeVar("Device_contra", contravariant=True)
"""The protocol's configuration model of a device."""
Tag = TypeVar("Tag")
Tag_contra = TypeVar("Tag_contra", contravariant=True)
"""The protocol's configuration model of a tag."""


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """A device as configured, and its place in the tag table."""

    number: int
    """Its row among the table's devices."""
    config: Any
    """The protocol's own model of a device."""
    tags: Sequence[Any]
    """The protocol's own models of its tags."""
    first_tag: int
    """The tag id of tags[0]; the others follow without a gap."""
    held_ns: int = 3_000_000_000
    """How long at most a sample that was handed on is in memory only, and may be lost with the process, ns."""


def _nobody(device: int) -> None:
    del device


@dataclass(frozen=True, slots=True)
class SourceServices:
    """The services of the gateway that the sources of a protocol are built into."""

    clock: Clock
    """The gateway's clock."""
    watermarks: Watermarks
    """Where a source stores what it has handed on, over restarts."""
    take_tags: Callable[[int], None] = _nobody
    """Ask for this device (its row) to be configured anew, because its tags are others than those that run."""
    watch: LoopWatch = field(default_factory=LoopWatch)
    """What came may have waited while the process stood still: it says for how long."""


class Fault(NamedTuple):
    """A fault of a tag, or between the tags or devices of a protocol."""

    key: str
    """The key that is to be corrected."""
    message: str
    """What is wrong."""
    expected: str
    """What would be right."""


class FaultAt(NamedTuple):
    """A fault between several tags or devices."""

    row: int
    """The place of the tag or device among those that were given."""
    key: str
    """The key that is to be corrected."""
    message: str
    """What is wrong."""
    expected: str
    """What would be right."""


@dataclass(frozen=True, slots=True)
class TagTraits:
    """Properties of a tag's values that are known before any was read."""

    is_float32: bool = False
    """They are float32, and are published with float32's shortest digits."""
    is_logical: bool = False
    """They are bits according to the configuration."""
    is_text: bool = False
    """They are no numbers."""
    interval_ns: int = 0
    """How often a sample is due; 0 where the device decides (subscriptions)."""
    delay_ns: int = 0
    """How much later than its time a sample may come by what is configured."""


@runtime_checkable
class SourcePlugin(Protocol[Device_contra, Tag_contra]):
    """One protocol. All methods are pure: no I/O.

    The protocol's library is imported by what `build` returns at the earliest.
    """

    @property
    def name(self) -> str:
        """Return the value of `protocol:` in a device file."""
        ...

    @property
    def title(self) -> str:
        """Return the protocol's name in sentences for people."""
        ...

    @property
    def url_schemes(self) -> Sequence[str]:
        """Return the schemes of its URLs on a command line, none where devices can only be named."""
        ...

    @property
    def device_model(self) -> type[DeviceModel]:
        """Return the model of a device. It has a property or field `url`, for people."""
        ...

    @property
    def tag_model(self) -> type[TagModel]:
        """Return the model of a tag."""
        ...

    def check(self, device: Device_contra, tag: Tag_contra) -> Fault | None:
        """Return what is wrong with a tag on just this device."""
        ...

    def traits(self, device: Device_contra, tag: Tag_contra) -> TagTraits:
        """Return what is known of a tag's values before any was read."""
        ...

    def describe(self, entries: Sequence[DeviceEntry]) -> Sequence[str]:
        """Return lines for `gateway check` that describe what would be read."""
        ...

    def build(self, entries: Sequence[DeviceEntry], services: SourceServices) -> Sequence[Source]:
        """Return one source for each connection that these devices need. Called once per run of the gateway."""
        ...


Plugin = SourcePlugin[Any, Any]
"""Any protocol, for callers that do not know which one it is."""


@runtime_checkable
class CrossChecked(Protocol[Device_contra, Tag_contra]):
    """Capability: faults between several tags or devices."""

    def check_tags(self, device: Device_contra, tags: Sequence[Tag_contra]) -> Sequence[FaultAt]:
        """Return what is wrong between the tags of one device."""
        ...

    def check_devices(self, devices: Sequence[Device_contra]) -> Sequence[FaultAt]:
        """Return what is wrong between the devices of this protocol."""
        ...


@runtime_checkable
class WithTagWarnings(Protocol[Device_contra, Tag_contra]):
    """Capability: what is probably a mistake between two tags of a device."""

    def tag_warnings(self, device: Device_contra, tags: Sequence[Tag_contra]) -> Sequence[tuple[int, int, str]]:
        """Return places of a tag and of another one before it in `tags`, and what is odd between them."""
        ...


@runtime_checkable
class SharesConnections(Protocol[Device_contra]):
    """Capability: several devices may be read over one connection, by one source."""

    def connection(self, device: Device_contra) -> str:
        """Return what is equal for the devices that share a connection."""
        ...


@runtime_checkable
class WithEventTypes(Protocol):
    """Capability: kinds of events that only this protocol leads to."""

    @property
    def event_types(self) -> Sequence[type[Event]]:
        """Return their types, for the message schema."""
        ...


@runtime_checkable
class TagFiles(Protocol[Device_contra, Tag]):
    """Capability: a device describes its own tags, and the descriptions are stored in files outside the configuration."""

    def found_tags_path(self, device: Device_contra) -> Path | None:
        """Return the file of tags that were found on the device and are its tags beside the configured ones.

        None for a device on which none are searched.
        """
        ...

    def metadata_path(self, device: Device_contra) -> Path | None:
        """Return the file of the device's descriptions of its configured tags; None where they are not read."""
        ...

    def complete(self, tag: Tag, row: Mapping[str, str]) -> Tag:
        """Return a tag completed by a row of the metadata file; keys of the configuration win."""
        ...

    def left_out(self, device: Device_contra) -> Sequence[str]:
        """Return from a file what of the device became no tag when it was last asked, a line for each reason."""
        ...


@runtime_checkable
class KeepsFiles(Protocol[Device_contra]):
    """Capability: files that a device's source has made or was given, for a gateway that is decommissioned."""

    def kept_files(self, device: Device_contra) -> Sequence[Path]:
        """Return files, and folders with nothing but such files, that hold keys or what was read; they need not exist."""
        ...


class TagChange(Protocol):
    """The difference between the tags of a device now and those found before, as names."""

    @property
    def added(self) -> Sequence[str]:
        """Return the new ones."""
        ...

    @property
    def removed(self) -> Sequence[str]:
        """Return those that are gone."""
        ...

    @property
    def altered(self) -> Sequence[str]:
        """Return those that are described in another way."""
        ...

    @property
    def cut(self) -> bool:
        """Return whether there are more than the configuration allows."""
        ...


@runtime_checkable
class TagDiscoverable(TagFiles[Device_contra, Tag], Protocol[Device_contra, Tag]):
    """Capability: the device can be asked which tags it has, and what they are."""

    def needs_discovery(self, device: Device_contra, tags: Sequence[Tag]) -> bool:
        """Return whether a start of the gateway has to ask."""
        ...

    async def discover_tags(self, device: Device_contra, tags: Sequence[Tag], clock: Clock) -> TagChange | None:
        """Ask the device and write the tag files. Returns what is new in them, None for nothing. Raises NotConnected."""
        ...
