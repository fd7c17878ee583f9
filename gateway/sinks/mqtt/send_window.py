"""Messages on their way over one connection, as far as the broker's limits let them go. No I/O: packets are handed on."""

from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.core.errors import GatewayError, Permanent, Retryable
from gateway.sinks.mqtt.aliases import TopicAliases
from gateway.sinks.mqtt.packets import publish
from gateway.sinks.mqtt.paho_engine import LARGEST_PACKET_BYTES, name_of
from gateway.sinks.mqtt.qos0_tracker import Qos0Tracker
from gateway.sinks.mqtt.reason_codes import refusal
from gateway.sinks.mqtt.types import Outgoing, PacketTooLarge, end

_MOST_WAITING: Final = 10_000
_OVERHEAD_BYTES: Final = 16  # fixed header 5, topic length 2, packet id 2, properties' length 4, topic alias 3
_UNSPECIFIED: Final = 0x80


class SendWindow:
    """What was sent and is not acknowledged yet, and what waits until it may be sent.

    It waits where the broker's receive maximum is reached (MQTT 5.0, 4.9), which QoS 0 does not count for.
    """

    def __init__(self, next_packet_id: Callable[[], int], put: Callable[[bytes], None], ask: Callable[[], None]) -> None:
        """put: takes a packet. ask: sends a PINGREQ after all that was put."""
        self._next_packet_id = next_packet_id
        self._put = put
        self._ask = ask
        self._sent: dict[int, Outgoing] = {}  # by packet id
        self._waiting: deque[Outgoing] = deque()
        self._aliases: TopicAliases | None = None
        self._window, self._can_retain = 0, False
        self.most_bytes = LARGEST_PACKET_BYTES
        self.qos0 = Qos0Tracker()

    @property
    def waits(self) -> bool:
        """Whether something waits for an acknowledgement of something before it."""
        return bool(self._waiting)

    def allow(self, window: int, most_bytes: int, topic_aliases: int, *, retain: bool) -> None:
        """Apply what the broker's CONNACK says: receive maximum, largest packet, topic alias maximum, whether it retains."""
        self._window, self.most_bytes, self._can_retain = window, most_bytes, retain
        self._aliases = TopicAliases(topic_aliases) if topic_aliases else None

    def retain_nothing(self) -> None:
        """Send without the retain flag from now on."""
        self._can_retain = False

    def publish(self, outgoing: Outgoing) -> None:
        """Send, or queue."""
        size = len(outgoing.topic.encode()) + len(outgoing.payload) + len(outgoing.properties or b"") + _OVERHEAD_BYTES
        if size > self.most_bytes:
            # A larger packet is a protocol error (MQTT 5.0, 3.2.2.3.6): the broker would end the connection.
            outgoing.fail(PacketTooLarge(f"{outgoing.topic}: {size} bytes, the broker takes at most {self.most_bytes}"))
        elif outgoing.qos == 0 and len(self.qos0) < _MOST_WAITING:
            self._send_unnumbered(outgoing)
        elif outgoing.qos and len(self._sent) < self._window and not self._waiting:
            self._send(outgoing)
        elif outgoing.qos and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(outgoing)
        else:
            outgoing.fail(Retryable(f"{_MOST_WAITING} messages wait for the broker already"))

    def send_waiting(self) -> None:
        """Send what acknowledgements have made room for."""
        while self._waiting and len(self._sent) < self._window:
            outgoing = self._waiting.popleft()
            if not outgoing.future.done():
                self._send(outgoing)

    def acknowledged(self, packet_id: int, code: int) -> bool:
        """Take a PUBACK. Returns False for one that nobody waits for, which means nothing."""
        outgoing = self._sent.pop(packet_id, None)
        if outgoing is None:
            return False
        failed = code >= _UNSPECIFIED
        if outgoing.alias and self._aliases is not None and not failed:
            self._aliases.acknowledged(outgoing.topic, outgoing.alias)
        end(outgoing.future, refusal(code, name_of(code), outgoing.topic) if failed else None)
        return True

    def fail(self, error: GatewayError) -> None:
        """End all that was sent or waits with `error`: the connection is over."""
        for outgoing in (*self._sent.values(), *self._waiting):
            outgoing.fail(error)
        self._sent.clear()
        self._waiting.clear()
        self.qos0.fail(error)

    def _send(self, outgoing: Outgoing) -> None:
        topic = outgoing.topic
        if self._aliases is not None:
            topic, outgoing.alias = self._aliases.use(topic)
        packet_id = self._packet_id()
        packet = self._written(outgoing, topic, packet_id)
        if packet is not None:
            self._sent[packet_id] = outgoing
            self._put(packet)

    def _packet_id(self) -> int:
        """One that is not in use: there are more of them than `_window` lets be sent."""
        while (packet_id := self._next_packet_id()) in self._sent:
            pass
        return packet_id

    def _send_unnumbered(self, outgoing: Outgoing) -> None:
        """At QoS 0; a PINGREQ follows each message, or each batch, in the same call of the system.

        Topics go in full: an alias in a message that the broker drops without a word may stay unknown to it.
        """
        packet = self._written(outgoing, outgoing.topic, 0)
        if packet is not None:
            self.qos0.sent(outgoing)
            self._put(packet)
            if not self.qos0.quick:
                self._ask()

    def _written(self, outgoing: Outgoing, topic: str, packet_id: int) -> bytes | None:
        """Return the packet; None when there is none for it, and then its future has ended."""
        retain = outgoing.retain and self._can_retain
        try:
            return publish(topic, outgoing.payload, packet_id, retain, outgoing.properties, outgoing.alias)
        except ValueError as error:
            outgoing.fail(Permanent(f"{outgoing.topic!r} cannot be published: {error}"))
            return None
