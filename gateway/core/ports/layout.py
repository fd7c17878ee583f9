"""The port of a layout: how messages look on the wire, for every sink that publishes by topic."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from gateway.core.messages import Message
from gateway.core.tags import TagTable


@dataclass(frozen=True, slots=True)
class Properties:
    """Properties of a packet beside its payload, for far ends that carry them."""

    content_type: str = ""
    """MIME type of the payload, empty for none."""
    user: tuple[tuple[str, str], ...] = ()
    """Names and values."""
    correlation: bytes = b""
    """By which whoever has asked knows the answer, empty for none."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One publication."""

    topic: str
    """Where it is published."""
    payload: bytes
    """Its content."""
    is_latest: bool = False
    """It is the newest state of its topic: a far end that can keep it for later subscribers is to do so."""
    properties: Properties = Properties()
    """What goes beside the payload."""
    is_confirmed: bool = True
    """The far end acknowledges it. Without that it counts as delivered as soon as it is certain to have been read."""


class Layout(Protocol):
    """The form of messages on the wire: topics and format. A message counts as delivered when all its packets are."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """Return at least one packet.

        hist: it is sent from backlog. most_bytes: the largest payload that the far end takes, as far as it says so; what
        cannot be made smaller is returned as it is. Raises Permanent where the message cannot be published at all, Postponed
        where it has to wait for something that goes beside the messages.
        """
        ...


Until = Literal["trial", "later", "reconnect", "restart"]
"""How long a refusal holds; `trial`: until the sink says `later`, and what depends on it waits (`Postponed`)."""


class SessionAnnouncements(Protocol):
    """The packets that a layout publishes on a connection beside the messages. They do not go through the outbox."""

    def will(self) -> Packet | None:
        """Begin a new session; called before each connection.

        Returns what the far end publishes when the connection breaks, None for nothing.
        """
        ...

    @property
    def is_announced(self) -> bool:
        """Return whether births were made on this connection, so that a DISCONNECT without its death needs the will."""
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
        """Record that the far end has refused a packet, announced or with a message.

        Returns True if the session goes on without what it announced; refused until `later` it comes again with the changes.
        """
        ...

    def death(self) -> Sequence[Packet]:
        """Return what goes last before a proper end."""
        ...

    def numbered(self, packet: Packet) -> Packet:
        """Return the packet as it goes out.

        Called once for each packet of a connection, messages included, in the order of sending and immediately before it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription of a session."""

    topic_filter: str
    """What is received."""
    is_optional: bool = False
    """The session goes on where the far end does not allow it."""


class SessionInput(Protocol):
    """The messages that a layout receives on a connection, and its permission to send."""

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """Return what to subscribe to before anything is sent."""
        ...

    def received(self, topic: str, payload: bytes) -> None:
        """Process a message of a subscription. Trusts nothing, never raises."""
        ...

    async def may_send(self, wanted: bool) -> None:
        """Return once messages may be sent (wanted), or once they may not.

        Then the connection is to be ended, after `changes`. Cancellable.
        """
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
class LatestStates(Protocol):
    """Capability of a layout: it knows the newest state of its topics, which a far end may have missed."""

    def latest_states(self) -> Iterator[Packet]:
        """Begin a connection; return the newest state of every topic whose packets are marked `is_latest`.

        What is sent live from now on is left out: the far end has it.
        """
        ...


@runtime_checkable
class StandingPackets(Protocol):
    """Capability of a layout: beside the messages there are packets that stand at the far end, until they change."""

    async def standing(self) -> Iterator[Packet]:
        """Return all of them when a connection has begun (`latest_states`), and whenever one has changed. Cancellable.

        Called again once all that were returned have had their answers.
        """
        ...

    def arrived(self, packet: Packet) -> None:
        """Record that the far end has one of them."""
        ...


@runtime_checkable
class TableFollower(Protocol):
    """Capability of a layout: it knows devices and tags, and goes over to another table while it runs."""

    def prepare_table(self, table: TagTable, changed: Collection[str]) -> Any:
        """Return what `take_table` needs, without a change to anything. Called on a thread: it may take long.

        changed: devices that are new, or not as they were.
        """
        ...

    def take_table(self, table: TagTable, prepared: Any) -> None:
        """Describe the devices of another table from now on. prepared: what `prepare_table` returned for it."""
        ...


@runtime_checkable
class HealthReporter(Protocol):
    """Capability of a layout: it reports what the far end refuses."""

    def health(self) -> str:
        """Return it as a sentence part for the status line; empty where all is well."""
        ...
