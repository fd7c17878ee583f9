"""Data values as bytes (OPC UA Part 6, 5.2.2.16 to 5.2.2.18) to columns, without an object per value. Pure."""

import struct
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Times
from gateway.sources.opcua.codec.bounds import MOST_VALUES
from gateway.sources.opcua.codec.columns import EXACT, KIND_NOT_SCALAR, KIND_NULL, ValueColumns
from gateway.sources.opcua.codec.errors import DecodeErrors, TooLarge, WireError

Fallback = Callable[[bytes, int], tuple[object, int]]
"""Decode the variant at a position: what JSON can carry, or `Refused`, and the position after it. May raise anything."""

_VALUE, _STATUS, _SOURCE, _SERVER, _SOURCE_PICO, _SERVER_PICO, _RESERVED = 1, 2, 4, 8, 16, 32, 192
_IS_ARRAY: Final = 0xC0
_NUMBERS: Final = dict(enumerate(("u1", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"), 1))
"""Built-in types from Boolean to Double (Part 6, 5.1.2), as they stand in the bytes."""
_DECODING: Final = tuple(DecodeErrors(f"a value of type {kind} cannot be decoded") for kind in range(64))
"""By built-in type; made once, because a text would cost a tenth more with one of its own."""
_RUN: Final = 8
_ENDS: Final = "the data ends in the middle of a value"
_BEGIN_TICKS: Final = 116_444_736_000_000_000
_LATEST_TICKS: Final = _BEGIN_TICKS + 2**62 // 100


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands for a value that is not taken."""

    status: int
    """The status code that its tag gets."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """The bytes of items of one encoding mask and built-in type, all equally long."""

    kind: int
    """Built-in type (Part 6, 5.1.2)."""
    mask: int
    """Encoding mask of the data value (Part 6, 5.2.2.17)."""
    type: np.dtype[Any]
    """Fields of an item as a structured dtype."""
    size: int
    """Bytes of an item."""


@cache
def _layout(mask: int, kind: int, handles: bool) -> _Layout:
    fields: list[tuple[str, str]] = [("handle", "<u4")] if handles else []
    fields.append(("mask", "u1"))
    if mask & _VALUE:
        fields.append(("kind", "u1"))
        if kind != KIND_NULL:
            fields.append(("value", _NUMBERS[kind]))
    optional = (
        (_STATUS, "status", "<u4"),
        (_SOURCE, "source", "<i8"), (_SOURCE_PICO, "source_pico", "<u2"),
        (_SERVER, "server", "<i8"), (_SERVER_PICO, "server_pico", "<u2"),
    )  # fmt: skip
    fields += [(name, code) for bit, name, code in optional if mask & bit]
    dtype = np.dtype(fields)
    return _Layout(kind, mask, dtype, dtype.itemsize)


def _layout_of(mask: int, kind: int, handles: bool) -> _Layout | None:
    """Return None for a value whose length only `fallback` knows. kind: counts only where the mask says there is a value."""
    if mask & _RESERVED:
        raise WireError(f"a data value with the encoding mask {mask:#04x}")
    if not mask & _VALUE:
        return _layout(mask, KIND_NULL, handles)
    return _layout(mask, kind, handles) if kind == KIND_NULL or kind in _NUMBERS else None


def decode_values(
    data: bytes, at: int, count: int, handles: bool, fallback: Fallback, end: int | None = None
) -> tuple[ValueColumns, int]:
    """Decode `count` data values from position `at`, each behind its client handle if `handles`; `end`: where they end.

    Numbers of one layout in a row are read as one array; other numbers are found one by one by their length and read
    together by layout; everything else is left to `fallback`. Without handles the rows are 0..count-1. Returns the columns
    and the position after them. Raises WireError where the bytes are not as the standard says; allocates no more than a
    small multiple of the bytes that are there.
    """
    return _Reader(data, at, count, handles, fallback, len(data) if end is None else end).read()


class _Reader:
    def __init__(self, data: bytes, at: int, count: int, handles: bool, fallback: Fallback, end: int) -> None:
        self._data, self._at, self._end = data, at, end
        self._head = 4 if handles else 0
        if not 0 <= count <= (self._end - at) // (self._head + 1):
            raise WireError(f"{count} data values in {self._end - at} bytes")
        if count > MOST_VALUES:
            raise TooLarge
        self._count, self._handles, self._fallback = count, handles, fallback
        self._bytes = np.frombuffer(data, np.uint8)
        self._scattered: dict[_Layout, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        self._row = np.arange(count, dtype=np.uint32)
        self._kind = np.zeros(count, np.uint8)
        self._number = np.full(count, np.nan)
        self._objects: dict[int, object] = {}
        self._status = np.zeros(count, np.uint32)
        self._ticks = np.zeros((2, count), np.int64)
        self._pico = np.zeros((2, count), np.uint16)

    def read(self) -> tuple[ValueColumns, int]:
        try:
            self._walk()
        except IndexError:
            raise WireError(_ENDS) from None
        for layout, (items, places) in self._scattered.items():
            if not items:
                continue
            whole = self._bytes[np.array(places)[:, None] + np.arange(layout.size)]
            self._take(layout, whole.view(layout.type).ravel(), np.array(items))
        source, server = (ticks_to_ns(self._ticks[i], self._pico[i]) for i in (0, 1))
        columns = ValueColumns(self._row, self._kind, self._number, self._objects, self._status, source, server)
        return columns, self._at

    def _walk(self) -> None:
        """Go from item to item, or run to run. Local names: where types alternate this loop is what decoding costs."""
        data, head, end, count = self._data, self._head, self._end, self._count
        known: dict[int, tuple[_Layout, int, int, int, int, Callable[[int], None], Callable[[int], None]]] = {}
        item, at = 0, self._at
        while item < count:
            place = at + head
            mask = data[place]
            look = data[place + 1] if mask & _VALUE else mask
            key = mask << 8 | look
            if key not in known:
                layout = _layout_of(mask, look, self._handles)
                if layout is None:
                    self._at = at
                    self._odd(item)
                    at, item = self._at, item + 1
                    continue
                items, places = self._scattered[layout]
                next_look = layout.size + (1 if mask & _VALUE else 0)
                far_look = next_look + (_RUN - 2) * layout.size
                known[key] = layout, layout.size, _RUN * layout.size, next_look, far_look, items.append, places.append
            layout, size, run_size, next_look, far_look, add_item, add_place = known[key]
            if at + size > end:
                raise WireError(_ENDS)
            if at + run_size <= end and data[place + next_look] == look == data[place + far_look]:
                self._at = at
                length = self._run(layout, count - item)
                if length > 1:
                    rows = np.frombuffer(data, layout.type, length, at)
                    self._take(layout, rows, np.arange(item, item + length))
                    at, item = at + length * size, item + length
                    continue
            add_item(item)
            add_place(at)
            at, item = at + size, item + 1
        self._at = at

    def _run(self, layout: _Layout, most: int) -> int:
        """Return how many items of this layout follow each other from here, 1 when an array is not worth it."""
        most = min(most, (self._end - self._at) // layout.size)
        if most <= _RUN or self._matching(layout, 0, _RUN) < _RUN:
            return 1
        length, step = _RUN, 64
        while length < most:
            step = min(step, most - length)
            found = self._matching(layout, length, step)
            length += found
            if found < step:
                break
            step *= 8
        return length

    def _matching(self, layout: _Layout, first: int, count: int) -> int:
        """Return how many of `count` items from number `first` have this layout, up to the first that has not."""
        place = self._at + self._head + first * layout.size
        stop = place + count * layout.size
        differs = self._bytes[place : stop : layout.size] != layout.mask
        if layout.mask & _VALUE:
            differs |= self._bytes[place + 1 : stop + 1 : layout.size] != layout.kind
        return int(differs.argmax()) if differs.any() else count

    def _take(self, layout: _Layout, rows: NDArray[Any], items: NDArray[np.intp]) -> None:
        if self._handles:
            self._row[items] = rows["handle"]
        self._kind[items] = layout.kind
        mask = layout.mask
        if layout.kind != KIND_NULL:
            value = rows["value"]
            self._number[items] = value != 0 if layout.kind == 1 else value
            if value.dtype.itemsize == 8 and value.dtype.kind in "iu":
                inexact = (value > EXACT) | (value < -EXACT if value.dtype.kind == "i" else False)
                for i in np.flatnonzero(inexact).tolist():
                    self._objects[int(items[i])] = int(value[i])
        if mask & _STATUS:
            self._status[items] = rows["status"]
        for which, (time, pico, name) in enumerate(((_SOURCE, _SOURCE_PICO, "source"), (_SERVER, _SERVER_PICO, "server"))):
            if mask & time:
                self._ticks[which, items] = rows[name]
            if mask & pico:
                self._pico[which, items] = rows[f"{name}_pico"]

    def _odd(self, item: int) -> None:
        """Decode one item whose value is not a number."""
        data, place = self._data, self._at + self._head
        mask, kind = data[place], data[place + 1]
        if self._handles:
            (self._row[item],) = struct.unpack_from("<I", data, self._at)
        self._kind[item] = KIND_NOT_SCALAR if kind & _IS_ARRAY else kind
        with _DECODING[kind & 63]:
            value, place = self._fallback(data, place + 1)
        self._objects[item] = None if isinstance(value, Refused) else value
        tail = _layout(mask & ~_VALUE, KIND_NULL, False)
        if not self._at < place <= self._end - (tail.size - 1):
            raise WireError(_ENDS)
        # the byte before the tail stands in for its mask, which has been read already
        (rest,) = np.frombuffer(data, tail.type, 1, place - 1)
        names = tail.type.names or ()
        if "status" in names:
            self._status[item] = rest["status"]
        for which, name in enumerate(("source", "server")):
            self._ticks[which, item] = rest[name] if name in names else 0
            self._pico[which, item] = rest[f"{name}_pico"] if f"{name}_pico" in names else 0
        if isinstance(value, Refused):
            self._status[item] = value.status
        self._at = place + tail.size - 1


def ticks_to_ns(ticks: Times, pico: NDArray[np.uint16]) -> Times:
    """Convert ticks (100 ns since 1601, Part 6, 5.2.2.5) and units of 10 ps to ns since 1970; 0 is no date."""
    since = (np.minimum(ticks, _LATEST_TICKS) - _BEGIN_TICKS) * 100 + np.minimum(pico, 9_999).astype(np.int64) // 100
    return np.where(ticks > _BEGIN_TICKS, since, 0)


def columns_without_values(rows: Sequence[int], status: int) -> ValueColumns:
    """Return columns with one status for all rows and without values: for an answer refused as a whole."""
    count = len(rows)
    none = np.zeros(count, np.int64)
    kind, statuses = np.full(count, KIND_NULL, np.uint8), np.full(count, status, np.uint32)
    return ValueColumns(np.asarray(rows, np.uint32), kind, np.full(count, np.nan), {}, statuses, none, none)
