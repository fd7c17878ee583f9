"""The port's `Session` on asyncua: one device's part of a `Link`; each role is a part of its own."""

import logging
import math
from typing import Final

import structlog

from gateway.core.clock import Clock
from gateway.core.deadline import deadline
from gateway.core.errors import NotConnected
from gateway.core.loop_watch import LoopWatch
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.event_items import EventItems
from gateway.sources.opcua.client.history_read import HistoryReads
from gateway.sources.opcua.client.inbox import Inbox
from gateway.sources.opcua.client.link import CLOSE_S, Link
from gateway.sources.opcua.client.metadata import SessionMetadata
from gateway.sources.opcua.client.notifications import Notifications
from gateway.sources.opcua.client.subscriptions import Subscriptions
from gateway.sources.opcua.client.values import SessionValues, ValueReads
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.errors import ServiceFault, Unanswered
from gateway.sources.opcua.port.node_names import NodeNames
from gateway.sources.opcua.port.session import ServerHealth
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.status.codes import BAD_DECODING, CANNOT_SUBSCRIBE, SERVICE_UNSUPPORTED
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")

ONLY_DISCOVERY: Final = "; is this a server for discovery only? gateway discover shows what it offers"
TOO_SOON_S: Final = 60.0
"""A connection that ends so soon after a device has joined it may have ended because of that device."""
_NAMESPACE_ARRAY = Item(0, "i=2255", 0, 0)
_SERVER_STATE = Item(0, "i=2259", 0, 0)
_SERVICE_LEVEL = Item(1, "i=2267", 0, 0)


async def connect(
    config: OpcUaDevice,
    clock: Clock,
    timeout: AdaptiveTimeout | None = None,
    names: NodeNames | None = None,
    watch: LoopWatch | None = None,
) -> "AsyncuaSession":
    """Open a session, and in subscribe mode its subscription, with a client object of its own (see `Connect`).

    watch: of the event loop. names: of the nodes in the device's sessions before; None where this one stands alone.
    """
    timeout = timeout or AdaptiveTimeout(config.timeout / 1e9, clock.monotonic)
    link = await open_link(config, clock, timeout, watch or LoopWatch())
    return await join(link, config, clock, names or NodeNames())


async def open_link(config: OpcUaDevice, clock: Clock, timeout: AdaptiveTimeout, watch: LoopWatch) -> Link:
    """Open a link without a user. Raises NotConnected with what to do."""
    quiet_library()
    link = Link(config, clock, timeout, watch)
    is_open = False
    try:
        await link.open()
        is_open = True
    except ServiceFault as fault:
        had_session = link.has_session
        await link.close()
        hint = "" if had_session or fault.status != SERVICE_UNSUPPORTED else ONLY_DISCOVERY
        raise NotConnected(f"{config.url} refuses: {explained(fault.status)}{hint}") from None
    except NotConnected:
        await link.close()
        raise
    finally:
        if not is_open:  # cancelled, or a bug: no socket stays behind
            link.abort()
    return link


async def join(
    link: Link, config: OpcUaDevice, clock: Clock, names: NodeNames, *, is_shared: bool = False
) -> "AsyncuaSession":
    """Add a device to an open link; with the last one that cannot be added the link is closed. Raises NotConnected."""
    session = AsyncuaSession(link, config, clock, names, is_shared=is_shared)
    is_ready = False
    try:
        await session.begin()
        is_ready = True
    except ServiceFault as fault:
        await session.close()
        hint = "; with mode: poll no subscription is needed" if config.mode == "subscribe" else ""
        raise NotConnected(f"{config.url} refuses: {explained(fault.status)}{hint}") from None
    except NotConnected as error:
        await session.close(leave=is_shared and isinstance(error, Unanswered))
        raise
    finally:
        if not is_ready:  # cancelled, too
            session.abandon()
            if not link.users:
                link.abort()
    return session


def quiet_library() -> None:
    """Silence asyncua's client loggers unless somebody set a level: each failure reaches us as an exception anyway."""
    for name in ("asyncua.client", "asyncua.common", "asyncua.uaprotocol"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL + 1)


class AsyncuaSession:
    """`Session` on asyncua. Made by `connect` or `join`. services, addresses, definitions: for looking around.

    Where several devices use one link, a device that leaves takes its subscriptions with it and nothing else. The link ends
    with the last one, or for all when its channel does.
    """

    def __init__(self, link: Link, config: OpcUaDevice, clock: Clock, names: NodeNames, *, is_shared: bool = False) -> None:
        """Make all parts of a session, without I/O, as a user of the link. is_shared: other devices may use it, too."""
        self.traffic = Traffic()
        self.left_behind = False
        self.check_s = link.check_s
        self._link = link
        self._config = config
        self._clock = clock
        self._is_shared = is_shared
        self._names = names
        self._is_user = True
        self._joined_s = self._ended_s = clock.monotonic()
        link.users += 1
        self.services, self.definitions = link.services, link.definitions
        self.addresses = Addresses(self.services, clock, names)
        self._inbox = inbox = Inbox(self.traffic)
        session, reads, granted = link.session, link.services.reads, self.traffic.granted
        self._subscriptions = subscriptions = Subscriptions(
            session, self.services, self.addresses, config, link.timeout, granted, self._claim
        )
        value_reads = ValueReads(session, reads, self.addresses, clock, self.traffic, register=config.register_nodes)
        notifications = Notifications(subscriptions, len(config.events))
        self.values = SessionValues(value_reads, subscriptions, link.inboxes, inbox, notifications)
        self.events = EventItems(session, subscriptions, self.services, self.addresses, config)
        self.history = HistoryReads(session, reads, self.addresses)
        self.metadata = SessionMetadata(self.services, self.addresses, self.definitions, value_reads)

    def _claim(self, subscription: int) -> None:
        self._link.inboxes.claim(subscription, self._inbox)

    @property
    def keepalive_s(self) -> float:
        """Return how often at least a subscription shows a sign of life, seconds; 0 without any."""
        return self._subscriptions.keepalive_s

    @property
    def ended_soon(self) -> bool:
        """Return whether it ended soon after it had begun or was resumed."""
        return not self._is_user and self._ended_s - self._joined_s < TOO_SOON_S

    async def begin(self) -> None:
        """Subscribe. Raises NotConnected, ServiceFault; then `close`."""
        config, link = self._config, self._link
        self._names.load()
        self.traffic.granted.session(config.session_timeout / 1e6, link.session_timeout_ms)
        self._subscriptions.set_limits(*link.limits)
        await self._learn_namespaces()
        if config.mode == "subscribe":
            try:
                await self._subscriptions.create(config.interval)
            except ServiceFault as fault:
                if fault.status not in CANNOT_SUBSCRIBE:
                    raise

    async def _learn_namespaces(self) -> None:
        for answer in await self.values.read([_NAMESPACE_ARRAY]):
            uris = answer.columns.objects.get(0)
            self.addresses.set_namespaces(uris if isinstance(uris, list) else ())

    async def health(self) -> ServerHealth:
        """Read ServerState and ServiceLevel; see `Session.health`."""
        answers = await self.values.read([_SERVER_STATE, _SERVICE_LEVEL])
        state, level = (number for answer in answers for number in answer.columns.number.tolist())
        return ServerHealth(int(state) if math.isfinite(state) else 0, int(level) if math.isfinite(level) else 255)

    async def check(self) -> int:
        """Prove that the server answers; see `Session.check`."""
        if self.addresses.lacks_namespace:
            await self._learn_namespaces()
        asked_s = self._clock.monotonic()
        (answer,) = await self.values.read([_SERVER_STATE])
        self.traffic.round_trip_ms = (self._clock.monotonic() - asked_s) * 1e3
        await self._link.renew()
        if answer.refused == BAD_DECODING:
            raise NotConnected("cannot read: the server's answer made no sense")
        return answer.refused

    async def resume(self) -> bool:
        """Resume the session, or return to it where another device has; see `Session.resume`.

        Not where it ended too soon among others: this device is to have a connection of its own.
        """
        if self._is_shared and self.ended_soon:
            self.abandon()
            return False
        if not await self._link.resume():
            self.abandon()
            return False
        self._is_user, self._joined_s, self.left_behind = True, self._clock.monotonic(), False
        self._link.users += 1
        return True

    def _leave(self) -> None:
        if self._is_user:
            self._is_user, self._ended_s = False, self._clock.monotonic()
            self._link.users -= 1

    def abandon(self) -> None:
        """Use the link no longer, and take nothing more of it."""
        self._leave()
        self.left_behind = False
        self._link.inboxes.release(self._inbox)

    async def close(self, *, leave: bool = False) -> None:
        """End the session and free the socket, as far as they are this device's alone; see `Session.close`."""
        link = self._link
        self._leave()
        if leave and link.users and link.is_mute:
            link.abort()  # for all: whoever resumes first does so for the others
        if not link.users:
            await link.close(leave=leave)
            self.left_behind = link.left_behind
        elif leave or not link.is_up:
            self.left_behind = link.has_session
        else:
            self.left_behind = False
            await self._take_subscriptions()

    async def _take_subscriptions(self) -> None:
        """Delete what is this device's. What is left because the server does not answer is deleted when something comes."""
        try:
            async with deadline(CLOSE_S):
                for subscription in self._link.inboxes.release(self._inbox):
                    await self._link.delete_subscription(subscription)
        except (TimeoutError, NotConnected, ServiceFault) as error:
            log.debug("%s: a subscription was not ended properly: %s", self._config.name, error)
