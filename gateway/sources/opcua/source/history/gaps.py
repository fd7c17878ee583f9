"""Gaps: what was missed while a server was away, per row from which source time to which. Pure."""

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Times
from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.port.values import DataValues
from gateway.sources.opcua.source.history.gap import Gap

MOST_GAPS: Final = 10
_FIRST_STEP_NS: Final = 1_000_000_000
_WANTED: Final = 50_000


def times_of(columns: ValueColumns) -> Times:
    """Return when values were taken, by which a server also keeps them: source times, else its own, 0 without either."""
    return np.where(columns.source_ns > 0, columns.source_ns, columns.server_ns)


def received_times(values: DataValues, tolerance_ns: int) -> Times:
    """Return the same for what a server sent by itself; 0 where it is later than both clocks by more than the tolerance.

    By such a time nothing can be asked of a history.
    """
    times = times_of(values.columns)
    return np.where(times <= max(values.received_ns, values.server_clock_ns) + tolerance_ns, times, 0)


class Gaps:
    """The gaps of one device, from what is received and handed on. All times are source times in ns, 0 for none."""

    def __init__(self, rows: int) -> None:
        self._last = np.zeros(rows, np.int64)
        self._first = np.zeros(rows, np.int64)
        self._queued = np.zeros(rows, np.int64)
        self._floor = np.zeros(rows, np.int64)
        """Up to when samples may have been handed on by a run that crashed: until the end of the first gap is known."""
        self._number = 0
        self.skipped = (0, 0)
        """From when, how long: see `Gap.skipped_ns`. It goes into the next gap whose end becomes known."""
        self.newest_queued_ns = 0
        """The newest time of all that waits to be handed on, or was."""
        self.has_queued = False
        """Something was put since this was last set to false."""
        self._handed_on = np.zeros(rows, np.int64)
        self.waiting: deque[Gap] = deque()
        self.given_up: list[Gap] = []
        """Gaps that had to make room for newer ones."""

    def restore(self, last: Times, skipped: tuple[int, int] = (0, 0), waiting: Sequence[Gap] = ()) -> None:
        """Begin with what an earlier run received last and has not read back: before the first `on_connected`."""
        self.skipped = skipped
        for times in (self._floor,) if skipped[1] else (self._last, self._queued, self._handed_on):
            times[:] = last
        self.waiting.extend(waiting)
        self._number = max((gap.number for gap in waiting), default=0)

    def queue(self, rows: NDArray[np.uint32], times: Times) -> None:
        """Record that these values, which were received, wait to be handed on."""
        np.maximum.at(self._queued, rows, times)
        self.newest_queued_ns = max(self.newest_queued_ns, int(times.max(initial=0)))
        self.has_queued = self.has_queued or bool(times.any())

    def hand_on(self) -> None:
        """Record that all that was waiting is handed on."""
        self._handed_on[:] = self._queued

    @property
    def handed_on(self) -> Times:
        """Return per row the time up to which everything was handed on, or may have been, or lies in a gap."""
        return np.maximum(self._handed_on, self._floor)

    @property
    def newest_handed_on_ns(self) -> int:
        """Return the newest of the times in `handed_on`, 0 for none."""
        return int(self.handed_on.max(initial=0))

    def receive(self, rows: NDArray[np.uint32], times: Times, *, again: bool = False) -> None:
        """Record what the server sent by itself.

        again: it was on its way when the connection was lost, so the gap begins after it, where nothing later is known.
        """
        np.maximum.at(self._last, rows, times)
        known = times > 0
        if not known.all():
            rows, times = rows[known], times[known]
        unset = self._first[rows] == 0
        if again and (gap := self.open_gap) is not None:
            np.maximum.at(gap.after, rows[unset], times[unset])
        elif unset.any():
            self._first[rows[unset]] = np.iinfo(np.int64).max
            np.minimum.at(self._first, rows[unset], times[unset])

    def on_connected(self) -> None:
        """Begin a gap with a new connection: after what was received last."""
        rows = self._last.size
        self._drop_open_gap()
        after = np.maximum(self._last, self._floor)
        if after.any():
            none = np.zeros(rows, np.int64)
            self._number += 1
            self.waiting.append(Gap(after, none, none.copy(), number=self._number, is_open=True))
            if len(self.waiting) > MOST_GAPS:
                self.given_up.append(self.waiting.popleft())
        self._first[:] = 0

    @property
    def open_gap(self) -> Gap | None:
        """Return the gap whose end is not known yet."""
        newest = self.waiting[-1] if self.waiting else None
        return newest if newest is not None and newest.is_open else None

    def _drop_open_gap(self) -> None:
        """End a gap whose connection was lost at once: the next one begins there, too, but for rows that were received."""
        if (gap := self.open_gap) is not None:
            gap.before, gap.is_open = self._first.copy(), False
            if not self._first.any():
                self.waiting.pop()

    def unfinished(self) -> list[Gap]:
        """Return what is still to be read back if this run ends now.

        Of the newest gap these are the rows of which the first value after it was handed on; the gap of the others begins
        with their last value in the next run, too.
        """
        if (gap := self.open_gap) is None:
            return list(self.waiting)
        before = np.where(self._handed_on >= self._first, self._first, 0)
        here = Gap(gap.after.copy(), before, gap.counts.copy(), number=gap.number)
        return [*list(self.waiting)[:-1], *([here] if before.any() else [])]

    def close_open_gap(self, since_ns: int) -> int:
        """End the newest gap with the first values of the new connection.

        Where there are none, all that comes since `since_ns`, when the connection began by the server's clock, comes by
        itself.

        Returns by how much the newest value is older than the newest one before the gap: the times of the server, or of what
        is behind it, went back.
        """
        if (gap := self.open_gap) is None:
            return 0
        gap.is_open = False
        silent = self._first == 0
        gap.before = np.where(silent, since_ns, self._first)
        known = silent & (gap.after > 0)
        for times in (self._last, self._queued, self._handed_on):
            times[known] = np.maximum(times[known], since_ns - 1)
        self._floor[:] = 0
        (begin_ns, length_ns), self.skipped = self.skipped, (0, 0)
        gap.skip_span(begin_ns, min(begin_ns + length_ns, int(gap.before.max())))
        both = (gap.after > 0) & ~silent
        if not both.any():
            return 0
        return max(0, (begin_ns if length_ns else int(gap.after[both].max())) - int(self._first[both].max()))


class SliceLength:
    """The length of a slice: begins with a second, is adapted to about 50,000 samples."""

    def __init__(self) -> None:
        self.length_ns = _FIRST_STEP_NS

    def end(self, start_ns: int) -> int:
        """Return where the slice ends that begins here: at a whole microsecond, the finest that every request can say."""
        return -(-(start_ns + self.length_ns) // 1000) * 1000

    def adapt(self, samples: int) -> None:
        """Adapt the length: so many samples came of the last slice."""
        factor = min(8.0, max(0.125, _WANTED / max(1, samples)))
        self.length_ns = min(3600_000_000_000, max(_FIRST_STEP_NS, round(self.length_ns * factor)))
