"""The clock of all parts: monotonic time for waiting, wall time for timestamps; tests replace it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The time as parts see it. Tests pass in a clock that they move by hand."""

    def monotonic(self) -> float:
        """Return seconds that only go forwards; the origin has no meaning."""
        ...

    def now_ns(self) -> int:
        """Return the wall time, ns since the epoch, UTC. It may jump."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of monotonic time (at once when it is not positive)."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC, seconds."""
        return time.monotonic()

    def now_ns(self) -> int:
        """Return CLOCK_REALTIME, ns."""
        return time.time_ns()

    async def sleep(self, delay_s: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(max(0.0, delay_s))
