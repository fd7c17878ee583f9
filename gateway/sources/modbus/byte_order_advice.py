"""Floats that no device measures, although another byte order would give sensible ones: the order is wrong. Pure."""

import struct
from collections.abc import Sequence
from typing import Final

from gateway.sources.modbus.plan import Request
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import ByteOrder, positions, size_bytes

_SMALLEST: Final = 1e-9
_LARGEST: Final = 1e12
_ORDERS: Final[tuple[ByteOrder, ...]] = ("ABCD", "CDAB", "BADC", "DCBA")
_FORMATS: Final = {"float32": ">f", "float64": ">d"}
_LEAST: Final = 3
"""Values that have to agree: one alone may be so by chance."""


def is_absurd(number: float) -> bool:
    """Return whether no device measures this: a fraction or a multiple beyond any unit, or no number."""
    return number != 0 and not _SMALLEST <= abs(number) <= _LARGEST


def byte_order_advice(request: Request, tags: Sequence[ModbusTag], byte_order: ByteOrder, payload: bytes) -> str:
    """Return which byte order would make sense of the floats of a reply, "" when the configured one does.

    At least three values that are not zero have to be absurd as they are read, none of all may be so in another order. Only
    tags without an order of their own are looked at.
    """
    if request.octets != 2:
        return ""
    chosen = [(tags[span.row], 2 * (span.start - request.start)) for span in request.spans]
    floats = [
        (tag, at) for tag, at in chosen if tag.value_type in _FORMATS and tag.byte_order is None and not tag.not_available
    ]
    floats = [(tag, at) for tag, at in floats if any(payload[at : at + 2 * tag.width])]
    if len(floats) < _LEAST:
        return ""
    read = {order: [_number(tag, at, order, payload) for tag, at in floats] for order in _ORDERS}
    absurd = [place for place, number in enumerate(read[byte_order]) if is_absurd(number)]
    if len(absurd) < max(_LEAST, len(floats) / 2):
        return ""
    sensible = [order for order in _ORDERS if not any(map(is_absurd, read[order]))]
    if len(sensible) != 1:
        return ""
    tag, before, after = floats[absurd[0]][0], read[byte_order][absurd[0]], read[sensible[0]][absurd[0]]
    return (
        f"{len(absurd)} of {len(floats)} floats are numbers that no device measures: with byte_order: {sensible[0]} "
        f"{tag.name} is {after:.5g} instead of {before:.5g}"
    )


def _number(tag: ModbusTag, at: int, order: ByteOrder, payload: bytes) -> float:
    octets = bytes(payload[at + place] for place in positions(order, size_bytes(tag.value_type) // 2))
    number: float = struct.unpack(_FORMATS[tag.value_type], octets)[0]
    return number
