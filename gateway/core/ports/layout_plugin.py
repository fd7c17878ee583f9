"""The port of a kind of layout, as `plugins.py` lists it and `settings`, `app`, `cli` and `audit` use it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from gateway.core.clock import Clock
from gateway.core.config_types import ConfigModel
from gateway.core.decoded_message import DecodedMessage
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.ports.layout import Layout
from gateway.core.tags import TagTable


@dataclass(frozen=True, slots=True)
class DeviceScope:
    """A device as far as a layout is concerned."""

    name: str
    """Its name."""
    tags: Sequence[str]
    """The names of its tags that are published; none where they are still to be found on the device."""
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
    """The gateway's name."""
    config: Any
    """`publish:` of `gateway.yaml`."""
    devices: Sequence[DeviceScope]
    """In the order of the tag table."""
    sink_name: str
    """The kind of sink."""
    sink: Any
    """The sink's section of `gateway.yaml`."""
    is_per_device: bool = True
    """The gateway's layout is one that a device may replace by its own."""
    window_s: float = 1.0
    """Length of a window, seconds."""


@dataclass(frozen=True, slots=True)
class LayoutServices:
    """The services of the gateway that a layout is built into."""

    table: TagTable
    """All devices and tags."""
    clock: Clock
    """The gateway's clock."""
    facts: Mapping[str, str]
    """Names and texts that describe this run of the gateway."""
    states: Callable[[], Mapping[int, DeviceState]]
    """Returns the newest state of every device."""
    report: Callable[[Event], None]
    """Publishes an event."""
    wake: Callable[[], None]
    """Called when there is something to publish that no device's state has brought about."""
    state_file: Path
    """A path whose name a layout may extend for a file that it keeps over restarts."""
    known_set: Callable[[str], str] = lambda base: ""
    """Returns the set of a device's tags whose description the far end has, empty for none. base: of its topics."""


class LayoutFault(NamedTuple):
    """A fault in the choice of a layout or in its keys."""

    key: tuple[str, ...]
    """The keys that lead to the place, for instance `publish`, `topic`; of a tag the last one."""
    message: str
    """What is wrong."""
    expected: str
    """What would be right."""
    device: int | None = None
    """The device in whose file it is, None for `gateway.yaml`."""
    tag: int | None = None
    """The tag of that device, where it is about one."""


Proof = tuple[str, Mapping[str, Any]]
"""A stream and a payload with `boot` and `seq`, for whoever checks that nothing is missing."""


class Reader(Protocol):
    """Parser of what one layout publishes, on the subscriber's side. Trusts nothing; memory is bounded."""

    @property
    def footnote(self) -> str:
        """Return a sentence that explains this layout's sequence numbers."""
        ...

    def is_mine(self, topic: str) -> bool:
        """Return whether a topic is of this layout."""
        ...

    def read(self, topic: str, payload: bytes, *, is_repeated: bool) -> tuple[DecodedMessage | None, Sequence[Proof]]:
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
        """Return the model of the keys that it adds to a device's own `publish:`.

        None where it is for a whole gateway only.
        """
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
        """Return lines for `gateway check` that describe what is published.

        They are printed before and after those of the devices.
        """
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
class FillsTopics(Protocol):
    """Capability of a plug-in: its messages fill topics that later subscribers find filled."""

    def standing(self, scope: LayoutScope, device: int, table: TagTable) -> Mapping[str, bytes]:
        """Return the topics of a device that stand: with a payload where it is always the same, empty for a message's."""
        ...


@runtime_checkable
class Templated(Protocol):
    """Capability of a plug-in: its topics follow a template."""

    def template_filter(self, template: str, root: str) -> str:
        """Return the topic filter of all that a template stands for; a field without value is one level.

        Raises ValueError.
        """
        ...
