"""The properties of a PUBLISH as bytes (MQTT 5.0, 2.2.2 and 3.3.2.3). Pure.

Not paho's own `Properties`: checking and packing two user properties costs it more than all the rest of sending a message.
"""

from functools import lru_cache
from typing import Final

from gateway.core.ports.layout import Properties

_FORMAT_IS_UTF8: Final = b"\x01\x01"
_EXPIRY: Final = b"\x02"
_CONTENT_TYPE: Final = b"\x03"
_CORRELATION: Final = b"\x09"
_USER: Final = b"\x26"
_LONGEST_TEXT_BYTES: Final = 65_535


def pack(properties: Properties, expiry_s: int = 0) -> bytes:
    """Return properties as bytes, without their length. Raises ValueError where MQTT cannot carry a text.

    expiry_s: message expiry interval, 0 for none.
    """
    parts = [_constant(properties.content_type)]
    for name, value in properties.user:
        parts += (_user(name), _text(value))
    if correlation := properties.correlation:
        parts.append(_CORRELATION + len(correlation).to_bytes(2) + correlation)
    if expiry_s:
        parts.append(_EXPIRY + expiry_s.to_bytes(4))
    return b"".join(parts)


def is_text(content_type: str) -> bool:
    """Return whether a payload of this type is UTF-8 text: the payload format indicator."""
    return content_type.startswith("text/") or content_type.endswith("json")


@lru_cache(64)
def _constant(content_type: str) -> bytes:
    """Return the content type, and that the payload is UTF-8 text where it says so."""
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
