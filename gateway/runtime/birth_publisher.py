"""What is said on a connection beside the messages: the retained status, or what a layout's session announces."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports.layout import Session
from gateway.core.ports.sink import Properties, Sink
from gateway.runtime.in_flight import Flights

log = structlog.get_logger("publisher")

_RETRY_S: Final = 5.0
_CAREFUL_AFTER: Final = 2
_LEAST_SPAN_S: Final = 120.0

Told = Sequence["asyncio.Future[None]"]


class Status(Protocol):
    """What the retained status topic says. Called on the event loop."""

    def current(self) -> tuple[str, bytes]:
        """Topic and payload of the status as it is now."""
        ...

    def changed(self) -> Awaitable[None]:
        """Returns once there is something new since `current` or this was last called. Cancellable."""
        ...


class Announcer:
    """Tells the status first on every connection and at each change, only the newest; with a session its births and news.

    Of a session nothing else may be sent before its births have arrived (`ready`). When two connections in a row were ended
    by the broker meanwhile, births go one at a time. The one that was alone in flight `tries` times, over two minutes at
    least, while those before it arrived, is what the broker hangs up for: the session goes on without it. What is blamed
    goes last, so that it holds up nothing but the data.
    """

    def __init__(
        self,
        flights: Flights,
        sink: Sink,
        status: Status,
        status_type: str,
        session: Session | None,
        clock: Clock,
        tries: int,
    ) -> None:
        self._flights = flights
        self._sink = sink
        self._status = status
        self._properties = Properties(status_type)
        self._session = session
        self._clock = clock
        self._tries = tries
        self._cut_short = 0
        self._alone = ""
        self._blamed: Counter[str] = Counter()
        self._since: dict[str, float] = {}
        self.ready = asyncio.Event()

    def begin(self) -> Told:
        """Send what goes first. Raises Permanent when this broker cannot take it."""
        if self._session is None:
            self.ready.set()
            return [self._send_status()]
        births = self._session.births(self._sink.most_bytes)
        return [] if self._cut_short >= _CAREFUL_AFTER else self._flights.tell(births)

    async def run(self, told: Told) -> str:
        """Never returns: sees `told` home, then tells every change. Raises Permanent as `begin` does."""
        if self._session is not None and self._cut_short >= _CAREFUL_AFTER:
            told = await self._one_by_one(self._session)
        while True:
            await _landed(told)
            refused = [isinstance(future.exception(), Retryable | Permanent) for future in told]
            if not (refused and refused[0]):  # the first is that without which the others are nothing
                self._cut_short = 0
                self.ready.set()
            if any(refused):  # an access list can be mended
                await self._clock.sleep(_RETRY_S)
            else:
                await self._status.changed()
            told = self.news()

    def news(self) -> Told:
        """Send the status as it is now; of a session what is new."""
        if self._session is None:
            return [self._send_status()]
        return self._flights.tell(self._session.news(self._sink.most_bytes))

    def farewell(self, final: tuple[str, bytes]) -> Told:
        """Send what goes last before a proper end: `final`, or the session's death."""
        if self._session is None:
            return [self._flights.send_status(final, self._properties)]
        return self._flights.tell(self._session.death())

    def ended(self, broken: str) -> None:
        """The connection is over. broken: why the broker, and not this side, has ended it."""
        if self._session is not None and broken and not self.ready.is_set():
            self._cut_short += 1
            if self._alone:
                self._blame(self._session, self._alone, broken)
        self.ready.clear()
        self._alone = ""

    async def _one_by_one(self, session: Session) -> Told:
        first, *others = session.births(self._sink.most_bytes)
        told: Told = []
        for packet in (first, *sorted(others, key=lambda other: self._blamed[other.topic])):
            self._alone = packet.topic
            told = [*told, *self._flights.tell([packet])]
            await _landed(told)
            self._blamed.pop(packet.topic, None)
            self._since.pop(packet.topic, None)
        self._alone = ""
        return told

    def _blame(self, session: Session, topic: str, broken: str) -> None:
        now = self._clock.monotonic()
        self._blamed[topic] += 1
        since = self._since.setdefault(topic, now)
        count = self._blamed[topic]
        if count >= self._tries and now - since >= _LEAST_SPAN_S:
            reason = f"sending it ended the connection {count} times in {now - since:.0f} s; at last: {broken}"
            if session.refused(topic, reason, until="restart"):
                log.error("set aside", topic=topic, reason=reason)

    def _send_status(self) -> "asyncio.Future[None]":
        return self._flights.send_status(self._status.current(), self._properties)


async def _landed(told: Told) -> None:
    """Return when all have been answered; with the connection gone never: whoever owns it ends this."""
    if told:
        await asyncio.wait(told)
    if any(isinstance(future.exception(), NotConnected) for future in told):
        await asyncio.get_running_loop().create_future()
