"""Whether a tag behaves unlike itself: from steps to the begin, the confirmation and the end of anomalies."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Rows, Values
from gateway.stages.detectors.own_range.config import CALM_STEPS, CONFIRM_S
from gateway.stages.detectors.own_range.features import COUNT, FAMILY, LEVELS, NAMES, SETTLING, Features
from gateway.stages.detectors.own_range.records import Records
from gateway.stages.detectors.own_range.steps import Floats, Steps

_FAMILIES: Final = np.stack([family == FAMILY for family in range(5)])
_MOST_CAUSES: Final = 3
CALM, ADVISORY_STATE, ALARM_STATE = 0, 1, 2


class Judge:
    """The state of the anomaly of each tag, and all that it rests on.

    While an anomaly lasts nothing is learned of the tag. It is over when nothing was unusual for 24 steps and the level has
    gone more than half of the way back, or after `rebase`; then what it was is known, and does not fire again.
    """

    def __init__(self, tags: int, step_s: Values, windows: int, warmup_s: Values, rebase_s: Values) -> None:
        """Begin without knowledge. Lengths of a step, in seconds and in windows; times of each tag, s."""
        self.features = Features(tags, windows)
        self.records = Records(tags, step_s)
        self._step_s, self._warmup, self._rebase = step_s, np.ceil(warmup_s / step_s), rebase_s
        self.state = np.zeros(tags, np.int8)
        self.calm, self.fired = np.zeros(tags, np.int16), np.zeros(tags, np.int32)
        self.families, self.lasted = np.zeros(tags, np.int8), np.zeros(tags, np.int32)
        self.half, self.direction = np.zeros(tags, np.float32), np.zeros(tags, np.int8)
        self.rebased = np.zeros(tags, np.bool_)
        """Tags whose anomaly has ended with the last step because it had lasted for `rebase`."""
        self._now = np.empty((COUNT, tags), np.float32)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all that is kept of the tags."""
        own = {name: getattr(self, name) for name in ["state", "calm", "fired", "families", "lasted", "half", "direction"]}
        return own | self.features.columns() | self.records.columns()

    def judge(self, step: Steps) -> None:
        """Evaluate a step and learn from it."""
        here, standing = step.here, self.state > CALM
        features = self.features.add(step, ~standing)
        features[:, self.features.seen <= SETTLING] = -np.inf
        self._now = features
        fires = features > self.records.threshold
        fires[LEVELS] &= ~self.features.is_counter
        fires &= self.features.seen > self._warmup
        hit = np.asarray(fires.any(axis=0), np.bool_)
        fresh = hit & ~standing
        if fresh.any():
            self._begin(fresh, step.middle)
        ended = np.zeros(here.size, np.bool_)
        self.rebased = ended
        if hit.any() or standing.any():
            ended = self._go_on(fires, hit, here, standing | fresh)
        learned = here & (self.state == CALM) & (self.features.seen > SETTLING)
        changed = self.records.learn(features, learned, ended)
        if changed.any():
            self.records.update_thresholds(changed, self.features.floors())

    def _begin(self, fresh: Mask, middle: Floats) -> None:
        usual = self.features.average[4]
        self.half[fresh] = (usual + middle)[fresh] / 2
        self.direction[fresh] = np.sign(middle - usual)[fresh]
        self.families[fresh] = 0
        self.fired[fresh] = self.lasted[fresh] = self.calm[fresh] = 0

    def _go_on(self, fires: Mask, hit: Mask, here: Mask, standing: Mask) -> Mask:
        """Update anomalies that stand; return those that have ended."""
        away = here & (self.direction * (self.features.average[0] - self.half) > 0)
        self.calm = np.where(hit | away, 0, self.calm + here).astype(np.int16)
        self.fired += hit
        self.lasted += here & standing
        for family, rows in enumerate(_FAMILIES):
            self.families |= (fires[rows].any(axis=0) << family).astype(np.int8)
        self.rebased = standing & (self.lasted * self._step_s > self._rebase)
        ended = standing & ((self.calm > CALM_STEPS) | self.rebased)
        agree = _bits(self.families) > 1
        confirmed = agree | (self.fired * self._step_s >= CONFIRM_S)
        state = np.where(standing, np.maximum(self.state, np.where(confirmed, ALARM_STATE, ADVISORY_STATE)), CALM)
        self.state = np.where(ended, CALM, state).astype(np.int8)
        return ended

    def causes(self, row: int) -> tuple[str, ...]:
        """Return which features of a tag are furthest beyond their records, three at most, in words."""
        with np.errstate(invalid="ignore"):
            margin = self.records.threshold[:, row] - self.records.record[:, row]
            excess = (self._now[:, row] - self.records.record[:, row]) / margin
        excess[~np.isfinite(excess)] = 0
        order = np.argsort(-excess, kind="stable")[:_MOST_CAUSES]
        return tuple(NAMES[one] for one in order if excess[one] > 1)

    def score(self, rows: Rows) -> Values:
        """Return how far the furthest feature of each tag is beyond its record, in margins; from 1 it is an anomaly."""
        record, now = self.records.record[:, rows], self._now[:, rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            excess = (now - record) / (self.records.threshold[:, rows] - record)
        return np.asarray(np.where(np.isfinite(excess), excess, 0).max(axis=0), np.float64)


def _bits(mask: NDArray[np.int8]) -> NDArray[np.int8]:
    return np.asarray(sum((mask >> place) & 1 for place in range(5)), np.int8)
