"""Several servers that serve the same nodes: which one is asked (OPC UA Part 4, 6.6.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.core.clock import Clock
from gateway.core.deadline import deadline
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import Patience
from gateway.sources.opcua.port.session import Connect, Connection, Standing
from gateway.sources.opcua.source.failover import BEST, Failover, badness

log = structlog.get_logger("opcua")

RESUME_S: Final = 5.0
"""Longest try to go on with the session that was left behind, where there are other servers to turn to."""
_NAMED: Final = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A server that was asked how it stands; standing None where it could not be reached."""

    place: int
    standing: Standing | None
    problem: str = ""


def best(found: Sequence[Found]) -> Found | None:
    """The one that runs and has the highest ServiceLevel; of equal ones the one listed first; None if none is there."""
    there = [one for one in found if one.standing is not None]
    return min(there, key=lambda one: (*badness(one.standing), one.place), default=None)


class RedundantServers:
    """Connects to the best server of a device, one connection at a time, and says when another one should be taken.

    A session that was left behind on the present server is gone on with where that can be done; else the server that has
    just been lost is asked last. While connected, others are asked by a short session of their own, and only when there is a
    reason: the present server is not healthy (below 200 or not running), or it is not the first one. What was left behind
    on any other server is taken over to be closed: what it holds may be older than what was told since.
    """

    def __init__(self, config: OpcUaDevice, connect: Connect, clock: Clock) -> None:
        self._configs = [config, *(config.model_copy(update={"url": url}) for url in config.urls)]
        self._connect = connect
        self._clock = clock
        self._patience = [Patience(config.timeout / 1e9, clock.monotonic) for _ in self._configs]
        self._place = 0
        self._left: dict[int, Connection] = {}
        self._lost: int | None = None
        self._failover = Failover()

    @property
    def is_redundant(self) -> bool:
        """There is a choice."""
        return len(self._configs) > 1

    @property
    def url(self) -> str:
        """The server in use."""
        return self._configs[self._place].url

    @property
    def patience(self) -> Patience:
        """With the server in use."""
        return self._patience[self._place]

    @property
    def note(self) -> str:
        """What people should know, empty on the first server."""
        return f"on server {self._place + 1} of {len(self._configs)}, {self.url}" if self._place else ""

    def leave(self, connection: Connection) -> None:
        """The connection in use is closed; perhaps its session is not."""
        if connection.left_behind:
            self._left[self._place] = connection

    async def resume(self) -> Connection | None:
        """Go on with the session that was left behind on the present server. None where there is none, the server has
        forgotten it, or others should be asked: then `open`. Raises NotConnected where there are no others."""
        left = self._left.get(self._place)
        if left is None:
            return None
        self.patience.begin()
        try:
            async with deadline(RESUME_S if self.is_redundant else None):
                knows = await left.revive()
        except (NotConnected, TimeoutError) as error:
            if not self.is_redundant:
                raise
            log.debug("%s: %s cannot be gone on with: %s", self._configs[0].name, self.url, error)
            return None
        del self._left[self._place]
        return left if knows else None

    async def drop(self) -> None:
        """End the session that was left behind on the present server, as far as it can be reached."""
        try:
            left = await self._taken_over(self._place)
        except NotConnected as error:
            self._left.pop(self._place, None)
            log.debug("%s: a session stays behind: %s", self._configs[0].name, error)
        else:
            if left is not None:
                await left.close()

    async def open(self) -> Connection:
        """A new connection to the best server. Raises NotConnected."""
        if not self.is_redundant:
            return await self._connected(self._configs[0])
        found = await self._ask_all()
        chosen = best(found)
        if chosen is None:
            raise NotConnected("no server can be reached: " + "; ".join(one.problem for one in found)[: 3 * _NAMED])
        self._place, self._lost = chosen.place, chosen.place
        self._failover.opened(self._clock.monotonic(), is_first=chosen.place == 0)
        return await self._connected(self._configs[chosen.place])

    async def _connected(self, config: OpcUaDevice) -> Connection:
        self.patience.begin()
        return await self._connect(config, self._clock, self.patience)

    async def judge(self, connection: Connection) -> None:
        """Call it now and then while connected. Raises NotConnected when another server should be taken: `open` does so."""
        here = await connection.standing()
        if not self._failover.wants_to_ask(here, self._clock.monotonic()):
            return
        if here.is_healthy:
            first = (await self._ask(0)).standing
            if self._failover.returns(here, first, self._clock.monotonic()):
                self._lost = self._place
                raise NotConnected(f"comes back to {self._configs[0].url}: {first} there, {here} at {self.url}")
            return
        other = best([await self._ask(place) for place in range(len(self._configs)) if place != self._place])
        if other is not None and self._failover.leaves(here, other.standing, self._clock.monotonic()):
            there = self._configs[other.place].url
            raise NotConnected(f"fails over to {there}: {other.standing} there, {here} at {self.url}")

    async def _ask_all(self) -> list[Found]:
        """All servers, but none after one that could not be better."""
        places = sorted(range(len(self._configs)), key=lambda place: (place == self._lost, place))
        found: list[Found] = []
        for place in places:
            found.append(await self._ask(place))
            standing = found[-1].standing
            if standing is not None and standing.is_running and standing.level == BEST:
                break
        return found

    async def _ask(self, place: int) -> Found:
        """In a session of its own, without a subscription."""
        try:
            connection = await self._taken_over(place)
            if connection is None:
                config = self._configs[place].model_copy(update={"mode": "poll"})
                connection = await self._connect(config, self._clock, self._patience[place])
            try:
                return Found(place, await connection.standing())
            finally:
                await connection.close()
        except NotConnected as error:
            return Found(place, None, str(error)[:_NAMED])

    async def _taken_over(self, place: int) -> Connection | None:
        """What was left behind there, to be closed: some controllers have no more than one or two sessions."""
        left = self._left.get(place)
        if left is None:
            return None
        knows = await left.revive()
        del self._left[place]
        return left if knows else None
