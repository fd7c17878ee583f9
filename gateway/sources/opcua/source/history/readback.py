"""Read back from a server's history what was missed while it was away (OPC UA Part 11, 6.4.3)."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.codec.columns import ValueColumns, concatenate
from gateway.sources.opcua.port.batches import Batches
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.history import History
from gateway.sources.opcua.port.values import DataValues, Item
from gateway.sources.opcua.source.events import HistoryRead
from gateway.sources.opcua.source.history.gap import Gap
from gateway.sources.opcua.source.history.gaps import SliceLength, times_of
from gateway.sources.opcua.source.history.pages import Pages
from gateway.sources.opcua.status.codes import (
    HISTORY_UNSUPPORTED,
    NO_CONTINUATION_POINTS,
    NO_DATA,
    RESPONSE_TOO_LARGE,
    SERVICE_UNSUPPORTED,
    TOO_MUCH,
    is_bad,
)
from gateway.sources.opcua.status.explanation import explained

NODES_PER_CALL: Final = 10
PAUSE_S: Final = 0.02
SECONDS_PER_S: Final = 250
"""Seconds of the past with samples that are handed on in a second: each is a window of its own behind live ones."""
LEAST_ASKED: Final = 100
"""Values per node and call, where a server cannot answer with more in one message."""
MOST_REFUSALS: Final = 8
"""Refused calls in a row, of fewer and fewer nodes, after which the server is not asked for the others."""

Put = Callable[[DataValues], Awaitable[None]]
Ahead = Callable[[Gap, int, int], Awaitable[None]]


@dataclass(slots=True)
class GapResult:
    """What came of one gap."""

    samples: int = 0
    nodes: int = 0
    """Nodes of which something was read."""
    truncated: int = 0
    """Nodes that had more samples than are allowed, or no end."""
    without: int = 0
    """Nodes without history."""
    begin_ns: int = 0
    end_ns: int = 0
    skipped_from_ns: int = 0
    """As in `Gap`."""
    skipped_ns: int = 0
    """As in `Gap`."""
    too_old_ns: int = 0
    """How much lies further back than is read."""
    refused: Counter[int] = field(default_factory=Counter)
    """Nodes that the server would not read, by status."""
    is_resumed: bool = False
    """An earlier run has begun to read it back, or could have."""

    @property
    def reason(self) -> str:
        """Return why nodes were refused; empty where none was."""
        return "; ".join(explained(status) for status, _ in self.refused.most_common(2))

    def event(self, time_ns: int, device: int, reason: str = "") -> HistoryRead:
        """Return what is published of it. reason: why nothing was read back at all."""
        return HistoryRead(
            time_ns=time_ns,
            device=device,
            skipped_ms=self.skipped_ns // 1_000_000 if self.skipped_ns else None,
            skipped_from=self.skipped_from_ns // 1_000_000 if self.skipped_ns else None,
            too_old_ms=self.too_old_ns // 1_000_000 if self.too_old_ns else None,
            refused=self.refused.total() or None,
            reason=reason or self.reason or None,
            resumed=True if self.is_resumed else None,
            from_=self.begin_ns // 1_000_000,
            to=self.end_ns // 1_000_000,
            samples=self.samples,
            nodes=self.nodes,
            truncated=self.truncated,
            without_history=self.without,
        )


class HistoryReader:
    """One connection's reader of the past: slowly, in time order over all nodes, so that live values come first.

    In time order because samples of one window that come together make one supplement. Raises NotConnected as the
    connection does; what was read until then is known to the gap. What the server refuses is set aside in the gap.
    """

    def __init__(
        self, history: History, items: Sequence[Item], clock: Clock, most: int, put: Put, ahead: Ahead | None = None
    ) -> None:
        """most: samples per node and gap. put: see below. ahead: awaited before it, with the gap and the slice of time.

        `put` takes what was read, and waits until there is room for more; cancelled, it has taken it nevertheless.
        """
        self._history = history
        self._items = {item.row: item for item in items}
        self._clock = clock
        self._most = most
        self._put = put
        self._ahead = ahead
        self._asked = most + 1  # the value before the gap may come as well
        self._batches = Batches(NODES_PER_CALL)
        self._refusals = 0
        self._hopeless = 0

    async def close(self, gap: Gap, oldest_ns: int) -> GapResult:
        """Close a gap, but for what is older than `oldest_ns` (source time). Raises NotConnected."""
        rows, newest_ns = gap.rows(self._most), int(gap.after.max(initial=0))
        readable = await self._history.readable([self._items[row] for row in rows])
        gap.skip([row for row, can in zip(rows, readable, strict=True) if not can])
        result = GapResult(without=readable.count(False), begin_ns=newest_ns, end_ns=newest_ns, is_resumed=gap.is_resumed)
        result.too_old_ns = gap.bound(oldest_ns)
        rows, length, before = gap.rows(self._most), SliceLength(), gap.counts.copy()
        if rows:
            result.begin_ns, result.end_ns = int(gap.after[rows].min()), int(gap.before[rows].max())
        while rows := gap.rows(self._most):
            start_ns = int(gap.after[rows].min()) + 1
            end_ns = min(length.end(start_ns), int(gap.before[rows].max()))
            here = [row for row in rows if gap.after[row] + 1 < end_ns]
            length.adapt(await self._slice(gap, here, start_ns, end_ns))
        result.samples = int((gap.counts - before).sum())
        result.nodes = int(np.count_nonzero(gap.counts > before))
        result.truncated = len(gap.truncated.union(np.flatnonzero(gap.counts >= self._most).tolist()))
        result.refused = Counter(gap.aside.values())
        result.skipped_from_ns, result.skipped_ns = gap.skipped_from_ns, gap.skipped_ns
        return result

    async def _slice(self, gap: Gap, rows: Sequence[int], start_ns: int, end_ns: int) -> int:
        """Read all samples of a time slice, of all nodes, and hand them on in one piece. Returns how many."""
        read, counts, full = await self._read(gap, rows, end_ns)
        rows = [row for row in rows if row not in gap.aside]
        if read is None:
            gap.advance(rows, end_ns)
            return 0
        if self._ahead is not None:
            await self._ahead(gap, start_ns, end_ns)
        # Before it is put: what is put is not lost, even when this is cancelled.
        gap.lend(rows, start_ns, end_ns, counts)
        await self._put(read)
        gap.lent = None
        gap.cut(full)
        seconds = np.unique(times_of(read.columns) // 1_000_000_000).size
        await self._clock.sleep(seconds / SECONDS_PER_S)
        return len(read)

    async def _read(self, gap: Gap, rows: Sequence[int], end_ns: int) -> tuple[DataValues | None, dict[int, int], list[int]]:
        """Return the values of a slice, how many per row, and rows of which there is more than is allowed."""
        pages: dict[int, Pages] = {}

        async def read(batch: Sequence[int]) -> None:
            try:
                await self._some(gap, batch, end_ns, pages)
            except NotConnected:
                gap.record_break(batch)
                raise
            for row in batch:
                gap.breaks.pop(row, None)
            if not self._hopeless:
                await self._clock.sleep(PAUSE_S)

        together, alone = gap.apart(rows)
        for some in (together, *([row] for row in alone)):
            await self._batches.run(some, read, lambda batch, status: self._set_aside(gap, batch, status))
        all_values = {row: page.values() for row, page in pages.items() if row not in gap.aside}
        found = {row: values for row, values in all_values.items() if values is not None}
        full = [row for row, page in pages.items() if page.is_cut and row not in gap.aside]
        if not found:
            gap.cut(full)
            return None, {}, []
        now_ns = self._clock.now_ns()
        parts: list[ValueColumns] = list(found.values())
        return DataValues(concatenate(parts), now_ns, now_ns), {row: len(values) for row, values in found.items()}, full

    def _set_aside(self, gap: Gap, rows: Sequence[int], status: int) -> None:
        gap.aside |= dict.fromkeys(rows, status)

    async def _some(self, gap: Gap, rows: Sequence[int], end_ns: int, pages: dict[int, Pages]) -> None:
        """One batch. A call that is refused as a whole is made again for each half: one node may be the reason."""
        if self._hopeless:
            self._set_aside(gap, rows, self._hopeless)
            return
        try:
            await self._batch(gap, rows, end_ns, pages)
        except ServiceFault as fault:
            if fault.status in TOO_MUCH and len(rows) > 1:
                raise
            if fault.status in TOO_MUCH and self._asked > LEAST_ASKED:
                self._asked = max(LEAST_ASKED, self._asked // 2)
                await self._some(gap, rows, end_ns, pages)
                return
            self._refusals += 1
            if self._refusals >= MOST_REFUSALS or fault.status in (SERVICE_UNSUPPORTED, HISTORY_UNSUPPORTED):
                self._hopeless = fault.status
            if self._hopeless or len(rows) == 1:
                self._set_aside(gap, rows, fault.status)
                return
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]):
                await self._some(gap, half, end_ns, pages)
        else:
            self._refusals = 0

    async def _batch(self, gap: Gap, rows: Sequence[int], end_ns: int, pages: dict[int, Pages]) -> None:
        """One HistoryRead and what continues it, until nothing is left or enough is had; then the rest is released."""
        for row in rows:
            before_ns = min(int(gap.before[row]), end_ns)
            pages[row] = Pages(row, int(gap.after[row]), before_ns, self._most - int(gap.counts[row]))
        start_ns = int(gap.after[list(rows)].min()) + 1
        left: list[tuple[int, bytes]] = [(row, b"") for row in rows]
        while left:
            items, points = [self._items[row] for row, _ in left], [point for _, point in left]
            answers = await self._history.read(items, start_ns, end_ns, self._asked, points)
            done: list[tuple[int, bytes]] = []
            more: list[tuple[int, bytes]] = []
            has_no_points = False
            for (row, _), answer in zip(left, answers, strict=True):
                kind = answer.status & 0xFFFF0000
                has_no_points = has_no_points or (kind == NO_CONTINUATION_POINTS and len(rows) > 1)
                if is_bad(answer.status) and kind not in NO_DATA:
                    self._set_aside(gap, [row], answer.status)
                goes_on = pages[row].add(answer.columns) and row not in gap.aside
                if answer.point:
                    (more if goes_on else done).append((row, answer.point))
                else:
                    pages[row].end(is_cut=len(answer.columns) >= self._asked)
            done += more if has_no_points else []
            if done:
                await self._history.release([self._items[row] for row, _ in done], [point for _, point in done])
            if has_no_points:
                for row in rows:
                    gap.aside.pop(row, None)
                raise ServiceFault(RESPONSE_TOO_LARGE)
            left = more
