"""The seams between parts. Each docstring is the contract; `tests/contract` holds fake and real to it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.messages import DeviceState, Event, Message

Reading = SampleBlock | ObjectBlock | DeviceState | Event
"""What a source has to say."""


class Source(Protocol):
    """One connection to the field, serving one or more devices. One supervisor task owns it; no call overlaps another.

    A source never reconnects by itself. A tag, unit or node that fails costs its own samples (quality bad) and never
    the connection; only a lost connection ends in `NotConnected`.
    """

    @property
    def devices(self) -> Sequence[int]:
        """Table rows of the devices it serves, constant."""
        ...

    async def open(self) -> None:
        """Connect. Raises NotConnected (the supervisor backs off and calls again). Cancellable at once."""
        ...

    async def read(self) -> Reading:
        """Wait for what comes next: samples, values that are no numbers, news of one device, or something worth telling at
        once (samples lost on the device's side). Raises NotConnected. Cancellable at once."""
        ...

    def stats(self) -> Mapping[int, Mapping[str, float | str]]:
        """Per device what has been counted and measured since the start, under stable names in snake case with the unit
        at the end (`requests`, `timeouts`, `round_trip_ms`); cheap enough for once a second."""
        ...

    async def close(self) -> None:
        """Release everything `open` took, within a few seconds, whatever state it is in. Never raises."""
        ...


class Intake(Protocol):
    """Where sources and supervisor hand things on. Plain calls on the event loop, done when they return."""

    def feed(self, block: SampleBlock) -> None:
        """Take samples."""
        ...

    def objects(self, block: ObjectBlock) -> None:
        """Take values that are no numbers."""
        ...

    def device_state(self, state: DeviceState) -> bool:
        """Take news of a device. `down` makes all its tags unknown from now on. Returns whether the state is another one,
        and the journal was told."""
        ...

    def event(self, event: Event) -> None:
        """Take an event for publishing at once."""
        ...


@dataclass(slots=True, eq=False)
class Delivery:
    """A message on loan from the outbox to the publisher. `live` is false for backlog, which is sent marked `hist`."""

    id: int
    message: Message
    live: bool


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


class MessageQueue(Protocol):
    """The pipeline's side of the outbox."""

    def put(self, message: Message) -> None:
        """Take over a message: from one commit interval later it survives a crash, and it is delivered or accounted for."""
        ...


class Deliveries(Protocol):
    """The publisher's side of the outbox. One publisher; every delivery taken ends in exactly one ack, refuse or release."""

    async def take(self, limit: int) -> list[Delivery]:
        """Up to `limit` messages in lane order, at least one: waits until there is one. Cancelled, it lends nothing."""
        ...

    def ack(self, delivery: Delivery) -> None:
        """The broker has it. Raises ValueError when it is not in flight, as `refuse` and `release` do."""
        ...

    def refuse(self, delivery: Delivery, reason: str) -> None:
        """The broker will never accept it: set it aside with a loss record."""
        ...

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """The connection went before the ack: these become backlog."""
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
