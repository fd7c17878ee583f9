"""Publishes what sources counted and measured, at regular intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gateway.core.clock import Clock
from gateway.core.messages import Message
from gateway.core.ports.outbox import MessageQueue
from gateway.core.ports.source import Served


class Encoding(Protocol):
    """The encoder as telemetry sees it."""

    def stats(self, device: int | None, stats: Mapping[str, float | str], now_ns: int) -> Message:
        """Return counters of a device's connection, or of the gateway itself, as a message."""
        ...


async def publish_stats(
    sources: Callable[[], Sequence[Served]],
    own: Callable[[], Mapping[str, float | str]],
    encoder: Encoding,
    outbox: MessageQueue,
    clock: Clock,
    interval_s: float,
) -> None:
    """Publish one message per device and interval, and one of the gateway's own at the end of each. Never returns.

    The messages are spread evenly over the interval, so that they do not come in bursts. sources: returns those that run.
    own: the gateway's own counters.
    """
    while True:
        present = sources()
        for source in present:
            await clock.sleep(interval_s / len(present))
            for device, stats in source.stats().items():
                outbox.put(encoder.stats(device, stats, clock.now_ns()))
        if not present:
            await clock.sleep(interval_s)
        outbox.put(encoder.stats(None, own(), clock.now_ns()))
