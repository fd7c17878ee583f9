"""The machine's clocks, and the fake that stands for them in other tests."""

import asyncio
import time

from gateway.core.clock import SystemClock
from tests.support.clock import ManualClock


async def test_the_system_clock_is_the_machines() -> None:
    """Wall time in ns, monotonic seconds; a sleep of nothing or less returns at once."""
    clock = SystemClock()
    assert abs(clock.now_ns() - time.time_ns()) < 1_000_000_000
    assert 0 <= clock.monotonic() - time.monotonic() + 1 < 2
    await clock.sleep(0)
    await clock.sleep(-5)


async def test_sleepers_of_the_fake_wake_in_order_and_at_their_moment() -> None:
    """Due times decide, then who came first; wall time jumps alone."""
    clock, woke = ManualClock(now_ns=0, monotonic_s=0), []

    async def sleeper(name: str, delay_s: float) -> None:
        await clock.sleep(delay_s)
        woke.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper(*one)) for one in (("c", 3), ("a", 1), ("b", 1), ("late", 9))]
    await clock.advance(1)
    clock.jump(-100)
    await clock.advance(4)
    assert woke == [("a", 1), ("b", 1), ("c", 3)]
    assert (clock.now_ns(), clock.waits_s) == (-95_000_000_000, [4.0])
    tasks[-1].cancel()
