"""Several servers that serve the same nodes: which one is asked (OPC UA Part 4, 6.6.2)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.connection import Connect, Connection, Standing

log = logging.getLogger(__name__)

RETURN_S: Final = 60.0
"""The first server has to be the best for so long before it is taken back."""
BEST: Final = 255
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
    return min(there, key=lambda one: (*_badness(one.standing), one.place), default=None)


def is_better(other: Standing, than: Standing) -> bool:
    """Worth a change."""
    return _badness(other) < _badness(than)


def _badness(standing: Standing | None) -> tuple[bool, int]:
    return (True, BEST) if standing is None else (not standing.is_running, BEST - standing.level)


class Servers:
    """Connects to the best server of a device, one connection at a time, and says when another one should be taken.

    A server that has just been lost is asked last. While connected, others are asked by a short session of their own, and
    only when there is a reason: the present server is not healthy (below 200 or not running), or it is not the first one.
    """

    def __init__(self, config: OpcUaDevice, connect: Connect, clock: Clock) -> None:
        self._configs = [config, *(config.model_copy(update={"url": url}) for url in config.urls)]
        self._connect = connect
        self._clock = clock
        self._place = 0
        self._lost: int | None = None
        self._asked_s = 0.0
        self._good_since_s: float | None = None

    @property
    def is_redundant(self) -> bool:
        """There is a choice."""
        return len(self._configs) > 1

    @property
    def url(self) -> str:
        """The server in use."""
        return self._configs[self._place].url

    @property
    def note(self) -> str:
        """What people should know, empty on the first server."""
        return f"on server {self._place + 1} of {len(self._configs)}, {self.url}" if self._place else ""

    async def open(self) -> Connection:
        """A connection to the best server. Raises NotConnected."""
        if not self.is_redundant:
            return await self._connect(self._configs[0], self._clock)
        found = await self._ask_all()
        chosen = best(found)
        if chosen is None:
            raise NotConnected("no server can be reached: " + "; ".join(one.problem for one in found)[: 3 * _NAMED])
        self._place, self._lost = chosen.place, chosen.place
        self._good_since_s, self._asked_s = None, self._clock.monotonic()
        return await self._connect(self._configs[chosen.place], self._clock)

    async def judge(self, connection: Connection) -> None:
        """Call it now and then while connected. Raises NotConnected when another server should be taken: `open` does so."""
        here = await connection.standing()
        if here.is_healthy:
            await self._come_back(here)
            return
        self._good_since_s = None
        other = best([await self._ask(place) for place in range(len(self._configs)) if place != self._place])
        if other is not None and other.standing is not None and is_better(other.standing, here):
            there = self._configs[other.place].url
            raise NotConnected(f"fails over to {there}: {other.standing} there, {here} at {self.url}")

    async def _come_back(self, here: Standing) -> None:
        now_s = self._clock.monotonic()
        if self._place == 0 or now_s - self._asked_s < RETURN_S / 2:
            return
        self._asked_s = now_s
        standing = (await self._ask(0)).standing
        if standing is None or not standing.is_healthy or is_better(here, standing):
            self._good_since_s = None
            return
        if self._good_since_s is None:
            self._good_since_s = now_s
        if now_s - self._good_since_s >= RETURN_S:
            self._lost = self._place
            raise NotConnected(f"comes back to {self._configs[0].url}: {standing} there, {here} at {self.url}")

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
        config = self._configs[place].model_copy(update={"mode": "poll"})
        try:
            connection = await self._connect(config, self._clock)
            try:
                return Found(place, await connection.standing())
            finally:
                await connection.close()
        except NotConnected as error:
            return Found(place, None, str(error)[:_NAMED])
