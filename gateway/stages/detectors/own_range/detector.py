"""The detector `own_range` as a plug-in, over closed windows."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Rows, TagIds, Values, WindowBlock
from gateway.core.ports.detector import NO_TRANSITIONS, DetectionContext, DetectorState, Transitions
from gateway.stages.detectors.own_range.config import ADVISORY, ALARM, SECOND_NS, OwnRangeSettings
from gateway.stages.detectors.own_range.judge import ALARM_STATE, CALM, Judge
from gateway.stages.detectors.own_range.windows import WaitingWindows

_VERSION: Final = 1


class OwnRangePlugin:
    """The detector `own_range` as a plug-in (`core/ports/detector`)."""

    name = "own_range"
    settings_model = OwnRangeSettings

    def build(self, tags: TagIds, settings: Sequence[OwnRangeSettings], context: DetectionContext) -> "OwnRangeDetector":
        """Return a detector for these tags."""
        warmup = np.array([one.warmup for one in settings], float) / SECOND_NS
        rebase = np.array([one.rebase for one in settings], float) / SECOND_NS
        return OwnRangeDetector(tags, context.window_ns, warmup, rebase)


class OwnRangeDetector:
    """Features of steps of windows, each against the largest value that it had before. See `Judge` and `Records`.

    Scores are in margins beyond the record of the feature that is furthest beyond its own: from 1 it is an anomaly.
    """

    kept_ns: Final = 7 * 86_400_000_000_000
    """See `LongLived`."""

    def __init__(self, tags: TagIds, window_ns: int, warmup_s: Values, rebase_s: Values) -> None:
        """Begin without knowledge. warmup_s, rebase_s: of each of `tags`, seconds."""
        self._tags = tags
        self._waiting = WaitingWindows(tags, window_ns)
        per_step = self._waiting.per_step
        step_s = np.full(tags.size, per_step * window_ns / SECOND_NS)
        self._judge = Judge(tags.size, step_s, per_step, warmup_s, rebase_s)
        self._active = np.zeros(tags.size, np.bool_)
        self._layout = _layout({**self._columns(), "version": np.zeros(tags.size, np.int8)})

    def _columns(self) -> dict[str, NDArray[Any]]:
        return self._judge.columns() | self._waiting.columns()

    def evaluate(self, window: WindowBlock) -> Transitions:
        """Return the tags whose anomaly begins, is confirmed or ends, with the end of the step in which it did."""
        found = []
        for end_ns, step in self._waiting.add(window, self._judge.features):
            before, announced = self._judge.state, self._active
            centre = self._judge.features.centre.copy()
            self._judge.judge(step)
            self._waiting.shift((self._judge.features.centre - centre).astype(np.float32))
            now = self._judge.state
            changed = np.flatnonzero((now != before) | ((now > CALM) != announced))
            if changed.size:
                found.append(self._transitions(changed, end_ns, centre + step.middle))
                self._active = now > CALM
        return _joined(found)

    def _transitions(self, rows: Rows, end_ns: int, value: Values) -> Transitions:
        judge = self._judge
        active = judge.state[rows] > CALM
        usual = judge.features.average[4] + judge.features.centre
        return Transitions(
            self._tags[rows],
            active,
            value[rows],
            judge.score(rows),
            usual[rows],
            time=np.full(rows.size, end_ns, np.int64),
            severity=np.where(judge.state[rows] == ALARM_STATE, ALARM, ADVISORY).astype(np.int64),
            causes=[judge.causes(row) if on else () for row, on in zip(rows.tolist(), active.tolist(), strict=True)],
            rebased=judge.rebased[rows],
        )

    def state(self) -> DetectorState:
        """Return what was learnt: one structured row for each tag, and whether its anomaly was said."""
        rows = np.zeros(self._tags.size, self._layout)
        for name, column in self._columns().items():
            rows[name] = np.moveaxis(column, -1, 0)
        rows["version"] = _VERSION
        return {
            "learnt": rows,
            "active": self._active.copy(),
            "newest": np.full(self._tags.size, self._waiting.newest, np.int64),
            "next_step": np.full(self._tags.size, self._waiting.next_step, np.int64),
        }

    def restore(self, state: DetectorState, rows: Rows) -> None:
        """Take over what another one has learnt. See `Detector`."""
        learnt = state.get("learnt")
        if (
            state.keys() != {"learnt", "active", "newest", "next_step"}
            or any(column.shape != rows.shape for column in state.values())
            or learnt is None
            or learnt.dtype != self._layout
            or (learnt["version"] != _VERSION).any()
        ):
            raise ValueError("this is no state of the detector own_range")
        if not rows.size:
            return
        for name, column in self._columns().items():
            column[..., rows] = np.moveaxis(learnt[name], 0, -1)
        self._active[rows] = state["active"]
        self._waiting.newest, self._waiting.next_step = int(state["newest"][0]), int(state["next_step"][0])
        there = np.zeros(self._tags.size, np.bool_)
        there[rows] = True
        self._judge.records.update_thresholds(there, self._judge.features.floors())


def _layout(columns: dict[str, NDArray[Any]]) -> np.dtype[Any]:
    return np.dtype([(name, column.dtype, column.shape[:-1]) for name, column in columns.items()])


def _joined(found: list[Transitions]) -> Transitions:
    if len(found) < 2:
        return found[0] if found else NO_TRANSITIONS

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(one, name) for one in found])

    return Transitions(
        column("tag"),
        column("active"),
        column("value"),
        column("score"),
        column("expected"),
        time=column("time"),
        severity=column("severity"),
        causes=[causes for one in found for causes in one.causes],
        rebased=column("rebased"),
    )
