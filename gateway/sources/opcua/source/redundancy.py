"""Several servers that serve the same nodes: which one is used (OPC UA Part 4, 6.6.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.core.clock import Clock
from gateway.core.deadline import deadline
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.session import Connect, ServerHealth, Session
from gateway.sources.opcua.source.failover import BEST, Failover, badness
from gateway.sources.opcua.source.intervals import DEFAULT_INTERVALS, Intervals

log = structlog.get_logger("opcua")

_ERROR_CHARACTERS: Final = 200
"""Of one server's error in a sentence about all of them."""


@dataclass(frozen=True, slots=True)
class AskedServer:
    """A server that was asked for its state."""

    place: int
    """Its place in the configuration, 0 for `url`."""
    health: ServerHealth | None
    """None where it could not be reached."""
    problem: str = ""
    """Why it could not be reached."""


def best(asked: Sequence[AskedServer]) -> AskedServer | None:
    """Return the one that runs and has the highest ServiceLevel; of equal ones the first listed; None if none is there."""
    there = [one for one in asked if one.health is not None]
    return min(there, key=lambda one: (*badness(one.health), one.place), default=None)


class RedundantServers:
    """Connects to the best server of a device, one session at a time, and decides when to take another one.

    A session that was left behind on the present server is resumed where that is possible; otherwise the server that was
    just lost is asked last. While connected, others are asked by a short session of their own, and only when there is a
    reason: the present server is not healthy (below 200 or not running), or it is not the first one. A session left behind
    on any other server is resumed only to be closed: what it queued may be older than what was received since.
    """

    def __init__(
        self, config: OpcUaDevice, connect: Connect, clock: Clock, intervals: Intervals = DEFAULT_INTERVALS
    ) -> None:
        """Begin with the first server of the configuration; connects nothing."""
        self._configs = [config, *(config.model_copy(update={"url": url}) for url in config.urls)]
        self._connect = connect
        self._clock = clock
        self._resume_most_s = intervals.resume_most_s
        self._timeouts = [AdaptiveTimeout(config.timeout / 1e9, clock.monotonic) for _ in self._configs]
        self._place = 0
        self._left: dict[int, Session] = {}
        self._lost: int | None = None
        self._failover = Failover(intervals)

    @property
    def is_redundant(self) -> bool:
        """Return whether there is more than one server."""
        return len(self._configs) > 1

    @property
    def url(self) -> str:
        """Return the address of the server in use."""
        return self._configs[self._place].url

    @property
    def timeout(self) -> AdaptiveTimeout:
        """Return the timeout of the server in use, which adapts to how quickly it answers."""
        return self._timeouts[self._place]

    @property
    def state_text(self) -> str:
        """Return a sentence for the device state, empty on the first server."""
        return f"on server {self._place + 1} of {len(self._configs)}, {self.url}" if self._place else ""

    def on_closed(self, session: Session) -> None:
        """Record that the session in use is closed; keep it where the server does."""
        if session.left_behind:
            self._left[self._place] = session

    async def resume(self) -> Session | None:
        """Resume the session that was left behind on the present server.

        None where there is none, the server has forgotten it, or others should be asked: then call `open`. Raises
        NotConnected where there are no others.
        """
        left = self._left.get(self._place)
        if left is None:
            return None
        self.timeout.on_connecting()
        try:
            async with deadline(self._resume_most_s if self.is_redundant else None):
                is_known = await left.resume()
        except (NotConnected, TimeoutError) as error:
            if not self.is_redundant:
                raise
            log.debug("session cannot be resumed", device=self._configs[0].name, server=self.url, error=str(error))
            return None
        del self._left[self._place]
        return left if is_known else None

    async def drop(self) -> None:
        """End the session that was left behind on the present server, where the server can be reached."""
        try:
            left = await self._resumed(self._place)
        except NotConnected as error:
            self._left.pop(self._place, None)
            log.debug("session stays behind", device=self._configs[0].name, server=self.url, error=str(error))
        else:
            if left is not None:
                await left.close()

    async def open(self) -> Session:
        """Open a new session to the best server. Raises NotConnected."""
        if not self.is_redundant:
            return await self._connected(self._configs[0])
        asked = await self._ask_all()
        chosen = best(asked)
        if chosen is None:
            problems = "; ".join(one.problem for one in asked)[: 3 * _ERROR_CHARACTERS]
            raise NotConnected(f"no server can be reached: {problems}")
        self._place, self._lost = chosen.place, chosen.place
        self._failover.on_connected(self._clock.monotonic(), is_first=chosen.place == 0)
        return await self._connected(self._configs[chosen.place])

    async def _connected(self, config: OpcUaDevice) -> Session:
        self.timeout.on_connecting()
        return await self._connect(config, self._clock, self.timeout)

    async def evaluate(self, session: Session) -> None:
        """Check whether to stay; call it now and then while connected.

        Raises NotConnected when another server should be taken, as `open` then does.
        """
        here = await session.health()
        if not self._failover.wants_to_ask(here, self._clock.monotonic()):
            return
        if here.is_healthy:
            first = (await self._ask(0)).health
            if self._failover.returns(here, first, self._clock.monotonic()):
                self._lost = self._place
                raise NotConnected(f"comes back to {self._configs[0].url}: {first} there, {here} at {self.url}")
            return
        other = best([await self._ask(place) for place in range(len(self._configs)) if place != self._place])
        if other is not None and self._failover.leaves(here, other.health, self._clock.monotonic()):
            there = self._configs[other.place].url
            raise NotConnected(f"fails over to {there}: {other.health} there, {here} at {self.url}")

    async def _ask_all(self) -> list[AskedServer]:
        """Ask all servers, but none after one that could not be better."""
        places = sorted(range(len(self._configs)), key=lambda place: (place == self._lost, place))
        asked: list[AskedServer] = []
        for place in places:
            asked.append(await self._ask(place))
            health = asked[-1].health
            if health is not None and health.is_running and health.level == BEST:
                break
        return asked

    async def _ask(self, place: int) -> AskedServer:
        """Ask in a session of its own, without a subscription."""
        try:
            session = await self._resumed(place)
            if session is None:
                config = self._configs[place].model_copy(update={"mode": "poll"})
                session = await self._connect(config, self._clock, self._timeouts[place])
            try:
                return AskedServer(place, await session.health())
            finally:
                await session.close()
        except NotConnected as error:
            return AskedServer(place, None, str(error)[:_ERROR_CHARACTERS])

    async def _resumed(self, place: int) -> Session | None:
        """Resume what was left behind there, to be closed: some controllers have no more than one or two sessions."""
        left = self._left.get(place)
        if left is None:
            return None
        is_known = await left.resume()
        del self._left[place]
        return left if is_known else None
