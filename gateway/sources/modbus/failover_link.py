"""The connection as the source uses it: opened again where the peer only closed an idle one, and a second address."""

import asyncio
from collections.abc import Sequence

from gateway.core.errors import NotConnected
from gateway.sources.modbus.counters import ConnectionCounters
from gateway.sources.modbus.link import BadReply, ExceptionReply, HungUp, Link, NoReply, Refusal
from gateway.sources.modbus.types import Table


class Line:
    """One of several links to the same units, one open at a time; the others are backups.

    Many controllers close a connection on which nothing was asked for some seconds, some now and then in the middle. Where
    the connection had served, that is no failure yet: it is opened again at once, and when the peer closes that one as well
    before it served, with the next request. What cannot be opened again is NotConnected, within a second.

    A request that was lost with its connection is asked once more, alone. A connection lost at that as well is the request's
    doing: some devices close instead of answering with an exception.
    """

    def __init__(self, links: Sequence[Link], counters: ConnectionCounters) -> None:
        """links: the one that is wanted, then those that replace it."""
        self._links = links
        self._counters = counters
        self._turn = 0
        self._timeout_s = 0.0
        self._is_open = self._served = self._is_reopened = self._is_resting = False
        self._opening = asyncio.Lock()
        self._answered: tuple[int, Table, int, int, float] | None = None

    @property
    def _link(self) -> Link:
        return self._links[self._turn]

    @property
    def turn(self) -> int:
        """Which of the links is or was open last."""
        return self._turn

    @property
    def has_served(self) -> bool:
        """Whether this connection has brought a reply."""
        return self._served

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
            async with self._opening:
                await self._reopen()
        else:
            raise NotConnected("closed by the device before it answered anything; does it allow one more connection?")

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float) -> bytes:
        """See `Link.read`. Raises Refusal and HungUp as well, where the peer closes the connection at this request."""
        wanted = unit, table, start, count, timeout_s
        if self._opening.locked() or not (self._link.connected or not (self._served or self._is_reopened)):
            async with self._opening:
                await self._reopen()
        had_served, link = self._served, self._link
        was_up = link.connected
        try:
            return await self._ask(link, *wanted)
        except NotConnected as error:
            if not had_served:
                if was_up:
                    raise HungUp(str(error)) from error
                raise
        async with self._opening:  # others wait, so that they are not lost with a connection that this one ends
            await self._reopen()
            try:
                return await self._ask(self._link, *wanted)
            except NotConnected as error:
                raise Refusal("the connection is closed instead of a reply") from error

    async def try_first(self) -> bool:
        """While a backup is in use: ask the first address what the backup has just answered, beside it. When it answers it
        takes over, and what is under way on the backup is asked again. False when it does not."""
        first, wanted = self._links[0], self._answered
        if wanted is None:
            return False
        try:
            await first.open(self._timeout_s)
            await first.read(*wanted)
        except (NotConnected, NoReply, BadReply):
            first.close()
            return False
        except ExceptionReply:
            pass
        except BaseException:  # cancelled: nobody else knows that this connection is open
            first.close()
            raise
        async with self._opening:
            backup, self._turn = self._link, 0
            self._served, self._is_reopened, self._is_resting = True, False, False
            self._counters.connects += 1
            backup.close()
        return True

    async def _ask(self, link: Link, unit: int, table: Table, start: int, count: int, timeout_s: float) -> bytes:
        try:
            payload = await link.read(unit, table, start, count, timeout_s)
        except (ExceptionReply, BadReply):
            self._served = True
            raise
        self._served, self._answered = True, (unit, table, start, count, timeout_s)
        return payload

    async def _reopen(self) -> None:
        if not self._link.connected:
            await self._link.open(self._timeout_s)
            self._counters.connects += 1
            self._served, self._is_reopened, self._is_resting = False, True, False

    def close(self) -> None:
        """Let go of the connection. Never raises."""
        self._link.close()
