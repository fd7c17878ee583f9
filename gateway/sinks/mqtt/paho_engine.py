"""paho's client, made ready: the protocol engine of one connection. With `connection.py` the only file that knows paho."""

import logging
import time
from collections.abc import Callable
from typing import Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.packets import acknowledgement, acknowledgements
from gateway.sinks.mqtt.properties import is_text
from gateway.sinks.mqtt.transport import OpenStream
from gateway.sinks.mqtt.types import Will

_properties: Any = Properties  # its constructor has no types
LARGEST_PACKET_BYTES = 268_435_460  # MQTT 5.0, 2.1.4
_SECOND_NS = 1_000_000_000
_WITH_WILL = ReasonCode(PacketTypes.DISCONNECT, identifier=0x04)


class PahoEngine(mqtt.Client):
    """paho's client on a stream that stands already, CONNECT still to be sent.

    Messages and their acknowledgements pass it by (`packets.py`): it makes and reads everything else, keeps the connection
    alive, and gives out packet ids.
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
        """Takes packet id and reason code of PUBACKs that `acknowledgements` could not read."""
        self.on_ping: Callable[[], None] = _ignore
        """Called when a PINGREQ is queued, whoever asked for it."""
        self.on_pong: Callable[[], None] = _ignore
        """Called for each PINGRESP. They come in the order of the PINGREQs: MQTT has no other way to tell them apart."""
        self._keepalive_s = config.keepalive // _SECOND_NS
        self._will_after_disconnect = will.after_disconnect if v5 and will is not None else lambda: False
        self.stream = connected.stream
        self.certificate = connected.certificate
        self.max_inflight_messages_set(0)  # Connection keeps the window; paho's costs a scan per acknowledgement
        self.on_socket_register_write = _ignore  # without one paho writes at once
        if will is not None:
            properties = _will(will, config) if v5 else None
            self.will_set(will.topic, will.payload, qos=1, retain=will.retain, properties=properties)
        if config.username:
            self.username_pw_set(config.username, config.password.get_secret_value() or None)
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = config.session_expiry // _SECOND_NS
        if most_received < LARGEST_PACKET_BYTES:
            properties.MaximumPacketSize = most_received
        clean: Any = config.clean_start if v5 else mqtt.MQTT_CLEAN_START_FIRST_ONLY
        self.connect("-", 1, self._keepalive_s, clean_start=clean, properties=properties if v5 else None)

    @property
    def incoming_bytes(self) -> int:
        """What the packet that is being read claims to have."""
        length: int = self._in_packet["remaining_length"]
        return length

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

    @property
    def between_packets(self) -> bool:
        """Nothing was read of the packet that comes next."""
        return not self._in_packet["command"]

    def next_packet_id(self) -> int:
        """1 to 65535 and around again, for all packets that have one."""
        return self._mid_generate()

    def put(self, packet: bytes) -> None:
        """Put a message on its way, after all that paho has waiting. Raises OSError when the stream has ended."""
        if self._out_packet:
            self.loop_write()
        self.stream.put(packet)
        self._last_msg_out = time.monotonic()

    def acknowledgements(self) -> list[tuple[int, int]]:
        """Packet ids and reason codes of the PUBACKs that come next; what follows is for `loop_read`. Raises OSError."""
        found, size = acknowledgements(self.stream.arrived())
        if found:
            self.stream.skip(size)
            self._last_bytes_received = time.monotonic()
        return found

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Take a PUBACK that came in pieces.

        PUBREC and PUBCOMP belong to QoS 2, which is never used: paho would take them for acknowledgements.
        """
        if cmd != "PUBACK":
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        try:
            self.on_acknowledged(*acknowledgement(self._in_packet["packet"]))
        except ValueError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubrec(self) -> MQTTErrorCode:
        return MQTTErrorCode.MQTT_ERR_PROTOCOL

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
