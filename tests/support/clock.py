"""The one clock of the tests: time stands still until a test moves it."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from itertools import count
from math import inf

NOW_NS = 1_700_000_000_000_000_000
TURNS = 60
"""Turns of the event loop after which everybody who was woken has come to rest, but for who goes round and round."""


class ManualClock:
    """A `gateway.core.clock.Clock` moved by the test. Sleepers wake in the order in which they are due.

    ahead_s: how far the wall clock is ahead of what it should show; monotonic time and sleepers do not notice.
    """

    def __init__(self, now_ns: int = NOW_NS, monotonic_s: float = 1000.0) -> None:
        self.ahead_s = 0.0
        self._monotonic_ns = round(monotonic_s * 1e9)
        self._offset_ns = now_ns - self._monotonic_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = count()

    def monotonic(self) -> float:
        """Return seconds, as `Clock.monotonic`."""
        return self._monotonic_ns / 1e9

    def now_ns(self) -> int:
        """Return wall time in ns, as `Clock.now_ns`."""
        return self._monotonic_ns + self._offset_ns + round(self.ahead_s * 1e9)

    async def sleep(self, delay_s: float) -> None:
        """Return when the test has moved the clock far enough."""
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
        """Set the wall clock forwards or back."""
        self.ahead_s += by_s

    def set_forward(self, by_s: float) -> None:
        """Let time pass without anybody getting a turn, as in a stall of the process."""
        self._monotonic_ns += round(by_s * 1e9)

    async def advance(self, by_s: float, settled: Callable[[], Awaitable[None]] | None = None) -> None:
        """Let time pass; every sleeper wakes at its own moment and gets its turn.

        settled: returns when those who were woken have done their work, if that takes more than turns of the event loop.
        """
        end = self._monotonic_ns + round(by_s * 1e9)
        await settle()
        if settled is not None:
            await settled()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._monotonic_ns = max(self._monotonic_ns, due)
            if not future.done():
                future.set_result(None)
                await settle()
                if settled is not None:
                    await settled()
        self._monotonic_ns = max(self._monotonic_ns, end)


class TimeIsUp(Exception):
    """The clock has reached the end that the test set."""


class SkippingClock(ManualClock):
    """A clock that nobody waits for: each sleep moves it and returns. A sleep past `end_s` raises TimeIsUp.

    slept: how long each sleep so far was. on_woken: called at the end of each. most_sleeps: the one that makes so many in
    `slept` raises TimeIsUp as well.
    """

    def __init__(self, now_ns: int = NOW_NS, monotonic_s: float = 1000.0) -> None:
        super().__init__(now_ns, monotonic_s)
        self.end_s = inf
        self.slept: list[float] = []
        self.most_sleeps = inf
        self.on_woken: Callable[[], object] = lambda: None

    async def sleep(self, delay_s: float) -> None:
        """Move the clock by `delay_s`, at most to the end."""
        delay_s = max(0.0, delay_s)
        self.slept.append(delay_s)
        woken_s = self.monotonic() + delay_s
        self.set_forward(min(delay_s, self.end_s - self.monotonic()))
        self.on_woken()
        if woken_s >= self.end_s or len(self.slept) >= self.most_sleeps:
            raise TimeIsUp
        await asyncio.sleep(0)


async def settle(turns: int = TURNS) -> None:
    """Let every task run until it waits, for `turns` turns of the event loop at most."""
    ready = getattr(asyncio.get_running_loop(), "_ready", (None,))  # asyncio's own; uvloop shows nothing like it
    for _ in range(turns):
        await asyncio.sleep(0)
        if not ready:
            return
