"""When something that was received has arrived, although the process may have stood still in between."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

LATE_NS: Final = 100_000_000
"""A time of arrival is known when it is known to so much."""
_TICK_S: Final = 0.025
_TOLD_NS: Final = 3_000_000_000
"""Stand-stills of more than this are reported whatever they cost; shorter ones where they delayed something that came."""
_PAUSE_NS: Final = 60_000_000_000
"""Between two reports of short stand-stills."""
_AWAKE_NS: Final = 10_000_000
"""The clocks with and without sleep differ by less while the machine is awake."""
_TICKS_LEFT: Final = 3
"""Within so many ticks after a stand-still everything is received that came in it."""


class Arrival(NamedTuple):
    """When something arrived."""

    time_ns: int
    """Wall time, never later than it came by more than `LATE_NS`."""
    is_known: bool
    """It came no more than `LATE_NS` after that; else only that it came later."""


def elapsed_ns() -> int:
    """Return a time that only goes forwards and counts the sleep of the machine as well: CLOCK_BOOTTIME, ns."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class LoopWatch:
    """A tick of the event loop, 40 times a second, and what it proves.

    Between two ticks every socket was asked for data. What is received now was not there then, so it came after the tick
    before the last one. That holds however long the process was stopped, the machine asleep, or a callback busy. All times
    without a name are those of `elapsed_ns`.
    """

    def __init__(self, now_ns: Callable[[], int] = elapsed_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Begin without a tick: nothing is proven, and every time is believed. The clocks are those of the machine."""
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._last_ns = self._proven_ns = 0
        self._slept_ns = self._slept_then_ns = 0
        self._stood_ns = self._ticks_since = 0
        self._has_delayed = False
        self._due_ns = self._next_report_ns = 0

    async def run(self) -> None:
        """Tick for ever. Never returns."""
        self._last_ns = self._proven_ns = 0
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None

        def turn() -> None:  # a callback costs two thirds of a task that sleeps
            nonlocal timer
            self.tick()
            timer = loop.call_later(_TICK_S, turn)

        turn()
        try:
            await loop.create_future()
        finally:
            if timer is not None:
                timer.cancel()

    def tick(self) -> None:
        """Record that the event loop turns."""
        monotonic_ns, now_ns = self._monotonic_ns(), self._now_ns()
        stood_ns = now_ns - self._last_ns if self._last_ns else 0
        self._proven_ns, self._last_ns = self._last_ns, now_ns
        self._slept_then_ns, self._slept_ns = self._slept_ns, now_ns - monotonic_ns
        if stood_ns > LATE_NS:
            self._stood_ns, self._ticks_since = max(self._stood_ns, stood_ns), 0
        if self._stood_ns:
            self._settle()

    def _settle(self) -> None:
        if self._has_delayed or self._stood_ns > _TOLD_NS:
            self._due_ns = max(self._due_ns, self._stood_ns)
            self._stood_ns, self._has_delayed = 0, False
        elif (count := self._ticks_since + 1) > _TICKS_LEFT:
            self._stood_ns = 0
        else:
            self._ticks_since = count

    def arrival(self, wall_ns: int, now_ns: int, asked_ns: int, age_ns: Callable[[], int | None]) -> Arrival:
        """Return when something came that is received now.

        wall_ns, now_ns: the two clocks at its receipt, read in this order. asked_ns: it cannot have come earlier, 0 where
        nothing is known. age_ns: returns how long ago it came at least, by the operating system, None if that does not
        say; called only where the process stood still.
        """
        late_ns = now_ns - max(asked_ns, self._proven_ns)
        if late_ns <= LATE_NS or not self._proven_ns:
            return Arrival(wall_ns, is_known=True)
        self._has_delayed = True
        age = None if self._has_slept() else age_ns()  # the system counts it without the sleep of the machine
        if age is None:
            return Arrival(wall_ns - late_ns, is_known=False)
        return Arrival(wall_ns - min(late_ns, age), is_known=True)

    def _has_slept(self) -> bool:
        """Return whether the machine slept since the tick before the last.

        The clocks are read in another order than at a tick: a pause between the two readings is never taken for sleep.
        """
        return self._now_ns() - self._monotonic_ns() - self._slept_then_ns > _AWAKE_NS

    def late_ns(self, asked_ns: int = 0) -> int:
        """Return how long ago at most something came that is received now, 0 where that is no more than `LATE_NS`."""
        return -self.arrival(0, self._now_ns(), asked_ns, lambda: None).time_ns

    @property
    def stands_still(self) -> bool:
        """Return whether the process has just stood still, so that what came meanwhile is not received yet."""
        return bool(self._proven_ns) and self._now_ns() - self._proven_ns > LATE_NS

    def take_stall_ms(self) -> int:
        """Return how long the process stood still if that is to be reported now, else 0."""
        if not self._due_ns or (self._due_ns <= _TOLD_NS and self._last_ns < self._next_report_ns):
            return 0
        self._next_report_ns = self._last_ns + _PAUSE_NS
        stood_ns, self._due_ns = self._due_ns, 0
        return round(stood_ns / 1e6)
