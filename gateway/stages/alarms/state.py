"""What is known of each alarm, and what changes, in columns."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Qualities, Rows, Times, Values

Levels = NDArray[np.int8]
OFF: Final = 0
ON: Final = 1
BAD: Final = 2


@dataclass(slots=True, eq=False)
class State:
    """What is known of each row, columns of n."""

    level: Levels
    """int8, `OFF`, `ON` or `BAD`."""
    latch: Mask
    """bool, whether it was beyond at the last decision."""
    since: Times
    """int64, since when it has this level, ns; 0 for never."""
    value: Values
    """float64, the value since then."""
    quality: Qualities
    """uint8, its quality."""
    active: Mask
    """bool, whether the alarm is active."""
    onset: Times
    """int64, since when it was beyond when it became active, ns."""
    newest: Times
    """int64, time of the newest sample or transition: earlier samples count as of then."""
    first: Values
    """float64, of a pair the value of the tag itself, of a rate the value before; NaN for none."""
    second: Values
    """float64, of a pair the value of the second tag; NaN for none."""
    first_time: Times
    """int64, of a rate the time of the value before, ns."""

    @classmethod
    def unknown(cls, rows: int) -> "State":
        """Return the state of rows that have seen no sample."""
        return cls(
            np.zeros(rows, np.int8),
            np.zeros(rows, np.bool_),
            np.zeros(rows, np.int64),
            np.full(rows, np.nan),
            np.zeros(rows, np.uint8),
            np.zeros(rows, np.bool_),
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
            np.full(rows, np.nan),
            np.full(rows, np.nan),
            np.zeros(rows, np.int64),
        )

    def copy_from(self, other: "State", new: Rows, old: Rows) -> None:
        """Take over rows of another state."""
        for field in fields(self):
            getattr(self, field.name)[new] = getattr(other, field.name)[old]


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What changed, in columns, in the order of time."""

    row: Rows
    """The rows."""
    time: Times
    """When, ns."""
    active: Mask
    """Whether it is active afterwards."""
    is_quality: Mask
    """Whether only the quality of an active one has changed."""
    value: Values
    """The value that led to it."""
    quality: Qualities
    """Its quality."""
    onset: Times
    """Since when it was, or had been, beyond, ns."""

    def __len__(self) -> int:
        return self.row.size
