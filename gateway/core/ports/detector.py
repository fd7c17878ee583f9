"""The port of a detector: which tags behave unlike themselves, seen in closed windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Counts, Mask, Rows, TagIds, Times, Values, WindowBlock
from gateway.core.config_types import ConfigModel

DetectorState = Mapping[str, NDArray[Any]]
"""What a detector has learnt: arrays by name, each with one row for each of its tags in their order."""


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """Tags whose anomaly begins or ends with a window, as columns of equal length."""

    tag: TagIds
    """Tag ids, uint32."""
    active: Mask
    """Whether the anomaly begins (True) or ends."""
    value: Values
    """What was evaluated, engineering units."""
    score: Values
    """How unusual it is; the unit is in the detector's documentation."""
    expected: Values
    """What the detector expected instead, engineering units."""
    time: Times | None = None
    """int64, ns: when each began or ended; None for the end of the window that was given."""
    severity: Counts | None = None
    """int64, 1 to 1000; None for that of the event. A tag that is active may come again with a higher one."""
    causes: Sequence[tuple[str, ...]] = ()
    """For each row what was unusual, the strongest first, in words that an operator reads; empty for nothing more to say."""
    rebased: Mask | None = None
    """Which ends are none of the process: the detector takes what the tag does as normal from now on."""
    shares: Sequence[tuple[tuple[int, float], ...]] = ()
    """For each row the tags (ids) that take part, the strongest first, and the share of each in it, 0 to 1."""
    common: Mask | None = None
    """Which began in most tags of the device at once."""

    def __len__(self) -> int:
        return self.tag.size


NO_TRANSITIONS = Transitions(np.empty(0, np.uint32), np.empty(0, np.bool_), np.empty(0), np.empty(0), np.empty(0))


class Detector(Protocol):
    """One algorithm over the tags that have chosen it. Pure and synchronous: it knows no clock, no names and no I/O.

    Windows come in the order in which they close. Some may be left out without harm, because the process had no time for
    them or their tags were not read: what depends on time is taken from `window.start` or from the windows that did come.
    A detector may be replaced by another one between two windows, which goes on from its `state`.
    """

    def evaluate(self, window: WindowBlock) -> Transitions:
        """Learn from a closed window, and return the tags whose anomaly begins or ends with it.

        `window` has a row for every tag of the table in order, or, where it is late, rows of some tags and samples that
        came after their window had closed. The result depends on this window and earlier ones only.
        """
        ...

    def state(self) -> DetectorState:
        """Return a copy of what was learnt, at most 1 KiB for each tag."""
        ...

    def restore(self, state: DetectorState, rows: Rows) -> None:
        """Take over what was learnt before. rows: the place among its own tags of each row of `state`; others stay as new.

        Raises ValueError for a state that is not one of its own; then nothing has changed.
        """
        ...


@runtime_checkable
class LongLived(Protocol):
    """A detector whose knowledge is of use for longer than an hour."""

    @property
    def kept_ns(self) -> int:
        """Return how old what was learnt may be to be taken up after a restart, ns."""
        ...


@dataclass(frozen=True, slots=True)
class DetectionContext:
    """The configuration of the gateway that a detector is built into."""

    window_ns: int
    """Length of a window, ns."""
    memory_ns: int
    """`detection.memory`: the time constant of detectors that are not given one of their own, ns."""
    warmup_ns: int
    """`detection.warmup`: how long a tag is learned before it can be called anomalous, ns."""
    devices: Rows | None = None
    """Row of the device of each tag of the table; None where all are of one."""


Settings_contra = TypeVar("Settings_contra", bound=ConfigModel, contravariant=True)


class DetectorPlugin(Protocol[Settings_contra]):
    """One kind of detector, as `plugins.py` lists it."""

    @property
    def name(self) -> str:
        """Return its name in the list `anomaly:` of a tag, and in events."""
        ...

    @property
    def settings_model(self) -> type[ConfigModel]:
        """Return the model of a tag's settings. Its fields hold numbers, texts or booleans."""
        ...

    def build(self, tags: TagIds, settings: Sequence[Settings_contra], context: DetectionContext) -> Detector:
        """Return a detector for these tags (uint32, ascending), with the settings of each."""
        ...


AnyDetectorPlugin = DetectorPlugin[Any]
"""Any kind of detector, for callers that do not know which one it is."""
