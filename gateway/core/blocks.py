"""Blocks of columns, which carry samples and windows from a source's decoder to the encoder."""

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
    """Samples as columns of equal length, read-only once made. Samples of one tag stand in the order of their reading."""

    tag: TagIds
    """uint32[n], row numbers in the `TagTable`."""
    time: Times
    """int64[n], ns since the epoch, UTC; never later than the real read."""
    value: Values
    """float64[n], NaN where the quality is bad."""
    quality: Qualities
    """uint8[n], `Quality` codes."""
    history: bool = False
    """They were read back from the device's own history: they fill windows and raise no alarm."""
    repeated: bool = False
    """They are the last sample of each tag once more, still valid although the connection was lost meanwhile; they count in
    no window."""
    cycle: int = -1
    """The number of the device's poll that they come from, -1 where there is none: samples of one poll belong together."""

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return self.tag.size

    @classmethod
    def bad(cls, tags: TagIds, time_ns: int, quality: Quality, cycle: int = -1) -> "SampleBlock":
        """Return one sample without a value per tag: a read was due at `time_ns` and failed for the reason in `quality`."""
        count = tags.size
        return cls(
            tags,
            np.full(count, time_ns, np.int64),
            np.full(count, np.nan),
            np.full(count, quality, np.uint8),
            cycle=cycle,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ObjectBlock:
    """Values that float64 cannot carry, beside the hot path: text, arrays, structures, integers beyond 2^53.

    A number that is merely too large comes twice: here exactly, and in a `SampleBlock` as UNCERTAIN_ROUNDED.
    """

    tag: TagIds
    """As in `SampleBlock`."""
    time: Times
    """As in `SampleBlock`."""
    value: Sequence[Any]
    """Per row what JSON carries exactly (str, int, float, bool, None, lists and dicts of them); None where it is bad."""
    quality: Qualities
    """As in `SampleBlock`."""
    history: bool = False
    """They were read back from the device's own history: they are not the present values."""

    def __post_init__(self) -> None:
        _freeze(self)
        if len(self.value) != self.tag.size:
            raise ValueError(f"ObjectBlock.value: expected {self.tag.size} rows")

    def __len__(self) -> int:
        return self.tag.size

    def take(self, rows: Sequence[int]) -> "ObjectBlock":
        """Return the block with these rows only."""
        values = [self.value[row] for row in rows]
        return ObjectBlock(self.tag[rows], self.time[rows], values, self.quality[rows], self.history)


@dataclass(frozen=True, slots=True, eq=False)
class WindowBlock:
    """Statistics of one window, one row per tag, read-only once made. Statistics are NaN where `used` is 0."""

    start: int
    """Begin of the window, ns since the epoch, UTC."""
    length: int
    """Length of the window, ns."""
    late: bool
    """The rows hold only samples that came after the window was closed."""
    tag: TagIds
    """uint32[n], row numbers in the `TagTable`."""
    count: Counts
    """int64[n], samples read, bad ones too."""
    good: Counts
    """int64[n], samples of good quality."""
    used: Counts
    """int64[n], samples that the statistics rest on: good and uncertain ones."""
    min: Values
    """float64[n]."""
    max: Values
    """float64[n]."""
    mean: Values
    """float64[n]."""
    std: Values
    """float64[n], of the population."""
    first: Values
    """float64[n], the earliest value."""
    last: Values
    """float64[n], the latest value; where `used` is 0 the value that is still in force, or NaN."""
    last_time: Times
    """int64[n], ns: when `last` was read, 0 for never."""
    quality: Qualities
    """uint8[n], `Quality` codes; where `count` is 0 that of the value in force."""
    past: bool = False
    """All of it was read back from the devices' own history."""
    replaces: bool = False
    """It is late, and its rows are over all samples: they take the place of what was published of this window before."""

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return self.tag.size

    def take(self, rows: Rows | Mask | slice) -> "WindowBlock":
        """Return the window with the given rows only (row numbers, a mask or a slice)."""
        columns = {
            f.name: getattr(self, f.name)[rows] if isinstance(getattr(self, f.name), np.ndarray) else getattr(self, f.name)
            for f in fields(self)
        }
        return WindowBlock(**columns)
