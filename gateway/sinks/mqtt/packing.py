"""A PUBLISH and its properties as bytes (MQTT 5.0, 2.2.2 and 3.3). Pure.

Not paho's own `Properties`: checking and packing two user properties costs it more than all the rest of sending a message.
"""

from functools import lru_cache
from typing import Final

from gateway.core.ports import Properties

_FORMAT_IS_UTF8: Final = b"\x01\x01"
_EXPIRY: Final = b"\x02"
_CONTENT_TYPE: Final = b"\x03"
_ALIAS: Final = b"\x23"
_USER: Final = b"\x26"
_LONGEST_TEXT_BYTES: Final = 65_535
_LONGEST_REST_BYTES: Final = 268_435_455
_PUBLISH: Final = 0x30


class Packed:
    """What paho asks of properties: their bytes, length first."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes, alias: int = 0) -> None:
        """content: as `pack` makes it; alias: topic alias, 0 for none."""
        self._content = content + _ALIAS + alias.to_bytes(2) if alias else content

    def pack(self) -> bytes:
        """Called by paho."""
        return _variable(len(self._content)) + self._content


def pack(properties: Properties) -> bytes:
    """Properties as bytes, without their length. Raises ValueError where MQTT cannot carry a text."""
    parts = [_constant(properties.content_type)]
    for name, value in properties.user:
        parts += (_user(name), _text(value))
    if properties.expiry_s:
        parts.append(_EXPIRY + properties.expiry_s.to_bytes(4))
    return b"".join(parts)


def unnumbered(topic: str, payload: bytes, *, retain: bool, properties: bytes | None) -> bytes:
    """A whole PUBLISH at QoS 0, which has no packet id. properties: as `pack` makes them; None in MQTT 3.1.1. Raises
    ValueError where a topic is none, or it is too much."""
    name = topic.encode()
    if not 1 <= len(name) <= _LONGEST_TEXT_BYTES or any(character in topic for character in "+#\0"):
        raise ValueError("not a topic to publish to")
    head = len(name).to_bytes(2) + name + (b"" if properties is None else _variable(len(properties)) + properties)
    if len(head) + len(payload) > _LONGEST_REST_BYTES:
        raise ValueError("larger than MQTT can carry")
    return bytes((_PUBLISH | retain,)) + _variable(len(head) + len(payload)) + head + payload


def is_text(content_type: str) -> bool:
    """Whether a payload of this type is UTF-8 text: the payload format indicator."""
    return content_type.startswith("text/") or content_type.endswith("json")


@lru_cache(64)
def _constant(content_type: str) -> bytes:
    """The content type, and that the payload is UTF-8 text where it says so."""
    if not content_type:
        return b""
    return (_FORMAT_IS_UTF8 if is_text(content_type) else b"") + _CONTENT_TYPE + _text(content_type)


@lru_cache(64)
def _user(name: str) -> bytes:
    return _USER + _text(name)


def _text(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > _LONGEST_TEXT_BYTES or "\0" in text:
        raise ValueError("a property is longer than 65535 bytes or has a null character")
    return len(encoded).to_bytes(2) + encoded


def _variable(number: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    if number < 128:
        return bytes((number,))
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)
