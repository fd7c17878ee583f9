"""Values that are no numbers, from the bytes of a reply: text, raw bytes, dates and times, sets of bits. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Any, Final

from gateway.core.quality import Quality
from gateway.sources.modbus.cell_values import pattern
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import TIMES, ByteOrder, ValueType, positions, text_positions

Read = tuple[int, Any, int]
"""(row of the tag in its request, value or None, quality)."""
_CENTURY: Final = 2000


class Text:
    """A string or raw bytes in one reply.

    Bytes behind the zero that ends a string are a sign that it is read in a wrong way (one character per register, say), so
    it is not good then.
    """

    def __init__(self, row: int, tag: ModbusTag, start: int, byte_order: ByteOrder) -> None:
        where = [start + place for place in text_positions(tag.byte_order or byte_order, tag.width)]
        high, low = where[::2], where[1::2]
        self._row = row
        self._is_half = tag.byte is not None
        self._unused = {"low": high, "high": low}.get(tag.byte or "", [])
        self._where = ({"low": low, "high": high}.get(tag.byte or "", where))[: tag.length]
        self._encoding = tag.encoding if tag.value_type == "string" else ""

    def read(self, payload: bytes) -> Read:
        """Return its value in a reply."""
        octets = bytes([payload[place] for place in self._where])
        if not self._encoding:
            return self._row, octets.hex(), int(Quality.GOOD)
        text, _, rest = octets.partition(b"\0")
        text = text.rstrip(b" ")
        is_doubtful = bool(rest.strip(b"\0 ")) if not self._is_half else any(payload[place] for place in self._unused)
        quality = int(Quality.UNCERTAIN_TEXT_AFTER_ZERO if is_doubtful else Quality.GOOD)
        try:
            return self._row, text.decode(self._encoding), quality
        except UnicodeDecodeError:
            return self._row, text.decode(self._encoding, "replace"), int(Quality.UNCERTAIN)


class Moment:
    """A date or a time in one reply, as text in the form of ISO 8601: only `epoch` has a time zone."""

    def __init__(self, row: int, tag: ModbusTag, start: int, byte_order: ByteOrder) -> None:
        order = tag.byte_order or byte_order
        self._row, self._kind = row, tag.value_type
        found = positions(order, tag.width) if self._kind == "epoch" else text_positions(order, tag.width)
        self._where = [start + place for place in found]

    def read(self, payload: bytes) -> Read:
        """Return its value in a reply; what is no date or time is bad."""
        octets = bytes([payload[place] for place in self._where])
        try:
            return self._row, _moment(self._kind, octets), int(Quality.GOOD)
        except ValueError:
            return self._row, None, int(Quality.BAD_NOT_AVAILABLE)


def _moment(kind: ValueType, octets: bytes) -> str:
    """Return a date or time. Raises ValueError."""
    if kind == "epoch":
        return datetime.fromtimestamp(int.from_bytes(octets, "big"), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    words = [int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2)]
    if kind == "hhmm":
        return time(*divmod(words[0], 100)).isoformat("minutes")
    if kind.startswith("hhmm"):
        hour, minute = map(_digits, octets) if kind == "hhmm_bcd" else octets
        return time(hour, minute).isoformat("minutes")
    parts = words if kind == "datetime6" else list(map(_digits, octets)) if kind == "datetime_bcd" else list(octets)
    year = parts[0] if parts[0] >= 100 else _CENTURY + parts[0]
    return datetime(year, *parts[1:]).isoformat()  # type: ignore[arg-type]


def _digits(octet: int) -> int:
    """Return the number of a byte in BCD. Raises ValueError."""
    return int(f"{octet:02x}")


class FlagSet:
    """The names of the bits that are set, in one reply. A bit without a name that is set makes it uncertain."""

    def __init__(self, row: int, tag: ModbusTag, where: Sequence[int]) -> None:
        self._row, self._where = row, where
        self._names = dict(sorted((tag.flags or {}).items()))
        self._mask = tag.mask if tag.mask is not None else (1 << 8 * len(where)) - 1
        self._absent = {pattern(tag.value_type, value) for value in tag.not_available}

    def read(self, payload: bytes) -> Read:
        """Return its value in a reply."""
        bits = int.from_bytes(bytes([payload[place] for place in self._where]), "big")
        if bits in self._absent:
            return self._row, None, int(Quality.BAD_NOT_AVAILABLE)
        bits &= self._mask
        names = [self._names.get(bit, f"bit {bit}") for bit in range(bits.bit_length()) if bits >> bit & 1]
        unknown = any(bits >> bit & 1 and bit not in self._names for bit in range(bits.bit_length()))
        return self._row, names, int(Quality.UNCERTAIN_RANGE if unknown else Quality.GOOD)


def reader(row: int, tag: ModbusTag, start: int, byte_order: ByteOrder, octets: Sequence[int]) -> Text | Moment | FlagSet:
    """Return what reads the tag. start: of its first register in the reply; octets: places of its bytes as a number."""
    if tag.flags:
        return FlagSet(row, tag, octets)
    return (Moment if tag.value_type in TIMES else Text)(row, tag, start, byte_order)
