"""Publish policy `anomalous`: windows only around alarms and anomalies, those of a while before them too."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gateway.core.blocks import Mask, Times, WindowBlock
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable

MOST_ROWS: Final = 250_000
"""Rows (windows times tags) that are kept for what may follow, about 110 bytes each: 25 windows of 10,000 tags."""


_MOST_LATE: Final = 20
"""Supplements that are kept with a window; more are in the summaries only."""


@dataclass(slots=True, eq=False)
class _Kept:
    """A window that was closed."""

    window: WindowBlock
    sent: Mask
    """bool[tags], the rows that were handed on."""
    late: list[WindowBlock] = field(default_factory=list)
    """Supplements of rows that were not."""


class AroundEvents:
    """A filter of rows: a tag is sent while something is active, for a while after it, and once for a while before it.

    What it keeps is bounded by time and by `MOST_ROWS`; with very many tags the time before is shorter. A supplement is sent
    for the tags whose window was sent. The clock set back begins anew with what is kept.
    """

    def __init__(self, table: TagTable, before_ns: int, after_ns: int, *, whole_devices: bool) -> None:
        """Begin with nothing kept.

        before_ns, after_ns: how long before something became active, and after it ended, windows are sent.
        whole_devices: all tags of a device are sent with any of them.
        """
        self._before, self._after = before_ns, after_ns
        self._device = np.array([tag.device for tag in table.tags], np.intp)
        self._devices = len(table.devices)
        self._whole = whole_devices
        self._until: Times = np.zeros(self._device.size, np.int64)
        """Until when each tag's windows are sent, ns; a window that begins earlier is."""
        self._kept: deque[_Kept] = deque()
        self._most = max(1, MOST_ROWS // max(1, self._device.size))

    def select(self, window: WindowBlock, active: Mask) -> list[WindowBlock]:
        """Return what to send, the oldest first. `window` has a row for every tag, in order, unless it is late.

        active: bool[tags], of which tags something is active now, or was since the last window.
        """
        if window.late or len(window) < self._device.size:
            return self._supplement(window)
        if self._kept and window.start <= self._kept[-1].window.start:
            self._kept.clear()
        if self._whole and active.any():
            active = np.bincount(self._device[active], minlength=self._devices)[self._device] > 0
        end = window.start + window.length
        self._until[active] = end + self._after
        earlier = self._earlier(active, window.start) if active.any() else []
        sent: Mask = (self._until > window.start) & (self._until <= end + self._after)
        self._kept.append(_Kept(window, sent.copy()))
        while len(self._kept) > self._most or self._kept[0].window.start < end - window.length - self._before:
            self._kept.popleft()
        return [*earlier, window.take(sent)] if sent.any() else earlier

    def _earlier(self, active: Mask, start: int) -> list[WindowBlock]:
        found = []
        for kept in self._kept:
            rows = active & ~kept.sent
            if kept.window.start >= start - self._before and rows.any():
                kept.sent |= rows
                found += [kept.window.take(rows), *(late.take(rows[late.tag]) for late in kept.late if rows[late.tag].any())]
        return found

    def _supplement(self, window: WindowBlock) -> list[WindowBlock]:
        """Return the rows of windows that were sent; the others wait with their windows."""
        kept = next((one for one in self._kept if one.window.start == window.start), None)
        if kept is None:  # longer ago: all that were sent, and perhaps more
            rows = self._until[window.tag] > window.start
            return [window.take(rows)] if rows.any() else []
        rows = kept.sent[window.tag]
        if not rows.all() and len(kept.late) < _MOST_LATE:
            kept.late.append(window.take(~rows))
        return [window.take(rows)] if rows.any() else []

    def take_over(self, other: "AroundEvents", move: TagMove) -> None:
        """Go on with the tags that stay; what is kept of the time before is given up."""
        self._until = move.moved(other._until, 0)
