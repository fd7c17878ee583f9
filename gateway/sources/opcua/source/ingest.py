"""From a server's values to samples in the reading queue."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.codec.enum_labels import Labels
from gateway.sources.opcua.config.value_selection import NO_RANGE
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.source.decode import decode
from gateway.sources.opcua.source.diagnostics import OVERFLOWED, READ_REFUSED, Diagnostics
from gateway.sources.opcua.source.history.gaps import received_times
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.value_memory import ValueMemory
from gateway.sources.opcua.status.codes import count_overflows, node_faults, qualities_of
from gateway.sources.opcua.status.explanation import explained

_NO_TIMES: Final = np.zeros(0, np.int64)


class Ingest:
    """Spreads values over tags, decodes them, adds labels beside numbers, and notes what they say of their nodes."""

    def __init__(self, device: SourceDevice, queue: ReadingQueue, diagnostics: Diagnostics, memory: ValueMemory) -> None:
        """Begin without labels: each session asks for them."""
        self._device = device
        self._queue = queue
        self._diagnostics = diagnostics
        self._memory = memory
        self._labels = Labels(device.columns.first_tag, device.columns.times.size)

    async def put(self, values: DataValues, *, was_read: bool = False) -> None:
        """Queue live values; waits for room. was_read: they were read, so there is no queue that could have overflowed."""
        self._diagnostics.check_clock(values)
        if not len(values):
            return
        statistics, gaps = self._diagnostics.statistics, self._memory.gaps
        statistics.values += len(values)
        self._memory.staleness.received(values.columns, self._device.clock.monotonic())
        rows, times = values.columns.row, _NO_TIMES
        if gaps is not None:
            times = received_times(values, self._device.config.clock_tolerance)
            gaps.receive(rows, times, again=values.again)
        values = self._device.item_map.spread(values)
        block, objects = self._decode(values, is_late=self._diagnostics.is_late)
        self._diagnostics.check_times(values, block.quality)
        overflows = 0 if was_read else count_overflows(values.columns.status)
        if overflows:
            statistics.overflows += overflows
            self._diagnostics.count_loss(OVERFLOWED, overflows)
        if values.refused:
            self._diagnostics.warn(f"{READ_REFUSED}: {explained(values.refused)}", len(values))
        else:
            self._check_nodes(values.columns)
        if objects is not None:
            self._memory.resume_filter.record_objects(objects)
        block, repeated = self._memory.resume_filter.sort(block)
        others = (repeated, objects, self._labels.of(block))
        try:
            await self._queue.put(block)
        finally:  # also when cancelled: the queue has taken the block then, too
            self._push(*others)
            if gaps is not None:
                gaps.queue(rows, times)

    async def put_past(self, values: DataValues) -> None:
        """Queue values of the server's history; waits until everything else is read."""
        # Many servers ignore index ranges where history is asked for.
        values = self._device.item_map.spread(values, cuts=True)
        values = replace(values, columns=values.columns.select(values.columns.status != NO_RANGE))
        block, objects = self._decode(values)
        self._diagnostics.statistics.history += len(values)
        others = (objects, self._labels.past(block))
        await self._queue.put_past(block, *(one for one in others if one is not None))

    async def confirm(self, after_s: float, has_received: asyncio.Event) -> None:
        """Confirm the last values after a session was taken over: what was not sent after so long has not changed.

        has_received: the server has sent something since, be it a keep-alive; the silence of a subscription that sends
        nothing at all means nothing.
        """
        await self._device.clock.sleep(after_s)
        await has_received.wait()
        self._push(*self._memory.resume_filter.unsent(self._diagnostics.health.bad_rows))

    def learn_labels(self, items: Sequence[Item], labels: Sequence[Mapping[int, object]]) -> list[Item]:
        """Take over what the numbers of these items mean, empty for no enumeration. Returns the items that have labels."""
        item_map = self._device.item_map
        pairs = zip(items, labels, strict=True)
        return item_map.items_of(self._labels.learn((row, some) for item, some in pairs for row in item_map.whole(item)))

    def put_labels(self, values: DataValues) -> None:
        """Queue the labels of values that were read, without the values."""
        block, _ = self._decode(self._device.item_map.spread(values))
        self._push(self._labels.of(block))

    def _push(self, *readings: ObjectBlock | SampleBlock | None) -> None:
        for reading in readings:
            if reading is not None:
                self._queue.push(reading)

    def _decode(self, values: DataValues, *, is_late: bool = False) -> tuple[SampleBlock, ObjectBlock | None]:
        config, columns = self._device.config, self._device.columns
        return decode(values, columns, config.clock_tolerance, by_gateway=config.times == "gateway", is_late=is_late)

    def _check_nodes(self, columns: ValueColumns) -> None:
        """Record nodes that vanish or come back while they are monitored or polled."""
        health = self._diagnostics.health
        is_fault = node_faults(qualities_of(columns.status))
        bad_rows = health.bad_rows
        if not bad_rows and not is_fault.any():
            return
        now_s = self._device.clock.monotonic()
        for row, status in zip(columns.row[is_fault].tolist(), columns.status[is_fault].tolist(), strict=True):
            if row not in bad_rows:
                health.fail(row, status, now_s)
        health.heal(bad_rows.intersection(columns.row[~is_fault].tolist()))
        self._diagnostics.report_state()
