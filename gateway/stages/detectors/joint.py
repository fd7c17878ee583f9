"""The detector `joint`: the tags of a device together, against how they moved together while it was commissioned."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Rows, TagIds, Values, WindowBlock
from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, default, duration_ns
from gateway.core.ports.detector import NO_TRANSITIONS, DetectionContext, DetectorState, Transitions
from gateway.stages.detectors.joint_model import MOST_TAGS, DeviceModel
from gateway.stages.detectors.own_range.windows import WaitingWindows

_SEVERITY: Final = 500
_MOST_CAUSES: Final = 3


class JointSettings(ConfigModel):
    """Settings of the detector `joint` for one tag; those of the first tag of a device count for the device."""

    learn: Annotated[int, duration_ns("1min", "7d"), DURATION_SCHEMA] = default("1h")
    """How long the tags are learned together, while the plant runs as it should. Never less than 100 windows."""


class JointPlugin:
    """The detector `joint` as a plug-in (`core/ports/detector`)."""

    name = "joint"
    settings_model = JointSettings

    def build(self, tags: TagIds, settings: Sequence[JointSettings], context: DetectionContext) -> "JointDetector":
        """Return a detector for these tags."""
        devices = np.zeros(tags.size, np.intp) if context.devices is None else context.devices[tags]
        learn = np.array([one.learn for one in settings], np.int64) // context.window_ns
        return JointDetector(tags, devices, context.window_ns, learn)


class _Offsets:
    """The first value of each tag, so that what waits needs few digits."""

    def __init__(self, tags: int) -> None:
        self.centre, self.seen = np.zeros(tags), np.zeros(tags, np.int32)

    def relative(self, value: Values, here: Mask) -> NDArray[np.float32]:
        new = here & (self.seen == 0)
        self.centre[new] = value[new]
        self.seen[here] = 1
        return np.asarray(np.where(here, value - self.centre, 0), np.float32)


class JointDetector:
    """One `DeviceModel` for the first 64 tags of each device that have chosen it.

    What is reported is the tag with the largest share when it began; the score is the squared distance in thresholds. A
    window is judged 11 s after its end, with what came late until then.
    """

    kept_ns: Final = 7 * 86_400_000_000_000
    """See `LongLived`."""

    def __init__(self, tags: TagIds, devices: Rows, window_ns: int, learn: NDArray[np.int64]) -> None:
        """Begin without knowledge. devices: row of the device of each tag; learn: windows, of each tag."""
        self._tags = tags
        self._offsets = _Offsets(tags.size)
        self._waiting = WaitingWindows(tags, window_ns, per_step=1)
        self._rows = [np.flatnonzero(devices == device)[:MOST_TAGS] for device in np.unique(devices)]
        self._models = [DeviceModel(rows.size, int(learn[rows[0]])) for rows in self._rows]
        self._active = np.zeros(tags.size, np.bool_)

    def evaluate(self, window: WindowBlock) -> Transitions:
        """Return the devices that begin or cease to be unlike themselves, by their leading tag. See `Detector`."""
        found: list[tuple[int, bool, float, float, float, int, tuple[tuple[int, float], ...], bool]] = []
        for end_ns, step in self._waiting.add(window, self._offsets):
            for rows, model in zip(self._rows, self._models, strict=True):
                model.add(step.middle[rows].astype(float), step.here[rows])
                after = model.lead if model.active else -1
                said = np.flatnonzero(self._active[rows])
                for place in {int(one) for one in said} ^ ({after} - {-1}):
                    row = rows[place]
                    begins = place == after
                    shares = tuple(
                        (int(self._tags[rows[one]]), share) for one, share in model.shares(_MOST_CAUSES) if begins
                    )
                    value = float(step.middle[row] + self._offsets.centre[row])
                    expected = float(model.centre[place] + self._offsets.centre[row])
                    score = model.distance / model.threshold
                    found.append((int(self._tags[row]), begins, value, score, expected, end_ns, shares, model.is_common))
                    self._active[row] = begins
        if not found:
            return NO_TRANSITIONS
        columns = list(zip(*sorted(found, key=lambda one: (one[5], one[1], one[0])), strict=True))
        return Transitions(
            np.array(columns[0], np.uint32),
            np.array(columns[1], np.bool_),
            np.array(columns[2], float),
            np.array(columns[3], float),
            np.array(columns[4], float),
            time=np.array(columns[5], np.int64),
            severity=np.full(len(found), _SEVERITY, np.int64),
            shares=columns[6],
            common=np.array(columns[7], np.bool_),
        )

    def state(self) -> DetectorState:
        """Return what was learnt, one structured row for each tag; what is being learned begins anew."""
        rows = np.zeros(self._tags.size, self._layout())
        for name, column in self._columns().items():
            rows[name] = np.moveaxis(column, -1, 0)
        for own, model in zip(self._rows, self._models, strict=True):
            for name, values in model.columns().items():
                rows[name][own] = values
            rows["members"][own] = own.size
        numbers = {"newest": self._waiting.newest, "next_step": self._waiting.next_step}
        scalars = {name: np.full(self._tags.size, one, np.int64) for name, one in numbers.items()}
        return {"joint": rows, "active": self._active.copy(), **scalars}

    def _columns(self) -> dict[str, NDArray[Any]]:
        return self._waiting.columns() | {"offset": self._offsets.centre, "known": self._offsets.seen}

    def _layout(self) -> np.dtype[Any]:
        own = [(name, column.dtype, column.shape[:-1]) for name, column in self._columns().items()]
        model = [(name, column.dtype, column.shape[1:]) for name, column in DeviceModel(1, 1).columns().items()]
        return np.dtype([*own, *model, ("members", np.int16)])

    def restore(self, state: DetectorState, rows: Rows) -> None:
        """Take over what another one has learnt, of devices whose tags are the same. See `Detector`."""
        learnt = state.get("joint")
        if (
            state.keys() != {"joint", "active", "newest", "next_step"}
            or any(column.shape != rows.shape for column in state.values())
            or learnt is None
            or learnt.dtype != self._layout()
        ):
            raise ValueError("this is no state of the detector joint")
        if not rows.size:
            return
        for name, column in self._columns().items():
            column[..., rows] = np.moveaxis(learnt[name], 0, -1)
        self._waiting.newest, self._waiting.next_step = int(state["newest"][0]), int(state["next_step"][0])
        place = np.full(self._tags.size, -1, np.intp)
        place[rows] = np.arange(rows.size)
        for own, model in zip(self._rows, self._models, strict=True):
            there = place[own]
            if (there >= 0).all() and (learnt["members"][there] == own.size).all():
                model.restore({name: learnt[name][there] for name in model.columns()})
                self._active[own] = state["active"][there]
