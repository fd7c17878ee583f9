"""The port of a layout: how messages look on the wire."""

from collections.abc import Sequence
from typing import Literal, Protocol

from gateway.core.messages import Message
from gateway.core.ports.sink import Packet


class Layout(Protocol):
    """How messages look on the wire: which topics, which format. A message counts as delivered when all its packets are."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """At least one packet. hist: it is sent from backlog. most_bytes: the largest payload that the broker takes, as far
        as it says so; what cannot be made smaller is returned as it is. Raises Permanent where it cannot be said at all."""
        ...


Until = Literal["later", "reconnect", "restart"]
"""How long a refusal holds."""


class Announcing(Protocol):
    """What a layout says on a connection beside the messages, where it does (Sparkplug). The outbox knows nothing of it."""

    def births(self, most_bytes: int) -> Sequence[Packet]:
        """What goes before everything else on a connection. What is larger than the broker takes is left out, and told as an
        event. Raises Permanent when nothing can be said on this connection."""
        ...

    def news(self, most_bytes: int) -> Sequence[Packet]:
        """What has changed since `births` or `news` was last called, or was refused; may be nothing."""
        ...

    def refused(self, topic: str, reason: str, *, until: Until) -> bool:
        """The broker has refused a packet, announced or with a message. True if the session goes on without what it
        announced; `later` it may be told again with the news."""
        ...

    def death(self) -> Sequence[Packet]:
        """What goes last before a proper end."""
        ...

    def numbered(self, packet: Packet) -> Packet:
        """The packet as it goes out. Called once for each packet of a connection, messages included, in the order of
        sending and immediately before it."""
        ...


class Listening(Protocol):
    """What a layout wants to hear on a connection, and whether it may speak."""

    @property
    def subscriptions(self) -> Sequence[str]:
        """Topic filters to subscribe to before anything is sent."""
        ...

    def heard(self, topic: str, payload: bytes) -> None:
        """A message of a subscription. Trusts nothing, never raises."""
        ...

    async def may_send(self, wanted: bool) -> None:
        """Return once messages may be sent (wanted), or once they may not: then the connection is to be ended, after
        `news`. Cancellable."""
        ...


class Session(Announcing, Listening, Protocol):
    """A layout's own part in each connection; the publisher drives it."""
