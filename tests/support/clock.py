"""Time that stands still until a test moves it."""

import asyncio
import heapq
from itertools import count

SETTLE = 20
"""Turns of the event loop after which everybody who was woken has come to rest."""


class FakeClock:
    """A `gateway.core.clock.Clock` moved by the test. Sleepers wake in the order in which they are due."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000, monotonic_s: float = 1000.0) -> None:
        self._monotonic_ns = round(monotonic_s * 1e9)
        self._offset_ns = now_ns - self._monotonic_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = count()

    def monotonic(self) -> float:
        """Seconds, as `Clock.monotonic`."""
        return self._monotonic_ns / 1e9

    def now_ns(self) -> int:
        """Wall time in ns, as `Clock.now_ns`."""
        return self._monotonic_ns + self._offset_ns

    async def sleep(self, delay_s: float) -> None:
        """As `Clock.sleep`: until the test has moved the clock far enough."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic_ns + round(delay_s * 1e9), next(self._number), future))
        await future

    @property
    def waits_s(self) -> list[float]:
        """How long everybody who sleeps still has to wait, soonest first."""
        return [(due - self._monotonic_ns) / 1e9 for due, _, future in sorted(self._sleepers) if not future.done()]

    def jump(self, by_s: float) -> None:
        """Set the wall clock; monotonic time and sleepers do not notice."""
        self._offset_ns += round(by_s * 1e9)

    def set_forward(self, by_s: float) -> None:
        """Let time pass without anybody getting a turn, as in a stall of the process."""
        self._monotonic_ns += round(by_s * 1e9)

    async def advance(self, by_s: float) -> None:
        """Let time pass; every sleeper wakes at its own moment and gets its turn."""
        end = self._monotonic_ns + round(by_s * 1e9)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._monotonic_ns = max(self._monotonic_ns, due)
            if not future.done():
                future.set_result(None)
                await self.settle()
        self._monotonic_ns = max(self._monotonic_ns, end)

    async def settle(self) -> None:
        """Let every task run until it waits."""
        for _ in range(SETTLE):
            await asyncio.sleep(0)
