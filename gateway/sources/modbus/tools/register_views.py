"""Every sensible reading of some registers, side by side: so that a person sees which word order is right."""

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Final

import numpy as np

from gateway.sources.modbus.decode import Decoder
from gateway.sources.modbus.plan import Request, Span
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import DTYPES, REGISTERS, ByteOrder, ValueType, positions

ORDERS: Final[tuple[ByteOrder, ...]] = ("ABCD", "CDAB", "BADC", "DCBA")
_KINDS: Final[tuple[ValueType, ...]] = (
    "int16", "uint16", "bcd16", "float16", "int32", "uint32", "float32", "bcd32", "int64", "uint64", "float64", "bcd64",
)  # fmt: skip
_SMALLEST: Final = 1e-9
_LARGEST: Final = 1e12


def views(words: Sequence[int]) -> Iterator[tuple[ValueType, dict[ByteOrder, str]]]:
    """Yield (type, text by byte order) of the value at the first word, for every type that the words suffice for.

    Where a type gives no number (no decimal digits in BCD) the text is empty; a float that is none is NaN or inf.
    """
    payload = b"".join(word.to_bytes(2, "big") for word in words)
    for kind in _KINDS:
        width = REGISTERS[kind]
        if width <= len(words):
            yield kind, {order: _text(kind, order, payload[: 2 * width]) for order in ORDERS if width > 1 or order[1] != "D"}


def hardly_meant(kind: ValueType, text: str) -> bool:
    """Return whether a decoding is a number that no device measures: a fraction beyond any unit.

    It comes of a wrong type or byte order.
    """
    if not text or not kind.startswith("float") or text == "NaN":
        return False
    return not (float(text) == 0 or _SMALLEST <= abs(float(text)) <= _LARGEST)


def strings(words: Sequence[int]) -> dict[ByteOrder, str]:
    """Return the printable characters of all words in both byte placements; `.` stands for what is none."""
    high_first = b"".join(word.to_bytes(2, "big") for word in words)
    low_first = b"".join(word.to_bytes(2, "little") for word in words)
    return {"ABCD": _printable(high_first), "BADC": _printable(low_first)}


def _printable(octets: bytes) -> str:
    return "".join(chr(octet) if 32 <= octet < 127 else "." for octet in octets)


def _text(kind: ValueType, order: ByteOrder, payload: bytes) -> str:
    tag = ModbusTag(name="view", address="holding:0", type=kind, byte_order=order)
    width = REGISTERS[kind]
    found = Decoder(Request("holding", 0, width, (Span(0, width, 0),)), [tag], order)(payload)
    if found.objects:
        return str(found.objects[0][1])
    number = float(found.value[0])
    if isnan(number) and kind.startswith("float"):
        octets = bytes(payload[place] for place in positions(order, width))
        return str(np.frombuffer(octets, DTYPES[kind])[0]).replace("nan", "NaN")
    if isnan(number):
        return ""
    return shortest(kind, number) if kind.startswith("float") else str(int(number))


def shortest(kind: ValueType, number: float) -> str:
    """Return the fewest digits that name just this number of its type."""
    return str({"float16": np.float16, "float32": np.float32}.get(kind, np.float64)(number))
