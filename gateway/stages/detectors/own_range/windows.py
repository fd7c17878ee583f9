"""Windows that wait until their step is complete, and the steps that become of them."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, TagIds, Values, WindowBlock
from gateway.stages.detectors.own_range.config import HOLD_NS, LEAST_STEP_NS, SECOND_NS
from gateway.stages.detectors.own_range.steps import Floats, Steps

_LARGEST: Final = 5e17
"""Beyond, squares and their sums leave what float32 can carry."""
_TRIMMED_FROM: Final = 4
"""Windows from which the extremes are left out of a step's mean."""
_MOST_USED: Final = 65_535


class Centred(Protocol):
    """Whoever keeps the value that each tag is relative to."""

    centre: Values
    seen: NDArray[np.int32]

    def relative(self, value: Values, here: Mask) -> Floats:
        """Return values relative to the centre; a tag that is seen for the first time is centred on its value."""
        ...


def windows_per_step(window_ns: int) -> int:
    """Return how many windows of this length make a step."""
    return -(-LEAST_STEP_NS // window_ns)


class WaitingWindows:
    """The last windows of each tag, merged with what came late, until the step that they belong to is judged.

    A step is complete once a window has closed that ends 11 s after it, so the result does not depend on how samples were
    cut into blocks, or on a delay of up to 10 s.
    """

    def __init__(self, tags: TagIds, window_ns: int, per_step: int | None = None) -> None:
        """Begin without windows. tags: those that are watched, ascending; per_step: windows of a step, else those of 8 s."""
        self._tags, self._rows = tags, tags.astype(np.intp)
        self._window = window_ns
        self.per_step = per_step or windows_per_step(window_ns)
        self._hold = -(-HOLD_NS // window_ns)
        self._size = self.per_step + self._hold
        self.used = np.zeros((self._size, tags.size), np.uint16)
        self.mean = np.zeros((self._size, tags.size), np.float32)
        self.variance = np.zeros((self._size, tags.size), np.float32)
        self.newest, self.next_step = -1, -1
        """Numbers of the newest window and of the next step to judge."""

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all that is kept of the tags."""
        return {"waiting_used": self.used, "waiting_mean": self.mean, "waiting_variance": self.variance}

    def shift(self, shift: Floats) -> None:
        """Move what waits to another centre."""
        self.mean -= shift

    def add(self, window: WindowBlock, centred: Centred) -> Iterator[tuple[int, Steps]]:
        """Add a closed window, or what came late for one; yield the end of each step that is complete, ns, and the step.

        After a gap, or a step of the clock, what waits is complete too. A step has to be used before the next is asked for.
        """
        number = window.start // self._window
        if window.late:
            if max(self.next_step * self.per_step, 0) <= number <= self.newest:
                self._merge(number, window, centred)
            return
        if self.newest < 0 or not 0 < number - self.newest <= self._size:
            while 0 <= self.next_step * self.per_step <= self.newest:
                yield self._step()
            self.used[:] = 0
            self.next_step = -(-number // self.per_step)
            self.newest = number - 1
        while self.newest < number:
            self.newest += 1
            self.used[self.newest % self._size] = 0
            if self.newest == number:
                self._merge(number, window, centred)
            while (self.next_step + 1) * self.per_step + self._hold <= self.newest + 1:
                yield self._step()

    def _merge(self, number: int, window: WindowBlock, centred: Centred) -> None:
        """Add the samples of a window to those that it has had before."""
        if window.late:
            rows = np.flatnonzero(np.isin(self._tags, window.tag))
            source = np.searchsorted(window.tag, self._tags[rows])
        else:
            rows, source = slice(None), self._rows  # type: ignore[assignment]
        count, mean = window.used[source], window.mean[source]
        here = (count > 0) & (np.abs(mean) <= _LARGEST)
        if window.late:
            rows, source, count, mean = rows[here], source[here], count[here], mean[here]
            value = (mean - centred.centre[rows]).astype(np.float32)
            new = (centred.seen[rows] == 0) & (centred.centre[rows] == 0)
            centred.centre[rows[new]] = mean[new]
            value[new] = 0
        else:
            value = centred.relative(mean, here)
            count = np.where(here, count, 0)
        variance = np.minimum(np.where(count > 0, np.nan_to_num(window.std[source]), 0), _LARGEST).astype(np.float32) ** 2
        slot = number % self._size
        if not window.late:
            self.used[slot] = np.minimum(count, _MOST_USED)
            self.mean[slot], self.variance[slot] = value, variance
            return
        before = self.used[slot, rows].astype(np.float32)
        total = before + count
        part = (count / np.maximum(total, 1)).astype(np.float32)
        difference = value - self.mean[slot, rows]
        self.variance[slot, rows] += part * (variance - self.variance[slot, rows]) + part * (1 - part) * difference**2
        self.mean[slot, rows] = np.where(before > 0, self.mean[slot, rows] + part * difference, value)
        self.used[slot, rows] = np.minimum(total, _MOST_USED)

    def _step(self) -> tuple[int, Steps]:
        first = self.next_step * self.per_step
        self.next_step += 1
        slots = np.arange(first, first + self.per_step) % self._size
        used = self.used[slots] > 0
        begin = first * self._window
        time_s = np.full(self._tags.size, begin / SECOND_NS)
        return begin + self.per_step * self._window, step_of(time_s, self.mean[slots], self.variance[slots], used)


def step_of(time_s: NDArray[np.float64], mean: Floats, variance: Floats, used: NDArray[np.bool_]) -> Steps:
    """Return the step of windows, float32[windows, tags] each; used: the windows that have samples."""
    count = used.sum(axis=0)
    here = count > 0
    low = np.where(used, mean, np.inf).min(axis=0)
    high = np.where(used, mean, -np.inf).max(axis=0)
    total = np.where(used, mean, 0).sum(axis=0)
    middle = total / np.maximum(count, 1)
    square = np.where(used, variance + np.square(mean - middle), 0).sum(axis=0) / np.maximum(count, 1)
    trimmed = count >= _TRIMMED_FROM
    with np.errstate(invalid="ignore"):
        middle = np.where(trimmed, (total - low - high) / np.maximum(count - 2, 1), middle)
    quantum = np.full(here.shape, np.inf, np.float32)
    if len(mean) > 1:
        change = np.abs(np.diff(mean, axis=0))
        quantum = np.where((change > 0) & used[1:] & used[:-1], change, np.inf).min(axis=0).astype(np.float32)
    low, high, middle = (np.where(here, column, 0).astype(np.float32) for column in (low, high, middle))
    # the mean of equal values may differ from them by rounding, and then a flat line would not be flat
    middle = np.where(low == high, low, middle)
    return Steps(time_s, low, high, middle, np.sqrt(square).astype(np.float32), quantum, here)
