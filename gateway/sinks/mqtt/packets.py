"""The two packets that go by the thousand: PUBLISH as bytes, PUBACKs from bytes (MQTT 5.0, 3.3 and 3.4). Pure.

paho makes six objects for each message and reads each acknowledgement a byte at a time.
"""

from functools import lru_cache
from typing import Final

_PUBLISH: Final = 0x30
_QOS_1: Final = 0x02
_RETAIN: Final = 0x01
_PUBACK: Final = 0x40
_LAST_CODE: Final = 0xA2
_ALIAS: Final = b"\x23"
_LONGEST_TOPIC_BYTES: Final = 65_535
_LONGEST_REST_BYTES: Final = 268_435_455
_SLICE_BYTES: Final = 8_192
"""How many PUBACKs are taken at a time: 2,048 of the shortest take 3 ms."""


def publish(topic: str, payload: bytes, packet_id: int, retain: bool, properties: bytes | None, alias: int = 0) -> bytes:
    """Return a whole PUBLISH at QoS 1.

    With packet id 0 at QoS 0, which has none. properties: as `packing.pack` makes them, None in MQTT 3.1.1; alias: topic
    alias, 0 for none, else the topic may be empty. Raises ValueError where the topic cannot be published to, or it is more
    than MQTT carries.
    """
    head = _text(topic) + packet_id.to_bytes(2) if packet_id else _text(topic)
    if properties is not None:
        if alias:
            properties += _ALIAS + alias.to_bytes(2)
        head += variable(len(properties)) + properties
    size = len(head) + len(payload)
    if size > _LONGEST_REST_BYTES or not (topic or alias):
        raise ValueError("no topic, or more than 256 MB")
    return b"".join((_FIRST[packet_id > 0][retain], variable(size), head, payload))


def acknowledgements(data: bytearray) -> tuple[list[tuple[int, int]], int]:
    """Packet id and reason code of each whole PUBACK that `data` begins with, and how many bytes they take.

    Ends after 8 KiB, and before whatever else comes, and before one that is incomplete, broken or longer than 127 bytes.
    """
    found: list[tuple[int, int]] = []
    at, end = 0, min(len(data), _SLICE_BYTES)
    while end - at >= 4 and data[at] == _PUBACK and 2 <= (size := data[at + 1]) < 128 and at + 2 + size <= end:
        try:
            found.append(acknowledgement(data[at + 2 : at + 2 + size]))
        except ValueError:
            break
        at += 2 + size
    return found, at


def acknowledgement(body: bytearray) -> tuple[int, int]:
    """Packet id and reason code of a PUBACK without its fixed header; a code that is left out is success (3.4.2.1).

    What the broker says in properties is for people. Any code of the standard (2.4) will do: mosquitto answers its message
    size limit with one that is not listed for a PUBACK. Raises ValueError.
    """
    if len(body) < 2:
        raise ValueError("a PUBACK without a packet id")
    code = body[2] if len(body) > 2 else 0
    if code > _LAST_CODE:
        raise ValueError("a reason code that MQTT does not know")
    return body[0] << 8 | body[1], code


def variable(number: int) -> bytes:
    """Return a variable byte integer (1.5.5)."""
    if number < 128:
        return bytes((number,))
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


_FIRST: Final = tuple((bytes((_PUBLISH | qos,)), bytes((_PUBLISH | qos | _RETAIN,))) for qos in (0, _QOS_1))


@lru_cache(4096)
def _text(topic: str) -> bytes:
    encoded = topic.encode()
    if len(encoded) > _LONGEST_TOPIC_BYTES or any(character in topic for character in "+#\0"):
        raise ValueError("wildcards, a null character, or more than 65535 bytes")
    return len(encoded).to_bytes(2) + encoded
