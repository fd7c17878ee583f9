"""How values stand in registers: types, their sizes, byte orders."""

from typing import Final, Literal

Table = Literal["holding", "input", "coil", "discrete"]
ValueType = Literal[
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
    "sm8", "sm16", "sm32", "bcd8", "bcd16", "bcd32", "bcd64", "string", "bytes",
    "datetime6", "datetime3", "datetime_bcd", "epoch", "hhmm", "hhmm_bytes", "hhmm_bcd",
]  # fmt: skip
ByteOrder = Literal["ABCD", "BADC", "CDAB", "DCBA"]

LAST_ADDRESS: Final = 65535

DTYPES: Final[dict[ValueType, str]] = {
    "bool": ">u2", "int8": ">i1", "uint8": ">u1", "int16": ">i2", "uint16": ">u2", "int32": ">i4", "uint32": ">u4",
    "int64": ">i8", "uint64": ">u8", "float16": ">f2", "float32": ">f4", "float64": ">f8",
    "sm8": ">u1", "sm16": ">u2", "sm32": ">u4", "bcd8": ">u1", "bcd16": ">u2", "bcd32": ">u4", "bcd64": ">u8",
}  # fmt: skip
"""numpy's name of each numeric type once the byte order is undone. The floats are those of IEEE 754."""

TIMES: Final[dict[ValueType, int]] = {
    "datetime6": 6, "datetime3": 3, "datetime_bcd": 3, "epoch": 2, "hhmm": 1, "hhmm_bytes": 1, "hhmm_bcd": 1,
}  # fmt: skip
"""Registers that a date or a time takes; it is published as text."""

REGISTERS: Final[dict[ValueType, int]] = {kind: max(1, int(code[2:]) // 2) for kind, code in DTYPES.items()} | TIMES
"""Registers (16 bits each) that a value of each type takes, but for those with a length."""

TEXTS: Final[tuple[ValueType, ...]] = ("string", "bytes")
"""Types that are no numbers; they need a `length`."""

HALVES: Final[tuple[ValueType, ...]] = ("int8", "uint8", "sm8", "bcd8")
"""Types of half a register."""

UNSIGNED: Final[tuple[ValueType, ...]] = ("uint8", "uint16", "uint32", "uint64")
"""Types whose bits have a meaning of their own."""

INTEGERS: Final[tuple[ValueType, ...]] = (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "sm8",
    "sm16",
    "sm32",
)

LONG_ORDERS: Final[dict[str, ByteOrder]] = {"ABCDEFGH": "ABCD", "BADCFEHG": "BADC", "GHEFCDAB": "CDAB", "HGFEDCBA": "DCBA"}
"""The four orders as they are spelled for 64-bit values."""


def is_bits(table: Table) -> bool:
    """Return whether a table has one bit at each address (coils, discrete inputs) or 16 (registers)."""
    return table in ("coil", "discrete")


def size_bytes(kind: ValueType) -> int:
    """Return the bytes of a numeric type."""
    return int(DTYPES[kind][2:])


def positions(order: ByteOrder, registers: int) -> list[int]:
    """Return the byte positions on the wire of a value of so many registers, most significant byte first.

    ABCD is the order of the standard (MODBUS Application Protocol 1.1b3, 4.2). C before A: the words are swapped; B before
    A: the bytes within each word are.
    """
    words = range(registers)
    inner = (1, 0) if order in ("BADC", "DCBA") else (0, 1)
    return [2 * word + byte for word in (reversed(words) if order in ("CDAB", "DCBA") else words) for byte in inner]


def text_positions(order: ByteOrder, registers: int) -> list[int]:
    """Return the same for strings and raw bytes: words stay in their order, only the bytes within them may be swapped."""
    return positions("BADC" if order in ("BADC", "DCBA") else "ABCD", registers)
