"""From the bytes of a reply to columns: pure numpy, prepared once per request."""

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Qualities, Rows, Values
from gateway.core.quality import Quality
from gateway.sources.modbus.cell_values import pattern
from gateway.sources.modbus.plan import Request
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.text_values import reader
from gateway.sources.modbus.types import DTYPES, HALVES, ByteOrder, ValueType, is_bits, positions, size_bytes

_EXACT = 2**53
_Numbers = NDArray[Any]


class Decoded(NamedTuple):
    """The values of one reply."""

    value: Values
    """float64[n] in engineering units, NaN where bad, of the numeric tags (`Decoder.numeric`)."""
    quality: Qualities
    """uint8[n] of the same tags; maybe shared, not to be changed."""
    objects: Sequence[tuple[int, Any, int]]
    """(place among the request's tags, value or None, quality) of texts, labels and integers that float64 would round."""


class Decoder:
    """Decodes every reply to one request.

    The values are found by one table of byte positions per type, in which the byte order is already undone; nothing loops
    over numeric tags when a reply comes. numeric: places, among the request's tags, of those with numbers.
    """

    def __init__(self, request: Request, tags: Sequence[ModbusTag], byte_order: ByteOrder) -> None:
        """Prepare. tags: all of the device's, as `request.spans` numbers them. byte_order: for tags without their own."""
        chosen = [tags[row] for row in request.rows]
        places = [span.start - request.start for span in request.spans]
        begins = [_begin(tag, place, request.octets) for tag, place in zip(chosen, places, strict=True)]
        self.numeric: Rows = np.array([row for row, tag in enumerate(chosen) if not tag.is_text], np.intp)
        self._object_rows = [row for row, tag in enumerate(chosen) if tag.is_text or tag.labels]
        numbers = [chosen[row] for row in self.numeric]
        self._bits = np.array(places, np.intp) if is_bits(request.table) else None
        self._groups = [] if self._bits is not None else _groups(numbers, [begins[row] for row in self.numeric], byte_order)
        if len(self._groups) == 1:
            self._groups[0].is_all = True
        self._texts = [
            reader(row, tag, begins[row], byte_order, _octets(tag, begins[row], byte_order))
            for row, tag in enumerate(chosen)
            if tag.is_text
        ]
        self._labels = [(at, int(self.numeric[at]), tag.named_values) for at, tag in enumerate(numbers) if tag.labels]
        self._whole = np.array([tag.scale == 1 and tag.offset == 0 for tag in numbers], np.bool_)
        self._grown: set[int] = set()
        self._divide = _sparse([_divisor(tag.scale) for tag in numbers], 1.0)
        self._multiply = _sparse([1.0 if _divisor(tag.scale) != 1.0 else tag.scale for tag in numbers], 1.0)
        self._add = _sparse([tag.offset for tag in numbers], 0.0)
        self._good = np.full(len(numbers), Quality.GOOD, np.uint8)

    @property
    def object_rows(self) -> list[int]:
        """Return the places, among the request's tags, of those that come (also) as objects."""
        return [*self._object_rows, *(int(self.numeric[row]) for row in self._grown)]

    def __call__(self, payload: bytes) -> Decoded:
        """Return the values of a reply.

        payload: what follows the byte count of the reply, complete (MODBUS Application Protocol 1.1b3, 6.1 to 6.4:
        registers big-endian; bits from the lowest of the first byte).

        A number that is not finite, or not decimal in BCD, is bad; so is a value that means "not available"; an integer
        beyond 2^53 is uncertain, for float64 rounds it, and comes as an object, too, unless it is scaled.
        """
        raw = np.frombuffer(payload, np.uint8)
        exact: list[tuple[int, Any, int]] = []
        with np.errstate(all="ignore"):
            if self._bits is not None:
                values, quality = np.unpackbits(raw, bitorder="little")[self._bits].astype(np.float64), self._good
            else:
                values, quality = self._registers(raw, exact)
            labelled = self._labelled(values, quality) if self._labels else []
            self._scale(values)
            total = values.sum()
        if not isfinite(total):  # one that is not finite shows in the sum; a sum may also be too large
            finite = np.isfinite(values)
            quality = quality.copy() if quality is self._good else quality
            quality[~finite & (quality >= Quality.UNCERTAIN)] = Quality.BAD_NOT_A_NUMBER
            values[~finite] = np.nan
        if self._texts or labelled or exact:
            return Decoded(values, quality, [text.read(payload) for text in self._texts] + labelled + exact)
        return Decoded(values, quality, ())

    def _registers(self, raw: NDArray[np.uint8], exact: list[tuple[int, Any, int]]) -> tuple[Values, Qualities]:
        """Return numbers before scaling and their qualities; too large ones are added to `exact`."""
        values, quality = np.empty(self._good.size), self._good
        for group in self._groups:
            numbers, bad = group.read(raw)
            if group.is_all:
                values = numbers.astype(np.float64)
            else:
                values[group.rows] = numbers
            large = np.flatnonzero(np.abs(values[group.rows]) >= _EXACT) if group.is_long else ()
            if not bad and not len(large) and not self._grown:
                continue
            quality = quality.copy() if quality is self._good else quality
            for rows, code in bad:
                values[group.rows[rows]] = np.nan
                quality[group.rows[rows]] = code
            if group.is_long:
                self._exact(group.rows, numbers, quality, exact)
        return values, quality

    def _exact(self, rows: Rows, numbers: _Numbers, quality: Qualities, exact: list[tuple[int, Any, int]]) -> None:
        """Mark what float64 rounds, and add it exactly; also for tags that came exactly before."""
        signed = numbers.dtype.kind == "i"
        beyond = (numbers > _EXACT) | (numbers < -_EXACT) if signed else numbers > _EXACT
        usable = quality[rows] >= Quality.UNCERTAIN
        quality[rows[beyond & usable]] = Quality.UNCERTAIN_ROUNDED
        self._grown.update(rows[beyond & usable & self._whole[rows]].tolist())
        for at in [at for at, row in enumerate(rows.tolist()) if row in self._grown] if self._grown else ():
            good = bool(usable[at])
            code = Quality.GOOD if good else int(quality[rows[at]])
            exact.append((int(self.numeric[rows[at]]), int(numbers[at]) if good else None, code))

    def _labelled(self, values: Values, quality: Qualities) -> list[tuple[int, Any, int]]:
        """Return the labels of values; a value without one is returned as the integer it is, and uncertain."""
        decoded: list[tuple[int, Any, int]] = []
        for at, row, labels in self._labels:
            code = int(quality[at])
            if not isfinite(values[at]):
                decoded.append((row, None, code if code < Quality.UNCERTAIN else int(Quality.BAD_NOT_A_NUMBER)))
                continue
            number = int(values[at])
            label = labels.get(number)
            decoded.append((row, label, code) if label is not None else (row, number, int(Quality.UNCERTAIN_RANGE)))
        return decoded

    def _scale(self, values: Values) -> None:
        if self._divide is not None:
            values[self._divide[0]] /= self._divide[1]
        if self._multiply is not None:
            values[self._multiply[0]] *= self._multiply[1]
        if self._add is not None:
            values[self._add[0]] += self._add[1]


class _Group:
    """Tags of one type in one reply. rows: their places among the numeric tags; is_all: there are no others."""

    def __init__(
        self, kind: ValueType, rows: Sequence[int], tags: Sequence[ModbusTag], where: Sequence[Sequence[int]]
    ) -> None:
        self.rows: Rows = np.array(rows, np.intp)
        self.is_all = False
        self.is_long = kind in ("int64", "uint64", "bcd64")
        self._kind = kind
        self._dtype = np.dtype(DTYPES[kind])
        self._unsigned = np.dtype(f">u{size_bytes(kind)}")
        self._where = np.array(where, np.intp)
        masks = [1 << tag.bit if tag.bit is not None else tag.mask for tag in tags]
        self._masks = np.array([(1 << 8 * size_bytes(kind)) - 1 if mask is None else mask for mask in masks], np.uint64)
        self._shifts = np.array([0 if mask is None else (mask & -mask).bit_length() - 1 for mask in masks], np.uint64)
        self._masked = any(mask is not None for mask in masks)
        pairs = [(at, pattern(kind, value)) for at, tag in enumerate(tags) for value in tag.not_available]
        self._absent = np.array([at for at, _ in pairs], np.intp), np.array([bits for _, bits in pairs], np.uint64)

    def read(self, raw: NDArray[np.uint8]) -> tuple[_Numbers, list[tuple[Rows, Quality]]]:
        """Return the numbers; and which of them are not valid, and why."""
        octets = raw[self._where]
        bits = octets.view(self._unsigned)[:, 0]
        bad: list[tuple[Rows, Quality]] = []
        numbers: _Numbers
        if self._kind.startswith("bcd"):
            numbers, wrong = _decimal(octets)
            if wrong.size:
                bad.append((wrong, Quality.BAD_NOT_A_NUMBER))
        elif self._kind.startswith("sm"):
            sign = np.uint64(1 << 8 * size_bytes(self._kind) - 1)
            magnitude = (bits & (sign - np.uint64(1))).astype(np.int64)
            numbers = np.where(bits & sign, -magnitude, magnitude)
        elif self._masked:
            numbers = (bits & self._masks) >> self._shifts
            numbers = numbers != 0 if self._kind == "bool" else numbers
        elif self._kind == "bool":
            numbers = bits != 0
        else:
            numbers = octets.view(self._dtype)[:, 0]
        if self._absent[0].size:
            absent = self._absent[0][bits[self._absent[0]] == self._absent[1]]
            if absent.size:
                bad.append((absent, Quality.BAD_NOT_AVAILABLE))
        return numbers, bad


def _decimal(octets: NDArray[np.uint8]) -> tuple[_Numbers, Rows]:
    """Decode packed BCD, most significant digit first. Returns uint64[n], and the rows in which a digit is none."""
    high, low = octets >> 4, octets & 15
    weights = 100 ** np.arange(octets.shape[1] - 1, -1, -1, dtype=np.uint64)
    numbers = ((high.astype(np.uint64) * 10 + low) * weights).sum(axis=1, dtype=np.uint64)
    return numbers, np.flatnonzero(((high > 9) | (low > 9)).any(axis=1))


def _begin(tag: ModbusTag, place: int, octets: int) -> int:
    """Return where in the reply its registers begin, bytes. One of 16 bits is the low half of a register of 32 bits."""
    return place * octets + (2 if octets == 4 and tag.width == 1 else 0)


def _groups(tags: Sequence[ModbusTag], begins: Sequence[int], byte_order: ByteOrder) -> list[_Group]:
    """Return the tags by type, those with and without masks apart. begins: where each begins in the reply, bytes."""
    kinds: dict[tuple[ValueType, bool], list[int]] = {}
    for row, tag in enumerate(tags):
        kinds.setdefault((tag.value_type, tag.mask is not None or tag.bit is not None), []).append(row)
    return [
        _Group(kind, rows, [tags[row] for row in rows], [_octets(tags[row], begins[row], byte_order) for row in rows])
        for (kind, _), rows in sorted(kinds.items())
    ]


def _octets(tag: ModbusTag, start: int, byte_order: ByteOrder) -> list[int]:
    """Return the byte positions of a number in the reply, most significant byte first."""
    found = [start + place for place in positions(tag.byte_order or byte_order, tag.width)]
    if tag.value_type in HALVES:
        return found[:1] if tag.byte == "high" else found[1:]
    return found


def _divisor(scale: float) -> float:
    """Return the integer to divide by instead of multiplying by `scale`, 1 where there is none.

    0.1 has no exact float, but dividing an integer by 10 gives the float nearest to the true decimal.
    """
    inverse = 1 / scale
    if not isfinite(inverse) or abs(inverse) > _EXACT:
        return 1.0
    nearest = float(round(inverse))
    return nearest if nearest and abs(inverse - nearest) <= 1e-12 * abs(inverse) else 1.0


def _sparse(factors: Sequence[float], neutral: float) -> tuple[Rows, Values] | None:
    """Return the rows whose factor does something, and those factors; None when no row's does."""
    column = np.array(factors, np.float64)
    rows = np.flatnonzero(column != neutral)
    return (rows, column[rows]) if rows.size else None
