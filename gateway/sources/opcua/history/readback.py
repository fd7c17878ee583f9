"""Reads back from a server's history what was missed while it was away (Part 11, 6.4.3)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gateway.core.clock import Clock
from gateway.sources.opcua.connection import Connection, DataValues, History, Item, ValueColumns, joined
from gateway.sources.opcua.history.gaps import Gap, Gaps, Steps
from gateway.sources.opcua.session.batches import Batches, ServiceFault
from gateway.sources.opcua.status import is_good

NODES_PER_CALL: Final = 10
PAUSE_S: Final = 0.02

Put = Callable[[DataValues], Awaitable[None]]


@dataclass(slots=True)
class ReadBack:
    """What came of one gap. truncated: nodes that had more samples than are allowed. refused: nodes without history.
    skipped_ns: see `Gap`."""

    samples: int = 0
    nodes: int = 0
    truncated: int = 0
    refused: int = 0
    begin_ns: int = 0
    end_ns: int = 0
    skipped_ns: int = 0

    def detail(self) -> dict[str, object]:
        """As fields of an event."""
        skipped: dict[str, object] = {"skipped_ms": self.skipped_ns // 1_000_000} if self.skipped_ns else {}
        return skipped | {
            "from": self.begin_ns // 1_000_000,
            "to": self.end_ns // 1_000_000,
            "samples": self.samples,
            "nodes": self.nodes,
            "truncated": self.truncated,
            "without_history": self.refused,
            "severity": 400 if self.truncated else 1,
        }


class Historian:
    """One connection's reader of the past: slowly, in time order over all nodes, so that live values come first.

    In time order because samples of one window that come together make one supplement. Raises NotConnected as the
    connection does; what was read until then is known to the gap.
    """

    def __init__(self, connection: Connection, items: Sequence[Item], clock: Clock, most: int, put: Put) -> None:
        """most: samples per node and gap. put: takes what was read, and waits until there is room for more;
        cancelled, it has taken it all the same."""
        self._connection = connection
        self._items = {item.row: item for item in items}
        self._clock = clock
        self._most = most
        self._put = put
        self._batches = Batches(NODES_PER_CALL)

    async def read(self, gaps: Gaps, oldest_ns: int) -> list[ReadBack]:
        """Close every gap that waits, none older than `oldest_ns`."""
        results = []
        while gaps.waiting:
            gap = gaps.waiting[0]
            gap.bound(oldest_ns)
            results.append(await self._close(gap))
            gaps.waiting.popleft()
        return results

    async def _close(self, gap: Gap) -> ReadBack:
        rows, newest_ns = gap.rows(self._most), int(gap.after.max(initial=0))
        readable = await self._connection.has_history([self._items[row] for row in rows])
        gap.skip([row for row, can in zip(rows, readable, strict=True) if not can])
        result = ReadBack(0, 0, 0, readable.count(False), newest_ns, newest_ns, gap.skipped_ns)
        rows, steps = gap.rows(self._most), Steps()
        if rows:
            result.begin_ns, result.end_ns = int(gap.after[rows].min()), int(gap.before[rows].max())
        while rows := gap.rows(self._most):
            start_ns = int(gap.after[rows].min()) + 1
            end_ns = min(steps.end(start_ns), int(gap.before[rows].max()))
            here = [row for row in rows if gap.after[row] + 1 < end_ns]
            read = await self._step(gap, here, start_ns, end_ns)
            gap.advance(here, end_ns)  # before it is put: what is put is not lost, even when this is cancelled
            if read is not None:
                await self._put(read)
            result.samples += len(read or ())
            steps.learn(len(read or ()))
        result.nodes = int(np.count_nonzero(gap.counts))
        result.truncated = int(np.count_nonzero(gap.counts >= self._most))
        return result

    async def _step(self, gap: Gap, rows: Sequence[int], start_ns: int, end_ns: int) -> DataValues | None:
        """All samples of a time slice, of all nodes, in one piece."""
        parts: list[ValueColumns] = []

        async def read(batch: Sequence[int]) -> None:
            counts = gap.counts.copy()
            try:
                parts.extend(await self._batch(gap, batch, start_ns, end_ns))
            except ServiceFault:
                gap.counts[:] = counts  # what was had is not used: fewer nodes are asked once more
                raise
            await self._clock.sleep(PAUSE_S)

        await self._batches.run(rows, read, lambda batch, status: gap.skip(batch))
        now_ns = self._clock.now_ns()
        return DataValues(joined(parts), now_ns, now_ns) if parts else None

    async def _batch(self, gap: Gap, rows: Sequence[int], start_ns: int, end_ns: int) -> list[ValueColumns]:
        """One HistoryRead and what continues it, until nothing is left or enough is had; then the rest is released."""
        parts: list[ValueColumns] = []
        left: list[tuple[int, bytes]] = [(row, b"") for row in rows]
        asked = self._most + 1  # the value before the gap may come as well
        while left:
            items, points = [self._items[row] for row, _ in left], [point for _, point in left]
            answers = await self._connection.history(items, start_ns, end_ns, asked, points)
            done: list[tuple[int, bytes]] = []
            more: list[tuple[int, bytes]] = []
            for (row, _), answer in zip(left, answers, strict=True):
                if not is_good(answer.status):
                    gap.skip([row])
                parts += self._kept(gap, row, answer, end_ns)
                if len(answer.columns) >= asked and not answer.point:
                    gap.counts[row] = self._most  # servers that cut off at the limit and do not say so
                if answer.point:
                    goes_on = gap.counts[row] < self._most and len(answer.columns) > 0
                    (more if goes_on else done).append((row, answer.point))
            if done:
                await self._connection.release_history([self._items[row] for row, _ in done], [point for _, point in done])
            left = more
        return parts

    def _kept(self, gap: Gap, row: int, answer: History, end_ns: int) -> list[ValueColumns]:
        columns = replace(answer.columns, row=np.full(len(answer.columns), row, np.uint32))
        wanted = gap.take(row, columns.source_ns, end_ns, self._most)
        return [columns.take(wanted)] if wanted.any() else []
