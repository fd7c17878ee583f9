"""One connection to the broker: paho's protocol engine on the event loop.

paho is used for what it does well, packets and keep alive. Its threads, its reconnecting and its retransmission stay
unused: each connection is a fresh paho client, and what it had in flight when it broke is failed, not kept.
"""

import asyncio
from collections import deque

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.sinks.mqtt.aliases import Aliases
from gateway.sinks.mqtt.engine import LARGEST_PACKET_BYTES, Complaint, Engine, hang_up, name_of
from gateway.sinks.mqtt.packets import publish
from gateway.sinks.mqtt.reasons import refusal, spell
from gateway.sinks.mqtt.traffic import Outgoing, Received, end
from gateway.sinks.mqtt.unproven import Unproven

_MOST_WAITING = 10_000
_MOST_RECEIVED = 10_000
_OVERHEAD_BYTES = 16  # fixed header 5, topic length 2, packet id 2, properties' length 4, topic alias 3
_UNSPECIFIED, _PROTOCOL_ERROR, _KEEPALIVE_TIMEOUT = 0x80, 0x82, 0x8D


class Link:
    """One connection, from a connected socket to its end. Everything here happens on the event loop; the thread that
    made the connection is over by then."""

    def __init__(
        self,
        client: Engine,
        *,
        topic_aliases: bool,
        most_received: int = LARGEST_PACKET_BYTES,
        resume: bool = False,
    ) -> None:
        """resume: take what a kept session brings before anything is subscribed here."""
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._wire = client.wire
        self.certificate = client.certificate
        self._may_alias = topic_aliases
        self._most_received = most_received
        self._aliases: Aliases | None = None
        self._subscribed = resume
        self.resumed = False
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[str] = self._loop.create_future()
        self._sent: dict[int, Outgoing] = {}  # by packet id
        self._waiting: deque[Outgoing] = deque()
        self._unproven = Unproven()
        self._subscribing: dict[int, asyncio.Future[None]] = {}
        self._received: deque[Received] = deque()
        self._arrival = asyncio.Event()
        self._window = 65_535
        self.most_bytes = LARGEST_PACKET_BYTES
        self._can_retain = True
        self._fd = -1
        self.ended_at = 0.0
        self._reading = self._writing = self._flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._complaint = Complaint()

    @property
    def up(self) -> bool:
        """Whether the broker has accepted and the connection stands."""
        return self._accepted.done() and not self._accepted.cancelled() and not self.gone.done()

    async def start(self) -> None:
        """Send CONNECT and return when it is accepted. Raises NotConnected."""
        self._fd = self._wire.fileno()
        client = self._client
        client.enable_logger(self._complaint.logger)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_acknowledged = self._on_acknowledged
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_ping = lambda: self._unproven.asked(self._loop.time())
        client.on_pong = lambda: self._unproven.answered(self._loop.time())
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_want_write
        self._watch_reads(True)
        self._write()
        self._tick()
        await self._accepted

    async def close(self, limit_s: float, *, forget: bool = False) -> None:
        """Send what is queued and DISCONNECT; hang up after `limit_s`. forget: the broker's session ends with it."""
        try:
            if self.up:
                self._client.say_goodbye(forget=forget)
                async with asyncio.timeout(limit_s):
                    await asyncio.shield(self.gone)
        except TimeoutError:
            pass
        finally:
            self.drop("closed")

    def drop(self, reason: str) -> None:
        """Hang up without a word; the broker sends the last will."""
        self._unwatch()
        hang_up(self._client)
        self._finish(reason)

    def publish(self, outgoing: Outgoing) -> None:
        """Send, or queue where the broker's receive maximum is reached (MQTT 5.0, 4.9), which QoS 0 does not count for."""
        size = len(outgoing.topic.encode()) + len(outgoing.payload) + len(outgoing.properties or b"") + _OVERHEAD_BYTES
        if self.gone.done():
            outgoing.fail(NotConnected(self.gone.result()))
        elif size > self.most_bytes:
            # A larger packet is a protocol error (MQTT 5.0, 3.2.2.3.6): the broker would end the connection.
            outgoing.fail(Permanent(f"{outgoing.topic}: {size} bytes, the broker takes at most {self.most_bytes}"))
        elif outgoing.qos == 0 and len(self._unproven) < _MOST_WAITING:
            self._send_unnumbered(outgoing)
        elif outgoing.qos and len(self._sent) < self._window and not self._waiting:
            self._send(outgoing)
        elif outgoing.qos and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(outgoing)
        else:
            outgoing.fail(Retryable(f"{_MOST_WAITING} messages wait for the broker already"))

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        """Return on the SUBACK. Raises Permanent, NotConnected."""
        self._subscribed = True
        try:
            _, packet_id = self._client.subscribe(topic_filter, qos)
        except ValueError as error:
            raise Permanent(f"{topic_filter!r} is not a topic filter: {error}") from None
        if packet_id is None:
            raise NotConnected(await asyncio.shield(self.gone))
        self._subscribing[packet_id] = self._loop.create_future()
        await self._subscribing[packet_id]

    async def receive(self) -> Received:
        """The next message; reading goes on once half of the room is free."""
        while not self._received:
            if self.gone.done():
                raise NotConnected(self.gone.result())
            self._arrival.clear()
            await self._arrival.wait()
        if not self._reading and len(self._received) <= _MOST_RECEIVED // 2:
            self._watch_reads(True)
            self._loop.call_soon(self._read)
        return self._received.popleft()

    def _send(self, outgoing: Outgoing) -> None:
        topic = outgoing.topic
        if self._aliases is not None:
            topic, outgoing.alias = self._aliases.use(topic)
        packet_id = self._packet_id()
        try:
            packet = publish(
                topic, outgoing.payload, packet_id, outgoing.retain and self._can_retain, outgoing.properties, outgoing.alias
            )
        except ValueError as error:
            outgoing.fail(Permanent(f"{outgoing.topic!r} cannot be published: {error}"))
            return
        self._sent[packet_id] = outgoing
        self._put(packet)

    def _packet_id(self) -> int:
        """One that is not in use: there are more of them than `_window` lets be sent."""
        while (packet_id := self._client.next_packet_id()) in self._sent:
            pass
        return packet_id

    def _send_unnumbered(self, outgoing: Outgoing) -> None:
        """At QoS 0; a PINGREQ follows each message, or from `_write` each batch, in the same call of the system. Topics go
        in full: an alias in a message that the broker drops without a word may stay unknown to it."""
        retain = outgoing.retain and self._can_retain
        try:
            packet = publish(outgoing.topic, outgoing.payload, 0, retain, outgoing.properties)
        except ValueError as error:
            outgoing.fail(Permanent(f"{outgoing.topic!r} cannot be published: {error}"))
            return
        self._unproven.sent(outgoing)
        self._put(packet)
        if not self._unproven.quick:
            self._client.ask()

    def _put(self, packet: bytes) -> None:
        """Into the buffer; all that comes in this turn of the event loop leaves it in one call of the system."""
        try:
            self._client.put(packet)
        except OSError:
            self._find_out()
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._write)

    def _send_waiting(self) -> None:
        while self._waiting and len(self._sent) < self._window and not self.gone.done():
            outgoing = self._waiting.popleft()
            if not outgoing.future.done():
                self._send(outgoing)

    def _read(self) -> None:
        if self._fd < 0 or not self._reading:
            return
        if not self._read_acknowledgements():
            self._client.loop_read()
        if self._fd >= 0 and self._client.incoming_bytes > self._most_received:
            self.drop(f"the broker sends {self._client.incoming_bytes} bytes in one packet, more than {self._most_received}")
        if self._fd >= 0 and self._wire.unsent:
            self._write()  # the answer to a WebSocket's ping
        if len(self._received) >= _MOST_RECEIVED:
            self._watch_reads(False)
        elif self._fd >= 0 and self._wire.pending():
            self._loop.call_soon(self._read)

    def _read_acknowledgements(self) -> bool:
        """Whether they were all there was to read."""
        client = self._client
        if not client.between_packets:
            return False
        try:
            found = client.acknowledgements()
        except OSError:
            return False  # paho finds out what it is
        for packet_id, code in found:
            self._on_acknowledged(packet_id, code)
        return bool(found)

    def _write(self) -> None:
        self._flushing = False
        if self._fd < 0:
            return
        if self._unproven.unasked:
            self._client.ask()
        self._client.loop_write()
        self._flush()
        if self._fd >= 0 and (self._client.want_write() or self._wire.unsent) != self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._fd, self._write)
            else:
                self._loop.remove_writer(self._fd)

    def _flush(self) -> None:
        try:
            if self._fd >= 0:
                self._wire.flush()
        except OSError:
            self._find_out()

    def _find_out(self) -> None:
        """The wire does not take what is sent: paho, reading, learns why, and tells."""
        self._watch_reads(True)
        self._loop.call_soon(self._read)

    def _tick(self) -> None:
        """Keep alive: paho sends PINGREQ when due and gives up when nothing came back."""
        self._client.loop_misc()
        if not self.gone.done():
            self._timer = self._loop.call_later(min(max(self._client.keepalive / 4, 0.25), 1.0), self._tick)

    def _watch_reads(self, on: bool) -> None:
        if self._fd >= 0 and on != self._reading:
            self._reading = on
            if on:
                self._loop.add_reader(self._fd, self._read)
            else:
                self._loop.remove_reader(self._fd)

    def _unwatch(self) -> None:
        """Called before the socket is closed: its number may be another's at once."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._fd = -1

    def _finish(self, reason: str) -> None:
        if self.gone.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        self.gone.set_result(reason)
        self.ended_at = self._loop.time()
        self._arrival.set()
        lost = NotConnected(reason)
        for future in (self._accepted, *self._subscribing.values()):
            end(future, lost)
        for outgoing in (*self._sent.values(), *self._waiting):
            outgoing.fail(lost)
        self._sent.clear()
        self._waiting.clear()
        self._unproven.fail(lost)

    def _on_socket_close(self, *_: object) -> None:
        self._unwatch()

    def _on_want_write(self, *_: object) -> None:
        self._loop.call_soon(self._write)

    def _on_connect(
        self, _c: object, _u: object, flags: mqtt.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._finish(f"the broker refuses: {spell(code.value, code.getName())}{_elsewhere(properties)}")
            return
        self.resumed = flags.session_present
        # MQTT 5.0, 3.2.2.3: absent means the largest value, and retain available.
        self._window = getattr(properties, "ReceiveMaximum", self._window)
        self.most_bytes = getattr(properties, "MaximumPacketSize", self.most_bytes)
        self._can_retain = bool(getattr(properties, "RetainAvailable", True))
        if self._may_alias and (most := getattr(properties, "TopicAliasMaximum", 0)):
            self._aliases = Aliases(most)
        if getattr(properties, "MaximumQoS", 1) < 1:
            self._finish("the broker does not take QoS 1")
        elif not self._accepted.done():
            self._accepted.set_result(None)

    def _on_disconnect(
        self, _c: object, _u: object, flags: mqtt.DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            reason = f"the broker disconnects: {spell(code.value, code.getName())}{_elsewhere(properties)}"
        elif code.value == _KEEPALIVE_TIMEOUT:
            reason = "no sign of life from the broker within the keep alive"
        elif code.value == _PROTOCOL_ERROR:
            reason = "what came is not MQTT as paho knows it"
        elif code.value < _UNSPECIFIED:
            reason = "closed"
        else:
            reason = self._complaint.text or "the broker closed the connection"
        if not self._accepted.done():
            doubt = ", and does it want a client certificate (mqtt.tls.cert)?" if self.certificate else "?"
            reason += f" before it accepted: does it speak this MQTT version (mqtt.version){doubt}"
        self._finish(reason)

    def _on_acknowledged(self, packet_id: int, code: int) -> None:
        outgoing = self._sent.pop(packet_id, None)
        if outgoing is not None:
            failed = code >= _UNSPECIFIED
            if outgoing.alias and self._aliases is not None and not failed:
                self._aliases.acknowledged(outgoing.topic, outgoing.alias)
            end(outgoing.future, refusal(code, name_of(code), outgoing.topic) if failed else None)
        if self._waiting:
            self._loop.call_soon(self._send_waiting)

    def _on_subscribe(self, _c: object, _u: object, packet_id: int, codes: list[ReasonCode], _p: object) -> None:
        future = self._subscribing.pop(packet_id, None)
        if future is not None:
            refused = next((code for code in codes if code.is_failure), None)
            end(future, Permanent(f"the broker refuses the subscription: {refused}") if refused else None)

    def _on_message(self, _c: object, _u: object, message: mqtt.MQTTMessage) -> None:
        if not self._subscribed:
            return  # of a session that the broker has kept, and nobody here asks for it
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self._received.append(Received(topic, bytes(message.payload), message.qos, message.retain, message.dup))
        self._arrival.set()


def _elsewhere(properties: Properties | None) -> str:
    """Where the broker sends us (MQTT 5.0, 4.13): told and not followed, for it would lead the password to anywhere."""
    reference = getattr(properties, "ServerReference", "")
    return f"; it refers to {reference!r}, to be set in mqtt.url" if reference else ""
