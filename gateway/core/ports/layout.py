"""The port of a layout: how messages look on the wire, for every sink that publishes by topic."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from gateway.core.clock import Clock
from gateway.core.config_types import ConfigModel
from gateway.core.events.event import Event
from gateway.core.incoming import Incoming
from gateway.core.messages import DeviceState, Message
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
    """The device's own `publish:`, with a method `over` that returns what holds for the device."""
    place: Callable[[int], str] = lambda tag: ""
    """Returns file and line of a tag, by its place in `tags`."""


@dataclass(frozen=True, slots=True)
class LayoutScope:
    """The gateway that a layout is for, and the sink that it goes to."""

    root: str
    """What all topics begin with."""
    gateway: str
    config: Any
    """`publish:` of `gateway.yaml`."""
    devices: Sequence[DeviceScope]
    """In the order of the tag table."""
    sink_name: str
    sink: Any
    """The sink's section of `gateway.yaml`."""
    is_per_device: bool = True
    """The gateway's layout is one that a device may replace by its own."""
    window_s: float = 1.0


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


class LayoutFault(NamedTuple):
    """What is wrong with the choice of a layout or with its keys."""

    key: tuple[str, ...]
    """The keys that lead to the place, for instance `publish`, `topic`; of a tag the last one."""
    message: str
    expected: str
    device: int | None = None
    """The device in whose file it is, None for `gateway.yaml`."""
    tag: int | None = None
    """The tag of that device, where it is about one."""


Proof = tuple[str, Mapping[str, Any]]
"""A stream and a payload with `boot` and `seq`, for whoever checks that nothing is missing."""


class Reader(Protocol):
    """Takes apart what one layout publishes, on the subscriber's side. Trusts nothing; memory is bounded."""

    @property
    def footnote(self) -> str:
        """Return what has to be known of this layout's sequence numbers, as a sentence."""
        ...

    def is_mine(self, topic: str) -> bool:
        """Return whether a topic is of this layout."""
        ...

    def read(self, topic: str, payload: bytes, *, is_repeated: bool) -> tuple[Incoming | None, Sequence[Proof]]:
        """Return what to show, None for what is not for subscribers, and what proves completeness. Raises Malformed."""
        ...

    def was_away(self) -> None:
        """Record that the subscriber was disconnected until now."""
        ...


class LayoutPlugin(Protocol):
    """One layout. All methods are pure; what `build` returns may keep a file."""

    @property
    def name(self) -> str:
        """Return the value of `publish.layout`."""
        ...

    @property
    def description(self) -> str:
        """Return what it does, for the configuration reference."""
        ...

    @property
    def config_model(self) -> type[ConfigModel]:
        """Return the model of the keys that it adds to `publish:`. All have defaults."""
        ...

    @property
    def device_model(self) -> type[ConfigModel] | None:
        """Return the model of the keys that it adds to a device's own `publish:`; None where it is for a whole gateway
        only."""
        ...

    @property
    def whole_gateway_reason(self) -> str:
        """Return why a device cannot choose it for itself; empty where it can."""
        ...

    def check(self, scope: LayoutScope) -> Iterator[LayoutFault]:
        """Yield what is wrong, whichever layout is chosen: also keys of its own that have no effect."""
        ...

    def build(self, scope: LayoutScope, device: int | None, services: LayoutServices) -> Layout:
        """Return the layout for the messages of a device; with None for those of the gateway itself, and for all others.

        Layouts that publish the same are equal.
        """
        ...

    def describe(self, scope: LayoutScope) -> tuple[Sequence[str], Sequence[str]]:
        """Return lines for `gateway check` that say what is published, to be printed before and after those of the
        devices."""
        ...

    def describe_device(self, scope: LayoutScope, device: int) -> Sequence[str]:
        """Return such lines for one device."""
        ...

    def filters(self, scope: LayoutScope, device: int | None) -> Sequence[str]:
        """Return topic filters that match all that is published for a device; with None for the gateway itself."""
        ...

    def open_filters(self, root: str) -> Sequence[str]:
        """Return topic filters for any gateway below a root, as far as they need no configuration."""
        ...

    def reader(self) -> Reader | None:
        """Return a new reader; None where payloads are messages of the contract, which need none."""
        ...


@runtime_checkable
class Templated(Protocol):
    """Capability of a plug-in: its topics follow a template."""

    def template_filter(self, template: str, root: str) -> str:
        """Return the topic filter of all that a template stands for; a field without value is one level. Raises
        ValueError."""
        ...
