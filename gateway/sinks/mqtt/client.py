"""The MQTT client as the gateway sees it: a sink, and a subscriber for `gateway tail`."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from gateway.core.errors import NotConnected, Permanent
from gateway.core.ports.layout import Properties
from gateway.core.undo import undone_on_error
from gateway.sinks.access.certificates import Certificate, certificate_in
from gateway.sinks.mqtt.address import Address
from gateway.sinks.mqtt.broker_limits import BrokerLimits
from gateway.sinks.mqtt.broker_list import BrokerList
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.connect_thread import ConnectThread
from gateway.sinks.mqtt.connection import Connection
from gateway.sinks.mqtt.login import read_password
from gateway.sinks.mqtt.paho_engine import LARGEST_PACKET_BYTES, PahoEngine
from gateway.sinks.mqtt.properties import pack
from gateway.sinks.mqtt.read_pace import ReadPace
from gateway.sinks.mqtt.reason_codes import unreachable
from gateway.sinks.mqtt.transport import OpenStream, connect_stream, probe
from gateway.sinks.mqtt.types import Outgoing, QoS, ReceivedMessage, Will

LARGEST_RECEIVED_BYTES = 16 << 20
"""Of a message that a subscriber takes: windows of 100,000 tags, as JSON."""
_LARGEST_FRAME_BYTES = 4 << 20
_LONGEST_CLOSE_S = 2.0
_HEAD_BYTES = 512
_NO_PROPERTIES = Properties()
_OR_NO_RETAIN = "Or does it keep no retained messages? Then set mqtt.retain: false"
_PROBE_S = 30.0
_PROBE_MORE_S = 1.0


class MqttClient:
    """A `core.ports.Sink`, and a subscriber for `gateway tail`. One owner; `open` and `close` never overlap.

    Several addresses are tried in order; on another than the first, those before it are probed (a connection without MQTT,
    which disturbs nothing) until one has been reachable for `return_after`: then this connection is given up.
    Without a kept session nothing remains at the broker but retained messages. The broker's receive maximum, maximum
    packet size and topic alias maximum are honoured. Runs on any event loop with `add_reader`, uvloop included.
    """

    def __init__(
        self,
        config: MqttConfig,
        *,
        client_id: str = "",
        will: Will | Callable[[], Will | None] | None = None,
        most_received: int = LARGEST_RECEIVED_BYTES,
        resume: bool = False,
        is_paced: bool = False,
    ) -> None:
        """client_id: used where the configuration has none; empty lets the broker choose.

        will: one, or a new one for each CONNECT: called on the event loop when the stream stands. most_received: bytes of
        the largest packet that is taken, and of what may wait to be received; a larger packet ends the connection at its
        header. resume: take what a kept session brings (else: only what was subscribed on this connection).
        is_paced: a flood of messages is read slowly, as `ReadPace` says.
        """
        self._config = config
        self._client_id = config.client_id or client_id
        self._will = will
        self._most_received = most_received
        self._resume = resume
        self._timeout_s = config.timeout / 1e9
        self._connection: Connection | None = None
        self._connector: ConnectThread[OpenStream] = ConnectThread(lambda connected: connected.stream.close())
        self._logins: ConnectThread[str] = ConnectThread(lambda _: None)
        self._prober: ConnectThread[None] = ConnectThread(lambda _: None)
        self._probing: asyncio.Task[None] | None = None
        self._limits = BrokerLimits(config.max_packet or LARGEST_PACKET_BYTES, config.retain)
        self._pace = ReadPace(is_paced=is_paced)
        self._brokers = BrokerList(len(config.addresses), config.return_after / 1e9)

    async def open(self) -> None:
        """Connect to the first broker that accepts. Raises NotConnected with what to do, `timeout` per broker at the latest.

        Cancelling returns at once; a connection that a thread still makes is closed as soon as it is there.
        """
        self._stop_probing()
        if self._connection is not None:
            self._connection.drop("opened anew")
            self._brokers.lost(self._connection.ended_at)
            self._connection = None
        refusals: list[NotConnected] = []
        for number in self._brokers.order:
            try:
                self._connection = await self._open_retaining(self._config.addresses[number])
            except NotConnected as error:
                refusals.append(error)
                continue
            self._brokers.connected(number, asyncio.get_running_loop().time())
            if self._brokers.preferred:
                self._probing = asyncio.create_task(self._return(self._connection), name="mqtt: probing")
            return
        security = next((error.security for error in refusals if error.security), None)
        raise NotConnected("; ".join(str(error) for error in refusals), security=security)

    async def _open_retaining(self, address: Address) -> Connection:
        """Connect, once more without a retained will where the broker says that it keeps nothing. Raises NotConnected."""
        retains = self._limits.retains
        try:
            return await self._open(address)
        except NotConnected:
            if not retains or self._limits.retains:
                raise
        return await self._open(address)

    async def _open(self, address: Address) -> Connection:
        connection: Connection | None = None
        password = await self._logins.run(lambda: read_password(self._config))
        try:
            async with asyncio.timeout(self._timeout_s):
                frame_bytes = max(self._most_received, _LARGEST_FRAME_BYTES)
                connected = await self._connector.run(
                    lambda: connect_stream(address, self._config, self._timeout_s, frame_bytes)
                )
                connection = Connection(
                    self._paho_engine(replace(connected, password=password)),
                    topic_aliases=self._config.topic_aliases,
                    most_waiting_bytes=self._most_received,
                    limits=self._limits,
                    pace=self._pace,
                    resume=self._resume,
                )
                await connection.start()
        except TimeoutError:
            raise self._silence(address, connection) from None
        except NotConnected as error:
            if connection is None or self._config.version == "5" or self._will is None or not self._limits.retains:
                raise
            raise NotConnected(f"{error} {_OR_NO_RETAIN}", security=error.security) from None
        finally:
            if connection is not None and not connection.up:
                connection.drop("not accepted")
        return connection

    def _paho_engine(self, connected: OpenStream) -> PahoEngine:
        with undone_on_error(connected.stream.close):  # it has no other owner yet
            will = self._will() if callable(self._will) else self._will
            if will is not None and not self._limits.retains:
                will = replace(will, retain=False)
            return PahoEngine(connected, self._config, self._client_id, will, self._most_received)

    @property
    def resumed(self) -> bool:
        """Return whether the broker had kept this client id's session, with its subscriptions and what came meanwhile.

        It says so in CONNACK (Session Present; MQTT 5.0, 3.2.2.1.1).
        """
        return self._connection is not None and self._connection.resumed

    @property
    def certificates(self) -> list[Certificate]:
        """Return the broker's certificate on this connection, and the gateway's own as its file is now.

        As far as they can be read. Reads a file; may be called on a thread.
        """
        connection = self._connection
        found = [connection.certificate] if connection is not None and connection.certificate else []
        own = certificate_in("gateway", self._config.tls.cert) if self._config.tls.cert is not None else None
        return [*found, own] if own else found

    @property
    def most_bytes(self) -> int:
        """Largest payload that the broker takes on this connection; without one, what MQTT can carry.

        512 bytes of the packet are kept free for topic and properties (half of it, where the broker takes less than 1 KiB).
        """
        packet = LARGEST_PACKET_BYTES if self._connection is None else self._connection.most_bytes
        return packet - min(_HEAD_BYTES, packet // 2)

    @property
    def retains(self) -> bool:
        """Return whether the broker keeps retained messages, as far as it has said so."""
        return self._limits.retains_here

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Properties = _NO_PROPERTIES,
        expiry_s: int = 0,
        qos: QoS = 1,
    ) -> asyncio.Future[None]:
        """Send, at QoS 1 now or when the broker's receive maximum allows. MQTT 3.1.1 carries no properties.

        The future ends with the PUBACK: None on success, also without subscribers (0x10); Permanent or Retryable as
        `reasons.refusal` says (MQTT 5.0, 3.4.2.1); NotConnected when the connection went first. In MQTT 3.1.1 a PUBACK
        has no reason code and is always a success. At QoS 0 it ends with the PINGRESP to a PINGREQ that follows: the
        broker has read the message, which is all that can be known; it cannot refuse one but by hanging up.
        """
        outgoing = Outgoing(topic, payload, retain, None, asyncio.get_running_loop().create_future(), qos=qos)
        try:
            outgoing.properties = pack(properties, expiry_s) if self._config.version == "5" else None
        except ValueError as error:
            outgoing.fail(Permanent(f"{topic!r} cannot be published: {error}"))
            return outgoing.future
        if self._connection is None:
            outgoing.fail(NotConnected("not opened"))
        else:
            self._connection.publish(outgoing)
        return outgoing.future

    async def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Receive what matches `topic_filter`. Raises Permanent when the broker refuses, NotConnected when it is gone."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._opened().subscribe(topic_filter, qos)
        except TimeoutError:
            raise NotConnected(f"the broker does not answer a subscription within {self._timeout_s:g} s") from None

    async def receive(self) -> ReceivedMessage:
        """Return the next message of any subscription.

        Raises NotConnected once the connection is gone and all before it were given.

        With 10,000 messages or `most_received` bytes waiting the client stops reading, so that the broker holds the rest
        back; a caller that then stays away for twice the keep alive loses the connection. One caller.
        """
        return await self._opened().receive()

    async def lost(self) -> str:
        """Return the reason once the connection is gone.

        Broker's DISCONNECT, closed, reset, or no sign of life within twice the keep alive (MQTT 5.0, 3.1.2.10).
        """
        return "not opened" if self._connection is None else await asyncio.shield(self._connection.gone)

    async def close(self, *, abort: bool = False, forget: bool = False) -> None:
        """Send what is queued and DISCONNECT, so that the last will stays unsent; after 2 s hang up. Never raises.

        With `abort` it hangs up at once, and the broker sends the last will. With `forget` the broker keeps no session
        of it, whatever was configured (MQTT 5).
        """
        self._stop_probing()
        if self._connection is None:
            return
        if abort:
            self._connection.drop("hung up")
        else:
            await self._connection.close(min(self._timeout_s, _LONGEST_CLOSE_S), forget=forget)

    @property
    def broker_count(self) -> int:
        """Return how many addresses there are."""
        return len(self._config.addresses)

    def move_on(self) -> None:
        """Let the next `open` begin with the broker after this one, and stay there while the connection holds."""
        self._brokers.move_on()

    def _opened(self) -> Connection:
        if self._connection is None:
            raise NotConnected("not opened")
        return self._connection

    async def _return(self, connection: Connection) -> None:
        loop, wait_s = asyncio.get_running_loop(), min(_PROBE_S, self._config.return_after / 4e9)
        while True:
            await asyncio.sleep(wait_s)
            for number in self._brokers.preferred:
                address = self._config.addresses[number]
                if self._brokers.probed(number, await self._reachable(address), loop.time()):
                    connection.drop(f"going back to {address}")
                    return

    async def _reachable(self, address: Address) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s + _PROBE_MORE_S):
                await self._prober.run(lambda: probe(address, self._config, self._timeout_s))
        except (NotConnected, TimeoutError):
            return False
        return True

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    def _silence(self, address: Address, connection: Connection | None) -> NotConnected:
        if connection is None:
            return unreachable(TimeoutError(), address.host, address.port, self._timeout_s)
        return NotConnected(
            f"{address} took the connection but does not answer in MQTT within {self._timeout_s:g} s: "
            "is the port right, and does it want TLS (mqtts://)?"
        )
