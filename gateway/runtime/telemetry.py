"""What sources counted and measured, published now and then."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.core.clock import Clock
from gateway.core.messages import Message
from gateway.core.ports import MessageQueue, Source


class Encoding(Protocol):
    """The encoder as telemetry sees it."""

    def stats(self, device: int, stats: Mapping[str, float | str], now_ns: int) -> Message: ...


async def publish_stats(
    sources: Sequence[Source], encoder: Encoding, outbox: MessageQueue, clock: Clock, interval_s: float
) -> None:
    """Never returns: one message per device and interval, spread evenly over the sources so that nothing comes in bursts."""
    while True:
        for source in sources:
            await clock.sleep(interval_s / len(sources))
            for device, stats in source.stats().items():
                outbox.put(encoder.stats(device, stats, clock.now_ns()))
