"""From engineering values to the registers and bits of a Modbus unit: the inverse of the gateway's decoder. Pure."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.sources.modbus.config import ByteOrder, ModbusTag, Table, ValueType

_FORMATS: Final[dict[ValueType, str]] = {
    "bool": ">H", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q",
    "float32": ">f", "float64": ">d",
}  # fmt: skip


def to_words(tag: ModbusTag, byte_order: ByteOrder, value: float) -> list[int]:
    """The registers (or the one bit) that read back as `value`, as near as the tag's type and scale allow.

    byte_order: the device's, for tags without their own. Values beyond the type's range end at its edge.
    """
    if tag.value_type == "bool":
        return [int(bool(value))]
    raw = (value - tag.offset) / tag.scale
    packed = struct.pack(_FORMATS[tag.value_type], raw if tag.value_type.startswith("float") else _fitting(tag, raw))
    words = [packed[at : at + 2] for at in range(0, len(packed), 2)]
    order = tag.byte_order or byte_order
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def _fitting(tag: ModbusTag, raw: float) -> int:
    bits = 16 * tag.width
    signed = tag.value_type.startswith("int")
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return min(highest, max(lowest, round(raw)))


class Image:
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
                words = to_words(tag, self._byte_order, values[tag.name])
                self.tables[tag.table][tag.start : tag.start + len(words)] = words
