"""Time as a seam: the monotonic clock for waiting, the wall clock for stamping."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What a part may know of time. Tests hand in a fake that moves when told to."""

    def monotonic(self) -> float:
        """Seconds that only go forwards; the origin means nothing."""
        ...

    def now_ns(self) -> int:
        """Wall time, ns since the epoch, UTC. May jump."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of monotonic time (at once when it is not positive)."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s))
