"""One connection to the broker: paho's protocol engine on the event loop.

paho's threads, reconnecting and retransmission stay unused: each connection is a fresh client, and what it
had in flight fails.
"""

import asyncio

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.errors import NotConnected, Permanent
from gateway.sinks.mqtt import reason_codes as reasons
from gateway.sinks.mqtt.broker_limits import BrokerLimits
from gateway.sinks.mqtt.packet_reader import ProtocolViolation
from gateway.sinks.mqtt.paho_engine import ErrorCapture, PahoEngine, hang_up
from gateway.sinks.mqtt.read_pace import ReadPace
from gateway.sinks.mqtt.receive_queue import ReceiveQueue
from gateway.sinks.mqtt.send_window import SendWindow
from gateway.sinks.mqtt.types import Outgoing, ReceivedMessage, end

_MOST_ANSWER_BYTES = 1 << 18


class Connection:
    """One connection, from a connected socket to its end.

    Everything here happens on the event loop; the thread that made the connection is over by then.
    """

    def __init__(
        self,
        client: PahoEngine,
        *,
        topic_aliases: bool,
        most_waiting_bytes: int,
        limits: BrokerLimits,
        pace: ReadPace,
        resume: bool = False,
    ) -> None:
        """most_waiting_bytes: with so much received and not taken, nothing more is read. limits, pace: of all connections.

        resume: take what a kept session brings before anything is subscribed here.
        """
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._stream = client.stream
        self.certificate = client.certificate
        self._may_alias = topic_aliases
        self._limits, self._pace = limits, pace
        self._subscribed = resume
        self.resumed = False
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[str] = self._loop.create_future()
        self._window = SendWindow(client.next_packet_id, self._put, client.send_ping)
        self._qos0 = self._window.qos0
        self._subscribing: dict[int, asyncio.Future[None]] = {}
        self._received = ReceiveQueue(most_waiting_bytes)
        self._arrival = asyncio.Event()
        self._fd = -1
        self.ended_at = 0.0
        self._reading = self._writing = self._flushing = self._pausing = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_error = ErrorCapture()

    @property
    def up(self) -> bool:
        """Whether the broker has accepted and the connection stands."""
        return self._accepted.done() and not self._accepted.cancelled() and not self.gone.done()

    @property
    def most_bytes(self) -> int:
        """The largest packet that the broker takes."""
        return self._window.most_bytes

    async def start(self) -> None:
        """Send CONNECT and return when it is accepted. Raises NotConnected."""
        self._fd = self._stream.fileno()
        client, pace = self._client, self._pace
        client.enable_logger(self._last_error.logger)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_acknowledged = self._on_acknowledged
        client.on_subscribe = self._on_subscribe
        client.on_received = self._on_received
        client.on_ping = lambda: self._qos0.ping_sent(self._loop.time())
        client.on_pong = lambda: pace.answer(was_asked=self._qos0.answered(self._loop.time()))
        client.on_socket_close = lambda *_: self._unwatch()
        client.on_socket_register_write = self._on_want_write
        self._watch_reads(True)
        self._write()
        self._tick()
        await self._accepted

    async def close(self, limit_s: float, *, forget: bool = False) -> None:
        """Send what is queued and DISCONNECT; hang up after `limit_s`. forget: the broker's session ends with it."""
        try:
            if self.up:
                self._client.send_disconnect(forget=forget)
                await asyncio.wait({self.gone}, timeout=limit_s)
        finally:
            self.drop("closed")

    def drop(self, reason: str) -> None:
        """Hang up without a word; the broker sends the last will."""
        self._unwatch()
        hang_up(self._client)
        self._finish(reason)

    def publish(self, outgoing: Outgoing) -> None:
        """Send, or queue where the broker's receive maximum is reached."""
        if self.gone.done():
            outgoing.fail(NotConnected(self.gone.result()))
        else:
            self._window.publish(outgoing)

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        """Return on the SUBACK. Raises Permanent, NotConnected."""
        self._subscribed = True
        try:
            _, packet_id = self._client.subscribe(topic_filter, qos)
        except ValueError:
            raise Permanent(f"{topic_filter!r} is not a topic filter") from None
        if packet_id is None:
            raise NotConnected(await asyncio.shield(self.gone))
        self._subscribing[packet_id] = self._loop.create_future()
        await self._subscribing[packet_id]

    async def receive(self) -> ReceivedMessage:
        """Return the next message; reading goes on once half of the room is free."""
        while not self._received:
            if self.gone.done():
                raise NotConnected(self.gone.result())
            self._arrival.clear()
            await self._arrival.wait()
        message = self._received.pop()
        self._read_on()
        return message

    def _put(self, packet: bytes) -> None:
        """Into the buffer; all that comes in this turn of the event loop leaves it in one call of the system."""
        try:
            self._client.put(packet)
        except OSError:
            self._find_out()
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._write)

    def _read(self) -> None:
        if self._fd < 0 or not self._reading:
            return
        try:
            has_more = self._client.read()
        except ProtocolViolation as error:
            self.drop(str(error))
            return
        if self._fd >= 0 and self._stream.unsent:
            self._write()  # acknowledgements, and answers to a WebSocket's pings
        self._pace.frames(*self._stream.take_frames(), self._loop.time())
        if self._pace.is_flooded:
            self.drop(reasons.FLOODED)
        elif pause_s := self._pace.pause_s:
            self._pausing = True
            self._watch_reads(False)
            self._loop.call_later(pause_s, self._end_pause)
        elif self._received.is_full or self._stream.answer_bytes >= _MOST_ANSWER_BYTES:  # the broker has to wait
            self._watch_reads(False)  # `receive` or `_write` goes on
        elif has_more:
            self._loop.call_soon(self._read)

    def _end_pause(self) -> None:
        self._pausing = False
        self._read_on()

    def _read_on(self) -> None:
        """Read again where the broker had to wait, once half of the room is free."""
        if self._fd < 0 or self._reading or self._pausing or not self._received.is_half_empty:
            return
        if self._stream.answer_bytes < _MOST_ANSWER_BYTES:
            self._watch_reads(True)
            self._loop.call_soon(self._read)

    def _write(self) -> None:
        self._flushing = False
        if self._fd < 0:
            return
        if self._qos0.has_unasked:
            self._client.send_ping()
        self._client.loop_write()
        self._flush()
        self._read_on()
        if self._fd >= 0 and (self._client.want_write() or self._stream.unsent) != self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._fd, self._write)
            else:
                self._loop.remove_writer(self._fd)

    def _flush(self) -> None:
        try:
            if self._fd >= 0:
                self._stream.flush()
        except OSError:
            self._find_out()

    def _find_out(self) -> None:
        """Let paho read, so that it reports why the stream does not take what is sent."""
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
        """Stop watching the socket before it is closed: its number may be another's at once."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._fd = -1

    def _finish(self, reason: str | NotConnected) -> None:
        if self.gone.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        self.gone.set_result(str(reason))
        self.ended_at = self._loop.time()
        self._arrival.set()
        lost = reason if isinstance(reason, NotConnected) else NotConnected(reason)
        for future in (self._accepted, *self._subscribing.values()):
            end(future, lost)
        self._window.fail(lost)

    def _on_want_write(self, *_: object) -> None:
        self._loop.call_soon(self._write)

    def _on_connect(
        self, _c: object, _u: object, flags: mqtt.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._note(code.value)
            self._finish(reasons.not_accepted(code.value, code.getName(), reasons.words_of(properties)))
            return
        self.resumed = flags.session_present
        window, most_bytes, aliases, retain = self._limits.granted(properties)
        self._window.allow(window, most_bytes, aliases if self._may_alias else 0, retain=retain)
        if getattr(properties, "MaximumQoS", 1) < 1:
            self._finish("the broker does not take QoS 1")
        elif not self._accepted.done():
            self._accepted.set_result(None)

    def _on_disconnect(
        self, _c: object, _u: object, flags: mqtt.DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._note(code.value)
            reason = f"the broker disconnects: {reasons.spell(code.value, code.getName())}{reasons.words_of(properties)}"
        else:
            reason = reasons.disconnected(code.value, self._last_error.text)
        if not self._accepted.done():
            reason += reasons.before_it_accepted(with_tls=self.certificate is not None)
        self._finish(reason)

    def _on_acknowledged(self, packet_id: int, code: int) -> None:
        self._note(code)
        self._pace.answer(was_asked=self._window.acknowledged(packet_id, code))
        if self._window.waits:
            self._loop.call_soon(self._window.send_waiting)

    def _note(self, code: int) -> None:
        if code == reasons.RETAIN_NOT_SUPPORTED:
            self._limits.cannot_retain()
            self._window.retain_nothing()

    def _on_subscribe(self, _c: object, _u: object, packet_id: int, codes: list[ReasonCode], _p: object) -> None:
        future = self._subscribing.pop(packet_id, None)
        self._pace.answer(was_asked=future is not None)
        if future is not None:
            refused = next((code for code in codes if code.is_failure), None)
            end(future, Permanent(f"the broker refuses the subscription: {refused}") if refused else None)

    def _on_received(self, message: ReceivedMessage) -> None:
        self._pace.message(message.memory_bytes)
        if not self._subscribed:
            return  # of a session that the broker has kept, and nobody here asks for it
        self._received.push(message)
        self._arrival.set()
