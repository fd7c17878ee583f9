"""One adaptive detector: how far is a window's mean from the tag's own recent past?"""

import math

import numpy as np

from gateway.core.blocks import Mask, Values, WindowBlock
from gateway.core.events.event import Event
from gateway.core.events.process import Anomaly
from gateway.core.quality import USABLE_FROM
from gateway.core.tags import TagTable

_CLIP = 3.0
_CLEAR_AT = 0.5
_FLOOR = 1e-3
_LARGEST = 1e150


class EwmaDetector:
    """Exponentially weighted mean and variance of window means, z-score, per tag (West 1979; Roberts 1959).

    Active from |z| >= threshold, cleared below half of it. Outliers are learned only as far as 3 sigma, so one spike does
    not blind the detector and a new level is accepted in time. Sigma is never taken below a thousandth of mean or value,
    whichever is larger, so that a signal that was constant, even at 0, can change without a score beyond all measure.
    Windows without usable samples, or beyond 1e150 where squares end, change nothing.
    """

    def __init__(self, table: TagTable, threshold: Values, window_ns: int, memory_ns: int, warmup_ns: int) -> None:
        """threshold: float64[tags], +inf where a tag has no detector."""
        self._table = table
        self._tags = np.flatnonzero(np.isfinite(threshold))
        self._threshold = threshold[self._tags]
        self._alpha = -math.expm1(-window_ns / memory_ns)
        self._warmup = max(2, round(warmup_ns / window_ns))
        size = self._tags.size
        self._mean = np.zeros(size)
        self._var = np.zeros(size)
        self._seen = np.zeros(size, np.int64)
        self._active = np.zeros(size, np.bool_)

    def judge(self, window: WindowBlock) -> list[Event]:
        """Anomalies that begin or end with this window, which has a row for every tag, in order."""
        if not self._tags.size or window.late:
            return []
        x = window.mean[self._tags]
        here = (window.used[self._tags] > 0) & (window.quality[self._tags] >= USABLE_FROM) & (np.abs(x) <= _LARGEST)
        x = np.where(here, x, self._mean)
        floor = _FLOOR * np.maximum(np.maximum(np.abs(self._mean), np.abs(x)), np.finfo(float).tiny / _FLOOR)
        sigma = np.maximum(np.sqrt(self._var), floor)
        warm = self._seen >= self._warmup
        z = np.where(warm & here, (x - self._mean) / sigma, 0.0)
        score = np.abs(z)
        active = np.where(self._active, ~here | (score >= _CLEAR_AT * self._threshold), score >= self._threshold)
        changed = np.flatnonzero(active != self._active)
        events = [self._event(window, row, bool(active[row]), float(x[row]), float(z[row])) for row in changed.tolist()]
        self._learn(x, here, warm, sigma)
        self._active = active
        return events

    def _learn(self, x: Values, here: Mask, warm: Mask, sigma: Values) -> None:
        delta = x - self._mean
        delta = np.where(warm, np.clip(delta, -_CLIP * sigma, _CLIP * sigma), delta)
        # Until the memory is full every window weighs the same, as in an ordinary mean.
        alpha = np.where(here, np.maximum(self._alpha, 1.0 / (self._seen + 1)), 0.0)
        self._mean += alpha * delta
        self._var = (1 - alpha) * (self._var + alpha * np.square(delta))
        self._seen += here

    def _event(self, window: WindowBlock, row: int, active: bool, value: float, z: float) -> Event:
        tag = int(self._tags[row])
        return Anomaly(
            time_ns=window.start + window.length,
            device=self._table.tags[tag].device,
            tag=tag,
            state="active" if active else "cleared",
            detector="ewma",
            value=value,
            score=round(z, 2),
            expected=float(self._mean[row]),
        )
