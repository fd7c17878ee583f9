"""The detector `own_range` as the scorers drive it: one sample a window, each tag with times of its own.

It is the code that the gateway runs, from complete steps on; the hold for late samples is left out. Windows have the length
of each tag's first interval.
"""

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Values
from gateway.stages.detectors.joint_model import DeviceModel
from gateway.stages.detectors.own_range.config import LEAST_STEP_NS, SECOND_NS, OwnRangeSettings
from gateway.stages.detectors.own_range.judge import ALARM_STATE, Judge
from gateway.stages.detectors.own_range.windows import step_of


class TagAdapter:
    """Which tags are in alarm, sample by sample."""

    def __init__(self, tags: int) -> None:
        self.alarm = np.zeros(tags, np.bool_)
        self.judge: Judge | None = None
        self._before: tuple[Values, Values] | None = None
        self._windows: list[NDArray[np.float32]] = []
        self._used: list[Mask] = []

    def update(self, time_s: Values, values: Values) -> Mask:
        if self._before is None:
            self._before = time_s.copy(), values
            return self.alarm
        last, _ = self._before
        if self.judge is None:
            length = np.maximum(time_s - last, 1e-3)
            self._per_step = max(1, int(np.ceil(LEAST_STEP_NS / SECOND_NS / np.median(length))))
            usual = OwnRangeSettings()
            step_s = length * self._per_step
            times = [np.full(length.size, one / SECOND_NS) for one in (usual.warmup, usual.rebase)]
            self.judge = Judge(length.size, step_s, self._per_step, *times)
        here = time_s > last
        self._windows.append(self.judge.features.relative(values, here))
        self._used.append(here)
        self._before = time_s.copy(), values
        if len(self._windows) == self._per_step:
            self._judge(time_s)
        return self.alarm

    def _judge(self, time_s: Values) -> None:
        assert self.judge is not None
        mean = np.array(self._windows)
        self.judge.judge(step_of(time_s, mean, np.zeros_like(mean), np.array(self._used)))
        self.alarm = self.judge.state == ALARM_STATE
        self._windows, self._used = [], []


class OnsetAdapter(TagAdapter):
    """When alarms begin: what an operator is told, and what NAB calls a detection."""

    def update(self, time_s: Values, values: Values) -> Mask:
        before = self.alarm
        now = super().update(time_s, values)
        return now & ~before


tags = TagAdapter
onsets = OnsetAdapter


class DeviceAdapter:
    """Which devices are in alarm, and their tags, most likely cause first: the model of the detector `joint`."""

    def __init__(self, devices: int, tags: int, warm_rows: int) -> None:
        self.models = [DeviceModel(tags, warm_rows) for _ in range(devices)]

    def update(self, time_s: Values, values: Values) -> Mask:
        for model, row in zip(self.models, values, strict=True):
            model.add(row.astype(float), np.isfinite(row))
        return np.array([model.active for model in self.models])

    def causes(self) -> list[list[int]]:
        return [[model.lead] if model.active else [] for model in self.models]


devices = DeviceAdapter
