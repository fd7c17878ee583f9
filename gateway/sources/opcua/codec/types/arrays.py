"""Arrays in bytes (OPC UA Part 6, 5.2.5): each count is held against the bytes that are left, and a ceiling. Pure."""

from collections.abc import Callable
from typing import Any

from gateway.sources.opcua.codec.bounds import MOST_DIMENSIONS, MOST_VALUE
from gateway.sources.opcua.codec.errors import TooLarge, WireError
from gateway.sources.opcua.codec.numbers import NUMBER_BYTES, numbers_in
from gateway.sources.opcua.codec.texts import sound
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer


def read_array(kind: int, buffer: BoundedBuffer, read: Callable[[], object]) -> list[Any] | None:
    """Decode the array of a Variant. kind: built-in type of its elements; read: decodes one that is no number."""
    if kind != 0 and kind not in NUMBER_BYTES:
        return read_list(buffer, read)
    count = read_int32(buffer)
    if count < 0:
        return None
    if count > MOST_VALUE:
        raise TooLarge
    buffer.budget.spend(count)
    return numbers_in(kind, buffer.read(count * NUMBER_BYTES[kind])) if kind else [None] * count  # nulls take no bytes


def read_list(buffer: BoundedBuffer, read: Callable[[], object]) -> list[Any] | None:
    """Decode a count and so many values, None for a count below 0."""
    count = read_int32(buffer)
    return None if count < 0 else read_values(buffer, count, read)


def read_values(buffer: BoundedBuffer, count: int, read: Callable[[], object]) -> list[Any]:
    """Decode a number of values, each of a byte or more. Raises WireError, TooLarge before the first one."""
    if count > len(buffer):
        raise WireError(f"{count} values in {len(buffer)} bytes")
    if count > MOST_VALUE:
        raise TooLarge
    return [read() for _ in range(count)]


def read_dimensions(buffer: BoundedBuffer) -> list[int]:
    """Decode the dimensions of an array. Raises WireError."""
    count = read_int32(buffer)
    if count > MOST_DIMENSIONS:
        raise WireError(f"an array with {count} dimensions")
    return [read_int32(buffer) for _ in range(count)]


def read_text(buffer: BoundedBuffer) -> str | None:
    """Decode a String."""
    count = read_int32(buffer)
    return sound(buffer.read(count).decode("utf-8", "surrogateescape")) if count != -1 else None


def read_int32(buffer: BoundedBuffer) -> int:
    """Decode an Int32."""
    return int.from_bytes(buffer.read(4), "little", signed=True)


def read_uint32(buffer: BoundedBuffer) -> int:
    """Decode a UInt32."""
    return int.from_bytes(buffer.read(4), "little")
