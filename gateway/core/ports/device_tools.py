"""The ports of the commands that look at devices: capabilities that a protocol may have, one for each command.

Options are those of the command line by their names; a protocol uses those that it knows. All methods raise `UsageError`,
or pydantic's `ValidationError` of a device or tag, where the question makes no sense (exit code 2), and other kinds of
`GatewayError` where it cannot be answered (exit code 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from gateway.core.ports.plugin import DeviceEntry
from gateway.core.report import Item, Report

Device_contra = TypeVar("Device_contra", contravariant=True)
Tag_contra = TypeVar("Tag_contra", contravariant=True)
Options = Mapping[str, Any]
"""Options of a command by their names, with underscores."""


class Progress(Protocol):
    """The progress display of a long command. Calls return at once."""

    def update(self, step: str, done: int = 0, total: int = 0) -> None:
        """Show the current step. done, total: how much of it is done, total 0 where that is not known."""
        ...

    def show(self, item: Item) -> None:
        """Print an item now, and not only at the end."""
        ...


@runtime_checkable
class Readable(Protocol[Device_contra, Tag_contra]):
    """Capability of `gateway read`."""

    async def read_tags(self, device: Device_contra, tags: Sequence[Tag_contra], timeout_s: float | None) -> Report:
        """Read tags of a configured device once. timeout_s: for a reply, None for the device's own."""
        ...

    async def read_url(self, url: str, names: Sequence[str], options: Options) -> Report:
        """Read once from a device that is not configured. names: of what is to be read, where the protocol has names."""
        ...


@runtime_checkable
class Identifiable(Protocol[Device_contra]):
    """Capability of `gateway read --identify`."""

    async def identify(self, where: str | Device_contra, options: Options) -> Report:
        """Return what a device at a URL, or a configured one, says of itself: maker, product, version."""
        ...


class Scan(Protocol):
    """A scan that can be interrupted: `report` returns what was found so far."""

    @property
    def introduction(self) -> str:
        """Return what will be looked at and how long that takes, in a sentence."""
        ...

    @property
    def position(self) -> str:
        """Return what is looked at right now."""
        ...

    async def run(self, progress: Progress) -> None:
        """Scan. Called once, cancellable at once."""
        ...

    def report(self) -> Report:
        """Return what was found so far."""
        ...


@runtime_checkable
class Scannable(Protocol[Device_contra]):
    """Capability of `gateway scan`."""

    def scan(self, where: str | Device_contra, options: Options) -> Scan:
        """Return a scan of a URL or of a configured device, not yet begun."""
        ...


@runtime_checkable
class Discoverable(Protocol):
    """Capability of `gateway discover`."""

    async def discover(self, url: str) -> Report:
        """Ask a server which ways there are to connect to it."""
        ...


@runtime_checkable
class Browsable(Protocol):
    """Capability of `gateway browse` with a URL; of configured devices see `TagDiscoverable`."""

    async def browse(self, url: str, options: Options, progress: Progress) -> Report:
        """Walk through what a server has."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """What a device file for a device that was looked at would say."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    """Its keys beside protocol, url and tags."""
    tag_file: str = ""
    """Its tags as a tag file; empty where it has none."""
    about: Sequence[Item] = ()
    """What was found, for people."""


@runtime_checkable
class Draftable(Protocol):
    """Capability of `gateway add`."""

    async def draft(self, url: str, options: Options, progress: Progress) -> Draft:
        """Look at a device, only by reading, and return what its file would say."""
        ...


@runtime_checkable
class Plannable(Protocol):
    """Capability of `gateway plan`."""

    def plan(self, entries: Sequence[DeviceEntry], answer_s: float) -> Report:
        """Return which requests will be sent and how busy each connection will be, without I/O.

        answer_s: how long a device takes to begin its reply.
        """
        ...


class CertificateStore(Protocol):
    """The gateway's own certificate for a protocol, and those of peers in a folder."""

    def list_peers(self) -> Report:
        """Return trusted, issuing and rejected certificates."""
        ...

    def trust(self, what: str) -> Report:
        """Trust a certificate in a file, or a rejected one by the beginning of its fingerprint."""
        ...

    def show_own(self, *, renew: bool) -> Report:
        """Return the own certificate, made if there is none. renew: make a new one now."""
        ...


@runtime_checkable
class Trusting(Protocol):
    """Capability of `gateway cert`."""

    def certificate_store(self, folder: Path | None) -> CertificateStore:
        """Return the certificates in a folder, None for the usual one."""
        ...
