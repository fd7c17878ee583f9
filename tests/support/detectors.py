"""A detector that exists only in the tests: a window's mean jumps by more than a step."""

from collections.abc import Sequence

import numpy as np

from gateway.core.blocks import Rows, TagIds, WindowBlock
from gateway.core.config_types import ConfigModel
from gateway.core.ports.detector import NO_TRANSITIONS, DetectionContext, DetectorState, Transitions


class JumpSettings(ConfigModel):
    """Settings of one tag."""

    step: float


class JumpPlugin:
    """The detector `jump`."""

    name = "jump"
    settings_model = JumpSettings

    def build(self, tags: TagIds, settings: Sequence[JumpSettings], context: DetectionContext) -> "JumpDetector":
        return JumpDetector(tags, np.array([one.step for one in settings]))


class JumpDetector:
    """Active while a window's mean is further from the one before than the step; the score is in steps."""

    def __init__(self, tags: TagIds, step: np.ndarray) -> None:
        self._tags, self._step = tags, step
        self._columns = {"before": np.full(tags.size, np.nan), "active": np.zeros(tags.size, np.bool_)}

    def evaluate(self, window: WindowBlock) -> Transitions:
        if window.late:
            return NO_TRANSITIONS
        mean, before = window.mean[self._tags], self._columns["before"]
        score = np.abs(mean - before) / self._step
        active = score > 1
        rows = np.flatnonzero(active != self._columns["active"])
        found = Transitions(self._tags[rows], active[rows], mean[rows], score[rows], before[rows])
        self._columns = {"before": np.where(np.isnan(mean), before, mean), "active": active}
        return found

    def state(self) -> DetectorState:
        return {name: column.copy() for name, column in self._columns.items()}

    def restore(self, state: DetectorState, rows: Rows) -> None:
        if state.keys() != self._columns.keys() or any(column.shape != rows.shape for column in state.values()):
            raise ValueError("this is no state of the detector jump")
        for name, column in self._columns.items():
            column[rows] = state[name]
