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
_HEAD: Final = struct.Struct("<IIBB")
_PART: Final = struct.Struct("<bI")
_BITS, _DECIMAL_0 = -1, 0
_SCALES: Final = (1.0, 10.0, 100.0, 1000.0, 10_000.0)


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


def compressed(body: bytes, level: int) -> bytes:
    """Return bytes compressed, with a checksum."""
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(body)


def decompressed(data: bytes, size: int) -> bytes:
    """Return so many bytes. Raises Damaged for whatever does not have them."""
    try:
        body = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from error
    if len(body) != size:
        raise Damaged("another length than its head says")
    return body


def decode_first(frame: bytes | memoryview, names: tuple[str, ...]) -> HistoryColumns:
    """Return the rows of a frame of the first version. Raises Damaged for whatever is none.

    Takes no more memory than its head admits to.
    """
    try:
        rows, size, count, version = _HEAD.unpack_from(frame)
        if version != 1 or count != len(names) or rows > MOST_ROWS or size > (16 + 9 * (count + 3)) * (rows + 8):
            raise Damaged("no frame of this version")
        body = decompressed(bytes(frame[_HEAD.size :]), size)
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
    except (struct.error, ValueError, MemoryError) as error:
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


def _decode_values(scale: int, data: bytes, rows: int) -> Values:
    (size,) = struct.unpack_from("<I", data)
    if size not in (0, (rows + 7) // 8) or not _BITS <= scale < len(_SCALES):
        raise Damaged("a column of an unknown kind")
    whole = np.cumsum(_unshuffled(data[4 + size :], rows))
    column = whole.view(np.float64) if scale == _BITS else whole / _SCALES[scale]
    if size:
        column[np.unpackbits(np.frombuffer(data, np.uint8, size, 4), count=rows).astype(np.bool_)] = np.nan
    return column


def _unshuffled(data: bytes, rows: int) -> NDArray[np.int64]:
    planes = np.frombuffer(data, np.uint8)
    if planes.size != 8 * rows:
        raise Damaged("a column of another length")
    zigzag = np.ascontiguousarray(planes.reshape(8, rows).T).view("<u8").reshape(rows)
    return ((zigzag >> np.uint64(1)) ^ (~(zigzag & np.uint64(1)) + np.uint64(1))).view(np.int64)
