"""An outbox in memory only, for tests of pipeline and publisher. Held to the real one's contract by tests/contract."""

import asyncio
import heapq
from collections.abc import Sequence

from gateway.core.messages import Lane, Message
from gateway.core.ports.outbox import Delivery


class FakeOutbox:
    """`MessageQueue` and `Deliveries` without disk, ceilings or loss records.

    Beside the ports: `messages` (all that were put), `acked`, `refused` (with reasons), `in_flight` by id, `waiting` for a
    publisher, and `journal`: what the publisher did, in its order, as words. Ids count from 1.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.acked: list[Message] = []
        self.refused: list[tuple[Message, str]] = []
        self.in_flight: dict[int, Delivery] = {}
        self.live = False
        self.journal: list[str] = []
        self._heap: list[tuple[tuple[int, int], Delivery]] = []
        self._arrived = asyncio.Event()

    @property
    def waiting(self) -> list[Delivery]:
        """What nobody has taken, in the order in which it will be."""
        return [delivery for _, delivery in sorted(self._heap, key=lambda entry: entry[0])]

    def set_live(self, live: bool) -> None:
        self.live = live
        self.journal.append("live" if live else "not live")
        if not live:
            for _, delivery in self._heap:
                delivery.live = False
            self._heap = [(_order(delivery), delivery) for _, delivery in self._heap]
            heapq.heapify(self._heap)

    def put(self, message: Message) -> None:
        self.messages.append(message)
        self._wait(Delivery(len(self.messages), message, self.live))

    def put_next(self, count: int = 1, topic: str = "gw/d/window", payload: bytes | None = None) -> None:
        """Put `count` windows; seq is the id, and the payload says it where none is given."""
        for number in range(len(self.messages) + 1, len(self.messages) + 1 + count):
            self.put(Message(topic, "b", number, Lane.WINDOW, 0, 0, b"%d" % number if payload is None else payload))

    async def fetch(self, limit: int) -> list[Delivery]:
        while not self._heap:
            self._arrived.clear()
            await self._arrived.wait()
        taken = [heapq.heappop(self._heap)[1] for _ in range(min(limit, len(self._heap)))]
        self.in_flight.update((delivery.id, delivery) for delivery in taken)
        return taken

    def ack(self, delivery: Delivery) -> None:
        self.acked.append(self._land(delivery).message)
        self.journal.append(f"ack {delivery.id}")

    def refuse(self, delivery: Delivery, reason: str) -> None:
        self.refused.append((self._land(delivery).message, reason))
        self.journal.append(f"refuse {delivery.id} {reason}")

    def release(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._land(delivery).live = False
            self.journal.append(f"release {delivery.id}")
            self._wait(delivery)

    def _wait(self, delivery: Delivery) -> None:
        heapq.heappush(self._heap, (_order(delivery), delivery))
        self._arrived.set()

    def _land(self, delivery: Delivery) -> Delivery:
        if delivery.id not in self.in_flight:
            raise ValueError(f"delivery {delivery.id} is not in flight")
        return self.in_flight.pop(delivery.id)


def _order(delivery: Delivery) -> tuple[int, int]:
    """Live lanes, then backlog events, then other backlog; by id within each."""
    lane = delivery.message.lane
    if delivery.live:
        return lane, delivery.id
    return (3 if lane == Lane.EVENT else 4), delivery.id
