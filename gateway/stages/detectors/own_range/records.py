"""The largest values that each feature ever had, and how far beyond them is beyond chance."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Values
from gateway.stages.detectors.own_range.config import (
    BLOCK_STEPS,
    LEAST_BLOCKS,
    LEAST_MARGIN,
    LEAST_SPAN,
    RETURN_DAYS,
    RETURN_POWER,
    RETURN_STEP_S,
)
from gateway.stages.detectors.own_range.features import COUNT, LEVELS, NOISE, PROFILED, RUN
from gateway.stages.detectors.own_range.steps import Floats

_NOISE_MARGIN: Final = 0.35
"""Noise has to change by 40 % at least."""
_RUN_MARGIN: Final = 20
_ROUNDING: Final = 1e-6


class Records:
    """Block maxima of features, and thresholds extrapolated from them to a return period (Gumbel 1958).

    With n blocks, the record R and the mean block maximum m, an exponential tail has its value of return period N blocks at
    R + (R - m) * log(N / n) / log(n). So a tag with a wide tail gets a wide margin.
    """

    def __init__(self, tags: int, step_s: Values) -> None:
        """Begin without knowledge. step_s: length of a step, of each tag."""
        days = RETURN_DAYS * np.maximum(1, RETURN_STEP_S / step_s) ** RETURN_POWER
        self._log_return = np.log(np.maximum(days * 86400 / step_s / BLOCK_STEPS, 2)).astype(np.float32)
        self.record = np.full((COUNT, tags), -np.inf, np.float32)
        self.mean = np.zeros((COUNT, tags), np.float32)
        self.block = np.full((COUNT, tags), -np.inf, np.float32)
        self.blocks, self.profiled_blocks = np.zeros(tags, np.int32), np.zeros(tags, np.int32)
        self.steps = np.zeros(tags, np.int8)
        self.threshold = np.full((COUNT, tags), np.inf, np.float32)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all that is kept of the tags; thresholds follow from it."""
        names = ["record", "mean", "block", "blocks", "profiled_blocks", "steps"]
        return {name: getattr(self, name) for name in names}

    def learn(self, features: Floats, learned: Mask, ended: Mask) -> Mask:
        """Add the features of a step and return the tags whose thresholds are out of date.

        learned: tags that show nothing unusual. ended: tags whose anomaly is over; what it was is known from now on.
        """
        np.maximum(self.block, features, out=self.block)
        self.steps += learned
        done = (self.steps >= BLOCK_STEPS) | ended
        if done.any():
            self._finish(done)
        return done

    def _finish(self, done: Mask) -> None:
        rows = np.flatnonzero(done)
        block = self.block[:, rows]
        there = np.isfinite(block)
        self.blocks[rows] += 1
        self.profiled_blocks[rows] += there[PROFILED.start]
        count = np.broadcast_to(self.blocks[rows], block.shape).astype(np.float32)
        count[PROFILED] = np.maximum(self.profiled_blocks[rows], 1)
        before = self.mean[:, rows]
        with np.errstate(invalid="ignore"):
            self.mean[:, rows] = np.where(there, before + (block - before) / count, before)
        self.record[:, rows] = np.maximum(self.record[:, rows], block)
        self.block[:, rows] = -np.inf
        self.steps[rows] = 0

    def update_thresholds(self, tags: Mask, floors: tuple[Floats, Floats]) -> None:
        """Calculate the thresholds of tags anew. floors: smallest margins of single steps and of averages."""
        rows = np.flatnonzero(tags)
        record, mean = self.record[:, rows], self.mean[:, rows]
        blocks = np.broadcast_to(self.blocks[rows], record.shape).copy()
        blocks[PROFILED] = self.profiled_blocks[rows]
        logarithm = np.log(np.maximum(blocks, 3)).astype(np.float32)
        share = np.maximum(self._log_return[rows] / logarithm - 1, LEAST_MARGIN)
        with np.errstate(invalid="ignore"):
            margin = share * (record - mean) + _ROUNDING * np.abs(record) + np.float32(1e-12)
            single, averaged = (floor[rows] for floor in floors)
            margin[LEVELS] = np.maximum(margin[LEVELS], LEAST_SPAN * _span(record))
            margin[0:6] = np.maximum(margin[0:6], single)
            margin[6:20] = np.maximum(margin[6:20], averaged)
            margin[NOISE] = np.maximum(margin[NOISE], _NOISE_MARGIN)
            margin[RUN] = np.maximum(margin[RUN], np.maximum(_RUN_MARGIN, 2 * record[RUN]))
            self.threshold[:, rows] = np.where((blocks >= LEAST_BLOCKS) & np.isfinite(record), record + margin, np.inf)


def _span(record: Floats) -> Floats:
    """Return how far each level and change has ranged: from the record downwards to the one upwards."""
    span = np.empty((LEVELS.stop, record.shape[1]), np.float32)
    for pair in (*range(0, 14, 2), 16, 18):
        span[pair : pair + 2] = record[pair] + record[pair + 1]
    span[14:16] = record[14:16]
    return span
