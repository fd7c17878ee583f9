"""paho's client, made ready: the protocol engine of one connection. With `connection.py` the only file that knows paho."""

import logging
import ssl
import time
from collections.abc import Callable
from typing import Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.packet_reader import PUBACK, PUBLISH, PacketCeilings, large_message, next_packet, received_message
from gateway.sinks.mqtt.packets import acknowledgement, acknowledgements
from gateway.sinks.mqtt.properties import is_text
from gateway.sinks.mqtt.transport import OpenStream
from gateway.sinks.mqtt.types import ReceivedMessage, Will

_properties: Any = Properties  # its constructor has no types
LARGEST_PACKET_BYTES = 268_435_460  # MQTT 5.0, 2.1.4
_MOST_UNACKNOWLEDGED = 100
"""Messages that the broker may have on their way to us (receive maximum, MQTT 5.0, 3.1.2.11.3)."""
_SECOND_NS = 1_000_000_000
_WITH_WILL = ReasonCode(PacketTypes.DISCONNECT, identifier=0x04)


class PahoEngine(mqtt.Client):
    """paho's client on a stream that stands already, CONNECT still to be sent.

    Messages and their acknowledgements pass it by, both ways (`packets.py`, `packet_reader.py`): it makes and understands
    everything else, keeps the connection alive, and gives out packet ids. It gets whole packets of limited size.
    """

    def __init__(
        self, connected: OpenStream, config: MqttConfig, client_id: str, will: Will | None, most_received: int
    ) -> None:
        """Nothing here blocks. most_received: the largest packet to be taken, which MQTT 5 tells the broker (3.1.2.11.4)."""
        v5 = config.version == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if v5 else config.clean_start,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self.on_acknowledged: Callable[[int, int], None] = _ignore
        """Takes packet id and reason code of a PUBACK."""
        self.on_received: Callable[[ReceivedMessage], None] = _ignore
        """Takes a message; it is acknowledged when this returns."""
        self.on_ping: Callable[[], None] = _ignore
        """Called when a PINGREQ is queued, whoever asked for it."""
        self.on_pong: Callable[[], None] = _ignore
        """Called for each PINGRESP. They come in the order of the PINGREQs: MQTT has no other way to tell them apart."""
        self._keepalive_s = config.keepalive // _SECOND_NS
        self._will_after_disconnect = will.after_disconnect if v5 and will is not None else lambda: False
        self.stream = connected.stream
        self._v5 = v5
        self._most_received = most_received
        self._skips = not v5 and config.requests.enabled  # anybody who may ask could end the connection with a large request
        self._to_skip = 0
        self.certificate = connected.certificate
        self.max_inflight_messages_set(0)  # Connection keeps the window; paho's costs a scan per acknowledgement
        self.on_socket_register_write = _ignore  # without one paho writes at once
        if will is not None:
            properties = _will(will, config) if v5 else None
            self.will_set(will.topic, will.payload, qos=1, retain=will.retain, properties=properties)
        if config.username:
            self.username_pw_set(config.username, connected.password or None)
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = config.session_expiry // _SECOND_NS
        properties.MaximumPacketSize = most_received
        properties.ReceiveMaximum = _MOST_UNACKNOWLEDGED
        clean: Any = config.clean_start if v5 else mqtt.MQTT_CLEAN_START_FIRST_ONLY
        self.connect("-", 1, self._keepalive_s, clean_start=clean, properties=properties if v5 else None)

    def send_ping(self) -> None:
        """Send a PINGREQ now."""
        self._send_pingreq()

    def send_disconnect(self, *, forget: bool) -> None:
        """Send DISCONNECT; the connection ends when it is out.

        forget: with session expiry 0, so that the broker keeps nothing (MQTT 5.0, 3.14.2.2.2).
        """
        properties = None
        if forget and self.protocol == MQTTProtocolVersion.MQTTv5:
            properties = _properties(PacketTypes.DISCONNECT)
            properties.SessionExpiryInterval = 0
        self.disconnect(_WITH_WILL if self._will_after_disconnect() else None, properties)

    def _send_pingreq(self) -> MQTTErrorCode:
        code = super()._send_pingreq()
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.on_ping()
        return code

    def _handle_pingresp(self) -> MQTTErrorCode:
        code = super()._handle_pingresp()
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.on_pong()
        return code

    def _handle_connack(self) -> MQTTErrorCode:
        """Keep our own keep alive where the server's is 0: paho would take each PINGREQ for overdue."""
        code = super()._handle_connack()
        self._keepalive = self._keepalive or self._keepalive_s
        return code

    def next_packet_id(self) -> int:
        """1 to 65535 and around again, for all packets that have one."""
        return self._mid_generate()

    def put(self, packet: bytes) -> None:
        """Put a message on its way, after all that paho has waiting. Raises OSError when the stream has ended."""
        if self._out_packet:
            self.loop_write()
        self.stream.put(packet)
        self._last_msg_out = time.monotonic()

    def read(self) -> bool:
        """Read once where no whole packet has come; then handle the PUBACKs that came together, or one other packet.

        Returns whether there may be more to handle at once. What the broker's hanging up leads to is `on_disconnect`. Raises
        ProtocolViolation; the connection is then to be dropped.
        """
        try:
            return self._read()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            self._easy_log(mqtt.MQTT_LOG_ERR, "failed to receive on socket: %s", error)
            self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
            return False

    def _read(self) -> bool:
        stream = self.stream
        if self._skip_large():
            return bool(stream.incoming) or stream.hidden
        ceilings = PacketCeilings(LARGEST_PACKET_BYTES if self._skips else self._most_received, accepted=self.is_connected())
        found = next_packet(stream.incoming, ceilings)
        if found is None:
            if not stream.fill():
                self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
                return False
            if self._skips:
                return True
            found = next_packet(stream.incoming, ceilings)
            if found is None:
                return stream.hidden
        self._last_bytes_received = time.monotonic()
        first = stream.incoming[0]
        if first == PUBACK and self._take_acknowledgements():
            return bool(stream.incoming) or stream.hidden
        begin, end = found
        body = bytes(stream.incoming[begin:end])
        stream.skip(end)
        self._handle(first, body)
        return bool(stream.incoming) or stream.hidden

    def _skip_large(self) -> bool:
        """Step over what has come of a message that is too large, where a broker cannot be told what is (MQTT 3.1.1)."""
        stream = self.stream
        if not self._skips:
            return False
        if not self._to_skip and (found := large_message(stream.incoming, self._most_received)) is not None:
            message, packet_id, begin, self._to_skip = found
            stream.skip(begin)
            self.on_received(message)
            if packet_id:
                stream.put_answer(bytes((PUBACK, len(packet_id))) + packet_id)
        if not self._to_skip or not stream.incoming:
            return False
        size = min(self._to_skip, len(stream.incoming))
        stream.skip(size)
        self._to_skip -= size
        self._last_bytes_received = time.monotonic()
        return True

    def _take_acknowledgements(self) -> bool:
        found, size = acknowledgements(self.stream.incoming)
        self.stream.skip(size)
        for packet_id, code in found:
            self.on_acknowledged(packet_id, code)
        return bool(found)

    def _handle(self, first: int, body: bytes) -> None:
        """Handle a packet other than those that come by the thousand. body: what follows the fixed header."""
        if first & 0xF0 == PUBLISH:
            message, packet_id = received_message(first, body, v5=self._v5)
            if message is not None:
                self.on_received(message)
            if packet_id:
                self.stream.put_answer(bytes((PUBACK, len(packet_id))) + packet_id)
            return
        self._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        try:
            code = self._packet_handle()
        except MalformedPacket:
            code = MQTTErrorCode.MQTT_ERR_PROTOCOL
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._loop_rc_handle(code)

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Take a PUBACK that the fast way did not: a long or a broken one."""
        if cmd != "PUBACK":
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        try:
            self.on_acknowledged(*acknowledgement(self._in_packet["packet"]))
        except ValueError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _create_socket(self) -> Any:
        """Return the stream. Called by paho in `connect`; the name and port given there mean nothing."""
        return self.stream


def _will(will: Will, config: MqttConfig) -> Properties:
    properties = _properties(PacketTypes.WILLMESSAGE)
    if config.will_delay:
        properties.WillDelayInterval = config.will_delay // _SECOND_NS
    if will.content_type:
        properties.ContentType = will.content_type
        properties.PayloadFormatIndicator = int(is_text(will.content_type))
    return properties  # type: ignore[no-any-return]  # see _properties


def hang_up(client: PahoEngine) -> None:
    """Close the connection without a word."""
    client.on_socket_close = client.on_socket_register_write = client.on_disconnect = None
    client.on_ping = client.on_pong = _ignore
    client.stream.close()


def name_of(code: int) -> str:
    """Return what the standard calls the reason code of a refusal (MQTT 5.0, 2.4)."""
    return str(next(iter(ReasonCode.names[code])))


class ErrorCapture(logging.Handler):
    """Keeps paho's last error message, the only place where it says why a connection broke."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.logger = logging.Logger("paho", logging.ERROR)
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message. Called by logging."""
        self.text = record.getMessage().removeprefix("failed to receive on socket: ")


def _ignore(*_: object) -> None:
    pass
