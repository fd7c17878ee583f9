"""From engineering values to the registers and bits of a Modbus unit: the inverse of the gateway's decoder. Pure."""

import struct
from collections.abc import Mapping, Sequence

from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import TEXTS, TIMES, ByteOrder, Table, is_bits, positions, size_bytes, text_positions


def to_words(tag: ModbusTag, byte_order: ByteOrder, value: float, before: Sequence[int] = ()) -> list[int]:
    """Return the registers (or the one bit) that the gateway decodes to `value`, as near as type and scale allow.

    byte_order: the device's, for tags without their own. Values beyond the type's range become its limit. before: the
    present content; a tag that is only a part of a register (a bit, a byte, a mask) does not change the rest of it.
    """
    if is_bits(tag.table):
        return [int(bool(value))]
    order = tag.byte_order or byte_order
    octets = bytearray(b"".join(word.to_bytes(2, "big") for word in before or [0] * tag.width))
    is_text = tag.value_type in TEXTS or tag.value_type in TIMES
    where = text_positions(order, tag.width) if is_text else positions(order, tag.width)
    inner = _inner(tag, value, bytes(octets[place] for place in where))
    for place, octet in zip(where, inner, strict=True):
        octets[place] = octet
    return [word for (word,) in struct.iter_unpack(">H", octets)]


def _inner(tag: ModbusTag, value: float, before: bytes) -> bytes:
    """Return all bytes of the tag's registers, most significant first."""
    kind, raw = tag.value_type, (value - tag.offset) / tag.scale
    if kind in TEXTS:
        return f"{value:g}".encode()[: tag.length].ljust(len(before), b"\0")
    if kind in TIMES:
        return bytes(len(before))
    if kind.startswith("float"):
        return struct.pack({"float16": ">e", "float32": ">f", "float64": ">d"}[kind], raw)
    if kind in ("bcd16", "bcd32", "bcd64"):
        digits = 2 * len(before)
        return bytes.fromhex(f"{min(10**digits - 1, max(0, round(raw))):0{digits}d}")
    bits = 8 * size_bytes(kind)
    mask = 1 << tag.bit if tag.bit is not None else tag.mask or (1 << bits) - 1
    lowest = mask & -mask
    number = (int(bool(value)) if kind == "bool" else _fitting(tag, raw)) * lowest & mask
    shift = 8 if tag.byte == "high" else 0
    rest = int.from_bytes(before, "big") & ~(mask << shift)
    return (rest | number << shift).to_bytes(len(before), "big")


def _fitting(tag: ModbusTag, raw: float) -> int:
    bits = 8 * size_bytes(tag.value_type)
    signed = tag.value_type.startswith(("int", "sm"))
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    lowest += tag.value_type.startswith("sm")
    number = min(highest, max(lowest, round(raw)))
    if tag.value_type == "bcd8":
        return int(str(min(99, number)), 16)
    return number if number >= 0 or not tag.value_type.startswith("sm") else highest + 1 - number


class RegisterImage:
    """The four tables of one unit, each from address 0 to the last that a tag needs."""

    def __init__(self, tags: Sequence[ModbusTag], byte_order: ByteOrder) -> None:
        self._tags = tags
        self._byte_order = byte_order
        names: tuple[Table, ...] = ("coil", "discrete", "holding", "input")
        ends = {name: max((tag.start + tag.width for tag in tags if tag.table == name), default=1) for name in names}
        self.tables: dict[Table, list[int]] = {name: [0] * end for name, end in ends.items()}

    def update(self, values: Mapping[str, float]) -> None:
        """Write the values, by tag name, into the tables. Tags without a value keep theirs."""
        for tag in self._tags:
            if tag.name in values:
                table, end = self.tables[tag.table], tag.start + tag.width
                table[tag.start : end] = to_words(tag, self._byte_order, values[tag.name], table[tag.start : end])
