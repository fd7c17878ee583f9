"""The port of a layout: how messages look on the wire, for every sink that publishes by topic."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from gateway.core.clock import Clock
from gateway.core.config_types import ConfigModel
from gateway.core.messages import DeviceState, Event, Message
from gateway.core.tags import TagTable


@dataclass(frozen=True, slots=True)
class Properties:
    """What may go beside a payload, where the far end carries it."""

    content_type: str = ""
    user: tuple[tuple[str, str], ...] = ()
    """Names and values."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One publication."""

    topic: str
    payload: bytes
    is_latest: bool = False
    """It is the newest state of its topic: a far end that can keep it for those who come later is to do so."""
    properties: Properties = Properties()
    is_confirmed: bool = True
    """The far end acknowledges it. Without that it counts as delivered as soon as it is certain to have been read."""


class Layout(Protocol):
    """How messages look on the wire: which topics, which format. A message counts as delivered when all its packets are."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """Return at least one packet.

        hist: it is sent from backlog. most_bytes: the largest payload that the far end takes, as far as it says so; what
        cannot be made smaller is returned as it is. Raises Permanent where the message cannot be published at all.
        """
        ...


Until = Literal["later", "reconnect", "restart"]
"""How long a refusal holds."""


class SessionAnnouncements(Protocol):
    """What a layout publishes on a connection beside the messages. The outbox does not know of it."""

    def will(self) -> Packet:
        """Begin a new session; called before each connection.

        Returns what the far end publishes when the connection breaks.
        """
        ...

    @property
    def is_announced(self) -> bool:
        """Return whether births were made on this connection, so that a goodbye without its death needs the will."""
        ...

    def births(self, most_bytes: int) -> Sequence[Packet]:
        """Return what goes before everything else on a connection, the one first without which the others mean nothing.

        What is larger than `most_bytes` is left out, and reported as an event. Raises Permanent when nothing can be
        published on this connection.
        """
        ...

    def changes(self, most_bytes: int) -> Sequence[Packet]:
        """Return what has changed since `births` or this was last called, or was refused; may be nothing."""
        ...

    def refused(self, topic: str, reason: str, *, until: Until) -> bool:
        """Record that the far end has refused a packet, announced or with a message. Returns True if the session goes on
        without what it announced; refused until `later` it comes again with the changes."""
        ...

    def death(self) -> Sequence[Packet]:
        """Return what goes last before a proper end."""
        ...

    def numbered(self, packet: Packet) -> Packet:
        """Return the packet as it goes out. Called once for each packet of a connection, messages included, in the order
        of sending and immediately before it."""
        ...


class SessionInput(Protocol):
    """What a layout receives on a connection, and whether it may send."""

    @property
    def subscriptions(self) -> Sequence[str]:
        """Return the topic filters to subscribe to before anything is sent."""
        ...

    def received(self, topic: str, payload: bytes) -> None:
        """Take a message of a subscription. Trusts nothing, never raises."""
        ...

    async def may_send(self, wanted: bool) -> None:
        """Return once messages may be sent (wanted), or once they may not: then the connection is to be ended, after
        `changes`. Cancellable."""
        ...


@runtime_checkable
class Session(SessionAnnouncements, SessionInput, Protocol):
    """Capability of a layout: it has a part of its own in each connection, in place of the gateway's status."""


@runtime_checkable
class MessageObserver(Protocol):
    """Capability of a layout: it sees each message when it is made, whenever that may be sent."""

    def observe(self, message: Message) -> None:
        """Look at a message that was just made."""
        ...


@runtime_checkable
class HealthReporter(Protocol):
    """Capability of a layout: it knows of something that the far end does not take."""

    def health(self) -> str:
        """Return it as a sentence part for the status line; empty where all is well."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceScope:
    """A device as far as a layout is concerned."""

    name: str
    tags: Sequence[str]
    """The names of its tags."""
    own: Any
    """The device's own `publish:`."""


@dataclass(frozen=True, slots=True)
class LayoutScope:
    """The gateway that a layout is for."""

    root: str
    """What all topics begin with."""
    gateway: str
    config: Any
    """`publish:` of `gateway.yaml`."""
    devices: Sequence[DeviceScope]
    """In the order of the tag table."""


@dataclass(frozen=True, slots=True)
class LayoutServices:
    """What a layout gets from the gateway that it is built into."""

    table: TagTable
    clock: Clock
    facts: Mapping[str, str]
    """Names and texts that describe this run of the gateway."""
    states: Callable[[], Mapping[int, DeviceState]]
    """Returns the newest state of every device."""
    report: Callable[[Event], None]
    """Takes an event for publishing."""
    wake: Callable[[], None]
    """Called when there is something to publish that no device's state has brought about."""
    state_file: Path
    """A path whose name a layout may extend for a file that it keeps over restarts."""


@dataclass(frozen=True, slots=True)
class LayoutFault:
    """What is wrong with `publish:`, of the gateway or of a device."""

    key: tuple[str, ...]
    """The keys that lead to the place; empty for the name of a tag."""
    message: str
    expected: str
    device: int | None = None
    """Place of the device in whose file it is, None for `gateway.yaml`."""
    tag: int | None = None
    """Place of the tag among the device's, where it is about one."""
    where: tuple[int, int] | None = field(default=None)
    """Device and tag whose place in the files stands for {where} in the message."""


@dataclass(frozen=True, slots=True)
class SinkFacts:
    """What of a sink's section matters to layouts."""

    name: str
    """The section's key."""
    section: Any


class Reader(Protocol):
    """Takes what one layout publishes apart, on the subscriber's side. Trusts nothing; memory is bounded."""

    def is_mine(self, topic: str) -> bool:
        """Return whether a topic is of this layout."""
        ...

    def read(self, topic: str, payload: bytes, *, is_repeated: bool) -> Any:
        """Return what `audit` understands (`audit.message.Reading`). Raises `audit.message.Malformed`."""
        ...

    def was_away(self) -> None:
        """Record that the subscriber was disconnected until now."""
        ...


@runtime_checkable
class LayoutPlugin(Protocol):
    """One layout. All methods are pure; `build` may keep a file."""

    @property
    def name(self) -> str:
        """Return the value of `publish.layout`."""
        ...

    @property
    def description(self) -> str:
        """Return what it does, as a sentence for the configuration reference."""
        ...

    @property
    def config_model(self) -> type[ConfigModel]:
        """Return the model of the keys that it adds to `publish:`."""
        ...

    @property
    def device_model(self) -> type[ConfigModel] | None:
        """Return the model of the keys that it adds to a device's own `publish:`; None where it is for a whole gateway
        only."""
        ...

    def whole_gateway_reason(self) -> str:
        """Return why a device cannot choose it for itself, as a sentence; empty where it can."""
        ...

    def check(self, scope: LayoutScope, sink: SinkFacts) -> Iterator[LayoutFault]:
        """Yield what is wrong, whichever layout is chosen: also its own keys that have no effect."""
        ...

    def build(self, scope: LayoutScope, services: LayoutServices) -> Layout:
        """Return the layout of a gateway."""
        ...

    def filters(self, scope: LayoutScope) -> Sequence[str]:
        """Return topic filters that match all that the gateway publishes with this layout."""
        ...
