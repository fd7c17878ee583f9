"""The session with a server, on asyncua. Beside `session.py`, which opens it, the only file that knows the library.

asyncua does channels, sessions and services. Its publish loop (one request in flight, errors logged and retried), its
supervisor and its watchdog stay off: exactly one owner reconnects, and that is not the library.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient
from asyncua.client.ua_session import SessionState, UaSession
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaStatusCodeError

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua import historian, notifier
from gateway.sources.opcua.alarms import EventFields
from gateway.sources.opcua.batches import Batches, ServiceFault
from gateway.sources.opcua.config import OpcUaDevice, OpcUaEvents
from gateway.sources.opcua.connection import DataValues, History, Item, Standing, ValueColumns
from gateway.sources.opcua.nodeid import parse_node_id
from gateway.sources.opcua.publishing import Notification, Publishing
from gateway.sources.opcua.responses import read_publish, read_republish, read_values
from gateway.sources.opcua.session import open_channel, open_session, resume_session
from gateway.sources.opcua.status import GONE, is_good, status_name
from gateway.sources.opcua.traffic import Traffic
from gateway.sources.opcua.wire import WireError, columns_of

log = logging.getLogger(__name__)

SAFE_READ: Final = 100
SAFE_CREATE: Final = 1000
MOST_PER_CALL: Final = 1000
NOTIFICATIONS_PER_PUBLISH: Final = 5000
KEEPALIVES_PER_TIMEOUT: Final = 3
CHECK_S: Final = 10.0
LEAST_CHECK_S: Final = 0.2
CLOSE_S: Final = 2.0

_MAX_NODES_PER_READ = Item(0, "i=11705", 0, 0)
_MAX_ITEMS_PER_CALL = Item(1, "i=11714", 0, 0)
_NAMESPACE_ARRAY = Item(0, "i=2255", 0, 0)
_UNKNOWN_NAMESPACE: Final = 0xFFFF
"""An index that no server has: a node of a namespace that the server lacks is refused alone, as any unknown node."""
_SERVER_STATE = Item(0, "i=2259", 0, 0)
_SERVICE_LEVEL = Item(1, "i=2267", 0, 0)
_NODE_TYPES: Final = {
    "i": ua.NodeIdType.Numeric,
    "s": ua.NodeIdType.String,
    "g": ua.NodeIdType.Guid,
    "b": ua.NodeIdType.ByteString,
}


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
        self.left_behind = False
        self._config = config
        self._clock = clock
        self._timeout_s = config.timeout / 1e9
        self._client = self._new_client()
        self._session = _Session(self._client.uaclient)
        self._client.uaclient.session = self._session
        self._channel_opened_s = 0.0
        self._reads = Batches(SAFE_READ)
        self._creations = Batches(SAFE_CREATE)
        self._node_ids: dict[str, ua.NodeId] = {}
        self._namespaces: dict[str, int] = {}
        self._subscription = 0
        self._item_ids: dict[int, int] = {}
        self._event_items: list[int] = []
        self._most_row = -1
        self._publishing = Publishing(self._session, clock, config.name, self.traffic)
        self._arrived: deque[DataValues] = deque()
        self._ended: int | None = None

    def _new_client(self) -> Client:
        client = Client(self._config.url, timeout=self._timeout_s)
        client.name = client.description = "gateway"
        client.session_timeout = self._config.session_timeout // 1_000_000
        return client

    async def open(self) -> None:
        """Connect, log in, ask for the limits, subscribe. Raises NotConnected, ServiceFault; then `close` or `abort`."""
        client, config = self._client, self._config
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
        answers = await self.read([_MAX_NODES_PER_READ, _MAX_ITEMS_PER_CALL])
        stated = [number for answer in answers for number in answer.columns.number.tolist()]
        for batches, limit in zip((self._reads, self._creations), stated, strict=True):
            if limit > 0:  # not for NaN
                batches.size = min(int(limit), MOST_PER_CALL)

    async def _learn_namespaces(self) -> None:
        """The session's NamespaceArray (Part 5, 6.3.1): indices may differ after each restart of the server."""
        for answer in await self.read([_NAMESPACE_ARRAY]):
            uris = answer.columns.objects.get(0)
            self._namespaces = {str(uri): index for index, uri in enumerate(uris)} if isinstance(uris, list) else {}

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
        statuses = await self._creations.run(items, self._create_items, lambda batch, status: [status] * len(batch))
        return [status for batch in statuses for status in batch]

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
        _expect(results, items)
        for item, result in zip(items, results, strict=True):
            if is_good(result.StatusCode.value):
                self._item_ids[item.row] = result.MonitoredItemId
        return [result.StatusCode.value for result in results]

    def _create_request(self, item: Item) -> ua.MonitoredItemCreateRequest:
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor = self._read_value_id(item.node)
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters.ClientHandle = item.row
        request.RequestedParameters.SamplingInterval = item.sampling_ns / 1e6
        request.RequestedParameters.QueueSize = item.queue_size
        request.RequestedParameters.DiscardOldest = True
        return request

    def _read_value_id(self, text: str) -> ua.ReadValueId:
        node = self._node_ids.get(text)
        if node is None:
            address = parse_node_id(text)
            index = self._namespaces.get(address.uri, _UNKNOWN_NAMESPACE) if address.uri else address.namespace
            node = ua.NodeId(address.identifier, index, _NODE_TYPES[address.kind])  # type: ignore[arg-type]
            self._node_ids[text] = node
        return ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value)

    async def add_events(self, wanted: Sequence[OpcUaEvents]) -> list[int]:
        """See `Connection.add_events`."""
        if self._event_items:
            await self._delete_items(self._event_items)
        nodes = [self._read_value_id(one.notifier).NodeId for one in wanted]
        try:
            with translated("cannot watch events"):
                results = await notifier.create_items(self._session, self._subscription, nodes, wanted)
        except ServiceFault as fault:
            return [fault.status] * len(wanted)
        _expect(results, wanted)
        self._event_items = [result.MonitoredItemId for result in results if is_good(result.StatusCode.value)]
        return [result.StatusCode.value for result in results]

    async def refresh_conditions(self) -> bool:
        """See `Connection.refresh_conditions`."""
        try:
            with translated("cannot refresh conditions"):
                return is_good(await notifier.refresh(self._session, self._subscription))
        except ServiceFault as fault:
            log.debug("%s: no ConditionRefresh: %s", self._config.name, fault)
            return False

    async def next_values(self) -> DataValues:
        """See `Connection.next_values`."""
        while not self._arrived:
            if self._ended is not None:
                raise NotConnected(f"the server ended the subscription: {status_name(self._ended)}")
            self._take(await self._publishing.next())
        return self._arrived.popleft()

    def _take(self, told: Notification) -> None:
        self._ended, lost = told.status, told.lost
        if any(event.notifier >= len(self._config.events) for event in told.events):
            raise NotConnected("the server sent an event for a client handle that it was never given")
        events: Sequence[EventFields] = told.events
        for columns in told.changes or [columns_of([], 0)]:
            if len(columns) and int(columns.row.max()) > self._most_row:
                raise NotConnected("the server sent a value for a client handle that it was never given")
            self._arrived.append(DataValues(columns, told.received_ns, told.server_clock_ns, lost, events))
            lost, events = 0, ()

    async def read(self, items: Sequence[Item]) -> list[DataValues]:
        """See `Connection.read`."""
        return await self._reads.run(items, self._read_batch, self._refused_read)

    async def _read_batch(self, items: Sequence[Item]) -> DataValues:
        with translated("cannot read"):
            columns, server_ns = await self._session.read_columns([self._read_value_id(item.node) for item in items])
        received_ns = self._clock.now_ns()
        _expect(columns, items)
        rows = np.array([item.row for item in items], np.uint32)
        return DataValues(replace(columns, row=rows), received_ns, server_ns)

    def _refused_read(self, items: Sequence[Item], status: int) -> DataValues:
        return DataValues(columns_of([item.row for item in items], status), self._clock.now_ns(), 0)

    async def has_history(self, items: Sequence[Item]) -> list[bool]:
        """See `Connection.has_history`."""

        async def ask(batch: Sequence[Item]) -> list[bool]:
            with translated("cannot read"):
                answers = await historian.have_history(
                    self._session, [self._read_value_id(item.node).NodeId for item in batch]
                )
            _expect(answers, batch)
            return answers

        batches = Batches(max(1, self._reads.size // historian.ATTRIBUTES))
        return [one for some in await batches.run(items, ask, lambda batch, status: [False] * len(batch)) for one in some]

    async def history(
        self, items: Sequence[Item], start_ns: int, end_ns: int, most: int, points: Sequence[bytes]
    ) -> list[History]:
        """See `Connection.history`."""
        nodes = [self._read_value_id(item.node).NodeId for item in items]
        with translated("cannot read history"):
            answers = await historian.read_raw(self._session, nodes, start_ns, end_ns, most, points)
        _expect(answers, items)
        return answers

    async def release_history(self, items: Sequence[Item], points: Sequence[bytes]) -> None:
        """See `Connection.release_history`."""
        with translated("cannot read history"):
            await historian.release(self._session, [self._read_value_id(item.node).NodeId for item in items], points)

    async def standing(self) -> Standing:
        """See `Connection.standing`."""
        answers = await self.read([_SERVER_STATE, _SERVICE_LEVEL])
        state, level = (number for answer in answers for number in answer.columns.number.tolist())
        return Standing(int(state) if math.isfinite(state) else 0, int(level) if math.isfinite(level) else 255)

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

    async def revive(self) -> bool:
        """See `Connection.revive`. A new client for the session, whose subscription, items and numbering stay."""
        before, self._client = self._client, self._new_client()
        self._client.uaclient.session = self._session
        self._session.move(self._client.uaclient)
        try:
            with translated(f"cannot connect to {self._config.url}"):
                await open_channel(self._client, self._config)
                self._channel_opened_s = self._clock.monotonic()
                self.has_session = await resume_session(self._client, before, self._config)
        except BaseException as error:
            self.abort()
            self._client = before
            if isinstance(error, ServiceFault):
                raise NotConnected(f"{self._config.url} refuses: {error}") from None
            raise
        if not self.has_session:
            self.left_behind = False
            await self.close()
            return False
        self._publishing.revive()
        return True

    async def close(self) -> None:
        """See `Connection.close`."""
        await self._publishing.close()
        protocol = self._client.uaclient.protocol
        self.left_behind = self.has_session
        try:
            async with asyncio.timeout(CLOSE_S):
                if protocol is not None and not protocol.is_closed:
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


class _Session(UaSession):
    """asyncua's session: without its publish loop, and with its hot answers as columns."""

    def move(self, client: UaClient) -> None:
        """To another transport; the token stays, everything else is as it was before the session was activated."""
        self._client = client
        self._set_state(SessionState.CREATED)

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

    async def _notified(self, request: Any, read: Callable[[Buffer], Notification], timeout_s: float | None) -> Notification:
        with translated("the subscription is lost"):
            answer = await self._send_request(request, timeout=timeout_s)
            try:
                return read(answer)
            except WireError as error:
                undecoded = error
        raise undecoded

    async def read_columns(self, nodes: list[ua.ReadValueId]) -> tuple[ValueColumns, int]:
        """Read with both timestamps: the values, and the server's clock in ns. Raises WireError."""
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = nodes
        return read_values(await self._send_request(request))


def _expect(answers: Sized | None, operations: Sequence[object]) -> None:
    given = len(answers or ())  # an array of length -1 on the wire is None
    if given != len(operations):
        raise NotConnected(f"the server answered {given} of {len(operations)} operations")


def _unused(_: object) -> None:
    """asyncua wants a callback for its publish loop, which is off."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """asyncua's and the system's exceptions as NotConnected, or ServiceFault while the session lives."""
    try:
        yield
    except (NotConnected, ServiceFault):
        raise
    except TimeoutError:
        raise NotConnected(f"{what}: no answer in time") from None
    except OSError as error:
        raise NotConnected(f"{what}: {str(error) or type(error).__name__}") from error
    except UaStatusCodeError as error:
        if error.code in GONE:
            raise NotConnected(f"{what}: {status_name(error.code)}") from error
        raise ServiceFault(error.code) from error
    except Exception as error:  # on bytes that it does not understand asyncua raises anything, failed assertions too
        raise NotConnected(f"{what}: the server's answer made no sense ({str(error) or type(error).__name__})") from error
