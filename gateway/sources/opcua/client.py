"""The session with a server, on asyncua. Beside `session.py`, which opens it, the only file that knows the library.

asyncua does channels, sessions and services. Its publish loop (one request in flight, errors logged and retried), its
supervisor and its watchdog stay off: exactly one owner reconnects, and that is not the library.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient
from asyncua.client.ua_session import UaSession
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.addresses import Addresses
from gateway.sources.opcua.batches import Batches, ServiceFault
from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.connection import DataValues, Item, ValueColumns
from gateway.sources.opcua.definitions import Definitions
from gateway.sources.opcua.faults import translated
from gateway.sources.opcua.publishing import Notification, Publishing
from gateway.sources.opcua.responses import read_publish, read_republish, read_values
from gateway.sources.opcua.services import MOST, Services, expect
from gateway.sources.opcua.session import open_channel, open_session
from gateway.sources.opcua.status import is_good, status_name
from gateway.sources.opcua.structures import Types
from gateway.sources.opcua.traffic import Traffic
from gateway.sources.opcua.wire import WireError, columns_of

T = TypeVar("T")

log = logging.getLogger(__name__)

NOTIFICATIONS_PER_PUBLISH: Final = 5000
KEEPALIVES_PER_TIMEOUT: Final = 3
CHECK_S: Final = 10.0
LEAST_CHECK_S: Final = 0.2
CLOSE_S: Final = 2.0

_LIMITS = [Item(at, node, 0, 0) for at, node in enumerate(("i=11705", "i=11710", "i=11711", "i=11712", "i=11714"))]
"""MaxNodesPerRead, -Browse, -RegisterNodes, -TranslateBrowsePathsToNodeIds, MaxMonitoredItemsPerCall."""
_NAMESPACE_ARRAY = Item(0, "i=2255", 0, 0)
_SERVER_STATE = Item(0, "i=2259", 0, 0)
_NODE_UNKNOWN: Final = 0x80340000


async def connect(config: OpcUaDevice, clock: Clock) -> "AsyncuaConnection":
    """Open a session, and in subscribe mode its subscription, with a client object of its own (see `Connect`)."""
    quiet_library()
    connection = AsyncuaConnection(config, clock)
    try:
        await connection.open()
    except ServiceFault as fault:
        await connection.close()
        hint = "; with mode: poll no subscription is needed" if connection.has_session else ""
        raise NotConnected(f"{config.url} refuses: {fault}{hint}") from None
    except NotConnected:
        await connection.close()
        raise
    except BaseException:
        connection.abort()
        raise
    return connection


def quiet_library() -> None:
    """Silence asyncua's client loggers unless somebody set a level: each failure reaches us as an exception anyway."""
    for name in ("asyncua.client", "asyncua.common"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL + 1)


class AsyncuaConnection:
    """`Connection` on asyncua. Made by `connect`."""

    def __init__(self, config: OpcUaDevice, clock: Clock) -> None:
        self.keepalive_s = 0.0
        self.check_s = CHECK_S
        self.traffic = Traffic()
        self.has_session = False
        self._config = config
        self._clock = clock
        self._timeout_s = config.timeout / 1e9
        self._client = Client(config.url, timeout=self._timeout_s)
        self._session = _Session(self._client.uaclient)
        self._client.uaclient.session = self._session
        self._services = Services(self._session)
        self._session.learn = Definitions(self._services, self._session.types).learn_missing
        self._channel_opened_s = 0.0
        self._reads = self._services.reads
        self._creations = Batches(MOST)
        self._addresses = Addresses(self._services, clock)
        self._subscription = 0
        self._item_ids: dict[int, int] = {}
        self._most_row = -1
        self._publishing = Publishing(self._session, clock, config.name, self.traffic)
        self._arrived: deque[DataValues] = deque()
        self._ended: int | None = None

    async def open(self) -> None:
        """Connect, log in, ask for the limits, subscribe. Raises NotConnected, ServiceFault; then `close` or `abort`."""
        client, config = self._client, self._config
        client.name = client.description = "gateway"
        client.session_timeout = config.session_timeout // 1_000_000
        with translated(f"cannot connect to {config.url}"):
            offer = await open_channel(client, config)
            self._channel_opened_s = self._clock.monotonic()
            await open_session(client, config, offer)
        self.has_session = True
        self.check_s = max(LEAST_CHECK_S, min(CHECK_S, client.session_timeout / 3e3, client.secure_channel_timeout / 4e3))
        await self._learn_limits()
        await self._learn_namespaces()
        if config.mode == "subscribe":
            await self._create_subscription()

    async def _learn_limits(self) -> None:
        """OperationLimits (Part 5, 6.3.11): 0, missing or unreadable leaves the safe default."""
        services = self._services
        sizes = (services.reads, services.browses, services.registrations, services.translations, self._creations)
        answers = await self.read(_LIMITS)
        stated = [number for answer in answers for number in answer.columns.number.tolist()]
        for batches, limit in zip(sizes, stated, strict=True):
            if limit > 0:  # not for NaN
                batches.size = min(int(limit), MOST)

    async def _learn_namespaces(self) -> None:
        for answer in await self.read([_NAMESPACE_ARRAY]):
            uris = answer.columns.objects.get(0)
            self._addresses.set_namespaces(uris if isinstance(uris, list) else ())

    async def _create_subscription(self) -> None:
        interval_s = self._config.interval / 1e9
        keepalive = max(1, round(self._timeout_s / KEEPALIVES_PER_TIMEOUT / interval_s))
        params = ua.CreateSubscriptionParameters()
        params.RequestedPublishingInterval = interval_s * 1e3
        params.RequestedMaxKeepAliveCount = keepalive
        params.RequestedLifetimeCount = max(3 * keepalive, round(self._config.session_timeout / self._config.interval))
        params.MaxNotificationsPerPublish = NOTIFICATIONS_PER_PUBLISH
        params.PublishingEnabled = True
        with translated("cannot subscribe"):
            result = await self._session.create_subscription(params, _unused)
        self._subscription = result.SubscriptionId
        revised_s = result.RevisedPublishingInterval / 1e3
        if not (math.isfinite(revised_s) and revised_s > 0):  # servers that do not revise, or revise to nonsense
            revised_s = interval_s
        self.keepalive_s = revised_s * (result.RevisedMaxKeepAliveCount or keepalive)

    async def add_items(self, items: Sequence[Item]) -> list[int]:
        """See `Connection.add_items`."""
        old = [self._item_ids.pop(item.row) for item in items if item.row in self._item_ids]
        await self._creations.run(old, self._delete_items, lambda batch, status: None)
        self._most_row = max([self._most_row, *(item.row for item in items)])
        self._addresses.retry(item.node for item in items)
        await self._addresses.resolve(item.node for item in items)
        statuses = {item.row: self._addresses.status_of(item.node) for item in items}
        there = [item for item in items if not statuses[item.row]]
        results = await self._creations.run(there, self._create_items, lambda batch, status: [status] * len(batch))
        told = [status for batch in results for status in batch]
        self._forget_unknown(there, told)
        statuses |= {item.row: status for item, status in zip(there, told, strict=True)}
        return [statuses[item.row] for item in items]

    def _forget_unknown(self, items: Sequence[Item], statuses: Sequence[int]) -> None:
        for item, status in zip(items, statuses, strict=True):
            if status == _NODE_UNKNOWN:
                self._addresses.forget(item.node)

    async def _delete_items(self, ids: Sequence[int]) -> None:
        params = ua.DeleteMonitoredItemsParameters(SubscriptionId=self._subscription, MonitoredItemIds=list(ids))
        with translated("cannot stop watching nodes"):
            await self._session.delete_monitored_items(params)

    async def _create_items(self, items: Sequence[Item]) -> list[int]:
        params = ua.CreateMonitoredItemsParameters()
        params.SubscriptionId = self._subscription
        params.TimestampsToReturn = ua.TimestampsToReturn.Both
        params.ItemsToCreate = [self._create_request(item) for item in items]
        with translated("cannot watch nodes"):
            results = await self._session.create_monitored_items(params)
        expect(results, items)
        for item, result in zip(items, results, strict=True):
            if is_good(result.StatusCode.value):
                self._item_ids[item.row] = result.MonitoredItemId
        return [result.StatusCode.value for result in results]

    def _create_request(self, item: Item) -> ua.MonitoredItemCreateRequest:
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor = _value_of(self._addresses.node(item.node), item)
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters.ClientHandle = item.row
        request.RequestedParameters.SamplingInterval = item.sampling_ns / 1e6
        request.RequestedParameters.QueueSize = item.queue_size
        request.RequestedParameters.DiscardOldest = True
        return request

    async def next_values(self) -> DataValues:
        """See `Connection.next_values`."""
        while not self._arrived:
            if self._ended is not None:
                raise NotConnected(f"the server ended the subscription: {status_name(self._ended)}")
            self._take(await self._publishing.next())
        return self._arrived.popleft()

    def _take(self, told: Notification) -> None:
        self._ended, lost = told.status, told.lost
        for columns in told.changes or [columns_of([], 0)]:
            if len(columns) and int(columns.row.max()) > self._most_row:
                raise NotConnected("the server sent a value for a client handle that it was never given")
            self._arrived.append(DataValues(columns, told.received_ns, told.server_clock_ns, lost))
            lost = 0

    async def read(self, items: Sequence[Item]) -> list[DataValues]:
        """See `Connection.read`."""
        await self._addresses.resolve((item.node for item in items), register=self._config.register_nodes)
        there = [item for item in items if not self._addresses.status_of(item.node)]
        results = await self._reads.run(there, self._read_batch, self._refused_read)
        if len(there) < len(items):
            lost = [(item, status) for item in items if (status := self._addresses.status_of(item.node))]
            results += [self._refused_read([item], status) for item, status in lost]
        return results

    async def _read_batch(self, items: Sequence[Item]) -> DataValues:
        with translated("cannot read"):
            nodes = [_value_of(self._addresses.registered(item.node), item) for item in items]
            columns, server_ns = await self._session.read_columns(nodes)
        received_ns = self._clock.now_ns()
        expect(columns.row.tolist(), items)
        rows = np.array([item.row for item in items], np.uint32)
        for place in np.flatnonzero(columns.status == _NODE_UNKNOWN).tolist():
            self._addresses.forget(items[place].node)
        return DataValues(replace(columns, row=rows), received_ns, server_ns)

    def _refused_read(self, items: Sequence[Item], status: int) -> DataValues:
        return DataValues(columns_of([item.row for item in items], status), self._clock.now_ns(), 0)

    async def check(self) -> None:
        """See `Connection.check`. Renews the secure channel once half its life is over (Part 4, 5.5.2)."""
        asked_s = self._clock.monotonic()
        await self.read([_SERVER_STATE])
        self.traffic.round_trip_ms = (self._clock.monotonic() - asked_s) * 1e3
        if self._clock.monotonic() - self._channel_opened_s > self._client.secure_channel_timeout / 2e3:
            with translated("cannot renew the secure channel"):
                await self._client.open_secure_channel(renew=True)
                self._client.uaclient.revolve_security_token()
            self._channel_opened_s = self._clock.monotonic()

    async def close(self) -> None:
        """See `Connection.close`."""
        await self._publishing.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._client.uaclient.close_session(True)
                await self._client.close_secure_channel()
            self._client.disconnect_socket()
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


class _Session(UaSession):
    """asyncua's session: without its publish loop, and with its hot answers as columns."""

    def __init__(self, client: UaClient) -> None:
        super().__init__(client)
        self.types = Types()
        self.learn: Callable[[], Awaitable[None]] = _nothing
        self._in_order = asyncio.Lock()

    def ensure_publish_loop(self) -> None:
        """Not wanted: the connection keeps several publish requests in flight and hides no error."""

    async def publish_once(self, acks: Sequence[tuple[int, int]]) -> Notification:
        """See `PublishService.publish_once`."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [ua.SubscriptionAcknowledgement(*ack) for ack in acks]
        return await self._notified(request, read_publish, 0)

    async def republish_once(self, subscription: int, sequence: int) -> Notification:
        """See `PublishService.republish_once`."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = subscription
        request.Parameters.RetransmitSequenceNumber = sequence
        return await self._notified(request, read_republish, None)

    async def _notified(
        self, request: Any, read: Callable[[Buffer, Types], Notification], timeout_s: float | None
    ) -> Notification:
        with translated("the subscription is lost"):
            answer = await self._send_request(request, timeout=timeout_s)
            try:
                return await self._decoded(lambda: read(answer, self.types))
            except WireError as error:
                undecoded = error
        raise undecoded

    async def read_columns(self, nodes: list[ua.ReadValueId]) -> tuple[ValueColumns, int]:
        """Read with both timestamps: the values, and the server's clock in ns. Raises WireError."""
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = nodes
        answer = await self._send_request(request)
        return await self._decoded(lambda: read_values(answer, self.types))

    async def _decoded(self, decode: Callable[[], T]) -> T:
        """Once more when types were met that nobody knew; answers keep their order."""
        async with self._in_order:
            result = decode()
            if self.types.missing:
                await self.learn()
                result = decode()
            return result


async def _nothing() -> None:
    """Until there is somebody who can learn."""


def _value_of(node: ua.NodeId, item: Item) -> ua.ReadValueId:
    return ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value, IndexRange=item.index or None)


def _unused(_: object) -> None:
    """asyncua wants a callback for its publish loop, which is off."""
