"""What a request says beside its payload: properties of a received PUBLISH (MQTT 5.0, 2.2.2 and 3.3.2.3). Pure."""

from dataclasses import dataclass
from typing import Final

_BYTE, _WORD, _LONG, _VARIABLE, _TEXT, _PAIR = range(6)
_KINDS: Final = {
    0x01: _BYTE,
    0x02: _LONG,
    0x03: _TEXT,
    0x08: _TEXT,
    0x09: _TEXT,
    0x0B: _VARIABLE,
    0x23: _WORD,
    0x26: _PAIR,
}
_FIXED: Final = {_BYTE: 1, _WORD: 2, _LONG: 4}
_EXPIRY, _RESPONSE, _CORRELATION = 0x02, 0x08, 0x09


@dataclass(frozen=True, slots=True)
class RequestProperties:
    """The properties that a request may have."""

    response_topic: str | None = None
    """Where the answer goes (3.3.2.3.5)."""
    correlation: bytes = b""
    """By which whoever asks knows the answer (3.3.2.3.6)."""
    expiry_s: int | None = None
    """For how long the answer is wanted (3.3.2.3.3): what is left of it when the broker passes the request on."""


def read_properties(data: bytes) -> RequestProperties:
    """Return the properties. data: as they came, without their length. Raises ValueError where they are broken."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        kind = _KINDS.get(data[at])
        if kind is None:
            raise ValueError("a property that a message cannot have")
        begin, end = _value(data, at + 1, kind)
        if end > len(data):
            raise ValueError("a broken property")
        found[data[at]] = data[begin:end]
        at = end
    try:
        response = found[_RESPONSE].decode() if _RESPONSE in found else None
    except UnicodeDecodeError:
        raise ValueError("a response topic that is no text") from None
    expiry = int.from_bytes(found[_EXPIRY]) if _EXPIRY in found else None
    return RequestProperties(response, found.get(_CORRELATION, b""), expiry)


def _value(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """Return where the value of a property begins and ends."""
    if kind in _FIXED:
        return at, at + _FIXED[kind]
    if kind == _VARIABLE:
        end = at
        while end < len(data) and data[end] & 0x80:
            end += 1
        return at, end + 1
    end = at + 2 + int.from_bytes(data[at : at + 2])
    if kind == _PAIR:
        return at, end + 2 + int.from_bytes(data[end : end + 2])
    return at + 2, end
