"""Which nodes are watched, which are polled instead, and which say nothing although they should."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.connection import Connection, Item
from gateway.sources.opcua.inbox import Inbox
from gateway.sources.opcua.reports import STALE, Reports
from gateway.sources.opcua.silence import Silence, stale_rows
from gateway.sources.opcua.status import CANNOT_SUBSCRIBE, is_good, qualities_of, status_name
from gateway.sources.opcua.tagging import Tagging

log = logging.getLogger(__name__)

DOUBT_S: Final = 10.0
GRACE_S: Final = 0.5
DEAD: Final = "the server keeps the connection alive but sends no data, not even for nodes that were just added"


class Watching:
    """The monitored items of one connection. polled: rows of items that are read instead, once `begin` or `poll_all` has
    returned; what is added later cannot be polled, because nobody would begin to."""

    def __init__(
        self,
        config: OpcUaDevice,
        tagging: Tagging,
        first_tag: int,
        clock: Clock,
        inbox: Inbox,
        reports: Reports,
        silence: Silence,
    ) -> None:
        self.polled: set[int] = set()
        self._config = config
        self._tagging = tagging
        self._first_tag = first_tag
        self._clock = clock
        self._inbox = inbox
        self._reports = reports
        self._silence = silence
        self._adding = asyncio.Lock()

    def poll_all(self) -> None:
        """Watch nothing."""
        self.polled = {item.row for item in self._tagging.items}

    async def begin(self, connection: Connection) -> None:
        """Watch everything that can be watched; the rest is polled where it may be read."""
        items = self._tagging.items
        async with self._adding:
            statuses = await connection.add_items(items)
        await self._judge(items, self._poll_instead(items, statuses))

    async def retry(self, connection: Connection) -> None:
        """Refused nodes whose time has come."""
        due = self._tagging.items_of(self._reports.health.due(self._clock.monotonic()))
        if due := [item for item in due if item.row not in self.polled]:
            await self._add(connection, due)

    async def doubt(self, connection: Connection) -> None:
        """Do not believe in silence for ever: see `Silence`. Returns at once where that is not wanted."""
        items = self._tagging.items
        sampling = max((item.sampling_ns for item in items), default=0)
        interval = max((item.publishing_ns for item in items), default=0)
        grace_s = (2 * interval + sampling) / 1e9 + GRACE_S
        while self._config.silence:
            await self._clock.sleep(min(DOUBT_S, self._config.silence / 4e9))
            bad = self._tagging.rows_of(self._reports.health.bad_rows) | self.polled
            stale = await stale_rows(self._silence, connection, items, bad, self._clock, grace_s)
            if stale:
                added_s = self._clock.monotonic()
                await self._add(connection, [items[row] for row in stale])
                accepted = set(stale) - self._tagging.rows_of(self._reports.health.bad_rows)
                if accepted:
                    self._reports.lose(STALE, len(accepted))
                    await self._clock.sleep(grace_s)
                    if not self._silence.any_heard(accepted, added_s):
                        self._silence.in_vain()
                        raise NotConnected(DEAD)

    async def _add(self, connection: Connection, items: Sequence[Item]) -> None:
        async with self._adding:
            statuses = await connection.add_items(items)
        await self._judge(items, statuses)

    async def _judge(self, items: Sequence[Item], statuses: Sequence[int]) -> None:
        """Refused nodes are bad from now on, those that recovered will send their value."""
        now_s, health = self._clock.monotonic(), self._reports.health
        told = [(row, status) for item, status in zip(items, statuses, strict=True) for row in self._tagging.tags_of(item)]
        refused = [(row, status) for row, status in told if not is_good(status)]
        health.accept(row for row, status in told if is_good(status))
        news = [(row, status) for row, status in refused if health.fail(row, status, now_s)]
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
