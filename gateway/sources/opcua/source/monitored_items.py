"""Which nodes are watched, which are polled instead, and which say nothing although they should."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import structlog

from gateway.core.blocks import SampleBlock
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.session import Connection
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.diagnostics import STALE, Diagnostics
from gateway.sources.opcua.source.item_map import ItemMap
from gateway.sources.opcua.source.poison_state import Fault, PoisonState
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.staleness import Staleness, stale_rows
from gateway.sources.opcua.status.codes import CANNOT_SUBSCRIBE, is_good, qualities_of, status_name
from gateway.sources.opcua.status.explanation import explained

log = structlog.get_logger("opcua")

DOUBT_S: Final = 10.0
GRACE_S: Final = 0.5
MOST_RETRIED: Final = 1000
"""Refused nodes at once: about one service call."""
DEAD: Final = "the server keeps the connection alive but sends no data, not even for nodes that were just added"


class MonitoredItems:
    """The monitored items of one connection. polled: rows of items that are read instead, once `begin` or `poll_all` has
    returned; what is added later cannot be polled, because nobody would begin to. lacks_polls: that would be needed.

    Rows that are not trusted (see `PoisonState`) are left alone, but by `add`.
    """

    def __init__(
        self,
        config: OpcUaDevice,
        tagging: ItemMap,
        first_tag: int,
        clock: Clock,
        inbox: ReadingQueue,
        reports: Diagnostics,
        silence: Staleness,
        suspects: PoisonState,
    ) -> None:
        self.polled: set[int] = set()
        self.lacks_polls = False
        self._left_out: set[int] = set()
        self._config = config
        self._tagging = tagging
        self._first_tag = first_tag
        self._clock = clock
        self._inbox = inbox
        self._reports = reports
        self._silence = silence
        self._suspects = suspects
        self._adding = asyncio.Lock()

    async def poll_all(self) -> None:
        """Watch nothing."""
        self.polled = {item.row for item in self._tagging.items}
        await self._leave_out_culprits()

    async def begin(self, connection: Connection) -> None:
        """Watch everything that can be watched; the rest is polled where it may be read."""
        untrusted = self._suspects.untrusted
        items = [item for item in self._tagging.items if item.row not in untrusted]
        async with self._adding:
            statuses = await connection.add_items(items)
        await self._judge(items, self._poll_instead(items, statuses))
        await self._leave_out_culprits()

    async def retry(self, connection: Connection) -> None:
        """Refused nodes whose time has come. Raises NotConnected, also to begin anew: see `begin_polls`."""
        due = self._tagging.items_of(self._reports.health.due(self._clock.monotonic()))
        if due := [item for item in due if item.row not in self.polled | self._suspects.untrusted]:
            await self.add(connection, due[:MOST_RETRIED])
            self.begin_polls()

    def begin_polls(self) -> None:
        """Raises NotConnected where nodes were added that can only be polled, once nothing is searched for."""
        if self.lacks_polls and not self._suspects.is_searching:
            raise NotConnected("some nodes are polled from now on")

    async def leave_out(self, faults: Mapping[int, Fault]) -> None:
        """Items that bring others down, by row: their tags are bad."""
        items = [self._tagging.items[row] for row in faults]
        for item in items:
            if item.row not in self._left_out:
                fault = faults[item.row]
                why = fault.words or explained(fault.status)
                log.warning("%s: %s brings others down and is left out: %s", self._config.name, item.node, why)
        self._left_out |= faults.keys()
        await self._judge(items, [faults[item.row].status for item in items], [faults[item.row].words for item in items])

    async def _leave_out_culprits(self) -> None:
        if self._suspects.culprits:
            await self.leave_out({row: one.fault for row, one in self._suspects.culprits.items()})

    async def doubt(self, connection: Connection) -> None:
        """Do not believe in silence for ever: see `Staleness`. Returns at once where that is not wanted."""
        items = self._tagging.items
        sampling = max((item.sampling_ns for item in items), default=0)
        interval = max((item.publishing_ns for item in items), default=0)
        grace_s = (2 * interval + sampling) / 1e9 + GRACE_S
        while self._config.silence:
            await self._clock.sleep(min(DOUBT_S, self._config.silence / 4e9))
            bad = self._tagging.rows_of(self._reports.health.bad_rows) | self.polled | self._suspects.untrusted
            stale = await stale_rows(self._silence, connection, items, bad, self._clock, grace_s)
            if stale:
                added_s = self._clock.monotonic()
                await self.add(connection, [items[row] for row in stale])
                accepted = set(stale) - self._tagging.rows_of(self._reports.health.bad_rows)
                if accepted:
                    self._reports.lose(STALE, len(accepted))
                    await self._clock.sleep(grace_s)
                    if not self._silence.any_heard(accepted, added_s):
                        self._silence.in_vain()
                        raise NotConnected(DEAD)

    async def add(self, connection: Connection, items: Sequence[Item]) -> list[int]:
        """Watch these, too, or anew. Returns the rows that the server accepts."""
        async with self._adding:
            statuses = await connection.add_items(items)
        self.lacks_polls = self.lacks_polls or not CANNOT_SUBSCRIBE.isdisjoint(statuses)
        await self._judge(items, statuses)
        return [item.row for item, status in zip(items, statuses, strict=True) if is_good(status)]

    async def _judge(self, items: Sequence[Item], statuses: Sequence[int], words: Sequence[str] | None = None) -> None:
        """Refused nodes are bad from now on, those that recovered will send their value."""
        now_s, health = self._clock.monotonic(), self._reports.health
        each = zip(items, statuses, words or [""] * len(items), strict=True)
        told = [(row, status, why) for item, status, why in each for row in self._tagging.tags_of(item)]
        refused = [one for one in told if not is_good(one[1])]
        health.accept(row for row, status, _ in told if is_good(status))
        news = [(row, status) for row, status, why in refused if health.fail(row, status, now_s, why)]
        if news:
            rows, codes = (np.array(column, np.uint32) for column in zip(*news, strict=True))
            times, values = np.full(rows.size, self._clock.now_ns(), np.int64), np.full(rows.size, np.nan)
            tags = rows + np.uint32(self._first_tag)
            await self._inbox.put(SampleBlock(tags, times, values, qualities_of(codes)))

    def _poll_instead(self, items: Sequence[Item], statuses: Sequence[int]) -> list[int]:
        """Items that the server cannot watch, but may let us read, are polled."""
        self.polled = {item.row for item, status in zip(items, statuses, strict=True) if status in CANNOT_SUBSCRIBE}
        if self.polled:
            reason = status_name(next(status for status in statuses if status in CANNOT_SUBSCRIBE))
            log.warning("%s: %d of %d nodes are polled: %s", self._config.name, len(self.polled), len(items), reason)
        return [0 if item.row in self.polled else status for item, status in zip(items, statuses, strict=True)]
