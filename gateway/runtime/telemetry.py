"""What sources counted and measured, published now and then."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gateway.core.clock import Clock
from gateway.core.messages import Message
from gateway.core.ports.outbox import MessageQueue
from gateway.core.ports.source import Source


class Encoding(Protocol):
    """The encoder as telemetry sees it."""

    def stats(self, device: int | None, stats: Mapping[str, float | str], now_ns: int) -> Message: ...


async def publish_stats(
    sources: Sequence[Source],
    own: Callable[[], Mapping[str, float | str]],
    encoder: Encoding,
    outbox: MessageQueue,
    clock: Clock,
    interval_s: float,
) -> None:
    """Never returns: one message per device and interval, spread evenly over the sources so that nothing comes in bursts,
    and one of the gateway's own at the end of each. own: what it says of itself."""
    while True:
        for source in sources:
            await clock.sleep(interval_s / len(sources))
            for device, stats in source.stats().items():
                outbox.put(encoder.stats(device, stats, clock.now_ns()))
        outbox.put(encoder.stats(None, own(), clock.now_ns()))
