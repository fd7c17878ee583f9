"""Packets cut from what a broker sends, each held against a ceiling at its fixed header (MQTT 5.0, 2.1 and 3.3). Pure."""

from dataclasses import dataclass, replace
from typing import Final

from gateway.sinks.mqtt.types import ReceivedMessage

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
_SUBACK, _PINGRESP, _DISCONNECT = 0x90, 0xD0, 0xE0

LARGEST_OTHER_BYTES: Final = 4_096
"""Ceiling of everything but a PUBLISH: codes and a few texts. paho reads their properties in Python, which takes 8 ms for as
many as fit in here."""

_LENGTH_BYTES: Final = 4
_QOS_SHIFT, _QOS_MASK = 1, 3
_RETAIN, _DUP = 0x01, 0x08


class ProtocolViolation(ValueError):
    """What came is not MQTT, or more than is taken. The text is a sentence part for people."""


@dataclass(frozen=True, slots=True)
class PacketCeilings:
    """What is read of a broker at most."""

    publish_bytes: int
    """Bytes of the largest PUBLISH, fixed header included."""
    accepted: bool
    """The broker has accepted the connection. Before that only its CONNACK or DISCONNECT is read."""


def next_packet(data: bytearray, ceilings: PacketCeilings) -> tuple[int, int] | None:
    """Return where the body of the first packet in `data` begins and ends; None while it is not whole.

    Only packets that a broker may send to a client that never uses QoS 2 or enhanced authentication are taken. Raises
    ProtocolViolation as soon as the fixed header says that the packet is another one, or too large.
    """
    if not data:
        return None
    kind = data[0] & 0xF0
    _must_be_expected(kind, accepted=ceilings.accepted)
    header = _length(data)
    if header is None:
        return None
    begin, length = header
    most_bytes = ceilings.publish_bytes if kind == PUBLISH else LARGEST_OTHER_BYTES
    if begin + length > most_bytes:
        raise ProtocolViolation(f"the broker sends {length} bytes in one packet, more than {most_bytes}")
    return (begin, begin + length) if len(data) >= begin + length else None


def large_message(data: bytearray, most_bytes: int) -> tuple[ReceivedMessage, bytes, int, int] | None:
    """Return what is to be known of a PUBLISH of MQTT 3.1.1 that is larger than is taken, so that it can be stepped over.

    Its topic without payload, its packet id (empty at QoS 0), where its body begins, and how long that is. None for other
    packets, and while its head is not whole. Raises ProtocolViolation.
    """
    if not data or data[0] & 0xF0 != PUBLISH or (header := _length(data)) is None:
        return None
    begin, length = header
    if begin + length <= most_bytes:
        return None
    qos = data[0] >> _QOS_SHIFT & _QOS_MASK
    end = begin + 2 + int.from_bytes(data[begin : begin + 2]) + 2 * qos
    if len(data) < max(end, begin + 2):
        return None
    message, packet_id = received_message(data[0], bytes(data[begin:end]), v5=False)
    message = message or ReceivedMessage("", b"", qos, False, False)
    return replace(message, skipped_bytes=length - (end - begin)), packet_id, begin, length


def received_message(first: int, body: bytes, *, v5: bool) -> tuple[ReceivedMessage | None, bytes]:
    """Return the message of a PUBLISH, and its packet id as two bytes, empty at QoS 0.

    first: first byte of the packet; body: what follows the fixed header. Its properties stay as they came. The message is
    None where its topic is not UTF-8. Raises ProtocolViolation for a packet that is broken, at QoS 2 (at most 1 was
    subscribed), or with a topic alias in place of its topic, of which none was ever allowed (MQTT 5.0, 3.3.2.3.4).
    """
    qos = first >> _QOS_SHIFT & _QOS_MASK
    if qos > 1:
        raise ProtocolViolation(f"what came is not MQTT as subscribed: a message at QoS {qos}")
    at = 2 + int.from_bytes(body[:2])
    raw_topic = body[2:at]
    packet_id = body[at : at + 2 * qos]
    at += 2 * qos
    properties = b""
    if v5:
        begin, size = _length(body, at) or (len(body) + 1, 0)
        at = begin + size
        properties = body[begin:at]
    if at > len(body):
        raise ProtocolViolation("what came is not MQTT: a broken message")
    if not raw_topic:
        raise ProtocolViolation("the broker sends a message without a topic; no topic alias was allowed to it")
    try:
        topic = raw_topic.decode()
    except UnicodeDecodeError:
        return None, packet_id
    return ReceivedMessage(topic, body[at:], qos, bool(first & _RETAIN), bool(first & _DUP), properties), packet_id


def _must_be_expected(kind: int, *, accepted: bool) -> None:
    if not accepted and kind not in (CONNACK, _DISCONNECT):
        raise ProtocolViolation("what came is not MQTT as a broker speaks it before it has accepted")
    if accepted and kind == CONNACK:
        raise ProtocolViolation("the broker accepts again what it has accepted (MQTT 5.0, 3.2)")
    if kind not in (CONNACK, PUBLISH, PUBACK, _SUBACK, _PINGRESP, _DISCONNECT):
        raise ProtocolViolation(f"what came is not MQTT as a broker speaks it (packet type {kind >> 4})")


def _length(data: bytes | bytearray, at: int = 1) -> tuple[int, int] | None:
    """Return where a variable byte integer ends, and its value (1.5.5); None while it is not whole."""
    length = 0
    for number, byte in enumerate(data[at : at + _LENGTH_BYTES]):
        length |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            return at + number + 1, length
    if len(data) >= at + _LENGTH_BYTES:
        raise ProtocolViolation("what came is not MQTT: a length of more than four bytes")
    return None
