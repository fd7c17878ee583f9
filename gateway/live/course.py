"""The course of the delivery: what waited, by lane, what was lost and merged, for charts that survive a reload."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.clock import Clock

COLUMNS: Final = ("waiting", "events", "summaries", "windows", "memory_bytes", "disk_bytes", "lost", "thinned", "acked")
"""Messages that wait, those of them on disk by lane, bytes in memory and on disk, and counts since the start."""
PERIOD_S: Final = 10.0
_FINE: Final = 360
_COARSE: Final = 7 * 1440
_MINUTE_MS: Final = 60_000
Course = Mapping[str, NDArray[np.int64]]
"""`time_ms` and `COLUMNS`, int64 of equal length, oldest first."""


class _Ring:
    """The newest rows."""

    def __init__(self, rows: int) -> None:
        self._rows = np.zeros((rows, 1 + len(COLUMNS)), np.int64)
        self._next = 0

    def add(self, row: list[int]) -> None:
        self._rows[self._next % len(self._rows)] = row
        self._next += 1

    def all(self) -> NDArray[np.int64]:
        """Return the rows, oldest first."""
        at = self._next % len(self._rows)
        return self._rows[: self._next] if self._next <= len(self._rows) else np.roll(self._rows, -at, axis=0)


class DeliveryCourse:
    """A reading every ten seconds for an hour, and one a minute for seven days: 0.8 MB. It begins anew with a start."""

    def __init__(self, read: Callable[[], Mapping[str, int]], clock: Clock) -> None:
        """read: returns the present value of each of `COLUMNS`."""
        self._read = read
        self._clock = clock
        self._fine, self._coarse = _Ring(_FINE), _Ring(_COARSE)
        self._minute = -1

    async def run(self) -> None:
        """Take readings for ever. Never returns."""
        while True:
            self.record()
            await self._clock.sleep(PERIOD_S)

    def record(self) -> None:
        """Take a reading now."""
        found, now_ms = self._read(), self._clock.now_ns() // 1_000_000
        row = [now_ms, *(found[name] for name in COLUMNS)]
        self._fine.add(row)
        if now_ms // _MINUTE_MS != self._minute:
            self._minute = now_ms // _MINUTE_MS
            self._coarse.add(row)

    def since(self, begin_ms: int, most: int) -> Course:
        """Return what is known from a time on, in about so many rows at most; the newest is always among them."""
        fine, coarse = self._fine.all(), self._coarse.all()
        rows: NDArray[Any] = fine
        if not len(fine) or begin_ms < int(fine[0, 0]):
            rows = np.concatenate([coarse[coarse[:, 0] < fine[0, 0]], fine]) if len(fine) else coarse
        rows = rows[rows[:, 0] >= begin_ms]
        step = -(-len(rows) // max(1, most))
        rows = rows[::-1][:: max(1, step)][::-1]
        return {name: rows[:, at].copy() for at, name in enumerate(("time_ms", *COLUMNS))}
