"""Columns that stand in segments, one for each row of a state machine: what holds at each place of its segment."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Rows, Values

Column = NDArray[Any]


def starts_of(key: Rows) -> Mask:
    """Return which places begin a segment. key: equal within a segment, and the segments of one key together."""
    begins = np.ones(key.size, np.bool_)
    begins[1:] = key[1:] != key[:-1]
    return begins


def latest(column: Column, decided: Mask, begins: Mask, before: Column) -> Column:
    """Return at each place the newest decided value of its segment, this place included; before the first that of `before`.

    before: what held before the segment, at each of its places.
    """
    place = np.maximum.accumulate(np.where(decided | begins, np.arange(column.size), 0))
    return np.where(decided[place], column[place], before)


def shifted(column: Column, begins: Mask, before: Column) -> Column:
    """Return at each place the value of the place before it; at the first of a segment that of `before`."""
    moved = np.empty_like(column)
    moved[1:] = column[:-1]
    moved[begins] = before[begins]
    return moved


def highest(column: Values, begins: Mask, before: Values) -> Values:
    """Return at each place the highest value of its segment until there, or of `before`, whichever is higher. No NaN."""
    column = np.maximum(column, before)
    if begins.all():
        return column
    _, rank = np.unique(column, return_inverse=True)
    segment = np.cumsum(begins) - 1
    size = int(rank.max()) + 1
    ordered = np.unique(column)
    return np.asarray(ordered[np.maximum.accumulate(segment * size + rank) - segment * size])
