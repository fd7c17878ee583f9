"""Chunks: what was gathered for some seconds, by series, in frames that are compressed alone. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.quality import USABLE_FROM
from gateway.live.history.columns import SPANS, HistoryColumns
from gateway.live.history.frames import decode, encode, in_steps

FRAME_ROWS: Final = 16_384
FRAME_TYPE: Final = np.dtype(
    [("first", "<u4"), ("last", "<u4"), ("begin", "<i8"), ("end", "<i8"), ("rows", "<u4"), ("size", "<u4")]
)
"""A frame's place in its chunk: first and last series, earliest and latest time, rows, bytes."""
Series = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Compressed rows, sorted by series."""

    frames: NDArray[np.void]
    """`FRAME_TYPE`, one for each frame, in the order of their bytes."""
    data: bytes
    """The frames, one after the other."""

    @property
    def begin(self) -> int:
        """Return the earliest time, ns."""
        return int(self.frames["begin"].min())

    @property
    def end(self) -> int:
        """Return the latest time, ns."""
        return int(self.frames["end"].max())

    @property
    def rows(self) -> int:
        """Return how many rows it has."""
        return int(self.frames["rows"].sum())

    @property
    def size(self) -> int:
        """Return about how many bytes of memory it takes."""
        return len(self.data) + self.frames.nbytes + 400


def seal(columns: HistoryColumns) -> Chunk:
    """Return rows as a chunk. columns: at least one row; those of one series in the order of their reading."""
    keys = columns.series
    if int(keys[-1]) < 1 << 16 and int(keys.max()) < 1 << 16:
        keys = keys.astype(np.uint16)  # sorted by radix, five times as fast
    if (keys[1:] < keys[:-1]).any():
        columns = columns.take(np.argsort(keys, kind="stable"))
    places, parts = [], []
    for rows, data in encode(columns, FRAME_ROWS):
        parts.append(data)
        series, time = columns.series[rows], columns.time[rows]
        places.append((int(series[0]), int(series[-1]), int(time.min()), int(time.max()), time.size, len(data)))
    return Chunk(np.array(places, FRAME_TYPE), b"".join(parts))


def chosen_frames(frames: NDArray[np.void], series: Series, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield place and length of each frame that may have rows of one of the series (ascending) from begin to before end."""
    low = np.searchsorted(series, frames["first"])
    high = np.searchsorted(series, frames["last"], side="right")
    chosen = np.flatnonzero((high > low) & (frames["begin"] < end) & (frames["end"] >= begin))
    if chosen.size:
        ends = np.cumsum(frames["size"], dtype=np.int64)
        for at in chosen.tolist():
            size = int(frames["size"][at])
            yield int(ends[at]) - size, size


def rows_of(data: bytes | memoryview, names: tuple[str, ...], series: Series, begin: int, end: int) -> HistoryColumns:
    """Return the rows of a frame that belong to a series (ascending) from begin to before end. Raises Damaged."""
    columns = decode(data, names)
    if not series.size:
        return HistoryColumns.empty(names)
    at = np.minimum(np.searchsorted(series, columns.series), series.size - 1)
    wanted = (series[at] == columns.series) & (columns.time >= begin) & (columns.time < end)
    return columns.take(wanted)


def shortened(columns: HistoryColumns) -> HistoryColumns:
    """Return spans with each mean at the nearest of 510 steps from minimum to maximum, less than a thousandth away."""
    low, high, mean = (columns.values[name] for name in ("min", "max", "mean"))
    _, short = in_steps(low, high, mean)
    values = {**columns.values, "mean": np.where(np.isfinite(short) & (low <= mean) & (mean <= high), short, mean)}
    return HistoryColumns(columns.series, columns.time, columns.quality, values)


def rolled_up(columns: HistoryColumns, span_ns: int) -> HistoryColumns:
    """Return spans merged into longer ones, or parts of one span into one; sorted by series and time.

    The quality is the worst of those that have a value, and else the best of those that have none.
    """
    if not len(columns):
        return columns
    start = columns.time - columns.time % span_ns
    order = np.lexsort((start, columns.series))
    columns, start = columns.take(order), start[order]
    first = np.flatnonzero((np.diff(columns.series, prepend=columns.series[0]) != 0) | (np.diff(start, prepend=-1) != 0))
    values, used = columns.values, columns.values["count"]
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.add.reduceat(used, first)
        total = np.add.reduceat(np.where(used > 0, values["mean"] * used, 0.0), first)
        mean = np.where(count > 0, total / count, np.nan)
    lowest = np.fmin.reduceat(values["min"], first)
    highest = np.fmax.reduceat(values["max"], first)
    # A mean of equal values may miss them by a rounding.
    mean = np.where(count > 0, np.clip(mean, lowest, highest), np.nan)
    usable = np.where(columns.quality >= USABLE_FROM, columns.quality, np.uint8(255))
    worst, best = np.minimum.reduceat(usable, first), np.maximum.reduceat(columns.quality, first)
    quality = np.where(worst == 255, best, worst).astype(np.uint8)
    merged = dict(zip(SPANS, (lowest, highest, mean, count), strict=True))
    return HistoryColumns(columns.series[first], start[first], quality, merged)


def in_time_order(parts: Sequence[HistoryColumns], names: tuple[str, ...]) -> HistoryColumns:
    """Return all rows sorted by series and time; rows of equal times keep their order."""
    columns = HistoryColumns.joined(list(parts), names)
    order = np.lexsort((columns.time, columns.series))
    return columns.take(order)
