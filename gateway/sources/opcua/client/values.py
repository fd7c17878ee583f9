"""The role `Values` on asyncua: nodes read now, split by what the server takes, and notifications of monitored items."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gateway.core.clock import Clock
from gateway.core.loop_watch import elapsed_ns
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.column_session import ColumnSession
from gateway.sources.opcua.client.errors import translate_errors
from gateway.sources.opcua.client.inbox import Inbox, Inboxes
from gateway.sources.opcua.client.notifications import Notifications
from gateway.sources.opcua.client.services import expect
from gateway.sources.opcua.client.subscriptions import Subscriptions, value_of
from gateway.sources.opcua.codec.data_values import columns_without_values
from gateway.sources.opcua.port.batches import Batches
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.port.values import DataValues, Item, ShortQueue
from gateway.sources.opcua.status.codes import NODE_UNKNOWN


class ValueReads:
    """Reads of values by one session, with a batch size that it shares with the session's other reads."""

    def __init__(
        self,
        session: ColumnSession,
        batches: Batches,
        addresses: Addresses,
        clock: Clock,
        traffic: Traffic,
        *,
        register: bool,
    ) -> None:
        """Read nothing yet. batches: those of all reads, because one limit holds for all (MaxNodesPerRead).

        register: read by the ids that RegisterNodes gives (Part 4, 5.9.5).
        """
        self._session = session
        self._batches = batches
        self._addresses = addresses
        self._clock = clock
        self._traffic = traffic
        self._register = register

    async def read(self, items: Sequence[Item]) -> list[DataValues]:
        """Read the values of nodes now; see `Values.read`."""
        await self._addresses.resolve((item.node for item in items), register=self._register)
        there = [item for item in items if not self._addresses.status_of(item.node)]
        results = await self._batches.run(there, self._read, self._refused_service)
        if len(there) < len(items):
            statuses = {item.row: self._addresses.status_of(item.node) for item in items}
            for status in {*statuses.values()} - {0}:
                results.append(self._refused([item for item in items if statuses[item.row] == status], status))
        for answer in results:
            self._traffic.compare_clocks(answer.server_clock_ns, answer.received_ns)
        return results

    async def _read(self, items: Sequence[Item]) -> DataValues:
        with translate_errors("cannot read"):
            asked_ns = elapsed_ns()
            nodes = [value_of(self._addresses.registered(item.node), item) for item in items]
            columns, server_ns, receipt = await self._session.read_columns(nodes)
        expect(columns.row.tolist(), items)
        rows = np.array([item.row for item in items], np.uint32)
        for place in np.flatnonzero(columns.status == NODE_UNKNOWN).tolist():
            self._addresses.forget(items[place].node)
        return DataValues(replace(columns, row=rows), receipt.wall_ns, server_ns, late_ns=receipt.late_since(asked_ns))

    def _refused_service(self, items: Sequence[Item], status: int) -> DataValues:
        return replace(self._refused(items, status), refused=status)

    def _refused(self, items: Sequence[Item], status: int) -> DataValues:
        return DataValues(columns_without_values([item.row for item in items], status), self._clock.now_ns(), 0)


class SessionValues:
    """The role `Values` of one session, made of its reads and its subscriptions."""

    def __init__(
        self,
        reads: ValueReads,
        subscriptions: Subscriptions,
        inboxes: Inboxes,
        inbox: Inbox,
        notifications: Notifications,
    ) -> None:
        """Take the parts of the session. inbox: its own among all inboxes."""
        self.read = reads.read
        self._subscriptions = subscriptions
        self._inboxes = inboxes
        self._inbox = inbox
        self._notifications = notifications

    @property
    def short_queues(self) -> Mapping[int, ShortQueue]:
        """Return the items whose granted queues may overflow, by row."""
        return self._subscriptions.queues.short

    async def subscribe(self, items: Sequence[Item]) -> list[int]:
        """Monitor nodes; see `Values.subscribe`."""
        if not len(self._subscriptions):
            return [self._subscriptions.refusal] * len(items)
        return await self._subscriptions.add(items)

    async def unsubscribe(self, items: Sequence[Item]) -> None:
        """Delete the monitored items of these nodes."""
        await self._subscriptions.remove([item.row for item in items])

    async def next_notification(self) -> DataValues:
        """Wait for the next notification; see `Values.next_notification`."""
        while (values := self._notifications.pop()) is None:
            self._notifications.push(await self._inboxes.next(self._inbox))
        return values
