"""Deliveries that are held up, in the order of sending, with their number by topic and their bytes."""

from collections import Counter
from collections.abc import Iterator

from gateway.core.ports.outbox import Delivery


class HeldUp:
    """A set of deliveries in order."""

    def __init__(self) -> None:
        """Begin with none."""
        self._deliveries: dict[Delivery, None] = {}
        self._by_topic: Counter[str] = Counter()
        self.bytes = 0
        """Of their payloads."""

    def __len__(self) -> int:
        return len(self._deliveries)

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._deliveries)

    def count(self, topic: str) -> int:
        """Return how many are on a topic."""
        return self._by_topic[topic]

    def add(self, delivery: Delivery) -> None:
        """Add one that is not held up yet."""
        self._deliveries[delivery] = None
        self._by_topic[delivery.message.topic] += 1
        self.bytes += len(delivery.message.payload)

    def remove(self, delivery: Delivery) -> None:
        """Remove one. Raises KeyError."""
        del self._deliveries[delivery]
        self._by_topic[delivery.message.topic] -= 1
        self.bytes -= len(delivery.message.payload)

    def clear(self) -> None:
        """Remove all."""
        self._deliveries.clear()
        self._by_topic.clear()
        self.bytes = 0
