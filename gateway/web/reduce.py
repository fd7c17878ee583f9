"""Rows of a tag's past made few enough for a chart: extremes and mean of buckets, gaps kept. Pure."""

import numpy as np

from gateway.core.blocks import Times, Values
from gateway.web.view import HistoryView


def reduced(
    time: Times, low: Values, mean: Values, high: Values, points: int, *, gap_ns: int, complete: bool
) -> HistoryView:
    """Return the rows (ascending in time) in at most about `points` buckets of equal length.

    gap_ns: two rows further apart than this have a gap between them, which becomes a row without a value; 0: no matter how
    far, a value stays in force.
    """
    if time.size > points:
        time, low, mean, high = _in_buckets(time, low, mean, high, points)
        gap_ns = max(gap_ns, 2 * int(time[-1] - time[0]) // points) if gap_ns else 0
    if gap_ns and time.size > 1:
        after = np.flatnonzero(np.diff(time) > gap_ns)
        time = np.insert(time, after + 1, time[after] + gap_ns // 2)
        low, mean, high = (np.insert(column, after + 1, np.nan) for column in (low, mean, high))
    return HistoryView(time // 1_000_000, low, mean, high, complete)


def _in_buckets(time: Times, low: Values, mean: Values, high: Values, points: int) -> tuple[Times, Values, Values, Values]:
    width = max(1, int(time[-1] - time[0]) // points + 1)
    begins = np.flatnonzero(np.diff((time - time[0]) // width, prepend=-1))
    is_known = ~np.isnan(mean)
    known = np.add.reduceat(is_known, begins, dtype=np.int64)
    lowest = np.minimum.reduceat(np.where(is_known, low, np.inf), begins)
    highest = np.maximum.reduceat(np.where(is_known, high, -np.inf), begins)
    total = np.add.reduceat(np.where(is_known, mean, 0.0), begins)
    nothing = known == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / known
    for column in (lowest, means, highest):
        column[nothing] = np.nan
    return time[begins], lowest, means, highest
