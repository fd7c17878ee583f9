"""The port of a sink: the connection upstream."""

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Properties:
    """What MQTT 5 can say beside a payload (3.3.2.3); 3.1.1 says nothing. expiry_s: 0 for never; user: names and values."""

    content_type: str = ""
    user: tuple[tuple[str, str], ...] = ()
    expiry_s: int = 0


QoS = Literal[0, 1]


@dataclass(frozen=True, slots=True)
class Packet:
    """One publication, as it goes over the wire."""

    topic: str
    payload: bytes
    retain: bool = False
    properties: Properties = Properties()
    qos: QoS = 1


class Heard(Protocol):
    """A message of a subscription."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...


class Subscriber(Protocol):
    """The listening side of a connection upstream."""

    async def subscribe(self, topic_filter: str) -> None:
        """Receive what matches. Raises Permanent when the broker refuses, NotConnected."""
        ...

    async def receive(self) -> Heard:
        """The next message; one caller. Raises NotConnected. Cancelled, it loses none."""
        ...

    @property
    def places(self) -> int:
        """How many brokers there are to go to."""
        ...

    def move_on(self) -> None:
        """This broker is of no use although it serves: the next `open` begins with the one after it, and stays there."""
        ...


class Sink(Protocol):
    """The connection upstream. One publisher owns it. It never reconnects by itself; each `open` starts afresh."""

    async def open(self) -> None:
        """Connect and be accepted. Raises NotConnected. Cancellable at once."""
        ...

    @property
    def most_bytes(self) -> int:
        """Largest payload that the broker takes on this connection, with 512 bytes kept free for topic and properties."""
        ...

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, properties: Properties = Properties(), qos: QoS = 1
    ) -> "asyncio.Future[None]":
        """Send. The future ends with None, Permanent (refused for good), Retryable (refused for now) or NotConnected.

        At QoS 1 that is on the PUBACK. At QoS 0 it is when the broker has answered a question that was sent after the
        message over the same connection: it has read the message, but does not say what it did with it."""
        ...

    async def lost(self) -> str:
        """Return the reason once the connection is gone."""
        ...

    async def close(self, *, goodbye: bool = True) -> None:
        """Disconnect: properly, so that the broker does not send the last will, or without goodbye, so that it does.
        Never raises."""
        ...
