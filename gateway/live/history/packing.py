"""Whole numbers as few bytes: differences, small numbers for small differences, bytes by their rank. Pure."""

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Rows, Values

Whole = NDArray[np.int64]
"""int64, as they are counted up."""
Small = NDArray[np.uint64]
"""uint64, small where the number is near 0 (zigzag)."""
BITS: Final = 255
"""The code of values that are kept bit by bit; codes below `len(SCALES)` are powers of ten."""
SINGLE: Final = 128
"""The code of values that float32 carries: the bits of those."""
SCALES: Final = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
_EXACT: Final = 2.0**53
_TYPES: Final = (np.uint8, np.uint8, np.uint16, np.uint32, np.uint32, np.uint64, np.uint64, np.uint64, np.uint64)


def differences(numbers: Whole) -> Whole:
    """Return the first number, and each other one less the one before."""
    made = np.empty_like(numbers)
    np.subtract(numbers[1:], numbers[:-1], out=made[1:])
    made[:1] = numbers[:1]
    return made


def small(numbers: Whole) -> Small:
    """Return numbers that are small where these are near 0."""
    return ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)


def whole(numbers: Small) -> Whole:
    """Return what `small` was made of."""
    return ((numbers >> np.uint64(1)) ^ (~(numbers & np.uint64(1)) + np.uint64(1))).view(np.int64)


def packed(numbers: Small) -> bytes:
    """Return how many bytes the largest needs, then the lowest byte of all, the second of all, and so on."""
    width = (int(numbers.max()).bit_length() + 7) // 8 if numbers.size else 0
    if not width:
        return b"\0"
    kind = np.dtype(_TYPES[width]).newbyteorder("<")
    planes = numbers.astype(kind).view(np.uint8).reshape(-1, kind.itemsize)
    return bytes((width,)) + (planes.tobytes() if kind.itemsize == 1 else planes[:, :width].T.tobytes())


def unpacked(data: bytes, count: int) -> Small:
    """Return what `packed` was given. Raises ValueError for bytes that are not so many numbers."""
    width = data[0] if data else 9
    if width > 8 or len(data) != 1 + width * count:
        raise ValueError("numbers of another length")
    planes = np.zeros((count, 8), np.uint8)
    planes[:, :width] = np.frombuffer(data, np.uint8, offset=1).reshape(width, count).T
    return planes.view("<u8").reshape(count)


def joined(parts: list[bytes]) -> bytes:
    """Return parts one after the other, each with its length."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def split(data: bytes) -> list[bytes]:
    """Return the parts of `joined`. Raises ValueError and struct.error for what is none."""
    parts, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + size > len(data):
            raise ValueError("a part beyond the end")
        parts.append(data[at : at + size])
        at += size
    return parts


def codes_of(columns: list[Values], starts: Rows, lengths: Rows) -> NDArray[np.uint8]:
    """Return the code of each run that carries all values of all columns exactly. No value may be missing."""
    codes, edges = np.full(starts.size, BITS, np.uint8), np.r_[starts, starts + lengths - 1]
    highest = next((code for code in range(len(SCALES)) if all(_fits(column[edges], code).all() for column in columns)), 0)
    if all(_fits(column, highest).all() for column in columns):
        return np.full(starts.size, highest, np.uint8)
    left = np.arange(starts.size)
    for code in (*range(len(SCALES)), SINGLE):
        # The first and the last value of a run say mostly that it is none of this kind.
        edges = np.concatenate([starts[left], starts[left] + lengths[left] - 1])
        is_likely = np.logical_and.reduce([_fits(column[edges], code) for column in columns]).reshape(2, -1).all(axis=0)
        if not np.count_nonzero(is_likely):
            continue
        chosen = left[is_likely]
        begins = np.r_[0, np.cumsum(lengths[chosen])]
        everything = chosen.size == starts.size
        rows = (
            slice(None) if everything else np.repeat(starts[chosen] - begins[:-1], lengths[chosen]) + np.arange(begins[-1])
        )
        fits = np.logical_and.reduce([_fits(column[rows], code) for column in columns])
        found = np.logical_and.reduceat(fits, begins[:-1])
        codes[chosen[found]] = code
        left = np.flatnonzero(codes == BITS)
        if not left.size:
            break
    return codes


def _fits(column: Values, code: int) -> NDArray[np.bool_]:
    """Return which values come back bit by bit. A negative zero is no whole number."""
    with np.errstate(over="ignore", invalid="ignore"):
        if code == SINGLE:
            return np.asarray(column.astype(np.float32).astype(np.float64) == column)
        number = np.rint(column if code == 0 else column * SCALES[code])
        same = (number if code == 0 else number / SCALES[code]) == column
        same &= np.abs(number) < _EXACT
        zero = number == 0
        if np.count_nonzero(zero):
            same &= ~(zero & np.signbit(column))
    return np.asarray(same)


def to_whole(column: Values, codes: NDArray[np.uint8], lengths: Rows) -> Whole:
    """Return values as whole numbers, each as the code of its run says."""
    known = np.unique(codes).tolist()
    if len(known) == 1:
        return _to_whole(column, known[0])
    made, code = np.empty(column.size, np.int64), np.repeat(codes, lengths)
    for one in known:
        rows = code == one
        made[rows] = _to_whole(column[rows], one)
    return made


def _to_whole(column: Values, code: int) -> Whole:
    if code == BITS:
        return column.view(np.int64)
    if code == SINGLE:
        return column.astype(np.float32).view(np.int32).astype(np.int64)
    return np.rint(column * SCALES[code]).astype(np.int64)


def from_whole(numbers: Whole, codes: NDArray[np.uint8], lengths: Rows) -> Values:
    """Return what `to_whole` was given. Raises ValueError for a code that there is not."""
    made, code = np.empty(numbers.size), np.repeat(codes, lengths)
    for one in np.unique(codes).tolist():
        rows = code == one
        if one == BITS:
            made[rows] = numbers[rows].view(np.float64)
        elif one == SINGLE:
            made[rows] = numbers[rows].astype(np.int32).view(np.float32)
        elif one < len(SCALES):
            made[rows] = numbers[rows] / SCALES[one]
        else:
            raise ValueError("a column of an unknown kind")
    return made
