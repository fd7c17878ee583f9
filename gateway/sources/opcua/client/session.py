"""The port's `Session` on asyncua: its life from `connect` to `close`; each role is a part of its own.

asyncua does channels, sessions and services. Its publish loop (one request in flight, errors logged and retried), its
supervisor and its watchdog stay off: exactly one owner reconnects, and that is not the library.
"""

import logging
import math
from typing import Final

import structlog
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaStatusCodeError

from gateway.core.clock import Clock
from gateway.core.deadline import deadline
from gateway.core.errors import NotConnected
from gateway.core.loop_watch import LoopWatch
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.column_session import ColumnSession
from gateway.sources.opcua.client.definitions import Definitions
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.client.event_items import EventItems
from gateway.sources.opcua.client.handshake import open_channel
from gateway.sources.opcua.client.history_read import HistoryReads
from gateway.sources.opcua.client.login import Login, open_session, resume_session
from gateway.sources.opcua.client.metadata import SessionMetadata
from gateway.sources.opcua.client.notifications import Notifications
from gateway.sources.opcua.client.publish_loop import PublishLoop
from gateway.sources.opcua.client.receipt import stamp_by
from gateway.sources.opcua.client.services import Services
from gateway.sources.opcua.client.subscriptions import Subscriptions
from gateway.sources.opcua.client.transport import bind_transport
from gateway.sources.opcua.client.values import SessionValues, ValueReads
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.node_names import NodeNames
from gateway.sources.opcua.port.session import ServerHealth
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.status.codes import BAD_DECODING, CANNOT_SUBSCRIBE, SERVICE_UNSUPPORTED
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")

CHECK_S: Final = 10.0
LEAST_CHECK_S: Final = 0.2
CLOSE_S: Final = 2.0
MOST_FAILED_RESUMES: Final = 3
"""How often a server may hang up or fall silent when it is asked to resume a session; then it gets a new one."""

ONLY_DISCOVERY: Final = "; is this a server for discovery only? gateway discover shows what it offers"
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
    quiet_library()
    timeout = timeout or AdaptiveTimeout(config.timeout / 1e9, clock.monotonic)
    session = AsyncuaSession(config, clock, timeout, names or NodeNames(), watch or LoopWatch())
    is_open = False
    try:
        await session.open()
        is_open = True
    except ServiceFault as fault:
        await session.close()
        subscribes = session.has_session and config.mode == "subscribe"
        hint = "; with mode: poll no subscription is needed" if subscribes else ""
        hint = hint if session.has_session or fault.status != SERVICE_UNSUPPORTED else ONLY_DISCOVERY
        raise NotConnected(f"{config.url} refuses: {explained(fault.status)}{hint}") from None
    except NotConnected:
        await session.close()
        raise
    finally:
        if not is_open:  # cancelled, or a bug: no socket stays behind
            session.abort()
    return session


def quiet_library() -> None:
    """Silence asyncua's client loggers unless somebody set a level: each failure reaches us as an exception anyway."""
    for name in ("asyncua.client", "asyncua.common", "asyncua.uaprotocol"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL + 1)


class AsyncuaSession:
    """`Session` on asyncua. Made by `connect`. services, addresses, definitions: the session's, for looking around."""

    def __init__(
        self, config: OpcUaDevice, clock: Clock, timeout: AdaptiveTimeout, names: NodeNames, watch: LoopWatch
    ) -> None:
        """Make all parts of a session, without I/O."""
        self.check_s = CHECK_S
        self.traffic = Traffic()
        self.has_session = False
        self.left_behind = False
        self._config = config
        self._clock = clock
        self._timeout = timeout
        self._stamp = stamp_by(clock, watch)
        self._client = self._new_client()
        session = self._session = ColumnSession(self._client.uaclient)
        self._client.uaclient.session = session
        self.services = Services(session, timeout)
        self.definitions = Definitions(self.services, session.types)
        session.learn = self.definitions.learn_missing
        self._channel_opened_s = 0.0
        self.addresses = Addresses(self.services, clock, names)
        self._subscriptions = Subscriptions(session, self.services, self.addresses, config, timeout, self.traffic.granted)
        self._publishing = PublishLoop(session, clock, config.name, self.traffic)
        reads, register = self.services.reads, config.register_nodes
        value_reads = ValueReads(session, reads, self.addresses, clock, self.traffic, register=register)
        notifications = Notifications(self._subscriptions, len(config.events))
        self.values = SessionValues(value_reads, self._subscriptions, self._publishing, notifications)
        self.events = EventItems(session, self._subscriptions, self.services, self.addresses, config)
        self.history = HistoryReads(session, reads, self.addresses)
        self.metadata = SessionMetadata(self.services, self.addresses, self.definitions, value_reads)
        self._failed_resumes = 0
        self._login: Login | None = None

    @property
    def keepalive_s(self) -> float:
        """Return how often at least a subscription shows a sign of life, seconds; 0 without any."""
        return self._subscriptions.keepalive_s

    def _new_client(self) -> Client:
        client = bind_transport(Client(self._config.url, timeout=self._timeout.timeout_s), self._timeout, self._stamp)
        client.name = client.description = "gateway"
        client.session_timeout = self._config.session_timeout // 1_000_000
        return client

    async def open(self) -> None:
        """Connect, log in, ask for the limits, subscribe. Raises NotConnected, ServiceFault; then `close` or `abort`."""
        client, config = self._client, self._config
        with translate_errors(f"cannot connect to {config.url}"):
            offer = await open_channel(client, config, self._timeout)
            self._channel_opened_s = self._clock.monotonic()
            self._login = await open_session(client, config, offer)
        self.has_session = True
        self.traffic.granted.session(config.session_timeout / 1e6, client.session_timeout)
        self.check_s = max(LEAST_CHECK_S, min(CHECK_S, client.session_timeout / 3e3, client.secure_channel_timeout / 4e3))
        self._subscriptions.set_limits(*await self.services.learn_limits())
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
        """Prove that the server answers; see `Session.check`.

        Renews the secure channel once half its life is over (Part 4, 5.5.2).
        """
        if self.addresses.lacks_namespace:
            await self._learn_namespaces()
        asked_s = self._clock.monotonic()
        (answer,) = await self.values.read([_SERVER_STATE])
        self.traffic.round_trip_ms = (self._clock.monotonic() - asked_s) * 1e3
        if self._clock.monotonic() - self._channel_opened_s > self._client.secure_channel_timeout / 2e3:
            await self._renew_channel()
            self._channel_opened_s = self._clock.monotonic()
        if answer.refused == BAD_DECODING:
            raise NotConnected("cannot read: the server's answer made no sense")
        return answer.refused

    async def _renew_channel(self) -> None:
        try:
            with translate_errors("cannot renew the secure channel"):
                await self._client.open_secure_channel(renew=True)
                self._client.uaclient.revolve_security_token()
        except ServiceFault as refused:
            raise NotConnected(f"cannot renew the secure channel: {explained(refused.status)}") from None

    async def resume(self) -> bool:
        """Resume the session over the channel of a new client; see `Session.resume`."""
        before, self._client = self._client, self._new_client()
        self._client.uaclient.session = self._session
        self._session.move(self._client.uaclient)
        is_answered = False
        try:
            with translate_errors(f"cannot connect to {self._config.url}"):
                await open_channel(self._client, self._config, self._timeout)
                self._channel_opened_s = self._clock.monotonic()
                self._failed_resumes += 1
                is_tried = self._failed_resumes <= MOST_FAILED_RESUMES
                self._client.session_timeout = before.session_timeout
                if is_tried and self._login is not None:
                    self._login = await resume_session(self._client, self._config, self._login)
                self.has_session = is_tried and self._login is not None
                self._failed_resumes = 0
            is_answered = True
        except ServiceFault as fault:
            raise NotConnected(f"{self._config.url} refuses: {explained(fault.status)}") from None
        finally:
            if not is_answered:  # cancelled, too: no socket stays behind
                self.abort()
                self._client = before
        if not self.has_session:
            self.left_behind = False
            await self.close()
            return False
        self._publishing.resume()
        return True

    async def close(self, *, leave: bool = False) -> None:
        """End the session and free the socket; see `Session.close`."""
        await self._publishing.close()
        self.left_behind = self.has_session
        try:
            async with deadline(CLOSE_S):
                with translate_errors("cannot close the session"):
                    await self._end_session(leave=leave)
        except (TimeoutError, NotConnected, ServiceFault) as error:
            log.debug("%s: the session was not closed properly: %s", self._config.name, error)
        finally:
            self.abort()

    async def _end_session(self, *, leave: bool) -> None:
        protocol = self._client.uaclient.protocol
        try:
            if protocol is not None and not protocol.is_closed and not leave:
                await self._client.uaclient.close_session(True)
                self.left_behind = False
            await self._client.close_secure_channel()
        except UaStatusCodeError as error:
            self.left_behind = False
            log.debug("%s: the session was gone already: %s", self._config.name, error)

    def abort(self) -> None:
        """Drop the socket, at once."""
        protocol = self._client.uaclient.protocol
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()
        self._client.disconnect_socket()
