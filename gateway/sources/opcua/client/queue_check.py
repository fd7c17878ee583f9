"""Whether the queue that a server granted holds what comes between two publications. Pure.

A server reports an overflow by a bit in the status (Part 4, 7.22.1), but for a queue of one it cannot, so it may drop values
without a trace. What it granted says so beforehand.
"""

import math

from gateway.sources.opcua.port.values import Item, ShortQueue


def needed(publishing_ns: int, sampling_ns: int) -> int:
    """Return how many samples come between two publications; 1 where the server samples on change, and nobody can know."""
    return -(-publishing_ns // sampling_ns) if sampling_ns > 0 else 1


class QueueCheck:
    """The queues that a server granted to the monitored items of one session.

    Attributes:
        short: Items whose queues may overflow between two publications, by row.
    """

    def __init__(self) -> None:
        self.short: dict[int, ShortQueue] = {}

    def add(self, item: Item, publishing_ns: int, sampling_ms: float, queue_size: int) -> None:
        """Check the queue of a monitored item that was created; a later one of the same row replaces it.

        publishing_ns, sampling_ms, queue_size: as the server revised them. Where it granted less than was asked for, one
        sample more must fit, because a publication may be late.
        """
        granted = max(1, queue_size)
        sampling_ns = round(max(0.0, sampling_ms) * 1e6) if math.isfinite(sampling_ms) else 0
        least = needed(publishing_ns, sampling_ns) + (granted < item.queue_size)
        if granted < least:
            self.short[item.row] = ShortQueue(granted, least)
        else:
            self.short.pop(item.row, None)
