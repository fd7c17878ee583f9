"""Columns: what moves between a source's decode and the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.quality import Quality

TagIds = NDArray[np.uint32]
Times = NDArray[np.int64]
Values = NDArray[np.float64]
Qualities = NDArray[np.uint8]
Counts = NDArray[np.int64]
Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]


_NAMES: dict[type, tuple[str, ...]] = {}


def _freeze(block: object) -> None:
    """Make every array field of a block read-only and check that all have one length."""
    size = -1
    kind = type(block)
    names = _NAMES.get(kind) or _NAMES.setdefault(kind, tuple(field.name for field in fields(block)))  # type: ignore[arg-type]
    for name in names:
        column = getattr(block, name)
        if isinstance(column, np.ndarray):
            if column.ndim != 1 or (size >= 0 and column.size != size):
                raise ValueError(f"{kind.__name__}.{name}: expected one dimension of {size} rows")
            size = column.size
            column.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Samples as equal-length columns, read-only once made.

    tag: uint32[n], row number in the `TagTable`. time: int64[n], ns since the epoch, UTC, never later than the real read.
    value: float64[n], NaN where the quality is bad. quality: uint8[n], a `Quality` code.
    Samples of one tag stand in the order in which they were taken. history: read back from the device's own history, about
    the past: they fill windows and raise no alarm. repeated: the last sample of each tag once more, which holds after all
    although the connection was lost meanwhile; it counts in no window.
    """

    tag: TagIds
    time: Times
    value: Values
    quality: Qualities
    history: bool = False
    repeated: bool = False

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return self.tag.size

    @classmethod
    def bad(cls, tags: TagIds, time_ns: int, quality: Quality) -> "SampleBlock":
        """One sample without a value per tag: a read was due at `time_ns` and failed for the reason in `quality`."""
        count = tags.size
        return cls(
            tags,
            np.full(count, time_ns, np.int64),
            np.full(count, np.nan),
            np.full(count, quality, np.uint8),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ObjectBlock:
    """Values that float64 cannot carry, beside the hot path: text, arrays, structures, integers beyond 2^53.

    tag, time, quality: as in `SampleBlock`. value: per row what JSON can carry exactly (str, int, float, bool, None,
    lists and dicts of them); None where the quality is bad. A number that is merely too large comes twice: here exactly,
    and in a `SampleBlock` as UNCERTAIN_ROUNDED. history: as in `SampleBlock`: about the past, not what holds now.
    """

    tag: TagIds
    time: Times
    value: Sequence[Any]
    quality: Qualities
    history: bool = False

    def __post_init__(self) -> None:
        _freeze(self)
        if len(self.value) != self.tag.size:
            raise ValueError(f"ObjectBlock.value: expected {self.tag.size} rows")

    def __len__(self) -> int:
        return self.tag.size

    def take(self, rows: Sequence[int]) -> "ObjectBlock":
        """Only these rows."""
        values = [self.value[row] for row in rows]
        return ObjectBlock(self.tag[rows], self.time[rows], values, self.quality[rows], self.history)


@dataclass(frozen=True, slots=True, eq=False)
class WindowBlock:
    """Statistics of one window, one row per tag, read-only once made.

    start, length: ns, UTC, shared by all rows. late: the rows hold only samples that came after the window was closed.
    tag: uint32[n]. count: samples read, bad ones too. good: those with good quality. used: those the statistics rest on
    (good and uncertain). min, max, mean, std (population), first, last: float64[n], NaN where `used` is 0, except `last`,
    which then holds the value that is still in force, read at `last_time` (int64[n], ns; 0 = never).
    quality: uint8[n]; with `count` 0 the quality of the value in force.
    past: all of it was read back from the devices' own history.
    """

    start: int
    length: int
    late: bool
    tag: TagIds
    count: Counts
    good: Counts
    used: Counts
    min: Values
    max: Values
    mean: Values
    std: Values
    first: Values
    last: Values
    last_time: Times
    quality: Qualities
    past: bool = False

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return self.tag.size

    def take(self, rows: Rows | Mask) -> "WindowBlock":
        """The same window with only the given rows (row numbers or a mask)."""
        columns = {
            f.name: getattr(self, f.name)[rows] if isinstance(getattr(self, f.name), np.ndarray) else getattr(self, f.name)
            for f in fields(self)
        }
        return WindowBlock(**columns)
