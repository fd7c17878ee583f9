"""Reading the values of nodes now: resolved, split by what the server takes, as columns. On asyncua."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gateway.core.clock import Clock
from gateway.sources.opcua.client.addresses import Addresses
from gateway.sources.opcua.client.column_session import ColumnSession
from gateway.sources.opcua.client.errors import translated
from gateway.sources.opcua.client.services import expect
from gateway.sources.opcua.client.subscriptions import value_of
from gateway.sources.opcua.codec.data_values import columns_of
from gateway.sources.opcua.port.batches import Batches
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.status.codes import NODE_UNKNOWN


class ValueReads:
    """One session's reads. batches: shared with the session's other reads, because one limit holds for all."""

    def __init__(
        self, session: ColumnSession, batches: Batches, addresses: Addresses, clock: Clock, *, register: bool
    ) -> None:
        """register: read by the ids that RegisterNodes gives."""
        self._session = session
        self._batches = batches
        self._addresses = addresses
        self._clock = clock
        self._register = register

    async def read(self, items: Sequence[Item]) -> list[DataValues]:
        """See `Connection.read`."""
        await self._addresses.resolve((item.node for item in items), register=self._register)
        there = [item for item in items if not self._addresses.status_of(item.node)]
        results = await self._batches.run(there, self._read, self._refused_service)
        if len(there) < len(items):
            statuses = {item.row: self._addresses.status_of(item.node) for item in items}
            for status in {*statuses.values()} - {0}:
                results.append(self._refused([item for item in items if statuses[item.row] == status], status))
        return results

    async def _read(self, items: Sequence[Item]) -> DataValues:
        with translated("cannot read"):
            nodes = [value_of(self._addresses.registered(item.node), item) for item in items]
            columns, server_ns = await self._session.read_columns(nodes)
        received_ns = self._clock.now_ns()
        expect(columns.row.tolist(), items)
        rows = np.array([item.row for item in items], np.uint32)
        for place in np.flatnonzero(columns.status == NODE_UNKNOWN).tolist():
            self._addresses.forget(items[place].node)
        return DataValues(replace(columns, row=rows), received_ns, server_ns)

    def _refused_service(self, items: Sequence[Item], status: int) -> DataValues:
        return replace(self._refused(items, status), refused=status)

    def _refused(self, items: Sequence[Item], status: int) -> DataValues:
        return DataValues(columns_of([item.row for item in items], status), self._clock.now_ns(), 0)
