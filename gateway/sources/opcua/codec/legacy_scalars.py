"""Built-in types of type dictionaries that UA's own encoding has not (OPC UA Part 5, C.2.3 and C.3). Pure.

They are characters, UTF-16 text, and numbers with their highest byte first.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from gateway.sources.opcua.codec.dates import date_text
from gateway.sources.opcua.codec.errors import WireError

BIT: Final = -1
CHAR: Final = -2
WIDE_CHAR: Final = -3
WIDE_TEXT: Final = -4
OWN: Final = frozenset({CHAR, WIDE_CHAR, WIDE_TEXT})
"""Types that `read_own` reads, in either byte order."""
_DATE, _GUID, _STATUS = 13, 14, 19
_NUMBERS: Final = {1: ">?", 2: ">b", 3: ">B", 4: ">h", 5: ">H", 6: ">i", 7: ">I", 8: ">q", 9: ">Q", 10: ">f", 11: ">d"}
_TEXTS: Final = frozenset({12, 15, 16})
"""String, ByteString, XmlElement: their length, then so many bytes."""

Read = Callable[[int], bytes]
"""Return exactly the next so many bytes. May raise anything when there are fewer."""


def read_own(kind: int, read: Read, *, big: bool) -> Any:
    """Read a character as its code unit, or a text of UTF-16, None for one of negative length. Raises WireError."""
    order = "big" if big else "little"
    if kind == CHAR:
        return read(1)[0]
    if kind == WIDE_CHAR:
        return int.from_bytes(read(2), order)  # type: ignore[arg-type]  # one of two literals
    length = int.from_bytes(read(4), order, signed=True)  # type: ignore[arg-type]
    if length < 0:
        return None
    try:
        return read(2 * length).decode("utf-16-be" if big else "utf-16-le")
    except UnicodeDecodeError as error:
        raise WireError(f"no UTF-16: {error.reason}") from None


def read_big(kind: int, read: Read) -> Any:
    """Read a value of a built-in type with its highest byte first.

    Numbers, dates as text, Guid, String, ByteString, XmlElement and StatusCode (its number). Raises WireError for the other
    types, which have no byte order of their own.
    """
    if kind in _NUMBERS:
        (value,) = struct.unpack(_NUMBERS[kind], read(struct.calcsize(_NUMBERS[kind])))
        return value
    if kind in _TEXTS:
        length = int.from_bytes(read(4), "big", signed=True)
        content = None if length < 0 else read(length)
        return content if content is None or kind == 15 else _utf8(content)
    if kind == _DATE:
        return date_text(int.from_bytes(read(8), "big", signed=True))
    if kind == _GUID:
        return UUID(bytes=read(16))
    if kind == _STATUS:
        return int.from_bytes(read(4), "big")
    raise WireError(f"the built-in type {kind} is not known with its highest byte first")


def text_of(kind: int, units: Sequence[int]) -> Any:
    """Join code units of 8 or 16 bits to a text, without zeros at its end; returns the units where they are no text."""
    length = len(units)
    while length and not units[length - 1]:
        length -= 1
    units = units[:length]
    content = b"".join(unit.to_bytes(1 if kind == CHAR else 2, "little") for unit in units)
    try:
        return content.decode("utf-8" if kind == CHAR else "utf-16-le")
    except UnicodeDecodeError:
        return list(units)


def _utf8(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"no UTF-8: {error.reason}") from None
