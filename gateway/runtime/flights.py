"""Messages on their way to the broker, and what each answer means for the outbox."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports import Deliveries, Delivery, Sink
from gateway.runtime.seldom import Seldom

log = structlog.get_logger("publisher")

_OVERDUE = 10


@dataclass(slots=True, eq=False)
class _Flight:
    """A message without its PUBACK yet; delivery is None for a status."""

    topic: str
    delivery: Delivery | None
    sent_at: float


class Flights:
    """Up to `limit` deliveries in flight over one sink; each ends in exactly one ack, refuse or release.

    A refusal for now gives the message back and holds all sending up for a growing pause. So does a refusal for good by
    a broker that has accepted nothing on this connection yet: it refuses us (an access list with a mistake), not the
    message, and a backlog must not be thrown away for that.
    """

    def __init__(
        self, sink: Sink, deliveries: Deliveries, clock: Clock, limit: int, delays: Callable[[], Iterator[float]]
    ) -> None:
        self._sink = sink
        self._deliveries = deliveries
        self._clock = clock
        self._limit = limit
        self._delays = delays
        self._pauses: Iterator[float] | None = None
        self._flying: dict[asyncio.Future[None], _Flight] = {}
        self._landed = asyncio.Event()
        self._last_answer = self._resume_at = 0.0
        self._welcome = False
        self._refusal_told, self._retry_told = Seldom(clock), Seldom(clock)
        self.sent = self.acked = self.refused = self.released = 0

    def send(self, delivery: Delivery, payload: bytes) -> None:
        """Publish a delivery with this payload."""
        self.sent += 1
        self._launch(delivery.message.topic, payload, delivery)

    def send_status(self, status: tuple[str, bytes]) -> asyncio.Future[None]:
        """Publish topic and payload retained; the outbox knows nothing of it."""
        return self._launch(*status, None)

    async def room(self) -> int:
        """Wait until something may be sent; returns how many messages."""
        await self.pause_over()
        while len(self._flying) >= self._limit:
            self._landed.clear()
            await self._landed.wait()
        return self._limit - len(self._flying)

    async def pause_over(self) -> None:
        """Wait for the end of the pause after a refusal for now."""
        while (pause_s := self._resume_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(pause_s)

    async def all_landed(self) -> None:
        """Wait until nothing is in flight."""
        while self._flying:
            self._landed.clear()
            await self._landed.wait()

    async def overdue(self, limit_s: float) -> str:
        """Return a reason once acknowledgements stay away for `limit_s`.

        A slow broker is not a lost one: each PUBACK restarts the time. But they come in order (MQTT 5.0, 4.6), so one
        that is overdue ten times was lost.
        """
        while True:
            now = self._clock.monotonic()
            oldest = next(iter(self._flying.values()), None)
            due = now + limit_s
            if oldest is not None:
                due = min(max(oldest.sent_at, self._last_answer) + limit_s, oldest.sent_at + _OVERDUE * limit_s)
                if due <= now:
                    return f"no acknowledgement for {oldest.topic} within {limit_s:g} s"
            await self._clock.sleep(due - now)

    def take_back(self) -> None:
        """The connection is gone: release what was in flight; late answers count no more."""
        lost = [flight.delivery for flight in self._flying.values() if flight.delivery is not None]
        self._flying.clear()
        self._welcome = False
        self.release(lost)

    def release(self, deliveries: list[Delivery]) -> None:
        """Give messages back to the outbox."""
        self.released += len(deliveries)
        self._deliveries.release(deliveries)

    def _launch(self, topic: str, payload: bytes, delivery: Delivery | None) -> asyncio.Future[None]:
        future = self._sink.publish(topic, payload, retain=delivery is None)
        self._flying[future] = _Flight(topic, delivery, self._clock.monotonic())
        future.add_done_callback(self._land)
        return future

    def _land(self, future: asyncio.Future[None]) -> None:
        flight = self._flying.get(future)
        error = future.exception()
        if flight is None or isinstance(error, NotConnected):
            return  # the end of the session has taken it back, or will
        del self._flying[future]
        self._last_answer = self._clock.monotonic()
        self._landed.set()
        if error is None:
            self._pauses = None
            self._welcome = True
            if flight.delivery is not None:
                self.acked += 1
                self._deliveries.ack(flight.delivery)
        elif isinstance(error, Permanent) and self._welcome:
            self._refuse(flight, str(error))
        elif isinstance(error, Retryable | Permanent):
            self._retry(flight, str(error))
        else:
            raise error

    def _refuse(self, flight: _Flight, reason: str) -> None:
        self.refused += 1
        if self._refusal_told.due("refused"):
            log.warning("message refused for good", topic=flight.topic, reason=reason, refused=self.refused)
        if flight.delivery is not None:
            self._deliveries.refuse(flight.delivery, reason)

    def _retry(self, flight: _Flight, reason: str) -> None:
        now = self._clock.monotonic()
        if now >= self._resume_at:  # one pause for all that were in flight together
            self._pauses = self._pauses or self._delays()
            self._resume_at = now + next(self._pauses)
        if self._retry_told.due("later"):
            log.warning("message refused for now", topic=flight.topic, reason=reason)
        if flight.delivery is not None:
            self.release([flight.delivery])
