"""The port of a kind of sink, as `plugins.py` lists it and `settings`, `app` and `cli` use it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gateway.core.clock import Clock
from gateway.core.config_types import ConfigModel
from gateway.core.messages import Message
from gateway.core.ports.layout import Layout
from gateway.core.ports.requests import PastRequests
from gateway.core.ports.sink import Sink, StatusFeed, Subscriber


def stored_document(message: Message) -> bytes:
    """Return a message's payload as it is stored."""
    return message.payload


@dataclass(frozen=True, slots=True)
class SinkServices:
    """The services of the gateway that a sink is built into."""

    gateway: str
    """The gateway's name."""
    layout: Layout
    """Turns messages into packets, for sinks that publish by topic."""
    status: StatusFeed
    """The gateway's state, for sinks that publish it."""
    clock: Clock
    """The gateway's clock."""
    name: str = ""
    """The sink's own name where the gateway has several, which differ by it; empty for the only one."""
    past: PastRequests | None = None
    """Answers questions for the past; None where nobody can."""
    document: Callable[[Message], bytes] = stored_document
    """Returns a message as JSON with an object per tag, however it is stored, for sinks that take messages apart."""


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """The rules by which a publisher retries on its sink."""

    tries: int = 5
    """How often a message may fail while others pass, before it is set aside."""
    first_delay_s: float = 0.0
    """Wait before the first attempt, so that gateways which start together do not connect together."""
    hint: str = ""
    """What to look at when connections do not last, as a sentence."""


@runtime_checkable
class SinkPlugin(Protocol):
    """One kind of sink. Pure but for what `build` returns, which imports the sink's library at the earliest."""

    @property
    def name(self) -> str:
        """Return its section in `gateway.yaml`."""
        ...

    @property
    def description(self) -> str:
        """Return the purpose of the section, as a sentence for the configuration reference."""
        ...

    @property
    def config_model(self) -> type[ConfigModel]:
        """Return the model of that section. All its keys have defaults."""
        ...

    def describe(self, config: Any) -> str:
        """Return where messages go, for `gateway check`."""
        ...

    def policy(self, config: Any, up_s: float) -> DeliveryPolicy:
        """Return how a publisher retries. up_s: since the machine started, seconds."""
        ...

    def build(self, config: Any, services: SinkServices) -> Sink:
        """Return the sink, not yet open. No I/O. Called once per run of the gateway."""
        ...


@runtime_checkable
class TopicRooted(Protocol):
    """Capability of a plug-in: its section has the first levels of all topics."""

    def topic_root(self, config: Any) -> str:
        """Return the first level or levels of every topic."""
        ...


@runtime_checkable
class WithWarnings(Protocol):
    """Capability of a plug-in: it finds in a section what can be used, but is probably a mistake."""

    def warnings(self, config: Any) -> Sequence[tuple[str, str]]:
        """Return the key and a sentence part for each warning."""
        ...


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """Options of a command line for the far end to follow. What is empty was left out."""

    url: str = ""
    """Address of the far end."""
    root: str = ""
    """First level or levels of all topics."""
    username: str = ""
    """User name to log in with."""
    password: str = ""
    """Password to log in with."""
    ca: str = ""
    """File of the certificate authority to trust."""
    version: str = ""
    """Version of the protocol."""
    client_id: str = ""
    """Name of the client to connect as."""


@runtime_checkable
class Followable(TopicRooted, Protocol):
    """Capability of a plug-in: what it has published can be received again, as `gateway tail` does."""

    def follow_config(self, options: FollowOptions, configured: Any | None) -> Any:
        """Return the section to follow with. configured: the gateway's own, which answers what the options leave open.

        Raises pydantic's ValidationError, whose places are fields of `FollowOptions` or keys of the section.
        """
        ...

    def keeps_subscriptions(self, config: Any) -> bool:
        """Return whether the far end keeps what comes while the connection is away."""
        ...

    def subscriber(self, config: Any, client_id: str) -> Subscriber:
        """Return a subscriber, not yet open. client_id: used where the section has none."""
        ...


@runtime_checkable
class HasSecretFiles(Protocol):
    """Capability: files with keys or passwords that the sink reads, for a gateway that is decommissioned."""

    def secret_files(self, config: Any) -> Sequence[Path]:
        """Return the files; they need not exist."""
        ...
