"""Sessions that several devices share: one link for all devices with the same server, security and login."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.loop_watch import LoopWatch
from gateway.core.ports.plugin import DeviceEntry, SourceServices
from gateway.sources.opcua.client.link import Link
from gateway.sources.opcua.client.session import AsyncuaSession, connect, join, open_link
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.config.shared_session import session_key
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.node_names import KeptNodeNames, NodeNames
from gateway.sources.opcua.port.session import Connect

ALONE_S: Final = 600.0
"""So long a device has a connection of its own after a shared one has ended too soon."""


class _Place:
    """Where the devices of one key meet."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.opening = asyncio.Lock()
        self.failed_s = float("-inf")
        self.failure = NotConnected("not open")


class LinkPool:
    """The shared links of one gateway."""

    def __init__(self, watch: LoopWatch) -> None:
        """Begin without any. watch: of the event loop."""
        self._watch = watch
        self._places: dict[tuple[object, ...], _Place] = {}

    async def open(self, config: OpcUaDevice, clock: Clock, timeout: AdaptiveTimeout) -> Link:
        """Return the link of all devices like this one, opened or resumed where needed. Raises NotConnected.

        What has failed while somebody waited for it has failed for him as well. timeout: of a link that is opened.
        """
        place = self._places.setdefault(session_key(config), _Place())
        asked_s = clock.monotonic()
        async with place.opening:
            if place.failed_s > asked_s:
                raise place.failure
            try:
                if place.link is None or not await place.link.resume():
                    place.link = None
                    place.link = await open_link(config, clock, timeout, self._watch)
            except NotConnected as failure:
                place.failed_s, place.failure = clock.monotonic(), failure
                raise
            return place.link


class SharedConnect:
    """`Connect` of one device that shares its session, unless it may be the one that ends it.

    A device whose shared connection has ended soon after it had joined gets one of its own for a while, so that a device
    that brings connections down brings down its own. Where the server does not open one more session, it shares again.
    """

    def __init__(self, pool: LinkPool, names: NodeNames, watch: LoopWatch) -> None:
        """Begin without a connection. names: of the device's nodes in all its sessions. watch: of the event loop."""
        self._pool = pool
        self._names = names
        self._watch = watch
        self._last: AsyncuaSession | None = None
        self._alone_until_s = float("-inf")

    async def __call__(self, config: OpcUaDevice, clock: Clock, timeout: AdaptiveTimeout) -> AsyncuaSession:
        """Open a session, or a part of one. Raises NotConnected."""
        last, self._last = self._last, None
        if last is not None and last.ended_soon:
            self._alone_until_s = clock.monotonic() + ALONE_S
        if clock.monotonic() < self._alone_until_s:
            try:
                own = await open_link(config, clock, timeout, self._watch)
            except NotConnected:
                self._alone_until_s = float("-inf")
                raise
            return await join(own, config, clock, self._names)
        link = await self._pool.open(config, clock, timeout)
        try:
            self._last = await join(link, config, clock, self._names, is_shared=True)
        except NotConnected:
            self._alone_until_s = clock.monotonic() + ALONE_S
            raise
        return self._last


_POOLS: Final[WeakValueDictionary[int, LinkPool]] = WeakValueDictionary()
"""The pool of each gateway, by the identity of its watch; it lives as long as one of its devices, so over reloads."""


def connectors(entries: Sequence[DeviceEntry], services: SourceServices) -> list[Connect]:
    """Return how each of these devices opens its sessions."""
    watch = services.watch
    pool = _POOLS.get(id(watch)) or LinkPool(watch)
    _POOLS[id(watch)] = pool
    connects: list[Connect] = []
    for entry in entries:
        names = KeptNodeNames(services.watermarks, entry.config, entry.tags)
        is_shared = entry.config.share_session
        connects.append(SharedConnect(pool, names, watch) if is_shared else partial(connect, names=names, watch=watch))
    return connects
