"""The connection as the source uses it: opened again where the peer only closed an idle one, and a second address."""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from gateway.core.errors import NotConnected
from gateway.core.loop_watch import Arrival
from gateway.core.undo import undone_on_error
from gateway.sources.modbus.counters import ConnectionCounters
from gateway.sources.modbus.link import BadReply, ExceptionReply, HungUp, Link, NoReply, Refusal
from gateway.sources.modbus.types import Table


class _State(Enum):
    """What the connection is worth."""

    CLOSED = auto()
    """Not opened yet, or the last attempt failed."""
    OPENED = auto()
    """Opened by the supervisor; no reply yet."""
    SERVING = auto()
    """It has brought a reply."""
    REOPENED = auto()
    """Opened again after the peer closed one that was serving; no reply yet."""
    RESTING = auto()
    """The peer closed the reopened one as well: it is opened with the next request."""


class FailoverLink:
    """One of several links to the same units, one open at a time; the others are backups.

    Many controllers close a connection on which nothing was asked for some seconds, some now and then in the middle. Where
    the connection had served, that is no failure yet: it is opened again at once, and when the peer closes that one as well
    before it served, with the next request. What cannot be opened again is NotConnected, within a second.

    A request that was lost with its connection is sent once more, alone. If that ends the connection as well, the request
    is to blame: some devices close the connection instead of answering with an exception.

    Attributes:
        arrival: When the reply came that was returned last.
    """

    def __init__(self, links: Sequence[Link], counters: ConnectionCounters) -> None:
        """Take over links that are not open. links: the preferred one, then its backups."""
        self._links = links
        self._counters = counters
        self._active = 0
        self.arrival = Arrival(0, is_known=False)
        self._timeout_s = 0.0
        self._state = _State.CLOSED
        self._opening = asyncio.Lock()
        self._last_answered: tuple[Any, ...] | None = None

    @property
    def _link(self) -> Link:
        return self._links[self._active]

    @property
    def active(self) -> int:
        """Return which of the links is or was open last."""
        return self._active

    @property
    def has_served(self) -> bool:
        """Return whether this connection has brought a reply."""
        return self._state is _State.SERVING

    @property
    def unasked(self) -> int:
        """Return how many whole replies came that nobody here asked for, on all of the links."""
        return sum(link.unasked for link in self._links)

    @property
    def doubt_s(self) -> float:
        """Return for how long a reply of the active link may turn out to be another master's."""
        return self._link.doubt_s

    @property
    def bad_frames(self) -> int:
        """Return how often something came that is no frame, on all of the links."""
        return sum(link.bad_frames for link in self._links)

    @property
    def advice(self) -> str:
        """Return which setting the active link needs, for people."""
        return self._link.advice

    async def open(self, timeout_s: float) -> None:
        """Connect: to the first link, or to the next one when the last connection gave no reply. Raises NotConnected."""
        begin = 0 if self._state in (_State.CLOSED, _State.SERVING) else self._active + 1
        self._timeout_s, self._state = timeout_s, _State.CLOSED
        reasons = []
        for place in range(len(self._links)):
            self._active = (begin + place) % len(self._links)
            try:
                await self._link.open(timeout_s)
            except NotConnected as error:
                reasons.append(str(error))
            else:
                self._counters.connects += 1
                self._state = _State.OPENED
                return
        raise NotConnected("; ".join(reasons))

    async def check_idle(self) -> None:
        """Notice, while no request is under way, that the peer is gone. Raises NotConnected."""
        if self._link.connected or self._state is _State.RESTING:
            return
        if self._state is _State.REOPENED:
            self._state = _State.RESTING
        elif self._state is _State.SERVING:
            async with self._opening:
                await self._reopen()
        else:
            raise NotConnected("closed by the device before it answered anything; does it allow one more connection?")

    async def read(self, unit: int, table: Table, start: int, count: int, timeout_s: float, octets: int = 2) -> bytes:
        """Read as `Link.read` does.

        Raises Refusal and HungUp as well, where the peer closes the connection at this request.
        """
        wanted = unit, table, start, count, timeout_s, *((octets,) if octets != 2 else ())
        is_gone = not self._link.connected and self._state not in (_State.CLOSED, _State.OPENED)
        if self._opening.locked() or is_gone:
            async with self._opening:
                await self._reopen()
        had_served, link = self._state is _State.SERVING, self._link
        was_up = link.connected
        try:
            return await self._request(link, *wanted)
        except NotConnected as error:
            if not had_served:
                if was_up:
                    raise HungUp(str(error)) from error
                raise
        async with self._opening:  # others wait, so that they are not lost with a connection that this one ends
            await self._reopen()
            try:
                return await self._request(self._link, *wanted)
            except NotConnected as error:
                raise Refusal("the connection is closed instead of a reply") from error

    async def try_first(self) -> bool:
        """Return to the first link if it answers what the active backup has just answered.

        It is asked beside the backup; what is under way there is sent again. Returns whether it has taken over.
        """
        first, wanted = self._links[0], self._last_answered
        if wanted is None:
            return False
        with undone_on_error(first.close):  # cancelled: nobody else knows that this connection is open
            try:
                await first.open(self._timeout_s)
                await first.read(*wanted)
            except (NotConnected, NoReply, BadReply):
                first.close()
                return False
            except ExceptionReply:
                pass
        async with self._opening:
            backup, self._active = self._link, 0
            self._state = _State.SERVING
            self._counters.connects += 1
            backup.close()
        return True

    async def _request(self, link: Link, *wanted: Any) -> bytes:
        try:
            payload = await link.read(*wanted)
        except (ExceptionReply, BadReply):
            self._state = _State.SERVING
            raise
        self._state, self._last_answered, self.arrival = _State.SERVING, wanted, link.arrival
        return payload

    async def _reopen(self) -> None:
        if not self._link.connected:
            await self._link.open(self._timeout_s)
            self._counters.connects += 1
            self._state = _State.REOPENED

    def close(self) -> None:
        """Close the connection. Never raises."""
        self._link.close()
