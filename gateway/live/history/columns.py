"""Columns of history, and their compressed form: differences, bytes sorted by their rank, zstd. Pure."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Qualities, Rows, Times, Values

SAMPLES: Final = ("value",)
SPANS: Final = ("min", "max", "mean", "count")
"""Names of the value columns of samples, and of minutes and ten minutes."""
MOST_ROWS: Final = 1 << 20
"""Rows of one frame; a frame that claims more is damaged."""
_LEVEL: Final = 1
_HEAD: Final = struct.Struct("<IIBB")
_PART: Final = struct.Struct("<bI")
_BITS, _DECIMAL_0 = -1, 0
_SCALES: Final = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
_EXACT: Final = 2.0**53


class Damaged(ValueError):
    """Bytes that are no frame."""


@dataclass(frozen=True, slots=True, eq=False)
class HistoryColumns:
    """Rows of history as columns of equal length; the rows of one series stand in the order of their reading."""

    series: NDArray[np.uint32]
    """uint32[n], number of the tag among the series of the historian, or of the file."""
    time: Times
    """int64[n], ns since the epoch, UTC: when the value was read, or the span begins."""
    quality: Qualities
    """uint8[n], `Quality` codes."""
    values: Mapping[str, Values]
    """float64[n] each: `value` of samples; `min`, `max`, `mean`, `count` of spans. NaN where there is none."""

    def __len__(self) -> int:
        return self.series.size

    def take(self, rows: Rows | Mask | slice) -> "HistoryColumns":
        """Return these rows."""
        values = {name: column[rows] for name, column in self.values.items()}
        return HistoryColumns(self.series[rows], self.time[rows], self.quality[rows], values)

    @classmethod
    def empty(cls, names: tuple[str, ...]) -> "HistoryColumns":
        """Return no rows."""
        values = {name: np.zeros(0) for name in names}
        return cls(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint8), values)

    @classmethod
    def joined(cls, parts: "list[HistoryColumns]", names: tuple[str, ...]) -> "HistoryColumns":
        """Return the rows of all parts, in their order."""
        if len(parts) < 2:
            return parts[0] if parts else cls.empty(names)
        return cls(
            np.concatenate([part.series for part in parts]),
            np.concatenate([part.time for part in parts]),
            np.concatenate([part.quality for part in parts]),
            {name: np.concatenate([part.values[name] for part in parts]) for name in names},
        )


def encode(columns: HistoryColumns) -> bytes:
    """Return the rows as one frame, compressed."""
    starts = np.flatnonzero(np.r_[True, columns.series[1:] != columns.series[:-1]])[: len(columns)]
    runs = np.diff(starts, append=len(columns)).astype(np.uint32)
    parts = [
        (_BITS, columns.series[starts].tobytes()),
        (_BITS, runs.tobytes()),
        (_BITS, _shuffled(np.diff(columns.time, prepend=0))),
        (_BITS, columns.quality.tobytes()),
        *(_encode_values(columns.values[name]) for name in columns.values),
    ]
    body = b"".join(_PART.pack(scale, len(data)) + data for scale, data in parts)
    head = _HEAD.pack(len(columns), len(body), len(columns.values), 1)
    return head + zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(body)


def decode(frame: bytes | memoryview, names: tuple[str, ...]) -> HistoryColumns:
    """Return the rows of a frame. Raises Damaged for whatever is none; takes no more memory than its head admits to."""
    try:
        rows, size, count, version = _HEAD.unpack_from(frame)
        if version != 1 or count != len(names) or rows > MOST_ROWS or size > (16 + 9 * (count + 3)) * (rows + 8):
            raise Damaged("no frame of this version")
        body = zstandard.ZstdDecompressor().decompress(bytes(frame[_HEAD.size :]), max_output_size=size)
        if len(body) != size:
            raise Damaged("another length than its head says")
        parts = _parts(body, 4 + count)
        runs = np.frombuffer(parts[1][1], np.uint32)
        if int(runs.sum(dtype=np.uint64)) != rows:
            raise Damaged("runs that do not add up")
        series = np.repeat(np.frombuffer(parts[0][1], np.uint32), runs)
        time = np.cumsum(_unshuffled(parts[2][1], rows))
        quality = np.frombuffer(parts[3][1], np.uint8)
        if quality.size != rows or series.size != rows:
            raise Damaged("columns of different lengths")
        values = {name: _decode_values(scale, data, rows) for name, (scale, data) in zip(names, parts[4:], strict=True)}
    except (struct.error, zstandard.ZstdError, ValueError, MemoryError) as error:
        raise error if isinstance(error, Damaged) else Damaged(str(error)) from error
    return HistoryColumns(series, time, quality, values)


def _parts(body: bytes, count: int) -> list[tuple[int, bytes]]:
    parts, at = [], 0
    for _ in range(count):
        scale, size = _PART.unpack_from(body, at)
        at += _PART.size
        if at + size > len(body):
            raise Damaged("a part beyond the end")
        parts.append((scale, body[at : at + size]))
        at += size
    return parts


def _encode_values(column: Values) -> tuple[int, bytes]:
    """Return the scale and the bytes: decimal fractions as whole numbers, what is none bit by bit.

    A value that is not there repeats the one before, and a bit says so.
    """
    missing = np.isnan(column)
    holes = b""
    if missing.any():
        holes = np.packbits(missing).tobytes()
        at = np.where(missing, 0, np.arange(column.size))
        column = np.where(missing, 0.0, column)[np.maximum.accumulate(at)]
    scale, whole = _whole_numbers(column)
    return scale, struct.pack("<I", len(holes)) + holes + _shuffled(np.diff(whole, prepend=0))


def _whole_numbers(column: Values) -> tuple[int, NDArray[np.int64]]:
    """Return the power of ten that makes all values whole numbers, exactly, or _BITS; and the numbers."""
    probe = column[:: max(1, column.size // 64)]
    for power, factor in enumerate(_SCALES):
        if not _is_whole(probe, factor):
            continue
        if _is_whole(column, factor):
            return power, np.rint(column * factor).astype(np.int64)
    return _BITS, column.view(np.int64)


def _is_whole(column: Values, factor: float) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        whole = np.rint(column * factor)
        # Bit by bit: a negative zero is no whole number.
        same = ((whole / factor).view(np.int64) == column.view(np.int64)) & (np.abs(whole) < _EXACT)
        same &= (whole != 0) | ~np.signbit(column)
    return bool(same.all())


def _decode_values(scale: int, data: bytes, rows: int) -> Values:
    (size,) = struct.unpack_from("<I", data)
    if size not in (0, (rows + 7) // 8) or not _BITS <= scale < len(_SCALES):
        raise Damaged("a column of an unknown kind")
    whole = np.cumsum(_unshuffled(data[4 + size :], rows))
    column = whole.view(np.float64) if scale == _BITS else whole / _SCALES[scale]
    if size:
        column[np.unpackbits(np.frombuffer(data, np.uint8, size, 4), count=rows).astype(np.bool_)] = np.nan
    return column


def _shuffled(numbers: NDArray[np.int64]) -> bytes:
    """Return the lowest byte of all numbers, then the second byte of all, and so on; zigzag, so small ones stay so."""
    zigzag = (numbers << 1) ^ (numbers >> 63)
    return zigzag.astype("<i8", copy=False).view(np.uint8).reshape(-1, 8).T.tobytes()


def _unshuffled(data: bytes, rows: int) -> NDArray[np.int64]:
    planes = np.frombuffer(data, np.uint8)
    if planes.size != 8 * rows:
        raise Damaged("a column of another length")
    zigzag = np.ascontiguousarray(planes.reshape(8, rows).T).view("<u8").reshape(rows)
    return ((zigzag >> np.uint64(1)) ^ (~(zigzag & np.uint64(1)) + np.uint64(1))).view(np.int64)
