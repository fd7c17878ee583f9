"""A secure channel and a session with a server, for one device or for several: what they share, and its life.

asyncua does channels, sessions and services. Its publish loop (one request in flight, errors logged and retried), its
supervisor and its watchdog stay off: exactly one owner reconnects, and that is not the library.
"""

import asyncio
import math
from typing import Final

import structlog
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaStatusCodeError

from gateway.core.clock import Clock
from gateway.core.deadline import deadline
from gateway.core.errors import NotConnected
from gateway.core.loop_watch import LoopWatch
from gateway.sources.opcua.client.column_session import ColumnSession
from gateway.sources.opcua.client.definitions import Definitions
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.client.handshake import open_channel
from gateway.sources.opcua.client.inbox import Inboxes
from gateway.sources.opcua.client.login import Login, open_session, resume_session
from gateway.sources.opcua.client.receipt import stamp_by
from gateway.sources.opcua.client.services import Services
from gateway.sources.opcua.client.transport import bind_transport
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")

CHECK_S: Final = 10.0
LEAST_CHECK_S: Final = 0.2
CLOSE_S: Final = 2.0
MOST_FAILED_RESUMES: Final = 3
"""How often a server may hang up or fall silent when it is asked to resume a session; then it gets a new one."""
_MUTE: Final = 0.9
"""Of the timeout: where nothing at all came for so long the connection is dead, not one device's subscription."""


class Link:
    """One session with one server over one channel at a time. services, definitions, inboxes: the session's.

    Attributes:
        check_s: How often somebody is to ask for something: session and channel live only as long as the server granted.
        has_session: The server has the session, as far as is known.
        left_behind: The server was not asked to end the session, so it keeps it, and everything in it, for a while.
        limits: MaxMonitoredItemsPerCall and -PerSubscription.
        users: How many devices use it.
    """

    def __init__(self, config: OpcUaDevice, clock: Clock, timeout: AdaptiveTimeout, watch: LoopWatch) -> None:
        """Make all parts, without I/O. config: of the device that opens it; the others' is the same as far as it is used."""
        self.check_s = CHECK_S
        self.has_session = self.left_behind = False
        self.limits = (math.inf, math.inf)
        self.users = 0
        self.timeout = timeout
        self._config = config
        self._clock = clock
        self._stamp = stamp_by(clock, watch)
        self._client = self._new_client()
        self.session = session = ColumnSession(self._client.uaclient)
        self._client.uaclient.session = session
        self.services = Services(session, timeout)
        self.definitions = Definitions(self.services, session.types)
        session.learn = self.definitions.learn_missing
        name = config.url if config.share_session else config.name
        self.inboxes = Inboxes(session, clock, name, self.delete_subscription)
        self._changing = asyncio.Lock()
        self._channel_opened_s = 0.0
        self._failed_resumes = 0
        self._login: Login | None = None

    @property
    def session_timeout_ms(self) -> float:
        """Return how long the server keeps a silent session."""
        return float(self._client.session_timeout)

    @property
    def is_up(self) -> bool:
        """Return whether the channel is open, as far as is known."""
        protocol = self._client.uaclient.protocol
        transport = protocol.transport if protocol is not None else None
        return self.has_session and transport is not None and not transport.is_closing()

    @property
    def is_mute(self) -> bool:
        """Return whether nothing at all has come for about as long as an answer may take."""
        return self._clock.monotonic() - self.timeout.received_s > _MUTE * self.timeout.timeout_s

    def _new_client(self) -> Client:
        client = bind_transport(Client(self._config.url, timeout=self.timeout.timeout_s), self.timeout, self._stamp)
        client.name = client.description = "gateway"
        client.session_timeout = self._config.session_timeout // 1_000_000
        return client

    async def open(self) -> None:
        """Connect, log in, ask for the limits. Raises NotConnected, ServiceFault; then `close` or `abort`."""
        client, config = self._client, self._config
        with translate_errors(f"cannot connect to {config.url}"):
            offer = await open_channel(client, config, self.timeout)
            self._channel_opened_s = self._clock.monotonic()
            self._login = await open_session(client, config, offer)
        self.has_session = True
        self.check_s = max(LEAST_CHECK_S, min(CHECK_S, client.session_timeout / 3e3, client.secure_channel_timeout / 4e3))
        self.limits = await self.services.learn_limits()

    async def renew(self) -> None:
        """Renew the secure channel once half its life is over (Part 4, 5.5.2). Raises NotConnected."""
        async with self._changing:
            if self._clock.monotonic() - self._channel_opened_s <= self._client.secure_channel_timeout / 2e3:
                return
            try:
                with translate_errors("cannot renew the secure channel"):
                    await self._client.open_secure_channel(renew=True)
                    self._client.uaclient.revolve_security_token()
            except ServiceFault as refused:
                raise NotConnected(f"cannot renew the secure channel: {explained(refused.status)}") from None
            self._channel_opened_s = self._clock.monotonic()

    async def resume(self) -> bool:
        """Resume the session over the channel of a new client, unless another device did; see `Session.resume`."""
        self.users += 1  # so that nobody closes it meanwhile
        try:
            async with self._changing:
                return self.is_up or (self.has_session and await self._resume())
        finally:
            self.users -= 1

    async def _resume(self) -> bool:
        await self.inboxes.close()
        before, self._client = self._client, self._new_client()
        self._client.uaclient.session = self.session
        self.session.move(self._client.uaclient)
        is_answered = False
        try:
            with translate_errors(f"cannot connect to {self._config.url}"):
                await open_channel(self._client, self._config, self.timeout)
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
            await self._close(leave=False)
            return False
        self.inboxes.resume()
        return True

    async def delete_subscription(self, subscription: int) -> None:
        """Delete a subscription, with everything in it. Raises NotConnected, ServiceFault."""
        with translate_errors("cannot end a subscription"):
            await self.session.delete_subscriptions([subscription])

    async def close(self, *, leave: bool = False) -> None:
        """End the session and free the socket; see `Session.close`."""
        async with self._changing:
            await self._close(leave=leave)

    async def _close(self, *, leave: bool) -> None:
        await self.inboxes.close()
        self.left_behind = self.has_session
        try:
            async with deadline(CLOSE_S):
                with translate_errors("cannot close the session"):
                    await self._end_session(leave=leave)
        except (TimeoutError, NotConnected, ServiceFault) as error:
            log.debug("%s: the session was not closed properly: %s", self._config.name, error)
        finally:
            self.has_session = self.left_behind
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
