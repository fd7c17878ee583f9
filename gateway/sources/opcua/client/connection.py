"""The session with a server, on asyncua: its life from `connect` to `close`, and what is asked of it, by parts of their own.

asyncua does channels, sessions and services. Its publish loop (one request in flight, errors logged and retried), its
supervisor and its watchdog stay off: exactly one owner reconnects, and that is not the library.
"""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import structlog
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaStatusCodeError

from gateway.core.clock import Clock
from gateway.core.deadline import deadline
from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.column_session import ColumnSession
from gateway.sources.opcua.client.definitions import Definitions
from gateway.sources.opcua.client.errors import translated
from gateway.sources.opcua.client.event_items import EVENTS_NS, MODEL_CHANGES, Notifiers
from gateway.sources.opcua.client.handshake import open_channel, open_session, resume_session
from gateway.sources.opcua.client.history_read import Past
from gateway.sources.opcua.client.metadata import Inquiries
from gateway.sources.opcua.client.notifications import Arrivals
from gateway.sources.opcua.client.publishing import Publishing
from gateway.sources.opcua.client.queue_check import Queues
from gateway.sources.opcua.client.read_values import ValueReads
from gateway.sources.opcua.client.services import Services
from gateway.sources.opcua.client.subscriptions import Subscriptions
from gateway.sources.opcua.client.transport import bound
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaEvents
from gateway.sources.opcua.port.adaptive_timeout import Patience
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.history import History
from gateway.sources.opcua.port.measures import Measure
from gateway.sources.opcua.port.metadata import FoundTag
from gateway.sources.opcua.port.session import QueueReport, Standing
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.status.codes import BAD_DECODING, CANNOT_SUBSCRIBE, SERVICE_UNSUPPORTED
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")

CHECK_S: Final = 10.0
LEAST_CHECK_S: Final = 0.2
CLOSE_S: Final = 2.0
MOST_IN_VAIN: Final = 3
"""Times that a server hangs up or falls silent over a session it is to go on with, until it gets a new one."""

ONLY_DISCOVERY: Final = "; is this a server for discovery only? gateway discover shows what it offers"
_NAMESPACE_ARRAY = Item(0, "i=2255", 0, 0)
_SERVER_STATE = Item(0, "i=2259", 0, 0)
_SERVICE_LEVEL = Item(1, "i=2267", 0, 0)


async def connect(config: OpcUaDevice, clock: Clock, patience: Patience | None = None) -> "AsyncuaConnection":
    """Open a session, and in subscribe mode its subscription, with a client object of its own (see `Connect`)."""
    quiet_library()
    connection = AsyncuaConnection(config, clock, patience or Patience(config.timeout / 1e9, clock.monotonic))
    try:
        await connection.open()
    except ServiceFault as fault:
        await connection.close()
        subscribes = connection.has_session and config.mode == "subscribe"
        hint = "; with mode: poll no subscription is needed" if subscribes else ""
        hint = hint if connection.has_session or fault.status != SERVICE_UNSUPPORTED else ONLY_DISCOVERY
        raise NotConnected(f"{config.url} refuses: {explained(fault.status)}{hint}") from None
    except NotConnected:
        await connection.close()
        raise
    except BaseException:  # cancelled, or a bug: no socket stays behind
        connection.abort()
        raise
    return connection


def quiet_library() -> None:
    """Silence asyncua's client loggers unless somebody set a level: each failure reaches us as an exception anyway."""
    for name in ("asyncua.client", "asyncua.common", "asyncua.uaprotocol"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL + 1)


class AsyncuaConnection:
    """`Connection` on asyncua. Made by `connect`. services, addresses, definitions: the session's, for looking around."""

    def __init__(self, config: OpcUaDevice, clock: Clock, patience: Patience) -> None:
        self.check_s = CHECK_S
        self.traffic = Traffic()
        self.has_session = False
        self.left_behind = False
        self._config = config
        self._clock = clock
        self._patience = patience
        self._client = self._new_client()
        self._session = ColumnSession(self._client.uaclient)
        self._client.uaclient.session = self._session
        self.services = Services(self._session, patience)
        self.definitions = Definitions(self.services, self._session.types)
        self._session.learn = self.definitions.learn_missing
        self._channel_opened_s = 0.0
        self._reads = self.services.reads
        self.addresses = Addresses(self.services, clock)
        self._values = ValueReads(self._session, self._reads, self.addresses, clock, register=config.register_nodes)
        self._inquiries = Inquiries(self.services, self.addresses, self.definitions, self._values)
        self._past = Past(self._session, self._reads, self.addresses)
        self.queues = QueueReport()
        self._queues = Queues(self.queues)
        self._subscriptions = Subscriptions(self._session, self.services, self.addresses, config, patience, self._queues)
        self._unsubscribed = 0
        self._notifiers = Notifiers(self._session, self._subscriptions, self.services, self.addresses, config.name)
        self._publishing = Publishing(self._session, clock, config.name, self.traffic)
        self._arrivals = Arrivals(self._subscriptions, self._queues, len(config.events))
        self._in_vain = 0

    @property
    def keepalive_s(self) -> float:
        """See `Connection.keepalive_s`."""
        return self._subscriptions.keepalive_s

    def _new_client(self) -> Client:
        client = bound(Client(self._config.url, timeout=self._patience.timeout_s), self._patience)
        client.name = client.description = "gateway"
        client.session_timeout = self._config.session_timeout // 1_000_000
        return client

    async def open(self) -> None:
        """Connect, log in, ask for the limits, subscribe. Raises NotConnected, ServiceFault; then `close` or `abort`."""
        client, config = self._client, self._config
        with translated(f"cannot connect to {config.url}"):
            offer = await open_channel(client, config, self._patience)
            self._channel_opened_s = self._clock.monotonic()
            await open_session(client, config, offer, self._patience)
        self.has_session = True
        self.check_s = max(LEAST_CHECK_S, min(CHECK_S, client.session_timeout / 3e3, client.secure_channel_timeout / 4e3))
        self._subscriptions.set_limits(*await self.services.learn_limits())
        await self._learn_namespaces()
        if config.mode == "subscribe":
            try:
                await self._subscriptions.create(config.interval)
            except ServiceFault as fault:
                if fault.status not in CANNOT_SUBSCRIBE:
                    raise
                self._unsubscribed = fault.status

    async def _learn_namespaces(self) -> None:
        for answer in await self.read([_NAMESPACE_ARRAY]):
            uris = answer.columns.objects.get(0)
            self.addresses.set_namespaces(uris if isinstance(uris, list) else ())

    async def add_items(self, items: Sequence[Item]) -> list[int]:
        """See `Connection.add_items`."""
        return await self._subscriptions.add(items) if len(self._subscriptions) else [self._unsubscribed] * len(items)

    async def remove_items(self, items: Sequence[Item]) -> None:
        """See `Connection.remove_items`."""
        await self._subscriptions.remove([item.row for item in items])

    async def add_events(self, wanted: Sequence[OpcUaEvents], *, model: bool) -> list[int]:
        """See `Connection.add_events`."""
        if not len(self._subscriptions) and self._config.mode == "poll":
            try:
                await self._subscriptions.create(EVENTS_NS)
            except ServiceFault as fault:
                self._unsubscribed = fault.status
        if not len(self._subscriptions):
            return [self._unsubscribed] * (len(wanted) + model)
        return await self._notifiers.watch([*wanted, MODEL_CHANGES] if model else wanted)

    async def refresh_conditions(self) -> bool:
        """See `Connection.refresh_conditions`."""
        return await self._notifiers.refresh()

    async def event_types(self, types: Collection[str]) -> Mapping[str, str]:
        """See `Connection.event_types`."""
        return await self._notifiers.names(types)

    async def next_values(self) -> DataValues:
        """See `Connection.next_values`."""
        while (values := self._arrivals.next()) is None:
            self._arrivals.take(await self._publishing.next())
        return values

    async def read(self, items: Sequence[Item]) -> list[DataValues]:
        """See `Connection.read`."""
        answers = await self._values.read(items)
        for answer in answers:
            self.traffic.compare_clocks(answer.server_clock_ns, answer.received_ns)
        return answers

    async def labels(self, items: Sequence[Item]) -> list[Mapping[int, object] | None]:
        """See `Connection.labels`."""
        return await self._inquiries.labels(items)

    async def find(self, wanted: Sequence[Browse]) -> tuple[list[FoundTag], bool]:
        """See `Connection.find`."""
        return await self._inquiries.find(wanted)

    async def measures(self, nodes: Sequence[str]) -> list[Measure]:
        """See `Connection.measures`."""
        return await self._inquiries.measures(nodes)

    async def marks(self, nodes: Sequence[str]) -> Sequence[str]:
        """See `Connection.marks`."""
        return await self._inquiries.marks(nodes)

    async def has_history(self, items: Sequence[Item]) -> list[bool]:
        """See `Connection.has_history`."""
        return await self._past.is_kept(items)

    async def history(
        self, items: Sequence[Item], start_ns: int, end_ns: int, most: int, points: Sequence[bytes]
    ) -> list[History]:
        """See `Connection.history`."""
        return await self._past.read(items, start_ns, end_ns, most, points)

    async def release_history(self, items: Sequence[Item], points: Sequence[bytes]) -> None:
        """See `Connection.release_history`."""
        await self._past.release(items, points)

    async def standing(self) -> Standing:
        """See `Connection.standing`."""
        answers = await self.read([_SERVER_STATE, _SERVICE_LEVEL])
        state, level = (number for answer in answers for number in answer.columns.number.tolist())
        return Standing(int(state) if math.isfinite(state) else 0, int(level) if math.isfinite(level) else 255)

    async def check(self) -> int:
        """See `Connection.check`. Renews the secure channel once half its life is over (Part 4, 5.5.2)."""
        if self.addresses.lacks_namespace:
            await self._learn_namespaces()
        asked_s = self._clock.monotonic()
        (answer,) = await self.read([_SERVER_STATE])
        self.traffic.round_trip_ms = (self._clock.monotonic() - asked_s) * 1e3
        if self._clock.monotonic() - self._channel_opened_s > self._client.secure_channel_timeout / 2e3:
            await self._renew_channel()
            self._channel_opened_s = self._clock.monotonic()
        if answer.refused == BAD_DECODING:
            raise NotConnected("cannot read: the server's answer made no sense")
        return answer.refused

    async def _renew_channel(self) -> None:
        try:
            with translated("cannot renew the secure channel"):
                await self._client.open_secure_channel(renew=True)
                self._client.uaclient.revolve_security_token()
        except ServiceFault as refused:
            raise NotConnected(f"cannot renew the secure channel: {explained(refused.status)}") from None

    async def revive(self) -> bool:
        """See `Connection.revive`. A new client for the session, whose subscription, items and numbering stay."""
        before, self._client = self._client, self._new_client()
        self._client.uaclient.session = self._session
        self._session.move(self._client.uaclient)
        try:
            with translated(f"cannot connect to {self._config.url}"):
                await open_channel(self._client, self._config, self._patience)
                self._channel_opened_s = self._clock.monotonic()
                self._in_vain += 1
                tries = self._in_vain <= MOST_IN_VAIN
                self.has_session = tries and await resume_session(self._client, before, self._config)
                self._in_vain = 0
        except BaseException as error:  # whatever it is, no socket stays behind
            self.abort()
            self._client = before
            if isinstance(error, ServiceFault):
                raise NotConnected(f"{self._config.url} refuses: {explained(error.status)}") from None
            raise
        if not self.has_session:
            self.left_behind = False
            await self.close()
            return False
        self._publishing.revive()
        return True

    async def close(self, *, leave: bool = False) -> None:
        """See `Connection.close`."""
        await self._publishing.close()
        protocol = self._client.uaclient.protocol
        self.left_behind = self.has_session
        try:
            async with deadline(CLOSE_S):
                if protocol is not None and not protocol.is_closed and not leave:
                    await self._client.uaclient.close_session(True)
                    self.left_behind = False
                await self._client.close_secure_channel()
            self._client.disconnect_socket()
        except UaStatusCodeError as error:
            self.left_behind = False
            log.debug("%s: the session was gone already: %s", self._config.name, error)
        except Exception as error:  # noqa: BLE001 - whatever asyncua raises, the socket goes next
            log.debug("%s: the session was not closed properly: %s", self._config.name, error)
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the socket, at once."""
        protocol = self._client.uaclient.protocol
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()
        self._client.disconnect_socket()
