"""Frames: rows of several series, compressed alone. Pure."""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Rows, Values
from gateway.live.history import packing
from gateway.live.history.columns import MOST_ROWS, SPANS, Damaged, HistoryColumns, compressed, decode_first, decompressed
from gateway.live.history.packing import Small, Whole, differences, from_whole, packed, small, to_whole, unpacked

STEPS: Final = 510
"""Into how many steps the range of a span is divided to say where its mean is."""
_VERSION: Final = 2
_HEAD: Final = struct.Struct("<IIBB")
"""Rows, bytes when unpacked, value columns, version."""
_LEVELS: Final = {True: 4, False: 1}
"""Of zstd, for spans and for samples, of which there are sixty times as many."""
_IN_RANGE: Final = b"\x40"
"""In place of codes: steps between minimum and maximum."""
_FIXED: Final = 5


class _Runs:
    """The runs of one series each."""

    def __init__(self, series: NDArray[np.uint32], most: int) -> None:
        """most: rows of one run; longer ones become several."""
        starts = np.flatnonzero(series[1:] != series[:-1]) + 1
        starts = np.concatenate([np.zeros(min(1, series.size), np.intp), starts])
        lengths = np.diff(starts, append=series.size)
        if lengths.size and int(lengths.max()) > most:
            pieces = [np.arange(start, start + length, most) for start, length in zip(starts, lengths, strict=True)]
            starts = np.concatenate(pieces)
            lengths = np.diff(starts, append=series.size)
        self.starts, self.lengths = starts, lengths

    def frames(self, most: int) -> Iterator[slice]:
        """Yield the rows of whole runs, so many at most."""
        ends, at = self.starts + self.lengths, 0
        while at < ends.size:
            begin = int(self.starts[at])
            at = int(np.searchsorted(ends, begin + most, side="right"))
            yield slice(begin, int(ends[at - 1]))


def encode(columns: HistoryColumns, most_rows: int = MOST_ROWS) -> Iterator[tuple[slice, bytes]]:
    """Yield frames: which rows, and the bytes. columns: those of one series together, in the order of their reading."""
    level = _LEVELS[tuple(columns.values) == SPANS]
    for rows in _Runs(columns.series, most_rows).frames(most_rows):  # of a size that the processor's cache holds
        body = _body(columns.take(rows), most_rows)
        yield rows, _HEAD.pack(rows.stop - rows.start, len(body), len(columns.values), _VERSION) + compressed(body, level)


def _body(columns: HistoryColumns, most_rows: int) -> bytes:
    runs, quality = _Runs(columns.series, most_rows), columns.quality
    is_same, times = _times(columns.time, runs)
    parts = [
        columns.series[runs.starts].tobytes(),
        runs.lengths.astype(np.uint32).tobytes(),
        np.packbits(is_same).tobytes(),
        packed(times),
        quality[:1].tobytes() if (quality == quality[0]).all() else quality.tobytes(),
    ]
    for missing, codes, numbers in _value_columns(columns.values, runs):
        holes = np.packbits(missing).tobytes() if missing is not None else b""
        parts += [holes, codes if isinstance(codes, bytes) else _short(codes), packed(numbers)]
    return packing.joined(parts)


def _short(codes: NDArray[np.uint8]) -> bytes:
    return codes[:1].tobytes() if (codes == codes[0]).all() else codes.tobytes()


def _times(time: NDArray[np.int64], runs: _Runs) -> tuple[NDArray[np.bool_], Small]:
    """Return which runs have the times of the one before, and the times of the others."""
    starts, lengths = runs.starts, runs.lengths
    is_same = np.zeros(starts.size, np.bool_)
    if starts.size > 1:
        length = int(lengths[0])
        if length * starts.size == time.size and (lengths == length).all():
            table = time.reshape(-1, length)
            is_same[1:] = (table[1:] == table[:-1]).all(axis=1)
        else:
            before = np.r_[0, lengths[:-1]]
            at = np.maximum(np.arange(time.size) - np.repeat(before, lengths), 0)
            is_same = np.logical_and.reduceat(time == time[at], starts) & (lengths == before)
            is_same[0] = False
    kept = time[np.repeat(~is_same, lengths)] if is_same.any() else time
    return is_same, small(differences(kept))


def _value_columns(
    values: Mapping[str, Values], runs: _Runs
) -> Iterator[tuple[NDArray[np.bool_] | None, bytes | NDArray[np.uint8], Small]]:
    """Yield of each column which values are missing, how they are coded, and the numbers."""
    columns = {name: _filled(column, runs) for name, column in values.items()}
    are_spans = tuple(columns) == SPANS
    codes: NDArray[np.uint8] = np.zeros(0, np.uint8)
    lowest: Whole = np.zeros(0, np.int64)
    for name, (missing, column) in columns.items():
        if are_spans and name == "max":
            yield missing, codes, small(to_whole(column, codes, runs.lengths) - lowest)
            continue
        if are_spans and name == "mean" and (steps := _steps_of(columns)) is not None:
            yield missing, _IN_RANGE, steps
            continue
        together = [column, columns["max"][1]] if are_spans and name == "min" else [column]
        codes = packing.codes_of(together, runs.starts, runs.lengths)
        lowest = to_whole(column, codes, runs.lengths)
        yield missing, codes, small(differences(lowest))


def _filled(column: Values, runs: _Runs) -> tuple[NDArray[np.bool_] | None, Values]:
    """Return which values are missing, and the column with the one before of the same run in their place, or 0."""
    missing = np.isnan(column)
    if not np.count_nonzero(missing):
        return None, column
    at = np.where(missing, np.repeat(runs.starts, runs.lengths), np.arange(column.size))
    column = column[np.maximum.accumulate(at)]
    return missing, np.where(np.isnan(column), 0.0, column)


def in_steps(low: Values, high: Values, mean: Values) -> tuple[NDArray[np.float64], Values]:
    """Return at which of the steps from minimum to maximum the mean is, and the mean that this stands for."""
    with np.errstate(all="ignore"):
        step = (high - low) / STEPS
        place = np.where(step > 0, np.clip(np.rint((mean - low) / step), 0, STEPS), 0.0)
        return place, np.minimum(low + place * step, high)


def _steps_of(columns: dict[str, tuple[NDArray[np.bool_] | None, Values]]) -> Small | None:
    """Return where the means are in the ranges, None where that does not say it bit by bit."""
    missing, mean = columns["mean"]
    place, stands_for = in_steps(columns["min"][1], columns["max"][1], mean)
    same = stands_for.view(np.int64) == mean.view(np.int64)
    if missing is not None:
        same |= missing
        place = np.where(missing, 0.0, place)
    if not same.all():
        return None
    return np.nan_to_num(place).astype(np.uint64)


def decode(frame: bytes | memoryview, names: tuple[str, ...]) -> HistoryColumns:
    """Return the rows of a frame. Raises Damaged for whatever is none; takes no more memory than its head admits to."""
    try:
        rows, size, count, version = _HEAD.unpack_from(frame)
        if version != _VERSION:
            return decode_first(frame, names)
        if count != len(names) or rows > MOST_ROWS or size > (32 + 12 * (count + 3)) * (rows + 8):
            raise Damaged("no frame of this version")
        parts = packing.split(decompressed(bytes(frame[_HEAD.size :]), size))
        if len(parts) != _FIXED + 3 * count:
            raise Damaged("another number of parts")
        return _columns(parts, names, rows)
    except (struct.error, ValueError, IndexError, MemoryError) as error:
        raise error if isinstance(error, Damaged) else Damaged(str(error)) from error


def _columns(parts: list[bytes], names: tuple[str, ...], rows: int) -> HistoryColumns:
    series, lengths = np.frombuffer(parts[0], np.uint32), np.frombuffer(parts[1], np.uint32).astype(np.intp)
    if series.size != lengths.size or int(lengths.sum()) != rows or int(lengths.max(initial=0)) > rows:
        raise Damaged("runs that do not add up")
    is_same = np.unpackbits(np.frombuffer(parts[2], np.uint8), count=series.size).astype(np.bool_)
    if is_same[:1].any() or (is_same[1:] & (lengths[1:] != lengths[:-1])).any():
        raise Damaged("times of no run")
    starts = np.cumsum(lengths) - lengths
    kept = np.cumsum(np.where(is_same, 0, lengths)) - np.where(is_same, 0, lengths)
    source = np.maximum.accumulate(np.where(is_same, 0, np.arange(series.size)))
    time = np.cumsum(packing.whole(unpacked(parts[3], int(lengths[~is_same].sum()))))
    time = time[np.repeat(kept[source] - starts, lengths) + np.arange(rows)]
    quality = np.frombuffer(parts[4], np.uint8)
    quality = np.repeat(quality, rows) if quality.size == 1 else quality
    if quality.size != rows:
        raise Damaged("columns of different lengths")
    return HistoryColumns(np.repeat(series, lengths), time, quality, _values(parts[_FIXED:], names, rows, lengths))


def _values(parts: list[bytes], names: tuple[str, ...], rows: int, lengths: Rows) -> dict[str, Values]:
    values: dict[str, Values] = {}
    lowest: Whole = np.zeros(0, np.int64)
    holes: dict[str, NDArray[np.bool_]] = {}
    for name, at in zip(names, range(0, len(parts), 3), strict=True):
        numbers = unpacked(parts[at + 2], rows)
        if len(parts[at]) not in (0, (rows + 7) // 8):
            raise Damaged("a column of another length")
        if parts[at]:
            holes[name] = np.unpackbits(np.frombuffer(parts[at], np.uint8), count=rows).astype(np.bool_)
        if parts[at + 1] == _IN_RANGE:
            low, high = values[SPANS[0]], values[SPANS[1]]
            with np.errstate(all="ignore"):
                values[name] = np.minimum(low + numbers.astype(np.float64) * ((high - low) / STEPS), high)
            continue
        codes = np.frombuffer(parts[at + 1], np.uint8)
        codes = np.repeat(codes, lengths.size) if codes.size == 1 else codes
        if codes.size != lengths.size:
            raise Damaged("a column of another length")
        counted = packing.whole(numbers)
        counted = lowest + counted if names == SPANS and name == "max" else np.cumsum(counted)
        lowest = counted
        values[name] = from_whole(counted, codes, lengths)
    for name, missing in holes.items():
        values[name][missing] = np.nan
    return values
