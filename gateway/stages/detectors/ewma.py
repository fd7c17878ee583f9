"""The detector `ewma`: how far a window's mean is from the tag's own recent past."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from gateway.core.blocks import Mask, Rows, TagIds, Values, WindowBlock
from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, duration_ns
from gateway.core.ports.detector import NO_TRANSITIONS, DetectionContext, DetectorState, Transitions
from gateway.core.quality import USABLE_FROM
from gateway.stages.numbers import finite_number

_CLIP: Final = 3.0
_CLEAR_AT: Final = 0.5
_FLOOR: Final = 1e-3
_LARGEST: Final = 1e150


def z_score(value: Any) -> float:
    """Return a threshold. Raises ValueError for what is no number from 1."""
    number = finite_number(value)
    if number < 1:
        raise ValueError(f"{value!r} is out of range; expected a z-score from 1 (5 is usual), or off")
    return number


class EwmaSettings(ConfigModel):
    """Settings of the detector `ewma` for one tag."""

    threshold: Annotated[float, BeforeValidator(z_score), WithJsonSchema({"type": "number", "minimum": 1})]
    """z-score of a window's mean against its own recent past from which it counts as an anomaly."""
    memory: Annotated[int, duration_ns("10s", "7d"), DURATION_SCHEMA] | None = None
    """Time constant of the moving mean and variance. Default: `detection.memory`."""
    warmup: Annotated[int, duration_ns("5s", "7d"), DURATION_SCHEMA] | None = None
    """How long the tag is learned before it can be called anomalous. Default: `detection.warmup`."""


class EwmaPlugin:
    """The detector `ewma` as a plug-in (`core/ports/detector`)."""

    name = "ewma"
    settings_model = EwmaSettings

    def build(self, tags: TagIds, settings: Sequence[EwmaSettings], context: DetectionContext) -> "EwmaDetector":
        """Return a detector for these tags."""
        memory = np.array([context.memory_ns if one.memory is None else one.memory for one in settings], float)
        warmup = np.array([context.warmup_ns if one.warmup is None else one.warmup for one in settings], float)
        threshold = np.array([one.threshold for one in settings], float)
        return EwmaDetector(tags, threshold, memory / context.window_ns, np.rint(warmup / context.window_ns))


class EwmaDetector:
    """Exponentially weighted mean and variance of window means, z-score, per tag (West 1979; Roberts 1959).

    Active from |z| >= threshold, cleared below half of it. Outliers are learned only as far as 3 sigma, so one spike does
    not blind the detector and a new level is accepted in time. Sigma is never taken below a thousandth of mean or value,
    whichever is larger, so that a signal that was constant, even at 0, can change without a score beyond all measure.
    Windows without usable samples, or beyond 1e150 where squares end, change nothing; so do late ones.
    """

    def __init__(self, tags: TagIds, threshold: Values, memory: Values, warmup: Values) -> None:
        """Begin without knowledge. threshold: z-scores; memory, warmup: windows; all float64, one for each of `tags`."""
        self._tags = tags
        self._rows = tags.astype(np.intp)
        self._threshold = threshold
        self._alpha = -np.expm1(-1 / memory)
        self._warmup = np.maximum(2, warmup)
        self._mean = np.zeros(tags.size)
        self._var = np.zeros(tags.size)
        self._seen = np.zeros(tags.size, np.int64)
        self._active = np.zeros(tags.size, np.bool_)

    def evaluate(self, window: WindowBlock) -> Transitions:
        """Return the tags whose anomaly begins or ends, with z-scores. See `Detector`."""
        if window.late:
            return NO_TRANSITIONS
        x = window.mean[self._rows]
        here = (window.used[self._rows] > 0) & (window.quality[self._rows] >= USABLE_FROM) & (np.abs(x) <= _LARGEST)
        x = np.where(here, x, self._mean)
        floor = _FLOOR * np.maximum(np.maximum(np.abs(self._mean), np.abs(x)), np.finfo(float).tiny / _FLOOR)
        sigma = np.maximum(np.sqrt(self._var), floor)
        warm = self._seen >= self._warmup
        z = np.where(warm & here, (x - self._mean) / sigma, 0.0)
        score = np.abs(z)
        active = np.where(self._active, ~here | (score >= _CLEAR_AT * self._threshold), score >= self._threshold)
        changed = np.flatnonzero(active != self._active)
        found = NO_TRANSITIONS
        if changed.size:
            found = Transitions(self._tags[changed], active[changed], x[changed], z[changed], self._mean[changed])
        self._learn(x, here, warm, sigma)
        self._active = active
        return found

    def _learn(self, x: Values, here: Mask, warm: Mask, sigma: Values) -> None:
        delta = x - self._mean
        delta = np.where(warm, np.clip(delta, -_CLIP * sigma, _CLIP * sigma), delta)
        # Until the memory is full every window weighs the same, as in an ordinary mean.
        alpha = np.where(here, np.maximum(self._alpha, 1.0 / (self._seen + 1)), 0.0)
        self._mean += alpha * delta
        self._var = (1 - alpha) * (self._var + alpha * np.square(delta))
        self._seen += here

    def state(self) -> DetectorState:
        """Return mean, variance, windows seen and whether the anomaly is active, 25 bytes a tag."""
        known = {"mean": self._mean, "var": self._var, "seen": self._seen, "active": self._active}
        return {name: column.copy() for name, column in known.items()}

    def restore(self, state: DetectorState, rows: Rows) -> None:
        """Take over what another one has learnt. See `Detector`."""
        own = {"mean": self._mean, "var": self._var, "seen": self._seen, "active": self._active}
        if state.keys() != own.keys() or any(column.shape != rows.shape for column in state.values()):
            raise ValueError("this is no state of the detector ewma")
        for name, column in own.items():
            column[rows] = state[name]
