"""An outbox in memory only, for tests of pipeline and publisher. Held to the real one's contract by tests/contract."""

import asyncio
from collections.abc import Sequence

from gateway.core.messages import Lane, Message
from gateway.core.ports.outbox import Delivery


class FakeOutbox:
    """`MessageQueue` and `Deliveries` without disk, ceilings or loss records.

    Beside the ports: `messages` (all that were put), `acked`, `refused` (with reasons), `in_flight` by id.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.acked: list[Message] = []
        self.refused: list[tuple[Message, str]] = []
        self.in_flight: dict[int, Delivery] = {}
        self._live = False
        self._waiting: list[Delivery] = []
        self._arrived = asyncio.Event()

    def set_live(self, live: bool) -> None:
        self._live = live
        if not live:
            for delivery in self._waiting:
                delivery.live = False

    def put(self, message: Message) -> None:
        self.messages.append(message)
        self._waiting.append(Delivery(len(self.messages), message, self._live))
        self._arrived.set()

    async def take(self, limit: int) -> list[Delivery]:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        self._waiting.sort(key=_order)
        taken, self._waiting = self._waiting[:limit], self._waiting[limit:]
        self.in_flight.update((delivery.id, delivery) for delivery in taken)
        return taken

    def ack(self, delivery: Delivery) -> None:
        self.acked.append(self._land(delivery).message)

    def refuse(self, delivery: Delivery, reason: str) -> None:
        self.refused.append((self._land(delivery).message, reason))

    def release(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._land(delivery).live = False
            self._waiting.append(delivery)
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
