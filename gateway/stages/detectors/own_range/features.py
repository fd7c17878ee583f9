"""Features of a tag: what a step of windows and a few moving averages say of it, as rows of one matrix."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Values
from gateway.stages.detectors.own_range.day_profile import DayProfile
from gateway.stages.detectors.own_range.steps import Floats, Steps

LEVEL, CHANGE, SPREAD, TIME_OF_DAY, STUCK = range(5)
SETTLING: Final = 24
"""Steps before the features mean something; then they are centred on the level seen."""

NAMES: Final = (
    "level higher than ever",
    "level lower than ever",
    "sudden rise",
    "sudden fall",
    "lasting rise",
    "lasting fall",
    "average over 8 steps higher than ever",
    "average over 8 steps lower than ever",
    "average over 32 steps higher than ever",
    "average over 32 steps lower than ever",
    "rises faster than ever",
    "falls faster than ever",
    "drifts up more than ever",
    "drifts down more than ever",
    "moves more than ever over 16 steps",
    "moves more than ever over 64 steps",
    "higher than usual at this time of day",
    "lower than usual at this time of day",
    "higher for long than usual at this time of day",
    "lower for long than usual at this time of day",
    "noisier than ever over 8 steps",
    "calmer than ever over 8 steps",
    "noisier than ever over 32 steps",
    "calmer than ever over 32 steps",
    "no change for longer than ever",
)
"""Each feature in words: its value is larger than it ever was."""
_FAMILIES: Final = ((LEVEL, 2), (CHANGE, 4), (LEVEL, 4), (CHANGE, 4), (SPREAD, 2), (TIME_OF_DAY, 4), (SPREAD, 4), (STUCK, 1))
FAMILY: Final = np.array([family for family, count in _FAMILIES for _ in range(count)])
"""The kind of each feature; two kinds that agree make an alarm."""
LEVELS: Final = slice(0, 20)
"""Features in engineering units."""
PROFILED: Final = slice(16, 20)
NOISE: Final = slice(20, 24)
"""Logarithms."""
RUN: Final = 24
COUNT: Final = len(NAMES)

_COLUMNS: Final = (
    "centre",
    "seen",
    "low",
    "high",
    "average",
    "variance",
    "noise",
    "residual",
    "before",
    "run",
    "quantum",
    "rises",
    "falls",
)
_AVERAGES: Final = (4, 8, 16, 32, 64)
_RING: Final = 8
_COUNTED_MOST: Final = 20_000


class Features:
    """The state that features need, columns with the tags on the last axis, and the features of each step.

    Values are relative to `centre`, so that large offsets cost no digits.
    """

    def __init__(self, tags: int, windows: int) -> None:
        """Begin without knowledge. windows: in a step."""
        self._windows = windows
        self.profile = DayProfile(tags)

        def zeros(*shape: int) -> Floats:
            return np.zeros((*shape, tags), np.float32)

        self.centre = np.zeros(tags)
        self.seen = np.zeros(tags, np.int32)
        self.low, self.high = zeros(_RING), zeros(_RING)
        self.average, self.variance, self.noise, self.residual = zeros(5), zeros(2), zeros(2), zeros(2)
        self.before, self.run = zeros(), zeros()
        self.quantum = np.full(tags, np.inf, np.float32)
        self.rises, self.falls = zeros(), zeros()

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all that is kept of the tags."""
        return {name: getattr(self, name) for name in _COLUMNS} | self.profile.columns()

    def relative(self, value: Values, here: Mask) -> Floats:
        """Return values relative to the centre; a tag that is seen for the first time is centred on its value."""
        new = here & (self.seen == 0) & (self.centre == 0)
        if new.any():
            self.centre[new] = value[new]
        return np.asarray(np.where(here, value - self.centre, 0), np.float32)

    @property
    def is_counter(self) -> Mask:
        """Return which tags only ever rise, but for resets: their level says nothing."""
        return np.asarray((self.rises > 50) & (self.falls < 0.02 * self.rises))

    def add(self, step: Steps, learn: Mask) -> Floats:
        """Add a step and return the features, float32[features, tags], -inf where there is none.

        learn: tags whose time of day may be learned.
        """
        low, high, middle, here = step.low, step.high, step.middle, step.here
        first = here & (self.seen == 0)
        if first.any():
            self.low[:, first], self.high[:, first], self.before[first] = low[first], high[first], middle[first]
        share = np.where(here, 1 / (self.seen + 1), 0).astype(np.float32)
        for row, steps in enumerate(_AVERAGES):
            self.average[row] += np.maximum(share, here * np.float32(2 / (steps + 1))) * (middle - self.average[row])
        for row, average in ((0, 2), (1, 4)):
            square = np.square(middle - self.average[average])
            weight = np.maximum(share, here * np.float32(2 / (_AVERAGES[average] + 1)))
            self.variance[row] += weight * (square - self.variance[row])
        change = np.abs(middle - self.before)
        quantum = step.quantum
        if self._windows == 1:
            quantum = np.where((change > 0) & (self.seen > 0), change, np.inf).astype(np.float32)
        self.quantum = np.where(here, np.minimum(self.quantum, quantum), self.quantum)
        flat = here & (low == high) & (change == 0) & (self.seen > 0)
        self.run = np.where(here, np.where(flat, self.run + 1, 0), self.run).astype(np.float32)
        self._count_direction(middle, here)
        self._noise(step.spread, share, here)
        profiled = self._time_of_day(step.time_s, middle, here, learn)
        features = self._features(low, high, middle, here, profiled)
        if self._windows == 1:  # a single sample has no noise of its own
            features[NOISE, step.spread == 0] = -np.inf
        self.before = np.where(here, middle, self.before)
        self.seen += here
        self._settle(here)
        return features

    def _count_direction(self, middle: Floats, here: Mask) -> None:
        self.rises += here & (middle > self.before)
        self.falls += here & (middle < self.before)
        many = self.rises > _COUNTED_MOST
        if many.any():
            self.rises[many] /= 2
            self.falls[many] /= 2

    def _noise(self, spread: Floats, share: Floats, here: Mask) -> None:
        """Average the logarithm of the spread, above a floor for signals that are constant or come in steps."""
        floor = 1e-3 * np.sqrt(self.variance[1]) + 1e-9 * np.abs(self.centre) + 1e-30
        floor += np.where(np.isfinite(self.quantum), 0.3 * self.quantum, 0)
        logarithm = np.log(spread + floor).astype(np.float32)
        for row, steps in enumerate((8, 32)):
            self.noise[row] += np.maximum(share, here * np.float32(2 / (steps + 1))) * (logarithm - self.noise[row])

    def _time_of_day(self, time_s: Values, middle: Floats, here: Mask, learn: Mask) -> Mask:
        residual, known, share = self.profile.add(time_s, middle, here, learn)
        for row, steps in enumerate((8, 32)):
            weight = np.where(known, np.maximum(share, np.float32(2 / (steps + 1))), 0)
            self.residual[row] += weight * (residual - self.residual[row])
        return known & (self.profile.judged > 32)

    def _features(self, low: Floats, high: Floats, middle: Floats, here: Mask, profiled: Mask) -> Floats:
        last_low, last_high = self.low[0].copy(), self.high[0].copy()
        self.low[1:], self.high[1:] = (np.where(here, ring[:-1], ring[1:]) for ring in (self.low, self.high))
        self.low[0], self.high[0] = np.where(here, low, last_low), np.where(here, high, last_high)
        lows, highs = self.low.reshape(2, 4, -1).min(1), self.high.reshape(2, 4, -1).max(1)
        a4, a8, a16, a32, a64 = self.average
        features = np.empty((COUNT, low.size), np.float32)
        features[0], features[1] = low, -high
        features[2], features[3] = low - last_high, last_low - high
        features[4], features[5] = lows[0] - highs[1], lows[1] - highs[0]
        for row, one in ((6, a8), (8, a32), (10, a4 - a16), (12, a16 - a64)):
            features[row], features[row + 1] = one, -one
        np.sqrt(self.variance, out=features[14:16])
        for row, one in ((16, self.residual[0]), (18, self.residual[1]), (20, self.noise[0]), (22, self.noise[1])):
            features[row], features[row + 1] = one, -one
        features[RUN] = self.run
        features[:, ~here] = -np.inf
        features[PROFILED][:, ~profiled] = -np.inf
        return features

    def _settle(self, here: Mask) -> None:
        """Centre on the level seen once it is known."""
        settled = here & (self.seen == SETTLING)
        if settled.any():
            shift = np.where(settled, self.average[4], 0).astype(np.float32)
            self.centre += shift
            self.before -= shift
            self.low -= shift
            self.high -= shift
            self.average -= shift
            self.profile.shift(shift)

    def floors(self) -> tuple[Floats, Floats]:
        """Return the smallest margins beyond a record: for levels and changes of single steps, and of averages."""
        quantum = np.where(np.isfinite(self.quantum), self.quantum, 0).astype(np.float32)
        return (quantum * np.float32(1.5 if self._windows > 1 else 0.5), quantum * np.float32(0.5))
