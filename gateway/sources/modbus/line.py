"""The connection as the source uses it: opened again where the peer only closed an idle one, and a second address."""

import asyncio
from collections.abc import Sequence

from gateway.core.errors import NotConnected
from gateway.sources.modbus.counters import ConnectionCounters
from gateway.sources.modbus.link import BadReply, ExceptionReply, Link
from gateway.sources.modbus.types import Table


class Line:
    """One of several links to the same units, one open at a time; the others are backups.

    Many controllers close a connection on which nothing was asked for some seconds, some now and then in the middle. Where
    the connection had served, that is no failure yet: it is opened again at once, and when the peer closes that one as well
    before it served, with the next request. What cannot be opened again is NotConnected, within a second.
    """

    def __init__(self, links: Sequence[Link], counters: ConnectionCounters) -> None:
        """links: the one that is wanted, then those that replace it."""
        self._links = links
        self._counters = counters
        self._turn = 0
        self._timeout_s = 0.0
        self._is_open = self._served = self._is_reopened = self._is_resting = False
        self._opening = asyncio.Lock()

    @property
    def _link(self) -> Link:
        return self._links[self._turn]

    @property
    def turn(self) -> int:
        """Which of the links is or was open last."""
        return self._turn

    async def open(self, timeout_s: float) -> None:
        """Connect: to the first link, or to the next one when the last connection gave no reply. Raises NotConnected."""
        begin = self._turn + 1 if self._is_open and not self._served else 0
        self._timeout_s, self._is_open = timeout_s, False
        self._served = self._is_reopened = self._is_resting = False
        reasons = []
        for place in range(len(self._links)):
            self._turn = (begin + place) % len(self._links)
            try:
                await self._link.open(timeout_s)
            except NotConnected as error:
                reasons.append(str(error))
            else:
                self._counters.connects += 1
                self._is_open = True
                return
        raise NotConnected("; ".join(reasons))

    async def look(self) -> None:
        """While nothing is under way: notice that the peer is gone. Raises NotConnected."""
        if self._link.connected or self._is_resting:
            return
        if self._is_reopened and not self._served:
            self._is_resting = True
        elif self._served:
            await self._reopen()
        else:
            raise NotConnected("closed by the device before it answered anything; does it allow one more connection?")

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float) -> bytes:
        """See `Link.read`. On a connection that had served and is lost meanwhile, it is asked once more on a new one."""
        if not self._link.connected and (self._served or self._is_reopened):
            await self._reopen()
        had_served = self._served
        try:
            payload = await self._links[self._turn].read(unit, table, start, count, timeout_s)
        except (ExceptionReply, BadReply):
            self._served = True
            raise
        except NotConnected:
            if not had_served:
                raise
        else:
            self._served = True
            return payload
        await self._reopen()
        return await self._once_more(unit, table, start, count, timeout_s)

    async def _once_more(self, unit: int, table: Table, start: int, count: int, timeout_s: float) -> bytes:
        try:
            payload = await self._link.read(unit, table, start, count, timeout_s)
        except (ExceptionReply, BadReply):
            self._served = True
            raise
        self._served = True
        return payload

    async def _reopen(self) -> None:
        async with self._opening:
            if not self._link.connected:
                await self._link.open(self._timeout_s)
                self._counters.connects += 1
                self._served, self._is_reopened, self._is_resting = False, True, False

    def close(self) -> None:
        """Let go of the connection. Never raises."""
        self._link.close()
