"""Messages on their way to the broker, and what each answer means for the outbox."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.log_throttle import LogThrottle
from gateway.core.ports.layout import Announcing, Layout
from gateway.core.ports.outbox import Deliveries, Delivery
from gateway.core.ports.sink import Packet, Properties, Sink
from gateway.runtime.poison_messages import Suspects, Verdict

log = structlog.get_logger("publisher")

_OVERDUE = 10
_MOST_HELD_UP = 200
_LOOK_S = 1.0


@dataclass(slots=True, eq=False)
class _Flight:
    """A delivery whose packets are on their way, or a status, which has none. left: packets without PUBACK."""

    delivery: Delivery | None
    left: int = 1
    over: bool = False


@dataclass(slots=True, eq=False)
class _Flying:
    """One packet without its PUBACK. overtaken_at: when one that was sent later had its answer."""

    topic: str
    flight: _Flight
    sent_at: float
    overtaken_at: float = math.inf


class Flights:
    """Up to `limit` packets in flight over one sink; each delivery ends in exactly one ack, refuse or release.

    A delivery is acknowledged when all its packets are; the first packet that is refused decides for all of it. A refusal
    for now gives the message back and holds all sending up for a growing pause; by a broker that takes the others, it holds
    up this message alone, and again and again it is a refusal for good (`Suspects`). A refusal for good by a broker that
    has accepted nothing on this connection yet is one for now: it refuses us (an access list with a mistake), not the
    message, and a backlog must not be thrown away for that.
    """

    def __init__(
        self,
        sink: Sink,
        deliveries: Deliveries,
        layout: Layout,
        clock: Clock,
        limit: int,
        delays: Callable[[], Iterator[float]],
        suspects: Suspects,
        session: Announcing | None = None,
    ) -> None:
        """session: numbers each packet immediately before it is sent, in the order of sending, and hears of refusals."""
        self._sink = sink
        self._deliveries = deliveries
        self._layout = layout
        self._clock = clock
        self._limit = limit
        self._delays = delays
        self._suspects = suspects
        self._session = session
        self._pauses: Iterator[float] | None = None
        self._open: dict[_Flight, Delivery] = {}
        self._flying: dict[asyncio.Future[None], _Flying] = {}
        self._held_up: dict[Delivery, _Flight] = {}
        self._turn = asyncio.Lock()
        self._departing: set[asyncio.Task[None]] = set()
        self._landed = asyncio.Event()
        self._last_answer = self._resume_at = 0.0
        self._usual = 1  # packets of a delivery, as the last one had
        self._welcome = False
        self._refusal_told, self._retry_told = LogThrottle(clock), LogThrottle(clock)
        self.sent = self.acked = self.refused = self.released = 0

    async def send(self, delivery: Delivery) -> None:
        """Publish a delivery, each packet as soon as there is room; one that is held up, later (`retry`). Takes the
        delivery over at once, and keeps it when cancelled: `take_back` gives it back."""
        flight = _Flight(delivery)
        self._open[flight] = delivery
        message = delivery.message
        if len(self._held_up) < _MOST_HELD_UP and self._suspects.delay_s(message, self._clock.monotonic()):
            self._held_up[delivery] = flight
        else:
            await self._depart(delivery, flight)

    async def retry(self) -> str:
        """Never returns: sends what was held up, when its time has come."""
        while True:
            await self._clock.sleep(_LOOK_S)
            await self.pause_over()
            for delivery, flight in list(self._held_up.items()):
                if not self._suspects.delay_s(delivery.message, self._clock.monotonic()):
                    del self._held_up[delivery]
                    await self._depart(delivery, flight)

    async def _depart(self, delivery: Delivery, flight: _Flight) -> None:
        try:
            packets = self._layout.packets(delivery.message, hist=not delivery.live, most_bytes=self._sink.most_bytes)
        except Permanent as error:
            self._refuse(_Flying(delivery.message.topic, flight, self._clock.monotonic()), str(error))
            return
        flight.left = self._usual = len(packets)
        self.sent += 1
        alone = self._suspects.alone(delivery.message)
        if len(packets) == 1 and not alone and not self._turn.locked() and len(self._flying) < self._limit:
            self._launch(packets[0], flight)  # nearly always, and three times as fast
            return
        # a task of its own: one who stops waiting for it, to say goodbye, leaves no message half sent
        departing = asyncio.create_task(self._launch_all(packets, flight, alone=alone), name="a message of several packets")
        self._departing.add(departing)
        departing.add_done_callback(self._departing.discard)
        await asyncio.shield(departing)

    async def _launch_all(self, packets: Sequence[Packet], flight: _Flight, *, alone: bool) -> None:
        async with self._turn:
            if alone:
                await self.all_landed()
            for packet in packets:
                await self._free()
                if flight.over:
                    return
                self._launch(packet, flight)
            if alone:
                await self.all_landed()

    def send_status(self, status: tuple[str, bytes], properties: Properties) -> asyncio.Future[None]:
        """Publish topic and payload retained; the outbox knows nothing of it."""
        return self._launch(Packet(*status, retain=True, properties=properties), _Flight(None))

    def tell(self, packets: Sequence[Packet]) -> list[asyncio.Future[None]]:
        """Publish packets of which the outbox knows nothing, at once."""
        return [self._launch(packet, _Flight(None)) for packet in packets]

    async def room(self) -> int:
        """Wait until something may be sent; returns how many deliveries, if they are like the last one."""
        await self.pause_over()
        await self._free()
        return max(1, (self._limit - len(self._flying)) // self._usual)

    async def pause_over(self) -> None:
        """Wait for the end of the pause after a refusal for now."""
        while (pause_s := self._resume_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(pause_s)

    async def all_landed(self) -> None:
        """Wait until nothing is in flight."""
        while self._flying:
            self._landed.clear()
            await self._landed.wait()

    async def emptied(self) -> None:
        """Wait until every packet of every message that was sent has left, and nothing is in flight."""
        await asyncio.gather(*self._departing)
        await self.all_landed()

    async def overdue(self, limit_s: float) -> str:
        """Return a reason once acknowledgements stay away for `limit_s`.

        A slow broker is not a lost one: each PUBACK restarts the time. But they come in order (MQTT 5.0, 4.6), so one
        that has been overtaken for ten times as long was lost.
        """
        while True:
            now = self._clock.monotonic()
            oldest = next(iter(self._flying.values()), None)
            due = now + limit_s
            if oldest is not None:
                due = min(max(oldest.sent_at, self._last_answer) + limit_s, oldest.overtaken_at + _OVERDUE * limit_s)
                if due <= now:
                    return f"no acknowledgement for {oldest.topic} within {limit_s:g} s"
            await self._clock.sleep(due - now)

    def take_back(self, broken: str = "") -> None:
        """The connection is gone: release what was in flight; late answers count no more. broken: why the broker, and
        not this side, has ended it."""
        if broken:
            self._blame(broken)
        for departing in self._departing:
            departing.cancel()
        lost = list(self._open.values())
        self._open.clear()
        self._flying.clear()
        self._held_up.clear()
        self._welcome = False
        self._suspects.reconnected()
        self.release(lost)

    def _blame(self, reason: str) -> None:
        flights = {flying.flight: flying.topic for flying in self._flying.values() if not flying.flight.over}
        messages = [flight.delivery.message for flight in flights if flight.delivery is not None]
        now = self._clock.monotonic()
        if self._suspects.broke(messages, now, alone=len(flights) == len(messages) == 1):
            record = self._suspects.record(messages[0], now)
            flight, topic = flights.popitem()
            self._refuse(_Flying(topic, flight, now), f"sending it ended the connection {record}; at last: {reason}")

    def release(self, deliveries: list[Delivery]) -> None:
        """Give messages back to the outbox."""
        self.released += len(deliveries)
        self._deliveries.release(deliveries)

    async def _free(self) -> None:
        while len(self._flying) >= self._limit:
            self._landed.clear()
            await self._landed.wait()

    def _launch(self, packet: Packet, flight: _Flight) -> asyncio.Future[None]:
        packet = self._session.numbered(packet) if self._session else packet
        future = self._sink.publish(
            packet.topic, packet.payload, retain=packet.retain, properties=packet.properties, qos=packet.qos
        )
        self._flying[future] = _Flying(packet.topic, flight, self._clock.monotonic())
        future.add_done_callback(self._land)
        return future

    def _land(self, future: asyncio.Future[None]) -> None:
        flying = self._flying.get(future)
        error = future.exception()
        if flying is None or isinstance(error, NotConnected):
            return  # the end of the session has taken it back, or will
        del self._flying[future]
        self._last_answer = self._clock.monotonic()
        oldest = next(iter(self._flying.values()), None)
        if oldest is not None and oldest.sent_at < flying.sent_at:
            oldest.overtaken_at = min(oldest.overtaken_at, self._last_answer)
        self._landed.set()
        if error is not None and self._session is not None:
            for_good = isinstance(error, Permanent) and self._welcome
            self._session.refused(flying.topic, str(error), until="reconnect" if for_good else "later")
        if error is None:
            self._accepted(flying.flight)
        elif flying.flight.over:
            return  # another packet has decided
        elif isinstance(error, Permanent) and self._welcome:
            self._refuse(flying, str(error))
        elif isinstance(error, Retryable | Permanent):
            self._refused_for_now(flying, str(error))
        else:
            raise error

    def _accepted(self, flight: _Flight) -> None:
        self._pauses = None
        self._welcome = True
        flight.left -= 1
        if flight.left == 0 and (delivery := self._end(flight)):
            self.acked += 1
            self._suspects.accepted(delivery.message)
            self._deliveries.ack(delivery)

    def _refuse(self, flying: _Flying, reason: str) -> None:
        self.refused += 1
        if self._refusal_told.is_due("refused"):
            log.warning("message refused for good", topic=flying.topic, reason=reason, refused=self.refused)
        if delivery := self._end(flying.flight):
            self._deliveries.refuse(delivery, reason)

    def _refused_for_now(self, flying: _Flying, reason: str) -> None:
        delivery, now = flying.flight.delivery, self._clock.monotonic()
        verdict = self._suspects.refused(delivery.message, now) if delivery else Verdict.PAUSE
        if delivery and verdict is Verdict.POISON:
            self._refuse(flying, f"{reason}, {self._suspects.record(delivery.message, now)}")
        elif delivery and verdict is Verdict.HOLD and len(self._held_up) < _MOST_HELD_UP:
            self._hold_up(flying, delivery, reason)
        else:
            self._pause(flying, reason)

    def _hold_up(self, flying: _Flying, delivery: Delivery, reason: str) -> None:
        if self._retry_told.is_due("alone"):
            log.warning("message refused while others pass", topic=flying.topic, reason=reason)
        self._end(flying.flight)
        delivery.live = False  # some of its packets may have arrived
        self._held_up[delivery] = again = _Flight(delivery)
        self._open[again] = delivery

    def _pause(self, flying: _Flying, reason: str) -> None:
        now = self._clock.monotonic()
        if now >= self._resume_at:  # one pause for all that were in flight together
            self._pauses = self._pauses or self._delays()
            self._resume_at = now + next(self._pauses)
        if self._retry_told.is_due("later"):
            log.warning("message refused for now", topic=flying.topic, reason=reason)
        if delivery := self._end(flying.flight):
            self.release([delivery])

    def _end(self, flight: _Flight) -> Delivery | None:
        """The delivery of a flight that is over now, if it has one and had not ended before."""
        flight.over = True
        return self._open.pop(flight, None)
