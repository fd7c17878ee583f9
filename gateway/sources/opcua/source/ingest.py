"""From a server's values to samples in the inbox."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.clock import Clock
from gateway.sources.opcua.codec.columns import ValueColumns
from gateway.sources.opcua.codec.enum_labels import Labels, Unasked
from gateway.sources.opcua.config.value_selection import NO_RANGE
from gateway.sources.opcua.port.session import Connection
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.source.decode import TagColumns, decode
from gateway.sources.opcua.source.diagnostics import OVERFLOWED, READ_REFUSED, Diagnostics
from gateway.sources.opcua.source.history.gaps import Gaps, received_times
from gateway.sources.opcua.source.item_map import ItemMap
from gateway.sources.opcua.source.poison_state import PoisonState
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.resume_filter import ResumeFilter
from gateway.sources.opcua.source.staleness import Staleness
from gateway.sources.opcua.status.codes import count_overflows, node_faults, qualities_of
from gateway.sources.opcua.status.explanation import explained

LOOK_S: Final = 10.0
_NO_TIMES: Final = np.zeros(0, np.int64)


class Ingest:
    """Spreads values over tags, tells labels beside numbers, and notes what the values say of their nodes."""

    def __init__(
        self,
        columns: TagColumns,
        tagging: ItemMap,
        tolerance_ns: int,
        clock: Clock,
        inbox: ReadingQueue,
        reports: Diagnostics,
        silence: Staleness,
        gaps: Gaps | None,
        repeats: ResumeFilter,
    ) -> None:
        """tolerance_ns: how far the server's clock may be off."""
        self._columns = columns
        self._tagging = tagging
        self._tolerance_ns = tolerance_ns
        self._clock = clock
        self._inbox = inbox
        self._reports = reports
        self._silence = silence
        self._gaps = gaps
        self._repeats = repeats
        self._labels = Labels(columns.first_tag, columns.times.size)

    async def take(self, values: DataValues, *, was_read: bool = False) -> None:
        """What the server said now; waits for room in the inbox. was_read: there is no queue that could overflow."""
        if not len(values):
            return
        self._reports.statistics.values += len(values)
        self._silence.heard(values.columns, self._clock.monotonic())
        rows, times = values.columns.row, _NO_TIMES
        if self._gaps is not None:
            times = received_times(values, self._tolerance_ns)
            self._gaps.receive(rows, times, again=values.again)
        values = self._tagging.spread(values)
        block, objects = decode(values, self._columns, self._tolerance_ns)
        overflows = 0 if was_read else count_overflows(values.columns.status)
        if overflows:
            self._reports.statistics.overflows += overflows
            self._reports.lose(OVERFLOWED, overflows)
        if values.refused:
            self._reports.complain(f"{READ_REFUSED}: {explained(values.refused)}", len(values))
        else:
            self._judge_nodes(values.columns)
        if objects is not None:
            self._repeats.remember(objects)
        block, again = self._repeats.sort(block)
        others = (again, objects, self._labels.of(block))
        try:
            await self._inbox.put(block)
        finally:  # cancelled, it has taken the block all the same
            for told in others:
                if told is not None:
                    self._inbox.report(told)
            if self._gaps is not None:
                self._gaps.queue(rows, times)

    async def take_past(self, values: DataValues) -> None:
        """What the server remembers; waits until everything else is read."""
        # Many servers ignore index ranges where history is asked for.
        values = self._tagging.spread(values, cuts=True)
        values = replace(values, columns=values.columns.take(values.columns.status != NO_RANGE))
        block, objects = decode(values, self._columns, self._tolerance_ns)
        self._reports.statistics.history += len(values)
        others = (objects, self._labels.past(block))
        await self._inbox.put_late(block, *(one for one in others if one is not None))

    async def confirm(self, after_s: float, heard: asyncio.Event) -> None:
        """A subscription was taken over: what it has not said after so long has not changed, and holds. heard: it has said
        something since, be it a keep-alive; one that says nothing at all may be broken, and its silence means nothing."""
        await self._clock.sleep(after_s)
        await heard.wait()
        for told in self._repeats.unsaid(self._reports.health.bad_rows):
            if told is not None:
                self._inbox.report(told)

    async def label(self, connection: Connection, suspects: PoisonState) -> None:
        """Ask what the numbers of enumerations mean, and tell the present ones; later ones are told as they come. Nodes that
        an earlier connection knows as anything else are not asked, unless they change. Returns once there are no others."""
        unasked, known = Unasked(), self._silence.unlabelled
        await self._ask_labels(connection, [item for item in self._tagging.items if not known[item.row]], unasked, suspects)
        while unasked or known.any():
            await self._clock.sleep(LOOK_S)
            bad_rows = self._tagging.rows_of(self._reports.health.bad_rows)
            changed = known & ~self._silence.unlabelled
            known &= ~changed
            rows = {*np.flatnonzero(changed).tolist(), *unasked.due(self._clock.monotonic(), bad_rows)}
            if due := sorted(rows):
                await self._ask_labels(connection, [self._tagging.items[row] for row in due], unasked, suspects)

    async def _ask_labels(
        self, connection: Connection, items: Sequence[Item], unasked: Unasked, suspects: PoisonState
    ) -> None:
        found = await connection.labels(items) if items else []
        pairs = list(zip(items, found, strict=True))
        unasked.told(item.row for item, some in pairs if some is not None)
        unasked.refused((item.row for item, some in pairs if some is None), self._clock.monotonic())
        known = [(item, some) for item, some in pairs if some is not None]
        rows = self._labels.learn((row, some) for item, some in known for row in self._tagging.whole(item))
        labelled = [item for item in self._tagging.items_of(rows) if item.row not in suspects.untrusted]
        for values in await connection.read(labelled) if labelled else ():
            block, _ = self._decoded(values)
            if (told := self._labels.of(block)) is not None:
                self._inbox.report(told)

    def _decoded(self, values: DataValues) -> tuple[SampleBlock, ObjectBlock | None]:
        return decode(self._tagging.spread(values), self._columns, self._tolerance_ns)

    def _judge_nodes(self, columns: ValueColumns) -> None:
        """A node that vanishes or comes back while it is watched or polled."""
        health = self._reports.health
        blamed = node_faults(qualities_of(columns.status))
        bad_rows = health.bad_rows
        if not bad_rows and not blamed.any():
            return
        now_s = self._clock.monotonic()
        for row, status in zip(columns.row[blamed].tolist(), columns.status[blamed].tolist(), strict=True):
            if row not in bad_rows:
                health.fail(row, status, now_s)
        health.heal(bad_rows.intersection(columns.row[~blamed].tolist()))
        self._reports.tell()
