"""Packets on their way to the broker: those of messages, and those that go beside them."""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent, Postponed, Retryable
from gateway.core.log_throttle import LogThrottle
from gateway.core.ports.layout import Layout, Packet, Properties, SessionAnnouncements
from gateway.core.ports.outbox import Delivery
from gateway.sinks.mqtt.message_expiry import NO_EXPIRY, MessageExpiry
from gateway.sinks.mqtt.packet_limit import PacketLimit
from gateway.sinks.mqtt.paho_engine import LARGEST_PACKET_BYTES
from gateway.sinks.mqtt.types import PacketTooLarge, QoS, end

log = structlog.get_logger("publisher")

_OVERTAKEN_FACTOR: Final = 10


class PublishingClient(Protocol):
    """What sending needs of the MQTT client."""

    @property
    def most_bytes(self) -> int:
        """Return the largest payload that the broker takes on this connection."""
        ...

    @property
    def retains(self) -> bool:
        """Return whether the broker keeps retained messages."""
        ...

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Properties = ...,
        expiry_s: int = 0,
        qos: QoS = 1,
    ) -> "asyncio.Future[None]":
        """Send. The future ends with None, Permanent, Retryable or NotConnected."""
        ...


@dataclass(slots=True, eq=False)
class _Message:
    """A message whose packets are on their way; without `outcome` something that goes beside the messages."""

    outcome: "asyncio.Future[None] | None" = None
    left: int = 1
    """Packets without PUBACK."""
    expiry_s: int = 0
    most_bytes: int = 0
    """The largest payload that it was cut for."""

    @property
    def is_over(self) -> bool:
        """Return whether another packet has decided for the message."""
        return self.outcome is not None and self.outcome.done()


@dataclass(slots=True, eq=False)
class _InFlight:
    """One packet without its PUBACK."""

    topic: str
    message: _Message
    sent_at: float
    size: int = 0
    """Bytes of its payload."""
    overtaken_at: float = math.inf
    """When one that was sent later had its answer."""


class PacketSender:
    """Up to `limit` packets in flight over one connection, in the order of sending.

    A message has arrived when all its packets have; the first packet that is refused decides for all of it, and what was
    not sent of it stays unsent. A refusal for good by a broker that has accepted nothing on this connection yet is one for
    now: it refuses us (an access list with a mistake), not the message, and a backlog must not be thrown away for that.
    """

    def __init__(
        self,
        client: PublishingClient,
        layout: Layout,
        clock: Clock,
        *,
        limit: int,
        expiry: MessageExpiry = NO_EXPIRY,
        session: SessionAnnouncements | None = None,
    ) -> None:
        """Begin with nothing in flight.

        limit: packets in flight. session: numbers each packet immediately before it is sent, and learns of refusals.
        """
        self._client = client
        self._layout = layout
        self._clock = clock
        self._limit = limit
        self._expiry = expiry
        self._session = session
        self._in_flight: dict[asyncio.Future[None], _InFlight] = {}
        self._waiting: deque[tuple[Delivery, _Message]] = deque()
        self._packets: deque[tuple[Packet, _Message]] = deque()
        """Of the one message that is laid out and not sent whole; a message may have thousands."""
        self._landed = asyncio.Event()
        self._last_answer = 0.0
        self._usual = 1  # packets of a message, as the last one had
        self._has_accepted = False
        self._packet_limit = PacketLimit(LARGEST_PACKET_BYTES)
        self._log_throttle = LogThrottle(clock)

    @property
    def has_announcements(self) -> bool:
        """Return whether something that goes beside the messages is in flight."""
        return any(packet.message.outcome is None for packet in self._in_flight.values())

    def send(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Send the packets of a message, each as soon as there is room, and return the future of its outcome."""
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        message = _Message(outcome)
        if self._waiting or self._packets or len(self._in_flight) >= self._limit:
            self._waiting.append((delivery, message))
        elif len(packets := self._lay_out(delivery, message)) == 1:
            self._launch(packets[0], message)  # nearly always
        else:
            self._packets.extend((packet, message) for packet in packets)
            self._launch_waiting()
        return outcome

    def announce(self, packets: Sequence[Packet]) -> "list[asyncio.Future[None]]":
        """Send packets that go beside the messages, at once."""
        return [self._launch(packet, _Message()) for packet in packets]

    @property
    def retains(self) -> bool:
        """Return whether the broker keeps retained messages, so that packets can stand there."""
        return self._client.retains

    async def room(self) -> int:
        """Wait until there is room for a packet; return for how many messages, if they are like the last one."""
        while self._waiting or self._packets or len(self._in_flight) >= self._limit:
            self._landed.clear()
            await self._landed.wait()
        return max(1, (self._limit - len(self._in_flight)) // self._usual)

    async def idle(self) -> None:
        """Wait until nothing is in flight and no packet waits."""
        while self._in_flight or self._packets or self._waiting:
            self._landed.clear()
            await self._landed.wait()

    async def overdue(self, limit_s: float) -> str:
        """Return a reason once acknowledgements stay away for `limit_s`.

        A slow broker is not a lost one: each PUBACK restarts the time. But they come in order (MQTT 5.0, 4.6), so one
        that has been overtaken for ten times as long was lost.
        """
        while True:
            now = self._clock.monotonic()
            oldest = next(iter(self._in_flight.values()), None)
            due = now + limit_s
            if oldest is not None:
                due = min(
                    max(oldest.sent_at, self._last_answer) + limit_s, oldest.overtaken_at + _OVERTAKEN_FACTOR * limit_s
                )
                if due <= now:
                    return f"no acknowledgement for {oldest.topic} within {limit_s:g} s"
            await self._clock.sleep(due - now)

    def reset(self, reason: str, *, by_broker: bool = False) -> None:
        """Forget everything, since the connection is gone.

        What was under way ends with NotConnected; late answers do not count any more. by_broker: the broker has ended it.
        """
        if by_broker and len(self._in_flight) == 1:
            self._too_large(next(iter(self._in_flight.values())))
        lost = {packet.message for packet in self._in_flight.values()}
        lost |= {message for _, message in (*self._packets, *self._waiting)}
        self._in_flight.clear()
        self._packets.clear()
        self._waiting.clear()
        self._has_accepted = False
        self._packet_limit.reconnected()
        for message in lost:
            if message.outcome is not None:
                end(message.outcome, NotConnected(reason))

    def _launch_waiting(self) -> None:
        while len(self._in_flight) < self._limit and (self._packets or self._waiting):
            if not self._packets:
                delivery, message = self._waiting.popleft()
                self._packets.extend((packet, message) for packet in self._lay_out(delivery, message))
                continue
            packet, message = self._packets.popleft()
            if not message.is_over:
                self._launch(packet, message)

    def _lay_out(self, delivery: Delivery, message: _Message) -> Sequence[Packet]:
        """Return the packets of a message; none where it cannot be published, and then its outcome has ended."""
        hist = not delivery.live
        try:
            most_bytes = min(self._client.most_bytes, self._packet_limit.most_bytes)
            packets = self._layout.packets(delivery.message, hist=hist, most_bytes=most_bytes)
        except (Permanent, Postponed) as error:
            if message.outcome is not None:
                end(message.outcome, error)
            return []
        self._usual = message.left = len(packets)
        message.most_bytes = most_bytes
        message.expiry_s = self._expiry.of(delivery.message, hist=hist)
        return packets

    def _launch(self, packet: Packet, message: _Message) -> "asyncio.Future[None]":
        packet = self._session.numbered(packet) if self._session else packet
        future = self._client.publish(
            packet.topic,
            packet.payload,
            retain=packet.is_latest,
            properties=packet.properties,
            expiry_s=0 if packet.is_latest else message.expiry_s,
            qos=1 if packet.is_confirmed else 0,
        )
        self._in_flight[future] = _InFlight(packet.topic, message, self._clock.monotonic(), len(packet.payload))
        future.add_done_callback(self._on_answer)
        return future

    def _on_answer(self, future: "asyncio.Future[None]") -> None:
        packet = self._in_flight.get(future)
        error = future.exception()
        if packet is None or isinstance(error, NotConnected):
            return  # the end of the connection has taken it back (`reset`), or will
        del self._in_flight[future]
        self._last_answer = self._clock.monotonic()
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is not None and oldest.sent_at < packet.sent_at:
            oldest.overtaken_at = min(oldest.overtaken_at, self._last_answer)
        if error is not None and not isinstance(error, Permanent | Retryable):
            raise error
        self._conclude(packet, error)
        if self._packets or self._waiting:
            self._launch_waiting()
        self._landed.set()

    def _too_large(self, packet: _InFlight) -> bool:
        """Record that the broker has not taken a packet. Returns whether its message is cut smaller the next time."""
        if packet.message.outcome is None or packet.size > packet.message.most_bytes:
            return False  # it cannot be cut
        self._packet_limit.failed(packet.size)
        if packet.size <= self._packet_limit.most_bytes:
            return False
        if self._log_throttle.is_due("smaller", "size"):
            most_bytes = self._packet_limit.most_bytes
            log.warning("messages are sent in smaller parts", topic=packet.topic, bytes=packet.size, most_bytes=most_bytes)
        return True

    def _conclude(self, packet: _InFlight, error: Permanent | Retryable | None) -> None:
        is_final = isinstance(error, Permanent) and self._has_accepted
        if error is not None and self._session is not None:
            self._session.refused(packet.topic, str(error), until="reconnect" if is_final else "later")
        message = packet.message
        if error is not None and message.outcome is None and self._log_throttle.is_due(str(error), packet.topic):
            how_long = "for good" if is_final else "for now"
            log.warning(f"message refused {how_long}", topic=packet.topic, reason=str(error))
        if error is None:
            self._packet_limit.passed(packet.size)
            self._has_accepted = True
            message.left -= 1
        if message.outcome is None or message.outcome.done():
            return
        if isinstance(error, PacketTooLarge) and self._too_large(packet):
            error = Postponed(f"{error}: it is sent again in smaller parts")
        elif isinstance(error, Permanent) and not self._has_accepted:
            error = Retryable(str(error))
        if error is not None or message.left == 0:
            end(message.outcome, error)
