"""Each device's numbers, once per interval, not all at once."""

import asyncio
from collections.abc import Mapping

from gateway.core.messages import Lane, Message
from gateway.runtime.telemetry import publish_stats
from tests.support.clock import ManualClock


class Source:
    """Serves one device; counts how often it was asked."""

    def __init__(self, device: int) -> None:
        self.device = device
        self.asked = 0

    def stats(self) -> dict[int, dict[str, float | str]]:
        self.asked += 1
        return {self.device: {"asked": self.asked}}


class Recorder:
    """Encoder and outbox in one: (seconds, device, number)."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.got: list[tuple[float, int | None, object]] = []

    def stats(self, device: int | None, stats: Mapping[str, float | str], now_ns: int) -> Message:
        self.got.append((self.clock.monotonic(), device, stats["asked"]))
        return Message("t", "b", 1, Lane.WINDOW, 0, 0, b"{}")

    def put(self, message: Message) -> None:
        pass


async def test_every_device_speaks_once_per_interval_spread_over_it() -> None:
    clock = ManualClock()
    begin, recorder = clock.monotonic(), Recorder(clock)
    own, sources = {"asked": "the gateway"}, [Source(0), Source(1)]
    task = asyncio.create_task(publish_stats(lambda: sources, lambda: own, recorder, recorder, clock, 60.0))  # type: ignore[list-item]
    await clock.advance(125.0)
    task.cancel()
    assert [(at - begin, device, n) for at, device, n in recorder.got] == [
        (30, 0, 1), (60, 1, 1), (60, None, "the gateway"), (90, 0, 2), (120, 1, 2), (120, None, "the gateway"),
    ]  # fmt: skip
